#include "formats/data/warnings.h"

#include <cstdio>

namespace octet {

Status Warnings::Report(const char* program, bool strict) const {
  if (texts_.empty()) return OkStatus();
  if (strict) return InvalidArgument(texts_[0]);
  for (const std::string& text : texts_)
    std::fprintf(stderr, "%s: warning: %s\n", program, text.c_str());
  return OkStatus();
}

}  // namespace octet
