// .npy files as parts of a data set. Type and shape tell pixels, prepared numbers and codes apart;
// all samples become images or [height,width,channels].
#include <filesystem>

#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset_part.h"
#include "formats/data/npy.h"

namespace octet {
namespace {

class ArrayPart : public NumberedPart {
 public:
  ArrayPart(std::string path, int64_t count, bool pixels)
      : path_(std::move(path)), pixels_(pixels) {
    SetCount(count);
  }

  Result<bool> Read(Sample* sample) override {
    OCTET_ASSIGN_OR_RETURN(const bool more, Skip());
    if (!more) return false;
    const int64_t count = height * width * channels;
    if (!reader_) {
      OCTET_ASSIGN_OR_RETURN(reader_, NpyReader::Open(path_));
    }
    sample->name = StrCat(std::filesystem::path(path_).filename().string(), "[", index, "]");
    if (pixels_) {
      OCTET_RETURN_IF_ERROR(ReadPixels(index * count, count, &sample->image));
    } else {
      sample->codes = reader_->header().type == NpyType::kU8;
      sample->float_data.resize(static_cast<size_t>(count));
      sample->float_height = static_cast<int>(height);
      sample->float_width = static_cast<int>(width);
      sample->float_channels = static_cast<int>(channels);
      OCTET_RETURN_IF_ERROR(reader_->ReadFloats(index * count, count, sample->float_data.data()));
    }
    if (at_end()) reader_.reset();
    return true;
  }

  int64_t height = 1, width = 1, channels = 1;

 private:
  Status ReadPixels(int64_t first, int64_t count, DecodedImage* image) {
    image->height = static_cast<int>(height);
    image->width = static_cast<int>(width);
    std::vector<uint8_t>& rgb = image->rgb;
    rgb.resize(static_cast<size_t>(height * width * 3));
    OCTET_RETURN_IF_ERROR(reader_->Read(first, count, rgb.data()));
    if (channels == 3) return OkStatus();
    // Gray pixels spread to three from the last on, so that none is overwritten before it is read.
    for (size_t i = static_cast<size_t>(count); i-- > 0;)
      rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = rgb[i];
    return OkStatus();
  }

  std::string path_;
  bool pixels_;
  std::optional<NpyReader> reader_;
};

}  // namespace

Result<std::unique_ptr<DatasetPart>> OpenArray(const std::string& path, bool raw) {
  OCTET_ASSIGN_OR_RETURN(const NpyReader reader, NpyReader::Open(path));
  const NpyType type = reader.header().type;
  const std::vector<int64_t>& s = reader.header().shape;
  std::string shape;
  for (int64_t d : s) shape += (shape.empty() ? "" : ",") + std::to_string(d);
  const std::string found = StrCat(NpyTypeName(type), " [", shape, "]");
  const size_t rank = s.size();
  // Bytes of vectors and of images that are no photos are the numbers that the source was fed.
  const auto color = [&](size_t d) { return s[d] == 1 || s[d] == 3; };
  const bool numbers = rank == 2 || (rank == 4 && !color(1) && !color(3));
  const bool pixels = type == NpyType::kU8 && !raw && !numbers;
  const bool floats = type == NpyType::kF16 || type == NpyType::kF32 || type == NpyType::kF64;
  const bool fits = pixels ? rank == 3 || (rank == 4 && color(3))
                           : (floats || raw || numbers) && rank >= 2 && rank <= 4;
  if (!fits || (!floats && type != NpyType::kU8)) {
    return InvalidArgument(StrCat(path, ": holds ", found,
                                  ", expected uint8 pixels [n,height,width] or "
                                  "[n,height,width,3 or 1], or floats [n,features], "
                                  "[n,height,width] or of four dimensions",
                                  pixels ? "; raw arrays are the input's own codes" : ""));
  }
  auto part = std::make_unique<ArrayPart>(path, s[0], pixels);
  // [n,features] is [n,1,1,features], [n,height,width] has one channel.
  if (rank == 2) part->channels = s[1];
  if (rank >= 3) {
    part->height = s[1];
    part->width = s[2];
  }
  if (rank == 4) part->channels = s[3];
  // The product of all dimensions is checked, but with n = 0 the others may be anything.
  const int64_t per_sample = Shape{part->height, part->width, part->channels}.num_elements();
  if (s[0] == 0 || per_sample <= 0)
    return InvalidArgument(StrCat(path, ": holds ", found, ", which is empty"));
  if (per_sample > kMaxImagePixels * 3) {
    return Unsupported(StrCat(path, ": holds ", found, ", at most ", kMaxImagePixels * 3,
                              " values per sample are read"));
  }
  part->kind = pixels ? "NumPy files of images" : "NumPy files of prepared inputs";
  part->description = StrCat("NumPy file of ", s[0], pixels ? " images" : " prepared inputs");
  return std::unique_ptr<DatasetPart>(std::move(part));
}

}  // namespace octet
