// What portable/xsimd_vec.h needs of SSE2, which every x86-64 processor has.
#ifndef OCTET_KERNELS_X86_SSE2_MACHINE_H_
#define OCTET_KERNELS_X86_SSE2_MACHINE_H_

#include <emmintrin.h>

#include <cstring>
#include <xsimd/xsimd.hpp>

#include "kernels/portable/compiler.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

struct Machine {
  using Arch = xsimd::sse2;
  using BatchF = xsimd::batch<float, Arch>;
  using BatchI = xsimd::batch<int32_t, Arch>;
  static constexpr int kIntPixels = 2, kFloatPixels = 2, kBf16Pixels = 2;
  static constexpr bool kSignedInput = false, kWideFloat = false;

  static OCTET_INLINE __m128i Load(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
  }
  static OCTET_INLINE void WidenU8(const uint8_t* p, BatchI (&out)[4]) {
    const __m128i zero = _mm_setzero_si128(), bytes = Load(p);
    const __m128i low = _mm_unpacklo_epi8(bytes, zero), high = _mm_unpackhi_epi8(bytes, zero);
    out[0] = _mm_unpacklo_epi16(low, zero);
    out[1] = _mm_unpackhi_epi16(low, zero);
    out[2] = _mm_unpacklo_epi16(high, zero);
    out[3] = _mm_unpackhi_epi16(high, zero);
  }
  static OCTET_INLINE void WidenI8(const uint8_t* p, BatchI (&out)[4]) {
    const __m128i zero = _mm_setzero_si128(), bytes = Load(p);
    const __m128i low = _mm_unpacklo_epi8(zero, bytes), high = _mm_unpackhi_epi8(zero, bytes);
    out[0] = _mm_srai_epi32(_mm_unpacklo_epi16(zero, low), 24);
    out[1] = _mm_srai_epi32(_mm_unpackhi_epi16(zero, low), 24);
    out[2] = _mm_srai_epi32(_mm_unpacklo_epi16(zero, high), 24);
    out[3] = _mm_srai_epi32(_mm_unpackhi_epi16(zero, high), 24);
  }
  static OCTET_INLINE void RoundAndStore(const BatchF (&v)[4], int32_t zero, uint8_t* out) {
    const __m128i z = _mm_set1_epi16(static_cast<short>(zero));
    const __m128i low = _mm_packs_epi32(_mm_cvtps_epi32(v[0]), _mm_cvtps_epi32(v[1]));
    const __m128i high = _mm_packs_epi32(_mm_cvtps_epi32(v[2]), _mm_cvtps_epi32(v[3]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                     _mm_packus_epi16(_mm_adds_epi16(low, z), _mm_adds_epi16(high, z)));
  }
  // Four halves. Shifted into place they are floats 2^112 too small, denormals included; infinities
  // and NaN apart.
  static OCTET_INLINE BatchF LoadHalf(const uint8_t* p) {
    const __m128i half = _mm_unpacklo_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)),
                                            _mm_setzero_si128());
    const __m128i sign = _mm_slli_epi32(_mm_and_si128(half, _mm_set1_epi32(0x8000)), 16);
    const __m128i rest = _mm_slli_epi32(_mm_and_si128(half, _mm_set1_epi32(0x7fff)), 13);
    const __m128 scaled = _mm_mul_ps(_mm_castsi128_ps(rest), _mm_set1_ps(0x1p112f));
    const __m128i special = _mm_cmpgt_epi32(rest, _mm_set1_epi32(0x0f7fffff));
    const __m128i exponent = _mm_and_si128(special, _mm_set1_epi32(0x7f800000));
    return _mm_or_ps(scaled, _mm_castsi128_ps(_mm_or_si128(sign, exponent)));
  }
  static OCTET_INLINE void LoadBf16(const uint8_t* p, BatchF (&out)[4]) {
    const __m128i zero = _mm_setzero_si128(), low = Load(p), high = Load(p + 16);
    out[0] = _mm_castsi128_ps(_mm_unpacklo_epi16(zero, low));
    out[1] = _mm_castsi128_ps(_mm_unpackhi_epi16(zero, low));
    out[2] = _mm_castsi128_ps(_mm_unpacklo_epi16(zero, high));
    out[3] = _mm_castsi128_ps(_mm_unpackhi_epi16(zero, high));
  }
  // The upper half, rounded to nearest even, with its sign. There is no NaN behind Min and Max.
  static OCTET_INLINE __m128i RoundToBf16(__m128 v) {
    const __m128i bits = _mm_castps_si128(v);
    const __m128i odd = _mm_and_si128(_mm_srli_epi32(bits, 16), _mm_set1_epi32(1));
    const __m128i rounded = _mm_add_epi32(_mm_add_epi32(bits, _mm_set1_epi32(0x7fff)), odd);
    return _mm_srai_epi32(rounded, 16);
  }
  static OCTET_INLINE void StoreBf16(const BatchF (&v)[4], uint8_t* out) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                     _mm_packs_epi32(RoundToBf16(v[0]), RoundToBf16(v[1])));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16),
                     _mm_packs_epi32(RoundToBf16(v[2]), RoundToBf16(v[3])));
  }
  // acc + a*b where a is in [0, 2^15) and b in [-2^15, 2^15).
  static OCTET_INLINE BatchI MulAddSmall(BatchI acc, BatchI a, BatchI b) {
    return _mm_add_epi32(acc, _mm_madd_epi16(a, b));
  }

  // Bytes in even and in odd places apart, as in avx2_vec.h.
  struct Products {
    struct Input {
      __m128i even, odd;
    };
    struct Part {
      __m128i even, odd;
    };
    static constexpr bool kWide = false;
    static OCTET_INLINE Input LoadInput(const uint8_t* p) {
      int32_t group;
      std::memcpy(&group, p, 4);
      const __m128i a = _mm_set1_epi32(group);
      return {_mm_and_si128(a, _mm_set1_epi16(255)), _mm_srli_epi16(a, 8)};
    }
    static OCTET_INLINE Part LoadPart(const uint8_t* w) {
      const __m128i part = Load(w);
      return {_mm_srai_epi16(_mm_slli_epi16(part, 8), 8), _mm_srai_epi16(part, 8)};
    }
    static OCTET_INLINE void MulAdd(BatchI& acc, Input a, Part w) {
      acc = _mm_add_epi32(
          acc, _mm_add_epi32(_mm_madd_epi16(a.even, w.even), _mm_madd_epi16(a.odd, w.odd)));
    }
  };
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_SSE2_MACHINE_H_
