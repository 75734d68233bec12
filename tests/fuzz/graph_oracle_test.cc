// Random graphs against the naive interpreter, on every instruction set of this machine.
//
//   OCTET_GRAPHS=N      how many graphs instead of 20,000
//   OCTET_GRAPH_SEED=S  number of the first one (0); a failing graph prints its own
#include "tests/fuzz/graph_oracle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/graph_generator.h"
#include "formats/base/dtype.h"
#include "formats/model/graph.h"
#include "formats/model/octet_file.h"
#include "kernels/dispatch.h"
#include "tests/fuzz/graph_code.h"
#include "tests/fuzz/graph_shrinker.h"
#include "tests/sample_graphs.h"

namespace octet::testing {
namespace {

constexpr int64_t kDefaultGraphs = 20'000;

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

void Print(const char* title, const std::map<std::string, int64_t>& counts) {
  std::printf("%s\n", title);
  for (const auto& [name, count] : counts)
    std::printf("%9lld %s\n", static_cast<long long>(count), name.c_str());
}

/// Rows are operators, columns precisions.
void PrintNodes(const std::map<std::string, int64_t>& counts) {
  constexpr const char* kPrecisions[] = {
      "fp32",        "fp16",       "f32",       "hybrid",           "int8", "int8 tflite", "u8",
      "u8 tflite",   "u8 to f32",  "f32 to u8", "f32 to u8 tflite", "i16",  "i16 to f32",  "bf16",
      "bf16 to f32", "f32 to bf16"};
  std::printf("%-20s", "operators");
  for (const char* p : kPrecisions)
    std::printf(" %*s", std::max(6, static_cast<int>(std::string(p).size())), p);
  for (int type = 0; type < kNumOpTypes; ++type) {
    const std::string name = OpTypeName(static_cast<OpType>(type));
    std::printf("\n%-20s", name.c_str());
    for (const char* p : kPrecisions) {
      const auto found = counts.find(name + " " + p);
      std::printf(" %*lld", std::max(6, static_cast<int>(std::string(p).size())),
                  found == counts.end() ? 0LL : static_cast<long long>(found->second));
    }
  }
  std::printf("\n");
}

void Print(const Coverage& c) {
  std::printf("%lld graphs (%lld without kernels), %lld sessions, %lld runs\n",
              static_cast<long long>(c.graphs), static_cast<long long>(c.unsupported),
              static_cast<long long>(c.sessions), static_cast<long long>(c.runs));
  std::printf(
      "%lld elements exact, %lld within a bound above 0 (%lld uint8 ones one step away); %lld "
      "outputs with bounds "
      "up to 1/1000 of their largest value, %lld above\n",
      static_cast<long long>(c.exact), static_cast<long long>(c.bounded),
      static_cast<long long>(c.moved), static_cast<long long>(c.tight),
      static_cast<long long>(c.loose));
  PrintNodes(c.nodes);
  Print("sessions", c.modes);
  Print("features of graphs", c.features);
  Print("kernels", c.kernels);
}

void ExpectAtLeast(const std::map<std::string, int64_t>& counts, const std::string& name,
                   int64_t least) {
  const auto found = counts.find(name);
  EXPECT_GE(found == counts.end() ? 0 : found->second, least) << name;
}

void ExpectNodesAndFeatures(const Coverage& c) {
  for (const char* op : {"conv2d", "dense"}) {
    for (const char* p : {"fp32", "fp16", "hybrid", "int8", "int8 tflite", "u8 to f32"}) {
      ExpectAtLeast(c.nodes, std::string(op) + " " + p, 100);
    }
  }
  for (const char* op : {"max_pool", "average_pool", "global_average_pool", "add", "scale_shift",
                         "mul", "relu", "relu6", "clip", "pad", "slice", "concat", "reshape"}) {
    for (const char* p : {"f32", "u8", "u8 tflite"})
      ExpectAtLeast(c.nodes, std::string(op) + " " + p, 50);
  }
  for (const char* other : {"softmax f32", "log_softmax f32", "sigmoid f32", "tanh f32",
                            "global_average_pool u8 to f32", "dequantize u8 to f32",
                            "quantize f32 to u8", "quantize u8", "quantize u8 tflite"}) {
    ExpectAtLeast(c.nodes, other, 50);
  }
  for (const char* feature : {"layout panel",
                              "groups",
                              "layout panel row",
                              "layout depthwise",
                              "layout plain",
                              "residual",
                              "padding codes",
                              "residual of the layer's own input",
                              "no bias",
                              "dilation",
                              "stride",
                              "asymmetric padding",
                              "relu",
                              "relu6",
                              "shared constant",
                              "shared tensor",
                              "output that is read on",
                              "result or input that nobody reads",
                              "readers with other paddings",
                              "panel row behind a convolution",
                              "panel row and other readers",
                              "shared reshape",
                              "rank 2",
                              "several inputs",
                              "several outputs",
                              "float input that is only quantized",
                              "uint8 input that is only requantized",
                              "fully connected pixels",
                              "mean"}) {
    ExpectAtLeast(c.features, feature, 20);
  }
}

void ExpectKernels(const Coverage& c, const std::string& isa) {
  const auto table = kernels::SelectTable(isa);
  ASSERT_TRUE(table.ok()) << table.status().message();
  std::vector<std::string> names = {"conv_u8_u8",
                                    "conv_u8_f32",
                                    "conv_f32",
                                    "conv_f16",
                                    "depthwise_u8_u8",
                                    "depthwise_u8_f32",
                                    "depthwise_f32",
                                    "depthwise_f16",
                                    "max_pool_u8",
                                    "max_pool_f32",
                                    "average_pool_u8",
                                    "average_pool_f32",
                                    "global_pool_u8_u8",
                                    "global_pool_f32",
                                    "global_pool_u8_f32",
                                    "add_u8",
                                    "add_f32",
                                    "mul_u8",
                                    "mul_f32",
                                    "scale_shift_u8",
                                    "scale_shift_f32",
                                    "quantize",
                                    "dequantize",
                                    "min_max",
                                    "softmax",
                                    "log_softmax",
                                    "sigmoid",
                                    "tanh",
                                    "reshape",
                                    "copy"};
  if ((*table)->winograd_f32 != nullptr)
    names.insert(names.end(), {"winograd_f32", "winograd_f16"});
  if ((*table)->winograd_u8_u8 != nullptr)
    names.insert(names.end(), {"winograd_u8_u8", "winograd_u8_f32"});
  if ((*table)->split_u8_u8 != nullptr) names.insert(names.end(), {"split_u8_u8", "split_u8_f32"});
  if ((*table)->spread_u8_u8 != nullptr) names.push_back("spread_u8_u8");
  // What is emulated runs small graphs alone, of which few or none have a Winograd layer: which of
  // them depends on how many sets this processor has. conv_test tries those.
  for (const std::string& name : names) {
    if (isa.starts_with("emulated") && name.starts_with("winograd")) continue;
    ExpectAtLeast(c.kernels, isa + " " + name, 3);
  }
  for (const char* other :
       {"1 thread", "2 threads", "3 threads", "batch 1", "batch 2", "batch 3", "batch 1 of more",
        "batch 2 of more", "batch 3 of more", "winograd on", "winograd off"}) {
    ExpectAtLeast(c.pairs, isa + " + " + other, 20);
  }
}

void ExpectModes(const Coverage& c) {
  for (const char* threads : {"1 thread", "2 threads", "3 threads"}) {
    for (const char* batch : {"batch 1", "batch 2", "batch 3"}) {
      ExpectAtLeast(c.pairs, std::string(threads) + " + " + batch, 100);
      for (const char* winograd : {"winograd on", "winograd off"}) {
        ExpectAtLeast(c.pairs, std::string(threads) + " + " + winograd, 100);
        ExpectAtLeast(c.pairs, std::string(batch) + " + " + winograd, 100);
      }
    }
  }
}

/// What every operator and instruction set must have been part of, so that a change of the
/// generator or of the planner cannot lose one without a word.
void ExpectEverything(const Coverage& c) {
  ExpectNodesAndFeatures(c);
  for (const std::string& isa : OracleIsas()) ExpectKernels(c, isa);
  ExpectModes(c);
  // Bounds that allow anything would find nothing.
  EXPECT_LT(c.loose, c.tight / 5);
  EXPECT_GT(c.exact, c.bounded);
  EXPECT_LT(c.unsupported, c.graphs / 50);
}

/// What is wrong with a case. Threads may get into each other's way, or not: they get some chances.
std::string WrongIn(const GraphCase& c) {
  const bool threads =
      std::any_of(c.modes.begin(), c.modes.end(), [](const RunMode& m) { return m.threads > 1; });
  std::string wrong;
  for (int i = 0; wrong.empty() && i < (threads ? 20 : 1); ++i) {
    wrong = CheckGraph(c.graph, c.seed, c.modes, nullptr);
  }
  return wrong;
}
bool Fails(const GraphCase& c) { return !WrongIn(c).empty(); }

/// Checks the networks that `make` makes of seeds, none of some. True where all that are usual were
/// there and right, so that `coverage` should have everything.
bool CheckRandomGraphs(const std::function<std::optional<Graph>(SeededChoices*)>& make,
                       Coverage* coverage) {
  const int64_t count = FromEnvironment("OCTET_GRAPHS", kDefaultGraphs),
                first = FromEnvironment("OCTET_GRAPH_SEED", 0);
  const std::vector<std::string> isas = OracleIsas();
  constexpr int kMostFailures = 10;
  int failures = 0;
  for (int64_t seed = first; seed < first + count && failures < kMostFailures; ++seed) {
    SeededChoices choices(static_cast<uint64_t>(seed));
    const std::optional<Graph> graph = make(&choices);
    if (!graph) continue;
    const std::vector<RunMode> modes = ChooseModes(&choices, *graph, isas);
    const std::string wrong = CheckGraph(*graph, static_cast<uint64_t>(seed), modes, coverage);
    if (wrong.empty()) continue;
    ++failures;
    const std::string name = "OCTET_GRAPH_SEED=" + std::to_string(seed);
    const GraphCase small = Shrink({*graph, static_cast<uint64_t>(seed), modes}, Fails);
    ADD_FAILURE() << name << ": " << wrong << "\nshrunk: " << WrongIn(small) << "\n"
                  << ToCode(small, name);
  }
  Print(*coverage);
  return count >= kDefaultGraphs && failures == 0;
}

TEST(GraphOracle, RandomGraphs) {
  Coverage coverage;
  if (CheckRandomGraphs([](SeededChoices* choices) { return GenerateGraph(choices); }, &coverage))
    ExpectEverything(coverage);
}

/// The same with int16 instead of uint8.
TEST(GraphOracle, RandomInt16Graphs) {
  Coverage coverage;
  const auto make = [](SeededChoices* choices) -> std::optional<Graph> {
    Graph graph = GenerateGraph(choices);
    if (!ToInt16(&graph)) return std::nullopt;
    return graph;
  };
  if (!CheckRandomGraphs(make, &coverage)) return;
  for (const char* node : {"conv2d i16 tflite",
                           "dense i16 tflite",
                           "average_pool i16 tflite",
                           "global_average_pool i16 tflite",
                           "add i16 tflite",
                           "mul i16 tflite",
                           "scale_shift i16 tflite",
                           "quantize i16 tflite",
                           "conv2d i16",
                           "conv2d i16 to f32",
                           "dense i16",
                           "dense i16 to f32",
                           "max_pool i16",
                           "average_pool i16",
                           "global_average_pool i16",
                           "global_average_pool i16 to f32",
                           "add i16",
                           "mul i16",
                           "scale_shift i16",
                           "relu i16",
                           "relu6 i16",
                           "clip i16",
                           "pad i16",
                           "slice i16",
                           "concat i16",
                           "reshape i16",
                           "quantize i16",
                           "quantize f32 to i16",
                           "quantize u8 to i16",
                           "quantize i16 to u8",
                           "dequantize i16 to f32"}) {
    ExpectAtLeast(coverage.nodes, node, 20);
  }
  for (const std::string& isa : OracleIsas()) {
    const auto table = kernels::SelectTable(isa);
    ASSERT_TRUE(table.ok()) << table.status().message();
    const bool wide = (*table)->wide_i16_i16 != nullptr;
    for (const char* name :
         {wide ? "wide_i16_i16" : "conv_i16_i16", wide ? "wide_i16_f32" : "conv_i16_f32",
          "depthwise_i16_i16", "depthwise_i16_f32", "max_pool_i16", "average_pool_i16",
          "global_pool_i16_i16", "global_pool_i16_f32", "add_i16", "mul_i16", "scale_shift_i16",
          "quantize_i16", "dequantize_i16", "requantize_u8_i16", "requantize_i16_u8"}) {
      ExpectAtLeast(coverage.kernels, isa + " " + name, 3);
    }
    // The emulated sets compute few of the large graphs.
    if ((*table)->winograd_i16_i16 == nullptr || isa.starts_with("emulated")) continue;
    ExpectAtLeast(coverage.kernels, isa + " winograd_i16_i16", 3);
  }
}

/// The same in bfloat16.
TEST(GraphOracle, RandomBf16Graphs) {
  Coverage coverage;
  const auto make = [](SeededChoices* choices) -> std::optional<Graph> {
    Graph graph = GenerateGraph(choices);
    if (!ToBf16(&graph)) return std::nullopt;
    return graph;
  };
  if (!CheckRandomGraphs(make, &coverage)) return;
  for (const char* node : {"conv2d bf16",
                           "conv2d bf16 to f32",
                           "dense bf16",
                           "dense bf16 to f32",
                           "max_pool bf16",
                           "average_pool bf16",
                           "global_average_pool bf16",
                           "global_average_pool bf16 to f32",
                           "add bf16",
                           "mul bf16",
                           "scale_shift bf16",
                           "relu bf16",
                           "relu6 bf16",
                           "clip bf16",
                           "pad bf16",
                           "slice bf16",
                           "concat bf16",
                           "reshape bf16",
                           "softmax bf16",
                           "softmax bf16 to f32",
                           "sigmoid bf16",
                           "quantize f32 to bf16",
                           "dequantize bf16 to f32"}) {
    ExpectAtLeast(coverage.nodes, node, 20);
  }
  for (const std::string& isa : OracleIsas()) {
    const auto table = kernels::SelectTable(isa);
    ASSERT_TRUE(table.ok()) << table.status().message();
    for (const char* name :
         {"conv_bf16_bf16", "conv_bf16_f32", "depthwise_bf16_bf16", "depthwise_bf16_f32",
          "max_pool_bf16", "average_pool_bf16", "global_pool_bf16_bf16", "global_pool_bf16_f32",
          "add_bf16", "mul_bf16", "scale_shift_bf16", "scale_shift_f32_bf16",
          "scale_shift_bf16_f32"}) {
      ExpectAtLeast(coverage.kernels, isa + " " + name, 3);
    }
    // The emulated sets compute few of the large graphs.
    if ((*table)->winograd_bf16_bf16 == nullptr || isa.starts_with("emulated") ||
        (*table)->winograd_bf16.tiles > 0)
      continue;
    ExpectAtLeast(coverage.kernels, isa + " winograd_bf16_bf16", 3);
    ExpectAtLeast(coverage.kernels, isa + " winograd_bf16_f32", 3);
  }
}

/// Two layers for tiles of 2x2 outputs in front of each other, the second with a residual.
Graph Winograd2x2Graph(int64_t height, int64_t width, int64_t channels) {
  SampleGraphBuilder b(Precision::kBf16);
  const TensorId x = b.Input({1, height, width, channels});
  b.Output(b.SameConv("second", b.SameConv("first", x, channels, 3), channels, 3, x));
  return std::move(b.graph());
}

TEST(GraphOracle, Winograd2x2Graphs) {
  Coverage coverage;
  SeededChoices choices(1);
  const int64_t sizes[][3] = {{7, 7, 128}, {8, 9, 144}, {6, 12, 160}};
  for (const auto& [height, width, channels] : sizes) {
    const Graph graph = Winograd2x2Graph(height, width, channels);
    for (int turn = 0; turn < 4; ++turn) {
      const std::vector<RunMode> modes = ChooseModes(&choices, graph, OracleIsas());
      EXPECT_EQ(CheckGraph(graph, static_cast<uint64_t>(turn), modes, &coverage), "");
    }
    for (const std::string& isa : OracleIsas()) {
      EXPECT_EQ(CheckGraph(graph, 7, {{isa, 1, 1, 1, true}, {isa, 2, 2, 3, true}}, &coverage), "");
      const auto table = kernels::SelectTable(isa);
      if (table.ok() && (*table)->winograd_2x2_bf16_bf16 != nullptr)
        ExpectAtLeast(coverage.kernels, isa + " winograd_2x2_bf16_bf16", 4);
    }
  }
}

// ---- The oracle can fail ----

/// Another constant in `slot` of the node, one of whose elements `change` has changed.
template <typename T, typename F>
void ChangeElement(Graph* g, Node* n, int slot, Choices* choices, F change) {
  const Tensor old = g->tensor(n->inputs[slot]);
  std::vector<T> values(old.values<T>().begin(), old.values<T>().end());
  T& v = values[choices->Below(static_cast<uint32_t>(values.size()))];
  v = change(v);
  n->inputs[slot] =
      g->AddConstant("changed", old.dtype, old.shape, values.data(), values.size() * sizeof(T));
}

bool ChangeWeight(Graph* g, Node* n, Choices* choices) {
  if (n->type != OpType::kConv2d && n->type != OpType::kDense) return false;
  const Tensor& w = g->tensor(n->inputs[kInputWeights]);
  const auto step = 16.0f / (64.0f * static_cast<float>(w.shape.num_elements() / w.shape[0]));
  switch (w.dtype) {
    case DType::kF32:
      ChangeElement<float>(g, n, kInputWeights, choices, [=](float v) { return v + step; });
      return true;
    case DType::kF16:
      ChangeElement<uint16_t>(g, n, kInputWeights, choices,
                              [=](uint16_t v) { return FloatToHalf(HalfToFloat(v) + step); });
      return true;
    default:
      ChangeElement<int8_t>(g, n, kInputWeights, choices,
                            [](int8_t v) { return static_cast<int8_t>(v > 0 ? v - 64 : v + 64); });
      return true;
  }
}

bool ChangeBias(Graph* g, Node* n, Choices* choices) {
  const bool conv = n->type == OpType::kConv2d || n->type == OpType::kDense;
  if (!conv || n->input(kInputBias) == kNoTensor) return false;
  if (g->tensor(n->inputs[kInputBias]).dtype == DType::kF32) {
    ChangeElement<float>(g, n, kInputBias, choices, [](float v) { return v + 0.125f; });
  } else {
    ChangeElement<int32_t>(g, n, kInputBias, choices, [](int32_t v) { return v + 3000; });
  }
  return true;
}

bool MovePadding(Graph*, Node* n, Choices*) {
  Window& w = n->window;
  if (w.pad_left == w.pad_right) return false;
  std::swap(w.pad_left, w.pad_right);
  return true;
}

bool SwapOperands(Graph*, Node* n, Choices*) {
  if (n->type != OpType::kConcat || n->inputs[0] == n->inputs[1]) return false;
  std::swap(n->inputs[0], n->inputs[1]);
  return true;
}

bool ChangeActivation(Graph*, Node* n, Choices*) {
  if (n->activation == Activation::kNone) return false;
  n->activation = Activation::kNone;
  return true;
}

bool DropResidual(Graph*, Node* n, Choices*) {
  const bool conv = n->type == OpType::kConv2d || n->type == OpType::kDense;
  if (!conv || n->input(kInputResidual) == kNoTensor) return false;
  n->inputs[kInputResidual] = kNoTensor;
  return true;
}

/// An interpreter that computes another graph than the engine is noticed, unless what it computes
/// otherwise is clamped, rounded or dropped on the way to the outputs. The least shares are a
/// little below those of these seeds.
TEST(GraphOracle, NoticesWrongAnswers) {
  const struct {
    const char* name;
    bool (*change)(Graph*, Node*, Choices*);
    double least;
  } kChanges[] = {
      {"one weight", &ChangeWeight, 0.55},
      {"one bias", &ChangeBias, 0.7},
      {"padding", &MovePadding, 0.75},
      {"operands of a concat", &SwapOperands, 0.85},
      {"activation function", &ChangeActivation, 0.6},
      {"residual", &DropResidual, 0.75},
  };
  const std::vector<RunMode> modes = {{"reference"}};
  for (const auto& kind : kChanges) {
    int changed = 0, noticed = 0;
    for (uint64_t seed = 0; seed < 3000 && changed < 200; ++seed) {
      SeededChoices choices(seed);
      const Graph graph = GenerateGraph(&choices);
      if (GraphCost(graph) > 100'000) continue;
      Graph other = graph;
      const size_t start = choices.Below(static_cast<uint32_t>(other.nodes.size()));
      bool done = false;
      for (size_t i = 0; !done && i < other.nodes.size(); ++i) {
        Node* n = &other.nodes[(start + i) % other.nodes.size()];
        done = kind.change(&other, n, &choices);
      }
      if (!done || !ValidateGraph(other).ok()) continue;
      ++changed;
      noticed += !CheckGraph(graph, other, seed, modes, nullptr).empty();
    }
    std::printf("%-24s noticed %d of %d\n", kind.name, noticed, changed);
    EXPECT_GE(changed, 50) << kind.name;
    EXPECT_GT(noticed, kind.least * changed) << kind.name;
  }
}

TEST(GraphOracle, NoticesInvalidGraphs) {
  SeededChoices choices(1);
  Graph graph = GenerateGraph(&choices);
  graph.outputs.push_back(graph.outputs[0]);
  EXPECT_THAT(CheckGraph(graph, 1, {{"reference"}}, nullptr), ::testing::HasSubstr("not valid"));
}

TEST(GraphGenerator, SameChoicesSameGraph) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SeededChoices a(seed), b(seed);
    const auto first = SerializeOctet(GenerateGraph(&a), {}),
               second = SerializeOctet(GenerateGraph(&b), {});
    ASSERT_TRUE(first.ok()) << first.status().message();
    EXPECT_EQ(*first, *second);
  }
}

/// Every sequence of bytes is a valid graph, the empty one too.
TEST(GraphGenerator, TakesAnyBytes) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    SeededChoices random(seed);
    std::vector<uint8_t> bytes(random.Below(200));
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random.Below(256));
    ByteChoices choices(bytes);
    const Graph graph = GenerateGraph(&choices);
    ASSERT_TRUE(ValidateGraph(graph).ok()) << seed << ": " << ValidateGraph(graph).message();
  }
}

// ---- Shrinking ----

/// What a graph is shrunk for when there is no defect: a 3x3 convolution whose result is pooled.
bool HasPooledConv(const GraphCase& c) {
  for (const Node& pool : c.graph.nodes) {
    if (pool.type != OpType::kMaxPool) continue;
    for (const Node& n : c.graph.nodes) {
      if (n.type == OpType::kConv2d && n.output == pool.inputs[0] && n.window.kernel_h == 3)
        return true;
    }
  }
  return false;
}

TEST(GraphShrinker, KeepsOnlyWhatFails) {
  int shrunk = 0;
  for (uint64_t seed = 0; seed < 5000 && shrunk < 20; ++seed) {
    SeededChoices choices(seed);
    GraphCase c{GenerateGraph(&choices), seed, {}};
    c.modes = ChooseModes(&choices, c.graph, {"reference", "sse2"});
    if (c.graph.nodes.size() < 6 || !HasPooledConv(c)) continue;
    ++shrunk;
    const GraphCase small = Shrink(c, HasPooledConv);
    EXPECT_TRUE(HasPooledConv(small));
    EXPECT_TRUE(ValidateGraph(small.graph).ok());
    ASSERT_EQ(small.graph.nodes.size(), 2u) << ToCode(small, "seed " + std::to_string(seed));
    ASSERT_EQ(small.modes.size(), 1u);
    EXPECT_EQ(small.modes[0].threads, 1);
    EXPECT_EQ(small.modes[0].batch, 1);
    const Node& conv = small.graph.nodes[0];
    EXPECT_EQ(conv.activation, Activation::kNone);
    EXPECT_EQ(conv.window.kernel_w, 1);
    EXPECT_EQ(conv.input(kInputBias), kNoTensor);
    EXPECT_LE(small.graph.tensor(small.graph.inputs[0]).shape.num_elements(), 3);
    EXPECT_LE(small.graph.tensors.size(), 5u);
  }
  EXPECT_EQ(shrunk, 20);
}

/// Wrong answers are shrunk to the layer that gives them.
TEST(GraphShrinker, FindsTheLayer) {
  // "Wrong" is an answer that the interpreter of a graph without the residual would not give.
  const auto fails = [](const GraphCase& c) {
    Graph other = c.graph;
    bool dropped = false;
    for (Node& n : other.nodes) dropped |= DropResidual(&other, &n, nullptr);
    return dropped && !CheckGraph(c.graph, other, c.seed, c.modes, nullptr).empty();
  };
  int shrunk = 0;
  for (uint64_t seed = 0; seed < 3000 && shrunk < 5; ++seed) {
    SeededChoices choices(seed);
    GraphCase c{GenerateGraph(&choices), seed, {{"reference"}}};
    if (c.graph.nodes.size() < 6 || !fails(c)) continue;
    ++shrunk;
    const GraphCase small = Shrink(c, fails);
    EXPECT_EQ(small.graph.nodes.size(), 1u) << ToCode(small, "seed " + std::to_string(seed));
    EXPECT_NE(small.graph.nodes[0].input(kInputResidual), kNoTensor);
  }
  EXPECT_EQ(shrunk, 5);
}

/// ToCode's text, compiled: the two must be the same, but for the line of the check.
Graph PrintedGraph() {
  // clang-format off
#include "tests/fuzz/printed_graph.inc"
  // clang-format on
  return g;
}

TEST(GraphShrinker, PrintsCodeThatBuildsTheGraph) {
  const Graph g = PrintedGraph();
  ASSERT_TRUE(ValidateGraph(g).ok()) << ValidateGraph(g).message();
  std::ifstream file(OCTET_SOURCE_DIR "/tests/fuzz/printed_graph.inc");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(ToCode({g, 7, {{"reference", 2, 1, 3, false}}}, "Every operator and attribute."), text);
  EXPECT_EQ(CheckGraph(g, 7, {{"reference", 2, 1, 3, false}}, nullptr), "");
}

}  // namespace
}  // namespace octet::testing
