// How a source's program sees an activation: its own dimensions over a tensor that is always NHWC.
#ifndef OCTET_CONVERTER_IMPORT_BUILDER_VIEW_H_
#define OCTET_CONVERTER_IMPORT_BUILDER_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/base/shape.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

using Dims = std::vector<int64_t>;

/// "[1,3,8,8]"; negative dimensions, which are not known, as "?".
std::string DimsText(const Dims& dims);

/// Product of dims[from, to), or -1 where it does not fit 62 bits or a dimension is negative. A 0
/// does not excuse the others: strides are computed from them.
int64_t Product(const Dims& dims, size_t from, size_t to);
inline int64_t NumElements(const Dims& dims) { return Product(dims, 0, dims.size()); }

/// A tensor of the graph whose axes are read in the order `perm` and then reshaped to `dims`: NCHW
/// is perm {0, 3, 1, 2}, and stays so whatever the sizes are, so that an image of one channel is
/// never both orders at once. Transposes and reshapes of the source only change the view; nothing
/// moves in memory.
struct View {
  TensorId id = kNoTensor;
  Dims dims;              ///< The source's, the batch as 1.
  std::vector<int> perm;  ///< Axes of the tensor in the source's order.
};

/// Axes of the tensor that each dimension of the view runs over, in order; empty for a dimension of
/// 1 that none stands for. Nothing when a dimension cuts through an axis.
std::optional<std::vector<std::vector<int>>> AxesOf(const View& v, const Shape& shape);

/// Whether the source's order of elements is that of the memory.
bool IsLinear(const View& v, const Shape& shape);

/// The dimension that runs over the tensor's channels and nothing else.
std::optional<size_t> ChannelAxis(const View& v, const Shape& shape);

/// The tensor's axis that dimension `d` runs over alone, or nothing.
std::optional<int> AxisOf(const View& v, const Shape& shape, size_t d);

/// The view with its dimensions in another order; nothing when a dimension cuts through an axis.
std::optional<View> Transposed(const View& v, const Shape& shape, const std::vector<int>& perm);

/// Whether both views name the same elements of a memory in the same order, whatever shapes the
/// memory has: with one channel or one pixel, NCHW and NHWC do.
bool SameOrder(const View& a, const Shape& a_shape, const View& b, const Shape& b_shape);

/// For each element in memory order its index in the source's order, for rows of weights.
/// The elements of `shape` must fit 31 bits.
std::vector<int32_t> SourceOrder(const View& v, const Shape& shape);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_BUILDER_VIEW_H_
