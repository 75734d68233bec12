// Elements of float tensors as they lie in memory, for one instruction set: float, and bfloat16,
// its upper half.
#ifndef OCTET_KERNELS_PORTABLE_ELEMENT_H_
#define OCTET_KERNELS_PORTABLE_ELEMENT_H_

#include <cstdint>

#include "kernels/portable/compiler.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

struct Bf16 {
  uint16_t bits;
};

OCTET_INLINE float Widen(float v) { return v; }
OCTET_INLINE float Widen(Bf16 v) { return __builtin_bit_cast(float, uint32_t{v.bits} << 16); }

// To the nearest, halves to even; a NaN becomes a quiet one.
OCTET_INLINE void Narrow(float v, float* to) { *to = v; }
OCTET_INLINE void Narrow(float v, Bf16* to) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, v);
  const uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
  to->bits = static_cast<uint16_t>((v == v ? rounded : bits | 0x400000u) >> 16);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_ELEMENT_H_
