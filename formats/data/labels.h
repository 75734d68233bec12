// Lists of class names.
#ifndef OCTET_FORMATS_DATA_LABELS_H_
#define OCTET_FORMATS_DATA_LABELS_H_

#include <string>
#include <string_view>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// One name per line, line number = class index. Line ends may be LF or CRLF, a byte order mark in
/// front and empty lines at the end are dropped, white space around a name too. Errors:
/// kInvalidArgument for an empty list, an empty line between names, control characters, more than
/// 2^20 names or names longer than 1024 bytes; `origin` is the name used in errors.
Result<std::vector<std::string>> ParseLabels(std::string_view text, const std::string& origin);

/// From a file. Errors: also kNotFound, kIo.
Result<std::vector<std::string>> ReadLabels(const std::string& path);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_LABELS_H_
