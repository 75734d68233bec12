#include "converter/report/verdict.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

#include "engine/src/runner.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/median.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// One of the two networks.
class Side {
 public:
  static Result<Side> Open(std::shared_ptr<const Model> model) {
    Side s;
    s.description_ = model->Describe();
    OCTET_ASSIGN_OR_RETURN(s.runner_, GraphRunner::Create(std::move(model)));
    s.input_.resize(s.description_.inputs[0].num_bytes());
    s.values_.resize(s.description_.outputs[0].num_elements());
    return s;
  }

  size_t input_elements() const { return description_.inputs[0].num_elements(); }

  /// The first output as numbers, valid until the next call.
  Result<const std::vector<float>*> Run(const float* input) {
    description_.inputs[0].FromFloats(input, input_.data());
    const auto begin = std::chrono::steady_clock::now();
    OCTET_RETURN_IF_ERROR(runner_->Run(input_.data(), {}));
    ms_.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
            .count());
    description_.outputs[0].ToFloats(runner_->output(0).data(), values_.data());
    OCTET_RETURN_IF_ERROR(
        CheckFinite(values_).WithContext("output " + description_.outputs[0].name));
    return &values_;
  }

  double median_ms() const { return Median(ms_); }

 private:
  ModelDescription description_;
  std::unique_ptr<GraphRunner> runner_;
  std::vector<uint8_t> input_;
  std::vector<float> values_;
  std::vector<double> ms_;
};

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

Result<Verdict> Judge(const Graph& float_graph, const std::shared_ptr<const Model>& quantized,
                      const SampleSource& next, const std::function<int()>& label,
                      const JudgeObserver& observer) {
  OCTET_ASSIGN_OR_RETURN(std::shared_ptr<const Model> reference, ModelFromGraph(float_graph));
  OCTET_ASSIGN_OR_RETURN(Side before, Side::Open(std::move(reference)));
  OCTET_ASSIGN_OR_RETURN(Side after, Side::Open(quantized));
  std::vector<float> input(before.input_elements());
  Verdict verdict;
  Energies energies;
  for (;;) {
    OCTET_ASSIGN_OR_RETURN(const bool more, next(input.data()));
    if (!more) break;
    OCTET_ASSIGN_OR_RETURN(const std::vector<float>* want, before.Run(input.data()));
    OCTET_ASSIGN_OR_RETURN(const std::vector<float>* got, after.Run(input.data()));
    const auto before_top = static_cast<std::ptrdiff_t>(Largest(*want)),
               after_top = static_cast<std::ptrdiff_t>(Largest(*got));
    verdict.labels_kept += before_top == after_top;
    const int known = label ? label() : -1;
    verdict.beyond += known >= std::ssize(*want);
    if (known >= 0 && known < static_cast<std::ptrdiff_t>(want->size())) {
      const bool was = before_top == known, is = after_top == known;
      ++verdict.labelled;
      verdict.float_correct += was;
      verdict.correct += is;
      verdict.lost += was && !is;
      verdict.won += is && !was;
    }
    energies.Add(*want, *got);
    ++verdict.samples;
    if (observer) observer(verdict.samples, *want, *got);
  }
  if (verdict.samples == 0) return InvalidArgument("the data holds no sample");
  verdict.sqnr_db = energies.Decibels();
  verdict.ms = after.median_ms();
  verdict.float_ms = before.median_ms();
  return verdict;
}

}  // namespace octet
