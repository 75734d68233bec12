// What `octet score` says of an image.
#ifndef OCTET_ENGINE_TOOLS_SCORER_H_
#define OCTET_ENGINE_TOOLS_SCORER_H_

#include <memory>
#include <string>
#include <vector>

#include "engine/include/octet/octet.h"
#include "formats/base/status.h"
#include "formats/data/dataset.h"

namespace octet {

enum class RowFormat { kJsonLines, kCsv };
enum class RowDigest { kNone, kCrc32c, kSha256 };

struct ScorerOptions {
  int top = 5;  ///< Classes of a row; at most the model's.
  RowFormat format = RowFormat::kJsonLines;
  RowDigest digest = RowDigest::kCrc32c;  ///< Of the bytes of an image.
  std::string isa;
  bool fast_decode = false;  ///< As Wanted says.
  int workers = 1;
};

/// Scores images by several threads at once. A row depends on the image, the model and the options
/// alone, and for models whose outputs are exact (octet.h) not on the machine either.
class Scorer {
 public:
  struct Row {
    std::string text;  ///< With a line break.
    bool failed = false;
    int best = -1;              ///< Class; -1 of an image that failed.
    float margin = 0.0f;        ///< Of the best probability over the next one.
    double milliseconds = 0.0;  ///< To prepare and classify it when it was decoded.
  };

  /// `model_hash` stands in each row. Errors: kInvalidArgument for a model that is no classifier of
  /// one image; those of Session::Create.
  static Result<Scorer> Create(std::shared_ptr<const Model> model, const std::string& model_hash,
                               const ScorerOptions& options);

  const Model& model() const { return *model_; }
  int classes() const { return classes_; }

  /// The line above rows of CSV, with a line break; empty for JSON.
  const std::string& header() const { return header_; }

  /// Of a sample as Dataset::Read gives it, whose pixels take the place of what `sample` has. For
  /// one thread at a time with each `worker`.
  Row Score(Sample* sample, int worker);
  /// Of one that could not be read.
  Row Failed(const Sample& sample, const Status& status) const;

 private:
  Scorer(std::shared_ptr<const Model> model, const ScorerOptions& options)
      : model_(std::move(model)), options_(options) {}

  struct Worker {
    std::unique_ptr<Session> session;
    std::vector<uint8_t> pixels;  ///< Memory of the last image.
  };
  Status Classify(Sample* sample, Worker* worker, std::vector<Prediction>* top, double* ms);
  /// Key and digest, as a row begins.
  std::string Begin(const Sample& sample) const;

  std::shared_ptr<const Model> model_;
  ScorerOptions options_;
  SessionOptions session_options_;
  Wanted wanted_;
  int classes_ = 0;
  std::string header_, end_;         ///< `end_`: the model's hash, as a row ends.
  std::vector<std::string> labels_;  ///< As rows have them.
  std::vector<Worker> workers_;
};

/// What names a photo: its path where it is a file of its own, else its name in the data.
std::string KeyOf(const Sample& sample);

}  // namespace octet

#endif  // OCTET_ENGINE_TOOLS_SCORER_H_
