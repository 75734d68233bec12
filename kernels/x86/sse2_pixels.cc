// The pixel kernels for SSE2.
#define OCTET_ISA_NAMESPACE sse2
#include "kernels/x86/sse2_resize.h"
// The set's own passes come first.
#include "kernels/portable/pixels_table_impl.h"
#include "kernels/tables.h"

namespace octet::kernels {
const PixelKernels kSse2Pixels = sse2::kPixelKernels;
}  // namespace octet::kernels
