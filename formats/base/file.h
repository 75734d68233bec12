// The file system and memory in whole pages: all that formats, engine and tools know of them. What
// a system does differently is in the *_posix.cc and *_windows.cc beside it; their codes and words
// are the same. Paths are UTF-8.
#ifndef OCTET_FORMATS_BASE_FILE_H_
#define OCTET_FORMATS_BASE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// Bytes, valid as long as `owner` lives.
struct FileBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;

  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

/// A regular file open for reading at any offset. Move-only; closes itself.
class InputFile {
 public:
  /// Errors: kNotFound, kIo (also for what is not a regular file). They begin with the path, as all
  /// of this file.
  static Result<InputFile> Open(const std::string& path);
  /// The file of a descriptor, of which it keeps a duplicate; where the descriptor stands in it
  /// does not matter, and stays on POSIX systems. Its path is "descriptor N". Errors:
  /// kInvalidArgument for one that is not open, kIo for what is not a regular file. On Windows it
  /// is one of the C runtime that this library is linked with, which decides what becomes of
  /// numbers that are none.
  static Result<InputFile> FromDescriptor(int descriptor);

  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  ~InputFile();

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }

  /// Fills `out` from `offset`. Errors: kCorrupt when the file ends before, kIo.
  Status ReadAt(int64_t offset, std::span<uint8_t> out) const;

  /// The whole file as read-only memory, which outlives this; pages are read when they are touched.
  /// Errors: kIo, kOutOfMemory.
  Result<FileBytes> Map() const { return Map(0, size_); }
  /// `length` bytes from any `offset`, which are inside the file. They lie as they do in the file:
  /// at an address that is a multiple of as large a power of two, up to a page, as the offset is.
  Result<FileBytes> Map(int64_t offset, int64_t length) const;

 private:
  InputFile(std::string path, int fd, int64_t size);
  /// Finds out the size. Errors: kIo, also for what is not a regular file.
  Status FindSize();

  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

/// Opens and maps. Errors: those of InputFile.
Result<FileBytes> MapFile(const std::string& path);

/// The whole file. Errors: as InputFile, and kInvalidArgument above `max_bytes`.
Result<std::vector<uint8_t>> ReadFileBytes(const std::string& path, int64_t max_bytes);

/// As far as the system says before one tries.
bool IsWritableFolder(const std::string& folder);

/// Whole pages of the process's own memory, zeroed: not from the heap, with which they would share
/// their edges.
class Pages {
 public:
  /// `size` > 0. Errors: kOutOfMemory.
  static Result<Pages> Allocate(size_t size);

  std::span<std::byte> bytes() const { return bytes_; }
  const std::shared_ptr<const void>& owner() const { return owner_; }

  /// Nothing in the process can write them by mistake from now on.
  void MakeReadOnly();
  /// Keeps them out of the swap. Errors: kOutOfMemory, with the system's limit.
  Status Lock() const;

 private:
  std::span<std::byte> bytes_;
  std::shared_ptr<const void> owner_;
};

/// What a file is to become. Neither is owned.
struct NewFile {
  const std::string& path;
  std::span<const std::byte> bytes;
};

/// Replaces files. Whoever opens one sees the old file or the new one, whole, also
/// after a kill or a power failure. A symbolic link is followed, even to a file that is not there
/// yet; a file that is replaced keeps its permissions and, where the system lets us, its owner.
///
/// The bytes go to a file without a name and get one when they are on the disk; only between that
/// and the rename, some microseconds, a kill can leave "PATH.PID.N.tmp" behind. The next write of
/// the same path removes what dead processes left. (File systems without O_TMPFILE: the name is
/// there from the start.) All bytes are on the disk before the first file is replaced: until then
/// a failure leaves everything as it was, and never anything behind. Thread-safe. Errors: kIo.
///
/// On Windows the new file has the permissions that its folder gives, and a file that a process has
/// open cannot be replaced.
Status WriteFilesAtomically(std::span<const NewFile> files);

/// One file.
inline Status WriteFileAtomically(const std::string& path, std::span<const std::byte> bytes) {
  const NewFile file{path, bytes};
  return WriteFilesAtomically({&file, 1});
}

/// A file whose bytes come in pieces; it is there, as WriteFilesAtomically says, when it has been
/// committed, and never else. Errors: kIo.
class OutputFile {
 public:
  static Result<OutputFile> Create(const std::string& path);
  OutputFile(OutputFile&&) noexcept;
  OutputFile& operator=(OutputFile&&) noexcept;
  ~OutputFile();

  Status Append(std::span<const std::byte> bytes);
  /// Once, at the end.
  Status Commit();

 private:
  struct Impl;
  explicit OutputFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_FILE_H_
