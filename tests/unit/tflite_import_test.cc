#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "converter/import/builder/unary.h"
#include "converter/import/importer.h"
#include "converter/import/tflite/reader.h"
#include "converter/import/tflite/tflite_schema_generated.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "engine/src/runner.h"
#include "formats/data/npy.h"
#include "formats/model/operators.h"
#include "tests/unit/tflite_builder.h"
#include "tests/unit/unary_reference.h"

namespace octet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using namespace testing;
using Builder = TfliteBuilder;
using Quant = TfliteQuant;

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

/// Runs the optimized graph; T is its type of output, and mostly of input.
template <typename T, typename From = T>
std::vector<T> RunGraph(Graph graph, const std::vector<From>& input) {
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
  const auto input = ReadNpyFloats(Tiny("input.npy")),
             expected = ReadNpyFloats(Tiny("expected.npy"));
  ASSERT_TRUE(input.ok() && expected.ok());
  for (const auto& [file, precision, tolerance] :
       {std::tuple("fp32.tflite", Precision::kFp32, 1e-5f),
        std::tuple("fp16.tflite", Precision::kFp16, 2e-3f),
        std::tuple("int8_float.tflite", Precision::kInt8, 0.05f)}) {
    SCOPED_TRACE(file);
    const auto graph = ImportTflite(Tiny(file));
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    EXPECT_EQ(precision, graph->metadata.precision);
    EXPECT_EQ(std::string("tflite ") + PrecisionName(precision), graph->metadata.source);
    const Preprocessing& pre = graph->metadata.preprocessing;
    for (size_t i = 0; i < 4; ++i) {
      std::vector<float> x(input->values.begin() + static_cast<std::ptrdiff_t>(i) * 192,
                           input->values.begin() + static_cast<std::ptrdiff_t>(i + 1) * 192);
      for (size_t k = 0; k < x.size(); ++k)
        x[k] = (x[k] * pre.scale - pre.mean[k % 3]) / pre.stddev[k % 3];
      const std::vector<float> y = RunGraph<float>(*graph, x);
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
  const auto input = ReadNpyFloats(Tiny("int8_input.npy")),
             expected = ReadNpyFloats(Tiny("int8_expected.npy"));
  ASSERT_TRUE(input.ok() && expected.ok());
  size_t equal = 0;
  for (size_t i = 0; i < 40; ++i) {
    std::vector<uint8_t> x(192);
    for (size_t k = 0; k < x.size(); ++k) x[k] = static_cast<uint8_t>(input->values[i * 192 + k]);
    const std::vector<uint8_t> y = RunGraph<uint8_t>(*graph, x);
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
    const auto* field = reinterpret_cast<const char*>(
        table->GetAddressOf(tflite::QuantizationParameters::VT_ZERO_POINT));
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
  const auto graph = ImportTfliteBytes({file.data(), file.size()}),
             original = ImportTflite(Tiny("int8.tflite"));
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  ASSERT_TRUE(original.ok());
  ASSERT_EQ(original->tensors.size(), graph->tensors.size());
  for (size_t i = 0; i < graph->tensors.size(); ++i)
    EXPECT_EQ(original->tensors[i].quantization, graph->tensors[i].quantization);
}

TEST(TfliteImport, SamePaddingPutsTheOddPixelBehind) {
  Builder b;
  const int x = b.Floats("x", {1, 6, 5, 1}),
            w = b.Floats("w", {1, 3, 3, 1}, std::vector<float>(9, 1.0f)),
            y = b.Floats("y", {1, 3, 3, 1});
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
std::string Dilated(const std::vector<int>& pads, const std::vector<int>& crops,
                    tflite::Padding padding, int back_block = 3, int middle_code = kConvCode) {
  Builder b;
  const int x = b.Floats("x", {1, 4, 5, 1}), block = b.Ints("block", {2, 3}),
            back = b.Ints("back", {2, back_block}), p = b.Ints("pads", pads),
            c = b.Ints("crops", crops),
            w = b.Floats("w", {1, 3, 3, 1}, std::vector<float>(9, 1.0f)),
            batched = b.Floats("batched", {6, 4, 4, 1}),
            convolved = b.Floats("convolved", {6, 2, 2, 1}), y = b.Floats("y", {1, 4, 5, 1});
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
  EXPECT_THAT(ErrorOf(Dilated({2, 2, 3, 4}, {0, 0, 0, 1}, tflite::Padding::SAME)),
              HasSubstr("must have padding VALID"));
  EXPECT_THAT(ErrorOf(Dilated({2, 2, 3, 4}, {0, 0, 0, 1}, tflite::Padding::VALID, 2)),
              HasSubstr("different blocks"));
  EXPECT_THAT(ErrorOf(Dilated({2, 2, 3, 0}, {0, 0, 0, 1}, tflite::Padding::VALID)),
              HasSubstr("BatchToSpaceND removes 1 pixels where 0 were added"));
  EXPECT_THAT(ErrorOf(Dilated({2, 2, 3, 4}, {0, 0, 0, 1}, tflite::Padding::VALID, 3, kReluCode)),
              AllOf(HasSubstr("RELU 'convolved'"), HasSubstr("only one convolution")));
  EXPECT_THAT(ErrorOf(Dilated({2, 2, 3}, {0, 0, 0, 1}, tflite::Padding::VALID)),
              HasSubstr("blocks of 2 dimensions with 3 amounts"));
  EXPECT_THAT(
      ErrorOf(Dilated({-1, 2, 3, 4}, {0, 0, 0, 1}, tflite::Padding::VALID), StatusCode::kCorrupt),
      HasSubstr("amount -1"));
}

TEST(TfliteImport, IntegerConvolutionFoldsTheZeroPointIntoTheBias) {
  Builder b;
  const int x = b.Int8("x", {1, 2, 2, 1}, 0.5f, -118);  // 10 as uint8.
  const int w = b.Tensor("w", tflite::TensorType::INT8, {2, 1, 1, 1}, std::vector<int8_t>{3, -5},
                         {{0.25f, 0.125f}, {0, 0}, 0});
  const int bias = b.Tensor("bias", tflite::TensorType::INT32, {2}, std::vector<int>{100, 200},
                            {{0.125f, 0.0625f}, {0, 0}, 0});
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
  EXPECT_THAT(g.tensor(n.inputs[kInputBias]).values<int32_t>(),
              ElementsAre(100 - 10 * 3, 200 + 10 * 5));
  // 0.5*(30-10)*(3*0.25) + 100*0.125 = 20; 0.5*20*(-5*0.125) + 200*0.0625 = 6.25.
  EXPECT_THAT(RunGraph<uint8_t>(g, {30, 30, 30, 30}), ElementsAre(20, 6, 20, 6, 20, 6, 20, 6));
}

TEST(TfliteImport, QuantizeBetweenInt8AndUint8ChangesNothing) {
  Builder b;
  const int x =
      b.Tensor("x", tflite::TensorType::UINT8, {1, 4}, std::vector<uint8_t>(), {{0.5f}, {128}});
  const int q = b.Int8("q", {1, 4}, 0.5f, 0), r = b.Int8("r", {1, 4}, 0.25f, -128);
  b.Op(kQuantizeCode, {x}, {q});
  b.Op(kQuantizeCode, {q}, {r});
  const Graph g = ImportOrFail(b.Build({x}, {r}));
  ASSERT_THAT(Types(g), ElementsAre(OpType::kScaleShift));  // Only the second is work.
  EXPECT_EQ(g.inputs[0], g.nodes[0].inputs[0]);
  EXPECT_THAT(RunGraph<uint8_t>(g, {120, 128, 138, 255}), ElementsAre(0, 0, 20, 254));
}

TEST(TfliteImport, APixelIsTheCodeOfAnInputOfCodes) {
  for (const bool is_signed : {false, true}) {
    Builder b;
    const int x = is_signed ? b.Int8("x", {1, 2, 2, 3}, 1.0f / 255, -128)
                            : b.Tensor("x", tflite::TensorType::UINT8, {1, 2, 2, 3},
                                       std::vector<uint8_t>(), {{1.0f / 255}, {0}});
    const int y = b.Int8("y", {1, 2, 2, 3}, 0.5f, 0);
    b.Op(kQuantizeCode, {x}, {y});
    const auto model = ModelFromGraph(ImportOrFail(b.Build({x}, {y})));
    ASSERT_TRUE(model.ok()) << model.status().message();
    const auto session = Session::Create(*model);
    ASSERT_TRUE(session.ok()) << session.status().message();
    const std::vector<uint8_t> pixels{0, 1, 2, 127, 128, 129, 200, 253, 254, 255, 3, 77};
    std::vector<uint8_t> input(pixels.size());
    ASSERT_TRUE((*session)->Preprocess({pixels.data(), 2, 2}, input.data()).ok());
    EXPECT_EQ(input, pixels);
  }
}

TEST(TfliteImport, FloatsAreQuantizedAsAffineQuantizeDoes) {
  // kernels/internal/reference/quantize.h: TfLiteRound(value / scale), halves away from zero.
  Builder b;
  const int x = b.Floats("x", {1, 8}), q = b.Int8("q", {1, 8}, 0.1f, 2);
  b.Op(kQuantizeCode, {x}, {q});
  const Graph g = ImportOrFail(b.Build({x}, {q}));
  std::vector<float> in;
  std::vector<uint8_t> expected;
  for (const float code : {0.5f, -0.5f, 1.5f, 2.5f, -2.5f, -8.5f, 100.5f, 1e9f}) {
    in.push_back(code * 0.1f);
    expected.push_back(static_cast<uint8_t>(std::min(std::round(code) + 130.0f, 255.0f)));
  }
  EXPECT_EQ(RunGraph<uint8_t>(g, in), expected);
}

TEST(TfliteImport, HalfWeightsAreWidenedAndIntegerWeightsDequantized) {
  Builder b;
  const int x = b.Floats("x", {1, 2});
  const int half = b.Tensor("half", tflite::TensorType::FLOAT16, {2, 2},
                            std::vector<uint16_t>{0x3c00, 0x4000, 0xbc00, 0x3800});
  const int wide = b.Floats("wide", {2, 2}), y = b.Floats("y", {1, 2}), z = b.Floats("z", {1, 1});
  const int w =
      b.Tensor("w", tflite::TensorType::INT8, {1, 2}, std::vector<int8_t>{10, -20}, {{0.5f}, {0}});
  b.Op(kDequantizeCode, {half}, {wide});
  b.Dense({x, wide, -1}, y);
  b.Dense({y, w, -1}, z);
  const Graph g = ImportOrFail(b.Build({x}, {z}));
  EXPECT_EQ(Precision::kHybrid, g.metadata.precision);
  EXPECT_THAT(g.tensor(g.nodes[0].inputs[kInputWeights]).values<float>(),
              ElementsAre(1.0f, 2.0f, -1.0f, 0.5f));
  EXPECT_THAT(g.tensor(g.nodes[1].inputs[kInputWeights]).values<float>(),
              ElementsAre(5.0f, -10.0f));
  EXPECT_THAT(RunGraph<float>(g, {1.0f, 2.0f}), ElementsAre(5.0f * 5.0f));
}

TEST(TfliteImport, ShapesComputedFromTheBatchAreFolded) {
  Builder b;
  const int x = b.Tensor("x", tflite::TensorType::FLOAT32, {1, 2, 2, 3}, std::vector<float>(), {},
                         {-1, 2, 2, 3});
  const int shape = b.Tensor("shape", tflite::TensorType::INT32, {4}, std::vector<int>());
  const int zero = b.Ints("zero", {0}), one = b.Ints("one", {1}),
            twelve = b.Tensor("twelve", tflite::TensorType::INT32, {}, std::vector<int>{12});
  const int batch = b.Tensor("batch", tflite::TensorType::INT32, {}, std::vector<int>());
  const int target = b.Tensor("target", tflite::TensorType::INT32, {2}, std::vector<int>());
  const int y =
      b.Tensor("y", tflite::TensorType::FLOAT32, {1, 1}, std::vector<float>(), {}, {-1, -1});
  b.Op(kShapeCode, {x}, {shape});
  b.Op(kStridedSliceCode, {shape, zero, one, one}, {batch},
       tflite::BuiltinOptions::StridedSliceOptions,
       tflite::CreateStridedSliceOptions(b.fb(), 0, 0, 0, 0, 1).Union());
  b.Op(kPackCode, {batch, twelve}, {target}, tflite::BuiltinOptions::PackOptions,
       tflite::CreatePackOptions(b.fb(), 2).Union());
  b.Op(kReshapeCode, {x, target}, {y});
  const Graph g = ImportOrFail(b.Build({x}, {y}));
  ASSERT_THAT(Types(g), ElementsAre(OpType::kReshape));
  EXPECT_EQ((Shape{1, 12}), g.tensor(g.outputs[0]).shape);
}

TEST(TfliteImport, AFixedBatchBecomesAnyBatch) {
  Builder b;
  const int x = b.Floats("x", {8, 2, 2, 3}), target = b.Ints("target", {8, 12}),
            y = b.Floats("y", {8, 12});
  b.Op(kReshapeCode, {x, target}, {y});
  const Graph g = ImportOrFail(b.Build({x}, {y}));
  EXPECT_EQ((Shape{1, 2, 2, 3}), g.tensor(g.inputs[0]).shape);
  EXPECT_EQ((Shape{1, 12}), g.tensor(g.outputs[0]).shape);
}

TEST(TfliteImport, Negation) {
  Builder b;
  const int x = b.Floats("x", {1, 1, 1, 3}), n = b.Floats("n", {1, 1, 1, 3}),
            axes = b.Ints("axes", {1, 2}), y = b.Floats("y", {1, 3});
  b.Op(59, {x}, {n}, tflite::BuiltinOptions::NegOptions, tflite::CreateNegOptions(b.fb()).Union());
  b.Op(kMeanCode, {n, axes}, {y}, tflite::BuiltinOptions::ReducerOptions,
       tflite::CreateReducerOptions(b.fb()).Union());
  const Graph g = ImportOrFail(b.Build({x}, {y}));
  ASSERT_EQ(g.nodes[0].type, OpType::kScaleShift);
  EXPECT_THAT(g.tensor(g.nodes[0].inputs[kInputScale]).values<float>(),
              ElementsAre(-1.0f, -1.0f, -1.0f));
}

TEST(TfliteImport, ArithmeticOnTheInputStaysInTheNetwork) {
  Builder b;
  const int x = b.Floats("x", {1, 1, 1, 3}), s = b.Floats("s", {}, {0.5f}),
            t = b.Floats("t", {1, 1, 1, 3}, {1.0f, -3.0f, 0.5f});
  const int m = b.Floats("m", {1, 1, 1, 3}), n = b.Floats("n", {1, 1, 1, 3}),
            axes = b.Ints("axes", {1, 2}), y = b.Floats("y", {1, 3});
  b.Op(kMulCode, {x, s}, {m}, tflite::BuiltinOptions::MulOptions,
       tflite::CreateMulOptions(b.fb()).Union());
  b.Op(kAddCode, {m, t}, {n}, tflite::BuiltinOptions::AddOptions,
       tflite::CreateAddOptions(b.fb()).Union());
  b.Op(kMeanCode, {n, axes}, {y}, tflite::BuiltinOptions::ReducerOptions,
       tflite::CreateReducerOptions(b.fb()).Union());
  Graph g = ImportOrFail(b.Build({x}, {y}));
  EXPECT_EQ(g.metadata.preprocessing.scale, 1.0f);
  EXPECT_THAT(RunGraph<float>(g, std::vector<float>{2, 4, 6}), ElementsAre(2.0f, -1.0f, 3.5f));
  ASSERT_TRUE(Optimize(&g).ok());
  EXPECT_EQ(Types(g)[0], OpType::kScaleShift);  // One, for both.
  EXPECT_NE(Types(g)[1], OpType::kScaleShift);
}

/// A float convolution and a dense layer between roundings to codes, as quantization-aware training
/// leaves them: QUANTIZE and DEQUANTIZE, the dense weights transposed behind them, or FAKE_QUANT.
std::string Trained(bool fake_quant, const std::vector<float>& weights, int bits = 8) {
  Builder b;
  int count = 0;
  const auto name = [&](const char* what) { return what + std::to_string(count++); };
  const auto rounded = [&](int x, const std::vector<int>& shape, const Quant& q, float low) {
    const int real = b.Floats(name("real"), shape);
    if (fake_quant) {
      const int steps = low == -127.0f ? 254 : 255;
      b.Op(kFakeQuantCode, {x}, {real}, tflite::BuiltinOptions::FakeQuantOptions,
           tflite::CreateFakeQuantOptions(b.fb(), low * q.scale[0],
                                          (low + static_cast<float>(steps)) * q.scale[0], bits,
                                          steps == 254)
               .Union());
      return real;
    }
    const int codes =
        b.Tensor(name("codes"), tflite::TensorType::UINT8, shape, std::vector<uint8_t>(), q);
    b.Op(kQuantizeCode, {x}, {codes});
    b.Op(kDequantizeCode, {codes}, {real});
    return real;
  };
  const int x = b.Floats("x", {1, 1, 1, 2});
  const int w = b.Floats("w", {2, 1, 1, 2}, weights), v = b.Floats("v", {2, 1}, {0.5f, -0.2f});
  const int in = rounded(x, {1, 1, 1, 2}, {{0.5f}, {10}}, -10.0f);
  const Quant per_channel{{0.01f, 0.02f}, {128, 128}}, one{{0.01f}, {128}};
  const int kernel = rounded(w, {2, 1, 1, 2}, fake_quant ? one : per_channel, -127.0f);
  const int conv = b.Floats("conv", {1, 1, 1, 2});
  b.Conv({in, kernel}, conv, tflite::Padding::VALID, 1);
  const int flat = b.Floats("flat", {1, 2});
  b.Op(kReshapeCode, {rounded(conv, {1, 1, 1, 2}, {{0.25f}, {100}}, -100.0f), b.Ints("to", {1, 2})},
       {flat});
  int matrix = b.Floats("m", {1, 2}, {0.5f, -0.2f});
  if (fake_quant) {
    matrix = rounded(matrix, {1, 2}, one, -127.0f);
  } else {
    const int moved = b.Floats("moved", {1, 2});
    b.Op(kTransposeCode, {rounded(v, {2, 1}, one, -127.0f), b.Ints("order", {1, 0})}, {moved},
         tflite::BuiltinOptions::TransposeOptions, tflite::CreateTransposeOptions(b.fb()).Union());
    matrix = moved;
  }
  const int dense = b.Floats("dense", {1, 1});
  b.Dense({flat, matrix}, dense);
  return b.Build({x}, {rounded(dense, {1, 1}, {{0.125f}, {50}}, -50.0f)});
}

TEST(TfliteImport, TrainingsRoundingsBecomeIntegers) {
  for (const bool fake_quant : {false, true}) {
    SCOPED_TRACE(fake_quant);
    Graph g = ImportOrFail(Trained(fake_quant, {0.304f, -0.996f, 5.0f, -5.0f}));
    EXPECT_EQ(g.metadata.rounding, Rounding::kNearestEven);
    EXPECT_EQ(g.metadata.precision, Precision::kInt8);
    ASSERT_TRUE(Optimize(&g).ok());
    int layers = 0;
    for (const Node& n : g.nodes) {
      if (!TraitsOf(n.type).has_weights) continue;
      EXPECT_EQ(g.tensor(n.inputs[kInputX]).dtype, DType::kU8) << n.name;
      const auto codes = g.tensor(n.inputs[kInputWeights]).values<int8_t>();
      const int lowest = fake_quant ? -127 : -128;  // Of the narrow range, and of all codes.
      EXPECT_EQ(
          std::vector<int>(codes.begin(), codes.end()),
          layers++ > 0 ? std::vector<int>({50, -20}) : std::vector<int>({30, -100, 127, lowest}));
    }
    EXPECT_EQ(layers, 2);
    // 2.1 is 2 and 3.4 is 3.5; 0.3 * 2 - 3.5 is -2.9, and that -3.
    const float second =
        fake_quant ? 0.01f * (127 * 2 - 127 * 3.5f) : 0.02f * (127 * 2 - 128 * 3.5f);
    const float rounded = std::nearbyint(second / 0.25f) * 0.25f;
    const float y = std::nearbyint((0.5f * -3.0f - 0.2f * rounded) / 0.125f) * 0.125f;
    EXPECT_THAT(RunGraph<float>(g, std::vector<float>{2.1f, 3.4f}), ElementsAre(y));
  }
}

TEST(TfliteImport, RefusesRoundingsThatItCannotHave) {
  const std::vector<float> weights = {0.3f, -1.0f, 5.0f, -5.0f};
  EXPECT_THAT(ErrorOf(Trained(true, weights, 16)), HasSubstr("it has 16 bits, expected 2 to 8"));
  for (const bool fake_quant : {false, true}) {
    EXPECT_THAT(ErrorOf(Trained(fake_quant, {NAN, 0, 0, 0}), StatusCode::kInvalidArgument),
                HasSubstr("element 0: found nan, expected a finite number"));
  }
  Builder wide;
  const int c = wide.Floats("c", {1, 2}, {1, 2}), x = wide.Floats("x", {1, 2}),
            q = wide.Tensor("q", tflite::TensorType::INT16, {1, 2}, std::vector<int16_t>(),
                            {{0.1f}, {0}}),
            d = wide.Floats("d", {1, 2}), y = wide.Floats("y", {1, 1});
  wide.Op(kQuantizeCode, {c}, {q});
  wide.Op(kDequantizeCode, {q}, {d});
  wide.Dense({x, d}, y);
  EXPECT_THAT(ErrorOf(wide.Build({x}, {y})), HasSubstr("a constant becomes int16"));
}

/// A range whose 0 is no code is moved until it is, and of fewer bits only so many codes come out.
TEST(TfliteImport, FakeQuantizationIsTheKernels) {
  for (const bool narrow : {false, true}) {
    Builder b;
    const int x = b.Floats("x", {1, 5}), y = b.Floats("y", {1, 5});
    b.Op(kFakeQuantCode, {x}, {y}, tflite::BuiltinOptions::FakeQuantOptions,
         tflite::CreateFakeQuantOptions(b.fb(), -0.7f, narrow ? 6.3f : 6.8f, 4, narrow).Union());
    // Steps of 0.5, 1.4 of them below 0: one is.
    const float low = -0.5f, high = narrow ? 6.5f : 7.0f;
    EXPECT_THAT(RunGraph<float>(ImportOrFail(b.Build({x}, {y})),
                                std::vector<float>{-9.0f, -0.3f, 0.1f, 3.3f, 99.0f}),
                ElementsAre(low, -0.5f, 0.0f, 3.5f, high));
  }
}

TEST(TfliteImport, ProductsStayIntegers) {
  Builder b;
  const int x = b.Int8("x", {1, 2, 2, 3}, 0.5f, -128), z = b.Int8("z", {1, 2, 2, 3}, 0.25f, 3),
            y = b.Int8("y", {1, 2, 2, 3}, 0.5f, 0);
  b.Op(kMulCode, {x, z}, {y}, tflite::BuiltinOptions::MulOptions,
       tflite::CreateMulOptions(b.fb(), tflite::ActivationFunctionType::RELU).Union());
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
    const int x = tensor("x", {1, 4, 4, 3}), y = tensor("y", {1, 1, 1, 3}),
              axes = b.Ints("axes", {1, 2});
    b.Op(kMeanCode, {x, axes}, {y}, tflite::BuiltinOptions::ReducerOptions,
         tflite::CreateReducerOptions(b.fb(), true).Union());
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
    const int w = integers ? b.Tensor("w", tflite::TensorType::INT8, {2, 3},
                                      std::vector<int8_t>{1, 2, 3, 4, 5, 6}, {{0.1f}, {0}})
                           : b.Floats("w", {2, 3}, {1, 2, 3, 4, 5, 6});
    b.Op(kDenseCode, {x, w, -1}, {y}, tflite::BuiltinOptions::FullyConnectedOptions,
         tflite::CreateFullyConnectedOptions(b.fb(), tflite::ActivationFunctionType::NONE, 0, true)
             .Union());
    const Graph g = ImportOrFail(b.Build({x}, {y}));
    ASSERT_THAT(Types(g), ElementsAre(OpType::kConv2d));
    EXPECT_EQ(g.nodes[0].tflite_kernel,
              integers ? TfliteKernel::kFullyConnected : TfliteKernel::kUsual);
  }
}

TEST(TfliteImport, ListsEveryUnsupportedOperator) {
  Builder b;
  const int x = b.Floats("x", {1, 4}), y = b.Floats("gate", {1, 4}), z = b.Floats("ours", {1, 4});
  b.Op(kEluCode, {x}, {y});
  b.Op(kCustomCode, {y}, {z}, tflite::BuiltinOptions::NONE, 0, "MyOperator");
  EXPECT_EQ("2 unsupported operators: ELU 'gate'; custom operator MyOperator 'ours'",
            ErrorOf(b.Build({x}, {z})));
}

TEST(TfliteImport, ListsEveryUnsupportedUse) {
  Builder b;
  const int x = b.Floats("x", {1, 4, 4, 2}), w = b.Floats("w", {2, 1, 1, 2}, {1, 2, 3, 4}),
            y = b.Floats("tanh", {1, 4, 4, 2});
  const int z = b.Floats("mean", {1, 4, 2}), axes = b.Ints("axes", {3}),
            u = b.Floats("after", {1, 4, 2});
  b.Conv({x, w, -1}, y, tflite::Padding::SAME, 1, tflite::ActivationFunctionType::TANH);
  b.Op(kMeanCode, {x, axes}, {z}, tflite::BuiltinOptions::ReducerOptions,
       tflite::CreateReducerOptions(b.fb()).Union());
  b.Op(kAddCode, {z, z}, {u}, tflite::BuiltinOptions::AddOptions,
       tflite::CreateAddOptions(b.fb()).Union());
  const std::string error = ErrorOf(b.Build({x}, {u, y}));
  EXPECT_THAT(error, AllOf(HasSubstr("'tanh'"), HasSubstr("fused activation function 4"),
                           HasSubstr("'mean'"), HasSubstr("other dimensions")));
  EXPECT_THAT(error, ::testing::Not(HasSubstr("after")));
}

TEST(TfliteImport, AsymmetricWeights) {
  const Quant half{{0.5f}, {128}}, weights{{0.5f}, {100}};
  {
    Builder b;
    const int x = b.Tensor("x", tflite::TensorType::UINT8, {1, 2}, std::vector<uint8_t>(), half);
    const int w =
        b.Tensor("w", tflite::TensorType::UINT8, {1, 2}, std::vector<uint8_t>{255, 3}, weights);
    const int y = b.Tensor("y", tflite::TensorType::UINT8, {1, 1}, std::vector<uint8_t>(), half);
    b.Dense({x, w, -1}, y);
    // (130-128)/2 * (155-97)/2 = 29; (132-128)/2 * 155/2 - (126-128)/2 * -97/2 = 106.5, beyond the
    // largest, 63.5.
    const Graph g = ImportOrFail(b.Build({x}, {y}));
    EXPECT_THAT(RunGraph<uint8_t>(g, {130, 130}), ElementsAre(128 + 58));
    EXPECT_THAT(RunGraph<uint8_t>(g, {132, 126}), ElementsAre(255));
  }
  // Of a depthwise layer, rows read twice; the second filter of each channel is the first
  // backwards.
  for (const int dilation : {1, 2}) {
    Builder b;
    const int x =
        b.Tensor("x", tflite::TensorType::UINT8, {1, 3, 2, 2}, std::vector<uint8_t>(), half);
    const int w = b.Tensor("w", tflite::TensorType::UINT8, {1, 2, 1, 4},
                           std::vector<uint8_t>{255, 3, 101, 99, 3, 255, 99, 101}, weights);
    const int y = b.Tensor("y", tflite::TensorType::UINT8, {}, std::vector<uint8_t>(), half);
    b.Op(kDepthwiseCode, {x, w, -1}, {y}, tflite::BuiltinOptions::DepthwiseConv2DOptions,
         tflite::CreateDepthwiseConv2DOptions(b.fb(), tflite::Padding::SAME, 1, 2, 2,
                                              tflite::ActivationFunctionType::NONE, 1, dilation)
             .Union());
    if (dilation > 1) {
      EXPECT_THAT(ErrorOf(b.Build({x}, {y})), HasSubstr("its weights do not fit 8 bits"));
      continue;
    }
    // Half of (x0 - 128) * (w0 - 100) + (x1 - 128) * (w1 - 100), whose halves go up; behind the
    // last row is 0.
    EXPECT_THAT(RunGraph<uint8_t>(ImportOrFail(b.Build({x}, {y})),
                                  {129, 130, 128, 126, 130, 128, 128, 126, 128, 138, 126, 127}),
                ElementsAre(109, 235, 129, 127, 128, 128, 128, 128,  //
                            128, 128, 133, 123, 0, 225, 128, 129));
  }
}

TEST(TfliteImport, OutputsMayBeInputs) {
  Builder b;
  const Quant quant{{0.5f}, {128}};
  const int x = b.Tensor("x", tflite::TensorType::UINT8, {1, 2}, std::vector<uint8_t>(), quant),
            q = b.Int8("q", {1, 2}, 0.5f, 0);
  b.Op(kQuantizeCode, {x}, {q});
  EXPECT_THAT(RunGraph<uint8_t>(ImportOrFail(b.Build({x}, {q})), {3, 250}), ElementsAre(3, 250));
}

TEST(TfliteImport, HalvesOfAveragesGoUpInUint8AndAwayFromZeroInInt8) {
  for (const bool is_signed : {false, true}) {
    for (const int width : {2, 4}) {  // All pixels, or some.
      Builder b;
      const auto tensor = [&](const char* name, int w) {
        return is_signed ? b.Int8(name, {1, 1, w, 1}, 0.5f, -100)
                         : b.Tensor(name, tflite::TensorType::UINT8, {1, 1, w, 1},
                                    std::vector<uint8_t>(), {{0.5f}, {28}});
      };
      const int x = tensor("x", width), y = tensor("y", width / 2);
      b.Op(kAveragePoolCode, {x}, {y}, tflite::BuiltinOptions::Pool2DOptions,
           tflite::CreatePool2DOptions(b.fb(), tflite::Padding::VALID, 2, 1, 2, 1).Union());
      const Graph g = ImportOrFail(b.Build({x}, {y}));
      const uint8_t low = is_signed ? 10 : 11;
      if (width == 2) {
        EXPECT_THAT(RunGraph<uint8_t>(g, {10, 11}), ElementsAre(low));
      } else {
        EXPECT_THAT(RunGraph<uint8_t>(g, {10, 11, 200, 201}), ElementsAre(low, 201));
      }
    }
  }
}

// 0.7f / 0.2f is 3.5 in single precision and less in double.
TEST(TfliteImport, RescalingRelusDivideScalesInSinglePrecision) {
  Builder b;
  const int x = b.Int8("x", {1, 4}, 0.7f, -128), y = b.Int8("y", {1, 4}, 0.2f, -128);
  b.Op(kReluCode, {x}, {y});
  EXPECT_THAT(RunGraph<uint8_t>(ImportOrFail(b.Build({x}, {y})), {0, 1, 2, 3}),
              ElementsAre(0, 4, 7, 11));
}

TEST(TfliteImport, ConstantsLessIntegersAreRoundedAsTflites) {
  Builder b;
  const int x = b.Int8("x", {1, 4}, 0x1p-6f, -128), y = b.Int8("y", {1, 4}, 0x1p-6f, 0),
            c = b.Tensor("c", tflite::TensorType::INT8, {}, std::vector<int8_t>{75},
                         {{0x1p-7f}, {0}});
  b.Op(kSubCode, {c, x}, {y}, tflite::BuiltinOptions::SubOptions,
       tflite::CreateSubOptions(b.fb()).Union());
  // 37.5 - q, halves away from zero.
  EXPECT_THAT(RunGraph<uint8_t>(ImportOrFail(b.Build({x}, {y})), {0, 1, 40, 41}),
              ElementsAre(128 + 38, 128 + 37, 128 - 3, 128 - 4));
}

TEST(TfliteImport, DifferencesThatAreNoSumsOfNegatives) {
  // 0.007f has 8 zeros behind its digits in 31 bits: odd multiples of 4 are halves.
  for (const bool first : {true, false}) {
    for (const int code : {4, 7}) {
      Builder b;
      const int x = b.Int8("x", {1, 1}, first ? 0.007f : 0x1p-7f, 0),
                y = b.Int8("y", {1, 1}, 0.007f, 0),
                c = b.Tensor("c", tflite::TensorType::INT8, {},
                             std::vector<int8_t>{static_cast<int8_t>(code)},
                             {{first ? 0x1p-7f : 0.007f}, {0}});
      b.Op(kSubCode, first ? std::vector<int>{c, x} : std::vector<int>{x, c}, {y},
           tflite::BuiltinOptions::SubOptions, tflite::CreateSubOptions(b.fb()).Union());
      const std::string file = b.Build({x}, {y});
      if (first || code == 4) {  // Any code may come.
        EXPECT_THAT(ErrorOf(file), HasSubstr("TFLite rounds otherwise than their negatives"));
      } else {
        ImportOrFail(file);
      }
    }
  }
}

TEST(TfliteImport, RescalingsThatOverflowAreRefused) {
  Builder b;
  const int x = b.Int8("x", {1, 1}, 256.0f, 0), y = b.Int8("y", {1, 1}, 0x1p-16f, 0);
  b.Op(kQuantizeCode, {x}, {y});
  EXPECT_THAT(ErrorOf(b.Build({x}, {y})), HasSubstr("overflows TFLite's 32 bits"));
}

// Zeros in units of which 1 is no multiple are no MUL's constant; of others nobody can tell.
TEST(TfliteImport, ZerosLessIntegersAreNoProduct) {
  for (const float step : {0.013f, 0.02f}) {
    Builder b;
    const int x = b.Int8("x", {1, 1}, 0x1p-6f, 0), y = b.Int8("y", {1, 1}, 0.02f, -30),
              c = b.Tensor("c", tflite::TensorType::INT8, {}, std::vector<int8_t>{0},
                           {{step}, {0}});
    b.Op(kSubCode, {c, x}, {y}, tflite::BuiltinOptions::SubOptions,
         tflite::CreateSubOptions(b.fb()).Union());
    if (step == 0.02f) {
      EXPECT_THAT(ErrorOf(b.Build({x}, {y})), HasSubstr("adds zeros in steps of 0.02"));
    } else {  // -62.5000014 steps.
      EXPECT_THAT(RunGraph<uint8_t>(ImportOrFail(b.Build({x}, {y})), {128 + 80}),
                  ElementsAre(128 - 30 - 63));
    }
  }
}

// A column of an image without channels is [1,2,1,1] in the graph, a dense layer's result [1,2].
TEST(TfliteImport, VectorsMayLieInImages) {
  for (const bool add : {false, true}) {
    Builder b;
    const int x = b.Floats("x", {1, 2, 2}), first = b.Floats("first", {1, 2}),
              second = b.Floats("second", {1, 2}), w = b.Floats("w", {2, 2}, {1, 1, 0, 2}),
              dense = b.Floats("dense", {1, 2}), y = b.Floats("y", {1, add ? 2 : 4});
    b.Op(kUnpackCode, {x}, {first, second}, tflite::BuiltinOptions::UnpackOptions,
         tflite::CreateUnpackOptions(b.fb(), 2, 2).Union());
    b.Dense({first, w, -1}, dense);
    if (add) {
      b.Op(kAddCode, {second, dense}, {y}, tflite::BuiltinOptions::AddOptions,
           tflite::CreateAddOptions(b.fb()).Union());
    } else {
      b.Op(kConcatenationCode, {second, dense}, {y}, tflite::BuiltinOptions::ConcatenationOptions,
           tflite::CreateConcatenationOptions(b.fb(), 1).Union());
    }
    const std::vector<float> got = RunGraph<float>(ImportOrFail(b.Build({x}, {y})), {1, 2, 3, 4});
    EXPECT_EQ(got, add ? std::vector<float>({6, 10}) : std::vector<float>({2, 4, 4, 6}));
  }
}

TEST(TfliteImport, ConcatenationRoundsUint8Once) {
  Builder b;
  const int x = b.Tensor("x", tflite::TensorType::UINT8, {1, 4}, std::vector<uint8_t>(),
                         {{0.3f}, {0}}),
            y = b.Tensor("y", tflite::TensorType::UINT8, {1, 8}, std::vector<uint8_t>(),
                         {{1.0f}, {0}});
  b.Op(kConcatenationCode, {x, x}, {y}, tflite::BuiltinOptions::ConcatenationOptions,
       tflite::CreateConcatenationOptions(b.fb(), 1).Union());
  EXPECT_THAT(RunGraph<uint8_t>(ImportOrFail(b.Build({x}, {y})), {1, 2, 3, 4}),
              ElementsAre(0, 1, 1, 1, 0, 1, 1, 1));
}

// ---- Options ----

/// A network of one operator, what it gives for 1, 2, 3, ..., or what its refusal says.
struct Trial {
  std::string file, refusal;
  std::vector<float> expected;
  Shape shape{};  ///< Of the output, where it matters.
};

/// The operator on x of `from`, and constants behind it; its last output is the network's.
template <typename MakeOptions>
Trial One(int code, tflite::BuiltinOptions type, const std::vector<int>& from,
          const std::vector<int>& to,
          const std::function<std::vector<int>(Builder&, int x)>& inputs,
          const MakeOptions& options, std::vector<float> expected, std::string refusal = "",
          const Shape& shape = {}, int outputs = 1) {
  Builder b;
  const int x = b.Floats("x", from);
  const std::vector<int> in = inputs(b, x);
  std::vector<int> out;
  for (int i = 0; i < outputs; ++i) out.push_back(b.Floats("y" + std::to_string(i), to));
  b.Op(code, in, out, type, options(b.fb()).Union());
  return {b.Build({x}, {out.back()}), std::move(refusal), std::move(expected), shape};
}

void Check(const std::string& name, const Trial& t) {
  SCOPED_TRACE(name);
  const Result<Graph> graph = ImportTfliteBytes(t.file);
  if (!t.refusal.empty()) {
    ASSERT_FALSE(graph.ok());
    EXPECT_THAT(std::string(graph.status().message()), HasSubstr(t.refusal));
    return;
  }
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  if (t.shape.rank() > 0) {
    EXPECT_EQ(t.shape, graph->tensor(graph->outputs[0]).shape);
  }
  std::vector<float> x(static_cast<size_t>(graph->tensor(graph->inputs[0]).shape.num_elements()));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i + 1);
  EXPECT_THAT(RunGraph<float>(*graph, x),
              ::testing::Pointwise(::testing::FloatNear(1e-5f), t.expected));
}

using Fb = flatbuffers::FlatBufferBuilder;
constexpr auto kSame = tflite::Padding::SAME, kValid = tflite::Padding::VALID;
constexpr auto kNone = tflite::ActivationFunctionType::NONE,
               kRelu6 = tflite::ActivationFunctionType::RELU6,
               kBounded = tflite::ActivationFunctionType::RELU_N1_TO_1,
               kTanh = tflite::ActivationFunctionType::TANH;

using O = tflite::BuiltinOptions;
/// By option.
using Trials = std::multimap<std::string, Trial>;

const std::vector<int> kImage{1, 3, 3, 1}, kUnknown{};

std::vector<int> Alone(Builder&, int x) { return {x}; }

void AddConvolutionTrials(Trials* all) {
  for (const bool depthwise : {false, true}) {
    const std::string n = depthwise ? "DepthwiseConv2DOptions." : "Conv2DOptions.";
    const auto conv = [&](const std::string& field, tflite::Padding p, int sw, int sh,
                          tflite::ActivationFunctionType a, int dw, int dh,
                          std::vector<float> expected, const std::string& refusal = "",
                          tflite::TensorType bias = tflite::TensorType::FLOAT32,
                          int multiplier = 1) {
      const auto weights = [](Builder& b, int x) {
        return std::vector<int>{x, b.Floats("w", {1, 2, 2, 1}, {1, 1, 1, 1}), -1};
      };
      const auto options = [&](Fb& fb) {
        return depthwise
                   ? tflite::CreateDepthwiseConv2DOptions(fb, p, sw, sh, multiplier, a, dw, dh)
                         .Union()
                   : tflite::CreateConv2DOptions(fb, p, sw, sh, a, dw, dh, bias).Union();
      };
      Trial t = One(depthwise ? kDepthwiseCode : kConvCode,
                    depthwise ? O::DepthwiseConv2DOptions : O::Conv2DOptions, kImage, kUnknown,
                    weights, options, std::move(expected), refusal);
      all->emplace(n + field, std::move(t));
    };
    conv("padding", kValid, 1, 1, kNone, 1, 1, {12, 16, 24, 28});
    conv("padding", kSame, 1, 1, kNone, 1, 1, {12, 16, 9, 24, 28, 15, 15, 17, 9});
    conv("stride_w", kValid, 2, 1, kNone, 1, 1, {12, 24});
    conv("stride_h", kValid, 1, 2, kNone, 1, 1, {12, 16});
    conv("dilation_w_factor", kValid, 1, 1, kNone, 2, 1, {14, 26});
    conv("dilation_h_factor", kValid, 1, 1, kNone, 1, 2, {18, 22});
    conv("fused_activation_function", kValid, 1, 1, kRelu6, 1, 1, {6, 6, 6, 6});
    conv("fused_activation_function", kValid, 1, 1, kBounded, 1, 1, {1, 1, 1, 1});
    conv("fused_activation_function", kValid, 1, 1, kTanh, 1, 1, {}, "fused activation function 4");
    if (depthwise) {
      conv("depth_multiplier", kValid, 1, 1, kNone, 1, 1, {}, "depth_multiplier is 2",
           tflite::TensorType::FLOAT32, 2);
    } else {
      conv("quantized_bias_type", kValid, 1, 1, kNone, 1, 1, {}, "quantized_bias_type is int64",
           tflite::TensorType::INT64);
    }
  }
}

void AddPoolAndDenseTrials(Trials* all) {
  const auto pool = [&](const std::string& field, tflite::Padding p, int sw, int sh, int fw, int fh,
                        tflite::ActivationFunctionType a, std::vector<float> expected) {
    all->emplace("Pool2DOptions." + field,
                 One(
                     17, O::Pool2DOptions, kImage, kUnknown, Alone,
                     [&](Fb& fb) { return tflite::CreatePool2DOptions(fb, p, sw, sh, fw, fh, a); },
                     std::move(expected)));
  };
  pool("padding", kSame, 1, 1, 2, 2, kNone, {5, 6, 6, 8, 9, 9, 8, 9, 9});
  pool("stride_w", kValid, 2, 1, 2, 2, kNone, {5, 8});
  pool("stride_h", kValid, 1, 2, 2, 2, kNone, {5, 6});
  pool("filter_width", kValid, 1, 1, 3, 2, kNone, {6, 9});
  pool("filter_height", kValid, 1, 1, 2, 3, kNone, {8, 9});
  pool("fused_activation_function", kValid, 1, 1, 2, 2, kRelu6, {5, 6, 6, 6});
  const auto dense = [&](const std::string& field, tflite::ActivationFunctionType a, int format,
                         bool keep, bool asymmetric, tflite::TensorType bias,
                         std::vector<float> expected, const std::string& refusal = "") {
    all->emplace("FullyConnectedOptions." + field,
                 One(
                     kDenseCode, O::FullyConnectedOptions, {1, 2, 2, 2}, kUnknown,
                     [](Builder& b, int x) {
                       return std::vector<int>{x, b.Floats("w", {1, 2}, {1, 1}), -1};
                     },
                     [&](Fb& fb) {
                       return tflite::CreateFullyConnectedOptions(
                           fb, a, static_cast<int8_t>(format), keep, asymmetric, bias);
                     },
                     std::move(expected), refusal));
  };
  const auto not_set = tflite::TensorType::FLOAT32;
  dense("fused_activation_function", kRelu6, 0, false, false, not_set, {3, 6, 6, 6});
  dense("weights_format", kNone, 1, false, false, not_set, {}, "weights_format is 1");
  dense("keep_num_dims", kNone, 0, false, false, not_set, {3, 7, 11, 15});
  dense("keep_num_dims", kNone, 0, true, false, not_set, {3, 7, 11, 15});
  dense("asymmetric_quantize_inputs", kNone, 0, true, true, not_set, {3, 7, 11, 15});
  dense("quantized_bias_type", kNone, 0, true, false, tflite::TensorType::INT64, {},
        "quantized_bias_type is int64");
}

void AddElementwiseTrials(Trials* all) {
  const auto fake = [&](const std::string& field, float min, float max, int bits, bool narrow,
                        std::vector<float> expected, const std::string& refusal = "") {
    all->emplace(
        "FakeQuantOptions." + field,
        One(
            kFakeQuantCode, O::FakeQuantOptions, {1, 1, 1, 4}, kUnknown, Alone,
            [&](Fb& fb) { return tflite::CreateFakeQuantOptions(fb, min, max, bits, narrow); },
            std::move(expected), refusal));
  };
  fake("min", -6.0f, 1.5f, 4, false, {1, 1.5f, 1.5f, 1.5f});
  fake("min", 2.0f, 9.5f, 4, false, {1, 2, 3, 4});  // Moved to 0 and 7.5.
  fake("max", 0.0f, 3.75f, 4, false, {1, 2, 3, 3.75f});
  fake("max", 0.0f, 0.0f, 8, false, {}, "its range is 0 to 0");
  fake("num_bits", 0.0f, 3.0f, 2, false, {1, 2, 3, 3});
  fake("num_bits", 0.0f, 3.0f, 1, false, {}, "it has 1 bits");
  fake("narrow_range", 0.0f, 7.0f, 4, true, {1, 2, 3, 4});
  all->emplace("SoftmaxOptions.beta",
               One(kSoftmaxCode, O::SoftmaxOptions, {1, 2}, kUnknown, Alone,
                   [](Fb& fb) { return tflite::CreateSoftmaxOptions(fb, 0.0f); }, {0.5f, 0.5f}));
  all->emplace("LeakyReluOptions.alpha",
               One(98, O::LeakyReluOptions, {1, 3}, kUnknown, Alone,
                   [](Fb& fb) { return tflite::CreateLeakyReluOptions(fb, -0.5f); }, {1, 2, 3}));
  const auto with_five = [](Builder& b, int x) {
    return std::vector<int>{x, b.Floats("five", {}, {5})};
  };
  const std::tuple<const char*, int, O, std::vector<float>> binaries[] = {
      {"Add", kAddCode, O::AddOptions, {6, 6}},
      {"Sub", 41, O::SubOptions, {-1, -1}},
      {"Mul", kMulCode, O::MulOptions, {5, 6}},
      {"Div", 42, O::DivOptions, {0.2f, 0.4f}}};
  for (const auto& [name, code, type, expected] : binaries) {
    const std::string n = name;
    const bool sub = n == "Sub";
    const auto options = [&](Fb& fb, bool pot) {
      const auto a = sub ? kBounded : kRelu6;
      return n == "Add"   ? tflite::CreateAddOptions(fb, a, pot).Union()
             : n == "Sub" ? tflite::CreateSubOptions(fb, a, pot).Union()
             : n == "Mul" ? tflite::CreateMulOptions(fb, a).Union()
                          : tflite::CreateDivOptions(fb, a).Union();
    };
    all->emplace(n + "Options.fused_activation_function",
                 One(
                     code, type, {1, 2}, kUnknown, with_five,
                     [&](Fb& fb) { return options(fb, true); }, expected));
    if (code == kAddCode || sub)
      all->emplace(n + "Options.pot_scale_int16",
                   One(
                       code, type, {1, 2}, kUnknown, with_five,
                       [&](Fb& fb) { return options(fb, false); }, expected));
  }
  // Kernels go by the tensors' types.
  for (const char* field : {"in_data_type", "out_data_type"}) {
    all->emplace(std::string("CastOptions.") + field,
                 One(
                     53, O::CastOptions, {1, 2}, kUnknown, Alone,
                     [](Fb& fb) {
                       return tflite::CreateCastOptions(fb, tflite::TensorType::INT32,
                                                        tflite::TensorType::INT8);
                     },
                     {}, "cast from float32"));
  }
}

/// Of shapes, and operators that change them only.
void AddShapeTrials(Trials* all) {
  all->emplace(
      "ReshapeOptions.new_shape",
      One(kReshapeCode, O::ReshapeOptions, {1, 4}, kUnknown, Alone,
          [](Fb& fb) {
            return tflite::CreateReshapeOptions(fb, fb.CreateVector(std::vector<int>{1, 2, 2, 1}));
          },
          {1, 2, 3, 4}, "", {1, 2, 2, 1}));
  for (const bool keep : {false, true}) {
    all->emplace("ReducerOptions.keep_dims",
                 One(
                     kMeanCode, O::ReducerOptions, {1, 2, 2, 1}, kUnknown,
                     [](Builder& b, int x) {
                       return std::vector<int>{x, b.Ints("axes", {1, 2})};
                     },
                     [&](Fb& fb) { return tflite::CreateReducerOptions(fb, keep); }, {2.5f}, "",
                     keep ? Shape{1, 1, 1, 1} : Shape{1, 1}));
  }
  all->emplace(
      "SqueezeOptions.squeeze_dims",
      One(43, O::SqueezeOptions, {1, 1, 1, 2}, kUnknown, Alone,
          [](Fb& fb) {
            return tflite::CreateSqueezeOptions(fb, fb.CreateVector(std::vector<int>{1, -2}));
          },
          {1, 2}, "", {1, 2}));
  all->emplace(
      "SqueezeOptions.squeeze_dims",
      One(
          43, O::SqueezeOptions, {1, 1, 1, 2}, kUnknown, Alone,
          [](Fb& fb) { return tflite::CreateSqueezeOptions(fb); }, {}, "removes the batch"));
  for (int kind = 0; kind < 4; ++kind) {  // Shapes: SHAPE, PACK and RESHAPE.
    Builder b;
    const int x = b.Floats("x", {1, 4}), y = b.Floats("y", {}),
              shape = b.Tensor("s", tflite::TensorType::INT32, {2}, std::vector<int>());
    const int one = b.Tensor("one", tflite::TensorType::INT32, {}, std::vector<int>{1}),
              four = b.Tensor("four", tflite::TensorType::INT32, {}, std::vector<int>{4});
    if (kind == 0) {
      b.Op(kShapeCode, {x}, {shape}, O::ShapeOptions,
           tflite::CreateShapeOptions(b.fb(), tflite::TensorType::INT64).Union());
    } else {
      b.Op(kPackCode, {one, four}, {shape}, O::PackOptions,
           tflite::CreatePackOptions(b.fb(), kind == 1 ? 3 : 2, kind == 2 ? 1 : 0).Union());
    }
    const int r = b.Floats("r", {});
    b.Op(kReshapeCode, {x, shape}, {r});
    b.Op(kReluCode, {r}, {y});
    all->emplace(kind == 0   ? "ShapeOptions.out_type"
                 : kind == 2 ? "PackOptions.axis"
                             : "PackOptions.values_count",
                 Trial{b.Build({x}, {y}),
                       kind == 1   ? "values_count is 3"
                       : kind == 2 ? "axis is 1"
                                   : "",
                       {1, 2, 3, 4},
                       {1, 4}});
  }
}

/// Of operators that join or cut.
void AddPartTrials(Trials* all) {
  const auto twice = [](Builder&, int x) { return std::vector<int>{x, x}; };
  const auto concat = [&](const std::string& field, int axis, tflite::ActivationFunctionType a,
                          std::vector<float> expected, const std::string& refusal = "") {
    all->emplace("ConcatenationOptions." + field,
                 One(
                     2, O::ConcatenationOptions, {1, 2, 2, 1}, kUnknown, twice,
                     [&](Fb& fb) { return tflite::CreateConcatenationOptions(fb, axis, a); },
                     std::move(expected), refusal));
  };
  concat("axis", 2, kNone, {1, 2, 1, 2, 3, 4, 3, 4});
  concat("axis", -1, kNone, {1, 1, 2, 2, 3, 3, 4, 4});
  concat("axis", 0, kNone, {}, "along the batch");
  concat("fused_activation_function", 1, kBounded, {1, 1, 1, 1, 1, 1, 1, 1});
  const auto slice = [&](const std::string& field, int begin, int end, int ellipsis, int axis,
                         int shrink, bool offset, std::vector<float> expected,
                         const std::string& refusal = "") {
    all->emplace("StridedSliceOptions." + field,
                 One(
                     kStridedSliceCode, O::StridedSliceOptions, kImage, kUnknown,
                     [](Builder& b, int x) {
                       return std::vector<int>{x, b.Ints("begin", {0, 1, 1, 0}),
                                               b.Ints("end", {1, 2, 2, 1}),
                                               b.Ints("step", {1, 1, 1, 1})};
                     },
                     [&](Fb& fb) {
                       return tflite::CreateStridedSliceOptions(fb, begin, end, ellipsis, axis,
                                                                shrink, offset);
                     },
                     std::move(expected), refusal));
  };
  slice("begin_mask", 2, 0, 0, 0, 0, false, {2, 5});
  slice("end_mask", 0, 4, 0, 0, 0, false, {5, 6});
  slice("ellipsis_mask", 0, 0, 1, 0, 0, false, {}, "ellipsis_mask is 1");
  slice("new_axis_mask", 0, 0, 0, 2, 0, false, {}, "new_axis_mask is 2");
  slice("shrink_axis_mask", 0, 0, 0, 0, 2, false, {5});
  slice("shrink_axis_mask", 0, 0, 0, 0, 1, false, {}, "a part of the batch");
  slice("offset", 0, 0, 0, 0, 0, true, {}, "offset is 1");
  const auto gather = [&](const std::string& field, int axis, int batch,
                          std::vector<float> expected, const std::string& refusal = "") {
    all->emplace("GatherOptions." + field,
                 One(
                     36, O::GatherOptions, {1, 1, 2, 2}, kUnknown,
                     [](Builder& b, int x) {
                       return std::vector<int>{x, b.Ints("at", {1})};
                     },
                     [&](Fb& fb) { return tflite::CreateGatherOptions(fb, axis, batch); },
                     std::move(expected), refusal));
  };
  gather("axis", 3, 0, {2, 4});
  gather("axis", 2, 0, {3, 4});
  gather("axis", 0, 0, {}, "along the batch");
  gather("batch_dims", 3, 1, {}, "batch_dims is 1");
  const auto unpack = [&](const std::string& field, int num, int axis, std::vector<float> expected,
                          const std::string& refusal = "") {
    all->emplace("UnpackOptions." + field,
                 One(
                     88, O::UnpackOptions, {1, 1, 2, 2}, kUnknown, Alone,
                     [&](Fb& fb) { return tflite::CreateUnpackOptions(fb, num, axis); },
                     std::move(expected), refusal, {}, 2));
  };
  unpack("axis", 2, 3, {2, 4});
  unpack("axis", 2, 2, {3, 4});
  unpack("num", 3, 2, {}, "num is 3");
  for (const int n : {2, 3}) {
    all->emplace("SplitOptions.num_splits",
                 One(
                     49, O::SplitOptions, {1, 1, 2, 2}, kUnknown,
                     [](Builder& b, int x) {
                       return std::vector<int>{b.Ints("axis", {3}), x};
                     },
                     [&](Fb& fb) { return tflite::CreateSplitOptions(fb, n); }, {2, 4},
                     n == 2 ? "" : "num_splits is 3", {}, 2));
    all->emplace("SplitVOptions.num_splits",
                 One(
                     102, O::SplitVOptions, {1, 1, 1, 4}, kUnknown,
                     [](Builder& b, int x) {
                       return std::vector<int>{x, b.Ints("sizes", {1, -1}), b.Ints("axis", {3})};
                     },
                     [&](Fb& fb) { return tflite::CreateSplitVOptions(fb, n); }, {2, 3, 4},
                     n == 2 ? "" : "num_splits is 3", {}, 2));
  }
}

Trials OptionTrials() {
  Trials all;
  for (const auto add : {AddConvolutionTrials, AddPoolAndDenseTrials, AddElementwiseTrials,
                         AddShapeTrials, AddPartTrials}) {
    add(&all);
  }
  return all;
}

TEST(TfliteImport, EveryOptionIsHonouredOrRefused) {
  const Trials trials = OptionTrials();
  for (const auto& [name, trial] : trials) Check(name, trial);
  // No field of the schema is forgotten.
  const flatbuffers::TypeTable* all = tflite::BuiltinOptionsTypeTable();
  for (size_t i = 1; i < all->num_elems; ++i) {
    const flatbuffers::TypeTable* table = all->type_refs[all->type_codes[i].sequence_ref]();
    for (size_t f = 0; f < table->num_elems; ++f) {
      const std::string name = std::string(all->names[i]) + "." + table->names[f];
      EXPECT_GT(trials.count(name), 0u) << name << " has no trial";
    }
  }
}

TEST(TfliteImport, FieldsOfANewerSchemaAreRefused) {
  const std::map<std::string, int> codes{{"Conv2DOptions", 3},
                                         {"DepthwiseConv2DOptions", 4},
                                         {"Pool2DOptions", 1},
                                         {"FullyConnectedOptions", 9},
                                         {"SoftmaxOptions", 25},
                                         {"ConcatenationOptions", 2},
                                         {"AddOptions", 0},
                                         {"ReshapeOptions", 22},
                                         {"MulOptions", 18},
                                         {"PadOptions", 34},
                                         {"GatherOptions", 36},
                                         {"BatchToSpaceNDOptions", 37},
                                         {"SpaceToBatchNDOptions", 38},
                                         {"TransposeOptions", 39},
                                         {"ReducerOptions", 40},
                                         {"SubOptions", 41},
                                         {"DivOptions", 42},
                                         {"SqueezeOptions", 43},
                                         {"StridedSliceOptions", 45},
                                         {"SplitOptions", 49},
                                         {"LogSoftmaxOptions", 50},
                                         {"CastOptions", 53},
                                         {"DequantizeOptions", 6},
                                         {"MaximumMinimumOptions", 55},
                                         {"PadV2Options", 60},
                                         {"SliceOptions", 65},
                                         {"ExpandDimsOptions", 70},
                                         {"ShapeOptions", 77},
                                         {"PackOptions", 83},
                                         {"UnpackOptions", 88},
                                         {"SplitVOptions", 102},
                                         {"NegOptions", 59},
                                         {"LeakyReluOptions", 98},
                                         {"ReverseV2Options", 105},
                                         {"AddNOptions", 106},
                                         {"QuantizeOptions", 114},
                                         {"FakeQuantOptions", 80}};
  const flatbuffers::TypeTable* all = tflite::BuiltinOptionsTypeTable();
  for (size_t i = 1; i < all->num_elems; ++i) {
    const std::string name = all->names[i];
    SCOPED_TRACE(name);
    ASSERT_EQ(1u, codes.count(name));
    const size_t known = all->type_refs[all->type_codes[i].sequence_ref]()->num_elems;
    const auto type = static_cast<tflite::BuiltinOptions>(all->values[i]);
    const auto file = [&](int code) {
      Builder b;
      const int x = b.Floats("x", {1, 4}), y = b.Floats("y", {1, 4});
      const auto start = b.fb().StartTable();
      b.fb().AddElement<int32_t>(static_cast<flatbuffers::voffset_t>(4 + 2 * known), 7, 0);
      b.Op(code, {x}, {y}, type, flatbuffers::Offset<void>(b.fb().EndTable(start)));
      return b.Build({x}, {y});
    };
    EXPECT_THAT(
        ErrorOf(file(codes.at(name))),
        HasSubstr("its options have a field " + std::to_string(known) + " of a newer schema"));
    EXPECT_THAT(ErrorOf(file(kReluCode)), HasSubstr("of BuiltinOptions, expected 0"));
  }
}

TEST(TfliteImport, EveryUnaryFunction) {
  std::set<std::string> listed;
  for (const OperatorRow& row : TfliteOperators()) listed.insert(row.name);
  for (const UnaryFunction& f : UnaryFunctions()) {
    if (f.tflite < 0) continue;
    EXPECT_EQ(listed.count(TfliteOperatorName(f.tflite)), 1u) << TfliteOperatorName(f.tflite);
    if (*f.keras.attribute != '\0') continue;  // Options have trials.
    Builder b;
    const int x = b.Floats("x", {1, 3}), y = b.Floats("y", {1, 3});
    b.Op(f.tflite, {x}, {y});
    const std::vector<float> in{-3, 0, 1},
        out = RunGraph<float>(ImportOrFail(b.Build({x}, {y})), in);
    for (size_t i = 0; i < in.size(); ++i)
      EXPECT_NEAR(out[i], testing::UnaryReference(f.keras.name, in[i], 0), 1e-6);
  }
}

TEST(TfliteImport, LeakyReluOfFloatsOnly) {
  for (const bool codes : {false, true}) {
    Builder b;
    const auto tensor = [&](const char* name) {
      return codes ? b.Tensor("q", tflite::TensorType::INT8, {1, 4}, std::vector<int8_t>(),
                              {{0.5f}, {0}})
                   : b.Floats(name, {1, 4});
    };
    const int x = tensor("x"), y = tensor("y");
    b.Op(98, {x}, {y}, tflite::BuiltinOptions::LeakyReluOptions,
         tflite::CreateLeakyReluOptions(b.fb(), 0.25f).Union());
    if (codes) {
      EXPECT_THAT(ErrorOf(b.Build({x}, {y})), HasSubstr("a leaky ReLU of integers"));
    } else {
      EXPECT_THAT(RunGraph<float>(ImportOrFail(b.Build({x}, {y})), {-2, -0.5, 0, 3}),
                  ElementsAre(-0.5, -0.125, 0, 3));
    }
  }
  Builder b;
  const int x = b.Floats("x", {1, 4}), y = b.Floats("y", {1, 4});
  b.Op(98, {x}, {y});
  EXPECT_THAT(ErrorOf(b.Build({x}, {y}), StatusCode::kCorrupt), HasSubstr("options are missing"));
}

TEST(TfliteImport, OtherWaysOfReadingTheInput) {
  {  // NCHW with a leading transpose.
    Builder b;
    const int x = b.Floats("x", {1, 2, 1, 3}), order = b.Ints("order", {0, 2, 3, 1}),
              t = b.Floats("t", {1, 1, 3, 2});
    const int w = b.Floats("w", {1, 1, 1, 2}, {1, 10}), y = b.Floats("y", {1, 1, 3, 1});
    b.Op(39, {x, order}, {t});
    b.Conv({t, w, -1}, y, tflite::Padding::SAME, 1);
    const Graph g = ImportOrFail(b.Build({x}, {y}));
    EXPECT_THAT(Types(g), ElementsAre(OpType::kConv2d));
    EXPECT_EQ((Shape{1, 1, 3, 2}), g.tensor(g.inputs[0]).shape);
  }
  {  // An image without channels, and an output that is listed twice.
    Builder b;
    const int x = b.Floats("x", {1, 2, 2}), target = b.Ints("target", {-1, 4}),
              y = b.Floats("y", {1, 4}), z = b.Floats("z", {1, 4});
    b.Op(kReshapeCode, {x, target}, {y});
    b.Op(kReluCode, {y}, {z});
    const Graph g = ImportOrFail(b.Build({x}, {z, z}));
    EXPECT_EQ((Shape{1, 2, 2, 1}), g.tensor(g.inputs[0]).shape);
    ASSERT_EQ(2u, g.outputs.size());
    EXPECT_NE(g.outputs[0], g.outputs[1]);
    EXPECT_THAT(RunGraph<float>(g, {-1, 2, -3, 4}), ElementsAre(0, 2, 0, 4));
  }
  {
    Builder b;
    const int x = b.Tensor("x", tflite::TensorType::INT32, {1, 4}, std::vector<int>()),
              y = b.Floats("y", {1, 4});
    b.Op(kCastCode, {x}, {y});
    EXPECT_THAT(ErrorOf(b.Build({x}, {y})),
                HasSubstr("'x' of int32, expected float32, int8, uint8 or int16"));
  }
  Builder b;
  const int x = b.Int16("x", {1, 4}, 0.5f, 3), y = b.Floats("y", {1, 4});
  b.Op(kDequantizeCode, {x}, {y});
  EXPECT_THAT(ErrorOf(b.Build({x}, {y})),
              AllOf(HasSubstr("'x' of int16"), HasSubstr("zero point 3, expected 1 and 0")));
}

/// A convolution of int16, and the options of what is wrong with it.
struct Int16Conv {
  tflite::TensorType bias = tflite::TensorType::INT64;
  int weight_zero = 0;
  float x_scale = 0.25f, y_scale = 1.0f;
  int64_t largest_bias = 200;

  std::string File() const {
    Builder b;
    const int x = b.Int16("x", {1, 2, 2, 1}, x_scale);
    const int w = b.Tensor("w", tflite::TensorType::INT8, {2, 1, 1, 1}, std::vector<int8_t>{3, -5},
                           {{0.25f, 0.125f}, {weight_zero, weight_zero}, 0});
    const Quant steps{{x_scale * 0.25f, x_scale * 0.125f}, {0, 0}, 0};
    const int c = bias == tflite::TensorType::INT64
                      ? b.Tensor("bias", bias, {2}, std::vector<int64_t>{100, largest_bias}, steps)
                      : b.Tensor("bias", bias, {2}, std::vector<int>{100, 200}, steps);
    const int y = b.Int16("y", {1, 2, 2, 2}, y_scale);
    b.Conv({x, w, c}, y, tflite::Padding::VALID, 1, tflite::ActivationFunctionType::RELU6);
    return b.Build({x}, {y});
  }
};

TEST(TfliteImport, Int16ActivationsKeepTheirCodesAndTheirBiases) {
  const Graph g = ImportOrFail(Int16Conv().File());
  ASSERT_THAT(Types(g), ElementsAre(OpType::kConv2d));
  EXPECT_EQ(g.metadata.precision, Precision::kInt16x8);
  EXPECT_EQ(g.metadata.rounding, Rounding::kTflite);
  const Node& n = g.nodes[0];
  EXPECT_EQ(n.activation, Activation::kRelu6);
  EXPECT_EQ(g.tensor(n.inputs[kInputX]).dtype, DType::kI16);
  EXPECT_EQ((Quantization{0.25f, 0}), g.tensor(n.inputs[kInputX]).quantization);
  EXPECT_THAT(g.tensor(n.inputs[kInputWeights]).values<int8_t>(), ElementsAre(3, -5));
  EXPECT_THAT(g.tensor(n.inputs[kInputBias]).values<int64_t>(), ElementsAre(100, 200));
  EXPECT_EQ(OwnPrecision(g), Precision::kInt16x8);
  const QuantizeOptions options{
      .precision = Precision::kInt16x8, .input_type = DType::kI16, .output_type = DType::kI16};
  const Result<Graph> kept = QuantizeGraph(g, options, nullptr);
  ASSERT_TRUE(kept.ok()) << kept.status().message();
  EXPECT_EQ(kept->metadata.precision, Precision::kInt16x8);
  EXPECT_THAT(QuantizeGraph(g, {.precision = Precision::kInt8}, nullptr).status().message(),
              HasSubstr("it can be converted to int16x8, not to int8"));
  // (3 x + 100) / 16 and (-5 x + 200) / 32, halves up, from 0 to 6.
  EXPECT_THAT(RunGraph<int16_t>(g, {-20, 0, 24, -12}), ElementsAre(3, 6, 6, 6, 6, 3, 4, 6));
}

TEST(TfliteImport, Int16RefusesWhatTfliteComputesOtherwise) {
  EXPECT_THAT(ErrorOf(Int16Conv{.bias = tflite::TensorType::INT32}.File()),
              HasSubstr("bias of int32 for an int16 input, expected int64"));
  EXPECT_THAT(ErrorOf(Int16Conv{.weight_zero = 1}.File()),
              HasSubstr("expected int8 with zero points of 0"));
  EXPECT_THAT(ErrorOf(Int16Conv{.y_scale = 0.0004f}.File()), HasSubstr("expected less than 128"));
  EXPECT_THAT(ErrorOf(Int16Conv{.y_scale = 0.0006f, .largest_bias = int64_t{1} << 37}.File()),
              HasSubstr("channel 1 may sum up to 1"));
  EXPECT_THAT(ErrorOf(Int16Conv{.largest_bias = (int64_t{1} << 37) + 1}.File()),
              HasSubstr("bias 137438953473 of channel 1, expected"));
  const auto binary = [](int code, float a_scale, float b_scale, float y_scale,
                         tflite::BuiltinOptions type, bool pot) {
    Builder b;
    const int x = b.Int16("a", {1, 4}, a_scale), z = b.Int16("b", {1, 4}, b_scale),
              y = b.Int16("y", {1, 4}, y_scale);
    const auto none = tflite::ActivationFunctionType::NONE;
    b.Op(code, {x, z}, {y}, type,
         code == kAddCode   ? tflite::CreateAddOptions(b.fb(), none, pot).Union()
         : code == kSubCode ? tflite::CreateSubOptions(b.fb(), none, pot).Union()
                            : tflite::CreateMulOptions(b.fb(), none).Union());
    return b.Build({x, z}, {y});
  };
  using enum tflite::BuiltinOptions;
  EXPECT_THAT(ErrorOf(binary(kAddCode, 0.5f, 0.25f, 0.5f, AddOptions, true)),
              HasSubstr("pot_scale_int16 is set"));
  EXPECT_EQ(1u, ImportOrFail(binary(kAddCode, 0.5f, 0.3f, 0.5f, AddOptions, true)).nodes.size());
  EXPECT_EQ(1u, ImportOrFail(binary(kAddCode, 0.5f, 0.25f, 0.5f, AddOptions, false)).nodes.size());
  EXPECT_THAT(ErrorOf(binary(kAddCode, 0.5f, 0.3f, 1e-5f, AddOptions, false)),
              HasSubstr("overflows TFLite's 32 bits"));
  EXPECT_THAT(ErrorOf(binary(kSubCode, 0.5f, 0.3f, 0.5f, SubOptions, false)),
              HasSubstr("a difference of int16"));
  EXPECT_THAT(ErrorOf(binary(kMulCode, 0.5f, 0.3f, 0.1f, MulOptions, false)),
              HasSubstr("may overflow TFLite's 32 bits"));
  const auto unary =
      [](int code, float y_scale, tflite::BuiltinOptions type = NONE,
         const std::function<flatbuffers::Offset<void>(flatbuffers::FlatBufferBuilder&)>& options =
             nullptr) {
        Builder b;
        const int x = b.Int16("x", {1, 4, 4, 1}, 0.5f), y = b.Int16("y", {1, 4, 4, 1}, y_scale);
        b.Op(code, {x}, {y}, type, options ? options(b.fb()) : 0);
        return b.Build({x}, {y});
      };
  EXPECT_THAT(ErrorOf(unary(kLogisticCode, 0x1p-15f)), HasSubstr("of int16"));
  EXPECT_THAT(ErrorOf(unary(kQuantizeCode, 1e-5f)), HasSubstr("overflows TFLite's 32 bits"));
  const auto softmax = [](float beta) {
    return [beta](flatbuffers::FlatBufferBuilder& fb) {
      return tflite::CreateSoftmaxOptions(fb, beta).Union();
    };
  };
  EXPECT_EQ(
      1u, ImportOrFail(unary(kSoftmaxCode, 0x1p-15f, SoftmaxOptions, softmax(1.0f))).nodes.size());
  EXPECT_THAT(ErrorOf(unary(kSoftmaxCode, 0x1p-14f, SoftmaxOptions, softmax(1.0f))),
              HasSubstr("expected 2^-15"));
  EXPECT_THAT(ErrorOf(unary(kSoftmaxCode, 0x1p-15f, SoftmaxOptions, softmax(2.0f))),
              HasSubstr("beta 1"));
  EXPECT_THAT(
      ErrorOf(
          unary(kMaxPoolCode, 0.25f, Pool2DOptions,
                [](flatbuffers::FlatBufferBuilder& fb) {
                  return tflite::CreatePool2DOptions(fb, tflite::Padding::SAME, 1, 1, 2, 2).Union();
                })),
      HasSubstr("expected equal ones"));
}

TEST(TfliteImport, NamesTheCorruptPlace) {
  {
    Builder b;
    const int x = b.Floats("x", {1, 4}), y = b.Floats("y", {1, 4});
    b.Op(kAddCode, {x, 7}, {y}, tflite::BuiltinOptions::AddOptions,
         tflite::CreateAddOptions(b.fb()).Union());
    EXPECT_THAT(ErrorOf(b.Build({x}, {y}), StatusCode::kCorrupt),
                HasSubstr("operator 0 (ADD): input tensor 7 of 2"));
  }
  {
    Builder b;
    const int x = b.Floats("x", {1, 4}), w = b.Floats("w", {2, 4}, std::vector<float>(7)),
              y = b.Floats("y", {1, 2});
    b.Dense({x, w, -1}, y);
    EXPECT_THAT(ErrorOf(b.Build({x}, {y}), StatusCode::kCorrupt),
                HasSubstr("tensor 1 'w': 28 bytes of data, expected 8 elements of float32"));
  }
  {
    Builder b;
    const int x = b.Floats("x", {1, 4, 4, 1}), p = b.Ints("p", {0, 0, 1, 1, 1, 1, 0, 0}),
              y = b.Floats("y", {1, 6, 5, 1});
    b.Op(kPadCode, {x, p}, {y});
    EXPECT_THAT(ErrorOf(b.Build({x}, {y}), StatusCode::kCorrupt),
                HasSubstr("'y' has shape [1,6,5,1], expected [1,6,6,1]"));
  }
  EXPECT_THAT(ErrorOf("TFL3TFL3TFL3TFL3", StatusCode::kCorrupt), HasSubstr("does not verify"));
  EXPECT_THAT(ErrorOf("something else", StatusCode::kCorrupt), HasSubstr("TFL3"));
}

// Finite in the file, infinite where the multiplication is folded into the convolution.
TEST(TfliteImport, OverflowInFoldingIsAnError) {
  Builder b;
  const int x = b.Floats("x", {1, 4, 4, 1}), w = b.Floats("w", {1, 1, 1, 1}, {3e38f}),
            bias = b.Floats("b", {1}, {0.0f}), y = b.Floats("y", {1, 4, 4, 1}),
            ten = b.Floats("ten", {1}, {10.0f}), z = b.Floats("z", {1, 4, 4, 1});
  b.Conv({x, w, bias}, y, tflite::Padding::SAME, 1);
  b.Op(kMulCode, {y, ten}, {z}, tflite::BuiltinOptions::MulOptions,
       tflite::CreateMulOptions(b.fb()).Union());
  Graph graph = ImportOrFail(b.Build({x}, {z}));
  const Status status = Optimize(&graph);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(
      status.message(),
      HasSubstr(
          "after folding: tensor 'y.weight': element 0: found inf, expected a finite number"));
}

TEST(TfliteImport, RefusesOtherSchemaVersionsAndOpenSizes) {
  {
    Builder b;
    const int x = b.Floats("x", {1, 4});
    EXPECT_THAT(ErrorOf(b.Build({x}, {x}, 2)), HasSubstr("version 2, expected 3"));
  }
  Builder b;
  const int x = b.Tensor("x", tflite::TensorType::FLOAT32, {1, 1, 1, 3}, std::vector<float>(), {},
                         {-1, -1, -1, 3});
  EXPECT_THAT(ErrorOf(b.Build({x}, {x})), HasSubstr("no fixed size: [?,?,?,3]"));
}

}  // namespace
}  // namespace octet
