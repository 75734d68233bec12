// Reading files without trusting their size.
#ifndef OCTET_FORMATS_DATA_FILE_H_
#define OCTET_FORMATS_DATA_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// A regular file open for reading at any offset. Move-only; closes itself.
class InputFile {
 public:
  /// Errors: kNotFound, kIo; kInvalidArgument when `path` is not a regular file.
  static Result<InputFile> Open(const std::string& path);

  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  ~InputFile();

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }

  /// Fills `out` from `offset`. Errors: kCorrupt when the file ends before, kIo.
  Status ReadAt(int64_t offset, std::span<uint8_t> out) const;

 private:
  InputFile(std::string path, int fd, int64_t size);

  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

/// The whole file. Errors: as InputFile, and kInvalidArgument above `max_bytes`.
Result<std::vector<uint8_t>> ReadFileBytes(const std::string& path, int64_t max_bytes);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_FILE_H_
