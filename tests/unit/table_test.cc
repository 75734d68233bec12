// What tools say to people: tables of a width, and what a mistyped name may have meant.
#include "formats/data/table.h"

#include <gtest/gtest.h>

#include "formats/base/closest.h"

namespace octet {
namespace {

TEST(DidYouMeanTest, FindsTheNearest) {
  const std::vector<std::string> known{"fp32", "fp16", "hybrid", "int8"};
  EXPECT_EQ(DidYouMean("int4", known), "; did you mean int8?");
  EXPECT_EQ(DidYouMean("hybird", known), "; did you mean hybrid?");
  EXPECT_EQ(DidYouMean("hy", known), "; did you mean hybrid?");
  EXPECT_EQ(DidYouMean("fp", known), "; did you mean fp32?");
  EXPECT_EQ(DidYouMean("bfloat", known), "");
  EXPECT_EQ(DidYouMean("", known), "");
  EXPECT_EQ(DidYouMean("x", {}), "");
}

TEST(DidYouMeanTest, CountsEdits) {
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("abc", "abc"), 0u);
  EXPECT_EQ(EditDistance("abc", "acb"), 1u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("threads", "therads"), 1u);
}

TEST(TableTest, IsAsWideAsItMayBe) {
  Table table({{.title = "name", .left = true, .shrink_to = 6},
               {.title = "count"},
               {.title = "more", .left = true, .optional = true},
               {.title = "most", .left = true, .optional = true}});
  table.Add({"a/long/name", "1", "xx", "yyyyyy"});
  table.Add({"\xc3\xa4", "1,234", "x", "y"});
  EXPECT_EQ(table.Text(80),
            "name         count  more  most\n"
            "a/long/name      1  xx    yyyyyy\n"
            "\xc3\xa4            1,234  x     y\n");
  EXPECT_EQ(table.Text(24),
            "name         count  more\n"
            "a/long/name      1  xx\n"
            "\xc3\xa4            1,234  x\n");
  EXPECT_EQ(table.Text(15),
            "name      count\n"
            "..g/name      1\n"
            "\xc3\xa4         1,234\n");
  // No further than said.
  EXPECT_EQ(table.Text(5),
            "name    count\n"
            "..name      1\n"
            "\xc3\xa4       1,234\n");
}

TEST(TableTest, NumbersAndNames) {
  EXPECT_EQ(Thousands(0), "0");
  EXPECT_EQ(Thousands(999), "999");
  EXPECT_EQ(Thousands(1234567), "1,234,567");
  EXPECT_EQ(Percent(1, 8), "12.5 %");
  EXPECT_EQ(Percent(1, 0), "-");
  std::vector<std::string> names{"net/block/conv", "net/block/relu", "net/bias"};
  EXPECT_EQ(CutCommonFolder(&names), "net/");
  EXPECT_EQ(names, (std::vector<std::string>{"block/conv", "block/relu", "bias"}));
  names = {"one/alone"};
  EXPECT_EQ(CutCommonFolder(&names), "");
  names = {"one", "other"};
  EXPECT_EQ(CutCommonFolder(&names), "");
}

}  // namespace
}  // namespace octet
