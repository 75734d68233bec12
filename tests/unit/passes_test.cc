// Graph rewrites: each keeps what the network computes (naive interpreter, double precision) and
// removes what it promises to.
#include "converter/passes/passes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "formats/model/analysis.h"
#include "tests/sample_graphs.h"
#include "tests/unit/naive_interpreter.h"

namespace octet {
namespace {

using testing::Values;

/// Float graphs node by node; shapes follow.
class Builder {
 public:
  TensorId Input(const Shape& shape) {
    const TensorId id = g.AddActivation("image", DType::kF32, shape);
    g.inputs.push_back(id);
    return id;
  }

  TensorId Constant(const Shape& shape, float scale = 0.5f, float center = 0.0f) {
    std::normal_distribution<float> normal(center, scale);
    std::vector<float> v(static_cast<size_t>(shape.num_elements()));
    for (float& x : v) x = normal(random_);
    return g.AddConstant("c" + std::to_string(g.tensors.size()), DType::kF32, shape, v.data(),
                         v.size() * 4);
  }

  template <typename Edit>
  TensorId Add(OpType type, std::vector<TensorId> inputs, Edit edit) {
    const std::string name = std::string(OpTypeName(type)) + std::to_string(g.nodes.size());
    const TensorId out = g.AddActivation(name, DType::kF32, {1, 1});
    Node& n = g.AddNode(type, name, std::move(inputs), out);
    edit(&n);
    const Result<Shape> shape = InferShape(g, n);
    EXPECT_TRUE(shape.ok()) << shape.status().message();
    if (shape.ok()) g.tensor(out).shape = *shape;
    return out;
  }
  TensorId Add(OpType type, std::vector<TensorId> inputs) {
    return Add(type, std::move(inputs), [](Node*) {});
  }

  TensorId Conv(TensorId x, int out, int kernel, int stride = 1, int pad = 0, bool bias = false) {
    std::vector<TensorId> inputs = {x, Constant({out, kernel, kernel, g.tensor(x).shape[3]})};
    if (bias) inputs.push_back(Constant({out}));
    return Add(OpType::kConv2d, inputs, [&](Node* n) {
      n->window.kernel_h = n->window.kernel_w = kernel;
      n->window.stride_h = n->window.stride_w = stride;
      n->window.pad_top = n->window.pad_left = n->window.pad_bottom = n->window.pad_right = pad;
    });
  }
  TensorId Norm(TensorId x) {
    const int64_t c = g.tensor(x).shape.back();
    return Add(OpType::kScaleShift, {x, Constant({c}, 0.3f, 1.0f), Constant({c})});
  }
  TensorId Relu(TensorId x) { return Add(OpType::kRelu, {x}); }
  TensorId Pad(TensorId x, int top, int left, int bottom, int right) {
    return Add(OpType::kPad, {x}, [&](Node* n) {
      n->begin = {0, top, left, 0};
      n->end = {0, bottom, right, 0};
    });
  }
  TensorId Reshape(TensorId x, const Shape& shape) {
    const std::string name = "reshape" + std::to_string(g.nodes.size());
    const TensorId out = g.AddActivation(name, DType::kF32, shape);
    g.AddNode(OpType::kReshape, name, {x}, out);
    return out;
  }

  Graph g;

 private:
  std::mt19937 random_{11};
};

std::vector<float> RandomInput(const Graph& g) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::vector<float> x(static_cast<size_t>(g.tensor(g.inputs[0]).shape.num_elements()));
  for (float& v : x) v = normal(random);
  return x;
}

int Count(const Graph& g, OpType type) {
  int count = 0;
  for (const Node& n : g.nodes) count += n.type == type;
  return count;
}

/// Applies `pass` and compares all outputs before and after.
Graph Apply(const Graph& before, Status (*pass)(Graph*)) {
  Graph after = before;
  const Status status = pass(&after);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(InferShapes(&after).ok());
  EXPECT_TRUE(ValidateGraph(after).ok()) << ValidateGraph(after).message();
  const std::vector<float> x = RandomInput(before);
  const std::vector<Values> a = testing::EvaluateAll(before, x), b = testing::EvaluateAll(after, x);
  EXPECT_EQ(before.outputs.size(), after.outputs.size());
  for (size_t i = 0; i < before.outputs.size(); ++i) {
    const Tensor &t = before.tensor(before.outputs[i]), &u = after.tensor(after.outputs[i]);
    EXPECT_EQ(t.name, u.name);
    EXPECT_EQ(t.shape, u.shape);
    const Values &v = a[before.outputs[i]], &w = b[after.outputs[i]];
    EXPECT_EQ(v.size(), w.size());
    for (size_t k = 0; k < std::min(v.size(), w.size()); ++k)
      EXPECT_NEAR(v[k], w[k], 1e-5 * (1 + std::fabs(v[k]))) << k;
  }
  return after;
}

TEST(FoldScaleShiftTest, FoldsIntoConvolutionsAndDense) {
  Builder b;
  TensorId x = b.Input({1, 6, 7, 3});
  x = b.Norm(b.Conv(x, 5, 3, 1, 1, false));         // Without bias.
  x = b.Norm(b.Norm(b.Conv(x, 4, 1, 1, 0, true)));  // With, and two in a row.
  x = b.Add(OpType::kGlobalAveragePool, {x});
  x = b.Reshape(x, {1, 4});
  x = b.Norm(b.Add(OpType::kDense, {x, b.Constant({6, 4})}));
  b.g.outputs = {x};
  const Graph after = Apply(b.g, FoldScaleShift);
  EXPECT_EQ(Count(after, OpType::kScaleShift), 0);
  EXPECT_EQ(after.nodes.size(), 5u);
}

TEST(FoldScaleShiftTest, ScalesOfInt8WeightsTakeTheFactor) {
  for (const float factor : {0.5f, -0.5f}) {
    Builder b;
    const TensorId x = b.Conv(b.Input({1, 4, 4, 2}), 3, 1);
    Node& conv = b.g.nodes.back();
    const std::vector<int8_t> codes{1, -2, 3, -4, 5, -128};
    const std::vector<float> steps{0.5f, 0.25f, 2.0f}, scale(3, factor), shift{1.0f, 2.0f, 3.0f};
    conv.inputs = {conv.inputs[0],
                   b.g.AddConstant("codes", DType::kI8, {3, 1, 1, 2}, codes.data(), 6), kNoTensor,
                   kNoTensor, b.g.AddConstant("steps", DType::kF32, {3}, steps.data(), 12)};
    b.g.outputs = {
        b.Add(OpType::kScaleShift, {x, b.g.AddConstant("scale", DType::kF32, {3}, scale.data(), 12),
                                    b.g.AddConstant("shift", DType::kF32, {3}, shift.data(), 12)})};
    const Graph after = Apply(b.g, FoldScaleShift);  // Compares the values, too.
    EXPECT_EQ(Count(after, OpType::kScaleShift), factor > 0 ? 0 : 1);
    EXPECT_EQ(after.tensor(after.nodes[0].inputs[kInputWeights]).values<int8_t>()[5], -128);
  }
}

TEST(FoldScaleShiftTest, LeavesWhatOthersRead) {
  Builder b;
  const TensorId conv = b.Conv(b.Input({1, 5, 5, 3}), 4, 3);
  const TensorId norm = b.Norm(conv);
  b.g.outputs = {b.Add(OpType::kAdd, {norm, conv})};
  EXPECT_EQ(Count(Apply(b.g, FoldScaleShift), OpType::kScaleShift), 1);

  Builder c;  // The caller reads the convolution itself.
  const TensorId y = c.Conv(c.Input({1, 5, 5, 3}), 4, 3);
  c.g.outputs = {c.Norm(y), y};
  EXPECT_EQ(Count(Apply(c.g, FoldScaleShift), OpType::kScaleShift), 1);

  Builder d;  // A ReLU stands between.
  d.g.outputs = {d.Norm(d.Relu(d.Conv(d.Input({1, 5, 5, 3}), 4, 3)))};
  EXPECT_EQ(Count(Apply(d.g, FoldScaleShift), OpType::kScaleShift), 1);
}

TEST(FoldScaleShiftTest, SharedWeightsAreFoldedForEachUser) {
  Builder b;
  const TensorId x = b.Input({1, 5, 5, 3});
  const TensorId w = b.Constant({4, 1, 1, 3});
  const TensorId first = b.Norm(b.Add(OpType::kConv2d, {x, w})),
                 second = b.Add(OpType::kConv2d, {x, w});
  b.g.outputs = {b.Add(OpType::kAdd, {first, second})};
  const Graph after = Apply(b.g, FoldScaleShift);
  EXPECT_EQ(Count(after, OpType::kScaleShift), 0);
}

TEST(FuseTest, ResidualBlockBecomesTwoNodes) {
  Builder b;
  const TensorId x = b.Relu(b.Conv(b.Input({1, 6, 6, 3}), 4, 1));
  const TensorId y = b.Relu(b.Conv(x, 4, 3, 1, 1, true));
  b.g.outputs = {b.Relu(b.Add(OpType::kAdd, {b.Conv(y, 4, 3, 1, 1, true), x}))};
  const Graph after = Apply(b.g, FuseResidualAndActivation);
  EXPECT_EQ(after.nodes.size(), 3u);
  const Node& last = after.nodes.back();
  EXPECT_EQ(last.activation, Activation::kRelu);
  EXPECT_EQ(last.input(kInputResidual), after.nodes[0].output);
}

TEST(FuseTest, ProjectionShortcutIsTheResidual) {
  for (bool main_first : {true, false}) {
    Builder b;
    const TensorId x = b.Relu(b.Conv(b.Input({1, 6, 6, 3}), 4, 1));
    TensorId main = kNoTensor, shortcut = kNoTensor;
    if (main_first) main = b.Conv(x, 8, 3, 2, 1);
    shortcut = b.Conv(x, 8, 1, 2);
    if (!main_first) main = b.Conv(x, 8, 3, 2, 1);
    b.g.outputs = {b.Relu(b.Add(OpType::kAdd, {main, shortcut}))};
    const Graph after = Apply(b.g, FuseResidualAndActivation);
    EXPECT_EQ(after.nodes.size(), 3u);
    EXPECT_EQ(after.nodes.back().input(kInputResidual), after.nodes[1].output);
  }
}

TEST(FuseTest, LaterShortcutIsWaitedFor) {
  // The shortcut is computed after the convolution that takes it: the order has to change.
  Builder b;
  const TensorId x = b.Relu(b.Conv(b.Input({1, 6, 6, 3}), 4, 1));
  const TensorId main = b.Conv(x, 6, 3, 2, 1);
  const TensorId half = b.Add(OpType::kSlice, {x}, [](Node* n) {
    n->end = {1, 6, 6, 4};
    n->step = {1, 2, 2, 1};
  });
  const TensorId shortcut = b.Add(OpType::kPad, {half}, [](Node* n) {
    n->begin = {0, 0, 0, 1};
    n->end = {0, 0, 0, 1};
  });
  b.g.outputs = {b.Relu(b.Add(OpType::kAdd, {main, shortcut}))};
  const Graph after = Apply(b.g, FuseResidualAndActivation);
  EXPECT_EQ(Count(after, OpType::kAdd), 0);
  EXPECT_EQ(after.nodes.back().type, OpType::kConv2d);
}

TEST(FuseTest, ActivationBeforeTheAdditionStaysBefore) {
  Builder b;
  const TensorId x = b.Relu(b.Conv(b.Input({1, 6, 6, 3}), 4, 1));
  const TensorId y = b.Relu(b.Conv(x, 4, 3, 1, 1));  // ReLU, then the addition.
  b.g.outputs = {b.Add(OpType::kAdd, {y, x})};
  const Graph after = Apply(b.g, FuseResidualAndActivation);
  EXPECT_EQ(Count(after, OpType::kAdd), 1);
  EXPECT_EQ(Count(after, OpType::kRelu), 0);
}

TEST(FuseTest, PreActivationBlock) {
  // ResNet v2: the sum is read by the next block's norm and by its addition.
  Builder b;
  TensorId x = b.Conv(b.Input({1, 6, 6, 3}), 4, 3, 1, 1);
  for (int block = 0; block < 2; ++block) {
    const TensorId y = b.Conv(b.Relu(b.Norm(x)), 4, 3, 1, 1);
    x = b.Add(OpType::kAdd, {b.Conv(b.Relu(b.Norm(y)), 4, 3, 1, 1), x});
  }
  b.g.outputs = {b.Relu(b.Norm(x))};
  const Graph after = Apply(b.g, Optimize);
  EXPECT_EQ(Count(after, OpType::kAdd), 0);
  EXPECT_EQ(Count(after, OpType::kRelu), 0);
  EXPECT_EQ(Count(after, OpType::kScaleShift), 3);  // The inner norms are folded, these cannot be.
}

TEST(FuseTest, Relu6AndRepeatedRelu) {
  Builder b;
  const TensorId x = b.Input({1, 4, 4, 3});
  b.g.outputs = {b.Add(OpType::kRelu6, {b.Relu(b.Conv(x, 4, 1))}),
                 b.Relu(b.Add(OpType::kRelu6, {b.Conv(x, 4, 1)}))};
  const Graph after = Apply(b.g, FuseResidualAndActivation);
  ASSERT_EQ(after.nodes.size(), 2u);
  EXPECT_EQ(after.nodes[0].activation, Activation::kRelu6);
  EXPECT_EQ(after.nodes[1].activation, Activation::kRelu6);
}

TEST(FuseTest, SelfAdditionAndOutputsStay) {
  Builder b;
  const TensorId y = b.Conv(b.Input({1, 4, 4, 3}), 4, 1);
  b.g.outputs = {b.Add(OpType::kAdd, {y, y})};
  EXPECT_EQ(Count(Apply(b.g, FuseResidualAndActivation), OpType::kAdd), 1);

  Builder c;
  const TensorId z = c.Conv(c.Input({1, 4, 4, 3}), 4, 1);
  c.g.outputs = {z, c.Relu(z)};
  EXPECT_EQ(Count(Apply(c.g, FuseResidualAndActivation), OpType::kRelu), 1);
}

TEST(LegalizeTest, PadMovesIntoWindows) {
  Builder b;
  TensorId x = b.Relu(b.Conv(b.Pad(b.Input({1, 9, 9, 3}), 0, 1, 2, 1), 4, 3, 2));
  x = b.Add(OpType::kMaxPool, {b.Pad(x, 1, 1, 1, 1)}, [](Node* n) {
    n->window.kernel_h = n->window.kernel_w = 3;
    n->window.stride_h = n->window.stride_w = 2;
  });
  b.g.outputs = {x};
  const Graph after = Apply(b.g, Legalize);
  EXPECT_EQ(Count(after, OpType::kPad), 0);
  EXPECT_EQ(after.nodes[0].window.pad_bottom, 2);
}

TEST(LegalizeTest, PadStaysWhereItMatters) {
  Builder b;  // A max pool of values that may be negative sees the zeros.
  const TensorId y = b.Conv(b.Input({1, 5, 5, 3}), 4, 3);
  b.g.outputs = {b.Add(OpType::kMaxPool, {b.Pad(y, 1, 1, 1, 1)},
                       [](Node* n) { n->window.kernel_h = n->window.kernel_w = 2; })};
  EXPECT_EQ(Count(Apply(b.g, Legalize), OpType::kPad), 1);

  Builder c;  // More padding than a window may have.
  c.g.outputs = {c.Conv(c.Pad(c.Input({1, 5, 5, 3}), 4, 0, 0, 0), 4, 3)};
  EXPECT_EQ(Count(Apply(c.g, Legalize), OpType::kPad), 1);

  Builder d;  // Not zeros.
  const TensorId p = d.Pad(d.Input({1, 5, 5, 3}), 1, 1, 1, 1);
  d.g.nodes.back().pad_value = 0.5f;
  d.g.outputs = {d.Conv(p, 4, 3)};
  EXPECT_EQ(Count(Apply(d.g, Legalize), OpType::kPad), 1);
}

TEST(LegalizeTest, LowestPaddingIsAMaxPools) {
  const auto padded = [](OpType reader) {
    Builder b;
    const TensorId y = b.Pad(b.Conv(b.Input({1, 5, 5, 3}), 4, 3), 1, 1, 1, 1);
    b.g.nodes.back().pad_value = std::numeric_limits<float>::lowest();
    b.g.outputs = {
        b.Add(reader, {y}, [](Node* n) { n->window.kernel_h = n->window.kernel_w = 2; })};
    return b.g;
  };
  EXPECT_EQ(Count(Apply(padded(OpType::kMaxPool), Legalize), OpType::kPad), 0);
  Graph average = padded(OpType::kAveragePool);
  EXPECT_EQ(Optimize(&average).code(), StatusCode::kUnsupported);
}

TEST(LegalizeTest, PadWithTwoReadersServesEach) {
  Builder b;
  const TensorId p = b.Pad(b.Input({1, 5, 5, 3}), 1, 1, 1, 1);
  b.g.outputs = {b.Conv(p, 4, 3), b.Conv(p, 2, 5)};
  EXPECT_EQ(Count(Apply(b.g, Legalize), OpType::kPad), 0);
}

TEST(LegalizeTest, GroupsBecomeOneWithZeros) {
  Builder b;
  const auto grouped = [&](TensorId x, int out, int kernel, int groups) {
    const TensorId w = b.Constant({out, kernel, kernel, b.g.tensor(x).shape[3] / groups});
    return b.Add(OpType::kConv2d, {x, w}, [&](Node* n) {
      n->window.kernel_h = n->window.kernel_w = kernel;
      n->groups = groups;
    });
  };
  TensorId x = b.Input({1, 6, 6, 6});
  x = grouped(x, 12, 3, 3);
  x = grouped(x, 12, 1, 12);  // Depthwise stays.
  x = grouped(x, 24, 3, 12);  // One channel a group, two outputs each.
  x = grouped(x, 48, 1, 6);   // Groups of 4 have kernels.
  b.g.outputs = {x};
  const Graph after = Apply(b.g, Legalize);
  EXPECT_EQ(after.nodes[0].groups, 1);
  EXPECT_EQ(after.nodes[1].groups, 12);
  EXPECT_EQ(after.nodes[2].groups, 1);
  EXPECT_EQ(after.nodes[3].groups, 6);
}

TEST(LegalizeTest, ReshapesIdentitiesAndPools) {
  Builder b;
  TensorId x = b.Conv(b.Input({1, 4, 6, 3}), 8, 1);
  x = b.Add(OpType::kAveragePool, {x}, [](Node* n) {
    n->window.kernel_h = 4, n->window.kernel_w = 6;
    n->window.stride_h = n->window.stride_w = 3;
  });
  x = b.Add(OpType::kGlobalAveragePool, {x});  // Of one pixel: nothing to do.
  x = b.Reshape(b.Reshape(b.Reshape(x, {1, 8}), {1, 2, 2, 2}), {1, 8});
  x = b.Add(OpType::kSlice, {x}, [](Node* n) { n->end = {1, 8, 0, 0}; });
  x = b.Add(OpType::kDense, {x, b.Constant({3, 8})});
  x = b.Reshape(x, {1, 3});  // Nothing to do, and it is the output.
  b.g.outputs = {x};
  const Graph after = Apply(b.g, Legalize);
  EXPECT_EQ(Count(after, OpType::kGlobalAveragePool), 1);
  EXPECT_EQ(Count(after, OpType::kAveragePool), 0);
  EXPECT_EQ(after.nodes.size(), 4u);  // Conv, pool, flatten, dense.
}

TEST(LegalizeTest, UnusedGoAway) {
  Builder b;
  const TensorId x = b.Input({1, 4, 4, 3});
  const TensorId y = b.Conv(x, 4, 1);
  b.Relu(b.Conv(y, 9, 3));  // Nobody reads this.
  b.g.outputs = {b.Relu(y)};
  const Graph after = Apply(b.g, Legalize);
  EXPECT_EQ(after.nodes.size(), 2u);
  EXPECT_EQ(after.tensors.size(), 4u);  // Image, weights, convolution, ReLU.
}

TEST(LegalizeTest, OrderIsRestoredAndCirclesAreErrors) {
  Builder b;
  const TensorId y = b.Conv(b.Input({1, 4, 4, 3}), 4, 1);
  b.g.outputs = {b.Relu(y)};
  std::swap(b.g.nodes[0], b.g.nodes[1]);
  EXPECT_TRUE(RemoveUnused(&b.g).ok());
  EXPECT_EQ(b.g.nodes[0].type, OpType::kConv2d);

  Builder c;
  const TensorId z = c.Relu(c.Input({1, 4, 4, 3}));
  const TensorId w = c.Add(OpType::kAdd, {z, z});
  c.g.nodes[0].inputs[0] = w;
  c.g.outputs = {w};
  const Status status = RemoveUnused(&c.g);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("depends on its own result"), std::string::npos)
      << status.message();
}

TEST(OptimizeTest, ClipsBecomeWhatTheyAre) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const struct {
    const char* name;
    bool non_negative;  ///< The clip's input.
    float low, high;
    OpType expected;  ///< kConv2d: nothing is left of the clip but an activation.
    Activation activation;
  } kCases[] = {
      {"relu", false, 0.0f, kInf, OpType::kConv2d, Activation::kRelu},
      {"relu6", false, 0.0f, 6.0f, OpType::kConv2d, Activation::kRelu6},
      {"relu of a negative zero", false, -0.0f, kInf, OpType::kConv2d, Activation::kRelu},
      {"no limits", false, -kInf, kInf, OpType::kConv2d, Activation::kNone},
      {"nothing below", true, -1.0f, kInf, OpType::kConv2d, Activation::kRelu},
      {"nothing below 6", true, -kInf, 6.0f, OpType::kConv2d, Activation::kRelu6},
      {"only above", false, -kInf, 6.0f, OpType::kClip, Activation::kNone},
      {"another limit", false, 0.0f, 5.0f, OpType::kClip, Activation::kNone},
      {"hard tanh", false, -1.0f, 1.0f, OpType::kClip, Activation::kNone},
      {"from above 0", true, 0.5f, kInf, OpType::kClip, Activation::kRelu},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    Builder b;
    TensorId x = b.Conv(b.Input({1, 4, 4, 3}), 4, 1);
    if (c.non_negative) x = b.Relu(x);
    b.g.outputs = {b.Add(OpType::kClip, {x}, [&](Node* n) {
      n->clip_low = c.low;
      n->clip_high = c.high;
    })};
    const Graph after = Apply(b.g, Optimize);
    EXPECT_EQ(after.nodes[0].activation, c.activation);
    EXPECT_EQ(after.nodes.back().type, c.expected);
    ASSERT_EQ(after.nodes.size(), c.expected == OpType::kConv2d ? 1u : 2u);
  }
}

TEST(OptimizeTest, BytesThatNoClipChangesNeedNone) {
  for (const float high : {127.4f, 126.0f}) {
    Graph g;
    const TensorId x = g.AddActivation("x", DType::kF32, {1, 3}),
                   q = g.AddActivation("q", DType::kU8, {1, 3}),
                   y = g.AddActivation("y", DType::kU8, {1, 3});
    g.inputs = {x};
    g.outputs = {y};
    g.tensor(q).quantization = g.tensor(y).quantization = {1.0f, 128};
    g.AddNode(OpType::kQuantize, "quantize", {x}, q);
    Node& clip = g.AddNode(OpType::kClip, "clip", {q}, y);
    clip.clip_low = -127.6f;
    clip.clip_high = high;
    ASSERT_TRUE(Optimize(&g).ok());
    EXPECT_EQ(g.nodes.size(), high > 127.0f ? 1u : 2u);
  }
}

TEST(FindNonNegativeTest, ClipsAndFunctions) {
  Builder b;
  const TensorId x = b.Input({1, 4}), relu = b.Relu(x);
  const auto clip = [&](TensorId from, float low, float high) {
    return b.Add(OpType::kClip, {from}, [&](Node* n) {
      n->clip_low = low;
      n->clip_high = high;
    });
  };
  const TensorId yes[] = {clip(x, 0.0f, 1.0f), clip(relu, -1.0f, 1.0f),
                          b.Add(OpType::kSigmoid, {x}), b.Add(OpType::kTanh, {relu})};
  const TensorId no[] = {clip(x, -1.0f, 1.0f), clip(relu, -2.0f, -1.0f), b.Add(OpType::kTanh, {x}),
                         b.Add(OpType::kLogSoftmax, {relu})};
  const std::vector<bool> known = FindNonNegative(b.g);
  for (TensorId id : yes) EXPECT_TRUE(known[id]) << b.g.tensor(id).name;
  for (TensorId id : no) EXPECT_FALSE(known[id]) << b.g.tensor(id).name;
}

TEST(OptimizeTest, EveryOperatorKeepsItsMeaning) {
  const Graph after = Apply(testing::SampleGraph(Precision::kFp32), Optimize);
  EXPECT_EQ(Count(after, OpType::kRelu6), 1);  // Behind the pad: nothing before it can take it.
}

TEST(OptimizeTest, QuantizedGraphsKeepTheirBits) {
  const Graph before = testing::SampleGraph(Precision::kInt8);
  Graph after = before;
  ASSERT_TRUE(Optimize(&after).ok());
  std::vector<float> x(static_cast<size_t>(before.tensor(before.inputs[0]).shape.num_elements()));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 256);
  for (size_t i = 0; i < before.outputs.size(); ++i) {
    EXPECT_EQ(testing::EvaluateAll(before, x)[before.outputs[i]],
              testing::EvaluateAll(after, x)[after.outputs[i]]);
  }
}

}  // namespace
}  // namespace octet
