// ONNX's protocol buffer as small structs. What they mean is the importer's to say (importer.h).
#ifndef OCTET_CONVERTER_IMPORT_ONNX_READER_H_
#define OCTET_CONVERTER_IMPORT_ONNX_READER_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/builder/constant.h"
#include "formats/base/status.h"

namespace octet {

/// As stored: values lie in `raw`, in one of the lists, or in another file.
struct OnnxTensor {
  std::string name;
  ElementType type = ElementType::kUndefined;
  std::vector<int64_t> dims;
  bool has_raw = false;
  std::string_view raw;         ///< Into the parsed bytes.
  std::vector<float> floats;    ///< float_data.
  std::vector<double> doubles;  ///< double_data.
  std::vector<int64_t> ints;    ///< int32_data, int64_data or uint64_data.
  bool external = false;
  std::map<std::string, std::string> external_data;
};

/// SparseTensorProto: the values that are not zero, and where they are, [n] or [n,rank].
struct OnnxSparseTensor {
  OnnxTensor values, indices;
  std::vector<int64_t> dims;
};

struct OnnxAttribute {
  /// AttributeProto.AttributeType; kOther stands for graphs and the like.
  enum class Kind {
    kNone,
    kFloat,
    kInt,
    kString,
    kTensor,
    kFloats,
    kInts,
    kStrings,
    kSparse,
    kOther
  };
  std::string name;
  Kind kind = Kind::kNone;
  float f = 0;
  int64_t i = 0;
  std::string s;
  OnnxTensor t;
  OnnxSparseTensor sparse;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string> strings;
};

struct OnnxNode {
  std::string name, op_type, domain;
  std::vector<std::string> inputs, outputs;  ///< "" for an optional one that is left out.
  std::vector<OnnxAttribute> attributes;
  int64_t opset = 0;  ///< Whose rules it follows where that is not the model's.
};

struct OnnxValueInfo {
  std::string name;
  ElementType type = ElementType::kUndefined;
  bool has_shape = false;
  std::vector<int64_t> dims;  ///< -1 for an unknown or symbolic one.
};

struct OnnxModel {
  int64_t ir_version = 0;
  std::string producer, producer_version;
  std::map<std::string, int64_t> opsets;  ///< By domain; "" is ai.onnx.
  std::string graph_name;
  std::vector<OnnxNode> nodes;
  std::vector<OnnxTensor> initializers;
  std::vector<OnnxSparseTensor> sparse_initializers;
  std::vector<OnnxValueInfo> inputs, outputs;
};

/// Parses a ModelProto. Views point into `bytes`, which must outlive the model. `origin` is the
/// name used in errors. Errors: kCorrupt names the place in the file.
Result<OnnxModel> ParseOnnx(std::string_view bytes, const std::string& origin);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_ONNX_READER_H_
