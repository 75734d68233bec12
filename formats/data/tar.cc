// POSIX.1-2001 (pax), ustar, and GNU's long names. A header is a block of 512 bytes whose numbers
// are octal, or big-endian behind a byte 0x80 (GNU); data fills whole blocks, and an empty block
// ends the file.
#include "formats/data/tar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <optional>
#include <span>
#include <string_view>

#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

constexpr int64_t kBlock = 512;
constexpr int64_t kMaxExtendedBytes = 1 << 20;  ///< Of a pax header or a long name.

using Block = std::array<uint8_t, kBlock>;

std::string_view Text(std::span<const uint8_t> field) {
  const std::string_view all(reinterpret_cast<const char*>(field.data()), field.size());
  return all.substr(0, all.find('\0'));
}

/// Of a field of a header; nothing when it is no number.
std::optional<int64_t> Number(std::span<const uint8_t> field) {
  int64_t value = 0;
  if (field[0] == 0x80) {
    for (const uint8_t byte : field.subspan(1)) {
      if (value >> 55 != 0) return std::nullopt;
      value = value << 8 | byte;
    }
    return value;
  }
  std::string_view digits = Text(field);
  while (digits.starts_with(' ')) digits.remove_prefix(1);
  while (digits.ends_with(' ')) digits.remove_suffix(1);
  const char* const end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, value, 8);
  if (error != std::errc() || at != end || value < 0) return std::nullopt;
  return value;
}

/// The sum of all bytes, those of the checksum itself being blanks.
bool HasChecksum(const Block& block) {
  const std::span<const uint8_t> field = std::span(block).subspan(148, 8);
  const auto sum = [](std::span<const uint8_t> bytes) {
    return std::accumulate(bytes.begin(), bytes.end(), 0);
  };
  return Number(field) == sum(block) - sum(field) + 8 * ' ';
}

bool IsEmpty(const Block& block) {
  return std::all_of(block.begin(), block.end(), [](uint8_t byte) { return byte == 0; });
}

std::string Name(const Block& block) {
  const std::string_view name = Text(std::span(block).first(100));
  // GNU's own headers ("ustar  ") have other fields where POSIX has the prefix.
  const std::string_view prefix = Text(std::span(block).subspan(257, 6)) == "ustar"
                                      ? Text(std::span(block).subspan(345, 155))
                                      : std::string_view();
  return prefix.empty() ? std::string(name) : StrCat(prefix, "/", name);
}

struct Extended {
  std::optional<std::string> path;
  std::optional<int64_t> size;
  std::string unsupported;
};

/// Records "LENGTH KEY=VALUE\n". False when they are none.
bool ParsePax(std::string_view text, Extended* extended) {
  while (!text.empty()) {
    size_t length = 0;
    const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    const size_t digits = static_cast<size_t>(at - text.data());
    if (error != std::errc() || length > text.size() || length < digits + 2 ||
        text[digits] != ' ' || text[length - 1] != '\n')
      return false;
    const std::string_view record = text.substr(digits + 1, length - digits - 2);
    const size_t equals = record.find('=');
    if (equals == record.npos) return false;
    const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key == "path") extended->path = std::string(value);
    if (key == "size") {
      int64_t size = 0;
      const auto number = std::from_chars(value.data(), value.data() + value.size(), size);
      if (number.ec != std::errc() || number.ptr != value.data() + value.size() || size < 0)
        return false;
      extended->size = size;
    }
    if (key.starts_with("GNU.sparse")) extended->unsupported = "a sparse file";
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<TarReader>> TarReader::Open(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(InputFile file, InputFile::Open(path));
  Block start{};
  OCTET_RETURN_IF_ERROR(
      file.ReadAt(0, std::span(start).first(static_cast<size_t>(std::min(file.size(), kBlock)))));
  // A name may look like the begin of a compressed file, but then its header's checksum is right.
  const Compression compression =
      HasChecksum(start) ? Compression::kNone : DetectCompression(start);
  OCTET_ASSIGN_OR_RETURN(ByteStream stream, ByteStream::Open(std::move(file), compression));
  return std::unique_ptr<TarReader>(new TarReader(std::move(stream)));
}

Status TarReader::Error(StatusCode code, const std::string& problem) const {
  return Status(code, StrCat(stream_.path(), ": member at byte ", header_,
                             stream_.compressed() ? " of what it inflates to" : "", problem));
}

Status TarReader::Fill(std::span<uint8_t> out) {
  const Result<int64_t> found = stream_.Read(out);
  if (!found.ok() && found.status().code() == StatusCode::kIo) return found.status();
  if (!found.ok()) return Error(found.status().code(), ": " + found.status().message());
  if (*found < static_cast<int64_t>(out.size())) {
    return Error(StatusCode::kCorrupt,
                 StrCat(" is truncated: ", out.size(), " bytes expected, ", *found, " are left"));
  }
  offset_ += static_cast<int64_t>(out.size());
  return OkStatus();
}

Status TarReader::SkipData() {
  const int64_t padded = RoundUp(size_, kBlock);
  size_ = 0;
  if (stream_.left() >= 0 && padded > stream_.left()) {
    return Error(StatusCode::kCorrupt, StrCat(" is truncated: its data has ", padded, " bytes, ",
                                              stream_.left(), " are left"));
  }
  const Status status = stream_.Skip(padded);
  if (!status.ok()) return Error(status.code(), ": " + status.message());
  offset_ += padded;
  return OkStatus();
}

Status TarReader::ReadData(std::vector<uint8_t>* data) {
  const int64_t size = size_;
  const int64_t padding = RoundUp(size, kBlock) - size;
  data->resize(static_cast<size_t>(size));
  OCTET_RETURN_IF_ERROR(Fill(*data));
  Block rest;
  OCTET_RETURN_IF_ERROR(Fill(std::span(rest).first(static_cast<size_t>(padding))));
  size_ = 0;
  return OkStatus();
}

Result<bool> TarReader::Advance(TarMember* member) {
  OCTET_RETURN_IF_ERROR(SkipData());
  header_ = offset_;
  Extended extended;
  while (true) {
    Block block;
    OCTET_RETURN_IF_ERROR(Fill(block));
    if (IsEmpty(block)) return false;
    if (!HasChecksum(block))
      return Error(StatusCode::kCorrupt, ": the checksum of its header is wrong");
    const std::optional<int64_t> size = Number(std::span(block).subspan(124, 12));
    if (!size || *size > (int64_t{1} << 60))
      return Error(StatusCode::kCorrupt, ": its size is not a number");
    const char type = static_cast<char>(block[156]);
    if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
      if (*size > kMaxExtendedBytes) {
        return Error(StatusCode::kUnsupported,
                     StrCat(": has an extended header of ", *size, " bytes, at most ",
                            kMaxExtendedBytes, " are read"));
      }
      size_ = *size;
      std::vector<uint8_t> data;
      OCTET_RETURN_IF_ERROR(ReadData(&data));
      if (type == 'L') extended.path = std::string(Text(data));
      const std::string_view text(reinterpret_cast<const char*>(data.data()), data.size());
      // Those for all that follow have comments, as git's.
      Extended ignored;
      if (type == 'x' || type == 'g') {
        if (!ParsePax(text, type == 'x' ? &extended : &ignored))
          return Error(StatusCode::kCorrupt, ": its pax header is not made of records");
        if (ignored.path || ignored.size)
          return Error(StatusCode::kUnsupported, ": one path or size for all members");
      }
      continue;
    }
    if (type == 'S') extended.unsupported = "a sparse file";
    if (type == 'M') extended.unsupported = "a part of a file that began in another volume";
    if (!extended.unsupported.empty()) {
      return Error(StatusCode::kUnsupported,
                   StrCat(": is ", extended.unsupported, ", expected whole files"));
    }
    member->name = extended.path ? std::move(*extended.path) : Name(block);
    member->offset = header_;
    const bool is_file = type == '0' || type == '\0' || type == '7';
    // Old tar files have folders as files whose names end so.
    member->kind = type == '5' || (is_file && member->name.ends_with('/'))
                       ? TarMember::Kind::kFolder
                   : is_file                    ? TarMember::Kind::kFile
                   : type == '1' || type == '2' ? TarMember::Kind::kLink
                                                : TarMember::Kind::kOther;
    // Links and folders have no data, whatever their size says.
    member->size = size_ =
        is_file || member->kind == TarMember::Kind::kOther ? extended.size.value_or(*size) : 0;
    if (member->kind == TarMember::Kind::kFolder) member->size = size_ = 0;
    return true;
  }
}

Result<bool> TarReader::Next(TarMember* member) {
  if (!error_.ok()) return error_;
  Result<bool> more = Advance(member);
  if (!more.ok()) error_ = more.status();
  return more;
}

Status TarReader::Read(std::vector<uint8_t>* data) {
  if (!error_.ok()) return error_;
  if (size_ > kMaxTarMemberBytes) {
    return Error(StatusCode::kUnsupported,
                 StrCat(": has ", size_, " bytes, at most ", kMaxTarMemberBytes, " are read"));
  }
  // Before so much memory is taken.
  if (stream_.left() >= 0 && size_ > stream_.left()) {
    return error_ = Error(StatusCode::kCorrupt, StrCat(" is truncated: its data has ", size_,
                                                       " bytes, ", stream_.left(), " are left"));
  }
  Status status = ReadData(data);
  if (!status.ok()) error_ = status;
  return status;
}

bool IsTarFile(const std::string& path) {
  Result<std::unique_ptr<TarReader>> reader = TarReader::Open(path);
  TarMember member;
  if (!reader.ok()) return false;
  const Result<bool> more = (*reader)->Next(&member);
  return more.ok() && *more;
}

}  // namespace octet
