// Ranges of activations: exact for minmax, near NumPy's definition for percentile; the same of any
// shards; and their files.
#include "converter/calibrate/calibration.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "converter/calibrate/histogram.h"
#include "converter/calibrate/sample_watch.h"
#include "converter/calibrate/table_file.h"
#include "converter/passes/passes.h"
#include "formats/data/shard.h"
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

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
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

/// Numbers of every size and kind, many of them at the edges of bins.
float AnyNumber(std::mt19937* random) {
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(*random);
  };
  const float sign = pick(0, 1) == 0 ? -1.0f : 1.0f;
  switch (pick(0, 6)) {
    case 0:
      return sign * 0.0f;
    case 1:
      return sign * std::ldexp(1.0f, pick(-149, 127));
    case 2:  // Denormal.
      return sign * std::bit_cast<float>(static_cast<uint32_t>(pick(1, 0x7fffff)));
    case 3:  // Beside a power of two.
      return sign *
             std::nextafter(std::ldexp(1.0f, pick(-149, 127)), pick(0, 1) == 0 ? 0.0f : 2e38f);
    case 4:
      return sign * static_cast<float>(pick(0, 4096)) / 1024.0f;
    case 5:
      return sign * std::numeric_limits<float>::max();
    default:
      return std::normal_distribution<float>(0.0f, 1.0f)(*random);
  }
}

TEST(HistogramTest, CountsDependOnTheValuesAlone) {
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    // Of similar size in most rounds.
    std::vector<float> values(1 + random() % 200);
    const float most = std::fabs(AnyNumber(&random));
    for (float& v : values) {
      v = AnyNumber(&random);
      if (round % 4 != 0) v = std::clamp(v, -most, most);
    }
    // By definition, in long doubles.
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    int log2_limit = Histogram::kMinLog2Limit;
    while (*low < -std::ldexp(1.0L, log2_limit) || *high >= std::ldexp(1.0L, log2_limit))
      ++log2_limit;
    std::vector<int64_t> expected(Histogram::kBins, 0);
    for (const float v : values) {
      const long double bin = std::floor(std::ldexp(static_cast<long double>(v), 12 - log2_limit));
      ++expected[static_cast<size_t>(bin + 4096)];
    }
    const double largest = std::max(std::fabs(*low), std::fabs(*high));
    if (largest > 0.0) {
      EXPECT_GE(largest / std::ldexp(1.0, log2_limit - 12), 2048.0);
    }

    for (int order = 0; order < 4; ++order) {
      std::shuffle(values.begin(), values.end(), random);
      std::vector<Histogram> shards(1 + random() % 5);
      for (const float v : values) shards[random() % shards.size()].Add(v);
      std::shuffle(shards.begin(), shards.end(), random);
      Histogram merged;
      for (const Histogram& shard : shards) ASSERT_TRUE(merged.Merge(shard).ok());
      ASSERT_EQ(merged.log2_limit(), log2_limit) << round;
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), merged.counts().begin())) << round;
      ASSERT_EQ(merged.total(), std::ssize(values));
      // And of the counts of another.
      const auto again =
          Histogram::FromCounts(log2_limit, {merged.counts().begin(), merged.counts().end()});
      ASSERT_TRUE(again.ok());
      const Range seen{std::min(*std::min_element(values.begin(), values.end()), 0.0f),
                       std::max(*std::max_element(values.begin(), values.end()), 0.0f)};
      for (const double percent : {60.0, 99.0, 100.0}) {
        const Range a = merged.Percentile(percent, seen), b = again->Percentile(percent, seen);
        EXPECT_EQ(a.min, b.min);
        EXPECT_EQ(a.max, b.max);
        EXPECT_GE(a.min, seen.min);
        EXPECT_LE(a.max, seen.max);
        if (percent == 100.0) {
          EXPECT_EQ(a.min, seen.min);
          EXPECT_EQ(a.max, seen.max);
        }
      }
    }
  }
}

TEST(HistogramTest, RefusesWhatNoneCounted) {
  EXPECT_TRUE(Histogram::FromCounts(Histogram::kMaxLog2Limit, {1}).ok());
  EXPECT_FALSE(Histogram::FromCounts(Histogram::kMaxLog2Limit + 1, {1}).ok());
  EXPECT_FALSE(Histogram::FromCounts(Histogram::kMinLog2Limit - 1, {1}).ok());
  EXPECT_FALSE(Histogram::FromCounts(0, {1, -1}).ok());
  EXPECT_FALSE(Histogram::FromCounts(0, std::vector<int64_t>(Histogram::kBins + 1, 0)).ok());
  EXPECT_FALSE(Histogram::FromCounts(0, {Histogram::kMostValues, 1}).ok());
  auto full = Histogram::FromCounts(0, {Histogram::kMostValues - 1});
  ASSERT_TRUE(full.ok());
  Histogram one;
  one.Add(1.0f);
  EXPECT_TRUE(full->Merge(one).ok());
  EXPECT_FALSE(full->Merge(one).ok());
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
  const auto file = ReadCalibrationFile(folder / "t.json");
  ASSERT_TRUE(file.ok()) << file.status().message();
  const CalibrationTable* read = std::get_if<CalibrationTable>(&*file);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->method, "percentile");
  EXPECT_EQ(read->samples, 80);
  ASSERT_EQ(read->ranges.size(), table.ranges.size());
  for (const auto& [name, r] : table.ranges) {
    EXPECT_EQ(read->ranges.at(name).min, r.min) << name;
    EXPECT_EQ(read->ranges.at(name).max, r.max) << name;
  }
  // The same table gives the same bytes.
  ASSERT_TRUE(WriteCalibrationTable(folder / "u.json", *read).ok());
  EXPECT_EQ(Slurp(folder / "t.json"), Slurp(folder / "u.json"));
}

TEST(CalibrationTableTest, ReaderIsStrict) {
  TempFolder folder;
  const auto error = [&](const std::string& text) {
    std::ofstream(folder / "t.json", std::ios::binary) << text;
    return ReadCalibrationFile(folder / "t.json").status().message();
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
  EXPECT_EQ(ReadCalibrationFile(folder / "missing.json").status().code(), StatusCode::kNotFound);
  CalibrationTable bad;
  bad.ranges["x"] = {0.0f, INFINITY};
  EXPECT_FALSE(WriteCalibrationTable(folder / "bad.json", bad).ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "bad.json"));
}

/// 23 samples for SmallGraph whose sizes differ, some of them the same again.
std::vector<std::vector<float>> UnlikeSamples() {
  std::mt19937 random(7);
  std::vector<std::vector<float>> samples;
  for (int i = 0; i < 23; ++i) {
    std::normal_distribution<float> normal(0.1f, std::ldexp(1.0f, i % 7 - 3));
    std::vector<float> v(20);
    for (float& x : v) x = normal(random);
    samples.push_back(i % 5 == 4 ? samples[static_cast<size_t>(i) / 2] : v);
  }
  return samples;
}

/// What octet_convert makes of one shard of them.
CalibrationPart PartOf(const std::vector<std::vector<float>>& samples, const Shard& shard,
                       const CalibrationOptions& given) {
  const Graph graph = SmallGraph();
  const int64_t total = std::ssize(samples), begin = shard.Begin(total), end = shard.End(total);
  CalibrationPart part;
  part.shard = shard;
  part.whole_samples = static_cast<int>(total);
  part.network = FingerprintOfNetwork(graph).value();
  part.data = "0123456789abcdef";
  part.method = given.method;
  part.percentile = given.percentile;
  CalibrationOptions options = given;
  options.first_sample = static_cast<int>(begin);
  const SampleSource next =
      part.watch.Over(Samples({samples.begin() + begin, samples.begin() + end}), 20);
  auto statistics = CollectStatistics(graph, next, options, {});
  EXPECT_TRUE(statistics.ok()) << statistics.status().message();
  if (statistics.ok()) part.statistics = *statistics;
  return part;
}

TEST(CalibrationPartTest, MergesToTheTableOfASingleRun) {
  TempFolder folder;
  const auto samples = UnlikeSamples();
  const Graph graph = SmallGraph();
  std::mt19937 random(8);
  for (const CalibrationMethod method :
       {CalibrationMethod::kMinMax, CalibrationMethod::kPercentile}) {
    CalibrationOptions options;
    options.method = method;
    options.percentile = 97.3;
    SampleWatch watch;
    const auto whole = Calibrate(graph, watch.Over(Samples(samples), 20), options, {});
    ASSERT_TRUE(whole.ok()) << whole.status().message();
    ASSERT_TRUE(WriteCalibrationTable(folder / "whole.json", *whole).ok());
    EXPECT_GT(whole->unevenness, 1.0);

    std::vector<std::vector<Shard>> cuts{{{0, 2}, {2, 4}, {3, 4}},
                                         {{0, 3}, {2, 6}, {6, 12}, {7, 12}, {2, 3}}};
    for (const int64_t n : {1, 2, 3, 7, 23, 40}) {
      std::vector<Shard>& cut = cuts.emplace_back();
      for (int64_t i = 0; i < n; ++i) cut.push_back({i, n});
    }
    for (std::vector<Shard>& cut : cuts) {
      std::shuffle(cut.begin(), cut.end(), random);
      std::vector<std::string> paths;
      for (const Shard& shard : cut) {
        paths.push_back(folder / ("part" + std::to_string(paths.size()) + ".json"));
        const CalibrationPart part = PartOf(samples, shard, options);
        ASSERT_TRUE(WriteCalibrationPart(paths.back(), part).ok());
        // Every bit comes back.
        const auto read = ReadCalibrationFile(paths.back());
        ASSERT_TRUE(read.ok()) << read.status().message();
        ASSERT_TRUE(
            WriteCalibrationPart(folder / "again.json", std::get<CalibrationPart>(*read)).ok());
        EXPECT_EQ(Slurp(folder / "again.json"), Slurp(paths.back()));
      }
      const auto merged = ReadCalibrationTables(paths, graph);
      ASSERT_TRUE(merged.ok()) << merged.status().message();
      ASSERT_TRUE(WriteCalibrationTable(folder / "merged.json", merged->table).ok());
      EXPECT_EQ(Slurp(folder / "merged.json"), Slurp(folder / "whole.json")) << cut.size();
      // So that warnings are those of the single run too.
      EXPECT_EQ(merged->table.unevenness, whole->unevenness);
      ASSERT_TRUE(merged->watch.has_value());
      EXPECT_EQ(merged->watch->range().min, watch.range().min);
      EXPECT_EQ(merged->watch->range().max, watch.range().max);
      EXPECT_EQ(merged->watch->hashes(), watch.hashes());
      EXPECT_EQ(merged->watch->Doubts(9.0), watch.Doubts(9.0));
    }
  }
}

TEST(CalibrationPartTest, RefusesWhatIsNotOneCalibration) {
  TempFolder folder;
  const auto samples = UnlikeSamples();
  const Graph graph = SmallGraph();
  CalibrationOptions percentile;
  percentile.method = CalibrationMethod::kPercentile;
  const auto write = [&](const std::string& name, CalibrationPart part) {
    EXPECT_TRUE(WriteCalibrationPart(folder / name, part).ok());
    return folder / name;
  };
  const auto part = [&](int64_t i, int64_t n) { return PartOf(samples, {i, n}, percentile); };
  const std::string first = write("first.json", part(0, 3)),
                    second = write("second.json", part(1, 3)),
                    third = write("third.json", part(2, 3)), half = write("half.json", part(0, 2));
  const auto error = [&](const std::vector<std::string>& paths) {
    const auto merged = ReadCalibrationTables(paths, graph);
    EXPECT_EQ(merged.status().code(), StatusCode::kInvalidArgument);
    std::string message = merged.status().message();
    for (size_t at; (at = message.find(folder / "")) != std::string::npos;)
      message.erase(at, (folder / "").size());
    return message;
  };
  EXPECT_EQ(error({first}),
            "calibration tables of the shards after first.json (shard 0/3) are missing");
  EXPECT_EQ(error({third, second}),
            "calibration tables of the shards before second.json (shard 1/3) are missing");
  EXPECT_EQ(error({third, first}),
            "calibration tables of the shards between first.json (shard 0/3) "
            "and third.json (shard 2/3) are missing");
  EXPECT_EQ(error({second, half, third}),
            "calibration tables half.json (shard 0/2) and second.json (shard 1/3) overlap");
  EXPECT_EQ(error({first, second, third, first}),
            "calibration tables first.json (shard 0/3) and first.json (shard 0/3) overlap");

  const auto foreign = [&](const auto& change) {
    CalibrationPart p = part(1, 2);
    change(&p);
    return error({half, write("foreign.json", p)});
  };
  const std::string tail = "; expected parts of one calibration";
  EXPECT_EQ(foreign([](CalibrationPart* p) { p->data = "fedc"; }),
            "foreign.json: is of the data fedc, half.json of the data 0123456789abcdef" + tail);
  EXPECT_EQ(foreign([](CalibrationPart* p) { p->percentile = 99.0; }),
            "foreign.json: is by percentile 99, half.json by percentile 99.999" + tail);
  EXPECT_EQ(foreign([](CalibrationPart* p) { p->fast_decode = true; }),
            "foreign.json: is decoded fast, half.json decoded in full" + tail);
  EXPECT_NE(foreign([](CalibrationPart* p) {
              p->network = 1;
            }).find("foreign.json: is of the network 0000000000000001, half.json of the network "),
            std::string::npos);
  EXPECT_EQ(error({half, write("minmax.json", PartOf(samples, {1, 2}, {}))}),
            "minmax.json: is by minmax, half.json by percentile 99.999" + tail);
  auto fewer = samples;
  fewer.pop_back();
  EXPECT_EQ(error({half, write("fewer.json", PartOf(fewer, {1, 2}, percentile))}),
            "fewer.json: is of 22 samples, half.json of 23 samples" + tail);
  EXPECT_EQ(foreign([](CalibrationPart* p) { p->statistics.tensors.erase("relu"); }),
            "foreign.json: has 3 tensors, expected 4");

  CalibrationTable table;
  table.method = "minmax";
  table.samples = 1;
  ASSERT_TRUE(WriteCalibrationTable(folder / "table.json", table).ok());
  EXPECT_NE(error({half, folder / "table.json"}).find("table.json: is a whole calibration table"),
            std::string::npos);
  EXPECT_NE(error({folder / "table.json", half}).find("table.json: is a whole calibration table"),
            std::string::npos);

  // Another network, or the same with other preprocessing; names do not matter.
  Graph other = SmallGraph();
  other.metadata.name = "other";
  other.metadata.labels = {"a"};
  EXPECT_TRUE(ReadCalibrationTables({first, second, third}, other).ok());
  other.metadata.preprocessing.scale = 0.5f;
  const auto changed = ReadCalibrationTables({first, second, third}, other);
  EXPECT_NE(
      changed.status().message().find("first.json: is a part of a calibration of the network"),
      std::string::npos)
      << changed.status().message();
}

TEST(CalibrationPartTest, ReaderIsStrict) {
  TempFolder folder;
  CalibrationOptions percentile;
  percentile.method = CalibrationMethod::kPercentile;
  ASSERT_TRUE(
      WriteCalibrationPart(folder / "p.json", PartOf(UnlikeSamples(), {1, 7}, percentile)).ok());
  const std::string good = Slurp(folder / "p.json");
  for (const auto& [from, to, expected] : std::vector<std::array<std::string, 3>>{
           {"\"version\": 1", "\"version\": 2", "'version' is 2, expected 1 to 1"},
           {"\"1/7\"", "\"7/7\"", "'7/7' is not a shard"},
           {"\"1/7\"", "1", "'shard' is not a string"},
           {"\"whole_samples\": 23", "\"whole_samples\": 46", "'samples' is 3, expected 7"},
           {"\"whole_samples\": 23", "\"whole_samples\": 0", "'whole_samples'"},
           {"\"network\": \"", "\"network\": \"0", "'network' is not 16 hexadecimal digits"},
           {"\"0123456789abcdef\"", "1", "'data' is not a string"},
           {"\"percentile\": 99.999", "\"percentile\": 101", "'percentile'"},
           {"\"percentile\": 99.999,", "", "'percentile' is missing"},
           {"\"method\": \"percentile\"", "\"method\": \"minmax\"", "'percentile' goes with"},
           {"\"samples\": 3,", "\"samples\": 4,", "'samples' is 4, expected 3"},
           {"\"input\": [", "\"input\": [1e39, ", "'input' is not"},
           {"\"hashes\": [", "\"hashes\": [1, 2, 3, 4, ", "'hashes' is not"},
           {"\"hashes\": [", "\"hashes\": [-1, ", "'hashes' is not"},
           {"\"halves\": [[", "\"halves\": [[0, 1], [", "'halves' is not two"},
           {"\"counts\": [", "\"counts\": [0, ", "has the count 0"},
           {"\"counts\": [", "\"counts\": [1.5, ", "has the count 1.5"},
           {"\"counts\": [", "\"counts\": [18446744073709551615, ", "has the count"},
           {"\"counts\": [", "\"counts\": [9007199254740992, ", "more than 9007199254740992"},
           {"\"counts\": [", "\"counts\": [-8192, ", "more than 8192 bins"},
           {"\"log2_limit\": ", "\"log2_limit\": 1000, \"x\": ", "'x' is not a known field"},
           {"\"log2_limit\"", "\"log3_limit\"", "log3_limit"},
           {"\"fast_decode\": false", "\"fast_decode\": 0", "'fast_decode'"},
       }) {
    std::string text = good;
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    std::ofstream(folder / "t.json", std::ios::binary) << text;
    const auto read = ReadCalibrationFile(folder / "t.json");
    EXPECT_NE(read.status().message().find(expected), std::string::npos)
        << to << ": " << read.status().message();
    EXPECT_NE(read.status().message().find("t.json"), std::string::npos) << to;
  }
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
