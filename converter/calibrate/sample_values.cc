#include "converter/calibrate/sample_values.h"

#include <algorithm>
#include <bit>

namespace octet {
namespace {

constexpr size_t kPlaces = 256;

/// The different numbers of a channel, found by their bits.
class Palette {
 public:
  /// Place of `v`, or kPlaces where it would be one too many.
  size_t PlaceOf(float v) {
    const auto bits = std::bit_cast<uint32_t>(v);
    // The multiplier of Knuth's multiplicative hashing: 2^32 over the golden ratio.
    for (size_t slot = (bits * 2654435769u) >> 22;; slot = (slot + 1) % kSlots) {
      if (slots_[slot] < 0) {
        if (count_ == kPlaces) return kPlaces;
        slots_[slot] = static_cast<int16_t>(count_);
        bits_[count_] = bits;
        return count_++;
      }
      const auto place = static_cast<size_t>(slots_[slot]);
      if (bits_[place] == bits) return place;
    }
  }
  float number(size_t place) const { return std::bit_cast<float>(bits_[place]); }

 private:
  static constexpr size_t kSlots = 4 * kPlaces;  // 2^10: the hash's upper bits.
  std::vector<int16_t> slots_ = std::vector<int16_t>(kSlots, -1);
  uint32_t bits_[kPlaces] = {};
  size_t count_ = 0;
};

}  // namespace

SampleValues::SampleValues(std::span<const float> values, size_t channels) {
  std::vector<Palette> palettes;
  // Of short samples the palettes alone would be longer.
  if (values.size() > 2 * kPlaces * channels) palettes.resize(channels);
  places_.resize(palettes.empty() ? 0 : values.size());
  for (size_t i = 0; i < places_.size(); ++i) {
    const size_t place = palettes[i % channels].PlaceOf(values[i]);
    if (place == kPlaces) places_.clear();
    if (places_.empty()) break;
    places_[i] = static_cast<uint8_t>(place);
  }
  if (places_.empty()) {
    floats_.assign(values.begin(), values.end());
    places_.shrink_to_fit();
    return;
  }
  for (const Palette& p : palettes)
    for (size_t place = 0; place < kPlaces; ++place) numbers_.push_back(p.number(place));
}

void SampleValues::CopyTo(float* to) const {
  if (places_.empty()) {
    std::copy(floats_.begin(), floats_.end(), to);
    return;
  }
  const size_t channels = numbers_.size() / kPlaces;
  for (size_t i = 0; i < places_.size(); ++i) to[i] = numbers_[i % channels * kPlaces + places_[i]];
}

std::vector<float> SampleValues::Floats() const {
  std::vector<float> values(size());
  CopyTo(values.data());
  return values;
}

}  // namespace octet
