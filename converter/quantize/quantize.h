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
  DType input_type = DType::kF32;   ///< kF32, kU8 or kI16.
  DType output_type = DType::kF32;  ///< The same.
  /// Fail when an operator would stay in float (softmax excepted), listing them all.
  bool require_int8 = false;
  std::vector<std::string> keep{};   ///< Names of nodes that stay in float32.
  std::vector<std::string> widen{};  ///< Of kInt8, names of nodes that compute as in kInt16x8.
};

/// Whether operators compute on codes already, as in quantized sources; moving codes is not
/// computing.
bool IsQuantized(const Graph& graph);

/// Whether an integer layer can give its sums as floats, unrounded; a residual would have to be
/// float as well.
bool CanGiveFloats(const Node& node);

/// Of a quantized graph int8, or int16x8 where it computes 16 bits; of others what they say.
Precision OwnPrecision(const Graph& graph);

/// Quantizes.
///  - fp16: weights to half; everything else stays float32.
///  - bf16: as bfloat16.h says.
///  - hybrid: int8 weights, symmetric per output channel.
///  - int8: uint8 activations, one quantization per tensor from its range in `table`; operators
///  that
///    only move values share one, unless a concatenation would cost another reader more than a bit.
///    A source's own int8 weights are kept bit for bit. int8 weights; int32 bias at scale x * w[c]
///    with the zero-point correction -z_x * sum(w) in it. Operators without an integer kernel (Mul,
///    Softmax, sums of more than kMaxInt8Reduction products) stay in float between conversions. The
///    last convolution or dense layer before them gives floats itself.
///  - int16x8: the same with int16 activations, symmetric, and int64 biases at scale x * w[c].
///  - A uint8 input is quantized by its range in the table, a uint8 output likewise, or 1/256
///  behind a softmax; int16 alike, 1/32768.
/// A graph that is quantized already only gets the input and output types; what it computes in
/// float stays so. `table` is needed for kInt8, kInt16x8 and for most quantized inputs and outputs;
/// may be null otherwise. Errors: kInvalidArgument (no table, missing or non-finite range, a
/// constant that is not finite: names the tensor; a weight that does not fit float16 or bfloat16),
/// kUnsupported (require_int8: lists the operators; a quantized graph to another precision).
Result<Graph> QuantizeGraph(const Graph& float_graph, const QuantizeOptions& options,
                            const CalibrationTable* table);

/// Scale and zero point for a range, widened to contain 0: scale = (max-min)/255, zero point
/// rounded and in [0, 255]. int16: scale = max|range| / 32767.
Quantization ChooseQuantization(const Range& range, DType type = DType::kU8);

}  // namespace octet

#endif  // OCTET_CONVERTER_QUANTIZE_QUANTIZE_H_
