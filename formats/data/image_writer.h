// The one door to stb_image_write.
#ifndef OCTET_FORMATS_DATA_IMAGE_WRITER_H_
#define OCTET_FORMATS_DATA_IMAGE_WRITER_H_

#include <string>

#include "formats/base/status.h"
#include "formats/data/image.h"

namespace octet {

/// A PNG of 8 bits, or a JPEG of `quality` 1 to 100. The same pixels give the same bytes. Errors:
/// kOutOfMemory.
Result<std::string> EncodePng(const DecodedImage& image);
Result<std::string> EncodeJpeg(const DecodedImage& image, int quality);

/// Replaces `path` atomically with a PNG of 8 bits. Errors: kIo.
Status WritePng(const std::string& path, const DecodedImage& image);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_IMAGE_WRITER_H_
