// NumPy arrays of what the source's network was fed.
#ifndef OCTET_CONVERTER_CALIBRATE_SOURCE_ARRAY_H_
#define OCTET_CONVERTER_CALIBRATE_SOURCE_ARRAY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "formats/base/status.h"
#include "formats/data/npy.h"
#include "formats/model/graph.h"

namespace octet {

/// The first input of a network as its source knows it.
struct SourceInput {
  Shape shape;                  ///< Of the network: [1,height,width,channels] or [1,features].
  bool channels_first = false;  ///< The source's arrays are [n,channels,height,width].
  bool codes = false;           ///< The source takes uint8 or int8 codes...
  Quantization quantization{};  ///< ...of this quantization, int8 ones 128 lower.

  static SourceInput Of(const Graph& imported);
};

/// An open .npy file with the batch in front.
class SourceArray {
 public:
  /// The array is read in the source's order, and in the other one where only that fits; an image
  /// of one channel may come without it, a vector with dimensions of 1. Errors: those of NpyReader;
  /// kInvalidArgument for another shape, with the path in front.
  static Result<SourceArray> Open(const std::string& path, const SourceInput& input);

  int64_t size() const { return file_.header().shape[0]; }

  /// uint8 images [n,height,width,channels] of any size, with 1 or 3 channels as the network has,
  /// for one whose source does not take codes: to be prepared, not to be given to the network.
  bool has_pixels() const { return pixels_; }
  int height() const { return static_cast<int>(file_.header().shape[1]); }  ///< Of such images.
  int width() const { return static_cast<int>(file_.header().shape[2]); }
  /// Image n: height * width * channels bytes.
  Status ReadPixels(int64_t n, std::vector<uint8_t>* pixels) const;

  /// Sample n in the network's order, as numbers: codes are what they stand for. kInvalidArgument
  /// for a NaN or an infinity.
  Status Read(int64_t n, float* nhwc);

 private:
  SourceArray(std::string path, NpyReader file, const SourceInput& input)
      : path_(std::move(path)), file_(std::move(file)), input_(input) {}
  Status Decide();

  std::string path_;
  NpyReader file_;
  SourceInput input_;
  bool pixels_ = false, channels_first_ = false;
  double code_offset_ = 0.0;  ///< Of codes: added to what the file holds.
  std::vector<float> values_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_CALIBRATE_SOURCE_ARRAY_H_
