// What a program took for granted and its user should know.
#ifndef OCTET_FORMATS_DATA_WARNINGS_H_
#define OCTET_FORMATS_DATA_WARNINGS_H_

#include <string>
#include <utility>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// Collected while the work is done; reported once, before the results.
class Warnings {
 public:
  /// A sentence without a full stop that names the place, what was found and what was taken for it.
  void Add(std::string text) { texts_.push_back(std::move(text)); }

  const std::vector<std::string>& texts() const { return texts_; }

  /// Prints "PROGRAM: warning: TEXT" to stderr for each. With `strict` the first is an error
  /// instead (kInvalidArgument), and nothing is printed.
  Status Report(const char* program, bool strict) const;

 private:
  std::vector<std::string> texts_;
};

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_WARNINGS_H_
