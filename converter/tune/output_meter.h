// How far a quantized network's answers are from the float network's.
#ifndef OCTET_CONVERTER_TUNE_OUTPUT_METER_H_
#define OCTET_CONVERTER_TUNE_OUTPUT_METER_H_

#include <string>
#include <utility>
#include <vector>

#include "converter/calibrate/sample_source.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Remembers what the float network answers. The answers are those in front of a softmax, sigmoid
/// and the like at the end, less each sample's mean, on which no label depends.
class OutputMeter {
 public:
  /// `samples` are inputs of `original` in float32; they must outlive the meter. Errors: those of
  /// Run.
  static Result<OutputMeter> Create(const Graph& original, const std::vector<NamedSample>& samples);

  /// Signal to quantization noise of `quantized` in dB: 10 log10 of the sum of squares of the
  /// float network's answers over that of the differences; infinite where there are none.
  Result<double> Sqnr(const Graph& quantized) const;

 private:
  explicit OutputMeter(const std::vector<NamedSample>& samples) : samples_(&samples) {}
  Result<std::vector<std::vector<float>>> Answers(const Graph& graph) const;

  const std::vector<NamedSample>* samples_;
  std::vector<std::vector<float>> answers_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_TUNE_OUTPUT_METER_H_
