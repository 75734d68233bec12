// TFRecord files and the tf.train.Example messages in them.
#ifndef OCTET_FORMATS_DATA_TFRECORD_H_
#define OCTET_FORMATS_DATA_TFRECORD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/base/status.h"
#include "formats/data/file.h"

namespace octet {

/// Longer records are refused.
inline constexpr int64_t kMaxRecordBytes = int64_t{64} << 20;

/// Reads a TFRecord file record by record; memory is bounded by the longest record. Each record is
/// an 8-byte length, its masked CRC-32C, the data and theirs; both checksums are verified. Errors
/// name the record and its offset in the file.
class TfRecordReader {
 public:
  /// Errors: kNotFound, kIo; kUnsupported for a compressed file.
  static Result<std::unique_ptr<TfRecordReader>> Open(const std::string& path);

  /// Reads the next record into `record`; false at the end. Errors: kCorrupt (truncated, checksum),
  /// kUnsupported (longer than kMaxRecordBytes), kIo. After an error every call returns the same
  /// error.
  Result<bool> Next(std::vector<uint8_t>* record);

  /// As Next without reading the data or checking its checksum.
  Result<bool> Skip();

  /// Number of records, found by walking the lengths; -1 when the structure is damaged. Does not
  /// move the reader.
  int64_t CountRecords() const;

  /// Records read or skipped so far, and the offset in the file of the next one.
  int64_t records() const { return records_; }
  int64_t offset() const { return offset_; }

 private:
  explicit TfRecordReader(InputFile file) : file_(std::move(file)) {}

  /// Length of the data of the record at `offset`, which must not be the end of the file.
  Result<int64_t> ReadLength(int64_t offset, int64_t record) const;
  Result<bool> Advance(std::vector<uint8_t>* record);

  InputFile file_;
  int64_t offset_ = 0;
  int64_t records_ = 0;
  Status error_;
};

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

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_TFRECORD_H_
