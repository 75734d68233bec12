// Reading files and memory of whole pages on POSIX systems.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "formats/base/errno_text.h"
#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

std::shared_ptr<const void> OwnerOf(void* map, size_t size) {
  return std::shared_ptr<const void>(
      map, [size](const void* p) { ::munmap(const_cast<void*>(p), size); });
}

}  // namespace

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<InputFile> InputFile::Open(const std::string& path) {
  // O_NONBLOCK: a named pipe would wait for a writer before it can be refused; regular files ignore
  // it.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) return NotFound(StrCat(path, ": no such file"));
    return IoError(ErrnoText(path, "cannot open", error));
  }
  InputFile file(path, fd, 0);
  OCTET_RETURN_IF_ERROR(file.FindSize());
  return file;
}

Result<InputFile> InputFile::FromDescriptor(int descriptor) {
  const std::string name = StrCat("descriptor ", descriptor);
  const int fd = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) {
    const int error = errno;
    if (error == EBADF) return InvalidArgument(StrCat(name, ": not an open file"));
    return IoError(ErrnoText(name, "cannot duplicate", error));
  }
  InputFile file(name, fd, 0);
  OCTET_RETURN_IF_ERROR(file.FindSize());
  return file;
}

Status InputFile::FindSize() {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return IoError(ErrnoText(path_, "cannot read its size", errno));
  if (!S_ISREG(info.st_mode)) return IoError(StrCat(path_, ": not a regular file"));
  size_ = info.st_size;
  return OkStatus();
}

Status InputFile::ReadAt(int64_t offset, std::span<uint8_t> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = ::pread(fd_, out.data() + done, std::min<size_t>(out.size() - done, 1 << 30),
                              offset + static_cast<int64_t>(done));
    if (n < 0) {
      const int error = errno;
      if (error == EINTR) continue;
      return IoError(ErrnoText(path_, "cannot read", error));
    }
    if (n == 0) {
      return Corrupt(StrCat(path_, ": ends at byte ", offset + static_cast<int64_t>(done),
                            ", expected ", out.size() - done, " more bytes"));
    }
    done += static_cast<size_t>(n);
  }
  return OkStatus();
}

Result<FileBytes> InputFile::Map(int64_t offset, int64_t length) const {
  if (length == 0) return FileBytes{};
  const int64_t before = offset % ::sysconf(_SC_PAGESIZE);
  const auto size = static_cast<size_t>(before + length);
  // Not MAP_POPULATE: measured, it costs what touching the pages costs (0.04 ms for 25 MB in the
  // page cache), and a file that is not cached would be read as a whole before its header is looked
  // at.
  void* map = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd_, offset - before);
  if (map == MAP_FAILED) {
    const int error = errno;
    const std::string text = ErrnoText(path_, "cannot map", error);
    return error == ENOMEM ? OutOfMemory(text) : IoError(text);
  }
  return FileBytes{{static_cast<const std::byte*>(map) + before, static_cast<size_t>(length)},
                   OwnerOf(map, size)};
}

Result<Pages> Pages::Allocate(size_t size) {
  void* map = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED)
    return OutOfMemory(StrCat("cannot allocate ", size, " bytes: ", std::strerror(errno)));
  Pages pages;
  pages.owner_ = OwnerOf(map, size);
  pages.bytes_ = {static_cast<std::byte*>(map), size};
  return pages;
}

bool IsWritableFolder(const std::string& folder) { return ::access(folder.c_str(), W_OK) == 0; }

void Pages::MakeReadOnly() { ::mprotect(bytes_.data(), bytes_.size(), PROT_READ); }

Status Pages::Lock() const {
  if (::mlock(bytes_.data(), bytes_.size()) == 0) return OkStatus();
  const int error = errno;
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  return OutOfMemory(StrCat("lock in memory: found ", std::strerror(error),
                            " with RLIMIT_MEMLOCK = ",
                            limit.rlim_cur == RLIM_INFINITY ? "unlimited" : StrCat(limit.rlim_cur),
                            ", expected ", bytes_.size(), " bytes to be locked"));
}

}  // namespace octet
