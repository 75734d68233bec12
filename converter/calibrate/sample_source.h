// Calibration samples from a data set, prepared as the network wants them.
#ifndef OCTET_CONVERTER_CALIBRATE_SAMPLE_SOURCE_H_
#define OCTET_CONVERTER_CALIBRATE_SAMPLE_SOURCE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/calibrate/sample_values.h"
#include "formats/base/status.h"
#include "formats/data/shard.h"
#include "formats/data/source_array.h"
#include "formats/model/graph.h"

namespace octet {

/// The first input of a graph, imported or optimized.
SourceInput SourceInputOf(const Graph& graph);

struct DatasetSamples {
  SampleSource next;           ///< Owns the open data set; a few samples in memory for each core.
  std::function<int()> label;  ///< Of the sample that `next` gave last; -1 unknown.
  std::function<std::string()> name;  ///< Of the same: its file, or "path[index]".
  int64_t size = -1;                  ///< Samples that `next` will give; -1 when unknown.
  std::string description;            ///< Of the data set, for people.
  int64_t whole_size = -1;            ///< Samples of all shards of them; -1 when unknown.
};

/// One of them in memory.
struct NamedSample {
  std::string name;
  int label = -1;
  SampleValues input;
};

/// Gives them one after the other; they must outlive it.
DatasetSamples SamplesOf(std::span<const NamedSample> samples);

/// All that `samples` still gives, as inputs of `graph`. Errors: those of `next`; kOutOfMemory for
/// more than 2 GiB.
Result<std::vector<NamedSample>> ReadSamples(
    const DatasetSamples& samples, const Graph& graph,
    const std::function<void(int64_t done, int64_t total)>& progress);

/// Opens .npy files of what the source was fed (formats/data/source_array.h), or a data set
/// (formats/data/dataset.h) of photos, for the first input of `graph`. Pixels go through the
/// graph's preprocessing; with `fast_decode` JPEGs are decoded smaller (WantedBy). Errors:
/// those of SourceArray and OpenDataset; kUnsupported for an input that no image fits; `next` names
/// the sample in its errors. With `labels` those of photos are read and compared with the graph's,
/// which may fail (LabelMatcher); arrays have none. Of those that would be given, only `shard`.
Result<DatasetSamples> OpenSamples(const std::vector<std::string>& paths, const Graph& graph,
                                   int64_t max_samples, bool fast_decode = false,
                                   bool labels = false, const Shard& shard = {});
inline Result<DatasetSamples> OpenSamples(const std::string& path, const Graph& graph,
                                          int64_t max_samples) {
  return OpenSamples(std::vector<std::string>{path}, graph, max_samples);
}

}  // namespace octet

#endif  // OCTET_CONVERTER_CALIBRATE_SAMPLE_SOURCE_H_
