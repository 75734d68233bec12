// What the parts of Preprocessing are called, and which of them go together.
#ifndef OCTET_FORMATS_MODEL_PREPROCESSING_H_
#define OCTET_FORMATS_MODEL_PREPROCESSING_H_

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "formats/model/metadata.h"

namespace octet {

// By the values of the enumerations.
inline constexpr std::array<std::string_view, 3> kFrameworkNames{"pillow", "tensorflow", "opencv"};
inline constexpr std::array<std::string_view, 2> kDctNames{"accurate", "fast"};
inline constexpr std::array<std::string_view, 2> kUpsamplingNames{"fancy", "plain"};
inline constexpr std::array<std::string_view, 5> kResizeRuleNames{"none", "stretch", "center-crop",
                                                                  "letterbox", "crop-to-aspect"};
inline constexpr std::array<std::string_view, 8> kResizeFilterNames{
    "bilinear", "bicubic", "nearest", "area", "lanczos", "box", "hamming", "lanczos5"};
inline constexpr std::array<std::string_view, 3> kCoordinatesNames{"half-pixel", "asymmetric",
                                                                   "align-corners"};
inline constexpr std::array<std::string_view, 2> kPassesNames{"horizontal-first", "cheaper-first"};
inline constexpr std::array<std::string_view, 2> kChannelOrderNames{"rgb", "bgr"};

template <typename Names, typename Enum>
constexpr std::string_view NameOf(const Names& names, Enum value) {
  const auto i = static_cast<size_t>(value);
  return i < names.size() ? names[i] : "invalid";
}

/// How the framework decodes and scales when nothing else is said: Image.open(file).convert("RGB")
/// and resize(size, BILINEAR); tf.io.decode_jpeg(bytes) and tf.image.resize(image, size);
/// cv2.imread(file) and resize(image, size).
Decoding DecodingOf(Framework framework);
Resampling ResamplingOf(Framework framework);

/// What the numbers of a network's input are of its pixels: (q * scale - mean[c]) / stddev[c] with
/// q = the pixel. `channels` is 1 to 4.
ChannelQuantization QuantizationOfPixels(const Preprocessing& preprocessing, size_t channels);
/// The same preprocessing up to its last step: what it gives are pixels.
Preprocessing UpToPixels(Preprocessing preprocessing);

/// What does not go together, as a sentence without its subject, e.g. "filter area is none of
/// Pillow's"; empty when all does.
std::string ProblemOf(const Resampling& resampling);

/// For people: "decoded as TensorFlow", with what differs from the framework's way.
std::string Describe(const Decoding& decoding);
/// "OpenCV's area", "TensorFlow's bilinear with antialias", "bicubic" (Pillow's).
std::string Describe(const Resampling& resampling);

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_PREPROCESSING_H_
