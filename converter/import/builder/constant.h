// Constants of any source: decoding them, and computing what depends on nothing else (shapes,
// mostly).
#ifndef OCTET_CONVERTER_IMPORT_BUILDER_CONSTANT_H_
#define OCTET_CONVERTER_IMPORT_BUILDER_CONSTANT_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/builder/graph_builder.h"
#include "formats/base/status.h"

namespace octet {

/// Most dimensions of a constant.
inline constexpr size_t kMaxRank = 8;

/// Stands for what depends on the batch size where shapes are computed, the only unknown there is.
inline constexpr int64_t kUnknown = std::numeric_limits<int64_t>::min();
/// Stand for 1 to kMaxRows times the batch size.
inline constexpr int64_t kMaxRows = int64_t{1} << 40;
inline constexpr int64_t Batches(int64_t rows) { return kUnknown + rows; }
inline constexpr bool IsDynamic(int64_t v) { return v <= Batches(kMaxRows); }

/// Numbered as in ONNX's TensorProto.DataType. Negative ones are another format's numbers of what
/// is not read.
enum class ElementType : int32_t {
  kUndefined = 0,
  kFloat32 = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kFloat64 = 11,
  kUint32 = 12,
  kUint64 = 13,
  kBfloat16 = 16,
  kInt4 = 22,  ///< Has a name and no more, as those that are not here.
};

/// "uint8", "int4"; "type 99" for one that is not known.
std::string TypeName(ElementType type);

/// The type of that name; kUndefined without one.
ElementType TypeNamed(std::string_view name);

/// Bytes of one element; 0 for types that are not read.
int64_t TypeSize(ElementType type);

bool IsFloat(ElementType type);

/// A format's own number by its table of types, in which kUndefined are those not read.
ElementType TypeOf(std::span<const ElementType> types, int64_t number);

/// Row-major values. Floating-point types are held as float32 (of a smaller type, only values that
/// it has), integers and booleans as int64: those of uint64 with the same bits.
struct Constant {
  ElementType type = ElementType::kUndefined;
  Dims dims;
  std::vector<float> floats;           ///< Of a floating-point type.
  std::vector<int64_t> ints;           ///< Of any other.
  std::vector<std::string> strings{};  ///< Of kString.
  /// Of weights in codes: what one step of their codes is, one for all or one for each index of
  /// `step_axis`. Empty when they are no multiples of such steps.
  std::vector<float> steps{};
  int step_axis = 0;

  bool is_float() const { return IsFloat(type); }
  int64_t size() const {
    return static_cast<int64_t>(floats.size() + ints.size() + strings.size());
  }
};

/// An integer as its type has it.
int64_t Wrapped(int64_t v, ElementType type);

/// One little-endian element of a floating-point type, or of an integer or bool.
float LoadFloat(const void* from, ElementType type);
int64_t LoadInteger(const void* from, ElementType type);
/// `n` elements of a floating-point type.
std::vector<float> LoadFloats(const void* from, size_t n, ElementType type);

/// Values of little-endian `bytes`, of the type and dims that are set. Errors: kCorrupt (number of
/// bytes), kUnsupported (type).
Status DecodeElements(std::string_view bytes, Constant* c);

/// Row-major strides.
std::vector<int64_t> Strides(const Dims& dims);

/// A non-negative axis for one that may count from the end. Errors: kCorrupt when it is outside
/// [-rank, rank).
Result<size_t> NormalizeAxis(int64_t axis, size_t rank);

/// A permutation of `rank` dimensions, which may count from the end. Errors: kCorrupt.
Result<std::vector<int>> Permutation(const std::vector<int64_t>& perm, size_t rank);

/// Reshape's target with -1 (the rest) and, with `zero_copies`, 0 (as it is) resolved. Errors:
/// kCorrupt when the sizes do not fit.
Result<Dims> ResolveReshape(const Dims& dims, const std::vector<int64_t>& target, bool zero_copies);

/// Dims without the given axes (all of size 1); without axes, without every 1. Errors: kCorrupt.
Result<Dims> ResolveSqueeze(const Dims& dims, const std::optional<std::vector<int64_t>>& axes);
/// Dims with new ones of size 1, at these axes of the result. Errors: kCorrupt.
Result<Dims> ResolveUnsqueeze(const Dims& dims, const std::vector<int64_t>& axes);

/// Python's x[begin:end:step] of `size` elements, where bounds that are negative count from the
/// end, all are clamped, and one that is left out is the edge. The step is not 0; a part of no or
/// one element has the step 1.
GraphBuilder::Range SliceRange(int64_t size, std::optional<int64_t> begin,
                               std::optional<int64_t> end, int64_t step);

enum class BinaryOp { kAdd, kSub, kMul, kDiv, kMod, kFmod, kMin, kMax, kEqual };
enum class UnaryOp { kNeg, kSqrt, kRsqrt, kReciprocal, kSquare, kFloor, kCeil, kRelu };

/// Computes constants from constants. Integers wrap as their type does, smaller floating-point
/// types are rounded to nearest even. Errors: kCorrupt for what does not fit each other,
/// kUnsupported for what becomes too large, or machines compute differently.
class Folder {
 public:
  /// What is made is charged to `builder`; `largest` bounds the bytes of one constant. With
  /// `dynamic`, the numbers of IsDynamic stand for multiples of the batch size, or for what is not
  /// known.
  Folder(GraphBuilder* builder, int64_t largest, bool dynamic)
      : builder_(builder), largest_(largest), dynamic_(dynamic) {}

  Status Charge(int64_t elements, ElementType type) const;
  /// Broadcasts. Integers are divided towards zero; their remainder has the divisor's sign, with
  /// kFmod the dividend's.
  Result<Constant> Binary(BinaryOp op, const Constant& a, const Constant& b) const;
  Result<Constant> Unary(UnaryOp op, const Constant& x) const;
  Result<Constant> Cast(const Constant& x, ElementType to) const;
  Result<Constant> Where(const Constant& condition, const Constant& a, const Constant& b) const;
  /// Of all values.
  Result<Constant> ReduceProd(const Constant& x, bool keep_dims) const;
  /// Of floating-point values over axes, which may count from the end.
  Result<Constant> ReduceMean(const Constant& x, const std::vector<int64_t>& axes,
                              bool keep_dims) const;
  /// With `from_end`, negative indices count from the end.
  Result<Constant> Gather(const Constant& x, const Constant& indices, int64_t axis,
                          bool from_end) const;
  Result<Constant> Concat(const std::vector<const Constant*>& parts, int64_t axis) const;
  /// Along a new axis.
  Result<Constant> Stack(const std::vector<const Constant*>& parts, int64_t axis) const;
  Result<Constant> Fill(const Constant& shape, const Constant& value) const;
  Result<Constant> Broadcast(const Constant& x, const Constant& shape) const;
  Result<Constant> Transpose(const Constant& x, const std::vector<int>& perm) const;
  /// One range for each dimension, inside of it.
  Result<Constant> Slice(const Constant& x, const std::vector<GraphBuilder::Range>& ranges) const;
  /// The same values in another shape of as many.
  Result<Constant> WithDims(const Constant& x, Dims dims) const;

 private:
  int64_t Wrap(int64_t v, ElementType type) const;
  int64_t Apply(BinaryOp op, int64_t v, int64_t w, bool is_unsigned) const;
  Result<Constant> BroadcastTo(const Constant& x, const Dims& dims) const;

  GraphBuilder* builder_;
  int64_t largest_;
  bool dynamic_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_BUILDER_CONSTANT_H_
