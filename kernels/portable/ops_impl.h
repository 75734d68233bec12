// Everything but convolutions, for one instruction set; included by its translation unit after
// OCTET_ISA_NAMESPACE is defined. The loops are plain C++ over blocks of constant size, which both
// compilers turn into straight vector code; nothing here includes a standard container, so that no
// inline function compiled for this set can leak into other code.
//
// Integer results are the same bits everywhere: every operation is a separate IEEE single-precision
// step (the project is compiled with -ffp-contract=off) and rounding is to nearest even. Float sums
// run over pixels in row-major order, one accumulator per channel, so they depend neither on the
// instruction set nor on the number of threads.
//
// NaN: comparisons are written so that quantizing a NaN gives the lowest value, min_max and max
// pools skip a NaN (a max pool keeps one that comes first in its window), and every other float
// operator passes it on.
#ifndef OCTET_KERNELS_PORTABLE_OPS_IMPL_H_
#define OCTET_KERNELS_PORTABLE_OPS_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/kernel_table.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/conv_impl.h"
#include "kernels/portable/element.h"
#include "kernels/portable/fixed_point.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

constexpr float kOpsInfinity = __builtin_inff();

template <int kValue>
struct IntConstant {
  static constexpr int value = kValue;
};

// f(IntConstant<N>, begin) for blocks that cover [0, n): 64 is a full cache line of bytes, 16 the
// granularity of channels. Loops over a block are kept: unrolled, g++ makes no vectors of 16
// values.
template <class F>
OCTET_INLINE void ForBlocks(int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) f(IntConstant<64>{}, i);
  for (; i + 16 <= n; i += 16) f(IntConstant<16>{}, i);
  for (; i < n; ++i) f(IntConstant<1>{}, i);
}

// Nearest even for |v| < 2^22: adding 1.5 * 2^23 leaves the integer in the low bits of the
// mantissa.
OCTET_INLINE int32_t RoundToInt(float v) {
  const float shifted = v + 12582912.0f;
  return __builtin_bit_cast(int32_t, shifted) - 0x4B400000;
}

// Clamps, a NaN becoming `low`: for values that are rounded next.
OCTET_INLINE float ClampNumber(float v, float low, float high) {
  v = v > low ? v : low;
  return v < high ? v : high;
}

// Clamps and passes a NaN on.
OCTET_INLINE float Clamp(float v, float low, float high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

OCTET_INLINE int RoundUp16(int c) { return (c + 15) / 16 * 16; }
OCTET_INLINE int Min(int a, int b) { return a < b ? a : b; }
OCTET_INLINE int Max(int a, int b) { return a > b ? a : b; }

// Channels to process: whole blocks of 16 where both tensors have room for them in a pixel.
template <class In, class Out>
OCTET_INLINE int PoolChannels(const PoolArgs& args) {
  const int c = args.output.c, padded = RoundUp16(c);
  const bool room = args.input.pixel_stride >= padded * static_cast<int64_t>(sizeof(In)) &&
                    args.output.pixel_stride >= padded * static_cast<int64_t>(sizeof(Out));
  return room ? padded : c;
}

// How the values of a type lie in memory: `p` is that of the first one's byte, the high one of
// 16 bits, whose low one is `plane` bytes behind it.
struct BytesU8 {
  static OCTET_INLINE int32_t Load(const uint8_t* p, int64_t, int64_t i) { return p[i]; }
  static OCTET_INLINE void Store(uint8_t* p, int64_t, int64_t i, int32_t q) {
    p[i] = static_cast<uint8_t>(q);
  }
};
struct BytesI16 {
  static OCTET_INLINE int32_t Load(const uint8_t* p, int64_t plane, int64_t i) {
    return (p[i] << 8 | p[i + plane]) - 32768;
  }
  static OCTET_INLINE void Store(uint8_t* p, int64_t plane, int64_t i, int32_t q) {
    p[i] = static_cast<uint8_t>((q + 32768) >> 8);
    p[i + plane] = static_cast<uint8_t>(q);
  }
};

template <class T>
OCTET_INLINE T Larger(T v, T best) {
  return v > best ? v : best;
}

// ---- Pools ----

// Part of a window that lies inside the image, [begin, end) along one dimension.
struct Extent {
  int begin, end;
};
OCTET_INLINE Extent Clip(int out, int stride, int pad, int kernel, int size) {
  const int first = out * stride - pad;
  return {Max(first, 0), Min(first + kernel, size)};
}

// Each is one of the inputs, so nothing is rounded.
template <int N>
OCTET_INLINE void StoreMaxima(Bf16* p, const float (&v)[N]) {
  OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) p[i].bits =
      static_cast<uint16_t>(__builtin_bit_cast(uint32_t, v[i]) >> 16);
}

// N bytes in registers, of compilers' vector types.
template <int N>
struct BytesOf {
  using Type __attribute__((vector_size(N))) = uint8_t;
};

// N values in registers, of which the larger ones can be taken: compilers compare floats under
// masks, 2 to 3 times as long.
template <class T, int N>
struct Wide {
  typename BytesOf<N>::Type v;
  explicit OCTET_INLINE Wide(const T* p) { __builtin_memcpy(&v, p, N); }
  OCTET_INLINE void TakeLarger(const Wide& w) { v = w.v > v ? w.v : v; }
  OCTET_INLINE void Store(T* p) const { __builtin_memcpy(p, &v, N); }
};
template <>
struct Wide<float, kLanes> {
  Vec::F32 v;
  explicit OCTET_INLINE Wide(const float* p) : v(Vec::LoadF32(p)) {}
  OCTET_INLINE void TakeLarger(const Wide& w) { v = Vec::Max(w.v, v); }
  OCTET_INLINE void Store(float* p) const { Vec::StoreF32(p, v); }
};
template <>
struct Wide<Bf16, kLanes> {
  Vec::F32 v;
  explicit OCTET_INLINE Wide(const Bf16* p)
      : v(Vec::LoadBf16(reinterpret_cast<const uint8_t*>(p))) {}
  OCTET_INLINE void TakeLarger(const Wide& w) { v = Vec::Max(w.v, v); }
  OCTET_INLINE void Store(Bf16* p) const {
    float values[kLanes];
    __builtin_memcpy(values, &v, sizeof(values));
    StoreMaxima(p, values);
  }
};

// What max pools compare: values of type T, or 16 bits whose bytes lie in two planes.
template <class T>
struct PlainValues {
  static constexpr bool kWide = true;
  using Element = T;
  using Value = T;
  explicit PlainValues(const PoolArgs&) {}
  OCTET_INLINE T Load(const T* p, int64_t i) const { return p[i]; }
  template <int N>
  OCTET_INLINE void Store(T* p, const T (&v)[N]) const {
    OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) p[i] = v[i];
  }
};
struct Bf16Values {
  static constexpr bool kWide = true;
  using Element = Bf16;
  using Value = float;
  explicit Bf16Values(const PoolArgs&) {}
  OCTET_INLINE float Load(const Bf16* p, int64_t i) const { return Widen(p[i]); }
  template <int N>
  OCTET_INLINE void Store(Bf16* p, const float (&v)[N]) const {
    StoreMaxima(p, v);
  }
};
struct I16Values {
  static constexpr bool kWide = false;
  using Element = uint8_t;
  using Value = uint16_t;
  int64_t in_plane, out_plane;
  explicit I16Values(const PoolArgs& args)
      : in_plane(args.input.plane), out_plane(args.output.plane) {}
  OCTET_INLINE uint16_t Load(const uint8_t* p, int64_t i) const {
    return static_cast<uint16_t>(p[i] << 8 | p[i + in_plane]);
  }
  // One plane after the other: the compiler need not prove that they do not overlap.
  template <int N>
  OCTET_INLINE void Store(uint8_t* p, const uint16_t (&v)[N]) const {
    OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) p[i] = static_cast<uint8_t>(v[i] >> 8);
    OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) p[i + out_plane] = static_cast<uint8_t>(v[i]);
  }
};

// A window of constant size. `rows` has one pointer per kernel row; `offset[k]` is where column k
// starts, in elements.
template <class Values, int KH, int KW, class T = typename Values::Element>
OCTET_INLINE void MaxOfWindow(const Values values, const T* const (&rows)[KH],
                              const ptrdiff_t (&offset)[KW], int channels, T* __restrict out) {
  ForBlocks(channels, [&](auto block, int64_t c) {
    constexpr int N = decltype(block)::value;
    // Through a local block: the compiler then need not prove that `out` overlaps none of the nine
    // inputs.
    typename Values::Value best[N];
    OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) {
      auto v = values.Load(rows[0], offset[0] + c + i);
      OCTET_UNROLL for (int k = 1; k < KH * KW; ++k) v =
          Larger(values.Load(rows[k / KW], offset[k % KW] + c + i), v);
      best[i] = v;
    }
    values.Store(out + c, best);
  });
}

// `channels`, N at a time, of `count` pixels of a row whose windows are whole: the first one's
// column k is k * step behind `column`, the next one's `stride` further.
template <int KH, int KW, int N, class T>
OCTET_INLINE void MaxOfRow(const T* const (&rows)[KH], ptrdiff_t column, ptrdiff_t step,
                           ptrdiff_t stride, int count, int channels, T* out, ptrdiff_t out_step) {
  for (int x = 0; x < count; ++x) {
    for (int c = 0; c < channels; c += N) {
      Wide<T, N> best(rows[0] + column + c);
      OCTET_UNROLL for (int k = 1; k < KH * KW; ++k)
          best.TakeLarger(Wide<T, N>(rows[k / KW] + column + c + k % KW * step));
      best.Store(out + c);
    }
    column += stride;
    out += out_step;
  }
}

// Rows of output for a constant window. Clipping repeats pixels of the window instead of leaving
// some out, which does not change a maximum, so that borders and interior share one code path
// without a count.
template <class Values, int KH, int KW>
OCTET_INLINE void MaxPoolFixed(const PoolArgs& args, int row_begin, int row_end, int channels) {
  const ActivationView& in = args.input;
  const ActivationView& out = args.output;
  using T = typename Values::Element;
  const Values values(args);
  const ptrdiff_t step = in.pixel_stride / static_cast<ptrdiff_t>(sizeof(T));
  const ptrdiff_t out_step = out.pixel_stride / static_cast<ptrdiff_t>(sizeof(T));
  // Pixels [whole, whole_end) have whole windows.
  const int whole = (args.pad_left + args.stride_w - 1) / args.stride_w;
  const int room = in.w + args.pad_left - KW;
  const int whole_end = room < 0 ? 0 : Min(room / args.stride_w + 1, out.w);
  const bool wide = Values::kWide && channels % kLanes == 0 && whole < whole_end;
  for (int row = row_begin; row < row_end; ++row) {
    const int n = row / out.h, y = row % out.h;
    const Extent ey = Clip(y, args.stride_h, args.pad_top, KH, in.h);
    const T* rows[KH];
    for (int k = 0; k < KH; ++k) {
      const int iy = Min(Max(y * args.stride_h - args.pad_top + k, ey.begin), ey.end - 1);
      rows[k] = reinterpret_cast<const T*>(in.pixel(n, iy, 0));
    }
    for (int x = 0; x < out.w; ++x) {
      const int first = x * args.stride_w - args.pad_left;
      if constexpr (Values::kWide) {
        if (wide && x == whole) {
          const auto run = [&](auto block) {
            MaxOfRow<KH, KW, decltype(block)::value>(
                rows, first * step, step, args.stride_w * step, whole_end - whole, channels,
                reinterpret_cast<T*>(out.pixel(n, y, x)), out_step);
          };
          if constexpr (sizeof(T) == 1) {
            channels % 64 == 0   ? run(IntConstant<64>{})
            : channels % 32 == 0 ? run(IntConstant<32>{})
                                 : run(IntConstant<16>{});
          } else {
            run(IntConstant<kLanes>{});
          }
          x = whole_end - 1;
          continue;
        }
      }
      ptrdiff_t offset[KW];
      if (x >= whole && x < whole_end) {
        for (int k = 0; k < KW; ++k) offset[k] = (first + k) * step;
      } else {
        const Extent ex = Clip(x, args.stride_w, args.pad_left, KW, in.w);
        for (int k = 0; k < KW; ++k) offset[k] = Min(Max(first + k, ex.begin), ex.end - 1) * step;
      }
      MaxOfWindow<Values, KH, KW>(values, rows, offset, channels,
                                  reinterpret_cast<T*>(out.pixel(n, y, x)));
    }
  }
}

template <class Values>
OCTET_INLINE void MaxPoolAny(const PoolArgs& args, int row_begin, int row_end, int channels) {
  using T = typename Values::Element;
  const Values values(args);
  const ActivationView& in = args.input;
  const ActivationView& out = args.output;
  for (int row = row_begin; row < row_end; ++row) {
    const int n = row / out.h, y = row % out.h;
    const Extent ey = Clip(y, args.stride_h, args.pad_top, args.kernel_h, in.h);
    for (int x = 0; x < out.w; ++x) {
      const Extent ex = Clip(x, args.stride_w, args.pad_left, args.kernel_w, in.w);
      T* const to = reinterpret_cast<T*>(out.pixel(n, y, x));
      ForBlocks(channels, [&](auto block, int64_t c) {
        constexpr int N = decltype(block)::value;
        typename Values::Value best[N];
        const T* first = reinterpret_cast<const T*>(in.pixel(n, ey.begin, ex.begin)) + c;
        OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) best[i] = values.Load(first, i);
        for (int iy = ey.begin; iy < ey.end; ++iy) {
          for (int ix = ex.begin; ix < ex.end; ++ix) {
            const T* p = reinterpret_cast<const T*>(in.pixel(n, iy, ix)) + c;
            OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) best[i] =
                Larger(values.Load(p, i), best[i]);
          }
        }
        values.Store(to + c, best);
      });
    }
  }
}

template <class Values>
OCTET_INLINE void MaxPool(const PoolArgs& args, int row_begin, int row_end) {
  using T = typename Values::Element;
  const int channels = PoolChannels<T, T>(args);
  if (args.kernel_h == 3 && args.kernel_w == 3)
    return MaxPoolFixed<Values, 3, 3>(args, row_begin, row_end, channels);
  if (args.kernel_h == 2 && args.kernel_w == 2)
    return MaxPoolFixed<Values, 2, 2>(args, row_begin, row_end, channels);
  MaxPoolAny<Values>(args, row_begin, row_end, channels);
}

void MaxPoolU8(const PoolArgs& args, int row_begin, int row_end) {
  MaxPool<PlainValues<uint8_t>>(args, row_begin, row_end);
}
void MaxPoolF32(const PoolArgs& args, int row_begin, int row_end) {
  MaxPool<PlainValues<float>>(args, row_begin, row_end);
}

void MaxPoolBf16(const PoolArgs& args, int row_begin, int row_end) {
  MaxPool<Bf16Values>(args, row_begin, row_end);
}

void MaxPoolI16(const PoolArgs& args, int row_begin, int row_end) {
  MaxPool<I16Values>(args, row_begin, row_end);
}

// value * m, rounded twice, clamped.
OCTET_INLINE int32_t FixedProduct(int64_t value, const FixedMultiplier& m, float low, float high) {
  constexpr int64_t kLimit = 0x7fffffff;
  if (m.shift > 0) {
    value <<= m.shift;
    value = value > kLimit ? kLimit : value < -kLimit ? -kLimit : value;
  }
  const int64_t v = RoundTwice(value * m.q, m.shift < 0 ? -m.shift : 0);
  const int64_t smallest = static_cast<int64_t>(low), largest = static_cast<int64_t>(high);
  return static_cast<int32_t>(v < smallest ? smallest : v > largest ? largest : v);
}

OCTET_INLINE uint8_t RequantizePooled(uint32_t sum, uint32_t zero, float multiplier, float low,
                                      float high, const PoolArgs& args) {
  // Unsigned, so that windows beyond 2^23 pixels wrap instead of being undefined.
  const float v = static_cast<float>(static_cast<int32_t>(sum - zero)) * multiplier;
  const float nudged = v + __builtin_copysignf(args.nudge, v - args.pivot);
  return static_cast<uint8_t>(RoundToInt(ClampNumber(nudged, low, high)) + args.out_zero);
}

// Padding, where it counts, stands for real zeros: it adds to the divisor and nothing to the sum of
// (q - zero point).
void AveragePoolU8(const PoolArgs& args, int row_begin, int row_end) {
  const ActivationView& in = args.input;
  const ActivationView& out = args.output;
  const int channels = PoolChannels<uint8_t, uint8_t>(args);
  const float low = static_cast<float>(-args.out_zero),
              high = static_cast<float>(255 - args.out_zero);
  for (int row = row_begin; row < row_end; ++row) {
    const int n = row / out.h, y = row % out.h;
    const Extent ey = Clip(y, args.stride_h, args.pad_top, args.kernel_h, in.h);
    for (int x = 0; x < out.w; ++x) {
      const Extent ex = Clip(x, args.stride_w, args.pad_left, args.kernel_w, in.w);
      const int inside = (ey.end - ey.begin) * (ex.end - ex.begin);
      const int count = args.count_include_pad ? args.kernel_h * args.kernel_w : inside;
      const float multiplier = args.multiplier / static_cast<float>(count);
      const uint32_t zero = static_cast<uint32_t>(inside) * static_cast<uint32_t>(args.in_zero);
      uint8_t* const to = out.pixel(n, y, x);
      ForBlocks(channels, [&](auto block, int64_t c) {
        constexpr int N = decltype(block)::value;
        uint32_t sum[N] = {};
        for (int iy = ey.begin; iy < ey.end; ++iy) {
          for (int ix = ex.begin; ix < ex.end; ++ix) {
            const uint8_t* p = in.pixel(n, iy, ix) + c;
            OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) sum[i] += p[i];
          }
        }
        OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) {
          to[c + i] = RequantizePooled(sum[i], zero, multiplier, low, high, args);
        }
      });
    }
  }
}

// Of `pixels` values, of whose bytes these are the sums.
OCTET_INLINE float SumI16(uint32_t high, uint32_t low, int64_t pixels) {
  return static_cast<float>(int64_t{high} * 256 + low - 32768 * pixels);
}

OCTET_INLINE int32_t RoundI16(float v, float low) {
  return RoundToInt(ClampNumber(v, low, 32767.0f));
}

// The sum of as many values, of whose bytes these are the sums, over `count`: to the nearest,
// halves away from zero.
OCTET_INLINE int32_t WholeMeanI16(uint32_t high, uint32_t low, int64_t pixels, int64_t count) {
  const int64_t sum = int64_t{high} * 256 + low - 32768 * pixels;
  return static_cast<int32_t>((sum > 0 ? sum + count / 2 : sum - count / 2) / count);
}

void AveragePoolI16(const PoolArgs& args, int row_begin, int row_end) {
  const ActivationView& in = args.input;
  const ActivationView& out = args.output;
  const int channels = PoolChannels<uint8_t, uint8_t>(args);
  for (int row = row_begin; row < row_end; ++row) {
    const int n = row / out.h, y = row % out.h;
    const Extent ey = Clip(y, args.stride_h, args.pad_top, args.kernel_h, in.h);
    for (int x = 0; x < out.w; ++x) {
      const Extent ex = Clip(x, args.stride_w, args.pad_left, args.kernel_w, in.w);
      const int inside = (ey.end - ey.begin) * (ex.end - ex.begin);
      const int count = args.count_include_pad ? args.kernel_h * args.kernel_w : inside;
      const float multiplier = args.multiplier / static_cast<float>(count);
      uint8_t* const to = out.pixel(n, y, x);
      ForBlocks(channels, [&](auto block, int64_t c) {
        constexpr int N = decltype(block)::value;
        uint32_t high[N] = {}, low[N] = {};
        for (int iy = ey.begin; iy < ey.end; ++iy) {
          for (int ix = ex.begin; ix < ex.end; ++ix) {
            const uint8_t* p = in.pixel(n, iy, ix) + c;
            OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) high[i] += p[i];
            OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) low[i] += p[i + in.plane];
          }
        }
        OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) {
          BytesI16::Store(
              to, out.plane, c + i,
              args.whole ? WholeMeanI16(high[i], low[i], inside, count)
                         : RoundI16(SumI16(high[i], low[i], inside) * multiplier, args.i16_low));
        }
      });
    }
  }
}

// Sequential sum over the window in row-major order, times 1/count.
template <class T>
OCTET_INLINE void AveragePoolFloat(const PoolArgs& args, int row_begin, int row_end) {
  const ActivationView& in = args.input;
  const ActivationView& out = args.output;
  const int channels = PoolChannels<T, T>(args);
  for (int row = row_begin; row < row_end; ++row) {
    const int n = row / out.h, y = row % out.h;
    const Extent ey = Clip(y, args.stride_h, args.pad_top, args.kernel_h, in.h);
    for (int x = 0; x < out.w; ++x) {
      const Extent ex = Clip(x, args.stride_w, args.pad_left, args.kernel_w, in.w);
      const int inside = (ey.end - ey.begin) * (ex.end - ex.begin);
      const float factor =
          1.0f /
          static_cast<float>(args.count_include_pad ? args.kernel_h * args.kernel_w : inside);
      T* const to = reinterpret_cast<T*>(out.pixel(n, y, x));
      ForBlocks(channels, [&](auto block, int64_t c) {
        constexpr int N = decltype(block)::value;
        float sum[N] = {};
        for (int iy = ey.begin; iy < ey.end; ++iy) {
          for (int ix = ex.begin; ix < ex.end; ++ix) {
            const T* p = reinterpret_cast<const T*>(in.pixel(n, iy, ix)) + c;
            OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) sum[i] += Widen(p[i]);
          }
        }
        OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) Narrow(sum[i] * factor, to + c + i);
      });
    }
  }
}

void AveragePoolF32(const PoolArgs& args, int row_begin, int row_end) {
  AveragePoolFloat<float>(args, row_begin, row_end);
}

void AveragePoolBf16(const PoolArgs& args, int row_begin, int row_end) {
  AveragePoolFloat<Bf16>(args, row_begin, row_end);
}

// Sums of N channels over all pixels of an image: one function for the pools of bytes and of both
// planes.
template <int N>
OCTET_NOINLINE void SumPixelsU8(const ActivationView& in, int n, int64_t c, uint32_t (&out)[N]) {
  uint32_t sum[N] = {};  // In registers.
  for (int y = 0; y < in.h; ++y) {
    const uint8_t* p = in.pixel(n, y, 0) + c;
    const int64_t step = in.pixel_stride;
    int x = 0;
    // Eight pixels at a time in 16 bits, twice the lanes: 8 * 255 fits with room.
    for (; x + 8 <= in.w; x += 8, p += 8 * step) {
      uint16_t partial[N];
      OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) partial[i] = p[i];
      OCTET_UNROLL for (int k = 1; k < 8; ++k) {
        const uint8_t* q = p + k * step;
        OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) partial[i] =
            static_cast<uint16_t>(partial[i] + q[i]);
      }
      OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) sum[i] += partial[i];
    }
    for (; x < in.w; ++x, p += step) {
      OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) sum[i] += p[i];
    }
  }
  OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) out[i] = sum[i];
}

OCTET_INLINE uint32_t GlobalZero(const PoolArgs& args) {
  return static_cast<uint32_t>(args.input.h) * static_cast<uint32_t>(args.input.w) *
         static_cast<uint32_t>(args.in_zero);
}

void GlobalPoolU8U8(const PoolArgs& args, int image_begin, int image_end) {
  const uint32_t zero = GlobalZero(args);
  const int channels = PoolChannels<uint8_t, uint8_t>(args);
  const float low = static_cast<float>(-args.out_zero),
              high = static_cast<float>(255 - args.out_zero);
  for (int n = image_begin; n < image_end; ++n) {
    uint8_t* const to = args.output.pixel(n, 0, 0);
    ForBlocks(channels, [&](auto block, int64_t c) {
      constexpr int N = decltype(block)::value;
      uint32_t sum[N];
      SumPixelsU8<N>(args.input, n, c, sum);
      if (args.fixed.q != 0) {
        OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) {
          const int32_t q =
              FixedProduct(static_cast<int32_t>(sum[i] - zero), args.fixed, low, high);
          to[c + i] = static_cast<uint8_t>(q + args.out_zero);
        }
        return;
      }
      OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) {
        to[c + i] = RequantizePooled(sum[i], zero, args.multiplier, low, high, args);
      }
    });
  }
}

void GlobalPoolU8F32(const PoolArgs& args, int image_begin, int image_end) {
  const uint32_t zero = GlobalZero(args);
  const int channels = PoolChannels<uint8_t, float>(args);
  for (int n = image_begin; n < image_end; ++n) {
    float* const to = reinterpret_cast<float*>(args.output.pixel(n, 0, 0));
    ForBlocks(channels, [&](auto block, int64_t c) {
      constexpr int N = decltype(block)::value;
      uint32_t sum[N];
      SumPixelsU8<N>(args.input, n, c, sum);
      OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) {
        to[c + i] = static_cast<float>(static_cast<int32_t>(sum[i] - zero)) * args.multiplier;
      }
    });
  }
}

// store(out, channel, high, low) for every channel of the images, the sums of its bytes.
template <class Out, class Store>
OCTET_INLINE void GlobalPoolI16(const PoolArgs& args, int image_begin, int image_end, Store store) {
  const int channels = PoolChannels<uint8_t, Out>(args);
  ActivationView low_bytes = args.input;
  low_bytes.data += args.input.plane;
  for (int n = image_begin; n < image_end; ++n) {
    uint8_t* const to = args.output.pixel(n, 0, 0);
    ForBlocks(channels, [&](auto block, int64_t c) {
      constexpr int N = decltype(block)::value;
      uint32_t high[N], low[N];
      SumPixelsU8<N>(args.input, n, c, high);
      SumPixelsU8<N>(low_bytes, n, c, low);
      OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) store(to, c + i, high[i], low[i]);
    });
  }
}

void GlobalPoolI16I16(const PoolArgs& args, int image_begin, int image_end) {
  const int64_t pixels = int64_t{args.input.h} * args.input.w;
  GlobalPoolI16<uint8_t>(
      args, image_begin, image_end, [&](uint8_t* to, int64_t c, uint32_t high, uint32_t low) {
        const int32_t q = args.whole ? WholeMeanI16(high, low, pixels, pixels)
                          : args.fixed.q != 0
                              ? FixedProduct(int64_t{high} * 256 + low - 32768 * pixels, args.fixed,
                                             args.i16_low, 32767.0f)
                              : RoundI16(SumI16(high, low, pixels) * args.multiplier, args.i16_low);
        BytesI16::Store(to, args.output.plane, c, q);
      });
}

void GlobalPoolI16F32(const PoolArgs& args, int image_begin, int image_end) {
  const int64_t pixels = int64_t{args.input.h} * args.input.w;
  GlobalPoolI16<float>(
      args, image_begin, image_end, [&](uint8_t* to, int64_t c, uint32_t high, uint32_t low) {
        reinterpret_cast<float*>(to)[c] = SumI16(high, low, pixels) * args.multiplier;
      });
}

template <class In, class Out>
OCTET_INLINE void GlobalPoolFloat(const PoolArgs& args, int image_begin, int image_end) {
  const ActivationView& in = args.input;
  const int channels = PoolChannels<In, Out>(args);
  const float factor = 1.0f / (static_cast<float>(in.h) * static_cast<float>(in.w));
  for (int n = image_begin; n < image_end; ++n) {
    Out* const to = reinterpret_cast<Out*>(args.output.pixel(n, 0, 0));
    ForBlocks(channels, [&](auto block, int64_t c) {
      constexpr int N = decltype(block)::value;
      float sum[N] = {};
      for (int y = 0; y < in.h; ++y) {
        for (int x = 0; x < in.w; ++x) {
          const In* p = reinterpret_cast<const In*>(in.pixel(n, y, x)) + c;
          OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) sum[i] += Widen(p[i]);
        }
      }
      OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) Narrow(sum[i] * factor, to + c + i);
    });
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

// ---- Elementwise ----

// f(a, b, out, channel, n) for runs of n consecutive elements that begin at `channel` of a pixel.
// Where no operand has room between pixels and nothing is per channel, a row is one run.
template <class A, class B, class Out, class F>
OCTET_INLINE void ForRuns(const EltwiseArgs& args, bool binary, bool per_channel, int row_begin,
                          int row_end, F&& f) {
  const ActivationView& out = args.output;
  const int64_t count = args.count;
  const bool dense = !per_channel &&
                     args.a.pixel_stride == count * static_cast<int64_t>(sizeof(A)) &&
                     out.pixel_stride == count * static_cast<int64_t>(sizeof(Out)) &&
                     (!binary || args.b.pixel_stride == count * static_cast<int64_t>(sizeof(B)));
  const int runs = dense ? 1 : out.w;
  const int64_t n = dense ? count * out.w : count;
  for (int row = row_begin; row < row_end; ++row) {
    const int image = row / out.h, y = row % out.h;
    for (int x = 0; x < runs; ++x) {
      const A* a = reinterpret_cast<const A*>(args.a.pixel(image, y, x));
      const B* b = binary ? reinterpret_cast<const B*>(args.b.pixel(image, y, x)) : nullptr;
      f(a, b, reinterpret_cast<Out*>(out.pixel(image, y, x)), n);
    }
  }
}

// How many registers of floats are packed to bytes together.
constexpr int kPacked = Vec::kStoresPixels ? 4 : 1;

// value(a, b) of NR times 16 bytes, rounded.
template <int NR, class Value>
OCTET_INLINE void BinaryBlock(const EltwiseArgs& args, const Value& value, const uint8_t* a,
                              const uint8_t* b, uint8_t* out) {
  const Vec::F32 low = Vec::SplatF32(args.low), high = Vec::SplatF32(args.high);
  Vec::F32 v[NR];
  OCTET_UNROLL for (int j = 0; j < NR; ++j) {
    v[j] = value(Vec::WidenU8(a + j * kLanes), Vec::WidenU8(b + j * kLanes));
    v[j] = Vec::Min(Vec::Max(v[j], low), high);
  }
  Vec::StoreU8<NR>(out, v, args.out_zero);
}

// Stores NR times 16 results: where `less` and `more` are rounded to different numbers,
// FixedProduct of exact(a, b). `out` may be `a` or `b`.
template <int NR, class Exact>
OCTET_NOINLINE void CorrectBlock(const EltwiseArgs& args, const Vec::F32 (&less)[NR],
                                 const Vec::F32 (&more)[NR], const Exact& exact, const uint8_t* a,
                                 const uint8_t* b, uint8_t* out) {
  uint8_t results[2][NR * kLanes];
  Vec::StoreU8<NR>(results[0], less, args.out_zero);
  Vec::StoreU8<NR>(results[1], more, args.out_zero);
  OCTET_KEEP_LOOP for (int group = 0; group < NR * kLanes; group += 8) {
    if (__builtin_memcmp(results[0] + group, results[1] + group, 8) == 0) continue;
    OCTET_KEEP_LOOP for (int i = group; i < group + 8; ++i) {
      if (results[0][i] == results[1][i]) continue;
      results[1][i] = static_cast<uint8_t>(
          FixedProduct(exact(a[i], b[i]), args.fixed, args.low, args.high) + args.out_zero);
    }
  }
  __builtin_memcpy(out, results[1], sizeof(results[1]));
}

// The same of fixed-point results, compared with which value(a, b) is less by the margin, as floats
// decide all but those near a limit between two (FixedLimits of conv_kinds.h). `kClamp`: the bounds
// are not those of u8.
template <bool kClamp, int NR, class Value, class Exact>
OCTET_INLINE void FixedBlock(const EltwiseArgs& args, const Value& value, const Exact& exact,
                             const uint8_t* a, const uint8_t* b, uint8_t* out) {
  const Vec::F32 margins = Vec::SplatF32(2.0f * args.fixed_margin);
  Vec::F32 less[NR], more[NR];
  Vec::I32 different = Vec::SplatI32(0);
  OCTET_UNROLL for (int j = 0; j < NR; ++j) {
    less[j] = value(Vec::WidenU8(a + j * kLanes), Vec::WidenU8(b + j * kLanes));
    more[j] = Vec::Add(less[j], margins);
    if constexpr (kClamp) {
      const Vec::F32 low = Vec::SplatF32(args.low), high = Vec::SplatF32(args.high);
      less[j] = Vec::Min(Vec::Max(less[j], low), high);
      more[j] = Vec::Min(Vec::Max(more[j], low), high);
    }
    different = Vec::OrDifferent(different, Vec::Round(less[j]), Vec::Round(more[j]));
  }
  if (__builtin_expect(Vec::Any(different), 0))
    return CorrectBlock<NR>(args, less, more, exact, a, b, out);
  Vec::StoreU8<NR>(out, more, args.out_zero);
}

// Every 16 kPacked bytes by block(kPacked, a, b, out), then 16 by block(1, ...), where the numbers
// are types.
template <class Block>
OCTET_INLINE void ForByteBlocks(const EltwiseArgs& args, int row_begin, int row_end,
                                const Block& block) {
  ForRuns<uint8_t, uint8_t, uint8_t>(
      args, true, false, row_begin, row_end,
      [&](const uint8_t* a, const uint8_t* b, uint8_t* out, int64_t n) {
        int64_t c = 0;
        if constexpr (kPacked > 1) {
          for (; c + kPacked * kLanes <= n; c += kPacked * kLanes)
            block(std::integral_constant<int, kPacked>(), a + c, b + c, out + c);
        }
        for (; c < n; c += kLanes) {
          uint8_t last[3][kLanes] = {};
          const bool whole = c + kLanes <= n;
          if (!whole) {
            __builtin_memcpy(last[0], a + c, static_cast<size_t>(n - c));
            __builtin_memcpy(last[1], b + c, static_cast<size_t>(n - c));
          }
          block(std::integral_constant<int, 1>(), whole ? a + c : last[0], whole ? b + c : last[1],
                whole ? out + c : last[2]);
          if (!whole) __builtin_memcpy(out + c, last[2], static_cast<size_t>(n - c));
        }
      });
}

template <class Value>
OCTET_INLINE void BinaryU8(const EltwiseArgs& args, int row_begin, int row_end,
                           const Value& value) {
  ForByteBlocks(args, row_begin, row_end,
                [&](auto nr, const uint8_t* a, const uint8_t* b, uint8_t* out) {
                  BinaryBlock<nr()>(args, value, a, b, out);
                });
}
template <bool kClamp, class Value, class Exact>
OCTET_INLINE void FixedU8(const EltwiseArgs& args, int row_begin, int row_end, const Value& value,
                          const Exact& exact) {
  ForByteBlocks(args, row_begin, row_end,
                [&](auto nr, const uint8_t* a, const uint8_t* b, uint8_t* out) {
                  FixedBlock<kClamp, nr()>(args, value, exact, a, b, out);
                });
}

void AddU8(const EltwiseArgs& args, int row_begin, int row_end) {
  const Vec::F32 am = Vec::SplatF32(args.a_multiplier), bm = Vec::SplatF32(args.b_multiplier);
  if (args.fixed_a == nullptr) {
    const Vec::I32 a_zero = Vec::SplatI32(args.a_zero), b_zero = Vec::SplatI32(args.b_zero);
    return BinaryU8(args, row_begin, row_end, [&](Vec::I32 a, Vec::I32 b) {
      return Vec::Add(Vec::Mul(Vec::ToFloat(Vec::Sub(a, a_zero)), am),
                      Vec::Mul(Vec::ToFloat(Vec::Sub(b, b_zero)), bm));
    });
  }
  // What the zero points and the margin make is in one constant.
  const double zeros = static_cast<double>(args.a_zero) * args.a_multiplier +
                       static_cast<double>(args.b_zero) * args.b_multiplier;
  const Vec::F32 constant = Vec::SplatF32(static_cast<float>(-zeros - args.fixed_margin));
  const auto less = [&](Vec::I32 a, Vec::I32 b) {
    return Vec::MulAddF32(Vec::ToFloat(a), am, Vec::MulAddF32(Vec::ToFloat(b), bm, constant));
  };
  const auto exact = [&](uint8_t a, uint8_t b) {
    return static_cast<int64_t>(args.fixed_a[a]) + args.fixed_b[b];
  };
  // Clamping is left to the saturation of StoreU8 where that does the same: two operations of 12.
  const bool saturates = HasBoundsOfU8(args) && args.a_multiplier + args.b_multiplier < 0x1p20f;
  return saturates ? FixedU8<false>(args, row_begin, row_end, less, exact)
                   : FixedU8<true>(args, row_begin, row_end, less, exact);
}

void MulU8(const EltwiseArgs& args, int row_begin, int row_end) {
  const Vec::F32 m = Vec::SplatF32(args.a_multiplier);
  const Vec::I32 a_zero = Vec::SplatI32(args.a_zero), b_zero = Vec::SplatI32(args.b_zero);
  const auto product = [&](Vec::I32 a, Vec::I32 b) {
    // At most 255 * 255: exact.
    return Vec::Mul(Vec::Mul(Vec::ToFloat(Vec::Sub(a, a_zero)), Vec::ToFloat(Vec::Sub(b, b_zero))),
                    m);
  };
  if (args.fixed.q == 0) return BinaryU8(args, row_begin, row_end, product);
  const Vec::F32 nudge = Vec::SplatF32(args.nudge), margin = Vec::SplatF32(-args.fixed_margin);
  FixedU8<true>(
      args, row_begin, row_end,
      [&](Vec::I32 a, Vec::I32 b) { return Vec::Add(AwayFromZero(product(a, b), nudge), margin); },
      [&](uint8_t a, uint8_t b) {
        return static_cast<int64_t>((a - args.a_zero) * (b - args.b_zero));
      });
}

template <class Value>
OCTET_INLINE void BinaryI16(const EltwiseArgs& args, int row_begin, int row_end,
                            const Value value) {
  const float low = args.low, high = args.high;
  const int64_t a_plane = args.a.plane, b_plane = args.b.plane, out_plane = args.output.plane;
  ForRuns<uint8_t, uint8_t, uint8_t>(
      args, true, false, row_begin, row_end,
      [=](const uint8_t* a, const uint8_t* b, uint8_t* out, int64_t n) {
        ForBlocks(n, [=](auto block, int64_t c) {
          constexpr int N = decltype(block)::value;
          int32_t q[N];
          OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) {
            const float v =
                value(BytesI16::Load(a, a_plane, c + i), BytesI16::Load(b, b_plane, c + i));
            q[i] = RoundToInt(ClampNumber(v, low, high));
          }
          OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) BytesI16::Store(out, out_plane, c + i, q[i]);
        });
      });
}

// Nearest even, for |v| < 2^31, as RoundToInt.
OCTET_INLINE int32_t RoundDouble(double v) {
  return static_cast<int32_t>(__builtin_bit_cast(int64_t, v + 0x1.8p52));
}

// With a `fixed`: doubles decide all results but the few near a limit between two, which are
// FixedProduct of exact(a, b).
template <class Value, class Exact>
OCTET_INLINE void BinaryFixedI16(const EltwiseArgs& args, int row_begin, int row_end,
                                 const Value value, const Exact exact) {
  const FixedMultiplier* const fixed = &args.fixed;
  const double near = 0.5 - static_cast<double>(args.fixed_margin);
  const double low = args.low, high = args.high;
  const int64_t a_plane = args.a.plane, b_plane = args.b.plane, out_plane = args.output.plane;
  ForRuns<uint8_t, uint8_t, uint8_t>(
      args, true, false, row_begin, row_end,
      [=](const uint8_t* a, const uint8_t* b, uint8_t* out, int64_t n) {
        ForBlocks(n, [=](auto block, int64_t c) {
          constexpr int N = decltype(block)::value;
          int32_t q[N], close[N], any = 0;
          OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) {
            double v = value(BytesI16::Load(a, a_plane, c + i), BytesI16::Load(b, b_plane, c + i));
            v = v < low ? low : v > high ? high : v;
            q[i] = RoundDouble(v);
            close[i] = __builtin_fabs(v - static_cast<double>(q[i])) >= near ? 1 : 0;
            any |= close[i];
          }
          if (any != 0) {
            OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) {
              if (close[i] == 0) continue;
              q[i] = FixedProduct(
                  exact(BytesI16::Load(a, a_plane, c + i), BytesI16::Load(b, b_plane, c + i)),
                  *fixed, static_cast<float>(low), static_cast<float>(high));
            }
          }
          OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) BytesI16::Store(out, out_plane, c + i, q[i]);
        });
      });
}

// x * 2^15, which fits 32 bits, times a number of at most 1/2.
OCTET_INLINE int64_t TermI16(int32_t x, const FixedMultiplier& m) {
  return RoundTwice((static_cast<int64_t>(x) << 15) * m.q, -m.shift);
}

void AddI16(const EltwiseArgs& args, int row_begin, int row_end) {
  if (args.fixed.q != 0) {
    const double a_real = args.a_real, b_real = args.b_real;
    const FixedMultiplier a_fixed = args.a_fixed, b_fixed = args.b_fixed;
    return BinaryFixedI16(
        args, row_begin, row_end,
        [=](int32_t a, int32_t b) {
          const double first = static_cast<double>(a) * a_real,
                       second = static_cast<double>(b) * b_real;
          return first + second;
        },
        [=](int32_t a, int32_t b) { return TermI16(a, a_fixed) + TermI16(b, b_fixed); });
  }
  const float am = args.a_multiplier, bm = args.b_multiplier;
  BinaryI16(args, row_begin, row_end, [=](int32_t a, int32_t b) {
    const float first = static_cast<float>(a) * am, second = static_cast<float>(b) * bm;
    return first + second;
  });
}

void MulI16(const EltwiseArgs& args, int row_begin, int row_end) {
  if (args.fixed.q != 0) {
    const double real = args.a_real;
    return BinaryFixedI16(
        args, row_begin, row_end,
        [=](int32_t a, int32_t b) { return static_cast<double>(a * b) * real; },
        [=](int32_t a, int32_t b) { return int64_t{a} * b; });
  }
  const float m = args.a_multiplier;
  BinaryI16(args, row_begin, row_end,
            [=](int32_t a, int32_t b) { return static_cast<float>(a * b) * m; });
}

template <class T, class Op>
OCTET_INLINE void BinaryFloat(const EltwiseArgs& args, int row_begin, int row_end, Op op) {
  const float low = args.low, high = args.high;
  ForRuns<T, T, T>(args, true, false, row_begin, row_end,
                   [=](const T* a, const T* b, T* out, int64_t n) {
                     ForBlocks(n, [=](auto block, int64_t c) {
                       constexpr int N = decltype(block)::value;
                       float v[N];
                       OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) v[i] =
                           Clamp(op(Widen(a[c + i]), Widen(b[c + i])), low, high);
                       OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) Narrow(v[i], out + c + i);
                     });
                   });
}

template <class T>
OCTET_INLINE void AddFloat(const EltwiseArgs& args, int row_begin, int row_end) {
  BinaryFloat<T>(args, row_begin, row_end, [](float a, float b) { return a + b; });
}

template <class T>
OCTET_INLINE void MulFloat(const EltwiseArgs& args, int row_begin, int row_end) {
  BinaryFloat<T>(args, row_begin, row_end, [](float a, float b) { return a * b; });
}

void AddF32(const EltwiseArgs& args, int row_begin, int row_end) {
  AddFloat<float>(args, row_begin, row_end);
}

void AddBf16(const EltwiseArgs& args, int row_begin, int row_end) {
  AddFloat<Bf16>(args, row_begin, row_end);
}

void MulF32(const EltwiseArgs& args, int row_begin, int row_end) {
  MulFloat<float>(args, row_begin, row_end);
}

void MulBf16(const EltwiseArgs& args, int row_begin, int row_end) {
  MulFloat<Bf16>(args, row_begin, row_end);
}

// Scale and shift of channel c, or one scale for all. Two code paths, because a choice inside the
// loop is not vectorized.
struct UniformScale {
  float scale;
  static constexpr bool kPerChannel = false;
  OCTET_INLINE float Apply(float v, int64_t) const { return v * scale; }
  OCTET_INLINE Vec::F32 Apply(Vec::F32 v, int64_t) const {
    return Vec::Mul(v, Vec::SplatF32(scale));
  }
};
struct ChannelScale {
  const float* scale;
  const float* shift;
  static constexpr bool kPerChannel = true;
  OCTET_INLINE float Apply(float v, int64_t c) const {
    const float product = v * scale[c];
    return product + shift[c];
  }
  OCTET_INLINE Vec::F32 Apply(Vec::F32 v, int64_t c) const {
    return Vec::Add(Vec::Mul(v, Vec::LoadF32(scale + c)), Vec::LoadF32(shift + c));
  }
};

template <class In, class Out, class Affine>
OCTET_INLINE void AffineCodes(const EltwiseArgs& args, int row_begin, int row_end,
                              const Affine affine) {
  const int32_t a_zero = args.a_zero, out_zero = args.out_zero;
  const int64_t a_plane = args.a.plane, out_plane = args.output.plane;
  const float low = args.low, high = args.high;
  ForRuns<uint8_t, uint8_t, uint8_t>(
      args, false, Affine::kPerChannel, row_begin, row_end,
      [=](const uint8_t* a, const uint8_t*, uint8_t* out, int64_t n) {
        ForBlocks(n, [=](auto block, int64_t c) {
          constexpr int N = decltype(block)::value;
          int32_t q[N];
          OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) {
            const int32_t x = In::Load(a, a_plane, c + i) - a_zero;
            const float v = affine.Apply(static_cast<float>(x), c + i);
            q[i] = RoundToInt(ClampNumber(v, low, high)) + out_zero;
          }
          OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) Out::Store(out, out_plane, c + i, q[i]);
        });
      });
}

template <class In, class Out, class Affine>
OCTET_INLINE void AffineFloat(const EltwiseArgs& args, int row_begin, int row_end,
                              const Affine affine) {
  const float low = args.low, high = args.high;
  ForRuns<In, In, Out>(args, false, Affine::kPerChannel, row_begin, row_end,
                       [=](const In* a, const In*, Out* out, int64_t n) {
                         ForBlocks(n, [=](auto block, int64_t c) {
                           constexpr int N = decltype(block)::value;
                           float v[N];
                           OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) v[i] =
                               Clamp(affine.Apply(Widen(a[c + i]), c + i), low, high);
                           OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) Narrow(v[i], out + c + i);
                         });
                       });
}

// NR times 16 bytes of AffineCodes in vectors: compilers make 25 cycles of 16 channels, this 6.
template <bool kNudged, int NR, class Affine>
OCTET_INLINE void AffineBlock(const EltwiseArgs& args, const Affine& affine, const uint8_t* a,
                              int64_t c, uint8_t* out) {
  const Vec::I32 zero = Vec::SplatI32(args.a_zero);
  const Vec::F32 low = Vec::SplatF32(args.low), high = Vec::SplatF32(args.high);
  Vec::F32 v[NR];
  OCTET_UNROLL for (int j = 0; j < NR; ++j) {
    v[j] = affine.Apply(Vec::ToFloat(Vec::Sub(Vec::WidenU8(a + c + j * kLanes), zero)),
                        c + j * kLanes);
    if constexpr (kNudged) v[j] = AwayFromZero(v[j], Vec::SplatF32(args.nudge));
    v[j] = Vec::Min(Vec::Max(v[j], low), high);
  }
  Vec::StoreU8<NR>(out + c, v, args.out_zero);
}

template <bool kNudged, class Affine>
OCTET_INLINE void AffineBytes(const EltwiseArgs& args, int row_begin, int row_end,
                              const Affine affine) {
  ForRuns<uint8_t, uint8_t, uint8_t>(
      args, false, Affine::kPerChannel, row_begin, row_end,
      [&](const uint8_t* a, const uint8_t*, uint8_t* out, int64_t n) {
        int64_t c = 0;
        if constexpr (kPacked > 1) {
          for (; c + kPacked * kLanes <= n; c += kPacked * kLanes)
            AffineBlock<kNudged, kPacked>(args, affine, a, c, out);
        }
        for (; c + kLanes <= n; c += kLanes) AffineBlock<kNudged, 1>(args, affine, a, c, out);
        for (; c < n; ++c) {
          float v = affine.Apply(static_cast<float>(a[c] - args.a_zero), c);
          if constexpr (kNudged) v = v + __builtin_copysignf(args.nudge, v);
          out[c] =
              static_cast<uint8_t>(RoundToInt(ClampNumber(v, args.low, args.high)) + args.out_zero);
        }
      });
}

template <class Affine>
OCTET_INLINE void ScaleBytes(const EltwiseArgs& args, int row_begin, int row_end,
                             const Affine affine) {
  return args.nudge != 0.0f ? AffineBytes<true>(args, row_begin, row_end, affine)
                            : AffineBytes<false>(args, row_begin, row_end, affine);
}

void ScaleShiftU8(const EltwiseArgs& args, int row_begin, int row_end) {
  if (args.scale == nullptr)
    return ScaleBytes(args, row_begin, row_end, UniformScale{args.a_multiplier});
  ScaleBytes(args, row_begin, row_end, ChannelScale{args.scale, args.shift});
}

// Unary operators of 16 bits with a `fixed`.
template <class In, class Out>
OCTET_INLINE void FixedCodes(const EltwiseArgs& args, int row_begin, int row_end) {
  const int32_t a_zero = args.a_zero, out_zero = args.out_zero;
  const int64_t a_plane = args.a.plane, out_plane = args.output.plane;
  ForRuns<uint8_t, uint8_t, uint8_t>(
      args, false, args.factors != nullptr || args.terms != nullptr, row_begin, row_end,
      [&](const uint8_t* a, const uint8_t*, uint8_t* out, int64_t n) {
        for (int64_t c = 0; c < n; ++c) {
          const int32_t x = In::Load(a, a_plane, c) - a_zero;
          int64_t v = args.factors != nullptr ? int64_t{x} * args.factors[c] : x;
          if (args.terms != nullptr) v = TermI16(x, args.a_fixed) + args.terms[c];
          Out::Store(out, out_plane, c,
                     FixedProduct(v, args.fixed, args.low, args.high) + out_zero);
        }
      });
}

void ScaleShiftI16(const EltwiseArgs& args, int row_begin, int row_end) {
  if (args.fixed.q != 0) return FixedCodes<BytesI16, BytesI16>(args, row_begin, row_end);
  if (args.scale == nullptr) {
    return AffineCodes<BytesI16, BytesI16>(args, row_begin, row_end,
                                           UniformScale{args.a_multiplier});
  }
  AffineCodes<BytesI16, BytesI16>(args, row_begin, row_end, ChannelScale{args.scale, args.shift});
}

void RequantizeU8I16(const EltwiseArgs& args, int row_begin, int row_end) {
  if (args.fixed.q != 0) return FixedCodes<BytesU8, BytesI16>(args, row_begin, row_end);
  AffineCodes<BytesU8, BytesI16>(args, row_begin, row_end, UniformScale{args.a_multiplier});
}

void RequantizeI16U8(const EltwiseArgs& args, int row_begin, int row_end) {
  if (args.fixed.q != 0) return FixedCodes<BytesI16, BytesU8>(args, row_begin, row_end);
  AffineCodes<BytesI16, BytesU8>(args, row_begin, row_end, UniformScale{args.a_multiplier});
}

template <class In, class Out>
OCTET_INLINE void ScaleShiftFloat(const EltwiseArgs& args, int row_begin, int row_end) {
  if (args.scale == nullptr)
    return AffineFloat<In, Out>(args, row_begin, row_end, UniformScale{args.a_multiplier});
  AffineFloat<In, Out>(args, row_begin, row_end, ChannelScale{args.scale, args.shift});
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

// Nearest, halves away from zero, for |v| < 2^22: what is just below one half must not become 1 by
// the addition.
OCTET_INLINE int32_t RoundAway(float v) {
  return static_cast<int32_t>(v + __builtin_copysignf(0.49999997f, v));
}

// value(v, c) in steps of the output, rounded.
template <class Out, class Value, class Rounded>
OCTET_INLINE void QuantizeAny(const EltwiseArgs& args, bool per_channel, int row_begin, int row_end,
                              const Value value, const Rounded rounded) {
  const int32_t out_zero = args.out_zero;
  const int64_t plane = args.output.plane;
  const float low = args.low, high = args.high;
  ForRuns<float, float, uint8_t>(
      args, false, per_channel, row_begin, row_end,
      [=](const float* a, const float*, uint8_t* out, int64_t n) {
        ForBlocks(n, [=](auto block, int64_t c) {
          constexpr int N = decltype(block)::value;
          int32_t q[N];
          OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) q[i] =
              rounded(ClampNumber(value(a[c + i], c + i), low, high)) + out_zero;
          OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) Out::Store(out, plane, c + i, q[i]);
        });
      });
}

template <class Out, class Affine>
OCTET_INLINE void Quantize(const EltwiseArgs& args, int row_begin, int row_end,
                           const Affine affine) {
  const float am = args.a_multiplier;
  const auto value = [=](float v, int64_t c) { return affine.Apply(v, c) * am; };
  QuantizeAny<Out>(args, Affine::kPerChannel, row_begin, row_end, value,
                   [](float v) { return RoundToInt(v); });
}

// NR times 16 bytes in vectors: compilers pack them in twice the time.
template <int NR>
OCTET_INLINE void QuantizeBlock(const EltwiseArgs& args, const float* a, uint8_t* out) {
  const Vec::F32 m = Vec::SplatF32(args.a_multiplier);
  const Vec::F32 low = Vec::SplatF32(args.low), high = Vec::SplatF32(args.high);
  Vec::F32 v[NR];
  OCTET_UNROLL for (int j = 0; j < NR; ++j) v[j] =
      Vec::Min(Vec::MaxNumber(Vec::Mul(Vec::LoadF32(a + j * kLanes), m), low), high);
  Vec::StoreU8<NR>(out, v, args.out_zero);
}

void QuantizeF32(const EltwiseArgs& args, int row_begin, int row_end) {
  if (args.scale != nullptr)
    return Quantize<BytesU8>(args, row_begin, row_end, ChannelScale{args.scale, args.shift});
  ForRuns<float, float, uint8_t>(args, false, false, row_begin, row_end,
                                 [&](const float* a, const float*, uint8_t* out, int64_t n) {
                                   int64_t c = 0;
                                   if constexpr (kPacked > 1) {
                                     for (; c + kPacked * kLanes <= n; c += kPacked * kLanes)
                                       QuantizeBlock<kPacked>(args, a + c, out + c);
                                   }
                                   for (; c + kLanes <= n; c += kLanes)
                                     QuantizeBlock<1>(args, a + c, out + c);
                                   for (; c < n; ++c) {
                                     const float v =
                                         ClampNumber(a[c] * args.a_multiplier, args.low, args.high);
                                     out[c] = static_cast<uint8_t>(RoundToInt(v) + args.out_zero);
                                   }
                                 });
}

void QuantizeI16(const EltwiseArgs& args, int row_begin, int row_end) {
  if (args.scale != nullptr)
    return Quantize<BytesI16>(args, row_begin, row_end, ChannelScale{args.scale, args.shift});
  Quantize<BytesI16>(args, row_begin, row_end, UniformScale{1.0f});
}

template <class Out>
OCTET_INLINE void QuantizeTflite(const EltwiseArgs& args, int row_begin, int row_end) {
  const float scale = args.a_multiplier;
  const auto value = [scale](float v, int64_t) { return v / scale; };
  QuantizeAny<Out>(args, false, row_begin, row_end, value, [](float v) { return RoundAway(v); });
}

void QuantizeTfliteF32(const EltwiseArgs& args, int row_begin, int row_end) {
  QuantizeTflite<BytesU8>(args, row_begin, row_end);
}

void QuantizeTfliteI16(const EltwiseArgs& args, int row_begin, int row_end) {
  QuantizeTflite<BytesI16>(args, row_begin, row_end);
}

template <class In>
OCTET_INLINE void Dequantize(const EltwiseArgs& args, int row_begin, int row_end) {
  const int32_t a_zero = args.a_zero;
  const int64_t plane = args.a.plane;
  const float am = args.a_multiplier;
  ForRuns<uint8_t, uint8_t, float>(args, false, false, row_begin, row_end,
                                   [=](const uint8_t* a, const uint8_t*, float* out, int64_t n) {
                                     ForBlocks(n, [=](auto block, int64_t c) {
                                       constexpr int N = decltype(block)::value;
                                       float v[N];
                                       OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) {
                                         const int32_t x = In::Load(a, plane, c + i) - a_zero;
                                         v[i] = static_cast<float>(x) * am;
                                       }
                                       OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) out[c + i] =
                                           v[i];
                                     });
                                   });
}

void DequantizeU8(const EltwiseArgs& args, int row_begin, int row_end) {
  Dequantize<BytesU8>(args, row_begin, row_end);
}

void DequantizeI16(const EltwiseArgs& args, int row_begin, int row_end) {
  Dequantize<BytesI16>(args, row_begin, row_end);
}

// NaNs are skipped; without a single number the result is (+infinity, -infinity), which a caller
// whose range starts at (0, 0) ignores. -0 counts as 0, so that the order of comparison cannot
// show.
void MinMaxF32(const EltwiseArgs& args, int row_begin, int row_end, float* min, float* max) {
  const ActivationView& in = args.a;
  // Enough independent chains to hide the latency of min and max.
  constexpr int kLanesOfMinMax = 64;
  float low[kLanesOfMinMax], high[kLanesOfMinMax];
  for (int i = 0; i < kLanesOfMinMax; ++i) low[i] = kOpsInfinity, high[i] = -kOpsInfinity;
  const bool dense = in.pixel_stride == args.count * static_cast<int64_t>(sizeof(float));
  const int runs = dense ? 1 : in.w;
  const int64_t n = dense ? static_cast<int64_t>(args.count) * in.w : args.count;
  for (int row = row_begin; row < row_end; ++row) {
    for (int x = 0; x < runs; ++x) {
      const float* p = reinterpret_cast<const float*>(in.pixel(row / in.h, row % in.h, x));
      int64_t c = 0;
      for (; c + kLanesOfMinMax <= n; c += kLanesOfMinMax) {
        for (int i = 0; i < kLanesOfMinMax; ++i) low[i] = p[c + i] < low[i] ? p[c + i] : low[i];
        for (int i = 0; i < kLanesOfMinMax; ++i) high[i] = p[c + i] > high[i] ? p[c + i] : high[i];
      }
      for (; c < n; ++c) {
        low[0] = p[c] < low[0] ? p[c] : low[0];
        high[0] = p[c] > high[0] ? p[c] : high[0];
      }
    }
  }
  for (int i = 1; i < kLanesOfMinMax; ++i) {
    low[0] = low[i] < low[0] ? low[i] : low[0];
    high[0] = high[i] > high[0] ? high[i] : high[0];
  }
  *min = low[0] + 0.0f;
  *max = high[0] + 0.0f;
}

// exp for x <= 0, relative error below 2e-7 (tests/kernels/ops_test.cc): 2^n * e^r with r within
// ln(2)/2 of 0. The C library's would be a call per element and differ between libraries. Below
// -87.3 the result is 0.
OCTET_INLINE float ExpNonPositive(float x) {
  constexpr float kSmallest = -87.3f;
  const float bounded = x < kSmallest ? kSmallest : x;
  const float shifted = bounded * 1.44269504088896341f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  // ln(2) in two parts; the first has few enough bits that n times it is exact.
  const float r = (bounded - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = (p * r) * r + r;
  p = p + 1.0f;
  const uint32_t exponent = (__builtin_bit_cast(uint32_t, shifted) - 0x4B400000u + 127u) << 23;
  const float result = p * __builtin_bit_cast(float, exponent);
  return x < kSmallest ? 0.0f : result;
}

void Softmax(const float* x, float* out, int n) {
  float max = -kOpsInfinity;
  for (int i = 0; i < n; ++i) max = Larger(x[i], max);
  ForBlocks(n, [=](auto block, int64_t c) {
    constexpr int N = decltype(block)::value;
    float e[N];
    OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) e[i] = ExpNonPositive(x[c + i] - max);
    OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) out[c + i] = e[i];
  });
  float sum = 0.0f;
  for (int i = 0; i < n; ++i) sum += out[i];
  for (int i = 0; i < n; ++i) out[i] = out[i] / sum;
}

// log for x >= 1, relative error below 2e-7: m + n * ln(2) with m the logarithm of what is left
// between sqrt(1/2) and sqrt(2), a polynomial of the Cephes library.
OCTET_INLINE float LogAboveOne(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  int32_t n = static_cast<int32_t>(bits >> 23) - 126;
  float m = __builtin_bit_cast(float, (bits & 0x007fffffu) | 0x3f000000u);  // 1/2 to 1.
  if (m < 0.707106781186547524f) {
    --n;
    m = m + m;
  }
  m = m - 1.0f;
  const float z = m * m, exponent = static_cast<float>(n);
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const float y = (p * m * z + exponent * -2.12194440e-4f) - 0.5f * z;
  return x == x ? (m + y) + exponent * 0.693359375f : x;
}

void LogSoftmax(const float* x, float* out, int n) {
  float max = -kOpsInfinity;
  for (int i = 0; i < n; ++i) max = Larger(x[i], max);
  float sum = 0.0f;
  ForBlocks(n, [=, &sum](auto block, int64_t c) {
    constexpr int N = decltype(block)::value;
    float e[N];
    OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) e[i] = ExpNonPositive(x[c + i] - max);
    OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) sum += e[i];
  });
  const float log = LogAboveOne(sum);
  for (int i = 0; i < n; ++i) out[i] = (x[i] - max) - log;
}

template <class F>
OCTET_INLINE void ForEach(const float* x, float* out, int n, F f) {
  ForBlocks(n, [=](auto block, int64_t c) {
    constexpr int N = decltype(block)::value;
    float v[N];
    OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) v[i] = f(x[c + i]);
    OCTET_KEEP_LOOP for (int i = 0; i < N; ++i) out[c + i] = v[i];
  });
}

// Of e^-|x|, which cannot overflow. Relative error below 4e-7.
void Sigmoid(const float* x, float* out, int n) {
  ForEach(x, out, n, [](float v) {
    const float e = ExpNonPositive(-__builtin_fabsf(v));
    return (v < 0.0f ? e : 1.0f) / (1.0f + e);
  });
}

// The same of e^-2|x|, and near 0, where 1 - e would cancel, the polynomial of the Cephes library.
// Relative error below 4e-7.
void Tanh(const float* x, float* out, int n) {
  ForEach(x, out, n, [](float v) {
    const float magnitude = __builtin_fabsf(v), e = ExpNonPositive(-2.0f * magnitude);
    const float far = __builtin_copysignf((1.0f - e) / (1.0f + e), v);
    const float z = v * v;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const float near = p * z * v + v;
    return magnitude < 0.625f ? near : far;
  });
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_OPS_IMPL_H_
