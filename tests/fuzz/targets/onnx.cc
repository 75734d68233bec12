// ONNX files: imported, then converted and run.
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/importer.h"
#include "tests/fuzz/onnx_seeds.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/network.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Result<Graph> graph = ImportOnnxBytes(Text(data, size), "fuzz.onnx");
  if (graph.ok()) deep_inputs += ConvertAndRun(*std::move(graph), HashOf(data, size));
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  std::vector<std::vector<uint8_t>> seeds;
  for (const std::string& seed : FloatOnnxSeeds()) seeds.push_back(BytesOf(seed));
  seeds.push_back(BytesOf(QuantizedOnnxSeed()));
  return seeds;
}
