// TFLite's convolutions, dense layers, pools and reductions.
#include <algorithm>
#include <cmath>
#include <utility>

#include "converter/import/tflite/importer.h"

namespace octet {
namespace {

// Codes in the public schema.
constexpr int kAveragePool = 1, kMean = 40, kSum = 74, kReduceMax = 82;

/// LiteRT refuses a bias whose scale is further from that of the products, in steps of the output.
constexpr double kBiasScaleTolerance = 0.02;

}  // namespace

// ---- Weights ----

Result<Dims> TfliteImporter::WeightDims(size_t rank) const {
  OCTET_ASSIGN_OR_RETURN(const int index, Input(1));
  if (!IsConstant(index))
    return Unsupported(StrCat("weights '", tensor(index).name, "' are not a constant"));
  const std::vector<int32_t>& shape = ConstantOf(index).shape;
  const Dims dims(shape.begin(), shape.end());
  if (dims.size() != rank || *std::min_element(dims.begin(), dims.end()) < 1) {
    return Corrupt(StrCat("weights of shape ", DimsText(dims), ", expected rank ", rank));
  }
  return dims;
}

Status TfliteImporter::CheckBiasType(tflite::TensorType type) const {
  OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
  const bool int16 = tensor(in).type == ElementType::kInt16;
  // float32: not set.
  if (type == tflite::TensorType::FLOAT32 ||
      type == (int16 ? tflite::TensorType::INT64 : tflite::TensorType::INT32))
    return OkStatus();
  return Unsupported(StrCat("its option quantized_bias_type is ",
                            TypeName(TfliteType(static_cast<int>(type))), ", expected ",
                            int16 ? "int64" : "int32"));
}

/// What TFLite's kernels of int16 activations ask for beside what those of 8 bits do.
Status TfliteImporter::CheckInt16(int index, const Quantization& in,
                                  const LayerWeights& layer) const {
  const TfliteTensor& weights = ConstantOf(index);
  if (weights.type != ElementType::kInt8 ||
      std::any_of(weights.zero_point.begin(), weights.zero_point.end(),
                  [](int64_t z) { return z != 0; })) {
    return Unsupported(StrCat("weights '", weights.name, "' of ", TypeName(weights.type),
                              " for an int16 input, expected int8 with zero points of 0"));
  }
  if (HasInput(2) && tensor(op_->inputs[2]).type != ElementType::kInt64) {
    return Unsupported(StrCat("bias of ", TypeName(tensor(op_->inputs[2]).type),
                              " for an int16 input, expected int64"));
  }
  for (size_t c = 0; c < layer.code_bias.size(); ++c) {
    if (std::abs(layer.code_bias[c]) > kMaxInt16Bias) {
      return Unsupported(StrCat("bias ", layer.code_bias[c], " of channel ", c, ", expected ",
                                -kMaxInt16Bias, " to ", kMaxInt16Bias));
    }
  }
  const size_t row = layer.values.size() / layer.steps.size();
  for (size_t c = 0; c < layer.steps.size(); ++c) {
    const double multiplier =
        static_cast<double>(in.scale) * layer.steps[c] / layer.out.quantization.scale;
    if (multiplier >= 128.0)
      return Unsupported(StrCat("sums in steps of ", multiplier,
                                " of the output's, expected less than 128, TFLite's limit"));
    double largest =
        layer.code_bias.empty() ? 0.0 : std::fabs(static_cast<double>(layer.code_bias[c]));
    for (size_t i = 0; i < row; ++i)
      largest += 0x1p15 * std::fabs(layer.values[c * row + i] / layer.steps[c]);
    if (largest * multiplier >= 0x1p31)
      return Unsupported(StrCat("channel ", c, " may sum up to ", largest, " in steps of ",
                                multiplier, " of the output's, which overflows TFLite's 32 bits"));
  }
  return OkStatus();
}

/// Weights and bias, inputs 1 and 2 of the operator, for the result `out`. `shape` has the output
/// channel first; a depthwise file has them last.
Result<LayerWeights> TfliteImporter::ReadLayer(int out, const ValueType& in, const Shape& shape,
                                               bool depthwise, const Limits& limits) {
  LayerWeights layer;
  layer.shape = shape;
  layer.name = NameOf(out) + ".weight";
  layer.bias_name = NameOf(out) + ".bias";
  OCTET_ASSIGN_OR_RETURN(layer.out, TypeOf(out));
  if (in.dtype != layer.out.dtype)
    return Unsupported(
        StrCat(DTypeName(in.dtype), " input and ", DTypeName(layer.out.dtype), " output"));
  OCTET_ASSIGN_OR_RETURN(const int index, Input(1));
  const TfliteTensor& weights = ConstantOf(index);
  const int channel_dimension = depthwise ? 3 : 0;
  if (weights.scale.size() > 1 && weights.quantized_dimension != channel_dimension) {
    return Unsupported(StrCat("weights '", weights.name, "' have scales along dimension ",
                              weights.quantized_dimension, ", expected ", channel_dimension));
  }
  const bool integer = weights.type == ElementType::kInt8 || weights.type == ElementType::kUint8;
  if (IsCodes(in.dtype)) {
    if (!integer || weights.scale.empty()) {
      return Unsupported(StrCat("weights '", weights.name, "' of ", TypeName(weights.type),
                                " for a quantized input, expected int8 with scales"));
    }
    layer.activation = limits.inside(layer.out);
    OCTET_RETURN_IF_ERROR(ReadIntegers(index, in.quantization, depthwise, &layer));
    if (in.dtype == DType::kI16) OCTET_RETURN_IF_ERROR(CheckInt16(index, in.quantization, layer));
    return layer;
  }
  if (codes_.count(constant_[static_cast<size_t>(index)]) > 0) {
    layer.steps = weights.scale;
  } else if (integer) {
    ++hybrid_layers_;
  }
  OCTET_ASSIGN_OR_RETURN(layer.values, Floats(index));
  if (depthwise)
    layer.values = Permuted<float>(layer.values, {shape[1] * shape[2], shape[0]}, {1, 0});
  if (HasInput(2)) {
    OCTET_ASSIGN_OR_RETURN(layer.bias, Floats(op_->inputs[2]));
  }
  return layer;
}

/// int8 weights, and the bias at scale in * weights with the correction for the input's zero point:
/// sum w*(q-z) = sum w*q - z*sum w.
Status TfliteImporter::ReadIntegers(int index, const Quantization& in, bool depthwise,
                                    LayerWeights* layer) {
  const TfliteTensor& t = ConstantOf(index);
  const size_t channels = static_cast<size_t>(layer->shape[0]), row = t.data.size() / channels;
  OCTET_RETURN_IF_ERROR(builder_.Charge(static_cast<int64_t>(t.data.size()) * 4));
  layer->steps = t.scale;
  if (t.scale.size() == 1) layer->steps.assign(channels, t.scale[0]);
  layer->values.resize(t.data.size());
  std::vector<int64_t> bias(channels, 0), sums(channels, 0);
  for (size_t i = 0; i < t.data.size(); ++i) {
    const auto byte = std::to_integer<uint8_t>(t.data[i]);
    const int64_t raw = t.type == ElementType::kInt8 ? static_cast<int8_t>(byte) : byte;
    const size_t c = depthwise ? i % channels : i / row;
    const int64_t zero = t.zero_point[t.scale.size() == 1 ? 0 : c];
    if (zero < -256 || zero > 256)
      return Corrupt(StrCat("weights '", t.name, "' have zero point ", zero));
    const int64_t q = raw - zero;
    sums[c] += q;
    layer->values[depthwise ? c * row + i / channels : i] = static_cast<float>(q) * layer->steps[c];
  }
  if (HasInput(2)) {
    OCTET_ASSIGN_OR_RETURN(bias, InputIntegers(2));
    if (bias.size() != channels)
      return Corrupt(StrCat("bias of ", bias.size(), " elements, expected ", channels));
    const TfliteTensor& b = tensor(op_->inputs[2]);
    for (size_t c = 0; c < channels && !b.scale.empty(); ++c) {
      const size_t at = b.scale.size() == 1 ? 0 : c;
      const double expected = static_cast<double>(in.scale) * layer->steps[c];
      if (b.zero_point[at] != 0 ||
          std::fabs(b.scale[at] - expected) > kBiasScaleTolerance * layer->out.quantization.scale) {
        return Unsupported(StrCat("bias '", b.name, "' has scale ", b.scale[at], " and zero point ",
                                  b.zero_point[at], " at channel ", c, ", expected ", expected,
                                  ", that of input and weights, and 0"));
      }
    }
  }
  const auto fits = [](int64_t v) {
    return v >= std::numeric_limits<int32_t>::min() && v <= std::numeric_limits<int32_t>::max();
  };
  if (layer->out.dtype == DType::kI16) {
    layer->code_bias = std::move(bias);
    return OkStatus();
  }
  for (size_t c = 0; c < channels; ++c) {
    // A sum of 9 bits times a zero point below 256 stays far from the limits of 64 bits.
    const int64_t v = fits(bias[c]) ? bias[c] - in.zero_point * sums[c] : bias[c];
    if (!fits(v))
      return Unsupported(StrCat("bias ", v, " of channel ", c, " does not fit 32 bits"));
    layer->code_bias.push_back(v);
  }
  return OkStatus();
}

// ---- Dilated convolutions ----

/// Block size and amounts, inputs 1 and 2.
Result<BatchBlocks> TfliteImporter::ReadBlocks(const TfliteOperator& op) const {
  if (op.inputs.size() != 3 || op.inputs[1] < 0 || op.inputs[2] < 0)
    return Corrupt(StrCat(op.inputs.size(), " inputs, expected 3"));
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> block, Integers(op.inputs[1]));
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> amounts, Integers(op.inputs[2]));
  return ReadBatchBlocks(block, amounts);
}

Status TfliteImporter::SpaceToBatch() {
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const TensorId x, InputImage(NameOf(out)));
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  OCTET_ASSIGN_OR_RETURN(const BatchBlocks blocks, ReadBlocks(*op_));
  if (!(type == builder_.TypeOf(x)))
    return Unsupported("input and output of different quantization");
  if (views_[static_cast<size_t>(out)].id != kNoTensor || IsConstant(out) ||
      !batched_.emplace(out, Batched{blocks, x, false}).second) {
    return Corrupt(StrCat("'", tensor(out).name, "' is computed twice"));
  }
  return OkStatus();
}

Status TfliteImporter::BatchToSpace() {
  OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  const auto it = batched_.find(in);
  if (it == batched_.end() || !it->second.convolved)
    return Unsupported("what it reads is not a convolution behind SPACE_TO_BATCH_ND");
  if (back_to_space_[in] != op_) return Unsupported("the convolution has several readers");
  if (type.dtype == DType::kI16 && !(type == builder_.TypeOf(it->second.x)))
    return Unsupported("input and output of different scales");
  OCTET_ASSIGN_OR_RETURN(View y, Requantize(NameOf(out), builder_.Plain(it->second.x), type));
  return Finish(out, std::move(y));
}

// ---- Layers ----

Status TfliteImporter::SetPadding(tflite::Padding padding, const Shape& x, WideWindow* window) {
  if (padding == tflite::Padding::VALID) return OkStatus();
  if (padding != tflite::Padding::SAME)
    return Corrupt(StrCat("padding ", static_cast<int>(padding), ", expected SAME or VALID"));
  for (int d = 0; d < 2; ++d) {
    if (window->stride[d] < 1) return Corrupt(StrCat("stride ", window->stride[d]));
    window->padding[d] =
        SamePadding(x[d + 1], window->kernel[d], window->stride[d], window->dilation[d]);
  }
  return OkStatus();
}

template <typename Table>
Status TfliteImporter::Convolution(const Table& options, bool depthwise) {
  OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const Dims w, WeightDims(4));
  OCTET_ASSIGN_OR_RETURN(const Limits limits, Fused(options.fused_activation_function()));
  const std::string name = NameOf(out);
  WideWindow window{{w[1], w[2]},
                    {options.stride_h(), options.stride_w()},
                    {options.dilation_h_factor(), options.dilation_w_factor()},
                    {}};
  TensorId x = kNoTensor;
  const auto batched = batched_.find(in);
  if (batched == batched_.end()) {
    OCTET_ASSIGN_OR_RETURN(x, InputImage(name));
    OCTET_RETURN_IF_ERROR(SetPadding(options.padding(), builder_.ShapeOf(x), &window));
  } else {
    const auto back = back_to_space_.find(out);
    if (batched->second.convolved || back == back_to_space_.end())
      return Unsupported(kOnlyConvolution);
    OCTET_ASSIGN_OR_RETURN(const BatchBlocks to_space, ReadBlocks(*back->second));
    OCTET_RETURN_IF_ERROR(Dilate(batched->second.blocks, to_space,
                                 options.padding() != tflite::Padding::VALID, &window));
    x = batched->second.x;
  }
  const Shape x_shape = builder_.ShapeOf(x);
  const int64_t channels = x_shape[3];
  if (depthwise ? w[0] != 1 || w[3] % channels != 0 : channels % w[3] != 0) {
    return Corrupt(StrCat("weights ", DimsText(w), " do not fit the input ", x_shape.ToString()));
  }
  const Shape shape = depthwise ? Shape{w[3], w[1], w[2], 1} : Shape{w[0], w[1], w[2], w[3]};
  OCTET_ASSIGN_OR_RETURN(const LayerWeights layer,
                         ReadLayer(out, builder_.TypeOf(x), shape, depthwise, limits));
  const bool clips = limits.any() && layer.activation == octet::Activation::kNone;
  OCTET_ASSIGN_OR_RETURN(const TensorId linear,
                         builder_.Conv(clips ? name + ".linear" : name, x, layer, window,
                                       depthwise ? channels : channels / w[3]));
  View y = builder_.Plain(linear);
  if (clips) {
    OCTET_ASSIGN_OR_RETURN(y, Clip(name, std::move(y), limits));
  }
  if (batched == batched_.end()) return Finish(out, std::move(y));
  if (!batched_.emplace(out, Batched{batched->second.blocks, y.id, true}).second) {
    return Corrupt(StrCat("'", tensor(out).name, "' is computed twice"));
  }
  return OkStatus();
}

Status TfliteImporter::Conv() {
  OCTET_ASSIGN_OR_RETURN(const auto* options,
                         Options(op_->table->builtin_options_as_Conv2DOptions()));
  OCTET_RETURN_IF_ERROR(CheckBiasType(options->quantized_bias_type()));
  return Convolution(*options, false);
}

Status TfliteImporter::DepthwiseConv() {
  OCTET_ASSIGN_OR_RETURN(const auto* options,
                         Options(op_->table->builtin_options_as_DepthwiseConv2DOptions()));
  OCTET_ASSIGN_OR_RETURN(const Dims w, WeightDims(4));
  // Kernels since TensorFlow 2.1 take it from the shapes.
  const int64_t multiplier = options->depth_multiplier();
  if (multiplier != 0 && batched_.count(op_->inputs[0]) == 0) {
    OCTET_ASSIGN_OR_RETURN(const View x, InputView(0));
    if (x.dims.back() * multiplier != w[3]) {
      return Unsupported(StrCat("its option depth_multiplier is ", multiplier, ", its weights ",
                                DimsText(w), " and input ", DimsText(x.dims), " have another"));
    }
  }
  return Convolution(*options, true);
}

Status TfliteImporter::FullyConnected() {
  OCTET_ASSIGN_OR_RETURN(const auto* options,
                         Options(op_->table->builtin_options_as_FullyConnectedOptions()));
  // asymmetric_quantize_inputs says how a float input is rounded while it runs; here it is not
  // rounded.
  OCTET_RETURN_IF_ERROR(CheckBiasType(options->quantized_bias_type()));
  if (options->weights_format() != 0) {
    return Unsupported(StrCat("its option weights_format is ",
                              static_cast<int>(options->weights_format()),
                              ", shuffled weights, expected 0"));
  }
  OCTET_ASSIGN_OR_RETURN(View x, InputView(0));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const Dims w, WeightDims(2));
  OCTET_ASSIGN_OR_RETURN(const Limits limits, Fused(options->fused_activation_function()));
  const int64_t elements = builder_.ShapeOf(x).num_elements();
  if (elements % w[1] != 0)
    return Corrupt(StrCat("its weights ", DimsText(w), " do not fit the input ", DimsText(x.dims)));
  if (x.dims.size() < 2) return Unsupported("its input has no dimension but the batch");
  // Without keep_num_dims the input is read as rows of as many features as the weights have.
  if (!options->keep_num_dims()) x.dims = {elements / w[1], w[1]};
  OCTET_ASSIGN_OR_RETURN(LayerWeights layer,
                         ReadLayer(out, TypeOf(x), Shape{w[0], w[1]}, false, limits));
  const std::string name = NameOf(out);
  const bool clips = limits.any() && layer.activation == octet::Activation::kNone;
  OCTET_ASSIGN_OR_RETURN(View y,
                         builder_.LastDense(clips ? name + ".linear" : name, x, std::move(layer)));
  // At every pixel it is a convolution, and still rounded as the operator it was.
  Node& node = builder_.graph().nodes.back();
  if (node.type == OpType::kConv2d && IsCodes(TypeOf(y).dtype))
    node.tflite_kernel = TfliteKernel::kFullyConnected;
  if (clips) {
    OCTET_ASSIGN_OR_RETURN(y, Clip(name, std::move(y), limits));
  }
  return Finish(out, std::move(y));
}

// ---- Pools and reductions ----

Status TfliteImporter::Pool() {
  OCTET_ASSIGN_OR_RETURN(const auto* options,
                         Options(op_->table->builtin_options_as_Pool2DOptions()));
  OCTET_ASSIGN_OR_RETURN(const Limits limits, Fused(options->fused_activation_function()));
  return Move([&](const Label& label, const View& x) -> Result<View> {
    OCTET_ASSIGN_OR_RETURN(const TensorId image, builder_.AsImage(label, x, true));
    WideWindow window{{options->filter_height(), options->filter_width()},
                      {options->stride_h(), options->stride_w()},
                      {1, 1},
                      {}};
    OCTET_RETURN_IF_ERROR(SetPadding(options->padding(), builder_.ShapeOf(image), &window));
    OCTET_ASSIGN_OR_RETURN(
        const TensorId y,
        builder_.Pool(limits.any() ? label + ".linear" : label, image,
                      op_->code == kAveragePool ? OpType::kAveragePool : OpType::kMaxPool, window));
    if (op_->code == kAveragePool && tensor(op_->inputs[0]).type == ElementType::kUint8)
      builder_.graph().nodes.back().tflite_kernel = TfliteKernel::kUint8Average;
    return Clip(label, builder_.Plain(y), limits);
  });
}

Status TfliteImporter::Reduce() {
  OCTET_ASSIGN_OR_RETURN(const auto* options,
                         Options(op_->table->builtin_options_as_ReducerOptions()));
  OCTET_ASSIGN_OR_RETURN(const View x, InputView(0));
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, InputIntegers(1));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  const ValueType own = TypeOf(x);
  if (own.dtype != type.dtype) return Corrupt("input and output have different types");
  const Shape shape = builder_.ShapeOf(x);
  const auto groups = AxesOf(x, shape);
  std::vector<bool> over(4, false), dropped(x.dims.size(), false);
  for (int64_t a : axes) {
    OCTET_ASSIGN_OR_RETURN(const size_t d, Axis(a, x.dims.size()));
    dropped[d] = true;
    if (!groups)
      return Unsupported(StrCat("its input ", DimsText(x.dims), " is the tensor ", shape.ToString(),
                                " in another order"));
    for (int axis : (*groups)[d])
      over[static_cast<size_t>(axis)] = over[static_cast<size_t>(axis)] || shape[axis] > 1;
  }
  if (shape.rank() != 4 || over[0] || over[3] || axes.empty())
    return Unsupported("it reduces other dimensions than height and width");
  View y{kNoTensor, {}, x.perm};
  for (size_t d = 0; d < x.dims.size(); ++d) {
    if (!dropped[d]) y.dims.push_back(x.dims[d]);
    if (dropped[d] && options->keep_dims()) y.dims.push_back(1);
  }
  const bool maximum = op_->code == kReduceMax, quantized = IsCodes(type.dtype);
  const bool all = (over[1] || shape[1] == 1) && (over[2] || shape[2] == 1);
  if (quantized && op_->code == kSum) return Unsupported("a sum of integers");
  if (quantized && op_->code == kMean && !all)
    return Unsupported("a mean of integers over rows or columns alone");
  if (type.dtype == DType::kI16 && maximum && !(own == type))
    return Unsupported("a maximum of int16 in another scale");
  if (type.dtype == DType::kI16 && op_->code == kMean) {
    // The sum, moved to the left as the quotient of the scales over their number asks for.
    const auto count = static_cast<double>(shape[1] * shape[2]);
    const double moved =
        std::max(1.0, 2.0 * own.quantization.scale / type.quantization.scale / count);
    if (count * 0x1p15 * 2.0 * moved >= 0x1p31) {
      return Unsupported(StrCat("a mean of ", count, " values of int16 in steps of ",
                                own.quantization.scale, " as those of ", type.quantization.scale,
                                ", which may overflow TFLite's 32 bits"));
    }
  }
  const std::string name = NameOf(out);
  const bool last = options->keep_dims();  // Else a reshape may follow, which takes the name.
  const Label label = op_->code == kSum           ? Label(name + ".mean")
                      : maximum && !(own == type) ? Label(name + ".moved")
                                                  : Label(last ? name : name + ".pool");
  WideWindow window;
  if (over[1]) window.kernel[0] = shape[1];
  if (over[2]) window.kernel[1] = shape[2];
  if (!maximum && all) {
    OCTET_ASSIGN_OR_RETURN(
        y.id, builder_.Emit(OpType::kGlobalAveragePool, label, {x.id}, type, [&](Node* n) {
          if (quantized) n->tflite_kernel = TfliteKernel::kMean;
        }));
  } else {
    OCTET_ASSIGN_OR_RETURN(
        y.id,
        builder_.Pool(label, x.id, maximum ? OpType::kMaxPool : OpType::kAveragePool, window));
  }
  if (op_->code == kSum) {
    OCTET_ASSIGN_OR_RETURN(
        y.id, builder_.ScaleShift(
                  name, y.id, {static_cast<float>(window.kernel[0] * window.kernel[1])}, {0.0f}));
  }
  OCTET_ASSIGN_OR_RETURN(y, Requantize(name, std::move(y), type));
  return Finish(out, std::move(y));
}

}  // namespace octet
