#include "bench/synthetic_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "converter/import/graph_description.h"
#include "converter/import/resnet_builder.h"
#include "converter/import/synthetic_tensors.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "formats/base/macros.h"
#include "formats/model/octet_file.h"

namespace octet::bench {

Result<SyntheticNetwork> MakeSyntheticNetwork(const std::string& description) {
  OCTET_ASSIGN_OR_RETURN(const GraphDescription d, LoadGraphDescription(description));
  SyntheticTensorSource source(/*seed=*/1);
  SyntheticNetwork network;
  OCTET_ASSIGN_OR_RETURN(network.graph, BuildResnet(d, source));
  OCTET_RETURN_IF_ERROR(Optimize(&network.graph));
  const Shape shape = network.graph.tensor(network.graph.inputs[0]).shape;
  int sample = 0;
  const SampleSource next = [&](float* x) -> Result<bool> {
    if (sample == 2) return false;
    ++sample;
    for (int64_t y = 0; y < shape[1]; ++y) {
      for (int64_t i = 0; i < shape[2] * shape[3]; ++i) {
        x[y * shape[2] * shape[3] + i] =
            1.5f * std::sin(0.05f * static_cast<float>(sample * i)) * std::cos(0.09f * static_cast<float>(y + sample));
      }
    }
    return true;
  };
  OCTET_ASSIGN_OR_RETURN(network.table, Calibrate(network.graph, next, {}, {}));
  return network;
}

Result<std::shared_ptr<const Model>> ConvertInMemory(const SyntheticNetwork& network, Precision precision) {
  QuantizeOptions options;
  options.precision = precision;
  OCTET_ASSIGN_OR_RETURN(const Graph graph, QuantizeGraph(network.graph, options, &network.table));
  OCTET_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, SerializeOctet(graph, {}));
  std::byte* copy = nullptr;
  const std::shared_ptr<void> owner = MakeAlignedBuffer(bytes.size() + 1, &copy);
  // One byte off alignment makes FromMemory keep a copy of its own.
  std::copy(bytes.begin(), bytes.end(), copy + 1);
  return Model::FromMemory(copy + 1, bytes.size());
}

}  // namespace octet::bench
