// Damaged images, records and arrays give an error or a well-formed result, never a crash: run it
// under AddressSanitizer. OCTET_FUZZ_FACTOR multiplies the number of mutations.
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "formats/data/dataset.h"
#include "formats/data/image.h"
#include "formats/data/labels.h"
#include "formats/data/npy.h"
#include "formats/data/tfrecord.h"
#include "tests/fuzz/data_seeds.h"
#include "tests/fuzz/mutation.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

using namespace octet::testing;  // NOLINT: builders of small files.

struct Counts {
  int64_t good = 0, bad = 0;
};

/// Decodes and checks what every answer must fulfil.
void Decode(const Bytes& bytes, Counts* counts) {
  const Result<DecodedImage> image = DecodeImage(bytes, "fuzz");
  if (!image.ok()) {
    ++counts->bad;
    ASSERT_FALSE(image.status().message().empty());
    ASSERT_EQ(image.status().message().find('\n'), std::string::npos);
    return;
  }
  ++counts->good;
  ASSERT_GE(image->width, 1);
  ASSERT_GE(image->height, 1);
  ASSERT_LE(int64_t{image->width} * image->height, kMaxImagePixels);
  ASSERT_EQ(image->rgb.size(),
            size_t{3} * static_cast<size_t>(image->width) * static_cast<size_t>(image->height));
  if (counts->good % 8 == 0) {
    // Pixels must not depend on what was in memory before.
    const Result<DecodedImage> again = DecodeImage(bytes, "fuzz");
    ASSERT_TRUE(again.ok());
    ASSERT_TRUE(again->rgb == image->rgb);
  }
}

void FuzzImages(const std::vector<Bytes>& originals, uint64_t seed, void (*fix)(Bytes*)) {
  Mutator mutator(seed);
  Counts counts;
  const int64_t iterations = FuzzIterations(12000);
  for (int64_t i = 0; i < iterations; ++i) {
    Bytes bytes = mutator.Mutate(originals[static_cast<size_t>(i) % originals.size()]);
    if (fix != nullptr && i % 8 != 0) fix(&bytes);
    ASSERT_NO_FATAL_FAILURE(Decode(bytes, &counts)) << "mutation " << i;
  }
  // Both kinds of answers must occur, else the mutations test nothing.
  EXPECT_GT(counts.good, iterations / 100);
  EXPECT_GT(counts.bad, iterations / 100);
}

TEST(ImageFuzzTest, Jpeg) { FuzzImages(JpegSeeds(), 1, nullptr); }
TEST(ImageFuzzTest, Png) { FuzzImages(PngSeeds(), 2, FixPng); }
TEST(ImageFuzzTest, Bmp) { FuzzImages(BmpSeeds(), 3, nullptr); }
TEST(ImageFuzzTest, Pnm) { FuzzImages(PnmSeeds(), 4, nullptr); }

TEST(DataFuzzTest, TfRecord) {
  const TempDir dir;
  const Bytes original = TfRecordSeed();
  Mutator mutator(5);
  Counts counts;
  const int64_t iterations = FuzzIterations(12000);
  for (int64_t i = 0; i < iterations; ++i) {
    Bytes bytes = mutator.Mutate(original);
    if (i % 4 != 0) FixTfRecord(&bytes);
    WriteFile(dir / "f.tfrecord", bytes);
    const auto dataset =
        OpenDataset(dir / "f.tfrecord", {.labels = {"roses", "tulips"}, .need_labels = true});
    if (!dataset.ok()) {
      ++counts.bad;
      continue;
    }
    // At most one record per 16 bytes; then the end, or an error.
    for (size_t n = 0;; ++n) {
      ASSERT_LE(n, bytes.size() / 16) << "mutation " << i;
      Sample sample;
      const Result<bool> more = (*dataset)->Next(&sample);
      if (!more.ok()) {
        ++counts.bad;
        break;
      }
      if (!*more) break;
      ++counts.good;
      ASSERT_GE(sample.label, -1);
      ASSERT_LE(sample.label, 1);
    }
  }
  EXPECT_GT(counts.good, iterations / 100);
  EXPECT_GT(counts.bad, iterations / 100);
}

/// Repairs the checksum of the header at `at`, if there is one.
void FixTarHeader(Bytes* tar, size_t at) {
  if (at + 512 > tar->size()) return;
  unsigned sum = 8 * ' ';
  for (size_t i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? 0 : (*tar)[at + i];
  char digits[16];
  std::snprintf(digits, sizeof(digits), "%06o", sum);
  std::copy_n(digits, 7, tar->begin() + static_cast<int64_t>(at + 148));
  (*tar)[at + 155] = ' ';
}

TEST(DataFuzzTest, Tar) {
  const TempDir dir;
  const Bytes original =
      Concat({TarMemberBytes("p", ToBytes("14 path=a.png\n"), 'x'),
              TarMemberBytes("x", MakeColorPng(2, 2, 1, 2, 3)),
              TarMemberBytes("a.cls", ToBytes("1")), TarMemberBytes("l", ToBytes("b.png"), 'L'),
              TarMemberBytes("y", Bytes(100, 1)), Bytes(1024)});
  Mutator mutator(7);
  Counts counts;
  const int64_t iterations = FuzzIterations(12000);
  for (int64_t i = 0; i < iterations; ++i) {
    Bytes bytes = mutator.Mutate(original);
    for (size_t at = 0; i % 4 != 0 && at < 9 * 512; at += 512)
      if (at % 1024 == 0 || i % 4 == 1) FixTarHeader(&bytes, at);
    WriteFile(dir / "f.tar", bytes);
    const auto dataset = OpenDataset(dir / "f.tar", {.need_labels = true});
    if (!dataset.ok()) {
      ++counts.bad;
      continue;
    }
    // At most one sample a block.
    for (size_t n = 0;; ++n) {
      ASSERT_LE(n, bytes.size() / 512 + 1) << "mutation " << i;
      Sample sample;
      const Result<bool> more = (*dataset)->Next(&sample);
      counts.bad += !more.ok();
      if (more.ok() && !*more) break;
      counts.good += more.ok();
    }
  }
  EXPECT_GT(counts.good, iterations / 100);
  EXPECT_GT(counts.bad, iterations / 100);
}

TEST(DataFuzzTest, Example) {
  const Bytes original = ExampleSeed();
  Mutator mutator(6);
  Counts counts;
  const int64_t iterations = FuzzIterations(50000);
  for (int64_t i = 0; i < iterations; ++i) {
    const Bytes bytes = mutator.Mutate(original);
    const Result<Example> example = ParseExample(bytes);
    ++(example.ok() ? counts.good : counts.bad);
    if (!example.ok()) continue;
    // Views must lie inside the record.
    for (const auto& [name, feature] : *example) {
      for (std::string_view text : feature.bytes) {
        if (text.empty()) continue;
        const auto* begin = reinterpret_cast<const uint8_t*>(text.data());
        ASSERT_GE(begin, bytes.data());
        ASSERT_LE(begin + text.size(), bytes.data() + bytes.size());
      }
    }
  }
  EXPECT_GT(counts.good, iterations / 100);
  EXPECT_GT(counts.bad, iterations / 100);
}

TEST(DataFuzzTest, Npy) {
  const TempDir dir;
  std::vector<Bytes> originals;
  ASSERT_TRUE(WriteNpy(dir / "o.npy", {2, 2, 3, 3}, Bytes(36, 5)).ok());
  ASSERT_TRUE(WriteNpy(dir / "p.npy", {2, 1, 2, 4}, std::vector<float>(16, 0.5f)).ok());
  for (const char* name : {"o.npy", "p.npy"}) {
    std::ifstream in(dir / name, std::ios::binary);
    originals.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  Mutator mutator(7);
  Counts counts;
  const int64_t iterations = FuzzIterations(12000);
  for (int64_t i = 0; i < iterations; ++i) {
    const Bytes bytes = mutator.Mutate(originals[static_cast<size_t>(i) % 2]);
    WriteFile(dir / "f.npy", bytes);
    const Result<NpyHeader> header = ParseNpyHeader(bytes);
    if (header.ok()) {
      ASSERT_GE(header->elements, 0);
      ASSERT_LE(header->data_offset, static_cast<int64_t>(bytes.size()));
    }
    const Result<NpyFloats> floats = ReadNpyFloats(dir / "f.npy");
    ++(floats.ok() ? counts.good : counts.bad);
    if (floats.ok()) {
      ASSERT_TRUE(header.ok());
      ASSERT_EQ(static_cast<int64_t>(floats->values.size()), header->elements);
    }
    const auto dataset = OpenDataset(dir / "f.npy");
    if (!dataset.ok()) continue;
    Sample sample;
    int64_t samples = 0;
    for (;; ++samples) {
      const Result<bool> more = (*dataset)->Next(&sample);
      if (!more.ok()) {
        ASSERT_NE(more.status().message().find("expected a finite number"), std::string::npos)
            << more.status().message();
      } else if (!*more) {
        break;
      }
    }
    ASSERT_EQ(samples, (*dataset)->size());
  }
  EXPECT_GT(counts.good, iterations / 100);
  EXPECT_GT(counts.bad, iterations / 100);
}

TEST(DataFuzzTest, Labels) {
  const Bytes original = ToBytes("\xef\xbb\xbfroses\r\nsunflowers\n daisy \ndandelion\ntulips\n\n");
  Mutator mutator(8);
  Counts counts;
  const int64_t iterations = FuzzIterations(12000);
  for (int64_t i = 0; i < iterations; ++i) {
    const Bytes bytes = mutator.Mutate(original);
    const auto labels =
        ParseLabels({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "fuzz");
    ++(labels.ok() ? counts.good : counts.bad);
    if (!labels.ok()) continue;
    for (const std::string& label : *labels) {
      ASSERT_FALSE(label.empty());
      ASSERT_EQ(label.find('\n'), std::string::npos);
    }
  }
  EXPECT_GT(counts.good, iterations / 100);
  EXPECT_GT(counts.bad, iterations / 100);
}

}  // namespace
}  // namespace octet
