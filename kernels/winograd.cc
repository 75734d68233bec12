#include "kernels/winograd.h"

#include <algorithm>
#include <cstdlib>

namespace octet::kernels {
namespace {

constexpr int kLanes = 16;

void AddWeights(const int8_t* __restrict weights, uint16_t* __restrict magnitude,
                uint16_t* __restrict sum) {
  for (int i = 0; i < kLanes * 4; ++i) {
    const int16_t w = weights[i];
    magnitude[i] = static_cast<uint16_t>(magnitude[i] + static_cast<uint16_t>(w < 0 ? -w : w));
    sum[i] = static_cast<uint16_t>(sum[i] + static_cast<uint16_t>(w));
  }
}

}  // namespace

bool WinogradIsExact(const int8_t* weights, int panels, int channels) {
  constexpr int64_t kLimit = int64_t{1} << 25;
  const int64_t lines = int64_t{9} * channels / 4;
  if (255 * 128 * 4 * lines < kLimit) return true;
  for (int p = 0; p < panels; ++p) {
    int64_t magnitude[kLanes] = {}, sum[kLanes] = {};
    for (int64_t first = 0; first < lines; first += 255) {
      // As many weights, at most 128 each, as fit 16 bits, in a loop that compilers turn into
      // vectors.
      uint16_t magnitudes[kLanes * 4] = {}, sums[kLanes * 4] = {};
      const int64_t count = std::min<int64_t>(lines - first, 255);
      for (int64_t line = 0; line < count; ++line, weights += kLanes * 4)
        AddWeights(weights, magnitudes, sums);
      for (int i = 0; i < kLanes * 4; ++i) {
        magnitude[i / 4] += magnitudes[i];
        sum[i / 4] += static_cast<int16_t>(sums[i]);
      }
    }
    for (int i = 0; i < kLanes; ++i) {
      // The larger of the sums of positive and of negative weights.
      if (255 * (magnitude[i] + std::abs(sum[i])) / 2 >= kLimit) return false;
    }
  }
  return true;
}

}  // namespace octet::kernels
