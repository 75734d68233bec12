// A generator for each tensor, seeded by its name, draws its values in order; the role says from
// which distribution.
#include "converter/import/checkpoints/synthetic_tensors.h"

#include <cmath>

#include "formats/base/fnv1a.h"
#include "formats/base/random.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

class Values : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;

  /// In [low, high). 24 bits, so every step is exact until the last multiplication.
  float Uniform(float low, float high) {
    return low + (high - low) * (static_cast<float>(Next() >> 40) * 0x1p-24f);
  }

  /// Mean 0, variance 1: the sum of four 16-bit uniforms, bell-shaped and bounded by 3.5.
  float Bell() {
    const uint64_t bits = Next();
    const int sum = static_cast<int>((bits & 0xffff) + ((bits >> 16) & 0xffff) +
                                     ((bits >> 32) & 0xffff) + (bits >> 48)) -
                    2 * 65535;
    // Four uniforms have variance 4 / 12.
    return static_cast<float>(sum) * (1.7320508f / 65536.0f);
  }
};

/// So that a tensor's values do not depend on the order of requests.
uint64_t HashName(const std::string& name) {
  uint64_t hash = kFnv1aStart;
  for (unsigned char c : name) hash = Fnv1a(hash, c);
  return hash;
}

}  // namespace

Result<std::vector<float>> SyntheticTensorSource::Read(const TensorRequest& request) {
  int64_t count = 1;
  for (int64_t d : request.shape) {
    if (d < 1 || !CheckedMul(count, d, &count) || count > (int64_t{1} << 31)) {
      return InvalidArgument(StrCat("tensor '", request.name, "' has an impossible shape"));
    }
  }
  Values random(seed_ ^ HashName(request.name));
  std::vector<float> values(static_cast<size_t>(count));
  const bool residual = request.closes_branch;
  switch (request.role) {
    case TensorRole::kWeights: {
      const int64_t fan_in = request.shape.empty() ? 1 : count / request.shape[0];
      const float deviation = static_cast<float>(std::sqrt(2.0 / static_cast<double>(fan_in))) *
                              (residual ? 0.2f : 1.0f);
      for (float& v : values) v = random.Bell() * deviation;
      break;
    }
    case TensorRole::kNormScale:
      for (float& v : values) v = random.Uniform(0.8f, 1.2f) * (residual ? 0.2f : 1.0f);
      break;
    case TensorRole::kNormVariance:
      for (float& v : values) v = random.Uniform(0.8f, 1.25f);
      break;
    case TensorRole::kBias:
    case TensorRole::kNormShift:
    case TensorRole::kNormMean:
      for (float& v : values) v = random.Uniform(-0.1f, 0.1f);
      break;
  }
  return values;
}

}  // namespace octet
