// The files of a SavedModel: [u32 size of saved_model.pb][u32 size of variables.index][the
// two][variables.data]: imported, then converted and run.
#include <cstring>
#include <string_view>
#include <vector>

#include "converter/import/importer.h"
#include "converter/import/tensorflow/saved_model.h"
#include "converter/import/tensorflow/tensor_bundle.h"
#include "tests/fuzz/saved_model_seed.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/network.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uint32_t sizes[2] = {};
  if (size < sizeof(sizes)) return 0;
  std::memcpy(sizes, data, sizeof(sizes));
  data += sizeof(sizes), size -= sizeof(sizes);
  if (sizes[0] > size || sizes[1] > size - sizes[0]) return 0;
  const std::string_view pb = Text(data, sizes[0]), index = Text(data + sizes[0], sizes[1]);
  const uint8_t* const shard = data + sizes[0] + sizes[1];
  const size_t shard_size = size - sizes[0] - sizes[1];
  const auto bundle = TensorBundle::Parse(index, [&](int, int n) -> Result<FileBytes> {
    if (n > 4) return NotFound("no such shard");
    return FileBytes{{reinterpret_cast<const std::byte*>(shard), shard_size}, nullptr};
  });
  Result<Graph> graph = ImportSavedModelBytes(pb, bundle.ok() ? &bundle.value() : nullptr);
  if (graph.ok()) deep_inputs += ConvertAndRun(*std::move(graph), HashOf(data, size));
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  const SavedModelFiles files;
  const uint32_t sizes[2] = {static_cast<uint32_t>(files.pb.size()),
                             static_cast<uint32_t>(files.index.size())};
  std::vector<uint8_t> seed(sizeof(sizes));
  std::memcpy(seed.data(), sizes, sizeof(sizes));
  for (const auto* part : {&files.pb, &files.index, &files.data})
    seed.insert(seed.end(), part->begin(), part->end());
  return {seed};
}
