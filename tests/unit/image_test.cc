#include "formats/data/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>

#include "formats/base/file.h"
#include "formats/data/exif.h"
#include "formats/data/jpeg_decoder.h"
#include "formats/model/preprocessing.h"
#include "tests/data_dir.h"
#include "tests/unit/data_test_util.h"
#include "tests/unit/tiny_jpegs.h"

namespace octet {
namespace {

using ::testing::HasSubstr;
using namespace octet::testing;  // NOLINT: builders of small files.

/// Says who decodes JPEGs, as long as it lives.
class JpegDecoder {
 public:
  explicit JpegDecoder(bool by_stb) { data_internal::jpeg_by_stb = by_stb; }
  ~JpegDecoder() { data_internal::jpeg_by_stb = before_; }

 private:
  bool before_ = data_internal::jpeg_by_stb;
};

DecodedImage MustDecode(std::span<const uint8_t> bytes) {
  Result<DecodedImage> image = DecodeImage(bytes, "test");
  EXPECT_TRUE(image.ok()) << image.status().message();
  return image.ok() ? std::move(image).value() : DecodedImage();
}

std::string ErrorOf(std::span<const uint8_t> bytes, StatusCode code) {
  const Result<DecodedImage> image = DecodeImage(bytes, "some.file");
  EXPECT_FALSE(image.ok());
  EXPECT_EQ(image.status().code(), code) << image.status().message();
  EXPECT_THAT(image.status().message(), ::testing::StartsWith("some.file: "));
  EXPECT_THAT(image.status().message(), ::testing::Not(HasSubstr("\n")));
  return image.status().message();
}

/// Every way of cutting the file short must be noticed.
void ExpectAllPrefixesFail(std::span<const uint8_t> bytes) {
  ASSERT_TRUE(DecodeImage(bytes, "whole").ok());
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeImage(bytes.first(n), "cut").ok())
        << "first " << n << " of " << bytes.size() << " bytes";
  }
}

// Mean absolute error against the gradient that the JPEGs were made from.
double GradientError(const DecodedImage& image, bool gray) {
  double sum = 0.0;
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 24; ++x) {
      const int rgb[3] = {x * 10, gray ? x * 10 : y * 15, gray ? x * 10 : 128};
      for (int c = 0; c < 3; ++c) {
        sum += std::abs(int{image.rgb[static_cast<size_t>((y * 24 + x) * 3 + c)]} - rgb[c]);
      }
    }
  }
  return sum / (24 * 16 * 3);
}

TEST(ImageTest, DecodesJpegs) {
  const struct {
    const char* name;
    std::span<const uint8_t> bytes;
    bool gray;
  } cases[] = {{"baseline", kBaselineJpeg, false},
               {"progressive", kProgressiveJpeg, false},
               {"gray", kGrayJpeg, true},
               {"restart", kRestartJpeg, false}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(DetectImageFormat(c.bytes), ImageFormat::kJpeg);
    const DecodedImage image = MustDecode(c.bytes);
    ASSERT_EQ(image.width, 24);
    ASSERT_EQ(image.height, 16);
    EXPECT_LT(GradientError(image, c.gray), 4.0);
    ExpectAllPrefixesFail(c.bytes);
  }
}

TEST(ImageTest, JpegThumbnailDoesNotHideTruncation) {
  // An Exif segment in front that holds a whole JPEG: the thumbnail's end marker is not the
  // photo's.
  Bytes jpeg(std::begin(kBaselineJpeg), std::end(kBaselineJpeg));
  Bytes segment = {0xff, 0xe1};
  AppendBig(&segment, 2 + 6 + sizeof(kGrayJpeg), 2);
  Append(&segment, std::string_view("Exif\0\0", 6));
  segment.insert(segment.end(), std::begin(kGrayJpeg), std::end(kGrayJpeg));
  jpeg.insert(jpeg.begin() + 2, segment.begin(), segment.end());
  EXPECT_LT(GradientError(MustDecode(jpeg), false), 4.0);
  ExpectAllPrefixesFail(jpeg);
  EXPECT_THAT(ErrorOf(std::span(jpeg).first(jpeg.size() - 100), StatusCode::kCorrupt),
              HasSubstr("truncated"));
}

TEST(ImageTest, JpegMayBeFollowedByAnything) {
  Bytes jpeg(std::begin(kBaselineJpeg), std::end(kBaselineJpeg));
  Append(&jpeg, "trailing bytes");
  EXPECT_EQ(MustDecode(jpeg).rgb, MustDecode(kBaselineJpeg).rgb);
}

/// Position of the baseline file's frame header segment, after its marker.
size_t FrameHeader(const Bytes& jpeg) {
  for (size_t i = 0; i + 1 < jpeg.size(); ++i) {
    if (jpeg[i] == 0xff && jpeg[i + 1] == 0xc0) return i + 2;
  }
  return 0;
}

TEST(ImageTest, RefusesJpegsThatClaimTooMuch) {
  Bytes jpeg(std::begin(kBaselineJpeg), std::end(kBaselineJpeg));
  const size_t at = FrameHeader(jpeg);
  ASSERT_GT(at, 0u);
  jpeg[at + 3] = jpeg[at + 5] = 0x27;  // About 10,000 x 10,000.
  EXPECT_THAT(ErrorOf(jpeg, StatusCode::kUnsupported), HasSubstr("pixels"));
  jpeg[at + 3] = jpeg[at + 5] = 0x08;  // About 2,000 x 2,000: allowed, but not in these few bytes.
  EXPECT_THAT(ErrorOf(jpeg, StatusCode::kCorrupt), HasSubstr("cannot hold"));
  jpeg[at + 2] = 12;
  EXPECT_THAT(ErrorOf(jpeg, StatusCode::kUnsupported), HasSubstr("12 bits"));
  jpeg[at - 1] = 0xc9;
  EXPECT_THAT(ErrorOf(jpeg, StatusCode::kUnsupported), HasSubstr("arithmetic"));
}

TEST(ImageTest, RefusesOverfullHuffmanTables) {
  // A table before all others with 16 x 17 = 272 codes; stb_image has room for 256.
  Bytes jpeg(std::begin(kBaselineJpeg), std::end(kBaselineJpeg));
  Bytes segment = {0xff, 0xc4};
  AppendBig(&segment, 2 + 17 + 272, 2);
  segment.push_back(0);
  segment.resize(segment.size() + 16, 17);
  segment.resize(segment.size() + 272, 1);
  jpeg.insert(jpeg.begin() + 2, segment.begin(), segment.end());
  EXPECT_THAT(ErrorOf(jpeg, StatusCode::kCorrupt), HasSubstr("272 codes, expected at most 256"));
}

TEST(ImageTest, DecodesPngs) {
  // 3x2 pixels in every colour type.
  const Bytes rgb = {255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 40, 50, 60, 70, 80, 90};
  const DecodedImage color = MustDecode(MakePng(3, 2, 8, 2, rgb));
  EXPECT_EQ(color.width, 3);
  EXPECT_EQ(color.height, 2);
  EXPECT_EQ(color.rgb, rgb);

  Bytes rgba, rgb16, gray_alpha;
  for (size_t i = 0; i < rgb.size(); ++i) {
    rgba.push_back(rgb[i]);
    if (i % 3 == 2) rgba.push_back(static_cast<uint8_t>(i));  // Alpha, even 0, changes nothing.
    rgb16.push_back(rgb[i]);
    rgb16.push_back(0x7f);
  }
  EXPECT_EQ(MustDecode(MakePng(3, 2, 8, 6, rgba)).rgb, rgb);
  EXPECT_EQ(MustDecode(MakePng(3, 2, 16, 2, rgb16)).rgb, rgb);

  EXPECT_EQ(MustDecode(MakePng(2, 1, 8, 0, {7, 200})).rgb, (Bytes{7, 7, 7, 200, 200, 200}));
  EXPECT_EQ(MustDecode(MakePng(2, 1, 8, 4, {7, 0, 200, 255})).rgb, (Bytes{7, 7, 7, 200, 200, 200}));
  // Gray of 16 bits: Pillow keeps what fits, the others the upper half.
  const Bytes gray16 = MakePng(2, 1, 16, 0, {7, 99, 0, 200});
  EXPECT_EQ(MustDecode(gray16).rgb, (Bytes{255, 255, 255, 200, 200, 200}));
  for (const Framework framework : {Framework::kOpencv, Framework::kTensorflow})
    EXPECT_EQ(DecodeImage(gray16, "gray", DecodingOf(framework))->rgb, (Bytes{7, 7, 7, 0, 0, 0}));
  EXPECT_EQ(MustDecode(MakePng(3, 1, 1, 0, {0xa0})).rgb,
            (Bytes{255, 255, 255, 0, 0, 0, 255, 255, 255}));
  EXPECT_EQ(MustDecode(MakePng(3, 1, 4, 3, {0x10, 0x20}, {1, 2, 3, 4, 5, 6, 7, 8, 9})).rgb,
            (Bytes{4, 5, 6, 1, 2, 3, 7, 8, 9}));
}

/// A PNG of colors with a chunk behind its header.
Bytes WithChunk(const Bytes& png, std::string_view type, const Bytes& content) {
  Bytes out(png.begin(), png.begin() + 33);
  AppendPngChunk(&out, type, content);
  out.insert(out.end(), png.begin() + 33, png.end());
  return out;
}

TEST(ImageTest, GrayThatFrameworksDoNotAgreeOnIsRefused) {
  const Bytes png = MakeColorPng(2, 1, 30, 60, 90),
              wide = MakePng(1, 1, 16, 2, {30, 60, 90, 120, 150, 180});
  const Bytes gamma = {0, 0, 0xb1, 0x8f};
  const struct {
    Bytes file;
    Framework framework;
    StatusCode code;
    const char* message;
  } cases[] = {
      {WithChunk(png, "iCCP", {1}), Framework::kTensorflow, StatusCode::kUnsupported,
       "PNG has a color profile and no gamma of sRGB"},
      {WithChunk(WithChunk(png, "cHRM", Bytes(32)), "gAMA", gamma), Framework::kTensorflow,
       StatusCode::kUnsupported, "PNG has a gamma and chromaticities other than those of sRGB"},
      {WithChunk(wide, "sRGB", {0}), Framework::kOpencv, StatusCode::kUnsupported,
       "PNG has colors of 16 bits and a gamma of 45455 / 100000"},
      {WithChunk(png, "sRGB", {4}), Framework::kOpencv, StatusCode::kCorrupt,
       "PNG sRGB chunk is damaged"},
      {WithChunk(png, "gAMA", {0, 0, 0, 15}), Framework::kOpencv, StatusCode::kCorrupt,
       "PNG gAMA chunk is damaged"},
      {WithChunk(png, "gAMA", {1}), Framework::kTensorflow, StatusCode::kCorrupt,
       "PNG gAMA chunk is damaged"},
  };
  for (const auto& c : cases) {
    const Decoding decoding = DecodingOf(c.framework);
    const Status status = DecodeImage(c.file, "a.png", decoding, {.gray = true}).status();
    EXPECT_EQ(status.code(), c.code) << c.message;
    EXPECT_THAT(status.message(), HasSubstr(c.message));
    EXPECT_TRUE(DecodeImage(c.file, "a.png", decoding).ok()) << c.message;
    EXPECT_TRUE(DecodeImage(c.file, "a.png", {}, {.gray = true}).ok()) << c.message;
  }
  EXPECT_TRUE(DecodeImage(WithChunk(png, "iCCP", {1}), "a.png", DecodingOf(Framework::kOpencv),
                          {.gray = true})
                  .ok());
  EXPECT_THAT(DecodeImage(WithChunk(png, "acTL", Bytes(8)), "a.png", DecodingOf(Framework::kOpencv))
                  .status()
                  .message(),
              HasSubstr("PNG is animated"));
}

// stb_image would take such colors from its stack.
TEST(ImageTest, RefusesPaletteIndicesBehindThePalette) {
  const Bytes palette = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  EXPECT_EQ(MustDecode(MakePng(3, 1, 8, 3, {2, 1, 0}, palette)).rgb,
            (Bytes{7, 8, 9, 4, 5, 6, 1, 2, 3}));
  EXPECT_THAT(ErrorOf(MakePng(3, 1, 8, 3, {2, 3, 0}, palette), StatusCode::kCorrupt),
              HasSubstr("PNG palette index of pixel 1: found 3, expected less than 3"));
  EXPECT_THAT(ErrorOf(MakePng(2, 1, 4, 3, {0x2f}, palette), StatusCode::kCorrupt),
              HasSubstr("pixel 1: found 15"));
  EXPECT_THAT(ErrorOf(MakePng(3, 1, 8, 3, {2, 1, 0}), StatusCode::kCorrupt),
              HasSubstr("no palette"));
  EXPECT_THAT(ErrorOf(MakePng(3, 1, 8, 3, {2, 1, 0}, {1, 2, 3, 4}), StatusCode::kCorrupt),
              HasSubstr("palette has 4 bytes"));
  EXPECT_THAT(ErrorOf(MakePng(3, 1, 16, 3, Bytes(6), palette), StatusCode::kCorrupt),
              HasSubstr("color type 3 with 16 bits"));
}

TEST(ImageTest, PngDataMayBeInPiecesAndHaveMoreBehind) {
  const Bytes png = MakeColorPng(300, 100, 1, 2, 3);  // Two blocks of stored data.
  const size_t idat = 33, length = png.size() - 33 - 12 - 12;
  const Bytes data(png.begin() + idat + 8,
                   png.begin() + static_cast<std::ptrdiff_t>(idat + 8 + length));
  for (size_t piece : {size_t{1000}, size_t{7}, length}) {
    Bytes split(png.begin(), png.begin() + idat);
    for (size_t at = 0; at < length; at += piece) {
      AppendPngChunk(
          &split, "IDAT",
          Bytes(data.begin() + static_cast<std::ptrdiff_t>(at),
                data.begin() + static_cast<std::ptrdiff_t>(std::min(length, at + piece))));
    }
    AppendPngChunk(&split, "IEND", {});
    EXPECT_EQ(MustDecode(split).rgb, MustDecode(png).rgb) << piece;
  }
  // Rows that the image has not, as some programs write them.
  Bytes longer = MakeColorPng(300, 103, 1, 2, 3), shorter = MakeColorPng(300, 99, 1, 2, 3);
  for (Bytes* bytes : {&longer, &shorter}) {
    (*bytes)[23] = 100;
    FixPng(bytes);
  }
  EXPECT_EQ(MustDecode(longer).rgb, MustDecode(png).rgb);
  EXPECT_THAT(ErrorOf(shorter, StatusCode::kCorrupt), HasSubstr("too short for the pixels"));
}

// Whatever stb_image would take from memory that it has not written.
TEST(ImageTest, RefusesJpegsThatUseWhatTheyDoNotDefine) {
  const Bytes jpeg(std::begin(kBaselineJpeg), std::end(kBaselineJpeg));
  const auto without = [&](uint8_t marker, uint8_t id) {
    for (size_t at = 2; at + 4 < jpeg.size();) {
      const size_t length = size_t{jpeg[at + 2]} << 8 | jpeg[at + 3];
      if (jpeg[at + 1] == marker && jpeg[at + 4] == id) {
        Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(at));
        cut.insert(cut.end(), jpeg.begin() + static_cast<std::ptrdiff_t>(at + 2 + length),
                   jpeg.end());
        return cut;
      }
      at += 2 + length;
    }
    ADD_FAILURE() << "no such segment";
    return jpeg;
  };
  EXPECT_THAT(ErrorOf(without(0xdb, 1), StatusCode::kCorrupt),
              HasSubstr("uses quantization table 1, which is not defined"));
  EXPECT_THAT(ErrorOf(without(0xc4, 0x00), StatusCode::kCorrupt),
              HasSubstr("uses DC Huffman table 0, which is not defined"));
  EXPECT_THAT(ErrorOf(without(0xc4, 0x11), StatusCode::kCorrupt),
              HasSubstr("uses AC Huffman table 1, which is not defined"));
  // The scan names component 2 twice and component 3 not at all.
  Bytes twice = jpeg;
  for (size_t at = 0; at + 12 < twice.size(); ++at) {
    if (twice[at] == 0xff && twice[at + 1] == 0xda) twice[at + 9] = 2;
  }
  EXPECT_THAT(ErrorOf(twice, StatusCode::kCorrupt), HasSubstr("no scan for component 3"));
  // A restart marker that is gone ends the decoding of the scan.
  Bytes restart(std::begin(kRestartJpeg), std::end(kRestartJpeg));
  for (size_t at = restart.size() - 2; at-- > 0;) {
    if (restart[at] == 0xff && restart[at + 1] >= 0xd0 && restart[at + 1] <= 0xd7) {
      restart.erase(restart.begin() + static_cast<std::ptrdiff_t>(at),
                    restart.begin() + static_cast<std::ptrdiff_t>(at) + 2);
      break;
    }
  }
  for (const bool by_stb : {true, data_internal::jpeg_by_stb}) {
    const JpegDecoder decoder(by_stb);
    EXPECT_THAT(ErrorOf(restart, StatusCode::kCorrupt),
                HasSubstr(by_stb ? "a restart marker is not where it should be"
                                 : "found marker 0xd9 instead of RST0"));
  }
}

/// With a piece of `content` put in or, where that is empty, `remove` bytes taken out, so many
/// bytes before the end.
Bytes Changed(std::span<const uint8_t> jpeg, size_t before_end, const Bytes& content,
              size_t remove = 0) {
  Bytes changed(jpeg.begin(), jpeg.end());
  const auto at = changed.end() - static_cast<std::ptrdiff_t>(before_end);
  changed.insert(changed.erase(at, at + static_cast<std::ptrdiff_t>(remove)), content.begin(),
                 content.end());
  return changed;
}

TEST(ImageTest, RefusesWhatLibjpegOnlyWarnsOf) {
  if (data_internal::jpeg_by_stb) GTEST_SKIP() << "built without libjpeg";
  EXPECT_THAT(ErrorOf(Changed(kBaselineJpeg, 12, {}, 10), StatusCode::kCorrupt),
              HasSubstr("premature end of data segment"));
  // Some cameras leave bytes before the end marker.
  EXPECT_EQ(MustDecode(Changed(kBaselineJpeg, 2, {0, 0, 0, 0})).rgb, MustDecode(kBaselineJpeg).rgb);
  // Some fill fields of the scan header that say nothing.
  Bytes odd(std::begin(kBaselineJpeg), std::end(kBaselineJpeg));
  for (size_t at = 0; at + 13 < odd.size(); ++at)
    if (odd[at] == 0xff && odd[at + 1] == 0xda) odd[at + 12] = 0;
  EXPECT_FALSE(std::ranges::equal(odd, kBaselineJpeg));
  EXPECT_EQ(MustDecode(odd).rgb, MustDecode(kBaselineJpeg).rgb);
  // Bytes before a restart stand for blocks that were lost.
  const Bytes restart(std::begin(kRestartJpeg), std::end(kRestartJpeg));
  for (size_t at = restart.size() - 2; at-- > 0;) {
    if (restart[at] != 0xff || restart[at + 1] < 0xd0 || restart[at + 1] > 0xd7) continue;
    EXPECT_THAT(ErrorOf(Changed(restart, restart.size() - at, {1, 2, 3, 4, 5, 6, 7, 8}),
                        StatusCode::kCorrupt),
                HasSubstr("extraneous bytes before marker"));
    break;
  }
}

// libjpeg-turbo 2 and 3 smooth what is missing differently.
TEST(ImageTest, RefusesProgressiveJpegsWithoutTheirLastScans) {
  const Bytes jpeg(std::begin(kProgressiveJpeg), std::end(kProgressiveJpeg));
  std::vector<size_t> scans;
  for (size_t at = 0; at + 1 < jpeg.size(); ++at)
    if (jpeg[at] == 0xff && jpeg[at + 1] == 0xda) scans.push_back(at);
  ASSERT_GT(scans.size(), 3u);
  for (size_t i = 1; i < scans.size(); ++i) {
    // Tables of the next scan do no harm.
    Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(scans[i]));
    Append(&cut, "\xff\xd9");
    EXPECT_THAT(ErrorOf(cut, StatusCode::kCorrupt),
                HasSubstr("it lacks the last scans of component"))
        << i;
  }
}

TEST(ImageTest, NamesWhatTakesLibjpeg) {
  const JpegDecoder decoder(/*by_stb=*/true);
  Decoding fast, plain;
  fast.dct = Dct::kFast;
  plain.upsampling = Upsampling::kPlain;
  EXPECT_THAT(DecodeImage(kBaselineJpeg, "a.jpg", fast).status().message(),
              HasSubstr("a.jpg: JPEG needs the fast DCT, which takes libjpeg"));
  EXPECT_THAT(DecodeImage(kBaselineJpeg, "a.jpg", plain).status().message(),
              HasSubstr("JPEG needs plain upsampling"));
  EXPECT_THAT(DecodeImage(kBaselineJpeg, "a.jpg", DecodingOf(Framework::kOpencv), {.gray = true})
                  .status()
                  .message(),
              HasSubstr("JPEG needs gray as by libjpeg"));
  EXPECT_TRUE(DecodeImage(kBaselineJpeg, "a.jpg", {}, {.gray = true}).ok());
  EXPECT_EQ(DecodeImage(kBaselineJpeg, "a.jpg", {}, {3, 2})->width, 24);  // In full.
}

TEST(ImageTest, DecodesSmallerOnlyWhenTold) {
  if (data_internal::jpeg_by_stb) GTEST_SKIP() << "built without libjpeg";
  const struct {
    Wanted smallest;
    int width, height;
  } cases[] = {{{}, 24, 16},    {{13, 8}, 24, 16}, {{12, 9}, 24, 16}, {{12, 8}, 12, 8},
               {{7, 1}, 12, 8}, {{6, 4}, 6, 4},    {{1, 3}, 6, 4},    {{3, 2}, 3, 2},
               {{1, 1}, 3, 2},  {{24, 16}, 24, 16}};
  for (const auto& c : cases) {
    const auto image = DecodeImage(kBaselineJpeg, "a.jpg", {}, c.smallest);
    ASSERT_TRUE(image.ok()) << image.status().message();
    EXPECT_EQ(image->width, c.width);
    EXPECT_EQ(image->height, c.height);
  }
  // What is turned is as large as what comes of it.
  const std::string path = OCTET_SOURCE_DIR "/tests/data/pixels/decoding/exif_6.jpg";  // 7x4.
  const auto bytes = ReadFileBytes(path, 10000);
  ASSERT_TRUE(bytes.ok());
  for (const bool turned : {false, true}) {
    Decoding decoding;
    decoding.exif_orientation = turned;
    EXPECT_EQ(DecodeImage(*bytes, path, decoding, {2, 4})->width, turned ? 2 : 7);
    EXPECT_EQ(DecodeImage(*bytes, path, decoding, {4, 2})->width, turned ? 4 : 4);
  }
}

TEST(ImageTest, OrientationsThatProgramsReadDifferentlyAreRefused) {
  const auto tiff = [](uint8_t tag, uint8_t type, uint8_t count, uint8_t value) {
    return Bytes{'M', 'M',  0, 42, 0, 0,     0, 8,     0, 1, 1, tag,
                 0,   type, 0, 0,  0, count, 0, value, 0, 0, 0, 0};
  };
  using data_internal::ExifOrientation;
  EXPECT_EQ(*ExifOrientation(tiff(0x12, 3, 1, 6)), 6);
  EXPECT_EQ(*ExifOrientation(tiff(0x13, 3, 1, 6)), 1);
  EXPECT_EQ(*ExifOrientation(tiff(0x12, 3, 1, 0)), 1);
  EXPECT_EQ(*ExifOrientation(tiff(0x12, 3, 1, 9)), 1);
  EXPECT_THAT(
      ExifOrientation(tiff(0x12, 4, 1, 6)).status().message(),
      HasSubstr("EXIF orientation is of type 4 and count 1, expected one number of type 3"));
  EXPECT_FALSE(ExifOrientation(tiff(0x12, 3, 2, 6)).ok());
  const Bytes whole = tiff(0x12, 3, 1, 6);
  for (size_t n = 0; n < 22; ++n) EXPECT_EQ(*ExifOrientation(std::span(whole).first(n)), 1) << n;
}

TEST(ImageTest, NoticesDamagedPngs) {
  const Bytes png = MakeColorPng(5, 4, 1, 2, 3);
  ExpectAllPrefixesFail(png);
  // Every single bit is covered by a checksum or a check of the structure.
  for (size_t bit = 0; bit < png.size() * 8; ++bit) {
    Bytes damaged = png;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(DecodeImage(damaged, "damaged").ok()) << "bit " << bit;
  }
  EXPECT_THAT(ErrorOf(std::span(png).first(png.size() - 12), StatusCode::kCorrupt),
              HasSubstr("truncated"));
}

TEST(ImageTest, RefusesUnknownCriticalPngChunks) {
  Bytes chunk;
  AppendPngChunk(&chunk, "A\n\1b", {1, 2, 3});
  Bytes png = MakeColorPng(2, 2, 1, 2, 3);
  png.insert(png.begin() + 33, chunk.begin(), chunk.end());
  EXPECT_THAT(ErrorOf(png, StatusCode::kUnsupported), HasSubstr("byte 33 is critical"));
  png[33 + 4] = 'a';
  ErrorOf(png, StatusCode::kCorrupt);  // The checksum covers the type.
}

TEST(ImageTest, RefusesPngsThatClaimTooMuch) {
  EXPECT_THAT(ErrorOf(MakePng(100000, 100000, 8, 2, Bytes(300000)), StatusCode::kUnsupported),
              HasSubstr("100000x100000"));
  EXPECT_THAT(ErrorOf(MakePng(8000, 8000, 8, 2, Bytes(24000)), StatusCode::kCorrupt),
              HasSubstr("cannot hold"));
  EXPECT_THAT(ErrorOf(MakePng(10, 4, 8, 2, Bytes(60)), StatusCode::kCorrupt),
              HasSubstr("some.file"));
  EXPECT_THAT(ErrorOf(MakePng(0, 4, 8, 2, Bytes(60)), StatusCode::kCorrupt), HasSubstr("0x4"));
}

TEST(ImageTest, DecodesBmps) {
  const Bytes rgb = {255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 40, 50, 60, 70, 80, 90};
  const Bytes rows24 = {0,  0,  255, 0,  255, 0,  255, 0,  0,  9, 9, 9,
                        30, 20, 10,  60, 50,  40, 90,  80, 70, 9, 9, 9};
  const Bytes rows32 = {0,  0,  255, 1, 0,  255, 0,  1, 255, 0,  0,  1,
                        30, 20, 10,  1, 60, 50,  40, 1, 90,  80, 70, 1};
  for (bool top_down : {false, true}) {
    EXPECT_EQ(MustDecode(MakeBmp(3, 2, 24, rows24, {}, top_down)).rgb, rgb);
    EXPECT_EQ(MustDecode(MakeBmp(3, 2, 32, rows32, {}, top_down)).rgb, rgb);
  }
  const Bytes palette = {3, 2, 1, 0, 6, 5, 4, 0, 9, 8, 7, 0};  // BGR and a spare byte.
  EXPECT_EQ(MustDecode(MakeBmp(3, 1, 8, {2, 0, 1, 0}, palette)).rgb,
            (Bytes{7, 8, 9, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(MustDecode(MakeBmp(3, 1, 4, {0x20, 0x10, 0, 0}, palette)).rgb,
            (Bytes{7, 8, 9, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(MustDecode(MakeBmp(3, 1, 1, {0x40, 0, 0, 0}, palette)).rgb,
            (Bytes{1, 2, 3, 4, 5, 6, 1, 2, 3}));
  // An index behind the palette is black, whatever was in memory.
  EXPECT_EQ(MustDecode(MakeBmp(1, 1, 8, {200, 0, 0, 0}, palette)).rgb, (Bytes{0, 0, 0}));
  ExpectAllPrefixesFail(MakeBmp(3, 2, 24, rows24));
  ExpectAllPrefixesFail(MakeBmp(3, 1, 8, {2, 0, 1, 0}, palette));
}

// Alpha and its mask, a gray palette that Pillow does not read as its bits say, and OpenCV's gray.
TEST(ImageTest, RefusesBmpsThatFrameworksReadDifferently) {
  const Bytes rows = {0, 0, 0, 0}, grays = {0, 0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 0};
  EXPECT_THAT(
      ErrorOf(MakeBmp(1, 1, 4, rows, grays), StatusCode::kUnsupported),
      HasSubstr("BMP palette of 3 grays is one that Pillow leaves out, but not with 4 bits"));
  EXPECT_THAT(ErrorOf(MakeBmp(1, 1, 8, rows, Bytes(4)), StatusCode::kUnsupported),
              HasSubstr("BMP palette of 1 grays"));
  const Decoding opencv = DecodingOf(Framework::kOpencv);
  EXPECT_TRUE(DecodeImage(MakeBmp(1, 1, 4, rows, grays), "a.bmp", opencv).ok());

  Bytes masks = MakeBmp(1, 1, 32, rows);
  const Bytes channels = {0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255};
  masks.insert(masks.begin() + 54, channels.begin(), channels.end());
  masks[10] = 70, masks[14] = 56, masks[30] = 3;
  EXPECT_TRUE(DecodeImage(masks, "a.bmp", opencv).ok());
  EXPECT_THAT(DecodeImage(masks, "a.bmp", opencv, {.gray = true}).status().message(),
              HasSubstr("BMP has channel masks in its header, of which OpenCV makes another gray"));
  masks[69] = 254;
  EXPECT_THAT(ErrorOf(masks, StatusCode::kUnsupported), HasSubstr("BMP alpha mask"));
}

TEST(ImageTest, RefusesOddBmps) {
  const Bytes rows(16);
  EXPECT_THAT(ErrorOf(MakeBmp(2, 2, 16, rows), StatusCode::kUnsupported), HasSubstr("16 bits"));
  EXPECT_THAT(ErrorOf(MakeBmp(0, 2, 24, rows), StatusCode::kCorrupt), HasSubstr("0x2"));
  EXPECT_THAT(ErrorOf(MakeBmp(-5, 2, 24, rows), StatusCode::kCorrupt), HasSubstr("-5x2"));
  EXPECT_THAT(ErrorOf(MakeBmp(1 << 16, 1 << 16, 24, Bytes(1 << 16)), StatusCode::kUnsupported),
              HasSubstr("pixels"));
  Bytes rle = MakeBmp(2, 2, 8, rows, Bytes(1024));
  rle[30] = 1;
  EXPECT_THAT(ErrorOf(rle, StatusCode::kUnsupported), HasSubstr("compression 1"));
  Bytes colors = MakeBmp(2, 2, 8, rows, Bytes(1024));
  colors[48] = 1;
  EXPECT_THAT(ErrorOf(colors, StatusCode::kCorrupt), HasSubstr("palette"));
}

TEST(ImageTest, DecodesPnms) {
  EXPECT_EQ(MustDecode(MakePnm("P6\n2 1\n255\n", {1, 2, 3, 4, 5, 6})).rgb,
            (Bytes{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(MustDecode(MakePnm("P5 # comment 7 7 7\n2\t1 255 ", {9, 8})).rgb,
            (Bytes{9, 9, 9, 8, 8, 8}));
  EXPECT_EQ(MustDecode(MakePnm("P5 3 1 15\n", {0, 15, 7})).rgb,
            (Bytes{0, 0, 0, 255, 255, 255, 119, 119, 119}));
  // As Pillow, which cuts wide grays off, and OpenCV, which takes the values as they are or their
  // upper halves.
  const struct {
    const char* header;
    Bytes values, pillow, opencv;
  } cases[] = {{"P5 3 1 65535\n", {0, 77, 0x01, 0, 0x80, 0xff}, {77, 255, 255}, {0, 1, 128}},
               {"P6 1 1 65535\n", {0, 77, 0x01, 0, 0x80, 0xff}, {0, 1, 128}, {0, 1, 128}},
               {"P6 1 1 1000\n", {0x01, 44, 0x01, 0xf4, 0x03, 0xe8}, {76, 128, 255}, {1, 1, 3}},
               {"P5 3 1 1000\n", {0x01, 44, 0, 1, 0, 0}, {255, 66, 0}, {1, 0, 0}},
               {"P5 3 1 100\n", {0, 50, 100}, {0, 128, 255}, {0, 50, 100}}};
  for (const auto& c : cases) {
    for (const bool pillow : {true, false}) {
      const auto image = DecodeImage(MakePnm(c.header, c.values), "test",
                                     DecodingOf(pillow ? Framework::kPillow : Framework::kOpencv));
      ASSERT_TRUE(image.ok()) << image.status().message();
      const bool gray = c.header[1] == '5';
      for (size_t i = 0; i < image->rgb.size(); ++i)
        EXPECT_EQ(image->rgb[i], (pillow ? c.pillow : c.opencv)[gray ? i / 3 : i]) << c.header << i;
    }
  }
  ExpectAllPrefixesFail(MakePnm("P6\n2 2\n255\n", Bytes(12, 5)));
  ExpectAllPrefixesFail(MakePnm("P5\n2 2\n999\n", Bytes(8, 1)));
}

TEST(ImageTest, RefusesOddPnms) {
  EXPECT_THAT(ErrorOf(MakePnm("P6 2 1 0\n", Bytes(6)), StatusCode::kCorrupt),
              HasSubstr("maximum value is 0"));
  EXPECT_THAT(ErrorOf(MakePnm("P6 2 1 65536\n", Bytes(12)), StatusCode::kCorrupt),
              HasSubstr("65536"));
  EXPECT_THAT(ErrorOf(MakePnm("P6 2 x 255\n", Bytes(6)), StatusCode::kCorrupt),
              HasSubstr("no number"));
  EXPECT_THAT(ErrorOf(MakePnm("P6 99999 99999 255\n", Bytes(6)), StatusCode::kUnsupported),
              HasSubstr("pixels"));
  EXPECT_THAT(ErrorOf(MakePnm("P6 99999999999 1 255\n", Bytes(6)), StatusCode::kCorrupt),
              HasSubstr("no number"));
  EXPECT_THAT(ErrorOf(MakePnm("P3 1 1 255\n1 2 3\n", {}), StatusCode::kUnsupported),
              HasSubstr("P5 and P6"));
}

TEST(ImageTest, NamesForeignFormats) {
  const auto error = [](std::string_view text) {
    return ErrorOf(ToBytes(text), StatusCode::kUnsupported);
  };
  EXPECT_THAT(error("GIF89a......"), HasSubstr("GIF"));
  EXPECT_THAT(error("8BPS........"), HasSubstr("Photoshop"));
  EXPECT_THAT(error("#?RADIANCE\n."), HasSubstr("HDR"));
  EXPECT_THAT(error("RIFF....WEBPVP8 "), HasSubstr("WebP"));
  EXPECT_THAT(error(std::string_view("II*\0....", 8)), HasSubstr("TIFF"));
  EXPECT_THAT(error("....ftypheic"), HasSubstr("HEIF"));
  EXPECT_THAT(error(""), HasSubstr("empty"));
  // The header of a true-colour Targa file, which has no magic number.
  EXPECT_THAT(error(std::string_view("\0\0\2\0\0\0\0\0\0\0\0\0\1\0\1\0\x18\0abc", 21)),
              HasSubstr("not an image"));
}

TEST(ImageTest, LoadsFiles) {
  const TempDir dir;
  WriteFile(dir / "a.png", MakeColorPng(2, 2, 9, 8, 7));
  const Result<DecodedImage> image = LoadImage(dir / "a.png");
  ASSERT_TRUE(image.ok()) << image.status().message();
  EXPECT_EQ(image->rgb[1], 8);
  EXPECT_EQ(LoadImage(dir / "missing.png").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(LoadImage(dir.path()).status().code(), StatusCode::kIo);
}

TEST(ImageTest, DecodesCifarFiles) {
  OCTET_REQUIRE_DATA();
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(DataDir() + "/cifar10/test/cat")) {
    const Result<DecodedImage> image = LoadImage(entry.path().string());
    ASSERT_TRUE(image.ok()) << image.status().message();
    EXPECT_EQ(image->width, 32);
    EXPECT_EQ(image->height, 32);
    ++files;
  }
  EXPECT_EQ(files, 100);
}

}  // namespace
}  // namespace octet
