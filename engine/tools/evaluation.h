// What `octet evaluate` finds out, in numbers that add up, and the reports of it.
#ifndef OCTET_ENGINE_TOOLS_EVALUATION_H_
#define OCTET_ENGINE_TOOLS_EVALUATION_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "engine/tools/histograms.h"
#include "engine/tools/parts.h"
#include "formats/base/status.h"
#include "formats/data/label_matcher.h"
#include "formats/data/warnings.h"

namespace octet {

/// One model and how it did.
struct EvaluatedModel {
  std::string path, precision;
  int64_t file_size = 0;
  std::string input, pixels, doubt;  ///< InputMeaning.
  std::vector<std::string> labels;
  // Of all samples, and of those with a label.
  int64_t as_first = 0;  ///< Samples with the best class that the first model says.
  int64_t correct = 0, in_top5 = 0;
  std::vector<std::vector<int64_t>> confusion;  ///< [true][predicted]
  MarginHistogram margins;
  LatencyHistogram latency;  ///< Of the network alone.

  explicit EvaluatedModel(size_t classes = 0)
      : confusion(classes, std::vector<int64_t>(classes, 0)) {}
  size_t classes() const { return confusion.size(); }
  std::string LabelName(int index) const;
};

struct Evaluation {
  std::vector<EvaluatedModel> models;
  std::vector<std::string> labels;  ///< That the models have in common.
  std::vector<std::string> data;    ///< Paths.
  std::string kind;                 ///< Dataset::kind.
  int64_t parts = 0;
  int64_t total = 0, labelled = 0;
  bool has_pixels = false;
  LabelEvidence evidence;
  std::set<std::string> isas;
  int threads = 1;
  bool fast_decode = false;

  /// Adds another part of the same run. Errors: kInvalidArgument when their labels contradict each
  /// other.
  Status Merge(const Evaluation& other);
};

/// What speaks against taking the result for granted.
void AddDoubts(const Evaluation& evaluation, Warnings* warnings);

/// For people. Several models' confusion matrices only with `confusion`.
std::string EvaluationTable(const Evaluation& evaluation, bool confusion);
/// For machines.
std::string EvaluationJson(const Evaluation& evaluation, const Warnings& warnings);

nlohmann::ordered_json EvaluationPartJson(const Evaluation& evaluation);
/// Errors: kCorrupt.
Result<Evaluation> ParseEvaluationPart(const ResultPart& part);

}  // namespace octet

#endif  // OCTET_ENGINE_TOOLS_EVALUATION_H_
