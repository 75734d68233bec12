// The convolution kernels, written once over the vector interface `Vec` that each instruction set
// provides (see kernels/README.md). Included by exactly one translation unit per instruction set,
// after its *_vec.h and with OCTET_ISA_NAMESPACE defined. Everything is in that namespace and
// nothing of the standard library but types is used, so that no function compiled for a wide
// instruction set can be linked into baseline code.
//
// A tile is MR pixels x NR panels of 16 output channels. Padding is physical, so a pixel has one
// base pointer and every tap is base + tap offset + depth: MR pointers stay in registers and one
// shared index runs over taps and depth.
#ifndef OCTET_KERNELS_PORTABLE_CONV_IMPL_H_
#define OCTET_KERNELS_PORTABLE_CONV_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/kernel_table.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/fixed_point.h"
#include "kernels/portable/tile.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// Number of parts that `total` is cut into when a part may have at most `max`; parts are then equal
// up to one.
OCTET_INLINE int64_t PartCount(int64_t total, int64_t max) { return (total + max - 1) / max; }

// How the pointers of a pixel move to the next pixel. Rows and images that follow each other
// without a gap are merged, so that a 1x1 layer over tensors without halo is one long row.
struct Geometry {
  int64_t w, h;
  int64_t in_pixel, in_row, in_image;
  int64_t out_pixel, out_row, out_image;
  int64_t res_pixel, res_row, res_image;

  explicit Geometry(const ConvArgs& a)
      : w(a.out_w),
        h(a.out_h),
        in_pixel(a.in_pixel_step),
        in_row(a.in_row_step),
        in_image(a.in_image_stride),
        out_pixel(a.out_pixel_stride),
        out_row(a.out_row_stride),
        out_image(a.out_image_stride),
        res_pixel(a.residual ? a.res_pixel_stride : 0),
        res_row(a.residual ? a.res_row_stride : 0),
        res_image(a.residual ? a.res_image_stride : 0) {
    if (in_row == w * in_pixel && out_row == w * out_pixel && res_row == w * res_pixel) {
      w *= h;
      h = 1;
      in_row = in_image;
      out_row = out_image;
      res_row = res_image;
      w *= in_row == w * in_pixel && out_row == w * out_pixel && res_row == w * res_pixel ? a.batch
                                                                                          : 1;
    }
  }
};

// Where one output pixel reads and writes. `Next` is a handful of additions: no division in the
// loops.
struct Cursor {
  const uint8_t* in;
  uint8_t* out;
  const uint8_t* res;
  int64_t x, y;

  Cursor(const ConvArgs& a, const Geometry& g, int64_t pixel) {
    x = pixel % g.w;
    y = pixel / g.w % g.h;
    const int64_t n = pixel / g.w / g.h;
    in = a.input + n * g.in_image + y * g.in_row + x * g.in_pixel;
    out = a.output + n * g.out_image + y * g.out_row + x * g.out_pixel;
    // Without a residual any valid pointer will do: it is moved along with the others but not
    // followed.
    res = a.residual != nullptr ? a.residual + (n * g.res_image + y * g.res_row + x * g.res_pixel)
                                : a.output;
  }

  OCTET_INLINE void Next(const Geometry& g) {
    in += g.in_pixel;
    out += g.out_pixel;
    res += g.res_pixel;
    if (++x == g.w) {
      x = 0;
      in += g.in_row - g.w * g.in_pixel;
      out += g.out_row - g.w * g.out_pixel;
      res += g.res_row - g.w * g.res_pixel;
      if (++y == g.h) {
        y = 0;
        in += g.in_image - g.h * g.in_row;
        out += g.out_image - g.h * g.out_row;
        res += g.res_image - g.h * g.res_row;
      }
    }
  }
};

// ---- Bytes of a tile. ----

// Whether what is outside the bounds is outside u8, too.
template <class Args>
OCTET_INLINE bool HasBoundsOfU8(const Args& a) {
  return a.low == static_cast<float>(-a.out_zero) && a.high == static_cast<float>(255 - a.out_zero);
}

// Rounds and stores value(pixel, panel).
template <int MR, int NR, class F, class V = Vec>
OCTET_INLINE void StoreBytes(const ConvArgs& a, uint8_t* const (&out)[MR], const F& value) {
  constexpr int kTogether = NR == 1 && V::kStoresPixels ? MR / 4 * 4 : 0;
  if constexpr (kTogether > 0) {
    OCTET_UNROLL for (int i = 0; i < kTogether; i += 4) {
      V::StorePixelsU8(&out[i], {value(i, 0), value(i + 1, 0), value(i + 2, 0), value(i + 3, 0)},
                       a.out_zero);
    }
  }
  OCTET_UNROLL for (int i = kTogether; i < MR; ++i) {
    Vec::F32 v[NR];
    OCTET_UNROLL for (int j = 0; j < NR; ++j) v[j] = value(i, j);
    Vec::StoreU8<NR>(out[i], v, a.out_zero);
  }
}

// ---- Fixed-point results (ConvArgs::fixed). ----

/// One result of the fixed-point arithmetic.
OCTET_INLINE uint8_t FixedResult(const ConvArgs& a, int32_t acc, const FixedMultiplier& m) {
  const int right = m.shift < 0 ? -m.shift : 0;
  const int64_t product = (static_cast<int64_t>(acc) << (m.shift > 0 ? m.shift : 0)) * m.q;
  const int64_t half = (int64_t{1} << (30 + right)) - (product < 0 ? 1 : 0);
  const int64_t v = a.round_once ? (product + half) >> (31 + right) : RoundTwice(product, right);
  const int64_t low = static_cast<int64_t>(a.low), high = static_cast<int64_t>(a.high);
  return static_cast<uint8_t>((v < low ? low : v > high ? high : v) + a.out_zero);
}

// v moved away from zero by `step`, which is at most 1/2.
OCTET_INLINE Vec::F32 AwayFromZero(Vec::F32 v, Vec::F32 step) {
  return Vec::Add(v, Vec::WithSign(step, v));
}

// Two roundings are one behind a small step away from zero (engine/src/tflite_rounding.h); floats
// tell which result that gives, but for the few that lie too close to the limit between two: there
// what is a little less and what is a little more are rounded to different numbers.
struct FixedLimits {
  Vec::F32 less, more;

  // `kClamp`: the bounds are not those of u8, or sums may be beyond 2^31.
  template <bool kClamp>
  static OCTET_INLINE FixedLimits Of(const ConvArgs& a, int channel, Vec::I32 sums) {
    // Of numbers up to 256, the roundings of both factors make at most 2^-16 each, of the product
    // and of two sums 2^-17: less than this margin.
    const Vec::F32 margin = Vec::SplatF32(0x1p-14f), minus_margin = Vec::SplatF32(-0x1p-14f);
    const Vec::F32 sum = Vec::ToFloat(sums);
    Vec::F32 v = Vec::MulAddF32(sum, Vec::LoadF32(a.multiplier + channel),
                                Vec::WithSign(Vec::LoadF32(a.nudge + channel), sum));
    if constexpr (kClamp) {
      v = Vec::Min(Vec::Max(v, Vec::SplatF32(a.low)), Vec::SplatF32(a.high));
    }
    return {Vec::Add(v, minus_margin), Vec::Add(v, margin)};
  }

  // With bits wherever they are rounded to different numbers.
  OCTET_INLINE Vec::I32 OrDifferent(Vec::I32 different) const {
    return Vec::OrDifferent(different, Vec::Round(less), Vec::Round(more));
  }
};

// Computes exactly what floats did not tell, of `count` times 16 sums, NR of them in a pixel.
template <bool kClamp, int NR>
OCTET_NOINLINE void CorrectFixed(const ConvArgs& a, int channel, const Vec::I32* sums, int count,
                                 uint8_t* const* out) {
  for (int n = 0; n < count; ++n) {
    const int panel = n % NR * kLanes;
    const FixedLimits v = FixedLimits::Of<kClamp>(a, channel + panel, sums[n]);
    const Vec::I32 differs = v.OrDifferent(Vec::SplatI32(0));
    if (!Vec::Any(differs)) continue;
    static_assert(sizeof(Vec::I32) == kLanes * 4);
    int32_t sum[kLanes], differ[kLanes];
    __builtin_memcpy(sum, &sums[n], sizeof(sum));
    __builtin_memcpy(differ, &differs, sizeof(differ));
    for (int lane = 0; lane < kLanes; ++lane) {
      const int at = panel + lane;
      if (differ[lane] != 0) out[n / NR][at] = FixedResult(a, sum[lane], a.fixed[channel + at]);
    }
  }
}

// Of sums in memory: MR pixels of NR panels.
template <bool kClamp, int MR, int NR>
OCTET_INLINE void FinishFixed(const ConvArgs& a, int channel, const Vec::I32* sums,
                              uint8_t* const (&out)[MR]) {
  Vec::I32 different = Vec::SplatI32(0);
  StoreBytes<MR, NR>(a, out, [&](int i, int j) {
    const FixedLimits v = FixedLimits::Of<kClamp>(a, channel + j * kLanes, sums[i * NR + j]);
    different = v.OrDifferent(different);
    return v.more;
  });
  if (Vec::Any(different)) CorrectFixed<kClamp, NR>(a, channel, sums, MR * NR, out);
}

// All results from floats, as ConvArgs::multiplier_rest has it. A number that is cut off and then
// made odd lies on the same side of every limit between two results as before, and on none.
template <int MR, int NR, class T, class V = Vec>
OCTET_INLINE void StoreProvenFixed(const ConvArgs& a, int channel, const T& tile,
                                   uint8_t* const (&out)[MR]) {
  StoreBytes<MR, NR>(a, out, [&](int i, int j) {
    const int at = channel + j * kLanes;
    const Vec::F32 sum = Vec::ToFloat(tile.Get(i, j));
    const Vec::F32 rest = Vec::MulAddF32(sum, Vec::LoadF32(a.multiplier_rest + at),
                                         Vec::WithSign(Vec::LoadF32(a.nudge + at), sum));
    return V::MulAddToOdd(sum, Vec::LoadF32(a.multiplier + at), rest);
  });
}

// 16 results of multipliers in double (ConvArgs::real), from the sums over high and low bytes.
// Plain loops, which compilers turn into vectors.
[[maybe_unused]] OCTET_NOINLINE void FinishReal(const ConvArgs& a, int channel,
                                                const Vec::I32& high_sums, const Vec::I32& low_sums,
                                                uint8_t* out) {
  using Sum = int32_t __attribute__((may_alias));
  const Sum* const high = reinterpret_cast<const Sum*>(&high_sums);
  const Sum* const low = reinterpret_cast<const Sum*>(&low_sums);
  const double* const real = a.real + channel;
  const double least = a.low, most = a.high;
  double v[kLanes];
  int32_t q[kLanes];
  OCTET_KEEP_LOOP for (int i = 0; i < kLanes; ++i) {
    // The sum is exact: below 2^39.
    const double sum = 256.0 * static_cast<double>(high[i]) + static_cast<double>(low[i]);
    const double product = sum * real[i];
    v[i] = product < least ? least : product > most ? most : product;
  }
  if (a.round_once) {
    // The double below a half must not become 1 by the addition.
    OCTET_KEEP_LOOP for (int i = 0; i < kLanes; ++i) q[i] =
        static_cast<int32_t>(v[i] + __builtin_copysign(0.49999999999999994, v[i]));
  } else {
    // To the nearest, halves to even, which go up again where that was down.
    constexpr double kRound = 0x1.8p52;
    OCTET_KEEP_LOOP for (int i = 0; i < kLanes; ++i) {
      const double even = (v[i] + kRound) - kRound;
      q[i] = static_cast<int32_t>(even + (v[i] - even == 0.5 ? 1.0 : 0.0));
    }
  }
  OCTET_KEEP_LOOP for (int i = 0; i < kLanes; ++i) out[i] =
      static_cast<uint8_t>((q[i] + 32768) >> 8);
  OCTET_KEEP_LOOP for (int i = 0; i < kLanes; ++i) out[i + a.out_plane] =
      static_cast<uint8_t>(q[i]);
}

// ---- Kinds of kernels. ----

struct KernelU8U8 {
  using Epilogue = KernelU8U8;
  using Group = Vec::GroupU8;
  // Groups that are not whole panels, too; with larger tiles for some of them.
  static constexpr bool kQuarters = true, kFastQuarters = true;
  static constexpr bool kHalf = false;  // Weights of 16 bits.
  template <int MR, int NR>
  using TileType = Vec::IntTile<MR, NR>;
  static constexpr bool kAdjustBias = Vec::kSignedInput;
  static constexpr int kLineBytes = 64, kInputBytes = 1, kOutputBytes = 1;
  static constexpr bool kTakesReal = false, kSaturates = true, kStaggers = Vec::kStaggers;
  static constexpr int kPlanes = 1;  // Of bytes in a pixel's values: each has sums of its own.
  static constexpr int kMaxPanels = Vec::kIntMaxPanels;
  static constexpr int kPanelPixels = Vec::kPanelPixels;  // Of whole tiles by one panel, or 0.
  static constexpr int MaxPixels(int panels) { return Vec::IntMaxPixels(panels); }
  static const int32_t* Bias(const ConvArgs& a) { return a.bias; }
  template <class V = Vec>
  static OCTET_INLINE void AdjustBias(const int32_t* bias, const uint8_t* weights, int64_t lines,
                                      int32_t* adjusted) {
    V::AdjustBias(bias, weights, lines, adjusted);
  }

  // What a sum is in steps of the output.
  template <bool kResidual, int MR, class T>
  static OCTET_INLINE Vec::F32 Scaled(const ConvArgs& a, int channel, const T& tile,
                                      const uint8_t* const (&res)[MR], int i, int j) {
    // Separate operations in this order: kernels/README.md, the integer contract.
    Vec::F32 v =
        Vec::Mul(Vec::ToFloat(tile.Get(i, j)), Vec::LoadF32(a.multiplier + channel + j * kLanes));
    if constexpr (kResidual) {
      const Vec::I32 r =
          Vec::Sub(Vec::WidenU8(res[i] + j * kLanes), Vec::SplatI32(a.residual_zero));
      v = Vec::Add(v, Vec::Mul(Vec::ToFloat(r), Vec::SplatF32(a.residual_multiplier)));
    }
    return v;
  }

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void Finish(const ConvArgs& a, int channel, const T& tile,
                                  uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR]) {
    const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
    StoreBytes<MR, NR>(a, out, [&](int i, int j) {
      return Vec::Min(Vec::Max(Scaled<kResidual>(a, channel, tile, res, i, j), low), high);
    });
  }

  // Whether clamping can be left to the saturation of the narrowing instructions, with the same
  // result: the bounds are those of u8, and no value comes near 2^31, beyond which the conversion
  // to integers would lose its sign. Two operations less for each register: 5 to 8 % of a layer
  // with 64 input channels.
  static bool CanSaturate(const ConvArgs& a, int channel_begin, int channel_end) {
    bool can =
        HasBoundsOfU8(a) && a.residual_multiplier < 0x1p20f && a.residual_multiplier > -0x1p20f;
    for (int i = channel_begin; i < channel_end; ++i) {
      can &= a.multiplier[i] < 0.25f && a.multiplier[i] > -0.25f;
    }
    return can;
  }

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void FinishSaturating(const ConvArgs& a, int channel, const T& tile,
                                            uint8_t* const (&out)[MR],
                                            const uint8_t* const (&res)[MR]) {
    StoreBytes<MR, NR>(
        a, out, [&](int i, int j) { return Scaled<kResidual>(a, channel, tile, res, i, j); });
  }
};

struct KernelU8F32 : KernelU8U8 {
  static constexpr int kPanelPixels = 0;
  static constexpr int kOutputBytes = 4;
  static constexpr bool kTakesReal = false, kSaturates = false, kStaggers = false;

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void Finish(const ConvArgs& a, int channel, const T& tile,
                                  uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR]) {
    const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      OCTET_UNROLL for (int j = 0; j < NR; ++j) {
        Vec::F32 v = Vec::Mul(Vec::ToFloat(tile.Get(i, j)),
                              Vec::LoadF32(a.multiplier + channel + j * kLanes));
        v = Vec::Add(v, Vec::LoadF32(a.float_bias + channel + j * kLanes));
        if constexpr (kResidual) {
          v = Vec::Add(v, Vec::LoadF32(reinterpret_cast<const float*>(res[i]) + j * kLanes));
        }
        v = Vec::Min(Vec::Max(v, low), high);
        Vec::StoreF32(reinterpret_cast<float*>(out[i]) + j * kLanes, v);
      }
    }
  }
};

// 16-bit activations: a pixel has two sums, those of its high and of its low bytes, over the same
// weights.
struct KernelI16 : KernelU8U8 {
  static constexpr bool kTakesReal = false, kSaturates = false, kStaggers = false;
  static constexpr int kPlanes = 2, kPanelPixels = 0;
  static constexpr int MaxPixels(int panels) { return Vec::IntMaxPixels(panels) / 2; }
  static const int32_t* LowBias(const ConvArgs& a) { return a.low_bias; }

  // The sum in steps of the output. Each part is rounded to a float by itself; 256 times it is
  // exact.
  template <class T>
  static OCTET_INLINE Vec::F32 Scaled(const ConvArgs& a, int channel, const T& tile, int i, int j) {
    Vec::I32 high = tile.Get(2 * i, j), low = tile.Get(2 * i + 1, j);
    Vec::Carry(high, low);
    const Vec::F32 sum =
        Vec::Add(Vec::Mul(Vec::ToFloat(high), Vec::SplatF32(256.0f)), Vec::ToFloat(low));
    return Vec::Mul(sum, Vec::LoadF32(a.multiplier + channel + j * kLanes));
  }
};

struct KernelI16I16 : KernelI16 {
  static constexpr bool kTakesReal = true;

  template <int MR, int NR, class T>
  static OCTET_INLINE void FinishReals(const ConvArgs& a, int channel, const T& tile,
                                       uint8_t* const (&out)[MR]) {
    OCTET_KEEP_LOOP for (int i = 0; i < MR; ++i) {
      OCTET_KEEP_LOOP for (int j = 0; j < NR; ++j) {
        FinishReal(a, channel + j * kLanes, tile.Get(2 * i, j), tile.Get(2 * i + 1, j),
                   out[i] + j * kLanes);
      }
    }
  }

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void Finish(const ConvArgs& a, int channel, const T& tile,
                                  uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR]) {
    const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      Vec::F32 v[NR];
      OCTET_UNROLL for (int j = 0; j < NR; ++j) {
        v[j] = Scaled(a, channel, tile, i, j);
        if constexpr (kResidual) {
          const uint8_t* const r = res[i] + j * kLanes;
          v[j] = Vec::Add(v[j],
                          Vec::Mul(WidenI16(r, a.res_plane), Vec::SplatF32(a.residual_multiplier)));
        }
        v[j] = Vec::Min(Vec::Max(v[j], low), high);
      }
      Vec::StoreI16Codes<NR>(out[i], a.out_plane, v);
    }
  }

  // 16 values from both planes, exactly.
  static OCTET_INLINE Vec::F32 WidenI16(const uint8_t* p, int64_t plane) {
    const Vec::F32 high = Vec::Mul(Vec::ToFloat(Vec::Sub(Vec::WidenU8(p), Vec::SplatI32(128))),
                                   Vec::SplatF32(256.0f));
    return Vec::Add(high, Vec::ToFloat(Vec::WidenU8(p + plane)));
  }
};

struct KernelI16F32 : KernelI16 {
  static constexpr bool kFastQuarters = false;
  static constexpr int kOutputBytes = 4;

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void Finish(const ConvArgs& a, int channel, const T& tile,
                                  uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR]) {
    const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      OCTET_UNROLL for (int j = 0; j < NR; ++j) {
        Vec::F32 v = Vec::Add(Scaled(a, channel, tile, i, j),
                              Vec::LoadF32(a.float_bias + channel + j * kLanes));
        if constexpr (kResidual) {
          v = Vec::Add(v, Vec::LoadF32(reinterpret_cast<const float*>(res[i]) + j * kLanes));
        }
        v = Vec::Min(Vec::Max(v, low), high);
        Vec::StoreF32(reinterpret_cast<float*>(out[i]) + j * kLanes, v);
      }
    }
  }
};

// Float results in memory, float or bfloat16.
template <int kBytes>
OCTET_INLINE Vec::F32 LoadResult(const uint8_t* p) {
  if constexpr (kBytes == 2) {
    return Vec::LoadBf16(p);
  } else {
    return Vec::LoadF32(reinterpret_cast<const float*>(p));
  }
}
template <int kBytes>
OCTET_INLINE void StoreResult(uint8_t* p, Vec::F32 v) {
  if constexpr (kBytes == 2) {
    Vec::StoreBf16(p, v);
  } else {
    Vec::StoreF32(reinterpret_cast<float*>(p), v);
  }
}

template <class Mac, class GroupMac, int kLine, int kResult = 4>
struct KernelFloat {
  static constexpr bool kHalf = kLine == 32;
  using Group = GroupMac;
  static constexpr bool kQuarters = true, kFastQuarters = true;
  static constexpr bool kTakesReal = false, kSaturates = false, kStaggers = false;
  static constexpr int kPlanes = 1, kPanelPixels = 0;
  template <int MR, int NR>
  using TileType = Vec::FloatTile<Mac, MR, NR>;
  static constexpr bool kAdjustBias = false;
  static constexpr int kLineBytes = kLine, kInputBytes = 4, kOutputBytes = kResult;
  static constexpr int kMaxPanels = Vec::kFloatMaxPanels;
  static constexpr int MaxPixels(int panels) { return Vec::FloatMaxPixels(panels); }
  static const float* Bias(const ConvArgs& a) { return a.float_bias; }

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void Finish(const ConvArgs& a, int, const T& tile, uint8_t* const (&out)[MR],
                                  const uint8_t* const (&res)[MR]) {
    const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      OCTET_UNROLL for (int j = 0; j < NR; ++j) {
        const int at = j * kLanes * kResult;
        Vec::F32 v = tile.Get(i, j);
        if constexpr (kResidual) v = Vec::Add(v, LoadResult<kResult>(res[i] + at));
        StoreResult<kResult>(out[i] + at, Vec::Min(Vec::Max(v, low), high));
      }
    }
  }
};

// Which of the epilogues that the arguments may ask for a layer has: those of kernels that saturate
// are in two versions, as saturation can often clamp (CanSaturate).
enum class Ending { kAny, kSaturating, kFixedSaturating, kProvenFixed };

template <class K>
OCTET_INLINE Ending EndingOf(const ConvArgs& a, int panel_begin, int panel_end) {
  if constexpr (K::kSaturates) {
    if (K::CanSaturate(a, panel_begin * kLanes, panel_end * kLanes))
      return a.fixed == nullptr             ? Ending::kSaturating
             : a.multiplier_rest == nullptr ? Ending::kFixedSaturating
                                            : Ending::kProvenFixed;
  }
  return Ending::kAny;
}

/// The epilogue that the arguments ask for, but for ConvArgs::fixed.
template <class K, int MR, int NR, class T>
OCTET_INLINE void FinishAny(const ConvArgs& a, int channel, const T& tile,
                            uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR]) {
  if (a.residual != nullptr) return K::template Finish<true, MR, NR>(a, channel, tile, out, res);
  if constexpr (K::kTakesReal) {
    if (a.real != nullptr) return K::template FinishReals<MR, NR>(a, channel, tile, out);
  }
  K::template Finish<false, MR, NR>(a, channel, tile, out, res);
}

/// The epilogue that the arguments ask for, of accumulators in memory: one function for all numbers
/// of pixels instead of a copy in every tile.
template <class K, int NR, class Acc>
OCTET_NOINLINE void FinishStored(const ConvArgs& a, int channel, const Acc* acc, int pixels,
                                 uint8_t* const* out, const uint8_t* const* res, Ending ending) {
  struct Row {
    const Acc* acc;
    OCTET_INLINE Acc Get(int i, int j) const { return acc[i * NR + j]; }
  };
  const auto finish = [&]<int kPixels>(int i) {
    uint8_t* to[kPixels];
    const uint8_t* add[kPixels];
    OCTET_UNROLL for (int n = 0; n < kPixels; ++n) {
      to[n] = out[i + n];
      add[n] = res[i + n];
    }
    const Row row{acc + i * NR};
    if (ending == Ending::kFixedSaturating || ending == Ending::kProvenFixed) {
      FinishFixed<false, kPixels, NR>(a, channel, row.acc, to);
    } else if (a.fixed != nullptr) {
      FinishFixed<true, kPixels, NR>(a, channel, row.acc, to);
    } else {
      FinishAny<K, kPixels, NR>(a, channel, row, to, add);
    }
  };
  int i = 0;
  if constexpr (NR == 1) {
    // One panel of four pixels has as much to do at a time as four panels of one.
    for (; i + 4 <= pixels; i += 4) finish.template operator()<4>(i);
  }
  for (; i < pixels; ++i) finish.template operator()<1>(i);
}

template <class K, int MR, int NR, class T>
OCTET_INLINE void StoreAndFinish(const ConvArgs& a, int channel, const T& tile,
                                 uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR],
                                 Ending ending) {
  using Acc = decltype(tile.Get(0, 0));
  Acc stored[MR * NR];
  OCTET_UNROLL for (int i = 0; i < MR; ++i) {
    OCTET_UNROLL for (int j = 0; j < NR; ++j) stored[i * NR + j] = tile.Get(i, j);
  }
  FinishStored<K, NR>(a, channel, stored, MR, out, res, ending);
}

// Whether StaggeredTiles are used: of the largest tile, of which most of a layer consists.
template <class K, int MR, int NR>
constexpr bool kStaggered = K::kStaggers&& NR == K::kMaxPanels&& MR == K::MaxPixels(NR);

/// The epilogue of a tile, as EndingOf says.
template <class K, int MR, int NR, class T>
OCTET_INLINE void FinishPixels(const ConvArgs& a, int channel, const T& tile,
                               uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR],
                               [[maybe_unused]] Ending ending) {
  if constexpr (K::kSaturates) {
    // In registers, but for what StaggeredTiles leave, which is small depths, and for small tiles,
    // for the size of the library.
    if constexpr (!kStaggered<K, MR, NR> && (MR > 3 || NR == 1)) {
      if (ending == Ending::kSaturating) {
        if (a.residual != nullptr)
          return K::template FinishSaturating<true, MR, NR>(a, channel, tile, out, res);
        return K::template FinishSaturating<false, MR, NR>(a, channel, tile, out, res);
      }
    }
    // Of the largest tiles, of which most of a layer consists, from registers.
    if constexpr (Vec::kRoundsToZero && MR >= 7) {
      if (ending == Ending::kProvenFixed) return StoreProvenFixed<MR, NR>(a, channel, tile, out);
    }
    StoreAndFinish<typename K::Epilogue, MR, NR>(a, channel, tile, out, res, ending);
  } else {
    FinishAny<K, MR, NR>(a, channel, tile, out, res);
  }
}

using KernelF32 = KernelFloat<Vec::MacF32, Vec::GroupF32, 64>;
using KernelF16 = KernelFloat<Vec::MacF16, Vec::GroupF16, 32>;

// bfloat16 activations and weights: a line has two elements of depth.
template <int kResult>
struct KernelOfBf16 : KernelFloat<Vec::MacF32, Vec::GroupBf16, 64, kResult> {
  template <int MR, int NR>
  using TileType = Vec::Bf16Tile<MR, NR>;
  static constexpr int kInputBytes = 2;
  static constexpr int kMaxPanels = Vec::kBf16MaxPanels;
  // Networks end in float results, mostly of one pixel.
  static constexpr bool kFastQuarters = kResult == 2;
  static constexpr int MaxPixels(int panels) {
    const int most = Vec::Bf16MaxPixels(panels);
    return kResult == 4 && most > 4 ? 4 : most;
  }
};
using KernelBf16 = KernelOfBf16<2>;
using KernelBf16F32 = KernelOfBf16<4>;

// ---- Loops. ----

// Where NR panels from `panel` on start their sums.
template <class K, int NR, bool kAdjust = K::kAdjustBias>
struct Biases {
  using Pointer = decltype(K::Bias(ConvArgs()));
  Pointer at[K::kPlanes];
  alignas(64) int32_t adjusted[K::kPlanes][kAdjust ? NR * kLanes : 1];

  OCTET_INLINE Biases(const ConvArgs& a, int panel) {
    at[0] = K::Bias(a) + panel * kLanes;
    if constexpr (K::kPlanes == 2) at[1] = K::LowBias(a) + panel * kLanes;
    if constexpr (kAdjust) {
      for (int p = 0; p < K::kPlanes; ++p) {
        for (int j = 0; j < NR; ++j) {
          K::AdjustBias(at[p] + j * kLanes, a.weights + (panel + j) * a.panel_bytes,
                        a.panel_bytes / K::kLineBytes, adjusted[p] + j * kLanes);
        }
        at[p] = adjusted[p];
      }
    }
  }
  Biases(const Biases&) = delete;
  Biases& operator=(const Biases&) = delete;
};

// The next MR pixels: where each plane of them is read, and their channel written.
template <class K, int MR>
struct TilePlaces {
  const uint8_t* in[MR * K::kPlanes];
  uint8_t* out[MR];
  const uint8_t* res[MR];

  TilePlaces() = default;
  OCTET_INLINE TilePlaces(const ConvArgs& a, const Geometry& g, int channel, Cursor& c) {
    OCTET_KEEP_LOOP for (int i = 0; i < MR; ++i) {
      in[i * K::kPlanes] = c.in;
      if constexpr (K::kPlanes == 2) in[i * 2 + 1] = c.in + a.in_plane;
      out[i] = c.out + channel * K::kOutputBytes;
      res[i] = c.res + channel * K::kOutputBytes;
      c.Next(g);
    }
  }
};

// The same where time counts more than size: pixels of one row are as far from each other. 5 % of a
// layer with 64 input channels.
template <class K, int MR>
OCTET_INLINE TilePlaces<K, MR> NextPlaces(const ConvArgs& a, const Geometry& g, int channel,
                                          Cursor& c) {
  static_assert(K::kPlanes == 1);
  if (c.x + MR > g.w) return TilePlaces<K, MR>(a, g, channel, c);
  TilePlaces<K, MR> at;
  OCTET_UNROLL for (int i = 0; i < MR; ++i) {
    at.in[i] = c.in + i * g.in_pixel;
    at.out[i] = c.out + channel * K::kOutputBytes + i * g.out_pixel;
    at.res[i] = c.res + channel * K::kOutputBytes + i * g.res_pixel;
  }
  c.in += (MR - 1) * g.in_pixel;
  c.out += (MR - 1) * g.out_pixel;
  c.res += (MR - 1) * g.res_pixel;
  c.x += MR - 1;
  c.Next(g);
  return at;
}

// Of weights in a panel: a step of four bytes of depth each.
template <class K>
OCTET_INLINE int64_t Lines(const ConvArgs& a) {
  return int64_t{a.taps} * a.depth * K::kInputBytes / 4;
}

// Where the inputs of an output channel's group begin in a pixel; of the last channel's for those
// behind it.
OCTET_INLINE ptrdiff_t GroupPlace(const ConvArgs& a, int channel) {
  return (channel < a.out_c ? channel : a.out_c - 1) / a.group_outputs * a.group_bytes;
}

// How far behind the inputs of `channel` those of channel `next` are; 0 where they are in the same
// line of the cache, or the same.
OCTET_INLINE ptrdiff_t NextInputs(const ConvArgs& a, int channel, int next) {
  const ptrdiff_t place = GroupPlace(a, channel), next_place = GroupPlace(a, next);
  return place / 64 == next_place / 64 ? 0 : next_place - place;
}

// Those of the next group are too far apart for the processor to see them coming: without this,
// 56x56 by 256 channels in groups of 8 at a stride of 2 take 1.67 ms instead of 0.63 in floats.
template <int N>
OCTET_INLINE void FetchInputs(const uint8_t* const (&in)[N], ptrdiff_t k) {
  OCTET_UNROLL for (int i = 0; i < N; ++i) __builtin_prefetch(in[i] + k);
}

// ---- Tiles whose pixels end one after the other. ----

// While results are scaled, rounded and stored, nothing is multiplied: with 64 input channels for a
// third of the time. Here half of a tile's pixels are some steps ahead. When they end, the others
// still multiply, and while those end, the next tile begins. The steps ahead are the same ones, of
// which the others are behind, so that sums are in another order: this is for integers.
template <class K, int MR, int NR, bool kResidual>
class StaggeredTiles {
 public:
  // With 2 and 3 steps layers take as long, with 4 and more longer: their weights come from memory.
  static constexpr int kAhead = 2;

  // As RunTiles, of whose first run of taps there are kAhead steps or more.
  static OCTET_NOINLINE void Run(const ConvArgs& a, const Geometry& g, Cursor& cursor,
                                 int64_t first_tile, int64_t tiles, int panel,
                                 const uint8_t* weights, const uint8_t* next_weights,
                                 int fetch_step, int tap_run) {
    const int channel = panel * kLanes;
    const ptrdiff_t run_bytes = static_cast<ptrdiff_t>(a.depth) * K::kInputBytes * tap_run;
    const int64_t lines = Lines<K>(a), panel_bytes = lines * K::kLineBytes;
    const Biases<K, NR> bias(a, panel);
    Cursor c = cursor;
    StaggeredTiles s(a, channel);
    // Before the first tile something is finished, too, for nothing.
    s.tile_.template InitPixels<kFirst, MR>(bias.at);
    uint8_t unused[NR * kLanes * K::kOutputBytes];
    Places before;
    OCTET_UNROLL for (int i = kFirst; i < MR; ++i) {
      before.out[i] = unused;
      before.res[i] = c.res;
    }
    for (int64_t t = 0; t < tiles; ++t) {
      const Places at = NextPlaces<K, MR>(a, g, channel, c);
      const uint8_t* fetch = next_weights + (first_tile + t) * lines * fetch_step;
      ptrdiff_t k = a.tap_offsets[0];
      // One pixel by itself, as registers would not suffice for more.
      s.template Finish<kFirst, kFirst + 1>(before);
      s.tile_.template InitPixels<0, kFirst>(bias.at);
      s.template Begin<0, kFirst, kFirst + 1, MR>(at.in, k, weights, panel_bytes, before);
      s.tile_.template InitPixels<kFirst, MR>(bias.at);
      const uint8_t* w = weights + kAhead * K::kLineBytes;
      k += 4 * kAhead;
      for (int tap = 0;;) {
        for (const ptrdiff_t end = a.tap_offsets[tap] + run_bytes; k != end; k += 4) {
          __builtin_prefetch(fetch, 0, 2);
          fetch += fetch_step;
          s.tile_.Step(at.in, k, w, panel_bytes);
          w += K::kLineBytes;
        }
        tap += tap_run;
        if (tap >= a.taps) break;
        k = a.tap_offsets[tap];
      }
      s.template Finish<0, 1>(at);
      s.template Begin<kFirst, MR, 1, kFirst>(at.in, a.tap_offsets[0], weights, panel_bytes, at);
      OCTET_UNROLL for (int i = kFirst; i < MR; ++i) {
        before.out[i] = at.out[i];
        before.res[i] = at.res[i];
      }
    }
    s.template Finish<kFirst, MR>(before);
    cursor = c;
  }

 private:
  static constexpr int kFirst = (MR + 1) / 2;  // So many pixels are ahead.
  using Places = TilePlaces<K, MR>;
  using TileType = typename K::template TileType<MR, NR>;
  template <int kCount>
  using Numbers = std::make_integer_sequence<int, kCount>;

  OCTET_INLINE StaggeredTiles(const ConvArgs& a, int channel) : a_(a), channel_(channel) {}

  // Makes of a sum what it is in steps of the output, in the same register: with others g++ 12
  // copies sums through memory. Behind the last sum of a pixel its results are stored.
  template <int kPixel, int kPanel, class V = Vec>
  OCTET_INLINE void FinishSum(const Places& at) {
    auto& sums = tile_.acc[kPixel];
    using Sum = decltype(tile_.Get(0, 0));
    sums[kPanel] = __builtin_bit_cast(
        Sum, K::template Scaled<kResidual>(a_, channel_, tile_, at.res, kPixel, kPanel));
    V::Pin(sums[kPanel]);
    if constexpr (kPanel == NR - 1) {
      Vec::F32 v[NR];
      OCTET_UNROLL for (int j = 0; j < NR; ++j) v[j] = __builtin_bit_cast(Vec::F32, sums[j]);
      Vec::StoreU8<NR>(at.out[kPixel], v, a_.out_zero);
    }
  }

  // Numbers of sums and of steps are in types, as g++ 12 leaves sums in memory that a loop finds by
  // their number.
  template <int kBegin, int... kSum>
  OCTET_INLINE void Finish(const Places& at, std::integer_sequence<int, kSum...>) {
    (FinishSum<(kBegin + kSum) / NR, (kBegin + kSum) % NR>(at), ...);
  }
  template <int kBegin, int kEnd>
  OCTET_INLINE void Finish(const Places& at) {
    Finish<kBegin * NR>(at, Numbers<(kEnd - kBegin) * NR>());
  }

  // The first steps of pixels [kBegin, kEnd), between which pixels [kDone, kDoneEnd) are finished.
  template <int kBegin, int kEnd, int kDone, int kDoneEnd, int kStep = 0>
  OCTET_INLINE void Begin(const uint8_t* const (&in)[MR], ptrdiff_t k, const uint8_t* w,
                          int64_t panel_bytes, const Places& done) {
    constexpr int kPixels = kEnd - kBegin, kSums = (kDoneEnd - kDone) * NR / (kAhead * kPixels);
    static_assert(kSums * kAhead * kPixels == (kDoneEnd - kDone) * NR);
    // Half of the weights, as registers are needed for what is finished.
    typename TileType::template Lines<NR / 2> held;
    TileType::LoadLines(w, panel_bytes, held);
    StepPixels<kBegin, kDone * NR + kStep * kPixels * kSums, kSums>(in, k, held, w, panel_bytes,
                                                                    done, Numbers<kPixels>());
    if constexpr (kStep + 1 < kAhead) {
      Begin<kBegin, kEnd, kDone, kDoneEnd, kStep + 1>(in, k + 4, w + K::kLineBytes, panel_bytes,
                                                      done);
    }
  }
  template <int kBegin, int kSum, int kSums, int... kPixel>
  OCTET_INLINE void StepPixels(const uint8_t* const (&in)[MR], ptrdiff_t k,
                               const typename TileType::template Lines<NR / 2>& held,
                               const uint8_t* w, int64_t panel_bytes, const Places& done,
                               std::integer_sequence<int, kPixel...>) {
    ((tile_.StepPixel(kBegin + kPixel, in[kBegin + kPixel] + k, held, w, panel_bytes),
      Finish<kSum + kPixel * kSums>(done, Numbers<kSums>())),
     ...);
  }

  const ConvArgs& a_;
  const int channel_;
  TileType tile_;
};

// `tiles` tiles of MR pixels from `cursor` on, for panels [panel, panel + NR) with their weights at
// `weights`; the first is tile number `first_tile`. Each step of a tile fetches into the L2 cache
// from the weights at `next_weights`, `fetch_step` bytes further each time: weights stream from
// memory once an inference, and the tiles of one group of panels leave ample time to fetch the next
// group.
template <class K, int MR, int NR>
OCTET_NOINLINE void RunTiles(const ConvArgs& a, const Geometry& g, Cursor& cursor,
                             int64_t first_tile, int64_t tiles, int panel, const uint8_t* weights,
                             const uint8_t* next_weights, int fetch_step, int tap_run,
                             Ending ending) {
  const int channel = panel * kLanes;
  const ptrdiff_t run_bytes = static_cast<ptrdiff_t>(a.depth) * K::kInputBytes * tap_run;
  if constexpr (kStaggered<K, MR, NR>) {
    using Plain = StaggeredTiles<K, MR, NR, false>;
    using Residual = StaggeredTiles<K, MR, NR, true>;
    if (ending == Ending::kSaturating && run_bytes >= 4 * Plain::kAhead) {
      const auto run = a.residual != nullptr ? &Residual::Run : &Plain::Run;
      return run(a, g, cursor, first_tile, tiles, panel, weights, next_weights, fetch_step,
                 tap_run);
    }
  }
  const int64_t lines = Lines<K>(a), panel_bytes = lines * K::kLineBytes;
  const ptrdiff_t next_group = NextInputs(a, channel, channel + NR * kLanes);
  using TileType = typename K::template TileType<MR * K::kPlanes, NR>;
  const Biases<K, NR> bias(a, panel);
  Cursor c = cursor;
  for (int64_t t = 0; t < tiles; ++t) {
    const TilePlaces<K, MR> at(a, g, channel, c);
    const uint8_t* fetch = next_weights + (first_tile + t) * lines * fetch_step;
    TileType tile;
    tile.Init(bias.at);
    const uint8_t* w = weights;
    for (int tap = 0; tap < a.taps; tap += tap_run) {
      ptrdiff_t k = a.tap_offsets[tap];
      const ptrdiff_t end = k + run_bytes;
      if (next_group != 0) FetchInputs(at.in, k + next_group);
      if constexpr (TileType::kWide) {
        for (; end - k >= 16; k += 16) {
          OCTET_UNROLL for (int s = 0; s < 4; ++s) {
            __builtin_prefetch(fetch, 0, 2);
            fetch += fetch_step;
          }
          tile.WideStep(at.in, k, w, panel_bytes);
          w += 4 * K::kLineBytes;
        }
        if (k == end) continue;
      }
      do {
        __builtin_prefetch(fetch, 0, 2);
        fetch += fetch_step;
        tile.Step(at.in, k, w, panel_bytes);
        w += K::kLineBytes;
        k += 4;
      } while (k != end);
    }
    FinishPixels<K, MR, NR>(a, channel, tile, at.out, at.res, ending);
  }
  cursor = c;
}

using RunTilesFn = void (*)(const ConvArgs&, const Geometry&, Cursor&, int64_t, int64_t, int,
                            const uint8_t*, const uint8_t*, int, int, Ending);

// RunTiles for 1..N pixels.
template <class K, int NR, class Sequence>
struct TileRow;
template <class K, int NR, int... I>
struct TileRow<K, NR, std::integer_sequence<int, I...>> {
  static constexpr RunTilesFn kRun[] = {&RunTiles<K, I + 1, NR>...};
};

template <class K, int NR>
RunTilesFn PickTile(int pixels, int panels) {
  if constexpr (NR > 1) {
    if (panels < NR) return PickTile<K, NR - 1>(pixels, panels);
  }
  return TileRow<K, NR, std::make_integer_sequence<int, K::MaxPixels(NR)>>::kRun[pixels - 1];
}

// Taps that follow each other in memory without a gap, as those of a kernel row do when pixels have
// no padding channels, are one longer tap. The length of such runs if all have the same, else 1.
OCTET_INLINE int TapRun(const ConvArgs& a, int element_bytes) {
  const int64_t depth_bytes = static_cast<int64_t>(a.depth) * element_bytes;
  int run = 1;
  while (run < a.taps && a.tap_offsets[run] == a.tap_offsets[run - 1] + depth_bytes) ++run;
  if (a.taps % run != 0) return 1;
  for (int tap = run; tap < a.taps; ++tap) {
    if (tap % run != 0 && a.tap_offsets[tap] != a.tap_offsets[tap - 1] + depth_bytes) return 1;
  }
  return run;
}

// Weights of 16 bits are widened once for a block of pixels instead of in every tile, which took
// 1.11 times as long as fp32 for a ResNet-50 with AVX2: where a block is of so many tiles,
constexpr int64_t kWidenedTiles = 3;
// and as many panels fit ConvArgs::scratch.
struct Widened {
  bool all = false;     // Panels from `first` on at a time, once for all blocks.
  bool filled = false;  // They are there.
  int first = 0;
};

// Where panels [panel, next) are as floats, null where they stay what they are.
template <class K>
const uint8_t* Widen(const ConvArgs& a, const Widened& widened, int64_t tiles, int panel,
                     int next) {
  const int64_t lines = (next - panel) * Lines<K>(a), bytes = Lines<K>(a) * 64;
  if (a.scratch == nullptr ||
      (!widened.all && (tiles < kWidenedTiles || lines * 64 > kConvScratchBytes)))
    return nullptr;
  uint8_t* const floats = a.scratch + (widened.all ? (panel - widened.first) * bytes : 0);
  if (widened.filled) return floats;
  const uint8_t* const halves = a.weights + panel * a.panel_bytes;
  for (int64_t line = 0; line < lines; ++line) {
    Vec::StoreF32(reinterpret_cast<float*>(floats + line * 64),
                  Vec::DepthwiseF16::LoadWeights(halves + line * 32));
  }
  return floats;
}

// The pixels from `start` on by panels [panel_begin, panel_end), which all read the same input; of
// `later` panels behind them the weights are fetched.
template <class K>
void RunPanels(const ConvArgs& a, const Geometry& g, const Cursor& start, int64_t pixels,
               int panel_begin, int panel_end, int later, int tap_run, Ending ending,
               [[maybe_unused]] const Widened& widened) {
  const int panels = panel_end - panel_begin;
  const int parts = static_cast<int>(PartCount(panels, K::kMaxPanels));
  for (int part = 0; part < parts; ++part) {
    const int panel = panel_begin + panels * part / parts;
    const int next = panel_begin + panels * (part + 1) / parts;
    const int after = part + 1 < parts ? panel_begin + panels * (part + 2) / parts : next + later;
    // Equal tiles up to one pixel, so that no tile is too small to hide the latency of its
    // accumulators.
    const bool wholes = K::kPanelPixels > 0 && next - panel == 1;
    const int64_t whole_tiles = wholes ? pixels / K::kPanelPixels : 0;
    const int64_t rest = pixels - whole_tiles * K::kPanelPixels;
    const int64_t rest_tiles = PartCount(rest, K::MaxPixels(next - panel));
    const int64_t tiles = whole_tiles + rest_tiles;
    const uint8_t* const next_weights = a.weights + next * a.panel_bytes;
    // Bytes further at each step of a tile: the next panels come evenly spread over the tiles.
    const int fetch_step =
        static_cast<int>(PartCount(K::kLineBytes * int64_t{after - next}, tiles));
    Cursor cursor = start;
    const uint8_t* weights = nullptr;
    RunTilesFn (*pick)(int, int) = &PickTile<K, K::kMaxPanels>;
    if constexpr (K::kHalf) {
      weights = Widen<K>(a, widened, tiles, panel, next);
      if (weights != nullptr) pick = &PickTile<KernelF32, K::kMaxPanels>;
    }
    if (weights == nullptr) weights = a.weights + panel * a.panel_bytes;
    if constexpr (K::kPanelPixels > 0) {
      if (whole_tiles > 0) {
        RunTiles<K, K::kPanelPixels, 1>(a, g, cursor, 0, whole_tiles, panel, weights, next_weights,
                                        fetch_step, tap_run, ending);
      }
      if (rest == 0) continue;
    }
    const int small = static_cast<int>(rest / rest_tiles);
    const int64_t large_tiles = rest % rest_tiles;
    if (large_tiles > 0) {
      pick(small + 1, next - panel)(a, g, cursor, whole_tiles, large_tiles, panel, weights,
                                    next_weights, fetch_step, tap_run, ending);
    }
    pick(small, next - panel)(a, g, cursor, whole_tiles + large_tiles, rest_tiles - large_tiles,
                              panel, weights, next_weights, fetch_step, tap_run, ending);
  }
}

// What the quarters of a panel read of which several groups have some.
enum class Quarters {
  kFours,   // Groups of 4 inputs and outputs: one behind the other.
  kEights,  // Of 8, where the instruction set has a way of its own.
  kHalves,  // Two the same.
  kAny,
};

// `tiles` tiles of MR pixels by one panel, of whose channels several groups have some.
template <class K, int MR, Quarters kQuarters>
OCTET_NOINLINE void RunGroupTiles(const ConvArgs& a, const Geometry& g, Cursor& cursor,
                                  int64_t tiles, int panel, Ending ending) {
  const int channel = panel * kLanes;
  ptrdiff_t from[4];
  // What stands behind the last channel has weights of 0.
  for (int q = 0; q < 4; ++q) from[q] = GroupPlace(a, channel + 4 * q);
  const ptrdiff_t tap_bytes = static_cast<ptrdiff_t>(a.depth) * K::kInputBytes;
  const ptrdiff_t next_group = NextInputs(a, channel, channel + kLanes);
  const Biases<K, 1> bias(a, panel);
  Cursor c = cursor;
  for (int64_t t = 0; t < tiles; ++t) {
    const TilePlaces<K, MR> at(a, g, channel, c);
    GroupTile<typename K::Group, MR * K::kPlanes> tile;
    tile.Init(bias.at);
    const uint8_t* w = a.weights + panel * a.panel_bytes;
    for (int tap = 0; tap < a.taps; ++tap) {
      const ptrdiff_t begin = a.tap_offsets[tap];
      if (next_group != 0) FetchInputs(at.in, begin + from[0] + next_group);
      if constexpr (kQuarters == Quarters::kFours || kQuarters == Quarters::kEights) {
        constexpr bool kEights = kQuarters == Quarters::kEights;
        tile.template StepTap<kEights>(at.in, begin + from[0], w, K::kLineBytes);
        w += K::Group::kFours * (kEights ? 2 : 1) * K::kLineBytes;
      } else {
        for (ptrdiff_t k = begin; k != begin + tap_bytes; k += 4) {
          tile.template Step<kQuarters == Quarters::kHalves>(at.in, k, from, w);
          w += K::kLineBytes;
        }
      }
    }
    FinishPixels<K, MR, 1>(a, channel, tile, at.out, at.res, ending);
  }
  cursor = c;
}

template <class Group>
constexpr bool kHasEights = requires(const uint8_t* p) {
  Group::template LoadEights<0>(p);
};

// The Mac of kernels that compute groups of 4 and 8 side by side, whose input is 64 bytes of a
// pixel as they are.
template <class K>
struct AcrossOf {};
#ifdef OCTET_SIDE_BY_SIDE
template <>
struct AcrossOf<KernelU8U8> : Vec::AcrossU8 {};
#endif
#ifdef OCTET_SIDE_BY_SIDE_BF16
template <>
struct AcrossOf<KernelBf16> : Vec::AcrossBf16 {};
#endif
template <class K>
constexpr bool kHasAcross = requires {
  typename AcrossOf<K>::Order;
};

template <class K>
constexpr int kGroupPixels = K::Group::kPixels / K::kPlanes;

template <class K>
void RunGroups(const ConvArgs& a, const Geometry& g, const Cursor& start, int64_t pixels, int panel,
               Ending ending) {
  constexpr int kPixels = kGroupPixels<K>;
  // Twice as many inputs leave registers for half as many sums.
  constexpr int kFewer = (kPixels + 1) / 2;
  Cursor cursor = start;
  const bool whole = (panel + 1) * kLanes <= a.out_c;
  // Groups of 4 and of 8 have ways of their own, but where they are computed side by side.
  constexpr Quarters kOfEights =
      kHasAcross<K> || !kHasEights<typename K::Group> ? Quarters::kHalves : Quarters::kEights;
  if constexpr (K::kFastQuarters) {
    const auto run = [&]<Quarters kQuarters>() {
      RunGroupTiles<K, kPixels, kQuarters>(a, g, cursor, pixels / kPixels, panel, ending);
      pixels %= kPixels;
    };
    if (!kHasAcross<K> && whole && a.group_outputs == 4 && a.depth == 4) {
      if constexpr (!kHasAcross<K>) run.template operator()<Quarters::kFours>();
    } else if (whole && a.group_outputs == 8 && a.depth == 8) {
      run.template operator()<kOfEights>();
    } else if (a.group_outputs % 8 == 0) {
      run.template operator()<Quarters::kHalves>();
    }
  }
  RunGroupTiles<K, kFewer, Quarters::kAny>(a, g, cursor, pixels / kFewer, panel, ending);
  RunGroupTiles<K, 1, Quarters::kAny>(a, g, cursor, pixels % kFewer, panel, ending);
}

// ---- Small groups side by side. ----

// The input of AcrossOf is that of several groups; a lane has one of the parts of four bytes that a
// group's consist of. Output number r of all of them is one sum, whose line of weights has the
// weights of every group's output r, so that no input is repeated and none permuted. At the end the
// parts of each group are added.
template <class K, int kGroup>
struct SideBySide {
  using Across = AcrossOf<K>;
  static constexpr int kChannels = 64 / K::kInputBytes, kPanels = kChannels / kLanes;
  static constexpr int kParts = kGroup * K::kInputBytes / 4;
  static constexpr int kMostTaps = 9;
  using Bias = Across::Bias;

  alignas(64) uint8_t weights[kMostTaps * kGroup * 64];  // [tap][r], a lane for each part.
  alignas(64) Bias bias[kGroup * kLanes];                // [r]
  // Of the added sums, register by register.
  alignas(64) float multiplier[kPanels * kLanes];
  Across::Order order;

  // Of channels [channel, channel + kChannels).
  SideBySide(const ConvArgs& a, int channel) {
    for (int r = 0; r < kGroup; ++r) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const int part = lane % kParts, c = channel + lane / kParts * kGroup + r;
        const uint8_t* from = a.weights + c / kLanes * a.panel_bytes + part * 64 + c % kLanes * 4;
        for (int tap = 0; tap < a.taps; ++tap, from += kParts * 64)
          __builtin_memcpy(weights + (tap * kGroup + r) * 64 + lane * 4, from, 4);
        bias[r * kLanes + lane] = part == 0 ? K::Bias(a)[c] : 0;
      }
    }
    for (int i = 0; i < kChannels; ++i) {
      const int at = Channel(i / kLanes, i % kLanes);
      if constexpr (K::kOutputBytes == 1) multiplier[i] = a.multiplier[channel + at];
      order.Set(at, i / kLanes, i % kLanes);
    }
  }

  // Of which channel the result in a lane of a register is: Sum adds the parts of as many sums as
  // there are parts.
  static constexpr int Channel(int reg, int lane) {
    constexpr int kGroups = 4 / kParts;  // In 128 bits.
    const int r = reg * kParts + lane % 4 / kGroups;
    return kGroup * (lane / 4 * kGroups + lane % 4 % kGroups) + r;
  }

  template <class T>
  static OCTET_INLINE auto Sum(const T& tile, int i, int reg) {
    if constexpr (kParts == 1) {
      return tile.Get(i, reg);
    } else if constexpr (kParts == 2) {
      return Across::AddPairs(tile.Get(i, 2 * reg), tile.Get(i, 2 * reg + 1));
    } else {
      static_assert(kParts == 4);
      return Across::AddPairs(Across::AddPairs(tile.Get(i, 4 * reg), tile.Get(i, 4 * reg + 1)),
                              Across::AddPairs(tile.Get(i, 4 * reg + 2), tile.Get(i, 4 * reg + 3)));
    }
  }

  // `tiles` tiles of MR pixels.
  template <int MR>
  OCTET_NOINLINE void Run(const ConvArgs& a, const Geometry& g, Cursor& cursor, int64_t tiles,
                          int channel) const {
    Cursor c = cursor;
    const ptrdiff_t place = static_cast<ptrdiff_t>(channel) * K::kInputBytes;
    const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
    const Bias* const biases[] = {bias};
    for (int64_t t = 0; t < tiles; ++t) {
      const TilePlaces<K, MR> at = NextPlaces<K, MR>(a, g, channel, c);
      Tile<Across, MR, kGroup> tile;
      tile.Init(biases);
      const uint8_t* w = weights;
      for (int tap = 0; tap < a.taps; ++tap) {
        const ptrdiff_t k = a.tap_offsets[tap] + place;
        FetchInputs(at.in, k + 64);
        typename Across::Input x[MR];
        OCTET_UNROLL for (int i = 0; i < MR; ++i) x[i] = Across::LoadInput(at.in[i] + k);
        OCTET_UNROLL for (int r = 0; r < kGroup; ++r, w += 64) {
          const typename Across::Weights line = Across::LoadWeights(w);
          OCTET_UNROLL for (int i = 0; i < MR; ++i) Across::MulAdd(tile.acc[i][r], x[i], line);
        }
      }
      OCTET_UNROLL for (int i = 0; i < MR; ++i) {
        Vec::F32 v[kPanels];
        OCTET_UNROLL for (int reg = 0; reg < kPanels; ++reg) {
          if constexpr (K::kOutputBytes == 1) {
            v[reg] =
                Vec::Mul(Vec::ToFloat(Sum(tile, i, reg)), Vec::LoadF32(multiplier + reg * kLanes));
          } else {
            v[reg] = Vec::Min(Vec::Max(Sum(tile, i, reg), low), high);
          }
        }
        order.Store(at.out[i], v, a.out_zero);
      }
    }
    cursor = c;
  }
};

template <class K, int kGroup>
OCTET_NOINLINE void RunSideBySide(const ConvArgs& a, const Geometry& g, const Cursor& start,
                                  int64_t pixels, int channel) {
  using Groups = SideBySide<K, kGroup>;
  const Groups groups(a, channel);
  constexpr int kPixels = kGroup == 4 ? 6 : 3;  // With 24 sums.
  Cursor cursor = start;
  groups.template Run<kPixels>(a, g, cursor, pixels / kPixels, channel);
  groups.template Run<1>(a, g, cursor, pixels % kPixels, channel);
}

// How many panels are computed side by side, or 0.
template <class K>
int PanelsSideBySide(const ConvArgs& a, int panel, int panel_end, Ending ending) {
  if constexpr (kHasAcross<K>) {
    using Groups = SideBySide<K, 4>;
    const int panels = Groups::kPanels;
    if ((a.group_outputs == 4 || a.group_outputs == 8) && a.depth == a.group_outputs &&
        a.taps <= Groups::kMostTaps && a.residual == nullptr && panel + panels <= panel_end &&
        (panel + panels) * kLanes <= a.out_c && (!K::kSaturates || ending == Ending::kSaturating))
      return panels;
  }
  return 0;
}

template <class K>
void Conv(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
          int panel_end) {
  const int64_t pixels = pixel_end - pixel_begin;
  if (pixels <= 0 || panel_end <= panel_begin) return;
  const Geometry g(a);
  const int tap_run = TapRun(a, K::kInputBytes);
  const Ending ending = EndingOf<K>(a, panel_begin, panel_end);
  const bool whole_panels = a.group_outputs % kLanes == 0;
  const int group_panels = whole_panels ? a.group_outputs / kLanes : 1;
  const int64_t blocks = PartCount(pixels, a.pixel_block);
  Widened widened;
  widened.first = panel_begin;
  widened.all = blocks > 1 && (panel_end - panel_begin) * Lines<K>(a) * 64 <= kConvScratchBytes;
  // Blocks of whole tiles.
  const int tile = whole_panels
                       ? K::MaxPixels(group_panels < K::kMaxPanels ? group_panels : K::kMaxPanels)
                       : kGroupPixels<K>;
  for (int64_t block = 0, begin = 0, end; block < blocks; ++block, begin = end) {
    end = block + 1 < blocks ? pixels * (block + 1) / blocks / tile * tile : pixels;
    if (begin == end) continue;  // Of fewer pixels than a tile.
    const Cursor start(a, g, pixel_begin + begin);
    for (int panel = panel_begin, next; panel < panel_end; panel = next) {
      const int channel = panel * kLanes;
      const ptrdiff_t place = GroupPlace(a, channel);
      if (!whole_panels && place != GroupPlace(a, channel + kLanes - 1)) {
        if constexpr (kHasAcross<K>) {
          if (const int panels = PanelsSideBySide<K>(a, panel, panel_end, ending); panels > 0) {
            (a.group_outputs == 4 ? RunSideBySide<K, 4>
                                  : RunSideBySide<K, 8>)(a, g, start, end - begin, channel);
            next = panel + panels;
            continue;
          }
        }
        if constexpr (K::kQuarters) RunGroups<K>(a, g, start, end - begin, panel, ending);
        next = panel + 1;
        continue;
      }
      // Two of three panels of groups of 24 are of one group as well.
      const int group_end = (panel / group_panels + 1) * group_panels;
      next = group_end < panel_end ? group_end : panel_end;
      Cursor of_group = start;
      of_group.in += place;
      const int left = panel_end - next, most = next - panel;
      RunPanels<K>(a, g, of_group, end - begin, panel, next, left < most ? left : most, tap_run,
                   ending, widened);
    }
    widened.filled = widened.all;
  }
}

// ---- Depthwise: lanes are channels, weights [c/16][tap][16]. ----

// Sums tap by tap.
struct ByTaps {
  template <class Mac, int MR>
  static OCTET_INLINE void Add(const ConvArgs& a, const uint8_t* const (&in)[MR], ptrdiff_t channel,
                               const uint8_t* w, Tile<Mac, MR, 1>& tile) {
    for (int tap = 0; tap < a.taps; ++tap) {
      tile.Step(in, a.tap_offsets[tap] + channel, w, 0);
      w += kLanes * Mac::kWeightBytes;
    }
  }
};

// Pixels of one row, by a window of kSize columns: inputs that several of the pixels have in common
// are loaded once.
template <int kSize, int kStride>
struct ByColumns {
  template <class Mac, int MR>
  static OCTET_INLINE void Add(const ConvArgs& a, const uint8_t* const (&in)[MR], ptrdiff_t channel,
                               const uint8_t* w, Tile<Mac, MR, 1>& tile) {
    const ptrdiff_t column = a.tap_offsets[1] - a.tap_offsets[0];
    for (int tap = 0; tap < a.taps; tap += kSize) {
      const uint8_t* const row = in[0] + a.tap_offsets[tap] + channel;
      typename Mac::Weights held[kSize];
      OCTET_UNROLL for (int k = 0; k < kSize; ++k) {
        held[k] = Mac::LoadWeights(w);
        w += kLanes * Mac::kWeightBytes;
      }
      OCTET_UNROLL for (int x = 0; x < (MR - 1) * kStride + kSize; ++x) {
        const typename Mac::Input v = Mac::LoadInput(row + x * column);
        OCTET_UNROLL for (int k = 0; k < kSize; ++k) {
          if (x >= k && (x - k) % kStride == 0 && (x - k) / kStride < MR)
            Mac::MulAdd(tile.acc[(x - k) / kStride][0], v, held[k]);
        }
      }
    }
  }
};

template <class K, class Mac, int MR, class Sums>
OCTET_NOINLINE void DepthwiseTiles(const ConvArgs& a, const Geometry& g, Cursor& cursor,
                                   int64_t tiles, int panel_begin, int panel_end, Ending ending) {
  Cursor c = cursor;
  for (int64_t t = 0; t < tiles; ++t) {
    const TilePlaces<K, MR> at(a, g, 0, c);
    for (int panel = panel_begin; panel < panel_end; ++panel) {
      const int channel = panel * kLanes;
      const ptrdiff_t out_bytes = static_cast<ptrdiff_t>(channel) * K::kOutputBytes;
      Tile<Mac, MR * K::kPlanes, 1> tile;
      tile.Init(Biases<K, 1, false>(a, panel).at);  // Its products take activations as they are.
      Sums::Add(a, at.in, static_cast<ptrdiff_t>(channel) * K::kInputBytes,
                a.weights + panel * a.panel_bytes, tile);
      uint8_t* out[MR];
      const uint8_t* res[MR];
      OCTET_UNROLL for (int i = 0; i < MR; ++i) {
        out[i] = at.out[i] + out_bytes;
        res[i] = at.res[i] + out_bytes;
      }
      FinishPixels<K, MR, 1>(a, channel, tile, out, res, ending);
    }
  }
  cursor = c;
}

using DepthwiseFn = void (*)(const ConvArgs&, const Geometry&, Cursor&, int64_t, int, int, Ending);

// The function for windows of three or five columns whose taps are as far apart, or null.
template <class K, class Mac, int MR>
DepthwiseFn PickColumns(const ConvArgs& a) {
  const int size = a.taps == 9 ? 3 : a.taps == 25 ? 5 : 0;
  if (size == 0) return nullptr;
  const ptrdiff_t column = a.tap_offsets[1] - a.tap_offsets[0];
  for (int tap = 0; tap < a.taps; ++tap) {
    if (a.tap_offsets[tap] - a.tap_offsets[tap / size * size] != tap % size * column)
      return nullptr;
  }
  if (a.in_pixel_step == column) {
    return size == 3 ? &DepthwiseTiles<K, Mac, MR, ByColumns<3, 1>>
                     : &DepthwiseTiles<K, Mac, MR, ByColumns<5, 1>>;
  }
  if (a.in_pixel_step == 2 * column) {
    return size == 3 ? &DepthwiseTiles<K, Mac, MR, ByColumns<3, 2>>
                     : &DepthwiseTiles<K, Mac, MR, ByColumns<5, 2>>;
  }
  return nullptr;
}

// One pixel x one panel at a time would wait for its own sum at every tap; four sums in turn share
// each line of weights.
template <class K, class Mac, class V = Vec>
void Depthwise(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
               int panel_end) {
  if (pixel_end <= pixel_begin) return;
  const Geometry g(a);
  Cursor c(a, g, pixel_begin);
  const Ending ending = EndingOf<K>(a, panel_begin, panel_end);
  constexpr int kPixels = 4 / K::kPlanes;
  const auto some = [&](int64_t pixels) {
    DepthwiseTiles<K, Mac, kPixels, ByTaps>(a, g, c, pixels / kPixels, panel_begin, panel_end,
                                            ending);
    DepthwiseTiles<K, Mac, 1, ByTaps>(a, g, c, pixels % kPixels, panel_begin, panel_end, ending);
  };
  int64_t left = pixel_end - pixel_begin;
  // Of bytes and of bfloat16, which are widened after each load. Floats gain nothing.
  constexpr int kInRow = K::kPlanes == 1 && K::kInputBytes < 4 ? V::kDepthwisePixels : 0;
  if constexpr (kInRow > 0) {
    const DepthwiseFn columns = PickColumns<K, Mac, kInRow>(a);
    for (int64_t pixels; columns != nullptr && left > 0; left -= pixels) {
      pixels = g.w - c.x < left ? g.w - c.x : left;
      columns(a, g, c, pixels / kInRow, panel_begin, panel_end, ending);
      some(pixels % kInRow);
    }
  }
  some(left);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_CONV_IMPL_H_
