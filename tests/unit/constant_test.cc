// What is computed from constants, whatever format they come from.
#include "converter/import/builder/constant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace octet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using enum ElementType;

Constant Ints(ElementType type, const std::vector<int64_t>& v) {
  return {type, {static_cast<int64_t>(v.size())}, {}, v};
}
Constant Floats(ElementType type, const std::vector<float>& v) {
  return {type, {static_cast<int64_t>(v.size())}, v, {}};
}

class ConstantTest : public ::testing::Test {
 protected:
  /// The integers, or one -1 and a failure.
  std::vector<int64_t> IntsOf(const Result<Constant>& c) const {
    EXPECT_TRUE(c.ok()) << c.status().message();
    return c.ok() ? c->ints : std::vector<int64_t>{-1};
  }
  std::vector<float> FloatsOf(const Result<Constant>& c) const {
    EXPECT_TRUE(c.ok()) << c.status().message();
    return c.ok() ? c->floats : std::vector<float>{-1};
  }

  GraphBuilder builder_{"_", 1, 1 << 20};
  Folder folder_{&builder_, 1 << 10, false}, shapes_{&builder_, 1 << 10, true};
};

TEST_F(ConstantTest, IntegersWrapAsTheirTypeDoes) {
  const auto both = [&](BinaryOp op, ElementType type, int64_t a, int64_t b) {
    return IntsOf(folder_.Binary(op, Ints(type, {a}), Ints(type, {b}))).at(0);
  };
  EXPECT_EQ(both(BinaryOp::kAdd, kUint8, 200, 100), 44);
  EXPECT_EQ(both(BinaryOp::kMul, kInt32, 1 << 20, 1 << 12), 0);
  EXPECT_EQ(both(BinaryOp::kDiv, kInt64, INT64_MIN, -1), INT64_MIN);
  EXPECT_EQ(both(BinaryOp::kDiv, kInt64, -7, 2), -3);
  EXPECT_EQ(both(BinaryOp::kMod, kInt64, -7, 3), 2);
  EXPECT_EQ(both(BinaryOp::kFmod, kInt64, -7, 3), -1);
  EXPECT_EQ(both(BinaryOp::kDiv, kUint64, -2, 2), INT64_MAX);
  EXPECT_EQ(both(BinaryOp::kMax, kUint64, -1, 1), -1);  // 2^64 - 1.
  EXPECT_EQ(both(BinaryOp::kAdd, kInt64, INT64_MIN, 5), INT64_MIN + 5);
  EXPECT_THAT(IntsOf(folder_.Cast(Ints(kInt64, {-1, 300}), kUint8)), ElementsAre(255, 44));
  for (BinaryOp op : {BinaryOp::kDiv, BinaryOp::kMod, BinaryOp::kFmod}) {
    EXPECT_EQ(folder_.Binary(op, Ints(kInt32, {1}), Ints(kInt32, {0})).status().code(),
              StatusCode::kCorrupt);
  }
}

TEST_F(ConstantTest, NumbersAreRoundedToTheirType) {
  EXPECT_THAT(
      FloatsOf(folder_.Cast(Floats(kFloat32, {1 + 0x1p-11f, 1 + 0x1.8p-10f, 1e6f}), kFloat16)),
      ElementsAre(1.0f, 1 + 0x1p-9f, std::numeric_limits<float>::infinity()));
  EXPECT_THAT(FloatsOf(folder_.Cast(Floats(kFloat32, {1 + 0x1p-8f, 1 + 0x1.8p-7f}), kBfloat16)),
              ElementsAre(1.0f, 1 + 0x1p-6f));
  for (float v : {256.0f, -1.0f, 1e30f, std::nanf("")})
    EXPECT_EQ(folder_.Cast(Floats(kFloat32, {v}), kUint8).status().code(),
              StatusCode::kUnsupported);
  EXPECT_EQ(folder_.Cast(Floats(kFloat32, {1}), kString).status().code(), StatusCode::kUnsupported);
}

TEST_F(ConstantTest, TheBatchSizeStaysUnknownButItsMultiples) {
  const auto both = [&](BinaryOp op, int64_t a, int64_t b) {
    return IntsOf(shapes_.Binary(op, Ints(kInt32, {a}), Ints(kInt32, {b}))).at(0);
  };
  EXPECT_EQ(both(BinaryOp::kMul, 3, Batches(2)), Batches(6));
  EXPECT_EQ(both(BinaryOp::kDiv, Batches(6), 3), Batches(2));
  EXPECT_EQ(both(BinaryOp::kDiv, Batches(6), 4), kUnknown);
  EXPECT_EQ(both(BinaryOp::kDiv, 7, Batches(1)), kUnknown);
  EXPECT_EQ(both(BinaryOp::kSub, 0, Batches(1)), kUnknown);
  EXPECT_EQ(both(BinaryOp::kMul, Batches(1), Batches(1)), kUnknown);
  // Nor does an overflow look like a multiple.
  EXPECT_THAT(IntsOf(shapes_.Binary(BinaryOp::kAdd, Ints(kInt64, {INT64_MAX}), Ints(kInt64, {9}))),
              ElementsAre(kUnknown));
  EXPECT_EQ(shapes_.Cast(Ints(kInt32, {Batches(1)}), kFloat32).status().code(),
            StatusCode::kUnsupported);
}

TEST_F(ConstantTest, MovesAndParts) {
  const Constant x{kInt32, {2, 3}, {}, {0, 1, 2, 3, 4, 5}};
  EXPECT_THAT(IntsOf(folder_.Transpose(x, {1, 0})), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(IntsOf(folder_.Gather(x, Ints(kInt64, {2, -3}), -1, true)), ElementsAre(2, 0, 5, 3));
  EXPECT_FALSE(folder_.Gather(x, Ints(kInt64, {-1}), 1, false).ok());
  EXPECT_THAT(IntsOf(folder_.Concat({&x, &x}, 1)), ElementsAre(0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5));
  const Result<Constant> stacked = folder_.Stack({&x, &x}, -1);
  EXPECT_EQ(stacked->dims, (Dims{2, 3, 2}));
  EXPECT_THAT(IntsOf(stacked), ElementsAre(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5));
  const auto part = [&](std::optional<int64_t> begin, std::optional<int64_t> end, int64_t step) {
    return IntsOf(folder_.Slice(Ints(kInt32, {0, 1, 2, 3, 4}), {SliceRange(5, begin, end, step)}));
  };
  EXPECT_THAT(part(1, -1, 2), ElementsAre(1, 3));
  EXPECT_THAT(part(std::nullopt, std::nullopt, -2), ElementsAre(4, 2, 0));
  EXPECT_THAT(part(-100, 100, INT64_MAX), ElementsAre(0));
  EXPECT_THAT(part(100, -100, INT64_MIN), ElementsAre(4));
  EXPECT_THAT(part(-100, -200, -1), ElementsAre());
  const Result<Constant> sum = folder_.Binary(BinaryOp::kAdd, x, {kInt32, {2, 1}, {}, {10, 20}});
  EXPECT_THAT(IntsOf(sum), ElementsAre(10, 11, 12, 23, 24, 25));
  EXPECT_THAT(IntsOf(folder_.Fill(Ints(kInt64, {2}), Ints(kInt32, {7}))), ElementsAre(7, 7));
  EXPECT_EQ(folder_.Fill(Ints(kInt64, {1 << 20}), Ints(kInt32, {7})).status().code(),
            StatusCode::kUnsupported);
}

TEST_F(ConstantTest, ShapesAreResolvedOrRefused) {
  EXPECT_EQ(*ResolveReshape({2, 3, 4}, {0, -1}, true), (Dims{2, 12}));
  EXPECT_EQ(*ResolveReshape({0, 4}, {0, 7}, false), (Dims{0, 7}));
  for (const Dims& target : {Dims{-1, -1}, Dims{5, -1}, Dims{0, -1}, Dims{25}, Dims{-2, -12}})
    EXPECT_FALSE(ResolveReshape({24}, target, false).ok()) << DimsText(target);
  EXPECT_EQ(*ResolveSqueeze({1, 2, 1}, std::nullopt), Dims{2});
  EXPECT_FALSE(ResolveSqueeze({1, 2, 1}, Dims{1}).ok());
  EXPECT_EQ(*ResolveUnsqueeze({2}, {0, -1}), (Dims{1, 2, 1}));
  EXPECT_FALSE(ResolveUnsqueeze({2}, {0, -3}).ok());
  EXPECT_EQ(*Permutation({-1, 0}, 2), (std::vector<int>{1, 0}));
  EXPECT_FALSE(Permutation({0, 0}, 2).ok());
  EXPECT_FALSE(Permutation({0, 1, 2}, 2).ok());
}

TEST_F(ConstantTest, BytesAreDecodedByType) {
  Constant c{kInt8, {2}, {}, {}};
  ASSERT_TRUE(DecodeElements("\xff\x7f", &c).ok());
  EXPECT_THAT(c.ints, ElementsAre(-1, 127));
  c = {kBfloat16, {}, {}, {}};
  ASSERT_TRUE(DecodeElements(std::string("\xc0\x3f", 2), &c).ok());
  EXPECT_THAT(c.floats, ElementsAre(1.5f));
  EXPECT_THAT(DecodeElements("abc", &c).message(), HasSubstr("found 3 bytes of data, expected 2"));
  EXPECT_EQ(TypeNamed(TypeName(kBfloat16)), kBfloat16);
  EXPECT_EQ(TypeName(TypeOf({}, 23)), "type 23");
}

}  // namespace
}  // namespace octet
