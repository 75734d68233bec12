// `octet evaluate`. Every sample is read once: workers decode it and make the inputs of all models,
// then one model after the other runs on it, which alone is timed. Reports follow when the data has
// ended.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <span>

#include "converter/report/html/answers.h"
#include "converter/report/html/page.h"
#include "converter/report/html/pictures.h"
#include "converter/report/html/provenance.h"
#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "engine/tools/evaluation.h"
#include "engine/tools/parts.h"
#include "engine/tools/prepare_input.h"
#include "formats/base/file.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset.h"
#include "formats/data/npy.h"
#include "formats/data/program.h"
#include "formats/data/progress.h"
#include "formats/data/read_ahead.h"
#include "formats/data/sha256.h"
#include "formats/data/table.h"
#include "formats/data/warnings.h"
#include "formats/model/input_meaning.h"

namespace octet {
namespace {

/// One model and what it says.
struct Contender : EvaluatedModel {
  using EvaluatedModel::EvaluatedModel;

  std::unique_ptr<Session> session;
  ModelDescription description;
  bool softmax = false;  ///< Its scores are no probabilities yet.
  std::vector<std::vector<uint8_t>> outputs;
  std::vector<float> scores, probabilities;  ///< Of this sample.
  int predicted = -1;                        ///< Of this sample.
  // Of all, if they are wanted.
  bool keep_scores = false, keep_predictions = false;
  std::vector<float> kept_scores, kept_confidence;
  std::vector<int> kept_predicted;
};

/// A sample with the inputs of all contenders.
struct Prepared : Sample {
  std::vector<std::vector<uint8_t>> inputs;
};

/// The lead of the best class over the next one, of probabilities.
float Margin(Contender* c) {
  std::vector<float>& p = c->probabilities;
  p = c->scores;
  if (c->softmax)
    Internals::Of(*c->session).table->softmax(p.data(), p.data(), static_cast<int>(p.size()));
  std::partial_sort(p.begin(), p.begin() + std::min<std::ptrdiff_t>(2, std::ssize(p)), p.end(),
                    std::greater<float>());
  return p.size() > 1 ? p[0] - p[1] : p[0];
}

/// Runs one sample; the time is that of the network alone, without decoding and resizing.
Status RunSample(Contender* c, const Sample& sample, const void* input) {
  std::vector<void*> outputs;
  for (std::vector<uint8_t>& o : c->outputs) outputs.push_back(o.data());
  const auto start = std::chrono::steady_clock::now();
  OCTET_RETURN_IF_ERROR(c->session->Run(&input, outputs.data(), 1));
  c->latency.Add(
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  std::vector<float>& scores = c->scores;
  scores.resize(c->classes());
  c->description.outputs[0].ToFloats(c->outputs[0].data(), scores.data());
  // Nothing compares with a NaN: the first class would win.
  OCTET_RETURN_IF_ERROR(
      CheckFinite(scores).WithContext(StrCat(sample.name, ": output of ", c->path)));
  if (c->keep_scores) c->kept_scores.insert(c->kept_scores.end(), scores.begin(), scores.end());
  const auto best = std::max_element(scores.begin(), scores.end());
  c->predicted = static_cast<int>(best - scores.begin());
  if (c->keep_predictions) {
    c->kept_predicted.push_back(c->predicted);
    c->kept_confidence.push_back(*best);
  }
  c->margins.Add(Margin(c));
  return OkStatus();
}

/// Counts the last answer. Of equal scores the first counts as the higher one, as in RunSample.
Status Count(Contender* c, const Sample& sample) {
  const size_t label = static_cast<size_t>(sample.label);
  if (label >= c->classes()) {
    return InvalidArgument(StrCat(sample.name, ": label ", label, ", but ", c->path, " knows ",
                                  c->classes(), " classes, counted from 0"));
  }
  size_t better = 0;
  for (size_t i = 0; i < c->classes(); ++i)
    better += c->scores[i] > c->scores[label] || (c->scores[i] == c->scores[label] && i < label);
  c->correct += better == 0;
  c->in_top5 += better < 5;
  ++c->confusion[label][static_cast<size_t>(c->predicted)];
  return OkStatus();
}

Result<Contender> OpenContender(const EvaluateOptions& options, size_t i) {
  const std::string& path = options.models[i];
  OCTET_ASSIGN_OR_RETURN(
      std::unique_ptr<Session> session,
      OpenSession(options.contents.empty()
                      ? LoadModel(path)
                      : Model::FromMemory(options.contents[i].data(), options.contents[i].size()),
                  options.threads, options.isa));
  const ModelDescription& description = session->GetModel().Describe();
  if (description.inputs.size() != 1) {
    return InvalidArgument(
        StrCat(path, ": has ", description.inputs.size(), " inputs, evaluation needs one"));
  }
  const TensorDescription& out = description.outputs[0];
  const size_t classes = static_cast<size_t>(out.shape.back());
  if (out.num_elements() != classes)
    return InvalidArgument(StrCat(path, ": output ", out.name, " is not one row of classes"));
  Contender c(classes);
  c.path = path;
  c.precision = PrecisionName(description.precision);
  c.file_size = description.file_size;
  c.labels = description.labels;
  c.description = description;
  for (const TensorDescription& t : description.outputs) c.outputs.emplace_back(t.num_bytes());
  c.keep_scores = !options.outputs.empty();
  c.keep_predictions = !options.predictions.empty();
  const Graph& graph = GraphOf(session->GetModel());
  c.softmax = !EndsInProbabilities(graph);
  const InputMeaning meaning = MeaningOfInput(graph);
  c.input = meaning.text;
  c.pixels = meaning.preprocessing;
  c.doubt = meaning.doubt;
  c.session = std::move(session);
  return c;
}

/// Those of the models that have labels, which must be the same: data has one label for all.
Result<std::vector<std::string>> CommonLabels(const std::vector<Contender>& contenders) {
  const Contender* first = nullptr;
  for (const Contender& c : contenders) {
    const std::vector<std::string>& labels = c.description.labels;
    if (labels.empty()) continue;
    if (first == nullptr) first = &c;
    const std::vector<std::string>& expected = first->description.labels;
    if (labels.size() != expected.size()) {
      return InvalidArgument(
          StrCat(c.path, ": has ", labels.size(), " labels, ", first->path, " ", expected.size()));
    }
    const auto [a, b] = std::mismatch(labels.begin(), labels.end(), expected.begin());
    if (a != labels.end()) {
      return InvalidArgument(StrCat(c.path, ": label ", a - labels.begin(), " is '", *a,
                                    "', that of ", first->path, " is '", *b, "'"));
    }
  }
  return first != nullptr ? first->description.labels : std::vector<std::string>();
}

/// What was read.
struct DataSummary {
  Evaluation evaluation;  ///< But for the models.
  // If they are wanted.
  std::vector<std::string> names;
  std::vector<int> labels;
  std::string description;
};

Result<std::unique_ptr<Dataset>> OpenData(const EvaluateOptions& options,
                                          const std::vector<std::string>& model_labels) {
  DatasetOptions dataset_options;
  dataset_options.labels = model_labels;
  dataset_options.npy_labels = options.npy_labels;
  dataset_options.need_labels = true;
  dataset_options.raw = options.raw;
  dataset_options.shard = options.shard.value_or(Shard());
  return OpenDataset(options.data, dataset_options);
}

Result<DataSummary> RunAll(const EvaluateOptions& options, Dataset* dataset,
                           std::vector<Contender>* contenders, AnswerRecorder* recorder) {
  std::vector<InputMaker> makers;
  for (Contender& c : *contenders) makers.emplace_back(c.session.get(), options.fast_decode);
  ReadAhead<Prepared> samples(
      [&](Prepared* sample) { return dataset->Read(sample); },
      [&](Prepared* sample, int worker) -> Status {
        for (size_t i = 0; i < makers.size(); ++i) {
          // Models of one network mostly want the same pixels.
          if (i == 0 || makers[i].decoding() != makers[i - 1].decoding() ||
              makers[i].wanted() != makers[i - 1].wanted()) {
            OCTET_RETURN_IF_ERROR(DecodeSample(makers[i].decoding(), makers[i].wanted(), sample));
          }
          const Contender& c = (*contenders)[i];
          sample->inputs.emplace_back(c.description.inputs[0].num_bytes());
          OCTET_RETURN_IF_ERROR(
              makers[i]
                  .Make(*sample, options.raw, worker, sample->inputs.back().data())
                  .WithContext(StrCat(sample->name, ": ", c.path)));
        }
        return OkStatus();
      });
  DataSummary data;
  Evaluation& e = data.evaluation;
  Progress progress("evaluating", dataset->size(), /*rate=*/true);
  for (Prepared sample;;) {
    OCTET_ASSIGN_OR_RETURN(const bool more, samples.Next(&sample));
    if (!more) break;
    for (size_t i = 0; i < contenders->size(); ++i) {
      Contender* c = &(*contenders)[i];
      OCTET_RETURN_IF_ERROR(RunSample(c, sample, sample.inputs[i].data()));
      c->as_first += c->predicted == (*contenders)[0].predicted;
      if (sample.label >= 0) OCTET_RETURN_IF_ERROR(Count(c, sample));
    }
    if (recorder != nullptr) {
      const TensorDescription& in = (*contenders)[0].description.inputs[0];
      std::vector<float> input(in.num_elements());
      in.ToFloats(sample.inputs[0].data(), input.data());
      std::vector<std::vector<float>> scores;
      for (const Contender& c : *contenders) scores.push_back(c.scores);
      OCTET_RETURN_IF_ERROR(recorder->Add(sample.name, sample.label, scores, input));
    }
    e.has_pixels = e.has_pixels || !sample.is_float();
    e.labelled += sample.label >= 0;
    if (!options.predictions.empty()) {
      data.names.push_back(sample.name);
      data.labels.push_back(sample.label);
    }
    progress.Update(++e.total);
  }
  if (e.total == 0 && !options.shard)
    return InvalidArgument(StrCat(options.data[0], ": holds no sample"));
  e.data = options.data;
  e.kind = dataset->kind();
  e.parts = dataset->parts();
  e.evidence = dataset->label_evidence();
  e.isas = {(*contenders)[0].session->Isa()};
  e.threads = options.threads;
  e.fast_decode = options.fast_decode;
  data.description = dataset->description();
  return data;
}

Status WritePredictions(const std::string& path, const std::vector<Contender>& contenders,
                        const std::vector<std::string>& names, const std::vector<int>& labels) {
  std::string csv = "image,label";
  for (const Contender& c : contenders)
    csv += "," + CsvField(c.path) + "," + CsvField(c.path + " score");
  csv += "\n";
  for (size_t i = 0; i < names.size(); ++i) {
    csv += CsvField(names[i]) + "," + CsvField(contenders[0].LabelName(labels[i]));
    for (const Contender& c : contenders)
      csv += "," + CsvField(c.LabelName(c.kept_predicted[i])) + "," + StrCat(c.kept_confidence[i]);
    csv += "\n";
  }
  return WriteFileAtomically(path, std::as_bytes(std::span(csv.data(), csv.size())));
}

/// A model for each contender, for a recorder.
Status OpenPage(const std::vector<Contender>& contenders, const std::vector<std::string>& labels,
                ReportPage* page) {
  page->labels = labels;
  page->title = contenders[0].description.name;
  for (const Contender& c : contenders) {
    if (c.classes() != contenders[0].classes()) {
      return InvalidArgument(StrCat("--report: ", c.path, " has ", c.classes(), " classes, ",
                                    contenders[0].path, " ", contenders[0].classes()));
    }
    PageModel& m = page->models.emplace_back();
    m.name = c.path;
    m.precision = PrecisionName(c.description.precision);
    m.bytes = c.description.file_size;
  }
  return OkStatus();
}

/// What is known at the end.
Status FillPage(const EvaluateOptions& options, const std::vector<Contender>& contenders,
                const DataSummary& data, const Warnings& warnings, ReportPage* page) {
  page->data = data.description;
  page->warnings = warnings.texts();
  for (size_t i = 0; i < contenders.size(); ++i)
    page->models[i].ms = contenders[i].latency.Quantile(0.5);
  OCTET_RETURN_IF_ERROR(
      ShowPreparation(options.data, GraphOf(contenders[0].session->GetModel()), page));
  std::string paths;
  for (const std::string& path : options.data) paths += (paths.empty() ? "" : ", ") + path;
  page->provenance.emplace_back(
      "Data", StrCat(paths, ": ", data.description, ", ", data.evaluation.labelled, " of ",
                     data.evaluation.total,
                     " samples labelled; labels: ", data.evaluation.evidence.Source()));
  page->provenance.emplace_back("Threads", std::to_string(options.threads));
  return OkStatus();
}

/// The files of a page of its own.
Result<std::string> PageOf(const EvaluateOptions& options, const std::vector<Contender>& contenders,
                           ReportPage page) {
  page.command = options.command;
  for (const Contender& c : contenders) {
    OCTET_RETURN_IF_ERROR(
        AddDigest(StrCat("Model, ", PrecisionName(c.description.precision)), c.path, &page));
  }
  OCTET_RETURN_IF_ERROR(AddMachine(contenders[0].session->Isa(), &page));
  return PageHtml(page);
}

/// Errors: those of reading the files.
Result<PartIdentity> IdentityOf(const EvaluateOptions& options, const Dataset& dataset) {
  PartIdentity id;
  id.kind = "evaluate";
  for (const std::string& path : options.models) {
    OCTET_ASSIGN_OR_RETURN(std::string hash, Sha256OfFile(path));
    id.models.push_back(std::move(hash));
  }
  OCTET_ASSIGN_OR_RETURN(id.data, dataset.Fingerprint());
  id.shard = options.shard.value_or(Shard());
  id.settings = {{"version", OCTET_VERSION},
                 {"raw", options.raw ? "yes" : "no"},
                 {"threads", std::to_string(options.threads)},
                 {"fast_decode", options.fast_decode ? "yes" : "no"}};
  return id;
}

bool IsDone(const std::string& folder, const PartIdentity& identity) {
  const Result<ResultPart> part = ReadPartOf(folder, identity);
  return part.ok() && ParseEvaluationPart(*part).ok();
}

}  // namespace

Result<std::string> EvaluationText(const EvaluateOptions& options) {
  if (!options.report.empty()) OCTET_RETURN_IF_ERROR(CheckOutput(options.report));
  std::vector<Contender> contenders;
  for (size_t i = 0; i < options.models.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(Contender c, OpenContender(options, i));
    contenders.push_back(std::move(c));
  }
  OCTET_ASSIGN_OR_RETURN(const std::vector<std::string> labels, CommonLabels(contenders));
  ReportPage own;
  ReportPage* page = options.page != nullptr ? options.page : &own;
  std::optional<AnswerRecorder> recorder;
  if (options.page != nullptr || !options.report.empty()) {
    OCTET_RETURN_IF_ERROR(OpenPage(contenders, labels, page));
    std::vector<std::shared_ptr<const Model>> models;
    for (const Contender& c : contenders) models.push_back(Internals::Of(*c.session).model);
    recorder.emplace(models, page);
  }
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> dataset, OpenData(options, labels));
  PartIdentity identity;
  if (!options.output.empty()) {
    OCTET_ASSIGN_OR_RETURN(identity, IdentityOf(options, *dataset));
    if (IsDone(options.output, identity))
      return StrCat(PartPath(options.output, identity), ": complete, nothing to do\n");
  }
  OCTET_ASSIGN_OR_RETURN(DataSummary data, RunAll(options, dataset.get(), &contenders,
                                                  recorder ? &*recorder : nullptr));
  Evaluation& evaluation = data.evaluation;
  evaluation.labels = labels;
  for (const Contender& c : contenders) evaluation.models.push_back(c);
  if (!options.output.empty()) {
    OCTET_RETURN_IF_ERROR(MakeFolder(options.output));
    OCTET_RETURN_IF_ERROR(WritePart(options.output, identity, EvaluationPartJson(evaluation)));
    return PartPath(options.output, identity) + "\n";
  }

  Warnings warnings;
  AddDoubts(evaluation, &warnings);
  OCTET_RETURN_IF_ERROR(warnings.Report(options.program, options.strict));
  if (recorder) {
    recorder->Finish();
    OCTET_RETURN_IF_ERROR(FillPage(options, contenders, data, warnings, page));
  }
  if (!options.report.empty()) {
    OCTET_ASSIGN_OR_RETURN(const std::string html, PageOf(options, contenders, std::move(own)));
    OCTET_RETURN_IF_ERROR(WriteFileAtomically(options.report, std::as_bytes(std::span(html))));
  }
  if (!options.predictions.empty()) {
    OCTET_RETURN_IF_ERROR(
        WritePredictions(options.predictions, contenders, data.names, data.labels));
  }
  if (!options.outputs.empty()) {
    const Contender& c = contenders[0];
    OCTET_RETURN_IF_ERROR(WriteNpy(options.outputs,
                                   {evaluation.total, static_cast<int64_t>(c.classes())},
                                   std::span<const float>(c.kept_scores)));
  }
  return options.json ? EvaluationJson(evaluation, warnings) + "\n"
                      : EvaluationTable(evaluation, options.confusion);
}

int Evaluate(const EvaluateOptions& options) {
  const Result<std::string> text = EvaluationText(options);
  if (!text.ok()) return Fail(text.status());
  std::fputs(text->c_str(), stdout);
  return 0;
}

}  // namespace octet
