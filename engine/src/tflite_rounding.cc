// MultiplyFixed and TfliteTerm are TFLite's own arithmetic, in integers. TfliteAffine looks for a
// scale and a shift with which one multiplication and addition in float give the same for all 256
// codes: the exact quotients, or where a value comes near the limit between two results, the best
// of their neighbours.
#include "engine/src/tflite_rounding.h"

#include <limits>

namespace octet {
namespace {

/// Rounds to nearest; halves away from zero, or negative ones towards it.
int64_t DivideRounding(int64_t value, int bits, bool negative_halves_to_zero) {
  if (bits == 0) return value;
  const int64_t half = int64_t{1} << (bits - 1);
  if (value >= 0) return (value + half) >> bits;
  return -((-value + half - (negative_halves_to_zero ? 1 : 0)) >> bits);
}

float Nudged(float v, float nudge) { return v + std::copysign(nudge, v); }

/// scale_shift_u8 before it rounds (kernels/kernel_table.h).
float Unrounded(int32_t x, float scale, float shift, float nudge, float low, float high) {
  const float product = static_cast<float>(x) * scale;
  return std::min(std::max(Nudged(product + shift, nudge), low), high);
}

}  // namespace

int32_t MultiplyFixed(int64_t value, const kernels::FixedMultiplier& m) {
  constexpr int64_t kLimit = std::numeric_limits<int32_t>::max();
  const int64_t shifted = std::clamp(value << std::max(m.shift, 0), -kLimit, kLimit);
  return static_cast<int32_t>(
      DivideRounding(DivideRounding(shifted * m.q, 31, true), std::max(-m.shift, 0), false));
}

TfliteSum ToTfliteSum(float a_scale, float b_scale, float y_scale, int bits) {
  const double twice_larger = 2.0 * static_cast<double>(std::max(a_scale, b_scale));
  return {ToFixedMultiplier(static_cast<double>(a_scale) / twice_larger),
          ToFixedMultiplier(static_cast<double>(b_scale) / twice_larger),
          ToFixedMultiplier(twice_larger / std::ldexp(static_cast<double>(y_scale), bits))};
}

int32_t TfliteTerm(int32_t value, const kernels::FixedMultiplier& m, int bits) {
  return MultiplyFixed(value * (int64_t{1} << bits), m);
}

// ---- SOFTMAX (internal/reference/softmax.h, SoftmaxInt16) ----

template <typename Function>
TfliteSoftmax::Table TfliteSoftmax::MakeTable(double low, double high, Function function) {
  // Numbers of 16 bits are 2^15ths. Each is moved by half of what a line to the next one would be
  // off at its middle.
  constexpr int kSteps = 512;
  const double step = (high - low) / kSteps;
  const auto clamped = [](double v) {
    return static_cast<int16_t>(std::clamp(v, -32768.0, 32767.0));
  };
  Table table;
  for (int i = 0; i < kSteps; ++i) {
    const double at = low + i * step;
    const double value = std::round(function(at) * 0x1p15);
    const double line = std::round((function(low + (i + 1) * step) * 0x1p15 + value) / 2.0);
    const double middle = std::round(function(at + step / 2.0) * 0x1p15);
    table[static_cast<size_t>(i)] = clamped(value - std::round((line - middle) / 2.0));
  }
  table[kSteps] = clamped(std::round(function(high) * 0x1p15));
  return table;
}

int32_t TfliteSoftmax::Lookup(const Table& table, int32_t x) {
  const auto index = static_cast<size_t>(256 + (x >> 7));
  const int32_t base = table[index], slope = table[index + 1] - base;
  return base + ((slope * (x & 127) + 64) >> 7);
}

TfliteSoftmax::TfliteSoftmax(float x_scale)
    : difference_(ToFixedMultiplier(static_cast<double>(x_scale) / (10.0 / 65535.0))),
      exp_(MakeTable(-10.0, 0.0, [](double x) { return std::exp(x); })),
      reciprocal_(MakeTable(0.0, 1.0, [](double x) { return 1.0 / (1.0 + x); })) {}

void TfliteSoftmax::Row(const int16_t* x, int n, int16_t* out) const {
  const int32_t largest = *std::max_element(x, x + n);
  int64_t sum = 0;
  for (int i = 0; i < n; ++i) {
    const int32_t scaled = MultiplyFixed(x[i] - largest, difference_);
    out[i] = static_cast<int16_t>(Lookup(exp_, std::clamp(scaled + 32767, -32768, 32767)));
    sum += out[i];
  }
  // As a number from 1 to 2, less 1, in 2^-16ths.
  const int zeros = std::countl_zero(static_cast<uint32_t>(sum));
  const auto mantissa = static_cast<int32_t>(((sum << (zeros - 1)) + (1 << 13)) >> 14);
  const int32_t reciprocal =
      Lookup(reciprocal_, std::clamp(mantissa - (1 << 15) - (1 << 16), -32768, 32767));
  const int right = 31 - zeros;
  for (int i = 0; i < n; ++i) {
    const int64_t v = (int64_t{out[i]} * reciprocal + (int64_t{1} << (right - 1))) >> right;
    out[i] = static_cast<int16_t>(std::clamp<int64_t>(v, 0, 32767));
  }
}

TfliteAffine TfliteAffine::Mul(float x_scale, float unit, float y_scale) {
  TfliteAffine a;
  // In single precision, as TFLite computes it.
  a.result_ = ToFixedMultiplier(static_cast<double>(x_scale * unit / y_scale));
  a.scale_ = FixedValue(a.result_);
  a.nudge_ = TwiceRoundedNudge(a.result_);
  return a;
}

TfliteAffine TfliteAffine::Requantize(float x_scale, float y_scale) {
  TfliteAffine a;
  a.result_ = ToFixedMultiplier(static_cast<double>(x_scale) / static_cast<double>(y_scale));
  a.scale_ = FixedValue(a.result_);
  a.nudge_ = TwiceRoundedNudge(a.result_);
  return a;
}

TfliteAffine TfliteAffine::Add(float x_scale, float unit, float y_scale) {
  TfliteAffine a;
  a.add_ = true;
  a.sum_ = ToTfliteSum(x_scale, unit, y_scale);
  a.scale_ = static_cast<double>(x_scale) / static_cast<double>(y_scale);
  a.unit_ = static_cast<double>(unit) / static_cast<double>(y_scale);
  a.nudge_ = 0x1p-16f;  // Halves go away from zero.
  return a;
}

int32_t TfliteAffine::Exact(int32_t x, int32_t k) const {
  if (!add_) return MultiplyFixed(int64_t{x} * k, result_);
  return MultiplyFixed(int64_t{TfliteTerm(x, sum_.a)} + TfliteTerm(k, sum_.b), sum_.sum);
}

int TfliteAffine::Differences(int32_t k, int32_t x_zero, float low, float high, float scale,
                              float shift) const {
  int count = 0;
  for (int32_t q = 0; q < 256; ++q) {
    const float exact = std::min(std::max(static_cast<float>(Exact(q - x_zero, k)), low), high);
    count += std::nearbyint(Unrounded(q - x_zero, scale, shift, nudge_, low, high)) != exact;
  }
  return count;
}

void TfliteAffine::Fit(int32_t k, int32_t x_zero, float low, float high, float* scale,
                       float* shift) const {
  *scale = static_cast<float>(add_ ? scale_ : scale_ * k);
  *shift = static_cast<float>(add_ ? unit_ * k : 0.0);
  // Only near a limit between two results can a float's error matter, and few channels have a value
  // there.
  const float near = 0.5f - 0x1p-12f - std::fabs(*shift) * 0x1p-21f;
  int close = 0;
  for (int32_t q = 0; q < 256; ++q) {
    const float v = Unrounded(q - x_zero, *scale, *shift, nudge_, low, high);
    constexpr float kRound = 0x1.8p23f;
    close += std::fabs(v - ((v + kRound) - kRound)) > near;
  }
  if (close == 0) return;
  int best = Differences(k, x_zero, low, high, *scale, *shift);
  const float scale0 = *scale, shift0 = *shift;
  constexpr float kSteps[] = {0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 4.0f, -4.0f, 8.0f, -8.0f};
  for (const float shift_step : kSteps) {
    for (const float scale_step : kSteps) {
      if (best == 0) return;
      const float new_scale = scale0 + scale0 * (scale_step * 0x1p-23f);
      const float new_shift = shift0 + shift_step * 0x1p-15f;
      const int count = Differences(k, x_zero, low, high, new_scale, new_shift);
      if (count >= best) continue;
      best = count;
      *scale = new_scale;
      *shift = new_shift;
    }
  }
}

}  // namespace octet
