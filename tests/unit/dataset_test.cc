#include "formats/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <span>
#include <string>

#include "formats/data/data_paths.h"
#include "formats/data/npy.h"
#include "tests/data_dir.h"
#include "tests/unit/compress.h"
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

/// For a model of these labels.
DatasetOptions Labelled(std::vector<std::string> labels) {
  return {.labels = std::move(labels), .need_labels = true};
}

std::string LabelSource(const std::string& path, const DatasetOptions& options) {
  const auto dataset = OpenDataset(path, options);
  if (!dataset.ok()) return dataset.status().message();
  for (Sample sample;;) {
    const Result<bool> more = (*dataset)->Next(&sample);
    if (!more.ok()) return more.status().message();
    if (!*more) return (*dataset)->label_evidence().Source();
  }
}

TEST_F(DatasetTest, FolderOfClasses) {
  WriteFile(dir_ / "dog/2.png", png_);
  WriteFile(dir_ / "dog/1.PNG", png_);
  WriteFile(dir_ / "dog/notes.txt", "not an image");
  WriteFile(dir_ / "dog/.hidden.png", "not an image");
  WriteFile(dir_ / "cat/x.jpg", kBaselineJpeg);
  WriteFile(dir_ / "README.md", "text");
  // Whoever wants no labels, as calibration, may have folders of any name.
  EXPECT_THAT(ReadAll(dir_.path()),
              ElementsAre(Pair("cat/x.jpg", -1), Pair("dog/1.PNG", -1), Pair("dog/2.png", -1)));
  const auto dataset = OpenDataset(dir_.path());
  ASSERT_TRUE(dataset.ok());
  EXPECT_EQ((*dataset)->description(), "folder of 3 images in 2 classes");
  EXPECT_EQ((*dataset)->label_evidence().Source(), "none");
}

TEST_F(DatasetTest, FoldersAreMatchedWithLabels) {
  WriteFile(dir_ / "dog/1.png", png_);
  WriteFile(dir_ / "Sea_Lion/1.png", png_);
  for (const char* name : {"Sea_Lion", "sea lion", "SEA LION"}) {
    EXPECT_THAT(ReadAll(dir_.path(), Labelled({"dog", "bird", name})),
                ElementsAre(Pair("Sea_Lion/1.png", 2), Pair("dog/1.png", 0)));
  }
  // What is exact goes before what is alike.
  EXPECT_THAT(ReadAll(dir_.path(), Labelled({"DOG", "dog", "SEA_LION"})),
              ElementsAre(Pair("Sea_Lion/1.png", 2), Pair("dog/1.png", 1)));
  EXPECT_EQ(LabelSource(dir_.path(), Labelled({"dog", "sea lion"})), "folders by name");
  const auto error = [&](std::vector<std::string> labels) {
    return OpenError(dir_.path(), Labelled(std::move(labels)));
  };
  // Never by the alphabet, not even when the number fits.
  EXPECT_THAT(error({"Hund", "Katze"}),
              HasSubstr("folder 'Sea_Lion' is named as none of the model's 2 labels ('Hund', "));
  EXPECT_THAT(error({"dog", "bird"}), HasSubstr("folder 'Sea_Lion' is named as none"));
  EXPECT_THAT(error({"dog", "sea lion", "sea_lion"}),
              HasSubstr("folder 'Sea_Lion' may be class 1 ('sea lion') or class 2 ('sea_lion'); "
                        "name the folders by class index"));
  EXPECT_THAT(error({"dog", "x", "dog", "sea lion"}), HasSubstr("may be class 0 ('dog')"));
  EXPECT_THAT(error({}), HasSubstr("octet_convert --labels"));
  WriteFile(dir_ / "DOG/1.png", png_);
  EXPECT_THAT(error({"dog", "sea lion"}), HasSubstr("folders 'DOG' and 'dog' are both class 0"));
}

TEST_F(DatasetTest, FoldersNamedByNumbers) {
  for (const char* folder : {"0", "2", "10"}) WriteFile(dir_ / folder + "/1.png", png_);
  const auto numbers = ElementsAre(Pair("0/1.png", 0), Pair("10/1.png", 10), Pair("2/1.png", 2));
  EXPECT_THAT(ReadAll(dir_.path(), Labelled({})), numbers);
  EXPECT_THAT(ReadAll(dir_.path(), Labelled(std::vector<std::string>(11, "crane"))), numbers);
  EXPECT_EQ(LabelSource(dir_.path(), Labelled({})), "folders by number");
  EXPECT_THAT(OpenError(dir_.path(), Labelled(std::vector<std::string>(10, "x"))),
              HasSubstr("folder '10': label is 10, the model has 10 classes"));
  // A model of classes that are called so.
  EXPECT_THAT(ReadAll(dir_.path(), Labelled({"0", "10", "2"})),
              ElementsAre(Pair("0/1.png", 0), Pair("10/1.png", 1), Pair("2/1.png", 2)));
  WriteFile(dir_ / "02/1.png", png_);
  EXPECT_THAT(OpenError(dir_.path(), Labelled({})),
              HasSubstr("folders '02' and '2' are both class 2"));
  std::filesystem::remove_all(dir_ / "02");
  WriteFile(dir_ / "dog/1.png", png_);
  EXPECT_THAT(OpenError(dir_.path(), Labelled({"dog", "cat"})), HasSubstr("folder '0' is named"));
  EXPECT_THAT(OpenError(dir_.path(), Labelled({})), HasSubstr("folder '0' is not"));
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
  EXPECT_THAT(OpenError(dir_ / "gap", {.max_samples = -1}), HasSubstr("max_samples"));
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
              ElementsAre(Pair("c.png", -1), Pair("d.tfrecord[1]", -1), Pair("d.tfrecord[2]", -1)));
  EXPECT_THAT(ReadAll(dir_ / "d.tfrecord", Labelled({"dog", "x", "y", "cat"})),
              ElementsAre(Pair("c.png", 3), Pair("d.tfrecord[1]", 3), Pair("d.tfrecord[2]", -1)));
  EXPECT_EQ(LabelSource(dir_ / "d.tfrecord", Labelled({"dog", "x", "y", "Cat"})),
            "image/class/label and image/class/text; image/class/text");
  EXPECT_THAT(LabelSource(dir_ / "d.tfrecord", Labelled({})),
              HasSubstr("record 1 at byte 260: has the text 'cat' and no number, and the model has "
                        "no labels"));
}

TEST_F(DatasetTest, TfRecordOfTensorFlowDatasets) {
  const auto encoded = BytesFeature(png_);
  WriteFile(dir_ / "d.tfrecord", MakeTfRecord({MakeExample({{"image", encoded},
                                                            {"label", IntFeature({1})},
                                                            {"file_name", BytesFeature("x.png")}}),
                                               MakeExample({{"image", encoded}})}));
  EXPECT_THAT(ReadAll(dir_ / "d.tfrecord", Labelled({"a", "b"})),
              ElementsAre(Pair("x.png", 1), Pair("d.tfrecord[1]", -1)));
  WriteFile(dir_ / "d.tfrecord",
            MakeTfRecord({MakeExample({{"image", encoded},
                                       {"label", IntFeature({1})},
                                       {"image/class/label", IntFeature({0})}})}));
  EXPECT_THAT(LabelSource(dir_ / "d.tfrecord", Labelled({"a", "b"})),
              HasSubstr("features image/class/label and label are not the same"));
}

TEST_F(DatasetTest, TfRecordNumbersAndTextsMustAgree) {
  struct Record {
    int64_t label;  ///< -2: none.
    std::string text;
  };
  const auto read = [&](const std::vector<Record>& records, std::vector<std::string> labels) {
    std::vector<Bytes> all;
    for (const Record& r : records) {
      std::vector<std::pair<std::string, Bytes>> features{{"image/encoded", BytesFeature(png_)}};
      if (r.label != -2) features.emplace_back("image/class/label", IntFeature({r.label}));
      features.emplace_back("image/class/text", BytesFeature(r.text));
      all.push_back(MakeExample(features));
    }
    WriteFile(dir_ / "d.tfrecord", MakeTfRecord(all));
    std::string s;
    for (const auto& [name, label] : ReadAll(dir_ / "d.tfrecord", Labelled(labels)))
      s += label == -2 ? name : std::to_string(label) + " ";
    return s;
  };
  const std::vector<std::string> rgb = {"red", "green", "blue"};
  EXPECT_EQ(read({{0, "red"}, {2, "blue"}, {-1, ""}, {1, ""}, {-2, "Green"}}, rgb), "0 2 -1 1 1 ");
  // Labels from 1, as TF-slim writes.
  EXPECT_EQ(read({{1, "red"}, {3, "blue"}, {2, "green"}}, rgb), "0 2 1 ");
  EXPECT_EQ(LabelSource(dir_ / "d.tfrecord", Labelled(rgb)), "labels from 1, by image/class/text");
  EXPECT_EQ(read({{1, "red"}, {3, "blue"}}, {"background", "red", "green", "blue"}), "1 3 ");
  EXPECT_THAT(read({{0, "red"}, {2, "green"}}, rgb),
              HasSubstr("record 1 at byte 207: has label 2 and the text 'green', which is the "
                        "model's label 1; the model's label 2 is 'blue'"));
  EXPECT_THAT(read({{2, "green"}, {2, "blue"}}, rgb), HasSubstr("labels before count from 1"));
  EXPECT_THAT(read({{1, "red"}, {2, ""}}, rgb), HasSubstr("has label 2 and no text"));
  EXPECT_THAT(read({{2, ""}, {1, "red"}}, rgb), HasSubstr("has label 1 and the text 'red'"));
  EXPECT_THAT(read({{0, "blue"}}, rgb), HasSubstr("the model's label 0 is 'red'"));
  EXPECT_THAT(
      read({{1, "mauve"}}, rgb),
      HasSubstr("has label 1 and the text 'mauve', which is none of the model's labels; the "
                "model's label 1 is 'green'"));
  EXPECT_THAT(read({{7, "mauve"}}, rgb), HasSubstr("the model has 3 classes"));
  EXPECT_THAT(read({{3, ""}}, rgb), HasSubstr("label is 3, the model has 3 classes"));
  // ImageNet has two cranes, and two maillots side by side.
  const std::vector<std::string> cranes = {"crane", "x", "crane", "maillot", "maillot"};
  EXPECT_EQ(read({{2, "crane"}, {0, "crane"}, {4, "maillot"}, {3, "maillot"}}, cranes), "2 0 4 3 ");
  EXPECT_THAT(read({{1, "x"}, {1, "crane"}}, cranes),
              HasSubstr("has label 1 and the text 'crane'"));
  EXPECT_THAT(read({{-2, "crane"}}, cranes), HasSubstr("labels 0 and 2, and no number"));
  // Without the model's labels, numbers count; but one cannot have two texts.
  EXPECT_EQ(read({{5, "crane"}, {9, "crane"}, {5, "crane"}}, {}), "5 9 5 ");
  EXPECT_THAT(read({{5, "crane"}, {5, "red"}}, {}),
              HasSubstr("has label 5 and the text 'red', records before have the text 'crane'"));
}

TEST_F(DatasetTest, SeveralFiles) {
  const auto record = [&](int64_t label) {
    return MakeTfRecord({MakeExample(
        {{"image/encoded", BytesFeature(png_)}, {"image/class/label", IntFeature({label})}})});
  };
  for (int i = 0; i < 3; ++i) {
    const std::string of = std::to_string(i) + "-of-00003";
    WriteFile(dir_ / "set/train-0000" + of, record(i));
    WriteFile(dir_ / "two/a.tfrecord-0000" + of, record(i));
  }
  WriteFile(dir_ / "set/features.json", "{}");
  const auto labels = [&](const std::vector<std::string>& paths, const DatasetOptions& options) {
    const auto dataset = OpenDataset(paths, options);
    if (!dataset.ok()) return dataset.status().message();
    std::string s;
    for (Sample sample; (*dataset)->Next(&sample).value() && !sample.name.empty();)
      s += std::to_string(sample.label);
    return s + " " + (*dataset)->description();
  };
  const DatasetOptions any = Labelled({});
  const std::string all = "012 3 TFRecord files of 3 samples";
  EXPECT_EQ(labels({dir_ / "set"}, any), all);
  EXPECT_EQ(labels({dir_ / "set/train-*"}, any), all);
  EXPECT_EQ(labels({dir_ / "two/a.tfrecord*"}, any), all);
  EXPECT_EQ(labels({dir_ / "set/train-00002-of-00003", dir_ / "set/train-0000[01]-of-00003"}, any),
            "201 3 TFRecord files of 3 samples");
  EXPECT_EQ(labels({dir_ / "set/train-00002-of-00003"}, any), "2 TFRecord file of 1 records");
  for (const char* pattern :
       {"s?t/train-*", "[!ab]et/train-*[0-9]*", "*et/*rain*of*", "set/[t]rain-*"})
    EXPECT_EQ(labels({dir_ / pattern}, any), all) << pattern;
  for (const char* pattern : {"set/test-*", "set/?", "[a-r]et/train-*", "set/train-*x"})
    EXPECT_THAT(labels({dir_ / pattern}, any), HasSubstr("nothing matches this pattern"));
  EXPECT_THAT(labels({dir_ / "set/train-0000[01]-of-00003"}, any),
              HasSubstr("train-00002-of-00003: this shard is missing, 3 were expected"));
  EXPECT_THAT(labels({dir_ / "set", dir_ / "set/train-00000-of-00003"}, any),
              HasSubstr("was given twice"));
  EXPECT_THAT(labels({}, any), HasSubstr("no data"));
  DatasetOptions two = any;
  two.max_samples = 2;
  EXPECT_EQ(labels({dir_ / "set"}, two), "01 3 TFRecord files of 3 samples");
  std::filesystem::remove(dir_ / "set/train-00001-of-00003");
  EXPECT_THAT(labels({dir_ / "set"}, any),
              HasSubstr("train-00001-of-00003: this shard is missing"));
  EXPECT_EQ(labels({dir_ / "set"}, {}), "-1-1 2 TFRecord files of 2 samples");
  WriteFile(dir_ / "two/b.tfrecord", record(0));
  EXPECT_THAT(labels({dir_ / "two"}, any), HasSubstr("holds several sets of records (a.tfrecord-"));
  WriteFile(dir_ / "set/photo.png", png_);
  EXPECT_THAT(labels({dir_ / "set"}, any),
              HasSubstr("both files of records and images (photo.png)"));
  EXPECT_THAT(labels({dir_ / "two/b.tfrecord", dir_ / "set/photo.png"}, any),
              HasSubstr("photo.png: is a one image, "));
  // A name that reads as a pattern, but is a file's.
  WriteFile(dir_ / "x[1].tfrecord", record(7));
  EXPECT_EQ(labels({dir_ / "x[1].tfrecord"}, any), "7 TFRecord file of 1 records");
}

TEST_F(DatasetTest, NumberedShards) {
  const auto record = [&](int i) {
    return MakeTfRecord({MakeExample({{"image", BytesFeature(png_)}, {"label", IntFeature({i})}})});
  };
  WriteFile(dir_ / "t-00000-of-00002", record(1));
  EXPECT_THAT(OpenError(dir_ / "t@2"),
              HasSubstr("t-00001-of-00002: this shard is missing, 2 were expected"));
  WriteFile(dir_ / "t-00001-of-00002", record(2));
  EXPECT_THAT(ReadAll(dir_ / "t@2", Labelled({})),
              ElementsAre(Pair("t-00000-of-00002[0]", 1), Pair("t-00001-of-00002[0]", 2)));
  for (const char* other : {"t@", "t@0", "t@02", "t@x", "@2", "t@1234567"})
    EXPECT_THAT(OpenError(dir_ / other), HasSubstr(other)) << other;
}

/// Names, labels and errors of a shard; errors do not end the list.
std::vector<std::string> ReadShard(const std::vector<std::string>& paths, const Shard& shard,
                                   const std::string& npy_labels, std::string* fingerprint) {
  DatasetOptions options = Labelled({});
  options.npy_labels = npy_labels;
  options.shard = shard;
  options.any_kind = true;
  const auto dataset = OpenDataset(paths, options);
  if (!dataset.ok()) return {dataset.status().message()};
  *fingerprint = (*dataset)->Fingerprint().value();
  std::vector<std::string> all;
  for (Sample sample;;) {
    const Result<bool> more = (*dataset)->Read(&sample);
    if (more.ok() && !*more) break;
    all.push_back(more.ok() ? sample.name + " " + std::to_string(sample.label)
                            : more.status().message());
  }
  EXPECT_TRUE((*dataset)->size() < 0 || (*dataset)->size() == std::ssize(all));
  return all;
}

TEST_F(DatasetTest, ShardsAreAllSamplesOnce) {
  std::vector<Bytes> records;
  std::vector<std::pair<std::string, Bytes>> members;
  std::mt19937 random(1);
  for (int i = 0; i < 60; ++i) {
    const std::string name = "p" + std::to_string(i);
    // Of random sizes; behind a PNG anything may follow.
    Bytes image = png_;
    image.resize(png_.size() + random() % 3000);
    records.push_back(MakeExample({{"image/encoded", BytesFeature(image)},
                                   {"image/filename", BytesFeature(name)},
                                   {"image/class/label", IntFeature({i})}}));
    if (i % 3 == 0) members.emplace_back(name + ".cls", ToBytes(std::to_string(i)));
    members.emplace_back(name + (i == 20 ? ".txt" : ".png"), image);
    WriteFile(dir_ / ("f/" + name + ".png"), png_);
  }
  const Bytes tfrecord = MakeTfRecord(records), tar = MakeTar(members);
  WriteFile(dir_ / "r.tfrecord", tfrecord);
  WriteFile(dir_ / "r.tfrecord.gz", Compress(tfrecord, 31));
  WriteFile(dir_ / "w.tar", tar);
  WriteFile(dir_ / "w.tar.gz", Compress(tar, 31));
  Bytes data_damaged = tfrecord, lost = tfrecord, tar_lost = tar;
  data_damaged[data_damaged.size() / 2] ^= 1;
  lost.resize(lost.size() / 3);
  tar_lost.resize(tar_lost.size() / 3);
  WriteFile(dir_ / "d.tfrecord", data_damaged);
  WriteFile(dir_ / "l.tfrecord", lost);
  WriteFile(dir_ / "l.tar", tar_lost);
  ASSERT_TRUE(WriteNpy(dir_ / "a.npy", {7, 1, 1, 3}, Bytes(21)).ok());
  ASSERT_TRUE(WriteNpy(dir_ / "b.npy", {4, 1, 1, 3}, Bytes(12)).ok());
  std::vector<int32_t> numbers(11);
  for (int i = 0; i < 11; ++i) numbers[static_cast<size_t>(i)] = 100 + i;
  ASSERT_TRUE(WriteNpy(dir_ / "labels.npy", {11}, numbers).ok());

  const std::vector<std::vector<std::string>> sets{
      {"r.tfrecord"},
      {"r.tfrecord", "r.tfrecord.gz", "d.tfrecord", "l.tfrecord"},
      {"w.tar"},
      {"w.tar", "l.tar", "w.tar.gz"},
      {"f"},
      {"a.npy", "b.npy"},
      {"f/p1.png", "f/none.png", "r.tfrecord", "f", "f/p3.png", "w.tar"}};
  for (const auto& names : sets) {
    std::vector<std::string> paths;
    for (const std::string& name : names) paths.push_back(dir_ / name);
    const std::string labels = names[0] == "a.npy" ? dir_ / "labels.npy" : std::string();
    std::string fingerprint;
    const std::vector<std::string> whole = ReadShard(paths, {}, labels, &fingerprint);
    EXPECT_GE(whole.size(), names[0] == "a.npy" ? 11u : 59u) << whole[0];
    for (const int64_t count : {1, 2, 3, 8, 50, 500}) {
      std::vector<std::string> joined;
      for (Shard shard{0, count}; shard.index < count; ++shard.index) {
        std::string same;
        const std::vector<std::string> part = ReadShard(paths, shard, labels, &same);
        EXPECT_EQ(same, fingerprint);
        joined.insert(joined.end(), part.begin(), part.end());
        EXPECT_TRUE(count == 1 || part.size() < whole.size());
      }
      ASSERT_EQ(joined.size(), whole.size()) << names[0] << " in " << count;
      for (size_t i = 0; i < whole.size(); ++i)
        ASSERT_EQ(joined[i], whole[i]) << names[0] << " in " << count;
    }
    if (names[0] != "r.tfrecord") continue;
    std::string other;
    ReadShard({dir_ / "w.tar"}, {}, "", &other);
    EXPECT_NE(other, fingerprint);
  }
}

TEST_F(DatasetTest, ShardsOfDamagedFilesAreTheWhole) {
  std::vector<Bytes> records;
  std::vector<std::pair<std::string, Bytes>> members;
  for (int i = 0; i < 4; ++i) {
    const std::string name = "p" + std::to_string(i);
    records.push_back(MakeExample({{"image/encoded", BytesFeature(png_)}}));
    members.emplace_back(name + ".png", png_);
    members.emplace_back(name + ".cls", ToBytes("1"));
  }
  const std::vector<std::pair<std::string, Bytes>> files{{"x.tar", MakeTar(members)},
                                                         {"x.tfrecord", MakeTfRecord(records)}};
  std::mt19937 random(1);
  for (const auto& [name, bytes] : files) {
    const auto same = [&](const std::string& what) {
      std::vector<std::string> paths, whole;
      for (const char* folder : {"1/", "2/", "3/"})
        paths.push_back(dir_ / (std::string(folder) + name));
      std::string ignored;
      whole = ReadShard(paths, {}, "", &ignored);
      for (const int64_t count : {3, 4, 100}) {
        std::vector<std::string> joined;
        for (Shard shard{0, count}; shard.index < count; ++shard.index) {
          const std::vector<std::string> part = ReadShard(paths, shard, "", &ignored);
          joined.insert(joined.end(), part.begin(), part.end());
        }
        ASSERT_EQ(joined, whole) << what << " in " << count;
      }
    };
    for (const char* folder : {"1/", "2/", "3/"})
      WriteFile(dir_ / (std::string(folder) + name), bytes);
    // Cut at the blocks of a tar file, of whose records the last ones end it, and elsewhere.
    for (size_t size = 0; size < bytes.size(); size += 64) {
      for (const char* folder : {"1/", "3/"})
        WriteFile(dir_ / (std::string(folder) + name),
                  Bytes(bytes.begin(), bytes.begin() + static_cast<long>(size)));
      ASSERT_NO_FATAL_FAILURE(same(name + " cut at " + std::to_string(size)));
    }
    for (int i = 0; i < 50; ++i) {
      Bytes damaged = bytes;
      const size_t at = random() % damaged.size();
      damaged[at] ^= 1 << random() % 8;
      for (const char* folder : {"1/", "3/"})
        WriteFile(dir_ / (std::string(folder) + name), damaged);
      ASSERT_NO_FATAL_FAILURE(same(name + " with another bit at " + std::to_string(at)));
    }
  }
}

TEST_F(DatasetTest, OneOfManyMayBeEmpty) {
  WriteFile(dir_ / "a.tfrecord", Bytes());
  WriteFile(dir_ / "b.tar", MakeTar({{"readme.txt", ToBytes("none")}}));
  WriteFile(dir_ / "c.tar", MakeTar({{"x.png", png_}}));
  const DatasetOptions any{.any_kind = true};
  EXPECT_EQ(ReadAll(dir_ / "[abc].t*", any).size(), 1u);
  EXPECT_THAT(OpenError(dir_ / "[ab].t*", any), HasSubstr("the data set is empty"));
  EXPECT_THAT(OpenError(dir_ / "a.tfrecord", any), HasSubstr("the data set is empty"));
  EXPECT_THAT(OpenError(dir_ / "[bc].tar"), HasSubstr("b.tar: the data set is empty"));
}

TEST_F(DatasetTest, LabelsOfSeveralArrays) {
  ASSERT_TRUE(WriteNpy(dir_ / "a.npy", {2, 1, 1, 3}, Bytes(6)).ok());
  ASSERT_TRUE(WriteNpy(dir_ / "b.npy", {1, 1, 1, 3}, Bytes(3)).ok());
  ASSERT_TRUE(WriteNpy(dir_ / "l.npy", {3}, std::vector<int32_t>{4, 5, 6}).ok());
  DatasetOptions options = Labelled({});
  options.npy_labels = dir_ / "l.npy";
  EXPECT_THAT(ReadAll(dir_ / "[ab].npy", options),
              ElementsAre(Pair("a.npy[0]", 4), Pair("a.npy[1]", 5), Pair("b.npy[0]", 6)));
  WriteFile(dir_ / "x.png", png_);
  EXPECT_THAT(OpenError(dir_ / "x.png", options), HasSubstr("l.npy: labels of .npy files, but "));
  EXPECT_THAT(OpenError(dir_ / "x.png", {.raw = true}), HasSubstr("only .npy arrays can be raw"));
}

TEST_F(DatasetTest, TfRecordErrorsNameTheRecord) {
  const Bytes good = MakeExample({{"image/encoded", BytesFeature(png_)}});
  const auto error = [&](const Bytes& record) {
    WriteFile(dir_ / "d.tfrecord", MakeTfRecord({good, record, good}));
    const auto all = ReadAll(dir_ / "d.tfrecord", Labelled({}));
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
  const auto dataset = OpenDataset(dir_ / "i.npy", {.npy_labels = dir_ / "l.npy"});
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
  EXPECT_THAT(OpenError(dir_ / "i.npy", {.npy_labels = dir_ / "l.npy"}),
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

TEST_F(DatasetTest, BytesThatAreNoPhotosAreNumbers) {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{1, 2, 2, 2}, {1, 2, 1, 4}, {1, 8}}) {
    ASSERT_TRUE(WriteNpy(dir_ / "n.npy", shape, Bytes{1, 2, 3, 4, 5, 6, 7, 255}).ok());
    const auto dataset = OpenDataset(dir_ / "n.npy");
    ASSERT_TRUE(dataset.ok()) << dataset.status().message();
    Sample sample;
    ASSERT_TRUE((*dataset)->Next(&sample).ok());
    EXPECT_TRUE(sample.is_float());
    EXPECT_EQ(sample.float_data, (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 255}));
  }
}

TEST_F(DatasetTest, ArraysOfOtherRanksAndTypes) {
  const auto read = [&](const DatasetOptions& options) {
    const auto dataset = OpenDataset(dir_ / "a.npy", options);
    EXPECT_TRUE(dataset.ok()) << dataset.status().message();
    Sample sample;
    EXPECT_TRUE((*dataset)->Next(&sample).value());
    return sample;
  };
  ASSERT_TRUE(WriteNpy(dir_ / "a.npy", {1, 2, 2}, Bytes{1, 2, 3, 4}).ok());
  EXPECT_EQ(read({}).image.rgb, (Bytes{1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4}));
  Sample sample = read({.raw = true});
  EXPECT_TRUE(sample.codes);
  EXPECT_THAT(sample.float_data, ElementsAre(1, 2, 3, 4));
  ASSERT_TRUE(WriteNpy(dir_ / "a.npy", {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6}).ok());
  sample = read({});
  EXPECT_FALSE(sample.codes);
  EXPECT_THAT(sample.float_data, ElementsAre(1, 2, 3));
  EXPECT_EQ(sample.float_height, 1);
  EXPECT_EQ(sample.float_channels, 3);
  ASSERT_TRUE(WriteNpy(dir_ / "a.npy", {1, 2, 3}, std::vector<float>(6, 1.0f)).ok());
  sample = read({});
  EXPECT_EQ(sample.float_height, 2);
  EXPECT_EQ(sample.float_width, 3);
  EXPECT_EQ(sample.float_channels, 1);
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
  const DatasetOptions four{.max_samples = 4};
  EXPECT_EQ(names(ReadAll(dir_ / "folder", four)), "0.png 2.png 5.png 7.png ");
  EXPECT_EQ(names(ReadAll(dir_ / "r.tfrecord", four)), "0 2 5 7 ");
  EXPECT_EQ(names(ReadAll(dir_ / "a.npy", four)), "a.npy[0] a.npy[2] a.npy[5] a.npy[7] ");
  const DatasetOptions many{.max_samples = 11};
  EXPECT_EQ(ReadAll(dir_ / "folder", many).size(), 10u);

  // Shards of what a limit leaves have what the whole has, in its order.
  for (const char* name : {"folder", "r.tfrecord", "a.npy"}) {
    for (const int64_t limit : {0, 4, 7, 10, 20}) {
      const std::string whole = names(ReadAll(dir_ / name, {.max_samples = limit}));
      for (const int64_t count : {1, 2, 3, 7, 30}) {
        std::string joined;
        for (int64_t i = 0; i < count; ++i)
          joined += names(ReadAll(
              dir_ / name, {.max_samples = limit, .sample_shard = {.index = i, .count = count}}));
        EXPECT_EQ(joined, whole) << name << " limit " << limit << " shards " << count;
      }
    }
  }
  const auto shard = OpenDataset(dir_ / "folder", {.max_samples = 7, .sample_shard = {1, 3}});
  ASSERT_TRUE(shard.ok());
  EXPECT_EQ((*shard)->size(), 2);
  EXPECT_EQ((*shard)->whole_size(), 7);
  // What is outside a shard is not looked at, and what cannot be counted has none.
  WriteFile(dir_ / "folder/0.png", Bytes{1, 2, 3});
  EXPECT_EQ(names(ReadAll(dir_ / "folder", {.sample_shard = {4, 5}})), "8.png 9.png ");
  const Bytes file = MakeTfRecord(records);
  WriteFile(dir_ / "cut.tfrecord", std::span(file).first(file.size() - 3));
  EXPECT_THAT(OpenError(dir_ / "cut.tfrecord", {.max_samples = 4, .sample_shard = {0, 2}}),
              HasSubstr("no shard can be taken"));
}

TEST_F(DatasetTest, FingerprintsSayWhichDataItIs) {
  for (const char* folder : {"a", "b"}) {
    WriteFile(dir_ / (std::string(folder) + "/roses/1.png"), png_);
    WriteFile(dir_ / (std::string(folder) + "/tulips/2.png"), png_);
    WriteFile(dir_ / (std::string(folder) + "/r.tfrecord"), MakeTfRecord({png_}));
  }
  const auto of = [&](const std::vector<std::string>& files) {
    std::vector<std::string> paths;
    for (const std::string& file : files) paths.push_back(dir_ / file);
    return FingerprintOfData(paths).value();
  };
  const std::string folder = of({"a"}), record = of({"a/r.tfrecord"});
  // The same in another place, with files that are no data.
  WriteFile(dir_ / "b/notes.txt", png_);
  WriteFile(dir_ / "b/.hidden/1.png", png_);
  WriteFile(dir_ / "b/roses/.1.png", png_);
  EXPECT_EQ(of({"b"}), folder);
  EXPECT_EQ(of({"b/r.tfrecord"}), record);
  EXPECT_NE(of({"a", "a/r.tfrecord"}), of({"a/r.tfrecord", "a"}));
  EXPECT_NE(of({"a", "a"}), folder);
  // Another name, another class, another size.
  std::filesystem::rename(dir_ / "b/roses/1.png", dir_ / "b/roses/3.png");
  EXPECT_NE(of({"b"}), folder);
  std::filesystem::rename(dir_ / "b/roses/3.png", dir_ / "b/tulips/1.png");
  EXPECT_NE(of({"b"}), folder);
  WriteFile(dir_ / "b/r.tfrecord", MakeTfRecord({png_, png_}));
  EXPECT_NE(of({"b/r.tfrecord"}), record);
  EXPECT_FALSE(FingerprintOfData({dir_ / "none"}).ok());
}

TEST(FlowersDatasetTest, HasTenAndSixteenPhotosPerClass) {
  OCTET_REQUIRE_DATA();
  const std::vector<std::string> labels = {"roses", "sunflowers", "daisy", "dandelion", "tulips"};
  for (const auto& [name, per_class] :
       std::map<std::string, int>{{"test", 10}, {"validation", 16}}) {
    const auto dataset =
        OpenDataset(DataDir() + "/flowers/" + name + ".tfrecord", Labelled(labels));
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
  const auto dataset = OpenDataset(DataDir() + "/cifar10/test", Labelled(CifarLabels()));
  ASSERT_TRUE(dataset.ok()) << dataset.status().message();
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
  for (const auto& [bad, found] : {std::pair{std::numeric_limits<float>::quiet_NaN(), "nan"},
                                   std::pair{-std::numeric_limits<float>::infinity(), "-inf"}}) {
    std::vector<float> values(3 * 2 * 2 * 1, 0.5f);
    values[4 + 3] = bad;
    ASSERT_TRUE(WriteNpy(dir_ / "x.npy", {3, 2, 2, 1}, values).ok());
    auto dataset = OpenDataset(dir_ / "x.npy");
    ASSERT_TRUE(dataset.ok()) << dataset.status().message();
    Sample sample;
    EXPECT_TRUE((*dataset)->Next(&sample).ok());
    const Result<bool> more = (*dataset)->Next(&sample);
    EXPECT_EQ(more.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(more.status().message(),
              std::string("x.npy[1]: element 3: found ") + found + ", expected a finite number");
    EXPECT_FALSE(sample.is_float());
    const Result<bool> third = (*dataset)->Next(&sample);
    EXPECT_TRUE(third.ok() && *third);
  }
}

}  // namespace
}  // namespace octet
