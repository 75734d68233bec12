// A contender is a network in one variant, with a session for each thread that asks for answers at
// once. All of a group are made first; then each runs for a slice of its time, round by round.
#include "bench/measure.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>

#include "bench/synthetic_network.h"
#include "engine/include/octet/openmp.h"
#include "engine/tools/tensor_files.h"
#include "formats/base/macros.h"
#include "formats/base/median.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"
#include "formats/data/progress.h"
#include "formats/data/system.h"
#include "formats/data/table.h"

namespace octet::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMinRuns = 5;
// Of inputs and outputs of all sessions of a network.
constexpr int64_t kMaxBufferBytes = int64_t{4} << 30;
// Where a median this many times the minimum says something else was running, and of how many runs.
constexpr double kDisturbed = 1.5;
constexpr size_t kRunsToJudge = 20;

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
  uint8_t* input(size_t i) { return buffers_[i].data(); }

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

struct Worker {
  Buffers buffers;
  std::unique_ptr<Session> session{};
  std::vector<double> times{};
  Status status{};

  Status Run(int batch) { return session->Run(buffers.inputs(), buffers.outputs(), batch); }
};

struct Contender {
  std::shared_ptr<const Model> model{};
  std::vector<Worker> workers{};
  SessionOptions options{};
  double wall_ms = 0;      ///< Of all slices.
  double cpu_seconds = 0;  ///< Of all slices.
  Measurement m{};
};

/// The calling thread, and those that it starts from now on, run on these only.
Status PinTo(const std::vector<int>& cpus) {
  if (cpus.empty() || PinThread(cpus)) return OkStatus();
  return InvalidArgument(
      StrCat("--cpu: cannot run on processor ", cpus[0], cpus.size() > 1 ? " and the others" : ""));
}

/// Those of one session, where there are enough for all; else all.
std::vector<int> ShareOf(const std::vector<int>& cpus, int session, int sessions) {
  const int each = static_cast<int>(cpus.size()) / sessions;
  if (each == 0) return cpus;
  return {cpus.begin() + session * each, cpus.begin() + (session + 1) * each};
}

/// The runs of `round`, of which there are `rounds`.
Status RunSlice(const MeasureOptions& o, int batch, int round, int rounds, Worker* w) {
  const size_t at_least = o.runs > 0 ? static_cast<size_t>(int64_t{o.runs} * (round + 1) / rounds -
                                                           int64_t{o.runs} * round / rounds)
                                     : static_cast<size_t>((kMinRuns + rounds - 1) / rounds);
  const size_t before = w->times.size();
  const Clock::time_point begin = Clock::now();
  while (w->times.size() - before < at_least ||
         (o.runs == 0 && Milliseconds(begin) < o.min_time * 1e3 / rounds)) {
    if (o.paced > 0) {
      const std::chrono::duration<double> since_begin(
          static_cast<double>(w->times.size() - before) / o.paced);
      std::this_thread::sleep_until(begin +
                                    std::chrono::duration_cast<Clock::duration>(since_begin));
    }
    const Clock::time_point start = Clock::now();
    OCTET_RETURN_IF_ERROR(w->Run(batch));
    w->times.push_back(Milliseconds(start));
  }
  return OkStatus();
}

/// Of all sessions at once.
Status RunSlices(const MeasureOptions& o, int batch, int round, int rounds, Contender* c) {
  const double cpu = ProcessSeconds();
  if (c->workers.size() == 1) {
    OCTET_RETURN_IF_ERROR(RunSlice(o, batch, round, rounds, &c->workers[0]));
    c->cpu_seconds += ProcessSeconds() - cpu;
    return OkStatus();
  }
  Clock::time_point begin;
  std::barrier start(static_cast<std::ptrdiff_t>(c->workers.size()),
                     [&]() noexcept { begin = Clock::now(); });
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < c->workers.size(); ++i) {
    threads.emplace_back([&, i] {
      Worker& w = c->workers[i];
      w.status = PinTo(ShareOf(o.cpus, static_cast<int>(i), o.sessions));
      // A team of OpenMP's threads is a thread's own: the first run makes it.
      if (w.status.ok()) w.status = w.Run(batch);
      start.arrive_and_wait();
      if (w.status.ok()) w.status = RunSlice(o, batch, round, rounds, &w);
    });
  }
  threads.clear();
  c->wall_ms += Milliseconds(begin);
  c->cpu_seconds += ProcessSeconds() - cpu;
  for (Worker& w : c->workers) OCTET_RETURN_IF_ERROR(std::move(w.status));
  return OkStatus();
}

/// The files' samples, again from the first one when there are fewer than images.
Status ReadInputs(const MeasureOptions& o, const ModelDescription& d, int batch, Session* session,
                  Buffers* buffers) {
  OCTET_ASSIGN_OR_RETURN(const auto files, FilesByTensor("--input", o.inputs, d.inputs));
  for (size_t i = 0; i < files.size(); ++i) {
    InputReader reader(d, i, /*raw=*/false);
    for (const std::string& path : files[i]) OCTET_RETURN_IF_ERROR(reader.Add(path));
    for (int n = 0; n < batch && reader.samples() > 0; ++n) {
      OCTET_RETURN_IF_ERROR(
          reader.Read(n % reader.samples(), *session,
                      buffers->input(i) + static_cast<size_t>(n) * d.inputs[i].num_bytes()));
    }
  }
  return OkStatus();
}

Status WriteOutputs(const MeasureOptions& o, const ModelDescription& d, int batch,
                    const Buffers& buffers) {
  OCTET_ASSIGN_OR_RETURN(const auto files, FilesByTensor("--output", o.outputs, d.outputs));
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].empty()) continue;
    Output output(d, i, /*raw=*/false);
    OCTET_RETURN_IF_ERROR(output.Open(files[i].back(), batch));
    for (int n = 0; n < batch; ++n)
      output.Add(static_cast<const uint8_t*>(buffers.outputs()[i]) +
                 static_cast<size_t>(n) * d.outputs[i].num_bytes());
    OCTET_RETURN_IF_ERROR(output.Write());
  }
  return OkStatus();
}

/// Medians by layer, of a session of its own: without `profile` no clock is read between layers.
Result<std::vector<LayerProfile>> Profile(const MeasureOptions& o, int batch, Contender* c) {
  SessionOptions session_options = c->options;
  session_options.profile = true;
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                         Session::Create(c->model, session_options));
  Worker& w = c->workers[0];
  std::vector<LayerProfile> layers;
  std::vector<std::vector<double>> times;
  const Clock::time_point begin = Clock::now();
  for (int run = -o.warmup;
       o.runs > 0 ? run < o.runs : run < kMinRuns || Milliseconds(begin) < o.min_time * 1e3;
       ++run) {
    session->ResetProfile();
    OCTET_RETURN_IF_ERROR(session->Run(w.buffers.inputs(), w.buffers.outputs(), batch));
    if (run < 0) continue;
    OCTET_ASSIGN_OR_RETURN(layers, session->Profile());
    times.resize(layers.size());
    for (size_t i = 0; i < layers.size(); ++i) times[i].push_back(layers[i].milliseconds);
  }
  for (size_t i = 0; i < layers.size(); ++i) layers[i].milliseconds = Median(std::move(times[i]));
  return layers;
}

Result<Contender> Open(const MeasureOptions& o, const Network& network, int threads,
                       const std::string& executor, int batch) {
  const ModelDescription& d = network.description;
  int64_t bytes = 0;
  for (const auto* list : {&d.inputs, &d.outputs})
    for (const TensorDescription& t : *list) bytes += static_cast<int64_t>(t.num_bytes());
  if (!CheckedMul(bytes, int64_t{batch} * o.sessions, &bytes) || bytes > kMaxBufferBytes) {
    return InvalidArgument(StrCat("--batch=", batch, ": inputs and outputs of ", d.name,
                                  " take more than ", kMaxBufferBytes, " bytes"));
  }
  Contender c;
  c.options.num_threads = threads;
  c.options.max_batch = batch;
  c.options.isa = o.isa;
  c.options.winograd = o.winograd;
  if (executor == "openmp") c.options.executor = OpenMpExecutor();
  // The caller's, so not part of what the process grows by.
  for (int i = 0; i < o.sessions; ++i) c.workers.push_back({.buffers = Buffers(d, batch)});
  TrimHeap();  // What was freed before must not hide what is allocated now.
  const int64_t resident = ResidentBytes();
  const Clock::time_point begin = Clock::now();
  OCTET_ASSIGN_OR_RETURN(c.model, network.load());
  for (Worker& w : c.workers) {
    OCTET_ASSIGN_OR_RETURN(w.session, Session::Create(c.model, c.options));
    OCTET_RETURN_IF_ERROR(w.Run(batch));
    if (&w == &c.workers[0]) c.m.first_ms = Milliseconds(begin);
    for (int i = 0; i < o.warmup; ++i) OCTET_RETURN_IF_ERROR(w.Run(batch));
  }
  if (resident > 0)
    c.m.resident_bytes = ResidentBytes() - resident + (network.path.empty() ? d.file_size : 0);
  for (Worker& w : c.workers) {
    if (!o.inputs.empty())
      OCTET_RETURN_IF_ERROR(ReadInputs(o, d, batch, w.session.get(), &w.buffers));
  }
  Session& session = *c.workers[0].session;
  c.m.path = network.path;
  c.m.model = d.name;
  c.m.precision = PrecisionName(d.precision);
  c.m.isa = session.Isa();
  c.m.executor = executor;
  c.m.threads = threads;
  c.m.batch = batch;
  c.m.paced = o.paced;
  c.m.busy = o.busy;
  c.m.sessions = o.sessions;
  c.m.macs = d.macs;
  c.m.file_size = d.file_size;
  c.m.memory = session.Memory();
  return c;
}

}  // namespace

double Measurement::mean_ms() const {
  return std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(sorted.size());
}

double Measurement::stddev_ms() const {
  if (sorted.size() < 2) return 0.0;
  double squares = 0;
  for (const double mean = mean_ms(); const double ms : sorted)
    squares += (ms - mean) * (ms - mean);
  return std::sqrt(squares / static_cast<double>(sorted.size() - 1));
}

std::string Measurement::Disturbance() const {
  const double ratio = median_ms() / min_ms();
  if (busy > 0 || paced > 0) return "";  // That is what is measured.
  if (sorted.size() < kRunsToJudge || ratio < kDisturbed) return "";
  return StrCat(model, " ", precision, ", threads ", threads, ", batch ", batch, ": the median is ",
                Fixed(ratio, 1), " times the minimum: something else was running, measure again");
}

Result<std::vector<Measurement>> Measure(const MeasureOptions& o,
                                         const std::vector<Network>& networks,
                                         const Variants& variants, int batch) {
  OCTET_RETURN_IF_ERROR(PinTo(o.cpus));
  std::vector<Contender> contenders;
  for (const int threads : variants.threads) {
    for (const std::string& executor : variants.executors) {
      for (const Network& n : networks) {
        OCTET_ASSIGN_OR_RETURN(Contender c, Open(o, n, threads, executor, batch));
        contenders.push_back(std::move(c));
      }
    }
  }
  const BusyProcesses busy(o.busy);
  if (busy.count() < o.busy)
    return Unsupported(StrCat("--busy: ", busy.count(), " of ", o.busy, " processes can be made"));
  const int rounds = contenders.size() > 1 ? o.rounds : 1;
  {
    Progress progress("measuring", int64_t{rounds} * static_cast<int64_t>(contenders.size()));
    for (int round = 0, done = 0; round < rounds; ++round) {
      for (Contender& c : contenders) {
        // What ran before has had the caches.
        if (contenders.size() > 1) OCTET_RETURN_IF_ERROR(c.workers[0].Run(batch));
        OCTET_RETURN_IF_ERROR(RunSlices(o, batch, round, rounds, &c));
        progress.Update(++done);
      }
    }
  }
  std::vector<Measurement> results;
  for (Contender& c : contenders) {
    Measurement& m = c.m;
    if (!o.outputs.empty()) {
      OCTET_RETURN_IF_ERROR(WriteOutputs(o, c.model->Describe(), batch, c.workers[0].buffers));
    }
    for (Worker& w : c.workers) {
      m.sorted.insert(m.sorted.end(), w.times.begin(), w.times.end());
      m.times.push_back(std::move(w.times));
    }
    std::sort(m.sorted.begin(), m.sorted.end());
    m.cpu_ms = c.cpu_seconds * 1e3 / static_cast<double>(m.sorted.size());
    m.images_per_second = o.sessions > 1
                              ? static_cast<double>(m.sorted.size()) * batch / c.wall_ms * 1e3
                              : batch / m.median_ms() * 1e3;
    if (o.profile) {
      OCTET_ASSIGN_OR_RETURN(m.layers, Profile(o, batch, &c));
    }
    results.push_back(std::move(m));
  }
  return results;
}

}  // namespace octet::bench
