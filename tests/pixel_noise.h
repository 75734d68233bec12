// Images of noise that scripts in Python make too.
#ifndef OCTET_TESTS_PIXEL_NOISE_H_
#define OCTET_TESTS_PIXEL_NOISE_H_

#include <cstdint>
#include <vector>

namespace octet::testing {

/// From a linear congruential generator; tests/data/pixels/make_resized.py has the same.
inline std::vector<uint8_t> PixelNoise(int width, int height, int channels) {
  std::vector<uint8_t> pixels(static_cast<size_t>(width) * height * channels);
  uint32_t state = static_cast<uint32_t>((width * 31 + height) * 31 + channels);
  for (uint8_t& p : pixels) {
    state = state * 1664525u + 1013904223u;
    p = static_cast<uint8_t>(state >> 24);
  }
  return pixels;
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_PIXEL_NOISE_H_
