// What a handler of an importer's table understands of its operator. Everything else is refused.
#ifndef OCTET_CONVERTER_IMPORT_BUILDER_UNDERSTOOD_H_
#define OCTET_CONVERTER_IMPORT_BUILDER_UNDERSTOOD_H_

#include <algorithm>
#include <string>
#include <string_view>

#include "formats/base/status.h"
#include "formats/base/str_cat.h"

namespace octet {

/// Attributes or configuration keys. Lists are words separated by spaces.
struct Understood {
  const char* read = "";      ///< By the handler.
  const char* fixed = "";     ///< "key=value" or "key=value|value": the values honoured.
  const char* harmless = "";  ///< Of no meaning at inference.
};

/// Calls f(word) for every word until it gives true; whether one did.
template <typename F>
bool AnyWord(std::string_view list, const F& f) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(' '), list.size());
    if (end > 0 && f(list.substr(0, end))) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

inline bool HasWord(std::string_view list, std::string_view word) {
  return AnyWord(list, [&](std::string_view w) { return w == word; });
}

/// kUnsupported where `key` is neither read nor harmless, nor has a value that is honoured.
inline Status CheckUnderstood(const Understood& u, std::string_view key, std::string_view value) {
  if (HasWord(u.read, key) || HasWord(u.harmless, key)) return OkStatus();
  std::string honoured;
  const bool fits = AnyWord(u.fixed, [&](std::string_view entry) {
    const size_t equals = entry.find('=');
    if (entry.substr(0, equals) != key) return false;
    honoured = entry.substr(equals + 1);
    return StrCat("|", honoured, "|").find(StrCat("|", value, "|")) != std::string::npos;
  });
  if (fits) return OkStatus();
  std::replace(honoured.begin(), honoured.end(), '|', ',');
  return Unsupported(StrCat("'", key, "' is ", value.size() > 80 ? value.substr(0, 77) : value,
                            value.size() > 80 ? "..." : "",
                            honoured.empty() ? ", which octet does not know" : ", expected ",
                            honoured));
}

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_BUILDER_UNDERSTOOD_H_
