// TFLite's operators that move values, and the shapes that a model computes from its input's.
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "converter/import/tflite/importer.h"

namespace octet {
namespace {

// Codes in the public schema.
constexpr int kPadV2 = 60, kSplit = 49;
constexpr char kPartOfBatch[] = "it takes a part of the batch";

}  // namespace

// ---- Dimensions: only the view changes ----

Status TfliteImporter::Reshape() {
  std::vector<int64_t> target;
  if (HasInput(1)) {
    OCTET_ASSIGN_OR_RETURN(target, InputIntegers(1));
  } else {
    OCTET_ASSIGN_OR_RETURN(const auto* options,
                           Options(op_->table->builtin_options_as_ReshapeOptions()));
    if (options->new_shape() != nullptr)
      target.assign(options->new_shape()->begin(), options->new_shape()->end());
  }
  if (target.empty() || target.size() > kMaxRank) {
    return Unsupported(StrCat("a shape of rank ", target.size(), ", expected 1 to ", kMaxRank,
                              " with the batch first"));
  }
  return Move([&](const Label&, View x) -> Result<View> {
    Dims from = x.dims;
    from[0] *= batch_;
    OCTET_ASSIGN_OR_RETURN(x.dims, ResolveReshape(from, target, false));
    if (x.dims[0] % batch_ != 0)
      return Unsupported(
          StrCat("a shape that begins with ", x.dims[0], ", expected the batch, ", batch_));
    x.dims[0] /= batch_;
    return x;
  });
}

Status TfliteImporter::Squeeze() {
  const auto* options = op_->table->builtin_options_as_SqueezeOptions();
  return Move([&](const Label&, View x) -> Result<View> {
    std::vector<int64_t> axes;
    if (options != nullptr && options->squeeze_dims() != nullptr)
      axes.assign(options->squeeze_dims()->begin(), options->squeeze_dims()->end());
    for (int64_t a : axes) OCTET_RETURN_IF_ERROR(Status(Axis(a, x.dims.size()).status()));
    if (axes.empty()) {
      if (batch_ == 1 && !open_batch_)
        return Unsupported("without squeeze_dims it removes the batch as well");
      for (size_t d = 1; d < x.dims.size(); ++d) {
        if (x.dims[d] == 1) axes.push_back(static_cast<int64_t>(d));
      }
    }
    OCTET_ASSIGN_OR_RETURN(x.dims, ResolveSqueeze(x.dims, axes));
    return x;
  });
}

Status TfliteImporter::ExpandDims() {
  OCTET_ASSIGN_OR_RETURN(const int64_t axis, InputInteger(1));
  return Move([&](const Label&, View x) -> Result<View> {
    OCTET_ASSIGN_OR_RETURN(const size_t d, Axis(axis, x.dims.size() + 1));
    if (x.dims.size() >= kMaxRank)
      return Unsupported(StrCat("its result has more than ", kMaxRank, " dimensions"));
    x.dims.insert(x.dims.begin() + static_cast<std::ptrdiff_t>(d), 1);
    return x;
  });
}

Status TfliteImporter::Transpose() {
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> order, InputIntegers(1));
  OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
  if (codes_.count(constant_[static_cast<size_t>(in)]) > 0) return TransposeCodes(in, order);
  return Move([&](const Label&, const View& x) -> Result<View> {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int> perm, Permutation(order, x.dims.size()));
    if (perm[0] != 0) return Unsupported("it moves the batch");
    const std::optional<View> moved = Transposed(x, builder_.ShapeOf(x), perm);
    if (moved) return *moved;
    return Unsupported(
        StrCat("it cuts through the dimensions of the tensor ", builder_.ShapeOf(x).ToString()));
  });
}

/// Weights that are rounded in the source's order and read in another.
Status TfliteImporter::TransposeCodes(int in, const std::vector<int64_t>& order) {
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  const TfliteTensor& from = ConstantOf(in);
  const Dims dims(from.shape.begin(), from.shape.end());
  OCTET_ASSIGN_OR_RETURN(const std::vector<int> perm, Permutation(order, dims.size()));
  if (IsConstant(out) || views_[static_cast<size_t>(out)].id != kNoTensor)
    return Corrupt(StrCat("'", tensor(out).name, "' is computed twice"));
  OCTET_RETURN_IF_ERROR(builder_.Charge(static_cast<int64_t>(from.data.size())));
  TfliteTensor to = from;
  codes_[out] = Permuted<std::byte>(from.data, dims, perm);
  to.name = tensor(out).name;
  to.data = codes_[out];
  for (size_t d = 0; d < perm.size(); ++d) {
    to.shape[d] = from.shape[static_cast<size_t>(perm[d])];
    if (perm[d] == from.quantized_dimension) to.quantized_dimension = static_cast<int>(d);
  }
  if (!tensor(out).shape.empty() && tensor(out).shape != to.shape)
    return Corrupt(StrCat("'", to.name, "' has another shape than what it is made of"));
  file_.tensors[static_cast<size_t>(out)] = std::move(to);
  constant_[static_cast<size_t>(out)] = out;
  return OkStatus();
}

// ---- Parts ----

std::vector<TfliteImporter::Range> TfliteImporter::Whole(const View& x) const {
  std::vector<Range> ranges;
  for (int64_t d : x.dims) ranges.push_back({0, 1, d});
  return ranges;
}

Result<View> TfliteImporter::Part(const Label& label, const View& x,
                                  const std::vector<Range>& ranges,
                                  const std::vector<bool>& dropped) {
  bool whole = true;
  for (size_t d = 0; d < ranges.size(); ++d)
    whole = whole && ranges[d].step > 0 && ranges[d].count == x.dims[d];
  View y = x;
  if (!whole) {
    OCTET_ASSIGN_OR_RETURN(y, builder_.AsAligned(label, x));
    const Shape shape = builder_.ShapeOf(y);
    std::vector<Range> axes;
    for (int axis = 0; axis < shape.rank(); ++axis) axes.push_back({0, 1, shape[axis]});
    for (size_t d = 0; d < ranges.size(); ++d)
      axes[static_cast<size_t>(*AxisOf(y, shape, d))] = ranges[d];
    OCTET_ASSIGN_OR_RETURN(y.id, builder_.Slice(label, y.id, axes));
  }
  y.dims.clear();
  for (size_t d = 0; d < ranges.size(); ++d) {
    if (dropped.empty() || !dropped[d]) y.dims.push_back(ranges[d].count);
  }
  return y;
}

Status TfliteImporter::Slice() {
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> begin, InputIntegers(1));
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> size, InputIntegers(2));
  return Move([&](const Label& label, const View& x) -> Result<View> {
    if (begin.size() != x.dims.size() || size.size() != begin.size())
      return Corrupt("begin and size do not fit the rank");
    std::vector<Range> ranges = Whole(x);
    for (size_t d = 0; d < begin.size(); ++d) {
      const int64_t limit = d == 0 ? x.dims[0] * batch_ : x.dims[d];
      if (begin[d] < 0 || begin[d] >= limit || size[d] < -1 || size[d] == 0 ||
          size[d] > limit - begin[d]) {
        return Corrupt(StrCat("range of ", size[d], " from ", begin[d], " in dimension ", d, " of ",
                              DimsText(x.dims)));
      }
      const int64_t count = size[d] < 0 ? limit - begin[d] : size[d];
      // Of an open batch nobody knows what a number takes.
      if (d == 0 && (count != limit || (open_batch_ && size[d] >= 0)))
        return Unsupported(kPartOfBatch);
      if (d > 0) ranges[d] = {begin[d], 1, count};
    }
    return Part(label, x, ranges);
  });
}

Status TfliteImporter::StridedSlice() {
  OCTET_ASSIGN_OR_RETURN(const auto* options,
                         Options(op_->table->builtin_options_as_StridedSliceOptions()));
  OCTET_ASSIGN_OR_RETURN(const int in, Input(0));
  OCTET_ASSIGN_OR_RETURN(std::vector<int64_t> begin, InputIntegers(1));
  OCTET_ASSIGN_OR_RETURN(std::vector<int64_t> end, InputIntegers(2));
  OCTET_ASSIGN_OR_RETURN(std::vector<int64_t> step, InputIntegers(3));
  const std::pair<const char*, int> refused[] = {{"ellipsis_mask", options->ellipsis_mask()},
                                                 {"new_axis_mask", options->new_axis_mask()},
                                                 {"offset", options->offset()}};
  for (const auto& [name, value] : refused) {
    if (value != 0) return Unsupported(StrCat("its option ", name, " is ", value, ", expected 0"));
  }
  const bool folds = folded_[static_cast<size_t>(in)].has_value();
  Dims dims;
  if (folds) {
    dims = folded_[static_cast<size_t>(in)]->dims;
  } else {
    OCTET_ASSIGN_OR_RETURN(const View x, ViewOf(in));
    dims = x.dims;
    dims[0] *= batch_;
  }
  if (begin.size() > dims.size() || begin.size() != end.size() || begin.size() != step.size()) {
    return Corrupt(StrCat("begin, end and strides of ", begin.size(), ", ", end.size(), " and ",
                          step.size(), " elements for rank ", dims.size()));
  }
  std::vector<Range> ranges;
  std::vector<bool> dropped(dims.size(), false);
  for (size_t d = 0; d < dims.size(); ++d) {
    ranges.push_back({0, 1, dims[d]});
    if (d >= begin.size()) continue;
    Range& r = ranges[d];
    const auto set = [&](int mask) { return (static_cast<unsigned>(mask) >> d & 1) != 0; };
    if (step[d] == 0 || std::abs(step[d]) > (1 << 20))
      return Unsupported(StrCat("stride ", step[d]));
    const auto bound = [&](int mask, int64_t v) {
      return set(mask) ? std::nullopt : std::optional(v);
    };
    r = SliceRange(dims[d], bound(options->begin_mask(), begin[d]),
                   bound(options->end_mask(), end[d]), step[d]);
    if (set(options->shrink_axis_mask())) {
      r = {begin[d] < 0 ? begin[d] + dims[d] : begin[d], 1, 1};
      dropped[d] = true;
    }
    if (r.count < 1 || r.begin < 0 || r.begin >= dims[d])
      return Corrupt(StrCat("an empty range in dimension ", d, " of ", DimsText(dims)));
    const bool whole =
        r.count == dims[d] && r.step == 1 && (!open_batch_ || set(options->end_mask()));
    if (d == 0 && !folds && (!whole || dropped[0])) return Unsupported(kPartOfBatch);
  }
  if (folds) {
    OCTET_ASSIGN_OR_RETURN(Constant part, folder_.Slice(*folded_[static_cast<size_t>(in)], ranges));
    part.dims.clear();
    for (size_t d = 0; d < dims.size(); ++d) {
      if (!dropped[d]) part.dims.push_back(ranges[d].count);
    }
    return Fold(std::move(part));
  }
  ranges[0].count /= batch_;
  return Move([&](const Label& label, const View& x) { return Part(label, x, ranges, dropped); });
}

Status TfliteImporter::Split() {
  const bool even = op_->code == kSplit;
  OCTET_ASSIGN_OR_RETURN(const View x, InputView(even ? 1 : 0));
  OCTET_ASSIGN_OR_RETURN(const int64_t axis, InputInteger(even ? 0 : 2));
  OCTET_ASSIGN_OR_RETURN(const size_t d, Axis(axis, x.dims.size()));
  const int64_t n = static_cast<int64_t>(op_->outputs.size());
  const auto* split = op_->table->builtin_options_as_SplitOptions();
  const auto* split_v = op_->table->builtin_options_as_SplitVOptions();
  const int64_t said = split != nullptr     ? split->num_splits()
                       : split_v != nullptr ? split_v->num_splits()
                                            : n;
  if (said != n || n < 1)
    return Corrupt(StrCat("its option num_splits is ", said, ", and it has ", n, " outputs"));
  std::vector<int64_t> sizes(static_cast<size_t>(n), x.dims[d] / n);
  if (!even) {
    OCTET_ASSIGN_OR_RETURN(sizes, InputIntegers(1));
  }
  int64_t sum = 0;
  for (int64_t& size : sizes) {
    if (size < -1 || size > x.dims[d])
      return Corrupt(StrCat("a part of ", size, " of ", x.dims[d]));
    sum += size;
  }
  const auto rest = std::find(sizes.begin(), sizes.end(), -1);
  if (rest != sizes.end()) {
    *rest = x.dims[d] - sum - 1;
    sum = x.dims[d];
  }
  if (static_cast<int64_t>(sizes.size()) != n || sum != x.dims[d] ||
      *std::min_element(sizes.begin(), sizes.end()) < 1) {
    return Corrupt(StrCat(sizes.size(), " parts of ", sum, " elements in all, expected ", n, " of ",
                          x.dims[d]));
  }
  std::vector<Range> ranges = Whole(x);
  ranges[d].count = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    ranges[d] = {ranges[d].begin + ranges[d].count, 1, sizes[i]};
    const int out = op_->outputs[i];
    if (!needed_[static_cast<size_t>(out)]) continue;
    OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
    if (!(type == TypeOf(x))) return Unsupported("input and output of different quantization");
    OCTET_ASSIGN_OR_RETURN(View y, Part(NameOf(out), x, ranges));
    OCTET_RETURN_IF_ERROR(Finish(out, std::move(y)));
  }
  return OkStatus();
}

Status TfliteImporter::Unpack() {
  OCTET_ASSIGN_OR_RETURN(const auto* options,
                         Options(op_->table->builtin_options_as_UnpackOptions()));
  OCTET_ASSIGN_OR_RETURN(const View x, InputView(0));
  OCTET_ASSIGN_OR_RETURN(const size_t d, Axis(options->axis(), x.dims.size()));
  const int64_t n = static_cast<int64_t>(op_->outputs.size());
  if (options->num() != n || x.dims[d] != n) {
    return Corrupt(StrCat("its option num is ", options->num(), ", and it has ", n, " outputs for ",
                          x.dims[d]));
  }
  std::vector<Range> ranges = Whole(x);
  std::vector<bool> dropped(x.dims.size(), false);
  dropped[d] = true;
  for (size_t i = 0; i < op_->outputs.size(); ++i) {
    const int out = op_->outputs[i];
    if (!needed_[static_cast<size_t>(out)]) continue;
    OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
    if (!(type == TypeOf(x))) return Unsupported("input and output of different quantization");
    ranges[d] = {static_cast<int64_t>(i), 1, 1};
    OCTET_ASSIGN_OR_RETURN(View y, Part(NameOf(out), x, ranges, dropped));
    OCTET_RETURN_IF_ERROR(Finish(out, std::move(y)));
  }
  return OkStatus();
}

Status TfliteImporter::Gather() {
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> at, InputIntegers(1));
  const auto* options = op_->table->builtin_options_as_GatherOptions();
  const int axis = options == nullptr ? 0 : options->axis();
  if (options != nullptr && options->batch_dims() != 0) {
    return Unsupported(StrCat("its option batch_dims is ", options->batch_dims(), ", expected 0"));
  }
  if (AllFolded()) {
    OCTET_ASSIGN_OR_RETURN(const Constant from, Known(op_->inputs[0]));
    OCTET_ASSIGN_OR_RETURN(const Constant indices, Known(op_->inputs[1]));
    return Fold(folder_.Gather(from, indices, axis, false));
  }
  return Move([&](const Label& label, const View& x) -> Result<View> {
    OCTET_ASSIGN_OR_RETURN(const size_t d, Axis(axis, x.dims.size()));
    const std::vector<int32_t>& shape = ConstantOf(op_->inputs[1]).shape;
    if (at.empty() || shape.size() > 1)
      return Unsupported(StrCat("indices of rank ", shape.size(), ", expected a list or a number"));
    std::vector<Range> ranges = Whole(x);
    ranges[d] = {at[0], at.size() > 1 ? at[1] - at[0] : 1, static_cast<int64_t>(at.size())};
    for (size_t i = 0; i < at.size(); ++i) {
      if (at[i] < 0 || at[i] >= x.dims[d])
        return Corrupt(StrCat("index ", at[i], ", expected less than ", x.dims[d]));
      if (at[i] != at[0] + static_cast<int64_t>(i) * ranges[d].step || ranges[d].step == 0) {
        return Unsupported("its indices are not in even steps");
      }
    }
    std::vector<bool> dropped(x.dims.size(), false);
    dropped[d] = shape.empty();
    return Part(label, x, ranges, dropped);
  });
}

Status TfliteImporter::Reverse() {
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, InputIntegers(1));
  return Move([&](const Label& label, const View& x) -> Result<View> {
    std::vector<Range> ranges = Whole(x);
    for (int64_t a : axes) {
      OCTET_ASSIGN_OR_RETURN(const size_t d, Axis(a, x.dims.size()));
      ranges[d] = {x.dims[d] - 1, -1, x.dims[d]};
    }
    return Part(label, x, ranges);
  });
}

// ---- Larger tensors ----

Status TfliteImporter::Pad() {
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> amounts, InputIntegers(1));
  float value = 0.0f;
  if (op_->code == kPadV2) {
    OCTET_ASSIGN_OR_RETURN(const int index, Input(2));
    OCTET_ASSIGN_OR_RETURN(const std::vector<float> values, Floats(index));
    if (values.size() != 1) return Corrupt(StrCat(values.size(), " fill values, expected 1"));
    value = values[0];
  }
  return Move([&](const Label& label, const View& x) -> Result<View> {
    const size_t rank = x.dims.size();
    if (amounts.size() != rank * 2)
      return Corrupt(StrCat(amounts.size(), " amounts, expected ", 2 * rank));
    OCTET_ASSIGN_OR_RETURN(const View aligned, builder_.AsAligned(label, x));
    View y = aligned;
    std::array<int64_t, 4> begin{}, end{};
    for (size_t d = 0; d < rank; ++d) {
      const size_t axis = static_cast<size_t>(*AxisOf(aligned, builder_.ShapeOf(aligned), d));
      begin[axis] = amounts[2 * d];
      end[axis] = amounts[2 * d + 1];
      y.dims[d] += begin[axis] + end[axis];
    }
    OCTET_ASSIGN_OR_RETURN(y.id, builder_.Pad(label, y.id, begin, end, value));
    return y;
  });
}

Status TfliteImporter::Concat() {
  OCTET_ASSIGN_OR_RETURN(const auto* options,
                         Options(op_->table->builtin_options_as_ConcatenationOptions()));
  OCTET_ASSIGN_OR_RETURN(const Limits limits, Fused(options->fused_activation_function()));
  if (AllFolded()) return FoldJoined(options->axis(), false);
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  const std::string name = NameOf(out);
  std::vector<View> views;
  for (size_t i = 0; i < op_->inputs.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(View x, InputView(i));
    const std::string part = StrCat(name, ".input", i);
    if (tensor(op_->inputs[i]).type == ElementType::kUint8 && type.dtype == DType::kU8 &&
        !(TypeOf(x) == type)) {  // The kernel of uint8 rescales with floats.
      OCTET_ASSIGN_OR_RETURN(x.id, builder_.Emit(OpType::kDequantize, part + ".real", {x.id}));
      OCTET_ASSIGN_OR_RETURN(x.id, builder_.Emit(OpType::kQuantize, part, {x.id}, type));
    }
    if (type.dtype == DType::kI16 && !(TypeOf(x) == type))
      return Unsupported("of int16 in several scales, expected one");
    OCTET_ASSIGN_OR_RETURN(x, Requantize(part, std::move(x), type));
    if (i > 0 && x.dims.size() != views[0].dims.size()) return Corrupt("inputs of different ranks");
    views.push_back(std::move(x));
  }
  if (views.empty()) return Corrupt("no inputs");
  OCTET_ASSIGN_OR_RETURN(const size_t d, Axis(options->axis(), views[0].dims.size()));
  View y = views[0];
  if (views.size() > 1) {
    OCTET_ASSIGN_OR_RETURN(views, builder_.AsAlike(name, std::move(views)));
    y = views[0];
    const int axis = *AxisOf(y, builder_.ShapeOf(y), d);
    std::vector<TensorId> ids;
    y.dims[d] = 0;
    for (const View& x : views) {
      ids.push_back(x.id);
      y.dims[d] += x.dims[d];
    }
    OCTET_ASSIGN_OR_RETURN(
        y.id, builder_.Emit(OpType::kConcat, limits.any() ? name + ".linear" : name, std::move(ids),
                            type, [&](Node* n) { n->axis = axis; }));
  }
  OCTET_ASSIGN_OR_RETURN(y, Clip(name, std::move(y), limits));
  return Finish(out, std::move(y));
}

// ---- Shapes computed from the input's, known once the input's size is ----

bool TfliteImporter::AllFolded() const {
  return !op_->inputs.empty() && std::all_of(op_->inputs.begin(), op_->inputs.end(), [&](int i) {
    if (i < 0) return false;
    const ElementType type = tensor(i).type;
    return folded_[static_cast<size_t>(i)].has_value() ||
           (IsConstant(i) && (type == ElementType::kInt32 || type == ElementType::kInt64));
  });
}

Status TfliteImporter::Fold(Result<Constant> value) {
  OCTET_ASSIGN_OR_RETURN(Constant folded, std::move(value));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  if (folded.is_float()) return Unsupported("a floating-point number computed from a shape");
  if (folded_[static_cast<size_t>(out)] || IsConstant(out))
    return Corrupt(StrCat("'", tensor(out).name, "' is computed twice"));
  folded_[static_cast<size_t>(out)] = std::move(folded);
  return OkStatus();
}

Status TfliteImporter::FoldJoined(int64_t axis, bool is_new) {
  std::vector<Constant> parts(op_->inputs.size());
  std::vector<const Constant*> pointers;
  for (size_t i = 0; i < parts.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(parts[i], Known(op_->inputs[i]));
    pointers.push_back(&parts[i]);
  }
  return Fold(is_new ? folder_.Stack(pointers, axis) : folder_.Concat(pointers, axis));
}

Status TfliteImporter::ShapeOf() {
  OCTET_ASSIGN_OR_RETURN(const View x, InputView(0));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  Constant shape{tensor(out).type, {static_cast<int64_t>(x.dims.size())}, {}, x.dims};
  shape.ints[0] *= batch_;
  return Fold(std::move(shape));
}

Status TfliteImporter::ReduceProd() {
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, InputIntegers(1));
  if (!AllFolded()) return Unsupported("a product of activations");
  OCTET_ASSIGN_OR_RETURN(const Constant from, Known(op_->inputs[0]));
  if (from.dims.size() != 1 || axes.size() != 1 || (axes[0] != 0 && axes[0] != -1))
    return Unsupported("a product along other dimensions than the first of one");
  const auto* options = op_->table->builtin_options_as_ReducerOptions();
  return Fold(folder_.ReduceProd(from, options != nullptr && options->keep_dims()));
}

Status TfliteImporter::Pack() {
  OCTET_ASSIGN_OR_RETURN(const auto* options,
                         Options(op_->table->builtin_options_as_PackOptions()));
  if (!AllFolded()) return Unsupported("packing activations");
  if (options->values_count() != static_cast<int>(op_->inputs.size())) {
    return Corrupt(StrCat("its option values_count is ", options->values_count(), " for ",
                          op_->inputs.size(), " inputs"));
  }
  return FoldJoined(options->axis(), true);
}

}  // namespace octet
