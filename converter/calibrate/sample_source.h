// Calibration samples from a data set, prepared as the network wants them.
#ifndef OCTET_CONVERTER_CALIBRATE_SAMPLE_SOURCE_H_
#define OCTET_CONVERTER_CALIBRATE_SAMPLE_SOURCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

struct DatasetSamples {
  SampleSource next;        ///< Owns the open data set; one sample in memory at a time.
  int64_t size = -1;        ///< Samples that `next` will give; -1 when unknown.
  std::string description;  ///< Of the data set, for people.
};

/// Opens a data set (formats/data/dataset.h) for the first input of `graph`, with the graph's
/// preprocessing. Images are resized and normalized; float samples must have the input's shape and
/// are taken as they are. Errors: those of OpenDataset; kUnsupported for an input that no image
/// fits; `next` names the sample in its errors.
Result<DatasetSamples> OpenSamples(const std::vector<std::string>& paths, const Graph& graph,
                                   int64_t max_samples);
inline Result<DatasetSamples> OpenSamples(const std::string& path, const Graph& graph,
                                          int64_t max_samples) {
  return OpenSamples(std::vector<std::string>{path}, graph, max_samples);
}

}  // namespace octet

#endif  // OCTET_CONVERTER_CALIBRATE_SAMPLE_SOURCE_H_
