// Fields stand in the order in which things are done. Options of decoding and scaling are left out
// where they are the framework's defaults, but for the filter, and of scaling where there is none.
#include "formats/data/preprocessing_json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "formats/base/str_cat.h"
#include "formats/model/preprocessing.h"

namespace octet {
namespace {

// std::to_chars gives the shortest decimal that reads back as the same float; JSON has no
// infinities or NaN.
std::string Number(float value) {
  if (!std::isfinite(value)) return "null";
  std::array<char, 32> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return std::string(text.data(), end);
}

std::string Numbers(const std::array<float, 4>& values, int count) {
  std::string s = "[";
  for (int i = 0; i < count; ++i) s += (i > 0 ? "," : "") + Number(values[static_cast<size_t>(i)]);
  return s + "]";
}

std::string Quoted(std::string_view name) { return "\"" + std::string(name) + "\""; }

std::string DecodingToJson(const Decoding& d) {
  const Decoding usual = DecodingOf(d.framework);
  std::string s = "{\"framework\":" + Quoted(NameOf(kFrameworkNames, d.framework));
  if (d.dct != usual.dct) s += ",\"dct\":" + Quoted(NameOf(kDctNames, d.dct));
  if (d.upsampling != usual.upsampling)
    s += ",\"upsampling\":" + Quoted(NameOf(kUpsamplingNames, d.upsampling));
  if (d.exif_orientation != usual.exif_orientation)
    s += std::string(",\"orientation\":") + (d.exif_orientation ? "\"exif\"" : "\"stored\"");
  return s + "}";
}

/// How photos are scaled.
std::string ResamplingToJson(const Resampling& r) {
  const Resampling usual = ResamplingOf(r.framework);
  std::string s = ",\"filter\":" + Quoted(NameOf(kResizeFilterNames, r.filter));
  if (r.antialias) s += ",\"antialias\":true";
  if (r.coordinates != usual.coordinates)
    s += ",\"coordinates\":" + Quoted(NameOf(kCoordinatesNames, r.coordinates));
  if (r.passes != usual.passes) s += ",\"passes\":" + Quoted(NameOf(kPassesNames, r.passes));
  if (r.reducing_gap != 0.0f) s += ",\"reducing_gap\":" + Number(r.reducing_gap);
  if (r.to_float != usual.to_float)
    s += std::string(",\"result\":") + (r.to_float ? "\"float\"" : "\"uint8\"");
  return s;
}

}  // namespace

std::string PreprocessingToJson(const Preprocessing& p, int channels) {
  const Resampling& r = p.resampling;
  std::string s = "{";
  if (r.framework != Framework::kPillow)
    s += "\"framework\":" + Quoted(NameOf(kFrameworkNames, r.framework)) + ",";
  if (p.decoding != DecodingOf(r.framework)) s += "\"decode\":" + DecodingToJson(p.decoding) + ",";
  s += "\"resize\":" + Quoted(NameOf(kResizeRuleNames, p.resize));
  if (p.resize == ResizeRule::kCenterCrop) {
    s += ",\"resize_shorter\":" + std::to_string(p.resize_shorter);
  }
  if (p.resize == ResizeRule::kLetterbox) {
    const auto& [red, green, blue] = p.pad_color;
    s += StrCat(",\"pad_color\":[", int{red}, ",", int{green}, ",", int{blue}, "]");
  }
  if (p.resize != ResizeRule::kNone) s += ResamplingToJson(r);
  s += ",\"order\":" + Quoted(NameOf(kChannelOrderNames, p.order));
  s += ",\"scale\":" + Number(p.scale);
  s += ",\"mean\":" + Numbers(p.mean, channels) + ",\"std\":" + Numbers(p.stddev, channels) + "}";
  return s;
}

}  // namespace octet
