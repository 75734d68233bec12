#include "converter/calibrate/sample_set.h"

#include <span>
#include <utility>

#include "formats/base/macros.h"

namespace octet {

Result<DatasetSamples> SampleSet::Open() {
  if (holds_all()) return OpenHeld();
  OCTET_ASSIGN_OR_RETURN(DatasetSamples samples, open_());
  if (passed_) return samples;
  held_.clear();
  description_ = samples.description;
  seen_ = 0, every_ = 1;
  bytes_ = 0;
  samples.next = [this, next = std::move(samples.next), label = samples.label, name = samples.name,
                  size = samples.size](float* to) -> Result<bool> {
    OCTET_ASSIGN_OR_RETURN(const bool more, next(to));
    // Those who know how many there are need not ask for one more.
    passed_ = !more || seen_ + 1 == size;
    if (!more || seen_++ % every_ != 0) return more;
    held_.push_back({name ? name() : "", label ? label() : -1,
                     SampleValues(std::span(to, elements_), channels_)});
    bytes_ += held_.back().input.bytes();
    if (bytes_ <= kMostHeldBytes || held_.size() < 2) return true;
    every_ *= 2;
    bytes_ = 0;
    size_t kept = 0;
    for (size_t i = 0; i < held_.size(); i += 2, ++kept) {
      if (i > 0) held_[kept] = std::move(held_[i]);
      bytes_ += held_[kept].input.bytes();
    }
    held_.resize(kept);
    return true;
  };
  return samples;
}

Result<DatasetSamples> SampleSet::OpenHeld() const {
  DatasetSamples samples = SamplesOf(held_);
  samples.description = description_;
  return samples;
}

}  // namespace octet
