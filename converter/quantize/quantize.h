// From an optimized float32 graph to the graph of one precision.
#ifndef OCTET_CONVERTER_QUANTIZE_QUANTIZE_H_
#define OCTET_CONVERTER_QUANTIZE_QUANTIZE_H_

#include <string>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

struct QuantizeOptions {
  Precision precision = Precision::kFp32;
  DType input_type = DType::kF32;   ///< kF32 or kU8.
  DType output_type = DType::kF32;  ///< kF32 or kU8.
  bool require_int8 = false;        ///< Fail when an operator would stay in float (softmax excepted), listing them all.
};

/// Quantizes. `table` is needed for kInt8 and for u8 inputs or outputs; null otherwise. Errors: kInvalidArgument (no table, missing or
/// non-finite range: names the tensor), kUnsupported (require_int8: lists the operators).
Result<Graph> QuantizeGraph(const Graph& float_graph, const QuantizeOptions& options, const CalibrationTable* table);

/// Scale and zero point for a range, widened to contain 0: scale = (max-min)/255, zero point rounded and in [0, 255].
Quantization ChooseQuantization(const Range& range);

}  // namespace octet

#endif  // OCTET_CONVERTER_QUANTIZE_QUANTIZE_H_
