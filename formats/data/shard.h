// A part of work that several programs share.
#ifndef OCTET_FORMATS_DATA_SHARD_H_
#define OCTET_FORMATS_DATA_SHARD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// The index-th of `count` equal parts, counted from 0.
struct Shard {
  int64_t index = 0, count = 1;

  /// Where it begins in `total`; where the next one begins is where it ends. Shards cut any total
  /// without gap or overlap, those of different counts too: what is in 1/4 is in 0/2.
  int64_t Begin(int64_t total) const { return Cut(index, total); }
  int64_t End(int64_t total) const { return Cut(index + 1, total); }
  bool is_all() const { return count == 1; }

  /// "2/8".
  std::string Text() const { return std::to_string(index) + "/" + std::to_string(count); }

 private:
  int64_t Cut(int64_t i, int64_t total) const {
    return static_cast<int64_t>((static_cast<__int128>(total) * i + count - 1) / count);
  }
};

/// More are refused.
inline constexpr int64_t kMaxShards = int64_t{1} << 20;

/// Of "2/8". Errors: kInvalidArgument.
Result<Shard> ParseShard(const std::string& text);

/// By where they begin in whatever they are of.
inline bool BeginsBefore(const Shard& a, const Shard& b) {
  return a.index * b.count < b.index * a.count;
}

/// What a shard came to.
struct ShardFile {
  Shard shard;
  std::string path;
};

/// Whether they are one whole, whatever their counts. Sorts them. Errors: kInvalidArgument, naming
/// files that overlap, and those beside a gap, as `what`.
Status CheckShards(const std::string& what, std::vector<ShardFile>* files);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_SHARD_H_
