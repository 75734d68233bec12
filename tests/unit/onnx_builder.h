// Writes small ONNX files for tests, field by field, so that no exporter is needed.
#ifndef OCTET_TESTS_UNIT_ONNX_BUILDER_H_
#define OCTET_TESTS_UNIT_ONNX_BUILDER_H_

#include <cstdint>
#include <cstring>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "formats/base/dtype.h"
#include "formats/base/random.h"

namespace octet::testing {

using Dims = std::vector<int64_t>;

/// Where a tensor's values lie in the file.
enum class OnnxStorage { kRaw, kList, kHalf, kHalfList, kDouble, kExternal };

struct OnnxTensorSpec {
  std::string name;
  Dims dims;
  std::vector<float> floats;
  std::vector<int64_t> ints;  ///< int64 when not empty or `is_int`.
  bool is_int = false;
  OnnxStorage storage = OnnxStorage::kRaw;
  /// kExternal: location, offset, length.
  std::vector<std::pair<std::string, std::string>> external;
  int type = 0;  ///< TensorProto.DataType of `ints` other than int64, stored as a list.
};

inline OnnxTensorSpec FloatTensor(std::string name, Dims dims, std::vector<float> values,
                                  OnnxStorage storage = OnnxStorage::kRaw) {
  return {std::move(name), std::move(dims), std::move(values), {}, false, storage, {}, 0};
}
inline OnnxTensorSpec IntTensor(std::string name, Dims dims, std::vector<int64_t> values,
                                OnnxStorage storage = OnnxStorage::kRaw) {
  return {std::move(name), std::move(dims), {}, std::move(values), true, storage, {}, 0};
}

/// uint8, or another small type of TensorProto.DataType.
inline OnnxTensorSpec ByteTensor(std::string name, Dims dims, std::vector<int64_t> values,
                                 int type = 2) {
  return {
      std::move(name), std::move(dims), {}, std::move(values), true, OnnxStorage::kList, {}, type};
}

struct OnnxAttr {
  std::string name;
  std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>,
               OnnxTensorSpec>
      value;
};

class OnnxBuilder {
 public:
  explicit OnnxBuilder(int64_t opset = 13) : opset_(opset) {}

  int64_t opset() const { return opset_; }

  /// -1 writes a symbolic dimension.
  OnnxBuilder& Input(const std::string& name, const Dims& dims, int type = 1) {
    graph_.emplace_back(11, ValueInfo(name, dims, type));
    return *this;
  }
  OnnxBuilder& Output(const std::string& name) {
    graph_.emplace_back(12, ValueInfo(name, {}, 1));
    return *this;
  }
  OnnxBuilder& Initializer(const OnnxTensorSpec& tensor) {
    graph_.emplace_back(5, Tensor(tensor));
    return *this;
  }
  /// Values that are not zero, and where they are.
  OnnxBuilder& SparseInitializer(const OnnxTensorSpec& values, const OnnxTensorSpec& indices,
                                 const Dims& dims) {
    std::string data;
    protozero::pbf_writer writer(data);
    writer.add_message(1, Tensor(values));
    writer.add_message(2, Tensor(indices));
    writer.add_packed_int64(3, dims.begin(), dims.end());
    graph_.emplace_back(15, data);
    return *this;
  }
  /// The domain of the file's one opset, ONNX's own otherwise.
  OnnxBuilder& Domain(const std::string& domain) {
    domain_ = domain;
    return *this;
  }
  OnnxBuilder& Node(const std::string& op, const std::vector<std::string>& inputs,
                    const std::vector<std::string>& outputs,
                    const std::vector<OnnxAttr>& attributes = {}, const std::string& name = "",
                    const std::string& domain = "") {
    std::string data;
    protozero::pbf_writer writer(data);
    for (const std::string& input : inputs) writer.add_string(1, input);
    for (const std::string& output : outputs) writer.add_string(2, output);
    if (!name.empty()) writer.add_string(3, name);
    writer.add_string(4, op);
    for (const OnnxAttr& attribute : attributes) writer.add_message(5, Attribute(attribute));
    if (!domain.empty()) writer.add_string(7, domain);
    graph_.emplace_back(1, data);
    return *this;
  }

  /// The file's bytes.
  std::string Build() const {
    std::string graph_data;
    protozero::pbf_writer graph(graph_data);
    graph.add_string(2, "test");
    for (const auto& [tag, data] : graph_) graph.add_message(tag, data);
    std::string opset_data;
    protozero::pbf_writer opset(opset_data);
    opset.add_string(1, domain_);
    opset.add_int64(2, opset_);
    std::string model_data;
    protozero::pbf_writer model(model_data);
    model.add_int64(1, 8);
    model.add_string(2, "octet-test");
    model.add_message(7, graph_data);
    model.add_message(8, opset_data);
    return model_data;
  }

 private:
  static std::string ValueInfo(const std::string& name, const Dims& dims, int type) {
    std::string shape_data;
    protozero::pbf_writer shape(shape_data);
    for (int64_t d : dims) {
      std::string dim_data;
      protozero::pbf_writer dim(dim_data);
      if (d < 0) {
        dim.add_string(2, "batch");
      } else {
        dim.add_int64(1, d);
      }
      shape.add_message(1, dim_data);
    }
    std::string tensor_data;
    protozero::pbf_writer tensor(tensor_data);
    tensor.add_int32(1, type);
    tensor.add_message(2, shape_data);
    std::string type_data;
    protozero::pbf_writer(type_data).add_message(1, tensor_data);
    std::string data;
    protozero::pbf_writer writer(data);
    writer.add_string(1, name);
    writer.add_message(2, type_data);
    return data;
  }

  template <typename T>
  static std::string Bytes(const std::vector<T>& values) {
    return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  }

  static std::string Tensor(const OnnxTensorSpec& t) {
    std::string data;
    protozero::pbf_writer writer(data);
    writer.add_packed_int64(1, t.dims.begin(), t.dims.end());
    const bool half = t.storage == OnnxStorage::kHalf || t.storage == OnnxStorage::kHalfList;
    writer.add_int32(2, t.type != 0                         ? t.type
                        : t.is_int                          ? 7
                        : half                              ? 10
                        : t.storage == OnnxStorage::kDouble ? 11
                                                            : 1);
    writer.add_string(8, t.name);
    std::vector<uint16_t> halves;
    for (float f : t.floats) halves.push_back(FloatToHalf(f));
    switch (t.storage) {
      case OnnxStorage::kRaw:
        writer.add_bytes(9, t.is_int ? Bytes(t.ints) : Bytes(t.floats));
        break;
      case OnnxStorage::kList:
        if (t.type != 0) {
          writer.add_packed_int32(5, t.ints.begin(), t.ints.end());
        } else if (t.is_int) {
          writer.add_packed_int64(7, t.ints.begin(), t.ints.end());
        } else {
          writer.add_packed_float(4, t.floats.begin(), t.floats.end());
        }
        break;
      case OnnxStorage::kHalf:
        writer.add_bytes(9, Bytes(halves));
        break;
      case OnnxStorage::kHalfList:
        writer.add_packed_int32(5, halves.begin(), halves.end());
        break;
      case OnnxStorage::kDouble:
        writer.add_bytes(9, Bytes(std::vector<double>(t.floats.begin(), t.floats.end())));
        break;
      case OnnxStorage::kExternal:
        for (const auto& [key, value] : t.external) {
          std::string entry;
          protozero::pbf_writer e(entry);
          e.add_string(1, key);
          e.add_string(2, value);
          writer.add_message(13, entry);
        }
        writer.add_int32(14, 1);
        break;
    }
    return data;
  }

  static std::string Attribute(const OnnxAttr& a) {
    std::string data;
    protozero::pbf_writer writer(data);
    writer.add_string(1, a.name);
    if (const auto* i = std::get_if<int64_t>(&a.value)) {
      writer.add_int64(3, *i);
      writer.add_int32(20, 2);
    } else if (const auto* f = std::get_if<float>(&a.value)) {
      writer.add_float(2, *f);
      writer.add_int32(20, 1);
    } else if (const auto* s = std::get_if<std::string>(&a.value)) {
      writer.add_string(4, *s);
      writer.add_int32(20, 3);
    } else if (const auto* ints = std::get_if<std::vector<int64_t>>(&a.value)) {
      writer.add_packed_int64(8, ints->begin(), ints->end());
      writer.add_int32(20, 7);
    } else if (const auto* floats = std::get_if<std::vector<float>>(&a.value)) {
      writer.add_packed_float(7, floats->begin(), floats->end());
      writer.add_int32(20, 6);
    } else if (const auto* t = std::get_if<OnnxTensorSpec>(&a.value)) {
      writer.add_message(5, Tensor(*t));
      writer.add_int32(20, 4);
    }
    return data;
  }

  int64_t opset_;
  std::string domain_;
  std::vector<std::pair<protozero::pbf_tag_type, std::string>> graph_;
};

/// Deterministic numbers in [-1, 1), a multiple of 1/512 each, so that they survive float16.
class TestNumbers {
 public:
  explicit TestNumbers(uint64_t seed) : random_(seed) {}

  uint64_t Bits() { return random_.Next(); }
  int64_t Below(int64_t n) { return static_cast<int64_t>(Bits() % static_cast<uint64_t>(n)); }
  float Next() { return static_cast<float>(Below(1024) - 512) / 512.0f; }
  std::vector<float> Floats(int64_t n) {
    std::vector<float> values(static_cast<size_t>(n));
    for (float& v : values) v = Next();
    return values;
  }

 private:
  SplitMix64 random_;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_ONNX_BUILDER_H_
