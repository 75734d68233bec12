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

double Mean(const std::vector<float>& v) {
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

Result<Verdict> Judge(const Graph& float_graph, const std::shared_ptr<const Model>& quantized,
                      const SampleSource& next, const std::function<int()>& label,
                      const std::function<void(int64_t done)>& progress) {
  OCTET_ASSIGN_OR_RETURN(std::shared_ptr<const Model> reference, ModelFromGraph(float_graph));
  OCTET_ASSIGN_OR_RETURN(Side before, Side::Open(std::move(reference)));
  OCTET_ASSIGN_OR_RETURN(Side after, Side::Open(quantized));
  std::vector<float> input(before.input_elements());
  Verdict verdict;
  double signal = 0.0, noise = 0.0;
  for (;;) {
    OCTET_ASSIGN_OR_RETURN(const bool more, next(input.data()));
    if (!more) break;
    OCTET_ASSIGN_OR_RETURN(const std::vector<float>* want, before.Run(input.data()));
    OCTET_ASSIGN_OR_RETURN(const std::vector<float>* got, after.Run(input.data()));
    const auto top = [](const std::vector<float>& v) {
      return std::max_element(v.begin(), v.end()) - v.begin();
    };
    const std::ptrdiff_t before_top = top(*want), after_top = top(*got);
    verdict.labels_kept += before_top == after_top;
    const int known = label ? label() : -1;
    if (known >= 0 && known < static_cast<std::ptrdiff_t>(want->size())) {
      const bool was = before_top == known, is = after_top == known;
      ++verdict.labelled;
      verdict.float_correct += was;
      verdict.correct += is;
      verdict.lost += was && !is;
      verdict.won += is && !was;
    }
    const double want_mean = want->size() > 1 ? Mean(*want) : 0.0,
                 got_mean = want->size() > 1 ? Mean(*got) : 0.0;
    for (size_t i = 0; i < want->size(); ++i) {
      const double w = static_cast<double>((*want)[i]) - want_mean,
                   g = static_cast<double>((*got)[i]) - got_mean;
      signal += w * w;
      noise += (g - w) * (g - w);
    }
    ++verdict.samples;
    if (progress) progress(verdict.samples);
  }
  if (verdict.samples == 0) return InvalidArgument("the data holds no sample");
  verdict.sqnr_db =
      noise > 0.0 ? 10.0 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
  verdict.ms = after.median_ms();
  verdict.float_ms = before.median_ms();
  return verdict;
}

}  // namespace octet
