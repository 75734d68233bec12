// TFLite's fixed-point rounding, for one instruction set.
#ifndef OCTET_KERNELS_PORTABLE_FIXED_POINT_H_
#define OCTET_KERNELS_PORTABLE_FIXED_POINT_H_

#include <cstdint>

#include "kernels/portable/compiler.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// product / 2^31, then that / 2^right, both rounded to nearest: of the first negative halves go
// towards zero, of the second all halves away from it.
OCTET_INLINE int64_t RoundTwice(int64_t product, int right) {
  const int64_t p = (product + (int64_t{1} << 30)) >> 31, mask = (int64_t{1} << right) - 1;
  return (p >> right) + ((p & mask) > (mask >> 1) + (p < 0 ? 1 : 0) ? 1 : 0);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_FIXED_POINT_H_
