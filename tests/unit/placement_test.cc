// Geometry, reach and arena as functions of numbers.
#include "engine/src/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "formats/model/graph.h"

namespace octet {
namespace {

Tensor Activation(DType dtype, const Shape& shape) {
  Tensor t;
  t.name = "x";
  t.dtype = dtype;
  t.shape = shape;
  return t;
}

Geometry Make(DType dtype, const Shape& shape, bool tight = false, const Halo& halo = {}) {
  const Result<Geometry> g = MakeGeometry(Activation(dtype, shape), tight, halo);
  EXPECT_TRUE(g.ok()) << g.status().message();
  return *g;
}

TEST(Geometry, RoundsChannelsToPanelsAndImagesToLines) {
  const Geometry g = Make(DType::kU8, {1, 3, 5, 17}, false, {1, 2, 0, 1});
  EXPECT_EQ(g.pixel_stride, 32);
  EXPECT_EQ(g.row_stride, 32 * (2 + 5 + 1));
  EXPECT_EQ(g.image_stride, 256 * (1 + 3));
  EXPECT_EQ(g.first_pixel(), 256 + 2 * 32);
  EXPECT_EQ(g.stored_channels(), 32);
  EXPECT_EQ(Make(DType::kF32, {1, 3, 5, 3}, true).row_stride, 3 * 5 * 4);
  EXPECT_EQ(Make(DType::kF32, {1, 3, 5, 3}, true).image_stride, 192);  // 180 rounded up.
  EXPECT_EQ(Make(DType::kF32, {1, 10}).pixel_stride, 64);
}

TEST(Geometry, RefusesImagesThatNoMemoryHolds) {
  const Halo halo{1 << 24, 1 << 24, 0, 0};
  const Result<Geometry> g = MakeGeometry(Activation(DType::kF32, {1, 1, 1, 1}), false, halo);
  ASSERT_FALSE(g.ok());
  EXPECT_EQ(g.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(g.status().message().find("x: an image of 16777217x16777217 pixels"), std::string::npos)
      << g.status().message();
}

TEST(Geometry, ViewsNeedTheSameBytes) {
  const Geometry map = Make(DType::kU8, {1, 4, 4, 16});
  EXPECT_TRUE(SameBytes(map, Make(DType::kU8, {1, 256})));
  EXPECT_TRUE(SameBytes(map, Make(DType::kU8, {1, 2, 8, 16})));
  EXPECT_FALSE(SameBytes(map, Make(DType::kF32, {1, 256})));
  // Channels that are rounded up.
  EXPECT_FALSE(SameBytes(map, Make(DType::kU8, {1, 8, 8, 4})));
  // As many bytes an image, the padding on another side.
  const Geometry top = Make(DType::kU8, {1, 4, 4, 16}, false, {1, 0, 0, 0});
  const Geometry bottom = Make(DType::kU8, {1, 4, 4, 16}, false, {0, 0, 1, 0});
  ASSERT_EQ(top.image_stride, bottom.image_stride);
  EXPECT_FALSE(SameBytes(top, bottom));
  EXPECT_FALSE(SameBytes(map, bottom));
  EXPECT_TRUE(SameBytes(top, top));
}

TEST(Reach, AddsTermsInSixtyFourBits) {
  Reach reach(4);
  reach.Steps(3, 100).Steps(2, -10).Steps(4, 1000, -1);
  EXPECT_EQ(reach.begin(), -1000 - 10);
  EXPECT_EQ(reach.end(), 2000 + 200 + 4);
  const std::vector<int32_t> offsets = {-7, 3, 12};
  reach.AnyOf(offsets);
  EXPECT_EQ(reach.begin(), -1017);
  EXPECT_EQ(reach.end(), 2216);
  EXPECT_TRUE(reach.Inside(1017, 1017 + 2216));
  EXPECT_FALSE(reach.Inside(1016, 4000));
  EXPECT_FALSE(reach.Inside(1017, 1017 + 2215));
}

TEST(Reach, OverflowIsNeverInside) {
  constexpr int64_t kLarge = std::numeric_limits<int64_t>::max();
  for (const Reach& reach :
       {Reach(1).Steps(3, kLarge), Reach(1).Steps(2, kLarge).Steps(2, kLarge),
        Reach(1).Steps(int64_t{1} << 32, int64_t{1} << 32),
        Reach(1).Steps(2, -kLarge).Steps(2, -kLarge), Reach(kLarge).Steps(2, kLarge)}) {
    EXPECT_FALSE(reach.Inside(0, kLarge));
    EXPECT_FALSE(reach.Inside(kLarge, kLarge));
  }
}

// Which bytes a kernel touches, one by one.
TEST(Reach, OfTapsAndTilesIsWhatTheLoopsTouch) {
  kernels::ConvArgs a;
  const std::vector<int32_t> taps = {0, 48, 640, 688};
  a.tap_offsets = taps.data();
  a.taps = 4;
  a.out_h = 5, a.out_w = 3;
  a.in_image_stride = 10000, a.in_row_step = 640, a.in_pixel_step = 16;
  int64_t taps_end = 0, tiles_end = 0;
  for (int n = 0; n < 2; ++n) {
    for (int y = 0; y < 10; ++y) {
      for (int x = 0; x < 6; ++x) {
        const int64_t at = n * a.in_image_stride + y * a.in_row_step + x * a.in_pixel_step;
        tiles_end = std::max(tiles_end, at + 16);
        if (y >= a.out_h || x >= a.out_w) continue;
        for (const int32_t tap : taps) taps_end = std::max(taps_end, at + tap + 12);
      }
    }
  }
  EXPECT_EQ(ReachOfTaps(a, 2, 12).end(), taps_end);
  EXPECT_EQ(ReachOfTiles(a, 4, 2, 16).end(), tiles_end);
  EXPECT_EQ(ReachOfTaps(a, 2, 12).begin(), 0);
}

TEST(Reach, OfAHaloIsTheWholeBuffer) {
  const Geometry g = Make(DType::kF32, {1, 3, 5, 17}, false, {1, 2, 3, 4});
  const Reach reach = ReachOfHalo(g, 3);
  EXPECT_EQ(reach.begin(), -g.first_pixel());
  EXPECT_TRUE(reach.Inside(g.first_pixel(), 3 * g.image_stride));
  EXPECT_FALSE(reach.Inside(g.first_pixel(), 3 * g.image_stride - kArenaAlignment));
}

// ---- The arena ----

void ExpectSound(const std::vector<Interval>& intervals, const ArenaLayout& layout) {
  ASSERT_EQ(layout.offsets.size(), intervals.size());
  int64_t sum = 0, top = 0, most_alive = 0;
  for (size_t i = 0; i < intervals.size(); ++i) {
    EXPECT_GE(layout.offsets[i], 0);
    EXPECT_EQ(layout.offsets[i] % kArenaAlignment, 0);
    sum += RoundUp(intervals[i].bytes, kArenaAlignment);
    top = std::max(top, layout.offsets[i] + RoundUp(intervals[i].bytes, kArenaAlignment));
    int64_t alive = 0;
    for (size_t j = 0; j < intervals.size(); ++j) {
      const Interval &a = intervals[i], &b = intervals[j];
      if (b.first <= a.first && a.first <= b.last) alive += b.bytes;
      if (j >= i || a.last < b.first || b.last < a.first) continue;
      EXPECT_TRUE(layout.offsets[i] + a.bytes <= layout.offsets[j] ||
                  layout.offsets[j] + b.bytes <= layout.offsets[i])
          << "intervals " << j << " and " << i << " overlap";
    }
    most_alive = std::max(most_alive, alive);
  }
  EXPECT_EQ(layout.bytes, top);
  EXPECT_LE(layout.bytes, sum);
  EXPECT_GE(layout.bytes, most_alive);
}

TEST(PlaceInArena, RandomIntervalsNeverOverlap) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::vector<Interval> intervals(random() % 40);
    const int ops = 1 + static_cast<int>(random() % 30);
    for (Interval& i : intervals) {
      i.first = static_cast<int>(random() % ops);
      i.last = std::min(ops - 1, i.first + static_cast<int>(random() % (1 + random() % ops)));
      i.bytes = random() % 3 == 0 ? random() % 100 : random() % 100000;
    }
    ExpectSound(intervals, PlaceInArena(intervals));
    if (HasFailure()) FAIL() << "round " << round;
  }
}

TEST(PlaceInArena, AChainNeedsTwoPlaces) {
  std::vector<Interval> chain;
  for (int i = 0; i < 20000; ++i) chain.push_back({i, i + 1, 64 * (1 + i % 7)});
  const ArenaLayout layout = PlaceInArena(chain);
  EXPECT_EQ(layout.bytes, 64 * (7 + 6));
  EXPECT_LE(layout.steps, 8 * 20000);
}

// Tens of thousands of tensors that all live at once would take the square of their number.
TEST(PlaceInArena, StepsGrowNearlyLinearly) {
  for (const int n : {1000, 10000, 40000}) {
    std::vector<Interval> intervals;
    for (int i = 0; i < n; ++i) intervals.push_back({i, n, 100 + i % 13});
    const ArenaLayout layout = PlaceInArena(intervals);
    EXPECT_LE(layout.steps, 3000 * int64_t{n}) << n;
    EXPECT_LE(layout.bytes, 128 * int64_t{n});
    if (n == 1000) ExpectSound(intervals, layout);
  }
}

}  // namespace
}  // namespace octet
