// What the system says of a failed call. Internal to the *_posix.cc files.
#ifndef OCTET_FORMATS_BASE_ERRNO_TEXT_H_
#define OCTET_FORMATS_BASE_ERRNO_TEXT_H_

#include <cstring>
#include <string>

#include "formats/base/str_cat.h"

namespace octet {

/// "PATH: cannot open: Permission denied". `error` is an errno, read before anything else could
/// change it.
inline std::string ErrnoText(const std::string& path, const char* what, int error) {
  return StrCat(path, ": ", what, ": ", std::strerror(error));
}

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_ERRNO_TEXT_H_
