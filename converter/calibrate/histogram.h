// Counts of the values of an activation.
#ifndef OCTET_CONVERTER_CALIBRATE_HISTOGRAM_H_
#define OCTET_CONVERTER_CALIBRATE_HISTOGRAM_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/base/status.h"

namespace octet {

struct Range {
  float min = 0.0f, max = 0.0f;
};

/// Counts values in equal bins over [-limit, limit). The limit is the smallest power of two that
/// holds what was seen, and so bins are as wide as a power of two: when a value lies outside, the
/// limit doubles and pairs of bins merge, which gives the very counts that the larger limit would
/// have given from the start. So the counts depend on the values alone, not on their order nor on
/// which of several histograms, merged in the end, had them; and one pass over data of unknown
/// range is enough. At least 2048 bins lie on each side of 0 between the largest magnitude and its
/// negative. 64 KiB.
class Histogram {
 public:
  static constexpr int kBins = 8192;
  /// Of the logarithm of the limit: that of nothing but zeros, half of which is the smallest
  /// denormal number, and that of the largest number.
  static constexpr int kMinLog2Limit = -148, kMaxLog2Limit = 128;
  /// Values that one may count: doubles count so far.
  static constexpr int64_t kMostValues = int64_t{1} << 53;

  Histogram() = default;
  /// Of counts that another one had, kBins of them or none at the end. Errors: kInvalidArgument,
  /// with what is wrong.
  static Result<Histogram> FromCounts(int log2_limit, std::vector<int64_t> counts);

  /// `value` is finite.
  void Add(float value) {
    double bin = value * per_width_;  // Exact, as all of this.
    if (!(bin >= -kHalf && bin < kHalf)) {
      GrowFor(value);
      bin = value * per_width_;
    }
    const int truncated = static_cast<int>(bin);
    ++counts_[static_cast<size_t>(kHalf + truncated - (bin < truncated))];
  }

  /// Errors: kInvalidArgument where there would be more than kMostValues.
  Status Merge(const Histogram& other);

  /// The range that holds `percent` of the values, the rest cut off in equal parts at both ends,
  /// never beyond what was seen.
  Range Percentile(double percent, const Range& seen) const;

  int log2_limit() const { return log2_limit_; }
  std::span<const int64_t> counts() const { return counts_; }
  int64_t total() const;

 private:
  static constexpr int kHalf = kBins / 2;

  void GrowFor(double value);
  void SetLimit(int log2_limit);  ///< To a larger one.

  int log2_limit_ = kMinLog2Limit;
  double per_width_ = 0x1p160;  ///< kHalf / limit.
  std::vector<int64_t> counts_ = std::vector<int64_t>(kBins, 0);
};

}  // namespace octet

#endif  // OCTET_CONVERTER_CALIBRATE_HISTOGRAM_H_
