// Keras' .h5 files: imported, then converted and run.
#include <string_view>
#include <vector>

#include "converter/import/importer.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/network.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Result<Graph> graph = ImportKerasH5Bytes(Text(data, size));
  if (graph.ok()) deep_inputs += ConvertAndRun(*std::move(graph), HashOf(data, size));
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() { return {ReadTiny("model.h5")}; }
