// The kernels for AVX-512 with VNNI; needs F, BW, DQ and VL.
#define OCTET_ISA_NAMESPACE avx512vnni
#include "kernels/x86/avx512vnni_vec.h"
// The vector interface comes first.
#include "kernels/portable/table_impl.h"
#include "kernels/tables.h"

namespace octet::kernels {
const KernelTable kAvx512VnniTable =
    avx512vnni::MakeTable("avx512vnni", "AVX-512 F, BW, DQ, VL and VNNI", &kAvx512VnniPixels);
}  // namespace octet::kernels
