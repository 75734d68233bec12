// Reading files and memory of whole pages on Windows. Files are shared as POSIX systems share them:
// others may write and delete them.
#include <fcntl.h>
#include <io.h>

#include <algorithm>
#include <cstring>

#include "formats/base/errno_text.h"
#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/base/windows.h"

namespace octet {
namespace {

HANDLE HandleOf(int fd) { return reinterpret_cast<HANDLE>(::_get_osfhandle(fd)); }

DWORD Low(uint64_t x) { return static_cast<DWORD>(x); }
DWORD High(uint64_t x) { return static_cast<DWORD>(x >> 32); }

}  // namespace

InputFile::~InputFile() {
  if (fd_ >= 0) ::_close(fd_);
}

Result<InputFile> InputFile::Open(const std::string& path) {
  const std::wstring wide = Wide(path);
  const HANDLE handle = ::CreateFileW(wide.c_str(), GENERIC_READ,
                                      FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                                      nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (handle == INVALID_HANDLE_VALUE) {
    const bool bad_name = ::GetLastError() == ERROR_INVALID_NAME;
    const int error = LastErrno();
    if (error == ENOENT || bad_name) return NotFound(StrCat(path, ": no such file"));
    const DWORD attributes = ::GetFileAttributesW(wide.c_str());
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
      return IoError(StrCat(path, ": not a regular file"));
    return IoError(ErrnoText(path, "cannot open", error));
  }
  const int fd = ::_open_osfhandle(reinterpret_cast<intptr_t>(handle), _O_RDONLY | _O_BINARY);
  if (fd < 0) {
    const int error = errno;
    ::CloseHandle(handle);
    return IoError(ErrnoText(path, "cannot open", error));
  }
  InputFile file(path, fd, 0);
  OCTET_RETURN_IF_ERROR(file.FindSize());
  return file;
}

Result<InputFile> InputFile::FromDescriptor(int descriptor) {
  const std::string name = StrCat("descriptor ", descriptor);
  // Negative ones would end the process by the runtime's own check.
  const int fd = descriptor < 0 ? -1 : ::_dup(descriptor);
  if (fd < 0) {
    if (descriptor < 0 || errno == EBADF)
      return InvalidArgument(StrCat(name, ": not an open file"));
    return IoError(ErrnoText(name, "cannot duplicate", errno));
  }
  InputFile file(name, fd, 0);
  OCTET_RETURN_IF_ERROR(file.FindSize());
  return file;
}

Status InputFile::FindSize() {
  if (::GetFileType(HandleOf(fd_)) != FILE_TYPE_DISK)
    return IoError(StrCat(path_, ": not a regular file"));
  LARGE_INTEGER size;
  if (!::GetFileSizeEx(HandleOf(fd_), &size))
    return IoError(ErrnoText(path_, "cannot read its size", LastErrno()));
  size_ = size.QuadPart;
  return OkStatus();
}

Status InputFile::ReadAt(int64_t offset, std::span<uint8_t> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const auto at = static_cast<uint64_t>(offset) + done;
    OVERLAPPED where{};
    where.Offset = Low(at);
    where.OffsetHigh = High(at);
    DWORD n = 0;
    if (!::ReadFile(HandleOf(fd_), out.data() + done,
                    Low(std::min<size_t>(out.size() - done, 1 << 30)), &n, &where) &&
        ::GetLastError() != ERROR_HANDLE_EOF)
      return IoError(ErrnoText(path_, "cannot read", LastErrno()));
    if (n == 0) {
      return Corrupt(
          StrCat(path_, ": ends at byte ", at, ", expected ", out.size() - done, " more bytes"));
    }
    done += n;
  }
  return OkStatus();
}

Result<FileBytes> InputFile::Map(int64_t offset, int64_t length) const {
  if (length == 0) return FileBytes{};
  SYSTEM_INFO system;
  ::GetSystemInfo(&system);
  const int64_t before = offset % system.dwAllocationGranularity;
  const auto first = static_cast<uint64_t>(offset - before),
             end = static_cast<uint64_t>(offset + length);
  const Handle mapping(
      ::CreateFileMappingW(HandleOf(fd_), nullptr, PAGE_READONLY, High(end), Low(end), nullptr));
  // The view keeps the mapping.
  const void* map = mapping.ok() ? ::MapViewOfFile(mapping.get(), FILE_MAP_READ, High(first),
                                                   Low(first), static_cast<size_t>(end - first))
                                 : nullptr;
  if (map == nullptr) {
    const int error = LastErrno();
    const std::string text = ErrnoText(path_, "cannot map", error);
    return error == ENOMEM ? OutOfMemory(text) : IoError(text);
  }
  return FileBytes{{static_cast<const std::byte*>(map) + before, static_cast<size_t>(length)},
                   {map, [](const void* p) { ::UnmapViewOfFile(p); }}};
}

bool IsWritableFolder(const std::string& folder) {
  return ::_waccess(Wide(folder).c_str(), 2) == 0;
}

Result<Pages> Pages::Allocate(size_t size) {
  void* map = ::VirtualAlloc(nullptr, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (map == nullptr)
    return OutOfMemory(StrCat("cannot allocate ", size, " bytes: ", std::strerror(LastErrno())));
  Pages pages;
  pages.owner_ = {map, [](void* p) { ::VirtualFree(p, 0, MEM_RELEASE); }};
  pages.bytes_ = {static_cast<std::byte*>(map), size};
  return pages;
}

void Pages::MakeReadOnly() {
  DWORD before;
  ::VirtualProtect(bytes_.data(), bytes_.size(), PAGE_READONLY, &before);
}

Status Pages::Lock() const {
  if (::VirtualLock(bytes_.data(), bytes_.size())) return OkStatus();
  const int error = LastErrno();
  SIZE_T least = 0, most = 0;
  ::GetProcessWorkingSetSize(::GetCurrentProcess(), &least, &most);
  return OutOfMemory(StrCat("lock in memory: found ", std::strerror(error),
                            " with a working set of at least ", least, " bytes, expected ",
                            bytes_.size(), " bytes to be locked"));
}

}  // namespace octet
