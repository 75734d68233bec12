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

TEST(LabelsTest, ReadsOtherNotations) {
  for (const char* text :
       {"{0: 'red',\n 1: \"green\",\n 2: 'blue'}\n", "{2: 'blue', 0: 'red', 1: 'green',}",
        "{0: u'red', 1: u'green', 2: u'blue'}",
        "{\"0\": \"red\", \"1\": \"green\", \"2\": \"blue\"}", "{'red': 0, 'blue': 2, 'green': 1}",
        "[\"red\", \"green\", \"blue\"]", "[ 'red' ,\n'\\u0067reen',\n 'blue',\n]\n",
        "0 red\n1 green\n2 blue\n", "2 blue\n0\tred\n1 green", "1 red\n2 green\n3 blue",
        "0:red\r\n1:green\r\n2:blue\r\n\n", "0, red\n1, green\n2, blue",
        "000 red\n001 green\n002 blue",
        "{\"0\": [\"n01440764\", \"red\"], \"1\": [\"n01443537\", \"green\"],\n"
        "\"2\": [\"n01484850\", \"blue\"]}"}) {
    const auto labels = ParseLabels(text, "l.txt");
    ASSERT_TRUE(labels.ok()) << labels.status().message() << " in " << text;
    EXPECT_THAT(*labels, ElementsAre("red", "green", "blue")) << text;
  }
  EXPECT_THAT(*ParseLabels("{0: 'bird\\'s nest', 1: \"d'or, \\u00fc\"}", "l.txt"),
              ElementsAre("bird's nest", "d'or, \xc3\xbc"));
}

TEST(LabelsTest, PlainNamesStayWhatTheyAre) {
  for (const std::vector<std::string>& names : {std::vector<std::string>{"0", "1", "2"},
                                                {"gray level 0", "gray level 1"},
                                                {"tench, Tinca tinca", "crane", "crane"},
                                                {"bird", "7 up", "3d printer"},
                                                {"[UNK]", "[a] thing", "b"},
                                                {"n01440764 tench", "'s-Hertogenbosch"},
                                                {"2CV", "4x4"}}) {
    std::string text;
    for (const std::string& name : names) text += name + "\n";
    const auto labels = ParseLabels(text, "l.txt");
    ASSERT_TRUE(labels.ok()) << labels.status().message() << " in " << text;
    EXPECT_EQ(*labels, names);
  }
}

TEST(LabelsTest, RefusesWhatHasNoSingleReading) {
  const std::pair<const char*, const char*> cases[] = {
      {"{0: 'a',\n 2: 'b'}", "l.txt: line 2 has the index 2, expected 2 indices from 0 to 1"},
      {"{0: 'a',\n 0: 'b'}", "line 2 has the index 0 once more"},
      {"{1: 'a', 2: 'b'}", "expected 2 indices from 0 to 1"},
      {"{0: 'a',\n 1: 5}", "line 2 has '5', expected a name in quotes"},
      {"{0: 'a',\n 1: 'b'", "line 2 is the end, expected ','"},
      {"{0: 'a'\n 1: 'b'}", "line 2 has '1', expected ','"},
      {"{'x': 'a'}", "has the key 'x', expected a class index"},
      {"{0: 'a}", "line 1 has a string without an end"},
      {"{0: 'a'}\nb", "line 2 has 'b', expected nothing after the list"},
      {"{}", "no labels"},
      {"[]", "no labels"},
      {"['a', '']", "line 1 is empty"},
      {"['a', ['b', 'c']]", "expected a name in quotes"},
      {"['a',\n'b'", "line 2 is the end"},
      {"0 a\n2 b", "line 2 has the index 2, expected 2 indices from 0 to 1"},
      {"1 a\n1 b", "line 2 has the index 1 once more"},
      {"0 a\n1 b\nc", "line 3 has no index and name"},
      {"index,name\n0,a\n1,b", "line 1 has no index and name"},
      {"labels = {0: 'a',\n1: 'b'}", "line 1 is neither"},
      {"'a',\n'b',", "line 1 is neither"},
      {"0: 'a',\n1: 'b',", "line 1 is neither"},
      {"item {\n id: 1\n}", "line 1 is neither"}};
  for (const auto& [text, message] : cases) {
    const auto labels = ParseLabels(text, "l.txt");
    ASSERT_FALSE(labels.ok()) << text;
    EXPECT_THAT(labels.status().message(), HasSubstr(message)) << text;
  }
}

TEST(LabelsTest, ReadsTheTextsOfTfRecords) {
  const TempDir dir;
  using Pairs = std::vector<std::pair<int64_t, std::string>>;
  std::vector<std::string> notes;
  const auto read = [&](const Pairs& pairs) {
    std::vector<Bytes> records;
    for (const auto& [label, text] : pairs) {
      records.push_back(MakeExample(
          {{"image/class/label", IntFeature({label})}, {"image/class/text", BytesFeature(text)}}));
    }
    WriteFile(dir / "l.tfrecord", MakeTfRecord(records));
    notes.clear();
    const auto labels = ReadLabels(dir / "l.tfrecord", &notes);
    if (!labels.ok()) return labels.status().message();
    std::string s;
    for (const std::string& label : *labels) s += label + " ";
    return s;
  };
  EXPECT_EQ(read({{1, "green"}, {0, "red"}, {2, "blue"}, {1, "green"}}), "red green blue ");
  EXPECT_TRUE(notes.empty());
  EXPECT_EQ(read({{2, "green"}, {1, "red"}}), "red green ");
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0],
              HasSubstr("count from 1; 'red' was taken for class 0, 'green' for class 1"));
  EXPECT_THAT(read({{0, "red"}, {2, "blue"}}), HasSubstr("no record has label 1, some have 2"));
  EXPECT_THAT(read({{2, "red"}, {3, "blue"}}), HasSubstr("no record has label 0"));
  EXPECT_THAT(read({{0, "red"}, {0, "blue"}}),
              HasSubstr("record 1: has label 0 and the text 'blue'"));
  EXPECT_THAT(read({{0, ""}}), HasSubstr("record 0: has no feature image/class/text"));
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
  EXPECT_EQ(Progress::RateText(0, 100, 1.0), "");
  EXPECT_EQ(Progress::RateText(5, -1, 2.0), ", 2.5/s");
  EXPECT_EQ(Progress::RateText(100, 100, 0.5), ", 200/s");
  EXPECT_EQ(Progress::RateText(100, 13100, 0.5), ", 200/s, 1:05 left");
  EXPECT_EQ(Progress::RateText(1, 7201, 0.5), ", 2.0/s, 1:00:00 left");
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
