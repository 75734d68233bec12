// The kernels for SSE2, which every x86-64 processor has.
#define OCTET_ISA_NAMESPACE sse2
#include "kernels/x86/sse2_machine.h"
// The machine comes first, then the vector interface.
#include "kernels/portable/xsimd_vec.h"
// Then the kernels.
#include "kernels/portable/table_impl.h"
#include "kernels/tables.h"

namespace octet::kernels {
const KernelTable kSse2Table = sse2::MakeTable("sse2", "SSE2 through xsimd", &kSse2Pixels);
}  // namespace octet::kernels
