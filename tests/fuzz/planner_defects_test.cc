// Networks that the planner once got wrong, or that took its time or memory, each made by code and
// held against the naive interpreter (graph_oracle.h) or refused with a sentence.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine/src/model_impl.h"
#include "engine/src/plan.h"
#include "formats/model/panel.h"
#include "kernels/dispatch.h"
#include "tests/fuzz/graph_code.h"
#include "tests/fuzz/graph_oracle.h"

namespace octet::testing {
namespace {

class Net {
 public:
  explicit Net(bool quantized) : quantized_(quantized) {
    g.metadata.precision = quantized ? Precision::kInt8 : Precision::kFp32;
  }

  TensorId Activation(const Shape& shape) {
    return quantized_ ? ByteTensor(&g, shape, 0.05f, 7) : FloatTensor(&g, shape);
  }
  TensorId Input(const Shape& shape) {
    g.inputs.push_back(Activation(shape));
    return g.inputs.back();
  }
  TensorId Finish(Node* n) {
    const Result<Shape> shape = InferShape(g, *n);
    EXPECT_TRUE(shape.ok()) << shape.status().message();
    if (shape.ok()) g.tensor(n->output).shape = *shape;
    return n->output;
  }

  TensorId Layer(OpType type, TensorId x, const Shape& weights, const Window& window) {
    std::vector<TensorId> inputs = {x};
    std::vector<float> floats;
    std::vector<int8_t> bytes;
    for (int64_t i = 0; i < weights.num_elements(); ++i) {
      bytes.push_back(static_cast<int8_t>(static_cast<int>(Random() % 255) - 127));
      floats.push_back(static_cast<float>(bytes.back()) / 256.0f);
    }
    inputs.push_back(quantized_ ? Constant(&g, DType::kI8, weights, bytes)
                                : Constant(&g, DType::kF32, weights, floats));
    if (quantized_) {
      inputs.insert(inputs.end(), {kNoTensor, kNoTensor});
      inputs.push_back(Constant<float>(&g, DType::kF32, {weights[0]}, {0.004f}));
    }
    Node* n = AddNode(&g, type, inputs, Activation({1, 1}));
    n->window = window;
    return Finish(n);
  }
  /// Padding that keeps the size.
  TensorId Conv(TensorId x, int64_t out, int kernel) {
    const int p = kernel / 2;
    return Conv(x, out, MakeWindow(kernel, kernel, 1, 1, 1, 1, p, p, p, p));
  }
  TensorId Conv(TensorId x, int64_t out, const Window& w) {
    return Layer(OpType::kConv2d, x, {out, w.kernel_h, w.kernel_w, g.tensor(x).shape.back()}, w);
  }
  TensorId Dense(TensorId x, int64_t out) {
    return Layer(OpType::kDense, x, {out, g.tensor(x).shape.back()}, {});
  }
  TensorId Same(OpType type, TensorId x, const Shape& shape) {
    const Tensor like = g.tensor(x);
    const TensorId y = g.AddActivation("y" + std::to_string(g.tensors.size()), like.dtype, shape);
    g.tensor(y).quantization = like.quantization;
    return Finish(AddNode(&g, type, {x}, y));
  }

  Graph g;

 private:
  uint32_t Random() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33);
  }

  bool quantized_;
  uint64_t state_ = 1;
};

/// Every instruction set, one to three threads and images, with and without Winograd.
void ExpectRight(const Graph& g) {
  std::vector<RunMode> modes;
  for (const std::string& isa : OracleIsas()) {
    for (const bool winograd : {true, false}) {
      modes.push_back({isa, 1, 1, 1, winograd});
      modes.push_back({isa, 2, 1, 2, winograd});
      modes.push_back({isa, 3, 3, 3, winograd});
    }
  }
  for (uint64_t seed = 0; seed < 3; ++seed) EXPECT_EQ(CheckGraph(g, seed, modes, nullptr), "");
}

std::string CreateError(const Graph& graph, int64_t max_memory, StatusCode* code) {
  Graph g = graph;
  PackGraph(&g);
  EXPECT_TRUE(ValidateGraph(g).ok()) << ValidateGraph(g).message();
  PreparedWeights prepared;
  const PlanOptions options{.table = kernels::SelectTable("reference").value(),
                            .max_memory = max_memory,
                            .prepared = &prepared};
  const auto plan = BuildPlan(g, options);
  *code = plan.status().code();
  return plan.status().message();
}

class PlannerDefects : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(All, PlannerDefects, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "int8" : "fp32"; });

// Kernels store 16 lanes of every pixel; in front of a convolution of fewer than 4 channels, pixels
// were stored without room for them.
TEST_P(PlannerDefects, FewChannelsInFrontOfAConvolution) {
  for (const int64_t channels : {1, 2, 3}) {
    for (const int kernel : {1, 3}) {
      Net net(GetParam());
      TensorId x = net.Conv(net.Input({1, 9, 8, 16}), channels, kernel);
      net.g.outputs = {net.Conv(x, 20, 3)};
      ExpectRight(net.g);
    }
  }
  Net color(GetParam());
  color.g.outputs = {color.Conv(color.Conv(color.Input({1, 12, 11, 3}), 3, 1), 8, 3)};
  ExpectRight(color.g);
}

// The memory of a flattened tensor was given away when its first reader had run.
TEST_P(PlannerDefects, SeveralHeadsBehindOneFlatten) {
  Net net(GetParam());
  const TensorId map = net.Conv(net.Input({1, 5, 5, 16}), 64, 3);
  const TensorId pooled =
      net.Finish(AddNode(&net.g, OpType::kGlobalAveragePool, {map}, net.Activation({1, 1, 1, 1})));
  const TensorId flat = net.Same(OpType::kReshape, pooled, {1, 64});
  for (const int64_t classes : {30, 100, 17}) net.g.outputs.push_back(net.Dense(flat, classes));
  ExpectRight(net.g);

  Net maps(GetParam());
  const TensorId x = maps.Conv(maps.Input({1, 4, 4, 16}), 16, 1);
  const TensorId row = maps.Same(OpType::kReshape, x, {1, 256});
  const TensorId back = maps.Same(OpType::kReshape, row, {1, 4, 4, 16});
  maps.g.outputs = {maps.Dense(row, 9), maps.Conv(back, 16, 1), maps.Dense(row, 40)};
  ExpectRight(maps.g);
}

// A uint8 input that only a requantization reads was never copied in.
TEST(PlannerDefectsOfBytes, InputThatIsRequantized) {
  for (const bool also_read : {false, true}) {
    Net net(true);
    const TensorId x = net.Input({1, 6, 5, 3});
    const TensorId y = ByteTensor(&net.g, {1, 6, 5, 3}, 0.03f, 100);
    AddNode(&net.g, OpType::kQuantize, {x}, y);
    net.g.outputs = {y};
    const TensorId real = FloatTensor(&net.g, {1, 6, 5, 3});
    AddNode(&net.g, OpType::kDequantize, {x}, real);
    net.g.outputs.push_back(real);
    if (also_read) net.g.outputs.push_back(net.Conv(x, 8, 3));
    ExpectRight(net.g);
  }
}

// A reshape took over its input's memory because both were as large, with padding on other sides.
TEST_P(PlannerDefects, ReshapeBetweenPaddings) {
  Net net(GetParam());
  const TensorId x = net.Conv(net.Input({1, 6, 6, 16}), 16, 1);
  const TensorId y = net.Same(OpType::kReshape, x, {1, 6, 6, 16});
  net.g.outputs = {net.Conv(x, 16, MakeWindow(3, 1, 1, 1, 1, 1, 2, 0, 0, 0)),
                   net.Conv(y, 16, MakeWindow(3, 1, 1, 1, 1, 1, 0, 0, 2, 0))};
  ExpectRight(net.g);
  // One pixel before, the rows of another after.
  Net flat(GetParam());
  const TensorId a = flat.Conv(flat.Input({1, 4, 4, 16}), 16, 1);
  const TensorId b = flat.Same(OpType::kReshape, a, {1, 2, 8, 16});
  flat.g.outputs = {flat.Conv(a, 16, 3), flat.Conv(b, 16, 3)};
  ExpectRight(flat.g);
}

// Each reader's padding is small enough, all of it together is beyond 32-bit offsets.
TEST_P(PlannerDefects, PaddingBeyondAnyOffset) {
  Net net(GetParam());
  const TensorId x = net.Input({1, 1, 1, 1});
  net.g.outputs = {net.Conv(x, 1, MakeWindow(4096, 1, 4096, 1, 4096, 1, 16777000, 0, 215, 0)),
                   net.Conv(x, 1, MakeWindow(1, 4096, 1, 4096, 1, 4096, 0, 16777000, 0, 215))};
  StatusCode code;
  const std::string message = CreateError(net.g, std::numeric_limits<int64_t>::max(), &code);
  EXPECT_NE(code, StatusCode::kOk);
  EXPECT_NE(code, StatusCode::kInternal) << message;
  EXPECT_NE(message.find("padding"), std::string::npos) << message;

  // Less, but more than one tap's offset holds.
  Net less(GetParam());
  const TensorId y = less.Input({1, 8, 8, 16});
  less.g.outputs = {less.Conv(y, 1, MakeWindow(2, 1, 1, 1, 4096, 1, 4090, 0, 0, 0)),
                    less.Conv(y, 1, MakeWindow(1, 2000, 1, 4096, 1, 18, 0, 35990, 0, 35990))};
  const std::string second = CreateError(less.g, std::numeric_limits<int64_t>::max(), &code);
  EXPECT_EQ(code, StatusCode::kUnsupported) << second;
  EXPECT_NE(second.find("tap 1 lies"), std::string::npos) << second;
}

TEST_P(PlannerDefects, MemoryIsCheckedBeforeItIsAllocated) {
  Net net(GetParam());
  const TensorId x = net.Input({1, 1, 8, 1});
  net.g.outputs = {net.Conv(x, 1, MakeWindow(1, 4096, 1, 4096, 1, 4096, 0, 8000000, 0, 8777208))};
  StatusCode code;
  const std::string message = CreateError(net.g, int64_t{1} << 28, &code);
  EXPECT_EQ(code, StatusCode::kOutOfMemory) << message;
  EXPECT_NE(message.find("max_memory is 268435456"), std::string::npos) << message;
}

}  // namespace
}  // namespace octet::testing
