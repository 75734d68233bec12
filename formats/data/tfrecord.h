// TFRecord files and the tf.train.Example messages in them.
#ifndef OCTET_FORMATS_DATA_TFRECORD_H_
#define OCTET_FORMATS_DATA_TFRECORD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/base/status.h"
#include "formats/data/byte_stream.h"

namespace octet {

/// Longer records are refused.
inline constexpr int64_t kMaxRecordBytes = int64_t{64} << 20;

/// Reads a TFRecord file record by record, inflating one that is compressed by gzip or zlib; memory
/// is bounded by the longest record. Each record is an 8-byte length, its masked CRC-32C, the data
/// and theirs; both checksums are verified. Errors name the record and its offset in the file, or
/// in what it inflates to.
class TfRecordReader {
 public:
  /// Errors: kNotFound, kIo, kOutOfMemory.
  static Result<std::unique_ptr<TfRecordReader>> Open(const std::string& path);

  /// Reads the next record into `record`; false at the end. Errors: kCorrupt (truncated, checksum),
  /// kUnsupported (longer than kMaxRecordBytes), kIo. Behind a record whose data has a wrong
  /// checksum the next call goes on; after any other error nothing is known of what follows
  /// (is_lost), and every call returns the same error.
  Result<bool> Next(std::vector<uint8_t>* record);

  /// As Next without checking the data's checksum, and without reading it where it can be helped.
  Result<bool> Skip();

  /// Number of records, found by walking the lengths (a compressed file is inflated for that); -1
  /// when the structure is damaged. Does not move the reader.
  int64_t CountRecords() const;

  bool compressed() const { return stream_.compressed(); }
  bool is_lost() const { return !error_.ok(); }
  int64_t file_size() const { return stream_.file_size(); }

  /// Records read or skipped so far, and the offset of the next one.
  int64_t records() const { return records_; }
  int64_t offset() const { return offset_; }

 private:
  explicit TfRecordReader(ByteStream stream) : stream_(std::move(stream)) {}

  /// About the record that is being read.
  Status Error(StatusCode code, const std::string& problem) const;
  Result<int64_t> Read(std::span<uint8_t> out);
  /// `damaged`: what is wrong with the record's data, when its end is known.
  Result<bool> Advance(std::vector<uint8_t>* record, Status* damaged);

  ByteStream stream_;
  int64_t offset_ = 0;
  int64_t records_ = 0;
  Status error_;
};

/// Whether the file is one, compressed or not, by the length and checksum that it begins with.
bool IsTfRecordFile(const std::string& path);

/// Whether `bytes`, the first of a file, are the length and checksum that begin a TFRecord file.
bool LooksLikeTfRecord(std::span<const uint8_t> bytes);

/// One feature of an Example: exactly one of the lists, as `kind` says.
struct Feature {
  enum class Kind { kNone, kBytes, kFloats, kInts };
  Kind kind = Kind::kNone;
  std::vector<std::string_view> bytes;  ///< Borrowed from the record.
  std::vector<float> floats;
  std::vector<int64_t> ints;
};

/// The features of a tf.train.Example by name. Names and byte strings point into the record.
using Example = std::map<std::string_view, Feature>;

/// Parses a serialized tf.train.Example; fields that it does not know are skipped. Errors:
/// kCorrupt.
Result<Example> ParseExample(std::span<const uint8_t> record);

/// The features of an example that are an image's; absent ones are empty.
struct ImageExample {
  std::optional<std::string_view> encoded;  ///< image/encoded, or image.
  std::optional<std::string_view> name;     ///< image/filename, or file_name.
  std::optional<std::string_view> text;     ///< image/class/text unless it is empty.
  std::optional<int64_t> label;             ///< image/class/label, or label.
};

/// By the names that TensorFlow's image examples have, and TensorFlow Datasets'. Errors:
/// kInvalidArgument for a feature of another type or length, and for two names of one thing whose
/// values differ. Text and label are read only `with_class`.
Result<ImageExample> ReadImageExample(const Example& example, bool with_class);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_TFRECORD_H_
