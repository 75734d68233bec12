// One row a function, with its spelling in every format. Whatever an importer asks about a function
// is looked up there.
#include "converter/import/builder/unary.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "converter/import/builder/understood.h"
#include "formats/base/lower_case.h"

namespace octet {
namespace {

template <OpType kType>
Result<TensorId> One(GraphBuilder* b, const Label& label, TensorId x, float) {
  return b->Emit(kType, label, {x});
}

/// max(x, 0) + slope * min(x, 0): exact on both sides, and each has a range of its own in integers.
Result<TensorId> LeakyRelu(GraphBuilder* b, const Label& label, TensorId x, float slope) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (slope == 0.0f) return b->Clip(label, x, 0.0f, kInfinity);
  if (slope == 1.0f) return x;
  OCTET_ASSIGN_OR_RETURN(const TensorId above, b->Clip(label + ".above", x, 0.0f, kInfinity));
  OCTET_ASSIGN_OR_RETURN(TensorId below, b->Clip(label + ".below", x, -kInfinity, 0.0f));
  OCTET_ASSIGN_OR_RETURN(below, b->ScaleShift(label + ".slope", below, {slope}, {0.0f}));
  return b->Emit(OpType::kAdd, label, {above, below});
}

// clang-format off
constexpr UnaryFunction kFunctions[] = {
    {&One<OpType::kRelu>, {"Relu"}, {"Relu"}, {"relu"}, {}, {"Relu"}, {"nn.relu"}, "features", -1},
    {&One<OpType::kRelu6>, {}, {"Relu6"}, {"relu6"}, {}, {"Relu6"}, {"nn.relu6"}, "features", -1},
    {&One<OpType::kSigmoid>, {"Sigmoid"}, {"Sigmoid"}, {"sigmoid"}, {}, {"Sigmoid"},
     {"math.sigmoid nn.sigmoid"}, "x", 14},
    {&One<OpType::kTanh>, {"Tanh"}, {"Tanh"}, {"tanh"}, {}, {"Tanh"}, {"math.tanh nn.tanh"}, "x", 28},
    {&LeakyRelu, {"LeakyRelu", "alpha", 0.01f}, {"LeakyRelu", "alpha", 0.2f},
     {"leaky_relu", "negative_slope", 0.2f}, {"LeakyReLU", "negative_slope alpha", 0.3f},
     {"LeakyRelu", "negative_slope", 0.2f}, {"nn.leaky_relu", "alpha", 0.2f}, "features", 98},
};
// clang-format on

/// Those of any format that octet lacks, in lower case.
constexpr const char* kLacking =
    "celu elu erf gelu hardsigmoid hardswish mish prelu selu silu softplus softsign "
    "swish thresholdedrelu";

}  // namespace

Result<TensorId> UnaryFunction::Emit(GraphBuilder* b, const Label& label, TensorId x,
                                     float parameter) const {
  if (b->TypeOf(x).dtype != DType::kF32) return Unsupported("of integers");
  if (!std::isfinite(parameter)) return Unsupported(StrCat("its parameter is ", parameter));
  return emit(b, label, x, parameter);
}

std::span<const UnaryFunction> UnaryFunctions() { return kFunctions; }

const UnaryFunction* FindUnary(UnaryFunction::Spelling UnaryFunction::*format,
                               std::string_view name) {
  const auto it =
      std::find_if(std::begin(kFunctions), std::end(kFunctions),
                   [&](const UnaryFunction& f) { return HasWord((f.*format).name, name); });
  return it == std::end(kFunctions) ? nullptr : it;
}

std::string UnaryNames() {
  std::string names;
  for (const UnaryFunction& f : kFunctions)
    names += StrCat(names.empty() ? "" : ", ", f.keras.name);
  return names;
}

std::string UnaryAdvice(std::string_view op) {
  std::string lower = LowerCase(op);
  std::erase(lower, '_');
  if (!HasWord(kLacking, lower)) return "";
  return StrCat("of all activation functions octet has clips, ", UnaryNames());
}

}  // namespace octet
