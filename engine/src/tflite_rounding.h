// Arithmetic of networks that were quantized for TFLite (Rounding::kTflite).
//
// TFLite's reference kernels multiply an int32 sum by a fixed-point number q * 2^(shift-31), q in
// [2^30, 2^31), in two steps that both round to the nearest: first to a whole multiple of 2^shift
// (when shift is negative), then to a whole number. The first step lifts what lies less than
// 2^(shift-1) below a half up to it, and the second then rounds that away from zero. Rounding once
// behind a step of 2^(shift-1) away from zero gives the same, but for numbers that floats cannot
// tell apart from the limit. Fully connected layers are rounded once, halves away from zero
// (measured: reference kernels of TensorFlow 2.21).
//
// Layers of 16-bit activations have sums of 64 bits, which a convolution multiplies by q rounded to
// 16 bits, and a fully connected layer by the real number in double; both are rounded once.
#ifndef OCTET_ENGINE_SRC_TFLITE_ROUNDING_H_
#define OCTET_ENGINE_SRC_TFLITE_ROUNDING_H_

#include <algorithm>
#include <array>
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

/// The number of at most 15 bits by which TFLite multiplies sums of 64 bits. With sums below 2^38,
/// as those of 16-bit activations are, a double holds every bit of the product. TFLite has none of
/// 128 or more; with 127 already everything saturates.
inline double ReducedMultiplier(double real) {
  const kernels::FixedMultiplier m = ToFixedMultiplier(std::min(real, 127.0));
  return std::ldexp(m.q < 0x7fff0000 ? (m.q + (1 << 15)) >> 16 : 0x7fff, m.shift - 15);
}

/// value * m as TFLite's MultiplyByQuantizedMultiplier gives it; |value| below 2^31.
int32_t MultiplyFixed(int64_t value, const kernels::FixedMultiplier& m);

/// TFLite's ADD of two values: fixed-point terms of 2^-bits of twice the larger scale, and the
/// factor from their sum to the result.
struct TfliteSum {
  kernels::FixedMultiplier a, b, sum;
};
inline constexpr int kTfliteSumBits = 20, kTfliteSumBits16 = 15;  ///< Of 8 and of 16-bit values.
TfliteSum ToTfliteSum(float a_scale, float b_scale, float y_scale, int bits = kTfliteSumBits);
/// The term of a value relative to its zero point.
int32_t TfliteTerm(int32_t value, const kernels::FixedMultiplier& m, int bits = kTfliteSumBits);

/// TFLite's SOFTMAX of 16-bit codes, whose results have steps of kSoftmaxScale: exp and 1 / (1 + x)
/// are read from tables, with straight lines between their 513 numbers.
inline constexpr float kSoftmaxScale = 0x1p-15f;
class TfliteSoftmax {
 public:
  explicit TfliteSoftmax(float x_scale);

  /// n codes, at least 1; `out` may be `x`.
  void Row(const int16_t* x, int n, int16_t* out) const;

 private:
  using Table = std::array<int16_t, 513>;
  template <typename Function>
  static Table MakeTable(double low, double high, Function function);
  static int32_t Lookup(const Table& table, int32_t x);

  kernels::FixedMultiplier difference_;  ///< To 1/65535 of 10.
  Table exp_, reciprocal_;
};

/// TFLite's MUL and ADD of an 8-bit activation and a constant k * unit (k a whole number), and its
/// QUANTIZE of one 8-bit activation to another, which is a MUL with 1. All are functions of one
/// byte: this finds the floats with which scale_shift_u8 gives the same results.
class TfliteAffine {
 public:
  static TfliteAffine Mul(float x_scale, float unit, float y_scale);
  static TfliteAffine Add(float x_scale, float unit, float y_scale);
  static TfliteAffine Requantize(float x_scale, float y_scale);

  /// Exact result relative to y's zero point, neither clamped nor moved by it. `x` is relative to
  /// its own.
  int32_t Exact(int32_t x, int32_t k) const;

  /// EltwiseArgs::nudge, the same for all channels.
  float nudge() const { return nudge_; }

  /// EltwiseArgs::scale and shift of one channel. Results are the exact ones for all 256 bytes; in
  /// the rare case that no float near the real factors gives them, for as many as possible.
  void Fit(int32_t k, int32_t x_zero, float low, float high, float* scale, float* shift) const;

 private:
  int Differences(int32_t k, int32_t x_zero, float low, float high, float scale, float shift) const;

  bool add_ = false;
  TfliteSum sum_;                    ///< ADD only.
  kernels::FixedMultiplier result_;  ///< MUL only.
  double scale_ = 1.0, unit_ = 1.0;  ///< Real factors: of x (MUL: times k), and of k (ADD).
  float nudge_ = 0.0f;
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_TFLITE_ROUNDING_H_
