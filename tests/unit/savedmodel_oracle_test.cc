// Random SavedModels against what their generator computed, without any framework.
#include <gtest/gtest.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "converter/import/builder/view.h"
#include "converter/import/tensorflow/saved_model.h"
#include "tests/unit/import_oracle.h"
#include "tests/unit/savedmodel_generator.h"

namespace octet::testing {
namespace {

/// The image as the graph reads it: channels last, prepared as its metadata says.
Values Prepared(const Graph& graph, RefTensor x) {
  const Shape shape = graph.tensor(graph.inputs[0]).shape;
  if (x.dims.size() == 4 && !(shape == Shape{1, x.dims[1], x.dims[2], x.dims[3]}))
    x = RefTransposed(x, {0, 2, 3, 1});
  const Preprocessing& p = graph.metadata.preprocessing;
  const size_t channels = static_cast<size_t>(shape.back());
  Values y = x.values;
  if (channels > 3) return y;
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t c = i % channels,
                 from = p.order == ChannelOrder::kBgr ? i - c + channels - 1 - c : i;
    y[i] = (x.values[from] * static_cast<double>(p.scale) - static_cast<double>(p.mean[c])) /
           static_cast<double>(p.stddev[c]);
  }
  return y;
}

TEST(SavedModelOracle, RandomNetworks) {
  ImportOracle oracle("SavedModel", 1e-4);
  for (int64_t seed = oracle.begin(); seed < oracle.end(); ++seed) {
    SavedModelGenerator generator(static_cast<uint64_t>(seed));
    BundleBuilder& files = generator.bundle();
    std::optional<TensorBundle> bundle;
    const std::string index = files.Index();
    if (generator.has_variables()) {
      auto parsed = TensorBundle::Parse(index, [&](int, int) -> Result<FileBytes> {
        return FileBytes{std::as_bytes(std::span(files.data())), nullptr};
      });
      ASSERT_TRUE(parsed.ok()) << parsed.status().message();
      bundle = *std::move(parsed);
    }
    Result<Graph> graph =
        ImportSavedModelBytes(generator.model().Serialize(), bundle ? &*bundle : nullptr);
    if (!oracle.Takes(seed, &graph)) continue;
    std::vector<std::vector<Values>> right;
    for (TensorId id : graph->outputs) {
      const Tensor& tensor = graph->tensor(id);
      const RefTensor& y = generator.outputs().at(tensor.name);
      ASSERT_EQ(tensor.shape.ToString(), DimsText(y.dims)) << "seed " << seed;
      right.push_back({y.values});
    }
    EXPECT_TRUE(oracle.AreRight(seed, *graph, Prepared(*graph, generator.input()), right))
        << generator.Text();
  }
  oracle.Report();
}

}  // namespace
}  // namespace octet::testing
