#include "formats/data/shard.h"

#include <algorithm>
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

Status CheckShards(const std::string& what, std::vector<ShardFile>* files) {
  std::stable_sort(files->begin(), files->end(), [](const ShardFile& a, const ShardFile& b) {
    return BeginsBefore(a.shard, b.shard);
  });
  const auto name = [](const ShardFile& f) {
    return StrCat(f.path, " (shard ", f.shard.Text(), ")");
  };
  const ShardFile &first = files->front(), &last = files->back();
  if (first.shard.index > 0)
    return InvalidArgument(StrCat(what, " of the shards before ", name(first), " are missing"));
  for (size_t i = 1; i < files->size(); ++i) {
    const ShardFile &before = (*files)[i - 1], &f = (*files)[i];
    const int64_t end = (before.shard.index + 1) * f.shard.count,
                  begin = f.shard.index * before.shard.count;
    if (end > begin)
      return InvalidArgument(StrCat(what, " ", name(before), " and ", name(f), " overlap"));
    if (end < begin) {
      return InvalidArgument(
          StrCat(what, " of the shards between ", name(before), " and ", name(f), " are missing"));
    }
  }
  if (last.shard.index + 1 < last.shard.count)
    return InvalidArgument(StrCat(what, " of the shards after ", name(last), " are missing"));
  return OkStatus();
}

}  // namespace octet
