// From an image of any size to a network's input.
#ifndef OCTET_ENGINE_SRC_PREPROCESS_H_
#define OCTET_ENGINE_SRC_PREPROCESS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "engine/include/octet/octet.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"
#include "formats/model/metadata.h"

namespace octet {

/// Memory that ResizeAndCrop reuses: repeated calls with images no larger than before allocate nothing.
struct ResizeWorkspace {
  std::vector<uint8_t> source;      ///< Image converted to the wanted channels, when it is not already.
  std::vector<uint8_t> horizontal;  ///< After the horizontal pass.
  std::vector<uint8_t> result;      ///< [height, width, channels].
  std::vector<int32_t> bounds;      ///< First source pixel and count per output pixel.
  std::vector<int32_t> weights;     ///< Fixed-point filter taps.
};

/// Resizes and crops as `preprocessing` says to height x width x channels (1 or 3) and applies its channel order. The same bits as
/// Pillow's Image.resize (filters BILINEAR and BICUBIC, 8-bit fixed point, horizontal pass first). `*pixels` points into the workspace.
/// Errors: kInvalidArgument (null or empty image, channels other than 1, 3, 4, sizes above 2^15, no resize rule and a different size).
Status ResizeAndCrop(const Image& image, const Preprocessing& preprocessing, int height, int width, int channels,
                     ResizeWorkspace* workspace, std::span<const uint8_t>* pixels);

/// out[i] = (pixel * scale - mean[c]) / stddev[c] in float32.
void NormalizeToFloat(const Preprocessing& preprocessing, std::span<const uint8_t> pixels, int channels, float* out);

/// The same, quantized: clamp(rne(x / q.scale) + q.zero_point, 0, 255), through one table of 256 entries per channel.
void NormalizeToU8(const Preprocessing& preprocessing, const Quantization& q, std::span<const uint8_t> pixels, int channels,
                   uint8_t* out);

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PREPROCESS_H_
