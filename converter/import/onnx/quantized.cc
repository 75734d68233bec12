// QuantizeLinear and DequantizeLinear. Of an activation both are operators of the graph: what
// stands between them are codes, a tensor of uint8 (int8 codes 128 higher), what stands outside are
// floats.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "converter/import/onnx/importer.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// One scale and zero point of codes, as the graph has them.
Result<Quantization> OneQuantization(const LinearParameters& p) {
  if (p.scales.size() != 1) return Unsupported("it quantizes an activation per channel");
  if (p.type != ElementType::kUint8 && p.type != ElementType::kInt8) {
    return Unsupported(
        StrCat("it quantizes an activation to ", TypeName(p.type), ", expected uint8 or int8"));
  }
  const int64_t low = p.type == ElementType::kInt8 ? -128 : 0;
  if (p.zero_points[0] < low || p.zero_points[0] > low + 255) {
    return Corrupt(
        StrCat("its zero point is ", p.zero_points[0], ", expected ", low, " to ", low + 255));
  }
  return Quantization{p.scales[0], static_cast<int32_t>(p.zero_points[0] - low)};
}

}  // namespace

Result<float> OnnxImporter::Number(const OnnxNode& node, size_t i, const OnnxValue& x,
                                   const char* what) const {
  if (!IsCodes(x)) {
    OCTET_ASSIGN_OR_RETURN(const Constant* c, Floats(node, i, what));
    if (c->size() != 1) return Corrupt(StrCat("its ", what, " is not a single value"));
    return c->floats[0];
  }
  if (!HasInput(node, i) || !Input(node, i).is_constant())
    return Unsupported(StrCat("its ", what, " is not constant"));
  const Constant& c = *Input(node, i).constant;
  if (c.is_float() || c.size() != 1) return Corrupt(StrCat("its ", what, " is not a single code"));
  return Meaning(x, c.ints[0]);
}

Result<LinearParameters> OnnxImporter::Linear(const OnnxNode& node, ElementType codes) const {
  OCTET_ASSIGN_OR_RETURN(const Constant* scale, Floats(node, 1, "scale"));
  const Constant* zero = nullptr;
  if (HasInput(node, 2)) {
    if (!Input(node, 2).is_constant()) return Unsupported("its zero point is not constant");
    zero = Input(node, 2).constant.get();
  }
  return ReadLinearParameters(node, scale, zero, codes);
}

Status OnnxImporter::QuantizeLinear(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const LinearParameters p, Linear(node, ElementType::kUndefined));
  OCTET_ASSIGN_OR_RETURN(const Quantization q, OneQuantization(p));
  OnnxValue y = *x;
  OCTET_ASSIGN_OR_RETURN(y.view.id,
                         builder_.Emit(OpType::kQuantize, At(node), {x->view.id}, {DType::kU8, q}));
  y.type = p.type;
  Set(node.outputs[0], std::move(y));
  return OkStatus();
}

Status OnnxImporter::DequantizeLinear(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  if (!IsCodes(*x)) return Unsupported("it dequantizes what was not quantized");
  const ElementType codes = x->type;
  OCTET_ASSIGN_OR_RETURN(const LinearParameters p, Linear(node, codes));
  if (p.type != codes) {
    return Corrupt(
        StrCat("its zero point is of ", TypeName(p.type), ", its input of ", TypeName(codes)));
  }
  OCTET_ASSIGN_OR_RETURN(const Quantization q, OneQuantization(p));
  const Quantization own = builder_.TypeOf(x->view.id).quantization;
  OnnxValue y = *x;
  if (!(q == own)) {
    // The same codes stand for other numbers: scale * (code - zero) for own.scale * (code -
    // own.zero).
    const double factor = static_cast<double>(q.scale) / own.scale;
    const double shift = static_cast<double>(q.scale) * (own.zero_point - q.zero_point);
    OCTET_ASSIGN_OR_RETURN(
        y.view.id, builder_.ScaleShift(At(node) + "/codes", y.view.id, {static_cast<float>(factor)},
                                       {static_cast<float>(shift)}, {DType::kU8, q}));
  }
  OCTET_ASSIGN_OR_RETURN(y.view.id, builder_.Emit(OpType::kDequantize, At(node), {y.view.id}));
  y.type = ElementType::kFloat32;
  Set(node.outputs[0], std::move(y));
  return OkStatus();
}

/// Limits or a fill value given as codes, as the numbers that these stand for.
float OnnxImporter::Meaning(const OnnxValue& codes, int64_t code) const {
  const Quantization q = builder_.TypeOf(codes.view.id).quantization;
  return q.scale *
         static_cast<float>(code + (codes.type == ElementType::kInt8 ? 128 : 0) - q.zero_point);
}

/// What the first DequantizeLinear on the way of an input of integers says of it; nothing when none
/// is reached before an operator that cares.
Result<std::optional<Quantization>> OnnxImporter::InputQuantization(const std::string& name,
                                                                    bool is_signed) {
  static const std::set<std::string> kMoves = {"Flatten", "Identity", "MaxPool",   "Reshape",
                                               "Slice",   "Squeeze",  "Transpose", "Unsqueeze"};
  const auto says = [](const OnnxNode& node, const std::string& value) {
    return node.op_type == "DequantizeLinear" && node.inputs[0] == value;
  };
  const OnnxNode* node = FirstReader(name, kMoves, says);
  if (node == nullptr) return std::optional<Quantization>();
  for (size_t k = 1; k < node->inputs.size(); ++k) {
    const auto initializer = initializers_.find(node->inputs[k]);
    if (node->inputs[k].empty() || values_.count(node->inputs[k]) > 0) continue;
    if (initializer == initializers_.end())
      return Unsupported("its scale is computed in the graph");
    OCTET_RETURN_IF_ERROR(LoadInitializer(*initializer->second));
  }
  OCTET_ASSIGN_OR_RETURN(const LinearParameters p,
                         Linear(*node, is_signed ? ElementType::kInt8 : ElementType::kUint8));
  OCTET_ASSIGN_OR_RETURN(const Quantization q, OneQuantization(p));
  return std::optional<Quantization>(q);
}

}  // namespace octet
