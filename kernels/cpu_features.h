// What the processor and the operating system allow.
#ifndef OCTET_KERNELS_CPU_FEATURES_H_
#define OCTET_KERNELS_CPU_FEATURES_H_

#include <string>

namespace octet::kernels {

struct CpuFeatures {
  bool avx2 = false;        ///< AVX2, FMA and F16C, with the OS saving ymm registers.
  bool avxvnni = false;     ///< avx2 and the VEX-encoded vpdpbusd.
  bool avx512vnni = false;  ///< AVX-512 F, BW, DQ, VL and VNNI, with the OS saving zmm registers.
  bool neondot = false;     ///< aarch64 SDOT/UDOT.
  bool i8mm = false;        ///< aarch64 USDOT/USMMLA.
};

/// Detected once.
const CpuFeatures& GetCpuFeatures();

/// Brand string of the processor, for reports.
std::string CpuModelName();

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_CPU_FEATURES_H_
