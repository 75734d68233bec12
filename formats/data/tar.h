// Members of tar files, one after the other.
#ifndef OCTET_FORMATS_DATA_TAR_H_
#define OCTET_FORMATS_DATA_TAR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "formats/base/status.h"
#include "formats/data/byte_stream.h"

namespace octet {

/// Larger members are not read.
inline constexpr int64_t kMaxTarMemberBytes = int64_t{512} << 20;

struct TarMember {
  std::string name;
  int64_t size = 0;    ///< Bytes of data.
  int64_t offset = 0;  ///< Of its first header, in the file or in what it inflates to.
  enum class Kind { kFile, kFolder, kLink, kOther } kind = Kind::kFile;
};

/// Reads POSIX (ustar, pax), GNU and old tar files, also compressed by gzip or zlib; memory is
/// bounded by one member. Of pax headers path and size count. Errors name the file and the offset;
/// after one every call returns the same.
class TarReader {
 public:
  /// Errors: kNotFound, kIo, kOutOfMemory.
  static Result<std::unique_ptr<TarReader>> Open(const std::string& path);

  /// The next member's header; the data of the one before is passed over. False behind the last
  /// one. Errors: kCorrupt (truncated, checksum, no empty block at the end), kUnsupported (sparse
  /// files, other extensions), kIo.
  Result<bool> Next(TarMember* member);
  /// The data of the member that Next gave, once. Errors: kCorrupt, kUnsupported (larger than
  /// kMaxTarMemberBytes; that is this member's alone), kIo.
  Status Read(std::vector<uint8_t>* data);

  bool compressed() const { return stream_.compressed(); }
  int64_t file_size() const { return stream_.file_size(); }
  bool is_lost() const { return !error_.ok(); }
  /// Of the member that Next gave, or could not.
  int64_t offset() const { return header_; }

 private:
  explicit TarReader(ByteStream stream) : stream_(std::move(stream)) {}

  Result<bool> Advance(TarMember* member);
  Status ReadData(std::vector<uint8_t>* data);
  Status SkipData();
  Status Fill(std::span<uint8_t> out);
  Status Error(StatusCode code, const std::string& problem) const;

  ByteStream stream_;
  int64_t offset_ = 0;  ///< Of what is read next.
  int64_t size_ = 0;    ///< Of the data that is read next.
  int64_t header_ = 0;  ///< Offset of the present member.
  Status error_;
};

/// Whether the file, or what it inflates to, begins with a tar file's header.
bool IsTarFile(const std::string& path);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_TAR_H_
