#include "kernels/winograd.h"

#include <algorithm>

#include "formats/base/dtype.h"
#include "kernels/kernel_table.h"

namespace octet::kernels {
namespace {

constexpr int kLanes = 16;

/// u = G' g G'^T for 16 lanes, G' = rows (1,0,0) (-1,-1,-1) (-1,1,-1) (1,2,4) (1,-2,4) (0,0,1).
template <typename T>
void TransformLanes(const T (&g)[9][kLanes], T (&u)[36][kLanes]) {
  T half[6][3][kLanes];
  const auto rows = [](const T* a, const T* b, const T* c, T* r0, T* r1, T* r2, T* r3, T* r4,
                       T* r5) {
    for (int l = 0; l < kLanes; ++l) {
      const T s = a[l] + c[l], t = a[l] + 4 * c[l];
      r0[l] = a[l];
      r1[l] = -s - b[l];
      r2[l] = b[l] - s;
      r3[l] = t + 2 * b[l];
      r4[l] = t - 2 * b[l];
      r5[l] = c[l];
    }
  };
  for (int x = 0; x < 3; ++x) {
    rows(g[x], g[3 + x], g[6 + x], half[0][x], half[1][x], half[2][x], half[3][x], half[4][x],
         half[5][x]);
  }
  for (int y = 0; y < 6; ++y) {
    rows(half[y][0], half[y][1], half[y][2], u[y * 6], u[y * 6 + 1], u[y * 6 + 2], u[y * 6 + 3],
         u[y * 6 + 4], u[y * 6 + 5]);
  }
}

template <typename Load>
void TransformFloat(Load load, int panels, int channels, float* out) {
  // What G' lacks of G: 1/4, 1/6, 1/6, 1/24, 1/24, 1.
  constexpr float kFactor[6] = {1.0f / 4, 1.0f / 6, 1.0f / 6, 1.0f / 24, 1.0f / 24, 1.0f};
  for (int p = 0; p < panels; ++p) {
    for (int c = 0; c < channels; ++c) {
      float g[9][kLanes], u[36][kLanes];
      for (int t = 0; t < 9; ++t) {
        for (int l = 0; l < kLanes; ++l)
          g[t][l] = load((static_cast<int64_t>(p * 9 + t) * channels + c) * kLanes + l);
      }
      TransformLanes(g, u);
      for (int x = 0; x < 36; ++x) {
        const float factor = kFactor[x / 6] * kFactor[x % 6];
        float* to = out + (static_cast<int64_t>(p * 36 + x) * channels + c) * kLanes;
        for (int l = 0; l < kLanes; ++l) to[l] = u[x][l] * factor;
      }
    }
  }
}

void AddMagnitudes(const int8_t* __restrict weights, uint16_t* __restrict sum) {
  for (int i = 0; i < kLanes * 4; ++i) {
    const int16_t w = weights[i];
    sum[i] = static_cast<uint16_t>(sum[i] + static_cast<uint16_t>(w < 0 ? -w : w));
  }
}

}  // namespace

int64_t WinogradScratchBytes(int tile_block, int channels, int element_size) {
  constexpr int64_t kProductBytes = 4 * kLanes * 4;  // One tile, one point, up to four panels.
  return kWinogradSpareBytes +
         int64_t{36} * tile_block * (int64_t{channels} * element_size + kProductBytes);
}

void WinogradTransformF32(const float* weights, int panels, int channels, float* out) {
  TransformFloat([weights](int64_t i) { return weights[i]; }, panels, channels, out);
}

void WinogradTransformF16(const uint16_t* weights, int panels, int channels, float* out) {
  TransformFloat([weights](int64_t i) { return HalfToFloat(weights[i]); }, panels, channels, out);
}

void WinogradTransformI8(const int8_t* weights, int panels, int channels, int16_t* out) {
  const int64_t tap_bytes = int64_t{channels} * kLanes;
  for (int p = 0; p < panels; ++p) {
    for (int c = 0; c < channels; ++c) {
      int16_t g[9][kLanes], u[36][kLanes];
      const int8_t* from = weights + p * 9 * tap_bytes + c / 4 * 64 + c % 4;
      for (int t = 0; t < 9; ++t, from += tap_bytes) {
        for (int l = 0; l < kLanes; ++l) g[t][l] = from[l * 4];
      }
      TransformLanes(g, u);
      for (int x = 0; x < 36; ++x) {
        int16_t* to =
            out + (static_cast<int64_t>(p * 36 + x) * (channels / 2) + c / 2) * 32 + c % 2;
        for (int l = 0; l < kLanes; ++l) to[l * 2] = u[x][l];
      }
    }
  }
}

bool WinogradIsExact(const int8_t* weights, int panels, int channels) {
  constexpr int64_t kLimit = int64_t{1} << 25;
  const int64_t lines = int64_t{9} * channels / 4;
  if (255 * 128 * 4 * lines < kLimit) return true;
  for (int p = 0; p < panels; ++p) {
    int64_t magnitude[kLanes] = {};
    for (int64_t first = 0; first < lines; first += 255) {
      // As many magnitudes, at most 128 each, as fit 16 bits, in a loop that compilers turn into
      // vectors.
      uint16_t sum[kLanes * 4] = {};
      const int64_t count = std::min<int64_t>(lines - first, 255);
      for (int64_t line = 0; line < count; ++line, weights += kLanes * 4)
        AddMagnitudes(weights, sum);
      for (int i = 0; i < kLanes * 4; ++i) magnitude[i / 4] += sum[i];
    }
    if (255 * *std::max_element(magnitude, magnitude + kLanes) >= kLimit) return false;
  }
  return true;
}

}  // namespace octet::kernels
