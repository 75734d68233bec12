// OpencvKernels for one instruction set, or for the reference: included after OCTET_ISA_NAMESPACE
// is defined.
#ifndef OCTET_KERNELS_PORTABLE_PIXELS_OPENCV_IMPL_H_
#define OCTET_KERNELS_PORTABLE_PIXELS_OPENCV_IMPL_H_

#include <cstdint>
#include <cstring>

#include "kernels/pixel_kernels.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/pixels_impl.h"
#if defined(OCTET_PLAIN_PIXELS)
#elif defined(__aarch64__)
#include "kernels/arm/opencv_rows.h"
#include "kernels/arm/pixels_vec.h"
#else
#include "kernels/x86/opencv_rows.h"
#include "kernels/x86/pixels_vec.h"
#endif

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

#if defined(OCTET_PLAIN_PIXELS)
int OpencvLinearRowVector(const uint8_t*, const int32_t*, const int16_t*, int begin, int,
                          int16_t*) {
  return begin;
}
int OpencvNestedRowVector(const uint8_t*, const OpencvCubicView&, int begin, int, float*) {
  return begin;
}
#endif

template <int kChannels>
OCTET_INLINE void OpencvLinearRowOf(const uint8_t* in, const int32_t* at, const int16_t* weights,
                                    int outputs, int16_t* out) {
  int x = kChannels == 3 ? OpencvLinearRowVector(in, at, weights, 0, outputs, out) : 0;
  out += static_cast<int64_t>(x) * kChannels;
  for (; x < outputs; ++x, out += kChannels) {
    const uint8_t* p = in + static_cast<int64_t>(at[2 * x]) * kChannels;
    const int w0 = weights[2 * x], w1 = weights[2 * x + 1];
    for (int c = 0; c < kChannels; ++c)
      out[c] = static_cast<int16_t>((p[c] * w0 + p[c + kChannels] * w1) >> 4);
  }
}

void OpencvLinearRow(const uint8_t* in, const int32_t* at, const int16_t* weights, int outputs,
                     int channels, int16_t* out) {
  if (channels == 3) {
    OpencvLinearRowOf<3>(in, at, weights, outputs, out);
  } else {
    OpencvLinearRowOf<1>(in, at, weights, outputs, out);
  }
}

void OpencvLinearRows(const int16_t* top, const int16_t* bottom, int w0, int w1, int64_t n,
                      uint8_t* out) {
  int64_t i = 0;
#ifndef OCTET_PLAIN_PIXELS
  const PixelU16 zero = {}, v0 = zero + static_cast<uint16_t>(w0),
                 v1 = zero + static_cast<uint16_t>(w1);
  const auto blend = [&](int64_t at) {
    return (MulHigh(LoadPixels(top + at), v0) + MulHigh(LoadPixels(bottom + at), v1) + 2) >> 2;
  };
  while (i < n && n >= kPixelBytes) {
    if (i + kPixelBytes > n) i = n - kPixelBytes;  // Some values once more.
    const PixelU16 bytes = PackInOrder(blend(i), blend(i + kPixelBytes / 2));
    std::memcpy(out + i, &bytes, kPixelBytes);
    i += kPixelBytes;
  }
#endif
  for (; i < n; ++i)
    out[i] = static_cast<uint8_t>(((top[i] * w0 >> 16) + (bottom[i] * w1 >> 16) + 2) >> 2);
}

// Four pixels' values of one channel.
template <int kChannels>
struct OpencvCubicPixels {
  float p[4];
  OpencvCubicPixels(const uint8_t* in, const int32_t* at, int c) {
    for (int k = 0; k < 4; ++k) p[k] = in[static_cast<int64_t>(at[k]) * kChannels + c];
  }
};

// sum(p, w, i) for the channels of outputs [begin, end); i is the value's index.
template <int kChannels, typename Sum>
OCTET_INLINE void OpencvCubicPart(const uint8_t* in, const OpencvCubicView& v, int begin, int end,
                                  const Sum& sum) {
  for (int64_t x = begin; x < end; ++x) {
    for (int c = 0; c < kChannels; ++c)
      sum(OpencvCubicPixels<kChannels>(in, v.at + 4 * x, c).p, v.weights + 4 * x,
          x * kChannels + c);
  }
}

template <int kChannels>
OCTET_INLINE void OpencvCubicRowOf(const uint8_t* in, const OpencvCubicView& v, float* out) {
  if (kChannels == 3) {
    const int begin = OpencvNestedRowVector(in, v, v.begin, v.end, out);
    OpencvCubicPart<kChannels>(in, v, begin, v.end, [&](const float* p, const float* w, int64_t i) {
      out[i] =
          FusedMultiplyAdd(p[1], w[1], p[2] * w[2]) + FusedMultiplyAdd(p[0], w[0], p[3] * w[3]);
    });
  } else {
    OpencvCubicPart<kChannels>(in, v, v.begin, v.rest,
                               [&](const float* p, const float* w, int64_t i) {
                                 out[i] = (p[0] * w[0] + p[1] * w[1]) + (p[2] * w[2] + p[3] * w[3]);
                               });
    OpencvCubicPart<kChannels>(in, v, v.rest, v.end,
                               [&](const float* p, const float* w, int64_t i) {
                                 out[i] = (p[0] * w[0] + p[2] * w[2]) + (p[1] * w[1] + p[3] * w[3]);
                               });
  }
}

void OpencvCubicRow(const uint8_t* in, const OpencvCubicView& columns, int channels, float* out) {
  if (channels == 3) {
    OpencvCubicRowOf<3>(in, columns, out);
  } else {
    OpencvCubicRowOf<1>(in, columns, out);
  }
}

// inner and outer of values `p` of four pixels.
template <typename V>
OCTET_INLINE void OpencvBorderSums(const V (&p)[4], const float* weights, V* inner, V* outer) {
  V w[4];
  for (int k = 0; k < 4; ++k) w[k] = SplatFloat<V>(weights[k]);
  const auto rest = [&](V two) {
    return FusedMultiplyAdd(p[3], w[3], FusedMultiplyAdd(p[2], w[2], two));
  };
  *inner = rest(FusedMultiplyAdd(p[0], w[0], p[1] * w[1]));
  *outer = rest(FusedMultiplyAdd(p[1], w[1], p[0] * w[0]));
}

void OpencvCubicBorder(const uint8_t* in, const OpencvCubicView& columns, int begin, int end,
                       int channels, float* inner, float* outer) {
  for (int64_t x = begin; x < end; ++x) {
    const int32_t* at = columns.at + 4 * x;
    const float* w = columns.weights + 4 * x;
    if (channels == 3) {
      FourFloats p[4], sums[2];
      for (int k = 0; k < 4; ++k) p[k] = LoadFour(in + static_cast<int64_t>(at[k]) * 3);
      OpencvBorderSums(p, w, &sums[0], &sums[1]);
      std::memcpy(inner + 3 * x, &sums[0], 3 * sizeof(float));
      std::memcpy(outer + 3 * x, &sums[1], 3 * sizeof(float));
    } else {
      float p[4];
      for (int k = 0; k < 4; ++k) p[k] = in[at[k]];
      OpencvBorderSums(p, w, inner + x, outer + x);
    }
  }
}

void OpencvCubicRows(const float* const* rows, const float* w, int64_t n, float* out) {
  const float *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
  const float w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
  ForFloats(n, [&](int64_t i, auto lanes) {
    using V = decltype(lanes);
    const auto two = [&](const float* p, float v, const float* q, float u) {
      return FusedMultiplyAdd(LoadVector<V>(p + i), SplatFloat<V>(v), LoadVector<V>(q + i) * u);
    };
    const V sum = two(r0, w0, r1, w1) + two(r2, w2, r3, w3);
    std::memcpy(out + i, &sum, sizeof sum);
  });
}

void OpencvCubicBorderRows(const float* const* rows, const float* w, int64_t n, float* out) {
  const float *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
  const float w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
  for (int64_t i = 0; i < n; ++i) out[i] = (r0[i] * w0 + r2[i] * w2) + (r1[i] * w1 + r3[i] * w3);
}

void OpencvAreaRow(const uint8_t* in, const TapsView<float>& taps, int channels, float* out) {
#if defined(__SSE2__) && !defined(OCTET_PLAIN_PIXELS)
  if (channels == 3) return OpencvColorAreaRow(in, taps, out);
#endif
  ResizeFloatRow(in, taps, channels, out);
}

void OpencvAddRow(const uint8_t* in, int64_t n, uint32_t* sums) {
  for (int64_t i = 0; i < n; ++i) sums[i] += in[i];
}

template <int kChannels>
OCTET_INLINE void OpencvSumColumnsOf(const uint32_t* in, int factor, int outputs, uint32_t* out) {
  for (int x = 0; x < outputs; ++x, out += kChannels) {
    uint32_t sum[kChannels] = {};
    for (int k = 0; k < factor; ++k, in += kChannels)
      for (int c = 0; c < kChannels; ++c) sum[c] += in[c];
    for (int c = 0; c < kChannels; ++c) out[c] = sum[c];
  }
}

void OpencvSumColumns(const uint32_t* in, int factor, int outputs, int channels, uint32_t* out) {
  if (channels == 3) {
    OpencvSumColumnsOf<3>(in, factor, outputs, out);
  } else {
    OpencvSumColumnsOf<1>(in, factor, outputs, out);
  }
}

void OpencvScaleSums(const uint32_t* in, int64_t n, float scale, float bias, float* out) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<float>(static_cast<int32_t>(in[i])) * scale + bias;
}

void OpencvRoundRow(const float* in, int64_t n, uint8_t* out) {
  for (int64_t i = 0; i < n; ++i) {
    // Nearest even: the integer is left in the low bits of the mantissa.
    const int32_t v = __builtin_bit_cast(int32_t, in[i] + 12582912.0f) - 0x4B400000;
    out[i] = static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v);
  }
}

constexpr OpencvKernels kOpencvKernels = {
    .linear_row = &OpencvLinearRow,
    .linear_rows = &OpencvLinearRows,
    .cubic_row = &OpencvCubicRow,
    .cubic_border = &OpencvCubicBorder,
    .cubic_rows = &OpencvCubicRows,
    .cubic_border_rows = &OpencvCubicBorderRows,
    .area_row = &OpencvAreaRow,
    .add_row = &OpencvAddRow,
    .sum_columns = &OpencvSumColumns,
    .scale_sums = &OpencvScaleSums,
    .round_row = &OpencvRoundRow,
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_PIXELS_OPENCV_IMPL_H_
