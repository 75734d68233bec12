// A verified TFLite file: tensors, constants and operators with every index checked.
#ifndef OCTET_CONVERTER_IMPORT_TFLITE_READER_H_
#define OCTET_CONVERTER_IMPORT_TFLITE_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "converter/import/builder/constant.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

namespace tflite {
struct Operator;  // Generated from tflite_schema.fbs.
}

/// Of TensorType in the public schema.
ElementType TfliteType(int64_t number);

/// A tensor of the file's first subgraph. Borrows from the file.
struct TfliteTensor {
  std::string name;
  ElementType type = ElementType::kFloat32;
  std::vector<int32_t> shape;
  /// As `shape`, -1 where the size is open; empty when the file has none.
  std::vector<int32_t> signature;
  std::span<const std::byte> data;  ///< Of a constant; its size is that of the shape and type, if
                                    ///< that is one of the above. Empty for activations.
  /// Empty, one, or one per index of `quantized_dimension`; finite and above 0.
  std::vector<float> scale;
  std::vector<int64_t> zero_point;  ///< As many as `scale`.
  int quantized_dimension = 0;

  bool is_constant() const { return !data.empty(); }
  /// How many elements that share a scale stand together.
  size_t run() const;
};

struct TfliteOperator {
  int code = 0;             ///< BuiltinOperator of the public schema.
  std::string name;         ///< "CONV_2D"; for custom operators their own name.
  std::vector<int> inputs;  ///< Tensor indices; -1 for one that is left out.
  std::vector<int> outputs;
  std::string refused;  ///< A field that is set and that no operator here has a use for.
  const tflite::Operator* table = nullptr;  ///< For its options.
};

struct TfliteFile {
  std::shared_ptr<const void> owner;  ///< Keeps everything below alive.
  size_t bytes = 0;                   ///< Of the file.
  std::vector<TfliteTensor> tensors;
  std::vector<TfliteOperator> operators;  ///< In execution order.
  std::vector<int> inputs, outputs;
};

/// Name of a BuiltinOperator: "CONV_2D".
std::string TfliteOperatorName(int code);

/// The first field that a table of the file sets and the schema, by which it has `known` fields,
/// does not declare; or -1.
int UnknownTfliteField(const void* table, size_t known);

/// Maps and verifies a file. Errors: kNotFound, kIo, kCorrupt (what is wrong and where),
/// kUnsupported (schema version, more than 2 GiB, several subgraphs, sparse or block-quantized
/// tensors, data in other files, fields that are not known).
Result<TfliteFile> ReadTflite(const std::string& path);

/// The same from memory, which must be aligned to 16 bytes and outlive the result unless `owner`
/// keeps it.
Result<TfliteFile> ReadTfliteBytes(std::span<const std::byte> bytes,
                                   std::shared_ptr<const void> owner);

/// Values of a constant, dequantized where it is quantized. Errors: kUnsupported (element type).
Result<std::vector<float>> ReadTfliteFloats(const TfliteTensor& tensor);

/// Values of an int32 or int64 constant.
Result<Constant> ReadTfliteIntegers(const TfliteTensor& tensor);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_TFLITE_READER_H_
