// Images from files: JPEG, PNG, BMP and PNM.
#ifndef OCTET_FORMATS_DATA_IMAGE_H_
#define OCTET_FORMATS_DATA_IMAGE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/base/status.h"
#include "formats/model/metadata.h"

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

/// What of a photo is wanted.
struct Wanted {
  /// What it must not fall below while it is decoded at an eighth, a quarter or half its size,
  /// which costs a fraction of the time. 0: always decoded in full.
  int width = 0, height = 0;
  /// One channel, as the framework decodes to one: red, green and blue are the same.
  bool gray = false;

  bool operator==(const Wanted&) const = default;
};

/// By a network whose input has this size; with `fast`, at least twice what it sees, as
/// `--fast-decode` says.
Wanted WantedBy(const Preprocessing& preprocessing, int height, int width, int channels, bool fast);

/// For reports, behind what else is done with photos.
inline constexpr char kFastDecodeText[] = "; JPEGs decoded smaller (--fast-decode)";

/// Decodes JPEG (baseline and progressive), PNG, BMP (uncompressed) or PNM (P5, P6). They give the
/// bits that `decoding` stands for (JPEG only where libjpeg-turbo is: without it pixels may differ
/// by a few levels, and what stb_image has not is refused). Gray becomes RGB, and RGB gray where
/// that is wanted, alpha is dropped. JPEGs may be decoded at a smaller size, the rest is not.
/// `name` says in errors which image it was; a JPEG's pixels take `memory`, those of an image that
/// is not needed any more. Errors: kUnsupported (another format, too many pixels, what the
/// framework refuses), kCorrupt (truncated or damaged; PNG checksums are verified).
Result<DecodedImage> DecodeImage(std::span<const uint8_t> bytes, const std::string& name,
                                 const Decoding& decoding = {}, const Wanted& wanted = {},
                                 std::vector<uint8_t> memory = {});

/// Reads and decodes a file. Errors: as above, and kNotFound, kIo.
Result<DecodedImage> LoadImage(const std::string& path, const Decoding& decoding = {},
                               const Wanted& wanted = {});

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_IMAGE_H_
