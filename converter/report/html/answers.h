// What several networks answer to the same samples, for a report's page.
#ifndef OCTET_CONVERTER_REPORT_HTML_ANSWERS_H_
#define OCTET_CONVERTER_REPORT_HTML_ANSWERS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "converter/calibrate/sample_source.h"
#include "converter/report/html/page.h"
#include "engine/include/octet/octet.h"

namespace octet {

class AnswerRecorder {
 public:
  /// For `page`, which has a model for each of `models`, in their order.
  AnswerRecorder(std::span<const std::shared_ptr<const Model>> models, ReportPage* page);

  /// What each answered to a sample; `input` is what the first one was given.
  Status Add(const std::string& name, int label, std::span<const std::vector<float>> scores,
             std::span<const float> input);

  /// Gives the page its samples, and each model what it kept and met.
  void Finish();

 private:
  std::vector<std::shared_ptr<const Model>> models_;
  ReportPage& page_;
  std::vector<Energies> energies_;
  /// Changed ones, wrong ones, and the rest, as many as a page may have.
  std::array<std::vector<PagePhoto>, 3> photos_;
};

/// Runs the models, which all take the same input, on `samples`, and finishes.
Status RecordAnswers(std::span<const std::shared_ptr<const Model>> models,
                     std::span<const NamedSample> samples, ReportPage* page);

}  // namespace octet

#endif  // OCTET_CONVERTER_REPORT_HTML_ANSWERS_H_
