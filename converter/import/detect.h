// Formats by name.
#ifndef OCTET_CONVERTER_IMPORT_DETECT_H_
#define OCTET_CONVERTER_IMPORT_DETECT_H_

#include <string>

#include "formats/base/status.h"

namespace octet {

/// What people call a format of DetectFormat: "ONNX".
const char* FormatTitle(const std::string& format);

/// Of an error of Model::Load: one that says how to convert the file, if that is what it lacks.
Status NameForeignModel(Status status, const std::string& path);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_DETECT_H_
