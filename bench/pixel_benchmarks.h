// Benchmarks of what photos cost before the network.
#ifndef OCTET_BENCH_PIXEL_BENCHMARKS_H_
#define OCTET_BENCH_PIXEL_BENCHMARKS_H_

#include <string>
#include <vector>

namespace octet::bench {

/// Names are, of a photo's rows alone, pixels/FORMAT/instruction set, and pixels/FORMAT/libyuv
/// where the build has it; of a network's input of a photo, pixels/WIDTHxHEIGHT-SIDE/FORMAT/RULE/
/// instruction set. bench/pixels.py puts the frameworks' own beside the rules.
void RegisterPixelBenchmarks(const std::vector<std::string>& sets);

}  // namespace octet::bench

#endif  // OCTET_BENCH_PIXEL_BENCHMARKS_H_
