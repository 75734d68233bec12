// Where tensors lie: the geometry of their images, what a kernel may touch through a pointer, and
// the places of buffers in one arena. Everything here is a pure function of numbers.
#ifndef OCTET_ENGINE_SRC_PLACEMENT_H_
#define OCTET_ENGINE_SRC_PLACEMENT_H_

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/base/shape.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"
#include "kernels/kernel_table.h"

namespace octet {

/// Buffers begin at multiples of this, a line of the cache and the widest register.
inline constexpr int64_t kArenaAlignment = 64;
/// Behind every buffer. Kernels may read up to 3 bytes past a row's last group (kPanelRow).
inline constexpr int64_t kArenaSlack = 64;
/// Most bytes of one buffer. Far beyond any memory, and far from overflow.
inline constexpr int64_t kMaxBufferBytes = int64_t{1} << 40;

/// Padding pixels around each image of a tensor.
struct Halo {
  int top = 0, left = 0, bottom = 0, right = 0;
  bool empty() const { return top == 0 && left == 0 && bottom == 0 && right == 0; }
  bool operator==(const Halo&) const = default;
  /// Grows to hold the padding of `window` as well.
  void Cover(const Window& window);
};

/// How the images of a tensor lie in memory. Strides in bytes. Pixels have their channels rounded
/// up to a panel, unless the tensor is tight. int16 tensors are two planes of bytes an image
/// (ActivationView).
struct Geometry {
  int h = 1, w = 1, c = 1;
  int element_size = 1;  ///< In a plane.
  bool tight = false;
  Halo halo;
  int64_t pixel_stride = 0, row_stride = 0;
  int64_t plane = 0;         ///< From an image's first plane to its second; 0: it has one.
  int64_t image_stride = 0;  ///< The halo included, a multiple of kArenaAlignment.
  bool operator==(const Geometry&) const = default;

  /// Channels that kernels process: all that are stored.
  int stored_channels() const { return static_cast<int>(pixel_stride / element_size); }
  /// From the beginning of an image, its halo included, to pixel (0,0).
  int64_t first_pixel() const { return halo.top * row_stride + halo.left * pixel_stride; }
  /// Nothing but the elements, one behind the other.
  bool compact() const { return halo.empty() && stored_channels() == c; }
  /// Without an address.
  kernels::ActivationView view() const;
};

/// Errors: kInvalidArgument for an image of more than kMaxBufferBytes.
Result<Geometry> MakeGeometry(const Tensor& tensor, bool tight, const Halo& halo);

/// Whether a tensor of geometry `b` may be the same bytes as one of geometry `a` that has the same
/// elements in another shape.
bool SameBytes(const Geometry& a, const Geometry& b);

/// Bytes that a kernel may touch through one of its pointers, [begin, end) relative to it. Built up
/// from the terms that the kernel adds to the pointer, all in 64 bits; what overflows is
/// inside nothing.
class Reach {
 public:
  /// `bytes` at the pointer itself.
  explicit Reach(int64_t bytes) : end_(bytes) {}
  /// One more term: i * stride for i in [first, first + count).
  Reach& Steps(int64_t count, int64_t stride, int64_t first = 0);
  /// One more term: 0 or `plane`.
  Reach& Planes(int64_t plane) { return Steps(2, plane); }
  /// One more term: any of `offsets`.
  Reach& AnyOf(std::span<const int32_t> offsets);

  int64_t begin() const { return begin_; }
  int64_t end() const { return end_; }
  /// Whether a pointer to byte `at` of `bytes` bytes reaches nothing else.
  bool Inside(int64_t at, int64_t bytes) const;

 private:
  void Grow(int64_t low, int64_t high);

  int64_t begin_ = 0, end_ = 0;
  bool overflow_ = false;
};

/// `pixel_bytes` of each pixel of `batch` images of `view`.
Reach ReachOfView(const kernels::ActivationView& view, int batch, int64_t pixel_bytes);
/// A box of pixels and channels: `count` of them from `first` on, every `step`-th; each as (y, x,
/// c).
Reach ReachOfBox(const kernels::ActivationView& view, int batch, int element_size,
                 const std::array<int, 3>& first, const std::array<int, 3>& step,
                 const std::array<int, 3>& count);
/// All pixels and the padding around them.
Reach ReachOfHalo(const Geometry& geometry, int batch);
/// What a convolution reads: `tap_bytes` at every tap of `out_h` x `out_w` pixels of `batch`
/// images.
Reach ReachOfTaps(const kernels::ConvArgs& args, int batch, int64_t tap_bytes);
/// What it reads by Winograd's algorithm: `pixel_bytes` of every pixel of whole tiles, of `edge` x
/// `edge` outputs each.
Reach ReachOfTiles(const kernels::ConvArgs& args, int edge, int batch, int64_t pixel_bytes);

/// Memory that is needed from operator `first` to operator `last`, both included.
struct Interval {
  int first = 0, last = 0;
  int64_t bytes = 0;  ///< Up to kMaxBufferBytes.
};

struct ArenaLayout {
  std::vector<int64_t> offsets;  ///< By interval, multiples of kArenaAlignment.
  int64_t bytes = 0;
  int64_t steps = 0;  ///< How often two intervals were held against each other.
};

/// Places intervals so that those which overlap in time do not overlap in memory: largest first,
/// each at the lowest offset that is free for its whole lifetime ("greedy by size", Pisarchyk and
/// Lee, 2020). Takes O(n log n) steps: where a network of thousands of long-lived tensors would
/// take more, the rest, which are the smallest, lie one behind the other.
ArenaLayout PlaceInArena(std::span<const Interval> intervals);

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PLACEMENT_H_
