// What every fuzz target has: libFuzzer's entry point, seeds, and a way to fail.
#ifndef OCTET_TESTS_FUZZ_TARGETS_FUZZ_TARGET_H_
#define OCTET_TESTS_FUZZ_TARGETS_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Never fails for an input that is refused; aborts where what must hold does not.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace octet::testing {

/// Small inputs that reach deep; defined by each target.
std::vector<std::vector<uint8_t>> SeedCorpus();

/// Inputs that were not refused on the way: a target counts those that came to its end.
inline int64_t deep_inputs = 0;

/// Prints where and what, and aborts.
[[noreturn]] void FuzzFailed(const char* file, int line, const std::string& message);

inline std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}
inline std::vector<uint8_t> BytesOf(std::string_view text) { return {text.begin(), text.end()}; }

/// FNV-1a of the input, for choices that shall not take bytes of it.
uint32_t HashOf(const uint8_t* data, size_t size);

/// The bytes as a file that exists in memory only, for what wants a path.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  int fd_;
  std::string path_;
};

/// A file below tests/data/tiny.
std::vector<uint8_t> ReadTiny(const std::string& name);

}  // namespace octet::testing

#define FUZZ_CHECK(condition, message)                                             \
  do {                                                                             \
    if (!(condition)) ::octet::testing::FuzzFailed(__FILE__, __LINE__, (message)); \
  } while (false)

#endif  // OCTET_TESTS_FUZZ_TARGETS_FUZZ_TARGET_H_
