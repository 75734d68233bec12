// Names for tensors and nodes of sources that use one name several times, or none.
#ifndef OCTET_CONVERTER_IMPORT_BUILDER_UNIQUE_NAMES_H_
#define OCTET_CONVERTER_IMPORT_BUILDER_UNIQUE_NAMES_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "formats/base/str_cat.h"

namespace octet {

class UniqueNames {
 public:
  /// `separator` stands between a name and the number that makes it unique, `first` or above.
  UniqueNames(std::string separator, int64_t first)
      : separator_(std::move(separator)), first_(first) {}

  /// `wanted`, or `wanted` with the smallest number that makes a name not taken yet. The search
  /// goes on where the last one for the same name ended, so that n equal names take O(n) steps.
  std::string Make(const std::string& wanted) {
    if (Take(wanted)) return wanted;
    int64_t& number = last_.try_emplace(wanted, first_ - 1).first->second;
    std::string name;
    do {
      name = StrCat(wanted, separator_, ++number);
    } while (!Take(name));
    return name;
  }

  /// Reserves `name`; false when it is taken already.
  bool Take(const std::string& name) {
    ++steps_;
    return taken_.insert(name).second;
  }

  /// Names tried so far, for tests.
  int64_t steps() const { return steps_; }

 private:
  std::string separator_;
  int64_t first_;
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, int64_t> last_;  ///< Number given out last, by wanted name.
  int64_t steps_ = 0;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_BUILDER_UNIQUE_NAMES_H_
