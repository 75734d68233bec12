// Constants of an ONNX graph: decoding them, and computing operators whose inputs are all constant
// (shapes, mostly).
#ifndef OCTET_CONVERTER_IMPORT_ONNX_CONSTANT_H_
#define OCTET_CONVERTER_IMPORT_ONNX_CONSTANT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/builder/graph_builder.h"
#include "converter/import/onnx/reader.h"
#include "formats/base/status.h"

namespace octet {

using OnnxDims = Dims;

/// Row-major values. Floating-point types are held as float32 (of a smaller type, only values that
/// it has), integers and booleans as int64: those of uint64 with the same bits.
struct OnnxConstant {
  OnnxType type = OnnxType::kUndefined;
  OnnxDims dims;
  std::vector<float> floats;  ///< Of a floating-point type.
  std::vector<int64_t> ints;  ///< Of any other.
  /// Of weights that DequantizeLinear gave: what one step of their codes is, one for all or one for
  /// each index of `step_axis`. Empty when they are no multiples of such steps.
  std::vector<float> steps{};
  int step_axis = 0;

  bool is_float() const;
  int64_t size() const { return static_cast<int64_t>(is_float() ? floats.size() : ints.size()); }
};

bool IsFloatType(OnnxType type);

/// "uint8", "int4"; "type 99" for one that ONNX does not have.
std::string OnnxTypeName(OnnxType type);

/// Bounds what folding may make, whatever a small file asks for.
struct OnnxBudget {
  GraphBuilder* builder;  ///< Counts all constants.
  int64_t largest;        ///< Bytes of one.

  Status Charge(int64_t elements, bool is_float) const;
};

/// Product of dims; -1 when one is negative or the product does not fit.
int64_t NumElements(const OnnxDims& dims);

/// The tensor's values. `external` holds its bytes when they lie in another file (already cut to
/// offset and length). Errors: kCorrupt (number of bytes), kUnsupported (type).
Result<OnnxConstant> DecodeOnnxTensor(const OnnxTensor& tensor,
                                      std::optional<std::string_view> external);

/// Typed access to a node's attributes; the first wrong type sticks in status().
class OnnxAttributes {
 public:
  explicit OnnxAttributes(const OnnxNode& node) : node_(node) {}

  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  int64_t Int(std::string_view name, int64_t otherwise);
  float Float(std::string_view name, float otherwise);
  std::string String(std::string_view name, const std::string& otherwise);
  std::vector<int64_t> Ints(std::string_view name, std::vector<int64_t> otherwise = {});
  const OnnxAttribute* Find(std::string_view name) const;
  const Status& status() const { return status_; }

 private:
  const OnnxAttribute* FindKind(std::string_view name, OnnxAttribute::Kind kind);

  const OnnxNode& node_;
  Status status_;
};

/// A non-negative axis for one that may count from the end. Errors: kCorrupt when it is outside
/// [-rank, rank).
Result<int> NormalizeAxis(int64_t axis, size_t rank);

/// Reshape's target with 0 (copy, unless `allow_zero`) and -1 (the rest) resolved. Errors: kCorrupt
/// when the sizes do not fit.
Result<OnnxDims> ResolveReshape(const OnnxDims& dims, const std::vector<int64_t>& target,
                                bool allow_zero);

/// Dims without the given axes (all of size 1); without axes, without every 1.
Result<OnnxDims> ResolveSqueeze(const OnnxDims& dims,
                                const std::optional<std::vector<int64_t>>& axes);
Result<OnnxDims> ResolveUnsqueeze(const OnnxDims& dims, const std::vector<int64_t>& axes);

/// What Slice takes of one axis: `count` elements from `begin` on, `step` apart (possibly
/// negative).
struct OnnxSliceRange {
  int64_t begin = 0, step = 1, count = 0;
};
/// Slice's clamping rules. `axes` and `steps` may be empty. Errors: kCorrupt for lists of different
/// lengths, a step of 0, a repeated or impossible axis.
Result<std::vector<OnnxSliceRange>> ResolveSlice(const OnnxDims& dims,
                                                 const std::vector<int64_t>& starts,
                                                 const std::vector<int64_t>& ends,
                                                 const std::vector<int64_t>& axes,
                                                 const std::vector<int64_t>& steps);

/// A sparse tensor's values and zeros.
Result<OnnxConstant> DecodeSparseTensor(const OnnxSparseTensor& tensor, const OnnxBudget& budget);

/// Constant's value, for which `external` gives the bytes of a tensor in another file. Errors:
/// kUnsupported (strings).
Result<OnnxConstant> ConstantNodeValue(
    const OnnxNode& node, const OnnxBudget& budget,
    const std::function<Result<std::string_view>(const OnnxTensor&)>& external);

/// The values as another type; integers wrap, as numbers beyond float16 become infinite. Errors:
/// kUnsupported (the type), kCorrupt (a number that the integer type does not have).
Result<OnnxConstant> CastConstant(const OnnxConstant& x, OnnxType to, const OnnxBudget& budget);

/// Permutes dimensions; `perm` is a permutation.
OnnxConstant TransposeConstant(const OnnxConstant& x, const std::vector<int>& perm);

/// Transpose's permutation; reversed order without the attribute.
Result<std::vector<int>> TransposePermutation(const OnnxNode& node, size_t rank);

/// The steps of weights whose outputs are counted by dimension `axis`; empty when they run along
/// another.
std::vector<float> StepsOf(const OnnxConstant& weights, int axis);

/// Scale and zero point of QuantizeLinear and DequantizeLinear: one of each, or one per channel.
struct LinearParameters {
  std::vector<float> scales;         ///< At least one; finite and above 0.
  std::vector<int64_t> zero_points;  ///< As many, as the file has them.
  OnnxType type = OnnxType::kUint8;  ///< Of the codes.
};
/// `zero` may be null: codes then have the type `codes` of what is dequantized, or the attribute's,
/// or are uint8. Errors: kCorrupt, kUnsupported (scales per block, types other than 8, 16 and 32
/// bits).
Result<LinearParameters> ReadLinearParameters(const OnnxNode& node, const OnnxConstant* scale,
                                              const OnnxConstant* zero, OnnxType codes);

/// Computes `node` from constants. `inputs` has a null for an optional input that is left out.
/// Returns nothing for an operator that cannot be computed here. Errors: kCorrupt.
Result<std::optional<OnnxConstant>> FoldOnnxNode(const OnnxNode& node,
                                                 const std::vector<const OnnxConstant*>& inputs,
                                                 int64_t opset, const OnnxBudget& budget);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_ONNX_CONSTANT_H_
