// Writes small SavedModels: graph, functions, signature and tensor bundle.
#ifndef OCTET_TESTS_UNIT_SAVED_MODEL_BUILDER_H_
#define OCTET_TESTS_UNIT_SAVED_MODEL_BUILDER_H_

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/data/crc32.h"

namespace octet::testing {

inline constexpr int kTfFloat = 1, kTfDouble = 2, kTfInt32 = 3, kTfUint8 = 4, kTfString = 7,
                     kTfInt64 = 9, kTfResource = 20;

// -- Attribute values, serialized --

template <typename F>
std::string Message(const F& fill) {
  std::string bytes;
  protozero::pbf_writer writer(bytes);
  fill(writer);
  return bytes;
}

inline std::string ShapeProto(const std::vector<int64_t>& dims) {
  return Message([&](auto& w) {
    for (const int64_t d : dims) w.add_message(2, Message([&](auto& dim) { dim.add_int64(1, d); }));
  });
}
inline std::string AttrString(std::string_view s) {
  return Message([&](auto& w) { w.add_bytes(2, s.data(), s.size()); });
}
inline std::string AttrInt(int64_t i) {
  return Message([&](auto& w) { w.add_int64(3, i); });
}
inline std::string AttrFloat(float f) {
  return Message([&](auto& w) { w.add_float(4, f); });
}
inline std::string AttrBool(bool b) {
  return Message([&](auto& w) { w.add_bool(5, b); });
}
inline std::string AttrType(int t) {
  return Message([&](auto& w) { w.add_enum(6, t); });
}
inline std::string AttrShape(const std::vector<int64_t>& dims) {
  return Message([&](auto& w) { w.add_message(7, ShapeProto(dims)); });
}
inline std::string AttrInts(const std::vector<int64_t>& ints) {
  return Message([&](auto& w) {
    w.add_message(1,
                  Message([&](auto& list) { list.add_packed_int64(3, ints.begin(), ints.end()); }));
  });
}
inline std::string AttrFunction(std::string_view name) {
  return Message([&](auto& w) {
    w.add_message(10, Message([&](auto& f) { f.add_bytes(1, name.data(), name.size()); }));
  });
}
inline std::string AttrFloats(const std::vector<int64_t>& dims, const std::vector<float>& values) {
  return Message([&](auto& w) {
    w.add_message(8, Message([&](auto& t) {
                    t.add_enum(1, kTfFloat);
                    t.add_message(2, ShapeProto(dims));
                    t.add_bytes(4, reinterpret_cast<const char*>(values.data()),
                                values.size() * sizeof(float));
                  }));
  });
}
inline std::string AttrInt32s(const std::vector<int32_t>& values,
                              const std::vector<int64_t>& dims) {
  return Message([&](auto& w) {
    w.add_message(8, Message([&](auto& t) {
                    t.add_enum(1, kTfInt32);
                    t.add_message(2, ShapeProto(dims));
                    t.add_packed_int32(7, values.begin(), values.end());
                  }));
  });
}
inline std::string AttrInt32s(const std::vector<int32_t>& values) {
  return AttrInt32s(values, {static_cast<int64_t>(values.size())});
}
inline std::string AttrStrings(const std::vector<std::string>& values) {
  return Message([&](auto& w) {
    w.add_message(8, Message([&](auto& t) {
                    t.add_enum(1, kTfString);
                    t.add_message(2, ShapeProto({static_cast<int64_t>(values.size())}));
                    for (const std::string& v : values) t.add_bytes(8, v);
                  }));
  });
}

// -- Graphs --

using Attributes = std::vector<std::pair<std::string, std::string>>;

struct TfNode {
  std::string name, op;
  std::vector<std::string> inputs;
  Attributes attributes;

  std::string Serialize() const {
    return Message([&](auto& w) {
      w.add_string(1, name);
      w.add_string(2, op);
      for (const std::string& input : inputs) w.add_string(3, input);
      for (const auto& attribute : attributes) {
        w.add_message(5, Message([&](auto& e) {
                        e.add_string(1, attribute.first);
                        e.add_message(2, attribute.second);
                      }));
      }
    });
  }
};

struct TfFunction {
  std::string name;
  std::vector<std::string> inputs;
  std::vector<std::pair<std::string, std::string>> outputs;  ///< Name and what it returns.
  std::vector<TfNode> nodes;

  std::string Serialize() const {
    return Message([&](auto& w) {
      w.add_message(1, Message([&](auto& s) {
                      s.add_string(1, name);
                      for (const std::string& i : inputs)
                        s.add_message(2, Message([&](auto& a) { a.add_string(1, i); }));
                      for (const auto& o : outputs)
                        s.add_message(3, Message([&](auto& a) { a.add_string(1, o.first); }));
                    }));
      for (const TfNode& node : nodes) w.add_message(3, node.Serialize());
      for (const auto& output : outputs) {
        w.add_message(4, Message([&](auto& e) {
                        e.add_string(1, output.first);
                        e.add_string(2, output.second);
                      }));
      }
    });
  }
};

struct TfSavedModel {
  std::vector<TfNode> nodes;
  std::vector<TfFunction> functions;
  std::string signature = "serving_default";
  std::string input = "image:0", output;
  int input_type = kTfFloat;
  std::vector<int64_t> input_shape;
  std::string restore_op;
  std::map<std::string, std::string> more_outputs;  ///< Besides "scores".

  TfNode& Add(std::string name, std::string op, std::vector<std::string> inputs,
              Attributes attributes = {}) {
    nodes.push_back({std::move(name), std::move(op), std::move(inputs), std::move(attributes)});
    return nodes.back();
  }

  std::string Serialize() const {
    const std::string input_info = Message([&](auto& w) {
      w.add_string(1, input);
      w.add_enum(2, input_type);
      w.add_message(3, ShapeProto(input_shape));
    });
    const auto entry = [](const std::string& key, const std::string& value) {
      return Message([&](auto& w) {
        w.add_string(1, key);
        w.add_message(2, value);
      });
    };
    const std::string meta = Message([&](auto& w) {
      w.add_message(1, Message([&](auto& m) {
                      m.add_string(4, "serve");
                      m.add_string(5, "2.99.0");
                    }));
      w.add_message(2, Message([&](auto& g) {
                      for (const TfNode& node : nodes) g.add_message(1, node.Serialize());
                      g.add_message(2, Message([&](auto& library) {
                                      for (const TfFunction& f : functions)
                                        library.add_message(1, f.Serialize());
                                    }));
                    }));
      if (!restore_op.empty())
        w.add_message(3, Message([&](auto& s) { s.add_string(3, restore_op); }));
      w.add_message(5, entry(signature, Message([&](auto& s) {
                               s.add_message(1, entry("image", input_info));
                               std::map<std::string, std::string> outputs = more_outputs;
                               outputs["scores"] = output;
                               for (const auto& named : outputs) {
                                 s.add_message(2, entry(named.first, Message([&](auto& o) {
                                                          o.add_string(1, named.second);
                                                        })));
                               }
                             })));
    });
    return Message([&](auto& w) {
      w.add_int64(1, 1);
      w.add_message(2, meta);
    });
  }
};

// -- Tensor bundles --

inline uint32_t BytesCrc(std::string_view bytes) {
  return MaskCrc(Crc32c({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
}

inline void AppendFixed32(std::string* out, uint32_t v) {
  out->append(reinterpret_cast<const char*>(&v), 4);
}
inline void AppendFixed64(std::string* out, uint64_t v) {
  out->append(reinterpret_cast<const char*>(&v), 8);
}
inline void AppendVarint(std::string* out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) out->push_back(static_cast<char>(v | 0x80));
  out->push_back(static_cast<char>(v));
}

/// Builds `variables.index` and one shard.
class BundleBuilder {
 public:
  void AddFloats(const std::string& key, const std::vector<int64_t>& shape,
                 const std::vector<float>& values) {
    Add(key, kTfFloat, shape,
        std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)));
  }

  /// A scalar string, as the checkpoint's object graph is stored.
  void AddString(const std::string& key, const std::string& text) {
    const uint32_t length = static_cast<uint32_t>(text.size());
    std::string raw, bytes;
    AppendFixed32(&raw, length);
    const uint32_t length_crc = BytesCrc(raw);
    AppendFixed32(&raw, length_crc);
    raw += text;
    AppendVarint(&bytes, length);
    AppendFixed32(&bytes, length_crc);
    bytes += text;
    Add(key, kTfString, {}, bytes, BytesCrc(raw));
  }

  void Add(const std::string& key, int dtype, const std::vector<int64_t>& shape,
           const std::string& bytes) {
    Add(key, dtype, shape, bytes, BytesCrc(bytes));
  }
  void Add(const std::string& key, int dtype, const std::vector<int64_t>& shape,
           const std::string& bytes, uint32_t crc) {
    entries_[key] = Message([&](auto& w) {
      w.add_enum(1, dtype);
      w.add_message(2, ShapeProto(shape));
      w.add_int64(4, static_cast<int64_t>(data_.size()));
      w.add_int64(5, static_cast<int64_t>(bytes.size()));
      w.add_fixed32(6, crc);
    });
    data_ += bytes;
  }

  /// The index with `per_block` entries a block.
  std::string Index(size_t per_block = 3, char compression = 0, int endianness = 0) {
    blocks_.clear();
    std::map<std::string, std::string> entries = entries_;
    entries[""] = Message([&](auto& w) {
      w.add_int32(1, 1);
      w.add_enum(2, endianness);
    });
    std::string file;
    std::vector<std::pair<std::string, std::string>> block, index;
    const auto flush = [&] {
      index.emplace_back(block.back().first, AppendBlock(block, compression, &file));
      block.clear();
    };
    for (const auto& entry : entries) {
      block.push_back(entry);
      if (block.size() == per_block) flush();
    }
    if (!block.empty()) flush();
    const std::string metaindex = AppendBlock({}, 0, &file);
    std::string footer = metaindex + AppendBlock(index, 0, &file);
    footer.resize(40);
    AppendFixed64(&footer, 0xdb4775248b80fb57u);
    return file + footer;
  }

  const std::string& data() const { return data_; }

  /// Begin and length of every block of the last Index(), each followed by its CRC32C.
  const std::vector<std::pair<size_t, size_t>>& blocks() const { return blocks_; }

 private:
  /// Appends a block with prefix-compressed keys and its trailer; gives its handle.
  std::string AppendBlock(const std::vector<std::pair<std::string, std::string>>& entries,
                          char compression, std::string* file) {
    std::string block, previous;
    for (const auto& [key, value] : entries) {
      size_t shared = 0;
      while (shared < previous.size() && shared < key.size() && previous[shared] == key[shared])
        ++shared;
      AppendVarint(&block, shared);
      AppendVarint(&block, key.size() - shared);
      AppendVarint(&block, value.size());
      block += key.substr(shared) + value;
      previous = key;
    }
    AppendFixed32(&block, 0);
    AppendFixed32(&block, 1);
    std::string handle;
    AppendVarint(&handle, file->size());
    AppendVarint(&handle, block.size());
    block.push_back(compression);
    blocks_.emplace_back(file->size(), block.size());
    const uint32_t crc = BytesCrc(block);
    AppendFixed32(&block, crc);
    *file += block;
    return handle;
  }

  std::map<std::string, std::string> entries_;
  std::string data_;
  std::vector<std::pair<size_t, size_t>> blocks_;
};

/// Writes bytes to a file, making its folder.
inline void WriteText(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline void WriteSavedModel(const std::filesystem::path& folder, const TfSavedModel& model,
                            BundleBuilder* bundle) {
  WriteText(folder / "saved_model.pb", model.Serialize());
  if (bundle == nullptr) return;
  WriteText(folder / "variables" / "variables.index", bundle->Index());
  WriteText(folder / "variables" / "variables.data-00000-of-00001", bundle->data());
}

/// The operators of SampleSavedModel, behind its variables.
inline void AddSampleNodes(std::vector<TfNode>* nodes) {
  const auto add = [&](std::string name, std::string op, std::vector<std::string> inputs,
                       Attributes attributes = {}) {
    nodes->push_back({std::move(name), std::move(op), std::move(inputs), std::move(attributes)});
  };
  const auto constant = [&](std::string name, std::string value) {
    add(std::move(name), "Const", {}, {{"value", std::move(value)}});
  };
  const std::string kStrides1 = AttrInts({1, 1, 1, 1}), kStrides2 = AttrInts({1, 2, 2, 1});
  constant("c255", AttrFloats({}, {255.0f}));
  constant("half", AttrFloats({3}, {0.5f, 0.4f, 0.3f}));
  add("cast", "Cast", {"image"}, {{"SrcT", AttrType(kTfUint8)}, {"DstT", AttrType(kTfFloat)}});
  add("scaled", "RealDiv", {"cast:y:0", "c255:output:0"});
  add("centred", "Sub", {"scaled:z:0", "half:output:0"});
  add("conv_a", "Conv2D", {"centred:z:0", "conv1:value:0"},
      {{"strides", kStrides2}, {"padding", AttrString("SAME")}});
  add("bias_a", "BiasAdd", {"conv_a:output:0", "bias1:value:0"});
  add("relu_a", "Relu", {"bias_a:output:0"});
  constant("pads", AttrInt32s({0, 0, 1, 0, 0, 1, 0, 0}, {4, 2}));
  add("pad", "Pad", {"relu_a:activations:0", "pads:output:0"});
  add("pool", "MaxPool", {"pad:output:0"},
      {{"ksize", AttrInts({1, 2, 2, 1})},
       {"strides", kStrides1},
       {"padding", AttrString("VALID")}});
  add("fused", "FusedBatchNormV3",
      {"pool:output:0", "gamma:value:0", "beta:value:0", "mean:value:0", "variance:value:0"},
      {{"epsilon", AttrFloat(1e-3f)},
       {"is_training", AttrBool(false)},
       {"data_format", AttrString("NHWC")}});
  add("relu_b", "Relu6", {"fused:y:0"});
  add("conv_b", "Conv2D", {"relu_b:activations:0", "conv2:value:0"},
      {{"strides", kStrides1}, {"padding", AttrString("SAME")}});
  // Keras 3 writes batch norm like this.
  constant("epsilon", AttrFloats({}, {1e-3f}));
  add("add_eps", "AddV2", {"variance:value:0", "epsilon:output:0"});
  add("rsqrt", "Rsqrt", {"add_eps:z:0"});
  add("inv", "Mul", {"rsqrt:y:0", "gamma:value:0"});
  add("norm_mul", "Mul", {"conv_b:output:0", "inv:z:0"});
  add("mean_inv", "Mul", {"mean:value:0", "inv:z:0"});
  add("shift", "Sub", {"beta:value:0", "mean_inv:z:0"});
  add("norm", "AddV2", {"norm_mul:z:0", "shift:z:0"});
  add("residual", "AddV2", {"norm:z:0", "pool:output:0"});
  add("relu_c", "Relu", {"residual:z:0"});
  constant("axes", AttrInt32s({1, 2}));
  add("average", "Mean", {"relu_c:activations:0", "axes:output:0"},
      {{"keep_dims", AttrBool(true)}});
  constant("channel_axis", AttrInt32s({3}, {}));
  add("maximum", "MaxPool", {"relu_c:activations:0"},
      {{"ksize", AttrInts({1, 5, 4, 1})},
       {"strides", kStrides1},
       {"padding", AttrString("VALID")}});
  add("both", "ConcatV2", {"average:output:0", "maximum:output:0", "channel_axis:output:0"});
  constant("zero", AttrInt32s({0}));
  constant("one", AttrInt32s({1}));
  constant("features", AttrInt32s({8}, {}));
  add("shape", "Shape", {"both:output:0"}, {{"out_type", AttrType(kTfInt32)}});
  add("batch", "StridedSlice", {"shape:output:0", "zero:output:0", "one:output:0", "one:output:0"},
      {{"shrink_axis_mask", AttrInt(1)}});
  add("target", "Pack", {"batch:output:0", "features:output:0"}, {{"axis", AttrInt(0)}});
  add("flat", "Reshape", {"both:output:0", "target:output:0"});
  add("matmul", "MatMul", {"flat:output:0", "dense:value:0"});
  add("logits", "BiasAdd", {"matmul:product:0", "bias2:value:0"});
  add("softmax", "Softmax", {"logits:output:0"});
}

/// A small residual network with everything a SavedModel has: a signature that calls nested
/// functions, variables restored by a function, batch norm fused and unfused, preprocessing from
/// uint8, computed reshape, pads and pools.
inline TfSavedModel SampleSavedModel(BundleBuilder* bundle) {
  const auto values = [](size_t n, float scale, float offset) {
    std::vector<float> v(n);
    for (size_t i = 0; i < n; ++i)
      v[i] = offset + scale * (static_cast<float>((i * 37 + 11) % 101) / 50.0f - 1.0f);
    return v;
  };
  struct Variable {
    const char* name;
    std::vector<int64_t> shape;
    float scale, offset;
  };
  const std::vector<Variable> variables = {
      {"conv1", {3, 3, 3, 4}, 0.4f, 0}, {"bias1", {4}, 0.2f, 0},    {"gamma", {4}, 0.3f, 1},
      {"beta", {4}, 0.3f, 0},           {"mean", {4}, 0.3f, 0},     {"variance", {4}, 0.3f, 1},
      {"conv2", {3, 3, 4, 4}, 0.3f, 0}, {"dense", {8, 5}, 0.5f, 0}, {"bias2", {5}, 0.2f, 0}};
  TfSavedModel model;
  model.input_type = kTfUint8;
  model.input_shape = {-1, 9, 8, 3};
  model.output = "StatefulPartitionedCall:0";
  model.Add("image", "Placeholder", {},
            {{"dtype", AttrType(kTfUint8)}, {"shape", AttrShape({-1, 9, 8, 3})}});
  TfNode call{"StatefulPartitionedCall",
              "StatefulPartitionedCall",
              {"image"},
              {{"f", AttrFunction("wrapper")}}};
  TfNode restore{"restore",
                 "StatefulPartitionedCall",
                 {"filename"},
                 {{"f", AttrFunction("restore_function")}}};
  model.Add("filename", "Placeholder", {}, {{"dtype", AttrType(kTfString)}});
  TfFunction wrapper{"wrapper", {"image"}, {{"identity", "Identity:output:0"}}, {}};
  TfFunction body{"body", {"image"}, {{"identity", "softmax:softmax:0"}}, {}};
  TfFunction restoring{"restore_function", {"file_prefix"}, {{"identity", "file:output:0"}}, {}};
  TfNode inner{"call", "StatefulPartitionedCall", {"image"}, {{"f", AttrFunction("body")}}};
  std::vector<std::string> keys;
  for (const Variable& v : variables) {
    const std::string name = v.name, key = "_operations/" + std::to_string(keys.size()) + "/" +
                                           name + "/.ATTRIBUTES/VARIABLE_VALUE";
    size_t n = 1;
    for (const int64_t d : v.shape) n *= static_cast<size_t>(d);
    bundle->AddFloats(key, v.shape, values(n, v.scale, v.offset));
    model.Add("handle/" + name, "VarHandleOp", {},
              {{"shared_name", AttrString("other_" + name)},
               {"dtype", AttrType(kTfFloat)},
               {"shape", AttrShape(v.shape)}});
    call.inputs.push_back("handle/" + name);
    wrapper.inputs.push_back("w_" + name);
    inner.inputs.push_back("w_" + name);
    body.inputs.push_back("b_" + name);
    body.nodes.push_back({name, "ReadVariableOp", {"b_" + name}, {{"dtype", AttrType(kTfFloat)}}});
    restore.inputs.push_back("handle/" + name);
    restoring.inputs.push_back("r_" + name);
    const std::string k = std::to_string(keys.size());
    restoring.nodes.push_back({"Identity_" + k, "Identity", {"RestoreV2:tensors:" + k}, {}});
    restoring.nodes.push_back(
        {"Assign_" + k, "AssignVariableOp", {"r_" + name, "Identity_" + k + ":output:0"}, {}});
    keys.push_back(key);
  }
  restoring.nodes.push_back(
      {"names", "Const", {}, {{"dtype", AttrType(kTfString)}, {"value", AttrStrings(keys)}}});
  restoring.nodes.push_back({"slices",
                             "Const",
                             {},
                             {{"dtype", AttrType(kTfString)},
                              {"value", AttrStrings(std::vector<std::string>(keys.size()))}}});
  restoring.nodes.push_back(
      {"RestoreV2", "RestoreV2", {"file_prefix", "names:output:0", "slices:output:0"}, {}});
  restoring.nodes.push_back({"file", "Identity", {"file_prefix"}, {}});
  wrapper.nodes.push_back(inner);
  wrapper.nodes.push_back({"Identity", "Identity", {"call:output:0", "^NoOp"}, {}});
  wrapper.nodes.push_back({"NoOp", "NoOp", {"^call"}, {}});
  AddSampleNodes(&body.nodes);
  model.nodes.push_back(call);
  model.nodes.push_back(restore);
  model.restore_op = "restore";
  model.functions = {wrapper, body, restoring};
  return model;
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_SAVED_MODEL_BUILDER_H_
