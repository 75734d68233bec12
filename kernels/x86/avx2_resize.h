// Pillow's passes in fixed point for AVX2.
#ifndef OCTET_KERNELS_X86_AVX2_RESIZE_H_
#define OCTET_KERNELS_X86_AVX2_RESIZE_H_

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/pixel_kernels.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/resize_fixed_impl.h"

#define OCTET_FAST_RESIZE

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// Weights of 22 bits and a sign in two parts of 16, w = low + high * 2^15, so that vpmaddwd adds
// two taps' exact products.
struct PartSums {
  __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
  OCTET_INLINE void Add(__m256i pairs, __m256i w_low, __m256i w_high) {
    low = _mm256_add_epi32(low, _mm256_madd_epi16(pairs, w_low));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(pairs, w_high));
  }
  OCTET_INLINE __m256i Total() const { return _mm256_add_epi32(low, _mm256_slli_epi32(high, 15)); }
};

// In each lane the low parts of its four weights, then the high ones.
OCTET_INLINE __m256i SplitWeights(__m256i w) {
  return _mm256_packs_epi32(_mm256_and_si256(w, _mm256_set1_epi32(0x7fff)),
                            _mm256_srai_epi32(w, 15));
}

OCTET_INLINE __m256i RoundFixed(__m256i sums) {
  return _mm256_srai_epi32(_mm256_add_epi32(sums, _mm256_set1_epi32(static_cast<int>(kFixedHalf))),
                           kFixedTapsBits);
}

// An output pixel of kRows rows (2 or 4): eight taps of it at a time, four in each lane as pairs of
// red, of green and of blue.
template <int kRows>
OCTET_INLINE void ResizeColorPixel(const uint8_t* const* in, const FixedTapsView& taps, int x,
                                   uint8_t* const* out) {
  const __m256i dwords = _mm256_set_epi32(5, 5, 4, 3, 2, 2, 1, 0);
  const __m256i first_pair = _mm256_broadcastsi128_si256(
      _mm_set_epi8(-1, -1, -1, -1, -1, 5, -1, 2, -1, 4, -1, 1, -1, 3, -1, 0));
  const __m256i second_pair = _mm256_broadcastsi128_si256(
      _mm_set_epi8(-1, -1, -1, -1, -1, 11, -1, 8, -1, 10, -1, 7, -1, 9, -1, 6));
  PartSums sums[kRows];
  const int32_t* weights = taps.weights + static_cast<int64_t>(x) * taps.taps;
  const int64_t offset = static_cast<int64_t>(taps.first[x]) * 3;
  for (int i = 0; i < taps.count[x]; i += 8) {
    const __m256i w =
        SplitWeights(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + i)));
    const __m256i low0 = _mm256_shuffle_epi32(w, 0x00), low1 = _mm256_shuffle_epi32(w, 0x55),
                  high0 = _mm256_shuffle_epi32(w, 0xaa), high1 = _mm256_shuffle_epi32(w, 0xff);
    OCTET_UNROLL for (int r = 0; r < kRows; ++r) {
      const __m256i v = _mm256_permutevar8x32_epi32(
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in[r] + offset + 3 * i)), dwords);
      sums[r].Add(_mm256_shuffle_epi8(v, first_pair), low0, high0);
      sums[r].Add(_mm256_shuffle_epi8(v, second_pair), low1, high1);
    }
  }
  const bool last = x + 1 == taps.outputs;
  for (int r = 0; r < kRows; r += 2) {
    const __m256i a = sums[r].Total(), b = sums[r + 1].Total();
    const __m256i v = RoundFixed(_mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                                                  _mm256_permute2x128_si256(a, b, 0x31)));
    const __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(v, v), v);
    StorePixel(_mm_cvtsi128_si32(_mm256_castsi256_si128(bytes)), last, out[r] + 3 * x);
    StorePixel(_mm_cvtsi128_si32(_mm256_extracti128_si256(bytes, 1)), last, out[r + 1] + 3 * x);
  }
}

void FastResizeRows(const uint8_t* const* in, int rows, const FixedTapsView& taps, int channels,
                    uint8_t* const* out) {
  if (channels == 1) {
    for (int r = 0; r < rows; ++r) {
      for (int x = 0; x < taps.outputs; ++x) {
        const int32_t* w = taps.weights + static_cast<int64_t>(x) * taps.taps;
        __m256i sum = _mm256_setzero_si256();
        for (int i = 0; i < taps.count[x]; i += 8) {
          const __m256i v = _mm256_cvtepu8_epi32(
              _mm_loadl_epi64(reinterpret_cast<const __m128i*>(in[r] + taps.first[x] + i)));
          sum = _mm256_add_epi32(
              sum,
              _mm256_mullo_epi32(v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + i))));
        }
        __m128i v = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
        v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1));
        out[r][x] = ClampFixed(kFixedHalf + static_cast<uint32_t>(_mm_cvtsi128_si32(v)));
      }
    }
    return;
  }
  if (rows == 4) {
    for (int x = 0; x < taps.outputs; ++x) ResizeColorPixel<4>(in, taps, x, out);
    return;
  }
  int r = 0;
  for (; r + 2 <= rows; r += 2)
    for (int x = 0; x < taps.outputs; ++x) ResizeColorPixel<2>(in + r, taps, x, out + r);
  if (r == rows) return;
  // The same row twice.
  const uint8_t* const twice[2] = {in[r], in[r]};
  uint8_t* const to[2] = {out[r], out[r]};
  for (int x = 0; x < taps.outputs; ++x) ResizeColorPixel<2>(twice, taps, x, to);
}

// Two rows at a time, 32 columns of them as pairs.
void FastBlendRows(const uint8_t* const* rows, const FixedTapsView& taps, int output, int64_t n,
                   uint8_t* out) {
  const int count = taps.count[output];
  const int32_t* weights = taps.weights + static_cast<int64_t>(output) * taps.taps;
  const __m256i zero = _mm256_setzero_si256();
  int64_t x = 0;
  for (; x + 32 <= n; x += 32) {
    PartSums sums[4];
    for (int j = 0; j < count; j += 2) {
      int64_t pair;  // The weight behind the last one is 0.
      std::memcpy(&pair, weights + j, 8);
      const __m256i w = SplitWeights(_mm256_set1_epi64x(pair));
      const __m256i low = _mm256_shuffle_epi32(w, 0x00), high = _mm256_shuffle_epi32(w, 0xaa);
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[j] + x));
      const __m256i b =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[j + 1 < count ? j + 1 : 0] + x));
      const __m256i ab0 = _mm256_unpacklo_epi8(a, b), ab1 = _mm256_unpackhi_epi8(a, b);
      sums[0].Add(_mm256_unpacklo_epi8(ab0, zero), low, high);
      sums[1].Add(_mm256_unpackhi_epi8(ab0, zero), low, high);
      sums[2].Add(_mm256_unpacklo_epi8(ab1, zero), low, high);
      sums[3].Add(_mm256_unpackhi_epi8(ab1, zero), low, high);
    }
    __m256i v[4];
    for (int i = 0; i < 4; ++i) v[i] = RoundFixed(sums[i].Total());
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(out + x),
        _mm256_packus_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3])));
  }
  if (x < n) BlendFixedRowsFrom(x, rows, taps, output, n, out);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_AVX2_RESIZE_H_
