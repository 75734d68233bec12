// The loops of avx512vnni over plain C++, for tests on machines without the instructions. Programs
// that link it have it among AllTables; no library does.
#define OCTET_ISA_NAMESPACE emulated512
#define OCTET_EMULATE_AVX512
#include "kernels/x86/avx512vnni_vec.h"
// The vector interface comes first.
#include "kernels/portable/table_impl.h"
#include "kernels/tables.h"

namespace octet::kernels {
const KernelTable kEmulated512Table = emulated512::MakeTable(
    "emulated512", "the AVX-512 VNNI kernels over plain C++, for tests", &kReferencePixels);

namespace {
[[maybe_unused]] const bool registered = (emulated_tables.Emulated512 = &kEmulated512Table, true);
}  // namespace
}  // namespace octet::kernels
