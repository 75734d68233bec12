#include "converter/import/builder/head_preprocessing.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace octet {
namespace {

// Honest models scale and shift their input once or twice.
constexpr int kMaxSteps = 8;

/// The only reader of `id`, or -1.
int OnlyReader(const Graph& g, TensorId id) {
  int reader = -1;
  for (size_t i = 0; i < g.nodes.size(); ++i) {
    for (TensorId input : g.nodes[i].inputs) {
      if (input != id) continue;
      if (reader >= 0) return -1;
      reader = static_cast<int>(i);
    }
  }
  return std::find(g.outputs.begin(), g.outputs.end(), id) == g.outputs.end() ? reader : -1;
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
  if (!(weights.shape == Shape{channels, 1, 1, channels})) return false;
  const auto values = weights.values<float>();
  for (int64_t i = 0; i < channels * channels; ++i) {
    const float expected = i / channels == channels - 1 - i % channels ? 1.0f : 0.0f;
    if (values[static_cast<size_t>(i)] != expected) return false;
  }
  return true;
}

}  // namespace

void MoveHeadToPreprocessing(Graph* g) {
  if (g->inputs.size() != 1) return;
  const TensorId input = g->inputs[0];
  Preprocessing& pre = g->metadata.preprocessing;
  const Shape shape = g->tensor(input).shape;
  // Only images can be prepared outside of the network.
  if (g->tensor(input).dtype != DType::kF32 || shape.rank() != 4 ||
      (shape[3] != 1 && shape[3] != 3))
    return;
  const size_t channels = static_cast<size_t>(shape[3]);
  std::vector<double> scale(channels, 1.0), shift(channels, 0.0);
  bool reversed = false;
  TensorId end = input;  // What the preprocessing gives so far.
  for (int step = 0; step < kMaxSteps; ++step) {
    const int reader = OnlyReader(*g, end);
    if (reader < 0) break;
    const Node& n = g->nodes[reader];
    if (n.inputs[0] == end && channels == 3 && ReversesChannels(*g, n) &&
        std::find(g->outputs.begin(), g->outputs.end(), n.output) == g->outputs.end()) {
      std::reverse(scale.begin(), scale.end());
      std::reverse(shift.begin(), shift.end());
      reversed = !reversed;
      end = n.output;
      continue;
    }
    if (n.type != OpType::kScaleShift || n.activation != Activation::kNone || n.inputs[0] != end)
      break;
    if (std::find(g->outputs.begin(), g->outputs.end(), n.output) != g->outputs.end()) break;
    const auto s = g->tensor(n.inputs[1]).values<float>(),
               t = g->tensor(n.inputs[2]).values<float>();
    bool expressible = true;
    for (size_t c = 0; c < channels; ++c) {
      const double a = scale[c] * s[c], b = shift[c] * s[c] + t[c];
      // Also what a stored 1/scale and shift/scale would become.
      expressible = expressible && a > 0.0 && std::isfinite(a) && std::isfinite(b) &&
                    std::isfinite(static_cast<float>(1.0 / a)) &&
                    static_cast<float>(1.0 / a) > 0.0f && std::isfinite(static_cast<float>(b / a));
    }
    if (!expressible) break;
    for (size_t c = 0; c < channels; ++c) {
      shift[c] = shift[c] * s[c] + t[c];
      scale[c] *= s[c];
    }
    end = n.output;
  }
  if (end == input) return;
  if (reversed) pre.order = ChannelOrder::kBgr;
  const bool uniform =
      std::all_of(scale.begin(), scale.end(), [&](double v) { return v == scale[0]; });
  pre.scale = uniform ? static_cast<float>(scale[0]) : 1.0f;
  for (size_t c = 0; c < channels; ++c) {
    pre.mean[c] =
        static_cast<float>(uniform ? -shift[c] : -shift[c] / scale[c]) + 0.0f;  // No negative zero.
    pre.stddev[c] = uniform ? 1.0f : static_cast<float>(1.0 / scale[c]);
  }
  // The nodes go; so do their outputs and constants, once nothing refers to them.
  std::vector<TensorId> map(g->tensors.size(), kNoTensor);
  for (TensorId at = input; at != end;) {
    const int reader = OnlyReader(*g, at);
    at = g->nodes[reader].output;
    g->nodes.erase(g->nodes.begin() + reader);
  }
  for (Node& n : g->nodes) std::replace(n.inputs.begin(), n.inputs.end(), end, input);
  const auto keep = [&](TensorId id) {
    if (id != kNoTensor) map[id] = 0;
  };
  for (const Node& n : g->nodes) {
    std::for_each(n.inputs.begin(), n.inputs.end(), keep);
    keep(n.output);
  }
  std::for_each(g->inputs.begin(), g->inputs.end(), keep);
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < map.size(); ++i) {
    if (map[i] == kNoTensor) continue;
    map[i] = static_cast<TensorId>(tensors.size());
    tensors.push_back(std::move(g->tensors[i]));
  }
  g->tensors = std::move(tensors);
  const auto renumber = [&](TensorId& id) {
    if (id != kNoTensor) id = map[id];
  };
  for (Node& n : g->nodes) {
    std::for_each(n.inputs.begin(), n.inputs.end(), renumber);
    renumber(n.output);
  }
  std::for_each(g->inputs.begin(), g->inputs.end(), renumber);
  std::for_each(g->outputs.begin(), g->outputs.end(), renumber);
}

}  // namespace octet
