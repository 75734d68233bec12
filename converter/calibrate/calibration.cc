// One pass over the samples: the graph runs with an observer, and every activation keeps its
// extremes and, for percentiles, a histogram that grows with what it sees.
#include "converter/calibrate/calibration.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "converter/calibrate/sample_team.h"
#include "formats/base/macros.h"
#include "formats/base/median.h"
#include "formats/base/str_cat.h"
#include "formats/model/preprocessing.h"

namespace octet {
namespace {

/// Of one tensor, as one member of the team sees it.
struct Observed : ActivationStatistics {
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
    if (!histogram || !finite) return;
    for (int64_t i = 0; i < count; ++i) histogram->Add(values[i]);
  }
};

/// How many times as far one half's reaches as the other's.
double Unevenness(const ActivationStatistics& s) {
  const auto span = [](const Range& r) { return static_cast<double>(r.max) - r.min; };
  const auto [low, high] = std::minmax({span(s.halves[0]), span(s.halves[1])});
  return low == high ? 1.0 : high / low;
}

Range RangeBy(const CalibrationOptions& options, const ActivationStatistics& s) {
  const Range range{std::min(s.halves[0].min, s.halves[1].min),
                    std::max(s.halves[0].max, s.halves[1].max)};
  switch (options.method) {
    case CalibrationMethod::kMinMax:
      break;
    case CalibrationMethod::kPercentile:
      return s.histogram->Percentile(options.percentile, range);
  }
  return range;
}

}  // namespace

Status ActivationStatistics::Merge(const ActivationStatistics& other) {
  for (size_t i = 0; i < halves.size(); ++i) {
    halves[i].min = std::min(halves[i].min, other.halves[i].min);
    halves[i].max = std::max(halves[i].max, other.halves[i].max);
  }
  if (histogram) OCTET_RETURN_IF_ERROR(histogram->Merge(*other.histogram));
  return OkStatus();
}

Status CalibrationStatistics::Merge(const CalibrationStatistics& other) {
  if (other.samples == 0) return OkStatus();
  if (samples == 0) {
    *this = other;
    return OkStatus();
  }
  if (tensors.size() != other.tensors.size()) {
    return InvalidArgument(
        StrCat("has ", other.tensors.size(), " tensors, expected ", tensors.size()));
  }
  for (auto& [name, statistics] : tensors) {
    const auto others = other.tensors.find(name);
    if (others == other.tensors.end()) return InvalidArgument(StrCat("has no tensor '", name, "'"));
    OCTET_RETURN_IF_ERROR(
        statistics.Merge(others->second).WithContext(StrCat("tensor '", name, "'")));
  }
  samples += other.samples;
  return OkStatus();
}

Result<CalibrationStatistics> CollectStatistics(
    const Graph& float_graph, const SampleSource& next, const CalibrationOptions& options,
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
  // Histograms of 500 tensors take 32 MiB for each member.
  const bool counts = options.method != CalibrationMethod::kMinMax;
  OCTET_ASSIGN_OR_RETURN(SampleTeam team, SampleTeam::Create(float_graph, counts ? 4 : 16));
  const Graph& graph = team.graph();
  const TensorId input_id = graph.inputs[0];
  const int64_t elements = graph.tensor(input_id).shape.num_elements();
  std::vector<std::vector<Observed>> of_members(team.size());
  for (std::vector<Observed>& of_member : of_members) {
    of_member.resize(graph.tensors.size());
    for (size_t i = 0; i < of_member.size(); ++i)
      if (counts && !graph.tensors[i].is_constant()) of_member[i].histogram.emplace();
  }
  int done = 0;
  const SampleSource at_most = [&, taken = 0](float* to) mutable -> Result<bool> {
    if (taken == options.max_samples) return false;
    OCTET_ASSIGN_OR_RETURN(const bool more, next(to));
    taken += more;
    return more;
  };
  for (;;) {
    const int first = options.first_sample + done;
    OCTET_ASSIGN_OR_RETURN(
        const size_t count,
        team.Run(at_most, {}, [&](size_t member, TensorId id, const kernels::ActivationView& view) {
          Observed& s = of_members[member][id];
          for (int y = 0; y < view.h; ++y) {
            for (int x = 0; x < view.w; ++x) {
              s.Add(reinterpret_cast<const float*>(view.pixel(0, y, x)), view.c,
                    first + static_cast<int>(member));
            }
          }
        }));
    if (count == 0) break;
    for (size_t member = 0; member < count; ++member, ++done) {
      const int sample = first + static_cast<int>(member);
      of_members[member][input_id].Add(team.sample(member).data(), elements, sample);
      for (size_t i = 0; i < graph.tensors.size(); ++i) {
        if (!of_members[member][i].finite) {
          return InvalidArgument(StrCat("calibration sample ", sample, " gives a value in tensor ",
                                        graph.tensors[i].name, " that is not finite"));
        }
      }
      if (progress) progress(done + 1, options.max_samples);
    }
  }
  CalibrationStatistics all;
  all.samples = done;
  for (size_t i = 0; i < graph.tensors.size(); ++i) {
    for (const std::vector<Observed>& of_member : of_members) {
      if (!of_member[i].seen) continue;
      const auto [at, is_new] = all.tensors.try_emplace(graph.tensors[i].name, of_member[i]);
      if (!is_new) OCTET_RETURN_IF_ERROR(at->second.Merge(of_member[i]));
    }
  }
  return all;
}

Result<CalibrationTable> TableOf(const Graph& float_graph, const CalibrationStatistics& statistics,
                                 const CalibrationOptions& options) {
  if (statistics.samples == 0) return InvalidArgument("the calibration data holds no sample");
  CalibrationTable table;
  table.method = NameOf(kCalibrationMethodNames, options.method);
  table.samples = statistics.samples;
  std::vector<double> unevenness;
  for (const auto& [name, of_tensor] : statistics.tensors) {
    table.ranges[name] = RangeBy(options, of_tensor);
    unevenness.push_back(Unevenness(of_tensor));
  }
  const auto input = statistics.tensors.find(float_graph.tensor(float_graph.inputs[0]).name);
  if (statistics.samples > 1 && input != statistics.tensors.end())
    table.unevenness = std::max(Median(unevenness), Unevenness(input->second));
  // Reshapes that move nothing are not shown by the runner: they have their input's range.
  for (const Node& n : float_graph.nodes) {
    const std::string& name = float_graph.tensor(n.output).name;
    if (statistics.tensors.contains(name) || n.type != OpType::kReshape) continue;
    const auto from = table.ranges.find(float_graph.tensor(n.inputs[0]).name);
    if (from != table.ranges.end()) table.ranges[name] = from->second;
  }
  return table;
}

Result<CalibrationTable> Calibrate(const Graph& float_graph, const SampleSource& next,
                                   const CalibrationOptions& options,
                                   const std::function<void(int done, int total)>& progress) {
  OCTET_ASSIGN_OR_RETURN(const CalibrationStatistics statistics,
                         CollectStatistics(float_graph, next, options, progress));
  return TableOf(float_graph, statistics, options);
}

}  // namespace octet
