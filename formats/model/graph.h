// The one description of a network, shared by importers, converter, file and engine.
#ifndef OCTET_FORMATS_MODEL_GRAPH_H_
#define OCTET_FORMATS_MODEL_GRAPH_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "formats/base/dtype.h"
#include "formats/base/shape.h"
#include "formats/base/status.h"
#include "formats/model/metadata.h"

namespace octet {

/// Index into Graph::tensors.
using TensorId = int32_t;
inline constexpr TensorId kNoTensor = -1;

/// Most products that one output of int8 weights may sum: products of 255 * 128, the bias and the
/// zero-point correction then stay inside int32 in any order of addition.
inline constexpr int64_t kMaxInt8Reduction = 32768;
/// Largest magnitude of a bias of int16 activations. 256 times the high bytes of a sum hold it: it
/// leaves them inside int32 beside products and correction.
inline constexpr int64_t kMaxInt16Bias = int64_t{1} << 37;

/// Operators. The numbers are stored in files: never renumber. Inputs are listed as [required] and
/// (optional).
enum class OpType : uint8_t {
  /// [x, weights OHWI] (bias, residual, channel scales, padding codes). Activation after the
  /// residual.
  kConv2d = 0,
  kDense = 1,    ///< [x of rank 2, weights OI] (bias, residual, channel scales).
  kMaxPool = 2,  ///< Padding never wins.
  /// Divides by the window, or by its part inside the image (count_include_pad = false).
  kAveragePool = 3,
  kGlobalAveragePool = 4,  ///< NHWC to N11C.
  kAdd = 5,                ///< Two activations of one shape.
  kMul = 6,                ///< Two activations of one shape.
  /// [x, scale per channel, shift per channel]: a batch norm that cannot be folded.
  kScaleShift = 7,
  kRelu = 8,
  kRelu6 = 9,
  kPad = 10,      ///< begin/end amounts per dimension, filled with pad_value.
  kSlice = 11,    ///< begin, end, step per dimension.
  kConcat = 12,   ///< Two or more inputs along `axis`.
  kReshape = 13,  ///< To the output's shape; covers Flatten and Squeeze. Order of elements is NHWC.
  kSoftmax = 14,  ///< Over the last dimension.
  /// To uint8 or int16 from float32 or from codes of another quantization, or from float32 to
  /// bfloat16.
  kQuantize = 15,
  kDequantize = 16,  ///< To float32.
  kClip = 17,        ///< min(max(x, clip_low), clip_high).
  kSigmoid = 18,     ///< 1 / (1 + exp(-x)).
  kTanh = 19,
  kLogSoftmax = 20,  ///< Over the last dimension.
};
inline constexpr int kNumOpTypes = static_cast<int>(OpType::kLogSoftmax) + 1;
const char* OpTypeName(OpType type);

/// Applied to an operator's result. Stored in files: never renumber.
enum class Activation : uint8_t { kNone = 0, kRelu = 1, kRelu6 = 2 };

/// How a constant lies in memory. Stored in files: never renumber. See formats/model/panel.h.
enum class Layout : uint8_t {
  kPlain = 0,      ///< Row-major as the shape says.
  kPanel = 1,      ///< Weights in panels of 16 output channels.
  kPanelRow = 2,   ///< As kPanel, with each kernel row (width x channels) as one tap: RGB stems.
  kDepthwise = 3,  ///< Depthwise weights, [channels/16][tap][16].
};

/// real = scale * (q - zero_point). Per tensor; scale 0 means "not quantized".
struct Quantization {
  float scale = 0.0f;
  int32_t zero_point = 0;
  bool operator==(const Quantization&) const = default;
};

/// A value: an activation (no data), or a constant.
struct Tensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;  ///< Logical shape whatever the layout. Conv weights: [out, kernel_h, kernel_w,
                ///< in/groups].
  Layout layout = Layout::kPlain;
  Quantization quantization;
  std::span<const std::byte> data;    ///< Bytes of a constant in `layout`; empty for activations.
  std::shared_ptr<const void> owner;  ///< Keeps `data` alive: a buffer or a file mapping.

  bool is_constant() const { return data.data() != nullptr; }
  template <typename T>
  std::span<const T> values() const {
    return {reinterpret_cast<const T*>(data.data()), data.size() / sizeof(T)};
  }
};

/// Kernel window of convolutions and pools, in pixels. Padding may differ on every side.
struct Window {
  int kernel_h = 1, kernel_w = 1;
  int stride_h = 1, stride_w = 1;
  int dilation_h = 1, dilation_w = 1;
  int pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  bool operator==(const Window&) const = default;
};

/// Slots of Node::inputs for kScaleShift, and for kConv2d and kDense.
inline constexpr int kInputScale = 1, kInputShift = 2, kInputUnit = 3;
inline constexpr int kInputX = 0, kInputWeights = 1, kInputBias = 2, kInputResidual = 3,
                     kInputScales = 4, kInputPadding = 5;
/// Most channels of an input with padding codes: an image's.
inline constexpr int64_t kMaxPaddedChannels = 4;

/// What a pad of -infinity is filled with.
inline constexpr float kLowestPad = std::numeric_limits<float>::lowest();

/// Which of TFLite's operators a node stands for, where that one's results are not rounded as those
/// of the node's usual one. Of use with Rounding::kTflite only. Stored in files: never renumber.
enum class TfliteKernel : uint8_t {
  kUsual = 0,           ///< Of GlobalAveragePool: AVERAGE_POOL_2D, or MEAN where scales differ.
  kFullyConnected = 1,  ///< Conv2d of 1x1 pixels: rounded once, as Dense is.
  kMean = 2,            ///< GlobalAveragePool: rounded twice whatever the scales.
  kUint8Average = 3,    ///< Both average pools: AVERAGE_POOL_2D of uint8, whose halves go up.
};

struct Node {
  OpType type = OpType::kConv2d;
  std::string name;
  /// kNoTensor in an optional slot that is not used; trailing ones may be left out.
  std::vector<TensorId> inputs;
  TensorId output = kNoTensor;
  Window window;
  int groups = 1;
  Activation activation = Activation::kNone;  ///< Conv2d, Dense, Add, ScaleShift.
  bool count_include_pad = false;             ///< AveragePool.
  int axis = 0;                               ///< Concat.
  TfliteKernel tflite_kernel = TfliteKernel::kUsual;
  float pad_value = 0.0f;  ///< Pad; kLowestPad for what no maximum takes.
  /// Clip: low <= high, an infinity for no limit on that side. Codes: see ClipCode.
  float clip_low = -std::numeric_limits<float>::infinity();
  float clip_high = std::numeric_limits<float>::infinity();
  std::array<int32_t, 4> begin{0, 0, 0, 0};  ///< Pad: amount in front. Slice: first index.
  std::array<int32_t, 4> end{0, 0, 0, 0};   ///< Pad: amount behind. Slice: one past the last index.
  std::array<int32_t, 4> step{1, 1, 1, 1};  ///< Slice.

  TensorId input(int slot) const {
    return slot < static_cast<int>(inputs.size()) ? inputs[slot] : kNoTensor;
  }
  void set_input(int slot, TensorId id) {
    if (slot >= static_cast<int>(inputs.size())) inputs.resize(slot + 1, kNoTensor);
    inputs[slot] = id;
  }
};

/// A node of one input, such as the conversions kQuantize and kDequantize.
inline Node UnaryNode(OpType type, std::string name, TensorId input, TensorId output) {
  Node n;
  n.type = type;
  n.name = std::move(name);
  n.inputs = {input};
  n.output = output;
  return n;
}

/// A network in execution order. Copying is cheap: constants are shared.
///
/// Activations are NHWC or NC with N = 1; every other batch size is the same graph. Quantized
/// graphs: activations are kU8 with a Quantization, or kI16 with a zero point of 0; int8 weights
/// are symmetric per output channel, their scales a float constant in kInputScales. A convolution
/// or dense layer with u8 input has an int32 bias at scale x * w[c], the zero-point correction
/// included, whether its output is u8 or float, and padding that counts as x's zero point, or as
/// the uint8 codes of kInputPadding, one per input channel of an image whose channels have their
/// zero at different codes; one with int16 input has an int64 bias at that scale; "hybrid" has
/// float activations, int8 weights and a float bias. Networks of bfloat16 have activations and
/// weights of it and float biases; inputs and outputs of the network are float32. Operators that
/// only move values (MaxPool, Relu, Relu6, Clip, Pad, Slice, Concat, Reshape) keep the quantization
/// of their inputs. SPEC.md has the whole table.
struct Graph {
  std::vector<Tensor> tensors;
  std::vector<Node> nodes;
  std::vector<TensorId> inputs;
  std::vector<TensorId> outputs;
  /// By input, and by output: whether the source's arrays of it are [n,channels,height,width].
  /// Missing ones are not. For programs that read and write the source's arrays; the graph's own
  /// are NHWC.
  std::vector<bool> inputs_channels_first, outputs_channels_first;
  Metadata metadata;

  Tensor& tensor(TensorId id) { return tensors[id]; }
  const Tensor& tensor(TensorId id) const { return tensors[id]; }

  /// `shape` by value: it may be another tensor's, which moves when this one is added.
  TensorId AddActivation(std::string name, DType dtype, Shape shape, Quantization q = {});
  /// Copies `bytes` of data into a 64-byte aligned buffer owned by the graph.
  TensorId AddConstant(std::string name, DType dtype, Shape shape, const void* data, size_t bytes);
  Node& AddNode(OpType type, std::string name, std::vector<TensorId> inputs, TensorId output);
};

/// Numbers that activations of a type hold; of kI16 the lowest is no result of octet's own.
struct CodeRange {
  int32_t low, high;
};
inline constexpr CodeRange CodesOf(DType t) {
  return t == DType::kI16 ? CodeRange{-32768, 32767} : CodeRange{0, 255};
}

/// The code that stands for a limit of kClip: limit / scale in binary32, rounded to nearest even,
/// plus the zero point, and the lowest or highest one where that lies outside.
int32_t ClipCode(float limit, const Quantization& q, DType type = DType::kU8);

/// A zeroed 64-byte aligned buffer; `*data` points at its first byte for writing.
std::shared_ptr<void> MakeAlignedBuffer(size_t bytes, std::byte** data);

/// Output size of one spatial dimension: floor((in + pads - dilation*(kernel-1) - 1) / stride) + 1,
/// or <= 0 if the window does not fit.
int64_t WindowOutput(int64_t in, int kernel, int stride, int dilation, int pad_begin, int pad_end);

/// Computes the output shape of `node` from its inputs' shapes (kReshape: checks the element count
/// of the given one).
Result<Shape> InferShape(const Graph& graph, const Node& node);

/// Checks everything that the engine relies on: indices, order of execution, ranks, shapes, data
/// types, layouts, data sizes, scales, zero points, attribute ranges. Errors name the node or
/// tensor, what was found and what was expected.
Status ValidateGraph(const Graph& graph);

/// Sets every activation's shape from the inputs on, in execution order.
Status InferShapes(Graph* graph);

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_GRAPH_H_
