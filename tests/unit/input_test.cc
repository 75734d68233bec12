// What goes into a network: what its numbers mean, how arrays of them are read, and what the engine
// and the quantizer make of arithmetic at its head.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "converter/calibrate/sample_source.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "converter/report/compare.h"
#include "engine/src/model_impl.h"
#include "engine/src/preprocess.h"
#include "formats/base/file.h"
#include "formats/data/image.h"
#include "formats/data/npy.h"
#include "formats/model/input_meaning.h"
#include "formats/model/preprocessing.h"
#include "kernels/dispatch.h"
#include "tests/sample_graphs.h"
#include "tests/unit/data_test_util.h"
#include "tests/unit/naive_interpreter.h"

namespace octet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::SampleGraphBuilder;
using testing::TempDir;
using testing::Values;

/// image -> (x * scale[c] + shift[c]) -> 3x3 convolution of 16 channels with padding.
Graph WithHead(const std::vector<float>& scale, const std::vector<float>& shift, int size = 9) {
  SampleGraphBuilder b(Precision::kFp32);
  const auto c = static_cast<int64_t>(scale.size());
  TensorId x = b.Input({1, size, size, c});
  x = b.Add(OpType::kScaleShift, "head",
            {x, b.Constant("scale", DType::kF32, scale), b.Constant("shift", DType::kF32, shift)},
            b.Activation("scaled", {1, 1, 1, 1}));
  b.graph().outputs = {b.Conv(OpType::kConv2d, "conv", x, {16, 3, 3, c}, kNoTensor,
                              b.Activation("y", {1, 1, 1, 1}), [](Node* n) {
                                n->window.pad_top = n->window.pad_left = 1;
                                n->window.pad_bottom = n->window.pad_right = 1;
                              })};
  return b.graph();
}

/// Pixels that hold 0 and 255.
std::vector<float> Pixels(const Graph& g) {
  std::vector<float> x(static_cast<size_t>(g.tensor(g.inputs[0]).shape.num_elements()));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 71 % 256);
  x[1] = 255.0f;
  return x;
}

CalibrationTable TableOf(const Graph& g, const std::vector<float>& x) {
  CalibrationTable table;
  const std::vector<Values> values = testing::EvaluateAll(g, x);
  for (size_t i = 0; i < g.tensors.size(); ++i) {
    if (g.tensors[i].is_constant()) continue;
    Range& r = table.ranges[g.tensors[i].name];
    for (double v : values[i])
      r = {std::min(r.min, static_cast<float>(v)), std::max(r.max, static_cast<float>(v))};
  }
  return table;
}

Graph Quantized(const Graph& g, DType input, const std::vector<float>& x) {
  const CalibrationTable table = TableOf(g, x);
  Result<Graph> q = QuantizeGraph(g, {.precision = Precision::kInt8, .input_type = input}, &table);
  EXPECT_TRUE(q.ok()) << q.status().message();
  return q.ok() ? *std::move(q) : Graph();
}

// ---- Meaning ----

TEST(InputMeaning, SaysWhatPixelsBecome) {
  Graph g = WithHead({1, 1, 1}, {0, 0, 0});
  InputMeaning m = MeaningOfInput(g);
  EXPECT_EQ(m.text, "pixel: 0..255");
  EXPECT_EQ(m.preprocessing,
            "decoded as Pillow, stretched to 9x9 (bilinear), none: the network gets pixels "
            "0..255");
  EXPECT_EQ(m.doubt, "");
  Preprocessing& pre = g.metadata.preprocessing;
  pre.scale = 1.0f / 255.0f;
  EXPECT_EQ(MeaningOfInput(g).text, "pixel * 1/255: 0..1");
  pre.mean = {0.485f, 0.456f, 0.406f, 0}, pre.stddev = {0.229f, 0.224f, 0.225f, 1};
  pre.order = ChannelOrder::kBgr;
  pre.resize = ResizeRule::kCenterCrop, pre.resize_shorter = 12,
  pre.resampling.filter = ResizeFilter::kBicubic;
  m = MeaningOfInput(g);
  EXPECT_EQ(m.text,
            "(pixel * 1/255 - [0.485 0.456 0.406]) / [0.229 0.224 0.225], BGR: -2.1179..2.64");
  EXPECT_THAT(m.preprocessing, HasSubstr("shorter side 12 (bicubic), centre 9x9, BGR, (pixel"));
  // Nobody makes a vector or four channels of a photo.
  EXPECT_EQ(MeaningOfInput(WithHead({1, 1, 1, 1}, {0, 0, 0, 0}), ValueRange{0, 1}).text,
            "numbers of the source's own input; calibrated on 0..1");
}

TEST(InputMeaning, RawPixelsAreDoubtedWhereNobodyNamedAPreprocessing) {
  const Graph head = WithHead({1, 1, 1}, {0, 0, 0});
  EXPECT_FALSE(GetsRawPixels(head));  // Its arithmetic says what it makes of pixels.
  Graph g;
  const TensorId x = g.AddActivation("x", DType::kF32, {1, 9, 9, 3});
  g.AddNode(OpType::kGlobalAveragePool, "pool", {x},
            g.AddActivation("y", DType::kF32, {1, 1, 1, 3}));
  g.inputs = {x};
  g.outputs = {x + 1};
  EXPECT_TRUE(GetsRawPixels(g));
  EXPECT_EQ(MeaningOfInput(g).doubt, "");  // As long as the converter does not note it.
  g.metadata.options = std::string("--precision=fp32 ") + kRawPixelsOption;
  EXPECT_EQ(MeaningOfInput(g).doubt, kRawPixelsWarning);
  g.metadata.preprocessing.scale = 1.0f / 255.0f;
  EXPECT_FALSE(GetsRawPixels(g));
  g.metadata.preprocessing = {};
  g.tensors[static_cast<size_t>(x)].dtype = DType::kU8;
  EXPECT_FALSE(GetsRawPixels(g));  // A pixel is a code.
  Graph vector = WithHead({1, 1, 1, 1}, {0, 0, 0, 0});
  EXPECT_FALSE(GetsRawPixels(vector));
}

TEST(InputMeaning, WarnsOfAUnitPipelinesNumbersOnLargerPixels) {
  Graph g = WithHead({1, 1, 1}, {0, 0, 0});
  Preprocessing& p = g.metadata.preprocessing;
  const auto doubt = [&](float scale, float mean, float stddev) {
    p.scale = scale;
    p.mean = {mean, mean, mean, 0};
    p.stddev = {stddev, stddev, stddev, 1};
    return MeaningOfInput(g).doubt;
  };
  EXPECT_EQ(doubt(1.0f, 0.5f, 0.25f),
            "mean and std are those of pixels from 0 to 1, and pixels from 0 to 255 are given: the "
            "network gets -2..1018; give --preprocessing the scale 1/255 too");
  EXPECT_THAT(doubt(1.0f, 0.5f, 1.0f), HasSubstr("gets -0.5..254.5"));
  EXPECT_THAT(doubt(1.0f, 0.0f, 0.5f), HasSubstr("gets 0..510"));
  // What trained networks have: of 0..1, -1..1, mean pixels, plain pixels.
  EXPECT_EQ(doubt(1.0f / 255.0f, 0.485f, 0.229f), "");
  EXPECT_EQ(doubt(1.0f / 127.5f, 1.0f, 1.0f), "");
  EXPECT_EQ(doubt(1.0f / 127.5f, 0.5f, 0.5f), "");
  EXPECT_EQ(doubt(1.0f, 123.7f, 58.4f), "");
  EXPECT_EQ(doubt(1.0f, 103.9f, 1.0f), "");
  EXPECT_EQ(doubt(1.0f, 127.5f, 127.5f), "");
  EXPECT_EQ(doubt(1.0f, 0.0f, 1.0f), "");
}

TEST(InputMeaning, WarnsWhereCalibrationAndPixelsAreFarApart) {
  Graph g = WithHead({1, 1, 1}, {0, 0, 0});
  for (const ValueRange& healthy : {ValueRange{0, 255}, {0, 200}, {12, 190}, {-20, 300}})
    EXPECT_EQ(MeaningOfInput(g, healthy).doubt, "") << healthy.max;
  for (const ValueRange& wrong : {ValueRange{0, 1}, {-1, 1}, {-2.1f, 2.6f}, {0, 2000}, {-300, -5}})
    EXPECT_THAT(MeaningOfInput(g, wrong).doubt,
                HasSubstr("photos give the network 0..255, and it was calibrated on "));
  g.metadata.preprocessing.scale = 1.0f / 255.0f;
  EXPECT_EQ(MeaningOfInput(g, ValueRange{0, 1}).doubt, "");
  EXPECT_THAT(MeaningOfInput(g, ValueRange{0, 255}).doubt, Not(IsEmpty()));
  EXPECT_EQ(MeaningOfInput(WithHead({1, 1, 1, 1}, {0, 0, 0, 0}), ValueRange{0, 1}).doubt, "");
}

TEST(InputMeaning, FilesTellWhatTheyWereCalibratedOn) {
  const Graph g = WithHead({1 / 127.5f, 1 / 127.5f, 1 / 127.5f}, {-1, -1, -1});
  for (const DType type : {DType::kF32, DType::kU8}) {
    const InputMeaning m = MeaningOfInput(Quantized(g, type, Pixels(g)));
    ASSERT_TRUE(m.calibrated);
    EXPECT_NEAR(m.calibrated->min, 0, 1.01);
    EXPECT_NEAR(m.calibrated->max, 255, 1.01);
    EXPECT_EQ(m.doubt, "");
  }
}

// ---- Heads ----

TEST(Heads, PixelsAreTheCodesOfAUint8Input) {
  const Graph g = WithHead({1 / 127.5f, 1 / 127.5f, 1 / 127.5f}, {-1, -1, -1});
  std::vector<float> x = Pixels(g);
  for (float& v : x) v = std::min(v, 251.0f);  // No photo need be white somewhere.
  const Graph q = Quantized(g, DType::kU8, x);
  EXPECT_EQ(q.tensor(q.inputs[0]).quantization, (Quantization{1.0f, 0}));
  // Numbers of another range have no such codes.
  for (float& v : x) v /= 300.0f;
  const Graph other = Quantized(g, DType::kU8, x);
  EXPECT_NEAR(other.tensor(other.inputs[0]).quantization.scale, 251.0 / 300 / 255, 1e-6);
  Graph scaled = g;
  scaled.metadata.preprocessing.scale = 1.0f / 300.0f;
  const Graph fits = Quantized(scaled, DType::kU8, x);
  EXPECT_EQ(fits.tensor(fits.inputs[0]).quantization, (Quantization{1.0f / 300.0f, 0}));
}

TEST(Heads, AreRoundedOnceBehindAFloatInput) {
  const Graph g = WithHead({1 / 58.0f, 1 / 57.0f, 1 / 57.5f}, {-2.1f, -2.0f, -1.8f});
  const Graph q = Quantized(g, DType::kF32, Pixels(g));
  ASSERT_EQ(q.nodes[0].type, OpType::kScaleShift);
  EXPECT_EQ(q.tensor(q.nodes[0].output).dtype, DType::kF32);
  EXPECT_EQ(q.nodes[1].type, OpType::kQuantize);
}

/// Kernels by name, and the answer for `input`.
std::vector<std::string> Kernels(const Graph& g, const void* input, std::vector<uint8_t>* output,
                                 const std::string& isa = "") {
  const auto model = ModelFromGraph(g);
  EXPECT_TRUE(model.ok()) << model.status().message();
  const auto session = Session::Create(*model, {.isa = isa, .profile = true});
  EXPECT_TRUE(session.ok()) << session.status().message();
  output->resize((*model)->Describe().outputs[0].num_bytes());
  void* out = output->data();
  EXPECT_TRUE((*session)->Run(&input, &out).ok());
  std::vector<std::string> kernels;
  const auto profile = (*session)->Profile();
  for (const LayerProfile& layer : *profile) kernels.push_back(layer.kernel);
  return kernels;
}

TEST(Heads, CostNoPassOfTheirOwn) {
  for (const int channels : {1, 3}) {
    const std::vector<float> scale{1 / 58.0f, 1 / 57.0f, 1 / 57.5f}, shift{-2.1f, -2.0f, -1.8f};
    const auto c = static_cast<std::ptrdiff_t>(channels);
    const Graph g =
        WithHead({scale.begin(), scale.begin() + c}, {shift.begin(), shift.begin() + c});
    const std::vector<float> x = Pixels(g);
    const std::vector<uint8_t> bytes(x.begin(), x.end());
    for (const std::string isa : {"", "reference"}) {
      std::vector<uint8_t> y;
      // Scaled while it is read, instead of a copy.
      EXPECT_THAT(Kernels(g, x.data(), &y, isa)[0], HasSubstr("scale_shift_f32"));
      const Values right = testing::Evaluate(g, x);
      std::vector<float> floats(y.size() / 4);
      std::memcpy(floats.data(), y.data(), y.size());
      for (size_t i = 0; i < right.size(); ++i) EXPECT_NEAR(floats[i], right[i], 1e-4) << i;
      // Scaled and rounded at once.
      const Graph f = Quantized(g, DType::kF32, x);
      const std::vector<std::string> kernels = Kernels(f, x.data(), &y, isa);
      EXPECT_EQ(kernels[0], "quantize");
      EXPECT_THAT(kernels[1], HasSubstr("conv"));
      EXPECT_THAT(Kernels(Quantized(g, DType::kU8, x), bytes.data(), &y, isa)[0],
                  HasSubstr("scale_shift_u8"));
    }
  }
}

TEST(Heads, ReversedChannelsGoIntoWeights) {
  SampleGraphBuilder b(Precision::kFp32);
  TensorId x = b.Input({1, 5, 5, 3});
  const std::vector<float> reversal{0, 0, 1, 0, 1, 0, 1, 0, 0};
  const TensorId w = b.graph().AddConstant("reversal", DType::kF32, {3, 1, 1, 3}, reversal.data(),
                                           reversal.size() * 4);
  x = b.Add(OpType::kConv2d, "reverse", {x, w}, b.Activation("bgr", {1, 1, 1, 1}));
  x = b.Add(OpType::kScaleShift, "mean",
            {x, b.Constant("scale", DType::kF32, std::vector<float>{1, 2, 3}),
             b.Constant("shift", DType::kF32, std::vector<float>{-103, -116, -123})},
            b.Activation("scaled", {1, 1, 1, 1}));
  b.graph().outputs = {b.Conv(OpType::kConv2d, "conv", x, {4, 3, 3, 3}, kNoTensor,
                              b.Activation("y", {1, 1, 1, 1}), [](Node*) {})};
  Graph g = b.graph();
  const std::vector<float> pixels = Pixels(g);
  const Values before = testing::Evaluate(g, pixels);
  ASSERT_TRUE(Optimize(&g).ok());
  ASSERT_EQ(g.nodes.size(), 2u);
  EXPECT_EQ(g.nodes[0].type, OpType::kScaleShift);
  const Values after = testing::Evaluate(g, pixels);
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i], before[i], 1e-9);
}

// ---- Arrays ----

SourceInput Input(std::vector<int64_t> shape, bool channels_first = false) {
  SourceInput s;
  s.photos = shape.size() == 4 && (shape[3] == 1 || shape[3] == 3);
  s.shape = std::move(shape);
  s.channels_first = channels_first;
  return s;
}

/// What a file of `values` gives for the input, or its error.
std::vector<float> Read(const std::vector<int64_t>& shape, const std::vector<float>& values,
                        const SourceInput& input, std::string* error = nullptr) {
  const TempDir folder;
  const std::string path = folder.path() + "/x.npy";
  EXPECT_TRUE(WriteNpy(path, shape, values).ok());
  Result<SourceArray> array = SourceArray::Open(path, input);
  if (!array.ok()) {
    if (error != nullptr) *error = array.status().message();
    return {};
  }
  std::vector<float> read(values.size() / static_cast<size_t>(shape[0]));
  EXPECT_FALSE(array->has_pixels());
  EXPECT_TRUE(array->Read(array->size() - 1, read.data()).ok());
  return read;
}

TEST(SourceArray, IsReadInTheSourcesOrderAndInTheOtherWhereOnlyThatFits) {
  std::vector<float> v(8);
  std::iota(v.begin(), v.end(), 0.0f);
  const std::vector<float> transposed{0, 4, 1, 5, 2, 6, 3, 7};
  EXPECT_EQ(Read({1, 2, 2, 2}, v, Input({1, 2, 2, 2}, false)), v);
  EXPECT_EQ(Read({1, 2, 2, 2}, v, Input({1, 2, 2, 2}, true)), transposed);
  for (const bool first : {false, true}) {
    EXPECT_EQ(Read({1, 1, 4, 2}, v, Input({1, 1, 4, 2}, first)), v);
    EXPECT_EQ(Read({1, 2, 1, 4}, v, Input({1, 1, 4, 2}, first)), transposed);
  }
  EXPECT_EQ(Read({1, 2, 4}, v, Input({1, 2, 4, 1})), v);  // A gray image without channels.
  EXPECT_EQ(Read({1, 8, 1, 1}, v, Input({1, 8})), v);
  std::string error;
  EXPECT_THAT(Read({1, 4, 2, 1}, v, Input({1, 4, 1, 3}, true), &error), IsEmpty());
  EXPECT_THAT(error, HasSubstr("x.npy: found shape [1,4,2,1] of float32, expected [n,3,4,1] or "
                               "[n,4,1,3], or uint8 pixels [n,height,width,3], for input ''"));
  EXPECT_THAT(Read({4, 2}, v, Input({1, 4, 2, 1}), &error), IsEmpty());
  EXPECT_THAT(error, HasSubstr("without the batch in front"));
}

TEST(SourceArray, BytesArePixelsCodesOrNumbersByWhatTheSourceTakes) {
  const TempDir folder;
  const std::string path = folder.path() + "/x.npy";
  const std::vector<uint8_t> bytes{10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120};
  const auto open = [&](const std::vector<int64_t>& shape, const SourceInput& input) {
    EXPECT_TRUE(WriteNpy(path, shape, bytes).ok());
    return SourceArray::Open(path, input);
  };
  // Images of any size for a network on images of 3 channels, or of 1, in either order.
  for (const auto& [shape, channels, second] : {std::tuple(std::vector<int64_t>{1, 2, 2, 3}, 3, 20),
                                                {{2, 2, 1, 3}, 3, 20},
                                                {{1, 4, 3, 1}, 1, 20},
                                                {{1, 2, 6}, 1, 20},
                                                {{1, 3, 2, 2}, 3, 50}}) {
    auto array = open(shape, Input({1, 7, 7, channels}, true));
    ASSERT_TRUE(array.ok()) << array.status().message();
    EXPECT_TRUE(array->has_pixels());
    std::vector<uint8_t> pixels;
    EXPECT_TRUE(array->ReadPixels(0, &pixels).ok());
    EXPECT_EQ(pixels[0], 10);
    EXPECT_EQ(pixels[1], second);
    EXPECT_EQ(array->height() * array->width() * array->channels(),
              static_cast<int>(pixels.size()));
  }
  float read[12] = {};
  // Numbers where no photo fits: four channels, vectors.
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{1, 1, 3, 4}, {1, 12}}) {
    auto array = open(shape, Input(shape));
    ASSERT_TRUE(array.ok()) << array.status().message();
    ASSERT_FALSE(array->has_pixels());
    EXPECT_TRUE(array->Read(0, read).ok());
    EXPECT_EQ(read[11], 120.0f);
  }
  // Codes where the source takes codes.
  SourceInput takes_codes = Input({1, 2, 2, 3});
  takes_codes.codes = true, takes_codes.scale = 0.5f, takes_codes.zero_point = 10;
  auto codes = open({1, 2, 2, 3}, takes_codes);
  ASSERT_TRUE(codes.ok()) << codes.status().message();
  ASSERT_FALSE(codes->has_pixels());
  EXPECT_TRUE(codes->Read(0, read).ok());
  EXPECT_EQ(read[1], 5.0f);
  // Of each channel by itself, in either order.
  takes_codes.by_channel = {{1.0f, 0.5f, 0.25f}, {10.0f, 12.5f, 20.0f}};
  for (const bool first : {false, true}) {
    auto by_channel = open(
        first ? std::vector<int64_t>{1, 3, 2, 2} : std::vector<int64_t>{1, 2, 2, 3}, takes_codes);
    ASSERT_TRUE(by_channel.ok()) << by_channel.status().message();
    EXPECT_TRUE(by_channel->Read(0, read).ok());
    EXPECT_EQ(read[0], 0.0f);
    EXPECT_EQ(read[1], first ? 18.75f : 3.75f);
    EXPECT_EQ(read[2], first ? 17.5f : 2.5f);
  }
}

TEST(Compare, ReferencesOfBothOrdersAreReadAsTheSourceWritesThem) {
  // 2x2 pixels of 2 channels: the shape tells nothing.
  SampleGraphBuilder b(Precision::kFp32);
  b.graph().outputs = {
      b.Add(OpType::kRelu, "relu", {b.Input({1, 2, 2, 2})}, b.Activation("y", {1, 1, 1, 1}))};
  b.graph().inputs_channels_first = b.graph().outputs_channels_first = {true};
  const auto model = ModelFromGraph(b.graph());
  ASSERT_TRUE(model.ok()) << model.status().message();
  const TempDir folder;
  const std::string x = folder.path() + "/x.npy", y = folder.path() + "/y.npy";
  std::vector<float> v(8);
  std::iota(v.begin(), v.end(), 1.0f);
  const auto compare = [&](const std::vector<float>& answers, Warnings* warnings) {
    EXPECT_TRUE(WriteNpy(x, {1, 2, 2, 2}, v).ok() && WriteNpy(y, {1, 2, 2, 2}, answers).ok());
    const auto c = CompareWithReference(*model, SourceInputOf(b.graph()), x, y, warnings);
    EXPECT_TRUE(c.ok()) << c.status().message();
    return c.ok() ? c->absolute_error : -1.0;
  };
  Warnings none, some, wrong;
  EXPECT_EQ(compare(v, &none), 0.0);
  EXPECT_THAT(none.texts(), IsEmpty());
  // Written with the channels last although the source has them first: said.
  EXPECT_EQ(compare({1, 5, 2, 6, 3, 7, 4, 8}, &some), 0.0);
  EXPECT_THAT(some.texts(), ElementsAre(HasSubstr("may have its channels first or last")));
  EXPECT_GT(compare({2, 5, 2, 6, 3, 7, 4, 9}, &wrong), 0.9);
  EXPECT_THAT(wrong.texts(), IsEmpty());
}

TEST(Compare, CodesAreTheNumbersThatTheyStandFor) {
  SampleGraphBuilder b(Precision::kInt8);
  b.graph().outputs = {
      b.Move(OpType::kRelu, "relu", {b.Input({1, 4})}, [](Node*) {})};  // 0.02 * (q - 114).
  const auto model = ModelFromGraph(b.graph());
  ASSERT_TRUE(model.ok()) << model.status().message();
  const TempDir folder;
  const std::string x = folder.path() + "/x.npy", y = folder.path() + "/y.npy";
  const std::vector<uint8_t> in{0, 114, 115, 255}, codes{114, 114, 115, 255};
  const std::vector<float> numbers{0, 0, 0.02f, 2.82f}, off{0, 0, 0.02f, 2.72f};
  ASSERT_TRUE(WriteNpy(x, {1, 4}, in).ok());
  const auto compare = [&](const auto& answers) {
    EXPECT_TRUE(WriteNpy(y, {1, 4}, answers).ok());
    Warnings warnings;
    const auto c = CompareWithReference(*model, SourceInputOf(b.graph()), x, y, &warnings);
    EXPECT_TRUE(c.ok()) << c.status().message();
    return c.ok() ? c->absolute_error : -1.0;
  };
  EXPECT_EQ(compare(codes), 0.0);
  EXPECT_NEAR(compare(numbers), 0.0, 1e-6);
  EXPECT_NEAR(compare(off), 0.1, 1e-6);
  const std::vector<uint8_t> wrong{114, 114, 115, 250};
  EXPECT_NEAR(compare(wrong), 0.1, 1e-6);
}

// ---- Photos ----

TEST(OpenSamples, DecodesPhotosAsTheModelSaysAndSmallerWhenTold) {
  const std::string folder = OCTET_SOURCE_DIR "/tests/data/pixels/decoding/";
  const std::vector<std::string> photos{folder + "png_0_16.png", folder + "restart.jpg",
                                        folder + "png_exif_6.png"};
  for (const int channels : {1, 3}) {
    Graph g = WithHead(std::vector<float>(channels, 1), std::vector<float>(channels), 4);
    for (const auto& [framework, fast] : {std::pair(Framework::kPillow, false),
                                          {Framework::kPillow, true},
                                          {Framework::kOpencv, false},
                                          {Framework::kOpencv, true}}) {
      g.metadata.preprocessing.decoding = DecodingOf(framework);
      Result<DatasetSamples> samples = OpenSamples(photos, g, 0, fast);
      ASSERT_TRUE(samples.ok()) << samples.status().message();
      EXPECT_EQ(samples->description.find("--fast-decode") != std::string::npos, fast);
      Preprocessor preprocessor(g.metadata.preprocessing, 4, 4, channels,
                                **kernels::SelectTable(""));
      std::vector<float> found(4 * 4 * channels), expected(found.size());
      for (const std::string& photo : photos) {
        const auto image =
            DecodeImage(*ReadFileBytes(photo, 10000), photo, DecodingOf(framework),
                        fast ? Wanted{8, 8, channels == 1} : Wanted{.gray = channels == 1});
        ASSERT_TRUE(image.ok()) << image.status().message();
        ASSERT_TRUE(
            preprocessor.ToFloat({image->rgb.data(), image->width, image->height}, expected.data())
                .ok());
        const Result<bool> more = samples->next(found.data());
        ASSERT_TRUE(more.ok()) << more.status().message();
        EXPECT_TRUE(*more);
        EXPECT_EQ(found, expected) << photo;
      }
      EXPECT_FALSE(*samples->next(found.data()));
    }
  }
}

}  // namespace
}  // namespace octet
