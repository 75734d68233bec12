// Keras and TFLite files against the frameworks' own answers: files that TensorFlow writes now (see
// exporters_test.cc; OCTET_EXPORT_ALL=1 adds the large networks), and trained ones from outside
// (OCTET_DATA_DIR).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "converter/import/importer.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "engine/src/model_impl.h"
#include "formats/data/dataset.h"
#include "formats/data/npy.h"
#include "tests/data_dir.h"
#include "tests/golden/exporter_environment.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

std::vector<uint8_t> ReadBytes(const std::string& path) {
  auto reader = NpyReader::Open(path);
  EXPECT_TRUE(reader.ok()) << path;
  if (!reader.ok() || reader->header().type != NpyType::kU8) return {};
  std::vector<uint8_t> values(static_cast<size_t>(reader->header().elements));
  EXPECT_TRUE(reader->Read(0, reader->header().elements, values.data()).ok());
  return values;
}

/// A model file ready to run in the precision it was made for.
class Runner {
 public:
  explicit Runner(const std::string& path) {
    Result<Graph> graph = ImportModel(path, {});
    EXPECT_TRUE(graph.ok()) << graph.status().message();
    if (!graph.ok()) return;
    const Status status = Optimize(&*graph);
    EXPECT_TRUE(status.ok()) << status.message();
    if (!status.ok()) return;
    QuantizeOptions options;
    options.precision = graph->metadata.precision;
    options.input_type = graph->tensor(graph->inputs[0]).dtype;
    options.output_type = graph->tensor(graph->outputs[0]).dtype;
    const Result<Graph> quantized = QuantizeGraph(*graph, options, nullptr);
    EXPECT_TRUE(quantized.ok()) << quantized.status().message();
    if (!quantized.ok()) return;
    const auto model = ModelFromGraph(*quantized);
    EXPECT_TRUE(model.ok()) << model.status().message();
    if (!model.ok()) return;
    auto session = Session::Create(*model, {});
    EXPECT_TRUE(session.ok()) << session.status().message();
    if (session.ok()) session_ = std::move(session).value();
  }

  bool ok() const { return session_ != nullptr; }
  const ModelDescription& description() const { return session_->GetModel().Describe(); }

  /// Image after image; T is the model's type of input and output.
  template <typename T>
  std::vector<T> Run(const std::vector<T>& input) {
    const size_t in = description().inputs[0].num_elements(),
                 out = description().outputs[0].num_elements();
    EXPECT_EQ(0u, input.size() % in);
    std::vector<T> output(input.size() / in * out);
    for (size_t i = 0; i < input.size() / in; ++i) {
      const void* x = input.data() + i * in;
      void* y = output.data() + i * out;
      EXPECT_TRUE(session_->Run(&x, &y).ok());
    }
    return output;
  }

 private:
  std::unique_ptr<Session> session_;
};

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double d = std::fabs(static_cast<double>(a[i]) - b[i]);
    largest = d <= largest ? largest : d;  // A NaN stays.
  }
  return largest;
}

double Largest(const std::vector<float>& a) {
  return LargestDifference(a, std::vector<float>(a.size()));
}

/// Share of equal bytes; none may be more than `most` apart.
double EqualShare(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b, int most) {
  EXPECT_EQ(a.size(), b.size());
  if (a.size() != b.size()) return 0.0;
  size_t equal = 0;
  int apart = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    equal += a[i] == b[i];
    apart = std::max(apart, std::abs(a[i] - b[i]));
  }
  EXPECT_LE(apart, most);
  return static_cast<double>(equal) / static_cast<double>(a.size());
}

/// A float file of a case against Keras, relative to the largest output.
void CompareFloats(const std::string& file, const std::string& folder, double tolerance,
                   Precision precision) {
  if (!std::filesystem::exists(folder + "/" + file)) return;
  SCOPED_TRACE(file);
  Runner runner(folder + "/" + file);
  ASSERT_TRUE(runner.ok());
  // TensorFlow leaves small weights of hybrid models in float.
  const Precision found = runner.description().precision;
  EXPECT_TRUE(found == precision || (precision == Precision::kHybrid && found == Precision::kFp32))
      << PrecisionName(found);
  const auto input = ReadNpyFloats(folder + "/input.npy"),
             expected = ReadNpyFloats(folder + "/expected.npy");
  ASSERT_TRUE(input.ok() && expected.ok());
  const double error = LargestDifference(runner.Run(input->values), expected->values);
  EXPECT_LE(error, tolerance * Largest(expected->values));
}

/// A 16x8 file against the reference kernels, code by code and float by float.
void CompareInt16(const std::string& name, const std::string& folder) {
  if (!std::filesystem::exists(folder + "/" + name + ".tflite")) return;
  SCOPED_TRACE(name);
  Runner runner(folder + "/" + name + ".tflite");
  ASSERT_TRUE(runner.ok());
  EXPECT_EQ(Precision::kInt16x8, runner.description().precision);
  const auto input = ReadNpyFloats(folder + "/" + name + "_input.npy"),
             expected = ReadNpyFloats(folder + "/" + name + "_expected.npy");
  ASSERT_TRUE(input.ok() && expected.ok());
  if (runner.description().inputs[0].dtype == DType::kF32) {
    EXPECT_EQ(runner.Run(input->values), expected->values);
    return;
  }
  ASSERT_EQ(DType::kI16, runner.description().inputs[0].dtype);
  const std::vector<int16_t> codes =
      runner.Run(std::vector<int16_t>(input->values.begin(), input->values.end()));
  EXPECT_EQ(std::vector<float>(codes.begin(), codes.end()), expected->values);
}

TEST(KerasTflite, FilesThatTensorFlowWrites) {
  OCTET_REQUIRE_EXPORTERS("tensorflow");
  const testing::TempDir folder;
  const char* all = std::getenv("OCTET_EXPORT_ALL");
  const std::string command = std::string("\"") + python +
                              "\" \"" OCTET_SOURCE_DIR "/tests/golden/export_keras_tflite.py\" \"" +
                              folder.path() + "\"" +
                              (all == nullptr || *all == '\0' ? " --small" : "") + " >&2";
  ASSERT_EQ(0, std::system(command.c_str()));
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    const std::string path = entry.path().string();
    SCOPED_TRACE(entry.path().filename().string());
    ++models;
    CompareFloats("model.keras", path, 1e-4, Precision::kFp32);
    CompareFloats("model.h5", path, 1e-4, Precision::kFp32);
    CompareFloats("fp32.tflite", path, 1e-4, Precision::kFp32);
    // Weights rounded to 11 and 8 bits; activations of hybrid layers to 8. Random weights forgive
    // less than trained ones.
    CompareFloats("fp16.tflite", path, 5e-3, Precision::kFp16);
    CompareFloats("hybrid.tflite", path, 0.2, Precision::kHybrid);
    CompareFloats("int8_float.tflite", path, 0.35, Precision::kInt8);
    CompareInt16("int16", path);
    CompareInt16("int16_float", path);
    if (!std::filesystem::exists(path + "/int8.tflite")) continue;
    Runner runner(path + "/int8.tflite");
    ASSERT_TRUE(runner.ok());
    EXPECT_EQ(Precision::kInt8, runner.description().precision);
    // TFLite rounds dense layers once, also where they work on every pixel; here those are
    // convolutions, rounded twice.
    const bool apart = entry.path().filename() == "pixelwise_dense";
    const double equal = EqualShare(runner.Run(ReadBytes(path + "/int8_input.npy")),
                                    ReadBytes(path + "/int8_expected.npy"), apart ? 2 : 1);
    std::printf("%s: %.2f %% of the bytes equal\n", entry.path().filename().c_str(), 100.0 * equal);
    EXPECT_GE(equal, apart ? 0.85 : 0.99);
  }
  EXPECT_GE(models, 9);
}

TEST(KerasTflite, FlowersInInt16EqualTheReferenceKernels) {
  OCTET_REQUIRE_EXPORTERS("tensorflow");
  OCTET_REQUIRE_MODELS();
  const testing::TempDir folder;
  const std::string command = std::string("\"") + python +
                              "\" \"" OCTET_SOURCE_DIR "/tests/golden/export_keras_tflite.py\" \"" +
                              folder.path() + "\" --flowers \"" + testing::ModelsDir() +
                              "/flowers\" >&2";
  ASSERT_EQ(0, std::system(command.c_str()));
  ASSERT_TRUE(std::filesystem::exists(folder.path() + "/int16.tflite"));
  CompareInt16("int16", folder.path());
  CompareInt16("int16_float", folder.path());
}

// The answers of TensorFlow 2.21's reference kernels to the photos, kept here because they are
// small.
std::string Reference(const std::string& name) {
  return OCTET_SOURCE_DIR "/tests/golden/tflite_reference/" + name;
}

TEST(TfliteInt8, FlowersEqualTheReferenceKernels) {
  OCTET_REQUIRE_MODELS();
  const std::string folder = testing::ModelsDir() + "/flowers/";
  Runner runner(folder + "flowers_resnet_int8.tflite");
  ASSERT_TRUE(runner.ok());
  const TensorDescription in = runner.description().inputs[0];
  ASSERT_EQ(DType::kU8, in.dtype);
  constexpr float kMean[3] = {0.485f, 0.456f, 0.406f}, kStd[3] = {0.229f, 0.224f, 0.225f};
  for (const std::string split : {"test", "validation"}) {
    const auto images = ReadNpyFloats(folder + split + "_images_160.npy");
    ASSERT_TRUE(images.ok());
    std::vector<uint8_t> input(images->values.size());
    for (size_t i = 0; i < input.size(); ++i) {
      const float x = (images->values[i] / 255.0f - kMean[i % 3]) / kStd[i % 3];
      input[i] = static_cast<uint8_t>(std::clamp(
          std::nearbyint(x / in.scale) + static_cast<float>(in.zero_point), 0.0f, 255.0f));
    }
    EXPECT_EQ(1.0,
              EqualShare(runner.Run(input), ReadBytes(Reference("flowers_" + split + ".npy")), 0))
        << split;
  }
}

TEST(TfliteInt8, MlperfTinyGivesTheReferenceKernelsLabels) {
  OCTET_REQUIRE_DATA();
  Runner runner(testing::DataDir() + "/mlperf-tiny/pretrainedResnet_quant.tflite");
  ASSERT_TRUE(runner.ok());
  auto dataset = OpenDataset(testing::DataDir() + "/cifar10/test",
                             {.labels = testing::CifarLabels(), .need_labels = true});
  ASSERT_TRUE(dataset.ok()) << dataset.status().message();
  const std::vector<uint8_t> expected = ReadBytes(Reference("mlperf_tiny.npy"));
  ASSERT_EQ(10000u, expected.size());
  int correct = 0, same = 0, at = 0;
  std::vector<uint8_t> all;
  for (Sample sample;; ++at) {
    const auto more = (*dataset)->Next(&sample);
    ASSERT_TRUE(more.ok()) << more.status().message();
    if (!*more) break;
    // Its input is the pixels themselves: scale 1, zero point -128.
    const std::vector<uint8_t> output = runner.Run(sample.image.rgb);
    all.insert(all.end(), output.begin(), output.end());
    const auto label = [](const uint8_t* p) { return std::max_element(p, p + 10) - p; };
    same += label(output.data()) == label(&expected[static_cast<size_t>(at) * 10]);
    correct += label(output.data()) == sample.label;
  }
  EXPECT_EQ(1000, same);
  EXPECT_GE(EqualShare(all, expected, 1), 0.999);
  EXPECT_EQ(860, correct);
}

TEST(Keras, MlperfTinyAgreesInEveryFormat) {
  OCTET_REQUIRE_DATA();
  Runner h5(testing::DataDir() + "/mlperf-tiny/pretrainedResnet.h5"),
      tflite(testing::DataDir() + "/mlperf-tiny/pretrainedResnet.tflite");
  ASSERT_TRUE(h5.ok() && tflite.ok());
  EXPECT_EQ("keras h5 2.4.0", h5.description().source);
  auto dataset = OpenDataset(testing::DataDir() + "/cifar10/test",
                             {.labels = testing::CifarLabels(), .need_labels = true});
  ASSERT_TRUE(dataset.ok()) << dataset.status().message();
  int correct = 0;
  for (Sample sample;;) {
    const auto more = (*dataset)->Next(&sample);
    ASSERT_TRUE(more.ok()) << more.status().message();
    if (!*more) break;
    const std::vector<float> input(sample.image.rgb.begin(), sample.image.rgb.end());
    const std::vector<float> a = h5.Run(input), b = tflite.Run(input);
    ASSERT_LE(LargestDifference(a, b), 1e-4);
    correct += std::max_element(a.begin(), a.end()) - a.begin() == sample.label;
  }
  EXPECT_EQ(862, correct);  // As TensorFlow's own evaluation of both.
}

}  // namespace
}  // namespace octet
