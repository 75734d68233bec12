// The table of one instruction set; included last by its translation unit.
#ifndef OCTET_KERNELS_PORTABLE_TABLE_IMPL_H_
#define OCTET_KERNELS_PORTABLE_TABLE_IMPL_H_

#include "formats/model/checksum_impl.h"
#include "kernels/kernel_table.h"
#include "kernels/portable/contract.h"
#include "kernels/portable/conv_impl.h"
#include "kernels/portable/ops_impl.h"
#ifdef OCTET_WINOGRAD
#include "kernels/portable/winograd_impl.h"
#endif
#ifdef OCTET_SPLIT
#include "kernels/x86/avx2_split.h"
#endif

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

static_assert(VectorInterface<Vec>);
#ifdef OCTET_WINOGRAD
static_assert(WinogradInterface<Vec>);
#endif

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
      .dequantize = &DequantizeU8,
      .min_max = &MinMaxF32,
      .softmax = &Softmax,
      .log_softmax = &LogSoftmax,
      .sigmoid = &Sigmoid,
      .tanh = &Tanh,
      .pixels = pixels,
      .checksum = &ChecksumAroundImpl,
#ifdef OCTET_WINOGRAD
      .winograd_u8_u8 = &Winograd<WinogradU8<KernelU8U8>>,
      .winograd_u8_f32 = &Winograd<WinogradU8<KernelU8F32>>,
      .winograd_f32 = &Winograd<WinogradFloat<KernelF32, Vec::MacF32>>,
      .winograd_f16 = &Winograd<WinogradFloat<KernelF16, Vec::MacF16>>,
      .winograd_u8 = Vec::kWinogradLimit,
      .winograd_is_exact = &WinogradIsExact,
#else
      .winograd_u8_u8 = nullptr,
      .winograd_u8_f32 = nullptr,
      .winograd_f32 = nullptr,
      .winograd_f16 = nullptr,
      .winograd_u8 = {0, 0},
      .winograd_is_exact = nullptr,
#endif
#ifdef OCTET_SPLIT
      .split_u8_u8 = &SplitConv<KernelU8U8>,
      .split_u8_f32 = &SplitConv<KernelU8F32>,
      .find_chains = &FindChains,
#endif
  };
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_TABLE_IMPL_H_
