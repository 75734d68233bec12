// Small valid graphs with every operator, for tests of formats and engine.
#ifndef OCTET_TESTS_SAMPLE_GRAPHS_H_
#define OCTET_TESTS_SAMPLE_GRAPHS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "formats/base/dtype.h"
#include "formats/model/graph.h"

namespace octet::testing {

/// Builds one graph of a given precision, node by node; every activation's shape is inferred.
class SampleGraphBuilder {
 public:
  explicit SampleGraphBuilder(Precision precision) : precision_(precision) {
    graph_.metadata.precision = precision;
  }

  bool quantized() const { return precision_ == Precision::kInt8 || wide(); }
  /// Codes of 16 bits.
  bool wide() const { return precision_ == Precision::kInt16x8; }
  bool bf16() const { return precision_ == Precision::kBf16; }

  /// Activation of the graph's own type; uint8 ones get a quantization with the given zero point,
  /// int16 ones the same range around 0.
  TensorId Activation(const std::string& name, const Shape& shape, int zero_point = 0,
                      float scale = 0.05f) {
    const DType codes = wide() ? DType::kI16 : DType::kU8;
    const TensorId id = graph_.AddActivation(name,
                                             quantized() ? codes
                                             : bf16()    ? DType::kBF16
                                                         : DType::kF32,
                                             shape);
    if (wide()) {
      graph_.tensor(id).quantization = {scale / 128.0f, 0};
    } else if (quantized()) {
      graph_.tensor(id).quantization = {scale, zero_point};
    }
    return id;
  }

  TensorId Input(const Shape& shape) {
    const TensorId id = Activation("image", shape, 114, 0.02f);
    graph_.inputs.push_back(id);
    if (!bf16()) return id;
    graph_.tensor(id).dtype = DType::kF32;
    return Add(OpType::kQuantize, "image.bfloat16", {id}, Activation("image.bfloat16", shape));
  }

  /// Of bfloat16 as float32.
  void Output(TensorId x) {
    if (graph_.tensor(x).dtype == DType::kBF16) {
      x = Add(OpType::kDequantize, "output", {x},
              graph_.AddActivation("output", DType::kF32, graph_.tensor(x).shape));
    }
    graph_.outputs.push_back(x);
  }

  /// Adds a node whose output's shape follows from its inputs.
  template <typename Edit>
  TensorId Add(OpType type, const std::string& name, std::vector<TensorId> inputs, TensorId output,
               Edit edit) {
    Node& node = graph_.AddNode(type, name, std::move(inputs), output);
    edit(&node);
    const Result<Shape> shape = InferShape(graph_, node);
    if (shape.ok()) graph_.tensor(output).shape = *shape;
    return output;
  }
  TensorId Add(OpType type, const std::string& name, std::vector<TensorId> inputs,
               TensorId output) {
    return Add(type, name, std::move(inputs), output, [](Node*) {});
  }

  /// A unary operator that keeps its input's quantization.
  template <typename Edit>
  TensorId Move(OpType type, const std::string& name, std::vector<TensorId> inputs, Edit edit) {
    const TensorId x = inputs[0];
    const Tensor like = graph_.tensor(x);
    const TensorId out = graph_.AddActivation(name, like.dtype, like.shape);
    graph_.tensor(out).quantization = like.quantization;
    return Add(type, name, std::move(inputs), out, edit);
  }

  /// Weights, bias and scales as the precision wants them. `weights` is [out, kh, kw, in/groups] or
  /// [out, in].
  template <typename Edit>
  TensorId Conv(OpType type, const std::string& name, TensorId x, const Shape& weights,
                TensorId residual, TensorId output, Edit edit) {
    const int64_t out_c = weights[0];
    std::vector<TensorId> inputs = {x, Weights(name + ".weight", weights)};
    std::vector<float> bias;
    std::vector<int32_t> bias_i32;
    std::vector<float> scales;
    for (int64_t c = 0; c < out_c; ++c) {
      bias.push_back(static_cast<float>(Byte()) / 64.0f);
      bias_i32.push_back(Byte() * 16);
      scales.push_back(0.001f * static_cast<float>(130 + Byte()));
    }
    const std::vector<int64_t> bias_i64(bias_i32.begin(), bias_i32.end());
    inputs.push_back(wide()        ? Constant(name + ".bias", DType::kI64, bias_i64)
                     : quantized() ? Constant(name + ".bias", DType::kI32, bias_i32)
                                   : Constant(name + ".bias", DType::kF32, bias));
    inputs.push_back(residual);
    if (precision_ == Precision::kHybrid || quantized()) {
      inputs.push_back(Constant(name + ".scales", DType::kF32, scales));
    }
    return Add(type, name, std::move(inputs), output, [&](Node* node) {
      if (type == OpType::kConv2d) {
        node->window.kernel_h = static_cast<int>(weights[1]);
        node->window.kernel_w = static_cast<int>(weights[2]);
      }
      edit(node);
    });
  }

  /// A convolution of a square kernel with padding that keeps the size, and ReLU.
  TensorId SameConv(const std::string& name, TensorId x, int64_t out, int kernel,
                    TensorId residual = kNoTensor, int stride = 1, int groups = 1) {
    const int64_t in = graph_.tensor(x).shape.back();
    return Conv(OpType::kConv2d, name, x, {out, kernel, kernel, in / groups}, residual,
                Activation(name, {1, 1, 1, 1}), [&](Node* n) {
                  n->groups = groups;
                  n->window.stride_h = n->window.stride_w = stride;
                  n->window.pad_top = n->window.pad_left = kernel / 2;
                  n->window.pad_bottom = n->window.pad_right = kernel / 2;
                  n->activation = octet::Activation::kRelu;
                });
  }

  template <typename T>
  TensorId Constant(const std::string& name, DType dtype, const std::vector<T>& values) {
    return graph_.AddConstant(name, dtype, Shape{static_cast<int64_t>(values.size())},
                              values.data(), values.size() * sizeof(T));
  }

  TensorId Weights(const std::string& name, const Shape& shape) {
    const int64_t n = shape.num_elements();
    std::vector<int8_t> i8;
    std::vector<uint16_t> f16, bf16;
    std::vector<float> f32;
    for (int64_t i = 0; i < n; ++i) {
      const int v = Byte();
      i8.push_back(static_cast<int8_t>(v));
      f32.push_back(static_cast<float>(v) / 256.0f);
      f16.push_back(FloatToHalf(f32.back()));
      bf16.push_back(FloatToBf16(f32.back()));
    }
    switch (precision_) {
      case Precision::kFp32:
        return graph_.AddConstant(name, DType::kF32, shape, f32.data(), f32.size() * 4);
      case Precision::kFp16:
        return graph_.AddConstant(name, DType::kF16, shape, f16.data(), f16.size() * 2);
      case Precision::kBf16:
        return graph_.AddConstant(name, DType::kBF16, shape, bf16.data(), bf16.size() * 2);
      default:
        return graph_.AddConstant(name, DType::kI8, shape, i8.data(), i8.size());
    }
  }

  /// -127 to 127.
  int Byte() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int>((state_ >> 33) % 255) - 127;
  }

  Graph& graph() { return graph_; }

 private:
  Precision precision_;
  Graph graph_;
  uint64_t state_ = 1;
};

/// The codes of an image's input are pixels, and stand for 0.25 * (q - 20), 0.5 * (q - 40) and
/// 0.125 * (q - 60).
inline void SetPixelCodes(Graph* g) {
  g->metadata.pixel_codes = true;
  g->metadata.preprocessing.scale = 0.5f;
  g->metadata.preprocessing.mean = {10.0f, 20.0f, 30.0f, 0.0f};
  g->metadata.preprocessing.stddev = {2.0f, 1.0f, 4.0f, 1.0f};
  g->tensor(g->inputs[0]).quantization = {1.0f, 0};
}

/// A network with every operator that the precision allows, on [1,11,9,3] images, giving 5
/// probabilities.
inline Graph SampleGraph(Precision precision) {
  SampleGraphBuilder b(precision);
  Graph& g = b.graph();
  g.metadata.name = "sample";
  g.metadata.source = "tests";
  g.metadata.options = "--precision=" + std::string(PrecisionName(precision));
  g.metadata.labels = {"roses", "sunflowers", "daisy", "l\u00f6wenzahn", "tulips"};
  Preprocessing& p = g.metadata.preprocessing;
  p.resize = ResizeRule::kCenterCrop;
  p.resampling.filter = ResizeFilter::kBicubic;
  p.order = ChannelOrder::kBgr;
  p.resize_shorter = 13;
  p.scale = 1.0f / 255.0f;
  p.mean = {0.485f, 0.456f, 0.406f, 0.0f};
  p.stddev = {0.229f, 0.224f, 0.225f, 1.0f};

  const auto none = [](Node*) {};
  TensorId x = b.Input({1, 11, 9, 3});
  x = b.Conv(OpType::kConv2d, "stem", x, {20, 3, 3, 3}, kNoTensor,
             b.Activation("stem", {1, 1, 1, 1}), [](Node* n) {
               n->window.stride_h = n->window.stride_w = 2;
               n->window.pad_top = n->window.pad_left = 1;
               n->window.pad_bottom = 1;
               n->window.pad_right = 2;
               n->activation = Activation::kRelu;
             });  // [1,6,5,20]
  const TensorId skip = x;
  x = b.Conv(OpType::kConv2d, "depthwise", x, {20, 3, 3, 1}, kNoTensor,
             b.Activation("depthwise", {1, 1, 1, 1}, 3), [](Node* n) {
               n->window.pad_top = n->window.pad_left = n->window.pad_bottom = n->window.pad_right =
                   1;
               n->groups = 20;
               n->activation = Activation::kRelu6;
             });
  x = b.Conv(OpType::kConv2d, "grouped", x, {20, 1, 3, 10}, kNoTensor,
             b.Activation("grouped", {1, 1, 1, 1}, 128), [](Node* n) {
               n->window.dilation_w = 2;
               n->window.pad_left = n->window.pad_right = 2;
               n->groups = 2;
             });
  x = b.Conv(OpType::kConv2d, "block", x, {20, 1, 1, 20}, skip, b.Activation("block", {1, 1, 1, 1}),
             [](Node* n) { n->activation = Activation::kRelu; });
  x = b.Add(OpType::kAdd, "add", {x, skip}, b.Activation("add", {1, 1, 1, 1}, 7, 0.07f),
            [](Node* n) { n->activation = Activation::kRelu; });
  std::vector<float> scale, shift;
  for (int c = 0; c < 20; ++c) {
    scale.push_back(1.0f + static_cast<float>(b.Byte()) / 256.0f);
    shift.push_back(static_cast<float>(b.Byte()) / 256.0f);
  }
  const TensorId scale_id = b.Constant("bn.scale", DType::kF32, scale);
  const TensorId shift_id = b.Constant("bn.shift", DType::kF32, shift);
  x = b.Add(OpType::kScaleShift, "bn", {x, scale_id, shift_id},
            b.Activation("bn", {1, 1, 1, 1}, 20, 0.06f));
  x = b.Add(OpType::kMul, "mul", {x, skip}, b.Activation("mul", {1, 1, 1, 1}, 40, 0.08f));
  x = b.Move(OpType::kRelu, "relu", {x}, none);
  const TensorId max = b.Move(OpType::kMaxPool, "max_pool", {x}, [](Node* n) {
    n->window.kernel_h = n->window.kernel_w = 3;
    n->window.stride_h = n->window.stride_w = 2;
    n->window.pad_top = n->window.pad_left = 1;
  });  // [1,3,2,20]
  const TensorId slice = b.Move(OpType::kSlice, "slice", {x}, [](Node* n) {
    n->end = {1, 6, 4, 20};
    n->step = {1, 2, 2, 1};
  });                                                                                 // [1,3,2,20]
  x = b.Move(OpType::kConcat, "concat", {max, slice}, [](Node* n) { n->axis = 3; });  // [1,3,2,40]
  x = b.Move(OpType::kPad, "pad", {x}, [](Node* n) {
    n->begin = {0, 1, 0, 0};
    n->end = {0, 0, 2, 0};
    n->pad_value = 0.25f;
  });  // [1,4,4,40]
  x = b.Move(OpType::kRelu6, "relu6", {x}, none);
  x = b.Move(OpType::kClip, "clip", {x}, [](Node* n) {
    n->clip_low = 0.125f;
    n->clip_high = 2.0f;
  });
  x = b.Add(OpType::kAveragePool, "average_pool", {x},
            b.Activation("average_pool", {1, 1, 1, 1}, 1), [](Node* n) {
              n->window.kernel_h = n->window.kernel_w = 2;
              n->window.stride_h = n->window.stride_w = 2;
              n->count_include_pad = true;
            });  // [1,2,2,40]
  x = b.Add(OpType::kGlobalAveragePool, "global_pool", {x},
            b.Activation("global_pool", {1, 1, 1, 1}),
            [](Node* n) { n->tflite_kernel = TfliteKernel::kMean; });
  const TensorId flat = b.Activation("flatten", {1, 40});
  x = b.Add(OpType::kReshape, "flatten", {x}, flat);
  x = b.Conv(OpType::kDense, "fc", x, {5, 40}, kNoTensor,
             g.AddActivation("logits", DType::kF32, {1, 5}), none);
  if (b.bf16()) {
    // To bfloat16 again and back, and functions of it.
    const TensorId rounded = b.Activation("rounded", {1, 5});
    b.Add(OpType::kQuantize, "quantize", {x}, rounded);
    const TensorId widened = b.Add(OpType::kDequantize, "dequantize", {rounded},
                                   g.AddActivation("widened", DType::kF32, {1, 5}));
    x = b.Add(OpType::kTanh, "tanh of bfloat16", {rounded}, b.Activation("tanh16", {1, 5}));
    x = b.Add(OpType::kSigmoid, "sigmoid of bfloat16", {x}, b.Activation("sigmoid16", {1, 5}));
    g.outputs.push_back(b.Add(OpType::kSoftmax, "softmax of bfloat16", {x},
                              g.AddActivation("more probabilities", DType::kF32, {1, 5})));
    x = widened;
  }
  const auto same = [&](OpType type, const char* name) {
    x = b.Add(type, name, {x}, g.AddActivation(name, DType::kF32, {1, 5}));
  };
  same(OpType::kTanh, "tanh");
  same(OpType::kSigmoid, "sigmoid");
  same(OpType::kLogSoftmax, "log_softmax");
  x = b.Add(OpType::kSoftmax, "softmax", {x},
            g.AddActivation("probabilities", DType::kF32, {1, 5}));
  g.outputs.insert(g.outputs.begin(), x);
  if (b.quantized()) {
    // A second output takes the result through both conversions.
    const TensorId u8 = b.Activation("quantized", {1, 5}, 0, 1.0f / 256.0f);
    b.Add(OpType::kQuantize, "quantize", {x}, u8);
    g.outputs.push_back(b.Add(OpType::kDequantize, "dequantize", {u8},
                              g.AddActivation("rounded", DType::kF32, {1, 5})));
  }
  return std::move(g);
}

/// SampleGraph without its grouped convolution, for which there are no kernels.
inline Graph RunnableGraph(Precision precision) {
  Graph g = SampleGraph(precision);
  for (Node& n : g.nodes) {
    if (n.name != "grouped") continue;
    const Tensor like = g.tensor(n.inputs[kInputWeights]);
    const size_t size = DTypeSize(like.dtype),
                 row = like.data.size() / static_cast<size_t>(like.shape[0]);
    // The same rows twice make the weights of one group.
    std::vector<std::byte> bytes;
    for (int64_t oc = 0; oc < like.shape[0]; ++oc) {
      const std::byte* from = like.data.data() + static_cast<size_t>(oc) * row;
      for (size_t tap = 0; tap < row / (10 * size); ++tap) {
        for (int copy = 0; copy < 2; ++copy)
          bytes.insert(bytes.end(), from + tap * 10 * size, from + (tap + 1) * 10 * size);
      }
    }
    n.inputs[kInputWeights] =
        g.AddConstant("grouped.weight", like.dtype, {20, 1, 3, 20}, bytes.data(), bytes.size());
    n.groups = 1;
  }
  return g;
}

inline constexpr Precision kAllPrecisions[] = {Precision::kFp32, Precision::kFp16, Precision::kBf16,
                                               Precision::kHybrid, Precision::kInt8};
/// With the one of 16 bits.
inline constexpr Precision kPrecisionsOfFiles[] = {Precision::kFp32,    Precision::kFp16,
                                                   Precision::kBf16,    Precision::kHybrid,
                                                   Precision::kInt16x8, Precision::kInt8};

}  // namespace octet::testing

#endif  // OCTET_TESTS_SAMPLE_GRAPHS_H_
