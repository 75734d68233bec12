// What is known of a graph's values without running it, and what must hold of them.
#ifndef OCTET_FORMATS_MODEL_ANALYSIS_H_
#define OCTET_FORMATS_MODEL_ANALYSIS_H_

#include <cstdint>
#include <vector>

#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// By tensor: whether it surely holds no number below 0. One pass over the nodes, which must be in
/// execution order; only their own operators and those before them count.
std::vector<bool> FindNonNegative(const Graph& graph);

/// ValidateGraph, and every float constant must be finite: engines disagree about what a NaN weight
/// does, and a ReLU can hide it. Errors: kInvalidArgument "tensor 'x': element 5: found nan, ...".
/// Importers end with it; ImportModel and Optimize ask again, for the importer that did not.
Status CheckGraph(const Graph& graph);

/// Elements of weights, biases and the like; without what only quantization adds, so that all
/// precisions of one network have the same number.
int64_t CountParameters(const Graph& graph);

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_ANALYSIS_H_
