#include "converter/calibrate/sample_source.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "engine/src/preprocess.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/data_paths.h"
#include "formats/data/dataset.h"
#include "formats/model/input_meaning.h"
#include "kernels/dispatch.h"

namespace octet {
namespace {

struct ImageReader {
  std::unique_ptr<Dataset> dataset;
  std::unique_ptr<Preprocessor> preparer;
  Sample sample;

  Result<bool> Next(float* input) {
    OCTET_ASSIGN_OR_RETURN(const bool more, dataset->Next(&sample));
    if (!more) return false;
    const Image image{sample.image.rgb.data(), sample.image.width, sample.image.height, 3, 0};
    OCTET_RETURN_IF_ERROR(preparer->ToFloat(image, input).WithContext(sample.name));
    return true;
  }
};

/// Arrays of the source's own input, or of pixels, one after the other. Samples are spread evenly.
struct ArrayReader {
  std::vector<SourceArray> arrays;
  std::unique_ptr<Preprocessor> preparer;
  int64_t total = 0, count = 0, next = 0;
  std::vector<uint8_t> pixels;

  Result<bool> Next(float* input) {
    if (next == count) return false;
    int64_t n = next++ * total / count;
    size_t i = 0;
    for (; n >= arrays[i].size(); ++i) n -= arrays[i].size();
    SourceArray& array = arrays[i];
    if (!array.has_pixels()) {
      OCTET_RETURN_IF_ERROR(array.Read(n, input));
      return true;
    }
    OCTET_RETURN_IF_ERROR(array.ReadPixels(n, &pixels));
    OCTET_RETURN_IF_ERROR(
        preparer
            ->ToFloat({pixels.data(), array.width(), array.height(), array.channels(), 0}, input)
            .WithContext(array.Name(n)));
    return true;
  }
};

}  // namespace

SourceInput SourceInputOf(const Graph& graph) {
  const Tensor& t = graph.tensor(graph.inputs[0]);
  SourceInput s;
  s.name = t.name;
  for (int i = 0; i < t.shape.rank(); ++i) s.shape.push_back(t.shape[i]);
  s.channels_first = !graph.inputs_channels_first.empty() && graph.inputs_channels_first[0];
  s.photos = TakesPhotos(t.shape);
  s.codes = t.dtype == DType::kU8;
  s.scale = t.quantization.scale;
  s.zero_point = t.quantization.zero_point;
  return s;
}

Result<DatasetSamples> OpenSamples(const std::vector<std::string>& given, const Graph& graph,
                                   int64_t max_samples) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                         ExpandDataPaths(given, /*complete=*/false));
  const Tensor& input = graph.tensor(graph.inputs[0]);
  const SourceInput source = SourceInputOf(graph);
  OCTET_ASSIGN_OR_RETURN(const kernels::KernelTable* table, kernels::SelectTable(""));
  const auto make_preparer = [&] {
    const auto side = [&](int i) { return static_cast<int>(input.shape[i]); };
    return std::make_unique<Preprocessor>(graph.metadata.preprocessing, side(1), side(2), side(3),
                                          *table);
  };
  const auto is_array = [](const std::string& path) { return path.ends_with(".npy"); };
  if (std::all_of(paths.begin(), paths.end(), is_array)) {
    auto reader = std::make_shared<ArrayReader>();
    for (const std::string& path : paths) {
      OCTET_ASSIGN_OR_RETURN(SourceArray array, SourceArray::Open(path, source));
      reader->total += array.size();
      reader->arrays.push_back(std::move(array));
    }
    if (source.photos) reader->preparer = make_preparer();
    reader->count = max_samples > 0 ? std::min(max_samples, reader->total) : reader->total;
    return DatasetSamples{
        [reader](float* to) { return reader->Next(to); }, reader->count,
        StrCat(reader->arrays.size() == 1 ? "NumPy file" : "NumPy files", " of ", reader->total,
               reader->arrays[0].has_pixels() ? " images" : " inputs")};
  }
  if (!source.photos) {
    return Unsupported(StrCat("input '", input.name, "' has shape ", input.shape.ToString(),
                              ", which no image fits; calibrate it with .npy arrays"));
  }
  auto reader = std::make_shared<ImageReader>();
  reader->preparer = make_preparer();
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
