#include "converter/calibrate/histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {

Result<Histogram> Histogram::FromCounts(int log2_limit, std::vector<int64_t> counts) {
  if (log2_limit < kMinLog2Limit || log2_limit > kMaxLog2Limit) {
    return InvalidArgument(StrCat("has the limit 2^", log2_limit, ", expected 2^", kMinLog2Limit,
                                  " to 2^", kMaxLog2Limit));
  }
  if (counts.size() > kBins) return InvalidArgument(StrCat("has more than ", kBins, " bins"));
  int64_t total = 0;
  for (const int64_t count : counts) {
    if (count < 0 || count > kMostValues - total)
      return InvalidArgument(StrCat("counts less than 0 or more than ", kMostValues, " values"));
    total += count;
  }
  Histogram h;
  h.log2_limit_ = log2_limit;
  h.per_width_ = std::ldexp(kHalf, -log2_limit);
  counts.resize(kBins, 0);
  h.counts_ = std::move(counts);
  return h;
}

Status Histogram::Merge(const Histogram& other) {
  if (total() + other.total() > kMostValues)
    return InvalidArgument(StrCat("counts more than ", kMostValues, " values"));
  Histogram narrow = other;
  const int log2_limit = std::max(log2_limit_, narrow.log2_limit_);
  SetLimit(log2_limit);
  narrow.SetLimit(log2_limit);
  for (size_t i = 0; i < kBins; ++i) counts_[i] += narrow.counts_[i];
  return OkStatus();
}

Range Histogram::Percentile(double percent, const Range& seen) const {
  const double cut = static_cast<double>(total()) * (100.0 - percent) / 200.0;
  const double width = 1.0 / per_width_;
  double min = seen.min, max = seen.max;
  double below = 0.0, above = 0.0;
  for (int i = 0; i < kBins && below <= cut; ++i) {
    below += static_cast<double>(counts_[static_cast<size_t>(i)]);
    if (below > cut) min = std::max(min, (i - kHalf) * width);
  }
  for (int i = kBins; i > 0 && above <= cut; --i) {
    above += static_cast<double>(counts_[static_cast<size_t>(i - 1)]);
    if (above > cut) max = std::min(max, (i - kHalf) * width);
  }
  // Every quantized range contains 0.
  return {static_cast<float>(std::min(min, 0.0)), static_cast<float>(std::max(max, 0.0))};
}

int64_t Histogram::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), int64_t{0});
}

void Histogram::GrowFor(double value) {
  int log2_limit = log2_limit_;
  for (double limit = std::ldexp(1.0, log2_limit); value < -limit || value >= limit; limit *= 2.0)
    ++log2_limit;
  SetLimit(log2_limit);
}

void Histogram::SetLimit(int log2_limit) {
  const int shift = std::min(log2_limit - log2_limit_, 31);  // All in the bins beside 0 by then.
  if (shift == 0) return;
  std::vector<int64_t> merged(kBins, 0);
  for (int i = 0; i < kBins; ++i)  // Rounded down, of negative ones too.
    merged[static_cast<size_t>(kHalf + ((i - kHalf) >> shift))] += counts_[static_cast<size_t>(i)];
  counts_ = std::move(merged);
  log2_limit_ = log2_limit;
  per_width_ = std::ldexp(kHalf, -log2_limit);
}

}  // namespace octet
