#define OCTET_ISA_NAMESPACE neon
#include "kernels/portable/pixels_table_impl.h"
#include "kernels/tables.h"

namespace octet::kernels {
const PixelKernels kNeonPixels = neon::kPixelKernels;
}  // namespace octet::kernels
