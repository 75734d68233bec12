// The one door to libjpeg. Internal to octet_data.
#ifndef OCTET_FORMATS_DATA_JPEG_DECODER_H_
#define OCTET_FORMATS_DATA_JPEG_DECODER_H_

#include <cstdint>
#include <vector>

#include "formats/data/jpeg_structure.h"

namespace octet::data_internal {

/// Decodes at `eighths` / 8 of the size, each side rounded up, with `gray` to what libjpeg has
/// of it if the framework asks libjpeg. Whatever libjpeg finds wrong, if
/// only worth a warning, is an error, but for bytes between segments, which some cameras leave.
Result<DecodedImage> DecodeByLibjpeg(Bytes bytes, const JpegStructure& structure,
                                     const Decoding& decoding, bool gray, int eighths,
                                     std::vector<uint8_t> memory);

/// Whether stb_image decodes JPEGs: where there is no libjpeg, and in its tests.
extern constinit thread_local bool jpeg_by_stb;

}  // namespace octet::data_internal

#endif  // OCTET_FORMATS_DATA_JPEG_DECODER_H_
