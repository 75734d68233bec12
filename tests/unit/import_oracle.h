// Random networks through an importer and the passes, against answers computed some other way: what
// is taken must be right, what is not must be refused as unsupported. OCTET_NETWORKS changes how
// many, OCTET_NETWORK_SEED the first.
#ifndef OCTET_TESTS_UNIT_IMPORT_ORACLE_H_
#define OCTET_TESTS_UNIT_IMPORT_ORACLE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "converter/passes/passes.h"
#include "tests/unit/naive_interpreter.h"
#include "tests/unit/ref_tensor.h"

namespace octet::testing {

inline int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

/// A message without what is particular to one network: names and numbers.
inline std::string ReasonOf(const std::string& message) {
  std::string reason;
  bool quoted = false;
  for (char c : message) {
    if (c == '\'') quoted = !quoted;
    if (quoted || c == '\'') continue;
    reason += c >= '0' && c <= '9' ? '#' : c;
  }
  return reason.substr(0, 110);
}

/// The image `x`, of the source's order, as the network's first input: channels last.
inline Values AsInput(const Graph& graph, RefTensor x) {
  const bool first = !graph.inputs_channels_first.empty() && graph.inputs_channels_first[0];
  return first ? RefTransposed(x, {0, 2, 3, 1}).values : x.values;
}

/// Counts what one door takes and refuses. A wrong answer or another refusal fails the test.
class ImportOracle {
 public:
  /// `limit` is the largest difference over the largest answer.
  ImportOracle(std::string door, double limit, int64_t networks = 20000)
      : door_(std::move(door)),
        limit_(limit),
        first_(FromEnvironment("OCTET_NETWORK_SEED", 0)),
        count_(FromEnvironment("OCTET_NETWORKS", networks)) {}

  int64_t begin() const { return first_; }
  int64_t end() const { return first_ + count_; }

  /// Runs the passes. False when the network was refused, rightly or not.
  bool Takes(int64_t seed, Result<Graph>* graph) {
    if (graph->ok()) {
      const Status status = Optimize(&**graph);
      if (!status.ok()) *graph = status;
    }
    if (graph->ok()) return true;
    const std::string& message = graph->status().message();
    EXPECT_EQ(graph->status().code(), StatusCode::kUnsupported)
        << door_ << ", seed " << seed << ": " << message;
    ++refused_[ReasonOf(message)];
    return false;
  }

  /// False when the answer is none of `right`: orders that the graph cannot tell apart, or one.
  /// Answers that are not finite, or huge, are left out.
  bool IsRight(int64_t seed, const Graph& graph, const Values& input,
               const std::vector<Values>& right) {
    return AreRight(seed, graph, input, {right});
  }

  /// As IsRight(), with all outputs.
  bool AreRight(int64_t seed, const Graph& graph, const Values& input,
                const std::vector<std::vector<Values>>& outputs) {
    const auto small = [](double v) { return std::isfinite(v) && std::fabs(v) < 1e6; };
    for (const std::vector<Values>& right : outputs) {
      if (std::all_of(right[0].begin(), right[0].end(), small)) continue;
      ++left_out_;
      return true;
    }
    ++taken_;
    NaiveInterpreter interpreter(graph);
    interpreter.Evaluate({input});
    double worst = 0;
    for (size_t i = 0; i < outputs.size(); ++i) {
      double error = HUGE_VAL;
      for (const Values& values : outputs[i])
        error = std::min(error, Difference(interpreter.values(graph.outputs[i]), values));
      worst = std::max(worst, error);
    }
    worst_ = std::max(worst_, worst);
    EXPECT_LE(worst, limit_) << door_ << ", seed " << seed;
    return worst <= limit_;
  }

  void Report() const {
    int64_t refusals = 0;
    std::vector<std::pair<int, std::string>> reasons;
    for (const auto& [reason, n] : refused_) {
      refusals += n;
      reasons.emplace_back(n, reason);
    }
    std::sort(reasons.rbegin(), reasons.rend());
    std::printf(
        "%s: %lld networks, %lld right (worst relative error %.2g), %lld refused, %lld with huge "
        "values left out\n",
        door_.c_str(), static_cast<long long>(count_), static_cast<long long>(taken_), worst_,
        static_cast<long long>(refusals), static_cast<long long>(left_out_));
    for (size_t i = 0; i < std::min<size_t>(reasons.size(), 12); ++i)
      std::printf("  %6d %s\n", reasons[i].first, reasons[i].second.c_str());
    EXPECT_GT(taken_, count_ / 3) << door_;
  }

 private:
  static double Difference(const Values& a, const Values& b) {
    if (a.size() != b.size()) return HUGE_VAL;
    double worst = 0, largest = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      worst = std::max(worst, std::fabs(a[i] - b[i]));
      largest = std::max(largest, std::fabs(b[i]));
    }
    return worst == 0 ? 0 : worst / std::max(largest, 1e-3);
  }

  std::string door_;
  double limit_;
  int64_t first_, count_;
  std::map<std::string, int> refused_;
  int64_t taken_ = 0, left_out_ = 0;
  double worst_ = 0;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_IMPORT_ORACLE_H_
