#include "engine/tools/score_input.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/image.h"
#include "formats/data/system.h"

namespace octet {
namespace {

constexpr size_t kMaxPathBytes = 1 << 16;

class DatasetInput : public ScoreInput {
 public:
  explicit DatasetInput(std::unique_ptr<Dataset> dataset) : dataset_(std::move(dataset)) {}
  Result<bool> Read(Sample* sample) override { return dataset_->Read(sample); }
  Result<bool> Skip() override { return dataset_->Skip(); }

 private:
  std::unique_ptr<Dataset> dataset_;
};

/// Standard input with a buffer.
class Stream {
 public:
  /// Copies `count` bytes, or as many as there are.
  Result<size_t> Read(uint8_t* to, size_t count) {
    size_t done = 0;
    while (done < count) {
      if (begin_ == end_) {
        OCTET_RETURN_IF_ERROR(Fill());
        if (begin_ == end_) break;
      }
      const size_t n = std::min(count - done, end_ - begin_);
      std::copy_n(buffer_.data() + begin_, n, to + done);
      begin_ += n;
      done += n;
    }
    return done;
  }

  /// Bytes up to `end`, which is passed over, or the end of it all; of more than kMaxPathBytes the
  /// rest is passed over. False at the end.
  Result<bool> ReadUntil(uint8_t end, std::string* text, bool* too_long) {
    text->clear();
    *too_long = false;
    bool any = false;
    while (true) {
      if (begin_ == end_) {
        OCTET_RETURN_IF_ERROR(Fill());
        if (begin_ == end_) return any;
      }
      any = true;
      const uint8_t *const from = buffer_.data() + begin_, *const to = buffer_.data() + end_;
      const uint8_t* const found = std::find(from, to, end);
      const size_t n = static_cast<size_t>(found - from);
      const size_t kept = std::min(n, kMaxPathBytes - text->size());
      text->append(reinterpret_cast<const char*>(from), kept);
      *too_long = *too_long || kept < n;
      begin_ += n;
      if (begin_ == end_) continue;
      ++begin_;
      return true;
    }
  }

 private:
  Status Fill() {
    const int64_t n = ReadStandardInput(buffer_.data(), buffer_.size());
    if (n < 0) return IoError(StrCat("standard input: cannot read: ", std::strerror(errno)));
    begin_ = 0;
    end_ = static_cast<size_t>(n);
    return OkStatus();
  }

  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(size_t{1} << 16);
  size_t begin_ = 0, end_ = 0;
};

class PathsInput : public ScoreInput {
 public:
  explicit PathsInput(uint8_t end) : end_(end) {}

  Result<bool> Read(Sample* sample) override {
    *sample = Sample();
    OCTET_ASSIGN_OR_RETURN(const bool more, Next(&sample->name));
    if (!more) return false;
    sample->origin = sample->name;
    if (too_long_)
      return InvalidArgument(
          StrCat("standard input: a path of more than ", kMaxPathBytes, " bytes"));
    OCTET_ASSIGN_OR_RETURN(sample->encoded, ReadFileBytes(sample->name, kMaxImageFileBytes));
    return true;
  }

  Result<bool> Skip() override {
    std::string path;
    return Next(&path);
  }

 private:
  Result<bool> Next(std::string* path) {
    if (failed_) return false;
    while (true) {
      const Result<bool> more = stream_.ReadUntil(end_, path, &too_long_);
      failed_ = !more.ok();
      if (!more.ok() || !*more) return more;
      if (end_ == '\n' && path->ends_with('\r')) path->pop_back();
      if (!path->empty()) return true;  // Lists may end with an empty line.
    }
  }

  uint8_t end_;
  Stream stream_;
  bool too_long_ = false, failed_ = false;
};

class FramesInput : public ScoreInput {
 public:
  Result<bool> Read(Sample* sample) override {
    *sample = Sample();
    if (std::exchange(ended_, true)) return false;
    sample->name = StrCat("stdin[", index_, "]");
    // What errors of decoding are about; ending with the name, it is no path.
    sample->origin = "standard input: " + sample->name;
    std::array<uint8_t, 4> header;
    OCTET_ASSIGN_OR_RETURN(const size_t found, stream_.Read(header.data(), header.size()));
    if (found == 0) return false;
    const auto error = [&](const std::string& problem) {
      return Corrupt(StrCat("standard input: frame ", index_, problem));
    };
    if (found < header.size())
      return error(StrCat(" ends in its length, behind ", found, " bytes"));
    const uint32_t size = uint32_t{header[0]} | uint32_t{header[1]} << 8 |
                          uint32_t{header[2]} << 16 | uint32_t{header[3]} << 24;
    if (size > kMaxImageFileBytes) {
      return error(StrCat(" has ", size, " bytes, at most ", kMaxImageFileBytes, " are read"));
    }
    // In pieces, so that a length alone takes no memory.
    constexpr size_t kPiece = 1 << 20;
    std::vector<uint8_t>& bytes = sample->encoded;
    while (bytes.size() < size) {
      const size_t at = bytes.size(), count = std::min<size_t>(kPiece, size - at);
      bytes.resize(at + count);
      OCTET_ASSIGN_OR_RETURN(const size_t n, stream_.Read(bytes.data() + at, count));
      if (n < count) {
        bytes.clear();
        return error(StrCat(" is cut short: ", size, " bytes expected, ", at + n, " are there"));
      }
    }
    ++index_;
    ended_ = false;
    if (size == 0)
      return InvalidArgument(StrCat("standard input: frame ", index_ - 1, " is empty"));
    return true;
  }

  Result<bool> Skip() override {
    Sample sample;
    return Read(&sample);
  }

 private:
  Stream stream_;
  int64_t index_ = 0;
  bool ended_ = false;  ///< Or nothing is known of what follows.
};

}  // namespace

std::unique_ptr<ScoreInput> ScoreInputOf(std::unique_ptr<Dataset> dataset) {
  return std::make_unique<DatasetInput>(std::move(dataset));
}

std::unique_ptr<ScoreInput> ScoreInputOf(StandardInput kind) {
  if (kind == StandardInput::kFrames) return std::make_unique<FramesInput>();
  return std::make_unique<PathsInput>(kind == StandardInput::kLines ? '\n' : '\0');
}

}  // namespace octet
