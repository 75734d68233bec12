#include "converter/quantize/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "converter/passes/passes.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

// Scales below this would make 1/scale overflow or lose all precision; a tensor that never leaves 0 gets it.
constexpr float kSmallestScale = 1e-20f;
// Biases are kept to 30 bits, which leaves the accumulator a factor of two for the products.
constexpr double kLargestBias = 1073741824.0;

TensorId AddConstant(Graph* g, const std::string& name, DType dtype, const Shape& shape, const void* data, size_t bytes) {
  return g->AddConstant(name, dtype, shape, data, bytes);
}

bool HasWeights(const Node& n) { return n.type == OpType::kConv2d || n.type == OpType::kDense; }

/// Weights of one layer as int8 with a scale per output channel.
struct QuantizedWeights {
  std::vector<int8_t> values;  ///< OHWI, as the float ones.
  std::vector<float> scales;
  std::vector<int32_t> sums;   ///< Per output channel, for the zero-point correction.
};

/// Symmetric per output channel: scale = max|w| / 127, at least `floor[c]`.
QuantizedWeights QuantizeWeights(const Tensor& w, std::span<const double> floor) {
  const std::span<const float> from = w.values<float>();
  const size_t channels = static_cast<size_t>(w.shape[0]), row = from.size() / channels;
  QuantizedWeights q;
  q.values.resize(from.size());
  q.scales.resize(channels);
  q.sums.resize(channels);
  for (size_t c = 0; c < channels; ++c) {
    float largest = 0.0f;
    for (size_t i = 0; i < row; ++i) largest = std::max(largest, std::fabs(from[c * row + i]));
    float scale = std::max(largest / 127.0f, kSmallestScale);
    if (!floor.empty()) scale = std::max(scale, static_cast<float>(floor[c]));
    for (size_t i = 0; i < row; ++i) {
      const float v = std::clamp(std::nearbyint(from[c * row + i] / scale), -127.0f, 127.0f);
      q.values[c * row + i] = static_cast<int8_t>(v);
      q.sums[c] += static_cast<int32_t>(v);
    }
    q.scales[c] = scale;
  }
  return q;
}

/// Whether the kernels can take these weights as int8: everything but grouped convolutions that are not depthwise.
bool HasIntegerKernel(const Graph& g, const Node& n) {
  return n.type == OpType::kDense || n.groups == 1 || g.tensor(n.inputs[kInputWeights]).shape.back() == 1;
}

Status ConvertWeightsToHalf(Graph* g) {
  for (Node& n : g->nodes) {
    if (!HasWeights(n)) continue;
    const Tensor w = g->tensor(n.inputs[kInputWeights]);
    if (w.dtype != DType::kF32) continue;
    const std::span<const float> from = w.values<float>();
    std::vector<uint16_t> half(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
      half[i] = FloatToHalf(from[i]);
      if ((half[i] & 0x7fff) >= 0x7c00) {
        return InvalidArgument(StrCat("node ", n.name, ": weight ", from[i], " does not fit float16 (largest is 65504)"));
      }
    }
    n.inputs[kInputWeights] = AddConstant(g, w.name, DType::kF16, w.shape, half.data(), half.size() * 2);
  }
  return OkStatus();
}

void SetWeights(Graph* g, Node* n, const Tensor& w, const QuantizedWeights& q) {
  n->inputs[kInputWeights] = AddConstant(g, w.name, DType::kI8, w.shape, q.values.data(), q.values.size());
  n->set_input(kInputScales, AddConstant(g, w.name + ".scale", DType::kF32, {w.shape[0]}, q.scales.data(), q.scales.size() * 4));
}

void ConvertWeightsToHybrid(Graph* g) {
  for (Node& n : g->nodes) {
    if (!HasWeights(n) || !HasIntegerKernel(*g, n)) continue;
    const Tensor w = g->tensor(n.inputs[kInputWeights]);
    if (w.dtype == DType::kF32) SetWeights(g, &n, w, QuantizeWeights(w, {}));
  }
}

/// Rewrites a float graph operator by operator; every tensor has a float and/or a u8 form, made on demand.
class IntegerRewriter {
 public:
  IntegerRewriter(const Graph& from, const QuantizeOptions& options, const CalibrationTable& table)
      : from_(from), options_(options), table_(table), group_(from.tensors.size()), forms_(from.tensors.size()) {
    std::iota(group_.begin(), group_.end(), 0);
  }

  Result<Graph> Run() {
    to_.metadata = from_.metadata;
    OCTET_RETURN_IF_ERROR(ChooseIntegerNodes());
    OCTET_RETURN_IF_ERROR(ChooseQuantizations());
    for (TensorId id : from_.inputs) {
      const Tensor& t = from_.tensor(id);
      const bool u8 = options_.input_type == DType::kU8;
      const TensorId made = AddForm(id, u8, t.name);
      to_.inputs.push_back(made);
    }
    for (size_t i = 0; i < from_.nodes.size(); ++i) OCTET_RETURN_IF_ERROR(Rewrite(static_cast<int>(i)));
    for (TensorId id : from_.outputs) to_.outputs.push_back(Output(id));
    RemoveUnusedTensors(&to_);
    return std::move(to_);
  }

 private:
  struct Forms {
    TensorId f32 = kNoTensor, u8 = kNoTensor;
  };

  static bool SharesQuantization(OpType type) {
    switch (type) {
      case OpType::kMaxPool:
      case OpType::kReshape:
      case OpType::kSlice:
      case OpType::kPad:
      case OpType::kConcat:
      case OpType::kRelu:
      case OpType::kRelu6: return true;
      default: return false;
    }
  }

  static bool CanBeInteger(const Graph& g, const Node& n) {
    switch (n.type) {
      case OpType::kMul:
      case OpType::kSoftmax:
      case OpType::kQuantize:
      case OpType::kDequantize: return false;
      case OpType::kConv2d:
      case OpType::kDense: return HasIntegerKernel(g, n);
      default: return true;
    }
  }

  TensorId Group(TensorId id) {
    while (group_[id] != id) id = group_[id] = group_[group_[id]];
    return id;
  }
  void Join(TensorId a, TensorId b) { group_[Group(a)] = Group(b); }

  Status ChooseIntegerNodes() {
    std::string floating;
    integer_.assign(from_.nodes.size(), false);
    float_output_.assign(from_.nodes.size(), false);
    for (size_t i = 0; i < from_.nodes.size(); ++i) {
      const Node& n = from_.nodes[i];
      integer_[i] = CanBeInteger(from_, n);
      if (!integer_[i] && n.type != OpType::kSoftmax) {
        floating += StrCat(floating.empty() ? "" : ", ", n.name, " (", OpTypeName(n.type), ")");
      }
    }
    if (options_.require_int8 && !floating.empty()) {
      return Unsupported(StrCat("operators that cannot be quantized to int8: ", floating));
    }
    // Logits that only a softmax or the caller reads stay in float: nothing is gained by rounding them.
    for (size_t i = 0; i < from_.nodes.size(); ++i) {
      const Node& n = from_.nodes[i];
      if (!integer_[i] || !HasWeights(n) || n.input(kInputResidual) != kNoTensor) continue;
      bool only_float = true;
      for (size_t j = 0; j < from_.nodes.size(); ++j) {
        for (TensorId id : from_.nodes[j].inputs) only_float &= id != n.output || !integer_[j];
      }
      float_output_[i] = only_float;
    }
    return OkStatus();
  }

  Status ChooseQuantizations() {
    for (size_t i = 0; i < from_.nodes.size(); ++i) {
      const Node& n = from_.nodes[i];
      if (!integer_[i] || !SharesQuantization(n.type)) continue;
      for (TensorId id : n.inputs) {
        if (id != kNoTensor) Join(id, n.output);
      }
    }
    std::vector<Range> ranges(from_.tensors.size());
    std::vector<bool> known(from_.tensors.size(), false);
    for (size_t i = 0; i < from_.tensors.size(); ++i) {
      const Tensor& t = from_.tensors[i];
      if (t.is_constant()) continue;
      const auto it = table_.ranges.find(t.name);
      if (it == table_.ranges.end()) continue;
      if (!std::isfinite(it->second.min) || !std::isfinite(it->second.max) || it->second.min > it->second.max) {
        return InvalidArgument(StrCat("calibration range of ", t.name, " is [", it->second.min, ", ", it->second.max,
                                      "], expected finite and in order"));
      }
      Range& r = ranges[Group(static_cast<TensorId>(i))];
      r.min = std::min(r.min, it->second.min);
      r.max = std::max(r.max, it->second.max);
      known[Group(static_cast<TensorId>(i))] = true;
    }
    for (size_t i = 0; i < from_.nodes.size(); ++i) {
      const Node& n = from_.nodes[i];
      if (n.type != OpType::kPad || !integer_[i]) continue;
      Range& r = ranges[Group(n.output)];
      r.min = std::min(r.min, n.pad_value);
      r.max = std::max(r.max, n.pad_value);
    }
    quantization_.resize(from_.tensors.size());
    missing_.assign(from_.tensors.size(), false);
    for (size_t i = 0; i < from_.tensors.size(); ++i) {
      const TensorId g = Group(static_cast<TensorId>(i));
      quantization_[i] = ChooseQuantization(ranges[g]);
      missing_[i] = !known[g];
    }
    return OkStatus();
  }

  TensorId AddForm(TensorId id, bool u8, std::string name) {
    const Tensor& t = from_.tensor(id);
    const TensorId made = to_.AddActivation(std::move(name), u8 ? DType::kU8 : DType::kF32, t.shape);
    if (u8) to_.tensor(made).quantization = quantization_[id];
    (u8 ? forms_[id].u8 : forms_[id].f32) = made;
    return made;
  }

  TensorId AsU8(TensorId id) {
    if (forms_[id].u8 == kNoTensor) {
      const TensorId f32 = forms_[id].f32;
      const TensorId made = AddForm(id, true, from_.tensor(id).name + ".quantized");
      to_.AddNode(OpType::kQuantize, from_.tensor(id).name + ".quantize", {f32}, made);
    }
    return forms_[id].u8;
  }

  TensorId AsF32(TensorId id) {
    if (forms_[id].f32 == kNoTensor) {
      const TensorId u8 = forms_[id].u8;
      const TensorId made = AddForm(id, false, from_.tensor(id).name + ".float");
      to_.AddNode(OpType::kDequantize, from_.tensor(id).name + ".dequantize", {u8}, made);
    }
    return forms_[id].f32;
  }

  TensorId CopyConstant(TensorId id) {
    to_.tensors.push_back(from_.tensor(id));
    return static_cast<TensorId>(to_.tensors.size()) - 1;
  }

  Status RequireRange(TensorId id) const {
    if (!missing_[id]) return OkStatus();
    return InvalidArgument(StrCat("no calibration range for tensor ", from_.tensor(id).name));
  }

  Status Rewrite(int index) {
    const Node& n = from_.nodes[index];
    Node out = n;
    const bool integer = integer_[index];
    for (TensorId& id : out.inputs) {
      if (id == kNoTensor) continue;
      if (from_.tensor(id).is_constant()) {
        id = CopyConstant(id);
      } else {
        if (integer) OCTET_RETURN_IF_ERROR(RequireRange(id));
        id = integer ? AsU8(id) : AsF32(id);
      }
    }
    const bool u8_out = integer && !float_output_[index];
    if (u8_out) OCTET_RETURN_IF_ERROR(RequireRange(n.output));
    out.output = AddForm(n.output, u8_out, from_.tensor(n.output).name);
    if (integer && HasWeights(n)) OCTET_RETURN_IF_ERROR(QuantizeLayer(n, &out));
    to_.nodes.push_back(std::move(out));
    return OkStatus();
  }

  Status QuantizeLayer(const Node& n, Node* out) {
    const Tensor w = from_.tensor(n.inputs[kInputWeights]);
    const Quantization x = quantization_[n.inputs[kInputX]];
    const size_t channels = static_cast<size_t>(w.shape[0]);
    std::span<const float> bias;
    if (n.input(kInputBias) != kNoTensor) bias = from_.tensor(n.input(kInputBias)).values<float>();
    // A near-dead channel must not get a scale so small that its bias leaves the accumulator.
    std::vector<double> floor(channels, 0.0);
    for (size_t c = 0; c < bias.size(); ++c) floor[c] = std::fabs(bias[c]) / (x.scale * kLargestBias);
    const QuantizedWeights q = QuantizeWeights(w, floor);
    SetWeights(&to_, out, w, q);
    std::vector<int32_t> integer_bias(channels);
    const size_t row = q.values.size() / channels;
    for (size_t c = 0; c < channels; ++c) {
      int64_t magnitude = 0;
      for (size_t i = 0; i < row; ++i) magnitude += std::abs(q.values[c * row + i]);
      const double exact = bias.empty() ? 0.0 : bias[c] / (static_cast<double>(x.scale) * q.scales[c]);
      const int64_t b = std::llrint(exact) - static_cast<int64_t>(x.zero_point) * q.sums[c];
      if (255 * magnitude + std::llabs(b) > std::numeric_limits<int32_t>::max()) {
        return Unsupported(StrCat("node ", n.name, ": output channel ", c, " may exceed the 32-bit accumulator"));
      }
      integer_bias[c] = static_cast<int32_t>(b);
    }
    out->set_input(kInputBias, AddConstant(&to_, w.name + ".bias", DType::kI32, {w.shape[0]}, integer_bias.data(), channels * 4));
    return OkStatus();
  }

  /// The tensor the caller reads, in the wanted type.
  TensorId Output(TensorId id) {
    if (options_.output_type == DType::kF32) return AsF32(id);
    if (forms_[id].u8 == kNoTensor && IsSoftmax(id)) quantization_[id] = {1.0f / 256.0f, 0};
    return AsU8(id);
  }

  bool IsSoftmax(TensorId id) const {
    for (const Node& n : from_.nodes) {
      if (n.output == id) return n.type == OpType::kSoftmax;
    }
    return false;
  }

  const Graph& from_;
  const QuantizeOptions& options_;
  const CalibrationTable& table_;
  Graph to_;
  std::vector<TensorId> group_;
  std::vector<Forms> forms_;
  std::vector<bool> integer_, float_output_, missing_;
  std::vector<Quantization> quantization_;
};

/// u8 tensors at the edges of a graph whose inside is float: Dequantize at the head, Quantize at the end.
Status ConvertEdges(Graph* g, const QuantizeOptions& options, const CalibrationTable* table) {
  const auto range_of = [&](const std::string& name) -> Result<Range> {
    if (table != nullptr) {
      const auto it = table->ranges.find(name);
      if (it != table->ranges.end()) return it->second;
    }
    return InvalidArgument(StrCat("a uint8 ", name, " needs calibration data: no range is known for it"));
  };
  if (options.input_type == DType::kU8) {
    std::vector<Node> head;
    for (TensorId& id : g->inputs) {
      const std::string name = g->tensor(id).name;
      OCTET_ASSIGN_OR_RETURN(const Range range, range_of(name));
      const TensorId u8 = g->AddActivation(name, DType::kU8, g->tensor(id).shape);
      g->tensor(u8).quantization = ChooseQuantization(range);
      g->tensor(id).name = name + ".float";
      Node n;
      n.type = OpType::kDequantize;
      n.name = name + ".dequantize";
      n.inputs = {u8};
      n.output = id;
      head.push_back(std::move(n));
      id = u8;
    }
    g->nodes.insert(g->nodes.begin(), head.begin(), head.end());
  }
  if (options.output_type == DType::kU8) {
    for (TensorId& id : g->outputs) {
      const std::string name = g->tensor(id).name;
      Quantization q{1.0f / 256.0f, 0};
      const bool softmax = !g->nodes.empty() && std::any_of(g->nodes.begin(), g->nodes.end(), [&](const Node& n) {
        return n.output == id && n.type == OpType::kSoftmax;
      });
      if (!softmax) {
        OCTET_ASSIGN_OR_RETURN(const Range range, range_of(name));
        q = ChooseQuantization(range);
      }
      const TensorId u8 = g->AddActivation(name, DType::kU8, g->tensor(id).shape);
      g->tensor(u8).quantization = q;
      g->tensor(id).name = name + ".float";
      g->AddNode(OpType::kQuantize, name + ".quantize", {id}, u8);
      id = u8;
    }
  }
  return OkStatus();
}

}  // namespace

Quantization ChooseQuantization(const Range& range) {
  const double min = std::min(0.0, static_cast<double>(range.min)), max = std::max(0.0, static_cast<double>(range.max));
  Quantization q;
  q.scale = std::max(static_cast<float>((max - min) / 255.0), kSmallestScale);
  q.zero_point = static_cast<int32_t>(std::clamp(std::nearbyint(-min / q.scale), 0.0, 255.0));
  return q;
}

Result<Graph> QuantizeGraph(const Graph& float_graph, const QuantizeOptions& options, const CalibrationTable* table) {
  if (options.require_int8 && options.precision != Precision::kInt8) {
    return InvalidArgument(StrCat("require_int8 with precision ", PrecisionName(options.precision), ", expected int8"));
  }
  Graph graph = float_graph;
  if (options.precision == Precision::kInt8) {
    if (table == nullptr) return InvalidArgument("precision int8 needs calibration data");
    OCTET_ASSIGN_OR_RETURN(graph, IntegerRewriter(float_graph, options, *table).Run());
  } else {
    if (options.precision == Precision::kFp16) OCTET_RETURN_IF_ERROR(ConvertWeightsToHalf(&graph));
    if (options.precision == Precision::kHybrid) ConvertWeightsToHybrid(&graph);
    OCTET_RETURN_IF_ERROR(ConvertEdges(&graph, options, table));
    RemoveUnusedTensors(&graph);
  }
  graph.metadata.precision = options.precision;
  OCTET_RETURN_IF_ERROR(ValidateGraph(graph));
  return graph;
}

}  // namespace octet
