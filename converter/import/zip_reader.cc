// The directory is found from the end of the file and read whole. An entry's size is checked
// against what deflate can do before it is inflated, and its CRC-32 behind.
#include "converter/import/zip_reader.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <new>
#include <set>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/crc32.h"

namespace octet {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50, kCentralSignature = 0x02014b50,
                   kEndSignature = 0x06054b50, kEnd64Signature = 0x06064b50,
                   kLocator64Signature = 0x07064b50;
constexpr size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56,
                 kLocator64Size = 20;
constexpr size_t kMaxComment = 0xffff;
constexpr uint64_t kMaxDeflateRatio = 1032;  // zlib's theoretical limit: more is a lie.

/// A little-endian field of a record whose length was checked.
template <typename T>
T Field(std::string_view record, size_t offset) {
  static_assert(std::endian::native == std::endian::little);
  T value;
  std::memcpy(&value, record.data() + offset, sizeof(T));
  return value;
}

/// `size` bytes at `offset` that begin with `signature`; empty when they do not.
std::string_view Record(std::string_view file, uint64_t offset, size_t size, uint32_t signature) {
  if (offset > file.size() || file.size() - offset < size) return {};
  const std::string_view record = file.substr(static_cast<size_t>(offset), size);
  return Field<uint32_t>(record, 0) == signature ? record : std::string_view();
}

/// Replaces the fields that are all ones by those of the zip64 extra field, in order. False when
/// they are missing.
bool ApplyZip64(std::string_view extra, ZipEntry* entry) {
  const bool need[] = {entry->size == UINT32_MAX, entry->compressed_size == UINT32_MAX,
                       entry->header_offset == UINT32_MAX};
  uint64_t* const fields[] = {&entry->size, &entry->compressed_size, &entry->header_offset};
  if (!need[0] && !need[1] && !need[2]) return true;
  while (extra.size() >= 4) {
    const uint16_t id = Field<uint16_t>(extra, 0), length = Field<uint16_t>(extra, 2);
    extra.remove_prefix(4);
    if (length > extra.size()) return false;
    if (id != 1) {
      extra.remove_prefix(length);
      continue;
    }
    std::string_view values = extra.substr(0, length);
    for (int i = 0; i < 3; ++i) {
      if (!need[i]) continue;
      if (values.size() < 8) return false;
      *fields[i] = Field<uint64_t>(values, 0);
      values.remove_prefix(8);
    }
    return true;
  }
  return false;
}

bool Inflate(std::string_view in, uint64_t size, std::byte* out) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
  // avail_in and avail_out have 32 bits.
  constexpr uint64_t kChunk = 1u << 30;
  const char* next = in.data();
  uint64_t in_left = in.size(), out_left = size;
  int code = Z_OK;
  stream.next_out = reinterpret_cast<Bytef*>(out);
  while (code == Z_OK) {
    if (stream.avail_in == 0 && in_left > 0) {
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(next));
      stream.avail_in = static_cast<uInt>(std::min(in_left, kChunk));
      next += stream.avail_in;
      in_left -= stream.avail_in;
    }
    if (stream.avail_out == 0 && out_left > 0) {
      stream.avail_out = static_cast<uInt>(std::min(out_left, kChunk));
      out_left -= stream.avail_out;
    }
    code = inflate(&stream, Z_NO_FLUSH);  // Z_BUF_ERROR when it can do nothing: the loop ends.
  }
  const bool complete = code == Z_STREAM_END && out_left == 0 && stream.avail_out == 0;
  inflateEnd(&stream);
  return complete;
}

}  // namespace

Result<ZipReader> ZipReader::Open(FileBytes file, const std::string& origin) {
  ZipReader reader;
  reader.file_ = std::move(file);
  reader.origin_ = origin;
  Status status = reader.ReadDirectory();
  if (!status.ok()) return std::move(status).WithContext(origin);
  return reader;
}

Status ZipReader::ReadDirectory() {
  const std::string_view file = file_.text();
  // The end record is followed only by a comment, so it is looked for from the back.
  std::string_view end;
  uint64_t end_offset = 0;
  for (size_t back = kEndSize; back <= file.size() && back <= kEndSize + kMaxComment; ++back) {
    end = Record(file, file.size() - back, kEndSize, kEndSignature);
    if (!end.empty() && Field<uint16_t>(end, 20) == back - kEndSize) {
      end_offset = file.size() - back;
      break;
    }
    end = {};
  }
  if (end.empty()) return Corrupt("no end of a zip archive's directory; the file may be truncated");
  uint64_t disk = Field<uint16_t>(end, 4), count = Field<uint16_t>(end, 10),
           size = Field<uint32_t>(end, 12), offset = Field<uint32_t>(end, 16);
  if (count == UINT16_MAX || size == UINT32_MAX || offset == UINT32_MAX) {
    const std::string_view locator =
        end_offset < kLocator64Size
            ? std::string_view()
            : Record(file, end_offset - kLocator64Size, kLocator64Size, kLocator64Signature);
    const std::string_view end64 =
        locator.empty() ? locator
                        : Record(file, Field<uint64_t>(locator, 8), kEnd64Size, kEnd64Signature);
    // Without the 64-bit record the numbers may just be that large.
    if (!end64.empty()) {
      disk = Field<uint32_t>(end64, 16);
      count = Field<uint64_t>(end64, 32);
      size = Field<uint64_t>(end64, 40);
      offset = Field<uint64_t>(end64, 48);
    }
  }
  if (disk != 0) return Unsupported("zip archive of several disks");
  if (offset > file.size() || size > file.size() - offset) {
    return Corrupt(StrCat("zip directory at ", offset, " of ", size,
                          " bytes lies outside of the file's ", file.size()));
  }
  std::string_view directory = file.substr(static_cast<size_t>(offset), static_cast<size_t>(size));
  std::set<std::string_view> names;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string_view record = Record(directory, 0, kCentralSize, kCentralSignature);
    if (record.empty())
      return Corrupt(StrCat("zip directory has ", i, " entries, expected ", count));
    const size_t name_size = Field<uint16_t>(record, 28), extra_size = Field<uint16_t>(record, 30),
                 comment_size = Field<uint16_t>(record, 32);
    if (name_size + extra_size + comment_size > directory.size() - kCentralSize)
      return Corrupt("zip directory ends inside an entry");
    const std::string_view name = directory.substr(kCentralSize, name_size);
    ZipEntry entry;
    entry.name = name;
    entry.method = Field<uint16_t>(record, 10);
    entry.crc32 = Field<uint32_t>(record, 16);
    entry.compressed_size = Field<uint32_t>(record, 20);
    entry.size = Field<uint32_t>(record, 24);
    entry.header_offset = Field<uint32_t>(record, 42);
    if ((Field<uint16_t>(record, 8) & 1) != 0)
      return Unsupported(StrCat("zip entry '", name, "' is encrypted"));
    if (!ApplyZip64(directory.substr(kCentralSize + name_size, extra_size), &entry)) {
      return Corrupt(StrCat("zip entry '", name, "' has a damaged zip64 field"));
    }
    if (!names.insert(name).second)
      return Corrupt(StrCat("zip archive has two entries '", name, "'"));
    entries_.push_back(std::move(entry));
    directory.remove_prefix(kCentralSize + name_size + extra_size + comment_size);
  }
  return OkStatus();
}

const ZipEntry* ZipReader::Find(std::string_view name) const {
  for (const ZipEntry& entry : entries_) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

Result<FileBytes> ZipReader::Read(const ZipEntry& entry, uint64_t max_bytes) const {
  const std::string where = StrCat(origin_, ": zip entry '", entry.name, "'");
  const std::string_view file = file_.text();
  const std::string_view header = Record(file, entry.header_offset, kLocalSize, kLocalSignature);
  if (header.empty()) return Corrupt(StrCat(where, ": no header at ", entry.header_offset));
  // The local header's own name and extra field may differ in length from the directory's.
  const uint64_t skip =
      kLocalSize + uint64_t{Field<uint16_t>(header, 26)} + Field<uint16_t>(header, 28);
  const uint64_t room = file.size() - entry.header_offset;
  if (skip > room || entry.compressed_size > room - skip)
    return Corrupt(StrCat(where, ": data lies outside of the file"));
  const std::string_view data = file.substr(static_cast<size_t>(entry.header_offset + skip),
                                            static_cast<size_t>(entry.compressed_size));

  FileBytes result;
  if (entry.method == 0) {
    if (entry.size != entry.compressed_size) {
      return Corrupt(
          StrCat(where, ": stored with ", entry.compressed_size, " bytes, expected ", entry.size));
    }
    result.bytes = {reinterpret_cast<const std::byte*>(data.data()), data.size()};
    result.owner = file_.owner;
  } else if (entry.method == 8) {
    if (entry.size > max_bytes)
      return Unsupported(
          StrCat(where, ": ", entry.size, " bytes uncompressed, expected at most ", max_bytes));
    if (entry.size / kMaxDeflateRatio > entry.compressed_size) {
      return Corrupt(StrCat(where, ": ", entry.compressed_size, " bytes cannot hold ", entry.size));
    }
    const std::shared_ptr<std::byte[]> buffer(new (std::nothrow)
                                                  std::byte[static_cast<size_t>(entry.size) + 1]);
    if (buffer == nullptr) return IoError(StrCat(where, ": no memory for ", entry.size, " bytes"));
    if (!Inflate(data, entry.size, buffer.get()))
      return Corrupt(StrCat(where, ": damaged compressed data"));
    result.bytes = {buffer.get(), static_cast<size_t>(entry.size)};
    result.owner = buffer;
  } else {
    return Unsupported(
        StrCat(where, ": compression method ", entry.method, ", expected stored or deflate"));
  }
  const uint32_t crc =
      Crc32({reinterpret_cast<const uint8_t*>(result.bytes.data()), result.bytes.size()});
  if (crc != entry.crc32)
    return Corrupt(StrCat(where, ": CRC-32 is ", crc, ", expected ", entry.crc32));
  return result;
}

}  // namespace octet
