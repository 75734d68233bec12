// Values that describe a model (element types, its precision, how a photo becomes its input), and
// Span.
#ifndef OCTET_TYPES_H_
#define OCTET_TYPES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>
#include <utility>
#include <vector>

#include "octet/version.h"

namespace octet {
inline namespace OCTET_ABI_NAMESPACE {

/// Values that lie one behind the other somewhere else: std::span, which C++17 does not have. For
/// parameters of functions: a Span does not keep what it refers to, and one that is made of a list
/// in braces or of a temporary lasts as long as the call.
template <typename T>
class Span {
  template <typename Container>
  using DataOf = std::remove_pointer_t<decltype(std::declval<Container&>().data())>;
  template <typename Container>
  using IfFits = std::enable_if_t<std::is_convertible_v<DataOf<Container> (*)[], T (*)[]>>;

 public:
  using value_type = std::remove_cv_t<T>;

  constexpr Span() = default;
  constexpr Span(T* data, size_t size) : data_(data), size_(size) {}
  template <size_t kSize>
  constexpr Span(T (&array)[kSize]) : Span(array, kSize) {}  // NOLINT: implicit by intent.
  /// std::vector, std::array, another Span.
  template <typename Container, typename = IfFits<Container>>
  constexpr Span(Container& container)  // NOLINT: implicit by intent.
      : Span(container.data(), container.size()) {}
  template <typename Container, typename = IfFits<const Container>>
  constexpr Span(const Container& container)  // NOLINT: implicit by intent.
      : Span(container.data(), container.size()) {}
  /// Of constant values only.
  template <typename U = T, typename = std::enable_if_t<std::is_const_v<U>>>
  constexpr Span(std::initializer_list<value_type> list)  // NOLINT: implicit by intent.
      : Span(list.begin(), list.size()) {}

  constexpr T* data() const { return data_; }
  constexpr size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr T& operator[](size_t i) const { return data_[i]; }
  constexpr T* begin() const { return data_; }
  constexpr T* end() const { return data_ + size_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

/// Element type of a tensor. The numbers are stored in files: never renumber.
enum class DType : uint8_t {
  kF32 = 0,
  kF16 = 1,
  kU8 = 2,
  kI8 = 3,
  kI32 = 4,
  kI16 = 5,
  kI64 = 6,
  kBF16 = 7,  ///< The upper half of a float32: bfloat16.
};

inline constexpr size_t DTypeSize(DType t) {
  switch (t) {
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
    case DType::kI16:
      return 2;
    case DType::kU8:
    case DType::kI8:
      return 1;
    case DType::kI64:
      return 8;
  }
  return 0;
}

inline constexpr const char* DTypeName(DType t) {
  switch (t) {
    case DType::kF32:
      return "float32";
    case DType::kF16:
      return "float16";
    case DType::kU8:
      return "uint8";
    case DType::kI8:
      return "int8";
    case DType::kI32:
      return "int32";
    case DType::kI16:
      return "int16";
    case DType::kI64:
      return "int64";
    case DType::kBF16:
      return "bfloat16";
  }
  return "invalid";
}

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

  bool operator==(const Decoding& o) const {
    return framework == o.framework && dct == o.dct && upsampling == o.upsampling &&
           exif_orientation == o.exif_orientation;
  }
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

  bool operator==(const Resampling& o) const {
    return framework == o.framework && filter == o.filter && antialias == o.antialias &&
           coordinates == o.coordinates && passes == o.passes && reducing_gap == o.reducing_gap &&
           to_float == o.to_float;
  }
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
enum class Precision : uint8_t {
  kFp32 = 0,
  kFp16 = 1,
  kHybrid = 2,
  kInt8 = 3,
  kInt16x8 = 4,
  kBf16 = 5
};

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
    case Precision::kBf16:
      return "bf16";
  }
  return "invalid";
}

}  // namespace OCTET_ABI_NAMESPACE
}  // namespace octet

#endif  // OCTET_TYPES_H_
