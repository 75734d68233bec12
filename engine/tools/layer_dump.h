// What every layer of a network answers, as files.
#ifndef OCTET_ENGINE_TOOLS_LAYER_DUMP_H_
#define OCTET_ENGINE_TOOLS_LAYER_DUMP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine/src/model_impl.h"

namespace octet {

class LayerDump {
 public:
  /// Of `session`, which computes one image at a time on one thread, and which this must outlive.
  /// With `raw` quantized tensors stay codes.
  LayerDump(Session* session, bool raw);
  LayerDump(const LayerDump&) = delete;
  LayerDump& operator=(const LayerDump&) = delete;

  /// kInvalidArgument when the answers to `samples` would be more than 2 GiB.
  Status CheckSize(int64_t samples) const;

  /// A file each, "INDEX_TENSOR.npy" in the order of the graph, [samples,height,width,channels] or
  /// [samples,features], into `folder`, which is made where its parent is there. Reshapes that move
  /// nothing have none. Errors: kIo.
  Status Write(const std::string& folder) const;

 private:
  void Add(TensorId id, const kernels::ActivationView& view);

  const Graph& graph_;
  bool raw_;
  std::vector<std::vector<float>> values_;   ///< By tensor, of all samples so far.
  std::vector<std::vector<uint8_t>> codes_;  ///< The same with `raw`, as bytes.
};

}  // namespace octet

#endif  // OCTET_ENGINE_TOOLS_LAYER_DUMP_H_
