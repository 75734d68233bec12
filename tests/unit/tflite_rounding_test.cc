// TFLite's integer arithmetic as the engine's floats reproduce it, for every byte.
#include "engine/src/tflite_rounding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "engine/src/runner.h"
#include "tests/unit/tflite_arithmetic.h"

namespace octet {
namespace {

using testing::Multiplier;
using testing::MultiplyOnce;
using testing::MultiplyTwice;

/// The published definition, written with a division instead of shifts: round(value * q / 2^31),
/// its negative halves towards zero, then round(that / 2^-shift), halves away from zero.
int64_t ByDefinition(int64_t value, const kernels::FixedMultiplier& m) {
  const __int128 product = static_cast<__int128>(value << std::max(m.shift, 0)) * m.q;
  const __int128 nudge = product >= 0 ? (__int128{1} << 30) : 1 - (__int128{1} << 30);
  const int64_t high = static_cast<int64_t>((product + nudge) / (__int128{1} << 31));
  const int right = std::max(-m.shift, 0);
  const double quotient = std::ldexp(static_cast<double>(high), -right);
  return static_cast<int64_t>(std::round(quotient));
}

TEST(TfliteRounding, MultiplyFixed) {
  std::mt19937 random(1);
  for (int i = 0; i < 200000; ++i) {
    const double real = std::ldexp(1.0 + static_cast<double>(random() % 1000000) * 1e-6,
                                   static_cast<int>(random() % 24) - 20);
    const kernels::FixedMultiplier m = ToFixedMultiplier(real);
    const auto value = static_cast<int32_t>(random()) >> (8 + random() % 20);
    ASSERT_EQ(MultiplyFixed(value, m), ByDefinition(value, m)) << value << " * " << real;
  }
  // Halves.
  const kernels::FixedMultiplier quarter = ToFixedMultiplier(0.25);
  EXPECT_EQ(MultiplyFixed(6, quarter), 2);
  EXPECT_EQ(MultiplyFixed(-6, quarter), -2);
  EXPECT_EQ(MultiplyFixed(5, quarter), 2);  // Rounded twice: 2.5 of half the size first, then 1.5.
  EXPECT_EQ(MultiplyFixed(-5, quarter), -1);
}

/// Results of scale_shift_u8 that differ from the exact ones.
int Differences(const TfliteAffine& affine, int k, int x_zero, float low, float high) {
  float scale = 0.0f, shift = 0.0f;
  affine.Fit(k, x_zero, low, high, &scale, &shift);
  int count = 0;
  for (int q = 0; q < 256; ++q) {
    const float product = static_cast<float>(q - x_zero) * scale;
    const float v = product + shift;
    const float got =
        std::nearbyint(std::min(std::max(v + std::copysign(affine.nudge(), v), low), high));
    const float exact =
        std::min(std::max(static_cast<float>(affine.Exact(q - x_zero, k)), low), high);
    count += got != exact;
  }
  return count;
}

TEST(TfliteRounding, AffineEqualsFixedPointForEveryByte) {
  std::mt19937 random(2);
  const auto scale = [&] {
    return std::ldexp(1.0f + static_cast<float>(random() % 100000) * 1e-5f,
                      -static_cast<int>(random() % 7));
  };
  int wrong = 0;
  for (int i = 0; i < 3000; ++i) {
    // Mostly of a size that gives results within a byte.
    const float x = scale(), unit = scale() * 0x1p-6f, y = scale();
    const int x_zero = static_cast<int>(random() % 256), zero = static_cast<int>(random() % 256);
    const int k = static_cast<int>(random() % 511) - 255;
    const float low = random() % 2 == 0 ? 0.0f : static_cast<float>(-zero),
                high = static_cast<float>(255 - zero);
    wrong += Differences(TfliteAffine::Mul(x, unit, y), k, x_zero, low, high);
    wrong += Differences(TfliteAffine::Add(x, unit, y), k, x_zero, low, high);
    wrong += Differences(TfliteAffine::Requantize(x, y), 1, x_zero, low, high);
  }
  EXPECT_LE(wrong, 0) << "of " << 3000 * 3 * 256;
}

TEST(TfliteRounding, MulIsRoundedTwice) {
  // 31/64: the first rounding, to multiples of 1/32, lifts it to a half, and the second to 1. It
  // takes -31/64 to -15/32.
  const TfliteAffine mul = TfliteAffine::Mul(0x1p-3f, 0x1p-3f, 1.0f);
  EXPECT_EQ(mul.Exact(16, 1), 0);
  EXPECT_EQ(mul.Exact(31, 1), 1);
  EXPECT_EQ(mul.Exact(-31, 1), 0);
  EXPECT_EQ(Differences(mul, 1, 128, -128.0f, 127.0f), 0);
}

TEST(TfliteRounding, AddKeepsWhatFloatsLose) {
  // (54 * 97/108) = 48.5 but for 6e-7: below a float's resolution there, not below that of TFLite's
  // terms.
  const TfliteSum sum =
      ToTfliteSum(0.07798698544502258f, 0.08683086931705475f, 0.08683086931705475f);
  const auto add = [&](int a, int b) {
    return MultiplyFixed(int64_t{TfliteTerm(a, sum.a)} + TfliteTerm(b, sum.b), sum.sum);
  };
  EXPECT_EQ(add(54, 0), 49);
  EXPECT_EQ(add(54, 1), 50);
  EXPECT_EQ(add(54, -100), -51);
  EXPECT_EQ(add(-54, 0), -49);
  EXPECT_EQ(add(-54, 100), 52);  // 51.4999994, rounded up on the way as well.
}

// ---- Whole operators, against the arithmetic of TFLite's reference kernels ----

uint8_t Byte(int32_t q, int32_t zero) { return static_cast<uint8_t>(std::clamp(q + zero, 0, 255)); }

TensorId AddBytes(Graph* g, const char* name, const Shape& shape, Quantization q) {
  const TensorId id = g->AddActivation(name, DType::kU8, shape);
  g->tensor(id).quantization = q;
  return id;
}

Graph TfliteGraph() {
  Graph g;
  g.metadata.precision = Precision::kInt8;
  g.metadata.rounding = Rounding::kTflite;
  return g;
}

/// The first output for one image.
std::vector<uint8_t> RunBytes(const Graph& g, const std::vector<const void*>& inputs) {
  auto runner = GraphRunner::Create(g);
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  std::vector<uint8_t> out(static_cast<size_t>(g.tensor(g.outputs[0]).shape.num_elements()));
  void* const outputs[] = {out.data()};
  const Status status = (*runner)->session()->Run(inputs.data(), outputs, 1);
  EXPECT_TRUE(status.ok()) << status.message();
  return out;
}

TEST(TfliteOperators, ProductOfEveryPairOfBytes) {
  const Quantization kScales[][3] = {{{0.0235f, 0}, {0.0078125f, 128}, {0.031f, 7}},
                                     {{0.25f, 128}, {0.125f, 3}, {2.0f, 128}},
                                     {{0.5f, 10}, {0.5f, 250}, {0.2f, 0}},
                                     {{0.0117647f, 0}, {0.00390625f, 0}, {0.0117647f, 0}}};
  for (const auto& [qa, qb, qy] : kScales) {
    Graph g = TfliteGraph();
    const Shape shape{1, 256, 16, 16};
    const TensorId a = AddBytes(&g, "a", shape, qa), b = AddBytes(&g, "b", shape, qb),
                   y = AddBytes(&g, "y", shape, qy);
    g.inputs = {a, b};
    g.outputs = {y};
    g.AddNode(OpType::kMul, "mul", {a, b}, y);
    std::vector<uint8_t> first(65536), second(65536);
    for (size_t i = 0; i < first.size(); ++i)
      first[i] = static_cast<uint8_t>(i >> 8), second[i] = static_cast<uint8_t>(i);
    const std::vector<uint8_t> out = RunBytes(g, {first.data(), second.data()});
    const Multiplier m(qa.scale * qb.scale / qy.scale);
    for (size_t i = 0; i < out.size(); ++i) {
      const int32_t product = (first[i] - qa.zero_point) * (second[i] - qb.zero_point);
      ASSERT_EQ(out[i], Byte(MultiplyTwice(product, m.value, m.shift), qy.zero_point))
          << int{first[i]} << " * " << int{second[i]};
    }
  }
}

TEST(TfliteOperators, FullyConnectedAtEveryPixelIsRoundedOnce) {
  const Quantization in{0x1p-6f, 13}, result{0x1p-3f, 100};
  constexpr int kIn = 5, kOut = 16, kPixels = 4096;
  std::mt19937 random(3);
  std::vector<int8_t> weights(kOut * kIn);
  for (int8_t& w : weights) w = static_cast<int8_t>(random() % 255 - 127);
  std::vector<float> scales;
  for (int c = 0; c < kOut; ++c)  // Many exact halves, and none.
    scales.push_back(c % 4 == 0 ? 0x1p-8f : 0.004f + 0.0007f * static_cast<float>(c));
  std::vector<int32_t> bias(kOut);
  for (int c = 0; c < kOut; ++c) {
    for (int i = 0; i < kIn; ++i) bias[c] -= in.zero_point * weights[c * kIn + i];
  }
  std::vector<uint8_t> x(kPixels * kIn);
  for (uint8_t& v : x) v = static_cast<uint8_t>(random());
  int differ = 0;
  for (const bool fully_connected : {true, false}) {
    Graph g = TfliteGraph();
    const TensorId image = AddBytes(&g, "x", {1, 64, 64, kIn}, in),
                   y = AddBytes(&g, "y", {1, 64, 64, kOut}, result);
    g.inputs = {image};
    g.outputs = {y};
    Node& n = g.AddNode(
        OpType::kConv2d, "conv",
        {image, g.AddConstant("w", DType::kI8, {kOut, 1, 1, kIn}, weights.data(), weights.size()),
         g.AddConstant("b", DType::kI32, {kOut}, bias.data(), kOut * 4), kNoTensor,
         g.AddConstant("s", DType::kF32, {kOut}, scales.data(), kOut * 4)},
        y);
    if (fully_connected) n.tflite_kernel = TfliteKernel::kFullyConnected;
    const std::vector<uint8_t> out = RunBytes(g, {x.data()});
    for (int p = 0; p < kPixels; ++p) {
      for (int c = 0; c < kOut; ++c) {
        int32_t acc = 0;
        for (int i = 0; i < kIn; ++i)
          acc += (x[p * kIn + i] - in.zero_point) * weights[c * kIn + i];
        const Multiplier m(static_cast<double>(in.scale) * scales[c] / result.scale);
        const int32_t once = MultiplyOnce(acc, m.value, m.shift),
                      twice = MultiplyTwice(acc, m.value, m.shift);
        differ += once != twice;
        ASSERT_EQ(out[p * kOut + c], Byte(fully_connected ? once : twice, result.zero_point))
            << acc;
      }
    }
  }
  EXPECT_GT(differ, 100);
}

TEST(TfliteOperators, MeanIsRoundedTwiceWhateverTheScales) {
  std::mt19937 random(4);
  int differ = 0;
  for (const int size : {2, 3, 5, 7, 8}) {
    for (const float out_scale : {0.0235294f, 0.01f, 0.031f}) {
      for (const bool mean : {true, false}) {
        const Quantization in{0.0235294f, 20}, result{out_scale, 20};
        constexpr int kChannels = 4096;
        const int pixels = size * size;
        Graph g = TfliteGraph();
        const TensorId x = AddBytes(&g, "x", {1, size, size, kChannels}, in),
                       y = AddBytes(&g, "y", {1, 1, 1, kChannels}, result);
        g.inputs = {x};
        g.outputs = {y};
        g.AddNode(OpType::kGlobalAveragePool, "pool", {x}, y).tflite_kernel =
            mean ? TfliteKernel::kMean : TfliteKernel::kUsual;
        std::vector<uint8_t> image(static_cast<size_t>(pixels * kChannels));
        for (uint8_t& v : image) v = static_cast<uint8_t>(random() % 256);
        const std::vector<uint8_t> out = RunBytes(g, {image.data()});
        // tensorflow/lite/kernels/reduce.cc and internal/reference/integer_ops/mean.h.
        const Multiplier m(static_cast<double>(in.scale) / static_cast<double>(result.scale));
        int shift = 63 - __builtin_clzll(static_cast<uint64_t>(pixels));
        shift = std::min(std::min(shift, 32), 31 + m.shift);
        const auto multiplier = static_cast<int32_t>((int64_t{m.value} << shift) / pixels);
        for (int c = 0; c < kChannels; ++c) {
          int32_t acc = 0, sum = 0;
          for (int p = 0; p < pixels; ++p) {
            acc += image[p * kChannels + c] - in.zero_point;
            sum += image[p * kChannels + c] - 128;
          }
          const uint8_t as_mean =
              Byte(MultiplyTwice(acc, multiplier, m.shift - shift), result.zero_point);
          // internal/reference/integer_ops/pooling.h, of int8 values.
          const uint8_t average =
              Byte(sum > 0 ? (sum + pixels / 2) / pixels : (sum - pixels / 2) / pixels, 128);
          const bool is_mean = mean || !(in == result);
          differ += in == result && as_mean != average;
          ASSERT_EQ(out[c], is_mean ? as_mean : average) << size << " " << out_scale << " " << acc;
        }
      }
    }
  }
  EXPECT_GT(differ, 100);
}

}  // namespace
}  // namespace octet
