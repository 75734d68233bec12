// Pillow's passes in fixed point for SSE2.
#ifndef OCTET_KERNELS_X86_SSE2_RESIZE_H_
#define OCTET_KERNELS_X86_SSE2_RESIZE_H_

#include <emmintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/pixel_kernels.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/resize_fixed_impl.h"

#define OCTET_FAST_RESIZE

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// Weights of 22 bits and a sign in two parts of 16, w = low + high * 2^15, so that pmaddwd adds two
// taps' exact products.
struct PartSums {
  __m128i low = _mm_setzero_si128(), high = _mm_setzero_si128();
  OCTET_INLINE void Add(__m128i pairs, __m128i w_low, __m128i w_high) {
    low = _mm_add_epi32(low, _mm_madd_epi16(pairs, w_low));
    high = _mm_add_epi32(high, _mm_madd_epi16(pairs, w_high));
  }
  OCTET_INLINE __m128i Total() const { return _mm_add_epi32(low, _mm_slli_epi32(high, 15)); }
  OCTET_INLINE __m128i Rounded() const {
    return _mm_srai_epi32(_mm_add_epi32(Total(), _mm_set1_epi32(static_cast<int>(kFixedHalf))),
                          kFixedTapsBits);
  }
};

OCTET_INLINE __m128i LowParts(__m128i w) { return _mm_and_si128(w, _mm_set1_epi32(0x7fff)); }
OCTET_INLINE __m128i HighParts(__m128i w) { return _mm_srai_epi32(w, 15); }

// The low parts of two weights in the first 32 bits, the high ones in the third.
OCTET_INLINE __m128i SplitPair(const int32_t* weights) {
  const __m128i w = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(weights));
  return _mm_packs_epi32(LowParts(w), HighParts(w));
}

// Eight taps at a time.
OCTET_INLINE void ResizeGrayRow(const uint8_t* in, const FixedTapsView& taps, uint8_t* out) {
  for (int x = 0; x < taps.outputs; ++x) {
    const int32_t* weights = taps.weights + static_cast<int64_t>(x) * taps.taps;
    PartSums sums;
    for (int i = 0; i < taps.count[x]; i += 8) {
      const auto load = [&](int at) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights + at));
      };
      const __m128i a = load(i), b = load(i + 4);
      const __m128i v = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(in + taps.first[x] + i));
      sums.Add(_mm_unpacklo_epi8(v, _mm_setzero_si128()), _mm_packs_epi32(LowParts(a), LowParts(b)),
               _mm_packs_epi32(HighParts(a), HighParts(b)));
    }
    __m128i sum = sums.Total();
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    out[x] = ClampFixed(kFixedHalf + static_cast<uint32_t>(_mm_cvtsi128_si32(sum)));
  }
}

void FastResizeRows(const uint8_t* const* in, int rows, const FixedTapsView& taps, int channels,
                    uint8_t* const* out) {
  if (channels == 1) {
    for (int r = 0; r < rows; ++r) ResizeGrayRow(in[r], taps, out[r]);
    return;
  }
  const __m128i zero = _mm_setzero_si128();
  for (int x = 0; x < taps.outputs; ++x) {
    PartSums sums[kRowsAtOnce];
    const int32_t* weights = taps.weights + static_cast<int64_t>(x) * taps.taps;
    const int64_t offset = static_cast<int64_t>(taps.first[x]) * 3;
    for (int i = 0; i < taps.count[x]; i += 2) {
      const __m128i w = SplitPair(weights + i);
      const __m128i low = _mm_shuffle_epi32(w, 0x00), high = _mm_shuffle_epi32(w, 0xaa);
      for (int r = 0; r < rows; ++r) {
        const __m128i v = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(in[r] + offset + 3 * i));
        sums[r].Add(_mm_unpacklo_epi8(_mm_unpacklo_epi8(v, _mm_srli_si128(v, 3)), zero), low, high);
      }
    }
    for (int r = 0; r < rows; ++r) {
      const __m128i words = _mm_packs_epi32(sums[r].Rounded(), zero);
      const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, zero));
      std::memcpy(out[r] + 3 * x, &bytes, 3);
    }
  }
}

// Two rows at a time, 16 columns of them as pairs.
void FastBlendRows(const uint8_t* const* rows, const FixedTapsView& taps, int output, int64_t n,
                   uint8_t* out) {
  const int count = taps.count[output];
  const int32_t* weights = taps.weights + static_cast<int64_t>(output) * taps.taps;
  const __m128i zero = _mm_setzero_si128();
  int64_t x = 0;
  for (; x + 16 <= n; x += 16) {
    PartSums sums[4];
    for (int j = 0; j < count; j += 2) {
      const __m128i w = SplitPair(weights + j);  // The weight behind the last one is 0.
      const __m128i low = _mm_shuffle_epi32(w, 0x00), high = _mm_shuffle_epi32(w, 0xaa);
      const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[j] + x));
      const __m128i b =
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[j + 1 < count ? j + 1 : 0] + x));
      const __m128i ab0 = _mm_unpacklo_epi8(a, b), ab1 = _mm_unpackhi_epi8(a, b);
      sums[0].Add(_mm_unpacklo_epi8(ab0, zero), low, high);
      sums[1].Add(_mm_unpackhi_epi8(ab0, zero), low, high);
      sums[2].Add(_mm_unpacklo_epi8(ab1, zero), low, high);
      sums[3].Add(_mm_unpackhi_epi8(ab1, zero), low, high);
    }
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + x),
                     _mm_packus_epi16(_mm_packs_epi32(sums[0].Rounded(), sums[1].Rounded()),
                                      _mm_packs_epi32(sums[2].Rounded(), sums[3].Rounded())));
  }
  if (x < n) BlendFixedRowsFrom(x, rows, taps, output, n, out);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_SSE2_RESIZE_H_
