// Files are whole or not there, whichever system call fails or is the last one before a kill.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "formats/base/file.h"

namespace {

/// What the next calls of the writer do. A count of -1 means never.
struct Calls {
  int done = 0;
  int fail_at = -1;                       ///< This call fails with EIO, ...
  int nothing_at = -1;                    ///< ... or, a write, says that it wrote nothing, ...
  int kill_before = -1, kill_after = -1;  ///< ... or ends the process.
};
Calls calls;
bool watching = false;

template <typename Call>
auto Watched(const Call& call) -> decltype(call()) {
  if (!watching) return call();
  const int number = calls.done++;
  if (number == calls.kill_before) kill(getpid(), SIGKILL);
  if (number == calls.nothing_at) return 0;
  if (number == calls.fail_at) {
    errno = EIO;
    return -1;
  }
  const auto result = call();
  if (number == calls.kill_after) kill(getpid(), SIGKILL);
  return result;
}

}  // namespace

// In front of the C library's, for everything that is linked into this program.
extern "C" {
ssize_t write(int fd, const void* data, size_t size) {
  return Watched([&] { return static_cast<ssize_t>(syscall(SYS_write, fd, data, size)); });
}
int fsync(int fd) {
  return Watched([&] { return static_cast<int>(syscall(SYS_fsync, fd)); });
}
int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) noexcept {
  return Watched([&] {
    return static_cast<int>(syscall(SYS_linkat, from_folder, from, to_folder, to, flags));
  });
}
int rename(const char* from, const char* to) noexcept {
  return Watched([&] { return renameat(AT_FDCWD, from, AT_FDCWD, to); });
}
}

namespace octet {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const std::byte> AsBytes(std::string_view text) { return std::as_bytes(std::span(text)); }

class WriteFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "octet_write_test.XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  std::string File(const std::string& name) const { return (folder_ / name).string(); }
  std::vector<std::string> List() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  static std::string Read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  static mode_t ModeOf(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  }

  /// Writes with `plan` in force.
  static Status Write(const std::string& path, std::string_view text, const Calls& plan = {}) {
    calls = plan;
    watching = true;
    Status status = WriteFileAtomically(path, AsBytes(text));
    watching = false;
    return status;
  }

  /// The same in a process of its own. True when it was killed.
  static bool WriteAndDie(const std::string& path, std::string_view text, const Calls& plan) {
    const pid_t child = fork();
    if (child == 0) _exit(Write(path, text, plan).ok() ? 0 : 1);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
  }

  /// Whether files of the folder can be made without a name.
  bool HasUnnamedFiles() const {
    const int fd = open(folder_.c_str(), O_TMPFILE | O_WRONLY, 0600);
    if (fd >= 0) close(fd);
    return fd >= 0;
  }

  fs::path folder_;
};

TEST_F(WriteFileTest, EveryCallMayFail) {
  for (bool replace : {false, true}) {
    int failures = 0;
    for (int n = 0;; ++n) {
      const std::string path = File("out");
      fs::remove(path);
      if (replace) {
        ASSERT_TRUE(Write(path, "old").ok());
      }
      const Status status = Write(path, "new", {.fail_at = n});
      if (calls.done <= n) {
        EXPECT_TRUE(status.ok()) << status.message();
        break;
      }
      ++failures;
      EXPECT_EQ(status.code(), StatusCode::kIo);
      EXPECT_THAT(status.message(), ::testing::AllOf(::testing::StartsWith(path + ": cannot "),
                                                     HasSubstr(": Input/output error")));
      // The last call is the folder's fsync: what it would make safe is there.
      const bool there = fs::exists(path) && Read(path) == "new";
      EXPECT_EQ(List(),
                replace || there ? std::vector<std::string>{"out"} : std::vector<std::string>());
      if (replace && !there) {
        EXPECT_EQ(Read(path), "old");
      }
    }
    EXPECT_GE(failures, 4) << "write, fsync, a name, fsync of the folder";
  }
}

TEST_F(WriteFileTest, AWriteOfNothingIsAnError) {
  const Status status = Write(File("out"), "new", {.nothing_at = 0});
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_EQ(calls.done, 1) << "it must not be tried for ever";
  EXPECT_THAT(List(), ElementsAre());
}

// kill -9 before and after every system call that changes something: the old file or the new one,
// whole, and whatever is left goes with the next write.
TEST_F(WriteFileTest, AKillAtEveryCallLeavesWholeFiles) {
  const bool unnamed = HasUnnamedFiles();
  int kills = 0, left = 0;
  for (bool replace : {false, true}) {
    for (bool after : {false, true}) {
      for (int n = 0;; ++n) {
        const std::string path = File("out");
        fs::remove(path);
        if (replace) {
          ASSERT_TRUE(Write(path, "old").ok());
        }
        if (!WriteAndDie(path, "new", after ? Calls{.kill_after = n} : Calls{.kill_before = n}))
          break;
        ++kills;
        const std::vector<std::string> names = List();
        left += static_cast<int>(
            std::count_if(names.begin(), names.end(), [](const auto& s) { return s != "out"; }));
        if (fs::exists(path)) {
          EXPECT_TRUE(Read(path) == "new" || (replace && Read(path) == "old")) << Read(path);
        } else {
          EXPECT_FALSE(replace);
        }
        ASSERT_TRUE(Write(path, "next").ok());
        EXPECT_EQ(Read(path), "next");
        EXPECT_THAT(List(), ElementsAre("out"));
      }
    }
  }
  EXPECT_GE(kills, 16);
  // Only between the name and the rename, which a new file does not need: after the one and before
  // the other.
  if (unnamed) {
    EXPECT_EQ(left, 2);
  }
}

TEST_F(WriteFileTest, KillsAtRandomTimes) {
  const std::string path = File("out"), a(300000, 'a'), b(300000, 'b');
  ASSERT_TRUE(Write(path, a).ok());
  for (int i = 0; i < 100; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      while (true)
        (void)(WriteFileAtomically(path, AsBytes(b)).ok() &&
               WriteFileAtomically(path, AsBytes(a)).ok());
    }
    usleep(static_cast<useconds_t>(100 + i * 37 % 3000));
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    const std::string found = Read(path);
    ASSERT_TRUE(found == a || found == b) << found.size() << " bytes";
  }
  ASSERT_TRUE(Write(path, a).ok());
  EXPECT_THAT(List(), ElementsAre("out"));
}

// What the living write, and what only looks alike, stays.
TEST_F(WriteFileTest, RemovesNothingElse) {
  const std::vector<std::string> kept = {"out.7.0.tmp",  "out.12.tmp",     "out.12.0.tmp2",
                                         "out.1x.0.tmp", "out..12.0.tmp",  "other.12.0.tmp",
                                         "out.-1.0.tmp", "out.12.0.1.tmp", "out.12..tmp"};
  for (const std::string& name : kept) std::ofstream(File(name)) << "kept";
  fs::create_directory(File("out.12.9.tmp"));
  std::ofstream(File("out.12.3.tmp")) << "stale";
  const int alive = open(File(kept[0]).c_str(), O_WRONLY);
  ASSERT_EQ(flock(alive, LOCK_EX), 0);
  ASSERT_TRUE(Write(File("out"), "new").ok());
  for (const std::string& name : kept) EXPECT_EQ(Read(File(name)), "kept") << name;
  EXPECT_FALSE(fs::exists(File("out.12.3.tmp")));
  EXPECT_EQ(List().size(), kept.size() + 2);
  close(alive);
  ASSERT_TRUE(Write(File("out"), "new").ok());
  EXPECT_EQ(List().size(), kept.size() + 1);
}

TEST_F(WriteFileTest, ReplacedFilesKeepTheirModeAndOwner) {
  const std::string path = File("out");
  for (mode_t mode : {0600, 0640, 0666, 0755, 0444}) {
    ASSERT_TRUE(Write(path, "old").ok());
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    ASSERT_TRUE(Write(path, "new").ok());
    EXPECT_EQ(ModeOf(path), mode);
    fs::remove(path);
  }
  if (getuid() != 0) GTEST_SKIP() << "only root may give files away";
  ASSERT_TRUE(Write(path, "old").ok());
  ASSERT_EQ(chown(path.c_str(), 12345, 54321), 0);
  ASSERT_TRUE(Write(path, "new").ok());
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 12345u);
  EXPECT_EQ(info.st_gid, 54321u);
}

TEST_F(WriteFileTest, SeveralFilesAreStagedBeforeOneIsReplaced) {
  const std::string old = File("old"), link = File("link"), fresh = File("fresh");
  const std::vector<NewFile> files{
      {old, AsBytes("new 1")}, {link, AsBytes("new 2")}, {fresh, AsBytes("new 3")}};
  int untouched = 0;
  for (int n = 0;; ++n) {
    fs::remove(fresh);
    ASSERT_TRUE(Write(old, "old 1").ok());
    ASSERT_TRUE(Write(File("target"), "old 2").ok());
    if (n == 0) fs::create_symlink("target", link);
    calls = {.fail_at = n};
    watching = true;
    const Status status = WriteFilesAtomically(files);
    watching = false;
    EXPECT_TRUE(fs::is_symlink(link));
    const bool all = calls.done <= n;
    EXPECT_EQ(status.ok(), all) << status.message();
    // In their order, and nothing else.
    EXPECT_THAT(Read(old), ::testing::AnyOf("old 1", "new 1"));
    EXPECT_TRUE(Read(link) == "old 2" || (Read(link) == "new 2" && Read(old) == "new 1"));
    const bool last = fs::exists(fresh);
    EXPECT_EQ(List(), last ? (std::vector<std::string>{"fresh", "link", "old", "target"})
                           : (std::vector<std::string>{"link", "old", "target"}));
    EXPECT_TRUE(!last || (Read(fresh) == "new 3" && Read(link) == "new 2"));
    untouched += Read(old) == "old 1";
    if (all) {
      EXPECT_TRUE(last);
      break;
    }
  }
  EXPECT_GE(untouched, 6 + 2) << "a write and an fsync of each, a name and a rename";
}

TEST_F(WriteFileTest, FollowsLinksToFilesThatAreNotThereYet) {
  fs::create_directory(File("folder"));
  fs::create_symlink("folder/second", File("first"));
  fs::create_symlink("target", File("folder/second"));
  fs::create_symlink(File("absolute"), File("folder/third"));
  ASSERT_TRUE(Write(File("first"), "new").ok());
  EXPECT_TRUE(fs::is_symlink(File("first")));
  EXPECT_TRUE(fs::is_symlink(File("folder/second")));
  EXPECT_FALSE(fs::is_symlink(File("folder/target")));
  EXPECT_EQ(Read(File("folder/target")), "new");
  ASSERT_TRUE(Write(File("folder/third"), "other").ok());
  EXPECT_EQ(Read(File("absolute")), "other");
  fs::create_symlink("circle", File("circle"));
  EXPECT_THAT(Write(File("circle"), "x").message(),
              HasSubstr("circle: cannot write: Too many levels of symbolic links"));
}

}  // namespace
}  // namespace octet
