#include "formats/data/labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "formats/data/progress.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace octet::testing;  // NOLINT: builders of small files.

TEST(LabelsTest, ReadsLines) {
  for (const char* text :
       {"a b\nc", "a b\nc\n", "a b\r\nc\r\n", "a b\nc\n\n\r\n  \n", "\xef\xbb\xbf a b\t\n c \n"}) {
    const auto labels = ParseLabels(text, "l.txt");
    ASSERT_TRUE(labels.ok()) << labels.status().message();
    EXPECT_THAT(*labels, ElementsAre("a b", "c"));
  }
}

TEST(LabelsTest, RefusesTheRest) {
  const auto error = [](std::string_view text) {
    const auto labels = ParseLabels(text, "l.txt");
    EXPECT_FALSE(labels.ok());
    EXPECT_EQ(labels.status().code(), StatusCode::kInvalidArgument);
    return labels.status().message();
  };
  EXPECT_THAT(error(""), HasSubstr("l.txt: no labels"));
  EXPECT_THAT(error("\n\n"), HasSubstr("no labels"));
  EXPECT_THAT(error("a\n\nb\n"), HasSubstr("line 2 is empty"));
  EXPECT_THAT(error(std::string_view("a\nb\0c\n", 6)),
              HasSubstr("line 2 holds a control character"));
  EXPECT_THAT(error(std::string(1025, 'x')), HasSubstr("1025 bytes"));
  std::string many;
  for (int i = 0; i <= 1 << 20; ++i) many += "x\n";
  EXPECT_THAT(error(many), HasSubstr("more than 1048576"));
}

TEST(LabelsTest, ReadsFiles) {
  const TempDir dir;
  WriteFile(dir / "labels.txt", "roses\ntulips\n");
  const auto labels = ReadLabels(dir / "labels.txt");
  ASSERT_TRUE(labels.ok());
  EXPECT_THAT(*labels, ElementsAre("roses", "tulips"));
  EXPECT_EQ(ReadLabels(dir / "none.txt").status().code(), StatusCode::kNotFound);
}

TEST(ProgressTest, DrawsItsLine) {
  EXPECT_EQ(Progress::Line("doing", 0, 4), "doing [..............................] 0/4");
  EXPECT_EQ(Progress::Line("doing", 2, 4), "doing [###############...............] 2/4");
  EXPECT_EQ(Progress::Line("doing", 9, 4), "doing [##############################] 9/4");
  EXPECT_EQ(Progress::Line("doing", 7, -1), "doing 7");
}

TEST(ProgressTest, IsSilentWithoutATerminal) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress("doing", 10);
    for (int i = 0; i <= 10; ++i) progress.Update(i);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace octet
