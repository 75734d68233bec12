// From float graphs to fp16, hybrid and int8: structure, arithmetic of weights and biases, inputs
// and outputs, errors. Numbers come from the naive interpreter; the engine runs int16 ends only.
#include "converter/quantize/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "converter/passes/passes.h"
#include "engine/src/model_impl.h"
#include "formats/base/str_cat.h"
#include "tests/sample_graphs.h"
#include "tests/unit/naive_interpreter.h"

namespace octet {
namespace {

using testing::Values;

std::vector<float> RandomInput(const Graph& g, uint32_t seed = 5) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::vector<float> x(static_cast<size_t>(g.tensor(g.inputs[0]).shape.num_elements()));
  for (float& v : x) v = normal(random);
  return x;
}

/// Ranges of every activation over a few random inputs.
CalibrationTable TableFor(const Graph& g) {
  CalibrationTable table;
  table.method = "minmax";
  table.samples = 3;
  for (uint32_t seed = 5; seed < 8; ++seed) {
    const std::vector<Values> values = testing::EvaluateAll(g, RandomInput(g, seed));
    for (size_t i = 0; i < g.tensors.size(); ++i) {
      if (g.tensors[i].is_constant()) continue;
      Range& r = table.ranges[g.tensors[i].name];
      for (double v : values[i]) {
        r.min = std::min(r.min, static_cast<float>(v));
        r.max = std::max(r.max, static_cast<float>(v));
      }
    }
  }
  return table;
}

Graph Optimized(Graph g) {
  const Status status = Optimize(&g);
  EXPECT_TRUE(status.ok()) << status.message();
  return g;
}

Graph Sample() { return Optimized(testing::SampleGraph(Precision::kFp32)); }

int Count(const Graph& g, OpType type) {
  return static_cast<int>(
      std::count_if(g.nodes.begin(), g.nodes.end(), [&](const Node& n) { return n.type == type; }));
}

const Node* Find(const Graph& g, const std::string& name) {
  for (const Node& n : g.nodes) {
    if (n.name == name) return &n;
  }
  return nullptr;
}

/// image -> conv+ReLU -> conv (residual) + ReLU -> global pool -> flatten -> dense -> softmax, with
/// channel `dead` of the first convolution's weights nearly 0 and a large bias there.
Graph Block(int channels = 8, int dead = -1) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal(0.0f, 0.4f);
  Graph g;
  const auto constant = [&](const std::string& name, const Shape& shape, float factor = 1.0f) {
    std::vector<float> v(static_cast<size_t>(shape.num_elements()));
    for (float& x : v) x = normal(random) * factor;
    if (dead >= 0 && name == "a.weight") {
      const size_t row = v.size() / static_cast<size_t>(channels);
      for (size_t i = 0; i < row; ++i) v[static_cast<size_t>(dead) * row + i] *= 1e-12f;
    }
    if (dead >= 0 && name == "a.bias") v[static_cast<size_t>(dead)] = 2.5f;
    return g.AddConstant(name, DType::kF32, shape, v.data(), v.size() * 4);
  };
  const auto conv = [&](const std::string& name, TensorId x, int kernel) {
    const TensorId w = constant(name + ".weight", {channels, kernel, kernel, g.tensor(x).shape[3]});
    const TensorId b = constant(name + ".bias", {channels});
    const TensorId y = g.AddActivation(name, DType::kF32, {1, 6, 6, channels});
    Node& n = g.AddNode(OpType::kConv2d, name, {x, w, b}, y);
    n.window.kernel_h = n.window.kernel_w = kernel;
    n.window.pad_top = n.window.pad_left = n.window.pad_bottom = n.window.pad_right = kernel / 2;
    n.activation = Activation::kRelu;
    return y;
  };
  const TensorId image = g.AddActivation("image", DType::kF32, {1, 6, 6, 3});
  g.inputs = {image};
  const TensorId a = conv("a", image, 3);
  const TensorId b = conv("b", a, 3);
  g.nodes.back().set_input(kInputResidual, a);
  const TensorId pool = g.AddActivation("pool", DType::kF32, {1, 1, 1, channels});
  g.AddNode(OpType::kGlobalAveragePool, "pool", {b}, pool);
  const TensorId flat = g.AddActivation("flat", DType::kF32, {1, channels});
  g.AddNode(OpType::kReshape, "flat", {pool}, flat);
  const TensorId logits = g.AddActivation("logits", DType::kF32, {1, 5});
  g.AddNode(OpType::kDense, "dense",
            {flat, constant("dense.weight", {5, channels}), constant("dense.bias", {5})}, logits);
  const TensorId probabilities = g.AddActivation("probabilities", DType::kF32, {1, 5});
  g.AddNode(OpType::kSoftmax, "softmax", {logits}, probabilities);
  g.outputs = {probabilities};
  return g;
}

Graph MustQuantize(const Graph& g, const QuantizeOptions& options, const CalibrationTable* table) {
  Result<Graph> q = QuantizeGraph(g, options, table);
  EXPECT_TRUE(q.ok()) << q.status().message();
  return q.ok() ? std::move(q).value() : Graph();
}

TEST(ChooseQuantizationTest, ContainsZeroAndItsRange) {
  for (const Range r :
       {Range{0.0f, 4.7f}, Range{-2.1f, 2.6f}, Range{-3.0f, 0.0f}, Range{1.0f, 2.0f},
        Range{-9.0f, -8.0f}, Range{-1e-6f, 1e6f}, Range{0.0f, 1e-30f}}) {
    const Quantization q = ChooseQuantization(r);
    EXPECT_GT(q.scale, 0.0f);
    EXPECT_GE(q.zero_point, 0);
    EXPECT_LE(q.zero_point, 255);
    const double low = -static_cast<double>(q.scale) * q.zero_point,
                 high = static_cast<double>(q.scale) * (255 - q.zero_point);
    // The zero point's rounding may shift the range by half a step.
    EXPECT_LE(low, r.min + 0.51 * q.scale) << r.min << " " << r.max;
    EXPECT_GE(high, r.max - 0.51 * q.scale) << r.min << " " << r.max;
  }
  EXPECT_EQ(ChooseQuantization({0.0f, 2.55f}).zero_point, 0);
  EXPECT_NEAR(ChooseQuantization({0.0f, 2.55f}).scale, 0.01f, 1e-9f);
  EXPECT_EQ(ChooseQuantization({-1.0f, 0.0f}).zero_point, 255);
  EXPECT_EQ(ChooseQuantization({0.0f, 0.0f}), (Quantization{1.0f / 256.0f, 0}));
}

TEST(QuantizeTest, Fp32ChangesNothing) {
  const Graph g = Sample();
  const Graph q = MustQuantize(g, {}, nullptr);
  EXPECT_EQ(q.nodes.size(), g.nodes.size());
  EXPECT_EQ(testing::Evaluate(q, RandomInput(g)), testing::Evaluate(g, RandomInput(g)));
}

TEST(QuantizeTest, Fp16KeepsBiasesAndIsClose) {
  const Graph g = Sample();
  const Graph q = MustQuantize(g, {.precision = Precision::kFp16}, nullptr);
  EXPECT_EQ(q.metadata.precision, Precision::kFp16);
  for (const Node& n : q.nodes) {
    if (n.type != OpType::kConv2d && n.type != OpType::kDense) continue;
    EXPECT_EQ(q.tensor(n.inputs[kInputWeights]).dtype, DType::kF16);
    EXPECT_EQ(q.tensor(n.inputs[kInputBias]).dtype, DType::kF32);
  }
  for (const Tensor& t : q.tensors)
    EXPECT_FALSE(t.is_constant() && t.dtype == DType::kF32 && t.shape.rank() != 1) << t.name;
  const Values a = testing::Evaluate(g, RandomInput(g)), b = testing::Evaluate(q, RandomInput(g));
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-3);
}

TEST(QuantizeTest, Fp16RefusesWhatDoesNotFit) {
  Graph g = Block();
  std::vector<float> w(5 * 8, 1e5f);
  g.nodes[4].inputs[kInputWeights] =
      g.AddConstant("huge", DType::kF32, {5, 8}, w.data(), w.size() * 4);
  const auto q = QuantizeGraph(g, {.precision = Precision::kFp16}, nullptr);
  EXPECT_EQ(q.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(q.status().message().find("'dense'"), std::string::npos) << q.status().message();
}

TEST(QuantizeTest, Bf16Structure) {
  const Graph g = Block();
  const Graph q = MustQuantize(g, {.precision = Precision::kBf16}, nullptr);
  EXPECT_EQ(q.metadata.precision, Precision::kBf16);
  EXPECT_EQ(q.nodes.size(), g.nodes.size() + 1);  // The input is rounded.
  EXPECT_EQ(q.tensor(q.inputs[0]).dtype, DType::kF32);
  EXPECT_EQ(q.tensor(q.outputs[0]).dtype, DType::kF32);
  for (const Node& n : q.nodes) {
    if (n.type != OpType::kConv2d && n.type != OpType::kDense) continue;
    EXPECT_EQ(q.tensor(n.inputs[kInputX]).dtype, DType::kBF16) << n.name;
    EXPECT_EQ(q.tensor(n.inputs[kInputWeights]).dtype, DType::kBF16) << n.name;
    EXPECT_EQ(q.tensor(n.inputs[kInputBias]).dtype, DType::kF32) << n.name;
  }
  const std::span<const float> real = g.tensor(Find(g, "a")->inputs[kInputWeights]).values<float>();
  const std::span<const uint16_t> rounded =
      q.tensor(Find(q, "a")->inputs[kInputWeights]).values<uint16_t>();
  for (size_t i = 0; i < real.size(); ++i) EXPECT_EQ(rounded[i], FloatToBf16(real[i]));
  // Logits are not rounded on their way to the softmax.
  EXPECT_EQ(q.tensor(Find(q, "pool")->output).dtype, DType::kBF16);
  EXPECT_EQ(q.tensor(Find(q, "dense")->output).dtype, DType::kF32);
  const Values y = testing::Evaluate(g, RandomInput(g)), z = testing::Evaluate(q, RandomInput(g));
  for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], z[i], 0.01);
}

TEST(QuantizeTest, Bf16OfPartsAndCodes) {
  const Graph g = Block();
  // A layer that stays in float reads the input itself, and the next one what it gives, rounded.
  const Graph kept = MustQuantize(g, {.precision = Precision::kBf16, .keep = {"a"}}, nullptr);
  EXPECT_EQ(kept.tensor(Find(kept, "a")->inputs[kInputX]).dtype, DType::kF32);
  EXPECT_EQ(kept.tensor(Find(kept, "a")->inputs[kInputWeights]).dtype, DType::kF32);
  EXPECT_EQ(kept.tensor(Find(kept, "a")->output).dtype, DType::kF32);
  EXPECT_EQ(kept.tensor(Find(kept, "b")->inputs[kInputX]).dtype, DType::kBF16);
  EXPECT_EQ(kept.nodes.size(), g.nodes.size() + 1);
  // Codes at the ends are converted through float.
  const CalibrationTable table = TableFor(g);
  const Graph codes = MustQuantize(
      g, {.precision = Precision::kBf16, .input_type = DType::kU8, .output_type = DType::kU8},
      &table);
  EXPECT_EQ(codes.tensor(codes.inputs[0]).dtype, DType::kU8);
  EXPECT_EQ(codes.tensor(codes.outputs[0]).dtype, DType::kU8);
  const auto model = ModelFromGraph(codes);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_TRUE(Session::Create(*model).ok());
}

TEST(QuantizeTest, Bf16RefusesWhatDoesNotFit) {
  Graph g = Block();
  std::vector<float> w(5 * 8, 3.4e38f);
  g.nodes[4].inputs[kInputWeights] =
      g.AddConstant("huge", DType::kF32, {5, 8}, w.data(), w.size() * 4);
  const auto q = QuantizeGraph(g, {.precision = Precision::kBf16}, nullptr);
  EXPECT_EQ(q.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(q.status().message(), ::testing::HasSubstr("to fit bfloat16"));
}

// No integer stands for a NaN, and no half float either.
TEST(QuantizeTest, RefusesWhatIsNotFinite) {
  const CalibrationTable table = TableFor(Block());
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (Precision p : {Precision::kFp32, Precision::kFp16, Precision::kHybrid, Precision::kInt8}) {
      Graph g = Block();
      const std::span<const float> good =
          g.tensor(g.nodes[4].inputs[kInputWeights]).values<float>();
      std::vector<float> w(good.begin(), good.end());
      w[7] = bad;
      const Shape shape = g.tensor(g.nodes[4].inputs[kInputWeights]).shape;
      g.nodes[4].inputs[kInputWeights] =
          g.AddConstant("bad", DType::kF32, shape, w.data(), w.size() * 4);
      const auto q = QuantizeGraph(g, {.precision = p}, &table);
      EXPECT_EQ(q.status().code(), StatusCode::kInvalidArgument);
      EXPECT_NE(q.status().message().find("tensor 'bad': element 7: found "), std::string::npos)
          << q.status().message();
    }
  }
}

// At this input's scale no float32 scale of the weights would let an int32 hold the bias.
TEST(QuantizeTest, RefusesABiasThatNoScaleCanExpress) {
  Graph g = Block();
  std::vector<float> bias(5, 3e38f);
  g.nodes[4].set_input(kInputBias,
                       g.AddConstant("huge", DType::kF32, {5}, bias.data(), bias.size() * 4));
  CalibrationTable table = TableFor(Block());
  for (auto& [name, range] : table.ranges) range = {0.0f, 1e-30f};
  const auto q = QuantizeGraph(g, {.precision = Precision::kInt8}, &table);
  EXPECT_EQ(q.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(q.status().message().find("'dense': bias of channel 0: found 3e+38"), std::string::npos)
      << q.status().message();
}

TEST(QuantizeTest, HybridWeightsAreSymmetricPerChannel) {
  const Graph g = Block(64);
  const Graph q = MustQuantize(g, {.precision = Precision::kHybrid}, nullptr);
  const Node* b = Find(q, "b");
  ASSERT_NE(b, nullptr);
  const Tensor& w = q.tensor(b->inputs[kInputWeights]);
  ASSERT_EQ(w.dtype, DType::kI8);
  EXPECT_EQ(q.tensor(b->inputs[kInputBias]).dtype, DType::kF32);
  const std::span<const float> scales = q.tensor(b->inputs[kInputScales]).values<float>();
  const std::span<const float> original =
      g.tensor(Find(g, "b")->inputs[kInputWeights]).values<float>();
  const std::span<const int8_t> values = w.values<int8_t>();
  const size_t row = values.size() / 64;
  for (size_t c = 0; c < 64; ++c) {
    int largest = 0, not_nearest = 0;
    double error = 0.0;
    for (size_t i = c * row; i < (c + 1) * row; ++i) {
      largest = std::max(largest, std::abs(values[i]));
      const double steps = values[i] - static_cast<double>(original[i]) / scales[c];
      error += steps;
      EXPECT_LE(std::fabs(steps), 1.0);
      not_nearest += std::fabs(steps) > 0.5001;
    }
    EXPECT_EQ(largest, 127);
    // Rounding errors cancel over the channel, and few weights had to give way for that.
    EXPECT_LE(std::fabs(error), 0.5001);
    EXPECT_LE(not_nearest, 40);
  }
  const Values x = testing::Evaluate(g, RandomInput(g)), y = testing::Evaluate(q, RandomInput(g));
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], 0.03);
}

TEST(QuantizeTest, Int8Structure) {
  const Graph g = Block();
  const CalibrationTable table = TableFor(g);
  const Graph q = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  // One Quantize at the head; the dense layer gives float logits to the softmax, so nothing is
  // dequantized.
  EXPECT_EQ(Count(q, OpType::kQuantize), 1);
  EXPECT_EQ(Count(q, OpType::kDequantize), 0);
  EXPECT_EQ(q.nodes.size(), g.nodes.size() + 1);
  EXPECT_EQ(q.tensor(q.inputs[0]).dtype, DType::kF32);
  EXPECT_EQ(q.tensor(q.inputs[0]).name, "image");
  const Node* a = Find(q, "a");
  const Node* b = Find(q, "b");
  EXPECT_EQ(q.tensor(a->output).quantization.zero_point, 0);  // Behind a ReLU.
  EXPECT_EQ(b->input(kInputResidual), a->output);
  EXPECT_EQ(q.tensor(b->inputs[kInputBias]).dtype, DType::kI32);
  EXPECT_EQ(q.tensor(Find(q, "flat")->output).quantization,
            q.tensor(Find(q, "pool")->output).quantization);
  EXPECT_EQ(q.tensor(Find(q, "dense")->output).dtype, DType::kF32);
  const Values x = testing::Evaluate(g, RandomInput(g)), y = testing::Evaluate(q, RandomInput(g));
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], 0.04);
}

TEST(QuantizeTest, Int16x8Structure) {
  const Graph g = Block();
  const CalibrationTable table = TableFor(g);
  const Graph q = MustQuantize(g, {.precision = Precision::kInt16x8}, &table);
  EXPECT_EQ(q.metadata.precision, Precision::kInt16x8);
  EXPECT_EQ(q.nodes.size(), g.nodes.size() + 1);
  EXPECT_EQ(q.tensor(q.inputs[0]).dtype, DType::kF32);
  const Node* a = Find(q, "a");
  const Tensor& x = q.tensor(a->inputs[kInputX]);
  EXPECT_EQ(x.dtype, DType::kI16);
  EXPECT_EQ(x.quantization.zero_point, 0);
  const Range r = table.ranges.at("image");
  EXPECT_FLOAT_EQ(x.quantization.scale, std::max(-r.min, r.max) / 32767.0f);
  EXPECT_EQ(q.tensor(a->inputs[kInputWeights]).dtype, DType::kI8);
  const Tensor& bias = q.tensor(a->inputs[kInputBias]);
  ASSERT_EQ(bias.dtype, DType::kI64);
  const std::span<const float> scales = q.tensor(a->inputs[kInputScales]).values<float>(),
                               real = g.tensor(Find(g, "a")->inputs[kInputBias]).values<float>();
  for (size_t c = 0; c < real.size(); ++c) {
    const double step = static_cast<double>(x.quantization.scale) * scales[c];
    EXPECT_NEAR(static_cast<double>(bias.values<int64_t>()[c]) * step, real[c], 0.5001 * step);
  }
  EXPECT_EQ(q.tensor(Find(q, "flat")->output).quantization,
            q.tensor(Find(q, "pool")->output).quantization);
  EXPECT_EQ(q.tensor(Find(q, "dense")->output).dtype, DType::kF32);
  // Nearer than int8: only the weights are rounded to 8 bits.
  const Values y = testing::Evaluate(g, RandomInput(g)), z = testing::Evaluate(q, RandomInput(g));
  for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], z[i], 0.02);
  const Result<Graph> none = QuantizeGraph(g, {.precision = Precision::kInt16x8}, nullptr);
  EXPECT_THAT(none.status().message(), ::testing::HasSubstr("int16x8 needs a calibration table"));
}

TEST(QuantizeTest, Int16InputAndOutput) {
  for (const Precision p : {Precision::kFp32, Precision::kInt8, Precision::kInt16x8}) {
    SCOPED_TRACE(PrecisionName(p));
    const Graph g = Block();
    const CalibrationTable table = TableFor(g);
    const Graph q = MustQuantize(
        g, {.precision = p, .input_type = DType::kI16, .output_type = DType::kI16}, &table);
    EXPECT_EQ(q.tensor(q.outputs[0]).quantization.scale, 1.0f / 32768.0f);  // Behind a softmax.
    const auto model = ModelFromGraph(q);
    ASSERT_TRUE(model.ok()) << model.status().message();
    const auto session = Session::Create(*model);
    ASSERT_TRUE(session.ok()) << session.status().message();
    const ModelDescription& d = (*model)->Describe();
    EXPECT_EQ(d.inputs[0].dtype, DType::kI16);
    EXPECT_EQ(d.outputs[0].num_bytes(), 10u);
    const std::vector<float> input = RandomInput(g);
    std::vector<uint8_t> in(d.inputs[0].num_bytes()), out(d.outputs[0].num_bytes());
    d.inputs[0].FromFloats(input.data(), in.data());
    const void* from = in.data();
    void* to = out.data();
    ASSERT_TRUE((*session)->Run(&from, &to).ok());
    std::vector<float> answer(5);
    d.outputs[0].ToFloats(out.data(), answer.data());
    const Values expected = testing::Evaluate(g, input);
    for (size_t i = 0; i < 5; ++i)
      EXPECT_NEAR(answer[i], expected[i], p == Precision::kFp32 ? 1e-3 : 0.04);
  }
}

TEST(QuantizeTest, BiasHasTheZeroPointCorrection) {
  const Graph g = Block();
  const CalibrationTable table = TableFor(g);
  const Graph q = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  const Node* a = Find(q, "a");
  const Quantization x = q.tensor(a->inputs[kInputX]).quantization;
  ASSERT_GT(x.zero_point, 0);
  const std::span<const float> bias = g.tensor(Find(g, "a")->inputs[kInputBias]).values<float>();
  const std::span<const float> scales = q.tensor(a->inputs[kInputScales]).values<float>();
  const std::span<const int8_t> w = q.tensor(a->inputs[kInputWeights]).values<int8_t>();
  const std::span<const int32_t> integer = q.tensor(a->inputs[kInputBias]).values<int32_t>();
  for (size_t c = 0; c < bias.size(); ++c) {
    int64_t sum = 0;
    for (size_t i = c * w.size() / bias.size(); i < (c + 1) * w.size() / bias.size(); ++i)
      sum += w[i];
    const double real =
        (integer[c] + static_cast<double>(x.zero_point * sum)) * x.scale * scales[c];
    EXPECT_NEAR(real, bias[c], static_cast<double>(x.scale) * scales[c] * 0.5001);
  }
}

TEST(QuantizeTest, NearDeadChannelKeepsItsBias) {
  const Graph g = Block(8, 3);
  const CalibrationTable table = TableFor(g);
  const Graph q = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  const Node* a = Find(q, "a");
  const Quantization out = q.tensor(a->output).quantization;
  // Channel 3 is its bias alone: 2.5, within half a step.
  std::vector<Values> values = testing::EvaluateAll(q, RandomInput(g));
  for (size_t p = 0; p < 36; ++p)
    EXPECT_NEAR(values[a->output][p * 8 + 3] * out.scale, 2.5, out.scale * 0.51);
}

TEST(QuantizeTest, AllZeroWeightsAndTensors) {
  Graph g = Block();
  std::vector<float> zeros(8 * 3 * 3 * 3, 0.0f);
  g.nodes[0].inputs[kInputWeights] =
      g.AddConstant("zeros", DType::kF32, {8, 3, 3, 3}, zeros.data(), zeros.size() * 4);
  g.nodes[0].inputs[kInputBias] = g.AddConstant("no_bias", DType::kF32, {8}, zeros.data(), 32);
  const CalibrationTable table = TableFor(g);
  EXPECT_EQ(table.ranges.at("a").max, 0.0f);
  const Graph q = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  const Values x = testing::Evaluate(g, RandomInput(g)), y = testing::Evaluate(q, RandomInput(g));
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], 0.02);
}

TEST(QuantizeTest, LayerOfZeroWeightsIsItsBiasWhateverItsInput) {
  Graph g = Block();
  std::vector<float> zeros(8 * 3 * 3 * 8, 0.0f);
  Node* b = &g.nodes[1];
  b->inputs[kInputWeights] =
      g.AddConstant("zeros", DType::kF32, {8, 3, 3, 8}, zeros.data(), zeros.size() * 4);
  b->set_input(kInputResidual, kNoTensor);
  CalibrationTable table = TableFor(g);
  table.ranges["a"] = {0.0f, 1000.0f};  // Its steps are no measure for the bias.
  const Graph q = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  const Node* layer = Find(q, "b");
  const Quantization out = q.tensor(layer->output).quantization;
  const Values x = testing::EvaluateAll(g, RandomInput(g))[g.nodes[1].output];
  const Values y = testing::EvaluateAll(q, RandomInput(g))[layer->output];
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(x[i], (y[i] - out.zero_point) * out.scale, 0.501 * out.scale);
}

/// conv p, then a convolution of p, and concat(p, p * factor).
Graph ConcatOfRanges(float factor) {
  Graph g = Block();
  g.nodes.resize(2);
  const TensorId p = g.nodes[0].output;
  const std::vector<float> scale(8, factor), shift(8, 0.0f);
  const TensorId wide = g.AddActivation("wide", DType::kF32, {1, 6, 6, 8}),
                 both = g.AddActivation("both", DType::kF32, {1, 6, 6, 16});
  g.AddNode(OpType::kScaleShift, "wide",
            {p, g.AddConstant("scale", DType::kF32, {8}, scale.data(), 32),
             g.AddConstant("shift", DType::kF32, {8}, shift.data(), 32)},
            wide);
  g.AddNode(OpType::kConcat, "both", {p, wide}, both).axis = 3;
  g.outputs = {g.nodes[1].output, both};
  EXPECT_TRUE(RemoveUnused(&g).ok());
  return g;
}

TEST(QuantizeTest, ConcatDoesNotCoarsenWhatOthersRead) {
  Graph g = ConcatOfRanges(200.0f);
  CalibrationTable table = TableFor(g);
  Graph q = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  EXPECT_LT(q.tensor(Find(q, "a")->output).quantization.scale,
            0.02 * q.tensor(Find(q, "both")->output).quantization.scale);
  EXPECT_EQ(Count(q, OpType::kQuantize), 2);  // The image, and p for the concatenation.
  const Values x = testing::Evaluate(g, RandomInput(g)), y = testing::Evaluate(q, RandomInput(g));
  const double largest = *std::max_element(x.begin(), x.end());
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], 0.03 * largest);
  // Within a bit all share one.
  g = ConcatOfRanges(1.5f);
  table = TableFor(g);
  q = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  EXPECT_EQ(Count(q, OpType::kQuantize), 1);
}

TEST(QuantizeTest, KeepsTheWeightsOfTheSource) {
  Graph g = Block();
  const std::vector<int8_t> codes(8 * 3 * 3 * 3,
                                  -64);  // Of 7 bits: rounding them anew would give -127.
  const std::vector<float> scales(8, 0.01f);
  Node& a = g.nodes[0];
  a.inputs[kInputWeights] =
      g.AddConstant("codes", DType::kI8, {8, 3, 3, 3}, codes.data(), codes.size());
  a.set_input(kInputScales, g.AddConstant("codes.scale", DType::kF32, {8}, scales.data(), 32));
  const CalibrationTable table = TableFor(g);
  const auto weights = [](const Graph& q) { return q.tensor(Find(q, "a")->inputs[kInputWeights]); };
  for (Precision p : {Precision::kInt8, Precision::kHybrid}) {
    const Graph q = MustQuantize(g, {.precision = p}, &table);
    ASSERT_EQ(weights(q).dtype, DType::kI8);
    EXPECT_EQ(weights(q).values<int8_t>()[0], -64);
  }
  const Graph q = MustQuantize(g, {.precision = Precision::kFp32}, nullptr);
  EXPECT_EQ(weights(q).values<float>()[0], -0.64f);
}

TEST(QuantizeTest, EveryOperator) {
  const Graph g = Sample();
  const CalibrationTable table = TableFor(g);
  const Graph q = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  // Only the input is quantized, and the functions at the end stay in float.
  EXPECT_EQ(Count(q, OpType::kDequantize), 0);
  EXPECT_EQ(Count(q, OpType::kQuantize), 1);
  EXPECT_EQ(q.tensor(Find(q, "mul")->output).dtype, DType::kU8);
  // Operators that move values share one quantization.
  const Node* pad = Find(q, "pad");
  ASSERT_NE(pad, nullptr);
  EXPECT_EQ(q.tensor(pad->output).quantization, q.tensor(pad->inputs[0]).quantization);
  const Values x = testing::Evaluate(g, RandomInput(g)), y = testing::Evaluate(q, RandomInput(g));
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], 0.1);
}

TEST(QuantizeTest, RequireInt8NamesWhatStaysFloat) {
  // A function of floats in the middle of the network; at its end it is not missed.
  for (const OpType type :
       {OpType::kSigmoid, OpType::kTanh, OpType::kSoftmax, OpType::kLogSoftmax}) {
    Graph g;
    const TensorId x = g.AddActivation("x", DType::kF32, {1, 4}),
                   s = g.AddActivation("s", DType::kF32, {1, 4}),
                   y = g.AddActivation("y", DType::kF32, {1, 4});
    g.inputs = {x};
    g.AddNode(type, "function", {x}, s);
    g.AddNode(OpType::kMul, "mul", {s, x}, y);
    g.outputs = {y};
    const CalibrationTable table = TableFor(g);
    const auto refused =
        QuantizeGraph(g, {.precision = Precision::kInt8, .require_int8 = true}, &table);
    EXPECT_EQ(refused.status().code(), StatusCode::kUnsupported);
    EXPECT_EQ(refused.status().message(),
              StrCat("operators that would stay in float32: 'function' (", OpTypeName(type), ")"));
  }
  for (const Graph& g : {Sample(), Block()}) {
    const CalibrationTable table = TableFor(g);
    EXPECT_TRUE(
        QuantizeGraph(g, {.precision = Precision::kInt8, .require_int8 = true}, &table).ok());
  }
}

TEST(QuantizeTest, LongSumsStayFloat) {
  Graph g;
  const int64_t n = kMaxInt8Reduction + 1;
  std::vector<float> w(static_cast<size_t>(2 * n), 0.001f);
  const TensorId x = g.AddActivation("x", DType::kF32, {1, n}),
                 y = g.AddActivation("y", DType::kF32, {1, 2});
  g.inputs = {x};
  g.AddNode(OpType::kDense, "long",
            {x, g.AddConstant("w", DType::kF32, {2, n}, w.data(), w.size() * 4)}, y);
  g.outputs = {y};
  CalibrationTable table;
  table.ranges = {{"x", {-1.0f, 1.0f}}, {"y", {-1.0f, 1.0f}}};
  const Graph q = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  EXPECT_EQ(q.nodes.size(), 1u);
  EXPECT_EQ(q.tensor(q.nodes[0].inputs[kInputWeights]).dtype, DType::kF32);
  const auto refused =
      QuantizeGraph(g, {.precision = Precision::kInt8, .require_int8 = true}, &table);
  EXPECT_NE(refused.status().message().find("'long' (dense)"), std::string::npos)
      << refused.status().message();
}

TEST(QuantizeTest, ExtremeBiasesStayInsideTheAccumulator) {
  // Biases far beyond the products: ValidateGraph bounds their sum, and nothing may overflow on the
  // way.
  Graph g = Block();
  std::vector<float> bias = {1e6f, -1e6f, 1e-6f, 0.0f, 3e8f, -3e8f, 1.0f, 1e10f};
  g.nodes[0].inputs[kInputBias] = g.AddConstant("bias", DType::kF32, {8}, bias.data(), 32);
  const CalibrationTable table = TableFor(g);
  const Graph q = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  const Quantization out = q.tensor(Find(q, "a")->output).quantization;
  const auto values = testing::EvaluateAll(q, RandomInput(g));
  EXPECT_NEAR(values[Find(q, "a")->output][7] * out.scale, 1e10, 0.01e10);
}

TEST(QuantizeTest, UInt8InputAndOutput) {
  const Graph g = Block();
  const CalibrationTable table = TableFor(g);
  const Graph q = MustQuantize(
      g, {.precision = Precision::kInt8, .input_type = DType::kU8, .output_type = DType::kU8},
      &table);
  const Tensor &in = q.tensor(q.inputs[0]), &out = q.tensor(q.outputs[0]);
  EXPECT_EQ(in.name, "image");
  EXPECT_EQ(in.dtype, DType::kU8);
  EXPECT_EQ(in.quantization, ChooseQuantization(table.ranges.at("image")));
  EXPECT_EQ(out.name, "probabilities");
  EXPECT_EQ(out.quantization, (Quantization{1.0f / 256.0f, 0}));
  // The head's Quantize is gone, one behind the softmax is there.
  EXPECT_EQ(Count(q, OpType::kQuantize), 1);
  EXPECT_EQ(q.nodes.back().type, OpType::kQuantize);
  const std::vector<float> x = RandomInput(g);
  std::vector<float> u8;
  for (float v : x) {
    u8.push_back(std::clamp(
        std::nearbyint(v / in.quantization.scale) + static_cast<float>(in.quantization.zero_point),
        0.0f, 255.0f));
  }
  const Values expected = testing::Evaluate(g, x), found = testing::Evaluate(q, u8);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i] / 256.0, expected[i], 0.04);
}

TEST(QuantizeTest, UInt8EdgesAroundFloat) {
  const Graph g = Block();
  const CalibrationTable table = TableFor(g);
  for (Precision p : {Precision::kFp32, Precision::kFp16, Precision::kHybrid}) {
    const Graph q = MustQuantize(
        g, {.precision = p, .input_type = DType::kU8, .output_type = DType::kU8}, &table);
    EXPECT_EQ(q.nodes.front().type, OpType::kDequantize);
    EXPECT_EQ(q.nodes.back().type, OpType::kQuantize);
    EXPECT_EQ(q.tensor(q.inputs[0]).dtype, DType::kU8);
    // Without a table there is no range for the input.
    const auto refused = QuantizeGraph(g, {.precision = p, .input_type = DType::kU8}, nullptr);
    EXPECT_NE(refused.status().message().find("'image'"), std::string::npos)
        << refused.status().message();
    // The output of a softmax needs none.
    EXPECT_TRUE(QuantizeGraph(g, {.precision = p, .output_type = DType::kU8}, nullptr).ok());
  }
}

TEST(QuantizeTest, UInt8OutputsOfFunctions) {
  const struct {
    OpType type;
    Quantization expected;
  } kCases[] = {{OpType::kSigmoid, {1.0f / 256.0f, 0}},
                {OpType::kTanh, {1.0f / 128.0f, 128}},
                {OpType::kLogSoftmax, {8.0f / 255.0f, 255}}};
  for (const auto& c : kCases) {
    Graph g = Block();
    for (Node& n : g.nodes) {
      if (n.type == OpType::kSoftmax) n.type = c.type;
    }
    CalibrationTable table = TableFor(g);
    table.ranges["probabilities"] = {-8.0f, 0.0f};
    const Graph q =
        MustQuantize(g, {.precision = Precision::kInt8, .output_type = DType::kU8}, &table);
    EXPECT_EQ(q.tensor(q.outputs[0]).quantization, c.expected) << OpTypeName(c.type);
  }
}

TEST(QuantizeTest, OutputInTheMiddle) {
  // An output that others read as well: u8 inside, float for the caller, under its own name.
  Graph g = Block();
  g.outputs.push_back(g.nodes[0].output);
  const CalibrationTable table = TableFor(g);
  const Graph q = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  EXPECT_EQ(q.tensor(q.outputs[1]).name, "a");
  EXPECT_EQ(q.tensor(q.outputs[1]).dtype, DType::kF32);
  EXPECT_EQ(Count(q, OpType::kDequantize), 1);
  const Graph u =
      MustQuantize(g, {.precision = Precision::kInt8, .output_type = DType::kU8}, &table);
  EXPECT_EQ(u.tensor(u.outputs[1]).name, "a");
  EXPECT_EQ(u.tensor(u.outputs[1]).dtype, DType::kU8);
  EXPECT_EQ(Count(u, OpType::kDequantize), 0);
}

TEST(QuantizeTest, QuantizedSources) {
  const Graph g = testing::SampleGraph(Precision::kInt8);
  const auto refused =
      QuantizeGraph(g, {.precision = Precision::kFp16, .input_type = DType::kU8}, nullptr);
  EXPECT_EQ(refused.status().code(), StatusCode::kUnsupported);
  const Graph same =
      MustQuantize(g, {.precision = Precision::kInt8, .input_type = DType::kU8}, nullptr);
  std::vector<float> x(static_cast<size_t>(g.tensor(g.inputs[0]).shape.num_elements()));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 256);
  EXPECT_EQ(testing::Evaluate(same, x), testing::Evaluate(g, x));
  // Float input: quantized first thing, by the input's own quantization.
  const Graph floats = MustQuantize(g, {.precision = Precision::kInt8}, nullptr);
  const Quantization q = g.tensor(g.inputs[0]).quantization;
  std::vector<float> real = x;
  for (float& v : real) v = (v - static_cast<float>(q.zero_point)) * q.scale;
  EXPECT_EQ(testing::Evaluate(floats, real), testing::Evaluate(g, x));
}

TEST(QuantizeTest, TableErrors) {
  const Graph g = Block();
  EXPECT_EQ(QuantizeGraph(g, {.precision = Precision::kInt8}, nullptr).status().code(),
            StatusCode::kInvalidArgument);
  CalibrationTable table = TableFor(g);
  table.ranges.erase("b");
  const auto missing = QuantizeGraph(g, {.precision = Precision::kInt8}, &table);
  EXPECT_EQ(missing.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(missing.status().message().find("'b'"), std::string::npos)
      << missing.status().message();
  for (const Range r : {Range{0.0f, INFINITY}, Range{NAN, 1.0f}, Range{2.0f, 1.0f}}) {
    table.ranges["b"] = r;
    const auto bad = QuantizeGraph(g, {.precision = Precision::kInt8}, &table);
    EXPECT_EQ(bad.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(bad.status().message().find("'b'"), std::string::npos) << bad.status().message();
  }
  // Finite, but the width is not; nor does the quotient of scales behind it stay small enough.
  table.ranges["b"] = {-3e38f, 3e38f};
  const auto wide = QuantizeGraph(g, {.precision = Precision::kInt8}, &table);
  EXPECT_NE(wide.status().message().find("expected a finite quotient of at most 2^95"),
            std::string::npos)
      << wide.status().message();
}

TEST(QuantizeTest, SameInputsSameGraph) {
  const Graph g = Sample();
  const CalibrationTable table = TableFor(g);
  const Graph a = MustQuantize(g, {.precision = Precision::kInt8}, &table),
              b = MustQuantize(g, {.precision = Precision::kInt8}, &table);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].name, b.tensors[i].name);
    EXPECT_TRUE(std::equal(a.tensors[i].data.begin(), a.tensors[i].data.end(),
                           b.tensors[i].data.begin(), b.tensors[i].data.end()));
  }
}

}  // namespace
}  // namespace octet
