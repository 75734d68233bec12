// AVX-512 with VNNI: a panel line is one register. With OCTET_AVX512BF16 defined (and the compiler
// allowed to) products of bfloat16 are vdpbf16ps, else floats. With OCTET_EMULATE_AVX512 defined,
// the same source over the intrinsics of portable/emulated_avx512.h: tiles, tails and epilogues are
// then tested on machines without the instructions.
#ifndef OCTET_KERNELS_X86_AVX512VNNI_VEC_H_
#define OCTET_KERNELS_X86_AVX512VNNI_VEC_H_

#ifdef OCTET_EMULATE_AVX512
#include "kernels/portable/emulated_avx512.h"
#else
#include <immintrin.h>
#endif

#include <cstring>
#include <type_traits>
#include <utility>

#include "kernels/kernel_table.h"
#include "kernels/portable/tile.h"

#define OCTET_WINOGRAD      // The operations of portable/winograd_impl.h are here.
#define OCTET_SIDE_BY_SIDE  // And those of portable/side_by_side.h.

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

#ifndef OCTET_EMULATE_AVX512
using V128 = __m128i;
using V256 = __m256i;
using V512 = __m512i;
using V512F = __m512;

OCTET_INLINE V128 LoadV128(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
OCTET_INLINE V256 LoadV256(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
OCTET_INLINE void StoreV128(void* p, V128 v) { _mm_storeu_si128(static_cast<__m128i*>(p), v); }
OCTET_INLINE void StoreV256(void* p, V256 v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }

// Assembly because g++ 12 copies the accumulator before and after every _mm512_dpbusd_epi32 in an
// unrolled loop.
OCTET_INLINE void Vpdpbusd(V512& acc, V512 a, V512 w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(w));
}
// Weights lie anywhere, which is what __m512i_u says.
OCTET_INLINE void VpdpbusdMemory(V512& acc, V512 a, const uint8_t* w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "m"(*reinterpret_cast<const __m512i_u*>(w)));
}
// Pairs of 16-bit values.
OCTET_INLINE void Vpdpwssd(V512& acc, V512 a, V512 w) {
  asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(w));
}
OCTET_INLINE void VpdpwssdMemory(V512& acc, V512 a, const uint8_t* w) {
  asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "m"(*reinterpret_cast<const __m512i_u*>(w)));
}
OCTET_INLINE void FmaBroadcast(V512F& acc, V512F a, const uint8_t* x) {
  asm("vfmadd231ps %2%{1to16%}, %1, %0"
      : "+v"(acc)
      : "v"(a), "m"(*reinterpret_cast<const float*>(x)));
}
#ifdef OCTET_AVX512BF16
OCTET_INLINE V256 Vcvtneps2bf16(V512F v) { return (__m256i)_mm512_cvtneps_pbh(v); }
OCTET_INLINE V512 Vcvtne2ps2bf16(V512F upper, V512F lower) {
  return (__m512i)_mm512_cvtne2ps_pbh(upper, lower);
}
// Pairs of bfloat16.
OCTET_INLINE void Vdpbf16ps(V512F& acc, V512 a, V512 w) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(w));
}
OCTET_INLINE void Vdpbf16psMemory(V512F& acc, V512 a, const uint8_t* w) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "m"(*reinterpret_cast<const __m512i_u*>(w)));
}
#endif
#else
OCTET_INLINE void FmaBroadcast(V512F& acc, V512F a, const uint8_t* x) {
  float value;
  std::memcpy(&value, x, 4);
  acc = _mm512_fmadd_ps(a, _mm512_set1_ps(value), acc);
}
OCTET_INLINE void VpdpbusdMemory(V512& acc, V512 a, const uint8_t* w) {
  Vpdpbusd(acc, a, _mm512_loadu_si512(w));
}
OCTET_INLINE void VpdpwssdMemory(V512& acc, V512 a, const uint8_t* w) {
  Vpdpwssd(acc, a, _mm512_loadu_si512(w));
}
#ifdef OCTET_AVX512BF16
OCTET_INLINE void Vdpbf16psMemory(V512F& acc, V512 a, const uint8_t* w) {
  Vdpbf16ps(acc, a, _mm512_loadu_si512(w));
}
#endif
#endif

// A tile of one panel. Loading an input for each product is as much as a core does, two a cycle;
// here one load gives a pixel's inputs of four lines, of which each is a shuffle within 128 bits.
template <class Mac, int MR>
struct PanelTile : Tile<Mac, MR, 1> {
  static constexpr bool kWide = true;

  OCTET_INLINE void WideStep(const uint8_t* const (&p)[MR], ptrdiff_t k, const uint8_t* w,
                             int64_t) {
    V512 x[MR];
    OCTET_UNROLL for (int i = kLoaded; i < MR; ++i) x[i] =
        _mm512_broadcast_i32x4(LoadV128(p[i] + k));
    Lines(p, k, x, w, std::make_integer_sequence<int, 4>());
  }

 private:
  template <int... kLine>
  OCTET_INLINE void Lines(const uint8_t* const (&p)[MR], ptrdiff_t k, const V512 (&x)[MR],
                          const uint8_t* w, std::integer_sequence<int, kLine...>) {
    (Line<kLine>(p, k + kLine * 4, x, w + kLine * 64), ...);
  }
  template <int kLine>
  OCTET_INLINE void Line(const uint8_t* const (&p)[MR], ptrdiff_t k, const V512 (&x)[MR],
                         const uint8_t* w) {
    const typename Mac::Weights held = Mac::LoadWeights(w);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      if (i < kLoaded) {
        Mac::MulAdd(this->acc[i][0], Mac::LoadInput(p[i] + k), held);
      } else {
        Mac::MulAdd(this->acc[i][0], Mac::template Lane<kLine>(x[i]), held);
      }
    }
  }
  // Shuffles take turns with products at the same ports: so many are loaded, 3 to 5 % less than
  // none.
  static constexpr int kLoaded = MR / 3;
};

// Where each word of a register comes from: word i / 2, in odd places `kOdd` behind it.
template <int kOdd>
struct WordOrder {
  alignas(64) uint16_t order[32];
  constexpr WordOrder() : order() {
    for (int i = 0; i < 32; ++i) order[i] = static_cast<uint16_t>(i / 2 + i % 2 * kOdd);
  }
};
inline constexpr WordOrder<0> kUpperHalves;
#ifdef OCTET_AVX512BF16
#define OCTET_WINOGRAD_PAIRS
inline constexpr WordOrder<16> kInterleave;  // The lower half to even places, the upper to odd.
#endif

struct Vec {
  using I32 = V512;
  using F32 = V512F;

  static OCTET_INLINE F32 SplatF32(float x) { return _mm512_set1_ps(x); }
  static OCTET_INLINE I32 SplatI32(int32_t x) { return _mm512_set1_epi32(x); }
  static OCTET_INLINE F32 LoadF32(const float* p) { return _mm512_loadu_ps(p); }
  static OCTET_INLINE I32 LoadI32(const int32_t* p) { return _mm512_loadu_si512(p); }
  static OCTET_INLINE void StoreF32(float* p, F32 v) { _mm512_storeu_ps(p, v); }
  // Two floats stand in a dword as bfloat16; kOdd is the upper one.
  template <int kOdd>
  static OCTET_INLINE F32 HalfOf(V512 pairs) {
    return _mm512_castsi512_ps(
        kOdd ? _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000)))
             : _mm512_slli_epi32(pairs, 16));
  }
  // To the upper halves of dwords: one permutation instead of widening and a shift.
  static OCTET_INLINE F32 LoadBf16(const uint8_t* p) {
    const V512 bits = _mm512_castsi256_si512(LoadV256(p));
    const V512 order = _mm512_loadu_si512(kUpperHalves.order);
    return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xAAAAAAAA, order, bits));
  }
#ifdef OCTET_AVX512BF16
  // Numbers below 2^-126 become 0.
  static OCTET_INLINE void StoreBf16(uint8_t* p, F32 v) { StoreV256(p, Vcvtneps2bf16(v)); }
#else
  // Rounded to nearest even. There is no NaN behind Min and Max.
  static OCTET_INLINE void StoreBf16(uint8_t* p, F32 v) {
    const V512 bits = _mm512_castps_si512(v);
    const V512 odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const V512 rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    StoreV256(p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
  }
#endif
#ifdef OCTET_AVX512BF16
  // 32 bfloat16 as floats, those in even and those in odd places.
  struct Pairs {
    F32 even, odd;
  };
  static OCTET_INLINE Pairs LoadPairs(const uint8_t* p) { return PairsOf(_mm512_loadu_si512(p)); }
  static OCTET_INLINE void StorePairs(uint8_t* p, const Pairs& v) {
    _mm512_storeu_si512(p, RoundPairs(v));
  }
  // 16 of them; lanes behind are any.
  static OCTET_INLINE Pairs LoadHalfPairs(const uint8_t* p) {
    return PairsOf(_mm512_castsi256_si512(LoadV256(p)));
  }
  static OCTET_INLINE void StoreHalfPairs(uint8_t* p, const Pairs& v) {
    StoreV256(p, _mm512_castsi512_si256(RoundPairs(v)));
  }
  static OCTET_INLINE Pairs PairsOf(V512 pairs) { return {HalfOf<0>(pairs), HalfOf<1>(pairs)}; }
  static OCTET_INLINE V512 RoundPairs(const Pairs& v) {
    const V512 order = _mm512_loadu_si512(kInterleave.order);
    return _mm512_permutexvar_epi16(order, Vcvtne2ps2bf16(v.odd, v.even));
  }
#endif
  static OCTET_INLINE I32 WidenU8(const uint8_t* p) { return _mm512_cvtepu8_epi32(LoadV128(p)); }
  static OCTET_INLINE F32 ToFloat(I32 v) { return _mm512_cvtepi32_ps(v); }
  static OCTET_INLINE I32 Round(F32 v) { return _mm512_cvtps_epi32(v); }
  static OCTET_INLINE I32 OrDifferent(I32 any, I32 a, I32 b) {
    return _mm512_ternarylogic_epi32(any, a, b, 0xF6);
  }
  static OCTET_INLINE bool Any(I32 v) { return _mm512_test_epi32_mask(v, v) != 0; }
  static OCTET_INLINE F32 WithSign(F32 v, F32 sign) {
    const V512 bit = _mm512_set1_epi32(INT32_MIN);
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(_mm512_castps_si512(v), _mm512_castps_si512(sign), bit, 0xF8));
  }
  static OCTET_INLINE I32 Sub(I32 a, I32 b) { return _mm512_sub_epi32(a, b); }
  static OCTET_INLINE void Carry(I32& high, I32& low) {
    high = _mm512_add_epi32(high, _mm512_srai_epi32(low, 8));
    low = _mm512_and_si512(low, _mm512_set1_epi32(255));
  }
  static OCTET_INLINE F32 Add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
  static OCTET_INLINE F32 Mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
  static OCTET_INLINE F32 MulAddF32(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
  static constexpr bool kRoundsToZero = true;
  // The last bit shows that what is cut off was not 0, as if it were always so.
  static OCTET_INLINE F32 MulAddToOdd(F32 a, F32 b, F32 c) {
    const F32 cut = _mm512_fmadd_round_ps(a, b, c, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(cut), _mm512_set1_epi32(1)));
  }
  static OCTET_INLINE F32 SubF32(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
  static OCTET_INLINE F32 Min(F32 a, F32 b) { return _mm512_min_ps(a, b); }
  static OCTET_INLINE F32 Max(F32 a, F32 b) { return _mm512_max_ps(a, b); }
  static OCTET_INLINE F32 MaxNumber(F32 a, F32 b) { return Max(a, b); }

  // For Winograd: 32-bit arithmetic that wraps, and 16 lanes of 16 bits.
  static OCTET_INLINE I32 AddI32(I32 a, I32 b) { return _mm512_add_epi32(a, b); }
  static OCTET_INLINE I32 MulLow(I32 a, int32_t b) {
    return _mm512_mullo_epi32(a, _mm512_set1_epi32(b));
  }
  template <int N>
  static OCTET_INLINE I32 ShiftLeft(I32 a) {
    return _mm512_slli_epi32(a, N);
  }
  template <int N>
  static OCTET_INLINE I32 ShiftRight(I32 a) {
    return _mm512_srai_epi32(a, N);
  }
  static OCTET_INLINE void StoreI32(int32_t* p, I32 v) { _mm512_storeu_si512(p, v); }
  using I16 = V256;
  static OCTET_INLINE I16 AddI16(I16 a, I16 b) { return _mm256_add_epi16(a, b); }
  static OCTET_INLINE I16 SubI16(I16 a, I16 b) { return _mm256_sub_epi16(a, b); }
  template <int N>
  static OCTET_INLINE I16 ShiftLeftI16(I16 a) {
    return _mm256_slli_epi16(a, N);
  }
  static OCTET_INLINE void WidenU8ToI16(const uint8_t* p, I16* v) {
    *v = _mm256_cvtepu8_epi16(LoadV128(p));
  }
  static OCTET_INLINE void StoreI16(uint8_t* p, I16 v) { StoreV256(p, v); }
  // 9 tiles of 128 channels: 34.7 us, direct 27.5 us; 16 of 256: 202 and 216 us. 64 tiles of 16
  // channels: 8.1 and 6.8 us; 100 of 32: 26.5 and 28.1 us; 16 of 32: 5.2 and 5.05 us. In groups,
  // which transform inputs for themselves: 49 tiles of 4 groups of 64 channels 166 us, direct 217
  // us; of 8 of 32 111 and 117 us; of 4 of 16 31 and 17 us.
  static constexpr WinogradLimit kWinogradLimit = {16, 32, 64};
#ifdef OCTET_AVX512BF16
  // vdpbf16ps multiplies twice as many numbers as the floats of Winograd's products: measured by
  // layers in kernels/README.md. In groups: 49 tiles of 8 groups of 32 channels 177 us, direct 227
  // us; 16 of 5 of 48 by 2x2 69 and 78 us; 49 of 4 of 16 38 and 31 us.
  static constexpr WinogradLimit kBf16WinogradLimit = {16, 16, 32};
  static constexpr WinogradLimit kWinograd2x2Limit = {16, 128, 48};
#else
  static constexpr WinogradLimit kBf16WinogradLimit = {0, 0, 0};  // As floats.
#endif
  static constexpr bool kFusedWinograd = true;
  // 32 lanes of 16 bits.
  using WideI16 = V512;
  static OCTET_INLINE void WidenU8ToI16(const uint8_t* p, WideI16* v) {
    *v = _mm512_cvtepu8_epi16(LoadV256(p));
  }
  static OCTET_INLINE void StoreI16(uint8_t* p, WideI16 v) { _mm512_storeu_si512(p, v); }
  static OCTET_INLINE I32 AddI16(I32 a, I32 b) { return _mm512_add_epi16(a, b); }
  static OCTET_INLINE I32 SubI16(I32 a, I32 b) { return _mm512_sub_epi16(a, b); }
  template <int N>
  static OCTET_INLINE I32 ShiftLeftI16(I32 a) {
    return _mm512_slli_epi16(a, N);
  }
  // Bytes 2*kPair and 2*kPair + 1 of each dword, signed.
  template <int kPair>
  static OCTET_INLINE I32 WidenPairs(const uint8_t* p) {
    // To the upper byte of each word, then down with the sign.
    const V512 order = _mm512_loadu_si512(kPairShuffles.order[kPair]);
    return _mm512_srai_epi16(_mm512_shuffle_epi8(_mm512_loadu_si512(p), order), 8);
  }

  // Rounds N panels of one pixel to nearest even, adds the zero point and stores N*16 bytes. Four
  // registers are narrowed together into one line: three packs and one permutation instead of four
  // two-uop vpmovdb and four stores.
  template <int N>
  static OCTET_INLINE void StoreU8(uint8_t* out, const F32 (&v)[N], int32_t zero) {
    if constexpr (N == 1) {
      const I32 q = _mm512_add_epi32(_mm512_cvtps_epi32(v[0]), _mm512_set1_epi32(zero));
      StoreV128(out, _mm512_cvtusepi32_epi8(_mm512_max_epi32(q, _mm512_setzero_si512())));
    } else {
      StoreLanes<N>(out, PackU8<N>(v, zero));
    }
  }
  template <int N>
  static OCTET_INLINE V512 PackU8(const F32 (&v)[N], int32_t zero) {
    return InOrder(PackWithinLanes<N>(v, zero));
  }
  template <int N>
  static OCTET_INLINE V512 PackWithinLanes(const F32 (&v)[N], int32_t zero) {
    const V512 z = _mm512_set1_epi16(static_cast<int16_t>(zero));
    const I32 q0 = _mm512_cvtps_epi32(v[0]), q1 = _mm512_cvtps_epi32(v[1]);
    const I32 q2 = N > 2 ? _mm512_cvtps_epi32(v[N > 2 ? 2 : 0]) : q0;
    const I32 q3 = N > 3 ? _mm512_cvtps_epi32(v[N > 3 ? 3 : 0]) : N > 2 ? q2 : q1;
    const V512 low = _mm512_adds_epi16(_mm512_packs_epi32(q0, q1), z);
    const V512 high = N > 2 ? _mm512_adds_epi16(_mm512_packs_epi32(q2, q3), z) : low;
    return _mm512_packus_epi16(low, high);
  }

  // The same of one panel of four pixels.
  static constexpr bool kStoresPixels = true;
  static OCTET_INLINE void StorePixelsU8(uint8_t* const* out, const F32 (&v)[4], int32_t zero) {
    const V512 bytes = PackU8<4>(v, zero);
    StoreV128(out[0], _mm512_extracti32x4_epi32(bytes, 0));
    StoreV128(out[1], _mm512_extracti32x4_epi32(bytes, 1));
    StoreV128(out[2], _mm512_extracti32x4_epi32(bytes, 2));
    StoreV128(out[3], _mm512_extracti32x4_epi32(bytes, 3));
  }

  // The same as i16, whose zero point is 0, within +-32768.
  template <int N>
  static OCTET_INLINE void StoreI16Codes(uint8_t* out, int64_t plane, const F32 (&v)[N]) {
    const I32 q0 = _mm512_cvtps_epi32(v[0]), q1 = N > 1 ? _mm512_cvtps_epi32(v[N > 1 ? 1 : 0]) : q0;
    const I32 q2 = N > 2 ? _mm512_cvtps_epi32(v[N > 2 ? 2 : 0]) : q0;
    const I32 q3 = N > 3 ? _mm512_cvtps_epi32(v[N > 3 ? 3 : 0]) : N > 2 ? q2 : q1;
    const V512 first = _mm512_packs_epi32(q0, q1);
    const V512 second = N > 2 ? _mm512_packs_epi32(q2, q3) : first;
    const V512 low_byte = _mm512_set1_epi16(255), offset = _mm512_set1_epi16(128);
    const V512 high = _mm512_packus_epi16(_mm512_add_epi16(_mm512_srai_epi16(first, 8), offset),
                                          _mm512_add_epi16(_mm512_srai_epi16(second, 8), offset));
    const V512 low =
        _mm512_packus_epi16(_mm512_and_si512(first, low_byte), _mm512_and_si512(second, low_byte));
    StoreLanes<N>(out, InOrder(high));
    StoreLanes<N>(out + plane, InOrder(low));
  }

  // Packing works within 128-bit lanes: dword 4*l + r of the result holds lanes 4*l..4*l+3 of
  // register r.
  static OCTET_INLINE V512 InOrder(V512 packed) {
    const V512 order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, packed);
  }
  template <int N>
  static OCTET_INLINE void StoreLanes(uint8_t* out, V512 bytes) {
    if constexpr (N == 1) {
      StoreV128(out, _mm512_extracti32x4_epi32(bytes, 0));
    } else if constexpr (N == 4) {
      _mm512_storeu_si512(out, bytes);
    } else {
      StoreV256(out, _mm512_castsi512_si256(bytes));
      if constexpr (N == 3) StoreV128(out + 32, _mm512_extracti32x4_epi32(bytes, 2));
    }
  }

  struct MacU8 {
    using Acc = I32;
    using Bias = int32_t;
    using Weights = V512;
    using Input = V512;
    static constexpr int kRegisters = 32, kRegistersPerAcc = 1;
    static constexpr bool kMemoryOperand = true;

    static OCTET_INLINE Acc LoadBias(const int32_t* p) { return LoadI32(p); }
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) { return _mm512_loadu_si512(w); }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) {
      int32_t group;
      std::memcpy(&group, p, 4);
      return _mm512_set1_epi32(group);
    }
    // Four lines' inputs, of which Lane gives one: dword kLane of each 128 bits.
    static OCTET_INLINE V512 LoadFour(const uint8_t* p) {
      return _mm512_broadcast_i32x4(LoadV128(p));
    }
    template <int kLane>
    static OCTET_INLINE Input Lane(V512 x) {
      return _mm512_shuffle_epi32(x, static_cast<_MM_PERM_ENUM>(kLane * 0x55));
    }
    static OCTET_INLINE void MulAdd(Acc& acc, Input a, Weights w) { Vpdpbusd(acc, a, w); }
    static OCTET_INLINE void MulAddMemory(Acc& acc, Input a, const uint8_t* w) {
      VpdpbusdMemory(acc, a, w);
    }
  };
  template <int MR, int NR>
  using IntTile = std::conditional_t<NR == 1, PanelTile<MacU8, MR>, Tile<MacU8, MR, NR>>;
  static constexpr bool kSignedInput = false;
  static constexpr int kIntMaxPanels = 4;
  static constexpr int IntMaxPixels(int panels) { return panels == 4 ? 7 : panels > 1 ? 8 : 10; }
  // The epilogue of one panel is the larger part the fewer pixels there are: 32x32 by 16 channels
  // 5.9 us with 10.
  static constexpr bool kQuads = true;
  static constexpr int StaggeredPixels(int panels) {
    return panels == 4 ? 7 : panels == 2 ? 14 : 0;
  }
  // Where a value is computed: g++ 12 puts that off until it is used.
  template <class T>
  static OCTET_INLINE void Pin([[maybe_unused]] T& v) {
#ifndef OCTET_EMULATE_AVX512
    asm("" : "+v"(v));
#endif
  }

  // Pairs of 16-bit values, for Winograd.
  struct MacI16 : MacU8 {
    static OCTET_INLINE Acc Zero() { return _mm512_setzero_si512(); }
    static OCTET_INLINE void MulAdd(Acc& acc, Input a, Weights w) { Vpdpwssd(acc, a, w); }
    static OCTET_INLINE void MulAddMemory(Acc& acc, Input a, const uint8_t* w) {
      VpdpwssdMemory(acc, a, w);
    }
  };

  struct MacF32 {
    using Acc = F32;
    using Bias = float;
    using Weights = F32;
    using Input = F32;
    static constexpr int kRegisters = 32, kRegistersPerAcc = 1;
    static constexpr bool kMemoryOperand = true;

    static OCTET_INLINE Acc LoadBias(const float* p) { return LoadF32(p); }
    static OCTET_INLINE Acc Zero() { return _mm512_setzero_ps(); }
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) { return _mm512_loadu_ps(w); }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) {
      float x;
      std::memcpy(&x, p, 4);
      return _mm512_set1_ps(x);
    }
    template <int kLane>
    static OCTET_INLINE Input Lane(V512 x) {
      return _mm512_permute_ps(_mm512_castsi512_ps(x), kLane * 0x55);
    }
    static OCTET_INLINE void MulAdd(Acc& acc, Input a, Weights w) {
      acc = _mm512_fmadd_ps(a, w, acc);
    }
    static OCTET_INLINE void MulAddMemory(Acc& acc, Input a, const uint8_t* w) {
      acc = _mm512_fmadd_ps(a, _mm512_loadu_ps(w), acc);
    }
    static OCTET_INLINE void MulAddBroadcast(Acc& acc, Weights w, const uint8_t* p) {
      FmaBroadcast(acc, w, p);
    }
  };
  struct MacF16 : MacF32 {
    static constexpr bool kMemoryOperand = false;
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
      return _mm512_cvtph_ps(LoadV256(w));
    }
    static OCTET_INLINE void MulAddMemory(Acc&, Input, const uint8_t*) {}
  };
  template <class Mac, int MR, int NR>
  using FloatTile = std::conditional_t<NR == 1 && std::is_same_v<Mac, MacF32>, PanelTile<Mac, MR>,
                                       Tile<Mac, MR, NR>>;
  // Wide float tiles stream four times the weights of integer ones; 9 x 2 needs the fewest of them
  // for each product.
  static constexpr int kFloatMaxPanels = 2;
  static constexpr int FloatMaxPixels(int) { return 9; }

  // One of the two elements of depth in each dword of weights and of input.
  template <int kOdd>
  struct MacBf16 : MacF32 {
    static constexpr bool kMemoryOperand = false;
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
      return HalfOf<kOdd>(_mm512_loadu_si512(w));
    }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) {
      return HalfOf<kOdd>(MacU8::LoadInput(p));
    }
  };
#ifdef OCTET_AVX512BF16
  // Both at once. Lines are as those of u8, and so are the tiles.
  struct MacBf16Pair : MacF32 {
    using Weights = V512;
    using Input = V512;
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) { return _mm512_loadu_si512(w); }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return MacU8::LoadInput(p); }
    template <int kLane>
    static OCTET_INLINE Input Lane(V512 x) {
      return MacU8::Lane<kLane>(x);
    }
    static OCTET_INLINE void MulAdd(Acc& acc, Input a, Weights w) { Vdpbf16ps(acc, a, w); }
    static OCTET_INLINE void MulAddMemory(Acc& acc, Input a, const uint8_t* w) {
      Vdpbf16psMemory(acc, a, w);
    }
  };
  template <int MR, int NR>
  using Bf16Tile =
      std::conditional_t<NR == 1, PanelTile<MacBf16Pair, MR>, Tile<MacBf16Pair, MR, NR>>;
  static constexpr int kBf16MaxPanels = kIntMaxPanels;
  // Of one panel: a sum waits longer for itself than those of bytes do, so that more are in turn.
  // Groups of 16 in 14x14 maps 82 us, 105 with 10 pixels.
  static constexpr int kBf16PanelPixels = 14;
  static constexpr int Bf16MaxPixels(int panels) {
    return panels == 1 ? kBf16PanelPixels : IntMaxPixels(panels);
  }
#else
  template <int MR, int NR>
  using Bf16Tile = PairTile<MacBf16<0>, MacBf16<1>, MR, NR>;
  static constexpr int kBf16MaxPanels = kFloatMaxPanels;
  static constexpr int Bf16MaxPixels(int panels) { return FloatMaxPixels(panels); }
#endif

  // Depthwise: lanes are channels of input and weights alike. Maps of 112 to 7 pixels have whole
  // tiles of 7.
  static constexpr int kDepthwisePixels = 7;
  struct DepthwiseU8 : MacU8 {
    static constexpr int kWeightBytes = 1;
    static constexpr bool kMemoryOperand = false;
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
      return _mm512_cvtepi8_epi32(LoadV128(w));
    }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return WidenU8(p); }
    // The upper half of an input lane is 0.
    static OCTET_INLINE void MulAdd(Acc& acc, Input a, Weights w) { Vpdpwssd(acc, a, w); }
  };
  struct DepthwiseF32 : MacF32 {
    static constexpr int kWeightBytes = 4;
    static constexpr bool kMemoryOperand = false;
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return _mm512_loadu_ps(p); }
  };
  struct DepthwiseF16 : MacF16 {
    static constexpr int kWeightBytes = 2;
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return _mm512_loadu_ps(p); }
  };
  struct DepthwiseBf16 : DepthwiseF32 {
    static constexpr int kWeightBytes = 2;
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) { return LoadBf16(w); }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return LoadBf16(p); }
  };

  // Grouped: loads under a mask put a quarter's inputs into its lanes.
  struct GroupU8 : MacU8 {
    static constexpr int kPixels = 8, kFours = 1;
    using Inputs = V512;
    template <bool kHalves>
    static OCTET_INLINE Inputs LoadInputs(const uint8_t* p, const ptrdiff_t (&from)[4]) {
      const Inputs a =
          _mm512_mask_mov_epi32(LoadInput(p + from[0]), 0xFF00, LoadInput(p + from[2]));
      if constexpr (kHalves) return a;
      return _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(a, 0x00F0, LoadInput(p + from[1])), 0xF000,
                                   LoadInput(p + from[3]));
    }
    template <int>
    static OCTET_INLINE Inputs LoadFours(const uint8_t* p) {
      return Quarters<0, 1, 2, 3>(_mm512_castsi128_si512(LoadV128(p)));
    }
    template <int kLine>
    static OCTET_INLINE Inputs LoadEights(const uint8_t* p) {
      return Quarters<kLine, kLine, kLine + 2, kLine + 2>(_mm512_castsi128_si512(LoadV128(p)));
    }
    // These dwords, one for each quarter.
    template <int kFirst, int kSecond, int kThird, int kFourth>
    static OCTET_INLINE V512 Quarters(V512 dwords) {
      const V512 each =
          _mm512_setr_epi32(kFirst, kFirst, kFirst, kFirst, kSecond, kSecond, kSecond, kSecond,
                            kThird, kThird, kThird, kThird, kFourth, kFourth, kFourth, kFourth);
      return _mm512_permutexvar_epi32(each, dwords);
    }
  };

  // Small groups side by side. AddPairs: of both in turn the sums of two neighboring lanes, within
  // 128 bits.
  struct AcrossU8 : MacU8 {
    static OCTET_INLINE I32 AddPairs(I32 a, I32 b) {
      const F32 x = _mm512_castsi512_ps(a), y = _mm512_castsi512_ps(b);
      return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(x, y, 0x88)),
                              _mm512_castps_si512(_mm512_shuffle_ps(x, y, 0xDD)));
    }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return _mm512_loadu_si512(p); }
    // Where each channel's result is: registers are packed within 128 bits, of whose channels they
    // have all.
    struct Order {
      alignas(64) uint8_t order[64];
      void Set(int channel, int reg, int lane) {
        order[channel] = static_cast<uint8_t>(reg * 4 + lane % 4);
      }
      OCTET_INLINE void Store(uint8_t* out, const F32 (&v)[4], int32_t zero, Stored) const {
        _mm512_storeu_si512(
            out, _mm512_shuffle_epi8(PackWithinLanes<4>(v, zero), _mm512_loadu_si512(order)));
      }
    };
  };
#ifdef OCTET_AVX512BF16
#define OCTET_SIDE_BY_SIDE_BF16
  struct AcrossBf16 : MacBf16Pair {
    static OCTET_INLINE F32 AddPairs(F32 a, F32 b) {
      return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xDD));
    }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return _mm512_loadu_si512(p); }
    struct Order {
      alignas(64) uint16_t order[32];
      void Set(int channel, int reg, int lane) {
        order[channel] = static_cast<uint16_t>(reg * kLanes + lane);
      }
      OCTET_INLINE void Store(uint8_t* out, const F32 (&v)[2], int32_t, Stored stored) const {
        const V512 bits =
            _mm512_permutexvar_epi16(_mm512_loadu_si512(order), Vcvtne2ps2bf16(v[1], v[0]));
        if (stored != Stored::kSecond) StoreV256(out, _mm512_castsi512_si256(bits));
        if (stored != Stored::kFirst) StoreV256(out + 32, _mm512_extracti32x8_epi32(bits, 1));
      }
    };
  };
  struct AcrossBf16F32 : AcrossBf16 {
    struct Order {
      alignas(64) int32_t order[32];
      void Set(int channel, int reg, int lane) { order[channel] = reg * kLanes + lane; }
      OCTET_INLINE void Store(uint8_t* out, const F32 (&v)[2], int32_t, Stored stored) const {
        float* const to = reinterpret_cast<float*>(out);
        if (stored != Stored::kSecond) StoreF32(to, Lanes(v, order));
        if (stored != Stored::kFirst) StoreF32(to + kLanes, Lanes(v, order + kLanes));
      }
      static OCTET_INLINE F32 Lanes(const F32 (&v)[2], const int32_t* from) {
        return _mm512_permutex2var_ps(v[0], _mm512_loadu_si512(from), v[1]);
      }
    };
  };
#endif
  template <class Mac>
  struct GroupFloat : Mac {
    static constexpr int kPixels = 8, kFours = 4;
    using Inputs = F32;
    template <bool kHalves>
    static OCTET_INLINE Inputs LoadInputs(const uint8_t* p, const ptrdiff_t (&from)[4]) {
      const Inputs a =
          _mm512_mask_mov_ps(Mac::LoadInput(p + from[0]), 0xFF00, Mac::LoadInput(p + from[2]));
      if constexpr (kHalves) return a;
      return _mm512_mask_mov_ps(_mm512_mask_mov_ps(a, 0x00F0, Mac::LoadInput(p + from[1])), 0xF000,
                                Mac::LoadInput(p + from[3]));
    }
    template <int kLine>
    static OCTET_INLINE Inputs LoadFours(const uint8_t* p) {
      return _mm512_permute_ps(_mm512_loadu_ps(p), kLine * 0x55);
    }
    // The first or the second four of both groups, twice each; then one of the four in all lanes.
    template <int kLine>
    static OCTET_INLINE Inputs LoadEights(const uint8_t* p) {
      const F32 x = _mm512_loadu_ps(p);
      return _mm512_permute_ps(_mm512_shuffle_f32x4(x, x, kLine < 4 ? 0xA0 : 0xF5),
                               kLine % 4 * 0x55);
    }
  };
  using GroupF32 = GroupFloat<MacF32>;
  using GroupF16 = GroupFloat<MacF16>;
#ifdef OCTET_AVX512BF16
  // As bytes, four at a time.
  struct GroupBf16 : MacBf16Pair {
    static constexpr int kPixels = kBf16PanelPixels;
    using Inputs = V512;
    template <bool kHalves>
    static OCTET_INLINE Inputs LoadInputs(const uint8_t* p, const ptrdiff_t (&from)[4]) {
      return GroupU8::LoadInputs<kHalves>(p, from);
    }
    static constexpr int kFours = 2;
    template <int kLine>
    static OCTET_INLINE Inputs LoadFours(const uint8_t* p) {
      return GroupU8::Quarters<kLine, kLine + 2, kLine + 4, kLine + 6>(
          _mm512_castsi256_si512(LoadV256(p)));
    }
    template <int kLine>
    static OCTET_INLINE Inputs LoadEights(const uint8_t* p) {
      return GroupU8::Quarters<kLine, kLine, kLine + 4, kLine + 4>(
          _mm512_castsi256_si512(LoadV256(p)));
    }
  };
#else
  using GroupBf16 = PairGroup<GroupFloat<MacBf16<0>>, GroupFloat<MacBf16<1>>>;
#endif
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_AVX512VNNI_VEC_H_
