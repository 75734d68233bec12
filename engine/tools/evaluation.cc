#include "engine/tools/evaluation.h"

#include "converter/report/verdict.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/image.h"
#include "formats/data/table.h"

namespace octet {
namespace {

using nlohmann::ordered_json;

/// "TFRecord files" as one of them.
std::string Singular(const std::string& kind) {
  size_t s = kind.find("s ");
  if (s == std::string::npos) s = kind.size() - 1;
  return kind.substr(0, s) + kind.substr(s + 1);
}

std::string Joined(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& text : texts) joined += (joined.empty() ? "" : ", ") + text;
  return joined;
}

std::string Isas(const Evaluation& e) { return Joined({e.isas.begin(), e.isas.end()}); }

std::string ConfusionText(const EvaluatedModel& m) {
  std::vector<std::string> names, numbers;
  for (size_t i = 0; i < m.classes(); ++i) {
    names.push_back(m.LabelName(static_cast<int>(i)));
    numbers.push_back(std::to_string(i));
  }
  // Numbers are narrower than names.
  for (const bool by_name : {true, false}) {
    std::vector<Table::Column> columns{{.title = ""}};
    for (size_t i = 0; i < m.classes(); ++i)
      columns.push_back({.title = by_name ? names[i] : numbers[i]});
    Table table(columns);
    for (size_t i = 0; i < m.classes(); ++i) {
      std::vector<std::string> row{
          by_name || names[i] == numbers[i] ? names[i] : StrCat(names[i], " ", numbers[i])};
      for (const int64_t n : m.confusion[i]) row.push_back(std::to_string(n));
      table.Add(row);
    }
    const std::string text = table.Text();
    if (text.find('\n') > Table::Limit()) continue;
    return StrCat("\n", m.path, ": rows are true classes, columns what it said\n", text);
  }
  return "";
}

}  // namespace

std::string EvaluatedModel::LabelName(int index) const {
  if (index < 0) return "?";
  return index < static_cast<int>(labels.size()) ? labels[static_cast<size_t>(index)]
                                                 : std::to_string(index);
}

Status Evaluation::Merge(const Evaluation& other) {
  OCTET_RETURN_IF_ERROR(evidence.Merge(other.evidence));
  for (size_t i = 0; i < models.size(); ++i) {
    EvaluatedModel& to = models[i];
    const EvaluatedModel& from = other.models[i];
    to.as_first += from.as_first;
    to.correct += from.correct;
    to.in_top5 += from.in_top5;
    for (size_t row = 0; row < to.classes(); ++row)
      for (size_t column = 0; column < to.classes(); ++column)
        to.confusion[row][column] += from.confusion[row][column];
    to.margins.Merge(from.margins);
    to.latency.Merge(from.latency);
  }
  total += other.total;
  labelled += other.labelled;
  has_pixels = has_pixels || other.has_pixels;
  isas.insert(other.isas.begin(), other.isas.end());
  return OkStatus();
}

void AddDoubts(const Evaluation& e, Warnings* warnings) {
  if (e.labelled > 0 && e.labelled < e.total) {
    warnings->Add(StrCat(e.data[0], ": ", e.total - e.labelled, " of ", e.total,
                         " samples have no label and do not count"));
  }
  for (const EvaluatedModel& m : e.models) {
    if (e.has_pixels && !m.doubt.empty()) warnings->Add(StrCat(m.path, ": ", m.doubt));
    const std::string doubt =
        AccuracyDoubt(m.correct, e.labelled, static_cast<int64_t>(m.classes()));
    if (!doubt.empty()) warnings->Add(StrCat(m.path, ": ", doubt));
  }
}

std::string EvaluationJson(const Evaluation& e, const Warnings& warnings) {
  // Of no labelled samples there is no share.
  const auto share = [&](int64_t n) {
    return e.labelled > 0 ? ordered_json(static_cast<double>(n) / static_cast<double>(e.labelled))
                          : ordered_json();
  };
  ordered_json models = ordered_json::array();
  for (const EvaluatedModel& m : e.models) {
    models.push_back({{"path", m.path},
                      {"precision", m.precision},
                      {"input_meaning", m.input},
                      {"preprocessing", m.pixels},
                      {"size_bytes", m.file_size},
                      {"correct", m.correct},
                      {"total", e.labelled},
                      {"top1", share(m.correct)},
                      {"top5", m.classes() > 5 ? share(m.in_top5) : ordered_json()},
                      {"agreement", static_cast<double>(m.as_first) / static_cast<double>(e.total)},
                      {"median_ms", m.latency.Quantile(0.5)},
                      {"margins", JsonOf(m.margins)},
                      {"confusion", m.confusion}});
  }
  ordered_json known;
  if (!e.labels.empty()) {
    known = {{"count", e.labels.size()}, {"first", e.labels.front()}, {"last", e.labels.back()}};
  }
  return ordered_json{{"data",
                       {{"paths", e.data},
                        {"files", e.parts},
                        {"samples", e.total},
                        {"labelled", e.labelled},
                        {"fast_decode", e.fast_decode},
                        {"labels", e.evidence.Source()}}},
                      {"labels", std::move(known)},
                      {"isa", Isas(e)},
                      {"threads", e.threads},
                      {"models", std::move(models)},
                      {"warnings", warnings.texts()}}
      .dump(1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string EvaluationTable(const Evaluation& e, bool confusion) {
  std::string text =
      StrCat("data:    ", Joined(e.data), ": ",
             e.parts == 1 ? Singular(e.kind) : StrCat(e.parts, " ", e.kind), ", ", e.labelled,
             " of ", e.total, " samples labelled; labels: ", e.evidence.Source(), "\n");
  for (const EvaluatedModel& m : e.models) {
    // Models of one network mostly read the same; each other one is told.
    const EvaluatedModel& first = e.models[0];
    if (&m != &first && m.input == first.input && m.pixels == first.pixels) continue;
    const std::string of = e.models.size() > 1 ? m.path + ": " : "";
    text += StrCat("input:   ", of, m.input, "\n");
    if (e.has_pixels)
      text += StrCat("pixels:  ", of, m.pixels, e.fast_decode ? kFastDecodeText : "", "\n");
  }
  text += e.labels.empty() ? "labels:  the model has none\n"
                           : StrCat("labels:  ", e.labels.size(), ", '", e.labels.front(), "' to '",
                                    e.labels.back(), "'\n");
  text +=
      StrCat("run by:  ", Isas(e), ", ", e.threads, " thread", e.threads == 1 ? "" : "s", "\n\n");
  std::vector<std::string> names;
  bool top5 = false;
  for (const EvaluatedModel& m : e.models) {
    names.push_back(m.path);
    top5 = top5 || m.classes() > 5;
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
  const auto percent = [](int64_t n, int64_t of, int decimals) {
    if (of == 0) return std::string("-");
    return Fixed(100.0 * static_cast<double>(n) / static_cast<double>(of), decimals) + " %";
  };
  for (size_t i = 0; i < e.models.size(); ++i) {
    const EvaluatedModel& m = e.models[i];
    std::vector<std::string> row{names[i], m.precision, Thousands(m.file_size),
                                 e.labelled > 0 ? std::to_string(m.correct) : "-",
                                 percent(m.correct, e.labelled, 2)};
    if (top5) row.push_back(m.classes() > 5 ? percent(m.in_top5, e.labelled, 2) : "-");
    row.push_back(percent(m.as_first, e.total, 1));
    row.push_back(Fixed(m.latency.Quantile(0.5), 3));
    table.Add(row);
  }
  text += table.Text();
  if (e.labelled == 0 || (e.models.size() > 1 && !confusion)) return text;
  for (const EvaluatedModel& m : e.models) {
    if (m.classes() <= 20) text += ConfusionText(m);
  }
  return text;
}

ordered_json EvaluationPartJson(const Evaluation& e) {
  ordered_json models = ordered_json::array();
  for (const EvaluatedModel& m : e.models) {
    ordered_json confusion = ordered_json::array();  // [true, predicted, count], without zeros.
    for (size_t row = 0; row < m.classes(); ++row)
      for (size_t column = 0; column < m.classes(); ++column)
        if (m.confusion[row][column] > 0)
          confusion.push_back({row, column, m.confusion[row][column]});
    models.push_back({{"path", m.path},
                      {"precision", m.precision},
                      {"size_bytes", m.file_size},
                      {"input", m.input},
                      {"pixels", m.pixels},
                      {"doubt", m.doubt},
                      {"labels", m.labels},
                      {"classes", m.classes()},
                      {"as_first", m.as_first},
                      {"correct", m.correct},
                      {"in_top5", m.in_top5},
                      {"confusion", std::move(confusion)},
                      {"margins", JsonOf(m.margins)},
                      {"latency", JsonOf(m.latency)}});
  }
  ordered_json texts = ordered_json::array();
  for (const auto& [number, text] : e.evidence.texts) texts.push_back({number, text});
  return {{"paths", e.data},
          {"data_kind", e.kind},
          {"files", e.parts},
          {"samples", e.total},
          {"labelled", e.labelled},
          {"has_pixels", e.has_pixels},
          {"labels", e.labels},
          {"labels_from", e.evidence.first ? ordered_json(*e.evidence.first) : ordered_json()},
          {"label_texts", std::move(texts)},
          {"label_sources", e.evidence.sources},
          {"isas", e.isas},
          {"threads", e.threads},
          {"fast_decode", e.fast_decode},
          {"evaluated", std::move(models)}};
}

namespace {

std::vector<std::string> Texts(PartFields* fields, const char* name) {
  std::vector<std::string> texts;
  for (const ordered_json& text : fields->Array(name)) {
    if (!text.is_string()) fields->Fail(name, "strings");
    if (text.is_string()) texts.push_back(text.get<std::string>());
  }
  return texts;
}

EvaluatedModel ParseModel(PartFields* fields) {
  constexpr int64_t kMostClasses = 1 << 14;
  const int64_t classes = fields->Count("classes");
  if (classes < 1 || classes > kMostClasses) fields->Fail("classes", "1 to 16384");
  if (!fields->status().ok()) return EvaluatedModel();
  EvaluatedModel m(static_cast<size_t>(classes));
  m.path = fields->Text("path");
  m.precision = fields->Text("precision");
  m.file_size = fields->Count("size_bytes");
  m.input = fields->Text("input");
  m.pixels = fields->Text("pixels");
  m.doubt = fields->Text("doubt");
  m.labels = Texts(fields, "labels");
  m.as_first = fields->Count("as_first");
  m.correct = fields->Count("correct");
  m.in_top5 = fields->Count("in_top5");
  for (const ordered_json& cell : fields->Array("confusion")) {
    int64_t numbers[3] = {};
    if (!cell.is_array() || cell.size() != 3) fields->Fail("confusion", "three numbers a cell");
    for (size_t i = 0; fields->status().ok() && i < 3; ++i)
      numbers[i] = fields->CountOf(cell[i], "confusion");
    if (numbers[0] >= classes || numbers[1] >= classes) fields->Fail("confusion", "known classes");
    if (!fields->status().ok()) break;
    m.confusion[static_cast<size_t>(numbers[0])][static_cast<size_t>(numbers[1])] += numbers[2];
  }
  m.margins = fields->Margins("margins");
  m.latency = fields->Latency("latency");
  return m;
}

}  // namespace

Result<Evaluation> ParseEvaluationPart(const ResultPart& part) {
  PartFields fields(part.path, part.content);
  Evaluation e;
  e.data = Texts(&fields, "paths");
  if (e.data.empty()) fields.Fail("paths", "one path at least");
  e.kind = fields.Text("data_kind");
  e.parts = fields.Count("files");
  e.total = fields.Count("samples");
  e.labelled = fields.Count("labelled");
  e.has_pixels = fields.Flag("has_pixels");
  e.labels = Texts(&fields, "labels");
  if (part.content.contains("labels_from") && part.content["labels_from"].is_number_integer())
    e.evidence.first = static_cast<int>(fields.Count("labels_from"));
  for (const ordered_json& pair : fields.Array("label_texts")) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_integer() ||
        !pair[1].is_string()) {
      fields.Fail("label_texts", "pairs of a number and a text");
      break;
    }
    e.evidence.texts[pair[0].get<int64_t>()] = pair[1].get<std::string>();
  }
  for (std::string& source : Texts(&fields, "label_sources")) e.evidence.sources.insert(source);
  for (std::string& isa : Texts(&fields, "isas")) e.isas.insert(isa);
  e.threads = static_cast<int>(fields.Count("threads"));
  e.fast_decode = fields.Flag("fast_decode");
  for (const ordered_json& model : fields.Array("evaluated")) {
    if (!model.is_object()) {
      fields.Fail("evaluated", "objects");
      break;
    }
    PartFields of_model(part.path + ": evaluated", model);
    e.models.push_back(ParseModel(&of_model));
    OCTET_RETURN_IF_ERROR(of_model.status());
  }
  if (e.models.size() != part.identity.models.size())
    fields.Fail("evaluated", "as many models as hashes");
  if (!fields.status().ok()) return fields.status();
  return e;
}

}  // namespace octet
