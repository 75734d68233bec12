// The safetensors reader: types, and everything that can be wrong with a header.
#include "converter/import/checkpoints/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "converter/import/importer.h"
#include "formats/base/dtype.h"
#include "tests/data_dir.h"
#include "tests/unit/safetensors_builder.h"

namespace octet {
namespace {

using testing::Borrow;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SafetensorsBuilder;
using testing::SafetensorsBytes;

TensorRequest Ask(const std::string& name) { return {name, {}, TensorRole::kWeights, false}; }

std::string ParseError(const std::string& bytes) {
  const auto source = SafetensorsSource::Parse(Borrow(bytes), "x");
  if (source.ok()) return "accepted";
  EXPECT_EQ(source.status().code(), StatusCode::kCorrupt);
  return source.status().message();
}

TEST(Safetensors, ReadsEveryFloatingPointType) {
  SafetensorsBuilder builder;
  builder.Add<float>("f32", "F32", {2, 2}, {1.5f, -2.0f, 0.25f, 1e30f});
  builder.Add<uint16_t>("f16", "F16", {3}, {FloatToHalf(1.5f), FloatToHalf(-65504.0f), 0x0001});
  builder.Add<uint16_t>("bf16", "BF16", {2}, {0x3fc0, 0xc000});
  builder.Add<double>("f64", "F64", {1, 1}, {0.1});
  builder.Add<int64_t>("steps", "I64", {}, {7});
  const std::string bytes = builder.Build();
  auto source = SafetensorsSource::Parse(Borrow(bytes), "x");
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_THAT(source->Names(), ElementsAre("bf16", "f16", "f32", "f64", "steps"));
  EXPECT_THAT(source->FindShape(Ask("f32")).value(), ElementsAre(2, 2));
  EXPECT_FALSE(source->FindShape(Ask("none")).has_value());
  EXPECT_THAT(source->Read(Ask("f32")).value(), ElementsAre(1.5f, -2.0f, 0.25f, 1e30f));
  EXPECT_THAT(source->Read(Ask("f16")).value(), ElementsAre(1.5f, -65504.0f, 0x1p-24f));
  EXPECT_THAT(source->Read(Ask("bf16")).value(), ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(source->Read(Ask("f64")).value(), ElementsAre(0.1f));
  EXPECT_EQ(source->Read(Ask("steps")).status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(source->Read(Ask("none")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(source->DescribeTypes(), "BF16 (1), F16 (1), F32 (1), F64 (1), I64 (1)");
}

TEST(Safetensors, TypesWithoutAMeaningAsWeightsAreNamed) {
  for (const char* type :
       {"F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0", "I8", "U8", "BOOL"}) {
    SafetensorsBuilder builder;
    builder.Add<uint8_t>("w", type, {2}, {1, 2});
    const std::string bytes = builder.Build();
    auto source = SafetensorsSource::Parse(Borrow(bytes), "x");
    ASSERT_TRUE(source.ok()) << source.status().message();
    EXPECT_THAT(source->Read(Ask("w")).status().message(),
                HasSubstr(std::string("tensor 'w' has dtype ") + type + ", expected one of"));
  }
}

TEST(Safetensors, MetadataAndEmptyTensorsAreFine) {
  const std::string bytes = SafetensorsBytes(
      R"({"__metadata__":{"format":"pt"},"e":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},)"
      R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
      std::string(4, '\0'));
  const auto source = SafetensorsSource::Parse(Borrow(bytes), "x");
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_THAT(source->Names(), ElementsAre("a", "e"));
}

TEST(Safetensors, RefusesWrongLengths) {
  EXPECT_THAT(ParseError(""), HasSubstr("too few"));
  EXPECT_THAT(ParseError(std::string(7, '\0')), HasSubstr("too few"));
  EXPECT_THAT(ParseError(std::string(8, '\xff') + "{}"), HasSubstr("header length"));
  EXPECT_THAT(ParseError(SafetensorsBytes("{}", "").substr(0, 9)), HasSubstr("header length"));
  // More than any model's header, though the file is long enough.
  EXPECT_THAT(ParseError(SafetensorsBytes("{}" + std::string(9 << 20, ' '), "")),
              HasSubstr("header length"));
  EXPECT_THAT(ParseError(SafetensorsBytes("{}", "x")), HasSubstr("found 1 bytes, expected 0"));
}

TEST(Safetensors, RefusesWrongHeaders) {
  const auto header = [](const std::string& json) {
    return ParseError(SafetensorsBytes(json, std::string(8, '\0')));
  };
  EXPECT_THAT(header("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(header("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(header("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}"),
              HasSubstr("nested"));
  EXPECT_THAT(header(R"({"a":1})"), HasSubstr("'a': its entry is not a JSON object"));
  EXPECT_THAT(header(R"({"a":{"shape":[2],"data_offsets":[0,8]}})"), HasSubstr("'dtype'"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})"),
              HasSubstr("unknown dtype 'F33'"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"scale":2}})"),
              HasSubstr("'a': 'scale' is not a known field"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})"),
              HasSubstr("'shape'"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})"),
              HasSubstr("'shape'"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}})"),
              HasSubstr("'shape'"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}})"),
              HasSubstr("'shape'"));
  EXPECT_THAT(
      header(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})"),
      HasSubstr("overflows"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})"),
              HasSubstr("'data_offsets'"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})"),
              HasSubstr("'data_offsets'"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})"),
              HasSubstr("not inside the 8 bytes"));
  EXPECT_THAT(
      header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})"),
      HasSubstr("not inside"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})"),
              HasSubstr("span 8 bytes, expected 12"));
  EXPECT_THAT(
      header(
          R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})"),
      HasSubstr("'b' begins at byte 2 of the data, expected 4 (overlap)"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
              HasSubstr("(gap)"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
              HasSubstr("found 8 bytes, expected 4"));
}

class ImportSafetensorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("octet_safetensors_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::filesystem::path folder_;
};

TEST_F(ImportSafetensorsTest, NeedsAGraph) {
  const std::string path =
      Write("a.safetensors", SafetensorsBuilder().Add<float>("a", "F32", {1}, {1}).Build());
  const auto graph = ImportModel(path, {});
  EXPECT_EQ(graph.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(graph.status().message(), HasSubstr("resnet50"));
  EXPECT_EQ(ImportModel(path, {"no_such_graph"}).status().code(), StatusCode::kNotFound);
}

TEST_F(ImportSafetensorsTest, TellsWhatDoesNotFit) {
  const std::string path = Write("a.safetensors", SafetensorsBuilder()
                                                      .Add<float>("conv1.weight", "F32", {1}, {1})
                                                      .Add<float>("extra", "F32", {1}, {1})
                                                      .Build());
  const auto graph = ImportModel(path, {"resnet18"});
  EXPECT_EQ(graph.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(graph.status().message(), HasSubstr("101 missing: bn1.weight, bn1.bias"));
  EXPECT_THAT(graph.status().message(),
              HasSubstr("1 of wrong shape: conv1.weight is [1] instead of [64,3,7,7]"));
  EXPECT_THAT(graph.status().message(), HasSubstr("1 not used: extra"));
}

TEST_F(ImportSafetensorsTest, MissingAndForeignFiles) {
  EXPECT_EQ(DetectFormat((folder_ / "none").string()).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(DetectFormat(folder_.string()).status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(DetectFormat(Write("empty", "")).status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(DetectFormat(Write("text", "roses\nsunflowers\ndaisy\n")).status().code(),
            StatusCode::kUnsupported);
  EXPECT_EQ(DetectFormat(Write("h5", "\x89HDF\r\n\x1a\nrest")).value(), "h5");
  EXPECT_EQ(DetectFormat(Write("tflite", std::string("\x1c\0\0\0TFL3....", 12))).value(), "tflite");
  EXPECT_EQ(ImportModel(Write("h5b", "\x89HDF\r\n\x1a\nrest"), {}).status().code(),
            StatusCode::kUnsupported);
}

TEST(ShippedModel, FlowersConverts) {
  const auto graph = ImportModel(OCTET_SOURCE_DIR "/models/flowers/flowers_resnet.safetensors",
                                 {"flowers_resnet"});
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(graph->tensor(graph->inputs[0]).shape, (Shape{1, 160, 160, 3}));
  EXPECT_EQ(graph->tensor(graph->outputs[0]).shape, (Shape{1, 5}));
  EXPECT_EQ(graph->tensor(graph->outputs[0]).name, "probabilities");
  EXPECT_THAT(graph->metadata.labels,
              ElementsAre("roses", "sunflowers", "daisy", "dandelion", "tulips"));
  EXPECT_EQ(graph->metadata.source, "safetensors F16 (104) with graph flowers_resnet");
}

TEST(RealFiles, FormatsAreRecognized) {
  OCTET_REQUIRE_MODELS();
  const std::string flowers = testing::ModelsDir() + "/flowers/flowers_resnet";
  EXPECT_EQ(DetectFormat(flowers + ".safetensors").value(), "safetensors");
  EXPECT_EQ(DetectFormat(flowers + ".onnx").value(), "onnx");
  EXPECT_EQ(DetectFormat(flowers + "_qdq.onnx").value(), "onnx");
  EXPECT_EQ(DetectFormat(flowers + ".h5").value(), "h5");
  EXPECT_EQ(DetectFormat(flowers + ".keras").value(), "keras");
  EXPECT_EQ(DetectFormat(flowers + ".pth").value(), "pytorch");
  EXPECT_EQ(DetectFormat(flowers + "_int8.tflite").value(), "tflite");
  EXPECT_EQ(DetectFormat(testing::ModelsDir() + "/flowers/savedmodel").value(), "savedmodel");
  EXPECT_EQ(DetectFormat(testing::ModelsDir() + "/flowers/savedmodel/saved_model.pb").value(),
            "savedmodel");
  OCTET_REQUIRE_DATA();
  EXPECT_EQ(DetectFormat(testing::DataDir() + "/resnet-cifar/resnet20.th").value(), "pytorch");
  EXPECT_EQ(DetectFormat(testing::DataDir() + "/resnet-cifar/resnet20.onnx").value(), "onnx");
}

}  // namespace
}  // namespace octet
