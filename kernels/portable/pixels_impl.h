// ResizeKernels for one instruction set, or for the reference: included after OCTET_ISA_NAMESPACE
// is defined. Plain loops that compilers turn into vector code.
#ifndef OCTET_KERNELS_PORTABLE_PIXELS_IMPL_H_
#define OCTET_KERNELS_PORTABLE_PIXELS_IMPL_H_

#include <cstdint>
#include <cstring>

#include "kernels/pixel_kernels.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/pixel_floats.h"
#include "kernels/portable/resize_fixed_impl.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

#ifdef OCTET_FAST_RESIZE  // The instruction set's own, included before.
constexpr auto kResizeRows = &FastResizeRows;
constexpr auto kBlendRows = &FastBlendRows;
#else
constexpr auto kResizeRows = &ResizeFixedRows;
constexpr auto kBlendRows = &BlendFixedRows;
#endif

// A pixel's values, to which products are added: one, three, or in floats three and the next
// pixel's first, which comes to nothing, as registers have four lanes.
template <typename Weight, int kChannels>
struct PixelSum {
  Weight sum[kChannels] = {};

  template <typename In>
  OCTET_INLINE void Add(const In* p, Weight w) {
    for (int c = 0; c < kChannels; ++c) sum[c] += static_cast<Weight>(p[c]) * w;
  }
  OCTET_INLINE void Store(float* out) const {
    for (int c = 0; c < kChannels; ++c) out[c] = static_cast<float>(sum[c]);
  }
};
template <>
struct PixelSum<float, 3> {
  FourFloats sum = {};

  template <typename In>
  OCTET_INLINE void Add(const In* p, float w) {
    sum += LoadFour(p) * w;
  }
  OCTET_INLINE void Store(float* out) const { std::memcpy(out, &sum, 3 * sizeof(float)); }
};

template <int kChannels, typename In, typename Weight>
OCTET_INLINE void ResizeFloatRowOf(const In* in, const TapsView<Weight>& taps, float* out) {
  for (int x = 0; x < taps.outputs; ++x, out += kChannels) {
    const Weight* w = taps.weights + static_cast<int64_t>(x) * taps.taps;
    const int first = taps.first[x], count = taps.count[x];
    PixelSum<Weight, kChannels> sum;
    if (first >= 0 && first + taps.taps <= taps.size) {
      // The weights behind `count` are 0, and a constant number of taps is foreseen by processors.
      const In* p = in + static_cast<int64_t>(first) * kChannels;
      for (int i = 0; i < taps.taps; ++i, p += kChannels) sum.Add(p, w[i]);
    } else {
      for (int i = 0; i < count; ++i) {
        int at = first + i < 0 ? 0 : first + i;
        at = at < taps.size ? at : taps.size - 1;
        sum.Add(in + static_cast<int64_t>(at) * kChannels, w[i]);
      }
    }
    sum.Store(out);
  }
}

template <typename In, typename Weight>
void ResizeFloatRow(const In* in, const TapsView<Weight>& taps, int channels, float* out) {
  if (channels == 3) {
    ResizeFloatRowOf<3>(in, taps, out);
  } else {
    ResizeFloatRowOf<1>(in, taps, out);
  }
}

template <typename In, typename Weight>
OCTET_INLINE void BlendValues(const In* const* rows, const Weight* weights, int count,
                              int64_t begin, int64_t end, float scale, float* out) {
  for (int64_t x = begin; x < end; ++x) {
    Weight sum = 0;
    for (int j = 0; j < count; ++j) sum += static_cast<Weight>(rows[j][x]) * weights[j];
    out[x] = static_cast<float>(sum) * scale;
  }
}

template <typename In>
void BlendFloatRows(const In* const* rows, const float* weights, int count, int64_t n, float scale,
                    float* out) {
  constexpr int kVectors = 4;  // Sums stay in registers.
  int64_t x = 0;
  for (; x + kVectors * kFloatLanes <= n; x += kVectors * kFloatLanes) {
    ManyFloats sum[kVectors] = {};
    for (int j = 0; j < count; ++j) {
      OCTET_UNROLL for (int i = 0; i < kVectors; ++i) sum[i] +=
          LoadMany(rows[j] + x + i * kFloatLanes) * weights[j];
    }
    OCTET_UNROLL for (int i = 0; i < kVectors; ++i) {
      const ManyFloats scaled = sum[i] * scale;
      std::memcpy(out + x + i * kFloatLanes, &scaled, sizeof scaled);
    }
  }
  BlendValues(rows, weights, count, x, n, scale, out);
}

// The sums of a block of columns in doubles.
template <typename In>
void BlendDoubleRows(const In* const* rows, const double* weights, int count, int64_t n,
                     float scale, float* out) {
  constexpr int kBlock = 32;
  int64_t x = 0;
  for (; x + kBlock <= n; x += kBlock) {
    double sum[kBlock] = {};
    for (int j = 0; j < count; ++j) {
      const In* p = rows[j] + x;
      for (int i = 0; i < kBlock; ++i) sum[i] += static_cast<double>(p[i]) * weights[j];
    }
    for (int i = 0; i < kBlock; ++i) out[x + i] = static_cast<float>(sum[i]) * scale;
  }
  BlendValues(rows, weights, count, x, n, scale, out);
}

void LerpRowOfGray(const uint8_t* in, const int32_t* left, const int32_t* right, const float* lerp,
                   int outputs, float* out) {
  for (int x = 0; x < outputs; ++x) {
    const auto from = static_cast<float>(in[left[x]]);
    out[x] = from + (static_cast<float>(in[right[x]]) - from) * lerp[x];
  }
}

void LerpRowOfColor(const uint8_t* in, const int32_t* left, const int32_t* right, const float* lerp,
                    int outputs, float* out) {
  for (int x = 0; x < outputs; ++x, out += 3) {
    const FourFloats from = LoadFour(in + static_cast<int64_t>(left[x]) * 3);
    const FourFloats to = LoadFour(in + static_cast<int64_t>(right[x]) * 3);
    const FourFloats v = from + (to - from) * lerp[x];
    std::memcpy(out, &v, 3 * sizeof(float));
  }
}

void LerpRow(const uint8_t* in, const int32_t* left, const int32_t* right, const float* lerp,
             int outputs, int channels, float* out) {
  if (channels == 3) {
    LerpRowOfColor(in, left, right, lerp, outputs, out);
  } else {
    LerpRowOfGray(in, left, right, lerp, outputs, out);
  }
}

void LerpRows(const float* top, const float* bottom, float lerp, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = top[i] + (bottom[i] - top[i]) * lerp;
}

void PickRow(const uint8_t* in, const int32_t* at, int outputs, int channels, uint8_t* out) {
  if (channels == 1) {
    for (int x = 0; x < outputs; ++x) out[x] = in[at[x]];
    return;
  }
  // Four bytes at a time, of which the next pixel replaces the last.
  for (int x = 0; x + 1 < outputs; ++x, out += 3)
    std::memcpy(out, in + static_cast<int64_t>(at[x]) * 3, 4);
  if (outputs > 0) std::memcpy(out, in + static_cast<int64_t>(at[outputs - 1]) * 3, 3);
}

void FloatsToU8(const float* in, int64_t n, uint8_t* out) {
  for (int64_t i = 0; i < n; ++i) {
    float v = in[i] > 0.0f ? in[i] : 0.0f;
    v = v < 255.0f ? v : 255.0f;
    out[i] = static_cast<uint8_t>(static_cast<int32_t>(v));
  }
}

constexpr ResizeKernels kResizeKernels = {
    .resize_rows = kResizeRows,
    .blend_rows = kBlendRows,
    .resize_row_u8_f32 = &ResizeFloatRow<uint8_t, float>,
    .resize_row_f32_f32 = &ResizeFloatRow<float, float>,
    .resize_row_u8_f64 = &ResizeFloatRow<uint8_t, double>,
    .resize_row_f32_f64 = &ResizeFloatRow<float, double>,
    .blend_rows_u8_f32 = &BlendFloatRows<uint8_t>,
    .blend_rows_f32_f32 = &BlendFloatRows<float>,
    .blend_rows_u8_f64 = &BlendDoubleRows<uint8_t>,
    .blend_rows_f32_f64 = &BlendDoubleRows<float>,
    .lerp_row = &LerpRow,
    .lerp_rows = &LerpRows,
    .pick_row = &PickRow,
    .floats_to_u8 = &FloatsToU8,
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_PIXELS_IMPL_H_
