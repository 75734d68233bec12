// How far a quantized network's answers are from the float network's.
#ifndef OCTET_CONVERTER_TUNE_OUTPUT_METER_H_
#define OCTET_CONVERTER_TUNE_OUTPUT_METER_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "converter/calibrate/sample_source.h"
#include "converter/report/verdict.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Of all samples of a meter.
struct OutputScore {
  int64_t samples = 0, changed = 0;  ///< Samples whose largest answer is at another place.
  int64_t labelled = 0, float_correct = 0, correct = 0;  ///< Of those whose class is known.
  /// Signal to quantization noise of the answers (Energies in report/verdict.h).
  double sqnr_db = 0.0;

  /// Percent points of accuracy; of samples without labels, percent that changed.
  double drop() const {
    const double lost = static_cast<double>(labelled > 0 ? float_correct - correct : changed);
    return 100.0 * lost / static_cast<double>(labelled > 0 ? labelled : samples);
  }
};

/// Remembers what the float network answers. The answers are those in front of a softmax, sigmoid
/// and the like at the end, less each sample's mean, on which no label depends.
class OutputMeter {
 public:
  using OpenFn = std::function<Result<DatasetSamples>()>;
  /// `open` gives the samples from the first one on, inputs of `original` in float32; the meter
  /// keeps it. Errors: those of the samples and of Run; kInvalidArgument without a sample.
  static Result<OutputMeter> Create(const Graph& original, OpenFn open);

  /// Told the best score that is still possible after some of the samples.
  using GoOn = std::function<bool(const OutputScore& at_best)>;

  /// Of the samples, in their order.
  const FloatOutputs& float_outputs() const { return float_outputs_; }

  /// Runs `quantized` on all of them, several at once; the result does not depend on how many.
  /// Where `go_on` says no, that at_best is the result.
  Result<OutputScore> Score(const Graph& quantized, const GoOn& go_on = {}) const;

 private:
  /// What the float network says of a sample.
  struct Answer {
    std::vector<float> values;
    int label = -1;  ///< The true class; -1 unknown, or none of the network's.
  };

  explicit OutputMeter(OpenFn open) : open_(std::move(open)) {}
  /// What a network says of a sample.
  struct Said {
    std::vector<float> answer, output;
    int label = -1;  ///< -1 unknown.
  };
  /// Calls `use` for each sample, in their order, until it says no.
  Status Run(const Graph& graph, const std::function<Result<bool>(Said said)>& use) const;

  OpenFn open_;
  std::vector<Answer> answers_;
  FloatOutputs float_outputs_;
  OutputScore float_score_;  ///< Its own.
  double signal_ = 0.0;      ///< Of all answers.
};

}  // namespace octet

#endif  // OCTET_CONVERTER_TUNE_OUTPUT_METER_H_
