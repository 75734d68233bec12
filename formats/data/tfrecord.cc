#include "formats/data/tfrecord.h"

#include <array>
#include <exception>
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

}  // namespace

Result<std::unique_ptr<TfRecordReader>> TfRecordReader::Open(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(InputFile file, InputFile::Open(path));
  std::array<uint8_t, 2> magic{};
  if (file.size() >= 2) {
    OCTET_RETURN_IF_ERROR(file.ReadAt(0, magic));
    // A gzip header; as a length it would be one of over 35 kilobytes with 0x1f8b as low bytes and
    // a right checksum.
    std::array<uint8_t, kHeaderBytes> header{};
    const bool is_header =
        file.size() >= kHeaderBytes && file.ReadAt(0, header).ok() && LooksLikeTfRecord(header);
    if (magic[0] == 0x1f && magic[1] == 0x8b && !is_header) {
      return Unsupported(StrCat(path, ": is compressed with gzip, expected a plain TFRecord file"));
    }
  }
  return std::unique_ptr<TfRecordReader>(new TfRecordReader(std::move(file)));
}

Result<int64_t> TfRecordReader::ReadLength(int64_t offset, int64_t record) const {
  const int64_t left = file_.size() - offset;
  if (left < kHeaderBytes) {
    return Corrupt(StrCat(file_.path(), ": record ", record, " at byte ", offset,
                          " is truncated: ", left, " bytes, its header has ", kHeaderBytes));
  }
  std::array<uint8_t, kHeaderBytes> header;
  OCTET_RETURN_IF_ERROR(file_.ReadAt(offset, header));
  if (!LooksLikeTfRecord(header)) {
    return Corrupt(StrCat(file_.path(), ": record ", record, " at byte ", offset,
                          ": the checksum of its length is wrong"));
  }
  const uint64_t length = Little64(header.data());
  if (length > static_cast<uint64_t>(kMaxRecordBytes)) {
    return Unsupported(StrCat(file_.path(), ": record ", record, " at byte ", offset, ": has ",
                              length, " bytes, at most ", kMaxRecordBytes, " are read"));
  }
  if (static_cast<int64_t>(length) > left - kHeaderBytes - kFooterBytes) {
    return Corrupt(StrCat(file_.path(), ": record ", record, " at byte ", offset,
                          " is truncated: it needs ", kHeaderBytes + length + kFooterBytes,
                          " bytes, ", left, " are left"));
  }
  return static_cast<int64_t>(length);
}

Result<bool> TfRecordReader::Advance(std::vector<uint8_t>* record) {
  if (offset_ == file_.size()) return false;
  OCTET_ASSIGN_OR_RETURN(const int64_t length, ReadLength(offset_, records_));
  if (record != nullptr) {
    record->resize(static_cast<size_t>(length + kFooterBytes));
    OCTET_RETURN_IF_ERROR(file_.ReadAt(offset_ + kHeaderBytes, *record));
    const uint32_t stored = Little32(record->data() + length);
    record->resize(static_cast<size_t>(length));
    if (MaskCrc(Crc32c(*record)) != stored) {
      return Corrupt(StrCat(file_.path(), ": record ", records_, " at byte ", offset_,
                            ": the checksum of its ", length, " bytes is wrong"));
    }
  }
  offset_ += kHeaderBytes + length + kFooterBytes;
  ++records_;
  return true;
}

Result<bool> TfRecordReader::Next(std::vector<uint8_t>* record) {
  if (!error_.ok()) return error_;
  Result<bool> more = Advance(record);
  if (!more.ok()) error_ = more.status();
  return more;
}

Result<bool> TfRecordReader::Skip() { return Next(nullptr); }

int64_t TfRecordReader::CountRecords() const {
  int64_t count = 0;
  for (int64_t offset = 0; offset != file_.size(); ++count) {
    const Result<int64_t> length = ReadLength(offset, count);
    if (!length.ok()) return -1;
    offset += kHeaderBytes + *length + kFooterBytes;
  }
  return count;
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

}  // namespace octet
