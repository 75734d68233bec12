// What is the same on every system.
#include "formats/base/file.h"

#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {

InputFile::InputFile(std::string path, int fd, int64_t size)
    : path_(std::move(path)), fd_(fd), size_(size) {}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

Result<FileBytes> MapFile(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
  return file.Map();
}

Result<std::vector<uint8_t>> ReadFileBytes(const std::string& path, int64_t max_bytes) {
  OCTET_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
  if (file.size() > max_bytes) {
    return InvalidArgument(
        StrCat(path, ": is ", file.size(), " bytes, at most ", max_bytes, " are read"));
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(file.size()));
  OCTET_RETURN_IF_ERROR(file.ReadAt(0, bytes));
  return bytes;
}

}  // namespace octet
