// Numbers that a network cannot compute with, found before they are used.
#ifndef OCTET_FORMATS_BASE_FINITE_H_
#define OCTET_FORMATS_BASE_FINITE_H_

#include <cmath>
#include <cstddef>
#include <span>

#include "formats/base/status.h"
#include "formats/base/str_cat.h"

namespace octet {

/// kInvalidArgument "element 5: found nan, expected a finite number" for the first value that is
/// NaN or infinite. Callers say with WithContext whose element it is.
inline Status CheckFinite(std::span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      const char* found = std::isnan(values[i]) ? "nan" : values[i] > 0 ? "inf" : "-inf";
      return InvalidArgument(
          StrCat("element ", i, ": found ", found, ", expected a finite number"));
    }
  }
  return OkStatus();
}

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_FINITE_H_
