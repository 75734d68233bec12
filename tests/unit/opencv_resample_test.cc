// Scaling must give OpenCV's bits.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "formats/data/crc32.h"
#include "tests/kernels/tested_tables.h"
#include "tests/unit/resample_test_util.h"
#include "tests/watched_allocations.h"

namespace octet {
namespace {

using testing::Noise;
using testing::Resample;
using testing::TestRows;

constexpr ResizeFilter kBilinear = ResizeFilter::kBilinear, kBicubic = ResizeFilter::kBicubic,
                       kArea = ResizeFilter::kArea;

/// What tests/data/pixels/make_opencv.py printed: of cv2.resize of noise the CRC-32 in uint8 and
/// five values, from the first to the last, in float32.
struct OpencvCase {
  int width, height, channels, out_width, out_height;
  ResizeFilter filter;
  uint32_t crc;
  float values[5];
};
// clang-format off
const OpencvCase kCases[] = {
    {13, 9, 3, 7, 5, kBilinear, 0xa94ec0d1u, {83.6285706, 128.685715, 53, 67.228569, 57.8285713}},
    {13, 9, 3, 7, 5, kBicubic, 0x0d829599u, {72.6875458, 126.990952, 53, 53.3642044, 54.6852303}},
    {13, 9, 3, 7, 5, kArea, 0x199499c2u, {84.8119659, 135.487198, 130.794876, 94.4786377, 59.897438}},
    {13, 9, 3, 20, 11, kBilinear, 0xa5996076u, {47, 67.0886307, 202.350006, 137.845459, 16}},
    {13, 9, 3, 20, 11, kBicubic, 0x6a2933e7u, {36.1121178, 44.1177559, 206.383759, 153.996826, 4.9776001}},
    {13, 9, 3, 20, 11, kArea, 0x9c73dc58u, {47, 62.7777786, 210.076935, 134.008545, 16}},
    {7, 5, 1, 7, 11, kBilinear, 0x32f78346u, {231, 67.1818161, 239, 107.63636, 29}},
    {7, 5, 1, 7, 11, kBicubic, 0x420132b1u, {241.602539, 67.9075851, 239, 108.740791, 21.3185577}},
    {7, 5, 1, 7, 11, kArea, 0x3c2bfe9au, {231, 77.0000076, 239, 129.400009, 29}},
    {7, 5, 1, 3, 5, kBilinear, 0xc94ef383u, {177.666672, 213.666672, 239, 15, 39.6666679}},
    {7, 5, 1, 3, 5, kBicubic, 0x8fb98aa2u, {174.074066, 215.79631, 239, 15, 20.8518524}},
    {7, 5, 1, 3, 5, kArea, 0x3ebe0c46u, {188.000015, 202.285721, 205.285721, 84.7142868, 62.7142868}},
    {13, 9, 1, 39, 4, kBilinear, 0x9ace024cu, {89.5, 88.125, 186.875, 204.125, 34.375}},
    {13, 9, 1, 39, 4, kBicubic, 0x4e30f313u, {92.7299271, 71.7323151, 191.699814, 222.962112, 28.0815964}},
    {13, 9, 1, 39, 4, kArea, 0x593f96cfu, {84.7777786, 80, 193.333328, 213.777771, 51.4444427}},
    {24, 18, 3, 24, 18, kBilinear, 0x755b7753u, {100, 31, 51, 160, 109}},
    {24, 18, 3, 24, 18, kBicubic, 0x755b7753u, {100, 31, 51, 160, 109}},
    {24, 18, 3, 24, 18, kArea, 0x755b7753u, {100, 31, 51, 160, 109}},
    {48, 36, 3, 24, 18, kBilinear, 0x02ac9735u, {120.25, 140.5, 85.75, 124.75, 55}},
    {48, 36, 3, 24, 18, kBicubic, 0x545287d4u, {108.800781, 150.932617, 73.5859375, 116.579102, 29.8193359}},
    {48, 36, 3, 24, 18, kArea, 0x02ac9735u, {120.25, 140.5, 85.75, 124.75, 55}},
    {48, 36, 1, 24, 18, kBilinear, 0x2bc2f11bu, {95.25, 175.5, 154.5, 184.5, 147.5}},
    {48, 36, 1, 24, 18, kBicubic, 0xfe957664u, {87.7294922, 202.042969, 153.169922, 205.50293, 153.78418}},
    {48, 36, 1, 24, 18, kArea, 0x2bc2f11bu, {95.25, 175.5, 154.5, 184.5, 147.5}},
    {48, 36, 3, 16, 9, kBilinear, 0xccfa1c6fu, {130, 111.5, 94.5, 112, 105}},
    {48, 36, 3, 16, 9, kBicubic, 0xff118a44u, {129.34375, 103.4375, 73.875, 125.59375, 95.625}},
    {48, 36, 3, 16, 9, kArea, 0x326e5eabu, {162.833344, 123.166672, 135.5, 129.916672, 107.75}},
    {50, 40, 1, 10, 20, kBilinear, 0x06c30b58u, {113, 238.5, 71.5, 170, 51.5}},
    {50, 40, 1, 10, 20, kBicubic, 0x0106da2bu, {110.9375, 266.53125, 52.9375, 183.40625, 52.71875}},
    {50, 40, 1, 10, 20, kArea, 0xac554ac4u, {93.5, 113.200005, 128.400009, 137.400009, 112.700005}},
    {97, 61, 3, 64, 48, kBilinear, 0x3ac4cc48u, {60.0139999, 204.325439, 80.7116699, 158.745117, 179.358719}},
    {97, 61, 3, 64, 48, kBicubic, 0xe6d715a6u, {53.03619, 208.223877, 72.3848953, 170.566757, 179.323563}},
    {97, 61, 3, 64, 48, kArea, 0x52ad797eu, {76.113739, 185.375519, 89.30336, 157.255707, 172.796524}},
    {64, 48, 1, 97, 61, kBilinear, 0x65450e08u, {166, 76.3333206, 173.25, 136.322586, 130}},
    {64, 48, 1, 97, 61, kBicubic, 0xf58dd71eu, {166.589127, 71.0222702, 175.640625, 142.807434, 117.95047}},
    {64, 48, 1, 97, 61, kArea, 0x91847515u, {166, 69.0625, 173.25, 122.1875, 130}},
    {31, 150, 3, 20, 8, kBilinear, 0x3bf66496u, {56.2249947, 101.418747, 133.862503, 139.800003, 193.118759}},
    {31, 150, 3, 20, 8, kBicubic, 0xe2ad6baeu, {42.2839737, 83.6810379, 137.481201, 148.01828, 204.624207}},
    {31, 150, 3, 20, 8, kArea, 0xaa470328u, {122.556557, 121.482582, 120.831833, 116.894203, 154.231827}},
    {3, 40, 3, 17, 23, kBilinear, 0x8467e548u, {192.304352, 160.722504, 136, 120.829926, 151.108688}},
    {3, 40, 3, 17, 23, kBicubic, 0xf528fe3fu, {211.585739, 167.354919, 143.3125, 110.57029, 169.497482}},
    {3, 40, 3, 17, 23, kArea, 0xd3595bf1u, {189.199997, 123.049995, 136, 142.5, 151.274994}},
    {40, 2, 1, 33, 9, kBilinear, 0x927ced34u, {53.257576, 143.148987, 139.25, 214.547974, 180.484848}},
    {40, 2, 1, 33, 9, kBicubic, 0x82dd5fdbu, {38.0486374, 156.858475, 140.046875, 231.979401, 176.67395}},
    {40, 2, 1, 33, 9, kArea, 0xb2f22932u, {61.875, 147.25, 139.25, 208.75, 172.349991}},
    {1, 1, 3, 4, 3, kBilinear, 0x7a367ad5u, {159, 26, 26, 26, 26}},
    {1, 1, 3, 4, 3, kBicubic, 0x7a367ad5u, {159, 26, 26, 26, 26}},
    {1, 1, 3, 4, 3, kArea, 0x7a367ad5u, {159, 26, 26, 26, 26}},
    {320, 240, 3, 160, 160, kBilinear, 0x1d365030u, {97.25, 114.375, 177.375, 113.25, 98.375}},
    {320, 240, 3, 160, 160, kBicubic, 0x3dbcee01u, {105.882324, 100.467407, 184.571411, 95.8033447, 79.2814941}},
    {320, 240, 3, 160, 160, kArea, 0xbb3e1cddu, {97.6666718, 106.333336, 178, 111.666672, 104.833336}},
    {333, 500, 3, 224, 224, kBilinear, 0xa59f846fu, {142.217758, 130.444046, 125.566917, 189.099991, 176.638138}},
    {333, 500, 3, 224, 224, kBicubic, 0x06da2fb9u, {143.814606, 137.544769, 117.457169, 210.724152, 174.485855}},
    {333, 500, 3, 224, 224, kArea, 0x66bf843eu, {131.968765, 117.901169, 140.638763, 170.564545, 171.666321}},
};
// clang-format on

ResizeTask Whole(int width, int height, int channels, int out_width, int out_height) {
  return {.in_width = width,
          .in_height = height,
          .channels = channels,
          .resized_width = out_width,
          .resized_height = out_height,
          .width = out_width,
          .height = out_height};
}

Resampling Rule(ResizeFilter filter, bool to_float) {
  return {.framework = Framework::kOpencv, .filter = filter, .to_float = to_float};
}

std::string Name(const ResizeTask& t, ResizeFilter filter) {
  return std::to_string(t.in_width) + "x" + std::to_string(t.in_height) + "x" +
         std::to_string(t.channels) + " to " + std::to_string(t.resized_width) + "x" +
         std::to_string(t.resized_height) + ", filter " + std::to_string(static_cast<int>(filter));
}

template <typename Test>
void ForTables(const Test& test) {
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    if (!testing::IsTested(info)) continue;
    SCOPED_TRACE(info.name);
    test(*info.table);
  }
}

TEST(OpencvResampleTest, GivesOpencvsBits) {
  testing::ExpectTestedTables();
  ForTables([](const kernels::KernelTable& table) {
    for (const OpencvCase& c : kCases) {
      const ResizeTask task = Whole(c.width, c.height, c.channels, c.out_width, c.out_height);
      SCOPED_TRACE(Name(task, c.filter));
      const std::vector<uint8_t> image = Noise(c.width, c.height, c.channels, false);
      EXPECT_EQ(Crc32(Resample<uint8_t>(Rule(c.filter, false), table, task, image)), c.crc);
      const std::vector<float> floats = Resample<float>(Rule(c.filter, true), table, task, image);
      for (size_t i = 0; i < 5; ++i)
        EXPECT_NEAR(floats[i * (floats.size() - 1) / 4], c.values[i], 255e-6);
    }
  });
}

// Without an instruction for it, a fused sum is made of doubles, whose own rounding must not show:
// sums on or very near a tie between two floats.
TEST(OpencvResampleTest, FusedSumsAreRoundedOnce) {
  ForTables([](const kernels::KernelTable& table) {
    std::mt19937 random(9);
    const std::vector<float> zeros(64);
    for (int i = 0; i < 2000; ++i) {
      const float weights[4] = {static_cast<float>(random() >> 8) / 16777216.0f, 1.0f, 0.0f, 0.0f};
      std::vector<float> a(64), c(64), expected(64), got(64);
      for (size_t j = 0; j < 64; ++j) {
        a[j] = static_cast<float>(random() >> 20);
        const double product = static_cast<double>(a[j]) * weights[0];
        const auto near = static_cast<float>(product * 3.1);
        const double tie = near + (std::nextafter(near, 1e30f) - static_cast<double>(near)) / 2;
        c[j] = static_cast<float>(tie - product);
        expected[j] = std::fma(a[j], weights[0], c[j]);
      }
      const float* rows[4] = {a.data(), c.data(), zeros.data(), zeros.data()};
      table.pixels->opencv.cubic_rows(rows, weights, 64, got.data());
      ASSERT_EQ(got, expected);
    }
  });
}

/// Tasks of every kind: shrinking, enlarging, by whole factors, of few pixels.
std::vector<ResizeTask> Tasks(int count) {
  std::mt19937 random(7);
  const auto up_to = [&](int most) {
    return 1 + static_cast<int>(random() % static_cast<unsigned>(most));
  };
  std::vector<ResizeTask> tasks;
  for (int i = 0; i < count; ++i) {
    ResizeTask t = Whole(up_to(60), up_to(60), i % 2 == 0 ? 3 : 1, up_to(60), up_to(60));
    if (i % 3 == 0) {
      t.in_width = up_to(4) * t.width;
      t.in_height = up_to(4) * t.height;
    }
    if (i % 5 == 0) t.in_height = up_to(5);
    tasks.push_back(t);
  }
  return tasks;
}

template <typename T>
void ExpectPartsOfOneWhole() {
  const kernels::KernelTable& reference = *kernels::AllTables().front().table;
  ASSERT_STREQ(reference.name, "reference");
  ForTables([&](const kernels::KernelTable& table) {
    std::mt19937 random(8);
    for (const ResizeTask& whole : Tasks(60)) {
      const std::vector<uint8_t> image =
          Noise(whole.in_width, whole.in_height, whole.channels, false);
      for (const ResizeFilter filter : {kBilinear, kBicubic, kArea}) {
        SCOPED_TRACE(Name(whole, filter));
        const Resampling rule = Rule(filter, sizeof(T) > 1);
        const std::vector<T> all = Resample<T>(rule, reference, whole, image);
        ASSERT_EQ(Resample<T>(rule, table, whole, image), all);
        ASSERT_EQ(Resample<T>(rule, table, whole, image, 1), all);
        ASSERT_EQ(Resample<T>(rule, table, whole, image, 7), all);
        ResizeTask part = whole;
        part.x = static_cast<int>(random() % static_cast<unsigned>(whole.width));
        part.y = static_cast<int>(random() % static_cast<unsigned>(whole.height));
        part.width = 1 + static_cast<int>(random() % static_cast<unsigned>(whole.width - part.x));
        part.height = 1 + static_cast<int>(random() % static_cast<unsigned>(whole.height - part.y));
        std::vector<T> cut;
        for (int64_t y = part.y; y < part.y + part.height; ++y) {
          const auto row = all.begin() + (y * whole.width + part.x) * whole.channels;
          cut.insert(cut.end(), row, row + int64_t{part.width} * part.channels);
        }
        ASSERT_EQ(Resample<T>(rule, table, part, image, 3), cut);
      }
    }
  });
}

TEST(OpencvResampleTest, BytesAreThoseOfTheWholeHoweverItIsCut) {
  ExpectPartsOfOneWhole<uint8_t>();
}
TEST(OpencvResampleTest, FloatsAreThoseOfTheWholeHoweverItIsCut) { ExpectPartsOfOneWhole<float>(); }

TEST(OpencvResampleTest, AsksForEachRowOnceAndInOrder) {
  const kernels::KernelTable& table = *kernels::AllTables().front().table;
  for (const ResizeTask& task : Tasks(60)) {
    const std::vector<uint8_t> image = Noise(task.in_width, task.in_height, task.channels, false);
    for (const bool to_float : {false, true}) {
      for (const ResizeFilter filter : {kBilinear, kBicubic, kArea}) {
        SCOPED_TRACE(Name(task, filter));
        const auto resampler = Resampler::Create(Rule(filter, to_float), table);
        resampler->Prepare(task);
        std::vector<uint8_t> scratch(static_cast<size_t>(resampler->ScratchBytes()) + 1);
        std::vector<float> out(static_cast<size_t>(task.width) * task.height * task.channels);
        TestRows rows(image, task.in_width, task.in_height, task.channels);
        resampler->Run(&rows, 0, task.height, scratch.data(), out.data());
        const std::vector<int>& asked = rows.asked();
        for (size_t i = 1; i < asked.size(); ++i) ASSERT_LT(asked[i - 1], asked[i]);
        const int taps = filter == kBicubic ? 4 : 2;
        EXPECT_TRUE(filter == kArea || static_cast<int>(asked.size()) <= taps * task.height);
      }
    }
  }
}

TEST(OpencvResampleTest, AllocatesOnceForASize) {
  const kernels::KernelTable& table = *kernels::AllTables().front().table;
  for (const ResizeTask& task : Tasks(20)) {
    for (const bool to_float : {false, true}) {
      for (const ResizeFilter filter : {kBilinear, kBicubic, kArea}) {
        SCOPED_TRACE(Name(task, filter));
        const auto resampler = Resampler::Create(Rule(filter, to_float), table);
        testing::largest_allocation = 0;
        resampler->Prepare(task);
        EXPECT_LE(static_cast<int64_t>(testing::largest_allocation), resampler->Bytes(task));
        ResizeTask other = task;
        std::swap(other.in_width, other.in_height);
        resampler->Prepare(other);
        const int64_t before = testing::num_allocations;
        resampler->Prepare(task);
        EXPECT_EQ(testing::num_allocations, before);
      }
    }
  }
}

}  // namespace
}  // namespace octet
