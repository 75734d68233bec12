// A data set is a list of parts of one kind (dataset_part.h), read one after the other. What a file
// is its first bytes decide; its name counts only for a TFRecord file that is damaged.
#include "formats/data/dataset.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "formats/base/file.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/data_paths.h"
#include "formats/data/dataset_part.h"
#include "formats/data/npy.h"
#include "formats/data/sha256.h"
#include "formats/data/tar.h"
#include "formats/data/tfrecord.h"

namespace octet {
namespace {

namespace fs = std::filesystem;

Result<std::unique_ptr<DatasetPart>> OpenPart(const std::string& path, LabelMatcher* matcher,
                                              const DatasetOptions& options) {
  std::error_code error;
  if (fs::is_directory(path, error)) return OpenFolder(path, matcher);
  std::vector<uint8_t> start;
  {
    OCTET_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
    start.resize(static_cast<size_t>(std::min<int64_t>(file.size(), 16)));
    OCTET_RETURN_IF_ERROR(file.ReadAt(0, start));
  }
  if (LooksLikeNpy(start)) return OpenArray(path, options.raw);
  // With the right name a damaged file is opened as well, so that the error names what it is not.
  if (DetectImageFormat(start) != ImageFormat::kUnknown || IsNamedAsImage(path))
    return MakeImages({path});
  const Counting counting = options.max_samples > 0 || !options.sample_shard.is_all()
                                ? Counting::kAll
                            : options.shard.is_all() ? Counting::kIfFast
                                                     : Counting::kNone;
  if (IsNamedAsTar(path) || IsTarFile(path)) return OpenTar(path, matcher, counting);
  if (IsTfRecordFile(path) || IsNamedAsTfRecord(path))
    return OpenTfRecords(path, matcher, counting);
  return Unsupported(StrCat(path,
                            ": not a data set, expected a TFRecord file, a tar file, an .npy file, "
                            "a JPEG, PNG, BMP or PNM image, or a folder of images"));
}

}  // namespace

Dataset::Dataset() = default;
Dataset::~Dataset() = default;

LabelEvidence Dataset::label_evidence() const {
  return matcher_ ? matcher_->evidence() : LabelEvidence();
}

Status Dataset::OpenParts(const std::vector<std::string>& paths, const DatasetOptions& options) {
  std::vector<std::string> images;
  const auto add = [&](std::unique_ptr<DatasetPart> part, const std::string& path) {
    // Among many files one may be empty, of which a shard does not know.
    if (part->size == 0 && !options.any_kind)
      return InvalidArgument(StrCat(path, ": the data set is empty"));
    if (!parts_.empty() && part->kind != parts_[0]->kind && !options.any_kind) {
      return InvalidArgument(StrCat(path, ": is a ", part->description, ", ", paths[0], " a ",
                                    parts_[0]->description, "; expected data of one kind"));
    }
    total_ = total_ < 0 || part->size < 0 ? -1 : total_ + part->size;
    parts_.push_back(std::move(part));
    return OkStatus();
  };
  const auto add_images = [&] {
    if (images.empty()) return OkStatus();
    std::unique_ptr<DatasetPart> part = MakeImages(std::exchange(images, {}));
    return add(std::move(part), "");
  };
  for (const std::string& path : paths) {
    std::error_code error;
    if (options.any_kind && IsNamedAsImage(path) && !fs::is_directory(path, error)) {
      images.push_back(path);
      continue;
    }
    OCTET_RETURN_IF_ERROR(add_images());
    OCTET_ASSIGN_OR_RETURN(std::unique_ptr<DatasetPart> part,
                           OpenPart(path, matcher_.get(), options));
    OCTET_RETURN_IF_ERROR(add(std::move(part), path));
  }
  return add_images();
}

Status Dataset::Open(const std::vector<std::string>& paths, const DatasetOptions& options) {
  if (options.need_labels || !options.npy_labels.empty())
    matcher_ = std::make_unique<LabelMatcher>(options.labels);
  OCTET_ASSIGN_OR_RETURN(files_, ExpandDataPaths(paths, options.need_labels));
  const std::vector<std::string>& files = files_;
  total_ = 0;
  OCTET_RETURN_IF_ERROR(OpenParts(files, options));
  if (total_ == 0) return InvalidArgument(StrCat(files[0], ": the data set is empty"));
  const bool arrays = parts_[0]->kind.starts_with("NumPy");
  if (options.raw && !arrays)
    return InvalidArgument(
        StrCat(files[0], ": is a ", parts_[0]->description, "; only .npy arrays can be raw"));
  if (!options.npy_labels.empty()) {
    if (!arrays)
      return InvalidArgument(StrCat(options.npy_labels, ": labels of .npy files, but ", files[0],
                                    " is a ", parts_[0]->description));
    OCTET_RETURN_IF_ERROR(ReadLabels(options.npy_labels).WithContext(options.npy_labels));
  }
  description_ =
      parts_.size() == 1 ? parts_[0]->description : StrCat(parts_.size(), " ", parts_[0]->kind);
  if (parts_.size() > 1 && total_ >= 0) description_ += StrCat(" of ", total_, " samples");
  const bool one_kind = std::all_of(parts_.begin(), parts_.end(), [&](const auto& part) {
    return part->kind == parts_[0]->kind;
  });
  kind_ = one_kind ? parts_[0]->kind : "files and folders";
  if (!options.shard.is_all()) Restrict(options.shard);
  max_samples_ = options.max_samples;
  decoding_ = options.decoding;
  size_ = total_ >= 0 && max_samples_ > 0 ? std::min(total_, max_samples_) : total_;
  if (size_ < 0 && !options.sample_shard.is_all()) {
    return InvalidArgument(StrCat(files[0], ": is a ", parts_[0]->description,
                                  ", of whose samples no shard can be taken, expected data that "
                                  "can be counted"));
  }
  if (size_ >= 0) {
    begin_ = given_ = options.sample_shard.Begin(size_);
    end_ = options.sample_shard.End(size_);
  }
  return OkStatus();
}

void Dataset::Restrict(const Shard& shard) {
  int64_t extent = 0, from = 0;
  for (const auto& part : parts_) extent += part->extent;
  const int64_t begin = shard.Begin(extent), end = shard.End(extent);
  total_ = 0;
  for (const auto& part : parts_) {
    part->Restrict(begin - from, end - from);
    from += part->extent;
    total_ = total_ < 0 || part->size < 0 ? -1 : total_ + part->size;
  }
}

Result<std::string> Dataset::Fingerprint() const {
  OCTET_ASSIGN_OR_RETURN(std::string files, FingerprintOfData(files_));
  if (npy_labels_.empty()) return files;
  Sha256 hash;
  hash.Add(files);
  for (const int label : npy_labels_) hash.Add(StrCat(label, "\n"));
  return hash.Hex();
}

Status Dataset::ReadLabels(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const NpyReader file, NpyReader::Open(path));
  if (file.header().shape.size() != 1 || file.header().elements != total_) {
    return InvalidArgument(StrCat("holds ", file.header().elements, " values in ",
                                  file.header().shape.size(), " dimensions, expected ", total_,
                                  " labels in one"));
  }
  std::vector<int64_t> labels(static_cast<size_t>(total_));
  OCTET_RETURN_IF_ERROR(file.ReadInts(0, total_, labels.data()));
  for (const int64_t label : labels) {
    OCTET_ASSIGN_OR_RETURN(const int found, matcher_->OfNumber(label));
    npy_labels_.push_back(found);
  }
  for (int64_t first = 0; const auto& part : parts_) {
    first_label_.push_back(first);
    first += part->size;
  }
  return OkStatus();
}

Result<bool> Dataset::ReadNext(Sample* sample) {
  for (; part_ < parts_.size(); ++part_) {
    OCTET_ASSIGN_OR_RETURN(const bool more, parts_[part_]->Read(sample));
    if (!more) continue;
    if (!npy_labels_.empty()) {
      sample->label = npy_labels_[static_cast<size_t>(first_label_[part_] + parts_[part_]->index)];
    }
    return true;
  }
  return false;
}

Result<bool> Dataset::SkipNext() {
  for (; part_ < parts_.size(); ++part_) {
    OCTET_ASSIGN_OR_RETURN(const bool more, parts_[part_]->Skip());
    if (more) return true;
  }
  return false;
}

Result<bool> Dataset::Read(Sample* sample) {
  *sample = Sample();
  if (max_samples_ > 0 && given_ >= max_samples_) return false;
  if (end_ - begin_ < size_ && given_ >= end_) return false;
  // Sample i of n is number floor(i * total / n).
  if (size_ >= 0 && (size_ < total_ || begin_ > 0)) {
    const int64_t wanted = static_cast<int64_t>(static_cast<__int128>(given_) * total_ / size_);
    for (; position_ < wanted; ++position_) {
      OCTET_ASSIGN_OR_RETURN(const bool skipped, SkipNext());
      if (!skipped) return false;
    }
  }
  ++position_;
  ++given_;
  Result<bool> more = ReadNext(sample);
  if (more.ok()) {
    Status status = CheckFinite(sample->float_data);
    if (!status.ok()) more = std::move(status).WithContext(sample->name);
  }
  if (!more.ok() || !*more) {
    Sample named;
    named.name = std::move(sample->name);
    named.origin = std::move(sample->origin);
    *sample = std::move(named);
  }
  return more;
}

Result<bool> Dataset::Next(Sample* sample) {
  OCTET_ASSIGN_OR_RETURN(const bool more, Read(sample));
  if (more) OCTET_RETURN_IF_ERROR(DecodeSample(decoding_, {}, sample));
  return more;
}

Status DecodeSample(const Decoding& decoding, const Wanted& wanted, Sample* sample) {
  if (sample->origin.empty()) return OkStatus();
  OCTET_ASSIGN_OR_RETURN(sample->image, DecodeImage(sample->encoded, sample->origin, decoding,
                                                    wanted, std::move(sample->image.rgb)));
  return OkStatus();
}

Result<std::unique_ptr<Dataset>> OpenDataset(const std::vector<std::string>& paths,
                                             const DatasetOptions& options) {
  if (options.max_samples < 0) {
    return InvalidArgument(StrCat("max_samples is ", options.max_samples, ", expected at least 0"));
  }
  if ((options.max_samples > 0 || !options.sample_shard.is_all()) && !options.shard.is_all())
    return InvalidArgument("a shard is of all samples, expected no max_samples or sample_shard");
  std::unique_ptr<Dataset> dataset(new Dataset);
  OCTET_RETURN_IF_ERROR(dataset->Open(paths, options));
  return dataset;
}

Result<std::unique_ptr<Dataset>> OpenDataset(const std::string& path,
                                             const DatasetOptions& options) {
  return OpenDataset(std::vector<std::string>{path}, options);
}

}  // namespace octet
