#include "formats/data/exif.h"

#include <cstring>
#include <utility>
#include <vector>

namespace octet::data_internal {

Result<int> ExifOrientation(Bytes tiff) {
  constexpr uint32_t kOrientation = 0x0112, kShort = 3;
  constexpr size_t kHeader = 8, kEntry = 12;
  if (tiff.size() < kHeader + 2) return 1;
  const bool big = tiff[0] == 'M' && tiff[1] == 'M';
  if (!big && !(tiff[0] == 'I' && tiff[1] == 'I')) return 1;
  const auto read16 = [&](size_t at) { return big ? Big16(&tiff[at]) : Little16(&tiff[at]); };
  const auto read32 = [&](size_t at) { return big ? Big32(&tiff[at]) : Little32(&tiff[at]); };
  const size_t directory = read32(4);
  if (read16(2) != 42 || directory > tiff.size() - 2) return 1;
  const size_t entries = read16(directory);
  for (size_t i = 0, at = directory + 2; i < entries && at + kEntry <= tiff.size();
       ++i, at += kEntry) {
    if (read16(at) != kOrientation) continue;
    const uint32_t type = read16(at + 2), count = read32(at + 4), value = read16(at + 8);
    if (type != kShort || count != 1) {
      return Unsupported(StrCat("EXIF orientation is of type ", type, " and count ", count,
                                ", expected one number of type 3"));
    }
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;  // 0 is common: unknown.
  }
  return 1;
}

void TurnUpright(int orientation, DecodedImage* image) {
  if (orientation == 1) return;
  // The stored pixel of the result's first one, and how to go on from there along its rows and
  // columns.
  const bool swapped = SwapsSides(orientation);
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const std::ptrdiff_t pixel = 3, row = pixel * image->width;
  const std::ptrdiff_t x = from_right ? -pixel : pixel, y = from_bottom ? -row : row;
  const uint8_t* first = image->rgb.data() + (from_right ? row - pixel : 0) +
                         (from_bottom ? row * (image->height - 1) : 0);
  DecodedImage turned{
      swapped ? image->height : image->width, swapped ? image->width : image->height, {}};
  turned.rgb.resize(image->rgb.size());
  uint8_t* out = turned.rgb.data();
  for (int i = 0; i < turned.height; ++i) {
    const uint8_t* in = first + (swapped ? x : y) * i;
    for (int j = 0; j < turned.width; ++j, in += swapped ? y : x, out += pixel)
      std::memcpy(out, in, pixel);
  }
  *image = std::move(turned);
}

}  // namespace octet::data_internal
