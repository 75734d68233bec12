// What a run of `octet score` comes to, in numbers that add up.
#ifndef OCTET_ENGINE_TOOLS_SCORE_REPORT_H_
#define OCTET_ENGINE_TOOLS_SCORE_REPORT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/tools/histograms.h"
#include "engine/tools/parts.h"
#include "engine/tools/scorer.h"
#include "formats/base/status.h"

namespace octet {

struct ScoreReport {
  explicit ScoreReport(int classes = 0) : best(static_cast<size_t>(classes)) {}

  int64_t images = 0, errors = 0;
  std::vector<int64_t> best;  ///< Images by their best class.
  MarginHistogram margins;
  LatencyHistogram latency;

  void Add(const Scorer::Row& row);
  /// Of a model with as many classes.
  void Merge(const ScoreReport& other);
  /// All but the times, which no two runs have in common.
  std::string Json(const std::string& model_hash) const;
};

/// A part of a run: its report, and where its rows are.
struct ScorePart {
  ScoreReport report;
  std::string rows;  ///< Path.
  int64_t rows_bytes = 0;
  std::string rows_hash;  ///< SHA-256.
};

/// `rows` is in the part's folder.
nlohmann::ordered_json ScorePartJson(const ScoreReport& report, const std::string& rows,
                                     int64_t rows_bytes, const std::string& rows_hash);
/// Errors: kCorrupt.
Result<ScorePart> ParseScorePart(const ResultPart& part);

}  // namespace octet

#endif  // OCTET_ENGINE_TOOLS_SCORE_REPORT_H_
