// Pools, elementwise operators, conversions and softmax of every instruction set against the
// reference, bit for bit (softmax against double precision). Views have halos and spare channels
// and end at a guard page; what a call may not write must be as it was, and what it may not read is
// filled with values that would show.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "formats/base/dtype.h"
#include "kernels/dispatch.h"
#include "kernels/tables.h"
#include "tests/kernels/guarded_buffer.h"
#include "tests/kernels/tested_tables.h"

namespace octet::kernels {
namespace {

using octet::testing::GuardedBuffer;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2654435761u + 1) {}
  uint32_t Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33);
  }
  uint8_t Byte() { return static_cast<uint8_t>(Next() >> 8); }
  float Float() { return (static_cast<float>(Next() % 20001) - 10000.0f) / 1000.0f; }

 private:
  uint64_t state_;
};

struct Geometry {
  int batch = 1, h = 1, w = 1, c = 1;
  int halo = 0;        ///< Pixels around each image.
  bool padded = true;  ///< Channels rounded up to 16.
};

/// A tensor whose last stored byte is followed by a guard page.
class Plane {
 public:
  /// i16 are two planes of bytes.
  Plane(const Geometry& g, int element, int planes = 1)
      : g_(g),
        element_(element),
        planes_(planes),
        stored_(g.padded ? (g.c + 15) / 16 * 16 : g.c),
        pixel_(static_cast<int64_t>(stored_) * element),
        row_(pixel_ * (g.w + 2 * g.halo)),
        plane_(row_ * (g.h + 2 * g.halo)),
        image_(plane_ * planes),
        buffer_(static_cast<size_t>(image_ * g.batch)) {
    view.data = buffer_.data() + g.halo * row_ + g.halo * pixel_;
    view.image_stride = image_;
    view.row_stride = row_;
    view.pixel_stride = pixel_;
    view.plane = planes == 1 ? 0 : plane_;
    view.h = g.h, view.w = g.w, view.c = g.c;
  }

  template <typename T, typename F>
  void FillPixels(F next) {
    for (int n = 0; n < g_.batch; ++n) {
      for (int y = 0; y < g_.h; ++y) {
        for (int x = 0; x < g_.w; ++x) {
          for (int p = 0; p < planes_; ++p) {
            for (int c = 0; c < stored_; ++c)
              reinterpret_cast<T*>(view.pixel(n, y, x) + p * plane_)[c] = next();
          }
        }
      }
    }
  }
  /// Every byte, halo included.
  template <typename T>
  void FillAll(T value) {
    for (size_t i = 0; i < buffer_.size() / sizeof(T); ++i) buffer_.as<T>()[i] = value;
  }

  /// Offsets of bytes a kernel may write in rows [begin, end) of the flattened [batch][h].
  std::vector<bool> Writable(int begin, int end) const {
    std::vector<bool> may(buffer_.size(), false);
    for (int row = begin; row < end; ++row) {
      for (int x = 0; x < g_.w; ++x) {
        const ptrdiff_t at = view.pixel(row / g_.h, row % g_.h, x) - buffer_.data();
        for (int p = 0; p < planes_; ++p) std::fill_n(may.begin() + at + p * plane_, pixel_, true);
      }
    }
    return may;
  }

  /// The real channels of the rows equal, all else that may not be written untouched.
  void ExpectEqual(const Plane& expected, const Plane& before, int begin, int end) const {
    const std::vector<bool> may = Writable(begin, end);
    for (size_t i = 0; i < buffer_.size(); ++i) {
      if (!may[i]) {
        ASSERT_EQ(buffer_.data()[i], before.buffer_.data()[i])
            << "byte " << i << " outside the rows was written";
      }
    }
    for (int row = begin; row < end; ++row) {
      const int n = row / g_.h, y = row % g_.h;
      for (int x = 0; x < g_.w; ++x) {
        for (int i = 0; i < planes_ * g_.c; ++i) {
          const int c = i % g_.c;
          const uint8_t* a = view.pixel(n, y, x) + c * element_ + i / g_.c * plane_;
          const uint8_t* b = expected.view.pixel(n, y, x) + c * element_ + i / g_.c * plane_;
          ASSERT_EQ(std::memcmp(a, b, static_cast<size_t>(element_)), 0)
              << "image " << n << " y " << y << " x " << x << " c " << c << ": " << Show(a)
              << ", expected " << Show(b);
        }
      }
    }
  }

  std::string Show(const uint8_t* p) const {
    if (element_ == 1) return std::to_string(*p);
    if (element_ == 2) return std::to_string(Bf16ToFloat(*reinterpret_cast<const uint16_t*>(p)));
    float v;
    std::memcpy(&v, p, 4);
    return std::to_string(v);
  }

  int rows() const { return g_.batch * g_.h; }
  int stored() const { return stored_; }

  ActivationView view;

 private:
  Geometry g_;
  int element_, planes_, stored_;
  int64_t pixel_, row_, plane_, image_;
  GuardedBuffer buffer_;
};

class OpsTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const TableInfo info = AllTables()[static_cast<size_t>(GetParam())];
    if (!octet::testing::IsTested(info)) GTEST_SKIP() << info.name << " does not run here";
    table_ = info.table;
  }
  const KernelTable* table_ = nullptr;
  const KernelTable& reference_ = kReferenceTable;
};

TEST(OpsKernels, InstructionSets) { octet::testing::ExpectTestedTables(); }

std::vector<int> TableIndices() {
  std::vector<int> all;
  // Who has a base differs in convolutions alone.
  const std::vector<TableInfo> tables = AllTables();
  for (size_t i = 0; i < tables.size(); ++i)
    if (tables[i].table == nullptr || tables[i].table->base == nullptr)
      all.push_back(static_cast<int>(i));
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, OpsTest, ::testing::ValuesIn(TableIndices()), [](const auto& p) {
  return std::string(AllTables()[static_cast<size_t>(p.param)].name);
});

struct PoolCase {
  int h, w, c, kernel_h, kernel_w, stride, top, left, bottom, right;
};

std::vector<PoolCase> PoolCases() {
  std::vector<PoolCase> cases = {
      {112, 112, 64, 3, 3, 2, 1, 1, 1, 1},  // ResNet's.
      {1, 1, 16, 3, 3, 2, 1, 1, 1, 1},     {2, 1, 17, 2, 2, 2, 1, 1, 0, 0},
      {5, 7, 130, 3, 3, 1, 2, 0, 0, 2},    {4, 9, 33, 2, 2, 1, 0, 1, 1, 0},
      {11, 6, 80, 5, 2, 3, 4, 1, 3, 0},    {7, 7, 64, 7, 7, 1, 0, 0, 0, 0},
      {6, 5, 3, 3, 3, 3, 0, 0, 0, 0},      {3, 3, 1, 1, 1, 1, 0, 0, 0, 0},
  };
  return cases;
}

template <typename T>
void CheckPool(PoolFn kernel, PoolFn expected_kernel, const PoolCase& p, int halo, bool padded,
               bool include_pad, int in_zero, int out_zero, float multiplier = 1.37f,
               float nudge = 0.0f, float pivot = 0.0f, int planes = 1, bool whole = false) {
  SCOPED_TRACE(::testing::Message()
               << p.h << "x" << p.w << "x" << p.c << " kernel " << p.kernel_h << "x" << p.kernel_w
               << " stride " << p.stride << " pads " << p.top << p.left << p.bottom << p.right
               << " halo " << halo << " padded " << padded << " zeros " << in_zero << ","
               << out_zero << " nudge " << nudge << " pivot " << pivot);
  const int batch = 2;
  Plane in({batch, p.h, p.w, p.c, halo, padded}, sizeof(T), planes);
  const int oh = (p.h + p.top + p.bottom - p.kernel_h) / p.stride + 1;
  const int ow = (p.w + p.left + p.right - p.kernel_w) / p.stride + 1;
  const Geometry og{batch, oh, ow, p.c, halo, padded};
  Plane out(og, sizeof(T), planes), expected(og, sizeof(T), planes), before(og, sizeof(T), planes);
  Random random(static_cast<uint64_t>(p.h * 131 + p.c));
  if constexpr (sizeof(T) == 1) {
    in.FillAll<T>(255);
    in.FillPixels<T>([&] { return random.Byte(); });
  } else if constexpr (sizeof(T) == 2) {
    in.FillAll<T>(FloatToBf16(1e30f));
    in.FillPixels<T>([&] { return FloatToBf16(random.Float()); });
  } else {
    in.FillAll<T>(1e30f);
    in.FillPixels<T>([&] { return random.Float(); });
  }
  PoolArgs args;
  args.whole = whole;
  args.input = in.view;
  args.kernel_h = p.kernel_h, args.kernel_w = p.kernel_w;
  args.stride_h = args.stride_w = p.stride;
  args.pad_top = p.top, args.pad_left = p.left;
  args.count_include_pad = include_pad;
  args.batch = batch;
  args.multiplier = multiplier;
  args.in_zero = in_zero, args.out_zero = out_zero;
  args.nudge = nudge, args.pivot = pivot;
  args.output = expected.view;
  expected_kernel(args, 0, expected.rows());
  args.output = out.view;
  const int split = out.rows() / 3;
  kernel(args, 0, split);
  out.ExpectEqual(expected, before, 0, split);
  kernel(args, split, out.rows());
  out.ExpectEqual(expected, before, 0, out.rows());
}

TEST_P(OpsTest, MaxPool) {
  for (const PoolCase& p : PoolCases()) {
    for (int halo : {0, 1}) {
      for (bool padded : {true, false}) {
        CheckPool<uint8_t>(table_->max_pool_u8, reference_.max_pool_u8, p, halo, padded, false, 0,
                           0);
        CheckPool<float>(table_->max_pool_f32, reference_.max_pool_f32, p, halo, padded, false, 0,
                         0);
        CheckPool<uint16_t>(table_->max_pool_bf16, reference_.max_pool_bf16, p, halo, padded, false,
                            0, 0);
      }
    }
  }
}

TEST_P(OpsTest, PoolsOfInt16) {
  for (const PoolCase& p : PoolCases()) {
    for (int halo : {0, 1}) {
      for (bool padded : {true, false}) {
        CheckPool<uint8_t>(table_->max_pool_i16, reference_.max_pool_i16, p, halo, padded, false, 0,
                           0, 1.37f, 0.0f, 0.0f, 2);
        for (float multiplier : {0.5f, 1.0f, 1.37f, 3e5f}) {
          CheckPool<uint8_t>(table_->average_pool_i16, reference_.average_pool_i16, p, halo, padded,
                             halo == 1, 0, 0, multiplier, 0.0f, 0.0f, 2);
        }
        CheckPool<uint8_t>(table_->average_pool_i16, reference_.average_pool_i16, p, halo, padded,
                           halo == 1, 0, 0, 1.0f, 0.0f, 0.0f, 2, true);
      }
    }
  }
  for (const auto& [h, w, c] : std::vector<std::tuple<int, int, int>>{
           {7, 7, 2048}, {1, 1, 16}, {3, 17, 40}, {300, 301, 5}}) {
    for (int fill : {-1, 0, 255}) {
      const Geometry og{2, 1, 1, c, 0, true};
      Plane in({2, h, w, c, 1, true}, 1, 2);
      Random random(static_cast<uint64_t>(c));
      in.FillPixels<uint8_t>([&] { return fill < 0 ? random.Byte() : static_cast<uint8_t>(fill); });
      for (float multiplier : {1.9f / static_cast<float>(h * w), 1.0f}) {
        bool whole = false;
        FixedMultiplier fixed;
        const auto check = [&](GlobalPoolFn kernel, GlobalPoolFn expected_kernel, int element,
                               int planes) {
          Plane out(og, element, planes), expected(og, element, planes),
              before(og, element, planes);
          PoolArgs args;
          args.input = in.view;
          args.batch = 2;
          args.multiplier = multiplier;
          args.whole = whole, args.fixed = fixed, args.i16_low = whole ? -32768.0f : -32767.0f;
          args.output = expected.view;
          expected_kernel(args, 0, 2);
          args.output = out.view;
          kernel(args, 1, 2);
          out.ExpectEqual(expected, before, 1, 2);
          kernel(args, 0, 2);
          out.ExpectEqual(expected, before, 0, 2);
        };
        check(table_->global_pool_i16_i16, reference_.global_pool_i16_i16, 1, 2);
        whole = true;
        check(table_->global_pool_i16_i16, reference_.global_pool_i16_i16, 1, 2);
        whole = false;
        fixed = {0x5a5a5a5a, static_cast<int>(std::log2(multiplier))};
        check(table_->global_pool_i16_i16, reference_.global_pool_i16_i16, 1, 2);
        check(table_->global_pool_i16_f32, reference_.global_pool_i16_f32, 4, 1);
      }
    }
  }
}

TEST_P(OpsTest, AveragePool) {
  for (const PoolCase& p : PoolCases()) {
    for (bool include_pad : {false, true}) {
      CheckPool<float>(table_->average_pool_f32, reference_.average_pool_f32, p, 1, true,
                       include_pad, 0, 0);
      CheckPool<uint16_t>(table_->average_pool_bf16, reference_.average_pool_bf16, p, 1, true,
                          include_pad, 0, 0);
      for (int in_zero : {0, 1, 128, 255}) {
        for (int out_zero : {0, 255, 7}) {
          CheckPool<uint8_t>(table_->average_pool_u8, reference_.average_pool_u8, p, 0,
                             in_zero != 1, include_pad, in_zero, out_zero);
        }
      }
    }
  }
}

TEST_P(OpsTest, AveragePoolRoundsHalvesAwayFromThePivot) {
  // Without the reference: windows of two pixels q and q + 1, whose mean ends in a half, and q and
  // q + 2, whose mean is whole.
  Plane in({1, 1, 4, 256, 0, true}, 1), out({1, 1, 2, 256, 0, true}, 1);
  int next = 0;
  in.FillPixels<uint8_t>([&] {
    const int x = next / 256, c = next % 256;
    ++next;
    return static_cast<uint8_t>(std::min(255, c + (x == 1 ? 1 : x == 3 ? 2 : 0)));
  });
  for (int zero : {0, 100, 128, 255}) {
    PoolArgs args;
    args.input = in.view, args.output = out.view;
    args.kernel_w = args.stride_w = 2;
    args.in_zero = args.out_zero = zero;
    args.nudge = 0x1p-13f;
    args.pivot = static_cast<float>(128 - zero);
    table_->average_pool_u8(args, 0, 1);
    for (int c = 0; c < 254; ++c) {
      ASSERT_EQ(out.view.data[c], c < 128 ? c : c + 1) << "zero " << zero << " half above " << c;
      ASSERT_EQ(out.view.data[256 + c], c + 1) << "zero " << zero;
    }
  }
}

TEST_P(OpsTest, PoolsWithANudge) {
  // Multipliers that make many halves, and nudges that decide them and more.
  for (const PoolCase& p : PoolCases()) {
    for (float nudge : {0x1p-13f, 0x1p-6f, 0.25f}) {
      for (const auto& [in_zero, out_zero] : {std::pair<int, int>{0, 0}, {128, 7}, {3, 255}}) {
        for (float pivot : {0.0f, static_cast<float>(128 - out_zero)}) {
          CheckPool<uint8_t>(table_->average_pool_u8, reference_.average_pool_u8, p, 0,
                             in_zero != 3, false, in_zero, out_zero, in_zero == 0 ? 0.5f : 1.0f,
                             nudge, pivot);
        }
      }
    }
  }
  for (const auto& [h, w, c] :
       std::vector<std::tuple<int, int, int>>{{7, 7, 2048}, {2, 1, 16}, {5, 8, 64}, {1, 4, 130}}) {
    const Geometry og{2, 1, 1, c, 0, true};
    Plane in({2, h, w, c, 1, true}, 1), out(og, 1), expected(og, 1), plain(og, 1), before(og, 1);
    Random random(static_cast<uint64_t>(c));
    in.FillAll<uint8_t>(255);
    in.FillPixels<uint8_t>([&] { return random.Byte(); });
    PoolArgs args;
    args.input = in.view;
    args.batch = 2;
    args.multiplier = 1.0f / static_cast<float>(h * w);
    args.in_zero = 128, args.out_zero = 128;
    args.output = plain.view;
    reference_.global_pool_u8_u8(args, 0, 2);
    args.nudge = 0.25f;
    args.output = expected.view;
    reference_.global_pool_u8_u8(args, 0, 2);
    args.output = out.view;
    table_->global_pool_u8_u8(args, 0, 2);
    out.ExpectEqual(expected, before, 0, 2);
    EXPECT_NE(std::memcmp(expected.view.data, plain.view.data, static_cast<size_t>(c)), 0)
        << "the nudge changed nothing";
    // TFLite's MEAN: exact halves of what was rounded once, and beyond both ends.
    for (const FixedMultiplier fixed :
         {FixedMultiplier{1 << 30, -1}, FixedMultiplier{1 << 30, -4},
          FixedMultiplier{0x51eb851f, -6}, FixedMultiplier{0x7fffffff, 3}}) {
      args.nudge = 0.0f;
      args.fixed = fixed;
      args.output = expected.view;
      reference_.global_pool_u8_u8(args, 0, 2);
      args.output = out.view;
      table_->global_pool_u8_u8(args, 0, 2);
      out.ExpectEqual(expected, before, 0, 2);
    }
  }
}

TEST_P(OpsTest, GlobalPool) {
  for (const auto& [rows, columns, c] : std::vector<std::tuple<int, int, int>>{{7, 7, 2048},
                                                                               {1, 1, 16},
                                                                               {5, 8, 64},
                                                                               {3, 17, 40},
                                                                               {8, 8, 5},
                                                                               {1, 9, 130},
                                                                               {40, 33, 17}}) {
    const int h = rows, w = columns;  // A lambda may not capture a binding.
    for (int zero : {0, 1, 128, 255}) {
      for (int fill : {-1, 0, 255}) {
        for (bool padded : {true, false}) {
          SCOPED_TRACE(::testing::Message()
                       << h << "x" << w << "x" << c << " zero " << zero << " fill " << fill);
          const int batch = 3;
          Random random(static_cast<uint64_t>(c));
          Plane u8({batch, h, w, c, 1, padded}, 1), f32({batch, h, w, c, 1, padded}, 4),
              bf16({batch, h, w, c, 1, padded}, 2);
          u8.FillAll<uint8_t>(255);
          f32.FillAll<float>(kNan);
          u8.FillPixels<uint8_t>(
              [&] { return fill < 0 ? random.Byte() : static_cast<uint8_t>(fill); });
          f32.FillPixels<float>([&] { return random.Float(); });
          bf16.FillAll<uint16_t>(FloatToBf16(kNan));
          bf16.FillPixels<uint16_t>([&] { return FloatToBf16(random.Float()); });
          const Geometry og{batch, 1, 1, c, 0, padded};
          const auto check = [&](GlobalPoolFn kernel, GlobalPoolFn expected_kernel, const Plane& in,
                                 int element) {
            Plane out(og, element), expected(og, element), before(og, element);
            PoolArgs args;
            args.input = in.view;
            args.batch = batch;
            args.multiplier = 1.9f / static_cast<float>(h * w);
            args.in_zero = zero, args.out_zero = 255 - zero;
            args.output = expected.view;
            expected_kernel(args, 0, batch);
            args.output = out.view;
            kernel(args, 1, 2);
            out.ExpectEqual(expected, before, 1, 2);
            kernel(args, 0, batch);
            out.ExpectEqual(expected, before, 0, batch);
          };
          check(table_->global_pool_u8_u8, reference_.global_pool_u8_u8, u8, 1);
          check(table_->global_pool_u8_f32, reference_.global_pool_u8_f32, u8, 4);
          check(table_->global_pool_f32, reference_.global_pool_f32, f32, 4);
          check(table_->global_pool_bf16_bf16, reference_.global_pool_bf16_bf16, bf16, 2);
          check(table_->global_pool_bf16_f32, reference_.global_pool_bf16_f32, bf16, 4);
        }
      }
    }
  }
}

TEST_P(OpsTest, GlobalPoolKnownMean) {
  // Independent of the reference: the mean of a constant is that constant, for every value.
  Plane in({1, 6, 9, 256, 0, true}, 1), out({1, 1, 1, 256, 0, true}, 1);
  int next = 0;
  in.FillPixels<uint8_t>(
      [&] { return static_cast<uint8_t>(next++); });  // Channel c holds c everywhere.
  PoolArgs args;
  args.input = in.view;
  args.output = out.view;
  args.multiplier = 1.0f / 54.0f;
  args.in_zero = args.out_zero = 100;
  table_->global_pool_u8_u8(args, 0, 1);
  for (int c = 0; c < 256; ++c) ASSERT_EQ(out.view.data[c], c);
}

/// Runs an elementwise kernel and its reference on the same operands in two parts.
void CheckEltwise(EltwiseFn kernel, EltwiseFn expected_kernel, const EltwiseArgs& operands,
                  const Geometry& og, int element, int planes = 1) {
  Plane out(og, element, planes), expected(og, element, planes), before(og, element, planes);
  EltwiseArgs args = operands;
  args.batch = og.batch;
  args.output = expected.view;
  expected_kernel(args, 0, expected.rows());
  args.output = out.view;
  const int split = out.rows() / 2;
  kernel(args, 0, split);
  out.ExpectEqual(expected, before, 0, split);
  kernel(args, split, out.rows());
  out.ExpectEqual(expected, before, 0, out.rows());
}

TEST_P(OpsTest, Int16HoldsEveryNumber) {
  // Without the reference: 0 to 65535 less 32768 through a plane of each byte and back.
  const Geometry g{1, 16, 64, 64, 0, true};
  Plane codes(g, 1, 2), floats(g, 4);
  int next = 0;
  floats.FillPixels<float>([&] { return static_cast<float>(next++ - 32768); });
  EltwiseArgs args;
  args.a = floats.view, args.output = codes.view;
  args.count = 64;
  args.low = -32768.0f, args.high = 32767.0f;
  table_->quantize_i16(args, 0, 16);
  for (int i = 0; i < 65536; ++i) {
    const uint8_t* p = codes.view.data + i;
    ASSERT_EQ(256 * p[0] + p[codes.view.plane], i);
  }
  floats.FillPixels<float>([] { return 0.0f; });
  args.a = codes.view, args.output = floats.view;
  table_->dequantize_i16(args, 0, 16);
  for (int i = 0; i < 65536; ++i)
    ASSERT_EQ(reinterpret_cast<const float*>(floats.view.data)[i], static_cast<float>(i - 32768));
}

TEST_P(OpsTest, EltwiseOfInt16) {
  for (const auto& [c, halo, padded] : std::vector<std::tuple<int, int, bool>>{
           {64, 0, true}, {16, 1, true}, {67, 1, true}, {3, 0, false}}) {
    const Geometry g{2, 9, 13, c, halo, padded};
    Plane a(g, 1, 2), b(g, 1, 2), u8(g, 1), f32(g, 4);
    Random random(static_cast<uint64_t>(c));
    for (Plane* p : {&a, &b, &u8}) p->FillPixels<uint8_t>([&] { return random.Byte(); });
    f32.FillPixels<float>([&] { return random.Next() % 50 == 0 ? kNan : random.Float(); });
    std::vector<float> scale, shift;
    for (int i = 0; i < a.stored(); ++i) {
      scale.push_back(random.Float() / 5.0f);
      shift.push_back(random.Float() * 1000.0f);
    }
    for (const auto& [low, high] :
         std::vector<std::pair<float, float>>{{-32767, 32767}, {0, 32767}, {0, 1200}}) {
      for (float multiplier : {0.5f, 1.0f, 0.7f, 1e9f}) {
        EltwiseArgs args;
        args.count = padded ? a.stored() : c;
        args.a = a.view, args.b = b.view;
        args.a_multiplier = multiplier, args.b_multiplier = 0.25f;
        args.low = low, args.high = high;
        CheckEltwise(table_->add_i16, reference_.add_i16, args, g, 1, 2);
        CheckEltwise(table_->scale_shift_i16, reference_.scale_shift_i16, args, g, 1, 2);
        CheckEltwise(table_->dequantize_i16, reference_.dequantize_i16, args, g, 4);
        args.a_multiplier = multiplier / 32768.0f;
        CheckEltwise(table_->mul_i16, reference_.mul_i16, args, g, 1, 2);
        args.a_multiplier = multiplier;
        args.scale = scale.data(), args.shift = shift.data();
        CheckEltwise(table_->scale_shift_i16, reference_.scale_shift_i16, args, g, 1, 2);
        args.a = f32.view;
        args.a_multiplier = multiplier * 1000.0f;
        CheckEltwise(table_->quantize_i16, reference_.quantize_i16, args, g, 1, 2);
        args.scale = args.shift = nullptr;
        CheckEltwise(table_->quantize_i16, reference_.quantize_i16, args, g, 1, 2);
        args.a = u8.view;
        args.a_zero = 100;
        CheckEltwise(table_->requantize_u8_i16, reference_.requantize_u8_i16, args, g, 1, 2);
        args.a = a.view;
        args.a_zero = 0, args.out_zero = 28;
        args.low = -28.0f, args.high = 227.0f;
        args.a_multiplier = multiplier / 300.0f;
        CheckEltwise(table_->requantize_i16_u8, reference_.requantize_i16_u8, args, g, 1);
      }
    }
  }
}

FixedMultiplier FixedOf(double real) {
  FixedMultiplier m;
  m.q = static_cast<int32_t>(std::frexp(real, &m.shift) * 0x1p31);
  return m;
}

TEST_P(OpsTest, FixedPointOfInt16) {
  for (const auto& [c, halo, padded] : std::vector<std::tuple<int, int, bool>>{
           {64, 0, true}, {16, 1, true}, {67, 1, true}, {3, 0, false}}) {
    const Geometry g{2, 9, 13, c, halo, padded};
    Plane a(g, 1, 2), b(g, 1, 2), u8(g, 1), f32(g, 4);
    Random random(static_cast<uint64_t>(c));
    for (Plane* p : {&a, &b, &u8}) p->FillPixels<uint8_t>([&] { return random.Byte(); });
    f32.FillPixels<float>([&] { return random.Next() % 50 == 0 ? kNan : random.Float(); });
    std::vector<int32_t> factors, terms;
    for (int i = 0; i < a.stored(); ++i) {
      factors.push_back(static_cast<int32_t>(random.Next() % 65537) - 32768);
      terms.push_back(static_cast<int32_t>(random.Next() % (1 << 30)) - (1 << 29));
    }
    for (const auto& [low, high] :
         std::vector<std::pair<float, float>>{{-32768, 32767}, {0, 32767}, {0, 1200}}) {
      // Steps of the result; of powers of two many sums lie half-way between two.
      for (const double y : {1.0, 0.5, 0.7, 1.3, 0.0003, 4.0}) {
        EltwiseArgs args;
        args.count = padded ? a.stored() : c;
        args.a = a.view, args.b = b.view;
        args.low = low, args.high = high;
        args.a_fixed = FixedOf(0.5), args.b_fixed = FixedOf(0.31);
        args.fixed = FixedOf(2.0 / (0x1p15 * y));
        args.a_real = 1.0 / y, args.b_real = 0.62 / y;
        args.fixed_margin = static_cast<float>(
            std::min(0.5, 6.0 / (0x1p15 * y) + 0x1p-14 * (args.a_real + args.b_real) + 0x1p-20));
        CheckEltwise(table_->add_i16, reference_.add_i16, args, g, 1, 2);
        args.fixed = FixedOf(0x1p-14 / y);
        args.a_real = std::ldexp(args.fixed.q, args.fixed.shift - 31);
        args.fixed_margin = std::min(0.5f, std::ldexp(1.0f, args.fixed.shift - 1) + 0x1p-20f);
        CheckEltwise(table_->mul_i16, reference_.mul_i16, args, g, 1, 2);
        args.factors = factors.data();
        CheckEltwise(table_->scale_shift_i16, reference_.scale_shift_i16, args, g, 1, 2);
        args.factors = nullptr, args.terms = terms.data();
        args.fixed = FixedOf(2.0 / (0x1p15 * y));
        CheckEltwise(table_->scale_shift_i16, reference_.scale_shift_i16, args, g, 1, 2);
        args.terms = nullptr;
        args.fixed = FixedOf(1.0 / y);
        CheckEltwise(table_->scale_shift_i16, reference_.scale_shift_i16, args, g, 1, 2);
        args.a = f32.view;
        args.a_multiplier = static_cast<float>(y / 2000.0);
        CheckEltwise(table_->quantize_tflite_i16, reference_.quantize_tflite_i16, args, g, 1, 2);
        args.a = u8.view;
        args.a_zero = 100;
        CheckEltwise(table_->requantize_u8_i16, reference_.requantize_u8_i16, args, g, 1, 2);
        args.a = a.view;
        args.a_zero = 0, args.out_zero = 28;
        args.low = -28.0f, args.high = 227.0f;
        args.fixed = FixedOf(1.0 / (300.0 * y));
        CheckEltwise(table_->requantize_i16_u8, reference_.requantize_i16_u8, args, g, 1);
      }
    }
  }
}

TEST_P(OpsTest, AddU8AllPairs) {
  // Row y holds a = y against every b, in 256 = 16 pixels x 16 channels.
  for (int halo : {0, 1}) {
    const Geometry g{1, 256, 16, 16, halo, true};
    Plane a(g, 1), b(g, 1);
    int next = 0;
    a.FillPixels<uint8_t>([&] { return static_cast<uint8_t>(next++ / 256); });
    next = 0;
    b.FillPixels<uint8_t>([&] { return static_cast<uint8_t>(next++); });
    for (int a_zero : {0, 1, 128, 255}) {
      for (int b_zero : {0, 128}) {
        for (int out_zero : {0, 1, 128, 255}) {
          EltwiseArgs args;
          args.a = a.view, args.b = b.view;
          args.count = 16;
          args.a_zero = a_zero, args.b_zero = b_zero, args.out_zero = out_zero;
          // The first pair makes ties; the others saturate on both sides.
          for (const auto& [am, bm] :
               {std::pair<float, float>{0.5f, 0.25f}, {1.0f, 1.3f}, {0.003f, 7.7f}}) {
            args.a_multiplier = am, args.b_multiplier = bm;
            for (bool relu : {false, true}) {
              args.low = relu ? 0.0f : static_cast<float>(-out_zero);
              args.high = static_cast<float>(255 - out_zero);
              ASSERT_NO_FATAL_FAILURE(CheckEltwise(table_->add_u8, reference_.add_u8, args, g, 1))
                  << "zeros " << a_zero << " " << b_zero << " " << out_zero << " multipliers " << am
                  << " " << bm;
            }
          }
        }
      }
    }
  }
}

TEST_P(OpsTest, AddU8KnownSums) {
  // Without the reference: q = a + b - 100, saturated.
  const Geometry g{1, 256, 16, 16, 0, true};
  Plane a(g, 1), b(g, 1), out(g, 1);
  int next = 0;
  a.FillPixels<uint8_t>([&] { return static_cast<uint8_t>(next++ / 256); });
  next = 0;
  b.FillPixels<uint8_t>([&] { return static_cast<uint8_t>(next++); });
  EltwiseArgs args;
  args.a = a.view, args.b = b.view, args.output = out.view;
  args.count = 16;
  args.a_zero = args.b_zero = args.out_zero = 100;
  args.low = -100.0f, args.high = 155.0f;
  table_->add_u8(args, 0, 256);
  for (int i = 0; i < 65536; ++i) {
    ASSERT_EQ(out.view.data[i], std::clamp(i / 256 + i % 256 - 100, 0, 255))
        << i / 256 << " + " << i % 256;
  }
}

TEST_P(OpsTest, AddU8InFixedPoint) {
  // Every pair of bytes. The ratios make sums that are halves, or a hair beside them on both sides,
  // where floats cannot tell.
  const Geometry g{1, 256, 16, 16, 0, true};
  Plane a(g, 1), b(g, 1);
  int next = 0;
  a.FillPixels<uint8_t>([&] { return static_cast<uint8_t>(next++ / 256); });
  next = 0;
  b.FillPixels<uint8_t>([&] { return static_cast<uint8_t>(next++); });
  std::vector<int32_t> fixed_a(256), fixed_b(256);
  for (const auto& [am, bm] : {std::pair<double, double>{0.5, 0.25},
                               {97.0 / 108 + 1.1e-8, 1.0},
                               {1.0, 97.0 / 108 - 1.1e-8},
                               {1.0 / 3, 0.1}}) {
    for (const auto& [a_zero, b_zero, out_zero] :
         std::vector<std::tuple<int, int, int>>{{0, 0, 0}, {10, 22, 22}, {255, 128, 7}}) {
      // Terms of 2^-20 of twice the larger operand, as TFLite's.
      const double larger = 2.0 * std::max(am, bm);
      for (int q = 0; q < 256; ++q) {
        fixed_a[static_cast<size_t>(q)] =
            static_cast<int32_t>(std::llround((q - a_zero) * am / larger * 0x1p20));
        fixed_b[static_cast<size_t>(q)] =
            static_cast<int32_t>(std::llround((q - b_zero) * bm / larger * 0x1p20));
      }
      EltwiseArgs args;
      args.a = a.view, args.b = b.view;
      args.count = 16;
      args.a_multiplier = static_cast<float>(am), args.b_multiplier = static_cast<float>(bm);
      args.a_zero = a_zero, args.b_zero = b_zero, args.out_zero = out_zero;
      args.fixed_a = fixed_a.data(), args.fixed_b = fixed_b.data();
      int exponent = 0;
      args.fixed.q = static_cast<int32_t>(std::frexp(larger * 0x1p-20, &exponent) * 0x1p31);
      args.fixed.shift = exponent;
      args.fixed_margin = (args.a_multiplier + args.b_multiplier) * 0x1p-14f;
      for (bool relu : {false, true}) {
        args.low = relu ? 0.0f : static_cast<float>(-out_zero);
        args.high = static_cast<float>(255 - out_zero);
        ASSERT_NO_FATAL_FAILURE(CheckEltwise(table_->add_u8, reference_.add_u8, args, g, 1))
            << am << " " << bm << " " << out_zero;
      }
    }
  }
}

TEST_P(OpsTest, MulU8) {
  // Every pair of bytes; powers of two make halves.
  const Geometry g{1, 256, 16, 16, 0, true};
  Plane a(g, 1), b(g, 1);
  int next = 0;
  a.FillPixels<uint8_t>([&] { return static_cast<uint8_t>(next++ / 256); });
  next = 0;
  b.FillPixels<uint8_t>([&] { return static_cast<uint8_t>(next++); });
  for (double real : {0x1p-8, 0x1p-3, 0.0123, 0.37, 1.0, 3.7, 0x1p-20, 0x1p40}) {
    for (const auto& [a_zero, b_zero, out_zero] :
         std::vector<std::tuple<int, int, int>>{{0, 0, 0}, {10, 22, 22}, {255, 128, 7}}) {
      EltwiseArgs args;
      args.a = a.view, args.b = b.view;
      args.count = 16;
      args.a_multiplier = static_cast<float>(real);
      args.a_zero = a_zero, args.b_zero = b_zero, args.out_zero = out_zero;
      args.high = static_cast<float>(255 - out_zero);
      for (bool fixed : {false, true}) {
        if (fixed) {
          int exponent = 0;
          args.fixed.q =
              static_cast<int32_t>(std::frexp(std::min(real, 0x1p30), &exponent) * 0x1p31);
          args.fixed.shift = exponent;
          args.nudge = exponent < 0 ? std::ldexp(1.0f, exponent - 1) : 0.0f;
          args.fixed_margin = 0x1p-13f;
        }
        for (float low : {static_cast<float>(-out_zero), 0.0f}) {
          args.low = low;
          ASSERT_NO_FATAL_FAILURE(CheckEltwise(table_->mul_u8, reference_.mul_u8, args, g, 1))
              << real << " " << out_zero << fixed;
        }
      }
    }
  }
}

TEST_P(OpsTest, ScaleShiftU8) {
  for (int c : {16, 64, 80, 256}) {
    for (bool padded : {true, false}) {
      const Geometry g{2, 5, 7, c, 1, padded};
      Plane a(g, 1);
      int next = 0;
      a.FillPixels<uint8_t>([&] { return static_cast<uint8_t>(next++ * 7); });
      Random random(5);
      std::vector<float> scale, shift;
      for (int i = 0; i < c; ++i) {
        scale.push_back(i % 3 == 0 ? 0.5f : random.Float() / 5.0f);
        shift.push_back(i % 3 == 0 ? 0.5f : random.Float() * 9.0f);
      }
      for (int zero : {0, 1, 128, 255}) {
        EltwiseArgs args;
        args.a = a.view;
        args.count = c;
        args.a_zero = zero, args.out_zero = 255 - zero;
        args.low = static_cast<float>(-args.out_zero), args.high = static_cast<float>(zero);
        args.a_multiplier = 0.5f;
        ASSERT_NO_FATAL_FAILURE(
            CheckEltwise(table_->scale_shift_u8, reference_.scale_shift_u8, args, g, 1))
            << c;
        args.scale = scale.data(), args.shift = shift.data();
        ASSERT_NO_FATAL_FAILURE(
            CheckEltwise(table_->scale_shift_u8, reference_.scale_shift_u8, args, g, 1))
            << c;
        args.low = 0.0f;
        ASSERT_NO_FATAL_FAILURE(
            CheckEltwise(table_->scale_shift_u8, reference_.scale_shift_u8, args, g, 1))
            << c;
        // Halves then go away from zero; a large one moves others too.
        for (float nudge : {0x1p-16f, 0.25f}) {
          args.nudge = nudge;
          ASSERT_NO_FATAL_FAILURE(
              CheckEltwise(table_->scale_shift_u8, reference_.scale_shift_u8, args, g, 1))
              << c;
        }
        args.scale = args.shift = nullptr;
        ASSERT_NO_FATAL_FAILURE(
            CheckEltwise(table_->scale_shift_u8, reference_.scale_shift_u8, args, g, 1))
            << c;
      }
    }
  }
}

TEST_P(OpsTest, FloatArithmetic) {
  for (int c : {1, 3, 16, 17, 64, 100}) {
    for (int halo : {0, 2}) {
      for (bool padded : {true, false}) {
        const Geometry g{2, 3, 5, c, halo, padded};
        Plane a(g, 4), b(g, 4);
        Random random(static_cast<uint64_t>(c));
        int next = 0;
        // Zeros of both signs, infinities and NaN among ordinary numbers.
        const float special[] = {0.0f, -0.0f, kInf, -kInf, kNan, 1e-42f, 3e38f};
        a.FillPixels<float>(
            [&] { return ++next % 11 == 0 ? special[next / 11 % 7] : random.Float(); });
        b.FillPixels<float>(
            [&] { return ++next % 13 == 0 ? special[next / 13 % 7] : random.Float(); });
        std::vector<float> scale, shift;
        for (int i = 0; i < a.stored(); ++i) {
          scale.push_back(random.Float());
          shift.push_back(random.Float());
        }
        for (const auto& limits :
             {std::pair<float, float>{-kInf, kInf}, {0.0f, kInf}, {0.0f, 6.0f}}) {
          const float low = limits.first, high = limits.second;
          EltwiseArgs args;
          args.a = a.view, args.b = b.view;
          args.count = c;
          args.low = low, args.high = high;
          const auto check = [&](EltwiseFn kernel, EltwiseFn expected, const char* what) {
            SCOPED_TRACE(::testing::Message()
                         << what << " c " << c << " low " << low << " high " << high);
            // NaNs compare by "is one": their bits are the processor's business.
            Plane out(g, 4), want(g, 4);
            EltwiseArgs run = args;
            run.batch = g.batch;
            run.output = want.view;
            expected(run, 0, want.rows());
            run.output = out.view;
            kernel(run, 0, out.rows());
            for (int row = 0; row < out.rows(); ++row) {
              for (int x = 0; x < g.w; ++x) {
                const float* p =
                    reinterpret_cast<const float*>(out.view.pixel(row / g.h, row % g.h, x));
                const float* q =
                    reinterpret_cast<const float*>(want.view.pixel(row / g.h, row % g.h, x));
                for (int i = 0; i < c; ++i) {
                  if (std::isnan(q[i])) {
                    ASSERT_TRUE(std::isnan(p[i])) << p[i];
                  } else {
                    ASSERT_EQ(p[i], q[i]);
                  }
                }
              }
            }
          };
          check(table_->add_f32, reference_.add_f32, "add");
          check(table_->mul_f32, reference_.mul_f32, "mul");
          check(table_->scale_shift_f32, reference_.scale_shift_f32, "relu");
          args.scale = scale.data(), args.shift = shift.data();
          check(table_->scale_shift_f32, reference_.scale_shift_f32, "scale_shift");
        }
      }
    }
  }
}

// Numbers of `element` bytes equal in every bit; NaNs are NaNs, whose bits are the processor's
// business.
void ExpectSameFloats(const Plane& out, const Plane& want, int element, int c) {
  for (int row = 0; row < out.rows(); ++row) {
    for (int x = 0; x < out.view.w; ++x) {
      const uint8_t* const p = out.view.pixel(row / out.view.h, row % out.view.h, x);
      const uint8_t* const q = want.view.pixel(row / out.view.h, row % out.view.h, x);
      for (int i = 0; i < c; ++i) {
        const auto number = [&](const uint8_t* from) {
          if (element == 2) return Bf16ToFloat(reinterpret_cast<const uint16_t*>(from)[i]);
          return reinterpret_cast<const float*>(from)[i];
        };
        ASSERT_EQ(std::isnan(number(p)), std::isnan(number(q))) << number(p);
        if (std::isnan(number(q))) continue;
        ASSERT_EQ(std::memcmp(p + i * element, q + i * element, static_cast<size_t>(element)), 0)
            << number(p) << ", expected " << number(q);
      }
    }
  }
}

TEST_P(OpsTest, Bf16Arithmetic) {
  for (int c : {1, 3, 16, 17, 64, 100}) {
    for (bool padded : {true, false}) {
      const Geometry g{2, 3, 5, c, 1, padded};
      Plane a(g, 2), b(g, 2), f32(g, 4);
      Random random(static_cast<uint64_t>(c));
      int next = 0;
      const float special[] = {0.0f, -0.0f, kInf, -kInf, kNan, 1e-39f, 3e38f};
      const auto number = [&] {
        return ++next % 11 == 0 ? special[next / 11 % 7] : random.Float();
      };
      a.FillPixels<uint16_t>([&] { return FloatToBf16(number()); });
      b.FillPixels<uint16_t>([&] { return FloatToBf16(number()); });
      f32.FillPixels<float>(number);
      std::vector<float> scale, shift;
      for (int i = 0; i < a.stored(); ++i) {
        scale.push_back(random.Float());
        shift.push_back(random.Float());
      }
      for (const auto& limits :
           {std::pair<float, float>{-kInf, kInf}, {0.0f, kInf}, {0.0f, 6.0f}}) {
        EltwiseArgs args;
        args.b = b.view;
        args.batch = g.batch;
        args.count = c;
        args.low = limits.first, args.high = limits.second;
        const auto check = [&](EltwiseFn kernel, EltwiseFn expected, const Plane& in, int element) {
          SCOPED_TRACE(::testing::Message() << "c " << c << " low " << args.low);
          Plane out(g, element), want(g, element);
          EltwiseArgs run = args;
          run.a = in.view;
          run.output = want.view;
          expected(run, 0, want.rows());
          run.output = out.view;
          kernel(run, 0, out.rows());
          ExpectSameFloats(out, want, element, c);
        };
        check(table_->add_bf16, reference_.add_bf16, a, 2);
        check(table_->mul_bf16, reference_.mul_bf16, a, 2);
        for (bool channels : {false, true}) {
          if (channels) args.scale = scale.data(), args.shift = shift.data();
          check(table_->scale_shift_bf16, reference_.scale_shift_bf16, a, 2);
          check(table_->scale_shift_bf16_f32, reference_.scale_shift_bf16_f32, a, 4);
          check(table_->scale_shift_f32_bf16, reference_.scale_shift_f32_bf16, f32, 2);
        }
      }
    }
  }
}

TEST_P(OpsTest, Bf16OfEveryNumber) {
  // Without the reference: all of them widened, and all floats at and around limits between two.
  const Geometry g{1, 256, 16, 16, 0, true};
  Plane halves(g, 2), floats(g, 4), rounded(g, 2), want(g, 2), exact(g, 4);
  EltwiseArgs args;
  args.count = 16;
  args.low = -kInf, args.high = kInf;
  uint32_t next = 0;
  halves.FillPixels<uint16_t>([&] { return static_cast<uint16_t>(next++); });
  next = 0;
  exact.FillPixels<float>([&] { return Bf16ToFloat(static_cast<uint16_t>(next++)); });
  args.a = halves.view, args.output = floats.view;
  table_->scale_shift_bf16_f32(args, 0, 256);
  ExpectSameFloats(floats, exact, 4, 16);
  for (uint32_t below : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
    const auto bits = [&](uint32_t upper) {
      float f;
      const uint32_t all = upper << 16 | below;
      std::memcpy(&f, &all, 4);
      return f;
    };
    next = 0;
    exact.FillPixels<float>([&] { return bits(next++); });
    next = 0;
    want.FillPixels<uint16_t>([&] { return FloatToBf16(bits(next++)); });
    args.a = exact.view, args.output = rounded.view;
    table_->scale_shift_f32_bf16(args, 0, 256);
    ExpectSameFloats(rounded, want, 2, 16);
  }
}

TEST_P(OpsTest, Quantize) {
  for (int c : {1, 2, 3, 15, 16, 17, 63, 64, 65, 200}) {
    for (bool padded : {true, false}) {
      for (int zero : {0, 1, 128, 255}) {
        const Geometry g{2, 4, 5, c, padded ? 1 : 0, padded};
        Plane a(g, 4);
        Random random(static_cast<uint64_t>(c));
        int next = 0;
        const float special[] = {kNan,  kInf, -kInf, 3e38f, -3e38f, 1e-42f,
                                 -0.0f, 0.5f, 1.5f,  2.5f,  -0.5f,  -1.5f};
        a.FillPixels<float>(
            [&] { return ++next % 3 == 0 ? special[next / 3 % 12] : random.Float() * 20.0f; });
        EltwiseArgs args;
        args.a = a.view;
        args.count = c;
        args.a_multiplier = 1.0f;
        args.out_zero = zero;
        args.low = static_cast<float>(-zero), args.high = static_cast<float>(255 - zero);
        ASSERT_NO_FATAL_FAILURE(CheckEltwise(table_->quantize, reference_.quantize, args, g, 1))
            << c << " zero " << zero;
        args.a_multiplier = 0.731f;
        ASSERT_NO_FATAL_FAILURE(CheckEltwise(table_->quantize, reference_.quantize, args, g, 1))
            << c << " zero " << zero;
        std::vector<float> scales(256), shifts(256);
        for (size_t i = 0; i < 256; ++i)
          scales[i] = 0.3f + 0.01f * static_cast<float>(i),
          shifts[i] = 1.7f - 0.02f * static_cast<float>(i);
        args.scale = scales.data(), args.shift = shifts.data();
        ASSERT_NO_FATAL_FAILURE(CheckEltwise(table_->quantize, reference_.quantize, args, g, 1))
            << c << " zero " << zero;
        args.scale = args.shift = nullptr;
        for (const float scale : {1.0f, 0.731f}) {
          args.a_multiplier = scale;
          ASSERT_NO_FATAL_FAILURE(
              CheckEltwise(table_->quantize_tflite, reference_.quantize_tflite, args, g, 1))
              << c << " zero " << zero;
        }
      }
    }
  }
}

TEST_P(OpsTest, QuantizeKnownValues) {
  const std::vector<float> x = {0.5f, 1.5f,  2.5f, -0.5f, -1.5f, 254.5f,     255.5f,
                                1e9f, -1e9f, kNan, kInf,  -kInf, 0.49999997f};
  const std::vector<int> even = {100, 102, 102, 100, 98, 255, 255, 255, 0, 0, 255, 0, 100};
  const std::vector<int> away = {101, 102, 103, 99, 98, 255, 255, 255, 0, 0, 255, 0, 100};
  GuardedBuffer in(x.size() * 4), out(x.size());
  std::memcpy(in.data(), x.data(), in.size());
  EltwiseArgs args;
  args.a.data = in.data();
  args.a.pixel_stride = static_cast<int64_t>(in.size());
  args.output.data = out.data();
  args.output.pixel_stride = static_cast<int64_t>(out.size());
  args.count = static_cast<int>(x.size());
  args.out_zero = 100;
  args.low = -100.0f, args.high = 155.0f;
  table_->quantize(args, 0, 1);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(out.data()[i], even[i]) << x[i];
  table_->quantize_tflite(args, 0, 1);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(out.data()[i], away[i]) << x[i];
}

TEST_P(OpsTest, DequantizeAllValues) {
  for (int c : {256, 3, 17}) {
    for (int zero : {0, 1, 128, 255}) {
      for (bool padded : {true, false}) {
        const Geometry g{1, 3, 90, c, 0, padded};
        Plane a(g, 1);
        int next = 0;
        a.FillPixels<uint8_t>([&] { return static_cast<uint8_t>(next++); });
        EltwiseArgs args;
        args.a = a.view;
        args.count = c;
        args.a_multiplier = 0.0187f;
        args.a_zero = zero;
        ASSERT_NO_FATAL_FAILURE(CheckEltwise(table_->dequantize, reference_.dequantize, args, g, 4))
            << c << " " << zero;
      }
    }
  }
}

TEST_P(OpsTest, MinMax) {
  for (int c : {1, 3, 16, 17, 64, 65, 200}) {
    for (bool padded : {true, false}) {
      const Geometry g{2, 5, 3, c, 1, padded};
      Plane a(g, 4);
      Random random(static_cast<uint64_t>(c));
      a.FillAll<float>(1e30f);  // Outside the image: must not be seen.
      int next = 0;
      a.FillPixels<float>([&] { return ++next % 17 == 0 ? kNan : random.Float(); });
      EltwiseArgs args;
      args.a = a.view;
      args.count = c;
      args.batch = 2;
      for (const auto& [begin, end] : {std::pair<int, int>{0, 10}, {3, 4}, {5, 5}, {4, 7}}) {
        float min, max, want_min, want_max;
        table_->min_max(args, begin, end, &min, &max);
        reference_.min_max(args, begin, end, &want_min, &want_max);
        EXPECT_EQ(min, want_min) << c;
        EXPECT_EQ(max, want_max) << c;
      }
      float min, max;
      a.FillPixels<float>([&] { return -0.0f; });
      table_->min_max(args, 0, 10, &min, &max);
      EXPECT_FALSE(std::signbit(min) || std::signbit(max));
      a.FillPixels<float>([&] { return kNan; });
      table_->min_max(args, 0, 10, &min, &max);
      EXPECT_EQ(min, kInf);
      EXPECT_EQ(max, -kInf);
    }
  }
}

std::vector<float> RunRow(RowFn kernel, const std::vector<float>& x) {
  GuardedBuffer in(x.size() * 4), out(x.size() * 4);
  std::memcpy(in.data(), x.data(), in.size());
  kernel(in.as<float>(), out.as<float>(), static_cast<int>(x.size()));
  return std::vector<float>(out.as<float>(), out.as<float>() + x.size());
}

TEST_P(OpsTest, Softmax) {
  Random random(3);
  for (int n : {1, 2, 5, 10, 15, 16, 17, 64, 100, 1000, 1001}) {
    for (float spread : {0.0f, 0.1f, 1.0f, 12.0f, 1000.0f}) {
      std::vector<float> x;
      for (int i = 0; i < n; ++i) x.push_back(random.Float() * spread + 3.0f);
      const std::vector<float> out = RunRow(table_->softmax, x);
      double max = x[0], sum = 0.0;
      for (float v : x) max = std::max<double>(max, v);
      for (float v : x) sum += std::exp(static_cast<double>(v) - max);
      for (int i = 0; i < n; ++i) {
        const double expected = std::exp(static_cast<double>(x[i]) - max) / sum;
        // exp within 2e-7, plus the rounding of x - max, of the sum and of the quotient.
        const double distance = max - x[i];
        const double relative = 2e-7 + 6e-8 * (static_cast<double>(n) / 2 + 2 + distance);
        ASSERT_NEAR(out[i], expected, expected * relative + 1e-37)
            << n << " " << spread << " " << i;
      }
      // All instruction sets but the reference share one arithmetic.
      if (table_ != &reference_) {
        ASSERT_EQ(out, RunRow(kEmulated512Table.softmax, x));
      }
    }
  }
  for (float v : RunRow(table_->softmax, std::vector<float>{1.0f, kNan, 2.0f}))
    EXPECT_TRUE(std::isnan(v));
  EXPECT_EQ(RunRow(table_->softmax, {0.0f, -kInf}), (std::vector<float>{1.0f, 0.0f}));
}

TEST_P(OpsTest, LogSoftmax) {
  Random random(4);
  for (int n : {1, 2, 5, 15, 16, 17, 64, 100, 1000, 1001}) {
    for (float spread : {0.0f, 0.1f, 1.0f, 12.0f, 1000.0f}) {
      std::vector<float> x;
      for (int i = 0; i < n; ++i) x.push_back(random.Float() * spread + 3.0f);
      const std::vector<float> out = RunRow(table_->log_softmax, x);
      double max = x[0], sum = 0.0;
      for (float v : x) max = std::max<double>(max, v);
      for (float v : x) sum += std::exp(static_cast<double>(v) - max);
      const double log = std::log(sum);
      for (int i = 0; i < n; ++i) {
        const double expected = static_cast<double>(x[i]) - max - log;
        // exp and log within 2e-7, the roundings of x - max, of the sum and of the difference.
        const double roundings = static_cast<double>(n) / 2 + 2 + 2 * std::fabs(expected);
        ASSERT_NEAR(out[i], expected, 2e-7 * (1.0 + log) + 6e-8 * roundings)
            << n << " " << spread << " " << i;
      }
      if (table_ != &reference_) {
        ASSERT_EQ(out, RunRow(kEmulated512Table.log_softmax, x));
      }
    }
  }
  for (float v : RunRow(table_->log_softmax, {1.0f, kNan, 2.0f})) EXPECT_TRUE(std::isnan(v));
  EXPECT_EQ(RunRow(table_->log_softmax, {0.0f, -kInf}), (std::vector<float>{0.0f, -kInf}));
}

TEST_P(OpsTest, SigmoidAndTanh) {
  const struct {
    RowFn fn, emulated;
    double (*exact)(double);
    float lowest;
  } kFunctions[] = {
      {table_->sigmoid, kEmulated512Table.sigmoid,
       [](double v) { return 1.0 / (1.0 + std::exp(-v)); }, 0.0f},
      {table_->tanh, kEmulated512Table.tanh, [](double v) { return std::tanh(v); }, -1.0f},
  };
  Random random(5);
  for (const auto& f : kFunctions) {
    for (int n : {1, 2, 15, 16, 17, 64, 65, 10000}) {
      for (float spread : {1e-30f, 1e-3f, 0.7f, 1.0f, 12.0f, 1000.0f}) {
        std::vector<float> x;
        for (int i = 0; i < n; ++i) x.push_back(random.Float() * spread);
        const std::vector<float> out = RunRow(f.fn, x);
        for (int i = 0; i < n; ++i) {
          const double expected = f.exact(x[i]);
          ASSERT_NEAR(out[i], expected, std::fabs(expected) * 4e-7 + 1.3e-38) << x[i];
        }
        if (table_ != &reference_) {
          ASSERT_EQ(out, RunRow(f.emulated, x));
        }
      }
    }
    EXPECT_EQ(RunRow(f.fn, {kInf, -kInf, 1e30f, -1e30f}),
              (std::vector<float>{1.0f, f.lowest, 1.0f, f.lowest}));
    const std::vector<float> nan = RunRow(f.fn, {kNan, 0.0f});
    EXPECT_TRUE(std::isnan(nan[0]));
    EXPECT_EQ(nan[1], static_cast<float>(f.exact(0.0)));
  }
}

}  // namespace
}  // namespace octet::kernels
