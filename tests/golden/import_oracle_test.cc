// Random small networks, written now by the frameworks' own exporters, through every importer
// against the frameworks' answers: what is taken must be right, what is not taken must be refused
// as unsupported. The frameworks are in build/exporters, where tests/golden/setup_exporters.sh
// installs them. OCTET_ORACLE=COUNT changes how many networks a framework writes (60),
// OCTET_ORACLE_SEED=SEED the first (0). OCTET_ORACLE_FOLDER=FOLDER keeps the networks there, and
// uses those that it finds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "converter/import/importer.h"
#include "converter/passes/passes.h"
#include "formats/base/str_cat.h"
#include "tests/golden/answers.h"
#include "tests/golden/exporter_environment.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

namespace fs = std::filesystem;

std::string Environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

using testing::Array;
using testing::Error;
using testing::Measure;
using testing::ReadArray;

/// By how much of the largest answer a door's answers may differ.
double Tolerance(const std::string& door) {
  // Dynamic-range kernels round activations to 8 bits; the imported graph has the file's weights as
  // floats.
  if (door == "dynamic" || door == "tflitedynamic") return 0.15;
  // Steps that two engines round another way.
  if (door == "qdq" || door == "qoperator") return 0.02;
  // Or one step of the output.
  if (door == "tflitefloat" || door == "tfliteint8" || door == "tfliteuint8") return 1e-2;
  return 1e-4;
}

/// A refusal without what is particular to one network.
std::string Reason(const std::string& message, const std::string& path) {
  std::string text = message, reason;
  const std::string place = path + ": ";
  for (size_t at; (at = text.find(place)) != std::string::npos;) text.erase(at, place.size());
  bool quoted = false;
  for (const char c : text) {
    if (c == '\'') {
      quoted = !quoted;
      reason += quoted ? "'" : "...'";
    } else if (!quoted && !(c >= '0' && c <= '9' && !reason.empty() && reason.back() == '#')) {
      reason += c >= '0' && c <= '9' ? '#' : c == '\n' ? ' ' : c;
    }
  }
  return reason.substr(0, 180);
}

struct Door {
  int networks = 0, right = 0, refused = 0, wrong = 0;
  double worst = 0.0;  ///< Relative error of those that are right.
  std::map<std::string, int> reasons;
};

/// Every case of a folder.
std::map<std::string, Door> Check(const std::string& root) {
  std::vector<fs::path> cases;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_directory() && fs::exists(entry.path() / "expected.npy"))
      cases.push_back(entry.path());
  }
  std::sort(cases.begin(), cases.end());
  std::map<std::string, Door> doors;
  for (const fs::path& folder : cases) {
    const std::string name = folder.filename().string(), kind = name.substr(name.find('_') + 1);
    Door& door = doors[kind];
    ++door.networks;
    std::string path = folder.string();
    bool onnx = false;
    for (const char* extension : {"onnx", "keras", "h5", "tflite"}) {
      const std::string file = StrCat(folder.string(), "/model.", extension);
      if (!fs::exists(file)) continue;
      path = file;
      onnx = std::string(extension) == "onnx";
    }
    Result<Graph> graph = ImportModel(path, {});
    if (graph.ok()) {
      const Status optimized = Optimize(&*graph);
      if (!optimized.ok()) graph = optimized;
    }
    if (!graph.ok()) {
      if (graph.status().code() != StatusCode::kUnsupported) {
        ++door.wrong;
        ADD_FAILURE() << name << ": not a refusal: " << graph.status().message();
        continue;
      }
      ++door.refused;
      ++door.reasons[Reason(graph.status().message(), path)];
      continue;
    }
    const Result<Error> error = Measure(std::move(graph).value(), folder.string(), onnx);
    // One step of an integer output, or of the integers that a float output is made of.
    const Result<Array> step = ReadArray(folder.string() + "/step.npy");
    const double one_step = step.ok() ? 1.001 * step->values[0] : 0.0;
    if (error.ok() && (error->relative <= Tolerance(kind) || error->absolute <= one_step)) {
      ++door.right;
      door.worst = std::max(door.worst, error->relative);
      continue;
    }
    ++door.wrong;
    ADD_FAILURE() << name << ": "
                  << (error.ok() ? StrCat("relative error ", error->relative)
                                 : std::string(error.status().message()));
  }
  return doors;
}

void Print(const std::map<std::string, Door>& doors) {
  std::printf("%-16s %9s %9s %9s %9s  worst error\n", "door", "networks", "right", "refused",
              "wrong");
  for (const auto& [name, d] : doors)
    std::printf("%-16s %9d %9d %9d %9d  %.2g\n", name.c_str(), d.networks, d.right, d.refused,
                d.wrong, d.worst);
  for (const auto& [name, d] : doors) {
    std::vector<std::pair<int, std::string>> reasons;
    for (const auto& [reason, n] : d.reasons) reasons.emplace_back(-n, reason);
    std::sort(reasons.begin(), reasons.end());
    for (const auto& [n, reason] : reasons)
      std::printf("%s refused %d: %s\n", name.c_str(), -n, reason.c_str());
  }
}

/// Has import_oracle_`name`.py write the networks, and checks them.
void RunOracle(const std::string& python, const std::string& name) {
  const testing::TempDir temporary;
  const std::string kept = Environment("OCTET_ORACLE_FOLDER", "");
  const std::string folder = (kept.empty() ? temporary.path() : kept) + "/" + name;
  if (!fs::exists(folder)) {
    fs::create_directories(folder);
    const std::string command =
        StrCat("\"", python, "\" \"", OCTET_SOURCE_DIR, "/tests/golden/import_oracle_", name,
               ".py\" \"", folder, "\" ", Environment("OCTET_ORACLE", "60"), " ",
               Environment("OCTET_ORACLE_SEED", "0"), " 2> \"", temporary.path(), "/log\"");
    if (std::system(command.c_str()) != 0) {
      std::ifstream log(temporary.path() + "/log");
      FAIL() << command << "\n" << log.rdbuf();
    }
  }
  const std::map<std::string, Door> doors = Check(folder);
  Print(doors);
  int networks = 0, right = 0;
  for (const auto& [kind, door] : doors) networks += door.networks, right += door.right;
  EXPECT_GT(right, networks / 3) << "of " << networks << " networks";
}

TEST(ImportOracle, PyTorchAndOnnxRuntime) {
  OCTET_REQUIRE_EXPORTERS("torch");
  RunOracle(python, "torch");
}

TEST(ImportOracle, KerasAndTensorFlow) {
  OCTET_REQUIRE_EXPORTERS("tensorflow");
  RunOracle(python, "keras");
}

}  // namespace
}  // namespace octet
