// Shape inference and validation of graphs.
#include "formats/model/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cctype>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <set>
#include <string>

#include "formats/base/str_cat.h"
#include "formats/model/operators.h"
#include "formats/model/panel.h"
#include "tests/sample_graphs.h"

namespace octet {
namespace {

using ::testing::HasSubstr;
using testing::SampleGraph;
using testing::SampleGraphBuilder;

TEST(GraphTest, EveryOperatorHasItsOwnName) {
  std::set<std::string> names;
  for (int i = 0; i < kNumOpTypes; ++i) names.insert(OpTypeName(static_cast<OpType>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kNumOpTypes));
  EXPECT_EQ(names.count("invalid"), 0u);
  EXPECT_STREQ(OpTypeName(static_cast<OpType>(kNumOpTypes)), "invalid");
}

/// A row of SPEC.md 3.3: "kind name, kind name".
struct AttributesText {
  std::string text;
  void Add(const char* kind, const char* name) {
    text += StrCat(text.empty() ? "" : ", ", kind, " ", name);
  }
  void Count(const char* name, int) { Add("varint", name); }
  void Flag(const char* name, bool) { Add("u8", name); }
  void Dimension(const char* name, int) { Add("u8", name); }
  void Real(const char* name, float) { Add("f32", name); }
  void Amounts(const char* name, const std::array<int32_t, Shape::kMaxRank>&) {
    Add("4 x u32", name);
  }
};

TEST(GraphTest, SpecHasEveryOperatorAndAttribute) {
  std::ifstream file(OCTET_SOURCE_DIR "/formats/SPEC.md");
  const std::string spec((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t begin = spec.find("\n### 3.3 "), end = spec.find("\n### 3.4 ");
  ASSERT_LT(begin, end);
  const std::string nodes = spec.substr(begin, end - begin);
  for (const OpTraits& op : kOperators) {
    EXPECT_THAT(spec, HasSubstr(StrCat("\n| ", static_cast<int>(op.type), " | ", op.name, " | ")));
    Node node;
    node.type = op.type;
    AttributesText attributes;
    VisitAttributes(node, attributes);
    if (attributes.text.empty()) {
      EXPECT_THAT(nodes, ::testing::Not(HasSubstr(StrCat("\n| ", op.name, " | "))));
    } else {
      EXPECT_THAT(nodes, HasSubstr(StrCat("\n| ", op.name, " | ", attributes.text, " |\n")));
    }
  }
}

TEST(GraphTest, ClipCodesAreRoundedAndStayInTheirRange) {
  const Quantization q{0.5f, 10};
  EXPECT_EQ(ClipCode(0.0f, q), 10);
  EXPECT_EQ(ClipCode(1.25f, q), 12);  // 2.5 steps: to even.
  EXPECT_EQ(ClipCode(1.75f, q), 14);
  EXPECT_EQ(ClipCode(-0.3f, q), 9);
  EXPECT_EQ(ClipCode(-5.0f, q), 0);
  EXPECT_EQ(ClipCode(-6.0f, q), 0);
  EXPECT_EQ(ClipCode(1000.0f, q), 255);
  EXPECT_EQ(ClipCode(-std::numeric_limits<float>::infinity(), q), 0);
  EXPECT_EQ(ClipCode(std::numeric_limits<float>::infinity(), q), 255);
  EXPECT_EQ(ClipCode(3e38f, {1e-30f, 0}), 255);
}

TEST(GraphTest, AlignedBuffersAreAlignedAndZero) {
  for (size_t bytes : {0u, 1u, 63u, 64u, 1000u}) {
    std::byte* data = nullptr;
    const std::shared_ptr<void> owner = MakeAlignedBuffer(bytes, &data);
    ASSERT_NE(data, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
    for (size_t i = 0; i < bytes; ++i) ASSERT_EQ(data[i], std::byte{0});
  }
}

TEST(GraphTest, WindowOutputCountsPositions) {
  for (int in = 1; in <= 9; ++in) {
    for (int kernel = 1; kernel <= 4; ++kernel) {
      for (int stride = 1; stride <= 3; ++stride) {
        for (int dilation = 1; dilation <= 3; ++dilation) {
          for (int before = 0; before <= 2; ++before) {
            for (int after = 0; after <= 2; ++after) {
              int positions = 0;
              for (int at = -before; at + dilation * (kernel - 1) < in + after; at += stride)
                ++positions;
              ASSERT_EQ(WindowOutput(in, kernel, stride, dilation, before, after), positions)
                  << in << " " << kernel << " " << stride << " " << dilation << " " << before << " "
                  << after;
            }
          }
        }
      }
    }
  }
}

TEST(GraphTest, SamplesAreValidAndUseEveryOperator) {
  std::set<OpType> types;
  for (Precision precision : testing::kAllPrecisions) {
    Graph g = SampleGraph(precision);
    const Status status = ValidateGraph(g);
    EXPECT_TRUE(status.ok()) << PrecisionName(precision) << ": " << status.message();
    for (const Node& node : g.nodes) types.insert(node.type);
  }
  EXPECT_EQ(types.size(), static_cast<size_t>(kNumOpTypes));
}

TEST(GraphTest, InferShapesFindsTheSameShapesAgain) {
  for (Precision precision : testing::kAllPrecisions) {
    const Graph expected = SampleGraph(precision);
    Graph g = expected;
    for (const Node& node : g.nodes) {
      if (node.type != OpType::kReshape) g.tensor(node.output).shape = Shape{1};
    }
    const Status status = InferShapes(&g);
    ASSERT_TRUE(status.ok()) << status.message();
    for (size_t i = 0; i < g.tensors.size(); ++i)
      EXPECT_EQ(g.tensors[i].shape, expected.tensors[i].shape);
  }
}

TEST(GraphTest, ShapesWorkedOutByHand) {
  const Graph g = SampleGraph(Precision::kFp32);
  const auto shape = [&](const std::string& name) {
    for (const Tensor& t : g.tensors) {
      if (t.name == name) return t.shape;
    }
    return Shape{};
  };
  EXPECT_EQ(shape("stem"), (Shape{1, 6, 5, 20}));
  EXPECT_EQ(shape("grouped"), (Shape{1, 6, 5, 20}));
  EXPECT_EQ(shape("max_pool"), (Shape{1, 3, 2, 20}));
  EXPECT_EQ(shape("slice"), (Shape{1, 3, 2, 20}));
  EXPECT_EQ(shape("concat"), (Shape{1, 3, 2, 40}));
  EXPECT_EQ(shape("pad"), (Shape{1, 4, 4, 40}));
  EXPECT_EQ(shape("average_pool"), (Shape{1, 2, 2, 40}));
  EXPECT_EQ(shape("global_pool"), (Shape{1, 1, 1, 40}));
  EXPECT_EQ(shape("flatten"), (Shape{1, 40}));
  EXPECT_EQ(shape("logits"), (Shape{1, 5}));
}

TEST(GraphTest, CopiesShareConstants) {
  const Graph g = SampleGraph(Precision::kInt8);
  const Graph copy = g;
  for (size_t i = 0; i < g.tensors.size(); ++i)
    EXPECT_EQ(g.tensors[i].data.data(), copy.tensors[i].data.data());
}

/// A graph that is spoilt in one place, and what the error must say.
struct Spoilt {
  const char* name;
  Precision precision;
  std::function<void(Graph*)> spoil;
  std::vector<std::string> message;
};

void PrintTo(const Spoilt& s, std::ostream* out) { *out << s.name; }

Node& FindNode(Graph* g, const std::string& name) {
  for (Node& node : g->nodes) {
    if (node.name == name) return node;
  }
  ADD_FAILURE() << "no node " << name;
  return g->nodes[0];
}
Tensor& FindTensor(Graph* g, const std::string& name) {
  for (Tensor& t : g->tensors) {
    if (t.name == name) return t;
  }
  ADD_FAILURE() << "no tensor " << name;
  return g->tensors[0];
}

/// Replaces a constant by one of other content; keeps its name.
template <typename T>
void SetConstant(Graph* g, const std::string& name, DType dtype, const std::vector<T>& values) {
  Tensor& t = FindTensor(g, name);
  Graph scratch;
  scratch.AddConstant(name, dtype, Shape{static_cast<int64_t>(values.size())}, values.data(),
                      values.size() * sizeof(T));
  t = scratch.tensors[0];
}

/// The tensor as int16.
Tensor& AsInt16(Graph* g, const std::string& name) {
  Tensor& t = FindTensor(g, name);
  t.dtype = DType::kI16;
  t.quantization.zero_point = 0;
  return t;
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr Precision kF32 = Precision::kFp32, kF16 = Precision::kFp16, kHyb = Precision::kHybrid,
                    kI8 = Precision::kInt8, kB16 = Precision::kBf16;

// One line a case reads as a table.
// clang-format off
const Spoilt kSpoilt[] = {
    // Tensors.
    {"tensor data type", kF32, [](Graph* g) { g->tensors[0].dtype = static_cast<DType>(8); }, {"'image'", "data type", "found 8"}},
    {"activation of int32", kF32, [](Graph* g) { FindTensor(g, "stem").dtype = DType::kI32; }, {"'stem'", "int32", "float32, bfloat16, uint8 or int16"}},
    {"activation of rank 3", kF32, [](Graph* g) { FindTensor(g, "stem").shape = {1, 6, 100}; }, {"'stem'", "[1,6,100]"}},
    {"batch of 2", kF32, [](Graph* g) { g->tensors[0].shape[0] = 2; }, {"'image'", "[2,11,9,3]"}},
    {"zero dimension", kF32, [](Graph* g) { g->tensors[0].shape[1] = 0; }, {"'image'", "[1,0,9,3]", "1 to"}},
    {"negative dimension", kF32, [](Graph* g) { g->tensors[0].shape[1] = -5; }, {"'image'", "[1,-5,9,3]"}},
    {"no dimension", kF32, [](Graph* g) { g->tensors[0].shape = {}; }, {"'image'", "rank"}},
    {"huge activation", kF32, [](Graph* g) { g->tensors[0].shape = {1, 65536, 65536, 3}; }, {"'image'", "at most 2147483647 elements"}},
    {"huge once channels are rounded up", kF32, [](Graph* g) { g->tensors[0].shape = {1, 8192, 4096, 3}; }, {"'image'", "at most 536870911 elements", "rounded up to 16"}},
    {"layout of an activation", kF32, [](Graph* g) { g->tensors[0].layout = Layout::kPanel; }, {"'image'", "layout"}},
    {"zero scale", kI8, [](Graph* g) { FindTensor(g, "stem").quantization.scale = 0; }, {"'stem'", "scale: found 0"}},
    {"negative scale", kI8, [](Graph* g) { FindTensor(g, "stem").quantization.scale = -1; }, {"'stem'", "scale: found -1"}},
    {"NaN scale", kI8, [](Graph* g) { FindTensor(g, "stem").quantization.scale = kNan; }, {"'stem'", "scale: found nan"}},
    {"infinite scale", kI8, [](Graph* g) { FindTensor(g, "stem").quantization.scale = kInfinity; }, {"'stem'", "scale: found inf"}},
    {"zero point of 256", kI8, [](Graph* g) { FindTensor(g, "stem").quantization.zero_point = 256; }, {"'stem'", "zero point: found 256", "0 to 255"}},
    {"zero point of -1", kI8, [](Graph* g) { FindTensor(g, "stem").quantization.zero_point = -1; }, {"'stem'", "zero point: found -1"}},
    {"scale on floats", kF32, [](Graph* g) { FindTensor(g, "stem").quantization.scale = 1; }, {"'stem'", "quantization of a float32"}},
    {"scale on a constant", kI8, [](Graph* g) { FindTensor(g, "stem.weight").quantization.scale = 1; }, {"'stem.weight'", "quantization of a constant"}},
    {"constant too short", kI8, [](Graph* g) { Tensor& t = FindTensor(g, "stem.weight"); t.data = t.data.first(539); }, {"'stem.weight'", "found 539", "expected 540"}},
    {"constant too long", kI8, [](Graph* g) { FindTensor(g, "stem.weight").shape[3] = 2; }, {"'stem.weight'", "found 540", "expected 360"}},
    {"int16 with a zero point", kI8, [](Graph* g) { AsInt16(g, "stem").quantization.zero_point = 1; }, {"'stem'", "zero point: found 1, expected 0"}},
    {"int16 from uint8", kI8, [](Graph* g) { AsInt16(g, "stem"); }, {"node 'stem'", "output: found int16 in 'stem', expected uint8"}},
    {"layout number", kI8, [](Graph* g) { FindTensor(g, "stem.weight").layout = static_cast<Layout>(4); }, {"'stem.weight'", "layout: found 4"}},
    {"layout of a vector", kI8, [](Graph* g) { FindTensor(g, "stem.bias").layout = Layout::kPanel; }, {"'stem.bias'", "layout", "[20]"}},
    {"unaligned constant", kF32, [](Graph* g) { Tensor& t = FindTensor(g, "stem.bias"); t.shape[0] = 19; t.data = t.data.subspan(2, 76); }, {"'stem.bias'", "address"}},
    {"activation that nothing computes", kF32, [](Graph* g) { g->AddActivation("orphan", DType::kF32, {1, 4}); }, {"'orphan'", "origin"}},

    // Inputs, outputs and order.
    {"no inputs", kF32, [](Graph* g) { g->inputs.clear(); }, {"number of inputs", "at least 1"}},
    {"no outputs", kF32, [](Graph* g) { g->outputs.clear(); }, {"number of outputs", "at least 1"}},
    {"input out of range", kF32, [](Graph* g) { g->inputs[0] = 9999; }, {"graph: input 0", "9999"}},
    {"negative input", kF32, [](Graph* g) { g->inputs[0] = -1; }, {"graph: input 0", "-1"}},
    {"constant as input", kF32, [](Graph* g) { g->inputs.push_back(g->nodes[0].inputs[1]); }, {"graph: input 1", "constant"}},
    {"input twice", kF32, [](Graph* g) { g->inputs.push_back(g->inputs[0]); }, {"graph: input 1", "distinct"}},
    {"output out of range", kF32, [](Graph* g) { g->outputs[0] = 9999; }, {"graph: output 0", "9999"}},
    {"output twice", kF32, [](Graph* g) { g->outputs.push_back(g->outputs[0]); }, {"graph: output 1", "'probabilities'"}},
    {"input as output", kF32, [](Graph* g) { g->outputs.push_back(g->inputs[0]); }, {"graph: output 1", "'image'"}},
    {"node output out of range", kF32, [](Graph* g) { FindNode(g, "stem").output = 9999; }, {"node 'stem' (conv2d)", "output", "9999"}},
    {"node output negative", kF32, [](Graph* g) { FindNode(g, "stem").output = -1; }, {"node 'stem'", "output"}},
    {"node input out of range", kF32, [](Graph* g) { FindNode(g, "stem").inputs[1] = 9999; }, {"node 'stem'", "input 1", "9999"}},
    {"required input missing", kF32, [](Graph* g) { FindNode(g, "stem").inputs[1] = kNoTensor; }, {"node 'stem'", "input 1", "-1"}},
    {"optional input below -1", kF32, [](Graph* g) { FindNode(g, "stem").inputs[2] = -2; }, {"node 'stem'", "input 2", "-2"}},
    {"missing concat input", kF32, [](Graph* g) { FindNode(g, "concat").inputs.push_back(kNoTensor); }, {"node 'concat'", "input 2"}},
    {"one concat input", kF32, [](Graph* g) { FindNode(g, "concat").inputs.resize(1); }, {"node 'concat'", "at least 2"}},
    {"too many inputs", kF32, [](Graph* g) { FindNode(g, "relu").inputs.resize(2); }, {"node 'relu'", "number of inputs: found 2, expected 1"}},
    {"too few inputs", kF32, [](Graph* g) { FindNode(g, "stem").inputs.resize(1); }, {"node 'stem'", "number of inputs: found 1, expected 2 to 6"}},
    {"wrong order", kF32, [](Graph* g) { std::swap(g->nodes[0], g->nodes[1]); }, {"node 'depthwise'", "input 0", "computed before"}},
    {"computed twice", kF32, [](Graph* g) { FindNode(g, "depthwise").output = FindNode(g, "stem").output; }, {"node 'depthwise'", "output: found 'stem'"}},
    {"output into the input", kF32, [](Graph* g) { FindNode(g, "stem").output = g->inputs[0]; }, {"node 'stem'", "output: found 'image'"}},
    {"output into a constant", kF32, [](Graph* g) { FindNode(g, "stem").output = FindNode(g, "stem").inputs[1]; }, {"node 'stem'", "'stem.weight'"}},
    {"constant as activation", kF32, [](Graph* g) { FindNode(g, "relu").inputs[0] = FindNode(g, "stem").inputs[1]; }, {"node 'relu'", "constant 'stem.weight'"}},
    {"constant residual", kF32, [](Graph* g) { FindNode(g, "stem").set_input(kInputResidual, FindNode(g, "stem").inputs[2]); }, {"node 'stem'", "input 3", "constant"}},
    {"activation as weights", kF32, [](Graph* g) { FindNode(g, "block").inputs[1] = FindNode(g, "stem").output; }, {"node 'block'", "input 1", "a constant"}},
    {"activation as bias", kF32, [](Graph* g) { FindNode(g, "block").inputs[2] = FindNode(g, "stem").output; }, {"node 'block'", "input 2", "a constant"}},

    // Operators: attributes and shapes.
    {"operator number", kF32, [](Graph* g) { FindNode(g, "relu").type = static_cast<OpType>(kNumOpTypes); }, {"node 'relu'", StrCat("type: found ", kNumOpTypes)}},
    {"activation number", kF32, [](Graph* g) { FindNode(g, "stem").activation = static_cast<Activation>(3); }, {"node 'stem'", "activation: found 3"}},
    {"activation of a pool", kF32, [](Graph* g) { FindNode(g, "max_pool").activation = Activation::kRelu; }, {"node 'max_pool'", "activation"}},
    {"output shape", kF32, [](Graph* g) { FindTensor(g, "stem").shape[1] = 7; }, {"node 'stem'", "[1,7,5,20]", "expected [1,6,5,20]"}},
    {"kernel not as weights", kF32, [](Graph* g) { FindNode(g, "stem").window.kernel_h = 2; }, {"node 'stem'", "kernel: found 2x3, expected 3x3"}},
    {"zero kernel", kF32, [](Graph* g) { FindNode(g, "max_pool").window.kernel_h = 0; }, {"node 'max_pool'", "kernel_h: found 0"}},
    {"zero stride", kF32, [](Graph* g) { FindNode(g, "stem").window.stride_w = 0; }, {"node 'stem'", "stride_w: found 0"}},
    {"huge stride", kF32, [](Graph* g) { FindNode(g, "stem").window.stride_h = 5000; }, {"node 'stem'", "stride_h: found 5000", "1 to 4096"}},
    {"zero dilation", kF32, [](Graph* g) { FindNode(g, "stem").window.dilation_w = 0; }, {"node 'stem'", "dilation_w: found 0"}},
    {"dilated pool", kF32, [](Graph* g) { FindNode(g, "max_pool").window.dilation_w = 2; }, {"node 'max_pool'", "dilation_w: found 2, expected 1 to 1"}},
    {"negative padding", kF32, [](Graph* g) { FindNode(g, "stem").window.pad_left = -1; }, {"node 'stem'", "pad_left: found -1"}},
    {"padding as large as the kernel", kF32, [](Graph* g) { FindNode(g, "stem").window.pad_bottom = 3; }, {"node 'stem'", "pad_bottom: found 3, expected 0 to 2"}},
    {"pool padding", kF32, [](Graph* g) { FindNode(g, "max_pool").window.pad_top = 3; }, {"node 'max_pool'", "pad_top: found 3"}},
    {"window does not fit", kF32, [](Graph* g) { FindNode(g, "average_pool").window.kernel_w = 9; }, {"node 'average_pool'", "2x9", "fits"}},
    {"groups", kF32, [](Graph* g) { FindNode(g, "grouped").groups = 3; }, {"node 'grouped'", "groups: found 3", "divisor of 20"}},
    {"huge once padded", kF32, [](Graph* g) {
       g->tensors[0].shape = {1, 8191, 4096, 3};
       FindTensor(g, "stem").shape = {1, 4096, 2049, 20};
     }, {"node 'stem'", "padding", "at most 536870911 elements when padded"}},
    {"zero groups", kF32, [](Graph* g) { FindNode(g, "stem").groups = 0; }, {"node 'stem'", "groups: found 0"}},
    {"channels", kF32, [](Graph* g) { FindNode(g, "grouped").groups = 1; }, {"node 'grouped'", "input channels: found 20", "1 group(s) of 10"}},
    {"groups of a dense layer", kF32, [](Graph* g) { FindNode(g, "fc").groups = 2; }, {"node 'fc'", "groups: found 2"}},
    {"features", kF32, [](Graph* g) { g->tensor(FindNode(g, "fc").inputs[1]).shape = {8, 25}; }, {"node 'fc'", "input features: found 40", "25"}},
    {"dense on an image", kF32, [](Graph* g) { FindNode(g, "fc").inputs[0] = FindNode(g, "stem").output; }, {"node 'fc'", "input", "rank 2"}},
    {"convolution on a vector", kF32, [](Graph* g) { FindNode(g, "fc").type = OpType::kConv2d; }, {"node 'fc'", "input", "rank 4"}},
    {"pool on a vector", kF32, [](Graph* g) { FindNode(g, "softmax").type = OpType::kGlobalAveragePool; }, {"node 'softmax'", "rank 4"}},
    {"different shapes", kF32, [](Graph* g) { FindNode(g, "add").inputs[1] = g->inputs[0]; }, {"node 'add'", "second input", "[1,11,9,3]"}},
    {"scale length", kF32, [](Graph* g) { SetConstant(g, "bn.scale", DType::kF32, std::vector<float>(19, 1.0f)); }, {"node 'bn'", "scale", "[19]"}},
    {"NaN shift", kF32, [](Graph* g) { SetConstant(g, "bn.shift", DType::kF32, std::vector<float>(20, kNan)); }, {"node 'bn'", "shift: found nan"}},
    {"padding of the batch", kF32, [](Graph* g) { FindNode(g, "pad").begin[0] = 1; }, {"node 'pad'", "begin[0]: found 1"}},
    {"negative pad", kF32, [](Graph* g) { FindNode(g, "pad").end[1] = -1; }, {"node 'pad'", "end[1]: found -1"}},
    {"pad value", kF32, [](Graph* g) { FindNode(g, "pad").pad_value = kNan; }, {"node 'pad'", "pad_value"}},
    {"slice begin", kF32, [](Graph* g) { FindNode(g, "slice").begin[1] = -1; }, {"node 'slice'", "dimension 1: found -1:6:2"}},
    {"slice end", kF32, [](Graph* g) { FindNode(g, "slice").end[1] = 7; }, {"node 'slice'", "dimension 1: found 0:7:2", "0:6"}},
    {"empty slice", kF32, [](Graph* g) { FindNode(g, "slice").begin[2] = 4; }, {"node 'slice'", "dimension 2: found 4:4:2"}},
    {"slice step", kF32, [](Graph* g) { FindNode(g, "slice").step[1] = 0; }, {"node 'slice'", "dimension 1: found 0:6:0"}},
    {"slice of the batch", kF32, [](Graph* g) { FindNode(g, "slice").end[0] = 0; }, {"node 'slice'", "dimension 0"}},
    {"concat axis", kF32, [](Graph* g) { FindNode(g, "concat").axis = 4; }, {"node 'concat'", "axis: found 4"}},
    {"concat over batches", kF32, [](Graph* g) { FindNode(g, "concat").axis = 0; }, {"node 'concat'", "axis: found 0"}},
    {"concat shapes", kF32, [](Graph* g) { FindNode(g, "concat").inputs[1] = FindNode(g, "stem").output; }, {"node 'concat'", "input 1", "[1,6,5,20]", "apart from dimension 3"}},
    {"limits out of order", kF32, [](Graph* g) { FindNode(g, "clip").clip_low = 2.5f; }, {"node 'clip'", "limits: found 2.5 to 2"}},
    {"NaN limit", kI8, [](Graph* g) { FindNode(g, "clip").clip_high = kNan; }, {"node 'clip'", "limits: found 0.125 to nan"}},
    {"lowest limit", kF32, [](Graph* g) { FindNode(g, "clip").clip_low = FindNode(g, "clip").clip_high = kInfinity; }, {"node 'clip'", "limits: found inf to inf"}},
    {"highest limit", kF32, [](Graph* g) { FindNode(g, "clip").clip_low = FindNode(g, "clip").clip_high = -kInfinity; }, {"node 'clip'", "limits: found -inf to -inf"}},
    {"reshape", kF32, [](Graph* g) { FindTensor(g, "flatten").shape = {1, 41}; }, {"node 'flatten'", "[1,41]", "[1,1,1,40]"}},

    // Data types.
    {"float16 activations", kF16, [](Graph* g) { FindTensor(g, "stem").dtype = DType::kF16; }, {"'stem'", "float16"}},
    {"bfloat16 input", kB16, [](Graph* g) { g->tensor(g->inputs[0]).dtype = DType::kBF16; }, {"input 0", "found bfloat16 in 'image'"}},
    {"bfloat16 output", kB16, [](Graph* g) { FindTensor(g, "more probabilities").dtype = DType::kBF16; }, {"output 1", "found bfloat16 in 'more probabilities'"}},
    {"scale on bfloat16", kB16, [](Graph* g) { FindTensor(g, "stem").quantization.scale = 1; }, {"'stem'", "quantization of a bfloat16"}},
    {"float weights under bfloat16", kB16, [](Graph* g) {
       const Graph f = SampleGraph(Precision::kFp32);
       g->tensor(FindNode(g, "stem").inputs[1]) = f.tensor(f.nodes[0].inputs[1]);
     }, {"node 'stem'", "weights: found float32", "expected bfloat16"}},
    {"bfloat16 weights under floats", kF32, [](Graph* g) {
       const Graph b = SampleGraph(Precision::kBf16);
       g->tensor(FindNode(g, "stem").inputs[1]) = b.tensor(b.nodes[1].inputs[1]);
     }, {"node 'stem'", "weights: found bfloat16, expected float32, float16 or int8 for float32"}},
    {"float output of a bfloat16 sum", kB16, [](Graph* g) { FindTensor(g, "add").dtype = DType::kF32; }, {"node 'add'", "output: found float32 in 'add', expected bfloat16"}},
    {"residual of bfloat16 to float", kB16, [](Graph* g) { FindTensor(g, "block").dtype = DType::kF32; }, {"node 'block'", "residual: found bfloat16 in 'stem', expected float32"}},
    {"quantize of bfloat16", kB16, [](Graph* g) { FindNode(g, "quantize").inputs[0] = FindNode(g, "flatten").output; FindTensor(g, "rounded").shape = {1, 40}; }, {"node 'quantize'", "input: found bfloat16 in 'flatten', expected float32"}},
    {"dequantize of floats", kB16, [](Graph* g) { FindNode(g, "dequantize").inputs[0] = FindNode(g, "fc").output; }, {"node 'dequantize'", "input: found float32 in 'logits', expected bfloat16, uint8 or int16"}},
    {"bfloat16 of a float softmax", kB16, [](Graph* g) { FindTensor(g, "log_softmax").dtype = DType::kBF16; }, {"node 'log_softmax'", "output: found bfloat16"}},
    {"int32 weights", kF32, [](Graph* g) { FindTensor(g, "stem.weight").dtype = DType::kI32; }, {"node 'stem'", "weights: found int32"}},
    {"float weights under uint8", kI8, [](Graph* g) {
       const Graph f = SampleGraph(Precision::kFp32);
       g->tensor(FindNode(g, "stem").inputs[1]) = f.tensor(f.nodes[0].inputs[1]);
     }, {"node 'stem'", "weights: found float32, expected int8 for uint8"}},
    {"uint8 output of float input", kHyb, [](Graph* g) { Tensor& t = FindTensor(g, "stem"); t.dtype = DType::kU8; t.quantization = {1, 0}; }, {"node 'stem'", "output: found uint8"}},
    {"missing scales", kHyb, [](Graph* g) { FindNode(g, "stem").inputs.resize(4); }, {"node 'stem'", "scales: found none"}},
    {"missing scales of int8", kI8, [](Graph* g) { FindNode(g, "stem").inputs[4] = kNoTensor; }, {"node 'stem'", "scales: found none"}},
    {"scales of float weights", kF32, [](Graph* g) { FindNode(g, "stem").set_input(4, FindNode(g, "stem").inputs[2]); }, {"node 'stem'", "scales", "none for floating-point"}},
    {"number of scales", kHyb, [](Graph* g) { SetConstant(g, "stem.scales", DType::kF32, std::vector<float>(21, 1.0f)); }, {"node 'stem'", "scales: found shape [21], expected [20]"}},
    {"a zero scale", kHyb, [](Graph* g) { SetConstant(g, "stem.scales", DType::kF32, std::vector<float>(20, 0.0f)); }, {"node 'stem'", "scales: found 0"}},
    {"an infinite scale", kI8, [](Graph* g) { SetConstant(g, "stem.scales", DType::kF32, std::vector<float>(20, kInfinity)); }, {"node 'stem'", "scales: found inf"}},
    {"integer scales", kI8, [](Graph* g) { FindTensor(g, "stem.scales").dtype = DType::kI32; }, {"node 'stem'", "scales: found int32"}},
    {"multiplier overflow", kI8, [](Graph* g) { SetConstant(g, "stem.scales", DType::kF32, std::vector<float>(20, 3e38f)); FindTensor(g, "stem").quantization.scale = 1e-6f; }, {"node 'stem'", "a finite multiplier"}},
    {"residual multiplier overflow", kI8, [](Graph* g) { FindTensor(g, "stem").quantization.scale = 1e20f; FindTensor(g, "block").quantization.scale = 1e-20f; }, {"node 'block'", "finite"}},
    {"bias length", kF32, [](Graph* g) { SetConstant(g, "stem.bias", DType::kF32, std::vector<float>(19, 0.0f)); }, {"node 'stem'", "bias: found shape [19], expected [20]"}},
    {"infinite bias", kF32, [](Graph* g) { SetConstant(g, "stem.bias", DType::kF32, std::vector<float>(20, kInfinity)); }, {"node 'stem'", "bias: found inf"}},
    {"float bias of int8", kI8, [](Graph* g) { FindTensor(g, "stem.bias").dtype = DType::kF32; }, {"node 'stem'", "bias: found float32", "int32"}},
    {"float bias of a float output", kI8, [](Graph* g) { FindTensor(g, "fc.bias").dtype = DType::kF32; }, {"node 'fc'", "bias: found float32", "int32"}},
    {"int32 bias of hybrid", kHyb, [](Graph* g) { FindTensor(g, "stem.bias").dtype = DType::kI32; }, {"node 'stem'", "bias: found int32", "float32"}},
    {"bias near overflow", kI8, [](Graph* g) { SetConstant(g, "stem.bias", DType::kI32, std::vector<int32_t>(20, std::numeric_limits<int32_t>::min())); }, {"node 'stem'", "bias: found -2147483648", "overflow"}},
    {"residual type", kI8, [](Graph* g) { Tensor& t = FindTensor(g, "block"); t.dtype = DType::kF32; t.quantization = {}; }, {"node 'block'", "residual: found uint8"}},
    {"residual shape", kF32, [](Graph* g) { FindNode(g, "block").inputs[3] = g->inputs[0]; }, {"node 'block'", "residual", "[1,11,9,3]"}},
    {"layout of depthwise", kF32, [](Graph* g) {
       PackGraph(g);
       Tensor& t = FindTensor(g, "depthwise.weight");
       t.layout = Layout::kPanel;
     }, {"node 'depthwise'", "layout of weights: found 1, expected 0 or 3"}},
    {"moved with another scale", kI8, [](Graph* g) { FindTensor(g, "max_pool").quantization.scale *= 2; }, {"node 'max_pool'", "output quantization"}},
    {"moved with another zero point", kI8, [](Graph* g) { FindTensor(g, "relu").quantization.zero_point += 1; }, {"node 'relu'", "output quantization"}},
    {"concat of another scale", kI8, [](Graph* g) { FindTensor(g, "slice").quantization.scale *= 2; }, {"node 'slice'", "output quantization"}},
    {"mul of uint8 to float", kI8, [](Graph* g) { Tensor& t = FindTensor(g, "mul"); t.dtype = DType::kF32; t.quantization = {}; }, {"node 'mul'", "output: found float32 in 'mul', expected uint8"}},
    {"TFLite kernel", kI8, [](Graph* g) { FindNode(g, "stem").tflite_kernel = static_cast<TfliteKernel>(4); }, {"node 'stem'", "TFLite kernel: found 4"}},
    {"fully connected over a window", kI8, [](Graph* g) { FindNode(g, "stem").tflite_kernel = TfliteKernel::kFullyConnected; }, {"node 'stem'", "TFLite kernel: found 1"}},
    {"mean of an average pool", kI8, [](Graph* g) { FindNode(g, "average_pool").tflite_kernel = TfliteKernel::kMean; }, {"node 'average_pool'", "TFLite kernel: found 2"}},
    {"uint8 average of a convolution", kI8, [](Graph* g) { FindNode(g, "stem").tflite_kernel = TfliteKernel::kUint8Average; }, {"node 'stem'", "TFLite kernel: found 3"}},
    {"softmax of uint8", kI8, [](Graph* g) { FindNode(g, "quantize").type = OpType::kSoftmax; }, {"node 'quantize' (softmax)", "output: found uint8"}},
    {"clip of another scale", kI8, [](Graph* g) { FindTensor(g, "clip").quantization.scale *= 2; }, {"node 'clip'", "output quantization"}},
    {"log_softmax of uint8", kI8, [](Graph* g) { FindNode(g, "quantize").type = OpType::kLogSoftmax; }, {"node 'quantize' (log_softmax)", "output: found uint8"}},
    {"sigmoid of uint8", kI8, [](Graph* g) { FindNode(g, "relu").type = OpType::kSigmoid; }, {"node 'relu' (sigmoid)", "input: found uint8"}},
    {"tanh to uint8", kI8, [](Graph* g) { FindNode(g, "quantize").type = OpType::kTanh; }, {"node 'quantize' (tanh)", "output: found uint8"}},
    {"quantize to float", kI8, [](Graph* g) { FindNode(g, "dequantize").type = OpType::kQuantize; }, {"node 'dequantize' (quantize)", "output: found float32"}},
    {"dequantize to uint8", kI8, [](Graph* g) { FindNode(g, "quantize").type = OpType::kDequantize; }, {"node 'quantize' (dequantize)", "input: found float32"}},

    // Metadata.
    {"precision", kF32, [](Graph* g) { g->metadata.precision = static_cast<Precision>(6); }, {"metadata: precision: found 6", "0 to 5"}},
    {"resize rule", kF32, [](Graph* g) { g->metadata.preprocessing.resize = static_cast<ResizeRule>(5); }, {"metadata: resize rule: found 5"}},
    {"filter", kF32, [](Graph* g) { g->metadata.preprocessing.resampling.filter = static_cast<ResizeFilter>(8); }, {"metadata: resize filter: found 8"}},
    {"filter of another framework", kF32, [](Graph* g) { g->metadata.preprocessing.resampling.filter = ResizeFilter::kArea; }, {"metadata: resampling: found filter area is none of Pillow's"}},
    {"coordinates", kF32, [](Graph* g) { g->metadata.preprocessing.resampling.coordinates = static_cast<Coordinates>(3); }, {"metadata: coordinates: found 3"}},
    {"DCT", kF32, [](Graph* g) { g->metadata.preprocessing.decoding.dct = static_cast<Dct>(2); }, {"metadata: DCT: found 2"}},
    {"order", kF32, [](Graph* g) { g->metadata.preprocessing.order = static_cast<ChannelOrder>(2); }, {"metadata: channel order: found 2"}},
    {"resize_shorter", kF32, [](Graph* g) { g->metadata.preprocessing.resize_shorter = 10; }, {"metadata: resize_shorter: found 10", "[1,11,9,3]"}},
    {"negative resize_shorter", kF32, [](Graph* g) { g->metadata.preprocessing.resize_shorter = -1; }, {"metadata: resize_shorter: found -1"}},
    {"preprocessing scale", kF32, [](Graph* g) { g->metadata.preprocessing.scale = kNan; }, {"metadata: preprocessing scale"}},
    {"mean", kF32, [](Graph* g) { g->metadata.preprocessing.mean[3] = kInfinity; }, {"metadata: preprocessing mean"}},
    {"zero stddev", kF32, [](Graph* g) { g->metadata.preprocessing.stddev[1] = 0; }, {"metadata: preprocessing stddev: found 0"}},
    {"pixels of a float input", kF32, [](Graph* g) { testing::SetPixelCodes(g); g->tensor(g->inputs[0]).dtype = DType::kF32; g->tensor(g->inputs[0]).quantization = {}; }, {"codes that are pixels: data type of the input: found float32"}},
    {"pixels of another scale", kI8, [](Graph* g) { testing::SetPixelCodes(g); g->tensor(g->inputs[0]).quantization.scale = 0.5f; }, {"codes that are pixels: scale and zero point of the input: found 0.5 and 0, expected 1 and 0"}},
    {"pixels of another zero point", kI8, [](Graph* g) { testing::SetPixelCodes(g); g->tensor(g->inputs[0]).quantization.zero_point = 1; }, {"scale and zero point of the input: found 1 and 1"}},
    {"pixels that fall", kI8, [](Graph* g) { testing::SetPixelCodes(g); g->metadata.preprocessing.stddev[1] = -1.0f; }, {"codes that are pixels: preprocessing scale / stddev: found -0.5"}},
    {"pixels of no scale", kI8, [](Graph* g) { testing::SetPixelCodes(g); g->metadata.preprocessing.scale = 0.0f; }, {"codes that are pixels: preprocessing scale / stddev: found 0"}},
    {"pixels of an infinite zero point", kI8, [](Graph* g) { testing::SetPixelCodes(g); g->metadata.preprocessing.mean[2] = 1e38f; g->metadata.preprocessing.scale = 1e-5f; }, {"codes that are pixels: preprocessing mean / scale: found inf"}},
    {"pixels without preprocessing", kI8, [](Graph* g) { testing::SetPixelCodes(g); g->metadata.preprocessing = {}; }, {"codes that are pixels: preprocessing: found none"}},
    {"labels", kF32, [](Graph* g) { g->metadata.labels.pop_back(); }, {"metadata: number of labels: found 4, expected 5"}},
};
// clang-format on

class SpoiltGraphTest : public ::testing::TestWithParam<Spoilt> {};

TEST_P(SpoiltGraphTest, IsRefusedWithPlaceFoundAndExpected) {
  Graph g = SampleGraph(GetParam().precision);
  GetParam().spoil(&g);
  const Status status = ValidateGraph(g);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  for (const std::string& part : GetParam().message) EXPECT_THAT(status.message(), HasSubstr(part));
  EXPECT_THAT(status.message(), HasSubstr("found"));
  EXPECT_THAT(status.message(), HasSubstr("expected"));
  EXPECT_EQ(status.message().find('\n'), std::string::npos);
}

std::string TestName(const ::testing::TestParamInfo<Spoilt>& spoilt) {
  std::string name = spoilt.param.name;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(All, SpoiltGraphTest, ::testing::ValuesIn(kSpoilt), TestName);

// Every operator that computes with a factor from integers to a result: the factor may be 2^95 and
// no more, as no product or sum is infinite then.
TEST(GraphTest, FactorsOfEveryOperatorAreLimited) {
  using Type = OpType;
  // One line a case reads as a table.
  // clang-format off
  enum Case {
    kRequantize, kDequantize, kAverage, kGlobalU8, kGlobalF32, kFirstOperand, kSecondOperand, kProduct, kScale,
    kShift, kUnit, kUnitTimesInput, kConvU8, kConvF32, kResidual, kNumCases
  };
  constexpr float kHalf = 0x1p48f;  // 2^48 over 2^-47 is 2^95.
  for (int i = 0; i < kNumCases; ++i) {
    const auto c = static_cast<Case>(i);
    for (const float out_scale : {0x1p-47f, 0x1p-48f}) {
      SampleGraphBuilder b(Precision::kInt8);
      Graph& g = b.graph();
      const bool scaled_here = c == kScale || c == kShift || c == kUnit;
      const bool operand_two = c == kSecondOperand || c == kProduct || c == kResidual;
      const bool to_float = c == kDequantize || c == kGlobalF32 || c == kConvF32;
      // With a float output there is no other scale: 2^95 is the input's, or its product's.
      const float limit = to_float ? (out_scale == 0x1p-47f ? 0x1p95f : 0x1p96f) : kHalf;
      const float conv_scale = c == kConvU8 || c == kConvF32 ? limit : out_scale;
      const bool weights_decide = c == kConvU8 || c == kConvF32 || scaled_here;
      const TensorId x =
          b.Activation("x", {1, 2, 2, 4}, 3, weights_decide || operand_two ? 1.0f : limit);
      g.inputs = {x};
      TensorId second = x;
      if (operand_two) {
        second = b.Activation("second", {1, 2, 2, 4}, 3, kHalf);
        g.inputs.push_back(second);
      }
      const TensorId y = to_float ? g.AddActivation("y", DType::kF32, {1, 2, 2, 4})
                                  : b.Activation("y", {1, 2, 2, 4}, 3, out_scale);
      const auto vector = [&](float v) {
        return b.Constant("v" + std::to_string(g.tensors.size()), DType::kF32,
                          std::vector<float>(4, v));
      };
      const auto unit = [&](float v) {
        return b.Constant("unit", DType::kF32, std::vector<float>(1, v));
      };
      const auto conv = [&](TensorId residual) {
        const std::vector<int8_t> w(16, 1);
        const TensorId weights = g.AddConstant("w", DType::kI8, {4, 1, 1, 4}, w.data(), 16);
        g.AddNode(Type::kConv2d, "n", {x, weights, kNoTensor, residual, vector(conv_scale)}, y);
      };
      switch (c) {
        case kRequantize: g.AddNode(Type::kQuantize, "n", {x}, y); break;
        case kDequantize: g.AddNode(Type::kDequantize, "n", {x}, y); break;
        case kAverage: g.AddNode(Type::kAveragePool, "n", {x}, y); break;
        case kGlobalU8:
        case kGlobalF32:
          g.AddNode(Type::kGlobalAveragePool, "n", {x}, y);
          g.tensor(y).shape = {1, 1, 1, 4};
          break;
        case kFirstOperand: g.AddNode(Type::kAdd, "n", {x, x}, y); break;
        case kSecondOperand: g.AddNode(Type::kAdd, "n", {x, second}, y); break;
        case kProduct: g.AddNode(Type::kMul, "n", {x, second}, y); break;
        case kScale: g.AddNode(Type::kScaleShift, "n", {x, vector(-kHalf), vector(0)}, y); break;
        case kShift: g.AddNode(Type::kScaleShift, "n", {x, vector(0), vector(-kHalf)}, y); break;
        case kUnit:
          g.AddNode(Type::kScaleShift, "n", {x, vector(0), vector(0), unit(kHalf)}, y);
          break;
        case kUnitTimesInput:
          g.AddNode(Type::kScaleShift, "n", {x, vector(0), vector(0), unit(1)}, y);
          break;
        case kConvU8:
        case kConvF32: conv(kNoTensor); break;
        case kResidual: conv(second); break;
        case kNumCases: break;
      }
      // clang-format on
      g.outputs = {y};
      const Status status = ValidateGraph(g);
      SCOPED_TRACE(i);
      if (out_scale == 0x1p-47f) {
        EXPECT_TRUE(status.ok()) << status.message();
      } else {
        EXPECT_EQ(StatusCode::kInvalidArgument, status.code());
        EXPECT_THAT(status.message(), HasSubstr("at most 2^95"));
      }
    }
  }
}

// 1 / scale is what floats are multiplied by to be quantized.
TEST(GraphTest, ScalesHaveFiniteReciprocals) {
  for (const float scale : {0x1p-127f, 0x1p-128f}) {
    Graph g;
    const TensorId x = g.AddActivation("x", DType::kF32, {1, 4});
    const TensorId y = g.AddActivation("y", DType::kU8, {1, 4});
    g.tensor(y).quantization = {scale, 0};
    g.AddNode(OpType::kQuantize, "n", {x}, y);
    g.inputs = {x};
    g.outputs = {y};
    const Status status = ValidateGraph(g);
    EXPECT_EQ(scale == 0x1p-127f, status.ok()) << status.message();
    if (!status.ok()) {
      EXPECT_THAT(status.message(), HasSubstr("whose reciprocal is finite"));
    }
  }
}

// A few constants that thousands of nodes share would make planning take far more than the file.
TEST(GraphTest, ConstantsAreReadAFewTimesOnly) {
  constexpr int64_t kChannels = 1 << 14;  // Scale and shift: 2^17 bytes.
  for (const int nodes : {16 + 8, 16 + 8 + 1}) {
    Graph g;
    const std::vector<float> values(kChannels, 1.0f);
    TensorId x = g.AddActivation("x", DType::kF32, {1, kChannels});
    g.inputs = {x};
    const TensorId scale =
        g.AddConstant("scale", DType::kF32, {kChannels}, values.data(), kChannels * 4);
    const TensorId shift =
        g.AddConstant("shift", DType::kF32, {kChannels}, values.data(), kChannels * 4);
    for (int i = 0; i < nodes; ++i) {
      const TensorId y = g.AddActivation("y" + std::to_string(i), DType::kF32, {1, kChannels});
      g.AddNode(OpType::kScaleShift, "n" + std::to_string(i), {x, scale, shift}, y);
      x = y;
    }
    g.outputs = {x};
    const Status status = ValidateGraph(g);
    if (nodes == 16 + 8) {
      EXPECT_TRUE(status.ok()) << status.message();
    } else {
      EXPECT_THAT(status.message(),
                  HasSubstr("node 'n24' (scale_shift): bytes of constants read so far: found"));
    }
  }
}

TEST(GraphTest, Int8ReductionIsLimitedSoThatSumsFit) {
  for (const int64_t features : {kMaxInt8Reduction, kMaxInt8Reduction + 1}) {
    SampleGraphBuilder b(Precision::kInt8);
    const TensorId x = b.Activation("x", {1, features});
    b.graph().inputs = {x};
    b.graph().outputs = {b.Conv(OpType::kDense, "fc", x, {2, features}, kNoTensor,
                                b.graph().AddActivation("y", DType::kF32, {1, 2}), [](Node*) {})};
    const Status status = ValidateGraph(b.graph());
    EXPECT_EQ(status.ok(), features == kMaxInt8Reduction) << status.message();
  }
  // Sum, bias and zero-point correction in any order.
  EXPECT_LE(2 * kMaxInt8Reduction * 255 * 128, std::numeric_limits<int32_t>::max());
}

TEST(GraphTest, PaddingCodesBelongToOneReaderOfAnImage) {
  const auto message = [](int64_t channels, Precision precision, size_t codes, bool shared,
                          DType type = DType::kU8) {
    SampleGraphBuilder b(precision);
    Graph& g = b.graph();
    const TensorId x = b.Input({1, 8, 8, channels});
    const TensorId y = b.Conv(OpType::kConv2d, "conv", x, {2, 3, 3, channels}, kNoTensor,
                              b.Activation("y", {1, 6, 6, 2}), [](Node*) {});
    const std::vector<float> zeros(codes, 0.0f);
    g.nodes[0].set_input(kInputPadding, g.AddConstant("codes", type, {static_cast<int64_t>(codes)},
                                                      zeros.data(), codes * DTypeSize(type)));
    if (shared) b.Move(OpType::kRelu, "relu", {x}, [](Node*) {});
    g.outputs = {shared ? g.nodes.back().output : y};
    if (shared) g.outputs.push_back(y);
    return std::string(ValidateGraph(g).message());
  };
  EXPECT_EQ(message(3, Precision::kInt8, 3, false), "");
  EXPECT_THAT(message(3, Precision::kInt8, 2, false), HasSubstr("padding codes"));
  EXPECT_THAT(message(3, Precision::kInt8, 3, false, DType::kF32), HasSubstr("padding codes"));
  EXPECT_THAT(message(3, Precision::kHybrid, 3, false), HasSubstr("input with padding codes"));
  EXPECT_THAT(message(5, Precision::kInt8, 5, false), HasSubstr("found 5, expected at most 4"));
  EXPECT_THAT(message(3, Precision::kInt8, 3, true), HasSubstr("found 2, expected 1"));
}

TEST(GraphTest, MessagesAreOneLineWhateverTheNames) {
  Graph g = SampleGraph(Precision::kFp32);
  g.nodes[0].name = "a\nb" + std::string(1000, 'x');
  g.nodes[0].window.stride_h = 0;
  const std::string message = ValidateGraph(g).message();
  EXPECT_THAT(message, HasSubstr("node 'a?bxxx"));
  EXPECT_LT(message.size(), 400u);
}

TEST(GraphTest, InferShapeChecksWhatItReads) {
  Graph g;
  Node& node = g.AddNode(OpType::kConv2d, "conv", {0, 1}, 2);
  EXPECT_THAT(InferShape(g, node).status().message(), HasSubstr("input 0"));
  node.inputs.clear();
  EXPECT_THAT(InferShape(g, node).status().message(), HasSubstr("number of inputs"));
  g.AddActivation("x", DType::kF32, {1, 4});
  Node& reshape = g.AddNode(OpType::kReshape, "reshape", {0}, 7);
  EXPECT_THAT(InferShape(g, reshape).status().message(), HasSubstr("output: found tensor 7"));
  Node& concat = g.AddNode(OpType::kConcat, "concat", {}, 0);
  EXPECT_THAT(InferShape(g, concat).status().message(), HasSubstr("at least 2"));
  EXPECT_FALSE(InferShapes(&g).ok());
}

TEST(GraphTest, RequantizesFromUint8) {
  SampleGraphBuilder b(Precision::kInt8);
  const TensorId x = b.Input({1, 4, 4, 3});
  b.graph().outputs = {
      b.Add(OpType::kQuantize, "requantize", {x}, b.Activation("y", {1, 4, 4, 3}, 1, 0.5f))};
  EXPECT_TRUE(ValidateGraph(b.graph()).ok()) << ValidateGraph(b.graph()).message();
}

TEST(GraphTest, SoftmaxOfInt16IsTflites) {
  Graph g;
  g.metadata.precision = Precision::kInt16x8;
  g.metadata.rounding = Rounding::kTflite;
  const TensorId x = g.AddActivation("x", DType::kI16, {1, 5}, {0.001f, 0}),
                 y = g.AddActivation("y", DType::kI16, {1, 5}, {0x1p-15f, 0});
  g.inputs = {x};
  g.outputs = {y};
  g.AddNode(OpType::kSoftmax, "softmax", {x}, y);
  EXPECT_TRUE(ValidateGraph(g).ok()) << ValidateGraph(g).message();
  g.tensor(y).quantization.scale = 0x1p-14f;
  EXPECT_THAT(ValidateGraph(g).message(), ::testing::HasSubstr("scale of a softmax of int16"));
  g.tensor(y).quantization.scale = 0x1p-15f;
  g.metadata.rounding = Rounding::kNearestEven;
  EXPECT_THAT(ValidateGraph(g).message(), ::testing::HasSubstr("without TFLite's rounding"));
}

}  // namespace
}  // namespace octet
