// `octet merge`.
#include <algorithm>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "engine/tools/commands.h"
#include "engine/tools/evaluation.h"
#include "engine/tools/parts.h"
#include "engine/tools/score_report.h"
#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/progress.h"
#include "formats/data/sha256.h"
#include "formats/data/warnings.h"

namespace octet {
namespace {

/// Appends the rows of a part, which must be as when they were written, but for the line above them
/// when `skip_header`.
Status AppendRows(const ScorePart& part, bool skip_header, OutputFile* to) {
  int64_t size = 0;
  const auto append = [&](std::span<const uint8_t> kept) {
    size += std::ssize(kept);
    if (skip_header) {
      const auto line = std::find(kept.begin(), kept.end(), '\n');
      if (line != kept.end()) skip_header = false;
      kept = kept.subspan(static_cast<size_t>(line - kept.begin()) + (skip_header ? 0 : 1));
    }
    return to->Append(std::as_bytes(kept));
  };
  OCTET_ASSIGN_OR_RETURN(const std::string hash, Sha256OfFile(part.rows, append));
  if (size == part.rows_bytes && hash == part.rows_hash) return OkStatus();
  return Corrupt(StrCat(part.rows, ": has changed since its part was written: SHA-256 ",
                        part.rows_hash, " expected, ", hash, " found"));
}

Result<std::string> MergeScores(const std::vector<ResultPart>& parts, const MergeOptions& options) {
  if (options.confusion) return InvalidArgument("--confusion: parts of octet score have none");
  std::vector<ScorePart> scores;
  ScoreReport report;
  for (const ResultPart& part : parts) {
    OCTET_ASSIGN_OR_RETURN(ScorePart score, ParseScorePart(part));
    if (scores.empty()) report = ScoreReport(static_cast<int>(score.report.best.size()));
    if (score.report.best.size() != report.best.size()) {
      return Corrupt(StrCat(part.path, ": has ", score.report.best.size(), " classes, ",
                            parts[0].path, " ", report.best.size()));
    }
    report.Merge(score.report);
    scores.push_back(std::move(score));
  }
  if (!options.output.empty()) {
    OCTET_ASSIGN_OR_RETURN(OutputFile out, OutputFile::Create(options.output));
    Progress progress("merging", std::ssize(scores));
    for (size_t i = 0; i < scores.size(); ++i) {
      const bool csv = scores[i].rows.ends_with(".csv");
      OCTET_RETURN_IF_ERROR(AppendRows(scores[i], csv && i > 0, &out));
      progress.Update(static_cast<int64_t>(i) + 1);
    }
    OCTET_RETURN_IF_ERROR(out.Commit());
  }
  if (options.strict && report.errors > 0)
    return InvalidArgument(StrCat(report.errors, " of ", report.images, " images have an error"));
  return report.Json(parts[0].identity.models[0]) + "\n";
}

Result<std::string> MergeEvaluations(const std::vector<ResultPart>& parts,
                                     const MergeOptions& options) {
  if (!options.output.empty())
    return InvalidArgument("--output: is for rows, which parts of octet evaluate have not");
  OCTET_ASSIGN_OR_RETURN(Evaluation all, ParseEvaluationPart(parts[0]));
  for (size_t i = 1; i < parts.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(const Evaluation part, ParseEvaluationPart(parts[i]));
    for (size_t m = 0; m < all.models.size(); ++m) {
      if (part.models[m].classes() != all.models[m].classes())
        return Corrupt(StrCat(parts[i].path, ": has ", part.models[m].classes(), " classes, ",
                              parts[0].path, " ", all.models[m].classes()));
    }
    OCTET_RETURN_IF_ERROR(all.Merge(part).WithContext(parts[i].path));
  }
  if (all.total == 0) return InvalidArgument(StrCat(all.data[0], ": holds no sample"));
  Warnings warnings;
  AddDoubts(all, &warnings);
  OCTET_RETURN_IF_ERROR(warnings.Report("octet", options.strict));
  return options.json ? EvaluationJson(all, warnings) + "\n"
                      : EvaluationTable(all, options.confusion);
}

}  // namespace

int Merge(const MergeOptions& options) {
  const Result<std::vector<ResultPart>> parts = ReadAllParts(options.parts);
  if (!parts.ok()) return Fail(parts.status());
  const Result<std::string> text = (*parts)[0].identity.kind == "score"
                                       ? MergeScores(*parts, options)
                                       : MergeEvaluations(*parts, options);
  if (!text.ok()) return Fail(text.status());
  std::fputs(text->c_str(), stdout);
  return 0;
}

}  // namespace octet
