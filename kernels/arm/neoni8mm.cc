// The kernels for Advanced SIMD with the dot products of u8 and s8 (I8MM); needs those of ARMv8.2
// too.
#define OCTET_ISA_NAMESPACE neoni8mm
#define OCTET_NEON_I8MM
// This file is compiled for more than the baseline, so xsimd's inline functions need a name of
// their own here: the linker could otherwise take them for other files' too.
#define xsimd xsimd_neoni8mm
#include "kernels/arm/neon_machine.h"
// The machine comes first, then the vector interface.
#include "kernels/portable/xsimd_vec.h"
// Then the kernels.
#include "kernels/tables.h"
#define OCTET_BASE_TABLE kNeonTable
#include "kernels/portable/table_impl.h"

namespace octet::kernels {
const KernelTable kNeonI8mmTable =
    neoni8mm::MakeTable("neoni8mm", "Advanced SIMD through xsimd, with dot products of u8 and s8");
}  // namespace octet::kernels
