// Rules that take each pixel from one of the source, of all frameworks.
#ifndef OCTET_ENGINE_SRC_PIXELS_RESAMPLER_NEAREST_H_
#define OCTET_ENGINE_SRC_PIXELS_RESAMPLER_NEAREST_H_

#include <memory>

#include "engine/src/pixels/resampler.h"

namespace octet {

std::unique_ptr<Resampler> MakeNearestResampler(const Resampling& resampling,
                                                const kernels::KernelTable& table);

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PIXELS_RESAMPLER_NEAREST_H_
