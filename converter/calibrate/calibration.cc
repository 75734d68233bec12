#include "converter/calibrate/calibration.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/src/runner.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/octet_file.h"

namespace octet {
namespace {

/// Counts values in equal bins over [-limit, limit]. When a value lies outside, the limit doubles and pairs of bins merge,
/// so one pass over data of unknown range is enough and memory stays fixed.
class Histogram {
 public:
  void Add(float v) {
    if (limit_ == 0.0f) limit_ = std::max(std::fabs(v), 1e-6f);
    while (std::fabs(v) > limit_) Double();
    const float at = (v + limit_) / (2.0f * limit_) * kBins;
    ++counts_[std::min(kBins - 1, std::max(0, static_cast<int>(at)))];
    ++total_;
  }

  /// The range that holds `percent` of the values, the rest cut off in equal parts at both ends, never beyond what was seen.
  Range Percentile(double percent, const Range& seen) const {
    const double cut = static_cast<double>(total_) * (100.0 - percent) / 200.0;
    const float width = 2.0f * limit_ / kBins;
    Range r = seen;
    double below = 0.0;
    for (int i = 0; i < kBins; ++i) {
      below += static_cast<double>(counts_[i]);
      if (below > cut) {
        r.min = std::max(seen.min, -limit_ + static_cast<float>(i) * width);
        break;
      }
    }
    double above = 0.0;
    for (int i = kBins - 1; i >= 0; --i) {
      above += static_cast<double>(counts_[i]);
      if (above > cut) {
        r.max = std::min(seen.max, -limit_ + static_cast<float>(i + 1) * width);
        break;
      }
    }
    return r;
  }

 private:
  static constexpr int kBins = 4096;  // Even, so that bins merge in pairs around 0.

  void Double() {
    std::vector<int64_t> merged(kBins, 0);
    for (int i = 0; i < kBins; ++i) merged[kBins / 4 + i / 2] += counts_[i];
    counts_ = std::move(merged);
    limit_ *= 2.0f;
  }

  float limit_ = 0.0f;
  int64_t total_ = 0;
  std::vector<int64_t> counts_ = std::vector<int64_t>(kBins, 0);
};

struct Statistics {
  Range range{0.0f, 0.0f};  ///< Contains 0 from the start, as every quantized range must.
  std::unique_ptr<Histogram> histogram;
  bool finite = true;

  void Add(const float* values, int count) {
    for (int i = 0; i < count; ++i) {
      const float v = values[i];
      if (!std::isfinite(v)) {
        finite = false;
        return;
      }
      range.min = std::min(range.min, v);
      range.max = std::max(range.max, v);
      if (histogram != nullptr) histogram->Add(v);
    }
  }
};

}  // namespace

Result<CalibrationTable> Calibrate(const Graph& float_graph, const SampleSource& next, const CalibrationOptions& options,
                                   const std::function<void(int done, int total)>& progress) {
  if (options.max_samples < 1) {
    return InvalidArgument(StrCat("calibration samples are ", options.max_samples, ", expected at least 1"));
  }
  if (!(options.percentile > 50.0 && options.percentile <= 100.0)) {
    return InvalidArgument(StrCat("calibration percentile is ", options.percentile, ", expected above 50 and at most 100"));
  }
  if (float_graph.inputs.size() != 1) {
    return Unsupported(StrCat("calibration needs one input, the model has ", float_graph.inputs.size()));
  }
  OCTET_ASSIGN_OR_RETURN(std::unique_ptr<GraphRunner> runner, GraphRunner::Create(float_graph));
  const Graph& graph = runner->graph();
  std::vector<Statistics> statistics(graph.tensors.size());
  if (options.method == CalibrationMethod::kPercentile) {
    for (Statistics& s : statistics) s.histogram = std::make_unique<Histogram>();
  }
  std::vector<bool> seen(graph.tensors.size(), false);
  const TensorId input_id = graph.inputs[0];
  const int64_t elements = graph.tensor(input_id).shape.num_elements();
  std::vector<float> input(static_cast<size_t>(elements));
  int done = 0;
  while (done < options.max_samples) {
    OCTET_ASSIGN_OR_RETURN(const bool more, next(input.data()));
    if (!more) break;
    statistics[input_id].Add(input.data(), static_cast<int>(elements));
    seen[input_id] = true;
    OCTET_RETURN_IF_ERROR(runner->Run(input.data(), [&](TensorId id, const kernels::ActivationView& view) {
      for (int y = 0; y < view.h; ++y) {
        for (int x = 0; x < view.w; ++x) {
          statistics[id].Add(reinterpret_cast<const float*>(view.pixel(0, y, x)), view.c);
        }
      }
      seen[id] = true;
    }));
    for (size_t i = 0; i < statistics.size(); ++i) {
      if (!statistics[i].finite) {
        return InvalidArgument(StrCat("calibration sample ", done, " gives a value in tensor ", graph.tensors[i].name,
                                      " that is not finite"));
      }
    }
    ++done;
    if (progress) progress(done, options.max_samples);
  }
  if (done == 0) return InvalidArgument("the calibration data holds no sample");

  // Reshapes that move nothing are not shown by the runner: they have their input's range.
  for (const Node& n : graph.nodes) {
    if (seen[n.output] || n.type != OpType::kReshape) continue;
    statistics[n.output].range = statistics[n.inputs[0]].range;
    statistics[n.output].histogram = nullptr;
    seen[n.output] = seen[n.inputs[0]];
  }
  CalibrationTable table;
  table.method = options.method == CalibrationMethod::kPercentile ? "percentile" : "minmax";
  table.samples = done;
  for (size_t i = 0; i < statistics.size(); ++i) {
    if (!seen[i]) continue;
    const Statistics& s = statistics[i];
    table.ranges[graph.tensors[i].name] =
        s.histogram != nullptr ? s.histogram->Percentile(options.percentile, s.range) : s.range;
  }
  return table;
}

Result<CalibrationTable> ReadCalibrationTable(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return NotFound(StrCat(path, ": cannot open the calibration table"));
  const nlohmann::json root = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) return Corrupt(StrCat(path, ": not valid JSON"));
  const auto field = [&](const char* name) -> const nlohmann::json* {
    const auto it = root.is_object() ? root.find(name) : root.end();
    return it == root.end() ? nullptr : &*it;
  };
  const nlohmann::json* version = field("version");
  if (version == nullptr || !version->is_number_integer() || version->get<int64_t>() != 1) {
    return Corrupt(StrCat(path, ": version is ", version ? version->dump() : "missing", ", expected 1"));
  }
  CalibrationTable table;
  if (const nlohmann::json* method = field("method"); method != nullptr && method->is_string()) {
    table.method = method->get<std::string>();
  } else {
    return Corrupt(StrCat(path, ": method is missing or not a string"));
  }
  if (const nlohmann::json* samples = field("samples"); samples != nullptr && samples->is_number_integer()) {
    table.samples = static_cast<int>(samples->get<int64_t>());
  } else {
    return Corrupt(StrCat(path, ": samples is missing or not an integer"));
  }
  const nlohmann::json* ranges = field("ranges");
  if (ranges == nullptr || !ranges->is_object()) return Corrupt(StrCat(path, ": ranges is missing or not an object"));
  for (const auto& [name, value] : ranges->items()) {
    if (!value.is_array() || value.size() != 2 || !value[0].is_number() || !value[1].is_number()) {
      return Corrupt(StrCat(path, ": range of ", name, " is ", value.dump(), ", expected [min, max]"));
    }
    const Range r{value[0].get<float>(), value[1].get<float>()};
    if (!std::isfinite(r.min) || !std::isfinite(r.max) || r.min > r.max) {
      return Corrupt(StrCat(path, ": range of ", name, " is ", value.dump(), ", expected finite and min <= max"));
    }
    table.ranges[name] = r;
  }
  return table;
}

Status WriteCalibrationTable(const std::string& path, const CalibrationTable& table) {
  nlohmann::ordered_json root;
  root["version"] = 1;
  root["method"] = table.method;
  root["samples"] = table.samples;
  nlohmann::ordered_json ranges = nlohmann::ordered_json::object();
  for (const auto& [name, range] : table.ranges) ranges[name] = {range.min, range.max};
  root["ranges"] = std::move(ranges);
  const std::string text = root.dump(1) + "\n";
  return WriteFileAtomically(path, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace octet
