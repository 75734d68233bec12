// Graph descriptions and the networks built from them.
#include "converter/import/checkpoints/resnet_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "converter/import/importer.h"
#include "converter/import/onnx/reader.h"
#include "converter/import/checkpoints/synthetic_tensors.h"
#include "tests/data_dir.h"
#include "tests/unit/naive_interpreter.h"
#include "tests/unit/onnx_builder.h"
#include "tests/unit/onnx_reference.h"

namespace octet {
namespace {

using ::testing::Contains;
using testing::Dims;
using testing::FloatTensor;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::OnnxAttr;
using testing::OnnxBuilder;
using testing::TestNumbers;

std::vector<testing::Values> EvaluateAll(const Graph& graph, const std::vector<float>& input) {
  return testing::NaiveInterpreter(graph).Run({testing::Values(input.begin(), input.end())});
}

/// Tensors in memory. Names that are asked for are remembered.
class MapSource : public TensorSource {
 public:
  void Set(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
    tensors_[name] = {std::move(shape), std::move(values)};
  }
  std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (const auto& [name, t] : tensors_) names.push_back(name);
    return names;
  }
  std::optional<std::vector<int64_t>> FindShape(const TensorRequest& r) const override {
    const auto it = tensors_.find(r.name);
    return it == tensors_.end() ? std::nullopt : std::optional(it->second.first);
  }
  Result<std::vector<float>> Read(const TensorRequest& r) override {
    return tensors_.at(r.name).second;
  }

  std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>> tensors_;
};

/// Answers like SyntheticTensorSource and keeps what it gave, so that a test can rename it.
class RecordingSource : public TensorSource {
 public:
  std::vector<std::string> Names() const override { return {}; }
  std::optional<std::vector<int64_t>> FindShape(const TensorRequest& r) const override {
    return r.shape;
  }
  Result<std::vector<float>> Read(const TensorRequest& r) override {
    auto values = synthetic_.Read(r);
    recorded.Set(r.name, r.shape, *values);
    return values;
  }
  MapSource recorded;

 private:
  SyntheticTensorSource synthetic_{1};
};

/// A description of one block a stage, small enough for the naive interpreter.
std::string TinyJson(int version, const std::string& block, const std::string& shortcut,
                     const std::string& names) {
  return R"({"name":"tiny","input":{"name":"image","shape":[13,12,3]},"architecture":{"family":"resnet","version":)" +
         std::to_string(version) + R"(,"block":")" + block + R"(","shortcut":")" + shortcut +
         R"(","stem":{"channels":8,"kernel":3,"stride":1,"max_pool":true},)"
         R"("stages":[{"blocks":2,"channels":8,"stride":1},{"blocks":1,"channels":12,"stride":2}],)"
         R"("head":[{"dense":6},"softmax"]},"labels":["a","b","c","d","e","f"],"names":[")" +
         names + R"("]})";
}

GraphDescription Tiny(int version, const std::string& block, const std::string& shortcut,
                      const std::string& names) {
  auto d = ParseGraphDescription(TinyJson(version, block, shortcut, names), "tiny");
  EXPECT_TRUE(d.ok()) << d.status().message();
  return *d;
}

int64_t Parameters(const Graph& graph) {
  int64_t n = 0;
  for (const Tensor& t : graph.tensors) n += t.is_constant() ? t.shape.num_elements() : 0;
  return n;
}

TEST(GraphDescriptions, ShippedOnesHaveTheKnownNumberOfParameters) {
  // Published parameter counts; batch norm counts as two numbers per channel in both.
  const std::map<std::string, int64_t> expected = {
      {"resnet18", 11689512},     {"resnet34", 21797672},     {"resnet50", 25557032},
      {"resnet101", 44549160},    {"resnet152", 60192808},    {"resnet50_v2", 25549352},
      {"resnet101_v2", 44541480}, {"cifar_resnet20", 269722}, {"cifar_resnet32", 464154},
      {"cifar_resnet44", 658586}, {"cifar_resnet56", 853018}, {"cifar_resnet110", 1727962},
      {"flowers_resnet", 2815653}};
  std::map<std::string, int64_t> found;
  for (const std::string& name : GraphDescriptionNames()) {
    const auto description = LoadGraphDescription(name);
    ASSERT_TRUE(description.ok()) << description.status().message();
    EXPECT_EQ(description->name, name);
    SyntheticTensorSource source(1);
    const auto graph = BuildResnet(*description, source);
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    found[name] = Parameters(*graph);
    EXPECT_EQ(graph->metadata.name, name);
    if (!description->labels.empty()) {
      EXPECT_EQ(graph->metadata.labels.size(),
                static_cast<size_t>(graph->tensor(graph->outputs[0]).shape.back()));
    }
  }
  EXPECT_EQ(found, expected);
}

TEST(GraphDescriptions, ErrorsNameTheField) {
  const auto error = [](const std::string& json) {
    const auto d = ParseGraphDescription(json, "f.json");
    return d.ok() ? "accepted" : d.status().message();
  };
  const std::string good = TinyJson(1, "basic", "projection", "torchvision");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string json = good;
    const size_t at = json.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return error(json.replace(at, from.size(), to));
  };
  EXPECT_EQ(error(good), "accepted");
  EXPECT_THAT(error("{"), HasSubstr("f.json: not valid JSON"));
  EXPECT_THAT(error("[]"), HasSubstr("f.json is not an object"));
  EXPECT_THAT(with("\"name\":\"tiny\"", "\"nam\":\"tiny\""),
              HasSubstr("'nam' is not a known field"));
  EXPECT_THAT(with("\"family\":\"resnet\"", "\"family\":\"vgg\""),
              HasSubstr("'family' is \"vgg\", expected one of: resnet"));
  EXPECT_THAT(with("\"version\":1", "\"version\":3"), HasSubstr("'version' is 3, expected 1 to 2"));
  EXPECT_THAT(with("\"version\":1", "\"version\":18446744073709551615"),
              HasSubstr("'version' is 9223372036854775807"));
  EXPECT_THAT(with("\"blocks\":2", "\"blocks\":100000"),
              HasSubstr("stages[0]: 'blocks' is 100000"));
  EXPECT_THAT(with("\"dense\":6", "\"dense\":\"6\""), HasSubstr("head: 'dense' is not an integer"));
  EXPECT_THAT(with("{\"dense\":6},", ""), HasSubstr("has no dense layer"));
  EXPECT_THAT(with("[13,12,3]", "[13,12]"), HasSubstr("'shape' is not [height, width, channels]"));
  EXPECT_THAT(with("[\"torchvision\"]", "[\"none\"]"),
              HasSubstr("'none' is not one of: huggingface"));
  EXPECT_THAT(with("[\"torchvision\"]", "[\"timm-v2\"]"),
              HasSubstr("'timm-v2' has no 'stem.norm'"));
  EXPECT_THAT(LoadGraphDescription("no_such").status().message(), HasSubstr("cifar_resnet110"));
  // A network whose image runs out.
  GraphDescription d = Tiny(1, "basic", "projection", "torchvision");
  d.stem.kernel = 2;
  d.height = d.width = 1;
  d.stem.stride = 2;
  d.stages[0].stride = 8;
  SyntheticTensorSource source(1);
  EXPECT_TRUE(BuildResnet(d, source).ok());  // Same padding keeps one pixel alive.
}

TEST(SyntheticTensors, AreTheSameEverywhere) {
  SyntheticTensorSource source(42);
  const TensorRequest weights{"layer1.0.conv1.weight", {4, 2, 3, 3}, TensorRole::kWeights, false};
  const auto values = source.Read(weights);
  ASSERT_TRUE(values.ok());
  // Golden: a change would silently change every synthetic benchmark model.
  EXPECT_FLOAT_EQ((*values)[0], 0.094122469f);
  EXPECT_FLOAT_EQ((*values)[71], -0.74489254f);
  SyntheticTensorSource again(42), other(43);
  EXPECT_EQ(*again.Read(weights), *values);
  EXPECT_NE(*other.Read(weights), *values);
  TensorRequest renamed = weights;
  renamed.name = "layer1.0.conv2.weight";
  EXPECT_NE(*source.Read(renamed), *values);
  EXPECT_FALSE(
      source.Read({"x", {int64_t{1} << 40, int64_t{1} << 40}, TensorRole::kBias, false}).ok());
}

TEST(SyntheticTensors, KeepActivationsInRange) {
  for (const char* name : {"cifar_resnet56", "flowers_resnet"}) {
    auto description = LoadGraphDescription(name);
    description->height = description->width = 32;
    SyntheticTensorSource source(1);
    const auto graph = BuildResnet(*description, source);
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    TestNumbers numbers(3);
    const auto values = EvaluateAll(*graph, numbers.Floats(32 * 32 * 3));
    for (const Node& node : graph->nodes) {
      if (node.type != OpType::kAdd) continue;
      double square = 0;
      for (double v : values[node.output]) square += v * v;
      const double rms = std::sqrt(square / static_cast<double>(values[node.output].size()));
      EXPECT_GT(rms, 0.1) << name << " " << node.name;
      EXPECT_LT(rms, 10.0) << name << " " << node.name;
    }
  }
}

/// The tiny network in ONNX's terms, from the same tensors.
class TinyOnnx {
 public:
  TinyOnnx(const GraphDescription& d, const MapSource& tensors) : d_(d), tensors_(tensors) {}

  std::string Build() {
    b_.Input("image", {1, 3, d_.height, d_.width}).Output("probabilities");
    std::string x = Conv("image", "conv1", d_.stem.kernel, d_.stem.stride);
    if (d_.version == 1) x = Relu(Norm(x, "bn1"));
    x = Op("MaxPool", {x},
           {{"kernel_shape", Dims{3, 3}}, {"strides", Dims{2, 2}}, {"pads", Dims{1, 1, 1, 1}}});
    int channels = d_.stem.channels;
    const bool bottleneck = d_.block == GraphDescription::Block::kBottleneck;
    for (size_t s = 0; s < d_.stages.size(); ++s) {
      for (int b = 0; b < d_.stages[s].blocks; ++b) {
        const int stride = b == 0 ? d_.stages[s].stride : 1;
        const std::string p = "layer" + std::to_string(s + 1) + "." + std::to_string(b) + ".";
        const int out = d_.stages[s].channels * (bottleneck ? 4 : 1);
        x = Block(x, p, stride, channels, out, bottleneck);
        channels = out;
      }
    }
    if (d_.version == 2) x = Relu(Norm(x, "bn"));
    x = Op("GlobalAveragePool", {x});
    x = Op("Flatten", {x});
    x = Op("Gemm", {x, T("fc.weight"), T("fc.bias")}, {{"transB", int64_t{1}}});
    b_.Node("Softmax", {x}, {"probabilities"});
    return b_.Build();
  }

 private:
  std::string T(const std::string& name) {
    const auto& [shape, values] = tensors_.tensors_.at(name);
    b_.Initializer(FloatTensor(name, shape, values));
    return name;
  }
  std::string Op(const std::string& op, const std::vector<std::string>& in,
                 const std::vector<OnnxAttr>& a = {}) {
    const std::string out = "v" + std::to_string(next_++);
    b_.Node(op, in, {out}, a);
    return out;
  }
  std::string Conv(const std::string& x, const std::string& name, int64_t kernel, int64_t stride) {
    const int64_t p = kernel / 2;
    return Op("Conv", {x, T(name + ".weight")},
              {{"strides", Dims{stride, stride}}, {"pads", Dims{p, p, p, p}}});
  }
  std::string Norm(const std::string& x, const std::string& n) {
    return Op("BatchNormalization",
              {x, T(n + ".weight"), T(n + ".bias"), T(n + ".running_mean"), T(n + ".running_var")});
  }
  std::string Relu(const std::string& x) { return Op("Relu", {x}); }

  std::string Block(const std::string& x, const std::string& p, int stride, int in, int out,
                    bool bottleneck) {
    std::string shortcut = x, y = x;
    const int convs = bottleneck ? 3 : 2;
    for (int k = 0; k < convs; ++k) {
      const std::string n = std::to_string(k + 1);
      if (d_.version == 2) y = Relu(Norm(y, p + "bn" + n));
      if (k == 0 && (stride != 1 || in != out)) {
        if (d_.shortcut == GraphDescription::Shortcut::kPad) {
          if (stride != 1) {
            b_.Initializer(testing::IntTensor(p + "begin", {2}, {0, 0}))
                .Initializer(testing::IntTensor(p + "end", {2}, {1000, 1000}));
            b_.Initializer(testing::IntTensor(p + "axes", {2}, {2, 3}))
                .Initializer(testing::IntTensor(p + "steps", {2}, {stride, stride}));
            shortcut = Op("Slice", {shortcut, p + "begin", p + "end", p + "axes", p + "steps"});
          }
          const int64_t front = (out - in) / 2;
          b_.Initializer(
              testing::IntTensor(p + "pads", {8}, {0, front, 0, 0, 0, out - in - front, 0, 0}));
          shortcut = Op("Pad", {shortcut, p + "pads"});
        } else if (d_.version == 2) {
          shortcut = Conv(y, p + "downsample.0", 1, stride);
        } else {
          shortcut = Norm(Conv(x, p + "downsample.0", 1, stride), p + "downsample.1");
        }
      }
      const bool strided = k == (bottleneck ? 1 : 0);
      y = Conv(y, p + "conv" + n, bottleneck && k != 1 ? 1 : 3, strided ? stride : 1);
      if (d_.version == 1) {
        y = Norm(y, p + "bn" + n);
        if (k + 1 < convs) y = Relu(y);
      }
    }
    y = Op("Add", {y, shortcut});
    return d_.version == 1 ? Relu(y) : y;
  }

  const GraphDescription& d_;
  const MapSource& tensors_;
  OnnxBuilder b_{13};
  int next_ = 0;
};

/// Names in the scheme of torchvision, from those of another scheme.
MapSource ToTorchvision(const MapSource& from, const std::string& scheme) {
  const auto replace = [](std::string s, const std::string& a, const std::string& b) {
    for (size_t at = 0; (at = s.find(a, at)) != std::string::npos; at += b.size())
      s.replace(at, a.size(), b);
    return s;
  };
  MapSource to;
  for (const auto& [name, t] : from.tensors_) {
    std::string n = name;
    if (scheme == "timm-v2") {
      n = replace(n, "stem.conv.", "conv1.");
      n = replace(n, "stages.0.blocks", "layer1");
      n = replace(n, "stages.1.blocks", "layer2");
      n = replace(n, "downsample.conv", "downsample.0");
      n = replace(n, ".norm", ".bn");
      n = n.starts_with("norm.") ? "bn." + n.substr(5) : n;
      n = replace(n, "head.fc", "fc");
    } else if (scheme == "idelbayev") {
      n = replace(n, "linear", "fc");
    }
    to.tensors_[n] = t;
  }
  return to;
}

struct Variant {
  int version;
  const char* block;
  const char* shortcut;
  const char* names;
};

class BuildResnetTest : public ::testing::TestWithParam<Variant> {};

TEST_P(BuildResnetTest, ComputesWhatTheArchitectureSays) {
  const Variant v = GetParam();
  const GraphDescription d = Tiny(v.version, v.block, v.shortcut, v.names);
  RecordingSource source;
  const auto graph = BuildResnet(d, source);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const MapSource tensors = ToTorchvision(source.recorded, v.names);
  const std::string bytes = TinyOnnx(d, tensors).Build();
  const auto model = ParseOnnx(bytes, "tiny");
  ASSERT_TRUE(model.ok()) << model.status().message();

  TestNumbers numbers(7);
  testing::RefTensor nchw{{1, 3, 13, 12}, {}};
  const std::vector<float> nhwc = numbers.Floats(13 * 12 * 3);
  for (int c = 0; c < 3; ++c) {
    for (int i = 0; i < 13 * 12; ++i) nchw.values.push_back(nhwc[i * 3 + c]);
  }
  const testing::RefTensor expected = testing::OnnxReference(*model).Run(nchw);
  const auto values = EvaluateAll(*graph, nhwc);
  const std::vector<double>& found = values[graph->outputs[0]];
  ASSERT_EQ(found.size(), expected.values.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected.values[i], 1e-5);
}

INSTANTIATE_TEST_SUITE_P(All, BuildResnetTest,
                         ::testing::Values(Variant{1, "basic", "projection", "torchvision"},
                                           Variant{1, "bottleneck", "projection", "torchvision"},
                                           Variant{1, "basic", "pad", "idelbayev"},
                                           Variant{1, "bottleneck", "pad", "idelbayev"},
                                           Variant{2, "basic", "projection", "timm-v2"},
                                           Variant{2, "bottleneck", "projection", "timm-v2"}));

/// Every name a graph of this description asks for in the given scheme.
std::vector<std::string> NamesOf(const std::string& description, const std::string& scheme) {
  GraphDescription d = *LoadGraphDescription(description);
  std::erase_if(d.schemes, [&](const NameScheme& s) { return s.name != scheme; });
  RecordingSource source;
  EXPECT_TRUE(BuildResnet(d, source).ok());
  return source.recorded.Names();
}

TEST(NameSchemes, AreThoseOfThePublishedCheckpoints) {
  const auto torchvision = NamesOf("resnet50", "torchvision");
  EXPECT_EQ(torchvision.size(),
            267u);  // 320 in the checkpoint, 53 of which are num_batches_tracked.
  EXPECT_THAT(torchvision, Contains("conv1.weight"));
  EXPECT_THAT(torchvision, Contains("layer4.2.bn3.running_var"));
  EXPECT_THAT(torchvision, Contains("layer1.0.downsample.1.running_mean"));
  EXPECT_THAT(torchvision, Not(Contains("layer1.1.downsample.0.weight")));
  const auto hugging = NamesOf("resnet50", "huggingface");
  EXPECT_EQ(hugging.size(), 267u);
  EXPECT_THAT(hugging, Contains("resnet.embedder.embedder.convolution.weight"));
  EXPECT_THAT(hugging, Contains("resnet.embedder.embedder.normalization.running_var"));
  EXPECT_THAT(hugging, Contains("resnet.encoder.stages.3.layers.2.layer.2.normalization.bias"));
  EXPECT_THAT(hugging, Contains("resnet.encoder.stages.0.layers.0.shortcut.convolution.weight"));
  EXPECT_THAT(hugging, Contains("classifier.1.bias"));
  const auto timm = NamesOf("resnet50_v2", "timm-v2");
  EXPECT_THAT(timm, Contains("stem.conv.weight"));
  EXPECT_THAT(timm, Contains("stages.3.blocks.2.norm3.running_var"));
  EXPECT_THAT(timm, Contains("stages.0.blocks.0.downsample.conv.weight"));
  EXPECT_THAT(timm, Contains("norm.running_mean"));
  EXPECT_THAT(timm, Contains("head.fc.weight"));
  const auto cifar = NamesOf("cifar_resnet20", "idelbayev");
  EXPECT_THAT(cifar, Contains("layer3.2.bn2.running_var"));
  EXPECT_THAT(cifar, Contains("linear.weight"));
}

class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    description_ = Tiny(1, "basic", "projection", "torchvision");
    RecordingSource source;
    const auto graph = BuildResnet(description_, source);
    ASSERT_TRUE(graph.ok());
    tensors_ = source.recorded;
    reference_ = *graph;
  }
  GraphDescription description_;
  MapSource tensors_;
  Graph reference_;
};

TEST_F(CheckpointTest, PrefixesAreTakenOffAndCountersIgnored) {
  MapSource prefixed;
  for (const auto& [name, t] : tensors_.tensors_) prefixed.tensors_["module.model." + name] = t;
  prefixed.Set("module.model.bn1.num_batches_tracked", {}, {3});
  const auto graph = BuildResnet(description_, prefixed);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  ASSERT_EQ(graph->tensors.size(), reference_.tensors.size());
  for (size_t i = 0; i < graph->tensors.size(); ++i) {
    EXPECT_EQ(graph->tensors[i].name, reference_.tensors[i].name);
    EXPECT_THAT(graph->tensors[i].values<float>(),
                ::testing::ElementsAreArray(reference_.tensors[i].values<float>()));
  }
}

TEST_F(CheckpointTest, FineTunedClassesFollowTheWeights) {
  tensors_.Set("fc.weight", {4, 12}, std::vector<float>(48, 0.5f));
  tensors_.Set("fc.bias", {4}, {1, 2, 3, 4});
  const auto graph = BuildResnet(description_, tensors_);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph->tensor(graph->outputs[0]).shape, (Shape{1, 4}));
  EXPECT_TRUE(graph->metadata.labels.empty());
  EXPECT_EQ(reference_.metadata.labels.size(), 6u);
  // As timm stores a dense layer.
  tensors_.Set("fc.weight", {4, 12, 1, 1}, std::vector<float>(48, 0.5f));
  EXPECT_TRUE(BuildResnet(description_, tensors_).ok());
  tensors_.Set("fc.bias", {5}, {1, 2, 3, 4, 5});
  EXPECT_THAT(BuildResnet(description_, tensors_).status().message(),
              HasSubstr("fc.bias is [5] instead of [4]"));
}

TEST_F(CheckpointTest, EverythingThatDoesNotFitIsListedAtOnce) {
  tensors_.tensors_.erase("bn1.running_var");
  tensors_.tensors_.erase("layer2.0.conv2.weight");
  tensors_.Set("layer1.0.bn1.bias", {9}, std::vector<float>(9));
  tensors_.Set("teacher.weight", {1}, {0});
  const auto graph = BuildResnet(description_, tensors_);
  EXPECT_EQ(graph.status().code(), StatusCode::kInvalidArgument);
  const std::string& text = graph.status().message();
  EXPECT_THAT(text, HasSubstr("2 missing: bn1.running_var, layer2.0.conv2.weight"));
  EXPECT_THAT(text, HasSubstr("1 of wrong shape: layer1.0.bn1.bias is [9] instead of [8]"));
  EXPECT_THAT(text, HasSubstr("1 not used: teacher.weight"));
}

TEST_F(CheckpointTest, ValuesMustBeUsable) {
  MapSource broken = tensors_;
  broken.tensors_.at("conv1.weight").second[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(BuildResnet(description_, broken).status().message(),
              HasSubstr("tensor 'conv1.weight': element 5: found nan"));
  broken = tensors_;
  broken.tensors_.at("bn1.running_var").second[2] = -1.0f;
  EXPECT_THAT(BuildResnet(description_, broken).status().message(),
              HasSubstr("'bn1.running_var' has the value -1 at channel 2"));
}

}  // namespace
}  // namespace octet
