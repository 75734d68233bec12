// What the processor and the operating system allow.
#ifndef OCTET_KERNELS_CPU_FEATURES_H_
#define OCTET_KERNELS_CPU_FEATURES_H_

#include <string>

#include "kernels/instruction_sets.h"

namespace octet::kernels {

// bool Has<symbol>(): whether the processor has an instruction set of the family that is built for,
// and the operating system saves its registers.
#define OCTET_DECLARE(name, symbol, built, flags) bool Has##symbol();
OCTET_INSTRUCTION_SETS(OCTET_DECLARE)
#undef OCTET_DECLARE

/// Brand string of the processor, for reports.
std::string CpuModelName();

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_CPU_FEATURES_H_
