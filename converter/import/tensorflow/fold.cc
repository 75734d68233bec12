#include "converter/import/tensorflow/fold.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <utility>

#include "converter/import/tensorflow/tensor_bundle.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet::tf {
namespace {

constexpr size_t kMaxRank = 8;

Status BadInputs(const NodeDef& node) {
  return Corrupt(StrCat(node.op, " has inputs that do not fit each other"));
}

template <typename T>
const std::vector<T>& Values(const HostTensor& tensor);
template <>
const std::vector<float>& Values(const HostTensor& tensor) {
  return tensor.floats;
}
template <>
const std::vector<int64_t>& Values(const HostTensor& tensor) {
  return tensor.ints;
}
template <typename T>
std::vector<T>& Values(HostTensor* tensor);
template <>
std::vector<float>& Values(HostTensor* tensor) {
  return tensor->floats;
}
template <>
std::vector<int64_t>& Values(HostTensor* tensor) {
  return tensor->ints;
}

/// Calls f<float> or f<int64_t>.
template <typename F>
auto ByType(const HostTensor& tensor, const F& f) {
  return tensor.is_float() ? f(float()) : f(int64_t());
}

Result<std::vector<int64_t>> BroadcastDims(const NodeDef& node, const std::vector<int64_t>& a,
                                           const std::vector<int64_t>& b) {
  std::vector<int64_t> dims(std::max(a.size(), b.size()));
  for (size_t i = 0; i < dims.size(); ++i) {  // From the last dimension on.
    const int64_t da = i < a.size() ? a[a.size() - 1 - i] : 1,
                  db = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (da != db && da != 1 && db != 1) return BadInputs(node);
    dims[dims.size() - 1 - i] = da == 1 ? db : da;
  }
  return dims;
}

/// Element strides of `dims` as seen from the broadcast shape `out`; 0 where it repeats.
std::vector<int64_t> BroadcastStrides(const std::vector<int64_t>& dims,
                                      const std::vector<int64_t>& out) {
  std::vector<int64_t> strides(out.size(), 0);
  int64_t stride = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    const int64_t d = dims[dims.size() - 1 - i];
    strides[out.size() - 1 - i] = d == 1 ? 0 : stride;
    stride *= d;
  }
  return strides;
}

/// Steps through a shape in row-major order, keeping offsets under several stride vectors.
template <size_t N, typename F>
void ForEachIndex(const std::vector<int64_t>& dims,
                  const std::array<std::vector<int64_t>, N>& strides, const F& f) {
  const int64_t n = Product(dims);
  std::array<int64_t, N> offsets{};
  std::vector<int64_t> index(dims.size(), 0);
  for (int64_t k = 0; k < n; ++k) {
    f(k, offsets);
    for (size_t d = dims.size(); d-- > 0;) {
      for (size_t i = 0; i < N; ++i) offsets[i] += strides[i][d];
      if (++index[d] < dims[d]) break;
      for (size_t i = 0; i < N; ++i) offsets[i] -= strides[i][d] * dims[d];
      index[d] = 0;
    }
  }
}

/// What a number becomes in an integer type that may be too small for it.
int64_t Wrapped(int dtype, int64_t v) {
  if (v == kDynamic) return v;
  switch (dtype) {
    case kUint8:
      return static_cast<uint8_t>(v);
    case kInt8:
      return static_cast<int8_t>(v);
    case kInt32:
      return static_cast<int32_t>(v);
    case kBool:
      return v != 0;
    default:
      return v;
  }
}

enum class Binary { kAdd, kSub, kMul, kDiv, kMax, kMin };

/// False when the operator is none of these.
bool ParseBinary(std::string_view op, Binary* binary) {
  if (op == "Add" || op == "AddV2" || op == "BiasAdd") return *binary = Binary::kAdd, true;
  if (op == "Sub") return *binary = Binary::kSub, true;
  if (op == "Mul") return *binary = Binary::kMul, true;
  if (op == "RealDiv" || op == "Div") return *binary = Binary::kDiv, true;
  if (op == "Maximum") return *binary = Binary::kMax, true;
  if (op == "Minimum") return *binary = Binary::kMin, true;
  return false;
}

float Apply(Binary op, float a, float b) {
  switch (op) {
    case Binary::kAdd:
      return a + b;
    case Binary::kSub:
      return a - b;
    case Binary::kMul:
      return a * b;
    case Binary::kDiv:
      return a / b;
    case Binary::kMax:
      return std::max(a, b);
    case Binary::kMin:
      return std::min(a, b);
  }
  return 0.0f;
}

int64_t Apply(Binary op, int64_t a, int64_t b) {
  // Whatever is computed from the batch size is unknown too, apart from the neutral operations.
  if (op == Binary::kMul && b == 1) return a;
  if (op == Binary::kMul && a == 1) return b;
  if (a == kDynamic || b == kDynamic) return kDynamic;
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Binary::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Binary::kSub:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Binary::kMul:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Binary::kDiv:
      return b == 0 || b == -1 ? kDynamic : a / b;
    case Binary::kMax:
      return std::max(a, b);
    case Binary::kMin:
      return std::min(a, b);
  }
  return overflow ? kDynamic : result;
}

Result<HostTensor> FoldBinary(const NodeDef& node, Binary op, const HostTensor& a,
                              const HostTensor& b, int64_t max_elements) {
  if (a.is_float() != b.is_float()) return BadInputs(node);
  HostTensor out;
  out.dtype = a.dtype;
  OCTET_ASSIGN_OR_RETURN(out.dims, BroadcastDims(node, a.dims, b.dims));
  const int64_t n = out.num_elements();
  if (out.dims.size() > kMaxRank || n < 0 || n > max_elements) return BadInputs(node);
  const std::array strides{BroadcastStrides(a.dims, out.dims), BroadcastStrides(b.dims, out.dims)};
  ByType(a, [&](auto zero) {
    using T = decltype(zero);
    std::vector<T>& values = Values<T>(&out);
    values.resize(static_cast<size_t>(n));
    ForEachIndex<2>(out.dims, strides, [&](int64_t k, const std::array<int64_t, 2>& offset) {
      values[k] = Apply(op, Values<T>(a)[offset[0]], Values<T>(b)[offset[1]]);
      if constexpr (std::is_integral_v<T>) values[k] = Wrapped(out.dtype, values[k]);
    });
  });
  return out;
}

float ApplyUnary(std::string_view op, float v) {
  if (op == "Rsqrt") return 1.0f / std::sqrt(v);
  if (op == "Sqrt") return std::sqrt(v);
  if (op == "Square") return v * v;
  if (op == "Neg") return -v;
  if (op == "Relu") return std::max(v, 0.0f);
  return 1.0f / v;  // Reciprocal, Inv.
}

bool IsUnary(std::string_view op) {
  return op == "Rsqrt" || op == "Sqrt" || op == "Square" || op == "Neg" || op == "Reciprocal" ||
         op == "Inv" || op == "Relu";
}

Result<HostTensor> FoldCast(const NodeDef& node, const HostTensor& in) {
  HostTensor out;
  out.dtype = node.Type("DstT", 0);
  out.dims = in.dims;
  if (TypeSize(out.dtype) == 0) return Unsupported(StrCat("Cast to ", TypeName(out.dtype)));
  if (in.is_float() == out.is_float()) {
    out.floats = in.floats;
    out.ints = in.ints;
    for (int64_t& v : out.ints) v = Wrapped(out.dtype, v);
  } else if (out.is_float()) {
    out.floats.reserve(in.ints.size());
    for (const int64_t v : in.ints) {
      if (v == kDynamic) return Unsupported("Cast of the batch size to a floating-point number");
      out.floats.push_back(static_cast<float>(v));
    }
  } else {
    out.ints.reserve(in.floats.size());
    for (const float v : in.floats) {
      // Beyond the type's range the result depends on the processor.
      const bool fits = out.dtype == kBool ||
                        (std::fabs(v) < 1e15f &&
                         Wrapped(out.dtype, static_cast<int64_t>(v)) == static_cast<int64_t>(v));
      if (!fits || std::isnan(v))
        return Unsupported(StrCat("Cast of ", v, " to ", TypeName(out.dtype)));
      out.ints.push_back(out.dtype == kBool ? v != 0.0f : static_cast<int64_t>(v));
    }
  }
  return out;
}

Result<HostTensor> FoldPack(const NodeDef& node, const std::vector<const HostTensor*>& inputs) {
  if (inputs.empty() || node.Int("axis", 0) != 0)
    return Unsupported("Pack along another axis than the first");
  HostTensor out;
  out.dtype = inputs[0]->dtype;
  out.dims = inputs[0]->dims;
  out.dims.insert(out.dims.begin(), static_cast<int64_t>(inputs.size()));
  for (const HostTensor* in : inputs) {
    if (in->dtype != out.dtype || in->dims != inputs[0]->dims) return BadInputs(node);
    out.floats.insert(out.floats.end(), in->floats.begin(), in->floats.end());
    out.ints.insert(out.ints.end(), in->ints.begin(), in->ints.end());
  }
  return out;
}

Result<HostTensor> FoldConcat(const NodeDef& node, const std::vector<const HostTensor*>& inputs) {
  if (inputs.size() < 2 || inputs.back()->ints.size() != 1) return BadInputs(node);
  HostTensor out;
  out.dtype = inputs[0]->dtype;
  out.dims = inputs[0]->dims;
  OCTET_ASSIGN_OR_RETURN(const int64_t axis, NormalizeAxis(inputs.back()->ints[0],
                                                           static_cast<int64_t>(out.dims.size())));
  out.dims[axis] = 0;
  for (size_t i = 0; i + 1 < inputs.size(); ++i) {
    std::vector<int64_t> dims = inputs[i]->dims;
    if (dims.size() != out.dims.size() || inputs[i]->dtype != out.dtype) return BadInputs(node);
    if (!CheckedAdd(out.dims[axis], dims[axis], &out.dims[axis])) return BadInputs(node);
    dims[axis] = out.dims[axis];
    if (dims != out.dims) return BadInputs(node);
  }
  const std::vector<int64_t> outer_dims(out.dims.begin(), out.dims.begin() + axis);
  const int64_t outer = Product(outer_dims);
  if (out.num_elements() < 0 || outer < 0) return BadInputs(node);
  std::vector<const HostTensor*> parts;  // Without the empty ones, which would only cost time.
  for (size_t i = 0; i + 1 < inputs.size(); ++i) {
    if (inputs[i]->num_elements() > 0) parts.push_back(inputs[i]);
  }
  ByType(out, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t o = 0; out.num_elements() > 0 && o < outer; ++o) {
      for (const HostTensor* part : parts) {
        const std::vector<T>& values = Values<T>(*part);
        const int64_t row = static_cast<int64_t>(values.size()) / outer;
        Values<T>(&out).insert(Values<T>(&out).end(), values.begin() + o * row,
                               values.begin() + (o + 1) * row);
      }
    }
  });
  return out;
}

/// Gathers through per-dimension starts and strides.
HostTensor Gather(const HostTensor& in, std::vector<int64_t> dims,
                  const std::vector<int64_t>& strides, int64_t start,
                  std::vector<int64_t> output_dims) {
  HostTensor out;
  out.dtype = in.dtype;
  out.dims = std::move(output_dims);
  ByType(in, [&](auto zero) {
    using T = decltype(zero);
    std::vector<T>& values = Values<T>(&out);
    values.resize(static_cast<size_t>(Product(dims)));
    ForEachIndex<1>(dims, {strides}, [&](int64_t k, const std::array<int64_t, 1>& offset) {
      values[k] = Values<T>(in)[start + offset[0]];
    });
  });
  return out;
}

std::vector<int64_t> RowMajorStrides(const std::vector<int64_t>& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

Result<HostTensor> FoldStridedSlice(const NodeDef& node,
                                    const std::vector<const HostTensor*>& inputs) {
  if (inputs.size() != 4 || inputs[0]->dims.size() > kMaxRank) return BadInputs(node);
  const HostTensor& in = *inputs[0];
  OCTET_ASSIGN_OR_RETURN(const SlicePlan plan, PlanStridedSlice(node, in.dims, inputs[1]->ints,
                                                                inputs[2]->ints, inputs[3]->ints));
  std::vector<int64_t> dims, strides = RowMajorStrides(in.dims);
  int64_t start = 0;
  for (size_t d = 0; d < plan.dims.size(); ++d) {
    dims.push_back(plan.dims[d].count);
    start += plan.dims[d].begin * strides[d];
    strides[d] *= plan.dims[d].step;
  }
  return Gather(in, std::move(dims), strides, start, plan.output_dims);
}

Result<HostTensor> FoldTranspose(const NodeDef& node,
                                 const std::vector<const HostTensor*>& inputs) {
  if (inputs.size() != 2 || inputs[0]->dims.size() > kMaxRank ||
      inputs[1]->ints.size() != inputs[0]->dims.size()) {
    return BadInputs(node);
  }
  const HostTensor& in = *inputs[0];
  const std::vector<int64_t> in_strides = RowMajorStrides(in.dims);
  std::vector<int64_t> dims, strides;
  std::vector<bool> seen(in.dims.size(), false);
  for (const int64_t p : inputs[1]->ints) {
    OCTET_ASSIGN_OR_RETURN(const int64_t axis,
                           NormalizeAxis(p, static_cast<int64_t>(in.dims.size())));
    if (seen[axis]) return BadInputs(node);
    seen[axis] = true;
    dims.push_back(in.dims[axis]);
    strides.push_back(in_strides[axis]);
  }
  return Gather(in, dims, strides, 0, dims);
}

Result<HostTensor> FoldGather(const NodeDef& node, const std::vector<const HostTensor*>& inputs) {
  if (inputs.size() < 2 || inputs[0]->dims.size() != 1 ||
      (inputs.size() > 2 && inputs[2]->ints != std::vector<int64_t>{0})) {
    return Unsupported("Gather from a constant that is no vector");
  }
  if (inputs[1]->is_float()) return BadInputs(node);
  HostTensor out;
  out.dtype = inputs[0]->dtype;
  out.dims = inputs[1]->dims;
  const int64_t size = inputs[0]->dims[0];
  for (const int64_t i : inputs[1]->ints) {
    if (i < 0 || i >= size) return BadInputs(node);
    ByType(out, [&](auto zero) {
      using T = decltype(zero);
      Values<T>(&out).push_back(Values<T>(*inputs[0])[i]);
    });
  }
  return out;
}

Result<HostTensor> FoldProd(const NodeDef& node, const HostTensor& in) {
  if (in.is_float() || in.dims.size() != 1) return BadInputs(node);
  HostTensor out;
  out.dtype = in.dtype;
  int64_t product = 1;
  for (const int64_t v : in.ints) product = Wrapped(in.dtype, Apply(Binary::kMul, product, v));
  out.ints = {product};
  if (node.Bool("keep_dims", false)) out.dims = {1};
  return out;
}

Result<HostTensor> FoldFill(const NodeDef& node, const HostTensor& dims, const HostTensor& value,
                            int64_t max_elements) {
  HostTensor out;
  out.dtype = value.dtype;
  out.dims = dims.ints;
  const int64_t n = out.num_elements();
  if (dims.is_float() || value.num_elements() != 1 || out.dims.size() > kMaxRank || n < 0 ||
      n > max_elements) {
    return BadInputs(node);
  }
  ByType(value, [&](auto zero) {
    using T = decltype(zero);
    Values<T>(&out).assign(static_cast<size_t>(n), Values<T>(value)[0]);
  });
  return out;
}

}  // namespace

HostTensor Part(const HostTensor& in, size_t axis, int64_t begin, int64_t size) {
  const std::vector<int64_t> strides = RowMajorStrides(in.dims);
  std::vector<int64_t> dims = in.dims;
  dims[axis] = size;
  return Gather(in, dims, strides, begin * strides[axis], dims);
}

Result<int64_t> NormalizeAxis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    return Corrupt(StrCat("axis ", axis, " of a tensor of rank ", rank));
  return axis < 0 ? axis + rank : axis;
}

Result<std::vector<int64_t>> ResolveReshape(const std::vector<int64_t>& target, int64_t elements) {
  std::vector<int64_t> dims = target;
  int64_t known = 1;
  int unknown = -1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == -1) {
      if (unknown >= 0) return Corrupt("Reshape to a shape with more than one -1");
      unknown = static_cast<int>(i);
    } else if (dims[i] < 0 || !CheckedMul(known, dims[i], &known)) {
      return Corrupt("Reshape to an impossible shape");
    }
  }
  if (unknown >= 0 && known > 0) dims[unknown] = elements / known;
  if (Product(dims) != elements)
    return Corrupt(
        StrCat("Reshape of ", elements, " elements to a shape that holds another number"));
  return dims;
}

Result<std::vector<int64_t>> SqueezedDims(const NodeDef& node, const std::vector<int64_t>& dims) {
  std::vector<int64_t> axes = node.Ints("squeeze_dims");
  if (axes.empty()) axes = node.Ints("axis");
  std::vector<bool> drop(dims.size(), false);
  for (const int64_t a : axes) {
    OCTET_ASSIGN_OR_RETURN(const int64_t axis, NormalizeAxis(a, static_cast<int64_t>(dims.size())));
    if (dims[axis] != 1) return Corrupt(StrCat("Squeeze of a dimension of size ", dims[axis]));
    drop[axis] = true;
  }
  std::vector<int64_t> out;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (axes.empty() ? dims[i] != 1 : !drop[i]) out.push_back(dims[i]);
  }
  return out;
}

Result<SlicePlan> PlanStridedSlice(const NodeDef& node, const std::vector<int64_t>& dims,
                                   const std::vector<int64_t>& begin,
                                   const std::vector<int64_t>& end,
                                   const std::vector<int64_t>& strides) {
  const size_t specs = begin.size();
  const auto mask = [&](std::string_view name) { return static_cast<uint64_t>(node.Int(name, 0)); };
  const uint64_t begin_mask = mask("begin_mask"), end_mask = mask("end_mask"),
                 ellipsis = mask("ellipsis_mask"), new_axis = mask("new_axis_mask"),
                 shrink = mask("shrink_axis_mask");
  if (end.size() != specs || strides.size() != specs || specs > 2 * kMaxRank)
    return Corrupt("StridedSlice with bounds of different lengths");
  size_t consumed = 0;
  for (size_t i = 0; i < specs; ++i)
    consumed += (ellipsis >> i & 1) == 0 && (new_axis >> i & 1) == 0;
  if (consumed > dims.size()) return Corrupt("StridedSlice with more bounds than dimensions");
  SlicePlan plan;
  const auto whole = [&] {
    const int64_t size = dims[plan.dims.size()];
    plan.dims.push_back({0, 1, size, false});
    plan.output_dims.push_back(size);
  };
  bool ellipsis_seen = false;
  for (size_t i = 0; i < specs; ++i) {
    if (ellipsis >> i & 1) {
      if (ellipsis_seen) return Corrupt("StridedSlice with two ellipses");
      ellipsis_seen = true;
      for (size_t n = dims.size() - consumed; n > 0; --n) whole();
      continue;
    }
    if (new_axis >> i & 1) {
      plan.output_dims.push_back(1);
      continue;
    }
    const int64_t size = dims[plan.dims.size()], step = strides[i];
    if (step == 0 || step == kDynamic) return Corrupt("StridedSlice with a step of 0");
    const bool from_edge = begin_mask >> i & 1, to_edge = end_mask >> i & 1;
    if (size == kDynamic) {
      if (step == 1 && (from_edge || begin[i] == 0) && (to_edge || end[i] == kDynamic) &&
          !(shrink >> i & 1)) {
        whole();
        continue;
      }
      return Unsupported("StridedSlice of the batch");
    }
    if (begin[i] == kDynamic || end[i] == kDynamic)
      return Unsupported("StridedSlice with bounds that depend on the batch");
    const auto clamp = [&](int64_t v) {
      const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
      return v < -size ? low : std::clamp(v < 0 ? v + size : v, low, high);
    };
    SliceDim dim;
    if (shrink >> i & 1) {
      dim = {begin[i] < 0 && begin[i] >= -size ? begin[i] + size : begin[i], 1, 1, true};
      if (dim.begin < 0 || dim.begin >= size)
        return Corrupt(StrCat("StridedSlice takes element ", begin[i], " of ", size));
    } else {
      const int64_t first = from_edge ? (step > 0 ? 0 : size - 1) : clamp(begin[i]);
      const int64_t last = to_edge ? (step > 0 ? size : -1) : clamp(end[i]);
      const int64_t span = step > 0 ? last - first : first - last;
      // The step's magnitude without the overflow of negating it.
      const uint64_t stride =
          step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
      dim = {first, step,
             span <= 0 ? 0 : static_cast<int64_t>((static_cast<uint64_t>(span) - 1) / stride) + 1,
             false};
      if (dim.count <= 1) dim.step = 1;
      if (dim.count == 0) dim.begin = 0;
      plan.output_dims.push_back(dim.count);
    }
    plan.dims.push_back(dim);
  }
  while (plan.dims.size() < dims.size()) whole();
  return plan;
}

Result<HostTensor> ShapeTensor(const NodeDef& node, const std::vector<int64_t>& dims) {
  HostTensor out;
  out.dtype = node.Type("out_type", kInt32);
  if (out.dtype != kInt32 && out.dtype != kInt64)
    return Corrupt(StrCat("Shape of ", TypeName(out.dtype)));
  out.dims = {static_cast<int64_t>(dims.size())};
  out.ints = dims;
  return out;
}

bool CanFold(std::string_view op) {
  Binary binary;
  if (ParseBinary(op, &binary) || IsUnary(op)) return true;
  for (const char* other :
       {"Cast", "Reshape", "Squeeze", "ExpandDims", "Pack", "ConcatV2", "StridedSlice", "Fill",
        "Prod", "Transpose", "GatherV2", "Gather", "Shape"}) {
    if (op == other) return true;
  }
  return false;
}

Result<HostTensor> FoldConstant(const NodeDef& node, const std::vector<const HostTensor*>& inputs,
                                int64_t max_elements) {
  for (const HostTensor* in : inputs) {
    if (in->dtype == kString) return Unsupported(StrCat(node.op, " on strings"));
  }
  if (inputs.empty()) return BadInputs(node);
  const HostTensor& first = *inputs[0];
  Binary binary;
  if (ParseBinary(node.op, &binary)) {
    if (inputs.size() != 2) return BadInputs(node);
    return FoldBinary(node, binary, first, *inputs[1], max_elements);
  }
  if (IsUnary(node.op)) {
    if (!first.is_float()) return BadInputs(node);
    HostTensor out = first;
    for (float& v : out.floats) v = ApplyUnary(node.op, v);
    return out;
  }
  if (node.op == "Cast") return FoldCast(node, first);
  if (node.op == "Pack") return FoldPack(node, inputs);
  if (node.op == "ConcatV2") return FoldConcat(node, inputs);
  if (node.op == "StridedSlice") return FoldStridedSlice(node, inputs);
  if (node.op == "Transpose") return FoldTranspose(node, inputs);
  if (node.op == "GatherV2" || node.op == "Gather") return FoldGather(node, inputs);
  if (node.op == "Prod") return FoldProd(node, first);
  if (node.op == "Fill") {
    if (inputs.size() != 2) return BadInputs(node);
    return FoldFill(node, first, *inputs[1], max_elements);
  }
  if (node.op == "Shape") return ShapeTensor(node, first.dims);
  HostTensor out = first;
  if (node.op == "Squeeze") {
    OCTET_ASSIGN_OR_RETURN(out.dims, SqueezedDims(node, first.dims));
    return out;
  }
  if (inputs.size() != 2) return BadInputs(node);
  if (node.op == "Reshape") {
    OCTET_ASSIGN_OR_RETURN(out.dims, ResolveReshape(inputs[1]->ints, first.num_elements()));
    return out;
  }
  if (node.op == "ExpandDims") {
    if (inputs[1]->ints.size() != 1) return BadInputs(node);
    OCTET_ASSIGN_OR_RETURN(
        const int64_t axis,
        NormalizeAxis(inputs[1]->ints[0], static_cast<int64_t>(first.dims.size()) + 1));
    out.dims.insert(out.dims.begin() + axis, 1);
    return out;
  }
  return Unsupported(StrCat(node.op, " on constants"));
}

}  // namespace octet::tf
