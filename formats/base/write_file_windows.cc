// Files that are whole or not there, on Windows. A file that is to be deleted when it is closed is
// what O_TMPFILE makes elsewhere: a kill leaves nothing.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <vector>

#include "formats/base/errno_text.h"
#include "formats/base/file.h"
#include "formats/base/str_cat.h"
#include "formats/base/windows.h"
#include "formats/base/write_file_impl.h"

namespace octet {
namespace {

/// The file that `path` means when links are followed, if it is there.
std::wstring Resolve(const std::wstring& path) {
  const Handle file(::CreateFileW(path.c_str(), 0,
                                  FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                                  OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr));
  std::wstring real(1 << 15, L'\0');  // The longest there is.
  const DWORD size = file.ok() ? ::GetFinalPathNameByHandleW(file.get(), real.data(),
                                                             static_cast<DWORD>(real.size()), 0)
                               : 0;
  if (size == 0 || size >= real.size()) return path;
  real.resize(size);
  return real;
}

/// Removes what a power failure left, or a kill at the very end. Nobody else can open those of the
/// living.
void RemoveStale(const std::wstring& path) {
  const size_t name = path.find_last_of(L"/\\:") + 1;
  WIN32_FIND_DATAW entry;
  const HANDLE search = ::FindFirstFileW((path + L".*.tmp").c_str(), &entry);
  if (search == INVALID_HANDLE_VALUE) return;
  do {
    if (IsTemporaryOf(Utf8(path.substr(name)), Utf8(entry.cFileName)))
      ::DeleteFileW((path.substr(0, name) + entry.cFileName).c_str());
  } while (::FindNextFileW(search, &entry));
  ::FindClose(search);
}

bool WriteAll(HANDLE file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    DWORD n = 0;
    if (!::WriteFile(file, bytes.data(),
                     static_cast<DWORD>(std::min<size_t>(bytes.size(), 1 << 30)), &n, nullptr))
      return false;
    if (n == 0) ::SetLastError(ERROR_WRITE_FAULT);  // It would go on like this for ever.
    if (n == 0) return false;
    bytes = bytes.subspan(n);
  }
  return true;
}

bool SetDeleted(HANDLE file, bool deleted) {
  FILE_DISPOSITION_INFO info{deleted};
  return ::SetFileInformationByHandle(file, FileDispositionInfo, &info, sizeof(info));
}

/// Tries for half a second while others have the target open: to replace it as well, or to look for
/// viruses.
bool Rename(HANDLE file, const std::wstring& to) {
  const size_t bytes = to.size() * sizeof(wchar_t);
  std::vector<std::byte> memory(sizeof(FILE_RENAME_INFO) + bytes);
  auto* info = reinterpret_cast<FILE_RENAME_INFO*>(memory.data());
  info->ReplaceIfExists = TRUE;
  info->FileNameLength = static_cast<DWORD>(bytes);
  std::memcpy(info->FileName, to.data(), bytes);
  for (int i = 0;; ++i) {
    if (::SetFileInformationByHandle(file, FileRenameInfo, info, static_cast<DWORD>(memory.size())))
      return true;
    const DWORD error = ::GetLastError();
    if ((error != ERROR_ACCESS_DENIED && error != ERROR_SHARING_VIOLATION) || i == 50) return false;
    ::Sleep(10);
  }
}

/// One write, on its way to the target.
class Writer final : public PendingFile {
 public:
  explicit Writer(std::string path) : path_(std::move(path)) {}

  /// A file that goes when it is closed.
  Status Open() override {
    target_ = Resolve(Wide(path_));
    const DWORD attributes = ::GetFileAttributesW(target_.c_str());
    if (attributes != INVALID_FILE_ATTRIBUTES &&
        (attributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_DEVICE)) != 0)
      return IoError(StrCat(path_, ": cannot write: not a regular file"));
    RemoveStale(target_);
    const std::string temporary = NextTemporary(Utf8(target_), ::GetCurrentProcessId());
    file_.emplace(::CreateFileW(Wide(temporary).c_str(), GENERIC_WRITE | DELETE, 0, nullptr,
                                CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr));
    if (!file_->ok()) return Fail(LastErrno());
    SetDeleted(file_->get(), true);
    return OkStatus();
  }

  Status Append(std::span<const std::byte> bytes) override {
    return WriteAll(file_->get(), bytes) ? OkStatus() : Fail(LastErrno());
  }

  Status Sync() override {
    return ::FlushFileBuffers(file_->get()) ? OkStatus() : Fail(LastErrno());
  }

  Status Commit() override {
    if (SetDeleted(file_->get(), false) && Rename(file_->get(), target_))
      return ::FlushFileBuffers(file_->get()) ? OkStatus() : Fail(LastErrno());
    const int error = LastErrno();
    SetDeleted(file_->get(), true);
    return Fail(error);
  }

 private:
  Status Fail(int error) const { return IoError(ErrnoText(path_, "cannot write", error)); }

  const std::string path_;
  std::wstring target_;
  std::optional<Handle> file_;
};

}  // namespace

std::unique_ptr<PendingFile> MakePendingFile(const std::string& path) {
  return std::make_unique<Writer>(path);
}

}  // namespace octet
