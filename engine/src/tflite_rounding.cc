// MultiplyFixed and TfliteTerm are TFLite's own arithmetic, in integers. TfliteAffine looks for a
// scale and a shift with which one multiplication and addition in float give the same for all 256
// codes: the exact quotients, or where a value comes near the limit between two results, the best
// of their neighbours.
#include "engine/src/tflite_rounding.h"

#include <limits>

namespace octet {
namespace {

/// ADD works on operands shifted to the left by as much.
constexpr int kAddShift = 20;

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

TfliteSum ToTfliteSum(float a_scale, float b_scale, float y_scale) {
  const double twice_larger = 2.0 * static_cast<double>(std::max(a_scale, b_scale));
  return {ToFixedMultiplier(static_cast<double>(a_scale) / twice_larger),
          ToFixedMultiplier(static_cast<double>(b_scale) / twice_larger),
          ToFixedMultiplier(twice_larger / std::ldexp(static_cast<double>(y_scale), kAddShift))};
}

int32_t TfliteTerm(int32_t value, const kernels::FixedMultiplier& m) {
  return MultiplyFixed(value * (int64_t{1} << kAddShift), m);
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
