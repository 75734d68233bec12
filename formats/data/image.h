// Images from files: JPEG, PNG, BMP and PNM.
#ifndef OCTET_FORMATS_DATA_IMAGE_H_
#define OCTET_FORMATS_DATA_IMAGE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// Larger images are refused before anything is allocated for their pixels.
inline constexpr int64_t kMaxImagePixels = int64_t{64} << 20;
/// Larger image files are not read.
inline constexpr int64_t kMaxImageFileBytes = int64_t{512} << 20;

/// Pixels of 8 bits, RGB interleaved, rows from the top without padding: `rgb[(y * width + x) * 3 +
/// c]`.
struct DecodedImage {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;
};

/// What a file holds, by its first bytes.
enum class ImageFormat { kUnknown, kJpeg, kPng, kBmp, kPnm };
ImageFormat DetectImageFormat(std::span<const uint8_t> bytes);

/// Decodes JPEG (baseline and progressive), PNG, BMP (uncompressed) or PNM (P5, P6). Gray becomes
/// RGB, alpha is dropped, 16 bits are reduced to 8, EXIF orientation is ignored. `name` says in
/// errors which image it was. Errors: kUnsupported (another format, too many pixels), kCorrupt
/// (truncated or damaged; PNG checksums are verified).
Result<DecodedImage> DecodeImage(std::span<const uint8_t> bytes, const std::string& name);

/// Reads and decodes a file. Errors: as above, and kNotFound, kIo.
Result<DecodedImage> LoadImage(const std::string& path);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_IMAGE_H_
