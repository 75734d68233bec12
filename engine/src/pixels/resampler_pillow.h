// Pillow's filters on 8 bits.
#ifndef OCTET_ENGINE_SRC_PIXELS_RESAMPLER_PILLOW_H_
#define OCTET_ENGINE_SRC_PIXELS_RESAMPLER_PILLOW_H_

#include <memory>

#include "engine/src/pixels/resampler.h"

namespace octet {

std::unique_ptr<Resampler> MakePillowResampler(const Resampling& resampling,
                                               const kernels::KernelTable& table);

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PIXELS_RESAMPLER_PILLOW_H_
