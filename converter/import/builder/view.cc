// Views of NHWC tensors in the source's order of dimensions.
#include "converter/import/builder/view.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace octet {

std::string DimsText(const Dims& dims) {
  std::string s = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i > 0) s += ",";
    s += dims[i] < 0 ? "?" : std::to_string(dims[i]);
  }
  return s + "]";
}

int64_t Product(const Dims& dims, size_t from, size_t to) {
  int64_t product = 1;
  bool empty = false;
  for (size_t i = from; i < to; ++i) {
    empty |= dims[i] == 0;
    if (dims[i] < 0 || !CheckedMul(product, std::max<int64_t>(dims[i], 1), &product) ||
        product > int64_t{1} << 62)
      return -1;
  }
  return empty ? 0 : product;
}

std::optional<std::vector<std::vector<int>>> AxesOf(const View& v, const Shape& shape) {
  std::vector<std::vector<int>> groups(v.dims.size());
  size_t next = 0;  // In perm.
  for (size_t d = 0; d < v.dims.size(); ++d) {
    if (v.dims[d] == 1) {
      if (next < v.perm.size() && shape[v.perm[next]] == 1) groups[d].push_back(v.perm[next++]);
      continue;
    }
    int64_t size = 1;
    while (size < v.dims[d] && next < v.perm.size()) {
      size *= shape[v.perm[next]];
      groups[d].push_back(v.perm[next++]);
    }
    if (size != v.dims[d]) return std::nullopt;
  }
  for (; next < v.perm.size(); ++next) {
    if (shape[v.perm[next]] != 1) return std::nullopt;
    if (!groups.empty()) groups.back().push_back(v.perm[next]);
  }
  return groups;
}

bool IsLinear(const View& v, const Shape& shape) {
  int last = -1;
  for (int axis : v.perm) {
    if (shape[axis] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

std::optional<int> AxisOf(const View& v, const Shape& shape, size_t d) {
  const auto groups = AxesOf(v, shape);
  if (!groups) return std::nullopt;
  const std::vector<int>& group = (*groups)[d];
  if (group.size() == 1) return group[0];
  // Of several axes one may be larger than 1; without any, it is the channels' if they are among
  // them.
  std::optional<int> found;
  for (int axis : group) {
    if (shape[axis] == 1) continue;
    if (found) return std::nullopt;
    found = axis;
  }
  if (!found && !group.empty()) found = *std::max_element(group.begin(), group.end());
  return found;
}

std::optional<size_t> ChannelAxis(const View& v, const Shape& shape) {
  for (size_t d = 0; d < v.dims.size(); ++d) {
    const std::optional<int> axis = AxisOf(v, shape, d);
    if (axis && *axis == shape.rank() - 1 && *axis > 0) return d;
  }
  return std::nullopt;
}

std::optional<View> Transposed(const View& v, const Shape& shape, const std::vector<int>& perm) {
  const auto groups = AxesOf(v, shape);
  if (!groups) return std::nullopt;
  View moved{v.id, {}, {}};
  for (int d : perm) {
    moved.dims.push_back(v.dims[static_cast<size_t>(d)]);
    const std::vector<int>& group = (*groups)[static_cast<size_t>(d)];
    moved.perm.insert(moved.perm.end(), group.begin(), group.end());
  }
  return moved;
}

bool SameOrder(const View& a, const Shape& a_shape, const View& b, const Shape& b_shape) {
  // Loops over the memory, outermost first: sizes and strides, each as long as it can be.
  const auto loops = [](const View& v, const Shape& shape) {
    std::vector<std::pair<int64_t, int64_t>> found;
    for (int axis : v.perm) {
      if (shape[axis] == 1) continue;
      int64_t stride = 1;
      for (int i = axis + 1; i < shape.rank(); ++i) stride *= shape[i];
      if (!found.empty() && found.back().second == stride * shape[axis]) {
        found.back() = {found.back().first * shape[axis], stride};
      } else {
        found.emplace_back(shape[axis], stride);
      }
    }
    return found;
  };
  return loops(a, a_shape) == loops(b, b_shape);
}

std::vector<int32_t> SourceOrder(const View& v, const Shape& shape) {
  const size_t rank = v.perm.size();
  std::vector<int64_t> stride(rank);  // In the source's order, by axis of the tensor.
  int64_t step = 1;
  for (size_t i = rank; i-- > 0;) {
    stride[static_cast<size_t>(v.perm[i])] = step;
    step *= shape[v.perm[i]];
  }
  std::vector<int32_t> order(static_cast<size_t>(step));
  std::vector<int64_t> at(rank, 0);
  int64_t index = 0;
  for (int32_t& out : order) {
    out = static_cast<int32_t>(index);
    for (size_t axis = rank; axis-- > 0;) {
      index += stride[axis];
      if (++at[axis] < shape[static_cast<int>(axis)]) break;
      index -= stride[axis] * at[axis];
      at[axis] = 0;
    }
  }
  return order;
}

}  // namespace octet
