// PyTorch checkpoints, zip and legacy: imported, then converted and run.
#include "converter/import/checkpoints/pytorch.h"

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
  auto source = PytorchSource::Parse(file, "fuzz");
  if (!source.ok()) return 0;
  RunCheckpoint(&*source, HashOf(data, size));
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  const auto [object, storages] = TinyStateDict();
  return {BytesOf(ZipCheckpoint(object, storages)), BytesOf(ZipCheckpoint(object, storages, true)),
          BytesOf(LegacyCheckpoint(object, storages))};
}
