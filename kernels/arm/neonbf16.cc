// The kernels for Advanced SIMD with the dot products of bfloat16 (BF16); needs those of bytes
// (I8MM) too.
#define OCTET_ISA_NAMESPACE neonbf16
#define OCTET_NEON_I8MM
#define OCTET_NEON_BF16
// This file is compiled for more than the baseline, so xsimd's inline functions need a name of
// their own here: the linker could otherwise take them for other files' too.
#define xsimd xsimd_neonbf16
#include "kernels/arm/neon_machine.h"
// The machine comes first, then the vector interface.
#include "kernels/portable/xsimd_vec.h"
// Then the kernels.
#include "kernels/tables.h"
#define OCTET_BASE_TABLE kNeonI8mmTable
#define OCTET_BF16_PART
#include "kernels/portable/table_impl.h"

namespace octet::kernels {
const KernelTable kNeonBf16Table = neonbf16::MakeTable(
    "neonbf16", "Advanced SIMD through xsimd, with dot products of u8 and s8 and of bfloat16");
}  // namespace octet::kernels
