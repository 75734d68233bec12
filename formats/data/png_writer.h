// The one door to stb_image_write.
#ifndef OCTET_FORMATS_DATA_PNG_WRITER_H_
#define OCTET_FORMATS_DATA_PNG_WRITER_H_

#include <string>

#include "formats/base/status.h"
#include "formats/data/image.h"

namespace octet {

/// Replaces `path` atomically with a PNG of 8 bits. Errors: kIo.
Status WritePng(const std::string& path, const DecodedImage& image);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_PNG_WRITER_H_
