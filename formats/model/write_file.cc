#include "formats/model/write_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

/// `error` is an errno, read before anything else could change it.
Status SystemError(const std::string& action, const std::string& path, int error) {
  return IoError(StrCat(action, " '", path, "': ", std::strerror(error)));
}

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
  return SystemError("cannot write", path, ELOOP);
}

/// "NAME.PID.N.tmp": the PID, or nothing when it is another file.
std::optional<pid_t> OwnerOfTemporary(std::string_view entry, std::string_view name) {
  if (!entry.starts_with(name)) return std::nullopt;
  entry.remove_prefix(name.size());
  long pid = 0, number = 0;
  const char* end = entry.data() + entry.size();
  if (!entry.starts_with('.')) return std::nullopt;
  const auto [after_pid, pid_error] = std::from_chars(entry.data() + 1, end, pid);
  if (pid_error != std::errc() || pid < 1 || after_pid == end || *after_pid != '.')
    return std::nullopt;
  const auto [after, error] = std::from_chars(after_pid + 1, end, number);
  if (error != std::errc() || std::string_view(after, static_cast<size_t>(end - after)) != ".tmp")
    return std::nullopt;
  return static_cast<pid_t>(pid);
}

/// Removes what processes left that were killed while they wrote the same file. Theirs are locked
/// as long as they live, which also holds where their PID says nothing: in another container.
void RemoveStale(const Place& place) {
  DIR* folder = ::opendir(place.folder.c_str());
  if (folder == nullptr) return;
  while (const dirent* entry = ::readdir(folder)) {
    const std::optional<pid_t> owner = OwnerOfTemporary(entry->d_name, place.name);
    if (!owner || ::kill(*owner, 0) == 0 || errno != ESRCH) continue;
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
class Writer {
 public:
  Writer(const std::string& path, Place target) : path_(path), target_(std::move(target)) {}
  ~Writer() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// `replaced` is the file that is there already, if there is one.
  Status Run(std::span<const std::byte> bytes, const struct stat* replaced) {
    Descriptor fd(::open(target_.folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
    if (fd.ok()) {
      OCTET_RETURN_IF_ERROR(Fill(fd.get(), bytes, replaced));
      // Without /proc there is no way to name it.
      if (Name(fd.get(), replaced == nullptr)) return named_ ? SyncFolder() : Replace();
      if (errno != ENOENT) return Fail(errno);
    }
    Descriptor named = OpenTemporary();
    if (!named.ok()) return Fail(errno);
    ::flock(named.get(), LOCK_EX | LOCK_NB);
    OCTET_RETURN_IF_ERROR(Fill(named.get(), bytes, replaced));
    return Replace();
  }

 private:
  Status Fail(int error) const { return SystemError("cannot write", path_, error); }

  Status Fill(int fd, std::span<const std::byte> bytes, const struct stat* replaced) const {
    if (replaced != nullptr) {
      // Giving a file away is the administrator's right; a group of our own can be kept.
      if (::fchown(fd, replaced->st_uid, replaced->st_gid) != 0 &&
          ::fchown(fd, static_cast<uid_t>(-1), replaced->st_gid) != 0) {
        // It is ours then, as a new file would be.
      }
      if (::fchmod(fd, replaced->st_mode & 0777) != 0) return Fail(errno);
    }
    if (!WriteAll(fd, bytes) || ::fsync(fd) != 0) return Fail(errno);
    return OkStatus();
  }

  std::string NextTemporary() const {
    static std::atomic<uint32_t> counter{0};
    return StrCat(target_.path(), ".", ::getpid(), ".", counter++, ".tmp");
  }

  Descriptor OpenTemporary() {
    while (true) {
      const std::string name = NextTemporary();
      Descriptor fd(::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
      if (fd.ok()) temporary_ = name;
      if (fd.ok() || errno != EEXIST) return fd;
    }
  }

  /// Gives the file without a name the target's, where there is none yet, else a temporary one.
  /// False with an errno when that cannot be done.
  bool Name(int fd, bool is_new) {
    const std::string from = StrCat("/proc/self/fd/", fd);
    const auto link = [&](const std::string& to) {
      return ::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW) == 0;
    };
    if (is_new) {
      named_ = link(target_.path());
      if (named_ || errno != EEXIST) return named_;
    }
    ::flock(fd, LOCK_EX | LOCK_NB);
    while (true) {
      const std::string name = NextTemporary();
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
      return SystemError("cannot sync the folder of", path_, errno);
    }
    return OkStatus();
  }

  const std::string& path_;
  Place target_;
  std::string temporary_;  ///< Its path while it has to be removed on failure.
  bool named_ = false;     ///< It has the target's name already.
};

}  // namespace

Status WriteFileAtomically(const std::string& path, std::span<const std::byte> bytes) {
  OCTET_ASSIGN_OR_RETURN(const Place target, Resolve(path));
  struct stat info {};
  const bool exists = ::stat(target.path().c_str(), &info) == 0;
  // A rename onto a device or a folder would replace it or fail.
  if (exists && !S_ISREG(info.st_mode)) {
    return IoError(StrCat("cannot write '", path, "': not a regular file"));
  }
  if (target.name.empty()) return SystemError("cannot write", path, ENOENT);
  RemoveStale(target);
  return Writer(path, target).Run(bytes, exists ? &info : nullptr);
}

}  // namespace octet
