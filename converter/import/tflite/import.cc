// TFLite models as graphs. Activations keep the file's NHWC; a quantized tensor of any 8-bit type becomes kU8: int8 with its zero
// point moved by 128, which changes no real value. A quantized convolution keeps its int8 weights, their scales and its int32 bias,
// into which the input's zero point is folded.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "converter/import/builder/head_preprocessing.h"
#include "converter/import/importer.h"
#include "converter/import/tflite/reader.h"
#include "converter/import/tflite/tflite_schema_generated.h"
#include "converter/import/builder/unique_names.h"
#include "converter/passes/passes.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// Operators that are understood, by their number in the public schema.
enum Code {
  kAdd = 0,
  kAveragePool2d = 1,
  kConcatenation = 2,
  kConv2d = 3,
  kDepthwiseConv2d = 4,
  kDequantize = 6,
  kFullyConnected = 9,
  kMaxPool2d = 17,
  kMul = 18,
  kRelu = 19,
  kRelu6 = 21,
  kReshape = 22,
  kSoftmax = 25,
  kPad = 34,
  kGather = 36,
  kBatchToSpaceNd = 37,
  kSpaceToBatchNd = 38,
  kTranspose = 39,
  kMean = 40,
  kSub = 41,
  kDiv = 42,
  kSqueeze = 43,
  kStridedSlice = 45,
  kCast = 53,
  kPadV2 = 60,
  kSlice = 65,
  kShape = 77,
  kReduceProd = 81,
  kReduceMax = 82,
  kPack = 83,
  kQuantize = 114,
};

// A forged file of a few bytes may ask for per-channel constants of any length; an honest one never exceeds this.
constexpr int64_t kExtraConstantBytes = int64_t{64} << 20;
constexpr char kOnlyConvolution[] =
    "between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND only one convolution is supported, which they make a dilated one";
constexpr size_t kMaxListed = 50;

bool IsSupported(int code) {
  switch (code) {
    case kAdd:
    case kAveragePool2d:
    case kConcatenation:
    case kConv2d:
    case kDepthwiseConv2d:
    case kDequantize:
    case kFullyConnected:
    case kMaxPool2d:
    case kMul:
    case kRelu:
    case kRelu6:
    case kReshape:
    case kSoftmax:
    case kPad:
    case kGather:
    case kBatchToSpaceNd:
    case kSpaceToBatchNd:
    case kTranspose:
    case kMean:
    case kSub:
    case kDiv:
    case kSqueeze:
    case kStridedSlice:
    case kCast:
    case kPadV2:
    case kSlice:
    case kShape:
    case kReduceProd:
    case kReduceMax:
    case kPack:
    case kQuantize: return true;
    default: return false;
  }
}

/// Operators that do the same to [pixels, channels] as to [1, height, width, channels].
bool WorksOnPixels(int code) {
  switch (code) {
    case kAdd:
    case kMul:
    case kSub:
    case kDiv:
    case kRelu:
    case kRelu6:
    case kReshape:
    case kSoftmax:
    case kQuantize:
    case kDequantize:
    case kFullyConnected: return true;
    default: return false;
  }
}

std::string ShapeText(const std::vector<int32_t>& shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + std::to_string(shape[i]);
  return s + "]";
}

bool TakesActivation(OpType type) {
  return type == OpType::kConv2d || type == OpType::kDense || type == OpType::kAdd || type == OpType::kScaleShift;
}

using Configure = std::function<void(Node*)>;

class TfliteImporter {
 public:
  explicit TfliteImporter(const TfliteFile& file)
      : file_(file),
        budget_(static_cast<int64_t>(file.bytes) * 8 + kExtraConstantBytes),
        values_(file.tensors.size(), kNoTensor),
        constant_(file.tensors.size(), -1),
        folded_(file.tensors.size()),
        failed_(file.tensors.size(), false),
        pixels_(file.tensors.size(), false) {
    for (size_t i = 0; i < file.tensors.size(); ++i) {
      if (file.tensors[i].is_constant()) constant_[i] = static_cast<int>(i);
    }
    for (const TfliteOperator& op : file.operators) {
      if (op.code == kBatchToSpaceNd && !op.inputs.empty() && op.inputs[0] >= 0) back_to_space_[op.inputs[0]] = &op;
    }
  }

  Result<Graph> Run() {
    OCTET_RETURN_IF_ERROR(RefuseUnsupported());
    for (int i : file_.inputs) OCTET_RETURN_IF_ERROR(AddInput(i));
    std::string problems;
    size_t listed = 0;
    for (size_t i = 0; i < file_.operators.size(); ++i) {
      op_ = &file_.operators[i];
      // What only depends on an operator that has been refused is not worth a message of its own.
      const bool broken = std::any_of(op_->inputs.begin(), op_->inputs.end(), [&](int t) { return t >= 0 && failed_[t]; });
      on_pixels_ = std::any_of(op_->inputs.begin(), op_->inputs.end(), [&](int t) { return t >= 0 && pixels_[t]; });
      Status status = broken                                        ? Unsupported("")
                      : on_pixels_ && !WorksOnPixels(op_->code) ? Unsupported("its input has height and width in the batch dimension")
                                                                    : Convert();
      if (status.ok()) continue;
      if (status.code() != StatusCode::kUnsupported) return std::move(status).WithContext(Where(i));
      for (int t : op_->outputs) failed_[t] = true;
      if (broken || ++listed > kMaxListed) continue;
      problems += StrCat(problems.empty() ? "" : "; ", Where(i), ": ", status.message());
    }
    if (!problems.empty()) return Unsupported(problems);
    for (int i : file_.outputs) OCTET_RETURN_IF_ERROR(AddOutput(i));
    MoveHeadToPreprocessing(&g_);
    const bool integers = std::any_of(g_.nodes.begin(), g_.nodes.end(),
                                      [&](const Node& n) { return g_.tensor(n.output).dtype == DType::kU8; });
    if (integers) g_.metadata.rounding = Rounding::kTflite;
    g_.metadata.precision = integers                 ? Precision::kInt8
                            : hybrid_layers_ > 0     ? Precision::kHybrid
                            : half_constants_ > 0    ? Precision::kFp16
                                                     : Precision::kFp32;
    g_.metadata.source = StrCat("tflite ", PrecisionName(g_.metadata.precision));
    OCTET_RETURN_IF_ERROR(CheckGraph(g_));
    return std::move(g_);
  }

 private:
  // ---- Errors ----

  std::string Where(size_t index) const {
    const TfliteOperator& op = file_.operators[index];
    return StrCat("operator ", index, " (", op.name, op.outputs.empty() ? "" : StrCat(" -> '", file_.tensors[op.outputs[0]].name, "'"), ")");
  }

  Status RefuseUnsupported() const {
    std::string list;
    size_t count = 0;
    for (size_t i = 0; i < file_.operators.size(); ++i) {
      if (IsSupported(file_.operators[i].code)) continue;
      if (++count <= kMaxListed) list += StrCat(list.empty() ? "" : ", ", Where(i));
    }
    if (count == 0) return OkStatus();
    if (count > kMaxListed) list += StrCat(" and ", count - kMaxListed, " more");
    return Unsupported(StrCat("unsupported operators: ", list));
  }

  // ---- Tensors of the file ----

  const TfliteTensor& tensor(int index) const { return file_.tensors[index]; }

  /// The operator's n-th input as an index; an error when it has none.
  Result<int> Input(size_t n) const {
    if (n < op_->inputs.size() && op_->inputs[n] >= 0) return op_->inputs[n];
    return Corrupt(StrCat("no input ", n));
  }
  Result<int> Output() const {
    if (op_->outputs.size() == 1) return op_->outputs[0];
    return Corrupt(StrCat(op_->outputs.size(), " outputs, expected 1"));
  }
  bool HasInput(size_t n) const { return n < op_->inputs.size() && op_->inputs[n] >= 0; }
  bool IsConstant(int index) const { return constant_[index] >= 0; }

  /// The graph's tensor for an activation of the file.
  Result<TensorId> Activation(int index) const {
    if (values_[index] != kNoTensor) return values_[index];
    if (IsConstant(index)) return Unsupported(StrCat("'", tensor(index).name, "' is a constant where an activation is expected"));
    if (batched_.count(index) > 0) {
      return Unsupported(kOnlyConvolution);
    }
    return Corrupt(StrCat("'", tensor(index).name, "' is read before anything computes it"));
  }
  Result<TensorId> InputActivation(size_t n) const {
    OCTET_ASSIGN_OR_RETURN(const int index, Input(n));
    return Activation(index);
  }

  /// Integers known without running: a constant, or what Shape, StridedSlice and Pack made of shapes.
  Result<std::vector<int64_t>> Integers(int index) const {
    if (folded_[index]) return *folded_[index];
    if (IsConstant(index)) return ReadTfliteIntegers(tensor(constant_[index]));
    return Unsupported(StrCat("'", tensor(index).name, "' depends on the input; only values known in advance are supported"));
  }
  Result<std::vector<int64_t>> InputIntegers(size_t n) const {
    OCTET_ASSIGN_OR_RETURN(const int index, Input(n));
    return Integers(index);
  }

  Result<std::vector<float>> Floats(int index) {
    if (!IsConstant(index)) return Unsupported(StrCat("'", tensor(index).name, "' is not a constant"));
    const TfliteTensor& t = tensor(constant_[index]);
    OCTET_RETURN_IF_ERROR(Charge(static_cast<int64_t>(t.data.size()) * 4));
    if (t.type == TfliteType::kFloat16) ++half_constants_;
    return ReadTfliteFloats(t);
  }

  Status Charge(int64_t bytes) {
    budget_ -= bytes;
    return budget_ >= 0 ? OkStatus() : Corrupt("its constants are many times larger than the file");
  }

  /// Element type and quantization of an activation.
  struct Type {
    DType dtype = DType::kF32;
    Quantization quantization;
  };
  Result<Type> TypeOf(int index) const {
    const TfliteTensor& t = tensor(index);
    if (t.type == TfliteType::kFloat32) return Type{};
    if (t.type != TfliteType::kInt8 && t.type != TfliteType::kUint8) {
      return Unsupported(StrCat("activation '", t.name, "' of ", TfliteTypeName(t.type), ", expected float32, int8 or uint8"));
    }
    // Pixels that a model casts to float itself carry no scale.
    if (t.scale.empty() && t.type == TfliteType::kUint8) return Type{DType::kU8, {1.0f, 0}};
    if (t.scale.size() != 1) {
      return Unsupported(StrCat("activation '", t.name, "' has ", t.scale.size(), " scales, expected 1"));
    }
    const int64_t low = t.type == TfliteType::kInt8 ? -128 : 0;
    if (t.zero_point[0] < low || t.zero_point[0] > low + 255) {
      return Corrupt(StrCat("'", t.name, "' has zero point ", t.zero_point[0], ", expected ", low, " to ", low + 255));
    }
    return Type{DType::kU8, {t.scale[0], static_cast<int32_t>(t.zero_point[0] - low)}};
  }
  Type TypeOfValue(TensorId id) const { return {g_.tensor(id).dtype, g_.tensor(id).quantization}; }

  // ---- Building ----

  /// The converter joins the names of everything it fused into an operator with ";"; the first is enough.
  std::string NameOf(int index) const { return tensor(index).name.substr(0, tensor(index).name.find(';')); }

  std::string UniqueName(const std::string& wanted) {
    return names_.Make(wanted.empty() ? "tensor" : wanted);
  }

  Status AddInput(int index) {
    const TfliteTensor& t = tensor(index);
    OCTET_ASSIGN_OR_RETURN(const Type type, TypeOf(index));
    if (t.shape.size() != 4 && t.shape.size() != 2) {
      return Unsupported(StrCat("input '", t.name, "' has shape ", ShapeText(t.shape), ", expected rank 4 or 2"));
    }
    Shape shape{1};
    for (size_t d = 1; d < t.shape.size(); ++d) {
      if (t.shape[d] < 1 || (!t.signature.empty() && t.signature[d] < 1)) {
        return Unsupported(StrCat("input '", t.name, "' has no fixed size: ", ShapeText(t.signature.empty() ? t.shape : t.signature)));
      }
      shape.push_back(t.shape[d]);
    }
    if (t.shape[0] < 1) return Corrupt(StrCat("input '", t.name, "' has shape ", ShapeText(t.shape)));
    if (!g_.inputs.empty() && batch_ != t.shape[0]) return Unsupported("inputs of different batch sizes");
    if (values_[index] != kNoTensor) return Corrupt(StrCat("input '", t.name, "' is listed twice"));
    batch_ = t.shape[0];
    values_[index] = AddActivation(NameOf(index), type, shape);
    g_.inputs.push_back(values_[index]);
    return OkStatus();
  }

  Status AddOutput(int index) {
    OCTET_ASSIGN_OR_RETURN(const TensorId id, Activation(index));
    const std::string name = NameOf(index);
    // An output that only renames another tensor still goes by its own name.
    if (g_.tensor(id).name != name && !name.empty() && names_.Take(name)) g_.tensor(id).name = name;
    g_.outputs.push_back(id);
    return OkStatus();
  }

  TensorId AddActivation(const std::string& name, const Type& type, const Shape& shape) {
    const TensorId id = g_.AddActivation(UniqueName(name), type.dtype, shape);
    g_.tensor(id).quantization = type.quantization;
    return id;
  }

  template <typename T>
  Result<TensorId> AddConstant(const std::string& name, DType dtype, const Shape& shape, const std::vector<T>& values) {
    if (shape.num_elements() != static_cast<int64_t>(values.size())) {
      return Corrupt(StrCat("constant '", name, "' has ", values.size(), " elements, expected ", shape.ToString()));
    }
    OCTET_RETURN_IF_ERROR(Charge(static_cast<int64_t>(values.size() * sizeof(T))));
    return g_.AddConstant(UniqueName(name), dtype, shape, values.data(), values.size() * sizeof(T));
  }

  /// Adds a node; its output's shape is inferred unless the node is a Reshape.
  Result<TensorId> Emit(OpType type, const std::string& name, std::vector<TensorId> inputs, const Type& out, const Configure& configure = {},
                        const Shape& reshape = {}) {
    const TensorId id = AddActivation(name, out, reshape);
    Node& node = g_.AddNode(type, g_.tensor(id).name, std::move(inputs), id);
    if (configure) configure(&node);
    OCTET_ASSIGN_OR_RETURN(g_.tensor(id).shape, InferShape(g_, node));
    return id;
  }

  /// What an integer node's rounding is that of.
  Configure RoundedAs(TfliteKernel kernel) const {
    return [this, kernel](Node* n) {
      if (g_.tensor(n->output).dtype == DType::kU8) n->tflite_kernel = kernel;
    };
  }

  /// The same with an activation function behind it: a node of its own in float, part of the node or a clamp in integers.
  Result<TensorId> EmitActivated(OpType type, const std::string& name, std::vector<TensorId> inputs, const Type& out,
                                 octet::Activation activation, const Configure& configure = {}) {
    if (activation == octet::Activation::kNone) return Emit(type, name, std::move(inputs), out, configure);
    if (out.dtype == DType::kU8 && TakesActivation(type)) {
      return Emit(type, name, std::move(inputs), out, [&](Node* n) {
        if (configure) configure(n);
        n->activation = activation;
      });
    }
    OCTET_ASSIGN_OR_RETURN(const TensorId linear, Emit(type, name + ".linear", std::move(inputs), out, configure));
    return Emit(activation == octet::Activation::kRelu ? OpType::kRelu : OpType::kRelu6, name, {linear}, out);
  }

  /// Scale and shift per channel; one value stands for all channels. `unit` as in Graph's kInputUnit, 0 for none.
  Result<TensorId> ScaleShift(const std::string& name, TensorId x, const Type& out, std::vector<float> scale, std::vector<float> shift,
                              octet::Activation activation = octet::Activation::kNone, float unit = 0.0f) {
    const int64_t channels = g_.tensor(x).shape.back();
    OCTET_RETURN_IF_ERROR(Charge(channels * 8));
    if (scale.size() == 1) scale.assign(static_cast<size_t>(channels), scale[0]);
    if (shift.size() == 1) shift.assign(static_cast<size_t>(channels), shift[0]);
    OCTET_ASSIGN_OR_RETURN(const TensorId scale_id, AddConstant(name + ".scale", DType::kF32, Shape{channels}, scale));
    OCTET_ASSIGN_OR_RETURN(const TensorId shift_id, AddConstant(name + ".shift", DType::kF32, Shape{channels}, shift));
    std::vector<TensorId> inputs{x, scale_id, shift_id};
    if (unit > 0.0f) {
      inputs.push_back(kNoTensor);
      OCTET_ASSIGN_OR_RETURN(inputs[kInputUnit], AddConstant(name + ".unit", DType::kF32, Shape{1}, std::vector<float>{unit}));
    }
    return EmitActivated(OpType::kScaleShift, name, std::move(inputs), out, activation);
  }

  /// The same real values with another scale and zero point.
  Result<TensorId> Requantize(const std::string& name, TensorId x, const Type& to) {
    if (g_.tensor(x).dtype != to.dtype) {
      return Corrupt(StrCat("'", g_.tensor(x).name, "' is ", DTypeName(g_.tensor(x).dtype), ", expected ", DTypeName(to.dtype)));
    }
    if (g_.tensor(x).quantization == to.quantization) return x;
    return ScaleShift(name, x, to, {1.0f}, {0.0f});
  }

  /// Runs `emit` in the input's quantization and gives the result the output's: operators that only move values cannot rescale.
  Status Move(const std::function<Result<TensorId>(TensorId x, const Type& type, const std::string& name)>& emit) {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InputActivation(0));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    OCTET_ASSIGN_OR_RETURN(const Type type, TypeOf(out));
    const Type own = TypeOfValue(x);
    const bool same = own.dtype == type.dtype && own.quantization == type.quantization;
    const std::string name = NameOf(out);
    OCTET_ASSIGN_OR_RETURN(const TensorId y, emit(x, own, same ? name : name + ".moved"));
    OCTET_ASSIGN_OR_RETURN(const TensorId result, Requantize(name, y, type));
    return Finish(out, result);
  }

  /// Records what an output tensor of the file is, and compares its shape with what the file says.
  Status Finish(int out, TensorId id) {
    const TfliteTensor& t = tensor(out);
    const Shape& shape = g_.tensor(id).shape;
    if (values_[out] != kNoTensor || IsConstant(out)) return Corrupt(StrCat("'", t.name, "' is computed twice"));
    bool known = static_cast<int>(t.shape.size()) == shape.rank();
    for (size_t d = 1; known && d < t.shape.size(); ++d) known = t.signature.empty() || t.signature[d] >= 0;
    for (int d = 1; known && d < shape.rank(); ++d) {
      if (t.shape[d] != shape[d]) {
        return Corrupt(StrCat("'", t.name, "' has shape ", ShapeText(t.shape), ", expected ", shape.ToString()));
      }
    }
    values_[out] = id;
    pixels_[out] = on_pixels_ && op_->code != kReshape;
    return OkStatus();
  }

  // ---- Options ----

  template <typename T>
  Result<const T*> Options(const T* options) const {
    if (options != nullptr) return options;
    return Corrupt("its options are missing");
  }

  static Result<octet::Activation> Fused(tflite::ActivationFunctionType type) {
    switch (type) {
      case tflite::ActivationFunctionType::NONE: return octet::Activation::kNone;
      case tflite::ActivationFunctionType::RELU: return octet::Activation::kRelu;
      case tflite::ActivationFunctionType::RELU6: return octet::Activation::kRelu6;
      case tflite::ActivationFunctionType::RELU_N1_TO_1:
      case tflite::ActivationFunctionType::TANH:
      case tflite::ActivationFunctionType::SIGN_BIT: break;
    }
    return Unsupported(StrCat("fused activation function ", static_cast<int>(type), ", expected none, RELU or RELU6"));
  }

  /// TensorFlow's SAME: as many outputs as ceil(in / stride), the odd pixel of padding behind.
  static Status SetPadding(const Shape& x, tflite::Padding padding, Window* w) {
    const int values[] = {w->kernel_h, w->kernel_w, w->stride_h, w->stride_w, w->dilation_h, w->dilation_w};
    for (int v : values) {
      if (v < 1 || v > 4096) return Corrupt(StrCat("window, stride or dilation of ", v, ", expected 1 to 4096"));
    }
    if (padding == tflite::Padding::VALID) return OkStatus();
    if (padding != tflite::Padding::SAME) return Corrupt(StrCat("padding ", static_cast<int>(padding), ", expected SAME or VALID"));
    const auto total = [](int64_t in, int64_t kernel, int64_t stride, int64_t dilation) {
      return static_cast<int>(std::max<int64_t>(0, (CeilDiv(in, stride) - 1) * stride + (kernel - 1) * dilation + 1 - in));
    };
    const int h = total(x[1], w->kernel_h, w->stride_h, w->dilation_h), width = total(x[2], w->kernel_w, w->stride_w, w->dilation_w);
    w->pad_top = h / 2;
    w->pad_bottom = h - h / 2;
    w->pad_left = width / 2;
    w->pad_right = width - width / 2;
    return OkStatus();
  }

  // ---- Convolutions ----

  /// Weights as the graph wants them: output channel first.
  struct Layer {
    Shape shape;
    std::vector<float> weights;  ///< For float input.
    std::vector<int8_t> integers;  ///< For u8 input, with `scales`.
    std::vector<float> scales;
    bool depthwise = false;  ///< The file has channels last.
  };

  Status ReadWeights(int index, bool quantized, Layer* layer) {
    if (!IsConstant(index)) return Unsupported(StrCat("weights '", tensor(index).name, "' are not a constant"));
    const TfliteTensor& t = tensor(constant_[index]);
    const int64_t channels = layer->shape[0];
    const int channel_dimension = layer->depthwise ? 3 : 0;
    if (t.scale.size() > 1 && t.quantized_dimension != channel_dimension) {
      return Unsupported(StrCat("weights '", t.name, "' have scales along dimension ", t.quantized_dimension, ", expected ", channel_dimension));
    }
    const bool integer = t.type == TfliteType::kInt8 || t.type == TfliteType::kUint8;
    if (!quantized) {
      if (integer) ++hybrid_layers_;
      OCTET_ASSIGN_OR_RETURN(layer->weights, Floats(index));
      if (layer->depthwise) layer->weights = ChannelsFirst(layer->weights, channels);
      return OkStatus();
    }
    if (!integer || t.scale.empty()) {
      return Unsupported(StrCat("weights '", t.name, "' of ", TfliteTypeName(t.type), " for a quantized input, expected int8 with scales"));
    }
    OCTET_RETURN_IF_ERROR(Charge(static_cast<int64_t>(t.data.size()) + channels * 4));
    layer->scales = t.scale;
    if (layer->scales.size() == 1) layer->scales.assign(static_cast<size_t>(channels), t.scale[0]);
    layer->integers.resize(t.data.size());
    for (size_t i = 0; i < t.data.size(); ++i) {
      const auto byte = std::to_integer<uint8_t>(t.data[i]);
      const int64_t raw = t.type == TfliteType::kInt8 ? static_cast<int8_t>(byte) : byte;
      // Per-channel weights are symmetric; only a per-tensor zero point can be other than 0.
      const size_t c = t.scale.size() == 1 ? 0 : layer->depthwise ? i % t.scale.size() : i / (t.data.size() / t.scale.size());
      if (t.zero_point[c] < -256 || t.zero_point[c] > 256) return Corrupt(StrCat("weights '", t.name, "' have zero point ", t.zero_point[c]));
      const int64_t q = raw - t.zero_point[c];
      if (q < -128 || q > 127) {
        return Unsupported(StrCat("weights '", t.name, "' are asymmetric (zero point ", t.zero_point[c],
                                  "); quantize with TensorFlow 2, or convert the float model"));
      }
      layer->integers[i] = static_cast<int8_t>(q);
    }
    if (layer->depthwise) layer->integers = ChannelsFirst(layer->integers, channels);
    return OkStatus();
  }

  template <typename T>
  static std::vector<T> ChannelsFirst(const std::vector<T>& from, int64_t channels) {
    const int64_t taps = static_cast<int64_t>(from.size()) / channels;
    std::vector<T> to(from.size());
    for (int64_t t = 0; t < taps; ++t) {
      for (int64_t c = 0; c < channels; ++c) to[c * taps + t] = from[t * channels + c];
    }
    return to;
  }

  /// int32 bias with the correction for the input's zero point: sum w*(q-z) = sum w*q - z*sum w.
  Result<std::vector<int32_t>> IntegerBias(const Layer& layer, int32_t input_zero) const {
    const size_t channels = layer.scales.size(), row = layer.integers.size() / channels;
    std::vector<int64_t> bias(channels, 0);
    if (HasInput(2)) {
      OCTET_ASSIGN_OR_RETURN(bias, InputIntegers(2));
      if (bias.size() != channels) return Corrupt(StrCat("bias of ", bias.size(), " elements, expected ", channels));
    }
    std::vector<int32_t> corrected(channels);
    for (size_t c = 0; c < channels; ++c) {
      int64_t sum = 0;
      for (size_t i = 0; i < row; ++i) sum += layer.integers[c * row + i];
      // A sum of int8 times a zero point below 256 stays far from the limits of 64 bits; the bias may not.
      if (bias[c] > std::numeric_limits<int32_t>::max() || bias[c] < std::numeric_limits<int32_t>::min()) {
        return Unsupported(StrCat("bias ", bias[c], " of channel ", c, " does not fit 32 bits"));
      }
      const int64_t v = bias[c] - input_zero * sum;
      if (v > std::numeric_limits<int32_t>::max() || v < std::numeric_limits<int32_t>::min()) {
        return Unsupported(StrCat("bias ", v, " of channel ", c, " does not fit 32 bits"));
      }
      corrected[c] = static_cast<int32_t>(v);
    }
    return corrected;
  }

  /// The layer `x` -> `out`, weights and bias being inputs 1 and 2 of the operator.
  Result<TensorId> EmitLayer(OpType type, TensorId x, int out, Layer layer, octet::Activation activation, const Configure& configure) {
    const Type in_type = TypeOfValue(x);
    OCTET_ASSIGN_OR_RETURN(const Type out_type, TypeOf(out));
    if (in_type.dtype != out_type.dtype) {
      return Unsupported(StrCat(DTypeName(in_type.dtype), " input and ", DTypeName(out_type.dtype), " output"));
    }
    const bool quantized = in_type.dtype == DType::kU8;
    OCTET_ASSIGN_OR_RETURN(const int weights_index, Input(1));
    OCTET_RETURN_IF_ERROR(ReadWeights(weights_index, quantized, &layer));
    const std::string name = NameOf(out);
    std::vector<TensorId> inputs{x, kNoTensor};
    if (quantized) {
      OCTET_ASSIGN_OR_RETURN(inputs[kInputWeights], AddConstant(name + ".weight", DType::kI8, layer.shape, layer.integers));
      OCTET_ASSIGN_OR_RETURN(const std::vector<int32_t> bias, IntegerBias(layer, in_type.quantization.zero_point));
      inputs.resize(kInputScales + 1, kNoTensor);
      OCTET_ASSIGN_OR_RETURN(inputs[kInputBias], AddConstant(name + ".bias", DType::kI32, Shape{layer.shape[0]}, bias));
      OCTET_ASSIGN_OR_RETURN(inputs[kInputScales],
                             AddConstant(name + ".weight.scale", DType::kF32, Shape{layer.shape[0]}, layer.scales));
    } else {
      OCTET_ASSIGN_OR_RETURN(inputs[kInputWeights], AddConstant(name + ".weight", DType::kF32, layer.shape, layer.weights));
      if (HasInput(2)) {
        OCTET_ASSIGN_OR_RETURN(const int bias_index, Input(2));
        OCTET_ASSIGN_OR_RETURN(const std::vector<float> bias, Floats(bias_index));
        inputs.push_back(kNoTensor);
        OCTET_ASSIGN_OR_RETURN(inputs[kInputBias], AddConstant(name + ".bias", DType::kF32, Shape{layer.shape[0]}, bias));
      }
    }
    return EmitActivated(type, name, std::move(inputs), out_type, activation, configure);
  }

  /// The weights' shape with every dimension positive.
  Result<std::vector<int32_t>> WeightShape(size_t rank) const {
    OCTET_ASSIGN_OR_RETURN(const int index, Input(1));
    const std::vector<int32_t>& shape = tensor(index).shape;
    if (shape.size() != rank || std::any_of(shape.begin(), shape.end(), [](int32_t d) { return d < 1; })) {
      return Corrupt(StrCat("weights of shape ", ShapeText(shape), ", expected rank ", rank));
    }
    return shape;
  }

  // ---- Dilated convolutions: SPACE_TO_BATCH_ND, a convolution of every block_h-th row and block_w-th column, BATCH_TO_SPACE_ND ----

  struct Batched {
    TensorId x = kNoTensor;  ///< What went in; behind the convolution what comes out in the end.
    std::vector<int64_t> block, pads;
    bool convolved = false;
  };

  /// Block size and amounts of the one or the other, inputs 1 and 2.
  Status ReadBlock(const TfliteOperator& op, std::vector<int64_t>* block, std::vector<int64_t>* amounts) const {
    if (op.inputs.size() != 3 || op.inputs[1] < 0 || op.inputs[2] < 0) return Corrupt(StrCat(op.inputs.size(), " inputs, expected 3"));
    OCTET_ASSIGN_OR_RETURN(*block, Integers(op.inputs[1]));
    OCTET_ASSIGN_OR_RETURN(*amounts, Integers(op.inputs[2]));
    if (block->size() != 2 || amounts->size() != 4) {
      return Unsupported(StrCat("blocks of ", block->size(), " dimensions with ", amounts->size(), " amounts, expected height and width"));
    }
    for (int64_t v : *block) {
      if (v < 1 || v > 4096) return Corrupt(StrCat("block of ", v, ", expected 1 to 4096"));
    }
    for (int64_t v : *amounts) {
      if (v < 0 || v > (1 << 20)) return Corrupt(StrCat("amount ", v, ", expected 0 to ", 1 << 20));
    }
    return OkStatus();
  }

  Status ConvertSpaceToBatch() {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InputImage());
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    OCTET_ASSIGN_OR_RETURN(const Type type, TypeOf(out));
    Batched b;
    OCTET_RETURN_IF_ERROR(ReadBlock(*op_, &b.block, &b.pads));
    if (type.dtype != g_.tensor(x).dtype || !(type.quantization == g_.tensor(x).quantization)) {
      return Unsupported("input and output of different quantization");
    }
    b.x = x;
    return AddBatched(out, std::move(b));
  }

  Status AddBatched(int out, Batched b) {
    if (values_[out] != kNoTensor || IsConstant(out) || !batched_.emplace(out, std::move(b)).second) {
      return Corrupt(StrCat("'", tensor(out).name, "' is computed twice"));
    }
    return OkStatus();
  }

  Status ConvertBatchToSpace() {
    OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    OCTET_ASSIGN_OR_RETURN(const Type type, TypeOf(out));
    const auto it = batched_.find(in);
    if (it == batched_.end() || !it->second.convolved) return Unsupported("what it reads is not a convolution behind SPACE_TO_BATCH_ND");
    if (back_to_space_[in] != op_) return Unsupported("the convolution has several readers");
    OCTET_ASSIGN_OR_RETURN(const TensorId y, Requantize(NameOf(out), it->second.x, type));
    return Finish(out, y);
  }

  /// The image that a convolution with weights of that shape reads, and its window. Between the two operators above the window is the
  /// dilated one.
  template <typename Options>
  Result<TensorId> ConvolutionInput(int out, const Options& options, const std::vector<int32_t>& weights, Window* window) {
    const tflite::Padding padding = options.padding();
    window->kernel_h = weights[1], window->kernel_w = weights[2];
    window->stride_h = options.stride_h(), window->stride_w = options.stride_w();
    window->dilation_h = options.dilation_h_factor(), window->dilation_w = options.dilation_w_factor();
    OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
    const auto it = batched_.find(in);
    if (it == batched_.end()) {
      OCTET_ASSIGN_OR_RETURN(const TensorId x, InputImage());
      OCTET_RETURN_IF_ERROR(SetPadding(g_.tensor(x).shape, padding, window));
      return x;
    }
    const Batched& from = it->second;
    const auto back = back_to_space_.find(out);
    if (from.convolved || back == back_to_space_.end()) {
      return Unsupported(kOnlyConvolution);
    }
    OCTET_RETURN_IF_ERROR(SetPadding(g_.tensor(from.x).shape, tflite::Padding::VALID, window));
    const bool pads = padding != tflite::Padding::VALID && (window->kernel_h > 1 || window->kernel_w > 1);
    if (pads || window->stride_h != 1 || window->stride_w != 1 || window->dilation_h != 1 || window->dilation_w != 1) {
      return Unsupported("behind SPACE_TO_BATCH_ND a convolution must have padding VALID and stride and dilation 1");
    }
    std::vector<int64_t> block, crops;
    OCTET_RETURN_IF_ERROR(ReadBlock(*back->second, &block, &crops));
    if (block != from.block) return Unsupported("SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND have different blocks");
    int* const sides[] = {&window->pad_top, &window->pad_bottom, &window->pad_left, &window->pad_right};
    for (size_t i = 0; i < 4; ++i) {
      if (crops[i] > from.pads[i]) return Unsupported(StrCat("BATCH_TO_SPACE_ND removes ", crops[i], " pixels where ", from.pads[i], " were added"));
      *sides[i] = static_cast<int>(from.pads[i] - crops[i]);
    }
    window->dilation_h = static_cast<int>(block[0]);
    window->dilation_w = static_cast<int>(block[1]);
    return from.x;
  }

  /// Records a convolution's output.
  Status FinishConvolution(int out, TensorId y) {
    const auto it = batched_.find(op_->inputs[0]);
    if (it == batched_.end()) return Finish(out, y);
    return AddBatched(out, {y, it->second.block, it->second.pads, true});
  }

  Result<TensorId> InputImage() const {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InputActivation(0));
    if (g_.tensor(x).shape.rank() == 4) return x;
    return Unsupported(StrCat("input of shape ", g_.tensor(x).shape.ToString(), ", expected rank 4"));
  }

  Status ConvertConv() {
    OCTET_ASSIGN_OR_RETURN(const auto* options, Options(op_->table->builtin_options_as_Conv2DOptions()));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    OCTET_ASSIGN_OR_RETURN(const std::vector<int32_t> w, WeightShape(4));
    OCTET_ASSIGN_OR_RETURN(const octet::Activation activation, Fused(options->fused_activation_function()));
    Window window;
    OCTET_ASSIGN_OR_RETURN(const TensorId x, ConvolutionInput(out, *options, w, &window));
    const Shape x_shape = g_.tensor(x).shape;
    if (x_shape[3] % w[3] != 0) {
      return Corrupt(StrCat("input ", x_shape.ToString(), " and weights ", ShapeText(w), " differ in channels"));
    }
    Layer layer;
    layer.shape = Shape{w[0], w[1], w[2], w[3]};
    const int groups = static_cast<int>(x_shape[3] / w[3]);
    OCTET_ASSIGN_OR_RETURN(const TensorId y, EmitLayer(OpType::kConv2d, x, out, std::move(layer), activation, [&](Node* n) {
                             n->window = window;
                             n->groups = groups;
                           }));
    return FinishConvolution(out, y);
  }

  Status ConvertDepthwise() {
    OCTET_ASSIGN_OR_RETURN(const auto* options, Options(op_->table->builtin_options_as_DepthwiseConv2DOptions()));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    OCTET_ASSIGN_OR_RETURN(const std::vector<int32_t> w, WeightShape(4));
    OCTET_ASSIGN_OR_RETURN(const octet::Activation activation, Fused(options->fused_activation_function()));
    Window window;
    OCTET_ASSIGN_OR_RETURN(const TensorId x, ConvolutionInput(out, *options, w, &window));
    const Shape x_shape = g_.tensor(x).shape;
    if (w[0] != 1 || w[3] % x_shape[3] != 0) {
      return Corrupt(StrCat("weights ", ShapeText(w), " do not fit the input ", x_shape.ToString()));
    }
    Layer layer;
    layer.shape = Shape{w[3], w[1], w[2], 1};
    layer.depthwise = true;
    OCTET_ASSIGN_OR_RETURN(const TensorId y, EmitLayer(OpType::kConv2d, x, out, std::move(layer), activation, [&](Node* n) {
                             n->window = window;
                             n->groups = static_cast<int>(x_shape[3]);
                           }));
    return FinishConvolution(out, y);
  }

  Status ConvertFullyConnected() {
    OCTET_ASSIGN_OR_RETURN(const auto* options, Options(op_->table->builtin_options_as_FullyConnectedOptions()));
    OCTET_ASSIGN_OR_RETURN(TensorId x, InputActivation(0));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    OCTET_ASSIGN_OR_RETURN(const std::vector<int32_t> w, WeightShape(2));
    OCTET_ASSIGN_OR_RETURN(const octet::Activation activation, Fused(options->fused_activation_function()));
    if (options->weights_format() != 0) return Unsupported("shuffled weights");
    const Shape shape = g_.tensor(x).shape;
    Layer layer;
    if ((options->keep_num_dims() || on_pixels_) && shape.rank() == 4) {  // A dense layer at every pixel.
      layer.shape = Shape{w[0], 1, 1, w[1]};
      OCTET_ASSIGN_OR_RETURN(const TensorId y, EmitLayer(OpType::kConv2d, x, out, std::move(layer), activation,
                                                         RoundedAs(TfliteKernel::kFullyConnected)));
      return Finish(out, y);
    }
    if (shape.rank() == 4) {
      OCTET_ASSIGN_OR_RETURN(x, Emit(OpType::kReshape, NameOf(out) + ".flat", {x}, TypeOfValue(x), {}, Shape{1, shape.num_elements()}));
    }
    layer.shape = Shape{w[0], w[1]};
    OCTET_ASSIGN_OR_RETURN(const TensorId y, EmitLayer(OpType::kDense, x, out, std::move(layer), activation, {}));
    return Finish(out, y);
  }

  // ---- Elementwise ----

  /// A constant as one value or one per channel of `x`.
  Result<std::vector<float>> PerChannel(int index, TensorId x) {
    OCTET_ASSIGN_OR_RETURN(std::vector<float> values, Floats(index));
    const std::vector<int32_t>& shape = tensor(constant_[index]).shape;
    const int64_t channels = g_.tensor(x).shape.back();
    const bool per_channel = !shape.empty() && shape.back() == channels && static_cast<int64_t>(values.size()) == channels;
    if (values.size() == 1 || per_channel) return values;
    return Unsupported(StrCat("constant '", tensor(index).name, "' of shape ", ShapeText(shape), ", expected one value per channel of ",
                              g_.tensor(x).shape.ToString()));
  }

  Status ConvertBinary() {
    tflite::ActivationFunctionType fused = tflite::ActivationFunctionType::NONE;
    if (const auto* o = op_->table->builtin_options_as_AddOptions()) fused = o->fused_activation_function();
    if (const auto* o = op_->table->builtin_options_as_SubOptions()) fused = o->fused_activation_function();
    if (const auto* o = op_->table->builtin_options_as_MulOptions()) fused = o->fused_activation_function();
    OCTET_ASSIGN_OR_RETURN(const octet::Activation activation, Fused(fused));
    OCTET_ASSIGN_OR_RETURN(const int a, Input(0));
    OCTET_ASSIGN_OR_RETURN(const int b, Input(1));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    OCTET_ASSIGN_OR_RETURN(const Type type, TypeOf(out));
    const std::string name = NameOf(out);
    if (IsConstant(a) || IsConstant(b)) {
      if (IsConstant(a) && IsConstant(b)) return Unsupported("both operands are constants");
      OCTET_ASSIGN_OR_RETURN(const TensorId x, Activation(IsConstant(a) ? b : a));
      if (TypeOfValue(x).dtype != type.dtype) return Corrupt("input and output have different types");
      OCTET_ASSIGN_OR_RETURN(std::vector<float> c, PerChannel(IsConstant(a) ? a : b, x));
      std::vector<float> scale{1.0f}, shift{0.0f};
      float unit = 0.0f;
      const TfliteTensor& constant = tensor(constant_[IsConstant(a) ? a : b]);
      const bool integers = constant.type == TfliteType::kInt8 || constant.type == TfliteType::kUint8;
      const bool fixed_point = op_->code == kMul || op_->code == kAdd || (op_->code == kSub && IsConstant(b));
      if (type.dtype == DType::kU8 && integers && constant.scale.size() == 1 && fixed_point) unit = constant.scale[0];
      switch (op_->code) {
        case kAdd: shift = std::move(c); break;
        case kMul: scale = std::move(c); break;
        case kSub:
          if (IsConstant(a)) {
            scale = {-1.0f};
          } else {
            for (float& v : c) v = -v;
          }
          shift = std::move(c);
          break;
        default:
          if (IsConstant(a)) return Unsupported("division by an activation");
          for (float& v : c) v = 1.0f / v;
          scale = std::move(c);
      }
      OCTET_ASSIGN_OR_RETURN(const TensorId y, ScaleShift(name, x, type, std::move(scale), std::move(shift), activation, unit));
      return Finish(out, y);
    }
    OCTET_ASSIGN_OR_RETURN(TensorId x, Activation(a));
    OCTET_ASSIGN_OR_RETURN(TensorId z, Activation(b));
    if (TypeOfValue(x).dtype != type.dtype || TypeOfValue(z).dtype != type.dtype) return Corrupt("operands and output have different types");
    if (!(g_.tensor(x).shape == g_.tensor(z).shape)) {
      return Unsupported(StrCat("operands of shapes ", g_.tensor(x).shape.ToString(), " and ", g_.tensor(z).shape.ToString(), ", expected equal ones"));
    }
    if (op_->code == kDiv) return Unsupported("division by an activation");
    if (op_->code == kSub) {
      Type negative = TypeOfValue(z);
      // -s*(q-z) = s*((255-q) - (255-z)): exact.
      if (negative.dtype == DType::kU8) negative.quantization.zero_point = 255 - negative.quantization.zero_point;
      OCTET_ASSIGN_OR_RETURN(z, ScaleShift(name + ".negative", z, negative, {-1.0f}, {0.0f}));
    }
    const OpType op = op_->code == kMul ? OpType::kMul : OpType::kAdd;
    OCTET_ASSIGN_OR_RETURN(const TensorId y, EmitActivated(op, name, {x, z}, type, activation));
    return Finish(out, y);
  }

  Status ConvertRelu() {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InputActivation(0));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    OCTET_ASSIGN_OR_RETURN(const Type type, TypeOf(out));
    const Type own = TypeOfValue(x);
    const std::string name = NameOf(out);
    if (own.dtype != type.dtype) return Corrupt("input and output have different types");
    if (own.quantization == type.quantization) {
      OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(op_->code == kRelu ? OpType::kRelu : OpType::kRelu6, name, {x}, type));
      return Finish(out, y);
    }
    const octet::Activation activation = op_->code == kRelu ? octet::Activation::kRelu : octet::Activation::kRelu6;
    OCTET_ASSIGN_OR_RETURN(const TensorId y, ScaleShift(name, x, type, {1.0f}, {0.0f}, activation));
    return Finish(out, y);
  }

  Status ConvertSoftmax() {
    OCTET_ASSIGN_OR_RETURN(const auto* options, Options(op_->table->builtin_options_as_SoftmaxOptions()));
    OCTET_ASSIGN_OR_RETURN(TensorId x, InputActivation(0));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    OCTET_ASSIGN_OR_RETURN(const Type type, TypeOf(out));
    const std::string name = NameOf(out);
    if (TypeOfValue(x).dtype == DType::kU8) {
      OCTET_ASSIGN_OR_RETURN(x, Emit(OpType::kDequantize, name + ".logits", {x}, Type{}));
    }
    if (!std::isfinite(options->beta())) return Corrupt(StrCat("beta ", options->beta()));
    if (options->beta() != 1.0f) {
      OCTET_ASSIGN_OR_RETURN(x, ScaleShift(name + ".beta", x, Type{}, {options->beta()}, {0.0f}));
    }
    const bool quantized = type.dtype == DType::kU8;
    OCTET_ASSIGN_OR_RETURN(TensorId y, Emit(OpType::kSoftmax, quantized ? name + ".float" : name, {x}, Type{}));
    if (quantized) {
      OCTET_ASSIGN_OR_RETURN(y, Emit(OpType::kQuantize, name, {y}, type));
    }
    return Finish(out, y);
  }

  // ---- Types ----

  Status ConvertQuantize() {
    OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    OCTET_ASSIGN_OR_RETURN(const TensorId x, Activation(in));
    OCTET_ASSIGN_OR_RETURN(const Type type, TypeOf(out));
    if (type.dtype != DType::kU8) return Corrupt("output is not quantized");
    if (TypeOfValue(x).dtype == DType::kU8) {  // Also from uint8 to int8, where nothing changes here.
      OCTET_ASSIGN_OR_RETURN(const TensorId y, Requantize(NameOf(out), x, type));
      return Finish(out, y);
    }
    OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kQuantize, NameOf(out), {x}, type));
    return Finish(out, y);
  }

  Status ConvertDequantize() {
    OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    if (IsConstant(in)) {  // Weights stored as float16 or int8.
      if (values_[out] != kNoTensor || IsConstant(out)) return Corrupt(StrCat("'", tensor(out).name, "' is computed twice"));
      constant_[out] = constant_[in];
      return OkStatus();
    }
    OCTET_ASSIGN_OR_RETURN(const TensorId x, Activation(in));
    OCTET_ASSIGN_OR_RETURN(const Type type, TypeOf(out));
    if (type.dtype != DType::kF32 || TypeOfValue(x).dtype != DType::kU8) return Corrupt("expected a quantized input and a float32 output");
    OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kDequantize, NameOf(out), {x}, type));
    return Finish(out, y);
  }

  Status ConvertCast() {
    OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    if (folded_[in]) {
      folded_[out] = folded_[in];
      return OkStatus();
    }
    // Only raw pixels to float: a cast looks at the stored number, not at what a scale makes of it.
    if (tensor(in).type != TfliteType::kUint8 || !tensor(in).scale.empty() || tensor(out).type != TfliteType::kFloat32) {
      return Unsupported(StrCat("cast from ", TfliteTypeName(tensor(in).type), " to ", TfliteTypeName(tensor(out).type)));
    }
    OCTET_ASSIGN_OR_RETURN(const TensorId x, Activation(in));
    OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kDequantize, NameOf(out), {x}, Type{}));
    return Finish(out, y);
  }

  // ---- Pools ----

  Status ConvertPool() {
    OCTET_ASSIGN_OR_RETURN(const auto* options, Options(op_->table->builtin_options_as_Pool2DOptions()));
    OCTET_ASSIGN_OR_RETURN(const octet::Activation activation, Fused(options->fused_activation_function()));
    OCTET_ASSIGN_OR_RETURN(const TensorId image, InputImage());
    Window window;
    window.kernel_h = options->filter_height(), window.kernel_w = options->filter_width();
    window.stride_h = options->stride_h(), window.stride_w = options->stride_w();
    OCTET_RETURN_IF_ERROR(SetPadding(g_.tensor(image).shape, options->padding(), &window));
    const OpType type = op_->code == kMaxPool2d ? OpType::kMaxPool : OpType::kAveragePool;
    return Move([&](TensorId x, const Type& own, const std::string& name) {
      return EmitActivated(type, name, {x}, own, activation, [&](Node* n) { n->window = window; });
    });
  }

  /// Whether a reduction over height and width keeps them as 1; an error when it reduces anything else.
  Result<bool> ReducesImage() const {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, InputIntegers(1));
    std::set<int64_t> normalized;
    for (int64_t a : axes) normalized.insert(a < 0 ? a + 4 : a);
    if (normalized != std::set<int64_t>{1, 2}) return Unsupported("it reduces other dimensions than height and width");
    const auto* options = op_->table->builtin_options_as_ReducerOptions();
    return options != nullptr && options->keep_dims();
  }

  Status ConvertReduceMax() {
    OCTET_ASSIGN_OR_RETURN(const TensorId image, InputImage());
    OCTET_ASSIGN_OR_RETURN(const bool keep, ReducesImage());
    const Shape shape = g_.tensor(image).shape;
    if (shape[1] > 4096 || shape[2] > 4096) return Unsupported(StrCat("a maximum over ", shape.ToString()));
    return Move([&](TensorId x, const Type& own, const std::string& name) -> Result<TensorId> {
      OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(OpType::kMaxPool, keep ? name : name + ".pool", {x}, own, [&](Node* n) {
                               n->window.kernel_h = static_cast<int>(shape[1]);
                               n->window.kernel_w = static_cast<int>(shape[2]);
                             }));
      if (keep) return y;
      return Emit(OpType::kReshape, name, {y}, own, {}, Shape{1, shape[3]});
    });
  }

  Status ConvertMean() {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InputImage());
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    OCTET_ASSIGN_OR_RETURN(const Type type, TypeOf(out));
    OCTET_ASSIGN_OR_RETURN(const bool keep, ReducesImage());
    if (TypeOfValue(x).dtype != type.dtype) return Corrupt("input and output have different types");
    const std::string name = NameOf(out);
    OCTET_ASSIGN_OR_RETURN(TensorId y, Emit(OpType::kGlobalAveragePool, keep ? name : name + ".pool", {x}, type, RoundedAs(TfliteKernel::kMean)));
    if (!keep) {
      OCTET_ASSIGN_OR_RETURN(y, Emit(OpType::kReshape, name, {y}, type, {}, Shape{1, g_.tensor(y).shape[3]}));
    }
    return Finish(out, y);
  }

  // ---- Shapes ----

  Status ConvertPad() {
    OCTET_ASSIGN_OR_RETURN(const TensorId image, InputActivation(0));
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> amounts, InputIntegers(1));
    const int rank = g_.tensor(image).shape.rank();
    if (amounts.size() != static_cast<size_t>(rank) * 2) return Corrupt(StrCat(amounts.size(), " amounts, expected ", 2 * rank));
    for (int64_t v : amounts) {
      if (v < 0 || v > (1 << 20)) return Corrupt(StrCat("amount ", v, ", expected 0 to ", 1 << 20));
    }
    float value = 0.0f;
    if (op_->code == kPadV2) {
      OCTET_ASSIGN_OR_RETURN(const int index, Input(2));
      OCTET_ASSIGN_OR_RETURN(const std::vector<float> values, Floats(index));
      if (values.size() != 1) return Corrupt(StrCat(values.size(), " fill values, expected 1"));
      value = values[0];
    }
    return Move([&](TensorId x, const Type& own, const std::string& name) {
      return Emit(OpType::kPad, name, {x}, own, [&](Node* n) {
        for (int d = 0; d < rank; ++d) {
          n->begin[d] = static_cast<int32_t>(amounts[2 * d]);
          n->end[d] = static_cast<int32_t>(amounts[2 * d + 1]);
        }
        n->pad_value = value;
      });
    });
  }

  /// Reshapes the operator's input to `shape` (batch 1).
  Status ReshapeTo(const Shape& shape) {
    return Move([&](TensorId x, const Type& own, const std::string& name) { return Emit(OpType::kReshape, name, {x}, own, {}, shape); });
  }

  Status ConvertReshape() {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InputActivation(0));
    std::vector<int64_t> target;
    if (HasInput(1)) {
      OCTET_ASSIGN_OR_RETURN(target, InputIntegers(1));
    } else {
      OCTET_ASSIGN_OR_RETURN(const auto* options, Options(op_->table->builtin_options_as_ReshapeOptions()));
      if (options->new_shape() != nullptr) target.assign(options->new_shape()->begin(), options->new_shape()->end());
    }
    const int64_t elements = g_.tensor(x).shape.num_elements();
    if (target.size() != 2 && target.size() != 4) {
      return Unsupported(StrCat("a shape of rank ", target.size(), ", expected [batch, channels] or [batch, height, width, channels]"));
    }
    // [batch * height * width, channels], to apply a dense layer at every pixel: nothing changes here but the reading of it.
    const Shape from = g_.tensor(x).shape;
    const int64_t pixels = from.rank() == 4 ? from[1] * from[2] : 1;
    if (from.rank() == 4 && pixels > 1 && target.size() == 2 && target[1] == from[3] && (target[0] == -1 || target[0] == batch_ * pixels)) {
      OCTET_ASSIGN_OR_RETURN(const int out, Output());
      OCTET_RETURN_IF_ERROR(Finish(out, x));
      pixels_[out] = true;
      return OkStatus();
    }
    if (target[0] != batch_ && target[0] != -1) {
      return Unsupported(StrCat("a shape that begins with ", target[0], ", expected the batch, ", batch_));
    }
    int64_t known = 1;
    int open = -1;
    for (size_t d = 1; d < target.size(); ++d) {
      if (target[d] == -1 && open < 0) {
        open = static_cast<int>(d);
      } else if (target[d] < 1 || !CheckedMul(known, target[d], &known)) {
        return Corrupt(StrCat("dimension ", target[d], " in its shape"));
      }
    }
    if (open >= 0 && elements % known == 0) target[open] = elements / known;
    Shape shape{1};
    for (size_t d = 1; d < target.size(); ++d) shape.push_back(target[d]);
    return ReshapeTo(shape);
  }

  Status ConvertSqueeze() {
    const auto* options = op_->table->builtin_options_as_SqueezeOptions();
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InputActivation(0));
    const Shape from = g_.tensor(x).shape;
    std::set<int> dims;
    if (options != nullptr && options->squeeze_dims() != nullptr) {
      for (int d : *options->squeeze_dims()) dims.insert(d < 0 ? d + from.rank() : d);
    }
    Shape shape{1};
    for (int d = 1; d < from.rank(); ++d) {
      const bool remove = dims.empty() ? from[d] == 1 && d + 1 < from.rank() : dims.count(d) > 0;
      if (remove && from[d] != 1) return Corrupt(StrCat("dimension ", d, " of ", from.ToString(), " is not 1"));
      if (!remove) shape.push_back(from[d]);
    }
    if (dims.count(0) > 0 || (shape.rank() != 2 && shape.rank() != 4)) {
      return Unsupported(StrCat("from ", from.ToString(), " to ", shape.ToString(), ", expected rank 2 or 4 with the batch kept"));
    }
    return ReshapeTo(shape);
  }

  Status ConvertTranspose() {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InputActivation(0));
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> order, InputIntegers(1));
    const Shape from = g_.tensor(x).shape;
    std::set<int64_t> seen(order.begin(), order.end());
    if (static_cast<int>(order.size()) != from.rank() || static_cast<int>(seen.size()) != from.rank() || *seen.begin() != 0 ||
        *seen.rbegin() != from.rank() - 1) {
      return Corrupt("its order is not a permutation of the dimensions");
    }
    // Nothing moves in memory as long as the dimensions larger than 1 stay in order.
    Shape shape{1};
    int64_t last = -1;
    bool moves = order[0] != 0;
    for (size_t d = 1; d < order.size() && !moves; ++d) {
      shape.push_back(from[static_cast<int>(order[d])]);
      if (shape.back() == 1) continue;
      moves = order[d] < last;
      last = order[d];
    }
    if (moves) return Unsupported("it moves values in memory");
    return ReshapeTo(shape);
  }

  Status ConvertConcat() {
    OCTET_ASSIGN_OR_RETURN(const auto* options, Options(op_->table->builtin_options_as_ConcatenationOptions()));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    if (AllFolded()) return FoldConcat(out);
    OCTET_ASSIGN_OR_RETURN(const octet::Activation activation, Fused(options->fused_activation_function()));
    OCTET_ASSIGN_OR_RETURN(const Type type, TypeOf(out));
    const std::string name = NameOf(out);
    std::vector<TensorId> inputs;
    for (size_t i = 0; i < op_->inputs.size(); ++i) {
      OCTET_ASSIGN_OR_RETURN(const TensorId x, InputActivation(i));
      OCTET_ASSIGN_OR_RETURN(const TensorId same, Requantize(StrCat(name, ".input", i), x, type));
      inputs.push_back(same);
    }
    if (inputs.empty()) return Corrupt("no inputs");
    const int rank = g_.tensor(inputs[0]).shape.rank();
    const int axis = options->axis() < 0 ? options->axis() + rank : options->axis();
    if (inputs.size() == 1) return Finish(out, inputs[0]);
    if (axis < 1) return Unsupported("a concatenation along the batch");
    OCTET_ASSIGN_OR_RETURN(const TensorId y, EmitActivated(OpType::kConcat, name, inputs, type, activation, [&](Node* n) { n->axis = axis; }));
    return Finish(out, y);
  }

  // ---- Shapes computed from the input's, known once the input's size is ----

  bool AllFolded() const {
    return !op_->inputs.empty() && std::all_of(op_->inputs.begin(), op_->inputs.end(), [&](int i) {
      return i >= 0 && (folded_[i].has_value() || (IsConstant(i) && (tensor(i).type == TfliteType::kInt32 || tensor(i).type == TfliteType::kInt64)));
    });
  }

  Status Fold(int out, std::vector<int64_t> values) {
    if (values.size() > 64) return Unsupported(StrCat(values.size(), " integers computed from a shape"));
    if (folded_[out] || IsConstant(out)) return Corrupt(StrCat("'", tensor(out).name, "' is computed twice"));
    folded_[out] = std::move(values);
    return OkStatus();
  }

  Status FoldConcat(int out) {
    std::vector<int64_t> all;
    for (size_t i = 0; i < op_->inputs.size(); ++i) {
      OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> part, InputIntegers(i));
      all.insert(all.end(), part.begin(), part.end());
      if (all.size() > 64) break;
    }
    return Fold(out, std::move(all));
  }

  Status ConvertShape() {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InputActivation(0));
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    const Shape& shape = g_.tensor(x).shape;
    std::vector<int64_t> values{batch_};
    for (int d = 1; d < shape.rank(); ++d) values.push_back(shape[d]);
    return Fold(out, std::move(values));
  }

  Status ConvertGather() {
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    if (!AllFolded()) return Unsupported("gathering activations");
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> from, InputIntegers(0));
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> at, InputIntegers(1));
    std::vector<int64_t> values;
    for (int64_t i : at) {
      if (i < 0 || i >= static_cast<int64_t>(from.size())) return Corrupt(StrCat("index ", i, ", expected less than ", from.size()));
      if (values.size() > 64) break;
      values.push_back(from[static_cast<size_t>(i)]);
    }
    return Fold(out, std::move(values));
  }

  Status ConvertReduceProd() {
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    if (!AllFolded()) return Unsupported("a product of activations");
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> from, InputIntegers(0));
    int64_t product = 1;
    for (int64_t v : from) {
      if (!CheckedMul(product, v, &product)) return Corrupt("a product that does not fit 64 bits");
    }
    return Fold(out, {product});
  }

  Status ConvertPack() {
    OCTET_ASSIGN_OR_RETURN(const int out, Output());
    if (!AllFolded()) return Unsupported("packing activations");
    return FoldConcat(out);
  }

  Status ConvertStridedSlice() {
    OCTET_ASSIGN_OR_RETURN(const auto* options, Options(op_->table->builtin_options_as_StridedSliceOptions()));
    OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> begin, InputIntegers(1));
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> end, InputIntegers(2));
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> step, InputIntegers(3));
    if (options->ellipsis_mask() != 0 || options->new_axis_mask() != 0 || options->offset()) {
      return Unsupported("ellipsis, new axes or offsets");
    }
    std::vector<int64_t> sizes;
    const bool fold = folded_[in].has_value();
    if (fold) {
      sizes = {static_cast<int64_t>(folded_[in]->size())};
    } else {
      OCTET_ASSIGN_OR_RETURN(const TensorId x, Activation(in));
      const Shape& shape = g_.tensor(x).shape;
      for (int d = 0; d < shape.rank(); ++d) sizes.push_back(shape[d]);
    }
    if (begin.size() > sizes.size() || begin.size() != end.size() || begin.size() != step.size()) {
      return Corrupt(StrCat("begin, end and strides of ", begin.size(), ", ", end.size(), " and ", step.size(), " elements for rank ", sizes.size()));
    }
    std::array<int64_t, 4> first{0, 0, 0, 0}, behind{1, 1, 1, 1}, stride{1, 1, 1, 1};
    for (size_t d = 0; d < sizes.size(); ++d) behind[d] = sizes[d];
    for (size_t d = 0; d < begin.size(); ++d) {
      if (step[d] < 1 || step[d] > (1 << 20)) return Unsupported(StrCat("stride ", step[d]));
      stride[d] = step[d];
      const auto place = [&](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + sizes[d] : v, 0, sizes[d]); };
      if ((options->begin_mask() >> d & 1) == 0) first[d] = place(begin[d]);
      if ((options->end_mask() >> d & 1) == 0) behind[d] = place(end[d]);
      if (options->shrink_axis_mask() >> d & 1) behind[d] = first[d] + 1;
      if (behind[d] <= first[d] || behind[d] > sizes[d]) return Corrupt(StrCat("an empty range in dimension ", d));
    }
    if (fold) {
      OCTET_ASSIGN_OR_RETURN(const int out, Output());
      std::vector<int64_t> values;
      for (int64_t i = first[0]; i < behind[0]; i += stride[0]) values.push_back((*folded_[in])[static_cast<size_t>(i)]);
      return Fold(out, std::move(values));
    }
    if (options->shrink_axis_mask() != 0) return Unsupported("a slice that removes a dimension");
    return EmitSlice(first, behind, stride);
  }

  Status ConvertSlice() {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InputActivation(0));
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> begin, InputIntegers(1));
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> size, InputIntegers(2));
    const Shape& shape = g_.tensor(x).shape;
    if (begin.size() != static_cast<size_t>(shape.rank()) || size.size() != begin.size()) return Corrupt("begin and size do not fit the rank");
    std::array<int64_t, 4> first{0, 0, 0, 0}, behind{1, 1, 1, 1};
    for (int d = 0; d < shape.rank(); ++d) {
      // The batch is written with its size in the file; here it is 1.
      const int64_t limit = d == 0 ? batch_ : shape[d];
      if (begin[d] < 0 || begin[d] >= limit || size[d] < -1 || size[d] == 0 || size[d] > limit - begin[d]) {
        return Corrupt(StrCat("range of ", size[d], " from ", begin[d], " in dimension ", d, " of ", shape.ToString()));
      }
      first[d] = begin[d];
      behind[d] = size[d] < 0 ? limit : begin[d] + size[d];
    }
    if (first[0] == 0 && behind[0] == batch_) behind[0] = 1;
    return EmitSlice(first, behind, {1, 1, 1, 1});
  }

  Status EmitSlice(const std::array<int64_t, 4>& first, const std::array<int64_t, 4>& behind, const std::array<int64_t, 4>& stride) {
    return Move([&](TensorId x, const Type& own, const std::string& name) {
      return Emit(OpType::kSlice, name, {x}, own, [&](Node* n) {
        for (int d = 0; d < 4; ++d) {
          n->begin[d] = static_cast<int32_t>(first[d]);
          n->end[d] = static_cast<int32_t>(behind[d]);
          n->step[d] = static_cast<int32_t>(stride[d]);
        }
      });
    });
  }

  Status Convert() {
    switch (op_->code) {
      case kConv2d: return ConvertConv();
      case kDepthwiseConv2d: return ConvertDepthwise();
      case kFullyConnected: return ConvertFullyConnected();
      case kAdd:
      case kSub:
      case kMul:
      case kDiv: return ConvertBinary();
      case kRelu:
      case kRelu6: return ConvertRelu();
      case kAveragePool2d:
      case kMaxPool2d: return ConvertPool();
      case kMean: return ConvertMean();
      case kReduceMax: return ConvertReduceMax();
      case kPad:
      case kPadV2: return ConvertPad();
      case kReshape: return ConvertReshape();
      case kSqueeze: return ConvertSqueeze();
      case kBatchToSpaceNd: return ConvertBatchToSpace();
      case kSpaceToBatchNd: return ConvertSpaceToBatch();
      case kTranspose: return ConvertTranspose();
      case kShape: return ConvertShape();
      case kPack: return ConvertPack();
      case kGather: return ConvertGather();
      case kReduceProd: return ConvertReduceProd();
      case kStridedSlice: return ConvertStridedSlice();
      case kSlice: return ConvertSlice();
      case kConcatenation: return ConvertConcat();
      case kSoftmax: return ConvertSoftmax();
      case kQuantize: return ConvertQuantize();
      case kDequantize: return ConvertDequantize();
      case kCast: return ConvertCast();
    }
    return InternalError("an operator passed the check of supported ones");
  }

  const TfliteFile& file_;
  int64_t budget_;  ///< Bytes of constants still allowed.
  Graph g_;
  int64_t batch_ = 1;               ///< As the file writes it; the graph's is 1.
  std::vector<TensorId> values_;    ///< Graph tensor of each activation.
  std::vector<int> constant_;       ///< File tensor with each constant's data, -1 for activations.
  std::vector<std::optional<std::vector<int64_t>>> folded_;  ///< Integers known in advance.
  std::vector<bool> failed_;        ///< Outputs of refused operators.
  std::vector<bool> pixels_;  ///< Read as [batch * height * width, channels] in the file; of rank 4 here.
  bool on_pixels_ = false;    ///< An input of the current operator is.
  std::map<int, Batched> batched_;  ///< By tensor: those between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND.
  std::map<int, const TfliteOperator*> back_to_space_;  ///< BATCH_TO_SPACE_ND by what it reads.
  UniqueNames names_{"_", 1};
  const TfliteOperator* op_ = nullptr;
  int hybrid_layers_ = 0, half_constants_ = 0;
};

}  // namespace

Result<Graph> ImportTfliteBytes(std::string_view bytes) {
  OCTET_ASSIGN_OR_RETURN(const TfliteFile file, ReadTfliteBytes({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, nullptr));
  return TfliteImporter(file).Run();
}

Result<Graph> ImportTflite(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const TfliteFile file, ReadTflite(path));
  Result<Graph> graph = TfliteImporter(file).Run();
  if (!graph.ok()) return Status(graph.status()).WithContext(path);
  graph->metadata.name = std::filesystem::path(path).stem().string();
  return graph;
}

}  // namespace octet
