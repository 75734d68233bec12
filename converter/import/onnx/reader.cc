// A message is a list of fields and where they go (ReadFields, Field). place_ says in errors which
// part of the model was being read.
#include "converter/import/onnx/reader.h"

#include "converter/import/proto_reader.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// Messages in a file. An empty message is two bytes of file and hundreds of memory, so their
/// number is bounded; a ResNet-152 has a few thousand.
constexpr int64_t kMaxMessages = 500'000;

/// Throws protozero::exception for what is cut off or malformed; ParseOnnx catches it.
class Parser {
 public:
  void Model(std::string_view bytes, OnnxModel* model);

  const std::string& place() const { return place_; }
  bool too_many() const { return messages_ > kMaxMessages; }

 private:
  struct TooMany : protozero::exception {};

  void Count() {
    if (++messages_ > kMaxMessages) throw TooMany();
  }

  /// A repeated message or string: `read` makes one of its bytes; errors in it are at `place`,
  /// followed by its index, or at the surrounding one.
  template <typename T>
  auto Each(std::vector<T>* list, T (Parser::*read)(std::string_view),
            const char* place = nullptr) {
    return [=, this](ProtoReader& r) {
      if (place != nullptr) place_ = StrCat(place, "[", list->size(), "]");
      Count();
      list->push_back((this->*read)(r.View()));
    };
  }
  /// One such message.
  template <typename T>
  auto One(T* to, T (Parser::*read)(std::string_view)) {
    return [=, this](ProtoReader& r) {
      Count();
      *to = (this->*read)(r.View());
    };
  }

  void Graph(std::string_view bytes, OnnxModel* model);
  OnnxNode Node(std::string_view bytes);
  OnnxAttribute Attribute(std::string_view bytes);
  OnnxTensor Tensor(std::string_view bytes);
  OnnxSparseTensor SparseTensor(std::string_view bytes);
  OnnxValueInfo ValueInfo(std::string_view bytes);
  std::string String(std::string_view bytes) { return std::string(bytes); }

  std::string place_ = "model";
  int64_t messages_ = 0;
};

void Parser::Model(std::string_view bytes, OnnxModel* model) {
  const auto opset = [&](ProtoReader& r) {
    place_ = "opset_import";
    Count();
    std::string domain;
    int64_t version = 0;
    ReadFields(r.View(), Field(1, &domain), Field(2, &version));
    model->opsets[domain == "ai.onnx" ? "" : domain] = version;
  };
  ReadFields(bytes, Field(1, &model->ir_version), Field(2, &model->producer),
             Field(3, &model->producer_version),
             Field(7, [&](ProtoReader& r) { Graph(r.View(), model); }), Field(8, opset));
}

void Parser::Graph(std::string_view bytes, OnnxModel* model) {
  place_ = "graph";
  ReadFields(bytes, Field(1, Each(&model->nodes, &Parser::Node, "graph.node")),
             Field(2, &model->graph_name),
             Field(5, Each(&model->initializers, &Parser::Tensor, "graph.initializer")),
             Field(11, Each(&model->inputs, &Parser::ValueInfo, "graph.input")),
             Field(12, Each(&model->outputs, &Parser::ValueInfo, "graph.output")),
             Field(15, Each(&model->sparse_initializers, &Parser::SparseTensor,
                            "graph.sparse_initializer")));
}

OnnxNode Parser::Node(std::string_view bytes) {
  OnnxNode node;
  ReadFields(bytes, Field(1, Each(&node.inputs, &Parser::String)),
             Field(2, Each(&node.outputs, &Parser::String)), Field(3, &node.name),
             Field(4, &node.op_type), Field(5, Each(&node.attributes, &Parser::Attribute)),
             Field(7, &node.domain));
  if (node.domain == "ai.onnx") node.domain.clear();
  return node;
}

OnnxAttribute Parser::Attribute(std::string_view bytes) {
  OnnxAttribute a;
  using Kind = OnnxAttribute::Kind;
  Kind guessed = Kind::kNone;  // Files of IR version 1 leave the type out.
  int64_t type = 0;
  const auto value = [&](Kind kind, auto read) {
    return [&guessed, kind, read](ProtoReader& r) {
      guessed = kind;
      Field(0, read).Read(r);
    };
  };
  ReadFields(bytes, Field(1, &a.name), Field(2, value(Kind::kFloat, &a.f)),
             Field(3, value(Kind::kInt, &a.i)), Field(4, value(Kind::kString, &a.s)),
             Field(5, value(Kind::kTensor, One(&a.t, &Parser::Tensor))),
             Field(7, value(Kind::kFloats, &a.floats)), Field(8, value(Kind::kInts, &a.ints)),
             Field(9, value(Kind::kStrings, Each(&a.strings, &Parser::String))), Field(20, &type),
             Field(22, One(&a.sparse, &Parser::SparseTensor)));
  constexpr Kind kKinds[] = {Kind::kNone,    Kind::kFloat, Kind::kInt,    Kind::kString,
                             Kind::kTensor,  Kind::kOther, Kind::kFloats, Kind::kInts,
                             Kind::kStrings, Kind::kOther, Kind::kOther,  Kind::kSparse};
  a.kind = type == 0 ? guessed : type > 0 && type < 12 ? kKinds[type] : Kind::kOther;
  return a;
}

OnnxTensor Parser::Tensor(std::string_view bytes) {
  OnnxTensor t;
  const auto raw = [&](ProtoReader& r) {
    t.raw = r.View();
    t.has_raw = true;
  };
  // A negative number of 32 bits may have lost its upper ones.
  const auto ints32 = [&](ProtoReader& r) {
    r.ForEachInt([&](int64_t v) { t.ints.push_back(static_cast<int32_t>(v)); });
  };
  const auto external = [&](ProtoReader& r) {
    Count();
    std::string key, value;
    ReadFields(r.View(), Field(1, &key), Field(2, &value));
    t.external_data[key] = value;
  };
  ReadFields(bytes, Field(1, &t.dims), Field(2, &t.type), Field(4, &t.floats), Field(5, ints32),
             Field(7, &t.ints), Field(8, &t.name), Field(9, raw), Field(10, &t.doubles),
             Field(11, &t.ints), Field(13, external),
             Field(14, [&](ProtoReader& r) { t.external = r.Int() == 1; }));
  return t;
}

OnnxSparseTensor Parser::SparseTensor(std::string_view bytes) {
  OnnxSparseTensor t;
  ReadFields(bytes, Field(1, One(&t.values, &Parser::Tensor)),
             Field(2, One(&t.indices, &Parser::Tensor)), Field(3, &t.dims));
  return t;
}

OnnxValueInfo Parser::ValueInfo(std::string_view bytes) {
  OnnxValueInfo info;
  const auto dim = [&](ProtoReader& r) {
    Count();
    info.dims.push_back(-1);
    ReadFields(r.View(), Field(1, &info.dims.back()));
  };
  const auto shape = [&](ProtoReader& r) {
    info.has_shape = true;
    ReadFields(r.View(), Field(1, dim));
  };
  const auto tensor = [&](ProtoReader& r) {
    ReadFields(r.View(), Field(1, &info.type), Field(2, shape));
  };
  ReadFields(bytes, Field(1, &info.name),
             Field(2, [&](ProtoReader& r) { ReadFields(r.View(), Field(1, tensor)); }));
  return info;
}

}  // namespace

Result<OnnxModel> ParseOnnx(std::string_view bytes, const std::string& origin) {
  OnnxModel model;
  Parser parser;
  try {
    parser.Model(bytes, &model);
  } catch (const protozero::exception&) {
    if (parser.too_many())
      return Corrupt(
          StrCat(origin, ": more than ", kMaxMessages, " nodes, tensors and attributes"));
    return Corrupt(StrCat(origin, ": not a valid protocol buffer at ", parser.place(),
                          "; the file is cut off or damaged"));
  }
  return model;
}

}  // namespace octet
