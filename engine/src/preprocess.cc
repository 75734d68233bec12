#include "engine/src/preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "formats/base/str_cat.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace octet {
namespace {

constexpr int kMaxSide = 1 << 15;
// Pillow's fixed-point precision for 8-bit images: 8 bits of pixel, 2 bits of headroom for filters
// that overshoot.
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

/// The form of the weights that the vector code wants: w = high * 2^15 + low, both in 16 bits, so
/// that `pmaddwd` gives two taps' exact products at once; the sums wrap around like the scalar
/// ones. Per pair of taps: low, low, high, high.
void PairWeights([[maybe_unused]] ResizeTaps* t) {
#if defined(__SSE2__)
  t->pairs.resize(t->weights.size() * 2);
  int16_t* out = t->pairs.data();
  for (size_t i = 0; i < t->weights.size(); i += 2, out += 4) {
    for (size_t j = 0; j < 2; ++j) {
      out[j] = static_cast<int16_t>(t->weights[i + j] & 0x7fff);
      out[2 + j] = static_cast<int16_t>(t->weights[i + j] >> 15);
    }
  }
#endif
}

/// What a pass needs for an axis.
struct TapsPlan {
  double scale, filter_scale, support;
  int taps;
  /// Memory of ResizeTaps for `outputs`, its `pairs` included.
  int64_t Bytes(int64_t outputs) const { return outputs * (8 + int64_t{taps} * 8); }
};

TapsPlan PlanTaps(int in_size, int64_t out_size, ResizeFilter filter) {
  TapsPlan p;
  p.scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  p.filter_scale = std::max(p.scale, 1.0);
  p.support = (filter == ResizeFilter::kBicubic ? 2.0 : 1.0) * p.filter_scale;
  // Pillow's count, made even for PairWeights.
  p.taps = static_cast<int>(std::ceil(p.support)) * 2 + 2;
  return p;
}

/// Taps for outputs [begin, begin + outputs) of an axis that is resized from in_size to out_size,
/// after Pillow's precompute_coeffs (src/libImaging/Resample.c). Does nothing when `t` already
/// holds them.
void ComputeTaps(int in_size, int64_t out_size, int64_t begin, int outputs, ResizeFilter filter,
                 ResizeWorkspace* ws, ResizeTaps* t) {
  if (t->in_size == in_size && t->out_size == out_size && t->begin == begin &&
      t->outputs == outputs && t->filter == filter) {
    return;
  }
  const auto [scale, filter_scale, support, taps] = PlanTaps(in_size, out_size, filter);
  t->outputs = 0;  // Until all is there: an allocation may fail.
  t->first.resize(outputs);
  t->count.resize(outputs);
  t->weights.assign(static_cast<size_t>(outputs) * taps, 0);
  ws->tap_values.resize(taps);
  for (int i = 0; i < outputs; ++i) {
    const double center = (static_cast<double>(begin + i) + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int count = std::min(in_size, static_cast<int>(center + support + 0.5)) - first;
    double sum = 0.0;
    for (int x = 0; x < count; ++x) {
      const double at = (x + first - center + 0.5) * (1.0 / filter_scale);
      ws->tap_values[x] = filter == ResizeFilter::kBicubic ? Cubic(at) : Triangle(at);
      sum += ws->tap_values[x];
    }
    int32_t* out = t->weights.data() + static_cast<size_t>(i) * taps;
    for (int x = 0; x < count; ++x) {
      const double w =
          (sum != 0.0 ? ws->tap_values[x] / sum : ws->tap_values[x]) * (1 << kPrecisionBits);
      out[x] = static_cast<int32_t>(w < 0 ? w - 0.5 : w + 0.5);
    }
    t->first[i] = first;
    t->count[i] = count;
  }
  PairWeights(t);
  t->in_size = in_size;
  t->out_size = static_cast<int>(out_size);
  t->begin = static_cast<int>(begin);
  t->outputs = outputs;
  t->filter = filter;
  t->taps = taps;
}

uint8_t Clip(int32_t v) { return static_cast<uint8_t>(std::clamp(v >> kPrecisionBits, 0, 255)); }

constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

#if defined(__SSE2__)

/// Weights of a pair of taps in all lanes.
struct Pair {
  __m128i low, high;
};
inline Pair LoadPair(const int16_t* pairs) {
  const __m128i v = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(pairs));
  return {_mm_shuffle_epi32(v, 0x00), _mm_shuffle_epi32(v, 0x55)};
}

/// Four sums in two parts.
struct Sum {
  __m128i low = _mm_set1_epi32(kHalf), high = _mm_setzero_si128();
  /// `values`: four pairs of 16-bit pixels.
  void Add(__m128i values, const Pair& weights) {
    low = _mm_add_epi32(low, _mm_madd_epi16(values, weights.low));
    high = _mm_add_epi32(high, _mm_madd_epi16(values, weights.high));
  }
  __m128i Total() const {
    return _mm_srai_epi32(_mm_add_epi32(low, _mm_slli_epi32(high, 15)), kPrecisionBits);
  }
};

/// As ResizeRow<3, kStep>; reads up to kOverread bytes behind the row.
constexpr int kOverread = 16;
template <int kStep>
void ResizeColorRow(const uint8_t* in, const ResizeTaps& t, uint8_t* out) {
  const __m128i zero = _mm_setzero_si128();
  for (int x = 0; x < t.outputs; ++x, out += 3) {
    const int16_t* pairs = t.pairs.data() + static_cast<size_t>(x) * t.taps * 2;
    const uint8_t* p = in + static_cast<int64_t>(t.first[x]) * kStep;
    Sum sum;
    for (int i = 0; i < t.count[x]; i += 2, p += 2 * kStep, pairs += 4) {
      const __m128i v = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
      sum.Add(_mm_unpacklo_epi8(_mm_unpacklo_epi8(v, _mm_srli_si128(v, kStep)), zero),
              LoadPair(pairs));
    }
    const __m128i words = _mm_packs_epi32(sum.Total(), zero);
    const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, zero));
    std::memcpy(out, &bytes, 3);
  }
}

/// Sixteen columns of one output row: `in` is the first input row of the output's window.
inline void ResizeSixteenColumns(const uint8_t* in, int64_t row_bytes, int count,
                                 const int16_t* pairs, uint8_t* out) {
  const __m128i zero = _mm_setzero_si128();
  Sum sum[4];
  for (int i = 0; i < count; i += 2, in += 2 * row_bytes, pairs += 4) {
    const Pair weights = LoadPair(pairs);
    // The second row of an odd pair has weight 0 and may not exist.
    const uint8_t* second = i + 1 < count ? in + row_bytes : in;
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(second));
    const __m128i low = _mm_unpacklo_epi8(a, b), high = _mm_unpackhi_epi8(a, b);
    sum[0].Add(_mm_unpacklo_epi8(low, zero), weights);
    sum[1].Add(_mm_unpackhi_epi8(low, zero), weights);
    sum[2].Add(_mm_unpacklo_epi8(high, zero), weights);
    sum[3].Add(_mm_unpackhi_epi8(high, zero), weights);
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                   _mm_packus_epi16(_mm_packs_epi32(sum[0].Total(), sum[1].Total()),
                                    _mm_packs_epi32(sum[2].Total(), sum[3].Total())));
}

#endif  // __SSE2__

/// One row: `in` has pixels of kStep bytes, of which the first kChannels are used; `out` has
/// t.outputs x kChannels.
template <int kChannels, int kStep>
void ResizeRow(const uint8_t* in, const ResizeTaps& t, uint8_t* out) {
  for (int x = 0; x < t.outputs; ++x) {
    const int32_t* k = t.weights.data() + static_cast<size_t>(x) * t.taps;
    const uint8_t* p = in + static_cast<int64_t>(t.first[x]) * kStep;
    int32_t sum[kChannels];
    for (int c = 0; c < kChannels; ++c) sum[c] = kHalf;
    for (int i = 0; i < t.count[x]; ++i, p += kStep) {
      for (int c = 0; c < kChannels; ++c) sum[c] += p[c] * k[i];
    }
    for (int c = 0; c < kChannels; ++c) *out++ = Clip(sum[c]);
  }
}

template <int kChannels, int kStep>
void CopyRow(const uint8_t* in, int pixels, uint8_t* out) {
  if (kChannels == kStep) {
    std::memcpy(out, in, static_cast<size_t>(pixels) * kChannels);
    return;
  }
  for (int x = 0; x < pixels; ++x, in += kStep, out += kChannels) std::memcpy(out, in, kChannels);
}

/// All output rows; `in` begins with source row `first_row` and has rows of `row_bytes`.
void ResizeColumns(const uint8_t* in, int first_row, int64_t row_bytes, const ResizeTaps& t,
                   uint8_t* out) {
  constexpr int kBlock = 64;  // Sums of a block of columns stay in registers or level 1.
  for (int y = 0; y < t.outputs; ++y, out += row_bytes) {
    const int32_t* k = t.weights.data() + static_cast<size_t>(y) * t.taps;
    int64_t x = 0;
#if defined(__SSE2__)
    for (; x + 16 <= row_bytes; x += 16) {
      ResizeSixteenColumns(in + (t.first[y] - first_row) * row_bytes + x, row_bytes, t.count[y],
                           t.pairs.data() + static_cast<size_t>(y) * t.taps * 2, out + x);
    }
#endif
    for (; x < row_bytes; x += kBlock) {
      const int n = static_cast<int>(std::min<int64_t>(kBlock, row_bytes - x));
      int32_t sum[kBlock];
      std::fill_n(sum, n, kHalf);
      const uint8_t* p = in + (t.first[y] - first_row) * row_bytes + x;
      for (int i = 0; i < t.count[y]; ++i, p += row_bytes) {
        for (int j = 0; j < n; ++j) sum[j] += p[j] * k[i];
      }
      for (int j = 0; j < n; ++j) out[x + j] = Clip(sum[j]);
    }
  }
}

/// ITU-R 601 luma in Pillow's fixed point.
void RowToGray(const uint8_t* in, int pixels, int step, uint8_t* out) {
  for (int x = 0; x < pixels; ++x, in += step) {
    out[x] = static_cast<uint8_t>((in[0] * 19595 + in[1] * 38470 + in[2] * 7471 + 0x8000) >> 16);
  }
}

}  // namespace

Status ResizeAndCrop(const Image& image, const Preprocessing& preprocessing, int height, int width,
                     int channels, ResizeWorkspace* workspace, std::span<const uint8_t>* pixels) {
  if (image.pixels == nullptr || image.width < 1 || image.height < 1 || image.width > kMaxSide ||
      image.height > kMaxSide) {
    return InvalidArgument(StrCat("image of ", image.width, "x", image.height, " pixels",
                                  image.pixels ? "" : " at null", ", expected 1 to ", kMaxSide,
                                  " on each side"));
  }
  if (image.channels != 1 && image.channels != 3 && image.channels != 4) {
    return InvalidArgument(StrCat("image has ", image.channels, " channels, expected 1, 3 or 4"));
  }
  if (channels != 1 && channels != 3) {
    return InvalidArgument(
        StrCat("the model's input has ", channels, " channels; images need 1 or 3"));
  }
  if (image.row_stride != 0 &&
      image.row_stride < static_cast<int64_t>(image.width) * image.channels) {
    return InvalidArgument(StrCat("row_stride is ", image.row_stride, ", expected at least ",
                                  image.width * image.channels));
  }
  if (preprocessing.resize == ResizeRule::kNone &&
      (image.width != width || image.height != height)) {
    return InvalidArgument(StrCat("image is ", image.width, "x", image.height,
                                  " and the model does not resize, expected ", width, "x", height));
  }
  const int64_t stride =
      image.row_stride != 0 ? image.row_stride : static_cast<int64_t>(image.width) * image.channels;

  // The output is the rectangle at (crop_x, crop_y) of the resized image.
  int64_t resized_w = width, resized_h = height, crop_x = 0, crop_y = 0;
  if (preprocessing.resize == ResizeRule::kCenterCrop) {
    // As torchvision: the longer side is truncated to whole pixels, the crop offset rounded half to
    // even.
    const int64_t shorter = preprocessing.resize_shorter;
    if (shorter < std::max(width, height) || shorter > kMaxSide) {
      return InvalidArgument(StrCat("resize_shorter is ", shorter, ", expected ",
                                    std::max(width, height), " (the input size) to ", kMaxSide));
    }
    const int64_t w = image.width, h = image.height;
    resized_w = w <= h ? shorter : shorter * w / h;
    resized_h = w <= h ? shorter * h / w : shorter;
    const auto centre = [](int64_t surplus) { return surplus / 2 + (surplus % 4 == 3 ? 1 : 0); };
    crop_x = centre(resized_w - width);
    crop_y = centre(resized_h - height);
  }

  ResizeWorkspace& ws = *workspace;
  const ResizeFilter filter = preprocessing.resampling.filter;
  const bool resize_x = resized_w != image.width, resize_y = resized_h != image.height;
  int first_row = static_cast<int>(crop_y), rows = height;
  // Passes work on one channel when either side is gray: gray becomes colour only at the end.
  const int work_channels = std::min(image.channels == 1 ? 1 : 3, channels);
  const int64_t work_row = static_cast<int64_t>(width) * work_channels;
  const int64_t bytes =
      int64_t{height} * width * channels + int64_t{2} * image.width * image.channels +
      (resize_y ? PlanTaps(image.height, resized_h, filter).Bytes(height) + image.height * work_row
                : 0) +
      (resize_x ? PlanTaps(image.width, resized_w, filter).Bytes(width) : 0);
  if (bytes > ws.max_memory) {
    return OutOfMemory(StrCat("image of ", image.width, "x", image.height, " pixels: needs ", bytes,
                              " bytes to be resized, max_memory is ", ws.max_memory));
  }
  if (resize_y) {
    ComputeTaps(image.height, resized_h, crop_y, height, filter, &ws, &ws.vertical_taps);
    const ResizeTaps& t = ws.vertical_taps;
    first_row = t.first[0];
    rows = t.first[height - 1] + t.count[height - 1] - first_row;
  }
  if (resize_x)
    ComputeTaps(image.width, resized_w, crop_x, width, filter, &ws, &ws.horizontal_taps);

  const bool to_gray = image.channels != 1 && channels == 1;
  ws.result.resize(static_cast<size_t>(height) * width * channels);
  if (to_gray) ws.gray_row.resize(image.width);
  if (resize_y) ws.horizontal.resize(static_cast<size_t>(rows * work_row));
  uint8_t* after_rows = resize_y ? ws.horizontal.data() : ws.result.data();
#if defined(__SSE2__)
  const int64_t image_row = static_cast<int64_t>(image.width) * image.channels;
  const int64_t image_bytes = (image.height - 1) * stride + image_row;
  ws.padded_row.resize(static_cast<size_t>(image_row + kOverread));
#endif
  for (int y = 0; y < rows; ++y) {
    const uint8_t* in = image.pixels + (first_row + y) * stride;
    uint8_t* out = after_rows + y * work_row;
    int step = image.channels;
    if (to_gray) {
      RowToGray(in, image.width, step, ws.gray_row.data());
      in = ws.gray_row.data();
      step = 1;
    }
#if defined(__SSE2__)
    if (resize_x && step != 1) {
      if ((first_row + y) * stride + image_row + kOverread > image_bytes) {
        std::memcpy(ws.padded_row.data(), in, static_cast<size_t>(image_row));
        in = ws.padded_row.data();
      }
      (step == 3 ? ResizeColorRow<3> : ResizeColorRow<4>)(in, ws.horizontal_taps, out);
      continue;
    }
#endif
    if (resize_x) {
      (step == 1   ? ResizeRow<1, 1>
       : step == 3 ? ResizeRow<3, 3>
                   : ResizeRow<3, 4>)(in, ws.horizontal_taps, out);
    } else {
      (step == 1   ? CopyRow<1, 1>
       : step == 3 ? CopyRow<3, 3>
                   : CopyRow<3, 4>)(in + crop_x * step, width, out);
    }
  }
  if (resize_y)
    ResizeColumns(ws.horizontal.data(), first_row, work_row, ws.vertical_taps, ws.result.data());

  const int64_t count = static_cast<int64_t>(height) * width;
  uint8_t* out = ws.result.data();
  if (work_channels < channels) {
    for (int64_t i = count; i-- > 0;) out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = out[i];
  } else if (channels == 3 && preprocessing.order == ChannelOrder::kBgr) {
    for (int64_t i = 0; i < count; ++i) std::swap(out[3 * i], out[3 * i + 2]);
  }
  *pixels = ws.result;
  return OkStatus();
}

namespace {

/// The float value of each pixel value of one channel.
void FillTable(const Preprocessing& p, int channel, float (&table)[256]) {
  for (int i = 0; i < 256; ++i)
    table[i] = (static_cast<float>(i) * p.scale - p.mean[channel]) / p.stddev[channel];
}

}  // namespace

void NormalizeToFloat(const Preprocessing& preprocessing, std::span<const uint8_t> pixels,
                      int channels, float* out) {
  float table[256];
  for (int c = 0; c < channels; ++c) {
    FillTable(preprocessing, c, table);
    for (size_t i = c; i < pixels.size(); i += channels) out[i] = table[pixels[i]];
  }
}

void NormalizeToU8(const Preprocessing& preprocessing, const Quantization& q,
                   std::span<const uint8_t> pixels, int channels, uint8_t* out) {
  float table[256];
  uint8_t quantized[4][256];
  bool same = true;
  for (int c = 0; c < channels; ++c) {
    FillTable(preprocessing, c, table);
    for (int i = 0; i < 256; ++i) {
      const float v =
          std::nearbyint(table[i] * (1.0f / q.scale)) + static_cast<float>(q.zero_point);
      quantized[c][i] = static_cast<uint8_t>(std::clamp(v, 0.0f, 255.0f));
      same = same && quantized[c][i] == i;
    }
  }
  if (same) {  // Codes that are the pixels, as most uint8 inputs have them.
    std::copy(pixels.begin(), pixels.end(), out);
    return;
  }
  for (int c = 0; c < channels; ++c) {
    for (size_t i = static_cast<size_t>(c); i < pixels.size(); i += static_cast<size_t>(channels))
      out[i] = quantized[c][pixels[i]];
  }
}

}  // namespace octet
