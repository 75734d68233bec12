// Images in every format, turned, mirrored and cut out, against pixels that are looked up one by
// one.
#include "engine/src/pixels/pixel_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "formats/data/crc32.h"
#include "kernels/dispatch.h"
#include "kernels/tables.h"
#include "tests/watched_allocations.h"

namespace octet {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr PixelFormat kFormats[] = {PixelFormat::kRgb,  PixelFormat::kBgr,  PixelFormat::kRgba,
                                    PixelFormat::kBgra, PixelFormat::kGray, PixelFormat::kNv12,
                                    PixelFormat::kNv21, PixelFormat::kI420, PixelFormat::kYuyv};

/// An image with memory of its own, of which not one byte more than the format needs is there.
struct Photo {
  Image image;
  std::unique_ptr<uint8_t[]> planes[3];

  /// Strides are `padding` bytes larger than they need be; with `behind`, planes follow each other.
  Photo(std::mt19937* random, PixelFormat format, int width, int height, int padding, bool behind) {
    const int64_t half_w = (width + 1) / 2, half_h = (height + 1) / 2;
    int64_t row = width, chroma_row = 0, chroma_planes = 0;
    switch (format) {
      case PixelFormat::kRgb:
      case PixelFormat::kBgr:
        row = 3 * width;
        break;
      case PixelFormat::kRgba:
      case PixelFormat::kBgra:
        row = 4 * width;
        break;
      case PixelFormat::kGray:
        break;
      case PixelFormat::kNv12:
      case PixelFormat::kNv21:
        chroma_row = 2 * half_w;
        chroma_planes = 1;
        break;
      case PixelFormat::kI420:
        chroma_row = half_w;
        chroma_planes = 2;
        break;
      case PixelFormat::kYuyv:
        row = 2 * width;
        break;
    }
    image.width = width;
    image.height = height;
    image.format = format;
    const int64_t stride = row + padding;
    if (padding != 0) image.row_stride = stride;
    // The last row has no padding, unless planes follow.
    const auto bytes = [&](int64_t step, int64_t used, int64_t rows) {
      return step * (rows - 1) + used;
    };
    if (chroma_planes == 0 || !behind) {
      image.pixels = Fill(random, 0, bytes(stride, row, height));
      for (int i = 0; i < chroma_planes; ++i)
        image.chroma[i] = Fill(random, 1 + i, bytes(chroma_row + padding, chroma_row, half_h));
      if (chroma_planes != 0 && padding != 0) image.chroma_stride = chroma_row + padding;
      // Without padding the default: that of the rows.
      return;
    }
    const int64_t chroma_stride = chroma_planes == 1 ? stride + stride % 2 : (stride + 1) / 2;
    image.pixels = Fill(random, 0,
                        stride * height + chroma_stride * half_h * (chroma_planes - 1) +
                            bytes(chroma_stride, chroma_row, half_h));
  }

  uint8_t* Fill(std::mt19937* random, int plane, int64_t bytes) {
    planes[plane] = std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(bytes));
    std::generate_n(planes[plane].get(), bytes, [&] { return static_cast<uint8_t>((*random)()); });
    return planes[plane].get();
  }
};

using Rgb = std::array<int, 3>;

Rgb FromYuv(const Image& image, Framework framework, int y, int u, int v) {
  const auto byte = [](double value) {
    return static_cast<int>(std::clamp(std::floor(value), 0.0, 255.0));
  };
  u -= 128;
  v -= 128;
  const bool bt601 = image.matrix == YuvMatrix::kBt601, video = image.range == YuvRange::kVideo;
  if (framework == Framework::kOpencv && bt601 && video) {
    // modules/imgproc/src/color_yuv.simd.hpp.
    const double luma = 1220542.0 * std::max(y - 16, 0) + (1 << 19), unit = 1 << 20;
    return {byte((luma + 1673527.0 * v) / unit), byte((luma - 409993.0 * u - 852492.0 * v) / unit),
            byte((luma + 2116026.0 * u) / unit)};
  }
  // source/row_common.c: the coefficients in 64ths, rounded.
  const double luma = video ? std::floor(y * 257 * 18997.0 / 65536) - 1160
                            : std::floor(y * 257 * 16320.0 / 65536) + 32;
  const std::array<double, 4> c = bt601   ? video ? std::array<double, 4>{102, 25, 52, 128}
                                                  : std::array<double, 4>{90, 22, 46, 113}
                                    : video ? std::array<double, 4>{115, 14, 34, 128}
                                          : std::array<double, 4>{101, 12, 30, 119};
  return {byte((luma + c[0] * v) / 64), byte((luma - c[1] * u - c[2] * v) / 64),
          byte((luma + c[3] * u) / 64)};
}

/// Pixel (x, y) as stored.
Rgb At(const Image& image, Framework framework, int x, int y) {
  const int bytes = image.format == PixelFormat::kRgba || image.format == PixelFormat::kBgra ? 4
                    : image.format == PixelFormat::kRgb || image.format == PixelFormat::kBgr ? 3
                    : image.format == PixelFormat::kYuyv                                     ? 2
                                                                                             : 1;
  const int64_t stride = image.row_stride != 0 ? image.row_stride : int64_t{bytes} * image.width;
  const uint8_t* p = image.pixels + y * stride + int64_t{x} * bytes;
  const uint8_t* first = image.chroma[0] ? image.chroma[0] : image.pixels + stride * image.height;
  const int64_t pair_stride = image.chroma_stride != 0 ? image.chroma_stride : stride + stride % 2;
  const int64_t plane_stride = image.chroma_stride != 0 ? image.chroma_stride : (stride + 1) / 2;
  const uint8_t* second =
      image.chroma[1] ? image.chroma[1] : first + plane_stride * ((image.height + 1) / 2);
  const uint8_t* pair = first + y / 2 * pair_stride + x / 2 * 2;
  switch (image.format) {
    case PixelFormat::kRgb:
    case PixelFormat::kRgba:
      return {p[0], p[1], p[2]};
    case PixelFormat::kBgr:
    case PixelFormat::kBgra:
      return {p[2], p[1], p[0]};
    case PixelFormat::kGray:
      return {p[0], p[0], p[0]};
    case PixelFormat::kNv12:
      return FromYuv(image, framework, p[0], pair[0], pair[1]);
    case PixelFormat::kNv21:
      return FromYuv(image, framework, p[0], pair[1], pair[0]);
    case PixelFormat::kI420:
      return FromYuv(image, framework, p[0], first[y / 2 * plane_stride + x / 2],
                     second[y / 2 * plane_stride + x / 2]);
    case PixelFormat::kYuyv:
      p -= x % 2 * 2;
      return FromYuv(image, framework, p[x % 2 * 2], p[1], p[3]);
  }
  return {};
}

uint8_t GrayOf(const Rgb& c, Framework framework) {
  if (framework == Framework::kTensorflow) {
    float sum = 0;
    for (const auto& [i, weight] : {std::pair(0, 0.2989f), {1, 0.587f}, {2, 0.114f}})
      sum += static_cast<float>(c[i]) * (1.0f / 255.0f) * weight;
    return static_cast<uint8_t>(sum * 255.5f);
  }
  const int more = framework == Framework::kOpencv ? 1 : 0;
  return static_cast<uint8_t>(
      (c[0] * (19595 + more) + c[1] * 38470 + c[2] * (7471 - more) + 0x8000) / 65536);
}

/// The upright image, [height, width, channels].
std::vector<uint8_t> Expected(const Image& image, int channels, Framework framework) {
  Rectangle roi = image.roi;
  if (roi.width == 0) roi = {0, 0, image.width, image.height};
  const bool turned = image.rotation % 2 != 0;
  const int width = turned ? roi.height : roi.width, height = turned ? roi.width : roi.height;
  std::vector<uint8_t> all;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      int a = image.mirror ? width - 1 - x : x, b = y;
      int w = width;  // Of the image in which (a, b) is.
      for (int turn = 0; turn < image.rotation; ++turn) {
        // A quarter turn clockwise moved (i, j) of an image of height h to (h - 1 - j, i).
        const int i = b, j = w - 1 - a;
        w = w == width ? height : width;
        a = i;
        b = j;
      }
      const Rgb c = At(image, framework, roi.x + a, roi.y + b);
      if (image.format == PixelFormat::kGray) {
        all.push_back(static_cast<uint8_t>(c[0]));
      } else if (channels == 1) {
        all.push_back(GrayOf(c, framework));
      } else {
        for (int v : c) all.push_back(static_cast<uint8_t>(v));
      }
    }
  }
  return all;
}

/// Scratch memory of exactly the size that is asked for.
struct Scratch {
  explicit Scratch(const Image& image)
      : bytes(static_cast<size_t>(ImageRows::ScratchBytes(image))),
        data(static_cast<uint8_t*>(std::aligned_alloc(64, bytes))) {}
  ~Scratch() { std::free(data); }
  size_t bytes;
  uint8_t* data;
};

std::vector<kernels::TableInfo> Tables() {
  std::vector<kernels::TableInfo> tables = kernels::AllTables();
  std::erase_if(tables, [](const kernels::TableInfo& t) {
    return t.availability == kernels::Availability::kUnavailable;
  });
  return tables;
}

std::string TextOf(const Image& i) {
  return ::testing::PrintToString(static_cast<int>(i.format)) + ": " + std::to_string(i.width) +
         "x" + std::to_string(i.height) + " stride " + std::to_string(i.row_stride) + " roi " +
         std::to_string(i.roi.x) + "," + std::to_string(i.roi.y) + "," +
         std::to_string(i.roi.width) + "," + std::to_string(i.roi.height) + " rotation " +
         std::to_string(i.rotation) + (i.mirror ? " mirrored" : "");
}

void ExpectRows(const Image& image, int channels, Framework framework,
                const kernels::KernelTable& table) {
  SCOPED_TRACE(TextOf(image) + " by " + table.name);
  ASSERT_TRUE(CheckImage(image).ok()) << CheckImage(image).message();
  const std::vector<uint8_t> expected = Expected(image, channels, framework);
  const Scratch scratch(image);
  ImageRows rows(image, channels, framework, table.pixels->rows, scratch.data);
  const size_t bytes = static_cast<size_t>(rows.width()) * rows.channels();
  ASSERT_EQ(bytes * rows.height(), expected.size());
  ASSERT_EQ(rows.channels(), image.format == PixelFormat::kGray ? 1 : channels);
  EXPECT_EQ(rows.width(), UprightSize(image).width);
  EXPECT_EQ(rows.height(), UprightSize(image).height);
  volatile uint8_t behind = 0;  // For AddressSanitizer.
  const auto same = [&](int y) {
    const uint8_t* row = rows.Row(y);
    for (int i = 0; i < kPixelOverread; ++i) behind = row[bytes + i];
    return std::equal(row, row + bytes, &expected[bytes * y]);
  };
  for (int y = 0; y < rows.height(); ++y) ASSERT_TRUE(same(y)) << "row " << y;
  // In another order.
  for (int y = rows.height() - 1; y >= 0; y -= 7) ASSERT_TRUE(same(y)) << "row " << y;
  (void)behind;
}

TEST(ImageRowsTest, EveryFormatTurnedMirroredAndCut) {
  std::mt19937 random(1);
  const kernels::KernelTable& reference = kernels::kReferenceTable;
  for (const PixelFormat format : kFormats) {
    for (const auto& [width, height] :
         {std::pair{1, 1}, {2, 1}, {1, 2}, {7, 5}, {38, 21}, {70, 67}}) {
      if (format == PixelFormat::kYuyv && width % 2 != 0) continue;
      for (const int padding : {0, 1, 6}) {
        const Photo photo(&random, format, width, height, padding, padding != 6);
        for (int rotation = 0; rotation < 4; ++rotation) {
          for (const bool mirror : {false, true}) {
            for (const Rectangle& roi :
                 {Rectangle{}, Rectangle{width / 3, height / 2, (width + 1) / 2, height / 2},
                  Rectangle{1, 1, width - 1, height - 2}, Rectangle{width - 1, 0, 1, height}}) {
              const bool all = roi.x + roi.y + roi.width + roi.height == 0;
              if (!all && (roi.width < 1 || roi.height < 1)) continue;
              Image image = photo.image;
              image.rotation = rotation;
              image.mirror = mirror;
              image.roi = roi;
              ExpectRows(image, 3, Framework::kPillow, reference);
              ExpectRows(image, 1, Framework::kOpencv, reference);
              if (HasFatalFailure()) return;
            }
          }
        }
      }
    }
  }
}

TEST(ImageRowsTest, RandomImagesOnEveryInstructionSet) {
  std::mt19937 random(2);
  const std::vector<kernels::TableInfo> tables = Tables();
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (int n = 0; n < 3000; ++n) {
    const PixelFormat format = kFormats[below(std::size(kFormats))];
    const int width = 1 + below(n % 3 == 0 ? 8 : 150), height = 1 + below(n % 5 == 0 ? 8 : 90);
    const bool packed = format == PixelFormat::kYuyv;
    const Photo photo(&random, format, packed ? width + width % 2 : width, height,
                      below(2) == 0 ? 0 : below(70), below(2) == 0);
    Image image = photo.image;
    image.rotation = below(4);
    image.mirror = below(2) == 0;
    image.matrix = static_cast<YuvMatrix>(below(2));
    image.range = static_cast<YuvRange>(below(2));
    if (below(3) != 0) {
      image.roi.x = below(width);
      image.roi.y = below(height);
      image.roi.width = 1 + below(width - image.roi.x);
      image.roi.height = 1 + below(height - image.roi.y);
    }
    ExpectRows(image, below(4) == 0 ? 1 : 3, static_cast<Framework>(below(3)),
               *tables[static_cast<size_t>(n) % tables.size()].table);
    if (HasFatalFailure()) return;
  }
}

// Checksums of libyuv's and OpenCV's own results, by tests/data/pixels/yuv_crcs.py.
TEST(ImageRowsTest, YuvIsThatOfLibyuvAndOpencv) {
  struct Case {
    YuvMatrix matrix;
    YuvRange range;
    Framework framework;
    uint32_t crc;
  };
  constexpr YuvMatrix k601 = YuvMatrix::kBt601, k709 = YuvMatrix::kBt709;
  constexpr YuvRange kVideo = YuvRange::kVideo, kFull = YuvRange::kFull;
  const Case cases[] = {{k601, kVideo, Framework::kPillow, 0x8a2aaa43},
                        {k601, kVideo, Framework::kTensorflow, 0x8a2aaa43},
                        {k601, kVideo, Framework::kOpencv, 0xb19cc8b2},
                        {k601, kFull, Framework::kPillow, 0xb9e696b8},
                        {k601, kFull, Framework::kOpencv, 0xb9e696b8},
                        {k709, kVideo, Framework::kPillow, 0x4fc0d76e},
                        {k709, kVideo, Framework::kOpencv, 0x4fc0d76e},
                        {k709, kFull, Framework::kTensorflow, 0x9758d830}};
  constexpr int kStep = 3, kValues = 86;
  std::vector<uint8_t> luma(kValues);
  for (int i = 0; i < kValues; ++i) luma[i] = static_cast<uint8_t>(kStep * i);
  for (const kernels::TableInfo& table : Tables()) {
    for (const Case& c : cases) {
      SCOPED_TRACE(::testing::Message() << table.name << ", " << &c - cases);
      uint32_t crc = 0;
      for (int u = 0; u < 256; u += kStep) {
        for (int v = 0; v < 256; v += kStep) {
          std::array<uint8_t, kValues> pairs;
          for (int i = 0; i < kValues; i += 2) {
            pairs[i] = static_cast<uint8_t>(u);
            pairs[i + 1] = static_cast<uint8_t>(v);
          }
          Image image{luma.data(), kValues, 1, PixelFormat::kNv12};
          image.chroma[0] = pairs.data();
          image.matrix = c.matrix;
          image.range = c.range;
          alignas(64) uint8_t scratch[4096];
          ASSERT_LE(ImageRows::ScratchBytes(image), 4096);
          ImageRows rows(image, 3, c.framework, table.table->pixels->rows, scratch);
          crc = Crc32({rows.Row(0), kValues * 3}, crc);
        }
      }
      EXPECT_EQ(crc, c.crc);
    }
  }
}

// Checksums of the frameworks' own gray of every color, by tests/data/pixels/gray_crcs.py.
TEST(ImageRowsTest, GrayIsThatOfTheFrameworks) {
  std::vector<uint8_t> colors(3 * 256 * 128);
  for (const kernels::TableInfo& table : Tables()) {
    for (const auto& [framework, expected] : {std::pair(Framework::kPillow, 0x15a2d22cu),
                                              std::pair(Framework::kTensorflow, 0xfbcaa583u),
                                              std::pair(Framework::kOpencv, 0x11196465u)}) {
      uint32_t crc = 0;
      for (int half = 0; half < 512; ++half) {
        for (int i = 0; i < 256 * 128; ++i) {
          colors[3 * i] = static_cast<uint8_t>(half / 2);
          colors[3 * i + 1] = static_cast<uint8_t>(half % 2 * 128 + i / 256);
          colors[3 * i + 2] = static_cast<uint8_t>(i);
        }
        const Image image{colors.data(), 256 * 128, 1};
        const Scratch memory(image);
        ImageRows rows(image, 1, framework, table.table->pixels->rows, memory.data);
        crc = Crc32({rows.Row(0), 256 * 128}, crc);
      }
      EXPECT_EQ(crc, expected) << table.name << ", " << static_cast<int>(framework);
    }
  }
}

TEST(ImageRowsTest, RgbRowsAreTheImagesOwn) {
  std::mt19937 random(3);
  for (const PixelFormat format : {PixelFormat::kRgb, PixelFormat::kGray}) {
    const Photo photo(&random, format, 40, 30, 2, false);
    const int channels = format == PixelFormat::kRgb ? 3 : 1;
    Image image = photo.image;
    image.roi = {5, 1, 20, 29};
    const Scratch scratch(image);
    ImageRows rows(image, 3, Framework::kPillow, kernels::kReferenceTable.pixels->rows,
                   scratch.data);
    EXPECT_EQ(rows.Row(0), image.pixels + image.row_stride + 5 * channels);
    EXPECT_GE(rows.Row(28), scratch.data);  // A copy: there is nothing to read behind it.
  }
}

TEST(ImageRowsTest, AllocatesNothing) {
  std::mt19937 random(4);
  for (const PixelFormat format : kFormats) {
    for (int rotation = 0; rotation < 2; ++rotation) {
      const Photo photo(&random, format, 60, 50, 0, true);
      Image image = photo.image;
      image.rotation = rotation;
      const Scratch scratch(image);
      const int64_t before = testing::num_allocations;
      ASSERT_TRUE(CheckImage(image).ok());
      ImageRows rows(image, 3, Framework::kPillow, kernels::kReferenceTable.pixels->rows,
                     scratch.data);
      for (int y = 0; y < rows.height(); ++y) rows.Row(y);
      EXPECT_EQ(testing::num_allocations, before);
    }
  }
}

TEST(ImageRowsTest, MemoryIsThatOfABandAtMost) {
  const uint8_t pixel = 0;
  Image image{&pixel, 1920, 1080, PixelFormat::kNv12};
  EXPECT_LT(ImageRows::ScratchBytes(image), 48000);
  image.rotation = 1;
  EXPECT_LT(ImageRows::ScratchBytes(image), ImageRows::kBand * (1080 * 3 + 200) + 8192);
  image.roi = {0, 0, 1000, 10};
  EXPECT_LT(ImageRows::ScratchBytes(image), ImageRows::kBand * (10 * 3 + 200) + 8192);
}

TEST(CheckImageTest, RefusesWhatDoesNotFit) {
  const uint8_t pixels[1] = {};
  const auto error = [&](auto change) {
    Image image{pixels, 20, 10};
    change(&image);
    const Status status = CheckImage(image);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return status.message();
  };
  const auto with_format = [&](PixelFormat format, auto change) {
    return error([&](Image* i) {
      i->format = format;
      change(i);
    });
  };
  EXPECT_TRUE(CheckImage({pixels, 20, 10}).ok());
  EXPECT_TRUE(CheckImage({pixels, 32768, 32768}).ok());
  EXPECT_THAT(error([](Image* i) { i->pixels = nullptr; }), HasSubstr("at null"));
  EXPECT_THAT(error([](Image* i) { i->width = 0; }), HasSubstr("0x10"));
  EXPECT_THAT(error([](Image* i) { i->height = 32769; }), HasSubstr("20x32769"));
  EXPECT_EQ(error([](Image* i) { i->format = static_cast<PixelFormat>(9); }),
            "image: format is 9, expected 0 to 8");
  EXPECT_THAT(error([](Image* i) { i->format = static_cast<PixelFormat>(-1); }),
              HasSubstr("format is -1"));
  EXPECT_EQ(error([](Image* i) { i->row_stride = 59; }),
            "image: row_stride is 59, expected 60 to 4294967296");
  EXPECT_THAT(error([](Image* i) { i->row_stride = -60; }), HasSubstr("row_stride is -60"));
  EXPECT_THAT(error([](Image* i) { i->row_stride = int64_t{1} << 62; }), HasSubstr("row_stride"));
  EXPECT_THAT(error([](Image* i) { i->rotation = 4; }),
              HasSubstr("rotation is 4, expected 0 to 3"));
  EXPECT_THAT(error([](Image* i) { i->rotation = -1; }), HasSubstr("rotation is -1"));
  EXPECT_THAT(error([](Image* i) { i->matrix = static_cast<YuvMatrix>(2); }),
              HasSubstr("matrix is 2"));
  EXPECT_THAT(error([](Image* i) { i->range = static_cast<YuvRange>(3); }),
              HasSubstr("range is 3"));
  EXPECT_EQ(with_format(PixelFormat::kYuyv, [](Image* i) { i->width = 21; }),
            "image: width is 21, expected an even one, as YUYV pixels come in pairs");
  EXPECT_EQ(error([&](Image* i) { i->chroma[0] = pixels; }),
            "image: chroma[0] is given, expected null: RGB has 0 such planes");
  EXPECT_THAT(with_format(PixelFormat::kNv12, [&](Image* i) { i->chroma[1] = pixels; }),
              HasSubstr("chroma[1] is given, expected null: NV12 has 1"));
  EXPECT_THAT(with_format(PixelFormat::kI420, [&](Image* i) { i->chroma[1] = pixels; }),
              HasSubstr("chroma[0] is null"));
  EXPECT_THAT(error([](Image* i) { i->chroma_stride = 20; }), HasSubstr("chroma_stride is 20"));
  EXPECT_THAT(with_format(PixelFormat::kNv21, [](Image* i) { i->chroma_stride = 19; }),
              HasSubstr("chroma_stride is 19, expected 20"));
  EXPECT_THAT(with_format(PixelFormat::kI420, [](Image* i) { i->chroma_stride = 9; }),
              HasSubstr("chroma_stride is 9, expected 10"));
  for (const Rectangle& roi :
       {Rectangle{1, 0, 20, 10}, Rectangle{0, 1, 20, 10}, Rectangle{-1, 0, 5, 5},
        Rectangle{0, -1, 5, 5}, Rectangle{0, 0, 5, 0}, Rectangle{0, 0, 0, 5}, Rectangle{3, 0, 0, 0},
        Rectangle{0, 0, -5, 5}, Rectangle{2147483647, 0, 5, 5}, Rectangle{0, 0, 5, 2147483647},
        Rectangle{0, 0, 5, -2147483647 - 1}, Rectangle{20, 0, 1, 1}}) {
    EXPECT_THAT(error([&](Image* i) { i->roi = roi; }),
                AllOf(HasSubstr("roi is"), HasSubstr("expected a part of the 20x10 pixels")));
  }
}

}  // namespace
}  // namespace octet
