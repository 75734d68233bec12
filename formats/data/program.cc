#include "formats/data/program.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <new>
#include <string_view>
#include <system_error>

#include "formats/base/str_cat.h"
#include "formats/data/system.h"

namespace octet {

Status CheckOutput(const std::string& path) {
  std::error_code error;
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  if (!std::filesystem::is_directory(folder, error)) {
    return NotFound(StrCat(path, ": folder ", folder.string(), " does not exist"));
  }
  if (std::filesystem::is_directory(path, error))
    return InvalidArgument(StrCat(path, ": is a folder, expected a file name"));
  return OkStatus();
}

std::string CommandText(int argc, const char* const* argv) {
  std::string text;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
             std::string_view("-_=./,:+@%").find(c) != std::string_view::npos;
    });
    std::string quoted;
    for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    text += (i == 0 ? "" : " ") + (plain ? word : "'" + quoted + "'");
  }
  return text;
}

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
