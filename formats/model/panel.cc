// Packing and unpacking are one walk over the elements (ForEachElement) with the sides exchanged,
// on unsigned numbers of an element's size. PackGraph applies it to all weights that are still
// plain.
#include "formats/model/panel.h"

#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "formats/model/operators.h"

namespace octet {
namespace {

/// Calls visit(plain index, packed index) for every element.
template <typename Visit>
void ForEachElement(const Shape& shape, DType dtype, Layout layout, Visit visit) {
  const PanelShape p = MakePanelShape(shape, dtype, layout);
  const int group = GroupOf(dtype, layout);
  int64_t plain = 0;
  for (int64_t oc = 0; oc < shape[0]; ++oc) {
    for (int64_t tap = 0; tap < p.taps; ++tap) {
      for (int64_t d = 0; d < p.depth; ++d) visit(plain++, p.Index(oc, tap, d, group));
    }
  }
}

template <typename T>
void Pack(const std::byte* plain, const Shape& shape, DType dtype, Layout layout,
          std::byte* packed) {
  const T* in = reinterpret_cast<const T*>(plain);
  T* out = reinterpret_cast<T*>(packed);
  ForEachElement(shape, dtype, layout, [=](int64_t i, int64_t j) { out[j] = in[i]; });
}

template <typename T>
void Unpack(const std::byte* packed, const Shape& shape, DType dtype, Layout layout,
            std::byte* plain) {
  const T* in = reinterpret_cast<const T*>(packed);
  T* out = reinterpret_cast<T*>(plain);
  ForEachElement(shape, dtype, layout, [=](int64_t i, int64_t j) { out[i] = in[j]; });
}

}  // namespace

PanelShape MakePanelShape(const Shape& shape, DType dtype, Layout layout) {
  PanelShape p;
  p.panels = CeilDiv(shape[0], kPanelWidth);
  if (shape.rank() == 2) {
    p.taps = 1;
    p.depth = shape[1];
  } else if (layout == Layout::kPanelRow) {
    p.taps = shape[1];
    p.depth = shape[2] * shape[3];
  } else {
    p.taps = shape[1] * shape[2];
    p.depth = layout == Layout::kDepthwise ? 1 : shape[3];
  }
  p.padded_depth = RoundUp(p.depth, GroupOf(dtype, layout));
  return p;
}

int64_t ConstantBytes(const Shape& shape, DType dtype, Layout layout) {
  int64_t bytes = 0;
  const int64_t plain = shape.num_elements();
  if (plain < 0 || !CheckedMul(plain, static_cast<int64_t>(DTypeSize(dtype)), &bytes)) return -1;
  if (layout == Layout::kPlain) return bytes;
  // Rounding up multiplies by less than 16 * 4; below this bound nothing in PanelShape can
  // overflow.
  if (plain == 0 || bytes > (int64_t{1} << 54)) return -1;
  return MakePanelShape(shape, dtype, layout).elements() * static_cast<int64_t>(DTypeSize(dtype));
}

Layout ChooseLayout(const Node& node, const Shape& weight_shape) {
  if (weight_shape.rank() != 4) return Layout::kPanel;
  if (node.groups > 1) {
    const bool one_channel_each = weight_shape[3] == 1 && weight_shape[0] == node.groups;
    if (one_channel_each) return Layout::kDepthwise;
    const bool quarters = weight_shape[3] % 4 == 0 && weight_shape[0] / node.groups % 4 == 0;
    return quarters ? Layout::kPanel : Layout::kPlain;
  }
  const bool contiguous_row = node.window.dilation_w == 1 && node.window.dilation_h == 1;
  return weight_shape[3] < kGroup && contiguous_row ? Layout::kPanelRow : Layout::kPanel;
}

void PackWeights(const std::byte* plain, const Shape& shape, DType dtype, Layout layout,
                 std::byte* out) {
  const size_t bytes = static_cast<size_t>(ConstantBytes(shape, dtype, layout));
  if (layout == Layout::kPlain) {
    std::memcpy(out, plain, bytes);
    return;
  }
  std::memset(out, 0, bytes);
  switch (DTypeSize(dtype)) {
    case 1:
      return Pack<uint8_t>(plain, shape, dtype, layout, out);
    case 2:
      return Pack<uint16_t>(plain, shape, dtype, layout, out);
    default:
      return Pack<uint32_t>(plain, shape, dtype, layout, out);
  }
}

void UnpackWeights(const std::byte* packed, const Shape& shape, DType dtype, Layout layout,
                   std::byte* out) {
  if (layout == Layout::kPlain) {
    std::memcpy(out, packed, static_cast<size_t>(ConstantBytes(shape, dtype, layout)));
    return;
  }
  switch (DTypeSize(dtype)) {
    case 1:
      return Unpack<uint8_t>(packed, shape, dtype, layout, out);
    case 2:
      return Unpack<uint16_t>(packed, shape, dtype, layout, out);
    default:
      return Unpack<uint32_t>(packed, shape, dtype, layout, out);
  }
}

void PackGraph(Graph* graph) {
  // Two nodes may share weights and still want different layouts (by dilation or groups). The first
  // one's layout replaces the tensor; every other layout becomes a tensor of its own.
  const std::vector<Tensor> originals = graph->tensors;
  // By int instead of Layout: g++ lets libraries export templates of enumerations.
  std::map<std::pair<TensorId, int>, TensorId> packed;
  std::vector<bool> taken(originals.size(), false);
  for (Node& node : graph->nodes) {
    if (!TraitsOf(node.type).has_weights) continue;
    const TensorId id = node.input(kInputWeights);
    if (id == kNoTensor || originals[id].layout != Layout::kPlain) continue;
    const Layout layout = ChooseLayout(node, originals[id].shape);
    const auto [entry, is_new] = packed.try_emplace({id, static_cast<int>(layout)}, id);
    if (is_new) {
      Tensor target = originals[id];
      if (layout != Layout::kPlain) {
        std::byte* data = nullptr;
        const size_t bytes = static_cast<size_t>(ConstantBytes(target.shape, target.dtype, layout));
        target.owner = MakeAlignedBuffer(bytes, &data);
        target.data = {data, bytes};
        target.layout = layout;
        PackWeights(originals[id].data.data(), target.shape, target.dtype, layout, data);
      }
      if (taken[id]) {
        entry->second = static_cast<TensorId>(graph->tensors.size());
        graph->tensors.push_back(std::move(target));
      } else {
        taken[id] = true;
        graph->tensor(id) = std::move(target);
      }
    }
    node.set_input(kInputWeights, entry->second);
  }
}

}  // namespace octet
