#include "engine/src/preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "formats/base/str_cat.h"

namespace octet {
namespace {

constexpr int kMaxSide = 1 << 15;
// Pillow's fixed-point precision for 8-bit images: 8 bits of pixel, 2 bits of headroom for filters that overshoot.
constexpr int kPrecisionBits = 32 - 8 - 2;

double Triangle(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double Cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

/// Filter taps of one axis, after Pillow's precompute_coeffs (src/libImaging/Resample.c): output i reads bounds[2i+1]
/// inputs from bounds[2i] on. Returns the taps reserved per output.
int ComputeTaps(int in_size, double in0, double in1, int out_size, ResizeFilter filter, std::vector<int32_t>* bounds,
                std::vector<int32_t>* weights) {
  const double scale = (in1 - in0) / out_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = (filter == ResizeFilter::kBicubic ? 2.0 : 1.0) * filter_scale;
  const int taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  bounds->resize(static_cast<size_t>(out_size) * 2);
  weights->resize(static_cast<size_t>(out_size) * taps);
  double k[1 + 2 * 64];
  std::vector<double> large;
  double* value = k;
  if (taps > static_cast<int>(sizeof(k) / sizeof(k[0]))) {
    large.resize(taps);
    value = large.data();
  }
  for (int i = 0; i < out_size; ++i) {
    const double center = in0 + (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int count = std::min(in_size, static_cast<int>(center + support + 0.5)) - first;
    double sum = 0.0;
    for (int x = 0; x < count; ++x) {
      const double at = (x + first - center + 0.5) * (1.0 / filter_scale);
      value[x] = filter == ResizeFilter::kBicubic ? Cubic(at) : Triangle(at);
      sum += value[x];
    }
    int32_t* out = weights->data() + static_cast<size_t>(i) * taps;
    for (int x = 0; x < count; ++x) {
      const double w = (sum != 0.0 ? value[x] / sum : value[x]) * (1 << kPrecisionBits);
      out[x] = static_cast<int32_t>(w < 0 ? w - 0.5 : w + 0.5);
    }
    (*bounds)[2 * static_cast<size_t>(i)] = first;
    (*bounds)[2 * static_cast<size_t>(i) + 1] = count;
  }
  return taps;
}

uint8_t Clip(int32_t v) { return static_cast<uint8_t>(std::clamp(v >> kPrecisionBits, 0, 255)); }

/// Output columns of every row: in is [rows, width, channels], out [rows, out_width, channels].
void ResizeHorizontally(const uint8_t* in, int64_t in_stride, int rows, int channels, int out_width, int taps,
                        const ResizeWorkspace& w, uint8_t* out) {
  for (int y = 0; y < rows; ++y, in += in_stride) {
    for (int x = 0; x < out_width; ++x) {
      const int first = w.bounds[2 * static_cast<size_t>(x)], count = w.bounds[2 * static_cast<size_t>(x) + 1];
      const int32_t* k = w.weights.data() + static_cast<size_t>(x) * taps;
      const uint8_t* p = in + static_cast<int64_t>(first) * channels;
      int32_t sum[3] = {1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1)};
      for (int i = 0; i < count; ++i, p += channels) {
        for (int c = 0; c < channels; ++c) sum[c] += p[c] * k[i];
      }
      for (int c = 0; c < channels; ++c) *out++ = Clip(sum[c]);
    }
  }
}

/// Output rows: in is [height, row_bytes], out [out_height, row_bytes].
void ResizeVertically(const uint8_t* in, int64_t row_bytes, int out_height, int taps, const ResizeWorkspace& w, uint8_t* out) {
  for (int y = 0; y < out_height; ++y) {
    const int first = w.bounds[2 * static_cast<size_t>(y)], count = w.bounds[2 * static_cast<size_t>(y) + 1];
    const int32_t* k = w.weights.data() + static_cast<size_t>(y) * taps;
    constexpr int kBlock = 64;  // Sums of a block of columns stay in registers or level 1.
    for (int64_t x = 0; x < row_bytes; x += kBlock) {
      const int n = static_cast<int>(std::min<int64_t>(kBlock, row_bytes - x));
      int32_t sum[kBlock];
      std::fill_n(sum, n, 1 << (kPrecisionBits - 1));
      for (int i = 0; i < count; ++i) {
        const uint8_t* p = in + (first + i) * row_bytes + x;
        for (int j = 0; j < n; ++j) sum[j] += p[j] * k[i];
      }
      for (int j = 0; j < n; ++j) out[y * row_bytes + x + j] = Clip(sum[j]);
    }
  }
}

}  // namespace

Status ResizeAndCrop(const Image& image, const Preprocessing& preprocessing, int height, int width, int channels,
                     ResizeWorkspace* workspace, std::span<const uint8_t>* pixels) {
  if (image.pixels == nullptr || image.width < 1 || image.height < 1 || image.width > kMaxSide || image.height > kMaxSide) {
    return InvalidArgument(StrCat("image of ", image.width, "x", image.height, " pixels", image.pixels ? "" : " at null",
                                  ", expected 1 to ", kMaxSide, " on each side"));
  }
  if (image.channels != 1 && image.channels != 3 && image.channels != 4) {
    return InvalidArgument(StrCat("image has ", image.channels, " channels, expected 1, 3 or 4"));
  }
  if (channels != 1 && channels != 3) {
    return InvalidArgument(StrCat("the model's input has ", channels, " channels; images need 1 or 3"));
  }
  if (image.row_stride != 0 && image.row_stride < static_cast<int64_t>(image.width) * image.channels) {
    return InvalidArgument(StrCat("row_stride is ", image.row_stride, ", expected at least ", image.width * image.channels));
  }
  if (preprocessing.resize == ResizeRule::kNone && (image.width != width || image.height != height)) {
    return InvalidArgument(StrCat("image is ", image.width, "x", image.height, " and the model does not resize, expected ",
                                  width, "x", height));
  }
  const int64_t stride = image.row_stride != 0 ? image.row_stride : static_cast<int64_t>(image.width) * image.channels;

  // Region of the source that becomes the output.
  int resized_w = width, resized_h = height, crop_x = 0, crop_y = 0;
  if (preprocessing.resize == ResizeRule::kCenterCrop) {
    // As torchvision: the longer side is truncated to whole pixels, the crop offset rounded.
    const int shorter = preprocessing.resize_shorter;
    if (shorter < std::max(width, height)) {
      return InvalidArgument(StrCat("resize_shorter is ", shorter, ", expected at least the input size ", std::max(width, height)));
    }
    const int64_t w = image.width, h = image.height;
    resized_w = w <= h ? shorter : static_cast<int>(shorter * w / h);
    resized_h = w <= h ? static_cast<int>(shorter * h / w) : shorter;
    crop_x = static_cast<int>(std::nearbyint((resized_w - width) / 2.0));
    crop_y = static_cast<int>(std::nearbyint((resized_h - height) / 2.0));
  }

  // Source rows with the wanted channels in the wanted order.
  ResizeWorkspace& ws = *workspace;
  const uint8_t* source = image.pixels;
  int64_t source_stride = stride;
  const bool swap = preprocessing.order == ChannelOrder::kBgr && channels == 3;
  if (image.channels != channels || swap) {
    source_stride = static_cast<int64_t>(image.width) * channels;
    ws.source.resize(static_cast<size_t>(image.height) * source_stride);
    uint8_t* out = ws.source.data();
    for (int y = 0; y < image.height; ++y) {
      const uint8_t* in = image.pixels + y * stride;
      for (int x = 0; x < image.width; ++x, in += image.channels) {
        const uint8_t r = in[0], g = in[image.channels > 1 ? 1 : 0], b = in[image.channels > 1 ? 2 : 0];
        if (channels == 1) {
          // ITU-R 601 luma in Pillow's fixed point.
          *out++ = image.channels == 1 ? r : static_cast<uint8_t>((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16);
        } else {
          *out++ = swap ? b : r;
          *out++ = g;
          *out++ = swap ? r : b;
        }
      }
    }
    source = ws.source.data();
  }

  // Two passes; a pass that changes nothing is a copy.
  ws.horizontal.resize(static_cast<size_t>(image.height) * resized_w * channels);
  if (resized_w != image.width) {
    const int taps = ComputeTaps(image.width, 0, image.width, resized_w, preprocessing.filter, &ws.bounds, &ws.weights);
    ResizeHorizontally(source, source_stride, image.height, channels, resized_w, taps, ws, ws.horizontal.data());
  } else {
    for (int y = 0; y < image.height; ++y) {
      std::memcpy(ws.horizontal.data() + static_cast<int64_t>(y) * resized_w * channels, source + y * source_stride,
                  static_cast<size_t>(resized_w) * channels);
    }
  }
  const int64_t row_bytes = static_cast<int64_t>(resized_w) * channels;
  const uint8_t* resized = ws.horizontal.data();
  if (resized_h != image.height) {
    const int taps = ComputeTaps(image.height, 0, image.height, resized_h, preprocessing.filter, &ws.bounds, &ws.weights);
    ws.result.resize(static_cast<size_t>(resized_h) * row_bytes);
    ResizeVertically(ws.horizontal.data(), row_bytes, resized_h, taps, ws, ws.result.data());
    resized = ws.result.data();
  }
  if (resized_w == width && resized_h == height) {
    *pixels = {resized, static_cast<size_t>(height) * row_bytes};
    return OkStatus();
  }
  // Crop within one buffer: rows only move towards the front.
  uint8_t* cropped = resized == ws.result.data() ? ws.result.data() : ws.horizontal.data();
  for (int y = 0; y < height; ++y) {
    std::memmove(cropped + static_cast<int64_t>(y) * width * channels,
                 resized + (y + crop_y) * row_bytes + static_cast<int64_t>(crop_x) * channels,
                 static_cast<size_t>(width) * channels);
  }
  *pixels = {cropped, static_cast<size_t>(height) * width * channels};
  return OkStatus();
}

namespace {

/// The float value of each pixel value of one channel.
void FillTable(const Preprocessing& p, int channel, float (&table)[256]) {
  for (int i = 0; i < 256; ++i) table[i] = (static_cast<float>(i) * p.scale - p.mean[channel]) / p.stddev[channel];
}

}  // namespace

void NormalizeToFloat(const Preprocessing& preprocessing, std::span<const uint8_t> pixels, int channels, float* out) {
  float table[256];
  for (int c = 0; c < channels; ++c) {
    FillTable(preprocessing, c, table);
    for (size_t i = c; i < pixels.size(); i += channels) out[i] = table[pixels[i]];
  }
}

void NormalizeToU8(const Preprocessing& preprocessing, const Quantization& q, std::span<const uint8_t> pixels, int channels,
                   uint8_t* out) {
  float table[256];
  uint8_t quantized[256];
  for (int c = 0; c < channels; ++c) {
    FillTable(preprocessing, c, table);
    for (int i = 0; i < 256; ++i) {
      const float v = std::nearbyint(table[i] * (1.0f / q.scale)) + static_cast<float>(q.zero_point);
      quantized[i] = static_cast<uint8_t>(std::clamp(v, 0.0f, 255.0f));
    }
    for (size_t i = c; i < pixels.size(); i += channels) out[i] = quantized[pixels[i]];
  }
}

}  // namespace octet
