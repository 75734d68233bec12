// A photo as rows of interleaved 8-bit pixels, whatever the caller has it in.
#ifndef OCTET_ENGINE_SRC_PIXELS_PIXEL_ROWS_H_
#define OCTET_ENGINE_SRC_PIXELS_PIXEL_ROWS_H_

#include <cstdint>

#include "engine/include/octet/octet.h"
#include "formats/base/status.h"
#include "kernels/pixel_kernels.h"

namespace octet {

inline constexpr int kMaxImageSide = 1 << 15;

/// Bytes behind a row's last pixel that may be read.
inline constexpr int kPixelOverread = 64;

/// Rows of what is resized: the region of interest, turned upright, as RGB or gray. Used by one
/// thread; each thread that resizes a part of the result has its own.
class PixelRows {
 public:
  virtual ~PixelRows() = default;

  int width() const { return width_; }
  int height() const { return height_; }
  int channels() const { return channels_; }  ///< 1 or 3.

  /// Row y: width() * channels() bytes, and kPixelOverread more that may be read. Fastest when y
  /// only grows from call to call.
  virtual const uint8_t* Row(int y) = 0;

  /// How many of the last rows are valid.
  virtual int lasting() const { return 1; }

 protected:
  int width_ = 0, height_ = 0, channels_ = 3;
};

/// Refuses an image that must not be looked at: kInvalidArgument with one sentence that names what
/// was found and what was expected.
Status CheckImage(const Image& image);

struct ImageSize {
  int width, height;
};
/// Of the region of interest, turned upright, of an image that CheckImage accepts.
ImageSize UprightSize(const Image& image);

/// Rows of an image that CheckImage accepts, in one pass over it when they are asked for in order:
/// one at a time, or, of an image that is turned by an odd number of quarters, kBand columns of it
/// at a time.
class ImageRows final : public PixelRows {
 public:
  static constexpr int kBand = 64;

  /// Bytes of memory that the rows of the image need.
  static int64_t ScratchBytes(const Image& image);

  /// Rows of RGB, or with `channels` of 1, and of gray images always, of gray. YUV becomes RGB and
  /// RGB gray as `framework` has it. The image's pixels, the kernels and `scratch`, ScratchBytes at
  /// a multiple of 64, outlive this. Allocates nothing.
  ImageRows(const Image& image, int channels, Framework framework,
            const kernels::PixelKernelsRows& kernels, uint8_t* scratch);

  const uint8_t* Row(int y) override;
  int lasting() const override { return image_.rotation % 2 == 0 ? kLasting : 1; }

 private:
  static constexpr int kLasting = kernels::kRowsAtOnce;

  const uint8_t* StoredRow(int y);
  const uint8_t* ColumnRow(int y);
  struct Rows {
    const uint8_t* pixels;
    int64_t stride;
  };
  Rows Convert(int y, int step, int count, int x, int width);

  Image image_;                   ///< Without defaults.
  const uint8_t* end_ = nullptr;  ///< Of what may be read of an interleaved image.
  const kernels::PixelKernelsRows& kernels_;
  kernels::PixelRowFn to_rgb_ = nullptr;   ///< Of interleaved colors in another order.
  kernels::PixelRowFn to_gray_ = nullptr;  ///< Of colors.
  kernels::YuvRowsFn from_yuv_ = nullptr;  ///< Of YUV.
  const kernels::YuvConstants* constants_ = nullptr;
  uint8_t* memory_;      ///< kLasting pairs of buffers, of columns one.
  uint8_t* buffers_[2];  ///< The pair in use: a row each; of columns, a block of them.
  int next_pair_ = 0;
  uint8_t* band_ = nullptr;  ///< Columns as rows.
  int64_t band_stride_ = 0;
  int band_begin_ = 0, band_end_ = 0;  ///< Rows of the result that the band has.
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PIXELS_PIXEL_ROWS_H_
