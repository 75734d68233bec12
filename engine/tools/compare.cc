// `octet compare`: two models of one network, layer by layer, or one model and its framework.
#include "converter/report/compare.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "converter/calibrate/sample_source.h"
#include "converter/report/html/answers.h"
#include "converter/report/html/page.h"
#include "converter/report/html/pictures.h"
#include "converter/report/html/provenance.h"
#include "converter/report/layers.h"
#include "converter/report/report.h"
#include "engine/src/model_impl.h"
#include "engine/src/runner.h"
#include "engine/tools/commands.h"
#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/program.h"
#include "formats/data/progress.h"
#include "formats/data/table.h"
#include "formats/data/warnings.h"
#include "formats/model/input_meaning.h"

namespace octet {
namespace {

using Json = nlohmann::ordered_json;

/// What is printed of changed photos and of channels; JSON has all.
constexpr size_t kMostRows = 20, kMostChannels = 8;

std::string Dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string Short(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g", value);
  return text;
}

std::string Decibels(double db) {
  return std::isinf(db) ? "exact" : std::isnan(db) ? "-" : Fixed(db, 1);
}

/// Of 1.
std::string ShareText(double share) {
  if (share == 0.0) return "-";
  return share < 0.001 ? "<0.1 %" : Fixed(100.0 * share, 1) + " %";
}

/// What most of a layer's error is from.
std::string CauseText(const LayerDifference& d) {
  const std::pair<double, const char*> most =
      std::max({std::pair{d.weights, "weights"}, {d.ranges, "ranges"}, {d.rounding, "rounding"}});
  return most.first == 0.0 ? "-" : StrCat(most.second, " ", Fixed(100.0 * most.first, 0), " %");
}

std::vector<LayerDifference> Sorted(std::vector<LayerDifference> layers, const std::string& by) {
  const auto key = [&](const LayerDifference& d) {
    return by == "error" ? -d.sqnr_db : by == "share" ? d.share : d.after_ms;
  };
  if (by != "order") {
    std::stable_sort(
        layers.begin(), layers.end(),
        [&](const LayerDifference& a, const LayerDifference& b) { return key(a) > key(b); });
  }
  return layers;
}

std::string LayersText(const std::vector<LayerDifference>& layers, bool isolated) {
  std::vector<Table::Column> columns{{.title = "layer", .left = true, .shrink_to = 12},
                                     {.title = "as", .left = true},
                                     {.title = "dB"},
                                     {.title = "largest error", .optional = true}};
  if (isolated) {
    columns.insert(columns.begin() + 3,
                   {{.title = "alone dB"}, {.title = "share"}, {.title = "cause", .left = true}});
  }
  for (const char* title : {"clipped", "saturated", "ms", "fp32 ms", "bytes", "fp32 bytes"})
    columns.push_back({.title = title, .optional = true});
  columns.push_back({.title = "type", .left = true, .optional = true});
  Table table(columns);
  for (const LayerDifference& d : layers) {
    std::vector<std::string> row{d.name, d.precision.empty() ? "-" : d.precision,
                                 d.precision.empty() ? "-" : Decibels(d.sqnr_db)};
    if (isolated)
      row.insert(row.end(), {Decibels(d.isolated_sqnr_db), ShareText(d.share), CauseText(d)});
    row.insert(row.end(), {Short(d.largest_error), ShareText(d.clipped), ShareText(d.saturated),
                           Fixed(d.after_ms, 3), Fixed(d.before_ms, 3), Thousands(d.after_bytes),
                           Thousands(d.before_bytes), d.type});
    table.Add(std::move(row));
  }
  return table.Text();
}

std::string ChannelsText(const std::vector<LayerDifference>& layers) {
  std::string text;
  for (const LayerDifference& d : layers) {
    for (const auto& [channels, what] :
         {std::pair{&d.dead, "never anything but 0"},
          {&d.outliers, "more than 8 times as loud as the median"}}) {
      if (channels->empty()) continue;
      std::string list;
      for (size_t i = 0; i < std::min(channels->size(), kMostChannels); ++i)
        list += StrCat(i == 0 ? "" : ", ", (*channels)[i]);
      if (channels->size() > kMostChannels) list += ", ...";
      text += StrCat("  ", d.name, ": ", channels->size(), " of ", d.channels, " ", what, " (",
                     list, ")\n");
    }
  }
  return text.empty() ? "" : "\nchannels:\n" + text;
}

/// "tulips 51.2 %, roses 40.0 %".
std::string BestText(const std::vector<Prediction>& best) {
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(best.size(), 2); ++i) {
    text += StrCat(i == 0 ? "" : ", ",
                   best[i].label.empty() ? std::to_string(best[i].index) : best[i].label, " ",
                   Fixed(100.0 * best[i].probability, 1), " %");
  }
  return text;
}

std::string LabelName(const Graph& g, int label) {
  if (label < 0) return "?";
  const auto at = static_cast<size_t>(label);
  return at < g.metadata.labels.size() ? g.metadata.labels[at] : std::to_string(label);
}

std::string ChangedText(const LayerReport& report, const Graph& g) {
  if (report.changed.empty()) return "";
  Table table({{.title = "sample", .left = true, .shrink_to = 16},
               {.title = "label", .left = true},
               {.title = "before", .left = true},
               {.title = "after", .left = true}});
  for (size_t i = 0; i < std::min(report.changed.size(), kMostRows); ++i) {
    const ChangedSample& c = report.changed[i];
    table.Add({c.name, LabelName(g, c.label), BestText(c.before), BestText(c.after)});
  }
  const size_t left =
      report.changed.size() > kMostRows ? report.changed.size() - kMostRows : size_t{0};
  return StrCat("\nother labels:\n", table.Text(),
                left == 0 ? "" : StrCat("and ", left, " more; --json has all\n"));
}

Json RangeJson(const std::optional<ValueRange>& r) { return r ? Json{r->min, r->max} : Json(); }

/// What the files of layers have, by name.
std::vector<std::pair<std::string, Json>> FieldsOf(const LayerDifference& d) {
  // What is exact has no number of decibels: null.
  return {{"name", d.name},
          {"tensor", d.tensor},
          {"type", d.type},
          {"precision", d.precision.empty() ? Json() : Json(d.precision)},
          {"channels", d.channels},
          {"sqnr_db", d.sqnr_db},
          {"largest_error", d.largest_error},
          {"isolated_sqnr_db", d.isolated_sqnr_db},
          {"share", d.share},
          {"from_weights", d.weights},
          {"from_ranges", d.ranges},
          {"from_rounding", d.rounding},
          {"clipped", d.clipped},
          {"saturated", d.saturated},
          {"range", RangeJson(d.range)},
          {"quantized_range", RangeJson(d.quantized)},
          {"dead_channels", d.dead},
          {"outlier_channels", d.outliers},
          {"float_ms", d.before_ms},
          {"ms", d.after_ms},
          {"float_bytes", d.before_bytes},
          {"bytes", d.after_bytes}};
}

std::string LayersCsv(const std::vector<LayerDifference>& layers) {
  std::string csv, row;
  for (const LayerDifference& d : layers) {
    const bool first = csv.empty();
    row.clear();
    for (const auto& [name, value] : FieldsOf(d)) {
      const char* comma = row.empty() ? "" : ",";
      if (first) csv += StrCat(csv.empty() ? "" : ",", name);
      // Lists with blanks, so that no field has a comma of its own; null is an empty field.
      std::string text;
      if (value.is_array()) {
        for (const Json& v : value) text += StrCat(text.empty() ? "" : " ", v.dump());
      } else if (value.is_string()) {
        text = value.get<std::string>();
      } else if (!value.is_null()) {
        text = value.dump();
      }
      if (text == "null") text.clear();
      row += comma + CsvField(text);
    }
    csv += (first ? "\n" : "") + row + "\n";
  }
  return csv;
}

Json BestJson(const std::vector<Prediction>& best) {
  Json json = Json::array();
  for (const Prediction& p : best)
    json.push_back({{"index", p.index}, {"label", p.label}, {"probability", p.probability}});
  return json;
}

Result<std::vector<NamedSample>> ReadData(const CompareOptions& options, const Graph& g,
                                          std::string* description, Warnings* warnings,
                                          Bars* bars) {
  const auto read = [&](bool labels) -> Result<std::vector<NamedSample>> {
    OCTET_ASSIGN_OR_RETURN(
        const DatasetSamples samples,
        OpenSamples(options.data, g, options.samples, /*fast_decode=*/false, labels));
    *description = samples.description;
    return ReadSamples(samples, g, [&](int64_t done, int64_t total) {
      bars->Update("reading", done, total > 0 ? total : options.samples);
    });
  };
  Result<std::vector<NamedSample>> labelled = read(true);
  if (labelled.ok()) return labelled;
  OCTET_ASSIGN_OR_RETURN(std::vector<NamedSample> samples, read(false));
  if (!g.metadata.labels.empty())
    warnings->Add("labels are not used: " + labelled.status().message());
  return samples;
}

Result<std::string> PageOf(const CompareOptions& options,
                           const std::vector<std::shared_ptr<const Model>>& models,
                           const std::vector<NamedSample>& samples, const std::string& data,
                           const LayerReport& report, const Warnings& warnings) {
  const Graph& before = GraphOf(*models[0]);
  ReportPage page;
  page.title = before.metadata.name;
  page.data = data;
  page.labels = before.metadata.labels;
  page.warnings = warnings.texts();
  page.command = options.command;
  for (size_t i = 0; i < models.size(); ++i) {
    const ModelDescription description = models[i]->Describe();
    PageModel& m = page.models.emplace_back();
    m.name = options.models[i];
    m.precision = PrecisionName(description.precision);
    m.bytes = description.file_size;
    OCTET_RETURN_IF_ERROR(AddDigest("Model, " + m.precision, m.name, &page));
    page.provenance.emplace_back("Its options", description.options);
  }
  OCTET_RETURN_IF_ERROR(RecordAnswers(models, samples, &page));
  SetVerdict(report.verdict, &page.models[0], &page.models[1], &page);
  page.models[1].layers = report;
  OCTET_RETURN_IF_ERROR(ShowPreparation(options.data, before, &page));
  OCTET_RETURN_IF_ERROR(AddMachine("", &page));
  return PageHtml(page);
}

Result<std::string> CompareModels(const CompareOptions& options) {
  if (!options.report.empty()) OCTET_RETURN_IF_ERROR(CheckOutput(options.report));
  std::vector<std::shared_ptr<const Model>> models;
  Warnings warnings;
  for (const std::string& path : options.models) {
    OCTET_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model, LoadModel(path));
    models.push_back(std::move(model));
  }
  const Graph &before = GraphOf(*models[0]), &after = GraphOf(*models[1]);
  if (models[0]->Describe().precision != Precision::kFp32) {
    return InvalidArgument(StrCat(options.models[0], ": is of ",
                                  PrecisionName(models[0]->Describe().precision),
                                  ", expected the model of fp32 first"));
  }
  Bars bars;
  std::string description;
  OCTET_ASSIGN_OR_RETURN(const std::vector<NamedSample> samples,
                         ReadData(options, before, &description, &warnings, &bars));
  for (size_t i = 0; i < 2; ++i) {
    const InputMeaning meaning = MeaningOfInput(i == 0 ? before : after);
    if (!meaning.doubt.empty()) warnings.Add(StrCat(options.models[i], ": ", meaning.doubt));
  }
  CompareLayersOptions layers_options;
  layers_options.isolated_samples = options.isolated_samples;
  layers_options.threads = options.threads > 0 ? options.threads : OnAllCores().num_threads;
  layers_options.progress = [&](const char* what, int64_t done, int64_t total) {
    bars.Update(what, done, total);
  };
  Result<LayerReport> compared = CompareLayers(before, after, samples, layers_options);
  if (!compared.ok()) {
    Status status = compared.status();
    return std::move(status).WithContext(StrCat(options.models[0], " and ", options.models[1]));
  }
  const LayerReport& report = *compared;
  for (const std::string& doubt :
       LabelDoubts(report.verdict, before.tensor(before.outputs[0]).shape.num_elements()))
    warnings.Add(doubt);
  OCTET_RETURN_IF_ERROR(warnings.Report("octet", options.strict));
  const std::vector<LayerDifference> layers = Sorted(report.layers, options.sort);
  const std::string csv = LayersCsv(layers);
  std::string page;
  std::vector<NewFile> files;
  if (!options.csv.empty()) files.push_back({options.csv, std::as_bytes(std::span(csv))});
  if (!options.report.empty()) {
    OCTET_ASSIGN_OR_RETURN(page, PageOf(options, models, samples, description, report, warnings));
    files.push_back({options.report, std::as_bytes(std::span(page))});
  }
  OCTET_RETURN_IF_ERROR(WriteFilesAtomically(files));
  const double size = static_cast<double>(models[1]->Describe().file_size) /
                      static_cast<double>(models[0]->Describe().file_size);
  if (!options.json) {
    std::string text = StrCat("models:      ", options.models[0], ", ", options.models[1],
                              "\ndata:        ", description, ", ", samples.size(), " samples\n",
                              VerdictText(report.verdict, size), "\n");
    if (report.isolated_samples > 0 && report.isolated_sum > 0.0) {
      text += StrCat("alone:       one layer quantized at a time, ", report.isolated_samples,
                     " samples; the errors add up to ", Fixed(100.0 * report.isolated_sum, 0),
                     " % of the whole one\n");
    }
    return StrCat(text, "\n", LayersText(layers, report.isolated_samples > 0),
                  ChannelsText(report.layers), ChangedText(report, before));
  }
  Json json{{"models", options.models},
            {"data", description},
            {"verdict", VerdictJson(report.verdict)},
            {"size_share", size},
            {"isolated_samples", report.isolated_samples},
            {"isolated_sum", report.isolated_sum},
            {"layers", Json::array()},
            {"changed", Json::array()},
            {"warnings", warnings.texts()}};
  for (const LayerDifference& d : layers) {
    Json layer;
    for (const auto& [name, value] : FieldsOf(d)) layer[name] = value;
    json["layers"].push_back(std::move(layer));
  }
  for (const ChangedSample& c : report.changed) {
    json["changed"].push_back({{"sample", c.name},
                               {"label", c.label < 0 ? Json() : Json(LabelName(before, c.label))},
                               {"before", BestJson(c.before)},
                               {"after", BestJson(c.after)}});
  }
  return Dump(json);
}

Result<std::string> CompareAnswers(const CompareOptions& options) {
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, LoadModel(options.models[0]));
  Warnings warnings;
  OCTET_ASSIGN_OR_RETURN(const Comparison comparison,
                         CompareWithReference(model, SourceInputOf(GraphOf(*model)), options.inputs,
                                              options.answers, &warnings));
  OCTET_RETURN_IF_ERROR(warnings.Report("octet", options.strict));
  if (!options.json) return ComparisonText(comparison, options.answers) + "\n";
  return Dump({{"model", options.models[0]},
               {"comparison", ComparisonJson(comparison, options.answers)},
               {"warnings", warnings.texts()}});
}

}  // namespace

int Compare(const CompareOptions& options) {
  const Result<std::string> text =
      options.answers.empty() ? CompareModels(options) : CompareAnswers(options);
  if (!text.ok()) return Fail(text.status());
  std::fwrite(text->data(), 1, text->size(), stdout);
  return 0;
}

}  // namespace octet
