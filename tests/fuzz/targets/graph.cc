// Any bytes are a random graph; the oracle checks it in some modes.
#include <string>
#include <vector>

#include "bench/graph_generator.h"
#include "tests/fuzz/graph_oracle.h"
#include "tests/fuzz/graph_shrinker.h"
#include "tests/fuzz/targets/fuzz_target.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::string> isas = OracleIsas();
  ByteChoices choices({data, size});
  GraphCase c{GenerateGraph(&choices), HashOf(data, size), {}};
  if (c.seed % 3 == 0) (void)ToInt16(&c.graph);
  if (c.seed % 3 == 1) (void)ToBf16(&c.graph);
  ++deep_inputs;
  constexpr int64_t kMostCost = 300'000;  // graph_oracle_test has the larger ones.
  if (GraphCost(c.graph) > kMostCost) return 0;
  c.modes = ChooseModes(&choices, c.graph, isas);
  const auto wrong = [](const GraphCase& any) {
    return CheckGraph(any.graph, any.seed, any.modes, nullptr);
  };
  const std::string found = wrong(c);
  if (found.empty()) return 0;
  const GraphCase small = Shrink(c, [&](const GraphCase& any) { return !wrong(any).empty(); });
  FuzzFailed(__FILE__, __LINE__, found + "\n" + ToCode(small, wrong(small)));
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  std::vector<std::vector<uint8_t>> seeds;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SeededChoices random(seed);
    std::vector<uint8_t>& bytes = seeds.emplace_back(80 + random.Below(300));
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random.Below(256));
  }
  return seeds;
}
