// A file's bytes from the first to the last, inflated where it is compressed.
#ifndef OCTET_FORMATS_DATA_BYTE_STREAM_H_
#define OCTET_FORMATS_DATA_BYTE_STREAM_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "formats/base/file.h"
#include "formats/base/status.h"

namespace octet {

enum class Compression { kNone, kGzip, kZlib };

/// What the first two bytes of a file say. zlib's may as well begin other files.
Compression DetectCompression(std::span<const uint8_t> bytes);

/// Memory does not depend on what a file inflates to.
class ByteStream {
 public:
  static Result<ByteStream> Open(InputFile file, Compression compression);

  ByteStream(ByteStream&&) noexcept;
  ByteStream& operator=(ByteStream&&) noexcept;
  ~ByteStream();

  const std::string& path() const { return file_.path(); }
  bool compressed() const { return inflater_ != nullptr; }

  int64_t file_size() const { return file_.size(); }

  /// Bytes up to the end; -1 when the file is compressed.
  int64_t left() const { return compressed() ? -1 : file_.size() - position_; }

  /// Fills `out` as far as there are bytes, and returns their number. Errors: kCorrupt when the
  /// compressed stream is truncated or damaged, naming the place in the file; kIo.
  Result<int64_t> Read(std::span<uint8_t> out);

  /// Passes over `count` bytes, of which a file that is not compressed must have as many left.
  Status Skip(int64_t count);

 private:
  struct Inflater;
  explicit ByteStream(InputFile file);

  InputFile file_;
  int64_t position_ = 0;  ///< In the file.
  std::unique_ptr<Inflater> inflater_;
};

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_BYTE_STREAM_H_
