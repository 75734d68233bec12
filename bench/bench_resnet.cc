// bench_resnet: latency of whole networks. Bare, it measures ResNet-50 v1.5 at 224x224 with
// synthetic weights in int8. Exit codes: 0 measured, 1 could not be done, 2 wrong command line.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "bench/peak.h"
#include "bench/signature.h"
#include "bench/synthetic_network.h"
#include "converter/import/checkpoints/graph_description.h"
#include "engine/include/octet/octet.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/program.h"
#include "kernels/cpu_features.h"
#include "kernels/dispatch.h"

namespace octet::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

struct Options {
  std::string model;
  int depth = 50;
  std::string network;
  std::string precision;  ///< "" = int8, or the model's.
  std::vector<int> threads{1}, batches{1};
  std::string isa;
  bool winograd = true;
  int warmup = 3;
  double min_time = 1.0;
  bool profile = false, csv = false, json = false;
};

struct Measurement {
  std::string model, precision, isa;
  int threads = 1, batch = 1, runs = 0;
  double median_ms = 0, min_ms = 0, p90_ms = 0;
  double first_ms = 0;  ///< From the file, or its bytes in memory, to the first answer.
  int64_t macs = 0, file_size = 0;
  MemoryReport memory;
  /// What the process grew by from before loading to after the last run, plus the model's bytes if
  /// they were in memory before; 0 where that is not known.
  int64_t resident_bytes = 0;
  std::vector<LayerProfile> layers;

  double gmacs() const { return static_cast<double>(macs) * batch / median_ms * 1e-6; }
};

double Milliseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

/// Inputs and outputs of one session; every image of a batch is a different smooth one.
class Buffers {
 public:
  Buffers(const ModelDescription& d, int batch) {
    for (const TensorDescription& t : d.inputs) {
      const size_t bytes = t.num_bytes();
      buffers_.emplace_back(bytes * static_cast<size_t>(batch));
      for (int i = 0; i < batch; ++i)
        Fill(t, i, buffers_.back().data() + static_cast<size_t>(i) * bytes);
      inputs_.push_back(buffers_.back().data());
    }
    for (const TensorDescription& t : d.outputs) {
      buffers_.emplace_back(t.num_bytes() * static_cast<size_t>(batch));
      outputs_.push_back(buffers_.back().data());
    }
  }
  const void* const* inputs() const { return inputs_.data(); }
  void* const* outputs() const { return outputs_.data(); }

 private:
  static void Fill(const TensorDescription& t, int image, uint8_t* out) {
    std::vector<float> values(t.num_elements());
    const bool spatial = t.shape.size() == 4;
    SmoothImage(static_cast<uint64_t>(100 + image), spatial ? static_cast<int>(t.shape[1]) : 1,
                spatial ? static_cast<int>(t.shape[2]) : 1, static_cast<int>(t.shape.back()),
                values);
    if (t.dtype == DType::kF32) {
      std::memcpy(out, values.data(), values.size() * sizeof(float));
      return;
    }
    for (size_t i = 0; i < values.size(); ++i) {
      out[i] = static_cast<uint8_t>(std::clamp(values[i] * 48.0f + 128.0f, 0.0f, 255.0f));
    }
  }

  std::vector<std::vector<uint8_t>> buffers_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

/// Runs for min_time seconds and at least 5 times; milliseconds of every run, sorted.
Result<std::vector<double>> Repeat(const Options& o, Session* session, const Buffers& buffers,
                                   int batch) {
  for (int i = 0; i < o.warmup; ++i)
    OCTET_RETURN_IF_ERROR(session->Run(buffers.inputs(), buffers.outputs(), batch));
  session->ResetProfile();
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  while (times.size() < 5 || Milliseconds(begin) < o.min_time * 1e3) {
    const Clock::time_point start = Clock::now();
    OCTET_RETURN_IF_ERROR(session->Run(buffers.inputs(), buffers.outputs(), batch));
    times.push_back(Milliseconds(start));
  }
  std::sort(times.begin(), times.end());
  return times;
}

/// Resident memory of this process; 0 where there is no /proc.
int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0, resident = 0;
  if (!(statm >> size >> resident)) return 0;
  return resident * sysconf(_SC_PAGESIZE);
}

using Loader = std::function<Result<std::shared_ptr<const Model>>()>;

/// Loading is part of the measurement, as the time to the first answer. `d` describes what `load`
/// loads.
Result<Measurement> Measure(const Options& o, const Loader& load, const ModelDescription& d,
                            int threads, int batch) {
  SessionOptions session_options;
  session_options.num_threads = threads;
  session_options.max_batch = batch;
  session_options.isa = o.isa;
  session_options.winograd = o.winograd;
  Measurement m;
  // The caller's, so not part of what the process grows by.
  const Buffers buffers(d, batch);
#ifdef __GLIBC__
  malloc_trim(0);  // What was freed before must not hide what is allocated now.
#endif
  const int64_t resident = ResidentBytes();
  const Clock::time_point begin = Clock::now();
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, load());
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                         Session::Create(model, session_options));
  OCTET_RETURN_IF_ERROR(session->Run(buffers.inputs(), buffers.outputs(), batch));
  m.first_ms = Milliseconds(begin);
  OCTET_ASSIGN_OR_RETURN(const std::vector<double> times, Repeat(o, session.get(), buffers, batch));
  if (resident > 0) {
    m.resident_bytes = ResidentBytes() - resident + (o.model.empty() ? d.file_size : 0);
  }
  m.model = d.name;
  m.precision = PrecisionName(d.precision);
  m.isa = session->Isa();
  m.threads = threads;
  m.batch = batch;
  m.runs = static_cast<int>(times.size());
  m.median_ms = times[times.size() / 2];
  m.min_ms = times.front();
  m.p90_ms = times[times.size() * 9 / 10];
  m.macs = d.macs;
  m.file_size = d.file_size;
  m.memory = session->Memory();
  if (o.profile) {
    // A session of its own: above, no clock is read between layers.
    session_options.profile = true;
    OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Session> profiled,
                           Session::Create(model, session_options));
    OCTET_ASSIGN_OR_RETURN(const std::vector<double> unused,
                           Repeat(o, profiled.get(), buffers, batch));
    OCTET_ASSIGN_OR_RETURN(m.layers, profiled->Profile());
  }
  return m;
}

/// The graph description's name for what people write: "flowers", "resnet20", "resnet50".
std::string DescriptionName(const Options& o) {
  const std::string name = o.network.empty() ? StrCat("resnet", o.depth) : o.network;
  const std::vector<std::string> shipped = GraphDescriptionNames();
  for (const std::string& candidate : {name, "cifar_" + name, name + "_resnet"}) {
    if (std::find(shipped.begin(), shipped.end(), candidate) != shipped.end()) return candidate;
  }
  return name;
}

/// Peak of all threads of `m` in 10^9 multiply-accumulates a second; 0 when there is no figure.
double PeakOf(const Measurement& m, bool integer) {
  return MeasurePeak(m.isa, integer ? Arithmetic::kInt8 : Arithmetic::kFloat).gmacs * m.threads;
}
bool IsInteger(const Measurement& m) { return m.precision == "int8" || m.precision == "hybrid"; }
/// Of one layer: int8 networks may have float layers.
bool IsInteger(const LayerProfile& l) { return l.kernel.find("u8_") != std::string::npos; }

double LayerGmacs(const Measurement& m, const LayerProfile& l) {
  return l.milliseconds > 0 ? static_cast<double>(l.macs) * m.batch / l.milliseconds * 1e-6 : 0.0;
}

std::string Fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

/// "97.1 %", or "-" for what has no share.
std::string Percent(double part, double whole) {
  return part > 0 && whole > 0 ? Fixed(100.0 * part / whole, 1) + " %" : "-";
}

/// Rows of text in columns as wide as they need to be; the first `left` columns are aligned to the
/// left.
void PrintColumns(const std::vector<std::vector<std::string>>& rows, size_t left) {
  std::vector<size_t> widths(rows[0].size(), 0);
  for (const std::vector<std::string>& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += (i > 0 ? "  " : "") + (i < left ? row[i] + space : space + row[i]);
    }
    std::printf("%s\n", line.c_str());
  }
}

void PrintProfile(const Measurement& m) {
  std::printf("\n%s %s, %s, threads %d, batch %d\n", m.model.c_str(), m.precision.c_str(),
              m.isa.c_str(), m.threads, m.batch);
  double total = 0;
  for (const LayerProfile& l : m.layers) total += l.milliseconds;
  std::vector<std::vector<std::string>> rows{
      {"layer", "kernel", "shape", "us", "of time", "GMAC/s", "of peak"}};
  for (const LayerProfile& l : m.layers) {
    const double gmacs = LayerGmacs(m, l);
    rows.push_back({l.name.empty() ? l.type : l.name, l.kernel, l.shape,
                    Fixed(l.milliseconds * 1e3, 2), Percent(l.milliseconds, total),
                    gmacs > 0 ? Fixed(gmacs, 1) : "-", Percent(gmacs, PeakOf(m, IsInteger(l)))});
  }
  const double gmacs = static_cast<double>(m.macs) * m.batch / total * 1e-6;
  rows.push_back({"total", "", "", Fixed(total * 1e3, 2), "100.0 %", Fixed(gmacs, 1),
                  Percent(gmacs, PeakOf(m, IsInteger(m)))});
  PrintColumns(rows, 3);
}

void PrintTable(const std::vector<Measurement>& results) {
  std::printf("%s, %u cores\n", kernels::CpuModelName().c_str(),
              std::thread::hardware_concurrency());
  for (Arithmetic arithmetic : {Arithmetic::kInt8, Arithmetic::kFloat}) {
    const Peak peak = MeasurePeak(results[0].isa, arithmetic);
    if (peak.gmacs <= 0) continue;
    std::printf("peak of one core, %s: %.1f GMAC/s (%s)\n",
                arithmetic == Arithmetic::kInt8 ? "int8" : "float", peak.gmacs, peak.instruction);
  }
  std::printf("\n");
  std::vector<std::vector<std::string>> rows{
      {"model", "precision", "isa", "threads", "batch", "median ms", "min ms", "p90 ms", "images/s",
       "GMAC/s", "of peak", "first ms", "file bytes", "activation bytes", "resident MiB"}};
  for (const Measurement& m : results) {
    rows.push_back(
        {m.model, m.precision, m.isa, StrCat(m.threads), StrCat(m.batch), Fixed(m.median_ms, 3),
         Fixed(m.min_ms, 3), Fixed(m.p90_ms, 3), Fixed(m.batch / m.median_ms * 1e3, 1),
         Fixed(m.gmacs(), 1), Percent(m.gmacs(), PeakOf(m, IsInteger(m))), Fixed(m.first_ms, 2),
         StrCat(m.file_size), StrCat(m.memory.arena_bytes),
         m.resident_bytes > 0 ? Fixed(static_cast<double>(m.resident_bytes) / 1048576.0, 1) : "-"});
  }
  PrintColumns(rows, 3);
  for (const Measurement& m : results) {
    if (!m.layers.empty()) PrintProfile(m);
  }
}

void PrintCsv(const std::vector<Measurement>& results) {
  std::printf(
      "model,precision,threads,batch,isa,median_ms,min_ms,p90_ms,runs,first_ms,file_bytes\n");
  for (const Measurement& m : results) {
    std::printf("%s,%s,%d,%d,%s,%.6f,%.6f,%.6f,%d,%.3f,%lld\n", m.model.c_str(),
                m.precision.c_str(), m.threads, m.batch, m.isa.c_str(), m.median_ms, m.min_ms,
                m.p90_ms, m.runs, m.first_ms, static_cast<long long>(m.file_size));
  }
}

Json PeakJson(const std::string& isa, Arithmetic arithmetic) {
  const Peak peak = MeasurePeak(isa, arithmetic);
  if (peak.gmacs <= 0) return nullptr;
  return {{"gmacs", peak.gmacs}, {"instruction", peak.instruction}};
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
                     {"peak_float", PeakJson(results[0].isa, Arithmetic::kFloat)}};
  root["results"] = Json::array();
  for (const Measurement& m : results) {
    Json r{{"model", m.model},
           {"precision", m.precision},
           {"threads", m.threads},
           {"batch", m.batch},
           {"isa", m.isa},
           {"median_ms", m.median_ms},
           {"min_ms", m.min_ms},
           {"p90_ms", m.p90_ms},
           {"runs", m.runs},
           {"gmacs", m.gmacs()},
           {"first_ms", m.first_ms},
           {"file_bytes", m.file_size},
           {"arena_bytes", m.memory.arena_bytes},
           {"prepared_bytes", m.memory.prepared_bytes},
           {"resident_bytes", m.resident_bytes > 0 ? Json(m.resident_bytes) : Json(nullptr)}};
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
  }
  std::printf("%s\n", root.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
}

Result<std::vector<Measurement>> MeasureAll(const Options& o) {
  std::vector<Measurement> results;
  const auto measure = [&](const Loader& load) -> Status {
    ModelDescription d;
    {
      OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, load());
      d = model->Describe();
    }
    const char* precision = PrecisionName(d.precision);
    if (o.precision != "all" && o.precision != precision) {
      return InvalidArgument(
          StrCat(o.model, ": precision is ", precision, ", expected ", o.precision));
    }
    for (int threads : o.threads) {
      for (int batch : o.batches) {
        OCTET_ASSIGN_OR_RETURN(Measurement m, Measure(o, load, d, threads, batch));
        results.push_back(std::move(m));
      }
    }
    return OkStatus();
  };
  if (!o.model.empty()) {
    OCTET_RETURN_IF_ERROR(measure([&] { return Model::Load(o.model); }));
    return results;
  }
  OCTET_ASSIGN_OR_RETURN(const SyntheticNetwork network,
                         SyntheticNetwork::Build(DescriptionName(o)));
  for (Precision p : {Precision::kFp32, Precision::kFp16, Precision::kHybrid, Precision::kInt8}) {
    if (o.precision != "all" && o.precision != PrecisionName(p)) continue;
    OCTET_ASSIGN_OR_RETURN(const SerializedModel file, network.Convert(p));
    OCTET_RETURN_IF_ERROR(measure([&] { return Model::FromMemory(file.data.get(), file.size); }));
  }
  return results;
}

int Run(const Options& o) {
  const Result<std::vector<Measurement>> results = MeasureAll(o);
  if (!results.ok()) {
    std::fprintf(stderr, "bench_resnet: %s\n", results.status().message().c_str());
    return 1;
  }
  if (o.json) {
    PrintJson(*results);
  } else if (o.csv) {
    PrintCsv(*results);
  } else {
    PrintTable(*results);
  }
  return 0;
}

int PrintSignature(const Options& o) {
  const Result<Signature> s = ComputeSignature(o.isa, o.threads.front());
  if (!s.ok()) {
    std::fprintf(stderr, "bench_resnet: %s\n", s.status().message().c_str());
    return 1;
  }
  std::printf("%016llx\n", static_cast<unsigned long long>(s->hash));
  return 0;
}

int Main(int argc, char** argv) {
  Options o;
  CLI::App app("Measures the latency of networks; without --model, of one with synthetic weights.",
               "bench_resnet");
  CLI::Option* model =
      app.add_option("--model", o.model, "An .octet file instead of a synthetic network");
  CLI::Option* depth =
      app.add_option(
             "--depth", o.depth,
             "ResNet of this depth: 18, 34, 50 (default), 101, 152; CIFAR: 20, 32, 44, 56, 110")
          ->check(CLI::IsMember({18, 34, 50, 101, 152, 20, 32, 44, 56, 110}));
  CLI::Option* network = app.add_option(
      "--network", o.network, "Name or path of a graph description (models/), e.g. flowers_resnet");
  app.add_option("--precision", o.precision,
                 "fp32, fp16, hybrid, int8 or all; default int8, with --model the file's")
      ->check(CLI::IsMember({"fp32", "fp16", "hybrid", "int8", "all"}));
  app.add_option("--threads", o.threads, "Threads (1); several, with commas, are measured in turn")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  app.add_option("--batch", o.batches, "Images a run (1); may be several, too")
      ->delimiter(',')
      ->check(CLI::Range(1, 65536));
  app.add_flag("--winograd,!--no-winograd", o.winograd, "3x3 convolutions by Winograd (default)");
  app.add_option("--isa", o.isa, "Instruction set instead of the best one");
  app.add_option("--warmup", o.warmup, "Runs before measuring (3)")->check(CLI::Range(0, 1000000));
  app.add_option("--min-time", o.min_time, "Seconds to measure, at least 5 runs (1)")
      ->check(CLI::Range(0.0, 3600.0));
  CLI::Option* profile = app.add_flag("--profile", o.profile, "Time every layer");
  CLI::Option* csv = app.add_flag("--csv", o.csv, "Print CSV");
  app.add_flag("--json", o.json, "Print JSON")->excludes(csv);
  bool signature = false;
  app.add_flag(
      "--signature", signature,
      "Print one hash over all activations of a fixed set of int8 networks instead: the same "
      "on every machine");
  csv->excludes(profile);
  model->excludes(depth)->excludes(network);
  depth->excludes(network);
  app.failure_message([](const CLI::App*, const CLI::Error& e) {
    return StrCat("bench_resnet: ", e.what(), " (see --help)\n");
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (signature) return PrintSignature(o);
  // A file is measured in the precision that it has.
  if (o.precision.empty()) o.precision = o.model.empty() ? "int8" : "all";
  return Run(o);
}

}  // namespace
}  // namespace octet::bench

int main(int argc, char** argv) {
  return octet::RunProgram("bench_resnet", [&] { return octet::bench::Main(argc, argv); });
}
