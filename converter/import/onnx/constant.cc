#include "converter/import/onnx/constant.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <utility>

#include "formats/base/dtype.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

constexpr size_t kMaxRank = 8;

int64_t TypeSize(OnnxType type) {
  switch (type) {
    case OnnxType::kBool:
    case OnnxType::kUint8:
    case OnnxType::kInt8:
      return 1;
    case OnnxType::kUint16:
    case OnnxType::kInt16:
    case OnnxType::kFloat16:
    case OnnxType::kBfloat16:
      return 2;
    case OnnxType::kFloat:
    case OnnxType::kInt32:
    case OnnxType::kUint32:
      return 4;
    case OnnxType::kDouble:
    case OnnxType::kInt64:
    case OnnxType::kUint64:
      return 8;
    default:
      return 0;
  }
}

/// int64 arithmetic wraps as two's complement; C++ would not define it.
int64_t Wrap(uint64_t v) { return static_cast<int64_t>(v); }
int64_t WrapMul(int64_t a, int64_t b) {
  return Wrap(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

/// An integer as its type has it.
int64_t Wrapped(int64_t v, OnnxType type) {
  switch (type) {
    case OnnxType::kBool:
      return v != 0;
    case OnnxType::kUint8:
      return static_cast<uint8_t>(v);
    case OnnxType::kInt8:
      return static_cast<int8_t>(v);
    case OnnxType::kUint16:
      return static_cast<uint16_t>(v);
    case OnnxType::kInt16:
      return static_cast<int16_t>(v);
    case OnnxType::kUint32:
      return static_cast<uint32_t>(v);
    case OnnxType::kInt32:
      return static_cast<int32_t>(v);
    default:
      return v;
  }
}

/// A number as its type has it, to nearest even.
float Rounded(float v, OnnxType type) {
  if (type == OnnxType::kFloat16) return HalfToFloat(FloatToHalf(v));
  if (type != OnnxType::kBfloat16 || std::isnan(v)) return v;
  uint32_t bits = std::bit_cast<uint32_t>(v);
  bits += 0x7fff + ((bits >> 16) & 1);
  return std::bit_cast<float>(bits & 0xffff0000);
}

bool Less(int64_t a, int64_t b, OnnxType type) {
  return type == OnnxType::kUint64 ? static_cast<uint64_t>(a) < static_cast<uint64_t>(b) : a < b;
}

/// Row-major strides. They may wrap when a dimension is 0, and are not used then.
std::vector<int64_t> Strides(const OnnxDims& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) strides[i - 1] = WrapMul(strides[i], dims[i]);
  return strides;
}

/// Calls `f(offset)` for every element of `dims` in row-major order, where offset is the sum of
/// index times stride.
template <typename F>
void ForEachOffset(const OnnxDims& dims, const std::vector<int64_t>& strides, int64_t base, F f) {
  if (NumElements(dims) <= 0) return;
  std::vector<int64_t> index(dims.size(), 0);
  int64_t offset = base;
  while (true) {
    f(offset);
    size_t d = dims.size();
    while (d-- > 0) {
      offset += strides[d];
      if (++index[d] < dims[d]) break;
      offset -= strides[d] * dims[d];
      index[d] = 0;
      if (d == 0) return;
    }
    if (dims.empty()) return;
  }
}

/// A constant of the same type with `dims`, whose elements are those of `x` at the given strides.
OnnxConstant Pick(const OnnxConstant& x, const OnnxDims& dims, const std::vector<int64_t>& strides,
                  int64_t base) {
  OnnxConstant y;
  y.type = x.type;
  y.dims = dims;
  const size_t n = static_cast<size_t>(std::max<int64_t>(NumElements(dims), 0));
  if (x.is_float()) {
    y.floats.reserve(n);
    ForEachOffset(dims, strides, base, [&](int64_t o) { y.floats.push_back(x.floats[o]); });
  } else {
    y.ints.reserve(n);
    ForEachOffset(dims, strides, base, [&](int64_t o) { y.ints.push_back(x.ints[o]); });
  }
  return y;
}

Result<OnnxDims> BroadcastDims(const OnnxDims& a, const OnnxDims& b) {
  OnnxDims out(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t da = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t db = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (da != db && da != 1 && db != 1) {
      return Corrupt(StrCat("shapes ", DimsText(a), " and ", DimsText(b), " do not broadcast"));
    }
    out[out.size() - 1 - i] = da == 1 ? db : da;
  }
  return out;
}

OnnxConstant BroadcastTo(const OnnxConstant& x, const OnnxDims& dims) {
  const std::vector<int64_t> own = Strides(x.dims);
  std::vector<int64_t> strides(dims.size(), 0);
  for (size_t i = 0; i < x.dims.size(); ++i) {
    if (x.dims[i] != 1) strides[dims.size() - x.dims.size() + i] = own[i];
  }
  return Pick(x, dims, strides, 0);
}

Result<OnnxConstant> FoldBinary(const OnnxNode& node, const OnnxConstant& a, const OnnxConstant& b,
                                const OnnxBudget& budget) {
  const std::string& op = node.op_type;
  OnnxAttributes attributes(node);
  const bool fmod = attributes.Int("fmod", 0) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (a.type != b.type)
    return Corrupt(StrCat("its inputs are ", OnnxTypeName(a.type), " and ", OnnxTypeName(b.type)));
  if (op == "Mod" && a.is_float() && !fmod) return Corrupt("fmod is 0 for floating-point numbers");
  OCTET_ASSIGN_OR_RETURN(const OnnxDims dims, BroadcastDims(a.dims, b.dims));
  OCTET_RETURN_IF_ERROR(budget.Charge(NumElements(dims), a.is_float()));
  OnnxConstant x = BroadcastTo(a, dims);
  const OnnxConstant y = BroadcastTo(b, dims);
  for (size_t i = 0; i < x.floats.size(); ++i) {
    float& v = x.floats[i];
    const float w = y.floats[i];
    if (op == "Add") v += w;
    if (op == "Sub") v -= w;
    if (op == "Mul") v *= w;
    if (op == "Div") v /= w;
    if (op == "Mod") v = std::fmod(v, w);
    if (op == "Min") v = std::min(v, w);
    if (op == "Max") v = std::max(v, w);
    v = Rounded(v, x.type);
  }
  const bool is_unsigned = x.type == OnnxType::kUint64;
  for (size_t i = 0; i < x.ints.size(); ++i) {
    int64_t& v = x.ints[i];
    const int64_t w = y.ints[i];
    if (op == "Add") v = Wrap(static_cast<uint64_t>(v) + static_cast<uint64_t>(w));
    if (op == "Sub") v = Wrap(static_cast<uint64_t>(v) - static_cast<uint64_t>(w));
    if (op == "Mul") v = WrapMul(v, w);
    if (op == "Div" || op == "Mod") {
      if (w == 0) return Corrupt("it divides by zero");
      const uint64_t uv = static_cast<uint64_t>(v), uw = static_cast<uint64_t>(w);
      // -1 apart: the lowest number by it has no result.
      const int64_t quotient = is_unsigned ? Wrap(uv / uw) : w == -1 ? Wrap(0 - uv) : v / w;
      if (op == "Div") {
        v = quotient;
      } else {  // The result has the divisor's sign, or with fmod the dividend's.
        const int64_t rest = is_unsigned ? Wrap(uv % uw) : w == -1 ? 0 : v % w;
        v = !fmod && !is_unsigned && rest != 0 && (rest < 0) != (w < 0) ? rest + w : rest;
      }
    }
    if (op == "Min" && Less(w, v, x.type)) v = w;
    if (op == "Max" && Less(v, w, x.type)) v = w;
    v = op == "Equal" ? v == w : Wrapped(v, x.type);
  }
  if (op == "Equal") {
    for (size_t i = 0; i < x.floats.size(); ++i) x.ints.push_back(x.floats[i] == y.floats[i]);
    x.floats.clear();
    x.type = OnnxType::kBool;
  }
  return x;
}

Result<OnnxConstant> FoldWhere(const OnnxConstant& condition, const OnnxConstant& a,
                               const OnnxConstant& b, const OnnxBudget& budget) {
  if (condition.is_float() || a.is_float() != b.is_float())
    return Corrupt("its inputs have the wrong types");
  OCTET_ASSIGN_OR_RETURN(const OnnxDims both, BroadcastDims(a.dims, b.dims));
  OCTET_ASSIGN_OR_RETURN(const OnnxDims dims, BroadcastDims(both, condition.dims));
  OCTET_RETURN_IF_ERROR(budget.Charge(NumElements(dims), a.is_float()));
  const OnnxConstant pick = BroadcastTo(condition, dims), otherwise = BroadcastTo(b, dims);
  OnnxConstant x = BroadcastTo(a, dims);
  for (size_t i = 0; i < pick.ints.size(); ++i) {
    if (pick.ints[i] != 0) continue;
    if (x.is_float()) {
      x.floats[i] = otherwise.floats[i];
    } else {
      x.ints[i] = otherwise.ints[i];
    }
  }
  return x;
}

/// The product of all values of a list, as shapes need it.
Result<OnnxConstant> FoldProduct(const OnnxNode& node, const OnnxConstant& x) {
  OnnxAttributes attributes(node);
  const bool keep = attributes.Int("keepdims", 1) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  OnnxConstant y{x.type, keep ? OnnxDims(x.dims.size(), 1) : OnnxDims(), {}, {}};
  if (x.is_float()) {
    float product = 1.0f;
    for (float v : x.floats) product = Rounded(product * v, x.type);
    y.floats.push_back(product);
  } else {
    int64_t product = 1;
    for (int64_t v : x.ints) product = WrapMul(product, v);
    y.ints.push_back(Wrapped(product, x.type));
  }
  return y;
}

Result<OnnxConstant> FoldUnary(const std::string& op, const OnnxConstant& x,
                               const OnnxBudget& budget) {
  OCTET_RETURN_IF_ERROR(budget.Charge(x.size(), x.is_float()));
  OnnxConstant y = x;
  for (float& v : y.floats) {
    if (op == "Neg") v = -v;
    if (op == "Sqrt") v = std::sqrt(v);
    if (op == "Reciprocal") v = 1.0f / v;
    if (op == "Floor") v = std::floor(v);
    if (op == "Ceil") v = std::ceil(v);
    v = Rounded(v, x.type);
  }
  for (int64_t& v : y.ints) {
    v = Wrapped(Wrap(0 - static_cast<uint64_t>(v)), x.type);
  }
  if (!x.is_float() && op != "Neg") return Corrupt("its input is not floating-point");
  return y;
}

Result<OnnxConstant> FoldCast(const OnnxNode& node, const OnnxConstant& x,
                              const OnnxBudget& budget) {
  OnnxAttributes attributes(node);
  const auto to = static_cast<OnnxType>(attributes.Int("to", 0));
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  return CastConstant(x, to, budget);
}

Result<OnnxConstant> FoldGather(const OnnxNode& node, const OnnxConstant& x,
                                const OnnxConstant& indices, const OnnxBudget& budget) {
  OnnxAttributes attributes(node);
  const int64_t raw_axis = attributes.Int("axis", 0);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  OCTET_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(raw_axis, x.dims.size()));
  if (indices.is_float()) return Corrupt("its indices are not integers");
  OnnxDims dims(x.dims.begin(), x.dims.begin() + axis);
  dims.insert(dims.end(), indices.dims.begin(), indices.dims.end());
  dims.insert(dims.end(), x.dims.begin() + axis + 1, x.dims.end());
  if (dims.size() > kMaxRank) return Corrupt("its result has too many dimensions");
  OCTET_RETURN_IF_ERROR(budget.Charge(NumElements(dims), x.is_float()));
  const int64_t outer = NumElements({x.dims.begin(), x.dims.begin() + axis});
  const int64_t inner = NumElements({x.dims.begin() + axis + 1, x.dims.end()});
  const int64_t extent = x.dims[axis];
  OnnxConstant y;
  y.type = x.type;
  y.dims = dims;
  if (NumElements(dims) == 0) return y;  // The loops below could be long for nothing.
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t index : indices.ints) {
      if (index < -extent || index >= extent)
        return Corrupt(StrCat("its index ", index, " is outside an axis of ", extent));
      const int64_t from = (o * extent + (index < 0 ? index + extent : index)) * inner;
      if (x.is_float()) {
        y.floats.insert(y.floats.end(), x.floats.begin() + from, x.floats.begin() + from + inner);
      } else {
        y.ints.insert(y.ints.end(), x.ints.begin() + from, x.ints.begin() + from + inner);
      }
    }
  }
  return y;
}

Result<OnnxConstant> FoldConcat(const OnnxNode& node,
                                const std::vector<const OnnxConstant*>& inputs,
                                const OnnxBudget& budget) {
  OnnxAttributes attributes(node);
  const OnnxConstant& first = *inputs[0];
  const int64_t raw_axis = attributes.Int("axis", 0);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  OCTET_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(raw_axis, first.dims.size()));
  OnnxConstant y;
  y.type = first.type;
  y.dims = first.dims;
  y.dims[axis] = 0;
  for (const OnnxConstant* x : inputs) {
    bool same =
        x != nullptr && x->is_float() == first.is_float() && x->dims.size() == first.dims.size();
    for (size_t d = 0; same && d < first.dims.size(); ++d) {
      same = static_cast<int>(d) == axis || x->dims[d] == first.dims[d];
    }
    if (!same || !CheckedAdd(y.dims[axis], x->dims[axis], &y.dims[axis]))
      return Corrupt("its inputs do not fit each other");
  }
  OCTET_RETURN_IF_ERROR(budget.Charge(NumElements(y.dims), y.is_float()));
  if (NumElements(y.dims) == 0) return y;  // The loops below could be long for nothing.
  const int64_t outer = NumElements({first.dims.begin(), first.dims.begin() + axis});
  const int64_t inner = NumElements({first.dims.begin() + axis + 1, first.dims.end()});
  for (int64_t o = 0; o < outer; ++o) {
    for (const OnnxConstant* x : inputs) {
      const int64_t run = x->dims[axis] * inner;
      if (y.is_float()) {
        y.floats.insert(y.floats.end(), x->floats.begin() + o * run,
                        x->floats.begin() + (o + 1) * run);
      } else {
        y.ints.insert(y.ints.end(), x->ints.begin() + o * run, x->ints.begin() + (o + 1) * run);
      }
    }
  }
  return y;
}

Result<OnnxConstant> FoldConstantOfShape(const OnnxNode& node, const OnnxConstant& shape,
                                         const OnnxBudget& budget) {
  if (shape.is_float() || shape.ints.size() > kMaxRank)
    return Corrupt("its shape is not a list of integers");
  OnnxConstant y;
  y.type = OnnxType::kFloat;
  y.dims = shape.ints;
  OnnxConstant value{OnnxType::kFloat, {1}, {0.0f}, {}};
  if (const OnnxAttribute* a = OnnxAttributes(node).Find("value")) {
    if (a->kind != OnnxAttribute::Kind::kTensor) return Corrupt("its 'value' is not a tensor");
    OCTET_ASSIGN_OR_RETURN(value, DecodeOnnxTensor(a->t, std::nullopt));
    if (value.size() != 1) return Corrupt("its 'value' is not one element");
  }
  const int64_t n = NumElements(y.dims);
  OCTET_RETURN_IF_ERROR(budget.Charge(n, value.is_float()));
  y.type = value.type;
  if (value.is_float()) {
    y.floats.assign(static_cast<size_t>(n), value.floats[0]);
  } else {
    y.ints.assign(static_cast<size_t>(n), value.ints[0]);
  }
  return y;
}

Result<OnnxConstant> WithDims(const OnnxConstant& x, OnnxDims dims, const OnnxBudget& budget) {
  if (dims.size() > kMaxRank) return Corrupt("its result has too many dimensions");
  OCTET_RETURN_IF_ERROR(budget.Charge(x.size(), x.is_float()));
  OnnxConstant y = x;
  y.dims = std::move(dims);
  if (y.steps.size() > 1) {
    // The dimension of the steps may stand elsewhere now, or be cut.
    const int64_t outside = NumElements({x.dims.begin(), x.dims.begin() + x.step_axis});
    int64_t before = 1;
    size_t axis = 0;
    while (axis < y.dims.size() && (before < outside || y.dims[axis] == 1))
      before *= y.dims[axis++];
    if (axis < y.dims.size() && before == outside &&
        y.dims[axis] == static_cast<int64_t>(y.steps.size())) {
      y.step_axis = static_cast<int>(axis);
    } else {
      y.steps.clear();
    }
  }
  return y;
}

Result<std::vector<int64_t>> IntList(const OnnxConstant* x, const char* what) {
  if (x == nullptr) return std::vector<int64_t>();
  if (x->is_float() || x->dims.size() > 1)
    return Corrupt(StrCat("its ", what, " are not a list of integers"));
  return x->ints;
}

}  // namespace

bool IsFloatType(OnnxType type) {
  return type == OnnxType::kFloat || type == OnnxType::kDouble || type == OnnxType::kFloat16 ||
         type == OnnxType::kBfloat16;
}

Status OnnxBudget::Charge(int64_t elements, bool is_float) const {
  int64_t bytes = 0;
  if (elements < 0 || !CheckedMul(elements, is_float ? 4 : 8, &bytes) || bytes > largest)
    return Corrupt("its constant result is too large");
  return builder->Charge(bytes);
}

std::string OnnxTypeName(OnnxType type) {
  static constexpr const char* kNames[] = {
      "undefined",      "float32",  "uint8",        "int8",           "uint16",
      "int16",          "int32",    "int64",        "string",         "bool",
      "float16",        "float64",  "uint32",       "uint64",         "complex64",
      "complex128",     "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
      "float8e5m2fnuz", "uint4",    "int4",         "float4e2m1",     "float8e8m0",
      "uint2",          "int2"};
  const size_t i = static_cast<size_t>(type);
  return i < std::size(kNames) ? kNames[i] : StrCat("type ", static_cast<int>(type));
}

bool OnnxConstant::is_float() const { return IsFloatType(type); }

int64_t NumElements(const OnnxDims& dims) {
  int64_t n = 1;
  for (int64_t d : dims) {
    if (d < 0 || !CheckedMul(n, d, &n)) return -1;
  }
  return n;
}

Result<OnnxConstant> DecodeOnnxTensor(const OnnxTensor& t,
                                      std::optional<std::string_view> external) {
  const std::string where = StrCat("tensor '", t.name, "'");
  const int64_t element = TypeSize(t.type);
  if (element == 0)
    return Unsupported(StrCat(where, " has the element type ", OnnxTypeName(t.type)));
  const int64_t n = NumElements(t.dims);
  int64_t bytes = 0;
  if (n < 0 || t.dims.size() > kMaxRank || !CheckedMul(n, element, &bytes)) {
    return Corrupt(StrCat(where, ": impossible shape ", DimsText(t.dims)));
  }
  OnnxConstant c;
  c.type = t.type;
  c.dims = t.dims;
  if (t.external && !external)
    return Unsupported(StrCat(where, ": data in another file is allowed for initializers only"));
  if (t.has_raw || external) {
    const std::string_view raw = external ? *external : t.raw;
    if (static_cast<uint64_t>(bytes) != raw.size()) {
      return Corrupt(StrCat(where, ": found ", raw.size(), " bytes of data, expected ", bytes,
                            " for shape ", DimsText(t.dims)));
    }
    const char* p = raw.data();
    const auto each = [&](auto type, auto* out, auto convert) {
      using T = decltype(type);
      out->resize(static_cast<size_t>(n));
      for (int64_t i = 0; i < n; ++i) {
        T v;
        std::memcpy(&v, p + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
        (*out)[i] = convert(v);
      }
    };
    const auto integer = [](auto v) { return static_cast<int64_t>(v); };
    switch (t.type) {
      case OnnxType::kFloat:
        each(float{}, &c.floats, [](float v) { return v; });
        break;
      case OnnxType::kDouble:
        each(double{}, &c.floats, [](double v) { return static_cast<float>(v); });
        break;
      case OnnxType::kFloat16:
        each(uint16_t{}, &c.floats, HalfToFloat);
        break;
      case OnnxType::kBfloat16:
        each(uint16_t{}, &c.floats,
             [](uint16_t v) { return std::bit_cast<float>(static_cast<uint32_t>(v) << 16); });
        break;
      case OnnxType::kUint8:
      case OnnxType::kBool:
        each(uint8_t{}, &c.ints, integer);
        break;
      case OnnxType::kInt8:
        each(int8_t{}, &c.ints, integer);
        break;
      case OnnxType::kUint16:
        each(uint16_t{}, &c.ints, integer);
        break;
      case OnnxType::kInt16:
        each(int16_t{}, &c.ints, integer);
        break;
      case OnnxType::kUint32:
        each(uint32_t{}, &c.ints, integer);
        break;
      case OnnxType::kInt32:
        each(int32_t{}, &c.ints, integer);
        break;
      default:
        each(int64_t{}, &c.ints, integer);
        break;  // kInt64, and kUint64 with the same bits.
    }
    return c;
  }
  switch (t.type) {
    case OnnxType::kFloat:
      c.floats = t.floats;
      break;
    case OnnxType::kDouble:
      for (double v : t.doubles) c.floats.push_back(static_cast<float>(v));
      break;
    case OnnxType::kFloat16:
      for (int64_t v : t.ints) c.floats.push_back(HalfToFloat(static_cast<uint16_t>(v)));
      break;
    case OnnxType::kBfloat16:
      for (int64_t v : t.ints)
        c.floats.push_back(std::bit_cast<float>(static_cast<uint32_t>(v & 0xffff) << 16));
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
  return a == nullptr ? std::move(otherwise) : a->ints;
}

Result<int> NormalizeAxis(int64_t axis, size_t rank) {
  const int64_t r = static_cast<int64_t>(rank);
  if (axis < -r || axis >= r)
    return Corrupt(StrCat("axis ", axis, " is outside ", r, " dimensions"));
  return static_cast<int>(axis < 0 ? axis + r : axis);
}

Result<OnnxDims> ResolveReshape(const OnnxDims& dims, const std::vector<int64_t>& target,
                                bool allow_zero) {
  const auto mismatch = [&] {
    return Corrupt(StrCat("shape ", DimsText(dims), " cannot become ", DimsText(target)));
  };
  if (target.size() > kMaxRank) return mismatch();
  OnnxDims out = target;
  int rest = -1;
  int64_t known = 1;
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] == 0 && !allow_zero) {
      if (i >= dims.size()) return mismatch();
      out[i] = dims[i];
    }
    if (out[i] == -1) {
      if (rest >= 0) return mismatch();
      rest = static_cast<int>(i);
      continue;
    }
    if (out[i] < 0 || !CheckedMul(known, out[i], &known)) return mismatch();
  }
  const int64_t total = NumElements(dims);
  if (rest >= 0) {
    if (known == 0 || total % known != 0) return mismatch();
    out[rest] = total / known;
  } else if (known != total) {
    return mismatch();
  }
  return out;
}

Result<OnnxDims> ResolveSqueeze(const OnnxDims& dims,
                                const std::optional<std::vector<int64_t>>& axes) {
  std::vector<bool> drop(dims.size(), false);
  if (axes) {
    for (int64_t a : *axes) {
      OCTET_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(a, dims.size()));
      if (dims[axis] != 1)
        return Corrupt(StrCat("it squeezes axis ", axis, " of shape ", DimsText(dims)));
      drop[axis] = true;
    }
  } else {
    for (size_t i = 0; i < dims.size(); ++i) drop[i] = dims[i] == 1;
  }
  OnnxDims out;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (!drop[i]) out.push_back(dims[i]);
  }
  return out;
}

Result<OnnxDims> ResolveUnsqueeze(const OnnxDims& dims, const std::vector<int64_t>& axes) {
  const size_t rank = dims.size() + axes.size();
  if (rank > kMaxRank) return Corrupt("its result has too many dimensions");
  std::vector<bool> inserted(rank, false);
  for (int64_t a : axes) {
    OCTET_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(a, rank));
    if (inserted[axis]) return Corrupt(StrCat("it inserts axis ", axis, " twice"));
    inserted[axis] = true;
  }
  OnnxDims out;
  size_t next = 0;
  for (size_t i = 0; i < rank; ++i) out.push_back(inserted[i] ? 1 : dims[next++]);
  return out;
}

Result<std::vector<OnnxSliceRange>> ResolveSlice(const OnnxDims& dims,
                                                 const std::vector<int64_t>& starts,
                                                 const std::vector<int64_t>& ends,
                                                 const std::vector<int64_t>& axes,
                                                 const std::vector<int64_t>& steps) {
  std::vector<OnnxSliceRange> ranges;
  for (int64_t d : dims) ranges.push_back({0, 1, d});
  if (starts.size() != ends.size() || (!axes.empty() && axes.size() != starts.size()) ||
      (!steps.empty() && steps.size() != starts.size())) {
    return Corrupt("its starts, ends, axes and steps differ in length");
  }
  std::vector<bool> seen(dims.size(), false);
  for (size_t i = 0; i < starts.size(); ++i) {
    OCTET_ASSIGN_OR_RETURN(
        const int axis,
        NormalizeAxis(axes.empty() ? static_cast<int64_t>(i) : axes[i], dims.size()));
    if (seen[axis]) return Corrupt(StrCat("it slices axis ", axis, " twice"));
    seen[axis] = true;
    const int64_t d = dims[axis], step = steps.empty() ? 1 : steps[i];
    if (step == 0) return Corrupt("its step is 0");
    // Indices count from the end when negative and are clamped, to [0, d] going up and to [-1, d-1]
    // going down.
    const auto clamp = [&](int64_t v) {
      if (v < 0) v = v < -d ? -1 : v + d;
      return step > 0 ? std::clamp<int64_t>(v, 0, d) : std::clamp<int64_t>(v, -1, d - 1);
    };
    int64_t begin = clamp(starts[i]), end = clamp(ends[i]);
    if (step > 0 && starts[i] < -d) begin = 0;
    if (step < 0 && starts[i] < -d) begin = 0;
    if (step < 0 && d == 0) begin = end = -1;
    const int64_t distance = step > 0 ? end - begin : begin - end;
    // A step is possibly -2^63; dividing by its negation as unsigned is safe.
    const uint64_t stride =
        step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
    const int64_t count =
        distance <= 0 ? 0
                      : static_cast<int64_t>((static_cast<uint64_t>(distance) - 1) / stride) + 1;
    // One element has no step, which keeps begin + step * count small.
    ranges[axis] = {begin, count <= 1 ? 1 : step, count};
  }
  return ranges;
}

Result<OnnxConstant> DecodeSparseTensor(const OnnxSparseTensor& t, const OnnxBudget& budget) {
  const std::string where = StrCat("sparse tensor '", t.values.name, "'");
  OCTET_ASSIGN_OR_RETURN(const OnnxConstant values, DecodeOnnxTensor(t.values, std::nullopt));
  OCTET_ASSIGN_OR_RETURN(const OnnxConstant indices, DecodeOnnxTensor(t.indices, std::nullopt));
  const int64_t n = values.size(), elements = NumElements(t.dims);
  const int64_t rank = static_cast<int64_t>(t.dims.size());
  // Each value has one index into the elements, or one for each dimension.
  const bool split = indices.dims.size() == 2;
  if (t.dims.size() > kMaxRank || elements < 0 || indices.is_float() ||
      indices.size() != (split ? n * rank : n)) {
    return Corrupt(
        StrCat(where, ": ", n, " values and ", indices.size(), " indices for ", DimsText(t.dims)));
  }
  OCTET_RETURN_IF_ERROR(budget.Charge(elements, values.is_float()));
  OnnxConstant c{values.type, t.dims, {}, {}};
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

Result<OnnxConstant> ConstantNodeValue(
    const OnnxNode& node, const OnnxBudget& budget,
    const std::function<Result<std::string_view>(const OnnxTensor&)>& external) {
  using Kind = OnnxAttribute::Kind;
  for (const OnnxAttribute& a : node.attributes) {
    if (a.name == "value" && a.kind == Kind::kTensor) {
      if (!a.t.external) return DecodeOnnxTensor(a.t, std::nullopt);
      OCTET_ASSIGN_OR_RETURN(const std::string_view bytes, external(a.t));
      return DecodeOnnxTensor(a.t, bytes);
    }
    if (a.name == "sparse_value" && a.kind == Kind::kSparse)
      return DecodeSparseTensor(a.sparse, budget);
    if (a.name == "value_float" && a.kind == Kind::kFloat)
      return OnnxConstant{OnnxType::kFloat, {}, {a.f}, {}};
    if (a.name == "value_int" && a.kind == Kind::kInt)
      return OnnxConstant{OnnxType::kInt64, {}, {}, {a.i}};
    if (a.name == "value_floats" && a.kind == Kind::kFloats) {
      return OnnxConstant{OnnxType::kFloat, {static_cast<int64_t>(a.floats.size())}, a.floats, {}};
    }
    if (a.name == "value_ints" && a.kind == Kind::kInts) {
      return OnnxConstant{OnnxType::kInt64, {static_cast<int64_t>(a.ints.size())}, {}, a.ints};
    }
  }
  return Unsupported("its value is neither a tensor nor a list of numbers");
}

Result<OnnxConstant> CastConstant(const OnnxConstant& x, OnnxType to, const OnnxBudget& budget) {
  if (TypeSize(to) == 0) return Unsupported(StrCat("it casts to ", OnnxTypeName(to)));
  OCTET_RETURN_IF_ERROR(budget.Charge(x.size(), x.is_float()));
  OnnxConstant y;
  y.type = to;
  y.dims = x.dims;
  if (IsFloatType(to)) {
    for (float v : x.floats) y.floats.push_back(Rounded(v, to));
    for (int64_t v : x.ints) {
      y.floats.push_back(Rounded(x.type == OnnxType::kUint64
                                     ? static_cast<float>(static_cast<uint64_t>(v))
                                     : static_cast<float>(v),
                                 to));
    }
    return y;
  }
  for (int64_t v : x.ints) y.ints.push_back(Wrapped(v, to));
  for (float v : x.floats) {
    // Beyond the type's numbers machines differ.
    const int64_t integer = std::fabs(v) < 0x1p62f ? static_cast<int64_t>(v) : 0;
    const bool fits = std::fabs(v) < 0x1p62f &&
                      (to == OnnxType::kBool || (Wrapped(integer, to) == integer &&
                                                 (to != OnnxType::kUint64 || integer >= 0)));
    if (!fits) return Corrupt(StrCat("it casts ", v, " to ", OnnxTypeName(to)));
    y.ints.push_back(to == OnnxType::kBool ? v != 0.0f : integer);
  }
  return y;
}

OnnxConstant TransposeConstant(const OnnxConstant& x, const std::vector<int>& perm) {
  const std::vector<int64_t> own = Strides(x.dims);
  OnnxDims dims;
  std::vector<int64_t> strides;
  for (int p : perm) {
    dims.push_back(x.dims[p]);
    strides.push_back(own[p]);
  }
  OnnxConstant y = Pick(x, dims, strides, 0);
  y.steps = x.steps;
  y.step_axis = static_cast<int>(std::find(perm.begin(), perm.end(), x.step_axis) - perm.begin());
  return y;
}

Result<std::vector<int>> TransposePermutation(const OnnxNode& node, size_t rank) {
  OnnxAttributes attributes(node);
  std::vector<int64_t> perm;
  for (size_t i = rank; i-- > 0;) perm.push_back(static_cast<int64_t>(i));
  perm = attributes.Ints("perm", perm);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  std::vector<int> out;
  std::vector<bool> seen(rank, false);
  for (int64_t p : perm) {
    if (p < 0 || p >= static_cast<int64_t>(rank) || seen[p] || perm.size() != rank) {
      return Corrupt(
          StrCat("perm ", DimsText(perm), " is not a permutation of ", rank, " dimensions"));
    }
    seen[p] = true;
    out.push_back(static_cast<int>(p));
  }
  if (out.size() != rank)
    return Corrupt(
        StrCat("perm ", DimsText(perm), " is not a permutation of ", rank, " dimensions"));
  return out;
}

std::vector<float> StepsOf(const OnnxConstant& weights, int axis) {
  return weights.steps.size() == 1 || weights.step_axis == axis ? weights.steps
                                                                : std::vector<float>();
}

Result<LinearParameters> ReadLinearParameters(const OnnxNode& node, const OnnxConstant* scale,
                                              const OnnxConstant* zero, OnnxType codes) {
  if (scale == nullptr || !scale->is_float() || scale->floats.empty())
    return Corrupt("its scale is missing, empty or not floating-point");
  OnnxAttributes attributes(node);
  const int64_t block = attributes.Int("block_size", 0);
  const auto written = static_cast<OnnxType>(attributes.Int("output_dtype", 0));
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
  if (quantizes && written != OnnxType::kUndefined) p.type = written;
  if (!quantizes && written != OnnxType::kUndefined && !IsFloatType(written))
    return Corrupt(
        StrCat("output_dtype is ", OnnxTypeName(written), ", expected a floating-point type"));
  if (!quantizes && codes != OnnxType::kUndefined) p.type = codes;
  p.zero_points.assign(p.scales.size(), 0);
  if (zero != nullptr) {
    const bool differs = (quantizes && written != OnnxType::kUndefined) ||
                         (!quantizes && codes != OnnxType::kUndefined);
    if (differs && zero->type != p.type) {
      return Corrupt(StrCat("its zero point is of ", OnnxTypeName(zero->type), ", its codes of ",
                            OnnxTypeName(p.type)));
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
    case OnnxType::kUint8:
    case OnnxType::kInt8:
    case OnnxType::kUint16:
    case OnnxType::kInt16:
    case OnnxType::kInt32:
      return p;
    default:
      return Unsupported(StrCat("its codes are of ", OnnxTypeName(p.type),
                                ", expected integers of 8, 16 or 32 bits"));
  }
}

namespace {

/// QuantizeLinear and DequantizeLinear of a constant: weights, rounded as the file says, or what
/// they stand for.
Result<OnnxConstant> FoldLinear(const OnnxNode& node, const OnnxConstant& x,
                                const OnnxConstant* scale, const OnnxConstant* zero,
                                const OnnxBudget& budget) {
  const bool quantize = node.op_type == "QuantizeLinear";
  if (x.is_float() != quantize)
    return Corrupt(quantize ? "its input is not floating-point" : "its input is not an integer");
  OCTET_ASSIGN_OR_RETURN(
      const LinearParameters p,
      ReadLinearParameters(node, scale, zero, quantize ? OnnxType::kUndefined : x.type));
  OnnxAttributes attributes(node);
  const int64_t raw_axis = attributes.Int("axis", 1);
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  OCTET_RETURN_IF_ERROR(budget.Charge(x.size(), x.is_float()));
  int64_t inner = std::max<int64_t>(1, x.size());  // Consecutive elements of one channel.
  int axis = 0;
  if (p.scales.size() > 1) {
    OCTET_ASSIGN_OR_RETURN(axis, NormalizeAxis(raw_axis, x.dims.size()));
    if (x.dims[axis] != static_cast<int64_t>(p.scales.size()))
      return Corrupt(StrCat("it has ", p.scales.size(), " scales along axis ", axis, " of ",
                            DimsText(x.dims)));
    inner = std::max<int64_t>(1, NumElements({x.dims.begin() + axis + 1, x.dims.end()}));
  }
  OnnxConstant y{quantize ? p.type : OnnxType::kFloat, x.dims, {}, {}};
  double low = 0.0, high = 255.0;
  if (p.type == OnnxType::kInt8) low = -128.0, high = 127.0;
  if (p.type == OnnxType::kUint16) high = 65535.0;
  if (p.type == OnnxType::kInt16) low = -32768.0, high = 32767.0;
  if (quantize && p.type == OnnxType::kInt32) return Corrupt("it quantizes to int32");
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
    y.step_axis = axis;
  }
  return y;
}

}  // namespace

Result<std::optional<OnnxConstant>> FoldOnnxNode(const OnnxNode& node,
                                                 const std::vector<const OnnxConstant*>& inputs,
                                                 int64_t opset, const OnnxBudget& budget) {
  using Folded = std::optional<OnnxConstant>;
  const std::string& op = node.op_type;
  const auto input = [&](size_t i) { return i < inputs.size() ? inputs[i] : nullptr; };
  const auto wrap = [](Result<OnnxConstant> c) -> Result<Folded> {
    if (!c.ok()) return c.status();
    return Folded(std::move(c).value());
  };
  // Axes are an attribute before opset 13 and an input from then on.
  const auto axes_of =
      [&](OnnxAttributes* attributes) -> Result<std::optional<std::vector<int64_t>>> {
    if (opset >= 13) {
      if (input(1) == nullptr) return std::optional<std::vector<int64_t>>();
      OCTET_ASSIGN_OR_RETURN(std::vector<int64_t> axes, IntList(input(1), "axes"));
      return std::optional(std::move(axes));
    }
    if (!attributes->Has("axes")) return std::optional<std::vector<int64_t>>();
    std::vector<int64_t> axes = attributes->Ints("axes");
    OCTET_RETURN_IF_ERROR(Status(attributes->status()));
    return std::optional(std::move(axes));
  };
  if (input(0) == nullptr) return Folded();
  const OnnxConstant& x = *input(0);
  OnnxAttributes attributes(node);

  if (op == "Identity") return wrap(WithDims(x, x.dims, budget));
  if (op == "Cast") return wrap(FoldCast(node, x, budget));
  if (op == "Neg" || op == "Sqrt" || op == "Reciprocal" || op == "Floor" || op == "Ceil") {
    return wrap(FoldUnary(op, x, budget));
  }
  // Of a list; with axes there is but one that they could name.
  if (op == "ReduceProd" && x.dims.size() == 1) {
    const bool none = opset >= 18 ? input(1) == nullptr || input(1)->size() == 0
                                  : attributes.Ints("axes").empty();
    if (none && attributes.Int("noop_with_empty_axes", 0) != 0)
      return wrap(WithDims(x, x.dims, budget));
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
    return wrap(FoldProduct(node, x));
  }
  if (op == "ConstantOfShape") return wrap(FoldConstantOfShape(node, x, budget));
  if (op == "QuantizeLinear" || op == "DequantizeLinear")
    return wrap(FoldLinear(node, x, input(1), input(2), budget));
  if (op == "Concat") {
    if (std::count(inputs.begin(), inputs.end(), nullptr) > 0)
      return Corrupt("an input is left out");
    return wrap(FoldConcat(node, inputs, budget));
  }
  if (op == "Transpose") {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int> perm, TransposePermutation(node, x.dims.size()));
    OCTET_RETURN_IF_ERROR(budget.Charge(x.size(), x.is_float()));
    return Folded(TransposeConstant(x, perm));
  }
  if (op == "Shape") {
    const int64_t rank = static_cast<int64_t>(x.dims.size());
    return Folded(OnnxConstant{OnnxType::kInt64, {rank}, {}, x.dims});
  }
  if (op == "Squeeze") {
    OCTET_ASSIGN_OR_RETURN(const auto axes, axes_of(&attributes));
    OCTET_ASSIGN_OR_RETURN(OnnxDims dims, ResolveSqueeze(x.dims, axes));
    return wrap(WithDims(x, std::move(dims), budget));
  }
  if (op == "Unsqueeze") {
    OCTET_ASSIGN_OR_RETURN(const auto axes, axes_of(&attributes));
    if (!axes) return Corrupt("it has no axes");
    OCTET_ASSIGN_OR_RETURN(OnnxDims dims, ResolveUnsqueeze(x.dims, *axes));
    return wrap(WithDims(x, std::move(dims), budget));
  }
  if (op == "Slice") {
    std::vector<int64_t> starts, ends, axes, steps;
    if (opset >= 10) {
      OCTET_ASSIGN_OR_RETURN(starts, IntList(input(1), "starts"));
      OCTET_ASSIGN_OR_RETURN(ends, IntList(input(2), "ends"));
      OCTET_ASSIGN_OR_RETURN(axes, IntList(input(3), "axes"));
      OCTET_ASSIGN_OR_RETURN(steps, IntList(input(4), "steps"));
    } else {
      starts = attributes.Ints("starts");
      ends = attributes.Ints("ends");
      axes = attributes.Ints("axes");
      OCTET_RETURN_IF_ERROR(Status(attributes.status()));
    }
    OCTET_ASSIGN_OR_RETURN(const auto ranges, ResolveSlice(x.dims, starts, ends, axes, steps));
    const std::vector<int64_t> own = Strides(x.dims);
    OnnxDims dims;
    std::vector<int64_t> strides;
    int64_t base = 0;
    for (size_t i = 0; i < ranges.size(); ++i) {
      dims.push_back(ranges[i].count);
      strides.push_back(WrapMul(own[i], ranges[i].step));
      base = Wrap(static_cast<uint64_t>(base) +
                  static_cast<uint64_t>(WrapMul(own[i], ranges[i].begin)));
    }
    OCTET_RETURN_IF_ERROR(budget.Charge(NumElements(dims), x.is_float()));
    return Folded(Pick(x, dims, strides, base));
  }

  if (input(1) == nullptr) return Folded();
  const OnnxConstant& y = *input(1);
  if (op == "CastLike") return wrap(CastConstant(x, y.type, budget));
  if (op == "Gather") return wrap(FoldGather(node, x, y, budget));
  if (op == "Reshape") {
    const int64_t allow_zero = attributes.Int("allowzero", 0);
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
    OCTET_ASSIGN_OR_RETURN(const auto target, IntList(&y, "target dimensions"));
    OCTET_ASSIGN_OR_RETURN(OnnxDims dims, ResolveReshape(x.dims, target, allow_zero != 0));
    return wrap(WithDims(x, std::move(dims), budget));
  }
  if (op == "Where" && input(2) != nullptr) return wrap(FoldWhere(x, y, *input(2), budget));
  const bool binary = op == "Equal" || op == "Mod" || op == "Add" || op == "Sub" || op == "Mul" ||
                      op == "Div" || op == "Min" || op == "Max";
  if (binary && inputs.size() == 2) return wrap(FoldBinary(node, x, y, budget));
  if (op == "Expand") {
    if (y.is_float() || y.ints.size() > kMaxRank)
      return Corrupt("its shape is not a list of integers");
    OCTET_ASSIGN_OR_RETURN(const OnnxDims dims, BroadcastDims(x.dims, y.ints));
    OCTET_RETURN_IF_ERROR(budget.Charge(NumElements(dims), x.is_float()));
    return Folded(BroadcastTo(x, dims));
  }
  return Folded();
}

}  // namespace octet
