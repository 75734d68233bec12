// The oracle for everything that handles graphs: evaluates any Graph in the plainest way, knowing nothing of kernels, plans
// or memory. Float tensors are computed in double precision; uint8 tensors by the integer contract of kernels/kernel_table.h,
// single-precision step by step, so that the engine must give the same numbers, not similar ones.
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

namespace octet::testing {

/// Values of one tensor in row-major order; uint8 ones as 0 to 255.
using Values = std::vector<double>;

class NaiveInterpreter {
 public:
  /// `graph` must be valid (ValidateGraph) and outlive the interpreter. Weights may be in any layout.
  explicit NaiveInterpreter(const Graph& graph) : g_(graph) {}

  /// Values of every activation, by tensor; constants stay empty. `inputs` as Graph::inputs, batch 1.
  ///
  /// int8 weights behind float activations ("hybrid") are taken as the real numbers they stand for and activations are not
  /// quantized, which is what the engine approximates.
  std::vector<Values> Run(const std::vector<Values>& inputs) {
    values_.assign(g_.tensors.size(), {});
    for (size_t i = 0; i < inputs.size(); ++i) values_[g_.inputs[i]] = inputs[i];
    for (const Node& n : g_.nodes) {
      values_[n.output].assign(static_cast<size_t>(g_.tensor(n.output).shape.num_elements()), 0.0);
      Evaluate(n);
    }
    return values_;
  }

  /// The first output.
  Values RunOutput(const std::vector<Values>& inputs) { return Run(inputs)[g_.outputs[0]]; }

 private:
  /// A shape as [h, w, c].
  struct Hwc {
    explicit Hwc(const Shape& s) {
      if (s.rank() == 4) h = s[1], w = s[2];
      c = s.back();
    }
    size_t At(int64_t y, int64_t x, int64_t ch) const { return static_cast<size_t>((y * w + x) * c + ch); }
    int64_t h = 1, w = 1, c = 1;
  };

  const Tensor& In(const Node& n, int slot = 0) const { return g_.tensor(n.inputs[slot]); }
  const Values& InValues(const Node& n, int slot = 0) const { return values_[n.inputs[slot]]; }
  const Tensor& Out(const Node& n) const { return g_.tensor(n.output); }
  Values& OutValues(const Node& n) { return values_[n.output]; }
  static bool IsU8(const Tensor& t) { return t.dtype == DType::kU8; }
  static double Zero(const Tensor& t) { return t.quantization.zero_point; }
  /// from.scale / to.scale as the engine has it.
  static float Ratio(const Tensor& from, const Tensor& to) {
    return static_cast<float>(static_cast<double>(from.quantization.scale) / to.quantization.scale);
  }

  static double ClampReal(double v, Activation a) {
    if (a != Activation::kNone) v = std::max(v, 0.0);
    return a == Activation::kRelu6 ? std::min(v, 6.0) : v;
  }

  /// v is relative to the zero point, in steps of the output's scale.
  static double RoundU8(float v, const Tensor& out, Activation a) {
    const float z = static_cast<float>(out.quantization.zero_point);
    const float low = a == Activation::kNone ? -z : 0.0f;
    float high = 255.0f - z;
    if (a == Activation::kRelu6) high = std::min(high, std::nearbyint(6.0f / out.quantization.scale));
    return std::nearbyint(std::min(std::max(v, low), high)) + z;
  }

  void Evaluate(const Node& n) {
    switch (n.type) {
      case OpType::kConv2d:
      case OpType::kDense: return Conv(n);
      case OpType::kMaxPool:
      case OpType::kAveragePool: return Pool(n);
      case OpType::kGlobalAveragePool: return GlobalPool(n);
      case OpType::kAdd: return Add(n);
      case OpType::kMul:
        for (size_t i = 0; i < OutValues(n).size(); ++i) OutValues(n)[i] = InValues(n, 0)[i] * InValues(n, 1)[i];
        return;
      case OpType::kScaleShift: return ScaleShift(n);
      case OpType::kRelu: return Relu(n, Activation::kRelu);
      case OpType::kRelu6: return Relu(n, Activation::kRelu6);
      case OpType::kPad: return Pad(n);
      case OpType::kSlice: return Slice(n);
      case OpType::kConcat: return Concat(n);
      case OpType::kReshape: OutValues(n) = InValues(n); return;
      case OpType::kSoftmax: return Softmax(n);
      case OpType::kQuantize: return Quantize(n);
      case OpType::kDequantize:
        for (size_t i = 0; i < OutValues(n).size(); ++i) {
          OutValues(n)[i] = static_cast<float>(InValues(n)[i] - Zero(In(n))) * In(n).quantization.scale;
        }
        return;
    }
    std::abort();  // Not an operator: the graph was not validated.
  }

  /// Weights as numbers in row-major order, whatever their type and layout.
  Values Weights(const Tensor& w) const {
    std::vector<std::byte> plain(w.data.begin(), w.data.end());
    if (w.layout != Layout::kPlain) {
      plain.assign(static_cast<size_t>(ConstantBytes(w.shape, w.dtype, Layout::kPlain)), std::byte{0});
      UnpackWeights(w.data.data(), w.shape, w.dtype, w.layout, plain.data());
    }
    Values v(static_cast<size_t>(w.shape.num_elements()));
    for (size_t i = 0; i < v.size(); ++i) {
      switch (w.dtype) {
        case DType::kF32: v[i] = reinterpret_cast<const float*>(plain.data())[i]; break;
        case DType::kF16: v[i] = HalfToFloat(reinterpret_cast<const uint16_t*>(plain.data())[i]); break;
        default: v[i] = static_cast<int8_t>(plain[i]);
      }
    }
    return v;
  }

  void Conv(const Node& n) {
    const Tensor& x = In(n);
    const Tensor& w = In(n, kInputWeights);
    const Tensor& out = Out(n);
    const Values weights = Weights(w);
    const Hwc in(x.shape), to(out.shape);
    const bool dense = n.type == OpType::kDense;
    const Window window = dense ? Window{} : n.window;
    const Values& values = InValues(n);
    const double padding = IsU8(x) ? Zero(x) : 0.0;
    const int64_t out_c = w.shape[0], depth = w.shape.back(), groups = dense ? 1 : n.groups;
    for (int64_t y = 0; y < to.h; ++y) {
      for (int64_t xx = 0; xx < to.w; ++xx) {
        for (int64_t oc = 0; oc < out_c; ++oc) {
          double sum = 0.0;
          for (int64_t ky = 0; ky < window.kernel_h; ++ky) {
            for (int64_t kx = 0; kx < window.kernel_w; ++kx) {
              const int64_t iy = y * window.stride_h - window.pad_top + ky * window.dilation_h;
              const int64_t ix = xx * window.stride_w - window.pad_left + kx * window.dilation_w;
              const bool inside = iy >= 0 && iy < in.h && ix >= 0 && ix < in.w;
              const double* tap = weights.data() + ((oc * window.kernel_h + ky) * window.kernel_w + kx) * depth;
              const double* from = inside ? values.data() + in.At(iy, ix, oc / (out_c / groups) * depth) : nullptr;
              for (int64_t d = 0; d < depth; ++d) sum += (inside ? from[d] : padding) * tap[d];
            }
          }
          OutValues(n)[to.At(y, xx, oc)] = Epilogue(n, sum, oc, to.At(y, xx, oc));
        }
      }
    }
  }

  double Epilogue(const Node& n, double sum, int64_t oc, size_t at) const {
    const Tensor& x = In(n);
    const Tensor& out = Out(n);
    const bool int8 = In(n, kInputWeights).dtype == DType::kI8;
    const TensorId bias = n.input(kInputBias), residual = n.input(kInputResidual);
    if (!IsU8(x)) {
      if (int8) sum *= g_.tensor(n.inputs[kInputScales]).values<float>()[oc];
      if (bias != kNoTensor) sum += g_.tensor(bias).values<float>()[oc];
      if (residual != kNoTensor) sum += values_[residual][at];
      return ClampReal(sum, n.activation);
    }
    if (bias != kNoTensor) sum += g_.tensor(bias).values<int32_t>()[oc];
    const float scale = g_.tensor(n.inputs[kInputScales]).values<float>()[oc];
    const double out_scale = IsU8(out) ? out.quantization.scale : 1.0;
    const float multiplier = static_cast<float>(static_cast<double>(x.quantization.scale) * scale / out_scale);
    float v = static_cast<float>(sum) * multiplier;
    if (!IsU8(out)) {
      if (residual != kNoTensor) v += static_cast<float>(values_[residual][at]);
      return ClampReal(v, n.activation);
    }
    if (residual != kNoTensor) {
      const Tensor& r = g_.tensor(residual);
      const float addend = static_cast<float>(values_[residual][at] - Zero(r)) * Ratio(r, out);
      v += addend;
    }
    return RoundU8(v, out, n.activation);
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
          double sum = 0.0, best = -std::numeric_limits<double>::infinity();
          int count = 0;
          for (int64_t ky = 0; ky < w.kernel_h; ++ky) {
            for (int64_t kx = 0; kx < w.kernel_w; ++kx) {
              const int64_t iy = y * w.stride_h - w.pad_top + ky, ix = xx * w.stride_w - w.pad_left + kx;
              if (iy < 0 || iy >= in.h || ix < 0 || ix >= in.w) continue;
              const double v = InValues(n)[in.At(iy, ix, c)];
              sum += IsU8(x) ? v - Zero(x) : v;
              best = std::max(best, v);
              ++count;
            }
          }
          if (n.count_include_pad) count = w.kernel_h * w.kernel_w;
          double result = max ? best : sum / count;
          if (!max && IsU8(x)) {
            result = RoundU8(static_cast<float>(sum) * (Ratio(x, out) / static_cast<float>(count)), out, Activation::kNone);
          }
          OutValues(n)[to.At(y, xx, c)] = result;
        }
      }
    }
  }

  void GlobalPool(const Node& n) {
    const Tensor& x = In(n);
    const Tensor& out = Out(n);
    const Hwc in(x.shape);
    for (int64_t c = 0; c < in.c; ++c) {
      double sum = 0.0;
      for (int64_t p = 0; p < in.h * in.w; ++p) {
        sum += InValues(n)[static_cast<size_t>(p * in.c + c)] - (IsU8(x) ? Zero(x) : 0.0);
      }
      const double pixels = static_cast<double>(in.h * in.w);
      double result = sum / pixels;
      if (IsU8(x)) {
        const double out_scale = IsU8(out) ? out.quantization.scale : 1.0;
        const float multiplier = static_cast<float>(x.quantization.scale / (pixels * out_scale));
        const float v = static_cast<float>(sum) * multiplier;
        result = IsU8(out) ? RoundU8(v, out, Activation::kNone) : v;
      }
      OutValues(n)[static_cast<size_t>(c)] = result;
    }
  }

  void Add(const Node& n) {
    const Tensor &a = In(n, 0), &b = In(n, 1), &out = Out(n);
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const double x = InValues(n, 0)[i], y = InValues(n, 1)[i];
      if (!IsU8(out)) {
        OutValues(n)[i] = ClampReal(x + y, n.activation);
        continue;
      }
      const float va = static_cast<float>(x - Zero(a)) * Ratio(a, out);
      const float vb = static_cast<float>(y - Zero(b)) * Ratio(b, out);
      OutValues(n)[i] = RoundU8(va + vb, out, n.activation);
    }
  }

  void ScaleShift(const Node& n) {
    const Tensor &x = In(n), &out = Out(n);
    const std::span<const float> scale = In(n, 1).values<float>(), shift = In(n, 2).values<float>();
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const size_t c = i % scale.size();
      const double v = InValues(n)[i];
      if (!IsU8(x)) {
        OutValues(n)[i] = ClampReal(v * scale[c] + shift[c], n.activation);
        continue;
      }
      const double in_scale = x.quantization.scale, out_scale = out.quantization.scale;
      const float m = static_cast<float>(in_scale * scale[c] / out_scale);
      const float t = static_cast<float>(shift[c] / out_scale);
      const float product = static_cast<float>(v - Zero(x)) * m;
      OutValues(n)[i] = RoundU8(product + t, out, n.activation);
    }
  }

  void Relu(const Node& n, Activation a) {
    const Tensor &x = In(n), &out = Out(n);
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const double v = InValues(n)[i];
      OutValues(n)[i] =
          IsU8(x) ? RoundU8(static_cast<float>(v - Zero(x)) * Ratio(x, out), out, a) : ClampReal(v, a);
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

  void Pad(const Node& n) {
    const Tensor& out = Out(n);
    double fill = n.pad_value;
    if (IsU8(out)) {
      const float q = std::nearbyint(n.pad_value / out.quantization.scale) + static_cast<float>(out.quantization.zero_point);
      fill = std::min(255.0f, std::max(0.0f, q));
    }
    std::fill(OutValues(n).begin(), OutValues(n).end(), fill);
    ForElements(In(n).shape, [&](size_t i, std::array<int64_t, Shape::kMaxRank> at) {
      for (int d = 0; d < out.shape.rank(); ++d) at[d] += n.begin[d];
      OutValues(n)[Index(out.shape, at)] = InValues(n)[i];
    });
  }

  void Slice(const Node& n) {
    ForElements(Out(n).shape, [&](size_t i, std::array<int64_t, Shape::kMaxRank> at) {
      for (int d = 0; d < Out(n).shape.rank(); ++d) at[d] = n.begin[d] + at[d] * n.step[d];
      OutValues(n)[i] = InValues(n)[Index(In(n).shape, at)];
    });
  }

  void Concat(const Node& n) {
    int64_t start = 0;
    for (size_t k = 0; k < n.inputs.size(); ++k) {
      const Shape& s = In(n, static_cast<int>(k)).shape;
      ForElements(s, [&](size_t i, std::array<int64_t, Shape::kMaxRank> at) {
        at[n.axis] += start;
        OutValues(n)[Index(Out(n).shape, at)] = InValues(n, static_cast<int>(k))[i];
      });
      start += s[n.axis];
    }
  }

  void Softmax(const Node& n) {
    const size_t row = static_cast<size_t>(Out(n).shape.back());
    Values& out = OutValues(n);
    for (size_t begin = 0; begin < out.size(); begin += row) {
      const double max = *std::max_element(InValues(n).begin() + static_cast<std::ptrdiff_t>(begin),
                                           InValues(n).begin() + static_cast<std::ptrdiff_t>(begin + row));
      double sum = 0.0;
      for (size_t i = begin; i < begin + row; ++i) sum += out[i] = std::exp(InValues(n)[i] - max);
      for (size_t i = begin; i < begin + row; ++i) out[i] /= sum;
    }
  }

  void Quantize(const Node& n) {
    const Tensor &x = In(n), &out = Out(n);
    for (size_t i = 0; i < OutValues(n).size(); ++i) {
      const double v = InValues(n)[i];
      const float scaled = IsU8(x) ? static_cast<float>(v - Zero(x)) * Ratio(x, out)
                                   : static_cast<float>(v) * (1.0f / out.quantization.scale);
      OutValues(n)[i] = RoundU8(scaled, out, Activation::kNone);
    }
  }

  const Graph& g_;
  std::vector<Values> values_;
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
