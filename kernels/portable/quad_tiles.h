// Tiles of one panel. Included by conv_impl.h.
#ifndef OCTET_KERNELS_PORTABLE_QUAD_TILES_H_
#define OCTET_KERNELS_PORTABLE_QUAD_TILES_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/kernel_table.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/conv_kinds.h"
#include "kernels/portable/conv_places.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// Tiles of 16 pixels by one panel, for layers of so few channels that finding the pixels' places
// takes its time. Four of them, a quad, are in one row: they have one pointer, which the loop over
// the depth moves on, and three of them are as far from it in every quad. With a pointer for each
// pixel, of which there are more than registers, 32x32 by 16 channels takes 5.85 us instead of 5.6,
// by RGB 3.2 instead of 2.85 (Zen 5).
template <class K, class V = Vec>
class QuadTiles {
 public:
  static constexpr int kPixels = 16;

  static OCTET_INLINE bool Fit(const Geometry& g, const Cursor& c) {
    return g.w % 4 == 0 && c.x % 4 == 0;
  }

  // As RunTiles, of the first tiles.
  static OCTET_NOINLINE void Run(const ConvArgs& a, const Geometry& g, Cursor& cursor,
                                 int64_t tiles, int panel, const uint8_t* weights,
                                 const uint8_t* next_weights, int fetch_step, int tap_run,
                                 Ending ending) {
    const int channel = panel * kLanes;
    const ptrdiff_t run_bytes = static_cast<ptrdiff_t>(a.depth) * K::kInputBytes * tap_run;
    const ptrdiff_t next_group = NextInputs(a, channel, channel + kLanes);
    const Biases<K, 1> bias(a, panel);
    const uint8_t* fetch = next_weights;
    Cursor c = cursor;
    QuadTiles s(g.in_pixel);
    for (int64_t t = 0; t < tiles; ++t) {
      const uint8_t* in[4];
      uint8_t* out[4];
      const uint8_t* res[4];
      OCTET_UNROLL for (int q = 0; q < 4; ++q) {
        in[q] = c.in;
        out[q] = c.out + channel * K::kOutputBytes;
        res[q] = c.res + channel * K::kOutputBytes;
        c.Next(g, 4);
      }
      s.tile_.Init(bias.at);
      const uint8_t* w = weights;
      for (int tap = 0; tap < a.taps; tap += tap_run) {
        const ptrdiff_t offset = a.tap_offsets[tap];
        const uint8_t* p[4] = {in[0] + offset, in[1] + offset, in[2] + offset, in[3] + offset};
        if (next_group != 0) s.FetchInputs(p, next_group);
        ptrdiff_t left = run_bytes;
        for (; left >= 16; left -= 16) {
          if (fetch_step != 0) {
            OCTET_UNROLL for (int i = 0; i < 4; ++i) {
              __builtin_prefetch(fetch, 0, 2);
              fetch += fetch_step;
            }
          }
          s.FourSteps(p, w, std::make_integer_sequence<int, 4>());
          s.Advance(p, 16);
          w += 4 * K::kLineBytes;
        }
        for (; left > 0; left -= 4) {
          __builtin_prefetch(fetch, 0, 2);
          fetch += fetch_step;
          s.Step(p, w);
          s.Advance(p, 4);
          w += K::kLineBytes;
        }
      }
      s.Finish(a, g, channel, out, res, ending);
    }
    cursor = c;
  }

 private:
  using Mac = typename V::MacU8;

  explicit OCTET_INLINE QuadTiles(ptrdiff_t step) : step_(step), three_(3 * step) {}

  // Pixel i of the quad whose first one's input is at p.
  OCTET_INLINE const uint8_t* At(const uint8_t* p, int i) const {
    return i == 0 ? p : i == 1 ? p + step_ : i == 2 ? p + 2 * step_ : p + three_;
  }
  OCTET_INLINE void FetchInputs(const uint8_t* const (&p)[4], ptrdiff_t further) const {
    OCTET_UNROLL for (int i = 0; i < kPixels; ++i)
        __builtin_prefetch(At(p[i / 4], i % 4) + further);
  }
  OCTET_INLINE void Step(const uint8_t* const (&p)[4], const uint8_t* w) {
    const typename Mac::Weights held = Mac::LoadWeights(w);
    OCTET_UNROLL for (int i = 0; i < kPixels; ++i)
        Mac::MulAdd(tile_.acc[i][0], Mac::LoadInput(At(p[i / 4], i % 4)), held);
  }

  // Loading an input for each product is as much as a core does, two a cycle: of all pixels of a
  // quad but the first kLoaded one load gives the inputs of four lines.
  static constexpr int kLoaded = 2;
  template <int... kLine>
  OCTET_INLINE void FourSteps(const uint8_t* const (&p)[4], const uint8_t* w,
                              std::integer_sequence<int, kLine...>) {
    typename Mac::Input four[kPixels];
    OCTET_UNROLL for (int i = 0; i < kPixels; ++i) {
      if (i % 4 >= kLoaded) four[i] = Mac::LoadFour(At(p[i / 4], i % 4));
    }
    (Line<kLine>(p, four, w + kLine * K::kLineBytes), ...);
  }
  template <int kLine>
  OCTET_INLINE void Line(const uint8_t* const (&p)[4], const typename Mac::Input (&four)[kPixels],
                         const uint8_t* w) {
    const typename Mac::Weights held = Mac::LoadWeights(w);
    OCTET_UNROLL for (int i = 0; i < kPixels; ++i) {
      if (i % 4 >= kLoaded) {
        Mac::MulAdd(tile_.acc[i][0], Mac::template Lane<kLine>(four[i]), held);
      } else {
        Mac::MulAdd(tile_.acc[i][0], Mac::LoadInput(At(p[i / 4], i % 4) + 4 * kLine), held);
      }
    }
  }
  // Hidden, as compilers make a pointer of each place and have registers for a few of them.
  OCTET_INLINE void Advance(const uint8_t* (&p)[4], int bytes) {
    OCTET_UNROLL for (int q = 0; q < 4; ++q) {
      p[q] += bytes;
      OCTET_HIDE(p[q]);
    }
    OCTET_HIDE(step_);
    OCTET_HIDE(three_);
  }

  OCTET_INLINE void Finish(const ConvArgs& a, const Geometry& g, int channel,
                           uint8_t* const (&out)[4], const uint8_t* const (&res)[4],
                           Ending ending) const {
    uint8_t* to[kPixels];
    const uint8_t* add[kPixels] = {};
    OCTET_UNROLL for (int i = 0; i < kPixels; ++i) to[i] = out[i / 4] + i % 4 * g.out_pixel;
    if (a.residual != nullptr) {
      OCTET_UNROLL for (int i = 0; i < kPixels; ++i) add[i] = res[i / 4] + i % 4 * g.res_pixel;
    }
    FinishPixels<K, kPixels, 1>(a, channel, tile_, to, add, ending);
  }

  ptrdiff_t step_, three_;
  Tile<Mac, kPixels, 1> tile_;
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_QUAD_TILES_H_
