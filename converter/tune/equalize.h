// Brings the channels of a network to one size, so that one scale a tensor serves them all.
#ifndef OCTET_CONVERTER_TUNE_EQUALIZE_H_
#define OCTET_CONVERTER_TUNE_EQUALIZE_H_

#include <cstdint>
#include <vector>

#include "converter/calibrate/sample_source.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// By tensor, by channel (the last dimension): the largest magnitude that the samples show; empty
/// for constants.
using ChannelMagnitudes = std::vector<std::vector<float>>;

/// Runs `graph`, of floats, over `samples` (its input, float32). Errors: those of Run.
Result<ChannelMagnitudes> MeasureChannels(const Graph& graph,
                                          const std::vector<NamedSample>& samples);

/// Scales channels of the tensors between layers by powers of two, and the weights on either side
/// the other way: the outputs keep every bit. The channels that additions, pools and the like tie
/// together, such as those of a residual stream, are scaled as one; those that reach an input, an
/// output or a function that scaling would change (ReLU6, a product, a sigmoid) stay. The factor
/// makes a channel's activations and the weights that read it equally large, which is the best for
/// both as the error of each goes with the other's size: cross-layer equalization (M. Nagel et al.
/// 2019), over groups. Factors within 2 of the tensor's usual one are left at 1, so that healthy
/// networks stay as they are. `*channels` (may be null) gets how many were scaled; 0 leaves the
/// graph unchanged.
Result<Graph> Equalize(const Graph& graph, const ChannelMagnitudes& magnitudes, int64_t* channels);

}  // namespace octet

#endif  // OCTET_CONVERTER_TUNE_EQUALIZE_H_
