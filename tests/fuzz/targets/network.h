// What becomes of a network in a program: checked, converted, written, read and run.
#ifndef OCTET_TESTS_FUZZ_TARGETS_NETWORK_H_
#define OCTET_TESTS_FUZZ_TARGETS_NETWORK_H_

#include <cstdint>
#include <memory>

#include "engine/include/octet/octet.h"
#include "formats/model/graph.h"

namespace octet::testing {

/// Whether all of the graph is so small that it can be run many times a second.
bool IsSmall(const Graph& graph);

/// Creates a session as `choice` says and runs it on a full batch. A model may be refused; a run
/// may not fail. True when it ran.
bool RunModel(const std::shared_ptr<const Model>& model, uint32_t choice);

/// What octet_convert does with an imported graph: Optimize, QuantizeGraph (with made-up ranges),
/// SerializeOctet, then RunModel. Every step may refuse it, but what one gives the next must take.
/// True when it ran.
bool ConvertAndRun(Graph graph, uint32_t choice);

}  // namespace octet::testing

#endif  // OCTET_TESTS_FUZZ_TARGETS_NETWORK_H_
