#include "engine/tools/scorer.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/tools/prepare_input.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/crc32.h"
#include "formats/data/sha256.h"
#include "formats/data/table.h"

namespace octet {
namespace {

/// A string of JSON; bytes that are not UTF-8 become U+FFFD.
std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// The shortest decimal number that is this float again: the same on every machine.
void AppendNumber(float value, std::string* out) {
  char digits[32];
  out->append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

std::string DigestOf(const Sample& sample, RowDigest digest) {
  const std::vector<uint8_t>& bytes = sample.origin.empty() ? sample.image.rgb : sample.encoded;
  if (digest == RowDigest::kSha256) {
    Sha256 hash;
    hash.Add(bytes);
    return hash.Hex();
  }
  char text[9];
  std::snprintf(text, sizeof(text), "%08x", static_cast<unsigned>(Crc32c(bytes)));
  return text;
}

}  // namespace

std::string KeyOf(const Sample& sample) {
  const bool is_file = !sample.origin.empty() && !sample.origin.ends_with(": " + sample.name);
  return is_file ? sample.origin : sample.name;
}

Result<Scorer> Scorer::Create(std::shared_ptr<const Model> model, const std::string& model_hash,
                              const ScorerOptions& options) {
  Scorer scorer(std::move(model), options);
  const ModelDescription& d = scorer.model_->Describe();
  if (d.inputs.size() != 1)
    return InvalidArgument(StrCat("the model has ", d.inputs.size(), " inputs, expected one"));
  const TensorDescription& out = d.outputs[0];
  scorer.classes_ = static_cast<int>(out.shape.back());
  if (out.num_elements() != static_cast<size_t>(scorer.classes_))
    return InvalidArgument(StrCat("output ", out.name, " is not one row of classes"));
  scorer.wanted_ = WantedBy(d, options.fast_decode);
  scorer.session_options_.isa = options.isa;
  scorer.options_.top = std::clamp(options.top, 1, scorer.classes_);
  scorer.workers_.resize(static_cast<size_t>(std::max(1, options.workers)));
  // The first one's errors are those of all.
  OCTET_ASSIGN_OR_RETURN(scorer.workers_[0].session,
                         Session::Create(scorer.model_, scorer.session_options_));

  const bool csv = options.format == RowFormat::kCsv;
  for (int i = 0; i < scorer.classes_; ++i) {
    const std::string label =
        static_cast<size_t>(i) < d.labels.size() ? d.labels[static_cast<size_t>(i)] : "";
    scorer.labels_.push_back(csv ? CsvField(label) : Quoted(label));
  }
  const char* digest = options.digest == RowDigest::kSha256 ? "sha256" : "crc32c";
  if (!csv) {
    scorer.end_ = StrCat(",\"model\":\"", model_hash, "\"}\n");
    return scorer;
  }
  scorer.end_ = StrCat(",", model_hash, "\n");
  scorer.header_ = "key";
  if (options.digest != RowDigest::kNone) scorer.header_ += StrCat(",", digest);
  for (int i = 1; i <= scorer.options_.top; ++i)
    scorer.header_ += StrCat(",index_", i, ",label_", i, ",probability_", i);
  scorer.header_ += ",margin,error,model\n";
  return scorer;
}

std::string Scorer::Begin(const Sample& sample) const {
  const std::string key = KeyOf(sample);
  // What could not be read has no bytes.
  const bool has_bytes = !sample.encoded.empty() || !sample.image.rgb.empty();
  const std::string digest = options_.digest != RowDigest::kNone && has_bytes
                                 ? DigestOf(sample, options_.digest)
                                 : std::string();
  if (options_.format == RowFormat::kCsv)
    return CsvField(key) + (options_.digest != RowDigest::kNone ? "," + digest : "");
  std::string text = "{\"key\":" + Quoted(key);
  if (!digest.empty()) {
    text += options_.digest == RowDigest::kSha256 ? ",\"sha256\":\"" : ",\"crc32c\":\"";
    text += digest + "\"";
  }
  return text;
}

Status Scorer::Classify(Sample* sample, Worker* worker, std::vector<Prediction>* top, double* ms) {
  if (sample->is_float())
    return InvalidArgument(StrCat(sample->name, ": holds numbers, expected a photo or pixels"));
  const bool encoded = !sample->origin.empty();
  if (encoded) {
    sample->image.rgb = std::move(worker->pixels);
    OCTET_RETURN_IF_ERROR(DecodeSample(model_->Describe().preprocessing.decoding, wanted_, sample));
  }
  if (worker->session == nullptr) {
    OCTET_ASSIGN_OR_RETURN(worker->session, Session::Create(model_, session_options_));
  }
  const Image image{sample->image.rgb.data(), sample->image.width, sample->image.height};
  const auto start = std::chrono::steady_clock::now();
  // The second best one is what the margin is over.
  Result<std::vector<Prediction>> best =
      worker->session->Classify(image, std::max(2, options_.top));
  *ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  if (encoded) worker->pixels = std::exchange(sample->image.rgb, {});
  if (!best.ok()) return Status(best.status()).WithContext(KeyOf(*sample));
  for (const Prediction& p : *best) {
    OCTET_RETURN_IF_ERROR(
        CheckFinite(std::span(&p.probability, 1)).WithContext(KeyOf(*sample) + ": output"));
  }
  *top = std::move(best).value();
  return OkStatus();
}

Scorer::Row Scorer::Score(Sample* sample, int worker) {
  Row row;
  std::vector<Prediction> top;
  const Status status =
      Classify(sample, &workers_[static_cast<size_t>(worker)], &top, &row.milliseconds);
  if (!status.ok()) return Failed(*sample, status);
  row.best = top[0].index;
  row.margin = top[0].probability - (top.size() > 1 ? top[1].probability : 0.0f);
  std::string& text = row.text = Begin(*sample);
  const bool csv = options_.format == RowFormat::kCsv;
  if (!csv) text += ",\"top\":[";
  for (size_t i = 0; i < static_cast<size_t>(options_.top); ++i) {
    const Prediction& p = top[i];
    text += csv ? "," : i == 0 ? "{\"index\":" : ",{\"index\":";
    text += std::to_string(p.index);
    text += csv ? "," : ",\"label\":";
    text += labels_[static_cast<size_t>(p.index)];
    text += csv ? "," : ",\"probability\":";
    AppendNumber(p.probability, &text);
    if (!csv) text += "}";
  }
  text += csv ? "," : "],\"margin\":";
  AppendNumber(row.margin, &text);
  if (csv) text += ",";
  text += end_;
  return row;
}

Scorer::Row Scorer::Failed(const Sample& sample, const Status& status) const {
  Row row;
  row.failed = true;
  row.text = Begin(sample);
  if (options_.format == RowFormat::kCsv) {
    row.text.append(static_cast<size_t>(3 * options_.top + 2), ',');
    row.text += CsvField(status.message());
  } else {
    row.text += ",\"error\":" + Quoted(status.message());
  }
  row.text += end_;
  return row;
}

}  // namespace octet
