// octet compare as a user runs it: two models of one network, one model and a framework's answers,
// and one clear line for what does not fit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "converter/calibrate/sample_source.h"
#include "converter/quantize/quantize.h"
#include "formats/data/npy.h"
#include "tests/packaging/command.h"
#include "tests/small_network.h"

namespace octet::testing {
namespace {

using Json = nlohmann::json;

const std::string kOctet = Quote(OCTET_TOOL_PATH);
const std::vector<std::string> kLayers{"image", "stem", "a", "b", "pool", "fc"};

class CompareTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    const Graph g = SmallNetwork(Precision::kFp32);
    uint32_t state = 7;
    for (size_t i = 0; i < 15; ++i) {
      std::string pixels;
      for (int p = 0; p < 20 * 20 * 3; ++p) {
        state = state * 1664525u + 1013904223u;
        pixels += static_cast<char>(state >> 24);
      }
      for (const std::string& root :
           {"photos/" + g.metadata.labels[i % 5], "pets/pet" + std::to_string(i % 2)})
        Write(root + "/" + std::to_string(i) + ".ppm", "P6 20 20 255\n" + pixels);
    }
    std::filesystem::create_directories(Path("empty/roses"));
    const auto samples = OpenSamples(Path("photos"), g, 0);
    ASSERT_TRUE(samples.ok()) << samples.status().message();
    const auto table = Calibrate(g, samples->next, {}, {});
    ASSERT_TRUE(table.ok()) << table.status().message();
    QuantizeOptions options;
    options.precision = Precision::kInt8;
    const auto int8 = QuantizeGraph(g, options, &*table);
    ASSERT_TRUE(int8.ok()) << int8.status().message();
    Graph renamed = g;
    for (Tensor& t : renamed.tensors) t.name += "2";
    // The same answers for the classes before.
    Graph turned = g;
    Node& fc = turned.nodes.back();
    for (const int slot : {kInputWeights, kInputBias}) {
      const Tensor t = turned.tensor(fc.inputs[static_cast<size_t>(slot)]);
      std::vector<float> values(t.values<float>().begin(), t.values<float>().end());
      std::rotate(values.begin(), values.begin() + std::ssize(values) / 5, values.end());
      fc.set_input(slot, turned.AddConstant(t.name, DType::kF32, t.shape, values.data(),
                                            values.size() * sizeof(float)));
    }
    for (const auto& [name, graph] :
         std::vector<std::pair<std::string, Graph>>{{"fp32.octet", g},
                                                    {"int8.octet", *int8},
                                                    {"renamed.octet", renamed},
                                                    {"turned.octet", turned},
                                                    {"other.octet", OtherNetwork()}}) {
      const Status written = WriteModel(Path(name), graph);
      ASSERT_TRUE(written.ok()) << name << ": " << written.message();
    }
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static Graph OtherNetwork() {
    Graph g;
    g.inputs = {g.AddActivation("image", DType::kF32, {1, 4, 4, 3})};
    g.outputs = {g.AddActivation("mean", DType::kF32, {1, 1, 1, 3})};
    g.AddNode(OpType::kGlobalAveragePool, "pool", g.inputs, g.outputs[0]);
    return g;
  }

  static std::string Path(const std::string& name) { return *folder_ / name; }
  static std::string File(const std::string& name) { return Quote(Path(name)); }
  static void Write(const std::string& name, const std::string& bytes) {
    std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
    WriteFile(Path(name), bytes);
  }
  static std::string Models(const std::string& a, const std::string& b) {
    return kOctet + " compare " + File(a) + " " + File(b);
  }
  static Json Compare(const std::string& arguments) {
    const Outcome o = RunCommand(arguments + " --json");
    EXPECT_EQ(o.code, 0) << arguments << "\n" << o.err;
    EXPECT_EQ(o.err, "");
    return Json::parse(o.out, nullptr, false);
  }

  static TemporaryFolder* folder_;
};
TemporaryFolder* CompareTest::folder_ = nullptr;

TEST_F(CompareTest, EveryLayerHasARow) {
  const std::string command =
      "COLUMNS=200 " + Models("fp32.octet", "int8.octet") + " --data " + File("photos");
  const Outcome text = RunCommand(command);
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.err, "");
  size_t at = 0;
  for (const std::string part : {"models: ", "data: ", "verdict:     labels kept ", "accuracy: ",
                                 "alone: ", "\nlayer ", " share ", " cause ", " fp32 bytes ",
                                 "\nimage ", "\nstem ", "\na ", "\nb ", "\npool ", "\nfc "}) {
    const size_t found = text.out.find(part, at);
    ASSERT_NE(found, std::string::npos) << part << "\n" << text.out;
    at = found;
  }
  const Json j = Compare(command + " --csv " + File("layers.csv"));
  ASSERT_EQ(j["layers"].size(), kLayers.size());
  const double db = j["verdict"]["sqnr_db"];
  double shares = 0.0;
  for (size_t i = 0; i < kLayers.size(); ++i) {
    const Json& layer = j["layers"][i];
    EXPECT_EQ(layer["name"], kLayers[i]);
    EXPECT_EQ(layer["precision"], "int8");
    shares += layer["share"].get<double>();
    if (i > 0) {  // Pixels are codes: exact.
      EXPECT_GT(layer["isolated_sqnr_db"].get<double>(), db - 3.0);
      EXPECT_GT(layer["float_ms"].get<double>(), 0.0);
    }
  }
  EXPECT_NEAR(shares, 1.0, 1e-9);
  EXPECT_EQ(j["isolated_samples"], 15);
  EXPECT_EQ(j["verdict"]["samples"], 15);
  EXPECT_EQ(j["verdict"]["accuracy"]["labelled"], 15);
  EXPECT_EQ(j["changed"].size(), 15u - j["verdict"]["labels_kept"].get<size_t>());
  const std::string csv = ReadFile(Path("layers.csv"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 7) << csv;
  EXPECT_EQ(csv.rfind("name,tensor,type,precision,channels,sqnr_db,", 0), 0u) << csv;
  EXPECT_NE(csv.find("\nfc,logits,dense,int8,5,"), std::string::npos) << csv;
  const size_t columns = 1 + std::count(csv.begin(), csv.begin() + csv.find('\n'), ',');
  EXPECT_EQ(columns, j["layers"][0].size());
  EXPECT_EQ(std::count(csv.begin(), csv.end(), ','), 7 * (columns - 1)) << csv;
}

TEST_F(CompareTest, SamplesAndOrderAreChosen) {
  const std::string command = Models("fp32.octet", "int8.octet") + " --data " + File("photos");
  const auto is_sorted = [&](const std::string& by, const char* key, double sign) {
    const Json layers = Compare(command + " --sort=" + by + " --samples=6")["layers"];
    std::vector<double> keys;
    for (const Json& layer : layers)
      keys.push_back(layer[key].is_null() ? INFINITY : layer[key].get<double>());
    EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end(), [&](double a, double b) {
      return sign * a < sign * b;
    })) << layers.dump();
  };
  is_sorted("share", "share", -1.0);
  is_sorted("error", "sqnr_db", 1.0);
  is_sorted("ms", "ms", -1.0);
  const Json few = Compare(command + " --samples=4 --isolated-samples=0 --threads=2");
  EXPECT_EQ(few["verdict"]["samples"], 4);
  EXPECT_EQ(few["isolated_samples"], 0);
  EXPECT_EQ(few["layers"][1]["share"], 0.0);
  // Results do not depend on threads.
  const Json one = Compare(command + " --threads=1"), two = Compare(command + " --threads=2");
  for (size_t i = 0; i < kLayers.size(); ++i)
    EXPECT_EQ(one["layers"][i]["isolated_sqnr_db"], two["layers"][i]["isolated_sqnr_db"]);
  // Without the columns about single layers.
  const Outcome text = RunCommand(command + " --isolated-samples=0");
  EXPECT_EQ(text.out.find("alone"), std::string::npos) << text.out;
}

TEST_F(CompareTest, ChangedPhotosAreListed) {
  const std::string command = Models("fp32.octet", "turned.octet") + " --data " + File("photos");
  const Json j = Compare(command);
  const size_t kept = j["verdict"]["labels_kept"];
  EXPECT_EQ(kept, 0u);
  ASSERT_EQ(j["changed"].size(), 15u);
  const Json& c = j["changed"][0];
  EXPECT_EQ(c["before"].size(), 5u);
  EXPECT_EQ(c["after"].size(), 5u);
  EXPECT_NE(c["before"][0]["label"], c["after"][0]["label"]);
  const std::string name = c["sample"];
  EXPECT_EQ(name.rfind(c["label"].get<std::string>() + "/", 0), 0u) << c.dump();
  const Outcome text = RunCommand(command);
  EXPECT_NE(text.out.find("\nother labels:\n"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("\n" + name + " "), std::string::npos) << text.out;
}

TEST_F(CompareTest, AnswersOfAFramework) {
  std::vector<float> x(2 * 20 * 20 * 3);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 23) / 10.0f - 1.0f;
  ASSERT_TRUE(WriteNpy(Path("x.npy"), {2, 20, 20, 3}, std::span<const float>(x)).ok());
  ASSERT_EQ(RunCommand(kOctet + " run " + File("fp32.octet") + " --input " + File("x.npy") +
                       " --output " + File("y.npy"))
                .code,
            0);
  const auto command = [](const std::string& model) {
    return kOctet + " compare " + File(model) + " --inputs " + File("x.npy") + " --answers " +
           File("y.npy");
  };
  EXPECT_EQ(Compare(command("fp32.octet"))["comparison"]["absolute_error"], 0.0);
  const Json j = Compare(command("turned.octet"));
  EXPECT_EQ(j["comparison"]["images"], 2);
  EXPECT_GT(j["comparison"]["absolute_error"], 1.0);
  const Outcome text = RunCommand(command("fp32.octet"));
  EXPECT_EQ(text.out, "compared:    with " + Path("y.npy") +
                          ", 2 images: absolute error 0, relative error 0, top-1 equal 2/2 (100 "
                          "%)\n");
  ASSERT_TRUE(WriteNpy(Path("y3.npy"), {3, 5}, std::span<const float>(x.data(), 15)).ok());
  ExpectError(kOctet + " compare " + File("fp32.octet") + " --inputs " + File("x.npy") +
                  " --answers " + File("y3.npy"),
              1, "y3.npy: shape [3,5], expected [2,5] for the 2 inputs of");
}

TEST_F(CompareTest, LabelsThatDoNotFitAreSaid) {
  const std::string command = Models("fp32.octet", "int8.octet") + " --data " + File("pets");
  const Outcome o = RunCommand(command);
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.err.find("octet: warning: labels are not used: "), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("folder 'pet0' is named as none of the model's 5 labels"), std::string::npos)
      << o.err;
  EXPECT_EQ(o.out.find("accuracy"), std::string::npos) << o.out;
  ExpectError(command + " --strict", 1, "labels are not used: ");
}

TEST_F(CompareTest, LayersOfOtherNamesAreFoundByTheirOrder) {
  const Outcome o = RunCommand(Models("fp32.octet", "renamed.octet") + " --data " + File("photos"));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("\nstem   fp32  exact     exact "), std::string::npos) << o.out;
}

TEST_F(CompareTest, WhatDoesNotFitIsNamed) {
  const std::string data = " --data " + File("photos");
  ExpectError(Models("int8.octet", "fp32.octet") + data, 1,
              "int8.octet: is of int8, expected the model of fp32 first");
  ExpectError(Models("fp32.octet", "other.octet") + data, 1,
              "other.octet: different networks: their inputs are [1,20,20,3] and [1,4,4,3]");
  ExpectError(Models("fp32.octet", "missing.octet") + data, 1, "missing.octet");
  ExpectError(Models("fp32.octet", "int8.octet") + " --data " + File("empty"), 1,
              "empty: no images (JPEG, PNG, BMP, PNM)");
  ExpectError(Models("fp32.octet", "int8.octet") + " --data " + File("nowhere"), 1, "nowhere");
  ExpectError(Models("fp32.octet", "int8.octet") + data + " --csv " + File("no/folder.csv"), 1,
              "no/folder.csv");
  ExpectError(Models("fp32.octet", "int8.octet"), 2, "--data: is needed to compare two models");
  ExpectError(kOctet + " compare " + File("fp32.octet") + data, 2,
              "models: expected two, or one and --answers");
  ExpectError(kOctet + " compare" + data, 2, "models is required");
  ExpectError(Models("fp32.octet", "int8.octet") + " --answers a.npy --inputs b.npy", 2,
              "models: expected two, or one and --answers");
  ExpectError(kOctet + " compare " + File("fp32.octet") + " --answers a.npy", 2, "--inputs");
  ExpectError(Models("fp32.octet", "int8.octet") + data + " --sort=size", 2, "--sort");
  ExpectError(Models("fp32.octet", "int8.octet") + data + " --samples=0", 2, "--samples");
}

}  // namespace
}  // namespace octet::testing
