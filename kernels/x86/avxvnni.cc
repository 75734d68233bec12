// The kernels for AVX2 with the integer product of AVX-VNNI; needs FMA and F16C too.
#define OCTET_ISA_NAMESPACE avxvnni
#define OCTET_AVXVNNI
#include "kernels/x86/avx2_vec.h"
// The vector interface comes first.
#include "kernels/tables.h"
#define OCTET_BASE_TABLE kAvx2Table
#include "kernels/portable/table_impl.h"

namespace octet::kernels {
const KernelTable kAvxVnniTable =
    avxvnni::MakeTable("avxvnni", "AVX2, FMA, F16C and AVX-VNNI (256 bit)");
}  // namespace octet::kernels
