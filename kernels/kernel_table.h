// What a kernel is: plain functions over plain structs, one table of them per instruction set.
// Kernels know memory and arithmetic; they never see a graph. All structs hold borrowed pointers;
// every function is thread-safe and writes only the part of the output that its range names, so any
// split over threads gives the same bits.
#ifndef OCTET_KERNELS_KERNEL_TABLE_H_
#define OCTET_KERNELS_KERNEL_TABLE_H_

#include <cstddef>
#include <cstdint>

#include "kernels/pixel_kernels.h"

namespace octet::kernels {

/// Activations in memory: NHWC with explicit strides in BYTES. Pixels of internal tensors have
/// their channels rounded up to 16 (what stands in the extra ones is arbitrary but finite) and may
/// have a halo of padding pixels around each image, which lies outside [0,h)x[0,w) and is reached
/// with negative or larger coordinates.
///
/// bfloat16 values ("bf16") are uint16_t, the upper halves of floats: kernels widen what they read
/// and round what they store to nearest even, NaNs to NaNs.
///
/// 16-bit integers ("i16") lie in two planes of bytes, each like a u8 tensor: the high bytes of x +
/// 32768, and `plane` bytes behind them the low bytes. So x = 256 * high + low - 32768.
struct ActivationView {
  uint8_t* data = nullptr;  ///< Pixel (0,0) of image 0.
  int64_t image_stride = 0, row_stride = 0, pixel_stride = 0;
  int64_t plane = 0;  ///< Of i16 only.
  int h = 1, w = 1, c = 1;
  uint8_t* pixel(int n, int y, int x) const {
    return data + n * image_stride + y * row_stride + x * pixel_stride;
  }
};

/// q * 2^(shift-31), q from 2^30 to 2^31-1 or 0, shift at most 31.
struct FixedMultiplier {
  int32_t q = 0, shift = 0;
};

/// One convolution or dense layer. Pixels are the flattened [batch][out_h][out_w]; output channels
/// come in panels of 16.
///
/// Pixel (n, y, x) reads tap t at: input + n*in_image_stride + y*in_row_step + x*in_pixel_step +
/// tap_offsets[t], `depth` consecutive elements. No bounds are checked: padding is physical (a halo
/// filled with the zero point).
struct ConvArgs {
  const uint8_t* input = nullptr;                      ///< Tap 0 of output pixel (0,0,0).
  int64_t in_plane = 0, out_plane = 0, res_plane = 0;  ///< As ActivationView::plane.
  int64_t in_image_stride = 0, in_row_step = 0,
          in_pixel_step = 0;             ///< Bytes; strides of the convolution included.
  const int32_t* tap_offsets = nullptr;  ///< [taps], bytes.
  int taps = 1;
  int depth = 1;  ///< Elements per tap as stored in the weights (int8: a multiple of 4, bf16: of
                  ///< 2). Exactly these are read.
  /// Of a grouped convolution: output channel c reads c / group_outputs * group_bytes further on. A
  /// multiple of 4, and `depth` as well. Split and wide kernels have no groups; those of Winograd
  /// have whole panels, `group_outputs` a multiple of 16.
  int group_outputs = 1 << 30;
  int64_t group_bytes = 0;

  /// Panels, formats/model/panel.h, aligned as their elements are; lines that are lines of the
  /// cache are read fastest.
  const uint8_t* weights = nullptr;
  int64_t panel_bytes = 0;  ///< Distance between panels.

  uint8_t* output = nullptr;  ///< Channel 0 of pixel (0,0,0).
  int64_t out_image_stride = 0, out_row_stride = 0, out_pixel_stride = 0;
  /// Same shape as the output, same element type; null for none.
  const uint8_t* residual = nullptr;
  int64_t res_image_stride = 0, res_row_stride = 0, res_pixel_stride = 0;

  int batch = 1, out_h = 1, out_w = 1;
  int out_c = 1;  ///< Real output channels. All 16 lanes of the last panel are stored: pixel
                  ///< strides leave room.

  // Epilogue, integer: v = float(acc + bias[c]) * multiplier[c] (+ float(r - residual_zero) *
  // residual_multiplier);
  //   u8 out:  q = rne(min(max(v, low), high)) + out_zero, where low/high are relative to out_zero.
  //            With `fixed`, and then without a residual: rne(v) is replaced by acc * fixed[c] in
  //            TFLite's fixed-point arithmetic: p = acc * 2^max(shift, 0) * q / 2^31, then p /
  //            2^max(-shift, 0), both rounded to nearest, halves away from zero (p's negative
  //            halves towards it). With `round_once` only the end result is rounded, in this way.
  //   f32 out: v + float_bias[c], then + r (float residual), then clamped to [low, high].
  // Epilogue, i16 in: the sums over both planes begin with bias[c] and low_bias[c], of which the
  // former includes -128 times the sum of the weights. With acc = 256 * high sum + low sum,
  // v = (float(acc >> 8) * 256 + float(acc & 255)) * multiplier[c] (+ float(r) *
  // residual_multiplier);
  //   i16 out: rne(min(max(v, low), high)). With `real`, and then without a residual, rne(v) is
  //            replaced by acc * real[c] in double, rounded once and then to the nearest whole
  //            number, halves up; with `round_once` away from zero.
  //   f32 out: as above.
  // Epilogue, float: v = acc + float_bias[c] (+ r), clamped to [low, high]. bf16: the same, and the
  // residual is of the output's type.
  // Per-channel arrays have panels*16 entries.
  const int32_t* bias = nullptr;      ///< Never null for integer kernels.
  const int32_t* low_bias = nullptr;  ///< Never null for i16 in.
  /// `bias` without what it includes for the weights; of wide kernels only.
  const int32_t* plain_bias = nullptr;
  const float* multiplier = nullptr;       ///< Never null for integer kernels.
  const float* float_bias = nullptr;       ///< Never null for f32 outputs.
  const FixedMultiplier* fixed = nullptr;  ///< u8 outputs only; null for none. multiplier[c] is
                                           ///< then q * 2^(shift-31) as a float.
  /// With `fixed`: 2^(shift-1) where shift < 0 and p is rounded, else 0.
  const float* nudge = nullptr;
  bool round_once = false;
  /// With `fixed`: what `multiplier` is less than the real number, where proven_fixed.h says that
  /// floats with both give all results; else null.
  const float* multiplier_rest = nullptr;
  const double* real = nullptr;  ///< i16 to i16 only; null for none.
  float residual_multiplier = 0.0f;
  int32_t residual_zero = 0;
  int32_t out_zero = 0;
  // u8 out: -out_zero <= low <= high <= 255 - out_zero.
  float low = 0.0f, high = 0.0f;

  /// Pixels to go through before the next panels are started, chosen by the planner so that they
  /// stay in cache.
  int pixel_block = 1 << 30;

  /// Of split kernels only: what FindChainsFn says of the weights, [panels][ChainEntries(lines)].
  const uint16_t* chains = nullptr;
  /// Of split, spread and wide kernels, and of f16 ones unless null: this thread's own memory, of
  /// split ones SplitScratchBytes, else kConvScratchBytes, 64-byte aligned.
  uint8_t* scratch = nullptr;
};
inline constexpr int64_t kConvScratchBytes = int64_t{304} << 10;
/// Most lines of 64 bytes in a panel of a split kernel.
inline constexpr int64_t kSplitLines = 8192;

/// Which lines of a panel a split kernel may multiply together: 4 entries, how many chains of four
/// lines there are, of two, and of one, and a zero; then the numbers of their lines, all `lines`.
inline int64_t ChainEntries(int64_t lines) { return 4 + lines; }
/// What a split kernel of so many lines a panel needs as `scratch`.
inline int64_t SplitScratchBytes(int64_t lines) {
  return kConvScratchBytes + (lines * (64 + 4) + 63) / 64 * 64;
}
using FindChainsFn = void (*)(const uint8_t* weights, int panels, int64_t lines, uint16_t* chains);

/// Computes output pixels [pixel_begin, pixel_end) x panels [panel_begin, panel_end).
using ConvFn = void (*)(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end,
                        int panel_begin, int panel_end);

/// A 3x3 convolution of stride 1 by Winograd F(4x4,3x3) or F(2x2,3x3), portable/winograd_impl.h.
/// `conv` gives geometry, weights, epilogue and addresses; its input must be readable (a halo) up
/// to the last whole tile: edge*ceil(out/edge) + 2 rows and columns from tap 0 on, where edge is 4
/// or 2.
struct WinogradArgs {
  ConvArgs conv;        ///< `depth`, the input channels, is a multiple of 16.
  int tile_block = 16;  ///< Tiles computed together; chosen to stay in the level-2 cache.
};
/// i16: both planes of a tile are computed together, so the block takes twice the scratch memory.
/// Tiles [tile_begin, tile_end) of the flattened [batch][ceil(out_h/edge)][ceil(out_w/edge)],
/// output panels [panel_begin, panel_end). `scratch` is this thread's own, of WinogradScratchBytes
/// (kernels/winograd.h), 64-byte aligned.
using WinogradFn = void (*)(const WinogradArgs& args, int64_t tile_begin, int64_t tile_end,
                            int panel_begin, int panel_end, uint8_t* scratch);

/// Whether the magnitude of every output channel's sum surely stays below 2^25 for any activations
/// in [0, 255] (255 times the sum of its positive weights does, and that of its negative ones):
/// what makes the integer algorithm exact. Reads all weights, [panels] of 9 taps of `channels`.
using WinogradIsExactFn = bool (*)(const int8_t* weights, int panels, int channels);

/// Fewest tiles of an image and fewest input channels with which it is the one to take; of grouped
/// convolutions, fewest of a group.
struct WinogradLimit {
  int tiles, channels, group_channels;
};

// Depthwise convolution is a ConvFn too, with weights [c/16][tap][16] and `depth` 1: panel p reads
// and writes channels 16*p..16*p+15 of each pixel.

/// Pools. Window rows and columns outside the image do not count.
struct PoolArgs {
  ActivationView input, output;
  int kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, pad_top = 0, pad_left = 0;
  bool count_include_pad = false;
  int batch = 1;
  // u8 average: q = clamp(rne(float(sum - count*in_zero) * (multiplier / count)) + out_zero, 0,
  // 255). In front of rne, where v differs from the pivot: v + copysign(nudge, v - pivot). i16: the
  // same without zero points, clamped to i16_low and 32767; with `whole`, sum / count to the
  // nearest whole number, halves away from zero.
  float multiplier = 1.0f;
  int32_t in_zero = 0, out_zero = 0;
  float nudge = 0.0f, pivot = 0.0f;
  FixedMultiplier fixed;  ///< Global, codes of one type; with a q of 0 there is none.
  float i16_low = -32767.0f;
  bool whole = false;
};
/// Output rows [row_begin, row_end) of the flattened [batch][out_h].
using PoolFn = void (*)(const PoolArgs& args, int row_begin, int row_end);

/// Mean over all pixels of an image: in h x w x c, out c values. u8 in: v = float(sum -
/// h*w*in_zero) * multiplier, where multiplier includes 1/(h*w); u8 out: q = clamp(rne(v) +
/// out_zero, 0, 255), with the nudge in front of rne; with a `fixed`, rne(v) is replaced by (sum -
/// h*w*in_zero) * fixed, rounded as in ConvArgs; i16 the same without zero points, `whole` as
/// average pools; float in: sequential sum * (1/(h*w)).
using GlobalPoolFn = void (*)(const PoolArgs& args, int image_begin, int image_end);

/// Elementwise work on `count` channels (padding channels included, so a multiple of 16 where
/// tensors are internal) of each pixel of rows [row_begin, row_end) of the flattened [batch][h].
struct EltwiseArgs {
  ActivationView a, b, output;  ///< `b` unused by unary operators.
  int count = 0;                ///< Channels to process per pixel.
  int batch = 1;
  // Add, u8: v = float(a-a_zero)*a_multiplier + float(b-b_zero)*b_multiplier; q = rne(clamp(v, low,
  // high)) + out_zero. Unary (requantize, ReLU, scale-shift): v = x*scale[c] + shift[c], or
  // x*a_multiplier when `scale` is null, with x = float(a-a_zero) for u8; then clamped (and for u8
  // rounded) as Add. For u8, unary: v + copysign(nudge, v) is what is clamped. Add, Mul, float:
  // clamp(a op b, low, high). Quantize: v = a * a_multiplier (a_multiplier = 1/scale), of
  // a*scale[c] + shift[c] when `scale` is not null; TFLite's:
  // v = a / a_multiplier (a_multiplier = scale), halves away from zero. Dequantize:
  // float(a - a_zero) * a_multiplier.
  // i16: as u8 with zero points of 0, but for fixed-point arithmetic: with a `fixed`, rne(v) is
  // replaced by the product of `fixed`, rounded as in ConvArgs, and
  //   Add: a * 2^15 * a_fixed + b * 2^15 * b_fixed, each product rounded so;
  //   Mul: a * b;
  //   unary, of i16 or to i16: x * factors[c], or x where that is null; with `terms`
  //   x * 2^15 * a_fixed + terms[c].
  // Of Add and Mul a * a_real + b * b_real or a * b * a_real in double is then within fixed_margin
  // of the unrounded product wherever clamping leaves it.
  // Mul, u8: v = float((a-a_zero)*(b-b_zero)) * a_multiplier, then as Add.
  // Add, u8, with `fixed_a`: TFLite's fixed-point arithmetic, q = clamp(rounded((fixed_a[a] +
  // fixed_b[b]) * fixed)) + out_zero, the product rounded as in ConvArgs. v is then within
  // fixed_margin of the unrounded product wherever clamping leaves it. Mul, u8, with a `fixed`: the
  // same of (a-a_zero)*(b-b_zero) * fixed, and v + copysign(nudge, v) is what is so near, where
  // nudge is 2^(shift-1) for a negative shift, else 0.
  float a_multiplier = 1.0f, b_multiplier = 1.0f;
  int32_t a_zero = 0, b_zero = 0, out_zero = 0;
  float low = 0.0f, high = 0.0f;
  float nudge = 0.0f;
  const int32_t* fixed_a = nullptr;  ///< [256], by the byte; null for none.
  const int32_t* fixed_b = nullptr;  ///< The same for `b`.
  FixedMultiplier fixed;
  float fixed_margin = 0.0f;
  FixedMultiplier a_fixed, b_fixed;  ///< Of i16; at most 1/2.
  double a_real = 0.0, b_real = 0.0;
  const int32_t* factors = nullptr;  ///< Per channel, up to 2^15; null for none.
  const int32_t* terms = nullptr;    ///< Per channel; null for none.
  const float* scale = nullptr;  ///< Per channel, `count` entries; null = one multiplier for all.
  const float* shift = nullptr;  ///< As `scale`; null exactly when `scale` is.
};
using EltwiseFn = void (*)(const EltwiseArgs& args, int row_begin, int row_end);

/// Smallest and largest of the first `count` channels of image n's rows; float input.
using MinMaxFn = void (*)(const EltwiseArgs& args, int row_begin, int row_end, float* min,
                          float* max);

/// From one pixel's `n` floats to as many, which may be the same memory.
using RowFn = void (*)(const float* x, float* out, int n);

using ChecksumFn = uint64_t (*)(const void* bytes, size_t size, size_t hole);

/// All kernels of one instruction set. Only the last entries may be null, as they say.
struct KernelTable {
  const char* name;         ///< As instruction_sets.h has it.
  const char* description;  ///< For people.
  ConvFn conv_u8_u8;        ///< u8 activations, int8 weights, u8 out.
  ConvFn conv_u8_f32;       ///< u8 activations, int8 weights, float out (last layer; hybrid).
  ConvFn conv_f32;          ///< float everything.
  ConvFn conv_f16;          ///< float activations, half weights.
  ConvFn depthwise_u8_u8, depthwise_u8_f32, depthwise_f32, depthwise_f16;
  ConvFn conv_i16_i16, conv_i16_f32, depthwise_i16_i16, depthwise_i16_f32;        ///< int8 weights.
  ConvFn conv_bf16_bf16, conv_bf16_f32, depthwise_bf16_bf16, depthwise_bf16_f32;  ///< bf16 weights.
  PoolFn max_pool_u8, max_pool_f32, average_pool_u8, average_pool_f32;
  GlobalPoolFn global_pool_u8_u8, global_pool_u8_f32, global_pool_f32;
  EltwiseFn add_u8, add_f32, mul_u8, mul_f32, scale_shift_u8, scale_shift_f32;
  EltwiseFn quantize, quantize_tflite;  ///< float to u8.
  EltwiseFn quantize_tflite_i16;        ///< float to i16.
  EltwiseFn dequantize;                 ///< u8 to float.
  PoolFn max_pool_i16, average_pool_i16;
  GlobalPoolFn global_pool_i16_i16, global_pool_i16_f32;
  EltwiseFn add_i16, mul_i16, scale_shift_i16, quantize_i16, dequantize_i16;
  EltwiseFn requantize_u8_i16, requantize_i16_u8;  ///< As scale_shift without constants.
  PoolFn max_pool_bf16, average_pool_bf16;
  GlobalPoolFn global_pool_bf16_bf16, global_pool_bf16_f32;
  EltwiseFn add_bf16, mul_bf16, scale_shift_bf16;
  EltwiseFn scale_shift_f32_bf16, scale_shift_bf16_f32;  ///< As scale_shift of floats.
  MinMaxFn min_max;
  RowFn softmax;      ///< exp(x[i]-max)/sum, sequential float32 sum.
  RowFn log_softmax;  ///< (x[i]-max) - log(sum), the same sum.
  RowFn sigmoid, tanh;
  const PixelKernels* pixels;          ///< Never null.
  ChecksumFn checksum;                 ///< Of .octet files, formats/model/checksum.h.
  bool takes_multiplier_rest = false;  ///< conv_u8_u8 has a use for ConvArgs::multiplier_rest.
  bool blocks_pixels = false;          ///< Convolutions are faster with ConvArgs::pixel_block.
  /// By activations, weights and output as the convolutions above; null when the instruction set
  /// has none.
  WinogradFn winograd_u8_u8, winograd_u8_f32, winograd_f32, winograd_f16, winograd_i16_i16,
      winograd_bf16_bf16, winograd_bf16_f32;
  WinogradLimit winograd_u8, winograd_bf16;
  /// By tiles of 2x2 outputs, whose transformed input and weights are rounded to bfloat16; null
  /// when the instruction set has none.
  WinogradFn winograd_2x2_bf16_bf16 = nullptr;
  WinogradLimit winograd_2x2_bf16{};
  WinogradIsExactFn winograd_is_exact;  ///< Null exactly when winograd_u8_u8 is.
  /// As conv_u8_u8 and conv_u8_f32 for a depth that is a multiple of 16 and at most kSplitLines
  /// lines, with the same result; faster when few activations are 128 or more. Null when the
  /// instruction set has none.
  ConvFn split_u8_u8 = nullptr, split_u8_f32 = nullptr;
  FindChainsFn find_chains = nullptr;  ///< What split kernels must know of weights.
  /// As conv_u8_u8, where groups are whole panels and all steps and tap offsets of the input even:
  /// faster, but slower than split kernels where few activations are 128 or more. Null when the
  /// instruction set has none.
  ConvFn spread_u8_u8 = nullptr;
  /// As conv_i16_i16 and conv_i16_f32, faster. Null when the instruction set has none.
  ConvFn wide_i16_i16 = nullptr, wide_i16_f32 = nullptr;
  /// Of the instruction set that this one differs from in integer products or in those of bfloat16
  /// alone. Such a table is compiled with what has them, and AllTables makes it whole (WithBase).
  const KernelTable* base = nullptr;
};

/// A table with the kernels of its base where it has none of its own.
inline KernelTable WithBase(const KernelTable& own) {
  KernelTable t = own.base->base == nullptr ? *own.base : WithBase(*own.base);
  t.name = own.name;
  t.description = own.description;
  t.base = own.base;
  if (own.conv_bf16_bf16 != nullptr) {
    t.conv_bf16_bf16 = own.conv_bf16_bf16;
    t.conv_bf16_f32 = own.conv_bf16_f32;
    t.winograd_bf16 = own.winograd_bf16;
    t.winograd_2x2_bf16_bf16 = own.winograd_2x2_bf16_bf16;
    t.winograd_2x2_bf16 = own.winograd_2x2_bf16;
  }
  if (own.conv_u8_u8 == nullptr) return t;
  t.conv_u8_u8 = own.conv_u8_u8;
  t.conv_u8_f32 = own.conv_u8_f32;
  t.conv_i16_i16 = own.conv_i16_i16;
  t.conv_i16_f32 = own.conv_i16_f32;
  t.winograd_u8_u8 = own.winograd_u8_u8;
  t.winograd_u8_f32 = own.winograd_u8_f32;
  t.winograd_i16_i16 = own.winograd_i16_i16;
  t.winograd_u8 = own.winograd_u8;
  t.winograd_is_exact = own.winograd_is_exact;
  // Those are in the place of better products.
  t.split_u8_u8 = t.split_u8_f32 = nullptr;
  t.find_chains = nullptr;
  t.spread_u8_u8 = nullptr;
  t.wide_i16_i16 = t.wide_i16_f32 = nullptr;
  return t;
}

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_KERNEL_TABLE_H_
