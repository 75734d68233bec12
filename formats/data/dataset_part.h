// What a data set is made of. Internal to formats/data.
#ifndef OCTET_FORMATS_DATA_DATASET_PART_H_
#define OCTET_FORMATS_DATA_DATASET_PART_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "formats/data/dataset.h"
#include "formats/data/label_matcher.h"

namespace octet {

/// The samples of one file or folder. Holds a file open only while it is read.
class DatasetPart {
 public:
  virtual ~DatasetPart() = default;

  /// False at the end.
  virtual Result<bool> Read(Sample* sample) = 0;
  /// Passes over one sample without decoding it.
  virtual Result<bool> Skip() = 0;

  /// Leaves only samples whose place is in [begin, end), before the first is read. Places begin
  /// with 0, go up, and are below `extent`; of what can only be read as a whole, all are 0. A
  /// sample's place does not depend on what is left.
  virtual void Restrict(int64_t begin, int64_t end) = 0;
  int64_t size = -1;        ///< Samples; -1 when unknown.
  std::string description;  ///< For people.
  std::string kind;         ///< In the plural; parts of one data set are of one kind.
  int64_t extent = 0;       ///< Where places end. Bytes; an image of a folder counts kImageExtent.
  int64_t index = -1;       ///< Of the sample that was read last among all of the part.
};

/// About what an image's file has, so that parts of several kinds are shared fairly.
inline constexpr int64_t kImageExtent = int64_t{1} << 16;

/// One whose samples are known by number.
class NumberedPart : public DatasetPart {
 public:
  Result<bool> Skip() override {
    if (next_ == end_) return false;
    index = next_++;
    return true;
  }
  void Restrict(int64_t begin, int64_t end) override {
    const auto number = [&](int64_t place) {
      return std::clamp<int64_t>((place + kImageExtent - 1) / kImageExtent, 0, end_);
    };
    next_ = number(begin);
    end_ = number(end);
    size = end_ - next_;
  }

 protected:
  void SetCount(int64_t count) {
    size = end_ = count;
    extent = count * kImageExtent;
  }
  bool at_end() const { return next_ == end_; }

 private:
  int64_t next_ = 0, end_ = 0;
};

/// One of records that are found by walking over a file.
class RecordsPart : public DatasetPart {
 public:
  void Restrict(int64_t begin, int64_t end) override {
    begin_ = begin;
    end_ = end;
    size = -1;
    ended_ = begin >= extent || end <= 0;  // None is wanted, whatever the file holds.
  }

 protected:
  int64_t begin_ = 0, end_ = std::numeric_limits<int64_t>::max();  ///< Places that are wanted.
  bool ended_ = false;  ///< Or nothing is known of what is behind.
};

/// By their names, in a folder: images, and TFRecord and tar files, whose content may be damaged.
bool IsNamedAsImage(const std::string& path);
bool IsNamedAsTfRecord(const std::string& path);
bool IsNamedAsTar(const std::string& path);

/// Whether samples are counted by walking over a file: a compressed one is inflated for that.
enum class Counting { kNone, kIfFast, kAll };

/// `labels` outlives the part; null when labels are not wanted.
Result<std::unique_ptr<DatasetPart>> OpenTfRecords(const std::string& path, LabelMatcher* labels,
                                                   Counting counting);
Result<std::unique_ptr<DatasetPart>> OpenFolder(const std::string& path, LabelMatcher* labels);
Result<std::unique_ptr<DatasetPart>> OpenTar(const std::string& path, LabelMatcher* labels,
                                             Counting counting);
/// Files that need not be there before they are read.
std::unique_ptr<DatasetPart> MakeImages(std::vector<std::string> paths);
Result<std::unique_ptr<DatasetPart>> OpenArray(const std::string& path, bool raw);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_DATASET_PART_H_
