// Times of whole networks.
#ifndef OCTET_BENCH_MEASURE_H_
#define OCTET_BENCH_MEASURE_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/include/octet/octet.h"
#include "formats/base/status.h"

namespace octet::bench {

struct MeasureOptions {
  std::string isa;
  bool winograd = true;
  int warmup = 3;
  double min_time = 1.0;  ///< Seconds, at least 5 runs.
  int runs = 0;           ///< So many instead; 0 = by time.
  int rounds = 1;         ///< Into which the time, or the runs, of each of several networks is cut.
  int sessions = 1;       ///< At once, each in a thread of its own.
  double paced = 0.0;     ///< Runs a second that begin on time, as of a camera; 0 = back to back.
  int busy = 0;           ///< Processes beside that do nothing but keep a processor busy.
  std::vector<int> cpus;  ///< To run on; empty for any. Each session has its share.
  bool profile = false;
  std::vector<std::string> inputs, outputs;  ///< FILE or NAME=FILE; made up where there is none.
};

/// A network that may be loaded again and again.
struct Network {
  std::string path;  ///< Empty for bytes in memory.
  std::function<Result<std::shared_ptr<const Model>>()> load;
  ModelDescription description;
};

/// How sessions are run; those of all combinations take turns.
struct Variants {
  std::vector<int> threads{1};
  std::vector<std::string> executors{"pool"};  ///< "pool": octet's own threads; "openmp".
};

struct Measurement {
  std::string path, model, precision, isa, executor;
  int threads = 1, batch = 1, sessions = 1, busy = 0;
  double paced = 0.0;
  std::vector<std::vector<double>> times;  ///< Milliseconds of every run, by session, as they came.
  std::vector<double> sorted;              ///< The same of all sessions.
  double images_per_second = 0;
  double cpu_ms = 0;    ///< Processor time of all threads, a run.
  double first_ms = 0;  ///< From the file, or its bytes in memory, to the first answer.
  int64_t macs = 0, file_size = 0;
  MemoryReport memory;
  /// What the process grew by from before loading to after warming up, plus the model's bytes if
  /// they were in memory before; 0 where that is not known.
  int64_t resident_bytes = 0;
  std::vector<LayerProfile> layers;  ///< Medians of the runs.

  double Percentile(int percent) const {
    return sorted[std::min(sorted.size() - 1, sorted.size() * static_cast<size_t>(percent) / 100)];
  }
  double min_ms() const { return sorted.front(); }
  double median_ms() const { return Percentile(50); }
  double mean_ms() const;
  double stddev_ms() const;  ///< Of the runs; 0 of one.
  double gmacs() const { return static_cast<double>(macs) * images_per_second * 1e-9; }
  /// Whether something else took the processor from it: "" or a sentence.
  std::string Disturbance() const;
};

/// Measures each network in each variant with this batch, all in turn, round by round, so that what
/// disturbs the machine disturbs all. Loading is part of it, as the time to the first answer.
Result<std::vector<Measurement>> Measure(const MeasureOptions& o,
                                         const std::vector<Network>& networks,
                                         const Variants& variants, int batch);

}  // namespace octet::bench

#endif  // OCTET_BENCH_MEASURE_H_
