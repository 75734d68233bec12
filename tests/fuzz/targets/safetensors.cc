// safetensors files: imported, then converted and run.
#include "converter/import/checkpoints/safetensors.h"

#include <string>
#include <string_view>
#include <vector>

#include "converter/import/importer.h"
#include "tests/fuzz/targets/checkpoint.h"
#include "tests/fuzz/targets/fuzz_target.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const FileBytes file{{reinterpret_cast<const std::byte*>(data), size}, nullptr};
  auto source = SafetensorsSource::Parse(file, "fuzz");
  if (!source.ok()) return 0;
  (void)source->DescribeTypes();
  RunCheckpoint(&*source, HashOf(data, size));
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  return {BytesOf(TinySafetensors())};
}
