#include "formats/data/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
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

InputFile::~InputFile() {
  if (fd_ >= 0) close(fd_);
}

Result<InputFile> InputFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not hang; it has no effect on regular files.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int error = errno;  // Before anything else can change it.
    const std::string message = StrCat(path, ": cannot open: ", std::strerror(error));
    return error == ENOENT || error == ENOTDIR ? NotFound(message) : IoError(message);
  }
  InputFile file(path, fd, 0);
  struct stat info;
  if (fstat(fd, &info) != 0) {
    const int error = errno;
    return IoError(StrCat(path, ": cannot read its size: ", std::strerror(error)));
  }
  if (!S_ISREG(info.st_mode)) return InvalidArgument(StrCat(path, ": not a regular file"));
  file.size_ = info.st_size;
  return file;
}

Status InputFile::ReadAt(int64_t offset, std::span<uint8_t> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n =
        pread(fd_, out.data() + done, out.size() - done, offset + static_cast<int64_t>(done));
    if (n < 0) {
      const int error = errno;
      if (error == EINTR) continue;
      return IoError(StrCat(path_, ": cannot read: ", std::strerror(error)));
    }
    if (n == 0) {
      return Corrupt(StrCat(path_, ": ends at byte ", offset + static_cast<int64_t>(done),
                            ", expected ", out.size() - done, " more bytes"));
    }
    done += static_cast<size_t>(n);
  }
  return OkStatus();
}

Result<std::vector<uint8_t>> ReadFileBytes(const std::string& path, int64_t max_bytes) {
  OCTET_ASSIGN_OR_RETURN(InputFile file, InputFile::Open(path));
  if (file.size() > max_bytes) {
    return InvalidArgument(
        StrCat(path, ": is ", file.size(), " bytes, at most ", max_bytes, " are read"));
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(file.size()));
  OCTET_RETURN_IF_ERROR(file.ReadAt(0, bytes));
  return bytes;
}

}  // namespace octet
