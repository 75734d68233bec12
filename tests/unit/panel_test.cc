// The weight layout of formats/model/panel.h.
#include "formats/model/panel.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <vector>

#include "tests/sample_graphs.h"

namespace octet {
namespace {

struct Case {
  Shape shape;
  Layout layout;
};

const Case kCases[] = {
    {{1, 1, 1, 1}, Layout::kPanel},      {{16, 3, 3, 64}, Layout::kPanel},
    {{17, 1, 1, 5}, Layout::kPanel},     {{64, 1, 7, 4}, Layout::kPanel},
    {{5, 64}, Layout::kPanel},           {{33, 7}, Layout::kPanel},
    {{20, 3, 3, 3}, Layout::kPanelRow},  {{32, 7, 7, 3}, Layout::kPanelRow},
    {{15, 1, 1, 2}, Layout::kPanelRow},  {{48, 3, 3, 1}, Layout::kDepthwise},
    {{17, 5, 3, 1}, Layout::kDepthwise}, {{6, 3, 3, 2}, Layout::kPlain},
};

std::vector<std::byte> Random(int64_t bytes) {
  std::vector<std::byte> data(static_cast<size_t>(bytes));
  uint32_t state = 1;
  for (std::byte& b : data)
    b = static_cast<std::byte>((state = state * 1664525u + 1013904223u) >> 24 | 1u);
  return data;
}

/// Where the documentation of PanelShape puts an element, written out anew, in elements.
int64_t Expected(const Case& c, DType dtype, int64_t oc, int64_t y, int64_t x, int64_t i) {
  const bool dense = c.shape.rank() == 2;
  const int64_t kh = dense ? 1 : c.shape[1], kw = dense ? 1 : c.shape[2],
                in = dense ? c.shape[1] : c.shape[3];
  int64_t taps = kh * kw, tap = y * kw + x, depth = in, d = i;
  if (c.layout == Layout::kDepthwise) return (oc / 16 * taps + tap) * 16 + oc % 16;
  if (c.layout == Layout::kPlain) return ((oc * kh + y) * kw + x) * in + i;
  if (c.layout == Layout::kPanelRow) {
    taps = kh;
    tap = y;
    depth = kw * in;
    d = x * in + i;
  }
  if (dtype == DType::kBF16) {
    const int64_t pairs = (depth + 1) / 2;
    return (((oc / 16 * taps + tap) * pairs + d / 2) * 16 + oc % 16) * 2 + d % 2;
  }
  if (dtype != DType::kI8) return ((oc / 16 * taps + tap) * depth + d) * 16 + oc % 16;
  const int64_t groups = (depth + 3) / 4;
  return (((oc / 16 * taps + tap) * groups + d / 4) * 16 + oc % 16) * 4 + d % 4;
}

TEST(PanelTest, EveryElementLiesWhereDocumentedAndTheRestIsZero) {
  for (const Case& c : kCases) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8}) {
      SCOPED_TRACE(c.shape.ToString() + " layout " + std::to_string(static_cast<int>(c.layout)) +
                   " " + DTypeName(dtype));
      const auto size = static_cast<int64_t>(DTypeSize(dtype));
      const std::vector<std::byte> plain = Random(c.shape.num_elements() * size);
      const int64_t bytes = ConstantBytes(c.shape, dtype, c.layout);
      std::vector<std::byte> packed(static_cast<size_t>(bytes), std::byte{0xee});
      PackWeights(plain.data(), c.shape, dtype, c.layout, packed.data());

      std::vector<bool> used(static_cast<size_t>(bytes / size), false);
      const bool dense = c.shape.rank() == 2;
      const int64_t kh = dense ? 1 : c.shape[1], kw = dense ? 1 : c.shape[2], in = c.shape.back();
      int64_t index = 0;
      for (int64_t oc = 0; oc < c.shape[0]; ++oc) {
        for (int64_t y = 0; y < kh; ++y) {
          for (int64_t x = 0; x < kw; ++x) {
            for (int64_t i = 0; i < in; ++i, ++index) {
              const int64_t at = Expected(c, dtype, oc, y, x, i);
              ASSERT_LT(at, bytes / size);
              ASSERT_FALSE(used[at]);
              used[at] = true;
              ASSERT_EQ(std::memcmp(&packed[at * size], &plain[index * size], size), 0);
            }
          }
        }
      }
      for (size_t at = 0; at < used.size(); ++at) {
        for (int64_t k = 0; k < size && !used[at]; ++k)
          ASSERT_EQ(packed[at * size + k], std::byte{0});
      }

      std::vector<std::byte> back(plain.size());
      UnpackWeights(packed.data(), c.shape, dtype, c.layout, back.data());
      EXPECT_EQ(back, plain);
    }
  }
}

TEST(PanelTest, ConstantBytes) {
  EXPECT_EQ(ConstantBytes({32, 7, 7, 3}, DType::kI8, Layout::kPanelRow), 32 * 7 * 24);
  EXPECT_EQ(ConstantBytes({5, 64}, DType::kI8, Layout::kPanel), 16 * 64);
  EXPECT_EQ(ConstantBytes({5, 64}, DType::kF16, Layout::kPanel), 16 * 64 * 2);
  EXPECT_EQ(ConstantBytes({64, 7, 7, 3}, DType::kBF16, Layout::kPanelRow), 64 * 7 * 22 * 2);
  EXPECT_EQ(ConstantBytes({17, 3, 3, 1}, DType::kBF16, Layout::kDepthwise), 32 * 9 * 2);
  EXPECT_EQ(ConstantBytes({17, 3, 3, 1}, DType::kF32, Layout::kDepthwise), 32 * 9 * 4);
  EXPECT_EQ(ConstantBytes({5}, DType::kI32, Layout::kPlain), 20);
  EXPECT_EQ(ConstantBytes({int64_t{1} << 40, int64_t{1} << 40}, DType::kI8, Layout::kPlain), -1);
  EXPECT_EQ(ConstantBytes({int64_t{1} << 61}, DType::kF32, Layout::kPlain), -1);
  EXPECT_EQ(ConstantBytes({int64_t{1} << 59, 1}, DType::kI8, Layout::kPanel), -1);
  EXPECT_EQ(ConstantBytes({3, -1}, DType::kI8, Layout::kPanel), -1);
  EXPECT_EQ(ConstantBytes({0, 3}, DType::kI8, Layout::kPanel), -1);
}

TEST(PanelTest, ChooseLayout) {
  Node conv;
  EXPECT_EQ(ChooseLayout(conv, {64, 7, 7, 3}), Layout::kPanelRow);
  EXPECT_EQ(ChooseLayout(conv, {64, 7, 7, 4}), Layout::kPanel);
  EXPECT_EQ(ChooseLayout(conv, {64, 1, 1, 1}), Layout::kPanelRow);
  conv.window.dilation_w = 2;
  EXPECT_EQ(ChooseLayout(conv, {64, 7, 7, 3}), Layout::kPanel);
  conv.window.dilation_w = 1;
  conv.groups = 8;
  EXPECT_EQ(ChooseLayout(conv, {8, 3, 3, 1}), Layout::kDepthwise);
  EXPECT_EQ(ChooseLayout(conv, {16, 3, 3, 1}), Layout::kPlain);  // Two outputs a channel.
  EXPECT_EQ(ChooseLayout(conv, {8, 3, 3, 2}), Layout::kPlain);
  EXPECT_EQ(ChooseLayout(conv, {32, 3, 3, 4}), Layout::kPanel);
  EXPECT_EQ(ChooseLayout(conv, {96, 1, 1, 24}), Layout::kPanel);
  EXPECT_EQ(ChooseLayout(conv, {32, 3, 3, 6}), Layout::kPlain);
  EXPECT_EQ(ChooseLayout(conv, {48, 3, 3, 4}), Layout::kPlain);  // Six outputs a group.
  Node dense;
  dense.type = OpType::kDense;
  EXPECT_EQ(ChooseLayout(dense, {10, 3}), Layout::kPanel);
}

TEST(PanelTest, PackGraphPacksEachWeightOnceAndKeepsTheGraphValid) {
  for (Precision precision : testing::kAllPrecisions) {
    const Graph plain = testing::SampleGraph(precision);
    Graph packed = plain;
    PackGraph(&packed);
    ASSERT_TRUE(ValidateGraph(packed).ok()) << ValidateGraph(packed).message();
    ASSERT_EQ(packed.tensors.size(), plain.tensors.size());
    std::set<Layout> layouts;
    for (size_t n = 0; n < plain.nodes.size(); ++n) {
      if (plain.nodes[n].type != OpType::kConv2d && plain.nodes[n].type != OpType::kDense) continue;
      const Tensor& before = plain.tensor(plain.nodes[n].input(kInputWeights));
      const Tensor& after = packed.tensor(packed.nodes[n].input(kInputWeights));
      EXPECT_EQ(after.layout, ChooseLayout(packed.nodes[n], after.shape));
      EXPECT_EQ(after.shape, before.shape);
      EXPECT_EQ(before.layout, Layout::kPlain);
      layouts.insert(after.layout);
      std::vector<std::byte> back(before.data.size());
      UnpackWeights(after.data.data(), after.shape, after.dtype, after.layout, back.data());
      EXPECT_EQ(std::memcmp(back.data(), before.data.data(), back.size()), 0);
    }
    EXPECT_EQ(layouts.size(), 4u);

    // Packing again changes nothing.
    Graph again = packed;
    PackGraph(&again);
    for (size_t i = 0; i < packed.tensors.size(); ++i) {
      EXPECT_EQ(again.tensors[i].data.data(), packed.tensors[i].data.data());
    }
  }
}

TEST(PanelTest, WeightsSharedByNodesOfDifferentLayoutsBecomeTwoTensors) {
  testing::SampleGraphBuilder b(Precision::kFp32);
  Graph& g = b.graph();
  const TensorId x = b.Input({1, 6, 6, 2});
  const TensorId w = b.Weights("shared", {2, 3, 3, 2});
  const auto window = [](int dilation) {
    return [dilation](Node* n) {
      n->window.kernel_h = n->window.kernel_w = 3;
      n->window.dilation_h = n->window.dilation_w = dilation;
      n->window.pad_top = n->window.pad_left = n->window.pad_bottom = n->window.pad_right =
          dilation;
    };
  };
  const Shape shape{1, 6, 6, 2};
  const TensorId y = b.Add(OpType::kConv2d, "row", {x, w}, b.Activation("row", shape), window(1));
  const TensorId z =
      b.Add(OpType::kConv2d, "dilated", {y, w}, b.Activation("dilated", shape), window(2));
  g.outputs = {
      b.Add(OpType::kConv2d, "row again", {z, w}, b.Activation("row again", shape), window(1))};
  ASSERT_TRUE(ValidateGraph(g).ok()) << ValidateGraph(g).message();
  const size_t tensors = g.tensors.size();
  const Tensor original = g.tensor(w);
  PackGraph(&g);
  ASSERT_TRUE(ValidateGraph(g).ok()) << ValidateGraph(g).message();
  EXPECT_EQ(g.tensors.size(), tensors + 1);
  EXPECT_EQ(g.nodes[0].input(kInputWeights), g.nodes[2].input(kInputWeights));
  EXPECT_NE(g.nodes[0].input(kInputWeights), g.nodes[1].input(kInputWeights));
  for (const Node& node : g.nodes) {
    const Tensor& packed = g.tensor(node.input(kInputWeights));
    std::vector<std::byte> back(original.data.size());
    UnpackWeights(packed.data.data(), packed.shape, packed.dtype, packed.layout, back.data());
    EXPECT_EQ(std::memcmp(back.data(), original.data.data(), back.size()), 0) << node.name;
  }
}

}  // namespace
}  // namespace octet
