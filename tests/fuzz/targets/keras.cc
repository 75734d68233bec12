// The two files inside of a .keras archive, the configuration and the weights: [u32 size of the
// configuration] [configuration][weights]. The archive is made around them, with right checksums:
// imported, then converted and run.
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/importer.h"
#include "converter/import/zip_reader.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/network.h"
#include "tests/unit/pytorch_builder.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uint32_t config = 0;
  if (size < sizeof(config)) return 0;
  std::memcpy(&config, data, sizeof(config));
  data += sizeof(config), size -= sizeof(config);
  if (config > size) return 0;
  ZipBuilder zip;
  zip.Add("config.json", std::string(Text(data, config)));
  zip.Add("model.weights.h5", std::string(Text(data + config, size - config)));
  Result<Graph> graph = ImportKerasZipBytes(zip.Build());
  if (graph.ok()) deep_inputs += ConvertAndRun(*std::move(graph), HashOf(data, size));
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  const std::vector<uint8_t> file = ReadTiny("model.keras");
  const auto zip = ZipReader::Open({std::as_bytes(std::span(file)), nullptr}, "model.keras");
  FUZZ_CHECK(zip.ok(), zip.status().message());
  std::string config, weights;
  for (const ZipEntry& entry : zip->entries()) {
    const auto bytes = zip->Read(entry);
    FUZZ_CHECK(bytes.ok(), bytes.status().message());
    if (entry.name == "config.json") config = bytes->text();
    if (entry.name == "model.weights.h5") weights = bytes->text();
  }
  const auto length = static_cast<uint32_t>(config.size());
  std::string seed(sizeof(length), '\0');
  std::memcpy(seed.data(), &length, sizeof(length));
  return {BytesOf(seed + config + weights)};
}
