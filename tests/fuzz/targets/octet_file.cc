// Any bytes as an .octet file, whose checksum is not looked at: reader, planner, a run, and the way
// back.
#include "formats/model/octet_file.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "bench/graph_generator.h"
#include "engine/include/octet/octet.h"
#include "formats/model/panel.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/network.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

namespace {

/// A copy of exactly these bytes, aligned as a mapped file is.
std::shared_ptr<std::byte> AlignedCopy(const uint8_t* data, size_t size) {
  void* memory = nullptr;
  FUZZ_CHECK(posix_memalign(&memory, 64, size == 0 ? 1 : size) == 0, "no memory");
  if (size > 0) std::memcpy(memory, data, size);
  return {static_cast<std::byte*>(memory), std::free};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::shared_ptr<std::byte> bytes = AlignedCopy(data, size);
  const auto file = ReadOctetBytes({bytes.get(), size}, bytes, {.verify_checksum = false});
  if (!file.ok()) {
    const StatusCode code = file.status().code();
    FUZZ_CHECK(code == StatusCode::kCorrupt || code == StatusCode::kUnsupported,
               file.status().message());
    FUZZ_CHECK(!file.status().message().empty(), "an error without a message");
    return 0;
  }
  // What was read can be written and is then the same.
  const auto again = SerializeOctet(file->graph, file->golden);
  FUZZ_CHECK(again.ok(), again.status().message());
  const auto model = Model::FromMemory(bytes.get(), size, {.verify_checksum = false});
  FUZZ_CHECK(model.ok(), model.status().message());
  if (!IsSmall(file->graph)) return 0;
  const uint32_t choice = HashOf(data, size);
  if (!RunModel(*model, choice)) return 0;
  ++deep_inputs;
  if (!file->golden.output.empty()) (void)(*model)->Verify();
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  std::vector<std::vector<uint8_t>> seeds;
  const auto add = [&](const Graph& graph, const Golden& golden) {
    const auto bytes = SerializeOctet(graph, golden);
    FUZZ_CHECK(bytes.ok(), bytes.status().message());
    const auto* begin = reinterpret_cast<const uint8_t*>(bytes->data());
    seeds.emplace_back(begin, begin + bytes->size());
  };
  for (uint64_t seed = 0; seeds.size() < 60; ++seed) {
    SeededChoices choices(seed);
    Graph graph = GenerateGraph(&choices);
    if (seed % 3 == 0) (void)ToInt16(&graph);
    if (seed % 3 == 1) (void)ToBf16(&graph);
    // Small ones: a fuzzer gets around faster. Not those that no session takes.
    bool groups = false;
    for (const Node& n : graph.nodes) {
      groups |= n.type == OpType::kConv2d &&
                ChooseLayout(n, graph.tensor(n.inputs[kInputWeights]).shape) == Layout::kPlain;
    }
    if (groups || GraphCost(graph) > 20'000) continue;
    Golden golden;
    if (seed % 4 == 0) {
      golden.seed = seed;
      golden.output.assign(static_cast<size_t>(graph.tensor(graph.outputs[0]).shape.num_elements()),
                           1.0f);
    }
    add(graph, golden);
  }
  return seeds;
}
