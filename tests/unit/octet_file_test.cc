// Reading and writing .octet files.
#include "formats/model/octet_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "formats/model/panel.h"
#include "tests/sample_graphs.h"

namespace octet {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::SampleGraph;
using testing::SampleGraphBuilder;

/// An empty folder that goes away with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "octet_file_test.XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string File(const std::string& name) const { return (path_ / name).string(); }
  std::vector<std::string> List() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path_))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  fs::path path_;
};

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::span<const std::byte> AsBytes(const std::string& s) { return std::as_bytes(std::span(s)); }

Golden SampleGolden() { return {0x123456789abcdef0u, {0.1f, 0.2f, 0.3f, 0.4f, 0.0f}}; }

/// Reads from an aligned copy, which the graph keeps.
Result<OctetFile> ReadCopy(std::span<const std::byte> bytes, const ReadOptions& options = {}) {
  std::byte* data = nullptr;
  const std::shared_ptr<void> owner = MakeAlignedBuffer(bytes.size(), &data);
  std::copy(bytes.begin(), bytes.end(), data);
  return ReadOctetBytes({data, bytes.size()}, owner, options);
}

std::vector<std::byte> Serialize(const Graph& graph, const Golden& golden = SampleGolden()) {
  Result<std::vector<std::byte>> bytes = SerializeOctet(graph, golden);
  EXPECT_TRUE(bytes.ok()) << bytes.status().message();
  return bytes.ok() ? *bytes : std::vector<std::byte>();
}

void ExpectSameGraph(const Graph& a, const Graph& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    const Tensor &s = a.tensors[i], &t = b.tensors[i];
    SCOPED_TRACE(s.name);
    EXPECT_EQ(s.name, t.name);
    EXPECT_EQ(s.dtype, t.dtype);
    EXPECT_EQ(s.shape, t.shape);
    EXPECT_EQ(s.layout, t.layout);
    EXPECT_EQ(s.quantization, t.quantization);
    EXPECT_EQ(s.is_constant(), t.is_constant());
    EXPECT_TRUE(std::equal(s.data.begin(), s.data.end(), t.data.begin(), t.data.end()));
  }
  ASSERT_EQ(a.nodes.size(), b.nodes.size());
  for (size_t i = 0; i < a.nodes.size(); ++i) {
    const Node &m = a.nodes[i], &n = b.nodes[i];
    SCOPED_TRACE(m.name);
    EXPECT_EQ(m.type, n.type);
    EXPECT_EQ(m.name, n.name);
    EXPECT_EQ(m.inputs, n.inputs);
    EXPECT_EQ(m.output, n.output);
    EXPECT_EQ(m.window, n.window);
    EXPECT_EQ(m.groups, n.groups);
    EXPECT_EQ(m.activation, n.activation);
    EXPECT_EQ(m.tflite_kernel, n.tflite_kernel);
    EXPECT_EQ(m.count_include_pad, n.count_include_pad);
    EXPECT_EQ(m.axis, n.axis);
    EXPECT_EQ(m.pad_value, n.pad_value);
    EXPECT_EQ(m.begin, n.begin);
    EXPECT_EQ(m.end, n.end);
    EXPECT_EQ(m.step, n.step);
    EXPECT_EQ(m.clip_low, n.clip_low);
    EXPECT_EQ(m.clip_high, n.clip_high);
  }
  EXPECT_EQ(a.inputs, b.inputs);
  EXPECT_EQ(a.outputs, b.outputs);
  EXPECT_EQ(a.inputs_channels_first, b.inputs_channels_first);
  EXPECT_EQ(a.outputs_channels_first, b.outputs_channels_first);
  const Metadata &m = a.metadata, &n = b.metadata;
  EXPECT_EQ(m.name, n.name);
  EXPECT_EQ(m.source, n.source);
  EXPECT_EQ(m.options, n.options);
  EXPECT_EQ(m.precision, n.precision);
  EXPECT_EQ(m.labels, n.labels);
  EXPECT_EQ(m.pixel_codes, n.pixel_codes);
  const Preprocessing &p = m.preprocessing, &q = n.preprocessing;
  EXPECT_EQ(p.resize, q.resize);
  EXPECT_EQ(p.resampling, q.resampling);
  EXPECT_EQ(p.decoding, q.decoding);
  EXPECT_EQ(p.pad_color, q.pad_color);
  EXPECT_EQ(p.order, q.order);
  EXPECT_EQ(p.resize_shorter, q.resize_shorter);
  EXPECT_EQ(p.scale, q.scale);
  EXPECT_EQ(p.mean, q.mean);
  EXPECT_EQ(p.stddev, q.stddev);
}

TEST(OctetFileTest, RoundTripKeepsEverything) {
  const TemporaryFolder folder;
  for (Precision precision : testing::kAllPrecisions) {
    SCOPED_TRACE(PrecisionName(precision));
    Graph graph = SampleGraph(precision);
    if (precision == Precision::kInt8) {
      graph.inputs_channels_first.assign(graph.inputs.size(), true);
      graph.outputs_channels_first.assign(graph.outputs.size(), false);
    }
    const std::string path = folder.File(PrecisionName(precision));
    const Status written = WriteOctetFile(path, graph, SampleGolden());
    ASSERT_TRUE(written.ok()) << written.message();
    const Result<OctetFile> file = ReadOctetFile(path);
    ASSERT_TRUE(file.ok()) << file.status().message();
    PackGraph(&graph);
    ExpectSameGraph(graph, file->graph);
    EXPECT_EQ(file->golden.seed, SampleGolden().seed);
    EXPECT_EQ(file->golden.output, SampleGolden().output);
    EXPECT_EQ(file->file_size, static_cast<int64_t>(fs::file_size(path)));
    for (const Tensor& t : file->graph.tensors) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(t.data.data()) % 64, 0u) << t.name;  // No data: null.
    }
  }
}

TEST(OctetFileTest, SameInputsGiveSameBytesAndReadingLosesNothing) {
  for (Precision precision : testing::kAllPrecisions) {
    const std::vector<std::byte> bytes = Serialize(SampleGraph(precision));
    EXPECT_EQ(Serialize(SampleGraph(precision)), bytes);
    const Result<OctetFile> file = ReadCopy(bytes);
    ASSERT_TRUE(file.ok()) << file.status().message();
    EXPECT_EQ(Serialize(file->graph, file->golden), bytes);
  }
}

/// The example of SPEC.md, byte by byte; it pins the format.
TEST(OctetFileTest, CodesThatArePixelsAreAFeature) {
  Graph graph = SampleGraph(Precision::kInt8);
  const std::vector<std::byte> without = Serialize(graph);
  testing::SetPixelCodes(&graph);
  const std::vector<std::byte> bytes = Serialize(graph);
  EXPECT_EQ(int{static_cast<uint8_t>(bytes[24])}, 16 | int{static_cast<uint8_t>(without[24])});
  const Result<OctetFile> file = ReadCopy(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  PackGraph(&graph);
  ExpectSameGraph(graph, file->graph);
}

TEST(OctetFileTest, Bfloat16IsAFeature) {
  std::vector<std::byte> bytes = Serialize(SampleGraph(Precision::kBf16));
  EXPECT_EQ(int{static_cast<uint8_t>(bytes[24])}, 32);
  bytes[24] = std::byte{0};  // The precision is then beyond what there is.
  ReadOptions options;
  options.verify_checksum = false;
  EXPECT_THAT(ReadCopy(bytes, options).status().message(), HasSubstr("precision"));
  Graph graph = SampleGraph(Precision::kBf16);
  graph.metadata.precision = Precision::kFp32;
  bytes = Serialize(graph);
  EXPECT_EQ(int{static_cast<uint8_t>(bytes[24])}, 32);
}

TEST(OctetFileTest, SpecExample) {
  Graph graph;
  const float scale[2] = {1.0f, -2.0f}, shift[2] = {0.5f, 0.0f};
  graph.AddActivation("x", DType::kF32, {1, 2});
  graph.AddConstant("a", DType::kF32, {2}, scale, sizeof(scale));
  graph.AddConstant("b", DType::kF32, {2}, shift, sizeof(shift));
  graph.AddActivation("y", DType::kF32, {1, 2});
  graph.AddNode(OpType::kScaleShift, "n", {0, 1, 2}, 3).activation = Activation::kRelu;
  graph.inputs = {0};
  graph.outputs = {3};
  graph.metadata.name = "m";
  graph.metadata.labels = {"no", "yes"};

  // clang-format off
  const std::vector<uint8_t> expected = {
      // Header.
      'O', 'C', 'T', 'E', 'T', 0, 0x1a, 0x0a, 1, 0, 0, 0, 128, 0, 0, 0,  // magic, version, header size
      72, 1, 0, 0, 0, 0, 0, 0,                                            // file size 328
      0, 0, 0, 0, 0, 0, 0, 0,                                             // required features
      0x69, 0x22, 0xaa, 0x4d, 0x57, 0xe0, 0x0a, 0xd2,                     // checksum
      0, 1, 0, 0, 0, 0, 0, 0, 72, 0, 0, 0, 0, 0, 0, 0,                    // constants: at 256, 72 bytes
      128, 0, 0, 0, 52, 0, 0, 0, 2, 0, 0, 0,                              // metadata: at 128, 52 bytes, 2 labels
      180, 0, 0, 0, 30, 0, 0, 0, 4, 0, 0, 0,                              // tensors: at 180, 30 bytes, 4
      210, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0,                               // nodes: at 210, 9 bytes, 1
      219, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0,                               // interface: at 219, 4 bytes, 2
      223, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0,                              // golden: at 223, 16 bytes, 2 values
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,                                 // reserved
      // Metadata.
      1, 'm', 0, 0, 0,                                                    // name, source, options, precision
      1, 0, 0, 0,                                                         // stretch, bilinear, RGB, resize_shorter
      0, 0, 0x80, 0x3f,                                                   // scale 1
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,                     // mean
      0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f,  // stddev
      2, 'n', 'o', 3, 'y', 'e', 's',                                      // labels
      // Tensors: kind, name, data type, rank, dimensions; constants: layout, offset / 64.
      0, 1, 'x', 0, 2, 1, 2,           //
      1, 1, 'a', 0, 1, 2, 0, 0,        //
      1, 1, 'b', 0, 1, 2, 0, 1,        //
      0, 1, 'y', 0, 2, 1, 2,           //
      7, 1, 1, 'n', 3, 1, 2, 3, 3,     // Node: type, activation, name, inputs + 1, output.
      1, 0, 1, 3,                      // Interface.
      5, 0, 0, 0, 0, 0, 0, 0,          // Golden: seed,
      0, 0, 0x80, 0x3e, 0, 0, 0, 0x40  // 0.25, 2.
  };
  // clang-format on
  const std::vector<std::byte> bytes = Serialize(graph, {5, {0.25f, 2.0f}});
  // Tables, zeros up to a multiple of 64, the scale, zeros again, the shift.
  std::vector<uint8_t> all = expected;
  all.resize(256);
  all.insert(all.end(), {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0});
  all.resize(320);
  all.insert(all.end(), {0, 0, 0, 0x3f, 0, 0, 0, 0});
  ASSERT_EQ(bytes.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(static_cast<int>(bytes[i]), all[i]) << "byte " << i;
  }
}

TEST(OctetFileTest, ConstantsKeepTheMappingAlive) {
  const TemporaryFolder folder;
  const std::string path = folder.File("m.octet");
  const Graph graph = SampleGraph(Precision::kFp32);
  ASSERT_TRUE(WriteOctetFile(path, graph, {}).ok());
  Tensor kept;
  std::vector<float> expected;
  {
    const Result<OctetFile> file = ReadOctetFile(path);
    ASSERT_TRUE(file.ok()) << file.status().message();
    kept = file->graph.tensor(file->graph.nodes[0].input(kInputBias));
    const Tensor& bias = graph.tensor(graph.nodes[0].input(kInputBias));
    expected.assign(bias.values<float>().begin(), bias.values<float>().end());
  }
  fs::remove(path);
  EXPECT_THAT(kept.values<float>(), ::testing::ElementsAreArray(expected));
}

TEST(OctetFileTest, GoldenIsOptionalAndChecked) {
  const Graph graph = SampleGraph(Precision::kFp32);
  const Result<OctetFile> file = ReadCopy(Serialize(graph, {7, {}}));
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->golden.seed, 7u);
  EXPECT_TRUE(file->golden.output.empty());
  EXPECT_THAT(SerializeOctet(graph, {7, {1, 2}}).status().message(),
              HasSubstr("golden: number of values: found 2, expected 5"));
  EXPECT_THAT(SerializeOctet(graph, {7, {1, 2, 3, 4, std::numeric_limits<float>::quiet_NaN()}})
                  .status()
                  .message(),
              HasSubstr("golden: value: found nan"));
  SampleGraphBuilder b(Precision::kInt8);
  const TensorId x = b.Input({1, 2, 1, 1});
  b.graph().outputs = {b.Move(OpType::kRelu, "y", {x}, [](Node*) {})};
  EXPECT_TRUE(SerializeOctet(b.graph(), {7, {0, 255}}).ok());
  EXPECT_THAT(SerializeOctet(b.graph(), {7, {0, 256}}).status().message(),
              HasSubstr("whole number from 0 to 255"));
  EXPECT_THAT(SerializeOctet(b.graph(), {7, {0, 0.5f}}).status().message(), HasSubstr("found 0.5"));
}

TEST(OctetFileTest, GoldenInputs) {
  // The first draws of SplitMix64 from seed 0 are e220a8397b1dcdaf, 6e789e6aa1b965f4,
  // 06c45d188009454f, f88bb8a8724c81ec.
  uint8_t u8[4];
  float f32[4];
  GenerateGoldenInput(0, std::span<uint8_t>(u8));
  GenerateGoldenInput(0, std::span<float>(f32));
  EXPECT_THAT(u8, ::testing::ElementsAre(0xe2, 0x6e, 0x06, 0xf8));
  EXPECT_THAT(f32, ::testing::ElementsAre(98 / 64.0f, -18 / 64.0f, -122 / 64.0f, 120 / 64.0f));
}

TEST(OctetFileTest, RefusesToWriteWhatCouldNotBeRead) {
  const auto error = [](const std::function<void(Graph*)>& spoil) {
    Graph g = SampleGraph(Precision::kInt8);
    spoil(&g);
    const Status status = SerializeOctet(g, {}).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return status.message();
  };
  EXPECT_THAT(error([](Graph* g) { g->nodes[0].window.stride_h = 0; }), HasSubstr("stride_h"));
  EXPECT_THAT(error([](Graph* g) { g->metadata.name = "a\nb"; }),
              HasSubstr("metadata: name: found a control character"));
  EXPECT_THAT(error([](Graph* g) { g->metadata.source = std::string(1, '\0'); }),
              HasSubstr("metadata: source"));
  EXPECT_THAT(error([](Graph* g) { g->metadata.options.assign(65537, 'x'); }),
              HasSubstr("more than 65536 bytes"));
  for (const char* bad : {"\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xff", "\xe2\x82"}) {
    EXPECT_THAT(error([&](Graph* g) { g->metadata.labels[1] = bad; }),
                HasSubstr("metadata: label 1: found invalid UTF-8"));
  }
  EXPECT_THAT(error([](Graph* g) { g->tensors[3].name = "\x7f"; }),
              HasSubstr("tensor 3: name: found a control"));
  EXPECT_THAT(error([](Graph* g) { g->nodes[2].name = "\t"; }),
              HasSubstr("node 2: name: found a control"));
  Graph good = SampleGraph(Precision::kFp32);
  good.metadata.name = "\u00e9\u20ac\U0001f33b";
  EXPECT_TRUE(SerializeOctet(good, {}).ok());
}

/// Bytes of the int8 sample with one field changed; the checksum is left alone and not looked at.
std::vector<std::byte> Changed(size_t at, uint8_t value) {
  std::vector<std::byte> bytes = Serialize(SampleGraph(Precision::kInt8));
  bytes[at] = std::byte{value};
  return bytes;
}

TEST(OctetFileTest, HeaderErrorsNameTheField) {
  const ReadOptions no_checksum{false};
  const auto error = [&](std::span<const std::byte> bytes, StatusCode code = StatusCode::kCorrupt) {
    const Status status = ReadCopy(bytes, no_checksum).status();
    EXPECT_EQ(status.code(), code) << status.message();
    return status.message();
  };
  EXPECT_THAT(error({}), HasSubstr("magic: found an empty file"));
  EXPECT_THAT(error(AsBytes("PK\x03\x04 and more")),
              AllOf(HasSubstr("magic: found 50 4b 03 04"), HasSubstr(".octet")));
  EXPECT_THAT(error(Changed(7, 0x0d)), HasSubstr("magic"));
  EXPECT_THAT(error(Changed(8, 2), StatusCode::kUnsupported),
              HasSubstr("version: found 2, expected 1"));
  EXPECT_THAT(error(Changed(12, 64)), HasSubstr("header size: found 64, expected 128"));
  EXPECT_THAT(error(Changed(26, 1), StatusCode::kUnsupported),
              HasSubstr("required features: found bit 16"));
  EXPECT_THAT(error(Changed(24, 8)), HasSubstr("required features: found it without such"));
  EXPECT_THAT(error(Changed(24, 32)), HasSubstr("required features: found it without such"));
  EXPECT_THAT(error(Changed(24, 16)),
              HasSubstr("codes that are pixels: scale and zero point of the input: found 0.02 and "
                        "114, expected 1 and 0"));
  EXPECT_THAT(error(Changed(20, 1)), HasSubstr("file size: found"));
  EXPECT_THAT(error(Changed(40, 1)), HasSubstr("constants: offset"));
  EXPECT_THAT(error(Changed(52, 1)), HasSubstr("constants: size"));
  EXPECT_THAT(error(Changed(56, 1)), HasSubstr("section metadata: offset: found 1, expected 128"));
  EXPECT_THAT(error(Changed(63, 1)), HasSubstr("section metadata: size"));
  EXPECT_THAT(error(Changed(67, 1)), HasSubstr("number of labels"));
  EXPECT_THAT(error(Changed(68, 1)), HasSubstr("section tensors: offset"));
  EXPECT_THAT(error(Changed(79, 1)), HasSubstr("number of tensors"));
  EXPECT_THAT(error(Changed(91, 1)), HasSubstr("number of nodes"));
  EXPECT_THAT(error(Changed(100, 9)), HasSubstr("section interface: count: found 9, expected 3"));
  EXPECT_THAT(error(Changed(115, 1)), HasSubstr("number of values"));
  EXPECT_THAT(error(Changed(120, 1)),
              HasSubstr("reserved bytes of the header: found 1, expected 0"));
  std::vector<std::byte> bytes = Serialize(SampleGraph(Precision::kInt8));
  EXPECT_THAT(error(std::span(bytes).first(100)),
              HasSubstr("file size: found 100, expected at least 128"));
  EXPECT_THAT(error(std::span(bytes).first(bytes.size() - 1)), HasSubstr("file size"));
  bytes.push_back(std::byte{0});
  EXPECT_THAT(error(bytes), HasSubstr("file size"));
}

TEST(OctetFileTest, ChecksumCoversEveryByteAndCanBeSkipped) {
  const std::vector<std::byte> bytes = Serialize(SampleGraph(Precision::kInt8));
  // The last byte is a weight: nothing but the checksum can find it changed.
  std::vector<std::byte> changed = bytes;
  changed.back() ^= std::byte{0x10};
  const Status status = ReadCopy(changed).status();
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_THAT(status.message(), HasSubstr("checksum: found"));
  EXPECT_TRUE(ReadCopy(changed, {false}).ok());
  for (size_t i = 0; i < bytes.size(); ++i) {
    changed = bytes;
    changed[i] ^= std::byte{0x01};
    ASSERT_FALSE(ReadCopy(changed).ok()) << "byte " << i;
  }
}

TEST(OctetFileTest, UnalignedMemoryIsRefused) {
  const std::vector<std::byte> bytes = Serialize(SampleGraph(Precision::kInt8));
  std::byte* data = nullptr;
  const std::shared_ptr<void> owner = MakeAlignedBuffer(bytes.size() + 64, &data);
  for (size_t at = 0; at < 64; ++at) {
    std::copy(bytes.begin(), bytes.end(), data + at);
    const Result<OctetFile> file = ReadOctetBytes({data + at, bytes.size()}, owner);
    EXPECT_EQ(file.ok(), at % 4 == 0);
    if (file.ok()) continue;
    EXPECT_EQ(file.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(file.status().message(), HasSubstr("multiple of 4"));
  }
}

TEST(OctetFileTest, SystemErrors) {
  const TemporaryFolder folder;
  EXPECT_EQ(ReadOctetFile(folder.File("none")).status().code(), StatusCode::kNotFound);
  EXPECT_THAT(ReadOctetFile(folder.File("none")).status().message(), HasSubstr("none"));
  EXPECT_EQ(ReadOctetFile(folder.File("")).status().code(), StatusCode::kIo);
  ASSERT_EQ(::mkfifo(folder.File("pipe").c_str(), 0600), 0);
  EXPECT_THAT(ReadOctetFile(folder.File("pipe")).status().message(),
              HasSubstr("not a regular file"));
  std::ofstream(folder.File("empty"));
  EXPECT_EQ(ReadOctetFile(folder.File("empty")).status().code(), StatusCode::kCorrupt);
  std::ofstream(folder.File("text")) << "hello";
  const Status status = ReadOctetFile(folder.File("text")).status();
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_THAT(status.message(), AllOf(HasSubstr(folder.File("text")), HasSubstr("magic")));
}

TEST(WriteFileAtomicallyTest, CreatesAndReplaces) {
  const TemporaryFolder folder;
  const std::string path = folder.File("out");
  ASSERT_TRUE(WriteFileAtomically(path, AsBytes("first")).ok());
  EXPECT_EQ(ReadAll(path), "first");
  // Who has the old file open keeps it.
  std::ifstream old(path);
  ASSERT_TRUE(WriteFileAtomically(path, AsBytes("second")).ok());
  std::string word;
  old >> word;
  EXPECT_EQ(word, "first");
  EXPECT_EQ(ReadAll(path), "second");
  ASSERT_TRUE(WriteFileAtomically(path, {}).ok());
  EXPECT_EQ(fs::file_size(path), 0u);
  EXPECT_THAT(folder.List(), ::testing::ElementsAre("out"));

  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  EXPECT_EQ(info.st_mode & 0777, 0666 & ~mask);
}

TEST(WriteFileAtomicallyTest, FollowsLinks) {
  const TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder.File("target"), AsBytes("old")).ok());
  fs::create_symlink("target", folder.File("link"));
  ASSERT_TRUE(WriteFileAtomically(folder.File("link"), AsBytes("new")).ok());
  EXPECT_TRUE(fs::is_symlink(folder.File("link")));
  EXPECT_EQ(ReadAll(folder.File("target")), "new");
}

TEST(WriteFileAtomicallyTest, RefusesWhatIsNoFile) {
  const TemporaryFolder folder;
  EXPECT_THAT(WriteFileAtomically("/dev/null", AsBytes("x")).message(),
              HasSubstr("not a regular file"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_FALSE(WriteFileAtomically(folder.File(""), AsBytes("x")).ok());
  const Status status = WriteFileAtomically(folder.File("none/out"), AsBytes("x"));
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_THAT(status.message(), HasSubstr("none/out"));
  EXPECT_TRUE(folder.List().empty());
}

TEST(WriteFileAtomicallyTest, FailureLeavesTheOldFileAndNothingElse) {
  const TemporaryFolder folder;
  const std::string path = folder.File("out");
  ASSERT_TRUE(WriteFileAtomically(path, AsBytes("old")).ok());
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 4096;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = WriteFileAtomically(path, AsBytes(std::string(100000, 'x')));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_THAT(status.message(), HasSubstr(path));
  EXPECT_EQ(ReadAll(path), "old");
  EXPECT_THAT(folder.List(), ::testing::ElementsAre("out"));
}

}  // namespace
}  // namespace octet
