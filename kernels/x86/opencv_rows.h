// OpenCV's row filters on three channels with SSE2, AVX2 and AVX-512: included by
// portable/pixels_opencv_impl.h. The functions do some outputs from `begin` on and return the first
// that is left; they may write into it.
#ifndef OCTET_KERNELS_X86_OPENCV_ROWS_H_
#define OCTET_KERNELS_X86_OPENCV_ROWS_H_

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/pixel_kernels.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/pixel_floats.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

OCTET_INLINE __m128i LoadPixels(const uint8_t* in, int32_t at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + static_cast<int64_t>(at) * 3));
}

// A pixel and a value behind it.
OCTET_INLINE __m128i LoadColor(const uint8_t* p) {
  int32_t v;
  std::memcpy(&v, p, sizeof v);
  return _mm_cvtsi32_si128(v);
}

#ifdef __AVX2__
int OpencvLinearRowVector(const uint8_t* in, const int32_t* at, const int16_t* weights, int begin,
                          int end, int16_t* out) {
  // A pixel and the next as pairs of 16 bits, channel by channel.
  const __m256i pairs = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  const __m256i squeeze = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, -1, -1, -1, -1));
  const __m256i even = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2),
                odd = _mm256_setr_epi32(1, 1, 1, 1, 3, 3, 3, 3);
  int x = begin;
  for (; x + 4 < end; x += 4) {
    const __m256i w = _mm256_castsi128_si256(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights + 2 * static_cast<int64_t>(x))));
    const int32_t* p = at + 2 * static_cast<int64_t>(x);
    const auto two = [&](int i, __m256i order) {
      const __m256i pixels = _mm256_inserti128_si256(
          _mm256_castsi128_si256(LoadPixels(in, p[2 * i])), LoadPixels(in, p[2 * i + 4]), 1);
      return _mm256_srai_epi32(_mm256_madd_epi16(_mm256_shuffle_epi8(pixels, pairs),
                                                 _mm256_permutevar8x32_epi32(w, order)),
                               4);
    };
    const __m256i result =
        _mm256_shuffle_epi8(_mm256_packs_epi32(two(0, even), two(1, odd)), squeeze);
    int16_t* to = out + 3 * static_cast<int64_t>(x);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(result));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 6), _mm256_extracti128_si256(result, 1));
  }
  return x;
}

// Pixel k of each four as 32 bits a channel.
#define OCTET_PIXEL(k)                                                                             \
  _mm_setr_epi8(3 * (k), -1, -1, -1, 3 * (k) + 1, -1, -1, -1, 3 * (k) + 2, -1, -1, -1, -1, -1, -1, \
                -1)

int OpencvNestedRowVector(const uint8_t* in, const OpencvCubicView& v, int begin, int end,
                          float* out) {
  int x = begin;
#ifdef __AVX512BW__
  const __m512i first = _mm512_broadcast_i32x4(OCTET_PIXEL(0)),
                second = _mm512_broadcast_i32x4(OCTET_PIXEL(1)),
                third = _mm512_broadcast_i32x4(OCTET_PIXEL(2)),
                fourth = _mm512_broadcast_i32x4(OCTET_PIXEL(3));
  for (; x + 4 < end; x += 4) {
    const int32_t* at = v.at + 4 * static_cast<int64_t>(x);
    const __m512 w = _mm512_loadu_ps(v.weights + 4 * static_cast<int64_t>(x));
    __m512i pixels = _mm512_castsi128_si512(LoadPixels(in, at[0]));
    pixels = _mm512_inserti32x4(pixels, LoadPixels(in, at[4]), 1);
    pixels = _mm512_inserti32x4(pixels, LoadPixels(in, at[8]), 2);
    pixels = _mm512_inserti32x4(pixels, LoadPixels(in, at[12]), 3);
    const auto pixel = [&](__m512i which) {
      return _mm512_cvtepi32_ps(_mm512_shuffle_epi8(pixels, which));
    };
    const __m512 inner = _mm512_fmadd_ps(pixel(second), _mm512_permute_ps(w, 0x55),
                                         _mm512_mul_ps(pixel(third), _mm512_permute_ps(w, 0xAA))),
                 outer = _mm512_fmadd_ps(pixel(first), _mm512_permute_ps(w, 0x00),
                                         _mm512_mul_ps(pixel(fourth), _mm512_permute_ps(w, 0xFF)));
    const __m512 sum = _mm512_add_ps(inner, outer);
    float* to = out + 3 * static_cast<int64_t>(x);
    _mm_storeu_ps(to, _mm512_castps512_ps128(sum));
    _mm_storeu_ps(to + 3, _mm512_extractf32x4_ps(sum, 1));
    _mm_storeu_ps(to + 6, _mm512_extractf32x4_ps(sum, 2));
    _mm_storeu_ps(to + 9, _mm512_extractf32x4_ps(sum, 3));
  }
#else
  const __m256i first = _mm256_broadcastsi128_si256(OCTET_PIXEL(0)),
                second = _mm256_broadcastsi128_si256(OCTET_PIXEL(1)),
                third = _mm256_broadcastsi128_si256(OCTET_PIXEL(2)),
                fourth = _mm256_broadcastsi128_si256(OCTET_PIXEL(3));
  for (; x + 2 < end; x += 2) {
    const int32_t* at = v.at + 4 * static_cast<int64_t>(x);
    const __m256 w = _mm256_loadu_ps(v.weights + 4 * static_cast<int64_t>(x));
    const __m256i pixels = _mm256_inserti128_si256(_mm256_castsi128_si256(LoadPixels(in, at[0])),
                                                   LoadPixels(in, at[4]), 1);
    const auto pixel = [&](__m256i which) {
      return _mm256_cvtepi32_ps(_mm256_shuffle_epi8(pixels, which));
    };
    const __m256 inner = _mm256_fmadd_ps(pixel(second), _mm256_permute_ps(w, 0x55),
                                         _mm256_mul_ps(pixel(third), _mm256_permute_ps(w, 0xAA))),
                 outer = _mm256_fmadd_ps(pixel(first), _mm256_permute_ps(w, 0x00),
                                         _mm256_mul_ps(pixel(fourth), _mm256_permute_ps(w, 0xFF)));
    const __m256 sum = _mm256_add_ps(inner, outer);
    float* to = out + 3 * static_cast<int64_t>(x);
    _mm_storeu_ps(to, _mm256_castps256_ps128(sum));
    _mm_storeu_ps(to + 3, _mm256_extractf128_ps(sum, 1));
  }
#endif
  return x;
}
#undef OCTET_PIXEL

#else
int OpencvLinearRowVector(const uint8_t* in, const int32_t* at, const int16_t* weights, int begin,
                          int end, int16_t* out) {
  int x = begin;
  for (; x + 1 < end; ++x) {
    const __m128i pixels =
        _mm_unpacklo_epi8(LoadPixels(in, at[2 * static_cast<int64_t>(x)]), _mm_setzero_si128());
    int32_t w;
    std::memcpy(&w, weights + 2 * static_cast<int64_t>(x), sizeof w);
    const __m128i sums = _mm_srai_epi32(
        _mm_madd_epi16(_mm_unpacklo_epi16(pixels, _mm_srli_si128(pixels, 6)), _mm_set1_epi32(w)),
        4);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 3 * static_cast<int64_t>(x)),
                     _mm_packs_epi32(sums, sums));
  }
  return x;
}

// Doubles in place of fused sums, which are exact, multiples of 2^-43 below 2^9, where no weight is
// tiny, that is, below 2^-20 but not 0: else all outputs are left to do. Red and green of one pair
// of pixels, of the other, and blue of both are a register each. 53 vector operations a pixel, most
// of them conversions, keep three ports busy for 18 cycles.
int OpencvNestedRowVector(const uint8_t* in, const OpencvCubicView& v, int begin, int end,
                          float* out) {
  const __m128i zero = _mm_setzero_si128();
  __m128i tiny = zero;
  for (int64_t x = begin; x < end; ++x) {
    const uint8_t* p = in + static_cast<int64_t>(v.at[4 * x]) * 3;
    // Of two pixels r g R G and b . B . as words.
    const auto two = [&](int i, int j) {
      return _mm_unpacklo_epi8(_mm_unpacklo_epi16(LoadColor(p + 3 * i), LoadColor(p + 3 * j)),
                               zero);
    };
    const __m128i added = two(3, 2), fused = two(0, 1);
    const auto red_green = [&](__m128i words) { return _mm_unpacklo_epi16(words, zero); };
    const auto blue = [&](__m128i words) {
      return _mm_shuffle_epi32(_mm_unpackhi_epi16(words, zero), 0x08);
    };
    const __m128 w = _mm_loadu_ps(v.weights + 4 * x);
    const __m128i above_zero =  // Of |w|, least number first.
        _mm_add_epi32(_mm_and_si128(_mm_castps_si128(w), _mm_set1_epi32(0x7fffffff)),
                      _mm_set1_epi32(0x7fffffff));
    tiny = _mm_or_si128(
        tiny,
        _mm_cmplt_epi32(above_zero, _mm_set1_epi32(static_cast<int>(0x35800000u + 0x7fffffffu))));
    const __m128 added_rg =
                     _mm_mul_ps(_mm_cvtepi32_ps(red_green(added)), _mm_shuffle_ps(w, w, 0xaf)),
                 added_b = _mm_mul_ps(_mm_cvtepi32_ps(blue(added)), _mm_shuffle_ps(w, w, 0xab));
    const __m128d w01 = _mm_cvtps_pd(w);
    const auto sum = [](__m128i pixels, __m128d weights, __m128 more) {
      return _mm_cvtpd_ps(
          _mm_add_pd(_mm_mul_pd(_mm_cvtepi32_pd(pixels), weights), _mm_cvtps_pd(more)));
    };
    const __m128i rg = red_green(fused);
    const __m128 outer = sum(rg, _mm_unpacklo_pd(w01, w01), added_rg),
                 inner = sum(_mm_shuffle_epi32(rg, 0xee), _mm_unpackhi_pd(w01, w01),
                             _mm_movehl_ps(added_rg, added_rg)),
                 both = sum(blue(fused), w01, added_b);
    _mm_storel_pi(reinterpret_cast<__m64*>(out + 3 * x), _mm_add_ps(inner, outer));
    _mm_store_ss(out + 3 * x + 2, _mm_add_ss(both, _mm_shuffle_ps(both, both, 1)));
  }
  return _mm_movemask_epi8(tiny) == 0 ? end : begin;
}
#endif

void OpencvColorAreaRow(const uint8_t* in, const TapsView<float>& taps, float* out) {
  // Two outputs at once, or each addition would wait for the one before.
  const auto two = [&](int x, int y) {
    const float *v = taps.weights + static_cast<int64_t>(x) * taps.taps,
                *w = taps.weights + static_cast<int64_t>(y) * taps.taps;
    const uint8_t *p = in + static_cast<int64_t>(taps.first[x]) * 3,
                  *q = in + static_cast<int64_t>(taps.first[y]) * 3;
    __m128 sum_x = _mm_setzero_ps(), sum_y = sum_x;
    const auto add = [](const uint8_t* pixel, float weight, __m128* sum) {
      *sum = _mm_add_ps(*sum, _mm_mul_ps((__m128)LoadFour(pixel), _mm_set1_ps(weight)));
    };
    const int count_x = taps.count[x], count_y = taps.count[y];
    int i = 0;
    for (; i < count_x && i < count_y; ++i) {
      add(p + 3 * i, v[i], &sum_x);
      add(q + 3 * i, w[i], &sum_y);
    }
    for (int j = i; j < count_x; ++j) add(p + 3 * j, v[j], &sum_x);
    for (; i < count_y; ++i) add(q + 3 * i, w[i], &sum_y);
    const auto store = [&](int output, __m128 sum) {
      float* to = out + 3 * static_cast<int64_t>(output);
      _mm_storel_pi(reinterpret_cast<__m64*>(to), sum);
      _mm_store_ss(to + 2, _mm_movehl_ps(sum, sum));
    };
    store(x, sum_x);
    store(y, sum_y);
  };
  for (int x = 0; x < taps.outputs; x += 2) two(x, x + 1 < taps.outputs ? x + 1 : x);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_OPENCV_ROWS_H_
