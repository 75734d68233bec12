#include "formats/data/preprocessing_json.h"

#include <array>
#include <charconv>
#include <cmath>

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

const char* RuleName(ResizeRule rule) {
  switch (rule) {
    case ResizeRule::kNone:
      return "none";
    case ResizeRule::kStretch:
      return "stretch";
    case ResizeRule::kCenterCrop:
      return "center-crop";
  }
  return "invalid";
}

}  // namespace

std::string PreprocessingToJson(const Preprocessing& p, int channels) {
  std::string s = std::string("{\"resize\":\"") + RuleName(p.resize) + "\"";
  if (p.resize == ResizeRule::kCenterCrop) {
    s += ",\"resize_shorter\":" + std::to_string(p.resize_shorter);
  }
  s +=
      std::string(",\"filter\":\"") + (p.filter == ResizeFilter::kBicubic ? "bicubic" : "bilinear");
  s += std::string("\",\"order\":\"") + (p.order == ChannelOrder::kBgr ? "bgr" : "rgb");
  s += "\",\"scale\":" + Number(p.scale);
  s += ",\"mean\":" + Numbers(p.mean, channels) + ",\"std\":" + Numbers(p.stddev, channels) + "}";
  return s;
}

}  // namespace octet
