// A photo as rows of interleaved 8-bit pixels, whatever the caller has it in.
#ifndef OCTET_ENGINE_SRC_PIXELS_PIXEL_ROWS_H_
#define OCTET_ENGINE_SRC_PIXELS_PIXEL_ROWS_H_

#include <cstdint>

namespace octet {

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

  /// Row y: width() * channels() bytes, and kPixelOverread more that may be read. Valid until the
  /// next call. Fastest when y only grows from call to call.
  virtual const uint8_t* Row(int y) = 0;

 protected:
  int width_ = 0, height_ = 0, channels_ = 3;
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PIXELS_PIXEL_ROWS_H_
