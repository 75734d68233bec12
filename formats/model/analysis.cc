// Facts go forwards: a value's sign follows from its operator, or from the signs of what it reads.
#include "formats/model/analysis.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "formats/base/finite.h"
#include "formats/base/str_cat.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

bool IsNonNegative(const Node& n, const std::vector<bool>& known) {
  if (n.activation != Activation::kNone) return true;
  switch (TraitsOf(n.type).sign) {
    case Sign::kAny:
      return false;
    case Sign::kNonNegative:
      return true;
    case Sign::kAsInputs:
      break;
  }
  if (n.type == OpType::kPad && n.pad_value < 0.0f) return false;
  if (n.type == OpType::kClip && n.clip_low >= 0.0f) return true;
  if (n.type == OpType::kClip && n.clip_high < 0.0f) return false;
  return std::all_of(n.inputs.begin(), n.inputs.end(),
                     [&](TensorId id) { return known[static_cast<size_t>(id)]; });
}

}  // namespace

std::vector<bool> FindNonNegative(const Graph& graph) {
  std::vector<bool> known(graph.tensors.size(), false);
  // The lowest code stands for 0.
  for (size_t id = 0; id < graph.tensors.size(); ++id) {
    const Tensor& t = graph.tensors[id];
    known[id] = !t.is_constant() && t.dtype == DType::kU8 && t.quantization.zero_point == 0;
  }
  for (const Node& n : graph.nodes) {
    if (IsNonNegative(n, known)) known[static_cast<size_t>(n.output)] = true;
  }
  return known;
}

Status CheckGraph(const Graph& graph) {
  for (const Tensor& t : graph.tensors) {
    Status status;
    if (t.dtype == DType::kF32) {
      status = CheckFinite(t.values<float>());
    } else if (t.dtype == DType::kF16) {
      std::vector<float> values;
      for (uint16_t v : t.values<uint16_t>()) values.push_back(HalfToFloat(v));
      status = CheckFinite(values);
    } else if (t.dtype == DType::kBF16) {
      std::vector<float> values;
      for (uint16_t v : t.values<uint16_t>()) values.push_back(Bf16ToFloat(v));
      status = CheckFinite(values);
    }
    if (!status.ok()) return std::move(status).WithContext(StrCat("tensor '", t.name, "'"));
  }
  return ValidateGraph(graph);
}

int64_t CountParameters(const Graph& graph) {
  std::vector<bool> counted(graph.tensors.size(), false);
  int64_t parameters = 0;
  for (const Node& n : graph.nodes) {
    for (size_t slot = 0; slot < n.inputs.size(); ++slot) {
      const TensorId id = n.inputs[slot];
      const bool scales =
          (TraitsOf(n.type).has_weights && (slot == kInputScales || slot == kInputPadding)) ||
          (n.type == OpType::kScaleShift && slot == kInputUnit);
      if (id == kNoTensor || scales || !graph.tensor(id).is_constant()) continue;
      if (counted[static_cast<size_t>(id)]) continue;
      counted[static_cast<size_t>(id)] = true;
      parameters += graph.tensor(id).shape.num_elements();
    }
  }
  return parameters;
}

}  // namespace octet
