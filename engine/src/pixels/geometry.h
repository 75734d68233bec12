// Which part of an image becomes which part of the network's input.
#ifndef OCTET_ENGINE_SRC_PIXELS_GEOMETRY_H_
#define OCTET_ENGINE_SRC_PIXELS_GEOMETRY_H_

#include "engine/src/pixels/resampler.h"
#include "formats/base/status.h"
#include "formats/model/metadata.h"

namespace octet {

struct ResizeGeometry {
  int source_x = 0, source_y = 0;  ///< Where the part that is scaled begins.
  ResizeTask task;                 ///< Of that part.
  int to_x = 0, to_y = 0;          ///< Where the result stands in the input; around it is padding.
};

/// For an image of image_width x image_height and an input of width x height. The rounding is
/// - kCenterCrop: torchvision's Resize(shorter) and CenterCrop: the longer side cut to whole
///   pixels, the offset rounded half to even. timm's are the same.
/// - kLetterbox: by the framework of the resampling: PIL.ImageOps.pad, tf.image.resize_with_pad,
///   and what YOLO does with OpenCV (each border (free - 0.1) / 2 rounded).
/// - kCropToAspect: Keras' smart_resize and Resizing(crop_to_aspect_ratio=True).
/// Errors: kInvalidArgument (another size with kNone, a resize_shorter that does not fit, a side of
/// which a letterbox leaves nothing).
Result<ResizeGeometry> FindGeometry(const Preprocessing& preprocessing, int image_width,
                                    int image_height, int channels, int width, int height);

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PIXELS_GEOMETRY_H_
