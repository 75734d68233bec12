// OpenCV's bilinear, bicubic and area, as cv2.resize of version 4.13 and on computes them on x86.
#ifndef OCTET_ENGINE_SRC_PIXELS_RESAMPLER_OPENCV_H_
#define OCTET_ENGINE_SRC_PIXELS_RESAMPLER_OPENCV_H_

#include <memory>

#include "engine/src/pixels/resampler.h"

namespace octet {

/// kBilinear, kBicubic or kArea.
std::unique_ptr<Resampler> MakeOpencvResampler(const Resampling& resampling,
                                               const kernels::KernelTable& table);

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PIXELS_RESAMPLER_OPENCV_H_
