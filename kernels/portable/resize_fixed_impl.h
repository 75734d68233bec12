// Pillow's passes in fixed point as plain loops, for one instruction set.
#ifndef OCTET_KERNELS_PORTABLE_RESIZE_FIXED_IMPL_H_
#define OCTET_KERNELS_PORTABLE_RESIZE_FIXED_IMPL_H_

#include <cstdint>
#include <cstring>

#include "kernels/pixel_kernels.h"
#include "kernels/portable/compiler.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

OCTET_INLINE uint8_t ClampFixed(uint32_t sum) {
  const int32_t v = static_cast<int32_t>(sum) >> kFixedTapsBits;
  return static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v);
}
constexpr uint32_t kFixedHalf = 1u << (kFixedTapsBits - 1);

// A pixel of three bytes as vectors have it, red the lowest. The fourth byte is the next pixel's,
// which comes later; behind the last there is none. A constant size each, as g++ 12 makes a loop
// over bytes of one that depends.
OCTET_INLINE void StorePixel(int rgb, bool last, uint8_t* out) {
  if (__builtin_expect(last, false)) {
    out[0] = static_cast<uint8_t>(rgb);
    out[1] = static_cast<uint8_t>(rgb >> 8);
    out[2] = static_cast<uint8_t>(rgb >> 16);
  } else {
    std::memcpy(out, &rgb, 4);
  }
}

// One row; unsigned, as the sums may wrap around. Pixels of three channels are taken as four, which
// is what registers have: the fourth is the next pixel's.
template <int kChannels>
OCTET_INLINE void ResizeFixedRow(const uint8_t* in, const FixedTapsView& taps, uint8_t* out) {
  constexpr int kTaken = kChannels == 3 ? 4 : kChannels;
  for (int x = 0; x < taps.outputs; ++x, out += kChannels) {
    const int32_t* w = taps.weights + static_cast<int64_t>(x) * taps.taps;
    const uint8_t* p = in + static_cast<int64_t>(taps.first[x]) * kChannels;
    uint32_t sum[kTaken];
    for (int c = 0; c < kTaken; ++c) sum[c] = kFixedHalf;
    for (int i = 0; i < taps.count[x]; ++i, p += kChannels)
      for (int c = 0; c < kTaken; ++c) sum[c] += p[c] * static_cast<uint32_t>(w[i]);
    for (int c = 0; c < kChannels; ++c) out[c] = ClampFixed(sum[c]);
  }
}

inline void ResizeFixedRows(const uint8_t* const* in, int rows, const FixedTapsView& taps,
                            int channels, uint8_t* const* out) {
  for (int r = 0; r < rows; ++r) {
    if (channels == 3) {
      ResizeFixedRow<3>(in[r], taps, out[r]);
    } else {
      ResizeFixedRow<1>(in[r], taps, out[r]);
    }
  }
}

// f(begin, size) over [0, n) in blocks of a constant size, and the rest.
constexpr int kPixelBlock = 64;

// Values [begin, n).
OCTET_INLINE void BlendFixedRowsFrom(int64_t begin, const uint8_t* const* rows,
                                     const FixedTapsView& taps, int output, int64_t n,
                                     uint8_t* out) {
  const int count = taps.count[output];
  const int32_t* weights = taps.weights + static_cast<int64_t>(output) * taps.taps;
  for (int64_t x = begin; x < n; x += kPixelBlock) {
    const int size = n - x < kPixelBlock ? static_cast<int>(n - x) : kPixelBlock;
    uint32_t sum[kPixelBlock];
    for (int i = 0; i < kPixelBlock; ++i) sum[i] = kFixedHalf;
    for (int j = 0; j < count; ++j) {
      const uint8_t* p = rows[j] + x;
      const auto w = static_cast<uint32_t>(weights[j]);
      if (size == kPixelBlock) {
        for (int i = 0; i < kPixelBlock; ++i) sum[i] += p[i] * w;
      } else {
        for (int i = 0; i < size; ++i) sum[i] += p[i] * w;
      }
    }
    for (int i = 0; i < size; ++i) out[x + i] = ClampFixed(sum[i]);
  }
}

inline void BlendFixedRows(const uint8_t* const* rows, const FixedTapsView& taps, int output,
                           int64_t n, uint8_t* out) {
  BlendFixedRowsFrom(0, rows, taps, output, n, out);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_RESIZE_FIXED_IMPL_H_
