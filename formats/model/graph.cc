// Shapes and validation. InferShape knows the output of every operator. ValidateGraph looks at each
// tensor by itself, at how much constant data the nodes read together, at the inputs, at the nodes
// in the order of execution (their inputs computed before them, the output's shape as it is
// inferred, types, quantizations, ranges), at the outputs, and at the metadata. Its limits are such
// that behind it neither sizes and offsets nor sums of int8 products overflow, and no factor makes
// a NaN.
#include "formats/model/graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <tuple>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/operators.h"
#include "formats/model/panel.h"
#include "formats/model/preprocessing.h"

namespace octet {
namespace {

constexpr int64_t kMaxElements = std::numeric_limits<int32_t>::max();
/// Of an activation of one image as stored: less than 2 GiB of floats, so that 32-bit byte offsets
/// reach every pixel.
constexpr int64_t kMaxActivation = (int64_t{1} << 29) - 1;
constexpr int kMaxWindow = 4096;
constexpr int kMaxResizeShorter = 1 << 16;
/// Largest factor from integers to a result. No product with an int32 and no sum of two of them is
/// infinite then, and nothing is infinity minus infinity or 0 times infinity: NaN, which
/// instruction sets round differently.
constexpr float kMaxFactor = 0x1p95f;
/// Planning a node takes time and memory in proportion to the constants that it reads. So that it
/// is in proportion to the file as well, all nodes together may read no more than this many times
/// all constants (857 KB with 9,000 nodes on one weight took 7 GB), and for small networks 1 MiB
/// more.
constexpr int64_t kMaxReads = 16;
constexpr int64_t kReadsAllowance = int64_t{1} << 20;

/// A name for a message. Imported names may be anything; messages are one line.
std::string Quoted(const std::string& name) {
  constexpr size_t kMaxShown = 200;
  std::string s = name.substr(0, kMaxShown);
  for (char& c : s) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return StrCat("'", s, name.size() > kMaxShown ? "...'" : "'");
}

std::string Describe(const Node& node) {
  return StrCat("node ", Quoted(node.name), " (", OpTypeName(node.type), ")");
}

std::string Describe(const Tensor& tensor) { return StrCat("tensor ", Quoted(tensor.name)); }

/// The one form of every error: place, field, found, expected.
template <typename Where, typename Found, typename Expected>
Status Mismatch(const Where& where, const char* field, const Found& found,
                const Expected& expected) {
  return InvalidArgument(
      StrCat(Describe(where), ": ", field, ": found ", found, ", expected ", expected));
}

/// `factor` as the engine rounds it.
bool IsFactor(double factor) { return std::fabs(static_cast<float>(factor)) <= kMaxFactor; }

bool InRange(const Graph& graph, TensorId id) {
  return id >= 0 && static_cast<size_t>(id) < graph.tensors.size();
}

Status CheckInputs(const Graph& graph, const Node& node) {
  const OpTraits& op = TraitsOf(node.type);
  const int count = static_cast<int>(node.inputs.size());
  // kConcat lists everything it takes; the others fill required slots and may fill the rest.
  const int required = node.type == OpType::kConcat ? std::max(count, op.required) : op.required;
  if (count < required || count > op.max_inputs) {
    return Mismatch(node, "number of inputs", count,
                    op.max_inputs == op.required   ? StrCat(required)
                    : node.type == OpType::kConcat ? StrCat("at least ", required)
                                                   : StrCat(required, " to ", op.max_inputs));
  }
  for (int i = 0; i < count; ++i) {
    if (i >= required && node.inputs[i] == kNoTensor) continue;
    if (!InRange(graph, node.inputs[i])) {
      return Mismatch(node, StrCat("input ", i).c_str(), StrCat("tensor ", node.inputs[i]),
                      StrCat("less than ", graph.tensors.size()));
    }
  }
  return OkStatus();
}

Status CheckRange(const Node& node, const char* field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return OkStatus();
  return Mismatch(node, field, value, StrCat(min, " to ", max));
}

Status CheckWindow(const Node& node) {
  const Window& w = node.window;
  const int max_dilation = node.type == OpType::kConv2d ? kMaxWindow : 1;
  OCTET_RETURN_IF_ERROR(CheckRange(node, "kernel_h", w.kernel_h, 1, kMaxWindow));
  OCTET_RETURN_IF_ERROR(CheckRange(node, "kernel_w", w.kernel_w, 1, kMaxWindow));
  OCTET_RETURN_IF_ERROR(CheckRange(node, "stride_h", w.stride_h, 1, kMaxWindow));
  OCTET_RETURN_IF_ERROR(CheckRange(node, "stride_w", w.stride_w, 1, kMaxWindow));
  OCTET_RETURN_IF_ERROR(CheckRange(node, "dilation_h", w.dilation_h, 1, max_dilation));
  OCTET_RETURN_IF_ERROR(CheckRange(node, "dilation_w", w.dilation_w, 1, max_dilation));
  const int max_h = w.kernel_h * w.dilation_h - 1, max_w = w.kernel_w * w.dilation_w - 1;
  OCTET_RETURN_IF_ERROR(CheckRange(node, "pad_top", w.pad_top, 0, max_h));
  OCTET_RETURN_IF_ERROR(CheckRange(node, "pad_left", w.pad_left, 0, max_w));
  OCTET_RETURN_IF_ERROR(CheckRange(node, "pad_bottom", w.pad_bottom, 0, max_h));
  return CheckRange(node, "pad_right", w.pad_right, 0, max_w);
}

Status CheckRank(const Node& node, const char* field, const Tensor& tensor, int rank) {
  if (tensor.shape.rank() == rank) return OkStatus();
  return Mismatch(node, field, StrCat("shape ", tensor.shape.ToString()), StrCat("rank ", rank));
}

Result<Shape> InferWindow(const Node& node, const Shape& x, int64_t channels) {
  OCTET_RETURN_IF_ERROR(CheckWindow(node));
  const Window& w = node.window;
  const int64_t h =
      WindowOutput(x[1], w.kernel_h, w.stride_h, w.dilation_h, w.pad_top, w.pad_bottom);
  const int64_t width =
      WindowOutput(x[2], w.kernel_w, w.stride_w, w.dilation_w, w.pad_left, w.pad_right);
  if (h <= 0 || width <= 0) {
    return Mismatch(
        node, "window",
        StrCat(w.kernel_h, "x", w.kernel_w, " dilated by ", w.dilation_h, "x", w.dilation_w),
        StrCat("one that fits into the padded input ", x.ToString()));
  }
  return Shape{x[0], h, width, channels};
}

Result<Shape> InferConv2d(const Graph& graph, const Node& node) {
  const Tensor& x = graph.tensor(node.inputs[kInputX]);
  const Tensor& weights = graph.tensor(node.inputs[kInputWeights]);
  OCTET_RETURN_IF_ERROR(CheckRank(node, "input", x, 4));
  OCTET_RETURN_IF_ERROR(CheckRank(node, "weights", weights, 4));
  const Shape& w = weights.shape;
  if (node.groups < 1 || w[0] % node.groups != 0) {
    return Mismatch(node, "groups", node.groups, StrCat("a divisor of ", w[0], " output channels"));
  }
  int64_t channels = 0;
  if (!CheckedMul(w[3], node.groups, &channels) || channels != x.shape[3]) {
    return Mismatch(node, "input channels", x.shape[3],
                    StrCat(node.groups, " group(s) of ", w[3], " as in weights ", w.ToString()));
  }
  if (w[1] != node.window.kernel_h || w[2] != node.window.kernel_w) {
    return Mismatch(node, "kernel", StrCat(node.window.kernel_h, "x", node.window.kernel_w),
                    StrCat(w[1], "x", w[2], " as in weights ", w.ToString()));
  }
  return InferWindow(node, x.shape, w[0]);
}

Result<Shape> InferDense(const Graph& graph, const Node& node) {
  const Tensor& x = graph.tensor(node.inputs[kInputX]);
  const Tensor& weights = graph.tensor(node.inputs[kInputWeights]);
  OCTET_RETURN_IF_ERROR(CheckRank(node, "input", x, 2));
  OCTET_RETURN_IF_ERROR(CheckRank(node, "weights", weights, 2));
  if (x.shape[1] != weights.shape[1]) {
    return Mismatch(node, "input features", x.shape[1],
                    StrCat(weights.shape[1], " as in weights ", weights.shape.ToString()));
  }
  return Shape{x.shape[0], weights.shape[0]};
}

Result<Shape> InferBinary(const Graph& graph, const Node& node) {
  const Shape& a = graph.tensor(node.inputs[0]).shape;
  const Shape& b = graph.tensor(node.inputs[1]).shape;
  if (!(a == b))
    return Mismatch(node, "second input", StrCat("shape ", b.ToString()), a.ToString());
  return a;
}

Result<Shape> InferScaleShift(const Graph& graph, const Node& node) {
  const Shape& x = graph.tensor(node.inputs[0]).shape;
  for (int i = 1; i <= 2; ++i) {
    const Shape& s = graph.tensor(node.inputs[i]).shape;
    if (x.rank() == 0 || s.rank() != 1 || s[0] != x.back()) {
      return Mismatch(node, i == 1 ? "scale" : "shift", StrCat("shape ", s.ToString()),
                      StrCat("one value per channel of ", x.ToString()));
    }
  }
  return x;
}

Result<Shape> InferPad(const Node& node, const Shape& x) {
  Shape out = x;
  for (int i = 0; i < x.rank(); ++i) {
    const int max = i == 0 ? 0 : std::numeric_limits<int32_t>::max();
    OCTET_RETURN_IF_ERROR(
        CheckRange(node, StrCat("begin[", i, "]").c_str(), node.begin[i], 0, max));
    OCTET_RETURN_IF_ERROR(CheckRange(node, StrCat("end[", i, "]").c_str(), node.end[i], 0, max));
    if (!CheckedAdd(x[i], static_cast<int64_t>(node.begin[i]) + node.end[i], &out[i])) {
      return Mismatch(node, StrCat("end[", i, "]").c_str(), node.end[i], "a sum that fits");
    }
  }
  return out;
}

Result<Shape> InferSlice(const Node& node, const Shape& x) {
  Shape out = x;
  for (int i = 0; i < x.rank(); ++i) {
    const int64_t begin = node.begin[i], end = node.end[i], step = node.step[i];
    // The first dimension is the batch: whatever its size, all of it is kept.
    const bool valid = i == 0 ? begin == 0 && end == x[0] && step == 1
                              : begin >= 0 && begin < end && end <= x[i] && step >= 1;
    if (!valid) {
      return Mismatch(node, StrCat("range of dimension ", i).c_str(),
                      StrCat(begin, ":", end, ":", step),
                      i == 0 ? StrCat("0:", x[0], ":1")
                             : StrCat("one inside 0:", x[i], " with a step of 1 or more"));
    }
    out[i] = CeilDiv(end - begin, step);
  }
  return out;
}

Result<Shape> InferConcat(const Graph& graph, const Node& node) {
  Shape out = graph.tensor(node.inputs[0]).shape;
  OCTET_RETURN_IF_ERROR(CheckRange(node, "axis", node.axis, 1, std::max(1, out.rank() - 1)));
  if (out.rank() < 2) return CheckRank(node, "input", graph.tensor(node.inputs[0]), 4);
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const Shape& s = graph.tensor(node.inputs[i]).shape;
    bool same = s.rank() == out.rank();
    for (int d = 0; same && d < out.rank(); ++d) same = d == node.axis || s[d] == out[d];
    if (!same || !CheckedAdd(out[node.axis], s[node.axis], &out[node.axis])) {
      return Mismatch(node, StrCat("input ", i).c_str(), StrCat("shape ", s.ToString()),
                      StrCat(graph.tensor(node.inputs[0]).shape.ToString(),
                             " apart from dimension ", node.axis));
    }
  }
  return out;
}

Result<Shape> InferReshape(const Graph& graph, const Node& node) {
  if (!InRange(graph, node.output)) {
    return Mismatch(node, "output", StrCat("tensor ", node.output),
                    StrCat("less than ", graph.tensors.size()));
  }
  const Shape& in = graph.tensor(node.inputs[0]).shape;
  const Shape& out = graph.tensor(node.output).shape;
  const bool same_batch = in.rank() > 0 && out.rank() > 0 && in[0] == out[0];
  if (!same_batch || in.num_elements() < 0 || in.num_elements() != out.num_elements()) {
    return Mismatch(node, "output", StrCat("shape ", out.ToString()),
                    StrCat("the batch and the number of elements of ", in.ToString()));
  }
  return out;
}

}  // namespace

const char* OpTypeName(OpType type) { return TraitsOf(type).name; }

int32_t ClipCode(float limit, const Quantization& q, DType type) {
  const CodeRange codes = CodesOf(type);
  const float code = std::nearbyint(limit / q.scale) + static_cast<float>(q.zero_point);
  return static_cast<int32_t>(
      std::min(static_cast<float>(codes.high), std::max(static_cast<float>(codes.low), code)));
}

std::shared_ptr<void> MakeAlignedBuffer(size_t bytes, std::byte** data) {
  constexpr std::align_val_t kAlignment{64};
  void* buffer = ::operator new(std::max<size_t>(bytes, 1), kAlignment);
  std::memset(buffer, 0, bytes);
  *data = static_cast<std::byte*>(buffer);
  return std::shared_ptr<void>(buffer, [](void* p) { ::operator delete(p, kAlignment); });
}

TensorId Graph::AddActivation(std::string name, DType dtype, Shape shape, Quantization q) {
  Tensor& t = tensors.emplace_back();
  t.name = std::move(name);
  t.dtype = dtype;
  t.shape = shape;
  t.quantization = q;
  return static_cast<TensorId>(tensors.size()) - 1;
}

TensorId Graph::AddConstant(std::string name, DType dtype, Shape shape, const void* data,
                            size_t bytes) {
  const TensorId id = AddActivation(std::move(name), dtype, shape);
  std::byte* copy = nullptr;
  tensors[id].owner = MakeAlignedBuffer(bytes, &copy);
  if (bytes > 0) std::memcpy(copy, data, bytes);
  tensors[id].data = {copy, bytes};
  return id;
}

Node& Graph::AddNode(OpType type, std::string name, std::vector<TensorId> node_inputs,
                     TensorId output) {
  Node& node = nodes.emplace_back();
  node.type = type;
  node.name = std::move(name);
  node.inputs = std::move(node_inputs);
  node.output = output;
  return node;
}

int64_t WindowOutput(int64_t in, int kernel, int stride, int dilation, int pad_begin, int pad_end) {
  const int64_t room = in + pad_begin + pad_end - static_cast<int64_t>(dilation) * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

Result<Shape> InferShape(const Graph& graph, const Node& node) {
  OCTET_RETURN_IF_ERROR(CheckInputs(graph, node));
  const Tensor& x = graph.tensor(node.inputs[0]);
  if (TraitsOf(node.type).keeps_shape) return x.shape;
  switch (node.type) {
    case OpType::kConv2d:
      return InferConv2d(graph, node);
    case OpType::kDense:
      return InferDense(graph, node);
    case OpType::kMaxPool:
    case OpType::kAveragePool:
      OCTET_RETURN_IF_ERROR(CheckRank(node, "input", x, 4));
      return InferWindow(node, x.shape, x.shape[3]);
    case OpType::kGlobalAveragePool:
      OCTET_RETURN_IF_ERROR(CheckRank(node, "input", x, 4));
      return Shape{x.shape[0], 1, 1, x.shape[3]};
    case OpType::kAdd:
    case OpType::kMul:
      return InferBinary(graph, node);
    case OpType::kScaleShift:
      return InferScaleShift(graph, node);
    case OpType::kPad:
      return InferPad(node, x.shape);
    case OpType::kSlice:
      return InferSlice(node, x.shape);
    case OpType::kConcat:
      return InferConcat(graph, node);
    case OpType::kReshape:
      return InferReshape(graph, node);
    case OpType::kRelu:
    case OpType::kRelu6:
    case OpType::kClip:
    case OpType::kSoftmax:
    case OpType::kLogSoftmax:
    case OpType::kSigmoid:
    case OpType::kTanh:
    case OpType::kQuantize:
    case OpType::kDequantize:
      break;  // They keep the shape.
  }
  return Mismatch(node, "type", static_cast<int>(node.type), StrCat("less than ", kNumOpTypes));
}

Status InferShapes(Graph* graph) {
  for (const Node& node : graph->nodes) {
    OCTET_ASSIGN_OR_RETURN(const Shape shape, InferShape(*graph, node));
    if (!InRange(*graph, node.output)) {
      return Mismatch(node, "output", StrCat("tensor ", node.output),
                      StrCat("less than ", graph->tensors.size()));
    }
    graph->tensor(node.output).shape = shape;
  }
  return OkStatus();
}

namespace {

/// Elements of an activation as the engine stores it: channels rounded up to a panel, padding
/// around the image.
bool FitsPadded(const Shape& shape, int64_t pad_h, int64_t pad_w) {
  int64_t n = RoundUp(shape.back(), kPanelWidth);
  const int64_t h = shape.rank() == 4 ? shape[1] + pad_h : 1,
                w = shape.rank() == 4 ? shape[2] + pad_w : 1;
  return CheckedMul(n, h, &n) && CheckedMul(n, w, &n) && n <= kMaxActivation;
}

Status ValidateActivation(const Tensor& t) {
  if (!IsFloat(t.dtype) && !IsCodes(t.dtype)) {
    return Mismatch(t, "data type of an activation", DTypeName(t.dtype),
                    "float32, bfloat16, uint8 or int16");
  }
  if ((t.shape.rank() != 4 && t.shape.rank() != 2) || t.shape[0] != 1) {
    return Mismatch(t, "shape of an activation", t.shape.ToString(),
                    "[1,height,width,channels] or [1,channels]");
  }
  if (t.layout != Layout::kPlain) {
    return Mismatch(t, "layout of an activation", static_cast<int>(t.layout), "0");
  }
  if (IsCodes(t.dtype)) {
    const float scale = t.quantization.scale;
    if (!std::isfinite(scale) || scale <= 0.0f || !std::isfinite(1.0f / scale)) {
      return Mismatch(t, "scale", scale, "a finite number above 0 whose reciprocal is finite");
    }
    const int32_t highest = t.dtype == DType::kU8 ? 255 : 0;
    if (t.quantization.zero_point < 0 || t.quantization.zero_point > highest) {
      return Mismatch(t, "zero point", t.quantization.zero_point,
                      highest == 0 ? "0" : StrCat("0 to ", highest));
    }
  } else if (!(t.quantization == Quantization{})) {
    return Mismatch(t, StrCat("quantization of a ", DTypeName(t.dtype), " activation").c_str(),
                    t.quantization.scale, "none");
  }
  return OkStatus();
}

Status ValidateConstant(const Tensor& t) {
  if (static_cast<int>(t.layout) > static_cast<int>(Layout::kDepthwise)) {
    return Mismatch(t, "layout", static_cast<int>(t.layout), "0 to 3");
  }
  const int rank = t.shape.rank();
  const bool fits =
      t.layout == Layout::kPlain || rank == 4 || (t.layout == Layout::kPanel && rank == 2);
  if (!fits) {
    return Mismatch(t, "layout", static_cast<int>(t.layout),
                    StrCat("one for shape ", t.shape.ToString()));
  }
  if (!(t.quantization == Quantization{})) {
    return Mismatch(t, "quantization of a constant", t.quantization.scale,
                    "none: scales are a tensor of their own");
  }
  const int64_t bytes = ConstantBytes(t.shape, t.dtype, t.layout);
  if (bytes < 0 || static_cast<uint64_t>(bytes) != t.data.size()) {
    return Mismatch(t, "bytes of data", t.data.size(),
                    StrCat(bytes, " for ", DTypeName(t.dtype), " ", t.shape.ToString()));
  }
  // Panels are read by vector, from any address.
  const uintptr_t alignment = DTypeSize(t.dtype);
  if (reinterpret_cast<uintptr_t>(t.data.data()) % alignment != 0) {
    return Mismatch(t, "address of data", "an unaligned one", StrCat("a multiple of ", alignment));
  }
  return OkStatus();
}

Status ValidateTensor(const Tensor& t) {
  if (static_cast<int>(t.dtype) >= kNumDTypes) {
    return Mismatch(t, "data type", static_cast<int>(t.dtype), StrCat("less than ", kNumDTypes));
  }
  if (t.shape.rank() < 1) return Mismatch(t, "rank", 0, "1 to 4");
  for (int i = 0; i < t.shape.rank(); ++i) {
    if (t.shape[i] < 1 || t.shape[i] > kMaxElements) {
      return Mismatch(t, "shape", t.shape.ToString(),
                      StrCat("dimensions from 1 to ", kMaxElements));
    }
  }
  if (t.shape.num_elements() < 1 || t.shape.num_elements() > kMaxElements) {
    return Mismatch(t, "shape", t.shape.ToString(), StrCat("at most ", kMaxElements, " elements"));
  }
  if (t.is_constant()) return ValidateConstant(t);
  OCTET_RETURN_IF_ERROR(ValidateActivation(t));
  if (!FitsPadded(t.shape, 0, 0)) {
    return Mismatch(
        t, "shape", t.shape.ToString(),
        StrCat("at most ", kMaxActivation, " elements with channels rounded up to ", kPanelWidth));
  }
  return OkStatus();
}

/// Checks one node, whose inputs are known to be in range and computed.
class NodeValidator {
 public:
  NodeValidator(const Graph& graph, const Node& node)
      : graph_(graph),
        node_(node),
        x_(graph.tensor(node.inputs[0])),
        out_(graph.tensor(node.output)) {}

  Status Run() const {
    if (static_cast<int>(node_.activation) > static_cast<int>(Activation::kRelu6)) {
      return Mismatch(node_, "activation", static_cast<int>(node_.activation), "0 to 2");
    }
    if (node_.activation != Activation::kNone && !TraitsOf(node_.type).takes_activation) {
      return Mismatch(node_, "activation", static_cast<int>(node_.activation),
                      "0: this operator has none");
    }
    OCTET_RETURN_IF_ERROR(ValidateTfliteKernel());
    OCTET_ASSIGN_OR_RETURN(const Shape shape, InferShape(graph_, node_));
    if (!(shape == out_.shape)) {
      return Mismatch(node_, "output", StrCat("shape ", out_.shape.ToString()), shape.ToString());
    }
    if (TraitsOf(node_.type).has_window) {
      const Window& w = node_.window;
      if (!FitsPadded(x_.shape, static_cast<int64_t>(w.pad_top) + w.pad_bottom,
                      static_cast<int64_t>(w.pad_left) + w.pad_right)) {
        return Mismatch(node_, "padding", StrCat("input ", x_.shape.ToString()),
                        StrCat("at most ", kMaxActivation, " elements when padded"));
      }
    }
    switch (node_.type) {
      case OpType::kConv2d:
      case OpType::kDense:
        return ValidateConv();
      case OpType::kMul:
        return ValidateMul();
      case OpType::kScaleShift:
        return ValidateScaleShift();
      case OpType::kAdd:
        return ExpectSameTypes();
      case OpType::kAveragePool:
        return ExpectSameTypes();
      case OpType::kGlobalAveragePool:
        if (x_.dtype == DType::kI16 && graph_.metadata.rounding == Rounding::kTflite &&
            x_.shape[1] * x_.shape[2] > kMostPixels)
          return Mismatch(node_, "pixels of a mean of int16 by TFLite's rounding",
                          x_.shape[1] * x_.shape[2], StrCat("at most ", kMostPixels));
        return x_.dtype != DType::kF32 && out_.dtype == DType::kF32 ? CheckRescale(x_)
                                                                    : ExpectSameTypes();
      case OpType::kPad:
        if (!std::isfinite(node_.pad_value))
          return Mismatch(node_, "pad_value", node_.pad_value, "a finite number");
        return ExpectSameQuantization();
      case OpType::kMaxPool:
      case OpType::kRelu:
      case OpType::kRelu6:
      case OpType::kSlice:
      case OpType::kConcat:
      case OpType::kReshape:
        return ExpectSameQuantization();
      case OpType::kClip:
        OCTET_RETURN_IF_ERROR(ValidateLimits());
        return ExpectSameQuantization();
      case OpType::kSoftmax:
        if (IsCodes(x_.dtype)) return ValidateSoftmaxOfCodes();
        return ValidateRows();
      case OpType::kLogSoftmax:
      case OpType::kSigmoid:
      case OpType::kTanh:
        return ValidateRows();
      case OpType::kQuantize:
        if (out_.dtype == DType::kBF16) return ExpectType("input", x_, DType::kF32);
        OCTET_RETURN_IF_ERROR(ExpectCodes("output", out_));
        if (x_.dtype == DType::kBF16) return ExpectType("input", x_, DType::kF32);
        return CheckRescale(x_);
      case OpType::kDequantize:
        if (x_.dtype != DType::kBF16) OCTET_RETURN_IF_ERROR(ExpectCodes("input", x_));
        OCTET_RETURN_IF_ERROR(ExpectType("output", out_, DType::kF32));
        return CheckRescale(x_);
    }
    return InternalError("unreachable: InferShape knows the type");
  }

 private:
  /// Of a mean of int16 by TFLite's rounding: the sum fits 32 bits.
  static constexpr int64_t kMostPixels = 65535;

  Status ExpectType(const char* field, const Tensor& t, DType dtype) const {
    if (t.dtype == dtype) return OkStatus();
    return Mismatch(node_, field, StrCat(DTypeName(t.dtype), " in ", Quoted(t.name)),
                    DTypeName(dtype));
  }

  Status ExpectCodes(const char* field, const Tensor& t) const {
    if (IsCodes(t.dtype)) return OkStatus();
    return Mismatch(node_, field, StrCat(DTypeName(t.dtype), " in ", Quoted(t.name)),
                    "bfloat16, uint8 or int16");
  }

  Status ExpectTypes(DType in, DType out) const {
    for (TensorId id : node_.inputs)
      OCTET_RETURN_IF_ERROR(ExpectType("input", graph_.tensor(id), in));
    return ExpectType("output", out_, out);
  }

  /// Functions of rows: in float32, or from bfloat16 to it or to float32.
  Status ValidateRows() const {
    if (x_.dtype == DType::kBF16)
      return out_.dtype == DType::kF32 ? OkStatus() : ExpectType("output", out_, x_.dtype);
    return ExpectTypes(DType::kF32, DType::kF32);
  }

  /// One type everywhere; codes may have different quantizations.
  Status ExpectSameTypes() const {
    OCTET_RETURN_IF_ERROR(ExpectTypes(x_.dtype, x_.dtype));
    for (TensorId id : node_.inputs) OCTET_RETURN_IF_ERROR(CheckRescale(graph_.tensor(id)));
    return OkStatus();
  }

  /// For operators that move values without computing.
  Status ExpectSameQuantization() const {
    OCTET_RETURN_IF_ERROR(ExpectTypes(x_.dtype, x_.dtype));
    for (TensorId id : node_.inputs) {
      const Tensor& t = graph_.tensor(id);
      if (!(t.quantization == out_.quantization)) {
        return Mismatch(
            node_, "output quantization",
            StrCat("(", out_.quantization.scale, ", ", out_.quantization.zero_point, ")"),
            StrCat("(", t.quantization.scale, ", ", t.quantization.zero_point, ") as of ",
                   Quoted(t.name)));
      }
    }
    return OkStatus();
  }

  Status ValidateTfliteKernel() const {
    const Window pixel{.stride_h = node_.window.stride_h, .stride_w = node_.window.stride_w};
    switch (node_.tflite_kernel) {
      case TfliteKernel::kUsual:
        return OkStatus();
      case TfliteKernel::kFullyConnected:
        if (node_.type == OpType::kConv2d && node_.groups == 1 && node_.window == pixel)
          return OkStatus();
        break;
      case TfliteKernel::kMean:
        if (node_.type == OpType::kGlobalAveragePool) return OkStatus();
        break;
      case TfliteKernel::kUint8Average:
        if (node_.type == OpType::kGlobalAveragePool || node_.type == OpType::kAveragePool)
          return OkStatus();
        break;
    }
    return Mismatch(
        node_, "TFLite kernel", static_cast<int>(node_.tflite_kernel),
        "0, or 1 of a conv2d of 1x1 pixels, or 2 of a global_average_pool, or 3 of that or an "
        "average_pool");
  }

  Status ValidateMul() const {
    OCTET_RETURN_IF_ERROR(ExpectTypes(x_.dtype, x_.dtype));
    if (!IsCodes(x_.dtype)) return OkStatus();
    const float a = x_.quantization.scale, b = graph_.tensor(node_.inputs[1]).quantization.scale;
    // The product in single precision, as TFLite multiplies, and exactly.
    if (IsFactor(static_cast<double>(a * b / out_.quantization.scale)) &&
        IsFactor(static_cast<double>(a) * b / out_.quantization.scale))
      return OkStatus();
    return Mismatch(node_, "scales", StrCat(a, " times ", b, " over ", out_.quantization.scale),
                    "a finite quotient of at most 2^95");
  }

  /// As TFLite has it: of int16, to 2^15ths.
  Status ValidateSoftmaxOfCodes() const {
    if (graph_.metadata.rounding != Rounding::kTflite)
      return Mismatch(node_, "softmax of", DTypeName(x_.dtype),
                      "float32 without TFLite's rounding");
    OCTET_RETURN_IF_ERROR(ExpectTypes(DType::kI16, DType::kI16));
    // Beyond, the sum of what stands for exp would not fit 31 bits.
    if (x_.shape.back() > 65536)
      return Mismatch(node_, "channels of a softmax of int16", x_.shape.back(), "at most 65536");
    if (out_.quantization.scale == 0x1p-15f) return OkStatus();
    return Mismatch(node_, "scale of a softmax of int16", out_.quantization.scale, 0x1p-15f);
  }

  Status ValidateLimits() const {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const float low = node_.clip_low, high = node_.clip_high;
    // A NaN is no limit in either comparison.
    if (low <= high && low < kInfinity && high > -kInfinity) return OkStatus();
    return Mismatch(node_, "limits", StrCat(low, " to ", high),
                    "two numbers in order, or -infinity and infinity for no limit");
  }

  /// Of a float output 1.
  double OutScale() const { return IsCodes(out_.dtype) ? out_.quantization.scale : 1.0; }

  /// The factor from a quantization to the output.
  Status CheckRescale(const Tensor& in) const {
    if (!IsCodes(in.dtype) || IsFactor(in.quantization.scale / OutScale())) return OkStatus();
    return Mismatch(node_, "scales", StrCat(in.quantization.scale, " over ", OutScale()),
                    "a finite quotient of at most 2^95");
  }

  Status ExpectVector(const char* field, const Tensor& t, DType dtype, int64_t length) const {
    OCTET_RETURN_IF_ERROR(ExpectConstant(field, t));
    OCTET_RETURN_IF_ERROR(ExpectType(field, t, dtype));
    if (t.layout != Layout::kPlain) {
      return Mismatch(node_, field, StrCat("layout ", static_cast<int>(t.layout)), "layout 0");
    }
    if (t.shape.rank() != 1 || t.shape[0] != length) {
      return Mismatch(node_, field, StrCat("shape ", t.shape.ToString()), StrCat("[", length, "]"));
    }
    return OkStatus();
  }

  Status ExpectConstant(const char* field, const Tensor& t) const {
    if (t.is_constant()) return OkStatus();
    return Mismatch(node_, field, StrCat("activation ", Quoted(t.name)), "a constant");
  }

  Status ExpectFinite(const char* field, const Tensor& t) const {
    for (float v : t.values<float>()) {
      if (!std::isfinite(v)) return Mismatch(node_, field, v, "finite numbers");
    }
    return OkStatus();
  }

  Status ValidateScaleShift() const {
    const int64_t channels = out_.shape.back();
    const Tensor& scale = graph_.tensor(node_.inputs[1]);
    const Tensor& shift = graph_.tensor(node_.inputs[2]);
    OCTET_RETURN_IF_ERROR(ExpectVector("scale", scale, DType::kF32, channels));
    OCTET_RETURN_IF_ERROR(ExpectVector("shift", shift, DType::kF32, channels));
    OCTET_RETURN_IF_ERROR(ExpectFinite("scale", scale));
    OCTET_RETURN_IF_ERROR(ExpectFinite("shift", shift));
    OCTET_RETURN_IF_ERROR(ExpectType("output", out_, x_.dtype));
    const TensorId unit_id = node_.input(kInputUnit);
    if (unit_id != kNoTensor) {
      const Tensor& unit = graph_.tensor(unit_id);
      OCTET_RETURN_IF_ERROR(ExpectVector("unit", unit, DType::kF32, 1));
      const float value = unit.values<float>()[0];
      if (!std::isfinite(value) || value <= 0.0f)
        return Mismatch(node_, "unit", value, "a finite number above 0");
      OCTET_RETURN_IF_ERROR(ExpectCodes("input with a unit", x_));
      // In single precision, as TFLite multiplies.
      if (!IsFactor(x_.quantization.scale * value / out_.quantization.scale) ||
          !IsFactor(value / OutScale())) {
        return Mismatch(node_, "unit over the output's scale",
                        StrCat(value, " over ", out_.quantization.scale),
                        "a finite quotient of at most 2^95");
      }
    }
    if (!IsCodes(x_.dtype)) return OkStatus();
    for (int64_t c = 0; c < channels; ++c) {
      const double factor =
          static_cast<double>(x_.quantization.scale) * scale.values<float>()[c] / OutScale();
      const double offset = shift.values<float>()[c] / OutScale();
      if (!IsFactor(factor) || !IsFactor(offset)) {
        return Mismatch(node_, "scale and shift over the output's scale",
                        StrCat(factor, " and ", offset), "finite numbers of at most 2^95");
      }
    }
    return OkStatus();
  }

  Status ValidateConv() const {
    const Tensor& weights = graph_.tensor(node_.inputs[kInputWeights]);
    OCTET_RETURN_IF_ERROR(ExpectConstant("weights", weights));
    if (node_.type == OpType::kDense && node_.groups != 1) {
      return Mismatch(node_, "groups", node_.groups, "1");
    }
    const Layout layout = ChooseLayout(node_, weights.shape);
    if (weights.layout != Layout::kPlain && weights.layout != layout) {
      return Mismatch(node_, "layout of weights", static_cast<int>(weights.layout),
                      StrCat("0 or ", static_cast<int>(layout)));
    }
    const bool quantized = IsCodes(x_.dtype);
    const bool int8 = weights.dtype == DType::kI8;
    if (x_.dtype == DType::kBF16) {
      OCTET_RETURN_IF_ERROR(ExpectType("weights", weights, DType::kBF16));
    } else if (!int8 &&
               (quantized || (weights.dtype != DType::kF32 && weights.dtype != DType::kF16))) {
      return Mismatch(node_, "weights", DTypeName(weights.dtype),
                      quantized ? StrCat("int8 for ", DTypeName(x_.dtype), " input")
                                : "float32, float16 or int8 for float32 input");
    }
    if (out_.dtype != DType::kF32) OCTET_RETURN_IF_ERROR(ExpectType("output", out_, x_.dtype));
    OCTET_RETURN_IF_ERROR(ValidateScales(weights));
    OCTET_RETURN_IF_ERROR(ValidateBias(weights));
    OCTET_RETURN_IF_ERROR(ValidatePadding());
    return ValidateResidual();
  }

  Status ValidatePadding() const {
    const TensorId id = node_.input(kInputPadding);
    if (id == kNoTensor) return OkStatus();
    const int64_t channels = x_.shape.back();
    OCTET_RETURN_IF_ERROR(ExpectVector("padding codes", graph_.tensor(id), DType::kU8, channels));
    OCTET_RETURN_IF_ERROR(ExpectType("input with padding codes", x_, DType::kU8));
    if (channels <= kMaxPaddedChannels) return OkStatus();
    return Mismatch(node_, "channels with padding codes", channels,
                    StrCat("at most ", kMaxPaddedChannels));
  }

  Status ValidateScales(const Tensor& weights) const {
    const TensorId id = node_.input(kInputScales);
    if (weights.dtype != DType::kI8) {
      if (id == kNoTensor) return OkStatus();
      return Mismatch(node_, "scales", Quoted(graph_.tensor(id).name),
                      "none for floating-point weights");
    }
    if (id == kNoTensor)
      return Mismatch(node_, "scales", "none", "one per output channel of int8 weights");
    const Tensor& scales = graph_.tensor(id);
    OCTET_RETURN_IF_ERROR(ExpectVector("scales", scales, DType::kF32, weights.shape[0]));
    for (float s : scales.values<float>()) {
      if (!std::isfinite(s) || s <= 0.0f)
        return Mismatch(node_, "scales", s, "finite numbers above 0");
      if (!IsCodes(x_.dtype)) continue;
      if (!IsFactor(static_cast<double>(x_.quantization.scale) * s / OutScale())) {
        return Mismatch(node_, "scales",
                        StrCat(s, " with input scale ", x_.quantization.scale, " and output scale ",
                               OutScale()),
                        "a finite multiplier of at most 2^95");
      }
    }
    const int64_t reduction = weights.shape.num_elements() / weights.shape[0];
    if (reduction > kMaxInt8Reduction) {
      return Mismatch(node_, "products per output of int8 weights", reduction,
                      StrCat("at most ", kMaxInt8Reduction));
    }
    return OkStatus();
  }

  Status ValidateBias(const Tensor& weights) const {
    const TensorId id = node_.input(kInputBias);
    if (id == kNoTensor) return OkStatus();
    const Tensor& bias = graph_.tensor(id);
    if (!IsCodes(x_.dtype)) {
      OCTET_RETURN_IF_ERROR(ExpectVector("bias", bias, DType::kF32, weights.shape[0]));
      return ExpectFinite("bias", bias);
    }
    if (x_.dtype == DType::kI16) {
      OCTET_RETURN_IF_ERROR(ExpectVector("bias", bias, DType::kI64, weights.shape[0]));
      for (int64_t b : bias.values<int64_t>()) {
        if (b < -kMaxInt16Bias || b > kMaxInt16Bias)
          return Mismatch(node_, "bias", b, StrCat(-kMaxInt16Bias, " to ", kMaxInt16Bias));
      }
      return OkStatus();
    }
    OCTET_RETURN_IF_ERROR(ExpectVector("bias", bias, DType::kI32, weights.shape[0]));
    const int64_t reduction = weights.shape.num_elements() / weights.shape[0];
    const int64_t limit = std::numeric_limits<int32_t>::max() - reduction * 255 * 128;
    for (int32_t b : bias.values<int32_t>()) {
      if (b < -limit || b > limit) {
        return Mismatch(node_, "bias", b, StrCat("at most ", limit, ", or the sum could overflow"));
      }
    }
    return OkStatus();
  }

  Status ValidateResidual() const {
    const TensorId id = node_.input(kInputResidual);
    if (id == kNoTensor) return OkStatus();
    const Tensor& residual = graph_.tensor(id);
    if (residual.is_constant())
      return Mismatch(node_, "residual", StrCat("constant ", Quoted(residual.name)),
                      "an activation");
    OCTET_RETURN_IF_ERROR(ExpectType("residual", residual, out_.dtype));
    if (!(residual.shape == out_.shape)) {
      return Mismatch(node_, "residual", StrCat("shape ", residual.shape.ToString()),
                      out_.shape.ToString());
    }
    return CheckRescale(residual);
  }

  const Graph& graph_;
  const Node& node_;
  const Tensor& x_;
  const Tensor& out_;
};

/// True for slots that must hold a computed value; the others hold constants, as their own checks
/// ensure.
bool IsActivationSlot(OpType type, size_t slot) {
  return TraitsOf(type).activation_slots >> std::min<size_t>(slot, 7) & 1;
}

/// Padding codes are written around a tensor, where nobody else may read other ones.
Status CheckPaddedOnce(const Graph& graph) {
  std::vector<int64_t> readers(graph.tensors.size(), 0);
  for (TensorId id : graph.outputs) ++readers[id];
  for (const Node& n : graph.nodes) {
    for (TensorId id : n.inputs)
      if (id != kNoTensor) ++readers[id];
  }
  for (const Node& n : graph.nodes) {
    if (!TraitsOf(n.type).has_weights || n.input(kInputPadding) == kNoTensor) continue;
    if (readers[n.inputs[kInputX]] > 1)
      return Mismatch(n, "readers of the input with padding codes", readers[n.inputs[kInputX]], 1);
  }
  return OkStatus();
}

/// Before nodes are validated, which reads their constants.
Status CheckConstantReads(const Graph& graph) {
  int64_t stored = 0, read = 0;
  for (const Tensor& t : graph.tensors) stored += static_cast<int64_t>(t.data.size());
  const int64_t limit = kMaxReads * stored + kReadsAllowance;
  for (const Node& node : graph.nodes) {
    for (TensorId id : node.inputs) {
      if (InRange(graph, id)) read += static_cast<int64_t>(graph.tensor(id).data.size());
      if (read <= limit) continue;
      return Mismatch(node, "bytes of constants read so far", read,
                      StrCat("at most ", kMaxReads, " times the ", stored, " of all constants and ",
                             kReadsAllowance));
    }
  }
  return OkStatus();
}

/// Codes that are pixels stand for numbers that rise with them in each channel.
Status ValidatePixelCodes(const Graph& graph) {
  const auto mismatch = [](const char* field, const auto& found, const auto& expected) {
    return InvalidArgument(StrCat("metadata: codes that are pixels: ", field, ": found ", found,
                                  ", expected ", expected));
  };
  if (graph.inputs.size() != 1) return mismatch("inputs", graph.inputs.size(), "1");
  const Tensor& t = graph.tensor(graph.inputs[0]);
  if (t.dtype != DType::kU8) return mismatch("data type of the input", DTypeName(t.dtype), "uint8");
  if (t.shape.rank() != 4 || (t.shape[3] != 1 && t.shape[3] != 3)) {
    return mismatch("shape of the input", t.shape.ToString(), "an image of 1 or 3 channels");
  }
  if (!(t.quantization == Quantization{1.0f, 0})) {
    return mismatch("scale and zero point of the input",
                    StrCat(t.quantization.scale, " and ", t.quantization.zero_point), "1 and 0");
  }
  const ChannelQuantization q =
      QuantizationOfPixels(graph.metadata.preprocessing, static_cast<size_t>(t.shape[3]));
  bool pixels = true;
  for (size_t c = 0; c < q.scales.size(); ++c) {
    if (!std::isfinite(q.scales[c]) || q.scales[c] <= 0.0f || !std::isfinite(1.0f / q.scales[c]))
      return mismatch("preprocessing scale / stddev", q.scales[c],
                      "a finite number above 0 whose reciprocal is finite");
    if (!std::isfinite(q.zero_points[c]))
      return mismatch("preprocessing mean / scale", q.zero_points[c], "a finite number");
    pixels = pixels && q.scales[c] == 1.0f && q.zero_points[c] == 0.0f;
  }
  if (pixels) return mismatch("preprocessing", "none", "one that makes other numbers of pixels");
  return OkStatus();
}

Status ValidateMetadata(const Graph& graph) {
  const Metadata& m = graph.metadata;
  const auto mismatch = [](const char* field, const auto& found, const auto& expected) {
    return InvalidArgument(StrCat("metadata: ", field, ": found ", found, ", expected ", expected));
  };
  if (static_cast<int>(m.precision) >= kNumPrecisions) {
    return mismatch("precision", static_cast<int>(m.precision),
                    StrCat("0 to ", kNumPrecisions - 1));
  }
  const Preprocessing& p = m.preprocessing;
  const std::tuple<const char*, int, size_t> choices[] = {
      {"resize rule", static_cast<int>(p.resize), kResizeRuleNames.size()},
      {"resize filter", static_cast<int>(p.resampling.filter), kResizeFilterNames.size()},
      {"channel order", static_cast<int>(p.order), kChannelOrderNames.size()},
      {"decoder", static_cast<int>(p.decoding.framework), kFrameworkNames.size()},
      {"DCT", static_cast<int>(p.decoding.dct), kDctNames.size()},
      {"upsampling", static_cast<int>(p.decoding.upsampling), kUpsamplingNames.size()},
      {"resampling", static_cast<int>(p.resampling.framework), kFrameworkNames.size()},
      {"coordinates", static_cast<int>(p.resampling.coordinates), kCoordinatesNames.size()},
      {"passes", static_cast<int>(p.resampling.passes), kPassesNames.size()}};
  for (const auto& [field, value, count] : choices) {
    if (static_cast<size_t>(value) >= count) {
      return mismatch(field, value, count == 2 ? "0 or 1" : StrCat("0 to ", count - 1));
    }
  }
  if (const std::string problem = ProblemOf(p.resampling); !problem.empty())
    return mismatch("resampling", problem, "parts that go together");
  if (p.resize_shorter < 0 || p.resize_shorter > kMaxResizeShorter) {
    return mismatch("resize_shorter", p.resize_shorter, StrCat("0 to ", kMaxResizeShorter));
  }
  const Shape& input = graph.tensor(graph.inputs[0]).shape;
  if (p.resize == ResizeRule::kCenterCrop && input.rank() == 4 &&
      (p.resize_shorter < input[1] || p.resize_shorter < input[2])) {
    return mismatch("resize_shorter", p.resize_shorter,
                    StrCat("no less than the input ", input.ToString()));
  }
  if (p.resize != ResizeRule::kLetterbox && p.pad_color != Preprocessing().pad_color)
    return InvalidArgument("metadata: pad color: found one without letterbox");
  if (!std::isfinite(p.scale)) return mismatch("preprocessing scale", p.scale, "a finite number");
  for (float v : p.mean) {
    if (!std::isfinite(v)) return mismatch("preprocessing mean", v, "a finite number");
  }
  for (float v : p.stddev) {
    if (!std::isfinite(v) || v == 0.0f)
      return mismatch("preprocessing stddev", v, "a finite number other than 0");
  }
  const int64_t classes = graph.tensor(graph.outputs[0]).shape.back();
  if (!m.labels.empty() && static_cast<int64_t>(m.labels.size()) != classes) {
    return mismatch("number of labels", m.labels.size(),
                    StrCat(classes, ", the number of classes"));
  }
  return m.pixel_codes ? ValidatePixelCodes(graph) : OkStatus();
}

/// Callers have no arrays of bfloat16.
Status ValidateInterface(const std::string& field, const Tensor& t) {
  if (t.dtype != DType::kBF16) return OkStatus();
  return InvalidArgument(StrCat("graph: ", field, ": found bfloat16 in ", Quoted(t.name),
                                ", expected float32, uint8 or int16"));
}

}  // namespace

Status ValidateGraph(const Graph& graph) {
  const auto mismatch = [](const std::string& field, const auto& found, const auto& expected) {
    return InvalidArgument(StrCat("graph: ", field, ": found ", found, ", expected ", expected));
  };
  if (graph.tensors.size() > static_cast<size_t>(kMaxElements)) {
    return mismatch("number of tensors", graph.tensors.size(), StrCat("at most ", kMaxElements));
  }
  for (const Tensor& t : graph.tensors) OCTET_RETURN_IF_ERROR(ValidateTensor(t));

  OCTET_RETURN_IF_ERROR(CheckConstantReads(graph));

  std::vector<bool> computed(graph.tensors.size(), false);
  if (graph.inputs.empty()) return mismatch("number of inputs", 0, "at least 1");
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const TensorId id = graph.inputs[i];
    const std::string field = StrCat("input ", i);
    if (!InRange(graph, id))
      return mismatch(field, StrCat("tensor ", id), StrCat("less than ", graph.tensors.size()));
    const Tensor& t = graph.tensor(id);
    if (t.is_constant())
      return mismatch(field, StrCat("constant ", Quoted(t.name)), "an activation");
    OCTET_RETURN_IF_ERROR(ValidateInterface(field, t));
    if (computed[id]) return mismatch(field, StrCat(Quoted(t.name), " again"), "distinct inputs");
    computed[id] = true;
  }

  std::vector<bool> produced(graph.tensors.size(), false);
  for (const Node& node : graph.nodes) {
    if (static_cast<int>(node.type) >= kNumOpTypes) {
      return Mismatch(node, "type", static_cast<int>(node.type), StrCat("less than ", kNumOpTypes));
    }
    OCTET_RETURN_IF_ERROR(CheckInputs(graph, node));
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const TensorId id = node.inputs[i];
      if (id == kNoTensor) continue;
      const Tensor& t = graph.tensor(id);
      if (IsActivationSlot(node.type, i) ? !computed[id] : !t.is_constant()) {
        return Mismatch(
            node, StrCat("input ", i).c_str(),
            StrCat(t.is_constant() ? "constant" : "activation", " ", Quoted(t.name)),
            IsActivationSlot(node.type, i) ? "an activation computed before" : "a constant");
      }
    }
    if (!InRange(graph, node.output)) {
      return Mismatch(node, "output", StrCat("tensor ", node.output),
                      StrCat("less than ", graph.tensors.size()));
    }
    const Tensor& out = graph.tensor(node.output);
    if (out.is_constant() || computed[node.output]) {
      return Mismatch(node, "output", Quoted(out.name), "an activation that nothing else gives");
    }
    OCTET_RETURN_IF_ERROR(NodeValidator(graph, node).Run());
    computed[node.output] = produced[node.output] = true;
  }

  if (graph.outputs.empty()) return mismatch("number of outputs", 0, "at least 1");
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    const TensorId id = graph.outputs[i];
    const std::string field = StrCat("output ", i);
    if (!InRange(graph, id))
      return mismatch(field, StrCat("tensor ", id), StrCat("less than ", graph.tensors.size()));
    if (!produced[id]) {
      return mismatch(field, Quoted(graph.tensor(id).name), "the output of a node, named once");
    }
    OCTET_RETURN_IF_ERROR(ValidateInterface(field, graph.tensor(id)));
    produced[id] = false;
  }
  for (size_t i = 0; i < graph.tensors.size(); ++i) {
    const Tensor& t = graph.tensors[i];
    if (!t.is_constant() && !computed[i]) {
      return Mismatch(t, "origin", "none", "a graph input or the output of a node");
    }
  }
  OCTET_RETURN_IF_ERROR(CheckPaddedOnce(graph));
  return ValidateMetadata(graph);
}

}  // namespace octet
