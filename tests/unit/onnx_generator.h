// Random ONNX networks of every operator, attribute and opset that the importer lists.
#ifndef OCTET_TESTS_UNIT_ONNX_GENERATOR_H_
#define OCTET_TESTS_UNIT_ONNX_GENERATOR_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/onnx_builder.h"

namespace octet::testing {

/// One network a seed. With `quantized` most values go through QuantizeLinear and DequantizeLinear;
/// all scales are then powers of two and all constants lie on their grids, so that every value is
/// exact and any difference is a fault.
class OnnxGenerator {
 public:
  OnnxGenerator(uint64_t seed, bool quantized)
      : random_(seed),
        quantized_(quantized),
        b_(9 + static_cast<int64_t>(seed % 14)),
        opset_(b_.opset()) {}

  /// The file. `input()` then is the input's shape with a batch of 1.
  std::string Make() {
    switch (quantized_ ? 0 : Below(6)) {
      case 0:
      case 1:
      case 2:
        input_ = {1, Channels(), 5 + Below(3), 8 + Below(3)};
        break;
      case 3:
        input_ = {1, 5 + Below(3), 8 + Below(3), Below(2) == 0 ? 3 : 1};
        break;
      default:
        input_ = {1, 11 + Below(10)};
    }
    Dims declared = input_;
    if (Below(2) == 0) declared[0] = -1;
    b_.Input("x", declared).Output("y");
    Keep({"x", input_});
    if (input_.size() == 4 && input_[3] <= 3) Keep(Transposed(vals_.back(), {0, 3, 1, 2}));
    for (int i = 0, n = 1 + Below(7); i < n; ++i) Step();
    Finish();
    return b_.Build();
  }

  const Dims& input() const { return input_; }
  int Below(int64_t n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }

 private:
  struct Val {
    std::string name;
    Dims dims;
    /// Codes, scale and zero point that it was dequantized from.
    std::vector<std::string> codes{};
  };

  int64_t Channels() { return 1 + Below(4); }
  std::string Name(const char* prefix) { return prefix + std::to_string(next_++); }

  /// Weights are small, so that values stay near 1.
  std::vector<float> Numbers(int64_t n, double size = 0.5) {
    std::vector<float> v(static_cast<size_t>(n));
    for (float& x : v) {
      x = quantized_ ? static_cast<float>(Below(9) - 4) / 8.0f
                     : static_cast<float>(std::normal_distribution<double>(0, size)(random_));
    }
    return v;
  }
  static int64_t Count(const Dims& dims) {
    int64_t n = 1;
    for (int64_t d : dims) n *= d;
    return n;
  }
  std::string Floats(const Dims& dims, std::vector<float> values) {
    const std::string c = Name("c");
    b_.Initializer(FloatTensor(c, dims, std::move(values)));
    return c;
  }
  std::string Floats(const Dims& dims) { return Floats(dims, Numbers(Count(dims))); }
  std::string Ints(const Dims& values) {
    const std::string c = Name("i");
    b_.Initializer(IntTensor(c, {static_cast<int64_t>(values.size())}, values));
    return c;
  }
  std::string Scale(float s) { return Floats({}, {s}); }
  std::string Zero(int64_t z, bool is_signed) {
    const std::string c = Name("z");
    b_.Initializer(ByteTensor(c, {}, {z}, is_signed ? 3 : 2));
    return c;
  }

  /// Weights: floats, or int8 codes behind DequantizeLinear, per tensor or along `axis`.
  std::string Weights(const Dims& dims, size_t axis) {
    if (!quantized_ || Below(6) == 0) return Floats(dims);
    std::vector<int64_t> codes(static_cast<size_t>(Count(dims)));
    for (int64_t& q : codes) q = Below(17) - 8;
    const std::string c = Name("w"), out = Name("v");
    b_.Initializer(ByteTensor(c, dims, codes, 3));
    const bool per_channel = opset_ >= 13 && Below(2) == 0;
    std::vector<float> scales(per_channel ? static_cast<size_t>(dims[axis]) : 1);
    for (float& s : scales) s = std::ldexp(1.0f, -3 - Below(2));
    const std::string scale = Floats(per_channel ? Dims{dims[axis]} : Dims{}, scales);
    std::vector<OnnxAttr> attributes;
    if (per_channel) attributes.push_back({"axis", static_cast<int64_t>(axis)});
    b_.Node("DequantizeLinear", {c, scale}, {out}, attributes);
    return out;
  }

  Val Op(const std::string& type, std::vector<std::string> inputs, Dims dims,
         const std::vector<OnnxAttr>& attributes = {}) {
    const std::string out = Name("v");
    b_.Node(type, inputs, {out}, attributes);
    return {out, std::move(dims)};
  }

  /// Offers a value to what follows; in quantized networks mostly as codes and back, sometimes
  /// twice.
  void Keep(Val v) {
    const int kind = quantized_ ? Below(12) : 0;
    if (kind == 0) {
      vals_.push_back(std::move(v));
      return;
    }
    for (int i = 0; i < (kind == 1 ? 2 : 1); ++i) vals_.push_back(Requantized(v));
    if (kind == 2) vals_.push_back(v);
  }

  Val Requantized(const Val& v) {
    const bool is_signed = Below(2) == 0;
    const float s = std::ldexp(1.0f, -2 - Below(4));
    const int64_t z =
        (is_signed ? -128 : 0) + std::vector<int64_t>{0, 128, 77}[static_cast<size_t>(Below(3))];
    const std::string scale = Scale(s);
    const bool leave_out = z == 0 && !is_signed && Below(2) == 0;
    std::vector<std::string> q{v.name, scale}, back;
    if (!leave_out) q.push_back(Zero(z, is_signed));
    Val codes = Op("QuantizeLinear", q, v.dims);
    // Some operators work on codes.
    if (Below(8) == 0 && v.dims.size() == 4)
      codes =
          Op("Transpose", {Op("Transpose", {codes.name}, {}, {{"perm", Dims{0, 2, 3, 1}}}).name},
             v.dims, {{"perm", Dims{0, 3, 1, 2}}});
    if (Below(8) == 0 && opset_ >= 13) codes = Op("Clip", {codes.name, Zero(z, is_signed)}, v.dims);
    back = {codes.name, Below(10) == 0 ? Scale(2 * s) : scale};
    if (!leave_out) back.push_back(q[2]);
    Val y = Op("DequantizeLinear", back, v.dims);
    if (!leave_out) y.codes = back;
    return y;
  }

  /// An operator on codes, of those that hold their quantizations.
  void CodesStep() {
    const Val x = Any();
    if (x.codes.empty()) return;
    const bool image = x.dims.size() == 4, is_signed = Below(2) == 0;
    const std::string scale = Scale(std::ldexp(1.0f, -2 - Below(4)));
    const std::string zero = Zero((is_signed ? -128 : 0) + 16 * Below(9), is_signed);
    std::vector<std::string> in = x.codes;
    const auto give = [&](const std::string& op, std::vector<std::string> inputs, Dims dims,
                          const std::vector<OnnxAttr>& a = {}) {
      const Val codes = Op(op, std::move(inputs), std::move(dims), a);
      Val y = Op("DequantizeLinear", {codes.name, scale, zero}, codes.dims);
      y.codes = {codes.name, scale, zero};
      vals_.push_back(std::move(y));
    };
    switch (Below(image ? 5 : 4)) {
      case 0:
      case 1: {
        const int64_t out = 1 + Below(5), k = image ? x.dims[1] : x.dims[1];
        const bool wide = Below(4) == 0;  // uint8 with a zero point.
        const Dims dims = image ? Dims{out, k, 1, 1} : Dims{k, out};
        std::vector<int64_t> codes(static_cast<size_t>(Count(dims)));
        for (int64_t& q : codes) q = wide ? Below(256) : Below(31) - 15;
        const std::string w = Name("w");
        b_.Initializer(ByteTensor(w, dims, codes, wide ? 2 : 3));
        in.insert(in.end(), {w, Scale(std::ldexp(1.0f, wide ? -7 : -4)),
                             wide ? Zero(Below(256), false) : Zero(0, true)});
        if (!image && Below(2) == 0) {
          std::vector<int64_t> bias(static_cast<size_t>(out));
          for (int64_t& v : bias) v = Below(101) - 50;
          const std::string c = Name("b");
          b_.Initializer(ByteTensor(c, {out}, bias, 6));
          in.insert(in.end(), {c, scale, zero});
          return give("QGemm", in, {1, out}, {{"alpha", 0.5f}});
        }
        in.insert(in.end(), {scale, zero});
        if (!image) return give("QLinearMatMul", in, {1, out});
        if (Below(2) == 0) {
          std::vector<int64_t> bias(static_cast<size_t>(out));
          for (int64_t& v : bias) v = Below(101) - 50;
          const std::string c = Name("b");
          b_.Initializer(ByteTensor(c, {out}, bias, 6));
          in.push_back(c);
        }
        return give("QLinearConv", in, {1, out, x.dims[2], x.dims[3]});
      }
      case 2:
      case 3: {
        for (const Val& y : vals_) {
          if (y.codes.empty() || y.dims != x.dims) continue;
          if (Below(3) == 0) {
            Dims dims = x.dims;
            dims[1] *= 2;
            std::vector<std::string> parts{scale, zero};
            parts.insert(parts.end(), x.codes.begin(), x.codes.end());
            parts.insert(parts.end(), y.codes.begin(), y.codes.end());
            return give("QLinearConcat", parts, dims, {{"axis", int64_t{1}}});
          }
          in.insert(in.end(), y.codes.begin(), y.codes.end());
          in.insert(in.end(), {scale, zero});
          return give(Below(2) == 0 ? "QLinearAdd" : "QLinearMul", in, x.dims);
        }
        return;
      }
      default:
        if (x.dims[2] < 2 || x.dims[3] < 2) return;
        in.insert(in.end(), {scale, zero});
        return give("QLinearAveragePool", in, {1, x.dims[1], x.dims[2] - 1, x.dims[3] - 1},
                    {{"kernel_shape", Dims{2, 2}}});
    }
  }

  const Val& Any() {
    return vals_[vals_.size() - 1 -
                 static_cast<size_t>(
                     Below(std::min<int64_t>(3, static_cast<int64_t>(vals_.size()))))];
  }

  Val Transposed(const Val& v, const Dims& perm) {
    Dims dims;
    for (int64_t p : perm) dims.push_back(v.dims[static_cast<size_t>(p)]);
    return Op("Transpose", {v.name}, dims, {{"perm", perm}});
  }

  std::optional<Val> Window(const Val& x, const std::string& op) {
    const bool conv = op == "Conv";
    std::vector<OnnxAttr> a;
    Dims kernel, stride, dilation, pads(4, 0), out(2);
    for (int d = 0; d < 2; ++d) {
      kernel.push_back(quantized_ && !conv ? 2 : 1 + Below(3));
      stride.push_back(1 + Below(3));
      dilation.push_back(conv && Below(4) == 0 ? 2 : 1);
    }
    const bool average = op == "AveragePool", no_pads = quantized_ && average;
    const bool ceil_mode = !conv && opset_ >= 10 && !no_pads && Below(4) == 0;
    const int auto_pad = no_pads ? 9 : Below(10);
    const bool include = average && Below(2) == 0;
    for (size_t d = 0; d < 2; ++d) {
      const int64_t in = x.dims[2 + d], span = (kernel[d] - 1) * dilation[d] + 1;
      if (span > in) return std::nullopt;
      if (auto_pad < 2) {
        // Strides beyond the window leave pixels out at both sides; the reference knows only
        // padding.
        if (stride[d] > span) return std::nullopt;
        out[d] = (in + stride[d] - 1) / stride[d];
        continue;
      }
      if (auto_pad > 2 && !no_pads) {
        pads[d] = Below(conv ? span + 1 : span);
        pads[d + 2] = Below(conv ? span + 1 : span);
      }
      const int64_t room = in + pads[d] + pads[d + 2] - span;
      out[d] = (ceil_mode ? (room + stride[d] - 1) / stride[d] : room / stride[d]) + 1;
      if (ceil_mode && (out[d] - 1) * stride[d] >= in + pads[d]) --out[d];
    }
    if (auto_pad < 2 && ceil_mode) return std::nullopt;
    if (auto_pad < 3) {
      a.push_back({"auto_pad", std::string(auto_pad == 0   ? "SAME_UPPER"
                                           : auto_pad == 1 ? "SAME_LOWER"
                                                           : "VALID")});
    } else if (Below(4) > 0 || pads != Dims(4, 0)) {
      a.push_back({"pads", pads});
    }
    if (!conv || Below(2) == 0) a.push_back({"kernel_shape", kernel});
    if (stride != Dims{1, 1} || Below(2) == 0) a.push_back({"strides", stride});
    if (conv && (dilation != Dims{1, 1} || Below(2) == 0)) a.push_back({"dilations", dilation});
    if (ceil_mode) a.push_back({"ceil_mode", int64_t{1}});
    if (include) a.push_back({"count_include_pad", int64_t{1}});
    if (!conv) return Op(op, {x.name}, {1, x.dims[1], out[0], out[1]}, a);
    const int64_t groups = Below(4) == 0 ? x.dims[1] : 1, channels = groups * Channels();
    if (groups > 1 || Below(2) == 0) a.push_back({"group", groups});
    std::vector<std::string> inputs{
        x.name, Weights({channels, x.dims[1] / groups, kernel[0], kernel[1]}, 0)};
    if (Below(2) == 0) inputs.push_back(Floats({channels}));
    return Op("Conv", inputs, {1, channels, out[0], out[1]}, a);
  }

  std::string Operand(const Val& x) {
    const size_t channel = x.dims.size() == 4 ? 1 : x.dims.size() - 1;
    switch (Below(4)) {
      case 0:
        return Floats({});
      case 1:
        return Floats({1});
      default: {
        Dims dims(x.dims.size() - channel, 1);
        dims[0] = x.dims[channel];
        return Floats(dims);
      }
    }
  }

  void Step() {
    if (quantized_ && Below(3) == 0) return CodesStep();
    const Val x = Any();
    const bool image = x.dims.size() == 4;
    switch (Below(26)) {
      case 0:
      case 1:
      case 2:
      case 3:
        if (image) {
          static const char* const kOps[] = {"Conv", "Conv", "MaxPool", "AveragePool"};
          if (auto y = Window(x, kOps[Below(4)])) Keep(*y);
        } else if (x.dims.size() == 2) {
          Keep(Dense(x));
        }
        return;
      case 4:
        if (Below(4) == 0)
          return Keep(Op("LeakyRelu", {x.name}, x.dims,
                         {{"alpha", static_cast<float>(Below(9)) / 4 - 0.5f}}));
        return Keep(Op("Relu", {x.name}, x.dims));
      case 5: {
        const float low = static_cast<float>(Below(5) - 3) / 2,
                    high = low + static_cast<float>(Below(4)) / 2;
        const int sides = Below(4);
        if (opset_ < 11) {
          std::vector<OnnxAttr> a;
          if (sides != 0) a.push_back({"min", low});
          if (sides != 1) a.push_back({"max", high});
          return Keep(Op("Clip", {x.name}, x.dims, a));
        }
        std::vector<std::string> in{
            x.name, sides == 0 ? "" : Scale(sides == 2 && !quantized_ ? -65504.0f : low)};
        if (sides != 1) in.push_back(Scale(high));
        return Keep(Op("Clip", in, x.dims));
      }
      case 6:
      case 7: {
        static const char* const kOps[] = {"Add", "Sub", "Mul", "Div", "Max", "Min"};
        const std::string op = kOps[Below(6)];
        if (op == "Max" || op == "Min") return Keep(Op(op, {x.name, Scale(Numbers(1)[0])}, x.dims));
        std::string c = op == "Div" ? Scale(quantized_ ? 2.0f : 1.5f) : Operand(x);
        const bool first = op != "Div" && Below(3) == 0;
        return Keep(Op(
            op, first ? std::vector<std::string>{c, x.name} : std::vector<std::string>{x.name, c},
            x.dims));
      }
      case 8:
      case 9: {
        for (const Val& y : vals_) {
          if (y.name == x.name || y.dims != x.dims) continue;
          static const char* const kOps[] = {"Add", "Sub", "Mul", "Sum"};
          return Keep(Op(kOps[Below(4)], {x.name, y.name}, x.dims));
        }
        return Keep(Op("Add", {x.name, x.name}, x.dims));
      }
      case 10: {
        if (!image || quantized_) return;
        const int64_t c = x.dims[1];
        std::vector<float> variance = Numbers(c);
        for (float& v : variance) v = v * v + 0.1f;
        return Keep(Op("BatchNormalization",
                       {x.name, Floats({c}), Floats({c}), Floats({c}), Floats({c}, variance)},
                       x.dims, {{"epsilon", 0.01f}}));
      }
      case 11:
        if (!image || quantized_) return;
        return Keep(Op(Below(2) == 0 ? "GlobalAveragePool" : "GlobalMaxPool", {x.name},
                       {1, x.dims[1], 1, 1}));
      case 12:
      case 13: {
        if (!image || quantized_) return;
        Dims axes = Below(3) == 0 ? Dims{Below(2) == 0 ? 2 : -1} : Dims{2, 3};
        const bool keep = Below(2) == 0;
        Dims dims;
        for (int64_t d = 0; d < 4; ++d) {
          const bool gone = std::any_of(axes.begin(), axes.end(),
                                        [&](int64_t a) { return (a < 0 ? a + 4 : a) == d; });
          if (!gone) dims.push_back(x.dims[static_cast<size_t>(d)]);
          if (gone && keep) dims.push_back(1);
        }
        const std::string op = Below(2) == 0 ? "ReduceMean" : "ReduceMax";
        std::vector<OnnxAttr> a{{"keepdims", int64_t{keep}}};
        if (opset_ >= 18) return Keep(Op(op, {x.name, Ints(axes)}, dims, a));
        a.push_back({"axes", axes});
        return Keep(Op(op, {x.name}, dims, a));
      }
      case 14: {
        if (opset_ < 11) return;
        for (const Val& y : vals_) {
          bool fits = y.dims.size() == x.dims.size();
          for (size_t d = 2; fits && d < x.dims.size(); ++d) fits = y.dims[d] == x.dims[d];
          if (!fits || Below(2) == 0) continue;
          Dims dims = x.dims;
          dims[1] += y.dims[1];
          return Keep(Op("Concat", {x.name, y.name}, dims, {{"axis", int64_t{1}}}));
        }
        return;
      }
      case 15: {
        if (!image) return;
        static const std::vector<Dims> kPerms = {
            {0, 2, 3, 1}, {0, 3, 1, 2}, {0, 2, 3, 1}, {0, 3, 1, 2}, {0, 1, 3, 2}};
        return Keep(Transposed(x, kPerms[static_cast<size_t>(Below(5))]));
      }
      case 16: {
        if (x.dims.size() == 2) return;
        const int64_t n = Count(x.dims);
        if (Below(2) == 0) return Keep(Op("Flatten", {x.name}, {1, n}));
        return Keep(Op("Reshape", {x.name, Ints({Below(2) == 0 ? 0 : 1, -1})}, {1, n}));
      }
      case 17: {
        if (!image || opset_ < 11) return;
        const Dims pads{0, 0, Below(2), Below(3), 0, 0, Below(2), Below(2)};
        Dims dims = x.dims;
        for (size_t d = 0; d < 4; ++d) dims[d] += pads[d] + pads[d + 4];
        std::vector<std::string> in{x.name, Ints(pads)};
        if (Below(2) == 0) in.push_back(Scale(Numbers(1)[0]));
        return Keep(Op("Pad", in, dims));
      }
      case 18: {
        if (opset_ < 10) return;
        const size_t axis = 1 + static_cast<size_t>(Below(static_cast<int64_t>(x.dims.size()) - 1));
        const int64_t d = x.dims[axis], begin = Below(d), step = 1 + Below(2);
        Dims dims = x.dims;
        dims[axis] = (d - begin + step - 1) / step;
        return Keep(Op("Slice",
                       {x.name, Ints({begin}), Ints({Below(2) == 0 ? d : INT64_MAX}),
                        Ints({static_cast<int64_t>(axis)}), Ints({step})},
                       dims));
      }
      case 19: {
        const size_t axis = x.dims.size() > 1 ? 1 : 0;
        if (x.dims[axis] % 2 != 0 || opset_ >= 18) return;
        Dims dims = x.dims;
        dims[axis] /= 2;
        const std::string a = Name("v"), c = Name("v");
        b_.Node("Split", {x.name}, {a, c}, {{"axis", static_cast<int64_t>(axis)}});
        Keep({a, dims});
        return Keep({c, dims});
      }
      case 20:
        return Keep(Op(Below(2) == 0 ? "Identity" : "Dropout", {x.name}, x.dims));
      case 21:
        return Keep(Op("Cast", {x.name}, x.dims, {{"to", int64_t{1}}}));
      case 22: {
        if (quantized_) return;
        const int64_t axis = opset_ < 13 ? 1 : x.dims.size() == 2 ? -1 : 1;
        return Keep(Op("Softmax", {x.name}, x.dims, {{"axis", axis}}));
      }
      case 23: {
        if (opset_ < 13 || x.dims.size() != 2) return;
        return Keep(Op("Unsqueeze", {x.name, Ints({2, 3})}, {1, x.dims[1], 1, 1}));
      }
      default:
        if (x.dims.size() == 2) Keep(Dense(x));
        return;
    }
  }

  Val Dense(const Val& x) {
    const int64_t in = x.dims[1], out = 1 + Below(6);
    if (Below(2) == 0) return Op("MatMul", {x.name, Weights({in, out}, 1)}, {1, out});
    const bool transposed = Below(2) == 0;
    std::vector<OnnxAttr> a{{"transB", int64_t{transposed}}};
    if (!quantized_) a.push_back({"alpha", 0.75f});
    std::vector<std::string> inputs{
        x.name, transposed ? Weights({out, in}, 0) : Weights({in, out}, 1), Floats({out})};
    return Op("Gemm", inputs, {1, out}, a);
  }

  /// Ends in a vector or an image, under the output's name.
  void Finish() {
    Val x = vals_.back();
    if (x.dims.size() != 2 && x.dims.size() != 4) x = Op("Flatten", {x.name}, {1, Count(x.dims)});
    if (x.dims.size() == 4 && Below(3) > 0) x = Op("Flatten", {x.name}, {1, Count(x.dims)});
    if (x.dims.size() == 2 && Below(3) > 0) x = Dense(x);
    static const char* const kEnds[] = {"Identity", "Relu", "Softmax",
                                        "Sigmoid",  "Tanh", "LogSoftmax"};
    const std::string end = kEnds[Below(x.dims.size() == 2 ? 6 : 2)];
    std::vector<OnnxAttr> a;
    if (end == "Softmax" || end == "LogSoftmax") a.push_back({"axis", int64_t{1}});
    b_.Node(end, {x.name}, {"y"}, a);
  }

  std::mt19937_64 random_;
  bool quantized_;
  OnnxBuilder b_;
  int64_t opset_;
  Dims input_;
  std::vector<Val> vals_;
  int next_ = 0;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_ONNX_GENERATOR_H_
