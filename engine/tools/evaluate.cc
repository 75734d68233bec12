// `octet evaluate`. Every sample is read once: workers decode it and make the inputs of all models,
// then one model after the other runs on it, which alone is timed. Reports follow when the data has
// ended.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>

#include "converter/report/html/answers.h"
#include "converter/report/html/page.h"
#include "converter/report/html/pictures.h"
#include "converter/report/html/provenance.h"
#include "converter/report/verdict.h"
#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "engine/tools/prepare_input.h"
#include "formats/base/file.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/median.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset.h"
#include "formats/data/npy.h"
#include "formats/data/program.h"
#include "formats/data/progress.h"
#include "formats/data/read_ahead.h"
#include "formats/data/table.h"
#include "formats/data/warnings.h"
#include "formats/model/input_meaning.h"

namespace octet {
namespace {

/// One model and what it said so far.
struct Contender {
  std::string path;
  std::unique_ptr<Session> session;
  ModelDescription description;
  InputMeaning meaning;
  std::vector<int> predicted;
  std::vector<float> confidence;
  std::vector<double> milliseconds;
  std::vector<std::vector<uint8_t>> outputs;
  bool keep_scores = false;
  std::vector<float> scores, kept_scores;  ///< Of this sample; of all, if they are wanted.
  int correct = 0, in_top5 = 0;
  std::vector<std::vector<int>> confusion;  ///< [true][predicted]

  size_t classes() const { return confusion.size(); }
  double median_ms() const { return Median(milliseconds); }
};

/// A sample with the inputs of all contenders.
struct Prepared : Sample {
  std::vector<std::vector<uint8_t>> inputs;
};

/// Runs one sample; the time is that of the network alone, without decoding and resizing.
Status RunSample(Contender* c, const Sample& sample, const void* input) {
  std::vector<void*> outputs;
  for (std::vector<uint8_t>& o : c->outputs) outputs.push_back(o.data());
  const auto start = std::chrono::steady_clock::now();
  OCTET_RETURN_IF_ERROR(c->session->Run(&input, outputs.data(), 1));
  c->milliseconds.push_back(
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  std::vector<float>& scores = c->scores;
  scores.resize(c->classes());
  c->description.outputs[0].ToFloats(c->outputs[0].data(), scores.data());
  // Nothing compares with a NaN: the first class would win.
  OCTET_RETURN_IF_ERROR(
      CheckFinite(scores).WithContext(StrCat(sample.name, ": output of ", c->path)));
  if (c->keep_scores) c->kept_scores.insert(c->kept_scores.end(), scores.begin(), scores.end());
  const auto best = std::max_element(scores.begin(), scores.end());
  c->predicted.push_back(static_cast<int>(best - scores.begin()));
  c->confidence.push_back(*best);
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
  ++c->confusion[label][static_cast<size_t>(c->predicted.back())];
  return OkStatus();
}

Result<Contender> OpenContender(const EvaluateOptions& options, size_t i) {
  Contender c;
  c.path = options.models[i];
  const std::string& path = c.path;
  OCTET_ASSIGN_OR_RETURN(c.session, OpenSession(options.contents.empty()
                                                    ? LoadModel(path)
                                                    : Model::FromMemory(options.contents[i].data(),
                                                                        options.contents[i].size()),
                                                options.threads, options.isa));
  c.description = c.session->GetModel().Describe();
  if (c.description.inputs.size() != 1) {
    return InvalidArgument(
        StrCat(path, ": has ", c.description.inputs.size(), " inputs, evaluation needs one"));
  }
  const TensorDescription& out = c.description.outputs[0];
  const size_t classes = static_cast<size_t>(out.shape.back());
  if (out.num_elements() != classes)
    return InvalidArgument(StrCat(path, ": output ", out.name, " is not one row of classes"));
  for (const TensorDescription& t : c.description.outputs) c.outputs.emplace_back(t.num_bytes());
  c.confusion.assign(classes, std::vector<int>(classes, 0));
  c.keep_scores = !options.outputs.empty();
  c.meaning = MeaningOfInput(GraphOf(c.session->GetModel()));
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

/// What was read, for the report.
struct DataSummary {
  std::vector<std::string> names;
  std::vector<int> labels;
  std::string description, label_source;
  int64_t parts = 0;
  int labelled = 0;
  bool has_pixels = false;
  int total() const { return static_cast<int>(names.size()); }
};

Result<DataSummary> RunAll(const EvaluateOptions& options, std::vector<std::string> model_labels,
                           std::vector<Contender>* contenders, AnswerRecorder* recorder) {
  DatasetOptions dataset_options;
  dataset_options.labels = std::move(model_labels);
  dataset_options.npy_labels = options.npy_labels;
  dataset_options.need_labels = true;
  dataset_options.raw = options.raw;
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> dataset,
                         OpenDataset(options.data, dataset_options));
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
  Progress progress("evaluating", dataset->size());
  for (Prepared sample;;) {
    OCTET_ASSIGN_OR_RETURN(const bool more, samples.Next(&sample));
    if (!more) break;
    for (size_t i = 0; i < contenders->size(); ++i) {
      Contender* c = &(*contenders)[i];
      OCTET_RETURN_IF_ERROR(RunSample(c, sample, sample.inputs[i].data()));
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
    data.has_pixels = data.has_pixels || !sample.is_float();
    data.labelled += sample.label >= 0;
    data.names.push_back(sample.name);
    data.labels.push_back(sample.label);
    progress.Update(data.total());
  }
  if (data.names.empty()) return InvalidArgument(StrCat(options.data[0], ": holds no sample"));
  data.description = dataset->description();
  data.label_source = dataset->label_evidence().Source();
  data.parts = dataset->parts();
  return data;
}

std::string LabelName(const Contender& c, int index) {
  if (index < 0) return "?";
  return index < static_cast<int>(c.description.labels.size())
             ? c.description.labels[static_cast<size_t>(index)]
             : std::to_string(index);
}

Status WritePredictions(const std::string& path, const std::vector<Contender>& contenders,
                        const std::vector<std::string>& names, const std::vector<int>& labels) {
  std::string csv = "image,label";
  for (const Contender& c : contenders)
    csv += "," + CsvField(c.path) + "," + CsvField(c.path + " score");
  csv += "\n";
  for (size_t i = 0; i < names.size(); ++i) {
    csv += CsvField(names[i]) + "," + CsvField(LabelName(contenders[0], labels[i]));
    for (const Contender& c : contenders)
      csv += "," + CsvField(LabelName(c, c.predicted[i])) + "," + StrCat(c.confidence[i]);
    csv += "\n";
  }
  return WriteFileAtomically(path, std::as_bytes(std::span(csv.data(), csv.size())));
}

std::string ConfusionText(const Contender& c) {
  std::vector<std::string> names, numbers;
  for (size_t i = 0; i < c.classes(); ++i) {
    names.push_back(LabelName(c, static_cast<int>(i)));
    numbers.push_back(std::to_string(i));
  }
  // Numbers are narrower than names.
  for (const bool by_name : {true, false}) {
    std::vector<Table::Column> columns{{.title = ""}};
    for (size_t i = 0; i < c.classes(); ++i)
      columns.push_back({.title = by_name ? names[i] : numbers[i]});
    Table table(columns);
    for (size_t i = 0; i < c.classes(); ++i) {
      std::vector<std::string> row{
          by_name || names[i] == numbers[i] ? names[i] : StrCat(names[i], " ", numbers[i])};
      for (int n : c.confusion[i]) row.push_back(std::to_string(n));
      table.Add(row);
    }
    const std::string text = table.Text();
    if (text.find('\n') > Table::Limit()) continue;
    return StrCat("\n", c.path, ": rows are true classes, columns what it said\n", text);
  }
  return "";
}

int Agreement(const Contender& a, const Contender& b) {
  int same = 0;
  for (size_t i = 0; i < a.predicted.size(); ++i) same += a.predicted[i] == b.predicted[i];
  return same;
}

std::string Json(const std::vector<Contender>& contenders, const std::vector<std::string>& labels,
                 const DataSummary& data, const EvaluateOptions& options,
                 const Warnings& warnings) {
  using nlohmann::ordered_json;
  // Of no labelled samples there is no share.
  const auto share = [&](int n) {
    return data.labelled > 0 ? ordered_json(static_cast<double>(n) / data.labelled)
                             : ordered_json();
  };
  ordered_json models = ordered_json::array();
  for (const Contender& c : contenders) {
    models.push_back(
        {{"path", c.path},
         {"precision", PrecisionName(c.description.precision)},
         {"input_meaning", c.meaning.text},
         {"preprocessing", c.meaning.preprocessing},
         {"size_bytes", c.description.file_size},
         {"correct", c.correct},
         {"total", data.labelled},
         {"top1", share(c.correct)},
         {"top5", c.classes() > 5 ? share(c.in_top5) : ordered_json()},
         {"agreement", static_cast<double>(Agreement(contenders[0], c)) / data.total()},
         {"median_ms", c.median_ms()},
         {"confusion", c.confusion}});
  }
  ordered_json known;
  if (!labels.empty())
    known = {{"count", labels.size()}, {"first", labels.front()}, {"last", labels.back()}};
  return ordered_json{{"data",
                       {{"paths", options.data},
                        {"files", data.parts},
                        {"samples", data.total()},
                        {"labelled", data.labelled},
                        {"fast_decode", options.fast_decode},
                        {"labels", data.label_source}}},
                      {"labels", std::move(known)},
                      {"isa", contenders[0].session->Isa()},
                      {"threads", options.threads},
                      {"models", std::move(models)},
                      {"warnings", warnings.texts()}}
      .dump(1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string TableText(const std::vector<Contender>& contenders,
                      const std::vector<std::string>& labels, const DataSummary& data,
                      const EvaluateOptions& options) {
  std::string paths;
  for (const std::string& path : options.data) paths += (paths.empty() ? "" : ", ") + path;
  std::string text = StrCat("data:    ", paths, ": ", data.description, ", ", data.labelled, " of ",
                            data.total(), " samples labelled; labels: ", data.label_source, "\n");
  for (const Contender& c : contenders) {
    // Models of one network mostly read the same; each other one is told.
    const InputMeaning& first = contenders[0].meaning;
    if (&c != &contenders[0] && c.meaning.text == first.text &&
        c.meaning.preprocessing == first.preprocessing)
      continue;
    const std::string of = contenders.size() > 1 ? c.path + ": " : "";
    text += StrCat("input:   ", of, c.meaning.text, "\n");
    if (data.has_pixels)
      text += StrCat("pixels:  ", of, c.meaning.preprocessing,
                     options.fast_decode ? kFastDecodeText : "", "\n");
  }
  text += labels.empty() ? "labels:  the model has none\n"
                         : StrCat("labels:  ", labels.size(), ", '", labels.front(), "' to '",
                                  labels.back(), "'\n");
  text += StrCat("run by:  ", contenders[0].session->Isa(), ", ", options.threads, " thread",
                 options.threads == 1 ? "" : "s", "\n\n");
  std::vector<std::string> names;
  bool top5 = false;
  for (const Contender& c : contenders) {
    names.push_back(c.path);
    top5 = top5 || c.classes() > 5;
  }
  if (const std::string common = CutCommonFolder(&names); !common.empty())
    text += StrCat("models in ", common, "\n");
  std::vector<Table::Column> columns{{.title = "model", .left = true, .shrink_to = 8},
                                     {.title = "precision", .left = true},
                                     {.title = "bytes"},
                                     {.title = "correct"},
                                     {.title = "top-1"}};
  if (top5) columns.push_back({.title = "top-5"});
  columns.push_back({.title = "as first"});
  columns.push_back({.title = "median ms"});
  Table table(columns);
  const auto share = [](int n, int of) { return of > 0 ? Fixed(100.0 * n / of, 2) + " %" : "-"; };
  for (size_t i = 0; i < contenders.size(); ++i) {
    const Contender& c = contenders[i];
    std::vector<std::string> row{
        names[i], PrecisionName(c.description.precision), Thousands(c.description.file_size),
        data.labelled > 0 ? std::to_string(c.correct) : "-", share(c.correct, data.labelled)};
    if (top5) row.push_back(c.classes() > 5 ? share(c.in_top5, data.labelled) : "-");
    row.push_back(Fixed(100.0 * Agreement(contenders[0], c) / data.total(), 1) + " %");
    row.push_back(Fixed(c.median_ms(), 3));
    table.Add(row);
  }
  text += table.Text();
  if (data.labelled == 0 || (contenders.size() > 1 && !options.confusion)) return text;
  for (const Contender& c : contenders) {
    if (c.classes() <= 20) text += ConfusionText(c);
  }
  return text;
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
  for (size_t i = 0; i < contenders.size(); ++i) page->models[i].ms = contenders[i].median_ms();
  OCTET_RETURN_IF_ERROR(
      ShowPreparation(options.data, GraphOf(contenders[0].session->GetModel()), page));
  std::string paths;
  for (const std::string& path : options.data) paths += (paths.empty() ? "" : ", ") + path;
  page->provenance.emplace_back(
      "Data", StrCat(paths, ": ", data.description, ", ", data.labelled, " of ", data.total(),
                     " samples labelled; labels: ", data.label_source));
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
  OCTET_ASSIGN_OR_RETURN(const DataSummary data,
                         RunAll(options, labels, &contenders, recorder ? &*recorder : nullptr));

  Warnings warnings;
  if (data.labelled > 0 && data.labelled < data.total()) {
    warnings.Add(StrCat(options.data[0], ": ", data.total() - data.labelled, " of ", data.total(),
                        " samples have no label and do not count"));
  }
  for (const Contender& c : contenders) {
    if (data.has_pixels && !c.meaning.doubt.empty())
      warnings.Add(StrCat(c.path, ": ", c.meaning.doubt));
    const std::string doubt =
        AccuracyDoubt(c.correct, data.labelled, static_cast<int64_t>(c.classes()));
    if (!doubt.empty()) warnings.Add(StrCat(c.path, ": ", doubt));
  }
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
                                   {data.total(), static_cast<int64_t>(c.classes())},
                                   std::span<const float>(c.kept_scores)));
  }
  return options.json ? Json(contenders, labels, data, options, warnings) + "\n"
                      : TableText(contenders, labels, data, options);
}

int Evaluate(const EvaluateOptions& options) {
  const Result<std::string> text = EvaluationText(options);
  if (!text.ok()) return Fail(text.status());
  std::fputs(text->c_str(), stdout);
  return 0;
}

}  // namespace octet
