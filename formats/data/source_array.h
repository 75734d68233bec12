// NumPy arrays of what a network was fed where it came from.
#ifndef OCTET_FORMATS_DATA_SOURCE_ARRAY_H_
#define OCTET_FORMATS_DATA_SOURCE_ARRAY_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "formats/base/status.h"
#include "formats/data/npy.h"
#include "formats/model/metadata.h"

namespace octet {

/// An input of a network as its source knows it.
struct SourceInput {
  std::string name{};
  std::vector<int64_t> shape{};  ///< The network's: [1,height,width,channels] or [1,features].
  bool channels_first = false;   ///< The source's arrays are [n,channels,height,width].
  bool photos = false;           ///< An image of 1 or 3 channels, for which pixels are prepared.
  /// uint8 arrays are codes of this quantization, int8 ones are 128 lower; not pixels, not numbers.
  bool codes = false;
  bool int16 = false;  ///< int16 arrays are codes of this quantization, whose zero point is 0.
  float scale = 0.0f;
  int32_t zero_point = 0;
  ChannelQuantization by_channel{};  ///< In place of those two, where codes are pixels.
};

/// An open .npy file with the batch in front.
class SourceArray {
 public:
  /// The array is read in the source's order, and in the other one where only that fits; an image
  /// of one channel may come without it, a vector with dimensions of 1. Errors: those of NpyReader;
  /// kInvalidArgument for another shape, with the path in front.
  static Result<SourceArray> Open(const std::string& path, const SourceInput& input);

  int64_t size() const { return file_.header().shape[0]; }
  NpyType type() const { return file_.header().type; }
  std::string Name(int64_t n) const;  ///< Of a sample, for people.

  /// uint8 images of any size, in either order, with 1 or 3 channels, where the input takes photos
  /// and no codes: to be prepared, not to be given to the network.
  bool has_pixels() const { return pixels_; }
  int height() const { return height_; }  ///< Of such images.
  int width() const { return width_; }
  int channels() const { return channels_; }
  /// Image n: height * width * channels bytes, channels last.
  Status ReadPixels(int64_t n, std::vector<uint8_t>* pixels);

  /// Sample n in the network's order, as numbers: codes are what they stand for. kInvalidArgument
  /// for a NaN or an infinity.
  Status Read(int64_t n, float* nhwc);

 private:
  SourceArray(std::string path, NpyReader file, const SourceInput& input)
      : path_(std::move(path)), file_(std::move(file)), input_(input) {}
  Status Decide();
  bool Fits(const std::vector<int64_t>& shape);

  std::string path_;
  NpyReader file_;
  SourceInput input_;
  bool pixels_ = false, channels_first_ = false;
  int height_ = 0, width_ = 0, channels_ = 0;
  std::vector<float> values_;
  std::vector<uint8_t> planes_;
};

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_SOURCE_ARRAY_H_
