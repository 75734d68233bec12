// Random graphs against the naive interpreter, on every instruction set of this machine.
//
//   OCTET_GRAPHS=N      how many graphs instead of 20,000
//   OCTET_GRAPH_SEED=S  number of the first one (0); a failing graph prints its own
//   OCTET_GRAPH_KNOWN=1 also those that are known to fail (HitsKnownDefect)
#include "tests/fuzz/graph_oracle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "formats/model/graph.h"
#include "formats/model/panel.h"
#include "kernels/dispatch.h"
#include "tests/fuzz/graph_generator.h"

namespace octet::testing {
namespace {

constexpr int64_t kDefaultGraphs = 20'000;

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

/// Defects of the planner that this test finds and that are not mended yet. With each that is, its
/// lines go.
bool HitsKnownDefect(const Graph& g) {
  std::vector<int> readers(g.tensors.size(), 0), rows(g.tensors.size(), 0),
      quantizes(g.tensors.size(), 0);
  std::vector<int> producer(g.tensors.size(), -1);
  const auto is_conv = [](const Node& n) {
    return n.type == OpType::kConv2d || n.type == OpType::kDense;
  };
  for (size_t i = 0; i < g.nodes.size(); ++i) {
    const Node& n = g.nodes[i];
    producer[static_cast<size_t>(n.output)] = static_cast<int>(i);
    for (TensorId id : n.inputs) {
      if (id != kNoTensor) ++readers[static_cast<size_t>(id)];
    }
    const auto x = static_cast<size_t>(n.inputs[0]);
    quantizes[x] += n.type == OpType::kQuantize;
    if (is_conv(n))
      rows[x] += ChooseLayout(n, g.tensor(n.inputs[kInputWeights]).shape) == Layout::kPanelRow;
    // The memory of a reshaped tensor is given away before its reader comes, or has other halos.
    const int before = producer[x];
    if (is_conv(n) && before >= 0 &&
        g.nodes[static_cast<size_t>(before)].type == OpType::kReshape &&
        (n.type == OpType::kConv2d || before + 1 != static_cast<int>(i))) {
      return true;
    }
  }
  for (TensorId id : g.outputs) ++readers[static_cast<size_t>(id)];
  for (size_t i = 0; i < g.tensors.size(); ++i) {
    // Whole panels are stored into pixels that have no room for them.
    const bool from_conv = producer[i] >= 0 && is_conv(g.nodes[static_cast<size_t>(producer[i])]);
    if (from_conv && rows[i] > 0 && rows[i] == readers[i]) return true;
    // The network never sees its input.
    const bool input =
        std::find(g.inputs.begin(), g.inputs.end(), static_cast<TensorId>(i)) != g.inputs.end();
    if (input && g.tensors[i].dtype == DType::kU8 && readers[i] > 0 && quantizes[i] == readers[i])
      return true;
  }
  return false;
}

void Print(const char* title, const std::map<std::string, int64_t>& counts) {
  std::printf("%s\n", title);
  for (const auto& [name, count] : counts)
    std::printf("%9lld %s\n", static_cast<long long>(count), name.c_str());
}

/// Rows are operators, columns precisions.
void PrintNodes(const std::map<std::string, int64_t>& counts) {
  constexpr const char* kPrecisions[] = {
      "fp32",      "fp16",      "f32",       "hybrid",          "int8", "int8 tflite", "u8",
      "u8 tflite", "u8 to f32", "f32 to u8", "f32 to u8 tflite"};
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

/// What every operator and instruction set must have been part of, so that a change of the
/// generator or of the planner cannot lose one without a word.
void ExpectEverything(const Coverage& c) {
  const auto expect = [](const std::map<std::string, int64_t>& counts, const std::string& name,
                         int64_t least) {
    const auto found = counts.find(name);
    EXPECT_GE(found == counts.end() ? 0 : found->second, least) << name;
  };
  for (const char* op : {"conv2d", "dense"}) {
    for (const char* p : {"fp32", "fp16", "hybrid", "int8", "int8 tflite", "u8 to f32"}) {
      expect(c.nodes, std::string(op) + " " + p, 100);
    }
  }
  for (const char* op : {"max_pool", "average_pool", "global_average_pool", "add", "scale_shift",
                         "relu", "relu6", "pad", "slice", "concat", "reshape"}) {
    for (const char* p : {"f32", "u8", "u8 tflite"}) expect(c.nodes, std::string(op) + " " + p, 50);
  }
  for (const char* other :
       {"mul f32", "softmax f32", "global_average_pool u8 to f32", "dequantize u8 to f32",
        "quantize f32 to u8", "quantize u8", "quantize u8 tflite"}) {
    expect(c.nodes, other, 50);
  }
  for (const char* feature : {"layout panel",
                              "layout panel row",
                              "layout depthwise",
                              "layout plain",
                              "residual",
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
                              "float input that is only quantized"}) {
    expect(c.features, feature, 20);
  }
  // Of a known defect: "uint8 input that is only requantized".
  for (const std::string& isa : OracleIsas()) {
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
                                      "mul_f32",
                                      "scale_shift_u8",
                                      "scale_shift_f32",
                                      "quantize",
                                      "dequantize",
                                      "min_max",
                                      "softmax",
                                      "reshape",
                                      "copy"};
    if ((*table)->winograd_f32 != nullptr)
      names.insert(names.end(), {"winograd_f32", "winograd_f16"});
    if ((*table)->winograd_u8_u8 != nullptr)
      names.insert(names.end(), {"winograd_u8_u8", "winograd_u8_f32"});
    if ((*table)->split_u8_u8 != nullptr)
      names.insert(names.end(), {"split_u8_u8", "split_u8_f32"});
    for (const std::string& name : names) expect(c.kernels, isa + " " + name, 3);
    for (const char* other :
         {"1 thread", "2 threads", "3 threads", "batch 1", "batch 2", "batch 3", "batch 1 of more",
          "batch 2 of more", "batch 3 of more", "winograd on", "winograd off"}) {
      expect(c.pairs, isa + " + " + other, 20);
    }
  }
  for (const char* threads : {"1 thread", "2 threads", "3 threads"}) {
    for (const char* batch : {"batch 1", "batch 2", "batch 3"}) {
      expect(c.pairs, std::string(threads) + " + " + batch, 100);
      for (const char* winograd : {"winograd on", "winograd off"}) {
        expect(c.pairs, std::string(threads) + " + " + winograd, 100);
        expect(c.pairs, std::string(batch) + " + " + winograd, 100);
      }
    }
  }
  // Bounds that allow anything would find nothing.
  EXPECT_LT(c.loose, c.tight / 5);
  EXPECT_GT(c.exact, c.bounded);
  EXPECT_LT(c.unsupported, c.graphs / 50);
}

TEST(GraphOracle, RandomGraphs) {
  const int64_t count = FromEnvironment("OCTET_GRAPHS", kDefaultGraphs),
                first = FromEnvironment("OCTET_GRAPH_SEED", 0);
  const bool known = FromEnvironment("OCTET_GRAPH_KNOWN", 0) != 0;
  const std::vector<std::string> isas = OracleIsas();
  constexpr int kMostFailures = 10;
  Coverage coverage;
  int failures = 0;
  for (int64_t seed = first; seed < first + count && failures < kMostFailures; ++seed) {
    SeededChoices choices(static_cast<uint64_t>(seed));
    const Graph graph = GenerateGraph(&choices);
    if (!known && HitsKnownDefect(graph)) continue;
    const std::vector<RunMode> modes = ChooseModes(&choices, graph, isas);
    const std::string wrong = CheckGraph(graph, static_cast<uint64_t>(seed), modes, &coverage);
    if (wrong.empty()) continue;
    ++failures;
    ADD_FAILURE() << "OCTET_GRAPH_SEED=" << seed << ": " << wrong;
  }
  Print(coverage);
  if (count >= kDefaultGraphs && failures == 0) ExpectEverything(coverage);
}

}  // namespace
}  // namespace octet::testing
