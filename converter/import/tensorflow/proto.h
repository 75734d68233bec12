// The parts of TensorFlow's saved_model.pb that an importer needs.
#ifndef OCTET_CONVERTER_IMPORT_TENSORFLOW_PROTO_H_
#define OCTET_CONVERTER_IMPORT_TENSORFLOW_PROTO_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "converter/import/builder/constant.h"
#include "formats/base/status.h"

namespace octet::tf {

/// Views point into the bytes that were parsed.
struct NodeDef {
  std::string_view name, op;
  std::vector<std::string_view> inputs;
  /// Name and serialized AttrValue.
  std::vector<std::pair<std::string_view, std::string_view>> attributes;

  /// The attribute, or the default when the node has none. Malformed ones throw
  /// protozero::exception.
  std::string_view String(std::string_view name, std::string_view otherwise) const;
  bool Bool(std::string_view name, bool otherwise) const;
  int64_t Int(std::string_view name, int64_t otherwise) const;
  float Float(std::string_view name, float otherwise) const;
  ElementType Type(std::string_view name, ElementType otherwise) const;
  std::vector<int64_t> Ints(std::string_view name) const;
  std::string_view Function(std::string_view name) const;  ///< Empty when there is none.
  std::optional<std::string_view> Bytes(std::string_view name,
                                        int field) const;  ///< A sub-message, serialized.
  /// Any attribute for people and for comparison: "true", "3", "NHWC", "[1,2]".
  std::string Text(std::string_view name) const;

 private:
  const std::string_view* Find(std::string_view name) const;
};

struct GraphDef {
  std::vector<NodeDef> nodes;
  std::unordered_map<std::string_view, int> index;  ///< Name to position in `nodes`.
};

struct FunctionDef {
  std::string_view name;
  std::vector<std::string_view> inputs, outputs;
  GraphDef body;
  std::unordered_map<std::string_view, std::string_view> returns;  ///< Output to "node:output:k".
};

struct TensorInfo {
  std::string_view name;  ///< "node:k"
  ElementType type = ElementType::kUndefined;
  /// -1 for unknown sizes; nothing for an unknown rank.
  std::optional<std::vector<int64_t>> shape;
};

struct SignatureDef {
  std::map<std::string, TensorInfo, std::less<>> inputs, outputs;
};

struct MetaGraph {
  std::vector<std::string_view> tags;
  std::string_view tensorflow_version;
  std::string_view restore_op;
  GraphDef graph;
  std::unordered_map<std::string_view, FunctionDef> functions;
  std::map<std::string, SignatureDef, std::less<>> signatures;
};

/// Parses a SavedModel. Errors: kCorrupt.
Result<std::vector<MetaGraph>> ParseSavedModel(std::string_view bytes);

/// Parses a TensorProto. One that repeats a value instead of carrying its bytes can ask for any
/// size: it must fit into
/// `*fill_budget` elements, from which it is taken. Errors: kCorrupt, kUnsupported (element type,
/// too large).
Result<Constant> ParseTensor(std::string_view bytes, int64_t* fill_budget);

/// Dimensions of a TensorShapeProto, -1 for unknown ones; nothing when the rank is unknown.
std::optional<std::vector<int64_t>> ParseShape(std::string_view bytes);

/// From TrackableObjectGraph: variable's full name to checkpoint key. Errors: kCorrupt.
Result<std::map<std::string, std::string>> ParseObjectGraph(std::string_view bytes);

}  // namespace octet::tf

#endif  // OCTET_CONVERTER_IMPORT_TENSORFLOW_PROTO_H_
