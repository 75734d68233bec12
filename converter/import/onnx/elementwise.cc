// ONNX operators on each element, and those that normalize.
#include <algorithm>
#include <limits>
#include <utility>

#include "converter/import/builder/unary.h"
#include "converter/import/onnx/importer.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

Status OnnxImporter::BatchNormalization(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  OnnxAttributes attributes(node);
  const float epsilon = attributes.Float("epsilon", 1e-5f);
  const int64_t training = attributes.Int("training_mode", 0);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (training != 0)
    return Unsupported(StrCat("its attribute 'training_mode' is ", training,
                              ", honoured is 0; export the network in evaluation mode"));
  const Dims& dims = x->view.dims;
  if (dims.size() < 2) return Unsupported(StrCat("its input ", DimsText(dims), " has no channels"));
  OCTET_RETURN_IF_ERROR(NotBatch(*x, 1, "normalizes"));
  std::array<const Constant*, 4> p{};
  constexpr const char* kNames[] = {"scale", "bias", "mean", "variance"};
  for (size_t i = 0; i < 4; ++i) {
    OCTET_ASSIGN_OR_RETURN(p[i], Floats(node, i + 1, kNames[i]));
    if (p[i]->dims != Dims{dims[1]}) {
      return Corrupt(StrCat("its ", kNames[i], " has shape ", DimsText(p[i]->dims), ", expected [",
                            dims[1], "]"));
    }
  }
  View y = x->view;
  OCTET_ASSIGN_OR_RETURN(
      y.id, builder_.BatchNorm(At(node), y, 1,
                               {p[0]->floats, p[1]->floats, p[2]->floats, p[3]->floats}, epsilon));
  Set(node, std::move(y), x->batch);
  return OkStatus();
}

/// Those of UnaryFunctions().
Status OnnxImporter::Unary(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  const UnaryFunction& function = *FindUnary(&UnaryFunction::onnx, node.op_type);
  OnnxAttributes attributes(node);
  const float parameter = attributes.Float(function.onnx.attribute, function.onnx.otherwise);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  View y = x->view;
  if (IsCodes(*x) && node.op_type == "Relu") {
    OCTET_ASSIGN_OR_RETURN(y.id, builder_.Clip(At(node), y.id, Meaning(*x, 0), kInfinity));
  } else {
    OCTET_ASSIGN_OR_RETURN(y.id, function.Emit(&builder_, At(node), y.id, parameter));
  }
  Set(node, std::move(y), x->batch);
  return OkStatus();
}

Status OnnxImporter::Negate(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  View y = x->view;
  OCTET_ASSIGN_OR_RETURN(y.id, builder_.ScaleShift(At(node), y.id, {-1.0f}, {0.0f}));
  Set(node, std::move(y), x->batch);
  return OkStatus();
}

Status OnnxImporter::Clip(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  float limits[2] = {-kInfinity, kInfinity};
  constexpr const char* kNames[] = {"min", "max"};
  OnnxAttributes attributes(node);
  for (size_t i = 0; i < 2; ++i) {
    if (opset_ < 11) {
      limits[i] = attributes.Float(kNames[i], limits[i]);
    } else if (HasInput(node, i + 1)) {
      OCTET_ASSIGN_OR_RETURN(limits[i], Number(node, i + 1, *x, kNames[i]));
    }
  }
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  View y = x->view;
  OCTET_ASSIGN_OR_RETURN(y.id, builder_.Clip(At(node), y.id, limits[0], limits[1]));
  Set(node, std::move(y), x->batch);
  return OkStatus();
}

/// Add, Sub, Mul, Div, Max or Min of two values, not both of them constants.
Result<OnnxValue> OnnxImporter::Combine(const Label& label, const std::string& op,
                                        const OnnxValue& a, const OnnxValue& b) {
  OnnxValue y = a.is_activation() ? a : b;
  if (a.is_activation() && b.is_activation()) {
    if (op != "Add" && op != "Sub" && op != "Mul") return Unsupported("of two activations");
    if (a.view.dims != b.view.dims || a.batch != b.batch) {
      return Unsupported(StrCat("of activations of different shapes, ", DimsText(a.view.dims),
                                " and ", DimsText(b.view.dims)));
    }
    const Shape shape = builder_.ShapeOf(a.view);
    Result<TensorId> other = builder_.AsOrdered(label, b.view, shape, a.view.perm);
    if (!other.ok()) return Unsupported("of activations in different orders of elements");
    if (op == "Sub") {
      OCTET_ASSIGN_OR_RETURN(y.view.id, builder_.Subtract(label, a.view.id, *other));
    } else {
      OCTET_ASSIGN_OR_RETURN(y.view.id, builder_.Emit(op == "Add" ? OpType::kAdd : OpType::kMul,
                                                      label, {a.view.id, *other}));
    }
    return y;
  }
  const bool constant_first = a.is_constant();
  const Constant& c = *(constant_first ? a : b).constant;
  if (!c.is_float()) return Unsupported("its constant operand is not floating-point");
  if (op == "Max" || op == "Min") {
    if (c.size() != 1 || c.dims.size() > y.view.dims.size())
      return Unsupported("with more than one constant");
    OCTET_ASSIGN_OR_RETURN(y.view.id,
                           builder_.Clip(label, y.view.id, op == "Max" ? c.floats[0] : -kInfinity,
                                         op == "Min" ? c.floats[0] : kInfinity));
    return y;
  }
  if (op == "Div" && constant_first) return Unsupported("of a constant by an activation");
  OCTET_ASSIGN_OR_RETURN(std::vector<float> values, builder_.Spread(y.view, c.dims, c.floats));
  std::vector<float> scale{op == "Sub" && constant_first ? -1.0f : 1.0f}, shift{0.0f};
  if (op == "Div") {
    for (float& v : values) v = static_cast<float>(1.0 / static_cast<double>(v));
  } else if (op == "Sub" && !constant_first) {
    for (float& v : values) v = -v;
  }
  (op == "Mul" || op == "Div" ? scale : shift) = std::move(values);
  OCTET_ASSIGN_OR_RETURN(y.view.id,
                         builder_.ScaleShift(label, y.view.id, std::move(scale), std::move(shift)));
  return y;
}

Status OnnxImporter::Arithmetic(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(OnnxValue y,
                         Combine(At(node), node.op_type, Input(node, 0), Input(node, 1)));
  Set(node.outputs[0], std::move(y));
  return OkStatus();
}

/// Sum, Max and Min of any number of inputs: one after the other.
Status OnnxImporter::Variadic(const OnnxNode& node) {
  const std::string op = node.op_type == "Sum" ? "Add" : node.op_type;
  OnnxValue all = Input(node, 0);
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (!HasInput(node, i)) return Corrupt(StrCat("input ", i, " is missing"));
    const OnnxValue& next = Input(node, i);
    if (all.is_constant() && next.is_constant()) {
      OCTET_ASSIGN_OR_RETURN(Constant folded, folder_.Binary(op == "Add"   ? BinaryOp::kAdd
                                                             : op == "Max" ? BinaryOp::kMax
                                                                           : BinaryOp::kMin,
                                                             *all.constant, *next.constant));
      all.constant = std::make_shared<const Constant>(std::move(folded));
      continue;
    }
    const Label label =
        i + 1 == node.inputs.size() ? At(node) : At(node) + StrCat("/", node.op_type, i);
    OCTET_ASSIGN_OR_RETURN(all, Combine(label, op, all, next));
  }
  Set(node.outputs[0], std::move(all));
  return OkStatus();
}

Status OnnxImporter::PassThrough(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  if (node.op_type == "Dropout" && HasInput(node, 2)) {
    const OnnxValue& training = Input(node, 2);
    const bool off = training.is_constant() && training.constant->size() == 1 &&
                     !training.constant->is_float() && training.constant->ints[0] == 0;
    if (!off) return Unsupported("it is in training mode; export the network in evaluation mode");
  }
  Set(node.outputs[0], *x);
  return OkStatus();
}

/// All floating-point types are computed as float32, and an integer image becomes its values.
Status OnnxImporter::Cast(const OnnxNode& node) {
  OnnxAttributes attributes(node);
  const auto to = static_cast<ElementType>(attributes.Int("to", 0));
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  return CastTo(node, to);
}

Status OnnxImporter::CastTo(const OnnxNode& node, ElementType to) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  if (!IsFloat(to) && to != x->type)
    return Unsupported(StrCat("of an activation to ", TypeName(to)));
  Set(node, x->view, x->batch, IsFloat(to) ? ElementType::kFloat32 : to);
  return OkStatus();
}

Status OnnxImporter::CastLike(const OnnxNode& node) {
  const OnnxValue& like = Input(node, 1);
  const ElementType to = like.is_constant() ? like.constant->type : like.type;
  const OnnxValue& x = Input(node, 0);
  if (!x.is_constant()) return CastTo(node, to);
  OCTET_ASSIGN_OR_RETURN(Constant cast, folder_.Cast(*x.constant, to));
  Set(node.outputs[0], std::move(cast));
  return OkStatus();
}

Status OnnxImporter::Softmax(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(
      OnnxValue y, Normalized(At(node), node,
                              node.op_type == "Softmax" ? OpType::kSoftmax : OpType::kLogSoftmax));
  Set(node.outputs[0], std::move(y));
  return OkStatus();
}

/// Log of Softmax, which is one operator of the graph.
Status OnnxImporter::Log(const OnnxNode& node) {
  const auto producer = producers_.find(node.inputs[0]);
  if (producer == producers_.end() || model_.nodes[producer->second].op_type != "Softmax" ||
      !model_.nodes[producer->second].domain.empty())
    return Unsupported("of an activation; octet has Log behind Softmax only");
  OCTET_ASSIGN_OR_RETURN(OnnxValue y,
                         Normalized(At(node), model_.nodes[producer->second], OpType::kLogSoftmax));
  Set(node.outputs[0], std::move(y));
  return OkStatus();
}

/// What the node `softmax`, or LogSoftmax, computes, as an operator of `type`.
Result<OnnxValue> OnnxImporter::Normalized(const Label& label, const OnnxNode& softmax,
                                           OpType type) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(softmax, 0));
  OnnxAttributes attributes(softmax);
  const int64_t opset = OpsetOf(softmax);
  const int64_t raw_axis = attributes.Int("axis", opset < 13 ? 1 : -1);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  const size_t rank = x->view.dims.size();
  OCTET_ASSIGN_OR_RETURN(const size_t first, NormalizeAxis(raw_axis, rank));
  // Before opset 13 the axis is where the input is cut into two dimensions.
  const size_t last = opset < 13 ? rank : first + 1;
  for (size_t d = first; d < last; ++d) OCTET_RETURN_IF_ERROR(NotBatch(*x, d, "normalizes across"));
  OnnxValue y = *x;
  OCTET_ASSIGN_OR_RETURN(y.view, builder_.Softmax(label, x->view, type, first, last));
  return y;
}

}  // namespace octet
