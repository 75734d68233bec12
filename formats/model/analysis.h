// What is known of a graph's values without running it.
#ifndef OCTET_FORMATS_MODEL_ANALYSIS_H_
#define OCTET_FORMATS_MODEL_ANALYSIS_H_

#include <vector>

#include "formats/model/graph.h"

namespace octet {

/// By tensor: whether it surely holds no number below 0. One pass over the nodes, which must be in
/// execution order; only their own operators and those before them count.
std::vector<bool> FindNonNegative(const Graph& graph);

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_ANALYSIS_H_
