// What travels with a network besides its operators: how to prepare an image, what the classes are
// called, where the model came from.
#ifndef OCTET_FORMATS_MODEL_METADATA_H_
#define OCTET_FORMATS_MODEL_METADATA_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace octet {

/// A program whose way with images is followed. Stored in files, as all of these: never renumber.
enum class Framework : uint8_t { kPillow = 0, kTensorflow = 1, kOpencv = 2 };

/// The inverse DCT of a JPEG decoder, by libjpeg's names "islow" and "ifast".
enum class Dct : uint8_t { kAccurate = 0, kFast = 1 };

/// How a JPEG decoder enlarges the color channels: interpolated, or each value repeated.
enum class Upsampling : uint8_t { kFancy = 0, kPlain = 1 };

/// How the bytes of an image file become pixels.
struct Decoding {
  Framework framework = Framework::kPillow;  ///< What CMYK, wide gray, and gray of colors become.
  Dct dct = Dct::kAccurate;
  Upsampling upsampling = Upsampling::kFancy;
  bool exif_orientation = false;  ///< Turned as EXIF says; else as stored.

  bool operator==(const Decoding&) const = default;
};

/// How an image of any size becomes the network's input size.
enum class ResizeRule : uint8_t {
  kNone = 0,        ///< The image must already have the input size.
  kStretch = 1,     ///< Width and height are scaled independently to the input size.
  kCenterCrop = 2,  ///< The shorter side is scaled to `resize_shorter`, then the centre is cropped.
  kLetterbox = 3,   ///< Scaled until it fits, the rest filled with `pad_color`.
  kCropToAspect = 4,  ///< The largest centred part of the input's aspect ratio, stretched.
};

/// Interpolation, by the names of the framework in `Resampling`.
enum class ResizeFilter : uint8_t {
  kBilinear = 0,
  kBicubic = 1,
  kNearest = 2,
  kArea = 3,      ///< TensorFlow, OpenCV.
  kLanczos = 4,   ///< Pillow's LANCZOS, TensorFlow's lanczos3.
  kBox = 5,       ///< Pillow.
  kHamming = 6,   ///< Pillow.
  kLanczos5 = 7,  ///< TensorFlow.
};

/// Where TensorFlow looks for a pixel of the result in the source.
enum class Coordinates : uint8_t {
  kHalfPixel = 0,     ///< (x + 0.5) * in / out - 0.5: tf.image.resize.
  kAsymmetric = 1,    ///< x * in / out: tf.compat.v1.image.resize.
  kAlignCorners = 2,  ///< x * (in - 1) / (out - 1): the same with align_corners=True.
};

/// In which order Pillow filters the two axes.
enum class Passes : uint8_t {
  kHorizontalFirst = 0,  ///< Up to Pillow 12.
  kCheaperFirst = 1,     ///< From Pillow 13 on: the axis first that leaves less to do.
};

/// How an image is scaled. What a framework does not have is at its default.
struct Resampling {
  Framework framework = Framework::kPillow;
  ResizeFilter filter = ResizeFilter::kBilinear;
  /// TensorFlow only: the filter widens when shrinking. Pillow's always do, OpenCV's never.
  bool antialias = false;
  Coordinates coordinates = Coordinates::kHalfPixel;  ///< TensorFlow only.
  Passes passes = Passes::kHorizontalFirst;           ///< Pillow only.
  /// Pillow only: Image.resize's argument, from 1 on: the image is first reduced by whole factors,
  /// as long as it stays that many times as large as the result. 0 = None.
  float reducing_gap = 0.0f;
  /// The result has fractions: what TensorFlow gives, Pillow of mode F, OpenCV of float32. Without,
  /// it is rounded to 8 bits as the framework does (TensorFlow: tf.saturate_cast to uint8).
  bool to_float = false;

  bool operator==(const Resampling&) const = default;
};

enum class ChannelOrder : uint8_t { kRgb = 0, kBgr = 1 };

/// Steps from an image to the network's input, in this order: decoding, resize and crop, channel
/// order, then per channel
/// `(pixel * scale - mean[c]) / stddev[c]` in float32. `mean` and `stddev` are in the order the
/// network sees.
struct Preprocessing {
  Decoding decoding;
  ResizeRule resize = ResizeRule::kStretch;
  Resampling resampling;
  ChannelOrder order = ChannelOrder::kRgb;
  int resize_shorter = 0;                     ///< Pixels; only for kCenterCrop.
  std::array<uint8_t, 3> pad_color{0, 0, 0};  ///< RGB; only for kLetterbox.
  float scale = 1.0f;
  std::array<float, 4> mean{0, 0, 0, 0};
  std::array<float, 4> stddev{1, 1, 1, 1};
};

/// Codes whose channels, the last dimension, have scales and zero points of their own:
/// real = scales[c] * (q - zero_points[c]). Empty for codes that have one for all.
struct ChannelQuantization {
  std::vector<float> scales, zero_points;
  bool empty() const { return scales.empty(); }
};

/// Numeric precision of a converted model. Stored in files: never renumber.
enum class Precision : uint8_t { kFp32 = 0, kFp16 = 1, kHybrid = 2, kInt8 = 3, kInt16x8 = 4 };
inline constexpr int kNumPrecisions = 5;

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
    case Precision::kInt16x8:
      return "int16x8";
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
  /// The codes of the only input, uint8 of scale 1 and zero point 0, are the pixels of which
  /// `preprocessing` would make the source's numbers. Stored in files as a required feature.
  bool pixel_codes = false;
  std::vector<std::string> labels;  ///< Empty, or one name per class.
};

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_METADATA_H_
