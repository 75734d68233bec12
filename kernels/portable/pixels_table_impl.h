// The pixel kernels of one instruction set; included last by a translation unit of its own.
#ifndef OCTET_KERNELS_PORTABLE_PIXELS_TABLE_IMPL_H_
#define OCTET_KERNELS_PORTABLE_PIXELS_TABLE_IMPL_H_

#include "kernels/pixel_kernels.h"
#include "kernels/portable/pixels_impl.h"
#include "kernels/portable/pixels_opencv_impl.h"
#include "kernels/portable/pixels_rows_impl.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

constexpr PixelKernels kPixelKernels = {
    .rows = kPixelRows, .resize = kResizeKernels, .opencv = kOpencvKernels};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_PIXELS_TABLE_IMPL_H_
