// The flower classifier from every format it was exported to, in every precision, against its
// framework's answers on the 130 photos it was not trained on; and CIFAR ResNet-20. Needs outside
// data (OCTET_DATA_DIR); skipped visibly without.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "converter/calibrate/sample_source.h"
#include "converter/calibrate/table_file.h"
#include "converter/import/importer.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "converter/tune/pixels.h"
#include "engine/src/model_impl.h"
#include "formats/base/macros.h"
#include "formats/data/dataset.h"
#include "formats/data/npy.h"
#include "formats/model/octet_file.h"
#include "tests/data_dir.h"

namespace octet {
namespace {

constexpr int kPixels = 160 * 160 * 3;

std::string Flower(const std::string& name) { return testing::ModelsDir() + "/flowers/" + name; }

/// Photos as float inputs and the framework's probabilities, the 50 test images first, then the 80
/// of validation.
struct Reference {
  std::vector<float> pixels;         ///< [130][kPixels], 0..255
  std::vector<float> probabilities;  ///< [130][5]
};

Reference LoadReference(const std::string& kind) {
  Reference r;
  for (const char* split : {"test", "validation"}) {
    auto images = ReadNpyFloats(Flower(std::string(split) + "_images_160.npy"));
    auto answers = ReadNpyFloats(Flower(std::string(split) + kind));
    EXPECT_TRUE(images.ok() && answers.ok());
    r.pixels.insert(r.pixels.end(), images->values.begin(), images->values.end());
    r.probabilities.insert(r.probabilities.end(), answers->values.begin(), answers->values.end());
  }
  return r;
}

std::vector<float> Normalize(const std::vector<float>& pixels) {
  constexpr float kMean[3] = {0.485f, 0.456f, 0.406f}, kStd[3] = {0.229f, 0.224f, 0.225f};
  std::vector<float> x(pixels.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = (pixels[i] / 255.0f - kMean[i % 3]) / kStd[i % 3];
  return x;
}

Result<Graph> ImportAndOptimize(const std::string& path) {
  ImportOptions options;
  if (path.ends_with(".pth") || path.ends_with(".safetensors")) options.graph = "flowers_resnet";
  Result<Graph> graph = ImportModel(path, options);
  if (!graph.ok()) return graph.status();
  const Status status = Optimize(&*graph);
  if (!status.ok()) return status;
  return graph;
}

Result<CalibrationTable> CalibrateOn(const std::string& data, Graph graph, int samples) {
  constexpr float kMean[3] = {0.485f, 0.456f, 0.406f}, kStd[3] = {0.229f, 0.224f, 0.225f};
  Preprocessing& p = graph.metadata.preprocessing;
  p.scale = 1.0f / 255.0f;
  for (int c = 0; c < 3; ++c) p.mean[c] = kMean[c], p.stddev[c] = kStd[c];
  Result<DatasetSamples> source = OpenSamples(data, graph, samples);
  if (!source.ok()) return source.status();
  CalibrationOptions options;
  options.max_samples = samples;
  return Calibrate(graph, source->next, options, {});
}

/// Probabilities of all images through the serialized file, in batches of 10 and with two threads.
std::vector<float> RunAll(const Graph& graph, const std::vector<float>& input, int64_t* file_size) {
  auto bytes = SerializeOctet(graph, {});
  EXPECT_TRUE(bytes.ok()) << bytes.status().message();
  if (file_size != nullptr) *file_size = static_cast<int64_t>(bytes->size());
  auto model = Model::FromMemory(bytes->data(), bytes->size());
  EXPECT_TRUE(model.ok()) << model.status().message();
  SessionOptions options;
  options.max_batch = 10;
  options.num_threads = 2;
  auto session = Session::Create(*model, options);
  EXPECT_TRUE(session.ok()) << session.status().message();
  const int images = static_cast<int>(input.size() / kPixels);
  const TensorDescription& in = (*model)->Describe().inputs[0];
  const TensorDescription& out = (*model)->Describe().outputs[0];
  std::vector<uint8_t> quantized(in.dtype == DType::kU8 ? input.size() : 0),
      quantized_out(static_cast<size_t>(images) * 5);
  for (size_t i = 0; i < quantized.size(); ++i) {
    quantized[i] = static_cast<uint8_t>(
        std::clamp(std::nearbyint(input[i] / in.scale) + in.zero_point, 0.0f, 255.0f));
  }
  std::vector<float> result(static_cast<size_t>(images) * 5);
  for (int i = 0; i < images; i += 10) {
    const void* ip =
        in.dtype == DType::kU8
            ? static_cast<const void*>(quantized.data() + static_cast<size_t>(i) * kPixels)
            : input.data() + static_cast<size_t>(i) * kPixels;
    void* op = out.dtype == DType::kU8 ? static_cast<void*>(quantized_out.data() + i * 5)
                                       : result.data() + i * 5;
    const Status status = (*session)->Run(&ip, &op, std::min(10, images - i));
    EXPECT_TRUE(status.ok()) << status.message();
  }
  if (out.dtype == DType::kU8) {
    for (size_t i = 0; i < result.size(); ++i)
      result[i] = out.scale * static_cast<float>(quantized_out[i] - out.zero_point);
  }
  return result;
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = std::fabs(static_cast<double>(a[i]) - b[i]);
    largest = d <= largest ? largest : d;  // A NaN stays.
  }
  return largest;
}

int SameLabels(const std::vector<float>& a, const std::vector<float>& b) {
  int same = 0;
  for (size_t i = 0; i < a.size(); i += 5) {
    same +=
        std::max_element(&a[i], &a[i] + 5) - &a[i] == std::max_element(&b[i], &b[i] + 5) - &b[i];
  }
  return same;
}

struct Source {
  const char* file;
  double tolerance;  ///< Of a probability.
};

class FloatSource : public ::testing::TestWithParam<Source> {};

TEST_P(FloatSource, GivesTheFrameworksProbabilities) {
  OCTET_REQUIRE_MODELS();
  const Reference reference = LoadReference("_probabilities.npy");
  const auto graph = ImportAndOptimize(Flower(GetParam().file));
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  QuantizeOptions options;
  const auto fp32 = QuantizeGraph(*graph, options, nullptr);
  ASSERT_TRUE(fp32.ok()) << fp32.status().message();
  const std::vector<float> ours = RunAll(*fp32, Normalize(reference.pixels), nullptr);
  EXPECT_LE(LargestDifference(ours, reference.probabilities), GetParam().tolerance);
}

INSTANTIATE_TEST_SUITE_P(
    Formats, FloatSource,
    ::testing::Values(Source{"flowers_resnet.safetensors", 1e-4},
                      Source{"flowers_resnet.onnx", 1e-4}, Source{"flowers_resnet.pth", 1e-4},
                      Source{"savedmodel", 1e-4}, Source{"flowers_resnet.h5", 1e-4},
                      Source{"flowers_resnet.keras", 1e-4},
                      Source{"flowers_resnet_fp32.tflite", 1e-4},
                      Source{"flowers_resnet_fp16.tflite", 2e-3}),
    [](const auto& param_info) {
      std::string name = param_info.param.file;
      std::replace_if(
          name.begin(), name.end(),
          [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
      return name;
    });

struct PrecisionCase {
  Precision precision;
  int64_t largest_file;  ///< LiteRT's file of the same precision.
  int same_labels;       ///< Of 130, as fp32.
};

class FlowerPrecision : public ::testing::TestWithParam<PrecisionCase> {};

TEST_P(FlowerPrecision, IsSmallAndAgreesWithFloat) {
  OCTET_REQUIRE_MODELS();
  OCTET_REQUIRE_DATA();
  const Reference reference = LoadReference("_probabilities.npy");
  const auto graph =
      ImportAndOptimize(OCTET_SOURCE_DIR "/models/flowers/flowers_resnet.safetensors");
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const auto read =
      ReadCalibrationTables({OCTET_SOURCE_DIR "/models/flowers/calibration.json"}, *graph);
  ASSERT_TRUE(read.ok()) << read.status().message();
  QuantizeOptions options;
  options.precision = GetParam().precision;
  const auto quantized = QuantizeGraph(*graph, options, &read->table);
  ASSERT_TRUE(quantized.ok()) << quantized.status().message();
  int64_t size = 0;
  const std::vector<float> ours = RunAll(*quantized, Normalize(reference.pixels), &size);
  EXPECT_LE(size, GetParam().largest_file);
  EXPECT_GE(SameLabels(ours, reference.probabilities), GetParam().same_labels);
}

INSTANTIATE_TEST_SUITE_P(All, FlowerPrecision,
                         ::testing::Values(PrecisionCase{Precision::kFp32, 11271132, 130},
                                           PrecisionCase{Precision::kFp16, 5652940, 129},
                                           PrecisionCase{Precision::kBf16, 5652940, 130},
                                           PrecisionCase{Precision::kHybrid, 2869840, 129},
                                           PrecisionCase{Precision::kInt8, 2900760, 128},
                                           PrecisionCase{Precision::kInt16x8, 2900760, 130}),
                         [](const auto& param_info) {
                           return PrecisionName(param_info.param.precision);
                         });

/// With pixels as codes a network that takes bytes answers photos as the one that takes floats
/// does, in every bit, and better than by evenly spaced numbers.
TEST(FlowerPixels, AreTheCodesOfABytesInput) {
  OCTET_REQUIRE_MODELS();
  const Reference reference = LoadReference("_probabilities.npy");
  auto graph = ImportAndOptimize(Flower("flowers_resnet.onnx"));
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  Preprocessing& p = graph->metadata.preprocessing;
  p.scale = 1.0f / 255.0f;
  p.mean = {0.485f, 0.456f, 0.406f, 0.0f};
  p.stddev = {0.229f, 0.224f, 0.225f, 1.0f};
  const auto table = CalibrateOn(Flower("validation_images_160.npy"), *graph, 80);
  ASSERT_TRUE(table.ok()) << table.status().message();
  const std::optional<PixelGraph> pixels = TakePixels(*graph, *table);
  ASSERT_TRUE(pixels.has_value());
  QuantizeOptions options;
  options.precision = Precision::kInt8;
  const Result<Graph> of_floats = QuantizePixels(*pixels, options);
  options.input_type = DType::kU8;
  const Result<Graph> of_bytes = QuantizePixels(*pixels, options),
                      even = QuantizeGraph(*graph, options, &*table);
  const std::vector<uint8_t> photos(reference.pixels.begin(), reference.pixels.end());
  const auto classify = [&](const Result<Graph>& g) -> Result<std::vector<float>> {
    if (!g.ok()) return g.status();
    OCTET_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, SerializeOctet(*g, {}));
    OCTET_ASSIGN_OR_RETURN(const auto model, Model::FromMemory(bytes.data(), bytes.size()));
    OCTET_ASSIGN_OR_RETURN(const auto session, Session::Create(model));
    std::vector<Image> images;
    for (size_t at = 0; at < photos.size(); at += kPixels)
      images.push_back({photos.data() + at, 160, 160});
    return session->ClassifyBatch(images.data(), static_cast<int>(images.size()));
  };
  const Result<std::vector<float>> want = classify(of_floats), got = classify(of_bytes),
                                   others = classify(even);
  ASSERT_TRUE(want.ok() && got.ok() && others.ok()) << got.status().message();
  ASSERT_EQ(want->size(), reference.probabilities.size());
  EXPECT_EQ(*got, *want);
  const auto noise = [&](const std::vector<float>& answers) {
    double sum = 0.0;
    for (size_t i = 0; i < answers.size(); ++i) {
      const double d = static_cast<double>(answers[i]) - reference.probabilities[i];
      sum += d * d;
    }
    return sum;
  };
  EXPECT_LT(noise(*got), noise(*others));
  EXPECT_GE(SameLabels(*got, reference.probabilities), 128);
}

TEST(FlowerTflite, HybridKeepsTheLabels) {
  OCTET_REQUIRE_MODELS();
  const Reference reference = LoadReference("_probabilities.npy");
  const auto graph = ImportAndOptimize(Flower("flowers_resnet_hybrid.tflite"));
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_GE(
      SameLabels(RunAll(*graph, Normalize(reference.pixels), nullptr), reference.probabilities),
      129);
}

class QuantizedOnnx : public ::testing::TestWithParam<const char*> {};

TEST_P(QuantizedOnnx, RunsAsInt8CloseToTheExactEvaluation) {
  OCTET_REQUIRE_MODELS();
  const Reference reference = LoadReference("_qdq_probabilities.npy");
  const auto graph = ImportAndOptimize(Flower(GetParam()));
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_TRUE(IsQuantized(*graph));
  EXPECT_LE(LargestDifference(RunAll(*graph, Normalize(reference.pixels), nullptr),
                              reference.probabilities),
            0.04);
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedOnnx,
                         ::testing::Values("flowers_resnet_qdq.onnx",
                                           "flowers_resnet_qoperator.onnx"),
                         [](const auto& param_info) {
                           return std::string(param_info.param).substr(15, 3);
                         });

struct CifarCase {
  Precision precision;
  int fewest_correct, most_correct;  ///< Of 1000; float: 912.
};

Result<Graph> CifarGraph() {
  OCTET_ASSIGN_OR_RETURN(Graph graph,
                         ImportModel(testing::DataDir() + "/resnet-cifar/resnet20.onnx", {}));
  OCTET_RETURN_IF_ERROR(Optimize(&graph));
  constexpr float kMean[3] = {0.485f, 0.456f, 0.406f}, kStd[3] = {0.229f, 0.224f, 0.225f};
  Preprocessing& p = graph.metadata.preprocessing;
  p.scale = 1.0f / 255.0f;
  for (int c = 0; c < 3; ++c) p.mean[c] = kMean[c], p.stddev[c] = kStd[c];
  return graph;
}

/// The network's label of each of the 1000 test images, and how many are right.
Result<std::vector<int>> CifarAnswers(const Graph& graph, int* correct) {
  OCTET_ASSIGN_OR_RETURN(const auto model, ModelFromGraph(graph));
  OCTET_ASSIGN_OR_RETURN(const auto session, Session::Create(model, {}));
  OCTET_ASSIGN_OR_RETURN(const auto dataset,
                         OpenDataset(testing::DataDir() + "/cifar10/test",
                                     {.labels = testing::CifarLabels(), .need_labels = true}));
  std::vector<int> answers;
  Sample sample;
  while (true) {
    OCTET_ASSIGN_OR_RETURN(const bool more, dataset->Next(&sample));
    if (!more) return answers;
    OCTET_ASSIGN_OR_RETURN(
        const auto top,
        session->Classify({sample.image.rgb.data(), sample.image.width, sample.image.height}, 1));
    *correct += top[0].index == sample.label;
    answers.push_back(top[0].index);
  }
}

class CifarResnet20 : public ::testing::TestWithParam<CifarCase> {};

TEST_P(CifarResnet20, ScoresAsPublished) {
  OCTET_REQUIRE_DATA();
  const auto graph = CifarGraph();
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  QuantizeOptions options;
  options.precision = GetParam().precision;
  CalibrationTable table;
  if (options.precision == Precision::kInt8 || options.precision == Precision::kInt16x8) {
    auto measured = CalibrateOn(testing::DataDir() + "/cifar10/train", *graph, 500);
    ASSERT_TRUE(measured.ok()) << measured.status().message();
    table = *measured;
  }
  const auto quantized = QuantizeGraph(*graph, options, &table);
  ASSERT_TRUE(quantized.ok()) << quantized.status().message();
  int correct = 0;
  const auto answers = CifarAnswers(*quantized, &correct);
  ASSERT_TRUE(answers.ok()) << answers.status().message();
  EXPECT_EQ(answers->size(), 1000u);
  EXPECT_GE(correct, GetParam().fewest_correct);
  EXPECT_LE(correct, GetParam().most_correct);
}

TEST(CifarBfloat16, KeepsTheLabelsOfFloats) {
  OCTET_REQUIRE_DATA();
  const auto graph = CifarGraph();
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  std::vector<int> answers[2];
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const auto converted = QuantizeGraph(*graph, {.precision = precision}, nullptr);
    ASSERT_TRUE(converted.ok()) << converted.status().message();
    int correct = 0;
    const auto all = CifarAnswers(*converted, &correct);
    ASSERT_TRUE(all.ok()) << all.status().message();
    answers[precision == Precision::kBf16 ? 1 : 0] = *all;
  }
  ASSERT_EQ(answers[0].size(), answers[1].size());
  int same = 0;
  for (size_t i = 0; i < answers[0].size(); ++i) same += answers[0][i] == answers[1][i];
  EXPECT_GE(same, 998);
}

INSTANTIATE_TEST_SUITE_P(All, CifarResnet20,
                         ::testing::Values(CifarCase{Precision::kFp32, 912, 912},
                                           CifarCase{Precision::kFp16, 911, 913},
                                           CifarCase{Precision::kBf16, 908, 916},
                                           CifarCase{Precision::kHybrid, 907, 917},
                                           CifarCase{Precision::kInt8, 907, 917},
                                           CifarCase{Precision::kInt16x8, 910, 914}),
                         [](const auto& param_info) {
                           return PrecisionName(param_info.param.precision);
                         });

}  // namespace
}  // namespace octet
