// Files as the importers see them: mapped, read-only.
#ifndef OCTET_CONVERTER_IMPORT_FILE_BYTES_H_
#define OCTET_CONVERTER_IMPORT_FILE_BYTES_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "formats/base/status.h"

namespace octet {

/// A file's bytes, valid as long as `owner` lives.
struct FileBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;

  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

/// Maps a regular file. Errors: kNotFound, kIo (also for what is not a regular file).
Result<FileBytes> MapFile(const std::string& path);

/// Maps the file `location` beside the model file `model_path`, which must lie in the model's
/// folder: no absolute path, no "..", no symbolic link that leads out of it. Errors: kCorrupt for a
/// location that is not allowed, kNotFound, kIo.
Result<FileBytes> MapCompanionFile(const std::string& model_path, const std::string& location);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_FILE_BYTES_H_
