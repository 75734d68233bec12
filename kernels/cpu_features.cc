// An instruction set counts when the processor has it and the operating system saves its registers:
// on x86 by CPUID and XCR0, on aarch64 by what Linux says in the auxiliary vector.
#include "kernels/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <cstring>
#include <fstream>

namespace octet::kernels {
namespace {

#if defined(__x86_64__)

bool Bit(uint32_t value, int bit) { return (value >> bit & 1) != 0; }

// Which register states the operating system saves (XCR0); 0 when it uses no xsave at all.
uint64_t EnabledStates() {
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !Bit(ecx, 27)) return 0;
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

CpuFeatures Detect() {
  CpuFeatures features;
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return features;
  const bool fma = Bit(ecx, 12), f16c = Bit(ecx, 29);
  const uint64_t states = EnabledStates();
  constexpr uint64_t kYmm = 0x6,
                     kZmm = 0xe6;  // xmm and ymm; and the mask registers and both parts of zmm.
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return features;
  const uint32_t last_subleaf = eax;
  features.avx2 = (states & kYmm) == kYmm && fma && f16c && Bit(ebx, 5);
  const bool avx512 = Bit(ebx, 16) && Bit(ebx, 17) && Bit(ebx, 30) && Bit(ebx, 31);
  features.avx512vnni = features.avx2 && (states & kZmm) == kZmm && avx512 && Bit(ecx, 11);
  if (last_subleaf >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) {
    features.avxvnni = features.avx2 && Bit(eax, 4);
  }
  return features;
}

std::string Brand() {
  uint32_t words[12];
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(0x80000000u, &eax, &ebx, &ecx, &edx) || eax < 0x80000004u) return "";
  for (uint32_t i = 0; i < 3; ++i) {
    __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                &words[4 * i + 3]);
  }
  char text[sizeof(words) + 1] = {};
  std::memcpy(text, words, sizeof(words));
  return text;
}

#elif defined(__aarch64__)

CpuFeatures Detect() {
  CpuFeatures features;
  features.neondot = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  features.i8mm = (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
  return features;
}

// There is no instruction to ask; Linux tells the board.
std::string Brand() {
  std::ifstream file("/proc/device-tree/model");
  std::string text;
  std::getline(file, text, '\0');
  return text;
}

#else

CpuFeatures Detect() { return {}; }
std::string Brand() { return ""; }

#endif

}  // namespace

const CpuFeatures& GetCpuFeatures() {
  static const CpuFeatures features = Detect();
  return features;
}

std::string CpuModelName() {
  std::string name = Brand();
  const size_t begin = name.find_first_not_of(' ');
  if (begin == std::string::npos) return "unknown processor";
  return name.substr(begin, name.find_last_not_of(' ') - begin + 1);
}

}  // namespace octet::kernels
