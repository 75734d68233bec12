// 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): a tile of 4x4 outputs from 6x6 inputs
// with 36 multiplications per channel pair instead of 144 (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2015). Included like conv_impl.h, after it, by instruction sets
// whose Vec has the operations below (OCTET_WINOGRAD).
//
// Integers are exact. The factors 1/4, 1/6 and 1/24 of the weight transform are moved into the
// output transform:
//   G rows (1,0,0) (-1,-1,-1) (-1,1,-1) (1,2,4) (1,-2,4) (0,0,1), so |U| <= 49*127 = 6223;
//   B^T is integer as it is; of non-negative inputs |V| <= (2*2 + 8*8)*255 = 17340; both fit 16
//   bits; A^T's columns are scaled by (6,4,4,1,1,24), so the sums are 24*24 = 576 times the
//   convolution.
// Sums wrap modulo 2^32. Multiplying by the inverse of 9 leaves 64 times the convolution modulo
// 2^32, and an arithmetic shift by 6 gives it exactly when its magnitude is below 2^25, which the
// planner proves per output channel from the weights.
#ifndef OCTET_KERNELS_PORTABLE_WINOGRAD_IMPL_H_
#define OCTET_KERNELS_PORTABLE_WINOGRAD_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/kernel_table.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/conv_impl.h"
#include "kernels/portable/tile.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

constexpr int kWinogradPoints = 36;

// One dimension of the input transform: d and o are six vectors `step` apart. Ops gives Add, Sub,
// Twice and FourTimes.
template <class Ops, class V>
OCTET_INLINE void InputTransform(const V* d, int step, V* o, int out_step) {
  const V d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step],
          d5 = d[5 * step];
  const V t0 = Ops::Sub(d4, Ops::FourTimes(d2)), t1 = Ops::Sub(d3, Ops::FourTimes(d1));
  const V t2 = Ops::Sub(d4, d2), t3 = Ops::Twice(Ops::Sub(d3, d1));
  o[0] = Ops::Add(Ops::FourTimes(Ops::Sub(d0, d2)), t2);
  o[out_step] = Ops::Add(t0, t1);
  o[2 * out_step] = Ops::Sub(t0, t1);
  o[3 * out_step] = Ops::Add(t2, t3);
  o[4 * out_step] = Ops::Sub(t2, t3);
  o[5 * out_step] = Ops::Add(Ops::FourTimes(Ops::Sub(d1, d3)), Ops::Sub(d5, d3));
}

struct WinogradF32 {
  using Kernel = KernelF32;
  using Mac = Vec::MacF32;
  using Value = Vec::F32;  // 16 channels of V.
  using Acc = Vec::F32;
  static constexpr int kInputBytes = 4, kValueBytes = 4, kStepBytes = 4, kLineBytes = 64;

  static OCTET_INLINE Value Add(Value a, Value b) { return Vec::Add(a, b); }
  static OCTET_INLINE Value Sub(Value a, Value b) { return Vec::SubF32(a, b); }
  static OCTET_INLINE Value Twice(Value a) { return Vec::Add(a, a); }
  static OCTET_INLINE Value FourTimes(Value a) { return Vec::Mul(a, Vec::SplatF32(4.0f)); }
  static OCTET_INLINE Value Load(const uint8_t* p) {
    return Vec::LoadF32(reinterpret_cast<const float*>(p));
  }
  static OCTET_INLINE void Store(uint8_t* p, Value v) {
    Vec::StoreF32(reinterpret_cast<float*>(p), v);
  }
  static OCTET_INLINE Acc LoadAcc(const uint8_t* p) { return Load(p); }
  static OCTET_INLINE void StoreAcc(uint8_t* p, Acc v) { Store(p, v); }

  static OCTET_INLINE void OutputTransform(const Acc* m, int step, Acc* y, int out_step) {
    const Acc s12 = Add(m[step], m[2 * step]), d12 = Sub(m[step], m[2 * step]);
    const Acc s34 = Add(m[3 * step], m[4 * step]), d34 = Sub(m[3 * step], m[4 * step]);
    y[0] = Add(Add(m[0], s12), s34);
    y[out_step] = Add(d12, Twice(d34));
    y[2 * out_step] = Add(s12, FourTimes(s34));
    y[3 * out_step] = Add(Add(d12, Twice(FourTimes(d34))), m[5 * step]);
  }
  static OCTET_INLINE Acc Result(Acc y, const ConvArgs& a, int channel) {
    return Add(y, Vec::LoadF32(a.float_bias + channel));
  }
};

template <class OutputKernel>
struct WinogradU8 {
  using Kernel = OutputKernel;
  using Mac = Vec::MacI16;
  using Value = Vec::I16;  // 16 channels of V.
  using Acc = Vec::I32;
  static constexpr int kInputBytes = 1, kValueBytes = 2, kStepBytes = 4, kLineBytes = 64;

  static OCTET_INLINE Value Add(Value a, Value b) { return Vec::AddI16(a, b); }
  static OCTET_INLINE Value Sub(Value a, Value b) { return Vec::SubI16(a, b); }
  static OCTET_INLINE Value Twice(Value a) { return Vec::AddI16(a, a); }
  static OCTET_INLINE Value FourTimes(Value a) { return Vec::ShiftLeftI16<2>(a); }
  static OCTET_INLINE Value Load(const uint8_t* p) { return Vec::WidenU8ToI16(p); }
  static OCTET_INLINE void Store(uint8_t* p, Value v) { Vec::StoreI16(p, v); }
  static OCTET_INLINE Acc LoadAcc(const uint8_t* p) {
    return Vec::LoadI32(reinterpret_cast<const int32_t*>(p));
  }
  static OCTET_INLINE void StoreAcc(uint8_t* p, Acc v) {
    Vec::StoreI32(reinterpret_cast<int32_t*>(p), v);
  }

  static OCTET_INLINE void OutputTransform(const Acc* m, int step, Acc* y, int out_step) {
    const Acc s12 = Vec::ShiftLeft<2>(Vec::AddI32(m[step], m[2 * step]));
    const Acc d12 = Vec::ShiftLeft<2>(Vec::Sub(m[step], m[2 * step]));
    const Acc s34 = Vec::AddI32(m[3 * step], m[4 * step]);
    const Acc d34 = Vec::ShiftLeft<1>(Vec::Sub(m[3 * step], m[4 * step]));
    const Acc m0 = m[0], m5 = m[5 * step];
    const Acc three0 = Vec::AddI32(Vec::AddI32(m0, m0), m0),
              three5 = Vec::AddI32(Vec::AddI32(m5, m5), m5);
    y[0] = Vec::AddI32(Vec::AddI32(Vec::ShiftLeft<1>(three0), s12), s34);
    y[out_step] = Vec::AddI32(d12, d34);
    y[2 * out_step] = Vec::AddI32(s12, Vec::ShiftLeft<2>(s34));
    y[3 * out_step] =
        Vec::AddI32(Vec::AddI32(d12, Vec::ShiftLeft<2>(d34)), Vec::ShiftLeft<3>(three5));
  }
  static OCTET_INLINE Acc Result(Acc y, const ConvArgs& a, int channel) {
    // 9 * 0x38E38E39 = 1 modulo 2^32.
    const Acc exact = Vec::ShiftRight<6>(Vec::MulLow(y, static_cast<int32_t>(0x38E38E39)));
    return Vec::AddI32(exact, Vec::LoadI32(a.bias + channel));
  }
};

// V of one tile: point x of channels [c, c+16) at v + x * point_bytes + c * kValueBytes.
template <class K>
OCTET_INLINE void TransformTile(const uint8_t* in, int64_t row_step, int64_t pixel_step,
                                int channels, uint8_t* v, int64_t point_bytes) {
  using Value = typename K::Value;
  for (int c = 0; c < channels; c += kLanes) {
    Value d[kWinogradPoints], e[kWinogradPoints];
    OCTET_KEEP_LOOP for (int x = 0; x < 6; ++x) {
      Value column[6];
      const uint8_t* p = in + x * pixel_step + c * K::kInputBytes;
      OCTET_UNROLL for (int y = 0; y < 6; ++y) column[y] = K::Load(p + y * row_step);
      InputTransform<K>(column, 1, d + x, 6);
    }
    OCTET_KEEP_LOOP for (int y = 0; y < 6; ++y) {
      InputTransform<K>(d + y * 6, 1, e, 1);
      uint8_t* out = v + y * 6 * point_bytes + c * K::kValueBytes;
      OCTET_UNROLL for (int x = 0; x < 6; ++x) K::Store(out + x * point_bytes, e[x]);
    }
  }
}

// M[tile][NR*16] = V[tile][channels] x U for one point.
template <class K, int MR, int NR>
OCTET_NOINLINE void WinogradProduct(const uint8_t* v, int64_t tile_bytes, int tiles,
                                    const uint8_t* w, int64_t panel_bytes, uint8_t* m,
                                    int64_t m_bytes) {
  for (int t = 0; t < tiles; ++t) {
    const uint8_t* in[MR];
    OCTET_UNROLL for (int i = 0; i < MR; ++i) in[i] = v + i * tile_bytes;
    Tile<typename K::Mac, MR, NR> tile;
    tile.Clear();
    const uint8_t* line = w;
    ptrdiff_t k = 0;
    do {
      tile.Step(in, k, line, panel_bytes);
      line += K::kLineBytes;
      k += K::kStepBytes;
    } while (k != tile_bytes);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      OCTET_UNROLL for (int j = 0; j < NR; ++j)
          K::StoreAcc(m + i * m_bytes + j * 64, tile.Get(i, j));
    }
    v += MR * tile_bytes;
    m += MR * m_bytes;
  }
}

using WinogradProductFn = void (*)(const uint8_t*, int64_t, int, const uint8_t*, int64_t, uint8_t*,
                                   int64_t);

template <class K, int NR, class Sequence>
struct WinogradRow;
template <class K, int NR, int... I>
struct WinogradRow<K, NR, std::integer_sequence<int, I...>> {
  static constexpr WinogradProductFn kRun[] = {&WinogradProduct<K, I + 1, NR>...};
};

template <int MR, int NR, class Acc>
struct OutputRow {
  Acc y[MR][NR];
  OCTET_INLINE Acc Get(int i, int j) const { return y[i][j]; }
};

// Output of one tile for NR panels: columns [x, x+4) of rows [y, y+4), as far as they exist.
template <class K, int NR>
OCTET_INLINE void FinishTile(const ConvArgs& a, int panel, int n, int y0, int x0, const uint8_t* m,
                             int64_t point_bytes, uint8_t* spare) {
  using Acc = typename K::Acc;
  Acc rows[4][4][NR];
  OCTET_KEEP_LOOP for (int j = 0; j < NR; ++j) {
    Acc half[4 * 6];
    OCTET_KEEP_LOOP for (int x = 0; x < 6; ++x) {
      Acc column[6];
      OCTET_UNROLL for (int y = 0; y < 6; ++y) column[y] =
          K::LoadAcc(m + (y * 6 + x) * point_bytes + j * 64);
      K::OutputTransform(column, 1, half + x, 6);
    }
    OCTET_KEEP_LOOP for (int y = 0; y < 4; ++y) {
      Acc out[4];
      K::OutputTransform(half + y * 6, 1, out, 1);
      OCTET_UNROLL for (int x = 0; x < 4; ++x) rows[y][x][j] =
          K::Result(out[x], a, (panel + j) * kLanes);
    }
  }
  const int channel = panel * kLanes;
  for (int y = 0; y < 4 && y0 + y < a.out_h; ++y) {
    OutputRow<4, NR, Acc> row;
    uint8_t* out[4];
    const uint8_t* res[4];
    OCTET_UNROLL for (int x = 0; x < 4; ++x) {
      OCTET_UNROLL for (int j = 0; j < NR; ++j) row.y[x][j] = rows[y][x][j];
      const bool inside = x0 + x < a.out_w;
      out[x] = inside ? a.output + n * a.out_image_stride + (y0 + y) * a.out_row_stride +
                            (x0 + x) * a.out_pixel_stride + channel * K::Kernel::kOutputBytes
                      : spare;
      res[x] = inside && a.residual != nullptr
                   ? a.residual + n * a.res_image_stride + (y0 + y) * a.res_row_stride +
                         (x0 + x) * a.res_pixel_stride + channel * K::Kernel::kOutputBytes
                   : spare;
    }
    FinishAny<typename K::Kernel, 4, NR>(a, channel, row, out, res);
  }
}

template <class K, int NR>
void FinishTiles(const ConvArgs& a, int panel, int64_t first, int tiles, int tiles_w, int per_image,
                 const uint8_t* m, int64_t m_bytes, int64_t point_bytes, uint8_t* spare) {
  for (int t = 0; t < tiles; ++t, m += m_bytes) {
    const int n = static_cast<int>((first + t) / per_image),
              at = static_cast<int>((first + t) % per_image);
    FinishTile<K, NR>(a, panel, n, at / tiles_w * 4, at % tiles_w * 4, m, point_bytes, spare);
  }
}

template <class K, int NR>
void WinogradPanels(const WinogradArgs& w, int panel, int64_t first, int tiles, const uint8_t* v,
                    int64_t point_bytes, uint8_t* m, uint8_t* spare) {
  const ConvArgs& a = w.conv;
  const int tiles_w = (a.out_w + 3) / 4, per_image = tiles_w * ((a.out_h + 3) / 4);
  const int64_t tile_bytes = static_cast<int64_t>(w.channels) * K::kValueBytes;
  const int64_t m_bytes = NR * 64, m_point = tiles * m_bytes;
  const int64_t point_weights = static_cast<int64_t>(w.channels) * K::kValueBytes * kLanes;
  constexpr int kMaxPixels = K::Kernel::MaxPixels(NR);
  const int parts = static_cast<int>(PartCount(tiles, kMaxPixels));
  const int small = tiles / parts, large_parts = tiles % parts;
  constexpr const WinogradProductFn* kRun =
      WinogradRow<K, NR, std::make_integer_sequence<int, kMaxPixels>>::kRun;
  for (int x = 0; x < kWinogradPoints; ++x) {
    const uint8_t* weights = w.weights + panel * w.panel_bytes + x * point_weights;
    const uint8_t* vx = v + x * point_bytes;
    uint8_t* mx = m + x * m_point;
    if (large_parts > 0)
      kRun[small](vx, tile_bytes, large_parts, weights, w.panel_bytes, mx, m_bytes);
    const int done = large_parts * (small + 1);
    kRun[small - 1](vx + done * tile_bytes, tile_bytes, parts - large_parts, weights, w.panel_bytes,
                    mx + done * m_bytes, m_bytes);
  }
  FinishTiles<K, NR>(a, panel, first, tiles, tiles_w, per_image, m, m_bytes, m_point, spare);
}

template <class K, int NR>
void PickPanels(int panels, const WinogradArgs& w, int panel, int64_t first, int tiles,
                const uint8_t* v, int64_t point_bytes, uint8_t* m, uint8_t* spare) {
  if constexpr (NR > 1) {
    if (panels < NR)
      return PickPanels<K, NR - 1>(panels, w, panel, first, tiles, v, point_bytes, m, spare);
  }
  WinogradPanels<K, NR>(w, panel, first, tiles, v, point_bytes, m, spare);
}

template <class K>
void Winograd(const WinogradArgs& w, int64_t tile_begin, int64_t tile_end, uint8_t* scratch) {
  const ConvArgs& a = w.conv;
  const int tiles_w = (a.out_w + 3) / 4, per_image = tiles_w * ((a.out_h + 3) / 4);
  const int panels = (a.out_c + kLanes - 1) / kLanes;
  const int groups = static_cast<int>(PartCount(panels, K::Kernel::kMaxPanels));
  uint8_t* spare = scratch;
  uint8_t* v = scratch + kWinogradSpareBytes;
  uint8_t* m =
      v + kWinogradPoints * static_cast<int64_t>(w.tile_block) * w.channels * K::kValueBytes;
  const int64_t blocks = PartCount(tile_end - tile_begin, w.tile_block);
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t begin = tile_begin + (tile_end - tile_begin) * b / blocks;
    const int tiles =
        static_cast<int>(tile_begin + (tile_end - tile_begin) * (b + 1) / blocks - begin);
    const int64_t tile_bytes = static_cast<int64_t>(w.channels) * K::kValueBytes;
    const int64_t point_bytes = tiles * tile_bytes;
    for (int t = 0; t < tiles; ++t) {
      const int n = static_cast<int>((begin + t) / per_image),
                at = static_cast<int>((begin + t) % per_image);
      const uint8_t* in = a.input + n * a.in_image_stride + at / tiles_w * 4 * a.in_row_step +
                          at % tiles_w * 4 * a.in_pixel_step;
      TransformTile<K>(in, a.in_row_step, a.in_pixel_step, w.channels, v + t * tile_bytes,
                       point_bytes);
    }
    for (int group = 0; group < groups; ++group) {
      const int panel = panels * group / groups, next = panels * (group + 1) / groups;
      PickPanels<K, K::Kernel::kMaxPanels>(next - panel, w, panel, begin, tiles, v, point_bytes, m,
                                           spare);
    }
  }
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_WINOGRAD_IMPL_H_
