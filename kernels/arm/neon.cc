// The kernels for Advanced SIMD, which every aarch64 processor has.
#define OCTET_ISA_NAMESPACE neon
#include "kernels/arm/neon_machine.h"
// The machine comes first, then the vector interface.
#include "kernels/portable/xsimd_vec.h"
// Then the kernels.
#include "kernels/portable/table_impl.h"
#include "kernels/tables.h"

namespace octet::kernels {
const KernelTable kNeonTable =
    neon::MakeTable("neon", "Advanced SIMD of ARMv8 through xsimd", &kNeonPixels);
}  // namespace octet::kernels
