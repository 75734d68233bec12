// How much memory the activations of known networks take. A change that needs more must say why.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include "bench/synthetic_network.h"
#include "engine/src/plan.h"
#include "formats/model/octet_file.h"
#include "kernels/dispatch.h"

namespace octet {
namespace {

int64_t ArenaBytes(const std::string& network, Precision precision, const char* isa, int threads,
                   int batch) {
  // Made once for all cases: calibrating ResNet-50 takes a second.
  static std::map<std::pair<std::string, Precision>, bench::SerializedModel> models;
  const auto [model, is_new] = models.try_emplace({network, precision});
  if (is_new) {
    const auto net = bench::SyntheticNetwork::Build(network);
    EXPECT_TRUE(net.ok()) << net.status().message();
    const auto bytes = net->Convert(precision);
    EXPECT_TRUE(bytes.ok()) << bytes.status().message();
    model->second = *bytes;
  }
  const bench::SerializedModel& bytes = model->second;
  const auto file =
      ReadOctetBytes({static_cast<const std::byte*>(bytes.data.get()), bytes.size}, bytes.data, {});
  EXPECT_TRUE(file.ok()) << file.status().message();
  PreparedWeights prepared;
  PlanOptions options;
  options.table = kernels::SelectTable(isa).value();
  options.num_threads = threads;
  options.max_batch = batch;
  options.prepared = &prepared;
  const auto plan = BuildPlan(file->graph, options);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  return (*plan)->arena_bytes;
}

struct Case {
  const char* network;
  Precision precision;
  const char* isa;
  int threads, batch;
  int64_t bytes;
};

TEST(Arena, KnownNetworksTakeWhatTheyTook) {
  const Case kCases[] = {
      {"resnet50", Precision::kInt8, "reference", 1, 1, 2007232},
      {"resnet50", Precision::kHybrid, "reference", 1, 1, 7226688},
      {"resnet50", Precision::kFp32, "reference", 1, 1, 8028352},
      {"resnet50", Precision::kInt8, "emulated512", 1, 1, 2939712},
      {"resnet50", Precision::kHybrid, "emulated512", 1, 1, 7226688},
      {"resnet50", Precision::kFp32, "emulated512", 1, 1, 8028352},
      {"resnet50", Precision::kInt8, "emulated512", 2, 3, 9567104},
      {"cifar_resnet20", Precision::kInt8, "emulated512", 1, 1, 223680},
      {"flowers_resnet", Precision::kInt8, "emulated512", 2, 1, 942080},
      {"flowers_resnet", Precision::kFp32, "emulated512", 2, 1, 2060160},
  };
  for (const Case& c : kCases) {
    if (!kernels::SelectTable(c.isa).ok()) continue;  // Not of this processor family.
    EXPECT_EQ(ArenaBytes(c.network, c.precision, c.isa, c.threads, c.batch), c.bytes)
        << c.network << " " << PrecisionName(c.precision) << " " << c.isa << ", " << c.threads
        << " threads, batch " << c.batch;
  }
}

}  // namespace
}  // namespace octet
