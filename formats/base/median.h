// The middle one of measured times.
#ifndef OCTET_FORMATS_BASE_MEDIAN_H_
#define OCTET_FORMATS_BASE_MEDIAN_H_

#include <algorithm>
#include <cstddef>
#include <vector>

namespace octet {

/// Of at least one value; of an even number the upper one of the two in the middle.
inline double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_MEDIAN_H_
