// Damaged PyTorch checkpoints give an error or tensors, never a crash, a hang or a huge allocation:
// run it under AddressSanitizer. OCTET_FUZZ_FACTOR multiplies the number of mutations.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/checkpoints/pytorch.h"
#include "tests/fuzz/mutation.h"
#include "tests/unit/pytorch_builder.h"
#include "tests/watched_allocations.h"

namespace octet {
namespace {

using namespace octet::testing;  // NOLINT: builders of small files.
using Bytes = std::vector<uint8_t>;

/// The most that anything may ask for at once; the samples have less than 10 KiB.
constexpr size_t kMostMemory = 4 << 20;

std::string SampleObject() {
  const auto storage = [](const char* key, int64_t n) {
    return pickle::Storage("FloatStorage", key, n);
  };
  const std::string state = pickle::Dict(
      {{"module.conv.weight", pickle::Tensor(storage("0", 24), 0, {2, 3, 2, 2}, {12, 4, 2, 1})},
       {"module.transposed", pickle::Tensor(storage("0", 24), 2, {3, 4}, {1, 5})},
       {"module.half", pickle::Tensor(pickle::Storage("HalfStorage", "1", 8), 1, {7}, {1})},
       {"module.parameter",
        pickle::Call(pickle::Global("torch._utils", "_rebuild_parameter"),
                     pickle::Tuple({pickle::Tensor(storage("0", 24), 0, {24}, {1}), "\x88",
                                    pickle::OrderedDict()}))},
       {"module.expanded", pickle::Tensor(storage("0", 24), 3, {2, 5}, {1, 0})},
       {"module.negative",
        pickle::Call(
            pickle::Global("torch._utils", "_rebuild_tensor_v2"),
            pickle::Tuple({storage("0", 24), pickle::Int(0), pickle::Ints({4}), pickle::Ints({1}),
                           "\x89", pickle::OrderedDict(), pickle::Dict({{"neg", "\x88"}})}))},
       {"module.steps", pickle::Tensor(pickle::Storage("LongStorage", "2", 1), 0, {}, {})}},
      pickle::OrderedDict());
  const std::string args = pickle::Global("argparse", "Namespace") + ")\x81" +
                           pickle::Dict({{"lr", pickle::Int(1)}}) + "b";
  const std::string counter = pickle::Call(pickle::Global("collections", "Counter"),
                                           pickle::Tuple({pickle::Dict({{"30", pickle::Int(1)}})}));
  return pickle::Dict({{"epoch", pickle::Int(90)},
                       {"args", args},
                       {"milestones", counter},
                       {"state_dict", state + "q\x05"},
                       {"model_ema",
                        "](h\x05"
                        "e"}});
}

StorageBytes SampleStorages() {
  return {{"0", FloatBytes(std::vector<float>(24, 0.5f))},
          {"1", std::string(16, 'a')},
          {"2", std::string(8, '\0')}};
}

Bytes ToBytes(std::string_view text) { return Bytes(text.begin(), text.end()); }

/// Reads everything there is. True when the checkpoint was taken.
bool Read(const Bytes& bytes) {
  largest_allocation = 0;
  const FileBytes file{{reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, nullptr};
  Result<PytorchSource> source = PytorchSource::Parse(file, "fuzz");
  if (!source.ok()) {
    EXPECT_FALSE(source.status().message().empty());
    EXPECT_LT(largest_allocation, kMostMemory) << source.status().message();
    return false;
  }
  for (const std::string& name : source->Names()) {
    const TensorRequest request{name, {}, TensorRole::kWeights, false};
    const auto shape = source->FindShape(request);
    EXPECT_TRUE(shape.has_value());
    int64_t n = 1;
    for (const int64_t d : *shape) n *= d;
    // A view that repeats its elements may be larger than the file; networks ask for what they
    // need.
    if (n > static_cast<int64_t>(kMostMemory / 8)) continue;
    const Result<std::vector<float>> values = source->Read(request);
    if (values.ok()) {
      EXPECT_EQ(static_cast<int64_t>(values.value().size()), n);
    }
  }
  EXPECT_LT(largest_allocation, kMostMemory);
  return true;
}

TEST(PytorchFuzz, Zip) {
  for (const bool deflate : {false, true}) {
    const Bytes good = ToBytes(ZipCheckpoint(SampleObject(), SampleStorages(), deflate));
    ASSERT_TRUE(Read(good));
    Mutator mutator(1 + deflate);
    for (int64_t i = FuzzIterations(10000); i > 0; --i) Read(mutator.Mutate(good));
  }
}

TEST(PytorchFuzz, PickleInsideAnIntactZip) {
  const Bytes object = ToBytes(SampleObject());
  Mutator mutator(3);
  int64_t taken = 0;
  const int64_t n = FuzzIterations(10000);
  for (int64_t i = 0; i < n; ++i) {
    const Bytes mutated = mutator.Mutate(object);
    taken +=
        Read(ToBytes(ZipCheckpoint(std::string(mutated.begin(), mutated.end()), SampleStorages())));
  }
  EXPECT_GT(taken, 0);
  EXPECT_LT(taken, n);
}

Bytes SampleLegacy() {
  // All storages of one element size, as the builder writes them.
  const std::string object = pickle::Dict(
      {{"w", pickle::Tensor(pickle::Storage("FloatStorage", "0", 24), 0, {2, 3, 4}, {12, 4, 1})},
       {"v", pickle::Tensor(pickle::Storage("FloatStorage", "1", 4, "N"), 1, {3}, {1})}});
  return ToBytes(LegacyCheckpoint(object, {{"0", FloatBytes(std::vector<float>(24))},
                                           {"1", FloatBytes(std::vector<float>(4))}}));
}

TEST(PytorchFuzz, Legacy) {
  const Bytes good = SampleLegacy();
  ASSERT_TRUE(Read(good));
  Mutator mutator(4);
  int64_t taken = 0;
  const int64_t n = FuzzIterations(20000);
  for (int64_t i = 0; i < n; ++i) taken += Read(mutator.Mutate(good));
  EXPECT_GT(taken, 0);
  EXPECT_LT(taken, n);
}

TEST(PytorchFuzz, Truncations) {
  for (const Bytes& file :
       {ToBytes(ZipCheckpoint(SampleObject(), SampleStorages(), false)),
        ToBytes(ZipCheckpoint(SampleObject(), SampleStorages(), true)), SampleLegacy()}) {
    for (size_t n = 0; n < file.size(); ++n)
      EXPECT_FALSE(Read(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(n)))) << n;
  }
  // The builder ends a pickle properly, so some parts are whole objects.
  const std::string object = SampleObject();
  for (size_t n = 0; n < object.size(); ++n)
    Read(ToBytes(ZipCheckpoint(object.substr(0, n), SampleStorages())));
}

}  // namespace
}  // namespace octet
