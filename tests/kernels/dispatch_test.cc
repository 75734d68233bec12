// The list of instruction sets and what goes by it.
#include "kernels/dispatch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "bench/peak.h"
#include "formats/model/checksum.h"
#include "kernels/tables.h"

namespace octet::kernels {
namespace {

using ::testing::HasSubstr;

TEST(DispatchTest, TablesHaveTheNamesOfTheList) {
  for (const TableInfo& info : AllTables()) {
    if (info.table == nullptr) {
      EXPECT_EQ(info.availability, Availability::kUnavailable);
    } else {
      EXPECT_STREQ(info.table->name, info.name);
    }
  }
}

TEST(DispatchTest, TheReadmeHasEveryInstructionSet) {
  std::ifstream file(OCTET_SOURCE_DIR "/kernels/README.md");
  const std::string readme((std::istreambuf_iterator<char>(file)), {});
  for (const TableInfo& info : AllTables())
    EXPECT_THAT(readme, HasSubstr("\n| `" + std::string(info.name) + "` | "));
}

TEST(DispatchTest, ChecksumsAreTheSame) {
  std::vector<uint8_t> bytes(5000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * i >> 3);
  for (const TableInfo& info : AllTables()) {
    if (info.availability == Availability::kUnavailable) continue;
    for (size_t size = 40; size < bytes.size(); size += 1 + size / 5)
      EXPECT_EQ(info.table->checksum(bytes.data(), size, 32),
                ChecksumAround(bytes.data(), size, 32));
  }
}

TEST(DispatchTest, NamesSelectTables) {
  const auto unknown = SelectTable("mmx");
  ASSERT_FALSE(unknown.ok());
  for (const TableInfo& info : AllTables()) {
    const auto found = SelectTable(info.name);
    const bool runs = info.availability != Availability::kUnavailable;
    ASSERT_EQ(found.ok(), runs) << info.name;
    if (runs) {
      EXPECT_STREQ((*found)->name, info.name);
    }
    // Only what would do is offered: "neon" and "neondot" are no use elsewhere.
    EXPECT_EQ((unknown.status().message() + ",").find(" " + std::string(info.name) + ",") !=
                  std::string::npos,
              runs)
        << unknown.status().message();
  }
}

TEST(DispatchTest, ProgramsOfTestsHaveTheEmulatedTables) {
  EXPECT_EQ(emulated_tables.Emulated512, &kEmulated512Table);
  EXPECT_EQ(emulated_tables.EmulatedBf16->base, &kEmulated512Table);
}

/// Shares of a peak are told on every set that runs here, but for the oracles.
TEST(DispatchTest, EveryInstructionSetHasAPeak) {
  for (const TableInfo& info : AllTables()) {
    if (info.availability != Availability::kNative || info.name == std::string("reference"))
      continue;
    for (const auto arithmetic :
         {bench::Arithmetic::kInt8, bench::Arithmetic::kFloat, bench::Arithmetic::kBf16})
      EXPECT_GT(bench::MeasurePeak(info.name, arithmetic).gmacs, 0.0) << info.name;
  }
}

}  // namespace
}  // namespace octet::kernels
