#include "engine/src/pixels/resampler.h"

#include "engine/src/pixels/resampler_float.h"
#include "engine/src/pixels/resampler_nearest.h"
#include "engine/src/pixels/resampler_opencv.h"
#include "engine/src/pixels/resampler_pillow.h"

namespace octet {

std::unique_ptr<Resampler> Resampler::Create(const Resampling& resampling,
                                             const kernels::KernelTable& table) {
  if (resampling.filter == ResizeFilter::kNearest) return MakeNearestResampler(resampling, table);
  if (resampling.framework == Framework::kOpencv) return MakeOpencvResampler(resampling, table);
  if (resampling.framework == Framework::kPillow && !resampling.to_float)
    return MakePillowResampler(resampling, table);
  return MakeFloatResampler(resampling, table);
}

}  // namespace octet
