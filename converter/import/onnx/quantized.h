// Quantized ONNX graphs. The network is imported in float, its quantizations noted by tensor, and
// then quantized with exactly those, so that both ways of writing a quantized graph take one path.
#ifndef OCTET_CONVERTER_IMPORT_ONNX_QUANTIZED_H_
#define OCTET_CONVERTER_IMPORT_ONNX_QUANTIZED_H_

#include <map>
#include <string>

#include "converter/import/onnx/reader.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Writes QLinearConv and its like ("QOperator" graphs) as the float operator between
/// DequantizeLinear and QuantizeLinear.
void ExpandQuantizedOperators(OnnxModel* model);

/// The float graph with the quantizations its file gave, by tensor: activations are fused,
/// additions are not, because their operands are quantized. A graph that is quantized only in part
/// stays in float.
Result<Graph> QuantizeLikeSource(const Graph& source,
                                 const std::map<std::string, Quantization>& quantizations);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_ONNX_QUANTIZED_H_
