// Damaged ONNX files give an error or a valid graph, never a crash, a hang or a huge allocation.
// Run it under AddressSanitizer; OCTET_FUZZ_FACTOR multiplies the number of mutations.
#include <gtest/gtest.h>

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/importer.h"
#include "formats/model/graph.h"
#include "tests/watched_allocations.h"
#include "tests/fuzz/mutation.h"
#include "tests/unit/onnx_builder.h"

namespace octet {
namespace {

using testing::ByteTensor;
using testing::Dims;
using testing::FloatTensor;
using testing::IntTensor;
using testing::OnnxBuilder;
using testing::OnnxStorage;
using testing::TestNumbers;

/// Quantized both ways: QDQ with weights in float and in integers, and an operator of its own.
std::string QuantizedSeed() {
  TestNumbers random(1);
  OnnxBuilder b(13);
  b.Input("x", {-1, 3, 8, 8}).Output("y");
  b.Initializer(FloatTensor("s", {}, {0.02f})).Initializer(ByteTensor("z", {}, {128}));
  b.Initializer(FloatTensor("ws", {4}, {0.01f, 0.02f, 0.03f, 0.04f}))
      .Initializer(IntTensor("wz", {4}, {0, 0, 0, 0}))
      .Initializer(FloatTensor("w", {4, 3, 1, 1}, random.Floats(12)))
      .Initializer(IntTensor("v", {4, 4, 1, 1}, Dims(16, 3)))
      .Initializer(IntTensor("b", {4}, {5, -6, 7, 0}));
  b.Node("QuantizeLinear", {"x", "s", "z"}, {"xq"})
      .Node("DequantizeLinear", {"xq", "s", "z"}, {"xd"});
  b.Node("QuantizeLinear", {"w", "ws", "wz"}, {"wq"}, {{"axis", int64_t{0}}})
      .Node("DequantizeLinear", {"wq", "ws", "wz"}, {"wd"}, {{"axis", int64_t{0}}});
  b.Node("Conv", {"xd", "wd"}, {"c"}, {{"kernel_shape", Dims{1, 1}}});
  b.Node("QuantizeLinear", {"c", "s", "z"}, {"cq"});
  b.Node("QLinearConv", {"cq", "s", "z", "v", "ws", "wz", "s", "z", "b"}, {"eq"},
         {{"kernel_shape", Dims{1, 1}}});
  b.Node("DequantizeLinear", {"eq", "s", "z"}, {"y"});
  return b.Build();
}

/// Small float files in which every operator and every way to store a tensor occurs.
std::vector<std::string> FloatSeeds() {
  TestNumbers random(1);
  std::vector<std::string> seeds;
  {
    OnnxBuilder b(13);
    b.Input("x", {-1, 3, 8, 8}).Output("y");
    b.Initializer(FloatTensor("w", {4, 3, 3, 3}, random.Floats(108)))
        .Initializer(FloatTensor("b", {4}, random.Floats(4), OnnxStorage::kList));
    b.Node("Conv", {"x", "w", "b"}, {"c"},
           {{"pads", Dims{1, 1, 1, 1}},
            {"strides", Dims{1, 1}},
            {"dilations", Dims{1, 1}},
            {"group", int64_t{1}}},
           "conv");
    for (const char* name : {"g", "h", "m", "v"})
      b.Initializer(FloatTensor(name, {4}, {1, 2, 3, 4}, OnnxStorage::kHalf));
    b.Node("BatchNormalization", {"c", "g", "h", "m", "v"}, {"n"}, {{"epsilon", 1e-5f}})
        .Node("Relu", {"n"}, {"r"});
    b.Node("MaxPool", {"r"}, {"p"},
           {{"kernel_shape", Dims{3, 3}},
            {"strides", Dims{2, 2}},
            {"pads", Dims{1, 1, 1, 1}},
            {"ceil_mode", int64_t{1}}});
    b.Initializer(FloatTensor("scale", {1, 4, 1, 1}, {1, 2, 3, 4}))
        .Node("Mul", {"p", "scale"}, {"s"})
        .Node("Add", {"s", "p"}, {"a"});
    b.Node("Shape", {"a"}, {"shape"})
        .Initializer(IntTensor("zero", {}, {0}))
        .Node("Gather", {"shape", "zero"}, {"batch"});
    b.Initializer(IntTensor("axes", {1}, {0}, OnnxStorage::kList))
        .Node("Unsqueeze", {"batch", "axes"}, {"batch1"});
    b.Node("Constant", {}, {"rest"}, {{"value", IntTensor("", {1}, {-1})}});
    b.Node("Concat", {"batch1", "rest"}, {"target"}, {{"axis", int64_t{0}}})
        .Node("Reshape", {"a", "target"}, {"f"});
    b.Initializer(FloatTensor("k", {100, 5}, random.Floats(500)))
        .Initializer(FloatTensor("kb", {5}, random.Floats(5)));
    b.Node("Gemm", {"f", "k", "kb"}, {"d"}, {{"alpha", 1.0f}, {"beta", 1.0f}})
        .Node("Softmax", {"d"}, {"y"}, {{"axis", int64_t{-1}}});
    seeds.push_back(b.Build());
  }
  {
    OnnxBuilder b(13);
    b.Input("x", {1, 6, 7, 3})
        .Output("y")
        .Node("Transpose", {"x"}, {"t"}, {{"perm", Dims{0, 3, 1, 2}}});
    b.Initializer(IntTensor("begin", {2}, {0, 0})).Initializer(IntTensor("end", {2}, {100, 100}));
    b.Initializer(IntTensor("axes", {2}, {2, 3})).Initializer(IntTensor("steps", {2}, {2, 2}));
    b.Node("Slice", {"t", "begin", "end", "axes", "steps"}, {"s"});
    b.Initializer(IntTensor("n", {1}, {2}))
        .Node("ConstantOfShape", {"n"}, {"z"}, {{"value", IntTensor("", {1}, {0})}});
    b.Initializer(IntTensor("p", {6}, {0, 2, 0, 0, 0, 2}))
        .Node("Concat", {"p", "z"}, {"pads"}, {{"axis", int64_t{0}}});
    b.Node("Pad", {"s", "pads"}, {"q"}).Node("Concat", {"q", "q"}, {"c"}, {{"axis", int64_t{1}}});
    b.Node("Transpose", {"c"}, {"h"}, {{"perm", Dims{0, 2, 3, 1}}})
        .Node("ReduceMean", {"h"}, {"m"}, {{"axes", Dims{1, 2}}, {"keepdims", int64_t{0}}});
    b.Initializer(FloatTensor("k", {14, 5}, random.Floats(70))).Node("MatMul", {"m", "k"}, {"y"});
    seeds.push_back(b.Build());
  }
  {
    OnnxBuilder b(9);
    b.Input("x", {1, 4, 6, 6})
        .Output("y")
        .Node("Clip", {"x"}, {"c"}, {{"min", 0.0f}, {"max", 6.0f}});
    b.Node("Pad", {"c"}, {"p"},
           {{"pads", Dims{0, 0, 1, 1, 0, 0, 1, 1}},
            {"value", 0.0f},
            {"mode", std::string("constant")}});
    b.Node("Slice", {"p"}, {"s"}, {{"starts", Dims{1}}, {"ends", Dims{7}}, {"axes", Dims{2}}});
    b.Node("AveragePool", {"s"}, {"a"},
           {{"kernel_shape", Dims{2, 2}},
            {"auto_pad", std::string("SAME_UPPER")},
            {"count_include_pad", int64_t{0}}});
    b.Node("GlobalAveragePool", {"a"}, {"g"}).Node("Squeeze", {"g"}, {"q"}, {{"axes", Dims{2, 3}}});
    b.Node("Unsqueeze", {"q"}, {"u"}, {{"axes", Dims{2, 3}}})
        .Node("Flatten", {"u"}, {"y"}, {{"axis", int64_t{1}}});
    seeds.push_back(b.Build());
  }
  {
    OnnxBuilder b(18);
    b.Input("x", {1, 4, 5, 6}).Output("y");
    b.Initializer(IntTensor("parts", {2}, {1, 3}))
        .Node("Split", {"x", "parts"}, {"p", "q"}, {{"axis", int64_t{1}}})
        .Node("Split", {"q"}, {"q0", "q1", "q2"},
              {{"axis", int64_t{1}}, {"num_outputs", int64_t{3}}});
    b.Initializer(FloatTensor("low", {}, {-1})).Initializer(FloatTensor("high", {}, {2}));
    b.Node("Sub", {"q0", "q1"}, {"d"})
        .Node("Clip", {"d", "low", "high"}, {"c"})
        .Node("CastLike", {"high", "c"}, {"h"})
        .Node("Min", {"c", "h"}, {"m"})
        .Node("Concat", {"m", "q2"}, {"j"}, {{"axis", int64_t{1}}});
    b.Initializer(IntTensor("last", {1}, {-1})).Initializer(IntTensor("end", {1}, {-100}));
    b.Initializer(IntTensor("one", {1}, {1}))
        .Node("Slice", {"j", "last", "end", "one", "last"}, {"r"});
    b.Node("Transpose", {"r"}, {"t"}, {{"perm", Dims{0, 2, 3, 1}}})
        .Node("Shape", {"t"}, {"s"}, {{"end", int64_t{3}}})
        .Node("ReduceProd", {"s"}, {"n"})
        .Node("Mod", {"n", "parts_end"}, {"o"})
        .Node("Equal", {"o", "one"}, {"e"})
        .Node("Where", {"e", "n", "last"}, {"w"})
        .Node("Concat", {"w", "two"}, {"target"}, {{"axis", int64_t{0}}})
        .Node("Reshape", {"t", "target"}, {"f"});
    b.Initializer(IntTensor("parts_end", {1}, {7})).Initializer(IntTensor("two", {1}, {2}));
    b.Initializer(FloatTensor("k", {2, 3}, random.Floats(6))).Node("MatMul", {"f", "k"}, {"g"});
    b.Initializer(IntTensor("image", {4}, {1, 5, 6, 3})).Node("Reshape", {"g", "image"}, {"i"});
    b.Initializer(IntTensor("rows", {1}, {1}))
        .Node("ReduceMax", {"i", "rows"}, {"v"}, {{"keepdims", int64_t{0}}})
        .Node("ReduceMean", {"v", "rows"}, {"y"}, {{"keepdims", int64_t{0}}});
    seeds.push_back(b.Build());
  }
  return seeds;
}

struct Counts {
  int64_t good = 0, bad = 0;
};

void Check(std::string_view bytes, Counts* counts) {
  testing::largest_allocation = 0;
  const std::clock_t start =
      std::clock();  // The processor's time: others may be using the machine.
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

TEST(OnnxFuzz, FloatMutations) { CheckMutations(FloatSeeds()); }

TEST(OnnxFuzz, QuantizedMutations) { CheckMutations({QuantizedSeed()}); }

TEST(OnnxFuzz, Truncations) {
  Counts counts;
  std::vector<std::string> seeds = FloatSeeds();
  seeds.push_back(QuantizedSeed());
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
      b.Node(kOps[random.Below(std::size(kOps))], inputs, {out}, attributes);
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
