// Dilated convolutions as TensorFlow writes them.
#include "converter/import/builder/space_to_batch.h"

namespace octet {

Result<BatchBlocks> ReadBatchBlocks(const Dims& block, const Dims& amounts) {
  if (block.size() != 2 || amounts.size() != 4) {
    return Unsupported(StrCat("blocks of ", block.size(), " dimensions with ", amounts.size(),
                              " amounts, expected height and width"));
  }
  BatchBlocks b;
  for (size_t d = 0; d < 2; ++d) {
    b.block[d] = block[d];
    b.pixels[d] = {amounts[2 * d], amounts[2 * d + 1]};
    if (block[d] < 1 || block[d] > kMaxWindow)
      return Corrupt(StrCat("block of ", block[d], ", expected 1 to ", kMaxWindow));
    for (int64_t v : {b.pixels[d].front, b.pixels[d].behind}) {
      if (v < 0 || v > (1 << 20)) return Corrupt(StrCat("amount ", v, ", expected 0 to ", 1 << 20));
    }
  }
  return b;
}

Status Dilate(const BatchBlocks& to_batch, const BatchBlocks& to_space, bool same,
              WideWindow* window) {
  for (size_t d = 0; d < 2; ++d) {
    if ((same && window->kernel[d] > 1) || window->stride[d] != 1 || window->dilation[d] != 1) {
      return Unsupported(
          "behind SpaceToBatchND a convolution must have padding VALID and stride and dilation 1");
    }
  }
  for (size_t d = 0; d < 2; ++d) {
    if (to_batch.block[d] != to_space.block[d])
      return Unsupported("SpaceToBatchND and BatchToSpaceND have different blocks");
    window->dilation[d] = to_batch.block[d];
    const Padding add = to_batch.pixels[d], remove = to_space.pixels[d];
    if (remove.front > add.front || remove.behind > add.behind) {
      const bool front = remove.front > add.front;
      return Unsupported(StrCat("BatchToSpaceND removes ", front ? remove.front : remove.behind,
                                " pixels where ", front ? add.front : add.behind, " were added"));
    }
    window->padding[d] = {add.front - remove.front, add.behind - remove.behind};
  }
  return OkStatus();
}

}  // namespace octet
