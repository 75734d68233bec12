// What raises the faithfulness of quantized networks: that it does, and that it changes nothing
// else.
#include "converter/tune/tune.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "converter/report/layers.h"
#include "converter/tune/branches.h"
#include "converter/tune/budget.h"
#include "converter/tune/equalize.h"
#include "converter/tune/pixels.h"
#include "converter/tune/second_order.h"
#include "engine/src/runner.h"

namespace octet {
namespace {

/// Every element times 2^power(index).
template <typename Power>
void Scale(Graph* g, Node* n, int slot, Power power) {
  const Tensor t = g->tensor(n->inputs[static_cast<size_t>(slot)]);
  std::vector<float> values(t.values<float>().begin(), t.values<float>().end());
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::ldexp(values[i], power(i));
  n->set_input(slot,
               g->AddConstant(t.name, DType::kF32, t.shape, values.data(), values.size() * 4));
}

Node& NodeOf(Graph* g, const std::string& name) {
  return *std::find_if(g->nodes.begin(), g->nodes.end(),
                       [&](const Node& n) { return n.name == name; });
}

/// Images of 12x12x3; a stem, and a block "sum" = relu(b(a(stem)) + project(stem)); 10 classes.
class Network {
 public:
  Network() {
    const TensorId image = graph.AddActivation("image", DType::kF32, {1, 12, 12, 3});
    graph.inputs = {image};
    const TensorId stem = Conv("stem", image, 16, 3, Activation::kRelu),
                   a = Conv("a", stem, 24, 3, Activation::kRelu),
                   project = Conv("project", stem, 32, 1, Activation::kNone),
                   b = Conv("b", a, 32, 3, Activation::kRelu, project);
    graph.tensor(b).name = "sum";
    const TensorId pool = graph.AddActivation("pool", DType::kF32, {1, 1, 1, 32}),
                   flat = graph.AddActivation("flat", DType::kF32, {1, 32}),
                   logits = graph.AddActivation("logits", DType::kF32, {1, 10}),
                   softmax = graph.AddActivation("softmax", DType::kF32, {1, 10});
    graph.AddNode(OpType::kGlobalAveragePool, "pool", {b}, pool);
    graph.AddNode(OpType::kReshape, "flatten", {pool}, flat);
    graph.AddNode(OpType::kDense, "fc", {flat, Constant("fc.w", {10, 32}, 1.0f)}, logits);
    graph.AddNode(OpType::kSoftmax, "softmax", {logits}, softmax);
    graph.outputs = {softmax};
  }

  /// The same function, its channels between "a" and "b" of sizes from 2^-4 to 2^4.
  void MakeBlockUneven() {
    Scale(&graph, &NodeOf(&graph, "a"), kInputWeights, [](size_t i) { return Uneven(i / 144); });
    Scale(&graph, &NodeOf(&graph, "a"), kInputBias, Uneven);
    Scale(&graph, &NodeOf(&graph, "b"), kInputWeights, [](size_t i) { return -Uneven(i % 24); });
  }

  /// The same function, one channel of the sum's tensors 64 times as large.
  void MakeStreamUneven() {
    const auto at = [](size_t c) { return c == 5 ? 6 : 0; };
    Scale(&graph, &NodeOf(&graph, "b"), kInputWeights, [&](size_t i) { return at(i / 216); });
    Scale(&graph, &NodeOf(&graph, "b"), kInputBias, at);
    Scale(&graph, &NodeOf(&graph, "project"), kInputWeights, [&](size_t i) { return at(i / 16); });
    Scale(&graph, &NodeOf(&graph, "project"), kInputBias, at);
    Scale(&graph, &NodeOf(&graph, "fc"), kInputWeights, [&](size_t i) { return -at(i % 32); });
  }

  Graph graph;

 private:
  static int Uneven(size_t c) { return static_cast<int>(c * 7 % 9) - 4; }

  TensorId Constant(const std::string& name, const Shape& shape, float gain) {
    const auto row = static_cast<float>(shape.num_elements() / shape[0]);
    std::normal_distribution<float> normal(0.0f, gain / std::sqrt(row));
    std::vector<float> values(static_cast<size_t>(shape.num_elements()));
    for (float& v : values) v = normal(random_);
    return graph.AddConstant(name, DType::kF32, shape, values.data(), values.size() * 4);
  }

  TensorId Conv(const std::string& name, TensorId x, int64_t channels, int kernel,
                Activation activation, TensorId residual = kNoTensor) {
    const TensorId y = graph.AddActivation(name, DType::kF32, {1, 12, 12, channels});
    const int64_t from = graph.tensor(x).shape[3];
    const TensorId w = Constant(name + ".w", {channels, kernel, kernel, from}, 1.5f),
                   bias = Constant(name + ".b", {channels}, 0.3f);
    Node& n = graph.AddNode(OpType::kConv2d, name, {x, w, bias, residual}, y);
    n.window.kernel_h = n.window.kernel_w = kernel;
    n.window.pad_top = n.window.pad_left = n.window.pad_bottom = n.window.pad_right = kernel / 2;
    n.activation = activation;
    return y;
  }

  std::mt19937 random_{5};  // Its numbers, unlike a distribution's, are the standard's.
};

/// Smooth images, so that neighbours go together as they do in photos.
std::vector<std::vector<float>> Photos(int count) {
  std::vector<std::vector<float>> photos;
  for (int n = 0; n < count; ++n) {
    std::vector<float>& photo = photos.emplace_back();
    for (int i = 0; i < 12 * 12 * 3; ++i) {
      const int y = i / 36, x = i / 3 % 12, c = i % 3;
      photo.push_back(std::sin(0.3f * static_cast<float>(y * (n % 5 - 2) + x * (n % 7 - 3)) +
                               static_cast<float>(c + n)));
    }
  }
  return photos;
}

std::vector<NamedSample> Held(int count) {
  std::vector<std::vector<float>> photos = Photos(count);
  std::vector<NamedSample> held;
  for (std::vector<float>& photo : photos)
    held.push_back({"", static_cast<int>(held.size()), std::move(photo)});
  return held;
}

DatasetSamples Samples(std::vector<std::vector<float>> photos) {
  DatasetSamples samples;
  samples.size = static_cast<int64_t>(photos.size());
  const auto at = std::make_shared<size_t>(0);
  samples.next = [at, photos](float* to) -> Result<bool> {
    if (*at == photos.size()) return false;
    std::copy(photos[*at].begin(), photos[*at].end(), to);
    ++*at;
    return true;
  };
  samples.label = [at] { return static_cast<int>(*at) - 1; };
  return samples;
}

std::vector<float> Answer(const Graph& graph, const std::vector<float>& photo) {
  const auto runner = GraphRunner::Create(graph);
  if (!runner.ok() || !(*runner)->Run(photo.data(), {}).ok()) return {};
  std::vector<float> answer((*runner)->output(0).size() / 4);
  std::memcpy(answer.data(), (*runner)->output(0).data(), answer.size() * 4);
  return answer;
}

Result<Tuned> TuneTo(Precision precision, const Graph& graph, std::vector<TuneStep> steps) {
  SampleSet set([] { return Result<DatasetSamples>(Samples(Photos(40))); }, {1, 12, 12, 3});
  TuneOptions options;
  options.steps = std::move(steps);
  const auto table = [&]() -> Result<CalibrationTable> {
    OCTET_ASSIGN_OR_RETURN(const DatasetSamples samples, set.Open());
    return Calibrate(graph, samples.next, options.calibration, {});
  }();
  if (!table.ok()) return table.status();
  OCTET_ASSIGN_OR_RETURN(const OutputMeter meter,
                         OutputMeter::Create(graph, [&] { return set.OpenHeld(); }));
  QuantizeOptions quantize;
  quantize.precision = precision;
  return Tune(graph, quantize, *table, &set, meter, options);
}

TEST(EqualizeTest, GivesEveryBitOfTheAnswers) {
  Network network;
  const std::vector<float> photo = Photos(1)[0], want = Answer(network.graph, photo);
  network.MakeBlockUneven();
  network.MakeStreamUneven();
  ASSERT_EQ(Answer(network.graph, photo), want);
  const auto magnitudes = MeasureChannels(network.graph, Held(8));
  ASSERT_TRUE(magnitudes.ok());
  int64_t channels = 0;
  const Result<Graph> equal = Equalize(network.graph, *magnitudes, &channels);
  ASSERT_TRUE(equal.ok()) << equal.status().message();
  EXPECT_GT(channels, 10);
  EXPECT_EQ(Answer(*equal, photo), want);
}

TEST(EqualizeTest, LeavesEvenNetworksAlone) {
  const Network network;
  const auto magnitudes = MeasureChannels(network.graph, Held(8));
  ASSERT_TRUE(magnitudes.ok());
  int64_t channels = -1;
  const Result<Graph> equal = Equalize(network.graph, *magnitudes, &channels);
  ASSERT_TRUE(equal.ok());
  EXPECT_LE(channels, 4);  // Of 104: chance makes some uneven.
}

TEST(EqualizeTest, LeavesWhatScalingWouldChange) {
  Network network;
  network.MakeBlockUneven();
  NodeOf(&network.graph, "a").activation = Activation::kRelu6;
  const auto magnitudes = MeasureChannels(network.graph, Held(8));
  ASSERT_TRUE(magnitudes.ok());
  const Result<Graph> equal = Equalize(network.graph, *magnitudes, nullptr);
  ASSERT_TRUE(equal.ok());
  Graph g = *equal;
  const auto weights = [](Graph* graph, const char* name) {
    const auto w =
        graph->tensor(NodeOf(graph, name).inputs[kInputWeights]).template values<float>();
    return std::vector<float>(w.begin(), w.end());
  };
  EXPECT_EQ(weights(&g, "a"), weights(&network.graph, "a"));
  EXPECT_EQ(Answer(g, Photos(1)[0]), Answer(network.graph, Photos(1)[0]));
}

TEST(BranchesTest, SwapKeepsTheFunction) {
  Network network;
  const std::vector<float> photo = Photos(1)[0], want = Answer(network.graph, photo);
  EXPECT_EQ(ProjectionBlocks(network.graph), std::vector<std::string>{"sum"});
  EXPECT_EQ(RoundedBranch(network.graph, "sum"), "project");
  ASSERT_TRUE(SwapBranches({"sum"}, &network.graph).ok());
  EXPECT_EQ(RoundedBranch(network.graph, "sum"), "sum.branch");
  const std::vector<float> got = Answer(network.graph, photo);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-6);
}

TEST(BranchesTest, SmallerRangeIsRounded) {
  Network network;
  Scale(&network.graph, &NodeOf(&network.graph, "project"), kInputWeights,
        [](size_t) { return 3; });
  const Result<Tuned> tuned = TuneTo(Precision::kInt8, network.graph, {TuneStep::kBranches});
  ASSERT_TRUE(tuned.ok()) << tuned.status().message();
  ASSERT_EQ(tuned->steps.size(), 1u);
  EXPECT_EQ(RoundedBranch(tuned->original, "sum"), tuned->steps[0].kept ? "sum.branch" : "project");
  // With the smaller range rounded already there is nothing to try.
  Network other;
  Scale(&other.graph, &NodeOf(&other.graph, "project"), kInputWeights, [](size_t) { return -3; });
  const Result<Tuned> same = TuneTo(Precision::kInt8, other.graph, {TuneStep::kBranches});
  ASSERT_TRUE(same.ok());
  EXPECT_TRUE(same->steps.empty());
}

/// Photos' pixels as ImageNet's networks get them; the network's preprocessing says so.
std::vector<std::vector<float>> Numbers(Graph* g) {
  Preprocessing& pre = g->metadata.preprocessing;
  pre.scale = 1.0f / 255.0f;
  pre.mean = {0.485f, 0.456f, 0.406f, 0.0f};
  pre.stddev = {0.229f, 0.224f, 0.225f, 1.0f};
  std::vector<std::vector<float>> photos = Photos(24);
  for (std::vector<float>& photo : photos) {
    for (size_t i = 0; i < photo.size(); ++i) {
      const float pixel = std::nearbyint(127.5f + 127.4f * photo[i]);
      photo[i] = (pixel * pre.scale - pre.mean[i % 3]) / pre.stddev[i % 3];
    }
  }
  return photos;
}

TEST(PixelsTest, NoPixelIsRounded) {
  Network network;
  Graph& g = network.graph;
  const std::vector<std::vector<float>> photos = Numbers(&g);
  size_t at = 0;
  const auto next = [&](float* to) -> Result<bool> {
    if (at == photos.size()) return false;
    std::copy(photos[at].begin(), photos[at].end(), to);
    ++at;
    return true;
  };
  const Result<CalibrationTable> table = Calibrate(g, next, {}, {});
  ASSERT_TRUE(table.ok()) << table.status().message();
  const std::optional<PixelGraph> pixels = TakePixels(g, *table);
  ASSERT_TRUE(pixels.has_value());
  EXPECT_EQ(pixels->convolution, "stem");
  EXPECT_EQ(pixels->padding, (std::vector<uint8_t>{124, 116, 104}));  // Of 123.7, 116.3, 103.5.
  QuantizeOptions options;
  options.precision = Precision::kInt8;
  const Result<Graph> quantized = QuantizePixels(*pixels, options);
  ASSERT_TRUE(quantized.ok()) << quantized.status().message();

  // The codes are the pixels, and the stem, edges and corners included, is as the float one's.
  const auto exact = GraphRunner::Create(g), coded = GraphRunner::Create(*quantized);
  ASSERT_TRUE(exact.ok() && coded.ok()) << coded.status().message();
  std::vector<float> codes, want, got;
  const auto find = [](const GraphRunner& runner, const std::string& name, std::vector<float>* to) {
    return [&runner, name, to](TensorId id, const kernels::ActivationView& view) {
      const Tensor& t = runner.graph().tensor(id);
      if (t.name == name) AppendNumbers(t, view, to);
    };
  };
  ASSERT_TRUE(
      (*coded)->Run(photos[3].data(), find(**coded, "image.pixels.quantized", &codes)).ok());
  ASSERT_EQ(codes.size(), photos[3].size());
  for (size_t i = 0; i < codes.size(); ++i) {
    const Preprocessing& pre = g.metadata.preprocessing;
    EXPECT_NEAR((codes[i] * pre.scale - pre.mean[i % 3]) / pre.stddev[i % 3], photos[3][i], 1e-5);
  }
  ASSERT_TRUE((*exact)->Run(photos[3].data(), find(**exact, "stem", &want)).ok());
  ASSERT_TRUE((*coded)->Run(photos[3].data(), find(**coded, "stem", &got)).ok());
  ASSERT_EQ(got.size(), want.size());
  const float largest = *std::max_element(want.begin(), want.end());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 0.02f * largest) << i;
}

/// A network of bytes is the one of floats, second-order rounding included, without what makes
/// pixels of the floats.
TEST(PixelsTest, AreWhatANetworkOfBytesReads) {
  Network network;
  Graph& g = network.graph;
  const std::vector<std::vector<float>> photos = Numbers(&g);
  const Result<CalibrationTable> table = Calibrate(g, Samples(photos).next, {}, {});
  ASSERT_TRUE(table.ok()) << table.status().message();
  const std::optional<PixelGraph> pixels = TakePixels(g, *table);
  ASSERT_TRUE(pixels.has_value());
  std::vector<NamedSample> held;
  for (const std::vector<float>& photo : photos) held.push_back({"", -1, photo});
  const auto quantize = [&](DType input) -> Result<Graph> {
    QuantizeOptions options;
    options.precision = Precision::kInt8;
    options.input_type = input;
    OCTET_ASSIGN_OR_RETURN(Graph quantized, QuantizePixels(*pixels, options));
    Graph rounded = quantized;
    OCTET_RETURN_IF_ERROR(RoundSecondOrder(pixels->graph, quantized, held, &rounded, {}));
    return rounded;
  };
  const Result<Graph> floats = quantize(DType::kF32), bytes = quantize(DType::kU8);
  ASSERT_TRUE(floats.ok() && bytes.ok()) << bytes.status().message();
  const Graph& q = *bytes;
  ASSERT_TRUE(ValidateGraph(q).ok());
  EXPECT_TRUE(q.metadata.pixel_codes);
  EXPECT_FALSE(floats->metadata.pixel_codes);
  EXPECT_EQ(q.nodes.size() + 2, floats->nodes.size());
  EXPECT_EQ(q.nodes[0].name, "stem");
  EXPECT_EQ(q.nodes[0].inputs[kInputX], q.inputs[0]);
  EXPECT_EQ(q.tensor(q.inputs[0]).name, "image");
  const auto model = ModelFromGraph(q);
  ASSERT_TRUE(model.ok()) << model.status().message();
  const auto runner = GraphRunner::Create(*model);
  ASSERT_TRUE(runner.ok());
  const TensorDescription& input = (*model)->Describe().inputs[0];
  std::vector<uint8_t> codes(input.num_bytes());
  for (const std::vector<float>& photo : photos) {
    input.FromFloats(photo.data(), codes.data());
    ASSERT_TRUE((*runner)->Run(codes.data(), {}).ok());
    std::vector<float> answer((*runner)->output(0).size() / 4);
    std::memcpy(answer.data(), (*runner)->output(0).data(), answer.size() * 4);
    EXPECT_EQ(answer, Answer(*floats, photo));
  }
  // A stem in float reads evenly spaced codes.
  Tuned tuned;
  tuned.graph = q;
  tuned.original = g;
  tuned.table = *table;
  tuned.pixels = pixels;
  QuantizeOptions keep;
  keep.precision = Precision::kInt8;
  keep.input_type = DType::kU8;
  keep.keep = {"stem"};
  const Result<Graph> kept = Requantize(tuned, keep);
  ASSERT_TRUE(kept.ok()) << kept.status().message();
  EXPECT_FALSE(kept->metadata.pixel_codes);
  EXPECT_LT(kept->tensor(kept->inputs[0]).quantization.scale, 0.1f);
  keep.keep = {"a"};
  const Result<Graph> other = Requantize(tuned, keep);
  ASSERT_TRUE(other.ok()) << other.status().message();
  EXPECT_TRUE(other->metadata.pixel_codes);
}

/// Where nothing makes other numbers of pixels, scale and zero point say all.
TEST(PixelsTest, OfNoPreprocessingAreUsualCodes) {
  Network network;
  Graph& g = network.graph;
  CalibrationTable table;
  table.ranges["image"] = {0.0f, 250.0f};
  // A rescaling of the network's own.
  const TensorId scaled = g.AddActivation("scaled", DType::kF32, {1, 12, 12, 3});
  const float scale[3] = {0.1f, 0.2f, 0.3f}, shift[3] = {-10.0f, -20.0f, -30.0f};
  const TensorId a = g.AddConstant("scale", DType::kF32, {3}, scale, sizeof(scale)),
                 b = g.AddConstant("shift", DType::kF32, {3}, shift, sizeof(shift));
  Node rescale = UnaryNode(OpType::kScaleShift, "rescale", g.inputs[0], scaled);
  rescale.inputs = {g.inputs[0], a, b};
  NodeOf(&g, "stem").inputs[kInputX] = scaled;
  g.nodes.insert(g.nodes.begin(), rescale);
  const std::optional<PixelGraph> pixels = TakePixels(g, table);
  ASSERT_TRUE(pixels.has_value());
  PixelGraph all = *pixels;
  for (const Tensor& t : all.graph.tensors)
    if (!t.is_constant() && !all.table.ranges.contains(t.name)) all.table.ranges[t.name] = {-9, 9};
  QuantizeOptions options;
  options.precision = Precision::kInt8;
  options.input_type = DType::kU8;
  const Result<Graph> quantized = QuantizePixels(all, options);
  ASSERT_TRUE(quantized.ok()) << quantized.status().message();
  EXPECT_FALSE(quantized->metadata.pixel_codes);
  EXPECT_EQ(quantized->tensor(quantized->inputs[0]).quantization, (Quantization{1.0f, 0}));
  EXPECT_EQ(quantized->nodes[0].name, "stem");
}

TEST(PixelsTest, NotWhereTheCalibrationSawOtherNumbers) {
  Network network;
  Numbers(&network.graph);
  CalibrationTable table;
  for (const Range range : {Range{-1.0f, 1.0f}, Range{-2.0f, 3.0f}, Range{0.0f, 255.0f}}) {
    table.ranges["image"] = range;
    EXPECT_FALSE(TakePixels(network.graph, table).has_value()) << range.max;
  }
  table.ranges["image"] = {-2.1f, 2.6f};
  EXPECT_TRUE(TakePixels(network.graph, table).has_value());
  // Another reader would get pixels.
  network.graph.outputs.push_back(network.graph.inputs[0]);
  EXPECT_FALSE(TakePixels(network.graph, table).has_value());
}

/// Layer by layer, a network whose channels, branches and input are others is told from the float
/// one by its rounding alone: the layers' own errors add up to the whole.
TEST(TuneTest, LayersAreComparedAsIfNothingHadMoved) {
  Network network;
  Graph& g = network.graph;
  std::vector<NamedSample> held;
  for (std::vector<float>& photo : Numbers(&g)) held.push_back({"", -1, std::move(photo)});
  network.MakeBlockUneven();
  Scale(&g, &NodeOf(&g, "project"), kInputWeights, [](size_t) { return 2; });
  const auto calibrate = [&](const Graph& graph) {
    const auto next = [&held, at = size_t{0}](float* to) mutable -> Result<bool> {
      if (at == held.size()) return false;
      held[at++].input.CopyTo(to);
      return true;
    };
    return Calibrate(graph, next, {}, {});
  };
  const auto magnitudes = MeasureChannels(g, held);
  ASSERT_TRUE(magnitudes.ok());
  Result<Graph> moved = Equalize(g, *magnitudes, nullptr);
  ASSERT_TRUE(moved.ok());
  ASSERT_TRUE(SwapBranches({"sum"}, &*moved).ok());
  const Result<CalibrationTable> table = calibrate(*moved);
  ASSERT_TRUE(table.ok());
  const std::optional<PixelGraph> pixels = TakePixels(*moved, *table);
  ASSERT_TRUE(pixels.has_value());
  QuantizeOptions options;
  options.precision = Precision::kInt8;
  for (const DType input : {DType::kF32, DType::kU8}) {
    options.input_type = input;
    const Result<Graph> quantized = QuantizePixels(*pixels, options);
    ASSERT_TRUE(quantized.ok());
    const Result<LayerReport> report = CompareLayers(g, *quantized, held, {});
    ASSERT_TRUE(report.ok()) << report.status().message();
    EXPECT_NEAR(report->isolated_sum, 1.0, 0.3);
    EXPECT_TRUE(std::isinf(report->layers[0].isolated_sqnr_db));  // The input.
    for (const LayerDifference& d : report->layers) EXPECT_GT(d.sqnr_db, 25.0) << d.name;
    EXPECT_EQ(report->layers[0].precision, input == DType::kU8 ? "int8" : "fp32");
  }
}

/// Sum of the squares of what the errors `e` of one channel do to the answers.
double Effect(const InputProducts& p, const std::vector<double>& e) {
  double sum = 0.0;
  for (size_t i = 0; i < p.inputs; ++i) {
    for (size_t j = 0; j < p.inputs; ++j)
      sum += e[i] * e[j] * static_cast<double>(p.sums[std::max(i, j) * p.inputs + std::min(i, j)]);
  }
  return sum;
}

/// A layer of `inputs` inputs that go together, and weights for it.
struct Layer {
  Layer(size_t inputs, size_t channels) {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    products = {inputs, std::vector<float>(inputs * inputs, 0.0f)};
    std::vector<float> x(inputs);
    for (size_t sample = 0; sample < 3 * inputs; ++sample) {
      x[0] = normal(random);
      for (size_t i = 1; i < inputs; ++i) x[i] = 0.8f * x[i - 1] + 0.6f * normal(random) + 0.3f;
      for (size_t i = 0; i < inputs; ++i)
        for (size_t j = 0; j <= i; ++j) products.sums[i * inputs + j] += x[i] * x[j];
    }
    for (size_t i = 0; i < inputs * channels; ++i) weights.push_back(normal(random));
    for (size_t c = 0; c < channels; ++c) {
      float largest = 0.0f;
      for (size_t i = 0; i < inputs; ++i)
        largest = std::max(largest, std::fabs(weights[c * inputs + i]));
      scales.push_back(largest / 127.0f);
    }
  }
  InputProducts products;
  std::vector<float> weights, scales;
};

TEST(SecondOrderTest, AnswersAreNearerThanByRounding) {
  // Sizes around those of blocks: 16 channels, 64 columns.
  for (const auto& [inputs, channels] :
       std::vector<std::pair<size_t, size_t>>{{1, 1}, {3, 17}, {64, 16}, {65, 5}, {150, 33}}) {
    SCOPED_TRACE(inputs);
    const Layer layer(inputs, channels);
    const std::vector<int8_t> codes = RoundLayer(layer.weights, layer.scales, layer.products);
    ASSERT_EQ(codes.size(), layer.weights.size());
    double rounded = 0.0, nearest = 0.0;
    for (size_t c = 0; c < channels; ++c) {
      std::vector<double> a, b;
      for (size_t i = 0; i < inputs; ++i) {
        const double exact = static_cast<double>(layer.weights[c * inputs + i]) / layer.scales[c];
        a.push_back(exact - codes[c * inputs + i]);
        b.push_back(exact - std::nearbyint(exact));
        EXPECT_GE(codes[c * inputs + i], -127);
      }
      rounded += Effect(layer.products, a);
      nearest += Effect(layer.products, b);
    }
    if (inputs >= 64) {
      EXPECT_LT(rounded, 0.5 * nearest);
    }
    EXPECT_LE(rounded, 1.02 * nearest);
  }
}

TEST(SecondOrderTest, InputsThatDoNotGoTogetherAreRoundedToTheNearest) {
  Layer layer(20, 7);
  for (size_t i = 0; i < 20; ++i)
    for (size_t j = 0; j < i; ++j) layer.products.sums[i * 20 + j] = 0.0f;
  const std::vector<int8_t> codes = RoundLayer(layer.weights, layer.scales, layer.products);
  ASSERT_EQ(codes.size(), layer.weights.size());
  for (size_t i = 0; i < codes.size(); ++i)
    EXPECT_EQ(codes[i], std::nearbyint(layer.weights[i] / layer.scales[i / 20])) << i;
}

TEST(SecondOrderTest, NothingIsKnownOfInputsThatAreZero) {
  const Layer layer(8, 4);
  EXPECT_TRUE(RoundLayer(layer.weights, layer.scales, {8, std::vector<float>(64)}).empty());
}

TEST(SecondOrderTest, ThreadsDoNotMatter) {
  const Layer layer(200, 40);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const std::vector<int8_t> one = RoundLayer(layer.weights, layer.scales, layer.products);
  omp_set_num_threads(5);
  EXPECT_EQ(RoundLayer(layer.weights, layer.scales, layer.products), one);
  omp_set_num_threads(threads);
}

/// The integer sums of a network whose layers' codes were changed must still be those of its
/// weights: run against the float network with exactly those weights, it is off by activations
/// alone.
TEST(SecondOrderTest, BiasesFollowTheCodes) {
  const Network network;
  const std::vector<TuneStep> none;
  const Result<Tuned> plain = TuneTo(Precision::kInt8, network.graph, none),
                      rounded = TuneTo(Precision::kInt8, network.graph, {TuneStep::kRounding});
  ASSERT_TRUE(plain.ok() && rounded.ok());
  ASSERT_TRUE(rounded->steps[0].kept);
  int64_t changed = 0;
  for (size_t i = 0; i < plain->graph.nodes.size(); ++i) {
    const Node &a = plain->graph.nodes[i], &b = rounded->graph.nodes[i];
    if (a.input(kInputScales) == kNoTensor || a.input(kInputBias) == kNoTensor) continue;
    const auto old_codes = plain->graph.tensor(a.inputs[kInputWeights]).values<int8_t>(),
               codes = rounded->graph.tensor(b.inputs[kInputWeights]).values<int8_t>();
    const auto old_bias = plain->graph.tensor(a.inputs[kInputBias]).values<int32_t>(),
               bias = rounded->graph.tensor(b.inputs[kInputBias]).values<int32_t>();
    const int zero = plain->graph.tensor(a.inputs[kInputX]).quantization.zero_point;
    const size_t row = codes.size() / bias.size();
    for (size_t c = 0; c < bias.size(); ++c) {
      int difference = 0;
      for (size_t k = c * row; k < (c + 1) * row; ++k) {
        difference += old_codes[k] - codes[k];
        changed += old_codes[k] != codes[k];
      }
      EXPECT_EQ(bias[c] - old_bias[c], zero * difference) << a.name << " " << c;
    }
  }
  EXPECT_GT(changed, 100);
}

TEST(TuneTest, MakesUnevenNetworksAsGoodAsEvenOnes) {
  for (Precision precision : {Precision::kInt8, Precision::kInt16x8, Precision::kHybrid}) {
    SCOPED_TRACE(PrecisionName(precision));
    const Network even;
    Network uneven;
    uneven.MakeBlockUneven();
    uneven.MakeStreamUneven();
    const TuneOptions all;
    const Result<Tuned> good = TuneTo(precision, even.graph, all.steps),
                        hard = TuneTo(precision, uneven.graph, all.steps),
                        untuned = TuneTo(precision, uneven.graph, {});
    ASSERT_TRUE(good.ok() && hard.ok() && untuned.ok()) << hard.status().message();
    EXPECT_LT(untuned->sqnr_db, good->sqnr_db - 8.0);
    EXPECT_GT(hard->sqnr_db, good->sqnr_db - 2.0);
    for (const TuneResult& step : hard->steps)
      EXPECT_EQ(step.kept, step.after_db >= step.before_db + kWorthwhileDb);
  }
}

/// Networks of which nothing is left to tune are converted as ever.
TEST(TuneTest, OfNetworksWithoutLayersNothing) {
  for (const OpType type : {OpType::kSoftmax, OpType::kReshape, OpType::kRelu}) {
    Graph g;
    const TensorId image = g.AddActivation("image", DType::kF32, {1, 12, 12, 3});
    const bool flat = type == OpType::kReshape;
    const TensorId y =
        g.AddActivation("y", DType::kF32, flat ? Shape{1, 432} : Shape{1, 12, 12, 3});
    g.inputs = {image};
    g.AddNode(type, "only", {image}, y);
    g.outputs = {y};
    for (Precision precision : {Precision::kInt8, Precision::kHybrid}) {
      const Result<Tuned> tuned = TuneTo(precision, g, TuneOptions().steps);
      EXPECT_TRUE(tuned.ok()) << OpTypeName(type) << ": " << tuned.status().message();
    }
  }
}

TEST(TuneTest, SameBytesAgain) {
  Network network;
  network.MakeBlockUneven();
  const TuneOptions all;
  const Result<Tuned> a = TuneTo(Precision::kInt8, network.graph, all.steps),
                      b = TuneTo(Precision::kInt8, network.graph, all.steps);
  ASSERT_TRUE(a.ok() && b.ok());
  ASSERT_EQ(a->graph.tensors.size(), b->graph.tensors.size());
  for (size_t i = 0; i < a->graph.tensors.size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(a->graph.tensors[i].data, b->graph.tensors[i].data));
    EXPECT_EQ(a->graph.tensors[i].quantization, b->graph.tensors[i].quantization);
  }
}

struct Held40 {
  Held40(const Graph& g, std::vector<TuneStep> steps)
      : tuned(TuneTo(Precision::kInt8, g, std::move(steps))),
        meter(OutputMeter::Create(g, [] { return Result<DatasetSamples>(Samples(Photos(60))); })) {
    quantize.precision = Precision::kInt8;
  }
  Result<BudgetResult> Hold(const Budget& budget) {
    if (!tuned.ok()) return tuned.status();
    if (!meter.ok()) return meter.status();
    return HoldBudget(*tuned, quantize, budget, *meter, Held(40), {});
  }
  Result<Tuned> tuned;
  Result<OutputMeter> meter;
  QuantizeOptions quantize;
};

TEST(BudgetTest, LeavesTheFewestLayersInFloat) {
  Network network;
  network.MakeStreamUneven();
  Held40 all(network.graph, {});
  ASSERT_TRUE(all.tuned.ok() && all.meter.ok());
  const Result<OutputScore> int8 = all.meter->Score(all.tuned->graph);
  ASSERT_TRUE(int8.ok());
  // What int8 does by itself needs nothing.
  Budget budget;
  budget.min_sqnr_db = int8->sqnr_db - 1.0;
  Result<BudgetResult> r = all.Hold(budget);
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_TRUE(r->raised.empty());
  EXPECT_EQ(r->int8.sqnr_db, int8->sqnr_db);
  // More is had by a part of the layers, and each of them is needed.
  budget.min_sqnr_db = int8->sqnr_db + 6.0;
  r = all.Hold(budget);
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_GE(r->mixed.sqnr_db, *budget.min_sqnr_db);
  ASSERT_FALSE(r->raised.empty());
  EXPECT_LT(r->raised.size(), network.graph.nodes.size() - 2);
  const Result<OutputScore> again = all.meter->Score(r->graph);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->sqnr_db, r->mixed.sqnr_db);
  EXPECT_TRUE(ValidateGraph(r->graph).ok());
  // Exactness is had by floats alone.
  budget.min_sqnr_db = 110.0;
  r = all.Hold(budget);
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_GE(r->mixed.sqnr_db, 110.0);
  budget = {};
  budget.max_drop = 0.0;
  r = all.Hold(budget);
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_LE(r->mixed.drop(), 0.0);
}

TEST(BudgetTest, WithoutLabelsADropIsOfLabelsThatChange) {
  OutputScore score;
  score.samples = 200;
  score.changed = 3;
  EXPECT_DOUBLE_EQ(score.drop(), 1.5);
  score.labelled = 100;
  score.float_correct = 90;
  score.correct = 91;
  EXPECT_DOUBLE_EQ(score.drop(), -1.0);
  Budget budget;
  EXPECT_FALSE(budget.wanted());
  budget.max_drop = 0.0;
  EXPECT_TRUE(budget.Holds(score));
  budget.min_sqnr_db = 10.0;
  EXPECT_FALSE(budget.Holds(score));
}

Tensor WeightsOf(Graph* g, const char* name) {
  return g->tensor(NodeOf(g, name).inputs[kInputWeights]);
}

/// Kept layers are in float, and the others have the codes that they had.
TEST(BudgetTest, RequantizesWithTheSameWeights) {
  Network network;
  Numbers(&network.graph);
  const Result<Tuned> tuned = TuneTo(Precision::kInt8, network.graph, TuneOptions().steps);
  ASSERT_TRUE(tuned.ok());
  QuantizeOptions options;
  options.precision = Precision::kInt8;
  options.keep = {"a", "stem"};
  Result<Graph> mixed = Requantize(*tuned, options);
  ASSERT_TRUE(mixed.ok()) << mixed.status().message();
  ASSERT_TRUE(ValidateGraph(*mixed).ok());
  Graph whole = tuned->graph;
  EXPECT_EQ(WeightsOf(&*mixed, "a").dtype, DType::kF32);
  EXPECT_EQ(WeightsOf(&*mixed, "stem").dtype, DType::kF32);
  for (const char* name : {"b", "project"}) {
    EXPECT_EQ(WeightsOf(&*mixed, name).dtype, DType::kI8);
    EXPECT_TRUE(std::ranges::equal(WeightsOf(&*mixed, name).data, WeightsOf(&whole, name).data));
  }
}

/// Layers of int16 in an int8 network have the weights of int8, and those of float their own.
TEST(BudgetTest, WidensLayersWithTheSameWeights) {
  Network network;
  Numbers(&network.graph);
  const Result<Tuned> tuned = TuneTo(Precision::kInt8, network.graph, TuneOptions().steps);
  ASSERT_TRUE(tuned.ok());
  QuantizeOptions options;
  options.precision = Precision::kInt8;
  options.keep = {"stem"};
  options.widen = {"a"};
  Result<Graph> mixed = Requantize(*tuned, options);
  ASSERT_TRUE(mixed.ok()) << mixed.status().message();
  ASSERT_TRUE(ValidateGraph(*mixed).ok());
  Graph whole = tuned->graph;
  const auto type = [&](const char* name) {
    return mixed->tensor(NodeOf(&*mixed, name).inputs[kInputX]).dtype;
  };
  EXPECT_EQ(type("stem"), DType::kF32);
  EXPECT_EQ(type("a"), DType::kI16);
  EXPECT_EQ(type("b"), DType::kU8);
  for (const char* name : {"a", "b", "project"}) {
    EXPECT_EQ(WeightsOf(&*mixed, name).dtype, DType::kI8);
    EXPECT_TRUE(std::ranges::equal(WeightsOf(&*mixed, name).data, WeightsOf(&whole, name).data));
  }
  // All of them: nothing of int8 is left, and the answers are as near as int16x8's.
  for (const Node& n : network.graph.nodes) options.widen.push_back(n.name);
  options.keep.clear();
  const Result<Graph> all = Requantize(*tuned, options);
  ASSERT_TRUE(all.ok()) << all.status().message();
  for (const Tensor& t : all->tensors) EXPECT_NE(t.dtype, DType::kU8) << t.name;
  const Held40 meter(network.graph, {});
  const Result<Tuned> wide = TuneTo(Precision::kInt16x8, network.graph, TuneOptions().steps);
  ASSERT_TRUE(wide.ok() && meter.meter.ok());
  const Result<OutputScore> int8 = meter.meter->Score(tuned->graph),
                            some = meter.meter->Score(*mixed), most = meter.meter->Score(*all);
  ASSERT_TRUE(int8.ok() && some.ok() && most.ok());
  EXPECT_GT(some->sqnr_db, int8->sqnr_db);
  EXPECT_GT(most->sqnr_db, some->sqnr_db);
  EXPECT_NEAR(most->sqnr_db, meter.meter->Score(wide->graph)->sqnr_db, 2.0);
}

/// What is said of some samples never is worse than what is true of all.
TEST(OutputMeterTest, StopsWhereNothingCanBeSaved) {
  Network network;
  network.MakeStreamUneven();
  const Held40 all(network.graph, {});
  ASSERT_TRUE(all.tuned.ok() && all.meter.ok());
  const Result<OutputScore> whole = all.meter->Score(all.tuned->graph);
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->samples, 60);
  int told = 0;
  double last = std::numeric_limits<double>::infinity();
  const auto never = [&](const OutputScore& s) {
    ++told;
    EXPECT_LE(s.sqnr_db, last);
    EXPECT_GE(s.sqnr_db, whole->sqnr_db);
    EXPECT_LE(s.drop(), whole->drop());
    last = s.sqnr_db;
    return true;
  };
  const Result<OutputScore> watched = all.meter->Score(all.tuned->graph, never);
  ASSERT_TRUE(watched.ok());
  EXPECT_EQ(told, 60);
  EXPECT_EQ(watched->sqnr_db, whole->sqnr_db);
  EXPECT_EQ(watched->correct, whole->correct);
  told = 0;
  const Result<OutputScore> stopped =
      all.meter->Score(all.tuned->graph, [&](const OutputScore&) { return ++told < 7; });
  ASSERT_TRUE(stopped.ok());
  EXPECT_EQ(told, 7);
  EXPECT_GT(stopped->sqnr_db, whole->sqnr_db);
}

TEST(SampleValuesTest, GiveEveryBit) {
  std::vector<float> pixels, numbers;
  for (int i = 0; i < 40 * 40 * 3; ++i) {
    const int code = i * 7919 % 250;
    pixels.push_back((static_cast<float>(code) / 255.0f - 0.4f) /
                     (0.2f + static_cast<float>(i % 3)));
    numbers.push_back(static_cast<float>(i));
  }
  pixels[0] = -0.0f, pixels[3] = 0.0f;
  const SampleValues few(pixels, 3), many(numbers, 3), one(std::vector<float>{1.0f});
  EXPECT_EQ(few.size(), pixels.size());
  EXPECT_LT(few.bytes(), 2 * pixels.size());
  EXPECT_EQ(few.Floats(), pixels);
  EXPECT_TRUE(std::signbit(few.Floats()[0]));
  EXPECT_FALSE(std::signbit(few.Floats()[3]));
  EXPECT_EQ(many.bytes(), 4 * numbers.size());
  EXPECT_EQ(many.Floats(), numbers);
  EXPECT_EQ(one.Floats(), std::vector<float>{1.0f});
  // One number more than there are places for.
  pixels[6] = 9.0f;
  for (int i = 0; i < 256; ++i)
    pixels[static_cast<size_t>(3 * i + 9)] = static_cast<float>(i) + 0.5f;
  EXPECT_EQ(SampleValues(pixels, 3).Floats(), pixels);
}

TEST(SampleSetTest, HoldsThemAll) {
  int opened = 0;
  SampleSet set(
      [&] {
        ++opened;
        return Result<DatasetSamples>(Samples(Photos(7)));
      },
      {1, 12, 12, 3});
  std::vector<float> sample(12 * 12 * 3);
  for (int pass = 0; pass < 3; ++pass) {
    const Result<DatasetSamples> samples = set.Open();
    ASSERT_TRUE(samples.ok());
    for (int i = 0; i < 7; ++i) {
      ASSERT_TRUE(*samples->next(sample.data()));
      EXPECT_EQ(samples->label(), i);
      EXPECT_EQ(sample, Photos(7)[static_cast<size_t>(i)]);
    }
    // The first pass may end with the last sample.
    if (pass > 0) {
      EXPECT_FALSE(*samples->next(sample.data()));
    }
  }
  EXPECT_EQ(opened, 1);
  ASSERT_EQ(set.held().size(), 7u);
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(set.held()[i].input.Floats(), Photos(7)[i]);
    EXPECT_EQ(set.held()[i].label, static_cast<int>(i));
  }
}

TEST(SampleSetTest, OfManyItHoldsSomeFromEverywhere) {
  const size_t elements = kMostHeldBytes / 4 / 10;
  SampleSet set(
      [&] {
        DatasetSamples samples;
        samples.next = [n = 0, elements](float* to) mutable -> Result<bool> {
          for (size_t i = 0; i < elements; ++i) to[i] = static_cast<float>(i);
          to[0] = static_cast<float>(n);
          return n++ < 25;
        };
        return Result<DatasetSamples>(std::move(samples));
      },
      {1, static_cast<int64_t>(elements)});
  std::vector<float> sample(elements);
  for (int pass = 0; pass < 2; ++pass) {
    const Result<DatasetSamples> samples = set.Open();
    int count = 0;
    while (*samples->next(sample.data())) EXPECT_EQ(sample[0], static_cast<float>(count++));
    EXPECT_EQ(count, 25);
    ASSERT_EQ(set.held().size(), 7u);
    for (size_t i = 0; i < 7; ++i)
      EXPECT_EQ(set.held()[i].input.Floats()[0], static_cast<float>(4 * i));
  }
}

}  // namespace
}  // namespace octet
