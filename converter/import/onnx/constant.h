// Constants of an ONNX graph: decoding them, and computing operators whose inputs are all constant.
#ifndef OCTET_CONVERTER_IMPORT_ONNX_CONSTANT_H_
#define OCTET_CONVERTER_IMPORT_ONNX_CONSTANT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/builder/constant.h"
#include "converter/import/onnx/reader.h"
#include "formats/base/status.h"

namespace octet {

/// The tensor's values. `external` holds its bytes when they lie in another file (already cut to
/// offset and length). Errors: kCorrupt (number of bytes), kUnsupported (type).
Result<Constant> DecodeOnnxTensor(const OnnxTensor& tensor,
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

/// What Slice takes of each dimension. `axes` and `steps` may be empty. Errors: kCorrupt for lists
/// of different lengths, a step of 0, a repeated or impossible axis.
Result<std::vector<GraphBuilder::Range>> ResolveSlice(const Dims& dims,
                                                      const std::vector<int64_t>& starts,
                                                      const std::vector<int64_t>& ends,
                                                      const std::vector<int64_t>& axes,
                                                      const std::vector<int64_t>& steps);

/// A sparse tensor's values and zeros.
Result<Constant> DecodeSparseTensor(const OnnxSparseTensor& tensor, const Folder& folder);

/// Constant's value, for which `external` gives the bytes of a tensor in another file. Errors:
/// kUnsupported (strings).
Result<Constant> ConstantNodeValue(
    const OnnxNode& node, const Folder& folder,
    const std::function<Result<std::string_view>(const OnnxTensor&)>& external);

/// Transpose's permutation; reversed order without the attribute.
Result<std::vector<int>> TransposePermutation(const OnnxNode& node, size_t rank);

/// The steps of weights whose outputs are counted by dimension `axis`; empty when they run along
/// another.
std::vector<float> StepsOf(const Constant& weights, int axis);

/// Scale and zero point of QuantizeLinear and DequantizeLinear: one of each, or one per channel.
struct LinearParameters {
  std::vector<float> scales;               ///< At least one; finite and above 0.
  std::vector<int64_t> zero_points;        ///< As many, as the file has them.
  ElementType type = ElementType::kUint8;  ///< Of the codes.
};
/// `zero` may be null: codes then have the type `codes` of what is dequantized, or the attribute's,
/// or are uint8. Errors: kCorrupt, kUnsupported (scales per block, types other than 8, 16 and 32
/// bits).
Result<LinearParameters> ReadLinearParameters(const OnnxNode& node, const Constant* scale,
                                              const Constant* zero, ElementType codes);

/// Computes `node` from constants. `inputs` has a null for an optional input that is left out.
/// Returns nothing for an operator that cannot be computed here. Errors: kCorrupt.
Result<std::optional<Constant>> FoldOnnxNode(const OnnxNode& node,
                                             const std::vector<const Constant*>& inputs,
                                             int64_t opset, const Folder& folder);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_ONNX_CONSTANT_H_
