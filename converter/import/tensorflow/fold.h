// Operators on constants: the shape arithmetic and the unfused batch norms of TensorFlow graphs.
#ifndef OCTET_CONVERTER_IMPORT_TENSORFLOW_FOLD_H_
#define OCTET_CONVERTER_IMPORT_TENSORFLOW_FOLD_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "converter/import/builder/constant.h"
#include "converter/import/tensorflow/proto.h"
#include "formats/base/status.h"

namespace octet::tf {

/// Where in the output a StridedSlice puts new dimensions of size 1, and what it takes of each of
/// the input's.
struct SlicePlan {
  std::vector<GraphBuilder::Range> ranges;  ///< One per input dimension.
  Dims output_dims;                         ///< With new dimensions and without dropped ones.
  bool drops_first = false;                 ///< The input's first dimension is dropped.
};

/// Resolves the masks of a StridedSlice over `dims` (a dynamic one where the whole dimension is
/// taken). Errors: kCorrupt, kUnsupported.
Result<SlicePlan> PlanStridedSlice(const NodeDef& node, const Dims& dims,
                                   const std::vector<int64_t>& begin,
                                   const std::vector<int64_t>& end,
                                   const std::vector<int64_t>& strides);

/// The same of a Slice.
Result<SlicePlan> PlanSlice(const Dims& dims, const std::vector<int64_t>& begin,
                            const std::vector<int64_t>& size);

/// What the operator Shape gives for an input of these dimensions. Errors: kCorrupt.
Result<Constant> ShapeTensor(const NodeDef& node, const Dims& dims);

/// Computes `node`, whose number of inputs is right, on constants; nothing for an operator that is
/// not computed here. Errors:
/// kUnsupported, kCorrupt.
Result<std::optional<Constant>> FoldConstant(const NodeDef& node,
                                             const std::vector<const Constant*>& inputs,
                                             const Folder& folder);

/// `dims` without the dimensions of size 1 that Squeeze's attribute names, all of them when it
/// names none. Errors: kCorrupt.
Result<Dims> SqueezedDims(const NodeDef& node, const Dims& dims);

}  // namespace octet::tf

#endif  // OCTET_CONVERTER_IMPORT_TENSORFLOW_FOLD_H_
