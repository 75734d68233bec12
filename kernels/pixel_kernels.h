// What a photo's pixels go through before the network: functions over rows of interleaved values.
// As the other kernels, they know memory and arithmetic only, and give the same bits on every
// instruction set.
#ifndef OCTET_KERNELS_PIXEL_KERNELS_H_
#define OCTET_KERNELS_PIXEL_KERNELS_H_

#include <cstdint>

namespace octet::kernels {

/// Filter taps of one axis: output i is the sum over j < count[i] of weights[i * taps + j] *
/// in[first[i] + j], where positions outside [0, size) mean the nearest inside. With fixed-point
/// weights, and those of Pillow's floats, there are none outside.
template <typename Weight>
struct TapsView {
  int size = 0;     ///< Of the input.
  int outputs = 0;  ///< Those that are computed.
  int taps = 0;     ///< Stride of `weights`, which are 0 behind `count`.
  const int32_t* first = nullptr;
  const int32_t* count = nullptr;
  const Weight* weights = nullptr;
};

/// Pillow's fixed-point weights: 22 bits of fraction; `taps` is a multiple of 16.
struct FixedTapsView : TapsView<int32_t> {
  /// The weights again, w = d[0] + d[1] * 2^8 + d[2] * 2^16: [outputs][taps / 16][3][16].
  const int8_t* digits = nullptr;
};
inline constexpr int kFixedTapsBits = 22;
/// Rows that resize_rows takes at once at most.
inline constexpr int kRowsAtOnce = 4;

/// Scaling by filters. Inputs of 8 bits may be read up to 64 bytes behind the last value that is
/// needed, those of floats one value.
struct ResizeKernels {
  /// Pillow's horizontal pass on `rows` <= kRowsAtOnce rows of `channels` (1 or 3) values a pixel:
  /// out = clamp((2^21 + sum) >> 22, 0, 255), the sum in int32, wrapping around.
  void (*resize_rows)(const uint8_t* const* in, int rows, const FixedTapsView& taps, int channels,
                      uint8_t* const* out);
  /// Its vertical pass: `n` values of output row `output`, of count[output] rows.
  void (*blend_rows)(const uint8_t* const* rows, const FixedTapsView& taps, int output, int64_t n,
                     uint8_t* out);

  // The same in floating point: the sum begins at 0, and each product is added in turn, in the
  // weights' type; then it is rounded to float and, vertically, multiplied by `scale`.
  void (*resize_row_u8_f32)(const uint8_t* in, const TapsView<float>& taps, int channels,
                            float* out);
  void (*resize_row_f32_f32)(const float* in, const TapsView<float>& taps, int channels,
                             float* out);
  void (*resize_row_u8_f64)(const uint8_t* in, const TapsView<double>& taps, int channels,
                            float* out);
  void (*resize_row_f32_f64)(const float* in, const TapsView<double>& taps, int channels,
                             float* out);
  void (*blend_rows_u8_f32)(const uint8_t* const* rows, const float* weights, int count, int64_t n,
                            float scale, float* out);
  void (*blend_rows_f32_f32)(const float* const* rows, const float* weights, int count, int64_t n,
                             float scale, float* out);
  void (*blend_rows_u8_f64)(const uint8_t* const* rows, const double* weights, int count, int64_t n,
                            float scale, float* out);
  void (*blend_rows_f32_f64)(const float* const* rows, const double* weights, int count, int64_t n,
                             float scale, float* out);

  /// TensorFlow's bilinear pass: pixel x is l + (r - l) * lerp[x] of the pixels at left[x] and
  /// right[x].
  void (*lerp_row)(const uint8_t* in, const int32_t* left, const int32_t* right, const float* lerp,
                   int outputs, int channels, float* out);
  /// out = top + (bottom - top) * lerp.
  void (*lerp_rows)(const float* top, const float* bottom, float lerp, int64_t n, float* out);

  /// Pixel x of the input at[x].
  void (*pick_row)(const uint8_t* in, const int32_t* at, int outputs, int channels, uint8_t* out);

  /// tf.saturate_cast to uint8: clamped, then cut to whole numbers; a NaN becomes 0.
  void (*floats_to_u8)(const float* in, int64_t n, uint8_t* out);
};

/// Columns of OpenCV's bicubic: output x is made of the pixels at[4 * x] and on, with
/// weights[4 * x] and on, none of them above 1.
struct OpencvCubicView {
  int outputs = 0;
  const int32_t* at = nullptr;
  const float* weights = nullptr;
  /// Outputs [begin, end) are inside, their four pixels one behind the other. With one channel
  /// those from `rest` on are summed up in another order.
  int begin = 0, rest = 0, end = 0;
};

/// OpenCV's rules, as its wheels compute them on x86 with AVX2. `n` counts values.
struct OpencvKernels {
  /// Bilinear in 8 bits, horizontally: (p0 * weights[2 * x] + p1 * weights[2 * x + 1]) >> 4 of the
  /// pixels at[2 * x] and behind it, where the weights have 11 bits of fraction.
  void (*linear_row)(const uint8_t* in, const int32_t* at, const int16_t* weights, int outputs,
                     int channels, int16_t* out);
  /// Vertically: (((top * w0) >> 16) + ((bottom * w1) >> 16) + 2) >> 2.
  void (*linear_rows)(const int16_t* top, const int16_t* bottom, int w0, int w1, int64_t n,
                      uint8_t* out);

  /// Bicubic, by four products p0 to p3 that are rounded unless the sum's step is fused, in
  /// brackets. Inside: (p0 + p1) + (p2 + p3) with one channel, its rest (p0 + p2) + (p1 + p3), and
  /// [p2 + p1] + [p3 + p0] with three.
  void (*cubic_row)(const uint8_t* in, const OpencvCubicView& columns, int channels, float* out);
  /// At the border, for outputs [begin, end): [[[p1 + p0] + p2] + p3] is what the inner two of four
  /// rows want, [[[p0 + p1] + p2] + p3] the outer two.
  void (*cubic_border)(const uint8_t* in, const OpencvCubicView& columns, int begin, int end,
                       int channels, float* inner, float* outer);
  /// Four rows: [p1 + p0] + [p3 + p2], and at the border (p0 + p2) + (p1 + p3).
  void (*cubic_rows)(const float* const* rows, const float* weights, int64_t n, float* out);
  void (*cubic_border_rows)(const float* const* rows, const float* weights, int64_t n, float* out);

  /// As ResizeKernels::resize_row_u8_f32 of taps that are all inside.
  void (*area_row)(const uint8_t* in, const TapsView<float>& taps, int channels, float* out);
  /// Area by whole factors: sums += in; the sums of `factor` pixels next to each other; int32(in) *
  /// scale + bias. Sums wrap around.
  void (*add_row)(const uint8_t* in, int64_t n, uint32_t* sums);
  void (*sum_columns)(const uint32_t* in, int factor, int outputs, int channels, uint32_t* out);
  void (*scale_sums)(const uint32_t* in, int64_t n, float scale, float bias, float* out);
  /// Values below 2^22 rounded to the nearest, halves to even, and clamped to 8 bits.
  void (*round_row)(const float* in, int64_t n, uint8_t* out);
};

/// From Y, U and V to red, green and blue as libyuv computes it: with y = Y * 257 * y_scale / 65536
/// (floor), u = U - 128 and v = V - 128, each of
///   red   = (y + bias + v_red * v) / 64,
///   green = (y + bias - u_green * u - v_green * v) / 64,
///   blue  = (y + bias + u_blue * u) / 64
/// (floor) clamped to 0 to 255.
struct YuvConstants {
  uint16_t y_scale;
  int16_t bias, v_red, u_green, v_green, u_blue;
};

/// OpenCV's, of BT.601 in video range: the same sums of 20 fractional bits and y = max(Y - 16, 0).
inline constexpr int kOpencvY = 1220542, kOpencvVRed = 1673527, kOpencvUGreen = -409993,
                     kOpencvVGreen = -852492, kOpencvUBlue = 2116026, kOpencvBits = 20;

/// One row of YUV. Pixels 2 i and 2 i + 1 share a value i of each chroma.
struct YuvRow {
  const uint8_t* y;  ///< Of packed formats the only one: Y U Y V, `width` made even.
  const uint8_t* u;  ///< (width + 1) / 2 values; of formats with pairs twice as many and the only
                     ///< one.
  const uint8_t* v;
  int width;
};

/// Writes `width` pixels of R G B for each of `count` rows of one width, `rgb_stride` bytes apart.
using YuvRowsFn = void (*)(const YuvRow* rows, int count, const YuvConstants& constants,
                           uint8_t* rgb, int64_t rgb_stride);

enum class YuvLayout { kUvPairs = 0, kVuPairs = 1, kPlanes = 2, kPacked = 3 };
inline constexpr int kYuvLayouts = 4;

/// From `width` pixels of one kind to as many of another, elsewhere in memory.
using PixelRowFn = void (*)(const uint8_t* in, int width, uint8_t* out);

/// Pixel (x, y) of `in` becomes (y, x) of `out`, elsewhere in memory. Strides are bytes and may be
/// negative.
using TransposeFn = void (*)(const uint8_t* in, int64_t in_stride, int width, int height,
                             uint8_t* out, int64_t out_stride);

/// Exactly the pixels that are named are read and written.
struct PixelKernelsRows {
  PixelRowFn rgb_from_bgr, rgb_from_rgba, rgb_from_bgra;
  /// By Framework. Pillow's convert("L"): (19595 R + 38470 G + 7471 B + 32768) / 65536 (floor);
  /// tf.image.rgb_to_grayscale, in float32; cv2.cvtColor, Pillow's with 19596 and 7470.
  PixelRowFn gray_from_rgb[3];
  PixelRowFn reverse_rgb, reverse_gray;
  TransposeFn transpose_rgb, transpose_gray;
  YuvRowsFn rgb_from_yuv[kYuvLayouts];         ///< By YuvLayout.
  YuvRowsFn rgb_from_yuv_opencv[kYuvLayouts];  ///< The same; constants do not matter.
};

/// All of an instruction set.
struct PixelKernels {
  PixelKernelsRows rows;
  ResizeKernels resize;
  OpencvKernels opencv;
};

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PIXEL_KERNELS_H_
