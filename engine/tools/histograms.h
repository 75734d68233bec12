// Counts that add up: of two parts of a run they are those of the whole.
#ifndef OCTET_ENGINE_TOOLS_HISTOGRAMS_H_
#define OCTET_ENGINE_TOOLS_HISTOGRAMS_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <map>

namespace octet {

/// How sure a network was: the best probability's lead over the next one, in hundredths.
struct MarginHistogram {
  std::array<int64_t, 100> counts{};

  void Add(float margin) {
    ++counts[static_cast<size_t>(std::clamp(static_cast<int>(margin * 100.0f), 0, 99))];
  }
  void Merge(const MarginHistogram& other) {
    for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  }
};

/// Times in nanoseconds, in buckets of at most 1/128 of what they hold: quantiles are within 0.4 %
/// of the exact ones. Bucket b < 128 holds b; the others are 2^e (128 + m) to 2^e (129 + m) with
/// b = 128 (e + 1) + m, m < 128.
class LatencyHistogram {
 public:
  void Add(double milliseconds) {
    ++counts_[Bucket(static_cast<int64_t>(std::max(0.0, milliseconds) * 1e6))];
  }
  void Merge(const LatencyHistogram& other) {
    for (const auto& [bucket, count] : other.counts_) counts_[bucket] += count;
  }
  void AddBucket(int bucket, int64_t count) { counts_[bucket] += count; }
  const std::map<int, int64_t>& counts() const { return counts_; }

  /// Milliseconds that `share` of all took at most; 0 of none.
  double Quantile(double share) const {
    int64_t total = 0;
    for (const auto& [bucket, count] : counts_) total += count;
    int64_t below = 0;
    for (const auto& [bucket, count] : counts_) {
      below += count;
      if (static_cast<double>(below) >= share * static_cast<double>(total)) return Middle(bucket);
    }
    return 0.0;
  }

  static constexpr int kMaxBucket = 128 * 57;

 private:
  static int Bucket(int64_t nanoseconds) {
    if (nanoseconds < 128) return static_cast<int>(nanoseconds);
    const int e = std::bit_width(static_cast<uint64_t>(nanoseconds)) - 8;
    return 128 * (e + 1) + static_cast<int>((nanoseconds >> e) - 128);
  }
  static double Middle(int bucket) {
    if (bucket < 128) return bucket * 1e-6;
    const int e = bucket / 128 - 1;
    return static_cast<double>((int64_t{2} * (128 + bucket % 128) + 1) << e) * 0.5e-6;
  }

  std::map<int, int64_t> counts_;
};

}  // namespace octet

#endif  // OCTET_ENGINE_TOOLS_HISTOGRAMS_H_
