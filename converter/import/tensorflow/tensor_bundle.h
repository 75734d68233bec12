// TensorFlow's tensor bundle: the variables of a SavedModel or checkpoint.
#ifndef OCTET_CONVERTER_IMPORT_TENSORFLOW_TENSOR_BUNDLE_H_
#define OCTET_CONVERTER_IMPORT_TENSORFLOW_TENSOR_BUNDLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/builder/constant.h"
#include "converter/import/file_bytes.h"
#include "formats/base/status.h"

namespace octet {

/// Of TensorFlow's DataType.
ElementType TensorflowType(int64_t number);

/// One tensor of a bundle: where its bytes are.
struct BundleEntry {
  ElementType type = ElementType::kUndefined;
  std::vector<int64_t> shape;
  int64_t num_elements = 0;  ///< Product of `shape`.
  int shard = 0;
  uint64_t offset = 0;
  uint64_t size = 0;
  uint32_t crc32c = 0;  ///< Masked.
  bool sliced = false;
};

/// `PREFIX.index` (a LevelDB table) and its shards `PREFIX.data-xxxxx-of-yyyyy`.
class TensorBundle {
 public:
  /// Reads the whole index, checking every block's CRC32C, and maps the shards. Errors: kNotFound,
  /// kCorrupt, kUnsupported (blocks compressed by other means than Snappy, big-endian files).
  static Result<TensorBundle> Open(const std::string& prefix);

  /// The same of an index's bytes. `open_shard` gives shard i of n. Errors come without a file's
  /// name.
  using ShardOpener = std::function<Result<FileBytes>(int i, int n)>;
  static Result<TensorBundle> Parse(std::string_view index, const ShardOpener& open_shard);

  /// All keys but the header's empty one.
  const std::map<std::string, BundleEntry, std::less<>>& entries() const { return entries_; }

  /// Bytes of a tensor of numbers, its length and CRC32C checked. Valid as long as the bundle
  /// lives. Errors: kNotFound, kCorrupt, kUnsupported (partitioned variables, types without a fixed
  /// size).
  Result<std::string_view> Read(std::string_view key) const;

  /// The single string of a scalar string tensor. Errors as for Read().
  Result<std::string> ReadString(std::string_view key) const;

 private:
  Status ReadIndex(std::string_view file, const ShardOpener& open_shard);
  /// The entry and its bytes, bounds checked, CRC32C not yet.
  Result<std::string_view> Locate(std::string_view key, const BundleEntry** entry) const;

  std::map<std::string, BundleEntry, std::less<>> entries_;
  std::vector<FileBytes> shards_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_TENSORFLOW_TENSOR_BUNDLE_H_
