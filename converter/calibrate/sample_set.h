// The samples of a conversion, for steps that go over them several times.
#ifndef OCTET_CONVERTER_CALIBRATE_SAMPLE_SET_H_
#define OCTET_CONVERTER_CALIBRATE_SAMPLE_SET_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/calibrate/sample_source.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Opens them again for each pass, unless all of them were few enough to stay in memory.
class SampleSet {
 public:
  using OpenFn = std::function<Result<DatasetSamples>()>;
  /// Of `shape` each.
  SampleSet(OpenFn open, const Shape& shape)
      : open_(std::move(open)),
        elements_(static_cast<size_t>(shape.num_elements())),
        channels_(static_cast<size_t>(shape.back())) {}

  /// From the first one on. Its functions must not outlive the set.
  Result<DatasetSamples> Open();
  /// Those in memory alone.
  Result<DatasetSamples> OpenHeld() const;

  /// After the first pass: those in memory, spread evenly over all, kMostHeldBytes at most.
  const std::vector<NamedSample>& held() const { return held_; }
  bool holds_all() const { return passed_ && every_ == 1; }

 private:
  OpenFn open_;
  size_t elements_, channels_;
  bool passed_ = false;  ///< Once to the end.
  int64_t seen_ = 0, every_ = 1;
  size_t bytes_ = 0;  ///< Of those held.
  std::vector<NamedSample> held_;
  std::string description_;
};
/// 875 samples of 224x224x3 that are made of pixels, 222 others.
inline constexpr size_t kMostHeldBytes = size_t{128} << 20;

}  // namespace octet

#endif  // OCTET_CONVERTER_CALIBRATE_SAMPLE_SET_H_
