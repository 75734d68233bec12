// Whether samples are fit to take ranges from.
#ifndef OCTET_CONVERTER_CALIBRATE_SAMPLE_WATCH_H_
#define OCTET_CONVERTER_CALIBRATE_SAMPLE_WATCH_H_

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "formats/model/input_meaning.h"

namespace octet {

/// Looks at the samples of one source as they go by.
class SampleWatch {
 public:
  SampleWatch() = default;
  /// Of what another one has seen.
  SampleWatch(int64_t samples, const ValueRange& range, std::set<uint64_t> hashes)
      : samples_(samples), range_(range), hashes_(std::move(hashes)) {}

  /// As `next`, which gives `elements` values; the watch must outlive it.
  SampleSource Over(SampleSource next, int64_t elements);

  /// Of all values that it has seen.
  const ValueRange& range() const { return range_; }
  int64_t samples() const { return samples_; }
  /// Of the samples, the same of the same.
  const std::set<uint64_t>& hashes() const { return hashes_; }

  /// Adds what the watch of another shard has seen.
  void Merge(const SampleWatch& other);

  /// What speaks against those that it has seen, a sentence each: too few, the same again and
  /// again, or a few unlike the rest, by CalibrationTable::unevenness. (That they are dark or gray,
  /// MeaningOfInput sees by their range.)
  std::vector<std::string> Doubts(double unevenness = 1.0) const;

 private:
  int64_t samples_ = 0;
  ValueRange range_{std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()};
  std::set<uint64_t> hashes_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_CALIBRATE_SAMPLE_WATCH_H_
