// One fuzz target over its seeds, and over pieces of them, without a fuzzer: so that targets stay
// right and seeds keep reaching what they are for.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/fuzz/targets/fuzz_target.h"

namespace octet::testing {
namespace {

TEST(FuzzTarget, TakesItsSeeds) {
  const std::vector<std::vector<uint8_t>> seeds = SeedCorpus();
  ASSERT_FALSE(seeds.empty());
  for (size_t i = 0; i < seeds.size(); ++i) {
    const std::vector<uint8_t>& seed = seeds[i];
    const int64_t before = deep_inputs;
    EXPECT_EQ(LLVMFuzzerTestOneInput(seed.data(), seed.size()), 0);
    EXPECT_EQ(deep_inputs - before, 1) << "seed " << i << " is refused";
    for (size_t part = 0; part < 8; ++part) {
      // Exact, so that AddressSanitizer sees every read behind the end.
      const auto end = seed.begin() + static_cast<std::ptrdiff_t>(seed.size() * part / 8);
      const std::vector<uint8_t> piece(seed.begin(), end);
      EXPECT_EQ(LLVMFuzzerTestOneInput(piece.data(), piece.size()), 0);
    }
  }
}

}  // namespace
}  // namespace octet::testing
