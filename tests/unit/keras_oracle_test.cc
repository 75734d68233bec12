// Random Keras models against the answers that their generator computed.
#include <gtest/gtest.h>

#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "converter/import/keras/layers.h"
#include "tests/unit/import_oracle.h"
#include "tests/unit/keras_generator.h"

namespace octet::testing {
namespace {

void RunNetworks(bool keras3) {
  ImportOracle oracle(keras3 ? "Keras 3" : "Keras 2", 1e-4);
  std::set<std::string> types;  // Of what was taken.
  for (int64_t seed = oracle.begin(); seed < oracle.end(); ++seed) {
    KerasGenerator generator(static_cast<uint64_t>(seed), keras3);
    generator.Make();
    Result<Graph> graph = generator.Import();
    ASSERT_TRUE(generator.foreign().empty() || !graph.ok()) << seed << ": " << generator.foreign();
    if (!oracle.Takes(seed, &graph)) continue;
    types.insert(generator.types().begin(), generator.types().end());
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
    ASSERT_TRUE(oracle.AreRight(seed, *graph, AsInput(*graph, generator.input()), right))
        << generator.model();
  }
  oracle.Report();
  if (oracle.end() - oracle.begin() < 10000) return;
  const auto all_taken = [&](std::span<const KerasRow> rows) {
    for (const KerasRow& row : rows) {
      const bool gone = keras3 && (row.type == "RandomHeight" || row.type == "RandomWidth");
      EXPECT_NE(gone, types.count(std::string(row.type)) > 0) << row.type;
    }
  };
  all_taken(KerasLayers::Layers());
  all_taken(keras3 ? KerasLayers::Operations() : KerasLayers::Functions());
}

TEST(KerasOracle, Keras3) { RunNetworks(true); }
TEST(KerasOracle, Keras2) { RunNetworks(false); }

}  // namespace
}  // namespace octet::testing
