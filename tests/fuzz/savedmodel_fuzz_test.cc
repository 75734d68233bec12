// Damaged SavedModels give an error or a valid graph, never a crash or a hang: run it under
// AddressSanitizer. OCTET_FUZZ_FACTOR multiplies the number of mutations.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/import/tensorflow/saved_model.h"
#include "converter/import/tensorflow/tensor_bundle.h"
#include "formats/model/graph.h"
#include "tests/fuzz/mutation.h"
#include "tests/fuzz/saved_model_seed.h"
#include "tests/unit/saved_model_builder.h"
#include "tests/watched_allocations.h"

namespace octet {
namespace {

using namespace octet::testing;  // NOLINT: builders of small files.
using Bytes = std::vector<uint8_t>;

std::string_view Text(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
Bytes ToBytes(std::string_view text) { return Bytes(text.begin(), text.end()); }

bool ImportAll(const Bytes& pb, const Bytes& index, const Bytes& data);

/// True when the model was imported; whatever is must be valid.
bool Import(const Bytes& pb, const Bytes& index, const Bytes& data) {
  largest_allocation = 0;
  const bool imported = ImportAll(pb, index, data);
  // A few bytes may ask for 2^24 filled elements.
  EXPECT_LE(largest_allocation, size_t{129} << 20);
  return imported;
}

bool ImportAll(const Bytes& pb, const Bytes& index, const Bytes& data) {
  const Result<TensorBundle> bundle =
      TensorBundle::Parse(Text(index), [&](int, int n) -> Result<FileBytes> {
        if (n > 4) return NotFound("no such shard");
        return FileBytes{{reinterpret_cast<const std::byte*>(data.data()), data.size()}, nullptr};
      });
  if (!bundle.ok()) {
    EXPECT_FALSE(bundle.status().message().empty());
    return false;
  }
  const Result<Graph> graph = ImportSavedModelBytes(Text(pb), &bundle.value());
  if (!graph.ok()) {
    EXPECT_FALSE(graph.status().message().empty());
    return false;
  }
  EXPECT_TRUE(ValidateGraph(graph.value()).ok());
  return true;
}

TEST(SavedModelFuzz, Graph) {
  const SavedModelFiles files;
  ASSERT_TRUE(Import(files.pb, files.index, files.data));
  Mutator mutator(1);
  int64_t good = 0;
  const int64_t n = FuzzIterations(10000);
  for (int64_t i = 0; i < n; ++i) good += Import(mutator.Mutate(files.pb), files.index, files.data);
  EXPECT_LT(good, n);
}

TEST(SavedModelFuzz, WellFormedNonsense) {
  // Other operators, inputs, attributes and constants than make sense, in a message that parses.
  static constexpr const char* kOperators[] = {"Const",
                                               "Cast",
                                               "RealDiv",
                                               "Sub",
                                               "Conv2D",
                                               "DepthwiseConv2dNative",
                                               "BiasAdd",
                                               "Relu",
                                               "Relu6",
                                               "Pad",
                                               "PadV2",
                                               "MaxPool",
                                               "AvgPool",
                                               "FusedBatchNormV3",
                                               "AddV2",
                                               "Mul",
                                               "Rsqrt",
                                               "Mean",
                                               "Max",
                                               "Prod",
                                               "ConcatV2",
                                               "Shape",
                                               "StridedSlice",
                                               "Slice",
                                               "Pack",
                                               "Fill",
                                               "Reshape",
                                               "Squeeze",
                                               "ExpandDims",
                                               "Transpose",
                                               "GatherV2",
                                               "ReverseV2",
                                               "MatMul",
                                               "Softmax",
                                               "Minimum",
                                               "Maximum",
                                               "Neg",
                                               "Identity",
                                               "SpaceToBatchND",
                                               "BatchToSpaceND",
                                               "ReadVariableOp",
                                               "VarHandleOp",
                                               "Placeholder",
                                               "PartitionedCall"};
  static constexpr int64_t kNumbers[] = {0,       1,         2,         3,         4,        5,
                                         8,       -1,        -2,        15,        255,      4096,
                                         1 << 20, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
  static constexpr const char* kAttributes[] = {
      "axis",      "begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask",
      "keep_dims", "DstT",       "out_type", "transpose_a",   "transpose_b",   "is_training"};
  static constexpr const char* kLists[] = {"strides", "ksize", "dilations", "squeeze_dims",
                                           "explicit_paddings"};
  const SavedModelFiles files;
  BundleBuilder unused;
  const TfSavedModel good = SampleSavedModel(&unused);
  Mutator random(5);
  const auto number = [&] { return kNumbers[random.Below(std::size(kNumbers))]; };
  const auto small = [&] { return kNumbers[random.Below(9)]; };
  int64_t taken = 0;
  const int64_t n = FuzzIterations(20000);
  for (int64_t i = 0; i < n; ++i) {
    TfSavedModel model = good;
    std::vector<TfNode>& nodes = model.functions[1].nodes;
    for (size_t changes = 1 + random.Below(4); changes > 0; --changes) {
      TfNode& node = nodes[random.Below(nodes.size())];
      const auto some_input = [&]() -> std::string {
        return random.Below(8) == 0 ? "image"
                                    : nodes[random.Below(nodes.size())].name +
                                          ":output:" + (random.Below(16) == 0 ? "1" : "0");
      };
      switch (random.Below(7)) {
        case 0:
          node.op = kOperators[random.Below(std::size(kOperators))];
          break;
        case 1:
          if (!node.inputs.empty()) node.inputs[random.Below(node.inputs.size())] = some_input();
          break;
        case 2:
          node.inputs.push_back(some_input());
          break;
        case 3:
          if (!node.inputs.empty()) node.inputs.pop_back();
          break;
        case 4:
          node.attributes.insert(node.attributes.begin(),
                                 {kAttributes[random.Below(std::size(kAttributes))],
                                  AttrInt(random.Below(2) == 0 ? small() : number())});
          break;
        case 5: {
          std::vector<int64_t> list(random.Below(9));
          for (int64_t& v : list)
            v = random.Below(4) == 0 ? number() : 1 + static_cast<int64_t>(random.Below(3));
          node.attributes.insert(node.attributes.begin(),
                                 {kLists[random.Below(std::size(kLists))], AttrInts(list)});
          break;
        }
        default: {
          // A constant of any type and shape, with its bytes or one repeated value.
          static constexpr int kTypes[] = {kTfFloat, kTfInt32, 2,  kTfUint8, 6,
                                           9,        10,       14, 19,       kTfString};
          const int type = kTypes[random.Below(std::size(kTypes))];
          std::vector<int64_t> dims(random.Below(6));
          for (int64_t& d : dims) d = random.Below(8) == 0 ? number() : small();
          node.op = "Const";
          node.attributes = {{"value", Message([&](auto& w) {
                                w.add_message(8, Message([&](auto& t) {
                                                t.add_enum(1, type);
                                                t.add_message(2, ShapeProto(dims));
                                                const float real = 0.5f;
                                                const int64_t integer = number();
                                                t.add_packed_float(5, &real, &real + 1);
                                                t.add_packed_int64(10, &integer, &integer + 1);
                                              }));
                              })}};
        }
      }
    }
    const std::string pb = model.Serialize();
    taken += Import(ToBytes(pb), files.index, files.data);
  }
  EXPECT_GT(taken, 0);
  EXPECT_LT(taken, n);
}

TEST(SavedModelFuzz, IndexAndItsChecksums) {
  const SavedModelFiles files;
  Mutator mutator(2);
  for (int64_t i = FuzzIterations(10000); i > 0; --i)
    Import(files.pb, mutator.Mutate(files.index), files.data);
}

TEST(SavedModelFuzz, IndexBehindItsChecksums) {
  // Sizes stay, blocks are signed again: what is in them must be checked too.
  const SavedModelFiles files;
  Mutator mutator(3);
  int64_t good = 0;
  for (int64_t i = FuzzIterations(10000); i > 0; --i) {
    Bytes index = mutator.Mutate(files.index);
    index.resize(files.index.size());
    if (i % 4 != 0) std::copy(files.index.end() - 48, files.index.end(), index.end() - 48);
    for (const auto& [begin, size] : files.bundle.blocks()) {
      const uint32_t crc = BytesCrc(Text(index).substr(begin, size));
      std::memcpy(index.data() + begin + size, &crc, sizeof(crc));
    }
    good += Import(files.pb, index, files.data);
  }
  EXPECT_GT(good, 0);
}

TEST(SavedModelFuzz, Data) {
  const SavedModelFiles files;
  Mutator mutator(4);
  int64_t good = 0;
  const int64_t n = FuzzIterations(10000);
  for (int64_t i = 0; i < n; ++i) {
    const Bytes data = mutator.Mutate(files.data);
    const bool imported = Import(files.pb, files.index, data);
    good += imported;
    // Whatever is not the same as before must be noticed, except behind the last tensor.
    if (imported) {
      EXPECT_GE(data.size(), files.data.size());
      EXPECT_TRUE(data.size() >= files.data.size() &&
                  std::equal(files.data.begin(), files.data.end(), data.begin()));
    }
  }
  EXPECT_LT(good, n / 2);
}

TEST(SavedModelFuzz, Truncations) {
  const SavedModelFiles files;
  const auto part = [](const Bytes& file, size_t size) {
    return Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
  };
  for (size_t n = 0; n < files.pb.size(); ++n) Import(part(files.pb, n), files.index, files.data);
  for (size_t n = 0; n < files.index.size(); ++n)
    EXPECT_FALSE(Import(files.pb, part(files.index, n), files.data));
  for (size_t n = 0; n < files.data.size(); ++n)
    EXPECT_FALSE(Import(files.pb, files.index, part(files.data, n)));
}

}  // namespace
}  // namespace octet
