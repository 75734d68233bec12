// Preprocessing as people read and write it.
#ifndef OCTET_FORMATS_DATA_PREPROCESSING_JSON_H_
#define OCTET_FORMATS_DATA_PREPROCESSING_JSON_H_

#include <string>

#include "formats/model/metadata.h"

namespace octet {

/// One line of JSON that ParsePreprocessing (converter/import) reads back to the same values, e.g.
/// {"resize":"center-crop","resize_shorter":256,"filter":"bilinear","order":"rgb","scale":0.003921569,"mean":[...],"std":[...]}.
/// `channels` (1 to 4) entries of mean and std are written, each with the fewest digits that give
/// the same float32.
std::string PreprocessingToJson(const Preprocessing& preprocessing, int channels);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_PREPROCESSING_JSON_H_
