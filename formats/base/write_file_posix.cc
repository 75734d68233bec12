// Files that are whole or not there, on POSIX systems.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

#include "formats/base/errno_text.h"
#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/base/write_file_impl.h"

namespace octet {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

struct Place {
  std::string folder, name;
  std::string path() const { return folder + name; }
};

Place Split(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"./", path};
  return {path.substr(0, slash + 1), path.substr(slash + 1)};
}

/// The file that `path` means when links are followed, whether it exists or not.
Result<Place> Resolve(const std::string& path) {
  constexpr int kMaxLinks = 40;  // As Linux has it.
  Place place = Split(path);
  for (int i = 0; i < kMaxLinks; ++i) {
    char link[PATH_MAX];
    const ssize_t size = ::readlink(place.path().c_str(), link, sizeof(link));
    if (size < 0) return place;  // No link; whatever else is wrong with it, opening will tell.
    const std::string to(link, static_cast<size_t>(size));
    place = Split(to.starts_with('/') ? to : place.folder + to);
  }
  return IoError(ErrnoText(path, "cannot write", ELOOP));
}

/// Removes what processes left that were killed while they wrote the same file. Those of the living
/// are locked; a process's number would say nothing about one in another container.
void RemoveStale(const Place& place) {
  DIR* folder = ::opendir(place.folder.c_str());
  if (folder == nullptr) return;
  while (const dirent* entry = ::readdir(folder)) {
    if (!IsTemporaryOf(place.name, entry->d_name)) continue;
    const std::string path = place.folder + entry->d_name;
    const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat info {};
    if (fd.ok() && ::fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode) &&
        ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) {
      ::unlink(path.c_str());
    }
  }
  ::closedir(folder);
}

bool WriteAll(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), std::min<size_t>(bytes.size(), 1 << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;  // Nothing of something: it would go on like this for ever.
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

/// One write, on its way to the target.
class Writer final : public PendingFile {
 public:
  explicit Writer(std::string path) : path_(std::move(path)) {}
  ~Writer() override {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  Status Open() override {
    OCTET_ASSIGN_OR_RETURN(target_, Resolve(path_));
    exists_ = ::stat(target_.path().c_str(), &replaced_) == 0;
    // A rename onto a device or a folder would replace it or fail.
    if (exists_ && !S_ISREG(replaced_.st_mode))
      return IoError(StrCat(path_, ": cannot write: not a regular file"));
    if (target_.name.empty()) return Fail(ENOENT);
    RemoveStale(target_);
#ifdef O_TMPFILE  // Linux alone has it. Without /proc there would be no way to name it.
    if (::access("/proc/self/fd", X_OK) == 0)
      fd_ = Descriptor(::open(target_.folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
#endif
    if (!fd_.ok()) fd_ = OpenTemporary();
    return fd_.ok() ? TakeOver() : Fail(errno);
  }

  Status Append(std::span<const std::byte> bytes) override {
    return WriteAll(fd_.get(), bytes) ? OkStatus() : Fail(errno);
  }

  Status Sync() override { return ::fsync(fd_.get()) == 0 ? OkStatus() : Fail(errno); }

  Status Commit() override {
    if (temporary_.empty() && !Name()) return Fail(errno);
    return named_ ? SyncFolder() : Replace();
  }

 private:
  Status Fail(int error) const { return IoError(ErrnoText(path_, "cannot write", error)); }

  /// Rights and owner of the file that is there.
  Status TakeOver() const {
    if (!exists_) return OkStatus();
    const int fd = fd_.get();
    // Giving a file away is the administrator's right; a group of our own can be kept.
    if (::fchown(fd, replaced_.st_uid, replaced_.st_gid) != 0 &&
        ::fchown(fd, static_cast<uid_t>(-1), replaced_.st_gid) != 0) {
      // It is ours then, as a new file would be.
    }
    return ::fchmod(fd, replaced_.st_mode & 0777) == 0 ? OkStatus() : Fail(errno);
  }

  Descriptor OpenTemporary() {
    while (true) {
      const std::string name = NextTemporary(target_.path(), static_cast<uint64_t>(::getpid()));
      Descriptor fd(::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
      if (!fd.ok()) {
        if (errno != EEXIST) return fd;
        continue;
      }
      // Before it was locked, another writer may have taken it for stale.
      struct stat info {};
      ::flock(fd.get(), LOCK_EX | LOCK_NB);
      if (::fstat(fd.get(), &info) == 0 && info.st_nlink == 0) continue;
      temporary_ = name;
      return fd;
    }
  }

  /// Gives the file without a name the target's, where there is none yet, else a temporary one.
  /// False with an errno when that cannot be done.
  bool Name() {
    const std::string from = StrCat("/proc/self/fd/", fd_.get());
    const auto link = [&](const std::string& to) {
      return ::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW) == 0;
    };
    if (!exists_) {
      named_ = link(target_.path());
      if (named_ || errno != EEXIST) return named_;
    }
    ::flock(fd_.get(), LOCK_EX | LOCK_NB);
    while (true) {
      const std::string name = NextTemporary(target_.path(), static_cast<uint64_t>(::getpid()));
      if (link(name)) {
        temporary_ = name;
        return true;
      }
      if (errno != EEXIST) return false;
    }
  }

  Status Replace() {
    if (::rename(temporary_.c_str(), target_.path().c_str()) != 0) return Fail(errno);
    temporary_.clear();
    return SyncFolder();
  }

  /// The name itself must survive a power failure.
  Status SyncFolder() const {
    const Descriptor folder(::open(target_.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    // File systems that cannot sync a folder say EINVAL.
    if (folder.ok() && ::fsync(folder.get()) != 0 && errno != EINVAL && errno != ENOTSUP) {
      return IoError(ErrnoText(path_, "cannot sync its folder", errno));
    }
    return OkStatus();
  }

  const std::string path_;
  Place target_;
  bool exists_ = false;
  struct stat replaced_ {};  ///< The file that is there already, if there is one.
  Descriptor fd_;
  std::string temporary_;  ///< Its path while it has to be removed on failure.
  bool named_ = false;     ///< It has the target's name already.
};

}  // namespace

std::unique_ptr<PendingFile> MakePendingFile(const std::string& path) {
  return std::make_unique<Writer>(path);
}

}  // namespace octet
