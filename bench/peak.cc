// Inline assembly, so that no compiler changes what is timed: independent accumulators, operands in
// registers, one loop for each instruction or sequence that kernels multiply and accumulate with.
#include "bench/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <utility>

#include "kernels/dispatch.h"

namespace octet::bench {
namespace {

// Every loop runs kAccumulators independent chains, enough for latency 4 at two instructions a
// cycle with some to spare, and repeats them kRepeats times so that the loop's own two instructions
// do not count.
constexpr int kAccumulators = 12;
constexpr int kRepeats = 8;
constexpr int kStepsPerIteration = kAccumulators * kRepeats;

using LoopFn = void (*)(int64_t iterations);

struct Loop {
  const char* instruction;
  int macs_per_step;
  LoopFn run;
};

#define OCTET_REPEAT8(x) x x x x x x x x

#if defined(__x86_64__)

// Registers 0 to 11 accumulate, 12 and 13 hold the operands, 14 and 15 are temporaries. They are
// zero: the rate of these instructions does not depend on the data, and zeros never turn into
// denormals or infinities. Wide ones clear the upper halves: SSE2's instructions would wait for
// them ever after.
#define OCTET_TWELVE(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11)
#define OCTET_X86_LOOP(name, prepare, step, finish)                                              \
  void name(int64_t iterations) {                                                                \
    asm volatile(prepare "\n1:\n" OCTET_REPEAT8(OCTET_TWELVE(step)) "dec %0\n jnz 1b\n" finish   \
                 : "+r"(iterations)                                                              \
                 :                                                                               \
                 : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
                   "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");                \
  }

#define OCTET_CLEAR(n) "vpxor %%xmm" #n ", %%xmm" #n ", %%xmm" #n "\n"
#define OCTET_CLEAR_VEX OCTET_TWELVE(OCTET_CLEAR) OCTET_CLEAR(12) OCTET_CLEAR(13) OCTET_CLEAR(14)
#define OCTET_CLEAR_SSE_1(n) "pxor %%xmm" #n ", %%xmm" #n "\n"
#define OCTET_CLEAR_SSE \
  OCTET_TWELVE(OCTET_CLEAR_SSE_1) OCTET_CLEAR_SSE_1(12) OCTET_CLEAR_SSE_1(13) OCTET_CLEAR_SSE_1(14)

#define OCTET_VPDPBUSD_ZMM(n) "vpdpbusd %%zmm12, %%zmm13, %%zmm" #n "\n"
#define OCTET_VPDPBUSD_YMM(n) "%{vex%} vpdpbusd %%ymm12, %%ymm13, %%ymm" #n "\n"
#define OCTET_VDPBF16PS_ZMM(n) "vdpbf16ps %%zmm12, %%zmm13, %%zmm" #n "\n"
#define OCTET_FMA_ZMM(n) "vfmadd231ps %%zmm12, %%zmm13, %%zmm" #n "\n"
#define OCTET_FMA_YMM(n) "vfmadd231ps %%ymm12, %%ymm13, %%ymm" #n "\n"
// What the split kernels do at best: four products added up in 16 bits, then widened.
#define OCTET_PMADDUBSW_YMM \
  "vpmaddubsw %%ymm12, %%ymm13, %%ymm15\n vpaddw %%ymm15, %%ymm14, %%ymm14\n"
#define OCTET_CHAIN_YMM(n)                                                                \
  "vpmaddubsw %%ymm12, %%ymm13, %%ymm14\n" OCTET_PMADDUBSW_YMM OCTET_PMADDUBSW_YMM        \
      OCTET_PMADDUBSW_YMM "vpmaddwd %%ymm12, %%ymm14, %%ymm14\n vpaddd %%ymm14, %%ymm" #n \
  ", %%ymm" #n "\n"
#define OCTET_PMADDWD_XMM(n) \
  "movdqa %%xmm13, %%xmm14\n pmaddwd %%xmm12, %%xmm14\n paddd %%xmm14, %%xmm" #n "\n"
#define OCTET_MULADD_XMM(n) \
  "movaps %%xmm13, %%xmm14\n mulps %%xmm12, %%xmm14\n addps %%xmm14, %%xmm" #n "\n"

OCTET_X86_LOOP(VpdpbusdZmm, OCTET_CLEAR_VEX, OCTET_VPDPBUSD_ZMM, "vzeroupper\n")
OCTET_X86_LOOP(VpdpbusdYmm, OCTET_CLEAR_VEX, OCTET_VPDPBUSD_YMM, "vzeroupper\n")
OCTET_X86_LOOP(Vdpbf16psZmm, OCTET_CLEAR_VEX, OCTET_VDPBF16PS_ZMM, "vzeroupper\n")
OCTET_X86_LOOP(FmaZmm, OCTET_CLEAR_VEX, OCTET_FMA_ZMM, "vzeroupper\n")
OCTET_X86_LOOP(FmaYmm, OCTET_CLEAR_VEX, OCTET_FMA_YMM, "vzeroupper\n")
OCTET_X86_LOOP(ChainYmm, OCTET_CLEAR_VEX, OCTET_CHAIN_YMM, "vzeroupper\n")
OCTET_X86_LOOP(PmaddwdXmm, OCTET_CLEAR_SSE, OCTET_PMADDWD_XMM, "")
OCTET_X86_LOOP(MulAddXmm, OCTET_CLEAR_SSE, OCTET_MULADD_XMM, "")

const Loop* FindLoop(const std::string& isa, Arithmetic arithmetic) {
  static constexpr Loop kVpdpbusdZmm = {"vpdpbusd zmm", 64, VpdpbusdZmm};
  static constexpr Loop kVpdpbusdYmm = {"vpdpbusd ymm", 32, VpdpbusdYmm};
  static constexpr Loop kVdpbf16psZmm = {"vdpbf16ps zmm", 32, Vdpbf16psZmm};
  static constexpr Loop kFmaZmm = {"vfmadd231ps zmm", 16, FmaZmm};
  static constexpr Loop kFmaYmm = {"vfmadd231ps ymm", 8, FmaYmm};
  static constexpr Loop kChainYmm = {"4 vpmaddubsw+3 vpaddw+vpmaddwd+vpaddd ymm", 128, ChainYmm};
  static constexpr Loop kPmaddwdXmm = {"pmaddwd+paddd xmm", 8, PmaddwdXmm};
  static constexpr Loop kMulAddXmm = {"mulps+addps xmm", 4, MulAddXmm};
  const bool integer = arithmetic == Arithmetic::kInt8;
  if (isa == "avx512bf16" && arithmetic == Arithmetic::kBf16) return &kVdpbf16psZmm;
  if (isa == "avx512vnni" || isa == "avx512bf16") return integer ? &kVpdpbusdZmm : &kFmaZmm;
  if (isa == "avxvnni") return integer ? &kVpdpbusdYmm : &kFmaYmm;
  if (isa == "avx2") return integer ? &kChainYmm : &kFmaYmm;
  if (isa == "sse2") return integer ? &kPmaddwdXmm : &kMulAddXmm;
  return nullptr;
}

#elif defined(__aarch64__)

// v16 to v27 accumulate, v0 to v2 hold operands and temporaries; v8 to v15 are left alone, they
// belong to the caller.
#define OCTET_TWELVE(x) x(16) x(17) x(18) x(19) x(20) x(21) x(22) x(23) x(24) x(25) x(26) x(27)
#define OCTET_ARM_LOOP(name, arch, step)                                                         \
  void name(int64_t iterations) {                                                                \
    asm volatile(                                                                                \
        arch "movi v0.4s, #0\n movi v1.4s, #0\n" OCTET_TWELVE(OCTET_CLEAR) "1:\n" OCTET_REPEAT8( \
            OCTET_TWELVE(step)) "subs %0, %0, #1\n b.ne 1b\n"                                    \
        : "+r"(iterations)                                                                       \
        :                                                                                        \
        : "cc", "v0", "v1", "v2", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", \
          "v25", "v26", "v27");                                                                  \
  }
#define OCTET_CLEAR(n) "movi v" #n ".4s, #0\n"
#define OCTET_FMLA(n) "fmla v" #n ".4s, v0.4s, v1.4s\n"
#define OCTET_SDOT(n) "sdot v" #n ".4s, v0.16b, v1.16b\n"
#define OCTET_BFDOT(n) "bfdot v" #n ".4s, v0.8h, v1.8h\n"
#define OCTET_SMLAL(n) "smlal v" #n ".4s, v0.4h, v1.4h\n"

OCTET_ARM_LOOP(Fmla, "", OCTET_FMLA)
OCTET_ARM_LOOP(Sdot, ".arch armv8.2-a+dotprod\n", OCTET_SDOT)
OCTET_ARM_LOOP(Bfdot, ".arch armv8.2-a+bf16\n", OCTET_BFDOT)
OCTET_ARM_LOOP(Smlal, "", OCTET_SMLAL)

const Loop* FindLoop(const std::string& isa, Arithmetic arithmetic) {
  static constexpr Loop kFmla = {"fmla 4s", 4, Fmla};
  static constexpr Loop kSdot = {"sdot 16b", 16, Sdot};
  static constexpr Loop kBfdot = {"bfdot 8h", 8, Bfdot};
  static constexpr Loop kSmlal = {"smlal 4h", 4, Smlal};
  const bool integer = arithmetic == Arithmetic::kInt8;
  if (isa == "neonbf16" && arithmetic == Arithmetic::kBf16) return &kBfdot;
  if (isa == "neondot" || isa == "neoni8mm" || isa == "neonbf16") return integer ? &kSdot : &kFmla;
  if (isa == "neon") return integer ? &kSmlal : &kFmla;
  return nullptr;
}

#else

const Loop* FindLoop(const std::string&, Arithmetic) { return nullptr; }

#endif

/// The best of many short rounds: other programs on the machine only ever make a round slower.
double MeasureGmacs(const Loop& loop) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kIterations = 2000;  // About 0.1 ms.
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(50);
  double best = 1e30;
  do {
    const Clock::time_point start = Clock::now();
    loop.run(kIterations);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  } while (Clock::now() < end);
  return static_cast<double>(kIterations) * kStepsPerIteration * loop.macs_per_step / best * 1e-9;
}

}  // namespace

Peak MeasurePeak(const std::string& isa, Arithmetic arithmetic) {
  static std::map<std::pair<std::string, Arithmetic>, Peak> measured;
  const auto [it, inserted] = measured.try_emplace({isa, arithmetic});
  if (!inserted) return it->second;
  const Loop* loop = FindLoop(isa, arithmetic);
  if (loop == nullptr) return it->second;
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    if (info.name == isa && info.availability == kernels::Availability::kNative) {
      it->second = {loop->instruction, MeasureGmacs(*loop)};
    }
  }
  return it->second;
}

}  // namespace octet::bench
