// Convolutions by their definition, one output at a time. Integers are summed exactly and finished
// step by step as kernel_table.h says; float sums are in double.
#include "kernels/reference/reference_conv.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "formats/base/dtype.h"

namespace octet::kernels::reference {
namespace {

constexpr int kLanes = 16;

template <typename T>
T Load(const uint8_t* p, int64_t index) {
  T value;
  std::memcpy(&value, p + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

struct Half {
  uint16_t bits;
};
float ToFloat(float x) { return x; }
float ToFloat(Half x) { return HalfToFloat(x.bits); }
struct Bf16 {
  uint16_t bits;
};
float ToFloat(Bf16 x) { return Bf16ToFloat(x.bits); }

// Element (lane, tap, d) of a panel, formats/model/panel.h, `group` of which stand together.
int64_t Grouped(const ConvArgs& a, int lane, int tap, int d, int group = 4) {
  return (static_cast<int64_t>(tap) * (a.depth / group) + d / group) * (kLanes * group) +
         lane * group + d % group;
}

// Where the output and the residual of one pixel are, and where its tap 0 is read.
struct Pixel {
  const uint8_t* in;
  uint8_t* out;
  const uint8_t* res;

  Pixel(const ConvArgs& a, int64_t index) {
    const int64_t x = index % a.out_w, y = index / a.out_w % a.out_h, n = index / a.out_w / a.out_h;
    in = a.input + n * a.in_image_stride + y * a.in_row_step + x * a.in_pixel_step;
    out = a.output + n * a.out_image_stride + y * a.out_row_stride + x * a.out_pixel_stride;
    res = a.residual == nullptr
              ? nullptr
              : a.residual + n * a.res_image_stride + y * a.res_row_stride + x * a.res_pixel_stride;
  }
};

// Where an output channel reads tap 0 of a pixel.
const uint8_t* InputOf(const ConvArgs& a, const Pixel& pixel, int64_t channel) {
  return pixel.in + std::min<int64_t>(channel, a.out_c - 1) / a.group_outputs * a.group_bytes;
}

// The second operand when equal, as the machines do it: -0 becomes the bound +0.
float Clamp(float v, float low, float high) {
  v = v > low ? v : low;
  return v < high ? v : high;
}

// Rounds to nearest; halves away from zero, or negative ones towards it.
int64_t DivideRounding(int64_t value, int bits, bool negative_halves_to_zero) {
  if (bits == 0) return value;
  const int64_t half = int64_t{1} << (bits - 1);
  if (value >= 0) return (value + half) >> bits;
  return -((-value + half - (negative_halves_to_zero ? 1 : 0)) >> bits);
}

float FixedPoint(int32_t acc, const FixedMultiplier& m, bool round_once) {
  // Beyond 2^31 everything saturates.
  constexpr int64_t kLimit = int64_t{1} << 31;
  const int64_t shifted =
      std::clamp(static_cast<int64_t>(acc) << std::max(m.shift, 0), -kLimit, kLimit);
  const int right = std::max(-m.shift, 0);
  if (round_once) return static_cast<float>(DivideRounding(shifted * m.q, 31 + right, false));
  const int64_t product = DivideRounding(shifted * m.q, 31, true);
  return static_cast<float>(DivideRounding(product, right, false));
}

void FinishU8(const ConvArgs& a, const Pixel& pixel, int64_t channel, int32_t acc) {
  float v = static_cast<float>(acc) * a.multiplier[channel];
  if (pixel.res != nullptr) {
    const float r = static_cast<float>(pixel.res[channel] - a.residual_zero);
    const float scaled = r * a.residual_multiplier;
    v = v + scaled;
  }
  if (a.fixed != nullptr) v = FixedPoint(acc, a.fixed[channel], a.round_once);
  v = Clamp(v, a.low, a.high);
  pixel.out[channel] = static_cast<uint8_t>(static_cast<int32_t>(std::nearbyint(v)) + a.out_zero);
}

void Store(float v, uint8_t* out, int64_t index, float) { std::memcpy(out + index * 4, &v, 4); }
void Store(float v, uint8_t* out, int64_t index, Bf16) {
  const uint16_t bits = FloatToBf16(v);
  std::memcpy(out + index * 2, &bits, 2);
}

template <typename Out = float>
void FinishFloat(const ConvArgs& a, const Pixel& pixel, int64_t channel, float v) {
  if (pixel.res != nullptr) v = v + ToFloat(Load<Out>(pixel.res, channel));
  v = Clamp(v, a.low, a.high);
  Store(v, pixel.out, channel, Out{});
}

void FinishF32(const ConvArgs& a, const Pixel& pixel, int64_t channel, int32_t acc) {
  const float v = static_cast<float>(acc) * a.multiplier[channel];
  FinishFloat(a, pixel, channel, v + a.float_bias[channel]);
}

int32_t I16At(const uint8_t* p, int64_t plane) { return 256 * p[0] + p[plane] - 32768; }

float ScaledSum(const ConvArgs& a, int64_t channel, int32_t high, int32_t low) {
  const int64_t acc = int64_t{high} * 256 + low;
  return (static_cast<float>(acc >> 8) * 256.0f + static_cast<float>(acc & 255)) *
         a.multiplier[channel];
}

/// ConvArgs::real.
float RealSum(const ConvArgs& a, int64_t channel, int64_t acc) {
  const double v = std::clamp(static_cast<double>(acc) * a.real[channel], -65536.0, 65536.0);
  const double below = std::floor(v);
  return static_cast<float>(a.round_once ? std::round(v) : below + (v - below >= 0.5 ? 1.0 : 0.0));
}

void FinishI16(const ConvArgs& a, const Pixel& pixel, int64_t channel, int32_t high, int32_t low) {
  float v = a.real != nullptr ? RealSum(a, channel, int64_t{high} * 256 + low)
                              : ScaledSum(a, channel, high, low);
  if (pixel.res != nullptr) {
    const float scaled =
        static_cast<float>(I16At(pixel.res + channel, a.res_plane)) * a.residual_multiplier;
    v = v + scaled;
  }
  const int32_t code = static_cast<int32_t>(std::nearbyint(Clamp(v, a.low, a.high))) + 32768;
  pixel.out[channel] = static_cast<uint8_t>(code >> 8);
  pixel.out[channel + a.out_plane] = static_cast<uint8_t>(code & 255);
}

void FinishI16F32(const ConvArgs& a, const Pixel& pixel, int64_t channel, int32_t high,
                  int32_t low) {
  FinishFloat(a, pixel, channel, ScaledSum(a, channel, high, low) + a.float_bias[channel]);
}

// Calls body(pixel, channel, lane, weights of the panel) for every output of the range.
template <typename Body>
void ForEachOutput(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                   int panel_end, Body body) {
  for (int64_t i = pixel_begin; i < pixel_end; ++i) {
    const Pixel pixel(a, i);
    for (int panel = panel_begin; panel < panel_end; ++panel) {
      for (int lane = 0; lane < kLanes; ++lane) {
        body(pixel, static_cast<int64_t>(panel) * kLanes + lane, lane,
             a.weights + panel * a.panel_bytes);
      }
    }
  }
}

// Sums wrap like the hardware's; with depths below 66,000 they cannot overflow.
int32_t Wrap(uint32_t sum, int32_t bias) {
  return static_cast<int32_t>(sum + static_cast<uint32_t>(bias));
}

template <void (*kFinish)(const ConvArgs&, const Pixel&, int64_t, int32_t)>
void ConvU8(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
            int panel_end) {
  ForEachOutput(a, pixel_begin, pixel_end, panel_begin, panel_end,
                [&](const Pixel& pixel, int64_t channel, int lane, const uint8_t* w) {
                  const uint8_t* const in = InputOf(a, pixel, channel);
                  uint32_t sum = 0;
                  for (int t = 0; t < a.taps; ++t) {
                    for (int d = 0; d < a.depth; ++d) {
                      const int x = in[a.tap_offsets[t] + d];
                      sum += static_cast<uint32_t>(x * Load<int8_t>(w, Grouped(a, lane, t, d)));
                    }
                  }
                  kFinish(a, pixel, channel, Wrap(sum, a.bias[channel]));
                });
}

template <void (*kFinish)(const ConvArgs&, const Pixel&, int64_t, int32_t)>
void DepthwiseU8(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                 int panel_end) {
  ForEachOutput(a, pixel_begin, pixel_end, panel_begin, panel_end,
                [&](const Pixel& pixel, int64_t channel, int lane, const uint8_t* w) {
                  uint32_t sum = 0;
                  for (int t = 0; t < a.taps; ++t) {
                    const int x = pixel.in[a.tap_offsets[t] + channel];
                    sum += static_cast<uint32_t>(x * Load<int8_t>(w, t * kLanes + lane));
                  }
                  kFinish(a, pixel, channel, Wrap(sum, a.bias[channel]));
                });
}

// The sums over both planes of bytes; `at` is the byte of tap t and depth d from the pixel's, `w`
// its weight.
template <void (*kFinish)(const ConvArgs&, const Pixel&, int64_t, int32_t, int32_t),
          bool kDepthwise>
void ConvI16(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
             int panel_end) {
  ForEachOutput(
      a, pixel_begin, pixel_end, panel_begin, panel_end,
      [&](const Pixel& pixel, int64_t channel, int lane, const uint8_t* w) {
        const uint8_t* const in = kDepthwise ? pixel.in + channel : InputOf(a, pixel, channel);
        uint32_t high = 0, low = 0;
        for (int t = 0; t < a.taps; ++t) {
          for (int d = 0; d < a.depth; ++d) {
            const uint8_t* x = in + a.tap_offsets[t] + d;
            const int weight =
                Load<int8_t>(w, kDepthwise ? t * kLanes + lane : Grouped(a, lane, t, d));
            high += static_cast<uint32_t>(x[0] * weight);
            low += static_cast<uint32_t>(x[a.in_plane] * weight);
          }
        }
        kFinish(a, pixel, channel, Wrap(high, a.bias[channel]), Wrap(low, a.low_bias[channel]));
      });
}

// Float sums run in double: the oracle's own rounding must not count.
template <typename Weight, typename In = float, typename Out = In>
void ConvFloat(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
               int panel_end) {
  ForEachOutput(a, pixel_begin, pixel_end, panel_begin, panel_end,
                [&](const Pixel& pixel, int64_t channel, int lane, const uint8_t* w) {
                  const uint8_t* const in = InputOf(a, pixel, channel);
                  double sum = a.float_bias[channel];
                  for (int t = 0; t < a.taps; ++t) {
                    for (int d = 0; d < a.depth; ++d) {
                      const double x = ToFloat(Load<In>(in + a.tap_offsets[t], d));
                      constexpr int kGroup = 4 / sizeof(In);
                      sum += x * ToFloat(Load<Weight>(w, Grouped(a, lane, t, d, kGroup)));
                    }
                  }
                  FinishFloat<Out>(a, pixel, channel, static_cast<float>(sum));
                });
}

template <typename Weight, typename In = float, typename Out = In>
void DepthwiseFloat(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                    int panel_end) {
  ForEachOutput(a, pixel_begin, pixel_end, panel_begin, panel_end,
                [&](const Pixel& pixel, int64_t channel, int lane, const uint8_t* w) {
                  double sum = a.float_bias[channel];
                  for (int t = 0; t < a.taps; ++t) {
                    const double x = ToFloat(Load<In>(pixel.in + a.tap_offsets[t], channel));
                    sum += x * ToFloat(Load<Weight>(w, t * kLanes + lane));
                  }
                  FinishFloat<Out>(a, pixel, channel, static_cast<float>(sum));
                });
}

}  // namespace

void ConvU8U8(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
              int panel_end) {
  ConvU8<FinishU8>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void ConvU8F32(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
               int panel_end) {
  ConvU8<FinishF32>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void ConvI16I16(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                int panel_end) {
  ConvI16<FinishI16, false>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void ConvI16F32(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                int panel_end) {
  ConvI16<FinishI16F32, false>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void DepthwiseI16I16(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                     int panel_end) {
  ConvI16<FinishI16, true>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void DepthwiseI16F32(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                     int panel_end) {
  ConvI16<FinishI16F32, true>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void ConvF32(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
             int panel_end) {
  ConvFloat<float>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void ConvF16(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
             int panel_end) {
  ConvFloat<Half>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void ConvBf16(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
              int panel_end) {
  ConvFloat<Bf16, Bf16>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void ConvBf16F32(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                 int panel_end) {
  ConvFloat<Bf16, Bf16, float>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void DepthwiseBf16(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                   int panel_end) {
  DepthwiseFloat<Bf16, Bf16>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void DepthwiseBf16F32(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                      int panel_end) {
  DepthwiseFloat<Bf16, Bf16, float>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void DepthwiseU8U8(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                   int panel_end) {
  DepthwiseU8<FinishU8>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void DepthwiseU8F32(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                    int panel_end) {
  DepthwiseU8<FinishF32>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void DepthwiseF32(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                  int panel_end) {
  DepthwiseFloat<float>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}
void DepthwiseF16(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                  int panel_end) {
  DepthwiseFloat<Half>(a, pixel_begin, pixel_end, panel_begin, panel_end);
}

}  // namespace octet::kernels::reference
