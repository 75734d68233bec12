// OpenCV's row filters on three channels with Advanced SIMD: included by
// portable/pixels_opencv_impl.h, see x86/opencv_rows.h.
#ifndef OCTET_KERNELS_ARM_OPENCV_ROWS_H_
#define OCTET_KERNELS_ARM_OPENCV_ROWS_H_

#include <arm_neon.h>

#include <cstdint>

#include "kernels/pixel_kernels.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/pixel_floats.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

int OpencvLinearRowVector(const uint8_t* in, const int32_t* at, const int16_t* weights, int begin,
                          int end, int16_t* out) {
  int64_t x = begin;
  for (; x + 1 < end; ++x) {
    const uint8_t* p = in + static_cast<int64_t>(at[2 * x]) * 3;
    const int16x8_t v = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p)));
    const int32x4_t sum = vmlal_n_s16(vmull_n_s16(vget_low_s16(v), weights[2 * x]),
                                      vget_low_s16(vextq_s16(v, v, 3)), weights[2 * x + 1]);
    vst1_s16(out + 3 * x, vshrn_n_s32(sum, 4));
  }
  return static_cast<int>(x);
}

int OpencvNestedRowVector(const uint8_t* in, const OpencvCubicView& v, int begin, int end,
                          float* out) {
  int64_t x = begin;
  for (; x + 1 < end; ++x) {
    const uint8_t* p = in + static_cast<int64_t>(v.at[4 * x]) * 3;
    const float32x4_t w = vld1q_f32(v.weights + 4 * x);
    const auto pixel = [&](int i) { return (float32x4_t)LoadFour(p + 3 * i); };
    const float32x4_t inner = vfmaq_laneq_f32(vmulq_laneq_f32(pixel(2), w, 2), pixel(1), w, 1),
                      outer = vfmaq_laneq_f32(vmulq_laneq_f32(pixel(3), w, 3), pixel(0), w, 0);
    vst1q_f32(out + 3 * x, vaddq_f32(inner, outer));
  }
  return static_cast<int>(x);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_ARM_OPENCV_ROWS_H_
