// Every network of torchvision, timm's residual families and keras.applications through every door
// that its framework can write, against the framework's answers. OCTET_EXPORT_ALL=1 runs it, for
// an hour or more; OCTET_NETWORKS="NAME..." takes a few. OCTET_NETWORKS_LOG=FILE keeps each result
// as it comes, and what stands there is not run again. The table of models/README.md is printed at
// the end. The frameworks are in build/exporters (tests/golden/setup_exporters.sh).
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/import/importer.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "tests/golden/answers.h"
#include "tests/golden/exporter_environment.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The precisions of a row, each with the largest error that passes. What 8 bits make of random
/// weights is only reported.
constexpr struct {
  Precision precision;
  double tolerance;
} kPrecisions[] = {{Precision::kFp32, 1e-4},
                   {Precision::kFp16, 0.1},
                   {Precision::kHybrid, HUGE_VAL},
                   {Precision::kInt8, HUGE_VAL}};
using Errors = std::array<double, std::size(kPrecisions)>;

/// What a door made of a network.
struct Outcome {
  std::string library, network, door;
  std::string state;  ///< "right", "refused", "wrong", "not written"
  std::string text;   ///< Errors of the precisions, or the reason.
};

/// Two digits.
std::string Digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1e", value);
  return text;
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

/// Ranges over the case's own inputs.
Result<CalibrationTable> Ranges(const Graph& graph, const std::string& folder) {
  OCTET_ASSIGN_OR_RETURN(testing::Array x, testing::ReadArray(folder + "/input.npy"));
  const size_t size = x.values.size() / static_cast<size_t>(x.shape[0]);
  size_t at = 0;
  const auto next = [&](float* to) -> Result<bool> {
    if (at == x.values.size()) return false;
    std::copy_n(x.values.data() + at, size, to);
    at += size;
    return true;
  };
  return Calibrate(graph, next, {}, nullptr);
}

/// Relative errors of every precision of one file, whose folder has the answers. Checkpoints are
/// named as their description.
Result<Errors> Measure(const std::filesystem::path& path) {
  const std::string folder = path.parent_path(), extension = path.extension();
  ImportOptions options;
  if (extension == ".pth" || extension == ".safetensors") options.graph = path.stem();
  OCTET_ASSIGN_OR_RETURN(Graph graph, ImportModel(path, options));
  OCTET_RETURN_IF_ERROR(Optimize(&graph));
  OCTET_ASSIGN_OR_RETURN(const CalibrationTable table, Ranges(graph, folder));
  Errors errors;
  for (size_t i = 0; i < errors.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(Graph quantized,
                           QuantizeGraph(graph, {.precision = kPrecisions[i].precision}, &table));
    OCTET_ASSIGN_OR_RETURN(const testing::Error error,
                           testing::Measure(std::move(quantized), folder, false));
    errors[i] = error.relative;
  }
  return errors;
}

Outcome Try(Outcome outcome, const std::string& path) {
  const Result<Errors> errors = Measure(path);
  if (!errors.ok()) {
    outcome.state = errors.status().code() == StatusCode::kUnsupported ? "refused" : "wrong";
    outcome.text =
        std::regex_replace(std::string(errors.status().message()), std::regex(R"(\s+)"), " ");
    const std::string place = path + ": ";
    if (outcome.text.starts_with(place)) outcome.text.erase(0, place.size());
    return outcome;
  }
  outcome.state = "right";
  outcome.text.clear();
  for (size_t i = 0; i < errors->size(); ++i) {
    if (!((*errors)[i] <= kPrecisions[i].tolerance)) outcome.state = "wrong";
    outcome.text += (i == 0 ? "" : " ") + Digits((*errors)[i]);
  }
  return outcome;
}

std::vector<Outcome> ReadLog(const std::string& path) {
  std::vector<Outcome> outcomes;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> c = Split(line, '\t');
    if (c.size() == 5) outcomes.push_back({c[0], c[1], c[2], c[3], c[4]});
  }
  return outcomes;
}

/// A reason without the nodes and shapes that it names.
std::string Shorten(std::string reason) {
  reason = std::regex_replace(reason, std::regex(R"(\[[0-9,]+\])"), "[...]");
  for (const char* particular :
       {R"([0-9]+ unsupported operators?: )", R"( \(of all activation functions[^)]*\))",
        R"( '[^']*'(, '[^']*')*( and [0-9]+ more)?)"})
    reason = std::regex_replace(reason, std::regex(particular), "");
  return reason;
}

/// Columns of Markdown.
std::string Row(const std::vector<std::string>& cells) {
  std::string row = "|";
  for (const std::string& cell : cells) row += " " + cell + " |";
  return row + "\n";
}

/// The table of a library: a row for each network that a door takes, then one for each reason for
/// which all doors refuse.
std::string Table(const std::vector<Outcome>& outcomes, const std::string& library) {
  std::map<std::string, std::vector<const Outcome*>> networks;
  for (const Outcome& o : outcomes) {
    if (o.library == library) networks[o.network].push_back(&o);
  }
  std::vector<std::string> header = {"network", "doors", "refused"}, rule(3, "---");
  for (const auto& p : kPrecisions) {
    header.emplace_back(PrecisionName(p.precision));
    rule.emplace_back("---");
  }
  std::string taken;
  std::map<std::string, std::vector<std::string>> refused;
  for (const auto& [name, doors] : networks) {
    std::string right;
    std::map<std::string, std::string> others;  // Doors by reason.
    Errors worst = {};
    for (const Outcome* o : doors) {
      std::string& where = o->state == "right" ? right : others[Shorten(o->text)];
      where += (where.empty() ? "" : ", ") + o->door;
      std::istringstream errors(o->text);
      for (double e, *w = worst.begin(); o->state == "right" && errors >> e; ++w)
        *w = std::max(*w, e);
    }
    std::string reasons;
    for (const auto& [reason, where] : others) {
      const bool all = right.empty() && others.size() == 1;
      reasons += (reasons.empty() ? "" : "; ") + reason + (all ? "" : " (" + where + ")");
    }
    if (right.empty()) {
      refused[reasons].push_back(name);
      continue;
    }
    std::vector<std::string> cells = {name, right, reasons};
    for (const double e : worst) cells.push_back(Digits(e));
    taken += Row(cells);
  }
  for (const auto& [reason, names] : refused) {
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
    taken += Row({all, "none", reason, "", "", "", ""});
  }
  return StrCat("\n", library, ":\n\n", Row(header), Row(rule), taken);
}

/// Runs a script and takes the networks that it writes, one after the other.
void RunScript(const std::string& python, const std::string& script, const std::string& log) {
  const testing::TempDir folder;
  const std::string command =
      StrCat("exec \"", python, "\" \"", OCTET_SOURCE_DIR, "/tests/golden/", script, ".py\" \"",
             folder.path(), "\" \"", log, "\" ", Environment("OCTET_NETWORKS"));
  FILE* const pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  char buffer[16384];
  while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) {
    std::string line = buffer;
    while (!line.empty() && line.back() == '\n') line.pop_back();
    const std::vector<std::string> columns = Split(line, '\t');
    const std::string network = StrCat(folder.path(), "/", columns[1]);
    std::string lines;  // Logged once they are all there.
    for (size_t i = 2; i < columns.size(); ++i) {
      const size_t at = columns[i].find_first_of("=!");
      const std::string file = columns[i].substr(at + 1);
      Outcome o = {columns[0], columns[1], columns[i].substr(0, at), "not written", file};
      if (columns[i][at] == '=') o = Try(o, StrCat(network, "/", file));
      lines += StrCat(o.library, "\t", o.network, "\t", o.door, "\t", o.state, "\t", o.text, "\n");
      EXPECT_NE(o.state, "wrong") << o.network << " " << o.door << ": " << o.text;
    }
    std::ofstream(log, std::ios::app) << lines;
    std::filesystem::remove_all(network);
  }
  EXPECT_EQ(pclose(pipe), 0) << command;
}

void EveryDoor(const std::string& python, const std::string& framework,
               const std::vector<std::string>& libraries) {
  if (Environment("OCTET_EXPORT_ALL").empty()) GTEST_SKIP() << "OCTET_EXPORT_ALL=1 takes an hour";
  const testing::TempDir temporary;
  std::string log = Environment("OCTET_NETWORKS_LOG");
  if (log.empty()) log = temporary.path() + "/log";
  RunScript(python, "export_networks_" + framework, log);
  for (const std::string& library : libraries) std::cout << Table(ReadLog(log), library);
}

TEST(Networks, PyTorch) {
  OCTET_REQUIRE_EXPORTERS("torch");
  EveryDoor(python, "torch", {"torchvision", "timm"});
}

TEST(Networks, Keras) {
  OCTET_REQUIRE_EXPORTERS("tensorflow");
  EveryDoor(python, "tensorflow", {"keras.applications", "tf_keras.applications"});
}

}  // namespace
}  // namespace octet
