// The fixed-point arithmetic of TFLite's reference kernels, after its published definition.
#ifndef OCTET_TESTS_UNIT_TFLITE_ARITHMETIC_H_
#define OCTET_TESTS_UNIT_TFLITE_ARITHMETIC_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

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

/// Of sums of 64 bits, in common.cc; TFLite keeps 32 bits of the result.
inline int64_t MultiplyWide(int64_t x, int32_t multiplier, int shift) {
  const int32_t reduced = multiplier < 0x7fff0000 ? (multiplier + (1 << 15)) >> 16 : 0x7fff;
  const int total = 15 - shift;
  return (x * reduced + (int64_t{1} << (total - 1))) >> total;
}
/// Fully connected layers of int16, in internal/reference/integer_ops/fully_connected.h.
inline int64_t MultiplyReal(int64_t x, double real) {
  return static_cast<int64_t>(std::round(static_cast<double>(x) * real));
}

/// LUTPopulate of int16, and LUTLookup, in common.h.
inline std::vector<int16_t> PopulateTable(double min, double max,
                                          const std::function<double(double)>& f) {
  const double step = (max - min) / 512, inverse = 65536.0 / 2.0;
  const auto limited = [](double v) {
    return static_cast<int16_t>(std::min(std::max(v, -32768.0), 32767.0));
  };
  std::vector<int16_t> table;
  for (int i = 0; i < 512; ++i) {
    const double value = f(min + i * step), half = f(min + i * step + step / 2),
                 next = f(min + (i + 1) * step);
    const double sample = std::round(value * inverse);
    const double interpolated = std::round((next * inverse + std::round(value * inverse)) / 2);
    const double error = interpolated - std::round(half * inverse);
    table.push_back(limited(sample - std::round(error / 2)));
  }
  table.push_back(limited(std::round(f(max) * inverse)));
  return table;
}
inline int16_t LookupTable(int16_t value, const std::vector<int16_t>& table) {
  const auto index = static_cast<uint16_t>(256 + (value >> 7));
  const auto offset = static_cast<int16_t>(value & 0x7f);
  const int16_t base = table[index];
  const auto slope = static_cast<int16_t>(table[index + 1u] - base);
  const int32_t delta = (static_cast<int32_t>(slope) * offset + 64) >> 7;
  return static_cast<int16_t>(base + delta);
}

/// internal/reference/softmax.h and activations.cc, one row.
inline std::vector<int16_t> SoftmaxInt16(const std::vector<int16_t>& x, float scale) {
  const std::vector<int16_t> exp_table =
      PopulateTable(-10.0, 0.0, [](double v) { return std::exp(v); });
  const std::vector<int16_t> reciprocal_table =
      PopulateTable(0.0, 1.0, [](double v) { return 1.0 / (1.0 + v); });
  const Multiplier m(static_cast<double>(scale) / (10.0 / 65535.0));
  const auto saturated = [](int32_t v) {
    return static_cast<int16_t>(std::min(std::max(v, -32768), 32767));
  };
  const int16_t max = *std::max_element(x.begin(), x.end());
  std::vector<int16_t> result;
  int32_t sum = 0;
  for (const int16_t v : x) {
    const int32_t difference = MultiplyTwice(v - max, m.value, m.shift);
    result.push_back(LookupTable(saturated(difference + 32767), exp_table));
    sum += result.back();
  }
  const int headroom = __builtin_clz(static_cast<uint32_t>(sum));
  const auto shifted =
      static_cast<int32_t>(((static_cast<int64_t>(sum) << (headroom - 1)) + (1 << 13)) >> 14);
  const int16_t reciprocal =
      LookupTable(saturated(shifted - ((1 << 15) + (1 << 16))), reciprocal_table);
  for (int16_t& v : result) {
    const int right = 31 - headroom;
    const auto scaled = static_cast<int32_t>(
        (static_cast<int64_t>(v) * reciprocal + (int64_t{1} << (right - 1))) >> right);
    v = static_cast<int16_t>(std::min(std::max(scaled, 0), 32767));
  }
  return result;
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_TFLITE_ARITHMETIC_H_
