// ONNX operators that move elements or see them in another shape.
#include <algorithm>
#include <utility>

#include "converter/import/onnx/importer.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {

/// The value with the source's dimensions `dims`, in which the batch must be found again.
Result<OnnxValue> OnnxImporter::Regrouped(const OnnxValue& x, Dims dims) const {
  OnnxValue y = x;
  y.batch = 0;
  if (batch_ != 1) {
    // The batch is the outermost loop over the elements: it is in the first dimension beyond 1.
    size_t at = 0;
    while (at < dims.size() && dims[at] == 1) ++at;
    if (Product(x.view.dims, 0, static_cast<size_t>(x.batch)) != 1 || at == dims.size() ||
        dims[at] % batch_ != 0) {
      return Unsupported(StrCat("it reshapes the batch, from ", DimsText(x.view.dims)));
    }
    dims[at] /= batch_;
    y.batch = static_cast<int>(at);
  }
  y.view.dims = std::move(dims);
  return y;
}

/// Reshape, Flatten, Squeeze and Unsqueeze.
Status OnnxImporter::Reshape(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  const std::string& op = node.op_type;
  const Dims from = SourceDims(*x);
  OnnxAttributes attributes(node);
  Dims dims;
  if (op == "Reshape") {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> target, Integers(node, 1, "shape"));
    const bool zero_copies = attributes.Int("allowzero", 0) == 0;
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
    Result<Dims> resolved = ResolveReshape(from, target, zero_copies);
    if (!resolved.ok() && batch_ != 1) {
      // Written for a batch of 1, though the input may have any.
      resolved = ResolveReshape(x->view.dims, target, zero_copies);
      if (resolved.ok() && x->batch == 0 && !resolved->empty() && (*resolved)[0] == 1)
        (*resolved)[0] = batch_;
    }
    OCTET_ASSIGN_OR_RETURN(dims, std::move(resolved));
  } else if (op == "Flatten") {
    const int64_t raw_axis = attributes.Int("axis", 1);
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
    const int64_t rank = static_cast<int64_t>(from.size());
    if (raw_axis < -rank || raw_axis > rank)
      return Corrupt(StrCat("axis ", raw_axis, " is outside ", rank, " dimensions"));
    const size_t axis = static_cast<size_t>(raw_axis < 0 ? raw_axis + rank : raw_axis);
    if (axis <= static_cast<size_t>(x->batch))
      OCTET_RETURN_IF_ERROR(NotBatch(*x, static_cast<size_t>(x->batch), "flattens"));
    dims = {Product(from, 0, axis), Product(from, axis, from.size())};
  } else {
    OCTET_ASSIGN_OR_RETURN(const Axes axes, ReadAxes(node, 1, 13));
    if (op == "Squeeze") {
      for (int64_t a : axes.value_or(std::vector<int64_t>())) {
        OCTET_ASSIGN_OR_RETURN(const size_t axis, NormalizeAxis(a, from.size()));
        OCTET_RETURN_IF_ERROR(NotBatch(*x, axis, "drops"));
      }
      OCTET_ASSIGN_OR_RETURN(dims, ResolveSqueeze(from, axes));
    } else {
      if (!axes) return Corrupt("it has no axes");
      OCTET_ASSIGN_OR_RETURN(dims, ResolveUnsqueeze(from, *axes));
    }
  }
  OCTET_ASSIGN_OR_RETURN(OnnxValue y, Regrouped(*x, std::move(dims)));
  Set(node.outputs[0], std::move(y));
  return OkStatus();
}

Status OnnxImporter::Transpose(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const std::vector<int> perm,
                         TransposePermutation(node, x->view.dims.size()));
  std::optional<View> moved = Transposed(x->view, builder_.ShapeOf(x->view), perm);
  if (!moved) {
    return Unsupported(StrCat("it transposes ", DimsText(x->view.dims), ", which is the tensor ",
                              builder_.ShapeOf(x->view).ToString(), " cut into other dimensions"));
  }
  const auto batch = std::find(perm.begin(), perm.end(), x->batch);
  Set(node, std::move(*moved), static_cast<int>(batch - perm.begin()), x->type);
  return OkStatus();
}

Status OnnxImporter::Pad(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  OnnxAttributes attributes(node);
  const std::string mode = attributes.String("mode", "constant");
  const size_t rank = x->view.dims.size();
  std::vector<int64_t> pads, axes;
  float value = IsCodes(*x) ? Meaning(*x, 0) : 0.0f;
  for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(i));
  if (opset_ < 11) {
    pads = attributes.Ints("pads");
    value = attributes.Float("value", 0.0f);
  } else {
    OCTET_ASSIGN_OR_RETURN(pads, Integers(node, 1, "pads"));
    if (HasInput(node, 2)) {
      OCTET_ASSIGN_OR_RETURN(value, Number(node, 2, *x, "value"));
    }
    if (HasInput(node, 3)) {
      OCTET_ASSIGN_OR_RETURN(axes, Integers(node, 3, "axes"));
    }
  }
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (pads.size() != 2 * axes.size())
    return Corrupt(StrCat(pads.size(), " pads for ", axes.size(), " axes"));
  if (std::all_of(pads.begin(), pads.end(), [](int64_t p) { return p == 0; })) {
    Set(node.outputs[0], *x);
    return OkStatus();
  }
  if (mode != "constant") return Unsupported(StrCat("mode '", mode, "'"));
  OCTET_ASSIGN_OR_RETURN(const View aligned, builder_.AsAligned(At(node), x->view));
  View y = aligned;
  const Shape shape = builder_.ShapeOf(y);
  std::array<int64_t, 4> begin{}, end{};
  for (size_t i = 0; i < axes.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(const size_t d, NormalizeAxis(axes[i], rank));
    const int64_t front = pads[i], behind = pads[i + axes.size()];
    if (front == 0 && behind == 0) continue;
    if (front < 0 || behind < 0) return Unsupported("its padding is negative");
    if (static_cast<int>(d) == x->batch) return Unsupported("it pads the batch");
    const size_t at = static_cast<size_t>(*AxisOf(aligned, shape, d));
    if (begin[at] != 0 || end[at] != 0) return Corrupt(StrCat("it pads axis ", d, " twice"));
    if (std::max(front, behind) > kMaxElements) return Corrupt("its padding is too large");
    begin[at] = front;
    end[at] = behind;
    y.dims[d] += front + behind;
  }
  OCTET_ASSIGN_OR_RETURN(y.id, builder_.Pad(At(node), y.id, begin, end, value));
  Set(node, std::move(y), x->batch);
  return OkStatus();
}

Status OnnxImporter::Slice(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  std::vector<int64_t> starts, ends, axes, steps;
  if (opset_ < 10) {
    OnnxAttributes attributes(node);
    starts = attributes.Ints("starts");
    ends = attributes.Ints("ends");
    axes = attributes.Ints("axes");
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  } else {
    OCTET_ASSIGN_OR_RETURN(starts, Integers(node, 1, "starts"));
    OCTET_ASSIGN_OR_RETURN(ends, Integers(node, 2, "ends"));
    if (HasInput(node, 3)) {
      OCTET_ASSIGN_OR_RETURN(axes, Integers(node, 3, "axes"));
    }
    if (HasInput(node, 4)) {
      OCTET_ASSIGN_OR_RETURN(steps, Integers(node, 4, "steps"));
    }
  }
  OCTET_ASSIGN_OR_RETURN(const auto ranges,
                         ResolveSlice(SourceDims(*x), starts, ends, axes, steps));
  OCTET_ASSIGN_OR_RETURN(OnnxValue y, Part(At(node), *x, ranges));
  Set(node.outputs[0], std::move(y));
  return OkStatus();
}

/// The part of `x` that `ranges`, one for each of the source's dimensions, say.
Result<OnnxValue> OnnxImporter::Part(const Label& label, const OnnxValue& x,
                                     const std::vector<GraphBuilder::Range>& ranges) {
  const Dims dims = SourceDims(x);
  bool whole = true;
  for (size_t d = 0; d < dims.size(); ++d) {
    if (ranges[d].count == dims[d] && ranges[d].step > 0) continue;
    OCTET_RETURN_IF_ERROR(NotBatch(x, d, "takes a part of"));
    whole = false;
  }
  if (whole) return x;
  OCTET_ASSIGN_OR_RETURN(const View aligned, builder_.AsAligned(label, x.view));
  View y = aligned;
  const Shape shape = builder_.ShapeOf(y);
  std::vector<GraphBuilder::Range> parts;
  for (int i = 0; i < shape.rank(); ++i) parts.push_back({0, 1, shape[i]});
  for (size_t d = 0; d < dims.size(); ++d) {
    if (batch_ != 1 && static_cast<int>(d) == x.batch) continue;
    parts[static_cast<size_t>(*AxisOf(aligned, shape, d))] = {ranges[d].begin, ranges[d].step,
                                                              ranges[d].count};
    y.dims[d] = ranges[d].count;
  }
  OCTET_ASSIGN_OR_RETURN(y.id, builder_.Slice(label, y.id, parts));
  return OnnxValue{nullptr, std::move(y), x.batch, x.type};
}

Status OnnxImporter::Split(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  OnnxAttributes attributes(node);
  const int64_t raw_axis = attributes.Int("axis", 0);
  std::vector<int64_t> sizes = attributes.Ints("split");
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  const Dims dims = SourceDims(*x);
  OCTET_ASSIGN_OR_RETURN(const size_t axis, NormalizeAxis(raw_axis, dims.size()));
  if (opset_ >= 13 && HasInput(node, 1)) {
    OCTET_ASSIGN_OR_RETURN(sizes, Integers(node, 1, "split"));
  }
  const int64_t parts = static_cast<int64_t>(node.outputs.size());
  int64_t rest = dims[axis];
  if (const int64_t n = attributes.Int("num_outputs", parts); n != parts || n < 1)
    return Corrupt(StrCat("num_outputs is ", n, ", it has ", parts));
  if (sizes.empty()) {  // Equal parts, and since opset 18 a smaller last one.
    if (opset_ < 18 && rest % parts != 0)
      return Corrupt(StrCat("an axis of ", rest, " in ", parts, " equal parts"));
    const int64_t part = CeilDiv(rest, parts);
    for (int64_t i = 0; i < parts; ++i) {
      sizes.push_back(std::min(part, rest));
      rest -= sizes.back();
    }
    rest = dims[axis];
  }
  if (static_cast<int64_t>(sizes.size()) != parts)
    return Corrupt(StrCat(sizes.size(), " parts for ", parts, " outputs"));
  std::vector<GraphBuilder::Range> ranges;
  for (int64_t d : dims) ranges.push_back({0, 1, d});
  ranges[axis].count = 0;
  const OnnxValue whole = *x;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 1 || sizes[i] > rest)
      return Corrupt(StrCat("its parts ", DimsText(sizes), " do not fit an axis of ", dims[axis]));
    rest -= sizes[i];
    ranges[axis] = {ranges[axis].begin + ranges[axis].count, 1, sizes[i]};
    if (needed_.count(node.outputs[i]) == 0) continue;
    OCTET_ASSIGN_OR_RETURN(
        OnnxValue y,
        Part({node.name.empty() ? node.outputs[i] : node.name, node.outputs[i]}, whole, ranges));
    Set(node.outputs[i], std::move(y));
  }
  if (rest != 0)
    return Corrupt(StrCat("its parts ", DimsText(sizes), " do not fill an axis of ", dims[axis]));
  return OkStatus();
}

Status OnnxImporter::Concat(const OnnxNode& node) {
  OnnxAttributes attributes(node);
  const int64_t raw_axis = attributes.Int("axis", 1);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* first, Activation(node, 0));
  if (node.inputs.size() == 1) return PassThrough(node);
  const Dims& dims = first->view.dims;
  OCTET_ASSIGN_OR_RETURN(const size_t axis, NormalizeAxis(raw_axis, dims.size()));
  if (static_cast<int>(axis) == first->batch) return Unsupported("it concatenates along the batch");
  std::vector<View> views;
  int64_t total = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, i));
    const Dims& other = x->view.dims;
    bool fits = other.size() == dims.size();
    for (size_t d = 0; fits && d < dims.size(); ++d) fits = d == axis || other[d] == dims[d];
    if (!fits)
      return Corrupt(
          StrCat("its inputs ", DimsText(dims), " and ", DimsText(other), " do not fit"));
    if (batch_ != 1 && x->batch != first->batch)
      return Unsupported("its inputs have the batch, which is dynamic, in different dimensions");
    if (x->type != first->type || !(builder_.TypeOf(x->view.id) == builder_.TypeOf(first->view.id)))
      return Unsupported("it joins codes of different quantizations");
    total += other[axis];
    views.push_back(x->view);
  }
  const int batch = first->batch;
  const ElementType type = first->type;
  OCTET_ASSIGN_OR_RETURN(views, builder_.AsAlike(At(node), std::move(views)));
  View y = views[0];
  const ValueType quantized = builder_.TypeOf(y.id);
  const int along = *AxisOf(y, builder_.ShapeOf(y), axis);
  std::vector<TensorId> inputs;
  for (const View& v : views) inputs.push_back(v.id);
  OCTET_ASSIGN_OR_RETURN(y.id, builder_.Emit(OpType::kConcat, At(node), std::move(inputs),
                                             quantized, [&](Node* n) { n->axis = along; }));
  y.dims[axis] = total;
  Set(node, std::move(y), batch, type);
  return OkStatus();
}

/// Resize and Upsample to the size that is there.
Status OnnxImporter::Resize(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  OnnxAttributes attributes(node);
  const std::string mode = attributes.String("coordinate_transformation_mode", "half_pixel");
  std::vector<int64_t> axes = attributes.Ints("axes");
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  // These two move by half a pixel, or cut a part out, at any size.
  if (mode == "tf_half_pixel_for_nn" || mode == "tf_crop_and_resize")
    return Unsupported(StrCat("its coordinate_transformation_mode is '", mode, "'"));
  const Dims dims = SourceDims(*x);
  std::vector<float> scales;
  std::vector<int64_t> sizes;
  const size_t at = node.op_type == "Resize" && opset_ >= 11 ? 2 : 1;
  if (const OnnxAttribute* a = attributes.Find("scales")) {
    scales = a->floats;
  } else if (HasInput(node, at)) {
    OCTET_ASSIGN_OR_RETURN(const Constant* c, Floats(node, at, "scales"));
    scales = c->floats;
  }
  if (at == 2 && HasInput(node, 3)) {
    OCTET_ASSIGN_OR_RETURN(sizes, Integers(node, 3, "sizes"));
  }
  const size_t rank = axes.empty() ? dims.size() : axes.size();
  if (std::max(scales.size(), sizes.size()) != rank || std::min(scales.size(), sizes.size()) != 0)
    return Corrupt(StrCat("it has ", scales.size(), " scales and ", sizes.size(), " sizes for ",
                          DimsText(x->view.dims)));
  for (size_t i = 0; i < rank; ++i) {
    OCTET_ASSIGN_OR_RETURN(
        const size_t axis,
        NormalizeAxis(axes.empty() ? static_cast<int64_t>(i) : axes[i], dims.size()));
    if (sizes.empty() ? scales[i] != 1.0f : sizes[i] != dims[axis])
      return Unsupported("it changes the size; give the network images of its size");
  }
  Set(node.outputs[0], *x);
  return OkStatus();
}

}  // namespace octet
