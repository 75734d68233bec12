// Graph rewrites between import and quantization. Each keeps the function the network computes.
#ifndef OCTET_CONVERTER_PASSES_PASSES_H_
#define OCTET_CONVERTER_PASSES_PASSES_H_

#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Folds kScaleShift into the convolution or dense layer before it when that has no other consumer
/// (in double precision).
Status FoldScaleShift(Graph* graph);

/// Moves what puts an image's channels in the opposite order through a kScaleShift behind it into
/// the weights of the convolution behind that, where nothing else reads it. Changes no bit.
Status FoldChannelReversal(Graph* graph);

/// Moves ReLU/ReLU6 into the Conv2d, Dense, Add or ScaleShift before it.
Status FuseActivation(Graph* graph);

/// The same, and moves a residual Add (with its activation) into the
/// convolution or dense layer that computes one of its operands last, when that has no activation
/// of its own.
Status FuseResidualAndActivation(Graph* graph);

/// Explicit Pad (zero) nodes into the convolution after them, or into a max pool where no value is
/// below 0; Reshape of Reshape; AveragePool over the whole image to GlobalAveragePool; grouped
/// convolutions of layout kPlain (ChooseLayout) to one group with zeros between (kUnsupported when
/// that is too large); identity nodes away; unused tensors and nodes away; execution order. Sets
/// shapes first.
Status Legalize(Graph* graph);

/// Drops nodes and tensors that no output needs and puts the nodes in execution order. Graph inputs
/// stay. Errors: kInvalidArgument when nodes depend on each other in a circle.
Status RemoveUnused(Graph* graph);

/// All of it: CheckGraph, Legalize, FoldChannelReversal, FoldScaleShift, FuseActivation,
/// FuseQuantized (integers.h), FuseResidualAndActivation, Legalize again, then InferShapes and
/// CheckGraph: folding finite numbers can overflow.
Status Optimize(Graph* graph);

}  // namespace octet

#endif  // OCTET_CONVERTER_PASSES_PASSES_H_
