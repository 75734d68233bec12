// One pass over the samples: the graph runs with an observer, and every activation keeps its
// extremes and, for percentiles, a histogram that grows with what it sees.
#include "converter/calibrate/calibration.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/calibrate/sample_team.h"
#include "converter/import/json_reader.h"
#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/median.h"
#include "formats/base/str_cat.h"
#include "formats/model/preprocessing.h"

namespace octet {
namespace {

constexpr int64_t kMaxTableBytes = int64_t{64} << 20;
constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

/// Counts values in equal bins over [-limit, limit]. When a value lies outside, the limit doubles
/// and pairs of bins merge, so one pass over data of unknown range is enough and memory stays
/// fixed. At least 2048 bins lie on each side of 0 between the largest magnitude and its negative.
class Histogram {
 public:
  void Add(float value) {
    const double v = value;
    if (limit_ == 0.0) limit_ = std::max(std::fabs(v), 1e-6);
    while (std::fabs(v) > limit_) Double();
    const int bin = static_cast<int>((v + limit_) / (2.0 * limit_) * kBins);
    ++counts_[static_cast<size_t>(std::clamp(bin, 0, kBins - 1))];
    ++total_;
  }

  /// The range that holds `percent` of the values, the rest cut off in equal parts at both ends,
  /// never beyond what was seen.
  Range Percentile(double percent, const Range& seen) const {
    const double cut = static_cast<double>(total_) * (100.0 - percent) / 200.0;
    const double width = 2.0 * limit_ / kBins;
    Range r = seen;
    double below = 0.0, above = 0.0;
    for (int i = 0; i < kBins && below <= cut; ++i) {
      below += static_cast<double>(counts_[static_cast<size_t>(i)]);
      if (below > cut) r.min = std::max(seen.min, static_cast<float>(-limit_ + i * width));
    }
    for (int i = kBins; i > 0 && above <= cut; --i) {
      above += static_cast<double>(counts_[static_cast<size_t>(i - 1)]);
      if (above > cut) r.max = std::min(seen.max, static_cast<float>(-limit_ + i * width));
    }
    // Every quantized range contains 0.
    r.min = std::min(r.min, 0.0f);
    r.max = std::max(r.max, 0.0f);
    return r;
  }

 private:
  static constexpr int kBins = 8192;  // A multiple of 4, so that pairs merge around 0.

  void Double() {
    std::vector<int64_t> merged(kBins, 0);
    for (size_t i = 0; i < kBins; ++i) merged[kBins / 4 + i / 2] += counts_[i];
    counts_ = std::move(merged);
    limit_ *= 2.0;
  }

  double limit_ = 0.0;
  int64_t total_ = 0;
  std::vector<int64_t> counts_ = std::vector<int64_t>(kBins, 0);
};

struct Statistics {
  /// Of every other sample. They contain 0 from the start, as every quantized range must.
  std::array<Range, 2> halves;
  std::unique_ptr<Histogram> histogram;
  bool finite = true, seen = false;

  void Add(const float* values, int64_t count, int sample) {
    seen = true;
    Range& range = halves[static_cast<size_t>(sample % 2)];
    float difference = 0.0f;  // v - v is 0, or NaN for what is not finite.
    for (int64_t i = 0; i < count; ++i) {
      const float v = values[i];
      range.min = v < range.min ? v : range.min;
      range.max = v > range.max ? v : range.max;
      difference += v - v;
    }
    finite &= difference == 0.0f;
    if (histogram == nullptr || !finite) return;
    for (int64_t i = 0; i < count; ++i) histogram->Add(values[i]);
  }

  /// Of other samples, without histograms.
  void Merge(const Statistics& other) {
    for (size_t i = 0; i < halves.size(); ++i) {
      halves[i].min = std::min(halves[i].min, other.halves[i].min);
      halves[i].max = std::max(halves[i].max, other.halves[i].max);
    }
    seen |= other.seen;
  }

  /// How many times as far one half's reaches as the other's.
  double Unevenness() const {
    const auto span = [](const Range& r) { return static_cast<double>(r.max) - r.min; };
    const auto [low, high] = std::minmax({span(halves[0]), span(halves[1])});
    return low == high ? 1.0 : high / low;
  }

  Range RangeBy(const CalibrationOptions& options) const {
    const Range range{std::min(halves[0].min, halves[1].min),
                      std::max(halves[0].max, halves[1].max)};
    switch (options.method) {
      case CalibrationMethod::kMinMax:
        break;
      case CalibrationMethod::kPercentile:
        return histogram->Percentile(options.percentile, range);
    }
    return range;
  }
};

}  // namespace

Result<CalibrationTable> Calibrate(const Graph& float_graph, const SampleSource& next,
                                   const CalibrationOptions& options,
                                   const std::function<void(int done, int total)>& progress) {
  if (options.max_samples < 1) {
    return InvalidArgument(
        StrCat("calibration samples are ", options.max_samples, ", expected at least 1"));
  }
  if (!(options.percentile > 50.0 && options.percentile <= 100.0)) {
    return InvalidArgument(StrCat("calibration percentile is ", options.percentile,
                                  ", expected above 50 and at most 100"));
  }
  if (float_graph.inputs.size() != 1) {
    return Unsupported(
        StrCat("calibration needs one input, the model has ", float_graph.inputs.size()));
  }
  // A histogram is of one order: its bins depend on what came first.
  const bool ordered = options.method != CalibrationMethod::kMinMax;
  OCTET_ASSIGN_OR_RETURN(SampleTeam team, SampleTeam::Create(float_graph, ordered ? 1 : 16));
  const Graph& graph = team.graph();
  const TensorId input_id = graph.inputs[0];
  const int64_t elements = graph.tensor(input_id).shape.num_elements();
  std::vector<std::vector<Statistics>> of_members(team.size());
  for (std::vector<Statistics>& of_member : of_members) {
    of_member.resize(graph.tensors.size());
    for (Statistics& s : of_member)
      if (ordered) s.histogram = std::make_unique<Histogram>();
  }
  int done = 0;
  const SampleSource at_most = [&, taken = 0](float* to) mutable -> Result<bool> {
    if (taken == options.max_samples) return false;
    OCTET_ASSIGN_OR_RETURN(const bool more, next(to));
    taken += more;
    return more;
  };
  for (;;) {
    OCTET_ASSIGN_OR_RETURN(
        const size_t count,
        team.Run(at_most, {}, [&](size_t member, TensorId id, const kernels::ActivationView& view) {
          Statistics& s = of_members[member][id];
          for (int y = 0; y < view.h; ++y) {
            for (int x = 0; x < view.w; ++x) {
              s.Add(reinterpret_cast<const float*>(view.pixel(0, y, x)), view.c,
                    done + static_cast<int>(member));
            }
          }
        }));
    if (count == 0) break;
    for (size_t member = 0; member < count; ++member, ++done) {
      of_members[member][input_id].Add(team.sample(member).data(), elements, done);
      for (size_t i = 0; i < graph.tensors.size(); ++i) {
        if (!of_members[member][i].finite) {
          return InvalidArgument(StrCat("calibration sample ", done, " gives a value in tensor ",
                                        graph.tensors[i].name, " that is not finite"));
        }
      }
      if (progress) progress(done + 1, options.max_samples);
    }
  }
  if (done == 0) return InvalidArgument("the calibration data holds no sample");

  std::vector<Statistics>& statistics = of_members[0];
  for (size_t i = 0; i < statistics.size(); ++i)
    for (size_t member = 1; member < of_members.size(); ++member)
      statistics[i].Merge(of_members[member][i]);
  CalibrationTable table;
  table.method = NameOf(kCalibrationMethodNames, options.method);
  table.samples = done;
  std::vector<double> unevenness;
  for (size_t i = 0; i < statistics.size(); ++i) {
    if (!statistics[i].seen) continue;
    table.ranges[graph.tensors[i].name] = statistics[i].RangeBy(options);
    unevenness.push_back(statistics[i].Unevenness());
  }
  if (done > 1) {
    table.unevenness = std::max(Median(unevenness), statistics[input_id].Unevenness());
  }
  // Reshapes that move nothing are not shown by the runner: they have their input's range.
  for (const Node& n : graph.nodes) {
    if (statistics[n.output].seen || n.type != OpType::kReshape) continue;
    const auto from = table.ranges.find(graph.tensors[n.inputs[0]].name);
    if (from != table.ranges.end()) table.ranges[graph.tensors[n.output].name] = from->second;
  }
  return table;
}

Result<CalibrationTable> ReadCalibrationTable(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFileBytes(path, kMaxTableBytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  OCTET_ASSIGN_OR_RETURN(const nlohmann::json root, ParseJson(text, path));
  JsonReader reader(root, path, {"version", "method", "samples", "ranges"});
  CalibrationTable table;
  int version = 0;
  reader.Need("version");
  reader.Integer("version", 1, 1, &version);
  reader.Need("method");
  reader.String("method", &table.method);
  reader.Need("samples");
  reader.Integer("samples", 1, std::numeric_limits<int>::max(), &table.samples);
  const nlohmann::json* ranges = reader.Need("ranges");
  if (ranges != nullptr && !ranges->is_object()) reader.Fail("ranges", "is not an object");
  OCTET_RETURN_IF_ERROR(reader.status());
  for (const auto& [name, value] : ranges->items()) {
    const bool numbers =
        value.is_array() && value.size() == 2 && value[0].is_number() && value[1].is_number();
    const Range r = numbers ? Range{value[0].get<float>(), value[1].get<float>()}
                            : Range{kNotANumber, kNotANumber};
    if (!std::isfinite(r.min) || !std::isfinite(r.max) || r.min > r.max) {
      return Corrupt(StrCat(path, ": range of '", name, "' is ",
                            value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                            ", expected [min, max], finite and in order"));
    }
    table.ranges[name] = r;
  }
  return table;
}

Status WriteCalibrationTable(const std::string& path, const CalibrationTable& table) {
  // Written by hand for one range a line, and for floats with the fewest digits that give the same
  // float again.
  const auto number = [](float v) {
    char text[32];
    return std::string(text, std::to_chars(text, text + sizeof(text), v).ptr);
  };
  const auto quoted = [](const std::string& s) {
    return nlohmann::json(s).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  std::string text = StrCat("{\n  \"version\": 1,\n  \"method\": ", quoted(table.method),
                            ",\n  \"samples\": ", table.samples, ",\n  \"ranges\": {");
  const char* separator = "\n";
  for (const auto& [name, range] : table.ranges) {
    if (!std::isfinite(range.min) || !std::isfinite(range.max)) {
      return InvalidArgument(StrCat("range of '", name, "' is [", range.min, ", ", range.max,
                                    "], expected finite numbers"));
    }
    text += StrCat(separator, "    ", quoted(name), ": [", number(range.min), ", ",
                   number(range.max), "]");
    separator = ",\n";
  }
  text += "\n  }\n}\n";
  return WriteFileAtomically(path, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace octet
