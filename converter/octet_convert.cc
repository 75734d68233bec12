// octet_convert INPUT --output OUT.octet: from an exported model to an .octet file.
// Exit codes: 0 written, 1 could not be done, 2 wrong command line.
#include "converter/octet_convert.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/calibrate/sample_set.h"
#include "converter/calibrate/sample_watch.h"
#include "converter/calibrate/table_file.h"
#include "converter/import/importer.h"
#include "converter/import/preprocessing_json.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "converter/report/compare.h"
#include "converter/report/html/conversion.h"
#include "converter/report/report.h"
#include "converter/tune/budget.h"
#include "converter/tune/output_meter.h"
#include "converter/tune/tune.h"
#include "engine/src/model_impl.h"
#include "engine/src/runner.h"
#include "engine/tools/commands.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/command_line.h"
#include "formats/data/data_paths.h"
#include "formats/data/labels.h"
#include "formats/data/program.h"
#include "formats/data/progress.h"
#include "formats/data/shard.h"
#include "formats/data/table.h"
#include "formats/data/warnings.h"
#include "formats/model/input_meaning.h"
#include "formats/model/octet_file.h"
#include "formats/model/preprocessing.h"

namespace octet {
namespace {

/// Any number would do; it only has to be the same for all files, so that equal inputs give equal
/// bytes.
constexpr uint64_t kGoldenSeed = 20241;

struct Arguments {
  std::string input, output;
  std::vector<Precision> precisions;  ///< As the source when empty.
  std::vector<std::string> data;      ///< Of the table of several precisions.
  std::vector<std::string> calibration_data;
  std::vector<std::string> calibration_tables;
  std::string save_calibration_table;
  std::optional<Shard> calibration_shard;  ///< Then that alone is written.
  CalibrationOptions calibration;
  std::vector<TuneStep> tune = TuneOptions().steps;
  std::vector<std::string> keep, widen;  ///< Names or patterns.
  Budget budget;
  std::string preprocessing, labels, name, graph, signature;
  WeightsChoice weights = WeightsChoice::kDefault;
  std::string compare_with, compare_input;
  std::string report, command;  ///< HTML file, and the command line that it shows.
  std::optional<DType> input_type, output_type;
  bool require_int8 = false, fast_decode = false;
  bool json = false, strict = false;

  bool wants(Precision p) const {
    return std::find(precisions.begin(), precisions.end(), p) != precisions.end();
  }
  bool wants_integers() const { return wants(Precision::kInt8) || wants(Precision::kInt16x8); }
};

/// The options that shaped the result, for the file. No paths: the same inputs give the same bytes
/// wherever they lie.
std::string OptionsLine(const Arguments& a, Precision precision,
                        const std::optional<CalibrationTable>& table,
                        const std::vector<TuneResult>& steps, const std::vector<std::string>& kept,
                        const std::vector<std::string>& widened) {
  std::string s = StrCat("--precision=", PrecisionName(precision));
  if (table)
    s += StrCat(" --calibration-method=", table->method, " --calibration-samples=", table->samples);
  std::string tuned;
  for (const TuneResult& r : steps)
    if (r.kept) tuned += StrCat(tuned.empty() ? " --tune=" : ",", NameOf(kTuneStepNames, r.step));
  s += tuned;
  if (a.budget.max_drop) s += StrCat(" --max-drop=", *a.budget.max_drop);
  if (a.budget.min_sqnr_db) s += StrCat(" --min-sqnr=", *a.budget.min_sqnr_db);
  for (size_t i = 0; i < kept.size(); ++i) s += StrCat(i == 0 ? " --keep=" : ",", kept[i]);
  for (size_t i = 0; i < widened.size(); ++i) s += StrCat(i == 0 ? " --widen=" : ",", widened[i]);
  if (a.fast_decode) s += " --fast-decode";
  if (a.input_type) s += StrCat(" --input-type=", DTypeName(*a.input_type));
  if (a.output_type) s += StrCat(" --output-type=", DTypeName(*a.output_type));
  if (a.require_int8) s += " --require-int8";
  if (a.weights != WeightsChoice::kDefault)
    s += a.weights == WeightsChoice::kRaw ? " --weights=raw" : " --weights=ema";
  return s;
}

/// What people call a model of this path: a SavedModel's folder mostly has a name that says
/// nothing, or is the number of a version.
std::string NameOf(const std::string& path) {
  std::error_code error;
  std::filesystem::path at = std::filesystem::absolute(path, error).lexically_normal();
  if (!at.has_filename()) at = at.parent_path();
  for (; at.has_filename(); at = at.parent_path()) {
    const std::string name = at.stem().string();
    const bool says_nothing =
        name == "saved_model" || name == "savedmodel" || name == "save_model" ||
        std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!says_nothing) return name;
  }
  return std::filesystem::path(path).stem().string();
}

/// By the reference kernels: a fault of this machine's would otherwise be what other machines are
/// held to.
Result<std::vector<float>> ComputeGolden(const Graph& graph) {
  OCTET_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model, ModelFromGraph(graph));
  SessionOptions options = OnAllCores();
  options.isa = "reference";
  OCTET_ASSIGN_OR_RETURN(std::unique_ptr<Session> session,
                         Session::Create(std::move(model), options));
  return RunGolden(session.get(), kGoldenSeed);
}

/// Which samples serve one purpose.
struct DataChoice {
  std::vector<std::string> paths;
  int64_t most = 0;  ///< Samples taken, 0 for all.
  /// Of data for two purposes: each first of so many, or the others.
  int64_t every = 1;
  bool others = false;

  bool given() const { return !paths.empty(); }

  Result<DatasetSamples> Open(const Graph& graph, bool fast_decode, bool labels) const {
    OCTET_ASSIGN_OR_RETURN(DatasetSamples samples,
                           OpenSamples(paths, graph, most, fast_decode, labels));
    if (every == 1) return samples;
    if (samples.size > 0) {
      const int64_t firsts = (samples.size + every - 1) / every;
      samples.size = others ? samples.size - firsts : firsts;
    }
    samples.next = [next = std::move(samples.next), every = every, others = others,
                    at = int64_t{0}](float* to) mutable -> Result<bool> {
      for (;;) {
        OCTET_ASSIGN_OR_RETURN(const bool more, next(to));
        if (!more || (at++ % every != 0) == others) return more;
      }
    };
    return samples;
  }
};

struct Data : DataChoice {
  std::optional<SampleSet> set;        ///< Made when first asked for.
  std::string text;                    ///< For people.
  std::string labels_doubt;            ///< Why labels are not used; empty where they are.
  std::optional<OutputMeter> meter;    ///< On those held, made when first asked for.
  std::optional<FloatOutputs> floats;  ///< On all, likewise.
};

/// What all files are made of.
struct Source {
  Graph graph;
  SourceInput input;
  Precision own = Precision::kFp32;
  bool raw_pixels = false;
  std::optional<CalibrationTable> table;
  Data calibration, evaluation;          ///< The latter for a budget.
  std::string ranges_from;               ///< For people.
  std::optional<ValueRange> measured;    ///< The input's range in the calibration.
  std::vector<std::string> doubts;       ///< Of the same.
  std::vector<std::string> keep, widen;  ///< Names of layers.

  bool CanTune(Precision p) const {
    return calibration.set && table && !IsQuantized(graph) &&
           (p == Precision::kHybrid || p == Precision::kInt8 || p == Precision::kInt16x8);
  }
};

/// What `use` makes of the samples from the first one on. They have labels where these fit the
/// network: calibration data need not have any, nor this network's.
template <typename T>
Result<T> OverSamples(const Arguments& a, const Graph& graph, Data* data, const char* what,
                      const std::function<Result<T>(const DatasetSamples&, Progress*)>& use) {
  const auto pass = [&]() -> Result<T> {
    OCTET_ASSIGN_OR_RETURN(const DatasetSamples samples, data->set->Open());
    data->text =
        StrCat(data->paths[0], data->paths.size() > 1 ? ", ..." : "", ", ", samples.description);
    Progress bar(what, samples.size > 0 ? samples.size : a.calibration.max_samples);
    return use(samples, &bar);
  };
  if (data->set) return pass();
  const auto with = [&](bool labels) {
    data->set.emplace([choice = DataChoice(*data), graph, fast = a.fast_decode,
                       labels] { return choice.Open(graph, fast, labels); },
                      graph.tensor(graph.inputs[0]).shape);
    return pass();
  };
  Result<T> labelled = with(true);
  if (labelled.ok()) return labelled;
  // Those that it has should be the network's.
  if (!graph.metadata.labels.empty())
    data->labels_doubt = "labels are not used: " + labelled.status().message();
  return with(false);
}

Status CheckHasNoRanges(const Graph& graph) {
  if (!IsQuantized(graph)) return OkStatus();
  return InvalidArgument("--calibration-data: the network is quantized already and has its ranges");
}

Status FindRanges(const Arguments& a, Source* s) {
  if (!a.calibration_tables.empty()) {
    OCTET_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                           ExpandDataPaths(a.calibration_tables, /*complete=*/false));
    OCTET_ASSIGN_OR_RETURN(MergedTable merged, ReadCalibrationTables(paths, s->graph));
    s->table = std::move(merged.table);
    s->ranges_from = paths.size() == 1 ? StrCat(paths[0], ", a calibration table")
                                       : StrCat(paths[0], ", ..., a calibration table in ",
                                                paths.size(), " parts");
    if (merged.watch) {
      s->measured = merged.watch->range();
      s->doubts = merged.watch->Doubts(s->table->unevenness);
      return OkStatus();
    }
    const auto range = s->table->ranges.find(s->graph.tensor(s->graph.inputs[0]).name);
    if (range != s->table->ranges.end()) s->measured = {range->second.min, range->second.max};
    return OkStatus();
  }
  if (!s->calibration.given()) return OkStatus();
  OCTET_RETURN_IF_ERROR(CheckHasNoRanges(s->graph));
  const int64_t elements = s->graph.tensor(s->graph.inputs[0]).shape.num_elements();
  const auto calibrate = [&](const DatasetSamples& samples,
                             Progress* bar) -> Result<CalibrationTable> {
    SampleWatch watch;
    OCTET_ASSIGN_OR_RETURN(CalibrationTable table,
                           Calibrate(s->graph, watch.Over(samples.next, elements), a.calibration,
                                     [bar](int done, int) { bar->Update(done); }));
    s->measured = watch.range();
    s->doubts = watch.Doubts(table.unevenness);
    return table;
  };
  OCTET_ASSIGN_OR_RETURN(s->table, OverSamples<CalibrationTable>(a, s->graph, &s->calibration,
                                                                 "calibrating", calibrate));
  s->ranges_from = s->calibration.text;
  return OkStatus();
}

/// What ranges are taken from, and what a budget is judged on: one data set serves both.
Status DivideData(const Arguments& a, Source* s) {
  constexpr int64_t kMostJudged = 1000;
  s->calibration.paths = a.calibration_data;
  s->calibration.most = a.calibration.max_samples;
  if (!a.budget.wanted()) return OkStatus();
  s->evaluation.paths = a.data;
  s->evaluation.most = kMostJudged;
  if (!a.data.empty() && !a.calibration_data.empty()) return OkStatus();
  s->evaluation.paths = s->calibration.paths = a.data.empty() ? a.calibration_data : a.data;
  s->calibration.most = kMostJudged;
  s->evaluation.others = true;
  OCTET_ASSIGN_OR_RETURN(const DatasetSamples all,
                         s->calibration.Open(s->graph, a.fast_decode, false));
  constexpr int64_t kUnknown = 500;
  const int64_t size = all.size > 0 ? all.size : kUnknown;
  if (size < 2)
    return InvalidArgument(StrCat(s->calibration.paths[0],
                                  ": found 1 sample, expected one for ranges and another to judge "
                                  "the budget by"));
  s->calibration.every = s->evaluation.every =
      std::max<int64_t>(2, size / std::min<int64_t>(size / 2, a.calibration.max_samples));
  return OkStatus();
}

/// The layers that `patterns` mean, of an option like --keep.
Result<std::vector<std::string>> FindLayers(const char* option,
                                            const std::vector<std::string>& patterns,
                                            const Graph& graph) {
  std::vector<std::string> names;
  for (const std::string& pattern : patterns) {
    const size_t before = names.size();
    for (const Node& n : graph.nodes)
      if (n.name == pattern || MatchesPattern(pattern, n.name)) names.push_back(n.name);
    if (names.size() > before) continue;
    std::string some;
    for (size_t i = 0; i < std::min<size_t>(3, graph.nodes.size()); ++i)
      some += StrCat(i == 0 ? "" : ", ", "'", graph.nodes[i].name, "'");
    return InvalidArgument(StrCat(option, "=", pattern, ": no layer has this name, of ",
                                  graph.nodes.size(), ": ", some, ", ..."));
  }
  return names;
}

Result<Source> ReadSource(const Arguments& a, std::vector<std::string>* notes) {
  Source s;
  OCTET_ASSIGN_OR_RETURN(s.graph, ImportModel(a.input, {.graph = a.graph,
                                                        .signature = a.signature,
                                                        .weights = a.weights,
                                                        .notes = notes}));
  Graph& graph = s.graph;
  s.input = SourceInputOf(graph);
  if (!a.preprocessing.empty()) {
    const Shape& input = graph.tensor(graph.inputs[0]).shape;
    OCTET_ASSIGN_OR_RETURN(
        graph.metadata.preprocessing,
        ReadPreprocessing(a.preprocessing, input.rank() == 4
                                               ? PhotoInput{input[1], input[2], input[3]}
                                               : PhotoInput()));
  }
  if (!a.labels.empty()) {
    OCTET_ASSIGN_OR_RETURN(graph.metadata.labels, ReadLabels(a.labels, notes));
    const auto labels = static_cast<int64_t>(graph.metadata.labels.size()),
               classes = graph.tensor(graph.outputs[0]).shape.back();
    if (labels != classes) {
      return InvalidArgument(StrCat(
          a.labels, ": found ", labels, " labels, '", graph.metadata.labels.front(), "' to '",
          graph.metadata.labels.back(), "', expected ", classes, ", the network's classes"));
    }
  }
  if (!a.name.empty()) graph.metadata.name = a.name;
  if (graph.metadata.name.empty()) graph.metadata.name = NameOf(a.input);
  s.raw_pixels = a.preprocessing.empty() && GetsRawPixels(graph);
  OCTET_RETURN_IF_ERROR(Optimize(&graph));
  s.own = OwnPrecision(graph);
  const auto takes_codes = [](const std::optional<DType>& given, const Tensor& t) {
    return IsCodes(given.value_or(t.dtype));
  };
  OCTET_ASSIGN_OR_RETURN(s.keep, FindLayers("--keep", a.keep, graph));
  OCTET_ASSIGN_OR_RETURN(s.widen, FindLayers("--widen", a.widen, graph));
  OCTET_RETURN_IF_ERROR(DivideData(a, &s));
  const bool integers = a.precisions.empty()
                            ? s.own == Precision::kInt8 || s.own == Precision::kInt16x8
                            : a.wants_integers();
  const bool calibrates = integers || takes_codes(a.input_type, graph.tensor(graph.inputs[0])) ||
                          takes_codes(a.output_type, graph.tensor(graph.outputs[0])) ||
                          !a.save_calibration_table.empty();
  const bool measures = std::any_of(a.precisions.begin(), a.precisions.end(),
                                    [&](Precision p) { return p != s.own; });
  if ((s.calibration.given() || !a.calibration_tables.empty()) && !calibrates && !measures) {
    return InvalidArgument(StrCat(a.input, ": nothing of a network of ", PrecisionName(s.own),
                                  " is calibrated; add --precision=int8"));
  }
  // A hybrid network needs no ranges, but those who tune it do.
  const bool tunes = a.wants(Precision::kHybrid) && s.calibration.given() && !a.tune.empty() &&
                     !IsQuantized(graph);
  if ((calibrates || tunes) && !a.calibration_shard) OCTET_RETURN_IF_ERROR(FindRanges(a, &s));
  return s;
}

struct Converted {
  std::vector<std::byte> bytes;
  ConversionReport report;
};

/// What the file of `bytes` lost, on the samples that it was calibrated with.
Result<Verdict> Measure(const Arguments& a, Source* source, const std::vector<std::byte>& bytes,
                        Warnings* warnings) {
  Data* data = source->evaluation.given() ? &source->evaluation : &source->calibration;
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                         Model::FromMemory(bytes.data(), bytes.size()));
  const bool metered = data->meter && data->set->holds_all();
  if (!metered && !data->floats) {
    const auto run = [&](const DatasetSamples& samples, Progress* bar) {
      return RunFloat(source->graph, samples.next, samples.label,
                      [bar](int64_t done) { bar->Update(done); });
    };
    OCTET_ASSIGN_OR_RETURN(data->floats,
                           OverSamples<FloatOutputs>(a, source->graph, data, "measuring", run));
  }
  const FloatOutputs& floats = metered ? data->meter->float_outputs() : *data->floats;
  OCTET_ASSIGN_OR_RETURN(
      const Verdict verdict,
      OverSamples<Verdict>(
          a, source->graph, data, "measuring", [&](const DatasetSamples& samples, Progress* bar) {
            return Judge(source->graph, floats, model, samples.next,
                         [bar](int64_t done, const auto&, const auto&) { bar->Update(done); });
          }));
  if (!data->labels_doubt.empty()) warnings->Add(data->labels_doubt);
  for (const std::string& doubt :
       LabelDoubts(verdict, source->graph.tensor(source->graph.outputs[0]).shape.num_elements()))
    warnings->Add(doubt);
  return verdict;
}

struct Quantized {
  Graph graph;
  std::vector<TuneResult> steps;  ///< That were tried.
  std::optional<BudgetReport> budget;
};

Result<Quantized> Quantize(const Arguments& a, Source* source, const QuantizeOptions& options) {
  const CalibrationTable* table = source->table ? &*source->table : nullptr;
  Quantized q;
  if (!source->CanTune(options.precision) || (a.tune.empty() && !a.budget.wanted())) {
    OCTET_ASSIGN_OR_RETURN(q.graph, QuantizeGraph(source->graph, options, table));
    return q;
  }
  SampleSet* samples = &*source->calibration.set;
  std::optional<OutputMeter>& meter = source->calibration.meter;
  if (!meter) {
    OCTET_ASSIGN_OR_RETURN(
        meter, OutputMeter::Create(source->graph, [samples] { return samples->OpenHeld(); }));
  }
  TuneOptions tune;
  tune.steps = a.tune;
  tune.calibration = a.calibration;
  OCTET_ASSIGN_OR_RETURN(Tuned tuned, [&] {
    Progress bar("rounding", 1000);
    tune.progress = [&bar](double share) { bar.Update(static_cast<int64_t>(share * 1000.0)); };
    return Tune(source->graph, options, *table, samples, *meter, tune);
  }());
  q.steps = std::move(tuned.steps);
  q.graph = tuned.graph;
  if (!a.budget.wanted() || options.precision != Precision::kInt8) return q;
  // A first pass finds out whether its labels are of use.
  const auto elements =
      static_cast<size_t>(source->graph.tensor(source->graph.inputs[0]).shape.num_elements());
  const auto count = [elements](const DatasetSamples& s, Progress* bar) -> Result<int64_t> {
    std::vector<float> sample(elements);
    for (int64_t n = 0;; ++n) {
      OCTET_ASSIGN_OR_RETURN(const bool more, s.next(sample.data()));
      if (!more) return n;
      bar->Update(n + 1);
    }
  };
  OCTET_RETURN_IF_ERROR(
      OverSamples<int64_t>(a, source->graph, &source->evaluation, "reading", count).status());
  std::optional<OutputMeter>& judge = source->evaluation.meter;
  OCTET_ASSIGN_OR_RETURN(
      judge,
      OutputMeter::Create(source->graph, [set = &*source->evaluation.set] { return set->Open(); }));
  std::optional<Progress> bar;
  std::string last;
  OCTET_ASSIGN_OR_RETURN(BudgetResult result,
                         HoldBudget(tuned, options, a.budget, *judge, samples->held(),
                                    [&](const char* what, int64_t done, int64_t total) {
                                      if (last != what) bar.emplace(what, total);
                                      last = what;
                                      bar->Update(done);
                                    }));
  q.graph = std::move(result.graph);
  q.budget = std::move(result);
  return q;
}

Result<Converted> ConvertTo(const Arguments& a, Source* from, Precision precision,
                            const std::string& output, Warnings* warnings) {
  const Source& source = *from;
  const Graph& graph = source.graph;
  const CalibrationTable* table = source.table ? &*source.table : nullptr;
  QuantizeOptions options;
  options.precision = precision;
  options.input_type = a.input_type.value_or(graph.tensor(graph.inputs[0]).dtype);
  options.output_type = a.output_type.value_or(graph.tensor(graph.outputs[0]).dtype);
  options.require_int8 =
      a.require_int8 && (precision == Precision::kInt8 || precision == Precision::kInt16x8);
  options.keep = source.keep;
  if (precision == Precision::kInt8) options.widen = source.widen;
  OCTET_ASSIGN_OR_RETURN(Quantized made, Quantize(a, from, options));
  Graph& quantized = made.graph;
  std::vector<std::string> kept = options.keep, widened = options.widen;
  if (made.budget)
    for (const RaisedLayer& layer : made.budget->raised)
      (layer.precision == Precision::kFp32 ? kept : widened).push_back(layer.name);
  quantized.metadata.options = OptionsLine(a, precision, source.table, made.steps, kept, widened);
  if (source.raw_pixels) quantized.metadata.options += StrCat(" ", kRawPixelsOption);

  const InputMeaning meaning = MeaningOfInput(quantized, source.measured);
  if (!meaning.doubt.empty()) warnings->Add(meaning.doubt);
  for (const std::string& doubt : source.doubts) warnings->Add(doubt);

  Converted c;
  Golden golden;
  golden.seed = kGoldenSeed;
  OCTET_ASSIGN_OR_RETURN(golden.output, ComputeGolden(quantized));
  OCTET_ASSIGN_OR_RETURN(c.bytes, SerializeOctet(quantized, golden));
  ConversionReport& report = c.report;
  report = MakeReport(quantized, graph, static_cast<int64_t>(c.bytes.size()), meaning);
  if (!a.compare_with.empty()) {
    OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           Model::FromMemory(c.bytes.data(), c.bytes.size()));
    OCTET_ASSIGN_OR_RETURN(
        report.comparison,
        CompareWithReference(model, source.input, a.compare_input, a.compare_with, warnings));
  }
  if (precision != source.own && source.calibration.given()) {
    OCTET_ASSIGN_OR_RETURN(report.verdict, Measure(a, from, c.bytes, warnings));
  } else if (precision != source.own) {
    report.no_verdict = source.table ? "a calibration table and no data" : "no --calibration-data";
  }
  report.output = output;
  report.tuning = std::move(made.steps);
  report.budget = std::move(made.budget);
  for (const std::string& name : options.keep) report.by_hand.push_back(name + " in fp32");
  for (const std::string& name : options.widen) report.by_hand.push_back(name + " in int16x8");
  report.labels_source = a.labels.empty() ? "the source" : a.labels;
  report.data = source.ranges_from.empty() ? source.calibration.text : source.ranges_from;
  if (table != nullptr) {
    report.calibration_method = table->method;
    report.calibration_samples = table->samples;
  }
  report.reference = a.compare_with;
  return c;
}

/// OUTPUT for one precision; for several its name has the precision in it, and a folder gets the
/// network's name.
std::string OutputPath(const Arguments& a, const Source& source, Precision precision) {
  if (a.precisions.size() < 2) return a.output;
  std::filesystem::path path(a.output);
  if (std::error_code error; std::filesystem::is_directory(path, error)) {
    std::string name = source.graph.metadata.name;
    std::replace(name.begin(), name.end(), '/', '_');
    path /= name + ".octet";
  }
  const std::string stem = path.stem().string(), extension = path.extension().string();
  return path.replace_filename(StrCat(stem, "_", PrecisionName(precision), extension)).string();
}

/// What the files of several precisions have in common, and a row of a table for each.
std::string SeveralText(const std::vector<ConversionReport>& reports,
                        const std::string& evaluation) {
  const ConversionReport& r = reports[0];
  std::string text = StrCat("source:  ", r.source, "\nname:    ", r.name, "\n");
  if (!r.calibration_method.empty())
    text += StrCat("ranges:  ", r.calibration_method, ", ", r.calibration_samples, " samples\n");
  if (!evaluation.empty()) return text + evaluation;
  const bool judged = std::any_of(reports.begin(), reports.end(),
                                  [](const ConversionReport& x) { return x.verdict.has_value(); });
  std::vector<Table::Column> columns{{.title = "model", .left = true, .shrink_to = 16},
                                     {.title = "precision", .left = true},
                                     {.title = "bytes"}};
  if (judged)
    for (const char* title : {"labels kept", "outputs", "median ms"}) columns.push_back({title});
  Table table(columns);
  for (const ConversionReport& report : reports) {
    std::vector<std::string> row{report.output, PrecisionName(report.precision),
                                 Thousands(report.file_size)};
    if (const std::optional<Verdict>& v = report.verdict) {
      row.push_back(StrCat(v->labels_kept, " of ", v->samples));
      row.push_back(DecibelText(v->sqnr_db));
      row.push_back(Fixed(v->ms, 3));
    } else if (judged) {
      row.resize(columns.size(), "-");
    }
    table.Add(row);
  }
  return text + "\n" + table.Text();
}

/// Adds the page of `files` to those that are written; `page` has an evaluation or nothing, and
/// `html` stays.
Status AddPage(const Arguments& a, const Source& source, const std::vector<Converted>& files,
               const Warnings& warnings, ReportPage page, std::string* html,
               std::vector<NewFile>* new_files) {
  if (a.report.empty()) return OkStatus();
  std::vector<PageFile> made;
  for (const Converted& c : files) {
    // One that is only compared with is no file.
    if (c.report.precision != source.own || a.precisions.empty() || a.wants(source.own))
      made.push_back({c.report, c.bytes});
  }
  page.command = a.command;
  if (page.warnings.empty()) page.warnings = warnings.texts();
  Bars bars;
  CompareLayersOptions options;
  options.threads = OnAllCores().num_threads;
  options.progress = [&](const char* what, int64_t done, int64_t total) {
    bars.Update(what, done, total);
  };
  const Data& data = source.evaluation.given() ? source.evaluation : source.calibration;
  const std::vector<NamedSample> none;
  OCTET_RETURN_IF_ERROR(FillPage({a.input, source.graph, source.own, data.paths, data.text,
                                  data.set ? data.set->held() : none},
                                 made, options, &page));
  *html = PageHtml(page);
  new_files->push_back({a.report, std::as_bytes(std::span(*html))});
  return OkStatus();
}

/// Gives the report of one precision.
Result<std::string> ConvertOne(const Arguments& a, Source* source,
                               const std::vector<std::string>& notes) {
  const Precision precision = a.precisions.empty() ? source->own : a.precisions[0];
  Warnings warnings;
  OCTET_ASSIGN_OR_RETURN(Converted c, ConvertTo(a, source, precision, a.output, &warnings));
  OCTET_RETURN_IF_ERROR(warnings.Report("octet_convert", a.strict));
  if (!a.save_calibration_table.empty())
    OCTET_RETURN_IF_ERROR(WriteCalibrationTable(a.save_calibration_table, *source->table));
  std::vector<Converted> files{std::move(c)};
  std::vector<NewFile> new_files{{a.output, files[0].bytes}};
  std::string html;
  OCTET_RETURN_IF_ERROR(AddPage(a, *source, files, warnings, {}, &html, &new_files));
  OCTET_RETURN_IF_ERROR(WriteFilesAtomically(new_files));
  c = std::move(files[0]);
  c.report.notes = notes;
  c.report.warnings = warnings.texts();
  return a.json ? ReportJson(c.report) : ReportText(c.report);
}

/// Gives the table of several precisions. Its first row, with which the others are compared, is the
/// source's own precision, whether a file of it is wanted or not.
Result<std::string> ConvertSeveral(const Arguments& a, Source* from,
                                   const std::vector<std::string>& notes) {
  const Source& source = *from;
  std::vector<Precision> precisions = a.precisions;
  std::erase(precisions, source.own);
  const bool has_own = a.wants(source.own);
  if (has_own || !a.data.empty()) precisions.insert(precisions.begin(), source.own);
  EvaluateOptions evaluate;
  evaluate.program = "octet_convert";
  evaluate.data = a.data;
  evaluate.json = a.json;
  evaluate.strict = a.strict;
  ReportPage page;
  if (!a.report.empty()) evaluate.page = &page;
  Warnings warnings;
  std::vector<Converted> files;
  std::vector<ConversionReport> reports;
  for (Precision p : precisions) {
    const bool wanted = p != source.own || has_own;
    Warnings of_one;
    OCTET_ASSIGN_OR_RETURN(Converted c, ConvertTo(a, from, p, OutputPath(a, source, p), &of_one));
    c.report.notes = notes;
    c.report.warnings = of_one.texts();
    evaluate.models.push_back(wanted ? c.report.output : "(the source)");
    if (wanted) reports.push_back(c.report);
    files.push_back(std::move(c));
    warnings = std::move(of_one);  // The same of all.
  }
  for (const Converted& c : files) evaluate.contents.push_back(c.bytes);
  std::string evaluation;
  if (a.data.empty()) {
    OCTET_RETURN_IF_ERROR(warnings.Report("octet_convert", a.strict));
  } else {
    OCTET_ASSIGN_OR_RETURN(evaluation, EvaluationText(evaluate));
  }
  if (!a.save_calibration_table.empty())
    OCTET_RETURN_IF_ERROR(WriteCalibrationTable(a.save_calibration_table, *source.table));
  std::vector<NewFile> new_files;
  for (const Converted& c : files) {
    if (c.report.precision != source.own || has_own)
      new_files.push_back({c.report.output, c.bytes});
  }
  std::string html;
  OCTET_RETURN_IF_ERROR(AddPage(a, source, files, warnings, std::move(page), &html, &new_files));
  OCTET_RETURN_IF_ERROR(WriteFilesAtomically(new_files));
  if (!a.json) return SeveralText(reports, evaluation);
  std::string json;
  for (const ConversionReport& r : reports)
    json += StrCat(json.empty() ? "{\"conversions\": [\n" : ",\n", ReportJson(r));
  return StrCat(json, "],\n\"evaluation\": ", evaluation.empty() ? "null\n" : evaluation, "}\n");
}

/// Measures one shard of the calibration data, and writes its part of the table. Gives what is
/// printed.
Result<std::string> ConvertShard(const Arguments& a, std::vector<std::string>* notes) {
  const Shard& shard = *a.calibration_shard;
  OCTET_RETURN_IF_ERROR(CheckOutput(a.save_calibration_table));
  OCTET_ASSIGN_OR_RETURN(const Source source, ReadSource(a, notes));
  const Graph& graph = source.graph;
  OCTET_RETURN_IF_ERROR(CheckHasNoRanges(graph));
  OCTET_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                         ExpandDataPaths(a.calibration_data, /*complete=*/false));
  OCTET_ASSIGN_OR_RETURN(const DatasetSamples samples,
                         OpenSamples(paths, graph, a.calibration.max_samples, a.fast_decode,
                                     /*labels=*/false, shard));
  if (samples.whole_size < 0) {
    return InvalidArgument(StrCat(paths[0], ": is a ", samples.description,
                                  ", of whose samples no shard can be taken, expected data that "
                                  "can be counted"));
  }
  CalibrationPart part;
  part.shard = shard;
  part.whole_samples = static_cast<int>(samples.whole_size);
  OCTET_ASSIGN_OR_RETURN(part.network, FingerprintOfNetwork(graph));
  OCTET_ASSIGN_OR_RETURN(part.data, FingerprintOfData(paths));
  part.method = a.calibration.method;
  part.percentile = a.calibration.percentile;
  part.fast_decode = a.fast_decode;
  CalibrationOptions options = a.calibration;
  options.first_sample = static_cast<int>(shard.Begin(samples.whole_size));
  {
    Progress bar("calibrating", samples.size);
    OCTET_ASSIGN_OR_RETURN(
        part.statistics,
        CollectStatistics(
            graph,
            part.watch.Over(samples.next, graph.tensor(graph.inputs[0]).shape.num_elements()),
            options, [&bar](int done, int) { bar.Update(done); }));
  }
  if (part.statistics.samples != samples.size) {
    return Corrupt(StrCat(paths[0], ": found ", part.statistics.samples, " samples in shard ",
                          shard.Text(), ", expected ", samples.size, " of ", samples.whole_size));
  }
  OCTET_RETURN_IF_ERROR(WriteCalibrationPart(a.save_calibration_table, part));
  return StrCat(a.save_calibration_table, ": shard ", shard.Text(), ", ", samples.size, " of ",
                samples.whole_size, " calibration samples\n");
}

/// Gives what is printed.
Result<std::string> Convert(const Arguments& a, std::vector<std::string>* notes) {
  if (a.calibration_shard) return ConvertShard(a, notes);
  const bool several = a.precisions.size() > 1;
  if (std::error_code error; !several || !std::filesystem::is_directory(a.output, error))
    OCTET_RETURN_IF_ERROR(CheckOutput(a.output));
  if (!a.save_calibration_table.empty())
    OCTET_RETURN_IF_ERROR(CheckOutput(a.save_calibration_table));
  if (!a.report.empty()) OCTET_RETURN_IF_ERROR(CheckOutput(a.report));
  OCTET_ASSIGN_OR_RETURN(Source source, ReadSource(a, notes));
  return several ? ConvertSeveral(a, &source, *notes) : ConvertOne(a, &source, *notes);
}

/// Of every format, from the tables that do the work.
std::vector<OperatorRow> AllOperators() {
  std::vector<OperatorRow> rows;
  for (const auto& list :
       {OnnxOperators(), KerasOperators(), SavedModelOperators(), TfliteOperators()}) {
    rows.insert(rows.end(), list.begin(), list.end());
  }
  return rows;
}

/// What is read, what is written, and what the file says of itself.
void AddModelOptions(CLI::App* app, Arguments* a) {
  app->add_option(
         "INPUT", a->input,
         "ONNX, safetensors, TFLite, SavedModel, Keras or PyTorch model; recognized by its content")
      ->required();
  app->add_option("--output", a->output,
                  "File to write, replaced only on success. Of several precisions its name gets "
                  "the precision: m.octet becomes m_int8.octet, a folder gets NAME_int8.octet")
      ->required();
  app->add_option_function<std::vector<std::string>>(
         "--precision",
         [a](const std::vector<std::string>& names) {
           for (const std::string& name : names) {
             for (int i = 0; i < kNumPrecisions; ++i) {
               const auto p = static_cast<Precision>(i);
               if (name != PrecisionName(p)) continue;
               if (a->wants(p)) throw CLI::ValidationError("--precision", name + " is given twice");
               a->precisions.push_back(p);
             }
           }
         },
         "fp32, fp16, bf16, hybrid, int8 or int16x8, or several with commas: a file each, and a "
         "table; "
         "default as the source: fp32, int8 or int16x8 for a quantized one, TFLite's own fp16 or "
         "hybrid")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(OneOf({"fp32", "fp16", "bf16", "hybrid", "int8", "int16x8"}));
  app->add_option(
      "--graph", a->graph,
      "Graph description (.json, or the name of one that ships) for files that hold only tensors");
  app->add_option_function<std::string>(
         "--weights",
         [a](const std::string& s) {
           a->weights = s == "ema" ? WeightsChoice::kAveraged : WeightsChoice::kRaw;
         },
         "ema or raw: which weights of a checkpoint that has averaged ones too; default raw")
      ->check(OneOf({"ema", "raw"}));
  app->add_option("--signature", a->signature,
                  "Signature of a SavedModel, where serving_default is not wanted");
  app->add_option("--name", a->name, "Name stored in the file");
  app->add_option("--labels", a->labels,
                  "Class names: one a line, `INDEX NAME` lines, a dict or list of Python or JSON, "
                  "or the texts of a TFRecord file");
  app->add_option("--preprocessing", a->preprocessing,
                  "JSON: resize, resize_shorter, filter, order, scale, mean, std");
}

void AddCalibrationOptions(CLI::App* app, Arguments* a) {
  CLI::Option* data =
      app->add_option("--calibration-data", a->calibration_data,
                      "Representative images: folder, TFRecord or .npy file, or a quoted pattern. "
                      "int8 and uint8 inputs take their ranges from them, and the verdict is what "
                      "they show; may be given several times")
          ->allow_extra_args(false);
  app->add_option("--calibration-samples", a->calibration.max_samples,
                  "At most this many (100), spread evenly")
      ->check(CLI::Range(1, 1000000));
  app->add_flag("--fast-decode", a->fast_decode,
                "Decode JPEGs of the calibration data at 1/8, 1/4 or 1/2 of their size, not below "
                "twice the network's; other pixels");
  app->add_option_function<std::string>(
         "--calibration-method",
         [a](const std::string& s) {
           a->calibration.method = static_cast<CalibrationMethod>(
               std::ranges::find(kCalibrationMethodNames, s) - kCalibrationMethodNames.begin());
         },
         StrCat("How ranges are found; default ",
                NameOf(kCalibrationMethodNames, a->calibration.method)))
      ->check(OneOf(std::vector<std::string>(kCalibrationMethodNames.begin(),
                                             kCalibrationMethodNames.end())));
  app->add_option("--calibration-percentile", a->calibration.percentile,
                  "Percent of the values that percentile keeps (99.999)")
      ->check(CLI::Range(50.0, 100.0));
  app->add_option_function<std::vector<std::string>>(
         "--tune",
         [a](const std::vector<std::string>& names) {
           a->tune.clear();
           for (size_t i = 0; i < kTuneStepNames.size(); ++i) {
             if (std::ranges::find(names, kTuneStepNames[i]) != names.end())
               a->tune.push_back(static_cast<TuneStep>(i));
           }
           if (a->tune.size() != names.size() && names != std::vector<std::string>{"none"})
             throw CLI::ValidationError("--tune", "takes each step once, or none alone");
         },
         "Steps to try for hybrid and int8: branches, equalize, pixels, rounding, or none; default "
         "all, each kept where the data shows that it helps")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("STEPS");
  app->add_option("--calibration-table", a->calibration_tables,
                  "Use the ranges of this file instead of data, or of all parts of one: several "
                  "times, or a quoted pattern")
      ->excludes(data)
      ->allow_extra_args(false);
  app->add_option("--save-calibration-table", a->save_calibration_table,
                  "Write the measured ranges there (JSON), or those of the parts");
  AddShard(
      app, "--calibration-shard", &a->calibration_shard,
      "Write what shard I of N of the calibration samples, counted from 0, shows to the file of "
      "--save-calibration-table, a part of a table, and no model")
      ->each([app](const std::string&) { app->get_option("--output")->required(false); });
}

/// What the result is like, and how it is judged and told of.
void AddResultOptions(CLI::App* app, Arguments* a) {
  const auto add_type = [app](const char* name, std::optional<DType>* type) {
    app->add_option_function<std::string>(
           name,
           [type](const std::string& s) {
             *type = s == "uint8" ? DType::kU8 : s == "int16" ? DType::kI16 : DType::kF32;
           },
           "float32, uint8 or int16; default as the source")
        ->check(OneOf({"float32", "uint8", "int16"}));
  };
  add_type("--input-type", &a->input_type);
  add_type("--output-type", &a->output_type);
  app->add_option("--data", a->data,
                  "Images for the table of several precisions: accuracy where they have labels, "
                  "agreement with the source, latency; as octet evaluate takes them")
      ->allow_extra_args(false);
  app->add_option("--keep", a->keep,
                  "Layers that stay in float32, by the names that octet compare prints, or "
                  "patterns of them, with commas")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LAYERS");
  app->add_option("--widen", a->widen, "The same of layers of int8 that compute as in int16x8")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LAYERS");
  app->add_option(
         "--max-drop", a->budget.max_drop,
         "Raise layers of int8 to int16x8 or float32, as few and cheap as can be, until accuracy "
         "drops by at most so many percent points or, without labels, so many percent of the "
         "labels change; of samples that no range is taken from")
      ->check(CLI::Range(0.0, 100.0))
      ->type_name("POINTS");
  app->add_option("--min-sqnr", a->budget.min_sqnr_db,
                  "The same until the answers are so near to the float network's")
      ->check(CLI::Range(0.0, 200.0))
      ->type_name("DB");
  CLI::Option* reference = app->add_option(
      "--compare-with", a->compare_with,
      "Print the error against these answers of the source's framework (.npy, one row an image)");
  CLI::Option* inputs =
      app->add_option(
             "--compare-input", a->compare_input,
             "What the answers were computed on (.npy): uint8 images, or the source's input tensor")
          ->needs(reference);
  reference->needs(inputs);
  app->add_flag("--require-int8", a->require_int8,
                "Fail when an operator would stay in float, naming it (a softmax, log-softmax, "
                "sigmoid or tanh at the end excepted)");
  app->add_option("--report", a->report,
                  "Write a page of it, with charts, layers and photos, to this HTML file");
  app->add_flag("--json", a->json, "Print the report as JSON");
  app->add_flag("--strict", a->strict, "Take warnings for errors");
}

/// Which options go with which values of others.
void CheckTogether(const CLI::App& app, const Arguments& a) {
  for (const char* name : {"--calibration-samples", "--fast-decode", "--calibration-method",
                           "--calibration-percentile", "--tune", "--calibration-shard"}) {
    if (app.count(name) > 0 && a.calibration_data.empty() && !a.budget.wanted())
      throw CLI::RequiresError(name, "--calibration-data");
  }
  if (app.count("--save-calibration-table") > 0 && a.calibration_data.empty() &&
      a.calibration_tables.empty() && !a.budget.wanted())
    throw CLI::RequiresError("--save-calibration-table",
                             "--calibration-data or --calibration-table");
  if (a.calibration_shard) {
    if (a.save_calibration_table.empty())
      throw CLI::RequiresError("--calibration-shard", "--save-calibration-table");
    // What shapes a file that is not written, and what judges it.
    for (const char* name :
         {"--output", "--precision", "--labels", "--name", "--tune", "--input-type",
          "--output-type", "--data", "--keep", "--widen", "--max-drop", "--min-sqnr",
          "--compare-with", "--require-int8", "--report", "--json", "--strict"}) {
      if (app.count(name) > 0) throw CLI::ExcludesError("--calibration-shard", name);
    }
  }
  if (!a.data.empty() && a.precisions.size() < 2 && !a.budget.wanted())
    throw CLI::ValidationError("--data", "goes with several precisions, or with a budget");
  if (a.budget.wanted()) {
    const char* name = a.budget.max_drop ? "--max-drop" : "--min-sqnr";
    if (a.precisions != std::vector<Precision>{Precision::kInt8})
      throw CLI::ValidationError(name, "goes with --precision=int8");
    if (a.data.empty() && a.calibration_data.empty())
      throw CLI::ValidationError(name, "needs --data or --calibration-data to judge by");
    if (!a.calibration_tables.empty())
      throw CLI::ValidationError(name, "takes ranges from data, not from a table");
  }
  if (!a.widen.empty() && !a.wants(Precision::kInt8))
    throw CLI::ValidationError("--widen", "goes with --precision=int8");
  if (a.require_int8 && (a.budget.wanted() || !a.keep.empty()))
    throw CLI::ValidationError("--require-int8", "leaves no layer in float");
  if (app.count("--compare-with") > 0 && a.precisions.size() > 1)
    throw CLI::ValidationError("--compare-with", "goes with one precision");
  if (a.require_int8 && !a.wants_integers())
    throw CLI::ValidationError("--require-int8", "goes with --precision=int8 or int16x8");
  if (app.count("--calibration-percentile") > 0 &&
      a.calibration.method != CalibrationMethod::kPercentile) {
    throw CLI::ValidationError("--calibration-percentile",
                               "goes with --calibration-method=percentile");
  }
  const bool calibrated =
      a.precisions.empty() || a.wants_integers() || IsCodes(a.input_type.value_or(DType::kF32)) ||
      IsCodes(a.output_type.value_or(DType::kF32)) || app.count("--save-calibration-table") > 0;
  if (app.count("--calibration-table") > 0 && !calibrated)
    throw CLI::ValidationError("--calibration-table",
                               "goes with --precision=int8, int16x8 or quantized types");
  const bool measured = a.wants(Precision::kHybrid) || a.wants(Precision::kFp16);
  if (app.count("--calibration-data") > 0 && !calibrated && !measured)
    throw CLI::ValidationError("--calibration-data", "does nothing for fp32");
}

int Main(int argc, char** argv) {
  CLI::App app("Converts a trained network to an .octet file.", "octet_convert");
  Arguments a;
  AddModelOptions(&app, &a);
  AddCalibrationOptions(&app, &a);
  AddResultOptions(&app, &a);
  bool list = false;
  app.add_flag_callback(
      "--list-operators",
      [&list] {
        list = true;
        throw CLI::Success();
      },
      "Print the operators of each format, with their limits, and exit");
  app.footer(
      Example("octet_convert model.onnx --precision=fp32,int8 --calibration-data=photos/ \\\n"
              "      --data=test.tfrecord --output=model.octet"));
  const std::optional<int> done = ParseCommandLine(&app, argc, argv, [&] {
    if (a.budget.wanted() && a.precisions.empty()) a.precisions = {Precision::kInt8};
    CheckTogether(app, a);
  });
  if (list && done == 0) {
    const std::string text = a.json ? OperatorsJson(AllOperators()) : OperatorsText(AllOperators());
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  if (done) return *done;

  a.command = CommandText(argc, argv);
  std::vector<std::string> notes;
  const Result<std::string> report = Convert(a, &notes);
  for (const std::string& note : notes)
    std::fprintf(stderr, "octet_convert: note: %s\n", note.c_str());
  if (!report.ok()) {
    std::fprintf(stderr, "octet_convert: %s\n", report.status().message().c_str());
    return 1;
  }
  std::fwrite(report->data(), 1, report->size(), stdout);
  return 0;
}

}  // namespace

int OctetConvertProgram(int argc, char** argv) {
  return RunProgram("octet_convert", [&] { return Main(argc, argv); });
}

}  // namespace octet
