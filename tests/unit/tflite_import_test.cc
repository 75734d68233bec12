#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "converter/import/importer.h"
#include "converter/import/tflite/tflite_schema_generated.h"
#include "converter/passes/passes.h"
#include "engine/src/runner.h"
#include "formats/data/npy.h"

namespace octet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Numbers of the public schema.
constexpr int kAddCode = 0, kConvCode = 3, kDepthwiseCode = 4, kDequantizeCode = 6, kDenseCode = 9, kLogisticCode = 14, kSoftmaxCode = 25, kTanhCode = 28, kEluCode = 111, kMulCode = 18, kReluCode = 19, kReshapeCode = 22,
              kCustomCode = 32, kPadCode = 34, kBatchToSpaceCode = 37, kSpaceToBatchCode = 38, kMeanCode = 40, kStridedSliceCode = 45, kShapeCode = 77, kPackCode = 83, kQuantizeCode = 114;

struct Quant {
  std::vector<float> scale;
  std::vector<int64_t> zero;
  int dimension = 0;
};

/// Writes TFLite files, operator by operator.
class Builder {
 public:
  template <typename T = float>
  int Tensor(const std::string& name, tflite::TensorType type, const std::vector<int>& shape, const std::vector<T>& data = {},
             const Quant& quant = {}, const std::vector<int>& signature = {}) {
    uint32_t buffer = 0;
    if (!data.empty()) {
      buffer = static_cast<uint32_t>(buffers_.size()) + 1;  // 0 is the empty one.
      buffers_.push_back(tflite::CreateBuffer(
          fb_, fb_.CreateVector(reinterpret_cast<const uint8_t*>(data.data()), data.size() * sizeof(T))));
    }
    flatbuffers::Offset<tflite::QuantizationParameters> q;
    if (!quant.scale.empty()) {
      q = tflite::CreateQuantizationParameters(fb_, 0, 0, fb_.CreateVector(quant.scale), fb_.CreateVector(quant.zero), 0, 0, quant.dimension);
    }
    const auto dims = fb_.CreateVector(shape);
    const auto open = signature.empty() ? flatbuffers::Offset<flatbuffers::Vector<int>>() : fb_.CreateVector(signature);
    tensors_.push_back(tflite::CreateTensor(fb_, dims, type, buffer, fb_.CreateString(name), q, false, 0, open));
    return static_cast<int>(tensors_.size()) - 1;
  }
  int Floats(const std::string& name, const std::vector<int>& shape, const std::vector<float>& data = {}) {
    return Tensor(name, tflite::TensorType::FLOAT32, shape, data);
  }
  int Ints(const std::string& name, const std::vector<int>& data) {
    return Tensor(name, tflite::TensorType::INT32, {static_cast<int>(data.size())}, data);
  }
  int Int8(const std::string& name, const std::vector<int>& shape, float scale, int zero) {
    return Tensor(name, tflite::TensorType::INT8, shape, std::vector<int8_t>(), {{scale}, {zero}});
  }

  void Op(int code, const std::vector<int>& inputs, const std::vector<int>& outputs,
          tflite::BuiltinOptions type = tflite::BuiltinOptions::NONE, flatbuffers::Offset<void> options = 0, const char* custom = nullptr) {
    const auto name = custom == nullptr ? flatbuffers::Offset<flatbuffers::String>() : fb_.CreateString(custom);
    codes_.push_back(tflite::CreateOperatorCode(fb_, static_cast<int8_t>(std::min(code, 127)), name, 1, code));
    ops_.push_back(tflite::CreateOperator(fb_, static_cast<uint32_t>(codes_.size()) - 1, fb_.CreateVector(inputs), fb_.CreateVector(outputs),
                                          type, options));
  }
  void Conv(const std::vector<int>& inputs, int output, tflite::Padding padding, int stride,
            tflite::ActivationFunctionType activation = tflite::ActivationFunctionType::NONE) {
    Op(kConvCode, inputs, {output}, tflite::BuiltinOptions::Conv2DOptions,
       tflite::CreateConv2DOptions(fb_, padding, stride, stride, activation).Union());
  }
  void Dense(const std::vector<int>& inputs, int output) {
    Op(kDenseCode, inputs, {output}, tflite::BuiltinOptions::FullyConnectedOptions, tflite::CreateFullyConnectedOptions(fb_).Union());
  }

  flatbuffers::FlatBufferBuilder& fb() { return fb_; }

  std::string Build(const std::vector<int>& inputs, const std::vector<int>& outputs, uint32_t version = 3) {
    const auto graph = tflite::CreateSubGraph(fb_, fb_.CreateVector(tensors_), fb_.CreateVector(inputs), fb_.CreateVector(outputs), fb_.CreateVector(ops_));
    std::vector<flatbuffers::Offset<tflite::Buffer>> buffers{tflite::CreateBuffer(fb_)};
    buffers.insert(buffers.end(), buffers_.begin(), buffers_.end());
    tflite::FinishModelBuffer(fb_, tflite::CreateModel(fb_, version, fb_.CreateVector(codes_), fb_.CreateVector(&graph, 1), 0,
                                                       fb_.CreateVector(buffers)));
    return {reinterpret_cast<const char*>(fb_.GetBufferPointer()), fb_.GetSize()};
  }

 private:
  flatbuffers::FlatBufferBuilder fb_;
  std::vector<flatbuffers::Offset<tflite::Tensor>> tensors_;
  std::vector<flatbuffers::Offset<tflite::Buffer>> buffers_;
  std::vector<flatbuffers::Offset<tflite::OperatorCode>> codes_;
  std::vector<flatbuffers::Offset<tflite::Operator>> ops_;
};

Graph ImportOrFail(const std::string& bytes) {
  Result<Graph> graph = ImportTfliteBytes(bytes);
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  return graph.ok() ? std::move(graph).value() : Graph();
}

std::string ErrorOf(const std::string& bytes, StatusCode code = StatusCode::kUnsupported) {
  const Result<Graph> graph = ImportTfliteBytes(bytes);
  EXPECT_FALSE(graph.ok());
  EXPECT_EQ(code, graph.status().code()) << graph.status().message();
  return graph.status().message();
}

std::vector<OpType> Types(const Graph& g) {
  std::vector<OpType> types;
  for (const Node& n : g.nodes) types.push_back(n.type);
  return types;
}

/// Runs the optimized graph; T is its type of input and output.
template <typename T>
std::vector<T> RunGraph(Graph graph, const std::vector<T>& input) {
  const Status status = Optimize(&graph);
  EXPECT_TRUE(status.ok()) << status.message();
  auto runner = GraphRunner::Create(std::move(graph));
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  EXPECT_TRUE((*runner)->Run(input.data(), {}).ok());
  const std::vector<uint8_t>& bytes = (*runner)->output(0);
  std::vector<T> output(bytes.size() / sizeof(T));
  std::memcpy(output.data(), bytes.data(), bytes.size());
  return output;
}

std::string Tiny(const std::string& name) { return OCTET_SOURCE_DIR "/tests/data/tiny/" + name; }

TEST(TfliteImport, FloatFilesGiveTheFrameworksOutputs) {
  const auto input = ReadNpyFloats(Tiny("input.npy")), expected = ReadNpyFloats(Tiny("expected.npy"));
  ASSERT_TRUE(input.ok() && expected.ok());
  for (const auto& [file, precision, tolerance] : {std::tuple("fp32.tflite", Precision::kFp32, 1e-5f),
                                                   std::tuple("fp16.tflite", Precision::kFp16, 2e-3f),
                                                   std::tuple("int8_float.tflite", Precision::kInt8, 0.05f)}) {
    SCOPED_TRACE(file);
    const auto graph = ImportTflite(Tiny(file));
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    EXPECT_EQ(precision, graph->metadata.precision);
    EXPECT_EQ(std::string("tflite ") + PrecisionName(precision), graph->metadata.source);
    const Preprocessing& pre = graph->metadata.preprocessing;
    for (size_t i = 0; i < 4; ++i) {
      std::vector<float> x(input->values.begin() + static_cast<std::ptrdiff_t>(i) * 192, input->values.begin() + static_cast<std::ptrdiff_t>(i + 1) * 192);
      for (size_t k = 0; k < x.size(); ++k) x[k] = (x[k] * pre.scale - pre.mean[k % 3]) / pre.stddev[k % 3];
      const std::vector<float> y = RunGraph(*graph, x);
      ASSERT_EQ(3u, y.size());
      for (size_t k = 0; k < 3; ++k) EXPECT_NEAR(expected->values[i * 3 + k], y[k], tolerance);
    }
  }
}

TEST(TfliteImport, IntegerFileGivesTheReferenceKernelsBytes) {
  const auto graph = ImportTflite(Tiny("int8.tflite"));
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(Rounding::kTflite, graph->metadata.rounding);
  EXPECT_EQ("int8", graph->metadata.name);
  const auto input = ReadNpyFloats(Tiny("int8_input.npy")), expected = ReadNpyFloats(Tiny("int8_expected.npy"));
  ASSERT_TRUE(input.ok() && expected.ok());
  size_t equal = 0;
  for (size_t i = 0; i < 40; ++i) {
    std::vector<uint8_t> x(192);
    for (size_t k = 0; k < x.size(); ++k) x[k] = static_cast<uint8_t>(input->values[i * 192 + k]);
    const std::vector<uint8_t> y = RunGraph(*graph, x);
    for (size_t k = 0; k < 3; ++k) {
      EXPECT_NEAR(expected->values[i * 3 + k], y[k], 1.0f);
      equal += expected->values[i * 3 + k] == y[k];
    }
  }
  EXPECT_EQ(120u, equal);
}

TEST(TfliteImport, ElementsOfAVectorMayBeMisaligned) {
  // All zero points moved to the end of the file, where only the vectors' lengths are aligned.
  std::ifstream in(Tiny("int8.tflite"), std::ios::binary);
  std::vector<char> file((std::istreambuf_iterator<char>(in)), {});
  const size_t size = file.size();
  file.reserve(size * 2);  // No pointer below becomes invalid.
  const auto append = [&](const void* data, size_t n) {
    const char* bytes = static_cast<const char*>(data);
    file.insert(file.end(), bytes, bytes + n);
  };
  int moved = 0;
  for (const tflite::Tensor* t : *tflite::GetModel(file.data())->subgraphs()->Get(0)->tensors()) {
    const tflite::QuantizationParameters* q = t->quantization();
    if (q == nullptr || q->zero_point() == nullptr) continue;
    const auto* table = reinterpret_cast<const flatbuffers::Table*>(q);
    const auto* field = reinterpret_cast<const char*>(table->GetAddressOf(tflite::QuantizationParameters::VT_ZERO_POINT));
    const flatbuffers::uoffset_t length = q->zero_point()->size();
    const uint8_t* elements = q->zero_point()->Data();
    while (file.size() % 8 != 0) file.push_back(0);
    const size_t at = static_cast<size_t>(field - file.data());
    const auto offset = static_cast<flatbuffers::uoffset_t>(file.size() - at);
    append(&length, sizeof(length));
    append(elements, length * sizeof(int64_t));
    std::memcpy(file.data() + at, &offset, sizeof(offset));
    ++moved;
  }
  ASSERT_GT(moved, 3);
  ASSERT_LE(file.size(), size * 2);
  const auto graph = ImportTfliteBytes({file.data(), file.size()}), original = ImportTflite(Tiny("int8.tflite"));
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  ASSERT_TRUE(original.ok());
  ASSERT_EQ(original->tensors.size(), graph->tensors.size());
  for (size_t i = 0; i < graph->tensors.size(); ++i) EXPECT_EQ(original->tensors[i].quantization, graph->tensors[i].quantization);
}

TEST(TfliteImport, SamePaddingPutsTheOddPixelBehind) {
  Builder b;
  const int x = b.Floats("x", {1, 6, 5, 1}), w = b.Floats("w", {1, 3, 3, 1}, std::vector<float>(9, 1.0f)), y = b.Floats("y", {1, 3, 3, 1});
  b.Conv({x, w, -1}, y, tflite::Padding::SAME, 2);
  const Graph g = ImportOrFail(b.Build({x}, {y}));
  ASSERT_THAT(Types(g), ElementsAre(OpType::kConv2d));
  const Window& window = g.nodes[0].window;
  EXPECT_EQ(0, window.pad_top);
  EXPECT_EQ(1, window.pad_bottom);
  EXPECT_EQ(1, window.pad_left);
  EXPECT_EQ(1, window.pad_right);
  EXPECT_EQ(kNoTensor, g.nodes[0].input(kInputBias));
}

/// SPACE_TO_BATCH_ND, a 3x3 convolution and BATCH_TO_SPACE_ND on 4x5 pixels; block 2x3.
std::string Dilated(const std::vector<int>& pads, const std::vector<int>& crops, tflite::Padding padding, int back_block = 3,
                    int middle_code = kConvCode) {
  Builder b;
  const int x = b.Floats("x", {1, 4, 5, 1}), block = b.Ints("block", {2, 3}), back = b.Ints("back", {2, back_block}),
            p = b.Ints("pads", pads), c = b.Ints("crops", crops), w = b.Floats("w", {1, 3, 3, 1}, std::vector<float>(9, 1.0f)),
            batched = b.Floats("batched", {6, 4, 4, 1}), convolved = b.Floats("convolved", {6, 2, 2, 1}), y = b.Floats("y", {1, 4, 5, 1});
  b.Op(kSpaceToBatchCode, {x, block, p}, {batched});
  if (middle_code == kConvCode) {
    b.Conv({batched, w, -1}, convolved, padding, 1);
  } else {
    b.Op(middle_code, {batched}, {convolved});
  }
  b.Op(kBatchToSpaceCode, {convolved, back, c}, {y});
  return b.Build({x}, {y});
}

TEST(TfliteImport, SpaceToBatchAroundAConvolutionIsADilatedOne) {
  const Graph g = ImportOrFail(Dilated({2, 2, 3, 4}, {0, 0, 0, 1}, tflite::Padding::VALID));
  ASSERT_THAT(Types(g), ElementsAre(OpType::kConv2d));
  EXPECT_EQ(g.nodes[0].window, (Window{3, 3, 1, 1, 2, 3, 2, 3, 2, 3}));
  EXPECT_EQ(g.tensor(g.outputs[0]).shape, (Shape{1, 4, 5, 1}));
  EXPECT_THAT(ErrorOf(Dilated({2, 2, 3, 4}, {0, 0, 0, 1}, tflite::Padding::SAME)), HasSubstr("must have padding VALID"));
  EXPECT_THAT(ErrorOf(Dilated({2, 2, 3, 4}, {0, 0, 0, 1}, tflite::Padding::VALID, 2)), HasSubstr("different blocks"));
  EXPECT_THAT(ErrorOf(Dilated({2, 2, 3, 0}, {0, 0, 0, 1}, tflite::Padding::VALID)), HasSubstr("BatchToSpaceND removes 1 pixels where 0 were added"));
  EXPECT_THAT(ErrorOf(Dilated({2, 2, 3, 4}, {0, 0, 0, 1}, tflite::Padding::VALID, 3, kReluCode)),
              AllOf(HasSubstr("RELU 'convolved'"), HasSubstr("only one convolution")));
  EXPECT_THAT(ErrorOf(Dilated({2, 2, 3}, {0, 0, 0, 1}, tflite::Padding::VALID)), HasSubstr("blocks of 2 dimensions with 3 amounts"));
  EXPECT_THAT(ErrorOf(Dilated({-1, 2, 3, 4}, {0, 0, 0, 1}, tflite::Padding::VALID), StatusCode::kCorrupt), HasSubstr("amount -1"));
}

TEST(TfliteImport, IntegerConvolutionFoldsTheZeroPointIntoTheBias) {
  Builder b;
  const int x = b.Int8("x", {1, 2, 2, 1}, 0.5f, -118);  // 10 as uint8.
  const int w = b.Tensor("w", tflite::TensorType::INT8, {2, 1, 1, 1}, std::vector<int8_t>{3, -5}, {{0.25f, 0.125f}, {0, 0}, 0});
  const int bias = b.Tensor("bias", tflite::TensorType::INT32, {2}, std::vector<int>{100, 200}, {{0.125f, 0.0625f}, {0, 0}, 0});
  const int y = b.Int8("y", {1, 2, 2, 2}, 1.0f, -128);
  b.Conv({x, w, bias}, y, tflite::Padding::VALID, 1, tflite::ActivationFunctionType::RELU);
  const Graph g = ImportOrFail(b.Build({x}, {y}));
  ASSERT_THAT(Types(g), ElementsAre(OpType::kConv2d));
  const Node& n = g.nodes[0];
  EXPECT_EQ(Activation::kRelu, n.activation);
  EXPECT_EQ((Quantization{0.5f, 10}), g.tensor(n.inputs[kInputX]).quantization);
  EXPECT_EQ((Quantization{1.0f, 0}), g.tensor(n.output).quantization);
  EXPECT_THAT(g.tensor(n.inputs[kInputWeights]).values<int8_t>(), ElementsAre(3, -5));
  EXPECT_THAT(g.tensor(n.inputs[kInputScales]).values<float>(), ElementsAre(0.25f, 0.125f));
  EXPECT_THAT(g.tensor(n.inputs[kInputBias]).values<int32_t>(), ElementsAre(100 - 10 * 3, 200 + 10 * 5));
  // 0.5*(30-10)*(3*0.25) + 100*0.125 = 20; 0.5*20*(-5*0.125) + 200*0.0625 = 6.25.
  EXPECT_THAT(RunGraph<uint8_t>(g, {30, 30, 30, 30}), ElementsAre(20, 6, 20, 6, 20, 6, 20, 6));
}

TEST(TfliteImport, QuantizeBetweenInt8AndUint8ChangesNothing) {
  Builder b;
  const int x = b.Tensor("x", tflite::TensorType::UINT8, {1, 4}, std::vector<uint8_t>(), {{0.5f}, {128}});
  const int q = b.Int8("q", {1, 4}, 0.5f, 0), r = b.Int8("r", {1, 4}, 0.25f, -128);
  b.Op(kQuantizeCode, {x}, {q});
  b.Op(kQuantizeCode, {q}, {r});
  const Graph g = ImportOrFail(b.Build({x}, {r}));
  ASSERT_THAT(Types(g), ElementsAre(OpType::kScaleShift));  // Only the second is work.
  EXPECT_EQ(g.inputs[0], g.nodes[0].inputs[0]);
  EXPECT_THAT(RunGraph<uint8_t>(g, {120, 128, 138, 255}), ElementsAre(0, 0, 20, 254));
}

TEST(TfliteImport, HalfWeightsAreWidenedAndIntegerWeightsDequantized) {
  Builder b;
  const int x = b.Floats("x", {1, 2});
  const int half = b.Tensor("half", tflite::TensorType::FLOAT16, {2, 2}, std::vector<uint16_t>{0x3c00, 0x4000, 0xbc00, 0x3800});
  const int wide = b.Floats("wide", {2, 2}), y = b.Floats("y", {1, 2}), z = b.Floats("z", {1, 1});
  const int w = b.Tensor("w", tflite::TensorType::INT8, {1, 2}, std::vector<int8_t>{10, -20}, {{0.5f}, {0}});
  b.Op(kDequantizeCode, {half}, {wide});
  b.Dense({x, wide, -1}, y);
  b.Dense({y, w, -1}, z);
  const Graph g = ImportOrFail(b.Build({x}, {z}));
  EXPECT_EQ(Precision::kHybrid, g.metadata.precision);
  EXPECT_THAT(g.tensor(g.nodes[0].inputs[kInputWeights]).values<float>(), ElementsAre(1.0f, 2.0f, -1.0f, 0.5f));
  EXPECT_THAT(g.tensor(g.nodes[1].inputs[kInputWeights]).values<float>(), ElementsAre(5.0f, -10.0f));
  EXPECT_THAT(RunGraph<float>(g, {1.0f, 2.0f}), ElementsAre(5.0f * 5.0f));
}

TEST(TfliteImport, ShapesComputedFromTheBatchAreFolded) {
  Builder b;
  const int x = b.Tensor("x", tflite::TensorType::FLOAT32, {1, 2, 2, 3}, std::vector<float>(), {}, {-1, 2, 2, 3});
  const int shape = b.Tensor("shape", tflite::TensorType::INT32, {4}, std::vector<int>());
  const int zero = b.Ints("zero", {0}), one = b.Ints("one", {1}), twelve = b.Tensor("twelve", tflite::TensorType::INT32, {}, std::vector<int>{12});
  const int batch = b.Tensor("batch", tflite::TensorType::INT32, {}, std::vector<int>());
  const int target = b.Tensor("target", tflite::TensorType::INT32, {2}, std::vector<int>());
  const int y = b.Tensor("y", tflite::TensorType::FLOAT32, {1, 1}, std::vector<float>(), {}, {-1, -1});
  b.Op(kShapeCode, {x}, {shape});
  b.Op(kStridedSliceCode, {shape, zero, one, one}, {batch}, tflite::BuiltinOptions::StridedSliceOptions,
       tflite::CreateStridedSliceOptions(b.fb(), 0, 0, 0, 0, 1).Union());
  b.Op(kPackCode, {batch, twelve}, {target}, tflite::BuiltinOptions::PackOptions, tflite::CreatePackOptions(b.fb(), 2).Union());
  b.Op(kReshapeCode, {x, target}, {y});
  const Graph g = ImportOrFail(b.Build({x}, {y}));
  ASSERT_THAT(Types(g), ElementsAre(OpType::kReshape));
  EXPECT_EQ((Shape{1, 12}), g.tensor(g.outputs[0]).shape);
}

TEST(TfliteImport, AFixedBatchBecomesAnyBatch) {
  Builder b;
  const int x = b.Floats("x", {8, 2, 2, 3}), target = b.Ints("target", {8, 12}), y = b.Floats("y", {8, 12});
  b.Op(kReshapeCode, {x, target}, {y});
  const Graph g = ImportOrFail(b.Build({x}, {y}));
  EXPECT_EQ((Shape{1, 2, 2, 3}), g.tensor(g.inputs[0]).shape);
  EXPECT_EQ((Shape{1, 12}), g.tensor(g.outputs[0]).shape);
}

TEST(TfliteImport, ConstantsPerChannelAndPreprocessing) {
  Builder b;
  const int x = b.Floats("x", {1, 1, 1, 2}), s = b.Floats("s", {}, {0.5f}), t = b.Floats("t", {1, 1, 1, 2}, {1.0f, -3.0f});
  const int m = b.Floats("m", {1, 1, 1, 2}), n = b.Floats("n", {1, 1, 1, 2}), axes = b.Ints("axes", {1, 2}), y = b.Floats("y", {1, 2});
  b.Op(kMulCode, {x, s}, {m}, tflite::BuiltinOptions::MulOptions, tflite::CreateMulOptions(b.fb()).Union());
  b.Op(kAddCode, {m, t}, {n}, tflite::BuiltinOptions::AddOptions, tflite::CreateAddOptions(b.fb()).Union());
  b.Op(kMeanCode, {n, axes}, {y}, tflite::BuiltinOptions::ReducerOptions, tflite::CreateReducerOptions(b.fb()).Union());
  const Graph g = ImportOrFail(b.Build({x}, {y}));
  ASSERT_THAT(Types(g), ElementsAre(OpType::kGlobalAveragePool, OpType::kReshape));
  const Preprocessing& pre = g.metadata.preprocessing;
  EXPECT_EQ(0.5f, pre.scale);
  EXPECT_EQ(-1.0f, pre.mean[0]);
  EXPECT_EQ(3.0f, pre.mean[1]);
  EXPECT_EQ(1.0f, pre.stddev[0]);
}

TEST(TfliteImport, ProductsStayIntegers) {
  Builder b;
  const int x = b.Int8("x", {1, 2, 2, 3}, 0.5f, -128), z = b.Int8("z", {1, 2, 2, 3}, 0.25f, 3), y = b.Int8("y", {1, 2, 2, 3}, 0.5f, 0);
  b.Op(kMulCode, {x, z}, {y}, tflite::BuiltinOptions::MulOptions, tflite::CreateMulOptions(b.fb(), tflite::ActivationFunctionType::RELU).Union());
  const Graph g = ImportOrFail(b.Build({x, z}, {y}));
  EXPECT_THAT(Types(g), ElementsAre(OpType::kMul, OpType::kRelu));
  EXPECT_EQ(g.tensor(g.nodes[0].output).dtype, DType::kU8);
}

TEST(TfliteImport, IntegersWithoutLayersAreRoundedAsTflites) {
  for (const bool integers : {true, false}) {
    Builder b;
    const auto tensor = [&](const char* name, const std::vector<int>& shape) {
      return integers ? b.Int8(name, shape, 0.5f, 3) : b.Floats(name, shape);
    };
    const int x = tensor("x", {1, 4, 4, 3}), y = tensor("y", {1, 1, 1, 3}), axes = b.Ints("axes", {1, 2});
    b.Op(kMeanCode, {x, axes}, {y}, tflite::BuiltinOptions::ReducerOptions, tflite::CreateReducerOptions(b.fb(), true).Union());
    const Graph g = ImportOrFail(b.Build({x}, {y}));
    EXPECT_EQ(g.metadata.rounding, integers ? Rounding::kTflite : Rounding::kNearestEven);
    EXPECT_EQ(g.metadata.precision, integers ? Precision::kInt8 : Precision::kFp32);
    // One scale on both sides: it would be taken for an AVERAGE_POOL_2D.
    ASSERT_THAT(Types(g), ElementsAre(OpType::kGlobalAveragePool));
    EXPECT_EQ(g.nodes[0].tflite_kernel, integers ? TfliteKernel::kMean : TfliteKernel::kUsual);
  }
}

TEST(TfliteImport, DenseLayersOfPixelsSaySo) {
  for (const bool integers : {true, false}) {
    Builder b;
    const auto tensor = [&](const char* name, const std::vector<int>& shape) {
      return integers ? b.Int8(name, shape, 0.5f, 3) : b.Floats(name, shape);
    };
    const int x = tensor("x", {1, 2, 2, 3}), y = tensor("y", {1, 2, 2, 2});
    const int w = integers ? b.Tensor("w", tflite::TensorType::INT8, {2, 3}, std::vector<int8_t>{1, 2, 3, 4, 5, 6}, {{0.1f}, {0}})
                           : b.Floats("w", {2, 3}, {1, 2, 3, 4, 5, 6});
    b.Op(kDenseCode, {x, w, -1}, {y}, tflite::BuiltinOptions::FullyConnectedOptions,
         tflite::CreateFullyConnectedOptions(b.fb(), tflite::ActivationFunctionType::NONE, 0, true)
             .Union());
    const Graph g = ImportOrFail(b.Build({x}, {y}));
    ASSERT_THAT(Types(g), ElementsAre(OpType::kConv2d));
    EXPECT_EQ(g.nodes[0].tflite_kernel, integers ? TfliteKernel::kFullyConnected : TfliteKernel::kUsual);
  }
}

TEST(TfliteImport, ListsEveryUnsupportedOperator) {
  Builder b;
  const int x = b.Floats("x", {1, 4}), y = b.Floats("gate", {1, 4}), z = b.Floats("ours", {1, 4});
  b.Op(kEluCode, {x}, {y});
  b.Op(kCustomCode, {y}, {z}, tflite::BuiltinOptions::NONE, 0, "MyOperator");
  EXPECT_EQ("2 unsupported operators: ELU 'gate'; custom operator MyOperator 'ours'", ErrorOf(b.Build({x}, {z})));
}

TEST(TfliteImport, ListsEveryUnsupportedUse) {
  Builder b;
  const int x = b.Floats("x", {1, 4, 4, 2}), w = b.Floats("w", {2, 1, 1, 2}, {1, 2, 3, 4}), y = b.Floats("tanh", {1, 4, 4, 2});
  const int z = b.Floats("mean", {1, 4, 2}), axes = b.Ints("axes", {3}), u = b.Floats("after", {1, 4, 2});
  b.Conv({x, w, -1}, y, tflite::Padding::SAME, 1, tflite::ActivationFunctionType::TANH);
  b.Op(kMeanCode, {x, axes}, {z}, tflite::BuiltinOptions::ReducerOptions, tflite::CreateReducerOptions(b.fb()).Union());
  b.Op(kAddCode, {z, z}, {u}, tflite::BuiltinOptions::AddOptions, tflite::CreateAddOptions(b.fb()).Union());
  const std::string error = ErrorOf(b.Build({x}, {u, y}));
  EXPECT_THAT(error, AllOf(HasSubstr("'tanh'"), HasSubstr("fused activation function 4"), HasSubstr("'mean'"), HasSubstr("other dimensions")));
  EXPECT_THAT(error, ::testing::Not(HasSubstr("after")));
}

TEST(TfliteImport, AsymmetricWeights) {
  const Quant half{{0.5f}, {128}}, weights{{0.5f}, {100}};
  {
    Builder b;
    const int x = b.Tensor("x", tflite::TensorType::UINT8, {1, 2}, std::vector<uint8_t>(), half);
    const int w = b.Tensor("w", tflite::TensorType::UINT8, {1, 2}, std::vector<uint8_t>{255, 3}, weights);
    const int y = b.Tensor("y", tflite::TensorType::UINT8, {1, 1}, std::vector<uint8_t>(), half);
    b.Dense({x, w, -1}, y);
    // (130-128)/2 * (155-97)/2 = 29; (132-128)/2 * 155/2 - (126-128)/2 * -97/2 = 106.5, beyond the largest, 63.5.
    const Graph g = ImportOrFail(b.Build({x}, {y}));
    EXPECT_THAT(RunGraph<uint8_t>(g, {130, 130}), ElementsAre(128 + 58));
    EXPECT_THAT(RunGraph<uint8_t>(g, {132, 126}), ElementsAre(255));
  }
  Builder b;
  const int x = b.Tensor("x", tflite::TensorType::UINT8, {1, 1, 1, 2}, std::vector<uint8_t>(), half);
  const int w = b.Tensor("w", tflite::TensorType::UINT8, {1, 1, 1, 2}, std::vector<uint8_t>{255, 3}, weights);
  const int y = b.Tensor("y", tflite::TensorType::UINT8, {1, 1, 1, 2}, std::vector<uint8_t>(), half);
  b.Op(kDepthwiseCode, {x, w, -1}, {y}, tflite::BuiltinOptions::DepthwiseConv2DOptions,
       tflite::CreateDepthwiseConv2DOptions(b.fb(), tflite::Padding::SAME, 1, 1, 1).Union());
  EXPECT_THAT(ErrorOf(b.Build({x}, {y})), HasSubstr("'w' are asymmetric (zero point 100); quantize with TensorFlow 2"));
}

TEST(TfliteImport, NamesTheCorruptPlace) {
  {
    Builder b;
    const int x = b.Floats("x", {1, 4}), y = b.Floats("y", {1, 4});
    b.Op(kAddCode, {x, 7}, {y}, tflite::BuiltinOptions::AddOptions, tflite::CreateAddOptions(b.fb()).Union());
    EXPECT_THAT(ErrorOf(b.Build({x}, {y}), StatusCode::kCorrupt), HasSubstr("operator 0 (ADD): input tensor 7 of 2"));
  }
  {
    Builder b;
    const int x = b.Floats("x", {1, 4}), w = b.Floats("w", {2, 4}, std::vector<float>(7)), y = b.Floats("y", {1, 2});
    b.Dense({x, w, -1}, y);
    EXPECT_THAT(ErrorOf(b.Build({x}, {y}), StatusCode::kCorrupt), HasSubstr("tensor 1 'w': 28 bytes of data, expected 8 elements of float32"));
  }
  {
    Builder b;
    const int x = b.Floats("x", {1, 4, 4, 1}), p = b.Ints("p", {0, 0, 1, 1, 1, 1, 0, 0}), y = b.Floats("y", {1, 6, 5, 1});
    b.Op(kPadCode, {x, p}, {y});
    EXPECT_THAT(ErrorOf(b.Build({x}, {y}), StatusCode::kCorrupt), HasSubstr("'y' has shape [1,6,5,1], expected [1,6,6,1]"));
  }
  EXPECT_THAT(ErrorOf("TFL3TFL3TFL3TFL3", StatusCode::kCorrupt), HasSubstr("does not verify"));
  EXPECT_THAT(ErrorOf("something else", StatusCode::kCorrupt), HasSubstr("TFL3"));
}

// Finite in the file, infinite where the multiplication is folded into the convolution.
TEST(TfliteImport, OverflowInFoldingIsAnError) {
  Builder b;
  const int x = b.Floats("x", {1, 4, 4, 1}), w = b.Floats("w", {1, 1, 1, 1}, {3e38f}), bias = b.Floats("b", {1}, {0.0f}),
            y = b.Floats("y", {1, 4, 4, 1}), ten = b.Floats("ten", {1}, {10.0f}), z = b.Floats("z", {1, 4, 4, 1});
  b.Conv({x, w, bias}, y, tflite::Padding::SAME, 1);
  b.Op(kMulCode, {y, ten}, {z}, tflite::BuiltinOptions::MulOptions, tflite::CreateMulOptions(b.fb()).Union());
  Graph graph = ImportOrFail(b.Build({x}, {z}));
  const Status status = Optimize(&graph);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("after folding: tensor 'y.weight': element 0: found inf, expected a finite number"));
}

TEST(TfliteImport, RefusesOtherSchemaVersionsAndOpenSizes) {
  {
    Builder b;
    const int x = b.Floats("x", {1, 4});
    EXPECT_THAT(ErrorOf(b.Build({x}, {x}, 2)), HasSubstr("version 2, expected 3"));
  }
  Builder b;
  const int x = b.Tensor("x", tflite::TensorType::FLOAT32, {1, 1, 1, 3}, std::vector<float>(), {}, {-1, -1, -1, 3});
  EXPECT_THAT(ErrorOf(b.Build({x}, {x})), HasSubstr("no fixed size: [?,?,?,3]"));
}

}  // namespace
}  // namespace octet
