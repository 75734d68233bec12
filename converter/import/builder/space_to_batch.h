// TensorFlow's way of a dilated convolution: SpaceToBatchND, a convolution of every block-th row
// and column, BatchToSpaceND.
#ifndef OCTET_CONVERTER_IMPORT_BUILDER_SPACE_TO_BATCH_H_
#define OCTET_CONVERTER_IMPORT_BUILDER_SPACE_TO_BATCH_H_

#include "converter/import/builder/graph_builder.h"

namespace octet {

inline constexpr char kOnlyConvolution[] =
    "between SpaceToBatchND and BatchToSpaceND only one convolution is supported, which they make "
    "a dilated one";

/// What one of the two says of height and width: the block, and how many pixels it adds or removes.
struct BatchBlocks {
  int64_t block[2] = {1, 1};
  Padding pixels[2];
};

/// `block` has one number for each dimension, `amounts` two.
Result<BatchBlocks> ReadBatchBlocks(const Dims& block, const Dims& amounts);

/// Makes the window of the convolution between the two, whose kernel, stride and dilation it has,
/// that of the dilated convolution. `same`: the source's padding is SAME.
Status Dilate(const BatchBlocks& to_batch, const BatchBlocks& to_space, bool same,
              WideWindow* window);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_BUILDER_SPACE_TO_BATCH_H_
