// TFLite's integer arithmetic as the engine's floats reproduce it, for every byte.
#include "engine/src/tflite_rounding.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

#include <gtest/gtest.h>

namespace octet {
namespace {

/// The published definition, written with a division instead of shifts: round(value * q / 2^31), its negative halves towards
/// zero, then round(that / 2^-shift), halves away from zero.
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
    const double real = std::ldexp(1.0 + static_cast<double>(random() % 1000000) * 1e-6, static_cast<int>(random() % 24) - 20);
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
    const float got = std::nearbyint(std::min(std::max(v + std::copysign(affine.nudge(), v), low), high));
    const float exact = std::min(std::max(static_cast<float>(affine.Exact(q - x_zero, k)), low), high);
    count += got != exact;
  }
  return count;
}

TEST(TfliteRounding, AffineEqualsFixedPointForEveryByte) {
  std::mt19937 random(2);
  const auto scale = [&] { return std::ldexp(1.0f + static_cast<float>(random() % 100000) * 1e-5f, -static_cast<int>(random() % 7)); };
  int wrong = 0;
  for (int i = 0; i < 3000; ++i) {
    // Mostly of a size that gives results within a byte.
    const float x = scale(), unit = scale() * 0x1p-6f, y = scale();
    const int x_zero = static_cast<int>(random() % 256), zero = static_cast<int>(random() % 256);
    const int k = static_cast<int>(random() % 511) - 255;
    const float low = random() % 2 == 0 ? 0.0f : static_cast<float>(-zero), high = static_cast<float>(255 - zero);
    wrong += Differences(TfliteAffine::Mul(x, unit, y), k, x_zero, low, high);
    wrong += Differences(TfliteAffine::Add(x, unit, y), k, x_zero, low, high);
    wrong += Differences(TfliteAffine::Requantize(x, y), 1, x_zero, low, high);
  }
  EXPECT_LE(wrong, 0) << "of " << 3000 * 3 * 256;
}

TEST(TfliteRounding, MulIsRoundedTwice) {
  // 31/64: the first rounding, to multiples of 1/32, lifts it to a half, and the second to 1. It takes -31/64 to -15/32.
  const TfliteAffine mul = TfliteAffine::Mul(0x1p-3f, 0x1p-3f, 1.0f);
  EXPECT_EQ(mul.Exact(16, 1), 0);
  EXPECT_EQ(mul.Exact(31, 1), 1);
  EXPECT_EQ(mul.Exact(-31, 1), 0);
  EXPECT_EQ(Differences(mul, 1, 128, -128.0f, 127.0f), 0);
}

TEST(TfliteRounding, AddKeepsWhatFloatsLose) {
  // (54 * 97/108) = 48.5 but for 6e-7: below a float's resolution there, not below that of TFLite's terms.
  const TfliteSum sum = ToTfliteSum(0.07798698544502258f, 0.08683086931705475f, 0.08683086931705475f);
  const auto add = [&](int a, int b) { return MultiplyFixed(int64_t{TfliteTerm(a, sum.a)} + TfliteTerm(b, sum.b), sum.sum); };
  EXPECT_EQ(add(54, 0), 49);
  EXPECT_EQ(add(54, 1), 50);
  EXPECT_EQ(add(54, -100), -51);
  EXPECT_EQ(add(-54, 0), -49);
  EXPECT_EQ(add(-54, 100), 52);  // 51.4999994, rounded up on the way as well.
}

}  // namespace
}  // namespace octet
