// Deterministic mutations of .octet files: nothing that the reader is given may crash it, read
// outside the file or pass as a valid graph that is not. OCTET_FUZZ_FACTOR multiplies the number of
// random mutations.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "formats/model/octet_file.h"
#include "formats/model/panel.h"
#include "tests/sample_graphs.h"

namespace octet {
namespace {

using Bytes = std::vector<std::byte>;

constexpr size_t kHeaderSize = 128, kSectionsAt = 56, kNumSections = 5;

int Factor() {
  const char* text = std::getenv("OCTET_FUZZ_FACTOR");
  return std::max(1, text == nullptr ? 1 : std::atoi(text));
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    return state_ ^= state_ << 17;
  }
  size_t Below(size_t n) { return Next() % n; }

 private:
  uint64_t state_;
};

template <typename T>
T Load(const Bytes& bytes, size_t at) {
  T v;
  std::memcpy(&v, bytes.data() + at, sizeof(v));
  return v;
}
template <typename T>
void Store(Bytes* bytes, size_t at, T v) {
  if (at + sizeof(v) <= bytes->size()) std::memcpy(bytes->data() + at, &v, sizeof(v));
}

/// The checksum as SPEC.md says it, so that a mutation gets past it.
void FixChecksum(Bytes* bytes) {
  if (bytes->size() < kHeaderSize) return;
  Bytes covered(bytes->begin(), bytes->begin() + 32);
  covered.insert(covered.end(), bytes->begin() + 40, bytes->end());
  Store(bytes, 32, static_cast<uint64_t>(XXH3_64bits(covered.data(), covered.size())));
}

/// Makes the header agree with a changed length again.
void FixSizes(Bytes* bytes) {
  Store(bytes, 16, static_cast<uint64_t>(bytes->size()));
  if (bytes->size() < kHeaderSize) return;
  const auto constants = Load<uint64_t>(*bytes, 40);
  Store(bytes, 48,
        static_cast<uint64_t>(bytes->size() - std::min<uint64_t>(constants, bytes->size())));
}

/// Memory whose last bytes lie against a page that cannot be read. The files start at a multiple of
/// 64, so up to 63 bytes behind them stay readable; those are set to a pattern.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(size_t capacity) {
    page_ = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    size_ = (capacity + 63 + page_ - 1) / page_ * page_;
    void* map =
        ::mmap(nullptr, size_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || ::mprotect(static_cast<char*>(map) + size_, page_, PROT_NONE) != 0)
      std::abort();
    base_ = static_cast<std::byte*>(map);
  }
  ~GuardedBuffer() { ::munmap(base_, size_ + page_); }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  std::span<const std::byte> Place(const Bytes& bytes) {
    const size_t room = (bytes.size() + 63) / 64 * 64;
    std::byte* at = base_ + size_ - room;
    std::copy(bytes.begin(), bytes.end(), at);
    std::fill(at + bytes.size(), base_ + size_, std::byte{0xa5});
    return {at, bytes.size()};
  }

 private:
  size_t page_ = 0, size_ = 0;
  std::byte* base_ = nullptr;
};

/// Sample files: small, and together with every operator, data type and layout.
const std::vector<Bytes>& Samples() {
  static const std::vector<Bytes> samples = [] {
    std::vector<Bytes> all;
    for (Precision precision : testing::kAllPrecisions) {
      Result<Bytes> bytes = SerializeOctet(testing::SampleGraph(precision), {42, {1, 2, 3, 4, 5}});
      if (!bytes.ok()) std::abort();
      all.push_back(std::move(*bytes));
    }
    return all;
  }();
  return samples;
}

size_t TablesEnd(const Bytes& bytes) { return static_cast<size_t>(Load<uint64_t>(bytes, 40)); }

class OctetFileFuzzTest : public ::testing::Test {
 protected:
  /// Reads a mutant; true when it was accepted. Whatever is accepted must be wholly usable.
  bool Try(const Bytes& bytes, bool verify_checksum = true) {
    ++tried_;
    const std::span<const std::byte> placed = buffer_.Place(bytes);
    const Result<OctetFile> file = ReadOctetBytes(placed, nullptr, {verify_checksum});
    if (!file.ok()) {
      const Status& status = file.status();
      EXPECT_TRUE(status.code() == StatusCode::kCorrupt ||
                  status.code() == StatusCode::kUnsupported)
          << status.message();
      EXPECT_NE(status.message().find("found "), std::string::npos) << status.message();
      EXPECT_NE(status.message().find("expected "), std::string::npos) << status.message();
      for (char c : status.message())
        EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) << status.message();
      // The first word tells which stage refused it.
      ++stages_[status.message().substr(0, status.message().find_first_of(" :'"))];
      return false;
    }
    ++accepted_;
    Use(*file, placed);
    return true;
  }

  void Use(const OctetFile& file, std::span<const std::byte> placed) {
    const Status valid = ValidateGraph(file.graph);
    EXPECT_TRUE(valid.ok()) << valid.message();
    uint32_t sum = 0;
    for (const Tensor& t : file.graph.tensors) {
      if (!t.is_constant()) continue;
      EXPECT_TRUE(t.data.data() >= placed.data() &&
                  t.data.data() + t.data.size() <= placed.data() + placed.size());
      for (std::byte b : t.data) sum = sum * 31 + static_cast<uint32_t>(b);
    }
    // A valid file can be written again, and then says the same.
    const Result<Bytes> again = SerializeOctet(file.graph, file.golden);
    ASSERT_TRUE(again.ok()) << again.status().message();
    GuardedBuffer other(again->size());
    const Result<OctetFile> reread = ReadOctetBytes(other.Place(*again), nullptr);
    ASSERT_TRUE(reread.ok()) << reread.status().message();
    uint32_t sum_again = 0;
    for (const Tensor& t : reread->graph.tensors) {
      for (std::byte b : t.data) sum_again = sum_again * 31 + static_cast<uint32_t>(b);
    }
    EXPECT_EQ(sum, sum_again);
  }

  void TearDown() override {
    std::string stages;
    for (const auto& [stage, count] : stages_) stages += " " + stage + "=" + std::to_string(count);
    std::printf("%d files, %d accepted, refused by:%s\n", tried_, accepted_, stages.c_str());
  }

  int tried_ = 0, accepted_ = 0;
  std::map<std::string, int> stages_;
  GuardedBuffer buffer_{1 << 16};
};

TEST_F(OctetFileFuzzTest, SamplesAreAccepted) {
  for (const Bytes& sample : Samples()) {
    ASSERT_LT(sample.size() + 4096, size_t{1} << 16);
    EXPECT_TRUE(Try(sample));
    Bytes fixed = sample;
    FixChecksum(&fixed);
    EXPECT_EQ(fixed, sample);  // The mutations below depend on this being the checksum.
  }
}

TEST_F(OctetFileFuzzTest, Truncations) {
  for (const Bytes& sample : Samples()) {
    // Every length through the tables and at the end; in between, around every 64th byte, where
    // constants start.
    const size_t tables = TablesEnd(sample);
    for (size_t length = 0; length < sample.size(); ++length) {
      if (length > tables + 64 && length + 64 < sample.size() && (length + 1) % 64 > 2) continue;
      Bytes cut(sample.begin(), sample.begin() + length);
      EXPECT_FALSE(Try(cut)) << length;
      FixSizes(&cut);
      EXPECT_FALSE(Try(cut, false)) << length;
      FixChecksum(&cut);
      EXPECT_FALSE(Try(cut)) << length;
    }
  }
}

TEST_F(OctetFileFuzzTest, EveryBitFlipIsFoundByTheChecksumAndSurvivedWithoutIt) {
  for (const Bytes& sample : Samples()) {
    const size_t tables = TablesEnd(sample);
    for (size_t at = 0; at < tables; ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        Bytes flipped = sample;
        flipped[at] ^= static_cast<std::byte>(1 << bit);
        ASSERT_FALSE(Try(flipped)) << at << " bit " << bit;
        FixChecksum(&flipped);
        Try(flipped);
      }
    }
    for (size_t at = tables; at < sample.size(); at += 7) {
      Bytes flipped = sample;
      flipped[at] ^= std::byte{0x20};
      ASSERT_FALSE(Try(flipped)) << at;
    }
  }
  // The validator itself was reached, and what only concerns names or numbers is still a valid
  // file.
  EXPECT_GT(stages_["checksum"], 1000);
  EXPECT_GT(stages_["tensor"], 1000);
  EXPECT_GT(stages_["node"], 1000);
  EXPECT_GT(stages_["graph"], 10);
  EXPECT_GT(stages_["metadata"], 100);
  EXPECT_GT(stages_["section"], 100);
  EXPECT_GT(accepted_, 1000);
}

/// Bytes and words that are special to some field.
void Poke(Random* random, Bytes* bytes, size_t at) {
  static constexpr std::array<uint64_t, 20> kInteresting = {0,
                                                            1,
                                                            2,
                                                            3,
                                                            0x7f,
                                                            0x80,
                                                            0xff,
                                                            0x100,
                                                            0x7fff,
                                                            0xffff,
                                                            0x7fffffff,
                                                            0x80000000,
                                                            0xffffffff,
                                                            0x7f800000,
                                                            0x7fc00000,
                                                            0x00000001,
                                                            0x7fffffffffffffff,
                                                            0x8000000000000000,
                                                            0xffffffffffffffff,
                                                            0xff80ff80ff80ff80};
  const uint64_t value =
      random->Below(3) == 0 ? random->Next() : kInteresting[random->Below(kInteresting.size())];
  switch (random->Below(4)) {
    case 0:
      Store(bytes, at, static_cast<uint8_t>(value));
      break;
    case 1:
      Store(bytes, at, static_cast<uint16_t>(value));
      break;
    case 2:
      Store(bytes, at, static_cast<uint32_t>(value));
      break;
    default:
      Store(bytes, at, value);
      break;
  }
}

/// Inserts or removes bytes inside one section and moves everything behind it, with the header made
/// to agree, so that the tables are read with one record out of step.
void Shift(Random* random, Bytes* bytes) {
  const size_t section = random->Below(kNumSections);
  const size_t entry = kSectionsAt + 12 * section;
  const auto offset = Load<uint32_t>(*bytes, entry);
  auto size = Load<uint32_t>(*bytes, entry + 4);
  if (offset > bytes->size() || size == 0 || size > bytes->size() - offset) return;
  const size_t at = offset + random->Below(size);
  const size_t count = 1 + random->Below(4);
  const bool insert = random->Below(2) == 0;
  // The constants stay where they are: the padding in front of them gives or takes.
  const size_t constants = TablesEnd(*bytes);
  if (constants > bytes->size() || at + count > constants) return;
  const auto begin = bytes->begin() + static_cast<std::ptrdiff_t>(at);
  const auto end = bytes->begin() + static_cast<std::ptrdiff_t>(constants);
  if (insert) {
    std::copy_backward(begin, end - static_cast<std::ptrdiff_t>(count), end);
    for (size_t i = 0; i < count; ++i) (*bytes)[at + i] = static_cast<std::byte>(random->Next());
    size += static_cast<uint32_t>(count);
  } else {
    if (count > size - (at - offset)) return;
    std::copy(begin + static_cast<std::ptrdiff_t>(count), end, begin);
    std::fill(end - static_cast<std::ptrdiff_t>(count), end, std::byte{0});
    size -= static_cast<uint32_t>(count);
  }
  Store(bytes, entry + 4, size);
  for (size_t i = section + 1; i < kNumSections; ++i) {
    const size_t e = kSectionsAt + 12 * i;
    const auto old = Load<uint32_t>(*bytes, e);
    Store(bytes, e, static_cast<uint32_t>(insert ? old + count : old - count));
  }
  if (random->Below(3) == 0)
    Store(bytes, entry + 8,
          static_cast<uint32_t>(Load<uint32_t>(*bytes, entry + 8) + random->Below(3) - 1));
}

TEST_F(OctetFileFuzzTest, RandomMutations) {
  Random random(20240607);
  const int iterations = 20000 * Factor();
  for (int i = 0; i < iterations; ++i) {
    const Bytes& sample = Samples()[random.Below(Samples().size())];
    Bytes mutant = sample;
    const size_t tables = TablesEnd(sample);
    const size_t edits = 1 + random.Below(3);
    for (size_t e = 0; e < edits; ++e) {
      switch (random.Below(8)) {
        case 0:
          Poke(&random, &mutant, random.Below(kHeaderSize));
          break;
        case 1:
          Shift(&random, &mutant);
          break;
        case 2: {  // One piece of the tables over another.
          const size_t count = 1 + random.Below(24);
          const size_t from = kHeaderSize + random.Below(tables - kHeaderSize - count);
          const size_t to = kHeaderSize + random.Below(tables - kHeaderSize - count);
          std::memmove(mutant.data() + to, mutant.data() + from, count);
          break;
        }
        case 3:  // Biases and scales lie first among the constants.
          Poke(&random, &mutant,
               tables + random.Below(std::min<size_t>(mutant.size() - tables, 2048) + 1) / 4 * 4);
          break;
        case 4:
          mutant[kHeaderSize + random.Below(tables - kHeaderSize)] ^=
              static_cast<std::byte>(1 << random.Below(8));
          break;
        case 5:
          mutant.resize(std::min<size_t>(random.Below(mutant.size() + 200), 60000));
          break;
        default:
          Poke(&random, &mutant, kHeaderSize + random.Below(tables - kHeaderSize));
          break;
      }
      if (mutant.size() < tables) mutant.resize(tables);
    }
    if (random.Below(8) != 0) FixSizes(&mutant);
    if (random.Below(2) == 0) {
      Try(mutant, false);
    } else {
      FixChecksum(&mutant);
      Try(mutant);
    }
    if (HasFailure()) FAIL() << "mutation " << i;
  }
  EXPECT_GT(stages_["node"], iterations / 20);
  EXPECT_GT(stages_["tensor"], iterations / 20);
  EXPECT_GT(accepted_, iterations / 50);
}

TEST_F(OctetFileFuzzTest, RandomBytesForASectionOrAFile) {
  Random random(7);
  for (int i = 0; i < 2000 * Factor(); ++i) {
    Bytes bytes = Samples()[random.Below(Samples().size())];
    const size_t entry = kSectionsAt + 12 * random.Below(kNumSections);
    const auto begin = Load<uint32_t>(bytes, entry), size = Load<uint32_t>(bytes, entry + 4);
    for (size_t at = begin; at < begin + size; ++at)
      bytes[at] = static_cast<std::byte>(random.Next());
    Try(bytes, false);
    Bytes noise(random.Below(300));
    for (std::byte& b : noise) b = static_cast<std::byte>(random.Next());
    Try(noise);
  }
}

}  // namespace
}  // namespace octet
