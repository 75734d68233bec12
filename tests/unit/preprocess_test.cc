// Resizing must give Pillow's bits: the training pipelines whose models come in here were made with
// it.
#include "engine/src/preprocess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "formats/base/macros.h"
#include "formats/data/crc32.h"
#include "formats/data/dataset.h"
#include "formats/data/npy.h"
#include "formats/model/preprocessing.h"
#include "kernels/dispatch.h"
#include "tests/data_dir.h"
#include "tests/pixel_noise.h"
#include "tests/watched_allocations.h"

namespace octet {
namespace {

using ::testing::HasSubstr;
using testing::PixelNoise;

constexpr ResizeFilter kBilinear = ResizeFilter::kBilinear, kBicubic = ResizeFilter::kBicubic;

// CRC-32 of the pixels of Pillow 12.3.0: Image.fromarray(noise) [.convert("L") for one output
// channel] .resize(size, filter), and for a centre crop torchvision's size and offset (the shorter
// side to `shorter`, the longer int()ed; offsets round()ed). Pillow 13 gives other bits for the two
// tall images, 31x1500 and 256x999, because it resizes them vertically first.
struct PillowCase {
  int width, height, channels, out_width, out_height, out_channels;
  ResizeFilter filter;
  int shorter;  // 0: stretch.
  uint32_t crc;
};
const PillowCase kPillowCases[] = {
    {13, 9, 3, 7, 5, 3, kBilinear, 0, 0x036435edu},
    {13, 9, 3, 20, 11, 3, kBilinear, 0, 0x31420172u},
    {7, 5, 1, 7, 11, 1, kBilinear, 0, 0x41de5dcdu},
    {7, 5, 1, 3, 5, 1, kBilinear, 0, 0xd6cddd34u},
    {1, 1, 3, 4, 3, 3, kBilinear, 0, 0x7a367ad5u},
    {3, 2, 3, 1, 1, 3, kBilinear, 0, 0x84d35807u},
    {320, 240, 3, 160, 160, 3, kBilinear, 0, 0xbd93d2cbu},
    {333, 500, 3, 160, 160, 3, kBilinear, 0, 0xf374d8c2u},
    {500, 333, 4, 224, 224, 3, kBilinear, 0, 0x456a47e7u},
    {1000, 31, 3, 64, 64, 3, kBilinear, 0, 0x2a746e53u},
    {31, 1500, 3, 20, 8, 3, kBilinear, 0, 0x2229c2feu},
    {64, 48, 4, 32, 32, 1, kBilinear, 0, 0x4563a0fau},
    {64, 48, 3, 33, 17, 1, kBilinear, 0, 0x98ada255u},
    {40, 30, 1, 17, 19, 3, kBilinear, 0, 0x0e0d86afu},
    {160, 160, 3, 160, 160, 3, kBilinear, 0, 0xaea58584u},
    {32, 32, 4, 32, 32, 3, kBilinear, 0, 0x83c4605fu},
    {32, 32, 3, 32, 64, 3, kBilinear, 0, 0x8fbe6830u},
    {32, 32, 3, 64, 32, 3, kBilinear, 0, 0xe7ab0633u},
    {320, 240, 3, 224, 224, 3, kBilinear, 256, 0x8a1cc4ffu},
    {240, 320, 3, 224, 224, 3, kBilinear, 256, 0xd1b0437fu},
    {101, 67, 3, 60, 60, 3, kBilinear, 64, 0xbee8e8cau},
    {67, 101, 1, 60, 56, 3, kBilinear, 64, 0x5557afb5u},
    {300, 256, 4, 224, 224, 3, kBilinear, 256, 0xdbd081dau},
    {256, 999, 3, 13, 31, 1, kBilinear, 32, 0x49799aa2u},
    {50, 50, 3, 96, 96, 3, kBilinear, 96, 0x62565b8au},
    {64, 77, 3, 61, 61, 3, kBilinear, 64, 0x3ec01eb5u},
    {13, 9, 3, 7, 5, 3, kBicubic, 0, 0x89fb30cdu},
    {13, 9, 3, 20, 11, 3, kBicubic, 0, 0xca45e72au},
    {7, 5, 1, 7, 11, 1, kBicubic, 0, 0xed60c100u},
    {7, 5, 1, 3, 5, 1, kBicubic, 0, 0xfe033efdu},
    {1, 1, 3, 4, 3, 3, kBicubic, 0, 0x7a367ad5u},
    {3, 2, 3, 1, 1, 3, kBicubic, 0, 0x245ec5dbu},
    {320, 240, 3, 160, 160, 3, kBicubic, 0, 0xb9b588b8u},
    {333, 500, 3, 160, 160, 3, kBicubic, 0, 0x69766caeu},
    {500, 333, 4, 224, 224, 3, kBicubic, 0, 0xd4322426u},
    {1000, 31, 3, 64, 64, 3, kBicubic, 0, 0x16a9f242u},
    {31, 1500, 3, 20, 8, 3, kBicubic, 0, 0xb6fd2e4bu},
    {64, 48, 4, 32, 32, 1, kBicubic, 0, 0x24a4c046u},
    {64, 48, 3, 33, 17, 1, kBicubic, 0, 0x9bc15ddau},
    {40, 30, 1, 17, 19, 3, kBicubic, 0, 0x7a9d6f75u},
    {160, 160, 3, 160, 160, 3, kBicubic, 0, 0xaea58584u},
    {32, 32, 4, 32, 32, 3, kBicubic, 0, 0x83c4605fu},
    {32, 32, 3, 32, 64, 3, kBicubic, 0, 0x7094390au},
    {32, 32, 3, 64, 32, 3, kBicubic, 0, 0x677d3ee5u},
    {320, 240, 3, 224, 224, 3, kBicubic, 256, 0xaf0dcd35u},
    {240, 320, 3, 224, 224, 3, kBicubic, 256, 0xe33f2227u},
    {101, 67, 3, 60, 60, 3, kBicubic, 64, 0xe1cc5e6au},
    {67, 101, 1, 60, 56, 3, kBicubic, 64, 0xa486f2f6u},
    {300, 256, 4, 224, 224, 3, kBicubic, 256, 0xdbd081dau},
    {256, 999, 3, 13, 31, 1, kBicubic, 32, 0xc2dd4f16u},
    {50, 50, 3, 96, 96, 3, kBicubic, 96, 0x35699c1bu},
    {64, 77, 3, 61, 61, 3, kBicubic, 64, 0x3ec01eb5u},
};

const kernels::KernelTable& Table() { return **kernels::SelectTable(""); }

PixelFormat FormatOf(int channels) {
  return channels == 4 ? PixelFormat::kRgba : FormatOfChannels(channels);
}

/// The pixels that a network of height x width x channels gets of an image.
Result<std::vector<uint8_t>> Resize(const Image& image, const Preprocessing& p, int height,
                                    int width, int channels) {
  Preprocessor preprocessor(p, height, width, channels, Table());
  OCTET_ASSIGN_OR_RETURN(const ResizedImage resized, preprocessor.Resize(image));
  return std::vector<uint8_t>(resized.pixels.begin(), resized.pixels.end());
}

Preprocessing RuleOf(const PillowCase& c) {
  Preprocessing p;
  p.resize = c.shorter != 0 ? ResizeRule::kCenterCrop : ResizeRule::kStretch;
  p.resize_shorter = c.shorter;
  p.resampling.filter = c.filter;
  return p;
}

TEST(PreprocessTest, ResizesLikePillow) {
  for (const PillowCase& c : kPillowCases) {
    SCOPED_TRACE(::testing::Message()
                 << c.width << "x" << c.height << "x" << c.channels << " to " << c.out_width << "x"
                 << c.out_height << "x" << c.out_channels << " shorter " << c.shorter
                 << (c.filter == kBicubic ? " bicubic" : " bilinear"));
    const std::vector<uint8_t> noise = PixelNoise(c.width, c.height, c.channels);
    const auto pixels = Resize({noise.data(), c.width, c.height, FormatOf(c.channels)}, RuleOf(c),
                               c.out_height, c.out_width, c.out_channels);
    ASSERT_TRUE(pixels.ok()) << pixels.status().message();
    ASSERT_EQ(pixels->size(), static_cast<size_t>(c.out_width) * c.out_height * c.out_channels);
    EXPECT_EQ(Crc32(*pixels), c.crc);
  }
}

TEST(PreprocessTest, HonoursRowStride) {
  for (const PillowCase& c : kPillowCases) {
    const std::vector<uint8_t> noise = PixelNoise(c.width, c.height, c.channels);
    const size_t row = static_cast<size_t>(c.width) * c.channels, stride = row + 5;
    std::vector<uint8_t> padded(stride * c.height, 0xee);
    for (int y = 0; y < c.height; ++y) std::copy_n(&noise[y * row], row, &padded[y * stride]);
    padded.resize(padded.size() - 5);  // The last row has no padding that could be read.
    padded.shrink_to_fit();
    const auto pixels = Resize(
        {padded.data(), c.width, c.height, FormatOf(c.channels), static_cast<int64_t>(stride)},
        RuleOf(c), c.out_height, c.out_width, c.out_channels);
    ASSERT_TRUE(pixels.ok());
    EXPECT_EQ(Crc32(*pixels), c.crc);
  }
}

// Of every size that was met, and whatever came between: frames of cameras, and photos in turn.
TEST(PreprocessTest, ASecondImageOfASizeAllocatesNothing) {
  const std::vector<uint8_t> noise = PixelNoise(3000, 40, 4);
  std::vector<float> floats(64 * 64 * 3);
  std::vector<uint8_t> bytes(64 * 64 * 3);
  for (const PillowCase& c : {PillowCase{3000, 40, 4, 64, 64, 3, kBicubic, 0, 0},
                              PillowCase{40, 3000, 4, 60, 64, 1, kBilinear, 0, 0},
                              PillowCase{100, 80, 3, 60, 60, 3, kBilinear, 64, 0},
                              PillowCase{64, 64, 1, 64, 64, 3, kBilinear, 0, 0}}) {
    for (const Framework framework :
         {Framework::kPillow, Framework::kTensorflow, Framework::kOpencv}) {
      Preprocessing p = RuleOf(c);
      p.resampling = ResamplingOf(framework);
      p.resampling.filter = c.filter;
      Preprocessor preprocessor(p, c.out_height, c.out_width, c.out_channels, Table());
      const Image image{noise.data(), c.width, c.height, FormatOf(c.channels)},
          other{noise.data(), c.height, c.width, FormatOf(c.channels)};
      int64_t allocations = 0;
      for (int round = 0; round < 2; ++round) {
        const int64_t before = testing::num_allocations;
        ASSERT_TRUE(preprocessor.ToFloat(image, floats.data()).ok());
        ASSERT_TRUE(preprocessor.ToU8(image, {0.5f, 3}, bytes.data()).ok());
        ASSERT_TRUE(preprocessor.ToFloat(other, floats.data()).ok());
        allocations = testing::num_allocations - before;
      }
      EXPECT_EQ(allocations, 0);
    }
  }
  EXPECT_EQ(testing::num_allocations > 0, testing::kWatchesAllocations);
}

TEST(PreprocessTest, SwapsChannelsForBgr) {
  const std::vector<uint8_t> noise = PixelNoise(20, 10, 3);
  for (const ResizeRule rule : {ResizeRule::kNone, ResizeRule::kStretch}) {
    const int side = rule == ResizeRule::kNone ? 0 : 3;
    Preprocessing p;
    p.resize = rule;
    const auto rgb = Resize({noise.data(), 20, 10, PixelFormat::kRgb}, p, 10 + side, 20 + side, 3);
    p.order = ChannelOrder::kBgr;
    const auto bgr = Resize({noise.data(), 20, 10, PixelFormat::kRgb}, p, 10 + side, 20 + side, 3);
    ASSERT_TRUE(rgb.ok() && bgr.ok());
    ASSERT_EQ(rgb->size(), bgr->size());
    for (size_t i = 0; i < rgb->size(); i += 3) {
      ASSERT_EQ((*rgb)[i], (*bgr)[i + 2]);
      ASSERT_EQ((*rgb)[i + 1], (*bgr)[i + 1]);
      ASSERT_EQ((*rgb)[i + 2], (*bgr)[i]);
    }
  }
}

// By rows, whatever the rule.
TEST(PreprocessTest, ThreadsGiveTheSameValues) {
  const std::vector<uint8_t> noise = PixelNoise(150, 120, 3);
  for (const Framework framework :
       {Framework::kPillow, Framework::kTensorflow, Framework::kOpencv}) {
    for (const ResizeFilter filter : {kBilinear, kBicubic, ResizeFilter::kNearest}) {
      for (const ResizeRule rule : {ResizeRule::kStretch, ResizeRule::kLetterbox}) {
        for (int rotation = 0; rotation < 2; ++rotation) {
          Preprocessing p;
          p.resize = rule;
          p.resampling = ResamplingOf(framework);
          p.resampling.filter = filter;
          Image image{noise.data(), 150, 120};
          image.rotation = rotation;
          std::vector<float> one(64 * 64 * 3), three(one.size());
          Workforce workforce(*ThreadPool::Create(3), {}, 3);
          Preprocessor alone(p, 64, 64, 3, Table()),
              shared(p, 64, 64, 3, Table(), int64_t{1} << 30, &workforce);
          ASSERT_TRUE(alone.ToFloat(image, one.data()).ok());
          ASSERT_TRUE(shared.ToFloat(image, three.data()).ok());
          EXPECT_EQ(one, three);
        }
      }
    }
  }
}

TEST(PreprocessTest, LongImagesNeedLittleMemory) {
  // The resized image would have 256 x 8388608 pixels; only the crop may be computed.
  const std::vector<uint8_t> noise = PixelNoise(1, 32768, 3);
  Preprocessing p;
  p.resize = ResizeRule::kCenterCrop;
  p.resize_shorter = 256;
  Preprocessor preprocessor(p, 224, 224, 3, Table(), int64_t{1} << 20);
  const auto resized = preprocessor.Resize({noise.data(), 1, 32768, PixelFormat::kRgb});
  ASSERT_TRUE(resized.ok()) << resized.status().message();
  EXPECT_EQ(resized->pixels.size(), 224u * 224 * 3);
}

TEST(PreprocessTest, RefusesWhatDoesNotFit) {
  const std::vector<uint8_t> noise = PixelNoise(20, 10, 4);
  const auto error = [&](const Image& image, const Preprocessing& p, int h, int w, int c) {
    const auto pixels = Resize(image, p, h, w, c);
    EXPECT_EQ(pixels.status().code(), StatusCode::kInvalidArgument);
    return pixels.status().message();
  };
  const Preprocessing stretch;
  Preprocessing none, crop, box;
  none.resize = ResizeRule::kNone;
  crop.resize = ResizeRule::kCenterCrop;
  box.resize = ResizeRule::kLetterbox;
  EXPECT_THAT(error({nullptr, 20, 10, PixelFormat::kRgb}, stretch, 8, 8, 3), HasSubstr("null"));
  EXPECT_THAT(error({noise.data(), 0, 10, PixelFormat::kRgb}, stretch, 8, 8, 3), HasSubstr("0x10"));
  EXPECT_THAT(error({noise.data(), 20, -1, PixelFormat::kRgb}, stretch, 8, 8, 3),
              HasSubstr("20x-1"));
  EXPECT_THAT(error({noise.data(), 40000, 1, PixelFormat::kRgb}, stretch, 8, 8, 3),
              HasSubstr("40000"));
  EXPECT_THAT(error({noise.data(), 20, 10, static_cast<PixelFormat>(9)}, stretch, 8, 8, 3),
              HasSubstr("format is 9"));
  EXPECT_THAT(error({noise.data(), 20, 10, PixelFormat::kRgb, 59}, stretch, 8, 8, 3),
              HasSubstr("row_stride"));
  EXPECT_THAT(error({noise.data(), 20, 10, PixelFormat::kRgb}, stretch, 8, 8, 4),
              HasSubstr("4 channels"));
  EXPECT_THAT(error({noise.data(), 20, 10, PixelFormat::kRgb}, none, 10, 19, 3),
              HasSubstr("19x10"));
  EXPECT_THAT(error({noise.data(), 200, 1, PixelFormat::kRgb}, box, 8, 8, 3),
              HasSubstr("leaves no pixel"));
  crop.resize_shorter = 7;
  EXPECT_THAT(error({noise.data(), 20, 10}, crop, 8, 8, 3), HasSubstr("resize_shorter"));
  crop.resize_shorter = 1 << 20;
  EXPECT_THAT(error({noise.data(), 20, 10}, crop, 8, 8, 3), HasSubstr("resize_shorter"));
}

TEST(PreprocessTest, NormalizesEveryValue) {
  Preprocessing p;
  p.scale = 1.0f / 255.0f;
  p.mean = {0.485f, 0.456f, 0.406f, 0};
  p.stddev = {0.229f, 0.224f, 0.225f, 1};
  std::vector<uint8_t> pixels(256 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i / 3);
  std::vector<float> values(pixels.size());
  NormalizeToFloat(p, {pixels, {}}, 3, values.data());
  const Quantization q{0.01865844801068306f, 114};
  std::vector<uint8_t> quantized(pixels.size());
  NormalizeToU8(p, q, {pixels, {}}, 3, quantized.data());
  for (size_t i = 0; i < pixels.size(); ++i) {
    // Each operation rounds to float32.
    volatile float step = static_cast<float>(pixels[i]) * p.scale;
    step = step - p.mean[i % 3];
    step = step / p.stddev[i % 3];
    EXPECT_EQ(values[i], step);
    const double exact =
        static_cast<double>(values[i]) / static_cast<double>(q.scale) + q.zero_point;
    EXPECT_NEAR(quantized[i], std::min(std::max(exact, 0.0), 255.0), 0.50001) << i;
  }
}

TEST(PreprocessTest, NormalizationToU8Saturates) {
  Preprocessing p;  // Pixels as they are.
  const std::vector<uint8_t> pixels = {0, 10, 127, 128, 255};
  std::vector<uint8_t> out(pixels.size());
  NormalizeToU8(p, {0.5f, 3}, {pixels, {}}, 1, out.data());
  EXPECT_EQ(out, (std::vector<uint8_t>{3, 23, 255, 255, 255}));
  NormalizeToU8(p, {1.0f, -10}, {pixels, {}}, 1, out.data());
  EXPECT_EQ(out, (std::vector<uint8_t>{0, 0, 117, 118, 245}));
  NormalizeToU8(p, {4.0f, 0}, {pixels, {}}, 1, out.data());  // 2.5 rounds to even.
  EXPECT_EQ(out, (std::vector<uint8_t>{0, 2, 32, 32, 64}));
}

// The whole way from the JPEG in the TFRecord; the arrays are Pillow's.
class FlowersTest : public ::testing::TestWithParam<const char*> {};

TEST_P(FlowersTest, DecodedAndResizedPhotosMatchPillows) {
#ifndef OCTET_HAVE_LIBJPEG
  GTEST_SKIP() << "built without libjpeg";
#endif
  OCTET_REQUIRE_DATA();
  OCTET_REQUIRE_MODELS();
  const std::string set = GetParam();
  auto dataset = OpenDataset(testing::DataDir() + "/flowers/" + set + ".tfrecord");
  ASSERT_TRUE(dataset.ok()) << dataset.status().message();
  const auto reference =
      NpyReader::Open(testing::ModelsDir() + "/flowers/" + set + "_images_160.npy");
  ASSERT_TRUE(reference.ok()) << reference.status().message();
  ASSERT_EQ((*dataset)->size(), reference->header().shape[0]);
  Preprocessor preprocessor(Preprocessing(), 160, 160, 3, Table());
  std::vector<uint8_t> expected(160 * 160 * 3);
  for (int64_t i = 0; i < (*dataset)->size(); ++i) {
    Sample sample;
    const auto more = (*dataset)->Next(&sample);
    ASSERT_TRUE(more.ok()) << more.status().message();
    ASSERT_TRUE(*more);
    const auto resized =
        preprocessor.Resize({sample.image.rgb.data(), sample.image.width, sample.image.height});
    ASSERT_TRUE(resized.ok());
    const std::span<const uint8_t> pixels = resized->pixels;
    ASSERT_TRUE(reference->Read(i * 160 * 160 * 3, 160 * 160 * 3, expected.data()).ok());
    EXPECT_TRUE(std::ranges::equal(pixels, expected)) << sample.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, FlowersTest, ::testing::Values("test", "validation"));

}  // namespace
}  // namespace octet
