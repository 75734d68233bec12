// What the library does to its host: memory that a file makes it take, files that change, inputs
// that are no numbers, null pointers. Bytes and steps are counted, never time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/model_impl.h"
#include "kernels/dispatch.h"
#include "tests/small_network.h"
#include "tests/watched_allocations.h"

namespace {
/// Called once, between two halves of what the library reads.
std::function<void()> between_reads;
/// 0: mlock does nothing and succeeds; else it fails with this errno.
int mlock_errno = 0;
size_t locked_bytes = 0;
}  // namespace

// The linker passes the library's calls through here (--wrap).
extern "C" {
ssize_t __real_pread(int fd, void* out, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void* out, size_t size, off_t offset) {
  if (between_reads == nullptr) return __real_pread(fd, out, size, offset);
  const ssize_t n = __real_pread(fd, out, size / 2, offset);
  std::exchange(between_reads, nullptr)();
  return n;
}
int __wrap_mlock(const void*, size_t size) {
  if (mlock_errno != 0) {
    errno = mlock_errno;
    return -1;
  }
  locked_bytes += size;
  return 0;
}
}

namespace octet {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr size_t kPixels = 20 * 20 * 3;

/// `bytes` must outlive the model when they happen to be aligned.
Result<std::shared_ptr<const Model>> LoadBytes(const std::vector<std::byte>& bytes,
                                               const ModelOptions& options = {}) {
  return Model::FromMemory(bytes.data(), bytes.size(), options);
}
void LoadBytes(std::vector<std::byte>&&, const ModelOptions& = {}) = delete;

std::vector<std::byte> Serialize(const Graph& graph, const Golden& golden = {}) {
  auto bytes = SerializeOctet(graph, golden);
  EXPECT_TRUE(bytes.ok()) << bytes.status().message();
  return bytes.ok() ? *bytes : std::vector<std::byte>();
}

/// `nodes` ReLUs one after the other on a float tensor of `shape`.
Graph Chain(const Shape& shape, int nodes) {
  Graph g;
  TensorId x = g.AddActivation("x", DType::kF32, shape);
  g.inputs = {x};
  for (int i = 0; i < nodes; ++i) {
    const TensorId y = g.AddActivation("t" + std::to_string(i), DType::kF32, shape);
    g.AddNode(OpType::kRelu, "n" + std::to_string(i), {x}, y);
    x = y;
  }
  g.outputs = {x};
  return g;
}

// --- memory ---

TEST(MaxMemory, VerifyCountsItsInputs) {
  // 64 inputs of 2 GiB that nothing reads: 1 KB of file, 128 GiB of golden inputs.
  Graph g = Chain({1, 4}, 1);
  for (int i = 0; i < 64; ++i) {
    g.inputs.push_back(
        g.AddActivation("big" + std::to_string(i), DType::kF32, {1, (1 << 29) - 16}));
  }
  Golden golden;
  golden.output = {1, 1, 1, 1};
  const std::vector<std::byte> bytes = Serialize(g, golden);
  EXPECT_LT(bytes.size(), 2048u);
  const auto model = LoadBytes(bytes);
  ASSERT_TRUE(model.ok()) << model.status().message();
  testing::largest_allocation = 0;
  const Status status = (*model)->Verify();
  EXPECT_EQ(StatusCode::kOutOfMemory, status.code());
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("golden run: needs 1374389"), HasSubstr("max_memory is 4294967296")));
  EXPECT_LT(testing::largest_allocation, size_t{1} << 20);
}

TEST(MaxMemory, LoadKnowsWhatNoSessionCanDoWithout) {
  const std::vector<std::byte> bytes = Serialize(Chain({1, 1024, 1024, 16}, 1));  // 128 MiB.
  ModelOptions options;
  options.max_memory = (int64_t{128} << 20) - 1;
  testing::largest_allocation = 0;
  const auto model = LoadBytes(bytes, options);
  EXPECT_EQ(StatusCode::kOutOfMemory, model.status().code());
  EXPECT_THAT(model.status().message(),
              AllOf(HasSubstr("node 'n0'"), HasSubstr("needs 134217728")));
  EXPECT_LT(testing::largest_allocation, size_t{1} << 20);
  options.max_memory += 1;
  EXPECT_TRUE(LoadBytes(bytes, options).ok());
}

TEST(MaxMemory, CreateAndClassifyStayBelow) {
  const std::vector<std::byte> bytes = Serialize(testing::SmallNetwork(Precision::kInt8));
  ModelOptions model_options;
  const auto free_model = LoadBytes(bytes);
  ASSERT_TRUE(free_model.ok());
  for (int threads : {1, 64}) {
    SessionOptions options;
    options.num_threads = threads;
    options.max_batch = 16;
    const auto free_session = Session::Create(*free_model, options);
    ASSERT_TRUE(free_session.ok());
    const MemoryReport memory = (*free_session)->Memory();
    const int64_t needed = memory.arena_bytes + memory.prepared_bytes;
    model_options.max_memory = needed - 1;
    const auto tight = LoadBytes(bytes, model_options);
    ASSERT_TRUE(tight.ok()) << tight.status().message();
    const auto refused = Session::Create(*tight, options);
    EXPECT_EQ(StatusCode::kOutOfMemory, refused.status().code());
    EXPECT_THAT(refused.status().message(),
                HasSubstr("max_memory is " + std::to_string(needed - 1)));
    // Enough for the session, but not for the images of a batch besides.
    model_options.max_memory = needed + 8192 * (threads > 1 ? 4 : 1);
    const auto model = LoadBytes(bytes, model_options);
    const auto session = Session::Create(*model, options);
    ASSERT_TRUE(session.ok()) << session.status().message();
    std::vector<uint8_t> pixels(kPixels);
    const Image image{pixels.data(), 20, 20};
    if (threads > 1) continue;
    const Status status = (*session)->Classify(image).status();
    EXPECT_EQ(StatusCode::kOutOfMemory, status.code());
    EXPECT_THAT(status.message(), HasSubstr("Classify of 16 images at once: needs"));
    std::vector<uint8_t> output(5);
    const void* in = pixels.data();
    void* out = output.data();
    EXPECT_TRUE((*session)->Run(&in, &out, 1).ok());
  }
}

TEST(MaxMemory, ResizingIsCounted) {
  // A row of 2^20 pixels: every row of a photo would become as long first.
  Graph g;
  const TensorId x = g.AddActivation("x", DType::kF32, {1, 1, 1 << 20, 3});
  const TensorId y = g.AddActivation("y", DType::kF32, {1, 1, 1, 3});
  g.inputs = {x};
  g.outputs = {y};
  g.AddNode(OpType::kGlobalAveragePool, "pool", {x}, y);
  g.metadata.preprocessing.resize = ResizeRule::kStretch;
  const std::vector<std::byte> bytes = Serialize(g);
  const auto model = LoadBytes(bytes);
  ASSERT_TRUE(model.ok()) << model.status().message();
  const auto session = Session::Create(*model);
  ASSERT_TRUE(session.ok());
  const std::vector<uint8_t> pixels(400 * 4000 * 3);
  std::vector<float> input(3 << 20);
  testing::largest_allocation = 0;
  const Status status = (*session)->Preprocess({pixels.data(), 400, 4000}, input.data());
  EXPECT_EQ(StatusCode::kOutOfMemory, status.code());
  EXPECT_THAT(status.message(), HasSubstr("image of 400x4000 pixels: needs"));
  EXPECT_LT(testing::largest_allocation, size_t{1} << 20);
  EXPECT_TRUE((*session)->Preprocess({pixels.data(), 4, 4}, input.data()).ok());
}

TEST(MaxMemory, TablesAreCountedBeforeTheyAreMade) {
  constexpr int kClasses = 200000;
  Graph g = Chain({1, kClasses}, 1);
  g.metadata.labels.resize(kClasses);
  const std::vector<std::byte> bytes = Serialize(g);
  EXPECT_LT(bytes.size(), size_t{300000});
  EXPECT_TRUE(LoadBytes(bytes).ok());
  ModelOptions options;
  options.max_memory = int64_t{4} << 20;
  testing::largest_allocation = 0;
  const auto model = LoadBytes(bytes, options);
  EXPECT_EQ(StatusCode::kOutOfMemory, model.status().code());
  EXPECT_THAT(model.status().message(), HasSubstr("labels: found 200000"));
  EXPECT_LT(testing::largest_allocation, size_t{1} << 20);
}

TEST(MaxNodes, IsALimit) {
  const std::vector<std::byte> bytes = Serialize(Chain({1, 4}, 10));
  ModelOptions options;
  options.max_nodes = 10;
  EXPECT_TRUE(LoadBytes(bytes, options).ok());
  options.max_nodes = 9;
  const auto model = LoadBytes(bytes, options);
  EXPECT_EQ(StatusCode::kUnsupported, model.status().code());
  EXPECT_THAT(model.status().message(),
              HasSubstr("number of nodes: found 10, expected at most max_nodes = 9"));
}

// Twice the file, twice the steps, counted as allocations.
TEST(Load, TakesStepsInProportionToTheFile) {
  const auto concat = [](int n) {
    Graph g = Chain({1, 4}, 1);
    const TensorId y = g.AddActivation("y", DType::kF32, {1, 4 * n});
    g.AddNode(OpType::kConcat, "concat", std::vector<TensorId>(n, g.outputs[0]), y).axis = 1;
    g.outputs = {y};
    return g;
  };
  const auto unused = [](int n) {
    Graph g = Chain({1, 4}, 1);
    const float v = 1;
    for (int i = 0; i < n; ++i) g.AddConstant("c" + std::to_string(i), DType::kF32, {1}, &v, 4);
    return g;
  };
  const auto inputs = [](int n) {
    Graph g = Chain({1, 4}, 1);
    for (int i = 0; i < n; ++i)
      g.inputs.push_back(g.AddActivation("x" + std::to_string(i), DType::kF32, {1, 4}));
    return g;
  };
  const auto labels = [](int n) {
    Graph g = Chain({1, n}, 1);
    g.metadata.labels.assign(n, "a label that is too long to be kept inside a string");
    return g;
  };
  const std::vector<std::pair<const char*, std::function<Graph(int)>>> kinds = {
      {"nodes",
       [](int n) {
         return Chain({1, 4}, n);
       }},
      {"inputs of a concat", concat},
      {"constants", unused},
      {"inputs", inputs},
      {"labels", labels}};
  for (const auto& [name, make] : kinds) {
    const auto steps = [&make = make](int n) {
      const std::vector<std::byte> bytes = Serialize(make(n));
      const int64_t before = testing::num_allocations;
      const auto model = LoadBytes(bytes);
      EXPECT_TRUE(model.ok()) << model.status().message();
      return testing::num_allocations - before;
    };
    const int64_t once = steps(2000), twice = steps(4000);
    EXPECT_LT(twice, 2 * once + 200) << name;
  }
}

// --- files that change ---

class ResidencyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    good_ = testing::FileOf(testing::SmallNetwork(Precision::kInt8));
    ASSERT_GT(good_.size(), 1000u);
    // Another one in its second half, where constants lie.
    other_ = good_;
    for (size_t i = good_.size() / 2 + 8; i < good_.size() / 2 + 200; ++i)
      other_[i] ^= std::byte{3};
    path_ = ::testing::TempDir() + "residency." + std::to_string(::getpid()) + ".octet";
    Overwrite(good_);
  }
  void TearDown() override {
    ::unlink(path_.c_str());
    mlock_errno = 0;
  }
  /// In place, as cp does.
  void Overwrite(const std::vector<std::byte>& bytes) const {
    std::ofstream file(path_, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    ASSERT_TRUE(file.flush());
  }
  Result<std::shared_ptr<const Model>> Load(Residency residency) const {
    ModelOptions options;
    options.residency = residency;
    return Model::Load(path_, options);
  }

  std::vector<std::byte> good_, other_;
  std::string path_;
};

TEST_F(ResidencyTest, ACopyOutlivesItsFile) {
  for (Residency residency : {Residency::kCopy, Residency::kCopyAndLock}) {
    Overwrite(good_);
    const auto model = Load(residency);
    ASSERT_TRUE(model.ok()) << model.status().message();
    Overwrite(other_);
    EXPECT_TRUE((*model)->Verify().ok());
    Overwrite({});  // Truncated.
    EXPECT_TRUE((*model)->Verify().ok());
    ::unlink(path_.c_str());
    EXPECT_TRUE((*model)->Verify().ok());
  }
}

TEST_F(ResidencyTest, AMappedFileMayBeReplacedByRename) {
  const auto model = Load(Residency::kMap);
  ASSERT_TRUE(model.ok()) << model.status().message();
  const std::string temporary = path_ + ".tmp";
  std::ofstream(temporary, std::ios::binary) << "another model";
  ASSERT_EQ(0, ::rename(temporary.c_str(), path_.c_str()));
  EXPECT_TRUE((*model)->Verify().ok());
  EXPECT_EQ(StatusCode::kCorrupt, Load(Residency::kMap).status().code());
}

TEST_F(ResidencyTest, ATornCopyIsRefused) {
  between_reads = [&] { Overwrite(other_); };
  const auto torn = Load(Residency::kCopy);
  EXPECT_EQ(nullptr, between_reads);
  EXPECT_EQ(StatusCode::kCorrupt, torn.status().code());
  EXPECT_THAT(torn.status().message(), HasSubstr("checksum: found"));
  Overwrite(good_);
  between_reads = [&] { ASSERT_EQ(0, ::truncate(path_.c_str(), 200)); };
  const auto cut = Load(Residency::kCopy);
  EXPECT_EQ(StatusCode::kCorrupt, cut.status().code());
  EXPECT_THAT(cut.status().message(), HasSubstr(": ends at byte "));
  Overwrite(good_);
  EXPECT_TRUE(Load(Residency::kCopy).ok());
}

TEST_F(ResidencyTest, ACopyIsCounted) {
  ModelOptions options;
  options.residency = Residency::kCopy;
  options.max_memory = static_cast<int64_t>(good_.size()) - 1;
  const auto model = Model::Load(path_, options);
  EXPECT_EQ(StatusCode::kOutOfMemory, model.status().code());
  EXPECT_THAT(
      model.status().message(),
      AllOf(HasSubstr(path_), HasSubstr("file size: found " + std::to_string(good_.size()))));
}

TEST_F(ResidencyTest, LocksTheWholeCopyOrSaysWhyNot) {
  locked_bytes = 0;
  EXPECT_TRUE(Load(Residency::kCopy).ok());
  EXPECT_EQ(0u, locked_bytes);
  EXPECT_TRUE(Load(Residency::kCopyAndLock).ok());
  EXPECT_EQ(good_.size(), locked_bytes);
  mlock_errno = ENOMEM;
  const auto model = Load(Residency::kCopyAndLock);
  EXPECT_EQ(StatusCode::kOutOfMemory, model.status().code());
  EXPECT_THAT(model.status().message(),
              AllOf(HasSubstr("RLIMIT_MEMLOCK = "), HasSubstr(std::strerror(ENOMEM)),
                    HasSubstr("expected " + std::to_string(good_.size()) + " bytes")));
}

TEST_F(ResidencyTest, MemoryIsCopiedToo) {
  std::byte* data = nullptr;
  const auto owner = MakeAlignedBuffer(good_.size(), &data);
  std::copy(good_.begin(), good_.end(), data);
  ModelOptions options;
  options.residency = Residency::kCopy;
  const auto model = Model::FromMemory(data, good_.size(), options);
  ASSERT_TRUE(model.ok()) << model.status().message();
  std::memset(data, 0, good_.size());
  EXPECT_TRUE((*model)->Verify().ok());
  EXPECT_EQ(StatusCode::kCorrupt, Model::FromMemory(data, 0, options).status().code());
}

// --- inputs ---

TEST(CheckFinite, NamesTheFirstValueThatIsNone) {
  const auto model = ModelFromGraph(testing::SmallNetwork(Precision::kFp32));
  ASSERT_TRUE(model.ok());
  SessionOptions options;
  options.check_finite = true;
  options.max_batch = 2;
  auto session = Session::Create(*model, options);
  options.check_finite = false;
  auto unchecked = Session::Create(*model, options);
  ASSERT_TRUE(session.ok() && unchecked.ok());
  // Largest and smallest numbers of all kinds are numbers.
  std::vector<float> input(2 * kPixels), output(10);
  const float numbers[] = {0.0f,
                           -0.0f,
                           1.0f,
                           std::numeric_limits<float>::max(),
                           std::numeric_limits<float>::lowest(),
                           std::numeric_limits<float>::denorm_min()};
  for (size_t i = 0; i < input.size(); ++i) input[i] = numbers[i % 6];
  const void* in = input.data();
  void* out = output.data();
  EXPECT_TRUE((*session)->Run(&in, &out, 2).ok());
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (size_t at = 0; at < input.size(); ++at) {
    const float bad = at % 3 == 0 ? nan : at % 3 == 1 ? infinity : -infinity;
    const float before = std::exchange(input[at], bad);
    const Status status = (*session)->Run(&in, &out, 2);
    ASSERT_EQ(StatusCode::kInvalidArgument, status.code()) << at;
    ASSERT_THAT(status.message(),
                HasSubstr("input 0 (image): element " + std::to_string(at % kPixels) +
                          " of image " + std::to_string(at / kPixels) + ": found " +
                          (at % 3 == 0   ? "nan"
                           : at % 3 == 1 ? "inf"
                                         : "-inf")));
    input[at] = before;
  }
  input.back() = -nan;
  EXPECT_TRUE((*session)->Run(&in, &out, 1).ok()) << "the second image was not asked for";
  EXPECT_TRUE((*unchecked)->Run(&in, &out, 2).ok());
  EXPECT_EQ(StatusCode::kInvalidArgument, (*session)->Run(&in, &out, 2).code());
}

// A NaN is quantized like minus infinity, everywhere.
TEST(CheckFinite, WithoutItNanQuantizesToTheLowestByteOnEveryInstructionSet) {
  const auto model = ModelFromGraph(testing::SmallNetwork(Precision::kInt8, true));
  ASSERT_TRUE(model.ok());
  std::vector<float> expected;
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    if (info.availability == kernels::Availability::kUnavailable) continue;
    SessionOptions options;
    options.isa = info.name;
    auto session = Session::Create(*model, options);
    ASSERT_TRUE(session.ok());
    const auto run = [&](float special) {
      std::vector<float> input(kPixels), output(5);
      for (size_t i = 0; i < kPixels; ++i)
        input[i] = i % 7 == 3 ? special : static_cast<float>(i % 50) / 25.0f - 1.0f;
      const void* in = input.data();
      void* out = output.data();
      EXPECT_TRUE((*session)->Run(&in, &out, 1).ok());
      return output;
    };
    const float nan = std::numeric_limits<float>::quiet_NaN();
    if (expected.empty()) expected = run(-std::numeric_limits<float>::infinity());
    EXPECT_NE(expected, run(0.0f));
    for (const float special : {nan, -nan, -std::numeric_limits<float>::infinity(), -1e30f}) {
      EXPECT_EQ(expected, run(special)) << info.name << ", " << special;
    }
  }
}

// --- Verify ---

TEST(Verify, HoldsIntegersToEveryBit) {
  EXPECT_TRUE(IsExact(testing::SmallNetwork(Precision::kInt8)));
  EXPECT_FALSE(IsExact(testing::SmallNetwork(Precision::kInt8, true)));
  EXPECT_FALSE(IsExact(testing::SmallNetwork(Precision::kFp32)));
  EXPECT_FALSE(IsExact(testing::SampleGraph(Precision::kInt8)));  // A softmax.
  // Floats that are quantized at once, and floats in the middle.
  Graph ends = testing::SmallNetwork(Precision::kInt8, true);
  const TensorId quantized = ends.AddActivation("quantized logits", DType::kU8, {1, 5});
  ends.tensor(quantized).quantization = {0.05f, 128};
  ends.AddNode(OpType::kQuantize, "quantize logits", {ends.outputs[0]}, quantized);
  Graph only_front = ends;
  ends.outputs = {quantized};
  EXPECT_FALSE(IsExact(ends));
  only_front.outputs = {only_front.nodes[2].output};
  EXPECT_TRUE(IsExact(only_front));

  for (const bool float_ends : {false, true}) {
    const Graph graph = testing::SmallNetwork(Precision::kInt8, float_ends);
    const std::vector<std::byte> file = testing::FileOf(graph);
    const auto good = LoadBytes(file);
    ASSERT_TRUE(good.ok());
    EXPECT_TRUE((*good)->Verify().ok()) << (*good)->Verify().message();
    for (const float step : {1.0f, -1.0f}) {
      Golden golden = Internals::Of(**good).file.golden;
      float& value = *std::find_if(golden.output.begin(), golden.output.end(),
                                   [](float v) { return v != 0.0f && v != 255.0f; });
      value += float_ends ? step * 2e-5f : step;
      const std::vector<std::byte> bytes = Serialize(graph, golden);
      const auto model = LoadBytes(bytes);
      ASSERT_TRUE(model.ok());
      EXPECT_EQ(float_ends ? StatusCode::kOk : StatusCode::kCorrupt, (*model)->Verify().code())
          << (*model)->Verify().message();
    }
  }
}

// --- null ---

TEST(Null, IsRefusedByName) {
  EXPECT_EQ("Model::FromMemory: data is null", Model::FromMemory(nullptr, 64).status().message());
  EXPECT_EQ("Session::Create: model is null", Session::Create(nullptr).status().message());
  const auto model = ModelFromGraph(testing::SmallNetwork(Precision::kFp32));
  ASSERT_TRUE(model.ok());
  auto session = Session::Create(*model);
  ASSERT_TRUE(session.ok());
  const uint8_t pixels[kPixels] = {};
  const Status preprocess = (*session)->Preprocess({pixels, 20, 20}, nullptr);
  EXPECT_EQ(StatusCode::kInvalidArgument, preprocess.code());
  EXPECT_EQ("Session::Preprocess: input is null", preprocess.message());
  const void* in = pixels;
  void* out = nullptr;
  EXPECT_EQ("Session::Run: inputs or outputs is null", (*session)->Run(nullptr, &out).message());
  EXPECT_EQ("Session::Run: inputs or outputs is null", (*session)->Run(&in, nullptr).message());
  EXPECT_THAT((*session)->Run(&in, &out).message(), HasSubstr("output 0 (logits) is null"));
  in = nullptr;
  EXPECT_THAT((*session)->Run(&in, &out).message(), HasSubstr("input 0 (image) is null"));
  EXPECT_THAT((*session)->Classify({nullptr, 2, 2}).status().message(), HasSubstr("null"));
  EXPECT_FALSE((*session)->ClassifyBatch(nullptr, 1).ok());
}

}  // namespace
}  // namespace octet
