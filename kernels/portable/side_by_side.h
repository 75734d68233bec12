// Convolutions in groups of 4 and 8 channels, several of which are in a register. Included by
// conv_impl.h.
#ifndef OCTET_KERNELS_PORTABLE_SIDE_BY_SIDE_H_
#define OCTET_KERNELS_PORTABLE_SIDE_BY_SIDE_H_

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/conv_kinds.h"
#include "kernels/portable/conv_places.h"
#include "kernels/portable/tile.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// The Mac of kernels that compute groups of 4 and 8 side by side, whose input is 64 bytes of a
// pixel as they are.
template <class K>
struct AcrossOf {};
#ifdef OCTET_SIDE_BY_SIDE
template <>
struct AcrossOf<KernelU8U8> : Vec::AcrossU8 {};
#endif
#ifdef OCTET_SIDE_BY_SIDE_BF16
template <>
struct AcrossOf<KernelBf16> : Vec::AcrossBf16 {};
template <>
struct AcrossOf<KernelBf16F32> : Vec::AcrossBf16F32 {};
#endif
template <class K>
constexpr bool kHasAcross = requires {
  typename AcrossOf<K>::Order;
};

// The input of AcrossOf is that of several groups; a lane has one of the parts of four bytes that a
// group's consist of. Output number r of all of them is one sum, whose line of weights has the
// weights of every group's output r, so that no input is repeated and none permuted. At the end the
// parts of each group are added.
template <class K, int kGroup>
struct SideBySide {
  using Across = AcrossOf<K>;
  static constexpr int kChannels = 64 / K::kInputBytes, kPanels = kChannels / kLanes;
  static constexpr int kParts = kGroup * K::kInputBytes / 4;
  static constexpr int kMostTaps = 9;
  using Bias = typename Across::Bias;

  alignas(64) uint8_t weights[kMostTaps * kGroup * 64];  // [tap][r], a lane for each part.
  alignas(64) Bias bias[kGroup * kLanes];                // [r]
  // Of the added sums, register by register.
  alignas(64) float multiplier[kPanels * kLanes];
  typename Across::Order order;

  // Of channels [channel, channel + kChannels).
  SideBySide(const ConvArgs& a, int channel) {
    for (int r = 0; r < kGroup; ++r) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const int part = lane % kParts, c = channel + lane / kParts * kGroup + r;
        const uint8_t* from = a.weights + c / kLanes * a.panel_bytes + part * 64 + c % kLanes * 4;
        for (int tap = 0; tap < a.taps; ++tap, from += kParts * 64)
          __builtin_memcpy(weights + (tap * kGroup + r) * 64 + lane * 4, from, 4);
        bias[r * kLanes + lane] = part == 0 ? K::Bias(a)[c] : 0;
      }
    }
    for (int i = 0; i < kChannels; ++i) {
      const int at = Channel(i / kLanes, i % kLanes);
      if constexpr (K::kOutputBytes == 1) multiplier[i] = a.multiplier[channel + at];
      order.Set(at, i / kLanes, i % kLanes);
    }
  }

  // Of which channel the result in a lane of a register is: Sum adds the parts of as many sums as
  // there are parts.
  static constexpr int Channel(int reg, int lane) {
    constexpr int kGroups = 4 / kParts;  // In 128 bits.
    const int r = reg * kParts + lane % 4 / kGroups;
    return kGroup * (lane / 4 * kGroups + lane % 4 % kGroups) + r;
  }

  template <class T>
  static OCTET_INLINE auto Sum(const T& tile, int i, int reg) {
    if constexpr (kParts == 1) {
      return tile.Get(i, reg);
    } else if constexpr (kParts == 2) {
      return Across::AddPairs(tile.Get(i, 2 * reg), tile.Get(i, 2 * reg + 1));
    } else {
      static_assert(kParts == 4);
      return Across::AddPairs(Across::AddPairs(tile.Get(i, 4 * reg), tile.Get(i, 4 * reg + 1)),
                              Across::AddPairs(tile.Get(i, 4 * reg + 2), tile.Get(i, 4 * reg + 3)));
    }
  }

  // `tiles` tiles of MR pixels.
  template <int MR>
  OCTET_NOINLINE void Run(const ConvArgs& a, const Geometry& g, Cursor& cursor, int64_t tiles,
                          int channel, Stored stored) const {
    Cursor c = cursor;
    const ptrdiff_t place = static_cast<ptrdiff_t>(channel) * K::kInputBytes;
    const Bias* const biases[] = {bias};
    for (int64_t t = 0; t < tiles; ++t) {
      const TilePlaces<K, MR> at = NextPlaces<K, MR>(a, g, channel, c);
      Tile<Across, MR, kGroup> tile;
      tile.Init(biases);
      const uint8_t* w = weights;
      for (int tap = 0; tap < a.taps; ++tap) {
        const ptrdiff_t k = a.tap_offsets[tap] + place;
        FetchInputs(at.in, k + 64);
        typename Across::Input x[MR];
        OCTET_UNROLL for (int i = 0; i < MR; ++i) x[i] = Across::LoadInput(at.in[i] + k);
        OCTET_UNROLL for (int r = 0; r < kGroup; ++r, w += 64) {
          const typename Across::Weights line = Across::LoadWeights(w);
          OCTET_UNROLL for (int i = 0; i < MR; ++i) Across::MulAdd(tile.acc[i][r], x[i], line);
        }
      }
      // Not ahead of the loop, whose registers these would take: 28x28 by 256 channels in groups of
      // 8 in bfloat16 took 126 us instead of 85.
      const Vec::F32 low = Vec::SplatF32(a.low), high = Vec::SplatF32(a.high);
      OCTET_UNROLL for (int i = 0; i < MR; ++i) {
        Vec::F32 v[kPanels];
        OCTET_UNROLL for (int reg = 0; reg < kPanels; ++reg) {
          if constexpr (K::kOutputBytes == 1) {
            v[reg] =
                Vec::Mul(Vec::ToFloat(Sum(tile, i, reg)), Vec::LoadF32(multiplier + reg * kLanes));
          } else {
            v[reg] = Vec::Min(Vec::Max(Sum(tile, i, reg), low), high);
          }
        }
        order.Store(at.out[i], v, a.out_zero, stored);
      }
    }
    cursor = c;
  }
};

template <class K, int kGroup>
OCTET_NOINLINE void RunSideBySide(const ConvArgs& a, const Geometry& g, const Cursor& start,
                                  int64_t pixels, int channel, Stored stored) {
  using Groups = SideBySide<K, kGroup>;
  const Groups groups(a, channel);
  // With 24 sums, but for what only ends a network. Of bytes in groups of 8 g++ 12 has no registers
  // for three inputs beside them: 28x28 by 256 channels 49 us, with 16 sums 41.
  constexpr int kPixels = !K::kInner ? 1 : kGroup == 4 ? 6 : K::kOutputBytes == 1 ? 2 : 3;
  Cursor cursor = start;
  if constexpr (kPixels > 1) {
    groups.template Run<kPixels>(a, g, cursor, pixels / kPixels, channel, stored);
    pixels %= kPixels;
  }
  groups.template Run<1>(a, g, cursor, pixels, channel, stored);
}

// As many panels from `panel` on side by side as are to be, and how many that are: 0 where the
// layer is not computed so. Sums of floats are the same whatever part of the panels a thread has,
// so that one of two is stored where the other is not its own.
template <class K>
int SideBySidePanels(const ConvArgs& a, const Geometry& g, const Cursor& start, int64_t pixels,
                     int panel, int panel_end, Ending ending) {
  using Groups = SideBySide<K, 4>;
  const int whole = a.out_c / kLanes;
  if ((a.group_outputs != 4 && a.group_outputs != 8) || a.depth != a.group_outputs ||
      a.taps > Groups::kMostTaps || a.residual != nullptr || panel >= whole ||
      (K::kSaturates && ending != Ending::kSaturating))
    return 0;
  const auto run = a.group_outputs == 4 ? &RunSideBySide<K, 4> : &RunSideBySide<K, 8>;
  const int end = panel_end < whole ? panel_end : whole;
  if (panel + Groups::kPanels <= end) {
    run(a, g, start, pixels, panel * kLanes, Stored::kBoth);
    return Groups::kPanels;
  }
  if (K::kSaturates || whole < Groups::kPanels) return 0;
  static_assert(K::kSaturates || Groups::kPanels == 2);
  const int first = panel > 0 ? panel - 1 : 0;
  run(a, g, start, pixels, first * kLanes, panel == first ? Stored::kFirst : Stored::kSecond);
  return 1;
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_SIDE_BY_SIDE_H_
