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

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_PIXEL_FLOATS_H_
