// Activation ranges measured on representative data. Their files are in table_file.h.
#ifndef OCTET_CONVERTER_CALIBRATE_CALIBRATION_H_
#define OCTET_CONVERTER_CALIBRATE_CALIBRATION_H_

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "converter/calibrate/histogram.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Ranges by tensor name.
struct CalibrationTable {
  std::string method;  ///< One of kCalibrationMethodNames, in tables that Calibrate made.
  int samples = 0;
  std::map<std::string, Range> ranges;
  /// Of two halves, every other sample, how many times as far the ranges of one reach as those of
  /// the other: the input's, or the median of all tensors. 1 of a table that was read.
  double unevenness = 1.0;
};

enum class CalibrationMethod { kMinMax, kPercentile };
/// By CalibrationMethod.
inline constexpr std::array<std::string_view, 2> kCalibrationMethodNames{"minmax", "percentile"};

struct CalibrationOptions {
  CalibrationMethod method = CalibrationMethod::kMinMax;
  double percentile = 99.999;
  int max_samples = 100;
  /// Place of the first sample among those of which these are a shard: it decides which half a
  /// sample is in.
  int first_sample = 0;
};

/// What samples showed of one activation.
struct ActivationStatistics {
  /// Of every other sample. They contain 0 from the start, as every quantized range must.
  std::array<Range, 2> halves;
  std::optional<Histogram> histogram;  ///< For kPercentile.

  /// Adds those of other samples. Errors: those of Histogram::Merge.
  Status Merge(const ActivationStatistics& other);
};

/// What samples showed, of every activation: the same whatever order and shards they came in.
struct CalibrationStatistics {
  int samples = 0;
  std::map<std::string, ActivationStatistics> tensors;  ///< By name; none without samples.

  /// Adds those of other samples of the same network by the same method. Errors: kInvalidArgument
  /// for other tensors, and those of Histogram::Merge.
  Status Merge(const CalibrationStatistics& other);
};

/// Gives the next preprocessed float input (NHWC, one image) or false at the end. Samples are
/// pulled one at a time, so memory stays bounded.
using SampleSource = std::function<Result<bool>(float* input)>;

/// Runs the optimized float graph over the samples, of which there may be none. Errors:
/// kInvalidArgument for options out of their limits and an activation that is not finite;
/// kUnsupported for more than one input; those of `next`.
Result<CalibrationStatistics> CollectStatistics(
    const Graph& float_graph, const SampleSource& next, const CalibrationOptions& options,
    const std::function<void(int done, int total)>& progress);

/// The ranges that the method finds. Errors: kInvalidArgument when there was no sample at all.
Result<CalibrationTable> TableOf(const Graph& float_graph, const CalibrationStatistics& statistics,
                                 const CalibrationOptions& options);

/// Both.
Result<CalibrationTable> Calibrate(const Graph& float_graph, const SampleSource& next,
                                   const CalibrationOptions& options,
                                   const std::function<void(int done, int total)>& progress);

}  // namespace octet

#endif  // OCTET_CONVERTER_CALIBRATE_CALIBRATION_H_
