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

struct Measurement {
  std::string path, model, precision, isa;
  int threads = 1, batch = 1, sessions = 1;
  std::vector<std::vector<double>> times;  ///< Milliseconds of every run, by session, as they came.
  std::vector<double> sorted;              ///< The same of all sessions.
  double images_per_second = 0;
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

/// Measures each with these threads and this batch, several in turn, round by round, so that what
/// disturbs the machine disturbs all. Loading is part of it, as the time to the first answer.
Result<std::vector<Measurement>> Measure(const MeasureOptions& o,
                                         const std::vector<Network>& networks, int threads,
                                         int batch);

}  // namespace octet::bench

#endif  // OCTET_BENCH_MEASURE_H_
