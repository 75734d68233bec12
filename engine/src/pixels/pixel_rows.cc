// An upright row is a stored one, converted and reversed as needed, or, of an image that is turned
// by an odd number of quarters, a column: kBand columns are transposed at once, kPieces stored rows
// at a time. A row of the image itself is given without a copy unless reading on would leave the
// image.
#include "engine/src/pixels/pixel_rows.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

constexpr int64_t kMaxStride = int64_t{1} << 32;

/// Where chroma is.
enum class Chroma { kNone, kPairs, kPlanes };

struct Format {
  std::string_view name;
  int bytes;  ///< Of a pixel in a row of `pixels`.
  Chroma chroma = Chroma::kNone;
};
constexpr Format kFormats[] = {
    // By PixelFormat.
    {"RGB", 3},
    {"BGR", 3},
    {"RGBA", 4},
    {"BGRA", 4},
    {"gray", 1},
    {"NV12", 1, Chroma::kPairs},
    {"NV21", 1, Chroma::kPairs},
    {"I420", 1, Chroma::kPlanes},
    {"YUYV", 2},
};
const Format& FormatOf(const Image& image) { return kFormats[static_cast<int>(image.format)]; }

/// libyuv's kYuvI601Constants, kYuvJPEGConstants, kYuvH709Constants and kYuvF709Constants, by
/// YuvMatrix and YuvRange. Their 128 for blue is 129 and 135, bounded.
constexpr kernels::YuvConstants kYuvConstants[2][2] = {
    {{18997, -1160, 102, 25, 52, 128}, {16320, 32, 90, 22, 46, 113}},
    {{18997, -1160, 115, 14, 34, 128}, {16320, 32, 101, 12, 30, 119}},
};

int64_t RowBytes(const Image& image) { return int64_t{image.width} * FormatOf(image).bytes; }
int64_t ChromaRowBytes(const Image& image) {
  const int64_t values = (int64_t{image.width} + 1) / 2;
  return FormatOf(image).chroma == Chroma::kPairs ? 2 * values : values;
}

/// The image with its defaults written out.
Image Complete(Image image) {
  if (image.row_stride == 0) image.row_stride = RowBytes(image);
  const Chroma chroma = FormatOf(image).chroma;
  if (chroma != Chroma::kNone) {
    if (image.chroma_stride == 0) {
      image.chroma_stride = (image.row_stride + 1) / 2;
      if (chroma == Chroma::kPairs) image.chroma_stride *= 2;
    }
    if (image.chroma[0] == nullptr)
      image.chroma[0] = image.pixels + image.row_stride * image.height;
    if (chroma == Chroma::kPlanes && image.chroma[1] == nullptr)
      image.chroma[1] = image.chroma[0] + image.chroma_stride * ((image.height + 1) / 2);
  }
  if (image.roi.width == 0) image.roi = {0, 0, image.width, image.height};
  return image;
}

int64_t RoundUp64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Of a row of columns while they are turned: kBand pixels, one more where the first is odd.
constexpr int64_t kPieceStride = 256;
constexpr int kPieces = 16;
static_assert((ImageRows::kBand + 1) * 3 <= kPieceStride);

/// Rows of a band are not a multiple of 4096 apart, where they would share few lines of the cache.
int64_t BandStride(int width) {
  const int64_t lines = RoundUp64(int64_t{width} * 3 + kPixelOverread) / 64;
  return 64 * (lines | 1);
}

int64_t BufferBytes(const Image& image) {
  if (image.rotation % 2 != 0) return kPieces * kPieceStride;
  // A pixel in front where the first is odd.
  return RoundUp64((UprightSize(image).width + int64_t{1}) * 3 + kPixelOverread);
}

}  // namespace

Status CheckImage(const Image& image) {
  if (image.pixels == nullptr || image.width < 1 || image.height < 1 ||
      image.width > kMaxImageSide || image.height > kMaxImageSide) {
    return InvalidArgument(StrCat("image of ", image.width, "x", image.height, " pixels",
                                  image.pixels ? "" : " at null", ", expected 1 to ", kMaxImageSide,
                                  " on each side"));
  }
  const auto field = [](const char* name, int64_t found, int64_t least, int64_t most) {
    if (found >= least && found <= most) return OkStatus();
    return InvalidArgument(
        StrCat("image: ", name, " is ", found, ", expected ", least, " to ", most));
  };
  OCTET_RETURN_IF_ERROR(field("format", static_cast<int>(image.format), 0,
                              static_cast<int>(std::size(kFormats)) - 1));
  OCTET_RETURN_IF_ERROR(field("rotation", image.rotation, 0, 3));
  OCTET_RETURN_IF_ERROR(field("matrix", static_cast<int>(image.matrix), 0, 1));
  OCTET_RETURN_IF_ERROR(field("range", static_cast<int>(image.range), 0, 1));
  const auto& [name, bytes, chroma] = FormatOf(image);
  if (image.format == PixelFormat::kYuyv && image.width % 2 != 0) {
    return InvalidArgument(StrCat("image: width is ", image.width,
                                  ", expected an even one, as YUYV pixels come in pairs"));
  }
  if (image.row_stride != 0)
    OCTET_RETURN_IF_ERROR(field("row_stride", image.row_stride, RowBytes(image), kMaxStride));
  const int planes = chroma == Chroma::kNone ? 0 : chroma == Chroma::kPairs ? 1 : 2;
  for (int i = planes; i < 2; ++i) {
    if (image.chroma[i] == nullptr) continue;
    return InvalidArgument(StrCat("image: chroma[", i, "] is given, expected null: ", name, " has ",
                                  planes, " such planes"));
  }
  if (planes == 2 && image.chroma[0] == nullptr && image.chroma[1] != nullptr) {
    return InvalidArgument("image: chroma[0] is null, expected a plane, as chroma[1] is given");
  }
  if (image.chroma_stride != 0) {
    if (planes == 0) {
      return InvalidArgument(StrCat("image: chroma_stride is ", image.chroma_stride,
                                    ", expected 0, as ", name, " has no such planes"));
    }
    OCTET_RETURN_IF_ERROR(
        field("chroma_stride", image.chroma_stride, ChromaRowBytes(image), kMaxStride));
  }
  const Rectangle& roi = image.roi;
  const bool all = roi.x == 0 && roi.y == 0 && roi.width == 0 && roi.height == 0;
  if (!all && (roi.x < 0 || roi.y < 0 || roi.width < 1 || roi.height < 1 ||
               roi.x > image.width - roi.width || roi.y > image.height - roi.height)) {
    return InvalidArgument(StrCat("image: roi is ", roi.width, "x", roi.height, " at (", roi.x,
                                  ", ", roi.y, "), expected a part of the ", image.width, "x",
                                  image.height, " pixels"));
  }
  return OkStatus();
}

ImageSize UprightSize(const Image& image) {
  ImageSize size{image.roi.width, image.roi.height};
  if (size.width == 0) size = {image.width, image.height};
  if (image.rotation % 2 != 0) std::swap(size.width, size.height);
  return size;
}

int64_t ImageRows::ScratchBytes(const Image& image) {
  const int64_t buffers = 2 * BufferBytes(image);
  return image.rotation % 2 == 0 ? kLasting * buffers
                                 : buffers + kBand * BandStride(UprightSize(image).width);
}

ImageRows::ImageRows(const Image& image, int channels, Framework framework,
                     const kernels::PixelKernelsRows& kernels, uint8_t* scratch)
    : image_(Complete(image)), kernels_(kernels) {
  const auto [width, height] = UprightSize(image_);
  width_ = width;
  height_ = height;
  channels_ = image.format == PixelFormat::kGray ? 1 : channels;
  if (image.format != PixelFormat::kGray && channels == 1)
    to_gray_ = kernels.gray_from_rgb[static_cast<int>(framework)];
  end_ = image_.pixels + (image_.height - 1) * image_.row_stride + RowBytes(image_);
  memory_ = scratch;
  buffers_[0] = scratch;
  buffers_[1] = scratch + BufferBytes(image_);
  band_ = buffers_[1] + BufferBytes(image_);
  band_stride_ = BandStride(width);

  constants_ = &kYuvConstants[static_cast<int>(image.matrix)][static_cast<int>(image.range)];
  const bool opencv = framework == Framework::kOpencv && constants_ == &kYuvConstants[0][0];
  const auto yuv = [&](kernels::YuvLayout layout) {
    const auto& functions = opencv ? kernels.rgb_from_yuv_opencv : kernels.rgb_from_yuv;
    from_yuv_ = functions[static_cast<int>(layout)];
  };
  switch (image.format) {
    case PixelFormat::kRgb:
    case PixelFormat::kGray:
      break;
    case PixelFormat::kBgr:
      to_rgb_ = kernels.rgb_from_bgr;
      break;
    case PixelFormat::kRgba:
      to_rgb_ = kernels.rgb_from_rgba;
      break;
    case PixelFormat::kBgra:
      to_rgb_ = kernels.rgb_from_bgra;
      break;
    case PixelFormat::kNv12:
      yuv(kernels::YuvLayout::kUvPairs);
      break;
    case PixelFormat::kNv21:
      yuv(kernels::YuvLayout::kVuPairs);
      break;
    case PixelFormat::kI420:
      yuv(kernels::YuvLayout::kPlanes);
      break;
    case PixelFormat::kYuyv:
      yuv(kernels::YuvLayout::kPacked);
      break;
  }
}

/// Pixels [x, x + width) of `count` rows as stored, from row y on, each the one `step` behind the
/// one before: the image's own, or RGB in the first buffer, or gray in the second.
ImageRows::Rows ImageRows::Convert(int y, int step, int count, int x, int width) {
  const int64_t bytes = FormatOf(image_).bytes;
  const auto row = [&](int k) { return image_.pixels + (y + k * step) * image_.row_stride; };
  Rows rows = {buffers_[0], kPieceStride};
  if (from_yuv_ != nullptr) {
    // From an even pixel on, with which chroma begins.
    const int odd = x % 2, pair = x / 2;
    kernels::YuvRow yuv[kPieces];
    for (int k = 0; k < count; ++k) {
      const int64_t chroma_row = (y + k * step) / 2 * image_.chroma_stride;
      yuv[k] = {row(k) + (x - odd) * bytes, nullptr, nullptr, width + odd};
      if (image_.chroma[0] != nullptr)
        yuv[k].u = image_.chroma[0] + chroma_row + (image_.chroma[1] != nullptr ? pair : 2 * pair);
      if (image_.chroma[1] != nullptr) yuv[k].v = image_.chroma[1] + chroma_row + pair;
    }
    from_yuv_(yuv, count, *constants_, buffers_[0], rows.stride);
    rows.pixels += 3 * odd;
  } else if (to_rgb_ != nullptr) {
    for (int k = 0; k < count; ++k)
      to_rgb_(row(k) + x * bytes, width, buffers_[0] + k * rows.stride);
  } else {
    rows = {row(0) + x * bytes, step * image_.row_stride};
  }
  if (to_gray_ != nullptr) {
    for (int k = 0; k < count; ++k)
      to_gray_(rows.pixels + k * rows.stride, width, buffers_[1] + k * kPieceStride);
    rows = {buffers_[1], kPieceStride};
  }
  return rows;
}

const uint8_t* ImageRows::Row(int y) {
  return image_.rotation % 2 == 0 ? StoredRow(y) : ColumnRow(y);
}

const uint8_t* ImageRows::StoredRow(int y) {
  const int64_t buffer = BufferBytes(image_);
  buffers_[0] = memory_ + 2 * next_pair_ * buffer;
  buffers_[1] = buffers_[0] + buffer;
  next_pair_ = (next_pair_ + 1) % kLasting;
  const bool upside_down = image_.rotation == 2, reverse = image_.mirror != upside_down;
  const int stored = image_.roi.y + (upside_down ? height_ - 1 - y : y);
  const uint8_t* row = Convert(stored, 1, 1, image_.roi.x, width_).pixels;
  const int64_t bytes = int64_t{width_} * channels_;
  const bool in_image = from_yuv_ == nullptr && to_rgb_ == nullptr && to_gray_ == nullptr;
  uint8_t* other = buffers_[in_image || to_gray_ != nullptr ? 0 : 1];
  if (reverse) {
    (channels_ == 3 ? kernels_.reverse_rgb : kernels_.reverse_gray)(row, width_, other);
    row = other;
  } else if (in_image && end_ - row < bytes + kPixelOverread) {
    std::memcpy(other, row, static_cast<size_t>(bytes));
    row = other;
  }
  return row;
}

/// A column of the image, by way of a band of them.
const uint8_t* ImageRows::ColumnRow(int y) {
  if (y < band_begin_ || y >= band_end_) {
    // Clockwise, the first column becomes the first row, read upwards; the other way the last one.
    const bool clockwise = image_.rotation == 1, upwards = clockwise != image_.mirror;
    const int first = y / kBand * kBand, columns = std::min(kBand, height_ - first);
    const int x = image_.roi.x + (clockwise ? first : height_ - first - columns);
    uint8_t* out = clockwise ? band_ : band_ + (columns - 1) * band_stride_;
    const auto transpose = channels_ == 3 ? kernels_.transpose_rgb : kernels_.transpose_gray;
    for (int i = 0; i < width_; i += kPieces) {
      const int stored = image_.roi.y + (upwards ? width_ - 1 - i : i);
      const int count = std::min(kPieces, width_ - i);
      const Rows rows = Convert(stored, upwards ? -1 : 1, count, x, columns);
      transpose(rows.pixels, rows.stride, columns, count, out + i * channels_,
                clockwise ? band_stride_ : -band_stride_);
    }
    band_begin_ = first;
    band_end_ = first + columns;
  }
  return band_ + (y - band_begin_) * band_stride_;
}

}  // namespace octet
