// A graph grows node by node: a step picks a live tensor and adds a node or a small pattern behind
// it. Push keeps a node if InferShape accepts it and its work is affordable. Values of constants
// come from generators of their own, seeded by one choice. What is drawn, and in which order, makes
// the graphs: a change here changes what seeds stand for, and with them the signature
// (signature.h).
#include "bench/graph_generator.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "formats/base/dtype.h"
#include "formats/base/shape.h"
#include "formats/model/operators.h"

namespace octet::testing {
namespace {

/// Work of one node that most graphs may take, and of those few that shall reach the kernels for
/// large layers: Winograd's for integers begin at 13x13 pixels of 32 channels.
constexpr int64_t kUsualCost = 40'000, kLargeCost = 2'500'000;
constexpr int64_t kGraphCost = 200'000;
constexpr int64_t kMaxElements = 6'000, kMaxLargeElements = 10'000;  ///< Of an activation.

constexpr int64_t kChannels[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 19, 20};

/// What activations and weights a graph has.
enum class Style { kFp32, kFp16, kHybrid, kInt8, kMixed };

int64_t NodeCost(const Graph& g, const Node& n) {
  const Shape& y = g.tensor(n.output).shape;
  int64_t per_element = 1;
  if (n.type == OpType::kConv2d || n.type == OpType::kDense) {
    const Shape& w = g.tensor(n.inputs[kInputWeights]).shape;
    per_element = w.num_elements() / w[0];
  } else if (n.type == OpType::kMaxPool || n.type == OpType::kAveragePool) {
    per_element = int64_t{n.window.kernel_h} * n.window.kernel_w;
  } else if (n.type == OpType::kGlobalAveragePool) {
    per_element = g.tensor(n.inputs[0]).shape.num_elements() / y.num_elements();
  }
  return y.num_elements() * per_element;
}

class Generator {
 public:
  explicit Generator(Choices* choices) : c_(*choices) {}

  Graph Run() {
    ChooseStyle();
    const int inputs = c_.Percent(80) ? 1 : c_.Int(2, 3);
    for (int i = 0; i < inputs; ++i) AddInput();
    const int steps = c_.Int(1, large_ ? 5 : 9);
    for (int i = 0; i < steps && cost_ < kGraphCost; ++i) Step();
    // Every graph has a node, and no step is sure to add one.
    if (g_.nodes.empty()) Unary(OpType::kRelu, 0);
    ChooseOutputs();
    AddPaddingCodes();
    return std::move(g_);
  }

 private:
  // ---- What the whole graph is like ----

  void ChooseStyle() {
    constexpr Style kStyles[] = {Style::kFp32,   Style::kFp16,  Style::kHybrid,
                                 Style::kHybrid, Style::kInt8,  Style::kInt8,
                                 Style::kInt8,   Style::kMixed, Style::kMixed};
    style_ = c_.Of(kStyles);
    switch (style_) {
      case Style::kFp32:
        g_.metadata.precision = Precision::kFp32;
        break;
      case Style::kFp16:
        g_.metadata.precision = Precision::kFp16;
        break;
      case Style::kHybrid:
        g_.metadata.precision = Precision::kHybrid;
        break;
      default:
        g_.metadata.precision = Precision::kInt8;
    }
    if (style_ >= Style::kInt8 && c_.Percent(35)) g_.metadata.rounding = Rounding::kTflite;
    large_ = c_.Percent(5);
    powers_ = c_.Percent(20);
  }

  bool Integer() { return style_ == Style::kInt8 || (style_ == Style::kMixed && c_.Percent(50)); }

  int64_t Channels() {
    if (large_ && c_.Percent(70)) return c_.Percent(50) ? 32 : c_.Percent(50) ? 16 : 48;
    if (c_.Percent(6)) return c_.Percent(50) ? 32 : c_.Percent(50) ? 48 : 64;
    if (c_.Percent(15)) return c_.Int(1, 3);  // Panel rows read these, and write them tightly.
    return c_.Of(kChannels);
  }

  int64_t Size() {
    if (large_) return c_.Int(12, 16);
    return c_.Percent(80) ? c_.Int(1, 9) : c_.Int(7, 17);
  }

  // ---- Tensors ----

  std::string Name(const char* prefix) { return prefix + std::to_string(names_++); }

  /// Powers of two give halves, which are rounded in different ways.
  float Scale() {
    const float scale = std::ldexp(1.0f, -c_.Int(4, 7));
    return powers_ ? scale : scale * (1.0f + static_cast<float>(c_.Below(97)) / 97.0f);
  }

  int ZeroPoint() {
    if (c_.Percent(45)) return 0;
    constexpr int kZeros[] = {128, 1, 255, 127};
    return c_.Percent(40) ? c_.Of(kZeros) : c_.Int(0, 255);
  }

  /// By value: the shape may be that of a tensor, which moves when there is one more.
  TensorId Activation(DType dtype, Shape shape) {
    const TensorId id = g_.AddActivation(Name("t"), dtype, shape);
    if (dtype == DType::kU8) g_.tensor(id).quantization = {Scale(), ZeroPoint()};
    return id;
  }

  /// Of the same type and quantization.
  TensorId Like(TensorId x) {
    const Tensor t = g_.tensor(x);
    const TensorId id = g_.AddActivation(Name("t"), t.dtype, t.shape);
    g_.tensor(id).quantization = t.quantization;
    return id;
  }

  template <typename T>
  TensorId Vector(DType dtype, const std::vector<T>& values) {
    return g_.AddConstant(Name("c"), dtype, Shape{static_cast<int64_t>(values.size())},
                          values.data(), values.size() * sizeof(T));
  }

  /// A generator for the values of a constant, so that they do not use up a fuzzer's bytes.
  SeededChoices Values() { return SeededChoices(c_.Below(256)); }

  void AddInput() {
    const int64_t channels = c_.Percent(50) ? c_.Int(1, 4) : Channels();
    Shape shape{1, channels};
    if (!c_.Percent(8)) shape = {1, Size(), Size(), channels};
    while (shape.num_elements() > kMaxElements) shape[1] = (shape[1] + 1) / 2;
    const TensorId id = Activation(Integer() ? DType::kU8 : DType::kF32, shape);
    g_.inputs.push_back(id);
    // Some that nothing reads, or a Quantize alone.
    if (g_.inputs.size() == 1 || c_.Percent(80)) live_.push_back(id);
    if (c_.Percent(15)) {
      if (g_.tensor(id).dtype == DType::kU8 || style_ >= Style::kInt8) {
        Push(OpType::kQuantize, {id}, Activation(DType::kU8, shape));
        if (c_.Percent(60)) live_.erase(std::remove(live_.begin(), live_.end(), id), live_.end());
      }
    }
  }

  TensorId Pick() {
    // Mostly the newest, so that graphs become deep; the others become shared or outputs.
    return c_.Percent(60) ? live_.back() : live_[c_.Below(static_cast<uint32_t>(live_.size()))];
  }

  /// Adds the node if its shape is possible and its work affordable. The last tensor that was made
  /// is its output; it goes again when not.
  bool Push(Node n) {
    const Result<Shape> shape = InferShape(g_, n);
    const bool large = large_ || winograd_;
    const int64_t limit = large ? kLargeCost : kUsualCost;
    if (shape.ok()) g_.tensor(n.output).shape = *shape;
    if (!shape.ok() || shape->num_elements() > (large ? kMaxLargeElements : kMaxElements) ||
        NodeCost(g_, n) > limit) {
      if (n.output + 1 == static_cast<TensorId>(g_.tensors.size())) {
        g_.tensors.pop_back();
      } else {
        orphans_.push_back(n.output);
      }
      return false;
    }
    cost_ += NodeCost(g_, n);
    n.name = Name("n");
    live_.push_back(n.output);
    g_.nodes.push_back(std::move(n));
    return true;
  }
  bool Push(OpType type, std::vector<TensorId> inputs, TensorId output) {
    Node n;
    n.type = type;
    n.inputs = std::move(inputs);
    n.output = output;
    return Push(std::move(n));
  }

  // ---- Steps ----

  void Step() {
    const uint32_t kind = c_.Below(100);
    const TensorId x = Pick();
    if (large_ && c_.Percent(40)) return ForWinograd(x);
    if (kind < 42) return AnyConv(x);
    if (kind < 46) return Siblings(x);
    if (kind < 50) return Heads(x);
    if (kind < 53) return NarrowThenConv(x);
    if (kind < 58) return ForWinograd(x);
    if (kind < 62) return ResidualBlock(x);
    if (kind < 65) return Branches(x);
    constexpr OpType kOthers[] = {
        OpType::kMaxPool,    OpType::kAveragePool, OpType::kGlobalAveragePool,
        OpType::kAdd,        OpType::kAdd,         OpType::kMul,
        OpType::kScaleShift, OpType::kScaleShift,  OpType::kRelu,
        OpType::kRelu6,      OpType::kPad,         OpType::kSlice,
        OpType::kConcat,     OpType::kConcat,      OpType::kReshape,
        OpType::kReshape,    OpType::kSoftmax,     OpType::kQuantize,
        OpType::kDequantize, OpType::kClip,        OpType::kClip,
        OpType::kSigmoid,    OpType::kTanh,        OpType::kLogSoftmax};
    Unary(c_.Of(kOthers), x);
  }

  void AnyConv(TensorId x) {
    if (g_.tensor(x).shape.rank() == 2) {
      Conv(x, OpType::kDense, Channels());
    } else {
      Conv(x, OpType::kConv2d, Channels());
    }
  }

  /// Several convolutions of one tensor, each with paddings of its own.
  void Siblings(TensorId x) {
    for (int i = c_.Int(2, 3); i > 0; --i) AnyConv(x);
  }

  /// Several dense layers behind one flattened tensor.
  void Heads(TensorId x) {
    if (g_.tensor(x).shape.rank() == 4) {
      if (c_.Percent(60)) x = GlobalPool(x);
      x = Flatten(x);
    }
    for (int i = c_.Int(1, 3); i > 0; --i) Conv(x, OpType::kDense, Channels());
  }

  /// A tensor of so few channels that its reader takes a kernel row as one tap.
  void NarrowThenConv(TensorId x) {
    if (g_.tensor(x).shape.rank() != 4) return;
    if (Conv(x, OpType::kConv2d, c_.Int(1, 3))) {
      const TensorId narrow = live_.back();
      for (int i = c_.Int(1, 2); i > 0; --i) AnyConv(narrow);
    }
  }

  /// What its planner asks for: 3x3 of stride 1, whole panels of input channels, 7x7 pixels;
  /// integers 13x13 and 32 channels.
  void ForWinograd(TensorId x) {
    const Shape& shape = g_.tensor(x).shape;
    if (shape.rank() != 4 || shape[1] < 6 || shape[2] < 6) return;
    winograd_ = true;
    const int64_t channels = shape[1] >= 13 && shape[2] >= 13 && c_.Percent(70) ? 32 : 16;
    if (shape.back() == channels || Conv(x, OpType::kConv2d, channels)) {
      Conv(live_.back(), OpType::kConv2d, c_.Percent(30) ? 32 : c_.Int(1, 20));
    }
    winograd_ = false;
  }

  /// Two convolutions and the sum with what the first one reads.
  void ResidualBlock(TensorId x) {
    if (g_.tensor(x).shape.rank() != 4) return;
    const int64_t channels = g_.tensor(x).shape.back();
    same_size_ = true;
    if (Conv(x, OpType::kConv2d, Channels())) {
      residual_ = x;
      Conv(live_.back(), OpType::kConv2d, channels);
    }
    same_size_ = false;
    residual_ = kNoTensor;
  }

  /// Results of several convolutions of one tensor, joined.
  void Branches(TensorId x) {
    if (g_.tensor(x).shape.rank() != 4) return;
    same_size_ = true;
    Node n;
    n.type = OpType::kConcat;
    n.axis = 3;
    for (int i = c_.Int(2, 3); i > 0; --i) {
      if (!Conv(x, OpType::kConv2d, Channels())) continue;
      const TensorId y = live_.back();
      if (!n.inputs.empty() && g_.tensor(y).dtype != g_.tensor(n.inputs[0]).dtype) continue;
      n.inputs.push_back(y);
      // All that are joined have one quantization.
      g_.tensor(y).quantization = g_.tensor(n.inputs[0]).quantization;
    }
    same_size_ = false;
    if (n.inputs.size() < 2) return;
    n.output = Like(n.inputs[0]);
    Push(std::move(n));
  }

  TensorId Flatten(TensorId x) {
    const TensorId y = Like(x);
    g_.tensor(y).shape = Shape{1, g_.tensor(x).shape.num_elements()};
    return Push(OpType::kReshape, {x}, y) ? y : x;
  }

  TensorId GlobalPool(TensorId x) {
    const bool u8 = g_.tensor(x).dtype == DType::kU8;
    const TensorId y = u8 && c_.Percent(30)   ? Activation(DType::kF32, {1, 1})
                       : u8 && c_.Percent(50) ? Like(x)
                                              : Activation(g_.tensor(x).dtype, {1, 1});
    Node n;
    n.type = OpType::kGlobalAveragePool;
    n.inputs = {x};
    n.output = y;
    if (c_.Percent(30)) {
      n.tflite_kernel = TfliteKernel::kMean;
    } else if (c_.Percent(30)) {
      n.tflite_kernel = TfliteKernel::kUint8Average;
    }
    return Push(std::move(n)) ? y : x;
  }

  void Unary(OpType type, TensorId x) {
    const Tensor t = g_.tensor(x);
    const bool u8 = t.dtype == DType::kU8, image = t.shape.rank() == 4;
    switch (type) {
      case OpType::kMaxPool:
      case OpType::kAveragePool:
        if (image) Pool(type, x);
        return;
      case OpType::kGlobalAveragePool:
        if (image) GlobalPool(x);
        return;
      case OpType::kAdd:
      case OpType::kMul:
        return Binary(type, x);
      case OpType::kScaleShift:
        return ScaleShift(x);
      case OpType::kRelu:
      case OpType::kRelu6:
        Push(type, {x}, Like(x));
        return;
      case OpType::kPad:
      case OpType::kSlice:
        return PadOrSlice(type, x);
      case OpType::kConcat:
        return Concat(x);
      case OpType::kReshape:
        return Reshape(x);
      case OpType::kClip:
        return Clip(x);
      case OpType::kSoftmax:
      case OpType::kLogSoftmax:
      case OpType::kSigmoid:
      case OpType::kTanh:
        if (!u8) Push(type, {x}, Like(x));
        return;
      case OpType::kQuantize:
        // Floating-point graphs have few.
        if (u8 || style_ == Style::kMixed || c_.Percent(20)) {
          Push(type, {x}, Activation(DType::kU8, t.shape));
        }
        return;
      case OpType::kDequantize:
        if (u8) Push(type, {x}, Activation(DType::kF32, t.shape));
        return;
      case OpType::kConv2d:
      case OpType::kDense:
        return;
    }
  }

  /// A live activation of this shape and type, or kNoTensor.
  TensorId Match(const Shape& shape, DType dtype, bool other_quantization, TensorId like) {
    std::vector<TensorId> found;
    for (TensorId id : live_) {
      const Tensor& t = g_.tensor(id);
      if (!(t.shape == shape) || t.dtype != dtype) continue;
      if (other_quantization || t.quantization == g_.tensor(like).quantization) found.push_back(id);
    }
    return found.empty() ? kNoTensor : found[c_.Below(static_cast<uint32_t>(found.size()))];
  }

  void Binary(OpType type, TensorId x) {
    const Tensor t = g_.tensor(x);
    Node n;
    n.type = type;
    n.inputs = {x, Match(t.shape, t.dtype, true, x)};
    if (c_.Percent(50)) std::swap(n.inputs[0], n.inputs[1]);
    n.output = Activation(t.dtype, t.shape);
    if (type == OpType::kAdd) n.activation = Activate();
    if (type == OpType::kMul && t.dtype == DType::kU8) {
      // Most products within the range of the result.
      const float scales =
          g_.tensor(n.inputs[0]).quantization.scale * g_.tensor(n.inputs[1]).quantization.scale;
      g_.tensor(n.output).quantization.scale =
          std::ldexp(powers_ ? scales : scales * 1.37f, c_.Int(4, 9));
    }
    Push(std::move(n));
  }

  octet::Activation Activate() {
    constexpr octet::Activation kAny[] = {octet::Activation::kNone, octet::Activation::kNone,
                                          octet::Activation::kRelu, octet::Activation::kRelu6};
    return c_.Of(kAny);
  }

  void ScaleShift(TensorId x) {
    const Tensor t = g_.tensor(x);
    const auto channels = static_cast<size_t>(t.shape.back());
    const bool u8 = t.dtype == DType::kU8;
    std::vector<float> scale(channels, 1.0f), shift(channels, 0.0f);
    SeededChoices values = Values();
    // Anything; or what TFLite's MUL, ADD and QUANTIZE become: whole numbers of one unit.
    const int kind = u8 ? c_.Int(0, 3) : 0;
    const float unit = Scale() / 4.0f;
    for (size_t i = 0; i < channels; ++i) {
      if (kind == 0) {
        scale[i] = static_cast<float>(values.Int(-96, 160)) / 128.0f;
        shift[i] = static_cast<float>(values.Int(-128, 128)) / 64.0f;
      } else if (kind == 1) {
        scale[i] = static_cast<float>(values.Int(-255, 255)) * unit;
      } else if (kind == 2) {
        shift[i] = static_cast<float>(values.Int(-255, 255)) * unit;
      }
    }
    Node n;
    n.type = OpType::kScaleShift;
    n.inputs = {x, Vector(DType::kF32, scale), Vector(DType::kF32, shift)};
    if (kind == 1 || kind == 2) n.inputs.push_back(Vector(DType::kF32, std::vector<float>{unit}));
    n.output = Activation(t.dtype, t.shape);
    n.activation = Activate();
    Push(std::move(n));
  }

  void Clip(TensorId x) {
    Node n;
    n.type = OpType::kClip;
    n.inputs = {x};
    if (!c_.Percent(25)) n.clip_low = static_cast<float>(c_.Int(-24, 8)) / 8.0f;
    if (!c_.Percent(25)) {
      const float from = std::isinf(n.clip_low) ? -2.0f : n.clip_low;
      n.clip_high = from + static_cast<float>(c_.Int(0, 40)) / 16.0f;
    }
    n.output = Like(x);
    Push(std::move(n));
  }

  void Pool(OpType type, TensorId x) {
    Node n;
    n.type = type;
    n.inputs = {x};
    Window& w = n.window;
    w.kernel_h = c_.Int(1, 4);
    w.kernel_w = c_.Percent(60) ? w.kernel_h : c_.Int(1, 4);
    w.stride_h = c_.Int(1, 3);
    w.stride_w = c_.Int(1, 3);
    RandomPadding(&w);
    if (type == OpType::kAveragePool) {
      n.count_include_pad = c_.Percent(50);
      if (c_.Percent(30)) n.tflite_kernel = TfliteKernel::kUint8Average;
    }
    const bool same = type == OpType::kMaxPool || c_.Percent(50);
    n.output = same ? Like(x) : Activation(g_.tensor(x).dtype, g_.tensor(x).shape);
    Push(std::move(n));
  }

  void RandomPadding(Window* w) {
    const int h = std::min(3, w->kernel_h * w->dilation_h - 1),
              width = std::min(3, w->kernel_w * w->dilation_w - 1);
    w->pad_top = c_.Int(0, h);
    w->pad_bottom = c_.Int(0, h);
    w->pad_left = c_.Int(0, width);
    w->pad_right = c_.Int(0, width);
  }

  void PadOrSlice(OpType type, TensorId x) {
    const Shape shape = g_.tensor(x).shape;
    Node n;
    n.type = type;
    n.inputs = {x};
    n.output = Like(x);
    if (type == OpType::kSlice) n.end[0] = 1;
    for (int d = 1; d < shape.rank(); ++d) {
      const int size = static_cast<int>(shape[d]);
      const bool keep = c_.Percent(40);
      if (type == OpType::kPad) {
        n.begin[d] = keep ? 0 : c_.Int(0, 2);
        n.end[d] = keep ? 0 : c_.Int(0, 2);
      } else {
        n.begin[d] = keep ? 0 : c_.Int(0, size - 1);
        n.end[d] = keep ? size : c_.Int(n.begin[d] + 1, size);
        n.step[d] = c_.Percent(70) ? 1 : c_.Int(1, 3);
      }
    }
    if (type == OpType::kPad) n.pad_value = static_cast<float>(c_.Int(-8, 8)) / 4.0f;
    Push(std::move(n));
  }

  void Concat(TensorId x) {
    const Tensor t = g_.tensor(x);
    Node n;
    n.type = OpType::kConcat;
    n.axis = t.shape.rank() == 2 ? 1 : c_.Int(1, 3);
    n.inputs = {x};
    for (TensorId id : live_) {
      const Tensor& other = g_.tensor(id);
      bool fits = other.dtype == t.dtype && other.quantization == t.quantization &&
                  other.shape.rank() == t.shape.rank();
      for (int d = 0; fits && d < t.shape.rank(); ++d)
        fits = d == n.axis || other.shape[d] == t.shape[d];
      if (fits && n.inputs.size() < 4 && c_.Percent(70)) n.inputs.push_back(id);
    }
    if (n.inputs.size() == 1) n.inputs.push_back(x);
    n.output = Like(x);
    Push(std::move(n));
  }

  void Reshape(TensorId x) {
    const int64_t elements = g_.tensor(x).shape.num_elements();
    const TensorId y = Like(x);
    Shape shape{1, elements};
    if (c_.Percent(65)) {
      int64_t h = c_.Int(1, 6), channels = c_.Int(1, 20);
      if (c_.Percent(25)) channels = g_.tensor(x).shape.back();
      if (c_.Percent(20)) h = 1, channels = elements;
      while (elements % h != 0) --h;
      while (elements / h % channels != 0) --channels;
      shape = {1, h, elements / h / channels, channels};
    }
    g_.tensor(y).shape = shape;
    Push(OpType::kReshape, {x}, y);
  }

  // ---- Convolutions and dense layers ----

  DType WeightType(bool u8) {
    if (u8) return DType::kI8;
    switch (style_) {
      case Style::kFp32:
        return DType::kF32;
      case Style::kFp16:
        return DType::kF16;
      case Style::kHybrid:
        return DType::kI8;
      default: {
        constexpr DType kAny[] = {DType::kF32, DType::kF16, DType::kI8};
        return c_.Of(kAny);
      }
    }
  }

  bool Conv(TensorId x, OpType type, int64_t out_c) {
    const Tensor t = g_.tensor(x);
    const bool u8 = t.dtype == DType::kU8;
    Node n;
    n.type = type;
    n.inputs.assign(5, kNoTensor);
    n.inputs[kInputX] = x;
    const DType dtype = WeightType(u8);
    const TensorId shared = c_.Percent(12) ? SharedWeights(n, t.shape, dtype) : kNoTensor;
    Shape shape{out_c, t.shape.back()};
    if (shared != kNoTensor) {
      shape = g_.tensor(shared).shape;
      n.groups = groups_[static_cast<size_t>(shared)];
      if (type == OpType::kConv2d)
        n.window.kernel_h = static_cast<int>(shape[1]),
        n.window.kernel_w = static_cast<int>(shape[2]);
    } else if (type == OpType::kConv2d) {
      shape = ChooseKernel(t.shape.back(), out_c, &n);
    }
    if (type == OpType::kConv2d) ChooseWindow(&n);
    const bool pixel = type == OpType::kConv2d && n.groups == 1 && shape[1] == 1 && shape[2] == 1;
    if (pixel && c_.Percent(40)) {
      Window& w = n.window;
      w = Window{.stride_h = w.stride_h, .stride_w = w.stride_w};
      n.tflite_kernel = TfliteKernel::kFullyConnected;
    }
    if (shape.num_elements() > (large_ || winograd_ ? 40'000 : 12'000)) return false;

    const size_t before = g_.tensors.size();
    const bool u8_out = u8 && !c_.Percent(15);
    n.inputs[kInputWeights] = shared != kNoTensor ? shared : Weights(dtype, shape, n.groups);
    n.output = Activation(u8_out ? DType::kU8 : DType::kF32, t.shape);
    AddVectors(t, g_.tensor(n.output), shape, dtype, &n);
    n.activation = Activate();
    const Result<octet::Shape> y = InferShape(g_, n);
    if (y.ok() && residual_ != kNoTensor && g_.tensor(residual_).shape == *y &&
        g_.tensor(residual_).dtype == (u8_out ? DType::kU8 : DType::kF32)) {
      n.inputs[kInputResidual] = residual_;
    } else if (y.ok() && c_.Percent(40)) {
      n.inputs[kInputResidual] = Match(*y, u8_out ? DType::kU8 : DType::kF32, true, x);
    }
    while (n.inputs.back() == kNoTensor) n.inputs.pop_back();
    if (Push(std::move(n))) return true;
    g_.tensors.resize(before);
    groups_.resize(before);
    while (!orphans_.empty() && orphans_.back() >= static_cast<TensorId>(before))
      orphans_.pop_back();
    return false;
  }

  Shape ChooseKernel(int64_t in_c, int64_t out_c, Node* n) {
    const uint32_t kind = winograd_ ? 0 : c_.Below(10);
    Window& w = n->window;
    if (kind < 3 || large_) {
      w.kernel_h = w.kernel_w = 3;
    } else if (kind < 5) {
      w.kernel_h = w.kernel_w = 1;
    } else {
      w.kernel_h = c_.Int(1, 5);
      w.kernel_w = c_.Int(1, 5);
    }
    if (kind == 9 || kind == 2) {  // Depthwise.
      n->groups = static_cast<int>(in_c);
      return {in_c, w.kernel_h, w.kernel_w, 1};
    }
    if (winograd_ && in_c % 32 == 0 && c_.Percent(25)) {
      n->groups = 2;
      return {32 * c_.Int(1, 2), w.kernel_h, w.kernel_w, in_c / 2};
    }
    if (in_c % 4 == 0 && in_c > 4 && c_.Percent(25)) {
      const int quads = static_cast<int>(in_c / 4);
      n->groups = c_.Int(2, quads);
      while (quads % n->groups != 0) ++n->groups;  // A fuzzer's choices may be the same for ever.
      return {4 * n->groups * c_.Int(1, 5), w.kernel_h, w.kernel_w, in_c / n->groups};
    }
    if (in_c % 2 == 0 && in_c > 2 && c_.Below(200) == 0) {
      n->groups = 2;
      return {(out_c + 1) / 2 * 2, w.kernel_h, w.kernel_w, in_c / 2};
    }
    return {out_c, w.kernel_h, w.kernel_w, in_c};
  }

  void ChooseWindow(Node* n) {
    Window& w = n->window;
    if (same_size_) {
      w.pad_top = (w.kernel_h - 1) / 2;
      w.pad_left = (w.kernel_w - 1) / 2;
      w.pad_bottom = w.kernel_h - 1 - w.pad_top;
      w.pad_right = w.kernel_w - 1 - w.pad_left;
      return;
    }
    if (winograd_ || (large_ && c_.Percent(50))) {
      RandomPadding(&w);
      if (c_.Percent(70)) w.pad_top = w.pad_left = w.pad_bottom = w.pad_right = 1;
      return;
    }
    if (c_.Percent(35)) w.stride_h = c_.Int(1, 3), w.stride_w = c_.Int(1, 3);
    if (c_.Percent(15)) w.dilation_h = c_.Int(1, 3), w.dilation_w = c_.Int(1, 3);
    if (c_.Percent(50)) {
      w.pad_top = w.pad_bottom = w.kernel_h / 2;
      w.pad_left = w.pad_right = w.kernel_w / 2;
    } else {
      RandomPadding(&w);
    }
  }

  /// Weights of an earlier layer that fit this one's input.
  TensorId SharedWeights(const Node& n, const Shape& x, DType dtype) {
    std::vector<TensorId> found;
    for (size_t i = 0; i < groups_.size(); ++i) {
      const Tensor& w = g_.tensors[i];
      if (groups_[i] == 0 || w.dtype != dtype) continue;
      if (w.shape.rank() != (n.type == OpType::kConv2d ? 4 : 2)) continue;
      if (w.shape.back() * groups_[i] == x.back()) found.push_back(static_cast<TensorId>(i));
    }
    return found.empty() ? kNoTensor : found[c_.Below(static_cast<uint32_t>(found.size()))];
  }

  TensorId Weights(DType dtype, const Shape& shape, int groups) {
    const int64_t count = shape.num_elements();
    SeededChoices values = Values();
    // Of one output, so that its magnitudes sum to about 1.
    const int64_t products = count / shape[0];
    const float unit = 1.0f / (64.0f * static_cast<float>(products));
    // Most are spread out; all of one sign and of the largest magnitude come near the limits of
    // sums.
    const uint32_t kind = c_.Below(12);
    std::vector<int8_t> i8;
    std::vector<uint16_t> f16;
    std::vector<float> f32;
    for (int64_t i = 0; i < count; ++i) {
      int v = values.Int(-127, 127);
      if (kind == 0) v = 127;
      if (kind == 1) v = values.Percent(50) ? 127 : -127;
      if (kind == 2) v = values.Percent(80) ? 0 : v;
      if (kind == 3) v = v % 8;
      i8.push_back(static_cast<int8_t>(v));
      f32.push_back(static_cast<float>(v) * unit);
      f16.push_back(FloatToHalf(f32.back()));
    }
    TensorId id;
    const std::string name = Name("w");
    if (dtype == DType::kI8) {
      id = g_.AddConstant(name, dtype, shape, i8.data(), i8.size());
    } else if (dtype == DType::kF16) {
      id = g_.AddConstant(name, dtype, shape, f16.data(), f16.size() * 2);
    } else {
      id = g_.AddConstant(name, dtype, shape, f32.data(), f32.size() * 4);
    }
    groups_.resize(g_.tensors.size(), 0);
    groups_[static_cast<size_t>(id)] = groups;
    return id;
  }

  /// Bias and scales. Scales are such that results fill the output's range about once.
  void AddVectors(const Tensor& x, const Tensor out, const Shape& weights, DType dtype, Node* n) {
    const auto channels = static_cast<size_t>(weights[0]);
    const double terms =
        static_cast<double>(weights.num_elements()) / static_cast<double>(weights[0]);
    const bool u8 = x.dtype == DType::kU8, bias = c_.Percent(75);
    SeededChoices values = Values();
    if (bias && u8) {
      std::vector<int32_t> v(channels);
      for (int32_t& b : v) b = values.Int(-3000, 3000);
      n->inputs[kInputBias] = Vector(DType::kI32, v);
    } else if (bias) {
      std::vector<float> v(channels);
      for (float& b : v) b = static_cast<float>(values.Int(-127, 127)) / 128.0f;
      n->inputs[kInputBias] = Vector(DType::kF32, v);
    }
    if (dtype != DType::kI8) return;
    // A sum is around 74 * 100 * sqrt(terms); a hybrid image's step around 2/255 of its largest
    // value.
    const double typical = 7400.0 * std::sqrt(terms);
    const double out_step = out.dtype == DType::kU8 ? out.quantization.scale : 1.0 / 64.0;
    const double in_step = u8 ? x.quantization.scale : 1.0 / 128.0;
    const double middle = 50.0 * out_step / (in_step * typical);
    const float wide = std::ldexp(1.0f, c_.Int(-2, 2));
    std::vector<float> v(channels);
    for (float& s : v) {
      s = static_cast<float>(middle) * wide *
          (0.5f + static_cast<float>(values.Below(256)) / 256.0f);
      if (powers_) s = std::ldexp(1.0f, static_cast<int>(std::floor(std::log2(s))));
    }
    n->inputs[kInputScales] = Vector(DType::kF32, v);
  }

  // ---- Outputs ----

  void ChooseOutputs() {
    std::vector<char> read(g_.tensors.size(), 0);
    for (const Node& n : g_.nodes) {
      for (TensorId id : n.inputs) {
        if (id != kNoTensor) read[static_cast<size_t>(id)] = 1;
      }
    }
    for (size_t i = 0; i < g_.nodes.size(); ++i) {
      const TensorId id = g_.nodes[i].output;
      // What nobody reads is an output, but for a few results that are computed for nothing.
      const bool last = i + 1 == g_.nodes.size();
      if (last || c_.Percent(read[static_cast<size_t>(id)] ? 12 : 92)) g_.outputs.push_back(id);
    }
    if (g_.outputs.size() > 1 && c_.Percent(30)) std::swap(g_.outputs.front(), g_.outputs.back());
    RemoveOrphans();
  }

  /// For some of the convolutions that could have them.
  void AddPaddingCodes() {
    std::vector<int> readers(g_.tensors.size(), 0);
    for (TensorId id : g_.outputs) ++readers[static_cast<size_t>(id)];
    for (const Node& n : g_.nodes) {
      for (TensorId id : n.inputs)
        if (id != kNoTensor) ++readers[static_cast<size_t>(id)];
    }
    for (Node& n : g_.nodes) {
      const TensorId x = n.inputs[0];
      const int64_t channels = g_.tensor(x).shape.back();
      if (n.type != OpType::kConv2d || g_.tensor(x).dtype != DType::kU8 ||
          channels > kMaxPaddedChannels || readers[static_cast<size_t>(x)] != 1 ||
          g_.metadata.rounding == Rounding::kTflite || !c_.Percent(50))
        continue;
      SeededChoices values = Values();
      std::vector<uint8_t> codes(static_cast<size_t>(channels));
      for (uint8_t& code : codes) code = static_cast<uint8_t>(values.Below(256));
      n.set_input(kInputPadding, Vector(DType::kU8, codes));
    }
  }

  /// Activations of nodes that could not be added.
  void RemoveOrphans() {
    if (orphans_.empty()) return;
    std::vector<TensorId> moved(g_.tensors.size(), 0);
    std::vector<Tensor> kept;
    for (size_t i = 0; i < g_.tensors.size(); ++i) {
      moved[i] = static_cast<TensorId>(kept.size());
      if (std::find(orphans_.begin(), orphans_.end(), static_cast<TensorId>(i)) == orphans_.end()) {
        kept.push_back(g_.tensors[i]);
      }
    }
    g_.tensors = std::move(kept);
    const auto move = [&](TensorId& id) {
      if (id != kNoTensor) id = moved[static_cast<size_t>(id)];
    };
    for (TensorId& id : g_.inputs) move(id);
    for (TensorId& id : g_.outputs) move(id);
    for (Node& n : g_.nodes) {
      move(n.output);
      for (TensorId& id : n.inputs) move(id);
    }
  }

  Choices& c_;
  Graph g_;
  Style style_ = Style::kFp32;
  bool large_ = false;             ///< For kernels that small layers do not reach.
  bool winograd_ = false;          ///< The node that is being added is for Winograd's kernels.
  bool same_size_ = false;         ///< So shall its output's height and width.
  TensorId residual_ = kNoTensor;  ///< Of that node, where it fits.
  bool powers_ = false;            ///< All scales are powers of two.
  int names_ = 0;
  int64_t cost_ = 0;
  /// Activations that may be read; inputs that nothing shall read are not among them.
  std::vector<TensorId> live_;
  std::vector<int> groups_;  ///< By tensor: of a convolution's weights; 0 for all others.
  std::vector<TensorId> orphans_;
};

}  // namespace

Graph GenerateGraph(Choices* choices) { return Generator(choices).Run(); }

bool ToInt16(Graph* graph) {
  Graph& g = *graph;
  // What something computes with.
  std::vector<bool> used(g.tensors.size(), false);
  for (const Node& n : g.nodes) {
    if (TraitsOf(n.type).converts) continue;
    used[static_cast<size_t>(n.output)] = true;
    for (TensorId id : n.inputs) {
      if (id != kNoTensor) used[static_cast<size_t>(id)] = true;
    }
  }
  bool any = false;
  for (size_t i = 0; i < used.size(); ++i) {
    Tensor& t = g.tensors[i];
    if (t.is_constant() || t.dtype != DType::kU8 || !used[i]) continue;
    t.dtype = DType::kI16;
    t.quantization = {t.quantization.scale / 128.0f, 0};
    any = true;
  }
  for (Node& n : g.nodes) {
    if (g.tensor(n.inputs[0]).dtype != DType::kI16) continue;
    // Padding codes are not for int16.
    if (TraitsOf(n.type).has_weights && n.input(kInputPadding) != kNoTensor)
      n.inputs.resize(kInputPadding);
    const bool bias = TraitsOf(n.type).has_weights && n.input(kInputBias) != kNoTensor;
    if (!bias) continue;
    std::vector<int64_t> values;
    for (int32_t b : g.tensor(n.inputs[kInputBias]).values<int32_t>())
      values.push_back(int64_t{b} * 131);
    n.inputs[kInputBias] = g.AddConstant("b" + std::to_string(g.tensors.size()), DType::kI64,
                                         {static_cast<int64_t>(values.size())}, values.data(),
                                         values.size() * sizeof(int64_t));
  }
  if (any) g.metadata.precision = Precision::kInt16x8;
  return any;
}

namespace {

/// Numbers as bfloat16 constants of the same shape, once for each tensor.
class Bf16Weights {
 public:
  explicit Bf16Weights(Graph* g) : g_(*g) {}

  /// Of float32, float16 or int8 in steps of 1/64.
  TensorId Of(TensorId id) {
    TensorId& known = known_.try_emplace(id, kNoTensor).first->second;
    if (known != kNoTensor) return known;
    const Tensor& w = g_.tensor(id);
    std::vector<uint16_t> values;
    if (w.dtype == DType::kF32) {
      for (float v : w.values<float>()) values.push_back(FloatToBf16(v));
    } else if (w.dtype == DType::kF16) {
      for (uint16_t v : w.values<uint16_t>()) values.push_back(FloatToBf16(HalfToFloat(v)));
    } else {
      for (int8_t v : w.values<int8_t>())
        values.push_back(FloatToBf16(static_cast<float>(v) / 64.0f));
    }
    const Shape shape = w.shape;
    known = g_.AddConstant("w" + std::to_string(g_.tensors.size()), DType::kBF16, shape,
                           values.data(), values.size() * sizeof(uint16_t));
    return known;
  }

 private:
  Graph& g_;
  std::map<TensorId, TensorId> known_;
};

/// Whether a node of bfloat16 may have a float32 output.
bool MayGiveFloats(const Node& n) {
  return TraitsOf(n.type).only_float || n.type == OpType::kGlobalAveragePool ||
         (TraitsOf(n.type).has_weights && n.input(kInputResidual) == kNoTensor);
}

}  // namespace

bool ToBf16(Graph* graph) {
  Graph& g = *graph;
  std::vector<bool> read(g.tensors.size(), false), output(g.tensors.size(), false);
  for (const Tensor& t : g.tensors) {
    if (!t.is_constant() && t.dtype != DType::kF32) return false;
  }
  for (const Node& n : g.nodes) {
    for (TensorId id : n.inputs)
      if (id != kNoTensor) read[static_cast<size_t>(id)] = true;
  }
  for (TensorId id : g.outputs) output[static_cast<size_t>(id)] = true;
  std::vector<Node> nodes;
  std::map<TensorId, TensorId> rounded;
  const auto new_tensor = [&](TensorId like) {
    const Shape shape = g.tensor(like).shape;
    return g.AddActivation("b" + std::to_string(g.tensors.size()), DType::kBF16, shape);
  };
  for (TensorId id : g.inputs) {
    if (!read[static_cast<size_t>(id)]) continue;
    const TensorId to = rounded[id] = new_tensor(id);
    nodes.push_back(UnaryNode(OpType::kQuantize, g.tensor(to).name, id, to));
  }
  Bf16Weights weights(&g);
  for (Node n : g.nodes) {
    for (TensorId& id : n.inputs) {
      if (const auto it = rounded.find(id); it != rounded.end()) id = it->second;
    }
    if (TraitsOf(n.type).has_weights) {
      n.inputs[kInputWeights] = weights.Of(n.inputs[kInputWeights]);
      n.set_input(kInputScales, kNoTensor);
    }
    const TensorId y = n.output;
    const bool is_output = output[static_cast<size_t>(y)];
    if (is_output && !read[static_cast<size_t>(y)] && MayGiveFloats(n)) {
      nodes.push_back(std::move(n));
      continue;
    }
    if (!is_output) {
      g.tensor(y).dtype = DType::kBF16;
      nodes.push_back(std::move(n));
      continue;
    }
    n.output = rounded[y] = new_tensor(y);
    const TensorId from = n.output;
    nodes.push_back(std::move(n));
    nodes.push_back(UnaryNode(OpType::kDequantize, "to" + std::to_string(y), from, y));
  }
  g.nodes = std::move(nodes);
  g.metadata.precision = Precision::kBf16;
  return true;
}

int64_t GraphCost(const Graph& graph) {
  int64_t cost = 0;
  for (const Node& n : graph.nodes) cost += NodeCost(graph, n);
  return cost;
}

}  // namespace octet::testing
