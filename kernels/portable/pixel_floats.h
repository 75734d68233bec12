// Pixels as vectors of floats: compilers make scalar code of the conversion from bytes.
#ifndef OCTET_KERNELS_PORTABLE_PIXEL_FLOATS_H_
#define OCTET_KERNELS_PORTABLE_PIXEL_FLOATS_H_

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstdint>
#include <cstring>

#include "kernels/portable/compiler.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

typedef float FourFloats __attribute__((vector_size(16)));
#if defined(__AVX512F__)
constexpr int kFloatLanes = 16;
#elif defined(__AVX2__)
constexpr int kFloatLanes = 8;
#else
constexpr int kFloatLanes = 4;
#endif
typedef float ManyFloats __attribute__((vector_size(4 * kFloatLanes)));

template <typename Vector>
OCTET_INLINE Vector LoadVector(const float* p) {
  Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

OCTET_INLINE FourFloats LoadFour(const float* p) { return LoadVector<FourFloats>(p); }

OCTET_INLINE FourFloats LoadFour(const uint8_t* p) {
  int32_t bytes;
  std::memcpy(&bytes, p, 4);
#if defined(__SSE4_1__)
  return (FourFloats)_mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes)));
#elif defined(__SSE2__)
  const __m128i zero = _mm_setzero_si128();
  const __m128i words = _mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), zero);
  return (FourFloats)_mm_cvtepi32_ps(_mm_unpacklo_epi16(words, zero));
#elif defined(__aarch64__)
  const uint16x8_t words = vmovl_u8(vreinterpret_u8_s32(vdup_n_s32(bytes)));
  return (FourFloats)vcvtq_f32_u32(vmovl_u16(vget_low_u16(words)));
#else
  return FourFloats{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]),
                    static_cast<float>(p[3])};
#endif
}

OCTET_INLINE ManyFloats LoadMany(const float* p) { return LoadVector<ManyFloats>(p); }

OCTET_INLINE ManyFloats LoadMany(const uint8_t* p) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return (ManyFloats)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
#elif defined(__AVX2__)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return (ManyFloats)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
#else
  return LoadFour(p);
#endif
}

// a * b + c, rounded once.
OCTET_INLINE float FusedMultiplyAdd(float a, float b, float c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(a, b, c);
#else
  // The product is exact in double, and so is the result unless the sum is a tie between floats
  // that had to be rounded itself.
  const double product = static_cast<double>(a) * b, sum = product + c;
  const auto bits = __builtin_bit_cast(int64_t, sum);
  if ((bits & 0x1fffffff) != 0x10000000) return static_cast<float>(sum);
  const double added = sum - product, error = (product - (sum - added)) + (c - added);
  const int64_t step = (error > 0.0) == (sum > 0.0) ? 1 : -1;
  return static_cast<float>(__builtin_bit_cast(double, error != 0.0 ? bits + step : bits));
#endif
}

OCTET_INLINE FourFloats FusedMultiplyAdd(FourFloats a, FourFloats b, FourFloats c) {
#if defined(__FMA__)
  return (FourFloats)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
#elif defined(__ARM_FEATURE_FMA)
  return (FourFloats)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  FourFloats result;
#ifdef __SSE2__
  const auto low = [](FourFloats v) { return _mm_cvtps_pd((__m128)v); };
  const auto high = [&](FourFloats v) {
    return low((FourFloats)_mm_movehl_ps((__m128)v, (__m128)v));
  };
  const __m128d sums[2] = {_mm_add_pd(_mm_mul_pd(low(a), low(b)), low(c)),
                           _mm_add_pd(_mm_mul_pd(high(a), high(b)), high(c))};
  result = (FourFloats)_mm_movelh_ps(_mm_cvtpd_ps(sums[0]), _mm_cvtpd_ps(sums[1]));
  const __m128i bits = _mm_castps_si128(
      _mm_shuffle_ps(_mm_castpd_ps(sums[0]), _mm_castpd_ps(sums[1]), _MM_SHUFFLE(2, 0, 2, 0)));
  const __m128i ties =
      _mm_cmpeq_epi32(_mm_and_si128(bits, _mm_set1_epi32(0x1fffffff)), _mm_set1_epi32(0x10000000));
  if (__builtin_expect(_mm_movemask_epi8(ties) == 0, true)) return result;
#endif
  for (int i = 0; i < 4; ++i) result[i] = FusedMultiplyAdd(a[i], b[i], c[i]);
  return result;
#endif
}
#ifdef __FMA__
OCTET_INLINE ManyFloats FusedMultiplyAdd(ManyFloats a, ManyFloats b, ManyFloats c) {
#ifdef __AVX512F__
  return (ManyFloats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#else
  return (ManyFloats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#endif
}
#endif

// The same value in each lane, also -0.
template <typename Vector>
OCTET_INLINE Vector SplatFloat(float v) {
  return v - Vector{};
}

// f(i, zero) for vectors of values i and on, and for the rest for single ones.
template <typename Function>
OCTET_INLINE void ForFloats(int64_t n, const Function& f) {
  int64_t i = 0;
#ifndef OCTET_PLAIN_PIXELS
  for (; i + kFloatLanes <= n; i += kFloatLanes) f(i, ManyFloats{});
#endif
  for (; i < n; ++i) f(i, 0.0f);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_PIXEL_FLOATS_H_
