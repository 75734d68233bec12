// What the write_file_*.cc files share.
#ifndef OCTET_FORMATS_BASE_WRITE_FILE_IMPL_H_
#define OCTET_FORMATS_BASE_WRITE_FILE_IMPL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>

#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {

/// Writes each by a `Writer`, of which Sync() brings the bytes to the disk and Commit() gives them
/// the target's name.
template <typename Writer>
Status StageAllAndCommit(std::span<const NewFile> files) {
  std::deque<Writer> writers;
  for (const NewFile& file : files) {
    Writer& writer = writers.emplace_back(file.path);
    OCTET_RETURN_IF_ERROR(writer.Open());
    OCTET_RETURN_IF_ERROR(writer.Append(file.bytes));
    OCTET_RETURN_IF_ERROR(writer.Sync());
  }
  for (Writer& writer : writers) OCTET_RETURN_IF_ERROR(writer.Commit());
  return OkStatus();
}

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
