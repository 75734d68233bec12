// The kernels for AVX-512 with the products of bfloat16 of AVX-512 BF16; needs F, BW, DQ, VL and
// VNNI too.
#define OCTET_ISA_NAMESPACE avx512bf16
#define OCTET_AVX512BF16
#include "kernels/x86/avx512vnni_vec.h"
// The vector interface comes first.
#include "kernels/tables.h"
#define OCTET_BASE_TABLE kAvx512VnniTable
#define OCTET_BF16_PART
#include "kernels/portable/table_impl.h"

namespace octet::kernels {
const KernelTable kAvx512Bf16Table =
    avx512bf16::MakeTable("avx512bf16", "AVX-512 F, BW, DQ, VL, VNNI and BF16");
}  // namespace octet::kernels
