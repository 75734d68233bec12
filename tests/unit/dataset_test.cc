#include "formats/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <span>
#include <string>

#include "formats/data/npy.h"
#include "tests/data_dir.h"
#include "tests/unit/data_test_util.h"
#include "tests/unit/tiny_jpegs.h"

namespace octet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using namespace octet::testing;  // NOLINT: builders of small files.

/// Names and labels of all samples; errors end the list as "error: ...".
std::vector<std::pair<std::string, int>> ReadAll(const std::string& path,
                                                 const DatasetOptions& options = {}) {
  std::vector<std::pair<std::string, int>> all;
  const auto dataset = OpenDataset(path, options);
  if (!dataset.ok()) return {{"error: " + dataset.status().message(), -2}};
  for (;;) {
    Sample sample;
    const Result<bool> more = (*dataset)->Next(&sample);
    if (!more.ok()) {
      all.emplace_back("error: " + more.status().message(), -2);
      return all;
    }
    if (!*more) break;
    EXPECT_NE(sample.is_float(), !sample.image.rgb.empty());
    all.emplace_back(sample.name, sample.label);
  }
  EXPECT_EQ((*dataset)->size(), static_cast<int64_t>(all.size()));
  return all;
}

std::string OpenError(const std::string& path, const DatasetOptions& options = {}) {
  const auto dataset = OpenDataset(path, options);
  EXPECT_FALSE(dataset.ok());
  return dataset.status().message();
}

class DatasetTest : public ::testing::Test {
 protected:
  TempDir dir_;
  const Bytes png_ = MakeColorPng(4, 3, 10, 20, 30);
};

TEST_F(DatasetTest, FolderOfClasses) {
  WriteFile(dir_ / "dog/2.png", png_);
  WriteFile(dir_ / "dog/1.PNG", png_);
  WriteFile(dir_ / "dog/notes.txt", "not an image");
  WriteFile(dir_ / "dog/.hidden.png", "not an image");
  WriteFile(dir_ / "cat/x.jpg", kBaselineJpeg);
  WriteFile(dir_ / "README.md", "text");
  EXPECT_THAT(ReadAll(dir_.path()),
              ElementsAre(Pair("cat/x.jpg", 0), Pair("dog/1.PNG", 1), Pair("dog/2.png", 1)));
  const auto dataset = OpenDataset(dir_.path());
  ASSERT_TRUE(dataset.ok());
  EXPECT_THAT((*dataset)->class_names(), ElementsAre("cat", "dog"));
  EXPECT_EQ((*dataset)->description(), "folder of 3 images in 2 classes");
}

TEST_F(DatasetTest, FoldersAreMatchedWithLabels) {
  WriteFile(dir_ / "dog/1.png", png_);
  WriteFile(dir_ / "cat/1.png", png_);
  EXPECT_THAT(ReadAll(dir_.path(), {.labels = {"dog", "bird", "cat"}, .npy_labels = {}}),
              ElementsAre(Pair("cat/1.png", 2), Pair("dog/1.png", 0)));
  // None is known, but the number fits: alphabetical order.
  EXPECT_THAT(ReadAll(dir_.path(), {.labels = {"Katze", "Hund"}, .npy_labels = {}}),
              ElementsAre(Pair("cat/1.png", 0), Pair("dog/1.png", 1)));
  EXPECT_THAT(OpenError(dir_.path(), {.labels = {"dog", "bird"}, .npy_labels = {}}),
              HasSubstr("'cat'"));
  EXPECT_THAT(OpenError(dir_.path(), {.labels = {"a", "b", "c"}, .npy_labels = {}}),
              HasSubstr("2 class folders"));
}

TEST_F(DatasetTest, FlatFolder) {
  WriteFile(dir_ / "b.png", png_);
  WriteFile(dir_ / "a.ppm", MakePnm("P6 1 1 255\n", {1, 2, 3}));
  WriteFile(dir_ / "empty/readme.txt", "no image here");
  EXPECT_THAT(ReadAll(dir_.path()), ElementsAre(Pair("a.ppm", -1), Pair("b.png", -1)));
}

TEST_F(DatasetTest, RefusesOddFolders) {
  std::filesystem::create_directories(dir_ / "none");
  EXPECT_THAT(OpenError(dir_ / "none"), HasSubstr("no images"));
  WriteFile(dir_ / "mixed/a.png", png_);
  WriteFile(dir_ / "mixed/c/b.png", png_);
  EXPECT_THAT(OpenError(dir_ / "mixed"), HasSubstr("both class folders and images (a.png)"));
  WriteFile(dir_ / "gap/a/1.png", png_);
  std::filesystem::create_directories(dir_ / "gap/b");
  EXPECT_THAT(OpenError(dir_ / "gap"), HasSubstr("'b' holds no images"));
  EXPECT_EQ(OpenDataset(dir_ / "missing").status().code(), StatusCode::kNotFound);
  WriteFile(dir_ / "text.txt", "plain text of some length");
  EXPECT_THAT(OpenError(dir_ / "text.txt"), HasSubstr("not a data set"));
  EXPECT_THAT(OpenError(dir_ / "gap", {.labels = {}, .npy_labels = {}, .max_samples = -1}),
              HasSubstr("max_samples"));
}

TEST_F(DatasetTest, GoesOnAfterABadImage) {
  WriteFile(dir_ / "1.png", png_);
  WriteFile(dir_ / "2.png", std::span(png_).first(40));
  WriteFile(dir_ / "3.png", png_);
  const auto dataset = OpenDataset(dir_.path());
  ASSERT_TRUE(dataset.ok());
  Sample sample;
  ASSERT_TRUE((*dataset)->Next(&sample).ok());
  const Result<bool> bad = (*dataset)->Next(&sample);
  ASSERT_FALSE(bad.ok());
  EXPECT_THAT(bad.status().message(), HasSubstr("2.png: PNG is truncated"));
  ASSERT_TRUE((*dataset)->Next(&sample).ok());
  EXPECT_EQ(sample.name, "3.png");
  EXPECT_FALSE(*(*dataset)->Next(&sample));
}

TEST_F(DatasetTest, OneImage) {
  WriteFile(dir_ / "photo", kProgressiveJpeg);  // By content, whatever the name.
  EXPECT_THAT(ReadAll(dir_ / "photo"), ElementsAre(Pair(dir_ / "photo", -1)));
}

TEST_F(DatasetTest, TfRecord) {
  const auto encoded = BytesFeature(png_);
  const Bytes full = MakeExample({{"image/encoded", encoded},
                                  {"image/class/label", IntFeature({3})},
                                  {"image/class/text", BytesFeature("cat")},
                                  {"image/filename", BytesFeature("c.png")},
                                  {"image/height", IntFeature({9999})}});
  const Bytes text =
      MakeExample({{"image/encoded", encoded}, {"image/class/text", BytesFeature("cat")}});
  const Bytes bare = MakeExample({{"image/encoded", encoded}});
  WriteFile(dir_ / "d.tfrecord", MakeTfRecord({full, text, bare}));
  EXPECT_THAT(ReadAll(dir_ / "d.tfrecord"),
              ElementsAre(Pair("c.png", 3), Pair("d.tfrecord[1]", -1), Pair("d.tfrecord[2]", -1)));
  EXPECT_THAT(ReadAll(dir_ / "d.tfrecord", {.labels = {"dog", "cat", "x", "y"}, .npy_labels = {}}),
              ElementsAre(Pair("c.png", 3), Pair("d.tfrecord[1]", 1), Pair("d.tfrecord[2]", -1)));
  EXPECT_THAT(
      ReadAll(dir_ / "d.tfrecord", {.labels = {"dog", "cat"}, .npy_labels = {}}),
      ElementsAre(Pair(HasSubstr("record 0 at byte 0: label is 3, the model has 2 classes"), -2)));
}

TEST_F(DatasetTest, TfRecordErrorsNameTheRecord) {
  const Bytes good = MakeExample({{"image/encoded", BytesFeature(png_)}});
  const auto error = [&](const Bytes& record) {
    WriteFile(dir_ / "d.tfrecord", MakeTfRecord({good, record, good}));
    const auto all = ReadAll(dir_ / "d.tfrecord");
    EXPECT_EQ(all.size(), 2u);
    EXPECT_THAT(all.back().first, HasSubstr("d.tfrecord: record 1 at byte "));
    return all.back().first;
  };
  EXPECT_THAT(error({0x0a, 0x70}), HasSubstr("not a tf.train.Example"));
  EXPECT_THAT(error(MakeExample({})), HasSubstr("image/encoded"));
  EXPECT_THAT(error(MakeExample({{"image/encoded", IntFeature({1})}})),
              HasSubstr("not one byte string"));
  EXPECT_THAT(error(MakeExample({{"image/encoded", BytesFeature("GIF89a")}})), HasSubstr("GIF"));
  EXPECT_THAT(error(MakeExample({{"image/encoded", BytesFeature(png_)},
                                 {"image/class/label", IntFeature({-5})}})),
              HasSubstr("label is -5"));
  EXPECT_THAT(error(MakeExample({{"image/encoded", BytesFeature(png_)},
                                 {"image/class/label", IntFeature({1, 2})}})),
              HasSubstr("not one integer"));
}

TEST_F(DatasetTest, DamagedTfRecord) {
  const Bytes record = MakeExample({{"image/encoded", BytesFeature(png_)}});
  const Bytes file = MakeTfRecord({record, record});
  WriteFile(dir_ / "d.tfrecord", std::span(file).first(file.size() - 3));
  const auto dataset = OpenDataset(dir_ / "d.tfrecord");
  ASSERT_TRUE(dataset.ok());
  EXPECT_EQ((*dataset)->size(), -1);
  EXPECT_THAT(ReadAll(dir_ / "d.tfrecord").back().first, HasSubstr("record 1 at byte"));
}

TEST_F(DatasetTest, NpyImages) {
  Bytes pixels(2 * 3 * 4 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i);
  ASSERT_TRUE(WriteNpy(dir_ / "i.npy", {2, 3, 4, 3}, pixels).ok());
  ASSERT_TRUE(WriteNpy(dir_ / "l.npy", {2}, std::vector<int32_t>{7, 1}).ok());
  EXPECT_THAT(ReadAll(dir_ / "i.npy"), ElementsAre(Pair("i.npy[0]", -1), Pair("i.npy[1]", -1)));
  const auto dataset = OpenDataset(dir_ / "i.npy", {.labels = {}, .npy_labels = dir_ / "l.npy"});
  ASSERT_TRUE(dataset.ok()) << dataset.status().message();
  Sample sample;
  ASSERT_TRUE((*dataset)->Next(&sample).ok());
  EXPECT_EQ(sample.label, 7);
  EXPECT_EQ(sample.image.height, 3);
  EXPECT_EQ(sample.image.width, 4);
  EXPECT_EQ(sample.image.rgb, Bytes(pixels.begin(), pixels.begin() + 36));
  EXPECT_THAT(OpenError(dir_ / "i.npy", {.labels = {"a", "b"}, .npy_labels = dir_ / "l.npy"}),
              HasSubstr("label is 7"));
  ASSERT_TRUE(WriteNpy(dir_ / "l.npy", {3}, std::vector<int32_t>{0, 0, 0}).ok());
  EXPECT_THAT(OpenError(dir_ / "i.npy", {.labels = {}, .npy_labels = dir_ / "l.npy"}),
              HasSubstr("expected 2 labels"));
}

TEST_F(DatasetTest, NpyGrayAndFloat) {
  ASSERT_TRUE(WriteNpy(dir_ / "g.npy", {1, 1, 3, 1}, Bytes{5, 6, 7}).ok());
  auto dataset = OpenDataset(dir_ / "g.npy");
  ASSERT_TRUE(dataset.ok());
  Sample sample;
  ASSERT_TRUE((*dataset)->Next(&sample).ok());
  EXPECT_EQ(sample.image.rgb, (Bytes{5, 5, 5, 6, 6, 6, 7, 7, 7}));
  const std::vector<float> values = {0.5f, -1.0f, 2.0f, 3.0f};
  ASSERT_TRUE(WriteNpy(dir_ / "f.npy", {1, 2, 1, 2}, values).ok());
  dataset = OpenDataset(dir_ / "f.npy");
  ASSERT_TRUE(dataset.ok());
  ASSERT_TRUE((*dataset)->Next(&sample).ok());
  EXPECT_TRUE(sample.is_float());
  EXPECT_EQ(sample.float_data, values);
  EXPECT_EQ(sample.float_height, 2);
  EXPECT_EQ(sample.float_width, 1);
  EXPECT_EQ(sample.float_channels, 2);
  EXPECT_FALSE(*(*dataset)->Next(&sample));
  EXPECT_FALSE(sample.is_float());
}

TEST_F(DatasetTest, RefusesOtherArrays) {
  ASSERT_TRUE(WriteNpy(dir_ / "a.npy", {2, 3, 4, 2}, Bytes(48)).ok());
  EXPECT_THAT(OpenError(dir_ / "a.npy"), HasSubstr("holds uint8 [2,3,4,2], expected"));
  ASSERT_TRUE(WriteNpy(dir_ / "a.npy", {6}, std::vector<int32_t>(6)).ok());
  EXPECT_THAT(OpenError(dir_ / "a.npy"), HasSubstr("holds int32 [6]"));
  ASSERT_TRUE(WriteNpy(dir_ / "a.npy", {0, 3, 4, 3}, Bytes()).ok());
  EXPECT_THAT(OpenError(dir_ / "a.npy"), HasSubstr("empty"));
  ASSERT_TRUE(WriteNpy(dir_ / "a.npy", {0, int64_t{1} << 40, int64_t{1} << 40, 3}, Bytes()).ok());
  EXPECT_THAT(OpenError(dir_ / "a.npy"), HasSubstr("empty"));
}

TEST_F(DatasetTest, LimitSpreadsEvenly) {
  std::vector<Bytes> records;
  for (int i = 0; i < 10; ++i) {
    const std::string name = std::to_string(i);
    WriteFile(dir_ / ("folder/" + name + ".png"), png_);
    records.push_back(MakeExample(
        {{"image/encoded", BytesFeature(png_)}, {"image/filename", BytesFeature(name)}}));
  }
  WriteFile(dir_ / "r.tfrecord", MakeTfRecord(records));
  ASSERT_TRUE(WriteNpy(dir_ / "a.npy", {10, 1, 1, 3}, Bytes(30)).ok());
  const auto names = [](const std::vector<std::pair<std::string, int>>& all) {
    std::string s;
    for (const auto& [name, label] : all) s += name + " ";
    return s;
  };
  const DatasetOptions four{.labels = {}, .npy_labels = {}, .max_samples = 4};
  EXPECT_EQ(names(ReadAll(dir_ / "folder", four)), "0.png 2.png 5.png 7.png ");
  EXPECT_EQ(names(ReadAll(dir_ / "r.tfrecord", four)), "0 2 5 7 ");
  EXPECT_EQ(names(ReadAll(dir_ / "a.npy", four)), "a.npy[0] a.npy[2] a.npy[5] a.npy[7] ");
  const DatasetOptions many{.labels = {}, .npy_labels = {}, .max_samples = 11};
  EXPECT_EQ(ReadAll(dir_ / "folder", many).size(), 10u);
}

TEST(FlowersDatasetTest, HasTenAndSixteenPhotosPerClass) {
  OCTET_REQUIRE_DATA();
  const std::vector<std::string> labels = {"roses", "sunflowers", "daisy", "dandelion", "tulips"};
  for (const auto& [name, per_class] :
       std::map<std::string, int>{{"test", 10}, {"validation", 16}}) {
    const auto dataset = OpenDataset(DataDir() + "/flowers/" + name + ".tfrecord",
                                     {.labels = labels, .npy_labels = {}});
    ASSERT_TRUE(dataset.ok()) << dataset.status().message();
    EXPECT_EQ((*dataset)->size(), 5 * per_class);
    std::map<int, int> count;
    for (;;) {
      Sample sample;
      const Result<bool> more = (*dataset)->Next(&sample);
      ASSERT_TRUE(more.ok()) << more.status().message();
      if (!*more) break;
      ++count[sample.label];
      EXPECT_GT(sample.image.width, 100);
      EXPECT_GT(sample.image.height, 100);
    }
    for (int c = 0; c < 5; ++c) EXPECT_EQ(count[c], per_class);
    EXPECT_EQ(count.size(), 5u);
  }
}

TEST(CifarDatasetTest, HasAHundredTestImagesPerClass) {
  OCTET_REQUIRE_DATA();
  const auto dataset = OpenDataset(DataDir() + "/cifar10/test");
  ASSERT_TRUE(dataset.ok()) << dataset.status().message();
  EXPECT_THAT((*dataset)->class_names(),
              ElementsAre("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse",
                          "ship", "truck"));
  EXPECT_EQ((*dataset)->size(), 1000);
  std::map<int, int> count;
  Sample sample;
  for (;;) {
    const Result<bool> more = (*dataset)->Next(&sample);
    ASSERT_TRUE(more.ok()) << more.status().message();
    if (!*more) break;
    ++count[sample.label];
    EXPECT_EQ(sample.image.rgb.size(), 32u * 32 * 3);
  }
  for (int c = 0; c < 10; ++c) EXPECT_EQ(count[c], 100);
}

// Such a sample would vanish in a ReLU, or in the comparison that finds the best class.
TEST_F(DatasetTest, SamplesThatAreNotFiniteAreNamed) {
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> values(3 * 2 * 2 * 1, 0.5f);
    values[4 + 3] = bad;
    ASSERT_TRUE(WriteNpy(dir_ / "x.npy", {3, 2, 2, 1}, values).ok());
    auto dataset = OpenDataset(dir_ / "x.npy");
    ASSERT_TRUE(dataset.ok()) << dataset.status().message();
    Sample sample;
    EXPECT_TRUE((*dataset)->Next(&sample).ok());
    const Result<bool> more = (*dataset)->Next(&sample);
    EXPECT_EQ(more.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(more.status().message(),
                ::testing::MatchesRegex(
                    "x\\.npy\\[1\\]: element 3: found (nan|-inf), expected a finite number"));
    EXPECT_FALSE(sample.is_float());
    const Result<bool> third = (*dataset)->Next(&sample);
    EXPECT_TRUE(third.ok() && *third);
  }
}

}  // namespace
}  // namespace octet
