#include "converter/tune/branches.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "converter/passes/passes.h"
#include "formats/base/str_cat.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

/// The layer that adds what `gives` gives.
struct Block {
  size_t adds = 0, gives = 0;  ///< Nodes.
};

std::vector<Block> BlocksOf(const Graph& g) {
  std::vector<int> producer(g.tensors.size(), -1), uses(g.tensors.size(), 0);
  for (TensorId id : g.outputs) ++uses[id];
  for (size_t i = 0; i < g.nodes.size(); ++i) {
    producer[g.nodes[i].output] = static_cast<int>(i);
    for (TensorId id : g.nodes[i].inputs)
      if (id != kNoTensor) ++uses[id];
  }
  std::vector<Block> blocks;
  for (size_t i = 0; i < g.nodes.size(); ++i) {
    const TensorId residual = g.nodes[i].input(kInputResidual);
    if (!TraitsOf(g.nodes[i].type).has_weights || residual == kNoTensor || uses[residual] != 1 ||
        producer[residual] < 0)
      continue;
    const auto gives = static_cast<size_t>(producer[residual]);
    const Node& n = g.nodes[gives];
    if (TraitsOf(n.type).has_weights && n.activation == Activation::kNone &&
        n.input(kInputResidual) == kNoTensor)
      blocks.push_back({i, gives});
  }
  return blocks;
}

const std::string kNone;

const Node* GivingNode(const Graph& g, const std::string& block) {
  for (const Block& b : BlocksOf(g))
    if (g.tensor(g.nodes[b.adds].output).name == block) return &g.nodes[b.gives];
  return nullptr;
}

}  // namespace

std::vector<std::string> ProjectionBlocks(const Graph& graph) {
  std::vector<std::string> names;
  for (const Block& block : BlocksOf(graph))
    names.push_back(graph.tensor(graph.nodes[block.adds].output).name);
  return names;
}

const std::string& RoundedBranch(const Graph& graph, const std::string& block) {
  const Node* n = GivingNode(graph, block);
  return n == nullptr ? kNone : graph.tensor(n->output).name;
}

const std::string& GivingLayer(const Graph& graph, const std::string& block) {
  const Node* n = GivingNode(graph, block);
  return n == nullptr ? kNone : n->name;
}

Status SwapBranches(const std::vector<std::string>& blocks, Graph* graph) {
  if (blocks.empty()) return OkStatus();
  for (const Block& b : BlocksOf(*graph)) {
    Node &adds = graph->nodes[b.adds], &gives = graph->nodes[b.gives];
    const TensorId output = adds.output;
    const std::string name = graph->tensor(output).name;
    if (std::find(blocks.begin(), blocks.end(), name) == blocks.end()) continue;
    const TensorId branch =
        graph->AddActivation(StrCat(name, ".branch"), DType::kF32, graph->tensor(output).shape);
    adds.set_input(kInputResidual, kNoTensor);
    adds.output = branch;
    gives.set_input(kInputResidual, branch);
    gives.output = output;
    gives.activation = std::exchange(adds.activation, Activation::kNone);
  }
  return RemoveUnused(graph);  // Which also puts them in order.
}

}  // namespace octet
