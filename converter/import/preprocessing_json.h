// Preprocessing written as JSON, in graph descriptions and in files of its own.
#ifndef OCTET_CONVERTER_IMPORT_PREPROCESSING_JSON_H_
#define OCTET_CONVERTER_IMPORT_PREPROCESSING_JSON_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "formats/base/status.h"
#include "formats/model/metadata.h"

namespace octet {

/// Fields, all optional: "resize" ("none", "stretch", "center-crop"), "resize_shorter" (pixels,
/// needed by center-crop), "filter"
/// ("bilinear", "bicubic"), "order" ("rgb", "bgr"), "scale", "mean" and "std" (a number for
/// all channels, or an array of one per channel, of which there are `channels`; 0 when that is not
/// known). What is left out has Preprocessing's default. `origin` is the name used in
/// errors. Errors: kCorrupt for what is not JSON, kInvalidArgument naming the field.
Result<Preprocessing> ParsePreprocessing(std::string_view json, const std::string& origin,
                                         int64_t channels = 0);

/// From a file. Errors: also kNotFound and kIo.
Result<Preprocessing> ReadPreprocessing(const std::string& path, int64_t channels = 0);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_PREPROCESSING_JSON_H_
