// Keras models (.h5 and .keras): a configuration in JSON and weights in HDF5. Nothing in them is
// executed; layers that carry code are refused.
#include "converter/import/keras/import.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "converter/import/builder/graph_builder.h"
#include "converter/import/file_bytes.h"
#include "converter/import/importer.h"
#include "converter/import/json_reader.h"
#include "converter/import/keras/config.h"
#include "converter/import/keras/hdf5_reader.h"
#include "converter/import/keras/layers.h"
#include "converter/import/keras/weights.h"
#include "converter/import/zip_reader.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/analysis.h"
#include "formats/model/preprocessing.h"

namespace octet {
namespace {

using nlohmann::json;

constexpr int kMaxJsonDepth = 64;
constexpr int kMaxModelDepth = 8;
constexpr int kMaxCalls = 100000;
// Parsed JSON takes many times its text; a network of a thousand layers has less than 2 MiB.
constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;
// Per-channel constants that a configuration may ask for on top of what the file holds.
constexpr int64_t kExtraConstantBytes = int64_t{64} << 20;

// Models and inputs are no rows of the layers' table: they are structure.
constexpr Understood kModelKeys{"", "", "layers input_layers output_layers build_input_shape"};
constexpr Understood kInputKeys{"", "sparse=false ragged=false", "optional shape"};
/// What stands beside a layer's configuration.
constexpr Understood kLayerKeys{"", "",
                                "module class_name config registered_name build_config "
                                "compile_config inbound_nodes shared_object_id"};

bool IsModel(const std::string& type) {
  return type == "Functional" || type == "Model" || type == "Sequential";
}

/// A tensor of a model: one output of one application of a layer.
struct Reference {
  std::string layer;
  int64_t call = 0, tensor = 0;
  auto operator<=>(const Reference&) const = default;
};

/// An argument of a call: tensors, under keys where they come in a dictionary, or a constant.
struct Argument {
  std::string name;  ///< Or "" for one that is told by its position.
  std::vector<Reference> tensors;
  std::vector<std::string> keys;
  json constant;
};

/// One application of a layer.
struct Call {
  int layer = 0;
  int index = 0;  ///< Which of the layer's applications.
  std::vector<Argument> arguments;
};

/// input_layers or output_layers.
struct Ends {
  std::vector<Reference> tensors;
  std::vector<std::string> keys;  ///< Where they are a dictionary.
};

/// What a model is given or gives. A value without a tensor depends on what was refused.
struct Named {
  std::vector<KerasValue> values;
  std::vector<std::string> keys;
};

/// Where a layer stands, for its weights and its nodes' names.
struct Place {
  std::vector<KerasStep> path;
  std::string name;  ///< Of its nodes.
};

// ---- Calls in the words of either version ----

Result<Reference> ReadReference(const json& history) {
  if (!history.is_array() || history.size() < 3 || !history[0].is_string())
    return Corrupt("a tensor reference is not [layer, call, output]");
  Reference r{history[0].get<std::string>(), 0, 0};
  OCTET_ASSIGN_OR_RETURN(r.call, KerasInteger(history[1], "inbound_nodes", 0, kMaxCalls));
  OCTET_ASSIGN_OR_RETURN(r.tensor, KerasInteger(history[2], "inbound_nodes", 0, kMaxCalls));
  return r;
}

/// Keras 2: ["layer", call, output], perhaps with arguments behind.
bool IsHistory(const json& v) {
  return v.is_array() && v.size() >= 3 && v[0].is_string() && v[1].is_number_integer() &&
         v[1] >= 0 && v[2].is_number_integer();
}
bool IsKerasTensor(const json& v) { return KerasText(v, "class_name") == "__keras_tensor__"; }

/// Tensors in lists and dictionaries; `found` says whether a tensor or a constant was met.
Status Collect(const json& v, Argument* out, bool* constants) {
  if (IsKerasTensor(v)) {
    OCTET_ASSIGN_OR_RETURN(Reference r,
                           ReadReference(KerasMember(KerasMember(v, "config"), "keras_history")));
    out->tensors.push_back(std::move(r));
  } else if (IsHistory(v)) {
    OCTET_ASSIGN_OR_RETURN(Reference r, ReadReference(v));
    out->tensors.push_back(std::move(r));
  } else if (v.is_array()) {
    for (const json& item : v) OCTET_RETURN_IF_ERROR(Collect(item, out, constants));
  } else if (v.is_object() && !v.contains("class_name")) {
    for (const auto& item : v.items()) {
      const size_t before = out->tensors.size();
      OCTET_RETURN_IF_ERROR(Collect(item.value(), out, constants));
      if (out->tensors.size() == before + 1) out->keys.push_back(item.key());
    }
  } else {
    *constants = true;
  }
  return OkStatus();
}

Result<Argument> ReadArgument(std::string name, const json& v) {
  Argument argument;
  argument.name = std::move(name);
  bool constants = false;
  OCTET_RETURN_IF_ERROR(Collect(v, &argument, &constants));
  if (argument.tensors.empty()) {
    argument.constant = v;
  } else if (constants ||
             (!argument.keys.empty() && argument.keys.size() != argument.tensors.size())) {
    return Unsupported("it is called with tensors and other values in one list");
  }
  return argument;
}

Result<std::vector<Argument>> ReadArguments(const json& node) {
  std::vector<Argument> arguments;
  const auto add = [&](std::string name, const json& v) -> Status {
    OCTET_ASSIGN_OR_RETURN(Argument argument, ReadArgument(std::move(name), v));
    arguments.push_back(std::move(argument));
    return OkStatus();
  };
  json named;
  if (node.is_object() && KerasMember(node, "args").is_array()) {
    for (const json& v : node["args"]) OCTET_RETURN_IF_ERROR(add("", v));
    named = KerasMember(node, "kwargs");
  } else if (node.is_array() || node.is_object()) {
    // Keras 2: the first argument, whose tensors all carry the others.
    json first =
        node.is_array() && !node.empty() && node[0].is_string() ? json::array({node}) : node;
    for (const auto& item : first.items()) {
      json& v = item.value();
      if (!v.is_array() || v.size() < 3 || !v[0].is_string())
        return Corrupt("a tensor reference is not [layer, call, output]");
      if (v.size() > 3 && v[3].is_object() && named.is_null()) named = v[3];
      // Only a first argument that stands alone can be a constant.
      if (v[0] == "_CONSTANT_VALUE") {
        const json constant = v[2];
        v = constant;
      } else {
        v.erase(v.begin() + 3, v.end());
      }
    }
    if (first.is_array() && first.size() == 1) first = json(first[0]);
    OCTET_RETURN_IF_ERROR(add("", first));
  } else {
    return Corrupt("inbound_nodes has an element that is neither a list nor an object");
  }
  for (const auto& item : named.items()) OCTET_RETURN_IF_ERROR(add(item.key(), item.value()));
  return arguments;
}

Result<Ends> ReadEnds(const json& model, const char* key) {
  const json& v = KerasMember(KerasMember(model, "config"), key);
  OCTET_ASSIGN_OR_RETURN(Argument argument, ReadArgument("", v));
  if (argument.tensors.empty())
    return Corrupt(StrCat("'", key, "' is ", KerasShow(v), ", expected tensor references"));
  return Ends{std::move(argument.tensors), std::move(argument.keys)};
}

// ---- Models ----

class KerasImporter {
 public:
  KerasImporter(KerasWeights* weights, size_t file_bytes)
      : weights_(*weights),
        b_("_", 1, static_cast<int64_t>(file_bytes) * 4 + kExtraConstantBytes),
        layers_(&b_, weights) {}

  Result<Graph> Run(const json& model) {
    OCTET_ASSIGN_OR_RETURN(const Named outputs, ConvertModel(model, {}, {}, 0));
    OCTET_RETURN_IF_ERROR(problems_.ToStatus());
    Graph& g = b_.graph();
    for (size_t i = 0; i < outputs.values.size(); ++i) {
      const std::string name = i < outputs.keys.size() ? outputs.keys[i] : "";
      const std::string label = name.empty() ? "output" : name;
      Result<TensorId> id = layers_.Output(label, outputs.values[i]);
      if (!id.ok()) return Status(id.status()).WithContext(StrCat("output '", label, "'"));
      OCTET_RETURN_IF_ERROR(b_.AddOutput(*id, name).WithContext(StrCat("output '", label, "'")));
    }
    OCTET_RETURN_IF_ERROR(weights_.CheckAllRead());
    g.metadata.name = KerasText(KerasMember(model, "config"), "name");
    return std::move(g);
  }

 private:
  static const json& Layers(const json& model) {
    const json& config = KerasMember(model, "config");
    // Old Sequential models are a bare list.
    return config.is_array() ? config : KerasMember(config, "layers");
  }

  static std::string LayerName(const json& layer) {
    const std::string name = KerasText(KerasMember(layer, "config"), "name");
    return name.empty() ? KerasText(layer, "name") : name;
  }

  static std::string WhyNot(const json& layer) {
    static const std::set<std::string> kWrappers{"TimeDistributed", "Bidirectional", "Wrapper",
                                                 "SpectralNormalization", "RNN"};
    const std::string type = KerasText(layer, "class_name");
    if (type == "Lambda")
      return "it holds Python code, which is never run; replace it by layers that do the same and "
             "save again";
    if (type == "TFOpLambda" || type == "SlicingOpLambda" || type == "TensorFlowOpLayer")
      return StrCat("a bare operation, '", KerasText(KerasMember(layer, "config"), "function"),
                    "', that octet does not know; use a layer instead, or export a SavedModel");
    if (kWrappers.count(type) > 0) return "a wrapper around another layer";
    const Status origin = CheckKerasOrigin(layer);
    if (!origin.ok()) return origin.message();
    if (const std::string function = UnaryAdvice(type); !function.empty()) return function;
    return "not among the layers that octet has; export a SavedModel or TFLite file if its "
           "operators are (octet_convert --list-operators)";
  }

  /// The row that converts a layer; `operation` for what is called as a function.
  static const KerasRow* RowOf(const json& layer, bool* operation) {
    const std::string type = KerasText(layer, "class_name"), module = KerasText(layer, "module");
    *operation = true;
    if (type == "TFOpLambda" || type == "SlicingOpLambda") {
      return KerasLayers::Find(KerasLayers::Functions(),
                               KerasText(KerasMember(layer, "config"), "function"));
    }
    // Without modules Keras 3 tells its operations from its layers by their configuration only.
    const KerasRow* row = KerasLayers::Find(KerasLayers::Layers(), type);
    const bool says_op = module.find("keras.src.ops.") == 0 || module.find("keras.ops") == 0;
    const json& nodes = KerasMember(layer, "inbound_nodes");
    const bool looks_so = !layer.contains("module") && KerasMember(layer, "config").is_object() &&
                          !KerasMember(layer, "config").contains("trainable") && nodes.is_array() &&
                          !nodes.empty() && nodes[0].is_object();
    if (says_op || looks_so) {
      const KerasRow* op = KerasLayers::Find(KerasLayers::Operations(), type);
      if (says_op || op != nullptr) return op;
    }
    *operation = false;
    return row;
  }

  /// Converts a model. At depth 0 it is the whole file's and makes its own inputs.
  Result<Named> ConvertModel(const json& model, const Named& inputs, const Place& place,
                             int depth) {
    if (depth > kMaxModelDepth)
      return Unsupported(StrCat("models nested deeper than ", kMaxModelDepth));
    const json& layers = Layers(model);
    if (!layers.is_array() || layers.empty()) return Corrupt("the model has no layers");
    if (KerasMember(model, "config").is_object())
      OCTET_RETURN_IF_ERROR(KerasConfig(KerasMember(model, "config"), kModelKeys).Check());
    std::vector<Place> places;
    std::map<std::string, int> counters;
    std::set<std::string> names;
    for (const json& layer : layers) {
      Place at = place;
      const std::string name = LayerName(layer);
      if (name.empty() || !names.insert(name).second)
        return Corrupt(StrCat("two layers are named '", name, "'"));
      std::string stored = KerasSnakeCase(KerasText(layer, "class_name"));
      const int count = counters[stored]++;
      if (count > 0) stored += StrCat("_", count);
      at.path.push_back({name, stored});
      at.name = place.name.empty() ? name : place.name + "/" + name;
      places.push_back(std::move(at));
    }
    if (KerasText(model, "class_name") == "Sequential")
      return ConvertSequential(model, layers, places, inputs, depth);
    return ConvertFunctional(model, layers, places, inputs, depth);
  }

  Result<Named> ConvertSequential(const json& model, const json& layers,
                                  const std::vector<Place>& places, const Named& inputs,
                                  int depth) {
    Named values = inputs;
    for (size_t i = 0; i < places.size(); ++i) {
      if (KerasText(layers[i], "class_name") == "InputLayer") {
        if (depth > 0) continue;
        OCTET_ASSIGN_OR_RETURN(const KerasValue x, AddInput(layers[i], places[i].name,
                                                            FollowingResizing(layers, i + 1)));
        values.values = {x};
        continue;
      }
      if (values.values.empty()) {  // The first layer knows the input's shape, or the model does.
        json input{{"config", json::object()}};
        const json& own = KerasMember(layers[i], "config");
        const json& config = KerasMember(model, "config");
        for (const json* shape :
             {&KerasMember(own, "batch_input_shape"), &KerasMember(own, "batch_shape"),
              &KerasMember(config, "build_input_shape"),
              &KerasMember(KerasMember(model, "build_config"), "input_shape")}) {
          if (shape->is_array() && !input["config"].contains("batch_shape"))
            input["config"]["batch_shape"] = *shape;
        }
        OCTET_ASSIGN_OR_RETURN(const KerasValue x,
                               AddInput(input, "input", FollowingResizing(layers, i)));
        values.values = {x};
      }
      OCTET_ASSIGN_OR_RETURN(values,
                             ConvertLayer(layers[i], places[i], {Bound{"", values, {}}}, 0, depth));
    }
    return values;
  }

  /// Where a layer's applications begin to count. Models may have a node of their own in front,
  /// which Keras 2 counts everywhere and Keras 3 in the ends of the outer model only, and not for
  /// Sequential ones; older versions differ. What makes each application's result used is right.
  static void Renumber(const json& layers, const std::vector<Place>& places,
                       std::vector<Call>* calls, Ends* outputs) {
    struct Uses {
      int64_t count = 0;
      bool keras3 = false, sequential = false;
      std::vector<Reference*> inner, outer;
    };
    std::map<std::string, Uses> models;
    for (size_t i = 0; i < places.size(); ++i) {
      if (!IsModel(KerasText(layers[i], "class_name"))) continue;
      const json& nodes = KerasMember(layers[i], "inbound_nodes");
      models[places[i].path.back().name] = {
          static_cast<int64_t>(nodes.size()),
          !nodes.empty() && KerasMember(nodes[0], "args").is_array(),
          KerasText(layers[i], "class_name") == "Sequential",
          {},
          {}};
    }
    if (models.empty()) return;
    const auto note = [&](Reference* r, bool outer) {
      const auto it = models.find(r->layer);
      if (it != models.end()) (outer ? it->second.outer : it->second.inner).push_back(r);
    };
    for (Call& call : *calls) {
      for (Argument& argument : call.arguments) {
        for (Reference& r : argument.tensors) note(&r, false);
      }
    }
    for (Reference& r : outputs->tensors) note(&r, true);
    for (auto& [name, uses] : models) {
      const auto fits = [&, &uses = uses](int64_t inner, int64_t outer) {
        std::set<int64_t> used;
        for (const Reference* r : uses.inner) used.insert(r->call - inner);
        for (const Reference* r : uses.outer) used.insert(r->call - outer);
        return static_cast<int64_t>(used.size()) == uses.count && !used.empty() &&
               *used.begin() == 0 && *used.rbegin() == uses.count - 1;
      };
      std::vector<std::pair<int64_t, int64_t>> ways{{1, 1}, {0, 0}, {0, 1}};
      if (uses.keras3)
        std::rotate(ways.begin(), ways.end() - (uses.sequential ? 2 : 1), ways.end());
      for (const auto& [inner, outer] : ways) {
        if (!fits(inner, outer)) continue;
        for (Reference* r : uses.inner) r->call -= inner;
        for (Reference* r : uses.outer) r->call -= outer;
        break;
      }
    }
  }

  using Values = std::map<Reference, KerasValue>;

  /// The values that a model is given, under the names that its layers have for them.
  Result<Values> BindInputs(const json& model, const json& layers, const std::vector<Place>& places,
                            const Named& given, int depth) {
    const json& config = KerasMember(model, "config");
    OCTET_ASSIGN_OR_RETURN(const Ends ins, ReadEnds(model, "input_layers"));
    Values values;
    std::map<std::string, size_t> by_name;
    for (size_t i = 0; i < places.size(); ++i) by_name[places[i].path.back().name] = i;
    if (depth > 0 && given.values.size() != ins.tensors.size()) {
      return Corrupt(StrCat("model '", KerasText(config, "name"), "' is called with ",
                            given.values.size(), " inputs, expected ", ins.tensors.size()));
    }
    for (size_t i = 0; i < ins.tensors.size(); ++i) {
      const auto layer = by_name.find(ins.tensors[i].layer);
      if (layer == by_name.end())
        return Corrupt(
            StrCat("input_layers names '", ins.tensors[i].layer, "', which is no layer"));
      if (depth == 0) {
        OCTET_ASSIGN_OR_RETURN(values[ins.tensors[i]],
                               AddInput(layers[layer->second], places[layer->second].name,
                                        OnlyReaderResizing(layers, ins.tensors[i].layer)));
        continue;
      }
      size_t from = i;
      if (!given.keys.empty()) {  // By the names that the model has for its inputs.
        const std::string& wanted = ins.keys.empty() ? ins.tensors[i].layer : ins.keys[i];
        from = static_cast<size_t>(std::find(given.keys.begin(), given.keys.end(), wanted) -
                                   given.keys.begin());
        if (from == given.keys.size())
          return Corrupt(
              StrCat("model '", KerasText(config, "name"), "' is called without '", wanted, "'"));
      }
      values[ins.tensors[i]] = given.values[from];
    }
    return values;
  }

  /// Every application of every layer.
  static Result<std::vector<Call>> ReadCalls(const json& layers, const std::vector<Place>& places) {
    std::vector<Call> calls;
    for (size_t i = 0; i < places.size(); ++i) {
      if (KerasText(layers[i], "class_name") == "InputLayer") continue;
      const json& nodes = KerasMember(layers[i], "inbound_nodes");
      if (!nodes.is_null() && !nodes.is_array()) return Corrupt("inbound_nodes is not a list");
      int index = 0;
      for (const json& node : nodes) {
        Result<std::vector<Argument>> arguments = ReadArguments(node);
        if (!arguments.ok())
          return Status(arguments.status()).WithContext(Where(layers[i], places[i]));
        if (calls.size() >= kMaxCalls)
          return Unsupported(StrCat("more than ", kMaxCalls, " applications of layers"));
        calls.push_back({static_cast<int>(i), index++, *std::move(arguments)});
      }
    }
    return calls;
  }

  /// Layers may be listed in any order: each is converted once its inputs are there, the first
  /// listed first.
  Status ConvertCalls(const json& layers, const std::vector<Place>& places,
                      const std::vector<Call>& calls, int depth, Values* values) {
    std::map<Reference, std::vector<int>> readers;
    std::vector<size_t> missing(calls.size(), 0);
    std::set<int> ready;
    for (size_t i = 0; i < calls.size(); ++i) {
      for (const Argument& argument : calls[i].arguments) {
        for (const Reference& r : argument.tensors) {
          if (values->count(r) > 0) continue;
          ++missing[i];
          readers[r].push_back(static_cast<int>(i));
        }
      }
      if (missing[i] == 0) ready.insert(static_cast<int>(i));
    }
    size_t done = 0;
    while (!ready.empty()) {
      const Call& call = calls[static_cast<size_t>(*ready.begin())];
      ready.erase(ready.begin());
      ++done;
      std::vector<Bound> bound;
      for (const Argument& argument : call.arguments) {
        bound.push_back({argument.name, {{}, argument.keys}, argument.constant});
        for (const Reference& r : argument.tensors)
          bound.back().tensors.values.push_back((*values)[r]);
      }
      const size_t layer = static_cast<size_t>(call.layer);
      OCTET_ASSIGN_OR_RETURN(
          const Named results,
          ConvertLayer(layers[layer], places[layer], std::move(bound), call.index, depth));
      for (size_t t = 0; t < results.values.size(); ++t) {
        const Reference r{places[layer].path.back().name, call.index, static_cast<int64_t>(t)};
        (*values)[r] = results.values[t];
        for (int reader : readers[r]) {
          if (--missing[static_cast<size_t>(reader)] == 0) ready.insert(reader);
        }
      }
    }
    for (size_t i = 0; done < calls.size() && i < calls.size(); ++i) {
      if (missing[i] == 0) continue;
      const size_t layer = static_cast<size_t>(calls[i].layer);
      return Corrupt(
          StrCat(Where(layers[layer], places[layer]), " has an input that nothing computes"));
    }
    return OkStatus();
  }

  Result<Named> ConvertFunctional(const json& model, const json& layers,
                                  const std::vector<Place>& places, const Named& inputs,
                                  int depth) {
    OCTET_ASSIGN_OR_RETURN(Ends outs, ReadEnds(model, "output_layers"));
    OCTET_ASSIGN_OR_RETURN(Values values, BindInputs(model, layers, places, inputs, depth));
    OCTET_ASSIGN_OR_RETURN(std::vector<Call> calls, ReadCalls(layers, places));
    Renumber(layers, places, &calls, &outs);
    OCTET_RETURN_IF_ERROR(ConvertCalls(layers, places, calls, depth, &values));
    Named outputs{{}, outs.keys};
    for (const Reference& r : outs.tensors) {
      const auto it = values.find(r);
      if (it == values.end())
        return Corrupt(StrCat("output_layers names '", r.layer, "', which nothing computes"));
      outputs.values.push_back(it->second);
    }
    return outputs;
  }

  static std::string Where(const json& layer, const Place& place) {
    return StrCat("layer '", place.name, "' (", KerasText(layer, "class_name"), ")");
  }

  // ---- Calls ----

  /// An argument with its values.
  struct Bound {
    std::string name;
    Named tensors;
    json constant;
  };

  /// One layer, or one model inside. What is not supported goes to the list of problems, and a
  /// value without a tensor stands for the result.
  Result<Named> ConvertLayer(const json& layer, const Place& place, std::vector<Bound> arguments,
                             int index, int depth) {
    const std::string type = KerasText(layer, "class_name");
    Result<Named> results = TryLayer(layer, place, std::move(arguments), index, depth);
    if (results.ok()) return results;
    if (results.status().code() != StatusCode::kUnsupported)
      return Status(results.status()).WithContext(Where(layer, place));
    problems_.Add(type.substr(0, 60), place.name, results.status().message());
    Named unknown;
    unknown.values.resize(1);
    if (IsModel(type)) {
      const json& outputs = KerasMember(KerasMember(layer, "config"), "output_layers");
      unknown.values.resize(std::max<size_t>(outputs.size(), 1));
    }
    return unknown;
  }

  Result<Named> TryLayer(const json& layer, const Place& place, std::vector<Bound> arguments,
                         int index, int depth) {
    const std::string type = KerasText(layer, "class_name");
    OCTET_RETURN_IF_ERROR(KerasConfig(layer, kLayerKeys).Check());
    bool operation = false;
    const KerasRow* row = RowOf(layer, &operation);
    if (row == nullptr && !IsModel(type)) return Unsupported(WhyNot(layer));
    OCTET_RETURN_IF_ERROR(CheckKerasOrigin(layer));
    json config = KerasMember(layer, "config");
    std::vector<KerasOperand> operands;
    std::vector<json> constants;  // That operands point to.
    constants.reserve(arguments.size());
    bool unknown = false;
    const std::vector<std::string> names = Words(row == nullptr ? "inputs" : row->operands);
    const std::vector<std::string> keys = Words(row == nullptr ? "" : row->keys.read);
    operands.resize(names.size());
    Named inputs;
    for (size_t i = 0; i < arguments.size(); ++i) {
      Bound& a = arguments[i];
      for (const KerasValue& v : a.tensors.values) unknown = unknown || v.view.id == kNoTensor;
      const bool tensor = !a.tensors.values.empty();
      if (a.name.empty()) {
        a.name = i < names.size()                              ? names[i]
                 : operation && i - names.size() < keys.size() ? keys[i - names.size()]
                                                               : StrCat("argument ", i + 1);
      } else if (tensor && !operation && arguments.size() == 1) {
        a.name = names[0];
      }
      const auto slot = std::find(names.begin(), names.end(), a.name);
      if (slot != names.end() && (tensor || (operation && !a.constant.is_null()))) {
        KerasOperand& operand = operands[static_cast<size_t>(slot - names.begin())];
        operand.values = a.tensors.values;
        if (slot == names.begin()) inputs = a.tensors;
        if (tensor) continue;
        constants.push_back(a.constant);
        operand.constant = &constants.back();
        continue;
      }
      if (tensor) return Unsupported(StrCat("it is called with a tensor as '", a.name, "'"));
      if (operation && !a.constant.is_null() && a.name != "name") config[a.name] = a.constant;
      // Keras 3 writes down the default of the layers that prepare images, which predict()
      // overrides.
      const bool by_default = a.name == "training" &&
                              (type == "Resizing" || type.find("Random") == 0) &&
                              KerasMember(layer, "inbound_nodes")[0].is_object();
      if (!operation && !by_default && !IsNothing(a.constant))
        return Unsupported(StrCat("it is called with '", a.name, "' ", KerasShow(a.constant),
                                  a.name == "training" ? ", expected false" : ""));
    }
    if (inputs.values.empty() && operands[0].constant == nullptr)
      return Corrupt("it has no inputs");
    if (row == nullptr) {
      Place inner = place;
      if (index > 0) inner.name += StrCat("_", index);
      return ConvertModel(layer, inputs, inner, depth + 1);
    }
    if (operation && config.is_object()) config.erase("function");
    const KerasConfig checked(config, row->keys);
    OCTET_RETURN_IF_ERROR(checked.Check());
    Named results;
    results.values.resize(1);
    if (unknown) return results;
    const std::string name = index > 0 ? StrCat(place.name, "_", index) : place.name;
    OCTET_ASSIGN_OR_RETURN(results.values[0], layers_.Convert(*row, {name, place.path, checked,
                                                                     std::move(operands), batch_}));
    return results;
  }

  /// "x y*" as {"x", "y"}.
  static std::vector<std::string> Words(std::string_view text) {
    std::vector<std::string> words(1);
    for (const char c : text) {
      if (c == ' ') words.emplace_back();
      if (c != ' ' && c != '*') words.back() += c;
    }
    return words;
  }

  /// False, None, or a structure of None: what masks and training flags are at inference.
  static bool IsNothing(const json& v) {
    if (v.is_array() || v.is_object())
      return std::all_of(v.begin(), v.end(), [](const json& item) { return item.is_null(); });
    return v.is_null() || v == false;
  }

  /// The configuration of layer `i` where it is a Resizing, else null.
  static const json* FollowingResizing(const json& layers, size_t i) {
    const bool resizes = i < layers.size() && KerasText(layers[i], "class_name") == "Resizing";
    return resizes ? &KerasMember(layers[i], "config") : nullptr;
  }

  /// The same for the only layer that names `input`.
  static const json* OnlyReaderResizing(const json& layers, const std::string& input) {
    const auto names = [&input](const auto& self, const json& v) -> bool {
      if (v.is_array() && !v.empty() && v[0].is_string() && v[0] == input) return true;
      return (v.is_array() || v.is_object()) &&
             std::any_of(v.begin(), v.end(), [&](const json& item) { return self(self, item); });
    };
    size_t readers = 0, reader = 0;
    for (size_t i = 0; i < layers.size(); ++i) {
      if (!names(names, KerasMember(layers[i], "inbound_nodes"))) continue;
      ++readers;
      reader = i;
    }
    return readers == 1 ? FollowingResizing(layers, reader) : nullptr;
  }

  /// A Resizing at the head of a model that takes images of any size is how its photos are
  /// prepared: the network begins behind it.
  Status ReadHeadResizing(const json& config, bool integer, json* shape) {
    OCTET_ASSIGN_OR_RETURN(const int64_t height,
                           KerasInteger(KerasMember(config, "height"), "height", 1, 1 << 15));
    OCTET_ASSIGN_OR_RETURN(const int64_t width,
                           KerasInteger(KerasMember(config, "width"), "width", 1, 1 << 15));
    const std::string interpolation = KerasMember(config, "interpolation").is_null()
                                          ? "bilinear"
                                          : KerasText(config, "interpolation");
    constexpr std::pair<std::string_view, ResizeFilter> kFilters[] = {
        {"nearest", ResizeFilter::kNearest},  {"bilinear", ResizeFilter::kBilinear},
        {"bicubic", ResizeFilter::kBicubic},  {"area", ResizeFilter::kArea},
        {"lanczos3", ResizeFilter::kLanczos}, {"lanczos5", ResizeFilter::kLanczos5}};
    const auto filter = std::find_if(std::begin(kFilters), std::end(kFilters),
                                     [&](const auto& f) { return f.first == interpolation; });
    if (filter == std::end(kFilters)) {
      return Unsupported(
          StrCat("Resizing: 'interpolation' is ", KerasShow(KerasMember(config, "interpolation")),
                 ", expected nearest, bilinear, bicubic, area, lanczos3 or lanczos5"));
    }
    if (KerasMember(config, "pad_to_aspect_ratio") == true)
      return Unsupported("Resizing: 'pad_to_aspect_ratio' is true, expected false");
    Preprocessing& p = b_.graph().metadata.preprocessing;
    p.decoding = DecodingOf(Framework::kTensorflow);
    p.resampling = ResamplingOf(Framework::kTensorflow);
    p.resampling.filter = filter->second;
    const bool filters = filter->second != ResizeFilter::kNearest &&
                         filter->second != ResizeFilter::kArea;  // The others have no antialias.
    p.resampling.antialias = filters && KerasMember(config, "antialias") == true;
    // Keras rounds what it makes of integers.
    if (integer && filter->second != ResizeFilter::kNearest)
      return Unsupported("Resizing: its input is of integers, which Keras rounds; expected floats");
    p.resize = KerasMember(config, "crop_to_aspect_ratio") == true ? ResizeRule::kCropToAspect
                                                                   : ResizeRule::kStretch;
    (*shape)[1] = height;
    (*shape)[2] = width;
    return OkStatus();
  }

  /// `resizing` is the configuration of a Resizing layer, if that is all that reads the input.
  Result<KerasValue> AddInput(const json& layer, const std::string& name, const json* resizing) {
    const json& config = KerasMember(layer, "config");
    const auto fail = [&](Status status) {
      return std::move(status).WithContext(StrCat("input '", name, "'"));
    };
    json rest = config;
    const json type = rest.is_object() && rest.contains("dtype") ? rest["dtype"] : json();
    if (rest.is_object()) rest.erase("dtype");
    if (Status status = KerasConfig(rest, kInputKeys).Check(); !status.ok())
      return fail(std::move(status));
    const json& given = KerasMember(config, "batch_shape");
    json shape = given.is_null() ? KerasMember(config, "batch_input_shape") : given;
    if (!shape.is_array() || shape.empty())
      return fail(Unsupported(StrCat("its shape is ", KerasShow(shape), ", expected a list")));
    const std::string text = type.is_string() ? type.get<std::string>() : "float32";
    const bool integer = text.find("float") == std::string::npos;
    if (resizing != nullptr && shape.size() == 4 && shape[1].is_null() && shape[2].is_null()) {
      if (Status status = ReadHeadResizing(*resizing, integer, &shape); !status.ok())
        return fail(std::move(status));
    }
    KerasValue x;
    x.view.dims = {1};
    for (size_t d = 1; d < shape.size(); ++d) {
      if (shape[d].is_null()) {
        return fail(Unsupported(StrCat("its shape ", KerasShow(shape),
                                       " has no fixed size; build the model for the size it will "
                                       "be used at, or with a Resizing layer in front")));
      }
      Result<int64_t> size = KerasInteger(shape[d], "batch_shape", 1, int64_t{1} << 31);
      if (!size.ok()) return fail(size.status());
      x.view.dims.push_back(*size);
    }
    batch_ = shape[0].is_number_integer() ? shape[0].get<int64_t>() : 0;
    x.integer = integer;
    Result<View> view = b_.AddInputView(name, x.view.dims);
    if (!view.ok()) return fail(view.status());
    x.view = *std::move(view);
    return x;
  }

  KerasWeights& weights_;
  GraphBuilder b_;
  KerasLayers layers_;
  Problems problems_;
  int64_t batch_ = 0;
};

/// One string attribute of the file, which must not be a list.
Result<std::string> TextAttribute(const Hdf5File& file, const char* name) {
  const Hdf5Array* attribute = file.root().Attribute(name);
  if (attribute == nullptr) return NotFound(StrCat("no attribute '", name, "'"));
  OCTET_ASSIGN_OR_RETURN(std::vector<std::string> text, file.Strings(*attribute));
  if (text.size() != 1)
    return Corrupt(StrCat("attribute '", name, "' has ", text.size(), " strings, expected 1"));
  return std::move(text[0]);
}

std::string Version(const std::string& version) {
  const bool plain =
      !version.empty() && version.size() < 32 &&
      std::all_of(version.begin(), version.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '+';
      });
  return plain ? " " + version : "";
}

template <typename T>
Result<Graph> InFile(const std::string& path, const T& import) {
  OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile(path));
  Result<Graph> graph = import(file);
  if (!graph.ok()) return Status(graph.status()).WithContext(path);
  if (graph->metadata.name.empty())
    graph->metadata.name = std::filesystem::path(path).stem().string();
  return graph;
}

}  // namespace

Result<Graph> ImportKeras(const json& model, KerasWeights* weights, size_t bytes,
                          const std::string& source) {
  OCTET_RETURN_IF_ERROR(CheckKerasOrigin(model));
  if (!IsModel(KerasText(model, "class_name"))) {
    return Unsupported(
        StrCat("a model of class '", KerasText(model, "class_name"),
               "', expected Functional or Sequential; save a subclassed model as SavedModel"));
  }
  OCTET_ASSIGN_OR_RETURN(Graph graph, KerasImporter(weights, bytes).Run(model));
  graph.metadata.source = source;
  OCTET_RETURN_IF_ERROR(CheckGraph(graph));
  return graph;
}

std::vector<OperatorRow> KerasOperators() {
  std::vector<OperatorRow> list;
  for (const auto rows :
       {KerasLayers::Layers(), KerasLayers::Operations(), KerasLayers::Functions()}) {
    const char* prefix = rows.data() == KerasLayers::Functions().data()    ? "tf."
                         : rows.data() == KerasLayers::Operations().data() ? "ops."
                                                                           : "";
    for (const KerasRow& row : rows)
      list.push_back({"keras", StrCat(prefix, row.type), row.limits});
  }
  return list;
}

Result<Graph> ImportKerasH5Bytes(std::string_view bytes) {
  OCTET_ASSIGN_OR_RETURN(const Hdf5File file,
                         Hdf5File::Read(std::as_bytes(std::span(bytes.data(), bytes.size()))));
  if (file.root().Attribute("model_config") == nullptr) {
    return Unsupported(
        "the file has no model_config: it holds weights only; save the whole model (model.save)");
  }
  OCTET_ASSIGN_OR_RETURN(const std::string config, TextAttribute(file, "model_config"));
  if (config.size() > kMaxConfigBytes)
    return Unsupported(
        StrCat("model_config of ", config.size(), " bytes, expected at most ", kMaxConfigBytes));
  OCTET_ASSIGN_OR_RETURN(const json model, ParseJson(config, "model_config", kMaxJsonDepth));
  const Hdf5Object* group = file.root().Find("model_weights");
  if (group == nullptr) return Corrupt("the file has no group model_weights");
  const Result<std::string> version = TextAttribute(file, "keras_version");
  const std::unique_ptr<KerasWeights> weights = LegacyKerasWeights(file, *group);
  return ImportKeras(model, weights.get(), bytes.size(),
                     StrCat("keras h5", version.ok() ? Version(*version) : ""));
}

Result<Graph> ImportKerasZipBytes(std::string_view bytes) {
  const FileBytes file{std::as_bytes(std::span(bytes.data(), bytes.size())), nullptr};
  OCTET_ASSIGN_OR_RETURN(const ZipReader zip, ZipReader::Open(file, "archive"));
  const auto read = [&](const char* name, uint64_t limit) -> Result<FileBytes> {
    const ZipEntry* entry = zip.Find(name);
    if (entry == nullptr) return Corrupt(StrCat("the archive has no ", name));
    if (entry->size > limit)
      return Unsupported(StrCat(name, " of ", entry->size, " bytes, expected at most ", limit));
    return zip.Read(*entry, limit);
  };
  OCTET_ASSIGN_OR_RETURN(const FileBytes config, read("config.json", kMaxConfigBytes));
  OCTET_ASSIGN_OR_RETURN(const json model, ParseJson(config.text(), "config.json", kMaxJsonDepth));
  // Trained weights hardly compress; what claims more is a bomb.
  OCTET_ASSIGN_OR_RETURN(const FileBytes weight_bytes,
                         read("model.weights.h5", (uint64_t{64} << 20) + 8 * bytes.size()));
  OCTET_ASSIGN_OR_RETURN(const Hdf5File weights_file, Hdf5File::Read(weight_bytes.bytes));
  std::string version;
  if (zip.Find("metadata.json") != nullptr) {
    OCTET_ASSIGN_OR_RETURN(const FileBytes metadata, read("metadata.json", kMaxConfigBytes));
    OCTET_ASSIGN_OR_RETURN(const json fields,
                           ParseJson(metadata.text(), "metadata.json", kMaxJsonDepth));
    version = Version(KerasText(fields, "keras_version"));
  }
  const std::unique_ptr<KerasWeights> weights =
      NumberedKerasWeights(weights_file, weights_file.root());
  return ImportKeras(model, weights.get(), weight_bytes.bytes.size() + bytes.size(),
                     StrCat("keras zip", version));
}

Result<Graph> ImportKerasH5(const std::string& path) {
  return InFile(path, [](const FileBytes& file) { return ImportKerasH5Bytes(file.text()); });
}

Result<Graph> ImportKerasZip(const std::string& path) {
  return InFile(path, [](const FileBytes& file) { return ImportKerasZipBytes(file.text()); });
}

}  // namespace octet
