// octet evaluate as a user runs it: which class data means, arrays of every kind, what is printed
// and written, and one clear line for what does not fit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/tools/commands.h"
#include "formats/base/file.h"
#include "formats/base/str_cat.h"
#include "formats/data/image_writer.h"
#include "formats/data/npy.h"
#include "formats/model/preprocessing.h"
#include "tests/packaging/command.h"
#include "tests/small_network.h"

namespace octet::testing {
namespace {

using Dims = std::vector<int64_t>;
using Json = nlohmann::json;

const std::string kEvaluate = Quote(OCTET_TOOL_PATH) + " evaluate --data ";

Graph MapNetwork() {
  Graph g;
  g.metadata.name = "map";
  const TensorId input = g.AddActivation("input", DType::kF32, {1, 2, 4, 3}),
                 sum = g.AddActivation("sum", DType::kF32, {1, 2, 4, 3});
  g.AddNode(OpType::kAdd, "add", {input, input}, sum);
  g.inputs = {input};
  g.outputs = {sum};
  return g;
}

class EvaluateTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    const auto write = [](const std::string& name, const Graph& graph) {
      const Status written = WriteModel(Path(name), graph);
      ASSERT_TRUE(written.ok()) << written.message();
    };
    write("rgb.octet", MeansNetwork(3, false, {"red", "green", "blue"}));
    write("bgr.octet", MeansNetwork(3, false, {"blue", "green", "red"}));
    write("bare.octet", MeansNetwork(3, false, {}));
    write("first.octet", MeansNetwork(2, true, {}));
    write("eight.octet", MeansNetwork(8, false, {}));
    write("map.octet", MapNetwork());
    write("int8.octet", SmallNetwork(Precision::kInt8));
    Graph pixels = SmallNetwork(Precision::kInt8);
    testing::SetPixelCodes(&pixels);
    write("pixels.octet", pixels);
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static std::string Path(const std::string& name) { return *folder_ / name; }
  static std::string File(const std::string& name) { return Quote(Path(name)); }
  static void Write(const std::string& name, const std::string& bytes) {
    std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
    WriteFile(Path(name), bytes);
  }
  /// One photo of each of the colours 0 (red), 1, 2, in a folder of that name; "" for none.
  static void WriteClasses(const std::string& root, const std::vector<std::string>& folders) {
    for (size_t c = 0; c < folders.size(); ++c) {
      std::string pixels;
      for (size_t i = 0; i < 24; ++i) pixels += i % 3 == c ? '\xff' : '\x10';
      Write(root + "/" + folders[c] + "/" + std::to_string(c) + ".ppm", "P6 4 2 255\n" + pixels);
    }
  }
  template <typename T>
  static void WriteArray(const std::string& name, const Dims& shape, const std::vector<T>& values) {
    const Status status = WriteNpy(Path(name), shape, std::span<const T>(values));
    ASSERT_TRUE(status.ok()) << status.message();
  }
  static std::string Model(const std::string& name) { return " --model " + File(name); }

  static Json Evaluate(const std::string& arguments) {
    const Outcome o = RunCommand(kEvaluate + arguments + " --json --strict");
    EXPECT_EQ(o.code, 0) << arguments << "\n" << o.err;
    EXPECT_EQ(o.err, "");
    return Json::parse(o.out, nullptr, false);
  }

  static TemporaryFolder* folder_;
};
TemporaryFolder* EvaluateTest::folder_ = nullptr;

TEST_F(EvaluateTest, SaysWhatTheDataMeans) {
  WriteClasses("names", {"Red", "GREEN", "blue"});
  WriteClasses("numbers", {"0", "1", "2"});
  for (const std::string folder : {"names", "numbers"}) {
    const Json j = Evaluate(File(folder) + Model("rgb.octet"));
    EXPECT_EQ(j["models"][0]["correct"], 3);
    EXPECT_EQ(j["models"][0]["top1"], 1.0);
    EXPECT_EQ(j["models"][0]["top5"], nullptr);  // Of three classes.
    EXPECT_EQ(j["data"]["samples"], 3);
    EXPECT_EQ(j["data"]["labelled"], 3);
    EXPECT_EQ(j["data"]["labels"], folder == "names" ? "folders by name" : "folders by number");
    EXPECT_EQ(j["labels"], (Json{{"count", 3}, {"first", "red"}, {"last", "blue"}}));
    EXPECT_EQ(j["warnings"], Json::array());
    const Outcome text = RunCommand(kEvaluate + File(folder) + Model("rgb.octet"));
    EXPECT_NE(text.out.find("data:    " + Path(folder) + ": folder of classes, 3 of 3"),
              std::string::npos)
        << text.out;
    EXPECT_NE(text.out.find("labels:  3, 'red' to 'blue'\n"), std::string::npos) << text.out;
  }
  EXPECT_EQ(Evaluate(File("numbers") + Model("bare.octet"))["labels"], nullptr);
  ExpectError(kEvaluate + File("names") + Model("bare.octet"), 1, "octet_convert --labels");
  WriteClasses("other", {"rouge", "green", "blue"});
  ExpectError(kEvaluate + File("other") + Model("rgb.octet"), 1,
              "folder 'rouge' is named as none of the model's 3 labels ('red', 'green', 'blue')");
  // One label cannot be two classes.
  ExpectError(kEvaluate + File("names") + Model("rgb.octet") + Model("bgr.octet"), 1,
              "label 0 is 'blue', that of ");
  EXPECT_EQ(
      Evaluate(File("names") + Model("bare.octet") + Model("rgb.octet"))["models"][0]["correct"],
      3);
  WriteClasses("beyond", {"0", "1", "3"});
  ExpectError(kEvaluate + File("beyond") + Model("bare.octet"), 1,
              "knows 3 classes, counted from 0");
}

TEST_F(EvaluateTest, UnlabelledDataHasNoShare) {
  WriteClasses("flat", {"."});
  const Json j = Evaluate(File("flat") + Model("rgb.octet"));
  EXPECT_EQ(j["models"][0]["top1"], nullptr);
  EXPECT_EQ(j["data"]["labels"], "none");
  const Outcome text = RunCommand(kEvaluate + File("flat") + Model("rgb.octet"));
  EXPECT_EQ(text.out.find("0/0"), std::string::npos) << text.out;
  // Where some have labels, the others are worth a word.
  WriteArray<float>("two.npy", {2, 2, 4, 3}, std::vector<float>(48, 0.5f));
  WriteArray<int32_t>("labels.npy", {2}, {0, -1});
  const std::string some =
      kEvaluate + File("two.npy") + " --labels-npy " + File("labels.npy") + Model("rgb.octet");
  const Outcome warned = RunCommand(some);
  EXPECT_EQ(warned.code, 0);
  EXPECT_NE(
      warned.err.find("octet: warning: " + Path("two.npy") + ": 1 of 2 samples have no label"),
      std::string::npos)
      << warned.err;
  ExpectError(some + " --strict", 1, "1 of 2 samples have no label");
}

TEST_F(EvaluateTest, OptionsThatWouldBeIgnored) {
  WriteClasses("flat", {"."});
  WriteArray<int32_t>("labels.npy", {1}, {0});
  ExpectError(kEvaluate + File("flat") + Model("rgb.octet") + " --labels-npy " + File("labels.npy"),
              1, "labels of .npy files, but ");
  ExpectError(kEvaluate + File("flat") + Model("rgb.octet") + " --raw", 1, "can be raw");
  ExpectError(kEvaluate + File("flat") + Model("rgb.octet") + Model("bare.octet") + " --outputs " +
                  File("y.npy"),
              2, "goes with one model");
  ExpectError(kEvaluate + File("nothing") + Model("map.octet"), 1,
              "output sum is not one row of classes");
}

TEST_F(EvaluateTest, PartsAreOneDataSet) {
  std::vector<float> values(24, 0.0f);
  for (int c = 0; c < 3; ++c) {
    for (size_t i = 0; i < 24; ++i) values[i] = static_cast<int>(i) % 3 == c ? 1.0f : 0.0f;
    WriteArray("part" + std::to_string(c) + ".npy", {1, 2, 4, 3}, values);
  }
  WriteArray<int32_t>("answers.npy", {3}, {0, 1, 2});
  for (const std::string& data :
       {File("part?.npy"), File("part0.npy") + " --data " + File("part[12].npy")}) {
    const Json j = Evaluate(data + " --labels-npy " + File("answers.npy") + Model("rgb.octet") +
                            " --outputs " + File("y.npy"));
    EXPECT_EQ(j["models"][0]["correct"], 3) << data;
    EXPECT_EQ(j["data"]["files"], 3);
    const auto y = ReadNpyFloats(Path("y.npy"));
    ASSERT_TRUE(y.ok());
    EXPECT_EQ(y->shape, (Dims{3, 3}));
    EXPECT_EQ(y->values, (std::vector<float>{1, 0, 0, 0, 1, 0, 0, 0, 1}));
  }
  ExpectError(kEvaluate + File("nothing*.npy") + Model("rgb.octet"), 1, "nothing matches");
  ExpectError(kEvaluate + File("part0.npy") + " " + File("rgb.octet") + Model("rgb.octet"), 1,
              "not a data set");
}

TEST_F(EvaluateTest, FiveBestOfMany) {
  // Class c has the score c; the labels are ranks 1, 5 and 6.
  std::vector<float> values(3 * 8 * 8);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 8);
  WriteArray("eight.npy", {3, 2, 4, 8}, values);
  WriteArray<int32_t>("ranks.npy", {3}, {7, 3, 2});
  const std::string arguments =
      File("eight.npy") + " --labels-npy " + File("ranks.npy") + Model("eight.octet");
  const Json j = Evaluate(arguments);
  EXPECT_EQ(j["models"][0]["correct"], 1);
  EXPECT_DOUBLE_EQ(j["models"][0]["top5"].get<double>(), 2.0 / 3);
  EXPECT_NE(RunCommand(kEvaluate + arguments).out.find("33.33 %  66.67 %"), std::string::npos);
}

TEST_F(EvaluateTest, ArraysInEitherOrder) {
  const auto outputs = [&](const std::string& array, const std::string& model) {
    Evaluate(File(array) + Model(model) + " --outputs " + File("y.npy"));
    return ReadNpyFloats(Path("y.npy"))->values;
  };
  // Channel 0 is 1, channel 1 is 2.
  std::vector<float> last, first;
  for (int i = 0; i < 8; ++i) last.insert(last.end(), {1, 2});
  for (int i = 0; i < 16; ++i) first.push_back(i < 8 ? 1.0f : 2.0f);
  WriteArray("last.npy", {1, 2, 4, 2}, last);
  WriteArray("first.npy", {1, 2, 2, 4}, first);
  EXPECT_EQ(outputs("first.npy", "first.octet"), (std::vector<float>{1, 2}));
  EXPECT_EQ(outputs("last.npy", "first.octet"), (std::vector<float>{1, 2}));
  ExpectError(kEvaluate + File("last.npy") + Model("rgb.octet"), 1,
              "sample has the shape [2,4,2], expected [2,4,3] or [3,2,4] as the model's input");
}

// Real numbers become codes by scale and zero point, photos by the preprocessing, raw codes are
// taken as they are: all three are one input.
TEST_F(EvaluateTest, ArraysOfQuantizedInputs) {
  for (const std::string model : {"int8.octet", "pixels.octet"}) {
    SCOPED_TRACE(model);
    auto session = Session::Create(*octet::Model::Load(Path(model)));
    const TensorDescription in = (*session)->GetModel().Describe().inputs[0];
    ASSERT_EQ(in.dtype, DType::kU8);
    std::vector<uint8_t> pixels(in.num_elements());
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 7);
    std::vector<uint8_t> codes(in.num_bytes());
    ASSERT_TRUE((*session)
                    ->Preprocess({pixels.data(), static_cast<int>(in.shape[2]),
                                  static_cast<int>(in.shape[1])},
                                 codes.data())
                    .ok());
    std::vector<float> numbers(codes.size());
    in.ToFloats(codes.data(), numbers.data());
    WriteArray("pixels.npy", in.shape, pixels);
    WriteArray("codes.npy", in.shape, codes);
    WriteArray("numbers.npy", in.shape, numbers);
    std::vector<std::vector<float>> answers;
    for (const std::string arguments : {"pixels.npy", "numbers.npy", "codes.npy"}) {
      Evaluate(File(arguments) + (arguments == "codes.npy" ? " --raw" : "") + Model(model) +
               " --outputs " + File("y.npy"));
      answers.push_back(ReadNpyFloats(Path("y.npy"))->values);
    }
    EXPECT_EQ(answers[0], answers[1]);
    EXPECT_EQ(answers[0], answers[2]);
    ExpectError(kEvaluate + File("numbers.npy") + " --raw" + Model(model), 1,
                "raw samples are floats");
  }
}

// The picture is what the network gets before normalization, the array what it gets.
TEST_F(EvaluateTest, PreprocessShowsWhatTheNetworkSees) {
  DecodedImage photo{40, 20, {}};
  for (int i = 0; i < 40 * 20 * 3; ++i) photo.rgb.push_back(static_cast<uint8_t>(i * 7 % 251));
  ASSERT_TRUE(WritePng(Path("photo.png"), photo).ok());
  const std::string kPreprocess = Quote(OCTET_TOOL_PATH) + " preprocess ";
  for (const ChannelOrder order : {ChannelOrder::kRgb, ChannelOrder::kBgr}) {
    Graph graph = MeansNetwork(3, false, {});  // Of 2 x 4 pixels.
    Preprocessing& p = graph.metadata.preprocessing;
    p.resize = ResizeRule::kCenterCrop;
    p.resize_shorter = 10;
    p.order = order;
    p.scale = 0.5f;
    ASSERT_TRUE(WriteModel(Path("crop.octet"), graph).ok());
    const Outcome done = RunCommand(kPreprocess + File("photo.png") + Model("crop.octet") +
                                    " --output " + File("seen.png") + " --output " +
                                    File("seen.npy") + " --crop " + File("crop.png") + " --json");
    ASSERT_EQ(done.code, 0) << done.err;
    // 4 x 2 of 20 x 10 pixels, which are half of the photo's.
    EXPECT_EQ(Json::parse(done.out)["part"], Json({16, 8, 8, 4}));
    const auto seen = LoadImage(Path("seen.png"));
    ASSERT_TRUE(seen.ok()) << seen.status().message();
    ASSERT_EQ(seen->width, 4);
    ASSERT_EQ(seen->height, 2);
    const auto input = ReadNpyFloats(Path("seen.npy"));
    ASSERT_TRUE(input.ok()) << input.status().message();
    EXPECT_EQ(input->shape, (std::vector<int64_t>{1, 2, 4, 3}));
    for (size_t i = 0; i < 24; ++i) {
      const size_t from = order == ChannelOrder::kRgb ? i : i - i % 3 + (2 - i % 3);
      EXPECT_EQ(input->values[i], 0.5f * static_cast<float>(seen->rgb[from]));
    }
    const auto drawn = LoadImage(Path("crop.png"));
    ASSERT_TRUE(drawn.ok()) << drawn.status().message();
    ASSERT_EQ(drawn->width, 40);
    const auto at = [&](int x, int y) { return &drawn->rgb[static_cast<size_t>(y * 40 + x) * 3]; };
    EXPECT_EQ(at(0, 0)[2], photo.rgb[2] / 3);  // Left out.
    EXPECT_EQ(at(16, 8)[0], 255);              // The frame.
    EXPECT_EQ(at(16, 8)[1], 0);
    EXPECT_EQ(at(20, 10)[1], photo.rgb[(10 * 40 + 20) * 3 + 1]);  // Inside.
  }
  ExpectError(kPreprocess + File("photo.png") + Model("crop.octet") + " --output seen.jpg", 1,
              "expected a name that ends in .png or .npy");
  ExpectError(kPreprocess + File("none.png") + Model("crop.octet"), 1, "none.png");
}

// Photos become pixels as each model says, in every command; --fast-decode makes other ones, and
// says so.
TEST_F(EvaluateTest, PhotosAreDecodedAsTheModelSays) {
#ifndef OCTET_HAVE_LIBJPEG
  GTEST_SKIP() << "built without libjpeg";
#endif
  const std::string folder = OCTET_SOURCE_DIR "/tests/data/pixels/decoding/";
  const auto answer = [](const std::string& model, const DecodedImage& image) {
    auto session = Session::Create(*octet::Model::Load(model));
    std::vector<float> input(2 * 4 * 3),
        means((*session)->GetModel().Describe().outputs[0].num_elements());
    const Status prepared =
        (*session)->Preprocess({image.rgb.data(), image.width, image.height}, input.data());
    EXPECT_TRUE(prepared.ok()) << prepared.message();
    const void* in = input.data();
    void* out = means.data();
    EXPECT_TRUE((*session)->Run(&in, &out).ok());
    return means;
  };
  const auto outputs = [&] { return ReadNpyFloats(Path("y.npy"))->values; };
  // A gray network gets what the framework decodes to gray.
  Graph gray = MeansNetwork(1, false, {});
  gray.metadata.preprocessing.decoding = DecodingOf(Framework::kOpencv);
  ASSERT_TRUE(WriteModel(Path("gray.octet"), gray).ok());
  const std::string colors = folder + "png_srgb.png";
  const std::vector<float> of_gray = answer(
      Path("gray.octet"), *LoadImage(colors, DecodingOf(Framework::kOpencv), {.gray = true}));
  EXPECT_NE(of_gray,
            answer(Path("gray.octet"), *LoadImage(colors, DecodingOf(Framework::kOpencv))));
  Evaluate(Quote(colors) + Model("gray.octet") + " --outputs " + File("y.npy"));
  EXPECT_EQ(outputs(), of_gray);
  ASSERT_EQ(RunCommand(Quote(OCTET_TOOL_PATH) + " run " + File("gray.octet") + " --input " +
                       Quote(colors) + " --output " + File("y.npy"))
                .code,
            0);
  EXPECT_EQ(outputs(), of_gray);
  std::vector<std::vector<float>> answers;
  std::string all;
  for (const Framework framework : {Framework::kPillow, Framework::kTensorflow}) {
    const std::string name = std::string(NameOf(kFrameworkNames, framework)) + ".octet";
    Graph graph = MeansNetwork(3, false, {});
    graph.metadata.preprocessing.decoding = DecodingOf(framework);
    ASSERT_TRUE(WriteModel(Path(name), graph).ok());
    const std::string photo = folder + "cmyk_plain.jpg";
    answers.push_back(answer(Path(name), *LoadImage(photo, DecodingOf(framework))));
    const Json j = Evaluate(Quote(photo) + Model(name) + " --outputs " + File("y.npy"));
    EXPECT_EQ(j["data"]["fast_decode"], false);
    EXPECT_EQ(outputs(), answers.back());
    ASSERT_EQ(RunCommand(Quote(OCTET_TOOL_PATH) + " run " + File(name) + " --input " +
                         Quote(photo) + " --output " + File("y.npy"))
                  .code,
              0);
    EXPECT_EQ(outputs(), answers.back());
    const Outcome classified =
        RunCommand(Quote(OCTET_TOOL_PATH) + " classify --json " + Quote(photo) + Model(name));
    const auto top = (*Session::Create(*octet::Model::Load(Path(name))))
                         ->Classify(ViewOf(*LoadImage(photo, DecodingOf(framework))), 1);
    EXPECT_EQ(Json::parse(classified.out)[0]["predictions"][0]["probability"].get<float>(),
              (*top)[0].probability);
    all += Model(name);
    // A smaller image, for an input of 4x2.
    const std::string larger = folder + "restart.jpg";
    const DecodedImage small =
        *DecodeImage(*ReadFileBytes(larger, 10000), larger, DecodingOf(framework), {8, 4});
    EXPECT_EQ(small.width, 10);  // Of 37.
    const std::string fast = Quote(larger) + Model(name) + " --fast-decode";
    EXPECT_EQ(Evaluate(fast + " --outputs " + File("y.npy"))["data"]["fast_decode"], true);
    EXPECT_EQ(outputs(), answer(Path(name), small));
    EXPECT_NE(RunCommand(kEvaluate + fast).out.find("; JPEGs decoded smaller (--fast-decode)\n"),
              std::string::npos);
  }
  EXPECT_NE(answers[0], answers[1]);
  Evaluate(Quote(folder + "cmyk_plain.jpg") + all + " --predictions " + File("p.csv"));
  const std::string csv = ReadFile(Path("p.csv"));
  for (const std::vector<float>& means : answers) {
    EXPECT_NE(csv.find(StrCat(*std::max_element(means.begin(), means.end()))), std::string::npos)
        << csv;
  }
}

}  // namespace
}  // namespace octet::testing
