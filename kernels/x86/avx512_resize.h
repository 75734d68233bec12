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

// Sums rounded, not yet clamped.
OCTET_INLINE __m512i RoundFixed(__m512i sums) {
  return _mm512_srai_epi32(_mm512_add_epi32(sums, _mm512_set1_epi32(static_cast<int>(kFixedHalf))),
                           kFixedTapsBits);
}

// Clamped: the lanes of 128 bits of each of the four as four bytes, one after the other.
OCTET_INLINE __m512i PackFour(__m512i a, __m512i b, __m512i c, __m512i d) {
  return _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
}

// Red, green and blue of four pixels, four taps of each in 32 bits.
OCTET_INLINE __m512i ByColor(__m512i pixels) {
  return _mm512_shuffle_epi8(pixels, _mm512_broadcast_i32x4(_mm_set_epi8(
                                         -1, -1, -1, -1, 11, 8, 5, 2, 10, 7, 4, 1, 9, 6, 3, 0)));
}

// An output pixel of four rows, each in a lane of 128 bits, four taps at a time: the weights are
// the same for all lanes, and no sums lie in different ones.
struct FourRows {
  const uint8_t *in0, *in1, *in2, *in3;

  OCTET_INLINE void AddFour(int64_t at, const int8_t* digits, DigitSums* sums) const {
    const auto row = [at](const uint8_t* p) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + at));
    };
    __m512i v = _mm512_castsi128_si512(row(in0));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, row(in1));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, row(in2));
    v = _mm512_mask_broadcast_i32x4(v, 0xf000, row(in3));
    const auto weights = [digits](int digit) {
      int32_t w;
      std::memcpy(&w, digits + 16 * digit, 4);
      return _mm512_set1_epi32(w);
    };
    sums->Add(ByColor(v), weights(0), weights(1), weights(2));
  }

  OCTET_INLINE __m512i Sum(const FixedTapsView& taps, int x) const {
    DigitSums sums;
    const int8_t* digits = taps.digits + static_cast<int64_t>(x) * taps.taps * 3;
    int64_t at = static_cast<int64_t>(taps.first[x]) * 3;
    for (int left = taps.count[x]; left > 0; left -= 16, at += 48, digits += 48) {
      AddFour(at, digits, &sums);
      if (left <= 4) break;
      AddFour(at + 12, digits + 4, &sums);
      if (left <= 8) break;
      AddFour(at + 24, digits + 8, &sums);
      if (left <= 12) break;
      AddFour(at + 36, digits + 12, &sums);
    }
    return RoundFixed(sums.Total());
  }
};

// Copies of what is pointed to, which bytes that are stored could otherwise change.
OCTET_INLINE void ResizeFourColorRows(const uint8_t* const* in, const FixedTapsView taps,
                                      uint8_t* const* out) {
  const FourRows rows = {in[0], in[1], in[2], in[3]};
  uint8_t* const to[4] = {out[0], out[1], out[2], out[3]};
  int x = 0;
  // Four pixels of a row as 16 bytes, of which the next ones replace the last four.
  const __m512i drop_fourth =
      _mm512_broadcast_i32x4(_mm_set_epi8(-1, -1, -1, -1, 14, 13, 12, 10, 9, 8, 6, 5, 4, 2, 1, 0));
  for (; x + 6 <= taps.outputs; x += 4) {
    const __m512i pixels =
        _mm512_shuffle_epi8(PackFour(rows.Sum(taps, x), rows.Sum(taps, x + 1),
                                     rows.Sum(taps, x + 2), rows.Sum(taps, x + 3)),
                            drop_fourth);
    const auto store = [x](uint8_t* row, __m128i v) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(row + 3 * x), v);
    };
    store(to[0], _mm512_castsi512_si128(pixels));
    store(to[1], _mm512_extracti32x4_epi32(pixels, 1));
    store(to[2], _mm512_extracti32x4_epi32(pixels, 2));
    store(to[3], _mm512_extracti32x4_epi32(pixels, 3));
  }
  for (; x < taps.outputs; ++x) {
    const __m512i v = rows.Sum(taps, x);
    alignas(64) int32_t pixels[16];
    _mm512_store_si512(pixels, PackFour(v, v, v, v));
    for (int r = 0; r < 4; ++r) StorePixel(pixels[4 * r], x + 1 == taps.outputs, to[r] + 3 * x);
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
  v = RoundFixed(v);
  StorePixel(_mm_cvtsi128_si32(_mm512_castsi512_si128(PackFour(v, v, v, v))), x + 1 == taps.outputs,
             out + 3 * x);
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
    const auto rounded = [&](int i) { return RoundFixed(sums[i].Total()); };
    // Each unpacking kept to its lanes, and so does this: the columns come back in order.
    _mm512_storeu_si512(out + x, PackFour(rounded(0), rounded(1), rounded(2), rounded(3)));
  }
  if (x < n) BlendFixedRowsFrom(x, rows, taps, output, n, out);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_AVX512_RESIZE_H_
