// MakeReport counts what is in the written graph; text and JSON are two views of the same struct.
#include "converter/report/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/src/model_impl.h"
#include "formats/base/str_cat.h"
#include "formats/data/table.h"
#include "formats/data/tensor_json.h"
#include "formats/model/analysis.h"
#include "formats/model/input_meaning.h"
#include "formats/model/operators.h"
#include "formats/model/preprocessing.h"

namespace octet {
namespace {

std::string Join(const std::vector<std::string>& parts) {
  std::string s;
  for (const std::string& p : parts) s += (s.empty() ? "" : ", ") + p;
  return s;
}

std::string DescribeTensors(const std::vector<Tensor>& tensors,
                            const ChannelQuantization& channels = {}) {
  std::vector<std::string> texts;
  for (const Tensor& t : tensors) {
    texts.push_back(StrCat(t.name, " ", DTypeName(t.dtype), " ", t.shape.ToString()));
    if (!channels.empty()) {
      texts.back() += StrCat(" pixels, ", Describe(channels));
    } else if (IsCodes(t.dtype)) {
      texts.back() +=
          StrCat(" scale ", t.quantization.scale, " zero point ", t.quantization.zero_point);
    }
  }
  return Join(texts);
}

/// Three digits.
std::string Short(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g", value);
  return text;
}

/// Whether the operator computes with floats, as opposed to converting from or to them.
bool ComputesInFloat(const Graph& g, const Node& n) {
  return !TraitsOf(n.type).converts && n.type != OpType::kReshape && n.type != OpType::kSlice &&
         g.tensor(n.inputs[0]).dtype == DType::kF32;
}

nlohmann::ordered_json TensorsJson(const std::vector<Tensor>& tensors,
                                   const ChannelQuantization& channels = {}) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const Tensor& t : tensors) json.push_back(TensorJson(t, channels));
  return json;
}

std::string LabelsText(const ConversionReport& r) {
  if (r.labels.empty()) return "none";
  return StrCat(r.labels.size(), ", '", r.labels.front(), "' to '", r.labels.back(), "', from ",
                r.labels_source);
}

std::string ScoreText(const Budget& budget, const OutputScore& score) {
  std::string s;
  if (budget.max_drop)
    s += StrCat(Fixed(score.drop(), 2),
                score.labelled > 0 ? " points lost" : " % of labels changed");
  if (budget.min_sqnr_db) s += StrCat(s.empty() ? "" : ", ", DecibelText(score.sqnr_db));
  return s;
}

nlohmann::ordered_json BudgetJson(const BudgetReport& b) {
  const auto score = [](const OutputScore& s) {
    return nlohmann::ordered_json{{"samples", s.samples},
                                  {"changed", s.changed},
                                  {"labelled", s.labelled},
                                  {"drop", s.drop()},
                                  {"sqnr_db", s.sqnr_db}};
  };
  nlohmann::ordered_json json;
  if (b.budget.max_drop) json["max_drop"] = *b.budget.max_drop;
  if (b.budget.min_sqnr_db) json["min_sqnr_db"] = *b.budget.min_sqnr_db;
  json["int8"] = score(b.int8);
  json["mixed"] = score(b.mixed);
  json["raised"] = nlohmann::ordered_json::array();
  for (const RaisedLayer& layer : b.raised) {
    json["raised"].push_back({{"layer", layer.name},
                              {"precision", PrecisionName(layer.precision)},
                              {"share", layer.share},
                              {"ms", layer.ms}});
  }
  return json;
}

}  // namespace

ConversionReport MakeReport(const Graph& written, const Graph& optimized, int64_t file_size,
                            InputMeaning meaning) {
  ConversionReport r;
  r.meaning = std::move(meaning);
  r.labels = written.metadata.labels;
  r.name = written.metadata.name;
  r.source = written.metadata.source;
  r.options = written.metadata.options;
  r.precision = written.metadata.precision;
  r.file_size = file_size;
  for (TensorId id : written.inputs) r.inputs.push_back(written.tensor(id));
  r.channels_of_input = ChannelsOfInput(written);
  for (TensorId id : written.outputs) r.outputs.push_back(written.tensor(id));
  for (const Node& n : written.nodes) {
    ++r.operators[OpTypeName(n.type)];
    r.macs += NodeMacs(written, n);
    const bool integers = r.precision == Precision::kInt8 || r.precision == Precision::kInt16x8;
    if (integers && ComputesInFloat(written, n)) {
      r.float_operators.push_back(StrCat(n.name, " (", OpTypeName(n.type), ")"));
    }
  }
  r.parameters = CountParameters(optimized);
  return r;
}

std::string ReportText(const ConversionReport& r) {
  std::string operators;
  int count = 0;
  for (const auto& [type, n] : r.operators) {
    operators += StrCat(operators.empty() ? "" : ", ", type, " ", n);
    count += n;
  }
  std::string s = StrCat("source:      ", r.source, "\nname:        ", r.name,
                         "\ninput:       ", DescribeTensors(r.inputs, r.channels_of_input), "; ",
                         r.meaning.text);
  if (!r.meaning.preprocessing.empty()) s += "\npreprocessing: " + r.meaning.preprocessing;
  s += StrCat("\noutput:      ", DescribeTensors(r.outputs), "\nlabels:      ", LabelsText(r));
  if (!r.data.empty()) s += "\ndata:        " + r.data;
  if (r.verdict && r.verdict->labelled == 0) s += "; labels are not used";
  s += StrCat("\noperators:   ", count, " (", operators, ")");
  if (!r.float_operators.empty()) s += "\nin float32:  " + Join(r.float_operators);
  s += StrCat("\nparameters:  ", Thousands(r.parameters), "\nMACs:        ", Thousands(r.macs),
              " per image");
  if (!r.calibration_method.empty()) {
    s += StrCat("\ncalibration: ", r.calibration_method, ", ", r.calibration_samples, " samples");
  }
  for (size_t i = 0; i < r.by_hand.size(); ++i)
    s += (i == 0 ? "\nby hand:     " : ", ") + r.by_hand[i];
  if (r.budget) {
    const std::vector<std::string> lines = BudgetLines(*r.budget);
    for (size_t i = 0; i < lines.size(); ++i)
      s += StrCat(i == 0 ? "\nbudget:      " : "\nraised:      ", lines[i]);
  }
  for (const TuneResult& t : r.tuning) {
    s += StrCat("\ntuning:      ", NameOf(kTuneStepNames, t.step), ", ", DecibelText(t.before_db),
                " to ", DecibelText(t.after_db), t.kept ? "" : ": not kept");
  }
  if (r.comparison) {
    s += "\n" + ComparisonText(*r.comparison, r.reference);
  }
  if (r.verdict) {
    s += "\n" + VerdictText(*r.verdict, static_cast<double>(r.file_size) /
                                            (4.0 * static_cast<double>(r.parameters)));
  } else if (!r.no_verdict.empty()) {
    s += "\nverdict:     not measured: " + r.no_verdict;
  }
  return s + StrCat("\nwrote:       ", r.output, ", ", PrecisionName(r.precision), ", ",
                    Thousands(r.file_size), " bytes\n");
}

std::string ReportJson(const ConversionReport& r) {
  nlohmann::ordered_json json;
  json["output"] = r.output;
  json["name"] = r.name;
  json["source"] = r.source;
  json["options"] = r.options;
  json["precision"] = PrecisionName(r.precision);
  json["size_bytes"] = r.file_size;
  json["parameters"] = r.parameters;
  json["macs"] = r.macs;
  json["operators"] = r.operators;
  json["float_operators"] = r.float_operators;
  if (!r.notes.empty()) json["notes"] = r.notes;
  json["warnings"] = r.warnings;
  json["inputs"] = TensorsJson(r.inputs, r.channels_of_input);
  json["outputs"] = TensorsJson(r.outputs);
  json["input_meaning"] = r.meaning.text;
  json["preprocessing"] = r.meaning.preprocessing;
  json["labels"] = {{"count", r.labels.size()}};
  if (!r.labels.empty()) {
    json["labels"]["source"] = r.labels_source;
    json["labels"]["first"] = r.labels.front();
    json["labels"]["last"] = r.labels.back();
    json["labels"]["names"] = r.labels;
  }
  if (!r.data.empty()) json["data"] = r.data;
  if (!r.calibration_method.empty()) {
    json["calibration"] = {{"method", r.calibration_method}, {"samples", r.calibration_samples}};
  }
  if (!r.by_hand.empty()) json["by_hand"] = r.by_hand;
  if (r.budget) json["budget"] = BudgetJson(*r.budget);
  for (const TuneResult& t : r.tuning) {
    json["tuning"].push_back({{"step", NameOf(kTuneStepNames, t.step)},
                              {"before_db", t.before_db},
                              {"after_db", t.after_db},
                              {"kept", t.kept}});
  }
  if (r.comparison) {
    json["comparison"] = ComparisonJson(*r.comparison, r.reference);
  }
  if (r.verdict) {
    json["verdict"] = VerdictJson(*r.verdict);
  } else if (!r.no_verdict.empty()) {
    json["verdict"] = nullptr;
  }
  // Names come from files and need not be UTF-8.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::vector<std::string> BudgetLines(const BudgetReport& b) {
  std::string allowed;
  if (b.budget.max_drop) allowed += StrCat("at most ", Short(*b.budget.max_drop));
  if (b.budget.min_sqnr_db)
    allowed +=
        StrCat(allowed.empty() ? "" : ", ", "at least ", Short(*b.budget.min_sqnr_db), " dB");
  std::vector<std::string> lines{StrCat(
      ScoreText(b.budget, b.mixed), ", ", allowed, " on ", b.mixed.samples,
      " samples that no range is from; ",
      b.raised.empty() ? "all layers in int8" : "int8 alone: " + ScoreText(b.budget, b.int8))};
  for (const RaisedLayer& layer : b.raised) {
    lines.push_back(
        StrCat(layer.name, " in ", PrecisionName(layer.precision), ", ",
               layer.share > 0.0 ? Fixed(100.0 * layer.share, 1) + " % of int8's error, " : "",
               Fixed(layer.ms, 3), " ms more"));
  }
  return lines;
}

std::string VerdictText(const Verdict& v, double size) {
  const auto percent = [](double share) { return Fixed(100.0 * share, 0) + " %"; };
  std::string s = StrCat("verdict:     labels kept ", v.labels_kept, " of ", v.samples,
                         ", outputs ", DecibelText(v.sqnr_db), ", ", percent(size),
                         " of the size, ", percent(v.ms / v.float_ms), " of the time (",
                         Fixed(v.ms, 3), " of ", Fixed(v.float_ms, 3), " ms)");
  if (v.labelled > 0) {
    const ConfidenceInterval share = WilsonInterval(v.correct, v.labelled);
    s += StrCat("\naccuracy:    ", v.float_correct, " of ", v.labelled, " before, ", v.correct,
                " after (",
                percent(static_cast<double>(v.correct) / static_cast<double>(v.labelled)),
                "; 95 % sure of ", Fixed(100.0 * share.low, 1), " to ",
                Fixed(100.0 * share.high, 1), "); lost ", v.lost, ", won ", v.won);
    if (v.lost + v.won > 0) s += StrCat(", by chance with p = ", Fixed(McNemar(v.lost, v.won), 2));
  }
  return s;
}

nlohmann::ordered_json VerdictJson(const Verdict& v) {
  // What is exact has no number of decibels: null.
  nlohmann::ordered_json json{{"samples", v.samples},
                              {"labels_kept", v.labels_kept},
                              {"sqnr_db", v.sqnr_db},
                              {"median_ms", v.ms},
                              {"float_median_ms", v.float_ms}};
  if (v.labelled > 0) {
    const ConfidenceInterval share = WilsonInterval(v.correct, v.labelled);
    json["accuracy"] = {{"labelled", v.labelled},
                        {"float_correct", v.float_correct},
                        {"correct", v.correct},
                        {"interval", {share.low, share.high}},
                        {"lost", v.lost},
                        {"won", v.won},
                        {"mcnemar_p", McNemar(v.lost, v.won)}};
  }
  return json;
}

std::string ComparisonText(const Comparison& c, const std::string& reference) {
  return StrCat("compared:    with ", reference, ", ", c.images, " images: absolute error ",
                Short(c.absolute_error), ", relative error ", Short(c.relative_error),
                ", top-1 equal ", c.equal_top1, "/", c.images, " (",
                Short(100.0 * static_cast<double>(c.equal_top1) / static_cast<double>(c.images)),
                " %)");
}

nlohmann::ordered_json ComparisonJson(const Comparison& c, const std::string& reference) {
  // An error that is not a number becomes null.
  return {{"reference", reference},
          {"images", c.images},
          {"absolute_error", c.absolute_error},
          {"relative_error", c.relative_error},
          {"equal_top1", c.equal_top1},
          {"equal_top1_share", static_cast<double>(c.equal_top1) / static_cast<double>(c.images)}};
}

std::string DecibelText(double db) {
  return std::isinf(db) && db > 0.0 ? "exact" : Fixed(db, 1) + " dB";
}

std::string OperatorsText(const std::vector<OperatorRow>& rows) {
  constexpr size_t kColumn = 34;
  std::string text, format;
  for (const OperatorRow& row : rows) {
    if (row.format != format) text += StrCat(text.empty() ? "" : "\n", row.format, "\n");
    format = row.format;
    const std::string gap(std::max<size_t>(kColumn, row.name.size() + 2) - row.name.size(), ' ');
    text += StrCat("  ", row.name, row.limits.empty() ? "" : gap + row.limits, "\n");
  }
  return text;
}

std::string OperatorsJson(const std::vector<OperatorRow>& rows) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const OperatorRow& row : rows) {
    all.push_back({{"format", row.format}, {"operator", row.name}, {"limits", row.limits}});
  }
  return all.dump(1) + "\n";
}

}  // namespace octet
