#include "converter/import/builder/unique_names.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace octet {
namespace {

TEST(UniqueNamesTest, NumbersFollowTheName) {
  UniqueNames names("#", 2);
  EXPECT_EQ(names.Make("a"), "a");
  EXPECT_EQ(names.Make("a"), "a#2");
  EXPECT_EQ(names.Make("a#3"), "a#3");
  EXPECT_EQ(names.Make("a"), "a#4");
  EXPECT_EQ(names.Make("a#3"), "a#3#2");
  EXPECT_TRUE(names.Take("b"));
  EXPECT_FALSE(names.Take("b"));
  EXPECT_EQ(names.Make("b"), "b#2");
  EXPECT_EQ(names.Make(""), "");
  EXPECT_EQ(names.Make(""), "#2");
}

// A small file may give one name to everything.
TEST(UniqueNamesTest, EqualNamesTakeLinearSteps) {
  UniqueNames names("_", 1);
  const int count = 20000;
  std::set<std::string> given;
  // The names that the others would get are taken first, which costs each of them once.
  for (int i = 1; i <= count; ++i) given.insert(names.Make("a_" + std::to_string(i)));
  for (int i = 0; i < count; ++i) given.insert(names.Make("a"));
  for (int i = 0; i < count; ++i) given.insert(names.Make("a_1"));
  EXPECT_EQ(given.size(), size_t{3} * count);
  EXPECT_LE(names.steps(), int64_t{6} * count);
}

}  // namespace
}  // namespace octet
