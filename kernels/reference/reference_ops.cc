// Pooling, element-wise operators and functions of rows by their definitions (kernel_table.h), one
// element at a time. Where codes come out, the steps in single precision are those of every
// instruction set, as their bits must be the same.
#include "kernels/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "formats/base/dtype.h"
#include "formats/base/round.h"

namespace octet::kernels::reference {
namespace {

const float& FloatAt(const ActivationView& v, int n, int y, int x, int c) {
  return reinterpret_cast<const float*>(v.pixel(n, y, x))[c];
}
struct Bf16 {
  uint16_t bits;
};
/// A float of either type in memory.
template <typename T>
float Get(const ActivationView& v, int n, int y, int x, int c) {
  return FloatAt(v, n, y, x, c);
}
template <>
float Get<Bf16>(const ActivationView& v, int n, int y, int x, int c) {
  return Bf16ToFloat(reinterpret_cast<const Bf16*>(v.pixel(n, y, x))[c].bits);
}
float& FloatOut(const ActivationView& v, int n, int y, int x, int c) {
  return reinterpret_cast<float*>(v.pixel(n, y, x))[c];
}

template <typename T>
void Set(const ActivationView& v, int n, int y, int x, int c, float value) {
  FloatOut(v, n, y, x, c) = value;
}
template <>
void Set<Bf16>(const ActivationView& v, int n, int y, int x, int c, float value) {
  reinterpret_cast<Bf16*>(v.pixel(n, y, x))[c].bits = FloatToBf16(value);
}

/// rne(clamp(v, low, high)) + zero; a NaN counts as `low`.
uint8_t Round(float v, float low, float high, int32_t zero) {
  if (std::isnan(v)) v = low;
  return static_cast<uint8_t>(
      static_cast<int32_t>(std::nearbyint(std::min(std::max(v, low), high))) + zero);
}

float ClampFloat(float v, float low, float high) {
  return std::isnan(v) ? v : std::min(std::max(v, low), high);
}

int32_t I16At(const ActivationView& v, int n, int y, int x, int c) {
  const uint8_t* p = v.pixel(n, y, x) + c;
  return 256 * p[0] + p[v.plane] - 32768;
}
void SetI16(const ActivationView& view, int n, int y, int x, int c, int32_t value) {
  uint8_t* p = view.pixel(n, y, x) + c;
  p[0] = static_cast<uint8_t>((value + 32768) >> 8);
  p[view.plane] = static_cast<uint8_t>(value & 255);
}

/// rne(clamp(v, low, high)); a NaN counts as `low`.
int32_t RoundI16(float v, float low = -32767.0f, float high = 32767.0f) {
  if (std::isnan(v)) v = low;
  return static_cast<int32_t>(std::nearbyint(std::min(std::max(v, low), high)));
}

/// Calls f(iy, ix) for the window's pixels inside the image, in row-major order.
template <typename F>
void ForWindow(const PoolArgs& args, int y, int x, F f) {
  for (int ky = 0; ky < args.kernel_h; ++ky) {
    for (int kx = 0; kx < args.kernel_w; ++kx) {
      const int iy = y * args.stride_h - args.pad_top + ky,
                ix = x * args.stride_w - args.pad_left + kx;
      if (iy >= 0 && iy < args.input.h && ix >= 0 && ix < args.input.w) f(iy, ix);
    }
  }
}

/// Calls f(n, y, x, c) for every element of the output rows.
template <typename F>
void ForOutputs(const PoolArgs& args, int row_begin, int row_end, F f) {
  for (int row = row_begin; row < row_end; ++row) {
    for (int x = 0; x < args.output.w; ++x) {
      for (int c = 0; c < args.output.c; ++c) f(row / args.output.h, row % args.output.h, x, c);
    }
  }
}

template <typename F>
void ForElements(const EltwiseArgs& args, int row_begin, int row_end, F f) {
  for (int row = row_begin; row < row_end; ++row) {
    for (int x = 0; x < args.output.w; ++x) {
      for (int c = 0; c < args.count; ++c) f(row / args.output.h, row % args.output.h, x, c);
    }
  }
}

/// Scale and shift per channel, or one scale for all and no shift.
float Affine(const EltwiseArgs& args, float v, int c) {
  if (args.scale == nullptr) return v * args.a_multiplier;
  const float product = v * args.scale[c];
  return product + args.shift[c];
}

/// Rounds to nearest; halves away from zero, or negative ones towards it.
int64_t DivideRounding(int64_t value, int bits, bool negative_halves_to_zero) {
  if (bits == 0) return value;
  const int64_t half = int64_t{1} << (bits - 1);
  if (value >= 0) return (value + half) >> bits;
  return -((-value + half - (negative_halves_to_zero ? 1 : 0)) >> bits);
}

/// TFLite's product of a whole number and a fixed-point one, before it is clamped.
int64_t WholeProduct(int64_t value, const FixedMultiplier& m) {
  constexpr int64_t kLimit = std::numeric_limits<int32_t>::max();
  const int64_t shifted = std::clamp(value << std::max(m.shift, 0), -kLimit, kLimit);
  return DivideRounding(DivideRounding(shifted * m.q, 31, true), std::max(-m.shift, 0), false);
}
float FixedProduct(int64_t value, const FixedMultiplier& m) {
  return static_cast<float>(WholeProduct(value, m));
}

int64_t SumOfImage(const PoolArgs& args, int n, int c) {
  int64_t sum = 0;
  for (int y = 0; y < args.input.h; ++y) {
    for (int x = 0; x < args.input.w; ++x) sum += args.input.pixel(n, y, x)[c] - args.in_zero;
  }
  return sum;
}

int64_t SumOfImageI16(const PoolArgs& args, int n, int c) {
  int64_t sum = 0;
  for (int y = 0; y < args.input.h; ++y) {
    for (int x = 0; x < args.input.w; ++x) sum += I16At(args.input, n, y, x, c);
  }
  return sum;
}

/// To the nearest whole number, halves away from zero.
float WholeMean(int64_t sum, int64_t count) {
  const int64_t magnitude = (2 * std::abs(sum) + count) / (2 * count);
  return static_cast<float>(sum < 0 ? -magnitude : magnitude);
}

/// The exact value of unary operators of 16 bits with a `fixed`, before it is clamped.
float FixedUnary(const EltwiseArgs& args, int32_t x, int c) {
  if (args.terms != nullptr) {
    return FixedProduct(WholeProduct(int64_t{x} * 32768, args.a_fixed) + args.terms[c], args.fixed);
  }
  return FixedProduct(args.factors == nullptr ? x : int64_t{x} * args.factors[c], args.fixed);
}

template <typename T>
void MaxPoolFloat(const PoolArgs& args, int row_begin, int row_end) {
  ForOutputs(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    bool first = true;
    float best = 0.0f;
    ForWindow(args, y, x, [&](int iy, int ix) {
      const float v = Get<T>(args.input, n, iy, ix, c);
      if (first || v > best) best = v;
      first = false;
    });
    Set<T>(args.output, n, y, x, c, best);
  });
}

template <typename T>
void AveragePoolFloat(const PoolArgs& args, int row_begin, int row_end) {
  ForOutputs(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    float sum = 0.0f;
    int count = 0;
    ForWindow(args, y, x, [&](int iy, int ix) {
      sum += Get<T>(args.input, n, iy, ix, c);
      ++count;
    });
    if (args.count_include_pad) count = args.kernel_h * args.kernel_w;
    Set<T>(args.output, n, y, x, c, sum * (1.0f / static_cast<float>(count)));
  });
}

template <typename In, typename Out>
void GlobalPoolFloat(const PoolArgs& args, int image_begin, int image_end) {
  const float pixels = static_cast<float>(args.input.h) * static_cast<float>(args.input.w);
  for (int n = image_begin; n < image_end; ++n) {
    for (int c = 0; c < args.output.c; ++c) {
      float sum = 0.0f;
      for (int y = 0; y < args.input.h; ++y) {
        for (int x = 0; x < args.input.w; ++x) sum += Get<In>(args.input, n, y, x, c);
      }
      Set<Out>(args.output, n, 0, 0, c, sum * (1.0f / pixels));
    }
  }
}

template <typename T>
void AddFloat(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    Set<T>(
        args.output, n, y, x, c,
        ClampFloat(Get<T>(args.a, n, y, x, c) + Get<T>(args.b, n, y, x, c), args.low, args.high));
  });
}

template <typename T>
void MulFloat(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    Set<T>(
        args.output, n, y, x, c,
        ClampFloat(Get<T>(args.a, n, y, x, c) * Get<T>(args.b, n, y, x, c), args.low, args.high));
  });
}

template <typename In, typename Out>
void ScaleShiftFloat(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    Set<Out>(args.output, n, y, x, c,
             ClampFloat(Affine(args, Get<In>(args.a, n, y, x, c), c), args.low, args.high));
  });
}

}  // namespace

void MaxPoolU8(const PoolArgs& args, int row_begin, int row_end) {
  ForOutputs(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    int best = -1;
    ForWindow(args, y, x,
              [&](int iy, int ix) { best = std::max<int>(best, args.input.pixel(n, iy, ix)[c]); });
    args.output.pixel(n, y, x)[c] = static_cast<uint8_t>(best);
  });
}

void MaxPoolF32(const PoolArgs& args, int row_begin, int row_end) {
  MaxPoolFloat<float>(args, row_begin, row_end);
}
void MaxPoolBf16(const PoolArgs& args, int row_begin, int row_end) {
  MaxPoolFloat<Bf16>(args, row_begin, row_end);
}

void AveragePoolU8(const PoolArgs& args, int row_begin, int row_end) {
  ForOutputs(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    int32_t sum = 0, count = 0;
    ForWindow(args, y, x, [&](int iy, int ix) {
      sum += args.input.pixel(n, iy, ix)[c] - args.in_zero;
      ++count;
    });
    if (args.count_include_pad) count = args.kernel_h * args.kernel_w;
    const float v = static_cast<float>(sum) * (args.multiplier / static_cast<float>(count));
    const float nudged = v + std::copysign(args.nudge, v - args.pivot);
    args.output.pixel(n, y, x)[c] = Round(nudged, static_cast<float>(-args.out_zero),
                                          static_cast<float>(255 - args.out_zero), args.out_zero);
  });
}

void AveragePoolF32(const PoolArgs& args, int row_begin, int row_end) {
  AveragePoolFloat<float>(args, row_begin, row_end);
}
void AveragePoolBf16(const PoolArgs& args, int row_begin, int row_end) {
  AveragePoolFloat<Bf16>(args, row_begin, row_end);
}

void GlobalPoolU8U8(const PoolArgs& args, int image_begin, int image_end) {
  for (int n = image_begin; n < image_end; ++n) {
    for (int c = 0; c < args.output.c; ++c) {
      const int64_t sum = SumOfImage(args, n, c);
      const float v = static_cast<float>(sum) * args.multiplier;
      const float nudged = args.fixed.q == 0 ? v + std::copysign(args.nudge, v - args.pivot)
                                             : FixedProduct(sum, args.fixed);
      args.output.pixel(n, 0, 0)[c] = Round(nudged, static_cast<float>(-args.out_zero),
                                            static_cast<float>(255 - args.out_zero), args.out_zero);
    }
  }
}

void GlobalPoolU8F32(const PoolArgs& args, int image_begin, int image_end) {
  for (int n = image_begin; n < image_end; ++n) {
    for (int c = 0; c < args.output.c; ++c) {
      FloatOut(args.output, n, 0, 0, c) =
          static_cast<float>(SumOfImage(args, n, c)) * args.multiplier;
    }
  }
}

void GlobalPoolF32(const PoolArgs& args, int image_begin, int image_end) {
  GlobalPoolFloat<float, float>(args, image_begin, image_end);
}
void GlobalPoolBf16(const PoolArgs& args, int image_begin, int image_end) {
  GlobalPoolFloat<Bf16, Bf16>(args, image_begin, image_end);
}
void GlobalPoolBf16F32(const PoolArgs& args, int image_begin, int image_end) {
  GlobalPoolFloat<Bf16, float>(args, image_begin, image_end);
}

void AddU8(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    const float a = static_cast<float>(args.a.pixel(n, y, x)[c] - args.a_zero) * args.a_multiplier;
    const float b = static_cast<float>(args.b.pixel(n, y, x)[c] - args.b_zero) * args.b_multiplier;
    const float v = args.fixed_a == nullptr
                        ? a + b
                        : FixedProduct(int64_t{args.fixed_a[args.a.pixel(n, y, x)[c]]} +
                                           args.fixed_b[args.b.pixel(n, y, x)[c]],
                                       args.fixed);
    args.output.pixel(n, y, x)[c] = Round(v, args.low, args.high, args.out_zero);
  });
}

void AddF32(const EltwiseArgs& args, int row_begin, int row_end) {
  AddFloat<float>(args, row_begin, row_end);
}
void AddBf16(const EltwiseArgs& args, int row_begin, int row_end) {
  AddFloat<Bf16>(args, row_begin, row_end);
}

void MulU8(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    const int32_t product =
        (args.a.pixel(n, y, x)[c] - args.a_zero) * (args.b.pixel(n, y, x)[c] - args.b_zero);
    const float v = args.fixed.q == 0 ? static_cast<float>(product) * args.a_multiplier
                                      : FixedProduct(product, args.fixed);
    args.output.pixel(n, y, x)[c] = Round(v, args.low, args.high, args.out_zero);
  });
}

void MulF32(const EltwiseArgs& args, int row_begin, int row_end) {
  MulFloat<float>(args, row_begin, row_end);
}
void MulBf16(const EltwiseArgs& args, int row_begin, int row_end) {
  MulFloat<Bf16>(args, row_begin, row_end);
}

void ScaleShiftU8(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    const float v = Affine(args, static_cast<float>(args.a.pixel(n, y, x)[c] - args.a_zero), c);
    args.output.pixel(n, y, x)[c] =
        Round(v + std::copysign(args.nudge, v), args.low, args.high, args.out_zero);
  });
}

void ScaleShiftF32(const EltwiseArgs& args, int row_begin, int row_end) {
  ScaleShiftFloat<float, float>(args, row_begin, row_end);
}
void ScaleShiftBf16(const EltwiseArgs& args, int row_begin, int row_end) {
  ScaleShiftFloat<Bf16, Bf16>(args, row_begin, row_end);
}
void ScaleShiftF32Bf16(const EltwiseArgs& args, int row_begin, int row_end) {
  ScaleShiftFloat<float, Bf16>(args, row_begin, row_end);
}
void ScaleShiftBf16F32(const EltwiseArgs& args, int row_begin, int row_end) {
  ScaleShiftFloat<Bf16, float>(args, row_begin, row_end);
}

void QuantizeF32(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    float v = FloatAt(args.a, n, y, x, c);
    if (args.scale != nullptr) {
      const float product = v * args.scale[c];
      v = product + args.shift[c];
    }
    args.output.pixel(n, y, x)[c] =
        Round(v * args.a_multiplier, args.low, args.high, args.out_zero);
  });
}

void QuantizeTfliteF32(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    const float v = FloatAt(args.a, n, y, x, c) / args.a_multiplier;
    args.output.pixel(n, y, x)[c] = Round(RoundHalfAway(v), args.low, args.high, args.out_zero);
  });
}

void QuantizeTfliteI16(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    const float v = FloatAt(args.a, n, y, x, c) / args.a_multiplier;
    SetI16(args.output, n, y, x, c, RoundI16(RoundHalfAway(v), args.low, args.high));
  });
}

void DequantizeU8(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    FloatOut(args.output, n, y, x, c) =
        static_cast<float>(args.a.pixel(n, y, x)[c] - args.a_zero) * args.a_multiplier;
  });
}

void MaxPoolI16(const PoolArgs& args, int row_begin, int row_end) {
  ForOutputs(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    int32_t best = -32768;
    ForWindow(args, y, x,
              [&](int iy, int ix) { best = std::max(best, I16At(args.input, n, iy, ix, c)); });
    SetI16(args.output, n, y, x, c, best);
  });
}

void AveragePoolI16(const PoolArgs& args, int row_begin, int row_end) {
  ForOutputs(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    int64_t sum = 0;
    int32_t count = 0;
    ForWindow(args, y, x, [&](int iy, int ix) {
      sum += I16At(args.input, n, iy, ix, c);
      ++count;
    });
    if (args.count_include_pad) count = args.kernel_h * args.kernel_w;
    const float v = args.whole
                        ? WholeMean(sum, count)
                        : static_cast<float>(sum) * (args.multiplier / static_cast<float>(count));
    SetI16(args.output, n, y, x, c, RoundI16(v, args.i16_low));
  });
}

void GlobalPoolI16I16(const PoolArgs& args, int image_begin, int image_end) {
  for (int n = image_begin; n < image_end; ++n) {
    for (int c = 0; c < args.output.c; ++c) {
      const int64_t sum = SumOfImageI16(args, n, c);
      const float v = args.whole          ? WholeMean(sum, int64_t{args.input.h} * args.input.w)
                      : args.fixed.q != 0 ? FixedProduct(sum, args.fixed)
                                          : static_cast<float>(sum) * args.multiplier;
      SetI16(args.output, n, 0, 0, c, RoundI16(v, args.i16_low));
    }
  }
}

void GlobalPoolI16F32(const PoolArgs& args, int image_begin, int image_end) {
  for (int n = image_begin; n < image_end; ++n) {
    for (int c = 0; c < args.output.c; ++c) {
      FloatOut(args.output, n, 0, 0, c) =
          static_cast<float>(SumOfImageI16(args, n, c)) * args.multiplier;
    }
  }
}

void AddI16(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    const int32_t p = I16At(args.a, n, y, x, c), q = I16At(args.b, n, y, x, c);
    const float a = static_cast<float>(p) * args.a_multiplier;
    const float b = static_cast<float>(q) * args.b_multiplier;
    const int64_t terms = WholeProduct(int64_t{p} * 32768, args.a_fixed) +
                          WholeProduct(int64_t{q} * 32768, args.b_fixed);
    const float v = args.fixed.q == 0 ? a + b : FixedProduct(terms, args.fixed);
    SetI16(args.output, n, y, x, c, RoundI16(v, args.low, args.high));
  });
}

void MulI16(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    const int32_t product = I16At(args.a, n, y, x, c) * I16At(args.b, n, y, x, c);
    const float v = args.fixed.q == 0 ? static_cast<float>(product) * args.a_multiplier
                                      : FixedProduct(product, args.fixed);
    SetI16(args.output, n, y, x, c, RoundI16(v, args.low, args.high));
  });
}

void ScaleShiftI16(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    const int32_t q = I16At(args.a, n, y, x, c);
    const float v =
        args.fixed.q != 0 ? FixedUnary(args, q, c) : Affine(args, static_cast<float>(q), c);
    SetI16(args.output, n, y, x, c, RoundI16(v, args.low, args.high));
  });
}

void QuantizeI16(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    float v = FloatAt(args.a, n, y, x, c);
    if (args.scale != nullptr) {
      const float product = v * args.scale[c];
      v = product + args.shift[c];
    }
    SetI16(args.output, n, y, x, c, RoundI16(v * args.a_multiplier, args.low, args.high));
  });
}

void DequantizeI16(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    FloatOut(args.output, n, y, x, c) =
        static_cast<float>(I16At(args.a, n, y, x, c)) * args.a_multiplier;
  });
}

void RequantizeU8I16(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    const int32_t q = args.a.pixel(n, y, x)[c] - args.a_zero;
    const float v =
        args.fixed.q != 0 ? FixedUnary(args, q, c) : static_cast<float>(q) * args.a_multiplier;
    SetI16(args.output, n, y, x, c, RoundI16(v, args.low, args.high));
  });
}

void RequantizeI16U8(const EltwiseArgs& args, int row_begin, int row_end) {
  ForElements(args, row_begin, row_end, [&](int n, int y, int x, int c) {
    const int32_t q = I16At(args.a, n, y, x, c);
    const float v =
        args.fixed.q != 0 ? FixedUnary(args, q, c) : static_cast<float>(q) * args.a_multiplier;
    args.output.pixel(n, y, x)[c] = Round(v, args.low, args.high, args.out_zero);
  });
}

void MinMaxF32(const EltwiseArgs& args, int row_begin, int row_end, float* min, float* max) {
  *min = std::numeric_limits<float>::infinity();
  *max = -std::numeric_limits<float>::infinity();
  for (int row = row_begin; row < row_end; ++row) {
    for (int x = 0; x < args.a.w; ++x) {
      for (int c = 0; c < args.count; ++c) {
        const float v = FloatAt(args.a, row / args.a.h, row % args.a.h, x, c);
        if (v < *min) *min = v;
        if (v > *max) *max = v;
      }
    }
  }
  *min += 0.0f;  // -0 becomes 0.
  *max += 0.0f;
}

void Softmax(const float* x, float* out, int n) {
  float max = -std::numeric_limits<float>::infinity();
  for (int i = 0; i < n; ++i) {
    if (x[i] > max) max = x[i];
  }
  float sum = 0.0f;
  for (int i = 0; i < n; ++i) {
    out[i] = std::exp(x[i] - max);
    sum += out[i];
  }
  for (int i = 0; i < n; ++i) out[i] /= sum;
}

void LogSoftmax(const float* x, float* out, int n) {
  float max = -std::numeric_limits<float>::infinity();
  for (int i = 0; i < n; ++i) {
    if (x[i] > max) max = x[i];
  }
  float sum = 0.0f;
  for (int i = 0; i < n; ++i) sum += std::exp(x[i] - max);
  const float log = std::log(sum);
  for (int i = 0; i < n; ++i) out[i] = (x[i] - max) - log;
}

void Sigmoid(const float* x, float* out, int n) {
  for (int i = 0; i < n; ++i) out[i] = 1.0f / (1.0f + std::exp(-x[i]));
}

void Tanh(const float* x, float* out, int n) {
  for (int i = 0; i < n; ++i) out[i] = std::tanh(x[i]);
}

}  // namespace octet::kernels::reference
