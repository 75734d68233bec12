// Which branch of a projection block carries the sum.
#ifndef OCTET_CONVERTER_TUNE_BRANCHES_H_
#define OCTET_CONVERTER_TUNE_BRANCHES_H_

#include <string>
#include <vector>

#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Blocks whose two branches end in a layer each: one gives its result to the other, which adds it
/// to its own sums. That result is rounded and the sums are not, so that the branch of the smaller
/// range should be the one that gives. A block is known by the name of the tensor that it makes.
std::vector<std::string> ProjectionBlocks(const Graph& graph);

/// The tensor that one branch of `block` gives to the other.
const std::string& RoundedBranch(const Graph& graph, const std::string& block);

/// The layer that makes that tensor.
const std::string& GivingLayer(const Graph& graph, const std::string& block);

/// Lets the other branch of each of `blocks` carry the sum. Up to the order of two floats' addition
/// the network's function stays.
Status SwapBranches(const std::vector<std::string>& blocks, Graph* graph);

}  // namespace octet

#endif  // OCTET_CONVERTER_TUNE_BRANCHES_H_
