#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/import/importer.h"
#include "converter/import/keras/hdf5_reader.h"
#include "converter/import/keras/import.h"
#include "converter/import/keras/layers.h"
#include "converter/import/keras/weights.h"
#include "converter/import/zip_reader.h"
#include "converter/passes/passes.h"
#include "engine/src/runner.h"
#include "formats/data/npy.h"
#include "formats/model/preprocessing.h"
#include "tests/unit/keras_tree.h"
#include "tests/unit/naive_interpreter.h"
#include "tests/unit/pytorch_builder.h"
#include "tests/unit/unary_reference.h"

namespace octet {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Tiny(const std::string& name) { return OCTET_SOURCE_DIR "/tests/data/tiny/" + name; }

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// The parts of tiny/model.keras.
struct Archive {
  Archive() {
    file = ReadFile(Tiny("model.keras"));
    const auto zip = ZipReader::Open({std::as_bytes(std::span(file.data(), file.size())), nullptr},
                                     "model.keras");
    EXPECT_TRUE(zip.ok());
    const auto read = [&](const char* name) {
      const ZipEntry* entry = zip->Find(name);
      EXPECT_NE(nullptr, entry);
      return std::string(zip->Read(*entry)->text());
    };
    config = json::parse(read("config.json"));
    weights = read("model.weights.h5");
  }
  std::string Build(bool deflate = false) const {
    testing::ZipBuilder zip;
    zip.Add("config.json", config.dump(), deflate);
    zip.Add("model.weights.h5", weights, deflate);
    return zip.Build();
  }
  json& Layer(const std::string& name) {
    for (json& layer : config["config"]["layers"]) {
      if (layer["config"]["name"] == name) return layer;
    }
    ADD_FAILURE() << "no layer " << name;
    return config;
  }
  std::string file, weights;
  json config;
};

std::string ErrorOf(const Archive& archive, StatusCode code = StatusCode::kUnsupported) {
  const Result<Graph> graph = ImportKerasZipBytes(archive.Build());
  EXPECT_FALSE(graph.ok());
  EXPECT_EQ(code, graph.status().code()) << graph.status().message();
  return graph.status().message();
}

void ExpectTinyOutputs(const Result<Graph>& imported) {
  ASSERT_TRUE(imported.ok()) << imported.status().message();
  Graph graph = *imported;
  EXPECT_EQ(1.0f, graph.metadata.preprocessing.scale);  // The Rescaling layer stays a layer.
  ASSERT_TRUE(Optimize(&graph).ok());
  auto runner = GraphRunner::Create(std::move(graph));
  ASSERT_TRUE(runner.ok()) << runner.status().message();
  const auto input = ReadNpyFloats(Tiny("input.npy")),
             expected = ReadNpyFloats(Tiny("expected.npy"));
  ASSERT_TRUE(input.ok() && expected.ok());
  for (size_t i = 0; i < 4; ++i) {
    std::vector<float> y(3);
    ASSERT_TRUE((*runner)->Run(input->values.data() + i * 192, {}).ok());
    std::memcpy(y.data(), (*runner)->output(0).data(), 12);
    for (size_t k = 0; k < 3; ++k) EXPECT_NEAR(expected->values[i * 3 + k], y[k], 1e-5f);
  }
}

TEST(KerasImport, BothFormatsGiveTheFrameworksOutputs) {
  const auto h5 = ImportKerasH5(Tiny("model.h5")), zip = ImportKerasZip(Tiny("model.keras"));
  ExpectTinyOutputs(h5);
  ExpectTinyOutputs(zip);
  EXPECT_EQ("tiny", zip->metadata.name);
  EXPECT_THAT(h5->metadata.source, HasSubstr("keras h5 3."));
  EXPECT_THAT(zip->metadata.source, HasSubstr("keras zip 3."));
  ExpectTinyOutputs(ImportKerasZipBytes(Archive().Build(/*deflate=*/true)));
  ExpectTinyOutputs(ImportModel(Tiny("model.h5"), {}));
  ExpectTinyOutputs(ImportModel(Tiny("model.keras"), {}));
}

TEST(KerasImport, LayersMayBeListedInAnyOrder) {
  Archive archive;
  json& layers = archive.config["config"]["layers"];
  std::reverse(layers.begin(), layers.end());
  ExpectTinyOutputs(ImportKerasZipBytes(archive.Build()));
}

TEST(KerasImport, WeightsAreFoundByTheNameKerasMakesUp) {
  Archive archive;
  const std::string text = archive.config.dump();
  std::string renamed = text;
  for (size_t at = 0; (at = renamed.find("\"depthwise\"", at)) != std::string::npos;)
    renamed.replace(at, 11, "\"renamed\"");
  ASSERT_NE(text, renamed);
  archive.config = json::parse(renamed);
  ExpectTinyOutputs(ImportKerasZipBytes(archive.Build()));
}

TEST(KerasImport, OldConnectionsAndSequentialModels) {
  // Keras 2 writes [[["layer", 0, 0, {}]]].
  Archive archive;
  for (json& layer : archive.config["config"]["layers"]) {
    json nodes = json::array();
    for (const json& node : layer["inbound_nodes"]) {
      json tensors = json::array();
      const json& first = node["args"][0];
      for (const json& t : first.is_array() ? first : json::array({first})) {
        json history = t["config"]["keras_history"];
        history.push_back(json::object());
        tensors.push_back(history);
      }
      nodes.push_back(tensors);
    }
    layer["inbound_nodes"] = nodes;
  }
  archive.config["config"]["input_layers"] =
      json::array({archive.config["config"]["input_layers"]});
  archive.config["config"]["output_layers"] =
      json::array({archive.config["config"]["output_layers"]});
  ExpectTinyOutputs(ImportKerasZipBytes(archive.Build()));
}

TEST(KerasImport, RefusesCodeAndListsEveryUnsupportedLayer) {
  Archive archive;
  archive.Layer("norm")["class_name"] = "Lambda";
  archive.Layer("tail")["config"]["layers"][1]["class_name"] = "UpSampling2D";
  archive.Layer("add")["class_name"] = "TFOpLambda";
  EXPECT_THAT(ErrorOf(archive),
              AllOf(HasSubstr("3 unsupported operators"),
                    HasSubstr("Lambda 'norm' (it holds Python code, which is never run"),
                    HasSubstr("UpSampling2D 'tail/pool'"),
                    HasSubstr("TFOpLambda 'add' (a bare operation")));
}

TEST(KerasImport, NamesLayerAndReason) {
  {
    Archive archive;
    archive.Layer("classes")["config"]["activation"] = "gelu";
    EXPECT_THAT(
        ErrorOf(archive),
        HasSubstr("Dense 'classes' (activation 'gelu', expected linear, relu, relu6, sigmoid"));
  }
  {
    Archive archive;
    archive.Layer("conv")["config"]["data_format"] = "channels_first";
    EXPECT_THAT(
        ErrorOf(archive),
        HasSubstr("Conv2D 'conv' ('data_format' is channels_first, expected channels_last)"));
  }
  {
    Archive archive;
    archive.Layer("conv")["config"]["kernel_size"] = {5, 3};
    EXPECT_THAT(
        ErrorOf(archive, StatusCode::kCorrupt),
        HasSubstr(
            "layer 'conv' (Conv2D): weight 'kernel' has shape [3,3,3,4], expected [5,3,3,4]"));
  }
  {
    Archive archive;
    archive.Layer("image")["config"]["batch_shape"] = {nullptr, nullptr, 8, 3};
    EXPECT_THAT(ErrorOf(archive),
                HasSubstr("input 'image': its shape [null,null,8,3] has no fixed size"));
  }
  {
    Archive archive;
    archive.Layer("add")["inbound_nodes"][0]["args"][0][0]["config"]["keras_history"][0] =
        "classes";
    EXPECT_THAT(ErrorOf(archive, StatusCode::kCorrupt),
                HasSubstr("has an input that nothing computes"));
  }
  {
    Archive archive;
    archive.config["class_name"] = "MyModel";
    EXPECT_THAT(ErrorOf(archive), HasSubstr("'MyModel' is a class of its author's"));
    archive.config["registered_name"] = nullptr;
    EXPECT_THAT(ErrorOf(archive), HasSubstr("class 'MyModel', expected Functional or Sequential"));
  }
}

TEST(KerasImport, RefusesWeightsWithoutAModel) {
  const Archive archive;
  const auto graph = ImportKerasH5Bytes(archive.weights);
  ASSERT_FALSE(graph.ok());
  EXPECT_THAT(graph.status().message(), HasSubstr("weights only"));
}

/// Weights of any name, of the shapes given.
class MadeWeights : public KerasWeights {
 public:
  MadeWeights(const Hdf5File& file, const std::map<std::string, Dims>& shapes)
      : KerasWeights(file, nothing_) {
    float value = 0.3f;
    for (const auto& [name, shape] : shapes) {
      std::vector<float> data(static_cast<size_t>(Product(shape, 0, shape.size())));
      for (float& v : data) v = value = value * 3.7f - std::floor(value * 3.7f) + 0.1f;
      tree_.Put(tree_.root(), name, shape, std::move(data));
    }
  }
  bool by_name() const override { return true; }

 protected:
  Result<const Hdf5Object*> Locate(const std::vector<KerasStep>&, std::string_view name,
                                   int) override {
    const Hdf5Object* weight = tree_.root().Find(name.substr(name.rfind(' ') + 1));
    if (weight == nullptr) return NotFound(StrCat("no weight ", name));
    return weight;
  }

 private:
  static inline const Hdf5Object nothing_{};
  testing::KerasTree tree_;
};

/// What a row makes of a configuration: "refused: ..." or the result's shape and values.
std::string Outcome(const KerasRow& row, const json& config) {
  const Hdf5File file;
  std::map<std::string, Dims> shapes{{"bias", {4}},
                                     {"depthwise_kernel", {3, 3, 3, 1}},
                                     {"pointwise_kernel", {1, 1, 3, 4}},
                                     {"gamma", {3}},
                                     {"beta", {3}},
                                     {"moving_mean", {3}},
                                     {"moving_variance", {3}}};
  shapes["kernel"] = row.type == "Dense" ? Dims{3, 4} : Dims{3, 3, 3, 4};
  if (row.type == "DepthwiseConv2D") shapes["bias"] = {3};
  MadeWeights weights(file, shapes);
  GraphBuilder builder("_", 1, 1 << 24);
  KerasLayers layers(&builder, &weights);
  const bool two = std::string_view(row.operands).find_first_of(" *") != std::string_view::npos;
  const std::string squeezed(row.type);
  const Dims shape = squeezed.find("queeze") != std::string::npos ? Dims{1, 5, 1, 6}
                     : squeezed.find("tack") != std::string::npos ? Dims{1, 5, 4}
                                                                  : Dims{1, 5, 4, 3};
  const auto view = builder.AddInputView("x", shape);
  const json number = 0.25;
  std::vector<KerasOperand> operands{{{{*view, false}}, nullptr}};
  if (two && (row.type.find("ax") != std::string_view::npos ||
              row.type.find("in") != std::string_view::npos ||
              row.type.find("iv") != std::string_view::npos)) {
    operands.push_back({{}, &number});
  } else if (two) {
    operands[0].values.push_back({*view, false});
  }
  const std::vector<KerasStep> path{{"layer", "layer"}};
  const KerasConfig checked(config, row.keys);
  const auto value = layers.Convert(row, {"layer", path, checked, operands, 0});
  if (!value.ok()) return "refused: " + value.status().message();
  const View& v = value->view;
  std::string text = DimsText(v.dims);
  Graph& graph = builder.graph();
  if (v.id == graph.inputs[0]) return text + " the input";
  graph.outputs = {v.id};
  testing::Values x(static_cast<size_t>(Product(shape, 0, shape.size())));
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<double>(i)) * 2;
  for (double y : testing::NaiveInterpreter(graph).RunOutput({x})) text += StrCat(" ", y);
  for (int axis : v.perm) text += StrCat(" ", axis);
  return text;
}

TEST(KerasLayers, EveryKeyIsUnderstoodOrRefused) {
  const json defaults = json::parse(R"({
    "Conv2D": {"filters": 4, "kernel_size": [3, 3]}, "DepthwiseConv2D": {"kernel_size": 3}, "Dense": {"units": 4},
    "SeparableConv2D": {"filters": 4, "kernel_size": 3}, "ZeroPadding2D": {"padding": 1}, "Cropping2D": {"cropping": 1},
    "Reshape": {"target_shape": [4, 5, 3], "newshape": [-1, 60]}, "Permute": {"dims": [1, 2, 3]}, "Resizing": {"height": 5, "width": 4},
    "Normalization": {"mean": 1, "variance": 2}, "Activation": {"activation": "tanh"}, "reshape": {"shape": [-1, 60]},
    "Stack": {"axis": -1}, "stack": {"axis": -1}, "Mean": {"axis": [1, 2]}, "Max": {"axis": [1, 2]}, "math.reduce_mean": {"axis": [1, 2]},
    "math.reduce_max": {"axis": [1, 2]}, "ExpandDims": {"axis": 1}, "expand_dims": {"axis": 1}, "Squeeze": {"axis": 2},
    "squeeze": {"axis": 2}, "compat.v1.squeeze": {"axis": 2}, "Transpose": {"axes": [0, 1, 2, 3]}, "transpose": {"perm": [0, 1, 2, 3]},
    "compat.v1.transpose": {"perm": [0, 1, 2, 3]}, "GetItem": {"key": [{"start": null, "stop": null}, 1]},
    "__operators__.getitem": {"slice_spec": [{"start": null, "stop": null}, 1]}, "cast": {"dtype": "float32"}})");
  const json moved = json::parse(R"({
    "filters": 5, "kernel_size": 2, "strides": [2, 1], "padding": "same", "dilation_rate": [1, 2], "groups": 3, "use_bias": false,
    "activation": "relu", "lora_rank": 2, "depth_multiplier": 2, "units": 5, "axis": 3, "epsilon": 0.5, "center": false, "scale": false,
    "max_value": 0.5, "negative_slope": 0.4, "alpha": 0.7, "threshold": 0.1, "cropping": [[0, 1], [1, 0]], "pool_size": [3, 2], "keepdims": true,
    "target_shape": [5, 2, 6], "dims": [2, 1, 3], "offset": 1, "mean": [1, 2, 3], "variance": 3, "invert": true, "height": 6, "width": 5,
    "x_min": 0.25, "x_max": 0.5, "clip_value_min": 0.25, "clip_value_max": 0.5, "newshape": [-1, 4, 15], "shape": [-1, 4, 15],
    "axes": [0, 2, 1, 3], "perm": [0, 2, 1, 3], "key": [{"start": null, "stop": null}, 2], "dtype": "int32",
    "slice_spec": [{"start": null, "stop": null}, 2]})");
  const json special = json::parse(R"({
    "Softmax": {"axis": 1}, "nn.softmax": {"axis": 1}, "LogSoftmax": {"axis": 1}, "nn.log_softmax": {"axis": 1}, "BatchNormalization": {"axis": 1},
    "Concatenate": {"axis": 1}, "concat": {"axis": 1}, "Stack": {"axis": 1}, "stack": {"axis": 1}, "Rescaling": {"scale": 3}, "Normalization": {"axis": 1},
    "Mean": {"axis": 1}, "Max": {"axis": 1}, "math.reduce_mean": {"axis": 1}, "math.reduce_max": {"axis": 1},
    "ZeroPadding2D": {"padding": [[1, 0], [2, 1]]}, "Squeeze": {"axis": 1}, "squeeze": {"axis": 1}, "compat.v1.squeeze": {"axis": 1}})");
  for (const auto rows :
       {KerasLayers::Layers(), KerasLayers::Operations(), KerasLayers::Functions()}) {
    for (const KerasRow& row : rows) {
      const std::string type(row.type);
      json base = defaults.value(type, json::object());
      // The layer and the operation Reshape have keys of their own.
      for (const char* key : {"target_shape", "newshape"}) {
        if (!HasWord(row.keys.read, key)) base.erase(key);
      }
      const std::string before = Outcome(row, base);
      EXPECT_EQ(before.find("refused"), std::string::npos) << type << ": " << before;
      json unknown = base;
      unknown["surprise"] = 1;
      EXPECT_THAT(Outcome(row, unknown),
                  HasSubstr("refused: 'surprise' is 1, which octet does not know"))
          << type;
      unknown["surprise"] = nullptr;  // Not used.
      EXPECT_EQ(Outcome(row, unknown), before) << type;
      AnyWord(row.keys.read, [&](std::string_view word) {
        const std::string key(word);
        if (key == "lora_alpha") return false;  // Of no meaning without a rank.
        json changed = base;
        changed[key] =
            special.value(type, json::object()).contains(key) ? special[type][key] : moved.at(key);
        EXPECT_NE(Outcome(row, changed), before) << type << ": " << key;
        return false;
      });
      AnyWord(row.keys.fixed, [&](std::string_view word) {
        const std::string key(word.substr(0, word.find('=')));
        json changed = base;
        changed[key] = "other";
        EXPECT_THAT(Outcome(row, changed), HasSubstr("refused: '" + key + "' is other, expected"))
            << type;
        return false;
      });
    }
  }
}

/// Expects the function's values of what a row makes of a configuration.
void ExpectUnary(const UnaryFunction& f, const KerasRow& row, const json& config,
                 double parameter) {
  const std::string outcome = Outcome(row, config);
  SCOPED_TRACE(std::string(row.type) + " " + config.dump() + ": " + outcome);
  std::istringstream text(outcome.substr(outcome.find(' ')));
  for (int i = 0; i < 60; ++i) {
    double y = 1e9;
    text >> y;
    EXPECT_NEAR(y, testing::UnaryReference(f.keras.name, std::sin(i) * 2, parameter), 1e-4);
  }
}

TEST(KerasLayers, EveryUnaryFunction) {
  for (const auto rows :
       {KerasLayers::Layers(), KerasLayers::Operations(), KerasLayers::Functions()}) {
    for (const KerasRow& row : rows) {
      if (row.function == nullptr) continue;
      const UnaryFunction& f = *row.function;
      ExpectUnary(f, row, json::object(), row.otherwise);
      AnyWord(row.keys.read, [&](std::string_view key) {
        ExpectUnary(f, row, {{key, 0.7}}, 0.7);
        return false;
      });
    }
  }
  const KerasRow& relu = *KerasLayers::Find(KerasLayers::Layers(), "ReLU");
  ExpectUnary(*FindUnary(&UnaryFunction::keras, "leaky_relu"), relu, {{"negative_slope", 0.7}},
              0.7);
  EXPECT_THAT(Outcome(relu, {{"negative_slope", -1}}), HasSubstr("negative_slope -1"));
  json limited{{"negative_slope", 0.5}, {"max_value", 1}};  // 2 sin(14), 2 sin(11).
  EXPECT_THAT(Outcome(relu, limited), AllOf(HasSubstr(" 1 "), HasSubstr("-0.99999")));
  const KerasRow& activation = *KerasLayers::Find(KerasLayers::Layers(), "Activation");
  for (const UnaryFunction& f : UnaryFunctions()) {
    ExpectUnary(f, activation, {{"activation", f.keras.name}}, f.keras.otherwise);
    if (*f.keras_layer.name == '\0') continue;
    const json layer{{"class_name", f.keras_layer.name}, {"config", json::object()}};
    ExpectUnary(f, activation, {{"activation", layer}}, f.keras_layer.otherwise);
  }
}

TEST(KerasImport, CallsClassesAndTypesOfOthersAreRefused) {
  const auto refused = [](const std::function<void(Archive*)>& change, const std::string& what) {
    Archive archive;
    change(&archive);
    EXPECT_THAT(ErrorOf(archive), HasSubstr(what));
  };
  refused([](Archive* a) { a->Layer("norm")["inbound_nodes"][0]["kwargs"]["training"] = true; },
          "BatchNormalization 'norm' (it is called with 'training' true, expected false)");
  refused([](Archive* a) { a->Layer("conv")["registered_name"] = "Mine>Conv2D"; },
          "'Conv2D' is a class of its author's");
  refused([](Archive* a) { a->Layer("conv")["module"] = nullptr; },
          "'Conv2D' is a class of its author's");
  refused([](Archive* a) { a->Layer("conv")["config"]["dtype"] = "int8_from_float32"; },
          "'dtype' is 'int8_from_float32'");
  refused([](Archive* a) { a->Layer("conv")["surprise"] = 1; }, "'surprise' is 1");
  refused(
      [](Archive* a) {
        a->Layer("classes")["config"]["activation"] =
            json{{"module", "builtins"}, {"class_name", "function"}, {"config", "relu"}};
      },
      "the function 'relu' of the model's author");
  refused([](Archive* a) { a->Layer("relu")["class_name"] = "TimeDistributed"; },
          "a wrapper around another layer");
  refused([](Archive* a) { a->Layer("classes")["config"]["use_bias"] = false; },
          "the file has a weight 'dense/vars/1'");
  refused(
      [](Archive* a) {
        a->Layer("classes")["config"]["activation"] = json{{"module", "keras.layers"},
                                                           {"class_name", "ReLU"},
                                                           {"config", {{"threshold", 0.2}}},
                                                           {"registered_name", nullptr}};
      },
      "threshold 0.2");
}

/// A layer of one input in the words of Keras 2; `calls` are [layer, call, output].
json LayerOf(const std::string& type, const std::string& name, json config, const json& calls) {
  config["name"] = name;
  json nodes = json::array();
  for (json call : calls) {
    call.push_back(json::object());
    nodes.push_back(json::array({call}));
  }
  return {{"class_name", type}, {"name", name}, {"config", config}, {"inbound_nodes", nodes}};
}

json Diagonal(const std::string& name, const json& calls) {
  return LayerOf("Dense", name, {{"units", 2}, {"use_bias", false}}, calls);
}

json ModelOf(const std::string& name, const std::vector<json>& layers, const json& outputs) {
  json all = json::array({{{"class_name", "InputLayer"},
                           {"name", "x"},
                           {"config", {{"name", "x"}, {"batch_input_shape", {nullptr, 2}}}}}});
  for (const json& layer : layers) all.push_back(layer);
  return {{"class_name", "Functional"},
          {"config",
           {{"name", name},
            {"layers", all},
            {"input_layers", {{"x", 0, 0}}},
            {"output_layers", outputs}}}};
}

/// The outputs for two numbers.
std::vector<std::vector<double>> Values(const json& model, KerasWeights* weights,
                                        const std::vector<double>& input) {
  const Result<Graph> graph = ImportKeras(model, weights, 1 << 16, "");
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  if (!graph.ok()) return {};
  const auto values = testing::NaiveInterpreter(*graph).Run({input});
  std::vector<std::vector<double>> outputs;
  for (TensorId id : graph->outputs) outputs.push_back(values[id]);
  return outputs;
}

/// The outputs' first values for two ones.
std::vector<double> FirstValues(const json& model, KerasWeights* weights) {
  std::vector<double> first;
  for (const std::vector<double>& output : Values(model, weights, {1, 1}))
    first.push_back(output[0]);
  return first;
}

TEST(KerasImport, ApplicationsOfModelsAreCountedAsTheirVersionDoes) {
  // Each application doubles. Keras 3 counts those of a Functional model from 1 in the ends of the
  // model around it, those of a Sequential one from 0; both from 0 in calls. Keras 2 from 1.
  for (const bool keras3 : {true, false}) {
    for (const bool sequential : {true, false}) {
      const int inner = keras3 ? 0 : 1, outer = keras3 && sequential ? 0 : 1;
      json model = ModelOf("twice", {Diagonal("d", {{"x", 0, 0}})}, {{"d", 0, 0}});
      if (sequential) {
        model = {{"class_name", "Sequential"},
                 {"config", {{"name", "twice"}, {"layers", model["config"]["layers"]}}}};
      }
      json twice = LayerOf("", "twice", {}, {{"x", 0, 0}, {"twice", inner, 0}});
      json sum = LayerOf("Add", "sum", {}, json::array());
      sum["inbound_nodes"] = {{{"twice", inner, 0}, {"twice", inner + 1, 0}}};
      for (json* layer : {&twice, &sum}) {
        for (json& node : (*layer)["inbound_nodes"]) {
          if (!keras3) continue;
          json tensors = json::array();
          for (const json& t : node) {
            tensors.push_back({{"class_name", "__keras_tensor__"},
                               {"config", {{"keras_history", {t[0], t[1], t[2]}}}}});
          }
          node = {{"args", {tensors}}, {"kwargs", json::object()}};
        }
      }
      twice["class_name"] = model["class_name"];
      twice["config"] = model["config"];
      const json whole = ModelOf("m", {twice, sum}, {{"sum", 0, 0}, {"twice", outer + 1, 0}});
      testing::KerasTree tree;
      const std::string group = sequential ? "layers/sequential/" : "layers/functional/";
      tree.Put(tree.root(), group + "layers/dense/vars/0", {2, 2}, {2, 0, 0, 2});
      const Hdf5File file;
      EXPECT_THAT(FirstValues(whole, NumberedKerasWeights(file, tree.root()).get()),
                  ElementsAre(6, 4))
          << keras3 << sequential;
    }
  }
}

TEST(KerasImport, WeightsOfLayersInsideModelsAreFoundByTheirWholeNames) {
  // Names of Keras 2 may have slashes, and layers at different depths one name.
  const json inner = ModelOf("inner", {Diagonal("a/d", {{"x", 0, 0}})}, {{"a/d", 0, 0}});
  json middle = ModelOf("middle",
                        {Diagonal("a/d", {{"x", 0, 0}}), Diagonal("b/d", {{"a/d", 0, 0}}),
                         LayerOf("Functional", "inner", inner["config"], {{"b/d", 0, 0}})},
                        {{"inner", 1, 0}});
  const json model = ModelOf(
      "m", {LayerOf("Functional", "middle", middle["config"], {{"x", 0, 0}})}, {{"middle", 1, 0}});
  testing::KerasTree tree;
  const std::vector<std::string> names{"inner/a/d/kernel:0", "a/d/kernel:0", "b/d/kernel:0"};
  Hdf5Object& group = testing::KerasTree::Make(tree.root(), "middle");
  for (size_t i = 0; i < names.size(); ++i) {
    const float v = static_cast<float>(i) + 2;
    tree.Put(group, names[i], {2, 2}, {v, 0, 0, v});
  }
  tree.Text(group, "weight_names", names);
  const Hdf5File file;
  EXPECT_THAT(FirstValues(model, LegacyKerasWeights(file, tree.root()).get()), ElementsAre(24));
  // One without weights of its own does not get another's.
  tree.Text(group, "weight_names", {names[0], names[1]});
  const auto graph = ImportKeras(model, LegacyKerasWeights(file, tree.root()).get(), 1 << 16, "");
  ASSERT_FALSE(graph.ok());
  EXPECT_THAT(graph.status().message(), HasSubstr("no weight 'kernel' of layer 'middle/b/d'"));
}

TEST(KerasImport, DepthwiseWeightsOfBothVersionsAreFoundByTheirWholeNames) {
  // As Keras 3 writes them: the neighbour's depthwise_kernel is not that of the model's own layer.
  const json one{{"kernel_size", {1, 1}}, {"use_bias", false}, {"filters", 2}};
  const json inner = ModelOf("inner",
                             {LayerOf("Reshape", "r", {{"target_shape", {1, 1, 2}}}, {{"x", 0, 0}}),
                              LayerOf("SeparableConv2D", "a", one, {{"r", 0, 0}}),
                              LayerOf("Flatten", "f", json::object(), {{"a", 0, 0}})},
                             {{"f", 0, 0}});
  json depthwise = one;
  depthwise.erase("filters");
  json outer = ModelOf("outer",
                       {LayerOf("Functional", "inner", inner["config"], {{"x", 0, 0}}),
                        LayerOf("Reshape", "r", {{"target_shape", {1, 1, 2}}}, {{"inner", 1, 0}}),
                        LayerOf("DepthwiseConv2D", "a", depthwise, {{"r", 0, 0}}),
                        LayerOf("Flatten", "f", json::object(), {{"a", 0, 0}})},
                       {{"f", 0, 0}});
  const json model = ModelOf("m", {LayerOf("Functional", "outer", outer["config"], {{"x", 0, 0}})},
                             {{"outer", 1, 0}});
  for (const std::string name : {"kernel", "depthwise_kernel"}) {
    testing::KerasTree tree;
    Hdf5Object& group = testing::KerasTree::Make(tree.root(), "outer");
    const std::vector<std::string> names{"a/depthwise_kernel", "a/pointwise_kernel",
                                         "outer/a/" + name};
    tree.Put(group, names[0], {1, 1, 2, 1}, {2, 2});
    tree.Put(group, names[1], {1, 1, 2, 2}, {3, 0, 0, 3});
    tree.Put(group, names[2], {1, 1, 2, 1}, {5, 7});
    tree.Text(group, "weight_names", names);
    const Hdf5File file;
    EXPECT_THAT(Values(model, LegacyKerasWeights(file, tree.root()).get(), {1, 1}),
                ElementsAre(ElementsAre(30, 42)));
  }
}

TEST(KerasImport, DenseLayersAreOverTheLastDimensionWhateverItIs) {
  // Of a map's width that Permute made the last dimension, where it is 1 too, and of rows.
  const auto dense = [](const std::string& from, const std::vector<int>& target,
                        const json& permutation, std::vector<int64_t> kernel_shape,
                        std::vector<float> kernel) {
    std::vector<json> layers{LayerOf("Reshape", "r", {{"target_shape", target}}, {{"x", 0, 0}}),
                             LayerOf("Permute", "p", {{"dims", permutation}}, {{"r", 0, 0}})};
    if (permutation.empty()) layers.pop_back();
    layers.push_back(
        LayerOf("Dense", "d", {{"units", kernel_shape[1]}, {"use_bias", false}}, {{from, 0, 0}}));
    layers.push_back(LayerOf("Identity", "i", json::object(), {{"d", 0, 0}}));
    layers.push_back(LayerOf("Flatten", "f", json::object(), {{"i", 0, 0}}));
    testing::KerasTree tree;
    Hdf5Object& group = testing::KerasTree::Make(tree.root(), "d");
    tree.Put(group, "d/kernel:0", std::move(kernel_shape), std::move(kernel));
    tree.Text(group, "weight_names", {"d/kernel:0"});
    const Hdf5File file;
    return Values(ModelOf("m", layers, {{"f", 0, 0}}), LegacyKerasWeights(file, tree.root()).get(),
                  {1, 10});
  };
  const std::vector<float> three{1, 2, 3};
  const auto outer = ElementsAre(ElementsAre(1, 2, 3, 10, 20, 30));
  EXPECT_THAT(dense("p", {1, 2, 1}, {3, 2, 1}, {1, 3}, three), outer);
  EXPECT_THAT(dense("r", {1, 2, 1}, {}, {1, 3}, three), outer);
  EXPECT_THAT(dense("r", {2, 1, 1}, {}, {1, 3}, three), outer);
  EXPECT_THAT(dense("r", {2, 1}, {}, {1, 3}, three), outer);
  EXPECT_THAT(dense("p", {1, 1, 2}, {3, 2, 1}, {1, 3}, three), outer);
  EXPECT_THAT(dense("p", {1, 2, 1}, {1, 3, 2}, {2, 2}, {1, 2, 3, 4}),
              ElementsAre(ElementsAre(31, 42)));
  EXPECT_THAT(dense("r", {1, 2}, {}, {2, 2}, {1, 2, 3, 4}), ElementsAre(ElementsAre(31, 42)));
}

TEST(KerasImport, ConstantsMustNotAddDimensions) {
  for (const char* function : {"math.add", "math.multiply", "math.maximum"}) {
    for (const json& constant : {json(0.5), json{{0.5}}, json{{{0.5}}}}) {
      json layer = LayerOf("TFOpLambda", "op", {{"function", function}}, {});
      layer["inbound_nodes"] = {{"x", 0, 0, {{"y", constant}}}};
      const json model = ModelOf("m", {layer}, {{"op", 0, 0}});
      testing::KerasTree tree;
      const Hdf5File file;
      const auto graph =
          ImportKeras(model, LegacyKerasWeights(file, tree.root()).get(), 1 << 16, "");
      EXPECT_EQ(constant.dump().find("[[[") == std::string::npos, graph.ok())
          << function << constant << graph.status().message();
    }
  }
}

TEST(Hdf5Reader, ReadsGroupsAttributesAndArrays) {
  const std::string bytes = ReadFile(Tiny("model.h5"));
  const auto file = Hdf5File::Read(std::as_bytes(std::span(bytes.data(), bytes.size())));
  ASSERT_TRUE(file.ok()) << file.status().message();
  const Hdf5Object* norm = file->root().Find("model_weights/norm");
  ASSERT_NE(nullptr, norm);
  ASSERT_NE(nullptr, norm->Attribute("weight_names"));
  const auto names = file->Strings(*norm->Attribute("weight_names"));
  ASSERT_TRUE(names.ok());
  EXPECT_THAT(*names,
              ElementsAre("norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance"));
  const Hdf5Object* gamma = norm->Find("norm/gamma");
  ASSERT_NE(nullptr, gamma);
  ASSERT_TRUE(gamma->is_dataset);
  EXPECT_THAT(gamma->dataset.shape, ElementsAre(4));
  const auto values = Hdf5File::Floats(gamma->dataset);
  ASSERT_TRUE(values.ok());
  for (float v : *values) EXPECT_TRUE(v >= 0.5f && v < 1.5f) << v;
  EXPECT_EQ(nullptr, file->root().Find("model_weights/nothing"));
}

TEST(Hdf5Reader, RefusesTruncatedFiles) {
  const std::string bytes = ReadFile(Tiny("model.h5"));
  const auto file = Hdf5File::Read(std::as_bytes(std::span(bytes.data(), bytes.size() - 1)));
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(file.status().message(), HasSubstr("truncated"));
}

TEST(KerasWeights, SnakeCaseAsKerasDoesIt) {
  EXPECT_EQ("conv2d", KerasSnakeCase("Conv2D"));
  EXPECT_EQ("depthwise_conv2d", KerasSnakeCase("DepthwiseConv2D"));
  EXPECT_EQ("batch_normalization", KerasSnakeCase("BatchNormalization"));
  EXPECT_EQ("re_lu", KerasSnakeCase("ReLU"));
  EXPECT_EQ("zero_padding2d", KerasSnakeCase("ZeroPadding2D"));
  EXPECT_EQ("global_average_pooling2d", KerasSnakeCase("GlobalAveragePooling2D"));
  EXPECT_EQ("input_layer", KerasSnakeCase("InputLayer"));
}

// What it makes of photos is compared with Keras in resize_test.
TEST(KerasImport, AResizingAtTheHeadIsHowPhotosArePrepared) {
  const auto import = [](const json& shape, const json& resizing, const char* second_reads) {
    const auto layer = [](const char* type, const char* name, json config, const char* from) {
      json call = json::array({json::array({json::array({from, 0, 0, json::object()})})});
      return json{
          {"class_name", type}, {"name", name}, {"config", config}, {"inbound_nodes", call}};
    };
    json layers = json::array({{{"class_name", "InputLayer"},
                                {"name", "x"},
                                {"config", {{"name", "x"}, {"batch_input_shape", shape}}}}});
    layers.push_back(layer("Resizing", "r", resizing, "x"));
    layers.push_back(layer("Activation", "a", {{"activation", "tanh"}}, second_reads));
    const json model{{"class_name", "Functional"},
                     {"config",
                      {{"name", "m"},
                       {"layers", layers},
                       {"input_layers", {{"x", 0, 0}}},
                       {"output_layers", {{"a", 0, 0}}}}}};
    testing::KerasTree tree;
    const Hdf5File file;
    return ImportKeras(model, LegacyKerasWeights(file, tree.root()).get(), 1 << 16, "");
  };
  const json any = {nullptr, nullptr, nullptr, 3}, size{{"height", 20}, {"width", 24}};
  json config = size;
  config.update(
      {{"interpolation", "bicubic"}, {"antialias", true}, {"crop_to_aspect_ratio", true}});
  const auto graph = import(any, config, "r");
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph->tensor(graph->inputs[0]).shape, (Shape{1, 20, 24, 3}));
  const Preprocessing& p = graph->metadata.preprocessing;
  EXPECT_EQ(p.decoding, DecodingOf(Framework::kTensorflow));
  EXPECT_EQ(p.resize, ResizeRule::kCropToAspect);
  Resampling expected = ResamplingOf(Framework::kTensorflow);
  expected.filter = ResizeFilter::kBicubic;
  expected.antialias = true;
  EXPECT_EQ(p.resampling, expected);

  const auto error = [&](const json& shape, json more, const char* second_reads) {
    json all = size;
    all.update(more);
    return std::string(import(shape, all, second_reads).status().message());
  };
  EXPECT_THAT(error(any, {{"interpolation", "gaussian"}}, "r"), HasSubstr("'interpolation' is"));
  EXPECT_THAT(error(any, {{"pad_to_aspect_ratio", true}}, "r"), HasSubstr("'pad_to_aspect_ratio'"));
  EXPECT_THAT(error(any, {{"height", 0}}, "r"), HasSubstr("height"));
  // Another reader of the input would get photos of any size.
  EXPECT_THAT(error(any, json::object(), "x"), HasSubstr("no fixed size"));
  EXPECT_THAT(error({nullptr, 30, 30, 3}, json::object(), "r"), HasSubstr("it resizes"));
}

}  // namespace
}  // namespace octet
