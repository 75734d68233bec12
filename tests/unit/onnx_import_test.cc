// The ONNX importer against operators evaluated in ONNX's own order, and everything that it must
// refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "converter/import/builder/unary.h"
#include "converter/import/importer.h"
#include "converter/import/onnx/reader.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "formats/data/npy.h"
#include "formats/model/preprocessing.h"
#include "tests/data_dir.h"
#include "tests/unit/naive_interpreter.h"
#include "tests/unit/onnx_builder.h"
#include "tests/unit/onnx_reference.h"

namespace octet {
namespace {

using testing::ByteTensor;
using testing::Dims;
using testing::FloatTensor;
using ::testing::HasSubstr;
using testing::IntTensor;
using ::testing::Not;
using testing::OnnxAttr;
using testing::OnnxBuilder;
using testing::OnnxStorage;
using testing::OnnxTensorSpec;
using testing::RefTensor;
using testing::TestNumbers;

int64_t One() { return 1; }

/// The graph's first output; the input is rounded to float32, as the engine gets it.
std::vector<double> Evaluate(const Graph& graph, const std::vector<double>& input) {
  const std::vector<float> floats(input.begin(), input.end());
  return testing::NaiveInterpreter(graph).RunOutput(
      {testing::Values(floats.begin(), floats.end())});
}

/// NCHW values in NHWC order; anything else as it is.
std::vector<double> ToNhwc(const RefTensor& t) {
  if (t.dims.size() != 4) return t.values;
  const int64_t channels = t.dims[1], pixels = t.dims[2] * t.dims[3];
  std::vector<double> out(t.values.size());
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t p = 0; p < pixels; ++p) {
      out[static_cast<size_t>(p * channels + c)] = t.values[static_cast<size_t>(c * pixels + p)];
    }
  }
  return out;
}

/// Imports the model, runs both on the same random input, and compares. `nhwc` says which ONNX
/// values are NHWC.
struct Orders {
  bool nhwc_input = false, nhwc_output = false;
};
Graph ExpectSame(const OnnxBuilder& builder, const Dims& input_dims, Orders orders = {},
                 double scale = 1.0) {
  const std::string bytes = builder.Build();
  const auto model = ParseOnnx(bytes, "test");
  EXPECT_TRUE(model.ok()) << model.status().message();
  const auto graph = ImportOnnxBytes(bytes, "test");
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  if (!model.ok() || !graph.ok()) return Graph();
  TestNumbers numbers(11);
  RefTensor input{input_dims, {}};
  for (float v : numbers.Floats(testing::RefCount(input_dims))) input.values.push_back(v * scale);
  const RefTensor expected = testing::OnnxReference(*model).Run(input);
  // The graph says it too; with one channel or one pixel both orders are the same.
  const auto differ = [](const Dims& d) { return d.size() == 4 && d[1] > 1 && d[2] * d[3] > 1; };
  if (differ(input_dims)) {
    EXPECT_EQ(graph->inputs_channels_first.size() == 1 && graph->inputs_channels_first[0],
              !orders.nhwc_input);
  }
  if (differ(expected.dims)) {
    EXPECT_EQ(graph->outputs_channels_first, std::vector<bool>{!orders.nhwc_output});
  }
  const std::vector<double> in = orders.nhwc_input ? input.values : ToNhwc(input);
  const std::vector<double> found = Evaluate(*graph, in);
  const std::vector<double> want = orders.nhwc_output ? expected.values : ToNhwc(expected);
  EXPECT_EQ(found.size(), want.size());
  double worst = 0;
  for (size_t i = 0; i < std::min(found.size(), want.size()); ++i)
    worst = std::max(worst, std::fabs(found[i] - want[i]));
  EXPECT_LT(worst, 1e-4);
  // A comparison of zeros would prove nothing.
  double largest = 0;
  for (double v : want) largest = std::max(largest, std::fabs(v));
  EXPECT_GT(largest, 1e-3);
  // What nothing reads, such as the Softmax in front of a Log, the passes take away.
  Graph used = *graph;
  EXPECT_TRUE(RemoveUnused(&used).ok());
  return used;
}

int CountNodes(const Graph& graph, OpType type) {
  return static_cast<int>(std::count_if(graph.nodes.begin(), graph.nodes.end(),
                                        [&](const Node& n) { return n.type == type; }));
}

Status ImportError(const OnnxBuilder& builder) {
  const auto graph = ImportOnnxBytes(builder.Build(), "test");
  EXPECT_FALSE(graph.ok());
  return graph.ok() ? OkStatus() : graph.status();
}

/// A model of one operator on "x" with result "y".
OnnxBuilder Single(int64_t opset, const Dims& x, const std::string& op,
                   const std::vector<std::string>& inputs,
                   const std::vector<OnnxAttr>& attributes = {}) {
  OnnxBuilder b(opset);
  b.Input("x", x).Output("y").Node(op, inputs, {"y"}, attributes, "the_node");
  return b;
}

// ---------------------------------------------------------------------------------------------------------------------
// Convolution

TEST(OnnxConv, RandomWindows) {
  TestNumbers random(1);
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE(round);
    const int64_t groups = Dims{1, 1, 2, 4}[static_cast<size_t>(random.Below(4))];
    const int64_t in = groups * (1 + random.Below(3)), out = groups * (1 + random.Below(3));
    const int64_t kh = 1 + random.Below(4), kw = 1 + random.Below(4);
    const Dims x{1, in, 7 + random.Below(5), 7 + random.Below(5)};
    std::vector<OnnxAttr> attributes{{"group", groups},
                                     {"strides", Dims{1 + random.Below(3), 1 + random.Below(3)}},
                                     {"kernel_shape", Dims{kh, kw}}};
    const int64_t padding = random.Below(5);
    if (padding < 2) {
      attributes.push_back({"dilations", Dims{1 + random.Below(2), 1 + random.Below(2)}});
      attributes.push_back(
          {"pads", Dims{random.Below(4), random.Below(4), random.Below(4), random.Below(4)}});
    } else {
      attributes.push_back(
          {"auto_pad", std::vector<std::string>{"SAME_UPPER", "SAME_LOWER",
                                                "VALID"}[static_cast<size_t>(padding - 2)]});
    }
    std::vector<std::string> inputs{"x", "w"};
    if (random.Below(2) == 1) inputs.push_back("b");
    OnnxBuilder b = Single(9 + random.Below(13), x, "Conv", inputs, attributes);
    b.Initializer(
        FloatTensor("w", {out, in / groups, kh, kw}, random.Floats(out * in / groups * kh * kw)));
    b.Initializer(FloatTensor("b", {out}, random.Floats(out)));
    ExpectSame(b, x);
  }
}

TEST(OnnxConv, EveryStorageOfWeights) {
  TestNumbers random(2);
  const std::vector<float> w = random.Floats(8 * 3 * 3 * 3);
  const Dims x{1, 3, 6, 6};
  for (OnnxStorage storage : {OnnxStorage::kRaw, OnnxStorage::kList, OnnxStorage::kHalf,
                              OnnxStorage::kHalfList, OnnxStorage::kDouble}) {
    SCOPED_TRACE(static_cast<int>(storage));
    OnnxBuilder b = Single(13, x, "Conv", {"x", "w"});
    b.Initializer(FloatTensor("w", {8, 3, 3, 3}, w, storage));
    const Graph graph = ExpectSame(b, x);
    ASSERT_EQ(graph.nodes.size(), 1u);
    // [o][h][w][i] of the tensor is [o][i][h][w] of the file, bit for bit.
    const Tensor& t = graph.tensor(graph.nodes[0].inputs[kInputWeights]);
    EXPECT_EQ(t.shape, (Shape{8, 3, 3, 3}));
    EXPECT_EQ(t.values<float>()[((2 * 3 + 1) * 3 + 2) * 3 + 0], w[((2 * 3 + 0) * 3 + 1) * 3 + 2]);
  }
}

TEST(OnnxConv, WeightsThroughConstantNodesAndFolding) {
  TestNumbers random(3);
  const Dims x{1, 3, 5, 5};
  OnnxBuilder b(13);
  b.Input("x", x).Output("y");
  // tf2onnx leaves HWIO weights behind a transpose; PyTorch shares weights through identities.
  b.Node("Constant", {}, {"hwio"}, {{"value", FloatTensor("", {3, 3, 3, 4}, random.Floats(108))}});
  b.Node("Transpose", {"hwio"}, {"oihw"}, {{"perm", Dims{3, 2, 0, 1}}});
  b.Node("Identity", {"oihw"}, {"w"});
  b.Node("Conv", {"x", "w"}, {"y"});
  const Graph graph = ExpectSame(b, x);
  EXPECT_EQ(graph.nodes.size(), 1u);
}

// ---------------------------------------------------------------------------------------------------------------------
// Elementwise

TEST(OnnxElementwise, BatchNormalization) {
  TestNumbers random(4);
  for (int64_t opset : {9, 14, 15, 21}) {
    for (const Dims& x : {Dims{1, 5, 4, 3}, Dims{1, 5}}) {
      OnnxBuilder b =
          Single(opset, x, "BatchNormalization", {"x", "g", "b", "m", "v"}, {{"epsilon", 1e-3f}});
      b.Initializer(FloatTensor("g", {5}, random.Floats(5)))
          .Initializer(FloatTensor("b", {5}, random.Floats(5)));
      b.Initializer(FloatTensor("m", {5}, random.Floats(5)))
          .Initializer(FloatTensor("v", {5}, {0.5f, 1, 2, 0.25f, 1.5f}));
      const Graph graph = ExpectSame(b, x);
      EXPECT_EQ(CountNodes(graph, OpType::kScaleShift), 1);
    }
  }
}

TEST(OnnxElementwise, ClipIsRelu6OrRelu) {
  const Dims x{1, 2, 3, 4};
  const Graph old6 =
      ExpectSame(Single(10, x, "Clip", {"x"}, {{"min", 0.0f}, {"max", 6.0f}}), x, {}, 9.0);
  EXPECT_EQ(CountNodes(old6, OpType::kRelu6), 1);
  OnnxBuilder new6 = Single(13, x, "Clip", {"x", "low", "high"});
  new6.Initializer(FloatTensor("low", {}, {0})).Initializer(FloatTensor("high", {}, {6}));
  EXPECT_EQ(CountNodes(ExpectSame(new6, x, {}, 9.0), OpType::kRelu6), 1);
  OnnxBuilder half_open = Single(13, x, "Clip", {"x", "low"});
  half_open.Initializer(FloatTensor("low", {}, {0}));
  EXPECT_EQ(CountNodes(ExpectSame(half_open, x), OpType::kRelu), 1);
  EXPECT_EQ(CountNodes(ExpectSame(Single(10, x, "Clip", {"x"}, {{"min", 0.0f}}), x), OpType::kRelu),
            1);
}

TEST(OnnxElementwise, OtherLimitsAreClips) {
  const Dims x{1, 2, 3, 4};
  const Graph both =
      ExpectSame(Single(10, x, "Clip", {"x"}, {{"min", -1.0f}, {"max", 0.5f}}), x, {}, 3.0);
  EXPECT_EQ(CountNodes(both, OpType::kClip), 1);
  ExpectSame(Single(10, x, "Clip", {"x"}, {{"min", 1.0f}, {"max", 1.0f}}), x);
  // Guards of half precision change nothing, whatever x is.
  ExpectSame(Single(10, x, "Clip", {"x"}, {{"min", -65504.0f}, {"max", 65504.0f}}), x);
  ExpectSame(Single(10, x, "Clip", {"x"}, {{"min", -1e30f}, {"max", 6.0f}}), x);
  ExpectSame(Single(10, x, "Clip", {"x"}, {{"min", -0.25f}}), x);
  ExpectSame(Single(10, x, "Clip", {"x"}, {{"max", 0.25f}}), x);
  for (const char* op : {"Min", "Max"}) {
    for (bool constant_first : {false, true}) {
      OnnxBuilder b = Single(
          13, x, op,
          constant_first ? std::vector<std::string>{"c", "x"} : std::vector<std::string>{"x", "c"});
      b.Initializer(FloatTensor("c", {}, {0.25f}));
      EXPECT_EQ(CountNodes(ExpectSame(b, x), OpType::kClip), 1);
    }
  }
  OnnxBuilder channels = Single(13, x, "Max", {"x", "c"});
  channels.Initializer(FloatTensor("c", {2, 1, 1}, {0, 1}));
  EXPECT_THAT(ImportError(channels).message(), HasSubstr("with more than one constant"));
}

TEST(OnnxElementwise, ConstantsPerChannelBecomeScaleShift) {
  TestNumbers random(5);
  const Dims x{1, 3, 4, 5};
  for (const char* op : {"Add", "Sub", "Mul", "Div"}) {
    for (const Dims& c : {Dims{}, Dims{1}, Dims{1, 3, 1, 1}, Dims{3, 1, 1}, Dims{1, 1, 1, 1}}) {
      for (bool constant_first : {false, true}) {
        if (constant_first && std::string(op) == "Div") continue;
        SCOPED_TRACE(std::string(op) + DimsText(c) + (constant_first ? " first" : ""));
        std::vector<float> values = random.Floats(NumElements(c));
        for (float& v : values) v += 2.0f;
        OnnxBuilder b = Single(13, x, op,
                               constant_first ? std::vector<std::string>{"c", "x"}
                                              : std::vector<std::string>{"x", "c"});
        b.Initializer(FloatTensor("c", c, values));
        EXPECT_EQ(CountNodes(ExpectSame(b, x), OpType::kScaleShift), 1);
      }
    }
  }
  // One for each pixel, or for each column though there are as many channels: what ScaleShift does
  // to a vector.
  for (const char* op : {"Add", "Sub", "Mul", "Div"}) {
    for (const Dims& c : {Dims{1, 1, 4, 5}, Dims{5}, Dims{5, 4, 1}, Dims{1, 5, 4, 5}}) {
      std::vector<float> values = random.Floats(NumElements(c));
      for (float& v : values) v += 2.0f;
      OnnxBuilder b = Single(13, {1, 5, 4, 5}, op, {"x", "c"});
      b.Initializer(FloatTensor("c", c, values));
      EXPECT_EQ(CountNodes(ExpectSame(b, {1, 5, 4, 5}), OpType::kReshape), 2);
    }
  }
  OnnxBuilder more = Single(13, x, "Add", {"x", "c"});
  more.Initializer(FloatTensor("c", {2, 1, 1, 1}, {1, 2}));
  EXPECT_THAT(ImportError(more).message(), HasSubstr("[2,1,1,1] does not fit [1,3,4,5]"));
  OnnxBuilder divided = Single(13, x, "Div", {"c", "x"});
  divided.Initializer(FloatTensor("c", {}, {1}));
  EXPECT_THAT(ImportError(divided).message(), HasSubstr("of a constant by an activation"));
}

TEST(OnnxElementwise, ActivationsAddAndMultiply) {
  const Dims x{1, 3, 4, 5};
  OnnxBuilder b(13);
  b.Input("x", x)
      .Output("y")
      .Node("Relu", {"x"}, {"r"})
      .Node("Add", {"x", "r"}, {"s"})
      .Node("Mul", {"s", "r"}, {"m"});
  b.Node("Sum", {"m", "x", "r"}, {"t"})
      .Node("Sub", {"t", "s"}, {"d"})
      .Node("Max", {"zero", "d"}, {"y"})
      .Initializer(FloatTensor("zero", {}, {0}));
  const Graph graph = ExpectSame(b, x);
  EXPECT_EQ(CountNodes(graph, OpType::kAdd), 4);
  EXPECT_EQ(CountNodes(graph, OpType::kMul), 1);
  EXPECT_EQ(CountNodes(graph, OpType::kRelu), 2);
}

// ---------------------------------------------------------------------------------------------------------------------
// Pooling

TEST(OnnxPool, RandomWindows) {
  TestNumbers random(6);
  int imported = 0;
  for (int round = 0; round < 150; ++round) {
    SCOPED_TRACE(round);
    const bool average = random.Below(2) == 1, ceil_mode = random.Below(2) == 1,
               include = random.Below(3) == 0;
    const int64_t kh = 1 + random.Below(4), kw = 1 + random.Below(4);
    const Dims x{1, 1 + random.Below(4), 5 + random.Below(8), 5 + random.Below(8)};
    std::vector<OnnxAttr> attributes{{"kernel_shape", Dims{kh, kw}},
                                     {"strides", Dims{1 + random.Below(4), 1 + random.Below(4)}}};
    const int64_t padding = random.Below(5);
    if (padding < 3) {
      attributes.push_back(
          {"pads", Dims{random.Below(kh), random.Below(kw), random.Below(kh), random.Below(kw)}});
      if (ceil_mode) attributes.push_back({"ceil_mode", One()});
    } else {
      attributes.push_back({"auto_pad", std::string(padding == 3 ? "SAME_UPPER" : "SAME_LOWER")});
    }
    if (average && include) attributes.push_back({"count_include_pad", One()});
    OnnxBuilder b = Single(11, x, average ? "AveragePool" : "MaxPool", {"x"}, attributes);
    if (average && include && ceil_mode && padding < 3) {
      // Refused only when a partial window is added.
      const auto graph = ImportOnnxBytes(b.Build(), "test");
      if (!graph.ok()) {
        EXPECT_THAT(graph.status().message(), HasSubstr("ceil_mode adds a partial window"));
        continue;
      }
    }
    if (padding >= 3) {
      const auto graph = ImportOnnxBytes(b.Build(), "test");
      if (!graph.ok()) {
        EXPECT_THAT(graph.status().message(), HasSubstr("beyond its window"));
        continue;
      }
    }
    ++imported;
    ExpectSame(b, x);
  }
  EXPECT_GT(imported, 120);
}

TEST(OnnxPool, GlobalOnesAndMeans) {
  const Dims x{1, 6, 5, 4};
  EXPECT_EQ(CountNodes(ExpectSame(Single(13, x, "GlobalAveragePool", {"x"}), x),
                       OpType::kGlobalAveragePool),
            1);
  EXPECT_EQ(CountNodes(ExpectSame(Single(13, x, "GlobalMaxPool", {"x"}), x), OpType::kMaxPool), 1);
  for (int64_t keep : {0, 1}) {
    for (const Dims& axes : {Dims{2, 3}, Dims{-1, -2}}) {
      ExpectSame(Single(13, x, "ReduceMean", {"x"}, {{"axes", axes}, {"keepdims", keep}}), x);
      OnnxBuilder b = Single(18, x, "ReduceMean", {"x", "axes"}, {{"keepdims", keep}});
      b.Initializer(IntTensor("axes", {2}, axes));
      const Graph graph = ExpectSame(b, x);
      EXPECT_EQ(CountNodes(graph, OpType::kGlobalAveragePool), 1);
      EXPECT_EQ(graph.tensor(graph.outputs[0]).shape, keep ? (Shape{1, 1, 1, 6}) : (Shape{1, 6}));
    }
  }
  EXPECT_THAT(ImportError(Single(13, x, "ReduceMean", {"x"}, {{"axes", Dims{1}}})).message(),
              HasSubstr("other axes than height and width"));
  for (const char* op : {"ReduceMean", "ReduceMax"}) {
    // Rows and columns alone, and one after the other.
    ExpectSame(Single(13, x, op, {"x"}, {{"axes", Dims{3}}}), x);
    ExpectSame(Single(13, x, op, {"x"}, {{"axes", Dims{-2}}}), x);
    ExpectSame(Single(13, x, op, {"x"}, {{"axes", Dims{2, 3}}, {"keepdims", int64_t{0}}}), x);
    OnnxBuilder twice(13);
    twice.Input("x", x)
        .Output("y")
        .Node(op, {"x"}, {"row"}, {{"axes", Dims{3}}, {"keepdims", int64_t{0}}})
        .Node(op, {"row"}, {"y"}, {{"axes", Dims{2}}, {"keepdims", int64_t{0}}});
    ExpectSame(twice, x);
  }
  EXPECT_THAT(ImportError(Single(13, x, "ReduceMean", {"x"})).message(),
              HasSubstr("other axes than height and width"));
  // x.flatten(2).mean(-1)
  OnnxBuilder b(13);
  b.Input("x", x)
      .Output("y")
      .Node("Reshape", {"x", "s"}, {"f"})
      .Node("ReduceMean", {"f"}, {"y"}, {{"axes", Dims{-1}}, {"keepdims", int64_t{0}}});
  b.Initializer(IntTensor("s", {3}, {0, 0, -1}));
  EXPECT_EQ(CountNodes(ExpectSame(b, x), OpType::kGlobalAveragePool), 1);
}

TEST(OnnxPool, UsedIndicesAndDilationAreRefused) {
  OnnxBuilder b(13);
  b.Input("x", {1, 2, 4, 4})
      .Output("y")
      .Output("i")
      .Node("MaxPool", {"x"}, {"y", "i"}, {{"kernel_shape", Dims{2, 2}}}, "pool");
  EXPECT_THAT(ImportError(b).message(), HasSubstr("MaxPool 'pool' (its output 1 is used)"));
  EXPECT_THAT(ImportError(Single(13, {1, 2, 9, 9}, "MaxPool", {"x"},
                                 {{"kernel_shape", Dims{2, 2}}, {"dilations", Dims{2, 2}}}))
                  .message(),
              HasSubstr("dilated"));
}

// ---------------------------------------------------------------------------------------------------------------------
// Heads

// What it makes of photos is compared with ONNX Runtime in resize_test.
TEST(OnnxResize, AtTheHeadIsHowPhotosArePrepared) {
  using Attributes = std::vector<OnnxAttr>;
  const auto import = [](const Dims& dims, const OnnxTensorSpec& sizes,
                         const Attributes& attributes, const char* second_reads) {
    OnnxBuilder b(18);
    b.Input("x", dims).Output("y").Initializer(sizes);
    b.Node("Resize", {"x", "", "", "s"}, {"r"}, attributes);
    b.Node("Tanh", {second_reads}, {"y"});
    return ImportOnnxBytes(b.Build(), "test");
  };
  const Dims any{1, 3, -1, -1};
  const Attributes linear{{"mode", std::string("linear")}};
  const OnnxTensorSpec all = IntTensor("s", {4}, {1, 3, 20, 24}),
                       two = IntTensor("s", {2}, {20, 24});
  for (const char* mode : {"half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"}) {
    for (const bool axes : {false, true}) {
      Attributes attributes = linear;
      attributes.push_back({"coordinate_transformation_mode", std::string(mode)});
      if (axes) attributes.push_back({"axes", Dims{2, 3}});
      const auto graph = import(any, axes ? two : all, attributes, "r");
      ASSERT_TRUE(graph.ok()) << graph.status().message();
      EXPECT_EQ(graph->tensor(graph->inputs[0]).shape, (Shape{1, 20, 24, 3}));
      Resampling expected = ResamplingOf(Framework::kTensorflow);
      if (*mode == 'a') {
        expected.coordinates =
            mode[1] == 's' ? Coordinates::kAsymmetric : Coordinates::kAlignCorners;
      }
      EXPECT_EQ(graph->metadata.preprocessing.resampling, expected) << mode;
    }
  }
  const auto error = [&](const Dims& dims, const OnnxTensorSpec& sizes,
                         const Attributes& attributes, const char* second_reads) {
    return import(dims, sizes, attributes, second_reads).status().message();
  };
  EXPECT_THAT(error(any, all, {}, "r"), HasSubstr("with mode 'nearest'"));
  EXPECT_THAT(error(any, all, {{"mode", std::string("cubic")}}, "r"), HasSubstr("mode 'cubic'"));
  EXPECT_THAT(error(any, all, {linear[0], {"antialias", int64_t{1}}}, "r"),
              HasSubstr("antialias 1"));
  EXPECT_THAT(error(any, IntTensor("s", {4}, {1, 3, 0, 24}), linear, "r"), HasSubstr("[1,3,0,24]"));
  // Another reader of the input would get photos of any size.
  EXPECT_THAT(error(any, all, linear, "x"), HasSubstr("fixed image size"));
  EXPECT_THAT(error({-1, 3, 30, 30}, all, linear, "r"), HasSubstr("changes the size"));
  // Nothing ends where sizes go round in a circle.
  OnnxBuilder circle(18);
  circle.Input("x", any).Output("y").Node("Concat", {"s"}, {"s"}, {{"axis", int64_t{0}}});
  circle.Node("Resize", {"x", "", "", "s"}, {"y"}, linear);
  EXPECT_FALSE(ImportOnnxBytes(circle.Build(), "test").ok());
}

TEST(OnnxDense, FlattenedImagesPermuteTheWeights) {
  TestNumbers random(7);
  const Dims x{1, 3, 4, 5};
  for (const char* flatten : {"Flatten", "Reshape", "ComputedReshape"}) {
    for (bool gemm : {true, false}) {
      SCOPED_TRACE(std::string(flatten) + (gemm ? " Gemm" : " MatMul"));
      OnnxBuilder b(13);
      b.Input("x", {-1, 3, 4, 5}).Output("y");
      if (std::string(flatten) == "Flatten") {
        b.Node("Flatten", {"x"}, {"f"});
      } else if (std::string(flatten) == "Reshape") {
        b.Initializer(IntTensor("s", {2}, {-1, 60}, OnnxStorage::kList))
            .Node("Reshape", {"x", "s"}, {"f"});
      } else {
        // x.view(x.size(0), -1)
        b.Node("Shape", {"x"}, {"shape"})
            .Node("Constant", {}, {"zero"}, {{"value", IntTensor("", {}, {0})}});
        b.Node("Gather", {"shape", "zero"}, {"n"}, {{"axis", int64_t{0}}});
        b.Initializer(IntTensor("axes", {1}, {0})).Node("Unsqueeze", {"n", "axes"}, {"n1"});
        b.Node("Constant", {}, {"rest"}, {{"value_ints", Dims{-1}}});
        b.Node("Concat", {"n1", "rest"}, {"s"}, {{"axis", int64_t{0}}})
            .Node("Reshape", {"x", "s"}, {"f"});
      }
      b.Node("Relu", {"f"}, {"r"});  // Between flattening and the dense layer.
      if (gemm) {
        b.Initializer(FloatTensor("w", {7, 60}, random.Floats(420)))
            .Initializer(FloatTensor("b", {7}, random.Floats(7)));
        b.Node("Gemm", {"r", "w", "b"}, {"y"},
               {{"transB", One()}, {"alpha", 0.5f}, {"beta", 2.0f}});
      } else {
        b.Initializer(FloatTensor("w", {60, 7}, random.Floats(420)))
            .Initializer(FloatTensor("b", {7}, random.Floats(7)));
        b.Node("MatMul", {"r", "w"}, {"m"}).Node("Add", {"m", "b"}, {"y"});
      }
      const Graph graph = ExpectSame(b, x);
      EXPECT_EQ(CountNodes(graph, OpType::kDense), 1);
      EXPECT_EQ(graph.tensor(graph.outputs[0]).shape, (Shape{1, 7}));
      EXPECT_EQ(graph.tensor(graph.outputs[0]).name, "y");
    }
  }
}

/// "t" is x.permute(0, 2, 3, 1) of a ReLU.
OnnxBuilder PixelsOf(const Dims& x) {
  OnnxBuilder b(13);
  b.Input("x", x)
      .Output("y")
      .Node("Relu", {"x"}, {"r"})
      .Node("Transpose", {"r"}, {"t"}, {{"perm", Dims{0, 2, 3, 1}}});
  return b;
}

TEST(OnnxDense, ShapesComputedAsTensorflowWritesThem) {
  // tf.tensordot: pixels are counted by ReduceProd; PyTorch's expand picks dimensions with Where.
  TestNumbers random(17);
  const Dims x{1, 3, 4, 5};
  OnnxBuilder b = PixelsOf(x);
  b.Node("Shape", {"t"}, {"s"})
      .Node("Gather", {"s", "front"}, {"f"})
      .Node("ReduceProd", {"f"}, {"pixels"}, {{"keepdims", int64_t{1}}})
      .Node("Mod", {"minus_two", "four"}, {"two"})
      .Node("Equal", {"two", "again"}, {"same"})
      .Node("Where", {"same", "three", "minus_two"}, {"channels"})
      .Node("Concat", {"pixels", "channels"}, {"rows"}, {{"axis", int64_t{0}}})
      .Node("Reshape", {"t", "rows"}, {"flat"})
      .Node("MatMul", {"flat", "w"}, {"m"})
      .Node("Reshape", {"m", "image"}, {"n"})
      .Node("Transpose", {"n"}, {"y"}, {{"perm", Dims{0, 3, 1, 2}}});
  b.Initializer(FloatTensor("w", {3, 6}, random.Floats(18)))
      .Initializer(IntTensor("front", {3}, {0, 1, 2}))
      .Initializer(IntTensor("minus_two", {1}, {-2}))
      .Initializer(IntTensor("four", {1}, {4}))
      .Initializer(IntTensor("again", {1}, {2}))
      .Initializer(IntTensor("three", {1}, {3}))
      .Initializer(IntTensor("image", {4}, {1, 4, 5, 6}));
  EXPECT_EQ(CountNodes(ExpectSame(b, x), OpType::kConv2d), 1);
}

TEST(OnnxDense, OnEveryPixel) {
  // x.permute(0, 2, 3, 1) @ w + b, as transformers write it.
  TestNumbers random(13);
  const Dims x{1, 3, 4, 5};
  OnnxBuilder b = PixelsOf(x);
  b.Node("MatMul", {"t", "w"}, {"m"})
      .Node("Add", {"b", "m"}, {"a"})
      .Node("Transpose", {"a"}, {"y"}, {{"perm", Dims{0, 3, 1, 2}}});
  b.Initializer(FloatTensor("w", {3, 6}, random.Floats(18)))
      .Initializer(FloatTensor("b", {6}, random.Floats(6)));
  EXPECT_EQ(CountNodes(ExpectSame(b, x), OpType::kConv2d), 1);
  OnnxBuilder rows = Single(13, x, "MatMul", {"x", "w"});
  rows.Initializer(FloatTensor("w", {5, 6}, random.Floats(30)));
  EXPECT_THAT(ImportError(rows).message(),
              HasSubstr("whose channels are not the input's last dimension"));
}

TEST(OnnxDense, BiasForms) {
  TestNumbers random(8);
  const Dims x{1, 6};
  for (const Dims& c : {Dims{4}, Dims{1, 4}, Dims{}, Dims{1}, Dims{1, 1}}) {
    OnnxBuilder b = Single(11, x, "Gemm", {"x", "w", "c"});
    b.Initializer(FloatTensor("w", {6, 4}, random.Floats(24)))
        .Initializer(FloatTensor("c", c, random.Floats(NumElements(c))));
    ExpectSame(b, x);
  }
  OnnxBuilder none = Single(11, x, "Gemm", {"x", "w"});
  none.Initializer(FloatTensor("w", {6, 4}, random.Floats(24)));
  ExpectSame(none, x);
  OnnxBuilder wrong = Single(11, x, "Gemm", {"x", "w"});
  wrong.Initializer(FloatTensor("w", {5, 4}, random.Floats(20)));
  EXPECT_EQ(ImportError(wrong).code(), StatusCode::kCorrupt);
}

TEST(OnnxSoftmax, AxesOfOldAndNewOpsets) {
  const Dims x{1, 6, 1, 1};
  ExpectSame(Single(9, x, "Softmax", {"x"}), x);  // Over everything from axis 1 on.
  ExpectSame(Single(13, x, "Softmax", {"x"}, {{"axis", One()}}), x);  // Over the channels.
  ExpectSame(Single(13, {1, 6}, "Softmax", {"x"}), {1, 6});
  const Dims image{1, 6, 3, 2};
  ExpectSame(Single(13, image, "Softmax", {"x"}, {{"axis", One()}}), image);
  ExpectSame(Single(9, image, "Softmax", {"x"}), image);
  EXPECT_EQ(ImportError(Single(13, image, "Softmax", {"x"}, {{"axis", int64_t{2}}})).code(),
            StatusCode::kUnsupported);
}

TEST(OnnxHeads, SqueezesAndIdentitiesLeaveNoNodes) {
  TestNumbers random(9);
  const Dims x{1, 6, 4, 4};
  OnnxBuilder b(13);
  b.Input("x", x)
      .Output("y")
      .Node("GlobalAveragePool", {"x"}, {"g"})
      .Initializer(IntTensor("a23", {2}, {2, 3}));
  b.Node("Squeeze", {"g", "a23"}, {"s"})
      .Node("Unsqueeze", {"s", "a23"}, {"u"})
      .Node("Squeeze", {"u", "a23"}, {"s2"});
  b.Node("Dropout", {"s2"}, {"d"})
      .Node("Identity", {"d"}, {"i"})
      .Node("Cast", {"i"}, {"c"}, {{"to", One()}});
  b.Initializer(FloatTensor("w", {6, 3}, random.Floats(18)))
      .Node("MatMul", {"c", "w"}, {"m"})
      .Node("Identity", {"m"}, {"y"});
  const Graph graph = ExpectSame(b, x);
  EXPECT_EQ(graph.nodes.size(), 3u);  // Pool, reshape to two dimensions, dense.
  EXPECT_EQ(graph.tensor(graph.outputs[0]).name, "y");
  OnnxBuilder old(9);
  old.Input("x", x)
      .Output("y")
      .Node("GlobalAveragePool", {"x"}, {"g"})
      .Node("Squeeze", {"g"}, {"s"}, {{"axes", Dims{2, 3}}});
  old.Node("Unsqueeze", {"s"}, {"y"}, {{"axes", Dims{2, 3}}});
  ExpectSame(old, x);
}

// ---------------------------------------------------------------------------------------------------------------------
// Moving

TEST(OnnxMoves, PadOldAndNew) {
  const Dims x{1, 3, 4, 5};
  const Dims pads{0, 2, 1, 0, 0, 1, 2, 3};
  ExpectSame(Single(9, x, "Pad", {"x"}, {{"pads", pads}, {"value", 0.5f}}), x);
  OnnxBuilder b = Single(13, x, "Pad", {"x", "p", "v"}, {{"mode", std::string("constant")}});
  b.Initializer(IntTensor("p", {8}, pads)).Initializer(FloatTensor("v", {}, {0.25f}));
  ExpectSame(b, x);
  OnnxBuilder axes = Single(18, x, "Pad", {"x", "p", "", "a"});
  axes.Initializer(IntTensor("p", {4}, {1, 2, 3, 0})).Initializer(IntTensor("a", {2}, {-1, 1}));
  ExpectSame(axes, x);
  EXPECT_THAT(
      ImportError(Single(9, x, "Pad", {"x"}, {{"pads", pads}, {"mode", std::string("reflect")}}))
          .message(),
      HasSubstr("mode 'reflect'"));
  EXPECT_THAT(
      ImportError(Single(9, x, "Pad", {"x"}, {{"pads", Dims{0, 0, -1, 0, 0, 0, 0, 0}}})).message(),
      HasSubstr("negative"));
  EXPECT_THAT(
      ImportError(Single(9, x, "Pad", {"x"}, {{"pads", Dims{1, 0, 0, 0, 0, 0, 0, 0}}})).message(),
      HasSubstr("batch"));
  EXPECT_THAT(ImportError(Single(9, x, "Pad", {"x"}, {{"pads", Dims{1, 0}}})).message(),
              HasSubstr("2 pads for 4 axes"));
}

TEST(OnnxMoves, SliceOldAndNew) {
  TestNumbers random(10);
  const Dims x{1, 6, 7, 8};
  ExpectSame(Single(9, x, "Slice", {"x"},
                    {{"starts", Dims{1, 2}}, {"ends", Dims{5, 1000}}, {"axes", Dims{1, 3}}}),
             x);
  for (int round = 0; round < 40; ++round) {
    SCOPED_TRACE(round);
    Dims starts, ends, axes, steps;
    for (int64_t axis = 1; axis < 4; ++axis) {
      if (random.Below(2) == 0) continue;
      const int64_t d = x[static_cast<size_t>(axis)];
      const int64_t begin = random.Below(d - 1);
      starts.push_back(random.Below(2) == 0 ? begin : begin - d);
      ends.push_back(random.Below(3) == 0 ? std::numeric_limits<int64_t>::max()
                                          : begin + 1 + random.Below(d - begin));
      axes.push_back(random.Below(2) == 0 ? axis : axis - 4);
      steps.push_back(1 + random.Below(3));
    }
    OnnxBuilder b = Single(13, x, "Slice", {"x", "s", "e", "a", "t"});
    const int64_t n = static_cast<int64_t>(axes.size());
    b.Initializer(IntTensor("s", {n}, starts))
        .Initializer(IntTensor("e", {n}, ends))
        .Initializer(IntTensor("a", {n}, axes));
    b.Initializer(IntTensor("t", {n}, steps));
    ExpectSame(b, x);
  }
  OnnxBuilder reversed = Single(13, x, "Slice", {"x", "s", "e", "a", "t"});
  reversed.Initializer(IntTensor("s", {1}, {-1}))
      .Initializer(IntTensor("e", {1}, {-1000}))
      .Initializer(IntTensor("a", {1}, {1}));
  reversed.Initializer(IntTensor("t", {1}, {-1}));
  EXPECT_EQ(CountNodes(ExpectSame(reversed, x), OpType::kConv2d), 1);
  OnnxBuilder mirrored = Single(13, x, "Slice", {"x", "s", "e", "a", "t"});
  mirrored.Initializer(IntTensor("s", {1}, {-1}))
      .Initializer(IntTensor("e", {1}, {-1000}))
      .Initializer(IntTensor("a", {1}, {3}));
  mirrored.Initializer(IntTensor("t", {1}, {-1}));
  EXPECT_THAT(ImportError(mirrored).message(), HasSubstr("only channels can be reversed"));
}

TEST(OnnxMoves, SplitIntoSlices) {
  const Dims x{1, 7, 5, 6};
  for (int64_t opset : {11, 13, 18}) {
    for (int64_t axis : {1, 3, -2}) {
      for (bool listed : {false, true}) {
        if (!listed && opset < 18) continue;  // Equal parts only, which 7, 5 and 6 are not.
        const bool channels = axis == 1;
        const Dims sizes = channels ? Dims{2, 1, 4} : axis == 3 ? Dims{1, 2, 3} : Dims{1, 1, 3};
        OnnxBuilder b(opset);
        std::vector<OnnxAttr> attributes{{"axis", axis}};
        if (listed && opset < 13) attributes.push_back({"split", sizes});
        if (!listed && opset >= 18) attributes.push_back({"num_outputs", int64_t{3}});
        std::vector<std::string> inputs{"x"};
        if (listed && opset >= 13) inputs.push_back("sizes");
        b.Input("x", x).Output("y").Node("Split", inputs, {"p", "q", "r"}, attributes);
        b.Initializer(IntTensor("sizes", {3}, sizes));
        b.Node("Concat", {"r", "p"}, {"y"}, {{"axis", axis}});
        EXPECT_EQ(CountNodes(ExpectSame(b, x), OpType::kSlice), 2);
      }
    }
  }
  OnnxBuilder bad = Single(13, x, "Split", {"x", "sizes"}, {{"axis", int64_t{1}}});
  bad.Initializer(IntTensor("sizes", {1}, {6}));
  EXPECT_THAT(ImportError(bad).message(), HasSubstr("do not fill an axis of 7"));
  OnnxBuilder more = Single(13, x, "Split", {"x", "sizes"}, {{"axis", int64_t{1}}});
  more.Initializer(IntTensor("sizes", {1}, {8}));
  EXPECT_THAT(ImportError(more).message(), HasSubstr("do not fit an axis of 7"));
}

TEST(OnnxMoves, CastLikeKeepsFloats) {
  const Dims x{1, 2, 3, 4};
  OnnxBuilder b(15);
  b.Input("x", x)
      .Output("y")
      .Node("CastLike", {"two", "x"}, {"c"})
      .Node("CastLike", {"x", "two_and_half"}, {"f"})
      .Node("Mul", {"f", "c"}, {"y"});
  b.Initializer(IntTensor("two", {}, {2})).Initializer(FloatTensor("two_and_half", {}, {2.5f}));
  EXPECT_EQ(CountNodes(ExpectSame(b, x), OpType::kScaleShift), 1);
  OnnxBuilder integer = Single(15, x, "CastLike", {"x", "two"});
  integer.Initializer(IntTensor("two", {}, {2}));
  EXPECT_THAT(ImportError(integer).message(), HasSubstr("to int64"));
}

TEST(OnnxMoves, Concat) {
  const Dims x{1, 3, 4, 5};
  for (int64_t axis : {1, 2, 3, -1, -3}) {
    OnnxBuilder b(13);
    b.Input("x", x)
        .Output("y")
        .Node("Relu", {"x"}, {"r"})
        .Node("Concat", {"x", "r", "x"}, {"y"}, {{"axis", axis}});
    EXPECT_EQ(CountNodes(ExpectSame(b, x), OpType::kConcat), 1);
  }
  OnnxBuilder batch(13);
  batch.Input("x", x).Output("y").Node("Concat", {"x", "x"}, {"y"}, {{"axis", int64_t{0}}});
  EXPECT_THAT(ImportError(batch).message(), HasSubstr("along the batch"));
}

TEST(OnnxMoves, ShortcutOfOptionAAsPytorchWritesIt) {
  // F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)): the pads are computed by a chain of operators.
  const Dims x{1, 8, 6, 6};
  OnnxBuilder b(13);
  b.Input("x", {-1, 8, 6, 6}).Output("y");
  b.Initializer(IntTensor("two", {1}, {2}))
      .Initializer(IntTensor("three", {1}, {3}))
      .Initializer(IntTensor("zero", {1}, {0}));
  b.Initializer(IntTensor("max", {1}, {std::numeric_limits<int64_t>::max()}))
      .Initializer(IntTensor("minus1", {1}, {-1}));
  b.Initializer(IntTensor("min", {1}, {-std::numeric_limits<int64_t>::max()}));
  b.Node("Slice", {"x", "zero", "max", "two", "two"}, {"s1"})
      .Node("Slice", {"s1", "zero", "max", "three", "two"}, {"s2"});
  b.Initializer(IntTensor("p", {6}, {0, 0, 0, 0, 4, 4})).Initializer(IntTensor("more", {1}, {2}));
  b.Node("ConstantOfShape", {"more"}, {"zeros"}, {{"value", IntTensor("", {1}, {0})}});
  b.Node("Concat", {"p", "zeros"}, {"all"}, {{"axis", int64_t{0}}})
      .Initializer(IntTensor("pairs", {2}, {-1, 2}));
  b.Node("Reshape", {"all", "pairs"}, {"rows"})
      .Node("Slice", {"rows", "minus1", "min", "zero", "minus1"}, {"back"});
  b.Node("Transpose", {"back"}, {"t"}, {{"perm", Dims{1, 0}}})
      .Node("Reshape", {"t", "minus1"}, {"flat"});
  b.Node("Cast", {"flat"}, {"pads"}, {{"to", int64_t{7}}})
      .Initializer(FloatTensor("value", {}, {0}));
  b.Node("Pad", {"s2", "pads", "value"}, {"y"}, {{"mode", std::string("constant")}});
  const Graph graph = ExpectSame(b, x);
  EXPECT_EQ(graph.nodes.size(), 3u);
  EXPECT_EQ(graph.tensor(graph.outputs[0]).shape, (Shape{1, 3, 3, 16}));
}

TEST(OnnxMoves, TransposesOfTensorflowVanish) {
  TestNumbers random(12);
  const Dims x{1, 9, 8, 3};
  OnnxBuilder b(13);
  b.Input("x", {-1, 9, 8, 3})
      .Output("y")
      .Initializer(FloatTensor("mean", {3}, {0.1f, 0.2f, 0.3f}))
      .Node("Sub", {"x", "mean"}, {"n"});
  b.Node("Transpose", {"n"}, {"t"}, {{"perm", Dims{0, 3, 1, 2}}})
      .Initializer(FloatTensor("w", {4, 3, 3, 3}, random.Floats(108)));
  b.Node("Conv", {"t", "w"}, {"c"},
         {{"auto_pad", std::string("SAME_UPPER")}, {"strides", Dims{2, 2}}});
  b.Node("Transpose", {"c"}, {"h"}, {{"perm", Dims{0, 2, 3, 1}}})
      .Initializer(FloatTensor("bias", {4}, random.Floats(4)));
  b.Node("Add", {"h", "bias"}, {"a"}).Node("Relu", {"a"}, {"r"});
  b.Node("ReduceMean", {"r"}, {"m"}, {{"axes", Dims{1, 2}}, {"keepdims", int64_t{0}}});
  b.Initializer(FloatTensor("k", {4, 5}, random.Floats(20)))
      .Node("MatMul", {"m", "k"}, {"d"})
      .Node("Softmax", {"d"}, {"y"});
  const Graph graph = ExpectSame(b, x, {.nhwc_input = true});
  EXPECT_EQ(graph.tensor(graph.inputs[0]).shape, (Shape{1, 9, 8, 3}));
  EXPECT_EQ(CountNodes(graph, OpType::kReshape), 1);
  EXPECT_EQ(CountNodes(graph, OpType::kGlobalAveragePool), 1);
  // Flattening NHWC needs no permutation, and padding an NHWC value pads the right axis.
  OnnxBuilder flat(13);
  flat.Input("x", x)
      .Output("y")
      .Initializer(IntTensor("p", {8}, {0, 1, 0, 0, 0, 0, 2, 0}))
      .Node("Pad", {"x", "p"}, {"n"});
  flat.Node("Transpose", {"n"}, {"t"}, {{"perm", Dims{0, 3, 1, 2}}})
      .Node("MaxPool", {"t"}, {"c"}, {{"kernel_shape", Dims{2, 2}}, {"strides", Dims{2, 2}}});
  flat.Node("Transpose", {"c"}, {"h"}, {{"perm", Dims{0, 2, 3, 1}}})
      .Initializer(IntTensor("s", {2}, {-1, 75}));
  flat.Node("Reshape", {"h", "s"}, {"f"})
      .Initializer(FloatTensor("k", {75, 5}, random.Floats(375)))
      .Node("MatMul", {"f", "k"}, {"y"});
  ExpectSame(flat, x, {.nhwc_input = true});
  OnnxBuilder rotated = Single(13, {1, 3, 4, 5}, "Transpose", {"x"}, {{"perm", Dims{0, 1, 3, 2}}});
  EXPECT_THAT(ImportError(rotated).message(),
              HasSubstr("moves nothing when they are flattened or transposed"));
}

/// Random chains of operators that keep an image an image.
TEST(OnnxNetworks, RandomChains) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    TestNumbers random(1000 + seed);
    const int64_t opset = 11 + random.Below(11);
    OnnxBuilder b(opset);
    Dims d{1, 1 + random.Below(4), 8 + random.Below(6), 8 + random.Below(6)};
    const Dims input = d;
    b.Input("x", d).Output("y");
    std::string x = "x";
    int next = 0;
    const auto name = [&](const char* prefix) { return prefix + std::to_string(next++); };
    const auto op = [&](const std::string& type, std::vector<std::string> in,
                        const std::vector<OnnxAttr>& a = {}) {
      const std::string out = name("v");
      b.Node(type, in, {out}, a);
      return out;
    };
    const auto floats = [&](const Dims& dims) {
      const std::string c = name("c");
      b.Initializer(FloatTensor(c, dims, random.Floats(NumElements(dims))));
      return c;
    };
    const auto ints = [&](const Dims& values) {
      const std::string c = name("i");
      b.Initializer(IntTensor(c, {static_cast<int64_t>(values.size())}, values));
      return c;
    };
    for (int step = 0; step < 8; ++step) {
      switch (random.Below(9)) {
        case 0: {
          const int64_t out = 1 + random.Below(5);
          x = op("Conv", {x, floats({out, d[1], 3, 3}), floats({out})},
                 {{"pads", Dims{1, 1, 1, 1}}});
          d[1] = out;
          break;
        }
        case 1:
          x = op("Relu", {x});
          break;
        case 2:
          x = op("Mul", {x, floats({1, d[1], 1, 1})});
          break;
        case 3:
          x = op("Add", {op("Relu", {x}), x});
          break;
        case 4:
          if (d[2] < 4 || d[3] < 4) break;
          x = op("MaxPool", {x}, {{"kernel_shape", Dims{2, 2}}, {"strides", Dims{2, 2}}});
          d[2] /= 2;
          d[3] /= 2;
          break;
        case 5:
          x = op("Pad", {x, ints({0, 1, 0, 2, 0, 0, 1, 0})});
          d = {1, d[1] + 1, d[2] + 1, d[3] + 2};
          break;
        case 6:
          if (d[2] < 3) break;
          x = op("Slice", {x, ints({1}), ints({d[2]}), ints({2}), ints({2})});
          d[2] = d[2] / 2;
          break;
        case 7:
          x = op("Concat", {x, op("Relu", {x})}, {{"axis", One()}});
          d[1] *= 2;
          break;
        case 8:  // There and back.
          x = op("Transpose", {op("Transpose", {x}, {{"perm", Dims{0, 2, 3, 1}}})},
                 {{"perm", Dims{0, 3, 1, 2}}});
          break;
      }
    }
    const int64_t features = d[1] * d[2] * d[3];
    x = op("Gemm", {op("Flatten", {x}), floats({features, 4}), floats({4})}, {});
    b.Node("Identity", {x}, {"y"});
    ExpectSame(b, input);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// What was read wrongly, or refused for another reason than the true one

TEST(OnnxViews, OneChannelIsNotBothOrders) {
  TestNumbers random(21);
  const Dims x{1, 1, 5, 4};
  OnnxBuilder b(13);
  b.Input("x", x).Output("y").Node("Transpose", {"x"}, {"t"}, {{"perm", Dims{0, 2, 3, 1}}});
  b.Initializer(FloatTensor("w", {1, 3}, {1, 2, 3})).Node("MatMul", {"t", "w"}, {"m"});
  b.Node("Transpose", {"m"}, {"n"}, {{"perm", Dims{0, 3, 1, 2}}});
  b.Initializer(FloatTensor("k", {2, 3, 3, 3}, random.Floats(54))).Node("Conv", {"n", "k"}, {"y"});
  ExpectSame(b, x);
}

TEST(OnnxViews, FlattenedMaps) {
  // Arithmetic, batch norms and Softmax over features that lie in another order in memory.
  TestNumbers random(22);
  const Dims x{1, 4, 3, 5};
  OnnxBuilder b(13);
  b.Input("x", x).Output("y").Node("Flatten", {"x"}, {"f"});
  b.Initializer(FloatTensor("c", {60}, random.Floats(60))).Node("Mul", {"f", "c"}, {"m"});
  for (const char* p : {"g", "b", "e"}) b.Initializer(FloatTensor(p, {60}, random.Floats(60)));
  b.Initializer(FloatTensor("v", {60}, std::vector<float>(60, 0.5f)));
  b.Node("BatchNormalization", {"m", "g", "b", "e", "v"}, {"n"}).Node("Softmax", {"n"}, {"s"});
  b.Initializer(FloatTensor("w", {60, 3}, random.Floats(180))).Node("MatMul", {"s", "w"}, {"y"});
  ExpectSame(b, x);
  OnnxBuilder end(13);
  end.Input("x", x).Output("y").Node("Flatten", {"x"}, {"y"});
  EXPECT_THAT(ImportError(end).message(), HasSubstr("octet keeps images with the channels last"));
}

TEST(OnnxViews, DenseAtEveryPixel) {
  TestNumbers random(23);
  for (bool gemm : {false, true}) {
    OnnxBuilder b(13);
    b.Input("x", {-1, 4, 5, 6}).Output("y");
    b.Node("Transpose", {"x"}, {"t"}, {{"perm", Dims{0, 2, 3, 1}}});
    b.Initializer(IntTensor("rows", {2}, {-1, 4})).Node("Reshape", {"t", "rows"}, {"r"});
    b.Initializer(FloatTensor("w", {4, 3}, random.Floats(12)));
    b.Initializer(FloatTensor("b", {3}, random.Floats(3)));
    b.Node(gemm ? "Gemm" : "MatMul",
           gemm ? std::vector<std::string>{"r", "w", "b"} : std::vector<std::string>{"r", "w"},
           {"d"});
    b.Initializer(IntTensor("image", {4}, {-1, 5, 6, 3})).Node("Reshape", {"d", "image"}, {"i"});
    b.Node("Transpose", {"i"}, {"y"}, {{"perm", Dims{0, 3, 1, 2}}});
    EXPECT_EQ(CountNodes(ExpectSame(b, {1, 4, 5, 6}), OpType::kConv2d), 1);
  }
}

TEST(OnnxViews, VectorsBecomeImagesBehindADenseLayer) {
  TestNumbers random(24);
  const Dims x{1, 6};
  OnnxBuilder b(13);
  b.Input("x", x).Output("y").Initializer(FloatTensor("w", {6, 24}, random.Floats(144)));
  b.Initializer(FloatTensor("b", {24}, random.Floats(24))).Node("Gemm", {"x", "w", "b"}, {"d"});
  b.Node("Relu", {"d"}, {"r"}).Initializer(IntTensor("s", {4}, {-1, 3, 2, 4}));
  b.Node("Reshape", {"r", "s"}, {"i"});
  b.Initializer(FloatTensor("k", {2, 3, 2, 2}, random.Floats(24))).Node("Conv", {"i", "k"}, {"y"});
  const Graph graph = ExpectSame(b, x);
  EXPECT_EQ(CountNodes(graph, OpType::kDense), 1);
}

TEST(OnnxInputs, WithoutChannelsAndWithOnes) {
  TestNumbers random(25);
  OnnxBuilder gray(13);
  gray.Input("x", {-1, 6, 5}).Output("y").Initializer(IntTensor("one", {1}, {1}));
  gray.Node("Unsqueeze", {"x", "one"}, {"i"});
  gray.Initializer(FloatTensor("k", {2, 1, 3, 3}, random.Floats(18)));
  gray.Node("Conv", {"i", "k"}, {"y"});
  EXPECT_EQ(ExpectSame(gray, {1, 6, 5}).tensor(0).shape, (Shape{1, 6, 5, 1}));
  OnnxBuilder flat(13);
  flat.Input("x", {-1, 6, 5}).Output("y").Node("Flatten", {"x"}, {"f"});
  flat.Initializer(FloatTensor("w", {30, 4}, random.Floats(120))).Node("MatMul", {"f", "w"}, {"y"});
  ExpectSame(flat, {1, 6, 5});
  OnnxBuilder vector(13);
  vector.Input("x", {-1, 30, 1}).Output("y").Initializer(IntTensor("s", {4}, {-1, 1, 6, 5}));
  vector.Node("Reshape", {"x", "s"}, {"i"});
  vector.Initializer(FloatTensor("k", {2, 1, 3, 3}, random.Floats(18)));
  vector.Node("Conv", {"i", "k"}, {"y"});
  EXPECT_EQ(ExpectSame(vector, {1, 30, 1}).tensor(0).shape, (Shape{1, 30}));
  // Gray NHWC, as Reshape, and by its sizes alone.
  OnnxBuilder nhwc(13);
  nhwc.Input("x", {-1, 6, 5, 1}).Output("y").Initializer(IntTensor("s", {4}, {-1, 1, 6, 5}));
  nhwc.Node("Reshape", {"x", "s"}, {"i"});
  nhwc.Initializer(FloatTensor("k", {2, 1, 3, 3}, random.Floats(18)));
  nhwc.Node("Conv", {"i", "k"}, {"y"});
  EXPECT_EQ(ExpectSame(nhwc, {1, 6, 5, 1}, {.nhwc_input = true}).tensor(0).shape,
            (Shape{1, 6, 5, 1}));
  OnnxBuilder sizes(13);
  sizes.Input("x", {-1, 6, 5, 3}).Output("y").Node("Flatten", {"x"}, {"f"});
  sizes.Initializer(FloatTensor("w", {90, 4}, random.Floats(360)))
      .Node("MatMul", {"f", "w"}, {"y"});
  EXPECT_EQ(ExpectSame(sizes, {1, 6, 5, 3}, {.nhwc_input = true}).tensor(0).shape,
            (Shape{1, 6, 5, 3}));
}

TEST(OnnxBatch, FixedOneIsReplaced) {
  TestNumbers random(26);
  const std::vector<float> w = random.Floats(24 * 4);
  OnnxBuilder b(13);
  b.Input("x", {5, 2, 3, 4}).Output("y").Initializer(IntTensor("s", {2}, {5, -1}));
  b.Node("Relu", {"x"}, {"r"}).Node("Reshape", {"r", "s"}, {"f"});
  b.Initializer(FloatTensor("w", {24, 4}, w)).Node("MatMul", {"f", "w"}, {"m"});
  b.Initializer(IntTensor("t", {4}, {5, 4, 1, 1})).Node("Reshape", {"m", "t"}, {"i"});
  b.Node("Flatten", {"i"}, {"y"});
  const auto graph = ImportOnnxBytes(b.Build(), "test");
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const auto model = ParseOnnx(b.Build(), "test");
  RefTensor x{{5, 2, 3, 4}, {}};
  for (float v : random.Floats(120)) x.values.push_back(v);
  const RefTensor want = testing::OnnxReference(*model).Run(x);
  for (size_t image = 0; image < 5; ++image) {
    const auto begin = x.values.begin() + static_cast<std::ptrdiff_t>(image * 24);
    const RefTensor one{{1, 2, 3, 4}, std::vector<double>(begin, begin + 24)};
    const std::vector<double> found = Evaluate(*graph, ToNhwc(one));
    ASSERT_EQ(found.size(), 4u);
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(found[i], want.values[image * 4 + i], 1e-4);
  }
}

TEST(OnnxBatch, NothingWorksAcrossIt) {
  for (int64_t batch : {-1, 4}) {
    const Dims x{batch, 3, 4, 5};
    const std::string is = batch < 0 ? "the batch, which is dynamic" : "the batch, which is fixed";
    const auto refused = [&](const OnnxBuilder& b) {
      EXPECT_THAT(ImportError(b).message(), HasSubstr(is));
    };
    refused(Single(13, x, "ReduceMean", {"x"}, {{"axes", Dims{0}}}));
    refused(Single(13, x, "ReduceMax", {"x"}));
    refused(Single(11, x, "Softmax", {"x"}, {{"axis", int64_t{0}}}));
    refused(Single(13, x, "Softmax", {"x"}, {{"axis", int64_t{-4}}}));
    refused(Single(13, x, "Flatten", {"x"}, {{"axis", int64_t{0}}}));
    refused(Single(9, x, "Slice", {"x"}, {{"starts", Dims{0}}, {"ends", Dims{1}}}));
    refused(Single(11, x, "Squeeze", {"x"}, {{"axes", Dims{0}}}));
    OnnxBuilder back = Single(13, x, "Slice", {"x", "s", "e", "a", "t"});
    back.Initializer(IntTensor("s", {1}, {-1})).Initializer(IntTensor("e", {1}, {-1000}));
    back.Initializer(IntTensor("a", {1}, {0})).Initializer(IntTensor("t", {1}, {-1}));
    refused(back);
    OnnxBuilder rows(13);
    rows.Input("x", x).Output("y").Initializer(IntTensor("s", {2}, {1, -1}));
    rows.Node("Reshape", {"x", "s"}, {"f"})
        .Initializer(FloatTensor("w", {60, 1}, std::vector<float>(60, 1.0f)));
    rows.Node("MatMul", {"f", "w"}, {"y"});
    refused(rows);
  }
  // With a batch of 1 nothing is across.
  ExpectSame(Single(13, {1, 3, 4, 5}, "Softmax", {"x"}, {{"axis", One()}}), {1, 3, 4, 5});
}

TEST(OnnxConstants, KeepTheirTypes) {
  // Each is added to the input.
  const auto value = [](const OnnxBuilder& b) {
    const auto graph = ImportOnnxBytes(b.Build(), "test");
    EXPECT_TRUE(graph.ok()) << graph.status().message();
    return graph.ok() ? Evaluate(*graph, {0, 0, 0, 0}) : std::vector<double>(4, NAN);
  };
  const auto added = [](OnnxBuilder b, const std::string& name) {
    b.Input("x", {1, 4}).Output("y").Node("Cast", {name}, {"f"}, {{"to", int64_t{1}}});
    b.Node("Add", {"x", "f"}, {"y"});
    return b;
  };
  using List = std::vector<double>;
  OnnxBuilder cast(13);
  cast.Initializer(IntTensor("i", {4}, {-1, 254, 3, 300}));
  cast.Node("Cast", {"i"}, {"c"}, {{"to", int64_t{2}}});
  EXPECT_EQ(value(added(cast, "c")), (List{255, 254, 3, 44}));
  for (const int opset : {10, 13}) {
    OnnxBuilder clip(opset);
    clip.Initializer(FloatTensor("i", {4}, {-3, 0, 0.5f, 2}));
    if (opset < 11) {
      clip.Node("Clip", {"i"}, {"c"}, {{"max", 1.0f}});
    } else {
      clip.Initializer(FloatTensor("one", {}, {1})).Node("Clip", {"i", "", "one"}, {"c"});
    }
    EXPECT_EQ(value(added(clip, "c")), (List{-3, 0, 0.5, 1})) << opset;
  }
  OnnxBuilder to_bool(13);
  to_bool.Initializer(FloatTensor("i", {4}, {3, 0, -2, 0.5f}));
  to_bool.Node("Cast", {"i"}, {"c"}, {{"to", int64_t{9}}});
  EXPECT_EQ(value(added(to_bool, "c")), (List{1, 0, 1, 1}));
  for (const auto& [op, want] : {std::pair<const char*, List>{"Add", {44, 0, 2, 254}},
                                 {"Sub", {156, 0, 0, 0}},
                                 {"Mul", {32, 0, 1, 1}},
                                 {"Max", {200, 0, 1, 127}}}) {
    OnnxBuilder b(14);
    b.Initializer(ByteTensor("i", {4}, {200, 0, 1, 127}, 2));
    b.Initializer(ByteTensor("j", {4}, {100, 0, 1, 127}, 2)).Node(op, {"i", "j"}, {"c"});
    List expected = want;
    if (std::string(op) == "Sub") expected = {100, 0, 0, 0};
    EXPECT_EQ(value(added(b, "c")), expected) << op;
  }
  OnnxBuilder fmod(13);
  fmod.Initializer(IntTensor("i", {4}, {-7, 7, -7, 7}))
      .Initializer(IntTensor("j", {4}, {3, 3, -3, -3}));
  fmod.Node("Mod", {"i", "j"}, {"c"}, {{"fmod", int64_t{1}}});
  EXPECT_EQ(value(added(fmod, "c")), (List{-1, 1, -1, 1}));
  OnnxBuilder large(13);  // 2^63 of uint64 is above 1.
  OnnxTensorSpec i = IntTensor("i", {4}, {INT64_MIN, 1, 1, 1}), j = IntTensor("j", {4}, Dims(4, 1));
  i.type = j.type = 13;
  large.Initializer(i).Initializer(j).Node("Min", {"i", "j"}, {"c"});
  EXPECT_EQ(value(added(large, "c")), (List{1, 1, 1, 1}));
  OnnxBuilder half(13);
  half.Initializer(FloatTensor("i", {4}, {60000, 1, 2, 3}, OnnxStorage::kHalf));
  half.Node("Add", {"i", "i"}, {"s"}).Node("Reciprocal", {"s"}, {"c"});
  EXPECT_EQ(value(added(half, "c"))[0], 0.0);  // 120000 is infinite.
  OnnxBuilder sparse(13);
  sparse.SparseInitializer(FloatTensor("c", {2}, {5, 7}), IntTensor("", {2}, {1, 3}), {4});
  EXPECT_EQ(value(added(sparse, "c")), (List{0, 5, 0, 7}));
  OnnxBuilder outside(13);
  outside.SparseInitializer(FloatTensor("c", {2}, {5, 7}), IntTensor("", {2}, {1, 4}), {4});
  EXPECT_THAT(ImportError(added(outside, "c")).message(), HasSubstr("index 1 is outside of [4]"));
  OnnxBuilder four(13);
  four.Initializer(ByteTensor("c", {4}, {1, 2, 3, 4}, 22));
  EXPECT_THAT(ImportError(added(four, "c")).message(),
              HasSubstr("tensor 'c' has the element type int4"));
}

TEST(OnnxElementwise, SeveralOperandsAndLimits) {
  const Dims x{1, 3, 2, 2};
  OnnxBuilder b(13);
  b.Input("x", x).Output("y").Initializer(FloatTensor("a", {3, 1, 1}, {1, 2, 3}));
  b.Initializer(FloatTensor("b", {}, {0.5f})).Initializer(FloatTensor("c", {1}, {0.25f}));
  b.Node("Sum", {"a", "b", "x"}, {"s"}).Node("Min", {"s", "a3", "c3"}, {"m"});
  b.Initializer(FloatTensor("a3", {}, {3.5f})).Initializer(FloatTensor("c3", {}, {3.25f}));
  b.Node("Max", {"m"}, {"n"}).Node("Max", {"c", "n", "b"}, {"y"});
  ExpectSame(b, x);
  OnnxBuilder two(13);
  two.Input("x", x).Output("y").Node("Relu", {"x"}, {"r"}).Node("Max", {"x", "r", "x"}, {"y"});
  EXPECT_THAT(ImportError(two).message(), HasSubstr("of two activations"));
  OnnxBuilder far(13);
  far.Input("x", x).Output("y").Node("Clip", {"x", "low", "high"}, {"y"});
  far.Initializer(FloatTensor("low", {}, {-65504})).Initializer(FloatTensor("high", {}, {65504}));
  ExpectSame(far, x);
}

TEST(OnnxHeads, EndsThatNormalize) {
  for (const char* op : {"Sigmoid", "Tanh", "LogSoftmax"}) {
    ExpectSame(Single(13, {1, 5}, op, {"x"}), {1, 5});
  }
  OnnxBuilder b(13);
  b.Input("x", {1, 5}).Output("y").Node("Softmax", {"x"}, {"s"}).Node("Log", {"s"}, {"y"});
  const Graph graph = ExpectSame(b, {1, 5});
  EXPECT_EQ(graph.nodes.size(), 1u);
  EXPECT_THAT(ImportError(Single(13, {1, 5}, "Log", {"x"})).message(), HasSubstr("Softmax only"));
}

TEST(OnnxHeads, OneValueAsSeveralOutputs) {
  OnnxBuilder b(13);
  b.Input("x", {1, 5}).Output("y").Output("z").Output("x2").Node("Relu", {"x"}, {"y"});
  b.Node("Identity", {"y"}, {"z"}).Node("Identity", {"x"}, {"x2"});
  const auto graph = ImportOnnxBytes(b.Build(), "test");
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  ASSERT_EQ(graph->outputs.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(graph->tensor(graph->outputs[i]).name, (std::vector<std::string>{"y", "z", "x2"})[i]);
  }
}

TEST(OnnxMoves, LowestPaddingInFrontOfAMaximum) {
  const Dims x{1, 2, 5, 5};
  OnnxBuilder b(13);
  b.Input("x", x).Output("y").Initializer(IntTensor("p", {8}, {0, 0, 1, 1, 0, 0, 1, 1}));
  b.Initializer(FloatTensor("v", {}, {-INFINITY})).Node("Pad", {"x", "p", "v"}, {"q"});
  b.Node("MaxPool", {"q"}, {"y"}, {{"kernel_shape", Dims{3, 3}}, {"strides", Dims{2, 2}}});
  ExpectSame(b, x);
}

TEST(OnnxConstants, WeightsThatTheFileStandardizes) {
  // F.batch_norm(weight, training=True), as timm's networks without batch norms have it.
  TestNumbers random(23);
  const Dims x{1, 3, 6, 5};
  for (const int64_t opset : {17, 18}) {
    OnnxBuilder b(opset);
    b.Input("x", x).Output("y");
    b.Initializer(FloatTensor("w", {1, 4, 27}, random.Floats(108)))
        .Initializer(FloatTensor("g", {4}, random.Floats(4)))
        .Initializer(FloatTensor("b", {4}, random.Floats(4)))
        .Initializer(IntTensor("rows", {2}, {0, -1}))
        .Initializer(IntTensor("shape", {4}, {4, 3, 3, 3}));
    const auto mean = [&](const char* in, const char* out, int64_t keep) {
      if (opset < 18) {
        b.Node("ReduceMean", {in}, {out}, {{"axes", Dims{0, -1}}, {"keepdims", keep}});
      } else {
        b.Node("ReduceMean", {in, "rows"}, {out}, {{"keepdims", keep}});
      }
    };
    mean("w", "m", 0);
    mean("w", "kept", 1);
    b.Node("Sub", {"w", "kept"}, {"d"}).Node("Mul", {"d", "d"}, {"square"});
    mean("square", "v", 0);
    b.Node("BatchNormalization", {"w", "g", "b", "m", "v"}, {"n", "", ""});
    b.Node("BatchNormalization", {"n", "g", "b", "m", "v"}, {"s", "running_m", "running_v"},
           {{"training_mode", One()}});
    b.Node("Reshape", {"s", "shape"}, {"k"}).Node("Conv", {"x", "k"}, {"y"});
    EXPECT_EQ(CountNodes(ExpectSame(b, x), OpType::kConv2d), 1);
  }
}

TEST(OnnxErrors, NamesTheTrueReason) {
  const Dims x{1, 3, 4, 4};
  const auto training = [&](int64_t opset, std::vector<std::string> outputs,
                            std::vector<OnnxAttr> attributes) {
    OnnxBuilder b(opset);
    b.Input("x", x).Output("y").Node("BatchNormalization", {"x", "c", "c", "c", "c"}, outputs,
                                     attributes, "n");
    b.Initializer(FloatTensor("c", {3}, {1, 2, 3}));
    return ImportError(b).message();
  };
  EXPECT_THAT(training(12, {"y", "m", "v", "sm", "sv"}, {}), HasSubstr("as in training mode"));
  EXPECT_THAT(training(14, {"y"}, {{"training_mode", One()}}),
              HasSubstr("its attribute 'training_mode' is 1, honoured is 0"));
  EXPECT_THAT(training(8, {"y"}, {{"spatial", int64_t{0}}}),
              HasSubstr("its attribute 'spatial' is 0, honoured is 1"));
  OnnxBuilder control(13);
  control.Input("x", x).Output("y").Initializer(ByteTensor("c", {}, {1}, 9));
  control.Node("If", {"c"}, {"y"}, {}, "branch");
  EXPECT_THAT(ImportError(control).message(), HasSubstr("If 'branch' (export it without control"));
  OnnxBuilder trees(3);
  trees.Domain("ai.onnx.ml").Input("x", {-1, 4}).Output("y");
  trees.Node("TreeEnsembleClassifier", {"x"}, {"y", "p"}, {}, "trees", "ai.onnx.ml");
  EXPECT_THAT(ImportError(trees).message(), HasSubstr("ai.onnx.ml.TreeEnsembleClassifier 'trees'"));
  OnnxBuilder dynamic(13);
  dynamic.Input("x", x).Output("y").Node("DynamicQuantizeLinear", {"x"}, {"q", "s", "z"}, {}, "d");
  dynamic.Initializer(ByteTensor("w", {1, 3, 1, 1}, {1, 2, 3}));
  dynamic.Node("ConvInteger", {"q", "w", "z"}, {"y"}, {}, "i");
  EXPECT_EQ(ImportError(dynamic).code(), StatusCode::kUnsupported);
}

// ---------------------------------------------------------------------------------------------------------------------
// Refusals

TEST(OnnxErrors, EveryUnsupportedOperatorIsListedOnce) {
  OnnxBuilder b(13);
  b.Input("x", {1, 3, 4, 4}).Output("y");
  b.Node("LRN", {"x"}, {"a"}, {}, "norm")
      .Node("Relu", {"a"}, {"r"})
      .Node("NonMaxSuppression", {"r"}, {"z"}, {}, "up");
  b.Node("Div", {"x", "x"}, {"s"}, {}, "ratio")
      .Node("FusedConv", {"z"}, {"f"}, {}, "fused", "com.microsoft");
  b.Node("Add", {"f", "s"}, {"t"}).Node("NonZero", {"x"}, {"unused"}, {}, "not_needed");
  b.Node("Mish", {"t"}, {"m1"}, {}, "mish1").Node("Mish", {"m1"}, {"m2"}, {}, "mish2");
  b.Node("Mish", {"m2"}, {"m3"}, {}, "mish3").Node("Mish", {"m3"}, {"y"}, {}, "mish4");
  const Status status = ImportError(b);
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_EQ(status.message(),
            "test: 8 unsupported operators: LRN 'norm'; "
            "NonMaxSuppression 'up'; Div 'ratio' (of two activations); "
            "com.microsoft.FusedConv 'fused' (ONNX Runtime wrote it; convert the file from before "
            "its optimization); Mish 'mish1', 'mish2', 'mish3' and 1 more (of all activation "
            "functions octet has clips, " +
                UnaryNames() + ")");
}

TEST(OnnxQuantized, LeakyReluOfCodes) {
  const std::vector<std::string> operands{"q", "s", "z", "t", "z"};
  OnnxBuilder b(13);
  b.Input("x", {1, 6}).Output("y").Initializer(ByteTensor("z", {}, {100}));
  b.Initializer(FloatTensor("s", {}, {0.5f})).Initializer(FloatTensor("t", {}, {0.25f}));
  b.Node("QuantizeLinear", {"x", "s", "z"}, {"q"})
      .Node("QLinearLeakyRelu", operands, {"r"}, {{"alpha", 0.3f}}, "leaky", "com.microsoft")
      .Node("DequantizeLinear", {"r", "t", "z"}, {"y"});
  ExpectSame(b, {1, 6});
  OnnxBuilder codes(13);
  codes.Input("x", {1, 6}).Output("y").Initializer(ByteTensor("z", {}, {100}));
  codes.Initializer(FloatTensor("s", {}, {0.5f})).Node("QuantizeLinear", {"x", "s", "z"}, {"q"});
  codes.Node("LeakyRelu", {"q"}, {"r"}).Node("DequantizeLinear", {"r", "s", "z"}, {"y"});
  EXPECT_THAT(ImportError(codes).message(), HasSubstr("on uint8, which wraps"));
}

TEST(OnnxErrors, GraphsThatDoNotHangTogether) {
  const Dims x{1, 3, 4, 4};
  OnnxBuilder missing = Single(13, x, "Conv", {"x", "w"});
  EXPECT_EQ(ImportError(missing).code(), StatusCode::kCorrupt);
  EXPECT_THAT(ImportError(missing).message(),
              HasSubstr("node Conv 'the_node': input 'w' is no initializer"));
  OnnxBuilder unsorted(13);
  unsorted.Input("x", x).Output("y").Node("Relu", {"a"}, {"y"}).Node("Clip", {"x"}, {"b"});
  unsorted.Node("GlobalMaxPool", {"b"}, {"a"});
  const auto sorted = ImportOnnxBytes(unsorted.Build(), "test");
  ASSERT_TRUE(sorted.ok()) << sorted.status().message();
  EXPECT_EQ(sorted->nodes.back().type, OpType::kRelu);
  OnnxBuilder cycle(13);
  cycle.Input("x", x)
      .Output("y")
      .Node("Add", {"x", "b"}, {"a"})
      .Node("Relu", {"a"}, {"b"})
      .Node("Relu", {"b"}, {"y"});
  EXPECT_THAT(ImportError(cycle).message(),
              HasSubstr("depends on its own output; the nodes form a cycle"));
  OnnxBuilder twice(13);
  twice.Input("x", x).Output("y").Node("Relu", {"x"}, {"y"}).Node("Relu", {"x"}, {"y"});
  EXPECT_THAT(ImportError(twice).message(), HasSubstr("'y' is computed by"));
  OnnxBuilder nothing(13);
  nothing.Input("x", x).Output("y").Node("Relu", {"x"}, {"z"});
  EXPECT_EQ(ImportError(nothing).code(), StatusCode::kCorrupt);
  OnnxBuilder constant(13);
  constant.Input("x", x)
      .Output("y")
      .Node("Constant", {}, {"y"}, {{"value_float", 1.0f}})
      .Node("Relu", {"x"}, {"z"});
  EXPECT_EQ(ImportError(constant).code(), StatusCode::kCorrupt);
  OnnxBuilder empty(13);
  empty.Input("x", x).Output("y");
  EXPECT_THAT(ImportError(empty).message(), HasSubstr("no nodes"));
}

TEST(OnnxErrors, InputsAndVersions) {
  const auto of_input = [](const Dims& dims, int type = 1) {
    OnnxBuilder b(13);
    b.Input("x", dims, type).Output("y").Node("Relu", {"x"}, {"y"});
    return ImportError(b).message();
  };
  EXPECT_THAT(of_input({1, 3, -1, -1}), HasSubstr("fixed image size"));
  EXPECT_THAT(of_input({1, 3, 4, 4, 4}), HasSubstr("has shape [1,3,4,4,4]"));
  EXPECT_THAT(of_input({1, 3, 4, 4}, 7), HasSubstr("element type int64"));
  EXPECT_THAT(of_input({1, 3, 4, 4}, 2), HasSubstr("on uint8, which wraps"));
  EXPECT_THAT(of_input({1, 1 << 20, 1 << 20, 1 << 20}), HasSubstr("has shape"));
  EXPECT_THAT(ImportError(Single(6, {1, 3, 4, 4}, "Relu", {"x"})).message(),
              HasSubstr("opset 6, expected 7 or newer"));
  OnnxBuilder two(13);
  two.Input("x", {1, 2, 3, 3}).Input("z", {1, 2, 3, 3}).Output("y").Node("Add", {"x", "z"}, {"y"});
  EXPECT_THAT(ImportError(two).message(), HasSubstr("second input"));
}

TEST(OnnxErrors, WeightsThatDoNotFit) {
  const Dims x{1, 3, 4, 4};
  const auto conv = [&](OnnxTensorSpec w, std::vector<OnnxAttr> attributes = {}) {
    OnnxBuilder b = Single(13, x, "Conv", {"x", "w"}, attributes);
    b.Initializer(w);
    return ImportError(b).message();
  };
  EXPECT_THAT(conv(FloatTensor("w", {2, 4, 1, 1}, std::vector<float>(8, 1))),
              HasSubstr("input channels: found 3"));
  EXPECT_THAT(conv(FloatTensor("w", {2, 3, 1, 1}, std::vector<float>(5, 1))),
              HasSubstr("found 20 bytes of data, expected 24"));
  EXPECT_THAT(conv(FloatTensor("w", {2, 3, 1, 1}, std::vector<float>(5, 1), OnnxStorage::kList)),
              HasSubstr("found 5 values, expected 6"));
  EXPECT_THAT(conv(FloatTensor("w", {2, -3, 1, 1}, {})), HasSubstr("impossible shape"));
  EXPECT_THAT(conv(FloatTensor("w", {int64_t{1} << 40, int64_t{1} << 40, 1, 1}, {})),
              HasSubstr("impossible shape"));
  EXPECT_THAT(conv(FloatTensor("w", {1, 3, 5, 5}, std::vector<float>(75, 1))), HasSubstr("window"));
  EXPECT_THAT(conv(FloatTensor("w", {1, 3, 1, 1}, {1, 2, std::nanf("")})),
              HasSubstr("tensor 'w': element 2: found nan"));
  EXPECT_THAT(
      conv(FloatTensor("w", {2, 3, 1, 1}, std::vector<float>(6, 1)), {{"strides", Dims{0, 1}}}),
      HasSubstr("strides"));
  EXPECT_THAT(conv(FloatTensor("w", {2, 3, 1, 1}, std::vector<float>(6, 1)),
                   {{"kernel_shape", Dims{3, 3}}}),
              HasSubstr("differs from the weights' 1x1"));
  EXPECT_THAT(
      conv(FloatTensor("w", {2, 3, 1, 1}, std::vector<float>(6, 1)), {{"group", std::string("1")}}),
      HasSubstr("attribute 'group' has the wrong type"));
  EXPECT_THAT(conv(IntTensor("w", {2, 3, 1, 1}, Dims(6, 1))), HasSubstr("not floating-point"));
}

TEST(OnnxErrors, ConstantsMayNotExplode) {
  OnnxBuilder b(13);
  b.Input("x", {1, 3, 4, 4}).Output("y").Initializer(IntTensor("n", {1}, {int64_t{1} << 40}));
  b.Node("ConstantOfShape", {"n"}, {"zeros"}).Node("Reshape", {"x", "zeros"}, {"y"});
  EXPECT_THAT(ImportError(b).message(), HasSubstr("too large"));
  OnnxBuilder doubling(13);
  doubling.Input("x", {1, 3, 4, 4}).Output("y").Initializer(IntTensor("c0", {4}, {1, 1, 1, 1}));
  for (int i = 0; i < 60; ++i) {
    const std::string from = "c" + std::to_string(i);
    doubling.Node("Concat", {from, from}, {"c" + std::to_string(i + 1)}, {{"axis", int64_t{0}}});
  }
  doubling.Node("Reshape", {"x", "c60"}, {"y"});
  EXPECT_THAT(ImportError(doubling).message(), HasSubstr("too large"));
}

TEST(OnnxErrors, DamagedFiles) {
  const std::string good = Single(13, {1, 3, 4, 4}, "Relu", {"x"}).Build();
  ASSERT_TRUE(ImportOnnxBytes(good, "test").ok());
  for (size_t n = 0; n < good.size(); ++n) {
    const auto graph = ImportOnnxBytes(std::string_view(good).substr(0, n), "test");
    EXPECT_FALSE(graph.ok()) << n;
  }
  EXPECT_THAT(ImportOnnxBytes(std::string_view(good).substr(0, 30), "test").status().message(),
              HasSubstr("cut off or damaged"));
  EXPECT_EQ(ImportOnnxBytes("\xff\xff\xff\xff", "test").status().code(), StatusCode::kCorrupt);
  EXPECT_EQ(ImportOnnx("/no/such/file.onnx").status().code(), StatusCode::kNotFound);
  // Names may hold anything; the message stays one line.
  OnnxBuilder odd(13);
  odd.Input("x", {1, 3, 4, 4}).Output("y").Node("Relu\n\x1b[2J", {"x"}, {"y"}, {}, "two\nlines");
  const std::string path = ::testing::TempDir() + "/octet_odd_names.onnx";
  std::ofstream(path, std::ios::binary) << odd.Build();
  EXPECT_THAT(ImportModel(path, {}).status().message(), HasSubstr("Relu??[2J 'two?lines'"));
  std::filesystem::remove(path);
}

// ---------------------------------------------------------------------------------------------------------------------
// External data

class OnnxExternalData : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ =
        std::filesystem::path(::testing::TempDir()) / ("octet_onnx_" + std::to_string(::getpid()));
    std::filesystem::create_directories(root_ / "model" / "inner");
    weights_ = TestNumbers(1).Floats(27);
    for (const auto& path : {root_ / "outside.bin", root_ / "model" / "weights.bin",
                             root_ / "model" / "inner" / "weights.bin"}) {
      std::ofstream file(path, std::ios::binary);
      file << "12345678";
      file.write(reinterpret_cast<const char*>(weights_.data()), 108);
    }
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  Result<Graph> Import(std::vector<std::pair<std::string, std::string>> external) {
    OnnxBuilder b = Single(13, {1, 3, 5, 5}, "Conv", {"x", "w"});
    b.Initializer({"w", {1, 3, 3, 3}, {}, {}, false, OnnxStorage::kExternal, std::move(external)});
    const std::string path = (root_ / "model" / "m.onnx").string();
    std::ofstream(path, std::ios::binary) << b.Build();
    return ImportOnnx(path);
  }
  std::string Error(std::vector<std::pair<std::string, std::string>> external) {
    const auto graph = Import(std::move(external));
    EXPECT_FALSE(graph.ok());
    return graph.ok() ? "accepted" : graph.status().message();
  }

  std::filesystem::path root_;
  std::vector<float> weights_;
};

TEST_F(OnnxExternalData, IsReadFromTheModelsFolder) {
  for (const char* location : {"weights.bin", "./weights.bin", "inner/weights.bin"}) {
    const auto graph = Import({{"location", location}, {"offset", "8"}, {"length", "108"}});
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    const auto values = graph->tensor(graph->nodes[0].inputs[1]).values<float>();
    EXPECT_EQ(values[0], weights_[0]);
    EXPECT_EQ(values[1], weights_[9]);  // Second input channel, first pixel.
  }
  EXPECT_TRUE(Import({{"location", "weights.bin"}, {"offset", "8"}}).ok());
}

TEST_F(OnnxExternalData, MayNotLeaveTheFolder) {
  EXPECT_THAT(Error({{"location", "../outside.bin"}, {"offset", "8"}}), HasSubstr("contains '..'"));
  EXPECT_THAT(Error({{"location", "inner/../../outside.bin"}, {"offset", "8"}}),
              HasSubstr("contains '..'"));
  EXPECT_THAT(Error({{"location", (root_ / "model" / "weights.bin").string()}, {"offset", "8"}}),
              HasSubstr("absolute"));
  EXPECT_THAT(Error({{"location", ""}}), HasSubstr("no file name"));
  EXPECT_THAT(Error({{"offset", "8"}}), HasSubstr("no 'location'"));
  std::filesystem::create_symlink(root_ / "outside.bin", root_ / "model" / "link.bin");
  EXPECT_THAT(Error({{"location", "link.bin"}, {"offset", "8"}}),
              HasSubstr("leads out of the model's folder"));
  std::filesystem::create_directory_symlink(root_, root_ / "model" / "up");
  EXPECT_THAT(Error({{"location", "up/outside.bin"}, {"offset", "8"}}),
              HasSubstr("leads out of the model's folder"));
  std::filesystem::create_symlink("weights.bin", root_ / "model" / "inside.bin");
  EXPECT_TRUE(Import({{"location", "inside.bin"}, {"offset", "8"}}).ok());
}

TEST_F(OnnxExternalData, MustLieInTheFile) {
  EXPECT_THAT(Error({{"location", "none.bin"}}), HasSubstr("No such file"));
  EXPECT_THAT(Error({{"location", "inner"}}), HasSubstr("not a regular file"));
  EXPECT_THAT(Error({{"location", "weights.bin"}, {"offset", "117"}}), HasSubstr("behind the end"));
  EXPECT_THAT(Error({{"location", "weights.bin"}, {"offset", "12"}, {"length", "108"}}),
              HasSubstr("are not in 'weights.bin' (116 bytes)"));
  EXPECT_THAT(Error({{"location", "weights.bin"}, {"offset", "8"}, {"length", "104"}}),
              HasSubstr("found 104 bytes of data, expected 108"));
  EXPECT_THAT(Error({{"location", "weights.bin"}, {"offset", "-8"}}),
              HasSubstr("'offset' is '-8', not a number"));
  EXPECT_THAT(Error({{"location", "weights.bin"}, {"offset", "99999999999999999999"}}),
              HasSubstr("not a number"));
  EXPECT_THAT(
      Error({{"location", "weights.bin"}, {"offset", "8"}, {"length", "18446744073709551615"}}),
      HasSubstr("are not in"));
}

// ---------------------------------------------------------------------------------------------------------------------
// Real files

TEST(RealOnnx, Resnet20EqualsItsOperatorsOneByOne) {
  OCTET_REQUIRE_DATA();
  const std::string path = testing::DataDir() + "/resnet-cifar/resnet20.onnx";
  const auto graph = ImportModel(path, {});
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph->metadata.source, "onnx opset 13 (pytorch 1.13.0)");
  EXPECT_EQ(CountNodes(*graph, OpType::kConv2d), 19);
  EXPECT_EQ(CountNodes(*graph, OpType::kPad), 2);
  EXPECT_EQ(graph->tensor(graph->outputs[0]).name, "logits");
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const auto model = ParseOnnx(bytes, path);
  ASSERT_TRUE(model.ok());
  RefTensor image{{1, 3, 32, 32}, {}};
  for (float v : TestNumbers(5).Floats(3 * 32 * 32)) image.values.push_back(2.0f * v);
  const RefTensor expected = testing::OnnxReference(*model).Run(image);
  const std::vector<double> nhwc = ToNhwc(image);
  const std::vector<double> found = Evaluate(*graph, nhwc);
  ASSERT_EQ(found.size(), 10u);
  for (size_t i = 0; i < 10; ++i)
    EXPECT_NEAR(found[i], expected.values[i], 1e-6 * (1 + std::fabs(expected.values[i])));
}

TEST(RealOnnx, FlowersEqualPytorchsProbabilities) {
  OCTET_REQUIRE_MODELS();
  const std::string folder = testing::ModelsDir() + "/flowers/";
  const auto onnx = ImportModel(folder + "flowers_resnet.onnx", {});
  ASSERT_TRUE(onnx.ok()) << onnx.status().message();
  const auto shipped = ImportModel(OCTET_SOURCE_DIR "/models/flowers/flowers_resnet.safetensors",
                                   {"flowers_resnet"});
  ASSERT_TRUE(shipped.ok()) << shipped.status().message();
  const auto images = ReadNpyFloats(folder + "test_images_160.npy");
  const auto expected = ReadNpyFloats(folder + "test_probabilities.npy");
  ASSERT_TRUE(images.ok() && expected.ok());
  const Preprocessing& p = shipped->metadata.preprocessing;
  constexpr size_t kPixels = 160 * 160 * 3;
  // One image each: the naive interpreter takes seconds for one.
  for (const auto& [graph, image] :
       {std::pair(&*onnx, size_t{23}), std::pair(&*shipped, size_t{0})}) {
    std::vector<double> input(kPixels);
    for (size_t i = 0; i < kPixels; ++i) {
      input[i] = (images->values[image * kPixels + i] * p.scale - p.mean[i % 3]) / p.stddev[i % 3];
    }
    const std::vector<double> found = Evaluate(*graph, input);
    ASSERT_EQ(found.size(), 5u);
    for (size_t c = 0; c < 5; ++c) {
      EXPECT_NEAR(found[c], expected->values[image * 5 + c], 1e-5) << graph->metadata.source;
    }
  }
}

// A graph whose weights stand behind QuantizeLinear and DequantizeLinear, with these weight scales.
/// `limited`: codes of int8, from -127 to 127 by a Clip, as PyTorch's exporter has them.
std::string QuantizedConv(const OnnxTensorSpec& scales, const std::string& quantized_input = "x",
                          bool limited = false) {
  OnnxBuilder b(13);
  b.Input("x", {1, 1, 4, 4}).Output("y");
  b.Initializer(FloatTensor("s", {}, {0.02f})).Initializer(ByteTensor("z", {}, {128}));
  b.Initializer(scales).Initializer(FloatTensor("w", {2, 1, 1, 1}, {0.3f, -0.7f}));
  b.Node("QuantizeLinear", {quantized_input, "s", "z"}, {"q"})
      .Node("DequantizeLinear", {"q", "s", "z"}, {"d"});
  if (limited) {
    b.Initializer(ByteTensor("wz", {2}, {0, 0}, 3)).Initializer(ByteTensor("low", {}, {0x81}, 3));
    b.Initializer(ByteTensor("high", {}, {0x7f}, 3));
    b.Node("QuantizeLinear", {"w", "ws", "wz"}, {"wide"}, {{"axis", int64_t{0}}});
    b.Node("Clip", {"wide", "low", "high"}, {"wq"});
    b.Node("DequantizeLinear", {"wq", "ws", "wz"}, {"wd"}, {{"axis", int64_t{0}}});
  } else {
    b.Node("QuantizeLinear", {"w", "ws"}, {"wq"}, {{"axis", int64_t{0}}});
    b.Node("DequantizeLinear", {"wq", "ws"}, {"wd"}, {{"axis", int64_t{0}}});
  }
  b.Node("Conv", {"d", "wd"}, {"c"}).Node("QuantizeLinear", {"c", "s", "z"}, {"cq"});
  b.Node("DequantizeLinear", {"cq", "s", "z"}, {"y"});
  return b.Build();
}

TEST(OnnxQuantized, TakesScalesOfTheFile) {
  const auto graph = ImportOnnxBytes(QuantizedConv(FloatTensor("ws", {2}, {0.01f, 0.02f})), "test");
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const Tensor& x = graph->tensor(graph->nodes.front().output);
  EXPECT_EQ(x.dtype, DType::kU8);
  EXPECT_FLOAT_EQ(x.quantization.scale, 0.02f);
  EXPECT_EQ(x.quantization.zero_point, 128);
}

/// Two convolutions, the first with a ReLU behind its quantization, as quantization-aware training
/// leaves them. Nothing behind the first one's output is quantized.
OnnxBuilder TrainedConvs(int zero_type, bool quantize_input) {
  OnnxBuilder b(13);
  b.Input("x", {1, 1, 4, 4}).Output("y");
  b.Initializer(FloatTensor("s", {}, {0.02f})).Initializer(ByteTensor("z", {}, {100}, zero_type));
  b.Initializer(FloatTensor("t", {}, {0.01f})).Initializer(ByteTensor("u", {}, {90}));
  b.Initializer(FloatTensor("w", {1, 1, 1, 1}, {0.5f}));
  std::string in = "x";
  if (quantize_input) {
    b.Node("QuantizeLinear", {"x", "s", "z"}, {"q"})
        .Node("DequantizeLinear", {"q", "s", "z"}, {"d"});
    in = "d";
  }
  b.Node("Conv", {in, "w"}, {"c"})
      .Node("QuantizeLinear", {"c", "t", "u"}, {"cq"})
      .Node("DequantizeLinear", {"cq", "t", "u"}, {"cd"})
      .Node("Relu", {"cd"}, {"r"})
      .Node("GlobalAveragePool", {"r"}, {"m"})
      .Node("Conv", {"m", "w"}, {"y"});
  return b;
}

TEST(OnnxQuantized, IsIntegerWhereTheSourceIs) {
  auto graph = ImportOnnxBytes(TrainedConvs(2, true).Build(), "test");
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_FALSE(IsQuantized(*graph));  // As it stands: conversions between float operators.
  ASSERT_TRUE(Optimize(&*graph).ok());
  EXPECT_TRUE(IsQuantized(*graph));
  for (const Node& n : graph->nodes) {
    // The weights are floats in the file, and what a ReLU leaves of codes are codes.
    const bool codes = n.type == OpType::kRelu || n.type == OpType::kGlobalAveragePool;
    if (n.type == OpType::kQuantize || n.type == OpType::kDequantize) continue;
    EXPECT_EQ(graph->tensor(n.inputs[0]).dtype, codes ? DType::kU8 : DType::kF32) << n.name;
  }
}

TEST(OnnxQuantized, CodesOfWeightsAreKept) {
  auto graph = ImportOnnxBytes(QuantizedConv(FloatTensor("ws", {2}, {0.01f, 0.02f})), "test");
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  ASSERT_TRUE(Optimize(&*graph).ok());
  int layers = 0;
  for (const Node& n : graph->nodes) {
    if (n.type != OpType::kConv2d) continue;
    ++layers;
    EXPECT_EQ(graph->tensor(n.inputs[kInputX]).dtype, DType::kU8);
    EXPECT_EQ(graph->tensor(n.inputs[kInputWeights]).dtype, DType::kI8);
    EXPECT_EQ(graph->tensor(n.inputs[kInputScales]).values<float>()[1], 0.02f);
  }
  EXPECT_EQ(layers, 1);
}

TEST(OnnxQuantized, LimitedCodesOfWeightsAreKept) {
  auto graph =
      ImportOnnxBytes(QuantizedConv(FloatTensor("ws", {2}, {0.01f, 0.005f}), "x", true), "test");
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const auto conv = std::find_if(graph->nodes.begin(), graph->nodes.end(),
                                 [](const Node& n) { return n.type == OpType::kConv2d; });
  const auto codes = graph->tensor(conv->inputs[kInputWeights]).values<int8_t>();
  EXPECT_EQ(codes[0], 30);
  EXPECT_EQ(codes[1], -127);
}

TEST(OnnxQuantized, SixteenBitsAreRefused) {
  EXPECT_THAT(ImportError(TrainedConvs(4, true)).message(),
              HasSubstr("it quantizes an activation to uint16, expected uint8 or int8"));
}

TEST(OnnxQuantized, RefusesImpossibleParameters) {
  for (const OnnxTensorSpec& scales :
       {FloatTensor("ws", {0}, {}), FloatTensor("ws", {3}, {1, 1, 1}),
        FloatTensor("ws", {2}, {0, 1}), FloatTensor("ws", {2}, {-1, 1}),
        FloatTensor("ws", {2}, {NAN, 1})}) {
    EXPECT_FALSE(ImportOnnxBytes(QuantizedConv(scales), "test").ok());
  }
  EXPECT_FALSE(ImportOnnxBytes(QuantizedConv(FloatTensor("ws", {2}, {1, 1}), ""), "test").ok());
}

}  // namespace
}  // namespace octet
