// The fixed-point arithmetic of TFLite's reference kernels, after its published definition.
#ifndef OCTET_TESTS_UNIT_TFLITE_ARITHMETIC_H_
#define OCTET_TESTS_UNIT_TFLITE_ARITHMETIC_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace octet::testing {

/// tensorflow/lite/kernels/internal/quantization_util.cc, QuantizeMultiplier.
struct Multiplier {
  explicit Multiplier(double real) {
    const double fraction = std::frexp(real, &shift);
    int64_t fixed = static_cast<int64_t>(std::round(fraction * (int64_t{1} << 31)));
    if (fixed == int64_t{1} << 31) fixed /= 2, ++shift;
    if (shift < -31) fixed = shift = 0;
    value = static_cast<int32_t>(fixed);
  }
  int32_t value;
  int shift;
};

/// tensorflow/lite/kernels/internal/common.h and gemmlowp's fixedpoint.h.
inline int32_t DoublingHighMul(int32_t a, int32_t b) {
  const int64_t product = int64_t{a} * b;
  const int64_t nudge = product >= 0 ? 1 << 30 : 1 - (1 << 30);
  return static_cast<int32_t>((product + nudge) / (int64_t{1} << 31));
}
inline int32_t DivideByPowerOfTwo(int32_t x, int exponent) {
  const auto mask = static_cast<int32_t>((int64_t{1} << exponent) - 1);
  const int32_t remainder = x & mask, threshold = (mask >> 1) + (x < 0 ? 1 : 0);
  return (x >> exponent) + (remainder > threshold ? 1 : 0);
}
inline int32_t MultiplyTwice(int32_t x, int32_t multiplier, int shift) {
  const int left = std::max(shift, 0), right = std::max(-shift, 0);
  return DivideByPowerOfTwo(DoublingHighMul(x * (1 << left), multiplier), right);
}
/// What fully connected layers do: halves away from zero (measured: TensorFlow 2.21).
inline int32_t MultiplyOnce(int32_t x, int32_t multiplier, int shift) {
  const int64_t product = int64_t{x} * multiplier, half = int64_t{1} << (30 - shift);
  const int64_t magnitude = ((product < 0 ? -product : product) + half) >> (31 - shift);
  return static_cast<int32_t>(product < 0 ? -magnitude : magnitude);
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_TFLITE_ARITHMETIC_H_
