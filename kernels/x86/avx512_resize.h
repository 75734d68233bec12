// Pillow's passes in fixed point for AVX-512 VNNI.
#ifndef OCTET_KERNELS_X86_AVX512_RESIZE_H_
#define OCTET_KERNELS_X86_AVX512_RESIZE_H_

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

// Sums of three digits of the weights, sum = d0 + d1 * 2^8 + d2 * 2^16 (FixedTapsView::digits):
// exact products of 8 bits, four taps an instruction and lane.
struct DigitSums {
  // g++ 12 copies the sums of the intrinsic before and after each: a quarter of the pass's time.
  static OCTET_INLINE void Add(__m512i pixels, __m512i w, __m512i* sum) {
    asm("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(pixels), "v"(w));
  }
  __m512i d0 = _mm512_setzero_si512(), d1 = _mm512_setzero_si512(), d2 = _mm512_setzero_si512();
  OCTET_INLINE void Add(__m512i pixels, __m512i w0, __m512i w1, __m512i w2) {
    Add(pixels, w0, &d0);
    Add(pixels, w1, &d1);
    Add(pixels, w2, &d2);
  }
  OCTET_INLINE __m512i Total() const {
    return _mm512_add_epi32(d0,
                            _mm512_add_epi32(_mm512_slli_epi32(d1, 8), _mm512_slli_epi32(d2, 16)));
  }
};

// What remains of sums once they are rounded and clamped, 16 bytes.
OCTET_INLINE __m128i RoundFixed(__m512i sums) {
  const __m512i v = _mm512_srai_epi32(
      _mm512_add_epi32(sums, _mm512_set1_epi32(static_cast<int>(kFixedHalf))), kFixedTapsBits);
  return _mm512_cvtusepi32_epi8(_mm512_max_epi32(v, _mm512_setzero_si512()));
}

// Red, green and blue of four pixels, four taps of each in 32 bits.
OCTET_INLINE __m512i ByColor(__m512i pixels) {
  return _mm512_shuffle_epi8(pixels, _mm512_broadcast_i32x4(_mm_set_epi8(
                                         -1, -1, -1, -1, 11, 8, 5, 2, 10, 7, 4, 1, 9, 6, 3, 0)));
}

// Four rows, each in a lane of 128 bits, four taps at a time: the weights are the same for all
// lanes, and no sums lie in different ones. Copies of what is pointed to, which bytes that are
// stored could otherwise change.
OCTET_INLINE void ResizeFourColorRows(const uint8_t* const* in, const FixedTapsView taps,
                                      uint8_t* const* out) {
  const uint8_t *const in0 = in[0], *const in1 = in[1], *const in2 = in[2], *const in3 = in[3];
  uint8_t *out0 = out[0], *out1 = out[1], *out2 = out[2], *out3 = out[3];
  const int8_t* all_digits = taps.digits;
  for (int x = 0; x < taps.outputs; ++x, all_digits += taps.taps * 3) {
    DigitSums sums;
    const int8_t* digits = all_digits;
    int64_t at = static_cast<int64_t>(taps.first[x]) * 3;
    for (int left = taps.count[x]; left > 0; left -= 16, digits += 48) {
      OCTET_UNROLL for (int i = 0; i < 16; i += 4, at += 12) {
        if (i >= left) break;
        const auto row = [at](const uint8_t* p) {
          return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + at));
        };
        __m512i v = _mm512_castsi128_si512(row(in0));
        v = _mm512_mask_broadcast_i32x4(v, 0x00f0, row(in1));
        v = _mm512_mask_broadcast_i32x4(v, 0x0f00, row(in2));
        v = _mm512_mask_broadcast_i32x4(v, 0xf000, row(in3));
        const auto weights = [&](int digit) {
          int32_t w;
          std::memcpy(&w, digits + i + 16 * digit, 4);
          return _mm512_set1_epi32(w);
        };
        sums.Add(ByColor(v), weights(0), weights(1), weights(2));
      }
    }
    const bool last = x + 1 == taps.outputs;
    const __m128i v = RoundFixed(sums.Total());
    StorePixel(_mm_cvtsi128_si32(v), last, out0 + 3 * x);
    StorePixel(_mm_extract_epi32(v, 1), last, out1 + 3 * x);
    StorePixel(_mm_extract_epi32(v, 2), last, out2 + 3 * x);
    StorePixel(_mm_extract_epi32(v, 3), last, out3 + 3 * x);
  }
}

// An output pixel of one row, 16 taps at a time, four in each lane.
OCTET_INLINE void ResizeColorPixel(const uint8_t* in, const FixedTapsView& taps, int x,
                                   uint8_t* out) {
  const __m512i dwords = _mm512_set_epi32(11, 11, 10, 9, 8, 8, 7, 6, 5, 5, 4, 3, 2, 2, 1, 0);
  const __m512i spread = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
  DigitSums sums;
  const int8_t* digits = taps.digits + static_cast<int64_t>(x) * taps.taps * 3;
  const uint8_t* p = in + static_cast<int64_t>(taps.first[x]) * 3;
  for (int i = 0; i < taps.count[x]; i += 16, digits += 48) {
    const auto weights = [&](int digit) {
      const __m128i w = _mm_loadu_si128(reinterpret_cast<const __m128i*>(digits + 16 * digit));
      return _mm512_permutexvar_epi32(spread, _mm512_castsi128_si512(w));
    };
    const __m512i v = _mm512_permutexvar_epi32(dwords, _mm512_loadu_si512(p + 3 * i));
    sums.Add(ByColor(v), weights(0), weights(1), weights(2));
  }
  __m512i v = sums.Total();
  v = _mm512_add_epi32(v, _mm512_shuffle_i64x2(v, v, 0x4e));
  v = _mm512_add_epi32(v, _mm512_shuffle_i64x2(v, v, 0xb1));
  StorePixel(_mm_cvtsi128_si32(RoundFixed(v)), x + 1 == taps.outputs, out + 3 * x);
}

void FastResizeRows(const uint8_t* const* in, int rows, const FixedTapsView& taps, int channels,
                    uint8_t* const* out) {
  if (channels == 1) {
    // 64 values of a row at a time, and all their sums at the end.
    for (int r = 0; r < rows; ++r) {
      for (int x = 0; x < taps.outputs; ++x) {
        const int8_t* digits = taps.digits + static_cast<int64_t>(x) * taps.taps * 3;
        const uint8_t* p = in[r] + taps.first[x];
        __m128i d0 = _mm_setzero_si128(), d1 = d0, d2 = d0;
        for (int i = 0; i < taps.count[x]; i += 16, digits += 48) {
          const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i));
          const auto* w = reinterpret_cast<const __m128i*>(digits);
          d0 = _mm_dpbusd_epi32(d0, v, _mm_loadu_si128(w));
          d1 = _mm_dpbusd_epi32(d1, v, _mm_loadu_si128(w + 1));
          d2 = _mm_dpbusd_epi32(d2, v, _mm_loadu_si128(w + 2));
        }
        __m128i sum =
            _mm_add_epi32(d0, _mm_add_epi32(_mm_slli_epi32(d1, 8), _mm_slli_epi32(d2, 16)));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
        out[r][x] = ClampFixed(kFixedHalf + static_cast<uint32_t>(_mm_cvtsi128_si32(sum)));
      }
    }
    return;
  }
  if (rows == 4) return ResizeFourColorRows(in, taps, out);
  for (int r = 0; r < rows; ++r)
    for (int x = 0; x < taps.outputs; ++x) ResizeColorPixel(in[r], taps, x, out[r]);
}

// Four rows at a time, 64 columns of them: their bytes interleaved, so that a lane has the four of
// a column.
void FastBlendRows(const uint8_t* const* rows, const FixedTapsView& taps, int output, int64_t n,
                   uint8_t* out) {
  const int count = taps.count[output];
  const int8_t* all_digits = taps.digits + static_cast<int64_t>(output) * taps.taps * 3;
  int64_t x = 0;
  for (; x + 64 <= n; x += 64) {
    DigitSums sums[4];
    for (int j = 0; j < count; j += 4) {
      const auto row = [&](int i) {  // Those behind the last one have the weight 0.
        return _mm512_loadu_si512(rows[j + i < count ? j + i : 0] + x);
      };
      const int8_t* digits = all_digits + j / 16 * 48 + j % 16;
      const auto weights = [&](int digit) {
        int32_t w;
        std::memcpy(&w, digits + 16 * digit, 4);
        return _mm512_set1_epi32(w);
      };
      const __m512i w0 = weights(0), w1 = weights(1), w2 = weights(2);
      const __m512i a = row(0), b = row(1), c = row(2), d = row(3);
      const __m512i ab0 = _mm512_unpacklo_epi8(a, b), ab1 = _mm512_unpackhi_epi8(a, b),
                    cd0 = _mm512_unpacklo_epi8(c, d), cd1 = _mm512_unpackhi_epi8(c, d);
      sums[0].Add(_mm512_unpacklo_epi16(ab0, cd0), w0, w1, w2);
      sums[1].Add(_mm512_unpackhi_epi16(ab0, cd0), w0, w1, w2);
      sums[2].Add(_mm512_unpacklo_epi16(ab1, cd1), w0, w1, w2);
      sums[3].Add(_mm512_unpackhi_epi16(ab1, cd1), w0, w1, w2);
    }
    __m512i v[4];
    for (int i = 0; i < 4; ++i) {
      v[i] = _mm512_srai_epi32(
          _mm512_add_epi32(sums[i].Total(), _mm512_set1_epi32(static_cast<int>(kFixedHalf))),
          kFixedTapsBits);
    }
    // Each unpacking kept to its lanes, and so do these: the columns come back in order.
    _mm512_storeu_si512(out + x, _mm512_packus_epi16(_mm512_packs_epi32(v[0], v[1]),
                                                     _mm512_packs_epi32(v[2], v[3])));
  }
  if (x < n) BlendFixedRowsFrom(x, rows, taps, output, n, out);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_AVX512_RESIZE_H_
