// Makes a graph that fails as small and plain as it can while it still fails, and prints it as
// code.
#ifndef OCTET_TESTS_FUZZ_GRAPH_SHRINKER_H_
#define OCTET_TESTS_FUZZ_GRAPH_SHRINKER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "formats/model/graph.h"
#include "tests/fuzz/graph_oracle.h"

namespace octet::testing {

/// A graph and how to run it.
struct GraphCase {
  Graph graph;
  uint64_t seed = 0;  ///< Of the inputs.
  std::vector<RunMode> modes;
};

/// Whether a case shows what is looked for. Only called for graphs that ValidateGraph accepts.
using Fails = std::function<bool(const GraphCase&)>;

/// Tries simpler cases, each of which differs in one respect (an output or node less, smaller
/// images, fewer channels, no padding, plain constants, one image, one thread, ...), and goes on
/// from the first that still fails, until none does or `fails` was called `most_calls` times.
/// `failing` fails.
GraphCase Shrink(GraphCase failing, const Fails& fails, int most_calls = 20'000);

/// C++ that builds the graph as `g` and checks it in its modes; for a test that includes
/// tests/fuzz/graph_code.h. `comment` is its first line.
std::string ToCode(const GraphCase& c, const std::string& comment);

}  // namespace octet::testing

#endif  // OCTET_TESTS_FUZZ_GRAPH_SHRINKER_H_
