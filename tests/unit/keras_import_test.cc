#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "converter/import/keras/hdf5_reader.h"
#include "converter/import/importer.h"
#include "converter/import/keras/weights.h"
#include "converter/import/zip_reader.h"
#include "converter/passes/passes.h"
#include "engine/src/runner.h"
#include "formats/data/npy.h"
#include "tests/unit/pytorch_builder.h"

namespace octet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using nlohmann::json;

std::string Tiny(const std::string& name) { return OCTET_SOURCE_DIR "/tests/data/tiny/" + name; }

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// The parts of tiny/model.keras.
struct Archive {
  Archive() {
    file = ReadFile(Tiny("model.keras"));
    const auto zip = ZipReader::Open({std::as_bytes(std::span(file.data(), file.size())), nullptr}, "model.keras");
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
  const Preprocessing pre = graph.metadata.preprocessing;
  EXPECT_FLOAT_EQ(1.0f / 127.5f, pre.scale);  // The Rescaling layer.
  EXPECT_EQ(1.0f, pre.mean[0]);
  ASSERT_TRUE(Optimize(&graph).ok());
  auto runner = GraphRunner::Create(std::move(graph));
  ASSERT_TRUE(runner.ok()) << runner.status().message();
  const auto input = ReadNpyFloats(Tiny("input.npy")), expected = ReadNpyFloats(Tiny("expected.npy"));
  ASSERT_TRUE(input.ok() && expected.ok());
  for (size_t i = 0; i < 4; ++i) {
    std::vector<float> x(192), y(3);
    for (size_t k = 0; k < x.size(); ++k) x[k] = (input->values[i * 192 + k] * pre.scale - pre.mean[k % 3]) / pre.stddev[k % 3];
    ASSERT_TRUE((*runner)->Run(x.data(), {}).ok());
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
  for (size_t at = 0; (at = renamed.find("\"depthwise\"", at)) != std::string::npos;) renamed.replace(at, 11, "\"renamed\"");
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
  archive.config["config"]["input_layers"] = json::array({archive.config["config"]["input_layers"]});
  archive.config["config"]["output_layers"] = json::array({archive.config["config"]["output_layers"]});
  ExpectTinyOutputs(ImportKerasZipBytes(archive.Build()));
}

TEST(KerasImport, RefusesCodeAndListsEveryUnsupportedLayer) {
  Archive archive;
  archive.Layer("norm")["class_name"] = "Lambda";
  archive.Layer("tail")["config"]["layers"][1]["class_name"] = "UpSampling2D";
  archive.Layer("add")["class_name"] = "TFOpLambda";
  EXPECT_THAT(ErrorOf(archive), AllOf(HasSubstr("3 unsupported operators"), HasSubstr("Lambda 'norm' (it holds Python code, which is never run"),
                                      HasSubstr("UpSampling2D 'tail/pool'"), HasSubstr("TFOpLambda 'add' (a bare operation")));
}

TEST(KerasImport, NamesLayerAndReason) {
  {
    Archive archive;
    archive.Layer("classes")["config"]["activation"] = "gelu";
    EXPECT_THAT(ErrorOf(archive), HasSubstr("Dense 'classes' (activation 'gelu', expected linear, relu, relu6, sigmoid"));
  }
  {
    Archive archive;
    archive.Layer("conv")["config"]["data_format"] = "channels_first";
    EXPECT_THAT(ErrorOf(archive), HasSubstr("Conv2D 'conv' ('data_format' is 'channels_first', expected channels_last)"));
  }
  {
    Archive archive;
    archive.Layer("conv")["config"]["kernel_size"] = {5, 3};
    EXPECT_THAT(ErrorOf(archive, StatusCode::kCorrupt), HasSubstr("layer 'conv' (Conv2D): weight 'kernel' has shape [3,3,3,4], expected [5,3,3,4]"));
  }
  {
    Archive archive;
    archive.Layer("image")["config"]["batch_shape"] = {nullptr, nullptr, 8, 3};
    EXPECT_THAT(ErrorOf(archive), HasSubstr("input 'image': its shape [null,null,8,3] has no fixed size"));
  }
  {
    Archive archive;
    archive.Layer("add")["inbound_nodes"][0]["args"][0][0]["config"]["keras_history"][0] = "classes";
    EXPECT_THAT(ErrorOf(archive, StatusCode::kCorrupt), HasSubstr("has an input that nothing computes"));
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

TEST(Hdf5Reader, ReadsGroupsAttributesAndArrays) {
  const std::string bytes = ReadFile(Tiny("model.h5"));
  const auto file = Hdf5File::Read(std::as_bytes(std::span(bytes.data(), bytes.size())));
  ASSERT_TRUE(file.ok()) << file.status().message();
  const Hdf5Object* norm = file->root().Find("model_weights/norm");
  ASSERT_NE(nullptr, norm);
  ASSERT_NE(nullptr, norm->Attribute("weight_names"));
  const auto names = file->Strings(*norm->Attribute("weight_names"));
  ASSERT_TRUE(names.ok());
  EXPECT_THAT(*names, ElementsAre("norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance"));
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

}  // namespace
}  // namespace octet
