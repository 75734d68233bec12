// octet run as a user runs it: arrays and photos of every kind in, arrays out, held against the
// library; and one clear line for what does not fit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/include/octet/octet.h"
#include "formats/data/npy.h"
#include "tests/packaging/command.h"
#include "tests/small_network.h"

namespace octet::testing {
namespace {

using Dims = std::vector<int64_t>;
using Json = nlohmann::json;

const std::string kRun = Quote(OCTET_TOOL_PATH) + " run ";
constexpr size_t kImage = 20 * 20 * 3;

/// Inputs 'a' (the source's channels first) and 'b=c', outputs 'sum' (the source's channels first)
/// and 'means' of a, of no labels.
Graph TwoNetwork() {
  Graph g;
  g.metadata.name = "two";
  const TensorId a = g.AddActivation("a", DType::kF32, {1, 4, 5, 3}),
                 b = g.AddActivation("b=c", DType::kF32, {1, 4, 5, 3}),
                 sum = g.AddActivation("sum", DType::kF32, {1, 4, 5, 3}),
                 pooled = g.AddActivation("pooled", DType::kF32, {1, 1, 1, 3}),
                 means = g.AddActivation("means", DType::kF32, {1, 3});
  g.AddNode(OpType::kAdd, "add", {a, b}, sum);
  g.AddNode(OpType::kGlobalAveragePool, "pool", {a}, pooled);
  g.AddNode(OpType::kReshape, "flatten", {pooled}, means);
  g.inputs = {a, b};
  g.outputs = {sum, means};
  g.inputs_channels_first = {true, false};
  g.outputs_channels_first = {true, false};
  return g;
}

class RunTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    const auto write = [](const std::string& name, const Graph& graph) {
      const Status written = WriteModel(Path(name), graph);
      ASSERT_TRUE(written.ok()) << written.message();
    };
    write("fp32.octet", SmallNetwork(Precision::kFp32));
    write("int8.octet", SmallNetwork(Precision::kInt8));
    Graph pixels = SmallNetwork(Precision::kInt8);
    testing::SetPixelCodes(&pixels);
    write("pixels.octet", pixels);
    write("two.octet", TwoNetwork());
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static std::string Path(const std::string& name) { return *folder_ / name; }
  static std::string File(const std::string& name) { return Quote(Path(name)); }
  static void Write(const std::string& name, const std::string& bytes) {
    WriteFile(Path(name), bytes);
  }
  template <typename T>
  static void WriteArray(const std::string& name, const Dims& shape, const std::vector<T>& values) {
    const Status status = WriteNpy(Path(name), shape, std::span<const T>(values));
    ASSERT_TRUE(status.ok()) << status.message();
  }
  static NpyFloats Read(const std::string& name) {
    auto array = ReadNpyFloats(Path(name));
    EXPECT_TRUE(array.ok()) << array.status().message();
    return array.ok() ? std::move(array).value() : NpyFloats();
  }
  static std::string Input(const std::string& name) { return " --input " + File(name); }
  static std::string Output(const std::string& name) { return " --output " + File(name); }

  /// What `octet run` writes for the model's only output.
  static NpyFloats Run(const std::string& arguments) {
    std::filesystem::remove(Path("y.npy"));
    const Outcome o = RunCommand(kRun + arguments + Output("y.npy"));
    EXPECT_EQ(o.code, 0) << arguments << "\n" << o.err;
    EXPECT_EQ(o.err, "");
    return o.code == 0 ? Read("y.npy") : NpyFloats();
  }

  /// What the library says to images of the small network's input in bytes, as numbers.
  static std::vector<float> Library(const std::string& model, const std::vector<uint8_t>& bytes) {
    auto session = Session::Create(*Model::Load(Path(model)));
    const ModelDescription& d = (*session)->GetModel().Describe();
    std::vector<float> all;
    for (size_t at = 0; at < bytes.size(); at += d.inputs[0].num_bytes()) {
      std::vector<uint8_t> output(d.outputs[0].num_bytes());
      const void* in = bytes.data() + at;
      void* out = output.data();
      EXPECT_TRUE((*session)->Run(&in, &out).ok());
      all.resize(all.size() + 5);
      d.outputs[0].ToFloats(output.data(), all.data() + all.size() - 5);
    }
    return all;
  }
  static std::vector<uint8_t> Preprocessed(const std::string& model, const Image& image) {
    auto session = Session::Create(*Model::Load(Path(model)));
    std::vector<uint8_t> bytes((*session)->GetModel().Describe().inputs[0].num_bytes());
    EXPECT_TRUE((*session)->Preprocess(image, bytes.data()).ok());
    return bytes;
  }

  static TemporaryFolder* folder_;
};
TemporaryFolder* RunTest::folder_ = nullptr;

std::vector<float> Numbers(size_t n) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = static_cast<float>(i * 7919 % 509) / 128.0f - 2.0f;
  return values;
}
std::vector<uint8_t> Bytes(size_t n) {
  std::vector<uint8_t> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = static_cast<uint8_t>(i * 37 + i / 11);
  return values;
}
std::vector<uint8_t> BytesOf(const std::vector<float>& values) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  return {bytes, bytes + values.size() * 4};
}
std::string Text(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

/// [n,pixels,channels] as [n,channels,pixels].
template <typename T>
std::vector<T> ChannelsFirst(const std::vector<T>& values, size_t pixels, size_t channels) {
  std::vector<T> to(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t n = i / (pixels * channels), p = i / channels % pixels, c = i % channels;
    to[(n * channels + c) * pixels + p] = values[i];
  }
  return to;
}

TEST_F(RunTest, FloatArraysAreTheNetworksInput) {
  const std::vector<float> x = Numbers(7 * kImage);
  WriteArray("x.npy", {7, 20, 20, 3}, x);
  const std::vector<float> expected = Library("fp32.octet", BytesOf(x));
  for (const std::string options :
       {"", " --batch 1", " --batch 3", " --batch 100", " --threads 2", " --raw"}) {
    const NpyFloats y = Run(File("fp32.octet") + Input("x.npy") + options);
    EXPECT_EQ(y.shape, (Dims{7, 5})) << options;
    EXPECT_EQ(y.values, expected) << options;
  }
  // The other order, and other types.
  WriteArray("first.npy", {7, 3, 20, 20}, ChannelsFirst(x, 400, 3));
  EXPECT_EQ(Run(File("fp32.octet") + Input("first.npy")).values, expected);
  const std::vector<double> wide(x.begin(), x.end());
  Write("wide.npy",
        Npy("<f8", "7, 20, 20, 3", {reinterpret_cast<const char*>(wide.data()), wide.size() * 8}));
  EXPECT_EQ(Run(File("fp32.octet") + Input("wide.npy")).values, expected);
  // Arrays one after the other.
  EXPECT_EQ(Run(File("fp32.octet") + Input("x.npy") + Input("first.npy")).shape, (Dims{14, 5}));
  // Its name may be given, and the model may come last.
  EXPECT_EQ(
      Run("--input " + Quote("image=" + Path("x.npy")) + " --isa reference " + File("fp32.octet"))
          .shape,
      (Dims{7, 5}));
}

TEST_F(RunTest, CodesAndNumbersOfQuantizedNetworks) {
  for (const std::string model : {"int8.octet", "pixels.octet"}) {
    SCOPED_TRACE(model);
    const TensorDescription in = (*Model::Load(Path(model)))->Describe().inputs[0];
    std::vector<float> x = Numbers(3 * kImage);
    for (float& v : x) v *= in.by_channel.empty() ? 1.0f : 8.0f;
    std::vector<uint8_t> codes(x.size());
    for (size_t i = 0; i < 3; ++i) in.FromFloats(x.data() + i * kImage, codes.data() + i * kImage);
    WriteArray("numbers.npy", {3, 20, 20, 3}, x);
    WriteArray("codes.npy", {3, 20, 20, 3}, codes);
    WriteArray("codes_first.npy", {3, 3, 20, 20}, ChannelsFirst(codes, 400, 3));
    const std::vector<float> expected = Library(model, codes);
    const NpyFloats numbers = Run(File(model) + Input("numbers.npy"));
    EXPECT_EQ(numbers.shape, (Dims{3, 5}));
    EXPECT_EQ(numbers.values, expected);
    const TensorDescription out = (*Model::Load(Path(model)))->Describe().outputs[0];
    for (const std::string name : {"codes.npy", "codes_first.npy", "numbers.npy"}) {
      const NpyFloats raw = Run(File(model) + " --raw" + Input(name));
      const auto file = NpyReader::Open(Path("y.npy"));
      ASSERT_TRUE(file.ok());
      EXPECT_EQ(file->header().type, NpyType::kU8);
      ASSERT_EQ(raw.values.size(), expected.size());
      for (size_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(out.scale * (raw.values[i] - static_cast<float>(out.zero_point)), expected[i]);
    }
    Write("signed.npy", Npy("|i1", "3, 20, 20, 3", Text(codes)));
    ExpectError(kRun + File(model) + " --raw" + Input("signed.npy"), 1,
                "signed.npy: found an array of int8, expected uint8 codes");
  }
}

TEST_F(RunTest, InspectSaysWhereCodesArePixels) {
  const std::string inspect = Quote(OCTET_TOOL_PATH) + " inspect ";
  const std::string numbers = "[0.25 0.5 0.125]*(q-[20 40 60])";
  EXPECT_NE(RunCommand(inspect + File("pixels.octet"))
                .out.find("image uint8[1,20,20,3] pixels, " + numbers),
            std::string::npos);
  EXPECT_NE(RunCommand(inspect + "--dot " + File("pixels.octet")).out.find(numbers),
            std::string::npos);
  const Json pixels = Json::parse(RunCommand(inspect + "--json " + File("pixels.octet")).out),
             codes = Json::parse(RunCommand(inspect + "--json " + File("int8.octet")).out);
  EXPECT_EQ(pixels["inputs"][0]["pixel_codes"], true);
  EXPECT_EQ(pixels["inputs"][0]["channel_scales"], (std::vector<float>{0.25f, 0.5f, 0.125f}));
  EXPECT_EQ(pixels["inputs"][0]["channel_zero_points"], (std::vector<float>{20, 40, 60}));
  EXPECT_FALSE(pixels["inputs"][0].contains("scale"));
  EXPECT_EQ(codes["inputs"][0]["zero_point"], 114);
  EXPECT_FALSE(codes["inputs"][0].contains("pixel_codes"));
}

TEST_F(RunTest, PixelsArePrepared) {
  const std::vector<uint8_t> pixels = Bytes(2 * 31 * 45 * 3);
  WriteArray("pixels.npy", {2, 31, 45, 3}, pixels);
  WriteArray("planes.npy", {2, 3, 31, 45}, ChannelsFirst(pixels, 31 * 45, 3));
  std::vector<std::string> photos;
  for (const std::string model : {"fp32.octet", "int8.octet"}) {
    std::vector<uint8_t> prepared;
    std::string files;
    for (size_t i = 0; i < 2; ++i) {
      const uint8_t* image = pixels.data() + i * pixels.size() / 2;
      const auto bytes = Preprocessed(model, {image, 45, 31});
      prepared.insert(prepared.end(), bytes.begin(), bytes.end());
      const std::string name = "photo" + std::to_string(i) + ".ppm";
      Write(name, "P6\n45 31\n255\n" + Text({image, image + 31 * 45 * 3}));
      files += " " + File(name);
    }
    const std::vector<float> expected = Library(model, prepared);
    for (const std::string& input :
         {Input("pixels.npy"), Input("planes.npy"), " --input" + files}) {
      const NpyFloats y = Run(File(model) + input);
      EXPECT_EQ(y.shape, (Dims{2, 5})) << input;
      EXPECT_EQ(y.values, expected) << input;
    }
  }
  // With --raw, the bytes are the numbers of a float network.
  const std::vector<uint8_t> bytes = Bytes(kImage);
  WriteArray("bytes.npy", {1, 20, 20, 3}, bytes);
  EXPECT_EQ(Run(File("fp32.octet") + " --raw" + Input("bytes.npy")).values,
            Library("fp32.octet", BytesOf(std::vector<float>(bytes.begin(), bytes.end()))));
}

TEST_F(RunTest, SeveralInputsAndOutputsByName) {
  const std::vector<float> a = Numbers(2 * 60);
  std::vector<uint8_t> b = Bytes(2 * 60);  // No image: numbers.
  std::vector<float> sum(a), means(6, 0.0f);
  for (size_t i = 0; i < a.size(); ++i) {
    sum[i] += static_cast<float>(b[i]);
    means[i / 60 * 3 + i % 3] += a[i] / 20.0f;
  }
  WriteArray("a.npy", {2, 3, 4, 5}, ChannelsFirst(a, 20, 3));
  WriteArray("a_last.npy", {2, 4, 5, 3}, a);
  WriteArray("b.npy", {2, 4, 5, 3}, b);
  const std::string in_b = " --input " + Quote("b=c=" + Path("b.npy")),
                    outs = " --output " + Quote("means=" + Path("means.npy")) + " --output " +
                           Quote("sum=" + Path("sum.npy"));
  for (const std::string name : {"a.npy", "a_last.npy"}) {
    const Outcome o =
        RunCommand(kRun + File("two.octet") + in_b + " --input " + Quote("a=" + Path(name)) + outs);
    ASSERT_EQ(o.code, 0) << o.err;
    const NpyFloats got = Read("sum.npy"), got_means = Read("means.npy");
    EXPECT_EQ(got.shape, (Dims{2, 3, 4, 5}));
    EXPECT_EQ(got.values, ChannelsFirst(sum, 20, 3));
    EXPECT_EQ(got_means.shape, (Dims{2, 3}));
    for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(got_means.values[i], means[i], 1e-5f);
    std::filesystem::remove(Path("sum.npy"));
    std::filesystem::remove(Path("means.npy"));
  }
  const std::string in_a = " --input " + Quote("a=" + Path("a.npy")),
                    run = kRun + File("two.octet");
  ExpectError(run + Input("a.npy") + Input("b.npy"), 1,
              "a.npy: expected NAME=FILE with the name one of 'a', 'b=c'");
  ExpectError(run + in_a, 1, "input 'b=c' is missing, expected --input for each of 'a', 'b=c'");
  ExpectError(run + in_a + " --input b=x.npy", 1, "--input b=x.npy: expected NAME=FILE");
  ExpectError(run + in_a + in_b + Output("y.npy"), 1, "name one of 'sum', 'means'");
  ExpectError(run + in_a + in_b + " --output " + Quote("sum=" + Path("same.npy")) + " --output " +
                  Quote("means=" + Path("./same.npy")),
              1, "expected a file for each output");
  ExpectError(run + in_a + in_b + outs + " --output sum=again.npy", 1,
              "output 'sum' is written to");
  WriteArray("b3.npy", {3, 4, 5, 3}, Numbers(3 * 60));
  ExpectError(run + in_a + " --input " + Quote("b=c=" + Path("b3.npy")) + outs, 1,
              "b3.npy: found 3 samples for input 'b=c', expected 2 as for 'a'");
  Write("red.ppm", "P6\n1 1\n255\nabc");
  ExpectError(run + in_a + " --input " + Quote("b=c=" + Path("red.ppm")) + outs, 1,
              "red.ppm: found an image, which input 'b=c' of shape [1,4,5,3] does not take");
  // One of two cannot be written: none is, and nothing is computed.
  ExpectError(run + in_a + in_b + " --output " + Quote("sum=" + Path("sum.npy")) +
                  " --output means=no_such_folder/means.npy",
              1, "no_such_folder/means.npy: folder no_such_folder does not exist");
  for (const std::string name : {"sum.npy", "means.npy", "same.npy"})
    EXPECT_FALSE(std::filesystem::exists(Path(name))) << name;
}

TEST_F(RunTest, DumpsWhatEveryLayerAnswers) {
  WriteArray("x.npy", {3, 20, 20, 3}, Numbers(3 * kImage));
  for (const std::string model : {"fp32", "int8"}) {
    const NpyFloats y =
        Run(File(model + ".octet") + Input("x.npy") + " --dump-layers " + File(model));
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(Path(model)))
      files.push_back(entry.path().filename().string());
    std::sort(files.begin(), files.end());
    EXPECT_EQ(files, (std::vector<std::string>{"000_stem.npy", "001_a.npy", "002_b.npy",
                                               "003_pool.npy", "005_logits.npy"}));
    EXPECT_EQ(Read(model + "/000_stem.npy").shape, (Dims{3, 20, 20, 16}));
    const NpyFloats logits = Read(model + "/005_logits.npy"), b = Read(model + "/002_b.npy"),
                    pool = Read(model + "/003_pool.npy");
    EXPECT_EQ(logits.shape, (Dims{3, 5}));
    EXPECT_EQ(logits.values, y.values);
    // Numbers, of codes too: the means are those of what stands before.
    ASSERT_EQ(pool.values.size(), 3u * 16);
    ASSERT_EQ(b.values.size(), 3u * 400 * 16);
    for (size_t i = 0; i < pool.values.size(); ++i) {
      double mean = 0.0;
      for (size_t p = 0; p < 400; ++p) mean += b.values[(i / 16 * 400 + p) * 16 + i % 16] / 400.0;
      // Codes end at 0 and 255, with the zero point 110, and are half a step off.
      if (model == "int8") mean = std::clamp(mean, -110 * 0.03, 145 * 0.03);
      EXPECT_NEAR(pool.values[i], mean, model == "int8" ? 0.0151 : 1e-5);
    }
  }
  ASSERT_EQ(
      Run(File("int8.octet") + " --raw" + Input("x.npy") + " --dump-layers " + File("raw")).shape,
      (Dims{3, 5}));
  const auto raw = NpyReader::Open(Path("raw/000_stem.npy"));
  ASSERT_TRUE(raw.ok());
  EXPECT_EQ(raw->header().type, NpyType::kU8);
  const NpyFloats codes = Read("raw/000_stem.npy"), numbers = Read("int8/000_stem.npy");
  for (size_t i = 0; i < numbers.values.size(); i += 7)
    EXPECT_EQ(numbers.values[i], 0.03f * codes.values[i]);

  const std::string dump = kRun + File("fp32.octet") + Input("x.npy") + " --dump-layers ";
  ExpectError(dump + File("no/folder"), 1, "no/folder: cannot make a folder of this name");
  ExpectError(dump + File("more") + " --threads 2", 2, "--threads excludes --dump-layers");
}

TEST_F(RunTest, PrintsWhatIsNotWritten) {
  WriteArray("x.npy", {2, 20, 20, 3}, Numbers(2 * kImage));
  const Outcome text = RunCommand(kRun + File("fp32.octet") + Input("x.npy"));
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.out.rfind("logits float32 [2,5], min ", 0), 0u) << text.out;
  EXPECT_EQ(std::count(text.out.begin(), text.out.end(), '\n'), 1 + 2 * 6) << text.out;
  EXPECT_NE(text.out.find("x.npy[1]\n"), std::string::npos) << text.out;
  const NpyFloats y = Run(File("fp32.octet") + Input("x.npy"));
  const Outcome json = RunCommand(kRun + File("fp32.octet") + Input("x.npy") + " --json");
  ASSERT_EQ(json.code, 0) << json.err;
  const Json j = Json::parse(json.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded()) << json.out;
  EXPECT_EQ(j["samples"], 2);
  const Json& out = j["outputs"][0];
  EXPECT_EQ(out["shape"], (Dims{2, 5}));
  EXPECT_EQ(out["max"].get<float>(), *std::max_element(y.values.begin(), y.values.end()));
  EXPECT_EQ(out["min"].get<float>(), *std::min_element(y.values.begin(), y.values.end()));
  ASSERT_EQ(out["top"].size(), 2u);
  const std::vector<std::string> labels{"roses", "sunflowers", "daisy", "dandelion", "tulips"};
  for (size_t n = 0; n < 2; ++n) {
    float last = std::numeric_limits<float>::infinity();
    ASSERT_EQ(out["top"][n]["classes"].size(), 5u);
    for (const Json& c : out["top"][n]["classes"]) {
      EXPECT_EQ(c["value"].get<float>(), y.values[n * 5 + c["index"].get<size_t>()]);
      EXPECT_EQ(c["label"], labels.at(c["index"].get<size_t>()));
      EXPECT_LE(c["value"].get<float>(), last);
      last = c["value"].get<float>();
    }
  }
}

TEST_F(RunTest, WhatDoesNotFitIsNamed) {
  const std::string run = kRun + File("fp32.octet") + Output("never.npy");
  ExpectError(kRun + File("fp32.octet"), 2, "--input");
  ExpectError(kRun + Input("x.npy"), 2, "model");
  ExpectError(run + Input("x.npy") + " --batch 0", 2, "--batch");
  ExpectError(run + Input("missing.npy"), 1, "missing.npy");
  ExpectError(kRun + File("missing.octet") + Input("x.npy"), 1, "missing.octet");
  const std::string expected =
      ", expected [n,20,20,3] or [n,3,20,20], or uint8 pixels [n,height,width,3], for input "
      "'image'";
  const auto wrong = [&](const std::string& type, const std::string& shape, size_t bytes,
                         const std::string& part) {
    Write("wrong.npy", Npy(type, shape, std::string(bytes, '\0')));
    ExpectError(run + Input("wrong.npy"), 1, "wrong.npy: found shape " + part);
  };
  wrong("<f4", "2, 20, 21, 3", 2 * 20 * 21 * 12, "[2,20,21,3] of float32" + expected);
  wrong("<f4", "20, 20, 3", kImage * 4,
        "[20,20,3] of float32 without the batch in front" + expected);
  wrong("<f4", "3, 20, 20", kImage * 4, "[3,20,20] of float32 without the batch in front");
  wrong("|u1", "31, 45, 3", 31 * 45 * 3,
        "[31,45,3] of uint8 without the batch in front" + expected);
  wrong("|u1", "2, 5, 5, 4", 200, "[2,5,5,4] of uint8" + expected);
  wrong("|u1", "1, 0, 5, 3", 0, "[1,0,5,3] of uint8, expected sides of 1 to 32768 pixels");
  wrong("<f4", "0, 20, 20, 3", 0, "[0,20,20,3] of float32, expected at least one sample");
  wrong("<f4", "", 4, "[] of float32" + expected);
  std::vector<float> x = Numbers(2 * kImage);
  x[kImage + 3] = std::numeric_limits<float>::quiet_NaN();
  WriteArray("nan.npy", {2, 20, 20, 3}, x);
  ExpectError(run + Input("nan.npy"), 1, "nan.npy[1]: element 3: found nan");
  Write("text.jpg", "not a photo\n");
  ExpectError(run + Input("text.jpg"), 1,
              "text.jpg: found neither an .npy array nor a JPEG, PNG, BMP or PNM image");
  Write("cut.ppm", "P6\n20 20\n255\nabc");
  ExpectError(run + Input("cut.ppm"), 1, "cut.ppm: ");
  WriteArray("x.npy", {1, 20, 20, 3}, Numbers(kImage));
  ExpectError(run + Input("x.npy") + " --isa mmx", 1, "mmx");
  ExpectError(run + Input("x.npy") + Output("twice.npy"), 1, "twice.npy: output 'logits'");
  ExpectError(kRun + File("fp32.octet") + Input("x.npy") + " --output " + Quote(Path("")), 1,
              "is a folder");
  ExpectError(kRun + File("fp32.octet") + Input("x.npy") + " --output scores=y.npy", 1,
              "--output scores=y.npy: expected NAME=FILE with the name 'logits'");
  EXPECT_FALSE(std::filesystem::exists(Path("never.npy")));
}

}  // namespace
}  // namespace octet::testing
