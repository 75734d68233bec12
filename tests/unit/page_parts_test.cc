// What a report's page is filled with: pictures, answers, digests and the command line.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "converter/report/html/answers.h"
#include "converter/report/html/pictures.h"
#include "converter/report/html/provenance.h"
#include "engine/src/model_impl.h"
#include "formats/data/image_writer.h"
#include "formats/data/program.h"
#include "tests/packaging/command.h"
#include "tests/small_network.h"

namespace octet {
namespace {

using testing::SmallNetwork;

DecodedImage Gradient(int width, int height) {
  DecodedImage image{width, height, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (const int v : {x * 255 / width, y * 255 / height, 128})
        image.rgb.push_back(static_cast<uint8_t>(v));
  return image;
}

std::vector<uint8_t> Bytes(const std::string& s) { return {s.begin(), s.end()}; }

TEST(PagePartsTest, PicturesAreTheImage) {
  const DecodedImage image = Gradient(40, 30);
  const auto png = EncodePng(image), jpeg = EncodeJpeg(image, 92);
  ASSERT_TRUE(png.ok() && jpeg.ok());
  const auto exact = DecodeImage(Bytes(*png), "png"), near = DecodeImage(Bytes(*jpeg), "jpeg");
  ASSERT_TRUE(exact.ok() && near.ok());
  EXPECT_EQ(exact->rgb, image.rgb);
  ASSERT_EQ(near->rgb.size(), image.rgb.size());
  for (size_t i = 0; i < image.rgb.size(); ++i) EXPECT_NEAR(near->rgb[i], image.rgb[i], 12);
}

TEST(PagePartsTest, ShrinksByMeans) {
  const DecodedImage image = Gradient(100, 50), small = Shrunk(image, 20);
  EXPECT_EQ(small.width, 20);
  EXPECT_EQ(small.height, 10);
  int sum = 0;
  for (int y = 0; y < 5; ++y)
    for (int x = 0; x < 5; ++x) sum += image.rgb[static_cast<size_t>(y * 100 + x) * 3];
  EXPECT_EQ(small.rgb[0], std::lround(sum / 25.0));
  EXPECT_EQ(Shrunk(image, 100).rgb, image.rgb);
  EXPECT_EQ(Shrunk(Gradient(1000, 1), 10).height, 1);
}

TEST(PagePartsTest, InputsBecomePixelsAgain) {
  Graph g = SmallNetwork(Precision::kFp32);
  Preprocessing& p = g.metadata.preprocessing;
  p.stddev = {0.5f, 2.0f, 3.0f, 1.0f};
  p.order = ChannelOrder::kBgr;
  const DecodedImage image = Gradient(20, 20);
  std::vector<float> input;
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    const size_t c = i % 3;  // Of the network's order.
    input.push_back((image.rgb[i - c + 2 - c] * p.scale - p.mean[c]) / p.stddev[c]);
  }
  EXPECT_EQ(SeenInput(g, input).rgb, image.rgb);
}

TEST(PagePartsTest, CountsAnswersAndShowsChangedOnesFirst) {
  const Graph g = SmallNetwork(Precision::kFp32);
  auto model = ModelFromGraph(g);
  ASSERT_TRUE(model.ok());
  ReportPage page;
  page.labels = g.metadata.labels;
  page.models.resize(2);
  const std::vector<std::shared_ptr<const Model>> models(2, *model);
  AnswerRecorder recorder(models, &page);
  const std::vector<float> input(20 * 20 * 3, 0.5f);
  const std::vector<float> zero{5, 1, 0, 0, 0}, one{1, 5, 0, 0, 0};
  const struct {
    const char* name;
    int label;
    std::vector<std::vector<float>> scores;
  } samples[] = {{"right", 0, {zero, zero}},  {"wrong", 1, {zero, zero}},
                 {"lost", 0, {zero, one}},    {"won", 1, {zero, one}},
                 {"unknown", -1, {one, one}}, {"beyond", 7, {one, one}}};
  for (const auto& s : samples)
    ASSERT_TRUE(recorder.Add(s.name, s.label, s.scores, input).ok()) << s.name;
  recorder.Finish();
  EXPECT_EQ(page.samples, 6);
  EXPECT_EQ(page.labelled, 4);
  EXPECT_EQ(page.models[0].correct, 2);
  EXPECT_EQ(page.models[1].correct, 2);
  EXPECT_EQ(page.models[1].lost, 1);
  EXPECT_EQ(page.models[1].won, 1);
  EXPECT_EQ(page.models[1].labels_kept, 4);
  EXPECT_TRUE(std::isinf(*page.models[0].sqnr_db));
  Energies energies;
  for (const auto& s : samples) energies.Add(s.scores[0], s.scores[1]);
  EXPECT_EQ(*page.models[1].sqnr_db, energies.Decibels());
  EXPECT_EQ(page.models[1].confusion.at({0, 1}), 1);
  std::string order;
  for (const PagePhoto& photo : page.photos) order += photo.name + " ";
  EXPECT_EQ(order, "lost won wrong right unknown beyond ");
  EXPECT_EQ(page.photos[0].answers[1].label, g.metadata.labels[1]);
  EXPECT_NEAR(page.photos[0].answers[1].probability,
              std::exp(5.0) / (std::exp(5.0) + std::exp(1.0) + 3.0), 1e-6);
  EXPECT_EQ(DetectImageFormat(Bytes(page.photos[0].jpeg)), ImageFormat::kJpeg);
}

TEST(PagePartsTest, RunsModelsOfEveryPrecision) {
  auto model = ModelFromGraph(SmallNetwork(Precision::kFp32)),
       int8 = ModelFromGraph(SmallNetwork(Precision::kInt8));
  ASSERT_TRUE(model.ok() && int8.ok());
  ReportPage page;
  page.models.resize(2);
  std::vector<NamedSample> samples(3);
  for (size_t i = 0; i < 3; ++i)
    samples[i] = {"s", 0, std::vector<float>(20 * 20 * 3, static_cast<float>(i) - 1.0f)};
  const Status status = RecordAnswers(std::vector{*model, *int8}, samples, &page);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(page.samples, 3);
  EXPECT_EQ(page.photos.size(), 3u);
}

TEST(PagePartsTest, DigestsFilesAndFolders) {
  const testing::TemporaryFolder folder;
  testing::WriteFile(folder / "a", "a");
  // The published value of FNV-1a of 64 bits.
  EXPECT_EQ(*DigestOfPath(folder / "a"), "1 bytes, FNV-1a af63dc4c8601ec8c");
  std::filesystem::create_directory(folder / "b");
  testing::WriteFile(folder / "b/c", "foobar");
  const std::string both = *DigestOfPath(folder / "");
  EXPECT_TRUE(both.starts_with("2 files, 7 bytes, FNV-1a ")) << both;
  testing::WriteFile(folder / "b/c", "foobaz");
  EXPECT_NE(*DigestOfPath(folder / ""), both);
  EXPECT_FALSE(DigestOfPath(folder / "none").ok());
}

TEST(PagePartsTest, CommandsAreForAShell) {
  const char* const argv[] = {"octet", "--data=a b", "", "it's", "$HOME", "x/y.z"};
  const std::string text = CommandText(6, argv);
  EXPECT_EQ(text, R"(octet '--data=a b' '' 'it'\''s' '$HOME' x/y.z)");
  const testing::Outcome o = testing::RunCommand("printf '%s,' " + text);
  EXPECT_EQ(o.out, "octet,--data=a b,,it's,$HOME,x/y.z,");
}

}  // namespace
}  // namespace octet
