// What portable/xsimd_vec.h needs of aarch64. With OCTET_NEON_DOT defined, integer products are
// SDOT; with OCTET_NEON_I8MM, USDOT and SUDOT; with OCTET_NEON_BF16, those of bfloat16 are BFDOT.
// The instructions of the inner loops are inline assembly: for the intrinsics g++ 12 copies
// accumulators.
#ifndef OCTET_KERNELS_ARM_NEON_MACHINE_H_
#define OCTET_KERNELS_ARM_NEON_MACHINE_H_

#include <arm_neon.h>

#include <cstring>
#include <xsimd/xsimd.hpp>

#include "kernels/portable/compiler.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

struct Machine {
  using Arch = xsimd::neon64;
  using BatchF = xsimd::batch<float, Arch>;
  using BatchI = xsimd::batch<int32_t, Arch>;
#ifdef OCTET_NEON_BF16
  static constexpr int kFloatPixels = 5, kBf16Pixels = 5;
#else
  // Half as many registers are left for pixels where each has its even and its odd elements.
  static constexpr int kFloatPixels = 5, kBf16Pixels = 3;
#endif
#ifdef OCTET_NEON_I8MM
  static constexpr bool kSignedInput = false;
#else
  static constexpr bool kSignedInput = true;
#endif
  static constexpr bool kWideFloat = true;

  static OCTET_INLINE void WidenU8(const uint8_t* p, BatchI (&out)[4]) {
    const uint8x16_t bytes = vld1q_u8(p);
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
    out[0] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low)));
    out[1] = vreinterpretq_s32_u32(vmovl_high_u16(low));
    out[2] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high)));
    out[3] = vreinterpretq_s32_u32(vmovl_high_u16(high));
  }
  static OCTET_INLINE void WidenI8(const uint8_t* p, BatchI (&out)[4]) {
    const int8x16_t bytes = LoadSigned(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    out[0] = vmovl_s16(vget_low_s16(low));
    out[1] = vmovl_high_s16(low);
    out[2] = vmovl_s16(vget_low_s16(high));
    out[3] = vmovl_high_s16(high);
  }
  static OCTET_INLINE void RoundAndStore(const BatchF (&v)[4], int32_t zero, uint8_t* out) {
    const int16x8_t z = vdupq_n_s16(static_cast<int16_t>(zero));
    const int16x8_t low = vcombine_s16(vqmovn_s32(Round(v[0])), vqmovn_s32(Round(v[1])));
    const int16x8_t high = vcombine_s16(vqmovn_s32(Round(v[2])), vqmovn_s32(Round(v[3])));
    vst1q_u8(out, vcombine_u8(vqmovun_s16(vqaddq_s16(low, z)), vqmovun_s16(vqaddq_s16(high, z))));
  }
  static OCTET_INLINE BatchF LoadHalf(const uint8_t* p) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
  }
  static OCTET_INLINE void LoadBf16(const uint8_t* p, BatchF (&out)[4]) {
    const uint16x8_t low = vreinterpretq_u16_u8(vld1q_u8(p)),
                     high = vreinterpretq_u16_u8(vld1q_u8(p + 16));
    out[0] = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(low), 16));
    out[1] = vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(low), 16));
    out[2] = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(high), 16));
    out[3] = vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(high), 16));
  }
  // The upper halves, rounded to nearest even; NaNs become quiet ones.
  static OCTET_INLINE uint16x4_t RoundToBf16(float32x4_t v) {
    const uint32x4_t bits = vreinterpretq_u32_f32(v);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(v, v), rounded, quiet), 16);
  }
  static OCTET_INLINE void StoreBf16(const BatchF (&v)[4], uint8_t* out) {
    vst1q_u8(out, vreinterpretq_u8_u16(vcombine_u16(RoundToBf16(v[0]), RoundToBf16(v[1]))));
    vst1q_u8(out + 16, vreinterpretq_u8_u16(vcombine_u16(RoundToBf16(v[2]), RoundToBf16(v[3]))));
  }
  static OCTET_INLINE BatchI MulAddSmall(BatchI acc, BatchI a, BatchI b) {
    return vmlaq_s32(acc, a, b);
  }
  template <int kLane>
  static OCTET_INLINE BatchF MulAddLane(BatchF acc, BatchF a, BatchF w) {
    float32x4_t sum = acc;
    asm("fmla %0.4s, %1.4s, %2.s[%3]"
        : "+w"(sum)
        : "w"(float32x4_t(w)), "w"(float32x4_t(a)), "n"(kLane));
    return sum;
  }

  static OCTET_INLINE int8x16_t LoadSigned(const uint8_t* p) {
    return vreinterpretq_s8_u8(vld1q_u8(p));
  }
  // Four bytes, in every lane.
  static OCTET_INLINE uint8x16_t LoadGroup(const uint8_t* p) {
    uint32_t group;
    std::memcpy(&group, p, 4);
    return vreinterpretq_u8_u32(vdupq_n_u32(group));
  }
  // u8 less 128 as s8.
  static OCTET_INLINE int8x16_t Signed(uint8x16_t a) {
    return vreinterpretq_s8_u8(veorq_u8(a, vdupq_n_u8(0x80)));
  }
  static OCTET_INLINE int32x4_t Round(BatchF v) { return vcvtnq_s32_f32(v); }
  // acc + the sums of four s8 each.
  static OCTET_INLINE BatchI AddLanes(BatchI acc, const uint8_t* p) {
    return vpadalq_s16(acc, vpaddlq_s8(LoadSigned(p)));
  }

#ifdef OCTET_NEON_BF16
  // Sums of two products, rounded to odd, and then the sum with those before, likewise.
  struct Bf16Products {
    using Input = uint8x16_t;
    using WideInput = uint8x16_t;
    using Part = uint8x16_t;
    static constexpr bool kWide = true;
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return LoadGroup(p); }
    static OCTET_INLINE WideInput LoadWide(const uint8_t* p) { return vld1q_u8(p); }
    static OCTET_INLINE Part LoadPart(const uint8_t* w) { return vld1q_u8(w); }
    static OCTET_INLINE void MulAdd(BatchF& acc, Input a, Part w) {
      float32x4_t sum = acc;
      asm("bfdot %0.4s, %1.8h, %2.8h" : "+w"(sum) : "w"(w), "w"(a));
      acc = sum;
    }
    template <int kLane>
    static OCTET_INLINE void MulAddLane(BatchF& acc, WideInput a, Part w) {
      float32x4_t sum = acc;
      asm("bfdot %0.4s, %1.8h, %2.2h[%3]" : "+w"(sum) : "w"(w), "w"(a), "n"(kLane));
      acc = sum;
    }
  };
#endif

#ifdef OCTET_NEON_I8MM
  static constexpr int kIntPixels = 5;
  struct Products {
    using Input = uint8x16_t;
    using WideInput = uint8x16_t;
    using Part = int8x16_t;
    static constexpr bool kWide = true;
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return LoadGroup(p); }
    static OCTET_INLINE WideInput LoadWide(const uint8_t* p) { return vld1q_u8(p); }
    static OCTET_INLINE Part LoadPart(const uint8_t* w) { return LoadSigned(w); }
    static OCTET_INLINE void MulAdd(BatchI& acc, Input a, Part w) { acc = vusdotq_s32(acc, a, w); }
    template <int kLane>
    static OCTET_INLINE void MulAddLane(BatchI& acc, WideInput a, Part w) {
      int32x4_t sum = acc;
      asm("sudot %0.4s, %1.16b, %2.4b[%3]" : "+w"(sum) : "w"(w), "w"(a), "n"(kLane));
      acc = sum;
    }
  };
#else
  struct ProductsBase {
    using Input = int8x16_t;
    using Part = int8x16_t;
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return Signed(LoadGroup(p)); }
    static OCTET_INLINE Part LoadPart(const uint8_t* w) { return LoadSigned(w); }
  };

#ifdef OCTET_NEON_DOT
  static constexpr int kIntPixels = 5;
  struct Products : ProductsBase {
    using WideInput = int8x16_t;
    static constexpr bool kWide = true;
    static OCTET_INLINE void MulAdd(BatchI& acc, Input a, Part w) { acc = vdotq_s32(acc, w, a); }
    static OCTET_INLINE WideInput LoadWide(const uint8_t* p) { return Signed(vld1q_u8(p)); }
    template <int kLane>
    static OCTET_INLINE void MulAddLane(BatchI& acc, WideInput a, Part w) {
      int32x4_t sum = acc;
      asm("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(sum) : "w"(w), "w"(a), "n"(kLane));
      acc = sum;
    }
  };
#else
  static constexpr int kIntPixels = 5;
  // Products of s8 fit 16 bits, and so do sums of two: 2 * 128 * 127 < 2^15.
  struct Products : ProductsBase {
    static constexpr bool kWide = false;
    static OCTET_INLINE void MulAdd(BatchI& acc, Input a, Part w) {
      const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(w)), high = vmull_high_s8(a, w);
      acc = vpadalq_s16(acc, vpaddq_s16(low, high));
    }
  };
#endif
#endif
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_ARM_NEON_MACHINE_H_
