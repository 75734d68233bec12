// The tables that dispatch.cc chooses from. Which of them exist depends on the processor family
// that is built for.
#ifndef OCTET_KERNELS_TABLES_H_
#define OCTET_KERNELS_TABLES_H_

#include "kernels/kernel_table.h"

namespace octet::kernels {

extern const KernelTable kReferenceTable;
extern const KernelTable kEmulated512Table;
extern const KernelTable kSse2Table;
extern const KernelTable kAvx2Table;
extern const KernelTable kAvxVnniTable;
extern const KernelTable kAvx512VnniTable;
extern const KernelTable kNeonTable;
extern const KernelTable kNeonDotTable;
extern const KernelTable kNeonI8mmTable;

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_TABLES_H_
