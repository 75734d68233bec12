// Made-up weights: the same on every machine, for benchmarks and tests that have no trained model.
#ifndef OCTET_CONVERTER_IMPORT_CHECKPOINTS_SYNTHETIC_TENSORS_H_
#define OCTET_CONVERTER_IMPORT_CHECKPOINTS_SYNTHETIC_TENSORS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "converter/import/checkpoints/tensor_source.h"

namespace octet {

/// Answers every request with values that depend only on the seed and the tensor's name. Weights
/// have the variance of He's initialization (2 / fan-in); batch norms are near the identity, those
/// that close a residual branch near 0.2, so that activations of a network fed with unit-variance
/// inputs keep a magnitude of a few units at any depth. No standard-library distribution is used:
/// they differ between libraries.
class SyntheticTensorSource : public TensorSource {
 public:
  explicit SyntheticTensorSource(uint64_t seed) : seed_(seed) {}

  std::vector<std::string> Names() const override { return {}; }
  std::optional<std::vector<int64_t>> FindShape(const TensorRequest& request) const override {
    return request.shape;
  }
  /// Errors: kInvalidArgument when the shape's product exceeds 2^31.
  Result<std::vector<float>> Read(const TensorRequest& request) override;

 private:
  uint64_t seed_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_CHECKPOINTS_SYNTHETIC_TENSORS_H_
