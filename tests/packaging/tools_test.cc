// The octet and bench_resnet programs as a user runs them: results on stdout, one clear line on
// stderr and the right exit code for everything that cannot be done.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
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

size_t WidestLine(const std::string& text) {
  size_t widest = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, line.size());
  return widest;
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

TEST_F(ToolsTest, VersionsAndExamples) {
  for (const auto& [program, name] : {std::pair(kOctet, "octet"),
                                      {kBench, "bench_resnet"},
                                      {Quote(OCTET_CONVERT_PATH), "octet_convert"}}) {
    const Outcome version = RunCommand(program + " --version");
    EXPECT_EQ(version.code, 0) << version.err;
    EXPECT_EQ(version.out, std::string(name) + " " OCTET_VERSION "\n");
    const Outcome help = RunCommand(program + " --help");
    EXPECT_NE(help.out.find(std::string("Example:\n  ") + name + " "), std::string::npos)
        << help.out;
    EXPECT_LE(WidestLine(help.out), 80u) << help.out;
  }
  for (const std::string command :
       {"classify", "run", "evaluate", "preprocess", "inspect", "verify"}) {
    const Outcome help = RunCommand(kOctet + " " + command + " --help");
    EXPECT_NE(help.out.find("Example:\n  octet " + command + " "), std::string::npos) << help.out;
    EXPECT_LE(WidestLine(help.out), 80u) << help.out;
  }
}

TEST_F(ToolsTest, MistypedNamesAreGuessed) {
  const std::string convert = Quote(OCTET_CONVERT_PATH),
                    checkpoint =
                        Quote(OCTET_SOURCE_DIR "/models/flowers/flowers_resnet.safetensors");
  ExpectError(kOctet + " clasify x.jpg", 2,
              "unknown command 'clasify', expected one of classify, run, evaluate, preprocess, "
              "inspect, verify; did you mean classify?");
  ExpectError(kOctet + " frobnicate", 2, "inspect, verify (see --help)");
  ExpectError(kOctet + " classify --modle=m.octet x.jpg", 2,
              "unknown option --modle; did you mean --model?");
  ExpectError(kOctet + " inspect --jsno m.octet", 2, "did you mean --json?");
  ExpectError(kOctet + " verify --frobnicate m.octet", 2, "unknown option --frobnicate (see");
  ExpectError(kBench + " --therads=2", 2, "did you mean --threads?");
  ExpectError(kBench + " --precision=int4", 2,
              "found 'int4', expected one of fp32, fp16, hybrid, int8, all; did you mean int8?");
  ExpectError(convert + " model.onnx -o m.octet", 2, "unknown option -o; did you mean --output?");
  ExpectError(convert + " model.onnx --output m.octet other.onnx", 2,
              "found one too many: other.onnx");
  ExpectError(convert + " " + checkpoint + " --graph=flower_resnet --output " + File("no.octet"), 1,
              "did you mean flowers_resnet?");
  ExpectError(kBench + " --network=resnet5O --isa=reference", 1, "did you mean resnet50?");
  ExpectError(kOctet + " verify --isa=refrence m.octet", 2, "--isa");
  ExpectError(kBench + " --isa=refrence --model=" + File("int8.octet"), 1,
              "did you mean reference?");
}

TEST_F(ToolsTest, FilesOfOtherFormatsAreNamed) {
  const std::string tiny = OCTET_SOURCE_DIR "/tests/data/tiny/",
                    convert = Quote(OCTET_CONVERT_PATH);
  for (const auto& [file, title, octet] :
       {std::tuple("fp32.tflite", "TFLite", "fp32.octet"),
        {"model.h5", "Keras", "model.octet"},
        {"model.keras", "Keras", "model.octet"},
        {"../../../models/flowers/flowers_resnet.safetensors", "safetensors", "resnet.octet"}}) {
    const std::string path = Quote(tiny + file);
    for (const std::string& command :
         {kOctet + " inspect " + path, kOctet + " verify " + path,
          kOctet + " classify " + File("red.ppm") + " --model " + path,
          kOctet + " evaluate --data " + File("classes") + " --model " + path,
          kBench + " --model=" + path}) {
      ExpectError(command, 1,
                  file + std::string(": found a ") + title +
                      " model, expected an .octet file: convert it first, octet_convert ");
      ExpectError(command, 1, octet);
    }
  }
  std::filesystem::create_directories(*folder_ / "saved/1");
  Write("saved/1/saved_model.pb", "");
  ExpectError(kOctet + " inspect " + File("saved/1/"), 1, "found a SavedModel model");
  ExpectError(convert + " " + File("int8.octet") + " --output " + File("no.octet"), 1,
              "int8.octet: is an .octet file, converted already; octet inspect ");
  EXPECT_FALSE(Exists("no.octet"));
}

TEST_F(ToolsTest, OptionsWithoutEffectAreErrors) {
  const std::string convert = Quote(OCTET_CONVERT_PATH) + " " +
                              Quote(OCTET_SOURCE_DIR "/tests/data/tiny/fp32.tflite") +
                              " --output " + File("no.octet");
  for (const std::string precision : {"fp32", "fp16", "hybrid"}) {
    ExpectError(convert + " --precision=" + precision + " --calibration-data " + File("classes"), 2,
                "--calibration-data");
  }
  ExpectError(convert + " --calibration-data " + File("classes"), 1, "add --precision=int8");
  ExpectError(convert + " --graph=resnet50", 1, "--graph goes with files that hold only tensors");
  ExpectError(convert + " --weights=ema", 1, "--weights goes with checkpoints");
  ExpectError(convert + " --signature=x", 1, "--signature goes with a SavedModel");
  ExpectError(kBench + " --threads=1,,2", 2, "--threads: nothing between two commas of 1,,2");
  ExpectError(kBench + " --threads ,2", 2, "--threads");
  EXPECT_FALSE(Exists("no.octet"));
}

TEST_F(ToolsTest, TablesFitATerminal) {
  const std::string models = " --model " + File("fp32.octet") + " --model " + File("int8.octet"),
                    bench = kBench + " --min-time=0 --warmup=0 --profile --model=";
  for (const std::string& command :
       {kOctet + " inspect " + File("int8.octet"),
        kOctet + " evaluate --confusion --data " + File("classes") + models,
        bench + File("int8.octet"), bench + File("fp32.octet") + " --threads=1,2"}) {
    const Outcome narrow = RunCommand("COLUMNS= " + command);
    ASSERT_EQ(narrow.code, 0) << narrow.err;
    std::string tables;  // Lines that describe are as long as what they say.
    std::istringstream lines(narrow.out);
    for (std::string line; std::getline(lines, line);) {
      if (line.find(": ") == std::string::npos && !line.starts_with("  ") &&
          line.find(File("").substr(1)) == std::string::npos)
        tables += line + "\n";
    }
    EXPECT_LE(WidestLine(tables), 80u) << tables;
    const Outcome wide = RunCommand("COLUMNS=300 " + command);
    EXPECT_GE(wide.out.size(), narrow.out.size()) << wide.out;
  }
}

TEST_F(ToolsTest, NumbersAgreeBetweenTools) {
  std::set<int64_t> parameters;
  for (const std::string precision : {"fp32", "int8"}) {
    const std::string flowers = OCTET_SOURCE_DIR "/models/flowers/";
    const Outcome converted = RunCommand(
        Quote(OCTET_CONVERT_PATH) + " --json " + Quote(flowers + "flowers_resnet.safetensors") +
        " --graph=flowers_resnet --precision=" + precision +
        (precision == "int8" ? " --calibration-table=" + Quote(flowers + "calibration.json") : "") +
        " --output=" + File("agree.octet"));
    ASSERT_EQ(converted.code, 0) << converted.err;
    const Outcome inspected = RunCommand(kOctet + " inspect --json " + File("agree.octet"));
    ASSERT_EQ(inspected.code, 0) << inspected.err;
    const Json c = Json::parse(converted.out), i = Json::parse(inspected.out);
    for (const char* key :
         {"name", "source", "parameters", "macs", "size_bytes", "inputs", "outputs"}) {
      EXPECT_EQ(c[key], i[key]) << key;
    }
    EXPECT_EQ(c["inputs"][0]["dtype"], "float32");
    EXPECT_EQ(c["labels"]["names"], i["labels"]);
    EXPECT_EQ(c["options"], i["options"]);
    parameters.insert(c["parameters"].get<int64_t>());
  }
  EXPECT_EQ(parameters.size(), 1u);
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
  for (const char* part : {" then relu", " then +relu", "float32[1,160,160,3]", "  out"})
    EXPECT_NE(dot.out.find(part), std::string::npos) << part;
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
    // The first 22 are CLI11's, 11 in each file that includes it, before main begins.
    for (long n = 26;;) {
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

TEST_F(ToolsTest, BenchGivesPercentilesAndEveryTime) {
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

TEST_F(ToolsTest, BenchRunsSessionsAtOnce) {
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

TEST_F(ToolsTest, BenchStaysOnItsProcessors) {
  const std::string bench = kBench + " --runs=3 --csv " + File("int8.octet");
  const Outcome allowed = RunCommand("taskset -cp $$ | sed 's/.*: //; s/[-,].*//'");
  if (allowed.code != 0 || allowed.out.empty()) GTEST_SKIP() << "no taskset";
  const std::string cpu = allowed.out.substr(0, allowed.out.size() - 1);
  EXPECT_EQ(RunCommand(bench + " --cpu=" + cpu).code, 0);
  EXPECT_EQ(RunCommand(bench + " --sessions=2 --cpu=" + cpu).code, 0);
  ExpectError(bench + " --cpu=1023", 1, "--cpu: cannot run on processor 1023");
  ExpectError(bench + " --cpu=-1", 2, "--cpu");
}

TEST_F(ToolsTest, BenchComparesFilesInTurns) {
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

TEST_F(ToolsTest, BenchProfilesAddUp) {
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

TEST_F(ToolsTest, BenchTakesInputsAndGivesOutputs) {
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

/// What bash offers for the last word of a command line.
std::vector<std::string> Offered(const std::string& program, const std::string& words) {
  const Outcome o =
      RunCommand("bash -c 'source <(" + program + " --completion=bash); COMP_WORDS=(" + words +
                 "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); $(complete -p ${COMP_WORDS[0]} | sed "
                 "\"s/.*-F \\([^ ]*\\) .*/\\1/\"); printf \"%s\\n\" \"${COMPREPLY[@]}\"'");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.err, "");
  std::vector<std::string> lines;
  std::istringstream in(o.out);
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) lines.push_back(line);
  return lines;
}

TEST_F(ToolsTest, ShellsCompleteCommandLines) {
  using Words = std::vector<std::string>;
  if (RunCommand("bash --version").code != 0) GTEST_SKIP() << "no bash";
  const std::string octet = OCTET_TOOL_PATH, bench = OCTET_BENCH_PATH, convert = OCTET_CONVERT_PATH;
  EXPECT_EQ(Offered(octet, "octet cl"), Words{"classify"});
  EXPECT_EQ(Offered(octet, "octet \"\"").size(), 6u);
  EXPECT_EQ(Offered(octet, "octet classify --m"), Words{"--model"});
  EXPECT_EQ(Offered(octet, "octet inspect x.octet --j"), Words{"--json"});
  EXPECT_EQ(Offered(octet, "octet --ver"), Words{"--version"});
  // A file's name is the shell's own business.
  EXPECT_EQ(Offered(octet, "octet classify --model fl"), Words{});
  EXPECT_EQ(Offered(bench, "bench_resnet --precision hy"), Words{"hybrid"});
  EXPECT_EQ(Offered(bench, "bench_resnet --precision = hy"), Words{"hybrid"});
  EXPECT_EQ(Offered(bench, "bench_resnet --sort ="), (Words{"network", "time", "type"}));
  EXPECT_EQ(Offered(convert, "octet_convert --precision = fp32,in"), Words{"fp32,int8"});
  EXPECT_EQ(Offered(convert, "octet_convert m.onnx --calibration-m"),
            Words{"--calibration-method"});
  for (const std::string& program : {octet, bench, convert}) {
    const Outcome zsh = RunCommand(Quote(program) + " --completion=zsh");
    EXPECT_EQ(zsh.code, 0);
    EXPECT_EQ(zsh.out.rfind("#compdef ", 0), 0u);
    Write("completion.zsh", zsh.out);
    if (RunCommand("zsh --version").code == 0) {
      EXPECT_EQ(RunCommand("zsh -n " + File("completion.zsh")).err, "");
    }
    ExpectError(Quote(program) + " --completion=fish", 2, "expected one of bash, zsh");
  }
}

TEST_F(ToolsTest, ConvertMakesSeveralPrecisionsAtOnce) {
  const std::string flowers = OCTET_SOURCE_DIR "/models/flowers/",
                    source = kConvert + " " + Quote(flowers + "flowers_resnet.safetensors") +
                             " --graph=flowers_resnet --calibration-table=" +
                             Quote(flowers + "calibration.json");
  const std::vector<std::string> precisions{"fp32", "fp16", "hybrid", "int8"};
  const Outcome o = RunCommand(source + " --precision=fp32,fp16,hybrid,int8 --data " +
                               File("classes") + " --output " + File("all.octet"));
  ASSERT_EQ(o.code, 0) << o.err;
  for (const std::string& p : precisions) {
    EXPECT_NE(o.out.find("\nall_" + p + ".octet "), std::string::npos) << o.out;
    ASSERT_TRUE(Exists("all_" + p + ".octet"));
    // The bytes of a conversion on its own.
    ASSERT_EQ(
        RunCommand(
            kConvert + " " + Quote(flowers + "flowers_resnet.safetensors") +
            " --graph=flowers_resnet --precision=" + p +
            (p == "int8" ? " --calibration-table=" + Quote(flowers + "calibration.json") : "") +
            " --output " + File("one.octet"))
            .code,
        0);
    EXPECT_TRUE(p != "int8" ||
                ReadFile(*folder_ / "one.octet") == ReadFile(*folder_ / "all_int8.octet"));
    EXPECT_FALSE(Exists("all_" + p + ".octet.new"));
  }
  for (const char* part : {"top-1", "20.00 %", "100.0 %", "median ms", "source:  safetensors"})
    EXPECT_NE(o.out.find(part), std::string::npos) << part << o.out;

  // A folder; the source's own precision is compared with, and not written.
  std::filesystem::create_directories(*folder_ / "out");
  const Outcome json = RunCommand(source + " --json --precision=int8,hybrid --data " +
                                  File("classes") + " --output " + File("out"));
  ASSERT_EQ(json.code, 0) << json.err;
  const Json j = Json::parse(json.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded()) << json.out;
  ASSERT_EQ(j["conversions"].size(), 2u);
  EXPECT_EQ(j["conversions"][0]["output"], *folder_ / "out/flowers_resnet_int8.octet");
  ASSERT_EQ(j["evaluation"]["models"].size(), 3u);
  EXPECT_EQ(j["evaluation"]["models"][0]["path"], "(the source)");
  EXPECT_EQ(j["evaluation"]["models"][0]["precision"], "fp32");
  const auto files = [&] {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(*folder_ / "out"))
      names.insert(entry.path().filename().string());
    return names;
  };
  EXPECT_EQ(files(),
            (std::set<std::string>{"flowers_resnet_hybrid.octet", "flowers_resnet_int8.octet"}));
  // Without data, sizes.
  const Outcome sizes =
      RunCommand(source + " --precision=fp32,int8 --output " + File("sizes.octet"));
  ASSERT_EQ(sizes.code, 0) << sizes.err;
  EXPECT_NE(sizes.out.find("sizes_int8.octet"), std::string::npos) << sizes.out;

  // Nothing of what fails: no ranges for int8, data that are not there, a file that cannot be made.
  const std::string bare = kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " +
                           File("out/bare.octet") + " --precision=fp32,int8";
  ExpectError(bare, 1, "calibration data");
  ExpectError(bare + " --calibration-data " + Quote(kTiny + "input.npy") + " --data " +
                  File("missing.tfrecord"),
              1, "missing.tfrecord");
  std::filesystem::create_directories(*folder_ / "out/bare_int8.octet.new/x");
  ExpectError(bare + " --calibration-data " + Quote(kTiny + "input.npy"), 1, "bare_int8.octet");
  std::filesystem::remove_all(*folder_ / "out/bare_int8.octet.new");
  EXPECT_EQ(files().size(), 2u);
  ExpectError(bare + ",fp32", 2, "fp32 is given twice");
  ExpectError(kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " + File("out/x.octet") +
                  " --precision=fp32 --data " + File("classes"),
              2, "--data: goes with several precisions");
}

}  // namespace
}  // namespace octet::testing
