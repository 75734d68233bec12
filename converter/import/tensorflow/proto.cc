// A message is a list of fields and where they go (ReadFields, Field). Names and attributes are
// kept as views of the file, and an attribute is parsed when it is asked for. Constants come with
// their bytes, or as lists of which the last value fills the rest, against a budget.
#include "converter/import/tensorflow/proto.h"

#include <utility>

#include "converter/import/proto_reader.h"
#include "converter/import/tensorflow/tensor_bundle.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet::tf {
namespace {

/// A map entry: key and serialized value.
std::pair<std::string_view, std::string_view> MapEntry(ProtoReader& reader) {
  std::pair<std::string_view, std::string_view> entry;
  ReadFields(reader.View(), Field(1, &entry.first), Field(2, &entry.second));
  return entry;
}

void AddNode(ProtoReader& reader, GraphDef* graph) {
  NodeDef node;
  ReadFields(reader.View(), Field(1, &node.name), Field(2, &node.op), Field(3, &node.inputs),
             Field(5, [&](ProtoReader& r) { node.attributes.push_back(MapEntry(r)); }));
  graph->index.emplace(node.name, static_cast<int>(graph->nodes.size()));
  graph->nodes.push_back(std::move(node));
}

/// ArgDef's or any other message's string in field 1.
std::string_view NameOf(std::string_view bytes) {
  std::string_view name;
  ReadFields(bytes, Field(1, &name));
  return name;
}

FunctionDef ParseFunction(std::string_view bytes) {
  FunctionDef function;
  const auto signature = [&](ProtoReader& op) {
    ReadFields(op.View(), Field(1, &function.name),
               Field(2, [&](ProtoReader& r) { function.inputs.push_back(NameOf(r.View())); }),
               Field(3, [&](ProtoReader& r) { function.outputs.push_back(NameOf(r.View())); }));
  };
  ReadFields(bytes, Field(1, signature),
             Field(3, [&](ProtoReader& r) { AddNode(r, &function.body); }),
             Field(4, [&](ProtoReader& r) { function.returns.insert(MapEntry(r)); }));
  return function;
}

void ParseGraph(std::string_view bytes, MetaGraph* meta) {
  const auto add_function = [&](ProtoReader& r) {
    FunctionDef function = ParseFunction(r.View());
    const std::string_view name = function.name;
    meta->functions.emplace(name, std::move(function));
  };
  ReadFields(bytes, Field(1, [&](ProtoReader& r) { AddNode(r, &meta->graph); }),
             Field(2, [&](ProtoReader& r) { ReadFields(r.View(), Field(1, add_function)); }));
}

SignatureDef ParseSignature(std::string_view bytes) {
  SignatureDef signature;
  const auto side = [](std::map<std::string, TensorInfo, std::less<>>* tensors) {
    return [tensors](ProtoReader& reader) {
      const auto [key, value] = MapEntry(reader);
      TensorInfo& info = (*tensors)[std::string(key)] = {};
      ReadFields(value, Field(1, &info.name),
                 Field(2, [&](ProtoReader& r) { info.type = TensorflowType(r.Int()); }),
                 Field(3, [&](ProtoReader& r) { info.shape = ParseShape(r.View()); }));
    };
  };
  ReadFields(bytes, Field(1, side(&signature.inputs)), Field(2, side(&signature.outputs)));
  return signature;
}

MetaGraph ParseMetaGraph(std::string_view bytes) {
  MetaGraph meta;
  const auto info = [&](ProtoReader& r) {
    ReadFields(r.View(), Field(4, &meta.tags), Field(5, &meta.tensorflow_version));
  };
  const auto add_signature = [&](ProtoReader& r) {
    const auto [key, value] = MapEntry(r);
    meta.signatures[std::string(key)] = ParseSignature(value);
  };
  ReadFields(bytes, Field(1, info), Field(2, [&](ProtoReader& r) { ParseGraph(r.View(), &meta); }),
             Field(3, [&](ProtoReader& r) { ReadFields(r.View(), Field(3, &meta.restore_op)); }),
             Field(5, add_signature));
  return meta;
}

}  // namespace

const std::string_view* NodeDef::Find(std::string_view key) const {
  for (const auto& attribute : attributes) {
    if (attribute.first == key) return &attribute.second;
  }
  return nullptr;
}

std::string_view NodeDef::String(std::string_view key, std::string_view otherwise) const {
  return Bytes(key, 2).value_or(otherwise);
}

std::optional<std::string_view> NodeDef::Bytes(std::string_view key, int field) const {
  std::optional<std::string_view> found;
  if (const std::string_view* value = Find(key)) {
    ReadFields(*value,
               Field(static_cast<uint32_t>(field), [&](ProtoReader& r) { found = r.View(); }));
  }
  return found;
}

int64_t NodeDef::Int(std::string_view key, int64_t otherwise) const {
  // int, bool and type: each attribute has only one of them.
  if (const std::string_view* value = Find(key))
    ReadFields(*value, Field(3, &otherwise), Field(5, &otherwise), Field(6, &otherwise));
  return otherwise;
}

bool NodeDef::Bool(std::string_view key, bool otherwise) const {
  return Int(key, otherwise ? 1 : 0) != 0;
}

ElementType NodeDef::Type(std::string_view key, ElementType otherwise) const {
  return Find(key) == nullptr ? otherwise : TensorflowType(Int(key, 0));
}

float NodeDef::Float(std::string_view key, float otherwise) const {
  if (const std::string_view* value = Find(key)) ReadFields(*value, Field(4, &otherwise));
  return otherwise;
}

std::vector<int64_t> NodeDef::Ints(std::string_view key) const {
  std::vector<int64_t> ints;
  if (const auto list = Bytes(key, 1)) ReadFields(*list, Field(3, &ints));
  return ints;
}

std::string NodeDef::Text(std::string_view key) const {
  std::string text;
  const std::string_view* value = Find(key);
  if (value == nullptr) return text;
  const auto set = [&](auto f) { return [&text, f](ProtoReader& r) { text = f(r); }; };
  const auto other = [](const char* what) {
    return [what](ProtoReader& r) {
      r.Skip();
      return std::string(what);
    };
  };
  ReadFields(*value, Field(1, set(other("a list"))), Field(2, &text),
             Field(3, set([](ProtoReader& r) { return StrCat(r.Int()); })),
             Field(4, set([](ProtoReader& r) { return StrCat(r.Float()); })),
             Field(5, set([](ProtoReader& r) { return r.Int() != 0 ? "true" : "false"; })),
             Field(6, set([](ProtoReader& r) { return TypeName(TensorflowType(r.Int())); })));
  return text;
}

std::string_view NodeDef::Function(std::string_view key) const {
  const auto function = Bytes(key, 10);
  return function ? NameOf(*function) : std::string_view();
}

std::optional<std::vector<int64_t>> ParseShape(std::string_view bytes) {
  std::vector<int64_t> dims;
  bool unknown_rank = false;
  const auto dim = [&](ProtoReader& r) {
    int64_t size = 0;
    ReadFields(r.View(), Field(1, &size));
    dims.push_back(size < 0 ? -1 : size);
  };
  ReadFields(bytes, Field(2, dim), Field(3, &unknown_rank));
  if (unknown_rank) return std::nullopt;
  return dims;
}

Result<std::vector<MetaGraph>> ParseSavedModel(std::string_view bytes) {
  try {
    std::vector<MetaGraph> metas;
    ReadFields(bytes, Field(2, [&](ProtoReader& r) { metas.push_back(ParseMetaGraph(r.View())); }));
    return metas;
  } catch (const protozero::exception& e) {
    return Corrupt(StrCat("not a SavedModel message: ", e.what()));
  }
}

namespace {

/// Repeats the last of too few values, as TensorProto has it.
template <typename T>
Status Fill(int64_t n, std::vector<T>* values) {
  if (static_cast<int64_t>(values->size()) > n) {
    return Corrupt(StrCat("tensor has ", values->size(), " values, expected at most ", n));
  }
  const T last = values->empty() ? T() : values->back();
  values->resize(static_cast<size_t>(n), last);
  return OkStatus();
}

Result<Constant> ParseTensorOrThrow(std::string_view bytes, int64_t* fill_budget) {
  Constant tensor;
  std::optional<std::string_view> content;
  std::vector<float> floats;
  std::vector<int64_t> ints, halves;
  bool ranked = true;
  const auto shape = [&](ProtoReader& r) {
    auto dims = ParseShape(r.View());
    ranked = dims.has_value();
    if (ranked) tensor.dims = *std::move(dims);
  };
  const auto doubles = [&](ProtoReader& r) {
    r.ForEachDouble([&](double v) { floats.push_back(static_cast<float>(v)); });
  };
  ReadFields(
      bytes, Field(1, [&](ProtoReader& r) { tensor.type = TensorflowType(r.Int()); }),
      Field(2, shape), Field(4, [&](ProtoReader& r) { content = r.View(); }), Field(5, &floats),
      Field(6, doubles), Field(7, &ints), Field(10, &ints), Field(11, &ints),
      Field(8, [&](ProtoReader& r) { tensor.strings.emplace_back(r.View()); }), Field(13, &halves));
  if (!ranked) return Corrupt("constant of unknown rank");
  const int64_t n = NumElements(tensor.dims);
  if (n < 0) return Corrupt("constant with an impossible shape");
  if (tensor.type == ElementType::kString) {
    // One string per element: a shape that asks for more than the message has is not worth filling.
    if (static_cast<int64_t>(tensor.strings.size()) != n) {
      return Corrupt(StrCat("string tensor has ", tensor.strings.size(), " values, expected ", n));
    }
    return tensor;
  }
  if (TypeSize(tensor.type) == 0)
    return Unsupported(
        StrCat("element type ", TypeName(tensor.type),
               "; expected float32, float64, float16, bfloat16, an integer or bool"));
  if (content) {
    OCTET_RETURN_IF_ERROR(DecodeElements(*content, &tensor));
    return tensor;
  }
  if (n > *fill_budget) {
    return Unsupported(
        StrCat("constant of ", n, " elements without its bytes, expected at most ", *fill_budget));
  }
  *fill_budget -= n;
  if (tensor.is_float()) {
    for (const int64_t v : halves) floats.push_back(LoadFloat(&v, tensor.type));
    OCTET_RETURN_IF_ERROR(Fill(n, &floats));
    tensor.floats = std::move(floats);
  } else {
    OCTET_RETURN_IF_ERROR(Fill(n, &ints));
    for (int64_t& v : ints) v = Wrapped(v, tensor.type);
    tensor.ints = std::move(ints);
  }
  return tensor;
}

}  // namespace

Result<Constant> ParseTensor(std::string_view bytes, int64_t* fill_budget) {
  try {
    return ParseTensorOrThrow(bytes, fill_budget);
  } catch (const protozero::exception& e) {
    return Corrupt(StrCat("not a tensor message: ", e.what()));
  }
}

Result<std::map<std::string, std::string>> ParseObjectGraph(std::string_view bytes) {
  std::map<std::string, std::string> keys;
  try {
    const auto attribute = [&](ProtoReader& r) {
      std::string full_name, key;
      ReadFields(r.View(), Field(2, &full_name), Field(3, &key));
      if (!full_name.empty()) keys.emplace(std::move(full_name), std::move(key));
    };
    const auto object = [&](ProtoReader& r) { ReadFields(r.View(), Field(2, attribute)); };
    ReadFields(bytes, Field(1, object));
  } catch (const protozero::exception& e) {
    return Corrupt(StrCat("not an object graph: ", e.what()));
  }
  return keys;
}

}  // namespace octet::tf
