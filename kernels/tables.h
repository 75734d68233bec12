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

// Of pixels, which the sets that differ in integer products alone share.
extern const PixelKernels kReferencePixels;
extern const PixelKernels kSse2Pixels;
extern const PixelKernels kAvx2Pixels;
extern const PixelKernels kAvx512VnniPixels;
extern const PixelKernels kNeonPixels;

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_TABLES_H_
