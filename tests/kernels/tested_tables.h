// Which instruction sets the tests of kernels run. All that can run here, or, with
// OCTET_TEST_TABLE="name name", those alone: then they have to run on the processor itself, so that
// a test on a chosen processor cannot pass without having tested anything.
#ifndef OCTET_TESTS_KERNELS_TESTED_TABLES_H_
#define OCTET_TESTS_KERNELS_TESTED_TABLES_H_

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cpu_features.h"
#include "kernels/dispatch.h"

namespace octet::testing {

inline bool IsTested(const kernels::TableInfo& info) {
  const char* only = std::getenv("OCTET_TEST_TABLE");
  if (only == nullptr) return info.availability != kernels::Availability::kUnavailable;
  return (" " + std::string(only) + " ").find(" " + std::string(info.name) + " ") !=
             std::string::npos &&
         info.availability == kernels::Availability::kNative;
}

/// Prints what will be tested; a failure when that is nothing.
inline void ExpectTestedTables() {
  std::printf("processor: %s\n", kernels::CpuModelName().c_str());
  std::string tested;
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    const char* how = info.availability == kernels::Availability::kNative     ? "natively"
                      : info.availability == kernels::Availability::kEmulated ? "emulated"
                                                                              : "not at all";
    std::printf("instruction set %-12s runs %s\n", info.name, how);
    EXPECT_EQ(info.table == nullptr && info.availability != kernels::Availability::kUnavailable,
              false);
    if (IsTested(info)) tested += std::string(" ") + info.name;
  }
  const char* only = std::getenv("OCTET_TEST_TABLE");
  std::printf("tested:%s\n", tested.c_str());
  EXPECT_NE(tested, "") << "OCTET_TEST_TABLE is " << (only != nullptr ? only : "not set");
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_KERNELS_TESTED_TABLES_H_
