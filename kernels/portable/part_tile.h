// Tiles for 128-bit instruction sets, where a panel line is four registers: the inputs of all
// pixels are held while the line passes by in quarters.
#ifndef OCTET_KERNELS_PORTABLE_PART_TILE_H_
#define OCTET_KERNELS_PORTABLE_PART_TILE_H_

#include <cstddef>
#include <cstdint>

#include "kernels/portable/tile.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

constexpr int kParts = 4;

template <class Mac, int MR, int NR>
struct PartTile {
  static constexpr bool kWide = Mac::kWide;  // Whether there is WideStep.
  typename Mac::Acc acc[MR][NR];             // Each of kParts registers `v`.

  // As Tile::Init.
  template <int N>
  OCTET_INLINE void Init(const typename Mac::Bias* const (&bias)[N]) {
    OCTET_UNROLL for (int j = 0; j < NR; ++j) {
      OCTET_UNROLL for (int n = 0; n < N; ++n) {
        const typename Mac::Acc b = Mac::LoadBias(bias[n] + j * kLanes);
        OCTET_UNROLL for (int i = n; i < MR; i += N) acc[i][j] = b;
      }
    }
  }

  OCTET_INLINE void Step(const uint8_t* const (&p)[MR], ptrdiff_t k, const uint8_t* w,
                         int64_t panel_bytes) {
    typename Mac::Input a[MR];
    OCTET_UNROLL for (int i = 0; i < MR; ++i) a[i] = Mac::LoadInput(p[i] + k);
    OCTET_UNROLL for (int j = 0; j < NR; ++j) {
      OCTET_UNROLL for (int q = 0; q < kParts; ++q) {
        const typename Mac::Part part = Mac::LoadPart(w + j * panel_bytes + q * Mac::kPartBytes);
        OCTET_UNROLL for (int i = 0; i < MR; ++i) Mac::MulAdd(acc[i][j].v[q], a[i], part);
      }
    }
  }

  // Four steps at once: one load gives a pixel's 16 bytes, the products pick them by lane.
  OCTET_INLINE void WideStep(const uint8_t* const (&p)[MR], ptrdiff_t k, const uint8_t* w,
                             int64_t panel_bytes) {
    typename Mac::WideInput a[MR];
    OCTET_UNROLL for (int i = 0; i < MR; ++i) a[i] = Mac::LoadWide(p[i] + k);
    WideLane<0>(a, w, panel_bytes);
    WideLane<1>(a, w, panel_bytes);
    WideLane<2>(a, w, panel_bytes);
    WideLane<3>(a, w, panel_bytes);
  }

  OCTET_INLINE typename Mac::Acc Get(int i, int j) const { return acc[i][j]; }

 private:
  template <int kLane, class Input>
  OCTET_INLINE void WideLane(const Input (&a)[MR], const uint8_t* w, int64_t panel_bytes) {
    OCTET_UNROLL for (int j = 0; j < NR; ++j) {
      // All loads come first: cores that execute in order would wait for each one before its
      // products.
      typename Mac::Part parts[kParts];
      OCTET_UNROLL for (int q = 0; q < kParts; ++q) {
        parts[q] = Mac::LoadPart(w + j * panel_bytes + (kLane * kParts + q) * Mac::kPartBytes);
      }
      OCTET_UNROLL for (int q = 0; q < kParts; ++q) {
        OCTET_UNROLL for (int i = 0; i < MR; ++i) {
          Mac::template MulAddLane<kLane>(acc[i][j].v[q], a[i], parts[q]);
        }
      }
    }
  }
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_PART_TILE_H_
