// What one core can do at most: the rate of the multiply-accumulate instructions alone, operands in
// registers.
#ifndef OCTET_BENCH_PEAK_H_
#define OCTET_BENCH_PEAK_H_

#include <string>

namespace octet::bench {

/// Which arithmetic a kernel does. fp16 weights are widened, so they count as float, and so does
/// bfloat16 where the instruction set has no products of it.
enum class Arithmetic { kFloat, kInt8, kBf16 };

/// "float", "int8" or "bf16".
inline const char* ArithmeticName(Arithmetic a) {
  return a == Arithmetic::kInt8 ? "int8" : a == Arithmetic::kBf16 ? "bf16" : "float";
}

struct Peak {
  /// What was timed, e.g. "vpdpbusd zmm"; empty when there is no loop for it.
  const char* instruction = "";
  double gmacs = 0.0;  ///< 10^9 multiply-accumulates a second of one core; 0 when there is no loop.
};

/// The peak of instruction set `isa` (a KernelTable's name), measured on first use (about 50 ms)
/// and then remembered. Instruction sets that this processor lacks, and those that are not
/// instructions at all
/// ("reference", the emulated ones), have none. Not thread-safe.
Peak MeasurePeak(const std::string& isa, Arithmetic arithmetic);

}  // namespace octet::bench

#endif  // OCTET_BENCH_PEAK_H_
