#include "converter/import/onnx/reader.h"

#include <protozero/pbf_reader.hpp>
#include <utility>

#include "formats/base/str_cat.h"

namespace octet {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;
using protozero::tag_and_type;

constexpr pbf_wire_type kVarint = pbf_wire_type::varint;
constexpr pbf_wire_type kBytes = pbf_wire_type::length_delimited;
constexpr pbf_wire_type kFixed32 = pbf_wire_type::fixed32;
constexpr pbf_wire_type kFixed64 = pbf_wire_type::fixed64;

/// Messages in a file. An empty message is two bytes of file and hundreds of memory, so their
/// number is bounded; a ResNet-152 has a few thousand.
constexpr int64_t kMaxMessages = 500'000;

std::string String(pbf_reader& reader) {
  const protozero::data_view view = reader.get_view();
  return std::string(view.data(), view.size());
}

/// Fields are recognized by number and wire type together, so no getter meets a wire type that it
/// does not expect. Throws protozero::exception for what is cut off or malformed; ParseOnnx catches
/// it.
class Parser {
 public:
  void Model(pbf_reader reader, OnnxModel* model);

  const std::string& place() const { return place_; }
  bool too_many() const { return messages_ > kMaxMessages; }

 private:
  struct TooMany : protozero::exception {};

  void Count() {
    if (++messages_ > kMaxMessages) throw TooMany();
  }

  void Graph(pbf_reader reader, OnnxModel* model);
  OnnxNode Node(pbf_reader reader);
  OnnxAttribute Attribute(pbf_reader reader);
  OnnxTensor Tensor(pbf_reader reader);
  OnnxSparseTensor SparseTensor(pbf_reader reader);
  OnnxValueInfo ValueInfo(pbf_reader reader);
  void TensorType(pbf_reader reader, OnnxValueInfo* info);

  std::string place_ = "model";
  int64_t messages_ = 0;
};

void Parser::Model(pbf_reader reader, OnnxModel* model) {
  while (reader.next()) {
    place_ = "model";
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kVarint):
        model->ir_version = reader.get_int64();
        break;
      case tag_and_type(2, kBytes):
        model->producer = String(reader);
        break;
      case tag_and_type(3, kBytes):
        model->producer_version = String(reader);
        break;
      case tag_and_type(7, kBytes):
        Graph(reader.get_message(), model);
        break;
      case tag_and_type(8, kBytes): {
        place_ = "opset_import";
        Count();
        pbf_reader opset = reader.get_message();
        std::string domain;
        int64_t version = 0;
        while (opset.next()) {
          switch (opset.tag_and_type()) {
            case tag_and_type(1, kBytes):
              domain = String(opset);
              break;
            case tag_and_type(2, kVarint):
              version = opset.get_int64();
              break;
            default:
              opset.skip();
          }
        }
        model->opsets[domain == "ai.onnx" ? "" : domain] = version;
        break;
      }
      default:
        reader.skip();
    }
  }
}

void Parser::Graph(pbf_reader reader, OnnxModel* model) {
  while (reader.next()) {
    place_ = "graph";
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kBytes):
        place_ = StrCat("graph.node[", model->nodes.size(), "]");
        model->nodes.push_back(Node(reader.get_message()));
        break;
      case tag_and_type(2, kBytes):
        model->graph_name = String(reader);
        break;
      case tag_and_type(5, kBytes):
        place_ = StrCat("graph.initializer[", model->initializers.size(), "]");
        model->initializers.push_back(Tensor(reader.get_message()));
        break;
      case tag_and_type(11, kBytes):
        place_ = StrCat("graph.input[", model->inputs.size(), "]");
        model->inputs.push_back(ValueInfo(reader.get_message()));
        break;
      case tag_and_type(15, kBytes):
        place_ = StrCat("graph.sparse_initializer[", model->sparse_initializers.size(), "]");
        model->sparse_initializers.push_back(SparseTensor(reader.get_message()));
        break;
      case tag_and_type(12, kBytes):
        place_ = StrCat("graph.output[", model->outputs.size(), "]");
        model->outputs.push_back(ValueInfo(reader.get_message()));
        break;
      default:
        reader.skip();
    }
  }
}

OnnxNode Parser::Node(pbf_reader reader) {
  Count();
  OnnxNode node;
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kBytes):
        Count();
        node.inputs.push_back(String(reader));
        break;
      case tag_and_type(2, kBytes):
        Count();
        node.outputs.push_back(String(reader));
        break;
      case tag_and_type(3, kBytes):
        node.name = String(reader);
        break;
      case tag_and_type(4, kBytes):
        node.op_type = String(reader);
        break;
      case tag_and_type(5, kBytes):
        node.attributes.push_back(Attribute(reader.get_message()));
        break;
      case tag_and_type(7, kBytes):
        node.domain = String(reader);
        break;
      default:
        reader.skip();
    }
  }
  if (node.domain == "ai.onnx") node.domain.clear();
  return node;
}

OnnxAttribute Parser::Attribute(pbf_reader reader) {
  Count();
  OnnxAttribute a;
  using Kind = OnnxAttribute::Kind;
  Kind guessed = Kind::kNone;  // Files of IR version 1 leave the type out.
  int64_t type = 0;
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kBytes):
        a.name = String(reader);
        break;
      case tag_and_type(2, kFixed32):
        a.f = reader.get_float();
        guessed = Kind::kFloat;
        break;
      case tag_and_type(3, kVarint):
        a.i = reader.get_int64();
        guessed = Kind::kInt;
        break;
      case tag_and_type(4, kBytes):
        a.s = String(reader);
        guessed = Kind::kString;
        break;
      case tag_and_type(5, kBytes):
        a.t = Tensor(reader.get_message());
        guessed = Kind::kTensor;
        break;
      case tag_and_type(7, kBytes):
        for (float f : reader.get_packed_float()) a.floats.push_back(f);
        guessed = Kind::kFloats;
        break;
      case tag_and_type(7, kFixed32):
        a.floats.push_back(reader.get_float());
        guessed = Kind::kFloats;
        break;
      case tag_and_type(8, kBytes):
        for (int64_t i : reader.get_packed_int64()) a.ints.push_back(i);
        guessed = Kind::kInts;
        break;
      case tag_and_type(8, kVarint):
        a.ints.push_back(reader.get_int64());
        guessed = Kind::kInts;
        break;
      case tag_and_type(9, kBytes):
        Count();
        a.strings.push_back(String(reader));
        guessed = Kind::kStrings;
        break;
      case tag_and_type(22, kBytes):
        a.sparse = SparseTensor(reader.get_message());
        break;
      case tag_and_type(20, kVarint):
        type = reader.get_int64();
        break;
      default:
        reader.skip();
    }
  }
  switch (type) {
    case 0:
      a.kind = guessed;
      break;
    case 1:
      a.kind = Kind::kFloat;
      break;
    case 2:
      a.kind = Kind::kInt;
      break;
    case 3:
      a.kind = Kind::kString;
      break;
    case 4:
      a.kind = Kind::kTensor;
      break;
    case 6:
      a.kind = Kind::kFloats;
      break;
    case 7:
      a.kind = Kind::kInts;
      break;
    case 8:
      a.kind = Kind::kStrings;
      break;
    case 11:
      a.kind = Kind::kSparse;
      break;
    default:
      a.kind = Kind::kOther;
      break;
  }
  return a;
}

OnnxTensor Parser::Tensor(pbf_reader reader) {
  Count();
  OnnxTensor t;
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kBytes):
        for (int64_t d : reader.get_packed_int64()) t.dims.push_back(d);
        break;
      case tag_and_type(1, kVarint):
        t.dims.push_back(reader.get_int64());
        break;
      case tag_and_type(2, kVarint):
        t.type = static_cast<OnnxType>(reader.get_int32());
        break;
      case tag_and_type(4, kBytes):
        for (float f : reader.get_packed_float()) t.floats.push_back(f);
        break;
      case tag_and_type(4, kFixed32):
        t.floats.push_back(reader.get_float());
        break;
      case tag_and_type(5, kBytes):
        for (int32_t i : reader.get_packed_int32()) t.ints.push_back(i);
        break;
      case tag_and_type(5, kVarint):
        t.ints.push_back(reader.get_int32());
        break;
      case tag_and_type(7, kBytes):
      case tag_and_type(11, kBytes):
        for (int64_t i : reader.get_packed_int64()) t.ints.push_back(i);
        break;
      case tag_and_type(7, kVarint):
      case tag_and_type(11, kVarint):
        t.ints.push_back(reader.get_int64());
        break;
      case tag_and_type(8, kBytes):
        t.name = String(reader);
        break;
      case tag_and_type(9, kBytes): {
        const protozero::data_view view = reader.get_view();
        t.raw = {view.data(), view.size()};
        t.has_raw = true;
        break;
      }
      case tag_and_type(10, kBytes):
        for (double d : reader.get_packed_double()) t.doubles.push_back(d);
        break;
      case tag_and_type(10, kFixed64):
        t.doubles.push_back(reader.get_double());
        break;
      case tag_and_type(13, kBytes): {
        Count();
        pbf_reader entry = reader.get_message();
        std::string key, value;
        while (entry.next()) {
          switch (entry.tag_and_type()) {
            case tag_and_type(1, kBytes):
              key = String(entry);
              break;
            case tag_and_type(2, kBytes):
              value = String(entry);
              break;
            default:
              entry.skip();
          }
        }
        t.external_data[key] = value;
        break;
      }
      case tag_and_type(14, kVarint):
        t.external = reader.get_int32() == 1;
        break;
      default:
        reader.skip();
    }
  }
  return t;
}

OnnxSparseTensor Parser::SparseTensor(pbf_reader reader) {
  Count();
  OnnxSparseTensor t;
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kBytes):
        t.values = Tensor(reader.get_message());
        break;
      case tag_and_type(2, kBytes):
        t.indices = Tensor(reader.get_message());
        break;
      case tag_and_type(3, kBytes):
        for (int64_t d : reader.get_packed_int64()) t.dims.push_back(d);
        break;
      case tag_and_type(3, kVarint):
        t.dims.push_back(reader.get_int64());
        break;
      default:
        reader.skip();
    }
  }
  return t;
}

OnnxValueInfo Parser::ValueInfo(pbf_reader reader) {
  Count();
  OnnxValueInfo info;
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kBytes):
        info.name = String(reader);
        break;
      case tag_and_type(2, kBytes): {
        pbf_reader type = reader.get_message();
        while (type.next()) {
          if (type.tag_and_type() == tag_and_type(1, kBytes)) {
            TensorType(type.get_message(), &info);
          } else {
            type.skip();
          }
        }
        break;
      }
      default:
        reader.skip();
    }
  }
  return info;
}

void Parser::TensorType(pbf_reader reader, OnnxValueInfo* info) {
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kVarint):
        info->type = static_cast<OnnxType>(reader.get_int32());
        break;
      case tag_and_type(2, kBytes): {
        info->has_shape = true;
        pbf_reader shape = reader.get_message();
        while (shape.next()) {
          if (shape.tag_and_type() != tag_and_type(1, kBytes)) {
            shape.skip();
            continue;
          }
          Count();
          int64_t value = -1;
          pbf_reader dim = shape.get_message();
          while (dim.next()) {
            if (dim.tag_and_type() == tag_and_type(1, kVarint)) {
              value = dim.get_int64();
            } else {
              dim.skip();
            }
          }
          info->dims.push_back(value);
        }
        break;
      }
      default:
        reader.skip();
    }
  }
}

}  // namespace

Result<OnnxModel> ParseOnnx(std::string_view bytes, const std::string& origin) {
  OnnxModel model;
  Parser parser;
  try {
    parser.Model(pbf_reader(bytes.data(), bytes.size()), &model);
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
