// TFLite's arithmetic, activation functions and changes of type.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "converter/import/builder/unary.h"
#include "converter/import/tflite/importer.h"
#include "formats/base/round.h"

namespace octet {
namespace {

// Codes in the public schema.
constexpr int kAdd = 0, kMul = 18, kRelu = 19, kReluN1To1 = 20, kRelu6 = 21, kSoftmax = 25,
              kSub = 41, kDiv = 42, kMaximum = 55, kLeakyRelu = 98;

/// Whether TFLite's SUB scales one of these codes, beside codes of `other_scale`, to another
/// magnitude than its negative: the rounding of a product of 31 bits takes halves up on both sides.
bool ScalesUnevenly(float scale, float other_scale, bool int16, const std::vector<int64_t>& codes) {
  int exponent = 0;
  const double fraction =
      std::frexp(scale / static_cast<double>(2 * std::max(scale, other_scale)), &exponent);
  const int64_t multiplier = std::llround(fraction * 0x1p31);
  // q << 20, of int16 q << 15, times the multiplier is half of 2^31 beyond a whole number.
  const int64_t whole = int16 ? 1 << 16 : 1 << 11;
  return std::any_of(codes.begin(), codes.end(),
                     [&](int64_t q) { return std::abs(q) * multiplier % whole == whole / 2; });
}
}  // namespace

Activation TfliteImporter::Limits::inside(const ValueType& type) const {
  if (!IsCodes(type.dtype) || low != 0.0f) return Activation::kNone;
  if (high == Limits{}.high) return Activation::kRelu;
  // A code half-way between two is rounded to even there, by TFLite up.
  const float code = high / type.quantization.scale;
  return high == 6.0f && RoundHalfAway(code) == std::nearbyint(code) ? Activation::kRelu6
                                                                     : Activation::kNone;
}

Result<View> TfliteImporter::Requantize(const Label& label, View x, const ValueType& to) {
  const ValueType own = TypeOf(x);
  if (own.dtype != to.dtype) {
    return Corrupt(StrCat("'", builder_.graph().tensor(x.id).name, "' is ", DTypeName(own.dtype),
                          ", expected ", DTypeName(to.dtype)));
  }
  if (own.quantization.scale / to.quantization.scale >=
      (own.dtype == DType::kI16 ? 0x1p15f : 0x1p23f)) {
    return Unsupported(StrCat("codes in steps of ", own.quantization.scale, " become those of ",
                              to.quantization.scale, ", which overflows TFLite's 32 bits"));
  }
  OCTET_ASSIGN_OR_RETURN(x.id, builder_.ScaleShift(label, x.id, {1.0f}, {0.0f}, to));
  return x;
}

/// Whether TFLite's fixed point holds a sum of int16 in these scales.
Status TfliteImporter::CheckInt16Sum(float a, float b, float y) const {
  if (2.0 * std::max(a, b) / (0x1p15 * y) < 1.0) return OkStatus();
  return Unsupported(StrCat("a sum of codes in steps of ", a, " and ", b, " in steps of ", y,
                            ", which overflows TFLite's 32 bits"));
}

/// The same of a product.
Status TfliteImporter::CheckInt16Product(float a, float b, float y) const {
  if (a * b / y < 1.0f) return OkStatus();
  return Unsupported(StrCat("a product of codes in steps of ", a, " and ", b, " in steps of ", y,
                            ", which may overflow TFLite's 32 bits"));
}

Result<View> TfliteImporter::Clip(const Label& label, View x, const Limits& limits) {
  Limits real = limits;
  const ValueType type = TypeOf(x);
  if (IsCodes(type.dtype) && limits.inside(type) == Activation::kNone) {
    const Quantization& q = type.quantization;
    const CodeRange range = CodesOf(type.dtype);
    const auto least = static_cast<float>(range.low), most = static_cast<float>(range.high);
    const auto limit = [&](float v, float none) {
      const float code = RoundHalfAway(v / q.scale) + static_cast<float>(q.zero_point);
      return code > least && code < most ? (code - static_cast<float>(q.zero_point)) * q.scale
                                         : none;
    };
    const float low_code = limits.low / q.scale + static_cast<float>(q.zero_point);
    const float high_code = limits.high / q.scale + static_cast<float>(q.zero_point);
    if (low_code > most - 1.0f || high_code < least + 1.0f)
      return Unsupported(
          StrCat("it clips to ", limits.low, "..", limits.high, ", beyond its codes"));
    real = {limit(limits.low, Limits{}.low), limit(limits.high, Limits{}.high)};
  }
  OCTET_ASSIGN_OR_RETURN(x.id, builder_.Clip(label, x.id, real.low, real.high));
  return x;
}

Status TfliteImporter::InFloat(
    std::vector<View> inputs,
    const std::function<Result<View>(const Label& label, std::vector<View> x)>& emit) {
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  const std::string name = NameOf(out);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (TypeOf(inputs[i]).dtype == DType::kI16)
      return Unsupported("of int16; only of float32, int8 and uint8");
    if (TypeOf(inputs[i]).dtype != DType::kU8) continue;
    OCTET_ASSIGN_OR_RETURN(
        inputs[i].id, builder_.Emit(OpType::kDequantize, StrCat(name, ".real", i), {inputs[i].id}));
  }
  const bool quantized = type.dtype == DType::kU8;
  OCTET_ASSIGN_OR_RETURN(View y, emit(quantized ? name + ".float" : name, std::move(inputs)));
  if (quantized) {
    OCTET_ASSIGN_OR_RETURN(y.id, builder_.Emit(OpType::kQuantize, name, {y.id}, type));
  }
  return Finish(out, std::move(y));
}

// ---- Arithmetic ----

/// -s*(q-z) = s*((255-q) - (255-z)): exact in integers too.
Result<TensorId> TfliteImporter::Negative(const std::string& name, TensorId x) {
  ValueType type = builder_.TypeOf(x);
  if (type.dtype == DType::kU8) type.quantization.zero_point = 255 - type.quantization.zero_point;
  return builder_.ScaleShift(name + ".negative", x, {-1.0f}, {0.0f}, type);
}

/// Arithmetic of the activation `x` and a constant, inputs of the operator in either order.
Status TfliteImporter::WithConstant(int x_index, int constant_index, const Limits& limits) {
  OCTET_ASSIGN_OR_RETURN(View x, ViewOf(x_index));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  if (TypeOf(x).dtype != type.dtype) return Corrupt("input and output have different types");
  const TfliteTensor& constant = ConstantOf(constant_index);
  OCTET_ASSIGN_OR_RETURN(std::vector<float> c, Floats(constant_index));
  if (c.size() != 1) {
    const std::vector<int32_t>& shape = constant.shape;
    OCTET_ASSIGN_OR_RETURN(c, builder_.Spread(x, Dims(shape.begin(), shape.end()), c));
  }
  const bool first = op_->inputs[0] == constant_index, quantized = IsCodes(type.dtype);
  const bool int16 = type.dtype == DType::kI16;
  if (int16 &&
      ((op_->code == kSub && first) || op_->code == kDiv || constant.type != ElementType::kInt16 ||
       constant.scale.size() != 1 || constant.zero_point[0] != 0)) {
    return Unsupported(StrCat("of int16 and a constant of ", TypeName(constant.type),
                              "; only sums, products and what is left of the activation, with one "
                              "of int16, one scale and zero point 0"));
  }
  const std::string name = NameOf(out);
  std::vector<float> scale{1.0f}, shift{0.0f};
  switch (op_->code) {
    case kAdd:
      shift = std::move(c);
      break;
    case kMul:
      scale = std::move(c);
      break;
    case kSub:
      if (first && quantized) {
        OCTET_ASSIGN_OR_RETURN(x.id, Negative(name, x.id));
      } else if (first) {
        scale = {-1.0f};
      } else {
        for (float& v : c) v = -v;
      }
      shift = std::move(c);
      break;
    default:
      if (first) return Unsupported("division by an activation");
      for (float& v : c) v = 1.0f / v;
      scale = std::move(c);
  }
  const bool codes =
      int16 || constant.type == ElementType::kInt8 || constant.type == ElementType::kUint8;
  const float unit = quantized && codes && constant.scale.size() == 1 && op_->code != kDiv
                         ? constant.scale[0]
                         : 0.0f;
  if (unit > 0.0f && op_->code == kSub) {  // One of them is negated here.
    const float x_scale = builder_.TypeOf(x.id).quantization.scale;
    std::vector<int64_t> negated;
    for (int64_t q = 1; first && q <= 255; ++q) negated.push_back(q);
    for (size_t i = 0; !first && i < shift.size(); ++i)
      negated.push_back(std::llround(shift[i] / unit));
    if (ScalesUnevenly(first ? x_scale : unit, first ? unit : x_scale, int16, negated))
      return Unsupported(StrCat("a difference of codes in steps of ", x_scale, " and ", unit,
                                ", some of which TFLite rounds otherwise than their negatives"));
  }
  if (int16 && op_->code != kMul)
    OCTET_RETURN_IF_ERROR(
        CheckInt16Sum(builder_.TypeOf(x.id).quantization.scale, unit, type.quantization.scale));
  if (int16 && op_->code == kMul)
    OCTET_RETURN_IF_ERROR(
        CheckInt16Product(builder_.TypeOf(x.id).quantization.scale, unit, type.quantization.scale));
  // Where 1 is a number of units too, the graph has no way to say that this is no MUL.
  const bool zeros = op_->code != kMul &&
                     std::all_of(shift.begin(), shift.end(), [](float v) { return v == 0.0f; });
  if (unit > 0.0f && zeros && std::fabs(1.0f / unit - std::nearbyint(1.0f / unit)) < 0.01f)
    return Unsupported(StrCat("adds zeros in steps of ", unit, ", expected another scale"));
  const Activation inside = limits.inside(type);
  const bool clips = limits.any() && inside == Activation::kNone;
  OCTET_ASSIGN_OR_RETURN(
      x.id, builder_.ScaleShift(clips ? name + ".linear" : name, x.id, std::move(scale),
                                std::move(shift), type, inside, unit));
  if (clips) {
    OCTET_ASSIGN_OR_RETURN(x, Clip(name, std::move(x), limits));
  }
  return Finish(out, std::move(x));
}

Status TfliteImporter::Binary() {
  tflite::ActivationFunctionType fused = tflite::ActivationFunctionType::NONE;
  // TFLite has another kernel for sums and differences of int16 in such scales.
  bool powers_of_two = false;
  if (const auto* o = op_->table->builtin_options_as_AddOptions()) {
    fused = o->fused_activation_function();
    powers_of_two = o->pot_scale_int16();
  }
  if (const auto* o = op_->table->builtin_options_as_SubOptions()) {
    fused = o->fused_activation_function();
    powers_of_two = o->pot_scale_int16();
  }
  if (const auto* o = op_->table->builtin_options_as_MulOptions())
    fused = o->fused_activation_function();
  if (const auto* o = op_->table->builtin_options_as_DivOptions())
    fused = o->fused_activation_function();
  OCTET_ASSIGN_OR_RETURN(const Limits limits, Fused(fused));
  OCTET_ASSIGN_OR_RETURN(const int a, Input(0));
  OCTET_ASSIGN_OR_RETURN(const int b, Input(1));
  if (IsConstant(a) && IsConstant(b)) return Unsupported("both operands are constants");
  if (tensor(a).type == ElementType::kInt16 && powers_of_two) {
    OCTET_ASSIGN_OR_RETURN(const int y, Output());
    const auto is_power = [&](int index) {
      const TfliteTensor& t = IsConstant(index) ? ConstantOf(index) : tensor(index);
      const double log = t.scale.empty() ? 0.5 : std::log2(static_cast<double>(t.scale[0]));
      return std::fabs(log - std::nearbyint(log)) < 0.002;
    };
    if (is_power(a) && is_power(b) && is_power(y))
      return Unsupported("its option pot_scale_int16 is set and its scales are powers of two");
  }
  if (IsConstant(a) || IsConstant(b))
    return WithConstant(IsConstant(a) ? b : a, IsConstant(a) ? a : b, limits);
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  OCTET_ASSIGN_OR_RETURN(View x, ViewOf(a));
  OCTET_ASSIGN_OR_RETURN(View z, ViewOf(b));
  if (TypeOf(x).dtype != type.dtype || TypeOf(z).dtype != type.dtype)
    return Corrupt("operands and output have different types");
  if (x.dims != z.dims) {
    return Unsupported(StrCat("operands of shapes ", DimsText(x.dims), " and ", DimsText(z.dims),
                              ", expected equal ones"));
  }
  if (op_->code == kDiv) return Unsupported("division by an activation");
  const std::string name = NameOf(out);
  OCTET_ASSIGN_OR_RETURN(std::vector<View> both, Alike(name, {x, z}));
  const bool int16 = type.dtype == DType::kI16;
  const float a_scale = TypeOf(x).quantization.scale, b_scale = TypeOf(z).quantization.scale;
  if (int16 && op_->code == kSub) return Unsupported("a difference of int16");
  if (int16 && op_->code == kAdd)
    OCTET_RETURN_IF_ERROR(CheckInt16Sum(a_scale, b_scale, type.quantization.scale));
  if (int16 && op_->code == kMul)
    OCTET_RETURN_IF_ERROR(CheckInt16Product(a_scale, b_scale, type.quantization.scale));
  if (op_->code == kSub) {
    OCTET_ASSIGN_OR_RETURN(both[1].id, Negative(name, both[1].id));
  }
  const Activation inside = op_->code != kMul ? limits.inside(type) : Activation::kNone;
  const bool clips = limits.any() && inside == Activation::kNone;
  View y = both[0];
  OCTET_ASSIGN_OR_RETURN(
      y.id, builder_.Emit(op_->code == kMul ? OpType::kMul : OpType::kAdd,
                          clips ? name + ".linear" : name, {both[0].id, both[1].id}, type,
                          [&](Node* n) { n->activation = inside; }));
  if (clips) {
    OCTET_ASSIGN_OR_RETURN(y, Clip(name, std::move(y), limits));
  }
  return Finish(out, std::move(y));
}

Status TfliteImporter::AddN() {
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  if (type.dtype != DType::kF32) return Unsupported("a sum of integers");
  std::vector<View> views;
  for (size_t i = 0; i < op_->inputs.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(const View x, InputView(i));
    if (TypeOf(x).dtype != DType::kF32) return Corrupt("operands and output have different types");
    if (i > 0 && x.dims != views[0].dims) {
      return Unsupported(StrCat("operands of shapes ", DimsText(views[0].dims), " and ",
                                DimsText(x.dims), ", expected equal ones"));
    }
    views.push_back(x);
  }
  if (views.empty()) return Corrupt("no inputs");
  const std::string name = NameOf(out);
  OCTET_ASSIGN_OR_RETURN(views, Alike(name, std::move(views)));
  View sum = views[0];
  for (size_t i = 1; i < views.size(); ++i) {
    const bool last = i + 1 == views.size();
    OCTET_ASSIGN_OR_RETURN(
        sum.id,
        builder_.Emit(OpType::kAdd, last ? name : StrCat(name, ".sum", i), {sum.id, views[i].id}));
  }
  return Finish(out, std::move(sum));
}

// ---- Functions of one value ----

Status TfliteImporter::Relu() {
  constexpr float kNone = std::numeric_limits<float>::infinity();
  const Limits limits = op_->code == kRelu        ? Limits{0.0f, kNone}
                        : op_->code == kRelu6     ? Limits{0.0f, 6.0f}
                        : op_->code == kReluN1To1 ? Limits{-1.0f, 1.0f}
                                                  : Limits{0.0f, 1.0f};
  OCTET_ASSIGN_OR_RETURN(View x, InputView(0));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  if (TypeOf(x).dtype != type.dtype) return Corrupt("input and output have different types");
  const std::string name = NameOf(out);
  // In integers the limits are those of the output.
  const bool same = TypeOf(x) == type;
  const Activation inside = same ? Activation::kNone : limits.inside(type);
  if (!same) {  // By the quotient of the scales in single precision, as a MUL by 1 has it.
    OCTET_ASSIGN_OR_RETURN(
        x.id, builder_.ScaleShift(inside == Activation::kNone ? name + ".moved" : name, x.id,
                                  {1.0f}, {0.0f}, type, inside, 1.0f));
  }
  if (inside == Activation::kNone) {
    OCTET_ASSIGN_OR_RETURN(x, Clip(name, std::move(x), limits));
  }
  return Finish(out, std::move(x));
}

Status TfliteImporter::MinMax() {
  OCTET_ASSIGN_OR_RETURN(const int a, Input(0));
  OCTET_ASSIGN_OR_RETURN(const int b, Input(1));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  if (IsConstant(a) == IsConstant(b))
    return Unsupported("of two activations; only with a constant");
  OCTET_ASSIGN_OR_RETURN(const View x, ViewOf(IsConstant(a) ? b : a));
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  const int constant = IsConstant(a) ? a : b;
  if (IsCodes(type.dtype)) {  // TFLite compares codes.
    OCTET_ASSIGN_OR_RETURN(const ValueType own, TypeOf(constant_[static_cast<size_t>(constant)]));
    if (!(own == type))
      return Unsupported("its constant and its output have different quantizations");
  }
  if (!(TypeOf(x) == type))
    return Unsupported("its input and its output have different types or quantizations");
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> values, Floats(constant));
  if (values.empty() ||
      std::any_of(values.begin(), values.end(), [&](float v) { return !(v == values[0]); })) {
    return Unsupported("its constant has several values");
  }
  OCTET_ASSIGN_OR_RETURN(View y, Clip(NameOf(out), x,
                                      op_->code == kMaximum ? Limits{values[0], Limits{}.high}
                                                            : Limits{Limits{}.low, values[0]}));
  return Finish(out, std::move(y));
}

Status TfliteImporter::Softmax() {
  OCTET_ASSIGN_OR_RETURN(const View x, InputView(0));
  float beta = 1.0f;
  if (op_->code == kSoftmax) {
    OCTET_ASSIGN_OR_RETURN(const auto* options,
                           Options(op_->table->builtin_options_as_SoftmaxOptions()));
    beta = options->beta();
    if (!std::isfinite(beta)) return Corrupt(StrCat("beta ", beta));
  }
  if (op_->code == kSoftmax && TypeOf(x).dtype == DType::kI16) return SoftmaxOfInt16(x, beta);
  return InFloat({x}, [&](const Label& label, std::vector<View> v) -> Result<View> {
    OCTET_ASSIGN_OR_RETURN(v[0].id, builder_.ScaleShift(label + ".beta", v[0].id, {beta}, {0.0f}));
    const size_t rank = v[0].dims.size();
    if (rank < 2) return Unsupported("over the batch");
    return builder_.Softmax(label, v[0],
                            op_->code == kSoftmax ? OpType::kSoftmax : OpType::kLogSoftmax,
                            rank - 1, rank);
  });
}

/// By TFLite's tables, exactly.
Status TfliteImporter::SoftmaxOfInt16(View x, float beta) {
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  const float scale = TypeOf(x).quantization.scale;
  if (!(type == ValueType{DType::kI16, {0x1p-15f, 0}}))
    return Unsupported(
        StrCat("its int16 output has scale ", type.quantization.scale, ", expected 2^-15"));
  if (beta != 1.0f || scale >= 4.0f) {
    return Unsupported(StrCat("of int16 in steps of ", scale, " with beta ", beta,
                              ", expected steps below 4 and beta 1"));
  }
  const size_t rank = x.dims.size();
  if (rank < 2) return Unsupported("over the batch");
  OCTET_ASSIGN_OR_RETURN(x,
                         builder_.Softmax(NameOf(out), x, OpType::kSoftmax, rank - 1, rank, type));
  return Finish(out, std::move(x));
}

Status TfliteImporter::Function() {
  OCTET_ASSIGN_OR_RETURN(const View x, InputView(0));
  const auto functions = UnaryFunctions();
  const auto function = std::find_if(functions.begin(), functions.end(),
                                     [&](const UnaryFunction& f) { return f.tflite == op_->code; });
  if (function == functions.end()) return InternalError("no such function");
  float parameter = 0.0f;
  if (op_->code == kLeakyRelu) {
    // TFLite rounds it in fixed point, half-way codes otherwise than a float does.
    if (TypeOf(x).dtype != DType::kF32) return Unsupported("a leaky ReLU of integers");
    OCTET_ASSIGN_OR_RETURN(const auto* options,
                           Options(op_->table->builtin_options_as_LeakyReluOptions()));
    parameter = options->alpha();
  }
  return InFloat({x}, [&](const Label& label, std::vector<View> v) -> Result<View> {
    OCTET_ASSIGN_OR_RETURN(v[0].id, function->Emit(&builder_, label, v[0].id, parameter));
    return v[0];
  });
}

Status TfliteImporter::Negate() {
  OCTET_ASSIGN_OR_RETURN(View x, InputView(0));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  if (TypeOf(x).dtype != DType::kF32) return Unsupported("a negation of integers");
  OCTET_ASSIGN_OR_RETURN(x.id, builder_.ScaleShift(NameOf(out), x.id, {-1.0f}, {0.0f}));
  return Finish(out, std::move(x));
}

// ---- Types ----

Status TfliteImporter::Quantize() {
  OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  if (IsConstant(in)) {
    const bool is_signed = tensor(out).type == ElementType::kInt8;
    if ((!is_signed && tensor(out).type != ElementType::kUint8) || tensor(out).scale.empty())
      return Unsupported(StrCat("a constant becomes ", TypeName(tensor(out).type),
                                ", expected int8 or uint8 with scales"));
    return QuantizeConstant(in, out, is_signed ? -128 : 0, is_signed ? 127 : 255);
  }
  OCTET_ASSIGN_OR_RETURN(View x, ViewOf(in));
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  if (!IsCodes(type.dtype)) return Corrupt("output is not quantized");
  if (TypeOf(x).dtype == type.dtype) {  // Also from uint8 to int8, where nothing changes here.
    OCTET_ASSIGN_OR_RETURN(x, Requantize(NameOf(out), std::move(x), type));
  } else {
    OCTET_ASSIGN_OR_RETURN(x.id, builder_.Emit(OpType::kQuantize, NameOf(out), {x.id}, type));
  }
  return Finish(out, std::move(x));
}

Status TfliteImporter::QuantizeConstant(int in, int out, int low, int high) {
  TfliteTensor& t = file_.tensors[static_cast<size_t>(out)];
  if (!IsFloat(ConstantOf(in).type))
    return Unsupported(StrCat("it quantizes a constant of ", TypeName(ConstantOf(in).type)));
  if (IsConstant(out) || views_[static_cast<size_t>(out)].id != kNoTensor)
    return Corrupt(StrCat("'", t.name, "' is computed twice"));
  // The kernel gives the result the input's; a file may leave it out.
  if (t.shape.empty() && t.scale.size() == 1) t.shape = ConstantOf(in).shape;
  if (t.shape != ConstantOf(in).shape)
    return Corrupt(StrCat("'", t.name, "' has another shape than the constant it is made of"));
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> values, Floats(in));
  std::vector<std::byte>& codes = codes_[out];
  const size_t run = t.run();
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t c = i / run % t.scale.size();
    const double code = std::round(values[i] / t.scale[c]) + static_cast<double>(t.zero_point[c]);
    if (!std::isfinite(code))
      return InvalidArgument(
          StrCat("element ", i, ": found ", values[i], ", expected a finite number"));
    codes.push_back(static_cast<std::byte>(static_cast<int>(std::clamp<double>(code, low, high))));
  }
  t.data = codes;
  constant_[static_cast<size_t>(out)] = out;
  return OkStatus();
}

/// The kernel's nudged range: 0 becomes a code.
Status TfliteImporter::FakeQuantize() {
  OCTET_ASSIGN_OR_RETURN(const auto* options,
                         Options(op_->table->builtin_options_as_FakeQuantOptions()));
  OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  const int bits = options->num_bits();
  if (bits < 2 || bits > 8) return Unsupported(StrCat("it has ", bits, " bits, expected 2 to 8"));
  const int low = options->narrow_range() ? 1 : 0, high = (1 << bits) - 1;
  const float scale = (options->max() - options->min()) / static_cast<float>(high - low);
  if (!std::isfinite(scale) || scale <= 0.0f) {
    return Unsupported(StrCat("its range is ", options->min(), " to ", options->max(),
                              ", expected a finite one above 0"));
  }
  const float zero = static_cast<float>(low) - options->min() / scale;
  const int zero_point = static_cast<int>(
      std::round(std::clamp(zero, static_cast<float>(low), static_cast<float>(high))));
  if (IsConstant(in)) {
    TfliteTensor& t = file_.tensors[static_cast<size_t>(out)];
    t.type = ElementType::kUint8;
    t.scale = {scale};
    t.zero_point = {zero_point};
    return QuantizeConstant(in, out, low, high);
  }
  OCTET_ASSIGN_OR_RETURN(View x, ViewOf(in));
  if (TypeOf(x).dtype != DType::kF32) return Unsupported("of integers, expected float32");
  const Quantization q{scale, zero_point};
  const std::string name = NameOf(out);
  OCTET_ASSIGN_OR_RETURN(
      x.id, builder_.Emit(OpType::kQuantize, name + ".codes", {x.id}, {DType::kU8, q}));
  if (low > 0 || high < 255) {
    const auto real = [&](int code) { return scale * static_cast<float>(code - zero_point); };
    OCTET_ASSIGN_OR_RETURN(x.id, builder_.Clip(name + ".limits", x.id, real(low), real(high)));
  }
  OCTET_ASSIGN_OR_RETURN(x.id, builder_.Emit(OpType::kDequantize, name, {x.id}));
  return Finish(out, std::move(x));
}

Status TfliteImporter::Dequantize() {
  OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  if (IsConstant(in)) {  // Weights stored as float16 or int8.
    if (views_[static_cast<size_t>(out)].id != kNoTensor || IsConstant(out))
      return Corrupt(StrCat("'", tensor(out).name, "' is computed twice"));
    constant_[static_cast<size_t>(out)] = constant_[static_cast<size_t>(in)];
    return OkStatus();
  }
  OCTET_ASSIGN_OR_RETURN(View x, ViewOf(in));
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  if (type.dtype != DType::kF32 || !IsCodes(TypeOf(x).dtype))
    return Corrupt("expected a quantized input and a float32 output");
  OCTET_ASSIGN_OR_RETURN(x.id, builder_.Emit(OpType::kDequantize, NameOf(out), {x.id}));
  return Finish(out, std::move(x));
}

Status TfliteImporter::Cast() {
  OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  if (folded_[static_cast<size_t>(in)])
    return Fold(folder_.Cast(*folded_[static_cast<size_t>(in)], tensor(out).type));
  // The kernel goes by the tensors' types, not by its options. Only raw pixels to float: a cast
  // looks at the stored number, not at what a scale makes of it.
  if (tensor(in).type != ElementType::kUint8 || !tensor(in).scale.empty() ||
      tensor(out).type != ElementType::kFloat32) {
    return Unsupported(
        StrCat("cast from ", TypeName(tensor(in).type), " to ", TypeName(tensor(out).type)));
  }
  OCTET_ASSIGN_OR_RETURN(View x, ViewOf(in));
  OCTET_ASSIGN_OR_RETURN(x.id, builder_.Emit(OpType::kDequantize, NameOf(out), {x.id}));
  return Finish(out, std::move(x));
}

}  // namespace octet
