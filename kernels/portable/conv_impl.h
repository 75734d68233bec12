// The convolution kernels, written once over the vector interface `Vec` that each instruction set
// provides (see kernels/README.md). Included by exactly one translation unit per instruction set,
// after its *_vec.h and with OCTET_ISA_NAMESPACE defined. Everything is in that namespace and
// nothing of the standard library but types is used, so that no function compiled for a wide
// instruction set can be linked into baseline code.
//
// A tile is MR pixels x NR panels of 16 output channels. Padding is physical, so a pixel has one
// base pointer and every tap is base + tap offset + depth: MR pointers stay in registers and one
// shared index runs over taps and depth.
#ifndef OCTET_KERNELS_PORTABLE_CONV_IMPL_H_
#define OCTET_KERNELS_PORTABLE_CONV_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <utility>

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
    res = a.residual + (n * g.res_image + y * g.res_row + x * g.res_pixel);
  }

  OCTET_INLINE void Next(const Geometry& g) {
    in += g.in_pixel;
    out += g.out_pixel;
    res += g.res_pixel;
    if (++x == g.w) {
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

// ---- Kinds of kernels. ----

struct KernelU8U8 {
  template <int MR, int NR>
  using TileType = Vec::IntTile<MR, NR>;
  static constexpr bool kAdjustBias = Vec::kSignedInput;
  static constexpr int kLineBytes = 64, kInputBytes = 1, kOutputBytes = 1;
  static constexpr int kMaxPanels = Vec::kIntMaxPanels;
  static constexpr int MaxPixels(int panels) { return Vec::IntMaxPixels(panels); }
  static const int32_t* Bias(const ConvArgs& a) { return a.bias; }
  template <class V = Vec>
  static OCTET_INLINE void AdjustBias(const int32_t* bias, const uint8_t* weights, int64_t lines,
                                      int32_t* adjusted) {
    V::AdjustBias(bias, weights, lines, adjusted);
  }

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void Finish(const ConvArgs& a, int channel, const T& tile,
                                  uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR]) {
    const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
    const Vec::F32 res_multiplier = Vec::SplatF32(a.residual_multiplier);
    const Vec::I32 res_zero = Vec::SplatI32(a.residual_zero);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      Vec::F32 v[NR];
      OCTET_UNROLL for (int j = 0; j < NR; ++j) {
        // Separate operations in this order: kernels/README.md, the integer contract.
        v[j] = Vec::Mul(Vec::ToFloat(tile.Get(i, j)),
                        Vec::LoadF32(a.multiplier + channel + j * kLanes));
        if constexpr (kResidual) {
          const Vec::I32 r = Vec::Sub(Vec::WidenU8(res[i] + j * kLanes), res_zero);
          v[j] = Vec::Add(v[j], Vec::Mul(Vec::ToFloat(r), res_multiplier));
        }
        v[j] = Vec::Min(Vec::Max(v[j], low), high);
      }
      Vec::StoreU8<NR>(out[i], v, a.out_zero);
    }
  }
};

struct KernelU8F32 : KernelU8U8 {
  static constexpr int kOutputBytes = 4;

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void Finish(const ConvArgs& a, int channel, const T& tile,
                                  uint8_t* const (&out)[MR], const uint8_t* const (&res)[MR]) {
    const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      OCTET_UNROLL for (int j = 0; j < NR; ++j) {
        Vec::F32 v = Vec::Mul(Vec::ToFloat(tile.Get(i, j)),
                              Vec::LoadF32(a.multiplier + channel + j * kLanes));
        v = Vec::Add(v, Vec::LoadF32(a.float_bias + channel + j * kLanes));
        if constexpr (kResidual) {
          v = Vec::Add(v, Vec::LoadF32(reinterpret_cast<const float*>(res[i]) + j * kLanes));
        }
        v = Vec::Min(Vec::Max(v, low), high);
        Vec::StoreF32(reinterpret_cast<float*>(out[i]) + j * kLanes, v);
      }
    }
  }
};

template <class Mac, int kLine>
struct KernelFloat {
  template <int MR, int NR>
  using TileType = Vec::FloatTile<Mac, MR, NR>;
  static constexpr bool kAdjustBias = false;
  static constexpr int kLineBytes = kLine, kInputBytes = 4, kOutputBytes = 4;
  static constexpr int kMaxPanels = Vec::kFloatMaxPanels;
  static constexpr int MaxPixels(int panels) { return Vec::FloatMaxPixels(panels); }
  static const float* Bias(const ConvArgs& a) { return a.float_bias; }

  template <bool kResidual, int MR, int NR, class T>
  static OCTET_INLINE void Finish(const ConvArgs& a, int, const T& tile, uint8_t* const (&out)[MR],
                                  const uint8_t* const (&res)[MR]) {
    const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      OCTET_UNROLL for (int j = 0; j < NR; ++j) {
        Vec::F32 v = tile.Get(i, j);
        if constexpr (kResidual) {
          v = Vec::Add(v, Vec::LoadF32(reinterpret_cast<const float*>(res[i]) + j * kLanes));
        }
        v = Vec::Min(Vec::Max(v, low), high);
        Vec::StoreF32(reinterpret_cast<float*>(out[i]) + j * kLanes, v);
      }
    }
  }
};
using KernelF32 = KernelFloat<Vec::MacF32, 64>;
using KernelF16 = KernelFloat<Vec::MacF16, 32>;

// ---- Loops. ----

// `tiles` tiles of MR pixels from `cursor` on, for panels [panel, panel + NR). Tile number
// `first_tile + t` fetches panel `first_tile + t` of the `next_panels` panels at `next_weights`
// into the L2 cache, one line a step: weights stream from memory once an inference, and the tiles
// of one group of panels leave ample time to fetch the next group.
template <class K, int MR, int NR>
OCTET_NOINLINE void RunTiles(const ConvArgs& a, const Geometry& g, Cursor& cursor,
                             int64_t first_tile, int64_t tiles, int panel,
                             const uint8_t* next_weights, int next_panels) {
  const int channel = panel * kLanes;
  const uint8_t* const weights = a.weights + panel * a.panel_bytes;
  const ptrdiff_t depth_bytes = static_cast<ptrdiff_t>(a.depth) * K::kInputBytes;
  const int64_t panel_bytes = a.panel_bytes;
  using TileType = typename K::template TileType<MR, NR>;
  const auto* bias = K::Bias(a) + channel;
  alignas(64) int32_t adjusted[K::kAdjustBias ? NR * kLanes : 1];
  if constexpr (K::kAdjustBias) {
    for (int j = 0; j < NR; ++j) {
      K::AdjustBias(bias + j * kLanes, weights + j * panel_bytes, panel_bytes / K::kLineBytes,
                    adjusted + j * kLanes);
    }
    bias = adjusted;
  }
  (void)adjusted;
  Cursor c = cursor;
  for (int64_t t = 0; t < tiles; ++t) {
    const uint8_t* in[MR];
    uint8_t* out[MR];
    const uint8_t* res[MR];
    OCTET_KEEP_LOOP for (int i = 0; i < MR; ++i) {
      in[i] = c.in;
      out[i] = c.out + channel * K::kOutputBytes;
      res[i] = c.res + channel * K::kOutputBytes;
      c.Next(g);
    }
    const int64_t ahead = first_tile + t;
    const ptrdiff_t fetch =
        ahead < next_panels ? next_weights + ahead * panel_bytes - weights : ptrdiff_t{0};
    TileType tile;
    tile.Init(bias);
    const uint8_t* w = weights;
    for (int tap = 0; tap < a.taps; ++tap) {
      ptrdiff_t k = a.tap_offsets[tap];
      const ptrdiff_t end = k + depth_bytes;
      if constexpr (TileType::kWide) {
        for (; end - k >= 16; k += 16) {
          OCTET_UNROLL for (int s = 0; s < 4; ++s) {
            __builtin_prefetch(w + fetch + s * K::kLineBytes, 0, 2);
          }
          tile.WideStep(in, k, w, panel_bytes);
          w += 4 * K::kLineBytes;
        }
        if (k == end) continue;
      }
      do {
        __builtin_prefetch(w + fetch, 0, 2);
        tile.Step(in, k, w, panel_bytes);
        w += K::kLineBytes;
        k += 4;
      } while (k != end);
    }
    if (a.residual != nullptr) {
      K::template Finish<true, MR, NR>(a, channel, tile, out, res);
    } else {
      K::template Finish<false, MR, NR>(a, channel, tile, out, res);
    }
  }
  cursor = c;
}

using RunTilesFn = void (*)(const ConvArgs&, const Geometry&, Cursor&, int64_t, int64_t, int,
                            const uint8_t*, int);

// RunTiles for 1..N pixels.
template <class K, int NR, class Sequence>
struct TileRow;
template <class K, int NR, int... I>
struct TileRow<K, NR, std::integer_sequence<int, I...>> {
  static constexpr RunTilesFn kRun[] = {&RunTiles<K, I + 1, NR>...};
};

template <class K, int NR>
RunTilesFn PickTile(int pixels, int panels) {
  if constexpr (NR > 1) {
    if (panels < NR) return PickTile<K, NR - 1>(pixels, panels);
  }
  return TileRow<K, NR, std::make_integer_sequence<int, K::MaxPixels(NR)>>::kRun[pixels - 1];
}

template <class K>
void Conv(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
          int panel_end) {
  const int64_t pixels = pixel_end - pixel_begin;
  const int panels = panel_end - panel_begin;
  if (pixels <= 0 || panels <= 0) return;
  const Geometry g(a);
  const int64_t blocks = PartCount(pixels, a.pixel_block);
  const int groups = static_cast<int>(PartCount(panels, K::kMaxPanels));
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t begin = pixel_begin + pixels * block / blocks;
    const int64_t end = pixel_begin + pixels * (block + 1) / blocks;
    const Cursor start(a, g, begin);
    for (int group = 0; group < groups; ++group) {
      const int panel = panel_begin + panels * group / groups;
      const int next = panel_begin + panels * (group + 1) / groups;
      const int after = group + 1 < groups ? panel_begin + panels * (group + 2) / groups : next;
      // Equal tiles up to one pixel, so that no tile is too small to hide the latency of its
      // accumulators.
      const int64_t tiles = PartCount(end - begin, K::MaxPixels(next - panel));
      const int small = static_cast<int>((end - begin) / tiles);
      const int64_t large_tiles = (end - begin) % tiles;
      const uint8_t* const next_weights = a.weights + next * a.panel_bytes;
      Cursor cursor = start;
      if (large_tiles > 0) {
        PickTile<K, K::kMaxPanels>(small + 1, next - panel)(a, g, cursor, 0, large_tiles, panel,
                                                            next_weights, after - next);
      }
      PickTile<K, K::kMaxPanels>(small, next - panel)(
          a, g, cursor, large_tiles, tiles - large_tiles, panel, next_weights, after - next);
    }
  }
}

// ---- Depthwise: lanes are channels, weights [c/16][tap][16]. ----

template <class K, class Mac, int MR>
OCTET_INLINE void DepthwiseTile(const ConvArgs& a, const Geometry& g, Cursor& c, int panel_begin,
                                int panel_end) {
  const uint8_t* in[MR];
  Cursor at = c;
  OCTET_UNROLL for (int i = 0; i < MR; ++i) {
    in[i] = c.in;
    c.Next(g);
  }
  for (int panel = panel_begin; panel < panel_end; ++panel) {
    const int channel = panel * kLanes;
    const uint8_t* w = a.weights + panel * a.panel_bytes;
    Tile<Mac, MR, 1> tile;
    tile.Init(K::Bias(a) + channel);
    for (int tap = 0; tap < a.taps; ++tap) {
      const ptrdiff_t k = a.tap_offsets[tap] + static_cast<ptrdiff_t>(channel) * K::kInputBytes;
      tile.Step(in, k, w, 0);
      w += kLanes * Mac::kWeightBytes;
    }
    uint8_t* out[MR];
    const uint8_t* res[MR];
    Cursor pixel = at;
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      out[i] = pixel.out + channel * K::kOutputBytes;
      res[i] = pixel.res + channel * K::kOutputBytes;
      pixel.Next(g);
    }
    if (a.residual != nullptr) {
      K::template Finish<true, MR, 1>(a, channel, tile, out, res);
    } else {
      K::template Finish<false, MR, 1>(a, channel, tile, out, res);
    }
  }
}

// One pixel x one panel at a time would wait for its own sum at every tap; four pixels in turn
// share each line of weights.
template <class K, class Mac>
void Depthwise(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
               int panel_end) {
  if (pixel_end <= pixel_begin) return;
  const Geometry g(a);
  Cursor c(a, g, pixel_begin);
  int64_t pixel = pixel_begin;
  for (; pixel + 4 <= pixel_end; pixel += 4) {
    DepthwiseTile<K, Mac, 4>(a, g, c, panel_begin, panel_end);
  }
  for (; pixel < pixel_end; ++pixel) DepthwiseTile<K, Mac, 1>(a, g, c, panel_begin, panel_end);
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_CONV_IMPL_H_
