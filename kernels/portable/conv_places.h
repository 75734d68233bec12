// Where convolutions read and write: pixels in rows and images, and a tile's pixels, weights and
// biases. Included by conv_impl.h.
#ifndef OCTET_KERNELS_PORTABLE_CONV_PLACES_H_
#define OCTET_KERNELS_PORTABLE_CONV_PLACES_H_

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/tile.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// Number of parts that `total` is cut into when a part may have at most `max`; parts are then equal
// up to one.
OCTET_INLINE int64_t PartCount(int64_t total, int64_t max) { return (total + max - 1) / max; }

// How the pointers of a pixel move to the next pixel. Rows and images that follow each other
// without a gap are merged, so that a 1x1 layer over tensors without halo is one long row.
struct Geometry {
  int64_t w, h;
  int64_t in_pixel, in_row, in_image;
  int64_t out_pixel, out_row, out_image;
  int64_t res_pixel, res_row, res_image;

  explicit Geometry(const ConvArgs& a)
      : w(a.out_w),
        h(a.out_h),
        in_pixel(a.in_pixel_step),
        in_row(a.in_row_step),
        in_image(a.in_image_stride),
        out_pixel(a.out_pixel_stride),
        out_row(a.out_row_stride),
        out_image(a.out_image_stride),
        res_pixel(a.residual ? a.res_pixel_stride : 0),
        res_row(a.residual ? a.res_row_stride : 0),
        res_image(a.residual ? a.res_image_stride : 0) {
    if (in_row == w * in_pixel && out_row == w * out_pixel && res_row == w * res_pixel) {
      w *= h;
      h = 1;
      in_row = in_image;
      out_row = out_image;
      res_row = res_image;
      w *= in_row == w * in_pixel && out_row == w * out_pixel && res_row == w * res_pixel ? a.batch
                                                                                          : 1;
    }
  }
};

// Where one output pixel reads and writes. `Next` is a handful of additions: no division in the
// loops.
struct Cursor {
  const uint8_t* in;
  uint8_t* out;
  const uint8_t* res;
  int64_t x, y;

  Cursor(const ConvArgs& a, const Geometry& g, int64_t pixel) {
    x = pixel % g.w;
    y = pixel / g.w % g.h;
    const int64_t n = pixel / g.w / g.h;
    in = a.input + n * g.in_image + y * g.in_row + x * g.in_pixel;
    out = a.output + n * g.out_image + y * g.out_row + x * g.out_pixel;
    // Without a residual any valid pointer will do: it is moved along with the others but not
    // followed.
    res = a.residual != nullptr ? a.residual + (n * g.res_image + y * g.res_row + x * g.res_pixel)
                                : a.output;
  }

  // `pixels` further, which are in one row.
  OCTET_INLINE void Next(const Geometry& g, int pixels = 1) {
    in += pixels * g.in_pixel;
    out += pixels * g.out_pixel;
    res += pixels * g.res_pixel;
    x += pixels;
    if (x == g.w) {
      x = 0;
      in += g.in_row - g.w * g.in_pixel;
      out += g.out_row - g.w * g.out_pixel;
      res += g.res_row - g.w * g.res_pixel;
      if (++y == g.h) {
        y = 0;
        in += g.in_image - g.h * g.in_row;
        out += g.out_image - g.h * g.out_row;
        res += g.res_image - g.h * g.res_row;
      }
    }
  }
};

// Where NR panels from `panel` on start their sums.
template <class K, int NR, bool kAdjust = K::kAdjustBias>
struct Biases {
  using Pointer = decltype(K::Bias(ConvArgs()));
  Pointer at[K::kPlanes];
  alignas(64) int32_t adjusted[K::kPlanes][kAdjust ? NR * kLanes : 1];

  OCTET_INLINE Biases(const ConvArgs& a, int panel) {
    at[0] = K::Bias(a) + panel * kLanes;
    if constexpr (K::kPlanes == 2) at[1] = K::LowBias(a) + panel * kLanes;
    if constexpr (kAdjust) {
      for (int p = 0; p < K::kPlanes; ++p) {
        for (int j = 0; j < NR; ++j) {
          K::AdjustBias(at[p] + j * kLanes, a.weights + (panel + j) * a.panel_bytes,
                        a.panel_bytes / K::kLineBytes, adjusted[p] + j * kLanes);
        }
        at[p] = adjusted[p];
      }
    }
  }
  Biases(const Biases&) = delete;
  Biases& operator=(const Biases&) = delete;
};

// The next MR pixels: where each plane of them is read, and their channel written.
template <class K, int MR>
struct TilePlaces {
  const uint8_t* in[MR * K::kPlanes];
  uint8_t* out[MR];
  const uint8_t* res[MR];

  TilePlaces() = default;
  OCTET_INLINE TilePlaces(const ConvArgs& a, const Geometry& g, int channel, Cursor& c) {
    OCTET_KEEP_LOOP for (int i = 0; i < MR; ++i) {
      in[i * K::kPlanes] = c.in;
      if constexpr (K::kPlanes == 2) in[i * 2 + 1] = c.in + a.in_plane;
      out[i] = c.out + channel * K::kOutputBytes;
      res[i] = c.res + channel * K::kOutputBytes;
      c.Next(g);
    }
  }
};

// The same where time counts more than size: pixels of one row are as far from each other. 5 % of a
// layer with 64 input channels.
template <class K, int MR>
OCTET_INLINE TilePlaces<K, MR> NextPlaces(const ConvArgs& a, const Geometry& g, int channel,
                                          Cursor& c) {
  static_assert(K::kPlanes == 1);
  if (c.x + MR > g.w) return TilePlaces<K, MR>(a, g, channel, c);
  TilePlaces<K, MR> at;
  OCTET_UNROLL for (int i = 0; i < MR; ++i) {
    at.in[i] = c.in + i * g.in_pixel;
    at.out[i] = c.out + channel * K::kOutputBytes + i * g.out_pixel;
    at.res[i] = c.res + channel * K::kOutputBytes + i * g.res_pixel;
  }
  c.in += (MR - 1) * g.in_pixel;
  c.out += (MR - 1) * g.out_pixel;
  c.res += (MR - 1) * g.res_pixel;
  c.x += MR - 1;
  c.Next(g);
  return at;
}

// Of weights in a panel: a step of four bytes of depth each.
template <class K>
OCTET_INLINE int64_t Lines(const ConvArgs& a) {
  return int64_t{a.taps} * a.depth * K::kInputBytes / 4;
}

// Where the inputs of an output channel's group begin in a pixel; of the last channel's for those
// behind it.
OCTET_INLINE ptrdiff_t GroupPlace(const ConvArgs& a, int channel) {
  return (channel < a.out_c ? channel : a.out_c - 1) / a.group_outputs * a.group_bytes;
}

// How far behind the inputs of `channel` those of channel `next` are; 0 where they are in the same
// line of the cache, or the same.
OCTET_INLINE ptrdiff_t NextInputs(const ConvArgs& a, int channel, int next) {
  const ptrdiff_t place = GroupPlace(a, channel), next_place = GroupPlace(a, next);
  return place / 64 == next_place / 64 ? 0 : next_place - place;
}

// Those of the next group are too far apart for the processor to see them coming: without this,
// 56x56 by 256 channels in groups of 8 at a stride of 2 take 1.67 ms instead of 0.63 in floats.
template <int N>
OCTET_INLINE void FetchInputs(const uint8_t* const (&in)[N], ptrdiff_t k) {
  OCTET_UNROLL for (int i = 0; i < N; ++i) __builtin_prefetch(in[i] + k);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_CONV_PLACES_H_
