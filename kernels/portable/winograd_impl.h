// 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): a tile of 4x4 outputs from 6x6 inputs
// with 36 multiplications per channel pair instead of 144 (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2015). Included like conv_impl.h, after it, by instruction sets
// whose Vec has the operations below (OCTET_WINOGRAD). F(2x2, 3x3), of bfloat16 as such, is the
// same with other transforms (OCTET_WINOGRAD_PAIRS).
//
// Weights are transformed when they are used, for a few panels at a time: what is read from memory
// are the 9 values of the file, not the 36 of the transform (four times the bytes, eight times of
// int8), and nothing is kept. A block of tiles goes through four steps: V, the transformed input;
// then for some panels U, the transformed weights; M, their products; and the output. With few
// tiles (FusedRow) U exists in registers only.
//
// The factors 1/4, -1/6 and 1/24 of the weight transform are moved into the output transform, where
// they cost least and leave integers whole:
//   G' has the rows (1,0,0) (1,1,1) (1,-1,1) (1,2,4) (1,-2,4) (0,0,1), so |U| <= 49*127 = 6223;
//   B^T is as it is; of u8 inputs |V| <= (2*2 + 8*8)*255 = 17340; both fit 16 bits;
//   A^T's columns are scaled by (6,-4,-4,1,1,24), so the sums are 24*24 = 576 times the
//   convolution.
// Of integers, which have no product for that, the first and the last row of G' are 6 times as
// much, with the same bound, and A^T's columns (1,-4,-4,1,1,4): 15 operations of a transform of the
// output instead of 24, for those of weights that the level-2 cache hides.
// F(2, 3) has the points 0, 1, -1 and infinity of F(4, 3)'s 0, 1, -1, 2, -2 and infinity. So a tile
// of which two rows or columns of outputs or fewer are in the image has 4 rows or columns of points
// instead of 6, with the same weights: of 14x14 outputs 484 products instead of 576.
// Integers are exact: sums wrap modulo 2^32, multiplying by the inverse of 9 leaves 64 times the
// convolution modulo 2^32, and an arithmetic shift by 6 gives it exactly when its magnitude is
// below 2^25, which the planner proves per output channel from the weights.
#ifndef OCTET_KERNELS_PORTABLE_WINOGRAD_IMPL_H_
#define OCTET_KERNELS_PORTABLE_WINOGRAD_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/kernel_table.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/conv_impl.h"
#include "kernels/portable/tile.h"
#include "kernels/winograd.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

// One dimension of the weight transform.
template <class Ops, class V>
OCTET_INLINE void WeightTransform(V g0, V g1, V g2, V (&o)[4]) {
  const V s = Ops::Add(g0, g2);
  o[0] = g0;
  o[1] = Ops::Add(s, g1);
  o[2] = Ops::Sub(s, g1);
  o[3] = g2;
}
template <class Ops, class V>
OCTET_INLINE void WeightTransform(V g0, V g1, V g2, V (&o)[6]) {
  const V s = Ops::Add(g0, g2), t = Ops::AddFourTimes(g0, g2), twice = Ops::template Times<2>(g1);
  o[0] = Ops::AtEnd(g0);
  o[1] = Ops::Add(s, g1);
  o[2] = Ops::Sub(s, g1);
  o[3] = Ops::Add(t, twice);
  o[4] = Ops::Sub(t, twice);
  o[5] = Ops::AtEnd(g2);
}

// One dimension of the output transform to kEdge vectors: m are kEdge + 2 vectors. Ops gives Add,
// Sub and Times.
template <class Ops, int kEdge, class V>
OCTET_INLINE void OutputTransform(const V* m, V* y, int out_step) {
  if constexpr (kEdge == 2) {
    y[0] = Ops::Add(Ops::template Times<2>(m[0]), Ops::Add(m[1], m[2]));
    y[out_step] = Ops::Sub(Ops::Sub(m[1], m[2]), Ops::template Times<2>(m[3]));
  } else {
    const V s12 = Ops::template Times<4>(Ops::Add(m[1], m[2]));
    const V d21 = Ops::template Times<4>(Ops::Sub(m[2], m[1]));
    const V s34 = Ops::Add(m[3], m[4]);
    const V d34 = Ops::template Times<2>(Ops::Sub(m[3], m[4]));
    y[out_step] = Ops::Add(d21, d34);
    y[2 * out_step] = Ops::Sub(Ops::template Times<4>(s34), s12);
    if constexpr (Ops::kEndsAreScaled) {
      y[0] = Ops::Add(m[0], Ops::Sub(s34, s12));
      y[3 * out_step] = Ops::Add(d21, Ops::template Times<4>(Ops::Add(d34, m[5])));
    } else {
      y[0] = Ops::Add(Ops::Sub(Ops::template Times<6>(m[0]), s12), s34);
      y[3 * out_step] =
          Ops::Add(Ops::Add(d21, Ops::template Times<4>(d34)), Ops::template Times<24>(m[5]));
    }
  }
}

// The same of half a tile, for the factors of a whole one: 24 times the convolution.
template <class Ops, class V>
OCTET_INLINE void HalfOutputTransform(const V* m, V* y, int out_step) {
  if constexpr (Ops::kEndsAreScaled) {
    const V s = Ops::Add(m[1], m[2]), d = Ops::Sub(m[1], m[2]);
    y[0] = Ops::template Times<4>(Ops::Add(m[0], Ops::template Times<3>(s)));
    y[out_step] = Ops::template Times<4>(Ops::Sub(Ops::template Times<3>(d), m[3]));
  } else {
    V half[2];
    OutputTransform<Ops, 2>(m, half, 1);
    y[0] = Ops::template Times<12>(half[0]);
    y[out_step] = Ops::template Times<12>(half[1]);
  }
}

// One dimension of the input transform: d and o are kEdge + 2 vectors. Ops gives Add, Sub and
// Times.
template <class Ops, int kEdge, class V>
OCTET_INLINE void InputTransform(const V* d, V* o, int out_step) {
  const V d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
  if constexpr (kEdge == 2) {
    o[0] = Ops::Sub(d0, d2);
    o[out_step] = Ops::Add(d1, d2);
    o[2 * out_step] = Ops::Sub(d2, d1);
    o[3 * out_step] = Ops::Sub(d1, d3);
  } else {
    const V d4 = d[4], d5 = d[5];
    const V t0 = Ops::Sub(d4, Ops::template Times<4>(d2)),
            t1 = Ops::Sub(d3, Ops::template Times<4>(d1));
    const V t2 = Ops::Sub(d4, d2), t3 = Ops::template Times<2>(Ops::Sub(d3, d1));
    o[0] = Ops::Add(Ops::template Times<4>(Ops::Sub(d0, d2)), t2);
    o[out_step] = Ops::Add(t0, t1);
    o[2 * out_step] = Ops::Sub(t0, t1);
    o[3 * out_step] = Ops::Add(t2, t3);
    o[4 * out_step] = Ops::Sub(t2, t3);
    o[5 * out_step] = Ops::Add(Ops::template Times<4>(Ops::Sub(d1, d3)), Ops::Sub(d5, d3));
  }
}

struct FloatOps {
  using V = Vec::F32;
  static constexpr bool kEndsAreScaled = false;
  static OCTET_INLINE V AtEnd(V a) { return a; }
  static OCTET_INLINE V Add(V a, V b) { return Vec::Add(a, b); }
  static OCTET_INLINE V Sub(V a, V b) { return Vec::SubF32(a, b); }
  template <int N>
  static OCTET_INLINE V Times(V a) {
    // Without a register for the factor, of which FusedRow has none to spare.
    if constexpr (N == 2) return Vec::Add(a, a);
    return Vec::Mul(a, Vec::SplatF32(static_cast<float>(N)));
  }
  static OCTET_INLINE V AddFourTimes(V a, V b) { return Vec::MulAddF32(b, Vec::SplatF32(4.0f), a); }
};

// Which points of six a tile has in a dimension where it is half a tile.
constexpr int kHalfPoints[] = {0, 1, 2, 5};
OCTET_INLINE bool IsHalfPoint(int i) { return i < 3 || i == 5; }

// 32-bit sums, which wrap.
struct SumOps {
  using V = Vec::I32;
  static constexpr bool kEndsAreScaled = true;
  static OCTET_INLINE V Add(V a, V b) { return Vec::AddI32(a, b); }
  static OCTET_INLINE V Sub(V a, V b) { return Vec::Sub(a, b); }
  template <int N>
  static OCTET_INLINE V Times(V a) {
    static_assert(N == 2 || N == 3 || N == 4);
    if constexpr (N == 3) return Add(a, Add(a, a));
    return Vec::ShiftLeft<N / 2>(a);
  }
};

// 16-bit values: Vec::I16 of 16 lanes, Vec::I32 of 32.
struct ShortOps {
  template <class V>
  static OCTET_INLINE V Add(V a, V b) {
    return Vec::AddI16(a, b);
  }
  template <class V>
  static OCTET_INLINE V Sub(V a, V b) {
    return Vec::SubI16(a, b);
  }
  template <class V>
  static OCTET_INLINE V AtEnd(V a) {
    return Times<2>(Vec::AddI16(a, Times<2>(a)));
  }
  template <int N, class V>
  static OCTET_INLINE V Times(V a) {
    static_assert(N == 2 || N == 4);
    if constexpr (N == 2) return Vec::AddI16(a, a);
    return Vec::template ShiftLeftI16<2>(a);
  }
  template <class V>
  static OCTET_INLINE V AddFourTimes(V a, V b) {
    return Vec::AddI16(a, Times<4>(b));
  }
};

constexpr int MinPanels(int panels) {
  return panels < kWinogradMaxPanels ? panels : kWinogradMaxPanels;
}

// Kernels that differ in their outputs alone have all steps in front of those in common: `Shared`
// is the one of them that these are compiled for, and `Products` the one for products.
template <class OutputKernel, class WeightMac>
struct WinogradFloat {
  using Kernel = OutputKernel;
  using Shared = WinogradFloat;
  using Products = WinogradFloat<KernelF32, Vec::MacF32>;
  using Mac = Vec::MacF32;
  using Value = Vec::F32;  // 16 channels of V.
  using WideValue = Value;
  using Acc = Vec::F32;
  using Line = Vec::F32;  // 16 output channels of U.
  using ValueOps = FloatOps;
  using LineOps = FloatOps;
  using AccOps = FloatOps;
  static constexpr int kEdge = 4;  // Of a tile's outputs.
  static constexpr int kInputBytes = 4, kValueBytes = 4;
  static constexpr int kParts = 1;  // Lines of U from one of weights.
  static constexpr bool kFused = Vec::kFusedWinograd;
  static constexpr int kMaxPanels = MinPanels(Vec::kFloatMaxPanels);
  static constexpr int MaxTiles(int panels) { return Vec::FloatMaxPixels(panels); }

  static OCTET_INLINE void Load(const uint8_t* p, Value* v) { *v = LoadAcc(p); }
  static OCTET_INLINE void Store(uint8_t* p, Value v) {
    Vec::StoreF32(reinterpret_cast<float*>(p), v);
  }
  template <int kPart>
  static OCTET_INLINE Line LoadWeights(const uint8_t* p) {
    return WeightMac::LoadWeights(p);
  }
  static OCTET_INLINE void StoreLine(uint8_t* p, Line v) { Store(p, v); }
  static OCTET_INLINE Acc LoadAcc(const uint8_t* p) {
    return Vec::LoadF32(reinterpret_cast<const float*>(p));
  }
  static OCTET_INLINE void StoreAcc(uint8_t* p, Acc v) { Store(p, v); }
  static OCTET_INLINE Acc Result(Acc y, const ConvArgs& a, int, int channel) {
    return Vec::Add(Vec::Mul(y, Vec::SplatF32(1.0f / 576.0f)),
                    Vec::LoadF32(a.float_bias + channel));
  }
};

// bfloat16, widened when it is read. The lines of U are of one input channel, those of weights of
// two.
template <class OutputKernel>
struct WinogradBf16 : WinogradFloat<OutputKernel, Vec::MacF32> {
  using Shared = WinogradBf16<KernelBf16>;
  using Line = Vec::F32;
  static constexpr int kInputBytes = 2;
  static constexpr int kParts = 2;
  static OCTET_INLINE void Load(const uint8_t* p, Vec::F32* v) { *v = Vec::LoadBf16(p); }
  template <int kPart>
  static OCTET_INLINE Line LoadWeights(const uint8_t* p) {
    return Vec::MacBf16<kPart>::LoadWeights(p);
  }
};

#ifdef OCTET_WINOGRAD_PAIRS
// bfloat16 multiplied as such. Both transforms' results are rounded to it, which tiles of 4x4
// outputs would not bear; those of 2x2 add and subtract alone, but for powers of 2. A line's two
// input channels are transformed as floats and stored beside each other again.
struct PairOps {
  template <class V>
  static OCTET_INLINE V Add(const V& a, const V& b) {
    V sum;
    sum.even = Vec::Add(a.even, b.even);
    sum.odd = Vec::Add(a.odd, b.odd);
    return sum;
  }
  template <class V>
  static OCTET_INLINE V Sub(const V& a, const V& b) {
    V difference;
    difference.even = Vec::SubF32(a.even, b.even);
    difference.odd = Vec::SubF32(a.odd, b.odd);
    return difference;
  }
};

struct WinogradPairs : WinogradFloat<KernelBf16, Vec::MacF32> {
  using Shared = WinogradPairs;
  using Products = WinogradPairs;
  using Mac = Vec::MacBf16Pair;
  struct Value : Vec::Pairs {};  // 16 channels.
  using WideValue = Vec::Pairs;
  using Line = Vec::Pairs;
  using ValueOps = PairOps;
  using LineOps = PairOps;
  static constexpr int kEdge = 2;
  static constexpr int kInputBytes = 2, kValueBytes = 2;
  static constexpr int kParts = 1;
  static constexpr bool kFused = false;
  static constexpr int kMaxPanels = MinPanels(Vec::kBf16MaxPanels);
  static constexpr int MaxTiles(int panels) { return Vec::Bf16MaxPixels(panels); }

  static OCTET_INLINE void Load(const uint8_t* p, Value* v) { *v = {Vec::LoadHalfPairs(p)}; }
  static OCTET_INLINE void Load(const uint8_t* p, Vec::Pairs* v) { *v = Vec::LoadPairs(p); }
  static OCTET_INLINE void Store(uint8_t* p, const Value& v) { Vec::StoreHalfPairs(p, v); }
  static OCTET_INLINE void Store(uint8_t* p, const Vec::Pairs& v) { Vec::StorePairs(p, v); }
  template <int kPart>
  static OCTET_INLINE Line LoadWeights(const uint8_t* p) {
    return Vec::LoadPairs(p);
  }
  static OCTET_INLINE void StoreLine(uint8_t* p, const Line& v) { Vec::StorePairs(p, v); }
  static OCTET_INLINE Vec::F32 Result(Vec::F32 y, const ConvArgs& a, int, int channel) {
    return Vec::Add(Vec::Mul(y, Vec::SplatF32(0.25f)), Vec::LoadF32(a.float_bias + channel));
  }
};
#endif

template <class OutputKernel>
struct WinogradU8 {
  using Kernel = OutputKernel;
  using Shared = WinogradU8<KernelU8U8>;
  using Products = Shared;
  using Mac = Vec::MacI16;
  using Value = Vec::I16;          // 16 channels of V.
  using WideValue = Vec::WideI16;  // 32, if registers are that wide.
  using Acc = Vec::I32;
  using Line = Vec::I32;  // Two input channels of 16 output channels of U.
  using ValueOps = ShortOps;
  using LineOps = ShortOps;
  using AccOps = SumOps;
  static constexpr int kEdge = 4;
  static constexpr int kInputBytes = 1, kValueBytes = 2;
  static constexpr int kParts = 2;
  static constexpr bool kFused = false;
  static constexpr int kMaxPanels = MinPanels(Vec::kIntMaxPanels);
  static constexpr int MaxTiles(int panels) { return Vec::IntMaxPixels(panels); }

  template <class V>
  static OCTET_INLINE void Load(const uint8_t* p, V* v) {
    Vec::WidenU8ToI16(p, v);
  }
  template <class V>
  static OCTET_INLINE void Store(uint8_t* p, V v) {
    Vec::StoreI16(p, v);
  }
  template <int kPart>
  static OCTET_INLINE Line LoadWeights(const uint8_t* p) {
    return Vec::template WidenPairs<kPart>(p);
  }
  static OCTET_INLINE void StoreLine(uint8_t* p, Line v) { StoreAcc(p, v); }
  static OCTET_INLINE Acc LoadAcc(const uint8_t* p) {
    return Vec::LoadI32(reinterpret_cast<const int32_t*>(p));
  }
  static OCTET_INLINE void StoreAcc(uint8_t* p, Acc v) {
    Vec::StoreI32(reinterpret_cast<int32_t*>(p), v);
  }
  static OCTET_INLINE Acc Result(Acc y, const ConvArgs& a, int plane, int channel) {
    // 9 * 0x38E38E39 = 1 modulo 2^32.
    const Acc exact = Vec::ShiftRight<6>(Vec::MulLow(y, static_cast<int32_t>(0x38E38E39)));
    return Vec::AddI32(exact, Vec::LoadI32((plane == 0 ? a.bias : a.low_bias) + channel));
  }
};

// Where a tile of the flattened [batch][ceil(out_h/kEdge)][ceil(out_w/kEdge)] begins in the output.
template <int kEdge>
struct TilePlace {
  int n, y, x;
  bool half_y, half_x;  // Of tiles of 4x4: two rows, or columns, of outputs and four of points.

  TilePlace(const ConvArgs& a, int64_t tile, bool halves) {
    const int tiles_w = (a.out_w + kEdge - 1) / kEdge;
    const int per_image = tiles_w * ((a.out_h + kEdge - 1) / kEdge);
    const int at = static_cast<int>(tile % per_image);
    n = static_cast<int>(tile / per_image);
    y = at / tiles_w * kEdge;
    x = at % tiles_w * kEdge;
    half_y = halves && a.out_h - y <= 2;
    half_x = halves && a.out_w - x <= 2;
  }
};

// In which order a block has its tiles: those at the lower edge that are half as high, then whole
// ones, then those at the right edge that are half as wide, then the corners. So the tiles that
// have a point follow each other.
struct TileOrder {
  int32_t* tiles;  // Has room for all of a block.
  struct {
    int begin, end;  // Of the tiles that have it, in planes.
  } points[36];

  // Tiles [first, first + count) of kPlanes planes each.
  template <int kEdge, int kPlanes>
  void Set(const ConvArgs& a, int64_t first, int count, bool halves) {
    constexpr int kSide = kEdge + 2;
    int ends[4] = {0, count, count, count};
    if (!halves) {
      for (int t = 0; t < count; ++t) tiles[t] = t;
    } else {
      int counts[4] = {}, next[4] = {};
      for (int t = 0; t < count; ++t) ++counts[Kind(TilePlace<kEdge>(a, first + t, true))];
      for (int kind = 0; kind < 4; ++kind) {
        ends[kind] = counts[kind] + (kind > 0 ? ends[kind - 1] : 0);
        next[kind] = ends[kind] - counts[kind];
      }
      for (int t = 0; t < count; ++t) tiles[next[Kind(TilePlace<kEdge>(a, first + t, true))]++] = t;
    }
    for (int i = 0; i < kSide * kSide; ++i) {
      const bool of_low = IsHalfPoint(i / kSide), of_right = IsHalfPoint(i % kSide);
      points[i].begin = of_low ? 0 : kPlanes * ends[0];
      points[i].end = kPlanes * ends[!of_right ? 1 : of_low ? 3 : 2];
    }
  }

 private:
  template <class Place>
  static int Kind(const Place& at) {
    return at.half_y ? (at.half_x ? 3 : 0) : at.half_x ? 2 : 1;
  }
};

// Where V of a tile is: a point x of row y has channels [c, c + 16) at y * row + x * point + c / 16
// * chunk bytes from the tile's own place.
struct ValueStrides {
  int64_t row, point, chunk;
};

// Channels [0, kLanes or 2 * kLanes) of one tile, as Value holds them.
template <class K, class Value, bool kHalf>
OCTET_INLINE void TransformChannels(const uint8_t* in, int64_t row_step, int64_t pixel_step,
                                    uint8_t* v, const ValueStrides& strides, bool half_y,
                                    bool half_x) {
  constexpr int kSide = K::kEdge + 2;
  using Ops = typename K::ValueOps;
  Value d[kSide * kSide], e[kSide];
  const int columns = half_x ? 4 : kSide;
  OCTET_KEEP_LOOP for (int x = 0; x < columns; ++x) {
    Value column[kSide];
    const uint8_t* p = in + x * pixel_step;
    if constexpr (kHalf) {
      if (half_y) {
        OCTET_UNROLL for (int y = 0; y < 4; ++y) K::Load(p + y * row_step, &column[y]);
        InputTransform<Ops, 2>(column, e, 1);
        OCTET_UNROLL for (int y = 0; y < 4; ++y) d[kHalfPoints[y] * kSide + x] = e[y];
        continue;
      }
    }
    OCTET_UNROLL for (int y = 0; y < kSide; ++y) K::Load(p + y * row_step, &column[y]);
    InputTransform<Ops, K::kEdge>(column, d + x, kSide);
  }
  OCTET_KEEP_LOOP for (int y = 0; y < kSide; ++y) {
    uint8_t* out = v + y * strides.row;
    if constexpr (kHalf) {
      if (half_y && !IsHalfPoint(y)) continue;
      if (half_x) {
        InputTransform<Ops, 2>(d + y * kSide, e, 1);
        OCTET_UNROLL for (int x = 0; x < 4; ++x)
            K::Store(out + kHalfPoints[x] * strides.point, e[x]);
        continue;
      }
    }
    InputTransform<Ops, K::kEdge>(d + y * kSide, e, 1);
    OCTET_UNROLL for (int x = 0; x < kSide; ++x) K::Store(out + x * strides.point, e[x]);
  }
}

template <class K, bool kHalf>
OCTET_INLINE void TransformTile(const uint8_t* in, int64_t row_step, int64_t pixel_step,
                                int channels, uint8_t* v, const ValueStrides& strides, bool half_y,
                                bool half_x) {
  int c = 0;
  if constexpr (sizeof(typename K::WideValue) > sizeof(typename K::Value)) {
    for (; c + 2 * kLanes <= channels; c += 2 * kLanes, v += 2 * strides.chunk) {
      TransformChannels<K, typename K::WideValue, kHalf>(in + c * K::kInputBytes, row_step,
                                                         pixel_step, v, strides, half_y, half_x);
    }
  }
  for (; c < channels; c += kLanes, v += strides.chunk) {
    TransformChannels<K, typename K::Value, kHalf>(in + c * K::kInputBytes, row_step, pixel_step, v,
                                                   strides, half_y, half_x);
  }
}

template <class K>
OCTET_NOINLINE void TransformHalfTile(const uint8_t* in, int64_t row_step, int64_t pixel_step,
                                      int channels, uint8_t* v, const ValueStrides& strides,
                                      bool half_y, bool half_x) {
  TransformTile<K, true>(in, row_step, pixel_step, channels, v, strides, half_y, half_x);
}

// The lines of U at all points from part `kPart` of the line of weights at `from`.
template <class K, int kPart>
OCTET_INLINE void TransformLine(const uint8_t* from, int64_t tap_bytes, uint8_t* u,
                                int64_t point_bytes) {
  constexpr int kSide = K::kEdge + 2;
  typename K::Line half[3][kSide];
  OCTET_UNROLL for (int x = 0; x < 3; ++x) {
    WeightTransform<typename K::LineOps>(K::template LoadWeights<kPart>(from + x * tap_bytes),
                                         K::template LoadWeights<kPart>(from + (3 + x) * tap_bytes),
                                         K::template LoadWeights<kPart>(from + (6 + x) * tap_bytes),
                                         half[x]);
  }
  OCTET_UNROLL for (int y = 0; y < kSide; ++y) {
    typename K::Line o[kSide];
    WeightTransform<typename K::LineOps>(half[0][y], half[1][y], half[2][y], o);
    OCTET_UNROLL for (int x = 0; x < kSide; ++x)
        K::StoreLine(u + (y * kSide + x) * point_bytes, o[x]);
  }
}

// U of `panels` panels from `panel` on: [point][panel][line], 64 bytes a line.
template <class K>
OCTET_NOINLINE void TransformWeights(const ConvArgs& a, int panel, int panels, uint8_t* u,
                                     int64_t point_bytes) {
  const int64_t tap_bytes = a.panel_bytes / 9;
  for (int p = 0; p < panels; ++p) {
    const uint8_t* from = a.weights + (panel + p) * a.panel_bytes;
    for (const uint8_t* const end = from + tap_bytes; from != end; from += K::Kernel::kLineBytes) {
      TransformLine<K, 0>(from, tap_bytes, u, point_bytes);
      if constexpr (K::kParts > 1) TransformLine<K, 1>(from, tap_bytes, u + 64, point_bytes);
      u += K::kParts * 64;
    }
  }
}

// Operands of the products at one point.
struct WinogradOperands {
  const uint8_t* v;  // [tile][channel]
  int64_t tile_bytes;
  const uint8_t* u;  // [panel][line], 64 bytes a line
  int64_t panel_bytes;
  uint8_t* m;  // [tile][panel], 64 bytes a panel
  // Each step fetches into the L2 cache from here, `fetch_step` bytes further.
  const uint8_t* fetch;
  int fetch_step;
};

// M[tile][NR*16] = V[tile][channels] x U for one point and MR tiles.
template <class K, int MR, int NR>
OCTET_NOINLINE void WinogradProduct(const WinogradOperands& o) {
  const int64_t tile_bytes = o.tile_bytes, panel_bytes = o.panel_bytes;
  const uint8_t *line = o.u, *fetch = o.fetch;
  const uint8_t* in[MR];
  OCTET_UNROLL for (int i = 0; i < MR; ++i) in[i] = o.v + i * tile_bytes;
  Tile<typename K::Mac, MR, NR> tile;
  tile.Clear();
  ptrdiff_t k = 0;
  do {
    __builtin_prefetch(fetch, 0, 2);
    fetch += o.fetch_step;
    tile.Step(in, k, line, panel_bytes);
    line += 64;
    k += 4;
  } while (k != tile_bytes);
  OCTET_UNROLL for (int i = 0; i < MR; ++i) {
    OCTET_UNROLL for (int j = 0; j < NR; ++j) K::StoreAcc(o.m + (i * NR + j) * 64, tile.Get(i, j));
  }
}

using WinogradProductFn = void (*)(const WinogradOperands&);

template <class K, int NR, class Sequence>
struct WinogradRow;
template <class K, int NR, int... I>
struct WinogradRow<K, NR, std::integer_sequence<int, I...>> {
  static constexpr WinogradProductFn kRun[] = {&WinogradProduct<K, I + 1, NR>...};
};

// ---- Few tiles: weights are transformed in registers, once for every four tiles. ----

constexpr int kFusedTiles = 4;
// 4 tiles of 512 channels: 464 us, 870 us through U; 16 of 256: 465 and 390 us (Zen 5).
constexpr int kMostFusedTiles = 12;
static_assert(kMostFusedTiles <= kWinogradMaxPanels * kWinogradMaxTiles);

// What a call of FusedRow works on: one panel, up to four tiles.
struct FusedOperands {
  const uint8_t* weights;
  int64_t tap_bytes;
  const uint8_t* v;  // [channel / 16][point of the row][kFusedTiles][16]
  int chunks;
  uint8_t* m;  // [point of the row][tile]
  int64_t m_point;
  const uint8_t* fetch;
  int64_t fetch_step;
};

// One input channel, part `kPart` of the line of weights at `w`.
template <class K, int kRow, int T, int kPart>
OCTET_INLINE void FusedChannel(typename K::Acc (&acc)[6][T], const uint8_t* w, int64_t tap,
                               const uint8_t* v) {
  const int64_t row = 3 * tap;
  typename K::Line half[3][6], u[6];
  OCTET_UNROLL for (int x = 0; x < 3; ++x) {
    const uint8_t* const column = w + x * tap;
    WeightTransform<typename K::LineOps>(K::template LoadWeights<kPart>(column),
                                         K::template LoadWeights<kPart>(column + row),
                                         K::template LoadWeights<kPart>(column + 2 * row), half[x]);
  }
  WeightTransform<typename K::LineOps>(half[0][kRow], half[1][kRow], half[2][kRow], u);
  OCTET_UNROLL for (int x = 0; x < 6; ++x) {
    OCTET_UNROLL for (int t = 0; t < T; ++t) {
      K::Mac::MulAddBroadcast(acc[x][t], u[x], v + (x * kFusedTiles + t) * 64);
    }
  }
}

template <class K, int kRow, int T>
OCTET_NOINLINE void FusedRow(const FusedOperands& o) {
  typename K::Acc acc[6][T];
  OCTET_UNROLL for (int x = 0; x < 6; ++x) {
    OCTET_UNROLL for (int t = 0; t < T; ++t) acc[x][t] = K::Mac::Zero();
  }
  const int64_t tap = o.tap_bytes;
  const uint8_t *w = o.weights, *v = o.v, *fetch = o.fetch;
  for (int chunk = 0; chunk < o.chunks; ++chunk) {
    for (int c = 0; c < kLanes; c += K::kParts) {
      __builtin_prefetch(fetch, 0, 2);
      __builtin_prefetch(fetch + 64, 0, 2);
      fetch += K::kParts * o.fetch_step;
      FusedChannel<K, kRow, T, 0>(acc, w, tap, v);
      if constexpr (K::kParts > 1) FusedChannel<K, kRow, T, 1>(acc, w, tap, v + 4);
      v += 4 * K::kParts;
      w += K::Kernel::kLineBytes;
    }
    v += (6 * kFusedTiles - 1) * 64;
  }
  OCTET_UNROLL for (int x = 0; x < 6; ++x) {
    OCTET_UNROLL for (int t = 0; t < T; ++t) K::StoreAcc(o.m + x * o.m_point + t * 64, acc[x][t]);
  }
}

template <class K, int kRow>
void PickFusedRow(int tiles, const FusedOperands& o) {
  constexpr void (*kRun[])(const FusedOperands&) = {&FusedRow<K, kRow, 1>, &FusedRow<K, kRow, 2>,
                                                    &FusedRow<K, kRow, 3>, &FusedRow<K, kRow, 4>};
  static_assert(sizeof(kRun) / sizeof(kRun[0]) == kFusedTiles);
  kRun[tiles - 1](o);
}

template <int MR, int NR, class Acc>
struct OutputRow {
  Acc y[MR][NR];
  OCTET_INLINE Acc Get(int i, int j) const { return y[i][j]; }
};

// The outputs of one tile for NR panels, [row][column and plane][panel], as sums with their bias.
// Its planes follow each other in `m`. Of half a tile (kHalf) some are not written.
template <class K, int NR, int kPlanes, bool kHalf>
OCTET_INLINE void TransformOutput(const ConvArgs& a, int panel,
                                  [[maybe_unused]] const TilePlace<K::kEdge>& at, const uint8_t* m,
                                  int64_t point_bytes,
                                  typename K::Acc (&rows)[K::kEdge][K::kEdge * kPlanes][NR]) {
  using Acc = typename K::Acc;
  using Ops = typename K::AccOps;
  constexpr int kEdge = K::kEdge, kSide = kEdge + 2;
  OCTET_KEEP_LOOP for (int i = 0; i < kPlanes * NR; ++i) {
    const int plane = i / NR, j = i % NR;
    Acc half[kEdge * kSide];
    OCTET_KEEP_LOOP for (int x = 0; x < kSide; ++x) {
      Acc column[kSide];
      const auto load = [&](int y) {
        return K::LoadAcc(m + (y * kSide + x) * point_bytes + i * 64);
      };
      if constexpr (kHalf) {
        if (at.half_x && !IsHalfPoint(x)) continue;
        if (at.half_y) {
          OCTET_UNROLL for (int y = 0; y < 4; ++y) column[y] = load(kHalfPoints[y]);
          HalfOutputTransform<Ops>(column, half + x, kSide);
          continue;
        }
      }
      OCTET_UNROLL for (int y = 0; y < kSide; ++y) column[y] = load(y);
      OutputTransform<Ops, kEdge>(column, half + x, kSide);
    }
    const int height = kHalf && at.half_y ? 2 : kEdge;
    OCTET_KEEP_LOOP for (int y = 0; y < height; ++y) {
      Acc out[kEdge];
      if (kHalf && at.half_x) {
        Acc row[4];
        OCTET_UNROLL for (int x = 0; x < 4; ++x) row[x] = half[y * kSide + kHalfPoints[x]];
        HalfOutputTransform<Ops>(row, out, 1);
        out[kEdge - 2] = out[kEdge - 1] = out[0];  // To nowhere.
      } else {
        OutputTransform<Ops, kEdge>(half + y * kSide, out, 1);
      }
      OCTET_UNROLL for (int x = 0; x < kEdge; ++x) rows[y][x * kPlanes + plane][j] =
          K::Result(out[x], a, plane, (panel + j) * kLanes);
    }
  }
}

// One function for all kernels that differ in what they store.
template <class K, int NR>
OCTET_NOINLINE void TransformHalfOutput(const ConvArgs& a, int panel, const TilePlace<K::kEdge>& at,
                                        const uint8_t* m, int64_t point_bytes,
                                        typename K::Acc (&rows)[K::kEdge][K::kEdge][NR]) {
  TransformOutput<K, NR, 1, true>(a, panel, at, m, point_bytes, rows);
}

// Whether there are half tiles: of kernels of 16 bits not, for the size of the library, nor in
// images of few tiles, which may be fused. That is the same for all threads and batches, as results
// of floats depend on it.
template <class K>
constexpr bool kHasHalves = K::kEdge == 4 && K::Kernel::kPlanes == 1;
template <class K>
bool UsesHalves(const ConvArgs& a) {
  return kHasHalves<K> && PartCount(a.out_h, 4) * PartCount(a.out_w, 4) > kMostFusedTiles &&
         ((a.out_h + 1) % 4 > 1 || (a.out_w + 1) % 4 > 1);
}

// Output of one tile for NR panels, as far as its rows and columns exist.
template <class K, int NR, Ending kEnding>
OCTET_INLINE void FinishTile(const ConvArgs& a, int panel, const TilePlace<K::kEdge>& at,
                             const uint8_t* m, int64_t point_bytes, uint8_t* spare) {
  using Acc = typename K::Acc;
  constexpr int kPlanes = K::Kernel::kPlanes, kEdge = K::kEdge;
  Acc rows[kEdge][kEdge * kPlanes][NR];
  bool done = false;
  if constexpr (kHasHalves<K>) {
    done = at.half_y || at.half_x;
    if (done) TransformHalfOutput<typename K::Products, NR>(a, panel, at, m, point_bytes, rows);
  }
  if (!done) TransformOutput<K, NR, kPlanes, false>(a, panel, at, m, point_bytes, rows);
  const int channel = panel * kLanes;
  for (int y = 0; y < kEdge && at.y + y < a.out_h; ++y) {
    if constexpr (kPlanes == 2) {
      // One by one: what is outside has no spare place of two planes.
      for (int x = 0; x < kEdge && at.x + x < a.out_w; ++x) {
        OutputRow<kPlanes, NR, Acc> pixel;
        OCTET_UNROLL for (int j = 0; j < NR; ++j) {
          OCTET_UNROLL for (int p = 0; p < kPlanes; ++p) pixel.y[p][j] =
              rows[y][x * kPlanes + p][j];
        }
        uint8_t* const out[1] = {a.output + at.n * a.out_image_stride +
                                 (at.y + y) * a.out_row_stride + (at.x + x) * a.out_pixel_stride +
                                 channel * K::Kernel::kOutputBytes};
        const uint8_t* res[1] = {out[0]};
        if (a.residual != nullptr) {
          res[0] = a.residual + at.n * a.res_image_stride + (at.y + y) * a.res_row_stride +
                   (at.x + x) * a.res_pixel_stride + channel * K::Kernel::kOutputBytes;
        }
        FinishAny<typename K::Kernel, 1, NR>(a, channel, pixel, out, res);
      }
      continue;
    }
    OutputRow<kEdge, NR, Acc> row;
    uint8_t* out[kEdge];
    const uint8_t* res[kEdge];
    OCTET_UNROLL for (int x = 0; x < kEdge; ++x) {
      OCTET_UNROLL for (int j = 0; j < NR; ++j) row.y[x][j] = rows[y][x][j];
      const bool inside = at.x + x < a.out_w;
      out[x] = inside ? a.output + at.n * a.out_image_stride + (at.y + y) * a.out_row_stride +
                            (at.x + x) * a.out_pixel_stride + channel * K::Kernel::kOutputBytes
                      : spare;
      res[x] = inside && a.residual != nullptr
                   ? a.residual + at.n * a.res_image_stride + (at.y + y) * a.res_row_stride +
                         (at.x + x) * a.res_pixel_stride + channel * K::Kernel::kOutputBytes
                   : spare;
    }
    if constexpr (kEnding == Ending::kProvenFixed) {
      StoreProvenFixed<kEdge, NR>(a, channel, row, out);
    } else if constexpr (kEnding == Ending::kFixedSaturating) {
      StoreAndFinish<typename K::Kernel, kEdge, NR>(a, channel, row, out, res, Ending::kAny);
    } else {
      FinishAny<typename K::Kernel, kEdge, NR>(a, channel, row, out, res);
    }
  }
}

template <class K, int NR>
void FinishTiles(const ConvArgs& a, int panel, int64_t first, const int32_t* tiles, int count,
                 bool halves, const uint8_t* m, int64_t point_bytes, uint8_t* spare) {
  constexpr int kPlanes = K::Kernel::kPlanes;
  const auto finish = [&]<Ending kEnding>() {
    for (int t = 0; t < count; ++t, m += kPlanes * NR * 64) {
      FinishTile<K, NR, kEnding>(a, panel, TilePlace<K::kEdge>(a, first + tiles[t], halves), m,
                                 point_bytes, spare);
    }
  };
  if constexpr (K::Kernel::kSaturates) {
    if (a.fixed != nullptr) {
      if constexpr (Vec::kRoundsToZero) {
        if (EndingOf<typename K::Kernel>(a, panel, panel + NR) == Ending::kProvenFixed)
          return finish.template operator()<Ending::kProvenFixed>();
      }
      return finish.template operator()<Ending::kFixedSaturating>();
    }
  }
  finish.template operator()<Ending::kAny>();
}

// The parts of a thread's working memory.
struct WinogradScratch {
  uint8_t *spare, *v, *u, *m;
  TileOrder order;
  bool halves;
  ValueStrides strides;
  int64_t fused_group_bytes;
};

// All tiles of a block for panels [panel, panel + NR); fetches the weights of the next
// `next_panels`.
template <class K, int NR>
void WinogradPanels(const WinogradArgs& w, const WinogradScratch& s, int panel, int next_panels,
                    int64_t first, int tiles) {
  const ConvArgs& a = w.conv;
  const int64_t tile_bytes = static_cast<int64_t>(a.depth) * K::kValueBytes;
  const int64_t lines = tile_bytes / 4;
  const int64_t u_panel = lines * 64, u_point = NR * u_panel + kWinogradPad;
  constexpr int kMaxTiles = K::MaxTiles(NR), kPoints = WinogradPoints(K::kEdge);
  constexpr int kPlanes = K::Kernel::kPlanes;
  static_assert(kMaxTiles <= kWinogradMaxTiles && kMaxTiles % kPlanes == 0);
  const int parts = static_cast<int>(PartCount(tiles, kMaxTiles));
  constexpr const WinogradProductFn* kRun =
      WinogradRow<typename K::Products, NR, std::make_integer_sequence<int, kMaxTiles>>::kRun;
  TransformWeights<typename K::Shared>(a, panel, NR, s.u, u_point);
  // The next panels come into the L2 cache evenly spread over the steps of the products.
  const uint8_t* fetch = a.weights + (panel + (next_panels > 0 ? NR : 0)) * a.panel_bytes;
  const int fetch_step =
      static_cast<int>(PartCount(next_panels * a.panel_bytes, kPoints * lines * parts));
  for (int part = 0, tile = 0, next; part < parts; ++part, tile = next) {
    next = tiles / kPlanes * (part + 1) / parts * kPlanes;
    const int64_t m_point = int64_t{NR} * 64 * (next - tile) + kWinogradPad;
    for (int x = 0; x < kPoints; ++x) {
      const auto of = s.order.points[x];
      const int from = tile > of.begin ? tile : of.begin;
      const int count = (next < of.end ? next : of.end) - from;
      if (count <= 0) continue;
      const WinogradOperands o{.v = s.v + x * s.strides.point + from * tile_bytes,
                               .tile_bytes = tile_bytes,
                               .u = s.u + x * u_point,
                               .panel_bytes = u_panel,
                               .m = s.m + x * m_point + (from - tile) * NR * 64,
                               .fetch = fetch,
                               .fetch_step = fetch_step};
      kRun[count - 1](o);
      fetch += lines * fetch_step;
    }
    FinishTiles<K, NR>(a, panel, first, s.order.tiles + tile / kPlanes, (next - tile) / kPlanes,
                       s.halves, s.m, m_point, s.spare);
  }
}

// One panel without U; V as FusedRow reads it.
template <class K>
void FusedPanel(const WinogradArgs& w, const WinogradScratch& s, int panel, bool last,
                int64_t first, int tiles) {
  const ConvArgs& a = w.conv;
  const int64_t m_point = int64_t{64} * tiles + kWinogradPad;
  const int groups = static_cast<int>(PartCount(tiles, kFusedTiles));
  FusedOperands o;
  o.weights = a.weights + panel * a.panel_bytes;
  o.tap_bytes = a.panel_bytes / 9;
  o.chunks = a.depth / kLanes;
  o.m_point = m_point;
  o.fetch = o.weights + (last ? 0 : a.panel_bytes);
  o.fetch_step = last ? 0 : PartCount(a.panel_bytes, int64_t{6} * groups * a.depth);
  const int64_t fetched = o.fetch_step * a.depth;
  const auto row = [&]<int kRow>() {
    for (int group = 0; group < groups; ++group) {
      const int tile = group * kFusedTiles, left = tiles - tile;
      o.v = s.v + group * s.fused_group_bytes + kRow * s.strides.row;
      o.m = s.m + kRow * 6 * m_point + tile * 64;
      PickFusedRow<typename K::Shared, kRow>(left < kFusedTiles ? left : kFusedTiles, o);
      o.fetch += fetched;
    }
  };
  [&]<int... I>(std::integer_sequence<int, I...>) { (row.template operator()<I>(), ...); }
  (std::make_integer_sequence<int, 6>());
  FinishTiles<K, 1>(a, panel, first, s.order.tiles, tiles, s.halves, s.m, m_point, s.spare);
}

template <class K, int NR>
void PickPanels(int panels, const WinogradArgs& w, const WinogradScratch& s, int panel,
                int next_panels, int64_t first, int tiles) {
  if constexpr (NR > 1) {
    if (panels < NR) return PickPanels<K, NR - 1>(panels, w, s, panel, next_panels, first, tiles);
  }
  WinogradPanels<K, NR>(w, s, panel, next_panels, first, tiles);
}

// V of the tiles of a block, [first, first + tiles / planes), from `input`.
template <class K>
OCTET_INLINE void TransformTiles(const ConvArgs& a, const WinogradScratch& s, const uint8_t* input,
                                 int64_t first, int tiles, bool fused) {
  constexpr int kPlanes = K::Kernel::kPlanes;
  for (int t = 0; t < tiles; ++t) {
    const TilePlace<K::kEdge> at(a, first + s.order.tiles[t / kPlanes], s.halves);
    const uint8_t* in = input + at.n * a.in_image_stride + at.y * a.in_row_step +
                        at.x * a.in_pixel_step + t % kPlanes * a.in_plane;
    uint8_t* v = fused ? s.v + t / kFusedTiles * s.fused_group_bytes + t % kFusedTiles * 64
                       : s.v + t * int64_t{a.depth} * K::kValueBytes;
    if constexpr (kHasHalves<K>) {
      if (at.half_y || at.half_x) {
        TransformHalfTile<typename K::Shared>(in, a.in_row_step, a.in_pixel_step, a.depth, v,
                                              s.strides, at.half_y, at.half_x);
        continue;
      }
    }
    TransformTile<K, false>(in, a.in_row_step, a.in_pixel_step, a.depth, v, s.strides, false,
                            false);
  }
}

template <class K>
void Winograd(const WinogradArgs& w, int64_t tile_begin, int64_t tile_end, int panel_begin,
              int panel_end, uint8_t* scratch) {
  const ConvArgs& a = w.conv;
  const int group_panels = a.group_outputs / kLanes;
  const int64_t tile_bytes = static_cast<int64_t>(a.depth) * K::kValueBytes;
  WinogradScratch s;
  s.halves = UsesHalves<K>(a);
  s.spare = scratch;
  s.order.tiles = reinterpret_cast<int32_t*>(scratch + kWinogradSpareBytes);
  s.v = scratch + kWinogradSpareBytes + WinogradOrderBytes(w.tile_block);
  constexpr int kPlanes = K::Kernel::kPlanes, kEdge = K::kEdge;
  s.u = s.v + WinogradValueBytes(kEdge, kPlanes * w.tile_block, a.depth, K::kValueBytes);
  s.m = s.u + WinogradLineBytes(kEdge, a.depth, K::kValueBytes);
  const int64_t blocks = PartCount(tile_end - tile_begin, w.tile_block);
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t begin = tile_begin + (tile_end - tile_begin) * b / blocks;
    // Every plane is a tile of its own.
    const int tiles =
        kPlanes * static_cast<int>(tile_begin + (tile_end - tile_begin) * (b + 1) / blocks - begin);
    const bool fused = K::kFused && !s.halves && tiles <= kMostFusedTiles;
    const int64_t point = tiles * tile_bytes + kWinogradPad;
    s.strides = {.row = (kEdge + 2) * point, .point = point, .chunk = kLanes * K::kValueBytes};
    if (fused) {
      // Groups have room for four tiles each. What V gets too long by that lies in U, which is not
      // used then.
      s.strides.point = kFusedTiles * 64;
      s.strides.chunk = 6 * s.strides.point;
      s.strides.row = a.depth / kLanes * s.strides.chunk;
      s.fused_group_bytes = 6 * s.strides.row;
    }
    s.order.Set<kEdge, kPlanes>(a, begin, tiles / kPlanes, s.halves);
    // The panels of a group of channels have their inputs in common.
    for (int first = panel_begin, end; first < panel_end; first = end) {
      const int group = first / group_panels, group_end = (group + 1) * group_panels;
      end = group_end < panel_end ? group_end : panel_end;
      TransformTiles<K>(a, s, a.input + group * a.group_bytes, begin, tiles, fused);
      if constexpr (K::kFused) {
        for (int panel = first; fused && panel < end; ++panel)
          FusedPanel<K>(w, s, panel, panel + 1 == panel_end, begin, tiles);
        if (fused) continue;
      }
      const int passes = static_cast<int>(PartCount(end - first, K::kMaxPanels));
      for (int pass = 0, panel = first, next; pass < passes; ++pass, panel = next) {
        next = first + (end - first) * (pass + 1) / passes;
        int after = next - panel;
        if (pass + 1 < passes) after = first + (end - first) * (pass + 2) / passes - next;
        if (after > panel_end - next) after = panel_end - next;
        PickPanels<K, K::kMaxPanels>(next - panel, w, s, panel, after, begin, tiles);
      }
    }
  }
}

// Sums over a panel's lines of 16 output channels by 4 inputs, in loops that compilers turn into
// vectors: as many weights, at most 128 each, as fit 16 bits.
void AddLine(const int8_t* __restrict weights, uint16_t* __restrict magnitude,
             uint16_t* __restrict sum) {
  for (int i = 0; i < kLanes * 4; ++i) {
    const int16_t w = weights[i];
    magnitude[i] = static_cast<uint16_t>(magnitude[i] + static_cast<uint16_t>(w < 0 ? -w : w));
    sum[i] = static_cast<uint16_t>(sum[i] + static_cast<uint16_t>(w));
  }
}

[[maybe_unused]] bool WinogradIsExact(const int8_t* weights, int panels, int channels) {
  constexpr int64_t kLimit = int64_t{1} << 25;
  constexpr int kMostLines = 255;
  const int64_t lines = int64_t{9} * channels / 4;
  if (255 * 128 * 4 * lines < kLimit) return true;
  for (int p = 0; p < panels; ++p) {
    int64_t magnitude[kLanes] = {}, sum[kLanes] = {};
    for (int64_t first = 0; first < lines; first += kMostLines) {
      uint16_t magnitudes[kLanes * 4] = {}, sums[kLanes * 4] = {};
      const int64_t count = lines - first < kMostLines ? lines - first : kMostLines;
      for (int64_t line = 0; line < count; ++line, weights += kLanes * 4)
        AddLine(weights, magnitudes, sums);
      for (int i = 0; i < kLanes * 4; ++i) {
        magnitude[i / 4] += magnitudes[i];
        sum[i / 4] += static_cast<int16_t>(sums[i]);
      }
    }
    for (int i = 0; i < kLanes; ++i) {
      // The larger of the sums of positive and of negative weights.
      const int64_t difference = sum[i] < 0 ? -sum[i] : sum[i];
      if (255 * (magnitude[i] + difference) / 2 >= kLimit) return false;
    }
  }
  return true;
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_WINOGRAD_IMPL_H_
