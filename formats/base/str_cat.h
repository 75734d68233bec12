// One helper to build error messages.
#ifndef OCTET_FORMATS_BASE_STR_CAT_H_
#define OCTET_FORMATS_BASE_STR_CAT_H_

#include <sstream>
#include <string>

namespace octet {

/// Concatenates anything that can be written to a stream.
template <typename... Args>
std::string StrCat(const Args&... args) {
  std::ostringstream out;
  // A stream keeps a failing allocation to itself otherwise, and the text is cut short.
  out.exceptions(std::ios_base::badbit);
  (out << ... << args);
  return out.str();
}

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_STR_CAT_H_
