// Accumulators of one tile: MR pixels x NR panels. Included by the *_vec.h of an instruction set,
// see conv_impl.h.
#ifndef OCTET_KERNELS_PORTABLE_TILE_H_
#define OCTET_KERNELS_PORTABLE_TILE_H_

#include <cstddef>
#include <cstdint>

#include "kernels/portable/compiler.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

constexpr int kLanes = 16;  // Output channels in a panel.

// Of two panels that are computed together.
enum class Stored { kBoth, kFirst, kSecond };

// Byte shuffles that put bytes 0 and 1 (2 and 3) of each dword into the upper halves of its words,
// zeros into the lower ones.
struct PairShuffles {
  alignas(64) uint8_t order[2][64];
  constexpr PairShuffles() : order() {
    for (int pair = 0; pair < 2; ++pair) {
      for (int i = 0; i < 64; ++i) {
        order[pair][i] =
            static_cast<uint8_t>(i % 2 == 0 ? 128 : i % 16 / 4 * 4 + pair * 2 + i % 4 / 2);
      }
    }
  }
};
inline constexpr PairShuffles kPairShuffles;

// Accumulators of a tile and one step of the reduction. The last panel's weights may be used
// straight from memory where the instruction set can and registers would not suffice.
template <class Mac, int MR, int NR>
struct Tile {
  static constexpr bool kWide = false;
  typename Mac::Acc acc[MR][NR];
  // A line of each of so many panels.
  template <int kPanels, class M = Mac>
  using Lines = typename M::Weights[kPanels];

  // Sums of the pixels take turns to start from each of the biases.
  template <int N>
  OCTET_INLINE void Init(const typename Mac::Bias* const (&bias)[N]) {
    InitPixels<0, MR>(bias);
  }
  template <int kBegin, int kEnd, int N>
  OCTET_INLINE void InitPixels(const typename Mac::Bias* const (&bias)[N]) {
    OCTET_UNROLL for (int j = 0; j < NR; ++j) {
      OCTET_UNROLL for (int n = 0; n < N; ++n) {
        const typename Mac::Acc b = Mac::LoadBias(bias[n] + j * kLanes);
        OCTET_UNROLL for (int i = kBegin + n; i < kEnd; i += N) acc[i][j] = b;
      }
    }
  }

  OCTET_INLINE void Clear() {
    OCTET_UNROLL for (int j = 0; j < NR; ++j) {
      OCTET_UNROLL for (int i = 0; i < MR; ++i) acc[i][j] = Mac::Zero();
    }
  }

  OCTET_INLINE void Step(const uint8_t* const (&p)[MR], ptrdiff_t k, const uint8_t* w,
                         int64_t panel_bytes) {
    constexpr bool kLastFromMemory =
        Mac::kMemoryOperand && (MR * NR + NR) * Mac::kRegistersPerAcc + 1 > Mac::kRegisters;
    constexpr int kHeld = kLastFromMemory ? NR - 1 : NR;
    Lines<kHeld> held;
    LoadLines(w, panel_bytes, held);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) StepPixel(i, p[i] + k, held, w, panel_bytes);
  }

  // The same of one pixel, whose input is at `p`; the lines of panels behind those that are held
  // come from memory.
  template <class W, int kHeld>
  OCTET_INLINE void StepPixel(int i, const uint8_t* p, const W (&held)[kHeld],
                              [[maybe_unused]] const uint8_t* w,
                              [[maybe_unused]] int64_t panel_bytes) {
    const typename Mac::Input a = Mac::LoadInput(p);
    OCTET_UNROLL for (int j = 0; j < kHeld; ++j) Mac::MulAdd(acc[i][j], a, held[j]);
    if constexpr (kHeld < NR) {
      OCTET_UNROLL for (int j = kHeld; j < NR; ++j) {
        Mac::MulAddMemory(acc[i][j], a, w + j * panel_bytes);
      }
    }
  }
  template <class W, int kHeld>
  static OCTET_INLINE void LoadLines(const uint8_t* w, int64_t panel_bytes, W (&held)[kHeld]) {
    OCTET_UNROLL for (int j = 0; j < kHeld; ++j) held[j] = Mac::LoadWeights(w + j * panel_bytes);
  }

  OCTET_INLINE typename Mac::Acc Get(int i, int j) const { return acc[i][j]; }
};

// A tile of lines that hold two elements of depth for each output channel, bfloat16: those in even
// places are multiplied as Even does it, then the odd ones, of the same bytes.
template <class Even, class Odd, int MR, int NR>
struct PairTile : Tile<Even, MR, NR> {
  OCTET_INLINE void Step(const uint8_t* const (&p)[MR], ptrdiff_t k, const uint8_t* w,
                         int64_t panel_bytes) {
    AddHalves<Even>(p, k, w, panel_bytes);
    AddHalves<Odd>(p, k, w, panel_bytes);
  }

 private:
  template <class Mac>
  OCTET_INLINE void AddHalves(const uint8_t* const (&p)[MR], ptrdiff_t k, const uint8_t* w,
                              int64_t panel_bytes) {
    typename Mac::Weights held[NR];
    OCTET_UNROLL for (int j = 0; j < NR; ++j) held[j] = Mac::LoadWeights(w + j * panel_bytes);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      const typename Mac::Input a = Mac::LoadInput(p[i] + k);
      OCTET_UNROLL for (int j = 0; j < NR; ++j) Mac::MulAdd(this->acc[i][j], a, held[j]);
    }
  }
};

// The same for one panel of a grouped convolution, of two Macs of GroupTile.
template <class Even, class Odd>
struct PairGroup : Even {
  struct Weights {
    typename Even::Weights even;
    typename Odd::Weights odd;
  };
  struct Inputs {
    typename Even::Inputs even;
    typename Odd::Inputs odd;
  };
  static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
    return {Even::LoadWeights(w), Odd::LoadWeights(w)};
  }
  template <bool kHalves>
  static OCTET_INLINE Inputs LoadInputs(const uint8_t* p, const ptrdiff_t (&from)[4]) {
    return {Even::template LoadInputs<kHalves>(p, from),
            Odd::template LoadInputs<kHalves>(p, from)};
  }
  static constexpr int kFours = 2;
  template <int kLine>
  static OCTET_INLINE Inputs LoadFours(const uint8_t* p) {
    return LoadInputs<false>(p + 4 * kLine, {0, 8, 16, 24});
  }
  template <int>
  static Inputs LoadEights(const uint8_t*) = delete;  // Even's is of floats.
  static OCTET_INLINE void MulAdd(typename Even::Acc& acc, const Inputs& a, const Weights& w) {
    Even::MulAdd(acc, a.even, w.even);
    Odd::MulAdd(acc, a.odd, w.odd);
  }
};

// One panel of a grouped convolution: each quarter of it reads at a place of its own. `kHalves`:
// two quarters at the same.
template <class Mac, int MR>
struct GroupTile : Tile<Mac, MR, 1> {
  template <bool kHalves>
  OCTET_INLINE void Step(const uint8_t* const (&p)[MR], ptrdiff_t k, const ptrdiff_t (&from)[4],
                         const uint8_t* w) {
    const typename Mac::Weights held = Mac::LoadWeights(w);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      Mac::MulAdd(this->acc[i][0], Mac::template LoadInputs<kHalves>(p[i] + k, from), held);
    }
  }

  // A whole tap of groups of 4, in Mac::kFours lines, or of 8, in twice as many.
  template <bool kEights, int kLine = 0>
  OCTET_INLINE void StepTap(const uint8_t* const (&p)[MR], ptrdiff_t k, const uint8_t* w,
                            int line_bytes) {
    const typename Mac::Weights held = Mac::LoadWeights(w);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      if constexpr (kEights) {
        Mac::MulAdd(this->acc[i][0], Mac::template LoadEights<kLine>(p[i] + k), held);
      } else {
        Mac::MulAdd(this->acc[i][0], Mac::template LoadFours<kLine>(p[i] + k), held);
      }
    }
    if constexpr (kLine + 1 < Mac::kFours * (kEights ? 2 : 1))
      StepTap<kEights, kLine + 1>(p, k, w + line_bytes, line_bytes);
  }
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_TILE_H_
