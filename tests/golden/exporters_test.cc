// Models written by the real exporters, now, against the frameworks' own outputs. OCTET_TENSORFLOW_PYTHON and
// OCTET_TORCH_PYTHON name the interpreters of virtual environments that have the frameworks (tests/golden/setup_exporters.sh
// makes them); without one its tests are skipped. OCTET_EXPORT_ALL=1 adds the large networks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "converter/import/importer.h"
#include "converter/passes/passes.h"
#include "engine/src/model_impl.h"
#include "formats/data/npy.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

using testing::TempDir;

constexpr float kTolerance = 1e-4f;  // Of the largest output.

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// Runs one of this folder's scripts.
bool RunScript(const std::string& python, const std::string& script, const std::string& arguments) {
  const std::string command = "\"" + python + "\" \"" OCTET_SOURCE_DIR "/tests/golden/" + script + "\" " + arguments + " >&2";
  return std::system(command.c_str()) == 0;
}

/// Imports `path`, runs `folder`/input.npy and compares with `folder`/expected.npy.
void Compare(const std::string& path, const std::string& folder, const ImportOptions& options) {
  Result<Graph> graph = ImportModel(path, options);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  // Images are what the file's own preprocessing takes; random inputs are the network's.
  const Preprocessing pre = graph->metadata.preprocessing;
  const Status optimized = Optimize(&graph.value());
  ASSERT_TRUE(optimized.ok()) << optimized.message();
  const auto model = ModelFromGraph(std::move(graph).value());
  ASSERT_TRUE(model.ok()) << model.status().message();
  const auto session = Session::Create(model.value());
  ASSERT_TRUE(session.ok()) << session.status().message();
  auto inputs = NpyReader::Open(folder + "/input.npy");
  auto outputs = NpyReader::Open(folder + "/expected.npy");
  ASSERT_TRUE(inputs.ok() && outputs.ok());
  const bool pixels = inputs->header().type == NpyType::kU8;
  const int64_t n = inputs->header().shape[0], channels = inputs->header().shape.back();
  const int64_t in_size = inputs->header().elements / n, out_size = outputs->header().elements / n;
  std::vector<float> input(static_cast<size_t>(in_size)), expected(static_cast<size_t>(outputs->header().elements));
  std::vector<float> output(expected.size());
  ASSERT_TRUE(outputs->ReadFloats(0, outputs->header().elements, expected.data()).ok());
  for (int64_t i = 0; i < n; ++i) {
    ASSERT_TRUE(inputs->ReadFloats(i * in_size, in_size, input.data()).ok());
    for (int64_t k = 0; pixels && k < in_size; k += channels) {
      if (pre.order == ChannelOrder::kBgr) std::swap(input[k], input[k + 2]);
      for (int64_t c = 0; c < channels; ++c) input[k + c] = (input[k + c] * pre.scale - pre.mean[c]) / pre.stddev[c];
    }
    const void* in[] = {input.data()};
    void* out[] = {output.data() + i * out_size};
    ASSERT_TRUE(session.value()->Run(in, out).ok());
  }
  float largest = 0.0f, error = 0.0f;
  for (size_t k = 0; k < expected.size(); ++k) {
    ASSERT_TRUE(std::isfinite(expected[k]));
    largest = std::max(largest, std::fabs(expected[k]));
    error = std::max(error, std::fabs(output[k] - expected[k]));
  }
  EXPECT_LE(error, kTolerance * largest);
}

TEST(Exporters, TensorFlowSavedModels) {
  const std::string python = Environment("OCTET_TENSORFLOW_PYTHON");
  if (python.empty()) GTEST_SKIP() << "OCTET_TENSORFLOW_PYTHON is not set";
  const TempDir folder;
  const std::string cases = Environment("OCTET_EXPORT_ALL").empty() ? "--small" : "";
  ASSERT_TRUE(RunScript(python, "export_savedmodel.py", folder.path() + " " + cases));
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    SCOPED_TRACE(entry.path().filename().string());
    Compare(entry.path().string(), entry.path().string(), {});
    ++models;
  }
  EXPECT_GE(models, 18);
}

TEST(Exporters, PyTorchStateDicts) {
  const std::string python = Environment("OCTET_TORCH_PYTHON");
  if (python.empty()) GTEST_SKIP() << "OCTET_TORCH_PYTHON is not set";
  const TempDir folder;
  ASSERT_TRUE(RunScript(python, "export_pytorch.py", folder.path()));
  ImportOptions options;
  options.graph = "cifar_resnet20";
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().extension() != ".pth") continue;
    SCOPED_TRACE(entry.path().filename().string());
    Compare(entry.path().string(), folder.path(), options);
    ++models;
  }
  EXPECT_EQ(models, 12);
}

}  // namespace
}  // namespace octet
