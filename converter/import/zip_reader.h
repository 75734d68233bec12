// Zip archives, as .pth and .keras files are.
#ifndef OCTET_CONVERTER_IMPORT_ZIP_READER_H_
#define OCTET_CONVERTER_IMPORT_ZIP_READER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/file_bytes.h"
#include "formats/base/status.h"

namespace octet {

struct ZipEntry {
  std::string name;
  uint64_t size = 0;             ///< Uncompressed.
  uint64_t compressed_size = 0;  ///< In the file.
  uint64_t header_offset = 0;    ///< Of the local header.
  uint32_t crc32 = 0;
  uint16_t method = 0;  ///< 0 stored, 8 deflate.
};

/// The central directory of an archive; entries are read on demand. One disk, no encryption; zip64
/// is understood.
class ZipReader {
 public:
  /// `origin` goes in front of errors. Errors: kCorrupt (also for two entries of one name),
  /// kUnsupported.
  static Result<ZipReader> Open(FileBytes file, const std::string& origin);

  const std::vector<ZipEntry>& entries() const { return entries_; }  ///< In the directory's order.
  const ZipEntry* Find(std::string_view name) const;                 ///< Null when there is none.

  /// An entry's bytes, CRC-32 checked: a part of the mapped file when stored, a buffer when
  /// compressed. `max_bytes` limits what decompression may allocate. Errors: kCorrupt, kUnsupported
  /// (method, encryption, size).
  Result<FileBytes> Read(const ZipEntry& entry, uint64_t max_bytes = uint64_t{1} << 31) const;

 private:
  Status ReadDirectory();

  FileBytes file_;
  std::string origin_;
  std::vector<ZipEntry> entries_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_ZIP_READER_H_
