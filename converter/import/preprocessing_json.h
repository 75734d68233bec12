// Preprocessing written as JSON, in graph descriptions and in files of its own.
#ifndef OCTET_CONVERTER_IMPORT_PREPROCESSING_JSON_H_
#define OCTET_CONVERTER_IMPORT_PREPROCESSING_JSON_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "formats/base/status.h"
#include "formats/model/metadata.h"

namespace octet {

/// The network's input, as far as it is known: 0 is not.
struct PhotoInput {
  int64_t height = 0, width = 0, channels = 0;
};

/// octet's own fields, all optional, of what Preprocessing says: "framework" ("pillow",
/// "tensorflow", "opencv": whose decoder, and whose filters; each can be named alone, by
/// "decode": {"framework", "dct": "accurate" or "fast", "upsampling": "fancy" or "plain",
/// "orientation": "stored" or "exif"} and "resampling"), "resize" ("none", "stretch",
/// "center-crop", "letterbox", "crop-to-aspect"), "resize_shorter" (pixels, needed by center-crop),
/// "pad_color" (of letterbox: a number or red, green and blue), "filter" (see kResizeFilterNames,
/// and "linear", "cubic", "lanczos3"), "antialias", "coordinates", "passes", "reducing_gap",
/// "result" ("uint8", "float"), "order" ("rgb", "bgr"), "scale", "mean" and "std" (a number for all
/// channels, or an array of one per channel). What is left out is as the framework has it.
///
/// Or what torchvision and timm write (transforms_json.h). `origin` is the name used in errors.
/// Errors: kCorrupt for what is not JSON, kInvalidArgument naming the field.
Result<Preprocessing> ParsePreprocessing(std::string_view json, const std::string& origin,
                                         const PhotoInput& input = {});

/// From a file. Errors: also kNotFound and kIo.
Result<Preprocessing> ReadPreprocessing(const std::string& path, const PhotoInput& input = {});

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_PREPROCESSING_JSON_H_
