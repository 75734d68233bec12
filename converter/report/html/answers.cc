#include "converter/report/html/answers.h"

#include <iterator>
#include <utility>

#include "converter/report/html/pictures.h"
#include "engine/src/model_impl.h"
#include "engine/src/runner.h"
#include "formats/base/macros.h"
#include "formats/data/image_writer.h"
#include "formats/model/input_meaning.h"

namespace octet {
namespace {

constexpr size_t kMostPhotos = 48;
constexpr int kThumbnail = 112, kQuality = 80, kSmall = 64, kSmallQuality = 92;

}  // namespace

AnswerRecorder::AnswerRecorder(std::span<const std::shared_ptr<const Model>> models,
                               ReportPage* page)
    : models_(models.begin(), models.end()), page_(*page), energies_(models.size()) {}

Status AnswerRecorder::Add(const std::string& name, int label,
                           std::span<const std::vector<float>> scores,
                           std::span<const float> input) {
  PagePhoto photo{name, label, {}, ""};
  const int classes = static_cast<int>(scores[0].size());
  const int known = label < classes ? label : -1;
  ++page_.samples;
  page_.labelled += known >= 0;
  bool changed = false;
  for (size_t i = 0; i < models_.size(); ++i) {
    PageModel& m = page_.models[i];
    photo.answers.push_back(
        BestFive(scores[i], EndsInProbabilities(GraphOf(*models_[i])), page_.labels)[0]);
    const int said = photo.answers[i].index, original = photo.answers[0].index;
    energies_[i].Add(scores[0], scores[i]);
    changed = changed || said != original;
    m.labels_kept += said == original;
    if (known < 0) continue;
    m.correct += said == known;
    m.lost += original == known && said != known;
    m.won += said == known && original != known;
    ++m.confusion[{known, said}];
  }
  const bool wrong = known >= 0 && photo.answers[0].index != known;
  std::vector<PagePhoto>& kind = photos_[changed ? 0 : wrong ? 1 : 2];
  if (kind.size() == kMostPhotos) return OkStatus();
  const Graph& g = GraphOf(*models_[0]);
  if (TakesPhotos(g.tensor(g.inputs[0]).shape)) {
    const DecodedImage small = Shrunk(SeenInput(g, input), kThumbnail);
    OCTET_ASSIGN_OR_RETURN(photo.jpeg,
                           EncodeJpeg(small, small.width > kSmall ? kQuality : kSmallQuality));
  }
  kind.push_back(std::move(photo));
  return OkStatus();
}

void AnswerRecorder::Finish() {
  for (size_t i = 0; i < models_.size(); ++i) page_.models[i].sqnr_db = energies_[i].Decibels();
  page_.photos_in_all = page_.samples;
  for (std::vector<PagePhoto>& kind : photos_)
    std::move(kind.begin(), kind.end(), std::back_inserter(page_.photos));
}

Status RecordAnswers(std::span<const std::shared_ptr<const Model>> models,
                     std::span<const NamedSample> samples, ReportPage* page) {
  AnswerRecorder recorder(models, page);
  std::vector<std::unique_ptr<GraphRunner>> runners;
  for (const std::shared_ptr<const Model>& model : models) {
    OCTET_ASSIGN_OR_RETURN(std::unique_ptr<GraphRunner> runner, GraphRunner::Create(model));
    runners.push_back(std::move(runner));
  }
  std::vector<std::vector<float>> scores(models.size());
  std::vector<uint8_t> input;
  for (const NamedSample& sample : samples) {
    const std::vector<float> values = sample.input.Floats();
    for (size_t i = 0; i < models.size(); ++i) {
      const ModelDescription description = models[i]->Describe();
      input.resize(description.inputs[0].num_bytes());
      description.inputs[0].FromFloats(values.data(), input.data());
      OCTET_RETURN_IF_ERROR(runners[i]->Run(input.data(), {}));
      scores[i].resize(description.outputs[0].num_elements());
      description.outputs[0].ToFloats(runners[i]->output(0).data(), scores[i].data());
    }
    OCTET_RETURN_IF_ERROR(recorder.Add(sample.name, sample.label, scores, values));
  }
  recorder.Finish();
  return OkStatus();
}

}  // namespace octet
