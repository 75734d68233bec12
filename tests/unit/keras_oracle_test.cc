// Random Keras models against the answers that their generator computed.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/import_oracle.h"
#include "tests/unit/keras_generator.h"

namespace octet::testing {
namespace {

/// What the network is given: pixels through the preprocessing that the importer took from it.
Values Prepared(const RefTensor& image, const Preprocessing& pre) {
  Values x = image.values;
  const size_t channels = static_cast<size_t>(image.dims.back());
  if (image.dims.size() != 4 || channels > 4) return x;
  if (pre.order == ChannelOrder::kBgr) {
    for (size_t i = 0; i < x.size(); i += channels) std::swap(x[i], x[i + channels - 1]);
  }
  for (size_t i = 0; i < x.size(); ++i)
    x[i] =
        (x[i] * static_cast<double>(pre.scale) - pre.mean[i % channels]) / pre.stddev[i % channels];
  return x;
}

void RunNetworks(bool keras3) {
  ImportOracle oracle(keras3 ? "Keras 3" : "Keras 2", 1e-4);
  for (int64_t seed = oracle.begin(); seed < oracle.end(); ++seed) {
    KerasGenerator generator(static_cast<uint64_t>(seed), keras3);
    generator.Make();
    Result<Graph> graph = generator.Import();
    ASSERT_TRUE(generator.foreign().empty() || !graph.ok()) << seed << ": " << generator.foreign();
    if (!oracle.Takes(seed, &graph)) continue;
    const std::vector<RefTensor>& outputs = generator.outputs();
    ASSERT_EQ(graph->outputs.size(), outputs.size()) << seed;
    std::vector<std::vector<Values>> right;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Tensor& y = graph->tensor(graph->outputs[i]);
      Shape shape;
      for (int64_t d : outputs[i].dims) shape.push_back(d);
      ASSERT_EQ(y.shape, shape) << seed;
      if (!generator.output_names().empty()) {
        EXPECT_EQ(y.name, generator.output_names()[i]) << seed;
      }
      right.push_back({outputs[i].values});
    }
    ASSERT_TRUE(oracle.AreRight(seed, *graph,
                                Prepared(generator.input(), graph->metadata.preprocessing), right))
        << generator.model();
  }
  oracle.Report();
}

TEST(KerasOracle, Keras3) { RunNetworks(true); }
TEST(KerasOracle, Keras2) { RunNetworks(false); }

}  // namespace
}  // namespace octet::testing
