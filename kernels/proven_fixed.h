// What the planner must know of fixed-point results that conv_u8_u8 computes in floats alone
// (ConvArgs::multiplier_rest).
#ifndef OCTET_KERNELS_PROVEN_FIXED_H_
#define OCTET_KERNELS_PROVEN_FIXED_H_

#include <algorithm>
#include <cmath>

#include "kernels/kernel_table.h"

namespace octet::kernels {

/// What the float of m, ConvArgs::multiplier, is less than m. Exact, as m has 31 bits.
inline float MultiplierRest(const FixedMultiplier& m) {
  const double value = std::ldexp(static_cast<double>(m.q), m.shift - 31);
  return static_cast<float>(value - static_cast<float>(value));
}

/// Whether such a kernel gives all results from `low` to `high`, relative to the zero point, of any
/// int32 sum times m: it compares sum * multiplier + (sum * multiplier_rest +- nudge) with the
/// limits between two results, where what is in brackets alone is rounded. So it does unless that
/// is nearly a limit for a whole sum, or is one.
inline bool ProveFixed(const FixedMultiplier& m, float nudge, float low, float high) {
  if (m.q == 0) return false;
  const double sums = std::ldexp(1.0 / m.q, 31 - m.shift);  // In a step of the output.
  const int limits = static_cast<int>(std::max(high, -low));
  // Beyond 2^24 not every sum is a float.
  if ((limits + 1) * sums > 0x1p24) return false;
  // The brackets hold at most nudge and 256 steps of 2^-24, and their two roundings are off by
  // 2^-24 of that; the doubles here are off by less than 2^-27 of a sum.
  const double margin = (nudge + 0x1p-15) * 0x1p-24 * sums + 0x1p-27;
  // On either side of 0 a limit is at i + 1/2 - nudge.
  const double first = (0.5 - nudge) * sums;
  double least = 1.0;
  for (int i = 0; i < limits; ++i) {
    constexpr double kRound = 0x1.8p52;
    const double at = first + i * sums;
    least = std::min(least, std::fabs(at - ((at + kRound) - kRound)));
  }
  return least > margin;
}

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PROVEN_FIXED_H_
