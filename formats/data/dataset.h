// Labelled images from files and folders, one at a time.
#ifndef OCTET_FORMATS_DATA_DATASET_H_
#define OCTET_FORMATS_DATA_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "formats/base/status.h"
#include "formats/data/image.h"

namespace octet {

/// One image, or one already prepared input.
struct Sample {
  std::string name;  ///< File name, path inside the folder, or "path[index]".
  int label = -1;    ///< Class index; -1 = unknown.

  /// 8-bit pixels to be preprocessed. Empty when `float_data` is set.
  DecodedImage image;
  /// Preprocessed input in NHWC order: height x width x channels values. Empty when `image` is set.
  std::vector<float> float_data;
  int float_height = 0, float_width = 0, float_channels = 0;

  bool is_float() const { return !float_data.empty(); }
};

struct DatasetOptions {
  /// The model's labels. Class folders and class names in TFRecord files are looked up here when
  /// the names match.
  std::vector<std::string> labels;
  /// .npy file of integer labels for a data set that is itself an .npy file.
  std::string npy_labels;
  /// At most this many samples; 0 = all. They are spread evenly over the whole set where its size
  /// is known, because folders of classes are sorted by class.
  int64_t max_samples = 0;
};

/// Streams samples in a fixed order with bounded memory: one sample, and the list of file names of
/// a folder.
class Dataset {
 public:
  virtual ~Dataset() = default;

  /// Number of samples that Next will give; -1 when unknown (a damaged TFRecord file).
  int64_t size() const { return size_; }

  /// What it is, for people, e.g. "TFRecord file of 50 records".
  const std::string& description() const { return description_; }

  /// Class names by label as the data set tells them: the folders' names where they made the
  /// labels; otherwise empty.
  const std::vector<std::string>& class_names() const { return class_names_; }

  /// Reads the next sample; false at the end. Errors (a NaN or infinity in `float_data` is one)
  /// name the file and record; after one, the next call goes on with the next sample where that is
  /// possible.
  Result<bool> Next(Sample* sample);

 protected:
  /// Of all samples, also those left out.
  virtual Result<bool> ReadNext(Sample* sample) = 0;
  /// Passes over one sample without decoding it.
  virtual Result<bool> SkipNext() = 0;

  /// Called once after opening: applies the limit.
  void SetSize(int64_t total, int64_t max_samples);

  std::string description_;
  std::vector<std::string> class_names_;

 private:
  int64_t total_ = -1, size_ = -1, max_samples_ = 0;
  int64_t position_ = 0;  ///< Samples read or skipped.
  int64_t given_ = 0;     ///< Samples read.
};

/// Opens, by content:
///  - a TFRecord file of tf.train.Example with image/encoded and optionally image/class/label,
///  image/class/text,
///    image/filename;
///  - a folder whose subfolders hold the images of one class each: labels by `options.labels` when
///  every subfolder is
///    named there, else in alphabetical order (an error when there are more or fewer folders than
///    labels);
///  - a folder of images without labels;
///  - an .npy file: uint8 [N,H,W,3] or [N,H,W,1] images, or float32 [N,H,W,C] prepared inputs;
///  - one image.
/// Files in a folder whose names begin with a dot are ignored, and so are those without an image's
/// extension. Errors: kNotFound, kIo, kCorrupt, kUnsupported, kInvalidArgument (an empty data set,
/// labels that do not fit).
Result<std::unique_ptr<Dataset>> OpenDataset(const std::string& path,
                                             const DatasetOptions& options = {});

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_DATASET_H_
