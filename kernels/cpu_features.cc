// An instruction set counts when the processor has it and the operating system saves its registers:
// on x86 by CPUID and XCR0, on aarch64 by what Linux says in the auxiliary vector and macOS by
// name.
#include "kernels/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
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

struct Cpuid {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// What the processor says, asked once: each question takes 70 microseconds in a virtual machine.
struct Processor {
  Cpuid one, seven, seven_one;  // Zeros for leaves that it does not have.
  uint64_t states = 0;          // Registers that the operating system saves (XCR0).
};

const Processor& GetProcessor() {
  static const Processor processor = [] {
    Processor p;
    const auto read = [](uint32_t leaf, uint32_t subleaf, Cpuid* r) {
      __cpuid_count(leaf, subleaf, r->eax, r->ebx, r->ecx, r->edx);
    };
    Cpuid zero;
    read(0, 0, &zero);
    read(1, 0, &p.one);
    if (zero.eax >= 7) read(7, 0, &p.seven);
    if (p.seven.eax >= 1) read(7, 1, &p.seven_one);
    if (Bit(p.one.ecx, 27)) {
      uint32_t low, high;
      asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
      p.states = static_cast<uint64_t>(high) << 32 | low;
    }
    return p;
  }();
  return processor;
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

#elif defined(__APPLE__)

bool Has(const char* feature) {
  int value = 0;
  size_t size = sizeof(value);
  return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
}

CpuFeatures Detect() {
  CpuFeatures features;
  features.neondot = Has("hw.optional.arm.FEAT_DotProd");
  features.i8mm = Has("hw.optional.arm.FEAT_I8MM");
  return features;
}

std::string Brand() {
  char text[256] = {};
  size_t size = sizeof(text) - 1;
  return sysctlbyname("machdep.cpu.brand_string", text, &size, nullptr, 0) == 0 ? text : "";
}

#elif defined(__aarch64__)

// There is no instruction to ask; Linux tells the board.
std::string Brand() {
  std::ifstream file("/proc/device-tree/model");
  std::string text;
  std::getline(file, text, '\0');
  return text;
}

#else

std::string Brand() { return ""; }

#endif

}  // namespace

bool HasReference() { return true; }

#if defined(__x86_64__)
bool HasSse2() { return true; }
bool HasAvx2() {
  const Processor& p = GetProcessor();
  return (p.states & 0x6) == 0x6 &&                                        // xmm and ymm.
         Bit(p.one.ecx, 12) && Bit(p.one.ecx, 29) && Bit(p.seven.ebx, 5);  // FMA, F16C, AVX2.
}
bool HasAvxVnni() { return HasAvx2() && Bit(GetProcessor().seven_one.eax, 4); }
bool HasAvx512Vnni() {
  const Processor& p = GetProcessor();
  return HasAvx2() && (p.states & 0xe6) == 0xe6 &&  // Masks and both parts of zmm too.
         Bit(p.seven.ebx, 16) && Bit(p.seven.ebx, 17) && Bit(p.seven.ebx, 30) &&
         Bit(p.seven.ebx, 31) && Bit(p.seven.ecx, 11);  // F, DQ, BW, VL, VNNI.
}
bool HasAvx512Bf16() { return HasAvx512Vnni() && Bit(GetProcessor().seven_one.eax, 5); }
#elif defined(__aarch64__)
bool HasNeon() { return true; }
bool HasNeonDot() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
bool HasNeonI8mm() { return HasNeonDot() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0; }
bool HasNeonBf16() { return HasNeonI8mm() && (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0; }
#endif

std::string CpuModelName() {
  std::string name = Brand();
  const size_t begin = name.find_first_not_of(' ');
  if (begin == std::string::npos) return "unknown processor";
  return name.substr(begin, name.find_last_not_of(' ') - begin + 1);
}

}  // namespace octet::kernels
