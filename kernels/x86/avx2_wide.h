// int16 convolution with vpmaddwd, for AVX2 without VNNI: one pass over 16-bit activations instead
// of two over their bytes. Included as avx2_split.h is.
//
// The activations of a block of pixels are put together from both planes once, for all panels. A
// product has 23 bits, so that 32-bit sums hold 256 of vpmaddwd's; then they are split into what is
// above the lowest byte and that byte, which are added up apart: the very sum that kernel_table.h
// has.
#ifndef OCTET_KERNELS_X86_AVX2_WIDE_H_
#define OCTET_KERNELS_X86_AVX2_WIDE_H_

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/conv_impl.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

constexpr int kWideTile = 6;
/// Activations of a block: beside the weights of a panel they stay in a level-2 cache.
constexpr int64_t kWideBytes = int64_t{192} << 10;
static_assert(kWideBytes <= kConvScratchBytes);
/// Lines of 4 products, two of vpmaddwd's sums each: 2 * 127 * 2 * 2^15 * 2^7 < 2^31.
constexpr int64_t kWideLines = 127;

/// One pixel's activations as the tiles want them: 0, 2, 1 and 3 of every four.
OCTET_INLINE void GatherWide(const ConvArgs& a, const uint8_t* in, uint8_t* to) {
  const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
  const __m128i sign = _mm_set1_epi8(static_cast<char>(-128));
  const auto put = [&](__m128i high, __m128i low, uint8_t* at) {
    high = _mm_shuffle_epi8(_mm_xor_si128(high, sign), order);
    low = _mm_shuffle_epi8(low, order);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm_unpacklo_epi8(low, high));
    return _mm_unpackhi_epi8(low, high);
  };
  for (int tap = 0; tap < a.taps; ++tap) {
    const uint8_t* p = in + a.tap_offsets[tap];
    int k = 0;
    for (; k + 16 <= a.depth; k += 16, to += 32) {
      const __m128i second =
          put(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + k)),
              _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + k + a.in_plane)), to);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 16), second);
    }
    for (; k < a.depth; k += 4, to += 8) {
      const uint8_t *const high = p + k, *const low = high + a.in_plane;
      for (int i = 0; i < 4; ++i) {
        const int from = i == 1 ? 2 : i == 2 ? 1 : i;
        to[2 * i] = low[from];
        to[2 * i + 1] = static_cast<uint8_t>(high[from] ^ 128);
      }
    }
  }
}

/// What is above the lowest byte of the sums, and those bytes' sums, as KernelI16 takes them.
template <int MR>
struct WideTile {
  Vec::I32 parts[2 * MR];
  OCTET_INLINE Vec::I32 Get(int i, int) const { return parts[i]; }
};

template <int MR>
OCTET_INLINE void WideSums(const uint8_t* in, int64_t pixel_bytes, const uint8_t* w, int64_t lines,
                           WideTile<MR>* tile) {
  const uint8_t* p[MR];
  OCTET_UNROLL for (int i = 0; i < MR; ++i) p[i] = in + i * pixel_bytes;
  ptrdiff_t k = 0;
  const __m256i byte = _mm256_set1_epi32(255);
  for (int64_t left = lines; left > 0;) {
    const int64_t now = left < kWideLines ? left : kWideLines;
    left -= now;
    __m256i acc[MR][2];
    OCTET_UNROLL for (int i = 0; i < MR; ++i) acc[i][0] = acc[i][1] = _mm256_setzero_si256();
    for (const ptrdiff_t end = k + now * 8; k != end; w += 64) {
      OCTET_UNROLL for (int odd = 0; odd < 2; ++odd, k += 4) {
        // Bytes in even places, which are activations 0 and 2, then those in odd ones.
        __m256i lo = Vec::Load(w), hi = Vec::Load(w + 32);
        lo = odd == 0 ? Vec::EvenBytes(lo) : Vec::OddBytes(lo);
        hi = odd == 0 ? Vec::EvenBytes(hi) : Vec::OddBytes(hi);
        OCTET_UNROLL for (int i = 0; i < MR; ++i)
            Vec::AddWords(p[i] + k, lo, hi, acc[i][0], acc[i][1]);
      }
    }
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      Vec::I32 &high = tile->parts[2 * i], &low = tile->parts[2 * i + 1];
      high = {_mm256_add_epi32(high.lo, _mm256_srai_epi32(acc[i][0], 8)),
              _mm256_add_epi32(high.hi, _mm256_srai_epi32(acc[i][1], 8))};
      low = {_mm256_add_epi32(low.lo, _mm256_and_si256(acc[i][0], byte)),
             _mm256_add_epi32(low.hi, _mm256_and_si256(acc[i][1], byte))};
    }
  }
}

/// `tiles` tiles of MR pixels from `c` on, whose activations are at `in`.
template <class K, int MR>
OCTET_NOINLINE void RunWideTiles(const ConvArgs& a, const Geometry& g, Cursor* c, const uint8_t* in,
                                 int64_t pixel_bytes, int64_t tiles, int panel) {
  const int channel = panel * kLanes;
  const Vec::I32 high = Vec::LoadI32(a.plain_bias + channel),
                 low = Vec::LoadI32(a.low_bias + channel);
  for (int64_t t = 0; t < tiles; ++t, in += MR * pixel_bytes) {
    WideTile<MR> tile;
    uint8_t* out[MR];
    const uint8_t* res[MR];
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      tile.parts[2 * i] = high;
      tile.parts[2 * i + 1] = low;
    }
    WideSums<MR>(in, pixel_bytes, a.weights + panel * a.panel_bytes, a.panel_bytes / 64, &tile);
    OCTET_KEEP_LOOP for (int i = 0; i < MR; ++i) {
      out[i] = c->out + channel * K::kOutputBytes;
      res[i] = c->res + channel * K::kOutputBytes;
      c->Next(g);
    }
    FinishAny<K, MR, 1>(a, channel, tile, out, res);
  }
}

template <class K>
void WideConv(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
              int panel_end) {
  constexpr decltype(&RunWideTiles<K, 1>) kRun[] = {&RunWideTiles<K, 1>, &RunWideTiles<K, 2>,
                                                    &RunWideTiles<K, 3>, &RunWideTiles<K, 4>,
                                                    &RunWideTiles<K, 5>, &RunWideTiles<K, 6>};
  const Geometry g(a);
  const int64_t pixel_bytes = a.panel_bytes / 64 * 8;
  // Whole tiles, where there is room for one.
  const int64_t room = kWideBytes / pixel_bytes,
                most = room >= kWideTile ? room / kWideTile * kWideTile : room;
  for (int64_t begin = pixel_begin; begin < pixel_end;) {
    const int64_t pixels = pixel_end - begin < most ? pixel_end - begin : most;
    const Cursor start(a, g, begin);
    Cursor c = start;
    for (int64_t i = 0; i < pixels; ++i) {
      GatherWide(a, c.in, a.scratch + i * pixel_bytes);
      c.Next(g);
    }
    const int64_t tiles = PartCount(pixels, kWideTile);
    const int small = static_cast<int>(pixels / tiles);
    const int64_t large = pixels % tiles;
    for (int panel = panel_begin; panel < panel_end; ++panel) {
      Cursor at = start;
      if (large > 0) kRun[small](a, g, &at, a.scratch, pixel_bytes, large, panel);
      kRun[small - 1](a, g, &at, a.scratch + large * (small + 1) * pixel_bytes, pixel_bytes,
                      tiles - large, panel);
    }
    begin += pixels;
  }
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_AVX2_WIDE_H_
