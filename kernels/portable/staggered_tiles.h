// Tiles whose pixels end one after the other. Included by conv_impl.h.
#ifndef OCTET_KERNELS_PORTABLE_STAGGERED_TILES_H_
#define OCTET_KERNELS_PORTABLE_STAGGERED_TILES_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/kernel_table.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/conv_places.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// Steps of depth by which a part of a tile is ahead. What makes results of half a tile's sums takes
// as long as so many, in units that do not multiply: four instructions a sum with a residual, else
// two. A row of an RGB stem, which has none, is six steps long.
constexpr int StepsAhead(bool residual) { return residual ? 8 : 6; }

// Whether a convolution of bytes may be computed by StaggeredTiles. Of two panels the steps ahead
// may be in several runs of taps.
template <class K>
OCTET_INLINE bool IsStaggered(const ConvArgs& a, int panels, int tap_run, Ending ending) {
  const int64_t steps = panels == 2 ? Lines<K>(a) : int64_t{a.depth} * tap_run / 4;
  return ending == Ending::kSaturating && steps >= StepsAhead(a.residual != nullptr);
}

// While results are scaled, rounded and stored, nothing is multiplied: with 64 input channels for a
// third of the time. Here half of a tile's pixels are some steps ahead. When they end, the others
// still multiply, and while those end, the next tile begins. The steps ahead are the same ones, of
// which the others are behind, so that sums are in another order: this is for integers.
template <class K, int MR, int NR, bool kResidual>
class StaggeredTiles {
 public:
  // As RunTiles, of whose first run of taps there are kAhead steps or more.
  static OCTET_NOINLINE void Run(const ConvArgs& a, const Geometry& g, Cursor& cursor,
                                 int64_t first_tile, int64_t tiles, int panel,
                                 const uint8_t* weights, const uint8_t* next_weights,
                                 int fetch_step, int tap_run) {
    const int channel = panel * kLanes;
    const ptrdiff_t run_bytes = static_cast<ptrdiff_t>(a.depth) * K::kInputBytes * tap_run;
    const int64_t lines = Lines<K>(a), panel_bytes = lines * K::kLineBytes;
    const Biases<K, NR> bias(a, panel);
    const Offsets ahead(a, run_bytes, tap_run);
    Cursor c = cursor;
    StaggeredTiles s(a, channel);
    // Before the first tile something is finished, too, for nothing.
    s.tile_.template InitPixels<kFirst, MR>(bias.at);
    uint8_t unused[NR * kLanes * K::kOutputBytes];
    Places before;
    OCTET_UNROLL for (int i = kFirst; i < MR; ++i) {
      before.out[i] = unused;
      before.res[i] = c.res;
    }
    for (int64_t t = 0; t < tiles; ++t) {
      const Places at = NextPlaces<K, MR>(a, g, channel, c);
      const uint8_t* fetch = next_weights + (first_tile + t) * lines * fetch_step;
      // One pixel by itself, as registers would not suffice for more.
      s.template Finish<kFirst, kFirst + 1>(before);
      s.tile_.template InitPixels<0, kFirst>(bias.at);
      s.template Begin<0, kFirst, kFirst + 1, MR>(at.in, ahead, weights, panel_bytes, before);
      s.tile_.template InitPixels<kFirst, MR>(bias.at);
      const uint8_t* w = weights + kAhead * K::kLineBytes;
      ptrdiff_t k = ahead.next;
      for (int tap = ahead.tap; tap < a.taps;) {
        for (const ptrdiff_t end = a.tap_offsets[tap] + run_bytes; k != end; k += 4) {
          __builtin_prefetch(fetch, 0, 2);
          fetch += fetch_step;
          s.tile_.Step(at.in, k, w, panel_bytes);
          w += K::kLineBytes;
        }
        tap += tap_run;
        if (tap >= a.taps) break;
        k = a.tap_offsets[tap];
      }
      s.template Finish<0, 1>(at);
      s.template Begin<kFirst, MR, 1, kFirst>(at.in, ahead, weights, panel_bytes, at);
      OCTET_UNROLL for (int i = kFirst; i < MR; ++i) {
        before.out[i] = at.out[i];
        before.res[i] = at.res[i];
      }
    }
    s.template Finish<kFirst, MR>(before);
    cursor = c;
  }

 private:
  static constexpr int kAhead = StepsAhead(kResidual);
  static constexpr int kFirst = (MR + 1) / 2;  // So many pixels are ahead.
  using Places = TilePlaces<K, MR>;
  using TileType = typename K::template TileType<MR, NR>;
  template <int kCount>
  using Numbers = std::make_integer_sequence<int, kCount>;

  // Of the steps ahead, and of the one behind them.
  struct Offsets {
    ptrdiff_t of[NR == 2 ? kAhead : 1];
    ptrdiff_t next;
    int tap = 0;

    OCTET_INLINE Offsets(const ConvArgs& a, ptrdiff_t run_bytes, int tap_run) {
      of[0] = next = a.tap_offsets[0];
      if constexpr (NR == 2) {
        ptrdiff_t end = next + run_bytes;
        OCTET_KEEP_LOOP for (int step = 0; step < kAhead; ++step) {
          of[step] = next;
          next += 4;
          if (next != end) continue;
          tap += tap_run;
          next = tap < a.taps ? a.tap_offsets[tap] : 0;
          end = next + run_bytes;
        }
      } else {
        next += 4 * kAhead;
      }
    }
    OCTET_INLINE ptrdiff_t Of(int step) const { return NR == 2 ? of[step] : of[0] + 4 * step; }
  };

  OCTET_INLINE StaggeredTiles(const ConvArgs& a, int channel)
      : a_(a), multiplier_(a.multiplier + channel) {}

  // Makes of a sum what it is in steps of the output, in the same register: with others g++ 12
  // copies sums through memory. Behind the last sum of a pixel its results are stored.
  template <int kPixel, int kPanel, class V = Vec>
  OCTET_INLINE void FinishSum(const Places& at) {
    auto& sums = tile_.acc[kPixel];
    using Sum = decltype(tile_.Get(0, 0));
    sums[kPanel] = __builtin_bit_cast(
        Sum, K::template Scaled<kResidual>(a_, sums[kPanel], multiplier_ + kPanel * kLanes,
                                           at.res[kPixel] + kPanel * kLanes));
    V::Pin(sums[kPanel]);
    if constexpr (kPanel == NR - 1) {
      Vec::F32 v[NR];
      OCTET_UNROLL for (int j = 0; j < NR; ++j) v[j] = __builtin_bit_cast(Vec::F32, sums[j]);
      Vec::StoreU8<NR>(at.out[kPixel], v, a_.out_zero);
    }
  }

  // Numbers of sums and of steps are in types, as g++ 12 leaves sums in memory that a loop finds by
  // their number.
  template <int kBegin, int... kSum>
  OCTET_INLINE void Finish(const Places& at, std::integer_sequence<int, kSum...>) {
    (FinishSum<(kBegin + kSum) / NR, (kBegin + kSum) % NR>(at), ...);
  }
  template <int kBegin, int kEnd>
  OCTET_INLINE void Finish(const Places& at) {
    Finish<kBegin * NR>(at, Numbers<(kEnd - kBegin) * NR>());
  }

  // The first steps of pixels [kBegin, kEnd), between which pixels [kDone, kDoneEnd) are finished.
  template <int kBegin, int kEnd, int kDone, int kDoneEnd>
  OCTET_INLINE void Begin(const uint8_t* const (&in)[MR], const Offsets& ahead, const uint8_t* w,
                          int64_t panel_bytes, const Places& done) {
    OCTET_HIDE(w);
    OCTET_HIDE(panel_bytes);
    OCTET_HIDE(multiplier_);
    Steps<kBegin, kEnd - kBegin, kDone * NR, (kDoneEnd - kDone) * NR>(in, ahead, w, panel_bytes,
                                                                      done);
  }
  // From kStep on; kSums sums from kFirstSum on are finished in equal shares.
  template <int kBegin, int kPixels, int kFirstSum, int kSums, int kStep = 0>
  OCTET_INLINE void Steps(const uint8_t* const (&in)[MR], const Offsets& ahead, const uint8_t* w,
                          int64_t panel_bytes, const Places& done) {
    typename TileType::template Lines<NR> held;
    TileType::LoadLines(w, panel_bytes, held);
    StepPixels<kBegin, kFirstSum, kSums, kStep * kPixels>(in, ahead.Of(kStep), held, w, panel_bytes,
                                                          done, Numbers<kPixels>());
    if constexpr (kStep + 1 < kAhead) {
      Steps<kBegin, kPixels, kFirstSum, kSums, kStep + 1>(in, ahead, w + K::kLineBytes, panel_bytes,
                                                          done);
    }
  }
  template <int kBegin, int kFirstSum, int kSums, int kShare, int... kPixel>
  OCTET_INLINE void StepPixels(const uint8_t* const (&in)[MR], ptrdiff_t k,
                               const typename TileType::template Lines<NR>& held, const uint8_t* w,
                               int64_t panel_bytes, const Places& done,
                               std::integer_sequence<int, kPixel...>) {
    constexpr auto sum = [](int share) {
      return kFirstSum + share * kSums / (kAhead * static_cast<int>(sizeof...(kPixel)));
    };
    ((tile_.StepPixel(kBegin + kPixel, in[kBegin + kPixel] + k, held, w, panel_bytes),
      Finish<sum(kShare + kPixel)>(done,
                                   Numbers<sum(kShare + kPixel + 1) - sum(kShare + kPixel)>())),
     ...);
  }

  const ConvArgs& a_;
  const float* multiplier_;
  TileType tile_;
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_STAGGERED_TILES_H_
