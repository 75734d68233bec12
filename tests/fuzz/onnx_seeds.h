// Small ONNX files that are mutated.
#ifndef OCTET_TESTS_FUZZ_ONNX_SEEDS_H_
#define OCTET_TESTS_FUZZ_ONNX_SEEDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/unit/onnx_builder.h"

namespace octet::testing {

/// Quantized both ways: QDQ with weights in float and in integers, and an operator of its own.
inline std::string QuantizedOnnxSeed() {
  TestNumbers random(1);
  OnnxBuilder b(13);
  b.Input("x", {-1, 3, 8, 8}).Output("y");
  b.Initializer(FloatTensor("s", {}, {0.02f})).Initializer(ByteTensor("z", {}, {128}));
  b.Initializer(FloatTensor("ws", {4}, {0.01f, 0.02f, 0.03f, 0.04f}))
      .Initializer(ByteTensor("wz", {4}, {0, 0, 0, 0}, 3))
      .Initializer(FloatTensor("w", {4, 3, 1, 1}, random.Floats(12)))
      .Initializer(ByteTensor("v", {4, 4, 1, 1}, Dims(16, 3), 3))
      .Initializer(ByteTensor("b", {4}, {5, -6, 7, 0}, 6));
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

/// A convolution, batch norm, pools and a classifier behind a computed shape.
inline std::string ConvolutionOnnxSeed(TestNumbers& random) {
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
  return b.Build();
}

/// Transposed to channels first and back, with lists as inputs.
inline std::string ChannelsLastOnnxSeed(TestNumbers& random) {
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
  return b.Build();
}

/// As of opset 9: lists and limits are attributes.
inline std::string OldOnnxSeed() {
  OnnxBuilder b(9);
  b.Input("x", {1, 4, 6, 6}).Output("y").Node("Clip", {"x"}, {"c"}, {{"min", 0.0f}, {"max", 6.0f}});
  b.Node(
      "Pad", {"c"}, {"p"},
      {{"pads", Dims{0, 0, 1, 1, 0, 0, 1, 1}}, {"value", 0.0f}, {"mode", std::string("constant")}});
  b.Node("Slice", {"p"}, {"s"}, {{"starts", Dims{1}}, {"ends", Dims{7}}, {"axes", Dims{2}}});
  b.Node("AveragePool", {"s"}, {"a"},
         {{"kernel_shape", Dims{2, 2}},
          {"auto_pad", std::string("SAME_UPPER")},
          {"count_include_pad", int64_t{0}}});
  b.Node("GlobalAveragePool", {"a"}, {"g"}).Node("Squeeze", {"g"}, {"q"}, {{"axes", Dims{2, 3}}});
  b.Node("Unsqueeze", {"q"}, {"u"}, {{"axes", Dims{2, 3}}})
      .Node("Flatten", {"u"}, {"y"}, {{"axis", int64_t{1}}});
  return b.Build();
}

/// As of opset 18, with a computed shape.
inline std::string NewOnnxSeed(TestNumbers& random) {
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
  return b.Build();
}

/// Small float files in which every operator and every way to store a tensor occurs.
inline std::vector<std::string> FloatOnnxSeeds() {
  TestNumbers random(1);
  return {ConvolutionOnnxSeed(random), ChannelsLastOnnxSeed(random), OldOnnxSeed(),
          NewOnnxSeed(random)};
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_FUZZ_ONNX_SEEDS_H_
