// bench_resnet as a user runs it: its numbers agree with each other.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "tests/packaging/tools.h"

namespace octet::testing {
namespace {

class BenchResnetTest : public ToolsTest {};

TEST_F(BenchResnetTest, PrintsNothingButJson) {
  const Outcome o = RunCommand(kBench +
                               " --json --min-time=0 --warmup=0 --depth=20 --precision=all "
                               "--threads=1,2 --batch=1,3 --profile");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.err, "");
  const Json j = Json::parse(o.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded()) << o.out;
  EXPECT_TRUE(j["machine"].is_object());
  ASSERT_EQ(j["results"].size(), 24u);
  for (const Json& r : j["results"]) {
    EXPECT_LE(r["min_ms"].get<double>(), r["median_ms"].get<double>());
    EXPECT_LE(r["median_ms"].get<double>(), r["p90_ms"].get<double>());
    EXPECT_GE(r["runs"].get<int>(), 5);
    int64_t macs = 0;
    for (const Json& l : r["profile"]) macs += l["macs"].get<int64_t>();
    EXPECT_GT(macs, 40000000);
  }
}

// Whoever sizes a machine counts on it: a network needs its file, its activations and at most 8
// MiB.
TEST_F(BenchResnetTest, ResidentMemoryIsFileAndActivations) {
#ifdef OCTET_SANITIZED
  GTEST_SKIP() << "sanitizers need memory of their own";
#endif
  if (!std::ifstream("/proc/self/statm")) GTEST_SKIP() << "no /proc";
  const Outcome o = RunCommand(kBench + " --json --min-time=0 --precision=all --threads=1,2");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out, nullptr, false);
  ASSERT_EQ(j["results"].size(), 12u);
  for (const Json& r : j["results"]) {
    const int64_t needed = r["file_bytes"].get<int64_t>() + r["arena_bytes"].get<int64_t>();
    const int64_t resident = r["resident_bytes"].get<int64_t>();
    EXPECT_GT(resident, needed - (int64_t{1} << 20)) << r.dump();
    EXPECT_LE(resident, needed + (int64_t{8} << 20)) << r.dump();
  }
}

TEST_F(BenchResnetTest, TakesModelsAndNames) {
  const Outcome o = RunCommand(kBench + " --csv --min-time=0 --model=" + File("int8.octet"));
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(std::count(o.out.begin(), o.out.end(), '\n'), 2) << o.out;
  EXPECT_NE(o.out.find("flowers_resnet,int8,1,1,"), std::string::npos) << o.out;
  ExpectError(kBench + " --precision=fp32 --model=" + File("int8.octet"), 1, "precision");
  // Its own precision, unless another is asked for.
  for (const std::string precision : {"", " --precision=fp32"}) {
    const Outcome own =
        RunCommand(kBench + " --csv --min-time=0 --model=" + File("fp32.octet") + precision);
    EXPECT_EQ(own.code, 0) << own.err;
    EXPECT_NE(own.out.find("flowers_resnet,fp32,1,1,"), std::string::npos) << own.out;
  }
  ExpectError(kBench + " --precision=int8 --model=" + File("fp32.octet"), 1,
              "precision is fp32, expected int8");
  ExpectError(kBench + " --precision=all " + File("fp32.octet"), 2,
              "--precision: all goes with a synthetic network");
  ExpectError(kBench + " --network=alexnet", 1, "alexnet");
  EXPECT_EQ(RunCommand(kBench + " --min-time=0 --network=flowers --precision=hybrid").code, 0);
  const Outcome small = RunCommand(kBench + " --min-time=0 --network=resnet8 --json");
  ASSERT_EQ(small.code, 0) << small.err;
  EXPECT_EQ(Json::parse(small.out, nullptr, false)["results"][0]["model"], "resnet8");
}

TEST_F(BenchResnetTest, GivesPercentilesAndEveryTime) {
  const Outcome o = RunCommand(kBench + " --json --runs=30 --warmup=1 --threads=1,2 --dump-times=" +
                               File("times.csv") + " " + File("int8.octet"));
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out, nullptr, false);
  ASSERT_EQ(j["results"].size(), 2u);
  std::map<int, std::vector<double>> times;
  std::istringstream csv(ReadFile(*folder_ / "times.csv"));
  std::string line;
  std::getline(csv, line);
  EXPECT_EQ(line, "model,precision,threads,batch,session,run,ms");
  while (std::getline(csv, line)) {
    int threads = 0, run = 0;
    double ms = 0;
    ASSERT_EQ(std::sscanf(line.substr(line.find(",int8,")).c_str(), ",int8,%d,1,0,%d,%lf", &threads,
                          &run, &ms),
              3)
        << line;
    EXPECT_EQ(run, static_cast<int>(times[threads].size()));
    times[threads].push_back(ms);
  }
  for (const Json& r : j["results"]) {
    std::vector<double>& t = times[r["threads"].get<int>()];
    ASSERT_EQ(t.size(), 30u);
    EXPECT_EQ(r["runs"], 30);
    std::sort(t.begin(), t.end());
    EXPECT_NEAR(r["min_ms"].get<double>(), t[0], 1e-6);
    EXPECT_NEAR(r["median_ms"].get<double>(), t[15], 1e-6);
    EXPECT_NEAR(r["p90_ms"].get<double>(), t[27], 1e-6);
    EXPECT_NEAR(r["p99_ms"].get<double>(), t[29], 1e-6);
    EXPECT_NEAR(r["max_ms"].get<double>(), t[29], 1e-6);
    const double mean = std::accumulate(t.begin(), t.end(), 0.0) / 30;
    EXPECT_NEAR(r["mean_ms"].get<double>(), mean, 1e-5);
    const double squares =
        std::inner_product(t.begin(), t.end(), t.begin(), 0.0) - 30 * mean * mean;
    EXPECT_NEAR(r["stddev_ms"].get<double>(), std::sqrt(squares / 29), 1e-3);
    const bool disturbed = t[15] >= 1.5 * t[0];
    EXPECT_EQ(
        o.err.find("threads " + std::to_string(r["threads"].get<int>()) + ",") != std::string::npos,
        disturbed)
        << o.err;
  }
  const Outcome table = RunCommand(kBench + " --csv --runs=3 " + File("int8.octet"));
  EXPECT_EQ(table.out.rfind("model,precision,threads,batch,isa,median_ms,min_ms,p90_ms,runs,"
                            "first_ms,file_bytes,p99_ms,",
                            0),
            0u)
      << table.out;
  ExpectError(kBench + " --runs=3 --min-time=1", 2, "--min-time");
}

TEST_F(BenchResnetTest, RunsSessionsAtOnce) {
  const Outcome o =
      RunCommand(kBench + " --json --runs=40 --sessions=2 --batch=2 " + File("int8.octet"));
  ASSERT_EQ(o.code, 0) << o.err;
  const Json r = Json::parse(o.out, nullptr, false)["results"][0];
  EXPECT_EQ(r["sessions"], 2);
  EXPECT_EQ(r["runs"], 80);  // Of both.
  // Never more than if each had a core of its own.
  EXPECT_LE(r["images_per_second"].get<double>(), 2 * 2e3 / r["min_ms"].get<double>());
  EXPECT_GT(r["images_per_second"].get<double>(), 0.0);
}

TEST_F(BenchResnetTest, StaysOnItsProcessors) {
  const std::string bench = kBench + " --runs=3 --csv " + File("int8.octet");
  const Outcome allowed = RunCommand("taskset -cp $$ | sed 's/.*: //; s/[-,].*//'");
  if (allowed.code != 0 || allowed.out.empty()) GTEST_SKIP() << "no taskset";
  const std::string cpu = allowed.out.substr(0, allowed.out.size() - 1);
  EXPECT_EQ(RunCommand(bench + " --cpu=" + cpu).code, 0);
  EXPECT_EQ(RunCommand(bench + " --sessions=2 --cpu=" + cpu).code, 0);
  ExpectError(bench + " --cpu=1023", 1, "--cpu: cannot run on processor 1023");
  ExpectError(bench + " --cpu=-1", 2, "--cpu");
}

TEST_F(BenchResnetTest, ComparesFilesInTurns) {
  const std::string files = File("fp32.octet") + " " + File("int8.octet");
  const Outcome o = RunCommand(kBench + " --json --runs=7 --rounds=3 " + files);
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out, nullptr, false);
  ASSERT_EQ(j["results"].size(), 2u);
  EXPECT_EQ(j["results"][0]["precision"], "fp32");
  EXPECT_EQ(j["results"][1]["precision"], "int8");
  for (const Json& r : j["results"]) EXPECT_EQ(r["runs"], 7);
  const Outcome table = RunCommand(kBench + " --runs=2 --model=" + File("fp32.octet") +
                                   " --model=" + File("int8.octet"));
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_NE(table.out.find("to 1st"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("  1.000\n"), std::string::npos) << table.out;
  ExpectError(kBench + " --rounds=3 " + File("int8.octet"), 2, "--rounds");
  ExpectError(kBench + " " + File("int8.octet") + " --depth=18", 2, "--depth");
  ExpectError(kBench + " --precision=int8 " + files, 1, "precision is fp32, expected int8");
  ExpectError(kBench + " --batch=65536 " + files, 1, "take more than 4294967296 bytes");
}

TEST_F(BenchResnetTest, ProfilesAddUp) {
  const std::string profile = kBench + " --runs=9 --profile " + File("int8.octet");
  const Outcome json = RunCommand(profile + " --json");
  ASSERT_EQ(json.code, 0) << json.err;
  EXPECT_EQ(Json::parse(json.out, nullptr, false)["results"][0]["profile"].size(), 27u);
  for (const std::string order : {"network", "time", "type"}) {
    const Outcome o = RunCommand(profile + " --sort=" + order);
    ASSERT_EQ(o.code, 0) << o.err;
    std::istringstream lines(o.out.substr(o.out.find("medians of the layers")));
    std::string line;
    std::vector<double> times;
    double sum = 0, total = 0;
    while (std::getline(lines, line)) {
      std::istringstream words(line);
      std::vector<std::string> before;
      for (std::string word; words >> word && word != "%";) before.push_back(word);
      if (!words || before.size() < 3) continue;
      (before[0] == "sum" ? total : times.emplace_back()) = std::stod(before.end()[-2]);
    }
    for (double t : times) sum += t;
    EXPECT_NEAR(sum, total, 0.01 * static_cast<double>(times.size())) << o.out;
    EXPECT_GT(total, 0.0);
    EXPECT_TRUE(order == "network" || std::is_sorted(times.rbegin(), times.rend())) << o.out;
    EXPECT_EQ(times.size() < 12, order == "type") << o.out;
  }
  ExpectError(kBench + " --sort=time " + File("int8.octet"), 2, "--profile");
}

TEST_F(BenchResnetTest, TakesInputsAndGivesOutputs) {
  const std::string bench = kBench + " --runs=2 --csv " + File("int8.octet");
  ASSERT_EQ(
      RunCommand(bench + " --input " + File("red.ppm") + " --output " + File("bench.npy")).code, 0);
  ASSERT_EQ(RunCommand(kOctet + " run " + File("int8.octet") + " --input " + File("red.ppm") +
                       " --output " + File("run.npy"))
                .code,
            0);
  EXPECT_EQ(ReadFile(*folder_ / "bench.npy"), ReadFile(*folder_ / "run.npy"));
  // Fewer samples than images come again.
  ASSERT_EQ(
      RunCommand(bench + " --batch=3 --input " + File("red.ppm") + " --output " + File("three.npy"))
          .code,
      0);
  const std::string one = ReadFile(*folder_ / "run.npy"), three = ReadFile(*folder_ / "three.npy");
  const std::string row = one.substr(one.size() - 20);
  EXPECT_EQ(three.substr(three.size() - 60), row + row + row);
  ExpectError(bench + " --input " + File("missing.npy"), 1, "missing.npy");
  ExpectError(bench + " --input no=" + File("red.ppm"), 1, "expected NAME=FILE");
  ExpectError(bench + " --threads=1,2 --output " + File("no.npy"), 2, "--output");
  ExpectError(kBench + " --input " + File("red.ppm"), 2, "--input: goes with a file");
}

}  // namespace
}  // namespace octet::testing
