// Records are framed here; their messages are read with protozero and without a schema, other
// fields being skipped. The first two bytes say whether a file is compressed, unless the checksum
// of a record's length says otherwise.
#include "formats/data/tfrecord.h"

#include <algorithm>
#include <array>
#include <exception>
#include <initializer_list>
#include <protozero/pbf_reader.hpp>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/crc32.h"

namespace octet {
namespace {

constexpr int64_t kHeaderBytes = 12;  // Length and its checksum.
constexpr int64_t kFooterBytes = 4;   // Checksum of the data.

uint32_t Little32(const uint8_t* p) {
  return uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24;
}

uint64_t Little64(const uint8_t* p) { return Little32(p) | uint64_t{Little32(p + 4)} << 32; }

std::string_view View(protozero::data_view view) { return {view.data(), view.size()}; }

Feature ParseFeature(protozero::pbf_reader message) {
  Feature feature;
  while (message.next()) {
    if (message.wire_type() != protozero::pbf_wire_type::length_delimited || message.tag() > 3) {
      message.skip();
      continue;
    }
    // A oneof: the last list that is present counts.
    feature = Feature();
    switch (message.tag()) {
      case 1: {  // BytesList
        feature.kind = Feature::Kind::kBytes;
        protozero::pbf_reader list = message.get_message();
        while (list.next()) {
          if (list.tag() == 1 && list.wire_type() == protozero::pbf_wire_type::length_delimited) {
            feature.bytes.push_back(View(list.get_view()));
          } else {
            list.skip();
          }
        }
        break;
      }
      case 2: {  // FloatList, packed or not
        feature.kind = Feature::Kind::kFloats;
        protozero::pbf_reader list = message.get_message();
        while (list.next()) {
          if (list.tag() == 1 && list.wire_type() == protozero::pbf_wire_type::length_delimited) {
            for (float value : list.get_packed_float()) feature.floats.push_back(value);
          } else if (list.tag() == 1 && list.wire_type() == protozero::pbf_wire_type::fixed32) {
            feature.floats.push_back(list.get_float());
          } else {
            list.skip();
          }
        }
        break;
      }
      default: {  // Int64List, packed or not
        feature.kind = Feature::Kind::kInts;
        protozero::pbf_reader list = message.get_message();
        while (list.next()) {
          if (list.tag() == 1 && list.wire_type() == protozero::pbf_wire_type::length_delimited) {
            for (int64_t value : list.get_packed_int64()) feature.ints.push_back(value);
          } else if (list.tag() == 1 && list.wire_type() == protozero::pbf_wire_type::varint) {
            feature.ints.push_back(list.get_int64());
          } else {
            list.skip();
          }
        }
        break;
      }
    }
  }
  return feature;
}

void ParseFeatures(protozero::pbf_reader features, Example* example) {
  while (features.next()) {
    if (features.tag() != 1 || features.wire_type() != protozero::pbf_wire_type::length_delimited) {
      features.skip();
      continue;
    }
    protozero::pbf_reader entry = features.get_message();
    std::string_view key;
    Feature feature;
    while (entry.next()) {
      const bool delimited = entry.wire_type() == protozero::pbf_wire_type::length_delimited;
      if (entry.tag() == 1 && delimited) {
        key = View(entry.get_view());
      } else if (entry.tag() == 2 && delimited) {
        feature = ParseFeature(entry.get_message());
      } else {
        entry.skip();
      }
    }
    (*example)[key] = std::move(feature);
  }
}

/// Whether what the file holds, or inflates to, begins with the header of a record.
bool BeginsWithRecord(const std::string& path, Compression compression) {
  Result<InputFile> file = InputFile::Open(path);
  if (!file.ok()) return false;
  Result<ByteStream> stream = ByteStream::Open(std::move(file).value(), compression);
  std::array<uint8_t, kHeaderBytes> header;
  if (!stream.ok()) return false;
  const Result<int64_t> found = stream->Read(header);
  return found.ok() && *found == kHeaderBytes && LooksLikeTfRecord(header);
}

/// The only value of the features of these names; nothing when there is none.
template <typename T, typename Get>
Result<std::optional<T>> OneOf(const Example& example, std::initializer_list<const char*> names,
                               Feature::Kind kind, const char* expected, Get get) {
  std::optional<T> value;
  for (const char* name : names) {
    const auto it = example.find(name);
    if (it == example.end()) continue;
    const Feature& feature = it->second;
    if (feature.kind != kind || get(feature).size() != 1)
      return InvalidArgument(StrCat("feature ", name, " is not one ", expected));
    if (value && *value != get(feature)[0])
      return InvalidArgument(
          StrCat("features ", *names.begin(), " and ", name, " are not the same"));
    value = get(feature)[0];
  }
  return value;
}

}  // namespace

Result<std::unique_ptr<TfRecordReader>> TfRecordReader::Open(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(InputFile file, InputFile::Open(path));
  std::array<uint8_t, kHeaderBytes> start{};
  const std::span<uint8_t> found(start.data(),
                                 static_cast<size_t>(std::min<int64_t>(file.size(), kHeaderBytes)));
  OCTET_RETURN_IF_ERROR(file.ReadAt(0, found));
  // A length may look like the begin of a compressed file, but then its checksum is right.
  Compression compression =
      LooksLikeTfRecord(found) ? Compression::kNone : DetectCompression(found);
  // A damaged length may look like zlib's two bytes.
  if (compression == Compression::kZlib && !BeginsWithRecord(path, compression))
    compression = Compression::kNone;
  OCTET_ASSIGN_OR_RETURN(ByteStream stream, ByteStream::Open(std::move(file), compression));
  return std::unique_ptr<TfRecordReader>(new TfRecordReader(std::move(stream)));
}

Status TfRecordReader::Error(StatusCode code, const std::string& problem) const {
  return Status(code, StrCat(stream_.path(), ": record ", records_, " at byte ", offset_,
                             stream_.compressed() ? " of what it inflates to" : "", problem));
}

Result<int64_t> TfRecordReader::Read(std::span<uint8_t> out) {
  Result<int64_t> count = stream_.Read(out);
  // Those of a plain file name it.
  if (!count.ok() && stream_.compressed() && count.status().code() != StatusCode::kIo)
    return Error(count.status().code(), ": " + count.status().message());
  return count;
}

Result<bool> TfRecordReader::Advance(std::vector<uint8_t>* record, Status* damaged) {
  std::array<uint8_t, kHeaderBytes> header;
  const int64_t left = stream_.left();
  OCTET_ASSIGN_OR_RETURN(const int64_t found, Read(header));
  if (found == 0) return false;
  if (found < kHeaderBytes) {
    return Error(StatusCode::kCorrupt,
                 StrCat(" is truncated: ", found, " bytes, its header has ", kHeaderBytes));
  }
  if (!LooksLikeTfRecord(header))
    return Error(StatusCode::kCorrupt, ": the checksum of its length is wrong");
  const uint64_t length = Little64(header.data());
  if (length > static_cast<uint64_t>(kMaxRecordBytes)) {
    return Error(StatusCode::kUnsupported,
                 StrCat(": has ", length, " bytes, at most ", kMaxRecordBytes, " are read"));
  }
  const int64_t size = static_cast<int64_t>(length), total = kHeaderBytes + size + kFooterBytes;
  const auto truncated = [&](int64_t bytes) {
    return Error(StatusCode::kCorrupt,
                 StrCat(" is truncated: it needs ", total, " bytes, ", bytes, " are left"));
  };
  if (left >= 0 && total > left) return truncated(left);
  if (record == nullptr) {
    Status status = stream_.Skip(total - kHeaderBytes);
    if (!status.ok()) return Error(status.code(), ": " + status.message());
  } else {
    record->resize(static_cast<size_t>(size + kFooterBytes));
    OCTET_ASSIGN_OR_RETURN(const int64_t read, Read(*record));
    if (read < size + kFooterBytes) return truncated(kHeaderBytes + read);
    const uint32_t stored = Little32(record->data() + size);
    record->resize(static_cast<size_t>(size));
    if (MaskCrc(Crc32c(*record)) != stored) {
      *damaged =
          Error(StatusCode::kCorrupt, StrCat(": the checksum of its ", size, " bytes is wrong"));
    }
  }
  offset_ += total;
  ++records_;
  return true;
}

Result<bool> TfRecordReader::Next(std::vector<uint8_t>* record) {
  if (!error_.ok()) return error_;
  Status damaged;
  Result<bool> more = Advance(record, &damaged);
  if (!more.ok()) error_ = more.status();
  if (!damaged.ok()) return damaged;
  return more;
}

Result<bool> TfRecordReader::Skip() { return Next(nullptr); }

int64_t TfRecordReader::CountRecords() const {
  const Result<std::unique_ptr<TfRecordReader>> other = Open(stream_.path());
  if (!other.ok()) return -1;
  while (true) {
    const Result<bool> more = (*other)->Skip();
    if (!more.ok()) return -1;
    if (!*more) return (*other)->records();
  }
}

bool IsTfRecordFile(const std::string& path) {
  return BeginsWithRecord(path, Compression::kNone) || BeginsWithRecord(path, Compression::kGzip) ||
         BeginsWithRecord(path, Compression::kZlib);
}

bool LooksLikeTfRecord(std::span<const uint8_t> bytes) {
  return bytes.size() >= static_cast<size_t>(kHeaderBytes) &&
         MaskCrc(Crc32c(bytes.first(8))) == Little32(bytes.data() + 8);
}

Result<Example> ParseExample(std::span<const uint8_t> record) {
  Example example;
  // protozero reports malformed input by exceptions; they end here.
  try {
    protozero::pbf_reader message(reinterpret_cast<const char*>(record.data()), record.size());
    while (message.next()) {
      if (message.tag() == 1 && message.wire_type() == protozero::pbf_wire_type::length_delimited) {
        ParseFeatures(message.get_message(), &example);
      } else {
        message.skip();
      }
    }
  } catch (const std::exception& e) {
    return Corrupt(StrCat("not a tf.train.Example: ", e.what()));
  }
  return example;
}

Result<ImageExample> ReadImageExample(const Example& example, bool with_class) {
  const auto bytes = [&](std::initializer_list<const char*> names) {
    return OneOf<std::string_view>(
        example, names, Feature::Kind::kBytes, "byte string",
        [](const Feature& f) -> const auto& { return f.bytes; });
  };
  ImageExample image;
  OCTET_ASSIGN_OR_RETURN(image.encoded, bytes({"image/encoded", "image"}));
  OCTET_ASSIGN_OR_RETURN(image.name, bytes({"image/filename", "file_name"}));
  if (!with_class) return image;
  OCTET_ASSIGN_OR_RETURN(image.text, bytes({"image/class/text"}));
  OCTET_ASSIGN_OR_RETURN(
      image.label, OneOf<int64_t>(
                       example, {"image/class/label", "label"}, Feature::Kind::kInts, "integer",
                       [](const Feature& f) -> const auto& { return f.ints; }));
  if (image.text && image.text->empty()) image.text.reset();
  return image;
}

}  // namespace octet
