// Networks without a file: shipped graph descriptions with made-up weights, converted in memory.
#ifndef OCTET_BENCH_SYNTHETIC_NETWORK_H_
#define OCTET_BENCH_SYNTHETIC_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet::bench {

/// Fills `out`, an image of `height` x `width` x `channels` values, with smooth shapes and a little
/// noise: mean about 0, variance about 1, the same for the same seed on every machine.
void SmoothImage(uint64_t seed, int height, int width, int channels, std::span<float> out);

/// The bytes of an .octet file, 64-byte aligned, so that Model::FromMemory uses them in place.
struct SerializedModel {
  std::shared_ptr<const void> data;
  size_t size = 0;
};

/// One network, ready to be quantized to any precision.
class SyntheticNetwork {
 public:
  /// Builds, folds and fuses the description that ships under `name`, or "resnet8" (MLPerf Tiny's).
  /// Errors: kNotFound lists the names.
  static Result<SyntheticNetwork> Build(const std::string& name);

  /// The optimized float network.
  const Graph& graph() const { return graph_; }

  /// Quantizes (int8: calibrated on a few smooth images) and writes the .octet file into memory.
  Result<SerializedModel> Convert(Precision precision) const;

 private:
  explicit SyntheticNetwork(Graph graph) : graph_(std::move(graph)) {}
  Graph graph_;
};

}  // namespace octet::bench

#endif  // OCTET_BENCH_SYNTHETIC_NETWORK_H_
