// CSV and JSON have the same fields (Fields); the table has the times first, then the rest.
#include "bench/results.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>
#include <thread>
#include <utility>
#include <variant>

#include "bench/peak.h"
#include "formats/base/str_cat.h"
#include "formats/data/table.h"
#include "formats/model/octet_file.h"
#include "kernels/cpu_features.h"
#include "kernels/dispatch.h"

namespace octet::bench {
namespace {

using Json = nlohmann::ordered_json;

/// Peak of all threads of `m` in 10^9 multiply-accumulates a second; 0 when there is no figure.
double PeakOf(const Measurement& m, Arithmetic arithmetic) {
  return MeasurePeak(m.isa, arithmetic).gmacs * m.threads * m.sessions;
}
Arithmetic ArithmeticOf(const Measurement& m) {
  if (m.precision == "int8" || m.precision == "int16x8" || m.precision == "hybrid")
    return Arithmetic::kInt8;
  return m.precision == "bf16" ? Arithmetic::kBf16 : Arithmetic::kFloat;
}
/// Of one layer: int8 networks may have float layers, and Winograd's products are of floats.
Arithmetic ArithmeticOf(const LayerProfile& l) {
  if (l.kernel.find("u8_") != std::string::npos || l.kernel.find("i16_") != std::string::npos)
    return Arithmetic::kInt8;
  return l.kernel.starts_with("conv_bf16") ? Arithmetic::kBf16 : Arithmetic::kFloat;
}

double LayerGmacs(const Measurement& m, const LayerProfile& l) {
  return l.milliseconds > 0 ? static_cast<double>(l.macs) * m.batch / l.milliseconds * 1e-6 : 0.0;
}

std::string Mebibytes(int64_t bytes) {
  return bytes > 0 ? Fixed(static_cast<double>(bytes) / 1048576.0, 1) : "-";
}

/// The layers of each type and kernel as one.
std::vector<LayerProfile> ByType(const std::vector<LayerProfile>& layers) {
  std::vector<LayerProfile> types;
  std::vector<int> counts;
  for (const LayerProfile& l : layers) {
    auto at = std::find_if(types.begin(), types.end(), [&](const LayerProfile& t) {
      return t.type == l.type && t.kernel == l.kernel;
    });
    if (at == types.end()) {
      at = types.insert(types.end(), {.name = "", .type = l.type, .kernel = l.kernel, .shape = ""});
      counts.push_back(0);
    }
    at->milliseconds += l.milliseconds;
    at->macs += l.macs;
    ++counts[static_cast<size_t>(at - types.begin())];
  }
  for (size_t i = 0; i < types.size(); ++i) types[i].name = StrCat(counts[i], " ", types[i].type);
  return types;
}

void PrintProfile(const Measurement& m, LayerOrder order) {
  std::printf("\n%s %s, %s, threads %d, batch %d: medians of the layers\n", m.model.c_str(),
              m.precision.c_str(), m.isa.c_str(), m.threads, m.batch);
  std::vector<LayerProfile> layers = order == LayerOrder::kType ? ByType(m.layers) : m.layers;
  if (order != LayerOrder::kNetwork) {
    std::stable_sort(layers.begin(), layers.end(),
                     [](const auto& a, const auto& b) { return a.milliseconds > b.milliseconds; });
  }
  std::vector<std::string> names;
  for (const LayerProfile& l : layers) names.push_back(l.name.empty() ? l.type : l.name);
  if (const std::string common = CutCommonFolder(&names); !common.empty())
    std::printf("names begin with %s\n", common.c_str());
  Table table({{.title = "layer", .left = true, .shrink_to = 16},
               {.title = "us"},
               {.title = "of time"},
               {.title = "GMAC/s"},
               {.title = "of peak"},
               {.title = "kernel", .left = true},
               {.title = "shape", .left = true, .optional = true}});
  double total = 0;
  for (const LayerProfile& l : layers) total += l.milliseconds;
  const auto add = [&](const std::string& name, const LayerProfile& l, Arithmetic arithmetic) {
    const double gmacs = LayerGmacs(m, l);
    table.Add({name, Fixed(l.milliseconds * 1e3, 2), Percent(l.milliseconds, total),
               gmacs > 0 ? Fixed(gmacs, 1) : "-",
               Percent(gmacs, PeakOf(m, arithmetic) / m.sessions), l.kernel, l.shape});
  };
  for (size_t i = 0; i < layers.size(); ++i) add(names[i], layers[i], ArithmeticOf(layers[i]));
  LayerProfile sum{.name = "", .type = "", .kernel = "", .shape = ""};
  sum.macs = m.macs;
  sum.milliseconds = total;
  add("sum", sum, ArithmeticOf(m));
  std::fputs(table.Text().c_str(), stdout);
}

Json PeakJson(const std::string& isa, Arithmetic arithmetic) {
  const Peak peak = MeasurePeak(isa, arithmetic);
  if (peak.gmacs <= 0) return nullptr;
  return {{"gmacs", peak.gmacs}, {"instruction", peak.instruction}};
}

/// Null where there is none.
using Value = std::variant<std::monostate, std::string, int64_t, double>;

/// What CSV and JSON say of a result.
std::vector<std::pair<const char*, Value>> Fields(const Measurement& m) {
  return {{"model", m.model},
          {"precision", m.precision},
          {"threads", int64_t{m.threads}},
          {"batch", int64_t{m.batch}},
          {"isa", m.isa},
          {"median_ms", m.median_ms()},
          {"min_ms", m.min_ms()},
          {"p90_ms", m.Percentile(90)},
          {"runs", static_cast<int64_t>(m.sorted.size())},
          {"first_ms", m.first_ms},
          {"file_bytes", m.file_size},
          {"p99_ms", m.Percentile(99)},
          {"sessions", int64_t{m.sessions}},
          {"images_per_second", m.images_per_second},
          {"gmacs", m.gmacs()},
          {"arena_bytes", m.memory.arena_bytes},
          {"prepared_bytes", m.memory.prepared_bytes},
          {"resident_bytes", m.resident_bytes > 0 ? Value(m.resident_bytes) : Value()},
          {"path", m.path},
          {"mean_ms", m.mean_ms()},
          {"stddev_ms", m.stddev_ms()},
          {"max_ms", m.sorted.back()},
          {"cpu_ms", m.cpu_ms},
          {"executor", m.executor},
          {"paced_fps", m.paced > 0 ? Value(m.paced) : Value()},
          {"busy", int64_t{m.busy}}};
}

Json ToJson(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* count = std::get_if<int64_t>(&value)) return *count;
  if (const auto* number = std::get_if<double>(&value)) return *number;
  return nullptr;
}

/// Texts are quoted where they have to be.
std::string ToCsv(const Value& value) {
  if (const auto* count = std::get_if<int64_t>(&value)) return std::to_string(*count);
  if (const auto* number = std::get_if<double>(&value)) return Fixed(*number, 6);
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return "";
  if (text->find_first_of(",\"\n\r") == std::string::npos) return *text;
  std::string quoted = "\"";
  for (char c : *text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

void PrintTable(const std::vector<Measurement>& results, LayerOrder order) {
  const Measurement& first = results[0];
  std::printf("%s, %u cores, %s\n", kernels::CpuModelName().c_str(),
              std::thread::hardware_concurrency(), first.isa.c_str());
  for (Arithmetic arithmetic : {Arithmetic::kInt8, Arithmetic::kBf16, Arithmetic::kFloat}) {
    const Peak peak = MeasurePeak(first.isa, arithmetic);
    if (peak.gmacs <= 0) continue;
    std::printf("peak of one core, %s: %.1f GMAC/s (%s)\n", ArithmeticName(arithmetic), peak.gmacs,
                peak.instruction);
  }
  if (first.sessions > 1) std::printf("%d sessions at once\n", first.sessions);
  if (first.busy > 0) std::printf("beside busy processes: %d\n", first.busy);
  if (first.paced > 0) std::printf("a run every %.1f ms\n", 1e3 / first.paced);
  const bool executors = std::any_of(results.begin(), results.end(), [&](const Measurement& m) {
    return m.executor != first.executor;
  });
  const bool files = std::any_of(results.begin(), results.end(),
                                 [&](const Measurement& m) { return m.path != first.path; });
  std::vector<std::string> names;
  for (const Measurement& m : results) names.push_back(files ? m.path : m.model);
  if (const std::string common = CutCommonFolder(&names); !common.empty())
    std::printf("models in %s\n", common.c_str());
  const Table::Column name{.title = "model", .left = true, .shrink_to = 8};
  std::vector<Table::Column> time_columns{name};
  for (const char* title :
       {"type", "threads", "batch", "median ms", "min", "p90", "p99", "max", "cpu ms"})
    time_columns.push_back({.title = title, .optional = std::string_view(title) == "max"});
  if (executors) time_columns.push_back({.title = "threads of", .left = true});
  if (first.paced <= 0) time_columns.push_back({.title = "images/s", .optional = true});
  if (files) time_columns.push_back({.title = "to 1st"});
  Table times(time_columns);
  Table rest({name,
              {.title = "type"},
              {.title = "runs"},
              {.title = "GMAC/s"},
              {.title = "of peak"},
              {.title = "first ms"},
              {.title = "file MiB"},
              {.title = "activ."},
              {.title = "resident"}});
  for (size_t i = 0; i < results.size(); ++i) {
    const Measurement& m = results[i];
    // Three digits behind the point tell nothing of 100 ms.
    const auto ms = [&](double value) { return Fixed(value, m.median_ms() < 100 ? 3 : 1); };
    std::vector<std::string> row{names[i],
                                 m.precision,
                                 std::to_string(m.threads),
                                 std::to_string(m.batch),
                                 ms(m.median_ms()),
                                 ms(m.min_ms()),
                                 ms(m.Percentile(90)),
                                 ms(m.Percentile(99)),
                                 ms(m.sorted.back()),
                                 ms(m.cpu_ms)};
    if (executors) row.push_back(m.executor);
    if (first.paced <= 0) row.push_back(Fixed(m.images_per_second, 1));
    if (files) {
      const auto with = std::find_if(results.begin(), results.end(), [&](const Measurement& r) {
        return r.threads == m.threads && r.batch == m.batch;
      });
      row.push_back(Fixed(m.median_ms() / with->median_ms(), 3));
    }
    times.Add(row);
    rest.Add({names[i], m.precision, std::to_string(m.sorted.size()), Fixed(m.gmacs(), 1),
              Percent(m.gmacs(), PeakOf(m, ArithmeticOf(m))), Fixed(m.first_ms, 2),
              Mebibytes(m.file_size), Mebibytes(m.memory.arena_bytes),
              Mebibytes(m.resident_bytes)});
  }
  std::printf("\n%s\n%s", times.Text().c_str(), rest.Text().c_str());
  for (const Measurement& m : results) {
    if (!m.layers.empty()) PrintProfile(m, order);
  }
}

void PrintCsv(const std::vector<Measurement>& results) {
  std::string text;
  for (const auto& [name, value] : Fields(results[0]))
    text += StrCat(text.empty() ? "" : ",", name);
  text += "\n";
  for (const Measurement& m : results) {
    std::string line;
    for (const auto& [name, value] : Fields(m)) line += (line.empty() ? "" : ",") + ToCsv(value);
    text += line + "\n";
  }
  std::fputs(text.c_str(), stdout);
}

void PrintJson(const std::vector<Measurement>& results) {
  Json sets = Json::array();
  for (const kernels::TableInfo& t : kernels::AllTables()) {
    if (t.availability == kernels::Availability::kNative) sets.push_back(t.name);
  }
  Json root;
  root["machine"] = {{"cpu", kernels::CpuModelName()},
                     {"cores", std::thread::hardware_concurrency()},
                     {"isa", results[0].isa},
                     {"instruction_sets", std::move(sets)},
                     {"peak_int8", PeakJson(results[0].isa, Arithmetic::kInt8)},
                     {"peak_bf16", PeakJson(results[0].isa, Arithmetic::kBf16)},
                     {"peak_float", PeakJson(results[0].isa, Arithmetic::kFloat)}};
  root["results"] = Json::array();
  root["warnings"] = Json::array();
  for (const Measurement& m : results) {
    Json r;
    for (const auto& [name, value] : Fields(m)) r[name] = ToJson(value);
    for (const LayerProfile& l : m.layers) {
      r["profile"].push_back({{"name", l.name},
                              {"type", l.type},
                              {"kernel", l.kernel},
                              {"shape", l.shape},
                              {"macs", l.macs},
                              {"ms", l.milliseconds},
                              {"gmacs", LayerGmacs(m, l)}});
    }
    root["results"].push_back(std::move(r));
    if (const std::string text = m.Disturbance(); !text.empty()) root["warnings"].push_back(text);
  }
  std::printf("%s\n", root.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
}

Status WriteTimes(const std::string& path, const std::vector<Measurement>& results) {
  std::string csv = "model,precision,threads,batch,session,run,ms\n";
  for (const Measurement& m : results) {
    const std::string name = ToCsv(m.path.empty() ? m.model : m.path);
    for (size_t s = 0; s < m.times.size(); ++s) {
      for (size_t i = 0; i < m.times[s].size(); ++i)
        csv += StrCat(name, ",", m.precision, ",", m.threads, ",", m.batch, ",", s, ",", i, ",",
                      Fixed(m.times[s][i], 6), "\n");
    }
  }
  return WriteFileAtomically(path, std::as_bytes(std::span(csv.data(), csv.size())));
}

}  // namespace octet::bench
