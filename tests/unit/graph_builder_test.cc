// Views against arrays that are really moved, and the builder's lowerings where formats differ.
#include "converter/import/builder/graph_builder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "converter/import/builder/unary.h"
#include "tests/unit/naive_interpreter.h"

namespace octet {
namespace {

/// What a view stands for, element by element.
struct Array {
  Dims dims;
  std::vector<int32_t> values;  ///< Index in the tensor's memory.
};

Array Transpose(const Array& a, const std::vector<int>& perm) {
  Array out;
  for (int p : perm) out.dims.push_back(a.dims[static_cast<size_t>(p)]);
  out.values = Permuted<int32_t>(a.values, a.dims, perm);
  return out;
}

void ExpectSame(const View& v, const Shape& shape, const Array& a) {
  ASSERT_EQ(v.dims, a.dims);
  const std::vector<int32_t> order = SourceOrder(v, shape);
  ASSERT_EQ(order.size(), a.values.size());
  for (size_t i = 0; i < order.size(); ++i) {
    ASSERT_EQ(a.values[static_cast<size_t>(order[i])], static_cast<int32_t>(i)) << DimsText(v.dims);
  }
  ASSERT_EQ(IsLinear(v, shape), std::is_sorted(a.values.begin(), a.values.end()));
}

TEST(View, FollowsRandomTransposesAndReshapes) {
  std::mt19937 random(7);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  int transposed = 0, cut = 0;
  for (int round = 0; round < 2000; ++round) {
    const Shape shape{1, below(3) + 1, below(3) + 1, below(4) + 1};
    GraphBuilder builder("_", 1, 1 << 20);
    const TensorId id = builder.AddInput("x", {}, shape);
    View v = builder.Plain(id);
    Array a{v.dims, std::vector<int32_t>(static_cast<size_t>(shape.num_elements()))};
    std::iota(a.values.begin(), a.values.end(), 0);
    for (int step = 0; step < 6; ++step) {
      if (below(2) == 0) {
        std::vector<int> perm(v.dims.size());
        std::iota(perm.begin(), perm.end(), 0);
        std::shuffle(perm.begin(), perm.end(), random);
        const std::optional<View> moved = Transposed(v, shape, perm);
        if (!moved) {
          ++cut;
          continue;
        }
        v = *moved;
        a = Transpose(a, perm);
        ++transposed;
      } else {
        // Another list of factors of the same number.
        Dims dims;
        int64_t rest = shape.num_elements();
        while (rest > 1 && dims.size() < 4) {
          const int64_t d = below(static_cast<int>(rest)) + 1;
          if (rest % d != 0) continue;
          dims.push_back(d);
          rest /= d;
        }
        dims.push_back(rest);
        v.dims = a.dims = dims;
      }
      ExpectSame(v, shape, a);
    }
  }
  EXPECT_GT(transposed, 1000);
  EXPECT_GT(cut, 10);
}

TEST(View, OneChannelIsNotBothOrders) {
  GraphBuilder builder("_", 1, 1 << 20);
  const TensorId id = builder.AddInput("x", {}, Shape{1, 5, 4, 1});
  const View first = builder.ChannelsFirst(id);
  EXPECT_EQ(first.dims, (Dims{1, 1, 5, 4}));
  EXPECT_EQ(ChannelAxis(first, builder.ShapeOf(id)), 1u);
  const std::optional<View> last = Transposed(first, builder.ShapeOf(id), {0, 2, 3, 1});
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->perm, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(ChannelAxis(*last, builder.ShapeOf(id)), 3u);
}

TEST(View, ChannelsOfPooledAndFlattenedImages) {
  GraphBuilder builder("_", 1, 1 << 20);
  const TensorId id = builder.AddInput("x", {}, Shape{1, 1, 1, 6});
  View v = builder.ChannelsFirst(id);
  v.dims = {1, 6};
  EXPECT_EQ(ChannelAxis(v, builder.ShapeOf(id)), 1u);
  v.dims = {1, 2, 3};  // Cuts through the channels.
  EXPECT_EQ(ChannelAxis(v, builder.ShapeOf(id)), std::nullopt);
}

TEST(SamePadding, OddPixelsAndStridesBeyondTheWindow) {
  EXPECT_EQ(SamePadding(224, 7, 2, 1).front, 2);
  EXPECT_EQ(SamePadding(224, 7, 2, 1).behind, 3);
  EXPECT_EQ(SamePadding(224, 7, 2, 1, true).front, 3);
  // One of three pixels, nine pixels: TensorFlow begins at pixel 0, ONNX Runtime at 1.
  EXPECT_EQ(SamePadding(9, 1, 3, 1).front, 0);
  EXPECT_EQ(SamePadding(9, 1, 3, 1, false, true).front, -1);
  EXPECT_EQ(SamePadding(9, 1, 3, 1, false, true).behind, -1);
  EXPECT_EQ(SamePadding(9, 3, 1, 2).front, 2);
}

TEST(GraphBuilder, PaddingBeyondAWindowIsAnOperatorAndNegativePaddingASlice) {
  GraphBuilder builder("_", 1, 1 << 20);
  const TensorId x = builder.AddInput("x", {}, Shape{1, 9, 9, 2});
  WideWindow window;
  window.padding[0] = {1, 1};  // Around a window of one pixel.
  const LayerWeights weights{Shape{3, 1, 1, 2}, std::vector<float>(6, 1.0f), {}};
  ASSERT_TRUE(builder.Conv("a", x, weights, window, 1).ok());
  ASSERT_EQ(builder.graph().nodes.size(), 2u);
  EXPECT_EQ(builder.graph().nodes[0].type, OpType::kPad);
  EXPECT_EQ(builder.ShapeOf(builder.graph().nodes[1].output), (Shape{1, 11, 9, 3}));
  window.padding[0] = {-1, -2};
  ASSERT_TRUE(builder.Conv("b", x, weights, window, 1).ok());
  EXPECT_EQ(builder.graph().nodes[2].type, OpType::kSlice);
  EXPECT_EQ(builder.ShapeOf(builder.graph().nodes[3].output), (Shape{1, 6, 9, 3}));
}

TEST(GraphBuilder, ConstantsBeyondTheBudgetAreRefused) {
  GraphBuilder builder("_", 1, 16);
  const std::vector<float> values(3, 1.0f);
  EXPECT_TRUE(builder.AddFloats("a", Shape{3}, values).ok());
  EXPECT_EQ(builder.AddFloats("b", Shape{3}, values).status().code(), StatusCode::kCorrupt);
  EXPECT_FALSE(builder.AddFloats("c", Shape{1}, std::vector<float>(1)).ok());  // Stays so.
}

TEST(UnaryFunctions, AreNotAmongThoseThatAreLacking) {
  for (const UnaryFunction& f : UnaryFunctions()) {
    for (const char* name : {f.onnx.name, f.tensorflow.name, f.keras.name, f.keras_layer.name})
      EXPECT_EQ(UnaryAdvice(name), "") << name;
  }
  EXPECT_NE(UnaryAdvice("HardSwish"), "");
  EXPECT_NE(UnaryAdvice("hard_swish"), "");
  EXPECT_EQ(UnaryAdvice("Conv"), "");
}

TEST(UnaryFunctions, RefuseCodesAndParametersThatAreNoNumbers) {
  GraphBuilder builder("_", 1, 1 << 20);
  const TensorId codes = builder.AddInput("c", {DType::kU8, {0.5f, 0}}, Shape{1, 4}),
                 x = builder.AddInput("x", {}, Shape{1, 4});
  for (const UnaryFunction& f : UnaryFunctions()) {
    EXPECT_TRUE(f.Emit(&builder, "y", x, 0.5f).ok());
    EXPECT_EQ(f.Emit(&builder, "y", codes, 0.5f).status().code(), StatusCode::kUnsupported);
    EXPECT_EQ(f.Emit(&builder, "y", x, NAN).status().code(), StatusCode::kUnsupported);
  }
}

TEST(UnaryFunctions, LeakyReluIsExact) {
  const UnaryFunction& leaky = *FindUnary(&UnaryFunction::keras, "leaky_relu");
  for (const float slope : {-0.3f, 0.0f, 0.01f, 0.3f, 1.0f, 1.7f}) {
    GraphBuilder builder("_", 1, 1 << 20);
    const TensorId x = builder.AddInput("x", {}, Shape{1, 5});
    const auto y = leaky.Emit(&builder, "y", x, slope);
    ASSERT_TRUE(y.ok());
    EXPECT_EQ(*y == x, slope == 1.0f);
    if (*y == x) continue;
    builder.graph().outputs = {*y};
    const testing::Values in{-7.1f, -1e-6f, 0.0f, 1e-6f, 7.1f},
        out = testing::NaiveInterpreter(builder.graph()).RunOutput({in});
    for (size_t i = 0; i < in.size(); ++i)
      EXPECT_EQ(static_cast<float>(out[i]),
                static_cast<float>(in[i] < 0 ? in[i] * static_cast<double>(slope) : in[i]));
  }
}

TEST(Problems, AreGroupedByOperatorAndReason) {
  Problems problems;
  EXPECT_TRUE(problems.ToStatus().ok());
  for (const char* name : {"a", "b", "c", "d"}) problems.Add("Gelu", name, "not here");
  problems.Add("Loop", "e", "");
  EXPECT_EQ(problems.ToStatus().message(),
            "5 unsupported operators: Gelu 'a', 'b', 'c' and 1 more (not here); Loop 'e'");
}

}  // namespace
}  // namespace octet
