// The tables that dispatch.cc chooses from. Which of them exist depends on the processor family
// that is built for.
#ifndef OCTET_KERNELS_TABLES_H_
#define OCTET_KERNELS_TABLES_H_

#include "kernels/instruction_sets.h"
#include "kernels/kernel_table.h"

namespace octet::kernels {

/// Those with a base are parts, of which AllTables has the whole.
#define OCTET_DECLARE(name, symbol, built, flags) extern const KernelTable k##symbol##Table;
OCTET_INSTRUCTION_SETS(OCTET_DECLARE)
#undef OCTET_DECLARE

/// By symbol, in programs that link octet_emulated512, as tests do; else null.
struct EmulatedTables {
  const KernelTable *Emulated512 = nullptr, *EmulatedBf16 = nullptr;
};
extern constinit EmulatedTables emulated_tables;

extern const PixelKernels kReferencePixels;
extern const PixelKernels kSse2Pixels;
extern const PixelKernels kAvx2Pixels;
extern const PixelKernels kAvx512VnniPixels;
extern const PixelKernels kNeonPixels;

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_TABLES_H_
