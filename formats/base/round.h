// Rounding that is the same with every C library.
#ifndef OCTET_FORMATS_BASE_ROUND_H_
#define OCTET_FORMATS_BASE_ROUND_H_

#include <cmath>

namespace octet {

/// Halves away from zero. Of the number just below a half MinGW's std::round makes 1.
template <typename T>
T RoundHalfAway(T v) {
  const T whole = std::trunc(v);
  return std::abs(v - whole) >= T{0.5} ? whole + std::copysign(T{1}, v) : whole;
}

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_ROUND_H_
