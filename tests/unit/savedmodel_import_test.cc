// SavedModels: the bundle of variables, function inlining, TensorFlow's operators and what is
// refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "converter/import/builder/unary.h"
#include "converter/import/importer.h"
#include "converter/import/tensorflow/saved_model.h"
#include "converter/import/tensorflow/snappy.h"
#include "converter/import/tensorflow/tensor_bundle.h"
#include "converter/passes/passes.h"
#include "formats/base/str_cat.h"
#include "formats/data/npy.h"
#include "tests/data_dir.h"
#include "tests/unit/data_test_util.h"
#include "tests/unit/naive_interpreter.h"
#include "tests/unit/saved_model_builder.h"
#include "tests/unit/unary_reference.h"

namespace octet {
namespace {

using namespace octet::testing;  // NOLINT: builders of small files.
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SavedModelTest : public ::testing::Test {
 protected:
  std::string Folder() const { return folder_.path() + "/model"; }

  Result<Graph> Import(const TfSavedModel& model, BundleBuilder* bundle = nullptr) {
    std::filesystem::remove_all(Folder());
    WriteSavedModel(Folder(), model, bundle);
    return ImportModel(Folder(), {});
  }

  std::string ImportError(const TfSavedModel& model, BundleBuilder* bundle = nullptr) {
    const Result<Graph> graph = Import(model, bundle);
    return graph.ok() ? "accepted" : graph.status().message();
  }

  TempDir folder_;
};

/// A model of one chain: every node takes the one before and whatever constants it names.
TfSavedModel Chain(const std::vector<int64_t>& input_shape) {
  TfSavedModel model;
  model.input_shape = input_shape;
  model.Add("image", "Placeholder", {},
            {{"dtype", AttrType(kTfFloat)}, {"shape", AttrShape(input_shape)}});
  model.output = "image";
  return model;
}

void Then(TfSavedModel* model, const std::string& name, const std::string& op,
          std::vector<std::string> constants = {}, Attributes attributes = {}) {
  constants.insert(constants.begin(), model->output);
  model->Add(name, op, std::move(constants), std::move(attributes));
  model->output = name;
}

Values RunOn(const Graph& graph, const Values& input) {
  return NaiveInterpreter(graph).RunOutput({input});
}

int Count(const Graph& graph, OpType type) {
  int n = 0;
  for (const Node& node : graph.nodes) n += node.type == type;
  return n;
}

// -- The bundle --

class TensorBundleTest : public ::testing::Test {
 protected:
  Result<TensorBundle> Open(const std::string& index, const std::string& data) {
    WriteText(folder_.path() + "/v.index", index);
    WriteText(folder_.path() + "/v.data-00000-of-00001", data);
    return TensorBundle::Open(folder_.path() + "/v");
  }
  std::string OpenError(const std::string& index, const std::string& data) {
    const auto bundle = Open(index, data);
    return bundle.ok() ? "accepted" : bundle.status().message();
  }
  BundleBuilder Sample() const {
    BundleBuilder builder;
    builder.AddFloats("layer/kernel/.ATTRIBUTES/VARIABLE_VALUE", {2, 2}, {1, 2, 3, 4});
    builder.AddFloats("layer/bias/.ATTRIBUTES/VARIABLE_VALUE", {2}, {5, 6});
    builder.AddFloats("other", {1}, {7});
    builder.AddString("text", std::string(300, 'x'));
    return builder;
  }
  TempDir folder_;
};

TEST_F(TensorBundleTest, ReadsTensorsAndStrings) {
  BundleBuilder builder = Sample();
  for (const size_t per_block : {1u, 2u, 3u, 100u}) {
    auto bundle = Open(builder.Index(per_block), builder.data());
    ASSERT_TRUE(bundle.ok()) << bundle.status().message();
    EXPECT_EQ(bundle->entries().size(), 4u);
    const auto bytes = bundle->Read("layer/kernel/.ATTRIBUTES/VARIABLE_VALUE");
    ASSERT_TRUE(bytes.ok()) << bytes.status().message();
    float values[4];
    ASSERT_EQ(bytes.value().size(), sizeof(values));
    std::memcpy(values, bytes.value().data(), sizeof(values));
    EXPECT_THAT(values, ElementsAre(1, 2, 3, 4));
    EXPECT_THAT(bundle->entries().find("layer/kernel/.ATTRIBUTES/VARIABLE_VALUE")->second.shape,
                ElementsAre(2, 2));
    EXPECT_EQ(bundle->ReadString("text").value(), std::string(300, 'x'));
    EXPECT_EQ(bundle->Read("none").status().code(), StatusCode::kNotFound);
    EXPECT_EQ(bundle->Read("text").status().code(), StatusCode::kUnsupported);
    EXPECT_EQ(bundle->ReadString("other").status().code(), StatusCode::kUnsupported);
  }
}

TEST_F(TensorBundleTest, EveryFlippedBitOfTheIndexBlocksIsFound) {
  BundleBuilder builder = Sample();
  const std::string index = builder.Index(2);
  for (size_t i = 0; i + 48 < index.size(); ++i) {  // The footer has no checksum.
    std::string damaged = index;
    damaged[i] = static_cast<char>(damaged[i] ^ 16);
    auto bundle = Open(damaged, builder.data());
    // The metaindex block is not needed and not read: nothing else may be damaged unnoticed.
    bool in_metaindex = false;
    const auto& metaindex = builder.blocks()[builder.blocks().size() - 2];
    in_metaindex = i >= metaindex.first && i < metaindex.first + metaindex.second + 4;
    EXPECT_EQ(bundle.ok(), in_metaindex) << "byte " << i;
  }
}

TEST_F(TensorBundleTest, DamagedDataIsFoundWhenRead) {
  BundleBuilder builder = Sample();
  std::string data = builder.data();
  data[5] = static_cast<char>(data[5] ^ 1);
  data.back() = 'y';
  auto bundle = Open(builder.Index(), data);
  ASSERT_TRUE(bundle.ok());
  EXPECT_THAT(bundle->Read("layer/kernel/.ATTRIBUTES/VARIABLE_VALUE").status().message(),
              HasSubstr("CRC32C"));
  EXPECT_THAT(bundle->ReadString("text").status().message(), HasSubstr("CRC32C"));
  EXPECT_TRUE(bundle->Read("other").ok());
  auto truncated = Open(builder.Index(), builder.data().substr(0, 10));
  ASSERT_TRUE(truncated.ok());
  EXPECT_THAT(truncated->Read("layer/kernel/.ATTRIBUTES/VARIABLE_VALUE").status().message(),
              HasSubstr("outside of shard"));
}

TEST_F(TensorBundleTest, RefusesWhatItCannotRead) {
  BundleBuilder builder = Sample();
  EXPECT_THAT(OpenError(builder.Index(3, 1), builder.data()), HasSubstr("Snappy"));
  EXPECT_THAT(OpenError(builder.Index(3, 2), builder.data()), HasSubstr("compressed"));
  EXPECT_THAT(OpenError(builder.Index(3, 0, 1), builder.data()), HasSubstr("big-endian"));
  EXPECT_THAT(OpenError(std::string(100, 'a'), ""), HasSubstr("magic"));
  EXPECT_THAT(OpenError("short", ""), HasSubstr("at least 48"));
  BundleBuilder wrong_size;
  wrong_size.Add("v", kTfFloat, {3}, std::string(8, '\0'));
  auto bundle = Open(wrong_size.Index(), wrong_size.data());
  ASSERT_TRUE(bundle.ok());
  EXPECT_THAT(bundle->Read("v").status().message(), HasSubstr("expected 3 elements"));
  std::filesystem::remove(folder_.path() + "/v.data-00000-of-00001");
  EXPECT_EQ(TensorBundle::Open(folder_.path() + "/v").status().code(), StatusCode::kNotFound);
}

// -- The graph --

/// Pixels that the expected values below were computed for.
Values SamplePixels(int image) {
  Values pixels(9 * 8 * 3);
  for (size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<double>((i * 71 + 13 + static_cast<size_t>(image) * 29) % 256);
  return pixels;
}

TEST_F(SavedModelTest, SampleGivesWhatTensorFlowGives) {
  BundleBuilder bundle;
  const TfSavedModel model = SampleSavedModel(&bundle);
  const Result<Graph> graph = Import(model, &bundle);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph.value().metadata.source, "savedmodel tensorflow 2.99.0");
  EXPECT_EQ(graph.value().metadata.preprocessing.scale, 1.0f);  // The network scales its input.
  EXPECT_EQ(graph.value().tensor(graph.value().inputs[0]).name, "image");
  EXPECT_EQ(graph.value().tensor(graph.value().outputs[0]).name, "scores");
  // Both batch norms, one written as arithmetic, are one node each; biases are in their layers.
  EXPECT_EQ(Count(graph.value(), OpType::kScaleShift), 3);
  EXPECT_EQ(Count(graph.value(), OpType::kReshape), 1);
  // The same network and weights computed by TensorFlow 2.21.
  const double expected[2][5] = {{0.1482107937335968, 0.2078433632850647, 0.23715101182460785,
                                  0.12327942997217178, 0.28351539373397827},
                                 {0.17905326187610626, 0.2026882916688919, 0.23788391053676605,
                                  0.12144384533166885, 0.2589307129383087}};
  for (int image = 0; image < 2; ++image) {
    const Values scores = RunOn(graph.value(), SamplePixels(image));
    ASSERT_EQ(scores.size(), 5u);
    for (size_t c = 0; c < 5; ++c)
      EXPECT_NEAR(scores[c], expected[image][c], 2e-6) << image << " " << c;
  }
}

TEST_F(SavedModelTest, SamePaddingPutsTheOddPixelBehind) {
  // 4 wide, kernel 3, stride 2: one pixel of padding, to the right and below.
  TfSavedModel model = Chain({-1, 4, 4, 1});
  model.Add("w", "Const", {}, {{"value", AttrFloats({3, 3, 1, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9})}});
  Then(&model, "conv", "Conv2D", {"w"},
       {{"strides", AttrInts({1, 2, 2, 1})}, {"padding", AttrString("SAME")}});
  const Result<Graph> graph = Import(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const Window& w = graph.value().nodes[0].window;
  EXPECT_EQ(w.pad_top, 0);
  EXPECT_EQ(w.pad_bottom, 1);
  EXPECT_EQ(w.pad_left, 0);
  EXPECT_EQ(w.pad_right, 1);
  EXPECT_THAT(RunOn(graph.value(), Values(16, 1.0)), ElementsAre(45, 27, 21, 12));
}

TEST_F(SavedModelTest, VariablesAreFoundByObjectGraphAndByName) {
  const auto make = [](const std::string& shared_name) {
    TfSavedModel model = Chain({-1, 2});
    model.Add("handle", "VarHandleOp", {}, {{"shared_name", AttrString(shared_name)}});
    model.Add("w", "ReadVariableOp", {"handle"});
    Then(&model, "matmul", "MatMul", {"w"});
    return model;
  };
  BundleBuilder bundle;
  bundle.AddFloats("plain", {2, 1}, {3, 4});
  bundle.AddFloats("layer/kernel/.ATTRIBUTES/VARIABLE_VALUE", {2, 1}, {10, 20});
  bundle.AddString("_CHECKPOINTABLE_OBJECT_GRAPH", Message([](auto& w) {
                     w.add_message(1, Message([](auto& object) {
                                     object.add_message(
                                         2, Message([](auto& attribute) {
                                           attribute.add_string(1, "VARIABLE_VALUE");
                                           attribute.add_string(2, "dense/kernel");
                                           attribute.add_string(
                                               3, "layer/kernel/.ATTRIBUTES/VARIABLE_VALUE");
                                         }));
                                   }));
                   }));
  const Result<Graph> named = Import(make("plain"), &bundle);
  ASSERT_TRUE(named.ok()) << named.status().message();
  EXPECT_THAT(RunOn(named.value(), {1, 1}), ElementsAre(7));
  const Result<Graph> object = Import(make("dense/kernel"), &bundle);
  ASSERT_TRUE(object.ok()) << object.status().message();
  EXPECT_THAT(RunOn(object.value(), {1, 1}), ElementsAre(30));
  EXPECT_THAT(ImportError(make("nowhere"), &bundle), HasSubstr("variable 'nowhere'"));
  EXPECT_THAT(ImportError(make("plain")), HasSubstr("variables/ is missing"));
}

TEST_F(SavedModelTest, ArithmeticOnTheInputStaysInTheNetwork) {
  const auto imported = [&](const TfSavedModel& model) {
    const Result<Graph> graph = Import(model);
    EXPECT_TRUE(graph.ok()) << graph.status().message();
    if (!graph.ok()) return Graph();
    EXPECT_EQ(graph->metadata.preprocessing.scale, 1.0f);
    EXPECT_EQ(graph->metadata.preprocessing.order, ChannelOrder::kRgb);
    return *graph;
  };
  {
    // Reversed channels, a mean each: Caffe's way.
    TfSavedModel model = Chain({-1, 1, 1, 3});
    model.Add("begin", "Const", {}, {{"value", AttrInt32s({0, 0, 0, 0})}});
    model.Add("minus", "Const", {}, {{"value", AttrInt32s({1, 1, 1, -1})}});
    model.Add("mean", "Const", {}, {{"value", AttrFloats({3}, {-100, -110, -120})}});
    Then(&model, "reverse", "StridedSlice", {"begin", "begin", "minus"},
         {{"begin_mask", AttrInt(15)}, {"end_mask", AttrInt(15)}});
    Then(&model, "bias", "BiasAdd", {"mean"});
    EXPECT_THAT(RunOn(imported(model), {101, 202, 303}), ElementsAre(203, 92, -19));
  }
  {
    // A mean before the reversal belongs to the other channel. In front of a convolution the
    // reversal costs nothing: its weights take it.
    TfSavedModel model = Chain({-1, 1, 1, 3});
    model.Add("mean", "Const", {}, {{"value", AttrFloats({3}, {-100, -110, -120})}});
    model.Add("axis", "Const", {}, {{"value", AttrInt32s({-1})}});
    model.Add("half", "Const", {}, {{"value", AttrFloats({3}, {0.5, 1, 2})}});
    model.Add("w", "Const", {}, {{"value", AttrFloats({1, 1, 3, 1}, {1, 10, 100})}});
    Then(&model, "bias", "BiasAdd", {"mean"});
    Then(&model, "reverse", "ReverseV2", {"axis"});
    Then(&model, "mul", "Mul", {"half"});
    Then(&model, "conv", "Conv2D", {"w"},
         {{"strides", AttrInts({1, 1, 1, 1})}, {"padding", AttrString("VALID")}});
    Graph graph = imported(model);
    // (303 - 120) * 0.5, (202 - 110) * 1, (101 - 100) * 2.
    EXPECT_THAT(RunOn(graph, {101, 202, 303}), ElementsAre(91.5 + 920 + 200));
    ASSERT_TRUE(Optimize(&graph).ok());
    EXPECT_EQ(Count(graph, OpType::kConv2d), 1);
    EXPECT_EQ(Count(graph, OpType::kScaleShift), 1);
    EXPECT_THAT(RunOn(graph, {101, 202, 303}), ElementsAre(91.5 + 920 + 200));
  }
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{-1, 4, 4, 4}, {-1, 4, 4, 3}, {-1, 4, 4, 2}, {-1, 3}}) {
    TfSavedModel model = Chain(shape);
    model.Add("minus", "Const", {}, {{"value", AttrFloats({}, {-0.5})}});
    Then(&model, "mul", "Mul", {"minus"});
    size_t size = 1;
    for (int64_t d : shape) size *= static_cast<size_t>(std::max<int64_t>(d, 1));
    EXPECT_THAT(RunOn(imported(model), Values(size, 4.0)), ::testing::Each(-2.0));
  }
}

TEST_F(SavedModelTest, ArithmeticThatOthersUseIsComputedOnce) {
  TfSavedModel model = Chain({-1, 2, 2, 1});
  model.Add("two", "Const", {}, {{"value", AttrFloats({}, {2})}});
  Then(&model, "relu", "Relu");
  Then(&model, "mul", "Mul", {"two"});
  Then(&model, "again", "AddV2", {"two"});
  Then(&model, "sum", "AddV2", {"mul"});
  const Result<Graph> graph = Import(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(Count(graph.value(), OpType::kScaleShift), 2);
  EXPECT_THAT(RunOn(graph.value(), {1, 2, 3, -4}), ElementsAre(6, 10, 14, 2));
}

TEST_F(SavedModelTest, ClipIsRelu6InEitherOrder) {
  for (const bool minimum_first : {true, false}) {
    TfSavedModel model = Chain({-1, 2, 2, 1});
    model.Add("six", "Const", {}, {{"value", AttrFloats({}, {6})}});
    model.Add("zero", "Const", {}, {{"value", AttrFloats({}, {0})}});
    Then(&model, "a", minimum_first ? "Minimum" : "Maximum", {minimum_first ? "six" : "zero"});
    Then(&model, "b", minimum_first ? "Maximum" : "Minimum", {minimum_first ? "zero" : "six"});
    const Result<Graph> graph = Import(model);
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    EXPECT_THAT(RunOn(graph.value(), {-1, 3, 6, 9}), ElementsAre(0, 3, 6, 6));
  }
  // Any limits, one or two, as operators of their own.
  TfSavedModel model = Chain({-1, 2, 2, 1});
  model.Add("low", "Const", {}, {{"value", AttrFloats({}, {-65504})}});
  model.Add("high", "Const", {}, {{"value", AttrFloats({}, {2.5})}});
  Then(&model, "minimum", "Minimum", {"high"});
  const Result<Graph> one = Import(model);
  ASSERT_TRUE(one.ok()) << one.status().message();
  EXPECT_THAT(RunOn(one.value(), {-1, 3, 2, 9}), ElementsAre(-1, 2.5, 2, 2.5));
  model.output = "image";
  Then(&model, "clip", "ClipByValue", {"low", "high"});
  const Result<Graph> two = Import(model);
  ASSERT_TRUE(two.ok()) << two.status().message();
  EXPECT_EQ(two->nodes.size(), 1u);
  EXPECT_THAT(RunOn(two.value(), {-1e6, 3, 2, 9}), ElementsAre(-65504, 2.5, 2, 2.5));
}

TEST_F(SavedModelTest, SpaceToBatchAroundAConvolutionIsADilatedOne) {
  // A 3x3 box of every second row and every third column, SAME, on 4x5 pixels.
  const auto begin = [](TfSavedModel* model, const std::vector<int>& pads) {
    *model = Chain({-1, 4, 5, 1});
    model->Add("block", "Const", {}, {{"value", AttrInt32s({2, 3})}});
    model->Add("other_block", "Const", {}, {{"value", AttrInt32s({2, 2})}});
    model->Add("pads", "Const", {}, {{"value", AttrInt32s(pads)}});
    model->Add("crops", "Const", {}, {{"value", AttrInt32s({0, 0, 0, 1})}});
    model->Add("w", "Const", {},
               {{"value", AttrFloats({3, 3, 1, 1}, std::vector<float>(9, 1.0f))}});
    Then(model, "to_batch", "SpaceToBatchND", {"block", "pads"});
  };
  const auto convolve = [](TfSavedModel* model, const std::string& padding) {
    Then(model, "conv", "Conv2D", {"w"},
         {{"strides", AttrInts({1, 1, 1, 1})}, {"padding", AttrString(padding)}});
  };
  TfSavedModel model;
  begin(&model, {2, 2, 3, 4});
  convolve(&model, "VALID");
  Then(&model, "to_space", "BatchToSpaceND", {"block", "crops"});
  const Result<Graph> graph = Import(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  ASSERT_EQ(graph->nodes.size(), 1u);
  EXPECT_EQ(graph->nodes[0].window, (Window{3, 3, 1, 1, 2, 3, 2, 3, 2, 3}));
  std::vector<double> image(20), expected(20);
  for (int i = 0; i < 20; ++i) image[static_cast<size_t>(i)] = i * i;
  for (int y = 0; y < 4; ++y) {
    for (int x = 0; x < 5; ++x) {
      for (int v = y - 2; v <= y + 2; v += 2) {
        for (int u = x - 3; u <= x + 3; u += 3) {
          if (v >= 0 && v < 4 && u >= 0 && u < 5)
            expected[static_cast<size_t>(y * 5 + x)] += image[static_cast<size_t>(v * 5 + u)];
        }
      }
    }
  }
  EXPECT_EQ(RunOn(*graph, image), expected);

  begin(&model, {2, 2, 3, 4});
  convolve(&model, "SAME");
  Then(&model, "to_space", "BatchToSpaceND", {"block", "crops"});
  EXPECT_THAT(ImportError(model), HasSubstr("must have padding VALID"));
  begin(&model, {2, 2, 3, 4});
  convolve(&model, "VALID");
  Then(&model, "to_space", "BatchToSpaceND", {"other_block", "crops"});
  EXPECT_THAT(ImportError(model), HasSubstr("block differs"));
  begin(&model, {2, 2, 3, 0});
  convolve(&model, "VALID");
  Then(&model, "to_space", "BatchToSpaceND", {"block", "crops"});
  EXPECT_THAT(ImportError(model), HasSubstr("removes 1 pixels where 0 were added"));
  begin(&model, {2, 2, 3, 4});
  Then(&model, "relu", "Relu");
  EXPECT_THAT(ImportError(model),
              AllOf(HasSubstr("Relu 'relu'"), HasSubstr("only one convolution")));
  begin(&model, {2, 2, 3, 4});
  convolve(&model, "VALID");
  EXPECT_THAT(ImportError(model), HasSubstr("only one convolution"));
  model = Chain({-1, 4, 5, 1});
  model.Add("block", "Const", {}, {{"value", AttrInt32s({2, 3})}});
  model.Add("crops", "Const", {}, {{"value", AttrInt32s({0, 0, 0, 1})}});
  Then(&model, "to_space", "BatchToSpaceND", {"block", "crops"});
  EXPECT_THAT(ImportError(model), HasSubstr("not a convolution behind SpaceToBatchND"));
}

TEST_F(SavedModelTest, ListsAllThatCannotBeConverted) {
  TfSavedModel model = Chain({-1, 4, 4, 3});
  model.Add("w", "Const", {}, {{"value", AttrFloats({1, 1, 3, 3}, std::vector<float>(9, 1.0f))}});
  Then(&model, "first", "Elu");
  const std::string after_first = model.output;
  model.output = "image";
  Then(&model, "second", "Conv2D", {"w"},
       {{"strides", AttrInts({1, 1, 1, 1})},
        {"padding", AttrString("SAME")},
        {"dilations", AttrInts({2, 1, 1, 1})}});
  Then(&model, "after", "Relu");
  Then(&model, "sum", "AddV2", {after_first});
  const std::string error = ImportError(model);
  EXPECT_THAT(error, AllOf(HasSubstr("2 unsupported operators"), HasSubstr("Elu 'first'"),
                           HasSubstr("octet has clips, relu"), HasSubstr("Conv2D 'second'"),
                           HasSubstr("dilations over the batch")));
  EXPECT_EQ(error.find('\n'), std::string::npos);
}

TEST_F(SavedModelTest, SignatureAndInputAreChecked) {
  TfSavedModel model = Chain({-1, 4, 4, 3});
  Then(&model, "relu", "Relu");
  model.signature = "classify";
  EXPECT_EQ(ImportError(model), "accepted");
  const Result<Graph> chosen = ImportModel(Folder(), {.graph = "", .signature = "classify"});
  EXPECT_TRUE(chosen.ok()) << chosen.status().message();
  const Result<Graph> inside =
      ImportModel(Folder() + "/saved_model.pb", {.graph = "", .signature = "classify"});
  ASSERT_TRUE(inside.ok()) << inside.status().message();
  EXPECT_EQ(inside->nodes.size(), chosen->nodes.size());
  const Result<Graph> missing = ImportModel(Folder(), {.graph = "", .signature = "other"});
  EXPECT_EQ(missing.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(missing.status().message(),
              HasSubstr("no signature 'other'; those that are there: classify"));
  model.signature = "__saved_model_init_op";
  EXPECT_THAT(ImportError(model), HasSubstr("no signature"));
  model = Chain({-1, -1, -1, 3});
  Then(&model, "relu", "Relu");
  EXPECT_THAT(ImportError(model), HasSubstr("no fixed size"));
  model = Chain({-1, 4, 4, 3});
  model.input_type = kTfString;
  Then(&model, "relu", "Relu");
  EXPECT_THAT(ImportError(model), HasSubstr("pixels"));
  model = Chain({-1, 4, 4, 3});
  EXPECT_THAT(ImportError(model), HasSubstr("is the input"));
  model.output = "elsewhere";
  EXPECT_THAT(ImportError(model), HasSubstr("'elsewhere'"));
}

TEST_F(SavedModelTest, FunctionsThatNeverEndAreRefused) {
  {
    // Each calls the next one twice: 2^40 nodes.
    TfSavedModel model = Chain({-1, 4, 4, 3});
    for (int i = 0; i < 40; ++i) {
      const std::string next = i + 1 < 40 ? "f" + std::to_string(i + 1) : "";
      TfFunction f{"f" + std::to_string(i), {"x"}, {{"y", "b:output:0"}}, {}};
      const std::string op = next.empty() ? "Relu" : "PartitionedCall";
      const Attributes attributes =
          next.empty() ? Attributes{} : Attributes{{"f", AttrFunction(next)}};
      f.nodes.push_back({"a", op, {"x"}, attributes});
      f.nodes.push_back({"b", op, {"a:output:0"}, attributes});
      model.functions.push_back(f);
    }
    Then(&model, "call", "PartitionedCall", {}, {{"f", AttrFunction("f0")}});
    EXPECT_THAT(ImportError(model), HasSubstr("quarter million"));
  }
  {
    TfSavedModel model = Chain({-1, 4, 4, 3});
    model.functions.push_back({"f",
                               {"x"},
                               {{"y", "a:output:0"}},
                               {{"a", "PartitionedCall", {"x"}, {{"f", AttrFunction("f")}}}}});
    Then(&model, "call", "PartitionedCall", {}, {{"f", AttrFunction("f")}});
    EXPECT_THAT(ImportError(model), HasSubstr("levels deep"));
  }
  {
    TfSavedModel model = Chain({-1, 4, 4, 3});
    model.Add("a", "AddV2", {"image", "b"});
    model.Add("b", "Relu", {"a"});
    model.output = "b";
    EXPECT_THAT(ImportError(model), HasSubstr("loop"));
  }
  {
    TfSavedModel model = Chain({-1, 4, 4, 3});
    Then(&model, "call", "PartitionedCall", {}, {{"f", AttrFunction("nothing")}});
    EXPECT_THAT(ImportError(model), HasSubstr("'nothing'"));
  }
}

TEST_F(SavedModelTest, TypesOfShapesAndIndicesAreChecked) {
  TfSavedModel model = Chain({-1, 4, 4, 3});
  model.Add("shape", "Shape", {"image"}, {{"out_type", AttrType(kTfFloat)}});
  Then(&model, "flat", "Reshape", {"shape"});
  Then(&model, "relu", "Relu");
  EXPECT_THAT(ImportError(model), HasSubstr("Shape of float32"));
  model = Chain({-1, 4, 4, 3});
  model.Add("from", "Const", {}, {{"value", AttrInt32s({1, 2, 3})}});
  model.Add("indices", "Const", {}, {{"value", AttrFloats({3}, {0, 1, 2})}});
  model.Add("gathered", "GatherV2", {"from", "indices"});
  Then(&model, "flat", "Reshape", {"gathered"});
  EXPECT_THAT(ImportError(model), HasSubstr("GatherV2"));
}

TEST_F(SavedModelTest, EveryAttributeIsUnderstoodOrRefused) {
  for (const OperatorRow& row : SavedModelOperators()) {
    TfSavedModel model = Chain({-1, 2, 2, 1});
    model.Add("c", "Const", {}, {{"value", AttrFloats({}, {1})}});
    Then(&model, "node", row.name, {"c"}, {{"surprise", AttrInt(1)}, {"_note", AttrInt(1)}});
    EXPECT_THAT(ImportError(model), AllOf(HasSubstr("'node'"), HasSubstr("'surprise' is 1")))
        << row.name;
  }
  TfSavedModel model = Chain({-1, 4});
  model.Add("w", "Const", {}, {{"value", AttrFloats({4, 1}, {1, 2, 3, 4})}});
  Then(&model, "matmul", "MatMul", {"w"}, {{"transpose_a", AttrBool(true)}});
  EXPECT_THAT(ImportError(model), HasSubstr("'transpose_a' is true, expected false"));
}

TEST_F(SavedModelTest, EveryUnaryFunction) {
  for (const UnaryFunction& f : UnaryFunctions()) {
    const auto [name, attribute, otherwise] = f.tensorflow;
    if (*name == '\0') continue;
    SCOPED_TRACE(name);
    for (const bool given : {false, true}) {
      if (given && *attribute == '\0') continue;
      const float parameter = given ? 0.7f : otherwise;
      TfSavedModel model = Chain({-1, 5});
      Then(&model, "y", name, {},
           given ? Attributes{{attribute, AttrFloat(parameter)}} : Attributes{});
      const Result<Graph> graph = Import(model);
      ASSERT_TRUE(graph.ok()) << graph.status().message();
      const Values x{-8, -0.75, 0, 0.5, 8}, y = RunOn(*graph, x);
      for (size_t i = 0; i < x.size(); ++i)
        EXPECT_NEAR(y[i], testing::UnaryReference(f.keras.name, x[i], parameter), 1e-6) << x[i];
    }
  }
}

TEST_F(SavedModelTest, VariablesThatTheNetworkAssignsAreRefused) {
  TfSavedModel model = Chain({-1, 1});
  model.Add("v", "VarHandleOp", {}, {{"shared_name", AttrString("v")}});
  model.Add("w", "VarHandleOp", {}, {{"shared_name", AttrString("w")}});
  TfFunction f{"f", {"x", "a", "b"}, {{"y", "matmul:product:0"}}, {}};
  f.nodes.push_back({"one", "Const", {}, {{"value", AttrFloats({}, {1})}}});
  f.nodes.push_back({"assign", "AssignAddVariableOp", {"b", "one:output:0"}, {}});
  f.nodes.push_back({"read", "ReadVariableOp", {"a", "^assign"}, {}});
  f.nodes.push_back({"matmul", "MatMul", {"x", "read:value:0"}, {}});
  model.functions = {f};
  Then(&model, "call", "StatefulPartitionedCall", {"v", "w"}, {{"f", AttrFunction("f")}});
  BundleBuilder bundle;
  bundle.AddFloats("v", {1, 1}, {3});
  bundle.AddFloats("w", {}, {3});
  EXPECT_EQ(ImportError(model, &bundle), "accepted");  // A counter beside the network.
  model.functions[0].nodes[1].inputs[0] = "a";
  EXPECT_THAT(ImportError(model, &bundle),
              HasSubstr("variable 'v' is assigned by the network itself"));
}

TEST_F(SavedModelTest, ComputedBatchesAreMultiplesOfTheBatchOrUnknown) {
  // [n,2,2,2] becomes [f(n),-1] and then [-1,2].
  const auto reshaped = [](const std::string& op, const std::string& a, const std::string& b) {
    TfSavedModel model = Chain({-1, 2, 2, 2});
    for (int i : {0, 1, 2, 3})
      model.Add(std::to_string(i), "Const", {}, {{"value", AttrInt32s({i}, {})}});
    model.Add("w", "Const", {}, {{"value", AttrFloats({4, 1}, {1, 10, 100, 1000})}});
    model.Add("pairs", "Const", {}, {{"value", AttrInt32s({-1, 2})}});
    model.Add("rows", "Reshape", {"image", "pairs"});  // [4n,2]
    for (const char* of : {"image", "rows"}) {
      model.Add(StrCat("shape/", of), "Shape", {of});
      model.Add(StrCat("n/", of), "GatherV2", {StrCat("shape/", of), "0", "0"});
    }
    model.Add("first", op, {a, b});
    model.Add("open", "Const", {}, {{"value", AttrInt32s({-1}, {})}});
    model.Add("target", "Pack", {"first", "open"});
    Then(&model, "merge", "Reshape", {"target"});
    Then(&model, "dense", "MatMul", {"w"});
    Then(&model, "flat", "Reshape", {"pairs"});
    return model;
  };
  for (const auto& [op, a, b] :
       {std::tuple{"Mul", "n/image", "2"}, {"Mul", "2", "n/image"}, {"Div", "n/rows", "2"}}) {
    const Result<Graph> graph = Import(reshaped(op, a, b));
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    EXPECT_THAT(RunOn(*graph, {1, 2, 3, 4, 5, 6, 7, 8}), ElementsAre(4321, 8765)) << op << a << b;
  }
  for (const auto& [op, a, b] : {std::tuple{"AddV2", "n/image", "1"},
                                 {"Div", "n/image", "2"},
                                 {"Div", "n/rows", "3"},
                                 {"Mul", "n/image", "n/image"},
                                 {"Maximum", "n/image", "1"},
                                 {"Mul", "n/image", "3"}}) {
    const Result<Graph> graph = Import(reshaped(op, a, b));
    EXPECT_EQ(graph.status().code(), StatusCode::kUnsupported) << op << a << b;
  }
}

TEST_F(SavedModelTest, WhatIsLegalButNotKnownIsUnsupported) {
  const auto error = [&](const std::string& op, const std::vector<std::string>& inputs,
                         const std::string& then = "AddV2", const Attributes& attributes = {}) {
    TfSavedModel model = Chain({-1, 2, 2, 2});
    model.Add("0", "Const", {}, {{"value", AttrInt32s({0}, {})}});
    model.Add("one", "Const", {}, {{"value", AttrInt32s({1})}});
    model.Add("none", "Const", {}, {{"value", AttrInt32s({}, {0})}});
    model.Add("huge", "Const", {}, {{"value", AttrInt32s({1 << 20, 1 << 20})}});
    model.Add("half", "Const", {}, {{"value", AttrFloats({1}, {0.5})}});
    model.Add("low", "Const", {}, {{"value", AttrFloats({}, {-HUGE_VALF})}});
    model.Add("shape", "Shape", {"image"});
    model.Add("batch", "GatherV2", {"shape", "0", "0"});
    model.Add("made", op, inputs, attributes);
    Then(&model, "then", then, {"made"});
    const Result<Graph> graph = Import(model);
    EXPECT_EQ(graph.status().code(), StatusCode::kUnsupported) << op;
    return graph.ok() ? "accepted" : graph.status().message();
  };
  // Random numbers, of a shape that depends on the batch or not: of a dropout that trains, and of
  // augmentations.
  EXPECT_THAT(error("RandomUniform", {"shape"}), HasSubstr("RandomUniform 'made'"));
  EXPECT_THAT(error("RandomStandardNormal", {"one"}), HasSubstr("RandomStandardNormal 'made'"));
  const char* const kDepends = "depends on the batch size";
  EXPECT_THAT(error("Fill", {"shape", "half"}), HasSubstr(kDepends));
  EXPECT_THAT(error("Reshape", {"half", "shape"}), HasSubstr(kDepends));
  EXPECT_THAT(error("GatherV2", {"half", "batch", "0"}), HasSubstr(kDepends));
  EXPECT_THAT(error("ExpandDims", {"half", "batch"}), HasSubstr(kDepends));
  EXPECT_THAT(error("ConcatV2", {"half", "half", "batch"}), HasSubstr(kDepends));
  EXPECT_THAT(error("Slice", {"half", "batch", "one"}), HasSubstr(kDepends));
  EXPECT_THAT(error("ReverseV2", {"image", "batch"}), HasSubstr(kDepends));
  EXPECT_THAT(error("SpaceToBatchND", {"image", "shape", "shape"}), HasSubstr(kDepends));
  EXPECT_THAT(error("StridedSlice", {"half", "one", "one", "batch"}), HasSubstr(kDepends));
  EXPECT_THAT(error("Fill", {"huge", "half"}), HasSubstr("its constant result is too large"));
  // Operators that fold nothing, and types that are not folded.
  EXPECT_THAT(error("Sigmoid", {"half"}), HasSubstr("on constants alone"));
  EXPECT_THAT(error("ReverseV2", {"half", "0"}), HasSubstr("on constants alone"));
  EXPECT_THAT(error("Prod", {"shape", "none"}), HasSubstr("all of a list"));
  EXPECT_THAT(error("StridedSlice", {"half", "image", "one", "one"}),
              HasSubstr("computed from the network's input"));
  EXPECT_THAT(error("Minimum", {"image", "low"}), HasSubstr("it clips to"));
}

TEST_F(SavedModelTest, NothingIsFoldedIntoALayerThatHasOtherReaders) {
  // Operators that change nothing give the layer's result a second name; a bias behind one of them
  // is not the layer's.
  const std::vector<std::pair<std::string, std::vector<std::string>>> same = {
      {"Max", {"axis"}},
      {"Mean", {"axis"}},
      {"Minimum", {"infinity"}},
      {"AddN", {}},
      {"PlaceholderWithDefault", {}},
      {"StridedSlice", {"none", "none", "none"}}};
  for (const auto& [op, constants] : same) {
    TfSavedModel model = Chain({-1, 1, 2, 2});
    model.Add("w", "Const", {}, {{"value", AttrFloats({1, 1, 2, 1}, {1, 10})}});
    model.Add("axis", "Const", {}, {{"value", AttrInt32s({3})}});
    model.Add("none", "Const", {}, {{"value", AttrInt32s({}, {0})}});
    model.Add("infinity", "Const", {}, {{"value", AttrFloats({}, {HUGE_VALF})}});
    model.Add("b", "Const", {}, {{"value", AttrFloats({1}, {1000})}});
    Then(&model, "conv", "Conv2D", {"w"},
         {{"strides", AttrInts({1, 1, 1, 1})}, {"padding", AttrString("VALID")}});
    model.Add("other", "Relu", {"conv"});
    Then(
        &model, "same", op, constants,
        op[0] == 'M' && op != "Minimum" ? Attributes{{"keep_dims", AttrBool(true)}} : Attributes{});
    Then(&model, "bias", "BiasAdd", {"b"});
    Then(&model, "sum", "AddV2", {"other"});
    const Result<Graph> graph = Import(model);
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    EXPECT_THAT(RunOn(*graph, {1, 2, 3, 4}), ElementsAre(1042, 1086)) << op;
  }
}

TEST_F(SavedModelTest, ListsOfOneAndOpenSizes) {
  TfSavedModel model = Chain({-1, 3});
  model.Add("w", "Const", {}, {{"value", AttrFloats({3, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1})}});
  model.Add("b", "Const", {}, {{"value", AttrFloats({3}, {10, 20, 30})}});
  model.Add("axis", "Const", {}, {{"value", AttrInt32s({1}, {})}});
  model.Add("sizes", "Const", {}, {{"value", AttrInt32s({-1, 1})}});
  model.Add("two", "Const", {}, {{"value", AttrInt32s({2})}});
  model.Add("one", "Const", {}, {{"value", AttrInt32s({1})}});
  Then(&model, "dense", "MatMul", {"w"});
  Then(&model, "bias", "BiasAdd", {"b"});
  Then(&model, "concat", "ConcatV2", {"axis"}, {{"N", AttrInt(1)}});  // Adds the bias once.
  Then(&model, "split", "SplitV", {"sizes", "axis"}, {{"num_split", AttrInt(2)}});
  Then(&model, "pack", "Pack", {}, {{"N", AttrInt(1)}, {"axis", AttrInt(1)}});
  model.Add("shape", "Shape", {"pack"});
  model.Add("last", "Slice", {"shape", "two", "one"});
  model.Add("open", "Const", {}, {{"value", AttrInt32s({-1})}});
  model.Add("0", "Const", {}, {{"value", AttrInt32s({0}, {})}});
  model.Add("target", "ConcatV2", {"open", "last", "0"});
  Then(&model, "flat", "Reshape", {"target"});
  const Result<Graph> graph = Import(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_THAT(RunOn(*graph, {1, 2, 3}), ElementsAre(11, 22));
}

TEST_F(SavedModelTest, DenseLayersAtEveryPixel) {
  // As Keras writes them: pixels and batch become one dimension, and come apart again.
  TfSavedModel model = Chain({-1, 2, 2, 2});
  model.Add("rows", "Const", {}, {{"value", AttrInt32s({-1, 2})}});
  model.Add("w", "Const", {}, {{"value", AttrFloats({2, 1}, {1, 10})}});
  model.Add("zero", "Const", {}, {{"value", AttrInt32s({0})}});
  model.Add("one", "Const", {}, {{"value", AttrInt32s({1})}});
  model.Add("two", "Const", {}, {{"value", AttrInt32s({2}, {})}});
  model.Add("last", "Const", {}, {{"value", AttrInt32s({1}, {})}});
  model.Add("shape", "Shape", {"image"});
  model.Add("batch", "StridedSlice", {"shape", "zero", "one", "one"},
            {{"shrink_axis_mask", AttrInt(1)}});
  model.Add("target", "Pack", {"batch", "two", "two", "last"});
  Then(&model, "merge", "Reshape", {"rows"});
  Then(&model, "matmul", "MatMul", {"w"});
  const std::string merged = model.output;
  Then(&model, "back", "Reshape", {"target"});
  const Result<Graph> graph = Import(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph->tensor(graph->outputs[0]).shape, (Shape{1, 2, 2, 1}));
  EXPECT_THAT(RunOn(*graph, {1, 2, 3, 4, 5, 6, 7, 8}), ElementsAre(21, 43, 65, 87));
  model.output = merged;
  EXPECT_THAT(ImportError(model), HasSubstr("its shape is [?,1]"));
}

TEST_F(SavedModelTest, DenseLayersOnADimensionOfOneThatIsNotTheChannels) {
  TfSavedModel model = Chain({-1, 3, 1, 1});
  model.Add("to_first", "Const", {}, {{"value", AttrInt32s({0, 3, 1, 2})}});
  model.Add("w", "Const", {}, {{"value", AttrFloats({1, 2}, {1, 10})}});
  model.Add("dense", "Const", {}, {{"value", AttrFloats({6, 1}, {1, 2, 3, 4, 5, 6})}});
  model.Add("flat", "Const", {}, {{"value", AttrInt32s({-1, 6})}});
  Then(&model, "first", "Transpose", {"to_first"});  // [n,1,3,1]
  Then(&model, "matmul", "BatchMatMulV2", {"w"});    // [n,1,3,2]
  Then(&model, "reshape", "Reshape", {"flat"});
  Then(&model, "sum", "MatMul", {"dense"});
  const Result<Graph> graph = Import(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_THAT(RunOn(*graph, {1, 100, 10000}), ElementsAre(21 + 4300 + 650000));
}

TEST_F(SavedModelTest, GrayImagesDifferencesPartsAndSums) {
  TfSavedModel model = Chain({-1, 2, 3});
  model.Add("axis", "Const", {}, {{"value", AttrInt32s({2}, {})}});
  model.Add("split", "Split", {"axis", "image"}, {{"num_split", AttrInt(3)}});
  model.Add("sub", "Sub", {"split:0", "split:2"});
  model.Add("sum", "AddN", {"sub", "split:1", "split:1"}, {{"N", AttrInt(3)}});
  model.Add("flat", "Const", {}, {{"value", AttrInt32s({-1, 2})}});
  model.output = "sum";
  Then(&model, "reshape", "Reshape", {"flat"});
  const Result<Graph> graph = Import(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph->tensor(graph->inputs[0]).shape, (Shape{1, 2, 3, 1}));
  EXPECT_THAT(RunOn(*graph, {1, 2, 3, 40, 50, 60}), ElementsAre(2, 80));
}

TEST_F(SavedModelTest, ChannelsFirstIsAView) {
  // NCHW in, [0,2,3,1] in front of a convolution, and back: as onnx-tf writes it.
  TfSavedModel model = Chain({-1, 2, 1, 3});
  model.Add("to_last", "Const", {}, {{"value", AttrInt32s({0, 2, 3, 1})}});
  model.Add("to_first", "Const", {}, {{"value", AttrInt32s({0, 3, 1, 2})}});
  model.Add("w", "Const", {}, {{"value", AttrFloats({1, 1, 2, 2}, {1, 100, 10, 1000})}});
  model.Add("b", "Const", {}, {{"value", AttrFloats({2, 1, 1}, {0.5, 0.25})}});
  model.Add("rows", "Const", {}, {{"value", AttrInt32s({2})}});
  model.Add("flat", "Const", {}, {{"value", AttrInt32s({-1, 2})}});
  Then(&model, "last", "Transpose", {"to_last"});
  Then(&model, "conv", "Conv2D", {"w"},
       {{"strides", AttrInts({1, 1, 1, 1})}, {"padding", AttrString("VALID")}});
  Then(&model, "first", "Transpose", {"to_first"});
  Then(&model, "bias", "AddV2", {"b"});
  Then(&model, "mean", "Max", {"rows"}, {{"keep_dims", AttrBool(true)}});
  model.Add("axes", "Const", {}, {{"value", AttrInt32s({2, 3})}});
  Then(&model, "max", "Max", {"axes"});
  const Result<Graph> graph = Import(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph->tensor(graph->inputs[0]).shape, (Shape{1, 1, 3, 2}));
  EXPECT_THAT(RunOn(*graph, {1, 2, 3, 4, 5, 6}), ElementsAre(65.5, 6500.25));
  // A flattened map of channels first is nothing that lies so in memory.
  model.output = "bias";
  EXPECT_THAT(ImportError(model), HasSubstr("another order"));
}

TEST_F(SavedModelTest, ConstantsWrapAsTheirTypeDoes) {
  TfSavedModel model = Chain({-1, 2});
  model.Add("large", "Const", {}, {{"value", AttrInt32s({300, -1})}});
  model.Add("byte", "Cast", {"large"},
            {{"SrcT", AttrType(kTfInt32)}, {"DstT", AttrType(kTfUint8)}});
  model.Add("sum", "AddV2", {"byte", "byte"});
  model.Add("float", "Cast", {"sum"}, {{"SrcT", AttrType(kTfUint8)}, {"DstT", AttrType(kTfFloat)}});
  Then(&model, "add", "AddV2", {"float"});
  const Result<Graph> graph = Import(model);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_THAT(RunOn(*graph, {0, 0}), ElementsAre(88, 254));
}

TEST(Snappy, LiteralsAndCopiesThatOverlap) {
  // 11 bytes: "abc", then 8 from 3 back.
  const std::string_view block(
      "\x0b\x08"
      "abc"
      "\x11\x03",
      7);
  const Result<std::string> bytes = tf::SnappyUncompress(block, 100);
  ASSERT_TRUE(bytes.ok()) << bytes.status().message();
  EXPECT_EQ(*bytes, "abcabcabcab");
  EXPECT_FALSE(tf::SnappyUncompress(block, 10).ok());
  for (size_t n = 0; n < block.size(); ++n)
    EXPECT_FALSE(tf::SnappyUncompress(block.substr(0, n), 100).ok()) << n;
  // Whatever bytes there are: an error, or as many bytes as were announced.
  uint32_t state = 1;
  for (int i = 0; i < 200000; ++i) {
    std::string noise(block);
    for (int k = 0; k < 4; ++k) {
      state = state * 1664525u + 1013904223u;
      noise.insert(noise.begin() + (state >> 16) % noise.size(), static_cast<char>(state >> 24));
    }
    const Result<std::string> out = tf::SnappyUncompress(noise, 1 << 16);
    if (out.ok()) {
      EXPECT_LE(out->size(), size_t{1} << 16);
    }
  }
}

TEST_F(SavedModelTest, WireTypesAreChecked) {
  // A graph where a message is expected, as a number.
  const std::string meta = Message([](auto& w) { w.add_int64(2, 1); });
  const std::string bytes = Message([&](auto& w) { w.add_message(2, meta); });
  std::filesystem::remove_all(Folder());
  WriteText(Folder() + "/saved_model.pb", bytes);
  const Result<Graph> graph = ImportModel(Folder(), {});
  EXPECT_EQ(graph.status().code(), StatusCode::kCorrupt);
  EXPECT_THAT(graph.status().message(), HasSubstr("not a SavedModel"));
}

TEST_F(SavedModelTest, ConstantsCannotAskForMoreMemoryThanTheFileJustifies) {
  TfSavedModel model = Chain({-1, 4, 4, 3});
  model.Add("huge", "Const", {}, {{"value", Message([](auto& w) {
                                     w.add_message(
                                         8, Message([](auto& t) {
                                           t.add_enum(1, kTfFloat);
                                           t.add_message(2, ShapeProto({1 << 20, 1 << 20}));
                                           const float one = 1.0f;
                                           t.add_packed_float(5, &one, &one + 1);
                                         }));
                                   })}});
  Then(&model, "mul", "Mul", {"huge"});
  EXPECT_THAT(ImportError(model), HasSubstr("without its bytes"));
}

TEST_F(SavedModelTest, BatchOfTheSignatureMayBeFixedButNotReshaped) {
  TfSavedModel model = Chain({1, 2, 2, 3});
  model.Add("target", "Const", {}, {{"value", AttrInt32s({1, 12})}});
  Then(&model, "flat", "Reshape", {"target"});
  Then(&model, "relu", "Relu");
  EXPECT_EQ(ImportError(model), "accepted");
  model = Chain({-1, 2, 2, 3});
  model.Add("target", "Const", {}, {{"value", AttrInt32s({12})}});
  Then(&model, "flat", "Reshape", {"target"});
  EXPECT_THAT(ImportError(model), HasSubstr("reshapes the batch"));
}

TEST_F(SavedModelTest, ModelOfTheFlowersGivesItsReferenceProbabilities) {
  OCTET_REQUIRE_MODELS();
  const std::string models = ModelsDir() + "/flowers/";
  const Result<Graph> graph = ImportModel(models + "savedmodel", {});
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  auto images = NpyReader::Open(models + "test_images_160.npy");
  auto expected = NpyReader::Open(models + "test_probabilities.npy");
  ASSERT_TRUE(images.ok() && expected.ok());
  const int64_t pixels = 160 * 160 * 3;
  std::vector<float> image(pixels), probabilities(5);
  static constexpr double kMean[] = {0.485, 0.456, 0.406}, kStddev[] = {0.229, 0.224, 0.225};
  // The interpreter is slow; the engine sees all of them in the tests of models.
  for (const int64_t i : {0, 23}) {
    ASSERT_TRUE(images->ReadFloats(i * pixels, pixels, image.data()).ok());
    ASSERT_TRUE(expected->ReadFloats(i * 5, 5, probabilities.data()).ok());
    Values input(image.size());
    for (size_t k = 0; k < image.size(); ++k)
      input[k] = (image[k] / 255.0 - kMean[k % 3]) / kStddev[k % 3];
    const Values scores = RunOn(graph.value(), input);
    for (size_t c = 0; c < 5; ++c) EXPECT_NEAR(scores[c], probabilities[c], 1e-4);
  }
}

}  // namespace
}  // namespace octet
