// octet score and octet merge as a user runs them, and octet evaluate in shards: rows in order,
// from everywhere, the same whatever the threads and shards; kills, and what does not belong
// together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "formats/data/sha256.h"
#include "formats/model/octet_file.h"
#include "tests/packaging/command.h"
#include "tests/small_network.h"
#include "tests/unit/data_test_util.h"

namespace octet::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;

const std::string kTool = Quote(OCTET_TOOL_PATH);

Graph BrightestChannel(std::vector<std::string> labels, const std::string& name = "brightest") {
  Graph g = MeansNetwork(3, false, std::move(labels));
  g.metadata.name = name;
  return g;
}

class ScoreTest : public ::testing::Test {
 protected:
  static constexpr int kPhotos = 90;

  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    ASSERT_TRUE(WriteModel(Path("m.octet"), BrightestChannel({"red", "green", "bl,\"ue"})).ok());
    ASSERT_TRUE(
        WriteModel(Path("second.octet"), BrightestChannel({"red", "green", "bl,\"ue"}, "second"))
            .ok());
    ASSERT_TRUE(WriteModel(Path("other.octet"), BrightestChannel({"r", "g", "b"})).ok());
    std::vector<Bytes> records;
    std::vector<std::pair<std::string, Bytes>> members;
    std::mt19937 random(7);
    for (int i = 0; i < kPhotos; ++i) {
      char name[24];
      std::snprintf(name, sizeof(name), "p%03d.png", i);
      const auto color = [&] { return static_cast<uint8_t>(random() % 256); };
      Bytes photo = MakeColorPng(4 + i % 3, 2, color(), color(), color());
      if (i % 17 == 5) photo.resize(photo.size() / 2);  // Bad ones.
      records.push_back(MakeExample({{"image/encoded", BytesFeature(photo)},
                                     {"image/filename", BytesFeature(name)},
                                     {"image/class/label", IntFeature({i % 3})}}));
      members.emplace_back(name, photo);
      testing::WriteFile(Path(std::string("photos/") + name), photo);
    }
    const auto part = [&](int i) {
      return std::vector<Bytes>(records.begin() + i * kPhotos / 3,
                                records.begin() + (i + 1) * kPhotos / 3);
    };
    for (int i = 0; i < 3; ++i)
      testing::WriteFile(Path("t-0000" + std::to_string(i) + "-of-00003"), MakeTfRecord(part(i)));
    testing::WriteFile(Path("photos.tar"), MakeTar(members));
    std::vector<Bytes> good;
    for (int i = 0; i < kPhotos; ++i)
      if (i % 17 != 5) good.push_back(records[static_cast<size_t>(i)]);
    testing::WriteFile(Path("good.tfrecord"), MakeTfRecord(good));
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static std::string Path(const std::string& name) { return *folder_ / name; }
  static std::string File(const std::string& name) { return Quote(Path(name)); }

  static std::string Score(const std::string& arguments) {
    return kTool + " score --model " + File("m.octet") + " " + arguments;
  }
  /// Rows of a run that ends well.
  static std::vector<std::string> Rows(const std::string& arguments) {
    return Lines(Good(Score(arguments)).out);
  }
  static std::vector<std::string> Lines(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  static Outcome Good(const std::string& command) {
    Outcome o = RunCommand(command);
    EXPECT_EQ(o.code, 0) << command << "\n" << o.err;
    return o;
  }
  /// A new folder.
  static std::string Fresh(const std::string& name) {
    fs::remove_all(Path(name));
    return Path(name);
  }

  inline static TemporaryFolder* folder_ = nullptr;
};

TEST_F(ScoreTest, RowsSayWhatIsOnEachPhoto) {
  const std::vector<std::string> rows = Rows(File("photos"));
  ASSERT_EQ(rows.size(), static_cast<size_t>(kPhotos));
  const std::string hash = Sha256OfFile(Path("m.octet"))->substr(0, 16);
  for (int i = 0; i < kPhotos; ++i) {
    const Json row = Json::parse(rows[static_cast<size_t>(i)], nullptr, false);
    ASSERT_FALSE(row.is_discarded()) << rows[static_cast<size_t>(i)];
    char name[24];
    std::snprintf(name, sizeof(name), "p%03d.png", i);
    const std::string path = Path("photos/") + name;
    EXPECT_EQ(row["key"], path);
    EXPECT_EQ(row["model"], hash);
    EXPECT_EQ(row["crc32c"].get<std::string>().size(), 8u);
    if (i % 17 == 5) {
      EXPECT_THAT(row["error"].get<std::string>(), HasSubstr(path));
      EXPECT_FALSE(row.contains("top"));
      continue;
    }
    const Json classified = Json::parse(
        Good(kTool + " classify --json --model " + File("m.octet") + " " + Quote(path)).out);
    const Json& top = row["top"];
    ASSERT_EQ(top.size(), 3u);
    for (size_t k = 0; k < 3; ++k) {
      EXPECT_EQ(top[k]["index"], classified[0]["predictions"][k]["index"]);
      EXPECT_EQ(top[k]["label"], classified[0]["predictions"][k]["label"]);
      // Shorter, but the same float.
      EXPECT_EQ(top[k]["probability"].get<float>(),
                classified[0]["predictions"][k]["probability"].get<float>());
    }
    EXPECT_EQ(row["margin"].get<float>(),
              top[0]["probability"].get<float>() - top[1]["probability"].get<float>());
    if (i > 20) i += 7;  // A program each takes its time.
  }
}

TEST_F(ScoreTest, RowsAreTheSameFromEverywhere) {
  // All but the keys, and what errors call the photo.
  const auto facts = [](const std::vector<std::string>& rows) {
    std::vector<std::string> all;
    for (const std::string& row : rows) {
      Json j = Json::parse(row);
      j.erase("key");
      if (j.contains("error")) j["error"] = true;
      all.push_back(j.dump());
    }
    return all;
  };
  const std::vector<std::string> expected = facts(Rows(File("photos")));
  EXPECT_EQ(facts(Rows(File("photos.tar"))), expected);
  EXPECT_EQ(facts(Rows(Quote(Path("t@3")))), expected);
  EXPECT_EQ(facts(Rows(Quote(Path("t-*")))), expected);
  EXPECT_EQ(facts(Rows(Quote(Path("photos/p*.png")))), expected);
  const std::string list = "find " + File("photos") + " -name '*.png' -print0 | sort -z | ";
  EXPECT_EQ(facts(Lines(Good(list + Score("--stdin=paths0")).out)), expected);
  EXPECT_EQ(facts(Lines(Good(list + "tr '\\0' '\\n' | " + Score("--stdin=paths")).out)), expected);
  EXPECT_EQ(facts(Lines(Good(list + "xargs -0 " + Score("")).out)), expected);
  std::string frames;
  for (const auto& entry : std::set<fs::path>{fs::directory_iterator(Path("photos")), {}}) {
    const std::string bytes = ReadFile(entry.string());
    for (int i = 0; i < 4; ++i) frames += static_cast<char>(bytes.size() >> (8 * i));
    frames += bytes;
  }
  std::ofstream(Path("frames"), std::ios::binary) << frames;
  EXPECT_EQ(facts(Lines(Good(Score("--stdin=frames") + " <" + File("frames")).out)), expected);
}

TEST_F(ScoreTest, BytesDoNotDependOnThreads) {
  for (const std::string format : {"jsonl --digest=sha256", "csv", "csv --digest=none --top=1"}) {
    const std::string arguments = File("photos.tar") + " --format=" + format + " --threads=";
    const std::string one = Good(Score(arguments + "1")).out;
    for (const int threads : {2, 3, 8}) {
      for (int repeat = 0; repeat < 5; ++repeat)
        ASSERT_EQ(Good(Score(arguments + std::to_string(threads))).out, one) << threads;
    }
  }
}

// Softmax at the end of integers is the same on each, too.
TEST_F(ScoreTest, RowsOfIntegersAreTheSameOnEveryInstructionSet) {
  ASSERT_TRUE(WriteModel(Path("int8.octet"), SmallNetwork(Precision::kInt8)).ok());
  const std::string score =
      kTool + " score --model " + File("int8.octet") + " " + File("photos.tar") + " --top=100";
  const std::string expected = Good(score).out;
  EXPECT_THAT(expected, HasSubstr("\"probability\":0."));
  int compared = 0;
  for (const char* isa : {"sse2", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "neon",
                          "neondot", "neoni8mm", "neonbf16"}) {
    const Outcome o = RunCommand(score + " --isa=" + isa);
    if (o.code != 0) continue;  // None of this machine.
    EXPECT_TRUE(o.out == expected) << isa;
    ++compared;
  }
  EXPECT_GT(compared, 0);
}

TEST_F(ScoreTest, CsvHasAFieldForEach) {
  const std::vector<std::string> rows = Rows(File("photos.tar") + " --format=csv --top=2");
  ASSERT_EQ(rows.size(), kPhotos + 1u);
  EXPECT_EQ(rows[0],
            "key,crc32c,index_1,label_1,probability_1,index_2,label_2,probability_2,margin,error,"
            "model");
  int quoted = 0;
  for (const std::string& row : rows) {
    int commas = 0;
    bool inside = false;
    for (const char c : row) {
      inside ^= c == '"';
      commas += c == ',' && !inside;
    }
    EXPECT_EQ(commas, 10) << row;
    quoted += row.find("\"bl,\"\"ue\"") != std::string::npos;
  }
  EXPECT_GT(quoted, 5);
}

TEST_F(ScoreTest, BadImagesAreRowsAndCounted) {
  const std::string paths = File("photos/p000.png") + " " + File("photos/none.jpg") + " " +
                            File("photos/p005.png") + " " + File("photos/p001.png");
  const Outcome o = Good(Score(paths + " --summary " + File("s.json")));
  EXPECT_EQ(o.err.substr(0, o.err.find(';')), "octet: 4 images, 2 of them with an error");
  const std::vector<std::string> rows = Lines(o.out);
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_THAT(rows[1], HasSubstr("none.jpg\",\"error\":\""));
  EXPECT_THAT(rows[2], HasSubstr("\"error\":\""));
  const Json summary = Json::parse(ReadFile(Path("s.json")));
  EXPECT_EQ(summary["images"], 4);
  EXPECT_EQ(summary["errors"], 2);
  int64_t best = 0, margins = 0;
  for (const Json& n : summary["best"]) best += n.get<int64_t>();
  for (const Json& n : summary["margins"]) margins += n.get<int64_t>();
  EXPECT_EQ(best, 2);
  EXPECT_EQ(margins, 2);
  // --strict makes it a failed job, of which no file is there.
  const Outcome strict = RunCommand(Score(paths + " --strict --output " + File("strict.jsonl")));
  EXPECT_EQ(strict.code, 1);
  EXPECT_FALSE(fs::exists(Path("strict.jsonl")));
  EXPECT_EQ(Good(Score(paths + " --output " + File("rows.jsonl"))).out, "");
  EXPECT_EQ(ReadFile(Path("rows.jsonl")), o.out);
}

TEST_F(ScoreTest, DamagedStreamsEndInAnError) {
  const Bytes png = MakeColorPng(4, 2, 1, 2, 3);
  const auto frames = [&](const std::string& bytes) {
    std::ofstream(Path("f"), std::ios::binary) << bytes;
    return Lines(Good(Score("--stdin=frames") + " <" + File("f")).out);
  };
  std::string one;
  for (int i = 0; i < 4; ++i) one += static_cast<char>(png.size() >> (8 * i));
  one.append(png.begin(), png.end());
  EXPECT_TRUE(frames("").empty());
  EXPECT_EQ(frames(one + one).size(), 2u);
  const auto last = [&](const std::string& bytes) { return frames(bytes).back(); };
  EXPECT_THAT(last(one + one.substr(0, 3)), HasSubstr("frame 1 ends in its length"));
  EXPECT_THAT(last(one + one.substr(0, 20)), HasSubstr("frame 1 is cut short"));
  EXPECT_THAT(last(one + "\xff\xff\xff\xff"), HasSubstr("has 4294967295 bytes"));
  const std::vector<std::string> empty = frames(one + std::string(4, '\0') + one);
  ASSERT_EQ(empty.size(), 3u);
  EXPECT_THAT(empty[1], HasSubstr("stdin[1]\",\"error\":\"standard input: frame 1 is empty"));
  EXPECT_FALSE(Json::parse(empty[2]).contains("error"));
  EXPECT_TRUE(Lines(Good("printf '\\n\\n' | " + Score("--stdin=paths")).out).empty());
  EXPECT_THAT(Good("head -c 100000 /dev/zero | tr '\\0' a | " + Score("--stdin=paths")).out,
              HasSubstr("a path of more than 65536 bytes"));
}

TEST_F(ScoreTest, GoesOnWhereASignalStoppedIt) {
  const std::string all = Good(Score(File("photos"))).out;
  const auto stop_after = [&](int rows, int signal) {
    // Standard input that does not end: what stops is the signal.
    const std::string list = "(find " + File("photos") + " -name '*.png' | sort | head -n " +
                             std::to_string(rows) + "; sleep 20 & echo $! >" + File("sleep") +
                             "; wait) | ";
    const std::string command =
        list + "sh -c " +
        Quote("echo $$ >" + File("pid") + "; exec " + Score("--stdin=paths") + " >" + File("rows"));
    fs::remove(Path("rows"));
    std::thread killer([&] {
      // When all its rows are there, and after the time in which they are counted.
      for (int i = 0; i < 600; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        if (Lines(ReadFile(Path("rows"))).size() < static_cast<size_t>(rows)) continue;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        kill(std::stoi(ReadFile(Path("pid"))), signal);
        break;
      }
      const std::string sleeping = ReadFile(Path("sleep"));
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      if (!sleeping.empty()) kill(std::stoi(sleeping), SIGKILL);
    });
    Outcome o = RunCommand(command);
    killer.join();
    o.out = ReadFile(Path("rows"));
    return o;
  };
  const Outcome o = stop_after(25, SIGTERM);
  EXPECT_THAT(o.err, HasSubstr("octet: stopped by signal 15 behind 25 rows; --skip=25 goes on"));
  EXPECT_EQ(o.code, 1);
  EXPECT_EQ(o.out + Good(Score(File("photos") + " --skip=25")).out, all);
  for (const char* source : {"photos.tar", "good.tfrecord"}) {
    const std::string whole = Good(Score(File(source) + " --format=csv")).out;
    const std::string rest = Good(Score(File(source) + " --format=csv --skip=30")).out;
    EXPECT_TRUE(whole.ends_with(rest));
    EXPECT_EQ(Lines(whole).size() - Lines(rest).size(), 31u);  // And the line above.
  }
  ExpectError(Score(File("photos") + " --skip=91"), 1, "there are only 90 images");
}

TEST_F(ScoreTest, ShardsMergeToTheWhole) {
  for (const std::string format : {"jsonl", "csv"}) {
    for (const std::string& data : {File("photos"), Quote(Path("t@3")), File("photos.tar")}) {
      const std::string arguments = data + " --format=" + format;
      Good(Score(arguments + " --summary " + File("whole.json") + " --output " + File("whole")));
      const std::string whole = ReadFile(Path("whole")), summary = ReadFile(Path("whole.json"));
      for (const int n : {1, 2, 7}) {
        const std::string parts = Fresh("parts");
        for (int i = n; i-- > 0;)
          Good(Score(arguments + " --shard " + std::to_string(i) + "/" + std::to_string(n) +
                     " --output " + Quote(parts)));
        const Outcome merged = Good(kTool + " merge " + Quote(parts) + " --output " + File("m"));
        EXPECT_EQ(merged.out, summary) << n;
        EXPECT_EQ(ReadFile(Path("m")), whole) << n;
      }
    }
  }
  // Of different counts.
  const std::string parts = Fresh("parts");
  for (const char* shard : {"0/2", "2/4", "300/400", "301/400", "151/200", "19/25", "4/5"})
    Good(Score(File("photos") + " --shard " + shard + " --output " + Quote(parts)));
  Good(Score(File("photos") + " --output " + File("whole")));
  Good(kTool + " merge " + Quote(parts + "/*.json") + " --output " + File("m"));
  EXPECT_EQ(ReadFile(Path("m")), ReadFile(Path("whole")));
}

TEST_F(ScoreTest, WhatDoesNotBelongTogetherIsRefusedByName) {
  const std::string parts = Fresh("parts"), merge = kTool + " merge " + Quote(parts);
  const auto add = [&](const std::string& arguments, const std::string& model = "m.octet") {
    const std::set<fs::path> before{fs::directory_iterator(parts), fs::directory_iterator()};
    Good(kTool + " score --model " + File(model) + " " + arguments + " --output " + Quote(parts));
    for (const auto& entry : fs::directory_iterator(parts))
      if (!before.contains(entry.path()) && entry.path().extension() == ".json")
        return entry.path().string();
    return std::string("nothing new");
  };
  fs::create_directories(parts);
  ExpectError(merge, 1, "nothing matches this pattern");
  const std::string first = add(File("photos") + " --shard 0/3");
  add(File("photos") + " --shard 2/3");
  ExpectError(merge, 1, "parts of the shards between " + first + " (shard 0/3) and ");
  const std::string second = add(File("photos") + " --shard 1/3");
  EXPECT_EQ(Good(merge).err, "");
  const std::string half = add(File("photos") + " --shard 1/2");
  ExpectError(merge, 1, "(shard 1/2) overlap");
  fs::remove(half);
  fs::copy_file(second, parts + "/copy.json");
  ExpectError(merge, 1, "(shard 1/3) overlap");
  fs::remove(parts + "/copy.json");
  for (const auto& [arguments, model, problem] : std::vector<std::array<std::string, 3>>{
           {File("photos") + " --shard 0/3", "other.octet", "is of another model, not a part"},
           {File("photos.tar") + " --shard 0/3", "m.octet", "is of other data, not a part"},
           {File("photos") + " --shard 0/3 --top 2", "m.octet", " has top "},
           {File("photos") + " --shard 0/3 --format csv", "m.octet", " has format "}}) {
    const std::string foreign = add(arguments, model);
    ExpectError(merge, 1, problem);
    fs::remove(foreign);
  }
  EXPECT_EQ(Good(merge).err, "");
  // Rows that somebody changed, and parts.
  std::string rows = first;
  rows.replace(rows.size() - 4, 4, "jsonl");
  std::string bytes = ReadFile(rows);
  bytes[20] ^= 1;
  std::ofstream(rows, std::ios::binary) << bytes;
  ExpectError(merge + " --output " + File("m"), 1,
              rows + ": has changed since its part was written");
  const Json good = Json::parse(ReadFile(first));
  for (const char* field : {"kind", "shard", "models", "data", "settings", "images", "errors",
                            "best", "margins", "latency", "rows", "rows_bytes", "rows_sha256"}) {
    for (const Json& value : {Json(), Json(-1), Json("x/y"), Json::array({1, -1})}) {
      Json bad = good;
      bad[field] = value;
      if (value.is_null()) bad.erase(field);
      std::ofstream(first) << bad;
      const Outcome o = RunCommand(merge + " --output " + File("m"));
      EXPECT_EQ(o.code, 1) << field << value;
      EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
    }
  }
  std::ofstream(first) << "{\"octet_part\":1";
  ExpectError(merge, 1, first + ": is not a part of octet score or octet evaluate");
}

TEST_F(ScoreTest, CompletePartsAreNotComputedAgain) {
  const std::string parts = Fresh("parts");
  const std::string command = Score(File("photos") + " --shard 1/3 --output " + Quote(parts));
  Good(command);
  std::vector<fs::path> files{fs::directory_iterator(parts), {}};
  std::sort(files.begin(), files.end());
  ASSERT_EQ(files.size(), 2u);
  EXPECT_THAT(files[0].filename().string(), HasSubstr("-00001-of-00003.json"));
  const std::string name = files[0].filename().string();
  EXPECT_TRUE(name.starts_with("score-" + Sha256OfFile(Path("m.octet"))->substr(0, 12) + "-"));
  const auto time = fs::last_write_time(files[0]);
  EXPECT_THAT(Good(command).err, HasSubstr("is complete, nothing to do"));
  EXPECT_EQ(fs::last_write_time(files[0]), time);
  // Not when its rows are gone.
  fs::remove(files[1]);
  EXPECT_THAT(Good(command).err, HasSubstr("images, "));
  EXPECT_TRUE(fs::exists(files[1]));
}

// Workers, two at a time, are killed at more and more of the time that they take, until they end by
// themselves: however fast the machine, kills are all over their lives.
TEST_F(ScoreTest, KilledWorkersLoseNothing) {
  using Clock = std::chrono::steady_clock;
  constexpr int kShards = 16, kKills = 6;
  const std::string parts = Fresh("parts");
  std::string repeated;
  fs::create_directories(Path("l"));
  for (int i = 0; i < 40; ++i) {
    const std::string copy = "l/" + std::to_string(i);
    fs::copy(Path("photos"), Path(copy), fs::copy_options::recursive);
    repeated += " " + File(copy);
  }
  Good(Score(repeated + " --output " + File("whole") + " --summary " + File("whole.json")));
  const auto shard = [&](int i, const std::string& folder) {
    return Score(repeated + " --threads 1 --shard " + std::to_string(i) + "/" +
                 std::to_string(kShards) + " --output " + Quote(folder));
  };
  const Clock::time_point start = Clock::now();
  Good(shard(0, Fresh("timed")));
  const Clock::duration whole = Clock::now() - start;
  std::atomic<int> kills{0};
  const auto kill_and_end = [&](int i) {
    for (int k = 0;; ++k) {
      const std::string command = "exec " + shard(i, parts) + " 2>/dev/null";
      const char* const arguments[] = {"sh", "-c", command.c_str(), nullptr};
      pid_t child;
      ASSERT_EQ(posix_spawn(&child, "/bin/sh", nullptr, nullptr,
                            const_cast<char* const*>(arguments), environ),
                0);
      // Each shard at places of its own.
      std::this_thread::sleep_for(whole * (kShards * k + i) / (kShards * kKills));
      kill(child, SIGKILL);
      int status;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      if (!WIFSIGNALED(status)) {
        EXPECT_EQ(WEXITSTATUS(status), 0);
        break;
      }
      ++kills;
    }
  };
  std::thread even([&] {
    for (int i = 0; i < kShards; i += 2) kill_and_end(i);
  });
  for (int i = 1; i < kShards; i += 2) kill_and_end(i);
  even.join();
  EXPECT_GE(kills, kShards);
  const Outcome merged = Good(kTool + " merge " + Quote(parts) + " --output " + File("m"));
  EXPECT_EQ(merged.out, ReadFile(Path("whole.json")));
  EXPECT_EQ(ReadFile(Path("m")), ReadFile(Path("whole")));
  for (const auto& entry : fs::directory_iterator(parts))
    EXPECT_THAT(entry.path().string(), ::testing::Not(HasSubstr(".tmp")));
}

TEST_F(ScoreTest, EvaluationsMergeToTheWhole) {
  const std::string models = " --model " + File("m.octet") + " --model " + File("second.octet");
  // No two runs take the same time.
  const auto without_times = [](const std::string& text) {
    Json j = Json::parse(text, nullptr, false);
    EXPECT_FALSE(j.is_discarded()) << text;
    for (Json& model : j["models"]) {
      EXPECT_GT(model["median_ms"], 0.0);
      model.erase("median_ms");
    }
    return j.dump(1);
  };
  // Of the table all but its last column.
  const auto table = [](const std::string& text) {
    std::string all;
    for (std::string line : Lines(text)) {
      if (line.find(".octet") != std::string::npos && line.find(": ") == std::string::npos)
        line.resize(line.rfind(' '));
      while (line.ends_with(' ')) line.pop_back();
      all += line + "\n";
    }
    return all;
  };
  const std::string of_m = " --model " + File("m.octet");
  for (const std::string& of : {models, of_m}) {
    const std::string evaluate = kTool + " evaluate" + of + " --data " + File("good.tfrecord");
    const std::string json = without_times(Good(evaluate + " --json").out);
    const std::string text = table(Good(evaluate).out);
    for (const int n : {1, 2, 20}) {
      const std::string parts = Fresh("parts");
      for (int i = 0; i < n; ++i)
        Good(evaluate + " --shard " + std::to_string(i) + "/" + std::to_string(n) + " --output " +
             Quote(parts));
      EXPECT_EQ(without_times(Good(kTool + " merge --json " + Quote(parts)).out), json) << n;
      EXPECT_EQ(table(Good(kTool + " merge " + Quote(parts)).out), text) << n;
    }
    EXPECT_THAT(Good(evaluate + " --shard 1/20 --output " + File("parts")).out,
                HasSubstr("complete, nothing to do"));
  }
  ExpectError(kTool + " merge " + File("parts") + " --output x", 1, "is for rows");
}

TEST_F(ScoreTest, WrongCommandLines) {
  ExpectError(Score(""), 2, "images: or --stdin is required");
  ExpectError(Score("--stdin=paths " + File("photos")), 2, "excludes");
  ExpectError(Score("--stdin=lines"), 2, "lines");
  ExpectError(Score(File("photos") + " --shard 3/3 --output x"), 2, "'3/3' is not a shard");
  ExpectError(Score(File("photos") + " --shard 0/3"), 2, "--output");
  ExpectError(Score("--stdin=paths --shard 0/3 --output x"), 2, "divide what goes to --stdin");
  ExpectError(Score(File("nothing.tfrecord")), 1, "nothing.tfrecord");
  ExpectError(Score(File("m.octet")), 1, "not a data set");
  ExpectError(Score(File("photos") + " --shard 0/3 --output " + File("m.octet")), 1,
              "cannot make this folder");
  ExpectError(kTool + " evaluate --model " + File("m.octet") + " --data x --shard 0/2", 2,
              "--output");
}

}  // namespace
}  // namespace octet::testing
