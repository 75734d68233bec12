#include "formats/data/dataset.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"
#include "formats/data/file.h"
#include "formats/data/npy.h"
#include "formats/data/tfrecord.h"

namespace octet {
namespace {

namespace fs = std::filesystem;

std::optional<int> FindLabel(const std::vector<std::string>& labels, std::string_view name) {
  const auto it = std::find(labels.begin(), labels.end(), name);
  if (it == labels.end()) return std::nullopt;
  return static_cast<int>(it - labels.begin());
}

Status CheckLabel(int64_t label, const std::vector<std::string>& labels) {
  const int64_t limit =
      labels.empty() ? std::numeric_limits<int>::max() : static_cast<int64_t>(labels.size());
  if (label < -1 || label >= limit) {
    return InvalidArgument(
        labels.empty() ? StrCat("label is ", label, ", expected a class index, or -1 for none")
                       : StrCat("label is ", label, ", the model has ", limit, " classes"));
  }
  return OkStatus();
}

class TfRecordDataset : public Dataset {
 public:
  static Result<std::unique_ptr<Dataset>> Open(const std::string& path,
                                               const DatasetOptions& options) {
    auto dataset = std::make_unique<TfRecordDataset>();
    dataset->path_ = path;
    dataset->labels_ = options.labels;
    OCTET_ASSIGN_OR_RETURN(dataset->reader_, TfRecordReader::Open(path));
    const int64_t count = dataset->reader_->CountRecords();
    dataset->description_ =
        count < 0 ? "damaged TFRecord file" : StrCat("TFRecord file of ", count, " records");
    dataset->SetSize(count, options.max_samples);
    return std::unique_ptr<Dataset>(std::move(dataset));
  }

 protected:
  Result<bool> ReadNext(Sample* sample) override {
    const int64_t index = reader_->records(), offset = reader_->offset();
    OCTET_ASSIGN_OR_RETURN(const bool more, reader_->Next(&record_));
    if (!more) return false;
    Status status = Fill(index, sample);
    if (!status.ok()) {
      return std::move(status).WithContext(StrCat(path_, ": record ", index, " at byte ", offset));
    }
    return true;
  }

  Result<bool> SkipNext() override { return reader_->Skip(); }

 private:
  Status Fill(int64_t index, Sample* sample) {
    OCTET_ASSIGN_OR_RETURN(const Example example, ParseExample(record_));
    OCTET_ASSIGN_OR_RETURN(const std::optional<std::string_view> encoded,
                           Bytes(example, "image/encoded"));
    if (!encoded) return InvalidArgument("has no feature image/encoded");
    OCTET_ASSIGN_OR_RETURN(const std::optional<std::string_view> name,
                           Bytes(example, "image/filename"));
    OCTET_ASSIGN_OR_RETURN(const std::optional<std::string_view> text,
                           Bytes(example, "image/class/text"));
    sample->name = name && !name->empty()
                       ? std::string(*name)
                       : StrCat(fs::path(path_).filename().string(), "[", index, "]");
    const auto label = example.find("image/class/label");
    if (label != example.end()) {
      if (label->second.kind != Feature::Kind::kInts || label->second.ints.size() != 1) {
        return InvalidArgument("feature image/class/label is not one integer");
      }
      OCTET_RETURN_IF_ERROR(CheckLabel(label->second.ints[0], labels_));
      sample->label = static_cast<int>(label->second.ints[0]);
    } else if (text && !labels_.empty()) {
      const std::optional<int> found = FindLabel(labels_, *text);
      if (!found) {
        return InvalidArgument(StrCat("class '", *text, "' is not among the model's labels"));
      }
      sample->label = *found;
    }
    OCTET_ASSIGN_OR_RETURN(
        sample->image,
        DecodeImage({reinterpret_cast<const uint8_t*>(encoded->data()), encoded->size()},
                    sample->name));
    return OkStatus();
  }

  static Result<std::optional<std::string_view>> Bytes(const Example& example,
                                                       std::string_view key) {
    const auto it = example.find(key);
    if (it == example.end()) return std::optional<std::string_view>();
    if (it->second.kind != Feature::Kind::kBytes || it->second.bytes.size() != 1) {
      return InvalidArgument(StrCat("feature ", key, " is not one byte string"));
    }
    return std::optional<std::string_view>(it->second.bytes[0]);
  }

  std::string path_;
  std::vector<std::string> labels_;
  std::unique_ptr<TfRecordReader> reader_;
  std::vector<uint8_t> record_;
};

/// Image files known beforehand: folders, and a single image.
class FileDataset : public Dataset {
 public:
  struct Entry {
    std::string path;
    std::string name;
    int label = -1;
  };

  static std::unique_ptr<Dataset> Make(std::vector<Entry> entries, std::string description,
                                       std::vector<std::string> class_names, int64_t max_samples) {
    auto dataset = std::make_unique<FileDataset>();
    dataset->entries_ = std::move(entries);
    dataset->description_ = std::move(description);
    dataset->class_names_ = std::move(class_names);
    dataset->SetSize(static_cast<int64_t>(dataset->entries_.size()), max_samples);
    return dataset;
  }

 protected:
  Result<bool> ReadNext(Sample* sample) override {
    if (next_ == entries_.size()) return false;
    const Entry& entry = entries_[next_++];
    sample->name = entry.name;
    sample->label = entry.label;
    OCTET_ASSIGN_OR_RETURN(sample->image, LoadImage(entry.path));
    return true;
  }

  Result<bool> SkipNext() override {
    if (next_ == entries_.size()) return false;
    ++next_;
    return true;
  }

 private:
  std::vector<Entry> entries_;
  size_t next_ = 0;
};

class NpyDataset : public Dataset {
 public:
  NpyDataset(NpyReader reader, std::string path)
      : reader_(std::move(reader)), path_(std::move(path)) {}

  static Result<std::unique_ptr<Dataset>> Open(const std::string& path,
                                               const DatasetOptions& options) {
    OCTET_ASSIGN_OR_RETURN(NpyReader reader, NpyReader::Open(path));
    const NpyHeader header = reader.header();
    std::string shape;
    for (int64_t d : header.shape) shape += (shape.empty() ? "" : ",") + std::to_string(d);
    const std::string found = StrCat(NpyTypeName(header.type), " [", shape, "]");
    const bool pixels = header.type == NpyType::kU8;
    const std::vector<int64_t>& s = header.shape;
    if ((!pixels && header.type != NpyType::kF32) || s.size() != 4 ||
        (pixels && s[3] != 1 && s[3] != 3)) {
      return InvalidArgument(
          StrCat(path, ": holds ", found, ", expected uint8 [N,H,W,3 or 1] or float32 [N,H,W,C]"));
    }
    // The product of all dimensions is checked, but with N = 0 the others may be anything.
    Shape image{s[1], s[2], s[3]};
    const int64_t per_sample = image.num_elements();
    if (s[0] == 0 || per_sample <= 0) {
      return InvalidArgument(StrCat(path, ": holds ", found, ", which is empty"));
    }
    if (per_sample > kMaxImagePixels * 3) {
      return Unsupported(StrCat(path, ": holds ", found, ", at most ", kMaxImagePixels * 3,
                                " values per sample are read"));
    }
    auto dataset = std::make_unique<NpyDataset>(std::move(reader), path);
    if (!options.npy_labels.empty()) {
      OCTET_ASSIGN_OR_RETURN(const NpyReader labels, NpyReader::Open(options.npy_labels));
      if (labels.header().shape.size() != 1 || labels.header().elements != s[0]) {
        return InvalidArgument(StrCat(options.npy_labels, ": holds ", labels.header().elements,
                                      " values in ", labels.header().shape.size(),
                                      " dimensions, expected ", s[0], " labels in one"));
      }
      dataset->labels_.resize(static_cast<size_t>(s[0]));
      OCTET_RETURN_IF_ERROR(labels.ReadInts(0, s[0], dataset->labels_.data()));
      for (int64_t label : dataset->labels_) {
        Status status = CheckLabel(label, options.labels);
        if (!status.ok()) return std::move(status).WithContext(options.npy_labels);
      }
    }
    dataset->description_ = StrCat("NumPy file of ", s[0], pixels ? " images" : " prepared inputs");
    dataset->SetSize(s[0], options.max_samples);
    return std::unique_ptr<Dataset>(std::move(dataset));
  }

 protected:
  Result<bool> ReadNext(Sample* sample) override {
    const std::vector<int64_t>& s = reader_.header().shape;
    if (next_ == s[0]) return false;
    const int64_t index = next_++;
    const int64_t per_sample = s[1] * s[2] * s[3];
    sample->name = StrCat(fs::path(path_).filename().string(), "[", index, "]");
    if (!labels_.empty()) sample->label = static_cast<int>(labels_[static_cast<size_t>(index)]);
    if (reader_.header().type == NpyType::kF32) {
      sample->float_data.resize(static_cast<size_t>(per_sample));
      sample->float_height = static_cast<int>(s[1]);
      sample->float_width = static_cast<int>(s[2]);
      sample->float_channels = static_cast<int>(s[3]);
      OCTET_RETURN_IF_ERROR(
          reader_.Read(index * per_sample, per_sample, sample->float_data.data()));
      return true;
    }
    sample->image.height = static_cast<int>(s[1]);
    sample->image.width = static_cast<int>(s[2]);
    std::vector<uint8_t>& rgb = sample->image.rgb;
    rgb.resize(static_cast<size_t>(s[1] * s[2] * 3));
    OCTET_RETURN_IF_ERROR(reader_.Read(index * per_sample, per_sample, rgb.data()));
    if (s[3] == 1) {
      // Gray pixels spread to three from the last on, so that none is overwritten before it is
      // read.
      for (size_t i = static_cast<size_t>(per_sample); i-- > 0;) {
        rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = rgb[i];
      }
    }
    return true;
  }

  Result<bool> SkipNext() override {
    if (next_ == reader_.header().shape[0]) return false;
    ++next_;
    return true;
  }

 private:
  NpyReader reader_;
  std::string path_;
  std::vector<int64_t> labels_;
  int64_t next_ = 0;
};

bool HasImageExtension(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* known : {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".ppm", ".pgm", ".pnm"}) {
    if (extension == known) return true;
  }
  return false;
}

struct Listing {
  std::vector<std::string> folders, images;  ///< Names, sorted by bytes.
};

Result<Listing> List(const std::string& folder) {
  Listing listing;
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(".")) continue;
    std::error_code type_error;
    if (it->is_directory(type_error)) {
      listing.folders.push_back(name);
    } else if (it->is_regular_file(type_error) && HasImageExtension(it->path())) {
      listing.images.push_back(name);
    }
  }
  if (error) return IoError(StrCat(folder, ": cannot list: ", error.message()));
  std::sort(listing.folders.begin(), listing.folders.end());
  std::sort(listing.images.begin(), listing.images.end());
  return listing;
}

Result<std::unique_ptr<Dataset>> OpenFolder(const std::string& path,
                                            const DatasetOptions& options) {
  OCTET_ASSIGN_OR_RETURN(Listing top, List(path));
  const fs::path root(path);
  std::vector<FileDataset::Entry> entries;
  std::vector<std::string> classes;
  std::string without_images;
  for (const std::string& folder : top.folders) {
    OCTET_ASSIGN_OR_RETURN(const Listing inner, List((root / folder).string()));
    if (inner.images.empty()) {
      without_images = folder;
      continue;
    }
    for (const std::string& image : inner.images) {
      entries.push_back({(root / folder / image).string(), folder + "/" + image,
                         static_cast<int>(classes.size())});
    }
    classes.push_back(folder);
  }
  if (classes.empty()) {
    for (const std::string& image : top.images) entries.push_back({(root / image).string(), image});
    if (entries.empty()) {
      return InvalidArgument(StrCat(path, ": no images (JPEG, PNG, BMP, PNM) in this folder"));
    }
    std::string description = StrCat("folder of ", entries.size(), " images without labels");
    return FileDataset::Make(std::move(entries), std::move(description), {}, options.max_samples);
  }
  if (!without_images.empty()) {
    // Leaving it out would shift the labels of the classes behind it.
    return InvalidArgument(StrCat(path, ": folder '", without_images, "' holds no images"));
  }
  if (!top.images.empty()) {
    return InvalidArgument(StrCat(path, ": holds both class folders and images (", top.images[0],
                                  "), expected one or the other"));
  }
  std::string description =
      StrCat("folder of ", entries.size(), " images in ", classes.size(), " classes");
  std::vector<int> label_of(classes.size());
  size_t matches = 0;
  for (size_t i = 0; i < classes.size(); ++i) {
    const std::optional<int> found = FindLabel(options.labels, classes[i]);
    if (found) ++matches;
    label_of[i] = found.value_or(static_cast<int>(i));
  }
  if (matches == classes.size()) {
    for (FileDataset::Entry& entry : entries) {
      entry.label = label_of[static_cast<size_t>(entry.label)];
    }
    classes.clear();
  } else if (matches > 0) {
    // Some names fit and some do not: counting folders would give wrong labels without a word.
    for (size_t i = 0; i < classes.size(); ++i) {
      if (!FindLabel(options.labels, classes[i])) {
        return InvalidArgument(StrCat(path, ": folder '", classes[i],
                                      "' is not among the model's labels, others are"));
      }
    }
  } else if (!options.labels.empty() && options.labels.size() != classes.size()) {
    return InvalidArgument(StrCat(path, ": has ", classes.size(),
                                  " class folders, none named as one of the model's ",
                                  options.labels.size(), " labels"));
  }
  return FileDataset::Make(std::move(entries), std::move(description), std::move(classes),
                           options.max_samples);
}

Result<std::unique_ptr<Dataset>> OpenFile(const std::string& path, const DatasetOptions& options) {
  std::vector<uint8_t> start;
  {
    OCTET_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
    start.resize(static_cast<size_t>(std::min<int64_t>(file.size(), 16)));
    OCTET_RETURN_IF_ERROR(file.ReadAt(0, start));
  }
  if (LooksLikeNpy(start)) return NpyDataset::Open(path, options);
  if (DetectImageFormat(start) != ImageFormat::kUnknown) {
    std::vector<FileDataset::Entry> entries{{path, path}};
    return FileDataset::Make(std::move(entries), "one image", {}, options.max_samples);
  }
  // With the right extension a damaged file is opened as well, so that the error names the record.
  if (LooksLikeTfRecord(start) || fs::path(path).extension() == ".tfrecord") {
    return TfRecordDataset::Open(path, options);
  }
  return Unsupported(StrCat(path,
                            ": not a data set, expected a TFRecord file, an .npy file, a "
                            "JPEG, PNG, BMP or PNM image, or a folder of images"));
}

}  // namespace

void Dataset::SetSize(int64_t total, int64_t max_samples) {
  total_ = total;
  max_samples_ = max_samples;
  size_ = total >= 0 && max_samples > 0 ? std::min(total, max_samples) : total;
}

Result<bool> Dataset::Next(Sample* sample) {
  *sample = Sample();
  if (max_samples_ > 0 && given_ >= max_samples_) return false;
  // Sample i of n is number floor(i * total / n).
  if (size_ >= 0 && size_ < total_) {
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
  if (!more.ok() || !*more) *sample = Sample();
  return more;
}

Result<std::unique_ptr<Dataset>> OpenDataset(const std::string& path,
                                             const DatasetOptions& options) {
  if (options.max_samples < 0) {
    return InvalidArgument(StrCat("max_samples is ", options.max_samples, ", expected at least 0"));
  }
  std::error_code error;
  const bool is_folder = fs::is_directory(path, error);
  Result<std::unique_ptr<Dataset>> dataset =
      is_folder ? OpenFolder(path, options) : OpenFile(path, options);
  if (!dataset.ok()) return dataset;
  if ((*dataset)->size() == 0) return InvalidArgument(StrCat(path, ": the data set is empty"));
  return dataset;
}

}  // namespace octet
