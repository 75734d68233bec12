// From an optimized float32 graph to one that computes in bfloat16.
#ifndef OCTET_CONVERTER_QUANTIZE_BFLOAT16_H_
#define OCTET_CONVERTER_QUANTIZE_BFLOAT16_H_

#include <set>
#include <string>

#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Activations and weights of bfloat16, rounded to nearest even; biases, inputs and outputs stay
/// float32. In float32 are the nodes named in `kept`, what scales a float32 input at the network's
/// head, so that it is rounded once, and functions of rows (softmax) at its end; convolutions,
/// dense layers and global average pools in front of such give their sums unrounded. Where nodes
/// of both types meet, tensors are converted. `g` has float32 activations, and plain float32
/// weights. Errors: kInvalidArgument (a weight that rounds to infinity).
Result<Graph> ToBfloat16(Graph g, bool float_input, const std::set<std::string>& kept);

}  // namespace octet

#endif  // OCTET_CONVERTER_QUANTIZE_BFLOAT16_H_
