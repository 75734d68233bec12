// The portable weight layout: panels of 16 output channels, so that one 64-byte line is one AVX-512
// register, two AVX2 registers or four NEON registers, and every instruction set reads the file in
// place.
#ifndef OCTET_FORMATS_MODEL_PANEL_H_
#define OCTET_FORMATS_MODEL_PANEL_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/base/dtype.h"
#include "formats/base/shape.h"
#include "formats/model/graph.h"

namespace octet {

inline constexpr int kPanelWidth = 16;  ///< Output channels in a panel.
inline constexpr int kGroup = 4;  ///< int8: consecutive reduction elements that stand together.

/// Consecutive reduction elements that stand together in a line of the type's panels: 4 bytes of
/// int8 and bfloat16, otherwise one element.
inline constexpr int GroupOf(DType dtype, Layout layout) {
  if (layout == Layout::kDepthwise) return 1;
  return dtype == DType::kI8 ? kGroup : dtype == DType::kBF16 ? kGroup / 2 : 1;
}

/// Geometry of packed weights. kPanel: `taps` = kernel_h*kernel_w, `depth` = in/groups. kPanelRow:
/// `taps` = kernel_h, `depth` = kernel_w*in. Element (oc, tap, d) lies at
///   float, half: [oc/16][tap][d][oc%16]             int8: [oc/16][tap][d/4][oc%16][d%4], depth
///   rounded up to 4; bfloat16: [oc/16][tap][d/2][oc%16][d%2], depth rounded up to 2.
/// kDepthwise: element (c, tap) at [c/16][tap][c%16] for every type. Missing elements are zero.
struct PanelShape {
  int64_t panels = 0;  ///< ceil(out / 16)
  int64_t taps = 0;
  int64_t depth = 0;         ///< Real reduction elements per tap.
  int64_t padded_depth = 0;  ///< As stored: rounded up to a multiple of GroupOf.
  int64_t panel_elements() const { return taps * padded_depth * kPanelWidth; }
  int64_t elements() const { return panels * panel_elements(); }

  /// Index of an element in units of the data type; `group` as GroupOf says.
  int64_t Index(int64_t oc, int64_t tap, int64_t d, int group) const {
    const int64_t base = oc / kPanelWidth * panel_elements() + tap * padded_depth * kPanelWidth;
    return base + (d / group * kPanelWidth + oc % kPanelWidth) * group + d % group;
  }
};

/// Geometry for weights of logical `shape` ([out, kh, kw, in/groups], or [out, in]); valid shapes
/// only.
PanelShape MakePanelShape(const Shape& shape, DType dtype, Layout layout);

/// Bytes of a constant in its layout; -1 on overflow.
int64_t ConstantBytes(const Shape& shape, DType dtype, Layout layout);

/// The layout the converter gives to a node's weights: kDepthwise for one channel a group, kPlain
/// for other groups whose inputs or outputs are not multiples of 4, kPanelRow when fewer than 4
/// input channels would waste the groups of 4 (dilation 1 only), kPanel otherwise.
Layout ChooseLayout(const Node& node, const Shape& weight_shape);

/// Packs row-major weights of any type into `out` (ConstantBytes long, zeroed here).
void PackWeights(const std::byte* plain, const Shape& shape, DType dtype, Layout layout,
                 std::byte* out);

/// The inverse, for inspection and tests.
void UnpackWeights(const std::byte* packed, const Shape& shape, DType dtype, Layout layout,
                   std::byte* out);

/// Packs the weights of every Conv2d and Dense node that are still kPlain into the layout
/// ChooseLayout names.
void PackGraph(Graph* graph);

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_PANEL_H_
