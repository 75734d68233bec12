// The pixel kernels for AVX2, which avxvnni uses too.
#define OCTET_ISA_NAMESPACE avx2
#include "kernels/x86/avx2_resize.h"
// The set's own passes come first.
#include "kernels/portable/pixels_table_impl.h"
#include "kernels/tables.h"

namespace octet::kernels {
const PixelKernels kAvx2Pixels = avx2::kPixelKernels;
}  // namespace octet::kernels
