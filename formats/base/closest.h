// What somebody who mistyped a name may have meant.
#ifndef OCTET_FORMATS_BASE_CLOSEST_H_
#define OCTET_FORMATS_BASE_CLOSEST_H_

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace octet {

/// Letters to insert, leave out, replace or swap with their neighbour to get from one text to the
/// other.
inline size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({row[j - 1] + 1, last[j] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

/// "; did you mean NAME?" for the known name that `text` is the beginning of, or else the nearest
/// one if at most a third of its letters are others; "" when there is none.
inline std::string DidYouMean(std::string_view text, const std::vector<std::string>& known) {
  const std::string* best = nullptr;
  size_t least = text.size() / 3 + 1;
  for (const std::string& name : known) {
    const size_t distance =
        text.size() > 1 && name.starts_with(text) ? 0 : EditDistance(text, name);
    if (distance >= least) continue;
    least = distance;
    best = &name;
  }
  return best == nullptr ? "" : "; did you mean " + *best + "?";
}

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_CLOSEST_H_
