// From ONNX to Graph.
//
// ONNX graphs are NCHW (or, from TensorFlow, NCHW inside with transposes at the ends); Graph is
// NHWC. No data is ever transposed at run time: each ONNX value is a Graph tensor plus the way in
// which ONNX sees its elements (Value::order and Value::dims). Reshapes and transposes change only
// that view. An operator then asks for the view that it needs, and weights are permuted to match.
#include <algorithm>
#include <cfloat>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "converter/import/file_bytes.h"
#include "converter/import/importer.h"
#include "converter/import/onnx/constant.h"
#include "converter/import/onnx/reader.h"
#include "converter/import/builder/graph_builder.h"
#include "converter/import/builder/unique_names.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// There is no upper limit: operators seldom change their meaning, and new ones are listed as
/// unsupported.
constexpr int64_t kMinOpset = 9;
constexpr int64_t kMaxExternalElements = 1 << 28;

/// How the elements of a tensor [1,h,w,c] follow each other in the ONNX value.
enum class Order {
  kChannelsFirst,  ///< As in [1,c,h,w].
  kChannelsLast,   ///< As in [1,h,w,c], the tensor's own order.
};

/// What an ONNX name stands for.
struct Value {
  enum class Kind {
    kUnknown,  ///< Result of an operator that is not supported.
    kConstant,
    kActivation,
  };
  Kind kind = Kind::kUnknown;
  std::shared_ptr<const OnnxConstant> constant;

  TensorId id = kNoTensor;
  Order order = Order::kChannelsLast;
  OnnxDims dims;  ///< ONNX's shape: the tensor's elements in `order`, cut into these dimensions.
};

std::string OperatorLabel(const OnnxNode& node) {
  return (node.domain.empty() ? "" : node.domain + ".") + node.op_type;
}

std::string NodeName(const OnnxNode& node) {
  return node.name.empty() && !node.outputs.empty() ? node.outputs[0] : node.name;
}

std::string NodeLabel(const OnnxNode& node) {
  return StrCat(OperatorLabel(node), " '", NodeName(node), "'");
}

/// What to do about an operator that octet does not have; empty when there is nothing to say.
std::string Advice(const OnnxNode& node) {
  static const std::map<std::string, std::string> kAdvice = {
      {"LogSoftmax", "export the network with softmax or without both"},
      {"Sigmoid",
       "as the last operator it can be left out of the export; elsewhere it is not supported"},
      {"Resize", "give the network images of its size"},
      {"Upsample", "give the network images of its size"},
      {"LayerNormalization", "only batch normalization is supported"},
      {"GroupNormalization", "only batch normalization is supported"},
      {"InstanceNormalization", "only batch normalization is supported"},
      {"LpNormalization", "only batch normalization is supported"},
      {"ConvTranspose", "octet runs image classifiers"},
      {"LSTM", "octet runs image classifiers"},
      {"GRU", "octet runs image classifiers"},
      {"RNN", "octet runs image classifiers"},
      {"If", "export it without control flow, with a fixed image size"},
      {"Loop", "export it without control flow, with a fixed image size"},
      {"Scan", "export it without control flow, with a fixed image size"},
      {"ArgMax", "export the network up to the scores"},
      {"TopK", "export the network up to the scores"},
      {"Einsum", "attention is not supported"},
  };
  static const std::set<std::string> kActivations = {
      "Celu", "Elu",   "Erf",  "Gelu",     "HardSigmoid", "HardSwish", "LeakyRelu",
      "Mish", "PRelu", "Selu", "Softplus", "Softsign",    "Swish",     "Tanh"};
  if (node.domain == "com.microsoft")
    return "ONNX Runtime wrote it; convert the file from before its optimization";
  if (node.domain.empty() && kActivations.count(node.op_type) > 0)
    return "of all activation functions ReLU, ReLU6 and clipping are supported";
  const auto it = kAdvice.find(node.op_type);
  return node.domain.empty() && it != kAdvice.end() ? it->second : "";
}

class OnnxImporter {
 public:
  OnnxImporter(const OnnxModel& model, std::string path) : model_(model), path_(std::move(path)) {}

  Result<Graph> Import();

 private:
  using Handler = Status (OnnxImporter::*)(const OnnxNode&);
  static Handler FindHandler(const std::string& op_type);

  // The graph as a whole.
  Status CheckModel();
  Status IndexNodes();
  Status AddInputs();
  Status ImportNodes();
  Status AddOutputs();
  bool InputIsChannelsLast(const std::string& name) const;
  Result<std::string_view> ExternalBytes(const OnnxTensor& tensor);
  Status LoadInitializer(const OnnxTensor& tensor);
  Status ImportNode(const OnnxNode& node);
  Result<bool> TryFold(const OnnxNode& node);

  // Operators.
  Status Conv(const OnnxNode& node);
  Status BatchNormalization(const OnnxNode& node);
  Status Relu(const OnnxNode& node);
  Status Clip(const OnnxNode& node);
  Status ClipTo(const OnnxNode& node, const Value& x, float low, float high);
  Status Arithmetic(const OnnxNode& node);
  Status Sum(const OnnxNode& node);
  Status Pool(const OnnxNode& node);
  Status GlobalPool(const OnnxNode& node);
  Status Reduce(const OnnxNode& node);
  Status Gemm(const OnnxNode& node);
  Status MatMul(const OnnxNode& node);
  Status PixelwiseDense(const OnnxNode& node, const Value& x, const OnnxConstant& weights);
  Status Reshape(const OnnxNode& node);
  Status Transpose(const OnnxNode& node);
  Status PassThrough(const OnnxNode& node);
  Status Cast(const OnnxNode& node);
  Status CastLike(const OnnxNode& node);
  Status Pad(const OnnxNode& node);
  Status Slice(const OnnxNode& node);
  Status Split(const OnnxNode& node);
  Status ReverseChannels(const OnnxNode& node, const Value& x);
  Status EmitSlice(const OnnxNode& node, const Value& x, const std::vector<OnnxSliceRange>& ranges);
  Status Concat(const OnnxNode& node);
  Status Softmax(const OnnxNode& node);
  Status NoteQuantization(const OnnxNode& node);

  // Inputs.
  bool HasInput(const OnnxNode& node, size_t i) const {
    return i < node.inputs.size() && !node.inputs[i].empty();
  }
  const Value& Input(const OnnxNode& node, size_t i) const { return values_.at(node.inputs[i]); }
  Result<const Value*> Activation(const OnnxNode& node, size_t i) const;
  Result<const OnnxConstant*> Floats(const OnnxNode& node, size_t i, const char* what) const;
  Result<std::vector<int64_t>> Integers(const OnnxNode& node, size_t i, const char* what) const;
  /// From the input `i` if the opset is at least `since`, else from the attribute; nothing when
  /// left out.
  Result<std::optional<std::vector<int64_t>>> Axes(const OnnxNode& node, size_t i,
                                                   int64_t since) const;

  // Views of activations.
  const Shape& ShapeOf(const Value& v) const { return graph_.tensor(v.id).shape; }
  int64_t Channels(const Value& v) const { return ShapeOf(v).back(); }
  int64_t Pixels(const Value& v) const { return ShapeOf(v).num_elements() / Channels(v); }
  /// Whether both orders are the same one.
  bool IsLinear(const Value& v) const {
    return v.order == Order::kChannelsLast || Channels(v) == 1 || Pixels(v) == 1;
  }
  std::optional<size_t> ChannelAxis(const Value& v) const;
  Result<TensorId> AsShape(const OnnxNode& node, const Value& v, const Shape& shape);
  Result<TensorId> AsImage(const OnnxNode& node, const Value& v);
  struct View {
    TensorId id = kNoTensor;
    std::vector<int> axes;  ///< Tensor's dimension of each ONNX dimension.
    Order order = Order::kChannelsLast;
  };
  Result<View> AsView(const OnnxNode& node, const Value& v);

  // Emitting.
  Result<TensorId> AddFloats(const std::string& name, const Shape& shape,
                             const std::vector<float>& values);
  Result<TensorId> Emit(OpType type, const OnnxNode& node, const std::string& suffix,
                        std::vector<TensorId> inputs, const Node& attributes = {},
                        const Shape& shape = {});
  Status EmitScaleShift(const OnnxNode& node, const Value& x, const std::vector<float>& scale,
                        const std::vector<float>& shift);
  Status Dense(const OnnxNode& node, const Value& x, const OnnxConstant& weights, bool transposed,
               float alpha, const std::optional<std::vector<float>>& bias, OnnxDims dims);
  Result<std::vector<float>> PerChannel(const Value& x, const OnnxConstant& c) const;
  void SetOutput(const OnnxNode& node, TensorId id, Order order, OnnxDims dims) {
    values_[node.outputs[0]] = Value{Value::Kind::kActivation, nullptr, id, order, std::move(dims)};
  }
  Status WindowAttributes(const OnnxNode& node, int64_t h, int64_t w,
                          std::optional<std::array<int64_t, 2>> kernel, bool ceil_mode,
                          Window* window, std::array<int64_t, 2>* ceil_extra);

  const OnnxModel& model_;
  std::string path_;
  int64_t opset_ = 0;
  Graph graph_;
  std::map<std::string, const OnnxTensor*> initializers_;
  std::map<std::string, size_t> producers_;  ///< Node that computes a name.
  std::map<std::string, std::vector<size_t>> consumers_;
  std::set<std::string> needed_;  ///< Names on the way to an output.
  std::vector<bool> node_needed_;
  std::map<std::string, Value> values_;
  std::map<std::string, FileBytes> external_files_;
  UniqueNames tensor_names_{"#", 2}, node_names_{"#", 2};
  struct UnsupportedOperator {
    std::string label, reason;
    std::vector<std::string> nodes;
  };
  std::vector<UnsupportedOperator> unsupported_;  ///< One for each operator and reason.
  int64_t fold_budget_ = 0;
  std::map<TensorId, Quantization>
      quantizations_;  ///< What QuantizeLinear and DequantizeLinear say.
};

// ---------------------------------------------------------------------------------------------------------------------
// Views

/// The ONNX dimension that runs over the tensor's channels and over nothing else.
std::optional<size_t> OnnxImporter::ChannelAxis(const Value& v) const {
  const int64_t channels = Channels(v);
  const size_t rank = v.dims.size();
  if (v.order == Order::kChannelsFirst || Pixels(v) == 1) {
    for (size_t i = 0; i < rank; ++i) {
      // With one channel any leading 1 will do; the second dimension is ONNX's own choice.
      if (channels == 1 && i == 0 && rank > 1) continue;
      if (Product(v.dims, 0, i) == 1 && v.dims[i] == channels) return i;
    }
  }
  if (v.order == Order::kChannelsLast || channels == 1) {
    if (rank > 0 && v.dims[rank - 1] == channels) return rank - 1;
  }
  return std::nullopt;
}

/// The value's tensor with another shape; its elements must already be in order.
Result<TensorId> OnnxImporter::AsShape(const OnnxNode& node, const Value& v, const Shape& shape) {
  if (ShapeOf(v) == shape) return v.id;
  return Emit(OpType::kReshape, node, "/reshape", {v.id}, {}, shape);
}

/// A tensor [1,h,w,c] for the ONNX value [1,c,h,w].
Result<TensorId> OnnxImporter::AsImage(const OnnxNode& node, const Value& v) {
  if (v.dims.size() != 4 || v.dims[0] != 1) {
    return Unsupported(
        StrCat("its input has shape ", DimsText(v.dims), ", expected [1,channels,height,width]"));
  }
  const Shape nhwc{1, v.dims[2], v.dims[3], v.dims[1]};
  if (v.order == Order::kChannelsFirst && ShapeOf(v) == nhwc) return v.id;
  if (IsLinear(v) && (nhwc[3] == 1 || nhwc[1] * nhwc[2] == 1)) return AsShape(node, v, nhwc);
  return Unsupported(StrCat("its input ", DimsText(v.dims), " is the tensor ",
                            ShapeOf(v).ToString(), " in another order of elements"));
}

/// A tensor whose dimensions correspond to ONNX's one by one.
Result<OnnxImporter::View> OnnxImporter::AsView(const OnnxNode& node, const Value& v) {
  View view;
  if (!v.dims.empty() && v.dims[0] == 1) {
    if (v.dims.size() == 4) {
      const Shape same{1, v.dims[1], v.dims[2], v.dims[3]};
      if (IsLinear(v) && ShapeOf(v) == same) return View{v.id, {0, 1, 2, 3}, Order::kChannelsLast};
      Result<TensorId> image = AsImage(node, v);
      if (image.ok()) return View{*image, {0, 3, 1, 2}, Order::kChannelsFirst};
      if (image.status().code() != StatusCode::kUnsupported) return image.status();
      if (IsLinear(v)) {
        OCTET_ASSIGN_OR_RETURN(view.id, AsShape(node, v, same));
        view.axes = {0, 1, 2, 3};
        return view;
      }
    }
    if (v.dims.size() == 2 && IsLinear(v)) {
      OCTET_ASSIGN_OR_RETURN(view.id, AsShape(node, v, Shape{1, v.dims[1]}));
      view.axes = {0, 1};
      return view;
    }
  }
  return Unsupported(
      StrCat("its input has shape ", DimsText(v.dims),
             ", expected [1,channels,height,width], [1,height,width,channels] or [1,features]"));
}

// ---------------------------------------------------------------------------------------------------------------------
// Inputs

Result<const Value*> OnnxImporter::Activation(const OnnxNode& node, size_t i) const {
  if (!HasInput(node, i)) return Corrupt(StrCat("input ", i, " is missing"));
  const Value& v = Input(node, i);
  if (v.kind != Value::Kind::kActivation)
    return Unsupported(StrCat("its input ", i, " is a constant"));
  return &v;
}

Result<const OnnxConstant*> OnnxImporter::Floats(const OnnxNode& node, size_t i,
                                                 const char* what) const {
  if (!HasInput(node, i)) return Corrupt(StrCat("input ", i, " (", what, ") is missing"));
  const Value& v = Input(node, i);
  if (v.kind != Value::Kind::kConstant)
    return Unsupported(StrCat("its ", what, " is not constant"));
  if (!v.constant->is_float()) return Unsupported(StrCat("its ", what, " is not floating-point"));
  return v.constant.get();
}

Result<std::vector<int64_t>> OnnxImporter::Integers(const OnnxNode& node, size_t i,
                                                    const char* what) const {
  if (!HasInput(node, i)) return Corrupt(StrCat("input ", i, " (", what, ") is missing"));
  const Value& v = Input(node, i);
  if (v.kind != Value::Kind::kConstant)
    return Unsupported(StrCat("its ", what, " is computed at run time"));
  if (v.constant->is_float() || v.constant->dims.size() > 1)
    return Corrupt(StrCat("its ", what, " is not a list of integers"));
  return v.constant->ints;
}

Result<std::optional<std::vector<int64_t>>> OnnxImporter::Axes(const OnnxNode& node, size_t i,
                                                               int64_t since) const {
  if (opset_ >= since) {
    if (!HasInput(node, i)) return std::optional<std::vector<int64_t>>();
    OCTET_ASSIGN_OR_RETURN(std::vector<int64_t> axes, Integers(node, i, "axes"));
    return std::optional(std::move(axes));
  }
  OnnxAttributes attributes(node);
  if (!attributes.Has("axes")) return std::optional<std::vector<int64_t>>();
  std::vector<int64_t> axes = attributes.Ints("axes");
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  return std::optional(std::move(axes));
}

// ---------------------------------------------------------------------------------------------------------------------
// Emitting

Result<TensorId> OnnxImporter::AddFloats(const std::string& name, const Shape& shape,
                                         const std::vector<float>& values) {
  return graph_.AddConstant(tensor_names_.Make(name), DType::kF32, shape, values.data(),
                            values.size() * sizeof(float));
}

/// Adds a node with the window, groups and the like of `attributes`. Without a suffix its output
/// takes the ONNX output's name. `shape` is needed by kReshape only.
Result<TensorId> OnnxImporter::Emit(OpType type, const OnnxNode& node, const std::string& suffix,
                                    std::vector<TensorId> inputs, const Node& attributes,
                                    const Shape& shape) {
  const std::string name =
      node_names_.Make((node.name.empty() ? node.outputs[0] : node.name) + suffix);
  const TensorId out = graph_.AddActivation(tensor_names_.Make(node.outputs[0] + suffix),
                                            DType::kF32, shape);
  Node emitted = attributes;
  emitted.type = type;
  emitted.name = name;
  emitted.inputs = std::move(inputs);
  emitted.output = out;
  OCTET_ASSIGN_OR_RETURN(const Shape inferred, InferShape(graph_, emitted));
  const int64_t elements = inferred.num_elements();
  if (elements < 1 || elements > kMaxElements) {
    return Corrupt(StrCat("its result would have the shape ", inferred.ToString()));
  }
  graph_.tensor(out).shape = inferred;
  graph_.nodes.push_back(std::move(emitted));
  return out;
}

Status OnnxImporter::EmitScaleShift(const OnnxNode& node, const Value& x,
                                    const std::vector<float>& scale,
                                    const std::vector<float>& shift) {
  const int64_t channels = Channels(x);
  OCTET_ASSIGN_OR_RETURN(const TensorId scale_id,
                         AddFloats(node.outputs[0] + "/scale", Shape{channels}, scale));
  OCTET_ASSIGN_OR_RETURN(const TensorId shift_id,
                         AddFloats(node.outputs[0] + "/shift", Shape{channels}, shift));
  OCTET_ASSIGN_OR_RETURN(const TensorId y,
                         Emit(OpType::kScaleShift, node, "", {x.id, scale_id, shift_id}));
  SetOutput(node, y, x.order, x.dims);
  return OkStatus();
}

/// A constant operand as one value per channel of `x`.
Result<std::vector<float>> OnnxImporter::PerChannel(const Value& x, const OnnxConstant& c) const {
  const int64_t channels = Channels(x);
  if (channels > kMaxChannels) return Unsupported(StrCat("its input has ", channels, " channels"));
  if (c.size() == 1 && c.dims.size() <= x.dims.size()) {
    return std::vector<float>(static_cast<size_t>(channels), c.floats[0]);
  }
  const std::optional<size_t> axis = ChannelAxis(x);
  bool fits = axis && c.size() == channels && c.dims.size() <= x.dims.size();
  for (size_t i = 0; fits && i < c.dims.size(); ++i) {
    const size_t onnx_axis = x.dims.size() - c.dims.size() + i;
    fits = c.dims[i] == (onnx_axis == *axis ? channels : 1);
  }
  if (!fits) {
    return Unsupported(StrCat("its constant operand ", DimsText(c.dims),
                              " is neither one value nor one value per channel of ",
                              DimsText(x.dims)));
  }
  return c.floats;
}

// ---------------------------------------------------------------------------------------------------------------------
// Convolution and pooling

/// Reads kernel_shape, strides, dilations, pads and auto_pad. `kernel` is known for convolutions.
/// `ceil_extra` receives what ceil_mode adds to the padding behind.
Status OnnxImporter::WindowAttributes(const OnnxNode& node, int64_t h, int64_t w,
                                      std::optional<std::array<int64_t, 2>> kernel, bool ceil_mode,
                                      Window* window, std::array<int64_t, 2>* ceil_extra) {
  OnnxAttributes attributes(node);
  const std::vector<int64_t> kernel_shape =
      attributes.Ints("kernel_shape", kernel ? std::vector<int64_t>{(*kernel)[0], (*kernel)[1]}
                                             : std::vector<int64_t>());
  const std::vector<int64_t> strides = attributes.Ints("strides", {1, 1});
  const std::vector<int64_t> dilations = attributes.Ints("dilations", {1, 1});
  const std::vector<int64_t> pads = attributes.Ints("pads", {0, 0, 0, 0});
  const std::string auto_pad = attributes.String("auto_pad", "NOTSET");
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (kernel_shape.size() != 2 || strides.size() != 2 || dilations.size() != 2 ||
      pads.size() != 4) {
    return Corrupt(
        "kernel_shape, strides, dilations and pads are not those of a two-dimensional window");
  }
  if (kernel && (kernel_shape[0] != (*kernel)[0] || kernel_shape[1] != (*kernel)[1])) {
    return Corrupt(StrCat("kernel_shape ", DimsText(kernel_shape), " differs from the weights' ",
                          (*kernel)[0], "x", (*kernel)[1]));
  }
  constexpr int64_t kLimit = 1 << 15;
  int values[2][5];  // Kernel, stride, dilation, padding in front and behind.
  *ceil_extra = {0, 0};
  for (int d = 0; d < 2; ++d) {
    const int64_t in = d == 0 ? h : w;
    const int64_t k = kernel_shape[d], s = strides[d], dilation = dilations[d];
    if (k < 1 || s < 1 || dilation < 1 || k > kLimit || s > kLimit || dilation > kLimit) {
      return Corrupt("kernel_shape, strides or dilations are not positive numbers below 32768");
    }
    int64_t front = 0, behind = 0;
    const int64_t span = dilation * (k - 1) + 1;
    if (auto_pad == "NOTSET") {
      front = pads[d];
      behind = pads[d + 2];
    } else if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
      const int64_t total = std::max<int64_t>(0, (CeilDiv(in, s) - 1) * s + span - in);
      front = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      behind = total - front;
    } else if (auto_pad != "VALID") {
      return Corrupt(StrCat("auto_pad is '", auto_pad, "'"));
    }
    if (front < 0 || behind < 0) return Unsupported("its padding is negative");
    if (front > kLimit || behind > kLimit) return Corrupt("its padding is larger than 32768");
    if (ceil_mode && in + front + behind >= span) {
      const int64_t room = in + front + behind - span;
      int64_t out = CeilDiv(room, s) + 1;
      if ((out - 1) * s >= in + front)
        --out;  // A window that would begin behind the image is left out.
      (*ceil_extra)[d] = std::max<int64_t>(0, (out - 1) * s + span - (in + front + behind));
      behind += (*ceil_extra)[d];
    }
    values[d][0] = static_cast<int>(k);
    values[d][1] = static_cast<int>(s);
    values[d][2] = static_cast<int>(dilation);
    values[d][3] = static_cast<int>(front);
    values[d][4] = static_cast<int>(behind);
  }
  *window = Window{values[0][0], values[1][0], values[0][1], values[1][1], values[0][2],
                   values[1][2], values[0][3], values[1][3], values[0][4], values[1][4]};
  return OkStatus();
}

Status OnnxImporter::Conv(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const OnnxConstant* weights, Floats(node, 1, "weights"));
  if (weights->dims.size() != 4)
    return Unsupported(
        StrCat("its weights have shape ", DimsText(weights->dims), ", expected 4 dimensions"));
  OnnxAttributes attributes(node);
  const int64_t groups = attributes.Int("group", 1);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (groups < 1 || groups > kMaxChannels) return Corrupt(StrCat("group is ", groups));
  OCTET_ASSIGN_OR_RETURN(TensorId input, AsImage(node, *x));

  Node conv;
  conv.groups = static_cast<int>(groups);
  std::array<int64_t, 2> ceil_extra;
  OCTET_RETURN_IF_ERROR(WindowAttributes(node, x->dims[2], x->dims[3],
                                         std::array{weights->dims[2], weights->dims[3]}, false,
                                         &conv.window, &ceil_extra));
  Window& w = conv.window;
  const int max_h = w.kernel_h * w.dilation_h - 1, max_w = w.kernel_w * w.dilation_w - 1;
  if (w.pad_top > max_h || w.pad_bottom > max_h || w.pad_left > max_w || w.pad_right > max_w) {
    // More padding than the window covers is an operator of its own.
    Node pad;
    pad.begin = {0, w.pad_top, w.pad_left, 0};
    pad.end = {0, w.pad_bottom, w.pad_right, 0};
    OCTET_ASSIGN_OR_RETURN(input, Emit(OpType::kPad, node, "/pad", {input}, pad));
    w.pad_top = w.pad_left = w.pad_bottom = w.pad_right = 0;
  }
  const OnnxDims& d = weights->dims;
  const OnnxConstant ohwi = TransposeConstant(*weights, {0, 2, 3, 1});
  OCTET_ASSIGN_OR_RETURN(const TensorId weights_id,
                         AddFloats(node.inputs[1], Shape{d[0], d[2], d[3], d[1]}, ohwi.floats));
  std::vector<TensorId> inputs{input, weights_id};
  if (HasInput(node, 2)) {
    OCTET_ASSIGN_OR_RETURN(const OnnxConstant* bias, Floats(node, 2, "bias"));
    if (bias->dims != OnnxDims{d[0]})
      return Corrupt(
          StrCat("its bias has shape ", DimsText(bias->dims), ", expected [", d[0], "]"));
    OCTET_ASSIGN_OR_RETURN(const TensorId bias_id,
                           AddFloats(node.inputs[2], Shape{d[0]}, bias->floats));
    inputs.push_back(bias_id);
  }
  OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kConv2d, node, "", inputs, conv));
  const Shape& shape = graph_.tensor(y).shape;
  SetOutput(node, y, Order::kChannelsFirst, {1, shape[3], shape[1], shape[2]});
  return OkStatus();
}

Status OnnxImporter::Pool(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const TensorId input, AsImage(node, *x));
  OnnxAttributes attributes(node);
  const bool ceil_mode = attributes.Int("ceil_mode", 0) != 0;
  const bool count_include_pad = attributes.Int("count_include_pad", 0) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  const bool average = node.op_type == "AveragePool";
  Node pool;
  std::array<int64_t, 2> ceil_extra;
  OCTET_RETURN_IF_ERROR(WindowAttributes(node, x->dims[2], x->dims[3], std::nullopt, ceil_mode,
                                         &pool.window, &ceil_extra));
  if (pool.window.dilation_h != 1 || pool.window.dilation_w != 1)
    return Unsupported("its window is dilated");
  if (average && count_include_pad && (ceil_extra[0] > 0 || ceil_extra[1] > 0)) {
    return Unsupported("ceil_mode adds a partial window while count_include_pad is set");
  }
  pool.count_include_pad = average && count_include_pad;
  OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(average ? OpType::kAveragePool : OpType::kMaxPool,
                                                node, "", {input}, pool));
  const Shape& shape = graph_.tensor(y).shape;
  SetOutput(node, y, Order::kChannelsFirst, {1, shape[3], shape[1], shape[2]});
  return OkStatus();
}

Status OnnxImporter::GlobalPool(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const TensorId input, AsImage(node, *x));
  const Shape shape = graph_.tensor(input).shape;
  const bool average = node.op_type == "GlobalAveragePool";
  Node pool;
  if (!average) {
    if (shape[1] > 4096 || shape[2] > 4096)
      return Unsupported("its input is larger than 4096 pixels");
    pool.window.kernel_h = static_cast<int>(shape[1]);
    pool.window.kernel_w = static_cast<int>(shape[2]);
  }
  OCTET_ASSIGN_OR_RETURN(
      const TensorId y,
      Emit(average ? OpType::kGlobalAveragePool : OpType::kMaxPool, node, "", {input}, pool));
  SetOutput(node, y, Order::kChannelsFirst, {1, shape[3], 1, 1});
  return OkStatus();
}

/// ReduceMean and ReduceMax of pixels.
Status OnnxImporter::Reduce(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const auto listed, Axes(node, 1, 18));
  OnnxAttributes attributes(node);
  const bool keep = attributes.Int("keepdims", 1) != 0;
  const bool no_axes_is_identity = attributes.Int("noop_with_empty_axes", 0) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  const bool none = !listed || listed->empty();
  std::vector<bool> reduced(x->dims.size(), none && !no_axes_is_identity);
  if (!none) {
    for (int64_t a : *listed) {
      OCTET_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(a, x->dims.size()));
      reduced[axis] = true;
    }
  }
  OnnxDims dims;
  const std::optional<size_t> channel_axis = ChannelAxis(*x);
  bool any = false, all_pixels = channel_axis.has_value(), channels = false;
  for (size_t i = 0; i < x->dims.size(); ++i) {
    if (!reduced[i] || keep) dims.push_back(reduced[i] ? 1 : x->dims[i]);
    if (x->dims[i] == 1) continue;
    any = any || reduced[i];
    if (channel_axis && i == *channel_axis) {
      channels = reduced[i];
    } else {
      all_pixels = all_pixels && reduced[i];
    }
  }
  if (!any) {  // Of one element each.
    SetOutput(node, x->id, x->order, dims);
    return OkStatus();
  }
  const bool mean = node.op_type == "ReduceMean";
  if (!channels && all_pixels && mean && ShapeOf(*x).rank() == 4) {
    OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kGlobalAveragePool, node, "", {x->id}));
    SetOutput(node, y, x->order, dims);
    return OkStatus();
  }
  const Status unsupported =
      Unsupported(StrCat("it reduces other axes than height and width of ", DimsText(x->dims)));
  if (channels || ShapeOf(*x).rank() != 4) return unsupported;
  // One window over all rows, all columns, or both.
  std::array<bool, 2> over{true, true};
  if (!all_pixels) {
    OCTET_ASSIGN_OR_RETURN(const View view, AsView(node, *x));
    over = {false, false};
    for (size_t i = 0; i < x->dims.size(); ++i) {
      if (x->dims[i] > 1 && reduced[i]) over[static_cast<size_t>(view.axes[i] - 1)] = true;
    }
    if (view.id != x->id) return unsupported;
  }
  const Shape shape = ShapeOf(*x);
  if (shape[1] > 4096 || shape[2] > 4096)
    return Unsupported("its input is larger than 4096 pixels");
  Node pool;
  pool.window.kernel_h = over[0] ? static_cast<int>(shape[1]) : 1;
  pool.window.kernel_w = over[1] ? static_cast<int>(shape[2]) : 1;
  OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(mean ? OpType::kAveragePool : OpType::kMaxPool,
                                                node, "", {x->id}, pool));
  SetOutput(node, y, x->order, dims);
  return OkStatus();
}

// ---------------------------------------------------------------------------------------------------------------------
// Elementwise

Status OnnxImporter::BatchNormalization(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OnnxAttributes attributes(node);
  const float epsilon = attributes.Float("epsilon", 1e-5f);
  const bool training = attributes.Int("training_mode", 0) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (training) return Unsupported("it is in training mode; export the network in evaluation mode");
  const std::optional<size_t> axis = ChannelAxis(*x);
  if (!axis || *axis != 1) {
    return Unsupported(StrCat("its input ", DimsText(x->dims),
                              " does not have the channels in its second dimension"));
  }
  const int64_t channels = Channels(*x);
  std::array<const OnnxConstant*, 4> p{};
  constexpr const char* kNames[] = {"scale", "bias", "mean", "variance"};
  for (size_t i = 0; i < 4; ++i) {
    OCTET_ASSIGN_OR_RETURN(p[i], Floats(node, i + 1, kNames[i]));
    if (p[i]->dims != OnnxDims{channels}) {
      return Corrupt(StrCat("its ", kNames[i], " has shape ", DimsText(p[i]->dims), ", expected [",
                            channels, "]"));
    }
  }
  std::vector<float> scale, shift;
  for (int64_t c = 0; c < channels; ++c) {
    const double spread = static_cast<double>(p[3]->floats[c]) + epsilon;
    if (!(spread > 0))
      return InvalidArgument(StrCat("its variance is ", p[3]->floats[c], " at channel ", c));
    const double s = p[0]->floats[c] / std::sqrt(spread);
    scale.push_back(static_cast<float>(s));
    shift.push_back(static_cast<float>(p[1]->floats[c] - p[2]->floats[c] * s));
  }
  return EmitScaleShift(node, *x, scale, shift);
}

Status OnnxImporter::Relu(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kRelu, node, "", {x->id}));
  SetOutput(node, y, x->order, x->dims);
  return OkStatus();
}

Status OnnxImporter::Clip(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  float low = -FLT_MAX, high = FLT_MAX;
  if (opset_ < 11) {
    OnnxAttributes attributes(node);
    low = attributes.Float("min", low);
    high = attributes.Float("max", high);
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  } else {
    for (size_t i = 1; i <= 2; ++i) {
      if (!HasInput(node, i)) continue;
      OCTET_ASSIGN_OR_RETURN(const OnnxConstant* limit, Floats(node, i, i == 1 ? "min" : "max"));
      if (limit->size() != 1) return Corrupt("its limits are not single values");
      (i == 1 ? low : high) = limit->floats[0];
    }
  }
  return ClipTo(node, *x, low, high);
}

/// max(low, min(high, x)). The engine has the limits 0 and 6; others are moved there and back.
/// -FLT_MAX and FLT_MAX stand for no limit.
Status OnnxImporter::ClipTo(const OnnxNode& node, const Value& x, float low, float high) {
  const bool has_low = low > -FLT_MAX, has_high = high < FLT_MAX;
  if (!has_low && !has_high) {
    SetOutput(node, x.id, x.order, x.dims);
    return OkStatus();
  }
  if (!(low < high)) return Unsupported(StrCat("it clips to ", low, "..", high));
  const auto emit_relu = [&](const OnnxNode& at, const Value& v, bool six) {
    const Result<TensorId> y = Emit(six ? OpType::kRelu6 : OpType::kRelu, at, "", {v.id});
    if (!y.ok()) return y.status();
    SetOutput(at, *y, v.order, v.dims);
    return OkStatus();
  };
  if (low == 0 && (high == 6 || !has_high)) return emit_relu(node, x, has_high);
  // With both limits (x - low) / unit is clipped to 0..6, with one x - low or high - x to 0 and up.
  const double unit = has_low && has_high ? (static_cast<double>(high) - low) / 6
                      : has_low           ? 1.0
                                          : -1.0;
  const float origin = has_low ? low : high;
  const auto all = [&](double v) {
    return std::vector<float>(static_cast<size_t>(Channels(x)), static_cast<float>(v));
  };
  if (Channels(x) > kMaxChannels)
    return Unsupported(StrCat("its input has ", Channels(x), " channels"));
  OnnxNode before = node, middle = node;
  before.outputs = {node.outputs[0] + "/before"};
  middle.outputs = {node.outputs[0] + "/clipped"};
  OCTET_RETURN_IF_ERROR(EmitScaleShift(before, x, all(1 / unit), all(-origin / unit)));
  OCTET_RETURN_IF_ERROR(emit_relu(middle, values_.at(before.outputs[0]), has_low && has_high));
  return EmitScaleShift(node, values_.at(middle.outputs[0]), all(unit), all(origin));
}

Status OnnxImporter::Arithmetic(const OnnxNode& node) {
  if (node.inputs.size() != 2 || !HasInput(node, 0) || !HasInput(node, 1))
    return Corrupt("it does not have two inputs");
  const std::string& op = node.op_type;
  const Value& a = Input(node, 0);
  const Value& b = Input(node, 1);
  if (a.kind == Value::Kind::kActivation && b.kind == Value::Kind::kActivation) {
    if (op == "Sub") {
      OnnxNode negate{node.name, "Neg", "", {}, {node.outputs[0] + "/negated"}, {}};
      if (Channels(b) > kMaxChannels)
        return Unsupported(StrCat("its input has ", Channels(b), " channels"));
      const std::vector<float> minus(static_cast<size_t>(Channels(b)), -1.0f);
      OCTET_RETURN_IF_ERROR(
          EmitScaleShift(negate, b, minus, std::vector<float>(minus.size(), 0.0f)));
      return Arithmetic(
          {node.name, "Add", "", {node.inputs[0], negate.outputs[0]}, node.outputs, {}});
    }
    if (op != "Add" && op != "Mul") return Unsupported("of two activations");
    if (a.dims != b.dims) {
      return Unsupported(StrCat("of activations of different shapes, ", DimsText(a.dims), " and ",
                                DimsText(b.dims)));
    }
    const Value* x = &a;
    TensorId other = b.id;
    if (a.order != b.order || !(ShapeOf(a) == ShapeOf(b))) {
      // A linear operand takes the other's shape. Two linear ones have any order.
      if (!IsLinear(a) || !IsLinear(b))
        return Unsupported("of activations in different orders of elements");
      OCTET_ASSIGN_OR_RETURN(other, AsShape(node, b, ShapeOf(a)));
    }
    OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(op == "Add" ? OpType::kAdd : OpType::kMul, node,
                                                  "", {x->id, other}));
    SetOutput(node, y, x->order, x->dims);
    return OkStatus();
  }
  const bool constant_first = a.kind == Value::Kind::kConstant;
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, constant_first ? 1 : 0));
  OCTET_ASSIGN_OR_RETURN(const OnnxConstant* c,
                         Floats(node, constant_first ? 0 : 1, "constant operand"));
  if (op == "Max" || op == "Min") {
    if (c->size() != 1 || c->dims.size() > x->dims.size())
      return Unsupported("with more than one constant");
    return ClipTo(node, *x, op == "Max" ? c->floats[0] : -FLT_MAX,
                  op == "Min" ? c->floats[0] : FLT_MAX);
  }
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> v, PerChannel(*x, *c));
  std::vector<float> scale(v.size(), 1.0f), shift(v.size(), 0.0f);
  for (size_t i = 0; i < v.size(); ++i) {
    if (op == "Add") {
      shift[i] = v[i];
    } else if (op == "Mul") {
      scale[i] = v[i];
    } else if (op == "Sub") {
      scale[i] = constant_first ? -1.0f : 1.0f;
      shift[i] = constant_first ? v[i] : -v[i];
    } else {
      if (constant_first) return Unsupported("of a constant by an activation");
      scale[i] = static_cast<float>(1.0 / static_cast<double>(v[i]));
    }
  }
  return EmitScaleShift(node, *x, scale, shift);
}

Status OnnxImporter::Sum(const OnnxNode& node) {
  if (node.inputs.size() == 1) return PassThrough(node);
  // One addition after the other, each a node of two inputs.
  OnnxNode step{node.name, "Add", "", {}, {}, {}};
  std::string left = node.inputs.empty() ? "" : node.inputs[0];
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const bool last = i + 1 == node.inputs.size();
    step.inputs = {left, node.inputs[i]};
    step.outputs = {last ? node.outputs[0] : StrCat(node.outputs[0], "/sum", i)};
    OCTET_RETURN_IF_ERROR(Arithmetic(step));
    left = step.outputs[0];
  }
  return node.inputs.empty() ? Corrupt("it has no inputs") : OkStatus();
}

// ---------------------------------------------------------------------------------------------------------------------
// Dense

/// y = alpha * x * W + bias. `weights` is [in, out], or [out, in] when `transposed`.
Status OnnxImporter::Dense(const OnnxNode& node, const Value& x, const OnnxConstant& weights,
                           bool transposed, float alpha,
                           const std::optional<std::vector<float>>& bias, OnnxDims dims) {
  const int64_t in = weights.dims[transposed ? 1 : 0], out = weights.dims[transposed ? 0 : 1];
  if (in < 1 || out < 1 || NumElements(x.dims) != in) {
    return Corrupt(StrCat("its weights ", DimsText(weights.dims), " do not fit an input of ",
                          NumElements(x.dims), " features"));
  }
  // ONNX counts the features of a flattened image channel by channel, the tensor has them pixel by
  // pixel.
  const bool permute = !IsLinear(x);
  const int64_t pixels = Pixels(x), channels = Channels(x);
  std::vector<float> oi(static_cast<size_t>(in * out));
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) {
      const int64_t from = permute ? (i % channels) * pixels + i / channels : i;
      oi[o * in + i] =
          alpha * (transposed ? weights.floats[o * in + from] : weights.floats[from * out + o]);
    }
  }
  TensorId input = x.id;
  if (!(ShapeOf(x) == Shape{1, in})) {
    OCTET_ASSIGN_OR_RETURN(input,
                           Emit(OpType::kReshape, node, "/flatten", {x.id}, {}, Shape{1, in}));
  }
  OCTET_ASSIGN_OR_RETURN(const TensorId weights_id, AddFloats(node.inputs[1], Shape{out, in}, oi));
  std::vector<TensorId> inputs{input, weights_id};
  if (bias) {
    OCTET_ASSIGN_OR_RETURN(const TensorId bias_id, AddFloats(node.inputs[2], Shape{out}, *bias));
    inputs.push_back(bias_id);
  }
  OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kDense, node, "", inputs));
  SetOutput(node, y, Order::kChannelsLast, std::move(dims));
  return OkStatus();
}

Status OnnxImporter::Gemm(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const OnnxConstant* weights, Floats(node, 1, "weights"));
  OnnxAttributes attributes(node);
  const float alpha = attributes.Float("alpha", 1.0f), beta = attributes.Float("beta", 1.0f);
  const bool transpose_a = attributes.Int("transA", 0) != 0,
             transpose_b = attributes.Int("transB", 0) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (transpose_a) return Unsupported("transA is set");
  if (weights->dims.size() != 2)
    return Corrupt(StrCat("its weights have shape ", DimsText(weights->dims)));
  if (x->dims.size() != 2 || x->dims[0] != 1) {
    return Unsupported(
        StrCat("its input has shape ", DimsText(x->dims), ", expected [1,features]"));
  }
  const int64_t out = weights->dims[transpose_b ? 0 : 1];
  std::optional<std::vector<float>> bias;
  if (HasInput(node, 2)) {
    OCTET_ASSIGN_OR_RETURN(const OnnxConstant* c, Floats(node, 2, "bias"));
    const bool row =
        c->size() == out && (c->dims.size() == 1 || (c->dims.size() == 2 && c->dims[0] == 1));
    const bool single = c->size() == 1 && c->dims.size() <= 2;
    if (!row && !single)
      return Unsupported(
          StrCat("its bias has shape ", DimsText(c->dims), ", expected [", out, "]"));
    if (out > kMaxChannels) return Unsupported(StrCat("it has ", out, " outputs"));
    bias.emplace(static_cast<size_t>(out));
    for (int64_t i = 0; i < out; ++i) (*bias)[i] = beta * c->floats[row ? i : 0];
  }
  return Dense(node, *x, *weights, transpose_b, alpha, bias, {1, out});
}

Status OnnxImporter::MatMul(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const OnnxConstant* weights, Floats(node, 1, "second operand"));
  if (weights->dims.size() != 2)
    return Unsupported(
        StrCat("its second operand has shape ", DimsText(weights->dims), ", expected [in,out]"));
  const size_t rank = x->dims.size();
  if (rank < 2 || Product(x->dims, 0, rank - 1) != 1) return PixelwiseDense(node, *x, *weights);
  OnnxDims dims = x->dims;
  dims[rank - 1] = weights->dims[1];
  return Dense(node, *x, *weights, false, 1.0f, std::nullopt, dims);
}

/// A dense layer on the channels of every pixel: a convolution of one pixel.
Status OnnxImporter::PixelwiseDense(const OnnxNode& node, const Value& x,
                                    const OnnxConstant& weights) {
  const std::optional<size_t> axis = ChannelAxis(x);
  if (!axis || *axis + 1 != x.dims.size() || ShapeOf(x).rank() != 4) {
    return Unsupported(StrCat("its input has shape ", DimsText(x.dims),
                              ", expected [1,features] or [1,height,width,channels]"));
  }
  const int64_t in = weights.dims[0], out = weights.dims[1];
  if (in != Channels(x) || out < 1) {
    return Corrupt(StrCat("its weights ", DimsText(weights.dims), " do not fit an input of ",
                          Channels(x), " features"));
  }
  OCTET_ASSIGN_OR_RETURN(
      const TensorId weights_id,
      AddFloats(node.inputs[1], Shape{out, 1, 1, in}, TransposeConstant(weights, {1, 0}).floats));
  OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kConv2d, node, "", {x.id, weights_id}));
  OnnxDims dims = x.dims;
  dims.back() = out;
  SetOutput(node, y, x.order, std::move(dims));
  return OkStatus();
}

// ---------------------------------------------------------------------------------------------------------------------
// Views and moves

Status OnnxImporter::Reshape(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  const std::string& op = node.op_type;
  OnnxAttributes attributes(node);
  OnnxDims dims;
  if (op == "Reshape") {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> target, Integers(node, 1, "shape"));
    const bool allow_zero = attributes.Int("allowzero", 0) != 0;
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
    OCTET_ASSIGN_OR_RETURN(dims, ResolveReshape(x->dims, target, allow_zero));
  } else if (op == "Flatten") {
    const int64_t raw_axis = attributes.Int("axis", 1);
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
    const int64_t rank = static_cast<int64_t>(x->dims.size());
    if (raw_axis < -rank || raw_axis > rank)
      return Corrupt(StrCat("axis ", raw_axis, " is outside ", rank, " dimensions"));
    const size_t axis = static_cast<size_t>(raw_axis < 0 ? raw_axis + rank : raw_axis);
    dims = {Product(x->dims, 0, axis), Product(x->dims, axis, x->dims.size())};
  } else if (op == "Squeeze") {
    OCTET_ASSIGN_OR_RETURN(const auto axes, Axes(node, 1, 13));
    OCTET_ASSIGN_OR_RETURN(dims, ResolveSqueeze(x->dims, axes));
  } else {
    OCTET_ASSIGN_OR_RETURN(const auto axes, Axes(node, 1, 13));
    if (!axes) return Corrupt("it has no axes");
    OCTET_ASSIGN_OR_RETURN(dims, ResolveUnsqueeze(x->dims, *axes));
  }
  SetOutput(node, x->id, x->order, std::move(dims));
  return OkStatus();
}

Status OnnxImporter::Transpose(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const std::vector<int> perm, TransposePermutation(node, x->dims.size()));
  // Dimensions of size 1 may move freely.
  OnnxDims dims;
  std::vector<int> moved;  // Old positions of the others.
  for (int p : perm) {
    dims.push_back(x->dims[p]);
    if (x->dims[p] != 1) moved.push_back(p);
  }
  if (std::is_sorted(moved.begin(), moved.end())) {
    SetOutput(node, x->id, x->order, dims);
    return OkStatus();
  }
  const std::optional<size_t> channel_axis = ChannelAxis(*x);
  if (channel_axis) {
    const int axis = static_cast<int>(*channel_axis);
    if (x->order == Order::kChannelsFirst && moved.back() == axis &&
        std::is_sorted(moved.begin(), moved.end() - 1)) {
      SetOutput(node, x->id, Order::kChannelsLast, dims);
      return OkStatus();
    }
    if (x->order == Order::kChannelsLast && moved.front() == axis &&
        std::is_sorted(moved.begin() + 1, moved.end())) {
      SetOutput(node, x->id, Order::kChannelsFirst, dims);
      return OkStatus();
    }
  }
  return Unsupported(StrCat("it does not only move between NCHW and NHWC: shape ",
                            DimsText(x->dims), ", perm ",
                            DimsText(OnnxDims(perm.begin(), perm.end()))));
}

Status OnnxImporter::PassThrough(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  if (node.op_type == "Dropout" && HasInput(node, 2)) {
    const Value& training = Input(node, 2);
    const bool off = training.kind == Value::Kind::kConstant && training.constant->size() == 1 &&
                     !training.constant->is_float() && training.constant->ints[0] == 0;
    if (!off) return Unsupported("it is in training mode; export the network in evaluation mode");
  }
  SetOutput(node, x->id, x->order, x->dims);
  return OkStatus();
}

/// All floating-point types are computed as float32, and an integer image becomes its values.
Status OnnxImporter::Cast(const OnnxNode& node) {
  OnnxAttributes attributes(node);
  const auto to = static_cast<OnnxType>(attributes.Int("to", 0));
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (!IsFloatType(to)) return Unsupported(StrCat("to element type ", static_cast<int>(to)));
  return PassThrough(node);
}

Status OnnxImporter::CastLike(const OnnxNode& node) {
  if (!HasInput(node, 0) || !HasInput(node, 1)) return Corrupt("it does not have two inputs");
  const Value& x = Input(node, 0);
  const Value& like = Input(node, 1);
  if (like.kind == Value::Kind::kConstant && !like.constant->is_float()) {
    return Unsupported(StrCat("to element type ", static_cast<int>(like.constant->type)));
  }
  if (x.kind != Value::Kind::kConstant) return PassThrough(node);
  OCTET_ASSIGN_OR_RETURN(OnnxConstant cast,
                         CastConstant(*x.constant, OnnxType::kFloat, &fold_budget_));
  values_[node.outputs[0]] = Value{Value::Kind::kConstant,
                                   std::make_shared<const OnnxConstant>(std::move(cast)),
                                   kNoTensor,
                                   Order::kChannelsLast,
                                   {}};
  return OkStatus();
}

Status OnnxImporter::Pad(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OnnxAttributes attributes(node);
  const std::string mode = attributes.String("mode", "constant");
  const size_t rank = x->dims.size();
  std::vector<int64_t> pads;
  float value = 0;
  std::vector<int64_t> axes;
  for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(i));
  if (opset_ < 11) {
    pads = attributes.Ints("pads");
    value = attributes.Float("value", 0.0f);
  } else {
    OCTET_ASSIGN_OR_RETURN(pads, Integers(node, 1, "pads"));
    if (HasInput(node, 2)) {
      OCTET_ASSIGN_OR_RETURN(const OnnxConstant* c, Floats(node, 2, "value"));
      if (c->size() != 1) return Corrupt("its value is not one element");
      value = c->floats[0];
    }
    if (HasInput(node, 3)) {
      OCTET_ASSIGN_OR_RETURN(axes, Integers(node, 3, "axes"));
    }
  }
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (pads.size() != 2 * axes.size())
    return Corrupt(StrCat(pads.size(), " pads for ", axes.size(), " axes"));
  if (std::all_of(pads.begin(), pads.end(), [](int64_t p) { return p == 0; })) {
    SetOutput(node, x->id, x->order, x->dims);
    return OkStatus();
  }
  if (mode != "constant") return Unsupported(StrCat("mode '", mode, "'"));
  OCTET_ASSIGN_OR_RETURN(const View view, AsView(node, *x));
  Node pad;
  pad.pad_value = value;
  OnnxDims dims = x->dims;
  for (size_t i = 0; i < axes.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(axes[i], rank));
    const int64_t begin = pads[i], end = pads[i + axes.size()];
    if (begin < 0 || end < 0) return Unsupported("its padding is negative");
    if (begin > kMaxElements || end > kMaxElements) return Corrupt("its padding is too large");
    if (axis == 0 && (begin != 0 || end != 0)) return Unsupported("it pads the batch");
    if (pad.begin[view.axes[axis]] != 0 || pad.end[view.axes[axis]] != 0)
      return Corrupt(StrCat("it pads axis ", axis, " twice"));
    pad.begin[view.axes[axis]] = static_cast<int32_t>(begin);
    pad.end[view.axes[axis]] = static_cast<int32_t>(end);
    dims[axis] += begin + end;
  }
  OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kPad, node, "", {view.id}, pad));
  SetOutput(node, y, view.order, dims);
  return OkStatus();
}

Status OnnxImporter::Slice(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  std::vector<int64_t> starts, ends, axes, steps;
  if (opset_ < 10) {
    OnnxAttributes attributes(node);
    starts = attributes.Ints("starts");
    ends = attributes.Ints("ends");
    axes = attributes.Ints("axes");
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  } else {
    OCTET_ASSIGN_OR_RETURN(starts, Integers(node, 1, "starts"));
    OCTET_ASSIGN_OR_RETURN(ends, Integers(node, 2, "ends"));
    if (HasInput(node, 3)) {
      OCTET_ASSIGN_OR_RETURN(axes, Integers(node, 3, "axes"));
    }
    if (HasInput(node, 4)) {
      OCTET_ASSIGN_OR_RETURN(steps, Integers(node, 4, "steps"));
    }
  }
  OCTET_ASSIGN_OR_RETURN(const auto ranges, ResolveSlice(x->dims, starts, ends, axes, steps));
  return EmitSlice(node, *x, ranges);
}

/// The part of `x` that `ranges`, one for each dimension, say.
Status OnnxImporter::EmitSlice(const OnnxNode& node, const Value& x,
                               const std::vector<OnnxSliceRange>& ranges) {
  bool whole = true;
  OnnxDims dims;
  std::optional<size_t> backwards;
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (ranges[i].count < 1) return Unsupported("its result is empty");
    if (ranges[i].step < 0 && (backwards || ranges[i].step != -1))
      return Unsupported("its step is negative");
    if (ranges[i].step < 0) backwards = i;
    whole = whole && ranges[i].count == x.dims[i];
    dims.push_back(ranges[i].count);
  }
  if (backwards) {
    if (!whole || backwards != ChannelAxis(x))
      return Unsupported("its step is negative; only channels can be reversed");
    return ReverseChannels(node, x);
  }
  if (whole) {
    SetOutput(node, x.id, x.order, dims);
    return OkStatus();
  }
  OCTET_ASSIGN_OR_RETURN(const View view, AsView(node, x));
  Node slice;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const int axis = view.axes[i];
    slice.begin[axis] = static_cast<int32_t>(ranges[i].begin);
    slice.step[axis] = static_cast<int32_t>(ranges[i].step);
    slice.end[axis] =
        static_cast<int32_t>(ranges[i].begin + (ranges[i].count - 1) * ranges[i].step + 1);
  }
  OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kSlice, node, "", {view.id}, slice));
  SetOutput(node, y, view.order, dims);
  return OkStatus();
}

/// RGB to BGR and back: a convolution of one pixel whose weights are ones.
Status OnnxImporter::ReverseChannels(const OnnxNode& node, const Value& x) {
  const int64_t n = Channels(x);
  if (n > 64 || ShapeOf(x).rank() != 4)
    return Unsupported(StrCat("it reverses ", n, " channels; up to 64 of an image are supported"));
  std::vector<float> weights(static_cast<size_t>(n * n), 0.0f);
  for (int64_t c = 0; c < n; ++c) weights[static_cast<size_t>(c * n + n - 1 - c)] = 1.0f;
  OCTET_ASSIGN_OR_RETURN(const TensorId weights_id,
                         AddFloats(node.outputs[0] + "/reverse", Shape{n, 1, 1, n}, weights));
  OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kConv2d, node, "", {x.id, weights_id}));
  SetOutput(node, y, x.order, x.dims);
  return OkStatus();
}

Status OnnxImporter::Split(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OnnxAttributes attributes(node);
  const int64_t raw_axis = attributes.Int("axis", 0);
  std::vector<int64_t> sizes = attributes.Ints("split");
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  OCTET_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(raw_axis, x->dims.size()));
  if (opset_ >= 13 && HasInput(node, 1)) {
    OCTET_ASSIGN_OR_RETURN(sizes, Integers(node, 1, "split"));
  }
  const int64_t parts = static_cast<int64_t>(node.outputs.size());
  int64_t rest = x->dims[axis];
  if (sizes.empty()) {  // Equal parts, and a smaller last one.
    const int64_t part = CeilDiv(rest, parts);
    for (int64_t i = 0; i < parts; ++i) {
      sizes.push_back(std::min(part, rest));
      rest -= sizes.back();
    }
    rest = x->dims[axis];
  }
  if (static_cast<int64_t>(sizes.size()) != parts)
    return Corrupt(StrCat(sizes.size(), " parts for ", parts, " outputs"));
  std::vector<OnnxSliceRange> ranges;
  for (int64_t d : x->dims) ranges.push_back({0, 1, d});
  ranges[axis].count = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 1 || sizes[i] > rest)
      return Corrupt(
          StrCat("its parts ", DimsText(sizes), " do not fit an axis of ", x->dims[axis]));
    rest -= sizes[i];
    ranges[axis] = {ranges[axis].begin + ranges[axis].count, 1, sizes[i]};
    if (needed_.count(node.outputs[i]) == 0) continue;
    OCTET_RETURN_IF_ERROR(
        EmitSlice({node.name, "Slice", "", node.inputs, {node.outputs[i]}, {}}, *x, ranges));
  }
  if (rest != 0)
    return Corrupt(
        StrCat("its parts ", DimsText(sizes), " do not fill an axis of ", x->dims[axis]));
  return OkStatus();
}

Status OnnxImporter::Concat(const OnnxNode& node) {
  OnnxAttributes attributes(node);
  const int64_t raw_axis = attributes.Int("axis", 1);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  OCTET_ASSIGN_OR_RETURN(const Value* first, Activation(node, 0));
  if (node.inputs.size() == 1) return PassThrough(node);
  OCTET_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(raw_axis, first->dims.size()));
  if (axis == 0) return Unsupported("it concatenates along the batch");
  std::vector<TensorId> inputs;
  View common;
  OnnxDims dims = first->dims;
  dims[axis] = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, i));
    bool fits = x->dims.size() == dims.size();
    for (size_t d = 0; fits && d < dims.size(); ++d)
      fits = static_cast<int>(d) == axis || x->dims[d] == dims[d];
    if (!fits)
      return Corrupt(
          StrCat("its inputs ", DimsText(first->dims), " and ", DimsText(x->dims), " do not fit"));
    dims[axis] += x->dims[axis];
    OCTET_ASSIGN_OR_RETURN(const View view, AsView(node, *x));
    if (i == 0) common = view;
    if (view.axes != common.axes)
      return Unsupported("of activations in different orders of elements");
    inputs.push_back(view.id);
  }
  Node concat;
  concat.axis = common.axes[axis];
  OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kConcat, node, "", inputs, concat));
  SetOutput(node, y, common.order, dims);
  return OkStatus();
}

Status OnnxImporter::Softmax(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OnnxAttributes attributes(node);
  const int64_t raw_axis = attributes.Int("axis", opset_ < 13 ? 1 : -1);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  const size_t rank = x->dims.size();
  OCTET_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(raw_axis, rank));
  const auto unsupported = [&] {
    return Unsupported(StrCat("over axis ", raw_axis, " of ", DimsText(x->dims),
                              "; only over all elements or over the channels"));
  };
  // Before opset 13 the axis is where the input is cut into two dimensions.
  const int64_t over = opset_ < 13 ? Product(x->dims, axis, rank) : x->dims[axis];
  TensorId input = x->id;
  if (over == NumElements(x->dims) && IsLinear(*x)) {
    if (Channels(*x) != over) {
      OCTET_ASSIGN_OR_RETURN(input, AsShape(node, *x, Shape{1, over}));
    }
  } else {
    const std::optional<size_t> channel_axis = ChannelAxis(*x);
    if (!channel_axis || static_cast<int>(*channel_axis) != axis || over != Channels(*x))
      return unsupported();
  }
  OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kSoftmax, node, "", {input}));
  SetOutput(node, y, x->order, x->dims);
  return OkStatus();
}

// ---------------------------------------------------------------------------------------------------------------------
// The graph as a whole

OnnxImporter::Handler OnnxImporter::FindHandler(const std::string& op_type) {
  static const std::map<std::string, Handler> kHandlers = {
      {"Add", &OnnxImporter::Arithmetic},
      {"AveragePool", &OnnxImporter::Pool},
      {"BatchNormalization", &OnnxImporter::BatchNormalization},
      {"Cast", &OnnxImporter::Cast},
      {"CastLike", &OnnxImporter::CastLike},
      {"Clip", &OnnxImporter::Clip},
      {"Concat", &OnnxImporter::Concat},
      {"Conv", &OnnxImporter::Conv},
      {"DequantizeLinear", &OnnxImporter::NoteQuantization},
      {"Div", &OnnxImporter::Arithmetic},
      {"Dropout", &OnnxImporter::PassThrough},
      {"Flatten", &OnnxImporter::Reshape},
      {"Gemm", &OnnxImporter::Gemm},
      {"GlobalAveragePool", &OnnxImporter::GlobalPool},
      {"GlobalMaxPool", &OnnxImporter::GlobalPool},
      {"Identity", &OnnxImporter::PassThrough},
      {"MatMul", &OnnxImporter::MatMul},
      {"Max", &OnnxImporter::Arithmetic},
      {"MaxPool", &OnnxImporter::Pool},
      {"Min", &OnnxImporter::Arithmetic},
      {"Mul", &OnnxImporter::Arithmetic},
      {"Pad", &OnnxImporter::Pad},
      {"QuantizeLinear", &OnnxImporter::NoteQuantization},
      {"ReduceMax", &OnnxImporter::Reduce},
      {"ReduceMean", &OnnxImporter::Reduce},
      {"Relu", &OnnxImporter::Relu},
      {"Reshape", &OnnxImporter::Reshape},
      {"Slice", &OnnxImporter::Slice},
      {"Softmax", &OnnxImporter::Softmax},
      {"Split", &OnnxImporter::Split},
      {"Squeeze", &OnnxImporter::Reshape},
      {"Sub", &OnnxImporter::Arithmetic},
      {"Sum", &OnnxImporter::Sum},
      {"Transpose", &OnnxImporter::Transpose},
      {"Unsqueeze", &OnnxImporter::Reshape},
  };
  const auto it = kHandlers.find(op_type);
  return it == kHandlers.end() ? nullptr : it->second;
}

/// Operators that exist only as constants or as a shape that is known here.
bool IsFoldedOnly(const std::string& op) {
  static const std::set<std::string> kOps = {
      "Ceil", "Constant", "ConstantOfShape", "Equal",      "Expand", "Floor", "Gather",
      "Mod",  "Neg",      "Reciprocal",      "ReduceProd", "Shape",  "Sqrt",  "Where"};
  return kOps.count(op) > 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// Quantized graphs. The network is imported in float, its quantizations noted by tensor, and then
// quantized with exactly those (QuantizeLikeSource), so that both ways of writing a quantized graph
// take one path.

/// Of an activation, QuantizeLinear and DequantizeLinear alike: neither changes the value, both say
/// how it is quantized. Constants never come here, FoldOnnxNode computes them.
Status OnnxImporter::NoteQuantization(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const Value* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const OnnxConstant* scale, Floats(node, 1, "scale"));
  const OnnxConstant* zero = nullptr;
  if (HasInput(node, 2)) {
    const Value& z = Input(node, 2);
    if (z.kind != Value::Kind::kConstant) return Unsupported("its zero point is not constant");
    zero = z.constant.get();
    if (zero->type != OnnxType::kUint8 && zero->type != OnnxType::kInt8) {
      return Unsupported(StrCat("it quantizes an activation to element type ",
                                static_cast<int>(zero->type), ", expected uint8 or int8"));
    }
  }
  OCTET_ASSIGN_OR_RETURN(const LinearParameters p, ReadLinearParameters(scale, zero));
  if (p.scales.size() != 1) return Unsupported("it quantizes an activation per channel");
  const int64_t low = p.is_signed ? -128 : 0;
  if (p.zero_points[0] < low || p.zero_points[0] > low + 255) {
    return Unsupported(
        StrCat("its zero point is ", p.zero_points[0], ", expected that of int8 or uint8"));
  }
  quantizations_[x->id] = {p.scales[0], static_cast<int32_t>(p.zero_points[0] - low)};
  SetOutput(node, x->id, x->order, x->dims);
  return OkStatus();
}

/// Writes QLinearConv and its like ("QOperator" graphs) as the float operator between
/// DequantizeLinear and QuantizeLinear.
void ExpandQuantizedOperators(OnnxModel* model) {
  struct Rule {
    const char* op;  ///< Float operator.
    int operands;    ///< Of three inputs each: value, scale, zero point.
    int bias;        ///< Input of an int32 bias at the product of both scales, -1 for none.
    int result;      ///< Input of the result's scale; its zero point follows.
  };
  static const std::map<std::string, Rule> kRules = {
      {"QLinearConv", {"Conv", 2, 8, 6}},
      {"QLinearMatMul", {"MatMul", 2, -1, 6}},
      {"QLinearAdd", {"Add", 2, -1, 6}},
      {"QLinearMul", {"Mul", 2, -1, 6}},
      {"QGemm", {"Gemm", 2, 6, 7}},
      {"QLinearSoftmax", {"Softmax", 1, -1, 3}},
      {"QLinearGlobalAveragePool", {"GlobalAveragePool", 1, -1, 3}},
      {"QLinearAveragePool", {"AveragePool", 1, -1, 3}},
  };
  std::vector<OnnxNode> nodes;
  for (OnnxNode& n : model->nodes) {
    const auto it = kRules.find(n.op_type);
    const bool domain = n.domain.empty() || n.domain == "com.microsoft";
    if (it == kRules.end() || !domain || n.outputs.size() != 1 ||
        static_cast<int>(n.inputs.size()) <= it->second.result) {
      nodes.push_back(std::move(n));
      continue;
    }
    const Rule& rule = it->second;
    const std::string base = n.name.empty() ? n.outputs[0] : n.name;
    const auto input = [&](int i) {
      return i < static_cast<int>(n.inputs.size()) ? n.inputs[static_cast<size_t>(i)]
                                                   : std::string();
    };
    const auto attribute = [&](const char* name, int64_t value) {
      OnnxAttribute a;
      a.name = name;
      a.kind = OnnxAttribute::Kind::kInt;
      a.i = value;
      return a;
    };
    OnnxNode inner;
    inner.name = base;
    inner.op_type = rule.op;
    inner.outputs = {n.outputs[0] + "/real"};
    for (const OnnxAttribute& a : n.attributes) {
      if (a.name != "opset" && a.name != "channels_last") inner.attributes.push_back(a);
    }
    const bool transposed = OnnxAttributes(n).Int("transB", 0) != 0;
    for (int i = 0; i < rule.operands; ++i) {
      OnnxNode dq{StrCat(base, "/dequantize", i),
                  "DequantizeLinear",
                  "",
                  {},
                  {StrCat(n.outputs[0], "/input", i)},
                  {}};
      dq.inputs = {input(3 * i), input(3 * i + 1), input(3 * i + 2)};
      dq.attributes = {attribute("axis", n.op_type == "QLinearConv" || transposed ? 0 : 1)};
      inner.inputs.push_back(dq.outputs[0]);
      nodes.push_back(std::move(dq));
    }
    if (rule.bias >= 0 && !input(rule.bias).empty()) {
      OnnxNode scale{base + "/bias_scale",           "Mul", "", {input(1), input(4)},
                     {n.outputs[0] + "/bias_scale"}, {}};
      OnnxNode dq{base + "/dequantize_bias",
                  "DequantizeLinear",
                  "",
                  {input(rule.bias), scale.outputs[0]},
                  {n.outputs[0] + "/bias"},
                  {}};
      dq.attributes = {attribute("axis", 0)};
      inner.inputs.push_back(dq.outputs[0]);
      nodes.push_back(std::move(scale));
      nodes.push_back(std::move(dq));
    }
    OnnxNode q{base + "/quantize",
               "QuantizeLinear",
               "",
               {inner.outputs[0], input(rule.result), input(rule.result + 1)},
               n.outputs,
               {}};
    nodes.push_back(std::move(inner));
    nodes.push_back(std::move(q));
  }
  model->nodes = std::move(nodes);
}

/// The float graph with the quantizations its file gave: activations are fused, additions are not,
/// because their operands are quantized. A graph that is quantized only in part stays in float.
Result<Graph> QuantizeLikeSource(const Graph& source,
                                 const std::map<std::string, Quantization>& quantizations) {
  Graph graph = source;
  OCTET_RETURN_IF_ERROR(Legalize(&graph));
  CalibrationTable table;
  table.method = "source";
  for (const auto& [name, q] : quantizations) {
    table.ranges[name] = Range{q.scale * static_cast<float>(-q.zero_point),
                               q.scale * static_cast<float>(255 - q.zero_point)};
  }
  const auto copy = [&](TensorId from, TensorId to) {
    const auto it = table.ranges.find(graph.tensor(from).name);
    if (it != table.ranges.end()) table.ranges.emplace(graph.tensor(to).name, it->second);
  };
  // Files differ in where they write a quantization. What a ReLU leaves of quantized values is
  // quantized as they are, so are values that are only moved, and a mean lies in their range.
  for (const Node& n : graph.nodes) {
    if (n.type == OpType::kRelu || n.type == OpType::kRelu6) copy(n.inputs[0], n.output);
  }
  OCTET_RETURN_IF_ERROR(FoldScaleShift(&graph));
  OCTET_RETURN_IF_ERROR(FuseActivation(&graph));
  OCTET_RETURN_IF_ERROR(Legalize(&graph));
  OCTET_RETURN_IF_ERROR(InferShapes(&graph));
  for (int pass = 0; pass < 2; ++pass) {
    for (const Node& n : graph.nodes) {
      const bool moves = n.type == OpType::kReshape || n.type == OpType::kMaxPool ||
                         n.type == OpType::kSlice || n.type == OpType::kPad;
      const bool mean = n.type == OpType::kAveragePool || n.type == OpType::kGlobalAveragePool;
      if (moves || mean) copy(n.inputs[0], n.output);
      if (moves) copy(n.output, n.inputs[0]);
    }
  }
  QuantizeOptions options;
  options.precision = Precision::kInt8;
  Result<Graph> quantized = QuantizeGraph(graph, options, &table);
  if (quantized.ok()) quantized->metadata.source += ", quantized";
  // The one thing that can be wrong is that some activation has no range.
  if (quantized.ok() || quantized.status().code() != StatusCode::kInvalidArgument) return quantized;
  graph = source;
  graph.metadata.source += ", activations quantized in part and read as float";
  return graph;
}

Status OnnxImporter::CheckModel() {
  const auto opset = model_.opsets.find("");
  if (opset == model_.opsets.end()) return Corrupt("no opset of ONNX's own operators is imported");
  opset_ = opset->second;
  if (opset_ < kMinOpset) {
    return Unsupported(
        StrCat("opset ", opset_, ", expected ", kMinOpset, " or newer; export the model again"));
  }
  if (model_.nodes.empty()) return Corrupt("the graph has no nodes");
  if (model_.outputs.empty()) return Corrupt("the graph has no outputs");
  return OkStatus();
}

/// Fills the maps by name, and marks what the outputs depend on: exporters leave unused nodes
/// behind, and those may be anything.
Status OnnxImporter::IndexNodes() {
  int64_t elements = 0;
  for (const OnnxTensor& t : model_.initializers) {
    if (!initializers_.emplace(t.name, &t).second)
      return Corrupt(StrCat("two initializers are called '", t.name, "'"));
    // A shape may claim anything; what counts is the data that is there.
    const int64_t stored = t.external ? kMaxExternalElements
                                      : static_cast<int64_t>(t.raw.size() + t.floats.size() +
                                                             t.doubles.size() + t.ints.size());
    const int64_t n = std::clamp<int64_t>(NumElements(t.dims), 0, stored);
    elements = std::min(elements + n, kMaxElements);
  }
  // Folding may copy the weights a few times (transposed, cast) but not let them grow.
  fold_budget_ = 4 * elements + (1 << 20);
  for (size_t i = 0; i < model_.nodes.size(); ++i) {
    const OnnxNode& node = model_.nodes[i];
    if (node.outputs.empty() || node.outputs[0].empty())
      return Corrupt(StrCat("node ", NodeLabel(node), " has no output"));
    for (const std::string& name : node.outputs) {
      if (name.empty()) continue;
      if (!producers_.emplace(name, i).second || initializers_.count(name) > 0) {
        return Corrupt(
            StrCat("'", name, "' is computed by ", NodeLabel(node), " and also given elsewhere"));
      }
    }
    for (const std::string& name : node.inputs) consumers_[name].push_back(i);
  }
  node_needed_.assign(model_.nodes.size(), false);
  std::vector<std::string> open;
  for (const OnnxValueInfo& output : model_.outputs) open.push_back(output.name);
  while (!open.empty()) {
    const std::string name = std::move(open.back());
    open.pop_back();
    if (name.empty() || !needed_.insert(name).second) continue;
    const auto producer = producers_.find(name);
    if (producer == producers_.end() || node_needed_[producer->second]) continue;
    node_needed_[producer->second] = true;
    for (const std::string& input : model_.nodes[producer->second].inputs) open.push_back(input);
  }
  return OkStatus();
}

/// Whether the input is NHWC: the first operator on its way that cares is a transpose to NCHW.
bool OnnxImporter::InputIsChannelsLast(const std::string& name) const {
  std::set<std::string> seen;
  std::vector<std::string> open{name};
  while (!open.empty()) {
    const std::string at = std::move(open.back());
    open.pop_back();
    const auto users = consumers_.find(at);
    if (users == consumers_.end() || !seen.insert(at).second) continue;
    for (size_t i : users->second) {
      if (!node_needed_[i]) continue;
      const OnnxNode& node = model_.nodes[i];
      if (node.op_type == "Transpose") {
        return OnnxAttributes(node).Ints("perm") == std::vector<int64_t>{0, 3, 1, 2};
      }
      static const std::set<std::string> kNeutral = {"Add",     "Cast",     "Clip", "Div",
                                                     "Dropout", "Identity", "Mul",  "Pad",
                                                     "Relu",    "Slice",    "Sub"};
      if (kNeutral.count(node.op_type) > 0) open.push_back(node.outputs[0]);
    }
  }
  return false;
}

Status OnnxImporter::AddInputs() {
  for (const OnnxValueInfo& input : model_.inputs) {
    if (initializers_.count(input.name) > 0 || needed_.count(input.name) == 0) continue;
    const std::string where = StrCat("input '", input.name, "'");
    if (producers_.count(input.name) > 0 || values_.count(input.name) > 0)
      return Corrupt(StrCat(where, " is given twice"));
    if (!graph_.inputs.empty()) {
      return Unsupported(StrCat(where, " is the second input; an image classifier has one"));
    }
    if (!IsFloatType(input.type) && input.type != OnnxType::kUint8) {
      return Unsupported(StrCat(where, " has element type ", static_cast<int>(input.type),
                                ", expected floating-point or uint8"));
    }
    OnnxDims dims = input.dims;
    if (!input.has_shape || (dims.size() != 4 && dims.size() != 2)) {
      return Unsupported(StrCat(where, " has shape ", DimsText(dims),
                                ", expected [batch,channels,height,width] or [batch,features]"));
    }
    if (dims[0] == -1) dims[0] = 1;
    if (dims[0] != 1) {
      return Unsupported(StrCat(where, " has a fixed batch of ", dims[0],
                                "; export it with a batch of 1 or a dynamic one"));
    }
    for (int64_t d : dims) {
      if (d < 1)
        return Unsupported(
            StrCat(where, " has shape ", DimsText(dims), "; export it with a fixed image size"));
    }
    const int64_t elements = NumElements(dims);
    if (elements < 1 || elements > kMaxElements)
      return Corrupt(StrCat(where, " has shape ", DimsText(dims)));
    Value v{Value::Kind::kActivation, nullptr, kNoTensor, Order::kChannelsLast, dims};
    Shape shape{1, dims[1]};
    if (dims.size() == 4) {
      shape = Shape{1, dims[1], dims[2], dims[3]};
      if (!InputIsChannelsLast(input.name)) {
        v.order = Order::kChannelsFirst;
        shape = Shape{1, dims[2], dims[3], dims[1]};
      }
    }
    v.id = graph_.AddActivation(tensor_names_.Make(input.name), DType::kF32, shape);
    graph_.inputs.push_back(v.id);
    values_[input.name] = v;
  }
  if (graph_.inputs.empty()) return Corrupt("no input of the graph leads to its outputs");
  return OkStatus();
}

/// The bytes of a tensor that lies in another file of the model's folder.
Result<std::string_view> OnnxImporter::ExternalBytes(const OnnxTensor& tensor) {
  const auto bad = [&](const std::string& problem) {
    return Corrupt(StrCat("tensor '", tensor.name, "': external data: ", problem));
  };
  const auto number = [&](const char* key, uint64_t otherwise) -> Result<uint64_t> {
    const auto it = tensor.external_data.find(key);
    if (it == tensor.external_data.end()) return otherwise;
    uint64_t value = 0;
    const char* end = it->second.data() + it->second.size();
    const auto [stop, error] = std::from_chars(it->second.data(), end, value);
    if (error != std::errc() || stop != end)
      return bad(StrCat("'", key, "' is '", it->second, "', not a number"));
    return value;
  };
  const auto location = tensor.external_data.find("location");
  if (location == tensor.external_data.end()) return bad("no 'location'");
  auto file = external_files_.find(location->second);
  if (file == external_files_.end()) {
    OCTET_ASSIGN_OR_RETURN(FileBytes bytes, MapCompanionFile(path_, location->second));
    file = external_files_.emplace(location->second, std::move(bytes)).first;
  }
  const std::string_view text = file->second.text();
  OCTET_ASSIGN_OR_RETURN(const uint64_t offset, number("offset", 0));
  if (offset > text.size())
    return bad(StrCat("offset ", offset, " is behind the end of '", location->second, "' (",
                      text.size(), " bytes)"));
  OCTET_ASSIGN_OR_RETURN(const uint64_t length, number("length", text.size() - offset));
  if (length > text.size() - offset) {
    return bad(StrCat(length, " bytes from ", offset, " on are not in '", location->second, "' (",
                      text.size(), " bytes)"));
  }
  return text.substr(offset, length);
}

Status OnnxImporter::LoadInitializer(const OnnxTensor& tensor) {
  std::optional<std::string_view> external;
  if (tensor.external) {
    OCTET_ASSIGN_OR_RETURN(external, ExternalBytes(tensor));
  }
  OCTET_ASSIGN_OR_RETURN(OnnxConstant constant, DecodeOnnxTensor(tensor, external));
  Value v;
  v.kind = Value::Kind::kConstant;
  v.constant = std::make_shared<const OnnxConstant>(std::move(constant));
  values_[tensor.name] = std::move(v);
  return OkStatus();
}

/// Computes a node whose inputs are known now. False when it has to become an operator.
Result<bool> OnnxImporter::TryFold(const OnnxNode& node) {
  const auto store = [&](OnnxConstant c) {
    Value v;
    v.kind = Value::Kind::kConstant;
    v.constant = std::make_shared<const OnnxConstant>(std::move(c));
    values_[node.outputs[0]] = std::move(v);
    return true;
  };
  if (node.op_type == "Constant") {
    OCTET_ASSIGN_OR_RETURN(OnnxConstant c, ConstantNodeValue(node));
    return store(std::move(c));
  }
  if (node.op_type == "Shape") {
    if (!HasInput(node, 0)) return Corrupt("input 0 is missing");
    const Value& x = Input(node, 0);
    const OnnxDims& dims = x.kind == Value::Kind::kConstant ? x.constant->dims : x.dims;
    OnnxAttributes attributes(node);
    const int64_t rank = static_cast<int64_t>(dims.size());
    int64_t start = attributes.Int("start", 0), end = attributes.Int("end", rank);
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
    start = std::clamp<int64_t>(start < 0 ? std::max(start, -rank) + rank : start, 0, rank);
    end = std::clamp<int64_t>(end < 0 ? std::max(end, -rank) + rank : end, start, rank);
    OnnxConstant c{OnnxType::kInt64, {end - start}, {}, {dims.begin() + start, dims.begin() + end}};
    return store(std::move(c));
  }
  std::vector<const OnnxConstant*> inputs;
  for (const std::string& name : node.inputs) {
    if (name.empty()) {
      inputs.push_back(nullptr);
      continue;
    }
    const Value& v = values_.at(name);
    if (v.kind != Value::Kind::kConstant) return false;
    inputs.push_back(v.constant.get());
  }
  OCTET_ASSIGN_OR_RETURN(std::optional<OnnxConstant> folded,
                         FoldOnnxNode(node, inputs, opset_, &fold_budget_));
  if (!folded) return false;
  return store(std::move(*folded));
}

Status OnnxImporter::ImportNode(const OnnxNode& node) {
  const Handler handler = node.domain.empty() ? FindHandler(node.op_type) : nullptr;
  const bool known = handler != nullptr || (node.domain.empty() && IsFoldedOnly(node.op_type));
  bool ready = true;
  for (const std::string& name : node.inputs) {
    if (name.empty()) continue;
    auto it = values_.find(name);
    if (it == values_.end()) {
      const auto initializer = initializers_.find(name);
      if (initializer != initializers_.end()) {
        OCTET_RETURN_IF_ERROR(LoadInitializer(*initializer->second));
        it = values_.find(name);
      } else if (producers_.count(name) > 0) {
        return Corrupt(
            StrCat("input '", name,
                   "' is computed by a later node; the nodes are not in order or form a cycle"));
      } else {
        return Corrupt(StrCat("input '", name,
                              "' is no initializer, no input of the graph and no node's output"));
      }
    }
    ready = ready && it->second.kind != Value::Kind::kUnknown;
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (!node.outputs[i].empty()) values_[node.outputs[i]] = Value();
    // Indices, masks and running statistics.
    if (i > 0 && node.op_type != "Split" && needed_.count(node.outputs[i]) > 0)
      return Unsupported(StrCat("its output ", i, " is used"));
  }
  if (!known) return Unsupported(Advice(node));
  if (!ready) return OkStatus();
  OCTET_ASSIGN_OR_RETURN(const bool folded, TryFold(node));
  if (folded) return OkStatus();
  if (handler == nullptr) return Unsupported("of an activation");
  return (this->*handler)(node);
}

Status OnnxImporter::ImportNodes() {
  for (size_t i = 0; i < model_.nodes.size(); ++i) {
    if (!node_needed_[i]) continue;
    const OnnxNode& node = model_.nodes[i];
    Status status = ImportNode(node);
    if (status.ok()) continue;
    if (status.code() != StatusCode::kUnsupported)
      return std::move(status).WithContext("node " + NodeLabel(node));
    const std::string label = OperatorLabel(node);
    auto same = std::find_if(unsupported_.begin(), unsupported_.end(), [&](const auto& u) {
      return u.label == label && u.reason == status.message();
    });
    if (same == unsupported_.end())
      same = unsupported_.insert(same, {label, std::string(status.message()), {}});
    same->nodes.push_back(NodeName(node));
  }
  if (unsupported_.empty()) return OkStatus();
  size_t count = 0;
  std::string text;
  for (const UnsupportedOperator& u : unsupported_) {
    constexpr size_t kShown = 3;
    text += StrCat(count ? "; " : "", u.label);
    for (size_t i = 0; i < std::min(u.nodes.size(), kShown); ++i)
      text += StrCat(i ? ", '" : " '", u.nodes[i], "'");
    if (u.nodes.size() > kShown) text += StrCat(" and ", u.nodes.size() - kShown, " more");
    if (!u.reason.empty()) text += StrCat(" (", u.reason, ")");
    count += u.nodes.size();
  }
  return Unsupported(
      StrCat(count, count == 1 ? " unsupported operator: " : " unsupported operators: ", text));
}

Status OnnxImporter::AddOutputs() {
  std::unordered_set<TensorId> taken;
  std::unordered_map<std::string, TensorId> by_name;
  size_t listed = 0;  // Tensors in it; making a view may add some.
  for (const OnnxValueInfo& output : model_.outputs) {
    const std::string where = StrCat("output '", output.name, "'");
    const auto it = values_.find(output.name);
    if (it == values_.end() || it->second.kind != Value::Kind::kActivation) {
      return Corrupt(StrCat(where, " is not computed from the input"));
    }
    const OnnxNode end{"", "output", "", {}, {output.name}, {}};
    const Value v = it->second;
    Result<View> view = AsView(end, v);
    if (!view.ok()) return Status(view.status()).WithContext(where);
    TensorId id = view->id;
    if (id == graph_.inputs[0] || !taken.insert(id).second) {
      return Unsupported(StrCat(where, " is the same value as the input or another output"));
    }
    // Identities and reshapes leave a tensor with the name of an earlier value; the output's own
    // name goes to the output.
    for (; listed < graph_.tensors.size(); ++listed) {
      by_name[graph_.tensors[listed].name] = static_cast<TensorId>(listed);
    }
    if (graph_.tensor(id).name != output.name) {
      if (const auto other = by_name.find(output.name); other != by_name.end()) {
        const std::string name = tensor_names_.Make(output.name + "/view");
        graph_.tensor(other->second).name = name;
        by_name[name] = other->second;
      }
      by_name.erase(graph_.tensor(id).name);
      graph_.tensor(id).name = output.name;
      by_name[output.name] = id;
      (void)tensor_names_.Take(output.name);
    }
    graph_.outputs.push_back(id);
  }
  return OkStatus();
}

Result<Graph> OnnxImporter::Import() {
  OCTET_RETURN_IF_ERROR(CheckModel());
  OCTET_RETURN_IF_ERROR(IndexNodes());
  OCTET_RETURN_IF_ERROR(AddInputs());
  OCTET_RETURN_IF_ERROR(ImportNodes());
  OCTET_RETURN_IF_ERROR(AddOutputs());
  graph_.metadata.name = std::filesystem::path(path_).stem().string();
  graph_.metadata.source = StrCat("onnx opset ", opset_);
  if (!model_.producer.empty())
    graph_.metadata.source +=
        StrCat(" (", model_.producer, model_.producer_version.empty() ? "" : " ",
               model_.producer_version, ")");
  OCTET_RETURN_IF_ERROR(InferShapes(&graph_));
  OCTET_RETURN_IF_ERROR(CheckGraph(graph_));
  if (quantizations_.empty()) return std::move(graph_);
  std::map<std::string, Quantization> by_name;
  for (const auto& [id, q] : quantizations_) by_name[graph_.tensor(id).name] = q;
  return QuantizeLikeSource(graph_, by_name);
}

}  // namespace

Result<Graph> ImportOnnxBytes(std::string_view bytes, const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(OnnxModel model, ParseOnnx(bytes, path));
  ExpandQuantizedOperators(&model);
  Result<Graph> graph = OnnxImporter(model, path).Import();
  if (!graph.ok()) return Status(graph.status()).WithContext(path);
  return graph;
}

Result<Graph> ImportOnnx(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile(path));
  return ImportOnnxBytes(file.text(), path);
}

}  // namespace octet
