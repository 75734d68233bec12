// FoldOnnxNode reads an operator's inputs and attributes as its opset has them and leaves the
// arithmetic to Folder (builder/constant.h). What it has no rule for is not folded, which is no
// error.
#include "converter/import/onnx/constant.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

Result<std::vector<int64_t>> IntList(const Constant* x, const char* what) {
  if (x == nullptr) return std::vector<int64_t>();
  if (x->is_float() || x->dims.size() > 1)
    return Corrupt(StrCat("its ", what, " are not a list of integers"));
  return x->ints;
}

/// A node of which all inputs are known and those that it needs are there.
struct Known {
  const OnnxNode& node;
  const std::vector<const Constant*>& inputs;
  int64_t opset;
  const Folder& folder;

  const Constant* input(size_t i) const { return i < inputs.size() ? inputs[i] : nullptr; }
};

/// What is an attribute before opset `since` and input `i` from then on.
Result<std::optional<std::vector<int64_t>>> ReadList(const Known& k, const char* name, size_t i,
                                                     int64_t since) {
  std::optional<std::vector<int64_t>> list;
  if (k.opset >= since) {
    if (k.input(i) == nullptr) return list;
    OCTET_ASSIGN_OR_RETURN(list, IntList(k.input(i), name));
    return list;
  }
  OnnxAttributes attributes(k.node);
  if (attributes.Has(name)) list = attributes.Ints(name);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  return list;
}

/// QuantizeLinear and DequantizeLinear of a constant: weights, rounded as the file says, or what
/// they stand for.
Result<Constant> FoldLinear(const Known& k) {
  const Constant& x = *k.inputs[0];
  const bool quantize = k.node.op_type == "QuantizeLinear";
  if (x.is_float() != quantize)
    return Corrupt(quantize ? "its input is not floating-point" : "its input is not an integer");
  OCTET_ASSIGN_OR_RETURN(const LinearParameters p,
                         ReadLinearParameters(k.node, k.input(1), k.input(2),
                                              quantize ? ElementType::kUndefined : x.type));
  OnnxAttributes attributes(k.node);
  const int64_t raw_axis = attributes.Int("axis", 1);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  OCTET_RETURN_IF_ERROR(k.folder.Charge(x.size(), x.type));
  int64_t inner = std::max<int64_t>(1, x.size());  // Consecutive elements of one channel.
  size_t axis = 0;
  if (p.scales.size() > 1) {
    OCTET_ASSIGN_OR_RETURN(axis, NormalizeAxis(raw_axis, x.dims.size()));
    if (x.dims[axis] != static_cast<int64_t>(p.scales.size()))
      return Corrupt(StrCat("it has ", p.scales.size(), " scales along axis ", axis, " of ",
                            DimsText(x.dims)));
    inner = std::max<int64_t>(1, Product(x.dims, axis + 1, x.dims.size()));
  }
  Constant y{quantize ? p.type : ElementType::kFloat32, x.dims, {}, {}};
  double low = 0.0, high = 255.0;
  if (p.type == ElementType::kInt8) low = -128.0, high = 127.0;
  if (p.type == ElementType::kUint16) high = 65535.0;
  if (p.type == ElementType::kInt16) low = -32768.0, high = 32767.0;
  if (quantize && p.type == ElementType::kInt32) return Corrupt("it quantizes to int32");
  for (int64_t i = 0; i < x.size(); ++i) {
    const size_t c = static_cast<size_t>(i / inner) % p.scales.size();
    const double z = static_cast<double>(p.zero_points[c]);
    if (quantize) {
      const double v = std::nearbyint(static_cast<double>(x.floats[i]) / p.scales[c]) + z;
      if (!std::isfinite(v)) {
        return InvalidArgument(
            StrCat("element ", i, ": found ", x.floats[i], ", expected a finite number"));
      }
      y.ints.push_back(static_cast<int64_t>(std::clamp(v, low, high)));
    } else {
      y.floats.push_back(static_cast<float>(static_cast<double>(x.ints[i]) - z) * p.scales[c]);
    }
  }
  if (!quantize) {
    y.steps = p.scales;
    y.step_axis = static_cast<int>(axis);
  }
  return y;
}

std::vector<int64_t> AllAxesBut(std::optional<int64_t> one, size_t rank) {
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < static_cast<int64_t>(rank); ++i) {
    if (i != one) axes.push_back(i);
  }
  return axes;
}

/// Batch norm of a constant: PyTorch standardizes weights by it, in training mode.
Result<Constant> FoldBatchNorm(const Known& k) {
  OnnxAttributes attributes(k.node);
  const float epsilon = attributes.Float("epsilon", 1e-5f);
  const bool training = attributes.Int("training_mode", 0) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  const Constant& x = *k.inputs[0];
  if (x.dims.size() < 2) return Corrupt("its input has no channels");
  Dims channels(x.dims.size(), 1);
  channels[1] = x.dims[1];
  std::array<Constant, 4> p;  // Scale, bias, mean, variance.
  for (size_t i = 0; i < p.size(); ++i) {
    const Constant* c = k.input(i + 1);
    if (c == nullptr || !c->is_float() || c->dims != Dims{x.dims[1]})
      return Corrupt(StrCat("its parameters are not ", x.dims[1], " floating-point numbers each"));
    OCTET_ASSIGN_OR_RETURN(p[i], k.folder.Cast(*c, x.type));
    OCTET_ASSIGN_OR_RETURN(p[i], k.folder.WithDims(p[i], channels));
  }
  auto& [scale, bias, mean, variance] = p;
  const std::vector<int64_t> rest = AllAxesBut(1, x.dims.size());
  if (training) {
    OCTET_ASSIGN_OR_RETURN(mean, k.folder.ReduceMean(x, rest, true));
  }
  OCTET_ASSIGN_OR_RETURN(Constant y, k.folder.Binary(BinaryOp::kSub, x, mean));
  if (training) {
    OCTET_ASSIGN_OR_RETURN(variance, k.folder.Unary(UnaryOp::kSquare, y));
    OCTET_ASSIGN_OR_RETURN(variance, k.folder.ReduceMean(variance, rest, true));
  }
  for (float& v : variance.floats) v += epsilon;
  OCTET_ASSIGN_OR_RETURN(variance, k.folder.Unary(UnaryOp::kSqrt, variance));
  OCTET_ASSIGN_OR_RETURN(y, k.folder.Binary(BinaryOp::kDiv, y, variance));
  OCTET_ASSIGN_OR_RETURN(y, k.folder.Binary(BinaryOp::kMul, y, scale));
  return k.folder.Binary(BinaryOp::kAdd, y, bias);
}

}  // namespace

Result<Constant> DecodeOnnxTensor(const OnnxTensor& t, std::optional<std::string_view> external) {
  const std::string where = StrCat("tensor '", t.name, "'");
  if (TypeSize(t.type) == 0)
    return Unsupported(StrCat(where, " has the element type ", TypeName(t.type)));
  const int64_t n = NumElements(t.dims);
  int64_t bytes = 0;
  if (n < 0 || t.dims.size() > kMaxRank || !CheckedMul(n, TypeSize(t.type), &bytes))
    return Corrupt(StrCat(where, ": impossible shape ", DimsText(t.dims)));
  if (t.external && !external)
    return Unsupported(StrCat(where, ": data in another file is allowed for initializers only"));
  Constant c{t.type, t.dims, {}, {}};
  if (t.has_raw || external) {
    OCTET_RETURN_IF_ERROR(DecodeElements(external.value_or(t.raw), &c).WithContext(where));
    return c;
  }
  switch (t.type) {
    case ElementType::kFloat32:
      c.floats = t.floats;
      break;
    case ElementType::kFloat64:
      for (double v : t.doubles) c.floats.push_back(static_cast<float>(v));
      break;
    case ElementType::kFloat16:
    case ElementType::kBfloat16:
      for (int64_t v : t.ints) c.floats.push_back(LoadFloat(&v, t.type));
      break;
    default:
      for (int64_t v : t.ints) c.ints.push_back(Wrapped(v, t.type));
      break;
  }
  if (c.size() != n) {
    return Corrupt(StrCat(where, ": found ", c.size(), " values, expected ", n, " for shape ",
                          DimsText(t.dims)));
  }
  return c;
}

const OnnxAttribute* OnnxAttributes::Find(std::string_view name) const {
  for (const OnnxAttribute& a : node_.attributes) {
    if (a.name == name) return &a;
  }
  return nullptr;
}

const OnnxAttribute* OnnxAttributes::FindKind(std::string_view name, OnnxAttribute::Kind kind) {
  const OnnxAttribute* a = Find(name);
  if (a == nullptr || a->kind == kind) return a;
  if (status_.ok()) status_ = Corrupt(StrCat("its attribute '", name, "' has the wrong type"));
  return nullptr;
}

int64_t OnnxAttributes::Int(std::string_view name, int64_t otherwise) {
  const OnnxAttribute* a = FindKind(name, OnnxAttribute::Kind::kInt);
  return a == nullptr ? otherwise : a->i;
}

float OnnxAttributes::Float(std::string_view name, float otherwise) {
  const OnnxAttribute* a = FindKind(name, OnnxAttribute::Kind::kFloat);
  return a == nullptr ? otherwise : a->f;
}

std::string OnnxAttributes::String(std::string_view name, const std::string& otherwise) {
  const OnnxAttribute* a = FindKind(name, OnnxAttribute::Kind::kString);
  return a == nullptr ? otherwise : a->s;
}

std::vector<int64_t> OnnxAttributes::Ints(std::string_view name, std::vector<int64_t> otherwise) {
  const OnnxAttribute* a = FindKind(name, OnnxAttribute::Kind::kInts);
  if (a == nullptr) return otherwise;
  return a->ints;
}

Result<std::vector<GraphBuilder::Range>> ResolveSlice(const Dims& dims,
                                                      const std::vector<int64_t>& starts,
                                                      const std::vector<int64_t>& ends,
                                                      const std::vector<int64_t>& axes,
                                                      const std::vector<int64_t>& steps) {
  std::vector<GraphBuilder::Range> ranges;
  for (int64_t d : dims) ranges.push_back({0, 1, d});
  if (starts.size() != ends.size() || (!axes.empty() && axes.size() != starts.size()) ||
      (!steps.empty() && steps.size() != starts.size())) {
    return Corrupt("its starts, ends, axes and steps differ in length");
  }
  std::vector<bool> seen(dims.size(), false);
  for (size_t i = 0; i < starts.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(
        const size_t axis,
        NormalizeAxis(axes.empty() ? static_cast<int64_t>(i) : axes[i], dims.size()));
    if (seen[axis]) return Corrupt(StrCat("it slices axis ", axis, " twice"));
    seen[axis] = true;
    const int64_t d = dims[axis], step = steps.empty() ? 1 : steps[i];
    if (step == 0) return Corrupt("its step is 0");
    // Unlike Python's, a start in front of everything is the first element going down, too.
    ranges[axis] = SliceRange(d, std::max(starts[i], -d), ends[i], step);
  }
  return ranges;
}

Result<Constant> DecodeSparseTensor(const OnnxSparseTensor& t, const Folder& folder) {
  const std::string where = StrCat("sparse tensor '", t.values.name, "'");
  OCTET_ASSIGN_OR_RETURN(const Constant values, DecodeOnnxTensor(t.values, std::nullopt));
  OCTET_ASSIGN_OR_RETURN(const Constant indices, DecodeOnnxTensor(t.indices, std::nullopt));
  const int64_t n = values.size(), elements = NumElements(t.dims);
  const int64_t rank = static_cast<int64_t>(t.dims.size());
  // Each value has one index into the elements, or one for each dimension.
  const bool split = indices.dims.size() == 2;
  if (t.dims.size() > kMaxRank || elements < 0 || indices.is_float() ||
      indices.size() != (split ? n * rank : n)) {
    return Corrupt(
        StrCat(where, ": ", n, " values and ", indices.size(), " indices for ", DimsText(t.dims)));
  }
  OCTET_RETURN_IF_ERROR(folder.Charge(elements, values.type));
  Constant c{values.type, t.dims, {}, {}};
  if (values.is_float()) {
    c.floats.resize(static_cast<size_t>(elements));
  } else {
    c.ints.resize(static_cast<size_t>(elements));
  }
  const std::vector<int64_t> strides = Strides(t.dims);
  for (int64_t i = 0; i < n; ++i) {
    int64_t at = split ? 0 : indices.ints[i];
    bool inside = at >= 0 && at < elements;
    for (int64_t d = 0; split && d < rank; ++d) {
      const int64_t index = indices.ints[i * rank + d];
      inside = inside && index >= 0 && index < t.dims[d];
      if (inside) at += index * strides[d];
    }
    if (!inside) return Corrupt(StrCat(where, ": index ", i, " is outside of ", DimsText(t.dims)));
    if (values.is_float()) {
      c.floats[at] = values.floats[i];
    } else {
      c.ints[at] = values.ints[i];
    }
  }
  return c;
}

Result<Constant> ConstantNodeValue(
    const OnnxNode& node, const Folder& folder,
    const std::function<Result<std::string_view>(const OnnxTensor&)>& external) {
  using Kind = OnnxAttribute::Kind;
  for (const OnnxAttribute& a : node.attributes) {
    if (a.name == "value" && a.kind == Kind::kTensor) {
      if (!a.t.external) return DecodeOnnxTensor(a.t, std::nullopt);
      OCTET_ASSIGN_OR_RETURN(const std::string_view bytes, external(a.t));
      return DecodeOnnxTensor(a.t, bytes);
    }
    if (a.name == "sparse_value" && a.kind == Kind::kSparse)
      return DecodeSparseTensor(a.sparse, folder);
    if (a.name == "value_float" && a.kind == Kind::kFloat)
      return Constant{ElementType::kFloat32, {}, {a.f}, {}};
    if (a.name == "value_int" && a.kind == Kind::kInt)
      return Constant{ElementType::kInt64, {}, {}, {a.i}};
    if (a.name == "value_floats" && a.kind == Kind::kFloats) {
      return Constant{ElementType::kFloat32, {static_cast<int64_t>(a.floats.size())}, a.floats, {}};
    }
    if (a.name == "value_ints" && a.kind == Kind::kInts) {
      return Constant{ElementType::kInt64, {static_cast<int64_t>(a.ints.size())}, {}, a.ints};
    }
  }
  return Unsupported("its value is neither a tensor nor a list of numbers");
}

Result<std::vector<int>> TransposePermutation(const OnnxNode& node, size_t rank) {
  OnnxAttributes attributes(node);
  std::vector<int64_t> perm;
  for (size_t i = rank; i-- > 0;) perm.push_back(static_cast<int64_t>(i));
  perm = attributes.Ints("perm", perm);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (std::any_of(perm.begin(), perm.end(), [](int64_t p) { return p < 0; }))
    return Corrupt("its perm counts from the end");
  return Permutation(perm, rank);
}

std::vector<float> StepsOf(const Constant& weights, int axis) {
  return weights.steps.size() == 1 || weights.step_axis == axis ? weights.steps
                                                                : std::vector<float>();
}

Result<LinearParameters> ReadLinearParameters(const OnnxNode& node, const Constant* scale,
                                              const Constant* zero, ElementType codes) {
  if (scale == nullptr || !scale->is_float() || scale->floats.empty())
    return Corrupt("its scale is missing, empty or not floating-point");
  OnnxAttributes attributes(node);
  const int64_t block = attributes.Int("block_size", 0);
  const auto written = static_cast<ElementType>(attributes.Int("output_dtype", 0));
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (block != 0)
    return Unsupported(StrCat("block_size is ", block, "; scales per block are not supported"));
  LinearParameters p;
  p.scales = scale->floats;
  for (float s : p.scales) {
    if (!std::isfinite(s) || s <= 0.0f)
      return Corrupt(StrCat("its scale is ", s, ", expected a positive number"));
  }
  const bool quantizes = node.op_type == "QuantizeLinear";
  if (quantizes && written != ElementType::kUndefined) p.type = written;
  if (!quantizes && written != ElementType::kUndefined && !IsFloat(written))
    return Corrupt(
        StrCat("output_dtype is ", TypeName(written), ", expected a floating-point type"));
  if (!quantizes && codes != ElementType::kUndefined) p.type = codes;
  p.zero_points.assign(p.scales.size(), 0);
  if (zero != nullptr) {
    const bool differs = (quantizes && written != ElementType::kUndefined) ||
                         (!quantizes && codes != ElementType::kUndefined);
    if (differs && zero->type != p.type) {
      return Corrupt(StrCat("its zero point is of ", TypeName(zero->type), ", its codes of ",
                            TypeName(p.type)));
    }
    p.type = zero->type;
    if (!zero->is_float() && zero->ints.size() == p.scales.size()) {
      p.zero_points = zero->ints;
    } else if (!zero->is_float() && zero->ints.size() == 1) {
      p.zero_points.assign(p.scales.size(), zero->ints[0]);
    } else if (!zero->is_float()) {
      return Corrupt(
          StrCat("it has ", p.scales.size(), " scales and ", zero->ints.size(), " zero points"));
    }
  }
  switch (p.type) {
    case ElementType::kUint8:
    case ElementType::kInt8:
    case ElementType::kUint16:
    case ElementType::kInt16:
    case ElementType::kInt32:
      return p;
    default:
      return Unsupported(
          StrCat("its codes are of ", TypeName(p.type), ", expected integers of 8, 16 or 32 bits"));
  }
}

namespace {

Result<Constant> FoldReduce(const Known& k) {
  const Constant& x = *k.inputs[0];
  OCTET_ASSIGN_OR_RETURN(const auto axes, ReadList(k, "axes", 1, 18));
  OnnxAttributes attributes(k.node);
  const bool noop = attributes.Int("noop_with_empty_axes", 0) != 0;
  const bool keep = attributes.Int("keepdims", 1) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  const bool none = !axes || axes->empty();
  if (none && noop) return k.folder.WithDims(x, x.dims);
  // Of a list there is but one axis that could be named.
  if (k.node.op_type == "ReduceProd") return k.folder.ReduceProd(x, keep);
  return k.folder.ReduceMean(x, none ? AllAxesBut(std::nullopt, x.dims.size()) : *axes, keep);
}

Result<Constant> FoldConstantOfShape(const Known& k) {
  Constant value{ElementType::kFloat32, {1}, {0.0f}, {}};
  if (const OnnxAttribute* a = OnnxAttributes(k.node).Find("value")) {
    if (a->kind != OnnxAttribute::Kind::kTensor) return Corrupt("its 'value' is not a tensor");
    OCTET_ASSIGN_OR_RETURN(value, DecodeOnnxTensor(a->t, std::nullopt));
  }
  return k.folder.Fill(*k.inputs[0], value);
}

Result<Constant> FoldSlice(const Known& k) {
  std::vector<int64_t> lists[4];
  constexpr const char* kNames[] = {"starts", "ends", "axes", "steps"};
  for (size_t i = 0; i < 4; ++i) {
    OCTET_ASSIGN_OR_RETURN(auto list, ReadList(k, kNames[i], i + 1, 10));
    if (list) lists[i] = *std::move(list);
  }
  const auto& [starts, ends, axes, steps] = lists;
  OCTET_ASSIGN_OR_RETURN(const auto ranges,
                         ResolveSlice(k.inputs[0]->dims, starts, ends, axes, steps));
  return k.folder.Slice(*k.inputs[0], ranges);
}

/// Reshape, Squeeze and Unsqueeze.
Result<Constant> FoldReshape(const Known& k) {
  const Constant& x = *k.inputs[0];
  Dims dims;
  if (k.node.op_type == "Reshape") {
    OnnxAttributes attributes(k.node);
    const bool zero_copies = attributes.Int("allowzero", 0) == 0;
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
    OCTET_ASSIGN_OR_RETURN(const auto target, IntList(k.inputs[1], "target dimensions"));
    OCTET_ASSIGN_OR_RETURN(dims, ResolveReshape(x.dims, target, zero_copies));
  } else {
    OCTET_ASSIGN_OR_RETURN(const auto axes, ReadList(k, "axes", 1, 13));
    const bool squeeze = k.node.op_type == "Squeeze";
    if (!squeeze && !axes) return Corrupt("it has no axes");
    OCTET_ASSIGN_OR_RETURN(
        dims, squeeze ? ResolveSqueeze(x.dims, axes) : ResolveUnsqueeze(x.dims, *axes));
  }
  return k.folder.WithDims(x, std::move(dims));
}

Result<Constant> FoldAlongAxis(const Known& k) {
  OnnxAttributes attributes(k.node);
  const int64_t axis = attributes.Int("axis", 0);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (k.node.op_type == "Gather") return k.folder.Gather(*k.inputs[0], *k.inputs[1], axis, true);
  if (std::count(k.inputs.begin(), k.inputs.end(), nullptr) > 0)
    return Corrupt("an input is left out");
  return k.folder.Concat(k.inputs, axis);
}

Result<Constant> FoldBinary(const Known& k, BinaryOp op) {
  OnnxAttributes attributes(k.node);
  if (op == BinaryOp::kMod && attributes.Int("fmod", 0) != 0) op = BinaryOp::kFmod;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (op == BinaryOp::kMod && k.inputs[0]->is_float())
    return Corrupt("fmod is 0 for floating-point numbers");
  return k.folder.Binary(op, *k.inputs[0], *k.inputs[1]);
}

/// Clip of a constant: weights in codes, which PyTorch's exporter limits to -127 to 127.
Result<Constant> FoldClip(const Known& k) {
  OnnxAttributes attributes(k.node);
  constexpr BinaryOp kOps[] = {BinaryOp::kMax, BinaryOp::kMin};
  constexpr const char* kNames[] = {"min", "max"};
  Constant x = *k.inputs[0];
  for (size_t i = 0; i < 2; ++i) {
    Constant limit{x.type, {}, {attributes.Float(kNames[i], 0.0f)}, {}};
    const bool given = k.opset < 11 ? attributes.Has(kNames[i]) : k.input(i + 1) != nullptr;
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
    if (!given) continue;
    if (k.opset >= 11) limit = *k.input(i + 1);
    if (limit.size() != 1) return Corrupt(StrCat("its ", kNames[i], " is not a single value"));
    limit.dims.clear();
    OCTET_ASSIGN_OR_RETURN(x, k.folder.Binary(kOps[i], x, limit));
  }
  return x;
}

}  // namespace

Result<std::optional<Constant>> FoldOnnxNode(const OnnxNode& node,
                                             const std::vector<const Constant*>& inputs,
                                             int64_t opset, const Folder& folder) {
  using Folded = std::optional<Constant>;
  static const std::map<std::string_view, BinaryOp> kBinary = {
      {"Add", BinaryOp::kAdd}, {"Sub", BinaryOp::kSub},    {"Mul", BinaryOp::kMul},
      {"Div", BinaryOp::kDiv}, {"Mod", BinaryOp::kMod},    {"Min", BinaryOp::kMin},
      {"Max", BinaryOp::kMax}, {"Equal", BinaryOp::kEqual}};
  static const std::map<std::string_view, UnaryOp> kUnary = {{"Neg", UnaryOp::kNeg},
                                                             {"Sqrt", UnaryOp::kSqrt},
                                                             {"Reciprocal", UnaryOp::kReciprocal},
                                                             {"Floor", UnaryOp::kFloor},
                                                             {"Ceil", UnaryOp::kCeil}};
  static const std::map<std::string_view, Result<Constant> (*)(const Known&)> kFolds = {
      {"Identity",
       [](const Known& k) { return k.folder.WithDims(*k.inputs[0], k.inputs[0]->dims); }},
      {"Cast",
       [](const Known& k) -> Result<Constant> {
         OnnxAttributes attributes(k.node);
         const auto to = static_cast<ElementType>(attributes.Int("to", 0));
         OCTET_RETURN_IF_ERROR(Status(attributes.status()));
         return k.folder.Cast(*k.inputs[0], to);
       }},
      {"CastLike", [](const Known& k) { return k.folder.Cast(*k.inputs[0], k.inputs[1]->type); }},
      {"ReduceProd", FoldReduce},
      {"ReduceMean", FoldReduce},
      {"BatchNormalization", FoldBatchNorm},
      {"Clip", FoldClip},
      {"ConstantOfShape", FoldConstantOfShape},
      {"QuantizeLinear", FoldLinear},
      {"DequantizeLinear", FoldLinear},
      {"Concat", FoldAlongAxis},
      {"Gather", FoldAlongAxis},
      {"Transpose",
       [](const Known& k) -> Result<Constant> {
         const Constant& x = *k.inputs[0];
         OCTET_ASSIGN_OR_RETURN(const auto perm, TransposePermutation(k.node, x.dims.size()));
         return k.folder.Transpose(x, perm);
       }},
      {"Reshape", FoldReshape},
      {"Squeeze", FoldReshape},
      {"Unsqueeze", FoldReshape},
      {"Slice", FoldSlice},
      {"Where",
       [](const Known& k) { return k.folder.Where(*k.inputs[0], *k.inputs[1], *k.inputs[2]); }},
      {"Expand", [](const Known& k) { return k.folder.Broadcast(*k.inputs[0], *k.inputs[1]); }}};
  const Known known{node, inputs, opset, folder};
  const auto unary = kUnary.find(node.op_type);
  const auto binary = kBinary.find(node.op_type);
  const auto other = kFolds.find(node.op_type);
  const bool is_binary = binary != kBinary.end() && inputs.size() == 2 && inputs[1] != nullptr;
  if (unary == kUnary.end() && !is_binary && other == kFolds.end()) return Folded();
  if (node.op_type == "ReduceProd" && inputs[0]->dims.size() != 1) return Folded();
  OCTET_ASSIGN_OR_RETURN(Constant folded, is_binary ? FoldBinary(known, binary->second)
                                          : unary != kUnary.end()
                                              ? folder.Unary(unary->second, *inputs[0])
                                              : other->second(known));
  return Folded(std::move(folded));
}

}  // namespace octet
