// ONNX operators with a window: convolutions, pools, means and maxima of pixels.
#include <algorithm>
#include <utility>

#include "converter/import/onnx/importer.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {

/// Reads kernel_shape, strides, dilations, pads, auto_pad and ceil_mode for an image [1,h,w,c].
/// `kernel` is known for convolutions. `*partial` says whether ceil_mode adds windows that end
/// behind the padding.
Result<WideWindow> OnnxImporter::ReadWindow(const OnnxNode& node, const Shape& image,
                                            const Dims* kernel, bool* partial) const {
  OnnxAttributes attributes(node);
  const Dims shape = attributes.Ints("kernel_shape", kernel ? *kernel : Dims());
  const Dims strides = attributes.Ints("strides", {1, 1});
  const Dims dilations = attributes.Ints("dilations", {1, 1});
  const Dims pads = attributes.Ints("pads", {0, 0, 0, 0});
  const std::string auto_pad = attributes.String("auto_pad", "NOTSET");
  const bool ceil_mode = attributes.Int("ceil_mode", 0) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (shape.size() != 2 || strides.size() != 2 || dilations.size() != 2 || pads.size() != 4) {
    return Corrupt(
        "kernel_shape, strides, dilations and pads are not those of a two-dimensional window");
  }
  if (kernel && shape != *kernel) {
    return Corrupt(StrCat("kernel_shape ", DimsText(shape), " differs from the weights' ",
                          (*kernel)[0], "x", (*kernel)[1]));
  }
  WideWindow window;
  *partial = false;
  for (size_t d = 0; d < 2; ++d) {
    const int64_t in = image[static_cast<int>(d) + 1];
    const int64_t k = shape[d], s = strides[d], dilation = dilations[d];
    for (int64_t v : {k, s, dilation}) {
      if (v < 1 || v > kMaxWindow)
        return Corrupt(StrCat("kernel_shape, strides and dilations: found ", v, ", expected 1 to ",
                              kMaxWindow));
    }
    Padding p;
    if (auto_pad == "NOTSET") {
      p = {pads[d], pads[d + 2]};
      if (p.front < 0 || p.behind < 0) return Unsupported("its padding is negative");
      if (std::max(p.front, p.behind) > (1 << 20))
        return Corrupt(StrCat("its padding is ", std::max(p.front, p.behind)));
    } else if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
      p = SamePadding(in, k, s, dilation, auto_pad == "SAME_LOWER", /*may_crop=*/true);
      // Engines differ in where such a pool begins, where they take it at all.
      if (!kernel && p.front + p.behind < 0) {
        return Unsupported(StrCat("auto_pad ", auto_pad, " with a stride of ", s,
                                  " beyond its window of ", k, "; write pads"));
      }
    } else if (auto_pad != "VALID") {
      return Corrupt(StrCat("auto_pad is '", auto_pad, "'"));
    }
    const int64_t padded = in + p.front + p.behind, span = dilation * (k - 1) + 1;
    if (ceil_mode && padded >= span) {
      int64_t last = CeilDiv(padded - span, s) * s;  // Where the last window begins.
      if (last >= in + p.front) last -= s;           // Not behind the image.
      const int64_t extra = std::max<int64_t>(0, last + span - padded);
      *partial = *partial || extra > 0;
      p.behind += extra;
    }
    window.kernel[d] = k;
    window.stride[d] = s;
    window.dilation[d] = dilation;
    window.padding[d] = p;
  }
  return window;
}

Status OnnxImporter::Conv(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const TensorId x, Image(node));
  OCTET_ASSIGN_OR_RETURN(const Constant* weights, Floats(node, 1, "weights"));
  const Dims& d = weights->dims;
  if (d.size() != 4)
    return Unsupported(StrCat("its weights have shape ", DimsText(d), ", expected 4 dimensions"));
  OnnxAttributes attributes(node);
  const int64_t groups = attributes.Int("group", 1);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  const Dims kernel{d[2], d[3]};
  bool partial;
  OCTET_ASSIGN_OR_RETURN(const WideWindow window,
                         ReadWindow(node, builder_.ShapeOf(x), &kernel, &partial));
  LayerWeights layer{Shape{d[0], d[2], d[3], d[1]},
                     Permuted<float>(weights->floats, d, {0, 2, 3, 1}),
                     {},
                     node.inputs[1],
                     {},
                     StepsOf(*weights, 0)};
  if (HasInput(node, 2)) {
    OCTET_ASSIGN_OR_RETURN(const Constant* bias, Floats(node, 2, "bias"));
    if (bias->dims != Dims{d[0]})
      return Corrupt(
          StrCat("its bias has shape ", DimsText(bias->dims), ", expected [", d[0], "]"));
    layer.bias = bias->floats;
    layer.bias_name = node.inputs[2];
  }
  OCTET_ASSIGN_OR_RETURN(const TensorId y, builder_.Conv(At(node), x, layer, window, groups));
  Set(node, builder_.ChannelsFirst(y), 0);
  return OkStatus();
}

Status OnnxImporter::Pool(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const TensorId x, Image(node));
  OnnxAttributes attributes(node);
  const bool average = node.op_type == "AveragePool";
  const bool include = attributes.Int("count_include_pad", 0) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  bool partial;
  OCTET_ASSIGN_OR_RETURN(const WideWindow window,
                         ReadWindow(node, builder_.ShapeOf(x), nullptr, &partial));
  if (average && include && partial)
    return Unsupported("ceil_mode adds a partial window while count_include_pad is set");
  OCTET_ASSIGN_OR_RETURN(
      const TensorId y,
      builder_.Pool(At(node), x, average ? OpType::kAveragePool : OpType::kMaxPool, window,
                    include));
  Set(node, builder_.ChannelsFirst(y), 0);
  return OkStatus();
}

Status OnnxImporter::GlobalPool(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const TensorId x, Image(node));
  OCTET_ASSIGN_OR_RETURN(const TensorId y,
                         builder_.GlobalPool(At(node), x, node.op_type == "GlobalAveragePool"));
  Set(node, builder_.ChannelsFirst(y), 0);
  return OkStatus();
}

/// ReduceMean and ReduceMax of pixels.
Status OnnxImporter::Reduce(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const Axes listed, ReadAxes(node, 1, 18));
  OnnxAttributes attributes(node);
  const bool keep = attributes.Int("keepdims", 1) != 0;
  const bool no_axes_is_identity = attributes.Int("noop_with_empty_axes", 0) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  View view = x->view;
  const Shape shape = builder_.ShapeOf(view);
  const size_t rank = view.dims.size();
  const bool none = !listed || listed->empty();
  std::vector<bool> reduced(rank, none && !no_axes_is_identity);
  for (size_t i = 0; !none && i < listed->size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(const size_t axis, NormalizeAxis((*listed)[i], rank));
    reduced[axis] = true;
  }
  // Of height and width: those that are reduced, and whether the others have one pixel.
  const auto groups = AxesOf(view, shape);
  bool over[2] = {false, false}, any = false, fits = groups.has_value() && shape.rank() == 4;
  Dims dims;
  int batch = 0;
  for (size_t d = 0; d < rank; ++d) {
    if (static_cast<int>(d) == x->batch) batch = static_cast<int>(dims.size());
    if (!reduced[d] || keep) dims.push_back(reduced[d] ? 1 : view.dims[d]);
    if (!reduced[d]) continue;
    OCTET_RETURN_IF_ERROR(NotBatch(*x, d, "reduces"));
    any = any || view.dims[d] > 1;
    for (size_t i = 0; fits && i < (*groups)[d].size(); ++i) {
      const int axis = (*groups)[d][i];
      if (shape[axis] == 1) continue;
      fits = axis != 3;
      if (fits) over[axis - 1] = true;
    }
  }
  view.dims = dims;
  if (!any) {  // Of one element each.
    Set(node, view, batch);
    return OkStatus();
  }
  if (!fits) {
    return Unsupported(
        StrCat("it reduces other axes than height and width of ", DimsText(x->view.dims)));
  }
  const bool all = (over[0] || shape[1] == 1) && (over[1] || shape[2] == 1);
  const bool mean = node.op_type == "ReduceMean";
  if (all && mean) {
    OCTET_ASSIGN_OR_RETURN(view.id, builder_.GlobalPool(At(node), view.id, true));
  } else {
    WideWindow window;
    if (over[0]) window.kernel[0] = shape[1];
    if (over[1]) window.kernel[1] = shape[2];
    OCTET_ASSIGN_OR_RETURN(
        view.id,
        builder_.Pool(At(node), view.id, mean ? OpType::kAveragePool : OpType::kMaxPool, window));
  }
  Set(node, view, batch);
  return OkStatus();
}

}  // namespace octet
