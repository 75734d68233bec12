// The numbers of a sample that waits in memory.
#ifndef OCTET_CONVERTER_CALIBRATE_SAMPLE_VALUES_H_
#define OCTET_CONVERTER_CALIBRATE_SAMPLE_VALUES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace octet {

/// A byte each where no channel has more than 256 different ones, as what is made of pixels mostly
/// is; every bit comes back.
class SampleValues {
 public:
  SampleValues() = default;
  /// Kept as they are.
  SampleValues(std::vector<float> values) : floats_(std::move(values)) {}
  /// `values` end with their channels: element i is of channel i % channels.
  SampleValues(std::span<const float> values, size_t channels);

  size_t size() const { return places_.empty() ? floats_.size() : places_.size(); }
  /// That it takes.
  size_t bytes() const {
    return places_.size() + (floats_.size() + numbers_.size()) * sizeof(float);
  }
  /// `to` has size() elements.
  void CopyTo(float* to) const;
  std::vector<float> Floats() const;

 private:
  std::vector<float> floats_;
  // Or, for each channel, 256 numbers and where each value is among them.
  std::vector<float> numbers_;
  std::vector<uint8_t> places_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_CALIBRATE_SAMPLE_VALUES_H_
