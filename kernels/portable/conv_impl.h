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
#include "kernels/portable/conv_kinds.h"
#include "kernels/portable/conv_places.h"
#include "kernels/portable/quad_tiles.h"
#include "kernels/portable/side_by_side.h"
#include "kernels/portable/staggered_tiles.h"
#include "kernels/portable/tile.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// `tiles` tiles of MR pixels from `cursor` on, for panels [panel, panel + NR) with their weights at
// `weights`; the first is tile number `first_tile`. Each step of a tile fetches into the L2 cache
// from the weights at `next_weights`, `fetch_step` bytes further each time: weights stream from
// memory once an inference, and the tiles of one group of panels leave ample time to fetch the next
// group.
template <class K, int MR, int NR>
OCTET_NOINLINE void RunTiles(const ConvArgs& a, const Geometry& g, Cursor& cursor,
                             int64_t first_tile, int64_t tiles, int panel, const uint8_t* weights,
                             const uint8_t* next_weights, int fetch_step, int tap_run,
                             Ending ending) {
  const int channel = panel * kLanes;
  const ptrdiff_t run_bytes = static_cast<ptrdiff_t>(a.depth) * K::kInputBytes * tap_run;
  if constexpr (kStaggered<K, MR, NR>) {
    if (IsStaggered<K>(a, NR, tap_run, ending)) {
      const auto run = a.residual != nullptr ? &StaggeredTiles<K, MR, NR, true>::Run
                                             : &StaggeredTiles<K, MR, NR, false>::Run;
      return run(a, g, cursor, first_tile, tiles, panel, weights, next_weights, fetch_step,
                 tap_run);
    }
  }
  const int64_t lines = Lines<K>(a), panel_bytes = lines * K::kLineBytes;
  const ptrdiff_t next_group = NextInputs(a, channel, channel + NR * kLanes);
  using TileType = typename K::template TileType<MR * K::kPlanes, NR>;
  const Biases<K, NR> bias(a, panel);
  Cursor c = cursor;
  for (int64_t t = 0; t < tiles; ++t) {
    const TilePlaces<K, MR> at(a, g, channel, c);
    const uint8_t* fetch = next_weights + (first_tile + t) * lines * fetch_step;
    TileType tile;
    tile.Init(bias.at);
    const uint8_t* w = weights;
    for (int tap = 0; tap < a.taps; tap += tap_run) {
      ptrdiff_t k = a.tap_offsets[tap];
      const ptrdiff_t end = k + run_bytes;
      if (next_group != 0) FetchInputs(at.in, k + next_group);
      if constexpr (TileType::kWide) {
        for (; end - k >= 16; k += 16) {
          OCTET_UNROLL for (int s = 0; s < 4; ++s) {
            __builtin_prefetch(fetch, 0, 2);
            fetch += fetch_step;
          }
          tile.WideStep(at.in, k, w, panel_bytes);
          w += 4 * K::kLineBytes;
        }
        if (k == end) continue;
      }
      do {
        __builtin_prefetch(fetch, 0, 2);
        fetch += fetch_step;
        tile.Step(at.in, k, w, panel_bytes);
        w += K::kLineBytes;
        k += 4;
      } while (k != end);
    }
    FinishPixels<K, MR, NR>(a, channel, tile, at.out, at.res, ending);
  }
  cursor = c;
}

using RunTilesFn = void (*)(const ConvArgs&, const Geometry&, Cursor&, int64_t, int64_t, int,
                            const uint8_t*, const uint8_t*, int, int, Ending);

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

// Taps that follow each other in memory without a gap, as those of a kernel row do when pixels have
// no padding channels, are one longer tap. The length of such runs if all have the same, else 1.
OCTET_INLINE int TapRun(const ConvArgs& a, int element_bytes) {
  const int64_t depth_bytes = static_cast<int64_t>(a.depth) * element_bytes;
  int run = 1;
  while (run < a.taps && a.tap_offsets[run] == a.tap_offsets[run - 1] + depth_bytes) ++run;
  if (a.taps % run != 0) return 1;
  for (int tap = run; tap < a.taps; ++tap) {
    if (tap % run != 0 && a.tap_offsets[tap] != a.tap_offsets[tap - 1] + depth_bytes) return 1;
  }
  return run;
}

// Weights of 16 bits are widened once for a block of pixels instead of in every tile, which took
// 1.11 times as long as fp32 for a ResNet-50 with AVX2: where a block is of so many tiles,
constexpr int64_t kWidenedTiles = 3;
// and as many panels fit ConvArgs::scratch.
struct Widened {
  bool all = false;     // Panels from `first` on at a time, once for all blocks.
  bool filled = false;  // They are there.
  int first = 0;
};

// Where panels [panel, next) are as floats, null where they stay what they are.
template <class K>
const uint8_t* Widen(const ConvArgs& a, const Widened& widened, int64_t tiles, int panel,
                     int next) {
  const int64_t lines = (next - panel) * Lines<K>(a), bytes = Lines<K>(a) * 64;
  if (a.scratch == nullptr ||
      (!widened.all && (tiles < kWidenedTiles || lines * 64 > kConvScratchBytes)))
    return nullptr;
  uint8_t* const floats = a.scratch + (widened.all ? (panel - widened.first) * bytes : 0);
  if (widened.filled) return floats;
  const uint8_t* const halves = a.weights + panel * a.panel_bytes;
  for (int64_t line = 0; line < lines; ++line) {
    Vec::StoreF32(reinterpret_cast<float*>(floats + line * 64),
                  Vec::DepthwiseF16::LoadWeights(halves + line * 32));
  }
  return floats;
}

// Pixels of tiles by so many panels that are taken as long as there are whole ones, or 0.
template <class K>
int WholePixels(const ConvArgs& a, int panels, int tap_run, Ending ending) {
  if constexpr (K::kQuads) {
    if (panels == 1) return QuadTiles<K>::kPixels;
  }
  // 112x112 by 32 channels 24.3 us, 27.7 in tiles of 8 that do not overlap.
  if (panels == 2 && a.residual == nullptr && IsStaggered<K>(a, 2, tap_run, ending))
    return K::StaggeredPixels(2);
  return 0;
}

// RunTiles of WholePixels.
template <class K>
void RunWholeTiles(const ConvArgs& a, const Geometry& g, Cursor& cursor, int64_t tiles, int panel,
                   int panels, const uint8_t* weights, const uint8_t* next_weights, int fetch_step,
                   int tap_run, Ending ending) {
  constexpr int kTwo = K::StaggeredPixels(2);
  if constexpr (K::kQuads) {
    using Quads = QuadTiles<K>;
    if (panels == 1 && Quads::Fit(g, cursor)) {
      return Quads::Run(a, g, cursor, tiles, panel, weights, next_weights, fetch_step, tap_run,
                        ending);
    }
    if (panels == 1) {
      return RunTiles<K, Quads::kPixels, 1>(a, g, cursor, 0, tiles, panel, weights, next_weights,
                                            fetch_step, tap_run, ending);
    }
  }
  if constexpr (kTwo > 0) {
    StaggeredTiles<K, kTwo, 2, false>::Run(a, g, cursor, 0, tiles, panel, weights, next_weights,
                                           fetch_step, tap_run);
  }
}

// The pixels from `start` on by panels [panel_begin, panel_end), which all read the same input; of
// `later` panels behind them the weights are fetched.
template <class K>
void RunPanels(const ConvArgs& a, const Geometry& g, const Cursor& start, int64_t pixels,
               int panel_begin, int panel_end, int later, int tap_run, Ending ending,
               [[maybe_unused]] const Widened& widened) {
  const int panels = panel_end - panel_begin;
  const int parts = static_cast<int>(PartCount(panels, K::kMaxPanels));
  for (int part = 0; part < parts; ++part) {
    const int panel = panel_begin + panels * part / parts;
    const int next = panel_begin + panels * (part + 1) / parts;
    const int after = part + 1 < parts ? panel_begin + panels * (part + 2) / parts : next + later;
    // Equal tiles up to one pixel, so that no tile is too small to hide the latency of its
    // accumulators.
    const int whole = WholePixels<K>(a, next - panel, tap_run, ending);
    int64_t whole_tiles = whole > 0 ? pixels / whole : 0;
    // What is left shall not be a small tile.
    if (whole_tiles > 0 && pixels % whole != 0 && pixels % whole < 4) --whole_tiles;
    const int64_t rest = pixels - whole_tiles * whole;
    const int64_t rest_tiles = PartCount(rest, K::MaxPixels(next - panel));
    const int64_t tiles = whole_tiles + rest_tiles;
    const uint8_t* const next_weights = a.weights + next * a.panel_bytes;
    // Bytes further at each step of a tile: the next panels come evenly spread over the tiles.
    const int fetch_step =
        static_cast<int>(PartCount(K::kLineBytes * int64_t{after - next}, tiles));
    Cursor cursor = start;
    const uint8_t* weights = nullptr;
    RunTilesFn (*pick)(int, int) = &PickTile<K, K::kMaxPanels>;
    if constexpr (K::kHalf) {
      weights = Widen<K>(a, widened, tiles, panel, next);
      if (weights != nullptr) pick = &PickTile<KernelF32, K::kMaxPanels>;
    }
    if (weights == nullptr) weights = a.weights + panel * a.panel_bytes;
    if (whole_tiles > 0) {
      RunWholeTiles<K>(a, g, cursor, whole_tiles, panel, next - panel, weights, next_weights,
                       fetch_step, tap_run, ending);
      if (rest == 0) continue;
    }
    const int small = static_cast<int>(rest / rest_tiles);
    const int64_t large_tiles = rest % rest_tiles;
    if (large_tiles > 0) {
      pick(small + 1, next - panel)(a, g, cursor, whole_tiles, large_tiles, panel, weights,
                                    next_weights, fetch_step, tap_run, ending);
    }
    pick(small, next - panel)(a, g, cursor, whole_tiles + large_tiles, rest_tiles - large_tiles,
                              panel, weights, next_weights, fetch_step, tap_run, ending);
  }
}

// What the quarters of a panel read of which several groups have some.
enum class Quarters {
  kFours,   // Groups of 4 inputs and outputs: one behind the other.
  kEights,  // Of 8, where the instruction set has a way of its own.
  kHalves,  // Two the same.
  kAny,
};

// `tiles` tiles of MR pixels by one panel, of whose channels several groups have some.
template <class K, int MR, Quarters kQuarters>
OCTET_NOINLINE void RunGroupTiles(const ConvArgs& a, const Geometry& g, Cursor& cursor,
                                  int64_t tiles, int panel, Ending ending) {
  const int channel = panel * kLanes;
  ptrdiff_t from[4];
  // What stands behind the last channel has weights of 0.
  for (int q = 0; q < 4; ++q) from[q] = GroupPlace(a, channel + 4 * q);
  const ptrdiff_t tap_bytes = static_cast<ptrdiff_t>(a.depth) * K::kInputBytes;
  const ptrdiff_t next_group = NextInputs(a, channel, channel + kLanes);
  const Biases<K, 1> bias(a, panel);
  Cursor c = cursor;
  for (int64_t t = 0; t < tiles; ++t) {
    const TilePlaces<K, MR> at(a, g, channel, c);
    GroupTile<typename K::Group, MR * K::kPlanes> tile;
    tile.Init(bias.at);
    const uint8_t* w = a.weights + panel * a.panel_bytes;
    for (int tap = 0; tap < a.taps; ++tap) {
      const ptrdiff_t begin = a.tap_offsets[tap];
      if (next_group != 0) FetchInputs(at.in, begin + from[0] + next_group);
      if constexpr (kQuarters == Quarters::kFours || kQuarters == Quarters::kEights) {
        constexpr bool kEights = kQuarters == Quarters::kEights;
        tile.template StepTap<kEights>(at.in, begin + from[0], w, K::kLineBytes);
        w += K::Group::kFours * (kEights ? 2 : 1) * K::kLineBytes;
      } else {
        for (ptrdiff_t k = begin; k != begin + tap_bytes; k += 4) {
          tile.template Step<kQuarters == Quarters::kHalves>(at.in, k, from, w);
          w += K::kLineBytes;
        }
      }
    }
    FinishPixels<K, MR, 1>(a, channel, tile, at.out, at.res, ending);
  }
  cursor = c;
}

template <class Group>
constexpr bool kHasEights = requires(const uint8_t* p) {
  Group::template LoadEights<0>(p);
};

template <class K>
constexpr int kGroupPixels = K::Group::kPixels / K::kPlanes;

template <class K>
void RunGroups(const ConvArgs& a, const Geometry& g, const Cursor& start, int64_t pixels, int panel,
               Ending ending) {
  constexpr int kPixels = kGroupPixels<K>;
  // Twice as many inputs leave registers for half as many sums.
  constexpr int kFewer = (kPixels + 1) / 2;
  Cursor cursor = start;
  const bool whole = (panel + 1) * kLanes <= a.out_c;
  if constexpr (K::kInner) {
    // What is left after one of these is less than a tile.
    const auto run = [&]<Quarters kQuarters>() {
      RunGroupTiles<K, kPixels, kQuarters>(a, g, cursor, pixels / kPixels, panel, ending);
      pixels %= kPixels;
    };
    // Groups of 4 and of 8 have ways of their own, but where they are computed side by side.
    const auto whole_groups_of = [&](int size) {
      return whole && a.group_outputs == size && a.depth == size;
    };
    if constexpr (!kHasAcross<K>) {
      if (whole_groups_of(4)) run.template operator()<Quarters::kFours>();
    }
    if constexpr (!kHasAcross<K> && kHasEights<typename K::Group>) {
      if (whole_groups_of(8)) run.template operator()<Quarters::kEights>();
    }
    if (a.group_outputs % 8 == 0 && pixels >= kPixels) run.template operator()<Quarters::kHalves>();
  }
  RunGroupTiles<K, kFewer, Quarters::kAny>(a, g, cursor, pixels / kFewer, panel, ending);
  RunGroupTiles<K, 1, Quarters::kAny>(a, g, cursor, pixels % kFewer, panel, ending);
}

template <class K>
void Conv(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
          int panel_end) {
  const int64_t pixels = pixel_end - pixel_begin;
  if (pixels <= 0 || panel_end <= panel_begin) return;
  const Geometry g(a);
  const int tap_run = TapRun(a, K::kInputBytes);
  const Ending ending = EndingOf<K>(a, panel_begin, panel_end);
  const bool whole_panels = a.group_outputs % kLanes == 0;
  const int group_panels = whole_panels ? a.group_outputs / kLanes : 1;
  const int64_t blocks = PartCount(pixels, a.pixel_block);
  Widened widened;
  widened.first = panel_begin;
  widened.all = blocks > 1 && (panel_end - panel_begin) * Lines<K>(a) * 64 <= kConvScratchBytes;
  // Blocks of whole tiles.
  const int tile = whole_panels
                       ? K::MaxPixels(group_panels < K::kMaxPanels ? group_panels : K::kMaxPanels)
                       : kGroupPixels<K>;
  for (int64_t block = 0, begin = 0, end; block < blocks; ++block, begin = end) {
    end = block + 1 < blocks ? pixels * (block + 1) / blocks / tile * tile : pixels;
    if (begin == end) continue;  // Of fewer pixels than a tile.
    const Cursor start(a, g, pixel_begin + begin);
    for (int panel = panel_begin, next; panel < panel_end; panel = next) {
      const int channel = panel * kLanes;
      const ptrdiff_t place = GroupPlace(a, channel);
      if (!whole_panels && place != GroupPlace(a, channel + kLanes - 1)) {
        if constexpr (kHasAcross<K>) {
          const int done = SideBySidePanels<K>(a, g, start, end - begin, panel, panel_end, ending);
          if (done > 0) {
            next = panel + done;
            continue;
          }
        }
        if constexpr (K::kQuarters) RunGroups<K>(a, g, start, end - begin, panel, ending);
        next = panel + 1;
        continue;
      }
      // Two of three panels of groups of 24 are of one group as well.
      const int group_end = (panel / group_panels + 1) * group_panels;
      next = group_end < panel_end ? group_end : panel_end;
      Cursor of_group = start;
      of_group.in += place;
      const int left = panel_end - next, most = next - panel;
      RunPanels<K>(a, g, of_group, end - begin, panel, next, left < most ? left : most, tap_run,
                   ending, widened);
    }
    widened.filled = widened.all;
  }
}

// ---- Depthwise: lanes are channels, weights [c/16][tap][16]. ----

// Sums tap by tap.
struct ByTaps {
  template <class Mac, int MR>
  static OCTET_INLINE void Add(const ConvArgs& a, const uint8_t* const (&in)[MR], ptrdiff_t channel,
                               const uint8_t* w, Tile<Mac, MR, 1>& tile) {
    for (int tap = 0; tap < a.taps; ++tap) {
      tile.Step(in, a.tap_offsets[tap] + channel, w, 0);
      w += kLanes * Mac::kWeightBytes;
    }
  }
};

// Pixels of one row, by a window of kSize columns: inputs that several of the pixels have in common
// are loaded once.
template <int kSize, int kStride>
struct ByColumns {
  template <class Mac, int MR, class V = Vec>
  static OCTET_INLINE void Add(const ConvArgs& a, const uint8_t* const (&in)[MR], ptrdiff_t channel,
                               const uint8_t* w, Tile<Mac, MR, 1>& tile) {
    const ptrdiff_t column = a.tap_offsets[1] - a.tap_offsets[0];
    for (int tap = 0; tap < a.taps; tap += kSize) {
      const uint8_t* const row = in[0] + a.tap_offsets[tap] + channel;
      typename Mac::Weights held[kSize];
      OCTET_UNROLL for (int k = 0; k < kSize; ++k) {
        held[k] = Mac::LoadWeights(w);
        w += kLanes * Mac::kWeightBytes;
      }
      OCTET_UNROLL for (int x = 0; x < (MR - 1) * kStride + kSize; ++x) {
        typename Mac::Input v = Mac::LoadInput(row + x * column);
        V::Pin(v);  // Else g++ 12 multiplies floats from memory, each time again.
        OCTET_UNROLL for (int k = 0; k < kSize; ++k) {
          if (x >= k && (x - k) % kStride == 0 && (x - k) / kStride < MR)
            Mac::MulAdd(tile.acc[(x - k) / kStride][0], v, held[k]);
        }
      }
    }
  }
};

template <class K, class Mac, int MR, class Sums>
OCTET_NOINLINE void DepthwiseTiles(const ConvArgs& a, const Geometry& g, Cursor& cursor,
                                   int64_t tiles, int panel_begin, int panel_end, Ending ending) {
  Cursor c = cursor;
  for (int64_t t = 0; t < tiles; ++t) {
    const TilePlaces<K, MR> at(a, g, 0, c);
    for (int panel = panel_begin; panel < panel_end; ++panel) {
      const int channel = panel * kLanes;
      const ptrdiff_t out_bytes = static_cast<ptrdiff_t>(channel) * K::kOutputBytes;
      Tile<Mac, MR * K::kPlanes, 1> tile;
      tile.Init(Biases<K, 1, false>(a, panel).at);  // Its products take activations as they are.
      Sums::Add(a, at.in, static_cast<ptrdiff_t>(channel) * K::kInputBytes,
                a.weights + panel * a.panel_bytes, tile);
      uint8_t* out[MR];
      const uint8_t* res[MR];
      OCTET_UNROLL for (int i = 0; i < MR; ++i) {
        out[i] = at.out[i] + out_bytes;
        res[i] = at.res[i] + out_bytes;
      }
      FinishPixels<K, MR, 1>(a, channel, tile, out, res, ending);
    }
  }
  cursor = c;
}

using DepthwiseFn = void (*)(const ConvArgs&, const Geometry&, Cursor&, int64_t, int, int, Ending);

// Of a window of three or five columns that are as far from each other everywhere, for pixels that
// are one or two of them from the next; else zeros.
struct Columns {
  int size = 0, stride = 0;
};
[[maybe_unused]] OCTET_NOINLINE Columns ColumnsOf(const ConvArgs& a) {
  const int size = a.taps == 9 ? 3 : a.taps == 25 ? 5 : 0;
  if (size == 0) return {};
  const ptrdiff_t column = a.tap_offsets[1] - a.tap_offsets[0];
  for (int tap = 0; tap < a.taps; ++tap) {
    if (a.tap_offsets[tap] - a.tap_offsets[tap / size * size] != tap % size * column) return {};
  }
  if (a.in_pixel_step == column) return {size, 1};
  if (a.in_pixel_step == 2 * column) return {size, 2};
  return {};
}

// The function for such a window, or null. Floats at a stride of 2 gain nothing: their inputs come
// from memory.
template <class K, class Mac, int MR>
DepthwiseFn PickColumns(const ConvArgs& a) {
  const Columns columns = ColumnsOf(a);
  if (columns.stride == 1) {
    return columns.size == 3 ? &DepthwiseTiles<K, Mac, MR, ByColumns<3, 1>>
                             : &DepthwiseTiles<K, Mac, MR, ByColumns<5, 1>>;
  }
  if constexpr (K::kInputBytes < 4) {
    if (columns.stride == 2) {
      return columns.size == 3 ? &DepthwiseTiles<K, Mac, MR, ByColumns<3, 2>>
                               : &DepthwiseTiles<K, Mac, MR, ByColumns<5, 2>>;
    }
  }
  return nullptr;
}

// One pixel x one panel at a time would wait for its own sum at every tap; four sums in turn share
// each line of weights.
template <class K, class Mac, class V = Vec>
void DepthwisePanels(const ConvArgs& a, const Geometry& g, int64_t pixel_begin, int64_t pixel_end,
                     int panel_begin, int panel_end, Ending ending) {
  Cursor c(a, g, pixel_begin);
  constexpr int kPixels = 4 / K::kPlanes;
  const auto some = [&](int64_t pixels) {
    DepthwiseTiles<K, Mac, kPixels, ByTaps>(a, g, c, pixels / kPixels, panel_begin, panel_end,
                                            ending);
    DepthwiseTiles<K, Mac, 1, ByTaps>(a, g, c, pixels % kPixels, panel_begin, panel_end, ending);
  };
  int64_t left = pixel_end - pixel_begin;
  constexpr int kInRow = K::kPlanes == 1 && K::kInner ? V::kDepthwisePixels : 0;
  if constexpr (kInRow > 0) {
    const DepthwiseFn columns = PickColumns<K, Mac, kInRow>(a);
    for (int64_t pixels; columns != nullptr && left > 0; left -= pixels) {
      pixels = g.w - c.x < left ? g.w - c.x : left;
      columns(a, g, c, pixels / kInRow, panel_begin, panel_end, ending);
      some(pixels % kInRow);
    }
  }
  some(left);
}

template <class K, class Mac, class V = Vec>
void Depthwise(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
               int panel_end) {
  if (pixel_end <= pixel_begin) return;
  const Geometry g(a);
  const Ending ending = EndingOf<K>(a, panel_begin, panel_end);
  // Of floats so many panels that the rows of a window stay in the level-1 cache until the next row
  // of pixels needs them: 14x14 by 384 channels 15 to 10 us.
  constexpr bool kInParts = V::kDepthwisePixels > 0 && K::kInputBytes == 4;
  const int panels = panel_end - panel_begin;
  const int parts = kInParts ? static_cast<int>(PartCount(panels, 8)) : 1;
  for (int part = 0; part < parts; ++part) {
    DepthwisePanels<K, Mac>(a, g, pixel_begin, pixel_end, panel_begin + panels * part / parts,
                            panel_begin + panels * (part + 1) / parts, ending);
  }
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_CONV_IMPL_H_
