// A weight that is NaN or infinite in the file, or becomes so while it is folded, is refused by
// every importer, with the tensor and the element.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "converter/import/checkpoints/graph_description.h"
#include "converter/import/checkpoints/resnet_builder.h"
#include "converter/import/checkpoints/synthetic_tensors.h"
#include "converter/import/importer.h"
#include "converter/import/zip_reader.h"
#include "converter/passes/passes.h"
#include "formats/base/dtype.h"
#include "tests/unit/data_test_util.h"
#include "tests/unit/onnx_builder.h"
#include "tests/unit/pytorch_builder.h"
#include "tests/unit/safetensors_builder.h"
#include "tests/unit/saved_model_builder.h"

namespace octet {
namespace {

using namespace octet::testing;  // NOLINT: builders of small files.
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// What is wrong with a file: one weight of the first convolution, or the variance of the batch
/// norm behind it, whose root is taken at import.
struct Fault {
  float weight = 0.25f;
  float variance = 1.0f;
};

struct Source {
  std::string name;
  /// Writes a model with the fault and gives its path.
  std::function<std::string(const TempDir&, const Fault&)> write;
  std::string tensor;  ///< That has the weight, as errors name it.
  std::string graph;   ///< Description, for checkpoints; written into the folder.
  bool has_variance = true;
};
void PrintTo(const Source& source, std::ostream* out) { *out << source.name; }

std::string ReadText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}
std::string Tiny(const std::string& name) { return OCTET_SOURCE_DIR "/tests/data/tiny/" + name; }

// --- ONNX and SavedModel: a 1x1 convolution of 3 channels to 2 and a batch norm ---

std::string WriteOnnx(const TempDir& dir, const Fault& fault, OnnxStorage storage) {
  OnnxBuilder b(13);
  b.Input("x", {1, 3, 4, 4}).Output("y");
  b.Initializer(FloatTensor("w", {2, 3, 1, 1}, {1, 2, 3, 4, 5, fault.weight}, storage));
  b.Node("Conv", {"x", "w"}, {"c"}, {}, "conv");
  for (const char* name : {"g", "b", "m"}) b.Initializer(FloatTensor(name, {2}, {1, 1}));
  b.Initializer(FloatTensor("v", {2}, {1, fault.variance}));
  b.Node("BatchNormalization", {"c", "g", "b", "m", "v"}, {"y"}, {}, "norm");
  WriteFile(dir / "m.onnx", b.Build());
  return dir / "m.onnx";
}

std::string WriteTfSavedModel(const TempDir& dir, const Fault& fault) {
  TfSavedModel model;
  model.input_shape = {-1, 4, 4, 3};
  model.Add("image", "Placeholder", {},
            {{"dtype", AttrType(kTfFloat)}, {"shape", AttrShape(model.input_shape)}});
  // HWIO: the last of [1,1,3,2] is element 5 of OHWI as well.
  model.Add("w", "Const", {}, {{"value", AttrFloats({1, 1, 3, 2}, {1, 2, 3, 4, 5, fault.weight})}});
  model.Add("conv", "Conv2D", {"image", "w"},
            {{"strides", AttrInts({1, 1, 1, 1})}, {"padding", AttrString("SAME")}});
  for (const char* name : {"g", "b", "m"}) {
    model.Add(name, "Const", {}, {{"value", AttrFloats({2}, {1, 1})}});
  }
  model.Add("v", "Const", {}, {{"value", AttrFloats({2}, {1, fault.variance})}});
  model.Add("norm", "FusedBatchNormV3", {"conv", "g", "b", "m", "v"},
            {{"is_training", AttrBool(false)}});
  model.output = "norm";
  WriteSavedModel(dir / "saved", model, nullptr);
  return dir / "saved";
}

// --- TFLite and Keras: the tiny models, one number replaced ---

/// The bytes of `from`, which occur once, become those of `to`.
template <typename T>
std::string Replace(std::string file, const std::vector<T>& from, const std::vector<T>& to) {
  const std::string pattern(reinterpret_cast<const char*>(from.data()), from.size() * sizeof(T));
  const size_t at = file.find(pattern);
  EXPECT_NE(at, std::string::npos);
  EXPECT_EQ(file.find(pattern, at + 1), std::string::npos);
  if (at != std::string::npos) std::memcpy(file.data() + at, to.data(), pattern.size());
  return file;
}

/// Element 5 of the first weights in the graph that the file gives; TFLite's and octet's order are
/// the same.
std::vector<float> WeightsOf(const std::string& path) {
  const Result<Graph> graph = ImportModel(path, {});
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  for (const Node& n : graph->nodes) {
    if (n.type != OpType::kConv2d) continue;
    const std::span<const float> w = graph->tensor(n.inputs[kInputWeights]).values<float>();
    return {w.begin(), w.end()};
  }
  ADD_FAILURE() << "no convolution";
  return {};
}

std::string WriteTflite(const TempDir& dir, const Fault& fault, const std::string& name) {
  const std::vector<float> w = WeightsOf(Tiny(name));
  std::string file = ReadText(Tiny(name));
  if (name == "fp16.tflite") {
    std::vector<uint16_t> from, to;
    for (size_t i = 2; i < 8; ++i) from.push_back(FloatToHalf(w[i]));
    to = from;
    to[3] = FloatToHalf(fault.weight);
    file = Replace(file, from, to);
  } else {
    file = Replace<float>(file, {w[5]}, {fault.weight});
  }
  WriteFile(dir / name, file);
  return dir / name;
}

/// The variance is at least 0, but an epsilon far below 0 has the same effect.
std::string WithFault(const std::string& config, const Fault& fault) {
  const std::string good = "\"epsilon\": 0.001";
  EXPECT_NE(config.find(good), std::string::npos);
  if (fault.variance >= 0) return config;
  std::string bad = config;
  bad.replace(config.find(good), good.size(), "\"epsilon\": -1e20");
  return bad;
}

std::string WriteKeras(const TempDir& dir, const Fault& fault, bool zip) {
  const std::vector<float> w = WeightsOf(Tiny("model.keras"));
  if (!zip) {
    const std::string file = WithFault(ReadText(Tiny("model.h5")), fault);
    WriteFile(dir / "model.h5", Replace<float>(file, {w[5]}, {fault.weight}));
    return dir / "model.h5";
  }
  const std::string file = ReadText(Tiny("model.keras"));
  const auto reader = ZipReader::Open(Borrow(file), "model.keras");
  EXPECT_TRUE(reader.ok());
  const auto read = [&](const char* name) {
    return std::string(reader->Read(*reader->Find(name))->text());
  };
  ZipBuilder builder;
  builder.Add("config.json", WithFault(read("config.json"), fault));
  builder.Add("model.weights.h5", Replace<float>(read("model.weights.h5"), {w[5]}, {fault.weight}));
  WriteFile(dir / "model.keras", builder.Build());
  return dir / "model.keras";
}

// --- Checkpoints with a graph description ---

constexpr char kDescription[] =
    R"({"name":"tiny","input":{"name":"image","shape":[8,8,3]},"output":"p",)"
    R"("architecture":{"family":"resnet","version":1,"block":"basic","shortcut":"projection",)"
    R"("stem":{"channels":2,"kernel":3,"stride":1,"max_pool":false},)"
    R"("stages":[{"blocks":1,"channels":2,"stride":1}],"head":[{"dense":2},"softmax"]},"names":["torchvision"]})";

struct NamedTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

/// Every tensor of the description's network, with the fault in it.
std::map<std::string, NamedTensor> Tensors(const Fault& fault) {
  class Recorder : public TensorSource {
   public:
    std::vector<std::string> Names() const override { return {}; }
    std::optional<std::vector<int64_t>> FindShape(const TensorRequest& r) const override {
      return r.shape;
    }
    Result<std::vector<float>> Read(const TensorRequest& r) override {
      auto values = synthetic.Read(r);
      tensors[r.name] = {r.shape, *values};
      return values;
    }
    SyntheticTensorSource synthetic{1};
    std::map<std::string, NamedTensor> tensors;
  } recorder;
  const auto description = ParseGraphDescription(kDescription, "tiny");
  EXPECT_TRUE(description.ok()) << description.status().message();
  EXPECT_TRUE(BuildResnet(*description, recorder).ok());
  recorder.tensors.at("conv1.weight").values[5] = fault.weight;
  recorder.tensors.at("bn1.running_var").values[1] = fault.variance;
  return recorder.tensors;
}

std::string WriteSafetensors(const TempDir& dir, const Fault& fault, bool half) {
  SafetensorsBuilder builder;
  for (const auto& [name, t] : Tensors(fault)) {
    std::vector<uint16_t> halves;
    for (float v : t.values) halves.push_back(FloatToHalf(v));
    half ? builder.Add(name, "F16", t.shape, halves) : builder.Add(name, "F32", t.shape, t.values);
  }
  WriteFile(dir / "m.safetensors", builder.Build());
  return dir / "m.safetensors";
}

std::string WritePytorch(const TempDir& dir, const Fault& fault, bool legacy) {
  std::vector<std::pair<std::string, std::string>> items;
  StorageBytes storages;
  for (const auto& [name, t] : Tensors(fault)) {
    const std::string key = std::to_string(storages.size());
    std::vector<int64_t> strides(t.shape.size(), 1);
    for (size_t i = strides.size(); i-- > 1;) strides[i - 1] = strides[i] * t.shape[i];
    const auto count = static_cast<int64_t>(t.values.size());
    items.emplace_back(
        name, pickle::Tensor(pickle::Storage("FloatStorage", key, count, legacy ? "N" : ""), 0,
                             t.shape, strides));
    storages[key] = FloatBytes(t.values);
  }
  const std::string object = pickle::Dict(items);
  WriteFile(dir / "m.pth",
            legacy ? LegacyCheckpoint(object, storages) : ZipCheckpoint(object, storages));
  return dir / "m.pth";
}

class FiniteWeightsTest : public ::testing::TestWithParam<Source> {
 protected:
  /// Import and optimization, as octet_convert does them.
  Status Import(const Fault& fault) const {
    const TempDir dir;
    ImportOptions options;
    if (!GetParam().graph.empty()) {
      options.graph = dir / "graph.json";
      WriteFile(options.graph, GetParam().graph);
    }
    Result<Graph> graph = ImportModel(GetParam().write(dir, fault), options);
    if (!graph.ok()) return graph.status();
    return Optimize(&*graph);
  }
};

TEST_P(FiniteWeightsTest, WeightsAreNamedWithTheirElement) {
  const Status good = Import({});
  EXPECT_TRUE(good.ok()) << good.message();
  for (const auto& [value, text] :
       {std::pair(kNan, "nan"), {kInfinity, "inf"}, {-kInfinity, "-inf"}}) {
    const Status status = Import({.weight = value});
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("'" + GetParam().tensor + "'"),
                                        HasSubstr(": element 5: found " + std::string(text)),
                                        HasSubstr(", expected a finite number")));
    EXPECT_EQ(status.message().find('\n'), std::string::npos);
  }
}

TEST_P(FiniteWeightsTest, ResultsOfFoldingAreNamedToo) {
  if (!GetParam().has_variance) GTEST_SKIP() << "its batch norms are folded by its exporter";
  const Status root = Import({.variance = -1.0f});
  EXPECT_FALSE(root.ok());
  // Some importers look at variances themselves and can name the source's own number.
  EXPECT_THAT(
      root.message(),
      AnyOf(AllOf(HasSubstr("'norm'"), HasSubstr("variance"), HasSubstr("channel ")),
            HasSubstr("tensor 'bn1.running_var': its variance is -1 at channel 1"),
            AllOf(HasSubstr("tensor '"), HasSubstr("element 1: found "), HasSubstr("nan"))));
}

INSTANTIATE_TEST_SUITE_P(
    Importers, FiniteWeightsTest,
    ::testing::Values(
        Source{"onnx", [](auto& d, auto& f) { return WriteOnnx(d, f, OnnxStorage::kRaw); }, "w",
               ""},
        Source{"onnx_half", [](auto& d, auto& f) { return WriteOnnx(d, f, OnnxStorage::kHalf); },
               "w", ""},
        Source{"savedmodel", WriteTfSavedModel, "conv.weight", ""},
        Source{"tflite", [](auto& d, auto& f) { return WriteTflite(d, f, "fp32.tflite"); },
               "tiny_1/relu_1/Relu.weight", "", false},
        Source{"tflite_half", [](auto& d, auto& f) { return WriteTflite(d, f, "fp16.tflite"); },
               "tiny_1/relu_1/Relu.weight", "", false},
        Source{"h5", [](auto& d, auto& f) { return WriteKeras(d, f, false); }, "conv.weight", ""},
        Source{"keras", [](auto& d, auto& f) { return WriteKeras(d, f, true); }, "conv.weight", ""},
        Source{"safetensors", [](auto& d, auto& f) { return WriteSafetensors(d, f, false); },
               "conv1.weight", kDescription},
        Source{"safetensors_half", [](auto& d, auto& f) { return WriteSafetensors(d, f, true); },
               "conv1.weight", kDescription},
        Source{"pytorch", [](auto& d, auto& f) { return WritePytorch(d, f, false); },
               "conv1.weight", kDescription},
        Source{"pytorch_legacy", [](auto& d, auto& f) { return WritePytorch(d, f, true); },
               "conv1.weight", kDescription}),
    [](const auto& source) { return source.param.name; });

// What is finite in the file may overflow where a batch norm is folded into it.
TEST(FiniteWeights, OverflowInFoldingIsAnError) {
  const TempDir dir;
  const std::string paths[] = {
      WriteOnnx(dir, {.weight = 3e38f, .variance = 0.0f}, OnnxStorage::kRaw),
      WriteTfSavedModel(dir, {.weight = 3e38f, .variance = 0.0f})};
  for (const std::string& path : paths) {
    Result<Graph> graph = ImportModel(path, {});
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    const Status status = Optimize(&*graph);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(),
                AllOf(HasSubstr("after folding: tensor '"), HasSubstr("element 5: found inf")));
  }
}

}  // namespace
}  // namespace octet
