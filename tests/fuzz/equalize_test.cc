// Scaling channels of random graphs, whatever their operators: not a bit of the answers changes.
#include "converter/tune/equalize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/graph_generator.h"
#include "engine/src/model_impl.h"

namespace octet::testing {
namespace {

using Bytes = std::vector<std::vector<uint8_t>>;

/// All outputs; none where the graph has no kernels.
Bytes AnswersOf(const Graph& graph, const Bytes& inputs) {
  const auto model = ModelFromGraph(graph);
  EXPECT_TRUE(model.ok()) << model.status().message();
  if (!model.ok()) return {};
  const auto session = Session::Create(*model);
  if (!session.ok()) return {};
  Bytes outputs;
  std::vector<const void*> from;
  std::vector<void*> to;
  for (const std::vector<uint8_t>& bytes : inputs) from.push_back(bytes.data());
  for (const TensorDescription& t : (*model)->Describe().outputs)
    outputs.emplace_back(t.num_bytes());
  for (std::vector<uint8_t>& bytes : outputs) to.push_back(bytes.data());
  const Status status = (*session)->Run(from.data(), to.data(), 1);
  EXPECT_TRUE(status.ok()) << status.message();
  return outputs;
}

TEST(EqualizeFuzz, KeepsEveryBit) {
  int64_t scaled = 0;
  int graphs = 0;
  for (uint64_t seed = 0; graphs < 1500; ++seed) {
    SeededChoices choices(seed);
    const Graph graph = GenerateGraph(&choices);
    ChannelMagnitudes magnitudes(graph.tensors.size());
    for (size_t i = 0; i < graph.tensors.size(); ++i) {
      if (graph.tensors[i].is_constant()) continue;
      for (int64_t c = 0; c < graph.tensors[i].shape.back(); ++c)
        magnitudes[i].push_back(std::ldexp(1.0f, choices.Int(-8, 8)));
    }
    int64_t channels = 0;
    const Result<Graph> equal = Equalize(graph, magnitudes, &channels);
    ASSERT_TRUE(equal.ok()) << "seed " << seed << ": " << equal.status().message();
    scaled += channels;
    if (channels == 0) continue;
    Bytes inputs;
    for (TensorId id : graph.inputs) {
      const auto count = static_cast<size_t>(graph.tensor(id).shape.num_elements());
      std::vector<uint8_t>& bytes = inputs.emplace_back(count * DTypeSize(graph.tensor(id).dtype));
      if (graph.tensor(id).dtype == DType::kF32) {
        auto* values = reinterpret_cast<float*>(bytes.data());
        for (size_t i = 0; i < count; ++i)
          values[i] = static_cast<float>(choices.Int(-1000, 1000)) / 256.0f;
      } else {
        for (uint8_t& b : bytes) b = static_cast<uint8_t>(choices.Below(256));
      }
    }
    const Bytes want = AnswersOf(graph, inputs);
    if (want.empty()) continue;
    ++graphs;
    ASSERT_EQ(AnswersOf(*equal, inputs), want) << "seed " << seed;
  }
  EXPECT_GT(scaled, 5000);
}

}  // namespace
}  // namespace octet::testing
