#include "converter/calibrate/sample_source.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "converter/calibrate/source_array.h"
#include "engine/src/preprocess.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset.h"

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

/// Arrays of the source's own input. Samples are spread evenly.
struct ArrayReader {
  SourceArray array;
  int64_t count, next = 0;

  Result<bool> Next(float* input) {
    if (next == count) return false;
    OCTET_RETURN_IF_ERROR(array.Read(next++ * array.size() / count, input));
    return true;
  }
};

}  // namespace

Result<DatasetSamples> OpenSamples(const std::vector<std::string>& paths, const Graph& graph,
                                   int64_t max_samples) {
  const Tensor& input = graph.tensor(graph.inputs[0]);
  if (paths.size() == 1 && paths[0].ends_with(".npy")) {
    OCTET_ASSIGN_OR_RETURN(SourceArray array, SourceArray::Open(paths[0], SourceInput::Of(graph)));
    if (!array.has_pixels()) {
      const int64_t count = max_samples > 0 ? std::min(max_samples, array.size()) : array.size();
      auto reader = std::make_shared<ArrayReader>(ArrayReader{std::move(array), count});
      return DatasetSamples{[reader](float* to) { return reader->Next(to); }, count,
                            StrCat("NumPy file of ", count, " prepared inputs")};
    }
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
  OCTET_ASSIGN_OR_RETURN(reader->dataset, OpenDataset(paths, options));
  DatasetSamples samples;
  samples.size = reader->dataset->size();
  samples.description = reader->dataset->description();
  samples.next = [reader](float* to) { return reader->Next(to); };
  return samples;
}

}  // namespace octet
