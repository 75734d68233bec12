// Rows of pixels from one form to another, for one instruction set; included by its translation
// unit as ops_impl.h is. Blocks of kPixelBytes pixels, whose even and odd ones are lanes of 16 bits
// each: both share the lanes of their chroma.
#ifndef OCTET_KERNELS_PORTABLE_PIXELS_ROWS_IMPL_H_
#define OCTET_KERNELS_PORTABLE_PIXELS_ROWS_IMPL_H_

#include <cstdint>
#include <cstring>

#include "kernels/pixel_kernels.h"
#include "kernels/portable/compiler.h"
#if defined(__aarch64__)
#include "kernels/arm/pixels_vec.h"
#else
#include "kernels/x86/pixels_vec.h"
#endif

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

OCTET_INLINE PixelI16 Signed(PixelU16 v) { return (PixelI16)v; }
OCTET_INLINE PixelU16 Splat(int v) { return PixelU16{} + static_cast<uint16_t>(v); }

// ---- YUV

// libyuv's definition in 16 bits: only red and blue can exceed them, upwards, where they saturate.
struct LibyuvColors {
  PixelU16 y_scale, v_red, u_green, v_green, u_blue, red, green, blue;

  explicit OCTET_INLINE LibyuvColors(const YuvConstants& c)
      : y_scale(Splat(c.y_scale)),
        v_red(Splat(c.v_red)),
        u_green(Splat(c.u_green)),
        v_green(Splat(c.v_green)),
        u_blue(Splat(c.u_blue)),
        red(Splat(c.bias - 128 * c.v_red)),
        green(Splat(c.bias + 128 * (c.u_green + c.v_green))),
        blue(Splat(c.bias - 128 * c.u_blue)) {}

  struct Chroma {
    PixelI16 red, green, blue;
  };
  OCTET_INLINE Chroma OfChroma(PixelU16 u, PixelU16 v) const {
    return {Signed(v * v_red + red), Signed(green - u * u_green - v * v_green),
            Signed(u * u_blue + blue)};
  }

  // Lanes of Y * 257.
  static OCTET_INLINE PixelU16 Even(PixelU16 luma) { return (luma << 8) | (luma & 255); }
  static OCTET_INLINE PixelU16 Odd(PixelU16 luma) { return (luma & 0xff00) | (luma >> 8); }

  OCTET_INLINE void OfPixels(PixelU16 luma, const Chroma& chroma, PixelI16 (&rgb)[3]) const {
    const PixelI16 y = Signed(MulHigh(luma, y_scale));
    rgb[0] = AddSaturated(y, chroma.red) >> 6;
    rgb[1] = (y + chroma.green) >> 6;
    rgb[2] = AddSaturated(y, chroma.blue) >> 6;
  }
};

// OpenCV's sums of 20 fractional bits as a high part of 6 of them and a low one of the other 14.
struct OpencvColors {
  static constexpr int kLowBits = kOpencvBits - 6, kLow = (1 << kLowBits) - 1;

  explicit OCTET_INLINE OpencvColors(const YuvConstants&) {}

  struct Sum {
    PixelU16 high, low;
    // x * kFactor, of a byte x.
    template <int kFactor>
    OCTET_INLINE void Add(PixelU16 x) {
      constexpr int kFactorHigh = kFactor >> kLowBits, kFactorLow = kFactor & kLow;
      high += x * static_cast<uint16_t>(kFactorHigh) + MulHigh(x << 2, Splat(kFactorLow));
      low += (x * static_cast<uint16_t>(kFactorLow)) & kLow;
    }
    OCTET_INLINE void Carry() {
      high += low >> kLowBits;
      low &= kLow;
    }
  };
  template <int kConstant>
  static OCTET_INLINE Sum Start() {
    return {Splat(kConstant >> kLowBits), Splat(kConstant & kLow)};
  }

  struct Chroma {
    Sum red, green, blue;
  };
  OCTET_INLINE Chroma OfChroma(PixelU16 u, PixelU16 v) const {
    constexpr int kHalf = 1 << (kOpencvBits - 1);
    Chroma c = {Start<kHalf - 128 * kOpencvVRed>(),
                Start<kHalf - 128 * (kOpencvUGreen + kOpencvVGreen)>(),
                Start<kHalf - 128 * kOpencvUBlue>()};
    c.red.Add<kOpencvVRed>(v);
    c.green.Add<kOpencvUGreen>(u);
    c.green.Add<kOpencvVGreen>(v);
    c.blue.Add<kOpencvUBlue>(u);
    c.red.Carry();
    c.green.Carry();
    c.blue.Carry();
    return c;
  }

  static OCTET_INLINE PixelU16 Even(PixelU16 luma) { return SubtractBytes(luma, 16) & 255; }
  static OCTET_INLINE PixelU16 Odd(PixelU16 luma) { return SubtractBytes(luma, 16) >> 8; }

  OCTET_INLINE void OfPixels(PixelU16 luma, const Chroma& chroma, PixelI16 (&rgb)[3]) const {
    Sum y = Start<0>();
    y.Add<kOpencvY>(luma);
    const auto color = [&](const Sum& c) {
      return AddSaturated(Signed(y.high + ((y.low + c.low) >> kLowBits)), Signed(c.high)) >> 6;
    };
    rgb[0] = color(chroma.red);
    rgb[1] = color(chroma.green);
    rgb[2] = color(chroma.blue);
  }
};

// kPixelBytes pixels.
template <YuvLayout kLayout, class Colors>
OCTET_INLINE void YuvBlock(const uint8_t* y, const uint8_t* u, const uint8_t* v,
                           const Colors& colors, uint8_t* out) {
  PixelU16 luma, u_lanes, v_lanes;
  if constexpr (kLayout == YuvLayout::kPlanes) {
    luma = LoadPixels(y);
    u_lanes = LoadWidened(u);
    v_lanes = LoadWidened(v);
  } else {
    PixelU16 pairs;
    if constexpr (kLayout == YuvLayout::kPacked) {
      LoadYuyv(y, &luma, &pairs);
    } else {
      luma = LoadPixels(y);
      pairs = LoadPixels(u);
    }
    constexpr bool kVFirst = kLayout == YuvLayout::kVuPairs;
    u_lanes = kVFirst ? pairs >> 8 : pairs & 255;
    v_lanes = kVFirst ? pairs & 255 : pairs >> 8;
  }
  const typename Colors::Chroma chroma = colors.OfChroma(u_lanes, v_lanes);
  PixelI16 even[3], odd[3];
  colors.OfPixels(Colors::Even(luma), chroma, even);
  colors.OfPixels(Colors::Odd(luma), chroma, odd);
  StoreRgb(even[0], odd[0], even[1], odd[1], even[2], odd[2], out);
}

template <YuvLayout kLayout, class Colors>
OCTET_INLINE void RgbOfRow(const YuvRow& row, const Colors& colors, uint8_t* rgb) {
  constexpr int kLuma = kLayout == YuvLayout::kPacked ? 2 : 1;  // Bytes a pixel.
  constexpr bool kPlanes = kLayout == YuvLayout::kPlanes;
  constexpr bool kPairs = kLayout != YuvLayout::kPacked && !kPlanes;
  const uint8_t *y = row.y, *u = row.u, *v = row.v;
  int left = row.width;
  for (; left >= kPixelBytes; left -= kPixelBytes) {
    YuvBlock<kLayout>(y, u, v, colors, rgb);
    y += kLuma * kPixelBytes;
    u += kPairs ? kPixelBytes : kPlanes ? kPixelBytes / 2 : 0;
    v += kPlanes ? kPixelBytes / 2 : 0;
    rgb += 3 * kPixelBytes;
  }
  if (left == 0) return;
  if (left % 2 == 0 && row.width >= kPixelBytes) {  // Some pixels once more.
    const int again = kPixelBytes - left;
    y -= kLuma * again;
    u -= kPairs ? again : kPlanes ? again / 2 : 0;
    v -= kPlanes ? again / 2 : 0;
    return YuvBlock<kLayout>(y, u, v, colors, rgb - 3 * again);
  }
  const size_t pairs = static_cast<size_t>(left + 1) / 2;
  uint8_t y_block[kLuma * kPixelBytes] = {}, u_block[kPixelBytes] = {}, v_block[kPixelBytes] = {};
  uint8_t out[3 * kPixelBytes];
  std::memcpy(y_block, y, kLuma == 2 ? 4 * pairs : static_cast<size_t>(left));
  if (kPairs) std::memcpy(u_block, u, 2 * pairs);
  if (kPlanes) {
    std::memcpy(u_block, u, pairs);
    std::memcpy(v_block, v, pairs);
  }
  YuvBlock<kLayout>(y_block, u_block, v_block, colors, out);
  std::memcpy(rgb, out, static_cast<size_t>(left) * 3);
}

template <YuvLayout kLayout, class Colors>
void RgbFromYuv(const YuvRow* rows, int count, const YuvConstants& constants, uint8_t* rgb,
                int64_t rgb_stride) {
  const Colors colors(constants);
  for (int y = 0; y < count; ++y) RgbOfRow<kLayout>(rows[y], colors, rgb + y * rgb_stride);
}

// ---- Interleaved colors

// Bytes in another order are one instruction of every set but SSE2 (OCTET_PIXEL_SHUFFLES). Where
// more than the pixels of a step are stored, the next step overwrites the rest.

template <bool kSwap>
void RgbFromFour(const uint8_t* in, int width, uint8_t* out) {
  int x = 0;
  for (; x + kDropPixels <= width; x += kDropPixels) DropFourth(in + 4 * x, kSwap, out + 3 * x);
  for (; x < width; ++x) {
    out[3 * x] = in[4 * x + (kSwap ? 2 : 0)];
    out[3 * x + 1] = in[4 * x + 1];
    out[3 * x + 2] = in[4 * x + (kSwap ? 0 : 2)];
  }
}

#ifdef OCTET_PIXEL_SHUFFLES
// Five pixels, and the byte behind them, which the next five overwrite.
alignas(16) constexpr int8_t kSwapFive[16] = {2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9, 14, 13, 12, 15};
#else
// Bytes of vectors that begin with a red, a green and a blue byte: which are of a color.
struct ColorMasks {
  alignas(16) uint8_t bytes[3][3 * kPixelBytes];
  constexpr ColorMasks() : bytes() {
    for (int i = 0; i < 3 * kPixelBytes; ++i) bytes[i % 3][i] = 255;
  }
};
inline constexpr ColorMasks kColorMasks;
#endif

void RgbFromBgr(const uint8_t* in, int width, uint8_t* out) {
  int x = 0;
  const auto swap = [&] {
    out[3 * x] = in[3 * x + 2];
    out[3 * x + 1] = in[3 * x + 1];
    out[3 * x + 2] = in[3 * x];
    ++x;
  };
#ifdef OCTET_PIXEL_SHUFFLES
  for (; x + 5 < width; x += 5) {
    Pixel128 v;
    std::memcpy(&v, in + 3 * x, 16);
    v = ShuffleBytes(v, kSwapFive);
    std::memcpy(out + 3 * x, &v, 16);
  }
#else
  // A first byte comes from two bytes on, a third one from two bytes before.
  swap();
  for (; x + kPixelBytes < width; x += kPixelBytes) {
    for (int at = 0; at < 3 * kPixelBytes; at += kPixelBytes) {
      const uint8_t* p = in + 3 * x + at;
      const auto part = [at](const uint8_t* from, int color) {
        return LoadPixels(from) & LoadPixels(kColorMasks.bytes[color] + at);
      };
      const PixelU16 mixed = part(p + 2, 0) | part(p, 1) | part(p - 2, 2);
      std::memcpy(out + 3 * x + at, &mixed, kPixelBytes);
    }
  }
#endif
  while (x < width) swap();
}

/// With two times 19235 for green.
template <int kRed, int kBlue>
void GrayFromRgb(const uint8_t* in, int width, uint8_t* out) {
  int x = 0;
  for (; x + 16 <= width; x += 16, in += 48) GrayOfSixteen<kRed, kBlue>(in, out + x);
  for (; x < width; ++x, in += 3)
    out[x] = static_cast<uint8_t>((in[0] * kRed + in[1] * 38470 + in[2] * kBlue + 32768) >> 16);
}

void GrayByTensorflow(const uint8_t* in, int width, uint8_t* out) {
  constexpr float kUnit = 1.0f / 255.0f;
  const auto part = [&](int color, float weight) {
    return static_cast<float>(in[color]) * kUnit * weight;
  };
  for (int x = 0; x < width; ++x, in += 3)
    out[x] = static_cast<uint8_t>((part(0, 0.2989f) + part(1, 0.587f) + part(2, 0.114f)) * 255.5f);
}

// ---- Positions

#ifdef OCTET_PIXEL_SHUFFLES
// Five pixels in reverse order, the byte in front of them behind them.
alignas(16) constexpr int8_t kReverseFive[16] = {13, 14, 15, 10, 11, 12, 7, 8,
                                                 9,  4,  5,  6,  1,  2,  3, 0};
// Four pixels to words, of the first or last bytes, and back.
alignas(16) constexpr int8_t kSpread[16] = {0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1};
alignas(16) constexpr int8_t kSpreadLast[16] = {4,  5,  6,  -1, 7,  8,  9,  -1,
                                                10, 11, 12, -1, 13, 14, 15, -1};
alignas(16) constexpr int8_t kJoin[16] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1};
#endif

// One pixel. `kMore`: the byte behind it may be read and written, which is faster.
template <int kChannels, bool kMore>
OCTET_INLINE void CopyPixel(const uint8_t* from, uint8_t* to) {
  std::memcpy(to, from, kChannels + (kMore && kChannels == 3 ? 1 : 0));
}

template <int kChannels>
void ReversePixels(const uint8_t* in, int width, uint8_t* out) {
  int x = 0;
#ifdef OCTET_PIXEL_SHUFFLES
  // Bytes are vectorized by compilers. Five pixels and the byte in front of them, which the next
  // five overwrite.
  for (; kChannels == 3 && x < width - 5; x += 5) {
    Pixel128 v;
    std::memcpy(&v, in + 3 * (width - 5 - x) - 1, 16);
    v = ShuffleBytes(v, kReverseFive);
    std::memcpy(out + 3 * x, &v, 16);
  }
#else
  for (; kChannels == 1 && x + 16 <= width; x += 16)
    StoreXmm(out + x, ReverseBytes(LoadXmm(in + width - 16 - x)));
#endif
  const uint8_t* p = in + static_cast<int64_t>(width - 1 - x) * kChannels;
  if (x == 0) {
    CopyPixel<kChannels, false>(p, out);
    p -= kChannels;
    ++x;
  }
  for (; x < width - 1; ++x, p -= kChannels) CopyPixel<kChannels, true>(p, out + x * kChannels);
  if (x < width) CopyPixel<kChannels, false>(p, out + x * kChannels);
}

#ifdef OCTET_PIXEL_SHUFFLES
// 4x4 pixels. `kAtEnd`: 4 bytes in front may be read, else behind. `last`: the 4 bytes behind a
// result's row are not overwritten later.
template <bool kAtEnd>
OCTET_INLINE void TransposeFour(const uint8_t* in, int64_t in_stride, uint8_t* out,
                                int64_t out_stride, bool last) {
  Pixel128 row[4];
  OCTET_UNROLL for (int i = 0; i < 4; ++i) {
    std::memcpy(&row[i], in + i * in_stride - (kAtEnd ? 4 : 0), 16);
    row[i] = ShuffleBytes(row[i], kAtEnd ? kSpreadLast : kSpread);
  }
  const Pixel128 a = ZipLow32(row[0], row[1]), b = ZipLow32(row[2], row[3]),
                 c = ZipHigh32(row[0], row[1]), d = ZipHigh32(row[2], row[3]);
  const Pixel128 column[4] = {ZipLow64(a, b), ZipHigh64(a, b), ZipLow64(c, d), ZipHigh64(c, d)};
  OCTET_UNROLL for (int i = 0; i < 4; ++i) {
    const Pixel128 joined = ShuffleBytes(column[i], kJoin);
    if (last) {
      std::memcpy(out + i * out_stride, &joined, 12);
    } else {
      std::memcpy(out + i * out_stride, &joined, 16);
    }
  }
}
#endif

template <int kChannels>
void TransposePixels(const uint8_t* in, int64_t in_stride, int width, int height, uint8_t* out,
                     int64_t out_stride) {
  int first = 0;  // Rows that are left.
#ifdef OCTET_PIXEL_SHUFFLES
  for (; kChannels == 3 && width >= 6 && first + 4 <= height; first += 4) {
    const uint8_t* p = in + first * in_stride;
    uint8_t* to = out + 3 * first;
    const bool last = first + 6 > height;
    int x = 0;
    for (; x + 6 <= width; x += 4)
      TransposeFour<false>(p + 3 * x, in_stride, to + x * out_stride, out_stride, last);
    for (; x < width; x += 4) {
      x = x < width - 4 ? x : width - 4;  // Some once more.
      TransposeFour<true>(p + 3 * x, in_stride, to + x * out_stride, out_stride, last);
    }
  }
#endif
  for (int x = 0; x < width; ++x) {
    const uint8_t* p = in + first * in_stride + x * kChannels;
    uint8_t* to = out + x * out_stride;
    int y = first;
    if (x < width - 1) {
      for (; y < height - 1; ++y, p += in_stride) CopyPixel<kChannels, true>(p, to + y * kChannels);
    }
    for (; y < height; ++y, p += in_stride) CopyPixel<kChannels, false>(p, to + y * kChannels);
  }
}

constexpr PixelKernelsRows kPixelRows = {
    .rgb_from_bgr = &RgbFromBgr,
    .rgb_from_rgba = &RgbFromFour<false>,
    .rgb_from_bgra = &RgbFromFour<true>,
    .gray_from_rgb = {&GrayFromRgb<19595, 7471>, &GrayByTensorflow, &GrayFromRgb<19596, 7470>},
    .reverse_rgb = &ReversePixels<3>,
    .reverse_gray = &ReversePixels<1>,
    .transpose_rgb = &TransposePixels<3>,
    .transpose_gray = &TransposePixels<1>,
    .rgb_from_yuv = {&RgbFromYuv<YuvLayout::kUvPairs, LibyuvColors>,
                     &RgbFromYuv<YuvLayout::kVuPairs, LibyuvColors>,
                     &RgbFromYuv<YuvLayout::kPlanes, LibyuvColors>,
                     &RgbFromYuv<YuvLayout::kPacked, LibyuvColors>},
    .rgb_from_yuv_opencv = {&RgbFromYuv<YuvLayout::kUvPairs, OpencvColors>,
                            &RgbFromYuv<YuvLayout::kVuPairs, OpencvColors>,
                            &RgbFromYuv<YuvLayout::kPlanes, OpencvColors>,
                            &RgbFromYuv<YuvLayout::kPacked, OpencvColors>},
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_PIXELS_ROWS_IMPL_H_
