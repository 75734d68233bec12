// Element types, octet/types.h, and floats of 16 bits: IEEE half precision and bfloat16.
#ifndef OCTET_FORMATS_BASE_DTYPE_H_
#define OCTET_FORMATS_BASE_DTYPE_H_

#include <bit>
#include <cstdint>

#include "octet/types.h"

namespace octet {

inline constexpr int kNumDTypes = 8;

/// Whether activations of the type are quantized.
inline constexpr bool IsCodes(DType t) { return t == DType::kU8 || t == DType::kI16; }

/// Whether activations of the type are numbers by themselves.
inline constexpr bool IsFloat(DType t) { return t == DType::kF32 || t == DType::kBF16; }

/// IEEE binary16 bits to float; exact for every input.
inline float HalfToFloat(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  uint32_t exponent = (h >> 10) & 0x1fu;
  uint32_t mantissa = h & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    if (mantissa == 0) return std::bit_cast<float>(sign);
    exponent = 1;
    while ((mantissa & 0x400u) == 0) {
      mantissa <<= 1;
      --exponent;
    }
    mantissa &= 0x3ffu;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

/// Float to IEEE binary16 bits, round to nearest even; overflow becomes infinity, NaN stays NaN.
inline uint16_t FloatToHalf(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and above round to infinity.
  if (magnitude < 0x38800000u) {                        // Below 2^-14: subnormal or zero.
    // Adding 0.5 aligns the half's last bit with the float's, so the hardware rounds for us.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3f000000u);
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  return sign | static_cast<uint16_t>((magnitude - 0x38000000u + 0xfffu + odd) >> 13);
}

/// bfloat16 bits to float, of which they are the upper half; exact for every input.
inline float Bf16ToFloat(uint16_t b) { return std::bit_cast<float>(uint32_t{b} << 16); }

/// Float to bfloat16 bits, round to nearest even; beyond the largest one infinity, NaN stays NaN.
inline uint16_t FloatToBf16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  // A NaN's upper half could be an infinity's, so it becomes a quiet one.
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_DTYPE_H_
