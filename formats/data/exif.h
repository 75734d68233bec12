// Which way up a photo is. Internal to octet_data.
#ifndef OCTET_FORMATS_DATA_EXIF_H_
#define OCTET_FORMATS_DATA_EXIF_H_

#include "formats/data/image_bytes.h"

namespace octet::data_internal {

/// EXIF's orientation, 1 (as stored) to 8, from a TIFF header on; 1 where none is given. Errors:
/// kUnsupported for one that programs read differently.
Result<int> ExifOrientation(Bytes tiff);

/// Turns an image that is stored in this orientation upright.
void TurnUpright(int orientation, DecodedImage* image);

/// Whether that exchanges width and height.
inline bool SwapsSides(int orientation) { return orientation >= 5; }

}  // namespace octet::data_internal

#endif  // OCTET_FORMATS_DATA_EXIF_H_
