// Letters of names, whatever the locale.
#ifndef OCTET_FORMATS_BASE_LOWER_CASE_H_
#define OCTET_FORMATS_BASE_LOWER_CASE_H_

#include <string>
#include <string_view>

namespace octet {

inline std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return lower;
}

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_LOWER_CASE_H_
