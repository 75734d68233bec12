// What each framework has: its filters, its defaults, and the options that are its alone.
// Descriptions leave out the options that are at their defaults.
#include "formats/model/preprocessing.h"

#include <cmath>
#include <initializer_list>

#include "formats/base/str_cat.h"

namespace octet {
namespace {

constexpr std::array<const char*, 3> kProperNames{"Pillow", "TensorFlow", "OpenCV"};

bool Has(Framework framework, ResizeFilter filter) {
  const auto one_of = [filter](std::initializer_list<ResizeFilter> all) {
    for (const ResizeFilter f : all)
      if (f == filter) return true;
    return false;
  };
  using enum ResizeFilter;
  switch (framework) {
    case Framework::kPillow:
      return one_of({kNearest, kBox, kBilinear, kHamming, kBicubic, kLanczos});
    case Framework::kTensorflow:
      return one_of({kNearest, kBilinear, kBicubic, kArea, kLanczos, kLanczos5});
    case Framework::kOpencv:
      return one_of({kNearest, kBilinear, kBicubic, kArea});
  }
  return false;
}

}  // namespace

Decoding DecodingOf(Framework framework) {
  Decoding d;
  d.framework = framework;
  if (framework == Framework::kTensorflow) d.dct = Dct::kFast;
  d.exif_orientation = framework == Framework::kOpencv;
  return d;
}

Resampling ResamplingOf(Framework framework) {
  Resampling r;
  r.framework = framework;
  r.to_float = framework == Framework::kTensorflow;
  return r;
}

ChannelQuantization QuantizationOfPixels(const Preprocessing& p, size_t channels) {
  ChannelQuantization q;
  for (size_t c = 0; c < channels; ++c) {
    q.scales.push_back(p.scale / p.stddev[c]);
    q.zero_points.push_back(p.mean[c] / p.scale);
  }
  return q;
}

Preprocessing UpToPixels(Preprocessing p) {
  const Preprocessing none;
  p.scale = none.scale;
  p.mean = none.mean;
  p.stddev = none.stddev;
  return p;
}

std::string ProblemOf(const Resampling& r) {
  const auto whose = kProperNames[static_cast<size_t>(r.framework)];
  const auto filter = NameOf(kResizeFilterNames, r.filter);
  if (!Has(r.framework, r.filter)) return StrCat("filter ", filter, " is none of ", whose, "'s");
  const bool tensorflow = r.framework == Framework::kTensorflow,
             pillow = r.framework == Framework::kPillow;
  if (r.antialias && !tensorflow) return "antialias is TensorFlow's alone";
  if (r.coordinates != Coordinates::kHalfPixel && !tensorflow)
    return "coordinates are TensorFlow's alone";
  if (r.passes != Passes::kHorizontalFirst && !pillow) return "passes are Pillow's alone";
  if (r.reducing_gap != 0.0f && !pillow) return "reducing_gap is Pillow's alone";
  if (!std::isfinite(r.reducing_gap) || (r.reducing_gap != 0.0f && r.reducing_gap < 1.0f))
    return StrCat("reducing_gap is ", r.reducing_gap, ", expected 0 or at least 1");
  if (r.reducing_gap != 0.0f && r.to_float)
    return "reducing_gap does not go with a result of floats";
  using enum ResizeFilter;
  if (r.antialias && (r.filter == kNearest || r.filter == kArea))
    return StrCat("antialias has no meaning for ", filter);
  const bool lanczos = r.filter == kLanczos || r.filter == kLanczos5;
  if (r.coordinates != Coordinates::kHalfPixel && (lanczos || r.antialias))
    return StrCat(NameOf(kCoordinatesNames, r.coordinates), " coordinates do not go with ",
                  lanczos ? filter : "antialias");
  if (r.coordinates == Coordinates::kAsymmetric && r.filter == kArea)
    return "area is the same with half-pixel and asymmetric coordinates: only the former are named";
  return "";
}

std::string Describe(const Decoding& d) {
  const Decoding usual = DecodingOf(d.framework);
  std::string s = StrCat("decoded as ", kProperNames[static_cast<size_t>(d.framework)]);
  if (d.dct != usual.dct) s += StrCat(", ", NameOf(kDctNames, d.dct), " DCT");
  if (d.upsampling != usual.upsampling)
    s += StrCat(", ", NameOf(kUpsamplingNames, d.upsampling), " upsampling");
  if (d.exif_orientation != usual.exif_orientation)
    s += d.exif_orientation ? ", turned as EXIF says" : ", EXIF orientation ignored";
  return s;
}

std::string Describe(const Resampling& r) {
  const Resampling usual = ResamplingOf(r.framework);
  std::string s;
  if (r.framework != Framework::kPillow)
    s = StrCat(kProperNames[static_cast<size_t>(r.framework)], "'s ");
  s += NameOf(kResizeFilterNames, r.filter);
  if (r.antialias) s += " with antialias";
  if (r.coordinates != usual.coordinates)
    s += StrCat(", ", NameOf(kCoordinatesNames, r.coordinates), " coordinates");
  if (r.passes != usual.passes) s += StrCat(", ", NameOf(kPassesNames, r.passes));
  if (r.reducing_gap != 0.0f) s += StrCat(", reducing_gap ", r.reducing_gap);
  if (r.to_float != usual.to_float) s += r.to_float ? ", as floats" : ", in 8 bits";
  return s;
}

}  // namespace octet
