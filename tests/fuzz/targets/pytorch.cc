// PyTorch checkpoints, zip and legacy: imported, then converted and run.
#include "converter/import/pytorch.h"

#include <string>
#include <string_view>
#include <vector>

#include "converter/import/graph_description.h"
#include "converter/import/importer.h"
#include "converter/import/resnet_builder.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/network.h"
#include "tests/fuzz/tiny_checkpoint.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto description = ParseGraphDescription(kTinyDescription, "tiny");
  const FileBytes file{{reinterpret_cast<const std::byte*>(data), size}, nullptr};
  auto source = PytorchSource::Parse(file, "fuzz");
  if (!source.ok()) return 0;
  for (const std::string& name : source->Names()) {
    const TensorRequest request{name, {}, TensorRole::kWeights, false};
    FUZZ_CHECK(source->FindShape(request).has_value(), "no shape of " + name);
    (void)source->Read(request);
  }
  Result<Graph> graph = BuildResnet(*description, *source);
  if (graph.ok()) deep_inputs += ConvertAndRun(*std::move(graph), HashOf(data, size));
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  const auto [object, storages] = TinyStateDict();
  return {BytesOf(ZipCheckpoint(object, storages)), BytesOf(ZipCheckpoint(object, storages, true)),
          BytesOf(LegacyCheckpoint(object, storages))};
}
