// Random Keras models of every layer, key and operation that the importer lists, in the spelling of
// Keras 2 or 3, with the answer computed as they are made.
#ifndef OCTET_TESTS_UNIT_KERAS_GENERATOR_H_
#define OCTET_TESTS_UNIT_KERAS_GENERATOR_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "converter/import/keras/import.h"
#include "converter/import/keras/weights.h"
#include "tests/unit/keras_tree.h"
#include "tests/unit/ref_tensor.h"

namespace octet::testing {

/// One model a seed.
class KerasGenerator {
 public:
  using json = nlohmann::json;
  using Dims = std::vector<int64_t>;

  KerasGenerator(uint64_t seed, bool keras3)
      : random_(seed),
        keras3_(keras3),
        zip_((Below(4) > 0) == keras3),
        modules_(zip_),
        labels_(keras3 && Below(2) == 0),
        batch_(Below(3) == 0 ? 1 + Below(3) : 0) {}

  /// Makes the model. Then `input()` and `outputs()` are what it is given and gives.
  void Make() {
    pixels_ = Below(10) == 0;
    switch (Below(8)) {
      case 0:
        input_.dims = {1, 3 + Below(14)};
        break;
      case 1:
        input_.dims = {1, 2 + Below(4), Channels()};
        break;
      default:
        input_.dims = {1, 3 + Below(6), 3 + Below(6), Below(3) == 0 ? 3 : Channels()};
    }
    for (int64_t i = 0; i < RefCount(input_.dims); ++i)
      input_.values.push_back(pixels_ ? Below(16) : (Below(33) - 16) / 8.0);
    root_ = std::make_unique<Model>();
    root_->name = Name(*root_, "net");
    root_->sequential = Below(5) == 0;
    Fill(root_.get(), {{input_, pixels_}}, 2 + Below(8));
    Write();
  }

  Result<Graph> Import() const {
    const Hdf5File file;
    const auto weights =
        zip_ ? NumberedKerasWeights(file, tree_->root()) : LegacyKerasWeights(file, tree_->root());
    return ImportKeras(model_, weights.get(), 1 << 20, "keras");
  }

  const json& model() const { return model_; }
  const RefTensor& input() const { return input_; }
  const std::vector<RefTensor>& outputs() const { return outputs_; }
  /// Where the outputs are a dictionary.
  const std::vector<std::string>& output_names() const { return output_names_; }
  /// Classes and functions that lead to the outputs.
  const std::set<std::string>& types() const { return types_; }
  /// What octet must not take, or "".
  const std::string& foreign() const { return foreign_; }
  int Below(int64_t n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }

 private:
  using Refs = std::vector<RefTensor>;
  using Function = std::function<Refs(Refs&)>;

  struct Value {
    RefTensor t;
    bool integer = false;
    int call = -1;  ///< That gives it; model inputs have none.
    int index = 0;  ///< Among the call's results, or the model's inputs.
  };
  struct Weight {
    std::string name;
    Dims dims;
    std::vector<float> values;
    bool numbered = true;  ///< Whether it is in a .keras file.
  };
  struct Model;
  struct Layer {
    std::string name;
    json object;
    std::vector<Weight> weights;
    Function run;
    std::unique_ptr<Model> model;
    bool operation = false;
    bool images = false;  ///< Takes images of other sizes, too.
    bool keeps_integers = false;
    int first_call = 0;      ///< How Keras numbers a model's calls in calls...
    int first_output = 0;    ///< ...and in the ends of the model around it.
    std::vector<Dims> dims;  ///< Of the first call's tensors.
  };
  /// What a call is given in one argument.
  struct Argument {
    std::string name;  ///< In Keras 2, behind the first.
    std::vector<int> values;
    json constant;
    bool list = false;
    std::vector<std::string> keys{};  ///< Of a dictionary.
  };
  struct Call {
    Layer* layer = nullptr;
    std::vector<Argument> arguments;
    json named = json::object();  ///< Constants by name.
    bool kept = false;
    int number = 0;  ///< Among the layer's.
  };
  struct Model {
    std::string name;
    bool sequential = false;
    Model* parent = nullptr;
    std::vector<std::unique_ptr<Layer>> layers;
    std::vector<Value> values;
    std::vector<Call> calls;
    std::vector<std::string> inputs, input_keys, output_keys;
    std::vector<int> outputs;
    std::set<std::string> names;
  };

  // ---- Random things ----

  size_t Pick(size_t n) { return random_() % n; }
  int64_t Channels() { return Below(12) == 0 ? 9 : 1 + Below(5); }
  double Number(double size = 0.5) {
    return static_cast<float>(std::normal_distribution<double>(0, size)(random_));
  }
  std::vector<float> Numbers(int64_t n, double size = 0.5) {
    std::vector<float> v(static_cast<size_t>(n));
    for (float& x : v) x = static_cast<float>(Number(size));
    return v;
  }
  template <typename T>
  const T& OneOf(const std::vector<T>& choices) {
    return choices[Pick(choices.size())];
  }
  static std::string Snake(const std::string& type) { return KerasSnakeCase(type); }

  /// The layer below the outermost model that `model` belongs to; a legacy file's group.
  static const Model* Group(const Model& model) {
    const Model* at = &model;
    while (at->parent != nullptr && at->parent->parent != nullptr) at = at->parent;
    return at->parent == nullptr ? nullptr : at;
  }
  /// What a layer of the model has in front of its weights' names in a legacy file: Keras 3 writes
  /// the Sequential models right around it, Keras 2 mostly nothing.
  std::string Prefix(const Model& model) const {
    std::string prefix;
    for (const Model* m = &model; m->parent != nullptr && (m->sequential || prefixes_);
         m = m->parent) {
      if (keras3_ || prefixes_) prefix = m->name + "/" + prefix;
    }
    return prefix;
  }
  /// A name that is free in the model, and in its part of a legacy file.
  std::string Name(Model& model, const std::string& stem) {
    const bool slash = !keras3_ && Below(8) == 0;
    for (int i = Below(2);; ++i) {
      std::string name = stem + (i == 0 ? "" : "_" + std::to_string(i));
      if (slash) name = "block" + std::to_string(i) + "/" + OneOf<std::string>({"x", stem});
      if (model.names.count(name) > 0) continue;
      const Model* group = Group(model);
      if (group != nullptr && !taken_.insert({group, Prefix(model) + name}).second) continue;
      model.names.insert(name);
      return name;
    }
  }

  // ---- Spelling ----

  json Policy() {
    const std::string name = OneOf<std::string>({"float32", "float32", "mixed_float16"});
    if (!keras3_ && name == "float32") return name;
    json policy{{"class_name", keras3_ ? "DTypePolicy" : "Policy"}, {"config", {{"name", name}}}};
    if (modules_) policy.update({{"module", "keras"}, {"registered_name", nullptr}});
    return policy;
  }

  json Object(const std::string& type, json config, const std::string& module = "keras.layers",
              json registered = nullptr) {
    json object{{"class_name", type}, {"config", std::move(config)}};
    if (modules_) {
      object["module"] = module;
      object["registered_name"] = std::move(registered);
      if (Below(2) == 0) object["build_config"] = {{"input_shape", nullptr}};
    } else if (!keras3_ && Below(4) == 0) {
      object["shared_object_id"] = Below(100);
    }
    return object;
  }

  json LayerObject(const std::string& type, const std::string& name, json config) {
    config.update({{"name", name}, {"trainable", Below(2) == 0}, {"dtype", Policy()}});
    return Object(type, std::move(config));
  }

  /// A constant as Keras writes it down.
  json Constant(RefTensor& t) {
    const json list = Nested(t, 0, 0);
    if (!keras3_ || t.dims.empty()) return list;
    return {{"class_name", OneOf<std::string>({"__numpy__", "__tensor__"})},
            {"config", {{"value", list}, {"dtype", "float32"}}}};
  }
  static json Nested(const RefTensor& t, size_t axis, size_t offset) {
    if (axis == t.dims.size()) return t.values[offset];
    json list = json::array();
    size_t inner = 1;
    for (size_t d = axis + 1; d < t.dims.size(); ++d) inner *= static_cast<size_t>(t.dims[d]);
    for (size_t i = 0; i < static_cast<size_t>(t.dims[axis]); ++i)
      list.push_back(Nested(t, axis + 1, offset + i * inner));
    return list;
  }

  // ---- Making models ----

  const Value& At(const Model& m, int value) const { return m.values[static_cast<size_t>(value)]; }

  int Any(const Model& m) {
    const int n = static_cast<int>(m.values.size());
    return m.sequential ? n - 1 : n - 1 - Below(std::min(3, n));
  }

  Layer& AddLayer(Model& m, const std::string& type, json config, Function run) {
    auto layer = std::make_unique<Layer>();
    layer->name = Name(m, Below(3) == 0 ? "x" : Snake(type));
    layer->object = LayerObject(type, layer->name, std::move(config));
    layer->run = std::move(run);
    m.layers.push_back(std::move(layer));
    return *m.layers.back();
  }

  /// Calls a layer, which gives the values that are added to the model's.
  void AddCall(Model& m, Layer& layer, std::vector<Argument> arguments,
               json named = json::object()) {
    Refs in;
    std::vector<Dims> dims;
    bool integer = layer.keeps_integers;
    for (const Argument& a : arguments) {
      for (int v : a.values) {
        in.push_back(At(m, v).t);
        dims.push_back(in.back().dims);
        integer = integer && At(m, v).integer;
      }
    }
    if (layer.dims.empty()) layer.dims = std::move(dims);
    Refs out = layer.run(in);
    for (size_t i = 0; i < out.size(); ++i) {
      m.values.push_back(
          {std::move(out[i]), integer, static_cast<int>(m.calls.size()), static_cast<int>(i)});
    }
    m.calls.push_back({&layer, std::move(arguments), std::move(named)});
  }

  /// A layer of one input and one output.
  Layer& Simple(Model& m, int x, const std::string& type, json config,
                std::function<RefTensor(RefTensor&)> run) {
    Layer& layer = AddLayer(m, type, std::move(config),
                            [run = std::move(run)](Refs& in) { return Refs{run(in[0])}; });
    AddCall(m, layer, {{"", {x}, {}}});
    return layer;
  }

  /// A bare operation: its class in Keras 3, its function in Keras 2.
  void Operation(Model& m, const std::string& type, const std::string& function,
                 std::vector<Argument> arguments, json config3, json named2, Function run) {
    auto layer = std::make_unique<Layer>();
    layer->operation = true;
    layer->run = std::move(run);
    if (keras3_) {
      layer->name = Name(m, Snake(type));
      config3["name"] = layer->name;
      static const std::set<std::string> kNn{"Relu",    "Relu6",      "Sigmoid",
                                             "Softmax", "LogSoftmax", "LeakyRelu"};
      layer->object =
          Object(type, std::move(config3),
                 kNn.count(type) > 0 ? "keras.src.ops.nn" : "keras.src.ops.numpy", type);
      layer->object.erase("build_config");
    } else {
      layer->name = Name(m, "tf." + function);
      const std::string kind =
          function == "__operators__.getitem" ? "SlicingOpLambda" : "TFOpLambda";
      layer->object = LayerObject(kind, layer->name, {{"function", function}});
      if (modules_) {
        layer->object["module"] = "tf_keras.src.layers.core.tf_op_layer";
        layer->object["registered_name"] = kind;
      }
    }
    m.layers.push_back(std::move(layer));
    AddCall(m, *m.layers.back(), std::move(arguments),
            keras3_ ? json::object() : std::move(named2));
  }
  void UnaryOperation(Model& m, int x, const std::string& type, const std::string& function,
                      const std::function<double(double)>& f) {
    json named = json::object();
    if (Below(2) == 0) named["name"] = nullptr;
    Operation(m, type, function, {{"", {x}, {}}}, json::object(), named,
              [f](Refs& in) { return Refs{RefUnary(in[0], f)}; });
  }

  /// Layers and calls from `inputs` on, and the outputs.
  void Fill(Model* m, const std::vector<Value>& inputs, int steps) {
    const bool dictionary = !m->sequential && Below(4) == 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      m->inputs.push_back(Name(*m, "input"));
      if (dictionary) m->input_keys.push_back(m->inputs.back());
      m->values.push_back({inputs[i].t, inputs[i].integer, -1, static_cast<int>(i)});
    }
    if (dictionary) {  // Keras sorts them.
      std::sort(m->inputs.begin(), m->inputs.end());
      m->input_keys = m->inputs;
    }
    for (int i = 0; i < steps || m->calls.empty(); ++i) Step(*m);
    if (m->parent == nullptr) Finish(*m);
    m->outputs = {static_cast<int>(m->values.size()) - 1};
    while (!m->sequential && m->outputs.size() < 3 && Below(3) == 0) {
      int other = Any(*m);
      if (Below(2) == 0) {  // What a model inside gives, which may be read inside, too.
        for (int v = 0; v < static_cast<int>(m->values.size()); ++v) {
          const int call = At(*m, v).call;
          if (call >= 0 && m->calls[static_cast<size_t>(call)].layer->model != nullptr) other = v;
        }
      }
      const RefTensor& y = At(*m, other).t;
      bool fits = At(*m, other).call >= 0;
      fits = fits && (m->parent != nullptr || y.dims.size() == 2 || y.dims.size() == 4);
      for (int v : m->outputs)  // One tensor is one output of the graph.
        fits = fits && (At(*m, v).t.dims != y.dims || At(*m, v).t.values != y.values);
      if (fits) m->outputs.push_back(other);
    }
    std::shuffle(m->outputs.begin(), m->outputs.end(), random_);
    const bool in_line = m->parent != nullptr && m->parent->sequential;
    if (!m->sequential && !in_line && Below(4) == 0) {
      for (const char* key : {"aux", "head", "third"}) {  // Keras sorts them.
        if (m->output_keys.size() < m->outputs.size()) m->output_keys.push_back(key);
      }
    }
    Prune(*m);
    // Keras sorts by depth; the order is of no meaning but for the names in the file.
    if (!m->sequential && Below(4) == 0) std::shuffle(m->layers.begin(), m->layers.end(), random_);
  }

  /// Keras writes down only what leads to the outputs.
  static void Prune(Model& m) {
    const std::function<void(int)> keep = [&](int value) {
      const int call = m.values[static_cast<size_t>(value)].call;
      if (call < 0 || m.calls[static_cast<size_t>(call)].kept) return;
      m.calls[static_cast<size_t>(call)].kept = true;
      for (const Argument& a : m.calls[static_cast<size_t>(call)].arguments)
        std::for_each(a.values.begin(), a.values.end(), keep);
    };
    std::for_each(m.outputs.begin(), m.outputs.end(), keep);
    std::map<const Layer*, int> numbers;
    for (Call& call : m.calls) {
      if (call.kept) call.number = numbers[call.layer]++;
    }
    std::erase_if(m.layers, [&](const auto& layer) { return numbers.count(layer.get()) == 0; });
  }

  /// The model as a function.
  static Refs Run(const Model& m, Refs& in) {
    std::vector<Refs> results(m.calls.size());
    const auto value = [&](int v) -> RefTensor& {
      const Value& from = m.values[static_cast<size_t>(v)];
      return from.call < 0
                 ? in[static_cast<size_t>(from.index)]
                 : results[static_cast<size_t>(from.call)][static_cast<size_t>(from.index)];
    };
    for (size_t i = 0; i < m.calls.size(); ++i) {
      if (!m.calls[i].kept) continue;
      Refs given;
      for (const Argument& a : m.calls[i].arguments) {
        for (int v : a.values) given.push_back(value(v));
      }
      results[i] = m.calls[i].layer->run(given);
    }
    Refs out;
    for (int v : m.outputs) out.push_back(value(v));
    return out;
  }

  void Nest(Model& m, int x) {
    auto layer = std::make_unique<Layer>();
    layer->model = std::make_unique<Model>();
    Model* inner = layer->model.get();
    inner->sequential = Below(3) == 0;
    layer->name = inner->name = Name(m, inner->sequential ? "sequential" : "model");
    inner->parent = &m;
    std::vector<int> in{x};
    if (!inner->sequential && !m.sequential && Below(3) == 0) in.push_back(Any(m));
    std::vector<Value> given;
    for (int v : in) given.push_back({At(m, v).t, At(m, v).integer});
    Fill(inner, given, 1 + Below(4));
    if (m.sequential && inner->outputs.size() > 1) return;
    layer->run = [inner](Refs& values) { return Run(*inner, values); };
    // Its outputs' kinds are known from inside; pixels stay pixels only if all do.
    layer->keeps_integers = true;
    for (int v : inner->outputs) layer->keeps_integers &= At(*inner, v).integer;
    layer->first_call = keras3_ ? 0 : old_counts_ ? 0 : 1;
    layer->first_output = keras3_ ? !inner->sequential : layer->first_call;
    m.layers.push_back(std::move(layer));
    CallModel(m, *m.layers.back(), in);
  }
  void CallModel(Model& m, Layer& layer, const std::vector<int>& in) {
    Argument a{"", in, {}};
    if (!layer.model->input_keys.empty() && Below(3) > 0) a.keys = layer.model->input_keys;
    a.list = in.size() > 1 || (keras3_ && a.keys.empty() && Below(4) == 0);
    AddCall(m, layer, {a});
  }

  /// Another call of a layer that is there.
  bool Recall(Model& m, int x) {
    if (m.layers.empty()) return false;
    size_t chosen = Pick(m.layers.size());
    for (size_t i = 0; i < m.layers.size() && Below(2) == 0; ++i) {
      if (m.layers[i]->model != nullptr) chosen = i;
    }
    Layer& layer = *m.layers[chosen];
    if (layer.operation) return false;
    const Value& v = At(m, x);
    Dims same = layer.dims[0];
    bool fits = same.size() == v.t.dims.size() && same.back() == v.t.dims.back();
    for (size_t d = 0; fits && d < same.size(); ++d)
      fits = layer.images ? v.t.dims[d] >= same[d] && v.t.dims[d] < 12 : v.t.dims[d] == same[d];
    if (!fits || (v.integer && !layer.keeps_integers)) return false;
    std::vector<int> in{x};
    for (size_t i = 1; i < layer.dims.size(); ++i) {
      for (int n = 0; in.size() == i && n < 4; ++n) {
        const int other = Any(m);
        if (At(m, other).t.dims == layer.dims[i] && !At(m, other).integer) in.push_back(other);
      }
      if (in.size() == i) return false;
    }
    if (v.integer && (in.size() > 1 || layer.model != nullptr)) return false;
    if (layer.model != nullptr) {
      // A model's layers read pixels and floats alike only where none computes.
      CallModel(m, layer, in);
    } else {
      AddCall(m, layer, {{"", in, {}, in.size() > 1}});
    }
    return true;
  }

  static int Depth(const Model& m) { return m.parent == nullptr ? 0 : 1 + Depth(*m.parent); }

  // ---- Steps ----

  void Step(Model& m) {
    const int x = Any(m);
    const Value& v = At(m, x);
    const size_t rank = v.t.dims.size();
    const bool image = rank == 4, many = !m.sequential, big = RefCount(v.t.dims) > 1500;
    if (v.integer && Below(4) > 0) return Rescaling(m, x);
    if (Below(8) == 0 && many && Recall(m, x)) return;
    if (Below(9) == 0 && Depth(m) < 2) return Nest(m, x);
    if (big && image) return GlobalPool(m, x);
    switch (Below(30)) {
      case 0:
      case 1:
      case 2:
        return image && !v.integer ? Convolution(m, x) : rank >= 2 ? Dense(m, x) : void();
      case 3:
      case 4:
        return rank >= 2 ? Dense(m, x) : void();
      case 5:
      case 6:
        return v.integer || rank < 2 ? void() : BatchNormalization(m, x);
      case 7:
      case 8:
        return v.integer ? void() : Activation(m, x);
      case 9:
        return image ? Pad(m, x) : void();
      case 10:
      case 11:
        return image ? Pool(m, x) : void();
      case 12:
        return image ? GlobalPool(m, x) : void();
      case 13:
      case 14:
      case 15:
        return many && !v.integer ? Merge(m, x) : void();
      case 16:
        return many ? Concatenate(m, x) : void();
      case 17:
      case 18:
        return Reshape(m, x);
      case 19:
        return Rescaling(m, x);
      case 20:
        return Nothing(m, x);
      case 21:
      case 22:
      case 23:
        return many && !v.integer ? ConstantOperation(m, x) : void();
      case 24:
        return many && !v.integer ? ElementOperation(m, x) : void();
      case 25:
        return many && image && !v.integer ? ReduceOperation(m, x) : void();
      case 26:
        return many ? ShapeOperation(m, x) : void();
      case 27:
      case 28:
        return many ? GetItem(m, x) : void();
      default:
        return many ? Stack(m, x) : void();
    }
  }

  /// Ends in a vector or an image.
  void Finish(Model& m) {
    int x = static_cast<int>(m.values.size()) - 1;
    if (At(m, x).integer) Rescaling(m, x++);
    const size_t rank = At(m, x).t.dims.size();
    if ((rank != 2 && rank != 4) || (rank == 4 && Below(2) == 0)) {
      Flatten(m, x++);
      if (Below(2) == 0 && At(m, x).t.dims[1] < 400) Dense(m, x++);
    }
    if (At(m, x).call < 0) Activation(m, x);
  }

  // -- Activations --

  static std::function<double(double)> Leaky(double slope, double max = HUGE_VAL) {
    return [=](double v) { return v < 0 ? slope * v : std::min(v, max); };
  }
  static std::function<double(double)> Element(const std::string& name) {
    if (name == "relu") return [](double v) { return std::max(v, 0.0); };
    if (name == "relu6") return [](double v) { return std::clamp(v, 0.0, 6.0); };
    if (name == "sigmoid") return [](double v) { return 1 / (1 + std::exp(-v)); };
    if (name == "tanh") return [](double v) { return std::tanh(v); };
    if (name == "leaky_relu") return Leaky(0.2);
    return [](double v) { return v; };
  }
  static RefTensor Softmax(RefTensor& x, bool log) {
    // Moved to the largest, as everybody does, and without a logarithm of 0.
    RefTensor largest = RefReduce(x, {static_cast<int64_t>(x.dims.size()) - 1}, true, -HUGE_VAL,
                                  [](double a, double b) { return std::max(a, b); });
    RefTensor moved = RefBinary(x, largest, std::minus<>());
    if (!log) return RefSoftmax(moved);
    RefTensor sums = RefUnary(moved, [](double v) { return std::exp(v); });
    sums = RefReduce(sums, {static_cast<int64_t>(x.dims.size()) - 1}, true, 0, std::plus<>());
    sums = RefUnary(sums, [](double v) { return std::log(v); });
    return RefBinary(moved, sums, std::minus<>());
  }
  static RefTensor Activated(RefTensor x, const std::string& name) {
    if (name == "softmax" || name == "log_softmax") return Softmax(x, name == "log_softmax");
    return name == "linear" ? x : RefUnary(x, Element(name));
  }

  using Activate = std::function<RefTensor(RefTensor)>;
  /// An activation as a layer's key: a name, nothing, or a layer's object.
  Activate DrawActivation(json* spelled) {
    if (Below(3) == 0) {
      *spelled = Below(4) == 0 ? json() : json("linear");
      return [](RefTensor x) { return x; };
    }
    if (Below(5) == 0) {
      if (Below(3) == 0) {
        *spelled = LayerObject("Softmax", "act", {{"axis", -1}});
        return [](RefTensor x) { return Softmax(x, false); };
      }
      const double max = ReLULimit(), slope = std::fabs(Slope());
      *spelled = LayerObject("ReLU", "act", ReLUConfig(max, slope));
      return [=](RefTensor x) { return RefUnary(x, Leaky(slope, max)); };
    }
    const std::string name = OneOf<std::string>({"relu", "relu", "relu", "relu6", "sigmoid", "tanh",
                                                 "softmax", "log_softmax", "leaky_relu"});
    *spelled = name;
    return [name](RefTensor x) { return Activated(std::move(x), name); };
  }
  double ReLULimit() { return OneOf<double>({HUGE_VAL, HUGE_VAL, 6.0, 1.0, 0.75, 0.0}); }
  double Slope() { return OneOf<double>({0.0, 0.0, 0.0, 0.25, 1.0, -0.5}); }
  json ReLUConfig(double max, double slope) {
    json limit = max == HUGE_VAL ? json() : json(max);
    if (!keras3_ && max != HUGE_VAL && Below(3) == 0)
      limit = {{"class_name", "__numpy__"}, {"type", "ndarray"}, {"value", max}};
    return {{"max_value", limit}, {"negative_slope", slope}, {"threshold", 0.0}};
  }

  void Activation(Model& m, int x) {
    const bool soft = At(m, x).t.dims.size() >= 2;
    const json last = Axis(At(m, x).t, -1);
    switch (Below(4)) {
      case 0: {
        const double max = ReLULimit(), slope = std::fabs(Slope());
        const auto run = [](const std::function<double(double)>& f) {
          return [f](RefTensor& t) { return RefUnary(t, f); };
        };
        if (Below(3) > 0)
          Simple(m, x, "ReLU", ReLUConfig(max, slope), run(Leaky(slope, max)));
        else
          Simple(m, x, "LeakyReLU", {{keras3_ ? "negative_slope" : "alpha", slope}},
                 run(Leaky(slope)));
        return;
      }
      case 1:
        if (!soft) return;
        Simple(m, x, "Softmax", {{"axis", last}}, [](RefTensor& t) { return Softmax(t, false); });
        return;
      default: {
        json spelled;
        const Activate f = DrawActivation(&spelled);
        Simple(m, x, "Activation", {{"activation", spelled}}, [f](RefTensor& t) { return f(t); });
      }
    }
  }

  /// An axis of `t`, counted from either end.
  json Axis(const RefTensor& t, int64_t axis) {
    const int64_t rank = static_cast<int64_t>(t.dims.size());
    if (axis < 0) axis += rank;
    return Below(2) == 0 ? axis : axis - rank;
  }

  // -- Layers with weights --

  void Give(Layer& layer, const std::string& name, Dims dims, std::vector<float> values,
            bool numbered = true) {
    layer.weights.push_back({name, std::move(dims), std::move(values), numbered});
  }
  static RefTensor Ref(const Dims& dims, const std::vector<float>& values) {
    return {dims, {values.begin(), values.end()}};
  }

  struct Window {
    Dims kernel{1, 1}, stride{1, 1}, dilation{1, 1};
    bool same = false;
    RefAxis Of(const RefTensor& x, size_t d) const {
      return RefAxis::Of(x.dims[d + 1], kernel[d], stride[d], dilation[d], same);
    }
  };
  Window DrawWindow(const RefTensor& x, bool dilated) {
    Window w;
    w.same = Below(2) == 0;
    for (size_t d = 0; d < 2; ++d) {
      w.kernel[d] = 1 + Below(w.same ? 3 : std::min<int64_t>(3, x.dims[d + 1]));
      w.stride[d] = Below(2) == 0 ? 1 : 1 + Below(3);
    }
    if (dilated && Below(4) == 0) {  // Keras has no strides with it.
      w.stride = {1, 1};
      for (size_t d = 0; d < 2; ++d) {
        w.dilation[d] = 1 + Below(3);
        if (!w.same && (w.kernel[d] - 1) * w.dilation[d] >= x.dims[d + 1]) w.dilation[d] = 1;
      }
    }
    return w;
  }
  json WindowConfig(const Window& w, bool convolution) {
    json config{{"strides", w.stride},
                {"padding", w.same ? "same" : "valid"},
                {"data_format", "channels_last"}};
    config[convolution ? "kernel_size" : "pool_size"] = w.kernel;
    if (convolution) config["dilation_rate"] = w.dilation;
    return config;
  }

  /// The kernel as the model computes with it: with what LoRA adds to it.
  std::vector<float> GiveKernel(Layer& layer, const Dims& dims, json* config) {
    std::vector<float> kernel =
        Numbers(RefCount(dims), 1.0 / std::sqrt(RefCount(dims) / static_cast<double>(dims.back())));
    if (!keras3_ || Below(12) > 0) {
      Give(layer, "kernel", dims, kernel);
      return kernel;
    }
    const int64_t rank = 1 + Below(2);
    Dims a_dims = dims;
    a_dims.back() = rank;
    std::vector<float> a = Numbers(RefCount(a_dims)), b = Numbers(rank * dims.back()), sum = kernel;
    const double alpha = Below(2) == 0 ? rank : 3;
    (*config)["lora_rank"] = rank;
    if (alpha != rank || Below(2) == 0) (*config)["lora_alpha"] = alpha;
    for (size_t i = 0; i < sum.size(); ++i) {
      const size_t columns = static_cast<size_t>(dims.back()), r = static_cast<size_t>(rank);
      double add = 0;
      for (size_t k = 0; k < r; ++k)
        add += static_cast<double>(a[i / columns * r + k]) * b[k * columns + i % columns];
      sum[i] = static_cast<float>(sum[i] + alpha / static_cast<double>(rank) * add);
    }
    Give(layer, "kernel", dims, zip_ ? sum : kernel);
    Give(layer, "lora_kernel_a", a_dims, a, false);
    Give(layer, "lora_kernel_b", {rank, dims.back()}, b, false);
    return sum;
  }

  void Convolution(Model& m, int x) {
    const RefTensor& t = At(m, x).t;
    const Window w = DrawWindow(t, true);
    const int64_t in = t.dims[3];
    const bool bias = Below(2) == 0;
    const int kind = Below(4);
    json config = WindowConfig(w, true), activation;
    const Activate f = DrawActivation(&activation);
    config.update({{"use_bias", bias}, {"activation", activation}});
    int64_t groups = 1, out = Channels();
    const int64_t multiplier = 1 + Below(std::max<int64_t>(1, 8 / in) > 2 ? 3 : 1);
    if (kind < 2) {
      if (Below(3) == 0) {
        groups = in;
        if (in % 2 == 0 && Below(2) == 0) groups = 2;
        out = groups * (1 + Below(2));
      }
      config.update({{"filters", out}, {"groups", groups}});
    } else {
      config["depth_multiplier"] = multiplier;
      if (!keras3_) config["groups"] = 1;
      if (kind == 3) config["filters"] = out;
      if (kind == 2) out = in * multiplier;
    }
    Layer& layer = AddLayer(m,
                            kind < 2    ? "Conv2D"
                            : kind == 2 ? "DepthwiseConv2D"
                                        : "SeparableConv2D",
                            std::move(config), {});
    json& written = layer.object["config"];
    RefTensor kernel, point;
    if (kind < 2) {
      const Dims dims{w.kernel[0], w.kernel[1], in / groups, out};
      kernel = Ref(dims, GiveKernel(layer, dims, &written));
    } else {
      const Dims dims{w.kernel[0], w.kernel[1], in, multiplier};
      kernel = Ref(dims, Numbers(RefCount(dims)));
      Give(layer, kind == 3 || !keras3_ ? "depthwise_kernel" : "kernel", dims,
           {kernel.values.begin(), kernel.values.end()});
    }
    if (kind == 3) {
      const Dims dims{1, 1, in * multiplier, out};
      point = Ref(dims, Numbers(RefCount(dims)));
      Give(layer, "pointwise_kernel", dims, {point.values.begin(), point.values.end()});
    }
    RefTensor b{{out}, std::vector<double>(static_cast<size_t>(out), 0.0)};
    if (bias) {
      b = Ref({out}, Numbers(out));
      Give(layer, "bias", {out}, {b.values.begin(), b.values.end()});
    }
    layer.images = true;
    layer.run = [=](Refs& values) mutable {
      RefTensor y =
          kind < 2 ? RefConv(values[0], kernel, w.Of(values[0], 0), w.Of(values[0], 1))
                   : RefDepthwiseConv(values[0], kernel, w.Of(values[0], 0), w.Of(values[0], 1));
      if (kind == 3) {
        const RefAxis rows = RefAxis::Of(y.dims[1], 1, 1, 1, false),
                      cols = RefAxis::Of(y.dims[2], 1, 1, 1, false);
        y = RefConv(y, point, rows, cols);
      }
      return Refs{f(RefBinary(y, b, std::plus<>()))};
    };
    AddCall(m, layer, {{"", {x}, {}}});
  }

  void Dense(Model& m, int x) {
    const int64_t in = At(m, x).t.dims.back(), out = Channels();
    if (in > 400) return Flatten(m, x);
    const bool bias = Below(2) == 0;
    json activation;
    const Activate f = DrawActivation(&activation);
    Layer& layer =
        AddLayer(m, "Dense", {{"units", out}, {"use_bias", bias}, {"activation", activation}}, {});
    if (keras3_) layer.object["config"]["quantization_config"] = nullptr;
    RefTensor kernel = Ref({in, out}, GiveKernel(layer, {in, out}, &layer.object["config"]));
    RefTensor b{{1}, {0.0}};
    if (bias) {
      b = Ref({out}, Numbers(out));
      Give(layer, "bias", {out}, {b.values.begin(), b.values.end()});
    }
    layer.images = At(m, x).t.dims.size() > 2;
    layer.run = [=](Refs& values) mutable {
      RefTensor y = RefMatMul(values[0], kernel);
      return Refs{f(RefBinary(y, b, std::plus<>()))};
    };
    AddCall(m, layer, {{"", {x}, {}}});
  }

  void BatchNormalization(Model& m, int x) {
    const RefTensor& t = At(m, x).t;
    const int64_t n = t.dims.back();
    const bool scale = Below(3) > 0, center = Below(3) > 0;
    const double epsilon = OneOf<double>({1e-3, 1e-5, 0.01, 1.001e-5});
    json axis = Axis(t, -1);
    if (!keras3_ && Below(4) > 0) axis = json::array({t.dims.size() - 1});
    json config{{"axis", axis},
                {"momentum", 0.99},
                {"epsilon", epsilon},
                {"center", center},
                {"scale", scale}};
    if (keras3_) config["synchronized"] = false;
    Layer& layer = AddLayer(m, "BatchNormalization", config, {});
    std::vector<float> gamma(static_cast<size_t>(n), 1.0f), beta(static_cast<size_t>(n), 0.0f);
    if (scale) Give(layer, "gamma", {n}, gamma = Numbers(n));
    if (center) Give(layer, "beta", {n}, beta = Numbers(n));
    const std::vector<float> mean = Numbers(n);
    std::vector<float> variance = Numbers(n);
    for (float& v : variance) v = v * v + 0.1f;
    Give(layer, "moving_mean", {n}, mean);
    Give(layer, "moving_variance", {n}, variance);
    layer.images = true;
    layer.run = [=](Refs& values) {
      RefTensor y = values[0];
      for (size_t i = 0; i < y.values.size(); ++i) {
        const size_t c = i % mean.size();
        y.values[i] =
            (y.values[i] - mean[c]) / std::sqrt(variance[c] + epsilon) * gamma[c] + beta[c];
      }
      return Refs{y};
    };
    AddCall(m, layer, {{"", {x}, {}}});
  }

  // -- Pixels --

  void Rescaling(Model& m, int x) {
    const RefTensor& t = At(m, x).t;
    const int64_t n = t.dims.back(), rank = static_cast<int64_t>(t.dims.size());
    const auto numbers = [&](bool positive) {
      const Dims dims = OneOf<Dims>({{}, {n}, {}, {n}, {1}});
      RefTensor v = Ref(dims, Numbers(RefCount(dims)));
      if (positive)
        v = RefUnary(
            v, [](double d) { return static_cast<double>(static_cast<float>(d * d + 0.05)); });
      return v;
    };
    if (Below(2) == 0 && rank >= 2) {
      RefTensor scale = numbers(Below(2) == 0), shift = numbers(false);
      if (pixels_) scale = {{}, {static_cast<double>(1 / 127.5f)}};
      Layer& layer = Simple(m, x, "Rescaling",
                            {{"scale", Nested(scale, 0, 0)}, {"offset", Nested(shift, 0, 0)}},
                            [=](RefTensor& v) mutable {
                              RefTensor y = RefBinary(v, scale, std::multiplies<>());
                              return RefBinary(y, shift, std::plus<>());
                            });
      layer.images = true;
      return;
    }
    const bool invert = Below(4) == 0, adapted = Below(2) == 0;
    // One value for everything, for each channel, or along an axis of one.
    std::set<int64_t> axes;
    if (Below(3) > 0) axes.insert(rank - 1);
    if (rank > 2 && (t.dims[1] == 1 ? Below(2) : Below(20)) == 0) axes.insert(1);
    json spelled = json::array();
    Dims kept, broadcast(t.dims.size(), 1);
    for (int64_t a : axes) {
      spelled.push_back(keras3_ ? json(a) : Axis(t, a));
      kept.push_back(t.dims[static_cast<size_t>(a)]);
      broadcast[static_cast<size_t>(a)] = kept.back();
    }
    RefTensor mean = Ref(kept, Numbers(RefCount(kept)));
    RefTensor variance = Ref(kept, Numbers(RefCount(kept)));
    for (double& v : variance.values) v = static_cast<double>(static_cast<float>(v * v + 0.05));
    json config{{"axis", spelled}, {"invert", invert}, {"mean", nullptr}, {"variance", nullptr}};
    if (!adapted) {
      if (Below(4) == 0) mean = {{}, {Number()}}, variance = {{}, {0.5}};
      config["mean"] = Nested(mean, 0, 0);
      config["variance"] = Nested(variance, 0, 0);
    }
    Layer& layer = AddLayer(m, "Normalization", config, {});
    if (adapted) {
      Give(layer, "mean", kept, {mean.values.begin(), mean.values.end()});
      Give(layer, "variance", kept, {variance.values.begin(), variance.values.end()});
      Give(layer, "count", {}, {7.0f});
    }
    if (mean.dims.size() == kept.size() && !kept.empty()) mean.dims = variance.dims = broadcast;
    RefTensor spread = RefUnary(variance, [](double v) { return std::max(std::sqrt(v), 1e-7); });
    layer.images = axes.count(1) == 0;
    layer.run = [=](Refs& values) mutable {
      if (invert) {
        RefTensor y = RefBinary(values[0], spread, std::multiplies<>());
        return Refs{RefBinary(y, mean, std::plus<>())};
      }
      RefTensor y = RefBinary(values[0], mean, std::minus<>());
      return Refs{RefBinary(y, spread, std::divides<>())};
    };
    AddCall(m, layer, {{"", {x}, {}}});
  }

  /// Layers that do nothing at inference.
  void Nothing(Model& m, int x) {
    const RefTensor& t = At(m, x).t;
    const std::string type = OneOf<std::string>(
        {"Dropout", "Dropout", "SpatialDropout2D", "GaussianDropout", "AlphaDropout",
         "GaussianNoise", "ActivityRegularization", "RandomFlip", "RandomRotation", "RandomZoom",
         "RandomTranslation", "RandomContrast", "RandomBrightness", "Resizing", "RandomHeight",
         "RandomWidth", "Activation", "Identity"});
    const bool random = type.find("Random") == 0, resizing = type == "Resizing";
    if ((random || resizing || type == "SpatialDropout2D") && t.dims.size() != 4) return;
    if (type == "Activation" && At(m, x).integer) return;
    if (keras3_ && (type == "RandomHeight" || type == "RandomWidth")) return;
    json config{{"seed", nullptr}}, named = json::object();
    if (type.find("Dropout") != std::string::npos) config["rate"] = 0.25;
    if (type == "Dropout") config["noise_shape"] = nullptr;
    if (type == "GaussianNoise") config["stddev"] = 0.5;
    if (type == "ActivityRegularization") config = {{"l1", 0.5}, {"l2", 0.0}};
    if (type == "RandomFlip") config["mode"] = "horizontal_and_vertical";
    if (type == "Activation") config = {{"activation", "linear"}};
    if (type == "Identity") config = json::object();
    if (random && type != "RandomFlip" && type != "RandomTranslation")
      config["factor"] = {-0.5, 0.5};
    if (resizing) {
      config = {{"height", t.dims[1]},
                {"width", t.dims[2]},
                {"interpolation", "bilinear"},
                {"crop_to_aspect_ratio", Below(4) == 0}};
      if (keras3_)
        config.update({{"data_format", "channels_last"}, {"pad_to_aspect_ratio", false}});
    }
    if (config.contains("seed") || resizing) {
      if (keras3_ && Below(2) == 0) named["training"] = random || resizing;
      if (!keras3_ && Below(4) == 0) named["training"] = OneOf<json>({nullptr, false});
    }
    Layer& layer = AddLayer(m, type, config, [](Refs& in) { return in; });
    layer.keeps_integers = !resizing;
    layer.images = !resizing;
    if (type == "Dropout" && keras3_) Give(layer, "seed_generator_state", {2}, {1, 2});
    AddCall(m, layer, {{"", {x}, {}}}, named);
  }

  // -- Windows and edges --

  void Pad(Model& m, int x) {
    const RefTensor& t = At(m, x).t;
    const bool crop = Below(2) == 0;
    int64_t p[4];
    for (int64_t& v : p) v = Below(3);
    if (Below(3) == 0) p[1] = p[2] = p[3] = p[0];
    if (crop && (p[0] + p[1] >= t.dims[1] || p[2] + p[3] >= t.dims[2])) return;
    json spelled{{p[0], p[1]}, {p[2], p[3]}};
    if (p[0] == p[1] && p[2] == p[3] && Below(3) == 0) spelled = {p[0], p[2]};
    if (p[0] == p[1] && p[2] == p[3] && p[0] == p[2] && Below(3) == 0) spelled = p[0];
    const Dims front{0, p[0], p[2], 0}, behind{0, p[1], p[3], 0};
    Layer& layer =
        Simple(m, x, crop ? "Cropping2D" : "ZeroPadding2D",
               {{crop ? "cropping" : "padding", spelled}, {"data_format", "channels_last"}},
               [=](RefTensor& v) {
                 if (!crop) return RefPad(v, front, behind, 0.0);
                 RefTensor y = RefTake(v, 1, front[1], 1, v.dims[1] - front[1] - behind[1]);
                 return RefTake(y, 2, front[2], 1, v.dims[2] - front[2] - behind[2]);
               });
    layer.keeps_integers = layer.images = true;
    m.values.back().integer = At(m, x).integer;
  }

  void Pool(Model& m, int x) {
    const bool average = Below(2) == 0 && !At(m, x).integer;
    Window w = DrawWindow(At(m, x).t, false);
    if (Below(2) == 0) w.stride = w.kernel;
    json config = WindowConfig(w, false);
    if (w.stride == w.kernel && Below(4) == 0) config["strides"] = nullptr;
    Layer& layer =
        Simple(m, x, average ? "AveragePooling2D" : "MaxPooling2D", config,
               [=](RefTensor& v) { return RefPool(v, w.Of(v, 0), w.Of(v, 1), average); });
    layer.keeps_integers = !average;
    layer.images = true;
    m.values.back().integer = At(m, x).integer;
  }

  static RefTensor Reduced(RefTensor& x, const Dims& axes, bool keep, bool mean) {
    const double n = static_cast<double>(x.dims[1] * x.dims[2]);
    if (mean)
      return RefUnary(RefReduce(x, axes, keep, 0, std::plus<>()), [=](double v) { return v / n; });
    return RefReduce(x, axes, keep, -HUGE_VAL, [](double a, double b) { return std::max(a, b); });
  }

  void GlobalPool(Model& m, int x) {
    const bool mean = Below(2) == 0 && !At(m, x).integer, keep = Below(2) == 0;
    json config{{"data_format", "channels_last"}};
    if (keep || Below(2) == 0) config["keepdims"] = keep;
    Layer& layer = Simple(m, x, mean ? "GlobalAveragePooling2D" : "GlobalMaxPooling2D", config,
                          [=](RefTensor& v) {
                            return Reduced(v, {1, 2}, keep, mean);
                          });
    layer.keeps_integers = !mean;
    layer.images = true;
    m.values.back().integer = At(m, x).integer;
  }

  // -- Several values --

  /// Values of the shape of `x`, which is the first of them.
  std::vector<int> Alike(const Model& m, int x, size_t most) {
    std::vector<int> found{x};
    for (int v = static_cast<int>(m.values.size()) - 1; v >= 0 && found.size() < most; --v) {
      if (v != x && At(m, v).t.dims == At(m, x).t.dims && !At(m, v).integer) found.push_back(v);
    }
    if (found.size() == 1) found.push_back(x);
    if (Below(2) == 0) std::reverse(found.begin(), found.end());
    return found;
  }
  static Function Folded(const std::string& op, bool average = false) {
    return [=](Refs& in) {
      RefTensor y = in[0];
      for (size_t i = 1; i < in.size(); ++i) {
        y = RefBinary(y, in[i], [&](double a, double b) {
          return op == "Subtract" ? a - b : op == "Multiply" ? a * b : a + b;
        });
      }
      const double n = average ? static_cast<double>(in.size()) : 1;
      return Refs{RefUnary(y, [&](double v) { return v / n; })};
    };
  }

  void Merge(Model& m, int x) {
    const std::string type = OneOf<std::string>({"Add", "Add", "Subtract", "Multiply", "Average"});
    std::vector<int> in = Alike(m, x, type == "Subtract" || Below(2) == 0 ? 2 : 3);
    if (Below(10) == 0) {  // What Keras broadcasts, octet refuses.
      for (size_t v = 0; v < m.values.size(); ++v) {
        const RefTensor &a = At(m, x).t, &b = m.values[v].t;
        bool fits = a.dims.size() == b.dims.size() && !m.values[v].integer;
        for (size_t d = 0; fits && d < a.dims.size(); ++d)
          fits = a.dims[d] == b.dims[d] || b.dims[d] == 1;
        if (fits) in = {x, static_cast<int>(v)};
      }
    }
    const Function f = Folded(type, type == "Average");
    if (in.size() == 2 && type != "Average" && Below(2) == 0) {
      static const std::map<std::string, std::vector<std::string>> kFunctions{
          {"Add", {"__operators__.add", "math.add"}},
          {"Subtract", {"math.subtract"}},
          {"Multiply", {"math.multiply"}}};
      return Operation(m, type, OneOf(kFunctions.at(type)), {{"", {in[0]}, {}}, {"y", {in[1]}, {}}},
                       json::object(), json::object(), f);
    }
    AddCall(m, AddLayer(m, type, json::object(), f), {{"", in, {}, true}});
  }

  void Concatenate(Model& m, int x) {
    const RefTensor& t = At(m, x).t;
    const size_t rank = t.dims.size();
    if (rank < 2) return;
    const size_t axis = Below(2) == 0 ? rank - 1 : 1 + Pick(rank - 1);
    std::vector<int> in{x};
    for (int v = static_cast<int>(m.values.size()) - 1; v >= 0 && in.size() < 3; --v) {
      Dims other = At(m, v).t.dims;
      if (other.size() == rank) other[axis] = t.dims[axis];
      if (other == t.dims && At(m, v).integer == At(m, x).integer && Below(2) == 0) in.push_back(v);
    }
    if (in.size() == 1) in.push_back(x);
    if (Below(2) == 0) std::reverse(in.begin(), in.end());
    const Function f = [=](Refs& values) { return Refs{RefConcat(values, axis)}; };
    const json spelled = Axis(t, static_cast<int64_t>(axis));
    if (Below(3) == 0) {
      Operation(m, "Concatenate", "concat", {{"", in, {}, true}}, {{"axis", spelled}},
                {{"axis", spelled}}, f);
    } else {
      AddCall(m, AddLayer(m, "Concatenate", {{"axis", spelled}}, f), {{"", in, {}, true}});
    }
    m.values.back().integer = At(m, x).integer;
  }

  void Stack(Model& m, int x) {
    const RefTensor& t = At(m, x).t;
    if (t.dims.size() > (Below(8) == 0 ? 4 : 3) || At(m, x).integer) return;
    const std::vector<int> in = Alike(m, x, 2 + static_cast<size_t>(Below(2)));
    const size_t rank = t.dims.size() + 1;
    const size_t axis = 1 + Pick(rank - 1);
    const json spelled =
        Below(2) == 0 ? json(axis) : json(static_cast<int64_t>(axis) - static_cast<int64_t>(rank));
    Operation(m, "Stack", "stack", {{"", in, {}, true}}, {{"axis", spelled}}, {{"axis", spelled}},
              [=](Refs& values) {
                for (RefTensor& v : values)
                  v.dims.insert(v.dims.begin() + static_cast<int64_t>(axis), 1);
                return Refs{RefConcat(values, axis)};
              });
  }

  // -- Shapes --

  static std::function<RefTensor(RefTensor&)> Shaped(const Dims& dims) {
    return [=](RefTensor& v) { return RefTensor{dims, v.values}; };
  }
  void Flatten(Model& m, int x) {
    Layer& layer = Simple(m, x, "Flatten", {{"data_format", "channels_last"}},
                          Shaped({1, RefCount(At(m, x).t.dims)}));
    layer.keeps_integers = true;
    m.values.back().integer = At(m, x).integer;
  }

  /// Some shape of as many elements, with one of its dimensions perhaps spelled -1.
  Dims DrawShape(const RefTensor& t, Dims* spelled) {
    int64_t rest = RefCount(t.dims);
    Dims dims{1};
    for (int parts = Below(4); parts > 0; --parts) {
      Dims divisors;
      for (int64_t d = 1; d <= rest; ++d) {
        if (rest % d == 0) divisors.push_back(d);
      }
      dims.push_back(OneOf(divisors));
      rest /= dims.back();
    }
    dims.push_back(rest);
    if (Below(4) == 0) std::reverse(dims.begin() + 1, dims.end());
    *spelled = {dims.begin() + 1, dims.end()};
    if (Below(2) == 0) (*spelled)[Pick(spelled->size())] = -1;
    return dims;
  }

  std::vector<int64_t> DrawOrder(size_t rank) {
    std::vector<int64_t> perm(rank);
    for (size_t i = 0; i < rank; ++i) perm[i] = static_cast<int64_t>(i);
    std::shuffle(perm.begin() + 1, perm.end(), random_);
    if (rank == 4 && Below(2) == 0) perm = OneOf<Dims>({{0, 3, 1, 2}, {0, 2, 3, 1}});
    return perm;
  }

  void Reshape(Model& m, int x) {
    const RefTensor& t = At(m, x).t;
    const int kind = Below(3);
    if (kind == 0) return Flatten(m, x);
    Layer* layer = nullptr;
    if (kind == 1) {
      Dims spelled;
      const Dims dims = DrawShape(t, &spelled);
      layer = &Simple(m, x, "Reshape", {{"target_shape", spelled}}, Shaped(dims));
    } else {
      const std::vector<int64_t> perm = DrawOrder(t.dims.size());
      layer = &Simple(m, x, "Permute", {{"dims", Dims(perm.begin() + 1, perm.end())}},
                      [=](RefTensor& v) { return RefTransposed(v, perm); });
    }
    layer->keeps_integers = true;
    m.values.back().integer = At(m, x).integer;
  }

  void ShapeOperation(Model& m, int x) {
    const RefTensor& t = At(m, x).t;
    const size_t rank = t.dims.size();
    const bool integer = At(m, x).integer;
    const auto give = [&](const std::string& type, const std::string& function, json config,
                          json named, std::function<RefTensor(RefTensor&)> f) {
      Operation(m, type, function, {{"", {x}, {}}}, std::move(config), std::move(named),
                [f = std::move(f)](Refs& in) { return Refs{f(in[0])}; });
      m.values.back().integer = integer;
    };
    switch (Below(4)) {
      case 0: {
        Dims spelled;
        const Dims dims = DrawShape(t, &spelled);
        const bool open = std::count(spelled.begin(), spelled.end(), -1) > 0;
        spelled.insert(spelled.begin(), batch_ > 0 && (open || Below(2) == 0) ? batch_ : -1);
        if (std::count(spelled.begin(), spelled.end(), -1) > 1) return;
        return give("Reshape", "reshape", {{"newshape", spelled}}, {{"shape", spelled}},
                    Shaped(dims));
      }
      case 1: {
        if (rank > 4) return;
        const int64_t at = 1 + Below(static_cast<int64_t>(rank));
        Dims dims = t.dims;
        dims.insert(dims.begin() + at, 1);
        const json axis = Below(2) == 0 ? at : at - static_cast<int64_t>(rank) - 1;
        return give("ExpandDims", "expand_dims", {{"axis", axis}}, {{"axis", axis}}, Shaped(dims));
      }
      case 2: {
        std::vector<int64_t> ones;
        for (size_t d = 1; d < rank; ++d) {
          if (t.dims[d] == 1) ones.push_back(static_cast<int64_t>(d));
        }
        if (ones.empty() || rank < 3) return;
        std::shuffle(ones.begin(), ones.end(), random_);
        if (Below(2) == 0) ones = {ones[0]};
        json axes = json::array();
        Dims dims;
        for (int64_t a : ones) axes.push_back(Axis(t, a));
        for (size_t d = 0; d < rank; ++d) {
          if (std::count(ones.begin(), ones.end(), static_cast<int64_t>(d)) == 0)
            dims.push_back(t.dims[d]);
        }
        if (dims.size() < 2) return;
        if (axes.size() == 1 && Below(2) == 0) axes = json(axes[0]);
        return give("Squeeze", OneOf<std::string>({"squeeze", "compat.v1.squeeze"}),
                    {{"axis", axes}}, {{"axis", axes}}, Shaped(dims));
      }
      default: {
        const std::vector<int64_t> perm = DrawOrder(rank);
        json named{{"perm", perm}};
        if (Below(2) == 0) named.update({{"name", "transpose"}, {"conjugate", false}});
        return give("Transpose", OneOf<std::string>({"transpose", "compat.v1.transpose"}),
                    {{"axes", perm}}, named, [=](RefTensor& v) { return RefTransposed(v, perm); });
      }
    }
  }

  void GetItem(Model& m, int x) {
    const Value& v = At(m, x);
    const Dims& dims = v.t.dims;
    struct Take {
      size_t axis;
      int64_t begin, step, count;
    };
    const auto slice = [&](json start, json stop, json step) {
      json fields{
          {"start", std::move(start)}, {"stop", std::move(stop)}, {"step", std::move(step)}};
      return keras3_ ? json{{"class_name", "__slice__"}, {"config", fields}} : fields;
    };
    json ellipsis{{"class_name", "__ellipsis__"}};
    if (keras3_) ellipsis["config"] = json::object();
    json key = json::array();
    std::vector<Take> takes;
    Dims out;
    // Whole dimensions at the front may hide behind an ellipsis, those at the end be left out.
    const size_t rank = dims.size();
    size_t first = 0, last = rank;
    if (Below(3) == 0) first = 1 + Pick(rank - 1);
    if (first == 0 && Below(3) == 0) last = 1 + Pick(rank - 1);
    if (first > 0) key.push_back(ellipsis);
    for (size_t d = 0; d < rank; ++d) {
      if (d < first || d >= last || d == 0) {
        if (d == 0 && first == 0) key.push_back(slice(nullptr, nullptr, nullptr));
        out.push_back(dims[d]);
        continue;
      }
      if (Below(8) == 0 && rank < 5) {
        key.push_back(nullptr);
        out.push_back(1);
      }
      const int64_t n = dims[d];
      const int kind = Below(6);
      if (kind == 0 && rank > 2) {
        const int64_t at = Below(n);
        key.push_back(Below(2) == 0 ? at : at - n);
        takes.push_back({d, at, 1, 1});
        continue;
      }
      if (kind < 3) {
        key.push_back(slice(nullptr, nullptr, Below(4) == 0 ? json(1) : json()));
        out.push_back(n);
        continue;
      }
      if (kind == 3 && (d == 3 || Below(4) == 0)) {  // Backwards.
        key.push_back(slice(nullptr, nullptr, -1));
        takes.push_back({d, n - 1, -1, n});
        out.push_back(n);
        continue;
      }
      const int64_t begin = Below(n), end = begin + 1 + Below(n - begin), step = 1 + Below(3);
      const json start = begin == 0 && Below(2) == 0 ? json()
                         : Below(2) == 0             ? json(begin)
                                                     : json(begin - n);
      const json stop = end == n        ? (Below(2) == 0 ? json() : json(n + Below(3)))
                        : Below(2) == 0 ? json(end)
                                        : json(end - n);
      key.push_back(slice(start, stop, step == 1 && Below(2) == 0 ? json() : json(step)));
      takes.push_back({d, begin, step, (end - begin + step - 1) / step});
      out.push_back(takes.back().count);
    }
    if (last < rank && Below(2) == 0) key.push_back(ellipsis);
    if (first == 0 && last == rank && Below(8) == 0 && out.size() < 5) {
      key.push_back(nullptr);
      out.push_back(1);
    }
    if (out.size() < 2) return;
    std::vector<Argument> arguments{{"", {x}, {}}};
    if (keras3_) arguments.push_back({"", {}, key});
    Operation(m, "GetItem", "__operators__.getitem", std::move(arguments), json::object(),
              {{"slice_spec", key}}, [=](Refs& in) {
                RefTensor y = in[0];
                for (const Take& t : takes) y = RefTake(y, t.axis, t.begin, t.step, t.count);
                y.dims = out;
                return Refs{y};
              });
    m.values.back().integer = At(m, x).integer;
  }

  // -- Operations --

  void ConstantOperation(Model& m, int x) {
    const RefTensor& t = At(m, x).t;
    const size_t rank = t.dims.size();
    const int64_t n = t.dims.back();
    Dims dims;
    switch (Below(8)) {
      case 0:
        dims = Dims(Pick(rank + 2), 1);
        break;
      case 1:
      case 2:
      case 3:
        dims = {n};
        break;
      case 4:
        dims = Dims(1 + Pick(rank), 1);
        dims.back() = n;
        break;
      case 5:
        if (Below(3) > 0) break;
        dims = {t.dims[rank - 2], OneOf<int64_t>({1, n})};
        break;
      default:
        break;
    }
    RefTensor c = Ref(dims, Numbers(RefCount(dims)));
    if (Below(6) == 0) c = RefUnary(c, [](double v) { return std::round(2 * v); });
    struct Kind {
      const char* type;
      std::vector<std::string> functions;
      double (*f)(double, double);
    };
    static const std::vector<Kind> kKinds{
        {"Add", {"__operators__.add", "math.add"}, [](double a, double b) { return a + b; }},
        {"Subtract", {"math.subtract"}, [](double a, double b) { return a - b; }},
        {"Multiply", {"math.multiply"}, [](double a, double b) { return a * b; }},
        {"Divide", {"math.truediv", "math.divide"}, [](double a, double b) { return a / b; }},
        {"TrueDivide", {"math.truediv", "math.divide"}, [](double a, double b) { return a / b; }},
        {"Maximum", {"math.maximum"}, [](double a, double b) { return std::max(a, b); }},
        {"Minimum", {"math.minimum"}, [](double a, double b) { return std::min(a, b); }}};
    const Kind& kind = OneOf(kKinds);
    const std::string type = kind.type;
    const bool divide = type.find("ivide") != std::string::npos,
               limit = type[0] == 'M' && type[1] != 'u';
    if (limit && Below(8) > 0) c = {{}, {Number()}};
    if (divide) c = RefUnary(c, [](double v) { return std::fabs(v) < 0.2 ? 0.5 : v; });
    const bool front = Below(3) == 0 && (!divide || Below(8) == 0);
    const auto f = kind.f;
    std::string function = OneOf(kind.functions);
    std::vector<Argument> in{{"", {x}, {}}, {"y", {}, Constant(c)}};
    if (front) in = {{"", {}, Constant(c)}, {"y", {x}, {}}};
    if (!keras3_ && type == "Add" && !front && dims == Dims{n} && Below(2) == 0) {
      function = "nn.bias_add";
      in[1].name = "bias";
    }
    json named = json::object();
    if (Below(2) == 0) named["name"] = nullptr;
    Operation(m, type, function, in, json::object(), named, [=](Refs& values) mutable {
      return Refs{front ? RefBinary(c, values[0], f) : RefBinary(values[0], c, f)};
    });
  }

  void ElementOperation(Model& m, int x) {
    const RefTensor& t = At(m, x).t;
    const int kind = Below(10);
    if (kind == 9) {
      const double slope = Slope();
      return Operation(m, "LeakyRelu", "nn.leaky_relu", {{"", {x}, {}}},
                       {{"negative_slope", slope}}, {{"alpha", slope}},
                       [=](Refs& in) { return Refs{RefUnary(in[0], Leaky(slope))}; });
    }
    if (kind == 0) return UnaryOperation(m, x, "Relu", "nn.relu", Element("relu"));
    if (kind == 1) return UnaryOperation(m, x, "Relu6", "nn.relu6", Element("relu6"));
    if (kind == 2)
      return UnaryOperation(m, x, "Sigmoid", OneOf<std::string>({"math.sigmoid", "nn.sigmoid"}),
                            Element("sigmoid"));
    if (kind == 3)
      return UnaryOperation(m, x, "Tanh", OneOf<std::string>({"math.tanh", "nn.tanh"}),
                            Element("tanh"));
    if (kind == 4)
      return UnaryOperation(m, x, "Negative", "math.negative", [](double v) { return -v; });
    if (kind == 5) {
      if (keras3_) return;
      if (Below(2) == 0)
        return Operation(m, "Cast", "cast", {{"", {x}, {}}}, {}, {{"dtype", "float32"}},
                         [](Refs& in) { return in; });
      return UnaryOperation(m, x, "Identity", OneOf<std::string>({"identity", "stop_gradient"}),
                            Element(""));
    }
    if (kind == 6) {
      const double low = Number(), high = low + std::fabs(Number());
      return Operation(
          m, "Clip", "clip_by_value", {{"", {x}, {}}}, {{"x_min", low}, {"x_max", high}},
          {{"clip_value_min", low}, {"clip_value_max", high}}, [=](Refs& in) {
            return Refs{RefUnary(in[0], [&](double v) { return std::clamp(v, low, high); })};
          });
    }
    if (t.dims.size() < 2) return;
    const bool log = kind == 7;
    json config{{"axis", Axis(t, -1)}};
    Operation(m, log ? "LogSoftmax" : "Softmax", log ? "nn.log_softmax" : "nn.softmax",
              {{"", {x}, {}}}, config, Below(2) == 0 ? json::object() : config,
              [=](Refs& in) { return Refs{Softmax(in[0], log)}; });
  }

  void ReduceOperation(Model& m, int x) {
    const bool mean = Below(2) == 0, keep = Below(2) == 0;
    const RefTensor& t = At(m, x).t;
    json axes = json::array({Axis(t, 1), Axis(t, 2)});
    if (Below(3) == 0) std::swap(axes[0], axes[1]);
    json config{{"axis", axes}, {"keepdims", keep}}, named{{"axis", axes}};
    if (!mean && Below(2) == 0) config["initial"] = nullptr;
    if (keep || Below(2) == 0) named["keepdims"] = keep;
    Operation(m, mean ? "Mean" : "Max", mean ? "math.reduce_mean" : "math.reduce_max",
              {{"", {x}, {}}}, config, named, [=](Refs& in) {
                return Refs{Reduced(in[0], {1, 2}, keep, mean)};
              });
  }

  // ---- Writing ----

  json Reference(const Model& m, int value, bool output) const {
    const Value& v = At(m, value);
    if (v.call < 0) return {m.inputs[static_cast<size_t>(v.index)], 0, 0};
    const Call& call = m.calls[static_cast<size_t>(v.call)];
    const int first = output ? call.layer->first_output : call.layer->first_call;
    return {call.layer->name, call.number + first, v.index};
  }
  json Tensor(const Model& m, int value) const {
    json shape = At(m, value).t.dims;
    shape[0] = nullptr;
    return {
        {"class_name", "__keras_tensor__"},
        {"config",
         {{"shape", shape}, {"dtype", "float32"}, {"keras_history", Reference(m, value, false)}}}};
  }

  json Node(const Model& m, const Call& call) {
    json node;
    if (keras3_) {
      node = {{"args", json::array()}, {"kwargs", call.named}};
      for (const Argument& a : call.arguments) {
        json v = a.values.empty() ? a.constant : json::array();
        for (int value : a.values) v.push_back(Tensor(m, value));
        if (!a.keys.empty()) {
          json dictionary = json::object();
          for (size_t i = 0; i < a.keys.size(); ++i) dictionary[a.keys[i]] = v[i];
          v = dictionary;
        } else if (!a.values.empty() && !a.list) {
          v = json(v[0]);
        }
        node["args"].push_back(std::move(v));
      }
      const json& type = call.layer->object["class_name"];
      if (call.layer->model != nullptr || type == "BatchNormalization" ||
          (type == "Softmax" && !call.layer->operation)) {
        node["kwargs"]["mask"] = nullptr;
      }
      if (!call.layer->operation && Below(8) == 0) {
        node["kwargs"]["inputs"] = json(node["args"][0]);
        node["args"] = json::array();
      }
      return node;
    }
    json named = call.named;
    for (size_t i = 1; i < call.arguments.size(); ++i) {
      const Argument& a = call.arguments[i];
      named[a.name] = a.values.empty() ? a.constant : Reference(m, a.values[0], false);
    }
    const Argument& first = call.arguments[0];
    if (first.values.empty()) return {"_CONSTANT_VALUE", -1, first.constant, named};
    for (size_t i = 0; i < first.values.size(); ++i) {
      json reference = Reference(m, first.values[i], false);
      reference.push_back(named);
      if (first.keys.empty()) {
        node.push_back(std::move(reference));
      } else {
        node[first.keys[i]] = std::move(reference);
      }
    }
    // A bare operation on one tensor has no list around it.
    return call.layer->operation && !first.list ? json(node[0]) : node;
  }

  json Input(const Model& m, size_t i) {
    json shape = At(m, static_cast<int>(i)).t.dims;
    shape[0] = m.parent == nullptr && batch_ > 0 ? json(batch_) : json();
    json config{{keras3_ ? "batch_shape" : "batch_input_shape", shape},
                {"dtype", m.parent == nullptr && pixels_ ? "uint8" : "float32"},
                {"sparse", false},
                {"name", m.inputs[i]}};
    if (keras3_ || Below(2) == 0) config["ragged"] = false;
    return Object("InputLayer", config);
  }

  json ModelObject(const Model& m) {
    json config{{"name", m.name}}, layers = json::array();
    if (keras3_ || !m.sequential) config["trainable"] = true;
    if (keras3_ && m.sequential) config["dtype"] = Policy();
    bool input_layer = true;
    if (!keras3_ && m.sequential && m.layers[0]->model == nullptr && !pixels_)
      input_layer = Below(3) > 0;
    for (size_t i = 0; input_layer && i < m.inputs.size(); ++i) {
      json input = Input(m, i);
      if (!m.sequential) input.update({{"name", m.inputs[i]}, {"inbound_nodes", json::array()}});
      layers.push_back(std::move(input));
    }
    for (const auto& layer : m.layers) {
      json object = layer->model != nullptr ? ModelObject(*layer->model) : layer->object;
      const json& type = object["class_name"];
      types_.insert(!keras3_ && layer->operation ? object["config"]["function"] : type);
      if (!input_layer && layer == m.layers[0])
        object["config"]["batch_input_shape"] = Input(m, 0)["config"]["batch_input_shape"];
      if (!m.sequential) {
        json nodes = json::array();
        for (const Call& call : m.calls) {
          if (call.kept && call.layer == layer.get()) nodes.push_back(Node(m, call));
        }
        object.update({{"name", layer->name}, {"inbound_nodes", nodes}});
      }
      layers.push_back(std::move(object));
    }
    config["layers"] = layers;
    if (m.sequential) {
      if (keras3_) config["build_input_shape"] = Input(m, 0)["config"]["batch_shape"];
      // As of old.
      if (!keras3_ && !modules_ && m.parent == nullptr && Below(8) == 0) config = layers;
      return Object("Sequential", config, "keras");
    }
    const auto ends = [&](const std::vector<std::string>& keys, std::vector<json> references) {
      json v = json::array();
      if (!keys.empty()) v = json::object();
      for (size_t i = 0; i < references.size(); ++i) {
        if (!keys.empty()) v[keys[i]] = references[i];
        if (keys.empty()) v.push_back(references[i]);
      }
      return keras3_ && keys.empty() && references.size() == 1 ? json(v[0]) : v;
    };
    std::vector<json> ins, outs;
    for (const std::string& name : m.inputs) ins.push_back({name, 0, 0});
    for (int v : m.outputs) outs.push_back(Reference(m, v, true));
    config["input_layers"] = ends(m.input_keys, ins);
    config["output_layers"] = ends(m.output_keys, outs);
    return Object("Functional", config,
                  keras3_ ? "keras.src.models.functional" : "tf_keras.src.engine.functional",
                  "Functional");
  }

  void WriteNumbered(const Model& m, Hdf5Object& at) {
    // Sequential models do not count their inputs, but those have no weights.
    Hdf5Object& layers = KerasTree::Make(at, groups_);
    std::map<std::string, int> counters;
    for (const auto& layer : m.layers) {
      if (keras3_ && layer->operation) continue;
      const std::string type = layer->model == nullptr
                                   ? layer->object["class_name"].get<std::string>()
                               : layer->model->sequential ? "Sequential"
                                                          : "Functional";
      std::string name = Snake(type);
      if (const int n = counters[name]++; n > 0) name += "_" + std::to_string(n);
      Hdf5Object& group = KerasTree::Make(layers, name);
      Hdf5Object& vars = KerasTree::Make(group, "vars");
      if (labels_) tree_->Text(vars, "name", {layer->name}, false);
      int index = 0;
      for (const Weight& w : layer->weights) {
        if (w.name == "seed_generator_state") {
          tree_->Put(group, "seed_generator/vars/0", w.dims, w.values);
        } else if (w.numbered) {
          tree_->Put(vars, std::to_string(index++), w.dims, w.values);
        }
      }
      if (layer->model != nullptr) WriteNumbered(*layer->model, group);
    }
  }

  void CollectLegacy(const Model& m, const Layer& layer, Hdf5Object& group,
                     std::vector<std::string>* names) {
    if (layer.model != nullptr) {
      for (const auto& inner : layer.model->layers)
        CollectLegacy(*layer.model, *inner, group, names);
      return;
    }
    for (const Weight& w : layer.weights) {
      std::string name = Prefix(m) + layer.name + "/" + w.name;
      const bool own = w.name == "mean" || w.name == "variance" || w.name == "count";
      if (!keras3_ && own) {
        // Keras 2 gives an adapted Normalization no scope, as far as that is free.
        if (std::count(names->begin(), names->end(), w.name + ":0") == 0) name = w.name;
      }
      names->push_back(name + (keras3_ ? "" : ":0"));
      tree_->Put(group, names->back(), w.dims, w.values);
    }
  }
  void WriteLegacy() {
    for (const auto& layer : root_->layers) {
      Hdf5Object& group = KerasTree::Make(tree_->root(), layer->name);
      std::vector<std::string> names;
      CollectLegacy(*root_, *layer, group, &names);
      if (names.size() > 3 && Below(8) == 0) {  // Long lists are split.
        const auto middle = names.begin() + 2;
        tree_->Text(group, "weight_names0", {names.begin(), middle});
        tree_->Text(group, "weight_names1", {middle, names.end()});
      } else {
        tree_->Text(group, "weight_names", names);
      }
    }
  }

  void Write() {
    model_ = ModelObject(*root_);
    tree_ = std::make_unique<KerasTree>();
    if (zip_) {
      WriteNumbered(*root_, tree_->root());
    } else {
      WriteLegacy();
    }
    for (int v : root_->outputs) outputs_.push_back(At(*root_, v).t);
    output_names_ = root_->output_keys;
    if (Below(20) == 0) MakeForeign();
  }

  /// Something that Keras honours and octet has not.
  void MakeForeign() {
    json& config = model_["config"];
    json& layers = config.is_array() ? config : config["layers"];
    json& layer = layers.back();
    json& own = layer["config"];
    if (own.is_array() || own.contains("layers") || own.contains("function")) return;
    const int kind = Below(4);
    if (kind == 0 && own.contains("data_format") && layer["class_name"] != "Flatten") {
      own["data_format"] = "channels_first";
    } else if (kind == 1 && layer["class_name"] == "BatchNormalization") {
      own["renorm"] = true;
    } else if (kind == 2 && own.contains("activation")) {
      own["activation"] = OneOf<std::string>({"gelu", "swish", "elu", "exponential"});
    } else {
      own["unheard_of"] = 1;
    }
    foreign_ = layer.dump();
  }

  std::mt19937_64 random_;
  const bool keras3_;
  const bool zip_;      ///< A .keras file, or else .h5.
  const bool modules_;  ///< Layers say where their classes are from.
  const bool labels_;   ///< Groups say whose they are.
  const int64_t batch_;
  const bool old_counts_ = Below(8) == 0;
  const bool prefixes_ = !keras3_ && Below(4) == 0;
  const std::string groups_ =
      !keras3_ && Below(2) == 0 ? "_layer_checkpoint_dependencies" : "layers";
  bool pixels_ = false;
  RefTensor input_;
  std::unique_ptr<Model> root_;
  std::set<std::pair<const Model*, std::string>> taken_;
  json model_;
  std::unique_ptr<KerasTree> tree_;
  std::vector<RefTensor> outputs_;
  std::vector<std::string> output_names_;
  std::set<std::string> types_;
  std::string foreign_;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_KERAS_GENERATOR_H_
