// `octet score`. One thread at a time reads, all decode and classify, rows are written in the order
// of the images (in_order.h).
#include <atomic>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "engine/tools/parts.h"
#include "engine/tools/score_input.h"
#include "engine/tools/score_report.h"
#include "engine/tools/scorer.h"
#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/in_order.h"
#include "formats/data/progress.h"
#include "formats/data/read_ahead.h"
#include "formats/data/sha256.h"
#include "formats/data/system.h"
#include "formats/data/table.h"
#include "formats/data/warnings.h"
#include "formats/model/input_meaning.h"

namespace octet {
namespace {

/// Where rows go: standard output, or a file that is there when it is whole.
class RowSink {
 public:
  /// Standard output.
  RowSink() = default;
  static Result<RowSink> Create(const std::string& path) {
    RowSink sink;
    OCTET_ASSIGN_OR_RETURN(sink.file_, OutputFile::Create(path));
    return sink;
  }

  Status Write(const std::string& text) {
    if (!file_) {
      // Whoever reads the rows as they come gets each at once.
      const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
                           std::fflush(stdout) == 0;
      return written ? OkStatus() : IoError("");  // RunProgram says why.
    }
    hash_.Add(text);
    bytes_ += static_cast<int64_t>(text.size());
    buffer_ += text;
    return buffer_.size() < kBufferBytes ? OkStatus() : Flush();
  }

  Status Commit() {
    if (!file_) return OkStatus();
    OCTET_RETURN_IF_ERROR(Flush());
    return file_->Commit();
  }

  bool is_file() const { return file_.has_value(); }
  int64_t bytes() const { return bytes_; }
  std::string Hash() const { return hash_.Hex(); }

 private:
  static constexpr size_t kBufferBytes = size_t{1} << 20;

  Status Flush() {
    const Status status = file_->Append(std::as_bytes(std::span(buffer_)));
    buffer_.clear();
    return status;
  }

  std::optional<OutputFile> file_;
  std::string buffer_;
  Sha256 hash_;
  int64_t bytes_ = 0;
};

struct Run {
  ScoreReport report;
  Status status;         ///< Of writing.
  bool stopped = false;  ///< By a signal.
};

Run ScoreAll(ScoreInput* input, Scorer* scorer, int workers, int64_t skipped, int64_t total,
             RowSink* sink) {
  struct Item {
    Sample sample;
    Status status;
    Scorer::Row row;
  };
  Run run;
  run.report = ScoreReport(scorer->classes());
  Progress progress("scoring", total, /*rate=*/true);
  if (skipped == 0 && !scorer->header().empty()) run.status = sink->Write(scorer->header());
  InOrder<Item>::Run(workers, {.read =
                                   [&](Item* item) {
                                     if (StopSignal() != 0) return false;
                                     const Result<bool> more = input->Read(&item->sample);
                                     item->status = more.ok() ? OkStatus() : more.status();
                                     // A wait for standard input ends so, too.
                                     return StopSignal() == 0 && (!more.ok() || *more);
                                   },
                               .work =
                                   [&](Item* item, int worker) {
                                     item->row = item->status.ok()
                                                     ? scorer->Score(&item->sample, worker)
                                                     : scorer->Failed(item->sample, item->status);
                                     item->sample = Sample();
                                   },
                               .write =
                                   [&](Item* item) {
                                     if (run.status.ok()) run.status = sink->Write(item->row.text);
                                     if (!run.status.ok()) return false;
                                     run.report.Add(item->row);
                                     progress.Update(run.report.images);
                                     return true;
                                   }});
  run.stopped = StopSignal() != 0;
  return run;
}

/// What a run is of, and its result's file if that is there already.
struct Target {
  std::string rows, part;  ///< Files; empty without --output.
  PartIdentity identity;
};

Result<Target> FindTarget(const ScoreOptions& options, const std::string& model_hash,
                          const Dataset* dataset) {
  Target target;
  if (options.shard) {
    PartIdentity& id = target.identity;
    id.kind = "score";
    id.models = {model_hash};
    OCTET_ASSIGN_OR_RETURN(id.data, dataset->Fingerprint());
    id.shard = *options.shard;
    id.settings = {{"version", OCTET_VERSION},
                   {"format", options.format},
                   {"top", std::to_string(options.top)},
                   {"digest", options.digest},
                   {"fast_decode", options.fast_decode ? "yes" : "no"}};
    target.part = PartPath(options.output, id);
    target.rows = target.part.substr(0, target.part.size() - 5) + "." + options.format;
  } else {
    target.rows = options.output;
  }
  return target;
}

/// Whether the part is there and whole, so that nothing is to be done.
bool IsDone(const std::string& folder, const Target& target) {
  const Result<ResultPart> part = ReadPartOf(folder, target.identity);
  if (!part.ok()) return false;
  const Result<ScorePart> score = ParseScorePart(*part);
  if (!score.ok()) return false;
  const Result<InputFile> rows = InputFile::Open(target.rows);
  return rows.ok() && rows->size() == score->rows_bytes;
}

Status Finish(const ScoreOptions& options, const std::string& model_hash, const Target& target,
              const Run& run, RowSink* sink) {
  OCTET_RETURN_IF_ERROR(sink->Commit());
  if (!target.part.empty()) {
    OCTET_RETURN_IF_ERROR(
        WritePart(options.output, target.identity,
                  ScorePartJson(run.report, target.rows, sink->bytes(), sink->Hash())));
  }
  if (options.summary.empty()) return OkStatus();
  const std::string text = run.report.Json(model_hash) + "\n";
  return WriteFileAtomically(options.summary, std::as_bytes(std::span(text)));
}

Result<int> ScoreOrFail(const ScoreOptions& options) {
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, LoadModel(options.model));
  OCTET_ASSIGN_OR_RETURN(const std::string model_hash, Sha256OfFile(options.model));
  ScorerOptions scorer_options;
  scorer_options.top = options.top;
  scorer_options.format = options.format == "csv" ? RowFormat::kCsv : RowFormat::kJsonLines;
  scorer_options.digest = options.digest == "none"     ? RowDigest::kNone
                          : options.digest == "sha256" ? RowDigest::kSha256
                                                       : RowDigest::kCrc32c;
  scorer_options.isa = options.isa;
  scorer_options.fast_decode = options.fast_decode;
  scorer_options.workers = options.threads > 0 ? options.threads : ReadAheadWorkers();
  OCTET_ASSIGN_OR_RETURN(Scorer scorer,
                         Scorer::Create(model, model_hash.substr(0, 16), scorer_options));
  Warnings warnings;
  const InputMeaning meaning = MeaningOfInput(GraphOf(*model));
  if (!meaning.doubt.empty()) warnings.Add(meaning.doubt);
  OCTET_RETURN_IF_ERROR(warnings.Report("octet", options.strict));

  std::unique_ptr<ScoreInput> input;
  std::unique_ptr<Dataset> dataset;
  int64_t total = -1;
  if (options.standard_input.empty()) {
    DatasetOptions dataset_options;
    dataset_options.any_kind = true;
    dataset_options.shard = options.shard.value_or(Shard());
    OCTET_ASSIGN_OR_RETURN(dataset, OpenDataset(options.images, dataset_options));
    total = dataset->size();
  }
  OCTET_ASSIGN_OR_RETURN(const Target target, FindTarget(options, model_hash, dataset.get()));
  if (!target.part.empty() && IsDone(options.output, target)) {
    std::fprintf(stderr, "octet: %s is complete, nothing to do\n", target.part.c_str());
    return 0;
  }
  if (dataset != nullptr) {
    input = ScoreInputOf(std::move(dataset));
  } else {
    input = ScoreInputOf(options.standard_input == "frames"   ? StandardInput::kFrames
                         : options.standard_input == "paths0" ? StandardInput::kNulls
                                                              : StandardInput::kLines);
  }
  RowSink sink;
  if (!target.rows.empty()) {
    if (!target.part.empty()) OCTET_RETURN_IF_ERROR(MakeFolder(options.output));
    OCTET_ASSIGN_OR_RETURN(sink, RowSink::Create(target.rows));
  }
  WatchForStop();
  for (int64_t i = 0; i < options.skip; ++i) {
    const Result<bool> more = input->Skip();
    if (more.ok() && !*more)
      return InvalidArgument(StrCat("--skip=", options.skip, ": there are only ", i, " images"));
  }
  if (total >= 0) total -= options.skip;
  const auto start = std::chrono::steady_clock::now();
  const Run run =
      ScoreAll(input.get(), &scorer, scorer_options.workers, options.skip, total, &sink);
  if (!run.status.ok()) {
    if (sink.is_file()) return run.status;
    return 1;
  }
  const ScoreReport& report = run.report;
  if (run.stopped) {
    const int64_t rows = options.skip + report.images;
    std::fprintf(stderr, "octet: stopped by signal %d behind %lld rows; %s\n", StopSignal(),
                 static_cast<long long>(rows),
                 sink.is_file() ? "nothing was written, the same command begins again"
                                : StrCat("--skip=", rows, " goes on").c_str());
    return 1;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::fprintf(
      stderr, "octet: %s images, %s of them with an error; %s images/s\n",
      Thousands(report.images).c_str(), Thousands(report.errors).c_str(),
      Thousands(static_cast<int64_t>(static_cast<double>(report.images) / std::max(seconds, 1e-9)))
          .c_str());
  if (options.strict && report.errors > 0) return 1;
  OCTET_RETURN_IF_ERROR(Finish(options, model_hash, target, run, &sink));
  return 0;
}

}  // namespace

int Score(const ScoreOptions& options) {
  const Result<int> code = ScoreOrFail(options);
  return code.ok() ? *code : Fail(code.status());
}

}  // namespace octet
