// Element types, decoding of bytes, what reshapes and slices mean, and Folder, which computes
// operators on constants. A result is charged to the importer's budget before it is made. In shape
// arithmetic the batch size is a symbol: numbers that depend on it stay multiples of it or become
// kUnknown.
#include "converter/import/builder/constant.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "formats/base/dtype.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

using enum ElementType;

constexpr const char* kNames[] = {
    "undefined",      "float32",  "uint8",        "int8",           "uint16",
    "int16",          "int32",    "int64",        "string",         "bool",
    "float16",        "float64",  "uint32",       "uint64",         "complex64",
    "complex128",     "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
    "float8e5m2fnuz", "uint4",    "int4",         "float4e2m1",     "float8e8m0",
    "uint2",          "int2"};

/// A number as its type has it, to nearest even.
float Rounded(float v, ElementType type) {
  if (type == kFloat16) return HalfToFloat(FloatToHalf(v));
  if (type != kBfloat16 || std::isnan(v)) return v;
  uint32_t bits = std::bit_cast<uint32_t>(v);
  bits += 0x7fff + ((bits >> 16) & 1);
  return std::bit_cast<float>(bits & 0xffff0000);
}

/// Calls f(values of `from`, values of `to`) for those of the type.
template <typename F>
void ByType(const Constant& from, Constant* to, const F& f) {
  if (from.is_float()) {
    f(from.floats, &to->floats);
  } else {
    f(from.ints, &to->ints);
  }
}

/// Like `x`, without values and steps.
Constant Empty(const Constant& x, Dims dims) { return {x.type, std::move(dims), {}, {}}; }

/// The elements of `x` from `base` on at the given strides.
Constant Pick(const Constant& x, const Dims& dims, const std::vector<int64_t>& strides,
              int64_t base) {
  Constant y = Empty(x, dims);
  ByType(x, &y, [&](const auto& from, auto* to) {
    to->resize(static_cast<size_t>(NumElements(dims)));
    std::vector<int64_t> index(dims.size(), 0);
    int64_t offset = base;
    for (auto& v : *to) {
      v = from[static_cast<size_t>(offset)];
      for (size_t d = dims.size(); d-- > 0;) {
        offset += strides[d];
        if (++index[d] < dims[d]) break;
        offset -= strides[d] * dims[d];
        index[d] = 0;
      }
    }
  });
  return y;
}

Result<Dims> BroadcastDims(const Dims& a, const Dims& b) {
  Dims out(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t da = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t db = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (da != db && da != 1 && db != 1)
      return Corrupt(StrCat("shapes ", DimsText(a), " and ", DimsText(b), " do not broadcast"));
    out[out.size() - 1 - i] = da == 1 ? db : da;
  }
  return out;
}

float Apply(BinaryOp op, float v, float w) {
  switch (op) {
    case BinaryOp::kAdd:
      return v + w;
    case BinaryOp::kSub:
      return v - w;
    case BinaryOp::kMul:
      return v * w;
    case BinaryOp::kDiv:
      return v / w;
    case BinaryOp::kMin:
      return std::min(v, w);
    case BinaryOp::kMax:
      return std::max(v, w);
    default:
      return std::fmod(v, w);
  }
}

float Apply(UnaryOp op, float v) {
  switch (op) {
    case UnaryOp::kNeg:
      return -v;
    case UnaryOp::kSqrt:
      return std::sqrt(v);
    case UnaryOp::kRsqrt:
      return 1.0f / std::sqrt(v);
    case UnaryOp::kReciprocal:
      return 1.0f / v;
    case UnaryOp::kSquare:
      return v * v;
    case UnaryOp::kFloor:
      return std::floor(v);
    case UnaryOp::kCeil:
      return std::ceil(v);
    case UnaryOp::kRelu:
      return std::max(v, 0.0f);
  }
  return v;
}

}  // namespace

std::string TypeName(ElementType type) {
  const int64_t i = static_cast<int64_t>(type);
  return i >= 0 && i < std::ssize(kNames) ? kNames[i] : StrCat("type ", std::abs(i));
}

ElementType TypeNamed(std::string_view name) {
  const auto found = std::find(std::begin(kNames), std::end(kNames), name);
  return found == std::end(kNames) ? kUndefined : static_cast<ElementType>(found - kNames);
}

int64_t TypeSize(ElementType type) {
  static constexpr int8_t kSizes[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 0, 0, 2};
  const int64_t i = static_cast<int64_t>(type);
  return i >= 0 && i < std::ssize(kSizes) ? kSizes[i] : 0;
}

bool IsFloat(ElementType type) {
  return type == kFloat32 || type == kFloat64 || type == kFloat16 || type == kBfloat16;
}

ElementType TypeOf(std::span<const ElementType> types, int64_t number) {
  if (number < 0 || number > std::numeric_limits<int32_t>::max()) return kUndefined;
  const size_t i = static_cast<size_t>(number);
  return i < types.size() && types[i] != kUndefined ? types[i] : static_cast<ElementType>(-number);
}

int64_t Wrapped(int64_t v, ElementType type) {
  switch (type) {
    case kBool:
      return v != 0;
    case kUint8:
      return static_cast<uint8_t>(v);
    case kInt8:
      return static_cast<int8_t>(v);
    case kUint16:
      return static_cast<uint16_t>(v);
    case kInt16:
      return static_cast<int16_t>(v);
    case kUint32:
      return static_cast<uint32_t>(v);
    case kInt32:
      return static_cast<int32_t>(v);
    default:
      return v;
  }
}

float LoadFloat(const void* from, ElementType type) {
  static_assert(std::endian::native == std::endian::little);
  const auto load = [&](auto v) {
    std::memcpy(&v, from, sizeof(v));
    return v;
  };
  switch (type) {
    case kFloat64:
      return static_cast<float>(load(double{}));
    case kFloat16:
      return HalfToFloat(load(uint16_t{}));
    case kBfloat16:
      return std::bit_cast<float>(uint32_t{load(uint16_t{})} << 16);
    default:
      return load(float{});
  }
}

int64_t LoadInteger(const void* from, ElementType type) {
  int64_t v = 0;
  std::memcpy(&v, from, static_cast<size_t>(TypeSize(type)));
  return Wrapped(v, type);
}

std::vector<float> LoadFloats(const void* from, size_t n, ElementType type) {
  std::vector<float> values(n);
  const auto* p = static_cast<const char*>(from);
  for (float& v : values) {
    v = LoadFloat(p, type);
    p += TypeSize(type);
  }
  return values;
}

Status DecodeElements(std::string_view bytes, Constant* c) {
  const int64_t n = NumElements(c->dims), size = TypeSize(c->type);
  if (size == 0) return Unsupported(StrCat("has the element type ", TypeName(c->type)));
  int64_t expected = 0;
  if (n < 0 || !CheckedMul(n, size, &expected) || static_cast<uint64_t>(expected) != bytes.size())
    return Corrupt(StrCat("found ", bytes.size(), " bytes of data, expected ", expected,
                          " for shape ", DimsText(c->dims)));
  if (c->is_float()) {
    c->floats = LoadFloats(bytes.data(), static_cast<size_t>(n), c->type);
    return OkStatus();
  }
  c->ints.reserve(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) c->ints.push_back(LoadInteger(bytes.data() + i * size, c->type));
  return OkStatus();
}

std::vector<int64_t> Strides(const Dims& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

Result<size_t> NormalizeAxis(int64_t axis, size_t rank) {
  const int64_t r = static_cast<int64_t>(rank);
  if (axis < -r || axis >= r)
    return Corrupt(StrCat("its axis is ", axis, ", outside of ", r, " dimensions"));
  return static_cast<size_t>(axis < 0 ? axis + r : axis);
}

Result<std::vector<int>> Permutation(const std::vector<int64_t>& perm, size_t rank) {
  std::vector<int> out;
  for (int64_t p : perm) {
    const Result<size_t> axis = NormalizeAxis(p, rank);
    if (!axis.ok() || std::count(out.begin(), out.end(), static_cast<int>(*axis)) > 0) break;
    out.push_back(static_cast<int>(*axis));
  }
  if (out.size() == rank && perm.size() == rank) return out;
  return Corrupt(StrCat("perm ", DimsText(perm), " is not a permutation of ", rank, " dimensions"));
}

Result<Dims> ResolveReshape(const Dims& dims, const std::vector<int64_t>& target,
                            bool zero_copies) {
  Dims out = target;
  int64_t* rest = nullptr;
  int64_t known = 1;
  const int64_t total = NumElements(dims);
  bool fits = target.size() <= kMaxRank && total >= 0;
  for (size_t i = 0; fits && i < out.size(); ++i) {
    if (out[i] == 0 && zero_copies) {
      fits = i < dims.size();
      if (fits) out[i] = dims[i];
    }
    if (out[i] == -1 && rest == nullptr) {
      rest = &out[i];
    } else {
      fits = fits && out[i] >= 0 && CheckedMul(known, out[i], &known);
    }
  }
  if (fits && rest != nullptr && known > 0) *rest = total / known;
  if (fits && NumElements(out) == total) return out;
  return Corrupt(StrCat("shape ", DimsText(dims), " cannot become ", DimsText(target)));
}

Result<Dims> ResolveSqueeze(const Dims& dims, const std::optional<std::vector<int64_t>>& axes) {
  std::vector<bool> drop(dims.size(), false);
  for (size_t i = 0; i < dims.size(); ++i) drop[i] = !axes && dims[i] == 1;
  for (int64_t a : axes.value_or(std::vector<int64_t>())) {
    OCTET_ASSIGN_OR_RETURN(const size_t axis, NormalizeAxis(a, dims.size()));
    if (dims[axis] != 1)
      return Corrupt(StrCat("it squeezes axis ", axis, " of shape ", DimsText(dims)));
    drop[axis] = true;
  }
  Dims out;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (!drop[i]) out.push_back(dims[i]);
  }
  return out;
}

Result<Dims> ResolveUnsqueeze(const Dims& dims, const std::vector<int64_t>& axes) {
  const size_t rank = dims.size() + axes.size();
  if (rank > kMaxRank) return Corrupt("its result has too many dimensions");
  std::vector<bool> inserted(rank, false);
  for (int64_t a : axes) {
    OCTET_ASSIGN_OR_RETURN(const size_t axis, NormalizeAxis(a, rank));
    if (inserted[axis]) return Corrupt(StrCat("it inserts axis ", axis, " twice"));
    inserted[axis] = true;
  }
  Dims out;
  size_t next = 0;
  for (size_t i = 0; i < rank; ++i) out.push_back(inserted[i] ? 1 : dims[next++]);
  return out;
}

GraphBuilder::Range SliceRange(int64_t size, std::optional<int64_t> begin,
                               std::optional<int64_t> end, int64_t step) {
  // To [0, size] going up and to [-1, size - 1] going down.
  const int64_t low = step > 0 ? 0 : -1, high = size + low;
  const auto clamp = [&](int64_t v) {
    return v < -size ? low : std::clamp(v < 0 ? v + size : v, low, high);
  };
  const int64_t first = begin ? clamp(*begin) : step > 0 ? low : high;
  const int64_t last = end ? clamp(*end) : step > 0 ? high : low;
  const int64_t distance = step > 0 ? last - first : first - last;
  if (distance <= 0) return {0, 1, 0};
  // A step is possibly -2^63; dividing by its negation as unsigned is safe.
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  const int64_t count = static_cast<int64_t>((static_cast<uint64_t>(distance) - 1) / stride) + 1;
  return {first, count == 1 ? 1 : step, count};
}

Status Folder::Charge(int64_t elements, ElementType type) const {
  int64_t bytes = 0;
  if (elements < 0 || !CheckedMul(elements, IsFloat(type) ? 4 : 8, &bytes) || bytes > largest_)
    return Unsupported("its constant result is too large");
  return builder_->Charge(bytes);
}

int64_t Folder::Wrap(int64_t v, ElementType type) const {
  return dynamic_ && IsDynamic(v) ? v : Wrapped(v, type);
}

int64_t Folder::Apply(BinaryOp op, int64_t v, int64_t w, bool is_unsigned) const {
  if (dynamic_ && op == BinaryOp::kMul && IsDynamic(w)) std::swap(v, w);
  if (dynamic_ && (IsDynamic(v) || IsDynamic(w))) {  // Known remain multiples of the batch size.
    if (!IsDynamic(v) || w < 1) return kUnknown;
    const int64_t rows = v - kUnknown;
    if (op == BinaryOp::kMul && rows <= kMaxRows / w) return Batches(rows * w);
    return op == BinaryOp::kDiv && rows % w == 0 ? Batches(rows / w) : kUnknown;
  }
  const uint64_t uv = static_cast<uint64_t>(v), uw = static_cast<uint64_t>(w);
  const auto wrap = [](uint64_t u) { return static_cast<int64_t>(u); };
  const bool less = is_unsigned ? uv < uw : v < w;
  int64_t result = 0;
  bool overflows = false;  // Then the result has wrapped.
  switch (op) {
    case BinaryOp::kAdd:
      overflows = __builtin_add_overflow(v, w, &result);
      break;
    case BinaryOp::kSub:
      overflows = __builtin_sub_overflow(v, w, &result);
      break;
    case BinaryOp::kMul:
      overflows = __builtin_mul_overflow(v, w, &result);
      break;
    case BinaryOp::kDiv:  // -1 apart: the lowest number by it has no result.
      return is_unsigned ? wrap(uv / uw) : w == -1 ? wrap(0 - uv) : v / w;
    case BinaryOp::kMin:
      return less ? v : w;
    case BinaryOp::kMax:
      return less ? w : v;
    default: {
      const int64_t rest = is_unsigned ? wrap(uv % uw) : w == -1 ? 0 : v % w;
      const bool moves = op == BinaryOp::kMod && !is_unsigned && rest != 0 && (rest < 0) != (w < 0);
      return moves ? rest + w : rest;
    }
  }
  return dynamic_ && (overflows || IsDynamic(result)) ? kUnknown : result;
}

Result<Constant> Folder::Binary(BinaryOp op, const Constant& a, const Constant& b) const {
  if (a.type != b.type)
    return Corrupt(StrCat("its inputs are ", TypeName(a.type), " and ", TypeName(b.type)));
  OCTET_ASSIGN_OR_RETURN(const Dims dims, BroadcastDims(a.dims, b.dims));
  OCTET_ASSIGN_OR_RETURN(Constant x, BroadcastTo(a, dims));
  OCTET_ASSIGN_OR_RETURN(const Constant y, BroadcastTo(b, dims));
  const bool divides = op == BinaryOp::kDiv || op == BinaryOp::kMod || op == BinaryOp::kFmod;
  if (divides && std::count(y.ints.begin(), y.ints.end(), 0) > 0)
    return Corrupt("it divides by zero");
  if (op == BinaryOp::kEqual) {
    for (size_t i = 0; i < x.floats.size(); ++i) x.ints.push_back(x.floats[i] == y.floats[i]);
    for (size_t i = 0; i < y.ints.size(); ++i) x.ints[i] = x.ints[i] == y.ints[i];
    x.floats.clear();
    x.type = kBool;
    return x;
  }
  for (size_t i = 0; i < x.floats.size(); ++i)
    x.floats[i] = Rounded(octet::Apply(op, x.floats[i], y.floats[i]), x.type);
  for (size_t i = 0; i < x.ints.size(); ++i)
    x.ints[i] = Wrap(Apply(op, x.ints[i], y.ints[i], x.type == kUint64), x.type);
  return x;
}

Result<Constant> Folder::Unary(UnaryOp op, const Constant& x) const {
  if (!x.is_float() && op != UnaryOp::kNeg) return Unsupported("its input is not floating-point");
  OCTET_ASSIGN_OR_RETURN(Constant y, WithDims(x, x.dims));
  y.steps.clear();
  for (float& v : y.floats) v = Rounded(octet::Apply(op, v), x.type);
  for (int64_t& v : y.ints) v = Wrap(Apply(BinaryOp::kSub, 0, v, false), x.type);
  return y;
}

Result<Constant> Folder::Cast(const Constant& x, ElementType to) const {
  if (TypeSize(to) == 0) return Unsupported(StrCat("it casts to ", TypeName(to)));
  OCTET_RETURN_IF_ERROR(Charge(x.size(), to));
  Constant y{to, x.dims, {}, {}};
  if (IsFloat(to)) {
    for (float v : x.floats) y.floats.push_back(Rounded(v, to));
    for (int64_t v : x.ints) {
      if (dynamic_ && IsDynamic(v))
        return Unsupported(StrCat("it casts the batch size to ", TypeName(to)));
      const bool is_unsigned = x.type == kUint64;
      y.floats.push_back(Rounded(
          is_unsigned ? static_cast<float>(static_cast<uint64_t>(v)) : static_cast<float>(v), to));
    }
    return y;
  }
  for (int64_t v : x.ints) y.ints.push_back(Wrap(v, to));
  for (float v : x.floats) {
    // Beyond the type's numbers machines differ.
    bool fits = std::fabs(v) < 0x1p62f;
    const int64_t integer = to == kBool ? v != 0.0f : fits ? static_cast<int64_t>(v) : 0;
    fits = fits && Wrapped(integer, to) == integer && (to != kUint64 || integer >= 0);
    if (!fits) return Unsupported(StrCat("it casts ", v, " to ", TypeName(to)));
    y.ints.push_back(integer);
  }
  return y;
}

Result<Constant> Folder::Where(const Constant& condition, const Constant& a,
                               const Constant& b) const {
  if (condition.is_float() || a.type != b.type) return Corrupt("its inputs have the wrong types");
  OCTET_ASSIGN_OR_RETURN(const Dims both, BroadcastDims(a.dims, b.dims));
  OCTET_ASSIGN_OR_RETURN(const Dims dims, BroadcastDims(both, condition.dims));
  OCTET_ASSIGN_OR_RETURN(const Constant pick, BroadcastTo(condition, dims));
  OCTET_ASSIGN_OR_RETURN(const Constant otherwise, BroadcastTo(b, dims));
  OCTET_ASSIGN_OR_RETURN(Constant x, BroadcastTo(a, dims));
  ByType(otherwise, &x, [&](const auto& from, auto* to) {
    for (size_t i = 0; i < pick.ints.size(); ++i) {
      if (pick.ints[i] == 0) (*to)[i] = from[i];
    }
  });
  return x;
}

Result<Constant> Folder::ReduceProd(const Constant& x, bool keep_dims) const {
  Constant y = Empty(x, Dims(keep_dims ? x.dims.size() : 0, 1));
  if (x.is_float()) {
    y.floats = {1.0f};
    for (float v : x.floats) y.floats[0] = Rounded(y.floats[0] * v, x.type);
  } else {
    y.ints = {1};
    for (int64_t v : x.ints) y.ints[0] = Wrap(Apply(BinaryOp::kMul, y.ints[0], v, false), x.type);
  }
  return y;
}

Result<Constant> Folder::ReduceMean(const Constant& x, const std::vector<int64_t>& axes,
                                    bool keep_dims) const {
  if (!x.is_float() || x.size() == 0) return Unsupported("it averages no floating-point numbers");
  std::vector<bool> reduced(x.dims.size(), false);
  for (const int64_t a : axes) {
    OCTET_ASSIGN_OR_RETURN(const size_t axis, NormalizeAxis(a, x.dims.size()));
    reduced[axis] = true;
  }
  Dims ones = x.dims, kept;
  for (size_t i = 0; i < ones.size(); ++i) {
    if (reduced[i]) ones[i] = 1;
    if (keep_dims || !reduced[i]) kept.push_back(ones[i]);
  }
  std::vector<int64_t> strides = Strides(ones);
  for (size_t i = 0; i < ones.size(); ++i) strides[i] *= reduced[i] ? 0 : 1;
  OCTET_RETURN_IF_ERROR(Charge(NumElements(kept), x.type));
  std::vector<double> sums(static_cast<size_t>(NumElements(kept)), 0.0);
  for (int64_t i = 0; i < x.size(); ++i) {
    int64_t to = 0, rest = i;
    for (size_t d = x.dims.size(); d-- > 0; rest /= x.dims[d]) to += rest % x.dims[d] * strides[d];
    sums[static_cast<size_t>(to)] += x.floats[static_cast<size_t>(i)];
  }
  Constant y{x.type, std::move(kept), {}, {}};
  const double count = static_cast<double>(x.size()) / static_cast<double>(sums.size());
  for (const double sum : sums)
    y.floats.push_back(Rounded(static_cast<float>(sum / count), x.type));
  return y;
}

Result<Constant> Folder::Gather(const Constant& x, const Constant& indices, int64_t raw_axis,
                                bool from_end) const {
  OCTET_ASSIGN_OR_RETURN(const size_t axis, NormalizeAxis(raw_axis, x.dims.size()));
  if (indices.is_float()) return Corrupt("its indices are not integers");
  const int64_t extent = x.dims[axis];
  for (int64_t i : indices.ints) {
    if (i < (from_end ? -extent : 0) || i >= extent)
      return Corrupt(StrCat("its index ", i, " is outside an axis of ", extent));
  }
  Dims dims = x.dims;
  dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(axis));
  dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(axis), indices.dims.begin(),
              indices.dims.end());
  if (dims.size() > kMaxRank) return Corrupt("its result has too many dimensions");
  OCTET_RETURN_IF_ERROR(Charge(NumElements(dims), x.type));
  Constant y = Empty(x, dims);
  if (NumElements(dims) == 0) return y;  // The loops below could be long for nothing.
  const int64_t outer = Product(x.dims, 0, axis), inner = Product(x.dims, axis + 1, x.dims.size());
  ByType(x, &y, [&](const auto& from, auto* to) {
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i : indices.ints) {
        const auto begin = from.begin() + (o * extent + (i < 0 ? i + extent : i)) * inner;
        to->insert(to->end(), begin, begin + inner);
      }
    }
  });
  return y;
}

Result<Constant> Folder::Concat(const std::vector<const Constant*>& parts, int64_t raw_axis) const {
  if (parts.empty()) return Corrupt("it has no inputs");
  Constant y = Empty(*parts[0], parts[0]->dims);
  OCTET_ASSIGN_OR_RETURN(const size_t axis, NormalizeAxis(raw_axis, y.dims.size()));
  y.dims[axis] = 0;
  for (const Constant* x : parts) {
    bool fits = x->type == y.type && x->dims.size() == y.dims.size();
    for (size_t d = 0; fits && d < y.dims.size(); ++d) fits = d == axis || x->dims[d] == y.dims[d];
    if (!fits || !CheckedAdd(y.dims[axis], x->dims[axis], &y.dims[axis]))
      return Corrupt("its inputs do not fit each other");
  }
  OCTET_RETURN_IF_ERROR(Charge(NumElements(y.dims), y.type));
  if (NumElements(y.dims) == 0) return y;  // The loops below could be long for nothing.
  const int64_t outer = Product(y.dims, 0, axis);
  std::vector<const Constant*> full;  // Nor may many empty ones take their time in each row.
  std::copy_if(parts.begin(), parts.end(), std::back_inserter(full),
               [](const Constant* x) { return x->size() > 0; });
  for (int64_t o = 0; o < outer; ++o) {
    for (const Constant* x : full) {
      const int64_t run = x->size() / outer;
      ByType(*x, &y, [&](const auto& from, auto* to) {
        to->insert(to->end(), from.begin() + o * run, from.begin() + (o + 1) * run);
      });
    }
  }
  return y;
}

Result<Constant> Folder::Stack(const std::vector<const Constant*>& parts, int64_t axis) const {
  std::vector<Constant> rows;
  std::vector<const Constant*> pointers;
  rows.reserve(parts.size());
  for (const Constant* x : parts) {
    OCTET_ASSIGN_OR_RETURN(Dims dims, ResolveUnsqueeze(x->dims, {axis}));
    OCTET_ASSIGN_OR_RETURN(Constant row, WithDims(*x, std::move(dims)));
    rows.push_back(std::move(row));
    pointers.push_back(&rows.back());
  }
  return Concat(pointers, axis);
}

Result<Constant> Folder::Fill(const Constant& shape, const Constant& value) const {
  if (value.size() != 1) return Corrupt("its value is not one element");
  return Broadcast({value.type, {}, value.floats, value.ints}, shape);
}

Result<Constant> Folder::Broadcast(const Constant& x, const Constant& shape) const {
  if (shape.is_float() || shape.dims.size() > 1)
    return Corrupt("its shape is not a list of integers");
  OCTET_ASSIGN_OR_RETURN(const Dims dims, BroadcastDims(x.dims, shape.ints));
  return BroadcastTo(x, dims);
}

Result<Constant> Folder::BroadcastTo(const Constant& x, const Dims& dims) const {
  if (dims.size() > kMaxRank) return Corrupt("its result has too many dimensions");
  OCTET_RETURN_IF_ERROR(Charge(NumElements(dims), x.type));
  const std::vector<int64_t> own = Strides(x.dims);
  std::vector<int64_t> strides(dims.size(), 0);
  for (size_t i = 0; i < x.dims.size(); ++i) {
    if (x.dims[i] != 1) strides[dims.size() - x.dims.size() + i] = own[i];
  }
  return Pick(x, dims, strides, 0);
}

Result<Constant> Folder::Transpose(const Constant& x, const std::vector<int>& perm) const {
  OCTET_RETURN_IF_ERROR(Charge(x.size(), x.type));
  const std::vector<int64_t> own = Strides(x.dims);
  Dims dims;
  std::vector<int64_t> strides;
  for (int p : perm) {
    dims.push_back(x.dims[static_cast<size_t>(p)]);
    strides.push_back(own[static_cast<size_t>(p)]);
  }
  Constant y = Pick(x, dims, strides, 0);
  y.steps = x.steps;
  y.step_axis = static_cast<int>(std::find(perm.begin(), perm.end(), x.step_axis) - perm.begin());
  return y;
}

Result<Constant> Folder::Slice(const Constant& x,
                               const std::vector<GraphBuilder::Range>& ranges) const {
  std::vector<int64_t> strides = Strides(x.dims);
  Dims dims;
  int64_t base = 0;
  for (size_t d = 0; d < ranges.size(); ++d) {
    dims.push_back(ranges[d].count);
    base += ranges[d].begin * strides[d];
    strides[d] *= ranges[d].step;
  }
  OCTET_RETURN_IF_ERROR(Charge(NumElements(dims), x.type));
  return Pick(x, dims, strides, base);
}

Result<Constant> Folder::WithDims(const Constant& x, Dims dims) const {
  if (dims.size() > kMaxRank) return Corrupt("its result has too many dimensions");
  OCTET_RETURN_IF_ERROR(Charge(x.size(), x.type));
  Constant y = x;
  y.dims = std::move(dims);
  if (y.steps.size() > 1) {
    // The dimension of the steps may stand elsewhere now, or be cut.
    const int64_t outside = Product(x.dims, 0, static_cast<size_t>(x.step_axis));
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

}  // namespace octet
