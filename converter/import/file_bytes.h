// Files that a model names beside itself.
#ifndef OCTET_CONVERTER_IMPORT_FILE_BYTES_H_
#define OCTET_CONVERTER_IMPORT_FILE_BYTES_H_

#include <string>

#include "formats/base/file.h"
#include "formats/base/status.h"

namespace octet {

/// Maps the file `location` beside the model file `model_path`, which must lie in the model's
/// folder: no absolute path, no "..", no symbolic link that leads out of it. Errors: kCorrupt for a
/// location that is not allowed, kNotFound, kIo.
Result<FileBytes> MapCompanionFile(const std::string& model_path, const std::string& location);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_FILE_BYTES_H_
