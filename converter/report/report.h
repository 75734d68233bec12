// What a conversion made, for people and for programs.
#ifndef OCTET_CONVERTER_REPORT_REPORT_H_
#define OCTET_CONVERTER_REPORT_REPORT_H_

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "converter/import/builder/operator_row.h"
#include "converter/report/compare.h"
#include "converter/report/verdict.h"
#include "converter/tune/budget.h"
#include "converter/tune/tune.h"
#include "formats/model/graph.h"
#include "formats/model/input_meaning.h"

namespace octet {

struct ConversionReport {
  std::string output;  ///< Path of the file.
  std::string name, source, options;
  Precision precision = Precision::kFp32;
  std::vector<Tensor> inputs, outputs;    ///< Without values.
  ChannelQuantization channels_of_input;  ///< Where its codes are pixels.
  InputMeaning meaning;                   ///< Of the first input.
  std::vector<std::string> labels;
  std::string labels_source;             ///< Path of their file, or "the source"; empty for none.
  std::string data;                      ///< Of the calibration, for people; empty for none.
  std::map<std::string, int> operators;  ///< By type.
  /// int8 only: names of operators that compute in float32.
  std::vector<std::string> float_operators;
  int64_t parameters = 0;          ///< Weights and biases of the network as it was optimized.
  int64_t macs = 0;                ///< Multiply-accumulates per image.
  int64_t file_size = 0;           ///< Bytes.
  std::string calibration_method;  ///< Empty when no table was used.
  int calibration_samples = 0;
  std::string reference;  ///< Path of the answers compared with; empty for none.
  std::optional<Comparison> comparison;
  std::vector<TuneResult> tuning;  ///< Steps that were tried.
  std::optional<BudgetReport> budget;
  std::vector<std::string> by_hand;  ///< Of --keep and --widen: "conv1 in fp32".
  std::optional<Verdict> verdict;    ///< Of networks that were quantized, where there is data.
  std::string no_verdict;            ///< Else why there is none; empty where nothing was quantized.
  /// Choices that were made for the user; the text has none, they go to stderr.
  std::vector<std::string> notes;
  std::vector<std::string> warnings;  ///< Likewise.
};

/// Fills what the graph that was written and the optimized float graph that it was made from tell.
/// `meaning` is that of the former's input.
ConversionReport MakeReport(const Graph& written, const Graph& optimized, int64_t file_size,
                            InputMeaning meaning);

/// A few lines, "source:      onnx opset 13" and so on.
std::string ReportText(const ConversionReport& report);

/// One JSON object with the fields' names.
std::string ReportJson(const ConversionReport& report);

/// "verdict: ...", and behind a line break "accuracy: ..." where the data has labels. `size` is the
/// share of the float network's.
std::string VerdictText(const Verdict& verdict, double size);
nlohmann::ordered_json VerdictJson(const Verdict& verdict);

/// What was allowed and what came of it, and behind it a line for each layer raised.
std::vector<std::string> BudgetLines(const BudgetReport& report);

/// "compared: with a.npy, ...".
std::string ComparisonText(const Comparison& comparison, const std::string& reference);
nlohmann::ordered_json ComparisonJson(const Comparison& comparison, const std::string& reference);

/// "33.1 dB", or "exact".
std::string DecibelText(double db);

/// Operators with their limits, by format.
std::string OperatorsText(const std::vector<OperatorRow>& rows);
/// A list of objects with "format", "operator" and "limits".
std::string OperatorsJson(const std::vector<OperatorRow>& rows);

}  // namespace octet

#endif  // OCTET_CONVERTER_REPORT_REPORT_H_
