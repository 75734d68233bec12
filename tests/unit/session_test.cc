// The engine on small graphs: threads, batches, memory, errors. Numbers are checked against the
// interpreter in interpreter_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/model_impl.h"
#include "formats/model/graph.h"
#include "tests/small_network.h"
#include "tests/watched_allocations.h"

namespace octet {
namespace {

class Builder {
 public:
  explicit Builder(uint32_t seed) : random_(seed) {}

  std::vector<float> Random(size_t n, float scale) {
    std::normal_distribution<float> normal(0.0f, scale);
    std::vector<float> v(n);
    for (float& x : v) x = normal(random_);
    return v;
  }

  TensorId Constant(const Shape& shape, float scale) {
    const std::vector<float> v = Random(static_cast<size_t>(shape.num_elements()), scale);
    return graph.AddConstant("w" + std::to_string(graph.tensors.size()), DType::kF32, shape,
                             v.data(), v.size() * 4);
  }

  TensorId Conv(TensorId x, int out, int kernel, int stride, TensorId residual, bool relu) {
    const Shape in = graph.tensor(x).shape;
    const TensorId w = Constant({out, kernel, kernel, in[3]},
                                1.0f / std::sqrt(static_cast<float>(kernel * kernel * in[3])));
    const TensorId b = Constant({out}, 0.1f);
    const TensorId y =
        graph.AddActivation("t" + std::to_string(graph.tensors.size()), DType::kF32, {});
    Node& n =
        graph.AddNode(OpType::kConv2d, "conv" + std::to_string(graph.nodes.size()), {x, w, b}, y);
    if (residual != kNoTensor) n.set_input(kInputResidual, residual);
    n.window.kernel_h = n.window.kernel_w = kernel;
    n.window.stride_h = n.window.stride_w = stride;
    n.window.pad_top = n.window.pad_left = n.window.pad_bottom = n.window.pad_right = kernel / 2;
    n.activation = relu ? Activation::kRelu : Activation::kNone;
    graph.tensor(y).shape = InferShape(graph, n).value();
    return y;
  }

  Graph graph;

 private:
  std::mt19937 random_;
};

/// A residual block behind an RGB stem, with a dense head and softmax.
Graph SmallResnet(int64_t height, int64_t width) {
  Builder b(7);
  Graph& g = b.graph;
  const TensorId x = g.AddActivation("image", DType::kF32, {1, height, width, 3});
  g.inputs = {x};
  const TensorId stem = b.Conv(x, 20, 7, 2, kNoTensor, true);
  const TensorId a = b.Conv(stem, 32, 3, 1, kNoTensor, true);
  const TensorId shortcut = b.Conv(stem, 20, 1, 1, kNoTensor, false);
  const TensorId sum = b.Conv(a, 20, 3, 1, shortcut, true);
  const TensorId pooled = g.AddActivation("pooled", DType::kF32, {1, 1, 1, 20});
  g.AddNode(OpType::kGlobalAveragePool, "pool", {sum}, pooled);
  const TensorId flat = g.AddActivation("flat", DType::kF32, {1, 20});
  g.AddNode(OpType::kReshape, "flatten", {pooled}, flat);
  const TensorId logits = g.AddActivation("logits", DType::kF32, {1, 5});
  g.AddNode(OpType::kDense, "fc", {flat, b.Constant({5, 20}, 0.5f), b.Constant({5}, 0.1f)}, logits);
  const TensorId probabilities = g.AddActivation("probabilities", DType::kF32, {1, 5});
  g.AddNode(OpType::kSoftmax, "softmax", {logits}, probabilities);
  g.outputs = {probabilities};
  g.metadata.name = "small";
  g.metadata.labels = {"a", "b", "c", "d", "e"};
  return g;
}

std::shared_ptr<const Model> SmallModel(int64_t height = 19, int64_t width = 17) {
  auto model = ModelFromGraph(SmallResnet(height, width));
  EXPECT_TRUE(model.ok()) << model.status().message();
  return *model;
}

std::vector<float> RunModel(Session* session, const std::vector<float>& input, int batch) {
  std::vector<float> output(5 * static_cast<size_t>(batch));
  const void* in = input.data();
  void* out = output.data();
  const Status status = session->Run(&in, &out, batch);
  EXPECT_TRUE(status.ok()) << status.message();
  return output;
}

constexpr size_t kImage = 19 * 17 * 3;

TEST(Session, BatchEqualsSingleImages) {
  const auto model = SmallModel();
  auto one = Session::Create(model, {});
  SessionOptions options;
  options.max_batch = 5;
  auto many = Session::Create(model, options);
  ASSERT_TRUE(one.ok() && many.ok());
  const std::vector<float> images = Builder(3).Random(5 * kImage, 1.0f);
  for (int batch : {5, 1, 3}) {
    const std::vector<float> together = RunModel(many->get(), images, batch);
    for (int i = 0; i < batch; ++i) {
      const std::vector<float> alone = RunModel(
          one->get(),
          std::vector<float>(images.begin() + i * kImage, images.begin() + (i + 1) * kImage), 1);
      EXPECT_EQ(0, std::memcmp(alone.data(), &together[i * 5], 20))
          << "image " << i << " of " << batch;
    }
  }
}

// Of larger images a few at a time are computed.
TEST(Session, GroupsOfABatchEqualSingleImages) {
  const auto model = SmallModel(160, 151);
  constexpr size_t kPixels = 160 * 151 * 3;
  auto one = Session::Create(model, {});
  ASSERT_TRUE(one.ok());
  const std::vector<float> images = Builder(8).Random(7 * kPixels, 1.0f);
  std::vector<float> alone;
  for (int i = 0; i < 7; ++i) {
    const std::vector<float> output =
        RunModel(one->get(), {images.begin() + i * kPixels, images.begin() + (i + 1) * kPixels}, 1);
    alone.insert(alone.end(), output.begin(), output.end());
  }
  for (int threads : {1, 2, 3}) {
    SessionOptions options;
    options.num_threads = threads;
    options.max_batch = 7;
    auto many = Session::Create(model, options);
    ASSERT_TRUE(many.ok());
    ASSERT_GT(Internals::Of(**many).group, 1);
    ASSERT_LT(Internals::Of(**many).group, 7);
    for (int batch : {7, 1, 5}) {
      const std::vector<float> together = RunModel(many->get(), images, batch);
      EXPECT_EQ(0, std::memcmp(alone.data(), together.data(), together.size() * 4))
          << batch << " images, " << threads << " threads";
    }
  }
}

TEST(Session, ThreadsGiveTheSameBits) {
  const auto model = SmallModel();
  const std::vector<float> images = Builder(4).Random(2 * kImage, 1.0f);
  std::vector<float> expected;
  for (int threads = 1; threads <= 5; ++threads) {
    SessionOptions options;
    options.num_threads = threads;
    options.max_batch = 2;
    auto session = Session::Create(model, options);
    ASSERT_TRUE(session.ok()) << session.status().message();
    for (int repeat = 0; repeat < 3; ++repeat) {
      const std::vector<float> output = RunModel(session->get(), images, 2);
      if (expected.empty()) expected = output;
      EXPECT_EQ(0, std::memcmp(expected.data(), output.data(), output.size() * 4))
          << threads << " threads";
    }
  }
}

TEST(Session, RunAllocatesNothing) {
  const auto model = SmallModel();
  for (int threads : {1, 2}) {
    SessionOptions options;
    options.num_threads = threads;
    auto session = Session::Create(model, options);
    ASSERT_TRUE(session.ok());
    const std::vector<float> image = Builder(5).Random(kImage, 1.0f);
    std::vector<float> output(5);
    const void* in = image.data();
    void* out = output.data();
    ASSERT_TRUE((*session)->Run(&in, &out, 1).ok());
    const int64_t before = testing::num_allocations;
    for (int i = 0; i < 10; ++i) ASSERT_TRUE((*session)->Run(&in, &out, 1).ok());
    for (int i = 0; i < 10; ++i)
      ASSERT_TRUE((*session)->Run({{in, image.size() * 4}}, {{out, 20}}).ok());
    EXPECT_EQ(before, testing::num_allocations) << threads << " threads";
  }
}

TEST(Session, RejectsWhatDoesNotFit) {
  const auto model = SmallModel();
  auto session = Session::Create(model, {});
  ASSERT_TRUE(session.ok());
  const void* in = nullptr;
  void* out = nullptr;
  EXPECT_EQ(StatusCode::kInvalidArgument, (*session)->Run(&in, &out, 2).code());
  EXPECT_EQ(StatusCode::kInvalidArgument, (*session)->Run(&in, &out, 0).code());
  EXPECT_EQ(StatusCode::kInvalidArgument, (*session)->Run(&in, &out, 1).code());
  EXPECT_EQ(StatusCode::kInvalidArgument, Session::Create(nullptr, {}).status().code());
  SessionOptions options;
  options.num_threads = 0;
  EXPECT_EQ(StatusCode::kInvalidArgument, Session::Create(model, options).status().code());
  options = {};
  options.isa = "z80";
  EXPECT_EQ(StatusCode::kInvalidArgument, Session::Create(model, options).status().code());
  EXPECT_EQ(StatusCode::kInvalidArgument, (*session)->Classify({nullptr, 3, 3}, 1).status().code());
}

TEST(Session, ClassifiesAnImage) {
  const auto model = SmallModel();
  auto session = Session::Create(model, {});
  ASSERT_TRUE(session.ok());
  std::vector<uint8_t> pixels(40 * 30 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 7);
  auto top = (*session)->Classify({pixels.data(), 40, 30}, 3);
  ASSERT_TRUE(top.ok()) << top.status().message();
  ASSERT_EQ(3u, top->size());
  EXPECT_GE((*top)[0].probability, (*top)[1].probability);
  EXPECT_EQ(std::string(1, static_cast<char>('a' + (*top)[0].index)), (*top)[0].label);
}

TEST(TensorDescription, FromFloatsIsTheInverseOfToFloats) {
  TensorDescription t;
  t.dtype = DType::kU8;
  t.shape = {1, 256};
  std::vector<uint8_t> codes(256), back(256);
  std::vector<float> values(256);
  for (size_t i = 0; i < 256; ++i) codes[i] = static_cast<uint8_t>(i);
  for (const float scale : {0.02f, 1.0f / 255.0f, 1.0f, 7e5f, 1e-40f}) {
    for (const int zero_point : {0, 114, 255}) {
      t.scale = scale;
      t.zero_point = zero_point;
      t.ToFloats(codes.data(), values.data());
      t.FromFloats(values.data(), back.data());
      EXPECT_EQ(codes, back) << scale << ", " << zero_point;
    }
  }
  t.shape = {1, 9};
  t.scale = 0.5f;
  t.zero_point = 3;
  const float inf = std::numeric_limits<float>::infinity();
  const float some[9] = {0.25f, 0.75f, -0.25f, -1.5f, -1.8f, 126.2f, inf, -inf, std::nanf("")};
  t.FromFloats(some, back.data());
  EXPECT_EQ((std::vector<uint8_t>{3, 5, 3, 0, 0, 255, 255, 0, 0}),
            std::vector<uint8_t>(back.begin(), back.begin() + 9));
  t.dtype = DType::kI16;
  t.zero_point = 0;
  int16_t wide[9];
  t.FromFloats(some, reinterpret_cast<uint8_t*>(wide));
  EXPECT_EQ((std::vector<int16_t>{0, 2, 0, -3, -4, 252, 32767, -32768, -32768}),
            std::vector<int16_t>(wide, wide + 9));
  std::vector<int16_t> all(65536), again(65536);
  std::vector<float> numbers(65536);
  t.shape = {1, 65536};
  t.scale = 0.37f;
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int16_t>(i);
  t.ToFloats(reinterpret_cast<const uint8_t*>(all.data()), numbers.data());
  t.FromFloats(numbers.data(), reinterpret_cast<uint8_t*>(again.data()));
  EXPECT_EQ(all, again);
  t.shape = {1, 9};
  t.dtype = DType::kF32;
  float copied[9];
  t.FromFloats(some, reinterpret_cast<uint8_t*>(copied));
  EXPECT_EQ(0, std::memcmp(some, copied, sizeof(some)));
}

TEST(TensorDescription, PixelsHaveTheNumbersOfTheirChannel) {
  Graph g = testing::SmallNetwork(Precision::kInt8);
  testing::SetPixelCodes(&g);
  const auto model = ModelFromGraph(g);
  ASSERT_TRUE(model.ok()) << model.status().message();
  TensorDescription t = (*model)->Describe().inputs[0];
  EXPECT_EQ(t.scale, 0.0f);
  EXPECT_EQ(t.zero_point, 0);
  EXPECT_EQ(t.by_channel.scales, (std::vector<float>{0.25f, 0.5f, 0.125f}));
  EXPECT_EQ(t.by_channel.zero_points, (std::vector<float>{20.0f, 40.0f, 60.0f}));
  EXPECT_TRUE((*model)->Describe().outputs[0].by_channel.empty());
  t.shape = {1, 1, 256, 3};
  std::vector<uint8_t> codes(768), back(768);
  std::vector<float> values(768);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i / 3);
  t.ToFloats(codes.data(), values.data());
  EXPECT_EQ(values[3 * 30], 2.5f);
  EXPECT_EQ(values[3 * 30 + 1], -5.0f);
  EXPECT_EQ(values[3 * 30 + 2], -3.75f);
  t.FromFloats(values.data(), back.data());
  EXPECT_EQ(codes, back);
  // What no pixel gives becomes the nearest.
  t.shape = {1, 1, 3, 3};
  const float inf = std::numeric_limits<float>::infinity();
  const float some[9] = {0.12f, 0.3f, 0.1f, -9.0f, 200.0f, -0.07f, inf, -inf, std::nanf("")};
  t.FromFloats(some, back.data());
  EXPECT_EQ((std::vector<uint8_t>{20, 41, 61, 0, 255, 59, 255, 0, 0}),
            std::vector<uint8_t>(back.begin(), back.begin() + 9));
  // Numbers of imagenet's preprocessing come back as the pixels that they were made of.
  Preprocessing& p = g.metadata.preprocessing;
  p.scale = 1.0f / 255.0f;
  p.mean = {0.485f, 0.456f, 0.406f, 0.0f};
  p.stddev = {0.229f, 0.224f, 0.225f, 1.0f};
  t = (*ModelFromGraph(g))->Describe().inputs[0];
  t.shape = {1, 1, 256, 3};
  for (size_t i = 0; i < codes.size(); ++i)
    values[i] = (static_cast<float>(codes[i]) * p.scale - p.mean[i % 3]) / p.stddev[i % 3];
  t.FromFloats(values.data(), back.data());
  EXPECT_EQ(codes, back);
}

TEST(Session, PixelsAreGivenAsTheyAre) {
  Graph g = testing::SmallNetwork(Precision::kInt8);
  testing::SetPixelCodes(&g);
  g.metadata.preprocessing.order = ChannelOrder::kBgr;
  const auto session = Session::Create(*ModelFromGraph(g));
  ASSERT_TRUE(session.ok()) << session.status().message();
  std::vector<uint8_t> pixels(1200), input(1200);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 7 + i / 256);
  ASSERT_TRUE((*session)->Preprocess({pixels.data(), 20, 20}, input.data()).ok());
  for (size_t i = 0; i < pixels.size(); i += 3) std::swap(pixels[i], pixels[i + 2]);
  EXPECT_EQ(input, pixels);
}

// What a caller quantizes is what a network that begins with a quantization makes of the numbers.
TEST(TensorDescription, FromFloatsQuantizesAsTheEngineDoes) {
  const auto codes = ModelFromGraph(testing::SmallNetwork(Precision::kInt8));
  const auto numbers = ModelFromGraph(testing::SmallNetwork(Precision::kInt8, true));
  ASSERT_TRUE(codes.ok() && numbers.ok());
  auto of_codes = Session::Create(*codes), of_numbers = Session::Create(*numbers);
  std::vector<float> input = Builder(9).Random(1200, 2.0f), output(5), expected(5);
  input[5] = std::nanf("");
  std::vector<uint8_t> bytes(1200), row(5);
  (*codes)->Describe().inputs[0].FromFloats(input.data(), bytes.data());
  const void* in = bytes.data();
  void* out = row.data();
  ASSERT_TRUE((*of_codes)->Run(&in, &out).ok());
  const TensorDescription& t = (*codes)->Describe().outputs[0];
  t.ToFloats(row.data(), output.data());
  in = input.data();
  out = expected.data();
  ASSERT_TRUE((*of_numbers)->Run(&in, &out).ok());
  for (size_t i = 0; i < 5; ++i) {
    const float clamped = std::clamp(expected[i], -128 * t.scale, 127 * t.scale);
    EXPECT_NEAR(clamped, output[i], 0.51f * t.scale) << i;
  }
}

template <typename T, typename From>
constexpr bool kIsSpanOf = std::is_convertible_v<From, Span<T>>;

TEST(Span, IsMadeOfWhatLiesInOnePlace) {
  static_assert(kIsSpanOf<const int, const std::vector<int>&> && kIsSpanOf<int, std::vector<int>&>);
  static_assert(!kIsSpanOf<int, const std::vector<int>&> && !kIsSpanOf<int, std::vector<int>>);
  static_assert(kIsSpanOf<const int, std::vector<int>>);
  static_assert(kIsSpanOf<const int, Span<int>> && !kIsSpanOf<int, Span<const int>>);
  static_assert(kIsSpanOf<const int, std::initializer_list<int>>);
  static_assert(!kIsSpanOf<int, std::initializer_list<int>>);
  // Of another type with the same layout, of a type behind it in memory, of a pointer without size.
  static_assert(!kIsSpanOf<const ConstTensorView, const std::vector<TensorView>&>);
  static_assert(!kIsSpanOf<const unsigned, const std::vector<int>&>);
  static_assert(!kIsSpanOf<const int, const int*> && !kIsSpanOf<const int, std::nullptr_t>);
  const auto sum = [](Span<const int> span) {
    int total = 0;
    for (const int i : span) total += i;
    return total * 10 + static_cast<int>(span.size());
  };
  const std::vector<int> vector = {1, 2, 3};
  std::array<int, 2> array = {4, 5};
  const int c_array[] = {6, 7, 8, 9};
  EXPECT_EQ(63, sum(vector));
  EXPECT_EQ(92, sum(array));
  EXPECT_EQ(304, sum(c_array));
  EXPECT_EQ(31, sum({3}));
  EXPECT_EQ(132, sum({vector[2], 10}));
  EXPECT_EQ(52, sum({vector.data() + 1, 2}));
  EXPECT_EQ(0, sum({}));
  EXPECT_TRUE(Span<const int>().empty());
  EXPECT_EQ(nullptr, Span<const int>().data());
  const Span<int> changes(array);
  EXPECT_FALSE(changes.empty());
  changes[1] = 50;
  EXPECT_EQ(50, array[1]);
  EXPECT_EQ(array.data() + 2, changes.end());
}

TEST(Session, RunChecksNumberAndSizesOfViews) {
  const auto model = SmallModel();
  SessionOptions options;
  options.max_batch = 3;
  auto session = Session::Create(model, options);
  ASSERT_TRUE(session.ok());
  const std::vector<float> in = Builder(8).Random(2 * kImage, 1.0f),
                           expected = RunModel(session->get(), in, 2);
  const size_t in_bytes = in.size() * sizeof(float);
  std::vector<float> out(11, 7.0f);
  RunOptions run;
  run.batch = 2;
  // Views of all kinds; larger ones stay as they are behind.
  const std::vector<ConstTensorView> inputs = {{in.data(), in_bytes}};
  const TensorView outputs[] = {{out.data(), 11 * sizeof(float)}};
  ASSERT_TRUE((*session)->Run(inputs, outputs, run).ok());
  EXPECT_EQ(expected, std::vector<float>(out.begin(), out.begin() + 10));
  EXPECT_EQ(7.0f, out[10]);
  std::fill(out.begin(), out.end(), 7.0f);
  ASSERT_TRUE((*session)->Run({{in.data(), in_bytes}}, {{out.data(), 20}}).ok());
  EXPECT_EQ(0, std::memcmp(expected.data(), out.data(), 20));
  EXPECT_EQ(7.0f, out[5]);

  std::fill(out.begin(), out.end(), 7.0f);
  const auto refused = [&](Span<const ConstTensorView> from, Span<const TensorView> to) {
    const Status status = (*session)->Run(from, to, run);
    EXPECT_EQ(StatusCode::kInvalidArgument, status.code());
    EXPECT_EQ(std::vector<float>(11, 7.0f), out);
    return status.message();
  };
  EXPECT_EQ("Session::Run: input 0 (image): found 7751 bytes, expected 2 times 3876",
            refused({{in.data(), 2 * kImage * 4 - 1}}, outputs));
  EXPECT_EQ("Session::Run: output 0 (probabilities): found 39 bytes, expected 2 times 20",
            refused(inputs, {{out.data(), 39}}));
  run.batch = 1;
  EXPECT_EQ("Session::Run: output 0 (probabilities): found 0 bytes, expected 20",
            refused(inputs, {{out.data(), 0}}));
  EXPECT_EQ("Session::Run: found 0 inputs, expected 1", refused({}, outputs));
  EXPECT_EQ("Session::Run: found 0 inputs, expected 1",
            refused({static_cast<const ConstTensorView*>(nullptr), 1}, outputs));
  EXPECT_EQ("Session::Run: found 2 inputs, expected 1", refused({inputs[0], inputs[0]}, outputs));
  EXPECT_EQ("Session::Run: found 0 outputs, expected 1", refused(inputs, {}));
  EXPECT_EQ("Session::Run: input 0 (image) is null", refused({{nullptr, in_bytes}}, outputs));
  EXPECT_EQ("Session::Run: output 0 (probabilities) is null", refused(inputs, {{nullptr, 40}}));
  run.batch = 4;
  EXPECT_EQ("batch is 4, expected 1 to max_batch = 3", refused(inputs, outputs));
  run.batch = -1;
  EXPECT_EQ("batch is -1, expected 1 to max_batch = 3", refused(inputs, outputs));
}

TEST(Session, DescribesInputsAndMemory) {
  const auto model = SmallModel();
  const ModelDescription& d = model->Describe();
  ASSERT_EQ(1u, d.inputs.size());
  EXPECT_EQ("image", d.inputs[0].name);
  EXPECT_EQ((std::vector<int64_t>{1, 19, 17, 3}), d.inputs[0].shape);
  EXPECT_EQ("probabilities", d.outputs[0].name);
  EXPECT_EQ(10 * 9 * (20 * 147 + 32 * 180 + 20 * 20 + 20 * 288) + 100, d.macs);
  SessionOptions options;
  options.profile = true;
  auto session = Session::Create(model, options);
  ASSERT_TRUE(session.ok());
  RunModel(session->get(), Builder(6).Random(kImage, 1.0f), 1);
  EXPECT_GT((*session)->Memory().arena_bytes, 0);
  int64_t macs = 0;
  double time = 0;
  const auto layers = (*session)->Profile();
  ASSERT_TRUE(layers.ok());
  for (const LayerProfile& layer : *layers) {
    macs += layer.macs;
    time += layer.milliseconds;
  }
  EXPECT_EQ(d.macs, macs);
  EXPECT_GT(time, 0.0);
  (*session)->ResetProfile();
  const auto reset = (*session)->Profile();
  ASSERT_TRUE(reset.ok());
  for (const LayerProfile& layer : *reset) EXPECT_EQ(0.0, layer.milliseconds);
}

TEST(Session, SaysItsInstructionSet) {
  const auto model = SmallModel();
  SessionOptions options;
  options.isa = "reference";
  auto session = Session::Create(model, options);
  ASSERT_TRUE(session.ok());
  EXPECT_STREQ("reference", (*session)->Isa());
}

}  // namespace
}  // namespace octet
