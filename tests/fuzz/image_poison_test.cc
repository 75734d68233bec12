// No pixel may come from memory that the decoder has not written: every image, however damaged, is
// decoded twice, over different contents of the heap and of the stack below, and must give equal
// pixels or the same error. OCTET_FUZZ_FACTOR multiplies the number of mutations.
#include <gtest/gtest.h>
#include <malloc.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/data/image.h"
#include "formats/data/jpeg_decoder.h"
#include "formats/data/stb_decoder.h"
#include "tests/fuzz/mutation.h"
#include "tests/unit/data_test_util.h"
#include "tests/unit/tiny_jpegs.h"

namespace octet {
namespace {

using namespace octet::testing;  // NOLINT: builders of small files.

/// Leaves `value` in the stack that the next call will use. stb_image needs about 12 KB of it.
[[gnu::noinline]] void PoisonStack(uint8_t value) {
  uint8_t below[64 * 1024];
  std::memset(below, value, sizeof(below));
  asm volatile("" : : "r"(below) : "memory");  // It is never read, which a compiler must not know.
}

struct Outcome {
  std::string error;
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;
  bool operator==(const Outcome&) const = default;
};

[[gnu::noinline]] Outcome DecodeOver(const Bytes& bytes, uint8_t poison) {
  data_internal::fresh_memory = poison;
  mallopt(M_PERTURB, uint8_t(~poison));  // What libjpeg allocates, and everything else.
  PoisonStack(poison);
  Result<DecodedImage> image = DecodeImage(bytes, "image");
  data_internal::fresh_memory = 0;
  mallopt(M_PERTURB, 0);
  if (!image.ok()) return {image.status().message(), 0, 0, {}};
  return {"", image->width, image->height, std::move(image->rgb)};
}

struct Counts {
  int64_t good = 0, bad = 0;
};

/// 0 is what the heap holds in earnest. The others are plausible as lengths of codes (11) and as
/// pixels.
void ExpectNoPoison(const Bytes& bytes, Counts* counts) {
  static constexpr uint8_t kPoisons[] = {0xff, 0x0b, 0x55};
  const Outcome clean = DecodeOver(bytes, 0);
  ++(clean.error.empty() ? counts->good : counts->bad);
  const Outcome poisoned =
      DecodeOver(bytes, kPoisons[static_cast<size_t>(counts->good + counts->bad) % 3]);
  ASSERT_EQ(clean.error, poisoned.error);
  ASSERT_TRUE(clean == poisoned) << "the pixels show what was in memory before";
}

/// Decodes what `make` builds, whole and damaged; `fix` repairs checksums so that damage reaches
/// what lies behind them.
void Fuzz(int64_t iterations, uint64_t seed, Bytes (*make)(Mutator*), void (*fix)(Bytes*)) {
  Mutator mutator(seed);
  Counts whole, damaged;
  const int64_t count = FuzzIterations(iterations);
  for (int64_t i = 0; i < count; ++i) {
    const Bytes original = make(&mutator);
    ASSERT_NO_FATAL_FAILURE(ExpectNoPoison(original, &whole)) << "image " << i;
    Bytes bytes = mutator.Mutate(original);
    if (fix != nullptr && i % 8 != 0) fix(&bytes);
    ASSERT_NO_FATAL_FAILURE(ExpectNoPoison(bytes, &damaged)) << "mutation " << i;
  }
  // Images that are never decoded, or always, would show nothing.
  EXPECT_GT(whole.good, count / 4);
  EXPECT_GT(damaged.good, count / 50);
  EXPECT_GT(damaged.bad, count / 50);
}

Bytes RandomBytes(size_t size, Mutator* random) {
  Bytes bytes(size);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random->Next() >> 32);
  return bytes;
}

// --- PNG ---

/// Rows with a filter byte in front, of one image or of the seven of an interlaced one.
Bytes PngRows(size_t width, size_t height, size_t bits, bool interlaced, size_t filters,
              size_t limit, Mutator* random) {
  static constexpr size_t kX[] = {0, 4, 0, 2, 0, 1, 0}, kY[] = {0, 0, 4, 0, 2, 0, 1},
                          kDx[] = {8, 8, 4, 4, 2, 2, 1}, kDy[] = {8, 8, 8, 4, 4, 2, 2};
  Bytes rows;
  for (size_t pass = 0; pass < (interlaced ? 7u : 1u); ++pass) {
    const size_t w = interlaced ? (width + kDx[pass] - 1 - kX[pass]) / kDx[pass] : width;
    const size_t h = interlaced ? (height + kDy[pass] - 1 - kY[pass]) / kDy[pass] : height;
    for (size_t y = 0; w > 0 && y < h; ++y) {
      rows.push_back(static_cast<uint8_t>(random->Below(filters)));
      for (uint8_t b : RandomBytes((w * bits + 7) / 8, random))
        rows.push_back(static_cast<uint8_t>(b % limit));
    }
  }
  return rows;
}

Bytes Deflate(const Bytes& data, Mutator* random) {
  static constexpr int kStrategies[] = {Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_FIXED, Z_RLE};
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, static_cast<int>(random->Below(10)), Z_DEFLATED, 15, 8,
                         kStrategies[random->Below(4)]),
            Z_OK);
  Bytes out(deflateBound(&stream, static_cast<uLong>(data.size())));
  stream.next_in = const_cast<Bytef*>(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// Every color type and depth, interlaced or not, with palettes of any length and transparency.
Bytes RandomPng(Mutator* random) {
  static constexpr struct {
    uint8_t color, depth, channels;
  } kKinds[] = {{0, 1, 1}, {0, 2, 1},  {0, 4, 1},  {0, 8, 1}, {0, 16, 1},
                {2, 8, 3}, {2, 16, 3}, {3, 1, 1},  {3, 2, 1}, {3, 4, 1},
                {3, 8, 1}, {4, 8, 2},  {4, 16, 2}, {6, 8, 4}, {6, 16, 4}};
  const auto& kind = kKinds[random->Below(std::size(kKinds))];
  const size_t width = 1 + random->Below(19), height = 1 + random->Below(19);
  const bool interlaced = random->Below(3) == 0;
  Bytes png;
  Append(&png, std::string_view("\x89PNG\r\n\x1a\n", 8));
  Bytes header;
  AppendBig(&header, width, 4);
  AppendBig(&header, height, 4);
  for (uint8_t v :
       {kind.depth, kind.color, uint8_t{0}, uint8_t{0}, static_cast<uint8_t>(interlaced)})
    header.push_back(v);
  AppendPngChunk(&png, "IHDR", header);
  size_t limit = 256, filters = 5;
  if (kind.color == 3) {
    size_t colors = 1 + random->Below(size_t{1} << kind.depth);
    if (random->Below(2) == 0) colors = size_t{1} << kind.depth;  // All indices are good.
    AppendPngChunk(&png, "PLTE", RandomBytes(3 * colors, random));
    if (random->Below(2) == 0)
      AppendPngChunk(&png, "tRNS", RandomBytes(1 + random->Below(colors), random));
    if (kind.depth == 8 && random->Below(4) != 0) limit = colors, filters = 1;
  } else if (kind.color != 4 && kind.color != 6 && random->Below(2) == 0) {
    AppendPngChunk(&png, "tRNS", RandomBytes(2u * kind.channels, random));
  }
  const Bytes rows = PngRows(width, height, size_t{kind.depth} * kind.channels, interlaced, filters,
                             limit, random);
  AppendPngChunk(&png, "IDAT", Deflate(rows, random));
  AppendPngChunk(&png, "IEND", {});
  return png;
}

TEST(ImagePoisonTest, Png) { Fuzz(24000, 1, RandomPng, FixPng); }

// --- JPEG ---

void AppendSegment(Bytes* jpeg, uint8_t marker, const Bytes& content) {
  jpeg->push_back(0xff);
  jpeg->push_back(marker);
  AppendBig(jpeg, content.size() + 2, 2);
  jpeg->insert(jpeg->end(), content.begin(), content.end());
}

/// Baseline or progressive, 1, 3 (YCbCr or RGB) or 4 components (CMYK or YCCK), any sampling, in
/// one scan or several, with or without restart markers. The coefficients are random bits.
Bytes RandomJpeg(Mutator* random) {
  const bool progressive = random->Below(2) == 0;
  static constexpr uint8_t kComponents[] = {1, 3, 3, 4};
  const uint8_t components = kComponents[random->Below(4)];
  const size_t width = 1 + random->Below(40), height = 1 + random->Below(40);
  Bytes jpeg = {0xff, 0xd8};
  if (random->Below(2) == 0) {
    Bytes adobe = ToBytes("Adobe");
    for (size_t i = 0; i < 6; ++i) adobe.push_back(0);
    adobe.push_back(static_cast<uint8_t>(random->Below(3)));
    AppendSegment(&jpeg, 0xee, adobe);
  }
  for (uint8_t table = 0; table < 2; ++table) {
    Bytes quantization = {table};
    for (size_t i = 0; i < 64; ++i)
      quantization.push_back(static_cast<uint8_t>(1 + random->Below(16)));
    AppendSegment(&jpeg, 0xdb, quantization);
    // 15 codes of 4 bits and one of each length above, so that all bits are codes but for 16 ones,
    // which libjpeg forbids: DC differences of up to 8 bits; AC runs and sizes, among them end of
    // block.
    for (uint8_t kind = 0; kind < 2; ++kind) {
      Bytes codes(17, 1);
      codes[0] = static_cast<uint8_t>(kind << 4 | table);
      codes[1] = codes[2] = codes[3] = 0;
      codes[4] = 15;
      static constexpr uint8_t kAc[] = {0, 1, 0, 2, 0x11, 0, 0x21, 3, 0, 0xf0, 0x12, 0, 0x31, 4, 0};
      for (uint8_t i = 0; i < 15 + 12; ++i) codes.push_back(kind == 0 ? i % 9 : kAc[i % 15]);
      AppendSegment(&jpeg, 0xc4, codes);
    }
  }
  Bytes frame = {8};
  AppendBig(&frame, height, 2);
  AppendBig(&frame, width, 2);
  frame.push_back(components);
  const bool sampled = random->Below(2) == 0;
  for (uint8_t c = 0; c < components; ++c) {
    frame.push_back(static_cast<uint8_t>(c + 1));
    const size_t h = sampled ? 1 + random->Below(2) : 1, v = sampled ? 1 + random->Below(2) : 1;
    frame.push_back(static_cast<uint8_t>(h << 4 | v));
    frame.push_back(c == 0 ? 0 : 1);
  }
  AppendSegment(&jpeg, progressive ? 0xc2 : 0xc0, frame);
  const size_t restart = random->Below(3) == 0 ? 1 + random->Below(6) : 0;
  if (restart > 0) {
    Bytes interval;
    AppendBig(&interval, restart, 2);
    AppendSegment(&jpeg, 0xdd, interval);
  }
  const auto scan = [&](uint8_t first, uint8_t count, uint8_t start, uint8_t end) {
    Bytes header = {count};
    for (uint8_t c = first; c < first + count; ++c) {
      header.push_back(static_cast<uint8_t>(c + 1));
      header.push_back(c == 0 ? 0x00 : 0x11);
    }
    for (uint8_t v : {start, end, uint8_t{0}}) header.push_back(v);
    AppendSegment(&jpeg, 0xda, header);
    const size_t intervals = restart == 0 ? 1 : 1 + random->Below(40);
    for (size_t i = 0; i < intervals; ++i) {
      for (uint8_t b : RandomBytes(restart == 0 ? 600 : 1 + random->Below(60), random))
        jpeg.push_back(b == 0xff ? 0xfe : b);
      if (i + 1 < intervals) {
        jpeg.push_back(0xff);
        jpeg.push_back(static_cast<uint8_t>(0xd0 + i % 8));
      }
    }
  };
  const bool together = random->Below(2) == 0;
  const uint8_t last = progressive ? 0 : 63;
  for (uint8_t c = 0; c < components; c = static_cast<uint8_t>(together ? components : c + 1)) {
    scan(c, together ? components : 1, 0, last);
  }
  for (uint8_t c = 0; progressive && c < components; ++c) {
    const uint8_t first = random->Below(2) == 0 ? 1 : 6;  // All coefficients, or nearly so.
    scan(c, 1, 1, first == 1 ? 63 : 5);
    if (first == 6 && random->Below(8) != 0) scan(c, 1, 6, 63);
  }
  jpeg.push_back(0xff);
  jpeg.push_back(0xd9);
  return jpeg;
}

/// With libjpeg, if there is one, and with stb_image.
class JpegPoisonTest : public ::testing::TestWithParam<bool> {
 protected:
  JpegPoisonTest() { data_internal::jpeg_by_stb = GetParam(); }
  ~JpegPoisonTest() override { data_internal::jpeg_by_stb = before_; }
  bool before_ = data_internal::jpeg_by_stb;
};
INSTANTIATE_TEST_SUITE_P(Decoders, JpegPoisonTest,
#ifdef OCTET_HAVE_LIBJPEG
                         ::testing::Bool()
#else
                         ::testing::Values(true)
#endif
);

TEST_P(JpegPoisonTest, Random) { Fuzz(16000, 3, RandomJpeg, nullptr); }

TEST_P(JpegPoisonTest, Photos) {
  Fuzz(
      8000, 4,
      [](Mutator* random) {
        static const Bytes kFiles[] = {{std::begin(kBaselineJpeg), std::end(kBaselineJpeg)},
                                       {std::begin(kProgressiveJpeg), std::end(kProgressiveJpeg)},
                                       {std::begin(kGrayJpeg), std::end(kGrayJpeg)},
                                       {std::begin(kRestartJpeg), std::end(kRestartJpeg)}};
        return kFiles[random->Below(4)];
      },
      nullptr);
}

// --- BMP and PNM ---

Bytes RandomBmp(Mutator* random) {
  static constexpr int kBits[] = {1, 4, 8, 24, 32};
  const int bits = kBits[random->Below(5)];
  const size_t width = 1 + random->Below(20), height = 1 + random->Below(20);
  const size_t row = (width * static_cast<size_t>(bits) + 31) / 32 * 4;
  const Bytes palette =
      bits > 8 ? Bytes() : RandomBytes(4 * (1 + random->Below(size_t{1} << bits)), random);
  return MakeBmp(static_cast<int>(width), static_cast<int>(height), bits,
                 RandomBytes(row * height, random), palette, random->Below(2) == 0);
}

Bytes RandomPnm(Mutator* random) {
  const size_t width = 1 + random->Below(20), height = 1 + random->Below(20),
               channels = random->Below(2) == 0 ? 1 : 3,
               largest = 1 + random->Below(random->Below(2) == 0 ? 255 : 65535);
  const std::string header = (channels == 1 ? "P5 " : "P6 ") + std::to_string(width) + "\n#\n" +
                             std::to_string(height) + " " + std::to_string(largest) + "\n";
  return MakePnm(header, RandomBytes(width * height * channels * (largest > 255 ? 2 : 1), random));
}

TEST(ImagePoisonTest, Bmp) { Fuzz(4000, 5, RandomBmp, nullptr); }
TEST(ImagePoisonTest, Pnm) { Fuzz(4000, 6, RandomPnm, nullptr); }

}  // namespace
}  // namespace octet
