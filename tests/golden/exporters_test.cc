// Models written by the real exporters, now, against the frameworks' own outputs. The frameworks
// are in build/exporters, where tests/golden/setup_exporters.sh installs them; tests of one that is
// not there are skipped. OCTET_EXPORT_FOLDER=FOLDER keeps the exports there, and uses those that it
// finds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "converter/import/importer.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "engine/src/model_impl.h"
#include "formats/data/npy.h"
#include "tests/data_dir.h"
#include "tests/golden/exporter_environment.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

using testing::TempDir;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// Where exports go: a folder that lives as long as this, or, kept and used again,
/// OCTET_EXPORT_FOLDER/name.
class Exports {
 public:
  /// Runs one of this folder's scripts.
  Exports(const std::string& name, const std::string& python, const std::string& script,
          const std::string& arguments)
      : folder_(Environment("OCTET_EXPORT_FOLDER").empty()
                    ? temporary_.path()
                    : Environment("OCTET_EXPORT_FOLDER") + "/" + name) {
    setenv("OCTET_DATA_DIR", testing::DataDir().c_str(), 1);
    if (std::filesystem::exists(folder_ + "/complete")) return;
    const std::string command = "\"" + python + "\" \"" OCTET_SOURCE_DIR "/tests/golden/" + script +
                                "\" \"" + folder_ + "\" " + arguments + " >&2";
    ok_ = std::system(command.c_str()) == 0;
    if (ok_) std::ofstream(folder_ + "/complete");
  }
  bool ok() const { return ok_; }
  const std::string& path() const { return folder_; }
  std::vector<std::string> Cases() const {
    std::vector<std::string> cases;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (entry.is_directory()) cases.push_back(entry.path().string());
    }
    std::sort(cases.begin(), cases.end());
    return cases;
  }

 private:
  TempDir temporary_;
  std::string folder_;
  bool ok_ = true;
};

struct Tolerance {
  float relative = 1e-4f;  ///< Of the largest value of the output.
  float absolute = 0.0f;
};

/// Imports `path`, runs `folder`/input.npy and compares with `folder`/expected.npy, expected_1.npy
/// and so on.
void Compare(const std::string& path, const std::string& folder, const ImportOptions& options,
             const Tolerance& tolerance = {}) {
  Result<Graph> graph = ImportModel(path, options);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const Status optimized = Optimize(&graph.value());
  ASSERT_TRUE(optimized.ok()) << optimized.message();
  const auto model = ModelFromGraph(std::move(graph).value());
  ASSERT_TRUE(model.ok()) << model.status().message();
  const auto session = Session::Create(model.value());
  ASSERT_TRUE(session.ok()) << session.status().message();
  auto inputs = NpyReader::Open(folder + "/input.npy");
  ASSERT_TRUE(inputs.ok()) << inputs.status().message();
  const int64_t n = inputs->header().shape[0];
  const int64_t in_size = inputs->header().elements / n;
  std::vector<std::vector<float>> expected, output;
  for (size_t i = 0; i < model.value()->Describe().outputs.size(); ++i) {
    auto outputs =
        NpyReader::Open(folder + "/expected" + (i ? "_" + std::to_string(i) : "") + ".npy");
    ASSERT_TRUE(outputs.ok()) << outputs.status().message();
    ASSERT_EQ(n, outputs->header().shape[0]);
    expected.emplace_back(static_cast<size_t>(outputs->header().elements));
    output.emplace_back(expected.back().size());
    ASSERT_TRUE(outputs->ReadFloats(0, outputs->header().elements, expected.back().data()).ok());
  }
  ASSERT_FALSE(
      std::filesystem::exists(folder + "/expected_" + std::to_string(expected.size()) + ".npy"))
      << "an output is missing";
  std::vector<float> input(static_cast<size_t>(in_size));
  for (int64_t i = 0; i < n; ++i) {
    ASSERT_TRUE(inputs->ReadFloats(i * in_size, in_size, input.data()).ok());
    const void* in[] = {input.data()};
    std::vector<void*> out;
    for (auto& o : output)
      out.push_back(o.data() + static_cast<size_t>(i) * o.size() / static_cast<size_t>(n));
    ASSERT_TRUE(session.value()->Run(in, out.data()).ok());
  }
  for (size_t i = 0; i < expected.size(); ++i) {
    float largest = 0.0f, error = 0.0f;
    for (size_t k = 0; k < expected[i].size(); ++k) {
      ASSERT_TRUE(std::isfinite(expected[i][k]) && std::isfinite(output[i][k]));
      largest = std::max(largest, std::fabs(expected[i][k]));
      error = std::max(error, std::fabs(output[i][k] - expected[i][k]));
    }
    EXPECT_GT(largest, 0.0f);
    EXPECT_LE(error, tolerance.relative * largest + tolerance.absolute)
        << "output " << i << " up to " << largest;
  }
}

/// Every case of an ONNX script.
void CompareOnnx(const Exports& exports, int at_least, const Tolerance& tolerance = {}) {
  EXPECT_TRUE(exports.ok()) << "an export failed, see above";
  const std::vector<std::string> cases = exports.Cases();
  for (const std::string& folder : cases) {
    SCOPED_TRACE(std::filesystem::path(folder).filename().string());
    Compare(folder + "/model.onnx", folder, {}, tolerance);
  }
  EXPECT_GE(static_cast<int>(cases.size()), at_least);
}

class PyTorch : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Versions, PyTorch, ::testing::Values("torch", "torch113"),
                         [](const auto& version) { return std::string(version.param); });

TEST_P(PyTorch, Onnx) {
  OCTET_REQUIRE_EXPORTERS(GetParam());
  CompareOnnx(Exports(std::string(GetParam()) + "_onnx", python, "export_onnx_torch.py", ""), 200);
}

TEST_P(PyTorch, StateDicts) {
  OCTET_REQUIRE_EXPORTERS(GetParam());
  const Exports exports(std::string(GetParam()) + "_states", python, "export_pytorch.py", "");
  ASSERT_TRUE(exports.ok());
  ImportOptions options;
  options.graph = "cifar_resnet20";
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(exports.path())) {
    if (entry.path().extension() != ".pth") continue;
    SCOPED_TRACE(entry.path().filename().string());
    options.weights = entry.path().stem() == "ema_beside_raw" ? WeightsChoice::kAveraged
                                                              : WeightsChoice::kDefault;
    Compare(entry.path().string(), exports.path(), options);
    ++models;
  }
  // PyTorch 1.13 has no parametrized weight norm and does not save that a view is negative.
  EXPECT_EQ(models, std::string(GetParam()) == "torch" ? 26 : 24);
}

/// Quantized files against their exact evaluation: 255 steps an activation, each of which may be
/// rounded another way.
TEST_P(PyTorch, QuantizedOnnx) {
  OCTET_REQUIRE_EXPORTERS(GetParam());
  const Exports exports(std::string(GetParam()) + "_quantized", python, "export_onnx_quantized.py",
                        "");
  ASSERT_TRUE(exports.ok());
  const std::vector<std::string> cases = exports.Cases();
  for (const std::string& folder : cases) {
    const std::string name = std::filesystem::path(folder).filename().string();
    SCOPED_TRACE(name);
    Result<Graph> graph = ImportModel(folder + "/model.onnx", {});
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    ASSERT_TRUE(Optimize(&*graph).ok());
    EXPECT_TRUE(IsQuantized(*graph));
    // Where everything is quantized every layer is integer, but for depthwise weights of nine bits.
    // Training leaves the mean in front of the dense layer, and so that, in float.
    const bool partial = name.find("_partial_") != std::string::npos,
               training = name.starts_with("training_");
    for (const Node& n : graph->nodes) {
      if (partial || (n.type != OpType::kConv2d && (training || n.type != OpType::kDense)))
        continue;
      if (n.groups > 1 && name.ends_with("_u8u8")) continue;
      EXPECT_EQ(graph->tensor(n.inputs[0]).dtype, DType::kU8) << n.name;
    }
    // The answers are those of the QDQ graph, from which the other form differs in what it
    // quantizes.
    const float relative = name.find("_qoperator_") != std::string::npos ? 0.04f : 0.01f;
    Compare(folder + "/model.onnx", folder, {}, Tolerance{.relative = relative});
  }
  EXPECT_GE(cases.size(), GetParam() == std::string("torch") ? 48u : 6u);
}

/// Of networks after quantization-aware training: everything that is rounded is an integer, and the
/// answers are the file's own within a step or two of the output.
constexpr Tolerance kTrained{.relative = 0.02f};

/// Where a case needs a package of its own; skips visibly without it.
#define OCTET_REQUIRE_CASE(exports, name, package)                   \
  if (!std::filesystem::exists((exports).path() + "/" + (name)))     \
  GTEST_SKIP() << "everything but " << (package) << ", which is not" \
               << " in build/exporters; tests/golden/setup_exporters.sh installs it"

TEST(Trained, Onnx) {
  OCTET_REQUIRE_EXPORTERS("torch");
  const Exports exports("torch_trained", python, "export_qat_torch.py", "");
  CompareOnnx(exports, 17, kTrained);
  for (const std::string& folder : exports.Cases()) {
    SCOPED_TRACE(folder);
    Result<Graph> graph = ImportModel(folder + "/model.onnx", {});
    ASSERT_TRUE(graph.ok() && Optimize(&*graph).ok());
    EXPECT_TRUE(IsQuantized(*graph));
    for (const Node& n : graph->nodes) {
      if (n.type == OpType::kConv2d) {
        EXPECT_EQ(graph->tensor(n.inputs[0]).dtype, DType::kU8) << n.name;
      }
    }
  }
  OCTET_REQUIRE_CASE(exports, "pt2e_folded_dynamo", "torchao");
  OCTET_REQUIRE_CASE(exports, "nncf_mixed_script", "nncf");
}

TEST(Trained, TensorFlow) {
  OCTET_REQUIRE_EXPORTERS("tensorflow");
  const Exports exports("tensorflow_trained", python, "export_qat_tensorflow.py", "");
  ASSERT_TRUE(exports.ok());
  for (const std::string& folder : exports.Cases()) {
    const std::string name = std::filesystem::path(folder).filename().string();
    SCOPED_TRACE(name);
    if (name.ends_with("_saved_model")) {
      EXPECT_NE(ImportModel(folder + "/saved_model", {})
                    .status()
                    .message()
                    .find("export quantization-aware models as int8 TFLite or QDQ ONNX"),
                std::string::npos);
      continue;
    }
    const bool is_onnx = std::filesystem::exists(folder + "/model.onnx");
    Compare(folder + (is_onnx ? "/model.onnx" : "/model.tflite"), folder, {}, kTrained);
  }
  EXPECT_GE(exports.Cases().size(), 8u);
  OCTET_REQUIRE_CASE(exports, "keras", "tensorflow_model_optimization");
}

TEST(TensorFlow, SavedModels) {
  OCTET_REQUIRE_EXPORTERS("tensorflow");
  const Exports exports("tensorflow_saved", python, "export_savedmodel.py", "");
  ASSERT_TRUE(exports.ok());
  const std::vector<std::string> cases = exports.Cases();
  for (const std::string& folder : cases) {
    SCOPED_TRACE(std::filesystem::path(folder).filename().string());
    Compare(folder, folder, {});
  }
  EXPECT_GE(cases.size(), 18u);
}

TEST(TensorFlow, Onnx) {
  OCTET_REQUIRE_EXPORTERS("tensorflow");
  CompareOnnx(Exports("tensorflow_onnx", python, "export_onnx_tensorflow.py", ""), 50);
}

}  // namespace
}  // namespace octet
