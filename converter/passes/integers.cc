// One walk over the nodes: which float tensors are dequantized codes is known from in front, who
// quantizes a result alike from the readers behind.
#include "converter/passes/integers.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "converter/passes/passes.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

class Fuser {
 public:
  explicit Fuser(Graph* graph) : g_(*graph) {}

  Status Run() {
    const bool any = std::any_of(g_.nodes.begin(), g_.nodes.end(),
                                 [](const Node& n) { return TraitsOf(n.type).converts; });
    if (!any) return OkStatus();
    Index();
    for (size_t i = 0; i < old_.size(); ++i) {
      if (absorbed_[i]) continue;
      Node n = old_[i];
      for (TensorId& id : n.inputs) {
        if (id != kNoTensor) id = replaced_[id];
      }
      switch (n.type) {
        case OpType::kDequantize:
          codes_[n.output] = n.inputs[0];
          Push(std::move(n));
          break;
        case OpType::kQuantize:
          Quantize(std::move(n));
          break;
        default:
          if (!OnCodes(&n)) Push(std::move(n));
      }
    }
    return RemoveUnused(&g_);
  }

 private:
  void Index() {
    old_ = std::move(g_.nodes);
    g_.nodes.clear();
    readers_.resize(g_.tensors.size());
    absorbed_.assign(old_.size(), false);
    is_output_.assign(g_.tensors.size(), false);
    codes_.assign(g_.tensors.size(), kNoTensor);
    replaced_.resize(g_.tensors.size());
    std::iota(replaced_.begin(), replaced_.end(), 0);
    for (size_t i = 0; i < old_.size(); ++i) {
      for (TensorId id : old_[i].inputs) {
        if (id != kNoTensor) readers_[id].push_back(i);
      }
    }
    for (TensorId id : g_.outputs) is_output_[id] = true;
  }

  void Push(Node n) { g_.nodes.push_back(std::move(n)); }

  /// A new tensor of codes, for the shape of `like`.
  TensorId NewCodes(const std::string& name, TensorId like, const Quantization& q) {
    return Added(g_.AddActivation(name, DType::kU8, g_.tensor(like).shape, q));
  }

  TensorId Added(TensorId id) {
    is_output_.push_back(false);
    codes_.push_back(kNoTensor);
    replaced_.push_back(id);
    return id;
  }

  const Quantization& QuantizationOf(TensorId id) const { return g_.tensor(id).quantization; }

  /// The same values in another quantization.
  TensorId Rescaled(TensorId codes, const Quantization& q, const std::string& name) {
    if (QuantizationOf(codes) == q) return codes;
    const TensorId to = NewCodes(name, codes, q);
    Push(UnaryNode(OpType::kQuantize, name, codes, to));
    return to;
  }

  void Quantize(Node n) {
    const TensorId codes = codes_[n.inputs[0]];
    if (codes != kNoTensor) {
      if (QuantizationOf(codes) == QuantizationOf(n.output) && !is_output_[n.output]) {
        replaced_[n.output] = codes;
        return;
      }
      n.inputs[0] = codes;
    }
    Push(std::move(n));
  }

  /// The one tensor of codes that all readers of a float tensor make of it, or nothing. The
  /// quantizations are then part of the node that gives it.
  std::optional<TensorId> OnlyQuantized(TensorId id) const {
    if (is_output_[id] || readers_[id].empty()) return std::nullopt;
    std::optional<TensorId> codes;
    for (size_t i : readers_[id]) {
      const Node& reader = old_[i];
      if (reader.type != OpType::kQuantize) return std::nullopt;
      if (!codes) {
        codes = reader.output;
        continue;
      }
      if (!(QuantizationOf(reader.output) == QuantizationOf(*codes))) return std::nullopt;
      if (is_output_[reader.output]) {
        if (is_output_[*codes]) return std::nullopt;  // Each output is a tensor of its own.
        codes = reader.output;
      }
    }
    return codes;
  }

  void Absorb(TensorId id, TensorId codes) {
    for (size_t i : readers_[id]) {
      absorbed_[i] = true;
      replaced_[old_[i].output] = codes;
    }
  }

  /// Rewrites a float node whose activations are all dequantized codes; false when it stays as it
  /// is.
  bool OnCodes(Node* n) {
    if (g_.tensor(n->output).dtype != DType::kF32) return false;
    std::vector<TensorId> codes;
    for (TensorId id : n->inputs) {
      if (id == kNoTensor || g_.tensor(id).is_constant()) continue;
      if (codes_[id] == kNoTensor) return false;
      codes.push_back(codes_[id]);
    }
    if (codes.empty()) return false;
    const std::optional<TensorId> to = OnlyQuantized(n->output);
    switch (n->type) {
      case OpType::kConv2d:
      case OpType::kDense:
        return n->input(kInputResidual) == kNoTensor && Layer(n, codes[0], to);
      case OpType::kGlobalAveragePool:
        if (!to) {
          n->inputs[0] = codes[0];
          Push(std::move(*n));
          return true;
        }
        return Computed(n, codes, to);
      case OpType::kAveragePool:
      case OpType::kAdd:
      case OpType::kMul:
      case OpType::kScaleShift:
        return Computed(n, codes, to);
      case OpType::kReshape:
      case OpType::kMaxPool:
      case OpType::kSlice:
        return Moved(n, codes[0], to);
      case OpType::kRelu:
        return to ? Clamped(n, codes, *to) : Moved(n, codes[0], to);
      case OpType::kPad:  // Only 0 is a code whatever the scale.
        if (!to && n->pad_value == 0.0f) return Moved(n, codes[0], to);
        return to && Clamped(n, codes, *to);
      case OpType::kConcat:
        return to ? Clamped(n, codes, *to) : Joined(n, codes);
      case OpType::kRelu6:
        return to && Clamped(n, codes, *to);
      case OpType::kClip:
        if (!to && LimitsCodes(*n, codes[0])) return Moved(n, codes[0], to);
        return to && Clamped(n, codes, *to);
      case OpType::kSoftmax:
      case OpType::kSigmoid:
      case OpType::kTanh:
      case OpType::kLogSoftmax:
      case OpType::kQuantize:
      case OpType::kDequantize:
        return false;
    }
    return false;
  }

  /// Whether both limits are what codes stand for, or do not limit any code.
  bool LimitsCodes(const Node& n, TensorId codes) const {
    const Quantization& q = QuantizationOf(codes);
    const auto code = [&](float limit) {
      return static_cast<double>(limit) / q.scale + q.zero_point;
    };
    const auto exact = [&](float limit) {
      const double c = std::nearbyint(code(limit));
      return c >= 0.0 && c <= 255.0 && static_cast<float>(q.scale * (c - q.zero_point)) == limit;
    };
    return (code(n.clip_low) <= 0.0 || exact(n.clip_low)) &&
           (code(n.clip_high) >= 255.0 || exact(n.clip_high));
  }

  /// An operator that computes with both scales.
  bool Computed(Node* n, const std::vector<TensorId>& codes, std::optional<TensorId> to) {
    if (!to) return false;
    size_t next = 0;
    for (TensorId& id : n->inputs) {
      if (id != kNoTensor && !g_.tensor(id).is_constant()) id = codes[next++];
    }
    Give(n, *to);
    return true;
  }

  /// An operator that gives values of its input: on codes wherever they go, rescaled behind it.
  bool Moved(Node* n, TensorId codes, std::optional<TensorId> to) {
    const TensorId real = n->output;
    const std::string name = g_.tensor(real).name;
    n->inputs[0] = codes;
    if (to && QuantizationOf(*to) == QuantizationOf(codes)) {
      Give(n, *to);
      return true;
    }
    const TensorId moved = NewCodes(name + ".codes", real, QuantizationOf(codes));
    n->output = moved;
    Push(std::move(*n));
    if (to) {
      Absorb(real, *to);
      Push(Conversion(OpType::kQuantize, moved, *to));
    } else {
      codes_[real] = moved;
      Push(Conversion(OpType::kDequantize, moved, real));
    }
    return true;
  }

  /// An operator with limits or values of its own in the result's quantization: rescaled in front
  /// of it.
  bool Clamped(Node* n, const std::vector<TensorId>& codes, TensorId to) {
    for (size_t i = 0; i < codes.size(); ++i) {
      n->inputs[i] =
          Rescaled(codes[i], QuantizationOf(to), StrCat(g_.tensor(n->output).name, ".input", i));
    }
    Give(n, to);
    return true;
  }

  /// A concatenation of codes that mean the same.
  bool Joined(Node* n, const std::vector<TensorId>& codes) {
    for (TensorId id : codes) {
      if (!(QuantizationOf(id) == QuantizationOf(codes[0]))) return false;
    }
    n->inputs = codes;
    return Moved(n, codes[0], std::nullopt);
  }

  void Give(Node* n, TensorId to) {
    Absorb(n->output, to);
    n->output = to;
    Push(std::move(*n));
  }

  Node Conversion(OpType type, TensorId from, TensorId to) const {
    return UnaryNode(type, g_.tensor(to).name, from, to);
  }

  /// A layer of int8 weights reads codes, if its bias fits 32 bits at the product of both scales.
  bool Layer(Node* n, TensorId codes, std::optional<TensorId> to) {
    const Tensor& w = g_.tensor(n->inputs[kInputWeights]);
    if (w.dtype != DType::kI8) return false;
    const size_t channels = static_cast<size_t>(w.shape[0]);
    const size_t row = static_cast<size_t>(w.shape.num_elements()) / channels;
    if (row > static_cast<size_t>(kMaxInt8Reduction)) return false;
    const Quantization q = QuantizationOf(codes);
    const std::span<const int8_t> weights = w.values<int8_t>();
    const std::span<const float> scales = g_.tensor(n->inputs[kInputScales]).values<float>();
    const TensorId bias_id = n->input(kInputBias);
    const double limit = static_cast<double>(std::numeric_limits<int32_t>::max()) -
                         static_cast<double>(row) * 255 * 128;
    std::vector<int32_t> bias(channels);
    for (size_t c = 0; c < channels; ++c) {
      int64_t sum = 0;
      for (size_t i = 0; i < row; ++i) sum += weights[c * row + i];
      double b = 0.0;
      if (bias_id != kNoTensor) {
        b = std::nearbyint(g_.tensor(bias_id).values<float>()[c] /
                           (static_cast<double>(q.scale) * scales[c]));
      }
      b -= static_cast<double>(q.zero_point * sum);
      if (!(std::fabs(b) <= limit)) return false;
      bias[c] = static_cast<int32_t>(b);
    }
    const std::string name = StrCat(n->name, ".bias");
    n->inputs[kInputX] = codes;
    n->set_input(kInputBias,
                 Added(g_.AddConstant(name, DType::kI32, {static_cast<int64_t>(channels)},
                                      bias.data(), bias.size() * sizeof(int32_t))));
    if (to) {
      Give(n, *to);
    } else {
      Push(std::move(*n));
    }
    return true;
  }

  Graph& g_;
  std::vector<Node> old_;
  std::vector<std::vector<size_t>> readers_;  ///< Of the old nodes, by tensor.
  std::vector<bool> absorbed_;  ///< Quantizations that have become part of another node.
  std::vector<bool> is_output_;
  std::vector<TensorId> codes_;     ///< By float tensor: the codes it was dequantized from.
  std::vector<TensorId> replaced_;  ///< By tensor: what stands for it now.
};

}  // namespace

Status FuseQuantized(Graph* graph) {
  if (graph->metadata.rounding == Rounding::kTflite) return OkStatus();
  OCTET_RETURN_IF_ERROR(Fuser(graph).Run());
  return InferShapes(graph);
}

}  // namespace octet
