// Vectors of pixels for portable/pixels_rows_impl.h: Advanced SIMD.
#ifndef OCTET_KERNELS_ARM_PIXELS_VEC_H_
#define OCTET_KERNELS_ARM_PIXELS_VEC_H_

#include <arm_neon.h>

#include <cstdint>

#include "kernels/portable/compiler.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

constexpr int kPixelBytes = 16;
using PixelU16 = uint16x8_t;
using PixelI16 = int16x8_t;

OCTET_INLINE PixelU16 MulHigh(PixelU16 a, PixelU16 b) {
  const uint32x4_t low = vmull_u16(vget_low_u16(a), vget_low_u16(b)), high = vmull_high_u16(a, b);
  return vuzp2q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high));
}
OCTET_INLINE PixelI16 AddSaturated(PixelI16 a, PixelI16 b) { return vqaddq_s16(a, b); }
OCTET_INLINE PixelU16 SubtractBytes(PixelU16 a, int b) {
  return vreinterpretq_u16_u8(
      vqsubq_u8(vreinterpretq_u8_u16(a), vdupq_n_u8(static_cast<uint8_t>(b))));
}
OCTET_INLINE PixelU16 LoadPixels(const void* p) {
  return vreinterpretq_u16_u8(vld1q_u8(static_cast<const uint8_t*>(p)));
}
OCTET_INLINE PixelU16 LoadWidened(const uint8_t* p) { return vmovl_u8(vld1_u8(p)); }
// Of values up to 255.
OCTET_INLINE PixelU16 PackInOrder(PixelU16 a, PixelU16 b) {
  return vreinterpretq_u16_u8(vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b)));
}
OCTET_INLINE void LoadYuyv(const uint8_t* p, PixelU16* luma, PixelU16* chroma) {
  const uint8x16x2_t v = vld2q_u8(p);
  *luma = vreinterpretq_u16_u8(v.val[0]);
  *chroma = vreinterpretq_u16_u8(v.val[1]);
}

OCTET_INLINE void StoreRgb(PixelI16 red_even, PixelI16 red_odd, PixelI16 green_even,
                           PixelI16 green_odd, PixelI16 blue_even, PixelI16 blue_odd,
                           uint8_t* out) {
  const auto in_order = [](PixelI16 even, PixelI16 odd) {
    const uint8x16_t low = vcombine_u8(vqmovun_s16(even), vdup_n_u8(0));
    const uint8x16_t high = vcombine_u8(vqmovun_s16(odd), vdup_n_u8(0));
    return vzip1q_u8(low, high);
  };
  const uint8x16x3_t rgb = {{in_order(red_even, red_odd), in_order(green_even, green_odd),
                             in_order(blue_even, blue_odd)}};
  vst3q_u8(out, rgb);
}

constexpr int kDropPixels = 16;
OCTET_INLINE void DropFourth(const uint8_t* in, bool swap, uint8_t* out) {
  const uint8x16x4_t v = vld4q_u8(in);
  const uint8x16x3_t rgb = {{v.val[swap ? 2 : 0], v.val[1], v.val[swap ? 0 : 2]}};
  vst3q_u8(out, rgb);
}

template <int kRed, int kBlue>
OCTET_INLINE void GrayOfSixteen(const uint8_t* in, uint8_t* out) {
  const uint8x16x3_t v = vld3q_u8(in);
  const uint16x8_t low[3] = {vmovl_u8(vget_low_u8(v.val[0])), vmovl_u8(vget_low_u8(v.val[1])),
                             vmovl_u8(vget_low_u8(v.val[2]))};
  const uint16x8_t high[3] = {vmovl_high_u8(v.val[0]), vmovl_high_u8(v.val[1]),
                              vmovl_high_u8(v.val[2])};
  const auto gray = [](const uint16x8_t(&rgb)[3]) {
    const auto sum = [](uint16x4_t red, uint16x4_t green, uint16x4_t blue) {
      return vrshrn_n_u32(
          vmlal_n_u16(vmlal_n_u16(vmull_n_u16(red, kRed), green, 38470), blue, kBlue), 16);
    };
    return vmovn_u16(
        vcombine_u16(sum(vget_low_u16(rgb[0]), vget_low_u16(rgb[1]), vget_low_u16(rgb[2])),
                     sum(vget_high_u16(rgb[0]), vget_high_u16(rgb[1]), vget_high_u16(rgb[2]))));
  };
  vst1q_u8(out, vcombine_u8(gray(low), gray(high)));
}

// Bytes in any order, -1 for 0, and halves of two vectors in turn.
#define OCTET_PIXEL_SHUFFLES
using Pixel128 = uint32x4_t;
OCTET_INLINE Pixel128 ShuffleBytes(Pixel128 v, const int8_t* order) {
  return vreinterpretq_u32_u8(
      vqtbl1q_u8(vreinterpretq_u8_u32(v), vreinterpretq_u8_s8(vld1q_s8(order))));
}
OCTET_INLINE Pixel128 ZipLow32(Pixel128 a, Pixel128 b) { return vzip1q_u32(a, b); }
OCTET_INLINE Pixel128 ZipHigh32(Pixel128 a, Pixel128 b) { return vzip2q_u32(a, b); }
OCTET_INLINE Pixel128 ZipLow64(Pixel128 a, Pixel128 b) {
  return vreinterpretq_u32_u64(vzip1q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)));
}
OCTET_INLINE Pixel128 ZipHigh64(Pixel128 a, Pixel128 b) {
  return vreinterpretq_u32_u64(vzip2q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)));
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_ARM_PIXELS_VEC_H_
