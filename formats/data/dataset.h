// Labelled images from files and folders, one at a time.
#ifndef OCTET_FORMATS_DATA_DATASET_H_
#define OCTET_FORMATS_DATA_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "formats/base/status.h"
#include "formats/data/image.h"
#include "formats/data/label_matcher.h"
#include "formats/data/shard.h"

namespace octet {

/// One image, or one already prepared input.
struct Sample {
  std::string name;    ///< File name, path inside the folder, or "path[index]".
  int label = -1;      ///< Class index; -1 = unknown.
  bool codes = false;  ///< `float_data` are the codes of a uint8 tensor.

  /// A photo as its file has it; for DecodeSample. Empty for arrays.
  std::vector<uint8_t> encoded;
  std::string origin;  ///< What errors of decoding call the photo; empty for arrays.
  /// 8-bit pixels to be preprocessed. Empty when `float_data` is set.
  DecodedImage image;
  /// An array's own values, of its last three dimensions; [n,features] has 1 x 1 x features, and
  /// [n,height,width] one channel. Empty when `image` is set.
  std::vector<float> float_data;
  int float_height = 0, float_width = 0, float_channels = 0;

  bool is_float() const { return !float_data.empty(); }
};

/// Makes `image` of `encoded`, which stays; nothing to do for arrays. Thread-safe. Errors: those of
/// DecodeImage.
Status DecodeSample(const Decoding& decoding, const Wanted& wanted, Sample* sample);

struct DatasetOptions {
  /// The model's labels, with which folders and texts are compared; empty when it has none.
  std::vector<std::string> labels = {};
  /// .npy file of integer labels for a data set that is itself of .npy files.
  std::string npy_labels = {};
  /// At most this many samples; 0 = all. They are spread evenly over the whole set where its size
  /// is known, because folders of classes are sorted by class.
  int64_t max_samples = 0;
  /// Of the samples that would be given without, this part, in which they have the same places; the
  /// others are passed over undecoded. Their number has to be known.
  Shard sample_shard = {};
  /// Whether samples have labels. Without, nothing that names classes is looked at, and shards may
  /// be missing.
  bool need_labels = false;
  /// .npy arrays of uint8 are codes, given as `float_data`, instead of pixels.
  bool raw = false;
  /// A part of all samples; only without `max_samples`. Records are shared by the bytes in front of
  /// them, so that files in which none is wanted are not opened, but compressed files as a whole;
  /// images and arrays by their number.
  Shard shard = {};
  /// Files and folders of any kind may be mixed, and images that are named alone need not be there
  /// before they are read.
  bool any_kind = false;
  Decoding decoding = {};  ///< For Next.
};

class DatasetPart;

/// Streams samples in a fixed order with bounded memory: one sample, and the list of file names of
/// a folder. ReadAhead (read_ahead.h) decodes on all cores.
class Dataset {
 public:
  ~Dataset();
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;

  /// Number of samples that Next will give; -1 when unknown (a damaged file of records, a
  /// compressed one without `max_samples`, a shard of records).
  int64_t size() const { return size_ < 0 ? size_ : end_ - begin_; }
  /// The same of all its sample shards together.
  int64_t whole_size() const { return size_; }

  /// What it is, for people, e.g. "TFRecord file of 50 records".
  const std::string& description() const { return description_; }

  /// Files and folders of all shards.
  int64_t parts() const { return static_cast<int64_t>(parts_.size()); }
  /// What they are, in the plural, e.g. "TFRecord files".
  const std::string& kind() const { return kind_; }
  /// FingerprintOfData, of the labels of .npy data too: the same for every shard of the same data.
  /// Errors: kIo.
  Result<std::string> Fingerprint() const;

  /// What told the labels of the samples so far.
  LabelEvidence label_evidence() const;

  /// Reads the next sample; false at the end. Photos stay `encoded`. Errors (a NaN or infinity in
  /// `float_data` is one) name the file and record; after one `sample` has a name, and the next
  /// call goes on with the next sample, behind a damaged place with the next file.
  Result<bool> Read(Sample* sample);

  /// Passes over a sample, without reading it where that can be helped.
  Result<bool> Skip() { return SkipNext(); }

  /// Reads and decodes.
  Result<bool> Next(Sample* sample);

 private:
  friend Result<std::unique_ptr<Dataset>> OpenDataset(const std::vector<std::string>& paths,
                                                      const DatasetOptions& options);
  Dataset();

  Status Open(const std::vector<std::string>& paths, const DatasetOptions& options);
  Status OpenParts(const std::vector<std::string>& paths, const DatasetOptions& options);
  void Restrict(const Shard& shard);
  Status ReadLabels(const std::string& path);
  Result<bool> ReadNext(Sample* sample);
  Result<bool> SkipNext();

  std::string description_;
  std::unique_ptr<LabelMatcher> matcher_;  ///< Null when labels are not wanted.
  std::vector<std::unique_ptr<DatasetPart>> parts_;
  std::vector<int> npy_labels_;
  size_t part_ = 0;  ///< That is being read.
  Decoding decoding_;
  std::string kind_;
  std::vector<std::string> files_;
  std::vector<int64_t> first_label_;  ///< In npy_labels_, of each part.
  int64_t total_ = -1, size_ = -1, max_samples_ = 0;
  int64_t begin_ = 0, end_ = 0;  ///< The sample shard, among size_ samples where that is known.
  int64_t position_ = 0;         ///< Samples read or skipped.
  int64_t given_ = 0;            ///< Samples read, and those before the shard.
};

/// Opens files and folders of one kind, one after the other; each path may be a pattern, shards as
/// NAME@N, or a folder of TFRecord or tar files (data_paths.h). By content:
///  - a TFRecord file, also compressed by gzip or zlib, of tf.train.Example with image/encoded and
///    optionally image/class/label, image/class/text, image/filename, or the names of TensorFlow
///    Datasets (ReadImageExample);
///  - a tar file, also compressed, of images, as WebDataset has them: members of one name up to the
///    first dot are one sample, with its class's number in .cls;
///  - a folder whose subfolders hold the images of one class each;
///  - a folder of images without labels;
///  - an .npy file: uint8 [n,height,width,3 or 1] or [n,height,width] images, or prepared inputs of
///    float16, float32 or float64 (or uint8 when `raw`) and two to four dimensions;
///  - one image.
/// Labels are compared with the model's as LabelMatcher says. Files in a folder whose names begin
/// with a dot are ignored, and so are those without an image's extension. Errors: kNotFound, kIo,
/// kCorrupt, kUnsupported, kInvalidArgument (an empty data set, labels that do not fit).
Result<std::unique_ptr<Dataset>> OpenDataset(const std::vector<std::string>& paths,
                                             const DatasetOptions& options = {});
Result<std::unique_ptr<Dataset>> OpenDataset(const std::string& path,
                                             const DatasetOptions& options = {});

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_DATASET_H_
