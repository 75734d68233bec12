// Which layers compute in more than int8 so that a network loses no more than is allowed.
#ifndef OCTET_CONVERTER_TUNE_BUDGET_H_
#define OCTET_CONVERTER_TUNE_BUDGET_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "converter/calibrate/sample_source.h"
#include "converter/quantize/quantize.h"
#include "converter/tune/output_meter.h"
#include "converter/tune/tune.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// What may be lost, of samples that no range was taken from.
struct Budget {
  /// Percent points of accuracy or, where no sample has a label, percent of labels that change.
  std::optional<double> max_drop;
  std::optional<double> min_sqnr_db;  ///< OutputScore::sqnr_db.

  bool wanted() const { return max_drop || min_sqnr_db; }
  bool Holds(const OutputScore& score) const;
};

struct RaisedLayer {
  std::string name;
  Precision precision = Precision::kFp32;  ///< kFp32 or kInt16x8.
  double share = 0.0;                      ///< Of the int8 network's error, what goes with it.
  double ms = 0.0;  ///< More than in int8, with the conversions in front of it, measured here.
};

/// What came of a budget, for people.
struct BudgetReport {
  Budget budget;
  std::vector<RaisedLayer> raised;  ///< In the network's order; none where int8 does.
  OutputScore int8, mixed;
};

struct BudgetResult : BudgetReport {
  Graph graph;
};

/// Raises layers of `tuned` until `budget` holds on the samples of `meter`: to int16x8 where the
/// rounding of what they read is to blame, to float where that of their weights is. First those
/// whose error, found for each by itself on some of `samples`, is the largest for what raising it
/// costs by products and bytes; then those of them go again that are not needed after all, the
/// dearest first. Every step is judged by the answers themselves. Always succeeds, with all layers
/// in float at worst. Errors: those of CompareLayers and QuantizeGraph.
Result<BudgetResult> HoldBudget(
    const Tuned& tuned, const QuantizeOptions& quantize, const Budget& budget,
    const OutputMeter& meter, std::span<const NamedSample> samples,
    const std::function<void(const char* what, int64_t done, int64_t total)>& progress);

}  // namespace octet

#endif  // OCTET_CONVERTER_TUNE_BUDGET_H_
