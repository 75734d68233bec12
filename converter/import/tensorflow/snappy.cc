// A bounded decoder of Snappy's raw format: a length, then literals and copies of what came before.
#include "converter/import/tensorflow/snappy.h"

#include <algorithm>
#include <cstdint>

#include "formats/base/str_cat.h"

namespace octet::tf {

Result<std::string> SnappyUncompress(std::string_view in, size_t max_bytes) {
  const Status corrupt =
      Corrupt("a Snappy block ends inside an element or refers outside of itself");
  size_t at = 0;
  // Little-endian, `bytes` of them.
  const auto number = [&](size_t bytes, uint64_t* value) {
    *value = 0;
    if (bytes > in.size() - at) return false;
    for (size_t i = 0; i < bytes; ++i)
      *value |= static_cast<uint64_t>(static_cast<uint8_t>(in[at++])) << (8 * i);
    return true;
  };
  uint64_t length = 0, byte = 0x80;
  for (int shift = 0; byte >= 0x80; shift += 7) {
    if (shift > 28 || !number(1, &byte)) return corrupt;
    length |= (byte & 0x7f) << shift;
  }
  if (length > max_bytes)
    return Corrupt(StrCat("a Snappy block of ", length, " bytes, expected at most ", max_bytes));
  std::string out;
  out.reserve(static_cast<size_t>(length));
  while (at < in.size()) {
    uint64_t tag = 0, count = 0, offset = 0;
    if (!number(1, &tag)) return corrupt;
    if ((tag & 3) == 0) {
      count = tag >> 2;
      if (count >= 60 && !number(static_cast<size_t>(count) - 59, &count)) return corrupt;
      ++count;
      if (count > in.size() - at || count > length - out.size()) return corrupt;
      out.append(in.substr(at, static_cast<size_t>(count)));
      at += static_cast<size_t>(count);
      continue;
    }
    if ((tag & 3) == 1) {
      if (!number(1, &offset)) return corrupt;
      count = (tag >> 2 & 7) + 4;
      offset |= tag >> 5 << 8;
    } else {
      if (!number((tag & 3) == 2 ? 2 : 4, &offset)) return corrupt;
      count = (tag >> 2) + 1;
    }
    if (offset == 0 || offset > out.size() || count > length - out.size()) return corrupt;
    // What is copied may reach into what the copy writes.
    for (; count > 0; --count) out.push_back(out[out.size() - static_cast<size_t>(offset)]);
  }
  if (out.size() != length) return corrupt;
  return out;
}

}  // namespace octet::tf
