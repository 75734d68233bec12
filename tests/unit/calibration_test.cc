// Ranges of activations: exact for minmax, near NumPy's definition for percentile, and their file.
#include "converter/calibrate/calibration.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "converter/calibrate/sample_watch.h"
#include "converter/passes/passes.h"
#include "tests/sample_graphs.h"
#include "tests/unit/naive_interpreter.h"

namespace octet {
namespace {

class TempFolder {
 public:
  TempFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("octet_calibration_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// image -> 1x1 convolution by -2 with ReLU behind a second branch that keeps the sign -> flatten.
Graph SmallGraph() {
  Graph g;
  const TensorId x = g.AddActivation("image", DType::kF32, {1, 4, 5, 1});
  g.inputs = {x};
  const float minus_two = -2.0f;
  const TensorId w = g.AddConstant("w", DType::kF32, {1, 1, 1, 1}, &minus_two, sizeof(minus_two));
  const TensorId y = g.AddActivation("scaled", DType::kF32, {1, 4, 5, 1});
  g.AddNode(OpType::kConv2d, "scaled", {x, w}, y);
  const TensorId r = g.AddActivation("relu", DType::kF32, {1, 4, 5, 1});
  g.AddNode(OpType::kConv2d, "relu", {x, w}, r).activation = Activation::kRelu;
  const TensorId p = g.AddActivation("pooled", DType::kF32, {1, 1, 1, 1});
  g.AddNode(OpType::kGlobalAveragePool, "pooled", {r}, p);
  const TensorId f = g.AddActivation("flat", DType::kF32, {1, 1});
  g.AddNode(OpType::kReshape, "flat", {p}, f);
  g.outputs = {y, f};
  return g;
}

SampleSource Samples(std::vector<std::vector<float>> samples) {
  return [samples = std::move(samples), at = size_t{0}](float* to) mutable -> Result<bool> {
    if (at == samples.size()) return false;
    std::copy(samples[at].begin(), samples[at].end(), to);
    ++at;
    return true;
  };
}

std::vector<float> Constant(float v) { return std::vector<float>(20, v); }

TEST(CalibrateTest, MinMaxIsExactAndContainsZero) {
  std::vector<float> first = Constant(1.0f), second = Constant(0.25f);
  first[7] = 3.5f;
  second[19] = -0.75f;
  int calls = 0;
  const auto table =
      Calibrate(SmallGraph(), Samples({first, second}), {}, [&](int done, int total) {
        EXPECT_EQ(done, ++calls);
        EXPECT_EQ(total, 100);
      });
  ASSERT_TRUE(table.ok()) << table.status().message();
  EXPECT_EQ(table->method, "minmax");
  EXPECT_EQ(table->samples, 2);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(table->ranges.at("image").min, -0.75f);
  EXPECT_EQ(table->ranges.at("image").max, 3.5f);
  EXPECT_EQ(table->ranges.at("scaled").min, -7.0f);
  EXPECT_EQ(table->ranges.at("scaled").max, 1.5f);
  EXPECT_EQ(table->ranges.at("relu").min, 0.0f);
  EXPECT_EQ(table->ranges.at("relu").max, 1.5f);
  EXPECT_EQ(table->ranges.at("flat").max, table->ranges.at("pooled").max);
  EXPECT_EQ(table->ranges.size(), 5u);
}

TEST(CalibrateTest, StopsAtTheLimit) {
  int asked = 0;
  const SampleSource endless = [&](float* to) -> Result<bool> {
    std::fill_n(to, 20, 1.0f);
    ++asked;
    return true;
  };
  CalibrationOptions options;
  options.max_samples = 7;
  const auto table = Calibrate(SmallGraph(), endless, options, {});
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(table->samples, 7);
  EXPECT_EQ(asked, 7);
}

TEST(CalibrateTest, PercentileCutsBothTails) {
  // 8000 values of a normal distribution, growing from sample to sample so that the histogram must
  // grow as well.
  std::mt19937 random(3);
  std::vector<std::vector<float>> samples;
  std::vector<float> all;
  for (int s = 0; s < 400; ++s) {
    std::normal_distribution<float> normal(0.0f, s < 4 ? 1e-4f : 1.0f);
    std::vector<float> v(20);
    for (float& x : v) x = normal(random);
    all.insert(all.end(), v.begin(), v.end());
    samples.push_back(std::move(v));
  }
  std::sort(all.begin(), all.end());
  CalibrationOptions options;
  options.method = CalibrationMethod::kPercentile;
  options.percentile = 98.0;
  options.max_samples = 1000;
  const auto table = Calibrate(SmallGraph(), Samples(samples), options, {});
  ASSERT_TRUE(table.ok()) << table.status().message();
  EXPECT_EQ(table->method, "percentile");
  const Range r = table->ranges.at("image");
  EXPECT_NEAR(r.min, all[all.size() / 100], 0.01);  // 1 % on each side.
  EXPECT_NEAR(r.max, all[all.size() - all.size() / 100 - 1], 0.01);
  EXPECT_EQ(table->ranges.at("relu").min, 0.0f);
  EXPECT_NEAR(table->ranges.at("scaled").max, -2.0f * r.min, 0.02);
  // A reshape has what its input has.
  EXPECT_EQ(table->ranges.at("flat").max, table->ranges.at("pooled").max);

  options.percentile = 100.0;
  const auto whole = Calibrate(SmallGraph(), Samples(samples), options, {});
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->ranges.at("image").min, all.front());
  EXPECT_EQ(whole->ranges.at("image").max, all.back());
}

TEST(CalibrateTest, HugeAndTinyValues) {
  CalibrationOptions options;
  options.method = CalibrationMethod::kPercentile;
  options.percentile = 100.0;
  const auto table = Calibrate(
      SmallGraph(), Samples({Constant(0.0f), Constant(1e-30f), Constant(1.5e38f)}), options, {});
  ASSERT_TRUE(table.ok()) << table.status().message();
  EXPECT_EQ(table->ranges.at("image").max, 1.5e38f);
}

TEST(CalibrateTest, Errors) {
  const Graph g = SmallGraph();
  const auto none = Calibrate(g, Samples({}), {}, {});
  EXPECT_EQ(none.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(none.status().message(), "the calibration data holds no sample");

  std::vector<float> bad = Constant(1.0f);
  bad[3] = std::nanf("");
  const auto nan = Calibrate(g, Samples({Constant(1.0f), bad}), {}, {});
  EXPECT_EQ(nan.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(nan.status().message().find("sample 1"), std::string::npos) << nan.status().message();
  EXPECT_NE(nan.status().message().find("image"), std::string::npos) << nan.status().message();

  // -2 times that is not a number any more.
  const auto overflow = Calibrate(g, Samples({Constant(3e38f)}), {}, {});
  EXPECT_NE(overflow.status().message().find("scaled"), std::string::npos)
      << overflow.status().message();

  const auto failing =
      Calibrate(g, [](float*) -> Result<bool> { return IoError("disk on fire"); }, {}, {});
  EXPECT_EQ(failing.status().message(), "disk on fire");

  CalibrationOptions options;
  options.percentile = 49.0;
  EXPECT_FALSE(Calibrate(g, Samples({Constant(1.0f)}), options, {}).ok());
  options.percentile = 99.0;
  options.max_samples = 0;
  EXPECT_FALSE(Calibrate(g, Samples({Constant(1.0f)}), options, {}).ok());
}

TEST(CalibrateTest, AgreesWithTheInterpreter) {
  Graph g = testing::SampleGraph(Precision::kFp32);
  ASSERT_TRUE(Optimize(&g).ok());
  std::vector<float> x(static_cast<size_t>(g.tensor(g.inputs[0]).shape.num_elements()));
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  for (float& v : x) v = normal(random);
  const auto table = Calibrate(g, Samples({x}), {}, {});
  ASSERT_TRUE(table.ok()) << table.status().message();
  const auto values = testing::EvaluateAll(g, x);
  for (size_t i = 0; i < g.tensors.size(); ++i) {
    if (g.tensors[i].is_constant()) continue;
    const auto [min, max] = std::minmax_element(values[i].begin(), values[i].end());
    const Range r = table->ranges.at(g.tensors[i].name);
    EXPECT_NEAR(r.min, std::min(*min, 0.0), 1e-4 * (1 + std::fabs(*min))) << g.tensors[i].name;
    EXPECT_NEAR(r.max, std::max(*max, 0.0), 1e-4 * (1 + std::fabs(*max))) << g.tensors[i].name;
  }
}

TEST(CalibrationTableTest, RoundTripsEveryFloat) {
  TempFolder folder;
  CalibrationTable table;
  table.method = "percentile";
  table.samples = 80;
  std::mt19937 random(2);
  for (int i = 0; i < 500; ++i) {
    float v = 0.0f;
    do {
      const uint32_t bits = static_cast<uint32_t>(random());
      v = std::bit_cast<float>(bits);
    } while (!std::isfinite(v));
    table.ranges["t/" + std::to_string(i)] = {std::min(v, 0.0f), std::max(v, 0.0f)};
  }
  table.ranges["with \"quotes\" and \\ and \n"] = {-0.1f, 0.1f};
  ASSERT_TRUE(WriteCalibrationTable(folder / "t.json", table).ok());
  const auto read = ReadCalibrationTable(folder / "t.json");
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->method, "percentile");
  EXPECT_EQ(read->samples, 80);
  ASSERT_EQ(read->ranges.size(), table.ranges.size());
  for (const auto& [name, r] : table.ranges) {
    EXPECT_EQ(read->ranges.at(name).min, r.min) << name;
    EXPECT_EQ(read->ranges.at(name).max, r.max) << name;
  }
  // The same table gives the same bytes.
  ASSERT_TRUE(WriteCalibrationTable(folder / "u.json", *read).ok());
  const auto slurp = [](const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_EQ(slurp(folder / "t.json"), slurp(folder / "u.json"));
}

TEST(CalibrationTableTest, ReaderIsStrict) {
  TempFolder folder;
  const auto error = [&](const std::string& text) {
    std::ofstream(folder / "t.json", std::ios::binary) << text;
    return ReadCalibrationTable(folder / "t.json").status().message();
  };
  const std::string head = R"({"version":1,"method":"minmax","samples":3,"ranges":)";
  EXPECT_EQ(error(head + R"({"a":[0,1]}})"), "");
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"", "not valid JSON"},
           {"[1]", "not an object"},
           {R"({"version":2,"method":"minmax","samples":3,"ranges":{}})", "version"},
           {R"({"method":"minmax","samples":3,"ranges":{}})", "version"},
           {R"({"version":1,"samples":3,"ranges":{}})", "method"},
           {R"({"version":1,"method":7,"samples":3,"ranges":{}})", "method"},
           {R"({"version":1,"method":"minmax","samples":-3,"ranges":{}})", "samples"},
           {R"({"version":1,"method":"minmax","samples":3})", "ranges"},
           {R"({"version":1,"method":"minmax","samples":3,"ranges":[]})", "ranges"},
           {R"({"version":1,"method":"minmax","samples":3,"ranges":{},"extra":1})", "extra"},
           {head + R"({"a":[0,1,2]}})", "'a'"},
           {head + R"({"a":[1,0]}})", "'a'"},
           {head + R"({"a":[0,"1"]}})", "'a'"},
           {head + R"({"a":[0,1e39]}})", "'a'"},
           {head + R"({"a":null}})", "'a'"},
       }) {
    const std::string message = error(text);
    EXPECT_NE(message.find(expected), std::string::npos) << text << ": " << message;
    EXPECT_NE(message.find("t.json"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  EXPECT_EQ(ReadCalibrationTable(folder / "missing.json").status().code(), StatusCode::kNotFound);
  CalibrationTable bad;
  bad.ranges["x"] = {0.0f, INFINITY};
  EXPECT_FALSE(WriteCalibrationTable(folder / "bad.json", bad).ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "bad.json"));
}

TEST(SampleWatchTest, TellsOfFewOfTheSameAndOfUneven) {
  const auto doubts = [](int samples, int different, double unevenness = 1.0) {
    SampleWatch watch;
    int at = 0;
    const SampleSource next = watch.Over(
        [&](float* to) -> Result<bool> {
          if (at == samples) return false;
          to[0] = 1.0f;
          to[1] = static_cast<float>(at++ % different);
          return true;
        },
        2);
    float to[2];
    while (*next(to)) EXPECT_EQ(to[0], 1.0f);
    return watch.Doubts(unevenness);
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(doubts(8, 8), Texts());
  EXPECT_EQ(doubts(100, 51), Texts());
  EXPECT_EQ(doubts(100, 50), Texts{"of the 100 calibration samples only 50 are different"});
  EXPECT_EQ(doubts(1, 1),
            Texts{"calibrated on 1 sample; fewer than 8 seldom show the whole range"});
  EXPECT_EQ(doubts(7, 1),
            (Texts{"calibrated on 7 samples; fewer than 8 seldom show the whole range",
                   "of the 7 calibration samples only 1 is different"}));
  EXPECT_EQ(doubts(8, 8, 1.5), Texts());
  EXPECT_EQ(doubts(7, 7, 9.0).size(), 1u);  // They are too few anyway.
  EXPECT_EQ(doubts(8, 8, 2.24),
            Texts{"ranges of every other calibration sample reach 2.2 times as far as those of the "
                  "rest: a few samples, unlike the others, make them; calibrate with more that the "
                  "network will get"});
}

}  // namespace
}  // namespace octet
