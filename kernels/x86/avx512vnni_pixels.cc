// The pixel kernels for AVX-512 with VNNI; needs F, BW, DQ and VL.
#define OCTET_ISA_NAMESPACE avx512vnni
#include "kernels/x86/avx512_resize.h"
// The set's own passes come first.
#include "kernels/portable/pixels_table_impl.h"
#include "kernels/tables.h"

namespace octet::kernels {
const PixelKernels kAvx512VnniPixels = avx512vnni::kPixelKernels;
}  // namespace octet::kernels
