// Graph descriptions and the networks built from them.
#include "converter/import/checkpoints/resnet_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "converter/import/checkpoints/checkpoint.h"
#include "converter/import/checkpoints/synthetic_tensors.h"
#include "converter/import/importer.h"
#include "converter/import/onnx/reader.h"
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

/// Answers every request with ones.
class OnesSource : public TensorSource {
 public:
  std::vector<std::string> Names() const override { return {}; }
  std::optional<std::vector<int64_t>> FindShape(const TensorRequest& r) const override {
    return r.shape;
  }
  Result<std::vector<float>> Read(const TensorRequest& r) override {
    int64_t n = 1;
    for (const int64_t d : r.shape) n *= d;
    return std::vector<float>(static_cast<size_t>(n), 1.0f);
  }
};

TEST(GraphDescriptions, ShippedOnesHaveTheKnownNumberOfParameters) {
  // Published parameter counts; batch norm counts as two numbers per channel in both.
  const std::map<std::string, int64_t> published = {{"resnet18", 11689512},
                                                    {"resnet34", 21797672},
                                                    {"resnet50", 25557032},
                                                    {"resnet101", 44549160},
                                                    {"resnet152", 60192808},
                                                    {"resnet50_v1", 25557032},
                                                    {"resnet50_v2", 25549352},
                                                    {"resnet101_v2", 44541480},
                                                    {"wide_resnet50_2", 68883240},
                                                    {"wide_resnet101_2", 126886696},
                                                    {"cifar_resnet18", 11173962},
                                                    {"cifar_resnet34", 21282122},
                                                    {"cifar_resnet50", 23520842},
                                                    {"cifar_resnet101", 42512970},
                                                    {"cifar_resnet152", 58156618},
                                                    {"cifar_preact_resnet18", 11171146},
                                                    {"cifar_preact_resnet18_bn", 11172170},
                                                    {"cifar_resnet20", 269722},
                                                    {"cifar_resnet32", 464154},
                                                    {"cifar_resnet44", 658586},
                                                    {"cifar_resnet56", 853018},
                                                    {"cifar_resnet110", 1727962},
                                                    {"cifar_resnet20b", 272474},
                                                    {"cifar_resnet56b", 855770},
                                                    {"cifar_wrn16_4", 2748890},
                                                    {"cifar_wrn28_10", 36479194},
                                                    {"cifar_wrn34_10", 46160474},
                                                    {"cifar_wrn40_2", 2243546},
                                                    {"flowers_resnet", 2815653}};
  std::map<std::string, int64_t> found;
  for (const std::string& name : GraphDescriptionNames()) {
    const auto description = LoadGraphDescription(name);
    ASSERT_TRUE(description.ok()) << description.status().message();
    EXPECT_EQ(description->name, name);
    OnesSource source;
    const auto graph = BuildResnet(*description, source);
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    if (published.count(name)) found[name] = Parameters(*graph);
    EXPECT_EQ(graph->metadata.name, name);
    if (!description->labels.empty()) {
      EXPECT_EQ(graph->metadata.labels.size(),
                static_cast<size_t>(graph->tensor(graph->outputs[0]).shape.back()));
    }
  }
  EXPECT_EQ(found, published);
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
  EXPECT_EQ(error("{"), "f.json: not valid JSON, line 1, column 2");
  EXPECT_EQ(error(""), "f.json: not valid JSON, line 1, column 1");
  EXPECT_EQ(error("{\n  \"a\": 1,\n  \"b\": [1, 2,]\n}\n"),
            "f.json: not valid JSON, line 3, column 14");
  EXPECT_EQ(error("{\"a\": 1}\n\nx"), "f.json: not valid JSON, line 3, column 1");
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
              HasSubstr("'none' is not one of: d-x-y, detectron2, huggingface"));
  EXPECT_THAT(with("[\"torchvision\"]", "[\"timm-v2\"]"),
              HasSubstr("'timm-v2' has no 'stem.norm'"));
  EXPECT_THAT(with("[\"torchvision\"]", "[{\"stem\":\"conv1\"}]"),
              HasSubstr("'names': 'stem' is not a known field"));
  EXPECT_THAT(with("[\"torchvision\"]", "[{\"dense\":[\"fc\",1]}]"),
              HasSubstr("'names': 'dense' is not a name or a list of names"));
  EXPECT_THAT(with("\"block\":\"basic\"", "\"block\":\"basic\",\"strided_conv\":3"),
              HasSubstr("'strided_conv' is 3, expected 1 to 2"));
  EXPECT_THAT(with("\"block\":\"basic\"", "\"block\":\"basic\",\"final_norm\":false"),
              HasSubstr("'final_norm' goes with version 2 only"));
  EXPECT_THAT(with("\"block\":\"basic\"", "\"block\":\"basic\",\"groups\":32"),
              HasSubstr("'groups' is not a known field"));
  EXPECT_THAT(error(R"({"like":"no_such"})"), HasSubstr("'like' is not the name"));
  EXPECT_THAT(error(R"({"like":"names"})"), HasSubstr("'like' is not the name"));
  EXPECT_THAT(error(R"({"like":"resnet18","widht":2})"), HasSubstr("'widht' is not a known field"));
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

TEST(GraphDescriptions, MayBeLikeOneThatShips) {
  const auto d = ParseGraphDescription(
      R"({"like":"cifar_resnet18","name":"mine","architecture":{"stem":{"channels":32}}})", "f");
  ASSERT_TRUE(d.ok()) << d.status().message();
  EXPECT_EQ(d->name, "mine");
  EXPECT_EQ(d->height, 32);
  EXPECT_EQ(d->stem.channels, 32);
  EXPECT_EQ(d->stem.kernel, 3);
  EXPECT_EQ(d->stages.size(), 4u);
  EXPECT_EQ(d->preprocessing.resize, ResizeRule::kStretch);
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
    if (d_.stem_norm) x = Relu(Norm(x, "bn1"));
    x = Op("MaxPool", {x},
           {{"kernel_shape", Dims{3, 3}}, {"strides", Dims{2, 2}}, {"pads", Dims{1, 1, 1, 1}}});
    int channels = d_.stem.channels;
    const bool bottleneck = d_.block == GraphDescription::Block::kBottleneck;
    for (size_t s = 0; s < d_.stages.size(); ++s) {
      for (int b = 0; b < d_.stages[s].blocks; ++b) {
        const int stride = b == 0 ? d_.stages[s].stride : 1;
        const std::string p = "layer" + std::to_string(s + 1) + "." + std::to_string(b) + ".";
        const int out = d_.stages[s].channels * d_.expansion;
        x = Block(x, p, stride, channels, out, bottleneck);
        channels = out;
      }
    }
    if (d_.version == 2 && d_.final_norm) x = Relu(Norm(x, "bn"));
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
        if (d_.shortcut != GraphDescription::Shortcut::kProjection) {
          if (stride != 1) {
            b_.Initializer(testing::IntTensor(p + "begin", {2}, {0, 0}))
                .Initializer(testing::IntTensor(p + "end", {2}, {1000, 1000}));
            b_.Initializer(testing::IntTensor(p + "axes", {2}, {2, 3}))
                .Initializer(testing::IntTensor(p + "steps", {2}, {stride, stride}));
            shortcut = Op("Slice", {shortcut, p + "begin", p + "end", p + "axes", p + "steps"});
          }
          const bool behind = d_.shortcut == GraphDescription::Shortcut::kPadBehind;
          const int64_t front = behind ? 0 : (out - in) / 2;
          b_.Initializer(
              testing::IntTensor(p + "pads", {8}, {0, front, 0, 0, 0, out - in - front, 0, 0}));
          shortcut = Op("Pad", {shortcut, p + "pads"});
        } else if (d_.version == 2) {
          shortcut = Conv(d_.activated_shortcut ? y : x, p + "downsample.0", 1, stride);
        } else {
          shortcut = Norm(Conv(x, p + "downsample.0", 1, stride), p + "downsample.1");
        }
      }
      const bool strided = k + 1 == d_.strided_conv;
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
  void (*change)(GraphDescription*) = [](GraphDescription*) {};
};

class BuildResnetTest : public ::testing::TestWithParam<Variant> {};

TEST_P(BuildResnetTest, ComputesWhatTheArchitectureSays) {
  const Variant v = GetParam();
  GraphDescription d = Tiny(v.version, v.block, v.shortcut, v.names);
  v.change(&d);
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
                                           Variant{2, "bottleneck", "projection", "timm-v2"},
                                           Variant{1, "basic", "pad-behind", "idelbayev"},
                                           Variant{1, "bottleneck", "projection", "torchvision",
                                                   [](GraphDescription* d) {
                                                     d->strided_conv = 1;
                                                     d->expansion = 2;
                                                   }},
                                           Variant{2, "basic", "projection", "torchvision",
                                                   [](GraphDescription* d) {
                                                     d->strided_conv = 2;
                                                     d->activated_shortcut = false;
                                                   }},
                                           Variant{2, "basic", "projection", "torchvision",
                                                   [](GraphDescription* d) {
                                                     d->stem_norm = true;
                                                     d->final_norm = false;
                                                   }}));

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

/// `name` with texts replaced, one after the other; "^x" only where the name begins with x.
std::string Rename(std::string name,
                   const std::vector<std::pair<std::string, std::string>>& replacements) {
  for (const auto& [from, to] : replacements) {
    if (from[0] == '^') {
      if (name.starts_with(from.substr(1))) name = to + name.substr(from.size() - 1);
      continue;
    }
    for (size_t at = 0; (at = name.find(from, at)) != std::string::npos; at += to.size())
      name.replace(at, from.size(), to);
  }
  return name;
}

/// How a public code base calls what torchvision's scheme calls "layer1.0.conv1" and so on.
struct CodeBase {
  const char* title;
  int version;
  const char* block;
  const char* shortcut;
  std::vector<std::pair<std::string, std::string>> names;
  const char* scheme;  ///< That must be found.
  void (*change)(GraphDescription*) = [](GraphDescription*) {};
};

const CodeBase kCodeBases[] = {
    {"torchvision, timm, bearpaw, chenyaofo, huyvnphan, junyuseu",
     1,
     "basic",
     "projection",
     {},
     "torchvision"},
    {"kuangliu, MadryLab robustness, cutout, mixup",
     1,
     "basic",
     "projection",
     {{"downsample", "shortcut"}, {"^fc.", "linear."}},
     "torchvision"},
    {"kuangliu's bottlenecks under DataParallel",
     1,
     "bottleneck",
     "projection",
     {{"downsample", "shortcut"}, {"^fc.", "linear."}, {"^", "module."}},
     "torchvision"},
    {"Lightning around a backbone and a classifier",
     1,
     "basic",
     "projection",
     {{"^fc.", "classifier."},
      {"^conv1", "backbone.conv1"},
      {"^bn1", "backbone.bn1"},
      {"^layer", "backbone.layer"},
      {"^", "model."}},
     "torchvision"},
    {"mmpretrain",
     1,
     "bottleneck",
     "projection",
     {{"^fc.", "head.fc."},
      {"^conv1", "backbone.conv1"},
      {"^bn1", "backbone.bn1"},
      {"^layer", "backbone.layer"}},
     "torchvision"},
    {"cadene", 1, "bottleneck", "projection", {{"^fc.", "last_linear."}}, "torchvision"},
    {"torchvision's head behind Dropout",
     1,
     "basic",
     "projection",
     {{"^fc.", "fc.1."}},
     "torchvision"},
    {"children() in a Sequential",
     1,
     "basic",
     "projection",
     {{"^conv1.", "features.0."},
      {"^bn1.", "features.1."},
      {"^layer1", "features.4"},
      {"^layer2", "features.5"}},
     "sequential"},
    {"akamaster, Idelbayev", 1, "basic", "pad", {{"^fc.", "linear."}}, "torchvision"},
    {"D-X-Y, icarl",
     1,
     "basic",
     "pad-behind",
     {{"^conv1.", "conv_1_3x3."},
      {"^bn1.", "bn_1."},
      {"^fc.", "classifier."},
      {"^layer", "stage_"},
      {".conv1.", ".conv_a."},
      {".conv2.", ".conv_b."},
      {".bn1.", ".bn_a."},
      {".bn2.", ".bn_b."}},
     "d-x-y"},
    {"weiaicunzai",
     1,
     "basic",
     "projection",
     {{".conv1.", ".residual_function.0."},
      {".bn1.", ".residual_function.1."},
      {".conv2.", ".residual_function.3."},
      {".bn2.", ".residual_function.4."},
      {"^conv1.", "conv1.0."},
      {"^bn1.", "conv1.1."},
      {"^layer1", "conv2_x"},
      {"^layer2", "conv3_x"},
      {"downsample", "shortcut"}},
     "weiaicunzai"},
    {"weiaicunzai's bottlenecks",
     1,
     "bottleneck",
     "projection",
     {{".conv1.", ".residual_function.0."},
      {".bn1.", ".residual_function.1."},
      {".conv2.", ".residual_function.3."},
      {".bn2.", ".residual_function.4."},
      {".conv3.", ".residual_function.6."},
      {".bn3.", ".residual_function.7."},
      {"^conv1.", "conv1.0."},
      {"^bn1.", "conv1.1."},
      {"^layer1", "conv2_x"},
      {"^layer2", "conv3_x"},
      {"downsample", "shortcut"}},
     "weiaicunzai"},
    {"hysts",
     1,
     "basic",
     "projection",
     {{"^conv1.", "conv."},
      {"^bn1.", "bn."},
      {"downsample.0", "shortcut.conv"},
      {"downsample.1", "shortcut.bn"},
      {"^layer1.0", "stage1.block1"},
      {"^layer1.1", "stage1.block2"},
      {"^layer2.0", "stage2.block1"}},
     "hysts"},
    {"detectron2",
     1,
     "bottleneck",
     "projection",
     {{".bn1.", ".conv1.norm."},
      {".bn2.", ".conv2.norm."},
      {".bn3.", ".conv3.norm."},
      {"^conv1.", "stem.conv1."},
      {"^bn1.", "stem.conv1.norm."},
      {"^layer1", "res2"},
      {"^layer2", "res3"},
      {"downsample.0", "shortcut"},
      {"downsample.1", "shortcut.norm"},
      {"^fc.", "linear."}},
     "detectron2"},
    {"pytorchcv",
     1,
     "basic",
     "projection",
     {{".conv1.", ".body.conv1.conv."},
      {".bn1.", ".body.conv1.bn."},
      {".conv2.", ".body.conv2.conv."},
      {".bn2.", ".body.conv2.bn."},
      {"downsample.0", "identity_conv.conv"},
      {"downsample.1", "identity_conv.bn"},
      {"^conv1.", "features.init_block.conv."},
      {"^bn1.", "features.init_block.bn."},
      {"^layer1.0", "features.stage1.unit1"},
      {"^layer1.1", "features.stage1.unit2"},
      {"^layer2.0", "features.stage2.unit1"},
      {"^fc.", "output."}},
     "pytorchcv"},
    {"pycls",
     1,
     "bottleneck",
     "projection",
     {{".conv1.", ".f.a."},
      {".bn1.", ".f.a_bn."},
      {".conv2.", ".f.b."},
      {".bn2.", ".f.b_bn."},
      {".conv3.", ".f.c."},
      {".bn3.", ".f.c_bn."},
      {"downsample.0", "proj"},
      {"downsample.1", "bn"},
      {"^conv1.", "stem.conv."},
      {"^bn1.", "stem.bn."},
      {"^layer1.0", "s1.b1"},
      {"^layer1.1", "s1.b2"},
      {"^layer2.0", "s2.b1"},
      {"^fc.", "head.fc."}},
     "pycls"},
    {"kuangliu's pre-activation, RobustBench's with a norm",
     2,
     "basic",
     "projection",
     {{"downsample", "shortcut"}, {"^fc.", "linear."}},
     "torchvision"},
    {"kuangliu's pre-activation",
     2,
     "bottleneck",
     "projection",
     {{"downsample", "shortcut"}, {"^fc.", "linear."}},
     "torchvision",
     [](GraphDescription* d) { d->final_norm = false; }},
    {"weiaicunzai's pre-activation",
     2,
     "basic",
     "projection",
     {{".conv1.", ".residual.2."},
      {".bn1.", ".residual.0."},
      {".conv2.", ".residual.5."},
      {".bn2.", ".residual.3."},
      {"downsample.0", "shortcut"},
      {"^conv1.", "pre.0."},
      {"^bn1.", "pre.1."},
      {"^layer", "stage"},
      {"^fc.", "linear."}},
     "weiaicunzai-preact",
     [](GraphDescription* d) {
       d->stem_norm = true;
       d->final_norm = false;
     }},
    {"xternalz, TRADES, RobustBench: Wide ResNets",
     2,
     "basic",
     "projection",
     {{"^bn.", "bn1."},
      {"downsample.0", "convShortcut"},
      {"^layer1.", "block1.layer."},
      {"^layer2.", "block2.layer."}},
     "wide-resnet"},
    {"meliketoy's Wide ResNets",
     2,
     "basic",
     "projection",
     {{"^bn.", "bn1."}, {"downsample", "shortcut"}, {"^fc.", "linear."}},
     "torchvision"},
    {"timm's pre-activation",
     2,
     "bottleneck",
     "projection",
     {{"^conv1.", "stem.conv."},
      {"^bn.", "norm."},
      {".bn", ".norm"},
      {"^layer1", "stages.0.blocks"},
      {"^layer2", "stages.1.blocks"},
      {"downsample.0", "downsample.conv"},
      {"^fc.", "head.fc."}},
     "timm-v2"},
};

TEST(NameSchemes, EveryCodeBaseGivesTheSameNetwork) {
  for (const CodeBase& base : kCodeBases) {
    SCOPED_TRACE(base.title);
    GraphDescription d = Tiny(base.version, base.block, base.shortcut, "torchvision");
    base.change(&d);
    RecordingSource source;
    const auto expected = BuildResnet(d, source);
    ASSERT_TRUE(expected.ok()) << expected.status().message();
    MapSource renamed;
    for (const auto& [name, t] : source.recorded.tensors_)
      renamed.tensors_[Rename(name, base.names)] = t;
    ASSERT_EQ(renamed.tensors_.size(), source.recorded.tensors_.size());
    GraphDescription any = Tiny(base.version, base.block, base.shortcut, "*");
    base.change(&any);
    // Which roles are needed is known when the schemes are read.
    const auto lacks = [&](const NameScheme& s) {
      return any.stem_norm && !s.patterns.count("stem.norm");
    };
    std::erase_if(any.schemes, lacks);
    if (!any.final_norm) any.schemes = Tiny(1, base.block, "pad", "weiaicunzai-preact").schemes;
    if (!any.final_norm) {
      const auto more = Tiny(2, base.block, base.shortcut, "torchvision").schemes;
      any.schemes.insert(any.schemes.end(), more.begin(), more.end());
    }
    EXPECT_THAT(any.schemes, Contains(::testing::Field(&NameScheme::name, base.scheme)));
    const auto graph = BuildResnet(any, renamed);
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    ASSERT_EQ(graph->tensors.size(), expected->tensors.size());
    for (size_t i = 0; i < graph->tensors.size(); ++i) {
      EXPECT_EQ(graph->tensors[i].name, expected->tensors[i].name);
      EXPECT_TRUE(std::ranges::equal(graph->tensors[i].values<float>(),
                                     expected->tensors[i].values<float>()))
          << graph->tensors[i].name;
    }
    // Each tensor is missed by its name, and no other is.
    const std::string victim = renamed.tensors_.begin()->first;
    renamed.tensors_.erase(victim);
    EXPECT_THAT(BuildResnet(any, renamed).status().message(), HasSubstr("; 1 missing: " + victim));
  }
}

TEST(NameSchemes, ModulesThatAreNeverRunAreSaid) {
  const GraphDescription d = Tiny(2, "basic", "projection", "wide-resnet");
  RecordingSource source;
  const auto expected = BuildResnet(d, source);
  ASSERT_TRUE(expected.ok());
  MapSource tensors = source.recorded;
  tensors.Set("sub_block1.layer.0.conv1.weight", {1}, {2});
  ImportOptions options;
  std::vector<std::string> notes;
  options.notes = &notes;
  const auto graph = BuildResnet(d, tensors, options);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_THAT(notes, ::testing::ElementsAre(HasSubstr("sub_block1.layer.0.conv1.weight")));
  tensors.Set("sub_block2.layer.0.conv1.weight", {1}, {2});
  EXPECT_THAT(BuildResnet(d, tensors).status().message(),
              HasSubstr("1 not used: sub_block2.layer.0.conv1.weight"));
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

TEST_F(CheckpointTest, ConvolutionsMayHaveABias) {
  tensors_.Set("layer1.0.conv1.bias", {8}, {1, 2, 3, 4, 5, 6, 7, 8});
  const auto graph = BuildResnet(description_, tensors_);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  bool found = false;
  for (const Node& node : graph->nodes) {
    if (node.name != "layer1.0.conv1") continue;
    found = true;
    ASSERT_EQ(node.inputs.size(), 3u);
    EXPECT_THAT(graph->tensor(node.inputs[2]).values<float>(),
                ::testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  }
  EXPECT_TRUE(found);
  tensors_.Set("layer1.0.conv1.bias", {7}, std::vector<float>(7));
  EXPECT_THAT(BuildResnet(description_, tensors_).status().message(),
              HasSubstr("layer1.0.conv1.bias is [7] instead of [8]"));
}

TEST_F(CheckpointTest, OneMissingTensorOfTheStemIsNamedAlone) {
  tensors_.tensors_.erase("conv1.weight");
  const std::string text = BuildResnet(description_, tensors_).status().message();
  EXPECT_THAT(text, HasSubstr("; 1 missing: conv1.weight"));
  EXPECT_THAT(text, Not(HasSubstr("layer1.0.")));
}

TEST_F(CheckpointTest, ValuesMustBeUsable) {
  MapSource broken = tensors_;
  broken.tensors_.at("conv1.weight").second[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(BuildResnet(description_, broken).status().message(),
              HasSubstr("tensor 'conv1.weight': element 5: found nan"));
  broken = tensors_;
  broken.tensors_.at("bn1.running_var").second[2] = -1.0f;
  EXPECT_THAT(BuildResnet(description_, broken).status().message(),
              HasSubstr("tensor 'bn1.running_var': its variance is -1 at channel 2"));
}

// -- Weights that are stored in parts, and several sets of them --

constexpr float kV[] = {3, -1, 2, 0.5f, 4, -2};

/// The values of `name` in a source that has weights v of shape [2,3] and the given others.
std::vector<float> WholeOf(const std::string& name, const MapSource& source) {
  MapSource copy = source;
  auto tensors = NetworkTensors::Make(copy, {});
  EXPECT_TRUE(tensors.ok());
  EXPECT_THAT(tensors->Names(), ::testing::ElementsAre(name));
  EXPECT_EQ(tensors->FindShape({name, {}, TensorRole::kWeights, false}),
            (std::vector<int64_t>{2, 3}));
  const auto values = tensors->Read({name, {2, 3}, TensorRole::kWeights, false});
  EXPECT_TRUE(values.ok()) << values.status().message();
  return values.ok() ? *values : std::vector<float>();
}

TEST(NetworkTensors, PruningMasksAreMultiplied) {
  MapSource source;
  source.Set("a.weight_orig", {2, 3}, {std::begin(kV), std::end(kV)});
  source.Set("a.weight_mask", {2, 3}, {1, 0, 1, 0, 1, 1});
  EXPECT_THAT(WholeOf("a.weight", source), ::testing::ElementsAre(3, 0, 2, 0, 4, -2));
  source.Set("a.weight_mask", {3, 2}, {1, 0, 1, 0, 1, 1});
  auto tensors = NetworkTensors::Make(source, {});
  EXPECT_THAT(tensors->Read({"a.weight", {2, 3}, TensorRole::kWeights, false}).status().message(),
              HasSubstr("'a.weight_mask' does not fit 'a.weight_orig'"));
}

TEST(NetworkTensors, WeightNormOfBothNames) {
  const std::pair<std::string, std::string> kNames[] = {
      {"a.weight_v", "a.weight_g"},
      {"a.parametrizations.weight.original1", "a.parametrizations.weight.original0"}};
  for (const auto& [v, g] : kNames) {
    MapSource source;
    source.Set(v, {2, 3}, {std::begin(kV), std::end(kV)});
    // One norm a row, a column, and one of all.
    source.Set(g, {2, 1}, {2, -3});
    std::vector<float> w = WholeOf("a.weight", source);
    for (int i = 0; i < 6; ++i)
      EXPECT_NEAR(w[i], (i < 3 ? 2 : -3) * kV[i] / std::sqrt(i < 3 ? 14.0 : 20.25), 1e-6) << i;
    source.Set(g, {1, 3}, {2, -3, 4});
    w = WholeOf("a.weight", source);
    const double columns[] = {9.25, 17, 8}, gains[] = {2, -3, 4};
    for (int i = 0; i < 6; ++i)
      EXPECT_NEAR(w[i], gains[i % 3] * kV[i] / std::sqrt(columns[i % 3]), 1e-6) << i;
    source.Set(g, {}, {5});
    w = WholeOf("a.weight", source);
    for (int i = 0; i < 6; ++i) EXPECT_NEAR(w[i], 5 * kV[i] / std::sqrt(34.25), 1e-6) << i;
    for (const std::vector<int64_t>& shape :
         std::vector<std::vector<int64_t>>{{2}, {2, 3}, {1, 1}, {3, 1}}) {
      int64_t n = 1;
      for (const int64_t d : shape) n *= d;
      source.Set(g, shape, std::vector<float>(static_cast<size_t>(n), 1));
      auto tensors = NetworkTensors::Make(source, {});
      EXPECT_THAT(
          tensors->Read({"a.weight", {2, 3}, TensorRole::kWeights, false}).status().message(),
          HasSubstr("'" + g + "' does not fit '" + v + "'"));
    }
  }
}

TEST(NetworkTensors, SpectralNormOfBothNames) {
  for (const bool old : {true, false}) {
    MapSource source;
    const std::string p = "a.parametrizations.weight.";
    source.Set(old ? "a.weight_orig" : p + "original", {2, 3}, {std::begin(kV), std::end(kV)});
    source.Set(old ? "a.weight_u" : p + "0._u", {2}, {1, 2});
    source.Set(old ? "a.weight_v" : p + "0._v", {3}, {1, 0, 1});
    const std::vector<float> w = WholeOf("a.weight", source);
    for (int i = 0; i < 6; ++i) EXPECT_NEAR(w[i], kV[i] / (5 + 2 * -1.5), 1e-6) << i;
  }
}

TEST(NetworkTensors, PartsThatAreNotUnderstoodStayAndAreRefused) {
  const auto names = [](const std::vector<std::string>& list) {
    MapSource source;
    for (const std::string& name : list) source.Set(name, {1}, {1});
    return NetworkTensors::Make(source, {})->Names();
  };
  using List = std::vector<std::string>;
  for (const List& list : {List{"w_orig"}, List{"w_mask", "w_v"}, List{"w", "w_mask", "w_orig"},
                           List{"a.parametrizations.w.original"},
                           List{"a.other.w.original0", "a.other.w.original1"}}) {
    EXPECT_EQ(names(list), list);
  }
  // The parts of a norm may be pruned.
  EXPECT_EQ(names({"w_g", "w_v_mask", "w_v_orig"}), (List{"w"}));
}

TEST_F(CheckpointTest, WrappersOfPytorchAreTakenOff) {
  MapSource wrapped;
  for (const auto& [name, t] : tensors_.tensors_)
    wrapped.tensors_["_orig_mod." + Rename(name, {{"layer1.0.", "layer1.0._orig_mod."}})] = t;
  EXPECT_TRUE(BuildResnet(description_, wrapped).ok());
  // Where two become one, nothing is chosen.
  wrapped.tensors_["conv1.weight"] = wrapped.tensors_.at("_orig_mod.conv1.weight");
  EXPECT_THAT(BuildResnet(description_, wrapped).status().message(),
              HasSubstr("_orig_mod.conv1.weight"));
}

TEST_F(CheckpointTest, OfRawAndAveragedWeightsOneSetIsTakenAndTheOtherSaid) {
  for (const char* place :
       {"state_dict_ema.", "model_ema.module.", "ema.", "swa_model.", "ModelEMA."}) {
    MapSource both = tensors_;
    for (const auto& [name, t] : tensors_.tensors_) {
      both.tensors_[place + name] = t;
      if (name == "fc.bias") both.tensors_[place + name].second.assign(6, 7.0f);
    }
    const auto bias = [&](WeightsChoice choice, size_t num_notes) -> float {
      ImportOptions options;
      std::vector<std::string> notes;
      options.weights = choice;
      options.notes = &notes;
      const auto graph = BuildResnet(description_, both, options);
      EXPECT_TRUE(graph.ok()) << graph.status().message();
      EXPECT_EQ(notes.size(), num_notes);
      for (const std::string& note : notes) EXPECT_THAT(note, HasSubstr("--weights=ema"));
      for (const Tensor& t : graph->tensors) {
        if (t.name == "fc.bias") return t.values<float>()[0];
      }
      return 0;
    };
    const float raw = tensors_.tensors_.at("fc.bias").second[0];
    EXPECT_EQ(bias(WeightsChoice::kDefault, 1), raw);
    EXPECT_EQ(bias(WeightsChoice::kRaw, 0), raw);
    EXPECT_EQ(bias(WeightsChoice::kAveraged, 0), 7.0f);
  }
  ImportOptions options;
  options.weights = WeightsChoice::kAveraged;
  EXPECT_THAT(BuildResnet(description_, tensors_, options).status().message(),
              HasSubstr("--weights=ema: the checkpoint has no averaged weights"));
}

TEST_F(CheckpointTest, AveragedModelsAreTakenForWhatTheyAre) {
  MapSource averaged;
  for (const auto& [name, t] : tensors_.tensors_) averaged.tensors_["module." + name] = t;
  averaged.Set("n_averaged", {}, {3});
  ImportOptions options;
  std::vector<std::string> notes;
  options.notes = &notes;
  EXPECT_TRUE(BuildResnet(description_, averaged, options).ok());
  EXPECT_THAT(notes, ::testing::ElementsAre(HasSubstr("averages ('n_averaged')")));
  options.weights = WeightsChoice::kRaw;
  EXPECT_THAT(BuildResnet(description_, averaged, options).status().message(),
              HasSubstr("--weights=raw: the checkpoint has averaged weights only"));
}

}  // namespace
}  // namespace octet
