// Models from memory at any address, from a descriptor and from a function that reads: each must
// answer as the aligned file does, and copy what it says it copies.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/model_impl.h"
#include "tests/kernels/tested_tables.h"
#include "tests/small_network.h"

namespace {
size_t locked_bytes = 0;
}  // namespace

// The linker passes the library's calls through here (--wrap).
extern "C" int __wrap_mlock(const void*, size_t size) {
  locked_bytes += size;
  return 0;
}

namespace octet {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using LoadedModel = Result<std::shared_ptr<const Model>>;

/// `bytes` at an address of a given remainder by 64. What is around them is not theirs.
class PlacedBytes {
 public:
  PlacedBytes(const std::vector<std::byte>& bytes, size_t remainder) : size_(bytes.size()) {
    owner_ = MakeAlignedBuffer(size_ + 128, &data_);
    std::memset(data_, 0xa5, size_ + 128);
    data_ += remainder;
    std::copy(bytes.begin(), bytes.end(), data_);
  }
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  bool Holds(const void* p) const { return p >= data_ && p < data_ + size_; }

 private:
  std::shared_ptr<void> owner_;
  std::byte* data_ = nullptr;
  size_t size_;
};

/// Answers to a few inputs, all outputs one after the other.
std::vector<uint8_t> Answers(const std::shared_ptr<const Model>& model,
                             const SessionOptions& options = {}) {
  const auto session = Session::Create(model, options);
  EXPECT_TRUE(session.ok()) << session.status().message();
  if (!session.ok()) return {};
  const ModelDescription& d = model->Describe();
  std::vector<uint8_t> answers;
  for (int image = 0; image < 3; ++image) {
    std::vector<std::vector<uint8_t>> inputs, outputs;
    std::vector<const void*> in;
    std::vector<void*> out;
    for (const TensorDescription& t : d.inputs) {
      std::vector<float> numbers(t.num_elements());
      for (size_t i = 0; i < numbers.size(); ++i)
        numbers[i] = static_cast<float>((i * 2654435761u + image * 977u) % 509) / 127.0f - 2.0f;
      inputs.emplace_back(t.num_bytes());
      t.FromFloats(numbers.data(), inputs.back().data());
    }
    for (const TensorDescription& t : d.outputs) outputs.emplace_back(t.num_bytes());
    for (auto& b : inputs) in.push_back(b.data());
    for (auto& b : outputs) out.push_back(b.data());
    const Status status = (*session)->Run(in.data(), out.data(), 1);
    EXPECT_TRUE(status.ok()) << status.message();
    for (const auto& b : outputs) answers.insert(answers.end(), b.begin(), b.end());
  }
  return answers;
}

/// Bytes of constants that must be at multiples of 8.
int64_t WideBytes(const Model& model) {
  int64_t bytes = 0;
  for (const Tensor& t : GraphOf(model).tensors) {
    if (t.is_constant() && DTypeSize(t.dtype) == 8) bytes += static_cast<int64_t>(t.data.size());
  }
  return bytes;
}

std::vector<std::byte> SmallFile(Precision precision = Precision::kInt8) {
  std::vector<std::byte> bytes = testing::FileOf(testing::SmallNetwork(precision));
  EXPECT_GT(bytes.size(), 1000u);
  return bytes;
}

// --- memory ---

class MemoryTest : public ::testing::TestWithParam<Precision> {};

TEST_P(MemoryTest, AnyMultipleOfFourIsUsedInPlace) {
  for (const Graph& graph :
       {testing::SmallNetwork(GetParam()), testing::RunnableGraph(GetParam())}) {
    const std::vector<std::byte> bytes = testing::FileOf(graph);
    ASSERT_FALSE(bytes.empty());
    const PlacedBytes aligned(bytes, 0);
    const LoadedModel whole = Model::FromMemory(aligned.data(), aligned.size());
    ASSERT_TRUE(whole.ok()) << whole.status().message();
    EXPECT_EQ(0, (*whole)->Describe().copied_bytes);
    EXPECT_EQ(GetParam() == Precision::kInt16x8, WideBytes(**whole) > 0);
    for (size_t remainder = 4; remainder < 64; remainder += 4) {
      SCOPED_TRACE(remainder);
      const PlacedBytes placed(bytes, remainder);
      const LoadedModel model = Model::FromMemory(placed.data(), placed.size());
      ASSERT_TRUE(model.ok()) << model.status().message();
      EXPECT_EQ(remainder % 8 == 0 ? 0 : WideBytes(**whole), (*model)->Describe().copied_bytes);
      for (const Tensor& t : GraphOf(**model).tensors) {
        if (!t.is_constant()) continue;
        EXPECT_EQ(remainder % DTypeSize(t.dtype) == 0, placed.Holds(t.data.data())) << t.name;
      }
      EXPECT_TRUE((*model)->Verify().ok()) << (*model)->Verify().message();
      for (const kernels::TableInfo& info : kernels::AllTables()) {
        if (!testing::IsTested(info)) continue;
        // Plain loops, which take their time.
        const bool native = info.availability == kernels::Availability::kNative &&
                            std::string(info.name) != "reference";
        if (!native && remainder % 28 != 4) continue;
        SessionOptions options;
        options.isa = info.name;
        options.num_threads = 1 + static_cast<int>(remainder / 4 % 2);
        EXPECT_EQ(Answers(*whole, options), Answers(*model, options)) << info.name;
      }
    }
  }
}

TEST_P(MemoryTest, AnyOtherAddressIsCopied) {
  const std::vector<std::byte> bytes = SmallFile(GetParam());
  for (const size_t remainder : {1, 2, 3, 62, 63}) {
    SCOPED_TRACE(remainder);
    const PlacedBytes placed(bytes, remainder);
    const LoadedModel model = Model::FromMemory(placed.data(), placed.size());
    ASSERT_TRUE(model.ok()) << model.status().message();
    EXPECT_EQ(static_cast<int64_t>(bytes.size()), (*model)->Describe().copied_bytes);
    std::memset(placed.data(), 0, placed.size());
    EXPECT_TRUE((*model)->Verify().ok()) << (*model)->Verify().message();
  }
}

INSTANTIATE_TEST_SUITE_P(All, MemoryTest, ::testing::ValuesIn(testing::kPrecisionsOfFiles),
                         [](const auto& p) { return std::string(PrecisionName(p.param)); });

TEST(Memory, CopiedConstantsAreCounted) {
  const PlacedBytes placed(SmallFile(Precision::kInt16x8), 4);
  const LoadedModel model = Model::FromMemory(placed.data(), placed.size());
  ASSERT_TRUE(model.ok());
  // The least that does, found by halves.
  const auto fits = [](const PlacedBytes& bytes, int64_t max_memory) {
    ModelOptions options;
    options.max_memory = max_memory;
    return Model::FromMemory(bytes.data(), bytes.size(), options).ok();
  };
  const auto least = [&](const PlacedBytes& bytes) {
    int64_t low = 0, high = 1 << 20;
    EXPECT_TRUE(fits(bytes, high));
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (fits(bytes, middle) ? high : low) = middle;
    }
    return high;
  };
  const PlacedBytes aligned(SmallFile(Precision::kInt16x8), 8);
  EXPECT_GE(least(placed), least(aligned));
  ModelOptions options;
  options.max_memory = least(placed) - 1;
  EXPECT_EQ(StatusCode::kOutOfMemory,
            Model::FromMemory(placed.data(), placed.size(), options).status().code());
}

TEST(Memory, DamageIsNoticedAtAnyAddress) {
  std::vector<std::byte> bytes = SmallFile();
  bytes[bytes.size() - 5] ^= std::byte{1};
  for (const size_t remainder : {0, 4, 12, 7}) {
    const PlacedBytes placed(bytes, remainder);
    const LoadedModel model = Model::FromMemory(placed.data(), placed.size());
    EXPECT_EQ(StatusCode::kCorrupt, model.status().code());
    EXPECT_THAT(model.status().message(), HasSubstr("checksum: found"));
  }
}

// --- descriptors ---

class DescriptorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    good_ = SmallFile(Precision::kInt16x8);
    path_ = ::testing::TempDir() + "descriptor." + std::to_string(::getpid());
  }
  void TearDown() override {
    if (fd_ >= 0) ::close(fd_);
    ::unlink(path_.c_str());
  }
  /// A file with the model behind `offset` bytes and in front of `behind`.
  int Open(int64_t offset, int64_t behind, const std::vector<std::byte>& bytes,
           int flags = O_RDONLY) {
    if (fd_ >= 0) ::close(fd_);
    ::unlink(path_.c_str());
    std::ofstream file(path_, std::ios::binary);
    file << std::string(static_cast<size_t>(offset), 'x');
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    file << std::string(static_cast<size_t>(behind), 'y');
    file.close();
    EXPECT_TRUE(file.good());
    return fd_ = ::open(path_.c_str(), flags);
  }
  int64_t size() const { return static_cast<int64_t>(good_.size()); }
  static int OpenFiles() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<int>(std::distance(begin(all), end(all)));
  }
  void ExpectRefused(const LoadedModel& model, StatusCode code, const std::string& text) const {
    EXPECT_EQ(code, model.status().code()) << model.status().message();
    EXPECT_THAT(model.status().message(),
                AllOf(HasSubstr("descriptor " + std::to_string(fd_) + ": "), HasSubstr(text)));
  }

  std::vector<std::byte> good_;
  std::string path_;
  int fd_ = -1;
};

TEST_F(DescriptorTest, ReadsAModelInsideAFile) {
  const PlacedBytes aligned(good_, 0);
  const LoadedModel whole = Model::FromMemory(aligned.data(), aligned.size());
  ASSERT_TRUE(whole.ok()) << whole.status().message();
  const std::vector<uint8_t> expected = Answers(*whole);
  const int64_t wide = WideBytes(**whole);
  ASSERT_GT(wide, 0);
  for (const int64_t offset :
       {0, 64, 4096, 4096 + 128, 65536, 70000, 4, 12, 100, 4092, 1, 63, 4095}) {
    for (const int64_t behind : {0, 1, 5000}) {
      for (const Residency residency :
           {Residency::kMap, Residency::kCopy, Residency::kCopyAndLock}) {
        SCOPED_TRACE(std::to_string(offset) + " bytes before, " + std::to_string(behind) +
                     " behind, residency " + std::to_string(static_cast<int>(residency)));
        ASSERT_GE(Open(offset, behind, good_), 0);
        ASSERT_EQ(17, ::lseek(fd_, 17, SEEK_SET));
        ModelOptions options;
        options.residency = residency;
        locked_bytes = 0;
        const int open_before = OpenFiles();
        const LoadedModel model =
            Model::FromDescriptor(fd_, offset, behind == 0 ? -1 : size(), options);
        ASSERT_TRUE(model.ok()) << model.status().message();
        EXPECT_EQ(open_before, OpenFiles());
        EXPECT_EQ(17, ::lseek(fd_, 0, SEEK_CUR));
        EXPECT_EQ(residency == Residency::kCopyAndLock ? good_.size() : 0u, locked_bytes);
        EXPECT_EQ(residency != Residency::kMap || offset % 4 != 0 ? size()
                  : offset % 8 != 0                               ? wide
                                                                  : 0,
                  (*model)->Describe().copied_bytes);
        EXPECT_EQ(size(), (*model)->Describe().file_size);
        ::close(std::exchange(fd_, -1));
        ::unlink(path_.c_str());
        EXPECT_EQ(expected, Answers(*model));
        EXPECT_TRUE((*model)->Verify().ok());
      }
    }
  }
}

TEST_F(DescriptorTest, RefusesWhatIsNotInTheFile) {
  ASSERT_GE(Open(100, 20, good_), 0);
  const int64_t end = 100 + size() + 20;
  constexpr auto kInvalid = StatusCode::kInvalidArgument;
  const auto load = [&](int64_t offset, int64_t length) {
    return Model::FromDescriptor(fd_, offset, length);
  };
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const int64_t offset : {int64_t{-1}, -kMost - 1, end + 1, kMost})
    ExpectRefused(load(offset, 1), kInvalid, "offset: found " + std::to_string(offset));
  for (const int64_t length : {int64_t{-2}, -kMost - 1, size() + 21, kMost, kMost - 99})
    ExpectRefused(load(100, length), kInvalid, "length: found " + std::to_string(length));
  // In the file, but no model.
  ExpectRefused(load(end, -1), StatusCode::kCorrupt, "file size: found 0");
  ExpectRefused(load(100, 0), StatusCode::kCorrupt, "file size: found 0");
  ExpectRefused(load(100, -1), StatusCode::kCorrupt,
                "file size: found " + std::to_string(end - 100));
  ExpectRefused(load(100, size() - 1), StatusCode::kCorrupt, "file size: found ");
  ExpectRefused(load(0, -1), StatusCode::kCorrupt, "magic: found 78 78");
  EXPECT_TRUE(load(100, size()).ok());
}

TEST_F(DescriptorTest, RefusesWhatIsNoFile) {
  for (const int descriptor : {-1, 1 << 20}) {
    const LoadedModel model = Model::FromDescriptor(descriptor, 0, -1);
    EXPECT_EQ(StatusCode::kInvalidArgument, model.status().code());
    EXPECT_EQ("descriptor " + std::to_string(descriptor) + ": not an open file",
              model.status().message());
  }
  int ends[2];
  ASSERT_EQ(0, ::pipe(ends));
  ASSERT_EQ(4, ::write(ends[1], "OCTE", 4));
  fd_ = ends[0];
  ExpectRefused(Model::FromDescriptor(fd_, 0, -1), StatusCode::kIo, "not a regular file");
  char rest[8];
  EXPECT_EQ(4, ::read(fd_, rest, sizeof(rest)));  // Nothing was taken out of it.
  ::close(ends[0]);
  ::close(ends[1]);
  for (const char* path : {"/", "/dev/null"}) {
    fd_ = ::open(path, O_RDONLY);
    ASSERT_GE(fd_, 0);
    ExpectRefused(Model::FromDescriptor(fd_, 0, -1), StatusCode::kIo, "not a regular file");
    ::close(fd_);
  }
  fd_ = -1;
  ASSERT_GE(Open(0, 0, good_, O_WRONLY), 0);
  ExpectRefused(Model::FromDescriptor(fd_, 0, -1), StatusCode::kIo, "cannot map");
  ModelOptions options;
  options.residency = Residency::kCopy;
  ExpectRefused(Model::FromDescriptor(fd_, 0, -1, options), StatusCode::kIo, "cannot read");
}

TEST_F(DescriptorTest, NoticesDamageAndCountsCopies) {
  std::vector<std::byte> bad = good_;
  bad[bad.size() / 2] ^= std::byte{4};
  for (const int64_t offset : {64, 4, 1}) {
    ASSERT_GE(Open(offset, 8, bad), 0);
    ExpectRefused(Model::FromDescriptor(fd_, offset, size()), StatusCode::kCorrupt,
                  "checksum: found");
  }
  // Copied, so that it counts.
  ASSERT_GE(Open(1, 0, good_), 0);
  ModelOptions options;
  options.max_memory = size() - 1;
  ExpectRefused(Model::FromDescriptor(fd_, 1, -1, options), StatusCode::kOutOfMemory,
                "file size: found " + std::to_string(size()));
}

// --- functions that read ---

constexpr int64_t kMebibyte = int64_t{1} << 20;

/// Gives `bytes`, which may be fewer than it says, and notes how it is asked.
struct Source {
  explicit Source(std::vector<std::byte> all)
      : bytes(std::move(all)), size(static_cast<int64_t>(bytes.size())) {}

  static bool Read(void* context, int64_t offset, void* buffer, size_t count) {
    Source& s = *static_cast<Source*>(context);
    EXPECT_EQ(s.next, offset);
    EXPECT_GE(count, 1u);
    EXPECT_LE(count, static_cast<size_t>(kMebibyte));
    s.next += static_cast<int64_t>(count);
    EXPECT_LE(s.next, s.size);
    if (s.calls++ == s.failing_call) return false;
    if (static_cast<size_t>(s.next) > s.bytes.size()) {
      if (!s.fills_up) return false;
      s.bytes.resize(static_cast<size_t>(s.next));
    }
    std::memcpy(buffer, s.bytes.data() + offset, count);
    return true;
  }
  LoadedModel Load(const ModelOptions& options = {}) {
    calls = 0;
    next = 0;
    return Model::FromReader({size, &Read, this}, options);
  }

  std::vector<std::byte> bytes;
  int64_t size;
  int64_t next = 0;
  int calls = 0, failing_call = -1;
  bool fills_up = false;
};

/// A file of 2.4 MB.
std::vector<std::byte> LargeFile() {
  Graph g;
  const TensorId x = g.AddActivation("x", DType::kF32, {1, 1024});
  g.inputs = {x};
  std::vector<float> weights(600 * 1024);
  for (size_t i = 0; i < weights.size(); ++i)
    weights[i] = static_cast<float>(i * 2654435761u % 1021) / 1021.0f - 0.5f;
  const TensorId w =
      g.AddConstant("w", DType::kF32, {600, 1024}, weights.data(), weights.size() * 4);
  const TensorId y = g.AddActivation("y", DType::kF32, {1, 600});
  g.AddNode(OpType::kDense, "fc", {x, w}, y);
  g.outputs = {y};
  return testing::FileOf(g);
}

TEST(Reader, GivesTheSameModel) {
  for (const std::vector<std::byte>& bytes : {LargeFile(), SmallFile()}) {
    ASSERT_FALSE(bytes.empty());
    const PlacedBytes aligned(bytes, 0);
    const LoadedModel whole = Model::FromMemory(aligned.data(), aligned.size());
    ASSERT_TRUE(whole.ok()) << whole.status().message();
    for (const Residency residency : {Residency::kMap, Residency::kCopy, Residency::kCopyAndLock}) {
      ModelOptions options;
      options.residency = residency;
      Source source(bytes);
      locked_bytes = 0;
      const LoadedModel model = source.Load(options);
      ASSERT_TRUE(model.ok()) << model.status().message();
      EXPECT_EQ(CeilDiv(source.size, kMebibyte), source.calls);
      EXPECT_EQ(source.size, source.next);
      EXPECT_EQ(residency == Residency::kCopyAndLock ? bytes.size() : 0u, locked_bytes);
      EXPECT_EQ(source.size, (*model)->Describe().copied_bytes);
      std::fill(source.bytes.begin(), source.bytes.end(), std::byte{0});
      EXPECT_EQ(Answers(*whole), Answers(*model));
      EXPECT_TRUE((*model)->Verify().ok());
    }
  }
}

TEST(Reader, SaysWhereItFailed) {
  Source source(LargeFile());
  ASSERT_EQ(3, CeilDiv(source.size, kMebibyte));
  for (int call = 0; call < 3; ++call) {
    source.failing_call = call;
    const LoadedModel model = source.Load();
    EXPECT_EQ(call + 1, source.calls);
    EXPECT_EQ(StatusCode::kIo, model.status().code());
    const int64_t at = call * kMebibyte;
    EXPECT_EQ("the model's reader failed: found no " +
                  std::to_string(std::min(kMebibyte, source.size - at)) + " bytes at offset " +
                  std::to_string(at) + ", expected " + std::to_string(source.size) +
                  " bytes in all",
              model.status().message());
  }
  source.failing_call = 3;
  EXPECT_TRUE(source.Load().ok());
}

TEST(Reader, ASizeThatIsWrongIsRefused) {
  const std::vector<std::byte> bytes = SmallFile();
  const auto size = static_cast<int64_t>(bytes.size());
  const auto load = [&](int64_t said, bool fills_up) {
    Source source(bytes);
    source.size = said;
    source.fills_up = fills_up;
    return source.Load().status();
  };
  for (const int64_t shorter :
       {size - 1, size - 64, int64_t{128}, int64_t{127}, int64_t{1}, int64_t{0}})
    EXPECT_EQ(StatusCode::kCorrupt, load(shorter, false).code()) << shorter;
  EXPECT_EQ(StatusCode::kIo, load(size + 1, false).code());
  for (const int64_t longer : {size + 1, size + 64, 2 * size}) {
    const Status status = load(longer, true);
    EXPECT_EQ(StatusCode::kCorrupt, status.code());
    EXPECT_THAT(status.message(), HasSubstr("file size: found " + std::to_string(longer)));
  }
  EXPECT_EQ("size of the model: found -1, expected 0 or more", load(-1, false).message());
  EXPECT_EQ(StatusCode::kInvalidArgument, load(-1, false).code());
  EXPECT_EQ(StatusCode::kInvalidArgument, load(std::numeric_limits<int64_t>::min(), false).code());
  EXPECT_TRUE(load(size, false).ok());
}

TEST(Reader, SizesAreCheckedBeforeMemoryIsTaken) {
  Source source(SmallFile());
  ModelOptions options;
  options.max_memory = source.size - 1;
  EXPECT_EQ(StatusCode::kOutOfMemory, source.Load(options).status().code());
  EXPECT_EQ(0, source.calls);
  source.size = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(StatusCode::kOutOfMemory, source.Load().status().code());
  // More than the system can give.
  options.max_memory = source.size;
  EXPECT_EQ(StatusCode::kOutOfMemory, source.Load(options).status().code());
  EXPECT_EQ(0, source.calls);
}

TEST(Reader, NoticesDamage) {
  Source source(SmallFile());
  source.bytes[source.bytes.size() / 2] ^= std::byte{16};
  const LoadedModel model = source.Load();
  EXPECT_EQ(StatusCode::kCorrupt, model.status().code());
  EXPECT_THAT(model.status().message(), HasSubstr("checksum: found"));
}

TEST(Reader, NullIsRefusedByName) {
  const LoadedModel model = Model::FromReader({128, nullptr, nullptr});
  EXPECT_EQ(StatusCode::kInvalidArgument, model.status().code());
  EXPECT_EQ("Model::FromReader: read is null", model.status().message());
}

}  // namespace
}  // namespace octet
