#include "converter/calibrate/sample_source.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "converter/import/builder/view.h"
#include "engine/src/preprocess.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset.h"
#include "formats/data/npy.h"

namespace octet {
namespace {

struct Reader {
  std::unique_ptr<Dataset> dataset;
  Preprocessing preprocessing;
  int height = 0, width = 0, channels = 0;
  Sample sample;
  ResizeWorkspace workspace;

  Result<bool> Next(float* input) {
    OCTET_ASSIGN_OR_RETURN(const bool more, dataset->Next(&sample));
    if (!more) return false;
    OCTET_RETURN_IF_ERROR(Prepare(input).WithContext(sample.name));
    return true;
  }

  Status Prepare(float* input) {
    if (sample.is_float()) {
      if (sample.float_height != height || sample.float_width != width ||
          sample.float_channels != channels) {
        return InvalidArgument(StrCat("sample is ", sample.float_height, "x", sample.float_width,
                                      "x", sample.float_channels, ", expected ", height, "x", width,
                                      "x", channels, " as the network's input"));
      }
      std::copy(sample.float_data.begin(), sample.float_data.end(), input);
      return OkStatus();
    }
    if (channels != 1 && channels != 3) {
      return Unsupported(
          StrCat("an image has 1 or 3 channels, the network's input has ", channels));
    }
    Image image;
    image.pixels = sample.image.rgb.data();
    image.width = sample.image.width;
    image.height = sample.image.height;
    std::span<const uint8_t> pixels;
    OCTET_RETURN_IF_ERROR(
        ResizeAndCrop(image, preprocessing, height, width, channels, &workspace, &pixels));
    NormalizeToFloat(preprocessing, pixels, channels, input);
    return OkStatus();
  }
};

/// Floating-point arrays, the network's own input: [n,height,width,channels] or channels first,
/// without the channels where there is one, and [n,features]. Samples are spread evenly.
class ArrayReader {
 public:
  static Result<ArrayReader> Open(const std::string& path, NpyReader file, const Shape& input,
                                  int64_t max_samples) {
    const std::vector<int64_t>& found = file.header().shape;
    const std::vector<int64_t> sample(found.begin() + 1, found.end());
    std::vector<int64_t> as_network;
    for (int i = 1; i < input.rank(); ++i) as_network.push_back(input[i]);
    const bool image = input.rank() == 4;
    const bool gray = image && input[3] == 1 && sample == std::vector<int64_t>{input[1], input[2]};
    const bool first = image && sample == std::vector<int64_t>{input[3], input[1], input[2]};
    if (sample != as_network && !gray && !first) {
      return InvalidArgument(StrCat("samples of shape ", DimsText(sample), ", expected ",
                                    DimsText(as_network), " as the network's input",
                                    image ? ", channels last or first" : ""));
    }
    if (found[0] < 1) return InvalidArgument("it has no samples");
    const int64_t count = max_samples > 0 ? std::min(max_samples, found[0]) : found[0];
    return ArrayReader(path, std::move(file), sample != as_network && first, input.back(), count);
  }

  int64_t size() const { return count_; }

  Result<bool> Next(float* input) {
    if (next_ == count_) return false;
    const int64_t images = file_.header().shape[0], size = file_.header().elements / images;
    const int64_t n = next_++ * images / count_;
    values_.resize(static_cast<size_t>(size));
    OCTET_RETURN_IF_ERROR(file_.ReadFloats(n * size, size, values_.data()));
    OCTET_RETURN_IF_ERROR(CheckFinite(values_).WithContext(StrCat(path_, "[", n, "]")));
    const int64_t pixels = size / channels_;
    for (int64_t i = 0; i < size; ++i) {
      input[i] = values_[static_cast<size_t>(
          channels_first_ ? i % channels_ * pixels + i / channels_ : i)];
    }
    return true;
  }

 private:
  ArrayReader(std::string path, NpyReader file, bool channels_first, int64_t channels,
              int64_t count)
      : path_(std::move(path)),
        file_(std::move(file)),
        channels_first_(channels_first),
        channels_(channels),
        count_(count) {}

  std::string path_;
  NpyReader file_;
  bool channels_first_;
  int64_t channels_, count_, next_ = 0;
  std::vector<float> values_;
};

/// An array of floats; nothing for what is no .npy file, and for bytes, which are pixels.
Result<std::optional<NpyReader>> OpenArray(const std::string& path, bool image) {
  if (!path.ends_with(".npy")) return std::optional<NpyReader>();
  OCTET_ASSIGN_OR_RETURN(NpyReader file, NpyReader::Open(path));
  const bool pixels = image && file.header().type == NpyType::kU8;
  if (pixels || file.header().shape.empty()) return std::optional<NpyReader>();
  return std::optional<NpyReader>(std::move(file));
}

}  // namespace

Result<DatasetSamples> OpenSamples(const std::string& path, const Graph& graph,
                                   int64_t max_samples) {
  const Tensor& input = graph.tensor(graph.inputs[0]);
  OCTET_ASSIGN_OR_RETURN(std::optional<NpyReader> array, OpenArray(path, input.shape.rank() == 4));
  if (array) {
    Result<ArrayReader> opened =
        ArrayReader::Open(path, *std::move(array), input.shape, max_samples);
    if (!opened.ok()) return Status(opened.status()).WithContext(path);
    auto reader = std::make_shared<ArrayReader>(std::move(opened).value());
    DatasetSamples samples;
    samples.size = reader->size();
    samples.description = StrCat("NumPy file of ", samples.size, " prepared inputs");
    samples.next = [reader](float* to) { return reader->Next(to); };
    return samples;
  }
  if (input.shape.rank() != 4) {
    return Unsupported(StrCat("input '", input.name, "' has shape ", input.shape.ToString(),
                              ", which no image fits; calibrate it with an .npy array of floats"));
  }
  auto reader = std::make_shared<Reader>();
  reader->preprocessing = graph.metadata.preprocessing;
  reader->height = static_cast<int>(input.shape[1]);
  reader->width = static_cast<int>(input.shape[2]);
  reader->channels = static_cast<int>(input.shape[3]);
  // Labels play no part here, so folders of classes that the model does not know are welcome.
  DatasetOptions options;
  options.max_samples = max_samples;
  OCTET_ASSIGN_OR_RETURN(reader->dataset, OpenDataset(path, options));
  DatasetSamples samples;
  samples.size = reader->dataset->size();
  samples.description = reader->dataset->description();
  samples.next = [reader](float* to) { return reader->Next(to); };
  return samples;
}

}  // namespace octet
