// Rules that compute in floating point: TensorFlow's, and Pillow's of mode F.
#ifndef OCTET_ENGINE_SRC_PIXELS_RESAMPLER_FLOAT_H_
#define OCTET_ENGINE_SRC_PIXELS_RESAMPLER_FLOAT_H_

#include <memory>

#include "engine/src/pixels/resampler.h"

namespace octet {

std::unique_ptr<Resampler> MakeFloatResampler(const Resampling& resampling,
                                              const kernels::KernelTable& table);

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PIXELS_RESAMPLER_FLOAT_H_
