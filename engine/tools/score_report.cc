#include "engine/tools/score_report.h"

#include <filesystem>

#include "formats/base/str_cat.h"

namespace octet {

using nlohmann::ordered_json;

void ScoreReport::Add(const Scorer::Row& row) {
  ++images;
  errors += row.failed;
  if (row.failed) return;
  ++best[static_cast<size_t>(row.best)];
  margins.Add(row.margin);
  latency.Add(row.milliseconds);
}

void ScoreReport::Merge(const ScoreReport& other) {
  images += other.images;
  errors += other.errors;
  for (size_t i = 0; i < best.size(); ++i) best[i] += other.best[i];
  margins.Merge(other.margins);
  latency.Merge(other.latency);
}

namespace {

ordered_json Counts(const ScoreReport& report) {
  return {{"images", report.images},
          {"errors", report.errors},
          {"best", report.best},
          {"margins", JsonOf(report.margins)}};
}

}  // namespace

std::string ScoreReport::Json(const std::string& model_hash) const {
  ordered_json j{{"model", model_hash}};
  j.update(Counts(*this));
  return j.dump();
}

ordered_json ScorePartJson(const ScoreReport& report, const std::string& rows, int64_t rows_bytes,
                           const std::string& rows_hash) {
  ordered_json j = Counts(report);
  j["latency"] = JsonOf(report.latency);
  j["rows"] = std::filesystem::path(rows).filename().string();
  j["rows_bytes"] = rows_bytes;
  j["rows_sha256"] = rows_hash;
  return j;
}

Result<ScorePart> ParseScorePart(const ResultPart& part) {
  PartFields fields(part.path, part.content);
  ScorePart score;
  ScoreReport& report = score.report;
  report.images = fields.Count("images");
  report.errors = fields.Count("errors");
  for (const ordered_json& count : fields.Array("best"))
    report.best.push_back(fields.CountOf(count, "best"));
  report.margins = fields.Margins("margins");
  report.latency = fields.Latency("latency");
  const std::filesystem::path rows(fields.Text("rows"));
  if (rows.has_parent_path()) fields.Fail("rows", "a file beside it");
  score.rows = (std::filesystem::path(part.path).parent_path() / rows).string();
  score.rows_bytes = fields.Count("rows_bytes");
  score.rows_hash = fields.Text("rows_sha256");
  if (!fields.status().ok()) return fields.status();
  return score;
}

}  // namespace octet
