// Random TFLite networks of every operator and option that the importer lists, with their answers
// for one input, computed while they are made from the operators' published definitions.
#ifndef OCTET_TESTS_UNIT_TFLITE_GENERATOR_H_
#define OCTET_TESTS_UNIT_TFLITE_GENERATOR_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "formats/base/dtype.h"
#include "tests/unit/ref_tensor.h"
#include "tests/unit/tflite_arithmetic.h"
#include "tests/unit/tflite_builder.h"

namespace octet::testing {

/// One network a seed. Values of integer tensors are their codes. What floats decide in an integer
/// network (QUANTIZE of floats, tables of functions) is only taken where no code is near a limit
/// between two, so that all answers are exact.
class TfliteGenerator {
 public:
  using Dims = std::vector<int64_t>;
  using Type = tflite::TensorType;
  using Options = tflite::BuiltinOptions;
  using Fused = tflite::ActivationFunctionType;

  TfliteGenerator(uint64_t seed, bool quantized) : random_(seed), quantized_(quantized) {}

  /// The file.
  std::string Make() {
    style_ = Below(8);
    batch_ = Below(6) == 0 ? 2 : 1;
    open_ = batch_ == 1 && Below(3) == 0;
    const int64_t h = 4 + Below(3), w = 7 + Below(3), c = 1 + Below(3);
    const int shape = Below(12);
    Dims dims = shape == 0 ? Dims{1, 6 + Below(12)} : shape == 1 ? Dims{1, h, w} : Dims{1, h, w, c};
    if (shape == 2) dims = {1, c, h, w};
    input_ = Input(dims);
    Val x = input_;
    if (quantized_ && !IsFloat(x)) {
      if (raw_) {
        x = Op(kCastCode, {x.index}, Float(x.t), Options::CastOptions,
               tflite::CreateCastOptions(fb()).Union());
      } else if (x.type != type_) {
        x = *Quantized(x, Quant{x.scale, type_ == Type::INT8 ? x.zero - 128 : x.zero + 128});
      }
    } else if (shape == 2 && Below(2) == 0) {
      x = Scalar(kMulCode, x, 0.5f);
    }
    if (shape == 2) x = Transposed(x, {0, 2, 3, 1});
    if (quantized_ && IsFloat(x)) {
      if (auto q = Quantized(x, QuantOf(x.t.values))) x = *q;
    }
    vals_.push_back(x);
    for (int i = 0, n = 2 + Below(7); i < n; ++i) Step();
    Finish();
    return b_.Build({input_.index}, {output_.index});
  }

  /// The shape with a batch of 1, and the values that octet counts in: those of int8 are 128
  /// higher.
  const Dims& input_dims() const { return input_.t.dims; }
  std::vector<double> input() const { return Bytes(input_); }
  std::vector<double> output() const { return Bytes(output_); }

 private:
  struct Quant {
    float scale;
    int64_t zero;
    bool operator==(const Quant&) const = default;
  };
  struct Val {
    int index = 0;
    RefTensor t{};
    Type type = Type::FLOAT32;
    float scale = 0;
    int64_t zero = 0;
    Quant quant() const { return {scale, zero}; }
  };
  /// Weights or a constant: a tensor of the file, its real values or codes without the zero point,
  /// and the scale of each output channel.
  struct Constant {
    int index = 0;
    RefTensor t{};
    std::vector<float> scales{};
    bool per_channel = false;
  };

  int Below(int64_t n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  double Normal(double size) { return std::normal_distribution<double>(0, size)(random_); }
  flatbuffers::FlatBufferBuilder& fb() { return b_.fb(); }
  std::string Name() { return "t" + std::to_string(next_++); }
  static bool IsFloat(const Val& v) { return v.type == Type::FLOAT32; }
  static int64_t Low(Type type) { return type == Type::INT8 ? -128 : 0; }
  static std::vector<double> Bytes(const Val& v) {
    RefTensor t = RefUnary(v.t, [&](double q) { return IsFloat(v) ? q : q - double(Low(v.type)); });
    return t.values;
  }
  static std::vector<int> Ints(const Dims& dims) { return {dims.begin(), dims.end()}; }
  Dims Batched(Dims dims) const {
    if (!dims.empty()) dims[0] *= batch_;
    return dims;
  }

  // ---- Tensors ----

  /// An activation.
  Val Tensor(RefTensor t, Type type = Type::FLOAT32, const Quant& q = {0, 0}) {
    TfliteQuant quant;
    if (q.scale > 0) quant = {{q.scale}, {q.zero}};
    std::vector<int> signature;
    if (open_) {
      signature = Ints(t.dims);
      signature[0] = -1;
    }
    const int index =
        b_.Tensor(Name(), type, Ints(Batched(t.dims)), std::vector<float>(), quant, signature);
    return {index, std::move(t), type, q.scale, q.zero};
  }
  static Val Float(RefTensor t) { return {0, std::move(t)}; }

  Val Input(const Dims& dims) {
    RefTensor t{dims, {}};
    const bool integer = quantized_ && style_ != 6;
    type_ = style_ == 5 || style_ == 4 ? Type::UINT8 : Type::INT8;
    raw_ = style_ == 7 && Below(2) == 0;  // Pixels that the network casts to float.
    const Type type = !integer                           ? Type::FLOAT32
                      : raw_ || (style_ > 1 && Below(2)) ? Type::UINT8
                                                         : type_;
    for (int64_t i = 0; i < RefCount(dims); ++i) {
      t.values.push_back(!integer ? (Below(33) - 16) / 8.0
                                  : static_cast<double>(Below(256) + Low(type)));
    }
    if (!integer || raw_) return Tensor(std::move(t), type);
    // Its zero point must be one of the other type's too.
    Quant q = AnyQuant(2.0);
    q.zero += Low(type);
    return Tensor(std::move(t), type, q);
  }

  /// A scale for values of this size; the zero point as of uint8.
  Quant AnyQuant(double size) {
    const double step = size / 128;
    float scale = 0;
    switch (Below(3)) {
      case 0:  // Many results halfway between two codes.
        scale = std::exp2f(std::round(static_cast<float>(std::log2(step))));
        break;
      case 1: {  // Decimals, whose ratios are nearly such.
        const double ten = std::pow(10, std::floor(std::log10(step)));
        scale = static_cast<float>(std::max(1.0, std::round(step / ten)) * ten);
        break;
      }
      default:
        scale = static_cast<float>(step * (0.7 + 0.01 * Below(100)));
    }
    static constexpr int kZeros[] = {0, 128, 255, 3};
    return {scale, Below(2) == 0 ? kZeros[Below(4)] : Below(256)};
  }
  /// One that mostly fits the values, for tensors of the network's type.
  Quant QuantOf(const std::vector<double>& real) {
    double low = 0, high = 0;
    for (double v : real) low = std::min(low, v), high = std::max(high, v);
    Quant q = AnyQuant(std::max(high - low, 1e-3) / 2);
    if (Below(4) > 0)
      q.zero = std::clamp<int64_t>(static_cast<int64_t>(std::round(-low / q.scale)), 0, 255);
    q.zero += Low(type_);
    return q;
  }

  std::vector<double> RealOf(const Val& v) const {
    return RefUnary(v.t,
                    [&](double q) {
                      return IsFloat(v) ? q : (q - static_cast<double>(v.zero)) * v.scale;
                    })
        .values;
  }
  static RefTensor Centered(const Val& v) {
    return RefUnary(v.t, [&](double q) { return q - static_cast<double>(v.zero); });
  }

  int IntConst(const Dims& values) { return b_.Ints(Name(), Ints(values)); }
  int IntScalar(int64_t v) {
    return b_.Tensor(Name(), Type::INT32, {}, std::vector<int>{static_cast<int>(v)});
  }

  /// float32, or float16 behind DEQUANTIZE.
  Constant Floats(const Dims& dims, const std::function<double()>& draw) {
    Constant c{0, {dims, {}}, {}};
    std::vector<float> values;
    std::vector<uint16_t> halves;
    for (int64_t i = 0; i < RefCount(dims); ++i) {
      halves.push_back(FloatToHalf(static_cast<float>(draw())));
      values.push_back(HalfToFloat(halves.back()));
      c.t.values.push_back(values.back());
    }
    if (!quantized_ && (style_ == 1 || style_ == 2)) {
      const int half = b_.Tensor(Name(), Type::FLOAT16, Ints(dims), halves);
      c.index = b_.Floats(Name(), Ints(dims));
      b_.Op(kDequantizeCode, {half}, {c.index});
    } else {
      c.index = b_.Floats(Name(), Ints(dims), values);
    }
    return c;
  }
  Constant Floats(const Dims& dims, double size = 0.5) {
    return Floats(dims, [&] { return Normal(size); });
  }

  /// 8-bit codes of `type`; `channel` is the dimension with the scales.
  Constant Codes(const Dims& dims, Type type, size_t channel, bool per_channel, int64_t zero,
                 double size) {
    Constant c{0, {dims, {}}, {}, per_channel};
    std::vector<int8_t> bytes;
    const int narrow = Below(4) == 0 ? 1 : 0;
    for (int64_t i = 0; i < RefCount(dims); ++i) {
      const int64_t q = narrow ? zero + Below(15) - 7 : Below(256) + Low(type);
      bytes.push_back(static_cast<int8_t>(q));
      const double stored = type == Type::INT8 ? bytes.back() : static_cast<uint8_t>(bytes.back());
      c.t.values.push_back(stored - static_cast<double>(zero));
    }
    const size_t n = static_cast<size_t>(dims[channel]);
    TfliteQuant q{{}, {}, static_cast<int>(channel)};
    for (size_t i = 0; i < (per_channel ? n : 1); ++i) {
      q.scale.push_back(AnyQuant(size).scale);
      q.zero.push_back(zero);
    }
    c.index = b_.Tensor(Name(), type, Ints(dims), bytes, q);
    c.scales = q.scale;
    if (!per_channel) c.scales.assign(n, q.scale[0]);
    return c;
  }

  Constant Weights(const Val& x, const Dims& dims, size_t channel) {
    if (!IsFloat(x)) {
      const bool is_signed = x.type == Type::INT8;
      return Codes(dims, x.type, channel, is_signed && Below(3) > 0,
                   is_signed       ? 0
                   : Below(3) == 0 ? Below(256)
                                   : 128,
                   0.5);
    }
    if (quantized_ || style_ != 3) return Floats(dims);
    Constant c = Codes(dims, Type::INT8, channel, Below(2) == 0, 0, 0.5);
    size_t inner = 1;
    for (size_t d = channel + 1; d < dims.size(); ++d) inner *= static_cast<size_t>(dims[d]);
    for (size_t i = 0; i < c.t.values.size(); ++i)
      c.t.values[i] *= c.scales[i / inner % c.scales.size()];
    return c;
  }

  // ---- Operators ----

  /// Emits an operator; `result` says what it gives.
  Val Op(int code, const std::vector<int>& inputs, const Val& result, Options type = Options::NONE,
         flatbuffers::Offset<void> options = 0) {
    Val y = Tensor(result.t, result.type, result.quant());
    b_.Op(code, inputs, {y.index}, type, options);
    return y;
  }
  /// The values of x moved, in its quantization.
  static Val Like(const Val& x, RefTensor t) { return {0, std::move(t), x.type, x.scale, x.zero}; }

  Fused AnyFused() {
    static constexpr Fused kKinds[] = {Fused::RELU, Fused::RELU6, Fused::RELU_N1_TO_1};
    return Below(2) == 0 ? Fused::NONE : kKinds[Below(3)];
  }
  static std::pair<double, double> LimitsOf(Fused f) {
    constexpr double kNone = std::numeric_limits<double>::infinity();
    return f == Fused::NONE    ? std::pair{-kNone, kNone}
           : f == Fused::RELU  ? std::pair{0.0, kNone}
           : f == Fused::RELU6 ? std::pair{0.0, 6.0}
                               : std::pair{-1.0, 1.0};
  }
  /// CalculateActivationRangeQuantized.
  double Clamped(double code, std::pair<double, double> limits, Type type, const Quant& q) const {
    double low = static_cast<double>(Low(type)), high = low + 255;
    const auto quantize = [&](double v) {
      return static_cast<double>(q.zero) + std::round(static_cast<float>(v) / q.scale);
    };
    if (std::isfinite(limits.first)) low = std::max(low, quantize(limits.first));
    if (std::isfinite(limits.second)) high = std::min(high, quantize(limits.second));
    return std::min(std::max(code, low), high);
  }
  /// Results of `fixed`, without a zero point, as codes of an activation of x's type.
  Val Integers(const Val& x, RefTensor fixed, const Quant& q, Fused fused) const {
    for (double& v : fixed.values)
      v = Clamped(v + static_cast<double>(q.zero), LimitsOf(fused), x.type, q);
    return {0, std::move(fixed), x.type, q.scale, q.zero};
  }
  static Val Clipped(RefTensor t, std::pair<double, double> limits) {
    return Float(
        RefUnary(t, [&](double v) { return std::min(std::max(v, limits.first), limits.second); }));
  }

  const Val& Any() {
    const int64_t n = static_cast<int64_t>(vals_.size());
    return vals_[static_cast<size_t>(n - 1 - Below(std::min<int64_t>(3, n)))];
  }
  void Keep(std::optional<Val> v) {
    if (v) vals_.push_back(std::move(*v));
  }

  /// QUANTIZE, if no value is near a limit between two codes.
  std::optional<Val> Quantized(const Val& x, const Quant& q, Type type) {
    Val y{0, x.t, type, q.scale, q.zero};
    if (IsFloat(x)) {
      if (x.index == input_.index) {  // Known to the last bit.
        for (double& v : y.t.values) v = std::round(static_cast<float>(v) / q.scale) * q.scale;
      }
      if (!Rounded(&y)) return std::nullopt;
    } else {
      const Multiplier m(static_cast<double>(x.scale) / static_cast<double>(q.scale));
      y = Integers(y, Scaled(Centered(x), m), q, Fused::NONE);
    }
    return Op(kQuantizeCode, {x.index}, y);
  }
  std::optional<Val> Quantized(const Val& x, const Quant& q) { return Quantized(x, q, type_); }
  /// Real values as codes; false when rounding is a matter of luck.
  static bool Rounded(Val* y) {
    const double low = static_cast<double>(Low(y->type));
    for (double& v : y->t.values) {
      const double code = v / y->scale;
      if (std::fabs(code - std::floor(code) - 0.5) < 2e-3) return false;
      v = std::clamp(std::round(code) + static_cast<double>(y->zero), low, low + 255);
    }
    return true;
  }
  static RefTensor Scaled(const RefTensor& t, const Multiplier& m) {
    return RefUnary(
        t, [&](double v) { return MultiplyTwice(static_cast<int32_t>(v), m.value, m.shift); });
  }
  Val Dequantized(const Val& x) {
    return Op(kDequantizeCode, {x.index}, Float(RefTensor{x.t.dims, RealOf(x)}));
  }

  // ---- Layers ----

  /// The sums of a layer over all inputs, [.., channels], with bias and activation.
  Val LayerResult(const Val& x, RefTensor sums, const Constant& w, Fused fused, bool dense,
                  std::vector<int>* inputs) {
    const size_t channels =
        w.scales.empty() ? static_cast<size_t>(sums.dims.back()) : w.scales.size();
    const Dims bias_dims{static_cast<int64_t>(channels)};
    const int kind = Below(4);
    if (IsFloat(x)) {
      if (kind > 0) {
        const Constant bias = Floats(bias_dims);
        inputs->push_back(bias.index);
        for (size_t i = 0; i < sums.values.size(); ++i)
          sums.values[i] += bias.t.values[i % channels];
      } else if (dense && Below(2) == 0) {
        inputs->push_back(-1);
      }
      return Clipped(std::move(sums), LimitsOf(fused));
    }
    if (!dense || kind > 0) {  // Kernels of integer convolutions ask for a bias.
      std::vector<int> bias;
      TfliteQuant q;
      for (size_t c = 0; c < channels; ++c) {
        bias.push_back(Below(4001) - 2000);
        if (c > 0 && !w.per_channel) continue;
        q.scale.push_back(x.scale * w.scales[c]);
        q.zero.push_back(0);
      }
      inputs->push_back(b_.Tensor(Name(), Type::INT32, {static_cast<int>(channels)}, bias, q));
      for (size_t i = 0; i < sums.values.size(); ++i) sums.values[i] += bias[i % channels];
    } else if (Below(2) == 0) {
      inputs->push_back(-1);
    }
    std::vector<double> real = sums.values;
    for (size_t i = 0; i < real.size(); ++i) real[i] *= double{x.scale} * w.scales[i % channels];
    const Quant q = QuantOf(real);
    for (size_t i = 0; i < sums.values.size(); ++i) {
      const Multiplier m(double{x.scale} * w.scales[i % channels] / q.scale);
      const auto sum = static_cast<int32_t>(sums.values[i]);
      sums.values[i] =
          dense ? MultiplyOnce(sum, m.value, m.shift) : MultiplyTwice(sum, m.value, m.shift);
    }
    return Integers(x, std::move(sums), q, fused);
  }

  static std::pair<RefAxis, RefAxis> AxesOf(const RefTensor& x, const int64_t (&kernel)[2],
                                            const int64_t (&stride)[2],
                                            const int64_t (&dilation)[2], bool same) {
    return {RefAxis::Of(x.dims[1], kernel[0], stride[0], dilation[0], same),
            RefAxis::Of(x.dims[2], kernel[1], stride[1], dilation[1], same)};
  }

  std::optional<Val> Convolution(const Val& x, bool depthwise, bool blocks) {
    if (x.t.dims.size() != 4) return std::nullopt;
    RefTensor in = IsFloat(x) ? x.t : Centered(x);
    const int64_t c = in.dims[3];
    int64_t kernel[2], stride[2], dilation[2];
    for (int d = 0; d < 2; ++d) {
      kernel[d] = 1 + Below(3);
      stride[d] = Below(3) == 0 ? 2 + Below(2) : 1;
      dilation[d] = Below(4) == 0 ? 2 : 1;
    }
    bool same = Below(2) == 0;
    // As TensorFlow writes a dilated convolution.
    int64_t pads[4] = {}, crops[4] = {};
    int batched = 0;
    if (blocks) {
      same = false;
      for (int d = 0; d < 2; ++d) {
        stride[d] = 1;
        dilation[d] = 2 + Below(2);
        const int64_t size = in.dims[static_cast<size_t>(1 + d)],
                      wide = (kernel[d] - 1) * dilation[d];
        pads[2 * d] = Below(2) == 0 ? wide / 2 : 0;
        const int64_t behind = pads[2 * d] == 0 ? 0 : wide - wide / 2;
        const int64_t more =
            (dilation[d] - (size + pads[2 * d] + behind) % dilation[d]) % dilation[d];
        pads[2 * d + 1] = behind + more;
        crops[2 * d + 1] = more;
      }
      RefTensor padded = RefPad(in, {0, pads[0], pads[2], 0}, {0, pads[1], pads[3], 0}, 0);
      Dims dims = padded.dims;
      dims[0] = dilation[0] * dilation[1];
      dims[1] /= dilation[0];
      dims[2] /= dilation[1];
      if (dims[1] < kernel[0] || dims[2] < kernel[1]) return std::nullopt;
      // Only the shape of what is between matters.
      batched = Op(kSpaceToBatchCode, {x.index, IntConst({dilation[0], dilation[1]}), Pairs(pads)},
                   Like(x, RefTensor{dims, {}}))
                    .index;
      in = std::move(padded);
    }
    const auto [rows, cols] = AxesOf(in, kernel, stride, dilation, same);
    if (!same && (rows.out < 1 || cols.out < 1 || (kernel[0] - 1) * dilation[0] >= in.dims[1] ||
                  (kernel[1] - 1) * dilation[1] >= in.dims[2]))
      return std::nullopt;
    const int64_t groups = !depthwise && !blocks && Below(8) == 0 && c % 2 == 0 ? 2 : 1;
    const int64_t channels = depthwise ? c * (Below(3) == 0 ? 2 : 1) : groups * (1 + Below(5));
    const Fused fused = AnyFused();
    Constant w = depthwise ? Weights(x, {1, kernel[0], kernel[1], channels}, 3)
                           : Weights(x, {channels, kernel[0], kernel[1], c / groups}, 0);
    RefTensor sums;
    if (depthwise) {
      w.t.dims = {kernel[0], kernel[1], c, channels / c};
      sums = RefDepthwiseConv(in, w.t, rows, cols);
    } else {
      RefTensor k = RefTransposed(w.t, {1, 2, 3, 0});
      sums = RefConv(in, k, rows, cols);
    }
    if (blocks) {
      sums = RefTake(sums, 1, 0, 1, sums.dims[1] - crops[1]);
      sums = RefTake(sums, 2, 0, 1, sums.dims[2] - crops[3]);
    }
    std::vector<int> inputs{blocks ? batched : x.index, w.index};
    const Val y = LayerResult(x, std::move(sums), w, fused, false, &inputs);
    const int dh = static_cast<int>(blocks ? 1 : dilation[0]),
              dw = static_cast<int>(blocks ? 1 : dilation[1]), sh = static_cast<int>(stride[0]),
              sw = static_cast<int>(stride[1]);
    const auto padding = same ? tflite::Padding::SAME : tflite::Padding::VALID;
    const auto options =
        depthwise ? tflite::CreateDepthwiseConv2DOptions(
                        fb(), padding, sw, sh, static_cast<int>(channels / c), fused, dw, dh)
                        .Union()
                  : tflite::CreateConv2DOptions(fb(), padding, sw, sh, fused, dw, dh).Union();
    const int code = depthwise ? kDepthwiseCode : kConvCode;
    const Options type = depthwise ? Options::DepthwiseConv2DOptions : Options::Conv2DOptions;
    if (!blocks) return Op(code, inputs, y, type, options);
    Val middle = y;
    middle.t = {{dilation[0] * dilation[1], (y.t.dims[1] + crops[1]) / dilation[0],
                 (y.t.dims[2] + crops[3]) / dilation[1], channels},
                {}};
    middle = Op(code, inputs, middle, type, options);
    return Op(kBatchToSpaceCode, {middle.index, IntConst({dilation[0], dilation[1]}), Pairs(crops)},
              y);
  }
  int Pairs(const int64_t (&v)[4]) {
    return b_.Tensor(Name(), Type::INT32, {2, 2},
                     std::vector<int>{static_cast<int>(v[0]), static_cast<int>(v[1]),
                                      static_cast<int>(v[2]), static_cast<int>(v[3])});
  }

  Val Dense(const Val& x) {
    const bool keep = x.t.dims.size() > 2 && Below(2) == 0;
    // Rows of several pixels lose the batch.
    const bool rows = !keep && x.t.dims.size() > 2 && Below(8) == 0;
    const int64_t in = keep || rows ? x.t.dims.back() : RefCount(x.t.dims), out = 1 + Below(6);
    RefTensor from = IsFloat(x) ? x.t : Centered(x);
    if (!keep) from.dims = {RefCount(x.t.dims) / in, in};
    Constant w = Weights(x, {out, in}, 0);
    RefTensor k = RefTransposed(w.t, {1, 0});
    const Fused fused = AnyFused();
    std::vector<int> inputs{x.index, w.index};
    const Val y = LayerResult(x, RefMatMul(from, k), w, fused, true, &inputs);
    return Op(kDenseCode, inputs, y, Options::FullyConnectedOptions,
              tflite::CreateFullyConnectedOptions(fb(), fused, 0, keep).Union());
  }

  std::optional<Val> Pool(const Val& x, bool average) {
    if (x.t.dims.size() != 4) return std::nullopt;
    int64_t kernel[2], stride[2];
    for (int d = 0; d < 2; ++d) {
      kernel[d] = 1 + Below(3);
      stride[d] = 1 + Below(3);
    }
    const bool same = Below(2) == 0;
    RefTensor in = x.t;
    if (!same && (kernel[0] > in.dims[1] || kernel[1] > in.dims[2])) return std::nullopt;
    const auto [rows, cols] = AxesOf(in, kernel, stride, {1, 1}, same);
    const Fused fused = AnyFused();
    RefTensor t = RefPool(in, rows, cols, average);
    Val y = Clipped(t, LimitsOf(fused));
    if (!IsFloat(x)) {
      y = Like(x, std::move(t));
      // Averages are of codes; halves go away from zero.
      for (double& v : y.t.values) v = Clamped(std::round(v), LimitsOf(fused), x.type, x.quant());
    }
    return Op(
        average ? kAveragePoolCode : kMaxPoolCode, {x.index}, y, Options::Pool2DOptions,
        tflite::CreatePool2DOptions(fb(), same ? tflite::Padding::SAME : tflite::Padding::VALID,
                                    static_cast<int>(stride[1]), static_cast<int>(stride[0]),
                                    static_cast<int>(kernel[1]), static_cast<int>(kernel[0]), fused)
            .Union());
  }

  std::optional<Val> Reduce(const Val& x) {
    if (x.t.dims.size() != 4) return std::nullopt;
    const int code = std::vector<int>{kMeanCode, kMeanCode, kSumCode,
                                      kReduceMaxCode}[static_cast<size_t>(Below(4))];
    if (!IsFloat(x) && code == kSumCode) return std::nullopt;
    Dims axes{1, 2};
    if (Below(code == kMeanCode && !IsFloat(x) ? 40 : 4) == 0)
      axes = {Below(12) == 0 ? 3 : 1 + Below(2)};
    const bool keep = Below(2) == 0;
    RefTensor in = IsFloat(x) ? x.t : Centered(x);
    const bool maximum = code == kReduceMaxCode;
    RefTensor t = RefReduce(in, axes, keep, maximum ? -HUGE_VAL : 0,
                            [&](double a, double v) { return maximum ? std::max(a, v) : a + v; });
    const int64_t count = RefCount(in.dims) / RefCount(t.dims);
    Val y = Float(t);
    if (!IsFloat(x) && maximum) {
      y = Like(x, RefUnary(t, [&](double v) { return v + static_cast<double>(x.zero); }));
    } else if (!IsFloat(x)) {
      std::vector<double> real = t.values;
      for (double& v : real) v *= x.scale / static_cast<double>(count);
      const Quant q = Below(2) == 0 ? x.quant() : QuantOf(real);
      // reduce.cc: the division goes into the multiplier.
      Multiplier m(double{x.scale} / q.scale);
      const int shift =
          std::min({63 - __builtin_clzll(static_cast<uint64_t>(count)), 32, 31 + m.shift});
      m.value = static_cast<int32_t>((int64_t{m.value} << shift) / count);
      m.shift -= shift;
      y = Integers(x, Scaled(t, m), q, Fused::NONE);
    } else if (code == kMeanCode) {
      for (double& v : y.t.values) v /= static_cast<double>(count);
    }
    for (int64_t& a : axes) {
      if (Below(3) == 0) a -= 4;
    }
    return Op(code, {x.index, IntConst(axes)}, y, Options::ReducerOptions,
              tflite::CreateReducerOptions(fb(), keep).Union());
  }

  // ---- Arithmetic ----

  flatbuffers::Offset<void> BinaryOptions(int code, Fused f) {
    return code == kAddCode   ? tflite::CreateAddOptions(fb(), f).Union()
           : code == kSubCode ? tflite::CreateSubOptions(fb(), f).Union()
           : code == kMulCode ? tflite::CreateMulOptions(fb(), f).Union()
                              : tflite::CreateDivOptions(fb(), f).Union();
  }
  static Options BinaryType(int code) {
    return code == kAddCode   ? Options::AddOptions
           : code == kSubCode ? Options::SubOptions
           : code == kMulCode ? Options::MulOptions
                              : Options::DivOptions;
  }
  Val Scalar(int code, const Val& x, float c) {
    const Constant constant = Floats({}, [&] { return c; });
    return Op(code, {x.index, constant.index},
              Float(RefUnary(x.t, [&](double v) { return code == kMulCode ? v * c : v + c; })),
              BinaryType(code), BinaryOptions(code, Fused::NONE));
  }

  Val BinaryOf(int code, const Val& a, const Val& b) {
    const Fused fused = AnyFused();
    const auto real = [code](double x, double y) {
      return code == kAddCode ? x + y : code == kSubCode ? x - y : code == kMulCode ? x * y : x / y;
    };
    RefTensor ra{a.t.dims, RealOf(a)}, rb{b.t.dims, RealOf(b)};
    RefTensor t = RefBinary(ra, rb, real);
    Val y;
    if (IsFloat(a)) {
      y = Clipped(std::move(t), LimitsOf(fused));
    } else {
      const Quant q = QuantOf(t.values);
      RefTensor ca = Centered(a), cb = Centered(b);
      if (code == kMulCode) {
        const Multiplier m(a.scale * b.scale / q.scale);
        t = Scaled(RefBinary(ca, cb, std::multiplies<>()), m);
      } else {
        const double twice = 2.0 * std::max(a.scale, b.scale);
        RefTensor ta = Scaled(RefUnary(ca, [](double v) { return v * 0x1p20; }),
                              Multiplier(a.scale / twice)),
                  tb = Scaled(RefUnary(cb, [](double v) { return v * 0x1p20; }),
                              Multiplier(b.scale / twice));
        t = Scaled(RefBinary(ta, tb, real), Multiplier(twice / (0x1p20 * q.scale)));
      }
      y = Integers(a, std::move(t), q, fused);
    }
    return Op(code, {a.index, b.index}, y, BinaryType(code), BinaryOptions(code, fused));
  }

  /// A constant operand, as an activation's value.
  Val Operand(const Val& x, bool divisor) {
    const size_t rank = x.t.dims.size();
    Dims dims;
    switch (Below(8)) {
      case 0:
        break;
      case 1:
        dims = {1};
        break;
      case 2:
        dims = Dims(rank, 1);
        break;
      case 3:  // One for each row, or element.
        dims = x.t.dims;
        if (rank > 2 && Below(2) == 0) dims.back() = 1;
        break;
      default:
        dims = {x.t.dims.back()};
        while (dims.size() < rank && Below(2) == 0) dims.insert(dims.begin(), 1);
    }
    if (!dims.empty() && dims.size() == rank) dims[0] = 1;
    if (IsFloat(x)) {
      Constant c = Floats(dims, [&] {
        const double v = Normal(0.7);
        return divisor ? std::copysign(std::fabs(v) + 0.3, v) : v;
      });
      return {c.index, std::move(c.t)};
    }
    Quant q = AnyQuant(1);
    q.zero += Low(x.type);
    return CodeConstant(dims, x.type, q);
  }
  /// Any codes as a value.
  Val CodeConstant(const Dims& dims, Type type, const Quant& q) {
    Val c{0, {dims, {}}, type, q.scale, q.zero};
    std::vector<int8_t> bytes;
    for (int64_t i = 0; i < RefCount(dims); ++i) {
      const int64_t code = Below(256) + Low(type);
      bytes.push_back(static_cast<int8_t>(code));
      c.t.values.push_back(static_cast<double>(code));
    }
    c.index = b_.Tensor(Name(), type, Ints(dims), bytes, {{q.scale}, {q.zero}});
    return c;
  }
  Val NumberFor(const Val& x) {
    if (!IsFloat(x)) return CodeConstant({}, x.type, x.quant());
    Constant c = Floats({}, [&] { return Normal(0.7); });
    return {c.index, std::move(c.t)};
  }

  std::optional<Val> Binary(const Val& x) {
    static constexpr int kCodes[] = {kAddCode, kAddCode, kMulCode, kSubCode, kDivCode};
    const int code = kCodes[Below(IsFloat(x) ? 5 : 4)];
    if (Below(2) == 0) {
      const Val c = Operand(x, code == kDivCode);
      return code != kDivCode && Below(3) == 0 ? BinaryOf(code, c, x) : BinaryOf(code, x, c);
    }
    if (code == kDivCode) return std::nullopt;
    for (size_t i = 0; i < vals_.size(); ++i) {
      const Val& y = vals_[(i + random_() % 3) % vals_.size()];
      if (y.type == x.type && y.t.dims == x.t.dims) return BinaryOf(code, x, y);
    }
    return std::nullopt;
  }

  std::optional<Val> MinMax(const Val& x) {
    const bool maximum = Below(2) == 0;
    const Val c = NumberFor(x);
    RefTensor t = RefUnary(x.t, [&](double v) {
      return maximum ? std::max(v, c.t.values[0]) : std::min(v, c.t.values[0]);
    });
    std::vector<int> inputs{x.index, c.index};
    if (Below(2) == 0) std::swap(inputs[0], inputs[1]);
    return Op(maximum ? kMaximumCode : kMinimumCode, inputs, Like(x, std::move(t)),
              Options::MaximumMinimumOptions, tflite::CreateMaximumMinimumOptions(fb()).Union());
  }

  std::optional<Val> AddN(const Val& x) {
    if (!IsFloat(x)) return std::nullopt;
    std::vector<int> inputs{x.index};
    RefTensor sum = x.t;
    for (const Val& y : vals_) {
      if (inputs.size() > 3 || !IsFloat(y) || y.t.dims != x.t.dims) continue;
      RefTensor other = y.t;
      sum = RefBinary(sum, other, std::plus<>());
      inputs.push_back(y.index);
    }
    return Op(kAddNCode, inputs, Float(sum), Options::AddNOptions,
              tflite::CreateAddNOptions(fb()).Union());
  }

  std::optional<Val> Relu(const Val& x) {
    static constexpr int kCodes[] = {kReluCode, kRelu6Code, kReluN1To1Code, kRelu0To1Code};
    const int kind = Below(4);
    if (IsFloat(x) && Below(4) == 0) {
      const float slope = static_cast<float>(Below(9)) / 4 - 0.5f;
      return Op(kLeakyReluCode, {x.index},
                Float(RefUnary(x.t, [&](double v) { return v < 0 ? slope * v : v; })),
                Options::LeakyReluOptions, tflite::CreateLeakyReluOptions(fb(), slope).Union());
    }
    const std::pair<double, double> limits =
        kind == 3 ? std::pair{0.0, 1.0}
                  : LimitsOf(std::vector<Fused>{Fused::RELU, Fused::RELU6,
                                                Fused::RELU_N1_TO_1}[static_cast<size_t>(kind)]);
    if (IsFloat(x)) return Op(kCodes[kind], {x.index}, Clipped(x.t, limits));
    const Quant q = Below(2) == 0 ? x.quant() : QuantOf(RealOf(x));
    RefTensor t = Scaled(Centered(x), Multiplier(x.scale / q.scale));
    for (double& v : t.values) v = Clamped(v + static_cast<double>(q.zero), limits, x.type, q);
    return Op(kCodes[kind], {x.index}, {0, std::move(t), x.type, q.scale, q.zero});
  }

  /// Functions that TFLite computes with floats, or from a table of them.
  std::optional<Val> Function(const Val& x, int code) {
    RefTensor t{x.t.dims, RealOf(x)};
    Options type = Options::NONE;
    flatbuffers::Offset<void> options = 0;
    Quant q{1.0f / 256, Low(x.type)};
    if (code == kLogisticCode) {
      t = RefUnary(t, [](double v) { return 1 / (1 + std::exp(-v)); });
    } else if (code == kTanhCode) {
      t = RefUnary(t, [](double v) { return std::tanh(v); });
      q = {1.0f / 128, Low(x.type) + 128};
    } else if (code == kSoftmaxCode) {
      const float beta = Below(3) == 0 ? 0.5f : 1.0f;
      t = RefSoftmax(t, beta);
      type = Options::SoftmaxOptions;
      options = tflite::CreateSoftmaxOptions(fb(), beta).Union();
    } else {
      t = RefSoftmax(t, 1, true);
      q = {16.0f / 256, Low(x.type) + 255};
      type = Options::LogSoftmaxOptions;
      options = tflite::CreateLogSoftmaxOptions(fb()).Union();
    }
    if (IsFloat(x)) return Op(code, {x.index}, Float(t), type, options);
    Val y{0, std::move(t), x.type, q.scale, q.zero};
    if (!Rounded(&y)) return std::nullopt;
    return Op(code, {x.index}, y, type, options);
  }

  std::optional<Val> Negated(const Val& x) {
    if (!IsFloat(x)) return std::nullopt;
    return Op(kNegCode, {x.index}, Float(RefUnary(x.t, std::negate<>())), Options::NegOptions,
              tflite::CreateNegOptions(fb()).Union());
  }

  // ---- Moves ----

  Val Transposed(const Val& x, const Dims& perm) {
    RefTensor in = x.t;
    return Op(kTransposeCode, {x.index, IntConst(perm)}, Like(x, RefTransposed(in, perm)),
              Options::TransposeOptions, tflite::CreateTransposeOptions(fb()).Union());
  }

  /// To `dims`, whose shape is a constant, an option, or computed.
  Val Reshaped(const Val& x, const Dims& dims) {
    Dims target = Batched(dims);
    const int kind = Below(4);
    if (Below(3) == 0) target[static_cast<size_t>(Below(static_cast<int64_t>(dims.size())))] = -1;
    if (open_ && dims[0] == 1) target = dims, target[0] = -1;
    Val y = Like(x, RefTensor{dims, x.t.values});
    if (kind == 0) {
      const auto shape = fb().CreateVector(Ints(target));
      return Op(kReshapeCode, {x.index}, y, Options::ReshapeOptions,
                tflite::CreateReshapeOptions(fb(), shape).Union());
    }
    if (kind == 1 && dims[0] == x.t.dims[0]) {
      const int rank = static_cast<int>(x.t.dims.size());
      const int shape = b_.Tensor(Name(), Type::INT32, {rank}, std::vector<int>()),
                batch = b_.Tensor(Name(), Type::INT32, {}, std::vector<int>()),
                packed = b_.Tensor(Name(), Type::INT32, {static_cast<int>(dims.size())},
                                   std::vector<int>());
      b_.Op(kShapeCode, {x.index}, {shape}, Options::ShapeOptions,
            tflite::CreateShapeOptions(fb(), Type::INT32).Union());
      b_.Op(kStridedSliceCode, {shape, IntConst({0}), IntConst({1}), IntConst({1})}, {batch},
            Options::StridedSliceOptions,
            tflite::CreateStridedSliceOptions(fb(), 0, 0, 0, 0, 1).Union());
      std::vector<int> parts{batch};
      for (size_t d = 1; d < dims.size(); ++d) parts.push_back(IntScalar(dims[d]));
      b_.Op(kPackCode, parts, {packed}, Options::PackOptions,
            tflite::CreatePackOptions(fb(), static_cast<int>(parts.size())).Union());
      return Op(kReshapeCode, {x.index, packed}, y);
    }
    return Op(kReshapeCode, {x.index, IntConst(target)}, y);
  }
  Val Flat(const Val& x) { return Reshaped(x, {1, RefCount(x.t.dims)}); }

  std::optional<Val> Redimensioned(const Val& x) {
    const size_t rank = x.t.dims.size();
    Dims dims = x.t.dims;
    switch (Below(6)) {
      case 0:
        return Flat(x);
      case 1:
        if (rank == 4) return Reshaped(x, {1, dims[1] * dims[2], dims[3]});
        if (rank == 3 && dims[1] % 2 == 0) return Reshaped(x, {1, 2, dims[1] / 2, dims[2]});
        if (rank == 2) return Reshaped(x, {1, 1, 1, RefCount(dims)});
        return std::nullopt;
      case 2:
      case 3: {
        std::vector<int> gone;
        for (size_t d = rank; d-- > 1;) {
          if (dims[d] != 1 || (Below(3) == 0)) continue;
          gone.push_back(static_cast<int>(d) - (Below(2) == 0 ? static_cast<int>(rank) : 0));
          dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(d));
        }
        if (gone.empty() || dims.size() < 2) return std::nullopt;
        return Op(kSqueezeCode, {x.index}, Like(x, RefTensor{dims, x.t.values}),
                  Options::SqueezeOptions,
                  tflite::CreateSqueezeOptions(fb(), fb().CreateVector(gone)).Union());
      }
      default: {
        if (rank > 3) return std::nullopt;
        const int axis = 1 + Below(static_cast<int64_t>(rank));
        dims.insert(dims.begin() + axis, 1);
        const int written = Below(2) == 0 ? axis : axis - static_cast<int>(rank) - 1;
        return Op(kExpandDimsCode, {x.index, IntConst({written})},
                  Like(x, RefTensor{dims, x.t.values}), Options::ExpandDimsOptions,
                  tflite::CreateExpandDimsOptions(fb()).Union());
      }
    }
  }

  std::optional<Val> Part(const Val& x) {
    const size_t rank = x.t.dims.size();
    const size_t axis = 1 + static_cast<size_t>(Below(static_cast<int64_t>(rank) - 1));
    const int64_t size = x.t.dims[axis], n = static_cast<int64_t>(rank);
    RefTensor in = x.t;
    const int written = static_cast<int>(Below(2) == 0 ? static_cast<int64_t>(axis)
                                                       : static_cast<int64_t>(axis) - n);
    switch (Below(7)) {
      case 0: {
        Dims begin(rank, 0), counts(rank, -1);
        begin[axis] = Below(size);
        const int64_t count = 1 + Below(size - begin[axis]);
        counts[axis] = begin[axis] + count == size && Below(2) == 0 ? -1 : count;
        return Op(kSliceCode, {x.index, IntConst(begin), IntConst(counts)},
                  Like(x, RefTake(in, axis, begin[axis], 1, count)), Options::SliceOptions,
                  tflite::CreateSliceOptions(fb()).Union());
      }
      case 1:
      case 2: {
        Dims begin(rank, 0), end(rank, 0), step(rank, 1);
        int begin_mask = 0, end_mask = 0, shrink = 0;
        for (size_t d = 0; d < rank; ++d) {
          if (d == axis) continue;
          begin_mask |= 1 << d;
          end_mask |= 1 << d;
        }
        const bool back = axis == rank - 1 && Below(8) == 0;
        int64_t from = Below(size), to = from + 1 + Below(size - from), by = 1 + Below(2);
        if (back) {
          from = size - 1, to = -1, by = -1;
          end_mask |= 1 << axis;
        } else if (Below(6) == 0 && rank > 2) {
          shrink = 1 << axis;
          by = 1, to = from + 1;
        }
        begin[axis] = Below(2) == 0 ? from : from - size;
        end[axis] = to == size && Below(2) == 0   ? 1000
                    : Below(2) == 0 || to == size ? to
                                                  : to - size;
        step[axis] = by;
        RefTensor t = RefTake(in, axis, from, by, back ? size : (to - from + by - 1) / by);
        if (shrink != 0) t.dims.erase(t.dims.begin() + static_cast<std::ptrdiff_t>(axis));
        return Op(
            kStridedSliceCode, {x.index, IntConst(begin), IntConst(end), IntConst(step)},
            Like(x, std::move(t)), Options::StridedSliceOptions,
            tflite::CreateStridedSliceOptions(fb(), begin_mask, end_mask, 0, 0, shrink).Union());
      }
      case 3: {
        if (size % 2 != 0) return std::nullopt;
        return Parts(x, axis, {size / 2, size / 2}, kSplitCode, {IntScalar(written), x.index},
                     Options::SplitOptions, tflite::CreateSplitOptions(fb(), 2).Union());
      }
      case 4: {
        if (size < 2) return std::nullopt;
        const int64_t first = 1 + Below(size - 1);
        const int sizes = IntConst({first, Below(2) == 0 ? -1 : size - first});
        return Parts(x, axis, {first, size - first}, kSplitVCode,
                     {x.index, sizes, IntScalar(written)}, Options::SplitVOptions,
                     tflite::CreateSplitVOptions(fb(), 2).Union());
      }
      case 5: {
        if (rank < 3) return std::nullopt;
        return Parts(x, axis, Dims(static_cast<size_t>(size), 1), kUnpackCode, {x.index},
                     Options::UnpackOptions,
                     tflite::CreateUnpackOptions(fb(), static_cast<int>(size), written).Union(),
                     true);
      }
      default: {
        if (Below(3) == 0) {
          const size_t last = rank - 1;
          return Op(kReverseCode,
                    {x.index, IntConst({static_cast<int64_t>(last) - (Below(2) ? n : 0)})},
                    Like(x, RefTake(in, last, in.dims[last] - 1, -1, in.dims[last])),
                    Options::ReverseV2Options, tflite::CreateReverseV2Options(fb()).Union());
        }
        const int64_t from = Below(size), count = 1 + Below((size - from + 1) / 2);
        Dims at;
        for (int64_t i = 0; i < count; ++i) at.push_back(from + 2 * i);
        return Op(kGatherCode, {x.index, IntConst(at)}, Like(x, RefTake(in, axis, from, 2, count)),
                  Options::GatherOptions, tflite::CreateGatherOptions(fb(), written).Union());
      }
    }
  }

  /// All outputs of a split; gives the last.
  Val Parts(const Val& x, size_t axis, const Dims& sizes, int code, const std::vector<int>& inputs,
            Options type, flatbuffers::Offset<void> options, bool drop = false) {
    RefTensor in = x.t;
    std::vector<int> outputs;
    Val y;
    int64_t begin = 0;
    for (int64_t size : sizes) {
      RefTensor t = RefTake(in, axis, begin, 1, size);
      if (drop) t.dims.erase(t.dims.begin() + static_cast<std::ptrdiff_t>(axis));
      begin += size;
      y = Tensor(std::move(t), x.type, x.quant());
      outputs.push_back(y.index);
      if (Below(2) == 0) vals_.push_back(y);
    }
    b_.Op(code, inputs, outputs, type, options);
    return y;
  }

  std::optional<Val> Padded(const Val& x) {
    const size_t rank = x.t.dims.size();
    Dims front(rank, 0), behind(rank, 0);
    std::vector<int> amounts{0, 0};
    for (size_t d = 1; d < rank; ++d) {
      const bool channels = d + 1 == rank && Below(3) > 0;
      front[d] = channels ? 0 : Below(3);
      behind[d] = channels ? 0 : Below(2);
      amounts.insert(amounts.end(), {static_cast<int>(front[d]), static_cast<int>(behind[d])});
    }
    RefTensor in = x.t;
    std::vector<int> inputs{x.index,
                            b_.Tensor(Name(), Type::INT32, {static_cast<int>(rank), 2}, amounts)};
    if (Below(2) == 0) {
      return Op(kPadCode, inputs, Like(x, RefPad(in, front, behind, static_cast<double>(x.zero))),
                Options::PadOptions, tflite::CreatePadOptions(fb()).Union());
    }
    const Val fill = NumberFor(x);
    inputs.push_back(fill.index);
    return Op(kPadV2Code, inputs, Like(x, RefPad(in, front, behind, fill.t.values[0])),
              Options::PadV2Options, tflite::CreatePadV2Options(fb()).Union());
  }

  std::optional<Val> Concatenated(const Val& x) {
    const size_t rank = x.t.dims.size();
    const size_t axis =
        Below(2) == 0 ? rank - 1 : 1 + static_cast<size_t>(Below(static_cast<int64_t>(rank) - 1));
    std::vector<RefTensor> parts{x.t};
    std::vector<int> inputs{x.index};
    for (size_t i = vals_.size(); i-- > 0 && parts.size() < 3;) {
      Val y = vals_[i];
      bool fits = y.type == x.type && y.t.dims.size() == rank;
      for (size_t d = 0; fits && d < rank; ++d) fits = d == axis || y.t.dims[d] == x.t.dims[d];
      if (!fits || Below(3) == 0) continue;
      if (!(y.quant() == x.quant())) {
        if (x.type == Type::UINT8 && Below(2) == 0) {  // Whose kernel rescales.
          y = {y.index, RefTensor{y.t.dims, RealOf(y)}, x.type, x.scale, x.zero};
          if (!Rounded(&y)) continue;
        } else {
          y = *Quantized(y, x.quant());
        }
      }
      parts.push_back(y.t);
      inputs.push_back(y.index);
    }
    const Fused fused = IsFloat(x) && Below(4) == 0 ? AnyFused() : Fused::NONE;
    RefTensor t = RefConcat(parts, axis);
    const int written = static_cast<int>(axis) - (Below(2) == 0 ? static_cast<int>(rank) : 0);
    return Op(kConcatenationCode, inputs,
              IsFloat(x) ? Clipped(std::move(t), LimitsOf(fused)) : Like(x, std::move(t)),
              Options::ConcatenationOptions,
              tflite::CreateConcatenationOptions(fb(), written, fused).Union());
  }

  // ---- The network ----

  void Step() {
    const Val x = Any();
    const int64_t rank = static_cast<int64_t>(x.t.dims.size());
    if (quantized_) {
      const int kind = Below(IsFloat(x) ? 3 : 12);
      if (IsFloat(x) && kind < 2) return Keep(Quantized(x, QuantOf(x.t.values)));
      if (!IsFloat(x) && kind == 0) return Keep(Dequantized(x));
      if (!IsFloat(x) && kind == 1) return Keep(Quantized(x, QuantOf(RealOf(x))));
    }
    switch (Below(24)) {
      case 0:
      case 1:
      case 2:
        return Keep(Convolution(x, false, false));
      case 3:
      case 4:
        return Keep(Convolution(x, true, false));
      case 5:
        return Keep(Convolution(x, Below(2) == 0, true));
      case 6:
      case 7:
        return Keep(Pool(x, Below(2) == 0));
      case 8:
      case 9:
      case 10:
        return Keep(Binary(x));
      case 11:
        return Keep(Reduce(x));
      case 12:
        return Keep(MinMax(x));
      case 13:
        return Keep(Relu(x));
      case 14: {
        static constexpr int kCodes[] = {kLogisticCode, kTanhCode, kSoftmaxCode, kLogSoftmaxCode};
        return Keep(Function(x, kCodes[Below(rank == 2 ? 4 : 2)]));
      }
      case 15:
        return Keep(Below(2) == 0 ? Negated(x) : AddN(x));
      case 16:
        return Keep(Padded(x));
      case 17:
      case 18:
        return Keep(Part(x));
      case 19:
      case 20:
        return Keep(Concatenated(x));
      case 21:
        return Keep(Redimensioned(x));
      case 22: {
        if (rank != 4) return;
        const Val there = Transposed(x, Below(2) == 0 ? Dims{0, 3, 1, 2} : Dims{0, 2, 3, 1});
        vals_.push_back(there);
        // Mostly something in the other order, and back.
        if (Below(3) > 0) {
          if (auto y = Below(2) == 0 ? Relu(there) : Binary(there)) vals_.push_back(*y);
          const Val& last = vals_.back();
          if (last.t.dims.size() == 4)
            vals_.push_back(Transposed(
                last, last.t.dims[1] == x.t.dims[3] ? Dims{0, 2, 3, 1} : Dims{0, 3, 1, 2}));
        }
        return;
      }
      default:
        if (rank == 2 || Below(3) == 0) Keep(Dense(x));
    }
  }

  void Finish() {
    Val x = vals_.back();
    if (x.t.dims.size() != 2 && Below(2) == 0) {
      const auto mean = Reduce(x);
      if (mean && Below(2) == 0) x = *mean;
      if (x.t.dims.size() != 2) x = Flat(x);
    }
    if (x.t.dims.size() == 2 && Below(2) == 0) x = Dense(x);
    static constexpr int kCodes[] = {kSoftmaxCode, kSoftmaxCode, kLogisticCode, kTanhCode,
                                     kLogSoftmaxCode};
    if (x.t.dims.size() == 2 && Below(2) == 0) {
      if (const auto y = Function(x, kCodes[Below(5)])) x = *y;
    }
    if (quantized_ && !IsFloat(x) && style_ % 2 == 1) {
      // Float or other ends.
      const Type other = x.type == Type::INT8 ? Type::UINT8 : Type::INT8;
      if (Below(2) == 0) {
        x = Dequantized(x);
      } else {
        x = *Quantized(x, {x.scale, x.zero - Low(x.type) + Low(other)}, other);
      }
    }
    output_ = x;
  }

  std::mt19937_64 random_;
  bool quantized_;
  TfliteBuilder b_;
  int style_ = 0;
  Type type_ = Type::INT8;  ///< Of the integers inside.
  int64_t batch_ = 1;       ///< As the file writes it.
  bool open_ = false;       ///< And says that it may be any.
  bool raw_ = false;
  std::vector<Val> vals_;
  Val input_, output_;
  int next_ = 0;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_TFLITE_GENERATOR_H_
