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

class TfRecordPart : public DatasetPart {
 public:
  TfRecordPart(std::string path, LabelMatcher* labels) : path_(std::move(path)), labels_(labels) {}

  Result<bool> Read(Sample* sample) override {
    if (std::exchange(damaged_, true)) return End();  // Nothing is known of what is behind.
    OCTET_RETURN_IF_ERROR(Open());
    const int64_t index = reader_->records(), offset = reader_->offset();
    OCTET_ASSIGN_OR_RETURN(const bool more, reader_->Next(&record_));
    damaged_ = false;
    if (!more) return End();
    const std::string record = StrCat(path_, ": record ", index, " at byte ", offset);
    OCTET_RETURN_IF_ERROR(Fill(index, sample).WithContext(record));
    sample->origin = StrCat(record, ": ", sample->name);
    return true;
  }

  Result<bool> Skip() override {
    OCTET_RETURN_IF_ERROR(Open());
    OCTET_ASSIGN_OR_RETURN(const bool more, reader_->Skip());
    return more ? true : End();
  }

 private:
  Status Open() {
    if (reader_ == nullptr) {
      OCTET_ASSIGN_OR_RETURN(reader_, TfRecordReader::Open(path_));
    }
    return OkStatus();
  }
  bool End() {
    reader_.reset();
    return false;
  }

  Status Fill(int64_t index, Sample* sample) {
    OCTET_ASSIGN_OR_RETURN(const Example example, ParseExample(record_));
    OCTET_ASSIGN_OR_RETURN(const ImageExample image, ReadImageExample(example, labels_ != nullptr));
    if (!image.encoded) return InvalidArgument("has no feature image/encoded or image");
    sample->name = image.name && !image.name->empty()
                       ? std::string(*image.name)
                       : StrCat(std::filesystem::path(path_).filename().string(), "[", index, "]");
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
  bool damaged_ = false;
};

}  // namespace

Result<std::unique_ptr<DatasetPart>> OpenTfRecords(const std::string& path, LabelMatcher* labels,
                                                   bool count) {
  auto part = std::make_unique<TfRecordPart>(path, labels);
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<TfRecordReader> reader, TfRecordReader::Open(path));
  // Counting inflates the whole file.
  if (reader->compressed() && !count) {
    part->description = "compressed TFRecord file";
  } else {
    part->size = reader->CountRecords();
    part->description = part->size < 0 ? "damaged TFRecord file"
                                       : StrCat("TFRecord file of ", part->size, " records");
  }
  part->kind = "TFRecord files";
  return std::unique_ptr<DatasetPart>(std::move(part));
}

}  // namespace octet
