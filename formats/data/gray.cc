// The gammas are libpng's fixed-point ones (png.c: png_reciprocal, png_gamma_significant,
// png_build_8bit_table), in units of 1 / 100000.
#include "formats/data/gray.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace octet::data_internal {
namespace {

constexpr int32_t kOne = 100000;

int32_t Reciprocal(int32_t gamma) { return static_cast<int32_t>(std::floor(1e10 / gamma + 0.5)); }

bool Significant(int32_t gamma) { return gamma < kOne - 5000 || gamma > kOne + 5000; }

std::array<uint8_t, 256> Powers(int32_t gamma) {
  std::array<uint8_t, 256> table;
  for (size_t i = 0; i < table.size(); ++i) {
    const double value = static_cast<double>(i);
    table[i] = static_cast<uint8_t>(
        Significant(gamma) ? std::floor(255 * std::pow(value / 255, gamma * 1e-5) + 0.5) : value);
  }
  return table;
}

}  // namespace

void MakeGray(const GrayRule& rule, std::span<uint8_t> rgb) {
  for (size_t i = 0; i + 2 < rgb.size(); i += 3) std::fill_n(&rgb[i], 3, rule.Of(&rgb[i]));
}

void MakeGrayByGamma(int32_t gamma, std::span<uint8_t> rgb) {
  const std::array<uint8_t, 256> linear = Powers(Reciprocal(gamma)),
                                 back = Powers(Reciprocal(Reciprocal(gamma)));
  for (size_t i = 0; i + 2 < rgb.size(); i += 3) {
    uint8_t* p = &rgb[i];
    if (p[0] == p[1] && p[0] == p[2]) continue;
    const uint8_t light[] = {linear[p[0]], linear[p[1]], linear[p[2]]};
    std::fill_n(p, 3, back[kLibpngGray16.Of(light)]);
  }
}

bool IsGamma(int32_t gamma) { return Significant(gamma) || Significant(Reciprocal(gamma)); }

}  // namespace octet::data_internal
