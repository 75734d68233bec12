// Random TFLite networks against answers computed while they are made.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "converter/import/importer.h"
#include "tests/unit/import_oracle.h"
#include "tests/unit/tflite_generator.h"

namespace octet::testing {
namespace {

/// The graph's input: in channels last, and as the preprocessing that the importer took out of the
/// network gives it.
Values GraphInput(const Graph& graph, RefTensor x) {
  const Shape& shape = graph.tensor(graph.inputs[0]).shape;
  const std::vector<int64_t> d = x.dims;  // All different.
  if (d.size() == 4 && shape == Shape{1, d[2], d[3], d[1]}) x = RefTransposed(x, {0, 2, 3, 1});
  const Preprocessing& pre = graph.metadata.preprocessing;
  const size_t channels = static_cast<size_t>(shape.back());
  Values values = x.values;
  for (size_t i = 0; channels <= pre.mean.size() && i < values.size(); ++i) {
    const size_t c = i % channels, from = pre.order == ChannelOrder::kBgr ? channels - 1 - c : c;
    values[i] = (x.values[i - c + from] * pre.scale - pre.mean[c]) / pre.stddev[c];
  }
  return values;
}

void RunNetworks(bool quantized) {
  ImportOracle oracle(quantized ? "TFLite, quantized" : "TFLite, float", 1e-4);
  for (int64_t seed = oracle.begin(); seed < oracle.end(); ++seed) {
    TfliteGenerator generator(static_cast<uint64_t>(seed), quantized);
    Result<Graph> graph = ImportTfliteBytes(generator.Make());
    if (!oracle.Takes(seed, &graph)) continue;
    const Values input = GraphInput(*graph, {generator.input_dims(), generator.input()});
    // The limit is below one code, of 255.
    ASSERT_TRUE(oracle.IsRight(seed, *graph, input, {generator.output()}));
  }
  oracle.Report();
}

TEST(TfliteOracle, FloatNetworks) { RunNetworks(false); }
TEST(TfliteOracle, QuantizedNetworks) { RunNetworks(true); }

}  // namespace
}  // namespace octet::testing
