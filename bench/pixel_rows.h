// Benchmarks of what photos cost before they are scaled.
#ifndef OCTET_BENCH_PIXEL_ROWS_H_
#define OCTET_BENCH_PIXEL_ROWS_H_

#include <string>
#include <vector>

namespace octet::bench {

/// Names are pixels/FORMAT/instruction set, and pixels/FORMAT/libyuv where the build has it.
void RegisterPixelRows(const std::vector<std::string>& sets);

}  // namespace octet::bench

#endif  // OCTET_BENCH_PIXEL_ROWS_H_
