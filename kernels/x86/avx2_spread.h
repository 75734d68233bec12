// int8 convolution with vpmaddwd for AVX2 without VNNI, where split kernels do not pay. Included as
// avx2_split.h is.
//
// As conv_u8_u8, but the even and the odd bytes of a block's activations become words once, in two
// copies, instead of in every tile that reads them: two operations less for every eight.
#ifndef OCTET_KERNELS_X86_AVX2_SPREAD_H_
#define OCTET_KERNELS_X86_AVX2_SPREAD_H_

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/portable/conv_impl.h"
#include "kernels/x86/avx2_split.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

/// Of input in a block; beside the weights of a panel both copies stay in a level-2 cache.
constexpr int64_t kSpreadBytes = int64_t{96} << 10;
static_assert(2 * kSpreadBytes <= kConvScratchBytes);

template <class K>
struct Spread : K {
  static constexpr bool kQuarters = false;
  template <int MR, int NR>
  using TileType = Vec::SpreadTile<MR, NR, kSpreadBytes>;
};

/// `size` bytes, an even number: those in even places as words, and kSpreadBytes further the odd.
inline void SpreadBytes(const uint8_t* in, int64_t size, uint8_t* words) {
  const __m256i even = _mm256_set1_epi16(255);
  int64_t i = 0;
  for (; i + 32 <= size; i += 32) {
    const __m256i v = Vec::Load(in + i);
    _mm256_store_si256(reinterpret_cast<__m256i*>(words + i), _mm256_and_si256(v, even));
    _mm256_store_si256(reinterpret_cast<__m256i*>(words + i + kSpreadBytes),
                       _mm256_srli_epi16(v, 8));
  }
  for (; i < size; i += 2) {
    const uint16_t odd = in[i + 1], even_byte = in[i];
    __builtin_memcpy(words + i, &even_byte, 2);
    __builtin_memcpy(words + i + kSpreadBytes, &odd, 2);
    asm volatile("" : : : "memory");  // At most 15 times: no vectors.
  }
}

template <class K>
void SpreadConv(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                int panel_end) {
  const Geometry g(a);
  for (int64_t begin = pixel_begin, pixels; begin < pixel_end; begin += pixels) {
    pixels = pixel_end - begin;
    while (pixels > 0 && InputSpan(a, g, begin, pixels) > kSpreadBytes) pixels /= 2;
    if (pixels == 0) {
      Conv<K>(a, begin, pixel_end, panel_begin, panel_end);
      return;
    }
    const uint8_t* const start = Cursor(a, g, begin).in;
    SpreadBytes(start, InputSpan(a, g, begin, pixels), a.scratch);
    ConvArgs copies = a;
    copies.input = a.scratch - (start - a.input);
    Conv<Spread<K>>(copies, begin, begin + pixels, panel_begin, panel_end);
  }
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_AVX2_SPREAD_H_
