// Random small networks, written now by the frameworks' own exporters, through every importer
// against the frameworks' answers: what is taken must be right, what is not taken must be refused
// as unsupported. The frameworks are in build/exporters, where tests/golden/setup_exporters.sh
// installs them. OCTET_ORACLE=COUNT changes how many networks a framework writes (60),
// OCTET_ORACLE_SEED=SEED the first (0). OCTET_ORACLE_FOLDER=FOLDER keeps the networks there, and
// uses those that it finds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "converter/import/importer.h"
#include "converter/passes/passes.h"
#include "engine/src/model_impl.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/npy.h"
#include "tests/golden/exporter_environment.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

namespace fs = std::filesystem;

std::string Environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

/// A .npy file as a whole.
struct Array {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

Result<Array> ReadArray(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const NpyReader file, NpyReader::Open(path));
  Array array{file.header().shape, std::vector<float>(static_cast<size_t>(file.header().elements))};
  OCTET_RETURN_IF_ERROR(file.ReadFloats(0, file.header().elements, array.values.data()));
  return array;
}

/// [n,channels,height,width] as channels last.
Array ChannelsLast(const Array& x) {
  const int64_t n = x.shape[0], channels = x.shape[1], pixels = x.shape[2] * x.shape[3];
  Array y{{n, x.shape[2], x.shape[3], channels}, {}};
  y.values.reserve(x.values.size());
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t p = 0; p < pixels; ++p) {
      for (int64_t c = 0; c < channels; ++c)
        y.values.push_back(x.values[static_cast<size_t>((i * channels + c) * pixels + p)]);
    }
  }
  return y;
}

/// One input of the source as the model's: what the importer moved into the preprocessing is
/// computed here.
std::vector<uint8_t> Prepare(std::vector<float> x, const Preprocessing& pre,
                             const TensorDescription& input) {
  const size_t channels = static_cast<size_t>(input.shape.back());
  for (size_t k = 0; channels <= 3 && k < x.size(); k += channels) {
    if (pre.order == ChannelOrder::kBgr && channels == 3) std::swap(x[k], x[k + 2]);
    for (size_t c = 0; c < channels; ++c)
      x[k + c] = (x[k + c] * pre.scale - pre.mean[c]) / pre.stddev[c];
  }
  std::vector<uint8_t> bytes(input.num_bytes());
  for (size_t i = 0; i < x.size(); ++i) {
    if (input.dtype == DType::kU8) {
      const float code = std::nearbyint(x[i] / input.scale) + static_cast<float>(input.zero_point);
      bytes[i] = static_cast<uint8_t>(std::clamp(code, 0.0f, 255.0f));
    } else {
      reinterpret_cast<float*>(bytes.data())[i] = x[i];
    }
  }
  return bytes;
}

struct Error {
  double relative = 0.0;  ///< To the largest answer; NaN where a value is.
  double absolute = 0.0;
};

/// Runs the graph on a case's inputs. An error says what does not fit.
Result<Error> Measure(Graph graph, const std::string& folder, bool channels_first) {
  const Preprocessing pre = graph.metadata.preprocessing;
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                         ModelFromGraph(std::move(graph)));
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model));
  const ModelDescription& description = model->Describe();
  const TensorDescription& in = description.inputs[0];
  OCTET_ASSIGN_OR_RETURN(Array x, ReadArray(folder + "/input.npy"));
  if (channels_first && x.shape.size() == 4) x = ChannelsLast(x);
  const size_t n = static_cast<size_t>(x.shape[0]), size = in.num_elements();
  if (x.values.size() != n * size)
    return InternalError(StrCat("the input has ", size, " elements, not ", x.values.size() / n));
  std::vector<Array> expected;
  std::vector<std::vector<uint8_t>> got;
  std::vector<void*> out;
  for (const TensorDescription& t : description.outputs) {
    const std::string name = expected.empty() ? "expected" : StrCat("expected_", expected.size());
    OCTET_ASSIGN_OR_RETURN(expected.emplace_back(), ReadArray(StrCat(folder, "/", name, ".npy")));
    if (expected.back().values.size() != n * t.num_elements())
      return InternalError(StrCat(name, " has ", expected.back().values.size() / n,
                                  " elements, not ", t.num_elements()));
    out.push_back(got.emplace_back(t.num_bytes()).data());
  }
  if (fs::exists(StrCat(folder, "/expected_", expected.size(), ".npy")))
    return InternalError("an output is missing");
  std::vector<double> largest(expected.size()), worst(expected.size());
  for (size_t i = 0; i < n; ++i) {
    const auto from = x.values.begin() + static_cast<std::ptrdiff_t>(i * size);
    const std::vector<uint8_t> input =
        Prepare({from, from + static_cast<std::ptrdiff_t>(size)}, pre, in);
    const void* const inputs[] = {input.data()};
    OCTET_RETURN_IF_ERROR(session->Run(inputs, out.data()));
    for (size_t o = 0; o < expected.size(); ++o) {
      std::vector<float> values(description.outputs[o].num_elements());
      description.outputs[o].ToFloats(got[o].data(), values.data());
      for (size_t k = 0; k < values.size(); ++k) {
        const double want = expected[o].values[i * values.size() + k],
                     difference = std::fabs(want - values[k]);
        if (!(difference <= worst[o])) worst[o] = difference;
        largest[o] = std::max(largest[o], std::fabs(want));
      }
    }
  }
  Error error;
  for (size_t o = 0; o < expected.size(); ++o) {
    const double relative = worst[o] == 0.0 ? 0.0 : worst[o] / largest[o];
    if (!(relative <= error.relative)) error = {relative, worst[o]};
  }
  return error;
}

/// By how much of the largest answer a door's answers may differ.
double Tolerance(const std::string& door) {
  // Dynamic-range kernels round activations to 8 bits; the imported graph has the file's weights as
  // floats.
  if (door == "dynamic" || door == "tflitedynamic") return 0.15;
  if (door == "qdq" || door == "qoperator")
    return 0.02;  // Steps that two engines round another way.
  if (door == "tflitefloat" || door == "tfliteint8" || door == "tfliteuint8")
    return 1e-2;  // Or one step of the output.
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
