// Arithmetic of networks that were quantized for TFLite (Rounding::kTflite).
//
// TFLite's reference kernels multiply an int32 sum by a fixed-point number q * 2^(shift-31), q in
// [2^30, 2^31), in two steps that both round to the nearest: first to a whole multiple of 2^shift
// (when shift is negative), then to a whole number. The first step lifts what lies less than
// 2^(shift-1) below a half up to it, and the second then rounds that away from zero. Rounding once
// behind a step of 2^(shift-1) away from zero gives the same, but for numbers that floats cannot
// tell apart from the limit. Fully connected layers are rounded once, halves up (measured:
// TensorFlow 2.21).
#ifndef OCTET_ENGINE_SRC_TFLITE_ROUNDING_H_
#define OCTET_ENGINE_SRC_TFLITE_ROUNDING_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace octet {

inline double FixedValue(const kernels::FixedMultiplier& m) {
  return std::ldexp(static_cast<double>(m.q), m.shift - 31);
}

/// The step away from zero; 0 when there is only one rounding.
inline float TwiceRoundedNudge(const kernels::FixedMultiplier& m) {
  return m.shift < 0 ? std::ldexp(1.0f, m.shift - 1) : 0.0f;
}

/// `real` is finite and above 0. What is too small to make any difference becomes 0; beyond 2^30,
/// where everything saturates, 2^30.
inline kernels::FixedMultiplier ToFixedMultiplier(double real) {
  int shift = 0;
  int64_t q = std::llround(std::ldexp(std::frexp(std::min(real, 0x1p30), &shift), 31));
  if (q == int64_t{1} << 31) {
    q /= 2;
    ++shift;
  }
  if (shift < -31) return {};
  return {static_cast<int32_t>(q), shift};
}

/// For the mean of `count` values: the division goes into the multiplier, which loses bits on the
/// way.
inline kernels::FixedMultiplier ToFixedMean(double real, int64_t count) {
  kernels::FixedMultiplier m = ToFixedMultiplier(real);
  const int bits = std::clamp(
      std::min(static_cast<int>(std::bit_width(static_cast<uint64_t>(count))) - 1, 31 + m.shift), 0,
      31);
  m.q = static_cast<int32_t>((static_cast<int64_t>(m.q) << bits) / count);
  m.shift -= bits;
  return m;
}

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_TFLITE_ROUNDING_H_
