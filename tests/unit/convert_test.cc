// octet_convert as a user runs it: exit codes, one clear line, whole files or none, the same bytes
// for the same inputs. And the library calls behind it on the flower model: four precisions against
// PyTorch's probabilities.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/calibrate/sample_source.h"
#include "converter/import/importer.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "engine/src/runner.h"
#include "formats/data/npy.h"
#include "formats/model/octet_file.h"
#include "tests/data_dir.h"
#include "tests/fuzz/tiny_checkpoint.h"
#include "tests/unit/saved_model_builder.h"

namespace octet {
namespace {

using testing::SafetensorsBuilder;
using testing::TinyTensors;

const std::string kFlowers = OCTET_SOURCE_DIR "/models/flowers/flowers_resnet.safetensors";

struct Outcome {
  int code = -1;
  std::string out, err;
};

class ConvertTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("octet_convert_" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string File(const std::string& name) const { return (folder_ / name).string(); }

  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(File(name), std::ios::binary) << text;
    return File(name);
  }

  static std::string Read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  Outcome Run(const std::string& arguments) const {
    const std::string command = std::string("\"") + OCTET_CONVERT_PATH + "\" " + arguments + " >" +
                                File(".out") + " 2>" + File(".err");
    const int status = std::system(command.c_str());
    Outcome o;
    o.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    o.out = Read(File(".out"));
    o.err = Read(File(".err"));
    std::filesystem::remove(File(".out"));
    std::filesystem::remove(File(".err"));
    return o;
  }

  /// Fails with `code` and one line on stderr that contains `part`, and leaves no file behind.
  void ExpectError(const std::string& arguments, int code, const std::string& part) const {
    const size_t before = Files().size();
    const Outcome o = Run(arguments);
    EXPECT_EQ(o.code, code) << arguments << ": " << o.err;
    EXPECT_EQ(o.out, "") << arguments;
    EXPECT_NE(o.err.find(part), std::string::npos) << arguments << ": " << o.err;
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
    EXPECT_EQ(Files().size(), before) << arguments << " left a file behind";
  }

  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      names.push_back(entry.path().filename().string());
    return names;
  }

  /// Three made-up photos as an .npy file.
  std::string Photos() const {
    std::vector<uint8_t> pixels(3 * 40 * 50 * 3);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * i / 97);
    EXPECT_TRUE(WriteNpy(File("photos.npy"), {3, 40, 50, 3}, pixels).ok());
    return File("photos.npy");
  }

  std::string Flowers(const std::string& rest) const {
    return "\"" + kFlowers + "\" --graph flowers_resnet --output " + File("m.octet") + " " + rest;
  }

  std::filesystem::path folder_;
};

TEST_F(ConvertTest, SavedModelsHaveTheNameThatSaysSomething) {
  testing::BundleBuilder bundle;
  const testing::TfSavedModel model = testing::SampleSavedModel(&bundle);
  for (const std::string folder :
       {"asters", "saved_model", "savedmodel", "00012", "saved_model/1"}) {
    const std::filesystem::path path = folder_ / "asters" / folder;
    std::filesystem::create_directories(path);
    testing::WriteSavedModel(path, model, &bundle);
    for (const std::string& given :
         {path.string(), path.string() + "/", path.string() + "/saved_model.pb"}) {
      const Outcome o = Run(given + " --json --output " + File("m.octet"));
      ASSERT_EQ(o.code, 0) << o.err;
      EXPECT_EQ(nlohmann::json::parse(o.out)["name"], "asters") << given;
    }
  }
}

TEST_F(ConvertTest, WritesFloatModelsAndReports) {
  const Outcome o = Run(Flowers("--json --name asters"));
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.err, "");
  const nlohmann::json report = nlohmann::json::parse(o.out);
  EXPECT_EQ(report["precision"], "fp32");
  EXPECT_EQ(report["name"], "asters");
  EXPECT_EQ(report["size_bytes"], std::filesystem::file_size(File("m.octet")));
  EXPECT_EQ(report["macs"], 246391104);
  EXPECT_EQ(report["operators"]["conv2d"], 20);
  EXPECT_FALSE(report["operators"].contains("scale_shift"));
  EXPECT_FALSE(report["operators"].contains("add"));

  const auto file = ReadOctetFile(File("m.octet"));
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->graph.metadata.name, "asters");
  EXPECT_EQ(file->graph.metadata.options, "--precision=fp32");
  EXPECT_EQ(file->graph.metadata.labels.size(), 5u);
  EXPECT_EQ(file->golden.output.size(), 5u);
  const auto model = Model::Load(File("m.octet"));
  ASSERT_TRUE(model.ok());
  EXPECT_TRUE((*model)->Verify().ok()) << (*model)->Verify().message();
}

TEST_F(ConvertTest, Int8FromDataAndFromItsTable) {
  const std::string photos = Photos();
  const Outcome first =
      Run(Flowers("--precision=int8 --tune=none --input-type=uint8 --output-type=uint8 "
                  "--calibration-data " +
                  photos + " --save-calibration-table " + File("t.json")));
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.out.find("calibration: minmax, 3 samples"), std::string::npos) << first.out;
  const std::string bytes = Read(File("m.octet"));
  // Again, and from the table: the same bytes, wherever the output lies.
  ASSERT_EQ(Run(Flowers("--precision=int8 --tune=none --input-type=uint8 --output-type=uint8 "
                        "--calibration-data " +
                        photos))
                .code,
            0);
  EXPECT_EQ(Read(File("m.octet")), bytes);
  ASSERT_EQ(
      Run(Flowers("--precision=int8 --input-type=uint8 --output-type=uint8 --calibration-table " +
                  File("t.json")))
          .code,
      0);
  EXPECT_EQ(Read(File("m.octet")), bytes);
  // And from the same photos in parts, before the model's name.
  const std::string whole = Read(photos);
  const auto part = [&](const std::string& name, size_t from, int64_t count) {
    const std::string pixels = whole.substr(whole.size() - (3 - from) * 40 * 50 * 3,
                                            static_cast<size_t>(count) * 40 * 50 * 3);
    ASSERT_TRUE(
        WriteNpy(File(name), {count, 40, 50, 3}, std::vector<uint8_t>(pixels.begin(), pixels.end()))
            .ok());
  };
  part("part1.npy", 0, 1);
  part("part2.npy", 1, 2);
  const std::string int8 = "--precision=int8 --tune=none --input-type=uint8 --output-type=uint8 ";
  for (const std::string& data : {" --calibration-data " + File("part1.npy") +
                                      " --calibration-data " + File("part2.npy") + " ",
                                  " --calibration-data '" + File("part?.npy") + "' "}) {
    std::filesystem::remove(File("m.octet"));
    const Outcome parts = Run(int8 + data + Flowers(""));
    ASSERT_EQ(parts.code, 0) << parts.err;
    EXPECT_EQ(Read(File("m.octet")), bytes);
  }

  const auto file = ReadOctetFile(File("m.octet"));
  ASSERT_TRUE(file.ok()) << file.status().message();
  const Graph& g = file->graph;
  EXPECT_EQ(g.metadata.precision, Precision::kInt8);
  EXPECT_EQ(g.metadata.options,
            "--precision=int8 --calibration-method=minmax --calibration-samples=3 "
            "--input-type=uint8 --output-type=uint8");
  EXPECT_EQ(g.tensor(g.inputs[0]).dtype, DType::kU8);
  EXPECT_EQ(g.tensor(g.outputs[0]).quantization, (Quantization{1.0f / 256.0f, 0}));
}

TEST_F(ConvertTest, CalibratesInShards) {
  const std::string tiny = OCTET_SOURCE_DIR "/tests/data/tiny/fp32.tflite";
  std::mt19937 random(4);
  std::vector<float> values;
  for (int i = 0; i < 11; ++i) {
    std::normal_distribution<float> normal(0.0f, 0.1f + static_cast<float>(i % 3));
    for (int k = 0; k < 8 * 8 * 3; ++k) values.push_back(normal(random));
  }
  ASSERT_TRUE(WriteNpy(File("d.npy"), {11, 8, 8, 3}, values).ok());
  // A folder of photos, one of which differs from the rest.
  const std::string photos = File("photos");
  for (int i = 0; i < 9; ++i) {
    const std::string folder = photos + (i < 4 ? "/roses" : "/tulips");
    std::filesystem::create_directories(folder);
    std::string ppm = "P6\n10 9\n255\n";
    for (int k = 0; k < 10 * 9 * 3; ++k) ppm += static_cast<char>(random() % (i == 5 ? 256 : 50));
    std::ofstream(folder + "/" + std::to_string(i) + ".ppm", std::ios::binary) << ppm;
  }
  struct Case {
    std::string data, options;
    std::vector<int> counts;
  };
  for (const Case& c :
       std::vector<Case>{{File("d.npy"), "", {1, 2, 3, 7, 20}},
                         {File("d.npy"),
                          "--calibration-method=percentile --calibration-percentile=98.7",
                          {1, 2, 3, 7}},
                         {File("d.npy"), "--calibration-samples=7", {3}},
                         {photos,
                          "--calibration-samples=8 --fast-decode --calibration-method=percentile",
                          {3}}}) {
    const std::string data = tiny + " --calibration-data " + c.data + " " + c.options;
    ASSERT_EQ(Run(data + " --precision=int8 --tune=none --save-calibration-table " +
                  File("whole.json") + " --output " + File("measured.octet"))
                  .code,
              0);
    const std::string convert = tiny + " --precision=int8 --output " + File("m.octet");
    ASSERT_EQ(Run(convert + " --calibration-table " + File("whole.json")).code, 0);
    const std::string table = Read(File("whole.json")), model = Read(File("m.octet"));
    const auto write = [&](int i, int n) {
      const std::string shard = std::to_string(i) + "/" + std::to_string(n);
      const std::string path =
          File("part_" + std::to_string(i) + "_" + std::to_string(n) + ".json");
      std::filesystem::remove(File("m.octet"));
      const Outcome part =
          Run(data + " --calibration-shard " + shard + " --save-calibration-table " + path);
      EXPECT_EQ(part.code, 0) << part.err;
      EXPECT_EQ(part.err, "");  // Not of few samples.
      EXPECT_NE(part.out.find(": shard " + shard + ", "), std::string::npos) << part.out;
      EXPECT_FALSE(std::filesystem::exists(File("m.octet")));
      return path;
    };
    const auto expect_same = [&](const std::string& tables, const std::string& what) {
      std::filesystem::remove(File("merged.json"));
      const Outcome merged =
          Run(convert + tables + " --save-calibration-table " + File("merged.json"));
      ASSERT_EQ(merged.code, 0) << what << merged.err;
      EXPECT_EQ(Read(File("merged.json")), table) << what;
      EXPECT_EQ(Read(File("m.octet")), model) << what;
      // Of few samples all together.
      EXPECT_EQ(merged.err.find("fewer than 8") != std::string::npos,
                c.options == "--calibration-samples=7")
          << merged.err;
    };
    for (const int n : c.counts) {
      std::string tables;  // The last one first.
      for (int i = 0; i < n; ++i) tables = " --calibration-table " + write(i, n) + tables;
      expect_same(tables, c.options + " in " + std::to_string(n) + " shards: ");
    }
    expect_same(" --calibration-table " + write(3, 4) + " --calibration-table " + write(0, 2) +
                    " --calibration-table " + write(2, 4),
                c.options + " in shards of several sizes: ");
    expect_same(" --calibration-table '" + File("part_?_3.json") + "'", "by a pattern: ");
    // The same once more is the same file.
    const std::string once = Read(File("part_3_4.json"));
    write(3, 4);
    EXPECT_EQ(Read(File("part_3_4.json")), once);
  }

  // Of the photos, by percentile.
  const std::string convert = tiny + " --precision=int8 --output " + File("no.octet");
  std::filesystem::copy(File("part_1_3.json"), File("copy.json"));
  const auto error = [&](const std::vector<std::string>& tables, const std::string& part) {
    std::string command = convert;
    for (const std::string& name : tables) command += " --calibration-table " + File(name);
    ExpectError(command, 1, part);
  };
  error({"part_0_3.json"}, "part_0_3.json (shard 0/3) are missing");
  error({"part_0_3.json", "part_2_3.json"}, "between ");
  error({"part_0_3.json", "copy.json", "part_1_3.json"}, "overlap");
  error({"part_0_3.json", "part_0_3.json"}, "part_0_3.json: was given twice");
  error({"part_0_2.json", "part_1_2.json"},
        "part_1_2.json: is of the data ");  // That one is of the array.
  ExpectError("\"" + kFlowers + "\" --graph flowers_resnet --precision=int8 --output " +
                  File("no.octet") + " --calibration-table '" + File("part_?_3.json") + "'",
              1, "part_0_3.json: is a part of a calibration of the network ");
  ExpectError(OCTET_SOURCE_DIR "/tests/data/tiny/int8.tflite --calibration-data " + photos +
                  " --calibration-shard 0/2 --save-calibration-table " + File("no.json"),
              1, "the network is quantized already");
}

TEST_F(ConvertTest, LabelsOfOtherNotationsAndListsThatAreTooShort) {
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(File(name)) << text;
    return File(name);
  };
  const Outcome o =
      Run(Flowers("--labels " + write("dict.txt", "{0: 'a',\n 1: 'b', 2: 'c', 3: 'd', 4: 'e'}")));
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.err, "");
  const auto file = ReadOctetFile(File("m.octet"));
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->graph.metadata.labels, (std::vector<std::string>{"a", "b", "c", "d", "e"}));
  std::filesystem::remove(File("m.octet"));
  ExpectError(Flowers("--labels " + write("holes.txt", "{0: 'a', 2: 'b'}")), 1,
              "holes.txt: line 1");
  ExpectError(Flowers("--preprocessing " + write("p.json", "{\"mean\":[0.5],\"std\":[0.5]}")), 1,
              "p.json: 'mean' has 1 of ");
}

TEST_F(ConvertTest, SamplesAndMethod) {
  const Outcome o =
      Run(Flowers("--precision=int8 --calibration-method=percentile --calibration-percentile=99.5 "
                  "--calibration-samples=2"
                  " --require-int8 --json --calibration-data " +
                  Photos()));
  ASSERT_EQ(o.code, 0) << o.err;
  const nlohmann::json report = nlohmann::json::parse(o.out);
  EXPECT_EQ(report["calibration"]["method"], "percentile");
  EXPECT_EQ(report["calibration"]["samples"], 2);
  EXPECT_EQ(report["float_operators"], nlohmann::json::array({"softmax (softmax)"}));
}

TEST_F(ConvertTest, AveragedWeightsAreSaidAndChosen) {
  SafetensorsBuilder builder;
  for (const std::string prefix : {"", "model_ema.module."}) {
    for (const TinyTensors::Entry& e : TinyTensors().entries) {
      std::vector<float> values = e.values;
      if (!prefix.empty() && e.name == "fc.bias") values.assign(values.size(), 3.0f);
      builder.Add(prefix + e.name, "F32", e.shape, values);
    }
  }
  const std::string model = Write("both.safetensors", builder.Build());
  const std::string command = model + " --graph " + Write("tiny.json", testing::kTinyDescription) +
                              " --output " + File("m.octet") + " --json";
  const Outcome both = Run(command);
  ASSERT_EQ(both.code, 0) << both.err;
  EXPECT_NE(both.err.find(
                "octet_convert: note: the checkpoint also holds averaged weights ('model_ema')"),
            std::string::npos)
      << both.err;
  EXPECT_EQ(nlohmann::json::parse(both.out)["notes"].size(), 1u);
  const std::string unsaid = Read(File("m.octet"));
  const Outcome raw = Run(command + " --weights=raw");
  EXPECT_EQ(raw.code, 0) << raw.err;
  EXPECT_EQ(raw.err, "");
  EXPECT_FALSE(nlohmann::json::parse(raw.out).contains("notes"));
  const Outcome averaged = Run(command + " --weights=ema");
  EXPECT_EQ(averaged.code, 0) << averaged.err;
  EXPECT_EQ(averaged.err, "");
  EXPECT_NE(Read(File("m.octet")), unsaid);
  ExpectError(Flowers("--weights=ema"), 1, "--weights=ema: the checkpoint has no averaged weights");
  ExpectError(Flowers("--weights=best"), 2, "--weights");
}

TEST_F(ConvertTest, DescriptionsThatFitAreNamed) {
  ExpectError("\"" + kFlowers + "\" --output " + File("m.octet"), 1,
              "name the network with --graph, its tensors are those of flowers_resnet;");
  ExpectError("\"" + kFlowers + "\" --graph=resnet18 --output " + File("m.octet"), 1,
              "; they fit --graph=flowers_resnet");
}

TEST_F(ConvertTest, PreprocessingAndLabelsReplaceTheSources) {
  const std::string p = Write(
      "p.json",
      R"({"resize":"center-crop","resize_shorter":180,"order":"bgr","scale":1,"mean":[1,2,3],"std":2})");
  const std::string l = Write("l.txt", "a\nb\nc\nd\ne\n");
  ASSERT_EQ(Run(Flowers("--preprocessing " + p + " --labels " + l)).code, 0);
  const auto file = ReadOctetFile(File("m.octet"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->graph.metadata.preprocessing.resize, ResizeRule::kCenterCrop);
  EXPECT_EQ(file->graph.metadata.preprocessing.mean[2], 3.0f);
  EXPECT_EQ(file->graph.metadata.labels[4], "e");
}

TEST_F(ConvertTest, WrongCommandLinesAre2) {
  EXPECT_EQ(Run("--help").code, 0);
  ExpectError("", 2, "INPUT");
  ExpectError("\"" + kFlowers + "\"", 2, "--output");
  ExpectError(Flowers("--precision=int4"), 2, "int4");
  ExpectError(Flowers("--input-type=int8"), 2, "int8");
  ExpectError(Flowers("--calibration-samples=0 --calibration-data x"), 2, "calibration-samples");
  ExpectError(Flowers("--calibration-method=entropy --calibration-data x"), 2, "entropy");
  ExpectError(Flowers("--save-calibration-table t.json"), 2, "calibration-data");
  ExpectError(Flowers("--calibration-table a --calibration-data b"), 2, "calibration");
  const std::string shard = "\"" + kFlowers + "\" --graph flowers_resnet --calibration-shard ";
  ExpectError(shard + "0/2 --calibration-data x", 2, "--save-calibration-table");
  ExpectError(shard + "0/2 --save-calibration-table x", 2, "--calibration-data");
  ExpectError(shard + "0/2 --calibration-table y --save-calibration-table x", 2,
              "--calibration-data");
  for (const std::string wrong : {"2/2", "1", "-1/2", "0/0", "a/b", "1/2/3"})
    ExpectError(shard + wrong + " --calibration-data x --save-calibration-table y", 2,
                "is not a shard");
  for (const std::string option :
       {"--output m.octet", "--precision=int8", "--tune=none", "--name x", "--labels x",
        "--input-type=uint8", "--output-type=uint8", "--keep=x", "--precision=int8 --max-drop=1",
        "--report x", "--json", "--strict"})
    ExpectError(shard + "0/2 --calibration-data x --save-calibration-table y " + option, 2,
                "--calibration-shard excludes ");
  ExpectError(Flowers("--require-int8"), 2, "require-int8");
  ExpectError(Flowers("--what"), 2, "what");
}

TEST_F(ConvertTest, WhatCannotBeDoneIs1) {
  const std::string photos = Photos();
  const std::string empty = File("empty");
  std::filesystem::create_directory(empty);
  ExpectError("/nowhere.onnx --output " + File("m.octet"), 1, "nowhere.onnx");
  ExpectError("\"" + kFlowers + "\" --graph flowers_resnet --output " + File("no/m.octet"), 1,
              "does not exist");
  ExpectError("\"" + kFlowers + "\" --graph flowers_resnet --output " + folder_.string(), 1,
              "folder");
  ExpectError("\"" + kFlowers + "\" --output " + File("m.octet"), 1, "graph");
  ExpectError("\"" + kFlowers + "\" --graph alexnet --output " + File("m.octet"), 1, "alexnet");
  ExpectError(Flowers("--precision=int8"), 1, "calibration");
  ExpectError(Flowers("--precision=int8 --calibration-data " + empty), 1, "empty");
  ExpectError(Flowers("--precision=int8 --calibration-data /nowhere"), 1, "nowhere");
  ExpectError(Flowers("--precision=int8 --calibration-table /nowhere.json"), 1, "nowhere.json");
  ExpectError(Flowers("--input-type=uint8"), 1, "'image'");
  const std::string foreign =
      Write("foreign.json", R"({"version":1,"method":"minmax","samples":1,"ranges":{"x":[0,1]}})");
  ExpectError(Flowers("--precision=int8 --calibration-table " + foreign), 1,
              "made for another network");
  const std::string labels = Write("labels.txt", "only\ntwo\n");
  ExpectError(Flowers("--labels " + labels), 1, "labels");
  const std::string preprocessing = Write("p.json", R"({"sharpen":1})");
  ExpectError(Flowers("--preprocessing " + preprocessing), 1, "sharpen");
  const std::string garbage = Write("garbage.onnx", std::string(1000, 'x'));
  ExpectError("\"" + garbage + "\" --output " + File("m.octet"), 1, "garbage.onnx");
  const std::string none = Write("none.onnx", "");
  ExpectError("\"" + none + "\" --output " + File("m.octet"), 1, "none.onnx");
  const std::string whole = Read(kFlowers);
  const std::string truncated = Write("cut.safetensors", whole.substr(0, whole.size() / 2));
  ExpectError("\"" + truncated + "\" --graph flowers_resnet --output " + File("m.octet"), 1,
              "cut.safetensors");
}

TEST_F(ConvertTest, QuantizedSourcesStayInt8) {
  OCTET_REQUIRE_MODELS();
  const std::string tflite = "\"" + testing::ModelsDir() +
                             "/flowers/flowers_resnet_int8.tflite\" --output " + File("m.octet");
  ASSERT_EQ(Run(tflite).code, 0);
  const auto file = ReadOctetFile(File("m.octet"));
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->graph.metadata.precision, Precision::kInt8);
  EXPECT_EQ(file->graph.tensor(file->graph.inputs[0]).dtype, DType::kU8);
  EXPECT_EQ(file->graph.tensor(file->graph.outputs[0]).dtype, DType::kU8);
  std::filesystem::remove(File("m.octet"));
  ExpectError(tflite + " --precision=fp32", 1, "quantized already");
  ExpectError(tflite + " --precision=int8 --calibration-data " + Photos(), 1, "quantized already");
}

TEST_F(ConvertTest, FailureKeepsTheOldFile) {
  ASSERT_EQ(Run(Flowers("")).code, 0);
  const std::string bytes = Read(File("m.octet"));
  EXPECT_EQ(Run(Flowers("--precision=int8")).code, 1);
  EXPECT_EQ(Read(File("m.octet")), bytes);
  EXPECT_EQ(Files().size(), 1u);
}

/// Probabilities of all images of one of the .npy files.
std::vector<float> Probabilities(const Graph& graph, const std::string& images) {
  auto runner = GraphRunner::Create(graph);
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  auto samples = OpenSamples(images, graph, 0);
  EXPECT_TRUE(samples.ok()) << samples.status().message();
  std::vector<float> input(static_cast<size_t>(graph.tensor(graph.inputs[0]).shape.num_elements())),
      all;
  while (true) {
    const auto more = samples->next(input.data());
    EXPECT_TRUE(more.ok()) << more.status().message();
    if (!more.ok() || !*more) return all;
    EXPECT_TRUE((*runner)->Run(input.data(), {}).ok());
    const std::vector<uint8_t>& bytes = (*runner)->output(0);
    const float* p = reinterpret_cast<const float*>(bytes.data());
    all.insert(all.end(), p, p + bytes.size() / 4);
  }
}

int Label(const std::vector<float>& probabilities, size_t image) {
  const auto row = probabilities.begin() + static_cast<std::ptrdiff_t>(image * 5);
  return static_cast<int>(std::max_element(row, row + 5) - row);
}

TEST(FlowersTest, FourPrecisionsAgainstPyTorch) {
  OCTET_REQUIRE_MODELS();
  const std::string flowers = testing::ModelsDir() + "/flowers/";
  auto imported = ImportModel(kFlowers, {.graph = "flowers_resnet"});
  ASSERT_TRUE(imported.ok()) << imported.status().message();
  Graph graph = std::move(imported).value();
  ASSERT_TRUE(Optimize(&graph).ok());
  const std::vector<std::string> sets = {"test", "validation"};
  std::vector<std::vector<float>> reference;
  std::vector<std::vector<int64_t>> labels;
  for (const std::string& set : sets) {
    auto p = ReadNpyFloats(flowers + set + "_probabilities.npy");
    ASSERT_TRUE(p.ok()) << p.status().message();
    reference.push_back(p->values);
    auto reader = NpyReader::Open(flowers + set + "_labels.npy");
    ASSERT_TRUE(reader.ok());
    labels.emplace_back(static_cast<size_t>(reader->header().elements));
    ASSERT_TRUE(reader->ReadInts(0, reader->header().elements, labels.back().data()).ok());
  }
  auto samples = OpenSamples(flowers + "validation_images_160.npy", graph, 80);
  ASSERT_TRUE(samples.ok()) << samples.status().message();
  auto table = Calibrate(graph, samples->next, {}, {});
  ASSERT_TRUE(table.ok()) << table.status().message();
  EXPECT_EQ(table->samples, 80);

  for (const auto& [precision, agree_at_least] : {std::pair{Precision::kFp32, 130},
                                                  {Precision::kFp16, 129},
                                                  {Precision::kHybrid, 129},
                                                  {Precision::kInt8, 128},
                                                  {Precision::kInt16x8, 130}}) {
    auto quantized = QuantizeGraph(graph, {.precision = precision}, &*table);
    ASSERT_TRUE(quantized.ok()) << quantized.status().message();
    int agree = 0;
    for (size_t s = 0; s < sets.size(); ++s) {
      const std::vector<float> found =
          Probabilities(*quantized, flowers + sets[s] + "_images_160.npy");
      ASSERT_EQ(found.size(), reference[s].size());
      int correct = 0;
      float largest = 0.0f;
      for (size_t i = 0; i < labels[s].size(); ++i) {
        agree += Label(found, i) == Label(reference[s], i);
        correct += Label(found, i) == labels[s][i];
      }
      for (size_t i = 0; i < found.size(); ++i)
        largest = std::max(largest, std::fabs(found[i] - reference[s][i]));
      std::printf("%-7s %-10s %2d of %zu correct, largest difference %.5f\n",
                  PrecisionName(precision), sets[s].c_str(), correct, labels[s].size(), largest);
      if (precision == Precision::kFp32) {
        EXPECT_LE(largest, 1e-4f);
      }
    }
    std::printf("%-7s %d of 130 labels as PyTorch\n", PrecisionName(precision), agree);
    EXPECT_GE(agree, agree_at_least) << PrecisionName(precision);
  }
}

}  // namespace
}  // namespace octet
