// Every pass walks the nodes once, with an Editor that knows who makes and who reads a tensor, and
// ends with Finish, which drops what is dead or not needed, sorts the rest and renumbers the
// tensors. Constants are never changed in place, as others may read them.
#include "converter/passes/passes.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "converter/passes/integers.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/analysis.h"
#include "formats/model/operators.h"
#include "formats/model/panel.h"

namespace octet {
namespace {

/// Who makes and who reads each tensor. Nodes are never removed while a pass runs, only marked
/// dead, so indices stay good. Every call takes time by what it changes, not by the size of the
/// graph: a pass over n nodes is linear in n.
class Editor {
 public:
  explicit Editor(Graph* graph) : graph_(*graph), dead_(graph->nodes.size(), false) {
    Grow();
    for (size_t i = 0; i < graph->nodes.size(); ++i) {
      producer_[graph->nodes[i].output] = static_cast<int>(i);
      for (TensorId id : graph->nodes[i].inputs) {
        if (id != kNoTensor) AddReader(id, i);
      }
    }
    for (size_t i = 0; i < graph->outputs.size(); ++i) outputs_[graph->outputs[i]].push_back(i);
  }

  Node* Producer(TensorId id) {
    return id == kNoTensor || producer_[id] < 0 ? nullptr : &graph_.nodes[producer_[id]];
  }
  bool alive(size_t node) const { return !dead_[node]; }
  /// Read exactly once, by a node and not by the graph's caller.
  bool HasOneReader(TensorId id) const { return uses_[id] == 1 && !IsOutput(id); }
  bool IsOutput(TensorId id) const { return outputs_.count(id) > 0; }
  /// The node that reads it; null when there are several uses, or the graph's caller.
  Node* OneReader(TensorId id) {
    if (!HasOneReader(id)) return nullptr;
    for (size_t reader : readers_[id]) {
      const std::vector<TensorId>& inputs = graph_.nodes[reader].inputs;
      if (!dead_[reader] && std::find(inputs.begin(), inputs.end(), id) != inputs.end())
        return &graph_.nodes[reader];
    }
    return nullptr;
  }

  void Kill(Node* node) {
    const size_t index = IndexOf(node);
    dead_[index] = true;
    for (TensorId id : node->inputs) {
      if (id != kNoTensor) --uses_[id];
    }
    if (producer_[node->output] == static_cast<int>(index)) producer_[node->output] = -1;
  }

  void SetInput(Node* node, int slot, TensorId id) {
    const TensorId old = node->input(slot);
    if (old != kNoTensor) --uses_[old];
    node->set_input(slot, id);
    if (id == kNoTensor) return;
    Grow();
    AddReader(id, IndexOf(node));
  }

  /// `node` computes what `last` did, which is no longer needed: the tensor between them goes away.
  void Absorb(Node* node, Node* last) {
    const TensorId output = last->output;
    Kill(last);
    producer_[node->output] = -1;
    node->output = output;
    producer_[output] = static_cast<int>(IndexOf(node));
  }

  /// Removes a node that gives its first input back. False when the graph's caller must see both
  /// tensors.
  bool Bypass(Node* node) {
    const TensorId from = node->output, to = node->inputs[0];
    const bool output = IsOutput(from);
    if (output && (IsOutput(to) || Producer(to) == nullptr)) return false;
    Kill(node);
    // Each once: a node that reads it twice stands in the list twice, and again after it was
    // rewired.
    for (size_t reader : std::exchange(readers_[from], {})) {
      if (dead_[reader]) continue;
      for (size_t slot = 0; slot < graph_.nodes[reader].inputs.size(); ++slot) {
        if (graph_.nodes[reader].inputs[slot] == from)
          SetInput(&graph_.nodes[reader], static_cast<int>(slot), to);
      }
    }
    if (output) {
      for (size_t i : outputs_[from]) graph_.outputs[i] = to;
      outputs_[to] = std::exchange(outputs_[from], {});
      outputs_.erase(from);
      graph_.tensor(to).name = graph_.tensor(from).name;  // What the caller knows it by.
    }
    return true;
  }

 private:
  size_t IndexOf(const Node* node) const { return static_cast<size_t>(node - graph_.nodes.data()); }

  void AddReader(TensorId id, size_t node) {
    ++uses_[id];
    readers_[id].push_back(node);
  }

  void Grow() {
    producer_.resize(graph_.tensors.size(), -1);
    uses_.resize(graph_.tensors.size(), 0);
    readers_.resize(graph_.tensors.size());
  }

  Graph& graph_;
  std::vector<int> producer_;                 ///< By tensor; -1 = input, constant or gone.
  std::vector<int> uses_;                     ///< By tensor: by nodes that are alive.
  std::vector<std::vector<size_t>> readers_;  ///< By tensor; nodes that read it, and some that did.
  /// Places among the graph's outputs.
  std::unordered_map<TensorId, std::vector<size_t>> outputs_;
  std::vector<bool> dead_;  ///< By node.
};

/// Drops dead nodes, nodes and tensors that no output needs, and puts the rest in execution order
/// (the given order where it is free).
Status Finish(Graph* graph, const Editor& editor) {
  std::vector<Node> nodes;
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    if (editor.alive(i)) nodes.push_back(std::move(graph->nodes[i]));
  }
  std::vector<int> producer(graph->tensors.size(), -1);
  for (size_t i = 0; i < nodes.size(); ++i) producer[nodes[i].output] = static_cast<int>(i);

  std::vector<bool> needed(nodes.size(), false);
  std::vector<TensorId> stack(graph->outputs.begin(), graph->outputs.end());
  while (!stack.empty()) {
    const TensorId id = stack.back();
    stack.pop_back();
    if (id == kNoTensor || producer[id] < 0 || needed[producer[id]]) continue;
    needed[producer[id]] = true;
    stack.insert(stack.end(), nodes[producer[id]].inputs.begin(), nodes[producer[id]].inputs.end());
  }

  // Kahn's algorithm; the smallest index that is ready goes next, which keeps an order that was
  // already right.
  std::vector<int> waits(nodes.size(), 0);
  std::vector<std::vector<int>> readers(nodes.size());
  std::priority_queue<int, std::vector<int>, std::greater<int>> ready;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!needed[i]) continue;
    for (TensorId id : nodes[i].inputs) {
      if (id == kNoTensor || producer[id] < 0) continue;
      ++waits[i];
      readers[producer[id]].push_back(static_cast<int>(i));
    }
    if (waits[i] == 0) ready.push(static_cast<int>(i));
  }
  std::vector<Node> ordered;
  while (!ready.empty()) {
    const int i = ready.top();
    ready.pop();
    for (int r : readers[i]) {
      if (--waits[r] == 0) ready.push(r);
    }
    ordered.push_back(std::move(nodes[i]));
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (needed[i] && waits[i] > 0)
      return InvalidArgument(StrCat("node '", nodes[i].name, "' depends on its own result"));
  }
  graph->nodes = std::move(ordered);

  std::vector<bool> used(graph->tensors.size(), false);
  for (TensorId id : graph->inputs) used[id] = true;
  for (TensorId id : graph->outputs) used[id] = true;
  for (const Node& n : graph->nodes) {
    used[n.output] = true;
    for (TensorId id : n.inputs) {
      if (id != kNoTensor) used[id] = true;
    }
  }
  std::vector<TensorId> renumbered(graph->tensors.size(), kNoTensor);
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < graph->tensors.size(); ++i) {
    if (!used[i]) continue;
    renumbered[i] = static_cast<TensorId>(tensors.size());
    tensors.push_back(std::move(graph->tensors[i]));
  }
  graph->tensors = std::move(tensors);
  const auto renumber = [&](TensorId* id) {
    if (*id != kNoTensor) *id = renumbered[*id];
  };
  for (TensorId& id : graph->inputs) renumber(&id);
  for (TensorId& id : graph->outputs) renumber(&id);
  for (Node& n : graph->nodes) {
    renumber(&n.output);
    for (TensorId& id : n.inputs) renumber(&id);
  }
  return OkStatus();
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool IsConv(const Node* n) { return n != nullptr && TraitsOf(n->type).has_weights; }

TensorId AddFloats(Graph* graph, std::string name, const Shape& shape,
                   const std::vector<float>& values) {
  return graph->AddConstant(std::move(name), DType::kF32, shape, values.data(),
                            values.size() * sizeof(float));
}

/// Nodes that give their input back.
bool IsIdentity(const Graph& g, const Node& n, const std::vector<bool>& non_negative) {
  const Tensor& x = g.tensor(n.inputs[0]);
  switch (n.type) {
    case OpType::kReshape:
      return x.shape == g.tensor(n.output).shape;
    case OpType::kPad:
      return std::all_of(n.begin.begin(), n.begin.end(), [](int v) { return v == 0; }) &&
             std::all_of(n.end.begin(), n.end.end(), [](int v) { return v == 0; });
    case OpType::kSlice:
      return x.shape == g.tensor(n.output).shape;
    case OpType::kMaxPool:
    case OpType::kAveragePool:
      return x.dtype == DType::kF32 && n.window == Window{};
    case OpType::kGlobalAveragePool:
      return x.dtype == DType::kF32 && x.shape[1] == 1 && x.shape[2] == 1;
    case OpType::kRelu:
      return non_negative[n.inputs[0]];
    case OpType::kClip:
      if (x.dtype == DType::kU8)
        return ClipCode(n.clip_low, x.quantization) == 0 &&
               ClipCode(n.clip_high, x.quantization) == 255;
      return n.clip_low == -kInfinity && n.clip_high == kInfinity;
    case OpType::kScaleShift: {
      if (x.dtype != DType::kF32 || n.activation != Activation::kNone) return false;
      const std::span<const float> scale = g.tensor(n.inputs[1]).values<float>();
      const std::span<const float> shift = g.tensor(n.inputs[2]).values<float>();
      return std::all_of(scale.begin(), scale.end(), [](float v) { return v == 1.0f; }) &&
             std::all_of(shift.begin(), shift.end(), [](float v) { return v == 0.0f; });
    }
    default:
      return false;
  }
}

/// A clip that is a ReLU or ReLU6 becomes one, which goes into the operator in front of it.
void NameClip(bool non_negative, Node* n) {
  const bool from_zero = n->clip_low == 0.0f || (non_negative && n->clip_low <= 0.0f);
  if (!from_zero || (n->clip_high != 6.0f && n->clip_high != kInfinity)) return;
  n->type = n->clip_high == 6.0f ? OpType::kRelu6 : OpType::kRelu;
  n->clip_low = -kInfinity;
  n->clip_high = kInfinity;
}

/// Adds the amounts of a Pad node to a window, or returns false when the window cannot take them.
bool AddPadding(const Node& pad, Window* w) {
  if (pad.begin[0] != 0 || pad.begin[3] != 0 || pad.end[0] != 0 || pad.end[3] != 0) return false;
  const int max_h = w->kernel_h * w->dilation_h - 1, max_w = w->kernel_w * w->dilation_w - 1;
  const auto add = [](int* to, int amount, int max) {
    if (amount < 0 || amount > max - *to) return false;
    *to += amount;
    return true;
  };
  Window padded = *w;
  if (!add(&padded.pad_top, pad.begin[1], max_h) || !add(&padded.pad_bottom, pad.end[1], max_h) ||
      !add(&padded.pad_left, pad.begin[2], max_w) || !add(&padded.pad_right, pad.end[2], max_w)) {
    return false;
  }
  *w = padded;
  return true;
}

/// Weights of a grouped convolution as those of an ungrouped one, zero between the groups, where
/// kernels have no such groups: they are rare in classifiers and get by with this.
Status Ungroup(Graph* graph, Node* n, Editor* editor) {
  const TensorId id = n->inputs[kInputWeights];
  const Tensor w = graph->tensor(id);
  if (ChooseLayout(*n, w.shape) != Layout::kPlain || w.layout != Layout::kPlain) return OkStatus();
  Shape shape = w.shape;
  shape[3] *= n->groups;
  // The engine counts elements in 32 bits, and a zero-filled gigabyte is no answer anyway.
  if (shape.num_elements() < 0 || shape.num_elements() > (int64_t{1} << 28)) {
    return Unsupported(StrCat("node '", n->name, "': ", n->groups, " groups of weights ",
                              w.shape.ToString(), " are too large to be written as one group"));
  }
  const size_t size = DTypeSize(w.dtype);
  const size_t run = static_cast<size_t>(w.shape[3]) * size,
               row = static_cast<size_t>(shape[3]) * size;
  const size_t taps = static_cast<size_t>(w.shape[1] * w.shape[2]),
               channels = static_cast<size_t>(w.shape[0]);
  const size_t per_group = channels / static_cast<size_t>(n->groups);
  std::vector<std::byte> wide(channels * taps * row, std::byte{0});
  for (size_t oc = 0; oc < channels; ++oc) {
    for (size_t tap = 0; tap < taps; ++tap) {
      std::memcpy(&wide[(oc * taps + tap) * row + oc / per_group * run],
                  &w.data[(oc * taps + tap) * run], run);
    }
  }
  editor->SetInput(n, kInputWeights,
                   graph->AddConstant(w.name, w.dtype, shape, wide.data(), wide.size()));
  n->groups = 1;
  return OkStatus();
}

/// Whether a node puts the channels of every pixel in the opposite order, as
/// GraphBuilder::ReverseChannels() makes it.
bool ReversesChannels(const Graph& g, const Node& n) {
  if (n.type != OpType::kConv2d || n.groups != 1 || n.activation != Activation::kNone ||
      n.window != Window() || n.input(kInputBias) != kNoTensor ||
      n.input(kInputResidual) != kNoTensor) {
    return false;
  }
  const Tensor& weights = g.tensor(n.inputs[kInputWeights]);
  const int64_t channels = weights.shape[0];
  if (weights.dtype != DType::kF32 || !(weights.shape == Shape{channels, 1, 1, channels}))
    return false;
  const auto values = weights.values<float>();
  for (int64_t i = 0; i < channels * channels; ++i) {
    const float expected = i / channels == channels - 1 - i % channels ? 1.0f : 0.0f;
    if (values[static_cast<size_t>(i)] != expected) return false;
  }
  return true;
}

/// Every `size` values in the opposite order.
std::vector<float> Reversed(std::span<const float> values, size_t size) {
  std::vector<float> reversed(values.begin(), values.end());
  for (auto at = reversed.begin(); at != reversed.end(); at += static_cast<std::ptrdiff_t>(size))
    std::reverse(at, at + static_cast<std::ptrdiff_t>(size));
  return reversed;
}

}  // namespace

Status FoldChannelReversal(Graph* graph) {
  Editor editor(graph);
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    Node* n = &graph->nodes[i];
    if (!editor.alive(i) || !ReversesChannels(*graph, *n)) continue;
    // The layer that it is for, and what is on the way there.
    std::vector<Node*> between;
    TensorId x = n->output;
    Node* conv = editor.OneReader(x);
    while (conv != nullptr && conv->type == OpType::kScaleShift) {
      between.push_back(conv);
      x = conv->output;
      conv = editor.OneReader(x);
    }
    if (conv == nullptr || conv->type != OpType::kConv2d || conv->groups != 1 ||
        conv->inputs[kInputX] != x)
      continue;
    const Tensor& weights = graph->tensor(conv->inputs[kInputWeights]);
    if (weights.dtype != DType::kF32 || weights.layout != Layout::kPlain) continue;
    // New constants: others may read the old ones.
    const auto channels = static_cast<size_t>(weights.shape[3]);
    const auto reverse = [&](Node* node, int slot) {
      const Tensor& t = graph->tensor(node->inputs[static_cast<size_t>(slot)]);
      const std::vector<float> reversed = Reversed(t.values<float>(), channels);
      const Shape shape = t.shape;
      editor.SetInput(node, slot, AddFloats(graph, t.name + ".reversed", shape, reversed));
    };
    for (Node* scale_shift : between) {
      reverse(scale_shift, kInputScale);
      reverse(scale_shift, kInputShift);
    }
    reverse(conv, kInputWeights);
    editor.Bypass(n);
  }
  return Finish(graph, editor);
}

Status FoldScaleShift(Graph* graph) {
  Editor editor(graph);
  const size_t count = graph->nodes.size();
  for (size_t i = 0; i < count; ++i) {
    Node* n = &graph->nodes[i];
    if (n->type != OpType::kScaleShift || !editor.alive(i) ||
        graph->tensor(n->inputs[0]).dtype != DType::kF32)
      continue;
    const TensorId between = n->inputs[0];
    Node* before = editor.Producer(between);
    if (before == nullptr || !editor.HasOneReader(between) ||
        before->activation != Activation::kNone)
      continue;
    const std::span<const float> scale = graph->tensor(n->inputs[1]).values<float>();
    const std::span<const float> shift = graph->tensor(n->inputs[2]).values<float>();
    const size_t channels = scale.size();

    const auto fold_bias = [&](const Node* conv) {
      const TensorId bias_id = conv->input(kInputBias);
      std::vector<float> folded(channels);
      for (size_t c = 0; c < channels; ++c) {
        const double bias = bias_id == kNoTensor ? 0.0 : graph->tensor(bias_id).values<float>()[c];
        folded[c] = static_cast<float>(bias * scale[c] + shift[c]);
      }
      return folded;
    };

    if (before->type == OpType::kScaleShift) {  // One after the other: (x*s0 + t0)*s1 + t1.
      const std::span<const float> scale0 = graph->tensor(before->inputs[1]).values<float>();
      const std::span<const float> shift0 = graph->tensor(before->inputs[2]).values<float>();
      std::vector<float> new_scale(channels), new_shift(channels);
      for (size_t c = 0; c < channels; ++c) {
        new_scale[c] = static_cast<float>(static_cast<double>(scale0[c]) * scale[c]);
        new_shift[c] = static_cast<float>(static_cast<double>(shift0[c]) * scale[c] + shift[c]);
      }
      const Shape shape{static_cast<int64_t>(channels)};
      editor.SetInput(before, 1, AddFloats(graph, n->name + ".scale", shape, new_scale));
      editor.SetInput(before, 2, AddFloats(graph, n->name + ".shift", shape, new_shift));
    } else if (IsConv(before) && before->input(kInputResidual) == kNoTensor &&
               graph->tensor(before->inputs[kInputWeights]).dtype == DType::kF32 &&
               graph->tensor(before->inputs[kInputWeights]).layout == Layout::kPlain) {
      const TensorId weights_id = before->inputs[kInputWeights];
      const std::span<const float> weights = graph->tensor(weights_id).values<float>();
      const Shape shape = graph->tensor(weights_id).shape;
      const size_t per_channel = weights.size() / channels;
      std::vector<float> new_weights(weights.size());
      const std::vector<float> new_bias = fold_bias(before);
      for (size_t c = 0; c < channels; ++c) {
        for (size_t k = c * per_channel; k < (c + 1) * per_channel; ++k) {
          new_weights[k] = static_cast<float>(static_cast<double>(weights[k]) * scale[c]);
        }
      }
      // New constants, because others may read the old ones. The spans above end here.
      std::string weights_name = graph->tensor(weights_id).name;
      editor.SetInput(before, kInputWeights,
                      AddFloats(graph, std::move(weights_name), shape, new_weights));
      editor.SetInput(
          before, kInputBias,
          AddFloats(graph, before->name + ".bias", {static_cast<int64_t>(channels)}, new_bias));
    } else if (IsConv(before) && before->input(kInputResidual) == kNoTensor &&
               graph->tensor(before->inputs[kInputX]).dtype == DType::kF32 &&
               graph->tensor(before->inputs[kInputWeights]).dtype == DType::kI8 &&
               std::all_of(scale.begin(), scale.end(), [](float v) { return v > 0.0f; })) {
      // A source's int8 weights stay as they are; their scales take the factor.
      const std::span<const float> steps =
          graph->tensor(before->inputs[kInputScales]).values<float>();
      std::vector<float> new_steps(channels);
      const std::vector<float> new_bias = fold_bias(before);
      for (size_t c = 0; c < channels; ++c) {
        new_steps[c] = static_cast<float>(static_cast<double>(steps[c]) * scale[c]);
      }
      const Shape shape{static_cast<int64_t>(channels)};
      editor.SetInput(before, kInputScales,
                      AddFloats(graph, before->name + ".scale", shape, new_steps));
      editor.SetInput(before, kInputBias,
                      AddFloats(graph, before->name + ".bias", shape, new_bias));
    } else {
      continue;
    }
    before->activation = n->activation;
    editor.Absorb(before, n);
  }
  return Finish(graph, editor);
}

Status FuseActivation(Graph* graph) {
  Editor editor(graph);
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    Node* n = &graph->nodes[i];
    if (!editor.alive(i) || (n->type != OpType::kRelu && n->type != OpType::kRelu6)) continue;
    const TensorId between = n->inputs[0];
    Node* before = editor.Producer(between);
    if (before == nullptr || !editor.HasOneReader(between)) continue;
    if (!TraitsOf(before->type).takes_activation) continue;
    const Activation activation = n->type == OpType::kRelu ? Activation::kRelu : Activation::kRelu6;
    // ReLU6 after ReLU is ReLU6; ReLU after either changes nothing.
    if (before->activation == Activation::kNone || activation == Activation::kRelu6)
      before->activation = activation;
    editor.Absorb(before, n);
  }
  return Finish(graph, editor);
}

Status FuseResidualAndActivation(Graph* graph) {
  OCTET_RETURN_IF_ERROR(FuseActivation(graph));
  Editor editor(graph);
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    Node* add = &graph->nodes[i];
    // In uint8 the sum's operands are rounded first; leaving that out would change the result.
    if (!editor.alive(i) || add->type != OpType::kAdd ||
        graph->tensor(add->output).dtype != DType::kF32)
      continue;
    Node* conv = nullptr;
    TensorId other = kNoTensor;
    for (int slot = 0; slot < 2; ++slot) {
      const TensorId id = add->inputs[slot];
      Node* candidate = editor.Producer(id);
      if (!IsConv(candidate) || !editor.HasOneReader(id)) continue;
      if (candidate->activation != Activation::kNone ||
          candidate->input(kInputResidual) != kNoTensor)
        continue;
      // The later one: what it adds has then been computed already.
      if (conv != nullptr && candidate < conv) continue;
      conv = candidate;
      other = add->inputs[1 - slot];
    }
    if (conv == nullptr) continue;
    conv->activation = add->activation;
    editor.SetInput(conv, kInputResidual, other);
    editor.Absorb(conv, add);
  }
  return Finish(graph, editor);
}

Status Legalize(Graph* graph) {
  OCTET_RETURN_IF_ERROR(InferShapes(graph));
  // Nothing here changes the values of a tensor.
  std::vector<bool> non_negative = FindNonNegative(*graph);
  Editor editor(graph);
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    if (!editor.alive(i)) continue;
    Node* n = &graph->nodes[i];
    Node* before = editor.Producer(n->inputs[0]);
    if (n->type == OpType::kReshape && before != nullptr && before->type == OpType::kReshape) {
      editor.SetInput(n, 0, before->inputs[0]);
    }
    if (before != nullptr && before->type == OpType::kPad) {
      // A max pool ignores its padding, which equals zeros where nothing is below 0, and the lowest
      // value anywhere.
      const bool zeros = before->pad_value == 0.0f, lowest = before->pad_value == kLowestPad;
      const bool takes = n->type == OpType::kConv2d
                             ? zeros
                             : n->type == OpType::kMaxPool &&
                                   (lowest || (zeros && non_negative[before->inputs[0]]));
      if (takes && AddPadding(*before, &n->window)) editor.SetInput(n, 0, before->inputs[0]);
    }
    if (n->type == OpType::kConv2d) OCTET_RETURN_IF_ERROR(Ungroup(graph, n, &editor));
    non_negative.resize(graph->tensors.size(), false);  // What Ungroup has added.
    if (n->type == OpType::kAveragePool) {
      const Shape& x = graph->tensor(n->inputs[0]).shape;
      Window whole;
      whole.kernel_h = static_cast<int>(x[1]), whole.kernel_w = static_cast<int>(x[2]);
      whole.stride_h = n->window.stride_h, whole.stride_w = n->window.stride_w;
      if (n->window == whole) {
        n->type = OpType::kGlobalAveragePool;
        n->window = Window{};
        n->count_include_pad = false;
      }
    }
    if (n->type == OpType::kClip) NameClip(non_negative[n->inputs[0]], n);
    if (IsIdentity(*graph, *n, non_negative)) editor.Bypass(n);
  }
  return Finish(graph, editor);
}

/// The lowest number, which also stands for a source's -inf, means "nothing" to a maximum and
/// garbage to everything else.
Status CheckLowestPads(const Graph& graph) {
  std::vector<bool> lowest(graph.tensors.size(), false);
  for (const Node& n : graph.nodes) {
    for (TensorId id : n.inputs) {
      if (id == kNoTensor || !lowest[id] || n.type == OpType::kMaxPool) continue;
      return Unsupported(StrCat("node '", n.name, "' (", OpTypeName(n.type),
                                ") reads padding of the lowest value or -inf, which is supported "
                                "in front of a max pool only"));
    }
    if (n.type == OpType::kPad) lowest[n.output] = n.pad_value == kLowestPad;
  }
  return OkStatus();
}

Status RemoveUnused(Graph* graph) { return Finish(graph, Editor(graph)); }

Status Optimize(Graph* graph) {
  OCTET_RETURN_IF_ERROR(CheckGraph(*graph));
  OCTET_RETURN_IF_ERROR(Legalize(graph));
  OCTET_RETURN_IF_ERROR(FoldChannelReversal(graph));
  OCTET_RETURN_IF_ERROR(FoldScaleShift(graph));
  OCTET_RETURN_IF_ERROR(FuseActivation(graph));
  OCTET_RETURN_IF_ERROR(FuseQuantized(graph));
  OCTET_RETURN_IF_ERROR(FuseResidualAndActivation(graph));
  // Fusing brings nodes together that can go now, such as a ReLU behind a pool.
  OCTET_RETURN_IF_ERROR(Legalize(graph));
  OCTET_RETURN_IF_ERROR(InferShapes(graph));
  OCTET_RETURN_IF_ERROR(CheckLowestPads(*graph));
  return CheckGraph(*graph).WithContext("after folding");
}

}  // namespace octet
