// Quantizes as well as the samples show that it can be done.
#ifndef OCTET_CONVERTER_TUNE_TUNE_H_
#define OCTET_CONVERTER_TUNE_TUNE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/calibrate/sample_set.h"
#include "converter/quantize/quantize.h"
#include "converter/tune/output_meter.h"
#include "converter/tune/pixels.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// What is tried, in this order.
enum class TuneStep : uint8_t {
  kBranches,  ///< Of a projection block, the branch of the smaller range is rounded.
  kEqualize,  ///< equalize.h
  kPixels,    ///< pixels.h
  kRounding,  ///< Of the second order: second_order.h
};
inline constexpr std::array<std::string_view, 4> kTuneStepNames{"branches", "equalize", "pixels",
                                                                "rounding"};

/// A step that the network has a use for.
struct TuneResult {
  TuneStep step = TuneStep::kBranches;
  double before_db = 0.0, after_db = 0.0;  ///< OutputScore::sqnr_db without it, and with it.
  bool kept = false;
};

struct Tuned {
  Graph graph;                       ///< Quantized.
  Graph original;                    ///< The float network that it was made from.
  CalibrationTable table;            ///< Of `original`.
  std::optional<PixelGraph> pixels;  ///< What `graph` was made of in truth.
  double sqnr_db = 0.0;
  std::vector<TuneResult> steps;
};

struct TuneOptions {
  std::vector<TuneStep> steps{TuneStep::kBranches, TuneStep::kEqualize, TuneStep::kPixels,
                              TuneStep::kRounding};
  CalibrationOptions calibration;  ///< As for the table.
  std::function<void(double share)> progress;
};

/// A step is kept where it raises the signal to noise ratio of the answers by at least this much.
inline constexpr double kWorthwhileDb = 0.2;

/// Quantizes `graph` by `table`, which was measured on `samples`, to kHybrid, kInt8 or the like,
/// once more with each step on top of those that were kept. The result depends on nothing but the
/// arguments.
/// `meter` is that of `graph` on the held samples. Errors: those of QuantizeGraph and Calibrate.
Result<Tuned> Tune(const Graph& graph, const QuantizeOptions& quantize,
                   const CalibrationTable& table, SampleSet* samples, const OutputMeter& meter,
                   const TuneOptions& options);

/// `tuned` with other layers in float or int16: with its weights in those that are of int8 weights.
Result<Graph> Requantize(const Tuned& tuned, const QuantizeOptions& quantize);

}  // namespace octet

#endif  // OCTET_CONVERTER_TUNE_TUNE_H_
