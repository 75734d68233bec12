// From operators between DequantizeLinear and QuantizeLinear to operators on integers.
#ifndef OCTET_CONVERTER_PASSES_INTEGERS_H_
#define OCTET_CONVERTER_PASSES_INTEGERS_H_

#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// A quantized source says what it computes with kDequantize and kQuantize around float operators;
/// this finds those that have integer kernels and lets them read and write the codes. Nothing is
/// assumed about ranges and nothing moves over a value that others read as floats:
///  - layers whose weights are int8 codes (Graph's "hybrid" form) and whose input is dequantized
///  read
///    codes; they give codes where every reader quantizes alike, else floats;
///  - sums, products, means and per-channel scales become integer where their result is only
///    quantized;
///  - what only moves or clamps values does so on codes, rescaled in front where scales differ;
///  - a quantization of what was just dequantized is a rescaling, or nothing.
/// What is left stays in float between its conversions. Networks that are rounded as TFLite's are
/// left alone: their importer gives integers where the file has them, and floats are rounded
/// otherwise there. Results differ from the float evaluation by ties in rounding only, at most one
/// step. Time linear in nodes and edges.
Status FuseQuantized(Graph* graph);

}  // namespace octet

#endif  // OCTET_CONVERTER_PASSES_INTEGERS_H_
