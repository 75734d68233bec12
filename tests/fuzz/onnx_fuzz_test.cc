// Damaged ONNX files give an error or a valid graph, never a crash, a hang or a huge allocation.
// Run it under AddressSanitizer; OCTET_FUZZ_FACTOR multiplies the number of mutations.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/importer.h"
#include "converter/import/onnx/importer.h"
#include "formats/model/graph.h"
#include "tests/fuzz/mutation.h"
#include "tests/fuzz/onnx_seeds.h"
#include "tests/unit/onnx_builder.h"
#include "tests/watched_allocations.h"

namespace octet {
namespace {

using testing::Dims;
using testing::FloatOnnxSeeds;
using testing::FloatTensor;
using testing::IntTensor;
using testing::OnnxBuilder;
using testing::QuantizedOnnxSeed;

struct Counts {
  int64_t good = 0, bad = 0;
};

void Check(std::string_view bytes, Counts* counts) {
  testing::largest_allocation = 0;
  // The processor's time: others may be using the machine.
  const std::clock_t start = std::clock();
  const Result<Graph> graph = ImportOnnxBytes(bytes, "fuzz");
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_LT(seconds, 5.0);
  EXPECT_LT(testing::largest_allocation, size_t{64} << 20);
  if (graph.ok()) {
    ++counts->good;
    EXPECT_TRUE(ValidateGraph(*graph).ok());
  } else {
    ++counts->bad;
    EXPECT_FALSE(graph.status().message().empty());
    EXPECT_NE(graph.status().code(), StatusCode::kInternal);
  }
}

void CheckMutations(const std::vector<std::string>& seeds) {
  Counts counts;
  testing::Mutator mutator(1);
  for (const std::string& seed : seeds) {
    const Result<Graph> graph = ImportOnnxBytes(seed, "seed");
    ASSERT_TRUE(graph.ok()) << graph.status().message();
  }
  const int64_t iterations = testing::FuzzIterations(12000);
  for (int64_t i = 0; i < iterations && !::testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE(i);
    const std::string& seed = seeds[static_cast<size_t>(i) % seeds.size()];
    const std::vector<uint8_t> bytes = mutator.Mutate({seed.begin(), seed.end()});
    Check({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, &counts);
  }
  // Both must occur, or the mutations would not reach what they are for.
  EXPECT_GT(counts.good, iterations / 100);
  EXPECT_GT(counts.bad, iterations / 10);
}

TEST(OnnxFuzz, FloatMutations) { CheckMutations(FloatOnnxSeeds()); }

TEST(OnnxFuzz, QuantizedMutations) { CheckMutations({QuantizedOnnxSeed()}); }

TEST(OnnxFuzz, Truncations) {
  Counts counts;
  std::vector<std::string> seeds = FloatOnnxSeeds();
  seeds.push_back(QuantizedOnnxSeed());
  for (const std::string& seed : seeds) {
    for (size_t n = 0; n < seed.size(); ++n) {
      const std::vector<char> exact(seed.begin(), seed.begin() + static_cast<std::ptrdiff_t>(n));
      Check({exact.data(), exact.size()}, &counts);
    }
  }
  EXPECT_EQ(counts.good, 0);
}

/// Well-formed protobuf with impossible numbers, which random bytes seldom hit.
TEST(OnnxFuzz, StrangeNumbers) {
  constexpr int64_t kNumbers[] = {
      0,     1,       -1,      2,     INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int64_t{1} << 40,
      65536, 1 << 20, 1 << 30, 32767, -(1 << 20)};
  testing::Mutator random(2);
  const auto number = [&] {
    return random.Below(3) == 0 ? static_cast<int64_t>(random.Below(5))
                                : kNumbers[random.Below(std::size(kNumbers))];
  };
  const auto list = [&](size_t n) {
    Dims d;
    for (size_t i = 0; i < n; ++i) d.push_back(number());
    return d;
  };
  const char* kOps[] = {"Conv",
                        "MaxPool",
                        "AveragePool",
                        "Slice",
                        "Pad",
                        "Concat",
                        "Reshape",
                        "Transpose",
                        "Squeeze",
                        "Unsqueeze",
                        "Gather",
                        "Flatten",
                        "Softmax",
                        "ReduceMean",
                        "ConstantOfShape",
                        "Expand",
                        "Cast",
                        "Gemm",
                        "MatMul",
                        "Add",
                        "Mul",
                        "Shape",
                        "GlobalAveragePool",
                        "Sum",
                        "BatchNormalization",
                        "Div",
                        "QuantizeLinear",
                        "DequantizeLinear",
                        "QLinearConv",
                        "QLinearMatMul",
                        "QLinearAdd",
                        "QGemm",
                        "QLinearGlobalAveragePool"};
  Counts counts;
  const int64_t iterations = testing::FuzzIterations(12000);
  for (int64_t i = 0; i < iterations && !::testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE(i);
    OnnxBuilder b(static_cast<int64_t>(9 + random.Below(13)));
    b.Input("x", random.Below(4) == 0 ? list(4) : Dims{1, 3, 6, 5}).Output("y");
    std::vector<std::string> values{"x", "c0", "c1", "c2", "f0"};
    for (int c = 0; c < 3; ++c) {
      const size_t n = random.Below(9);
      b.Initializer(IntTensor(
          "c" + std::to_string(c),
          random.Below(3) == 0 ? list(random.Below(10)) : Dims{static_cast<int64_t>(n)}, list(n)));
    }
    b.Initializer(FloatTensor("f0", random.Below(3) == 0 ? list(4) : Dims{2, 3, 1, 1},
                              std::vector<float>(6, 0.5f)));
    const size_t nodes = 1 + random.Below(5);
    for (size_t k = 0; k < nodes; ++k) {
      std::vector<std::string> inputs;
      for (size_t j = 1 + random.Below(5); j > 0; --j)
        inputs.push_back(
            random.Below(12) == 0
                ? ""
                : values[values.size() - 1 - random.Below(std::min<size_t>(values.size(), 6))]);
      if (random.Below(2) == 0) inputs[0] = k == 0 ? "x" : "v" + std::to_string(k - 1);
      std::vector<testing::OnnxAttr> attributes;
      for (const char* name :
           {"kernel_shape", "strides", "pads", "dilations", "axes", "perm", "starts", "ends"}) {
        if (random.Below(4) == 0) attributes.push_back({name, list(random.Below(9))});
      }
      for (const char* name :
           {"group", "axis", "to", "ceil_mode", "keepdims", "transB", "start", "end"}) {
        if (random.Below(4) == 0) attributes.push_back({name, number()});
      }
      const std::string out = k + 1 == nodes ? "y" : "v" + std::to_string(k);
      const std::string op = kOps[random.Below(std::size(kOps))];
      if (random.Below(8) != 0) {  // Only the operator's own, which others are refused for.
        for (const OnnxImporter::Row& row : OnnxImporter::Rows()) {
          if (row.op != op) continue;
          std::erase_if(attributes, [&](const testing::OnnxAttr& a) {
            return std::none_of(row.attributes.begin(), row.attributes.end(),
                                [&](const auto& rule) { return a.name == rule.name; });
          });
        }
      }
      b.Node(op, inputs, {out}, attributes);
      values.push_back(out);
    }
    const std::string bytes = b.Build();
    Check(bytes, &counts);
  }
  EXPECT_GT(counts.good, 0);
  EXPECT_GT(counts.bad, iterations / 10);
}

}  // namespace
}  // namespace octet
