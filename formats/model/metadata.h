// What travels with a network besides its operators: how to prepare an image, what the classes are
// called, where the model came from.
#ifndef OCTET_FORMATS_MODEL_METADATA_H_
#define OCTET_FORMATS_MODEL_METADATA_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace octet {

/// How an image of any size becomes the network's input size. Stored in files: never renumber.
enum class ResizeRule : uint8_t {
  kNone = 0,        ///< The image must already have the input size.
  kStretch = 1,     ///< Width and height are scaled independently to the input size.
  kCenterCrop = 2,  ///< The shorter side is scaled to `resize_shorter`, then the centre is cropped.
};

/// Interpolation. Both follow Pillow: the filter widens when shrinking, so nothing aliases.
enum class ResizeFilter : uint8_t { kBilinear = 0, kBicubic = 1 };

enum class ChannelOrder : uint8_t { kRgb = 0, kBgr = 1 };

/// Steps from 8-bit pixels to the network's float input, in this order: resize and crop, channel
/// order, then per channel
/// `(pixel * scale - mean[c]) / stddev[c]` in float32. `mean` and `stddev` are in the order the
/// network sees.
struct Preprocessing {
  ResizeRule resize = ResizeRule::kStretch;
  ResizeFilter filter = ResizeFilter::kBilinear;
  ChannelOrder order = ChannelOrder::kRgb;
  int resize_shorter = 0;  ///< Pixels; only for kCenterCrop.
  float scale = 1.0f;
  std::array<float, 4> mean{0, 0, 0, 0};
  std::array<float, 4> stddev{1, 1, 1, 1};
};

/// Numeric precision of a converted model. Stored in files: never renumber.
enum class Precision : uint8_t { kFp32 = 0, kFp16 = 1, kHybrid = 2, kInt8 = 3 };

inline constexpr const char* PrecisionName(Precision p) {
  switch (p) {
    case Precision::kFp32:
      return "fp32";
    case Precision::kFp16:
      return "fp16";
    case Precision::kHybrid:
      return "hybrid";
    case Precision::kInt8:
      return "int8";
  }
  return "invalid";
}

/// How integer results become uint8. Stored in files as a required feature: never renumber.
enum class Rounding : uint8_t {
  kNearestEven = 0,  ///< Once, to the nearest; octet's own.
  /// As TFLite's reference kernels, for networks that were quantized for them: fixed-point products
  /// are rounded twice, which moves the limit between two results by half a step of the first
  /// rounding (engine/src/tflite_rounding.h).
  kTflite = 1,
};

struct Metadata {
  std::string name;     ///< For people, e.g. "flowers_resnet".
  std::string source;   ///< Format it was imported from, e.g. "onnx opset 13".
  std::string options;  ///< The converter's options that shaped it, one line.
  Precision precision = Precision::kFp32;
  Rounding rounding = Rounding::kNearestEven;
  Preprocessing preprocessing;
  std::vector<std::string> labels;  ///< Empty, or one name per class.
};

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_METADATA_H_
