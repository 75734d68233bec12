// octet_convert INPUT --output OUT.octet: from an exported model to an .octet file.
// Exit codes: 0 written, 1 could not be done, 2 wrong command line.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/calibrate/sample_source.h"
#include "converter/import/importer.h"
#include "converter/import/preprocessing_json.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "converter/report/compare.h"
#include "converter/report/report.h"
#include "engine/src/model_impl.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/labels.h"
#include "formats/data/program.h"
#include "formats/data/progress.h"
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
  std::optional<Precision> precision;  ///< As the source when absent.
  std::vector<std::string> calibration_data;
  std::string calibration_table, save_calibration_table;
  CalibrationOptions calibration;
  std::string preprocessing, labels, name, graph, signature;
  WeightsChoice weights = WeightsChoice::kDefault;
  std::string compare_with, compare_input;
  std::optional<DType> input_type, output_type;
  bool require_int8 = false, fast_decode = false;
  bool json = false, strict = false;
};

/// The options that shaped the result, for the file. No paths: the same inputs give the same bytes
/// wherever they lie.
std::string OptionsLine(const Arguments& a, Precision precision,
                        const std::optional<CalibrationTable>& table) {
  std::string s = StrCat("--precision=", PrecisionName(precision));
  if (table)
    s += StrCat(" --calibration-method=", table->method, " --calibration-samples=", table->samples);
  if (a.fast_decode) s += " --fast-decode";
  if (a.input_type) s += StrCat(" --input-type=", DTypeName(*a.input_type));
  if (a.output_type) s += StrCat(" --output-type=", DTypeName(*a.output_type));
  if (a.require_int8) s += " --require-int8";
  if (a.weights != WeightsChoice::kDefault)
    s += a.weights == WeightsChoice::kRaw ? " --weights=raw" : " --weights=ema";
  return s;
}

/// Finds out before the long part whether the result can be put there.
Status CheckOutput(const std::string& path) {
  std::error_code error;
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  if (!std::filesystem::is_directory(folder, error)) {
    return NotFound(StrCat(path, ": folder ", folder.string(), " does not exist"));
  }
  if (std::filesystem::is_directory(path, error))
    return InvalidArgument(StrCat(path, ": is a folder, expected a file name"));
  return OkStatus();
}

Result<std::optional<CalibrationTable>> GetCalibrationTable(const Arguments& a, const Graph& graph,
                                                            std::string* data) {
  if (!a.calibration_table.empty()) {
    OCTET_ASSIGN_OR_RETURN(CalibrationTable table, ReadCalibrationTable(a.calibration_table));
    *data = StrCat(a.calibration_table, ", a calibration table");
    return std::optional<CalibrationTable>(std::move(table));
  }
  if (a.calibration_data.empty()) return std::optional<CalibrationTable>();
  if (IsQuantized(graph)) {
    return InvalidArgument(
        "--calibration-data: the network is quantized already and has its ranges");
  }
  OCTET_ASSIGN_OR_RETURN(
      DatasetSamples samples,
      OpenSamples(a.calibration_data, graph, a.calibration.max_samples, a.fast_decode));
  *data = StrCat(a.calibration_data[0], a.calibration_data.size() > 1 ? ", ..." : "", ", ",
                 samples.description, "; labels are not used");
  const int64_t total = samples.size > 0 ? samples.size : a.calibration.max_samples;
  Progress bar("calibrating", total);
  OCTET_ASSIGN_OR_RETURN(
      CalibrationTable table,
      Calibrate(graph, samples.next, a.calibration, [&bar](int done, int) { bar.Update(done); }));
  return std::optional<CalibrationTable>(std::move(table));
}

/// By the reference kernels: a fault of this machine's would otherwise be what other machines are
/// held to.
Result<std::vector<float>> ComputeGolden(const Graph& graph) {
  OCTET_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model, ModelFromGraph(graph));
  SessionOptions options;
  options.isa = "reference";
  options.num_threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 64u));
  OCTET_ASSIGN_OR_RETURN(std::unique_ptr<Session> session,
                         Session::Create(std::move(model), options));
  return RunGolden(session.get(), kGoldenSeed);
}

Result<ConversionReport> Convert(const Arguments& a, std::vector<std::string>* notes) {
  OCTET_RETURN_IF_ERROR(CheckOutput(a.output));
  if (!a.save_calibration_table.empty())
    OCTET_RETURN_IF_ERROR(CheckOutput(a.save_calibration_table));

  OCTET_ASSIGN_OR_RETURN(Graph graph, ImportModel(a.input, {.graph = a.graph,
                                                            .signature = a.signature,
                                                            .weights = a.weights,
                                                            .notes = notes}));
  const SourceInput source = SourceInputOf(graph);
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
  if (graph.metadata.name.empty())
    graph.metadata.name = std::filesystem::path(a.input).stem().string();
  const bool raw_pixels = a.preprocessing.empty() && GetsRawPixels(graph);
  OCTET_RETURN_IF_ERROR(Optimize(&graph));

  std::string data;
  OCTET_ASSIGN_OR_RETURN(const std::optional<CalibrationTable> table,
                         GetCalibrationTable(a, graph, &data));
  std::optional<ValueRange> measured;
  if (table) {
    const auto range = table->ranges.find(graph.tensor(graph.inputs[0]).name);
    if (range != table->ranges.end()) measured = {range->second.min, range->second.max};
  }
  QuantizeOptions options;
  options.precision =
      a.precision.value_or(IsQuantized(graph) ? Precision::kInt8 : graph.metadata.precision);
  options.input_type = a.input_type.value_or(graph.tensor(graph.inputs[0]).dtype);
  options.output_type = a.output_type.value_or(graph.tensor(graph.outputs[0]).dtype);
  options.require_int8 = a.require_int8;
  OCTET_ASSIGN_OR_RETURN(Graph quantized, QuantizeGraph(graph, options, table ? &*table : nullptr));
  quantized.metadata.options = OptionsLine(a, options.precision, table);
  if (raw_pixels) quantized.metadata.options += StrCat(" ", kRawPixelsOption);

  Warnings warnings;
  const InputMeaning meaning = MeaningOfInput(quantized, measured);
  if (!meaning.doubt.empty()) warnings.Add(meaning.doubt);

  Golden golden;
  golden.seed = kGoldenSeed;
  OCTET_ASSIGN_OR_RETURN(golden.output, ComputeGolden(quantized));
  OCTET_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, SerializeOctet(quantized, golden));
  std::optional<Comparison> comparison;
  if (!a.compare_with.empty()) {
    OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           Model::FromMemory(bytes.data(), bytes.size()));
    OCTET_ASSIGN_OR_RETURN(comparison, CompareWithReference(model, source, a.compare_input,
                                                            a.compare_with, &warnings));
  }
  OCTET_RETURN_IF_ERROR(warnings.Report("octet_convert", a.strict));
  if (!a.save_calibration_table.empty()) {
    OCTET_RETURN_IF_ERROR(WriteCalibrationTable(a.save_calibration_table, *table));
  }
  OCTET_RETURN_IF_ERROR(WriteFileAtomically(a.output, bytes));

  ConversionReport report =
      MakeReport(quantized, graph, static_cast<int64_t>(bytes.size()), meaning);
  report.output = a.output;
  report.notes = *notes;
  report.warnings = warnings.texts();
  report.labels_source = a.labels.empty() ? "the source" : a.labels;
  report.data = data;
  if (table) {
    report.calibration_method = table->method;
    report.calibration_samples = table->samples;
  }
  report.reference = a.compare_with;
  report.comparison = comparison;
  return report;
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

int Main(int argc, char** argv) {
  CLI::App app("Converts a trained network to an .octet file.", "octet_convert");
  Arguments a;
  std::string precision, input_type, output_type, weights;
  std::string method(NameOf(kCalibrationMethodNames, a.calibration.method));
  app.add_option(
         "INPUT", a.input,
         "ONNX, safetensors, TFLite, SavedModel, Keras or PyTorch model; recognized by its content")
      ->required();
  app.add_option("--output", a.output, "File to write; replaced only on success")->required();
  app.add_option("--precision", precision,
                 "fp32, fp16, hybrid or int8; default as the source: fp32, int8 for a quantized "
                 "one, TFLite's own fp16 or hybrid")
      ->check(CLI::IsMember({"fp32", "fp16", "hybrid", "int8"}));
  app.add_option(
      "--graph", a.graph,
      "Graph description (.json, or the name of one that ships) for files that hold only tensors");
  app.add_option(
         "--weights", weights,
         "ema or raw: which weights of a checkpoint that has averaged ones too; default raw")
      ->check(CLI::IsMember({"ema", "raw"}));
  app.add_option("--signature", a.signature,
                 "Signature of a SavedModel, where serving_default is not wanted");
  app.add_option("--name", a.name, "Name stored in the file");
  app.add_option("--labels", a.labels,
                 "Class names: one a line, `INDEX NAME` lines, a dict or list of Python or JSON, "
                 "or the texts of a TFRecord file");
  app.add_option("--preprocessing", a.preprocessing,
                 "JSON: resize, resize_shorter, filter, order, scale, mean, std");
  CLI::Option* data =
      app.add_option("--calibration-data", a.calibration_data,
                     "Representative images: folder, TFRecord or .npy file, or a quoted pattern "
                     "(int8, uint8 inputs); may be given several times")
          ->allow_extra_args(false);
  CLI::Option* samples = app.add_option("--calibration-samples", a.calibration.max_samples,
                                        "At most this many (100), spread evenly")
                             ->check(CLI::Range(1, 1000000));
  CLI::Option* fast_decode = app.add_flag(
      "--fast-decode", a.fast_decode,
      "Decode JPEGs of the calibration data at 1/8, 1/4 or 1/2 of their size, not below "
      "twice the network's; other pixels");
  CLI::Option* method_option =
      app.add_option("--calibration-method", method, "How ranges are found; default " + method)
          ->check(CLI::IsMember(std::vector<std::string>(kCalibrationMethodNames.begin(),
                                                         kCalibrationMethodNames.end())));
  CLI::Option* percentile = app.add_option("--calibration-percentile", a.calibration.percentile,
                                           "Percent of the values that percentile keeps (99.99)")
                                ->check(CLI::Range(50.0, 100.0));
  CLI::Option* table = app.add_option("--calibration-table", a.calibration_table,
                                      "Use the ranges of this file instead of data");
  CLI::Option* save = app.add_option("--save-calibration-table", a.save_calibration_table,
                                     "Write the measured ranges there (JSON)");
  app.add_option("--input-type", input_type, "float32 or uint8; default as the source")
      ->check(CLI::IsMember({"float32", "uint8"}));
  app.add_option("--output-type", output_type, "float32 or uint8; default as the source")
      ->check(CLI::IsMember({"float32", "uint8"}));
  CLI::Option* reference = app.add_option(
      "--compare-with", a.compare_with,
      "Print the error against these answers of the source's framework (.npy, one row an image)");
  CLI::Option* inputs = app.add_option(
      "--compare-input", a.compare_input,
      "What the answers were computed on (.npy): uint8 images, or the source's input tensor");
  app.add_flag("--require-int8", a.require_int8,
               "Fail when an operator would stay in float, naming it (a softmax, log-softmax, "
               "sigmoid or tanh at the end excepted)");
  app.add_flag("--json", a.json, "Print the report as JSON");
  app.add_flag("--strict", a.strict, "Take warnings for errors");
  bool list = false;
  app.add_flag_callback(
      "--list-operators",
      [&list] {
        list = true;
        throw CLI::Success();
      },
      "Print the operators of each format, with their limits, and exit");
  table->excludes(data);
  save->needs(data);
  samples->needs(data);
  fast_decode->needs(data);
  method_option->needs(data);
  percentile->needs(data);
  reference->needs(inputs);
  inputs->needs(reference);
  app.failure_message([](const CLI::App*, const CLI::Error& e) {
    return StrCat("octet_convert: ", e.what(), " (see --help)\n");
  });
  try {
    app.parse(argc, argv);
    if (a.require_int8 && precision != "int8") {
      throw CLI::ValidationError("--require-int8", "goes with --precision=int8");
    }
    a.calibration.method = static_cast<CalibrationMethod>(
        std::ranges::find(kCalibrationMethodNames, method) - kCalibrationMethodNames.begin());
    if (percentile->count() > 0 && a.calibration.method != CalibrationMethod::kPercentile) {
      throw CLI::ValidationError("--calibration-percentile",
                                 "goes with --calibration-method=percentile");
    }
  } catch (const CLI::ParseError& e) {
    if (list) {
      const std::string text =
          a.json ? OperatorsJson(AllOperators()) : OperatorsText(AllOperators());
      std::fwrite(text.data(), 1, text.size(), stdout);
      return 0;
    }
    return app.exit(e) == 0 ? 0 : 2;
  }
  for (Precision p : {Precision::kFp32, Precision::kFp16, Precision::kHybrid, Precision::kInt8}) {
    if (precision == PrecisionName(p)) a.precision = p;
  }
  const auto type = [](const std::string& s) {
    return s.empty() ? std::nullopt : std::optional<DType>(s == "uint8" ? DType::kU8 : DType::kF32);
  };
  a.input_type = type(input_type);
  a.output_type = type(output_type);

  if (!weights.empty())
    a.weights = weights == "ema" ? WeightsChoice::kAveraged : WeightsChoice::kRaw;

  std::vector<std::string> notes;
  const Result<ConversionReport> report = Convert(a, &notes);
  for (const std::string& note : notes)
    std::fprintf(stderr, "octet_convert: note: %s\n", note.c_str());
  if (!report.ok()) {
    std::fprintf(stderr, "octet_convert: %s\n", report.status().message().c_str());
    return 1;
  }
  const std::string text = a.json ? ReportJson(*report) : ReportText(*report);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace
}  // namespace octet

int main(int argc, char** argv) {
  return octet::RunProgram("octet_convert", [&] { return octet::Main(argc, argv); });
}
