// The table of one instruction set; included last by its translation unit. With OCTET_BASE_TABLE,
// the table of another set, it has only what differs from that.
#ifndef OCTET_KERNELS_PORTABLE_TABLE_IMPL_H_
#define OCTET_KERNELS_PORTABLE_TABLE_IMPL_H_

#include "kernels/kernel_table.h"
#include "kernels/portable/contract.h"
#include "kernels/portable/conv_impl.h"
#ifndef OCTET_BASE_TABLE
#include "formats/model/checksum_impl.h"
#include "kernels/portable/ops_impl.h"
#endif
#if defined(OCTET_WINOGRAD_PAIRS) || (defined(OCTET_WINOGRAD) && !defined(OCTET_BF16_PART))
#include "kernels/portable/winograd_impl.h"
#endif
#ifdef OCTET_SPLIT
#include "kernels/x86/avx2_split.h"
#include "kernels/x86/avx2_spread.h"
#include "kernels/x86/avx2_wide.h"
#endif

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

static_assert(VectorInterface<Vec>);
#ifdef OCTET_WINOGRAD
static_assert(WinogradInterface<Vec>);
#endif
#ifdef OCTET_WINOGRAD_PAIRS
static_assert(PairsInterface<Vec>);
#endif
#ifdef OCTET_SIDE_BY_SIDE
static_assert(AcrossInterface<Vec::AcrossU8>);
#endif
#ifdef OCTET_SIDE_BY_SIDE_BF16
static_assert(AcrossInterface<Vec::AcrossBf16> && AcrossInterface<Vec::AcrossBf16F32>);
#endif

#ifdef OCTET_BF16_PART
/// Products of bfloat16 alone; for WithBase.
constexpr KernelTable MakeTable(const char* name, const char* description) {
  KernelTable t{};
  t.name = name;
  t.description = description;
  t.conv_bf16_bf16 = &Conv<KernelBf16>;
  t.conv_bf16_f32 = &Conv<KernelBf16F32>;
#ifdef OCTET_WINOGRAD_PAIRS
  t.winograd_bf16 = Vec::kBf16WinogradLimit;
  t.winograd_2x2_bf16_bf16 = &Winograd<WinogradPairs>;
  t.winograd_2x2_bf16 = Vec::kWinograd2x2Limit;
#endif
  t.base = &OCTET_BASE_TABLE;
  return t;
}
#elif defined(OCTET_BASE_TABLE)
/// Integer products alone; for WithBase.
constexpr KernelTable MakeTable(const char* name, const char* description) {
  KernelTable t{};
  t.name = name;
  t.description = description;
  t.conv_u8_u8 = &Conv<KernelU8U8>;
  t.conv_u8_f32 = &Conv<KernelU8F32>;
  t.conv_i16_i16 = &Conv<KernelI16I16>;
  t.conv_i16_f32 = &Conv<KernelI16F32>;
#ifdef OCTET_WINOGRAD
  t.winograd_u8_u8 = &Winograd<WinogradU8<KernelU8U8>>;
  t.winograd_u8_f32 = &Winograd<WinogradU8<KernelU8F32>>;
  t.winograd_i16_i16 = &Winograd<WinogradU8<KernelI16I16>>;
  t.winograd_u8 = Vec::kWinogradLimit;
  t.winograd_is_exact = &WinogradIsExact;
#endif
  t.base = &OCTET_BASE_TABLE;
  return t;
}
#else
constexpr KernelTable MakeTable(const char* name, const char* description,
                                const PixelKernels* pixels) {
  return {
      .name = name,
      .description = description,
      .conv_u8_u8 = &Conv<KernelU8U8>,
      .conv_u8_f32 = &Conv<KernelU8F32>,
      .conv_f32 = &Conv<KernelF32>,
      .conv_f16 = &Conv<KernelF16>,
      .depthwise_u8_u8 = &Depthwise<KernelU8U8, Vec::DepthwiseU8>,
      .depthwise_u8_f32 = &Depthwise<KernelU8F32, Vec::DepthwiseU8>,
      .depthwise_f32 = &Depthwise<KernelF32, Vec::DepthwiseF32>,
      .depthwise_f16 = &Depthwise<KernelF16, Vec::DepthwiseF16>,
      .conv_i16_i16 = &Conv<KernelI16I16>,
      .conv_i16_f32 = &Conv<KernelI16F32>,
      .depthwise_i16_i16 = &Depthwise<KernelI16I16, Vec::DepthwiseU8>,
      .depthwise_i16_f32 = &Depthwise<KernelI16F32, Vec::DepthwiseU8>,
      .conv_bf16_bf16 = &Conv<KernelBf16>,
      .conv_bf16_f32 = &Conv<KernelBf16F32>,
      .depthwise_bf16_bf16 = &Depthwise<KernelBf16, Vec::DepthwiseBf16>,
      .depthwise_bf16_f32 = &Depthwise<KernelBf16F32, Vec::DepthwiseBf16>,
      .max_pool_u8 = &MaxPoolU8,
      .max_pool_f32 = &MaxPoolF32,
      .average_pool_u8 = &AveragePoolU8,
      .average_pool_f32 = &AveragePoolF32,
      .global_pool_u8_u8 = &GlobalPoolU8U8,
      .global_pool_u8_f32 = &GlobalPoolU8F32,
      .global_pool_f32 = &GlobalPoolF32,
      .add_u8 = &AddU8,
      .add_f32 = &AddF32,
      .mul_u8 = &MulU8,
      .mul_f32 = &MulF32,
      .scale_shift_u8 = &ScaleShiftU8,
      .scale_shift_f32 = &ScaleShiftF32,
      .quantize = &QuantizeF32,
      .quantize_tflite = &QuantizeTfliteF32,
      .quantize_tflite_i16 = &QuantizeTfliteI16,
      .dequantize = &DequantizeU8,
      .max_pool_i16 = &MaxPoolI16,
      .average_pool_i16 = &AveragePoolI16,
      .global_pool_i16_i16 = &GlobalPoolI16I16,
      .global_pool_i16_f32 = &GlobalPoolI16F32,
      .add_i16 = &AddI16,
      .mul_i16 = &MulI16,
      .scale_shift_i16 = &ScaleShiftI16,
      .quantize_i16 = &QuantizeI16,
      .dequantize_i16 = &DequantizeI16,
      .requantize_u8_i16 = &RequantizeU8I16,
      .requantize_i16_u8 = &RequantizeI16U8,
      .max_pool_bf16 = &MaxPoolBf16,
      .average_pool_bf16 = &AveragePoolBf16,
      .global_pool_bf16_bf16 = &GlobalPoolBf16,
      .global_pool_bf16_f32 = &GlobalPoolBf16F32,
      .add_bf16 = &AddBf16,
      .mul_bf16 = &MulBf16,
      .scale_shift_bf16 = &ScaleShiftBf16,
      .scale_shift_f32_bf16 = &ScaleShiftF32Bf16,
      .scale_shift_bf16_f32 = &ScaleShiftBf16F32,
      .min_max = &MinMaxF32,
      .softmax = &Softmax,
      .log_softmax = &LogSoftmax,
      .sigmoid = &Sigmoid,
      .tanh = &Tanh,
      .pixels = pixels,
      .checksum = &ChecksumAroundImpl,
      .takes_multiplier_rest = Vec::kRoundsToZero,
      // Of tiles that write less than a line of the cache, which the next panels then write again.
      .blocks_pixels = Vec::kIntMaxPanels * kLanes < 64,
#ifdef OCTET_WINOGRAD
      .winograd_u8_u8 = &Winograd<WinogradU8<KernelU8U8>>,
      .winograd_u8_f32 = &Winograd<WinogradU8<KernelU8F32>>,
      .winograd_f32 = &Winograd<WinogradFloat<KernelF32, Vec::MacF32>>,
      .winograd_f16 = &Winograd<WinogradFloat<KernelF16, Vec::MacF16>>,
      .winograd_i16_i16 = &Winograd<WinogradU8<KernelI16I16>>,
      .winograd_bf16_bf16 = &Winograd<WinogradBf16<KernelBf16>>,
      .winograd_bf16_f32 = &Winograd<WinogradBf16<KernelBf16F32>>,
      .winograd_u8 = Vec::kWinogradLimit,
      .winograd_bf16 = Vec::kBf16WinogradLimit,
      .winograd_is_exact = &WinogradIsExact,
#else
      .winograd_u8_u8 = nullptr,
      .winograd_u8_f32 = nullptr,
      .winograd_f32 = nullptr,
      .winograd_f16 = nullptr,
      .winograd_i16_i16 = nullptr,
      .winograd_bf16_bf16 = nullptr,
      .winograd_bf16_f32 = nullptr,
      .winograd_u8 = {0, 0, 0},
      .winograd_bf16 = {0, 0, 0},
      .winograd_is_exact = nullptr,
#endif
#ifdef OCTET_SPLIT
      .split_u8_u8 = &SplitConv<KernelU8U8>,
      .split_u8_f32 = &SplitConv<KernelU8F32>,
      .find_chains = &FindChains,
      .spread_u8_u8 = &SpreadConv<KernelU8U8>,
      .wide_i16_i16 = &WideConv<KernelI16I16>,
      .wide_i16_f32 = &WideConv<KernelI16F32>,
#endif
  };
}
#endif

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_TABLE_IMPL_H_
