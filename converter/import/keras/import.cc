// Keras models (.h5 and .keras): a configuration in JSON and weights in HDF5. Nothing in them is executed; layers that carry code are
// refused.
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "converter/import/file_bytes.h"
#include "converter/import/keras/hdf5_reader.h"
#include "converter/import/builder/head_preprocessing.h"
#include "converter/import/importer.h"
#include "converter/import/json_reader.h"
#include "converter/import/keras/weights.h"
#include "converter/import/builder/unique_names.h"
#include "converter/import/zip_reader.h"
#include "converter/passes/passes.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

using nlohmann::json;

constexpr int kMaxJsonDepth = 64;
constexpr int kMaxModelDepth = 8;
constexpr size_t kMaxListed = 50;
constexpr int kMaxCalls = 100000;
// Parsed JSON takes many times its text; a network of a thousand layers has less than 2 MiB.
constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;
// Per-channel constants that a configuration may ask for on top of what the file holds.
constexpr int64_t kExtraConstantBytes = int64_t{64} << 20;

/// Layers that do nothing at inference.
bool IsIdentity(const std::string& type) {
  static const std::set<std::string> kTypes{
      "Dropout",      "SpatialDropout2D", "GaussianDropout", "AlphaDropout",      "GaussianNoise",  "ActivityRegularization",
      "RandomFlip",   "RandomRotation",   "RandomZoom",      "RandomTranslation", "RandomContrast", "RandomBrightness",
      "RandomHeight", "RandomWidth"};
  return kTypes.count(type) > 0;
}

bool IsModel(const std::string& type) { return type == "Functional" || type == "Model" || type == "Sequential"; }

bool IsSupported(const std::string& type) {
  static const std::set<std::string> kTypes{
      "InputLayer",       "Conv2D",  "DepthwiseConv2D", "BatchNormalization",     "Activation",         "ReLU",
      "Add",              "Dense",   "ZeroPadding2D",   "MaxPooling2D",           "AveragePooling2D",   "GlobalAveragePooling2D",
      "Flatten",          "Reshape", "Rescaling",       "GlobalMaxPooling2D",     "Softmax",            "Normalization",
      "Multiply",         "Concatenate", "Subtract"};
  return kTypes.count(type) > 0 || IsIdentity(type) || IsModel(type);
}

std::string Text(const json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

const json& Member(const json& object, const char* key) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

Result<int64_t> ToInteger(const json& value, const char* key, int64_t low, int64_t high) {
  // Some writers give whole numbers as floats.
  if (value.is_number()) {
    const double v = value.get<double>();
    if (v >= static_cast<double>(low) && v <= static_cast<double>(high) && v == std::floor(v)) return static_cast<int64_t>(v);
  }
  return Corrupt(StrCat("'", key, "' is not an integer from ", low, " to ", high));
}

/// A layer's configuration with checked access.
class Config {
 public:
  explicit Config(const json& config) : config_(config) {}

  bool Has(const char* key) const { return !Member(config_, key).is_null(); }
  const json& Raw(const char* key) const { return Member(config_, key); }
  std::string String(const char* key, const char* otherwise) const { return Has(key) ? Text(config_, key) : otherwise; }
  bool Bool(const char* key, bool otherwise) const {
    const json& v = Member(config_, key);
    return v.is_boolean() ? v.get<bool>() : otherwise;
  }
  Result<int64_t> Integer(const char* key, int64_t otherwise, int64_t low, int64_t high) const {
    if (!Has(key)) return otherwise;
    return ToInteger(Raw(key), key, low, high);
  }
  Result<double> Number(const char* key, double otherwise) const {
    if (!Has(key)) return otherwise;
    const json& v = Raw(key);
    // Older files have numbers of NumPy as {"type": ..., "value": 6.0} or in lists.
    if (v.is_number()) return v.get<double>();
    if (Member(v, "value").is_number()) return Member(v, "value").get<double>();
    return Corrupt(StrCat("'", key, "' is not a number"));
  }
  /// One number for both, or a pair.
  Result<std::array<int, 2>> Pair(const char* key, int otherwise) const {
    if (!Has(key)) return std::array<int, 2>{otherwise, otherwise};
    const json& v = Raw(key);
    if (!v.is_array()) {
      OCTET_ASSIGN_OR_RETURN(const int64_t both, ToInteger(v, key, 0, 4096));
      return std::array<int, 2>{static_cast<int>(both), static_cast<int>(both)};
    }
    if (v.size() != 2) return Corrupt(StrCat("'", key, "' has ", v.size(), " elements, expected 2"));
    OCTET_ASSIGN_OR_RETURN(const int64_t first, ToInteger(v[0], key, 0, 4096));
    OCTET_ASSIGN_OR_RETURN(const int64_t second, ToInteger(v[1], key, 0, 4096));
    return std::array<int, 2>{static_cast<int>(first), static_cast<int>(second)};
  }
  /// Numbers in any nesting, as one list.
  Result<std::vector<float>> Numbers(const char* key) const {
    std::vector<float> values;
    OCTET_RETURN_IF_ERROR(Flatten(Raw(key), key, &values));
    return values;
  }

 private:
  static Status Flatten(const json& v, const char* key, std::vector<float>* values) {
    if (v.is_number()) {
      values->push_back(static_cast<float>(v.get<double>()));
      return OkStatus();
    }
    if (!v.is_array()) return Corrupt(StrCat("'", key, "' is not made of numbers"));
    for (const json& item : v) OCTET_RETURN_IF_ERROR(Flatten(item, key, values));
    return OkStatus();
  }

  const json& config_;
};

/// One application of a layer.
struct Call {
  int layer = 0;
  int index = 0;                    ///< Which of the layer's applications.
  std::vector<std::string> inputs;  ///< Keys of values.
};

std::string ValueKey(const std::string& layer, int64_t call, int64_t tensor) { return StrCat(layer, "\n", call, "\n", tensor); }

class KerasImporter {
 public:
  KerasImporter(KerasWeights* weights, size_t file_bytes)
      : weights_(*weights), budget_(static_cast<int64_t>(file_bytes) * 4 + kExtraConstantBytes) {}

  Result<Graph> Run(const json& model) {
    std::string list;
    size_t count = 0;
    ListUnsupported(model, "", 0, &list, &count);
    if (count > kMaxListed) list += StrCat("; and ", count - kMaxListed, " more");
    if (count > 0) return Unsupported(StrCat("unsupported layers: ", list));
    OCTET_ASSIGN_OR_RETURN(g_.outputs, ConvertModel(model, {}, {}, 0));
    MoveHeadToPreprocessing(&g_);
    g_.metadata.name = Text(Member(model, "config"), "name");
    return std::move(g_);
  }

 private:
  /// Where a layer stands, for its weights and its nodes' names.
  struct Place {
    std::vector<KerasStep> path;
    std::string name;  ///< Of its nodes.
  };

  // ---- Configuration ----

  static const json& Layers(const json& model) {
    const json& config = Member(model, "config");
    return config.is_array() ? config : Member(config, "layers");  // Old Sequential models are a bare list.
  }

  static std::string LayerName(const json& layer) {
    const std::string name = Text(Member(layer, "config"), "name");
    return name.empty() ? Text(layer, "name") : name;
  }

  static std::string WhyNot(const json& layer) {
    const std::string type = Text(layer, "class_name"), module = Text(layer, "module");
    if (type == "Lambda") return "it holds Python code, which is never run; replace it by layers that do the same and save again";
    if (type == "TFOpLambda" || type == "TensorFlowOpLayer" || type == "SlicingOpLambda" || module.find("keras.src.ops") == 0) {
      return "a bare operation instead of a layer; use layers such as Rescaling, Add or ZeroPadding2D, or export a SavedModel";
    }
    if (!Member(layer, "registered_name").is_null() && module.find("keras") != 0 && !module.empty()) {
      return "a class of its author's, which is not in the file";
    }
    return "not among the layers of residual networks; export a SavedModel or TFLite file if its operators are";
  }

  static void ListUnsupported(const json& model, const std::string& prefix, int depth, std::string* list, size_t* count) {
    const json& layers = Layers(model);
    if (!layers.is_array() || depth > kMaxModelDepth) return;
    for (const json& layer : layers) {
      const std::string type = Text(layer, "class_name");
      const std::string module = Text(layer, "module");
      if (IsSupported(type) && module.find("keras.src.ops") != 0) {
        if (IsModel(type)) ListUnsupported(layer, prefix + LayerName(layer) + "/", depth + 1, list, count);
        continue;
      }
      if (++*count > kMaxListed) continue;
      *list += StrCat(list->empty() ? "" : "; ", "'", prefix, LayerName(layer), "' (", type, "): ", WhyNot(layer));
    }
  }

  /// Input tensors of one application, from Keras 3's {"args": ..., "kwargs": ...}.
  static Status CollectTensors(const json& value, std::vector<std::string>* keys) {
    if (value.is_array()) {
      for (const json& item : value) OCTET_RETURN_IF_ERROR(CollectTensors(item, keys));
      return OkStatus();
    }
    if (Text(value, "class_name") == "__keras_tensor__") return AddHistory(Member(Member(value, "config"), "keras_history"), keys);
    if (value.is_null() || value.is_boolean()) return OkStatus();
    return Unsupported("it is called with arguments that are not tensors");
  }

  /// ["layer", call, tensor].
  static Status AddHistory(const json& history, std::vector<std::string>* keys) {
    if (!history.is_array() || history.size() < 3 || !history[0].is_string()) return Corrupt("a tensor reference is not [layer, call, output]");
    OCTET_ASSIGN_OR_RETURN(const int64_t call, ToInteger(history[1], "inbound_nodes", 0, kMaxCalls));
    OCTET_ASSIGN_OR_RETURN(const int64_t tensor, ToInteger(history[2], "inbound_nodes", 0, kMaxCalls));
    keys->push_back(ValueKey(history[0].get<std::string>(), call, tensor));
    return OkStatus();
  }

  static Status ReadCalls(const json& layer, int index, std::vector<Call>* calls) {
    const json& nodes = Member(layer, "inbound_nodes");
    if (nodes.is_null()) return OkStatus();
    if (!nodes.is_array()) return Corrupt("inbound_nodes is not a list");
    for (const json& node : nodes) {
      Call call;
      call.layer = index;
      call.index = calls->empty() || calls->back().layer != index ? 0 : calls->back().index + 1;
      if (node.is_object()) {
        OCTET_RETURN_IF_ERROR(CollectTensors(Member(node, "args"), &call.inputs));
        const json& named = Member(node, "kwargs");
        for (const auto& item : named.items()) {
          if (item.key() == "training" || item.key() == "mask") continue;
          OCTET_RETURN_IF_ERROR(CollectTensors(item.value(), &call.inputs));
        }
      } else if (node.is_array()) {
        for (const json& tensor : node) OCTET_RETURN_IF_ERROR(AddHistory(tensor, &call.inputs));
      } else {
        return Corrupt("inbound_nodes has an element that is neither a list nor an object");
      }
      if (static_cast<int>(calls->size()) >= kMaxCalls) return Unsupported(StrCat("more than ", kMaxCalls, " applications of layers"));
      calls->push_back(std::move(call));
    }
    return OkStatus();
  }

  /// input_layers and output_layers: one reference, or a list of them.
  static Result<std::vector<std::string>> ReadEnds(const json& ends, const char* key) {
    std::vector<std::string> keys;
    const bool single = ends.is_array() && !ends.empty() && ends[0].is_string();
    if (!ends.is_array()) return Corrupt(StrCat("'", key, "' is not a list"));
    if (single) {
      OCTET_RETURN_IF_ERROR(AddHistory(ends, &keys));
    } else {
      for (const json& end : ends) OCTET_RETURN_IF_ERROR(AddHistory(end, &keys));
    }
    return keys;
  }

  // ---- Models ----

  /// Converts a model and gives its outputs. Without inputs it is the whole file's and makes its own.
  Result<std::vector<TensorId>> ConvertModel(const json& model, const std::vector<TensorId>& inputs, const Place& place, int depth) {
    if (depth > kMaxModelDepth) return Unsupported(StrCat("models nested deeper than ", kMaxModelDepth));
    const json& layers = Layers(model);
    if (!layers.is_array() || layers.empty()) return Corrupt("the model has no layers");
    std::vector<Place> places;
    std::map<std::string, int> counters;
    std::set<std::string> names;
    for (const json& layer : layers) {
      Place at = place;
      const std::string name = LayerName(layer);
      if (name.empty() || !names.insert(name).second) return Corrupt(StrCat("two layers are named '", name, "'"));
      std::string stored = KerasSnakeCase(Text(layer, "class_name"));
      const int count = counters[stored]++;
      if (count > 0) stored += StrCat("_", count);
      at.path.push_back({name, stored});
      at.name = place.name.empty() ? name : place.name + "/" + name;
      places.push_back(std::move(at));
    }
    if (Text(model, "class_name") == "Sequential") return ConvertSequential(model, layers, places, inputs, depth);
    return ConvertFunctional(model, layers, places, inputs, depth);
  }

  Result<std::vector<TensorId>> ConvertSequential(const json& model, const json& layers, const std::vector<Place>& places,
                                                  const std::vector<TensorId>& inputs, int depth) {
    std::vector<TensorId> values = inputs;
    for (size_t i = 0; i < places.size(); ++i) {
      if (Text(layers[i], "class_name") == "InputLayer") {
        if (!inputs.empty()) continue;
        OCTET_ASSIGN_OR_RETURN(const TensorId id, AddInput(Member(layers[i], "config"), places[i].name));
        values = {id};
        continue;
      }
      if (values.empty()) {  // The first layer knows the input's shape, or the model does.
        json config = json::object();
        const json& own = Member(layers[i], "config");
        for (const json* shape : {&Member(own, "batch_input_shape"), &Member(own, "batch_shape"), &Member(Member(model, "config"), "build_input_shape"),
                                  &Member(Member(model, "build_config"), "input_shape")}) {
          if (shape->is_array() && !config.contains("batch_shape")) config["batch_shape"] = *shape;
        }
        OCTET_ASSIGN_OR_RETURN(const TensorId id, AddInput(config, "input"));
        values = {id};
      }
      OCTET_ASSIGN_OR_RETURN(values, ConvertLayer(layers[i], places[i], values, 0, depth));
    }
    return values;
  }

  Result<std::vector<TensorId>> ConvertFunctional(const json& model, const json& layers, const std::vector<Place>& places,
                                                  const std::vector<TensorId>& inputs, int depth) {
    const json& config = Member(model, "config");
    OCTET_ASSIGN_OR_RETURN(const auto input_keys, ReadEnds(Member(config, "input_layers"), "input_layers"));
    OCTET_ASSIGN_OR_RETURN(const auto output_keys, ReadEnds(Member(config, "output_layers"), "output_layers"));
    std::map<std::string, TensorId> values;
    std::map<std::string, int> by_name;
    for (size_t i = 0; i < places.size(); ++i) by_name[places[i].path.back().name] = static_cast<int>(i);
    if (depth > 0 && inputs.size() != input_keys.size()) {
      return Corrupt(StrCat("model '", Text(config, "name"), "' is called with ", inputs.size(), " inputs, expected ", input_keys.size()));
    }
    for (size_t i = 0; i < input_keys.size(); ++i) {
      const std::string name = input_keys[i].substr(0, input_keys[i].find('\n'));
      const auto layer = by_name.find(name);
      if (layer == by_name.end()) return Corrupt(StrCat("input_layers names '", name, "', which is no layer"));
      if (depth > 0) {
        values[input_keys[i]] = inputs[i];
        continue;
      }
      OCTET_ASSIGN_OR_RETURN(values[input_keys[i]], AddInput(Member(layers[layer->second], "config"), places[layer->second].name));
    }

    std::vector<Call> calls;
    for (size_t i = 0; i < places.size(); ++i) {
      if (Text(layers[i], "class_name") == "InputLayer") continue;
      Status status = ReadCalls(layers[i], static_cast<int>(i), &calls);
      if (!status.ok()) return std::move(status).WithContext(Where(layers[i], places[i]));
    }
    // Layers may be listed in any order: each is converted once its inputs are there, the first listed first.
    std::map<std::string, std::vector<int>> readers;
    std::vector<size_t> missing(calls.size(), 0);
    std::set<int> ready;
    for (size_t i = 0; i < calls.size(); ++i) {
      for (const std::string& key : calls[i].inputs) {
        if (values.count(key) > 0) continue;
        ++missing[i];
        readers[key].push_back(static_cast<int>(i));
      }
      if (missing[i] == 0) ready.insert(static_cast<int>(i));
    }
    size_t done = 0;
    while (!ready.empty()) {
      const Call& call = calls[*ready.begin()];
      ready.erase(ready.begin());
      ++done;
      std::vector<TensorId> arguments;
      for (const std::string& key : call.inputs) arguments.push_back(values[key]);
      OCTET_ASSIGN_OR_RETURN(const std::vector<TensorId> results,
                             ConvertLayer(layers[call.layer], places[call.layer], arguments, call.index, depth));
      for (size_t t = 0; t < results.size(); ++t) {
        const std::string key = ValueKey(places[call.layer].path.back().name, call.index, static_cast<int64_t>(t));
        values[key] = results[t];
        for (int reader : readers[key]) {
          if (--missing[reader] == 0) ready.insert(reader);
        }
      }
    }
    for (size_t i = 0; done < calls.size() && i < calls.size(); ++i) {
      if (missing[i] == 0) continue;
      return Corrupt(StrCat(Where(layers[calls[i].layer], places[calls[i].layer]), " has an input that nothing computes"));
    }
    std::vector<TensorId> outputs;
    for (const std::string& key : output_keys) {
      const auto it = values.find(key);
      if (it == values.end()) return Corrupt(StrCat("output_layers names '", key.substr(0, key.find('\n')), "', which nothing computes"));
      outputs.push_back(it->second);
    }
    return outputs;
  }

  static std::string Where(const json& layer, const Place& place) {
    return StrCat("layer '", place.name, "' (", Text(layer, "class_name"), ")");
  }

  Result<std::vector<TensorId>> ConvertLayer(const json& layer, const Place& place, const std::vector<TensorId>& inputs, int call, int depth) {
    const std::string type = Text(layer, "class_name");
    if (inputs.empty()) return Corrupt(StrCat(Where(layer, place), " has no inputs"));
    if (IsModel(type)) {
      Place inner = place;
      if (call > 0) inner.name += StrCat("_", call);
      return ConvertModel(layer, inputs, inner, depth + 1);
    }
    if (static_cast<int>(g_.nodes.size()) > kMaxCalls) return Unsupported(StrCat("more than ", kMaxCalls, " nodes"));
    place_ = &place;
    name_ = place.name;
    if (call > 0) name_ += StrCat("_", call);
    Result<TensorId> value = Convert(type, Config(Member(layer, "config")), inputs);
    if (!value.ok()) return Status(value.status()).WithContext(Where(layer, place));
    return std::vector<TensorId>{*value};
  }

  // ---- Graph ----

  Result<TensorId> AddInput(const json& config, const std::string& name) {
    const json& shape = !Member(config, "batch_shape").is_null() ? Member(config, "batch_shape") : Member(config, "batch_input_shape");
    if (!shape.is_array() || (shape.size() != 4 && shape.size() != 2)) {
      return Unsupported(StrCat("input '", name, "' has shape ", shape.dump(-1, ' ', false, json::error_handler_t::replace),
                                ", expected [null, height, width, channels] or [null, channels]"));
    }
    Shape dims{1};
    for (size_t d = 1; d < shape.size(); ++d) {
      if (shape[d].is_null()) {
        return Unsupported(StrCat("input '", name, "' has no fixed size; build the model for the size it will be used at"));
      }
      Result<int64_t> size = ToInteger(shape[d], "batch_shape", 1, int64_t{1} << 31);
      if (!size.ok()) return Status(size.status()).WithContext(StrCat("input '", name, "'"));
      dims.push_back(*size);
    }
    const TensorId id = g_.AddActivation(UniqueName(name), DType::kF32, dims);
    g_.inputs.push_back(id);
    return id;
  }

  std::string UniqueName(const std::string& name) {
    return names_.Make(name);
  }

  Status Charge(int64_t bytes) {
    budget_ -= bytes;
    return budget_ >= 0 ? OkStatus() : Corrupt("the model's constants are many times larger than the file");
  }

  const Shape& ShapeOf(TensorId id) const { return g_.tensor(id).shape; }

  Result<TensorId> Emit(OpType type, const std::string& name, std::vector<TensorId> inputs, const std::function<void(Node*)>& configure = {},
                        const Shape& reshape = {}) {
    const TensorId id = g_.AddActivation(UniqueName(name), DType::kF32, reshape);
    Node& node = g_.AddNode(type, g_.tensor(id).name, std::move(inputs), id);
    if (configure) configure(&node);
    OCTET_ASSIGN_OR_RETURN(g_.tensor(id).shape, InferShape(g_, node));
    return id;
  }

  Result<TensorId> AddConstant(const std::string& name, const Shape& shape, const std::vector<float>& values) {
    if (shape.num_elements() != static_cast<int64_t>(values.size())) {
      return Corrupt(StrCat("'", name, "' has ", values.size(), " elements, expected ", shape.ToString()));
    }
    OCTET_RETURN_IF_ERROR(Charge(static_cast<int64_t>(values.size()) * 4));
    return g_.AddConstant(UniqueName(name), DType::kF32, shape, values.data(), values.size() * sizeof(float));
  }

  /// A weight with the expected shape, where -1 is any size.
  Result<std::vector<float>> Weight(const char* name, int index, const std::vector<int64_t>& shape, std::vector<int64_t>* found = nullptr) {
    OCTET_ASSIGN_OR_RETURN(const Hdf5Array* array, weights_.Find(place_->path, name, index));
    bool fits = array->shape.size() == shape.size();
    for (size_t d = 0; fits && d < shape.size(); ++d) fits = array->shape[d] > 0 && (shape[d] < 0 || array->shape[d] == shape[d]);
    if (!fits) return Corrupt(StrCat("weight '", name, "' has shape ", ListText(array->shape), ", expected ", ListText(shape)));
    if (found != nullptr) *found = array->shape;
    OCTET_RETURN_IF_ERROR(Charge(array->elements() * 4));
    Result<std::vector<float>> values = Hdf5File::Floats(*array);
    if (!values.ok()) return Status(values.status()).WithContext(StrCat("weight '", name, "'"));
    return values;
  }

  static std::string ListText(const std::vector<int64_t>& list) {
    std::string s = "[";
    for (size_t i = 0; i < list.size(); ++i) s += (i ? "," : "") + (list[i] < 0 ? std::string("?") : std::to_string(list[i]));
    return s + "]";
  }

  // ---- Layers ----

  Result<TensorId> Convert(const std::string& type, const Config& config, const std::vector<TensorId>& inputs) {
    if (config.String("data_format", "channels_last") != "channels_last") return Unsupported("data_format is not channels_last");
    if (type == "Add" || type == "Multiply" || type == "Subtract") return ConvertBinary(type, inputs);
    if (type == "Concatenate") return ConvertConcat(config, inputs);
    if (inputs.size() != 1) return Corrupt(StrCat(inputs.size(), " inputs, expected 1"));
    const TensorId x = inputs[0];
    if (IsIdentity(type)) return x;
    if (type == "Conv2D") return ConvertConv(config, x, false);
    if (type == "DepthwiseConv2D") return ConvertConv(config, x, true);
    if (type == "Dense") return ConvertDense(config, x);
    if (type == "BatchNormalization") return ConvertBatchNorm(config, x);
    if (type == "Activation") return Activate(config.Raw("activation"), x, name_);
    if (type == "ReLU") return ConvertRelu(config, x);
    if (type == "Softmax") return ConvertSoftmax(config, x);
    if (type == "ZeroPadding2D") return ConvertPad(config, x);
    if (type == "MaxPooling2D" || type == "AveragePooling2D") return ConvertPool(type, config, x);
    if (type == "GlobalAveragePooling2D" || type == "GlobalMaxPooling2D") return ConvertGlobalPool(type, config, x);
    if (type == "Flatten") return Emit(OpType::kReshape, name_, {x}, {}, Shape{1, ShapeOf(x).num_elements()});
    if (type == "Reshape") return ConvertReshape(config, x);
    if (type == "Rescaling") return ConvertRescaling(config, x);
    if (type == "Normalization") return ConvertNormalization(config, x);
    return InternalError("a layer passed the check of supported ones");
  }

  /// An activation by name; older and newer files wrap it into an object.
  Result<TensorId> Activate(const json& activation, TensorId x, const std::string& name) {
    std::string function = activation.is_string() ? activation.get<std::string>() : Text(activation, "config");
    if (function.empty()) function = Text(activation, "class_name");
    if (activation.is_null() || function == "linear") return x;
    if (function == "relu" || function == "ReLU") return Emit(OpType::kRelu, name, {x});
    if (function == "relu6") return Emit(OpType::kRelu6, name, {x});
    if (function == "softmax" || function == "Softmax") return Emit(OpType::kSoftmax, name, {x});
    return Unsupported(StrCat("activation '", function, "', expected linear, relu, relu6 or softmax"));
  }

  static bool IsLinear(const json& activation) {
    return activation.is_null() || (activation.is_string() && activation.get<std::string>() == "linear") || Text(activation, "config") == "linear";
  }

  Status RequireImage(TensorId x) const {
    if (ShapeOf(x).rank() == 4) return OkStatus();
    return Corrupt(StrCat("input of shape ", ShapeOf(x).ToString(), ", expected rank 4"));
  }

  /// Strides and padding="same" or "valid"; the kernel and dilation are set.
  static Status SetPadding(const Config& config, const Shape& x, Window* w) {
    for (int v : {w->kernel_h, w->kernel_w, w->stride_h, w->stride_w, w->dilation_h, w->dilation_w}) {
      if (v < 1) return Corrupt("a kernel, stride or dilation of 0");
    }
    const std::string padding = config.String("padding", "valid");
    if (padding == "valid") return OkStatus();
    if (padding != "same") return Unsupported(StrCat("padding '", padding, "', expected same or valid"));
    const auto total = [](int64_t in, int64_t kernel, int64_t stride, int64_t dilation) {
      return static_cast<int>(std::max<int64_t>(0, (CeilDiv(in, stride) - 1) * stride + (kernel - 1) * dilation + 1 - in));
    };
    // The odd pixel stands behind, as in TensorFlow.
    const int h = total(x[1], w->kernel_h, w->stride_h, w->dilation_h), width = total(x[2], w->kernel_w, w->stride_w, w->dilation_w);
    w->pad_top = h / 2;
    w->pad_bottom = h - h / 2;
    w->pad_left = width / 2;
    w->pad_right = width - width / 2;
    return OkStatus();
  }

  Result<TensorId> ConvertConv(const Config& config, TensorId x, bool depthwise) {
    OCTET_RETURN_IF_ERROR(RequireImage(x));
    const Shape shape = ShapeOf(x);
    OCTET_ASSIGN_OR_RETURN(const auto kernel, config.Pair("kernel_size", 0));
    OCTET_ASSIGN_OR_RETURN(const auto strides, config.Pair("strides", 1));
    OCTET_ASSIGN_OR_RETURN(const auto dilation, config.Pair("dilation_rate", 1));
    OCTET_ASSIGN_OR_RETURN(const int64_t groups, config.Integer("groups", 1, 1, 1 << 20));
    Window w;
    w.kernel_h = kernel[0], w.kernel_w = kernel[1];
    w.stride_h = strides[0], w.stride_w = strides[1];
    w.dilation_h = dilation[0], w.dilation_w = dilation[1];
    OCTET_RETURN_IF_ERROR(SetPadding(config, shape, &w));
    if (shape[3] % groups != 0) return Corrupt(StrCat(groups, " groups for ", shape[3], " channels"));
    std::vector<int64_t> stored{kernel[0], kernel[1], depthwise ? shape[3] : shape[3] / groups, -1};
    // Keras 2 calls a depthwise layer's weight depthwise_kernel, Keras 3 kernel.
    const bool renamed = depthwise && weights_.Find(place_->path, "depthwise_kernel", 0).ok();
    OCTET_ASSIGN_OR_RETURN(const std::vector<float> values, Weight(renamed ? "depthwise_kernel" : "kernel", 0, stored, &stored));
    const int64_t taps = stored[0] * stored[1];
    // Keras has [height, width, in, out], and for depthwise ones [height, width, in, multiplier].
    const int64_t in = depthwise ? 1 : stored[2], out = depthwise ? stored[2] * stored[3] : stored[3];
    std::vector<float> weights(values.size());
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t t = 0; t < taps; ++t) {
        for (int64_t i = 0; i < in; ++i) weights[(o * taps + t) * in + i] = values[(t * in + i) * out + o];
      }
    }
    const Shape weight_shape{out, stored[0], stored[1], in};
    return EmitLayer(OpType::kConv2d, config, x, weight_shape, weights, [&](Node* n) {
      n->window = w;
      n->groups = static_cast<int>(depthwise ? shape[3] : groups);
    });
  }

  Result<TensorId> ConvertDense(const Config& config, TensorId x) {
    const Shape shape = ShapeOf(x);
    std::vector<int64_t> stored{shape.back(), -1};
    OCTET_ASSIGN_OR_RETURN(const std::vector<float> values, Weight("kernel", 0, stored, &stored));
    const int64_t in = stored[0], out = stored[1];
    std::vector<float> weights(values.size());
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t i = 0; i < in; ++i) weights[o * in + i] = values[i * out + o];
    }
    // At every pixel of an image it is a 1x1 convolution.
    if (shape.rank() == 4) return EmitLayer(OpType::kConv2d, config, x, Shape{out, 1, 1, in}, weights, {});
    return EmitLayer(OpType::kDense, config, x, Shape{out, in}, weights, {});
  }

  Result<TensorId> EmitLayer(OpType type, const Config& config, TensorId x, const Shape& shape, const std::vector<float>& weights,
                             const std::function<void(Node*)>& configure) {
    const std::string linear = IsLinear(config.Raw("activation")) ? name_ : name_ + ".linear";
    std::vector<TensorId> inputs{x, kNoTensor};
    OCTET_ASSIGN_OR_RETURN(inputs[kInputWeights], AddConstant(name_ + ".weight", shape, weights));
    if (config.Bool("use_bias", true)) {
      OCTET_ASSIGN_OR_RETURN(const std::vector<float> bias, Weight("bias", 1, {shape[0]}));
      inputs.push_back(kNoTensor);
      OCTET_ASSIGN_OR_RETURN(inputs[kInputBias], AddConstant(name_ + ".bias", Shape{shape[0]}, bias));
    }
    OCTET_ASSIGN_OR_RETURN(const TensorId y, Emit(type, linear, std::move(inputs), configure));
    return Activate(config.Raw("activation"), y, name_);
  }

  /// Scale and shift per channel; one value stands for all channels.
  Result<TensorId> ScaleShift(TensorId x, std::vector<float> scale, std::vector<float> shift, const std::string& name) {
    const int64_t channels = ShapeOf(x).back();
    OCTET_RETURN_IF_ERROR(Charge(channels * 8));
    if (scale.size() == 1) scale.assign(static_cast<size_t>(channels), scale[0]);
    if (shift.size() == 1) shift.assign(static_cast<size_t>(channels), shift[0]);
    OCTET_ASSIGN_OR_RETURN(const TensorId scale_id, AddConstant(name + ".scale", Shape{channels}, scale));
    OCTET_ASSIGN_OR_RETURN(const TensorId shift_id, AddConstant(name + ".shift", Shape{channels}, shift));
    return Emit(OpType::kScaleShift, name, {x, scale_id, shift_id});
  }

  Result<TensorId> ConvertBatchNorm(const Config& config, TensorId x) {
    const Shape shape = ShapeOf(x);
    const json& axis = config.Raw("axis").is_array() && config.Raw("axis").size() == 1 ? config.Raw("axis")[0] : config.Raw("axis");
    if (!axis.is_null()) {
      OCTET_ASSIGN_OR_RETURN(const int64_t a, ToInteger(axis, "axis", -4, 3));
      if (a != -1 && a != shape.rank() - 1) return Unsupported(StrCat("axis ", a, ", expected the last"));
    }
    OCTET_ASSIGN_OR_RETURN(const double epsilon, config.Number("epsilon", 1e-3));
    const int64_t channels = shape.back();
    int index = 0;
    std::vector<float> gamma, beta;
    if (config.Bool("scale", true)) {
      OCTET_ASSIGN_OR_RETURN(gamma, Weight("gamma", index++, {channels}));
    }
    if (config.Bool("center", true)) {
      OCTET_ASSIGN_OR_RETURN(beta, Weight("beta", index++, {channels}));
    }
    OCTET_ASSIGN_OR_RETURN(const std::vector<float> mean, Weight("moving_mean", index, {channels}));
    OCTET_ASSIGN_OR_RETURN(const std::vector<float> variance, Weight("moving_variance", index + 1, {channels}));
    std::vector<float> scale(mean.size()), shift(mean.size());
    for (size_t c = 0; c < mean.size(); ++c) {
      const double spread = static_cast<double>(variance[c]) + epsilon;
      if (!(spread > 0.0)) return Corrupt(StrCat("moving_variance of channel ", c, " is ", variance[c]));
      const double s = (gamma.empty() ? 1.0 : gamma[c]) / std::sqrt(spread);
      scale[c] = static_cast<float>(s);
      shift[c] = static_cast<float>((beta.empty() ? 0.0 : beta[c]) - mean[c] * s);
    }
    return ScaleShift(x, std::move(scale), std::move(shift), name_);
  }

  Result<TensorId> ConvertRelu(const Config& config, TensorId x) {
    OCTET_ASSIGN_OR_RETURN(const double max, config.Number("max_value", std::numeric_limits<double>::infinity()));
    OCTET_ASSIGN_OR_RETURN(const double slope, config.Number("negative_slope", 0.0));
    OCTET_ASSIGN_OR_RETURN(const double threshold, config.Number("threshold", 0.0));
    if (slope != 0.0 || threshold != 0.0) return Unsupported(StrCat("negative_slope ", slope, " and threshold ", threshold, ", expected 0"));
    if (max == 6.0) return Emit(OpType::kRelu6, name_, {x});
    if (std::isinf(max)) return Emit(OpType::kRelu, name_, {x});
    return Unsupported(StrCat("max_value ", max, ", expected none or 6"));
  }

  Result<TensorId> ConvertSoftmax(const Config& config, TensorId x) {
    const json& axis = config.Raw("axis");
    if (!axis.is_null()) {
      OCTET_ASSIGN_OR_RETURN(const int64_t a, ToInteger(axis, "axis", -4, 3));
      if (a != -1 && a != ShapeOf(x).rank() - 1) return Unsupported(StrCat("axis ", a, ", expected the last"));
    }
    return Emit(OpType::kSoftmax, name_, {x});
  }

  Result<TensorId> ConvertBinary(const std::string& type, const std::vector<TensorId>& inputs) {
    if (inputs.size() < 2) return Corrupt("one input, expected two or more");
    for (TensorId id : inputs) {
      if (ShapeOf(id) == ShapeOf(inputs[0])) continue;
      return Unsupported(StrCat("inputs of shapes ", ShapeOf(inputs[0]).ToString(), " and ", ShapeOf(id).ToString(), ", expected equal ones"));
    }
    TensorId sum = inputs[0];
    for (size_t i = 1; i < inputs.size(); ++i) {
      TensorId next = inputs[i];
      if (type == "Subtract") {
        if (inputs.size() != 2) return Corrupt(StrCat(inputs.size(), " inputs, expected 2"));
        OCTET_ASSIGN_OR_RETURN(next, ScaleShift(next, {-1.0f}, {0.0f}, name_ + ".negative"));
      }
      const std::string name = i + 1 == inputs.size() ? name_ : StrCat(name_, ".", i);
      OCTET_ASSIGN_OR_RETURN(sum, Emit(type == "Multiply" ? OpType::kMul : OpType::kAdd, name, {sum, next}));
    }
    return sum;
  }

  Result<TensorId> ConvertConcat(const Config& config, const std::vector<TensorId>& inputs) {
    const int rank = ShapeOf(inputs[0]).rank();
    OCTET_ASSIGN_OR_RETURN(int64_t axis, config.Integer("axis", -1, -4, 3));
    if (axis < 0) axis += rank;
    if (inputs.size() < 2 || axis < 1) return Unsupported("a concatenation along the batch or of one input");
    return Emit(OpType::kConcat, name_, inputs, [&](Node* n) { n->axis = static_cast<int>(axis); });
  }

  Result<TensorId> ConvertPad(const Config& config, TensorId x) {
    OCTET_RETURN_IF_ERROR(RequireImage(x));
    // One number, [height, width], or [[top, bottom], [left, right]].
    const json& padding = config.Raw("padding");
    std::array<int32_t, 4> amounts{};
    for (size_t d = 0; d < 2; ++d) {
      for (size_t side = 0; side < 2; ++side) {
        const json* v = &padding;
        if (v->is_array()) {
          if (v->size() != 2) return Corrupt("'padding' does not have 2 elements");
          v = &(*v)[d];
        }
        if (v->is_array()) {
          if (v->size() != 2) return Corrupt("'padding' does not have 2 elements a dimension");
          v = &(*v)[side];
        }
        OCTET_ASSIGN_OR_RETURN(const int64_t amount, ToInteger(*v, "padding", 0, 1 << 20));
        amounts[2 * d + side] = static_cast<int32_t>(amount);
      }
    }
    return Emit(OpType::kPad, name_, {x}, [&](Node* n) {
      n->begin = {0, amounts[0], amounts[2], 0};
      n->end = {0, amounts[1], amounts[3], 0};
    });
  }

  Result<TensorId> ConvertPool(const std::string& type, const Config& config, TensorId x) {
    OCTET_RETURN_IF_ERROR(RequireImage(x));
    OCTET_ASSIGN_OR_RETURN(const auto size, config.Pair("pool_size", 2));
    OCTET_ASSIGN_OR_RETURN(auto strides, config.Pair("strides", 0));
    if (!config.Has("strides")) strides = size;
    Window w;
    w.kernel_h = size[0], w.kernel_w = size[1];
    w.stride_h = strides[0], w.stride_w = strides[1];
    OCTET_RETURN_IF_ERROR(SetPadding(config, ShapeOf(x), &w));
    return Emit(type == "MaxPooling2D" ? OpType::kMaxPool : OpType::kAveragePool, name_, {x}, [&](Node* n) { n->window = w; });
  }

  Result<TensorId> ConvertGlobalPool(const std::string& type, const Config& config, TensorId x) {
    OCTET_RETURN_IF_ERROR(RequireImage(x));
    const Shape shape = ShapeOf(x);
    const bool keep = config.Bool("keepdims", false);
    const std::string name = keep ? name_ : name_ + ".pool";
    TensorId y = kNoTensor;
    if (type == "GlobalAveragePooling2D") {
      OCTET_ASSIGN_OR_RETURN(y, Emit(OpType::kGlobalAveragePool, name, {x}));
    } else {
      if (shape[1] > 4096 || shape[2] > 4096) return Unsupported(StrCat("a maximum over ", shape.ToString()));
      OCTET_ASSIGN_OR_RETURN(y, Emit(OpType::kMaxPool, name, {x}, [&](Node* n) {
                               n->window.kernel_h = static_cast<int>(shape[1]);
                               n->window.kernel_w = static_cast<int>(shape[2]);
                             }));
    }
    if (keep) return y;
    return Emit(OpType::kReshape, name_, {y}, {}, Shape{1, shape[3]});
  }

  Result<TensorId> ConvertReshape(const Config& config, TensorId x) {
    const json& target = config.Raw("target_shape");
    if (!target.is_array() || (target.size() != 1 && target.size() != 3)) {
      return Unsupported("target_shape is not [channels] or [height, width, channels]");
    }
    const int64_t elements = ShapeOf(x).num_elements();
    Shape shape{1};
    int open = 0;
    int64_t known = 1;
    for (const json& v : target) {
      OCTET_ASSIGN_OR_RETURN(const int64_t d, ToInteger(v, "target_shape", -1, std::numeric_limits<int32_t>::max()));
      if (d == 0 || (d < 0 && open > 0)) return Corrupt("target_shape has a 0 or more than one -1");
      if (d < 0) open = shape.rank();
      if (d > 0 && !CheckedMul(known, d, &known)) return Corrupt("target_shape is too large");
      shape.push_back(d);
    }
    if (open > 0) {
      if (elements % known != 0) return Corrupt(StrCat(elements, " elements do not fit target_shape"));
      shape[open] = elements / known;
    }
    return Emit(OpType::kReshape, name_, {x}, {}, shape);
  }

  Result<TensorId> ConvertRescaling(const Config& config, TensorId x) {
    std::vector<float> scale{1.0f}, offset{0.0f};
    if (config.Has("scale")) {
      OCTET_ASSIGN_OR_RETURN(scale, config.Numbers("scale"));
    }
    if (config.Has("offset")) {
      OCTET_ASSIGN_OR_RETURN(offset, config.Numbers("offset"));
    }
    return ScaleShift(x, std::move(scale), std::move(offset), name_);
  }

  Result<TensorId> ConvertNormalization(const Config& config, TensorId x) {
    if (config.Bool("invert", false)) return Unsupported("an inverted normalization");
    std::vector<float> mean, variance;
    if (config.Has("mean") && config.Has("variance")) {
      OCTET_ASSIGN_OR_RETURN(mean, config.Numbers("mean"));
      OCTET_ASSIGN_OR_RETURN(variance, config.Numbers("variance"));
    } else {
      // Without an axis there is one value for everything.
      const bool scalar = config.Raw("axis").is_array() ? config.Raw("axis").empty() : !config.Has("axis");
      const std::vector<int64_t> shape = scalar ? std::vector<int64_t>{} : std::vector<int64_t>{ShapeOf(x).back()};
      OCTET_ASSIGN_OR_RETURN(mean, Weight("mean", 0, shape));
      OCTET_ASSIGN_OR_RETURN(variance, Weight("variance", 1, shape));
    }
    if (variance.size() != mean.size()) return Corrupt(StrCat(mean.size(), " means and ", variance.size(), " variances"));
    std::vector<float> scale(mean.size()), shift(mean.size());
    for (size_t c = 0; c < mean.size(); ++c) {
      if (!(variance[c] >= 0.0f)) return Corrupt(StrCat("variance ", variance[c]));
      const double s = 1.0 / std::max(std::sqrt(static_cast<double>(variance[c])), 1e-7);
      scale[c] = static_cast<float>(s);
      shift[c] = static_cast<float>(-mean[c] * s);
    }
    return ScaleShift(x, std::move(scale), std::move(shift), name_);
  }

  KerasWeights& weights_;
  int64_t budget_;  ///< Bytes of constants still allowed.
  Graph g_;
  UniqueNames names_{"_", 1};
  const Place* place_ = nullptr;  ///< Of the layer being converted.
  std::string name_;              ///< Of its node.
};

/// One string attribute of the file, which must not be a list.
Result<std::string> TextAttribute(const Hdf5File& file, const char* name) {
  const Hdf5Array* attribute = file.root().Attribute(name);
  if (attribute == nullptr) return NotFound(StrCat("no attribute '", name, "'"));
  OCTET_ASSIGN_OR_RETURN(std::vector<std::string> text, file.Strings(*attribute));
  if (text.size() != 1) return Corrupt(StrCat("attribute '", name, "' has ", text.size(), " strings, expected 1"));
  return std::move(text[0]);
}

Result<Graph> Import(const json& model, KerasWeights* weights, size_t bytes, const std::string& source) {
  if (!IsModel(Text(model, "class_name"))) {
    return Unsupported(StrCat("a model of class '", Text(model, "class_name"), "', expected Functional or Sequential; save a subclassed model as SavedModel"));
  }
  OCTET_ASSIGN_OR_RETURN(Graph graph, KerasImporter(weights, bytes).Run(model));
  graph.metadata.source = source;
  OCTET_RETURN_IF_ERROR(CheckGraph(graph));
  return graph;
}

std::string Version(const std::string& version) {
  const bool plain = !version.empty() && version.size() < 32 && std::all_of(version.begin(), version.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '+';
  });
  return plain ? " " + version : "";
}

template <typename T>
Result<Graph> InFile(const std::string& path, const T& import) {
  OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile(path));
  Result<Graph> graph = import(file);
  if (!graph.ok()) return Status(graph.status()).WithContext(path);
  if (graph->metadata.name.empty()) graph->metadata.name = std::filesystem::path(path).stem().string();
  return graph;
}

}  // namespace

Result<Graph> ImportKerasH5Bytes(std::string_view bytes) {
  OCTET_ASSIGN_OR_RETURN(const Hdf5File file, Hdf5File::Read(std::as_bytes(std::span(bytes.data(), bytes.size()))));
  if (file.root().Attribute("model_config") == nullptr) {
    return Unsupported("the file has no model_config: it holds weights only; save the whole model (model.save)");
  }
  OCTET_ASSIGN_OR_RETURN(const std::string config, TextAttribute(file, "model_config"));
  if (config.size() > kMaxConfigBytes) return Unsupported(StrCat("model_config of ", config.size(), " bytes, expected at most ", kMaxConfigBytes));
  OCTET_ASSIGN_OR_RETURN(const json model, ParseJson(config, "model_config", kMaxJsonDepth));
  const Hdf5Object* group = file.root().Find("model_weights");
  if (group == nullptr) return Corrupt("the file has no group model_weights");
  const Result<std::string> version = TextAttribute(file, "keras_version");
  const std::unique_ptr<KerasWeights> weights = LegacyKerasWeights(file, *group);
  return Import(model, weights.get(), bytes.size(), StrCat("keras h5", version.ok() ? Version(*version) : ""));
}

Result<Graph> ImportKerasZipBytes(std::string_view bytes) {
  const FileBytes file{std::as_bytes(std::span(bytes.data(), bytes.size())), nullptr};
  OCTET_ASSIGN_OR_RETURN(const ZipReader zip, ZipReader::Open(file, "archive"));
  const auto read = [&](const char* name, uint64_t limit) -> Result<FileBytes> {
    const ZipEntry* entry = zip.Find(name);
    if (entry == nullptr) return Corrupt(StrCat("the archive has no ", name));
    if (entry->size > limit) return Unsupported(StrCat(name, " of ", entry->size, " bytes, expected at most ", limit));
    return zip.Read(*entry, limit);
  };
  OCTET_ASSIGN_OR_RETURN(const FileBytes config, read("config.json", kMaxConfigBytes));
  OCTET_ASSIGN_OR_RETURN(const json model, ParseJson(config.text(), "config.json", kMaxJsonDepth));
  // Trained weights hardly compress; what claims more is a bomb.
  OCTET_ASSIGN_OR_RETURN(const FileBytes weight_bytes, read("model.weights.h5", (uint64_t{64} << 20) + 8 * bytes.size()));
  OCTET_ASSIGN_OR_RETURN(const Hdf5File weights_file, Hdf5File::Read(weight_bytes.bytes));
  std::string version;
  if (zip.Find("metadata.json") != nullptr) {
    OCTET_ASSIGN_OR_RETURN(const FileBytes metadata, read("metadata.json", kMaxConfigBytes));
    OCTET_ASSIGN_OR_RETURN(const json fields, ParseJson(metadata.text(), "metadata.json", kMaxJsonDepth));
    version = Version(Text(fields, "keras_version"));
  }
  const std::unique_ptr<KerasWeights> weights = NumberedKerasWeights(weights_file);
  return Import(model, weights.get(), weight_bytes.bytes.size() + bytes.size(), StrCat("keras zip", version));
}

Result<Graph> ImportKerasH5(const std::string& path) {
  return InFile(path, [](const FileBytes& file) { return ImportKerasH5Bytes(file.text()); });
}

Result<Graph> ImportKerasZip(const std::string& path) {
  return InFile(path, [](const FileBytes& file) { return ImportKerasZipBytes(file.text()); });
}

}  // namespace octet
