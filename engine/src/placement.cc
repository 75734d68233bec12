// A Reach grows by each term's least and greatest value. PlaceInArena lists for every operator the
// intervals placed so far that are alive then, and puts the next one into the first gap between
// those that it meets.
#include "engine/src/placement.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <numeric>
#include <utility>

#include "formats/base/str_cat.h"
#include "formats/model/panel.h"

namespace octet {
namespace {

/// Of PlaceInArena, for each interval and each binary digit of their number. ResNet-50 takes 4.
constexpr int64_t kStepsPerInterval = 64;

}  // namespace

void Halo::Cover(const Window& window) {
  top = std::max(top, window.pad_top);
  left = std::max(left, window.pad_left);
  bottom = std::max(bottom, window.pad_bottom);
  right = std::max(right, window.pad_right);
}

kernels::ActivationView Geometry::view() const {
  kernels::ActivationView v;
  v.image_stride = image_stride;
  v.row_stride = row_stride;
  v.pixel_stride = pixel_stride;
  v.plane = plane;
  v.h = h, v.w = w, v.c = c;
  return v;
}

Result<Geometry> MakeGeometry(const Tensor& tensor, bool tight, const Halo& halo) {
  Geometry g;
  const bool planes = tensor.dtype == DType::kI16;
  g.element_size = planes ? 1 : static_cast<int>(DTypeSize(tensor.dtype));
  g.tight = tight;
  g.halo = halo;
  g.c = static_cast<int>(tensor.shape.back());
  if (tensor.shape.rank() == 4) {
    g.h = static_cast<int>(tensor.shape[1]);
    g.w = static_cast<int>(tensor.shape[2]);
  }
  g.pixel_stride = (tight ? g.c : RoundUp(g.c, kPanelWidth)) * g.element_size;
  const int64_t rows = int64_t{halo.top} + g.h + halo.bottom,
                pixels = int64_t{halo.left} + g.w + halo.right;
  int64_t bytes = 0;
  if (!CheckedMul(pixels, g.pixel_stride, &g.row_stride) ||
      !CheckedMul(rows, g.row_stride, &bytes) || bytes > kMaxBufferBytes) {
    return InvalidArgument(StrCat("tensor ", tensor.name, ": an image of ", rows, "x", pixels,
                                  " pixels with all padding around it, expected at most 1 TiB"));
  }
  g.image_stride = RoundUp(bytes, kArenaAlignment);
  if (planes) {
    g.plane = g.image_stride;
    g.image_stride *= 2;
  }
  return g;
}

bool SameBytes(const Geometry& a, const Geometry& b) {
  return a.element_size == b.element_size && (a == b || (a.compact() && b.compact()));
}

void Reach::Grow(int64_t low, int64_t high) {
  overflow_ |= !CheckedAdd(begin_, low, &begin_) || !CheckedAdd(end_, high, &end_);
}

Reach& Reach::Steps(int64_t count, int64_t stride, int64_t first) {
  int64_t from = 0, to = 0;
  overflow_ |= !CheckedMul(first, stride, &from) || !CheckedMul(first + count - 1, stride, &to);
  Grow(std::min(from, to), std::max(from, to));
  return *this;
}

Reach& Reach::AnyOf(std::span<const int32_t> offsets) {
  const auto [low, high] = std::minmax_element(offsets.begin(), offsets.end());
  Grow(*low, *high);
  return *this;
}

bool Reach::Inside(int64_t at, int64_t bytes) const {
  int64_t low = 0, high = 0;
  return !overflow_ && CheckedAdd(at, begin_, &low) && CheckedAdd(at, end_, &high) && low >= 0 &&
         high <= bytes;
}

Reach ReachOfView(const kernels::ActivationView& view, int batch, int64_t pixel_bytes) {
  return Reach(pixel_bytes)
      .Planes(view.plane)
      .Steps(batch, view.image_stride)
      .Steps(view.h, view.row_stride)
      .Steps(view.w, view.pixel_stride);
}

Reach ReachOfBox(const kernels::ActivationView& view, int batch, int element_size,
                 const std::array<int, 3>& first, const std::array<int, 3>& step,
                 const std::array<int, 3>& count) {
  const int64_t strides[] = {view.row_stride, view.pixel_stride, element_size};
  Reach reach(element_size);
  reach.Planes(view.plane).Steps(batch, view.image_stride);
  for (size_t d = 0; d < 3; ++d)
    reach.Steps(1, strides[d], first[d]).Steps(count[d], step[d] * strides[d]);
  return reach;
}

Reach ReachOfHalo(const Geometry& g, int batch) {
  return Reach(g.pixel_stride)
      .Planes(g.plane)
      .Steps(batch, g.image_stride)
      .Steps(int64_t{g.halo.top} + g.h + g.halo.bottom, g.row_stride, -g.halo.top)
      .Steps(int64_t{g.halo.left} + g.w + g.halo.right, g.pixel_stride, -g.halo.left);
}

Reach ReachOfTaps(const kernels::ConvArgs& args, int batch, int64_t tap_bytes) {
  return Reach(tap_bytes)
      .Planes(args.in_plane)
      .AnyOf({args.tap_offsets, static_cast<size_t>(args.taps)})
      .Steps(batch, args.in_image_stride)
      .Steps(args.out_h, args.in_row_step)
      .Steps(args.out_w, args.in_pixel_step);
}

Reach ReachOfTiles(const kernels::ConvArgs& args, int edge, int batch, int64_t pixel_bytes) {
  return Reach(pixel_bytes)
      .Planes(args.in_plane)
      .Steps(batch, args.in_image_stride)
      .Steps(RoundUp(args.out_h, edge) + 2, args.in_row_step)
      .Steps(RoundUp(args.out_w, edge) + 2, args.in_pixel_step);
}

ArenaLayout PlaceInArena(std::span<const Interval> intervals) {
  ArenaLayout layout;
  layout.offsets.assign(intervals.size(), 0);
  std::vector<size_t> order(intervals.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return intervals[a].bytes > intervals[b].bytes; });
  int last_op = 0;
  for (const Interval& i : intervals) last_op = std::max(last_op, i.last);
  const auto end_of = [&](size_t i) {
    return layout.offsets[i] + RoundUp(intervals[i].bytes, kArenaAlignment);
  };

  const int64_t most_steps =
      kStepsPerInterval *
      (static_cast<int64_t>(intervals.size() * std::bit_width(intervals.size())) + 1);
  std::vector<std::vector<size_t>> alive(static_cast<size_t>(last_op) + 1);  // By operator.
  std::vector<size_t> seen_by(intervals.size(), intervals.size());
  std::vector<size_t> neighbors;
  for (const size_t i : order) {
    const Interval& interval = intervals[i];
    if (layout.steps > most_steps) {
      layout.offsets[i] = layout.bytes;
      layout.bytes = end_of(i);
      continue;
    }
    neighbors.clear();
    for (int op = interval.first; op <= interval.last; ++op) {
      ++layout.steps;
      for (const size_t j : alive[static_cast<size_t>(op)]) {
        ++layout.steps;
        if (std::exchange(seen_by[j], i) != i) neighbors.push_back(j);
      }
    }
    std::sort(neighbors.begin(), neighbors.end(), [&](size_t a, size_t b) {
      return std::pair(layout.offsets[a], a) < std::pair(layout.offsets[b], b);
    });
    int64_t offset = 0;
    const int64_t bytes = RoundUp(interval.bytes, kArenaAlignment);
    for (const size_t j : neighbors) {
      if (layout.offsets[j] - offset >= bytes) break;
      offset = std::max(offset, end_of(j));
    }
    layout.offsets[i] = offset;
    layout.bytes = std::max(layout.bytes, offset + bytes);
    for (int op = interval.first; op <= interval.last; ++op)
      alive[static_cast<size_t>(op)].push_back(i);
  }
  return layout;
}

}  // namespace octet
