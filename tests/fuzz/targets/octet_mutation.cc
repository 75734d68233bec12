// A random graph, written to a file, some of whose bytes are then changed and whose checksum is
// made right again. What the reader takes, the planner must take, or refuse, and run.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "bench/graph_generator.h"
#include "engine/include/octet/octet.h"
#include "engine/src/model_impl.h"
#include "formats/model/checksum.h"
#include "formats/model/octet_file.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/network.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

namespace {

constexpr size_t kChecksumAt = 32, kHeaderSize = 128;

/// What comes behind the changes: the graph.
constexpr size_t kBytesOfAChange = 4;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const size_t changes = std::min<size_t>(data[0] % 8, (size - 1) / kBytesOfAChange);
  ByteChoices change({data + 1, changes * kBytesOfAChange});
  ByteChoices choices({data + 1 + changes * kBytesOfAChange, size - 1 - changes * kBytesOfAChange});
  const Graph graph = GenerateGraph(&choices);
  if (GraphCost(graph) > 20'000) return 0;
  Result<std::vector<std::byte>> bytes = SerializeOctet(graph, {});
  FUZZ_CHECK(bytes.ok(), bytes.status().message());
  // Sections: everything in front of the constants.
  uint64_t constants = 0;
  std::memcpy(&constants, bytes->data() + 40, sizeof(constants));
  for (size_t i = 0; i < changes; ++i) {
    const uint32_t how = change.Below(256), high = change.Below(256), low = change.Below(256);
    const auto value = static_cast<std::byte>(change.Below(256));
    const size_t room =
        how < 240 ? static_cast<size_t>(constants) - kHeaderSize : bytes->size() - kHeaderSize;
    std::byte& b = (*bytes)[kHeaderSize + (high * 256 + low) % room];
    b = how % 2 == 0 ? value : b ^ value;
  }
  const uint64_t checksum = ChecksumAround(bytes->data(), bytes->size(), kChecksumAt);
  std::memcpy(bytes->data() + kChecksumAt, &checksum, sizeof(checksum));
  const auto model = Model::FromMemory(bytes->data(), bytes->size());
  if (!model.ok() || !IsSmall(GraphOf(**model))) return 0;
  ++deep_inputs;
  RunModel(*model, HashOf(data, size));
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  std::vector<std::vector<uint8_t>> seeds;
  for (uint64_t seed = 0; seeds.size() < 60; ++seed) {
    SeededChoices random(seed);
    std::vector<uint8_t> bytes(60 + random.Below(200));
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random.Below(256));
    bytes[0] = 0;  // No change yet.
    ByteChoices choices({bytes.data() + 1, bytes.size() - 1});
    if (GraphCost(GenerateGraph(&choices)) <= 20'000) seeds.push_back(bytes);
  }
  return seeds;
}
