// Element types, half floats and shapes.
#include "formats/base/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "formats/base/round.h"
#include "formats/base/shape.h"

namespace octet {
namespace {

/// The value of positive half bits by definition; 65536 for infinity, which is where rounding up
/// from the largest leads.
double HalfValue(int bits) {
  const int exponent = bits >> 10, mantissa = bits & 0x3ff;
  return exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(RoundTest, HalvesGoAwayFromZero) {
  for (const float sign : {1.0f, -1.0f}) {
    for (const auto& [v, expected] : {std::pair{0.0f, 0.0f},
                                      {0.49999997f, 0.0f},
                                      {0.5f, 1.0f},
                                      {1.4999999f, 1.0f},
                                      {2.5f, 3.0f},
                                      {8388607.5f, 8388608.0f},
                                      {16777215.0f, 16777215.0f},
                                      {1e30f, 1e30f}})
      EXPECT_EQ(RoundHalfAway(sign * v), sign * expected) << sign * v;
    EXPECT_EQ(RoundHalfAway(sign * 0.49999999999999994), 0.0);
    EXPECT_EQ(RoundHalfAway(sign * 4503599627370495.5), sign * 4503599627370496.0);
    EXPECT_TRUE(std::isinf(RoundHalfAway(sign * std::numeric_limits<float>::infinity())));
  }
  EXPECT_TRUE(std::isnan(RoundHalfAway(std::numeric_limits<float>::quiet_NaN())));
}

TEST(HalfTest, WideningIsExactForEveryFiniteHalf) {
  for (int bits = 0; bits < 0x7c00; ++bits) {
    ASSERT_EQ(HalfToFloat(static_cast<uint16_t>(bits)), HalfValue(bits)) << bits;
    ASSERT_EQ(HalfToFloat(static_cast<uint16_t>(bits | 0x8000)), -HalfValue(bits)) << bits;
    ASSERT_EQ(std::signbit(HalfToFloat(static_cast<uint16_t>(bits | 0x8000))), true) << bits;
  }
}

TEST(HalfTest, InfinityAndNanSurvive) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(HalfToFloat(0x7c00), infinity);
  EXPECT_EQ(HalfToFloat(0xfc00), -infinity);
  EXPECT_EQ(FloatToHalf(infinity), 0x7c00);
  EXPECT_EQ(FloatToHalf(-infinity), 0xfc00);
  for (int bits = 0x7c01; bits < 0x8000; ++bits) {
    ASSERT_TRUE(std::isnan(HalfToFloat(static_cast<uint16_t>(bits)))) << bits;
    ASSERT_TRUE(std::isnan(HalfToFloat(FloatToHalf(HalfToFloat(static_cast<uint16_t>(bits))))))
        << bits;
  }
  EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(std::bit_cast<float>(0x7f800001u)))));
}

TEST(HalfTest, NarrowingRoundsToNearestEvenBetweenAllNeighbours) {
  for (int bits = 0; bits < 0x7c00; ++bits) {
    const auto low = static_cast<float>(HalfValue(bits)),
               high = static_cast<float>(HalfValue(bits + 1));
    const float middle = (low + high) / 2;  // Exact: one bit more than a half has.
    const int even = bits % 2 == 0 ? bits : bits + 1;
    for (int sign : {0, 0x8000}) {
      const float s = sign == 0 ? 1.0f : -1.0f;
      ASSERT_EQ(FloatToHalf(s * low), bits | sign) << bits;
      ASSERT_EQ(FloatToHalf(s * std::nextafter(middle, low)), bits | sign) << bits;
      ASSERT_EQ(FloatToHalf(s * middle), even | sign) << bits;
      ASSERT_EQ(FloatToHalf(s * std::nextafter(middle, high)), (bits + 1) | sign) << bits;
    }
  }
}

TEST(HalfTest, LargeAndTinyFloats) {
  EXPECT_EQ(FloatToHalf(65519.996f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(FloatToHalf(-std::numeric_limits<float>::max()), 0xfc00);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(FloatToHalf(-std::numeric_limits<float>::denorm_min()), 0x8000);
}

/// The value of positive bfloat16 bits by definition; 2^128 for infinity.
double Bf16Value(int bits) {
  const int exponent = bits >> 7, mantissa = bits & 0x7f;
  return exponent == 0 ? std::ldexp(mantissa, -133) : std::ldexp(128 + mantissa, exponent - 134);
}

TEST(Bf16Test, WideningIsExactForEveryFiniteNumber) {
  for (int bits = 0; bits < 0x7f80; ++bits) {
    ASSERT_EQ(Bf16ToFloat(static_cast<uint16_t>(bits)), Bf16Value(bits)) << bits;
    ASSERT_EQ(Bf16ToFloat(static_cast<uint16_t>(bits | 0x8000)), -Bf16Value(bits)) << bits;
    ASSERT_EQ(std::signbit(Bf16ToFloat(static_cast<uint16_t>(bits | 0x8000))), true) << bits;
  }
}

TEST(Bf16Test, InfinityAndNanSurvive) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Bf16ToFloat(0x7f80), infinity);
  EXPECT_EQ(FloatToBf16(infinity), 0x7f80);
  EXPECT_EQ(FloatToBf16(-infinity), 0xff80);
  for (uint32_t bits : {0x7f800001u, 0x7f80ffffu, 0x7fc00000u, 0x7fffffffu, 0xff800001u,
                        0xffffffffu, 0x7fff8000u}) {
    EXPECT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(std::bit_cast<float>(bits))))) << bits;
  }
}

TEST(Bf16Test, NarrowingRoundsToNearestEvenBetweenAllNeighbours) {
  for (int bits = 0; bits < 0x7f80; ++bits) {
    // The upper neighbour of the largest one is 2^128, which no float holds.
    const auto low = static_cast<float>(Bf16Value(bits));
    const auto middle = static_cast<float>((Bf16Value(bits) + Bf16Value(bits + 1)) / 2);
    const int even = bits % 2 == 0 ? bits : bits + 1;
    for (int sign : {0, 0x8000}) {
      const float s = sign == 0 ? 1.0f : -1.0f;
      ASSERT_EQ(FloatToBf16(s * low), bits | sign) << bits;
      ASSERT_EQ(FloatToBf16(s * std::nextafter(middle, 0.0f)), bits | sign) << bits;
      ASSERT_EQ(FloatToBf16(s * middle), even | sign) << bits;
      ASSERT_EQ(FloatToBf16(s * std::nextafter(middle, 3e38f + middle)), (bits + 1) | sign) << bits;
    }
  }
  EXPECT_EQ(FloatToBf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(FloatToBf16(-std::numeric_limits<float>::denorm_min()), 0x8000);
}

TEST(DTypeTest, SizesAndNames) {
  EXPECT_EQ(DTypeSize(DType::kF32), 4u);
  EXPECT_EQ(DTypeSize(DType::kF16), 2u);
  EXPECT_EQ(DTypeSize(DType::kU8), 1u);
  EXPECT_EQ(DTypeSize(DType::kI8), 1u);
  EXPECT_EQ(DTypeSize(DType::kI32), 4u);
  EXPECT_EQ(DTypeSize(DType::kI16), 2u);
  EXPECT_EQ(DTypeSize(DType::kI64), 8u);
  EXPECT_EQ(DTypeSize(DType::kBF16), 2u);
  EXPECT_EQ(DTypeSize(static_cast<DType>(kNumDTypes)), 0u);
  EXPECT_STREQ(DTypeName(DType::kU8), "uint8");
  EXPECT_STREQ(DTypeName(static_cast<DType>(kNumDTypes)), "invalid");
}

TEST(ShapeTest, CountsElementsWithoutOverflow) {
  EXPECT_EQ(Shape().num_elements(), 1);
  EXPECT_EQ((Shape{1, 7, 5, 3}).num_elements(), 105);
  EXPECT_EQ((Shape{4, 0, 5}).num_elements(), 0);
  EXPECT_EQ((Shape{2, -1}).num_elements(), -1);
  EXPECT_EQ((Shape{int64_t{1} << 32, int64_t{1} << 32}).num_elements(), -1);
  EXPECT_EQ((Shape{int64_t{1} << 31, int64_t{1} << 31}).num_elements(), int64_t{1} << 62);
  EXPECT_EQ((Shape{int64_t{1} << 31, int64_t{1} << 31, 2}).num_elements(), -1);
}

TEST(ShapeTest, ComparesRankAndDimensions) {
  EXPECT_EQ((Shape{1, 2}), (Shape{1, 2}));
  EXPECT_FALSE((Shape{1, 2}) == (Shape{1, 2, 0}));
  EXPECT_FALSE((Shape{1, 2}) == (Shape{1, 3}));
  EXPECT_EQ((Shape{1, 56, 56, 64}).ToString(), "[1,56,56,64]");
  EXPECT_EQ(Shape().ToString(), "[]");
}

TEST(ShapeTest, RoundsUp) {
  EXPECT_EQ(RoundUp(0, 16), 0);
  EXPECT_EQ(RoundUp(1, 16), 16);
  EXPECT_EQ(RoundUp(16, 16), 16);
  EXPECT_EQ(CeilDiv(17, 16), 2);
  int64_t out = 0;
  EXPECT_FALSE(CheckedMul(int64_t{1} << 40, int64_t{1} << 40, &out));
  EXPECT_FALSE(CheckedAdd(std::numeric_limits<int64_t>::max(), 1, &out));
  EXPECT_TRUE(CheckedAdd(2, 3, &out));
  EXPECT_EQ(out, 5);
}

}  // namespace
}  // namespace octet
