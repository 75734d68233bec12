#include "converter/passes/passes.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// Who makes and who reads each tensor.
class Uses {
 public:
  explicit Uses(const Graph& g) : producer_(g.tensors.size(), -1), consumers_(g.tensors.size(), 0) {
    for (size_t i = 0; i < g.nodes.size(); ++i) {
      if (g.nodes[i].output != kNoTensor) producer_[g.nodes[i].output] = static_cast<int>(i);
      for (TensorId id : g.nodes[i].inputs) {
        if (id != kNoTensor) ++consumers_[id];
      }
    }
    for (TensorId id : g.outputs) ++consumers_[id];
  }
  /// Index of the node that computes `id`, -1 for inputs and constants.
  int producer(TensorId id) const { return producer_[id]; }
  /// Whether exactly one node (or graph output) reads `id`.
  bool single(TensorId id) const { return consumers_[id] == 1; }
  int count(TensorId id) const { return consumers_[id]; }

 private:
  std::vector<int> producer_;
  std::vector<int> consumers_;
};

bool HasWeights(const Node& n) { return n.type == OpType::kConv2d || n.type == OpType::kDense; }

/// Removes nodes marked by an empty output.
void EraseMarked(Graph* g) {
  std::erase_if(g->nodes, [](const Node& n) { return n.output == kNoTensor; });
}

/// Makes every reader of `from` read `to`.
void Redirect(Graph* g, TensorId from, TensorId to) {
  for (Node& n : g->nodes) std::replace(n.inputs.begin(), n.inputs.end(), from, to);
  std::replace(g->outputs.begin(), g->outputs.end(), from, to);
}

/// Drops nodes whose result nobody reads.
void RemoveDeadNodes(Graph* g) {
  for (bool changed = true; changed;) {
    changed = false;
    const Uses uses(*g);
    for (Node& n : g->nodes) {
      if (uses.count(n.output) > 0) continue;
      n.output = kNoTensor;
      changed = true;
    }
    EraseMarked(g);
  }
}

/// Stable topological order. Errors: kInvalidArgument when the graph has a cycle or reads what nobody computes.
Status SortNodes(Graph* g) {
  std::vector<bool> ready(g->tensors.size(), false);
  for (size_t i = 0; i < g->tensors.size(); ++i) ready[i] = g->tensors[i].is_constant();
  for (TensorId id : g->inputs) ready[id] = true;
  std::vector<Node> sorted;
  std::vector<bool> placed(g->nodes.size(), false);
  while (sorted.size() < g->nodes.size()) {
    const size_t before = sorted.size();
    for (size_t i = 0; i < g->nodes.size(); ++i) {
      const Node& n = g->nodes[i];
      if (placed[i]) continue;
      const bool all = std::all_of(n.inputs.begin(), n.inputs.end(), [&](TensorId id) { return id == kNoTensor || ready[id]; });
      if (!all) continue;
      placed[i] = true;
      ready[n.output] = true;
      sorted.push_back(n);
    }
    if (sorted.size() != before) continue;
    const size_t stuck = static_cast<size_t>(std::find(placed.begin(), placed.end(), false) - placed.begin());
    return InvalidArgument(StrCat("node ", g->nodes[stuck].name, " reads a tensor that nothing computes before it, or is part of a cycle"));
  }
  g->nodes = std::move(sorted);
  return OkStatus();
}

/// Whether zero padding in front of `n` may become padding of its window.
bool TakesPadding(const Graph& g, const Uses& uses, const Node& pad, const Node& n) {
  if (pad.pad_value != 0.0f || pad.begin[0] != 0 || pad.end[0] != 0 || pad.begin[3] != 0 || pad.end[3] != 0) return false;
  if (g.tensor(pad.output).shape.rank() != 4) return false;
  for (int d = 1; d <= 2; ++d) {
    if (pad.begin[d] < 0 || pad.end[d] < 0) return false;
  }
  if (n.type == OpType::kConv2d) return n.inputs[kInputX] == pad.output;
  if (n.type != OpType::kMaxPool) return false;
  // A maximum over values that are never negative is not changed by zeros, as long as no window lies in the padding alone.
  const int producer = uses.producer(pad.inputs[0]);
  if (producer < 0) return false;
  const Node& from = g.nodes[producer];
  const bool non_negative = from.activation != Activation::kNone || from.type == OpType::kRelu || from.type == OpType::kRelu6;
  return non_negative && pad.begin[1] + n.window.pad_top < n.window.kernel_h && pad.begin[2] + n.window.pad_left < n.window.kernel_w &&
         pad.end[1] + n.window.pad_bottom < n.window.kernel_h && pad.end[2] + n.window.pad_right < n.window.kernel_w;
}

void MergePads(Graph* g) {
  const Uses uses(*g);
  for (Node& pad : g->nodes) {
    if (pad.type != OpType::kPad || !uses.single(pad.output)) continue;
    for (Node& n : g->nodes) {
      if (n.output == kNoTensor || n.inputs.empty() || n.inputs[0] != pad.output || !TakesPadding(*g, uses, pad, n)) continue;
      n.inputs[0] = pad.inputs[0];
      n.window.pad_top += pad.begin[1];
      n.window.pad_bottom += pad.end[1];
      n.window.pad_left += pad.begin[2];
      n.window.pad_right += pad.end[2];
      pad.output = kNoTensor;
      break;
    }
  }
  EraseMarked(g);
}

void SimplifyReshapes(Graph* g) {
  for (size_t i = 0; i < g->nodes.size(); ++i) {
    Node& n = g->nodes[i];
    if (n.type != OpType::kReshape) continue;
    const int producer = Uses(*g).producer(n.inputs[0]);
    if (producer >= 0 && g->nodes[producer].type == OpType::kReshape) n.inputs[0] = g->nodes[producer].inputs[0];
    const bool is_output = std::find(g->outputs.begin(), g->outputs.end(), n.output) != g->outputs.end();
    if (!is_output && g->tensor(n.inputs[0]).shape == g->tensor(n.output).shape) Redirect(g, n.output, n.inputs[0]);
  }
}

void RecognizeGlobalPools(Graph* g) {
  for (Node& n : g->nodes) {
    if (n.type != OpType::kAveragePool) continue;
    const Shape& x = g->tensor(n.inputs[0]).shape;
    const Window& w = n.window;
    if (w.kernel_h == x[1] && w.kernel_w == x[2] && w.pad_top + w.pad_left + w.pad_bottom + w.pad_right == 0) {
      n.type = OpType::kGlobalAveragePool;
      n.window = {};
    }
  }
}

/// conv or dense, then scale*y + shift: new weights and bias, computed in double.
void Fold(Graph* g, Node* layer, const Node& scale_shift) {
  const Tensor w = g->tensor(layer->inputs[kInputWeights]);
  const std::span<const float> from = w.values<float>();
  const std::span<const float> scale = g->tensor(scale_shift.inputs[1]).values<float>();
  const std::span<const float> shift = g->tensor(scale_shift.inputs[2]).values<float>();
  const size_t channels = static_cast<size_t>(w.shape[0]), row = from.size() / channels;
  std::vector<float> weights(from.size()), bias(channels);
  const TensorId old_bias = layer->input(kInputBias);
  for (size_t c = 0; c < channels; ++c) {
    for (size_t i = 0; i < row; ++i) {
      weights[c * row + i] = static_cast<float>(static_cast<double>(from[c * row + i]) * scale[c]);
    }
    const double b = old_bias == kNoTensor ? 0.0 : g->tensor(old_bias).values<float>()[c];
    bias[c] = static_cast<float>(b * scale[c] + shift[c]);
  }
  const std::string bias_name = old_bias == kNoTensor ? layer->name + ".bias" : g->tensor(old_bias).name;
  layer->inputs[kInputWeights] = g->AddConstant(w.name, DType::kF32, w.shape, weights.data(), weights.size() * sizeof(float));
  layer->set_input(kInputBias, g->AddConstant(bias_name, DType::kF32, {w.shape[0]}, bias.data(), bias.size() * sizeof(float)));
}

}  // namespace

Status FoldScaleShift(Graph* graph) {
  // One at a time: a fold changes who produces what, and a convolution may be followed by several.
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    if (graph->nodes[i].type != OpType::kScaleShift) continue;
    const Uses uses(*graph);
    const TensorId x = graph->nodes[i].inputs[0];
    const int producer = uses.producer(x);
    if (producer < 0 || !uses.single(x)) continue;
    Node& layer = graph->nodes[producer];
    if (!HasWeights(layer) || layer.activation != Activation::kNone || layer.input(kInputResidual) != kNoTensor ||
        graph->tensor(layer.inputs[kInputWeights]).dtype != DType::kF32 || graph->tensor(x).dtype != DType::kF32) {
      continue;
    }
    Fold(graph, &layer, graph->nodes[i]);
    layer.activation = graph->nodes[i].activation;
    layer.output = graph->nodes[i].output;
    graph->nodes.erase(graph->nodes.begin() + static_cast<std::ptrdiff_t>(i));
    --i;
  }
  return OkStatus();
}

Status FuseResidualAndActivation(Graph* graph) {
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    const Node& relu = graph->nodes[i];
    if (relu.type != OpType::kRelu && relu.type != OpType::kRelu6) continue;
    const Uses uses(*graph);
    const int producer = uses.producer(relu.inputs[0]);
    if (producer < 0 || !uses.single(relu.inputs[0])) continue;
    Node& n = graph->nodes[producer];
    if ((!HasWeights(n) && n.type != OpType::kAdd && n.type != OpType::kScaleShift) || n.activation != Activation::kNone) continue;
    n.activation = relu.type == OpType::kRelu ? Activation::kRelu : Activation::kRelu6;
    n.output = relu.output;
    graph->nodes.erase(graph->nodes.begin() + static_cast<std::ptrdiff_t>(i));
    --i;
  }
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    if (graph->nodes[i].type != OpType::kAdd) continue;
    const Node add = graph->nodes[i];
    if (add.inputs[0] == add.inputs[1] || graph->tensor(add.output).dtype != DType::kF32) continue;
    const Uses uses(*graph);
    int chosen = -1, residual_slot = 0;
    for (int slot = 0; slot < 2; ++slot) {
      const int producer = uses.producer(add.inputs[slot]);
      if (producer < 0 || !uses.single(add.inputs[slot])) continue;
      const Node& n = graph->nodes[producer];
      if (!HasWeights(n) || n.activation != Activation::kNone || n.input(kInputResidual) != kNoTensor) continue;
      // Of two candidates the later one: the other operand is then usually computed already.
      if (producer > chosen) {
        chosen = producer;
        residual_slot = 1 - slot;
      }
    }
    if (chosen < 0) continue;
    // The fused layer takes the addition's place, where both operands exist.
    Node layer = graph->nodes[chosen];
    layer.set_input(kInputResidual, add.inputs[residual_slot]);
    layer.activation = add.activation;
    layer.output = add.output;
    graph->nodes[i] = std::move(layer);
    graph->nodes.erase(graph->nodes.begin() + chosen);
    --i;
  }
  return OkStatus();
}

Status Legalize(Graph* graph) {
  OCTET_RETURN_IF_ERROR(SortNodes(graph));
  SimplifyReshapes(graph);
  RecognizeGlobalPools(graph);
  RemoveDeadNodes(graph);
  MergePads(graph);
  return OkStatus();
}

void RemoveUnusedTensors(Graph* graph) {
  std::vector<TensorId> map(graph->tensors.size(), kNoTensor);
  const auto mark = [&](TensorId id) {
    if (id != kNoTensor) map[id] = 0;
  };
  for (const Node& n : graph->nodes) {
    for (TensorId id : n.inputs) mark(id);
    mark(n.output);
  }
  for (TensorId id : graph->inputs) mark(id);
  for (TensorId id : graph->outputs) mark(id);
  std::vector<Tensor> kept;
  for (size_t i = 0; i < map.size(); ++i) {
    if (map[i] == kNoTensor) continue;
    map[i] = static_cast<TensorId>(kept.size());
    kept.push_back(std::move(graph->tensors[i]));
  }
  graph->tensors = std::move(kept);
  const auto renumber = [&](TensorId* id) {
    if (*id != kNoTensor) *id = map[*id];
  };
  for (Node& n : graph->nodes) {
    for (TensorId& id : n.inputs) renumber(&id);
    renumber(&n.output);
  }
  for (TensorId& id : graph->inputs) renumber(&id);
  for (TensorId& id : graph->outputs) renumber(&id);
}

Status Optimize(Graph* graph) {
  OCTET_RETURN_IF_ERROR(Legalize(graph));
  OCTET_RETURN_IF_ERROR(FoldScaleShift(graph));
  OCTET_RETURN_IF_ERROR(FuseResidualAndActivation(graph));
  // Activations that moved into their producers may have made more padding mergeable.
  OCTET_RETURN_IF_ERROR(Legalize(graph));
  RemoveUnusedTensors(graph);
  OCTET_RETURN_IF_ERROR(InferShapes(graph));
  return ValidateGraph(*graph);
}

}  // namespace octet
