// Lists of class names.
#ifndef OCTET_FORMATS_DATA_LABELS_H_
#define OCTET_FORMATS_DATA_LABELS_H_

#include <string>
#include <string_view>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// Reads, whichever it is:
///  - one name per line, line number = class index;
///  - `INDEX NAME` lines (also `INDEX:NAME` and `INDEX,NAME`), the indices 0 to n-1 or 1 to n in
///  any
///    order;
///  - a dict or list as Python or JSON writes it: {0: 'tench', 1: "goldfish"}, {"0": "tench"},
///    {"tench": 0}, ["tench", "goldfish"]; indices are 0 to n-1, each once.
/// Line ends may be LF or CRLF, a byte order mark in front and empty lines at the end are dropped,
/// white space around a name too. Names may repeat. Errors: kInvalidArgument, naming the line, for
/// what has no single reading: an empty list, an empty line between names, indices that are missing
/// or repeat, lines of another notation; for control characters, more than 2^20 names or names
/// longer than 1024 bytes. `origin` is the name used in errors.
Result<std::vector<std::string>> ParseLabels(std::string_view text, const std::string& origin);

/// From a file, or from a TFRecord file's image/class/text and image/class/label, which must give
/// every class from the first to the last one text. `notes` is told when numbers count from 1.
/// Errors: also kNotFound, kIo, those of TfRecordReader.
Result<std::vector<std::string>> ReadLabels(const std::string& path,
                                            std::vector<std::string>* notes = nullptr);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_LABELS_H_
