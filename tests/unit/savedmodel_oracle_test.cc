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
    EXPECT_TRUE(oracle.AreRight(seed, *graph, AsInput(*graph, generator.input()), right))
        << generator.Text();
  }
  oracle.Report();
}

}  // namespace
}  // namespace octet::testing
