// Damaged safetensors files and graph descriptions give an error or something valid, never a crash,
// a hang or a huge allocation. Run it under AddressSanitizer; OCTET_FUZZ_FACTOR multiplies the
// number of mutations.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "converter/import/checkpoints/graph_description.h"
#include "converter/import/checkpoints/resnet_builder.h"
#include "converter/import/checkpoints/safetensors.h"
#include "converter/import/preprocessing_json.h"
#include "tests/fuzz/mutation.h"
#include "tests/fuzz/tiny_checkpoint.h"
#include "tests/watched_allocations.h"

namespace octet {
namespace {

TEST(SafetensorsFuzz, Mutations) {
  const std::string original = testing::TinySafetensors();
  const auto description = ParseGraphDescription(testing::kTinyDescription, "tiny");
  ASSERT_TRUE(description.ok());
  testing::Mutator mutator(1);
  int64_t good = 0, bad = 0;
  const int64_t iterations = testing::FuzzIterations(12000);
  for (int64_t i = 0; i < iterations && !HasFailure(); ++i) {
    SCOPED_TRACE(i);
    std::vector<uint8_t> bytes = mutator.Mutate({original.begin(), original.end()});
    if (mutator.Below(2) == 0 && bytes.size() > 8) {
      // The header's length made to fit again, so that changes of size reach the JSON.
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      const size_t end = text.find("}}");
      const uint64_t length = end == std::string_view::npos ? bytes.size() - 8 : end + 2 - 8;
      std::memcpy(bytes.data(), &length, sizeof(length));
    }
    testing::largest_allocation = 0;
    auto source = SafetensorsSource::Parse(
        {{reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, nullptr}, "fuzz");
    bool ok = source.ok();
    if (ok) {
      const auto graph = BuildResnet(*description, *source);
      ok = graph.ok();
      EXPECT_TRUE(ok ? ValidateGraph(*graph).ok() : !graph.status().message().empty());
    }
    EXPECT_LT(testing::largest_allocation, size_t{64} << 20);
    ++(ok ? good : bad);
  }
  EXPECT_GT(good, iterations / 100);
  EXPECT_GT(bad, iterations / 10);
}

TEST(SafetensorsFuzz, Truncations) {
  const std::string original = testing::TinySafetensors();
  for (size_t n = 0; n < original.size(); ++n) {
    const std::vector<char> exact(original.begin(),
                                  original.begin() + static_cast<std::ptrdiff_t>(n));
    const auto source = SafetensorsSource::Parse(
        {{reinterpret_cast<const std::byte*>(exact.data()), n}, nullptr}, "fuzz");
    ASSERT_FALSE(source.ok()) << n;
    EXPECT_FALSE(source.status().message().empty());
  }
}

TEST(GraphDescriptionFuzz, Mutations) {
  const std::string original = testing::kTinyDescription;
  testing::Mutator mutator(2);
  int64_t good = 0, bad = 0;
  const int64_t iterations = testing::FuzzIterations(12000);
  for (int64_t i = 0; i < iterations && !HasFailure(); ++i) {
    SCOPED_TRACE(i);
    const std::vector<uint8_t> bytes = mutator.Mutate({original.begin(), original.end()});
    testing::largest_allocation = 0;
    const auto description =
        ParseGraphDescription({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "fuzz");
    EXPECT_LT(testing::largest_allocation, size_t{16} << 20);
    ++(description.ok() ? good : bad);
  }
  EXPECT_GT(good, iterations / 100);
  EXPECT_GT(bad, iterations / 10);
}

}  // namespace
}  // namespace octet
