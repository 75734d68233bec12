// Rows by their definitions; what scales is the plain code of every instruction set, whose oracle
// is the frameworks.
#define OCTET_ISA_NAMESPACE reference
#define OCTET_PLAIN_PIXELS

#include <algorithm>
#include <cstring>

#include "kernels/portable/pixels_impl.h"
#include "kernels/portable/pixels_opencv_impl.h"
#include "kernels/tables.h"

namespace octet::kernels::reference {
namespace {

uint8_t ToByte(int v) { return static_cast<uint8_t>(std::clamp(v, 0, 255)); }

/// Red, green and blue are bytes kRed, kGreen and kBlue of `kStep`.
template <int kStep, int kRed, int kGreen, int kBlue>
void RgbFrom(const uint8_t* in, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x, in += kStep, out += 3) {
    out[0] = in[kRed];
    out[1] = in[kGreen];
    out[2] = in[kBlue];
  }
}

template <int kRed, int kGreen, int kBlue>
void GrayFromRgb(const uint8_t* in, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x, in += 3)
    out[x] = static_cast<uint8_t>((in[0] * kRed + in[1] * kGreen + in[2] * kBlue + 32768) >> 16);
}

void GrayByTensorflow(const uint8_t* in, int width, uint8_t* out) {
  constexpr float kWeights[] = {0.2989f, 0.587f, 0.114f};
  for (int x = 0; x < width; ++x, in += 3) {
    float sum = 0.0f;
    for (int c = 0; c < 3; ++c) sum += static_cast<float>(in[c]) * (1.0f / 255.0f) * kWeights[c];
    out[x] = static_cast<uint8_t>(sum * 255.5f);
  }
}

template <int kChannels>
void Reverse(const uint8_t* in, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x)
    std::memcpy(out + x * kChannels, in + (width - 1 - x) * kChannels, kChannels);
}

template <int kChannels>
void Transpose(const uint8_t* in, int64_t in_stride, int width, int height, uint8_t* out,
               int64_t out_stride) {
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      std::memcpy(out + x * out_stride + y * kChannels, in + y * in_stride + x * kChannels,
                  kChannels);
    }
  }
}

template <YuvLayout kLayout, bool kOpencv>
void RgbOfRow(const YuvRow& row, const YuvConstants& c, uint8_t* rgb) {
  for (int x = 0; x < row.width; ++x, rgb += 3) {
    const int i = x / 2;
    int luma = row.y[x], u = 0, v = 0;
    switch (kLayout) {
      case YuvLayout::kUvPairs:
        u = row.u[2 * i];
        v = row.u[2 * i + 1];
        break;
      case YuvLayout::kVuPairs:
        v = row.u[2 * i];
        u = row.u[2 * i + 1];
        break;
      case YuvLayout::kPlanes:
        u = row.u[i];
        v = row.v[i];
        break;
      case YuvLayout::kPacked:
        luma = row.y[2 * x];
        u = row.y[4 * i + 1];
        v = row.y[4 * i + 3];
        break;
    }
    u -= 128;
    v -= 128;
    if (kOpencv) {
      const int y = std::max(luma - 16, 0) * kOpencvY + (1 << (kOpencvBits - 1));
      rgb[0] = ToByte((y + kOpencvVRed * v) >> kOpencvBits);
      rgb[1] = ToByte((y + kOpencvUGreen * u + kOpencvVGreen * v) >> kOpencvBits);
      rgb[2] = ToByte((y + kOpencvUBlue * u) >> kOpencvBits);
    } else {
      const int y = (luma * 257 * c.y_scale >> 16) + c.bias;
      rgb[0] = ToByte((y + c.v_red * v) >> 6);
      rgb[1] = ToByte((y - c.u_green * u - c.v_green * v) >> 6);
      rgb[2] = ToByte((y + c.u_blue * u) >> 6);
    }
  }
}

template <YuvLayout kLayout, bool kOpencv>
void RgbFromYuv(const YuvRow* rows, int count, const YuvConstants& c, uint8_t* rgb,
                int64_t rgb_stride) {
  for (int y = 0; y < count; ++y) RgbOfRow<kLayout, kOpencv>(rows[y], c, rgb + y * rgb_stride);
}

constexpr PixelKernelsRows kPixelRows = {
    .rgb_from_bgr = &RgbFrom<3, 2, 1, 0>,
    .rgb_from_rgba = &RgbFrom<4, 0, 1, 2>,
    .rgb_from_bgra = &RgbFrom<4, 2, 1, 0>,
    .gray_from_rgb = {&GrayFromRgb<19595, 38470, 7471>, &GrayByTensorflow,
                      &GrayFromRgb<19596, 38470, 7470>},
    .reverse_rgb = &Reverse<3>,
    .reverse_gray = &Reverse<1>,
    .transpose_rgb = &Transpose<3>,
    .transpose_gray = &Transpose<1>,
    .rgb_from_yuv = {&RgbFromYuv<YuvLayout::kUvPairs, false>,
                     &RgbFromYuv<YuvLayout::kVuPairs, false>,
                     &RgbFromYuv<YuvLayout::kPlanes, false>,
                     &RgbFromYuv<YuvLayout::kPacked, false>},
    .rgb_from_yuv_opencv = {&RgbFromYuv<YuvLayout::kUvPairs, true>,
                            &RgbFromYuv<YuvLayout::kVuPairs, true>,
                            &RgbFromYuv<YuvLayout::kPlanes, true>,
                            &RgbFromYuv<YuvLayout::kPacked, true>},
};

}  // namespace
}  // namespace octet::kernels::reference

namespace octet::kernels {
const PixelKernels kReferencePixels = {.rows = reference::kPixelRows,
                                       .resize = reference::kResizeKernels,
                                       .opencv = reference::kOpencvKernels};
}  // namespace octet::kernels
