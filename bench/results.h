// What was measured, for people and for programs.
#ifndef OCTET_BENCH_RESULTS_H_
#define OCTET_BENCH_RESULTS_H_

#include <string>
#include <vector>

#include "bench/measure.h"

namespace octet::bench {

/// How the layers of a profile stand.
enum class LayerOrder { kNetwork, kTime, kType };

void PrintTable(const std::vector<Measurement>& results, LayerOrder order);
void PrintCsv(const std::vector<Measurement>& results);
void PrintJson(const std::vector<Measurement>& results);

/// One line of CSV for every run.
Status WriteTimes(const std::string& path, const std::vector<Measurement>& results);

}  // namespace octet::bench

#endif  // OCTET_BENCH_RESULTS_H_
