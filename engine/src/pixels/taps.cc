// Each framework's weights in its own types and order of operations, so that they round alike:
// Pillow's in double, TensorFlow's mostly in float.
#include "engine/src/pixels/taps.h"

#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace octet {
namespace {

double PillowSupport(ResizeFilter filter) {
  switch (filter) {
    case ResizeFilter::kBox:
      return 0.5;
    case ResizeFilter::kBicubic:
      return 2.0;
    case ResizeFilter::kLanczos:
      return 3.0;
    default:
      return 1.0;
  }
}

double Sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double PillowWeight(ResizeFilter filter, double at) {
  const double x = std::fabs(at);
  switch (filter) {
    case ResizeFilter::kBox:
      return at > -0.5 && at <= 0.5 ? 1.0 : 0.0;
    case ResizeFilter::kHamming: {
      if (x == 0.0) return 1.0;
      if (x >= 1.0) return 0.0;
      const double angle = x * std::numbers::pi;
      return std::sin(angle) / angle * (double{0.54f} + double{0.46f} * std::cos(angle));
    }
    case ResizeFilter::kBicubic: {
      constexpr double a = -0.5;
      if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
      if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
      return 0.0;
    }
    case ResizeFilter::kLanczos:
      return at >= -3.0 && at < 3.0 ? Sinc(at) * Sinc(at / 3.0) : 0.0;
    default:
      return x < 1.0 ? 1.0 - x : 0.0;
  }
}

struct PillowScale {
  double scale, filter_scale, support;
  PillowScale(ResizeFilter filter, const Axis& axis) {
    const double extent = axis.in_extent != 0.0 ? axis.in_extent : axis.in_size;
    scale = extent / static_cast<double>(axis.out_size);
    filter_scale = std::max(scale, 1.0);
    support = PillowSupport(filter) * filter_scale;
  }
  int taps() const { return static_cast<int>(std::ceil(support)) * 2 + 1; }
};

float TensorflowRadius(ResizeFilter filter) {
  switch (filter) {
    case ResizeFilter::kBicubic:
      return 2.0f;
    case ResizeFilter::kLanczos:
      return 3.0f;
    case ResizeFilter::kLanczos5:
      return 5.0f;
    default:
      return 1.0f;
  }
}

float TensorflowWeight(ResizeFilter filter, float x) {
  x = std::fabs(x);
  switch (filter) {
    case ResizeFilter::kBicubic:
      if (x >= 2.0f) return 0.0f;
      if (x >= 1.0f) return ((-0.5f * x + 2.5f) * x - 4.0f) * x + 2.0f;
      return ((1.5f * x - 2.5f) * x) * x + 1.0f;
    case ResizeFilter::kLanczos:
    case ResizeFilter::kLanczos5: {
      constexpr float kPi = 3.14159265359f;
      const float radius = TensorflowRadius(filter);
      if (x > radius) return 0.0f;
      if (x <= 1e-3f) return 1.0f;
      return radius * std::sin(kPi * x) * std::sin(kPi * x / radius) / (kPi * kPi * x * x);
    }
    default:
      return x < 1.0f ? 1.0f - x : 0.0f;
  }
}

/// Whether the filter is computed by ScaleAndTranslate.
bool IsSpans(const Resampling& r) {
  return r.antialias || r.filter == ResizeFilter::kLanczos || r.filter == ResizeFilter::kLanczos5;
}

/// tf.image.resize's scale, out / in, and what ScaleAndTranslate makes of it.
struct SpanScale {
  float inverse, kernel;
  int64_t size;
  SpanScale(const Resampling& r, const Axis& axis) {
    const float scale = static_cast<float>(axis.out_size) / static_cast<float>(axis.in_size);
    inverse = static_cast<float>(1.0 / double{scale});
    kernel = r.antialias ? std::max(inverse, 1.0f) : 1.0f;
    size = std::min<int64_t>(
        2 * static_cast<int64_t>(std::ceil(TensorflowRadius(r.filter) * kernel)) + 1, axis.in_size);
  }
};

void SpanTaps(const Resampling& r, const Axis& axis, Taps<float>* taps) {
  const SpanScale s(r, axis);
  taps->Reserve(axis, static_cast<int>(s.size));
  const float reach = TensorflowRadius(r.filter) * s.kernel, one_over_kernel = 1.0f / s.kernel;
  for (int i = 0; i < axis.outputs; ++i) {
    const float at = (static_cast<float>(axis.begin + i) + 0.5f) * s.inverse + 0.0f;
    if (at < 0.0f || at > static_cast<float>(axis.in_size)) continue;
    const auto clamp = [&](float v) {
      return static_cast<int>(std::clamp(v, 0.0f, static_cast<float>(axis.in_size - 1)));
    };
    const int first = clamp(std::ceil(at - reach - 0.5f));
    const int count = clamp(std::floor(at + reach - 0.5f)) + 1 - first;
    float* out = taps->weights.data() + static_cast<int64_t>(i) * taps->taps;
    float sum = 0.0f;
    for (int j = 0; j < count; ++j) {
      const float distance = static_cast<float>(first + j) + 0.5f - at;
      out[j] = TensorflowWeight(r.filter, std::fabs(distance * one_over_kernel));
      sum += out[j];
    }
    const bool any = std::fabs(sum) >= 1000.0f * std::numeric_limits<float>::min();
    const float normalize = any ? 1.0f / sum : 0.0f;
    for (int j = 0; j < count; ++j) out[j] *= normalize;
    taps->first[i] = first;
    taps->count[i] = count;
  }
}

/// Weights of a table of 1024 steps: of distances 0 to 1, and 1 to 2.
struct CubicTable {
  static constexpr int kSteps = 1024;
  std::array<float, 2 * (kSteps + 1)> values;
  explicit CubicTable(double a) {
    for (int i = 0; i <= kSteps; ++i) {
      float x = static_cast<float>(i * 1.0 / kSteps);
      values[2 * i] =
          static_cast<float>(((a + 2) * double{x} - (a + 3)) * double{x} * double{x} + 1);
      x = static_cast<float>(double{x} + 1.0);
      values[2 * i + 1] =
          static_cast<float>(((a * double{x} - 5 * a) * double{x} + 8 * a) * double{x} - 4 * a);
    }
  }
};

void CubicTaps(const Resampling& r, const Axis& axis, Taps<float>* taps) {
  const bool keys = r.coordinates == Coordinates::kHalfPixel;
  const CubicTable table(keys ? -0.5 : -0.75);
  const float scale = TensorflowScale(axis, r.coordinates);
  taps->Reserve(axis, 4);
  for (int i = 0; i < axis.outputs; ++i) {
    const float at = TensorflowPosition(axis.begin + i, scale, r.coordinates);
    const auto whole = static_cast<int>(std::floor(at));
    const float delta = at - static_cast<float>(whole);
    const auto step = static_cast<int>(std::lrint(delta * float{CubicTable::kSteps}));
    const int other = CubicTable::kSteps - step;
    float w[4] = {table.values[2 * step + 1], table.values[2 * step], table.values[2 * other],
                  table.values[2 * other + 1]};
    if (keys) {  // Pixels outside do not count.
      for (int j = 0; j < 4; ++j)
        if (whole - 1 + j < 0 || whole - 1 + j >= axis.in_size) w[j] = 0.0f;
      const float sum = w[0] + w[1] + w[2] + w[3];
      if (std::fabs(sum) >= 1000.0f * std::numeric_limits<float>::min()) {
        const float normalize = 1.0f / sum;
        for (float& v : w) v *= normalize;
      }
    }
    taps->first[i] = whole - 1;
    taps->count[i] = 4;
    std::copy_n(w, 4, taps->weights.data() + static_cast<int64_t>(i) * 4);
  }
}

void AreaTaps(const Resampling& r, const Axis& axis, Taps<float>* taps) {
  const float scale = TensorflowScale(axis, r.coordinates);
  taps->Reserve(axis, static_cast<int>(TensorflowTapsPerOutput(r, axis)));
  for (int i = 0; i < axis.outputs; ++i) {
    const float begin = static_cast<float>(axis.begin + i) * scale,
                end = static_cast<float>(axis.begin + i + 1) * scale;
    const auto first = static_cast<int>(std::floor(begin)),
               last = static_cast<int>(std::ceil(end)) - 1;
    const auto weight = [&](int at) {
      const auto low = static_cast<float>(at), high = static_cast<float>(at + 1);
      if (low < begin) return high > end ? scale : high - begin;
      return high > end ? end - low : 1.0f;
    };
    float* out = taps->weights.data() + static_cast<int64_t>(i) * taps->taps;
    for (int at = first; at <= last; ++at) out[at - first] = weight(at);
    taps->first[i] = first;
    taps->count[i] = last + 1 - first;
  }
}

}  // namespace

float TensorflowScale(const Axis& axis, Coordinates coordinates) {
  return coordinates == Coordinates::kAlignCorners && axis.out_size > 1
             ? static_cast<float>(axis.in_size - 1) / static_cast<float>(axis.out_size - 1)
             : static_cast<float>(axis.in_size) / static_cast<float>(axis.out_size);
}

float TensorflowPosition(int64_t i, float scale, Coordinates coordinates) {
  const auto x = static_cast<float>(i);
  return coordinates == Coordinates::kHalfPixel ? (x + 0.5f) * scale - 0.5f : x * scale;
}

int64_t PillowTapsPerOutput(ResizeFilter filter, const Axis& axis) {
  return PillowScale(filter, axis).taps();
}

void PillowTaps(ResizeFilter filter, const Axis& axis, Taps<double>* taps) {
  const PillowScale s(filter, axis);
  taps->Reserve(axis, s.taps());
  const double inverse = 1.0 / s.filter_scale;
  for (int i = 0; i < axis.outputs; ++i) {
    const double center = (static_cast<double>(axis.begin + i) + 0.5) * s.scale;
    const int first = std::max(0, static_cast<int>(center - s.support + 0.5));
    const int count = std::min(axis.in_size, static_cast<int>(center + s.support + 0.5)) - first;
    double* out = taps->weights.data() + static_cast<int64_t>(i) * taps->taps;
    double sum = 0.0;
    for (int j = 0; j < count; ++j) {
      out[j] = PillowWeight(filter, (j + first - center + 0.5) * inverse);
      sum += out[j];
    }
    for (int j = 0; j < count && sum != 0.0; ++j) out[j] /= sum;
    taps->first[i] = first;
    taps->count[i] = count;
  }
}

bool PillowIsHorizontalFirst(Passes passes, int64_t in_width, int64_t in_height, int64_t width,
                             int64_t height) {
  if (passes == Passes::kHorizontalFirst) return in_height <= in_width * 100 || height >= in_height;
  return in_height <= height || in_height - height <= (in_width - width) * 2;
}

int64_t TensorflowTapsPerOutput(const Resampling& r, const Axis& axis) {
  if (IsSpans(r)) return SpanScale(r, axis).size;
  if (r.filter == ResizeFilter::kBicubic) return 4;
  return static_cast<int64_t>(std::ceil(TensorflowScale(axis, r.coordinates))) + 2;
}

void TensorflowTaps(const Resampling& r, const Axis& axis, Taps<float>* taps) {
  if (IsSpans(r)) {
    SpanTaps(r, axis, taps);
  } else if (r.filter == ResizeFilter::kBicubic) {
    CubicTaps(r, axis, taps);
  } else {
    AreaTaps(r, axis, taps);
  }
}

}  // namespace octet
