// Programs of the project as a user runs them: exit code, stdout, stderr, and a folder that is
// removed afterwards.
#ifndef OCTET_TESTS_PACKAGING_COMMAND_H_
#define OCTET_TESTS_PACKAGING_COMMAND_H_

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace octet::testing {

/// For builds of the library in tests, where one instruction set is enough.
#if defined(__x86_64__)
inline const std::string kQuickIsa = "sse2";
#elif defined(__aarch64__)
inline const std::string kQuickIsa = "neon";
#else
inline const std::string kQuickIsa = "reference";
#endif

struct Outcome {
  int code = -1;  ///< Exit code; -1 when a signal ended the program.
  std::string out, err;
};

inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// A .npy file of `type`, "<f4" and the like.
inline std::string Npy(const std::string& type, const std::string& shape, const std::string& data) {
  std::string header =
      "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  header += std::string(117 - header.size(), ' ') + "\n";
  const auto size = static_cast<unsigned>(header.size());
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(size & 0xff) +
         static_cast<char>(size >> 8) + header + data;
}

/// For the shell, whatever is in it.
inline std::string Quote(const std::string& s) {
  std::string quoted = "'";
  for (char c : s) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

/// A folder of its own for one test program.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "octet_test_XXXXXX").string();
    path_ = mkdtemp(name.data()) != nullptr ? name : "";
  }
  ~TemporaryFolder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Runs a shell command.
inline Outcome RunCommand(const std::string& command) {
  const TemporaryFolder folder;
  const int status = std::system(
      ("{ " + command + "\n} >" + Quote(folder / "out") + " 2>" + Quote(folder / "err")).c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadFile(folder / "out"),
          ReadFile(folder / "err")};
}

/// `command` fails with `code`, prints nothing on stdout and one line on stderr, which contains
/// `part`.
inline void ExpectError(const std::string& command, int code, const std::string& part) {
  const Outcome o = RunCommand(command);
  EXPECT_EQ(o.code, code) << command << "\n" << o.err;
  EXPECT_EQ(o.out, "") << command;
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << command << "\n" << o.err;
  EXPECT_NE(o.err.find(part), std::string::npos) << command << "\n" << o.err;
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_PACKAGING_COMMAND_H_
