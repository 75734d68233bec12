// Operators on constants: the shape arithmetic and the unfused batch norms of TensorFlow graphs.
#ifndef OCTET_CONVERTER_IMPORT_TENSORFLOW_FOLD_H_
#define OCTET_CONVERTER_IMPORT_TENSORFLOW_FOLD_H_

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "converter/import/tensorflow/proto.h"
#include "formats/base/status.h"

namespace octet::tf {

/// Stands for the batch size in a shape that is computed: unknown, and the only unknown there is.
inline constexpr int64_t kDynamic = std::numeric_limits<int64_t>::min();

/// One dimension of a StridedSlice. `step` may be negative; `count` elements are taken.
struct SliceDim {
  int64_t begin = 0, step = 1, count = 0;
  bool drop = false;  ///< The dimension goes away (count is 1 then).
};

/// Where in the output a StridedSlice puts new dimensions of size 1, and what it takes of each of
/// the input's.
struct SlicePlan {
  std::vector<SliceDim> dims;        ///< One per input dimension.
  std::vector<int64_t> output_dims;  ///< With new dimensions and without dropped ones.
};

/// Resolves the masks of a StridedSlice over `dims` (kDynamic allowed where the whole dimension is
/// taken). Errors: kCorrupt, kUnsupported.
Result<SlicePlan> PlanStridedSlice(const NodeDef& node, const std::vector<int64_t>& dims,
                                   const std::vector<int64_t>& begin,
                                   const std::vector<int64_t>& end,
                                   const std::vector<int64_t>& strides);

/// What the operator Shape gives for an input of these dimensions. Errors: kCorrupt.
Result<HostTensor> ShapeTensor(const NodeDef& node, const std::vector<int64_t>& dims);

/// True when FoldConstant knows the operator.
bool CanFold(std::string_view op);

/// Computes `node` on constants. Operators that can give more elements than they take give at most
/// `max_elements`. Errors: kUnsupported, kCorrupt.
Result<HostTensor> FoldConstant(const NodeDef& node, const std::vector<const HostTensor*>& inputs,
                                int64_t max_elements);

/// Resolves a -1 in a target shape for `elements` elements; kDynamic is not looked at. Errors:
/// kCorrupt.
Result<std::vector<int64_t>> ResolveReshape(const std::vector<int64_t>& target, int64_t elements);

/// `size` elements from `begin` on along `axis`, which must lie inside.
HostTensor Part(const HostTensor& in, size_t axis, int64_t begin, int64_t size);

/// Negative axes count from the end. Errors: kCorrupt when out of range.
Result<int64_t> NormalizeAxis(int64_t axis, int64_t rank);

/// `dims` without the dimensions of size 1 that Squeeze's attribute names, all of them when it
/// names none. Errors: kCorrupt.
Result<std::vector<int64_t>> SqueezedDims(const NodeDef& node, const std::vector<int64_t>& dims);

}  // namespace octet::tf

#endif  // OCTET_CONVERTER_IMPORT_TENSORFLOW_FOLD_H_
