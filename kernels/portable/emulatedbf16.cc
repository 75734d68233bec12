// The loops of avx512bf16 over plain C++, as emulated512.cc has those of avx512vnni.
#define OCTET_ISA_NAMESPACE emulatedbf16
#define OCTET_EMULATE_AVX512
#define OCTET_AVX512BF16
#include "kernels/x86/avx512vnni_vec.h"
// The vector interface comes first.
#include "kernels/tables.h"
#define OCTET_BASE_TABLE kEmulated512Table
#define OCTET_BF16_PART
#include "kernels/portable/table_impl.h"

namespace octet::kernels {
const KernelTable kEmulatedBf16Table =
    emulatedbf16::MakeTable("emulatedbf16", "the AVX-512 BF16 kernels over plain C++, for tests");

namespace {
[[maybe_unused]] const bool registered = [] {
  static const KernelTable whole = WithBase(kEmulatedBf16Table);
  emulated_tables.EmulatedBf16 = &whole;
  return true;
}();
}  // namespace
}  // namespace octet::kernels
