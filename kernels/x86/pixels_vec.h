// Vectors of pixels for portable/pixels_rows_impl.h, as wide as the translation unit may use: SSE2,
// AVX2 or AVX-512 (also where the tables' other kernels are emulated).
#ifndef OCTET_KERNELS_X86_PIXELS_VEC_H_
#define OCTET_KERNELS_X86_PIXELS_VEC_H_

#include <immintrin.h>

#include <cstdint>

#include "kernels/portable/compiler.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

#if defined(__AVX512BW__)
constexpr int kPixelBytes = 64;
#elif defined(__AVX2__)
constexpr int kPixelBytes = 32;
#else
constexpr int kPixelBytes = 16;
#endif
typedef uint16_t PixelU16 __attribute__((vector_size(kPixelBytes)));
typedef int16_t PixelI16 __attribute__((vector_size(kPixelBytes)));

// Shuffles that turn 16 values of each color, those of even pixels in front, into 16 pixels: part
// by color, -1 for bytes of the others.
struct InterleaveShuffles {
  alignas(16) int8_t order[3][3][16];
  constexpr InterleaveShuffles() : order() {
    for (int i = 0; i < 48; ++i) {
      for (int color = 0; color < 3; ++color) {
        const int pixel = i / 3;
        order[i / 16][color][i % 16] =
            static_cast<int8_t>(i % 3 == color ? pixel % 2 * 8 + pixel / 2 : -1);
      }
    }
  }
};
inline constexpr InterleaveShuffles kInterleave;

// And those that drop the fourth byte of four pixels, and swap the first and the third.
struct DropShuffles {
  alignas(16) int8_t order[2][16];
  constexpr DropShuffles() : order() {
    for (int swap = 0; swap < 2; ++swap) {
      for (int i = 0; i < 16; ++i) {
        const int color = swap ? 2 - i % 3 : i % 3;
        order[swap][i] = static_cast<int8_t>(i < 12 ? i / 3 * 4 + color : -1);
      }
    }
  }
};
inline constexpr DropShuffles kDrop;

OCTET_INLINE __m128i LoadXmm(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
OCTET_INLINE void StoreXmm(void* p, __m128i v) { _mm_storeu_si128(static_cast<__m128i*>(p), v); }

#if defined(__AVX512BW__)

OCTET_INLINE PixelU16 MulHigh(PixelU16 a, PixelU16 b) {
  return (PixelU16)_mm512_mulhi_epu16((__m512i)a, (__m512i)b);
}
OCTET_INLINE PixelI16 AddSaturated(PixelI16 a, PixelI16 b) {
  return (PixelI16)_mm512_adds_epi16((__m512i)a, (__m512i)b);
}
OCTET_INLINE PixelU16 SubtractBytes(PixelU16 a, int b) {
  return (PixelU16)_mm512_subs_epu8((__m512i)a, _mm512_set1_epi8(static_cast<char>(b)));
}
OCTET_INLINE PixelU16 LoadPixels(const void* p) { return (PixelU16)_mm512_loadu_si512(p); }
OCTET_INLINE PixelU16 LoadWidened(const uint8_t* p) {
  return (PixelU16)_mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
OCTET_INLINE PixelU16 PackInOrder(PixelU16 a, PixelU16 b) {
  return (PixelU16)_mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7),
                                            _mm512_packus_epi16((__m512i)a, (__m512i)b));
}

OCTET_INLINE __m512i Lanes(const int8_t* shuffle) {
  return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(shuffle)));
}

OCTET_INLINE void StoreRgb(PixelI16 red_even, PixelI16 red_odd, PixelI16 green_even,
                           PixelI16 green_odd, PixelI16 blue_even, PixelI16 blue_odd,
                           uint8_t* out) {
  const __m512i color[3] = {_mm512_packus_epi16((__m512i)red_even, (__m512i)red_odd),
                            _mm512_packus_epi16((__m512i)green_even, (__m512i)green_odd),
                            _mm512_packus_epi16((__m512i)blue_even, (__m512i)blue_odd)};
  // Lane n of part p becomes quarter 3 n + p of the result.
  __m512i part[3];
  OCTET_UNROLL for (int p = 0; p < 3; ++p) {
    part[p] = _mm512_ternarylogic_epi32(
        _mm512_shuffle_epi8(color[0], Lanes(kInterleave.order[p][0])),
        _mm512_shuffle_epi8(color[1], Lanes(kInterleave.order[p][1])),
        _mm512_shuffle_epi8(color[2], Lanes(kInterleave.order[p][2])), 0xfe);
  }
  const __m512i a = part[0], b = part[1], c = part[2];
  const __m512i first =
      _mm512_inserti64x2(_mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 1, 8, 9, 0, 0, 2, 3), b),
                         _mm512_castsi512_si128(c), 2);
  const __m512i second = _mm512_mask_permutexvar_epi64(
      _mm512_permutex2var_epi64(b, _mm512_setr_epi64(2, 3, 10, 11, 0, 0, 4, 5), c), 0x30,
      _mm512_setr_epi64(0, 0, 0, 0, 4, 5, 0, 0), a);
  const __m512i third = _mm512_mask_permutexvar_epi64(
      _mm512_permutex2var_epi64(c, _mm512_setr_epi64(4, 5, 0, 0, 14, 15, 6, 7), b), 0x0c,
      _mm512_setr_epi64(0, 0, 6, 7, 0, 0, 0, 0), a);
  _mm512_storeu_si512(out, first);
  _mm512_storeu_si512(out + 64, second);
  _mm512_storeu_si512(out + 128, third);
}

constexpr int kDropPixels = 16;
OCTET_INLINE void DropFourth(const uint8_t* in, bool swap, uint8_t* out) {
  const __m512i v = _mm512_shuffle_epi8(_mm512_loadu_si512(in), Lanes(kDrop.order[swap]));
  const __m512i order = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0, 0, 0, 0);
  _mm512_mask_storeu_epi32(out, 0x0fff, _mm512_permutexvar_epi32(order, v));
}

#elif defined(__AVX2__)

OCTET_INLINE PixelU16 MulHigh(PixelU16 a, PixelU16 b) {
  return (PixelU16)_mm256_mulhi_epu16((__m256i)a, (__m256i)b);
}
OCTET_INLINE PixelI16 AddSaturated(PixelI16 a, PixelI16 b) {
  return (PixelI16)_mm256_adds_epi16((__m256i)a, (__m256i)b);
}
OCTET_INLINE PixelU16 SubtractBytes(PixelU16 a, int b) {
  return (PixelU16)_mm256_subs_epu8((__m256i)a, _mm256_set1_epi8(static_cast<char>(b)));
}
OCTET_INLINE PixelU16 LoadPixels(const void* p) {
  return (PixelU16)_mm256_loadu_si256(static_cast<const __m256i*>(p));
}
OCTET_INLINE PixelU16 LoadWidened(const uint8_t* p) {
  return (PixelU16)_mm256_cvtepu8_epi16(LoadXmm(p));
}
OCTET_INLINE PixelU16 PackInOrder(PixelU16 a, PixelU16 b) {
  return (PixelU16)_mm256_permute4x64_epi64(_mm256_packus_epi16((__m256i)a, (__m256i)b), 0xd8);
}

OCTET_INLINE __m256i Lanes(const int8_t* shuffle) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(shuffle)));
}
OCTET_INLINE void StoreYmm(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }

OCTET_INLINE void StoreRgb(PixelI16 red_even, PixelI16 red_odd, PixelI16 green_even,
                           PixelI16 green_odd, PixelI16 blue_even, PixelI16 blue_odd,
                           uint8_t* out) {
  const __m256i color[3] = {_mm256_packus_epi16((__m256i)red_even, (__m256i)red_odd),
                            _mm256_packus_epi16((__m256i)green_even, (__m256i)green_odd),
                            _mm256_packus_epi16((__m256i)blue_even, (__m256i)blue_odd)};
  // Lane n of part p becomes sixth 3 n + p of the result.
  __m256i part[3];
  OCTET_UNROLL for (int p = 0; p < 3; ++p) {
    part[p] = _mm256_or_si256(
        _mm256_or_si256(_mm256_shuffle_epi8(color[0], Lanes(kInterleave.order[p][0])),
                        _mm256_shuffle_epi8(color[1], Lanes(kInterleave.order[p][1]))),
        _mm256_shuffle_epi8(color[2], Lanes(kInterleave.order[p][2])));
  }
  StoreYmm(out, _mm256_permute2x128_si256(part[0], part[1], 0x20));
  StoreYmm(out + 32, _mm256_blend_epi32(part[2], part[0], 0xf0));
  StoreYmm(out + 64, _mm256_permute2x128_si256(part[1], part[2], 0x31));
}

constexpr int kDropPixels = 8;
OCTET_INLINE void DropFourth(const uint8_t* in, bool swap, uint8_t* out) {
  const __m256i v = _mm256_shuffle_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(in)),
                                        Lanes(kDrop.order[swap]));
  const __m256i packed = _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 0, 0));
  StoreXmm(out, _mm256_castsi256_si128(packed));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 16), _mm256_extracti128_si256(packed, 1));
}

#else

OCTET_INLINE PixelU16 MulHigh(PixelU16 a, PixelU16 b) {
  return (PixelU16)_mm_mulhi_epu16((__m128i)a, (__m128i)b);
}
OCTET_INLINE PixelI16 AddSaturated(PixelI16 a, PixelI16 b) {
  return (PixelI16)_mm_adds_epi16((__m128i)a, (__m128i)b);
}
OCTET_INLINE PixelU16 SubtractBytes(PixelU16 a, int b) {
  return (PixelU16)_mm_subs_epu8((__m128i)a, _mm_set1_epi8(static_cast<char>(b)));
}
OCTET_INLINE PixelU16 LoadPixels(const void* p) { return (PixelU16)LoadXmm(p); }
OCTET_INLINE PixelU16 LoadWidened(const uint8_t* p) {
  return (PixelU16)_mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)),
                                     _mm_setzero_si128());
}
OCTET_INLINE PixelU16 PackInOrder(PixelU16 a, PixelU16 b) {
  return (PixelU16)_mm_packus_epi16((__m128i)a, (__m128i)b);
}

// Four pixels of four bytes, the last of them 0, to 12 bytes in front.
OCTET_INLINE __m128i Compress(__m128i v) {
  // Two pixels in each half, then both halves.
  const __m128i low = _mm_set1_epi64x(0xffffff), high = _mm_set1_epi64x(0xffffff000000);
  v = _mm_or_si128(_mm_and_si128(v, low), _mm_and_si128(_mm_srli_epi64(v, 8), high));
  return _mm_or_si128(_mm_move_epi64(v), _mm_slli_si128(_mm_srli_si128(v, 8), 6));
}
OCTET_INLINE void StoreCompressed(const __m128i (&four)[4], uint8_t* out) {
  const __m128i a = Compress(four[0]), b = Compress(four[1]), c = Compress(four[2]),
                d = Compress(four[3]);
  StoreXmm(out, _mm_or_si128(a, _mm_slli_si128(b, 12)));
  StoreXmm(out + 16, _mm_or_si128(_mm_srli_si128(b, 4), _mm_slli_si128(c, 8)));
  StoreXmm(out + 32, _mm_or_si128(_mm_srli_si128(c, 8), _mm_slli_si128(d, 4)));
}

OCTET_INLINE void StoreRgb(PixelI16 red_even, PixelI16 red_odd, PixelI16 green_even,
                           PixelI16 green_odd, PixelI16 blue_even, PixelI16 blue_odd,
                           uint8_t* out) {
  const auto in_order = [](PixelI16 even, PixelI16 odd) {
    const __m128i both = _mm_packus_epi16((__m128i)even, (__m128i)odd);
    return _mm_unpacklo_epi8(both, _mm_srli_si128(both, 8));
  };
  const __m128i red = in_order(red_even, red_odd), green = in_order(green_even, green_odd),
                blue = in_order(blue_even, blue_odd), zero = _mm_setzero_si128();
  const __m128i low = _mm_unpacklo_epi8(red, green), high = _mm_unpackhi_epi8(red, green);
  const __m128i blue_low = _mm_unpacklo_epi8(blue, zero), blue_high = _mm_unpackhi_epi8(blue, zero);
  StoreCompressed({_mm_unpacklo_epi16(low, blue_low), _mm_unpackhi_epi16(low, blue_low),
                   _mm_unpacklo_epi16(high, blue_high), _mm_unpackhi_epi16(high, blue_high)},
                  out);
}

constexpr int kDropPixels = 16;
OCTET_INLINE void DropFourth(const uint8_t* in, bool swap, uint8_t* out) {
  const __m128i second = _mm_set1_epi32(0xff00), first = _mm_set1_epi32(0xff);
  __m128i four[4];
  OCTET_UNROLL for (int i = 0; i < 4; ++i) {
    four[i] = LoadXmm(in + 16 * i);
    if (swap) {
      four[i] = _mm_or_si128(_mm_and_si128(four[i], second),
                             _mm_or_si128(_mm_slli_epi32(_mm_and_si128(four[i], first), 16),
                                          _mm_and_si128(_mm_srli_epi32(four[i], 16), first)));
    } else {
      four[i] = _mm_and_si128(four[i], _mm_set1_epi32(0xffffff));
    }
  }
  StoreCompressed(four, out);
}

#endif

#if defined(__SSSE3__)
// Bytes in any order, -1 for 0, and halves of two vectors in turn.
#define OCTET_PIXEL_SHUFFLES
using Pixel128 = __m128i;
OCTET_INLINE Pixel128 ShuffleBytes(Pixel128 v, const int8_t* order) {
  return _mm_shuffle_epi8(v, LoadXmm(order));
}
OCTET_INLINE Pixel128 ZipLow32(Pixel128 a, Pixel128 b) { return _mm_unpacklo_epi32(a, b); }
OCTET_INLINE Pixel128 ZipHigh32(Pixel128 a, Pixel128 b) { return _mm_unpackhi_epi32(a, b); }
OCTET_INLINE Pixel128 ZipLow64(Pixel128 a, Pixel128 b) { return _mm_unpacklo_epi64(a, b); }
OCTET_INLINE Pixel128 ZipHigh64(Pixel128 a, Pixel128 b) { return _mm_unpackhi_epi64(a, b); }

// Red and green, and blue and green, of four pixels as pairs of words: the first and the last of 16
// bytes.
alignas(16) constexpr int8_t kColorPairs[2][2][16] = {
    {{0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1},
     {2, -1, 1, -1, 5, -1, 4, -1, 8, -1, 7, -1, 11, -1, 10, -1}},
    {{4, -1, 5, -1, 7, -1, 8, -1, 10, -1, 11, -1, 13, -1, 14, -1},
     {6, -1, 5, -1, 9, -1, 8, -1, 12, -1, 11, -1, 15, -1, 14, -1}}};

// Sixteen pixels. Green's factor is too large for 16 bits with a sign, and is added in two halves.
template <int kRed, int kBlue>
OCTET_INLINE void GrayOfSixteen(const uint8_t* in, uint8_t* out) {
  const __m128i red_green = _mm_set1_epi32(19235 << 16 | kRed);
  const __m128i blue_green = _mm_set1_epi32(19235 << 16 | kBlue);
  __m128i sum[4];
  OCTET_UNROLL for (int i = 0; i < 4; ++i) {
    const __m128i v = LoadXmm(in + (i < 3 ? 12 * i : 32));
    sum[i] = _mm_add_epi32(_mm_madd_epi16(ShuffleBytes(v, kColorPairs[i / 3][0]), red_green),
                           _mm_madd_epi16(ShuffleBytes(v, kColorPairs[i / 3][1]), blue_green));
    sum[i] = _mm_srli_epi32(_mm_add_epi32(sum[i], _mm_set1_epi32(32768)), 16);
  }
  StoreXmm(out, _mm_packus_epi16(_mm_packs_epi32(sum[0], sum[1]), _mm_packs_epi32(sum[2], sum[3])));
}
#else
OCTET_INLINE __m128i ReverseBytes(__m128i v) {
  v = _mm_or_si128(_mm_slli_epi16(v, 8), _mm_srli_epi16(v, 8));
  v = _mm_shufflehi_epi16(_mm_shufflelo_epi16(v, 0x1b), 0x1b);
  return _mm_shuffle_epi32(v, 0x4e);
}

// Sixteen pixels. Green's factor is too large for 16 bits with a sign: half of it, twice the green.
template <int kRed, int kBlue>
OCTET_INLINE void GrayOfSixteen(const uint8_t* in, uint8_t* out) {
  const __m128i red_blue = _mm_set1_epi32(kBlue << 16 | kRed), green = _mm_set1_epi32(19235);
  __m128i sum[4];
  OCTET_UNROLL for (int i = 0; i < 4; ++i) {
    __m128i v = LoadXmm(in + (i < 3 ? 12 * i : 32));
    if (i == 3) v = _mm_srli_si128(v, 4);
    const __m128i even = _mm_unpacklo_epi32(v, _mm_srli_si128(v, 3)),
                  odd = _mm_unpacklo_epi32(_mm_srli_si128(v, 6), _mm_srli_si128(v, 9));
    v = _mm_unpacklo_epi64(even, odd);
    sum[i] = _mm_add_epi32(
        _mm_madd_epi16(_mm_and_si128(v, _mm_set1_epi32(0xff00ff)), red_blue),
        _mm_madd_epi16(_mm_and_si128(_mm_srli_epi32(v, 7), _mm_set1_epi32(0x1fe)), green));
    sum[i] = _mm_srli_epi32(_mm_add_epi32(sum[i], _mm_set1_epi32(32768)), 16);
  }
  StoreXmm(out, _mm_packus_epi16(_mm_packs_epi32(sum[0], sum[1]), _mm_packs_epi32(sum[2], sum[3])));
}
#endif

// Luma, and chroma in pairs, of kPixelBytes packed pixels.
OCTET_INLINE void LoadYuyv(const uint8_t* p, PixelU16* luma, PixelU16* chroma) {
  const PixelU16 a = LoadPixels(p), b = LoadPixels(p + kPixelBytes);
  *luma = PackInOrder(a & 255, b & 255);
  *chroma = PackInOrder(a >> 8, b >> 8);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_PIXELS_VEC_H_
