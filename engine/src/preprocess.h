// From an image of any size to a network's input.
#ifndef OCTET_ENGINE_SRC_PREPROCESS_H_
#define OCTET_ENGINE_SRC_PREPROCESS_H_

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/pixels/geometry.h"
#include "engine/src/pixels/resampler.h"
#include "engine/src/thread_pool.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"
#include "formats/model/metadata.h"
#include "kernels/kernel_table.h"

namespace octet {

/// Of arrays of `channels` 1 or 3.
inline PixelFormat FormatOfChannels(int channels) {
  return channels == 1 ? PixelFormat::kGray : PixelFormat::kRgb;
}

/// An image as the network sees it before normalization: [height, width, channels], channels in the
/// network's order; one of the two is empty.
struct ResizedImage {
  std::span<const uint8_t> pixels;
  std::span<const float> values;  ///< With Resampling::to_float.
};

struct PixelCodes;

/// Prepares images of any size for one network. Keeps what it has worked out and allocated, so that
/// a further image of a size allocates nothing. For one thread at a time.
class Preprocessor final : public StepWork {
 public:
  /// `workforce`: its threads share the work on an image; null for the calling one alone. It must
  /// outlive the calls. The values do not depend on it.
  Preprocessor(const Preprocessing& preprocessing, int height, int width, int channels,
               const kernels::KernelTable& table,
               int64_t max_memory = std::numeric_limits<int64_t>::max(),
               Workforce* workforce = nullptr);
  ~Preprocessor();

  /// Resizes, crops and pads, and applies the channel order. The result stands until the next call.
  /// Errors: kInvalidArgument (those of CheckImage and FindGeometry; a network of channels other
  /// than 1 and 3), kOutOfMemory (more than max_memory).
  Result<ResizedImage> Resize(const Image& image);

  /// The network's input: (v * scale - mean[c]) / stddev[c] in float32. Errors as above.
  Status ToFloat(const Image& image, float* out);

  /// The same, quantized: clamp(rne(x / q.scale) + q.zero_point, 0, 255).
  Status ToU8(const Image& image, const Quantization& q, uint8_t* out);

  /// The same as int16, its zero point being 0: clamp(rne(x / q.scale), -32768, 32767).
  Status ToI16(const Image& image, const Quantization& q, uint8_t* out);

  /// What of the last image became the input, and what it looks like before normalization.
  const ResizeGeometry& geometry() const { return geometry_; }
  const ResizedImage& resized() const { return resized_; }

 private:
  struct Buffers;

  Status Prepare(const ResizeTask& task, int64_t rows_scratch);
  /// A part of the rows of the present image.
  void ResizePart(const StepPart& part);
  void DoPart(size_t, const StepPart& part) override { ResizePart(part); }
  void EndStep(size_t) override {}
  /// Nothing is padded or made of one channel.
  bool IsWhole(const ResizeTask& t) const {
    return t.width == width_ && t.height == height_ && t.channels == channels_;
  }

  const Preprocessing preprocessing_;
  const int height_, width_, channels_;
  const int64_t max_memory_;
  Workforce* const workforce_;
  const int num_threads_;
  std::shared_ptr<StepSharing> sharing_;  ///< Of one step; null with one thread.
  const kernels::PixelKernels& kernels_;
  std::unique_ptr<Resampler> resampler_;
  ResizeGeometry geometry_;
  ResizedImage resized_;
  const Image* image_ = nullptr;  ///< The present one.
  int work_channels_ = 0;
  ResizeTask task_;  ///< What the resampler is prepared for.
  int64_t rows_scratch_ = 0;
  std::unique_ptr<PixelCodes> codes_;  ///< Of the last quantization.
  std::vector<float> floats_;          ///< For ToI16.
  std::unique_ptr<Buffers> buffers_;
};

/// Fills the first input of a model from an image, by a preprocessor that is made when there is
/// none. Errors: kInvalidArgument (an input that is not of four dimensions), those of Preprocessor.
Status PreprocessInput(const Image& image, const ModelDescription& model,
                       const kernels::KernelTable& table, int64_t max_memory, Workforce* workforce,
                       std::unique_ptr<Preprocessor>* preprocessor, void* input);

/// out[i] = (pixel * scale - mean[c]) / stddev[c] in float32.
void NormalizeToFloat(const Preprocessing& preprocessing, const ResizedImage& image, int channels,
                      float* out);

/// The codes of pixels 0 to 255 in each channel, [channels][256], as Preprocessor::ToU8 says.
struct PixelCodes {
  Quantization quantization;
  std::array<uint8_t, 3 * 256> codes;
  bool same = true;  ///< All are the pixels, as most uint8 inputs have them.

  PixelCodes(const Preprocessing& preprocessing, const Quantization& q, int channels);
};

/// The same as NormalizeToFloat, quantized.
void NormalizeToU8(const Preprocessing& preprocessing, const PixelCodes& codes,
                   const ResizedImage& image, int channels, uint8_t* out);
inline void NormalizeToU8(const Preprocessing& preprocessing, const Quantization& q,
                          const ResizedImage& image, int channels, uint8_t* out) {
  NormalizeToU8(preprocessing, PixelCodes(preprocessing, q, channels), image, channels, out);
}

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PREPROCESS_H_
