// A JPEG's segments, without its pixels. Internal to octet_data.
#ifndef OCTET_FORMATS_DATA_JPEG_STRUCTURE_H_
#define OCTET_FORMATS_DATA_JPEG_STRUCTURE_H_

#include "formats/data/image_bytes.h"

namespace octet::data_internal {

struct JpegStructure {
  ImageSize size;
  size_t components = 0;  ///< 1, 3 or 4.
  bool restarts = false;
  Bytes exif;  ///< The first Exif segment, from its TIFF header on; empty when there is none.
};

/// Walks the segments. Decoders fill whatever is missing with gray and report success, so every
/// segment must lie inside the file, every scan's tables must be defined, every component have a
/// scan, and the image must end with its end marker. The compressed data must also be long enough
/// for the number of blocks, which is what bounds the decoder's work by the size of the file.
Result<JpegStructure> ReadJpegStructure(Bytes bytes);

}  // namespace octet::data_internal

#endif  // OCTET_FORMATS_DATA_JPEG_STRUCTURE_H_
