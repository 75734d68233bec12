// Two ranges are compared: what the preprocessing makes of pixels 0 and 255, and what the network
// was calibrated on, which is measured or read off the quantization at the graph's head. The texts
// describe the same preprocessing.
#include "formats/model/input_meaning.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "formats/base/str_cat.h"
#include "formats/model/preprocessing.h"

namespace octet {
namespace {

/// Calibration images need not hold both black and white; ranges that differ by more were not made
/// of the same pixels. A range that is too narrow saturates, and that of a file always holds 0: of
/// a network that maps 0..255 to -1..1 and was calibrated on 0..1 it tells half of the pixels'.
constexpr float kTooNarrow = 1.9f, kTooWide = 3.0f;

std::string Number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", v == 0.0 ? 0.0 : v);
  return text;
}

std::string Text(const ValueRange& r) { return StrCat(Number(r.min), "..", Number(r.max)); }

/// One number where all channels have the same, else a list.
template <typename Values>
std::string PerChannel(const Values& values, size_t channels) {
  const bool same =
      std::all_of(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(channels),
                  [&](float v) { return v == values[0]; });
  if (same) return Number(values[0]);
  std::string s = "[";
  for (size_t c = 0; c < channels; ++c) s += (c == 0 ? "" : " ") + Number(values[c]);
  return s + "]";
}

/// Of the first `channels` values, whether all are `value`.
template <typename Values>
bool All(const Values& values, size_t channels, float value) {
  return std::all_of(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(channels),
                     [value](float v) { return v == value; });
}

/// "(pixel * 1/255 - 0.5) / 0.25", or "pixel".
std::string Arithmetic(const Preprocessing& pre, size_t channels) {
  std::string s = "pixel";
  const double inverse = 1.0 / pre.scale;
  if (pre.scale != 1.0f) {
    const bool whole =
        inverse > 1.5 && std::fabs(inverse - std::nearbyint(inverse)) < 1e-4 * inverse;
    s += whole ? StrCat(" * 1/", Number(std::nearbyint(inverse))) : " * " + Number(pre.scale);
  }
  const bool no_mean = All(pre.mean, channels, 0.0f), no_std = All(pre.stddev, channels, 1.0f);
  if (!no_mean) s += " - " + PerChannel(pre.mean, channels);
  if (!no_std) s = (no_mean ? s : "(" + s + ")") + " / " + PerChannel(pre.stddev, channels);
  return s;
}

/// Whether larger pixels are normalized as those from 0 to 1 are: by means within, or deviations
/// that make more of them.
bool IsOfUnitPixels(const Preprocessing& pre, size_t channels) {
  const auto within = [channels](const std::array<float, 4>& values) {
    return std::all_of(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(channels),
                       [](float v) { return v > 0.0f && v < 1.0f; });
  };
  return 255.0f * pre.scale > 16.0f && (within(pre.mean) || within(pre.stddev));
}

std::string Resizing(const Preprocessing& pre, const Shape& shape) {
  const std::string size = StrCat(shape[2], "x", shape[1]);
  const std::string filter = Describe(pre.resampling);
  switch (pre.resize) {
    case ResizeRule::kNone:
      return StrCat("not resized (", size, " is wanted)");
    case ResizeRule::kStretch:
      return StrCat("stretched to ", size, " (", filter, ")");
    case ResizeRule::kCenterCrop:
      return StrCat("shorter side ", pre.resize_shorter, " (", filter, "), centre ", size);
    case ResizeRule::kLetterbox:
      return StrCat("scaled into ", size, " (", filter, ")");
    case ResizeRule::kCropToAspect:
      return StrCat("cut to the aspect of ", size, " and scaled (", filter, ")");
  }
  return "";
}

ValueRange RangeOf(const Tensor& t) {
  const Quantization& q = t.quantization;
  const CodeRange codes = CodesOf(t.dtype);
  return {q.scale * static_cast<float>(codes.low - q.zero_point),
          q.scale * static_cast<float>(codes.high - q.zero_point)};
}

/// What the graph's quantization says of its input: its own, or that of what it becomes behind
/// arithmetic at the head.
std::optional<ValueRange> QuantizedRange(const Graph& g) {
  const TensorId input = g.inputs[0];
  const Tensor& t = g.tensor(input);
  if (const ChannelQuantization q = ChannelsOfInput(g); !q.empty()) {
    ValueRange all{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
    for (size_t c = 0; c < q.scales.size(); ++c) {
      all.min = std::min(all.min, q.scales[c] * (0.0f - q.zero_points[c]));
      all.max = std::max(all.max, q.scales[c] * (255.0f - q.zero_points[c]));
    }
    return all;
  }
  if (IsCodes(t.dtype)) return RangeOf(t);
  const Node* head = nullptr;
  for (const Node& n : g.nodes) {
    if (n.inputs[0] == input && n.type == OpType::kScaleShift) head = &n;
    if (n.type != OpType::kQuantize || g.tensor(n.inputs[0]).dtype != DType::kF32 ||
        !IsCodes(g.tensor(n.output).dtype))
      continue;
    const ValueRange r = RangeOf(g.tensor(n.output));
    if (n.inputs[0] == input) return r;
    if (head == nullptr || n.inputs[0] != head->output) continue;
    const auto scale = g.tensor(head->inputs[kInputScale]).values<float>(),
               shift = g.tensor(head->inputs[kInputShift]).values<float>();
    ValueRange all{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
    for (size_t c = 0; c < scale.size(); ++c) {
      const float a = (r.min - shift[c]) / scale[c], b = (r.max - shift[c]) / scale[c];
      all = {std::min({all.min, a, b}), std::max({all.max, a, b})};
    }
    if (std::isfinite(all.min) && std::isfinite(all.max)) return all;
  }
  return std::nullopt;
}

}  // namespace

ChannelQuantization ChannelsOfInput(const Graph& g) {
  if (!g.metadata.pixel_codes) return {};
  const Shape& shape = g.tensor(g.inputs[0]).shape;
  return QuantizationOfPixels(g.metadata.preprocessing, static_cast<size_t>(shape.back()));
}

std::string Describe(const ChannelQuantization& q) {
  return StrCat(PerChannel(q.scales, q.scales.size()), "*(q-",
                PerChannel(q.zero_points, q.zero_points.size()), ")");
}

bool GetsRawPixels(const Graph& g) {
  const Tensor& input = g.tensor(g.inputs[0]);
  const Preprocessing& p = g.metadata.preprocessing;
  if (!TakesPhotos(input.shape) || input.dtype != DType::kF32) return false;
  if (Arithmetic(p, static_cast<size_t>(input.shape[3])) != "pixel") return false;
  return std::none_of(g.nodes.begin(), g.nodes.end(), [&](const Node& n) {
    return n.inputs[0] == g.inputs[0] &&
           (n.type == OpType::kScaleShift || n.type == OpType::kQuantize);
  });
}

InputMeaning MeaningOfInput(const Graph& g, std::optional<ValueRange> measured) {
  InputMeaning m;
  const Shape& shape = g.tensor(g.inputs[0]).shape;
  const Preprocessing& pre = g.metadata.preprocessing;
  m.calibrated = measured ? measured : QuantizedRange(g);
  if (TakesPhotos(shape)) {
    const auto channels = static_cast<size_t>(shape[3]);
    ValueRange r{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
    for (size_t c = 0; c < channels; ++c) {
      for (const float pixel : {0.0f, 255.0f}) {
        const float v = (pixel * pre.scale - pre.mean[c]) / pre.stddev[c];
        r = {std::min(r.min, v), std::max(r.max, v)};
      }
    }
    m.pixels = r;
    const std::string arithmetic = Arithmetic(pre, channels);
    const std::string order = channels == 3 && pre.order == ChannelOrder::kBgr ? ", BGR" : "";
    m.text = StrCat(arithmetic, order, ": ", Text(r));
    m.preprocessing =
        StrCat(Describe(pre.decoding), ", ", Resizing(pre, shape), order, ", ",
               arithmetic == "pixel" ? "none: the network gets pixels 0..255" : arithmetic);
  } else {
    m.text = "numbers of the source's own input";
  }
  if (m.calibrated) m.text += "; calibrated on " + Text(*m.calibrated);
  if (m.pixels && m.calibrated) {
    const float pixels = m.pixels->max - m.pixels->min,
                calibrated = m.calibrated->max - m.calibrated->min;
    const bool apart = m.pixels->min > m.calibrated->max || m.pixels->max < m.calibrated->min;
    if (apart || pixels > kTooNarrow * calibrated || calibrated > kTooWide * pixels) {
      m.doubt = StrCat("photos give the network ", Text(*m.pixels), ", and it was calibrated on ",
                       Text(*m.calibrated),
                       "; say by --preprocessing what makes of pixels what the calibration saw, or "
                       "calibrate with photos from black to white");
    }
  }
  if (m.doubt.empty() && m.pixels && IsOfUnitPixels(pre, static_cast<size_t>(shape[3]))) {
    m.doubt = StrCat("mean and std are those of pixels from 0 to 1, and pixels from 0 to ",
                     Number(255.0 * pre.scale), " are given: the network gets ", Text(*m.pixels),
                     "; give --preprocessing the scale 1/255 too");
  }
  if (m.doubt.empty() && g.metadata.options.find(kRawPixelsOption) != std::string::npos)
    m.doubt = kRawPixelsWarning;
  return m;
}

}  // namespace octet
