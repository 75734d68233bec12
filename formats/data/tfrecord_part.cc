// TFRecord files as parts of a data set. Features are views of the record, of which the photo and
// its name are copied out.
#include <filesystem>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset_part.h"
#include "formats/data/tfrecord.h"

namespace octet {
namespace {

class TfRecordPart : public RecordsPart {
 public:
  TfRecordPart(std::string path, LabelMatcher* labels) : path_(std::move(path)), labels_(labels) {}

  Result<bool> Read(Sample* sample) override {
    OCTET_ASSIGN_OR_RETURN(const bool more, Open());
    if (!more) return false;
    index = reader_->records();
    sample->name = StrCat(std::filesystem::path(path_).filename().string(), "[", index, "]");
    const std::string record = StrCat(path_, ": record ", index, " at byte ", reader_->offset());
    const Result<bool> read = reader_->Next(&record_);
    if (!read.ok()) {
      if (reader_->is_lost()) End();
      return read.status();
    }
    if (!*read) return End();
    OCTET_RETURN_IF_ERROR(Fill(sample).WithContext(record));
    sample->origin = StrCat(record, ": ", sample->name);
    return true;
  }

  Result<bool> Skip() override {
    OCTET_ASSIGN_OR_RETURN(bool more, Open());
    if (!more) return false;
    OCTET_ASSIGN_OR_RETURN(more, reader_->Skip());
    return more ? true : End();
  }

 private:
  /// Before the next record that is wanted; false when there is none.
  Result<bool> Open() {
    if (std::exchange(ended_, true)) return false;  // Also after an error here.
    if (reader_ == nullptr) {
      OCTET_ASSIGN_OR_RETURN(reader_, TfRecordReader::Open(path_));
    }
    // A compressed file is read as a whole.
    while (begin_ > 0 && !reader_->compressed() && reader_->offset() < begin_) {
      const Result<bool> more = reader_->Skip();
      // Who reads the record that is damaged tells of it.
      const bool damaged = !more.ok() && more.status().code() != StatusCode::kIo;
      if (damaged || (more.ok() && !*more)) return End();
      if (!more.ok()) return more;
    }
    const int64_t place = reader_->compressed() ? 0 : reader_->offset();
    ended_ = place < begin_ || place >= end_;
    return ended_ ? End() : true;
  }
  bool End() {
    reader_.reset();
    ended_ = true;
    return false;
  }

  Status Fill(Sample* sample) {
    OCTET_ASSIGN_OR_RETURN(const Example example, ParseExample(record_));
    OCTET_ASSIGN_OR_RETURN(const ImageExample image, ReadImageExample(example, labels_ != nullptr));
    if (!image.encoded) return InvalidArgument("has no feature image/encoded or image");
    if (image.name && !image.name->empty()) sample->name = std::string(*image.name);
    if (labels_ != nullptr) {
      OCTET_ASSIGN_OR_RETURN(sample->label, labels_->OfRecord(image.label, image.text));
    }
    sample->encoded.assign(image.encoded->begin(), image.encoded->end());
    return OkStatus();
  }

  std::string path_;
  LabelMatcher* labels_;
  std::unique_ptr<TfRecordReader> reader_;
  std::vector<uint8_t> record_;
};

}  // namespace

Result<std::unique_ptr<DatasetPart>> OpenTfRecords(const std::string& path, LabelMatcher* labels,
                                                   Counting counting) {
  auto part = std::make_unique<TfRecordPart>(path, labels);
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<TfRecordReader> reader, TfRecordReader::Open(path));
  part->description = reader->compressed() ? "compressed TFRecord file" : "TFRecord file";
  if (counting == Counting::kAll || (counting == Counting::kIfFast && !reader->compressed())) {
    part->size = reader->CountRecords();
    part->description = part->size < 0 ? "damaged TFRecord file"
                                       : StrCat("TFRecord file of ", part->size, " records");
  }
  part->kind = "TFRecord files";
  part->extent = reader->file_size();
  return std::unique_ptr<DatasetPart>(std::move(part));
}

}  // namespace octet
