// PyTorch checkpoints: zip archives, pickles, tensors, and what is refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "converter/import/checkpoints/pickle_reader.h"
#include "converter/import/checkpoints/pytorch.h"
#include "converter/import/importer.h"
#include "converter/import/zip_reader.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "formats/base/dtype.h"
#include "formats/base/macros.h"
#include "formats/data/dataset.h"
#include "formats/data/npy.h"
#include "formats/model/octet_file.h"
#include "octet/octet.h"
#include "tests/data_dir.h"
#include "tests/unit/naive_interpreter.h"
#include "tests/unit/pytorch_builder.h"

namespace octet {
namespace {

using namespace octet::testing;  // NOLINT: builders of small files.
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

FileBytes Borrow(const std::string& bytes) {
  return {{reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, nullptr};
}

TensorRequest Ask(const std::string& name) { return {name, {}, TensorRole::kWeights, false}; }

std::string ParseError(const std::string& bytes) {
  const auto source = PytorchSource::Parse(Borrow(bytes), "x");
  return source.ok() ? "accepted" : source.status().message();
}

std::string ZipError(const std::string& object, const StorageBytes& storages = {}) {
  return ParseError(ZipCheckpoint(object, storages));
}

// -- Zip --

TEST(ZipReader, ReadsStoredAndDeflatedEntries) {
  ZipBuilder builder;
  const std::string long_text(100000, 'z');
  builder.Add("a/stored", "hello");
  builder.Add("a/deflated", long_text, true);
  builder.Add("empty", "");
  builder.Add("empty_deflated", "", true);
  for (const std::string& comment :
       {std::string(), std::string("PK\5\6 is not the end"), std::string(60000, 'c')}) {
    const std::string bytes = builder.Build(comment);
    const auto zip = ZipReader::Open(Borrow(bytes), "x");
    ASSERT_TRUE(zip.ok()) << zip.status().message();
    EXPECT_EQ(zip.value().entries().size(), 4u);
    EXPECT_EQ(zip.value().Read(*zip.value().Find("a/stored")).value().text(), "hello");
    EXPECT_EQ(zip.value().Read(*zip.value().Find("a/deflated")).value().text(), long_text);
    EXPECT_EQ(zip.value().Read(*zip.value().Find("empty")).value().text(), "");
    EXPECT_EQ(zip.value().Read(*zip.value().Find("empty_deflated")).value().text(), "");
    EXPECT_EQ(zip.value().Find("a/other"), nullptr);
    EXPECT_THAT(zip.value().Read(*zip.value().Find("a/deflated"), 1000).status().message(),
                HasSubstr("at most 1000"));
  }
}

TEST(ZipReader, FindsDamage) {
  ZipBuilder builder;
  builder.Add("stored", "hello");
  builder.Add("deflated", std::string(1000, 'z'), true);
  const std::string good = builder.Build();
  const auto read = [](const std::string& bytes, const std::string& name) -> Status {
    OCTET_ASSIGN_OR_RETURN(const ZipReader zip, ZipReader::Open(Borrow(bytes), "x"));
    const ZipEntry* entry = zip.Find(name);
    if (entry == nullptr) return NotFound("entry");
    return zip.Read(*entry).status();
  };
  ASSERT_TRUE(read(good, "stored").ok());
  std::string bad = good;
  bad[bad.find("hello")] = 'j';
  EXPECT_THAT(read(bad, "stored").message(), HasSubstr("CRC-32"));
  EXPECT_TRUE(read(bad, "deflated").ok());
  EXPECT_THAT(read(good.substr(0, good.size() - 1), "stored").message(), HasSubstr("truncated"));
  EXPECT_FALSE(read(good.substr(20), "stored").ok());
  builder.Add("stored", "again");
  EXPECT_THAT(read(builder.Build(), "stored").message(), HasSubstr("two entries"));
  // A compressed size that cannot hold what is promised is found before anything is allocated.
  const ZipEntry bomb{"bomb", uint64_t{1} << 30, 10, 0, 0, 8};
  const auto zip = ZipReader::Open(Borrow(good), "x");
  EXPECT_THAT(zip.value().Read(bomb).status().message(), HasSubstr("cannot hold"));
}

// -- Tensors --

TEST(Pytorch, ReadsTensorsOfBothFormats) {
  const std::string object = pickle::Dict(
      {{"a.weight", pickle::Tensor(pickle::Storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1})},
       {"transposed", pickle::Tensor(pickle::Storage("FloatStorage", "0", 6), 0, {3, 2}, {1, 3})},
       {"view", pickle::Tensor(pickle::Storage("FloatStorage", "0", 6), 1, {2, 2}, {3, 1})},
       {"scalar", pickle::Tensor(pickle::Storage("FloatStorage", "1", 1), 0, {}, {})},
       {"empty", pickle::Tensor(pickle::Storage("FloatStorage", "1", 1), 0, {0, 3}, {3, 1})}},
      pickle::OrderedDict());
  const StorageBytes storages = {{"0", FloatBytes({1, 2, 3, 4, 5, 6})}, {"1", FloatBytes({7})}};
  for (const std::string& bytes :
       {ZipCheckpoint(object, storages), ZipCheckpoint(object, storages, true),
        LegacyCheckpoint(object, storages)}) {
    auto source = PytorchSource::Parse(Borrow(bytes), "x");
    ASSERT_TRUE(source.ok()) << source.status().message();
    EXPECT_THAT(source->Names(), ElementsAre("a.weight", "empty", "scalar", "transposed", "view"));
    EXPECT_THAT(source->FindShape(Ask("a.weight")).value(), ElementsAre(2, 3));
    EXPECT_THAT(source->Read(Ask("a.weight")).value(), ElementsAre(1, 2, 3, 4, 5, 6));
    EXPECT_THAT(source->Read(Ask("transposed")).value(), ElementsAre(1, 4, 2, 5, 3, 6));
    EXPECT_THAT(source->Read(Ask("view")).value(), ElementsAre(2, 3, 5, 6));
    EXPECT_THAT(source->Read(Ask("scalar")).value(), ElementsAre(7));
    EXPECT_THAT(source->Read(Ask("empty")).value(), ElementsAre());
    EXPECT_FALSE(source->FindShape(Ask("b")).has_value());
    EXPECT_EQ(source->Read(Ask("b")).status().code(), StatusCode::kNotFound);
  }
}

TEST(Pytorch, ReadsEveryFloatingPointType) {
  const auto half = [](std::vector<uint16_t> v) { return pickle::Raw(v.data(), v.size() * 2); };
  const double pi = 3.25;
  const std::string object = pickle::Dict(
      {{"f16", pickle::Tensor(pickle::Storage("HalfStorage", "0", 2), 0, {2}, {1})},
       {"bf16", pickle::Tensor(pickle::Storage("BFloat16Storage", "1", 2), 0, {2}, {1})},
       {"f64", pickle::Tensor(pickle::Storage("DoubleStorage", "2", 1), 0, {1}, {1})},
       {"steps", pickle::Tensor(pickle::Storage("LongStorage", "3", 1), 0, {}, {})},
       // Newer element types: an untyped storage and the type beside it.
       {"v3",
        pickle::Call(pickle::Global("torch._utils", "_rebuild_tensor_v3"),
                     pickle::Tuple(
                         {pickle::Tuple({pickle::Text("storage"),
                                         pickle::Global("torch.storage", "UntypedStorage"),
                                         pickle::Text("4"), pickle::Text("cpu"), pickle::Int(12)}) +
                              "Q",
                          pickle::Int(1), pickle::Ints({2}), pickle::Ints({1}), "\x89",
                          pickle::OrderedDict(), pickle::Global("torch", "float32")}))}});
  const std::string bytes =
      ZipCheckpoint(object, {{"0", half({FloatToHalf(1.5f), FloatToHalf(-2.0f)})},
                             {"1", half({0x3fc0, 0xc000})},
                             {"2", pickle::Raw(&pi, 8)},
                             {"3", std::string(8, '\0')},
                             {"4", FloatBytes({1, 2, 3})}});
  auto source = PytorchSource::Parse(Borrow(bytes), "x");
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_THAT(source->Read(Ask("f16")).value(), ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(source->Read(Ask("bf16")).value(), ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(source->Read(Ask("f64")).value(), ElementsAre(3.25f));
  EXPECT_THAT(source->Read(Ask("v3")).value(), ElementsAre(2, 3));
  EXPECT_THAT(source->Read(Ask("steps")).status().message(),
              AllOf(HasSubstr("steps"), HasSubstr("int64")));
}

TEST(Pytorch, UnwrapsCheckpointsOfTrainingScripts) {
  const std::string tensor = pickle::Tensor(pickle::Storage("FloatStorage", "0", 1), 0, {1}, {1});
  const std::string parameter =
      pickle::Call(pickle::Global("torch._utils", "_rebuild_parameter"),
                   pickle::Tuple({tensor, "\x88", pickle::OrderedDict()}));
  // NumPy's float64(91.5), as accuracies are saved.
  const std::string accuracy = pickle::Call(
      pickle::Global("numpy.core.multiarray", "scalar"),
      pickle::Tuple({pickle::Call(pickle::Global("numpy", "dtype"),
                                  pickle::Tuple({pickle::Text("f8"), "\x89", "\x88"})),
                     pickle::Call(pickle::Global("_codecs", "encode"),
                                  pickle::Tuple({pickle::Text("x"), pickle::Text("latin1")}))}));
  const std::string other = pickle::Dict(
      {{"momentum", pickle::Tensor(pickle::Storage("FloatStorage", "1", 1), 0, {1}, {1})}});
  const std::string inner = pickle::Dict({{"w", parameter}}, pickle::OrderedDict()) +
                            pickle::Dict({{"_metadata", pickle::OrderedDict()}}) + "b";
  const StorageBytes storages = {{"0", FloatBytes({3})}, {"1", FloatBytes({4})}};
  for (const char* key : {"state_dict", "model", "net"}) {
    const std::string object = pickle::Dict({{"optimizer", other},
                                             {"loss", tensor},
                                             {key, inner},
                                             {"best_prec1", accuracy},
                                             {"epoch", pickle::Int(123456789012)}});
    for (const std::string& bytes :
         {ZipCheckpoint(object, storages), LegacyCheckpoint(object, storages)}) {
      auto source = PytorchSource::Parse(Borrow(bytes), "x");
      ASSERT_TRUE(source.ok()) << source.status().message();
      EXPECT_THAT(source->Names(), ElementsAre("w"));
      EXPECT_THAT(source->Read(Ask("w")).value(), ElementsAre(3));
    }
  }
  EXPECT_THAT(
      ZipError(pickle::Dict({{"weights_elsewhere", pickle::Int(1)}, {"lr", pickle::Int(2)}})),
      AllOf(HasSubstr("no state dict"), HasSubstr("weights_elsewhere, lr"),
            HasSubstr("torch.save(model.state_dict(), path)")));
}

TEST(Pytorch, ViewsOfLegacyStorages) {
  // (view key, offset, size): what the tensor's own offset counts from.
  const std::string storage = pickle::Storage(
      "FloatStorage", "7", 5, pickle::Tuple({pickle::Text("8"), pickle::Int(2), pickle::Int(3)}));
  const std::string object = pickle::Dict(
      {{"w", pickle::Call(
                 pickle::Global("torch._utils", "_rebuild_tensor"),
                 pickle::Tuple({storage, pickle::Int(1), pickle::Ints({2}), pickle::Ints({1})}))}});
  const std::string bytes = LegacyCheckpoint(object, {{"7", FloatBytes({0, 1, 2, 3, 4})}});
  auto source = PytorchSource::Parse(Borrow(bytes), "x");
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_THAT(source->Read(Ask("w")).value(), ElementsAre(3, 4));
}

// -- What is refused --

TEST(Pytorch, NothingIsExecutedAndClassesAreNamed) {
  EXPECT_THAT(
      ZipError(pickle::Call(pickle::Global("os", "system"), pickle::Tuple({pickle::Text("true")}))),
      AllOf(HasSubstr("'os.system'"), HasSubstr("executes nothing")));
  EXPECT_THAT(ZipError(pickle::Global("builtins", "eval")), HasSubstr("'builtins.eval'"));
  EXPECT_THAT(ZipError(pickle::Text("os") + pickle::Text("system") + "\x93"),
              HasSubstr("'os.system'"));
  // Modules that were saved whole.
  const std::string module = pickle::Global("models.resnet", "ResNet") + ")\x81" +
                             pickle::Dict({{"training", "\x88"}}) + "b";
  EXPECT_THAT(ZipError(module), AllOf(HasSubstr("an object of 'models.resnet.ResNet'"),
                                      HasSubstr("torch.save(model.state_dict(), path)")));
  EXPECT_THAT(ZipError(pickle::Dict({{"epoch", pickle::Int(3)}, {"model", module}})),
              HasSubstr("epoch, model (an object of 'models.resnet.ResNet')"));
  EXPECT_THAT(ZipError("i"), HasSubstr("INST"));
  EXPECT_THAT(ZipError(std::string("\x82\x01", 2)), HasSubstr("EXT1"));
  EXPECT_THAT(ZipError("Pabc\n"), HasSubstr("PERSID"));
  // What is called must be a name or what a call gave.
  EXPECT_THAT(ZipError(pickle::Text("print") + ")R"), HasSubstr("other than a function"));
}

std::string OneFloat(const std::string& key = "0") {
  return pickle::Tensor(pickle::Storage("FloatStorage", key, 1), 0, {1}, {1});
}

/// A matrix, which makes a dict a state dict.
std::string Matrix(const std::string& key = "0") {
  return pickle::Tensor(pickle::Storage("FloatStorage", key, 1), 0, {1, 1}, {1, 1});
}

/// The names of what is taken, or the error.
std::vector<std::string> NamesOf(const std::string& object) {
  const std::string bytes = ZipCheckpoint(object, {{"0", FloatBytes({1})}});
  const auto source = PytorchSource::Parse(Borrow(bytes), "x");
  return source.ok() ? source->Names() : std::vector<std::string>{source.status().message()};
}

TEST(Pytorch, ObjectsBesideTheStateDictAreSkipped) {
  const auto make = [](const std::string& module, const std::string& name,
                       const std::vector<std::string>& arguments) {
    return pickle::Call(pickle::Global(module, name), pickle::Tuple(arguments));
  };
  const auto object = [](const std::string& module, const std::string& name) {
    return pickle::Global(module, name) + ")\x81";
  };
  const std::string state = pickle::Dict({{"lr", pickle::Int(1)}});
  const std::pair<const char*, std::string> kObjects[] = {
      {"argparse.Namespace", object("argparse", "Namespace") + state + "b"},
      {"collections.Counter",
       make("collections", "Counter", {pickle::Dict({{"30", pickle::Int(1)}})})},
      {"collections.defaultdict",
       pickle::Dict({{"k", pickle::Int(1)}},
                    make("collections", "defaultdict", {pickle::Global("builtins", "list")}))},
      {"pathlib path", make("pathlib", "PosixPath", {pickle::Text("a"), pickle::Text("b")})},
      {"enum", make("experiment", "Mode", {pickle::Int(2)})},
      {"nested enum",
       pickle::Call(make("builtins", "getattr", {pickle::Global("a", "B"), pickle::Text("C")}),
                    pickle::Tuple({pickle::Int(1)}))},
      {"set of Python 2", make("__builtin__", "set", {"]" + pickle::Int(1) + "a"})},
      {"old style class", "(" + pickle::Global("a", "B") + pickle::Int(1) + "o" + state + "b"},
      {"keyword arguments", pickle::Global("a", "B") + ")" + state + "\x92"},
      {"list of a class",
       object("omegaconf", "ListConfig") + "(" + pickle::Int(1) + pickle::Int(2) + "e"},
      {"dict of a class", pickle::Dict({{"k", pickle::Int(1)}}, object("easydict", "EasyDict"))},
      {"set of a class", object("a", "Set") + "(" + pickle::Int(1) + "\x90"},
      {"OrderedDict of pairs",
       make("collections", "OrderedDict",
            {"]" + ("(" + pickle::Tuple({pickle::Text("k"), pickle::Int(1)}) + "e")})},
      {"numpy array",
       make("numpy.core.multiarray", "_reconstruct",
            {pickle::Global("numpy", "ndarray"), pickle::Ints({0}), pickle::Text("b")}) +
           pickle::Tuple({pickle::Int(1)}) + "b"},
      {"bytearray", std::string("\x96\x01\0\0\0\0\0\0\0z", 10)},
      {"a class", pickle::Global("torch.optim.sgd", "SGD")},
  };
  for (const auto& [title, value] : kObjects) {
    SCOPED_TRACE(title);
    EXPECT_THAT(NamesOf(pickle::Dict(
                    {{"args", value},
                     {"state_dict", pickle::Dict({{"w", Matrix()}}, pickle::OrderedDict())},
                     {"last", value}})),
                ElementsAre("w"));
    EXPECT_THAT(NamesOf(pickle::Dict({{"w", Matrix()}, {"args", value}})), ElementsAre("w"));
  }
}

TEST(Pytorch, StateDictsAreFoundWhereScriptsPutThem) {
  const auto dict = [](const std::string& name) { return pickle::Dict({{name, Matrix()}}); };
  const auto list = [](const std::vector<std::string>& items) {
    std::string s = "](";
    for (const std::string& item : items) s += item;
    return s + "e";
  };
  EXPECT_THAT(NamesOf(pickle::Dict({{"state_dict", list({dict("w")})}, {"err", pickle::Int(1)}})),
              ElementsAre("w"));
  EXPECT_THAT(NamesOf(list({dict("w")})), ElementsAre("w"));
  EXPECT_THAT(NamesOf(pickle::Tuple({dict("w"), pickle::Int(3)})), ElementsAre("w"));
  EXPECT_THAT(NamesOf(pickle::Dict({{"resnet", dict("w")}, {"accuracy", OneFloat()}})),
              ElementsAre("w"));
  EXPECT_THAT(NamesOf(pickle::Dict({{"model", pickle::Dict({{"state_dict", dict("w")}})}})),
              ElementsAre("w"));
  EXPECT_THAT(NamesOf(pickle::Dict({{"state_dict", list({dict("a"), dict("b")})}})),
              ElementsAre(AllOf(HasSubstr("several state dicts"), HasSubstr("'state_dict[0]'"),
                                HasSubstr("'state_dict[1]'"))));
  EXPECT_THAT(NamesOf(pickle::Dict({{"student", dict("a")}, {"teacher", dict("b")}})),
              ElementsAre(AllOf(HasSubstr("several state dicts"), HasSubstr("'student'"),
                                HasSubstr("'teacher'"))));
  // Optimizers keep tensors by names as well.
  EXPECT_THAT(NamesOf(pickle::Dict({{"optimizer", pickle::Dict({{"state", dict("momentum")}})},
                                    {"net", dict("w")}})),
              ElementsAre("w"));
  // Averages keep the name of their place.
  EXPECT_THAT(NamesOf(pickle::Dict({{"state_dict", dict("w")}, {"state_dict_ema", dict("w")}})),
              ElementsAre("state_dict_ema.w", "w"));
  EXPECT_THAT(
      NamesOf(pickle::Dict(
          {{"model_ema", pickle::Dict({{"module.w", Matrix()}, {"n_averaged", OneFloat()}})},
           {"loss", OneFloat()}})),
      ElementsAre("model_ema.module.w", "model_ema.n_averaged"));
  const std::string bytes = ZipCheckpoint(
      pickle::Dict({{"state_dict", dict("w")}, {"teacher", dict("b")}}), {{"0", FloatBytes({1})}});
  const auto source = PytorchSource::Parse(Borrow(bytes), "x");
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_THAT(source->left_aside(), ElementsAre("'teacher' (1 tensor)"));
}

/// _rebuild_tensor_v2 of three numbers with `more` behind its strides.
std::string TensorWith(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {pickle::Storage("FloatStorage", "0", 3), pickle::Int(0),
                                        pickle::Ints({3}), pickle::Ints({1})};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return pickle::Call(pickle::Global("torch._utils", "_rebuild_tensor_v2"),
                      pickle::Tuple(arguments));
}

/// The values of a state dict's only tensor, or the error.
std::string ReadOne(const std::string& tensor) {
  const std::string bytes =
      ZipCheckpoint(pickle::Dict({{"w", tensor}}), {{"0", FloatBytes({1, -2, 0})}});
  auto source = PytorchSource::Parse(Borrow(bytes), "x");
  if (!source.ok()) return source.status().message();
  const auto values = source->Read(Ask("w"));
  if (!values.ok()) return values.status().message();
  std::string text;
  for (const float v : *values)
    text += (text.empty() ? "" : " ") + std::to_string(static_cast<int>(v));
  return text;
}

TEST(Pytorch, EveryArgumentOfATensorIsHonouredOrRefused) {
  const std::string none = pickle::OrderedDict(), yes = "\x88", no = "\x89";
  EXPECT_EQ(ReadOne(TensorWith({})), "1 -2 0");
  EXPECT_EQ(ReadOne(TensorWith({no, none})), "1 -2 0");
  EXPECT_EQ(ReadOne(TensorWith({yes, none, "N"})), "1 -2 0");
  EXPECT_EQ(ReadOne(TensorWith({yes, none, "}"})), "1 -2 0");
  EXPECT_EQ(ReadOne(TensorWith({no, none, pickle::Dict({{"conj", no}, {"neg", no}})})), "1 -2 0");
  EXPECT_EQ(ReadOne(TensorWith({no, none, pickle::Dict({{"neg", yes}})})), "-1 2 0");
  EXPECT_THAT(ReadOne(TensorWith({no, none, pickle::Dict({{"conj", yes}})})),
              AllOf(HasSubstr("tensor 'w'"), HasSubstr("'conj': True")));
  EXPECT_THAT(ReadOne(TensorWith({no, none, pickle::Dict({{"neg", pickle::Int(1)}})})),
              HasSubstr("'neg': 1"));
  EXPECT_THAT(ReadOne(TensorWith({no, none, pickle::Dict({{"scale", pickle::Int(2)}})})),
              HasSubstr("'scale': 2"));
  EXPECT_THAT(ReadOne(TensorWith({no, none, pickle::Int(5)})), HasSubstr("has 5 as metadata"));
  EXPECT_THAT(ReadOne(TensorWith({no, none, "N", "N"})), HasSubstr("8 arguments"));
  EXPECT_THAT(ReadOne(TensorWith({no, pickle::Dict({{"0", pickle::Global("a", "hook")}})})),
              HasSubstr("backward hooks (a dict of 1)"));
  EXPECT_THAT(ReadOne(TensorWith({no, none}) + pickle::Dict({{"x", pickle::Int(1)}}) + "b"),
              HasSubstr("a state of its own"));
  const auto parameter = [&](const std::string& function, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {TensorWith({no, none})};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return ReadOne(
        pickle::Call(pickle::Global("torch._utils", function), pickle::Tuple(arguments)));
  };
  EXPECT_EQ(parameter("_rebuild_parameter", {yes, none}), "1 -2 0");
  EXPECT_EQ(parameter("_rebuild_parameter_with_state", {yes, none, "}"}), "1 -2 0");
  EXPECT_THAT(parameter("_rebuild_parameter", {yes, none, "N"}), HasSubstr("4 arguments"));
  EXPECT_THAT(parameter("_rebuild_parameter_with_state",
                        {yes, none, pickle::Dict({{"scale", pickle::Int(2)}})}),
              HasSubstr("has attributes (a dict of 1)"));
  EXPECT_THAT(parameter("_rebuild_qtensor", {}), HasSubstr("'torch._utils._rebuild_qtensor'"));
  EXPECT_THAT(parameter("_rebuild_from_type_v2", {}),
              HasSubstr("'torch._utils._rebuild_from_type_v2'"));
  // What holds a storage is a tensor, whoever makes it.
  EXPECT_THAT(ReadOne(pickle::Call(pickle::Global("mine", "Quantized"),
                                   pickle::Tuple({TensorWith({}), pickle::Int(3)}))),
              HasSubstr("no state dict of tensors but w (an object of 'mine.Quantized')"));
  const std::string object = pickle::Dict(
      {{"v", Matrix()},
       {"w", pickle::Call(pickle::Global("mine", "Quantized"), pickle::Tuple({Matrix()}))}});
  const std::string bytes = ZipCheckpoint(object, {{"0", FloatBytes({1})}});
  auto source = PytorchSource::Parse(Borrow(bytes), "x");
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_THAT(source->Names(), ElementsAre("v", "w"));
  EXPECT_THAT(source->Read(Ask("w")).status().message(),
              HasSubstr("tensor 'w' is an object of 'mine.Quantized'"));
}

TEST(Pytorch, ExpandedViewsRepeatTheirElements) {
  const auto view = [](int64_t elements, std::vector<int64_t> shape, std::vector<int64_t> strides) {
    return ReadOne(
        pickle::Tensor(pickle::Storage("FloatStorage", "0", elements), 0, shape, strides));
  };
  EXPECT_EQ(view(3, {2, 3}, {0, 1}), "1 -2 0 1 -2 0");
  EXPECT_EQ(view(3, {3, 2}, {1, 0}), "1 1 -2 -2 0 0");
  EXPECT_EQ(view(3, {4}, {0}), "1 1 1 1");
  EXPECT_THAT(view(3, {int64_t{1} << 30}, {0}), HasSubstr("outside"));
}

TEST(Pytorch, StoragesThatNothingNeedsMayBeOfAnyKind) {
  const std::string other = pickle::Tensor(pickle::Storage("QUInt4x2Storage", "9", 1), 0, {1}, {1});
  EXPECT_THAT(NamesOf(pickle::Dict(
                  {{"model", pickle::Dict({{"w", Matrix()}})}, {"extra", "](" + other + "e"}})),
              ElementsAre("w"));
  EXPECT_THAT(ReadOne(other), HasSubstr("QUInt4x2Storage"));
  EXPECT_THAT(ReadOne(pickle::Tensor(pickle::Storage("ComplexFloatStorage", "0", 1), 0, {1}, {1})),
              HasSubstr("'w' is of complex64"));
}

TEST(Pytorch, DamagedPicklesAreFound) {
  EXPECT_THAT(ZipError("t"), HasSubstr("stack"));
  EXPECT_THAT(ZipError("0"), HasSubstr("stack"));
  EXPECT_THAT(ZipError("h\x05"), HasSubstr("memo 5"));
  EXPECT_THAT(ZipError("}(Nu"), HasSubstr("key without a value"));
  EXPECT_THAT(ZipError("](N"
                       "u"),
              HasSubstr("dict"));
  EXPECT_THAT(ZipError(std::string("X\xff\xff\xff\xff", 5)), HasSubstr("too early"));
  std::string_view rest = "\x80\x06.";
  EXPECT_THAT(ReadPickle(&rest).status().message(), HasSubstr("protocol 6"));
  std::string many(3000000, 'N');
  rest = many;
  EXPECT_THAT(ReadPickle(&rest).status().message(), HasSubstr("values"));
  // A list inside itself is no trouble.
  EXPECT_THAT(ZipError("]q\x01h\x01"
                       "a"),
              HasSubstr("no state dict"));
}

TEST(Pytorch, TensorsStayInsideTheirStorages) {
  const auto error = [](int64_t elements, int64_t offset, std::vector<int64_t> shape,
                        std::vector<int64_t> strides) {
    return ZipError(
        pickle::Dict({{"w", pickle::Tensor(pickle::Storage("FloatStorage", "0", elements), offset,
                                           shape, strides)}}),
        {{"0", FloatBytes(std::vector<float>(6))}});
  };
  EXPECT_EQ(error(6, 0, {2, 3}, {3, 1}), "accepted");
  EXPECT_THAT(error(6, 1, {2, 3}, {3, 1}),
              AllOf(HasSubstr("'w'"), HasSubstr("outside of its storage")));
  EXPECT_THAT(error(6, 0, {2, 3}, {4, 1}), HasSubstr("outside"));
  EXPECT_THAT(error(6, -1, {2}, {1}), HasSubstr("numbers"));
  EXPECT_THAT(error(6, 0, {2}, {-1}), HasSubstr("numbers"));
  EXPECT_THAT(error(6, 0, {2, 3}, {1}), HasSubstr("fit each other"));
  EXPECT_THAT(error(6, 0, {int64_t{1} << 40}, {0}), HasSubstr("outside"));
  EXPECT_THAT(error(6, 0, {int64_t{1} << 62, 8}, {1, 1}), HasSubstr("outside"));
  EXPECT_THAT(error(6, int64_t{1} << 62, {2}, {1}), HasSubstr("outside"));
  // Fewer bytes in the archive than the pickle says.
  const std::string bytes = ZipCheckpoint(
      pickle::Dict(
          {{"w", pickle::Tensor(pickle::Storage("FloatStorage", "0", 600), 0, {600}, {1})}}),
      {{"0", FloatBytes({1, 2})}});
  auto source = PytorchSource::Parse(Borrow(bytes), "x");
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_THAT(source->Read(Ask("w")).status().message(), HasSubstr("8 bytes, expected 2400"));
}

TEST(Pytorch, LegacyStorageListIsChecked) {
  const std::string object =
      pickle::Dict({{"w", pickle::Tensor(pickle::Storage("FloatStorage", "0", 2), 0, {2}, {1})}});
  EXPECT_EQ(ParseError(LegacyCheckpoint(object, {{"0", FloatBytes({1, 2})}})), "accepted");
  EXPECT_THAT(ParseError(LegacyCheckpoint(object, {})), HasSubstr("not in the file"));
  EXPECT_THAT(
      ParseError(LegacyCheckpoint(object, {{"0", FloatBytes({1, 2})}, {"1", FloatBytes({1})}})),
      HasSubstr("not used"));
  EXPECT_THAT(ParseError(LegacyCheckpoint(object, {{"0", FloatBytes({1, 2, 3})}})),
              HasSubstr("3 elements"));
  const std::string good = LegacyCheckpoint(object, {{"0", FloatBytes({1, 2})}});
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(ParseError(good.substr(0, size)), "accepted") << size;
}

TEST(Pytorch, ScriptedModulesAndOtherArchivesAreRefused) {
  ZipBuilder script;
  script.Add("net/data.pkl", pickle::Finish("N"));
  script.Add("net/code/__torch__.py", "pass");
  EXPECT_THAT(ParseError(script.Build()),
              AllOf(HasSubstr("scripted"), HasSubstr("torch.save(model.state_dict(), path)")));
  ZipBuilder other;
  other.Add("readme.txt", "hello");
  EXPECT_THAT(ParseError(other.Build()), HasSubstr("data.pkl"));
  ZipBuilder big;
  big.Add("net/data.pkl", pickle::Finish("N"));
  big.Add("net/byteorder", "big");
  EXPECT_THAT(ParseError(big.Build()), HasSubstr("byte order"));
}

// -- Real models --

TEST(Pytorch, ModelOfTheFlowersGivesItsReferenceProbabilities) {
  OCTET_REQUIRE_MODELS();
  const std::string models = ModelsDir() + "/flowers/";
  ImportOptions options;
  EXPECT_THAT(ImportModel(models + "flowers_resnet.pth", options).status().message(),
              HasSubstr("--graph"));
  options.graph = "flowers_resnet";
  const Result<Graph> graph = ImportModel(models + "flowers_resnet.pth", options);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph.value().metadata.source, "pytorch zip with graph flowers_resnet");
  auto images = NpyReader::Open(models + "test_images_160.npy");
  auto expected = NpyReader::Open(models + "test_probabilities.npy");
  ASSERT_TRUE(images.ok() && expected.ok());
  std::vector<float> image(160 * 160 * 3), probabilities(5);
  ASSERT_TRUE(images->ReadFloats(0, 160 * 160 * 3, image.data()).ok());
  ASSERT_TRUE(expected->ReadFloats(0, 5, probabilities.data()).ok());
  const Preprocessing& pre = graph.value().metadata.preprocessing;
  Values input(image.size());
  for (size_t k = 0; k < image.size(); ++k)
    input[k] = (image[k] * pre.scale - pre.mean[k % 3]) / pre.stddev[k % 3];
  const Values scores = NaiveInterpreter(graph.value()).RunOutput({input});
  for (size_t c = 0; c < 5; ++c) EXPECT_NEAR(scores[c], probabilities[c], 1e-4);
}

TEST(Pytorch, LegacyResnet20ScoresAsPublished) {
  OCTET_REQUIRE_DATA();
  ImportOptions options;
  options.graph = "cifar_resnet20";
  Result<Graph> graph = ImportModel(DataDir() + "/resnet-cifar/resnet20.th", options);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph->metadata.source, "pytorch legacy with graph cifar_resnet20");
  ASSERT_TRUE(Optimize(&graph.value()).ok());
  const Result<Graph> fp32 = QuantizeGraph(graph.value(), {}, nullptr);
  ASSERT_TRUE(fp32.ok()) << fp32.status().message();
  const auto bytes = SerializeOctet(fp32.value(), {});
  ASSERT_TRUE(bytes.ok());
  const auto model = Model::FromMemory(bytes.value().data(), bytes.value().size());
  ASSERT_TRUE(model.ok()) << model.status().message();
  const auto session = Session::Create(model.value());
  ASSERT_TRUE(session.ok()) << session.status().message();
  auto dataset =
      OpenDataset(DataDir() + "/cifar10/test", {.labels = CifarLabels(), .need_labels = true});
  ASSERT_TRUE(dataset.ok()) << dataset.status().message();
  std::vector<float> input(32 * 32 * 3), logits(10);
  int images = 0, right = 0;
  for (Sample sample;;) {
    const Result<bool> more = dataset.value()->Next(&sample);
    ASSERT_TRUE(more.ok()) << more.status().message();
    if (!more.value()) break;
    Image image;
    image.pixels = sample.image.rgb.data();
    image.width = sample.image.width;
    image.height = sample.image.height;
    ASSERT_TRUE(session.value()->Preprocess(image, input.data()).ok());
    const void* inputs[] = {input.data()};
    void* outputs[] = {logits.data()};
    ASSERT_TRUE(session.value()->Run(inputs, outputs).ok());
    ++images;
    right += std::max_element(logits.begin(), logits.end()) - logits.begin() == sample.label;
  }
  EXPECT_EQ(images, 1000);
  EXPECT_EQ(right, 912);
}

}  // namespace
}  // namespace octet
