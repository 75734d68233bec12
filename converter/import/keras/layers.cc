// What Keras' layers and operations are in the graph.
#include "converter/import/keras/layers.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<int> Order(size_t rank) {
  std::vector<int> perm(rank);
  for (size_t i = 0; i < rank; ++i) perm[i] = static_cast<int>(i);
  return perm;
}

int64_t Rank(const KerasValue& x) { return static_cast<int64_t>(x.view.dims.size()); }

}  // namespace

// ---- Tables ----

namespace {
constexpr const char* kLastFormat = "data_format=channels_last";
constexpr const char* kConvKeys =
    "filters kernel_size strides padding dilation_rate groups use_bias activation lora_rank "
    "lora_alpha";
constexpr const char* kSeed = "seed rate noise_shape stddev data_format";
constexpr const char* kRandom =
    "seed data_format factor height_factor width_factor fill_mode fill_value interpolation mode "
    "value_range bounding_box_format rng_type";
constexpr const char* kPlain = "floats of any shape";
constexpr const char* kImage = "images, channels_last";
constexpr const char* kOperands2 =
    "two values of one shape, or one and a constant: one number or "
    "one per channel";

/// With the functions that have a name there.
std::vector<KerasRow> WithUnary(UnaryFunction::Spelling UnaryFunction::*format,
                                std::vector<KerasRow> rows) {
  for (const UnaryFunction& f : UnaryFunctions()) {
    const UnaryFunction::Spelling& spelling = f.*format;
    const char* operand = format == &UnaryFunction::keras_layer   ? "inputs"
                          : format == &UnaryFunction::keras_class ? "x"
                                                                  : f.keras_operand;
    AnyWord(spelling.name, [&](std::string_view name) {
      rows.push_back(
          {name, nullptr, {spelling.attribute}, operand, false, kPlain, &f, spelling.otherwise});
      return false;
    });
  }
  return rows;
}
}  // namespace

std::span<const KerasRow> KerasLayers::Layers() {
  using L = KerasLayers;
  // clang-format off
  static const std::vector<KerasRow> kRows = WithUnary(&UnaryFunction::keras_layer, {
      {"Conv2D", &L::Conv2D, {kConvKeys, kLastFormat}, "inputs", false, kImage},
      {"DepthwiseConv2D", &L::DepthwiseConv2D, {
       "kernel_size strides padding dilation_rate use_bias activation depth_multiplier",
       "data_format=channels_last groups=1"}, "inputs", false, kImage},
      {"SeparableConv2D", &L::SeparableConv2D, {
       "filters kernel_size strides padding dilation_rate use_bias activation depth_multiplier",
       "data_format=channels_last groups=1"}, "inputs", false, kImage},
      {"Dense", &L::Dense, {"units use_bias activation lora_rank lora_alpha"}, "inputs", true,
       "over the last dimension"},
      {"BatchNormalization", &L::BatchNormalization, {"axis epsilon center scale",
       "renorm=false fused=true|false", "momentum renorm_momentum synchronized"}, "inputs", false,
       "over the last dimension, for inference"},
      {"Activation", &L::Activation, {"activation"}, "inputs", false, kPlain},
      {"ReLU", &L::ReLU, {"max_value negative_slope threshold"}, "inputs", false,
       "threshold 0"},
      {"Softmax", &L::Softmax, {"axis"}, "inputs", false, "over the last dimension"},
      {"Add", &L::Add, {}, "inputs*", false, "values of one shape"},
      {"Subtract", &L::Subtract, {}, "inputs*", false, "two values of one shape"},
      {"Multiply", &L::Multiply, {}, "inputs*", false, "values of one shape"},
      {"Average", &L::Average, {}, "inputs*", false, "values of one shape"},
      {"Concatenate", &L::Concatenate, {"axis"}, "inputs*", true, "not along the batch"},
      {"ZeroPadding2D", &L::ZeroPadding2D, {"padding", kLastFormat}, "inputs", true, kImage},
      {"Cropping2D", &L::Cropping2D, {"cropping", kLastFormat}, "inputs", true, kImage},
      {"MaxPooling2D", &L::MaxPooling2D, {"pool_size strides padding", kLastFormat}, "inputs",
       true, kImage},
      {"AveragePooling2D", &L::AveragePooling2D, {"pool_size strides padding", kLastFormat},
       "inputs", false, kImage},
      {"GlobalAveragePooling2D", &L::GlobalAverage, {"keepdims", kLastFormat}, "inputs", false,
       kImage},
      {"GlobalMaxPooling2D", &L::GlobalMax, {"keepdims", kLastFormat}, "inputs", true, kImage},
      {"Flatten", &L::Flatten, {"", kLastFormat}, "inputs", true, ""},
      {"Reshape", &L::Reshape, {"target_shape"}, "inputs", true, ""},
      {"Permute", &L::Permute, {"dims"}, "inputs", true, "in front of a flattening or back"},
      {"Rescaling", &L::Rescaling, {"scale offset"}, "inputs", true,
       "one number or one per channel"},
      {"Normalization", &L::Normalization, {"axis mean variance invert"}, "inputs", true,
       "one number or one per channel"},
      {"Resizing", &L::Resizing, {"height width",
       "data_format=channels_last crop_to_aspect_ratio=false|true pad_to_aspect_ratio=false|true",
       "interpolation fill_mode fill_value antialias"}, "inputs", true,
       "at the head of images of any size, or to the size that is there"},
      {"Identity", &L::Identity, {}, "inputs", true, ""},
      {"Dropout", &L::Identity, {"", "", kSeed}, "inputs", true, "nothing at inference"},
      {"SpatialDropout2D", &L::Identity, {"", "", kSeed}, "inputs", true, "nothing at inference"},
      {"GaussianDropout", &L::Identity, {"", "", kSeed}, "inputs", true, "nothing at inference"},
      {"AlphaDropout", &L::Identity, {"", "", kSeed}, "inputs", true, "nothing at inference"},
      {"GaussianNoise", &L::Identity, {"", "", kSeed}, "inputs", true, "nothing at inference"},
      {"ActivityRegularization", &L::Identity, {"", "", "l1 l2"}, "inputs", true,
       "nothing at inference"},
      {"RandomFlip", &L::Identity, {"", "", kRandom}, "inputs", true, "nothing at inference"},
      {"RandomRotation", &L::Identity, {"", "", kRandom}, "inputs", true, "nothing at inference"},
      {"RandomZoom", &L::Identity, {"", "", kRandom}, "inputs", true, "nothing at inference"},
      {"RandomTranslation", &L::Identity, {"", "", kRandom}, "inputs", true,
       "nothing at inference"},
      {"RandomContrast", &L::Identity, {"", "", kRandom}, "inputs", true, "nothing at inference"},
      {"RandomBrightness", &L::Identity, {"", "", kRandom}, "inputs", true, "nothing at inference"},
      {"RandomHeight", &L::Identity, {"", "", kRandom}, "inputs", true, "nothing at inference"},
      {"RandomWidth", &L::Identity, {"", "", kRandom}, "inputs", true, "nothing at inference"},
  });
  // clang-format on
  return kRows;
}

std::span<const KerasRow> KerasLayers::Operations() {
  using L = KerasLayers;
  // clang-format off
  static const std::vector<KerasRow> kRows = WithUnary(&UnaryFunction::keras_class, {
      {"Add", &L::Add, {}, "x1 x2", false, kOperands2},
      {"Subtract", &L::Subtract, {}, "x1 x2", false, kOperands2},
      {"Multiply", &L::Multiply, {}, "x1 x2", false, kOperands2},
      {"Divide", &L::Divide, {}, "x1 x2", false, "by a constant"},
      {"TrueDivide", &L::Divide, {}, "x1 x2", false, "by a constant"},
      {"Negative", &L::Negative, {}, "x", false, kPlain},
      {"LogSoftmax", &L::LogSoftmax, {"axis"}, "x", false, "over the last dimension"},
      {"Softmax", &L::Softmax, {"axis"}, "x", false, "over the last dimension"},
      {"Clip", &L::Clip, {"x_min x_max"}, "x", false, kPlain},
      {"Maximum", &L::Maximum, {}, "x1 x2", false, "with a number"},
      {"Minimum", &L::Minimum, {}, "x1 x2", false, "with a number"},
      {"Concatenate", &L::Concatenate, {"axis"}, "xs*", true, "not along the batch"},
      {"Stack", &L::Stack, {"axis"}, "x*", true, "not along the batch"},
      {"Mean", &L::Mean, {"axis keepdims"}, "x", false, "over height and width"},
      {"Max", &L::Max, {"axis keepdims"}, "x", false, "over height and width"},
      {"Reshape", &L::NewShape, {"newshape"}, "x", true, "not of the batch"},
      {"ExpandDims", &L::ExpandDims, {"axis"}, "x", true, "not of the batch"},
      {"Squeeze", &L::Squeeze, {"axis"}, "x", true, "not of the batch"},
      {"Transpose", &L::Transpose, {"axes"}, "x", true, "in front of a flattening or back"},
      {"GetItem", &L::GetItem, {"key"}, "x", true, "not of the batch, forwards"},
  });
  // clang-format on
  return kRows;
}

std::span<const KerasRow> KerasLayers::Functions() {
  using L = KerasLayers;
  // clang-format off
  static const std::vector<KerasRow> kRows = WithUnary(&UnaryFunction::keras_calls, {
      {"__operators__.add", &L::Add, {}, "x y", false, kOperands2},
      {"math.add", &L::Add, {}, "x y", false, kOperands2},
      {"nn.bias_add", &L::Add, {"", "data_format=N...C|NHWC"}, "value bias", false, "a constant"},
      {"math.subtract", &L::Subtract, {}, "x y", false, kOperands2},
      {"math.multiply", &L::Multiply, {}, "x y", false, kOperands2},
      {"math.truediv", &L::Divide, {}, "x y", false, "by a constant"},
      {"math.divide", &L::Divide, {}, "x y", false, "by a constant"},
      {"math.negative", &L::Negative, {}, "x", false, kPlain},
      {"nn.log_softmax", &L::LogSoftmax, {"axis"}, "logits", false, "over the last dimension"},
      {"nn.softmax", &L::Softmax, {"axis"}, "logits", false, "over the last dimension"},
      {"clip_by_value", &L::Clip, {"clip_value_min clip_value_max"}, "t", false, kPlain},
      {"math.maximum", &L::Maximum, {}, "x y", false, "with a number"},
      {"math.minimum", &L::Minimum, {}, "x y", false, "with a number"},
      {"concat", &L::Concatenate, {"axis"}, "values*", true, "not along the batch"},
      {"stack", &L::Stack, {"axis"}, "values*", true, "not along the batch"},
      {"math.reduce_mean", &L::Mean, {"axis keepdims"}, "input_tensor", false,
       "over height and width"},
      {"math.reduce_max", &L::Max, {"axis keepdims"}, "input_tensor", false,
       "over height and width"},
      {"reshape", &L::NewShape, {"shape"}, "tensor", true, "not of the batch"},
      {"expand_dims", &L::ExpandDims, {"axis"}, "input", true, "not of the batch"},
      {"squeeze", &L::Squeeze, {"axis"}, "input", true, "not of the batch"},
      {"compat.v1.squeeze", &L::Squeeze, {"axis"}, "input", true, "not of the batch"},
      {"transpose", &L::Transpose, {"perm", "conjugate=false"}, "a", true,
       "in front of a flattening or back"},
      {"compat.v1.transpose", &L::Transpose, {"perm", "conjugate=false"}, "a", true,
       "in front of a flattening or back"},
      {"__operators__.getitem", &L::GetItem, {"slice_spec"}, "tensor", true,
       "not of the batch, forwards"},
      {"cast", &L::Cast, {"dtype"}, "x", true, "to a floating-point type"},
      {"identity", &L::Identity, {}, "input", true, ""},
      {"stop_gradient", &L::Identity, {}, "input", true, ""},
  });
  // clang-format on
  return kRows;
}

const KerasRow* KerasLayers::Find(std::span<const KerasRow> rows, std::string_view type) {
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const KerasRow& r) { return r.type == type; });
  return row == rows.end() ? nullptr : &*row;
}

// ---- What all share ----

Result<KerasValue> KerasLayers::Convert(const KerasRow& row, const KerasCall& call) {
  OCTET_RETURN_IF_ERROR(call.config.Check());
  bool integer = false;
  size_t count = 0;
  for (const KerasOperand& operand : call.operands) {
    count += operand.values.size();
    for (const KerasValue& v : operand.values) integer = integer || v.integer;
  }
  if (count == 0) return Corrupt("it has no inputs");
  const bool many = std::string_view(row.operands).find_first_of(" *") != std::string_view::npos;
  if (!many && (count != 1 || call.operands[0].values.size() != 1))
    return Corrupt(StrCat(count, " inputs, expected 1"));
  if (integer && !row.integers)
    return Unsupported(
        "it computes on integers, which wrap around in Keras; put a Rescaling layer in front, or "
        "make the input float32");
  OCTET_ASSIGN_OR_RETURN(KerasValue value,
                         row.function != nullptr ? Unary(row, call) : (this->*row.convert)(call));
  OCTET_RETURN_IF_ERROR(call.config.CheckAllRead());
  if (b_.graph().nodes.size() > 100000) return Unsupported("more than 100000 nodes");
  return value;
}

Result<TensorId> KerasLayers::Output(const std::string& name, const KerasValue& value) {
  const Dims& dims = value.view.dims;
  if (dims.size() != 1 && dims.size() != 2 && dims.size() != 4)
    return Unsupported(StrCat("its shape is ", DimsText(dims),
                              ", expected [n,features] or [n,height,width,channels]"));
  OCTET_ASSIGN_OR_RETURN(const View plain, b_.AsPlain(name, value.view));
  return plain.id;
}

Result<KerasValue> KerasLayers::ByChannels(const std::string& name, const KerasValue& x) {
  OCTET_ASSIGN_OR_RETURN(View view, b_.AsRows(name, x.view));
  return KerasValue{std::move(view), x.integer};
}

Result<KerasValue> KerasLayers::WithDims(const std::string& name, const KerasValue& x,
                                         const Dims& dims) {
  KerasValue y = x;
  y.view.dims = dims;
  if (!IsLinear(x.view, b_.ShapeOf(x.view)) || (dims.size() != 2 && dims.size() != 4)) return y;
  Shape shape;
  for (int64_t d : dims) shape.push_back(d);
  if (!(shape == b_.ShapeOf(x.view))) {
    OCTET_ASSIGN_OR_RETURN(y.view.id, b_.Emit(OpType::kReshape, name, {x.view.id}, {}, {}, shape));
  }
  y.view.perm = Order(dims.size());
  return y;
}

Result<KerasValue> KerasLayers::FromImage(const KerasValue& x, Result<TensorId> id) {
  if (!id.ok()) return id.status();
  return KerasValue{b_.Plain(*id), x.integer};
}

Result<std::vector<float>> KerasLayers::Weight(const KerasCall& call, const char* name, int index,
                                               const Dims& shape, Dims* found) {
  OCTET_ASSIGN_OR_RETURN(const Hdf5Object* weight, weights_.Find(call.path, name, index));
  const Dims& stored = weight->dataset.shape;
  bool fits = stored.size() == shape.size();
  for (size_t d = 0; fits && d < shape.size(); ++d)
    fits = stored[d] > 0 && (shape[d] < 0 || stored[d] == shape[d]);
  if (!fits)
    return Corrupt(
        StrCat("weight '", name, "' has shape ", DimsText(stored), ", expected ", DimsText(shape)));
  if (found != nullptr) *found = stored;
  OCTET_RETURN_IF_ERROR(b_.Charge(weight->dataset.elements() * 4));
  Result<std::vector<float>> values = weights_.Floats(*weight);
  if (!values.ok()) return Status(values.status()).WithContext(StrCat("weight '", name, "'"));
  return values;
}

/// The kernel of a layer, with what LoRA adds to it: .keras files have it merged already.
Result<std::vector<float>> KerasLayers::Kernel(const KerasCall& call, const char* name,
                                               Dims* shape) {
  OCTET_ASSIGN_OR_RETURN(std::vector<float> kernel, Weight(call, name, 0, *shape, shape));
  OCTET_ASSIGN_OR_RETURN(const int64_t rank, call.config.Integer("lora_rank", 0, 0, kMaxChannels));
  OCTET_ASSIGN_OR_RETURN(const double alpha,
                         call.config.Number("lora_alpha", static_cast<double>(rank)));
  if (rank == 0 || !weights_.by_name()) return kernel;
  Dims a_shape = *shape;
  a_shape.back() = rank;
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> a, Weight(call, "lora_kernel_a", -1, a_shape));
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> b,
                         Weight(call, "lora_kernel_b", -1, {rank, shape->back()}));
  const size_t columns = static_cast<size_t>(shape->back()), r = static_cast<size_t>(rank);
  for (size_t i = 0; i < kernel.size(); ++i) {
    double sum = 0.0;
    for (size_t k = 0; k < r; ++k)
      sum += static_cast<double>(a[i / columns * r + k]) * b[k * columns + i % columns];
    kernel[i] = static_cast<float>(kernel[i] + alpha / static_cast<double>(rank) * sum);
  }
  return kernel;
}

Result<std::vector<float>> KerasLayers::PerChannel(const KerasNumbers& numbers, const Dims& dims,
                                                   const char* key) const {
  const Dims& n = numbers.dims;
  const int64_t channels = dims.back();
  const bool each =
      !n.empty() && n.back() == channels && static_cast<int64_t>(numbers.values.size()) == channels;
  // More dimensions would make the value's more.
  if (n.size() <= dims.size() && (each || numbers.values.size() == 1)) return numbers.values;
  return Unsupported(StrCat("'", key, "' has shape ", DimsText(n), " for values of ",
                            DimsText(dims), ", expected one number or one for each of ", channels,
                            " channels"));
}

Result<KerasValue> KerasLayers::Affine(const std::string& name, const KerasValue& x,
                                       std::vector<float> scale, std::vector<float> shift) {
  KerasValue y = x;
  if (scale.size() != 1 || shift.size() != 1) {
    OCTET_ASSIGN_OR_RETURN(y, ByChannels(name, x));
  }
  OCTET_ASSIGN_OR_RETURN(const TensorId id,
                         b_.ScaleShift(name, y.view.id, std::move(scale), std::move(shift)));
  return Keep(y, id);
}

/// Strides, dilation and padding of a window whose kernel is set.
Status KerasLayers::SetWindow(const KerasConfig& config, const Dims& dims, WideWindow* w) const {
  const std::string padding = config.String("padding", "valid");
  if (padding != "same" && padding != "valid")
    return Unsupported(StrCat("'padding' is '", padding, "', expected same or valid"));
  for (size_t d = 0; d < 2; ++d) {
    if (w->kernel[d] < 1 || w->stride[d] < 1 || w->dilation[d] < 1)
      return Corrupt("a kernel, stride or dilation of 0");
    if (padding == "same")
      w->padding[d] = SamePadding(dims[d + 1], w->kernel[d], w->stride[d], w->dilation[d]);
  }
  return OkStatus();
}

// ---- Activations ----

/// The name of a built-in function; "" for an object that is a layer.
Result<std::string> KerasLayers::ActivationName(const json& activation) const {
  if (activation.is_null()) return std::string("linear");
  if (activation.is_string()) return activation.get<std::string>();
  if (!activation.is_object()) return Corrupt(StrCat("'activation' is ", KerasShow(activation)));
  if (KerasText(activation, "class_name") != "function") return std::string();
  // Keras writes its own functions as plain names.
  return Unsupported(StrCat("'activation' is the function '", KerasText(activation, "config"),
                            "' of the model's author, whose code is not in the file; use the "
                            "name of one of Keras' own"));
}

std::string KerasLayers::LinearName(const KerasCall& call) const {
  const json& activation = call.config.Raw("activation");
  const bool linear = activation.is_null() || activation == "linear";
  return linear ? call.name : call.name + ".linear";
}

Result<KerasValue> KerasLayers::Activate(const KerasCall& call, const KerasValue& x) {
  return ApplyActivation(call.config.Raw("activation"), call.name, x);
}

Result<KerasValue> KerasLayers::ApplyActivation(const json& activation, const std::string& name,
                                                const KerasValue& x) {
  OCTET_ASSIGN_OR_RETURN(const std::string function, ActivationName(activation));
  if (!function.empty()) return ByName(function, name, x);
  OCTET_RETURN_IF_ERROR(CheckKerasOrigin(activation));
  const std::string type = KerasText(activation, "class_name");
  const KerasRow* row = Find(Layers(), type);
  if (row == nullptr ||
      (row->function == nullptr && row->convert != &KerasLayers::ReLU &&
       row->convert != &KerasLayers::Softmax && row->convert != &KerasLayers::Activation)) {
    return Unsupported(StrCat("'activation' is a layer of class '", type,
                              "', expected that of an activation function"));
  }
  static const std::vector<KerasStep> kNowhere;
  const KerasConfig config(KerasMember(activation, "config"), row->keys);
  const KerasCall inner{name, kNowhere, config, {KerasOperand{{x}, nullptr}}, 0};
  return Convert(*row, inner);
}

Result<KerasValue> KerasLayers::ByName(const std::string& function, const std::string& name,
                                       const KerasValue& x) {
  if (function == "linear") return x;
  if (function == "softmax" || function == "log_softmax") {
    if (Rank(x) < 2) return Unsupported(StrCat(function, " of the batch"));
    OCTET_ASSIGN_OR_RETURN(const KerasValue y, ByChannels(name, x));
    const OpType type = function == "softmax" ? OpType::kSoftmax : OpType::kLogSoftmax;
    OCTET_ASSIGN_OR_RETURN(const TensorId id, b_.Emit(type, name, {y.view.id}));
    return Keep(y, id);
  }
  const UnaryFunction* unary = FindUnary(&UnaryFunction::keras, function);
  if (unary == nullptr) {
    return Unsupported(StrCat("activation '", function.substr(0, 60), "', expected linear, ",
                              UnaryNames(), ", softmax or log_softmax"));
  }
  OCTET_ASSIGN_OR_RETURN(const TensorId id,
                         unary->Emit(&b_, name, x.view.id, unary->keras.otherwise));
  return Keep(x, id);
}

Result<KerasValue> KerasLayers::Unary(const KerasRow& row, const KerasCall& call) {
  Result<double> parameter = static_cast<double>(row.otherwise);
  AnyWord(row.keys.read, [&](std::string_view key) {
    parameter = call.config.Number(std::string(key).c_str(), *parameter);
    return !parameter.ok();
  });
  if (!parameter.ok()) return parameter.status();
  OCTET_ASSIGN_OR_RETURN(const TensorId id, row.function->Emit(&b_, call.name, call.x().view.id,
                                                               static_cast<float>(*parameter)));
  return Keep(call.x(), id);
}

Result<KerasValue> KerasLayers::Clamp(const std::string& name, const KerasValue& x, double low,
                                      double high) {
  OCTET_ASSIGN_OR_RETURN(const TensorId id, b_.Clip(name, x.view.id, static_cast<float>(low),
                                                    static_cast<float>(high)));
  return Keep(x, id);
}

Result<KerasValue> KerasLayers::LastOnly(const KerasCall& call, OpType type) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, call.config.Axes("axis", Rank(call.x())));
  if (axes.size() > 1 || (axes.size() == 1 && axes[0] != Rank(call.x()) - 1) || Rank(call.x()) < 2)
    return Unsupported(
        StrCat("'axis' is ", KerasShow(call.config.Raw("axis")), ", expected the last"));
  OCTET_ASSIGN_OR_RETURN(const KerasValue x, ByChannels(call.name, call.x()));
  OCTET_ASSIGN_OR_RETURN(const TensorId id, b_.Emit(type, call.name, {x.view.id}));
  return Keep(x, id);
}

Result<KerasValue> KerasLayers::Activation(const KerasCall& call) {
  return Activate(call, call.x());
}

Result<KerasValue> KerasLayers::ReLU(const KerasCall& call) {
  OCTET_ASSIGN_OR_RETURN(const double max, call.config.Number("max_value", kInfinity));
  OCTET_ASSIGN_OR_RETURN(const double slope, call.config.Number("negative_slope", 0.0));
  OCTET_ASSIGN_OR_RETURN(const double threshold, call.config.Number("threshold", 0.0));
  if (threshold != 0.0) return Unsupported(StrCat("threshold ", threshold, ", expected 0"));
  if (!(max >= 0.0) || !(slope >= 0.0))
    return Corrupt(StrCat("max_value ", max, " and negative_slope ", slope));
  if (slope == 0.0) return Clamp(call.name, call.x(), 0.0, max);
  const UnaryFunction& leaky = *FindUnary(&UnaryFunction::keras, "leaky_relu");
  OCTET_ASSIGN_OR_RETURN(const TensorId id,
                         leaky.Emit(&b_, max < kInfinity ? call.name + ".leaky" : call.name,
                                    call.x().view.id, static_cast<float>(slope)));
  return Clamp(call.name, Keep(call.x(), id), -kInfinity, max);
}

// ---- Layers with weights ----

Result<KerasValue> KerasLayers::Taps(const KerasCall& call, bool depthwise) {
  OCTET_ASSIGN_OR_RETURN(const TensorId x, Image(call));
  const Dims& dims = call.x().view.dims;
  OCTET_ASSIGN_OR_RETURN(const auto kernel, call.config.Pair("kernel_size", 0));
  OCTET_ASSIGN_OR_RETURN(const auto strides, call.config.Pair("strides", 1));
  OCTET_ASSIGN_OR_RETURN(const auto dilation, call.config.Pair("dilation_rate", 1));
  OCTET_ASSIGN_OR_RETURN(int64_t groups, call.config.Integer("groups", 1, 1, kMaxChannels));
  WideWindow w{{kernel[0], kernel[1]}, {strides[0], strides[1]}, {dilation[0], dilation[1]}, {}};
  OCTET_RETURN_IF_ERROR(SetWindow(call.config, dims, &w));
  if (depthwise) groups = dims[3];
  if (dims[3] % groups != 0) return Corrupt(StrCat(groups, " groups for ", dims[3], " channels"));
  // [height, width, in, out], or for depthwise ones [height, width, in, multiplier].
  const char* outputs = depthwise ? "depth_multiplier" : "filters";
  OCTET_ASSIGN_OR_RETURN(const int64_t out, call.config.Integer(outputs, -1, 1, kMaxChannels));
  Dims stored{kernel[0], kernel[1], depthwise ? dims[3] : dims[3] / groups, out};
  // Keras 2 calls a depthwise layer's weight depthwise_kernel, Keras 3 kernel.
  const char* name = depthwise ? "kernel depthwise_kernel" : "kernel";
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> values, Kernel(call, name, &stored));
  LayerWeights weights;
  weights.values = Permuted<float>(
      values, stored, depthwise ? std::vector<int>{2, 3, 0, 1} : std::vector<int>{3, 0, 1, 2});
  weights.shape = Shape{depthwise ? stored[2] * stored[3] : stored[3], stored[0], stored[1],
                        depthwise ? 1 : stored[2]};
  OCTET_ASSIGN_OR_RETURN(const bool bias, call.config.Bool("use_bias", true));
  if (bias) {
    OCTET_ASSIGN_OR_RETURN(weights.bias, Weight(call, "bias", 1, {weights.shape[0]}));
  }
  OCTET_ASSIGN_OR_RETURN(const KerasValue y,
                         FromImage({}, b_.Conv(Label(LinearName(call)), x, weights, w, groups)));
  return Activate(call, y);
}

Result<KerasValue> KerasLayers::SeparableConv2D(const KerasCall& call) {
  OCTET_ASSIGN_OR_RETURN(const TensorId x, Image(call));
  const Dims& dims = call.x().view.dims;
  OCTET_ASSIGN_OR_RETURN(const auto kernel, call.config.Pair("kernel_size", 0));
  OCTET_ASSIGN_OR_RETURN(const auto strides, call.config.Pair("strides", 1));
  OCTET_ASSIGN_OR_RETURN(const auto dilation, call.config.Pair("dilation_rate", 1));
  OCTET_ASSIGN_OR_RETURN(const int64_t multiplier,
                         call.config.Integer("depth_multiplier", 1, 1, kMaxChannels));
  OCTET_ASSIGN_OR_RETURN(const int64_t filters,
                         call.config.Integer("filters", -1, 1, kMaxChannels));
  WideWindow w{{kernel[0], kernel[1]}, {strides[0], strides[1]}, {dilation[0], dilation[1]}, {}};
  OCTET_RETURN_IF_ERROR(SetWindow(call.config, dims, &w));
  Dims stored{kernel[0], kernel[1], dims[3], multiplier};
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> depthwise,
                         Weight(call, "depthwise_kernel", 0, stored));
  const int64_t middle = dims[3] * multiplier;
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> point,
                         Weight(call, "pointwise_kernel", 1, {1, 1, middle, filters}, &stored));
  const LayerWeights first{
      Shape{middle, kernel[0], kernel[1], 1},
      Permuted<float>(depthwise, {kernel[0], kernel[1], dims[3], multiplier}, {2, 3, 0, 1}),
      {}};
  LayerWeights second{
      Shape{stored[3], middle}, Permuted<float>(point, {middle, stored[3]}, {1, 0}), {}};
  OCTET_ASSIGN_OR_RETURN(const bool bias, call.config.Bool("use_bias", true));
  if (bias) {
    OCTET_ASSIGN_OR_RETURN(second.bias, Weight(call, "bias", 2, {stored[3]}));
  }
  OCTET_ASSIGN_OR_RETURN(const TensorId y, b_.Conv(call.name + ".depthwise", x, first, w, dims[3]));
  OCTET_ASSIGN_OR_RETURN(const KerasValue z,
                         FromImage({}, b_.PixelDense(LinearName(call), y, std::move(second))));
  return Activate(call, z);
}

Result<KerasValue> KerasLayers::Dense(const KerasCall& call) {
  KerasValue x = call.x();
  if (Rank(x) < 2) return Unsupported("its input has no features");
  OCTET_ASSIGN_OR_RETURN(const int64_t units, call.config.Integer("units", -1, 1, kMaxChannels));
  Dims stored{x.view.dims.back(), units};
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> values, Kernel(call, "kernel", &stored));
  LayerWeights weights{Shape{stored[1], stored[0]}, Permuted<float>(values, stored, {1, 0}), {}};
  OCTET_ASSIGN_OR_RETURN(const bool bias, call.config.Bool("use_bias", true));
  if (bias) {
    OCTET_ASSIGN_OR_RETURN(weights.bias, Weight(call, "bias", 1, {stored[1]}));
  }
  KerasValue y{x.view, false};
  if (Rank(x) == 2) {
    OCTET_ASSIGN_OR_RETURN(y.view.id, b_.Dense(LinearName(call), x.view, std::move(weights)));
    y.view = b_.Plain(y.view.id);
  } else {
    // At every pixel.
    OCTET_ASSIGN_OR_RETURN(x, ByChannels(call.name, x));
    y.view = x.view;
    OCTET_ASSIGN_OR_RETURN(y.view.id,
                           b_.ShapeOf(x.view).rank() == 2
                               ? b_.Dense(LinearName(call), b_.Plain(x.view.id), std::move(weights))
                               : b_.PixelDense(LinearName(call), x.view.id, std::move(weights)));
    y.view.dims.back() = stored[1];
  }
  return Activate(call, y);
}

Result<KerasValue> KerasLayers::BatchNormalization(const KerasCall& call) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, call.config.Axes("axis", Rank(call.x())));
  if (axes.size() > 1 || (axes.size() == 1 && axes[0] != Rank(call.x()) - 1) || Rank(call.x()) < 2)
    return Unsupported(
        StrCat("'axis' is ", KerasShow(call.config.Raw("axis")), ", expected the last"));
  OCTET_ASSIGN_OR_RETURN(const double epsilon, call.config.Number("epsilon", 1e-3));
  OCTET_ASSIGN_OR_RETURN(const bool scale, call.config.Bool("scale", true));
  OCTET_ASSIGN_OR_RETURN(const bool center, call.config.Bool("center", true));
  const Dims shape{call.x().view.dims.back()};
  int index = 0;
  std::optional<std::vector<float>> gamma, beta;
  if (scale) {
    OCTET_ASSIGN_OR_RETURN(gamma, Weight(call, "gamma", index++, shape));
  }
  if (center) {
    OCTET_ASSIGN_OR_RETURN(beta, Weight(call, "beta", index++, shape));
  }
  OCTET_ASSIGN_OR_RETURN(const auto mean, Weight(call, "moving_mean", index, shape));
  OCTET_ASSIGN_OR_RETURN(const auto variance, Weight(call, "moving_variance", index + 1, shape));
  OCTET_ASSIGN_OR_RETURN(const KerasValue x, ByChannels(call.name, call.x()));
  OCTET_ASSIGN_OR_RETURN(const TensorId id, b_.BatchNorm(call.name, x.view, x.view.dims.size() - 1,
                                                         {gamma, beta, mean, variance}, epsilon));
  return Keep(x, id);
}

Result<KerasValue> KerasLayers::Rescaling(const KerasCall& call) {
  std::vector<float> values[2] = {{1.0f}, {0.0f}};
  const char* const keys[2] = {"scale", "offset"};
  for (size_t i = 0; i < 2; ++i) {
    if (!call.config.Has(keys[i])) continue;
    OCTET_ASSIGN_OR_RETURN(const KerasNumbers numbers,
                           ReadKerasNumbers(call.config.Raw(keys[i]), keys[i]));
    OCTET_ASSIGN_OR_RETURN(values[i], PerChannel(numbers, call.x().view.dims, keys[i]));
  }
  return Affine(call.name, call.x(), std::move(values[0]), std::move(values[1]));
}

Result<KerasValue> KerasLayers::Normalization(const KerasCall& call) {
  const Dims& dims = call.x().view.dims;
  OCTET_ASSIGN_OR_RETURN(const bool invert, call.config.Bool("invert", false));
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, call.config.Axes("axis", Rank(call.x())));
  // One value for everything, or one for each channel; other axes only where they are of size 1.
  for (int64_t axis : axes) {
    if (axis != Rank(call.x()) - 1 && dims[static_cast<size_t>(axis)] != 1)
      return Unsupported(
          StrCat("'axis' is ", KerasShow(call.config.Raw("axis")), ", expected None or the last"));
  }
  Dims shape;
  for (int64_t axis : axes) shape.push_back(dims[static_cast<size_t>(axis)]);
  std::vector<float> mean, variance;
  if (call.config.Has("mean") && call.config.Has("variance")) {
    OCTET_ASSIGN_OR_RETURN(const KerasNumbers m, ReadKerasNumbers(call.config.Raw("mean"), "mean"));
    OCTET_ASSIGN_OR_RETURN(const KerasNumbers v,
                           ReadKerasNumbers(call.config.Raw("variance"), "variance"));
    // Keras repeats them over the axes that it keeps.
    Dims kept(dims.size(), 1);
    kept.back() = Product(shape, 0, shape.size());
    OCTET_ASSIGN_OR_RETURN(mean, PerChannel(m, kept, "mean"));
    OCTET_ASSIGN_OR_RETURN(variance, PerChannel(v, kept, "variance"));
  } else {
    OCTET_ASSIGN_OR_RETURN(mean, Weight(call, "mean", 0, shape));
    OCTET_ASSIGN_OR_RETURN(variance, Weight(call, "variance", 1, shape));
    (void)weights_.Find(call.path, "count", 2);  // Of the samples it was adapted to.
  }
  const size_t n = std::max(mean.size(), variance.size());
  std::vector<float> scale(n), shift(n);
  for (size_t c = 0; c < n; ++c) {
    const double m = mean[mean.size() == 1 ? 0 : c], v = variance[variance.size() == 1 ? 0 : c];
    if (!(v >= 0.0)) return Corrupt(StrCat("variance ", v));
    const double spread = std::max(std::sqrt(v), 1e-7);
    scale[c] = static_cast<float>(invert ? spread : 1.0 / spread);
    shift[c] = static_cast<float>(invert ? m : -m / spread);
  }
  return Affine(call.name, call.x(), std::move(scale), std::move(shift));
}

// ---- Arithmetic ----

Result<KerasValue> KerasLayers::Pair(const std::string& name, Binary op, const KerasOperand& a,
                                     const KerasOperand& b) {
  if (!a.values.empty() && !b.values.empty()) {
    std::vector<KerasValue> v{a.values[0], b.values[0]};
    if (v[0].view.dims != v[1].view.dims)
      return Unsupported(StrCat("inputs of shapes ", DimsText(v[0].view.dims), " and ",
                                DimsText(v[1].view.dims), ", expected equal ones"));
    if (op == Binary::kDivide) return Unsupported("it divides by what the network computes");
    std::vector<View> views{v[0].view, v[1].view};
    if (views[0].perm != views[1].perm || !(b_.ShapeOf(views[0]) == b_.ShapeOf(views[1])))
      OCTET_RETURN_IF_ERROR(b_.Align(name, &views));
    const TensorId x = views[0].id, y = views[1].id;
    OCTET_ASSIGN_OR_RETURN(
        const TensorId id,
        op == Binary::kSubtract
            ? b_.Subtract(name, x, y)
            : b_.Emit(op == Binary::kAdd ? OpType::kAdd : OpType::kMul, name, {x, y}));
    return Keep({views[0]}, id);
  }
  const bool front = a.values.empty();  // The constant.
  const KerasOperand& tensor = front ? b : a;
  const KerasOperand& constant = front ? a : b;
  if (tensor.values.empty() || constant.constant == nullptr)
    return Corrupt("it has one operand, expected two");
  const KerasValue& x = tensor.values[0];
  OCTET_ASSIGN_OR_RETURN(const KerasNumbers numbers,
                         ReadKerasNumbers(*constant.constant, "operand"));
  OCTET_ASSIGN_OR_RETURN(std::vector<float> c, PerChannel(numbers, x.view.dims, "operand"));
  const std::vector<float> one{1.0f}, none{0.0f};
  switch (op) {
    case Binary::kAdd:
      return Affine(name, x, one, std::move(c));
    case Binary::kMultiply:
      return Affine(name, x, std::move(c), none);
    case Binary::kSubtract:
      if (front) return Affine(name, x, {-1.0f}, std::move(c));
      for (float& v : c) v = -v;
      return Affine(name, x, one, std::move(c));
    case Binary::kDivide:
      if (front) return Unsupported("it divides by what the network computes");
      for (float& v : c) v = 1.0f / v;
      return Affine(name, x, std::move(c), none);
  }
  return InternalError("an operator of no kind");
}

Result<KerasValue> KerasLayers::Arithmetic(const KerasCall& call, Binary op) {
  std::vector<KerasOperand> terms;
  for (const KerasOperand& operand : call.operands) {
    for (const KerasValue& v : operand.values) terms.push_back({{v}, nullptr});
    if (operand.constant != nullptr) terms.push_back({{}, operand.constant});
  }
  if (terms.size() < 2 || (terms.size() > 2 && op == Binary::kSubtract))
    return Corrupt(StrCat(terms.size(), " inputs, expected 2"));
  KerasOperand total = terms[0];
  for (size_t i = 1; i < terms.size(); ++i) {
    const std::string name = i + 1 == terms.size() ? call.name : StrCat(call.name, ".", i);
    OCTET_ASSIGN_OR_RETURN(KerasValue sum, Pair(name, op, total, terms[i]));
    total = {{std::move(sum)}, nullptr};
  }
  return total.values[0];
}

Result<KerasValue> KerasLayers::Average(const KerasCall& call) {
  KerasCall sum = call;
  sum.name += ".sum";
  OCTET_ASSIGN_OR_RETURN(const KerasValue total, Arithmetic(sum, Binary::kAdd));
  const float n = static_cast<float>(call.operands[0].values.size());
  return Affine(call.name, total, {1.0f / n}, {0.0f});
}

Result<KerasValue> KerasLayers::Limit(const KerasCall& call, bool maximum) {
  const KerasOperand *tensor = nullptr, *constant = nullptr;
  for (const KerasOperand& operand : call.operands)
    (operand.values.empty() ? constant : tensor) = &operand;
  if (call.operands.size() != 2 || tensor == nullptr || constant == nullptr)
    return Unsupported(
        "it compares two values that the network computes, expected one and a number");
  OCTET_ASSIGN_OR_RETURN(const KerasNumbers limit, ReadKerasNumbers(*constant->constant, "limit"));
  if (limit.values.size() != 1 || limit.dims.size() > tensor->values[0].view.dims.size())
    return Unsupported(StrCat("its limit has shape ", DimsText(limit.dims), ", expected a number"));
  return Clamp(call.name, tensor->values[0], maximum ? -kInfinity : limit.values[0],
               maximum ? limit.values[0] : kInfinity);
}

Result<KerasValue> KerasLayers::Clip(const KerasCall& call) {
  double limits[2] = {-kInfinity, kInfinity};
  for (const auto& [low, high] :
       {std::pair{"x_min", "x_max"}, std::pair{"clip_value_min", "clip_value_max"}}) {
    OCTET_ASSIGN_OR_RETURN(limits[0], call.config.Number(low, limits[0]));
    OCTET_ASSIGN_OR_RETURN(limits[1], call.config.Number(high, limits[1]));
  }
  return Clamp(call.name, call.x(), limits[0], limits[1]);
}

// ---- Structure ----

Result<KerasValue> KerasLayers::Concatenate(const KerasCall& call) {
  std::vector<KerasValue> values;
  for (const KerasOperand& operand : call.operands) {
    if (operand.constant != nullptr) return Unsupported("it concatenates a constant");
    values.insert(values.end(), operand.values.begin(), operand.values.end());
  }
  const int64_t rank = Rank(values[0]);
  OCTET_ASSIGN_OR_RETURN(const int64_t axis, call.config.Integer("axis", -1, -rank, rank - 1));
  const size_t d = static_cast<size_t>(axis < 0 ? axis + rank : axis);
  if (d == 0) return Unsupported("it concatenates along the batch");
  if (values.size() == 1) return values[0];
  Dims dims = values[0].view.dims;
  dims[d] = 0;
  bool integer = false;
  for (const KerasValue& v : values) {
    Dims other = v.view.dims;
    if (other.size() == dims.size()) dims[d] += std::exchange(other[d], dims[d]);
    if (other.size() == dims.size()) other[d] = dims[d];
    if (other != dims)
      return Corrupt(StrCat("inputs of shapes ", DimsText(values[0].view.dims), " and ",
                            DimsText(v.view.dims)));
    integer = integer || v.integer;
    if (v.integer != values[0].integer)
      return Unsupported("it concatenates integers and floating-point numbers");
  }
  std::vector<View> views;
  for (const KerasValue& v : values) views.push_back(v.view);
  OCTET_RETURN_IF_ERROR(b_.Align(call.name, &views));
  // As many dimensions as axes, or rows, which stand at the end.
  const size_t tensor_rank = views[0].perm.size();
  if (rank > 4 || rank < 2)
    return Unsupported(StrCat("it concatenates values of shape ", DimsText(dims)));
  const int tensor_axis = views[0].perm[d + tensor_rank - dims.size()];
  std::vector<TensorId> inputs;
  for (const View& v : views) inputs.push_back(v.id);
  OCTET_ASSIGN_OR_RETURN(const TensorId id, b_.Emit(OpType::kConcat, call.name, std::move(inputs),
                                                    {}, [&](Node* n) { n->axis = tensor_axis; }));
  return KerasValue{{id, std::move(dims), views[0].perm}, integer};
}

/// Top, bottom, left, right: one number, [height, width], or [[top, bottom], [left, right]].
Result<std::array<int64_t, 4>> KerasLayers::Sides(const KerasCall& call, const char* key) const {
  const json& all = call.config.Raw(key);
  std::array<int64_t, 4> amounts{};
  for (size_t d = 0; d < 2; ++d) {
    for (size_t side = 0; side < 2; ++side) {
      const json* v = &all;
      for (const size_t i : {d, side}) {
        if (!v->is_array()) continue;
        if (v->size() != 2) return Corrupt(StrCat("'", key, "' is ", KerasShow(all)));
        v = &(*v)[i];
      }
      OCTET_ASSIGN_OR_RETURN(amounts[2 * d + side], KerasInteger(*v, key, 0, 1 << 20));
    }
  }
  return amounts;
}

Result<KerasValue> KerasLayers::ZeroPadding2D(const KerasCall& call) {
  OCTET_ASSIGN_OR_RETURN(const TensorId x, Image(call));
  OCTET_ASSIGN_OR_RETURN(const auto p, Sides(call, "padding"));
  return FromImage(call.x(), b_.Pad(call.name, x, {0, p[0], p[2], 0}, {0, p[1], p[3], 0}, 0.0f));
}

Result<KerasValue> KerasLayers::Cropping2D(const KerasCall& call) {
  OCTET_ASSIGN_OR_RETURN(const TensorId x, Image(call));
  OCTET_ASSIGN_OR_RETURN(const auto p, Sides(call, "cropping"));
  const Dims& d = call.x().view.dims;
  return FromImage(
      call.x(),
      b_.Slice(
          call.name, x,
          {{0, 1, 1}, {p[0], 1, d[1] - p[0] - p[1]}, {p[2], 1, d[2] - p[2] - p[3]}, {0, 1, d[3]}}));
}

Result<KerasValue> KerasLayers::Window2D(const KerasCall& call, OpType type) {
  OCTET_ASSIGN_OR_RETURN(const TensorId x, Image(call));
  OCTET_ASSIGN_OR_RETURN(const auto size, call.config.Pair("pool_size", 2));
  OCTET_ASSIGN_OR_RETURN(auto strides, call.config.Pair("strides", 0));
  if (!call.config.Has("strides")) strides = size;
  WideWindow w{{size[0], size[1]}, {strides[0], strides[1]}, {1, 1}, {}};
  OCTET_RETURN_IF_ERROR(SetWindow(call.config, call.x().view.dims, &w));
  return FromImage(call.x(), b_.Pool(call.name, x, type, w));
}

Result<KerasValue> KerasLayers::Global(const KerasCall& call, bool mean) {
  OCTET_ASSIGN_OR_RETURN(const TensorId x, Image(call));
  OCTET_ASSIGN_OR_RETURN(const bool keep, call.config.Bool("keepdims", false));
  OCTET_ASSIGN_OR_RETURN(
      const KerasValue y,
      FromImage(call.x(), b_.GlobalPool(keep ? call.name : call.name + ".pool", x, mean)));
  return keep ? y : WithDims(call.name, y, {1, y.view.dims[3]});
}

Result<KerasValue> KerasLayers::Reduce(const KerasCall& call, bool mean) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, call.config.Axes("axis", Rank(call.x())));
  if (Rank(call.x()) != 4 || axes != std::vector<int64_t>{1, 2})
    return Unsupported(StrCat("'axis' is ", KerasShow(call.config.Raw("axis")), " of ",
                              DimsText(call.x().view.dims), ", expected [1, 2] of an image"));
  return Global(call, mean);
}

Result<KerasValue> KerasLayers::Flatten(const KerasCall& call) {
  const Dims& dims = call.x().view.dims;
  return WithDims(call.name, call.x(), {1, Product(dims, 0, dims.size())});
}

/// `target` may have a -1.
static Result<Dims> Resolve(Dims target, int64_t elements) {
  int64_t known = 1, *open = nullptr;
  for (int64_t& d : target) {
    if (d == 0 || (d < 0 && open != nullptr))
      return Corrupt(StrCat("a shape of ", DimsText(target)));
    if (d < 0) {
      open = &d;
    } else if (!CheckedMul(known, d, &known)) {
      return Corrupt(StrCat("a shape of ", DimsText(target)));
    }
  }
  if (open != nullptr && elements % known == 0) *std::exchange(open, nullptr) = elements / known;
  if (open != nullptr || Product(target, 0, target.size()) != elements)
    return Corrupt(StrCat(elements, " elements do not fit the shape ", DimsText(target)));
  return target;
}

Result<KerasValue> KerasLayers::Reshape(const KerasCall& call) {
  const json& target = call.config.Raw("target_shape");
  if (!target.is_array()) return Corrupt("'target_shape' is not a list");
  Dims dims{1};
  for (const json& v : target) {
    OCTET_ASSIGN_OR_RETURN(const int64_t d, KerasInteger(v, "target_shape", -1, kMaxElements));
    dims.push_back(d);
  }
  const Dims& from = call.x().view.dims;
  OCTET_ASSIGN_OR_RETURN(dims, Resolve(std::move(dims), Product(from, 0, from.size())));
  return WithDims(call.name, call.x(), dims);
}

Result<KerasValue> KerasLayers::NewShape(const KerasCall& call) {
  const json& a = call.config.Raw("newshape");
  const json& target = a.is_null() ? call.config.Raw("shape") : a;
  if (!target.is_array() || target.empty())
    return Unsupported(StrCat("its shape is ", KerasShow(target), ", expected a list of numbers"));
  Dims dims;
  for (const json& v : target) {
    OCTET_ASSIGN_OR_RETURN(const int64_t d, KerasInteger(v, "shape", -1, kMaxElements));
    dims.push_back(d);
  }
  const Dims& from = call.x().view.dims;
  const int64_t elements = Product(from, 0, from.size());
  // In front stands the batch: by its size, or by -1 where the others hold one image.
  if (dims[0] > 0 && dims[0] != call.batch)
    return Unsupported(StrCat("its shape ", DimsText(dims), " reshapes the batch"));
  dims[0] = 1;
  Result<Dims> resolved = Resolve(std::move(dims), elements);
  if (!resolved.ok())
    return Unsupported(StrCat("it reshapes the batch: ", resolved.status().message()));
  return WithDims(call.name, call.x(), *resolved);
}

Result<KerasValue> KerasLayers::ExpandDims(const KerasCall& call) {
  const int64_t rank = Rank(call.x()) + 1;
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, call.config.Axes("axis", rank));
  if (axes.size() != 1 || axes[0] == 0)
    return Unsupported(StrCat("'axis' is ", KerasShow(call.config.Raw("axis")),
                              ", expected one behind the batch"));
  Dims dims = call.x().view.dims;
  dims.insert(dims.begin() + axes[0], 1);
  return WithDims(call.name, call.x(), dims);
}

Result<KerasValue> KerasLayers::Squeeze(const KerasCall& call) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, call.config.Axes("axis", Rank(call.x())));
  if (axes.empty() || axes[0] == 0)
    return Unsupported("it squeezes the batch; name the dimensions to squeeze");
  Dims dims;
  for (int64_t d = 0; d < Rank(call.x()); ++d) {
    const int64_t size = call.x().view.dims[static_cast<size_t>(d)];
    if (!std::binary_search(axes.begin(), axes.end(), d)) {
      dims.push_back(size);
    } else if (size != 1) {
      return Corrupt(StrCat("it squeezes a dimension of ", size));
    }
  }
  return WithDims(call.name, call.x(), dims);
}

Result<KerasValue> KerasLayers::Permute(const KerasCall& call) {
  const json& dims = call.config.Raw("dims");
  std::vector<int> perm{0};
  for (const json& v : dims) {
    OCTET_ASSIGN_OR_RETURN(const int64_t d, KerasInteger(v, "dims", 1, Rank(call.x()) - 1));
    perm.push_back(static_cast<int>(d));
  }
  std::vector<int> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  if (sorted != Order(call.x().view.dims.size()))
    return Corrupt(StrCat("'dims' is ", KerasShow(dims)));
  auto moved = Transposed(call.x().view, b_.ShapeOf(call.x().view), perm);
  if (!moved) return Unsupported("it moves parts of what was reshaped");
  return KerasValue{*std::move(moved), call.x().integer};
}

Result<KerasValue> KerasLayers::Transpose(const KerasCall& call) {
  const json& a = call.config.Raw("axes");
  const json& axes = a.is_null() ? call.config.Raw("perm") : a;
  const json first = axes.is_array() && !axes.empty() ? axes[0] : json();
  if (first != 0) return Unsupported(StrCat("it moves the batch: ", KerasShow(axes)));
  json rest = axes;
  rest.erase(rest.begin());
  const json config{{"dims", rest}};
  const Understood keys{"dims"};
  const KerasConfig inner(config, keys);
  return Permute(KerasCall{call.name, call.path, inner, call.operands, call.batch});
}

/// x[...]: a number, a slice, an ellipsis or a new axis for each dimension, in the words of either
/// version.
Result<KerasValue> KerasLayers::GetItem(const KerasCall& call) {
  const json& k = call.config.Raw("key");
  const json& spec = k.is_null() ? call.config.Raw("slice_spec") : k;
  const json list = spec.is_array() ? spec : json::array({spec});
  const auto is_ellipsis = [](const json& v) {
    return KerasText(v, "class_name") == "__ellipsis__" || v == "ellipsis" || v == "Ellipsis" ||
           KerasText(v, "value") == "Ellipsis" || v == "...";
  };
  OCTET_ASSIGN_OR_RETURN(const View x, b_.AsPlain(call.name, call.x().view));
  const Dims& dims = x.dims;
  size_t taken = 0;
  for (const json& item : list) taken += !item.is_null() && !is_ellipsis(item);
  if (taken > dims.size()) return Corrupt(StrCat("it takes ", KerasShow(spec)));
  std::vector<GraphBuilder::Range> ranges;
  Dims out;
  const auto whole = [&] {
    out.push_back(dims[ranges.size()]);
    ranges.push_back({0, 1, out.back()});
  };
  for (const json& item : list) {
    if (is_ellipsis(item)) {
      for (size_t n = dims.size() - std::exchange(taken, dims.size()); n > 0; --n) whole();
      continue;
    }
    if (item.is_null()) {
      out.push_back(1);
      continue;
    }
    const int64_t size = dims[ranges.size()];
    const json& slice =
        KerasText(item, "class_name") == "__slice__" ? KerasMember(item, "config") : item;
    if (slice.is_number_integer()) {
      OCTET_ASSIGN_OR_RETURN(int64_t at, KerasInteger(slice, "index", -size, size - 1));
      if (ranges.empty()) return Unsupported("it slices the batch");
      ranges.push_back({at < 0 ? at + size : at, 1, 1});
      continue;
    }
    if (!slice.is_object() || !slice.contains("start") || !slice.contains("stop"))
      return Unsupported(StrCat("it takes ", KerasShow(item)));
    const auto bound = [&](const char* key, int64_t otherwise) -> Result<int64_t> {
      const json& v = KerasMember(slice, key);
      return v.is_null() ? Result<int64_t>(otherwise)
                         : KerasInteger(v, key, -kMaxElements, kMaxElements);
    };
    OCTET_ASSIGN_OR_RETURN(const int64_t step, bound("step", 1));
    if (step == 0) return Corrupt("a step of 0");
    const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
    OCTET_ASSIGN_OR_RETURN(int64_t begin, bound("start", kNone));
    OCTET_ASSIGN_OR_RETURN(int64_t end, bound("stop", kNone));
    begin = begin == kNone ? (step > 0 ? low : high)
                           : std::clamp(begin < 0 ? begin + size : begin, low, high);
    end =
        end == kNone ? (step > 0 ? high : low) : std::clamp(end < 0 ? end + size : end, low, high);
    const int64_t count =
        std::max<int64_t>(0, step > 0 ? CeilDiv(end - begin, step) : CeilDiv(begin - end, -step));
    if (ranges.empty() && (count != size || step != 1 || !KerasMember(slice, "start").is_null() ||
                           !KerasMember(slice, "stop").is_null())) {
      return Unsupported("it slices the batch");
    }
    out.push_back(count);
    ranges.push_back({begin, step, count});
  }
  while (ranges.size() < dims.size()) whole();
  if (out.empty() || ranges.size() > 4)
    return Unsupported(StrCat("it takes ", KerasShow(spec), " of ", DimsText(dims),
                              ", expected a part of at most 4 dimensions"));
  // As AsPlain() lies in memory.
  if (ranges.size() == 3) ranges.insert(ranges.begin(), {0, 1, 1});
  if (ranges.size() == 1) ranges.push_back({0, 1, 1});
  OCTET_ASSIGN_OR_RETURN(const TensorId id, b_.Slice(call.name, x.id, ranges));
  KerasValue y{b_.Plain(id), call.x().integer};
  y.view.dims = out;
  return y;
}

Result<KerasValue> KerasLayers::Stack(const KerasCall& call) {
  KerasCall wide = call;
  const int64_t rank = Rank(call.x()) + 1;
  OCTET_ASSIGN_OR_RETURN(const int64_t axis, call.config.Integer("axis", 0, -rank, rank - 1));
  const int64_t at = axis < 0 ? axis + rank : axis;
  if (at == 0) return Unsupported("it stacks along the batch");
  for (KerasOperand& operand : wide.operands) {
    for (KerasValue& v : operand.values) {
      if (Rank(v) + 1 != rank) return Corrupt("inputs of different ranks");
      v.view.dims.insert(v.view.dims.begin() + at, 1);
    }
  }
  return Concatenate(wide);
}

Result<KerasValue> KerasLayers::Resizing(const KerasCall& call) {
  const Dims& dims = call.x().view.dims;
  OCTET_ASSIGN_OR_RETURN(const int64_t height, call.config.Integer("height", 0, 1, kMaxElements));
  OCTET_ASSIGN_OR_RETURN(const int64_t width, call.config.Integer("width", 0, 1, kMaxElements));
  if (dims.size() == 4 && dims[1] == height && dims[2] == width) {
    KerasValue y = call.x();
    y.integer = false;  // Keras casts.
    return y;
  }
  return Unsupported(StrCat("it resizes ", DimsText(dims), " to ", height, "x", width,
                            "; octet resizes before the network: build the model for images of "
                            "the final size"));
}

Result<KerasValue> KerasLayers::Cast(const KerasCall& call) {
  const std::string type = call.config.String("dtype", "");
  for (const char* known : {"float32", "float16", "float64", "bfloat16"}) {
    if (type != known) continue;
    KerasValue y = call.x();
    y.integer = false;
    return y;
  }
  return Unsupported(StrCat("it casts to '", type, "', expected a floating-point type"));
}

}  // namespace octet
