// From an image of any size to a network's input.
#ifndef OCTET_ENGINE_SRC_PREPROCESS_H_
#define OCTET_ENGINE_SRC_PREPROCESS_H_

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "engine/include/octet/octet.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"
#include "formats/model/metadata.h"

namespace octet {

/// Filter taps of one axis: output i is the sum over weights[i * taps + j] * input[first[i] + j], j
/// < count[i].
struct ResizeTaps {
  int in_size = 0, out_size = 0, begin = 0,
      outputs = 0;  ///< What they were computed for; see ComputeTaps.
  ResizeFilter filter = ResizeFilter::kBilinear;
  int taps = 0;  ///< Stride of `weights`.
  std::vector<int32_t> first, count, weights;
  std::vector<int16_t> pairs;  ///< The weights again, as the vector code wants them.
};

/// Memory that ResizeAndCrop reuses: repeated calls with images no larger than before allocate
/// nothing.
struct ResizeWorkspace {
  int64_t max_memory = std::numeric_limits<int64_t>::max();  ///< Bytes that all of it may take.
  ResizeTaps horizontal_taps, vertical_taps;
  std::vector<double> tap_values;
  std::vector<uint8_t>
      gray_row;  ///< One source row, when the model wants gray and the image has colour.
  std::vector<uint8_t>
      padded_row;  ///< Copy of a row at the image's end, which vector loads would read beyond.
  std::vector<uint8_t> horizontal;  ///< After the horizontal pass: the source rows that are needed.
  std::vector<uint8_t> result;      ///< [height, width, channels].
};

/// Resizes and crops as `preprocessing` says to height x width x channels (1 or 3) and applies its
/// channel order. The same bits as Pillow's Image.resize (filters BILINEAR and BICUBIC, 8-bit fixed
/// point, horizontal pass first; Pillow 13 and newer take images whose height shrinks much more
/// than their width in the other order) followed by the crop; sizes and offsets of kCenterCrop are
/// torchvision's. Only pixels inside the crop are computed. `*pixels` points into the workspace.
/// Errors: kInvalidArgument (null or empty image, channels other than 1, 3, 4, sizes above 2^15, no
/// resize rule and a different size, resize_shorter less than the input size), kOutOfMemory (more
/// than the workspace's max_memory).
Status ResizeAndCrop(const Image& image, const Preprocessing& preprocessing, int height, int width,
                     int channels, ResizeWorkspace* workspace, std::span<const uint8_t>* pixels);

/// out[i] = (pixel * scale - mean[c]) / stddev[c] in float32.
void NormalizeToFloat(const Preprocessing& preprocessing, std::span<const uint8_t> pixels,
                      int channels, float* out);

/// The same, quantized: clamp(rne(x / q.scale) + q.zero_point, 0, 255), through one table of 256
/// entries per channel.
void NormalizeToU8(const Preprocessing& preprocessing, const Quantization& q,
                   std::span<const uint8_t> pixels, int channels, uint8_t* out);

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PREPROCESS_H_
