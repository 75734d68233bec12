// Plain loops for everything but convolutions: what kernels/portable/ops_impl.h is tested against.
// Meaning and arithmetic as kernels/kernel_table.h says.
#ifndef OCTET_KERNELS_REFERENCE_REFERENCE_OPS_H_
#define OCTET_KERNELS_REFERENCE_REFERENCE_OPS_H_

#include "kernels/kernel_table.h"

namespace octet::kernels::reference {

void MaxPoolU8(const PoolArgs& args, int row_begin, int row_end);
void MaxPoolF32(const PoolArgs& args, int row_begin, int row_end);
void AveragePoolU8(const PoolArgs& args, int row_begin, int row_end);
void AveragePoolF32(const PoolArgs& args, int row_begin, int row_end);

void GlobalPoolU8U8(const PoolArgs& args, int image_begin, int image_end);
void GlobalPoolU8F32(const PoolArgs& args, int image_begin, int image_end);
void GlobalPoolF32(const PoolArgs& args, int image_begin, int image_end);

void AddU8(const EltwiseArgs& args, int row_begin, int row_end);
void AddF32(const EltwiseArgs& args, int row_begin, int row_end);
void MulU8(const EltwiseArgs& args, int row_begin, int row_end);
void MulF32(const EltwiseArgs& args, int row_begin, int row_end);
void ScaleShiftU8(const EltwiseArgs& args, int row_begin, int row_end);
void ScaleShiftF32(const EltwiseArgs& args, int row_begin, int row_end);
void QuantizeF32(const EltwiseArgs& args, int row_begin, int row_end);
void QuantizeTfliteF32(const EltwiseArgs& args, int row_begin, int row_end);
void QuantizeTfliteI16(const EltwiseArgs& args, int row_begin, int row_end);
void DequantizeU8(const EltwiseArgs& args, int row_begin, int row_end);
void MaxPoolI16(const PoolArgs& args, int row_begin, int row_end);
void AveragePoolI16(const PoolArgs& args, int row_begin, int row_end);
void GlobalPoolI16I16(const PoolArgs& args, int image_begin, int image_end);
void GlobalPoolI16F32(const PoolArgs& args, int image_begin, int image_end);
void AddI16(const EltwiseArgs& args, int row_begin, int row_end);
void MulI16(const EltwiseArgs& args, int row_begin, int row_end);
void MaxPoolBf16(const PoolArgs& args, int row_begin, int row_end);
void AveragePoolBf16(const PoolArgs& args, int row_begin, int row_end);
void GlobalPoolBf16(const PoolArgs& args, int image_begin, int image_end);
void GlobalPoolBf16F32(const PoolArgs& args, int image_begin, int image_end);
void AddBf16(const EltwiseArgs& args, int row_begin, int row_end);
void MulBf16(const EltwiseArgs& args, int row_begin, int row_end);
void ScaleShiftBf16(const EltwiseArgs& args, int row_begin, int row_end);
void ScaleShiftF32Bf16(const EltwiseArgs& args, int row_begin, int row_end);
void ScaleShiftBf16F32(const EltwiseArgs& args, int row_begin, int row_end);
void ScaleShiftI16(const EltwiseArgs& args, int row_begin, int row_end);
void QuantizeI16(const EltwiseArgs& args, int row_begin, int row_end);
void DequantizeI16(const EltwiseArgs& args, int row_begin, int row_end);
void RequantizeU8I16(const EltwiseArgs& args, int row_begin, int row_end);
void RequantizeI16U8(const EltwiseArgs& args, int row_begin, int row_end);

void MinMaxF32(const EltwiseArgs& args, int row_begin, int row_end, float* min, float* max);

void Softmax(const float* x, float* out, int n);
void LogSoftmax(const float* x, float* out, int n);
void Sigmoid(const float* x, float* out, int n);
void Tanh(const float* x, float* out, int n);

}  // namespace octet::kernels::reference

#endif  // OCTET_KERNELS_REFERENCE_REFERENCE_OPS_H_
