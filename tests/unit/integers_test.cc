// Float operators between conversions against the integer graph made of them. Scales, weights and
// biases are such that every number is exact in double precision, so that both graphs must give the
// very same values.
#include "converter/passes/integers.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "converter/passes/passes.h"
#include "tests/unit/naive_interpreter.h"

namespace octet {
namespace {

using testing::NaiveInterpreter;
using testing::Values;

/// Random graphs as importers give them of quantized sources.
class Source {
 public:
  explicit Source(uint64_t seed) : random_(seed) {}

  Graph Make() {
    const int64_t channels = 1 + Below(4);
    const TensorId x =
        g_.AddActivation("x", DType::kF32, {1, 4 + Below(3), 4 + Below(3), channels});
    g_.inputs.push_back(x);
    Keep(x);
    for (int i = 0, n = 2 + Below(8); i < n; ++i) Step();
    g_.outputs.push_back(reals_.back() == x ? Relu(x) : reals_.back());
    if (Below(3) == 0) {
      const TensorId codes = ToCodes(g_.outputs[0]);
      g_.outputs.push_back(codes);
    }
    return g_;
  }

  int Below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

 private:
  TensorId Emit(OpType type, std::vector<TensorId> inputs,
                const std::function<void(Node*)>& set = {}, DType dtype = DType::kF32,
                const Quantization& q = {}) {
    const std::string name = std::string(OpTypeName(type)) + std::to_string(g_.nodes.size());
    const TensorId out = g_.AddActivation(name, dtype, {1, 1});
    g_.tensor(out).quantization = q;
    Node& n = g_.AddNode(type, name, std::move(inputs), out);
    if (type == OpType::kReshape)
      g_.tensor(out).shape = {1, g_.tensor(n.inputs[0]).shape.num_elements()};
    if (set) set(&n);
    const Result<Shape> shape = InferShape(g_, n);
    EXPECT_TRUE(shape.ok()) << shape.status().message();
    if (shape.ok()) g_.tensor(out).shape = *shape;
    return out;
  }

  TensorId Floats(std::vector<float> v, const Shape& shape) {
    return g_.AddConstant("c" + std::to_string(g_.tensors.size()), DType::kF32, shape, v.data(),
                          v.size() * 4);
  }

  TensorId Relu(TensorId x) { return Emit(OpType::kRelu, {x}); }

  TensorId ToCodes(TensorId x) {
    const Quantization q{std::ldexp(1.0f, -Below(6)),
                         std::array{0, 0, 128, 37}[static_cast<size_t>(Below(4))]};
    return Emit(OpType::kQuantize, {x}, {}, DType::kU8, q);
  }

  /// What others may read: mostly quantized, sometimes twice and differently, sometimes not at all.
  void Keep(TensorId x) {
    const int kind = Below(10);
    if (kind == 0) reals_.push_back(x);
    for (int i = 0; i < (kind == 0 ? 0 : kind == 1 ? 2 : 1); ++i) {
      reals_.push_back(Emit(OpType::kDequantize, {ToCodes(x)}));
    }
    if (kind == 2) reals_.push_back(x);
  }

  TensorId Any() {
    return reals_[reals_.size() - 1 -
                  static_cast<size_t>(Below(std::min<int>(3, static_cast<int>(reals_.size()))))];
  }

  void Step() {
    const TensorId x = Any();
    const Shape shape = g_.tensor(x).shape;
    const bool image = shape.rank() == 4;
    switch (Below(11)) {
      case 0:
      case 1:
        return Keep(Layer(x));
      case 2:
        return Keep(Relu(x));
      case 3:
        return Keep(Emit(OpType::kRelu6, {x}));
      case 4: {
        for (TensorId y : reals_) {
          if (y != x && g_.tensor(y).shape == shape) return Keep(Emit(OpType::kAdd, {x, y}));
        }
        return Keep(Emit(OpType::kAdd, {x, x}));
      }
      case 5: {
        std::vector<float> scale, shift;
        for (int64_t c = 0; c < shape.back(); ++c) {
          scale.push_back(static_cast<float>(Below(5) - 2) * 0.5f);
          shift.push_back(static_cast<float>(Below(9) - 4) * 0.25f);
        }
        return Keep(Emit(OpType::kScaleShift,
                         {x, Floats(scale, {shape.back()}), Floats(shift, {shape.back()})}));
      }
      case 6:
        return Keep(Emit(OpType::kConcat, {x, Below(2) == 0 ? x : Relu(x)},
                         [&](Node* n) { n->axis = shape.rank() - 1; }));
      case 7:
        return Keep(Emit(OpType::kSlice, {x}, [&](Node* n) {
          for (int d = 0; d < shape.rank(); ++d)
            n->end[static_cast<size_t>(d)] = static_cast<int32_t>(shape[d]);
          if (shape.back() > 1) n->begin[static_cast<size_t>(shape.rank() - 1)] = 1;
        }));
      case 8:
        if (!image) return;
        return Keep(Emit(OpType::kPad, {x}, [&](Node* n) {
          n->begin[1] = 1, n->end[2] = 1;
          n->pad_value = Below(2) == 0 ? 0.0f : 1.5f;
        }));
      case 9:
        if (!image || shape[1] < 2 || shape[2] < 2) return;
        return Keep(Emit(Below(2) == 0 ? OpType::kMaxPool : OpType::kAveragePool, {x}, [](Node* n) {
          n->window.kernel_h = n->window.kernel_w = n->window.stride_h = n->window.stride_w = 2;
        }));
      default:
        if (!image) return;
        return Keep(Emit(OpType::kReshape, {x}));
    }
  }

  /// Weights are codes times a power of two, or floats that no codes stand for.
  TensorId Layer(TensorId x) {
    const Shape in = g_.tensor(x).shape;
    const bool image = in.rank() == 4;
    const int out = 1 + Below(4);
    const Shape shape =
        image ? Shape{out, std::min<int64_t>(in[1], 2), std::min<int64_t>(in[2], 2), in[3]}
              : Shape{out, in[1]};
    const bool codes = Below(5) != 0;
    std::vector<int8_t> values(static_cast<size_t>(shape.num_elements()));
    for (int8_t& v : values) v = static_cast<int8_t>(Below(15) - 7);
    std::vector<float> floats(values.begin(), values.end()), scales(static_cast<size_t>(out)),
        bias(static_cast<size_t>(out));
    for (float& s : scales) s = std::ldexp(1.0f, -4 - Below(2));
    for (float& b : bias) b = static_cast<float>(Below(17) - 8) / 4.0f;
    std::vector<TensorId> inputs{x, kNoTensor, Floats(bias, {out})};
    const std::string name = "w" + std::to_string(g_.tensors.size());
    inputs[kInputWeights] =
        codes ? g_.AddConstant(name, DType::kI8, shape, values.data(), values.size())
              : Floats(floats, shape);
    if (codes) {
      inputs.push_back(kNoTensor);
      inputs.push_back(Floats(scales, {out}));
    }
    return Emit(image ? OpType::kConv2d : OpType::kDense, inputs, [&](Node* n) {
      if (image)
        n->window.kernel_h = static_cast<int>(shape[1]),
        n->window.kernel_w = static_cast<int>(shape[2]);
      n->activation = static_cast<Activation>(Below(3));
    });
  }

  std::mt19937_64 random_;
  Graph g_;
  std::vector<TensorId> reals_;
};

TEST(FuseQuantizedTest, RandomGraphsKeepEveryValue) {
  std::map<std::string, int> integer, real;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    Source source(seed);
    const Graph before = source.Make();
    ASSERT_TRUE(ValidateGraph(before).ok()) << ValidateGraph(before).message();
    Graph after = before;
    ASSERT_TRUE(FuseQuantized(&after).ok());
    ASSERT_TRUE(ValidateGraph(after).ok()) << seed << ": " << ValidateGraph(after).message();
    ASSERT_EQ(after.outputs.size(), before.outputs.size());
    Values x(static_cast<size_t>(before.tensor(before.inputs[0]).shape.num_elements()));
    for (double& v : x) v = (source.Below(41) - 20) / 4.0;
    NaiveInterpreter a(before), b(after);
    a.Evaluate({x});
    b.Evaluate({x});
    for (size_t o = 0; o < before.outputs.size(); ++o) {
      ASSERT_EQ(a.values(before.outputs[o]), b.values(after.outputs[o]))
          << "seed " << seed << ", output " << o;
      ASSERT_EQ(before.tensor(before.outputs[o]).name, after.tensor(after.outputs[o]).name);
    }
    for (const Node& n : after.nodes) {
      ++(after.tensor(n.inputs[0]).dtype == DType::kU8 ? integer : real)[OpTypeName(n.type)];
    }
  }
  for (const char* op : {"conv2d", "dense", "max_pool", "average_pool", "add", "scale_shift",
                         "relu", "relu6", "pad", "slice", "concat", "reshape"}) {
    EXPECT_GT(integer[op], 20) << op << " on integers";
    EXPECT_GT(real[op], 20) << op << " on floats";
  }
}

TEST(FuseQuantizedTest, TflitesOwnIntegersAreLeftAlone) {
  Graph g = Source(3).Make();
  const size_t nodes = g.nodes.size();
  g.metadata.rounding = Rounding::kTflite;
  ASSERT_TRUE(FuseQuantized(&g).ok());
  EXPECT_EQ(g.nodes.size(), nodes);
}

TEST(FuseQuantizedTest, WithoutConversionsNothingHappens) {
  Graph g;
  const TensorId x = g.AddActivation("x", DType::kF32, {1, 4}),
                 y = g.AddActivation("y", DType::kF32, {1, 4});
  g.inputs = {x};
  g.outputs = {y};
  g.AddNode(OpType::kRelu, "y", {x}, y);
  ASSERT_TRUE(FuseQuantized(&g).ok());
  EXPECT_EQ(g.nodes.size(), 1u);
}

}  // namespace
}  // namespace octet
