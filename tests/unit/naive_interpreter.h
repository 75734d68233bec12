// Runs float32 graphs in double precision with the plainest loops there are: what importers and
// passes are tested against.
#ifndef OCTET_TESTS_UNIT_NAIVE_INTERPRETER_H_
#define OCTET_TESTS_UNIT_NAIVE_INTERPRETER_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>
#include <vector>

#include "formats/model/graph.h"

namespace octet::testing {

/// The node's result for one image, from its inputs' values (empty for kNoTensor). Shapes must have
/// been inferred.
inline std::vector<double> EvaluateNode(const Graph& g, const Node& n,
                                        const std::vector<std::vector<double>>& in) {
  const Shape& xs = g.tensor(n.inputs[0]).shape;
  const Shape& ys = g.tensor(n.output).shape;
  const std::vector<double>& x = in[0];
  std::vector<double> y(static_cast<size_t>(ys.num_elements()), 0.0);
  const Window& w = n.window;
  const auto at = [](const Shape& s, int64_t h, int64_t v, int64_t c) {
    return static_cast<size_t>((h * s[2] + v) * s[3] + c);
  };
  const auto has = [&](int slot) { return n.input(slot) != kNoTensor; };
  // Calls f(output row, output column, input row, input column, tap) for every pair of pixels that
  // a window brings together.
  const auto for_taps = [&](auto f) {
    for (int64_t oh = 0; oh < ys[1]; ++oh) {
      for (int64_t ow = 0; ow < ys[2]; ++ow) {
        for (int64_t kh = 0; kh < w.kernel_h; ++kh) {
          for (int64_t kw = 0; kw < w.kernel_w; ++kw) {
            const int64_t ih = oh * w.stride_h - w.pad_top + kh * w.dilation_h;
            const int64_t iw = ow * w.stride_w - w.pad_left + kw * w.dilation_w;
            if (ih >= 0 && iw >= 0 && ih < xs[1] && iw < xs[2])
              f(oh, ow, ih, iw, kh * w.kernel_w + kw);
          }
        }
      }
    }
  };
  switch (n.type) {
    case OpType::kConv2d: {
      const Shape& ks = g.tensor(n.inputs[kInputWeights]).shape;
      const int64_t taps = ks[1] * ks[2], depth = ks[3], per_group = ks[0] / n.groups;
      for_taps([&](int64_t oh, int64_t ow, int64_t ih, int64_t iw, int64_t tap) {
        for (int64_t o = 0; o < ks[0]; ++o) {
          double sum = 0;
          const double* k = in[kInputWeights].data() + (o * taps + tap) * depth;
          const double* p = x.data() + at(xs, ih, iw, o / per_group * depth);
          for (int64_t c = 0; c < depth; ++c) sum += p[c] * k[c];
          y[at(ys, oh, ow, o)] += sum;
        }
      });
      break;
    }
    case OpType::kDense:
      for (int64_t o = 0; o < ys[1]; ++o) {
        for (int64_t i = 0; i < xs[1]; ++i)
          y[static_cast<size_t>(o)] +=
              x[static_cast<size_t>(i)] * in[kInputWeights][static_cast<size_t>(o * xs[1] + i)];
      }
      break;
    case OpType::kMaxPool:
      std::fill(y.begin(), y.end(), -std::numeric_limits<double>::infinity());
      for_taps([&](int64_t oh, int64_t ow, int64_t ih, int64_t iw, int64_t) {
        for (int64_t c = 0; c < xs[3]; ++c)
          y[at(ys, oh, ow, c)] = std::max(y[at(ys, oh, ow, c)], x[at(xs, ih, iw, c)]);
      });
      break;
    case OpType::kAveragePool: {
      std::vector<double> count(y.size(), 0.0);
      for_taps([&](int64_t oh, int64_t ow, int64_t ih, int64_t iw, int64_t) {
        for (int64_t c = 0; c < xs[3]; ++c) {
          y[at(ys, oh, ow, c)] += x[at(xs, ih, iw, c)];
          count[at(ys, oh, ow, c)] += 1;
        }
      });
      for (size_t i = 0; i < y.size(); ++i)
        y[i] /= n.count_include_pad ? w.kernel_h * w.kernel_w : count[i];
      break;
    }
    case OpType::kGlobalAveragePool:
      for (size_t i = 0; i < x.size(); ++i)
        y[i % y.size()] += x[i] / static_cast<double>(xs[1] * xs[2]);
      break;
    case OpType::kAdd:
      for (size_t i = 0; i < y.size(); ++i) y[i] = x[i] + in[1][i];
      break;
    case OpType::kMul:
      for (size_t i = 0; i < y.size(); ++i) y[i] = x[i] * in[1][i];
      break;
    case OpType::kScaleShift:
      for (size_t i = 0; i < y.size(); ++i)
        y[i] = x[i] * in[1][i % in[1].size()] + in[2][i % in[2].size()];
      break;
    case OpType::kRelu:
      for (size_t i = 0; i < y.size(); ++i) y[i] = std::max(x[i], 0.0);
      break;
    case OpType::kRelu6:
      for (size_t i = 0; i < y.size(); ++i) y[i] = std::clamp(x[i], 0.0, 6.0);
      break;
    case OpType::kPad:
    case OpType::kSlice: {
      // Both map each output index to an input index, dimension by dimension.
      for (size_t i = 0; i < y.size(); ++i) {
        int64_t rest = static_cast<int64_t>(i), offset = 0, stride = 1;
        bool inside = true;
        for (int d = ys.rank() - 1; d >= 0; --d) {
          const int64_t index = rest % ys[d];
          rest /= ys[d];
          const int64_t from =
              n.type == OpType::kPad ? index - n.begin[d] : n.begin[d] + index * n.step[d];
          inside = inside && from >= 0 && from < xs[d];
          offset += from * stride;
          stride *= xs[d];
        }
        y[i] = inside ? x[static_cast<size_t>(offset)] : n.pad_value;
      }
      break;
    }
    case OpType::kConcat: {
      int64_t inner = 1;
      for (int d = n.axis + 1; d < ys.rank(); ++d) inner *= ys[d];
      const int64_t row = ys[n.axis] * inner;
      int64_t start = 0;
      for (size_t k = 0; k < n.inputs.size(); ++k) {
        const int64_t run = g.tensor(n.inputs[k]).shape[n.axis] * inner;
        for (int64_t i = 0; i < static_cast<int64_t>(in[k].size()); ++i) {
          y[static_cast<size_t>(i / run * row + start + i % run)] = in[k][static_cast<size_t>(i)];
        }
        start += run;
      }
      break;
    }
    case OpType::kReshape:
      y = x;
      break;
    case OpType::kSoftmax: {
      const size_t row = static_cast<size_t>(xs.back());
      for (size_t r = 0; r < y.size(); r += row) {
        double max = x[r], sum = 0;
        for (size_t i = r; i < r + row; ++i) max = std::max(max, x[i]);
        for (size_t i = r; i < r + row; ++i) sum += y[i] = std::exp(x[i] - max);
        for (size_t i = r; i < r + row; ++i) y[i] /= sum;
      }
      break;
    }
    case OpType::kQuantize:
    case OpType::kDequantize:
      std::abort();  // Float graphs only.
  }
  if (n.type == OpType::kConv2d || n.type == OpType::kDense) {
    for (size_t i = 0; i < y.size(); ++i) {
      if (has(kInputBias)) y[i] += in[kInputBias][i % in[kInputBias].size()];
      if (has(kInputResidual)) y[i] += in[kInputResidual][i];
    }
  }
  for (double& v : y) {
    if (n.activation != Activation::kNone) v = std::max(v, 0.0);
    if (n.activation == Activation::kRelu6) v = std::min(v, 6.0);
  }
  return y;
}

/// Every tensor's values, by TensorId, for one image given to the graph's first input.
inline std::vector<std::vector<double>> EvaluateAll(const Graph& g, std::span<const float> input) {
  std::vector<std::vector<double>> values(g.tensors.size());
  for (size_t i = 0; i < g.tensors.size(); ++i) {
    if (!g.tensors[i].is_constant()) continue;
    const auto floats = g.tensors[i].values<float>();
    values[i].assign(floats.begin(), floats.end());
  }
  values[g.inputs[0]].assign(input.begin(), input.end());
  for (const Node& n : g.nodes) {
    std::vector<std::vector<double>> in;
    for (TensorId id : n.inputs) in.push_back(id == kNoTensor ? std::vector<double>() : values[id]);
    values[n.output] = EvaluateNode(g, n, in);
  }
  return values;
}

/// The graph's first output for one image.
inline std::vector<double> Evaluate(const Graph& g, std::span<const float> input) {
  return EvaluateAll(g, input)[g.outputs[0]];
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_NAIVE_INTERPRETER_H_
