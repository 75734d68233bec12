// bench_resnet: latency of whole networks. Bare, it measures ResNet-50 v1.5 at 224x224 with synthetic weights in int8.
// Exit codes: 0 measured, 1 could not be done, 2 wrong command line.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "bench/peak.h"
#include "bench/synthetic_model.h"
#include "engine/include/octet/octet.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "kernels/cpu_features.h"

namespace octet::bench {
namespace {

struct Options {
  std::string model;
  int depth = 50;
  std::string network;
  std::string precision = "int8";
  int threads = 1;
  int batch = 1;
  std::string isa;
  int warmup = 3;
  double min_time = 1.0;
  bool profile = false, csv = false, json = false;
};

struct Measurement {
  std::string model, precision, isa;
  double median_ms = 0, min_ms = 0, p90_ms = 0;
  int64_t macs = 0;
  MemoryReport memory;
  std::vector<LayerProfile> layers;
};

double Milliseconds() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Result<Measurement> Measure(const std::shared_ptr<const Model>& model, const Options& o) {
  SessionOptions session_options;
  session_options.num_threads = o.threads;
  session_options.max_batch = o.batch;
  session_options.isa = o.isa;
  session_options.profile = o.profile;
  OCTET_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Create(model, session_options));
  const ModelDescription& d = model->Describe();
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  const auto add = [&](const TensorDescription& t) {
    size_t n = static_cast<size_t>(o.batch);
    for (int64_t dim : t.shape) n *= static_cast<size_t>(dim);
    buffers.emplace_back(n * DTypeSize(t.dtype));
    for (size_t i = 0; i < n; ++i) {  // A smooth picture: about half of the activations become 0, as in real ones.
      const float v = 1.5f * std::sin(0.01f * static_cast<float>(i % 150528));
      if (t.dtype == DType::kU8) {
        buffers.back()[i] = static_cast<uint8_t>(128 + 80 * v);
      } else {
        reinterpret_cast<float*>(buffers.back().data())[i] = v;
      }
    }
    return buffers.back().data();
  };
  for (const TensorDescription& t : d.inputs) inputs.push_back(add(t));
  for (const TensorDescription& t : d.outputs) outputs.push_back(add(t));
  for (int i = 0; i < o.warmup; ++i) OCTET_RETURN_IF_ERROR(session->Run(inputs.data(), outputs.data(), o.batch));
  session->ResetProfile();
  std::vector<double> times;
  const double end = Milliseconds() + o.min_time * 1e3;
  while (times.size() < 5 || Milliseconds() < end) {
    const double start = Milliseconds();
    OCTET_RETURN_IF_ERROR(session->Run(inputs.data(), outputs.data(), o.batch));
    times.push_back(Milliseconds() - start);
  }
  std::sort(times.begin(), times.end());
  Measurement m;
  m.model = d.name;
  m.precision = PrecisionName(d.precision);
  m.isa = session->Isa();
  m.median_ms = times[times.size() / 2];
  m.min_ms = times.front();
  m.p90_ms = times[times.size() * 9 / 10];
  m.macs = d.macs;
  m.memory = session->Memory();
  if (o.profile) m.layers = session->Profile();
  return m;
}

std::string DescriptionName(const Options& o) {
  if (!o.network.empty()) return o.network;
  const bool cifar = o.depth == 20 || o.depth == 32 || o.depth == 44 || o.depth == 56 || o.depth == 110;
  return StrCat(cifar ? "cifar_resnet" : "resnet", o.depth);
}

void PrintProfile(const Measurement& m, int batch) {
  const Peak peak = MeasurePeak(m.isa, m.precision == "int8" || m.precision == "hybrid" ? Arithmetic::kInt8 : Arithmetic::kFloat);
  if (peak.gmacs > 0) std::printf("peak of one core: %.1f GMAC/s (%s)\n", peak.gmacs, peak.instruction);
  std::printf("%-28s %-18s %-46s %9s %9s %7s\n", "layer", "kernel", "shape", "us", "GMAC/s", "peak");
  double total = 0;
  for (const LayerProfile& l : m.layers) {
    total += l.milliseconds;
    const double gmacs = l.milliseconds > 0 ? static_cast<double>(l.macs) * batch / l.milliseconds * 1e-6 : 0.0;
    std::printf("%-28s %-18s %-46s %9.2f", l.name.empty() ? l.type.c_str() : l.name.c_str(), l.kernel.c_str(), l.shape.c_str(),
                l.milliseconds * 1e3);
    if (l.macs > 0) std::printf(" %9.1f", gmacs);
    if (l.macs > 0 && peak.gmacs > 0) std::printf(" %5.1f %%", 100.0 * gmacs / peak.gmacs);
    std::printf("\n");
  }
  std::printf("%-28s %-18s %-46s %9.2f", "total", "", "", total * 1e3);
  const double gmacs = static_cast<double>(m.macs) * batch / total * 1e-6;
  std::printf(" %9.1f", gmacs);
  if (peak.gmacs > 0) std::printf(" %5.1f %%", 100.0 * gmacs / peak.gmacs);
  std::printf("\n");
}

int Fail(const Status& status) {
  std::fprintf(stderr, "bench_resnet: %s\n", status.message().c_str());
  return 1;
}

int Main(const Options& o) {
  std::vector<std::shared_ptr<const Model>> models;
  if (!o.model.empty()) {
    Result<std::shared_ptr<const Model>> model = Model::Load(o.model);
    if (!model.ok()) return Fail(model.status());
    const char* precision = PrecisionName((*model)->Describe().precision);
    if (o.precision != "all" && o.precision != precision) {
      return Fail(InvalidArgument(StrCat(o.model, ": precision is ", precision, ", expected ", o.precision)));
    }
    models.push_back(*model);
  } else {
    Result<SyntheticNetwork> network = MakeSyntheticNetwork(DescriptionName(o));
    if (!network.ok()) return Fail(network.status());
    for (Precision p : {Precision::kFp32, Precision::kFp16, Precision::kHybrid, Precision::kInt8}) {
      if (o.precision != "all" && o.precision != PrecisionName(p)) continue;
      Result<std::shared_ptr<const Model>> model = ConvertInMemory(*network, p);
      if (!model.ok()) return Fail(model.status());
      models.push_back(*model);
    }
  }
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  if (o.csv) std::printf("model,precision,threads,batch,isa,median_ms,min_ms,p90_ms\n");
  const std::string cpu = kernels::CpuModelName();
  bool first = true;
  for (const std::shared_ptr<const Model>& model : models) {
    Result<Measurement> measured = Measure(model, o);
    if (!measured.ok()) return Fail(measured.status());
    const Measurement& m = *measured;
    if (o.json) {
      results.push_back({{"model", m.model}, {"precision", m.precision}, {"threads", o.threads}, {"batch", o.batch},
                         {"isa", m.isa}, {"median_ms", m.median_ms}, {"min_ms", m.min_ms}, {"p90_ms", m.p90_ms}});
    } else if (o.csv) {
      std::printf("%s,%s,%d,%d,%s,%.4f,%.4f,%.4f\n", m.model.c_str(), m.precision.c_str(), o.threads, o.batch, m.isa.c_str(),
                  m.median_ms, m.min_ms, m.p90_ms);
    } else {
      if (first) {
        std::printf("%s, %s, %d thread%s, batch %d\n", cpu.c_str(), m.isa.c_str(), o.threads, o.threads == 1 ? "" : "s", o.batch);
        std::printf("%-20s %-9s %10s %10s %10s %9s %10s %10s\n", "model", "precision", "median ms", "min ms", "p90 ms", "img/s",
                    "GMAC/s", "memory MiB");
      }
      const double mib = static_cast<double>(m.memory.mapped_bytes + m.memory.arena_bytes + m.memory.prepared_bytes) / 1048576.0;
      std::printf("%-20s %-9s %10.3f %10.3f %10.3f %9.1f %10.1f %10.1f\n", m.model.c_str(), m.precision.c_str(), m.median_ms,
                  m.min_ms, m.p90_ms, o.batch / m.median_ms * 1e3, static_cast<double>(m.macs) * o.batch / m.median_ms * 1e-6, mib);
      if (o.profile) PrintProfile(m, o.batch);
    }
    first = false;
  }
  if (o.json) {
    nlohmann::ordered_json root;
    root["machine"] = {{"cpu", cpu}, {"cores", std::thread::hardware_concurrency()}};
    root["results"] = std::move(results);
    std::printf("%s\n", root.dump(1).c_str());
  }
  return 0;
}

}  // namespace
}  // namespace octet::bench

int main(int argc, char** argv) {
  octet::bench::Options o;
  CLI::App app("Measures the latency of networks; without --model, of one with synthetic weights.");
  app.add_option("--model", o.model, "An .octet file instead of a synthetic network");
  app.add_option("--depth", o.depth, "ResNet of this depth: 18, 34, 50 (default), 101, 152; CIFAR: 20, 32, 44, 56, 110")
      ->check(CLI::IsMember({18, 34, 50, 101, 152, 20, 32, 44, 56, 110}));
  app.add_option("--network", o.network, "Name or path of a graph description (models/), e.g. flowers_resnet");
  app.add_option("--precision", o.precision, "fp32, fp16, hybrid, int8 (default) or all")
      ->check(CLI::IsMember({"fp32", "fp16", "hybrid", "int8", "all"}));
  app.add_option("--threads", o.threads, "Threads (1)")->check(CLI::Range(1, 1024));
  app.add_option("--batch", o.batch, "Images a run (1)")->check(CLI::Range(1, 65536));
  app.add_option("--isa", o.isa, "Instruction set instead of the best one");
  app.add_option("--warmup", o.warmup, "Runs before measuring (3)")->check(CLI::Range(0, 1000000));
  app.add_option("--min-time", o.min_time, "Seconds to measure, at least 5 runs (1)")->check(CLI::Range(0.0, 3600.0));
  app.add_flag("--profile", o.profile, "Time every layer");
  CLI::Option* csv = app.add_flag("--csv", o.csv, "Print CSV");
  app.add_flag("--json", o.json, "Print JSON")->excludes(csv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  return octet::bench::Main(o);
}
