#include "formats/model/checksum_impl.h"
#include "kernels/reference/reference_conv.h"
#include "kernels/reference/reference_ops.h"
#include "kernels/tables.h"

namespace octet::kernels {

const KernelTable kReferenceTable = {
    .name = "reference",
    .description = "plain loops, the oracle of the tests",
    .conv_u8_u8 = &reference::ConvU8U8,
    .conv_u8_f32 = &reference::ConvU8F32,
    .conv_f32 = &reference::ConvF32,
    .conv_f16 = &reference::ConvF16,
    .depthwise_u8_u8 = &reference::DepthwiseU8U8,
    .depthwise_u8_f32 = &reference::DepthwiseU8F32,
    .depthwise_f32 = &reference::DepthwiseF32,
    .depthwise_f16 = &reference::DepthwiseF16,
    .max_pool_u8 = &reference::MaxPoolU8,
    .max_pool_f32 = &reference::MaxPoolF32,
    .average_pool_u8 = &reference::AveragePoolU8,
    .average_pool_f32 = &reference::AveragePoolF32,
    .global_pool_u8_u8 = &reference::GlobalPoolU8U8,
    .global_pool_u8_f32 = &reference::GlobalPoolU8F32,
    .global_pool_f32 = &reference::GlobalPoolF32,
    .add_u8 = &reference::AddU8,
    .add_f32 = &reference::AddF32,
    .mul_u8 = &reference::MulU8,
    .mul_f32 = &reference::MulF32,
    .scale_shift_u8 = &reference::ScaleShiftU8,
    .scale_shift_f32 = &reference::ScaleShiftF32,
    .quantize = &reference::QuantizeF32,
    .quantize_tflite = &reference::QuantizeTfliteF32,
    .dequantize = &reference::DequantizeU8,
    .min_max = &reference::MinMaxF32,
    .softmax = &reference::Softmax,
    .log_softmax = &reference::LogSoftmax,
    .sigmoid = &reference::Sigmoid,
    .tanh = &reference::Tanh,
    .pixels = &kReferencePixels,
    .checksum = &ChecksumAroundImpl,
    .winograd_u8_u8 = nullptr,
    .winograd_u8_f32 = nullptr,
    .winograd_f32 = nullptr,
    .winograd_f16 = nullptr,
    .winograd_u8 = {0, 0},
    .winograd_is_exact = nullptr,
};

}  // namespace octet::kernels
