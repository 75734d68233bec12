#include "formats/data/shard.h"

#include <charconv>

#include "formats/base/str_cat.h"

namespace octet {

Result<Shard> ParseShard(const std::string& text) {
  Shard shard;
  const char* const end = text.data() + text.size();
  const auto index = std::from_chars(text.data(), end, shard.index);
  const bool has_slash = index.ec == std::errc() && index.ptr != end && *index.ptr == '/';
  const auto count = has_slash ? std::from_chars(index.ptr + 1, end, shard.count) : index;
  if (!has_slash || count.ec != std::errc() || count.ptr != end || shard.index < 0 ||
      shard.count < 1 || shard.count > kMaxShards || shard.index >= shard.count) {
    return InvalidArgument(
        StrCat("'", text, "' is not a shard, expected 0/n to (n-1)/n, n at most ", kMaxShards));
  }
  return shard;
}

}  // namespace octet
