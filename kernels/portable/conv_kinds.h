// What kernels of convolutions differ in: types, tiles, and what becomes of sums at the end.
// Included by conv_impl.h.
#ifndef OCTET_KERNELS_PORTABLE_CONV_KINDS_H_
#define OCTET_KERNELS_PORTABLE_CONV_KINDS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/fixed_point.h"
#include "kernels/portable/tile.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// The sums of a tile once more, for loops and lambdas that find them by their numbers: else
// g++ 12 has the tile's own in memory, where products are added to them as well. A ResNet-50 of
// 16-bit activations took 30.6 ms so instead of 15.9 (tests/lint/registers.py).
template <int MR, int NR, class Acc = Vec::I32>
struct TileSums {
  Acc at[MR * NR];

  template <class T>
  explicit OCTET_INLINE TileSums(const T& tile) {
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      OCTET_UNROLL for (int j = 0; j < NR; ++j) at[i * NR + j] = tile.Get(i, j);
    }
  }
  OCTET_INLINE const Acc& Get(int i, int j) const { return at[i * NR + j]; }
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

// Float results of integer sums, of which scaled(pixel, panel) is one without its bias.
template <bool kResidual, int MR, int NR, class F>
OCTET_INLINE void StoreFloats(const ConvArgs& a, int channel, uint8_t* const (&out)[MR],
                              const uint8_t* const (&res)[MR], const F& scaled) {
  const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
  OCTET_UNROLL for (int i = 0; i < MR; ++i) {
    OCTET_UNROLL for (int j = 0; j < NR; ++j) {
      Vec::F32 v = Vec::Add(scaled(i, j), Vec::LoadF32(a.float_bias + channel + j * kLanes));
      if constexpr (kResidual) {
        v = Vec::Add(v, Vec::LoadF32(reinterpret_cast<const float*>(res[i]) + j * kLanes));
      }
      v = Vec::Min(Vec::Max(v, low), high);
      Vec::StoreF32(reinterpret_cast<float*>(out[i]) + j * kLanes, v);
    }
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
  static constexpr bool kQuarters = true;  // Groups that are not whole panels, too.
  // Of layers within a network; what only ends one makes do with fewer ways to compute the same.
  static constexpr bool kInner = true;
  static constexpr bool kHalf = false;  // Weights of 16 bits.
  template <int MR, int NR>
  using TileType = Vec::IntTile<MR, NR>;
  static constexpr bool kAdjustBias = Vec::kSignedInput;
  static constexpr int kLineBytes = 64, kInputBytes = 1, kOutputBytes = 1;
  static constexpr bool kTakesReal = false, kSaturates = true;
  static constexpr int kPlanes = 1;  // Of bytes in a pixel's values: each has sums of its own.
  static constexpr int kMaxPanels = Vec::kIntMaxPanels;
  static constexpr bool kQuads = Vec::kQuads;  // Whether there are QuadTiles.
  // Of StaggeredTiles by so many panels, or 0.
  static constexpr int StaggeredPixels(int panels) { return Vec::StaggeredPixels(panels); }
  static constexpr int MaxPixels(int panels) { return Vec::IntMaxPixels(panels); }
  static const int32_t* Bias(const ConvArgs& a) { return a.bias; }
  template <class V = Vec>
  static OCTET_INLINE void AdjustBias(const int32_t* bias, const uint8_t* weights, int64_t lines,
                                      int32_t* adjusted) {
    V::AdjustBias(bias, weights, lines, adjusted);
  }

  // What 16 sums are in steps of the output.
  template <bool kResidual>
  static OCTET_INLINE Vec::F32 Scaled(const ConvArgs& a, Vec::I32 sum, const float* multiplier,
                                      const uint8_t* res) {
    // Separate operations in this order: kernels/README.md, the integer contract.
    Vec::F32 v = Vec::Mul(Vec::ToFloat(sum), Vec::LoadF32(multiplier));
    if constexpr (kResidual) {
      const Vec::I32 r = Vec::Sub(Vec::WidenU8(res), Vec::SplatI32(a.residual_zero));
      v = Vec::Add(v, Vec::Mul(Vec::ToFloat(r), Vec::SplatF32(a.residual_multiplier)));
    }
    return v;
  }
  // Of a pixel and a panel.
  template <bool kResidual, int MR, int NR>
  static OCTET_INLINE Vec::F32 ScaledOf(const ConvArgs& a, int channel,
                                        const TileSums<MR, NR>& sums,
                                        const uint8_t* const (&res)[MR], int i, int j) {
    return Scaled<kResidual>(a, sums.Get(i, j), a.multiplier + channel + j * kLanes,
                             res[i] + j * kLanes);
  }

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void Finish(const ConvArgs& a, int channel, const T& tile,
                                  uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR]) {
    const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
    const TileSums<MR, NR> sums(tile);
    StoreBytes<MR, NR>(a, out, [&](int i, int j) {
      return Vec::Min(Vec::Max(ScaledOf<kResidual>(a, channel, sums, res, i, j), low), high);
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
    const TileSums<MR, NR> sums(tile);
    StoreBytes<MR, NR>(
        a, out, [&](int i, int j) { return ScaledOf<kResidual>(a, channel, sums, res, i, j); });
  }
};

struct KernelU8F32 : KernelU8U8 {
  static constexpr bool kQuads = false;
  static constexpr int StaggeredPixels(int) { return 0; }
  static constexpr int kOutputBytes = 4;
  static constexpr bool kTakesReal = false, kSaturates = false;

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void Finish(const ConvArgs& a, int channel, const T& tile,
                                  uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR]) {
    const TileSums<MR, NR> sums(tile);
    StoreFloats<kResidual, MR, NR>(a, channel, out, res, [&](int i, int j) {
      return ScaledOf<false>(a, channel, sums, res, i, j);
    });
  }
};

// 16-bit activations: a pixel has two sums, those of its high and of its low bytes, over the same
// weights.
struct KernelI16 : KernelU8U8 {
  static constexpr bool kTakesReal = false, kSaturates = false;
  static constexpr int kPlanes = 2;
  static constexpr bool kQuads = false;
  static constexpr int StaggeredPixels(int) { return 0; }
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
    const TileSums<2 * MR, NR> sums(tile);
    OCTET_KEEP_LOOP for (int i = 0; i < MR; ++i) {
      OCTET_KEEP_LOOP for (int j = 0; j < NR; ++j) FinishReal(
          a, channel + j * kLanes, sums.Get(2 * i, j), sums.Get(2 * i + 1, j), out[i] + j * kLanes);
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
  static constexpr bool kInner = false;
  static constexpr int kOutputBytes = 4;

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void Finish(const ConvArgs& a, int channel, const T& tile,
                                  uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR]) {
    StoreFloats<kResidual, MR, NR>(a, channel, out, res,
                                   [&](int i, int j) { return Scaled(a, channel, tile, i, j); });
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
  static constexpr bool kQuarters = true, kInner = true;
  static constexpr bool kTakesReal = false, kSaturates = false;
  static constexpr int kPlanes = 1;
  static constexpr bool kQuads = false;
  static constexpr int StaggeredPixels(int) { return 0; }
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
  const TileSums<MR, NR, decltype(tile.Get(0, 0))> sums(tile);
  FinishStored<K, NR>(a, channel, sums.at, MR, out, res, ending);
}

// Whether a tile may be one of StaggeredTiles.
template <class K, int MR, int NR>
constexpr bool kStaggered = MR == K::StaggeredPixels(NR);

/// The epilogue of a tile, as EndingOf says.
template <class K, int MR, int NR, class T>
OCTET_INLINE void FinishPixels(const ConvArgs& a, int channel, const T& tile,
                               uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR],
                               [[maybe_unused]] Ending ending) {
  if constexpr (K::kSaturates) {
    // In registers, but for what StaggeredTiles leave, which is small depths, and for small tiles,
    // for the size of the library.
    if constexpr (!kStaggered<K, MR, NR> && (MR > 4 || NR == 1)) {
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
  static constexpr bool kInner = kResult == 2;
  static constexpr int MaxPixels(int panels) {
    const int most = Vec::Bf16MaxPixels(panels);
    return kResult == 4 && most > 4 ? 4 : most;
  }
};
using KernelBf16 = KernelOfBf16<2>;
using KernelBf16F32 = KernelOfBf16<4>;

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_CONV_KINDS_H_
