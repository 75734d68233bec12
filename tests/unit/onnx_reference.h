// Evaluates ONNX operators in double precision and in ONNX's own NCHW order, straight from the
// operators' definitions. It shares nothing with the importer but the parser, so that the two can
// be compared.
#ifndef OCTET_TESTS_UNIT_ONNX_REFERENCE_H_
#define OCTET_TESTS_UNIT_ONNX_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "converter/import/onnx/constant.h"
#include "converter/import/onnx/reader.h"
#include "tests/unit/ref_tensor.h"

namespace octet::testing {

class OnnxReference {
 public:
  explicit OnnxReference(const OnnxModel& model) : model_(model), opset_(model.opsets.at("")) {}

  /// Runs every node in order and returns the first output.
  RefTensor Run(const RefTensor& input) {
    for (const OnnxTensor& t : model_.initializers)
      values_[t.name] = FromConstant(*DecodeOnnxTensor(t, std::nullopt));
    values_[model_.inputs[0].name] = input;
    for (const OnnxNode& node : model_.nodes) {
      if (node.op_type == "Split") {
        Split(node);
      } else {
        values_[node.outputs[0]] = Eval(node);
      }
    }
    return values_.at(model_.outputs[0].name);
  }

 private:
  static RefTensor FromConstant(const Constant& c) {
    RefTensor t{c.dims, {}};
    t.values.assign(c.floats.begin(), c.floats.end());
    if (!c.is_float()) t.values.assign(c.ints.begin(), c.ints.end());
    return t;
  }
  bool Has(const OnnxNode& n, size_t i) const {
    return i < n.inputs.size() && !n.inputs[i].empty();
  }
  RefTensor& In(const OnnxNode& n, size_t i) { return values_.at(n.inputs[i]); }
  std::vector<int64_t> List(const OnnxNode& n, size_t i) {
    // The end of a slice is often the largest int64, which double rounds up to 2^63.
    std::vector<int64_t> list;
    for (double v : In(n, i).values)
      list.push_back(static_cast<int64_t>(std::clamp(v, -1e18, 1e18)));
    return list;
  }
  std::vector<int64_t> AxesOf(const OnnxNode& n, size_t i, int64_t since) {
    if (opset_ >= since) return Has(n, i) ? List(n, i) : std::vector<int64_t>();
    return OnnxAttributes(n).Ints("axes");
  }

  struct Window {
    std::vector<int64_t> kernel, stride, dilation, front, out;
    /// Where the declared padding ends, ceil_mode's extra not included.
    std::vector<int64_t> padded_end;
  };
  Window WindowOf(const OnnxNode& n, const std::vector<int64_t>& dims,
                  const std::vector<int64_t>& kernel) {
    OnnxAttributes a(n);
    Window w;
    w.kernel = a.Ints("kernel_shape", kernel);
    w.stride = a.Ints("strides", {1, 1});
    w.dilation = a.Ints("dilations", {1, 1});
    const auto pads = a.Ints("pads", {0, 0, 0, 0});
    const std::string auto_pad = a.String("auto_pad", "NOTSET");
    const bool ceil_mode = a.Int("ceil_mode", 0) != 0;
    for (size_t d = 0; d < 2; ++d) {
      const int64_t in = dims[2 + d], span = (w.kernel[d] - 1) * w.dilation[d] + 1;
      int64_t front = pads[d], behind = pads[d + 2];
      int64_t out;
      if (auto_pad.starts_with("SAME")) {
        out = (in + w.stride[d] - 1) / w.stride[d];
        const int64_t total = (out - 1) * w.stride[d] + span - in;  // Below 0: pixels left out.
        front = auto_pad == "SAME_UPPER" ? total / 2 : (total + 1) / 2;
        behind = total - front;
      } else {
        if (auto_pad == "VALID") front = behind = 0;
        const double steps =
            static_cast<double>(in + front + behind - span) / static_cast<double>(w.stride[d]);
        out = static_cast<int64_t>(ceil_mode ? std::ceil(steps) : std::floor(steps)) + 1;
        if (ceil_mode && (out - 1) * w.stride[d] >= in + front) --out;
      }
      w.front.push_back(front);
      w.out.push_back(out);
      w.padded_end.push_back(in + behind);
    }
    return w;
  }

  RefTensor Conv(const OnnxNode& n) {
    RefTensor &x = In(n, 0), &k = In(n, 1);
    const Window w = WindowOf(n, x.dims, {k.dims[2], k.dims[3]});
    const int64_t groups = OnnxAttributes(n).Int("group", 1);
    RefTensor y{{x.dims[0], k.dims[0], w.out[0], w.out[1]}, {}};
    RefForEach(y.dims, [&](const auto& i) {
      double sum = Has(n, 2) ? In(n, 2).values[static_cast<size_t>(i[1])] : 0;
      const int64_t first = i[1] / (k.dims[0] / groups) * k.dims[1];
      RefForEach({k.dims[1], k.dims[2], k.dims[3]}, [&](const auto& j) {
        const int64_t row = i[2] * w.stride[0] - w.front[0] + j[1] * w.dilation[0];
        const int64_t col = i[3] * w.stride[1] - w.front[1] + j[2] * w.dilation[1];
        if (row < 0 || col < 0 || row >= x.dims[2] || col >= x.dims[3]) return;
        sum += RefAt(x, {i[0], first + j[0], row, col}) * RefAt(k, {i[1], j[0], j[1], j[2]});
      });
      y.values.push_back(sum);
    });
    return y;
  }

  RefTensor Pool(const OnnxNode& n, bool average) {
    RefTensor& x = In(n, 0);
    const Window w = WindowOf(n, x.dims, {});
    const bool include = OnnxAttributes(n).Int("count_include_pad", 0) != 0;
    RefTensor y{{x.dims[0], x.dims[1], w.out[0], w.out[1]}, {}};
    RefForEach(y.dims, [&](const auto& i) {
      double sum = 0, max = -std::numeric_limits<double>::infinity();
      int64_t inside = 0, counted = 0;
      RefForEach({w.kernel[0], w.kernel[1]}, [&](const auto& j) {
        const int64_t row = i[2] * w.stride[0] - w.front[0] + j[0],
                      col = i[3] * w.stride[1] - w.front[1] + j[1];
        if (row < w.padded_end[0] && col < w.padded_end[1]) ++counted;
        if (row < 0 || col < 0 || row >= x.dims[2] || col >= x.dims[3]) return;
        ++inside;
        const double v = RefAt(x, {i[0], i[1], row, col});
        sum += v;
        max = std::max(max, v);
      });
      y.values.push_back(average ? sum / static_cast<double>(include ? counted : inside) : max);
    });
    return y;
  }

  /// The mean, or the largest, over `axes`.
  RefTensor Reduce(const OnnxNode& n, RefTensor& x, std::vector<int64_t> axes, bool keep,
                   bool max = false) {
    if (axes.empty()) {
      if (OnnxAttributes(n).Int("noop_with_empty_axes", 0) != 0) return x;
      for (size_t d = 0; d < x.dims.size(); ++d) axes.push_back(static_cast<int64_t>(d));
    }
    std::vector<bool> gone(x.dims.size(), false);
    for (int64_t a : axes)
      gone[static_cast<size_t>(a < 0 ? a + static_cast<int64_t>(x.dims.size()) : a)] = true;
    RefTensor kept{x.dims, {}};
    for (size_t d = 0; d < gone.size(); ++d) {
      if (gone[d]) kept.dims[d] = 1;
    }
    kept.values.assign(static_cast<size_t>(RefCount(kept.dims)), max ? -1e300 : 0.0);
    const double share =
        static_cast<double>(RefCount(kept.dims)) / static_cast<double>(RefCount(x.dims));
    RefForEach(x.dims, [&](const auto& i) {
      std::vector<int64_t> to = i;
      for (size_t d = 0; d < gone.size(); ++d) {
        if (gone[d]) to[d] = 0;
      }
      double& v = RefAt(kept, to);
      v = max ? std::max(v, RefAt(x, i)) : v + RefAt(x, i) * share;
    });
    if (keep) return kept;
    RefTensor y{{}, kept.values};
    for (size_t d = 0; d < gone.size(); ++d) {
      if (!gone[d]) y.dims.push_back(x.dims[d]);
    }
    return y;
  }

  RefTensor Gemm(const OnnxNode& n) {
    OnnxAttributes a(n);
    RefTensor b = a.Int("transB", 0) != 0 ? RefTransposed(In(n, 1), {1, 0}) : In(n, 1);
    const double alpha = a.Float("alpha", 1), beta = a.Float("beta", 1);
    RefTensor y = RefUnary(RefMatMul(In(n, 0), b), [&](double v) { return alpha * v; });
    if (!Has(n, 2)) return y;
    return RefBinary(y, In(n, 2), [&](double v, double c) { return v + beta * c; });
  }

  RefTensor Reshaped(const OnnxNode& n) {
    RefTensor y = In(n, 0);
    const std::vector<int64_t> old = y.dims;
    const int64_t rank = static_cast<int64_t>(old.size());
    y.dims.clear();
    if (n.op_type == "Reshape") {
      const auto target = List(n, 1);
      int64_t known = 1;
      for (size_t i = 0; i < target.size(); ++i) {
        y.dims.push_back(target[i] == 0 ? old[i] : target[i]);
        if (target[i] != -1) known *= y.dims.back();
      }
      for (int64_t& d : y.dims) {
        if (d == -1) d = RefCount(old) / known;
      }
    } else if (n.op_type == "Flatten") {
      int64_t axis = OnnxAttributes(n).Int("axis", 1);
      if (axis < 0) axis += rank;
      y.dims = {RefCount({old.begin(), old.begin() + axis}),
                RefCount({old.begin() + axis, old.end()})};
    } else if (n.op_type == "Squeeze") {
      std::vector<int64_t> axes = AxesOf(n, 1, 13);
      for (int64_t& a : axes) a += a < 0 ? rank : 0;
      for (int64_t d = 0; d < rank; ++d) {
        const bool listed = std::count(axes.begin(), axes.end(), d) > 0;
        if (axes.empty() ? old[static_cast<size_t>(d)] != 1 : !listed)
          y.dims.push_back(old[static_cast<size_t>(d)]);
      }
    } else {
      std::vector<int64_t> axes = AxesOf(n, 1, 13);
      const int64_t new_rank = rank + static_cast<int64_t>(axes.size());
      for (int64_t& a : axes) a += a < 0 ? new_rank : 0;
      size_t next = 0;
      for (int64_t d = 0; d < new_rank; ++d)
        y.dims.push_back(std::count(axes.begin(), axes.end(), d) > 0 ? 1 : old[next++]);
    }
    return y;
  }

  RefTensor Pad(const OnnxNode& n) {
    RefTensor& x = In(n, 0);
    std::vector<int64_t> pads = opset_ < 11 ? OnnxAttributes(n).Ints("pads") : List(n, 1);
    double value = 0;
    if (opset_ < 11) value = OnnxAttributes(n).Float("value", 0);
    if (opset_ >= 11 && Has(n, 2)) value = In(n, 2).values[0];
    std::vector<int64_t> axes;
    for (size_t d = 0; d < x.dims.size(); ++d) axes.push_back(static_cast<int64_t>(d));
    if (Has(n, 3)) axes = List(n, 3);
    std::vector<int64_t> begin(x.dims.size(), 0), behind = begin;
    for (size_t i = 0; i < axes.size(); ++i) {
      const size_t axis = static_cast<size_t>(
          axes[i] < 0 ? axes[i] + static_cast<int64_t>(x.dims.size()) : axes[i]);
      begin[axis] = pads[i];
      behind[axis] = pads[i + axes.size()];
    }
    return RefPad(x, begin, behind, value);
  }

  RefTensor Slice(const OnnxNode& n) {
    RefTensor& x = In(n, 0);
    OnnxAttributes a(n);
    const bool inputs = opset_ >= 10;
    const auto starts = inputs ? List(n, 1) : a.Ints("starts");
    const auto ends = inputs ? List(n, 2) : a.Ints("ends");
    std::vector<int64_t> axes =
        inputs ? (Has(n, 3) ? List(n, 3) : std::vector<int64_t>()) : a.Ints("axes");
    const auto steps = Has(n, 4) ? List(n, 4) : std::vector<int64_t>(starts.size(), 1);
    RefTensor y = x;
    for (size_t i = 0; i < starts.size(); ++i) {
      int64_t axis = axes.empty() ? static_cast<int64_t>(i) : axes[i];
      if (axis < 0) axis += static_cast<int64_t>(x.dims.size());
      const int64_t d = y.dims[static_cast<size_t>(axis)];
      // NumPy's rules, index by index.
      std::vector<int64_t> picked;
      int64_t start = starts[i] < 0 ? starts[i] + d : starts[i],
              end = ends[i] < 0 ? ends[i] + d : ends[i];
      if (steps[i] > 0) {
        for (int64_t j = std::max<int64_t>(start, 0); j < std::min(end, d); j += steps[i])
          picked.push_back(j);
      } else {
        for (int64_t j = std::min(start, d - 1); j > std::max<int64_t>(end, -1); j += steps[i])
          picked.push_back(j);
      }
      RefTensor z{y.dims, {}};
      z.dims[static_cast<size_t>(axis)] = static_cast<int64_t>(picked.size());
      RefForEach(z.dims, [&](const auto& index) {
        std::vector<int64_t> from = index;
        from[static_cast<size_t>(axis)] =
            picked[static_cast<size_t>(index[static_cast<size_t>(axis)])];
        z.values.push_back(RefAt(y, from));
      });
      y = z;
    }
    return y;
  }

  void Split(const OnnxNode& n) {
    RefTensor& x = In(n, 0);
    OnnxAttributes a(n);
    int64_t axis = a.Int("axis", 0);
    if (axis < 0) axis += static_cast<int64_t>(x.dims.size());
    const size_t at = static_cast<size_t>(axis);
    const int64_t parts = static_cast<int64_t>(n.outputs.size());
    std::vector<int64_t> sizes = opset_ < 13 ? a.Ints("split") : std::vector<int64_t>();
    if (opset_ >= 13 && Has(n, 1)) sizes = List(n, 1);
    int64_t begin = 0;
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      const int64_t size =
          sizes.empty() ? std::min((x.dims[at] + parts - 1) / parts, x.dims[at] - begin) : sizes[i];
      values_[n.outputs[i]] = RefTake(x, at, begin, 1, size);
      begin += size;
    }
  }

  RefTensor Concat(const OnnxNode& n) {
    const int64_t axis = OnnxAttributes(n).Int("axis", 0);
    std::vector<RefTensor> parts;
    for (size_t i = 0; i < n.inputs.size(); ++i) parts.push_back(In(n, i));
    return RefConcat(
        parts,
        static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(parts[0].dims.size()) : axis));
  }

  RefTensor Softmax(const OnnxNode& n) {
    RefTensor& x = In(n, 0);
    const int64_t rank = static_cast<int64_t>(x.dims.size());
    int64_t axis = OnnxAttributes(n).Int("axis", opset_ < 13 ? 1 : -1);
    if (axis < 0) axis += rank;
    RefTensor y = x;
    RefForEach(x.dims, [&](const auto& i) {
      // Sums over everything from the axis on (old), or over the axis (new).
      double sum = 0;
      std::vector<int64_t> range(x.dims.size(), 1);
      for (int64_t d = axis; d < (opset_ < 13 ? rank : axis + 1); ++d)
        range[static_cast<size_t>(d)] = x.dims[static_cast<size_t>(d)];
      RefForEach(range, [&](const auto& j) {
        std::vector<int64_t> from = i;
        for (size_t d = 0; d < from.size(); ++d) {
          if (range[d] != 1) from[d] = j[d];
        }
        sum += std::exp(RefAt(x, from));
      });
      RefAt(y, i) = std::exp(RefAt(x, i)) / sum;
    });
    return y;
  }

  /// Along the axis where there are several scales. `f` gets value, scale and zero point.
  RefTensor PerScale(const OnnxNode& n, const std::function<double(double, double, double)>& f) {
    RefTensor y = In(n, 0);
    RefTensor& s = In(n, 1);
    int64_t axis = OnnxAttributes(n).Int("axis", 1);
    if (axis < 0) axis += static_cast<int64_t>(y.dims.size());
    RefForEach(y.dims, [&](const auto& i) {
      const size_t c = s.values.size() == 1 ? 0 : static_cast<size_t>(i[static_cast<size_t>(axis)]);
      const double z = !Has(n, 2) ? 0 : In(n, 2).values[In(n, 2).values.size() == 1 ? 0 : c];
      double& v = RefAt(y, i);
      v = f(v, s.values[c], z);
    });
    return y;
  }

  /// Of what has the type of a zero point: an initializer of int8, or uint8.
  bool IsSigned(const std::string& name) const {
    for (const OnnxTensor& t : model_.initializers) {
      if (t.name == name) return t.type == ElementType::kInt8;
    }
    return false;
  }

  /// Codes, scale and zero point, inputs `at` to `at` + 2, as numbers; scales of several along the
  /// axis.
  RefTensor Dequantized(const OnnxNode& n, size_t at, int64_t axis) {
    OnnxNode one;
    one.inputs = {n.inputs[at], n.inputs[at + 1], n.inputs[at + 2]};
    OnnxAttribute a;
    a.name = "axis";
    a.kind = OnnxAttribute::Kind::kInt;
    a.i = axis;
    one.attributes = {a};
    return PerScale(one, [](double v, double scale, double z) { return (v - z) * scale; });
  }

  /// `op` on dequantized operands, quantized with the scale and zero point at input `result`.
  RefTensor OnCodes(const OnnxNode& n, const std::string& op, std::vector<size_t> operands,
                    size_t result, double factor = 1.0) {
    OnnxNode inner = n;
    inner.op_type = op;
    inner.inputs.clear();
    for (size_t i = 0; i < operands.size(); ++i) {
      const std::string name = "#" + std::to_string(i);
      values_[name] = Dequantized(n, operands[i], op == "Conv" ? 0 : 1);
      inner.inputs.push_back(name);
    }
    // An int32 bias at the product of both scales.
    const size_t bias = n.op_type == "QLinearConv" ? 8 : n.op_type == "QGemm" ? 6 : 0;
    if (bias > 0 && Has(n, bias)) {
      RefTensor b = In(n, bias);
      for (size_t i = 0; i < b.values.size(); ++i) {
        const RefTensor& s = In(n, 4);
        b.values[i] *= factor * In(n, 1).values[0] * s.values[s.values.size() == 1 ? 0 : i];
      }
      values_["#bias"] = b;
      inner.inputs.push_back("#bias");
    }
    RefTensor y = Eval(inner);
    const double scale = In(n, result).values[0], z = In(n, result + 1).values[0];
    const double low = IsSigned(n.inputs[result + 1]) ? -128 : 0;
    return RefUnary(
        y, [&](double v) { return std::clamp(std::nearbyint(v / scale) + z, low, low + 255); });
  }

  RefTensor Eval(const OnnxNode& n) {
    const std::string& op = n.op_type;
    OnnxAttributes a(n);
    if (op == "Conv") return Conv(n);
    if (op == "MaxPool") return Pool(n, false);
    if (op == "AveragePool") return Pool(n, true);
    if (op == "GlobalAveragePool") return Reduce(n, In(n, 0), {2, 3}, true);
    if (op == "GlobalMaxPool") return Reduce(n, In(n, 0), {2, 3}, true, true);
    if (op == "ReduceMean" || op == "ReduceMax") {
      return Reduce(n, In(n, 0), AxesOf(n, 1, 18), a.Int("keepdims", 1) != 0, op == "ReduceMax");
    }
    if (op == "BatchNormalization") {
      RefTensor y = In(n, 0);
      const double epsilon = a.Float("epsilon", 1e-5f);
      std::vector<double> mean = In(n, 3).values, variance = In(n, 4).values;
      if (a.Int("training_mode", 0) != 0) {
        std::vector<int64_t> others;
        for (int64_t d = 0; d < static_cast<int64_t>(y.dims.size()); ++d) {
          if (d != 1) others.push_back(d);
        }
        mean = Reduce(n, y, others, false).values;
        RefTensor squares = RefBinary(y, y, std::multiplies<>());
        variance = Reduce(n, squares, others, false).values;
        for (size_t c = 0; c < mean.size(); ++c) variance[c] -= mean[c] * mean[c];
      }
      RefForEach(y.dims, [&](const auto& i) {
        const size_t c = static_cast<size_t>(i[1]);
        double& v = RefAt(y, i);
        v = (v - mean[c]) / std::sqrt(variance[c] + epsilon) * In(n, 1).values[c] +
            In(n, 2).values[c];
      });
      return y;
    }
    if (op == "QuantizeLinear") {
      const double low = Has(n, 2) && IsSigned(n.inputs[2]) ? -128 : 0;
      return PerScale(n, [&](double v, double scale, double z) {
        return std::clamp(std::nearbyint(v / scale) + z, low, low + 255);
      });
    }
    if (op == "DequantizeLinear") {
      return PerScale(n, [](double v, double scale, double z) { return (v - z) * scale; });
    }
    if (op == "QLinearConv") return OnCodes(n, "Conv", {0, 3}, 6);
    if (op == "QLinearMatMul") return OnCodes(n, "MatMul", {0, 3}, 6);
    if (op == "QGemm") return OnCodes(n, "Gemm", {0, 3}, 7, a.Float("alpha", 1));
    if (op == "QLinearAdd") return OnCodes(n, "Add", {0, 3}, 6);
    if (op == "QLinearMul") return OnCodes(n, "Mul", {0, 3}, 6);
    if (op == "QLinearConcat") return OnCodes(n, "Concat", {2, 5}, 0);
    if (op == "QLinearAveragePool") return OnCodes(n, "AveragePool", {0}, 3);
    if (op == "Sigmoid") return RefUnary(In(n, 0), [](double v) { return 1 / (1 + std::exp(-v)); });
    if (op == "Tanh") return RefUnary(In(n, 0), [](double v) { return std::tanh(v); });
    if (op == "LogSoftmax") return RefUnary(Softmax(n), [](double v) { return std::log(v); });
    if (op == "Relu") return RefUnary(In(n, 0), [](double v) { return std::max(v, 0.0); });
    if (op == "LeakyRelu") {
      const double slope = a.Float("alpha", 0.01f);
      return RefUnary(In(n, 0), [=](double v) { return v < 0 ? slope * v : v; });
    }
    if (op == "QLinearLeakyRelu") return OnCodes(n, "LeakyRelu", {0}, 3, a.Float("alpha", 0.01f));
    if (op == "Clip") {
      double low = -1e300, high = 1e300;
      if (opset_ < 11) {
        low = a.Float("min", -3e38f);
        high = a.Float("max", 3e38f);
      } else {
        if (Has(n, 1)) low = In(n, 1).values[0];
        if (Has(n, 2)) high = In(n, 2).values[0];
      }
      return RefUnary(In(n, 0), [&](double v) { return std::min(std::max(v, low), high); });
    }
    if (op == "Add") return RefBinary(In(n, 0), In(n, 1), std::plus<>());
    if (op == "Sub") return RefBinary(In(n, 0), In(n, 1), std::minus<>());
    if (op == "Mul") return RefBinary(In(n, 0), In(n, 1), std::multiplies<>());
    if (op == "Div") return RefBinary(In(n, 0), In(n, 1), std::divides<>());
    if (op == "Max" || op == "Min" || op == "Sum") {
      RefTensor y = In(n, 0);
      for (size_t i = 1; i < n.inputs.size(); ++i) {
        y = RefBinary(y, In(n, i), [&](double v, double w) {
          return op == "Sum" ? v + w : op == "Max" ? std::max(v, w) : std::min(v, w);
        });
      }
      return y;
    }
    if (op == "Log") return RefUnary(In(n, 0), [](double v) { return std::log(v); });
    if (op == "Ceil") return RefUnary(In(n, 0), [](double v) { return std::ceil(v); });
    if (op == "Floor") return RefUnary(In(n, 0), [](double v) { return std::floor(v); });
    if (op == "Sqrt") return RefUnary(In(n, 0), [](double v) { return std::sqrt(v); });
    if (op == "Reciprocal") return RefUnary(In(n, 0), [](double v) { return 1 / v; });
    if (op == "Expand") {
      RefTensor zeros{List(n, 1), {}};
      zeros.values.assign(static_cast<size_t>(RefCount(zeros.dims)), 0.0);
      return RefBinary(In(n, 0), zeros, std::plus<>());
    }
    if (op == "Neg") return RefUnary(In(n, 0), [](double v) { return -v; });
    if (op == "Resize" || op == "Upsample") return In(n, 0);
    if (op == "ReduceProd") {
      if (a.Int("noop_with_empty_axes", 0) != 0 && AxesOf(n, 1, 18).empty()) return In(n, 0);
      double product = 1;
      for (double v : In(n, 0).values) product *= v;
      return {a.Int("keepdims", 1) != 0 ? std::vector<int64_t>{1} : std::vector<int64_t>{},
              {product}};
    }
    if (op == "Mod")
      return RefBinary(In(n, 0), In(n, 1), [&](double v, double w) {
        return a.Int("fmod", 0) != 0 ? std::fmod(v, w) : v - std::floor(v / w) * w;
      });
    if (op == "Equal")
      return RefBinary(In(n, 0), In(n, 1), [](double v, double w) { return v == w ? 1.0 : 0.0; });
    if (op == "Where") return In(n, 0).values[0] != 0 ? In(n, 1) : In(n, 2);
    if (op == "Gemm") return Gemm(n);
    if (op == "MatMul") return RefMatMul(In(n, 0), In(n, 1));
    if (op == "Reshape" || op == "Flatten" || op == "Squeeze" || op == "Unsqueeze")
      return Reshaped(n);
    if (op == "Transpose") {
      std::vector<int64_t> perm;
      for (size_t d = In(n, 0).dims.size(); d-- > 0;) perm.push_back(static_cast<int64_t>(d));
      return RefTransposed(In(n, 0), a.Ints("perm", perm));
    }
    if (op == "Identity" || op == "Dropout" || op == "Cast" || op == "CastLike") return In(n, 0);
    if (op == "Pad") return Pad(n);
    if (op == "Slice") return Slice(n);
    if (op == "Concat") return Concat(n);
    if (op == "Softmax") return Softmax(n);
    if (op == "Constant") {
      GraphBuilder builder("", 1, 1 << 20);
      return FromConstant(*ConstantNodeValue(n, {&builder, 1 << 20, false}, {}));
    }
    if (op == "Shape") {
      const std::vector<int64_t>& dims = In(n, 0).dims;
      const int64_t rank = static_cast<int64_t>(dims.size());
      RefTensor y{{0}, {}};
      int64_t start = a.Int("start", 0), end = a.Int("end", rank);
      if (start < 0) start += rank;
      if (end < 0) end += rank;
      for (int64_t d = start; d < std::min(end, rank); ++d, ++y.dims[0])
        y.values.push_back(static_cast<double>(dims[static_cast<size_t>(d)]));
      return y;
    }
    if (op == "Gather") {  // Along the first axis of a list.
      RefTensor y{In(n, 1).dims, {}};
      for (int64_t i : List(n, 1)) {
        y.values.push_back(In(n, 0).values[static_cast<size_t>(i < 0 ? i + In(n, 0).dims[0] : i)]);
      }
      return y;
    }
    if (op == "ConstantOfShape") {
      double fill = 0;
      if (const OnnxAttribute* value = a.Find("value"))
        fill = FromConstant(*DecodeOnnxTensor(value->t, std::nullopt)).values[0];
      RefTensor y{List(n, 0), {}};
      y.values.assign(static_cast<size_t>(RefCount(y.dims)), fill);
      return y;
    }
    std::abort();  // A test uses an operator that the reference lacks.
  }

  const OnnxModel& model_;
  int64_t opset_;
  std::map<std::string, RefTensor> values_;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_ONNX_REFERENCE_H_
