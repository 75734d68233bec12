// Two sources: arrays, read one sample after the other, and data sets of photos, which are decoded
// and prepared on all cores. The SampleSource that is given out owns whichever it is.
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
#include "formats/data/read_ahead.h"
#include "formats/model/input_meaning.h"
#include "kernels/dispatch.h"

namespace octet {
namespace {

/// Photos, decoded and prepared on all cores.
struct ImageReader {
  struct Photo : Sample {
    std::vector<float> input;
  };

  std::unique_ptr<Dataset> dataset;
  Decoding decoding;
  Wanted wanted;
  size_t elements = 0;
  int label = -1;    ///< Of the last one.
  std::string name;  ///< Likewise.
  ReadAhead<Photo> photos{[this](Photo* photo) { return dataset->Read(photo); },
                          [this](Photo* photo, int worker) { return Prepare(photo, worker); }};
  std::vector<std::unique_ptr<Preprocessor>> preparers;  ///< One for each worker.

  Status Prepare(Photo* photo, int worker) {
    OCTET_RETURN_IF_ERROR(DecodeSample(decoding, wanted, photo));
    const DecodedImage& decoded = photo->image;
    const Image image{decoded.rgb.data(), decoded.width, decoded.height};
    photo->input.resize(elements);
    OCTET_RETURN_IF_ERROR(preparers[static_cast<size_t>(worker)]
                              ->ToFloat(image, photo->input.data())
                              .WithContext(photo->name));
    return OkStatus();
  }

  Result<bool> Next(float* input) {
    Photo photo;
    OCTET_ASSIGN_OR_RETURN(const bool more, photos.Next(&photo));
    if (more) std::copy(photo.input.begin(), photo.input.end(), input);
    label = photo.label;
    name = std::move(photo.name);
    return more;
  }
};

/// Arrays of the source's own input, or of pixels, one after the other. Samples are spread evenly.
struct ArrayReader {
  std::vector<SourceArray> arrays;
  std::unique_ptr<Preprocessor> preparer;
  int64_t total = 0, count = 0;
  int64_t next = 0, end = 0;  ///< Of `count`.
  std::vector<uint8_t> pixels;
  std::string name;  ///< Of the last one.

  Result<bool> Next(float* input) {
    if (next == end) return false;
    int64_t n = next++ * total / count;
    size_t i = 0;
    for (; n >= arrays[i].size(); ++i) n -= arrays[i].size();
    SourceArray& array = arrays[i];
    name = array.Name(n);
    if (!array.has_pixels()) {
      OCTET_RETURN_IF_ERROR(array.Read(n, input));
      return true;
    }
    OCTET_RETURN_IF_ERROR(array.ReadPixels(n, &pixels));
    OCTET_RETURN_IF_ERROR(preparer
                              ->ToFloat({pixels.data(), array.width(), array.height(),
                                         FormatOfChannels(array.channels())},
                                        input)
                              .WithContext(name));
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
  s.int16 = t.dtype == DType::kI16;
  s.scale = t.quantization.scale;
  s.zero_point = t.quantization.zero_point;
  s.by_channel = ChannelsOfInput(graph);
  return s;
}

DatasetSamples SamplesOf(std::span<const NamedSample> samples) {
  const auto at = std::make_shared<size_t>(0);
  DatasetSamples s;
  s.size = std::ssize(samples);
  s.next = [samples, at](float* to) -> Result<bool> {
    if (*at == samples.size()) return false;
    samples[*at].input.CopyTo(to);
    ++*at;
    return true;
  };
  s.label = [samples, at] { return samples[*at - 1].label; };
  s.name = [samples, at] { return samples[*at - 1].name; };
  return s;
}

Result<std::vector<NamedSample>> ReadSamples(
    const DatasetSamples& samples, const Graph& graph,
    const std::function<void(int64_t done, int64_t total)>& progress) {
  constexpr int64_t kMostBytes = int64_t{2} << 30;
  const int64_t elements = graph.tensor(graph.inputs[0]).shape.num_elements(),
                most = kMostBytes / (elements * static_cast<int64_t>(sizeof(float)));
  const auto channels = static_cast<size_t>(graph.tensor(graph.inputs[0]).shape.back());
  std::vector<NamedSample> read;
  std::vector<float> values(static_cast<size_t>(elements));
  for (;;) {
    OCTET_ASSIGN_OR_RETURN(const bool more, samples.next(values.data()));
    if (!more) return read;
    if (static_cast<int64_t>(read.size()) == most)
      return OutOfMemory(StrCat("more than ", most, " samples take more than 2 GiB"));
    NamedSample sample;
    sample.input = {values, channels};
    if (samples.label) sample.label = samples.label();
    if (samples.name) sample.name = samples.name();
    read.push_back(std::move(sample));
    if (progress) progress(static_cast<int64_t>(read.size()), samples.size);
  }
}

Result<DatasetSamples> OpenSamples(const std::vector<std::string>& given, const Graph& graph,
                                   int64_t max_samples, bool fast_decode, bool labels,
                                   const Shard& shard) {
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
    reader->next = shard.Begin(reader->count);
    reader->end = shard.End(reader->count);
    return DatasetSamples{
        [reader](float* to) { return reader->Next(to); },
        {},
        [reader] { return reader->name; },
        reader->end - reader->next,
        StrCat(reader->arrays.size() == 1 ? "NumPy file" : "NumPy files", " of ", reader->total,
               reader->arrays[0].has_pixels() ? " images" : " inputs"),
        reader->count};
  }
  if (!source.photos) {
    return Unsupported(StrCat("input '", input.name, "' has shape ", input.shape.ToString(),
                              ", which no image fits; calibrate it with .npy arrays"));
  }
  auto reader = std::make_shared<ImageReader>();
  const Preprocessing& preprocessing = graph.metadata.preprocessing;
  reader->decoding = preprocessing.decoding;
  const auto side = [&](int i) { return static_cast<int>(input.shape[i]); };
  reader->wanted = WantedBy(preprocessing, side(1), side(2), side(3), fast_decode);
  reader->elements = static_cast<size_t>(input.shape.num_elements());
  for (int i = 0; i < ReadAheadWorkers(); ++i) reader->preparers.push_back(make_preparer());
  // Ranges need no labels, so that folders of classes that the model does not know are welcome.
  DatasetOptions options;
  options.need_labels = labels;
  if (labels) options.labels = graph.metadata.labels;
  options.max_samples = max_samples;
  options.sample_shard = shard;
  OCTET_ASSIGN_OR_RETURN(reader->dataset, OpenDataset(paths, options));
  DatasetSamples samples;
  samples.size = reader->dataset->size();
  samples.whole_size = reader->dataset->whole_size();
  samples.description = StrCat(reader->dataset->description(), fast_decode ? kFastDecodeText : "");
  samples.next = [reader](float* to) { return reader->Next(to); };
  samples.label = [reader] { return reader->label; };
  samples.name = [reader] { return reader->name; };
  return samples;
}

}  // namespace octet
