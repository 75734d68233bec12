// Integers are computed as they were: `bench_resnet --signature`.
#include "bench/signature.h"

#include <gtest/gtest.h>

#include "formats/base/str_cat.h"
#include "formats/model/operators.h"
#include "tests/kernels/tested_tables.h"

namespace octet::bench {
namespace {

/// A commit that changes it says why: files that exist then give other answers.
constexpr uint64_t kExpected = 0x8d22f9e1cec24b79;

TEST(SignatureTest, IsTheSameOnEveryInstructionSetAndNumberOfThreads) {
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    if (!octet::testing::IsTested(info)) continue;
    for (const int threads : {1, 2, 3}) {
      // Oracles have loops like the others', and take long.
      if (threads > 1 && (info.availability != kernels::Availability::kNative ||
                          info.name == std::string("reference")))
        continue;
      const Result<Signature> s = ComputeSignature(info.name, threads);
      ASSERT_TRUE(s.ok()) << s.status().message();
      EXPECT_EQ(s->hash, kExpected) << info.name << ", " << threads << " threads";
      std::printf("%s, %d threads: %016llx, %lld values\n", info.name, threads,
                  static_cast<unsigned long long>(s->hash), static_cast<long long>(s->values));
    }
  }
}

TEST(SignatureTest, HasEveryOperatorThatComputesWithCodes) {
  const Result<Signature> s = ComputeSignature("", 1);
  ASSERT_TRUE(s.ok()) << s.status().message();
  for (const OpTraits& op : kOperators)
    EXPECT_EQ(s->operators.contains(op.type), !op.only_float) << op.name;
}

}  // namespace
}  // namespace octet::bench
