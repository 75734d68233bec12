// The octet and bench_resnet programs as a user runs them: results on stdout, one clear line on
// stderr and the right exit code for everything that cannot be done.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/data_dir.h"
#include "tests/packaging/command.h"
#include "tests/unit/tiny_jpegs.h"

namespace octet::testing {
namespace {

using Json = nlohmann::json;

const std::string kOctet = Quote(OCTET_TOOL_PATH);
const std::string kBench = Quote(OCTET_BENCH_PATH);

const std::vector<std::string> kLabels{"roses", "sunflowers", "daisy", "dandelion", "tulips"};

/// A binary PPM of one color.
std::string Ppm(int width, int height, unsigned char r, unsigned char g, unsigned char b) {
  std::string s = "P6\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n";
  for (int i = 0; i < width * height; ++i)
    s += {static_cast<char>(r), static_cast<char>(g), static_cast<char>(b)};
  return s;
}

class ToolsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    const std::string flowers = OCTET_SOURCE_DIR "/models/flowers/";
    for (const std::string precision : {"fp32", "int8"}) {
      const std::string calibration =
          precision == "int8" ? " --calibration-table=" + Quote(flowers + "calibration.json") : "";
      const Outcome o = RunCommand(
          Quote(OCTET_CONVERT_PATH) + " " + Quote(flowers + "flowers_resnet.safetensors") +
          " --graph=flowers_resnet --precision=" + precision + calibration +
          " --output=" + Quote(*folder_ / (precision + ".octet")));
      ASSERT_EQ(o.code, 0) << o.err;
    }
    WriteFile(*folder_ / "red.ppm", Ppm(20, 10, 255, 0, 0));
    for (const std::string& label : kLabels) {
      std::filesystem::create_directories(*folder_ / ("classes/" + label));
      WriteFile(*folder_ / ("classes/" + label + "/photo.ppm"), Ppm(30, 30, 10, 200, 40));
    }
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static std::string File(const std::string& name) { return Quote(*folder_ / name); }
  static void Write(const std::string& name, const std::string& bytes) {
    WriteFile(*folder_ / name, bytes);
  }
  static std::string ModelBytes() { return ReadFile(*folder_ / "int8.octet"); }
  static bool Exists(const std::string& name) { return std::filesystem::exists(*folder_ / name); }

  static TemporaryFolder* folder_;
};
TemporaryFolder* ToolsTest::folder_ = nullptr;

TEST_F(ToolsTest, WrongCommandLinesAre2) {
  ExpectError(kOctet, 2, "subcommand");
  ExpectError(kOctet + " frobnicate", 2, "octet: ");
  ExpectError(kOctet + " classify " + File("red.ppm"), 2, "--model");
  ExpectError(kOctet + " classify --model " + File("int8.octet"), 2, "images");
  ExpectError(kOctet + " classify --top 0 --model " + File("int8.octet") + " " + File("red.ppm"), 2,
              "--top");
  ExpectError(
      kOctet + " classify --threads many --model " + File("int8.octet") + " " + File("red.ppm"), 2,
      "--threads");
  ExpectError(kOctet + " evaluate --model " + File("int8.octet"), 2, "--data");
  ExpectError(kOctet + " inspect", 2, "model");
  ExpectError(kOctet + " inspect --json --dot " + File("int8.octet"), 2, "--json");
  ExpectError(kBench + " --precision=int4", 2, "int4");
  ExpectError(kBench + " --depth=19", 2, "--depth");
  ExpectError(kBench + " --threads=0", 2, "--threads");
  ExpectError(kBench + " --csv --json", 2, "--json");
  ExpectError(kBench + " --depth=18 --network=flowers", 2, "--network");
  EXPECT_EQ(RunCommand(kOctet + " --help").code, 0);
  EXPECT_EQ(RunCommand(kBench + " --help").code, 0);
}

TEST_F(ToolsTest, DamagedModelsAre1) {
  const std::string good = ModelBytes();
  ASSERT_GT(good.size(), 100000u);
  Write("truncated.octet", good.substr(0, good.size() / 2));
  Write("short.octet", good.substr(0, 10));
  Write("empty.octet", "");
  Write("foreign.octet", "This is not a model.\n" + std::string(5000, 'x'));
  std::string flipped = good;
  flipped[good.size() * 3 / 4] = static_cast<char>(flipped[good.size() * 3 / 4] ^ 0x10);
  Write("flipped.octet", flipped);
  for (const std::string name : {"truncated.octet", "short.octet", "empty.octet", "foreign.octet",
                                 "flipped.octet", "missing.octet"}) {
    ExpectError(kOctet + " classify " + File("red.ppm") + " --model " + File(name), 1, name);
    ExpectError(kOctet + " evaluate --data " + File("classes") + " --model " + File("fp32.octet") +
                    " --model " + File(name),
                1, name);
    ExpectError(kOctet + " inspect " + File(name), 1, name);
    ExpectError(kOctet + " inspect --json " + File(name), 1, name);
    ExpectError(kOctet + " verify " + File(name), 1, name);
    ExpectError(kBench + " --model=" + File(name), 1, name);
  }
  ExpectError(kOctet + " inspect " + File("classes"), 1, "classes");
}

TEST_F(ToolsTest, ClassifyPrintsTheBestClasses) {
  const Outcome text = RunCommand(kOctet + " classify --top 2 --model " + File("fp32.octet") + " " +
                                  File("red.ppm"));
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.err, "");
  EXPECT_EQ(std::count(text.out.begin(), text.out.end(), '\n'), 3) << text.out;
  EXPECT_NE(text.out.find("red.ppm"), std::string::npos);

  const Outcome json =
      RunCommand(kOctet + " classify --json --model " + File("fp32.octet") + " " + File("red.ppm"));
  ASSERT_EQ(json.code, 0) << json.err;
  const Json j = Json::parse(json.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded()) << json.out;
  ASSERT_EQ(j.size(), 1u);
  ASSERT_EQ(j[0]["predictions"].size(), 5u);
  double sum = 0.0, last = 1.0;
  for (const Json& p : j[0]["predictions"]) {
    EXPECT_EQ(p["label"], kLabels.at(p["index"].get<size_t>()));
    EXPECT_LE(p["probability"].get<double>(), last);
    last = p["probability"].get<double>();
    sum += last;
  }
  EXPECT_NEAR(sum, 1.0, 1e-5);
}

TEST_F(ToolsTest, PhotosThatCannotBeReadAreNamedAndPassedOver) {
  Write("text.jpg", "not a photo\n");
  const std::string jpeg(reinterpret_cast<const char*>(kBaselineJpeg), sizeof(kBaselineJpeg));
  Write("good.jpg", jpeg);
  Write("cut.jpg", jpeg.substr(0, jpeg.size() * 2 / 3));
  const std::string classify = kOctet + " classify --top 1 --model " + File("int8.octet") + " ";
  EXPECT_EQ(RunCommand(classify + File("good.jpg")).code, 0);
  for (const std::string name : {"text.jpg", "cut.jpg", "missing.jpg", "classes"}) {
    ExpectError(classify + File(name), 1, name);
    const Outcome o = RunCommand(classify + File(name) + " " + File("red.ppm"));
    EXPECT_EQ(o.code, 1);
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
    EXPECT_NE(o.out.find("red.ppm"), std::string::npos) << o.out;
  }
}

TEST_F(ToolsTest, NamesInAnyEncoding) {
  Write("gr\xfcn.ppm", Ppm(4, 4, 0, 255, 0));
  const Outcome o = RunCommand(kOctet + " classify --json --model " + File("int8.octet") + " " +
                               File("gr\xfcn.ppm"));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_FALSE(Json::parse(o.out, nullptr, false).is_discarded()) << o.out;
}

TEST_F(ToolsTest, UnknownInstructionSets) {
  ExpectError(kOctet + " classify --isa mmx --model " + File("int8.octet") + " " + File("red.ppm"),
              1, "mmx");
  ExpectError("OCTET_ISA=mmx " + kOctet + " verify " + File("int8.octet"), 1, "mmx");
  ExpectError(kBench + " --isa=mmx --model=" + File("int8.octet"), 1, "mmx");
}

TEST_F(ToolsTest, EvaluateComparesModels) {
  const std::string evaluate = kOctet + " evaluate --model " + File("fp32.octet") + " --model " +
                               File("int8.octet") + " --data " + File("classes") +
                               " --predictions " + File("out.csv");
  const Outcome o = RunCommand(evaluate + " --json");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded()) << o.out;
  ASSERT_EQ(j["models"].size(), 2u);
  for (const Json& m : j["models"]) {
    EXPECT_EQ(m["total"], 5);
    // Five equal images of five classes: exactly one is right.
    EXPECT_EQ(m["correct"], 1);
    EXPECT_DOUBLE_EQ(m["top1"].get<double>(), 0.2);
    EXPECT_GT(m["median_ms"].get<double>(), 0.0);
  }
  EXPECT_EQ(j["models"][0]["precision"], "fp32");
  EXPECT_EQ(j["models"][1]["precision"], "int8");
  EXPECT_EQ(j["models"][0]["agreement"], 1.0);
  EXPECT_EQ(j["models"][1]["size_bytes"], ModelBytes().size());
  const std::string csv = ReadFile(*folder_ / "out.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 6) << csv;

  const Outcome table = RunCommand(evaluate);
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_EQ(table.err, "");
  EXPECT_NE(table.out.find("20.00 %"), std::string::npos) << table.out;
}

TEST_F(ToolsTest, EvaluateNeedsDataThatFits) {
  const std::string evaluate = kOctet + " evaluate --model " + File("int8.octet") +
                               " --predictions " + File("never.csv") + " --data ";
  ExpectError(evaluate + File("missing.tfrecord"), 1, "missing.tfrecord");
  std::filesystem::create_directories(*folder_ / "nothing");
  ExpectError(evaluate + File("nothing"), 1, "nothing");
  std::filesystem::create_directories(*folder_ / "two/apples");
  std::filesystem::create_directories(*folder_ / "two/pears");
  Write("two/apples/a.ppm", Ppm(4, 4, 1, 2, 3));
  Write("two/pears/b.ppm", Ppm(4, 4, 1, 2, 3));
  ExpectError(evaluate + File("two"), 1, "two");
  std::filesystem::create_directories(*folder_ / "bad/roses");
  Write("bad/roses/a.ppm", "P6 20 20 255\nshort");
  ExpectError(evaluate + File("bad"), 1, "a.ppm");
  Write("foreign.tfrecord", std::string(1000, 'z'));
  ExpectError(evaluate + File("foreign.tfrecord"), 1, "foreign.tfrecord");
  EXPECT_FALSE(Exists("never.csv"));
  ExpectError(kOctet + " evaluate --model " + File("int8.octet") + " --data " + File("classes") +
                  " --predictions " + File("no_such_folder/out.csv"),
              1, "no_such_folder");
}

TEST_F(ToolsTest, InspectShowsWhatIsInside) {
  const Outcome text = RunCommand(kOctet + " inspect " + File("int8.octet"));
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("flowers_resnet"), std::string::npos);

  const Outcome json = RunCommand(kOctet + " inspect --json " + File("int8.octet"));
  ASSERT_EQ(json.code, 0) << json.err;
  const Json j = Json::parse(json.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded());
  EXPECT_EQ(j["labels"], kLabels);
  EXPECT_EQ(j["precision"], "int8");
  EXPECT_EQ(j["size_bytes"], ModelBytes().size());
  EXPECT_EQ(j["macs"], 246391104);
  // What `octet_convert --preprocessing` reads.
  EXPECT_EQ(j["preprocessing"]["order"], "rgb");
  EXPECT_EQ(j["preprocessing"]["mean"].size(), 3u);
  int64_t macs = 0;
  for (const Json& op : j["operators"]) macs += op["macs"].get<int64_t>();
  EXPECT_EQ(macs, 246391104);

  const Outcome dot = RunCommand(kOctet + " inspect --dot " + File("int8.octet"));
  EXPECT_EQ(dot.code, 0);
  EXPECT_EQ(dot.out.rfind("digraph", 0), 0u);
}

TEST_F(ToolsTest, VerifyRunsTheGoldenInput) {
  const Outcome o = RunCommand(kOctet + " verify " + File("fp32.octet") + " " + File("int8.octet"));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(std::count(o.out.begin(), o.out.end(), '\n'), 2) << o.out;
}

const std::string kConvert = Quote(OCTET_CONVERT_PATH);
const std::string kTiny = OCTET_SOURCE_DIR "/tests/data/tiny/";

TEST_F(ToolsTest, ConvertComparesWithTheSourcesAnswers) {
  // Its rescaling is part of the source's network, and of octet's preprocessing.
  const std::string compare = " --compare-input " + Quote(kTiny + "input.npy") +
                              " --compare-with " + Quote(kTiny + "expected.npy");
  for (const std::string model : {"fp32.tflite", "model.h5", "model.keras"}) {
    const Outcome o = RunCommand(kConvert + " --json " + Quote(kTiny + model) + " --output " +
                                 File("compared.octet") + compare);
    ASSERT_EQ(o.code, 0) << o.err;
    const Json j = Json::parse(o.out, nullptr, false)["comparison"];
    EXPECT_EQ(j["reference"], kTiny + "expected.npy");
    EXPECT_EQ(j["images"], 4);
    EXPECT_LE(j["relative_error"].get<double>(), 1e-5);
    EXPECT_GT(j["absolute_error"].get<double>(), 0.0);
    EXPECT_EQ(j["equal_top1"], 4);
    EXPECT_EQ(j["equal_top1_share"], 1.0);
  }
  const Outcome text = RunCommand(kConvert + " " + Quote(kTiny + "int8_float.tflite") +
                                  " --output " + File("compared.octet") + compare);
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("expected.npy, 4 images: absolute error 0.0"), std::string::npos)
      << text.out;
  EXPECT_NE(text.out.find("/4 ("), std::string::npos) << text.out;

  // Channels first, and the errors of answers that are far off: 0 instead of probabilities.
  const std::string input = ReadFile(kTiny + "input.npy");
  const size_t image = 8 * 8 * 3;
  ASSERT_GE(input.size(), 4 * image * 4);
  const std::string values = input.substr(input.size() - 4 * image * 4);
  std::string transposed(values.size(), '\0');
  for (size_t n = 0; n < 4; ++n) {
    for (size_t i = 0; i < image; ++i) {
      const size_t to = n * image + i % 3 * 64 + i / 3;
      transposed.replace(to * 4, 4, values, (n * image + i) * 4, 4);
    }
  }
  Write("first.npy", Npy("<f4", "4, 3, 8, 8", transposed));
  const std::string tflite =
      kConvert + " " + Quote(kTiny + "fp32.tflite") + " --json --output " + File("compared.octet");
  const Outcome first = RunCommand(tflite + " --compare-input " + File("first.npy") +
                                   " --compare-with " + Quote(kTiny + "expected.npy"));
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_LE(Json::parse(first.out, nullptr, false)["comparison"]["relative_error"].get<double>(),
            1e-5);
  Write("wrong.npy", Npy("<f4", "4, 3", std::string(48, '\0')));
  const Outcome wrong = RunCommand(tflite + " --compare-input " + File("first.npy") +
                                   " --compare-with " + File("wrong.npy"));
  ASSERT_EQ(wrong.code, 0) << wrong.err;
  const Json j = Json::parse(wrong.out, nullptr, false)["comparison"];
  EXPECT_GE(j["absolute_error"].get<double>(), 1.0 / 3);
  EXPECT_TRUE(j["relative_error"].is_null());
}

TEST_F(ToolsTest, ConvertKeepsTheSourcesPrecision) {
  for (const auto& [model, precision] :
       {std::pair("fp32.tflite", "fp32"), {"fp16.tflite", "fp16"}, {"int8.tflite", "int8"}}) {
    const std::string convert =
        kConvert + " --json " + Quote(kTiny + model) + " --output " + File("kept.octet");
    const Outcome own = RunCommand(convert);
    ASSERT_EQ(own.code, 0) << own.err;
    EXPECT_EQ(Json::parse(own.out, nullptr, false)["precision"], precision);
  }
  const Outcome wide = RunCommand(kConvert + " --json --precision=fp32 " +
                                  Quote(kTiny + "fp16.tflite") + " --output " + File("kept.octet"));
  ASSERT_EQ(wide.code, 0) << wide.err;
  EXPECT_EQ(Json::parse(wide.out, nullptr, false)["precision"], "fp32");
}

TEST_F(ToolsTest, ConvertCalibratesOnArraysOfTheNetworksInput) {
  const std::string convert = kConvert + " " + Quote(kTiny + "fp32.tflite") +
                              " --precision=int8 --output " + File("arrays.octet") +
                              " --calibration-data ";
  const std::string data = ReadFile(kTiny + "input.npy"),
                    values = data.substr(data.size() - 4 * 8 * 8 * 3 * 4);
  // The same image in every place, so that the order does not matter for its ranges.
  const std::string flat(values.size(), '\0');
  Write("last.npy", Npy("<f4", "4, 8, 8, 3", flat));
  Write("first.npy", Npy("<f4", "4, 3, 8, 8", flat));
  ASSERT_EQ(RunCommand(convert + File("last.npy")).code, 0);
  const std::string last = ReadFile(*folder_ / "arrays.octet");
  ASSERT_EQ(RunCommand(convert + File("first.npy")).code, 0);
  EXPECT_EQ(ReadFile(*folder_ / "arrays.octet"), last);
  Write("other.npy", Npy("<f4", "4, 8, 8, 2", flat.substr(0, flat.size() / 3 * 2)));
  const Outcome other = RunCommand(convert + File("other.npy"));
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.err.find("found shape [4,8,8,2] of float32, expected [n,8,8,3]"),
            std::string::npos)
      << other.err;
}

TEST_F(ToolsTest, ConvertSaysWhatGoesInAndWarnsOfContradictions) {
  const size_t size = 4 * 8 * 8 * 3;
  std::vector<float> pixels(size), fractions(size);
  for (size_t i = 0; i < size; ++i) {
    pixels[i] = static_cast<float>(i * 37 % 256);
    fractions[i] = pixels[i] / 255.0f;
  }
  const auto bytes = [](const std::vector<float>& v) {
    return std::string(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(float));
  };
  Write("pixels.npy", Npy("<f4", "4, 8, 8, 3", bytes(pixels)));
  Write("fractions.npy", Npy("<f4", "4, 8, 8, 3", bytes(fractions)));
  Write("labels.txt", "one\ntwo\nthree\n");
  Write("div255.json", "{\"scale\": 0.00392156862745098}");
  const std::string convert = kConvert + " " + Quote(kTiny + "fp32.tflite") +
                              " --precision=int8 --labels " + File("labels.txt") + " --output " +
                              File("said.octet") + " --calibration-data ";
  const Outcome healthy = RunCommand(convert + File("pixels.npy") + " --strict");
  EXPECT_EQ(healthy.code, 0);
  EXPECT_EQ(healthy.err, "");
  for (const char* line : {"[1,8,8,3]; pixel: 0..255; calibrated on 0..255\n",
                           "\npreprocessing: decoded as Pillow, stretched to 8x8 (bilinear), "
                           "none: the network gets "
                           "pixels 0..255\n",
                           "\nlabels:      3, 'one' to 'three', from ", "\ndata:        "}) {
    EXPECT_NE(healthy.out.find(line), std::string::npos) << line << healthy.out;
  }
  // The same numbers as bytes are photos, which say the same.
  const std::string floats = ReadFile(*folder_ / "said.octet");
  Write("bytes.npy", Npy("|u1", "4, 8, 8, 3", std::string(pixels.begin(), pixels.end())));
  EXPECT_EQ(RunCommand(convert + File("bytes.npy")).code, 0);
  EXPECT_EQ(ReadFile(*folder_ / "said.octet"), floats);
  // The network scales pixels itself: fractions are 255 times too small for it, or for photos.
  const std::string contradiction = "photos give the network 0..255, and it was calibrated on 0..1";
  const Outcome warned = RunCommand(convert + File("fractions.npy") + " --json");
  EXPECT_EQ(warned.code, 0);
  EXPECT_NE(warned.err.find("octet_convert: warning: " + contradiction), std::string::npos);
  const auto json = nlohmann::json::parse(warned.out);
  EXPECT_EQ(json["warnings"][0].get<std::string>().rfind(contradiction, 0), 0u);
  EXPECT_EQ(json["input_meaning"], "pixel: 0..255; calibrated on 0..1");
  EXPECT_EQ(json["labels"]["first"], "one");
  const Outcome inspected = RunCommand(kOctet + " inspect " + File("said.octet"));
  EXPECT_EQ(inspected.code, 0);
  EXPECT_NE(inspected.err.find("photos give the network 0..255"), std::string::npos);
  std::filesystem::remove(*folder_ / "said.octet");
  ExpectError(convert + File("fractions.npy") + " --strict", 1, contradiction);
  EXPECT_FALSE(Exists("said.octet"));
  // With what makes fractions of pixels, both say the same.
  const Outcome composed = RunCommand(convert + File("fractions.npy") +
                                      " --strict --preprocessing " + File("div255.json"));
  EXPECT_EQ(composed.code, 0) << composed.err;
  EXPECT_NE(composed.out.find("pixel * 1/255: 0..1; calibrated on 0..1\n"), std::string::npos)
      << composed.out;
}

TEST_F(ToolsTest, ConvertListsItsOperators) {
  const Outcome text = RunCommand(kConvert + " --list-operators");
  ASSERT_EQ(text.code, 0) << text.err;
  for (const char* line : {"onnx\n", "keras\n", "savedmodel\n", "tflite\n", "  QuantizeLinear",
                           "  SeparableConv2D", "  DepthwiseConv2dNative", "  FULLY_CONNECTED"}) {
    EXPECT_NE(text.out.find(line), std::string::npos) << line;
  }
  const Json json =
      Json::parse(RunCommand(kConvert + " --json --list-operators").out, nullptr, false);
  ASSERT_TRUE(json.is_array());
  EXPECT_GT(json.size(), 150u);
  for (const Json& row : json) EXPECT_EQ(row.size(), 3u);
}

TEST_F(ToolsTest, ConvertComparesFlowers) {
  OCTET_REQUIRE_MODELS();
  const std::string from = ModelsDir() + "/flowers/", flowers = OCTET_SOURCE_DIR "/models/flowers/";
  const Outcome o =
      RunCommand(kConvert + " --json " + Quote(flowers + "flowers_resnet.safetensors") +
                 " --graph flowers_resnet --preprocessing " +
                 Quote(flowers + "preprocessing.json") + " --output " + File("compared.octet") +
                 " --compare-input " + Quote(from + "test_images_160.npy") + " --compare-with " +
                 Quote(from + "test_probabilities.npy"));
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out, nullptr, false)["comparison"];
  EXPECT_EQ(j["images"], 50);
  EXPECT_LE(j["absolute_error"].get<double>(), 1e-4);
  EXPECT_EQ(j["equal_top1"], 50);
}

TEST_F(ToolsTest, ConvertRefusesAnswersThatDoNotFit) {
  const std::string convert =
      kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " + File("unfit.octet");
  const std::string input = " --compare-input ", with = " --compare-with ",
                    good_input = Quote(kTiny + "input.npy"), good = Quote(kTiny + "expected.npy");
  ExpectError(convert + with + good, 2, "--compare-input");
  ExpectError(convert + input + good_input, 2, "--compare-with");
  ExpectError(convert + input + good_input + with + File("missing.npy"), 1, "missing.npy");
  ExpectError(convert + input + File("missing.npy") + with + good, 1, "missing.npy");
  ExpectError(convert + input + good + with + good, 1,
              "expected.npy: found shape [4,3] of float32, expected [n,8,8,3]");
  ExpectError(convert + input + good_input + with + good_input, 1,
              "input.npy: shape [4,8,8,3], expected [4,3]");
  Write("fewer.npy", Npy("<f4", "3, 3", std::string(36, '\0')));
  ExpectError(convert + input + good_input + with + File("fewer.npy"), 1,
              "shape [3,3], expected [4,3]");
  Write("none.npy", Npy("<f4", "0, 8, 8, 3", ""));
  ExpectError(convert + input + File("none.npy") + with + good, 1,
              "none.npy: found shape [0,8,8,3] of float32, expected at least one sample");
  EXPECT_FALSE(Exists("unfit.octet"));
}

/// The bytes of float32 values.
std::string Floats(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

// NaN and infinity are found where they come in, with the file, the sample and the element.
TEST_F(ToolsTest, DataThatIsNotFiniteIsRefused) {
  const size_t image = 8 * 8 * 3;
  for (const auto& [bad, text] : {std::pair(std::nanf(""), "nan"), {-INFINITY, "-inf"}}) {
    std::vector<float> values(4 * image, 0.25f);
    values[2 * image + 7] = bad;
    Write("bad.npy", Npy("<f4", "4, 8, 8, 3", Floats(values)));
    const std::string found =
        std::string("element 7: found ") + text + ", expected a finite number";
    const std::string convert =
        kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " + File("unfinished.octet");
    ExpectError(convert + " --precision=int8 --calibration-data " + File("bad.npy"), 1,
                "bad.npy[2]: " + found);
    ExpectError(convert + " --compare-input " + File("bad.npy") + " --compare-with " +
                    Quote(kTiny + "expected.npy"),
                1, "bad.npy[2]: " + found);
    std::vector<float> answers(4 * 3, 0.5f);
    answers[3 + 1] = bad;
    Write("answers.npy", Npy("<f4", "4, 3", Floats(answers)));
    ExpectError(convert + " --compare-input " + Quote(kTiny + "input.npy") + " --compare-with " +
                    File("answers.npy"),
                1, std::string("answers.npy: image 1: element 1: found ") + text);
    EXPECT_FALSE(Exists("unfinished.octet"));
    ASSERT_EQ(RunCommand(kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " +
                         File("tiny.octet"))
                  .code,
              0);
    ExpectError(kOctet + " evaluate --model " + File("tiny.octet") + " --data " + File("bad.npy"),
                1, "bad.npy[2]: " + found);
  }
  // Finite inputs whose sums are not.
  ASSERT_EQ(RunCommand(kConvert + " " + Quote(kTiny + "dilated.tflite") + " --output " +
                       File("dilated.octet"))
                .code,
            0);
  const size_t size = 16 * 15 * 3;
  Write("huge.npy", Npy("<f4", "1, 16, 15, 3", Floats(std::vector<float>(size, 3e38f))));
  ExpectError(kOctet + " evaluate --model " + File("dilated.octet") + " --data " + File("huge.npy"),
              1, "huge.npy[0]: output of ");
}

/// Every program and subcommand, each printing something and succeeding.
std::vector<std::pair<std::string, std::string>> CommandsThatPrint(const std::string& model,
                                                                   const std::string& photo,
                                                                   const std::string& data,
                                                                   const std::string& output) {
  const std::string convert = kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " + output;
  const std::string bench = kBench + " --min-time=0 --warmup=0 --model=" + model,
                    kernels = Quote(OCTET_BENCH_KERNELS_PATH);
  std::vector<std::pair<std::string, std::string>> commands = {
      {"octet", kOctet + " inspect --dot " + model},
      {"octet", kOctet + " verify " + model},
      {"octet_convert", convert},
      {"octet_convert", convert + " --json"},
      {"bench_resnet", bench},
      {"bench_resnet", bench + " --csv"},
      {"bench_resnet", bench + " --json"},
      {"bench_kernels", kernels + " --benchmark_list_tests"},
      {"bench_kernels", kernels + " --help"},
      {"octet_convert", kConvert + " --help"},
      {"bench_resnet", kBench + " --help"},
      {"octet", kOctet + " --help"},
  };
  for (const std::string json : {"", " --json"}) {
    commands.emplace_back("octet", kOctet + " classify --model " + model + " " + photo + json);
    commands.emplace_back("octet", kOctet + " run " + model + " --input " + photo + json);
    commands.emplace_back("octet",
                          kOctet + " evaluate --model " + model + " --data " + data + json);
    commands.emplace_back("octet", kOctet + " inspect " + model + json);
  }
  for (const std::string command : {"classify", "run", "evaluate", "inspect", "verify"}) {
    commands.emplace_back("octet", kOctet + " " + command + " --help");
  }
  return commands;
}

TEST_F(ToolsTest, OutputThatCannotBeWrittenIsAnError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  for (const auto& [program, command] : CommandsThatPrint(File("int8.octet"), File("red.ppm"),
                                                          File("classes"), File("printed.octet"))) {
    ExpectError(command + " >/dev/full", 1,
                program + ": cannot write to standard output: No space left on device\n");
    ExpectError(command + " >&-", 1,
                program + ": cannot write to standard output: Bad file descriptor\n");
  }
  // The model must not have become the standard output that is closed.
  const std::string model = ReadFile(*folder_ / "printed.octet");
  EXPECT_EQ(RunCommand(kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " +
                       File("printed.octet"))
                .code,
            0);
  EXPECT_EQ(model, ReadFile(*folder_ / "printed.octet"));
}

// Whichever allocation is the first that fails, every program ends with one line, never in
// std::terminate.
TEST_F(ToolsTest, OutOfMemoryIsAnError) {
#ifdef OCTET_SANITIZED
  GTEST_SKIP() << "sanitizers bring an allocator of their own";
#endif
  std::map<std::string, int> found;
  int tries = 0, in_destructors = 0;
  for (const auto& [program, command] : CommandsThatPrint(File("int8.octet"), File("red.ppm"),
                                                          File("classes"), File("printed.octet"))) {
    // Google Benchmark has places of its own where it cannot go on.
    if (command.find("--help") != std::string::npos || program == "bench_kernels") continue;
    // The first 11 are CLI11's, before main begins.
    for (long n = 16;;) {
      const Outcome o = RunCommand("LD_PRELOAD=" + Quote(OCTET_FAILING_NEW_PATH) +
                                   " OCTET_FAIL_NEW=" + std::to_string(n) + " " + command);
      if (o.code == 0) break;
      // nlohmann/json allocates in its destructors, where nothing can be reported, and destroys
      // what a failure left half made: the next one then.
      ++tries;
      if (o.code == 134 || o.code == 139) {
        ++in_destructors;
        n += 1 + n / 16;
        continue;
      }
      ASSERT_LT(n, 10'000'000) << command << ": " << o.err;
      ASSERT_EQ(o.code, 1) << command << ", allocation " << n << ": " << o.err;
      EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << command << "\n" << o.err;
      found[program] += o.err == program + ": out of memory\n";
      n += 1 + n / 4;
    }
  }
  for (const char* program : {"octet", "octet_convert", "bench_resnet"})
    EXPECT_GT(found[program], 10) << program;
  EXPECT_LT(in_destructors, tries / 5);
}

TEST_F(ToolsTest, BenchPrintsNothingButJson) {
  const Outcome o = RunCommand(kBench +
                               " --json --min-time=0 --warmup=0 --depth=20 --precision=all "
                               "--threads=1,2 --batch=1,3 --profile");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.err, "");
  const Json j = Json::parse(o.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded()) << o.out;
  EXPECT_TRUE(j["machine"].is_object());
  ASSERT_EQ(j["results"].size(), 16u);
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
TEST_F(ToolsTest, ResidentMemoryIsFileAndActivations) {
#ifdef OCTET_SANITIZED
  GTEST_SKIP() << "sanitizers need memory of their own";
#endif
  if (!std::ifstream("/proc/self/statm")) GTEST_SKIP() << "no /proc";
  const Outcome o = RunCommand(kBench + " --json --min-time=0 --precision=all --threads=1,2");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out, nullptr, false);
  ASSERT_EQ(j["results"].size(), 8u);
  for (const Json& r : j["results"]) {
    const int64_t needed = r["file_bytes"].get<int64_t>() + r["arena_bytes"].get<int64_t>();
    const int64_t resident = r["resident_bytes"].get<int64_t>();
    EXPECT_GT(resident, needed - (int64_t{1} << 20)) << r.dump();
    EXPECT_LE(resident, needed + (int64_t{8} << 20)) << r.dump();
  }
}

TEST_F(ToolsTest, BenchTakesModelsAndNames) {
  const Outcome o = RunCommand(kBench + " --csv --min-time=0 --model=" + File("int8.octet"));
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(std::count(o.out.begin(), o.out.end(), '\n'), 2) << o.out;
  EXPECT_NE(o.out.find("flowers_resnet,int8,1,1,"), std::string::npos) << o.out;
  ExpectError(kBench + " --precision=fp32 --model=" + File("int8.octet"), 1, "precision");
  // Its own precision, unless another is asked for.
  for (const std::string precision : {"", " --precision=fp32", " --precision=all"}) {
    const Outcome own =
        RunCommand(kBench + " --csv --min-time=0 --model=" + File("fp32.octet") + precision);
    EXPECT_EQ(own.code, 0) << own.err;
    EXPECT_NE(own.out.find("flowers_resnet,fp32,1,1,"), std::string::npos) << own.out;
  }
  ExpectError(kBench + " --precision=int8 --model=" + File("fp32.octet"), 1,
              "precision is fp32, expected int8");
  ExpectError(kBench + " --network=alexnet", 1, "alexnet");
  EXPECT_EQ(RunCommand(kBench + " --min-time=0 --network=flowers --precision=hybrid").code, 0);
  const Outcome small = RunCommand(kBench + " --min-time=0 --network=resnet8 --json");
  ASSERT_EQ(small.code, 0) << small.err;
  EXPECT_EQ(Json::parse(small.out, nullptr, false)["results"][0]["model"], "resnet8");
}

}  // namespace
}  // namespace octet::testing
