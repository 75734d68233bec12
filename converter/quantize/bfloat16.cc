// Types of nodes are decided from the outputs backwards, then the graph is written anew, with
// conversions where they are first needed.
#include "converter/quantize/bfloat16.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "converter/quantize/half_weights.h"
#include "converter/quantize/quantize.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

class Bfloat16Converter {
 public:
  Bfloat16Converter(Graph graph, bool float_input, const std::set<std::string>& kept)
      : g_(std::move(graph)), float_input_(float_input), kept_(kept) {}

  Result<Graph> Run() {
    DecideTypes();
    OCTET_RETURN_IF_ERROR(Rewrite());
    return std::move(g_);
  }

 private:
  bool IsActivation(TensorId id) const { return id != kNoTensor && !g_.tensor(id).is_constant(); }

  bool IsHead(const Node& n) const {
    return float_input_ && n.type == OpType::kScaleShift && n.activation == Activation::kNone &&
           std::find(g_.inputs.begin(), g_.inputs.end(), n.inputs[0]) != g_.inputs.end();
  }

  void DecideTypes() {
    const size_t nodes = g_.nodes.size();
    std::vector<bool> only_float_readers(g_.tensors.size(), true);
    computes_bf16_.assign(nodes, false);
    given_.assign(g_.tensors.size(), DType::kF32);
    for (size_t i = nodes; i-- > 0;) {
      const Node& n = g_.nodes[i];
      const OpTraits& traits = TraitsOf(n.type);
      const bool ends = only_float_readers[n.output];
      // What stands between the last layer and an output or a softmax stays with that.
      const bool follows = n.type == OpType::kReshape || n.type == OpType::kSlice;
      computes_bf16_[i] = !kept_.contains(n.name) && !IsHead(n) && !traits.converts &&
                          !(ends && (traits.only_float || follows));
      if (!computes_bf16_[i]) continue;
      for (TensorId id : n.inputs) {
        if (IsActivation(id)) only_float_readers[id] = false;
      }
      if (!(ends && CanGiveFloats(n))) given_[n.output] = DType::kBF16;
    }
  }

  /// The tensor as values of `type`, converted at its first such use.
  TensorId As(TensorId id, DType type) {
    if (given_[id] == type) return id;
    TensorId& known = as_.try_emplace({id, type}, kNoTensor).first->second;
    if (known != kNoTensor) return known;
    const bool real = type == DType::kF32;
    const std::string name = StrCat(g_.tensor(id).name, real ? ".float32" : ".bfloat16");
    known = g_.AddActivation(name, type, g_.tensor(id).shape);
    nodes_.push_back(UnaryNode(real ? OpType::kDequantize : OpType::kQuantize, name, id, known));
    return known;
  }

  Status Rewrite() {
    for (size_t id = 0; id < given_.size(); ++id) {
      if (given_[id] == DType::kBF16) g_.tensors[id].dtype = DType::kBF16;
    }
    for (size_t i = 0; i < computes_bf16_.size(); ++i) {
      Node n = std::move(g_.nodes[i]);
      const DType type = computes_bf16_[i] ? DType::kBF16 : DType::kF32;
      for (TensorId& id : n.inputs) {
        if (IsActivation(id)) id = As(id, type);
      }
      if (TraitsOf(n.type).has_weights && computes_bf16_[i])
        OCTET_RETURN_IF_ERROR(weights_.Replace(&n));
      nodes_.push_back(std::move(n));
    }
    for (TensorId& id : g_.outputs) {
      if (given_[id] == DType::kF32) continue;
      const TensorId from = id;
      id = As(from, DType::kF32);
      std::swap(g_.tensor(id).name,
                g_.tensor(from).name);  // The caller knows the output by its name.
    }
    g_.nodes = std::move(nodes_);
    return OkStatus();
  }

  Graph g_;
  bool float_input_;
  const std::set<std::string>& kept_;
  std::vector<bool> computes_bf16_;  ///< By node.
  std::vector<DType> given_;         ///< Type in which a tensor's producer gives it.
  std::map<std::pair<TensorId, DType>, TensorId> as_;
  HalfWeights weights_{&g_, DType::kBF16};
  std::vector<Node> nodes_;
};

}  // namespace

Result<Graph> ToBfloat16(Graph g, bool float_input, const std::set<std::string>& kept) {
  return Bfloat16Converter(std::move(g), float_input, kept).Run();
}

}  // namespace octet
