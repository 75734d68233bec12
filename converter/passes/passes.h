// Graph rewrites between import and quantization. Each keeps the function the network computes.
#ifndef OCTET_CONVERTER_PASSES_PASSES_H_
#define OCTET_CONVERTER_PASSES_PASSES_H_

#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Folds kScaleShift into the convolution or dense layer before it when that has no other consumer (in double precision).
Status FoldScaleShift(Graph* graph);

/// Moves ReLU/ReLU6 into the Conv2d, Dense, Add or ScaleShift before it, and a residual Add (with its activation) into the
/// convolution that computes one of its operands last. A convolution followed by an Add has its own activation applied before
/// the addition only when there is none, as ResNet v1 and v2 have it.
Status FuseResidualAndActivation(Graph* graph);

/// Explicit Pad (zero) nodes into the convolution after them; Reshape of Reshape; global AveragePool or mean to
/// GlobalAveragePool; identity nodes away; unused tensors and nodes away; execution order.
Status Legalize(Graph* graph);

/// Drops tensors that nothing refers to any more and renumbers the rest.
void RemoveUnusedTensors(Graph* graph);

/// All of the above in order, then InferShapes and ValidateGraph.
Status Optimize(Graph* graph);

}  // namespace octet

#endif  // OCTET_CONVERTER_PASSES_PASSES_H_
