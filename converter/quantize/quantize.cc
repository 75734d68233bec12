// fp16 and hybrid only replace weights. int8 takes steps (CodesConverter::Run): what nodes compute
// in, from the outputs backwards, and with that which tensors are codes; which of those share a
// quantization (Unite, a union-find); and the rewriting, which inserts conversions where they are
// first needed and quantizes weights and biases so that no sum leaves int32. InterfaceTyper then
// gives inputs and outputs the types that were asked for.
#include "converter/quantize/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "converter/passes/passes.h"
#include "converter/quantize/bfloat16.h"
#include "converter/quantize/half_weights.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/analysis.h"
#include "formats/model/input_meaning.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

/// Scales of near-dead output channels are kept within this factor of the layer's largest: below it
/// the weights do nothing in the layer's output, but a tiny scale would blow up the integer bias.
constexpr double kScaleFloor = 1.0 / (1 << 20);
/// Of the largest integer bias, what a layer of zero weights uses: its bias is then exact to 2^-22,
/// and sums stay far from 32 bits.
constexpr double kZeroLayerSteps = 256.0;
/// Scale of a tensor that was 0 throughout the calibration. A layer that reads it has its bias in
/// steps of this times its weights' scale.
constexpr double kZeroTensorScale = 1.0 / 256.0;
/// How many times coarser than its own range a value that others read may become by sharing a
/// quantization: one bit.
constexpr double kMaxShared = 2.0;
/// Largest magnitude of an integer bias before the zero-point correction.
constexpr double kMaxBias = 1 << 30;

/// int16 is symmetric.
constexpr double kHighestInt16 = 32767.0;

int64_t Reduction(const Graph& g, const Node& n) {
  const Shape& w = g.tensor(n.inputs[kInputWeights]).shape;
  return w.num_elements() / w[0];
}

/// int8 weights of one layer.
struct Int8Weights {
  std::vector<int8_t> values;  ///< As the float ones, row-major.
  std::vector<float> scales;   ///< Per output channel.
  std::vector<int32_t> sums;   ///< Per output channel, of the quantized values.
};

/// Symmetric: scale = max|w|/127 per output channel, at least `min_scale[c]` (may be empty).
///
/// Rounding to nearest would leave each channel with the sum of its rounding errors, times the mean
/// of its inputs: behind a ReLU, a shift of the whole channel. So as many weights as that sum
/// counts steps, those nearest the middle, are rounded the other way. Mean squared error of the
/// logits of CIFAR ResNet-20, 1000 images: hybrid 0.0118 to 0.0074, int8 0.0407 to 0.0356.
Int8Weights QuantizeWeights(std::span<const float> weights, size_t channels,
                            const std::vector<double>& min_scale) {
  const size_t per_channel = weights.size() / channels;
  std::vector<double> scale(channels, 0.0);
  for (size_t i = 0; i < weights.size(); ++i) {
    scale[i / per_channel] =
        std::max(scale[i / per_channel], std::fabs(static_cast<double>(weights[i])) / 127.0);
  }
  const double largest = *std::max_element(scale.begin(), scale.end());
  Int8Weights q;
  q.values.resize(weights.size());
  std::vector<double> residue(per_channel);
  std::vector<size_t> order;
  for (size_t c = 0; c < channels; ++c) {
    double s = std::max(scale[c], largest * kScaleFloor);
    // A layer of zeros only has its bias, which then counts steps of this scale.
    if (largest == 0.0)
      s = min_scale.empty() || min_scale[c] == 0.0 ? 1.0 : min_scale[c] * kZeroLayerSteps;
    if (!min_scale.empty()) s = std::max(s, min_scale[c]);
    // A layer of denormal weights still gets a scale that is a normal number.
    const float rounded = std::max(static_cast<float>(s), std::numeric_limits<float>::min());
    q.scales.push_back(rounded);
    int32_t sum = 0;
    double error = 0.0;
    order.clear();
    for (size_t i = 0; i < per_channel; ++i) {
      const double exact = static_cast<double>(weights[c * per_channel + i]) / rounded;
      const double v = std::clamp(std::nearbyint(exact), -127.0, 127.0);
      q.values[c * per_channel + i] = static_cast<int8_t>(v);
      residue[i] = exact - v;
      error += residue[i];
      order.push_back(i);
    }
    const int sign = error > 0.0 ? 1 : -1;
    const std::ptrdiff_t steps = std::llrint(std::fabs(error));
    // Index breaks ties, so that the choice does not depend on the library.
    const auto closest =
        order.begin() + std::min<std::ptrdiff_t>(steps, static_cast<std::ptrdiff_t>(per_channel));
    std::partial_sort(order.begin(), closest, order.end(), [&](size_t a, size_t b) {
      return residue[a] != residue[b] ? residue[a] * sign > residue[b] * sign : a < b;
    });
    for (auto i = order.begin(); i != closest; ++i) {
      int8_t& v = q.values[c * per_channel + *i];
      if (v != 127 * sign && residue[*i] * sign > 0.0) v = static_cast<int8_t>(v + sign);
    }
    for (size_t i = 0; i < per_channel; ++i) sum += q.values[c * per_channel + i];
    q.sums.push_back(sum);
  }
  return q;
}

/// int8 weights are those of a source that gave them so; they are kept as they are.
Status CheckConvs(const Graph& g) {
  for (const Node& n : g.nodes) {
    if (!TraitsOf(n.type).has_weights) continue;
    const Tensor& w = g.tensor(n.inputs[kInputWeights]);
    if ((w.dtype != DType::kF32 && w.dtype != DType::kI8) || w.layout != Layout::kPlain) {
      return InvalidArgument(StrCat("node '", n.name, "': weights are ", DTypeName(w.dtype),
                                    " in layout ", static_cast<int>(w.layout),
                                    ", expected plain float32 to quantize from"));
    }
  }
  return OkStatus();
}

/// The numbers that a layer's int8 weights stand for.
std::vector<float> DequantizedWeights(const Graph& g, const Node& n) {
  const std::span<const int8_t> codes = g.tensor(n.inputs[kInputWeights]).values<int8_t>();
  const std::span<const float> scales = g.tensor(n.inputs[kInputScales]).values<float>();
  std::vector<float> values(codes.size());
  for (size_t i = 0; i < codes.size(); ++i)
    values[i] = static_cast<float>(codes[i]) * scales[i / (codes.size() / scales.size())];
  return values;
}

/// The source's int8 weights of layers that compute in float become float.
void DequantizeWeights(Graph* g) {
  for (Node& n : g->nodes) {
    if (!TraitsOf(n.type).has_weights || g->tensor(n.inputs[kInputX]).dtype != DType::kF32)
      continue;
    const Tensor w = g->tensor(n.inputs[kInputWeights]);
    if (w.dtype != DType::kI8) continue;
    const std::vector<float> values = DequantizedWeights(*g, n);
    n.inputs[kInputScales] = kNoTensor;
    n.inputs[kInputWeights] =
        g->AddConstant(w.name, DType::kF32, w.shape, values.data(), values.size() * sizeof(float));
  }
}

/// By name.
using Kept = std::set<std::string>;

Status ToFloat16(const Kept& kept, Graph* g) {
  HalfWeights weights(g, DType::kF16);
  for (Node& n : g->nodes) {
    if (TraitsOf(n.type).has_weights && !kept.contains(n.name))
      OCTET_RETURN_IF_ERROR(weights.Replace(&n));
  }
  return OkStatus();
}

void SetInt8Weights(Graph* g, Node* n, const Int8Weights& q) {
  const TensorId id = n->inputs[kInputWeights];
  const std::string name = g->tensor(id).name;
  const Shape shape = g->tensor(id).shape;
  n->set_input(kInputWeights,
               g->AddConstant(name, DType::kI8, shape, q.values.data(), q.values.size()));
  n->set_input(kInputScales,
               g->AddConstant(name + ".scale", DType::kF32, {static_cast<int64_t>(q.scales.size())},
                              q.scales.data(), q.scales.size() * sizeof(float)));
}

/// Layers with fewer weights stay in float in hybrid models: a stem or a last layer costs little
/// there and loses most. Mean squared error of the logits of CIFAR ResNet-20, 1000 images: 0.0157
/// with all layers in int8, 0.0074 with this rule.
constexpr int64_t kSmallLayer = 1024;

void ToHybrid(const Kept& kept, Graph* g) {
  for (Node& n : g->nodes) {
    if (!TraitsOf(n.type).has_weights || Reduction(*g, n) > kMaxInt8Reduction ||
        kept.contains(n.name))
      continue;
    const Tensor& w = g->tensor(n.inputs[kInputWeights]);
    if (w.dtype == DType::kI8 || w.shape.num_elements() < kSmallLayer) continue;
    SetInt8Weights(g, &n, QuantizeWeights(w.values<float>(), static_cast<size_t>(w.shape[0]), {}));
  }
}

Result<Range> RangeOf(const Graph& g, TensorId id, const CalibrationTable* table) {
  const std::string& name = g.tensor(id).name;
  if (table == nullptr) {
    return InvalidArgument(
        StrCat("tensor '", name, "': no range: give --calibration-data or --calibration-table"));
  }
  const auto it = table->ranges.find(name);
  if (it == table->ranges.end()) {
    return InvalidArgument(StrCat("calibration table: no range for tensor '", name,
                                  "'; it was made for another network"));
  }
  const Range r = it->second;
  if (!std::isfinite(r.min) || !std::isfinite(r.max) || r.min > r.max) {
    return InvalidArgument(StrCat("calibration table: range [", r.min, ",", r.max, "] of tensor '",
                                  name, "', expected finite numbers in order"));
  }
  return r;
}

/// Of an input: a code for each pixel of 8 bits where the preprocessing maps them to evenly spaced
/// numbers, 0 among them, that the range mostly uses; so that no pixel is rounded.
Quantization ChooseInputQuantization(const Graph& g, TensorId id, const Range& range, DType type) {
  if (type == DType::kI16) return ChooseQuantization(range, type);
  const Shape& shape = g.tensor(id).shape;
  const Preprocessing& pre = g.metadata.preprocessing;
  if (TakesPhotos(shape)) {
    const double step = static_cast<double>(pre.scale) / pre.stddev[0],
                 zero = static_cast<double>(pre.mean[0]) / pre.scale;
    bool uniform =
        step > 0.0 && zero >= 0.0 && zero <= 255.0 && std::fabs(zero - std::nearbyint(zero)) < 1e-3;
    for (size_t c = 1; c < static_cast<size_t>(shape[3]); ++c)
      uniform = uniform && pre.mean[c] == pre.mean[0] && pre.stddev[c] == pre.stddev[0];
    const double low = step * (-0.5 - zero), high = step * (255.5 - zero);
    if (uniform && range.min >= low && range.max <= high &&
        static_cast<double>(range.max) - range.min >= (high - low) / 2) {
      return {static_cast<float>(step), static_cast<int32_t>(std::nearbyint(zero))};
    }
  }
  return ChooseQuantization(range);
}

/// Turns a float graph into one that computes in codes (uint8 or int16) wherever there are kernels;
/// float inputs and outputs. Where nodes of several types meet, their tensors are converted.
class CodesConverter {
 public:
  /// `codes` is of all nodes but those in `kept`, which stay in float, and in `wide`, which are
  /// int16. With a float input what scales it at the network's head is computed in float, so that
  /// it is rounded once.
  CodesConverter(Graph graph, const CalibrationTable* table, DType codes, bool float_input,
                 const Kept& kept, const Kept& wide)
      : g_(std::move(graph)),
        table_(table),
        codes_(codes),
        float_input_(float_input),
        kept_(kept),
        wide_(wide) {}

  Result<Graph> Run(bool require_int8) {
    original_tensors_ = g_.tensors.size();
    FindReaders();
    DecideTypes();
    if (require_int8) OCTET_RETURN_IF_ERROR(CheckNothingStaysFloat());
    OCTET_RETURN_IF_ERROR(Unite());
    OCTET_RETURN_IF_ERROR(Rewrite());
    return std::move(g_);
  }

 private:
  bool IsActivation(TensorId id) const { return id != kNoTensor && !g_.tensor(id).is_constant(); }

  /// Operators without an integer kernel.
  bool HasOnlyFloat(const Node& n) const {
    if (TraitsOf(n.type).has_weights) return Reduction(g_, n) > kMaxInt8Reduction;
    return TraitsOf(n.type).only_float;
  }

  bool IsHead(const Node& n) const {
    return float_input_ && n.type == OpType::kScaleShift && n.activation == Activation::kNone &&
           std::find(g_.inputs.begin(), g_.inputs.end(), n.inputs[0]) != g_.inputs.end();
  }

  void FindReaders() {
    readers_.resize(g_.tensors.size());
    producer_.assign(g_.tensors.size(), -1);
    is_output_.assign(g_.tensors.size(), false);
    for (TensorId id : g_.outputs) is_output_[id] = true;
    for (size_t i = 0; i < g_.nodes.size(); ++i) {
      producer_[g_.nodes[i].output] = static_cast<int>(i);
      for (TensorId id : g_.nodes[i].inputs) {
        if (IsActivation(id)) readers_[id].push_back(static_cast<int>(i));
      }
    }
  }

  bool IsFloat(size_t node) const { return node_type_[node] == DType::kF32; }

  bool OnlyFloatReaders(TensorId id) const {
    return std::all_of(readers_[id].begin(), readers_[id].end(),
                       [&](int i) { return IsFloat(static_cast<size_t>(i)); });
  }

  /// Whether nobody who reads the tensor takes all that its producer can give as codes of `type`.
  bool OnlyFinerReaders(TensorId id, DType type) const {
    return std::all_of(readers_[id].begin(), readers_[id].end(), [&](int i) {
      return IsFloat(static_cast<size_t>(i)) || (type == DType::kU8 && node_type_[i] != type);
    });
  }

  void DecideTypes() {
    node_type_.assign(g_.nodes.size(), codes_);
    for (size_t i = g_.nodes.size(); i-- > 0;) {
      const Node& n = g_.nodes[i];
      // Reshapes between the last layer and a softmax stay with the softmax, so that logits are not
      // rounded.
      const bool follows = n.type == OpType::kReshape || n.type == OpType::kSlice;
      if (kept_.contains(n.name) || HasOnlyFloat(n) || (follows && OnlyFloatReaders(n.output)) ||
          IsHead(n)) {
        node_type_[i] = DType::kF32;
      } else if (wide_.contains(n.name)) {
        node_type_[i] = DType::kI16;
      }
    }
    given_.assign(g_.tensors.size(), DType::kF32);
    for (size_t i = 0; i < g_.nodes.size(); ++i) {
      const Node& n = g_.nodes[i];
      if (!(CanGiveFloats(n) && OnlyFinerReaders(n.output, node_type_[i])))
        given_[n.output] = node_type_[i];
    }
  }

  Status CheckNothingStaysFloat() const {
    std::string list;
    for (size_t i = 0; i < g_.nodes.size(); ++i) {
      const Node& n = g_.nodes[i];
      if (!HasOnlyFloat(n) || (TraitsOf(n.type).only_float && OnlyFloatReaders(n.output))) continue;
      list += StrCat(list.empty() ? "" : ", ", "'", n.name, "' (", OpTypeName(n.type), ")");
    }
    if (list.empty()) return OkStatus();
    return Unsupported("operators that would stay in float32: " + list);
  }

  TensorId Find(TensorId id) {
    while (parent_[id] != id) id = parent_[id] = parent_[parent_[id]];
    return id;
  }

  /// Whether the values are read by anything but operators that move them on.
  bool IsOpen(TensorId id) const {
    return is_output_[id] || std::any_of(readers_[id].begin(), readers_[id].end(), [&](int i) {
             return IsFloat(static_cast<size_t>(i)) || !TraitsOf(g_.nodes[i].type).moves_values;
           });
  }

  /// Tensors that share a quantization, by root.
  struct Group {
    Range range;  ///< Of all of them; begins at [0, 0], which every range contains.
    /// The least span of those that others read.
    double finest = std::numeric_limits<double>::infinity();
    double Span() const { return static_cast<double>(range.max) - range.min; }
  };

  static Group Join(const Group& a, const Group& b) {
    return {{std::min(a.range.min, b.range.min), std::max(a.range.max, b.range.max)},
            std::min(a.finest, b.finest)};
  }

  void Merge(TensorId a, TensorId b) {
    a = Find(a), b = Find(b);
    if (a == b) return;
    groups_[b] = Join(groups_[a], groups_[b]);
    parent_[a] = b;
  }

  /// Operators that move values share one quantization with what they read, so that they copy
  /// codes. A result whose range is wider, which only a concatenation or a padding has, shares it
  /// unless that cost another reader more than a bit: concat(p, q) of ranges 1 and 200 would leave
  /// a convolution that also reads p with 2 of 255 steps.
  Status Unite() {
    parent_.resize(original_tensors_);
    std::iota(parent_.begin(), parent_.end(), 0);
    groups_.resize(original_tensors_);
    std::vector<bool> needed(original_tensors_, false);
    for (size_t i = 0; i < g_.nodes.size(); ++i) {
      if (IsFloat(i)) continue;
      for (TensorId id : g_.nodes[i].inputs) {
        if (IsActivation(id)) needed[id] = true;
      }
      if (IsCodes(given_[g_.nodes[i].output])) needed[g_.nodes[i].output] = true;
    }
    for (size_t id = 0; id < original_tensors_; ++id) {
      if (!needed[id]) continue;
      OCTET_ASSIGN_OR_RETURN(const Range r, RangeOf(g_, static_cast<TensorId>(id), table_));
      Group& group = groups_[id];
      group.range = {std::min(0.0f, r.min), std::max(0.0f, r.max)};
      // What only a ReLU reads may saturate where it does.
      if (!is_output_[id] && !readers_[id].empty() &&
          std::all_of(readers_[id].begin(), readers_[id].end(), [&](int i) {
            return !IsFloat(static_cast<size_t>(i)) &&
                   (g_.nodes[i].type == OpType::kRelu || g_.nodes[i].type == OpType::kRelu6);
          })) {
        group.range.min = 0.0f;
      }
      if (IsOpen(static_cast<TensorId>(id))) group.finest = group.Span();
    }
    for (size_t i = 0; i < g_.nodes.size(); ++i) {
      const Node& n = g_.nodes[i];
      if (IsFloat(i) || !TraitsOf(n.type).moves_values || n.type == OpType::kConcat) continue;
      if (n.type != OpType::kPad) {
        Merge(n.inputs[0], n.output);
        continue;
      }
      // The lowest value stands in front of a maximum only, where any code below the others does.
      if (n.pad_value == kLowestPad) {
        Merge(n.inputs[0], n.output);
        continue;
      }
      Range& range = groups_[Find(n.output)].range;
      range = {std::min(range.min, n.pad_value), std::max(range.max, n.pad_value)};
      MergeIfClose(n.inputs[0], n.output);
    }
    for (size_t i = 0; i < g_.nodes.size(); ++i) {
      const Node& n = g_.nodes[i];
      if (IsFloat(i) || n.type != OpType::kConcat) continue;
      for (TensorId id : n.inputs) MergeIfClose(id, n.output);
    }
    for (TensorId id : g_.inputs) {
      if (!needed[id]) continue;
      const Group& group = groups_[Find(id)];
      of_inputs_[Find(id)] = ChooseInputQuantization(g_, id, group.range, DType::kU8);
    }
    return OkStatus();
  }

  /// Of an original tensor as codes of `type`.
  Quantization QuantizationOf(TensorId id, DType type) {
    if (type == DType::kF32) return {};
    const TensorId root = Find(id);
    const auto of_input = of_inputs_.find(root);
    return type == DType::kU8 && of_input != of_inputs_.end()
               ? of_input->second
               : ChooseQuantization(groups_[root].range, type);
  }

  void MergeIfClose(TensorId a, TensorId b) {
    const Group joined = Join(groups_[Find(a)], groups_[Find(b)]);
    if (joined.Span() <= kMaxShared * joined.finest) Merge(a, b);
  }

  /// The same values in the quantization of another tensor, for operators that move codes.
  TensorId Rescaled(TensorId id, const Quantization& q) {
    if (g_.tensor(id).quantization == q) return id;
    TensorId& known = rescaled_.try_emplace({id, {q.scale, q.zero_point}}, kNoTensor).first->second;
    if (known != kNoTensor) return known;
    const std::string name = g_.tensor(id).name + ".rescaled";
    known = g_.AddActivation(name, g_.tensor(id).dtype, g_.tensor(id).shape, q);
    nodes_.push_back(UnaryNode(OpType::kQuantize, name, id, known));
    return known;
  }

  /// The tensor as values of `type`, converted at its first such use.
  TensorId As(TensorId id, DType type) {
    if (given_[id] == type) return id;
    TensorId& known = as_.try_emplace({id, type}, kNoTensor).first->second;
    if (known != kNoTensor) return known;
    const bool real = type == DType::kF32;
    const std::string name = StrCat(g_.tensor(id).name, real             ? ".dequantized"
                                                        : type == codes_ ? ".quantized"
                                                                         : ".int16");
    known = g_.AddActivation(name, type, g_.tensor(id).shape, QuantizationOf(id, type));
    nodes_.push_back(UnaryNode(real ? OpType::kDequantize : OpType::kQuantize, name, id, known));
    return known;
  }

  Status Rewrite() {
    for (size_t id = 0; id < original_tensors_; ++id) {
      if (!IsCodes(given_[id])) continue;
      g_.tensors[id].dtype = given_[id];
      g_.tensors[id].quantization = QuantizationOf(static_cast<TensorId>(id), given_[id]);
    }
    for (size_t i = 0; i < g_.nodes.size(); ++i) {
      Node n = std::move(g_.nodes[i]);
      for (TensorId& id : n.inputs) {
        if (IsActivation(id)) id = As(id, node_type_[i]);
      }
      if (!IsFloat(i) && TraitsOf(n.type).moves_values) {
        const Quantization q = g_.tensor(n.output).quantization;
        for (TensorId& id : n.inputs) id = Rescaled(id, q);
      }
      if (TraitsOf(n.type).has_weights && !IsFloat(i)) OCTET_RETURN_IF_ERROR(QuantizeConv(&n));
      nodes_.push_back(std::move(n));
    }
    for (TensorId& id : g_.outputs) {
      if (!IsCodes(given_[id])) continue;
      const TensorId from = id;
      id = As(from, DType::kF32);
      std::swap(g_.tensor(id).name,
                g_.tensor(from).name);  // The caller knows the output by its name.
    }
    g_.nodes = std::move(nodes_);
    return OkStatus();
  }

  /// The source's own codes where they leave room for the bias.
  Int8Weights WeightsOf(const Node& n, const std::vector<double>& min_scale) const {
    const Tensor& w = g_.tensor(n.inputs[kInputWeights]);
    const size_t channels = static_cast<size_t>(w.shape[0]);
    if (w.dtype == DType::kF32) return QuantizeWeights(w.values<float>(), channels, min_scale);
    const std::span<const int8_t> codes = w.values<int8_t>();
    const std::span<const float> scales = g_.tensor(n.inputs[kInputScales]).values<float>();
    const size_t row = codes.size() / channels;
    Int8Weights q{{codes.begin(), codes.end()},
                  {scales.begin(), scales.end()},
                  std::vector<int32_t>(channels)};
    bool fits = true;
    for (size_t c = 0; c < channels; ++c) {
      q.sums[c] = std::accumulate(codes.begin() + static_cast<std::ptrdiff_t>(c * row),
                                  codes.begin() + static_cast<std::ptrdiff_t>((c + 1) * row), 0);
      fits = fits && scales[c] >= min_scale[c];
    }
    return fits ? q : QuantizeWeights(DequantizedWeights(g_, n), channels, min_scale);
  }

  Status QuantizeConv(Node* n) {
    const Tensor& x = g_.tensor(n->inputs[kInputX]);
    const double x_scale = x.quantization.scale;
    const int32_t x_zero = x.quantization.zero_point;
    const Tensor& w = g_.tensor(n->inputs[kInputWeights]);
    const size_t channels = static_cast<size_t>(w.shape[0]);
    const int64_t reduction = Reduction(g_, *n);
    const TensorId bias_id = n->input(kInputBias);

    // What the sum of products and the zero-point correction leave of 32 bits.
    const bool wide = x.dtype == DType::kI16;
    const double room =
        wide ? static_cast<double>(kMaxInt16Bias)
             : std::min<double>(kMaxBias,
                                static_cast<double>(std::numeric_limits<int32_t>::max() -
                                                    reduction * 255 * 128 - reduction * 255 * 127));
    std::vector<double> bias(channels, 0.0), min_scale(channels, 0.0);
    if (bias_id != kNoTensor) {
      for (size_t c = 0; c < channels; ++c) {
        bias[c] = g_.tensor(bias_id).values<float>()[c];
        // 1.0001: the scale is rounded to float32 after this.
        min_scale[c] = 1.0001 * std::fabs(bias[c]) / (x_scale * room);
        if (!(min_scale[c] <= std::numeric_limits<float>::max())) {
          return InvalidArgument(StrCat(
              "node '", n->name, "': bias of channel ", c, ": found ", bias[c],
              ", expected one that a scale of float32 can express, its input's being ", x_scale));
        }
      }
    }
    const Int8Weights q = WeightsOf(*n, min_scale);
    std::vector<int32_t> integer_bias(channels);
    std::vector<int64_t> long_bias(channels);
    bool any = false;
    for (size_t c = 0; c < channels; ++c) {
      const double b = std::nearbyint(bias[c] / (x_scale * q.scales[c]));
      if (!(std::fabs(b) <= room)) {
        return InternalError(
            StrCat("node '", n->name, "': bias ", b, " of channel ", c, " exceeds ", room));
      }
      // |sum * zero point| <= reduction * 127 * 255, so this stays inside int32, of which int16
      // has no need.
      long_bias[c] = static_cast<int64_t>(b) - int64_t{x_zero} * q.sums[c];
      integer_bias[c] = static_cast<int32_t>(long_bias[c]);
      any |= long_bias[c] != 0;
    }
    SetInt8Weights(&g_, n, q);
    TensorId id = kNoTensor;
    if (any) {
      const void* data = integer_bias.data();
      if (wide) data = long_bias.data();
      id = g_.AddConstant(n->name + ".bias", wide ? DType::kI64 : DType::kI32,
                          {static_cast<int64_t>(channels)}, data,
                          channels * (wide ? sizeof(int64_t) : sizeof(int32_t)));
    }
    n->set_input(kInputBias, id);
    return OkStatus();
  }

  Graph g_;
  const CalibrationTable* table_;
  DType codes_;
  bool float_input_;
  const Kept &kept_, &wide_;
  size_t original_tensors_ = 0;
  std::vector<std::vector<int>> readers_;  ///< Nodes, by original tensor.
  std::vector<int> producer_;              ///< Node, by original tensor.
  std::vector<DType> node_type_;           ///< What nodes compute in.
  std::vector<DType> given_;               ///< Type in which a tensor's producer gives it.
  std::vector<TensorId> parent_;
  std::vector<Group> groups_;
  std::vector<bool> is_output_;
  std::map<TensorId, Quantization> of_inputs_;  ///< As uint8; by root of the group.
  std::map<std::pair<TensorId, DType>, TensorId> as_;
  std::map<std::pair<TensorId, std::pair<float, int32_t>>, TensorId> rescaled_;
  std::vector<Node> nodes_;
};

/// Gives inputs and outputs the wanted types, with conversions at the ends where needed.
class InterfaceTyper {
 public:
  InterfaceTyper(Graph* g, const CalibrationTable* table) : g_(*g), table_(table) {}

  Status SetInputs(DType type) {
    for (TensorId& id : g_.inputs) {
      if (g_.tensor(id).dtype == type) continue;
      if (g_.tensor(id).dtype != DType::kF32) OCTET_RETURN_IF_ERROR(QuantizeAfter(&id));
      if (type != DType::kF32) OCTET_RETURN_IF_ERROR(MakeInputCodes(&id, type));
    }
    return OkStatus();
  }

  Status SetOutputs(DType type) {
    for (TensorId& id : g_.outputs) {
      if (g_.tensor(id).dtype == type) continue;
      if (g_.tensor(id).dtype != DType::kF32) OCTET_RETURN_IF_ERROR(DequantizeOutput(&id));
      if (type != DType::kF32) OCTET_RETURN_IF_ERROR(QuantizeOutput(&id, type));
    }
    return OkStatus();
  }

 private:
  Node Conversion(OpType type, TensorId from, TensorId to) const {
    const bool quantize = type == OpType::kQuantize;
    return UnaryNode(
        type, StrCat(g_.tensor(quantize ? to : from).name, quantize ? ".quantize" : ".dequantize"),
        from, to);
  }

  TensorId NewActivation(std::string name, DType type, Quantization q, TensorId like) {
    return g_.AddActivation(std::move(name), type, g_.tensor(like).shape, q);
  }

  /// A quantized input becomes float, quantized first thing.
  Status QuantizeAfter(TensorId* id) {
    const TensorId u8 = *id;
    const TensorId input = NewActivation(g_.tensor(u8).name, DType::kF32, {}, u8);
    g_.tensor(u8).name += ".quantized";
    g_.nodes.insert(g_.nodes.begin(), Conversion(OpType::kQuantize, input, u8));
    *id = input;
    return OkStatus();
  }

  /// A float input becomes codes. Where the graph quantizes it to such anyway, with that
  /// quantization.
  Status MakeInputCodes(TensorId* id, DType type) {
    const TensorId real = *id;
    Quantization q;
    for (const Node& n : g_.nodes) {
      if (n.type == OpType::kQuantize && n.inputs[0] == real && g_.tensor(n.output).dtype == type) {
        q = g_.tensor(n.output).quantization;
      }
    }
    if (q.scale == 0.0f) {
      OCTET_ASSIGN_OR_RETURN(const Range range, RangeOf(g_, real, table_));
      q = ChooseInputQuantization(g_, real, range, type);
    }
    const TensorId input = NewActivation(g_.tensor(real).name, type, q, real);
    g_.tensor(real).name += ".dequantized";
    // Readers of the quantized form read the input; whoever else is left reads the dequantized one.
    std::vector<Node> nodes = {Conversion(OpType::kDequantize, input, real)};
    std::map<TensorId, TensorId> replaced;
    for (Node& n : g_.nodes) {
      if (n.type == OpType::kQuantize && n.inputs[0] == real && g_.tensor(n.output).dtype == type &&
          g_.tensor(n.output).quantization == q &&
          std::find(g_.outputs.begin(), g_.outputs.end(), n.output) == g_.outputs.end()) {
        replaced[n.output] = input;
        continue;
      }
      for (TensorId& from : n.inputs) {
        if (const auto it = replaced.find(from); it != replaced.end()) from = it->second;
      }
      nodes.push_back(std::move(n));
    }
    g_.nodes = std::move(nodes);
    *id = input;
    return OkStatus();
  }

  Status DequantizeOutput(TensorId* id) {
    const TensorId u8 = *id;
    const TensorId output = NewActivation(g_.tensor(u8).name, DType::kF32, {}, u8);
    g_.tensor(u8).name += ".quantized";
    g_.nodes.push_back(Conversion(OpType::kDequantize, u8, output));
    *id = output;
    return OkStatus();
  }

  Status QuantizeOutput(TensorId* id, DType dtype) {
    const TensorId real = *id;
    const Node* producer = nullptr;
    for (const Node& n : g_.nodes) {
      if (n.output == real) producer = &n;
    }
    if (producer != nullptr && producer->type == OpType::kDequantize &&
        g_.tensor(producer->inputs[0]).dtype == dtype && CanBeOutput(producer->inputs[0])) {
      const TensorId u8 = producer->inputs[0];
      std::swap(g_.tensor(u8).name, g_.tensor(real).name);
      *id = u8;
      return OkStatus();
    }
    Quantization q;
    const OpType type = producer == nullptr ? OpType::kReshape : producer->type;
    if (dtype == DType::kI16 &&
        (type == OpType::kSoftmax || type == OpType::kSigmoid || type == OpType::kTanh)) {
      q = {1.0f / 32768.0f, 0};
    } else if (type == OpType::kSoftmax || type == OpType::kSigmoid) {
      q = {1.0f / 256.0f, 0};  // From 0 to 1: the usual choice, exact in binary.
    } else if (type == OpType::kTanh) {
      q = {1.0f / 128.0f, 128};
    } else {
      OCTET_ASSIGN_OR_RETURN(const Range range, RangeOf(g_, real, table_));
      q = ChooseQuantization(range, dtype);
    }
    const TensorId output = NewActivation(g_.tensor(real).name, dtype, q, real);
    g_.tensor(real).name += ".dequantized";
    g_.nodes.push_back(Conversion(OpType::kQuantize, real, output));
    *id = output;
    return OkStatus();
  }

  /// The format wants outputs to be made by a node and named once.
  bool CanBeOutput(TensorId id) const {
    return std::find(g_.outputs.begin(), g_.outputs.end(), id) == g_.outputs.end() &&
           std::find(g_.inputs.begin(), g_.inputs.end(), id) == g_.inputs.end();
  }

  Graph& g_;
  const CalibrationTable* table_;
};

/// A source that quantizes some values of its own but no layer: another quantization on top would
/// not be its.
Status CheckHasNoCodes(const Graph& g) {
  for (const Tensor& t : g.tensors) {
    if (t.is_constant() || !IsCodes(t.dtype)) continue;
    return Unsupported(
        StrCat("'", t.name,
               "' is quantized by the source, whose layers compute in float: it can "
               "be converted to fp32, fp16 or hybrid, not to bf16, int8 or int16x8"));
  }
  return OkStatus();
}

/// For --require-int8 with a source that is quantized: layers and operators that compute in float.
Status CheckSourceIsInteger(const Graph& g) {
  std::string list;
  for (const Node& n : g.nodes) {
    const bool converts =
        TraitsOf(n.type).converts || n.type == OpType::kSoftmax || n.type == OpType::kReshape;
    if (converts || g.tensor(n.inputs[0]).dtype != DType::kF32) continue;
    list += StrCat(list.empty() ? "" : ", ", "'", n.name, "' (", OpTypeName(n.type), ")");
  }
  if (list.empty()) return OkStatus();
  return Unsupported("operators that the source computes in float32: " + list);
}

}  // namespace

bool IsQuantized(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& n) {
    return !TraitsOf(n.type).converts && !TraitsOf(n.type).moves_values &&
           (IsCodes(graph.tensor(n.inputs[0]).dtype) || IsCodes(graph.tensor(n.output).dtype));
  });
}

Precision OwnPrecision(const Graph& graph) {
  if (!IsQuantized(graph)) return graph.metadata.precision;
  const bool wide = std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& n) {
    return !TraitsOf(n.type).converts && graph.tensor(n.output).dtype == DType::kI16;
  });
  return wide ? Precision::kInt16x8 : Precision::kInt8;
}

bool CanGiveFloats(const Node& node) {
  return node.type == OpType::kGlobalAveragePool ||
         (TraitsOf(node.type).has_weights && node.input(kInputResidual) == kNoTensor);
}

Quantization ChooseQuantization(const Range& range, DType type) {
  const double min = std::min(0.0, static_cast<double>(range.min)),
               max = std::max(0.0, static_cast<double>(range.max));
  const bool wide = type == DType::kI16;
  double scale = wide ? std::max(-min, max) / kHighestInt16 : (max - min) / 255.0;
  // A tensor that was 0 throughout: any scale represents it, but its reader's bias is rounded to
  // steps of it.
  if (!(scale >= std::numeric_limits<float>::min())) scale = kZeroTensorScale;
  Quantization q;
  q.scale = static_cast<float>(scale);
  if (!wide)
    q.zero_point = static_cast<int32_t>(std::clamp(std::nearbyint(-min / scale), 0.0, 255.0));
  return q;
}

Result<Graph> QuantizeGraph(const Graph& float_graph, const QuantizeOptions& options,
                            const CalibrationTable* table) {
  OCTET_RETURN_IF_ERROR(CheckGraph(float_graph));  // No integer stands for a NaN.
  Graph g = float_graph;
  const Kept kept(options.keep.begin(), options.keep.end()),
      wide(options.widen.begin(), options.widen.end());
  if (IsQuantized(g)) {
    const Precision own = OwnPrecision(g);
    if (options.precision != own) {
      return Unsupported(StrCat("the network is quantized already: it can be converted to ",
                                PrecisionName(own), ", not to ", PrecisionName(options.precision)));
    }
    if (!kept.empty() || !wide.empty())
      return Unsupported("the network is quantized already: its layers stay as they are");
    DequantizeWeights(&g);  // Of the layers that compute in float.
    if (options.require_int8) OCTET_RETURN_IF_ERROR(CheckSourceIsInteger(g));
  } else {
    OCTET_RETURN_IF_ERROR(CheckConvs(g));
    switch (options.precision) {
      case Precision::kFp32:
        DequantizeWeights(&g);
        break;
      case Precision::kFp16:
        DequantizeWeights(&g);
        OCTET_RETURN_IF_ERROR(ToFloat16(kept, &g));
        break;
      case Precision::kBf16: {
        OCTET_RETURN_IF_ERROR(CheckHasNoCodes(g));
        DequantizeWeights(&g);
        const bool float_input = options.input_type == DType::kF32;
        OCTET_ASSIGN_OR_RETURN(g, ToBfloat16(std::move(g), float_input, kept));
        break;
      }
      case Precision::kHybrid:
        ToHybrid(kept, &g);
        break;
      case Precision::kInt8:
      case Precision::kInt16x8: {
        if (table == nullptr) {
          return InvalidArgument(StrCat(PrecisionName(options.precision),
                                        " needs a calibration table or calibration data"));
        }
        const DType codes = options.precision == Precision::kInt8 ? DType::kU8 : DType::kI16;
        OCTET_RETURN_IF_ERROR(CheckHasNoCodes(g));
        OCTET_ASSIGN_OR_RETURN(g, CodesConverter(std::move(g), table, codes,
                                                 options.input_type == DType::kF32, kept, wide)
                                      .Run(options.require_int8));
        break;
      }
    }
  }
  InterfaceTyper typer(&g, table);
  OCTET_RETURN_IF_ERROR(typer.SetInputs(options.input_type));
  OCTET_RETURN_IF_ERROR(typer.SetOutputs(options.output_type));
  OCTET_RETURN_IF_ERROR(RemoveUnused(&g));
  g.metadata.precision = options.precision;
  OCTET_RETURN_IF_ERROR(ValidateGraph(g));
  return g;
}

}  // namespace octet
