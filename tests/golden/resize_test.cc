// Scaled images must have the frameworks' own bits in 8 bits, and be within a millionth of the
// range in floating point.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "converter/import/importer.h"
#include "converter/import/preprocessing_json.h"
#include "engine/src/model_impl.h"
#include "engine/src/preprocess.h"
#include "formats/data/npy.h"
#include "kernels/dispatch.h"
#include "tests/golden/exporter_environment.h"
#include "tests/pixel_noise.h"

namespace octet {
namespace {

using testing::PixelNoise;

/// What tests/data/pixels/make_resized.py wrote, on every instruction set of this machine or only
/// on the best.
void CompareAll(const std::string& path, bool all_sets) {
  std::ifstream text(path + ".txt"), binary(path + ".bin", std::ios::binary);
  ASSERT_TRUE(text && binary) << path;
  std::vector<const kernels::KernelTable*> tables;
  if (all_sets) {
    for (const kernels::TableInfo& info : kernels::AllTables())
      if (info.availability == kernels::Availability::kNative) tables.push_back(info.table);
  } else {
    tables.push_back(*kernels::SelectTable(""));
  }
  struct Worst {
    int cases = 0;
    double difference = 0.0;
  };
  std::map<std::string, Worst> worst;
  int w, h, c, out_w, out_h, out_c, failures = 0;
  std::string kind, json;
  while (text >> w >> h >> c >> out_w >> out_h >> out_c >> kind && std::getline(text, json)) {
    const auto p = ParsePreprocessing(json, "case");
    ASSERT_TRUE(p.ok()) << p.status().message() << json;
    const size_t count = static_cast<size_t>(out_w) * out_h * out_c;
    std::vector<char> expected(count * (kind == "u1" ? 1 : 4));
    ASSERT_TRUE(binary.read(expected.data(), static_cast<std::streamsize>(expected.size())));
    const std::vector<uint8_t> noise = PixelNoise(w, h, c);
    for (const kernels::KernelTable* table : tables) {
      Preprocessor preprocessor(*p, out_h, out_w, out_c, *table);
      const auto resized = preprocessor.Resize({noise.data(), w, h, FormatOfChannels(c)});
      ASSERT_TRUE(resized.ok()) << resized.status().message() << json;
      std::vector<float> values(count);
      ASSERT_TRUE(
          preprocessor.ToFloat({noise.data(), w, h, FormatOfChannels(c)}, values.data()).ok());
      double largest = 0.0;
      for (size_t i = 0; i < count; ++i) {
        double wanted = static_cast<uint8_t>(expected[i]);
        if (kind == "f4") {
          float v;
          std::memcpy(&v, &expected[4 * i], 4);
          wanted = double{v};
        }
        largest = std::max(largest, std::fabs(double{values[i]} - wanted));
      }
      Worst& rule = worst[json];
      rule.difference = std::max(rule.difference, largest);
      ++rule.cases;
      const double limit = kind == "u1" ? 0.0 : 255e-6;
      if (largest > limit && ++failures < 20) {
        ADD_FAILURE() << w << "x" << h << "x" << c << " to " << out_w << "x" << out_h << json
                      << " with " << table->name << ": differs by " << largest;
      }
    }
  }
  EXPECT_EQ(failures, 0);
  EXPECT_GT(worst.size(), 0u);
  for (const auto& [rule, result] : worst) {
    if (rule.find("resize_shorter") + 1 + rule.find("input_size") + 1 != 0) continue;
    std::printf("%6d cases, at most %.3g apart:%s\n", result.cases, result.difference,
                rule.c_str());
  }
}

class ResizeTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ResizeTest, SmallImagesAreTheFrameworks) {
  CompareAll(std::string(OCTET_SOURCE_DIR "/tests/data/pixels/") + GetParam(), true);
}

/// OCTET_RESIZE_CASES: how many of each rule; 30 without. OCTET_RESIZE_SEED: 1 without.
TEST_P(ResizeTest, RandomImagesAreTheFrameworks) {
  const std::string framework = GetParam();
  OCTET_REQUIRE_EXPORTERS(framework == "torchvision" || framework == "pillow12" ? "torch"
                                                                                : "tensorflow");
  const auto setting = [](const char* name, const char* usual) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : usual);
  };
  const std::string out = ::testing::TempDir() + "octet_resized_" + framework;
  const std::string command = python + " " OCTET_SOURCE_DIR "/tests/data/pixels/make_resized.py " +
                              framework + " " + out + " " + setting("OCTET_RESIZE_CASES", "30") +
                              " " + setting("OCTET_RESIZE_SEED", "1") + " 2>" + out + ".err";
  ASSERT_EQ(std::system(command.c_str()), 0) << "see " << out << ".err";
  CompareAll(out, false);
  for (const char* end : {".txt", ".bin", ".err"}) std::filesystem::remove(out + end);
}

/// Photos of any size through models that scale them at their head.
void CompareModels(const std::string& python, const std::string& kind) {
  namespace fs = std::filesystem;
  const std::string folder = ::testing::TempDir() + "octet_resizing_" + kind;
  fs::create_directories(folder);
  const std::string command = python + " " OCTET_SOURCE_DIR "/tests/golden/export_resizing.py " +
                              folder + " " + kind + " >" + folder + ".log 2>&1";
  ASSERT_EQ(std::system(command.c_str()), 0) << "see " << folder << ".log";
  int models = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string at = entry.path().string();
    SCOPED_TRACE(at);
    auto graph = ImportModel(at + (kind == "onnx" ? "/model.onnx" : "/model.keras"), {});
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    EXPECT_EQ(graph->metadata.preprocessing.resampling.framework, Framework::kTensorflow);
    const auto model = ModelFromGraph(*std::move(graph));
    ASSERT_TRUE(model.ok()) << model.status().message();
    const auto session = Session::Create(*model);
    auto photo = NpyReader::Open(at + "/photo.npy"),
         expected = NpyReader::Open(at + "/expected.npy");
    ASSERT_TRUE(session.ok() && photo.ok() && expected.ok());
    const std::vector<int64_t>& shape = photo->header().shape;
    std::vector<uint8_t> pixels(static_cast<size_t>(shape[1] * shape[2] * 3));
    ASSERT_TRUE(photo->Read(0, static_cast<int64_t>(pixels.size()), pixels.data()).ok());
    std::vector<float> wanted(static_cast<size_t>(expected->header().shape[1]));
    ASSERT_TRUE(expected->Read(0, static_cast<int64_t>(wanted.size()), wanted.data()).ok());
    const Image image{pixels.data(), static_cast<int>(shape[2]), static_cast<int>(shape[1])};
    const auto answer = (*session)->ClassifyBatch(&image, 1);
    ASSERT_TRUE(answer.ok()) << answer.status().message();
    ASSERT_EQ(answer->size(), wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR((*answer)[i], wanted[i], 1e-6);
    ++models;
  }
  EXPECT_GE(models, 2);
  fs::remove_all(folder);
}

TEST(HeadResizing, OfKerasModels) {
  OCTET_REQUIRE_EXPORTERS("tensorflow");
  CompareModels(python, "keras");
}

TEST(HeadResizing, OfOnnxModels) {
  OCTET_REQUIRE_EXPORTERS("torch");
  CompareModels(python, "onnx");
}

INSTANTIATE_TEST_SUITE_P(Frameworks, ResizeTest,
                         ::testing::Values("tensorflow", "pillow", "pillow12", "torchvision",
                                           "opencv"));

}  // namespace
}  // namespace octet
