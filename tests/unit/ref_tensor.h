// Tensors in double precision and what operators do with them, straight from the operators'
// definitions: the oracles of the importers compute with them what a network must give.
#ifndef OCTET_TESTS_UNIT_REF_TENSOR_H_
#define OCTET_TESTS_UNIT_REF_TENSOR_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace octet::testing {

struct RefTensor {
  std::vector<int64_t> dims;
  std::vector<double> values;
};

inline int64_t RefCount(const std::vector<int64_t>& dims) {
  int64_t n = 1;
  for (int64_t d : dims) n *= d;
  return n;
}

/// Calls f(index) for every index of `dims`, the last one running fastest.
inline void RefForEach(const std::vector<int64_t>& dims,
                       const std::function<void(const std::vector<int64_t>&)>& f) {
  std::vector<int64_t> index(dims.size(), 0);
  for (int64_t i = 0, n = RefCount(dims); i < n; ++i) {
    f(index);
    for (size_t d = dims.size(); d-- > 0;) {
      if (++index[d] < dims[d]) break;
      index[d] = 0;
    }
  }
}

inline double& RefAt(RefTensor& t, const std::vector<int64_t>& index) {
  int64_t offset = 0;
  for (size_t d = 0; d < t.dims.size(); ++d) offset = offset * t.dims[d] + index[d];
  return t.values[static_cast<size_t>(offset)];
}

/// Reads with NumPy's broadcasting of `t` to the index's rank.
inline double RefBroadcast(RefTensor& t, const std::vector<int64_t>& index) {
  std::vector<int64_t> own(t.dims.size());
  for (size_t d = 0; d < own.size(); ++d) {
    own[d] = t.dims[d] == 1 ? 0 : index[index.size() - own.size() + d];
  }
  return RefAt(t, own);
}

inline RefTensor RefBinary(RefTensor& a, RefTensor& b,
                           const std::function<double(double, double)>& f) {
  RefTensor y;
  const size_t rank = std::max(a.dims.size(), b.dims.size());
  for (size_t d = 0; d < rank; ++d) {
    const int64_t da = d + a.dims.size() < rank ? 1 : a.dims[d + a.dims.size() - rank];
    const int64_t db = d + b.dims.size() < rank ? 1 : b.dims[d + b.dims.size() - rank];
    y.dims.push_back(std::max(da, db));
  }
  RefForEach(y.dims,
             [&](const auto& i) { y.values.push_back(f(RefBroadcast(a, i), RefBroadcast(b, i))); });
  return y;
}
inline RefTensor RefUnary(const RefTensor& x, const std::function<double(double)>& f) {
  RefTensor y = x;
  for (double& v : y.values) v = f(v);
  return y;
}

/// [.., K] times [K, N].
inline RefTensor RefMatMul(RefTensor& a, RefTensor& b) {
  RefTensor y{a.dims, {}};
  y.dims.back() = b.dims[1];
  const int64_t k = b.dims[0];
  for (int64_t row = 0; row < RefCount(a.dims) / k; ++row) {
    for (int64_t col = 0; col < b.dims[1]; ++col) {
      double sum = 0;
      for (int64_t i = 0; i < k; ++i) {
        sum += a.values[static_cast<size_t>(row * k + i)] *
               b.values[static_cast<size_t>(i * b.dims[1] + col)];
      }
      y.values.push_back(sum);
    }
  }
  return y;
}

inline RefTensor RefTransposed(RefTensor& x, const std::vector<int64_t>& perm) {
  RefTensor y;
  for (int64_t p : perm) y.dims.push_back(x.dims[static_cast<size_t>(p)]);
  RefForEach(y.dims, [&](const auto& i) {
    std::vector<int64_t> from(i.size());
    for (size_t d = 0; d < i.size(); ++d) from[static_cast<size_t>(perm[d])] = i[d];
    y.values.push_back(RefAt(x, from));
  });
  return y;
}

// -- Channels last, as TensorFlow and its kin define them --

/// One spatial axis of a window. `front` is the padding before the first value.
struct RefAxis {
  int64_t kernel = 1, stride = 1, dilation = 1, front = 0, out = 1;

  /// TensorFlow's rule: VALID; or SAME, whose odd pixel is behind.
  static RefAxis Of(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, bool same) {
    const int64_t span = (kernel - 1) * dilation + 1;
    if (!same) return {kernel, stride, dilation, 0, (in - span) / stride + 1};
    const int64_t out = (in + stride - 1) / stride;
    return {kernel, stride, dilation, std::max<int64_t>((out - 1) * stride + span - in, 0) / 2,
            out};
  }
  /// Where tap `k` of output `o` reads.
  int64_t At(int64_t o, int64_t k) const { return o * stride - front + k * dilation; }
};

/// x [n, h, w, c], kernel [kh, kw, c / groups, k]; no bias. What lies outside counts as `outside`.
inline RefTensor RefConv(RefTensor& x, RefTensor& kernel, const RefAxis& rows, const RefAxis& cols,
                         double outside = 0) {
  const int64_t groups = x.dims[3] / kernel.dims[2], per = kernel.dims[3] / groups;
  RefTensor y{{x.dims[0], rows.out, cols.out, kernel.dims[3]}, {}};
  RefForEach(y.dims, [&](const auto& i) {
    double sum = 0;
    for (int64_t r = 0; r < rows.kernel; ++r) {
      for (int64_t s = 0; s < cols.kernel; ++s) {
        const int64_t row = rows.At(i[1], r), col = cols.At(i[2], s);
        const bool inside = row >= 0 && col >= 0 && row < x.dims[1] && col < x.dims[2];
        const int64_t from = i[3] / per * kernel.dims[2];
        const double* w = &RefAt(kernel, {r, s, 0, i[3]});
        const double* v = inside ? &RefAt(x, {i[0], row, col, from}) : nullptr;
        for (int64_t c = 0; c < kernel.dims[2]; ++c)
          sum += (inside ? v[c] : outside) * w[c * kernel.dims[3]];
      }
    }
    y.values.push_back(sum);
  });
  return y;
}

/// kernel [kh, kw, c, m]: channel c * m + j of the output is made of channel c.
inline RefTensor RefDepthwiseConv(RefTensor& x, const RefTensor& kernel, const RefAxis& rows,
                                  const RefAxis& cols, double outside = 0) {
  RefTensor grouped = kernel;  // The same values in the same order.
  grouped.dims = {kernel.dims[0], kernel.dims[1], 1, kernel.dims[2] * kernel.dims[3]};
  return RefConv(x, grouped, rows, cols, outside);
}

/// Largest or average of what lies inside.
inline RefTensor RefPool(RefTensor& x, const RefAxis& rows, const RefAxis& cols, bool average) {
  RefTensor y{{x.dims[0], rows.out, cols.out, x.dims[3]}, {}};
  RefForEach(y.dims, [&](const auto& i) {
    double sum = 0, max = -std::numeric_limits<double>::infinity();
    int64_t inside = 0;
    for (int64_t r = 0; r < rows.kernel; ++r) {
      for (int64_t s = 0; s < cols.kernel; ++s) {
        const int64_t row = rows.At(i[1], r), col = cols.At(i[2], s);
        if (row < 0 || col < 0 || row >= x.dims[1] || col >= x.dims[2]) continue;
        const double v = RefAt(x, {i[0], row, col, i[3]});
        ++inside;
        sum += v;
        max = std::max(max, v);
      }
    }
    y.values.push_back(average ? sum / static_cast<double>(inside) : max);
  });
  return y;
}

/// Folds values over `axes` (non-negative), from `start` on with f.
inline RefTensor RefReduce(RefTensor& x, const std::vector<int64_t>& axes, bool keep, double start,
                           const std::function<double(double, double)>& f) {
  RefTensor kept{x.dims, {}};
  for (int64_t a : axes) kept.dims[static_cast<size_t>(a)] = 1;
  kept.values.assign(static_cast<size_t>(RefCount(kept.dims)), start);
  RefForEach(x.dims, [&](const auto& i) {
    std::vector<int64_t> to = i;
    for (int64_t a : axes) to[static_cast<size_t>(a)] = 0;
    double& v = RefAt(kept, to);
    v = f(v, RefAt(x, i));
  });
  if (keep) return kept;
  RefTensor y{{}, kept.values};
  for (size_t d = 0; d < x.dims.size(); ++d) {
    if (std::count(axes.begin(), axes.end(), static_cast<int64_t>(d)) == 0)
      y.dims.push_back(x.dims[d]);
  }
  return y;
}

/// `front` and `behind` values more on each axis.
inline RefTensor RefPad(RefTensor& x, const std::vector<int64_t>& front,
                        const std::vector<int64_t>& behind, double value) {
  RefTensor y{x.dims, {}};
  for (size_t d = 0; d < y.dims.size(); ++d) y.dims[d] += front[d] + behind[d];
  RefForEach(y.dims, [&](const auto& i) {
    std::vector<int64_t> from = i;
    bool inside = true;
    for (size_t d = 0; d < from.size(); ++d) {
      from[d] -= front[d];
      inside = inside && from[d] >= 0 && from[d] < x.dims[d];
    }
    y.values.push_back(inside ? RefAt(x, from) : value);
  });
  return y;
}

/// `count` indices of one axis, from `begin` on by `step`.
inline RefTensor RefTake(RefTensor& x, size_t axis, int64_t begin, int64_t step, int64_t count) {
  RefTensor y{x.dims, {}};
  y.dims[axis] = count;
  RefForEach(y.dims, [&](const auto& i) {
    std::vector<int64_t> from = i;
    from[axis] = begin + i[axis] * step;
    y.values.push_back(RefAt(x, from));
  });
  return y;
}

inline RefTensor RefConcat(std::vector<RefTensor>& parts, size_t axis) {
  RefTensor y{parts[0].dims, {}};
  y.dims[axis] = 0;
  for (const RefTensor& part : parts) y.dims[axis] += part.dims[axis];
  RefForEach(y.dims, [&](const auto& i) {
    std::vector<int64_t> from = i;
    size_t part = 0;
    while (from[axis] >= parts[part].dims[axis]) from[axis] -= parts[part++].dims[axis];
    y.values.push_back(RefAt(parts[part], from));
  });
  return y;
}

/// Over the last axis; `beta` is above 0.
inline RefTensor RefSoftmax(RefTensor& x, double beta = 1, bool log = false) {
  const std::vector<int64_t> last = {static_cast<int64_t>(x.dims.size()) - 1};
  RefTensor most =
      RefReduce(x, last, true, -HUGE_VAL, [](double a, double b) { return std::max(a, b); });
  RefTensor y = RefBinary(x, most, [&](double v, double m) { return beta * (v - m); });
  RefTensor powers = RefUnary(y, [](double v) { return std::exp(v); });
  RefTensor sums = RefReduce(powers, last, true, 0, std::plus<>());
  if (log) return RefBinary(y, sums, [](double v, double sum) { return v - std::log(sum); });
  return RefBinary(powers, sums, std::divides<>());
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_REF_TENSOR_H_
