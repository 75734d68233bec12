// Preprocessing written as JSON, in graph descriptions and in files of its own.
#ifndef OCTET_CONVERTER_IMPORT_PREPROCESSING_JSON_H_
#define OCTET_CONVERTER_IMPORT_PREPROCESSING_JSON_H_

#include <string>
#include <string_view>

#include "formats/base/status.h"
#include "formats/model/metadata.h"

namespace octet {

/// Fields, all optional: "resize" ("none", "stretch", "center-crop"), "resize_shorter" (pixels,
/// needed by center-crop), "filter"
/// ("bilinear", "bicubic"), "order" ("rgb", "bgr"), "scale", "mean" and "std" (a number, or one
/// number per channel). What is left out has Preprocessing's default. `origin` is the name used in
/// errors. Errors: kCorrupt for what is not JSON, kInvalidArgument naming the field.
Result<Preprocessing> ParsePreprocessing(std::string_view json, const std::string& origin);

/// From a file. Errors: also kNotFound and kIo.
Result<Preprocessing> ReadPreprocessing(const std::string& path);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_PREPROCESSING_JSON_H_
