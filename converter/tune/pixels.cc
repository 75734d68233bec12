#include "converter/tune/pixels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>

#include "converter/passes/passes.h"
#include "formats/base/macros.h"
#include "formats/model/input_meaning.h"

namespace octet {
namespace {

/// number = step * pixel + zero, by channel.
struct Affine {
  std::array<double, kMaxPaddedChannels> step{}, zero{};
};

Affine NumbersOf(const Preprocessing& pre, size_t channels) {
  Affine a;
  for (size_t c = 0; c < channels; ++c) {
    a.step[c] = static_cast<double>(pre.scale) / pre.stddev[c];
    a.zero[c] = -static_cast<double>(pre.mean[c]) / pre.stddev[c];
  }
  return a;
}

/// Whether the calibration saw numbers that pixels give, and most of their range.
bool AreOfPixels(const Range& range, const Affine& a, size_t channels) {
  double low = 0.0, high = 0.0;
  for (size_t c = 0; c < channels; ++c) {
    low = std::min(low, a.zero[c] - 0.5 * a.step[c]);
    high = std::max(high, a.zero[c] + 255.5 * a.step[c]);
  }
  return range.min >= low && range.max <= high &&
         static_cast<double>(range.max) - range.min >= (high - low) / 2;
}

/// The only node that reads `id`, or null.
Node* OnlyReader(Graph* g, TensorId id) {
  if (std::find(g->outputs.begin(), g->outputs.end(), id) != g->outputs.end()) return nullptr;
  Node* reader = nullptr;
  for (Node& n : g->nodes) {
    const auto reads = std::count(n.inputs.begin(), n.inputs.end(), id);
    if (reads == 0) continue;
    if (reader != nullptr || reads > 1) return nullptr;
    reader = &n;
  }
  return reader;
}

/// A convolution that stays in float has no padding codes.
bool SumsTooMany(const Shape& weights) {
  return weights.num_elements() / weights[0] > kMaxInt8Reduction;
}

bool HasPadding(const Window& w) {
  return w.pad_top > 0 || w.pad_left > 0 || w.pad_bottom > 0 || w.pad_right > 0;
}

void SetFloats(Graph* g, Node* n, int slot, std::string name, const Shape& shape,
               const std::vector<float>& values) {
  n->set_input(slot, g->AddConstant(std::move(name), DType::kF32, shape, values.data(),
                                    values.size() * sizeof(float)));
}

/// Folds `a` into the convolution, which then reads pixels.
void FoldInto(Node* conv, const Affine& a, Graph* g) {
  const Tensor w = g->tensor(conv->inputs[kInputWeights]);
  const auto outputs = static_cast<size_t>(w.shape[0]), channels = static_cast<size_t>(w.shape[3]);
  std::vector<float> weights(w.values<float>().begin(), w.values<float>().end()), bias(outputs);
  const size_t row = weights.size() / outputs;
  for (size_t o = 0; o < outputs; ++o) {
    double sum = 0.0;
    for (size_t i = o * row; i < (o + 1) * row; ++i) {
      sum += weights[i] * a.zero[i % channels];
      weights[i] = static_cast<float>(weights[i] * a.step[i % channels]);
    }
    const TensorId old = conv->input(kInputBias);
    if (old != kNoTensor) sum += g->tensor(old).values<float>()[o];
    bias[o] = static_cast<float>(sum);
  }
  SetFloats(g, conv, kInputWeights, w.name, w.shape, weights);
  SetFloats(g, conv, kInputBias, conv->name + ".bias", {w.shape[0]}, bias);
}

}  // namespace

std::optional<PixelGraph> TakePixels(const Graph& graph, const CalibrationTable& table) {
  PixelGraph p{graph, table, "", {}};
  Graph& g = p.graph;
  const TensorId input = g.inputs[0];
  const Shape shape = g.tensor(input).shape;
  const auto range = table.ranges.find(g.tensor(input).name);
  if (g.inputs.size() != 1 || !TakesPhotos(shape) || g.tensor(input).dtype != DType::kF32 ||
      range == table.ranges.end())
    return std::nullopt;
  const auto channels = static_cast<size_t>(shape[3]);
  const Affine numbers = NumbersOf(g.metadata.preprocessing, channels);
  if (!AreOfPixels(range->second, numbers, channels)) return std::nullopt;

  Affine all = numbers;
  Node* const head = OnlyReader(&g, input);
  Node* conv = head;
  if (head != nullptr && head->type == OpType::kScaleShift &&
      head->activation == Activation::kNone && head->input(kInputUnit) == kNoTensor) {
    const std::span<const float> scale = g.tensor(head->inputs[kInputScale]).values<float>(),
                                 shift = g.tensor(head->inputs[kInputShift]).values<float>();
    for (size_t c = 0; c < channels; ++c) {
      all.step[c] *= scale[c];
      all.zero[c] = all.zero[c] * scale[c] + shift[c];
    }
    conv = OnlyReader(&g, head->output);
  }
  if (conv == nullptr || conv->type != OpType::kConv2d || conv->groups != 1 ||
      g.tensor(conv->inputs[kInputWeights]).dtype != DType::kF32 ||
      g.tensor(conv->inputs[kInputWeights]).layout != Layout::kPlain ||
      SumsTooMany(g.tensor(conv->inputs[kInputWeights]).shape))
    return std::nullopt;
  for (size_t c = 0; c < channels; ++c) {
    if (!(std::fabs(all.step[c]) > 0.0) || !(numbers.step[c] > 0.0)) return std::nullopt;
    const double zero = std::nearbyint(-all.zero[c] / all.step[c]);
    if (!HasPadding(conv->window)) continue;
    if (!(zero >= 0.0 && zero <= 255.0)) return std::nullopt;
    p.padding.push_back(static_cast<uint8_t>(zero));
  }
  p.convolution = conv->name;
  FoldInto(conv, all, &g);

  std::vector<float> scale, shift;
  for (size_t c = 0; c < channels; ++c) {
    scale.push_back(static_cast<float>(1.0 / numbers.step[c]));
    shift.push_back(static_cast<float>(-numbers.zero[c] / numbers.step[c]));
  }
  const std::string name = g.tensor(input).name;
  const bool are_pixels = std::ranges::all_of(scale, [](float v) { return v == 1.0f; }) &&
                          std::ranges::all_of(shift, [](float v) { return v == 0.0f; });
  p.table.ranges[are_pixels ? name : name + ".pixels"] = {0.0f, 255.0f};
  if (are_pixels) {
    conv->set_input(kInputX, input);
  } else {
    const TensorId pixels = g.AddActivation(name + ".pixels", DType::kF32, shape);
    conv->set_input(kInputX, pixels);
    Node to_pixels = UnaryNode(OpType::kScaleShift, name + ".pixels", input, pixels);
    SetFloats(&g, &to_pixels, kInputScale, name + ".pixels.scale", {shape[3]}, scale);
    SetFloats(&g, &to_pixels, kInputShift, name + ".pixels.shift", {shape[3]}, shift);
    g.nodes.insert(g.nodes.begin(), std::move(to_pixels));
  }
  // A rescaling that was there.
  if (!RemoveUnused(&g).ok()) return std::nullopt;
  return p;
}

Result<Graph> QuantizePixels(const PixelGraph& pixels, const QuantizeOptions& options) {
  QuantizeOptions from_floats = options;
  from_floats.input_type = DType::kF32;
  OCTET_ASSIGN_OR_RETURN(Graph g, QuantizeGraph(pixels.graph, from_floats, &pixels.table));
  const auto conv = std::ranges::find(g.nodes, pixels.convolution, &Node::name);
  if (!pixels.padding.empty()) {
    conv->set_input(kInputPadding, g.AddConstant(conv->name + ".padding", DType::kU8,
                                                 {static_cast<int64_t>(pixels.padding.size())},
                                                 pixels.padding.data(), pixels.padding.size()));
  }
  if (options.input_type == DType::kU8) {
    // What makes pixels of the floats goes.
    const TensorId codes = conv->inputs[kInputX];
    g.metadata.pixel_codes = g.nodes[0].type == OpType::kScaleShift;
    std::string name = g.tensor(g.inputs[0]).name;
    g.nodes.erase(g.nodes.begin(), std::ranges::find(g.nodes, codes, &Node::output) + 1);
    g.inputs[0] = codes;
    OCTET_RETURN_IF_ERROR(RemoveUnused(&g));
    g.tensor(g.inputs[0]).name = std::move(name);
  }
  OCTET_RETURN_IF_ERROR(ValidateGraph(g));
  return g;
}

}  // namespace octet
