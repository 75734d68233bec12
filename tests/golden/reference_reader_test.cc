// formats/reference_reader.py, which is written from formats/SPEC.md alone, against the engine:
// every activation of the flower model, of CIFAR ResNet-20 and of random networks of every operator
// must have the same bits, wherever SPEC.md defines them. Needs a python3 with NumPy
// (OCTET_READER_GRAPHS=N: how many random networks; OCTET_READER_SEED=S: the first).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "bench/graph_generator.h"
#include "converter/calibrate/sample_source.h"
#include "converter/import/importer.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "engine/src/model_impl.h"
#include "formats/base/str_cat.h"
#include "formats/model/octet_file.h"
#include "tests/data_dir.h"
#include "tests/fuzz/graph_oracle.h"
#include "tests/golden/answers.h"
#include "tests/golden/exporter_environment.h"
#include "tests/unit/data_test_util.h"
#include "tests/unit/naive_interpreter.h"

namespace octet {
namespace {

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

/// The first of several interpreters that has NumPy; empty if none does.
std::string PythonWithNumpy() {
  for (const std::string& python : {std::string("python3"), std::string("/usr/bin/python3"),
                                    testing::ExporterPython("torch")}) {
    const std::string command = python + " -c 'import numpy' 2>/dev/null";
    if (!python.empty() && std::system(command.c_str()) == 0) return python;
  }
  return "";
}

Result<Graph> QuantizedCifarResnet20() {
  const std::string data = testing::DataDir();
  OCTET_ASSIGN_OR_RETURN(Graph graph, ImportModel(data + "/resnet-cifar/resnet20.onnx", {}));
  OCTET_RETURN_IF_ERROR(Optimize(&graph));
  graph.metadata.preprocessing.scale = 1.0f / 128.0f;
  OCTET_ASSIGN_OR_RETURN(DatasetSamples source, OpenSamples(data + "/cifar10/train", graph, 50));
  OCTET_ASSIGN_OR_RETURN(const CalibrationTable table, Calibrate(graph, source.next, {}, nullptr));
  return QuantizeGraph(graph, {.precision = Precision::kInt8}, &table);
}

class ReferenceReader : public ::testing::Test {
 protected:
  void SetUp() override {
    python_ = PythonWithNumpy();
    if (python_.empty()) GTEST_SKIP() << "no python3 with NumPy";
  }

  void TearDown() override {
    if (activations_ == 0) return;
    std::printf("%d networks, %d not for the engine; activations: %d with every bit, %d near\n",
                networks_, unsupported_, exact_, activations_ - exact_);
  }

  /// Runs the reader with each line of arguments, in one process. Returns what it printed and how
  /// many it refused.
  std::string Read(const std::vector<std::string>& lines, int* refused) {
    std::ofstream arguments(folder_ / "arguments");
    for (const std::string& line : lines) arguments << line << '\n';
    arguments.close();
    const std::string command =
        StrCat(python_, " -B -c 'import sys; sys.path.insert(0, \"", OCTET_SOURCE_DIR,
               "/formats\"); import reference_reader as r; "
               "sys.exit(sum([r.main(line.split()) for line in open(sys.argv[1])]))' ",
               folder_ / "arguments", " >", folder_ / "printed", " 2>&1");
    *refused = WEXITSTATUS(std::system(command.c_str()));
    std::ifstream printed(folder_ / "printed");
    return {std::istreambuf_iterator<char>(printed), {}};
  }

  /// Holds the reader's activations of every file, with the golden input of every seed, against the
  /// engine's.
  void Compare(const std::vector<std::string>& files, const std::vector<uint64_t>& seeds) {
    std::vector<std::string> lines;
    for (size_t i = 0; i < files.size(); ++i) {
      for (uint64_t seed : seeds) {
        const std::string dump = StrCat(folder_.path(), "/", i, "_", seed);
        std::filesystem::create_directory(dump);
        lines.push_back(StrCat(files[i], " --seed ", seed, " --dump-layers ", dump));
      }
    }
    int refused = -1;
    const std::string printed = Read(lines, &refused);
    ASSERT_EQ(refused, 0) << printed;
    for (size_t i = 0; i < files.size(); ++i) {
      const auto model = Model::Load(files[i]);
      ASSERT_TRUE(model.ok()) << model.status().message();
      auto session = Session::Create(*model, {});
      if (!session.ok() && session.status().code() == StatusCode::kUnsupported) {
        ++unsupported_;
        continue;
      }
      ASSERT_TRUE(session.ok()) << session.status().message();
      ++networks_;
      for (uint64_t seed : seeds) {
        SCOPED_TRACE(StrCat(files[i], " with seed ", seed));
        CompareActivations(session->get(), seed, StrCat(folder_.path(), "/", i, "_", seed));
      }
    }
  }

  std::string python_;
  const testing::TempDir folder_;
  std::map<std::string, int> operators_;  ///< Whose results were compared, with their precisions.

 private:
  /// Where the interpreter knows a bound above 0 instead of the very number, reader and engine may
  /// each be as far from it.
  void CompareActivations(Session* session, uint64_t seed, const std::string& dump) {
    const Graph& g = GraphOf(session->GetModel());
    testing::NaiveInterpreter interpreter(g, testing::Arithmetic::kEngine);
    std::vector<testing::Values> inputs;
    for (TensorId id : g.inputs) inputs.push_back(GoldenInput(g.tensor(id), seed));
    interpreter.Evaluate(inputs);
    std::map<TensorId, const Node*> producers;
    for (const Node& n : g.nodes) producers[n.output] = &n;
    Internals::Of(*session).observer = [&](TensorId id, const kernels::ActivationView& view) {
      const Tensor& t = g.tensor(id);
      const auto found = testing::ReadArray(StrCat(dump, "/", id, ".npy"));
      ASSERT_TRUE(found.ok()) << found.status().message();
      const testing::Values& errors = interpreter.errors(id);
      size_t i = 0;
      std::vector<uint8_t> pixel(static_cast<size_t>(view.c) * DTypeSize(t.dtype));
      for (int y = 0; y < view.h; ++y) {
        for (int x = 0; x < view.w; ++x) {
          ReadPixel(t, view, y, x, pixel.data());
          for (int c = 0; c < view.c; ++c, ++i) {
            const float expected =
                IsCodes(t.dtype) ? static_cast<float>(CodeAt(t.dtype, pixel.data(), c))
                : t.dtype == DType::kBF16
                    ? Bf16ToFloat(reinterpret_cast<const uint16_t*>(pixel.data())[c])
                    : reinterpret_cast<const float*>(pixel.data())[c];
            const float value = found->values[i];
            if (std::bit_cast<uint32_t>(expected) == std::bit_cast<uint32_t>(value)) continue;
            ASSERT_FALSE(errors.empty())
                << t.name << ", " << OpTypeName(producers[id]->type) << ": element " << i
                << ": found " << value << ", expected " << expected;
            ASSERT_LE(std::fabs(value - expected), 2.001 * errors[i])
                << t.name << ", " << OpTypeName(producers[id]->type) << ": element " << i;
          }
        }
      }
      EXPECT_EQ(i, found->values.size()) << t.name;
      ++activations_;
      exact_ += errors.empty();
      const Node& n = *producers[id];
      if (errors.empty())
        ++operators_[StrCat(OpTypeName(n.type), " ", testing::NodePrecision(g, n))];
    };
    const auto output = RunGolden(session, seed);
    EXPECT_TRUE(output.ok()) << output.status().message();
  }

  static testing::Values GoldenInput(const Tensor& t, uint64_t seed) {
    const auto fill = [&]<typename T>(std::vector<T> values) {
      GenerateGoldenInput(seed, std::span<T>(values));
      return testing::Values(values.begin(), values.end());
    };
    const auto n = static_cast<size_t>(t.shape.num_elements());
    if (t.dtype == DType::kI16) return fill(std::vector<int16_t>(n));
    return t.dtype == DType::kU8 ? fill(std::vector<uint8_t>(n)) : fill(std::vector<float>(n));
  }

  int networks_ = 0, unsupported_ = 0, activations_ = 0, exact_ = 0;
};

TEST_F(ReferenceReader, FlowerModel) { Compare({OCTET_BITS_MODEL}, {1, 2}); }

TEST_F(ReferenceReader, CifarResnet20) {
  OCTET_REQUIRE_DATA();
  const auto graph = QuantizedCifarResnet20();
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const Status status = WriteOctetFile(folder_ / "resnet20.octet", *graph, {});
  ASSERT_TRUE(status.ok()) << status.message();
  Compare({folder_ / "resnet20.octet"}, {1, 2, 3});
}

TEST_F(ReferenceReader, SoftmaxOfInt16) {
  Graph g;
  g.metadata.precision = Precision::kInt16x8;
  g.metadata.rounding = Rounding::kTflite;
  const Shape shape{1, 20, 30, 7};
  const TensorId x = g.AddActivation("x", DType::kI16, shape, {0.00031f, 0}),
                 y = g.AddActivation("y", DType::kI16, shape, {0x1p-15f, 0});
  g.inputs = {x};
  g.outputs = {y};
  g.AddNode(OpType::kSoftmax, "softmax", {x}, y);
  const std::string path = folder_ / "softmax.octet";
  const Status status = WriteOctetFile(path, g, {});
  ASSERT_TRUE(status.ok()) << status.message();
  Compare({path}, {1, 2, 3});
}

TEST_F(ReferenceReader, RandomNetworksOfEveryOperator) {
  // From 300 on, 300 graphs have every operator.
  const int first = FromEnvironment("OCTET_READER_SEED", 300);
  std::vector<std::string> files;
  for (int i = first; i < first + FromEnvironment("OCTET_READER_GRAPHS", 300); ++i) {
    testing::SeededChoices choices(static_cast<uint64_t>(i));
    Graph graph = testing::GenerateGraph(&choices);
    if (Graph bf16 = graph; testing::ToBf16(&bf16)) {
      files.push_back(StrCat(folder_.path(), "/", i, "_bf16.octet"));
      const Status status = WriteOctetFile(files.back(), bf16, {});
      ASSERT_TRUE(status.ok()) << status.message();
    }
    for (const char* end : {".octet", "_int16.octet"}) {
      files.push_back(StrCat(folder_.path(), "/", i, end));
      const Status status = WriteOctetFile(files.back(), graph, {});
      ASSERT_TRUE(status.ok()) << status.message();
      if (!testing::ToInt16(&graph)) break;
    }
  }
  Compare(files, {1, 2});
  for (const auto& [name, count] : operators_) std::printf("%7d %s\n", count, name.c_str());
  for (const char* name : {"conv2d int8",
                           "conv2d int8 tflite",
                           "conv2d u8 to f32",
                           "conv2d hybrid",
                           "dense int8",
                           "dense int8 tflite",
                           "dense u8 to f32",
                           "max_pool u8",
                           "average_pool u8",
                           "average_pool u8 tflite",
                           "global_average_pool u8",
                           "global_average_pool u8 tflite",
                           "global_average_pool u8 to f32",
                           "add u8",
                           "add u8 tflite",
                           "mul u8",
                           "mul u8 tflite",
                           "scale_shift u8",
                           "relu u8",
                           "relu6 u8",
                           "pad u8",
                           "slice u8",
                           "concat u8",
                           "reshape u8",
                           "quantize u8",
                           "quantize f32 to u8",
                           "quantize f32 to u8 tflite",
                           "dequantize u8 to f32",
                           "clip u8",
                           "max_pool bf16",
                           "average_pool bf16",
                           "add bf16",
                           "mul bf16",
                           "scale_shift bf16",
                           "relu bf16",
                           "clip bf16",
                           "pad bf16",
                           "concat bf16",
                           "quantize f32 to bf16",
                           "dequantize bf16 to f32",
                           "conv2d i16",
                           "conv2d i16 tflite",
                           "conv2d i16 to f32",
                           "dense i16 tflite",
                           "average_pool i16 tflite",
                           "global_average_pool i16 tflite",
                           "add i16 tflite",
                           "scale_shift i16 tflite",
                           "quantize f32 to i16 tflite",
                           "dense i16",
                           "max_pool i16",
                           "average_pool i16",
                           "global_average_pool i16",
                           "global_average_pool i16 to f32",
                           "add i16",
                           "mul i16",
                           "scale_shift i16",
                           "relu i16",
                           "relu6 i16",
                           "pad i16",
                           "slice i16",
                           "concat i16",
                           "reshape i16",
                           "quantize i16",
                           "quantize f32 to i16",
                           "dequantize i16 to f32",
                           "clip i16"})
    EXPECT_GT(operators_[name], 0) << name;
}

TEST_F(ReferenceReader, RefusesDamagedFiles) {
  std::ifstream file(OCTET_BITS_MODEL, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  ASSERT_GT(bytes.size(), 1000u);
  const auto with = [&](size_t at, char byte) {
    std::string changed = bytes;
    changed[at] = byte;
    return changed;
  };
  const std::pair<std::string, const char*> cases[] = {
      {"", "magic: this is no .octet file"},
      {with(3, 'x'), "magic: this is no .octet file"},
      {bytes.substr(0, 100), "length: found 100, expected at least 128"},
      {bytes.substr(0, bytes.size() - 1), "file size: found"},
      {with(8, 2), "version: found 2, expected 1; unsupported"},
      {with(24, 64), "required features: found 64"},
      {with(24, static_cast<char>(bytes[24] | 16)), "codes that are pixels: expected one input"},
      {with(60, 0), "section"},
      {with(125, 1), "reserved bytes"},
      {with(128, 100), "section metadata, byte"}};
  std::vector<std::string> lines;
  for (const auto& [content, sentence] : cases) {
    lines.push_back(StrCat(folder_.path(), "/", lines.size(), ".octet"));
    std::ofstream(lines.back(), std::ios::binary) << content;
  }
  int refused = 0;
  std::istringstream printed(Read(lines, &refused));
  EXPECT_EQ(refused, static_cast<int>(std::size(cases)));
  for (const auto& [content, sentence] : cases) {
    std::string line;
    std::getline(printed, line);
    EXPECT_THAT(line, ::testing::HasSubstr(sentence));
  }
  EXPECT_EQ(printed.peek(), std::char_traits<char>::eof()) << "one sentence a file";
}

}  // namespace
}  // namespace octet
