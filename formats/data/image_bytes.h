// What the decoders of image files share. Internal to octet_data.
#ifndef OCTET_FORMATS_DATA_IMAGE_BYTES_H_
#define OCTET_FORMATS_DATA_IMAGE_BYTES_H_

#include <cstdint>
#include <span>

#include "formats/base/shape.h"
#include "formats/base/str_cat.h"
#include "formats/data/image.h"

namespace octet::data_internal {

using Bytes = std::span<const uint8_t>;

inline uint32_t Little16(const uint8_t* p) { return uint32_t{p[0]} | uint32_t{p[1]} << 8; }
inline uint32_t Little32(const uint8_t* p) { return Little16(p) | Little16(p + 2) << 16; }
inline uint32_t Big16(const uint8_t* p) { return uint32_t{p[0]} << 8 | uint32_t{p[1]}; }
inline uint32_t Big32(const uint8_t* p) { return Big16(p) << 16 | Big16(p + 2); }

struct ImageSize {
  int width = 0, height = 0;
};

inline Status CheckSize(int64_t width, int64_t height) {
  if (width < 1 || height < 1) return Corrupt(StrCat("image size is ", width, "x", height));
  int64_t pixels = 0;
  if (!CheckedMul(width, height, &pixels) || pixels > kMaxImagePixels) {
    return Unsupported(StrCat("image is ", width, "x", height, ", at most ", kMaxImagePixels,
                              " pixels are decoded"));
  }
  return OkStatus();
}

/// Bytes that no single allocation, and libjpeg's memory as a whole, needs to exceed: a 16-bit RGBA
/// image, or a JPEG's coefficients with the padding of its last blocks.
inline size_t DecoderMemory(const ImageSize& size, size_t file_bytes) {
  return (static_cast<size_t>(size.width) + 64) * (static_cast<size_t>(size.height) + 64) * 16 +
         2 * file_bytes + (size_t{1} << 16);
}

}  // namespace octet::data_internal

#endif  // OCTET_FORMATS_DATA_IMAGE_BYTES_H_
