// Activation ranges measured on representative data.
#ifndef OCTET_CONVERTER_CALIBRATE_CALIBRATION_H_
#define OCTET_CONVERTER_CALIBRATE_CALIBRATION_H_

#include <array>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

struct Range {
  float min = 0.0f, max = 0.0f;
};

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
};

/// Gives the next preprocessed float input (NHWC, one image) or false at the end. Samples are
/// pulled one at a time, so memory stays bounded.
using SampleSource = std::function<Result<bool>(float* input)>;

/// Runs the optimized float graph over the samples and records every activation's range. Errors:
/// kInvalidArgument when the source gives no sample at all, or an activation is not finite.
Result<CalibrationTable> Calibrate(const Graph& float_graph, const SampleSource& next,
                                   const CalibrationOptions& options,
                                   const std::function<void(int done, int total)>& progress);

Result<CalibrationTable> ReadCalibrationTable(const std::string& path);
Status WriteCalibrationTable(const std::string& path, const CalibrationTable& table);

}  // namespace octet

#endif  // OCTET_CONVERTER_CALIBRATE_CALIBRATION_H_
