#include "tests/fuzz/targets/fuzz_target.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace octet::testing {

void FuzzFailed(const char* file, int line, const std::string& message) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, message.c_str());
  std::abort();
}

uint32_t HashOf(const uint8_t* data, size_t size) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 16777619u;
  return hash;
}

MemoryFile::MemoryFile(const uint8_t* data, size_t size) : fd_(memfd_create("fuzz", 0)) {
  FUZZ_CHECK(fd_ >= 0, "no file in memory");
  FUZZ_CHECK(write(fd_, data, size) == static_cast<ssize_t>(size), "file in memory: short write");
  path_ = "/proc/self/fd/" + std::to_string(fd_);
}

MemoryFile::~MemoryFile() { close(fd_); }

std::vector<uint8_t> ReadTiny(const std::string& name) {
  std::ifstream file(OCTET_SOURCE_DIR "/tests/data/tiny/" + name, std::ios::binary);
  FUZZ_CHECK(file.good(), "no file " + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace octet::testing
