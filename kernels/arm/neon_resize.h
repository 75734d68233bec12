// Pillow's passes in fixed point for Advanced SIMD.
#ifndef OCTET_KERNELS_ARM_NEON_RESIZE_H_
#define OCTET_KERNELS_ARM_NEON_RESIZE_H_

#include <arm_neon.h>

#include <cstdint>

#include "kernels/pixel_kernels.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/resize_fixed_impl.h"

#define OCTET_FAST_RESIZE

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// Weights are two parts of 16 bits, w = low + high * 2^16. As sums wrap around at 32 bits, those of
// the high parts may at 16.
OCTET_INLINE uint16x4_t RoundFixed(uint32x4_t low, uint16x4_t high) {
  const uint32x4_t sum = vaddq_u32(low, vshll_n_u16(high, 16));
  return vqshrun_n_s32(vreinterpretq_s32_u32(sum), 16);  // Six bits of fraction are left.
}
OCTET_INLINE uint8x8_t ClampRounded(uint16x4_t a, uint16x4_t b) {
  return vqshrn_n_u16(vcombine_u16(a, b), kFixedTapsBits - 16);
}

// An output pixel of kRows rows: four taps at a time.
template <int kRows>
OCTET_INLINE void ResizeColorPixel(const uint8_t* const* in, const FixedTapsView& taps, int x,
                                   uint8_t* const* out) {
  // Pixels of four bytes, and the high parts of the first two weights and the last two.
  const uint8x16_t spread = {0, 1, 2, 255, 3, 4, 5, 255, 6, 7, 8, 255, 9, 10, 11, 255};
  const uint8x16_t first = {2, 3, 2, 3, 2, 3, 2, 3, 6, 7, 6, 7, 6, 7, 6, 7};
  const uint8x16_t last = vaddq_u8(first, vdupq_n_u8(8));
  uint32x4_t low[kRows];
  uint16x8_t high[kRows] = {};
  for (int r = 0; r < kRows; ++r) low[r] = vdupq_n_u32(kFixedHalf);
  const int32_t* weights = taps.weights + static_cast<int64_t>(x) * taps.taps;
  const int64_t offset = static_cast<int64_t>(taps.first[x]) * 3;
  for (int i = 0; i < taps.count[x]; i += 4) {
    const int32x4_t w = vld1q_s32(weights + i);
    const uint16x4_t w_low = vmovn_u32(vreinterpretq_u32_s32(w));
    const auto w_high = [&](uint8x16_t which) {
      return vreinterpretq_u16_u8(vqtbl1q_u8(vreinterpretq_u8_s32(w), which));
    };
    const uint16x8_t w_first = w_high(first), w_last = w_high(last);
    OCTET_UNROLL for (int r = 0; r < kRows; ++r) {
      const uint8x16_t v = vqtbl1q_u8(vld1q_u8(in[r] + offset + 3 * i), spread);
      const uint16x8_t a = vmovl_u8(vget_low_u8(v)), b = vmovl_high_u8(v);
      low[r] = vmlal_lane_u16(low[r], vget_low_u16(a), w_low, 0);
      low[r] = vmlal_high_lane_u16(low[r], a, w_low, 1);
      low[r] = vmlal_lane_u16(low[r], vget_low_u16(b), w_low, 2);
      low[r] = vmlal_high_lane_u16(low[r], b, w_low, 3);
      high[r] = vmlaq_u16(vmlaq_u16(high[r], a, w_first), b, w_last);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    const uint16x4_t v =
        RoundFixed(low[r], vadd_u16(vget_low_u16(high[r]), vget_high_u16(high[r])));
    StorePixel(vget_lane_s32(vreinterpret_s32_u8(ClampRounded(v, v)), 0), x + 1 == taps.outputs,
               out[r] + 3 * x);
  }
}

OCTET_INLINE void ResizeGrayRow(const uint8_t* in, const FixedTapsView& taps, uint8_t* out) {
  for (int x = 0; x < taps.outputs; ++x) {
    const int32_t* weights = taps.weights + static_cast<int64_t>(x) * taps.taps;
    uint32x4_t low = {};
    uint16x8_t high = {};
    for (int i = 0; i < taps.count[x]; i += 8) {
      const uint16x8_t w0 = vreinterpretq_u16_s32(vld1q_s32(weights + i)),
                       w1 = vreinterpretq_u16_s32(vld1q_s32(weights + i + 4));
      const uint16x8_t w_low = vuzp1q_u16(w0, w1), w_high = vuzp2q_u16(w0, w1);
      const uint16x8_t v = vmovl_u8(vld1_u8(in + taps.first[x] + i));
      low = vmlal_u16(low, vget_low_u16(v), vget_low_u16(w_low));
      low = vmlal_high_u16(low, v, w_low);
      high = vmlaq_u16(high, v, w_high);
    }
    out[x] = ClampFixed(kFixedHalf + vaddvq_u32(low) + (uint32_t{vaddvq_u16(high)} << 16));
  }
}

void FastResizeRows(const uint8_t* const* in, int rows, const FixedTapsView& taps, int channels,
                    uint8_t* const* out) {
  if (channels == 3 && rows == 4) {
    for (int x = 0; x < taps.outputs; ++x) ResizeColorPixel<4>(in, taps, x, out);
    return;
  }
  for (int r = 0; r < rows; ++r) {
    if (channels == 1) {
      ResizeGrayRow(in[r], taps, out[r]);
    } else {
      for (int x = 0; x < taps.outputs; ++x) ResizeColorPixel<1>(in + r, taps, x, out + r);
    }
  }
}

// 32 columns at a time.
void FastBlendRows(const uint8_t* const* rows, const FixedTapsView& taps, int output, int64_t n,
                   uint8_t* out) {
  constexpr int kEights = 4;
  const int count = taps.count[output];
  const int32_t* weights = taps.weights + static_cast<int64_t>(output) * taps.taps;
  int64_t x = 0;
  for (; x + 8 * kEights <= n; x += 8 * kEights) {
    uint32x4_t low[kEights][2];
    uint16x8_t high[kEights] = {};
    OCTET_UNROLL for (auto& sums : low) sums[0] = sums[1] = vdupq_n_u32(kFixedHalf);
    for (int j = 0; j < count; ++j) {
      const auto w_low = static_cast<uint16_t>(weights[j]),
                 w_high = static_cast<uint16_t>(weights[j] >> 16);
      OCTET_UNROLL for (int i = 0; i < kEights; i += 2) {
        const uint8x16_t bytes = vld1q_u8(rows[j] + x + 8 * i);
        OCTET_UNROLL for (int half = 0; half < 2; ++half) {
          const uint16x8_t v = half == 0 ? vmovl_u8(vget_low_u8(bytes)) : vmovl_high_u8(bytes);
          low[i + half][0] = vmlal_n_u16(low[i + half][0], vget_low_u16(v), w_low);
          low[i + half][1] = vmlal_high_n_u16(low[i + half][1], v, w_low);
          high[i + half] = vmlaq_n_u16(high[i + half], v, w_high);
        }
      }
    }
    OCTET_UNROLL for (int i = 0; i < kEights; ++i) {
      vst1_u8(out + x + 8 * i, ClampRounded(RoundFixed(low[i][0], vget_low_u16(high[i])),
                                            RoundFixed(low[i][1], vget_high_u16(high[i]))));
    }
  }
  if (x < n) BlendFixedRowsFrom(x, rows, taps, output, n, out);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_ARM_NEON_RESIZE_H_
