// The kernels for Advanced SIMD with the dot products of ARMv8.2 (SDOT).
#define OCTET_ISA_NAMESPACE neondot
#define OCTET_NEON_DOT
// This file is compiled for more than the baseline, so xsimd's inline functions need a name of
// their own here: the linker could otherwise take them for other files' too.
#define xsimd xsimd_neondot
#include "kernels/arm/neon_machine.h"
// The machine comes first, then the vector interface.
#include "kernels/portable/xsimd_vec.h"
// Then the kernels.
#include "kernels/tables.h"
#define OCTET_BASE_TABLE kNeonTable
#include "kernels/portable/table_impl.h"

namespace octet::kernels {
const KernelTable kNeonDotTable =
    neondot::MakeTable("neondot", "Advanced SIMD through xsimd, with the dot products of ARMv8.2");
}  // namespace octet::kernels
