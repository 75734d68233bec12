// What a checkpoint of the tiny ResNet goes through, whatever its format.
#ifndef OCTET_TESTS_FUZZ_TARGETS_CHECKPOINT_H_
#define OCTET_TESTS_FUZZ_TARGETS_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <utility>

#include "converter/import/checkpoints/graph_description.h"
#include "converter/import/checkpoints/resnet_builder.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/network.h"
#include "tests/fuzz/tiny_checkpoint.h"

namespace octet::testing {

/// Reads every tensor of a checkpoint, builds the tiny ResNet from it, converts and runs that.
template <typename Source>
void RunCheckpoint(Source* source, uint32_t choice) {
  static const auto description = ParseGraphDescription(kTinyDescription, "tiny");
  for (const std::string& name : source->Names()) {
    const TensorRequest request{name, {}, TensorRole::kWeights, false};
    FUZZ_CHECK(source->FindShape(request).has_value(), "no shape of " + name);
    (void)source->Read(request);
  }
  Result<Graph> graph = BuildResnet(*description, *source);
  if (graph.ok()) deep_inputs += ConvertAndRun(*std::move(graph), choice);
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_FUZZ_TARGETS_CHECKPOINT_H_
