// Gray as the frameworks make it of colors. Internal to octet_data.
#ifndef OCTET_FORMATS_DATA_GRAY_H_
#define OCTET_FORMATS_DATA_GRAY_H_

#include <cstdint>
#include <span>

namespace octet::data_internal {

/// (red * R + green * G + blue * B + bias) / 2^bits (floor).
struct GrayRule {
  uint32_t red, green, blue, bias, bits;

  template <typename T>
  T Of(const T* rgb) const {
    return static_cast<T>((red * rgb[0] + green * rgb[1] + blue * rgb[2] + bias) >> bits);
  }
};

inline constexpr GrayRule kPillowGray{19595, 38470, 7471, 32768, 16};
/// Of its own decoders; cv2.cvtColor has another one.
inline constexpr GrayRule kOpencvGray{4899, 9617, 1868, 8192, 14};
/// png_set_rgb_to_gray(png, 1, 0.299, 0.587), which OpenCV and TensorFlow call: of 8 bits, of 16.
inline constexpr GrayRule kLibpngGray{9797, 19234, 3737, 0, 15};
inline constexpr GrayRule kLibpngGray16{9797, 19234, 3737, 16384, 15};

/// Of pixels of R G B, which all become the gray.
void MakeGray(const GrayRule& rule, std::span<uint8_t> rgb);

/// By libpng's rule of 8 bits for a file that names its gamma, in units of 1 / 100000: the sum is
/// one of linear light.
void MakeGrayByGamma(int32_t gamma, std::span<uint8_t> rgb);

/// Whether libpng takes the gamma for another one than 1.
bool IsGamma(int32_t gamma);

}  // namespace octet::data_internal

#endif  // OCTET_FORMATS_DATA_GRAY_H_
