#include "converter/report/verdict.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

#include "converter/calibrate/sample_team.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/median.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// For times; more are not needed for a median.
constexpr size_t kTimedSamples = 15;

/// Milliseconds of each run of both networks, in turn, on one thread.
Status TimeBoth(const Graph& float_graph, const std::shared_ptr<const Model>& quantized,
                const std::vector<std::vector<float>>& samples, Verdict* verdict) {
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> reference, ModelFromGraph(float_graph));
  std::vector<double> ms[2];
  std::unique_ptr<GraphRunner> runners[2];
  OCTET_ASSIGN_OR_RETURN(runners[0], GraphRunner::Create(reference));
  OCTET_ASSIGN_OR_RETURN(runners[1], GraphRunner::Create(quantized));
  for (const std::vector<float>& sample : samples) {
    for (const size_t i : {0, 1}) {
      const TensorDescription input = (i == 0 ? reference : quantized)->Describe().inputs[0];
      std::vector<uint8_t> bytes(input.num_bytes());
      input.FromFloats(sample.data(), bytes.data());
      const auto begin = std::chrono::steady_clock::now();
      OCTET_RETURN_IF_ERROR(runners[i]->Run(bytes.data(), {}));
      ms[i].push_back(
          std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
              .count());
    }
  }
  verdict->float_ms = Median(ms[0]);
  verdict->ms = Median(ms[1]);
  return OkStatus();
}

/// The first output of a member's network, finite.
Result<std::vector<float>> OutputOf(const SampleTeam& team, size_t member) {
  std::vector<float> values = team.output(member);
  const Graph& g = team.graph();
  OCTET_RETURN_IF_ERROR(CheckFinite(values).WithContext("output " + g.tensor(g.outputs[0]).name));
  return values;
}

/// A single output has nothing beside it.
double Mean(const std::vector<float>& v) {
  if (v.size() < 2) return 0.0;
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}

}  // namespace

ConfidenceInterval WilsonInterval(int64_t count, int64_t n) {
  constexpr double kZ = 1.959964;  // Of a normal distribution, 95 % are within.
  const double total = static_cast<double>(n), p = static_cast<double>(count) / total,
               grown = 1.0 + kZ * kZ / total, middle = (p + kZ * kZ / (2.0 * total)) / grown,
               half =
                   kZ / grown * std::sqrt(p * (1.0 - p) / total + kZ * kZ / (4.0 * total * total));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

double McNemar(int64_t lost, int64_t won) {
  const int64_t n = lost + won, fewer = std::min(lost, won);
  // Twice the tail of the binomial distribution, terms by their logarithms.
  double tail = 0.0;
  for (int64_t k = 0; k <= fewer; ++k) {
    tail += std::exp(
        std::lgamma(static_cast<double>(n + 1)) - std::lgamma(static_cast<double>(k + 1)) -
        std::lgamma(static_cast<double>(n - k + 1)) - static_cast<double>(n) * std::numbers::ln2);
  }
  return std::min(1.0, 2.0 * tail);
}

std::string AccuracyDoubt(int64_t correct, int64_t labelled, int64_t classes) {
  if (labelled == 0 || classes < 2) return "";
  // Twice what guessing gives, of many classes; of few, networks that learned little come close.
  const double guessed = 1.0 / static_cast<double>(classes),
               limit = classes < 10 ? guessed : std::max(0.05, 2.0 * guessed);
  if (WilsonInterval(correct, labelled).high >= limit) return "";
  return StrCat("right on ", correct, " of ", labelled, " samples, as by guessing among ", classes,
                " classes: labels may be in another order than the network's outputs, or photos be "
                "prepared otherwise than in training (--labels, --preprocessing)");
}

std::vector<std::string> LabelDoubts(const Verdict& verdict, int64_t classes) {
  std::vector<std::string> doubts;
  if (verdict.beyond > 0) {
    doubts.push_back(StrCat(verdict.beyond, " of ", verdict.samples,
                            " samples have labels beyond the network's ", classes,
                            " outputs, which count from 0"));
  }
  const std::string accuracy = AccuracyDoubt(verdict.float_correct, verdict.labelled, classes);
  if (!accuracy.empty()) doubts.push_back("the float network is " + accuracy);
  return doubts;
}

void Energies::Add(const std::vector<float>& want, const std::vector<float>& got) {
  const double want_mean = Mean(want), got_mean = Mean(got);
  for (size_t i = 0; i < want.size(); ++i) {
    const double w = static_cast<double>(want[i]) - want_mean,
                 g = static_cast<double>(got[i]) - got_mean;
    signal += w * w;
    noise += (g - w) * (g - w);
  }
}

double Energies::Decibels() const {
  return noise > 0.0 ? 10.0 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
}

size_t Largest(const std::vector<float>& values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

Result<FloatOutputs> RunFloat(const Graph& graph, const SampleSource& next,
                              const std::function<int()>& label,
                              const std::function<void(int64_t done)>& progress) {
  OCTET_ASSIGN_OR_RETURN(SampleTeam team, SampleTeam::Create(graph));
  FloatOutputs floats;
  for (;;) {
    const auto took = [&](size_t) { floats.labels.push_back(label ? label() : -1); };
    OCTET_ASSIGN_OR_RETURN(const size_t count, team.Run(next, took, {}));
    if (count == 0) break;
    for (size_t member = 0; member < count; ++member) {
      OCTET_ASSIGN_OR_RETURN(std::vector<float> output, OutputOf(team, member));
      floats.outputs.push_back(std::move(output));
    }
    if (progress) progress(std::ssize(floats.outputs));
  }
  if (floats.outputs.empty()) return InvalidArgument("the data holds no sample");
  return floats;
}

Result<Verdict> Judge(const Graph& float_graph, const FloatOutputs& floats,
                      const std::shared_ptr<const Model>& quantized, const SampleSource& next,
                      const JudgeObserver& observer) {
  OCTET_ASSIGN_OR_RETURN(SampleTeam team, SampleTeam::Create(quantized));
  std::vector<std::vector<float>> timed;
  Verdict verdict;
  Energies energies;
  size_t at = 0;
  for (;;) {
    OCTET_ASSIGN_OR_RETURN(const size_t count, team.Run(next, {}, {}));
    if (count == 0) break;
    for (size_t member = 0; member < count; ++member, ++at) {
      OCTET_ASSIGN_OR_RETURN(const std::vector<float> got, OutputOf(team, member));
      if (at >= floats.outputs.size() || floats.outputs[at].size() != got.size())
        return InternalError("the networks have other samples, or other outputs");
      const std::vector<float>& want = floats.outputs[at];
      const auto before_top = static_cast<std::ptrdiff_t>(Largest(want)),
                 after_top = static_cast<std::ptrdiff_t>(Largest(got));
      verdict.labels_kept += before_top == after_top;
      const int known = floats.labels[at];
      verdict.beyond += known >= std::ssize(want);
      if (known >= 0 && known < std::ssize(want)) {
        const bool was = before_top == known, is = after_top == known;
        ++verdict.labelled;
        verdict.float_correct += was;
        verdict.correct += is;
        verdict.lost += was && !is;
        verdict.won += is && !was;
      }
      energies.Add(want, got);
      ++verdict.samples;
      if (timed.size() < kTimedSamples) timed.push_back(team.sample(member));
      if (observer) observer(verdict.samples, want, got);
    }
  }
  if (at != floats.outputs.size())
    return InternalError("the networks have other samples, or other outputs");
  verdict.sqnr_db = energies.Decibels();
  OCTET_RETURN_IF_ERROR(TimeBoth(float_graph, quantized, timed, &verdict));
  return verdict;
}

}  // namespace octet
