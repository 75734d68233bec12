// ResizeKernels for one instruction set, or for the reference: included after OCTET_ISA_NAMESPACE
// is defined. Plain loops that compilers turn into vector code.
#ifndef OCTET_KERNELS_PORTABLE_PIXELS_IMPL_H_
#define OCTET_KERNELS_PORTABLE_PIXELS_IMPL_H_

#include <cstdint>

#include "kernels/pixel_kernels.h"
#include "kernels/portable/compiler.h"
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

// What is computed for a pixel at once: a value, or the three of a pixel and the next one's first,
// which comes to nothing: registers have four lanes.
template <typename T, int kChannels>
struct PixelLanes {
  using Type = T;
};
template <typename T>
struct PixelLanes<T, 3> {
  typedef T Type __attribute__((vector_size(4 * sizeof(T))));
};

template <int kChannels, typename To, typename In>
OCTET_INLINE typename PixelLanes<To, kChannels>::Type LoadPixel(const In* p) {
  if constexpr (kChannels == 1) {
    return static_cast<To>(*p);
  } else {
    typename PixelLanes<In, kChannels>::Type v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, typename PixelLanes<To, kChannels>::Type);
  }
}

template <int kChannels, typename Lanes>
OCTET_INLINE void StoreFloatPixel(const Lanes& v, float* out) {
  if constexpr (kChannels == 1) {
    *out = static_cast<float>(v);
  } else {
    const auto floats = __builtin_convertvector(v, typename PixelLanes<float, kChannels>::Type);
    __builtin_memcpy(out, &floats, kChannels * sizeof(float));
  }
}

template <int kChannels, typename In, typename Weight>
OCTET_INLINE void ResizeFloatRowOf(const In* in, const TapsView<Weight>& taps, float* out) {
  for (int x = 0; x < taps.outputs; ++x, out += kChannels) {
    const Weight* w = taps.weights + static_cast<int64_t>(x) * taps.taps;
    const int first = taps.first[x], count = taps.count[x];
    typename PixelLanes<Weight, kChannels>::Type sum = {};
    if (first >= 0 && first + count <= taps.size) {
      const In* p = in + static_cast<int64_t>(first) * kChannels;
      for (int i = 0; i < count; ++i, p += kChannels) sum += LoadPixel<kChannels, Weight>(p) * w[i];
    } else {
      for (int i = 0; i < count; ++i) {
        int at = first + i < 0 ? 0 : first + i;
        at = at < taps.size ? at : taps.size - 1;
        sum += LoadPixel<kChannels, Weight>(in + static_cast<int64_t>(at) * kChannels) * w[i];
      }
    }
    StoreFloatPixel<kChannels>(sum, out);
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
void BlendFloatRows(const In* const* rows, const Weight* weights, int count, int64_t n, float scale,
                    float* out) {
  for (int64_t x = 0; x < n; x += kPixelBlock) {
    const int size = n - x < kPixelBlock ? static_cast<int>(n - x) : kPixelBlock;
    Weight sum[kPixelBlock];
    for (int i = 0; i < kPixelBlock; ++i) sum[i] = 0;
    for (int j = 0; j < count; ++j) {
      const In* p = rows[j] + x;
      const Weight w = weights[j];
      if (size == kPixelBlock) {
        for (int i = 0; i < kPixelBlock; ++i) sum[i] += static_cast<Weight>(p[i]) * w;
      } else {
        for (int i = 0; i < size; ++i) sum[i] += static_cast<Weight>(p[i]) * w;
      }
    }
    for (int i = 0; i < size; ++i) out[x + i] = static_cast<float>(sum[i]) * scale;
  }
}

template <int kChannels>
OCTET_INLINE void LerpRowOf(const uint8_t* in, const int32_t* left, const int32_t* right,
                            const float* lerp, int outputs, float* out) {
  for (int x = 0; x < outputs; ++x, out += kChannels) {
    const auto from = LoadPixel<kChannels, float>(in + static_cast<int64_t>(left[x]) * kChannels);
    const auto to = LoadPixel<kChannels, float>(in + static_cast<int64_t>(right[x]) * kChannels);
    StoreFloatPixel<kChannels>(from + (to - from) * lerp[x], out);
  }
}

void LerpRow(const uint8_t* in, const int32_t* left, const int32_t* right, const float* lerp,
             int outputs, int channels, float* out) {
  if (channels == 3) {
    LerpRowOf<3>(in, left, right, lerp, outputs, out);
  } else {
    LerpRowOf<1>(in, left, right, lerp, outputs, out);
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
  for (int x = 0; x < outputs; ++x, out += 3) {
    const uint8_t* p = in + static_cast<int64_t>(at[x]) * 3;
    out[0] = p[0];
    out[1] = p[1];
    out[2] = p[2];
  }
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
    .blend_rows_u8_f32 = &BlendFloatRows<uint8_t, float>,
    .blend_rows_f32_f32 = &BlendFloatRows<float, float>,
    .blend_rows_u8_f64 = &BlendFloatRows<uint8_t, double>,
    .blend_rows_f32_f64 = &BlendFloatRows<float, double>,
    .lerp_row = &LerpRow,
    .lerp_rows = &LerpRows,
    .pick_row = &PickRow,
    .floats_to_u8 = &FloatsToU8,
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_PIXELS_IMPL_H_
