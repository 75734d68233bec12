// Snappy's compressed blocks, which TensorFlow's tables may be made of.
#ifndef OCTET_CONVERTER_IMPORT_TENSORFLOW_SNAPPY_H_
#define OCTET_CONVERTER_IMPORT_TENSORFLOW_SNAPPY_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "formats/base/status.h"

namespace octet::tf {

/// The bytes that `compressed` stands for, at most `max_bytes`. Errors: kCorrupt.
Result<std::string> SnappyUncompress(std::string_view compressed, size_t max_bytes);

}  // namespace octet::tf

#endif  // OCTET_CONVERTER_IMPORT_TENSORFLOW_SNAPPY_H_
