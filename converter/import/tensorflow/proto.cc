#include "converter/import/tensorflow/proto.h"

#include <bit>
#include <cstring>
#include <utility>

#include "converter/import/proto_reader.h"
#include "converter/import/tensorflow/tensor_bundle.h"
#include "formats/base/dtype.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet::tf {
namespace {

/// A map entry: key and serialized value.
std::pair<std::string_view, std::string_view> MapEntry(std::string_view bytes) {
  std::pair<std::string_view, std::string_view> entry;
  for (ProtoReader reader(bytes); reader.Next();) {
    switch (reader.tag()) {
      case 1:
        entry.first = reader.View();
        break;
      case 2:
        entry.second = reader.View();
        break;
      default:
        reader.Skip();
    }
  }
  return entry;
}

NodeDef ParseNode(std::string_view bytes) {
  NodeDef node;
  for (ProtoReader reader(bytes); reader.Next();) {
    switch (reader.tag()) {
      case 1:
        node.name = reader.View();
        break;
      case 2:
        node.op = reader.View();
        break;
      case 3:
        node.inputs.push_back(reader.View());
        break;
      case 5:
        node.attributes.push_back(MapEntry(reader.View()));
        break;
      default:
        reader.Skip();
    }
  }
  return node;
}

void AddNode(std::string_view bytes, GraphDef* graph) {
  graph->nodes.push_back(ParseNode(bytes));
  graph->index.emplace(graph->nodes.back().name, static_cast<int>(graph->nodes.size()) - 1);
}

/// ArgDef's or any other message's string in field 1.
std::string_view NameOf(std::string_view bytes) {
  std::string_view name;
  for (ProtoReader reader(bytes); reader.Next();) {
    if (reader.tag() == 1) {
      name = reader.View();
    } else {
      reader.Skip();
    }
  }
  return name;
}

FunctionDef ParseFunction(std::string_view bytes) {
  FunctionDef function;
  for (ProtoReader reader(bytes); reader.Next();) {
    switch (reader.tag()) {
      case 1:
        for (ProtoReader op(reader.View()); op.Next();) {
          switch (op.tag()) {
            case 1:
              function.name = op.View();
              break;
            case 2:
              function.inputs.push_back(NameOf(op.View()));
              break;
            case 3:
              function.outputs.push_back(NameOf(op.View()));
              break;
            default:
              op.Skip();
          }
        }
        break;
      case 3:
        AddNode(reader.View(), &function.body);
        break;
      case 4:
        function.returns.insert(MapEntry(reader.View()));
        break;
      default:
        reader.Skip();
    }
  }
  return function;
}

void ParseGraph(std::string_view bytes, MetaGraph* meta) {
  for (ProtoReader reader(bytes); reader.Next();) {
    switch (reader.tag()) {
      case 1:
        AddNode(reader.View(), &meta->graph);
        break;
      case 2:
        for (ProtoReader library(reader.View()); library.Next();) {
          if (library.tag() == 1) {
            FunctionDef function = ParseFunction(library.View());
            const std::string_view name = function.name;
            meta->functions.emplace(name, std::move(function));
          } else {
            library.Skip();
          }
        }
        break;
      default:
        reader.Skip();
    }
  }
}

TensorInfo ParseTensorInfo(std::string_view bytes) {
  TensorInfo info;
  for (ProtoReader reader(bytes); reader.Next();) {
    switch (reader.tag()) {
      case 1:
        info.name = reader.View();
        break;
      case 2:
        info.dtype = static_cast<int>(reader.Int());
        break;
      case 3:
        info.shape = ParseShape(reader.View());
        break;
      default:
        reader.Skip();
    }
  }
  return info;
}

SignatureDef ParseSignature(std::string_view bytes) {
  SignatureDef signature;
  for (ProtoReader reader(bytes); reader.Next();) {
    switch (reader.tag()) {
      case 1:
      case 2: {
        auto& side = reader.tag() == 1 ? signature.inputs : signature.outputs;
        const auto [key, value] = MapEntry(reader.View());
        side[std::string(key)] = ParseTensorInfo(value);
        break;
      }
      default:
        reader.Skip();
    }
  }
  return signature;
}

MetaGraph ParseMetaGraph(std::string_view bytes) {
  MetaGraph meta;
  for (ProtoReader reader(bytes); reader.Next();) {
    switch (reader.tag()) {
      case 1:
        for (ProtoReader info(reader.View()); info.Next();) {
          switch (info.tag()) {
            case 4:
              meta.tags.push_back(info.View());
              break;
            case 5:
              meta.tensorflow_version = info.View();
              break;
            default:
              info.Skip();
          }
        }
        break;
      case 2:
        ParseGraph(reader.View(), &meta);
        break;
      case 3:
        for (ProtoReader saver(reader.View()); saver.Next();) {
          if (saver.tag() == 3) {
            meta.restore_op = saver.View();
          } else {
            saver.Skip();
          }
        }
        break;
      case 5: {
        const auto [key, value] = MapEntry(reader.View());
        meta.signatures[std::string(key)] = ParseSignature(value);
        break;
      }
      default:
        reader.Skip();
    }
  }
  return meta;
}

template <typename T>
T Load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

Status UnreadableType(int dtype) {
  return Unsupported(StrCat("element type ", TypeName(dtype),
                            "; expected float32, float64, float16, bfloat16, an integer or bool"));
}

}  // namespace

std::string TypeName(int type) {
  switch (type) {
    case kFloat:
      return "float32";
    case kDouble:
      return "float64";
    case kInt32:
      return "int32";
    case kUint8:
      return "uint8";
    case kInt8:
      return "int8";
    case kString:
      return "string";
    case kInt64:
      return "int64";
    case kBool:
      return "bool";
    case kBfloat16:
      return "bfloat16";
    case kHalf:
      return "float16";
    case kResource:
      return "resource";
  }
  return StrCat("type ", type);
}

size_t TypeSize(int type) {
  switch (type) {
    case kFloat:
    case kInt32:
      return 4;
    case kDouble:
    case kInt64:
      return 8;
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kBfloat16:
    case kHalf:
      return 2;
  }
  return 0;
}

bool HostTensor::is_float() const {
  return dtype == kFloat || dtype == kDouble || dtype == kHalf || dtype == kBfloat16;
}

int64_t HostTensor::num_elements() const { return Product(dims); }

int64_t Product(const std::vector<int64_t>& dims) {
  // A dimension of 0 does not excuse the others: strides are computed from them.
  int64_t n = 1;
  bool empty = false;
  for (const int64_t d : dims) {
    empty |= d == 0;
    if (d < 0 || !CheckedMul(n, d == 0 ? 1 : d, &n) || n > (int64_t{1} << 62)) return -1;
  }
  return empty ? 0 : n;
}

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
    for (ProtoReader reader(*value); reader.Next();) {
      if (static_cast<int>(reader.tag()) == field) {
        found = reader.View();
      } else {
        reader.Skip();
      }
    }
  }
  return found;
}

int64_t NodeDef::Int(std::string_view key, int64_t otherwise) const {
  if (const std::string_view* value = Find(key)) {
    for (ProtoReader reader(*value); reader.Next();) {
      // int, bool and type: each attribute has only one of them.
      if (reader.tag() == 3 || reader.tag() == 5 || reader.tag() == 6) {
        otherwise = reader.Int();
      } else {
        reader.Skip();
      }
    }
  }
  return otherwise;
}

bool NodeDef::Bool(std::string_view key, bool otherwise) const {
  return Int(key, otherwise ? 1 : 0) != 0;
}

int NodeDef::Type(std::string_view key, int otherwise) const {
  return static_cast<int>(Int(key, otherwise));
}

float NodeDef::Float(std::string_view key, float otherwise) const {
  if (const std::string_view* value = Find(key)) {
    for (ProtoReader reader(*value); reader.Next();) {
      if (reader.tag() == 4) {
        otherwise = reader.Float();
      } else {
        reader.Skip();
      }
    }
  }
  return otherwise;
}

std::vector<int64_t> NodeDef::Ints(std::string_view key) const {
  std::vector<int64_t> ints;
  if (const auto list = Bytes(key, 1)) {
    for (ProtoReader reader(*list); reader.Next();) {
      if (reader.tag() == 3) {
        reader.ForEachInt([&](int64_t v) { ints.push_back(v); });
      } else {
        reader.Skip();
      }
    }
  }
  return ints;
}

std::string NodeDef::Text(std::string_view key) const {
  std::string text;
  if (const std::string_view* value = Find(key)) {
    for (ProtoReader reader(*value); reader.Next();) {
      switch (reader.tag()) {
        case 2:
          text = reader.View();
          break;
        case 3:
          text = StrCat(reader.Int());
          break;
        case 4:
          text = StrCat(reader.Float());
          break;
        case 5:
          text = reader.Int() != 0 ? "true" : "false";
          break;
        case 6:
          text = TypeName(static_cast<int>(reader.Int()));
          break;
        default:
          text = reader.tag() == 1 ? "a list" : "of another kind";
          reader.Skip();
      }
    }
  }
  return text;
}

std::string_view NodeDef::Function(std::string_view key) const {
  const auto function = Bytes(key, 10);
  return function ? NameOf(*function) : std::string_view();
}

std::optional<std::vector<int64_t>> ParseShape(std::string_view bytes) {
  std::vector<int64_t> dims;
  bool unknown_rank = false;
  for (ProtoReader reader(bytes); reader.Next();) {
    switch (reader.tag()) {
      case 2: {
        int64_t size = 0;
        for (ProtoReader dim(reader.View()); dim.Next();) {
          if (dim.tag() == 1) {
            size = dim.Int();
          } else {
            dim.Skip();
          }
        }
        dims.push_back(size < 0 ? -1 : size);
        break;
      }
      case 3:
        unknown_rank = reader.Int() != 0;
        break;
      default:
        reader.Skip();
    }
  }
  if (unknown_rank) return std::nullopt;
  return dims;
}

Result<std::vector<MetaGraph>> ParseSavedModel(std::string_view bytes) {
  try {
    std::vector<MetaGraph> metas;
    for (ProtoReader reader(bytes); reader.Next();) {
      if (reader.tag() == 2) {
        metas.push_back(ParseMetaGraph(reader.View()));
      } else {
        reader.Skip();
      }
    }
    return metas;
  } catch (const protozero::exception& e) {
    return Corrupt(StrCat("not a SavedModel message: ", e.what()));
  }
}

Status DecodeElements(std::string_view bytes, HostTensor* tensor) {
  const size_t size = TypeSize(tensor->dtype);
  const int64_t n = tensor->num_elements();
  if (size == 0) return UnreadableType(tensor->dtype);
  if (n < 0 || bytes.size() % size != 0 || bytes.size() / size != static_cast<uint64_t>(n)) {
    return Corrupt(
        StrCat("tensor data has ", bytes.size(), " bytes, expected ", n, " elements of ", size));
  }
  const char* p = bytes.data();
  const auto floats = [&](auto convert) {
    tensor->floats.resize(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) tensor->floats[i] = convert(p + i * size);
  };
  const auto ints = [&](auto convert) {
    tensor->ints.resize(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) tensor->ints[i] = convert(p + i * size);
  };
  switch (tensor->dtype) {
    case kFloat:
      tensor->floats.resize(static_cast<size_t>(n));
      if (n > 0) std::memcpy(tensor->floats.data(), p, bytes.size());
      break;
    case kDouble:
      floats([](const char* q) { return static_cast<float>(Load<double>(q)); });
      break;
    case kHalf:
      floats([](const char* q) { return HalfToFloat(Load<uint16_t>(q)); });
      break;
    case kBfloat16:
      floats([](const char* q) {
        return std::bit_cast<float>(static_cast<uint32_t>(Load<uint16_t>(q)) << 16);
      });
      break;
    case kInt32:
      ints([](const char* q) { return int64_t{Load<int32_t>(q)}; });
      break;
    case kInt64:
      ints([](const char* q) { return Load<int64_t>(q); });
      break;
    case kInt8:
      ints([](const char* q) { return int64_t{Load<int8_t>(q)}; });
      break;
    case kUint8:
      ints([](const char* q) { return int64_t{Load<uint8_t>(q)}; });
      break;
    case kBool:
      ints([](const char* q) { return int64_t{*q != 0}; });
      break;
  }
  return OkStatus();
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

Result<HostTensor> ParseTensorOrThrow(std::string_view bytes, int64_t* fill_budget) {
  HostTensor tensor;
  std::optional<std::string_view> content;
  std::vector<float> floats;
  std::vector<int64_t> ints, halves;
  for (ProtoReader reader(bytes); reader.Next();) {
    switch (reader.tag()) {
      case 1:
        tensor.dtype = static_cast<int>(reader.Int());
        break;
      case 2: {
        auto shape = ParseShape(reader.View());
        if (!shape) return Corrupt("constant of unknown rank");
        tensor.dims = *std::move(shape);
        break;
      }
      case 4:
        content = reader.View();
        break;
      case 5:
        reader.ForEachFloat([&](float v) { floats.push_back(v); });
        break;
      case 6:
        reader.ForEachDouble([&](double v) { floats.push_back(static_cast<float>(v)); });
        break;
      case 7:
      case 10:
      case 11:
        reader.ForEachInt([&](int64_t v) { ints.push_back(v); });
        break;
      case 8:
        tensor.strings.emplace_back(reader.View());
        break;
      case 13:
        reader.ForEachInt([&](int64_t v) { halves.push_back(v); });
        break;
      default:
        reader.Skip();
    }
  }
  const int64_t n = tensor.num_elements();
  if (n < 0) return Corrupt("constant with an impossible shape");
  if (tensor.dtype == kString) {
    // One string per element: a shape that asks for more than the message has is not worth filling.
    if (static_cast<int64_t>(tensor.strings.size()) != n) {
      return Corrupt(StrCat("string tensor has ", tensor.strings.size(), " values, expected ", n));
    }
    return tensor;
  }
  if (TypeSize(tensor.dtype) == 0) return UnreadableType(tensor.dtype);
  if (content) {
    OCTET_RETURN_IF_ERROR(DecodeElements(*content, &tensor));
    return tensor;
  }
  if (n > *fill_budget) {
    return Unsupported(
        StrCat("constant of ", n, " elements without its bytes, expected at most ", *fill_budget));
  }
  *fill_budget -= n;
  if (!halves.empty()) {
    for (const int64_t v : halves) {
      const uint32_t bits = static_cast<uint32_t>(v) & 0xffffu;
      floats.push_back(tensor.dtype == kBfloat16 ? std::bit_cast<float>(bits << 16)
                                                 : HalfToFloat(static_cast<uint16_t>(bits)));
    }
  }
  if (tensor.is_float()) {
    OCTET_RETURN_IF_ERROR(Fill(n, &floats));
    tensor.floats = std::move(floats);
  } else {
    OCTET_RETURN_IF_ERROR(Fill(n, &ints));
    tensor.ints = std::move(ints);
  }
  return tensor;
}

}  // namespace

Result<HostTensor> ParseTensor(std::string_view bytes, int64_t* fill_budget) {
  try {
    return ParseTensorOrThrow(bytes, fill_budget);
  } catch (const protozero::exception& e) {
    return Corrupt(StrCat("not a tensor message: ", e.what()));
  }
}

Result<std::map<std::string, std::string>> ParseObjectGraph(std::string_view bytes) {
  std::map<std::string, std::string> keys;
  try {
    for (ProtoReader graph(bytes); graph.Next();) {
      if (graph.tag() != 1) {
        graph.Skip();
        continue;
      }
      for (ProtoReader object(graph.View()); object.Next();) {
        if (object.tag() != 2) {
          object.Skip();
          continue;
        }
        std::string full_name, key;
        for (ProtoReader attribute(object.View()); attribute.Next();) {
          switch (attribute.tag()) {
            case 2:
              full_name = attribute.View();
              break;
            case 3:
              key = attribute.View();
              break;
            default:
              attribute.Skip();
          }
        }
        if (!full_name.empty()) keys.emplace(std::move(full_name), std::move(key));
      }
    }
  } catch (const protozero::exception& e) {
    return Corrupt(StrCat("not an object graph: ", e.what()));
  }
  return keys;
}

}  // namespace octet::tf
