// Planning of everything but convolutions and dense layers.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "engine/src/planner.h"
#include "engine/src/tflite_rounding.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

using kernels::EltwiseArgs;
using kernels::PoolArgs;

/// Largest constant of TFLite's elementwise operators, in units of its scale: an 8-bit number less
/// its zero point, with room, or a 16-bit one.
constexpr int kMostUnits = 512, kMostUnits16 = 32768;
/// TakeRowsAsPixels: constants of all rows together, so that a file of many small nodes does not
/// make much of itself. An image of 224 pixels takes 672.
constexpr int64_t kMaxRowConstants = 16384;

float Ratio(const Quantization& from, const Quantization& to) {
  return static_cast<float>(static_cast<double>(from.scale) / to.scale);
}

/// TFLite's average of int8 values rounds halves away from its 0, which is 128 here; of uint8 up.
void SetTfliteHalves(TfliteKernel kernel, PoolArgs* a) {
  // Above a float's error at 255, below the distance of anything but a half.
  a->nudge = 0x1p-13f;
  a->pivot = static_cast<float>((kernel == TfliteKernel::kUint8Average ? 0 : 128) - a->out_zero);
}

/// The one of an operator's kernels for the type, and the end of its name.
template <typename Fn>
Fn ForType(DType t, Fn u8, Fn i16, Fn bf16, Fn f32) {
  return t == DType::kU8 ? u8 : t == DType::kI16 ? i16 : t == DType::kBF16 ? bf16 : f32;
}
const char* TypeSuffix(DType t) { return ForType(t, "u8", "i16", "bf16", "f32"); }

uint32_t PadBits(float value, const Tensor& t) {
  if (t.dtype == DType::kI16)
    return static_cast<uint32_t>(ClipCode(value, t.quantization, t.dtype) + 32768);
  if (t.dtype == DType::kU8) {
    const float q = std::nearbyint(value / t.quantization.scale) +
                    static_cast<float>(t.quantization.zero_point);
    return static_cast<uint32_t>(std::min(255.0f, std::max(0.0f, q)));
  }
  if (t.dtype == DType::kBF16) return FloatToBf16(value);
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

/// Axis of a rank-2 or rank-4 tensor as position in (n, y, x, c).
int Position(int axis, int rank) { return rank == 4 ? axis : axis == 0 ? 0 : 3; }

}  // namespace

// ---- Pools ----

Status Planner::AddPool(const Node& n) {
  const Tensor& x = tensor(n.inputs[0]);
  const Tensor& y = tensor(n.output);
  auto op = std::make_unique<PoolOp>();
  PoolArgs& a = op->args;
  a.kernel_h = n.window.kernel_h, a.kernel_w = n.window.kernel_w;
  a.stride_h = n.window.stride_h, a.stride_w = n.window.stride_w;
  a.pad_top = n.window.pad_top, a.pad_left = n.window.pad_left;
  a.count_include_pad = n.count_include_pad;
  if (IsCodes(x.dtype)) {
    a.multiplier = Ratio(x.quantization, y.quantization);
    a.in_zero = x.quantization.zero_point;
    a.out_zero = y.quantization.zero_point;
    if (IsTflite() && x.dtype == DType::kI16) {
      a.i16_low = -32768.0f;
      a.whole = x.quantization == y.quantization;
    } else if (IsTflite()) {
      SetTfliteHalves(n.tflite_kernel, &a);
    }
  }
  const bool max = n.type == OpType::kMaxPool;
  op->fn = max ? ForType(x.dtype, table_.max_pool_u8, table_.max_pool_i16, table_.max_pool_bf16,
                         table_.max_pool_f32)
               : ForType(x.dtype, table_.average_pool_u8, table_.average_pool_i16,
                         table_.average_pool_bf16, table_.average_pool_f32);
  op->kernel = StrCat(max ? "max_pool_" : "average_pool_", TypeSuffix(x.dtype));
  return FinishPool(n, std::move(op), &a);
}

Status Planner::AddGlobalPool(const Node& n) {
  const Tensor& x = tensor(n.inputs[0]);
  const Tensor& y = tensor(n.output);
  auto op = std::make_unique<GlobalPoolOp>();
  const bool codes = IsCodes(x.dtype), u8_out = y.dtype == DType::kU8;
  if (codes) {
    const double pixels = static_cast<double>(x.shape[1] * x.shape[2]);
    const double out_scale = IsCodes(y.dtype) ? y.quantization.scale : 1.0;
    op->args.multiplier = static_cast<float>(x.quantization.scale / (pixels * out_scale));
    op->args.in_zero = x.quantization.zero_point;
    op->args.out_zero = y.quantization.zero_point;
    if (IsCodes(y.dtype) && IsTflite()) {
      op->args.i16_low = -32768.0f;
      if (n.tflite_kernel != TfliteKernel::kMean && x.quantization == y.quantization) {
        op->args.whole = !u8_out;
        if (u8_out) SetTfliteHalves(n.tflite_kernel, &op->args);
      } else {
        op->args.fixed = ToFixedMean(static_cast<double>(x.quantization.scale) / out_scale,
                                     x.shape[1] * x.shape[2]);
        op->args.multiplier = static_cast<float>(FixedValue(op->args.fixed));
      }
    }
  }
  op->fn = y.dtype == DType::kF32
               ? ForType(x.dtype, table_.global_pool_u8_f32, table_.global_pool_i16_f32,
                         table_.global_pool_bf16_f32, table_.global_pool_f32)
               : ForType(y.dtype, table_.global_pool_u8_u8, table_.global_pool_i16_i16,
                         table_.global_pool_bf16_bf16, table_.global_pool_f32);
  op->kernel =
      StrCat("global_pool_", x.dtype == DType::kF32 ? "" : StrCat(TypeSuffix(x.dtype), "_"),
             TypeSuffix(y.dtype));
  PoolArgs* args = &op->args;
  return FinishPool(n, std::move(op), args);
}

Status Planner::FinishPool(const Node& n, std::unique_ptr<Op> op, PoolArgs* args) {
  // Whole registers where both tensors have room for them, as the kernels do it.
  const Geometry& in = geometry(n.inputs[0]);
  const Geometry& out = geometry(n.output);
  const int64_t padded = RoundUp(out.c, kPanelWidth);
  const bool room = in.stored_channels() >= padded && out.stored_channels() >= padded;
  ReadView(op.get(), "input", n.inputs[0], room ? padded : out.c, &args->input);
  WriteView(op.get(), "output", n.output, room ? padded : out.c, &args->output);
  FillHalo(op.get(), n.output);
  return Push(std::move(op));
}

// ---- Elementwise ----

Status Planner::FinishBinary(const Node& n, std::unique_ptr<EltwiseOp> op) {
  EltwiseArgs& a = op->args;
  a.count = geometry(n.output).stored_channels();
  for (int i = 0; i < 2; ++i) {
    if (geometry(n.inputs[i]).stored_channels() < a.count) a.count = geometry(n.output).c;
  }
  ReadView(op.get(), "first input", n.inputs[0], a.count, &a.a);
  ReadView(op.get(), "second input", n.inputs[1], a.count, &a.b);
  return FinishEltwise(n, std::move(op));
}

Status Planner::FinishUnary(const Node& n, TensorId x, std::unique_ptr<EltwiseOp> op) {
  EltwiseArgs& a = op->args;
  const Geometry& out = geometry(n.output);
  // A graph input that nobody needed in memory so far is read where the caller has it. Floats
  // behind the channels must stay 0, which a copy sees to.
  const bool clears = out.element_size == 1 || out.stored_channels() == out.c;
  if (const int external = input_index_[x];
      external >= 0 && clears && tensor(x).dtype != DType::kI16) {
    a.a = ExternalView(tensor(x));
    a.count = out.c;
    OCTET_RETURN_IF_ERROR(UseExternal(op.get(), tensor(x), external, false, a.a, &a.a.data));
  } else {
    OCTET_RETURN_IF_ERROR(NeedsInMemory(x));
    const int stored = out.stored_channels();
    a.count = geometry(x).stored_channels() < stored ? out.c : stored;
    ReadView(op.get(), "first input", x, a.count, &a.a);
  }
  return FinishEltwise(n, std::move(op));
}

Status Planner::FinishEltwise(const Node& n, std::unique_ptr<EltwiseOp> op) {
  EltwiseArgs& a = op->args;
  WriteView(op.get(), "output", n.output, a.count, &a.output);
  FillHalo(op.get(), n.output);
  if (a.scale != nullptr || a.factors != nullptr || a.terms != nullptr) {
    const int64_t constants = RoundUp(geometry(n.output).c, kPanelWidth);
    OCTET_RETURN_IF_ERROR(CheckReach(*op, "scale and shift", Reach(a.count), 0, constants));
  }
  if (a.scale != nullptr)
    OCTET_RETURN_IF_ERROR(TakeRowsAsPixels(tensor(n.inputs[0]), geometry(n.output), &a));
  return Push(std::move(op));
}

Status Planner::TakeRowsAsPixels(const Tensor& x, const Geometry& out, EltwiseArgs* args) {
  const int64_t in_pixel = args->count * static_cast<int64_t>(DTypeSize(x.dtype)),
                out_pixel = args->count * static_cast<int64_t>(out.element_size);
  const int64_t n = int64_t{args->count} * args->output.w;
  if (args->count >= kPanelWidth || args->output.w == 1 || args->a.pixel_stride != in_pixel ||
      args->output.pixel_stride != out_pixel || n > kMaxRowConstants - row_constants_)
    return OkStatus();
  row_constants_ += n;
  OCTET_ASSIGN_OR_RETURN(float* scale, Constant<float>(RoundUp(n, kPanelWidth)));
  OCTET_ASSIGN_OR_RETURN(float* shift, Constant<float>(RoundUp(n, kPanelWidth)));
  for (int64_t i = 0; i < n; ++i) {
    scale[i] = args->scale[i % args->count];
    shift[i] = args->shift[i % args->count];
  }
  args->scale = scale;
  args->shift = shift;
  for (kernels::ActivationView* view : {&args->a, &args->output}) {
    view->pixel_stride *= view->w;
    view->w = 1;
    view->c = static_cast<int>(n);
  }
  args->count = static_cast<int>(n);
  return OkStatus();
}

void Planner::SetTfliteProduct(const Tensor& a, const Tensor& b, const Tensor& y,
                               EltwiseArgs* args) {
  // In single precision, as TFLite computes it.
  args->fixed = ToFixedMultiplier(
      static_cast<double>(a.quantization.scale * b.quantization.scale / y.quantization.scale));
  args->a_multiplier = static_cast<float>(FixedValue(args->fixed));
  args->a_real = FixedValue(args->fixed);
  args->nudge = TwiceRoundedNudge(args->fixed);
  // Three roundings of floats up to 256; of 16 bits what lies between one rounding and two, and far
  // more than doubles lose.
  args->fixed_margin = y.dtype == DType::kU8 ? 0x1p-13f : std::min(0.5f, args->nudge + 0x1p-20f);
}

Status Planner::SetTfliteSum(const Tensor& a, const Tensor& b, const Tensor& y, EltwiseArgs* args) {
  const int bits = y.dtype == DType::kU8 ? kTfliteSumBits : kTfliteSumBits16;
  const TfliteSum sum =
      ToTfliteSum(a.quantization.scale, b.quantization.scale, y.quantization.scale, bits);
  if (y.dtype == DType::kI16) {
    args->a_fixed = sum.a;
    args->b_fixed = sum.b;
    args->fixed = sum.sum;
    args->a_real = static_cast<double>(a.quantization.scale) / y.quantization.scale;
    args->b_real = static_cast<double>(b.quantization.scale) / y.quantization.scale;
    // Each term is off by less than 1, which the sum's multiplier makes a part of the result; that
    // is rounded twice, which is half of one more; and each multiplier has 31 bits.
    const double margin =
        3.0 * FixedValue(sum.sum) + 0x1p-14 * (args->a_real + args->b_real) + 0x1p-20;
    args->fixed_margin = static_cast<float>(std::min(0.5, margin));
    return OkStatus();
  }
  OCTET_ASSIGN_OR_RETURN(int32_t * fixed_a, Constant<int32_t>(256));
  OCTET_ASSIGN_OR_RETURN(int32_t * fixed_b, Constant<int32_t>(256));
  for (int q = 0; q < 256; ++q) {
    fixed_a[q] = TfliteTerm(q - a.quantization.zero_point, sum.a);
    fixed_b[q] = TfliteTerm(q - b.quantization.zero_point, sum.b);
  }
  args->fixed_a = fixed_a;
  args->fixed_b = fixed_b;
  args->fixed = sum.sum;
  // Roundings of floats up to twice 255 times the multipliers, each at most 2^-15 of these, of five
  // half as large and those of the terms: less than 2^-13 of the multipliers.
  args->fixed_margin = std::min(0.5f, (args->a_multiplier + args->b_multiplier) * 0x1p-13f);
  return OkStatus();
}

Status Planner::AddBinary(const Node& n) {
  const Tensor& a = tensor(n.inputs[0]);
  const Tensor& b = tensor(n.inputs[1]);
  const Tensor& y = tensor(n.output);
  auto op = std::make_unique<EltwiseOp>();
  const bool mul = n.type == OpType::kMul;
  ClampLimits(n.activation, y, &op->args.low, &op->args.high);
  if (IsCodes(y.dtype)) {
    const bool tflite = IsTflite();
    op->args.a_zero = a.quantization.zero_point;
    op->args.b_zero = b.quantization.zero_point;
    op->args.out_zero = y.quantization.zero_point;
    if (mul) {
      op->args.a_multiplier = static_cast<float>(static_cast<double>(a.quantization.scale) *
                                                 b.quantization.scale / y.quantization.scale);
      if (tflite) SetTfliteProduct(a, b, y, &op->args);
    } else {
      op->args.a_multiplier = Ratio(a.quantization, y.quantization);
      op->args.b_multiplier = Ratio(b.quantization, y.quantization);
      if (tflite) OCTET_RETURN_IF_ERROR(SetTfliteSum(a, b, y, &op->args));
    }
  }
  op->fn = mul ? ForType(y.dtype, table_.mul_u8, table_.mul_i16, table_.mul_bf16, table_.mul_f32)
               : ForType(y.dtype, table_.add_u8, table_.add_i16, table_.add_bf16, table_.add_f32);
  op->kernel = StrCat(mul ? "mul_" : "add_", TypeSuffix(y.dtype));
  return FinishBinary(n, std::move(op));
}

Result<bool> Planner::SetTfliteAffine(const Node& n, EltwiseArgs* args) {
  const Tensor& x = tensor(n.inputs[0]);
  const Tensor& y = tensor(n.output);
  const bool scale_shift = n.type == OpType::kScaleShift;
  if (!IsTflite() || !(scale_shift || n.type == OpType::kQuantize)) return false;
  const int c = static_cast<int>(x.shape.back());
  const bool wide = x.dtype == DType::kI16 || y.dtype == DType::kI16;
  const auto most = static_cast<float>(wide ? kMostUnits16 : kMostUnits);
  std::span<const float> constant;
  float unit = 1.0f;
  TfliteAffine affine = TfliteAffine::Requantize(x.quantization.scale, y.quantization.scale);
  if (scale_shift) {
    const auto all = [&](int slot, float value) {
      const std::span<const float> values = tensor(n.inputs[slot]).values<float>();
      return std::all_of(values.begin(), values.end(), [value](float v) { return v == value; });
    };
    const bool no_scale = all(kInputScale, 1.0f), no_shift = all(kInputShift, 0.0f);
    const TensorId unit_id = n.input(kInputUnit);
    if (unit_id != kNoTensor) {
      if (!no_scale && !no_shift) return false;
      unit = tensor(unit_id).values<float>()[0];
      // What is no multiple of the unit was not made by the importer.
      const auto multiple = [unit, most](float v) {
        const float k = v / unit;
        return std::fabs(k) <= most && std::fabs(k - std::nearbyint(k)) < 0.01f;
      };
      // Times 1, or plus 0: a 1 that is no multiple is no constant of a MUL.
      const bool is_mul = no_shift && (!no_scale || multiple(1.0f));
      constant = tensor(n.inputs[is_mul ? kInputScale : kInputShift]).values<float>();
      if (!std::all_of(constant.begin(), constant.end(), multiple)) return false;
      if (wide) return SetTfliteWhole(n, constant, unit, is_mul, args);
      affine = is_mul ? TfliteAffine::Mul(x.quantization.scale, unit, y.quantization.scale)
                      : TfliteAffine::Add(x.quantization.scale, unit, y.quantization.scale);
    } else if (!no_scale || !no_shift) {
      return false;
    }
  }
  if (wide) {
    args->fixed = ToFixedMultiplier(static_cast<double>(x.quantization.scale) /
                                    static_cast<double>(y.quantization.scale));
    return true;
  }
  OCTET_ASSIGN_OR_RETURN(float* scale, Constant<float>(RoundUp(c, kPanelWidth)));
  OCTET_ASSIGN_OR_RETURN(float* shift, Constant<float>(RoundUp(c, kPanelWidth)));
  // Many channels have the same one of at most 2 * kMostUnits + 1 whole numbers.
  std::vector<int> first(2 * kMostUnits + 1, -1);
  for (int i = 0; i < c; ++i) {
    const int32_t k =
        constant.empty() ? 1 : static_cast<int32_t>(std::nearbyint(constant[i] / unit));
    int& same = first[static_cast<size_t>(k + kMostUnits)];
    if (same < 0) {
      same = i;
      affine.Fit(k, x.quantization.zero_point, args->low, args->high, &scale[i], &shift[i]);
    }
    scale[i] = scale[same];
    shift[i] = shift[same];
  }
  args->scale = scale;
  args->shift = shift;
  args->nudge = affine.nudge();
  return true;
}

/// The same of 16-bit values, in integers.
Result<bool> Planner::SetTfliteWhole(const Node& n, std::span<const float> constant, float unit,
                                     bool is_mul, EltwiseArgs* args) {
  const float x_scale = tensor(n.inputs[0]).quantization.scale,
              y_scale = tensor(n.output).quantization.scale;
  const auto c = static_cast<int64_t>(constant.size());
  OCTET_ASSIGN_OR_RETURN(int32_t * numbers, Constant<int32_t>(RoundUp(c, kPanelWidth)));
  for (int64_t i = 0; i < c; ++i)
    numbers[i] = static_cast<int32_t>(std::nearbyint(constant[i] / unit));
  if (is_mul) {
    // In single precision, as TFLite computes it.
    args->fixed = ToFixedMultiplier(static_cast<double>(x_scale * unit / y_scale));
    args->factors = numbers;
    return true;
  }
  const TfliteSum sum = ToTfliteSum(x_scale, unit, y_scale, kTfliteSumBits16);
  for (int64_t i = 0; i < c; ++i) numbers[i] = TfliteTerm(numbers[i], sum.b, kTfliteSumBits16);
  args->a_fixed = sum.a;
  args->fixed = sum.sum;
  args->terms = numbers;
  return true;
}

bool Planner::IsFusedHead(const Node& n) const {
  // The same bits as one after the other: TFLite's graphs have no such thing.
  if (n.type != OpType::kScaleShift || n.activation != Activation::kNone ||
      input_index_[n.inputs[0]] < 0 || tensor(n.output).dtype != DType::kF32 || IsTflite())
    return false;
  return uses_[n.output].all == 1 && uses_[n.output].quantized == 1;
}

Status Planner::AddScaleShift(const Node& n) {
  if (IsFusedHead(n)) {
    heads_[n.output] = &n;
    return OkStatus();
  }
  const Tensor& x = tensor(n.inputs[0]);
  const Tensor& y = tensor(n.output);
  auto op = std::make_unique<EltwiseOp>();
  EltwiseArgs& a = op->args;
  const bool codes = IsCodes(x.dtype);
  const Activation activation = n.type == OpType::kRelu    ? Activation::kRelu
                                : n.type == OpType::kRelu6 ? Activation::kRelu6
                                                           : n.activation;
  ClampLimits(activation, y, &a.low, &a.high);
  if (n.type == OpType::kClip) {
    const int32_t zero = y.quantization.zero_point;
    const auto limit = [&](float v) {
      return codes ? static_cast<float>(ClipCode(v, y.quantization, y.dtype) - zero) : v;
    };
    a.low = limit(n.clip_low);
    a.high = limit(n.clip_high);
  }
  const double in_scale = codes ? x.quantization.scale : 1.0,
               out_scale = codes ? y.quantization.scale : 1.0;
  a.a_zero = x.quantization.zero_point;
  a.out_zero = y.quantization.zero_point;
  a.a_multiplier = static_cast<float>(in_scale / out_scale);
  bool tflite = false;
  if (codes) {
    OCTET_ASSIGN_OR_RETURN(tflite, SetTfliteAffine(n, &a));
  }
  if (!tflite && n.type == OpType::kScaleShift)
    OCTET_RETURN_IF_ERROR(SetAffine(n, in_scale, out_scale, &a));
  if (x.dtype == y.dtype) {
    op->fn = ForType(x.dtype, table_.scale_shift_u8, table_.scale_shift_i16,
                     table_.scale_shift_bf16, table_.scale_shift_f32);
    op->kernel = StrCat("scale_shift_", TypeSuffix(x.dtype));
  } else {
    op->fn = x.dtype == DType::kU8 ? table_.requantize_u8_i16 : table_.requantize_i16_u8;
    op->kernel = x.dtype == DType::kU8 ? "requantize_u8_i16" : "requantize_i16_u8";
  }
  return FinishUnary(n, n.inputs[0], std::move(op));
}

Status Planner::SetAffine(const Node& n, double in_scale, double out_scale, EltwiseArgs* args) {
  const int c = static_cast<int>(tensor(n.output).shape.back());
  OCTET_ASSIGN_OR_RETURN(float* scale, Constant<float>(RoundUp(c, kPanelWidth)));
  OCTET_ASSIGN_OR_RETURN(float* shift, Constant<float>(RoundUp(c, kPanelWidth)));
  const std::span<const float> from_scale = tensor(n.inputs[kInputScale]).values<float>();
  const std::span<const float> from_shift = tensor(n.inputs[kInputShift]).values<float>();
  for (int i = 0; i < c; ++i) {
    scale[i] = static_cast<float>(in_scale * from_scale[i] / out_scale);
    shift[i] = static_cast<float>(from_shift[i] / out_scale);
  }
  args->scale = scale;
  args->shift = shift;
  return OkStatus();
}

Status Planner::AddConversion(const Node& n) {
  const Tensor& x = tensor(n.inputs[0]);
  const Tensor& y = tensor(n.output);
  // Another scale, zero point or width.
  if (IsCodes(x.dtype) && IsCodes(y.dtype)) return AddScaleShift(n);
  auto op = std::make_unique<EltwiseOp>();
  EltwiseArgs& a = op->args;
  if (IsFloat(x.dtype) && IsFloat(y.dtype)) {
    op->fn = x.dtype == DType::kF32 ? table_.scale_shift_f32_bf16 : table_.scale_shift_bf16_f32;
    op->kernel = x.dtype == DType::kF32 ? "scale_shift_f32_bf16" : "scale_shift_bf16_f32";
    ClampLimits(Activation::kNone, y, &a.low, &a.high);
    return FinishConversion(n, std::move(op));
  }
  const bool quantize = n.type == OpType::kQuantize;
  const Quantization& q = quantize ? y.quantization : x.quantization;
  const DType codes = quantize ? y.dtype : x.dtype;
  const bool tflite = quantize && IsTflite();
  a.a_multiplier = quantize && !tflite ? 1.0f / q.scale : q.scale;
  (quantize ? a.out_zero : a.a_zero) = q.zero_point;
  ClampLimits(Activation::kNone, y, &a.low, &a.high);
  op->fn = tflite     ? (codes == DType::kU8 ? table_.quantize_tflite : table_.quantize_tflite_i16)
           : quantize ? (codes == DType::kU8 ? table_.quantize : table_.quantize_i16)
                      : (codes == DType::kU8 ? table_.dequantize : table_.dequantize_i16);
  op->kernel = StrCat(quantize ? "quantize" : "dequantize", codes == DType::kU8 ? "" : "_i16");
  return FinishConversion(n, std::move(op));
}

Status Planner::FinishConversion(const Node& n, std::unique_ptr<EltwiseOp> op) {
  const TensorId id = n.inputs[0];
  const auto head = heads_.find(id);
  if (head == heads_.end()) return FinishUnary(n, id, std::move(op));
  OCTET_RETURN_IF_ERROR(SetAffine(*head->second, 1.0, 1.0, &op->args));
  return FinishUnary(n, head->second->inputs[0], std::move(op));
}

Status Planner::AddRow(const Node& n, kernels::RowFn fn) {
  auto op = std::make_unique<RowOp>();
  op->fn = fn;
  op->kernel = OpTypeName(n.type);
  const int c = geometry(n.output).c;
  op->bf16_in = tensor(n.inputs[0]).dtype == DType::kBF16;
  op->bf16_out = tensor(n.output).dtype == DType::kBF16;
  if (op->bf16_in) {
    OCTET_ASSIGN_OR_RETURN(op->scratch, Constant<float>(int64_t{c} * options_.num_threads));
  }
  ReadView(op.get(), "input", n.inputs[0], c, &op->input);
  WriteView(op.get(), "output", n.output, c, &op->output);
  FillHalo(op.get(), n.output);
  return Push(std::move(op));
}

Status Planner::AddTfliteSoftmax(const Node& n) {
  auto op = std::make_unique<TfliteSoftmaxOp>(tensor(n.inputs[0]).quantization.scale);
  op->kernel = "softmax_i16";
  const int c = geometry(n.output).c;
  OCTET_ASSIGN_OR_RETURN(op->scratch, Constant<int16_t>(int64_t{c} * options_.num_threads));
  ReadView(op.get(), "input", n.inputs[0], c, &op->input);
  WriteView(op.get(), "output", n.output, c, &op->output);
  FillHalo(op.get(), n.output);
  return Push(std::move(op));
}

// ---- Operators that move values ----

std::unique_ptr<CopyOp> Planner::NewCopy(TensorId x, TensorId y) const {
  const Geometry& in = geometry(x);
  auto op = std::make_unique<CopyOp>();
  op->kernel = "copy";
  op->element_size = geometry(y).element_size;
  op->h = in.h, op->w = in.w, op->c = in.c;
  return op;
}

/// `first`: of those that write `y`; it also clears the channels that nobody writes.
Status Planner::FinishCopy(TensorId x, TensorId y, bool first, std::unique_ptr<CopyOp> op) {
  const Geometry& out = geometry(y);
  if (first && out.stored_channels() != out.c) op->clear_channels = out.stored_channels();
  ReadView(op.get(), "input", x, geometry(x).c, &op->input);
  op->slots.back().reach =
      ReachOfBox(op->input, options_.max_batch, op->element_size, {op->in_y, op->in_x, op->in_c},
                 {op->step_y, op->step_x, op->step_c}, {op->h, op->w, op->c});
  WriteView(op.get(), "output", y, out.stored_channels(), &op->output);
  const Slot& to = op->slots.back();
  OCTET_RETURN_IF_ERROR(
      CheckReach(*op, "output",
                 ReachOfBox(op->output, options_.max_batch, op->element_size,
                            {op->out_y, op->out_x, op->out_c}, {1, 1, 1}, {op->h, op->w, op->c}),
                 to.at, plan_->buffers[to.buffer].bytes));
  if (first) FillHalo(op.get(), y);
  return Push(std::move(op));
}

Status Planner::AddPad(const Node& n) {
  const int rank = tensor(n.output).shape.rank();
  std::unique_ptr<CopyOp> op = NewCopy(n.inputs[0], n.output);
  int at[4] = {0, 0, 0, 0};
  for (int d = 0; d < rank; ++d) at[Position(d, rank)] = n.begin[d];
  op->out_y = at[1], op->out_x = at[2], op->out_c = at[3];
  op->clear_channels = geometry(n.output).stored_channels();
  op->clear_value = PadBits(n.pad_value, tensor(n.output));
  return FinishCopy(n.inputs[0], n.output, true, std::move(op));
}

Status Planner::AddSlice(const Node& n) {
  const int rank = tensor(n.output).shape.rank();
  std::unique_ptr<CopyOp> op = NewCopy(n.inputs[0], n.output);
  int first[4] = {0, 0, 0, 0}, step[4] = {1, 1, 1, 1};
  for (int d = 0; d < rank; ++d) {
    first[Position(d, rank)] = n.begin[d];
    // The step behind the only element may be any number.
    if (tensor(n.output).shape[d] > 1) step[Position(d, rank)] = n.step[d];
  }
  const Geometry& out = geometry(n.output);
  op->h = out.h, op->w = out.w, op->c = out.c;
  op->in_y = first[1], op->in_x = first[2], op->in_c = first[3];
  op->step_y = step[1], op->step_x = step[2], op->step_c = step[3];
  return FinishCopy(n.inputs[0], n.output, true, std::move(op));
}

Status Planner::AddConcat(const Node& n) {
  const Tensor& y = tensor(n.output);
  const int axis = Position(n.axis, y.shape.rank());
  int at[4] = {0, 0, 0, 0};
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    const Tensor& x = tensor(n.inputs[i]);
    if (x.quantization != y.quantization) {
      return Unsupported(
          StrCat(NodeName(), ": Concat of quantized tensors needs equal scales and zero points"));
    }
    std::unique_ptr<CopyOp> op = NewCopy(n.inputs[i], n.output);
    op->out_y = at[1], op->out_x = at[2], op->out_c = at[3];
    OCTET_RETURN_IF_ERROR(FinishCopy(n.inputs[i], n.output, i == 0, std::move(op)));
    at[axis] += static_cast<int>(x.shape[n.axis]);
  }
  return OkStatus();
}

Status Planner::AddReshape(const Node& n) {
  const Geometry& in = geometry(n.inputs[0]);
  const Geometry& out = geometry(n.output);
  if (SameBytes(in, out)) {
    // Lifetimes are those of buffers, so that every reader of either tensor extends both.
    plan_->placements[n.output].buffer = plan_->placements[n.inputs[0]].buffer;
    return OkStatus();
  }
  auto op = std::make_unique<ReshapeOp>();
  op->kernel = "reshape";
  op->element_size = out.element_size;
  op->out_padded_c = out.stored_channels();
  ReadView(op.get(), "input", n.inputs[0], in.c, &op->input);
  WriteView(op.get(), "output", n.output, out.stored_channels(), &op->output);
  FillHalo(op.get(), n.output);
  return Push(std::move(op));
}

}  // namespace octet
