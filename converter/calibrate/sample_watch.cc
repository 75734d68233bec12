#include "converter/calibrate/sample_watch.h"

#include <span>
#include <utility>

#include "formats/base/fnv1a.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {

SampleSource SampleWatch::Over(SampleSource next, int64_t elements) {
  return [this, next = std::move(next), elements](float* to) -> Result<bool> {
    OCTET_ASSIGN_OR_RETURN(const bool more, next(to));
    if (!more) return false;
    uint64_t hash = kFnv1aStart;
    for (std::byte b : std::as_bytes(std::span(to, static_cast<size_t>(elements))))
      hash = Fnv1a(hash, static_cast<uint8_t>(b));
    hashes_.insert(hash);
    ++samples_;
    return true;
  };
}

std::vector<std::string> SampleWatch::Doubts() const {
  // CIFAR ResNet-20 in int8, 10,000 images: one sample costs 0.6 points (five sets), 8 cost
  // nothing.
  constexpr size_t kEnough = 8;
  std::vector<std::string> doubts;
  if (samples_ < kEnough) {
    doubts.push_back(StrCat("calibrated on ", samples_, samples_ == 1 ? " sample" : " samples",
                            "; fewer than ", kEnough, " seldom show the whole range"));
  }
  if (samples_ > 1 && hashes_.size() <= samples_ / 2) {
    doubts.push_back(StrCat("of the ", samples_, " calibration samples only ", hashes_.size(),
                            hashes_.size() == 1 ? " is" : " are", " different"));
  }
  return doubts;
}

}  // namespace octet
