// The kernels for AVX2; needs FMA and F16C too.
#define OCTET_ISA_NAMESPACE avx2
#include "kernels/x86/avx2_vec.h"
// The vector interface comes first.
#include "kernels/portable/table_impl.h"
#include "kernels/tables.h"

namespace octet::kernels {
const KernelTable kAvx2Table = avx2::MakeTable("avx2", "AVX2, FMA and F16C", &kAvx2Pixels);
}  // namespace octet::kernels
