#include "formats/data/program.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

#include "formats/data/system.h"

namespace octet {

int RunProgram(const char* name, const std::function<int()>& main) {
  PrepareStandardStreams();
  int code = 1;
  try {
    code = main();
  } catch (const std::bad_alloc&) {
    // Nothing here allocates: stderr has no buffer.
    std::fprintf(stderr, "%s: out of memory\n", name);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: internal error: %s\n", name, e.what());
  }
  errno = 0;
  bool written = std::fflush(stdout) == 0;  // std::cout goes through it.
  int error = errno;
  written = written && std::ferror(stdout) == 0;
  // The reason is gone when a full buffer failed before the end. One more byte fails for the same,
  // or does not matter.
  if (!written && error == 0) error = StandardOutputError();
  if (std::fclose(stdout) != 0 && written) {
    error = errno;
    written = false;
  }
  if (written) return code;
  std::fprintf(stderr, "%s: cannot write to standard output: %s\n", name,
               error != 0 ? std::strerror(error) : "an earlier write failed");
  return code != 0 ? code : 1;
}

}  // namespace octet
