// The parts of every operator of random graphs, one by one: tests/seams.h.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "bench/graph_generator.h"
#include "engine/src/plan.h"
#include "formats/model/panel.h"
#include "kernels/dispatch.h"
#include "tests/fuzz/graph_oracle.h"
#include "tests/seams.h"

namespace octet::testing {
namespace {

TEST(GraphSeams, PartsOfRandomGraphsWriteWhatIsTheirs) {
  constexpr int kGraphs = 600;
  // Memory is walked through byte by byte, several times for each operator.
  constexpr int64_t kMostArena = 2 << 20;
  const std::vector<std::string> isas = OracleIsas();
  std::map<std::string, int> kernels;
  int checked = 0;
  for (uint64_t seed = 0; checked < kGraphs; ++seed) {
    SeededChoices choices(seed);
    Graph graph = GenerateGraph(&choices);
    PackGraph(&graph);
    const std::string& isa = isas[choices.Below(static_cast<uint32_t>(isas.size()))];
    const int threads = 2 + static_cast<int>(choices.Below(2));
    const int batch = 1 + static_cast<int>(choices.Below(2));
    PreparedWeights prepared;
    const PlanOptions options{.table = kernels::SelectTable(isa).value(),
                              .num_threads = threads,
                              .max_batch = batch,
                              .winograd = choices.Below(4) != 0,
                              .prepared = &prepared};
    auto plan = BuildPlan(graph, options);
    if (!plan.ok()) {
      ASSERT_EQ(plan.status().code(), StatusCode::kUnsupported) << plan.status().message();
      continue;
    }
    if ((*plan)->arena_bytes > kMostArena) continue;
    ++checked;
    SeamChecker checker(graph, threads, batch, plan->get());
    ASSERT_EQ(checker.Check(), "")
        << "seed " << seed << ", " << isa << ", " << threads << " threads, batch " << batch;
    for (const auto& op : (*plan)->ops) ++kernels[op->kernel];
  }
  for (const auto& [name, count] : kernels) std::printf("%6d %s\n", count, name.c_str());
  EXPECT_GE(kernels.size(), 25u);
}

}  // namespace
}  // namespace octet::testing
