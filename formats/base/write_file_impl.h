// What the write_file_*.cc files share.
#ifndef OCTET_FORMATS_BASE_WRITE_FILE_IMPL_H_
#define OCTET_FORMATS_BASE_WRITE_FILE_IMPL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {

/// A file on its way to its name. One that is not committed leaves nothing behind. Errors: kIo.
class PendingFile {
 public:
  virtual ~PendingFile() = default;

  virtual Status Open() = 0;
  virtual Status Append(std::span<const std::byte> bytes) = 0;
  /// Brings the bytes to the disk.
  virtual Status Sync() = 0;
  /// Gives them the target's name.
  virtual Status Commit() = 0;
};

/// Of this system.
std::unique_ptr<PendingFile> MakePendingFile(const std::string& path);

/// "PATH.PROCESS.N.tmp", another one each time.
inline std::string NextTemporary(const std::string& path, uint64_t process) {
  static std::atomic<uint32_t> counter{0};
  return StrCat(path, ".", process, ".", counter++, ".tmp");
}

/// Whether `entry` of a folder is such a name of the file `name`.
inline bool IsTemporaryOf(std::string_view name, std::string_view entry) {
  if (!entry.starts_with(name) || !entry.ends_with(".tmp")) return false;
  entry.remove_prefix(name.size());
  entry.remove_suffix(4);
  // Two numbers, each behind a dot.
  for (int i = 0; i < 2; ++i) {
    const size_t end = std::min(entry.find('.', 1), entry.size());
    if (end < 2 || entry[0] != '.') return false;
    const std::string_view digits = entry.substr(1, end - 1);
    if (digits.find_first_not_of("0123456789") != digits.npos) return false;
    entry.remove_prefix(end);
  }
  return entry.empty();
}

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_WRITE_FILE_IMPL_H_
