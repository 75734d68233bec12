// A plain file is read at a position. For a compressed one, zlib's state and a piece of the file
// stand on the heap; gzip streams one behind the other are read as one.
#include "formats/data/byte_stream.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

constexpr int64_t kPieceBytes = 1 << 16;

}  // namespace

Compression DetectCompression(std::span<const uint8_t> bytes) {
  if (bytes.size() < 2) return Compression::kNone;
  if (bytes[0] == 0x1f && bytes[1] == 0x8b) return Compression::kGzip;
  // Deflate with a window of at most 32 KiB, no dictionary, and the header's check.
  const bool zlib =
      (bytes[0] & 0x8f) == 8 && (bytes[1] & 0x20) == 0 && (bytes[0] * 256 + bytes[1]) % 31 == 0;
  return zlib ? Compression::kZlib : Compression::kNone;
}

struct ByteStream::Inflater {
  z_stream z = {};
  bool gzip = false, ready = false, ended = false;
  std::array<uint8_t, kPieceBytes> input;

  ~Inflater() {
    if (ready) inflateEnd(&z);
  }
};

ByteStream::ByteStream(InputFile file) : file_(std::move(file)) {}
ByteStream::ByteStream(ByteStream&&) noexcept = default;
ByteStream& ByteStream::operator=(ByteStream&&) noexcept = default;
ByteStream::~ByteStream() = default;

Result<ByteStream> ByteStream::Open(InputFile file, Compression compression) {
  ByteStream stream(std::move(file));
  if (compression == Compression::kNone) return stream;
  stream.inflater_ = std::make_unique<Inflater>();
  stream.inflater_->gzip = compression == Compression::kGzip;
  if (inflateInit2(&stream.inflater_->z, stream.inflater_->gzip ? 16 + MAX_WBITS : MAX_WBITS) !=
      Z_OK) {
    return Status(StatusCode::kOutOfMemory, "out of memory");
  }
  stream.inflater_->ready = true;
  return stream;
}

Result<int64_t> ByteStream::Read(std::span<uint8_t> out) {
  if (!compressed()) {
    const int64_t count = std::min(static_cast<int64_t>(out.size()), left());
    OCTET_RETURN_IF_ERROR(file_.ReadAt(position_, out.first(static_cast<size_t>(count))));
    position_ += count;
    return count;
  }
  z_stream& z = inflater_->z;
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  while (z.avail_out > 0) {
    if (z.avail_in == 0) {
      const int64_t count = std::min(kPieceBytes, file_.size() - position_);
      if (count == 0 && inflater_->ended) break;
      if (count == 0)
        return Corrupt(StrCat("the compressed stream is truncated at byte ", position_));
      OCTET_RETURN_IF_ERROR(
          file_.ReadAt(position_, std::span(inflater_->input).first(static_cast<size_t>(count))));
      position_ += count;
      z.next_in = inflater_->input.data();
      z.avail_in = static_cast<uInt>(count);
    }
    // What follows the end is another stream: gzip files may be written one behind the other.
    if (inflater_->ended && (!inflater_->gzip || inflateReset(&z) != Z_OK))
      return Corrupt(StrCat("the compressed stream ends at byte ", position_ - z.avail_in, " of ",
                            file_.size()));
    const int result = inflate(&z, Z_NO_FLUSH);
    inflater_->ended = result == Z_STREAM_END;
    if (result == Z_MEM_ERROR) return Status(StatusCode::kOutOfMemory, "out of memory");
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
      return Corrupt(StrCat("the compressed stream is damaged at byte ", position_ - z.avail_in,
                            z.msg == nullptr ? "" : ": ", z.msg == nullptr ? "" : z.msg));
  }
  return static_cast<int64_t>(out.size()) - z.avail_out;
}

Status ByteStream::Skip(int64_t count) {
  if (!compressed()) {
    position_ += count;
    return OkStatus();
  }
  std::array<uint8_t, kPieceBytes> scratch;
  while (count > 0) {
    OCTET_ASSIGN_OR_RETURN(
        const int64_t n,
        Read(std::span(scratch).first(static_cast<size_t>(std::min(count, kPieceBytes)))));
    if (n == 0) return Corrupt("the compressed stream ends");
    count -= n;
  }
  return OkStatus();
}

}  // namespace octet
