// What a data set is made of. Internal to formats/data.
#ifndef OCTET_FORMATS_DATA_DATASET_PART_H_
#define OCTET_FORMATS_DATA_DATASET_PART_H_

#include <memory>
#include <string>
#include <utility>

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

  int64_t size = -1;        ///< Samples; -1 when unknown.
  std::string description;  ///< For people.
  std::string kind;         ///< In the plural; parts of one data set are of one kind.
};

/// By their names, in a folder: images, and TFRecord files, whose content may be damaged.
bool IsNamedAsImage(const std::string& path);
bool IsNamedAsTfRecord(const std::string& path);

/// `labels` outlives the part; null when labels are not wanted.
Result<std::unique_ptr<DatasetPart>> OpenTfRecords(const std::string& path, LabelMatcher* labels,
                                                   bool count);
Result<std::unique_ptr<DatasetPart>> OpenFolder(const std::string& path, LabelMatcher* labels);
Result<std::unique_ptr<DatasetPart>> OpenImage(const std::string& path);
Result<std::unique_ptr<DatasetPart>> OpenArray(const std::string& path, bool raw);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_DATASET_PART_H_
