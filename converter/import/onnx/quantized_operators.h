// Operators of quantized ONNX graphs that are several operators in one.
#ifndef OCTET_CONVERTER_IMPORT_ONNX_QUANTIZED_OPERATORS_H_
#define OCTET_CONVERTER_IMPORT_ONNX_QUANTIZED_OPERATORS_H_

#include <string>
#include <utility>
#include <vector>

#include "converter/import/onnx/reader.h"
#include "formats/base/status.h"

namespace octet {

/// Writes what computes on codes as what it means, so that both forms of quantized graphs take one
/// path:
///  - QLinearConv and its like become the float operator between DequantizeLinear and
///  QuantizeLinear;
///  - ConvInteger and MatMulInteger behind DynamicQuantizeLinear, with the product by both scales
///  behind
///    them (what quantize_dynamic writes), become Conv and MatMul of the dequantized weights.
///    `*dynamic` is then set: the source rounds each activation to 8 bits on the fly, which octet's
///    hybrid does, too.
/// What does not have these forms is left, to be refused by name. Errors: kCorrupt, kUnsupported
/// name node, attribute and what was found.
Status ExpandQuantizedOperators(OnnxModel* model, bool* dynamic);

/// The operators that this takes apart, with what each stands for.
std::vector<std::pair<std::string, std::string>> QuantizedOperators();

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_ONNX_QUANTIZED_OPERATORS_H_
