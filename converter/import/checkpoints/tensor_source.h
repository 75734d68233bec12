// Where a graph builder gets its weights from: a checkpoint, or a generator.
#ifndef OCTET_CONVERTER_IMPORT_CHECKPOINTS_TENSOR_SOURCE_H_
#define OCTET_CONVERTER_IMPORT_CHECKPOINTS_TENSOR_SOURCE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// What a tensor means to the network. Generators need it; checkpoints do not.
enum class TensorRole {
  kWeights,       ///< Convolution (OIHW) or dense (OI).
  kBias,          ///< Of a convolution or dense layer.
  kNormScale,     ///< Batch norm's gamma.
  kNormShift,     ///< Batch norm's beta.
  kNormMean,      ///< Batch norm's running mean.
  kNormVariance,  ///< Batch norm's running variance.
};

struct TensorRequest {
  std::string name;
  /// As PyTorch stores it: convolutions OIHW, dense OI, everything else [channels].
  std::vector<int64_t> shape;
  TensorRole role = TensorRole::kWeights;
  /// Last tensor of a residual branch, which scales what is added to the shortcut.
  bool closes_branch = false;
};

/// Named float tensors. Not thread-safe.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  /// Every tensor's name. Empty for a source that makes up whatever is asked for.
  virtual std::vector<std::string> Names() const = 0;

  /// The shape of the tensor that would answer `request`, or nothing when there is none. It need
  /// not be the requested one.
  virtual std::optional<std::vector<int64_t>> FindShape(const TensorRequest& request) const = 0;

  /// The values as float32, row-major in the shape that FindShape gives. Errors: kNotFound,
  /// kUnsupported (element type), kCorrupt.
  virtual Result<std::vector<float>> Read(const TensorRequest& request) = 0;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_CHECKPOINTS_TENSOR_SOURCE_H_
