// OpenCV's bilinear, bicubic and area, as cv2.resize of its wheels computes them on x86.
//
// The wheels agree in 8 bits but for bicubic, which Intel's IPP computes in them. What it does with
// AVX2 is followed, to the bit, in OpenCV 4.12, 4.14 and 5.0. With AVX-512 (in 4.10 and from 4.13
// on), without AVX2, and in 4.10, 8 to 16 of a million values are a level away; without IPP (other
// processors, cv2.ipp.setUseIPP(False)) 3 of a hundred are, and floats of bilinear and bicubic
// differ by up to 6e-5 of the largest.
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
