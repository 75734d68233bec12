// The pixel kernels for Advanced SIMD, which neondot and neoni8mm use too.
#define OCTET_ISA_NAMESPACE neon
#include "kernels/arm/neon_resize.h"
// The set's own passes come first.
#include "kernels/portable/pixels_table_impl.h"
#include "kernels/tables.h"

namespace octet::kernels {
const PixelKernels kNeonPixels = neon::kPixelKernels;
}  // namespace octet::kernels
