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
using testing::MultiplyReal;
using testing::MultiplyTwice;
using testing::MultiplyWide;

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

// ---- 16-bit activations ----

TensorId AddInt16(Graph* g, const char* name, const Shape& shape, float scale) {
  const TensorId id = g->AddActivation(name, DType::kI16, shape);
  g->tensor(id).quantization = {scale, 0};
  return id;
}

Graph Int16Graph() {
  Graph g;
  g.metadata.precision = Precision::kInt16x8;
  g.metadata.rounding = Rounding::kTflite;
  return g;
}

/// The first output for one image, of 16 bits.
std::vector<int16_t> RunInt16(const Graph& g, const std::vector<const void*>& inputs) {
  auto runner = GraphRunner::Create(g);
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  if (!runner.ok()) return {};
  std::vector<int16_t> out(static_cast<size_t>(g.tensor(g.outputs[0]).shape.num_elements()));
  void* const outputs[] = {out.data()};
  const Status status = (*runner)->session()->Run(inputs.data(), outputs, 1);
  EXPECT_TRUE(status.ok()) << status.message();
  return out;
}

int16_t Int16(int64_t q) { return static_cast<int16_t>(std::clamp<int64_t>(q, -32768, 32767)); }

/// Codes of all sizes, both limits among them.
std::vector<int16_t> RandomInt16(size_t count, std::mt19937* random) {
  std::vector<int16_t> x(count);
  for (int16_t& v : x) {
    const int16_t wide = static_cast<int16_t>((*random)());
    v = static_cast<int16_t>(wide >> ((*random)() % 15));
  }
  x[0] = -32768;
  x[1] = 32767;
  return x;
}

/// Convolutions of 1x1 and 3x3 pixels, depthwise ones and dense layers, which are rounded
/// otherwise.
TEST(TfliteInt16, Layers) {
  std::mt19937 random(5);
  int reduced_differs = 0, saturated = 0;
  enum Kind { kPixel, kFullyConnectedPixel, kWindow, kDepthwise, kDense };
  for (const Kind kind : {kPixel, kFullyConnectedPixel, kWindow, kDepthwise, kDense}) {
    for (const float out_scale : {0.0007f, 0x1p-10f, 0.03f, 3.1e-6f}) {
      const int in_c = kind == kDepthwise ? 20 : 37, out_c = 20,
                k = kind < kWindow   ? 1
                    : kind == kDense ? 1
                                     : 3;
      const int size = kind == kDense ? 1 : 9, out_size = size - k + 1;
      const float in_scale = 0.00031f;
      const int depth = kind == kDepthwise ? 1 : in_c, row = k * k * depth;
      std::vector<int8_t> weights(static_cast<size_t>(out_c * row));
      for (int8_t& w : weights) w = static_cast<int8_t>(random() % 255 - 127);
      std::vector<float> scales(out_c);
      std::vector<int64_t> bias(out_c);
      for (int c = 0; c < out_c; ++c) {
        scales[c] = c == 0 ? 0x1p-7f : 0.001f + 0.0017f * static_cast<float>(c);
        bias[c] = (static_cast<int64_t>(random()) - (int64_t{1} << 31)) >> (random() % 20);
        if (c == 1) bias[c] = int64_t{1} << 36;
      }
      const std::vector<int16_t> x = RandomInt16(static_cast<size_t>(size * size * in_c), &random);
      Graph g = Int16Graph();
      const bool dense = kind == kDense;
      const TensorId in = AddInt16(&g, "x", dense ? Shape{1, in_c} : Shape{1, size, size, in_c},
                                   in_scale),
                     y = AddInt16(&g, "y",
                                  dense ? Shape{1, out_c} : Shape{1, out_size, out_size, out_c},
                                  out_scale);
      g.inputs = {in};
      g.outputs = {y};
      Node& n = g.AddNode(
          dense ? OpType::kDense : OpType::kConv2d, "layer",
          {in,
           g.AddConstant("w", DType::kI8, dense ? Shape{out_c, in_c} : Shape{out_c, k, k, depth},
                         weights.data(), weights.size()),
           g.AddConstant("b", DType::kI64, {out_c}, bias.data(), bias.size() * 8), kNoTensor,
           g.AddConstant("s", DType::kF32, {out_c}, scales.data(), scales.size() * 4)},
          y);
      n.window.kernel_h = n.window.kernel_w = k;
      if (kind == kDepthwise) n.groups = in_c;
      if (kind == kFullyConnectedPixel) n.tflite_kernel = TfliteKernel::kFullyConnected;
      const std::vector<int16_t> out = RunInt16(g, {x.data()});
      ASSERT_EQ(out.size(), static_cast<size_t>(out_size * out_size * out_c));
      for (size_t i = 0; i < out.size(); ++i) {
        const int c = static_cast<int>(i) % out_c, px = static_cast<int>(i) / out_c % out_size,
                  py = static_cast<int>(i) / out_c / out_size;
        int64_t acc = bias[static_cast<size_t>(c)];
        for (int t = 0; t < row; ++t) {
          const int d = t % depth, kx = t / depth % k, ky = t / depth / k;
          const int channel = kind == kDepthwise ? c : d;
          acc += int64_t{x[static_cast<size_t>(((py + ky) * size + px + kx) * in_c + channel)]} *
                 weights[static_cast<size_t>(c * row + t)];
        }
        const double real = static_cast<double>(in_scale) * scales[static_cast<size_t>(c)] /
                            static_cast<double>(out_scale);
        const Multiplier m(real);
        const int64_t wide = MultiplyWide(acc, m.value, m.shift), exact = MultiplyReal(acc, real);
        const bool once = dense || kind == kFullyConnectedPixel;
        ASSERT_EQ(out[i], Int16(once ? exact : wide)) << kind << " " << out_scale << " " << acc;
        reduced_differs += Int16(wide) != Int16(exact);
        saturated += out[i] == -32768 || out[i] == 32767;
      }
    }
  }
  EXPECT_GT(reduced_differs, 500);
  EXPECT_GT(saturated, 100);
}

TEST(TfliteInt16, Sums) {
  std::mt19937 random(6);
  constexpr float kScales[][3] = {{0.0003f, 0.00021f, 0.0004f},
                                  {0x1p-12f, 0x1p-13f, 0x1p-12f},
                                  {0.0003f, 0.0003f, 0.0003f},
                                  {1.0f, 1e-6f, 1.3f},
                                  {0.00017f, 0.0009f, 7.3e-8f}};
  for (const auto& [a_scale, b_scale, y_scale] : kScales) {
    Graph g = Int16Graph();
    const Shape shape{1, 64, 64, 19};
    const TensorId a = AddInt16(&g, "a", shape, a_scale), b = AddInt16(&g, "b", shape, b_scale),
                   y = AddInt16(&g, "y", shape, y_scale);
    g.inputs = {a, b};
    g.outputs = {y};
    g.AddNode(OpType::kAdd, "add", {a, b}, y);
    const auto count = static_cast<size_t>(shape.num_elements());
    const std::vector<int16_t> p = RandomInt16(count, &random), q = RandomInt16(count, &random);
    const std::vector<int16_t> out = RunInt16(g, {p.data(), q.data()});
    const double twice = 2.0 * std::max(a_scale, b_scale);
    const Multiplier ma(a_scale / twice), mb(b_scale / twice),
        sum(twice / (32768.0 * static_cast<double>(y_scale)));
    for (size_t i = 0; i < count; ++i) {
      const int32_t terms = MultiplyTwice(p[i] * 32768, ma.value, ma.shift) +
                            MultiplyTwice(q[i] * 32768, mb.value, mb.shift);
      ASSERT_EQ(out[i], Int16(MultiplyTwice(terms, sum.value, sum.shift)))
          << p[i] << " * " << a_scale << " + " << q[i] << " * " << b_scale;
    }
  }
}

TEST(TfliteInt16, ProductsAndOtherScales) {
  std::mt19937 random(7);
  const Shape shape{1, 40, 40, 21};
  const auto count = static_cast<size_t>(shape.num_elements());
  const std::vector<int16_t> p = RandomInt16(count, &random), q = RandomInt16(count, &random);
  for (const float y_scale : {0.0009f, 0x1p-11f, 3e-5f, 4.0f}) {
    Graph g = Int16Graph();
    const TensorId a = AddInt16(&g, "a", shape, 0.0003f), b = AddInt16(&g, "b", shape, 0.0011f),
                   y = AddInt16(&g, "y", shape, y_scale);
    g.inputs = {a, b};
    g.outputs = {y};
    g.AddNode(OpType::kMul, "mul", {a, b}, y);
    const std::vector<int16_t> out = RunInt16(g, {p.data(), q.data()});
    const Multiplier m(0.0003f * 0.0011f / y_scale);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(out[i], Int16(MultiplyTwice(p[i] * q[i], m.value, m.shift)))
          << p[i] << " * " << q[i];
    }
  }
  for (const float y_scale : {0.0003f, 0.00029f, 0.0006f, 1e-5f, 1.0f}) {
    Graph g = Int16Graph();
    const TensorId a = AddInt16(&g, "a", shape, 0.0003f), y = AddInt16(&g, "y", shape, y_scale);
    g.inputs = {a};
    g.outputs = {y};
    g.AddNode(OpType::kQuantize, "quantize", {a}, y);
    const std::vector<int16_t> out = RunInt16(g, {p.data()});
    const Multiplier m(static_cast<double>(0.0003f) / static_cast<double>(y_scale));
    for (size_t i = 0; i < count; ++i)
      ASSERT_EQ(out[i], Int16(MultiplyTwice(p[i], m.value, m.shift))) << p[i] << " " << y_scale;
  }
}

TEST(TfliteInt16, BetweenBytesAndWords) {
  std::mt19937 random(8);
  const Shape shape{1, 16, 16, 3};
  const auto count = static_cast<size_t>(shape.num_elements());
  std::vector<uint8_t> bytes(count);
  for (uint8_t& v : bytes) v = static_cast<uint8_t>(random());
  const std::vector<int16_t> words = RandomInt16(count, &random);
  {
    Graph g = Int16Graph();
    const TensorId x = AddBytes(&g, "x", shape, {0.02f, 117}),
                   y = AddInt16(&g, "y", shape, 0.00013f);
    g.inputs = {x};
    g.outputs = {y};
    g.AddNode(OpType::kQuantize, "widen", {x}, y);
    const std::vector<int16_t> out = RunInt16(g, {bytes.data()});
    const Multiplier m(static_cast<double>(0.02f) / static_cast<double>(0.00013f));
    for (size_t i = 0; i < count; ++i)
      ASSERT_EQ(out[i], Int16(MultiplyTwice(bytes[i] - 117, m.value, m.shift))) << int{bytes[i]};
  }
  Graph g = Int16Graph();
  const TensorId x = AddInt16(&g, "x", shape, 0.00013f), y = AddBytes(&g, "y", shape, {0.02f, 117});
  g.inputs = {x};
  g.outputs = {y};
  g.AddNode(OpType::kQuantize, "narrow", {x}, y);
  const std::vector<uint8_t> out = RunBytes(g, {words.data()});
  const Multiplier m(static_cast<double>(0.00013f) / static_cast<double>(0.02f));
  for (size_t i = 0; i < count; ++i)
    ASSERT_EQ(out[i], Byte(MultiplyTwice(words[i], m.value, m.shift), 117)) << words[i];
}

TEST(TfliteInt16, ConstantsOfEachChannel) {
  std::mt19937 random(9);
  constexpr int kChannels = 21;
  constexpr float kX = 0.0003f, kUnit = 0.00007f, kY = 0.0005f;
  const Shape shape{1, 30, 30, kChannels};
  const auto count = static_cast<size_t>(shape.num_elements());
  const std::vector<int16_t> x = RandomInt16(count, &random);
  std::vector<int32_t> k(kChannels);
  for (int32_t& v : k) v = static_cast<int16_t>(random());
  k[0] = -32767;
  k[1] = 32767;
  for (const bool is_mul : {false, true}) {
    std::vector<float> constant, other(kChannels, is_mul ? 0.0f : 1.0f);
    for (const int32_t v : k) constant.push_back(static_cast<float>(v) * kUnit);
    const std::vector<float>&scale = is_mul ? constant : other, &shift = is_mul ? other : constant;
    Graph g = Int16Graph();
    const TensorId in = AddInt16(&g, "x", shape, kX), y = AddInt16(&g, "y", shape, kY);
    g.inputs = {in};
    g.outputs = {y};
    const float unit = kUnit;
    g.AddNode(OpType::kScaleShift, "constant",
              {in, g.AddConstant("scale", DType::kF32, {kChannels}, scale.data(), kChannels * 4),
               g.AddConstant("shift", DType::kF32, {kChannels}, shift.data(), kChannels * 4),
               g.AddConstant("unit", DType::kF32, {1}, &unit, 4)},
              y);
    const std::vector<int16_t> out = RunInt16(g, {x.data()});
    const double twice = 2.0 * std::max(kX, kUnit);
    const Multiplier product(kX * kUnit / kY), a(kX / twice), b(kUnit / twice),
        sum(twice / (32768.0 * static_cast<double>(kY)));
    for (size_t i = 0; i < count; ++i) {
      const int32_t c = k[i % kChannels];
      const int32_t expected = is_mul
                                   ? MultiplyTwice(x[i] * c, product.value, product.shift)
                                   : MultiplyTwice(MultiplyTwice(x[i] * 32768, a.value, a.shift) +
                                                       MultiplyTwice(c * 32768, b.value, b.shift),
                                                   sum.value, sum.shift);
      ASSERT_EQ(out[i], Int16(expected)) << x[i] << (is_mul ? " * " : " + ") << c;
    }
  }
}

TEST(TfliteInt16, Averages) {
  std::mt19937 random(10);
  constexpr int kChannels = 1003;
  int halves = 0;
  for (const int size : {2, 3, 5, 8}) {
    const int pixels = size * size;
    const std::vector<int16_t> x = RandomInt16(static_cast<size_t>(pixels) * kChannels, &random);
    enum Kind { kMean, kMeanOfOtherScale, kGlobal, kWindow };
    for (const Kind kind : {kMean, kMeanOfOtherScale, kGlobal, kWindow}) {
      const float out_scale = kind == kMeanOfOtherScale ? 0.00021f : 0.0003f;
      Graph g = Int16Graph();
      const TensorId in = AddInt16(&g, "x", {1, size, size, kChannels}, 0.0003f),
                     y = AddInt16(&g, "y", {1, 1, 1, kChannels}, out_scale);
      g.inputs = {in};
      g.outputs = {y};
      Node& n = g.AddNode(kind == kWindow ? OpType::kAveragePool : OpType::kGlobalAveragePool,
                          "pool", {in}, y);
      if (kind == kMean) n.tflite_kernel = TfliteKernel::kMean;
      if (kind == kWindow) n.window.kernel_h = n.window.kernel_w = size;
      const std::vector<int16_t> out = RunInt16(g, {x.data()});
      const Multiplier m(static_cast<double>(0.0003f) / static_cast<double>(out_scale));
      int shift = 63 - __builtin_clzll(static_cast<uint64_t>(pixels));
      shift = std::min(std::min(shift, 32), 31 + m.shift);
      const auto multiplier = static_cast<int32_t>((int64_t{m.value} << shift) / pixels);
      for (int c = 0; c < kChannels; ++c) {
        int32_t sum = 0;
        for (int p = 0; p < pixels; ++p) sum += x[static_cast<size_t>(p * kChannels + c)];
        // internal/reference/integer_ops/pooling.h.
        const int32_t average = sum > 0 ? (sum + pixels / 2) / pixels : (sum - pixels / 2) / pixels;
        halves += pixels % 2 == 0 && (2 * sum) % pixels == 0 && sum % pixels != 0;
        const bool mean = kind == kMean || kind == kMeanOfOtherScale;
        ASSERT_EQ(out[static_cast<size_t>(c)],
                  Int16(mean ? MultiplyTwice(sum, multiplier, m.shift - shift) : average))
            << kind << " " << sum;
      }
    }
  }
  EXPECT_GT(halves, 100);
}

TEST(TfliteInt16, FloatsBecomeWordsHalvesAwayFromZero) {
  Graph g = Int16Graph();
  const Shape shape{1, 10};
  const TensorId x = g.AddActivation("x", DType::kF32, shape),
                 y = AddInt16(&g, "y", shape, 0x1p-5f);
  g.inputs = {x};
  g.outputs = {y};
  g.AddNode(OpType::kQuantize, "quantize", {x}, y);
  std::vector<float> in;
  for (const float code :
       {0.5f, -0.5f, 1.5f, 2.5f, -2.5f, 32766.5f, -32767.5f, -4e4f, 4e4f, 0.49999997f})
    in.push_back(code * 0x1p-5f);
  EXPECT_EQ(RunInt16(g, {in.data()}),
            (std::vector<int16_t>{1, -1, 2, 3, -3, 32767, -32768, -32768, 32767, 0}));
}

TEST(TfliteInt16, Softmax) {
  std::mt19937 random(11);
  for (const float scale : {0.0001f, 0.00073f, 0.0031f, 0.2f}) {
    for (const int channels : {1, 2, 5, 1000}) {
      Graph g = Int16Graph();
      const Shape shape{1, 2, 3, channels};
      const TensorId x = AddInt16(&g, "x", shape, scale), y = AddInt16(&g, "y", shape, 0x1p-15f);
      g.inputs = {x};
      g.outputs = {y};
      g.AddNode(OpType::kSoftmax, "softmax", {x}, y);
      const std::vector<int16_t> in =
          RandomInt16(static_cast<size_t>(shape.num_elements()), &random);
      const std::vector<int16_t> out = RunInt16(g, {in.data()});
      for (int row = 0; row < 6; ++row) {
        const std::vector<int16_t> expected = testing::SoftmaxInt16(
            {in.begin() + row * channels, in.begin() + (row + 1) * channels}, scale);
        ASSERT_EQ(
            std::vector<int16_t>(out.begin() + row * channels, out.begin() + (row + 1) * channels),
            expected);
      }
    }
  }
}

}  // namespace
}  // namespace octet
