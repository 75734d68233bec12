// The oracle for everything that handles graphs: evaluates any Graph in the plainest way, knowing
// nothing of kernels, plans or memory. It is written from formats/SPEC.md, the comments of
// kernels/kernel_table.h and TFLite's published arithmetic, and shares no arithmetic with the
// engine.
#ifndef OCTET_TESTS_UNIT_NAIVE_INTERPRETER_H_
#define OCTET_TESTS_UNIT_NAIVE_INTERPRETER_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>
#include <vector>

#include "formats/base/dtype.h"
#include "formats/base/shape.h"
#include "formats/model/graph.h"
#include "formats/model/panel.h"
#include "tests/unit/tflite_arithmetic.h"

namespace octet::testing {

/// Values of one tensor in row-major order; quantized ones as codes.
using Values = std::vector<double>;

/// What floating-point tensors hold.
enum class Arithmetic {
  /// What the network means: double precision, and the int8 weights of hybrid layers taken as the
  /// real numbers they stand for.
  kReal,
  /// What the engine must answer: each step that has a defined order of operations in single
  /// precision, the activations of hybrid layers quantized image by image. Sums of products of
  /// floats and exponentials have no defined order; their values are double precision's, and
  /// errors() says how far the engine may be from them.
  kEngine,
};

/// TFLite's fixed-point numbers, after tensorflow/lite/kernels/internal/{common,quantization_util}.
struct NaiveFixedPoint {
  int64_t q = 0;  ///< 2^30 to 2^31 - 1, or 0.
  int shift = 0;

  /// QuantizeMultiplier.
  static NaiveFixedPoint Of(double real) {
    if (real == 0.0) return {};
    NaiveFixedPoint m;
    const double fraction = std::frexp(real, &m.shift);
    m.q = static_cast<int64_t>(std::round(fraction * 0x1p31));
    if (m.q == int64_t{1} << 31) m.q /= 2, ++m.shift;
    if (m.shift < -31) return {};
    if (m.shift > 30) return {(int64_t{1} << 31) - 1, 30};
    return m;
  }

  /// The same for a mean of `count` values, into which the division goes.
  static NaiveFixedPoint OfMean(double real, int64_t count) {
    NaiveFixedPoint m = Of(real);
    int bits = 0;
    while ((int64_t{2} << bits) <= count) ++bits;
    bits = std::min({bits, 32, 31 + m.shift});
    m.q = (m.q << bits) / count;
    m.shift -= bits;
    return m;
  }

  /// MultiplyByQuantizedMultiplier with the value in front of its last rounding moved by `nudge`
  /// times itself: the multiple of 2^min(shift, 0) nearest to value * q * 2^(shift - 31), negative
  /// halves towards zero, then the nearest whole number, halves away from zero.
  double Times(double value, double nudge = 0.0) const {
    const double shifted = Saturated(value * std::ldexp(1.0, std::max(shift, 0)));
    const __int128 product = static_cast<__int128>(shifted) * q;
    const __int128 half = product >= 0 ? (__int128{1} << 30) : 1 - (__int128{1} << 30);
    double high = static_cast<double>((product + half) / (__int128{1} << 31));
    if (nudge != 0.0)
      high = std::floor(static_cast<double>(product) * 0x1p-31 * (1.0 + nudge) + 0.5);
    return std::round(std::ldexp(high, std::min(shift, 0)));
  }

  /// The one rounding of fully connected layers, halves away from zero.
  double TimesOnce(double value) const {
    const double shifted = Saturated(value * std::ldexp(1.0, std::max(shift, 0)));
    const int bits = 31 + std::max(-shift, 0);
    const __int128 product = static_cast<__int128>(shifted) * q;
    const __int128 half = (__int128{1} << (bits - 1)) - (product < 0 ? 1 : 0);
    return static_cast<double>((product + half) >> bits);
  }

  /// MultiplyByQuantizedMultiplier of 64 bits; shift at most 7.
  double TimesReduced(double value) const {
    const int64_t reduced = q < 0x7fff0000 ? (q + (1 << 15)) >> 16 : 0x7fff;
    const int bits = 15 - shift;
    const int64_t product = static_cast<int64_t>(value) * reduced + (int64_t{1} << (bits - 1));
    return static_cast<double>(product >> bits);
  }

 private:
  static double Saturated(double v) { return std::min(std::max(v, -0x1p31), 0x1p31); }
};

class NaiveInterpreter {
 public:
  /// `graph` must be valid (ValidateGraph) and outlive the interpreter. Weights may be in any
  /// layout.
  explicit NaiveInterpreter(const Graph& graph, Arithmetic arithmetic = Arithmetic::kReal)
      : g_(graph), engine_(arithmetic == Arithmetic::kEngine), weights_(graph.tensors.size()) {}

  /// Values of every activation, by tensor; constants stay empty. `inputs` as Graph::inputs,
  /// batch 1.
  std::vector<Values> Run(const std::vector<Values>& inputs) {
    Evaluate(inputs);
    return values_;
  }

  /// The first output.
  Values RunOutput(const std::vector<Values>& inputs) { return Run(inputs)[g_.outputs[0]]; }

  /// As Run; the results stay here.
  void Evaluate(const std::vector<Values>& inputs) {
    values_.assign(g_.tensors.size(), {});
    errors_.assign(g_.tensors.size(), {});
    for (size_t i = 0; i < inputs.size(); ++i) values_[g_.inputs[i]] = inputs[i];
    for (const Node& n : g_.nodes) {
      values_[n.output].assign(static_cast<size_t>(g_.tensor(n.output).shape.num_elements()), 0.0);
      Evaluate(n);
      if (engine_ && Out(n).dtype == DType::kBF16) RoundToBf16(n);
    }
  }

  const Values& values(TensorId id) const { return values_[id]; }

  /// How far the engine's answer may be from each value; empty where it must be the very number.
  ///
  /// The bound is the worst case of every rounding on the way, carried through the graph: a sum of
  /// k products of floats in any order, fused or not, is within k * 2^-24 of the sum of their
  /// magnitudes, Winograd's within what its transforms' magnitudes allow. Where a uint8 value is
  /// rounded from floats that have such an error, both ends are rounded: near a limit between two
  /// results either is allowed, and what is computed from it is allowed both.
  const Values& errors(TensorId id) const { return errors_[id]; }

  /// Float convolutions may be computed by Winograd's algorithm; for kEngine.
  void set_winograd(bool on) { winograd_ = on; }

 private:
  static constexpr double kHalfUlp = 0x1p-24;  ///< Of single precision, relative.
  /// Denormal results lose their relative precision.
  static constexpr double kSmallest = 0x1p-148;
  /// Products and sums of bfloat16 may lose denormals, and so may what is made of them.
  static constexpr double kSmallestOfBf16 = 0x1p-125;

  /// A shape as [h, w, c].
  struct Hwc {
    explicit Hwc(const Shape& s) {
      if (s.rank() == 4) h = s[1], w = s[2];
      c = s.back();
    }
    size_t At(int64_t y, int64_t x, int64_t ch) const {
      return static_cast<size_t>((y * w + x) * c + ch);
    }
    int64_t h = 1, w = 1, c = 1;
  };

  const Tensor& In(const Node& n, int slot = 0) const { return g_.tensor(n.inputs[slot]); }
  const Values& InValues(const Node& n, int slot = 0) const { return values_[n.inputs[slot]]; }
  const Tensor& Out(const Node& n) const { return g_.tensor(n.output); }
  Values& OutValues(const Node& n) { return values_[n.output]; }
  static bool HasCodes(const Tensor& t) { return t.dtype == DType::kU8 || t.dtype == DType::kI16; }
  static double Zero(const Tensor& t) { return t.quantization.zero_point; }
  bool tflite(const Node& n) const {
    return g_.metadata.rounding == Rounding::kTflite && HasCodes(Out(n));
  }
  /// from.scale / to.scale as the engine has it.
  static float Ratio(const Tensor& from, const Tensor& to) {
    return static_cast<float>(static_cast<double>(from.quantization.scale) / to.quantization.scale);
  }

  double ErrorOf(TensorId id, size_t i) const { return errors_[id].empty() ? 0.0 : errors_[id][i]; }
  double InError(const Node& n, size_t i, int slot = 0) const { return ErrorOf(n.inputs[slot], i); }
  void SetError(const Node& n, size_t i, double error) {
    if (!engine_ || error == 0.0) return;
    Values& errors = errors_[n.output];
    if (errors.empty()) errors.assign(OutValues(n).size(), 0.0);
    errors[i] = error;
  }

  /// A float result: what the engine computes from exact operands, or else a number near it.
  void Store(const Node& n, size_t i, double v, double error) {
    OutValues(n)[i] = v;
    SetError(n, i, error == 0.0 ? 0.0 : error + 4 * kHalfUlp * (std::fabs(v) + error) + kSmallest);
  }

  /// A quantized result: `round` goes from a number to a result, monotonously, and the number may
  /// be off by `error`.
  template <typename F>
  void StoreCode(const Node& n, size_t i, double v, double error, F round) {
    const double q = round(v);
    OutValues(n)[i] = q;
    if (error == 0.0) return;
    const double wide = error + 4 * kHalfUlp * (std::fabs(v) + error);
    SetError(n, i, std::max(round(v + wide) - q, q - round(v - wide)));
  }

  /// Whatever a node of bfloat16 gives is rounded once, where it lies near a limit between two
  /// results to either.
  void RoundToBf16(const Node& n) {
    const auto round = [](double v) {
      return static_cast<double>(Bf16ToFloat(FloatToBf16(static_cast<float>(v))));
    };
    Values& values = OutValues(n);
    for (size_t i = 0; i < values.size(); ++i) {
      const double v = values[i], error = ErrorOf(n.output, i);
      values[i] = round(v);
      if (error > 0.0)
        SetError(n, i, std::max(round(v + error) - values[i], values[i] - round(v - error)));
    }
  }

  /// One operation in the arithmetic of floating-point tensors.
  double Step(double v) const { return engine_ ? static_cast<double>(static_cast<float>(v)) : v; }

  static double ClampReal(double v, Activation a) {
    if (a != Activation::kNone) v = std::max(v, 0.0);
    return a == Activation::kRelu6 ? std::min(v, 6.0) : v;
  }

  /// Limits of a quantized result relative to the zero point, in steps of the output's scale.
  float Low(const Tensor& out, Activation a) const {
    if (a != Activation::kNone) return 0.0f;
    if (out.dtype == DType::kU8) return -static_cast<float>(out.quantization.zero_point);
    return g_.metadata.rounding == Rounding::kTflite ? -32768.0f : -32767.0f;
  }
  static float High(const Tensor& out, Activation a) {
    const float high = out.dtype == DType::kI16
                           ? 32767.0f
                           : 255.0f - static_cast<float>(out.quantization.zero_point);
    return a == Activation::kRelu6 ? std::min(high, std::nearbyint(6.0f / out.quantization.scale))
                                   : high;
  }

  /// The code of a real number, whatever codes there are.
  static double CodeOf(float value, const Tensor& t) {
    const double q = std::nearbyint(value / t.quantization.scale) + Zero(t);
    return t.dtype == DType::kI16 ? std::min(std::max(q, -32768.0), 32767.0)
                                  : std::min(std::max(q, 0.0), 255.0);
  }

  /// v is relative to the zero point, in steps of the output's scale.
  double RoundCode(double v, const Tensor& out, Activation a) const {
    const double clamped =
        std::min(std::max(v, static_cast<double>(Low(out, a))), static_cast<double>(High(out, a)));
    return std::nearbyint(clamped) + Zero(out);
  }

  void Evaluate(const Node& n) {
    switch (n.type) {
      case OpType::kConv2d:
      case OpType::kDense:
        return Conv(n);
      case OpType::kMaxPool:
      case OpType::kAveragePool:
        return Pool(n);
      case OpType::kGlobalAveragePool:
        return GlobalPool(n);
      case OpType::kAdd:
        return Add(n);
      case OpType::kMul:
        return Mul(n);
      case OpType::kScaleShift:
        return ScaleShift(n);
      case OpType::kRelu:
        return Relu(n, Activation::kRelu);
      case OpType::kRelu6:
        return Relu(n, Activation::kRelu6);
      case OpType::kPad:
        return Pad(n);
      case OpType::kSlice:
        return Slice(n);
      case OpType::kConcat:
        return Concat(n);
      case OpType::kReshape:
        return MoveAll(n);
      case OpType::kSoftmax:
        return Softmax(n);
      case OpType::kClip:
        return Clip(n);
      case OpType::kSigmoid:
        return ForEach(n, 0.25, [](double v) { return 1.0 / (1.0 + std::exp(-v)); });
      case OpType::kTanh:
        return ForEach(n, 1.0, [](double v) { return std::tanh(v); });
      case OpType::kLogSoftmax:
        return LogSoftmax(n);
      case OpType::kQuantize:
        if (!HasCodes(Out(n))) return MoveAll(n);
        return Quantize(n);
      case OpType::kDequantize:
        if (!HasCodes(In(n))) return MoveAll(n);
        for (size_t i = 0; i < OutValues(n).size(); ++i) {
          const double scale = In(n).quantization.scale;
          Store(n, i, static_cast<float>((InValues(n)[i] - Zero(In(n))) * scale),
                InError(n, i) * scale);
        }
        return;
    }
    std::abort();  // Not an operator: the graph was not validated.
  }

  /// Weights as numbers in row-major order, whatever their type and layout.
  const Values& Weights(TensorId id) {
    Values& v = weights_[id];
    if (!v.empty()) return v;
    const Tensor& w = g_.tensor(id);
    std::vector<std::byte> plain(w.data.begin(), w.data.end());
    if (w.layout != Layout::kPlain) {
      plain.assign(static_cast<size_t>(ConstantBytes(w.shape, w.dtype, Layout::kPlain)),
                   std::byte{0});
      UnpackWeights(w.data.data(), w.shape, w.dtype, w.layout, plain.data());
    }
    v.resize(static_cast<size_t>(w.shape.num_elements()));
    for (size_t i = 0; i < v.size(); ++i) {
      switch (w.dtype) {
        case DType::kF32:
          v[i] = reinterpret_cast<const float*>(plain.data())[i];
          break;
        case DType::kF16:
          v[i] = HalfToFloat(reinterpret_cast<const uint16_t*>(plain.data())[i]);
          break;
        case DType::kBF16:
          v[i] = Bf16ToFloat(reinterpret_cast<const uint16_t*>(plain.data())[i]);
          break;
        default:
          v[i] = static_cast<int8_t>(plain[i]);
      }
    }
    return v;
  }

  /// What a convolution reads: numbers that the weights multiply, in steps of `scale`.
  struct Source {
    const Values* values;
    const Values* errors;  ///< Empty: none.
    double padding = 0.0;
    float scale = 1.0f;        ///< Hybrid only: of the image.
    double scale_error = 0.0;  ///< Relative.
  };

  Source SourceOf(const Node& n) {
    const TensorId id = n.inputs[kInputX];
    const Tensor& x = g_.tensor(id);
    Source s{&values_[id], &errors_[id]};
    if (HasCodes(x)) s.padding = Zero(x);
    if (engine_ && !HasCodes(x) && In(n, kInputWeights).dtype == DType::kI8) QuantizeImage(id, &s);
    return s;
  }

  /// Hybrid layers: the image as whole numbers relative to its zero point, by its own range, which
  /// contains 0.
  void QuantizeImage(TensorId id, Source* s) {
    const Values& x = values_[id];
    double min = 0.0, max = 0.0, error = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
      min = std::min(min, x[i]);
      max = std::max(max, x[i]);
      error = std::max(error, ErrorOf(id, i));
    }
    const float lowest = static_cast<float>(min), highest = static_cast<float>(max);
    s->scale = std::max((highest - lowest) / 255.0f, 1e-30f);
    const double zero = std::nearbyint(std::min(255.0f, -lowest / s->scale));
    const float multiplier = 1.0f / s->scale;
    if (error > 0.0) s->scale_error = 2.0 * error / (max - min + 1e-30) + 4 * kHalfUlp;
    // A limit that may fall on either side of a whole number.
    const double slack = error > 0.0 ? 1.0 : 0.0;
    image_.resize(x.size());
    image_errors_.assign(error > 0.0 ? x.size() : 0, 0.0);
    for (size_t i = 0; i < x.size(); ++i) {
      const auto quantized = [&](double v, double low, double high) {
        return std::nearbyint(std::min(std::max(v, low), high));
      };
      const double v = static_cast<float>(x[i]) * multiplier;
      image_[i] = quantized(v, -zero, 255.0 - zero);
      if (error == 0.0) continue;
      const double wide =
          ErrorOf(id, i) * multiplier + (std::fabs(v) + 1.0) * (s->scale_error + 4 * kHalfUlp);
      image_errors_[i] =
          std::max(quantized(v + wide, -zero - slack, 255.0 - zero + slack) - image_[i],
                   image_[i] - quantized(v - wide, -zero - slack, 255.0 - zero + slack));
    }
    s->values = &image_;
    s->errors = &image_errors_;
  }

  /// A sum of products, the sum of their magnitudes, and how far the sum may be off because of its
  /// operands.
  struct Sum {
    double value = 0.0, magnitude = 0.0, error = 0.0;
  };

  void Conv(const Node& n) {
    const Tensor& w = In(n, kInputWeights);
    const Hwc in(In(n).shape), to(Out(n).shape);
    const bool dense = n.type == OpType::kDense;
    const Window window = dense ? Window{} : n.window;
    const Values& weights = Weights(n.inputs[kInputWeights]);
    const Source source = SourceOf(n);
    const bool floats = engine_ && w.dtype != DType::kI8, errors = !source.errors->empty();
    const int64_t out_c = w.shape[0], depth = w.shape.back(), groups = dense ? 1 : n.groups;
    const std::vector<double> winograd =
        floats && MayBeWinograd(n) ? WinogradMagnitudes(n) : std::vector<double>();
    for (int64_t y = 0; y < to.h; ++y) {
      for (int64_t xx = 0; xx < to.w; ++xx) {
        for (int64_t oc = 0; oc < out_c; ++oc) {
          Sum sum;
          for (int64_t ky = 0; ky < window.kernel_h; ++ky) {
            for (int64_t kx = 0; kx < window.kernel_w; ++kx) {
              const int64_t iy = y * window.stride_h - window.pad_top + ky * window.dilation_h;
              const int64_t ix = xx * window.stride_w - window.pad_left + kx * window.dilation_w;
              const double* tap =
                  weights.data() + ((oc * window.kernel_h + ky) * window.kernel_w + kx) * depth;
              if (iy < 0 || iy >= in.h || ix < 0 || ix >= in.w) {
                const TensorId codes = n.input(kInputPadding);
                for (int64_t d = 0; codes != kNoTensor && d < depth; ++d) {
                  const int64_t channel = oc / (out_c / groups) * depth + d;
                  sum.value +=
                      g_.tensor(codes).values<uint8_t>()[static_cast<size_t>(channel)] * tap[d];
                }
                for (int64_t d = 0; codes == kNoTensor && source.padding != 0.0 && d < depth; ++d)
                  sum.value += source.padding * tap[d];
                continue;
              }
              const size_t from = in.At(iy, ix, oc / (out_c / groups) * depth);
              const double* x = source.values->data() + from;
              for (int64_t d = 0; d < depth; ++d) sum.value += x[d] * tap[d];
              if (floats) {
                for (int64_t d = 0; d < depth; ++d) sum.magnitude += std::fabs(x[d] * tap[d]);
              }
              if (errors) {
                for (int64_t d = 0; d < depth; ++d)
                  sum.error += (*source.errors)[from + d] * std::fabs(tap[d]);
              }
            }
          }
          if (floats) {
            const double terms =
                static_cast<double>(window.kernel_h * window.kernel_w * depth) + 2.0;
            const TensorId bias = n.input(kInputBias);
            if (bias != kNoTensor)
              sum.magnitude += std::fabs(g_.tensor(bias).values<float>()[static_cast<size_t>(oc)]);
            // Sums of bfloat16 may be rounded to odd, by a whole unit in the last place.
            const bool bf16 = w.dtype == DType::kBF16;
            const double ulp = bf16 ? 2 * kHalfUlp : kHalfUlp,
                         smallest = bf16 ? kSmallestOfBf16 : kSmallest;
            sum.error += ulp * terms * (sum.magnitude + sum.error) + smallest * terms;
            if (!winograd.empty()) sum.error += winograd[static_cast<size_t>(oc)];
          }
          FinishConv(n, source, sum, oc, to.At(y, xx, oc));
        }
      }
    }
  }

  bool MayBeWinograd(const Node& n) const {
    const Window& w = n.window;
    return winograd_ && n.type == OpType::kConv2d && n.groups == 1 &&
           In(n).shape.back() % kPanelWidth == 0 && w.kernel_h == 3 && w.kernel_w == 3 &&
           w.stride_h == 1 && w.stride_w == 1 && w.dilation_h == 1 && w.dilation_w == 1;
  }

  /// Largest error of each channel by Winograd's F(4x4,3x3), or F(2x2,3x3) of bfloat16. In one
  /// dimension an output is sum(|A| * |G| * |B|) = 48 times the largest weight times the largest
  /// input at most, in magnitudes and whatever the scaling of the matrices (4*3*10*2 + 8*7*6*2 +
  /// 24*10 over 24 for the last output); in two, 48 * 48. Each term is rounded as often as there
  /// are channels to sum, and 32 times in the transforms. Of F(2x2,3x3), to which many channels of
  /// bfloat16 go, that is 8 times (2 + 2 * 3/2 * 2), and both factors are rounded to bfloat16.
  std::vector<double> WinogradMagnitudes(const Node& n) {
    const Values& weights = Weights(n.inputs[kInputWeights]);
    const int64_t out_c = Out(n).shape.back(), channels = In(n).shape.back();
    std::vector<double> largest(static_cast<size_t>(channels), 0.0), result;
    const Values& x = InValues(n);
    for (size_t i = 0; i < x.size(); ++i) {
      double& v = largest[i % largest.size()];
      v = std::max(v, std::fabs(x[i]) + InError(n, i));
    }
    for (int64_t oc = 0; oc < out_c; ++oc) {
      double sum = 0.0;
      for (int64_t c = 0; c < channels; ++c) {
        double weight = 0.0;
        for (int64_t t = 0; t < 9; ++t) {
          weight = std::max(weight,
                            std::fabs(weights[static_cast<size_t>((oc * 9 + t) * channels + c)]));
        }
        sum += weight * largest[static_cast<size_t>(c)];
      }
      double error = 48.0 * 48.0 * kHalfUlp * static_cast<double>(channels + 32);
      if (In(n, kInputWeights).dtype == DType::kBF16 && channels >= 128)
        error += 8.0 * 8.0 * (0x1p-7 + 0x1p-16);
      result.push_back(error * sum);
    }
    return result;
  }

  void FinishConv(const Node& n, const Source& source, const Sum& sum, int64_t oc, size_t at) {
    const bool int8 = In(n, kInputWeights).dtype == DType::kI8;
    if (HasCodes(In(n))) return FinishInteger(n, sum, oc, at);
    double v = sum.value, error = sum.error;
    if (int8) {
      const float scale =
          g_.tensor(n.inputs[kInputScales]).values<float>()[static_cast<size_t>(oc)];
      const double factor = Step(static_cast<double>(source.scale) * scale);
      v = Step(static_cast<float>(sum.value) * (engine_ ? factor : 1.0));
      if (!engine_) v = sum.value * scale;
      error = factor * (error + (std::fabs(sum.value) + error) * source.scale_error);
    }
    const TensorId bias = n.input(kInputBias), residual = n.input(kInputResidual);
    const auto add = [&](double addend) {
      v = int8 ? Step(v + addend) : v + addend;  // A float sum has no defined order.
      if (error > 0.0) error += 2 * kHalfUlp * (std::fabs(v) + error + std::fabs(addend));
    };
    if (bias != kNoTensor) add(g_.tensor(bias).values<float>()[static_cast<size_t>(oc)]);
    if (residual != kNoTensor) {
      error += ErrorOf(residual, at);
      add(values_[residual][at]);
    }
    Store(n, at, ClampReal(v, n.activation), error);
  }

  void FinishInteger(const Node& n, const Sum& sum, int64_t oc, size_t at) {
    const Tensor &x = In(n), &out = Out(n);
    const TensorId bias = n.input(kInputBias), residual = n.input(kInputResidual);
    double acc = sum.value;
    const bool wide = x.dtype == DType::kI16;
    if (bias != kNoTensor) {
      acc += wide ? static_cast<double>(g_.tensor(bias).values<int64_t>()[static_cast<size_t>(oc)])
                  : g_.tensor(bias).values<int32_t>()[static_cast<size_t>(oc)];
    }
    const float scale = g_.tensor(n.inputs[kInputScales]).values<float>()[static_cast<size_t>(oc)];
    const double out_scale = HasCodes(out) ? out.quantization.scale : 1.0;
    const double real = static_cast<double>(x.quantization.scale) * scale / out_scale;
    const float multiplier = static_cast<float>(real);
    // Of int16 what is above the lowest byte is rounded by itself.
    const double above = std::floor(acc / 256.0);
    const float rounded =
        wide ? static_cast<float>(static_cast<double>(static_cast<float>(above)) * 256.0 +
                                  (acc - 256.0 * above))
             : static_cast<float>(acc);
    const double v = rounded * multiplier;
    if (!HasCodes(out)) {
      const double r = residual == kNoTensor ? 0.0 : values_[residual][at];
      const double error =
          sum.error * multiplier + (residual == kNoTensor ? 0.0 : ErrorOf(residual, at));
      return Store(n, at, ClampReal(static_cast<float>(v + r), n.activation), error);
    }
    if (residual == kNoTensor && tflite(n)) {
      const auto result = [&](double s) {
        if (!wide) return TfliteResult(n, NaiveFixedPoint::Of(real), s);
        const bool dense = n.type == OpType::kDense;
        return RoundCode(dense || n.tflite_kernel == TfliteKernel::kFullyConnected
                             ? std::round(s * real)
                             : NaiveFixedPoint::Of(std::min(real, 127.0)).TimesReduced(s),
                         out, n.activation);
      };
      // Here the sum is what may be off; it is a whole number.
      const double q = result(acc);
      OutValues(n)[at] = q;
      return SetError(n, at, std::max(result(acc + sum.error) - q, q - result(acc - sum.error)));
    }
    double r = 0.0, r_error = 0.0;
    if (residual != kNoTensor) {
      const Tensor& t = g_.tensor(residual);
      r = static_cast<float>(values_[residual][at] - Zero(t)) * Ratio(t, out);
      r_error = ErrorOf(residual, at) * Ratio(t, out);
    }
    StoreCode(n, at, static_cast<float>(v) + static_cast<float>(r),
              sum.error * multiplier + r_error,
              [&](double value) { return RoundCode(value, out, n.activation); });
  }

  double TfliteResult(const Node& n, const NaiveFixedPoint& m, double acc) const {
    const bool once = n.type == OpType::kDense || n.tflite_kernel == TfliteKernel::kFullyConnected;
    return RoundCode(once ? m.TimesOnce(acc) : m.Times(acc), Out(n), n.activation);
  }

  /// TFLite's AVERAGE_POOL_2D: int8 results, which are uint8 ones minus 128, or uint8 results, with
  /// halves away from zero. `sum` is relative to the zero point of x.
  double TfliteAverage(const Node& n, double sum, int64_t count) const {
    const Tensor &x = In(n), &out = Out(n);
    if (x.dtype == DType::kI16) {
      const float factor = Ratio(x, out) / static_cast<float>(count);
      return RoundCode(x.quantization == out.quantization
                           ? std::round(sum / static_cast<double>(count))
                           : static_cast<double>(static_cast<float>(sum) * factor),
                       out, Activation::kNone);
    }
    const double zero = n.tflite_kernel == TfliteKernel::kUint8Average ? 0.0 : 128.0;
    const double ratio = Ratio(x, out), pivot = zero - Zero(out);
    if (ratio == 1.0) {
      const auto numerator = static_cast<int64_t>(sum - pivot * static_cast<double>(count));
      const int64_t twice = 2 * std::abs(numerator) + count, magnitude = twice / (2 * count);
      return RoundCode(pivot + static_cast<double>(numerator < 0 ? -magnitude : magnitude), out,
                       Activation::kNone);
    }
    // TFLite has no such thing; kernel_table.h says what it is: halves, and what is so near to one
    // that floats cannot tell, away from the pivot.
    const float v =
        static_cast<float>(sum) * (static_cast<float>(ratio) / static_cast<float>(count));
    return RoundCode(v + std::copysign(0x1p-13f, v - static_cast<float>(pivot)), out,
                     Activation::kNone);
  }

  void Pool(const Node& n) {
    const Tensor& x = In(n);
    const Tensor& out = Out(n);
    const Hwc in(x.shape), to(out.shape);
    const Window& w = n.window;
    const bool max = n.type == OpType::kMaxPool;
    for (int64_t y = 0; y < to.h; ++y) {
      for (int64_t xx = 0; xx < to.w; ++xx) {
        for (int64_t c = 0; c < to.c; ++c) {
          double sum = 0.0, best = -std::numeric_limits<double>::infinity(), error = 0.0,
                 widest = 0.0, magnitude = 0.0;
          int count = 0;
          for (int64_t ky = 0; ky < w.kernel_h; ++ky) {
            for (int64_t kx = 0; kx < w.kernel_w; ++kx) {
              const int64_t iy = y * w.stride_h - w.pad_top + ky,
                            ix = xx * w.stride_w - w.pad_left + kx;
              if (iy < 0 || iy >= in.h || ix < 0 || ix >= in.w) continue;
              const size_t from = in.At(iy, ix, c);
              const double v = InValues(n)[from];
              sum = HasCodes(x) ? sum + v - Zero(x) : Step(sum + v);
              best = std::max(best, v);
              error += InError(n, from);
              widest = std::max(widest, InError(n, from));
              magnitude += std::fabs(v);
              ++count;
            }
          }
          const size_t at = to.At(y, xx, c);
          if (max) {
            OutValues(n)[at] = best;
            SetError(n, at, widest);
            continue;
          }
          if (n.count_include_pad) count = w.kernel_h * w.kernel_w;
          FinishAverage(n, at, sum, count, error, magnitude);
        }
      }
    }
  }

  void FinishAverage(const Node& n, size_t at, double sum, int count, double error,
                     double magnitude) {
    const Tensor &x = In(n), &out = Out(n);
    if (!HasCodes(x)) {
      const double factor = Step(1.0 / count);
      if (error > 0.0) error += kHalfUlp * count * (magnitude + error);
      return Store(n, at, engine_ ? Step(sum * factor) : sum / count, error * factor);
    }
    const double ratio = Ratio(x, out);
    if (tflite(n)) {
      const double q = TfliteAverage(n, sum, count);
      OutValues(n)[at] = q;
      return SetError(n, at,
                      std::max(TfliteAverage(n, sum + error, count) - q,
                               q - TfliteAverage(n, sum - error, count)));
    }
    const float factor = static_cast<float>(ratio) / static_cast<float>(count);
    StoreCode(n, at, static_cast<float>(sum) * factor, error * factor,
              [&](double v) { return RoundCode(v, out, Activation::kNone); });
  }

  void GlobalPool(const Node& n) {
    const Tensor& x = In(n);
    const Tensor& out = Out(n);
    const Hwc in(x.shape);
    const int64_t count = in.h * in.w;
    const double pixels = static_cast<double>(count);
    for (int64_t c = 0; c < in.c; ++c) {
      double sum = 0.0, error = 0.0, magnitude = 0.0;
      for (int64_t p = 0; p < count; ++p) {
        const size_t from = static_cast<size_t>(p * in.c + c);
        const double v = InValues(n)[from];
        sum = HasCodes(x) ? sum + v - Zero(x) : Step(sum + v);
        error += InError(n, from);
        magnitude += std::fabs(v);
      }
      const size_t at = static_cast<size_t>(c);
      const bool mean =
          n.tflite_kernel == TfliteKernel::kMean || !(x.quantization == out.quantization);
      if (!HasCodes(x) || (HasCodes(out) && tflite(n) && !mean)) {
        FinishAverage(n, at, sum, static_cast<int>(count), error, magnitude);
        continue;
      }
      const double out_scale = HasCodes(out) ? out.quantization.scale : 1.0;
      const float multiplier = static_cast<float>(x.quantization.scale / (pixels * out_scale));
      const double v = static_cast<float>(sum) * multiplier;
      if (!HasCodes(out)) {
        Store(n, at, v, error * multiplier);
      } else if (tflite(n)) {
        const auto fixed =
            NaiveFixedPoint::OfMean(static_cast<double>(x.quantization.scale) / out_scale, count);
        const auto result = [&](double s) {
          return RoundCode(fixed.Times(s), out, Activation::kNone);
        };
        const double q = result(sum);
        OutValues(n)[at] = q;
        SetError(n, at, std::max(result(sum + error) - q, q - result(sum - error)));
      } else {
        StoreCode(n, at, v, error * multiplier,
                  [&](double value) { return RoundCode(value, out, Activation::kNone); });
      }
    }
  }

  /// A result of TFLite's fixed point that the engine computes with floats, which cannot always
  /// tell on which side of a limit it lies: `result(x, nudge)` as NaiveFixedPoint::Times.
  template <typename F>
  void StoreNearFixed(const Node& n, size_t at, double x, double error, Activation a, F result) {
    // 16 bits are computed in integers.
    const bool exact = In(n).dtype == DType::kI16 || Out(n).dtype == DType::kI16;
    const double kFloats = exact ? 0.0 : 0x1p-21;
    const double q = RoundCode(result(x, 0.0), Out(n), a);
    OutValues(n)[at] = q;
    double widest = 0.0;
    for (const double end : {x - error, x + error}) {
      for (const double nudge : {-kFloats, kFloats}) {
        widest = std::max(widest, std::fabs(RoundCode(result(end, nudge), Out(n), a) - q));
      }
    }
    SetError(n, at, widest);
  }

  void Add(const Node& n) {
    const Tensor &a = In(n, 0), &b = In(n, 1), &out = Out(n);
    const NaiveSum sum(a, b.quantization.scale, out);
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const double x = InValues(n, 0)[i], y = InValues(n, 1)[i], ex = InError(n, i, 0),
                   ey = InError(n, i, 1);
      if (!HasCodes(out)) {
        Store(n, i, ClampReal(Step(x + y), n.activation), ex + ey);
      } else if (tflite(n)) {
        const auto result = [&](double from, double to) {
          return RoundCode(sum.Of(from - Zero(a), to - Zero(b)), out, n.activation);
        };
        const double q = result(x, y);
        OutValues(n)[i] = q;
        SetError(n, i, std::max(result(x + ex, y + ey) - q, q - result(x - ex, y - ey)));
      } else {
        const float va = static_cast<float>(x - Zero(a)) * Ratio(a, out);
        const float vb = static_cast<float>(y - Zero(b)) * Ratio(b, out);
        StoreCode(n, i, va + vb, ex * Ratio(a, out) + ey * Ratio(b, out),
                  [&](double v) { return RoundCode(v, out, n.activation); });
      }
    }
  }

  void Mul(const Node& n) {
    const Tensor &a = In(n, 0), &b = In(n, 1), &out = Out(n);
    const float a_scale = a.quantization.scale, b_scale = b.quantization.scale,
                scale = out.quantization.scale;
    const auto fixed =
        HasCodes(out) ? NaiveFixedPoint::Of(a_scale * b_scale / scale) : NaiveFixedPoint();
    const auto m = static_cast<float>(static_cast<double>(a_scale) * b_scale / scale);
    const auto result = [&](double product) {
      return RoundCode(tflite(n) ? fixed.Times(product) : static_cast<float>(product) * m, out,
                       n.activation);
    };
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const double x = InValues(n, 0)[i], y = InValues(n, 1)[i], ex = InError(n, i, 0),
                   ey = InError(n, i, 1);
      if (HasCodes(out)) {
        const double q = result((x - Zero(a)) * (y - Zero(b)));
        OutValues(n)[i] = q;
        double widest = 0.0;
        for (const double from : {x - ex, x + ex}) {
          for (const double to : {y - ey, y + ey})
            widest = std::max(widest, std::fabs(result((from - Zero(a)) * (to - Zero(b))) - q));
        }
        SetError(n, i, widest);
        continue;
      }
      Store(n, i, Step(x * y), ex * std::fabs(y) + ey * std::fabs(x) + ex * ey);
    }
  }

  /// TFLite's ADD: terms in steps of 2^-20 of twice the larger scale, of 16 bits 2^-15.
  struct NaiveSum {
    NaiveSum(const Tensor& a, float b_scale, const Tensor& y) {
      const double twice = 2.0 * std::max(a.quantization.scale, b_scale);
      if (twice == 0.0) return;  // Not quantized.
      a_ = NaiveFixedPoint::Of(a.quantization.scale / twice);
      b_ = NaiveFixedPoint::Of(b_scale / twice);
      if (y.dtype == DType::kI16) steps_ = 0x1p15;
      sum_ = NaiveFixedPoint::Of(twice / (steps_ * y.quantization.scale));
    }
    double Of(double a, double b, double nudge = 0.0) const {
      const double ta = a_.Times(a * steps_), tb = b_.Times(b * steps_);
      // Floats are off by a part of the larger term.
      const double moved = ta + tb + std::round(nudge * (std::fabs(ta) + std::fabs(tb)));
      return sum_.Times(moved);
    }

   private:
    NaiveFixedPoint a_, b_, sum_;
    double steps_ = 0x1p20;
  };

  void ScaleShift(const Node& n) {
    const Tensor &x = In(n), &out = Out(n);
    const std::span<const float> scale = In(n, 1).values<float>(), shift = In(n, 2).values<float>();
    const auto all = [](std::span<const float> values, float value) {
      return std::all_of(values.begin(), values.end(), [value](float v) { return v == value; });
    };
    if (HasCodes(x) && tflite(n)) {
      const bool unscaled = all(scale, 1.0f), unshifted = all(shift, 0.0f);
      const TensorId unit = n.input(kInputUnit);
      if (unit == kNoTensor && unscaled && unshifted) return Requantize(n);
      if (unit != kNoTensor && (unscaled || unshifted)) {
        const float step = g_.tensor(unit).values<float>()[0];
        const float most = x.dtype == DType::kI16 ? 32768.0f : 512.0f;
        const auto is_whole = [step, most](float v) {
          const float k = v / step;
          return std::fabs(k) <= most && std::fabs(k - std::nearbyint(k)) < 0.01f;
        };
        const bool is_mul = unshifted && (!unscaled || is_whole(1.0f));
        const std::span<const float> constant = is_mul ? scale : shift;
        if (std::all_of(constant.begin(), constant.end(), is_whole))
          return is_mul ? TfliteMul(n, scale, step) : TfliteAdd(n, shift, step);
      }
    }
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const size_t c = i % scale.size();
      const double v = InValues(n)[i], error = InError(n, i);
      if (!HasCodes(x)) {
        const double product = Step(v * scale[c]);
        const double e = error * std::fabs(scale[c]);
        Store(n, i, ClampReal(Step(product + shift[c]), n.activation),
              e == 0.0 ? 0.0 : e + 4 * kHalfUlp * (std::fabs(product) + e));
        continue;
      }
      const double in_scale = x.quantization.scale, out_scale = out.quantization.scale;
      const float m = static_cast<float>(in_scale * scale[c] / out_scale);
      const float t = static_cast<float>(shift[c] / out_scale);
      const float product = static_cast<float>(v - Zero(x)) * m;
      const double e = error * std::fabs(m);
      StoreCode(n, i, product + t, e == 0.0 ? 0.0 : e + 4 * kHalfUlp * std::fabs(product),
                [&](double value) { return RoundCode(value, out, n.activation); });
    }
  }

  /// TFLite's MUL with a constant of whole numbers k = scale / unit.
  void TfliteMul(const Node& n, std::span<const float> scale, float unit) {
    const Tensor &x = In(n), &out = Out(n);
    const auto fixed = NaiveFixedPoint::Of(
        static_cast<double>(x.quantization.scale * unit / out.quantization.scale));
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const double k = std::nearbyint(scale[i % scale.size()] / unit);
      StoreNearFixed(n, i, InValues(n)[i] - Zero(x), InError(n, i), n.activation,
                     [&](double v, double nudge) { return fixed.Times(v * k, nudge); });
    }
  }

  /// Its ADD of one.
  void TfliteAdd(const Node& n, std::span<const float> shift, float unit) {
    const Tensor& x = In(n);
    const NaiveSum sum(x, unit, Out(n));
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const double k = std::nearbyint(shift[i % shift.size()] / unit);
      StoreNearFixed(n, i, InValues(n)[i] - Zero(x), InError(n, i), n.activation,
                     [&](double v, double nudge) { return sum.Of(v, k, nudge); });
    }
  }

  /// Codes to codes of another quantization.
  void Requantize(const Node& n) {
    const Tensor &x = In(n), &out = Out(n);
    const auto fixed =
        NaiveFixedPoint::Of(static_cast<double>(x.quantization.scale) / out.quantization.scale);
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const double v = InValues(n)[i] - Zero(x), error = InError(n, i);
      if (tflite(n)) {
        StoreNearFixed(n, i, v, error, n.activation,
                       [&](double s, double nudge) { return fixed.Times(s, nudge); });
      } else {
        StoreCode(n, i, static_cast<float>(v) * Ratio(x, out), error * Ratio(x, out),
                  [&](double value) { return RoundCode(value, out, n.activation); });
      }
    }
  }

  void Relu(const Node& n, Activation a) {
    const Tensor &x = In(n), &out = Out(n);
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const double v = InValues(n)[i], error = InError(n, i);
      if (!HasCodes(x)) {
        OutValues(n)[i] = ClampReal(v, a);
        SetError(n, i, error);
        continue;
      }
      StoreCode(n, i, static_cast<float>(v - Zero(x)) * Ratio(x, out), error * Ratio(x, out),
                [&](double value) { return RoundCode(value, out, a); });
    }
  }

  void Clip(const Node& n) {
    const Tensor& out = Out(n);
    double low = n.clip_low, high = n.clip_high;
    if (HasCodes(out)) {
      low = CodeOf(n.clip_low, out);
      high = CodeOf(n.clip_high, out);
    }
    const auto clip = [=](double v) { return std::min(std::max(v, low), high); };
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const double v = InValues(n)[i], error = InError(n, i), q = clip(v);
      OutValues(n)[i] = q;
      SetError(n, i, std::max(clip(v + error) - q, q - clip(v - error)));
    }
  }

  /// A function whose slope is at most `slope`; the engine's is within 4e-7 of it
  /// (tests/kernels/ops_test.cc), and 0 below e^-87.3.
  template <typename F>
  void ForEach(const Node& n, double slope, F f) {
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const double v = f(InValues(n)[i]);
      OutValues(n)[i] = v;
      SetError(n, i, 4e-7 * std::fabs(v) + 1.3e-38 + slope * InError(n, i));
    }
  }

  /// Calls f(index, coordinates) for every element of a tensor of shape `s`.
  template <typename F>
  void ForElements(const Shape& s, F f) {
    const int64_t n = s.num_elements();
    for (int64_t i = 0; i < n; ++i) {
      std::array<int64_t, Shape::kMaxRank> at{};
      int64_t rest = i;
      for (int d = s.rank() - 1; d >= 0; --d) {
        at[d] = rest % s[d];
        rest /= s[d];
      }
      f(static_cast<size_t>(i), at);
    }
  }
  static size_t Index(const Shape& s, const std::array<int64_t, Shape::kMaxRank>& at) {
    int64_t i = 0;
    for (int d = 0; d < s.rank(); ++d) i = i * s[d] + at[d];
    return static_cast<size_t>(i);
  }

  /// Element `from` of input `slot` becomes element `to` of the output.
  void Move(const Node& n, int slot, size_t from, size_t to) {
    OutValues(n)[to] = InValues(n, slot)[from];
    SetError(n, to, InError(n, from, slot));
  }

  void MoveAll(const Node& n) {
    OutValues(n) = InValues(n);
    errors_[n.output] = errors_[n.inputs[0]];
  }

  void Pad(const Node& n) {
    const Tensor& out = Out(n);
    const double fill = HasCodes(out) ? CodeOf(n.pad_value, out) : n.pad_value;
    std::fill(OutValues(n).begin(), OutValues(n).end(), fill);
    ForElements(In(n).shape, [&](size_t i, std::array<int64_t, Shape::kMaxRank> at) {
      for (int d = 0; d < out.shape.rank(); ++d) at[d] += n.begin[d];
      Move(n, 0, i, Index(out.shape, at));
    });
  }

  void Slice(const Node& n) {
    ForElements(Out(n).shape, [&](size_t i, std::array<int64_t, Shape::kMaxRank> at) {
      for (int d = 0; d < Out(n).shape.rank(); ++d) at[d] = n.begin[d] + at[d] * n.step[d];
      Move(n, 0, Index(In(n).shape, at), i);
    });
  }

  void Concat(const Node& n) {
    int64_t start = 0;
    for (size_t k = 0; k < n.inputs.size(); ++k) {
      const Shape& s = In(n, static_cast<int>(k)).shape;
      ForElements(s, [&](size_t i, std::array<int64_t, Shape::kMaxRank> at) {
        at[n.axis] += start;
        Move(n, static_cast<int>(k), i, Index(Out(n).shape, at));
      });
      start += s[n.axis];
    }
  }

  void Softmax(const Node& n) {
    const size_t row = static_cast<size_t>(Out(n).shape.back());
    Values& out = OutValues(n);
    if (HasCodes(Out(n))) {
      for (size_t begin = 0; begin < out.size(); begin += row) {
        const std::vector<int16_t> x(InValues(n).begin() + static_cast<ptrdiff_t>(begin),
                                     InValues(n).begin() + static_cast<ptrdiff_t>(begin + row));
        const std::vector<int16_t> y = SoftmaxInt16(x, In(n).quantization.scale);
        double widest = 0.0;
        for (size_t i = begin; i < begin + row; ++i) widest = std::max(widest, InError(n, i));
        for (size_t i = 0; i < row; ++i) {
          out[begin + i] = y[i];
          if (widest > 0.0) SetError(n, begin + i, 32767.0);
        }
      }
      return;
    }
    for (size_t begin = 0; begin < out.size(); begin += row) {
      double max = InValues(n)[begin], widest = 0.0;
      for (size_t i = begin; i < begin + row; ++i) {
        max = std::max(max, InValues(n)[i]);
        widest = std::max(widest, InError(n, i));
      }
      double sum = 0.0;
      for (size_t i = begin; i < begin + row; ++i) sum += out[i] = std::exp(InValues(n)[i] - max);
      for (size_t i = begin; i < begin + row; ++i) {
        out[i] /= sum;
        // exp within 2e-7 (tests/kernels/ops_test.cc), the rounding of x - max, of the sum and of
        // the quotient; below e^-87.3 it may be 0.
        const double distance = max - InValues(n)[i];
        const double relative = 2e-7 + kHalfUlp * (static_cast<double>(row) + 4.0 + distance);
        SetError(n, i, out[i] * ((1.0 + relative) * std::exp(2.0 * widest) - 1.0) + 1.3e-38);
      }
    }
  }

  void LogSoftmax(const Node& n) {
    const size_t row = static_cast<size_t>(Out(n).shape.back());
    const Values& x = InValues(n);
    for (size_t begin = 0; begin < x.size(); begin += row) {
      double max = x[begin], widest = 0.0, sum = 0.0;
      for (size_t i = begin; i < begin + row; ++i) {
        max = std::max(max, x[i]);
        widest = std::max(widest, InError(n, i));
      }
      for (size_t i = begin; i < begin + row; ++i) sum += std::exp(x[i] - max);
      const double log = std::log(sum);
      for (size_t i = begin; i < begin + row; ++i) {
        OutValues(n)[i] = x[i] - max - log;
        // exp and log within 2e-7 (tests/kernels/ops_test.cc), the roundings of x - max, of the
        // sum and of the difference.
        const double roundings = 1.5 * static_cast<double>(row) + 4.0 + 2.0 * (max - x[i] + log);
        SetError(n, i, 2e-7 * (1.0 + log) + kHalfUlp * roundings + 2.0 * widest);
      }
    }
  }

  void Quantize(const Node& n) {
    const Tensor &x = In(n), &out = Out(n);
    if (HasCodes(x)) return Requantize(n);
    const float scale = out.quantization.scale, multiplier = 1.0f / scale;
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const float x_i = static_cast<float>(InValues(n)[i]);
      StoreCode(n, i, tflite(n) ? x_i / scale : x_i * multiplier, InError(n, i) * multiplier,
                [&](double v) {
                  return RoundCode(tflite(n) ? std::round(v) : v, out, Activation::kNone);
                });
    }
  }

  const Graph& g_;
  const bool engine_;
  bool winograd_ = false;
  std::vector<Values> values_, errors_;
  std::vector<Values> weights_;  ///< By tensor, once they were used.
  Values image_, image_errors_;  ///< Of the hybrid layer that is being evaluated.
};

/// Every activation's values, by TensorId, for one image given to the graph's first input.
inline std::vector<Values> EvaluateAll(const Graph& g, std::span<const float> input) {
  return NaiveInterpreter(g).Run({Values(input.begin(), input.end())});
}

/// The graph's first output for one image.
inline Values Evaluate(const Graph& g, std::span<const float> input) {
  return NaiveInterpreter(g).RunOutput({Values(input.begin(), input.end())});
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_NAIVE_INTERPRETER_H_
