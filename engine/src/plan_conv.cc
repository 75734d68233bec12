// Planning of convolutions and dense layers: where the input is read, in which strides, what
// happens to the sums, and which kernel does it.
#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "engine/src/planner.h"
#include "engine/src/tflite_rounding.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "kernels/proven_fixed.h"
#include "kernels/winograd.h"

namespace octet {
namespace {

using kernels::ConvArgs;

// Inputs of a pixel block that still leave room for weights in a 32 KiB level-1 cache.
constexpr int64_t kBlockBytes = 24 * 1024;
// V of a block of Winograd tiles. It is read in order and may go beyond a level-2 cache of 1 MiB,
// as every block transforms the weights again: 56x56 by 64 channels, one block, two and four, 294,
// 301 and 309 us in fp32, 165, 165 and 168 in int8; ResNet-50, batch 8, with 1300 and 1900 KB 63.6
// and 62.9 ms in int8, 118.5 and 115.5 in bf16 (Zen 5).
constexpr int64_t kWinogradBlockBytes = 1800 * 1024;
// Weights that stay in the level-2 cache while pixel blocks pass by; larger ones are streamed once.
constexpr int64_t kCachedWeightBytes = 384 * 1024;
// Of a thread, with which it passes over all weights rather than over all inputs with its share of
// them: it then mostly reads what it wrote itself. ResNet-50, two threads of Zen 5 while its cores
// exchanged data slowly: int8 4.61 instead of 4.74 ms, fp32 14.3 instead of 15.0; else the same.
constexpr int64_t kManyPixels = 64;

}  // namespace

/// One layer while it is planned.
struct Planner::Conv {
  const Node& n;
  const Tensor &x, &w, &y;
  PanelShape panel;
  int panels, lanes;  ///< Output channels as stored: 16 a panel.
  bool dense, depthwise, row, integer;
  bool hybrid;        ///< int8 weights, float activations that are quantized on the fly.
  bool i16;           ///< int8 weights, int16 activations.
  bool bf16;          ///< bfloat16 weights and activations.
  std::string types;  ///< The end of the kernel's name.

  // ChooseSource: the input as the kernel reads it, which is the tensor itself, a tight copy, or
  // images quantized on the fly.
  int source = -1;  ///< A buffer.
  Geometry in{};
  int multiplier_buffer = -1, bias_buffer = -1;  ///< Hybrid only; [max_batch][lanes].

  ConvArgs args{};  ///< Without addresses in the arena.
  bool split = false, spread = false, wide = false;

  Window window() const { return dense ? Window{} : n.window; }
  int64_t element_bytes() const { return static_cast<int64_t>(DTypeSize(w.dtype)); }
  int planes() const { return i16 ? 2 : 1; }
  int64_t ranges_bytes(int max_batch) const { return int64_t{4} * lanes * max_batch; }
};

// ---- Winograd ----

bool Planner::ReadsInPlace(const Node& n) const {
  return !(tensor(n.inputs[kInputWeights]).dtype == DType::kI8 &&
           tensor(n.inputs[kInputX]).dtype == DType::kF32);
}

Planner::Winograd Planner::WinogradOf(const Node& n) const {
  const DType weights = tensor(n.inputs[kInputWeights]).dtype, y = tensor(n.output).dtype;
  if (weights == DType::kBF16) {
    return {y == DType::kBF16 ? table_.winograd_bf16_bf16 : table_.winograd_bf16_f32,
            table_.winograd_bf16};
  }
  if (weights == DType::kF16) return {table_.winograd_f16};
  if (weights != DType::kI8) return {table_.winograd_f32};
  if (tensor(n.inputs[kInputX]).dtype == DType::kI16) {
    // Floats of 16-bit activations end a network: they have no kernel of their own.
    if (y != DType::kI16) return {};
    return {table_.winograd_i16_i16, table_.winograd_u8};
  }
  return {y == DType::kU8 ? table_.winograd_u8_u8 : table_.winograd_u8_f32, table_.winograd_u8};
}

Planner::Winograd Planner::ChooseWinograd(const Node& n) const {
  if (n.type != OpType::kConv2d) return {};
  const Window& w = n.window;
  if (w.kernel_h != 3 || w.kernel_w != 3 || w.stride_h != 1 || w.stride_w != 1 ||
      w.dilation_h != 1 || w.dilation_w != 1)
    return {};
  const Tensor &weights = tensor(n.inputs[kInputWeights]), &output = tensor(n.output);
  const Shape& y = output.shape;
  if (weights.layout != Layout::kPanel || weights.shape.back() % kPanelWidth != 0) return {};
  const bool grouped = n.groups != 1;
  if (grouped && weights.shape[0] / n.groups % kPanelWidth != 0) return {};
  const auto pays = [&](int edge, const kernels::WinogradLimit& limit) {
    return CeilDiv(y[1], edge) * CeilDiv(y[2], edge) >= limit.tiles &&
           weights.shape.back() >= (grouped ? limit.group_channels : limit.channels);
  };
  if (weights.dtype == DType::kBF16 && output.dtype == DType::kBF16 &&
      table_.winograd_2x2_bf16_bf16 != nullptr && pays(2, table_.winograd_2x2_bf16))
    return {table_.winograd_2x2_bf16_bf16, table_.winograd_2x2_bf16, 2};
  const Winograd of_type = WinogradOf(n);
  // Below 7 pixels most of a 4x4 tile is outside the image.
  return y[1] >= 7 && y[2] >= 7 && pays(4, of_type.limit) ? of_type : Winograd{};
}

bool Planner::IsExactWithWinograd(int node) const {
  const Tensor& w = tensor(graph_.nodes[node].inputs[kInputWeights]);
  return w.dtype != DType::kI8 || options_.prepared->Ask(node, [&] {
    return table_.winograd_is_exact(reinterpret_cast<const int8_t*>(w.data.data()),
                                    static_cast<int>(CeilDiv(w.shape[0], kPanelWidth)),
                                    static_cast<int>(w.shape.back()));
  });
}

void Planner::ChooseWinograd() {
  winograd_.assign(graph_.nodes.size(), {});
  if (!options_.winograd) return;
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const Winograd choice = ChooseWinograd(graph_.nodes[i]);
    if (choice.function != nullptr && IsExactWithWinograd(static_cast<int>(i)))
      winograd_[i] = choice;
  }
}

Window Planner::HaloWindow(int node) const {
  const Node& n = graph_.nodes[node];
  Window w = n.window;
  // The last bfloat16 of a row of odd length stands beside the first one of the next pixel, which
  // must be a number.
  const Tensor& weights = tensor(n.inputs[kInputWeights]);
  if (weights.dtype == DType::kBF16 && weights.layout == Layout::kPanelRow) ++w.pad_right;
  if (winograd_[node].function == nullptr) return w;
  const Shape& y = tensor(n.output).shape;
  const int edge = winograd_[node].edge;
  w.pad_bottom += static_cast<int>(RoundUp(y[1], edge) - y[1]);
  w.pad_right += static_cast<int>(RoundUp(y[2], edge) - y[2]);
  return w;
}

// ---- One layer ----

Status Planner::AddConv(const Node& n) {
  const Tensor& x = tensor(n.inputs[kInputX]);
  const Tensor& w = tensor(n.inputs[kInputWeights]);
  const Tensor& y = tensor(n.output);
  if (w.layout == Layout::kPlain) {
    return Unsupported(StrCat(NodeName(), ": grouped convolution with ", n.groups, " groups of ",
                              w.shape.back(), " to ", w.shape[0] / n.groups,
                              " channels; expected multiples of 4, or one"));
  }
  const PanelShape panel = MakePanelShape(w.shape, w.dtype, w.layout);
  const int panels = static_cast<int>(panel.panels);
  const bool integer = w.dtype == DType::kI8, hybrid = integer && x.dtype == DType::kF32,
             i16 = x.dtype == DType::kI16, bf16 = x.dtype == DType::kBF16;
  Conv c{.n = n,
         .x = x,
         .w = w,
         .y = y,
         .panel = panel,
         .panels = panels,
         .lanes = panels * kPanelWidth,
         .dense = n.type == OpType::kDense,
         .depthwise = w.layout == Layout::kDepthwise,
         .row = w.layout == Layout::kPanelRow,
         .integer = integer,
         .hybrid = hybrid,
         .i16 = i16,
         .bf16 = bf16,
         .types = StrCat(i16       ? "i16_"
                         : bf16    ? "bf16_"
                         : integer ? "u8_"
                                   : "",
                         w.dtype == DType::kF16    ? "f16"
                         : y.dtype == DType::kU8   ? "u8"
                         : y.dtype == DType::kI16  ? "i16"
                         : y.dtype == DType::kBF16 ? "bf16"
                                                   : "f32")};
  OCTET_RETURN_IF_ERROR(ChooseSource(&c));
  OCTET_RETURN_IF_ERROR(FillGeometry(&c));
  OCTET_RETURN_IF_ERROR(FillEpilogue(&c));
  ChooseBlocking(&c);
  return winograd_[node_].function != nullptr ? AddWinograd(&c) : AddDirect(&c);
}

Status Planner::ChooseSource(Conv* c) {
  const TensorId x = c->n.inputs[kInputX];
  const Placement& p = plan_->placements[x];
  const bool copied = c->row && !p.geometry.tight;
  if (!c->hybrid && !copied) {
    c->source = p.buffer;
    c->in = p.geometry;
    return OkStatus();
  }
  Halo halo;
  if (!c->dense) halo.Cover(HaloWindow(node_));
  Tensor like = c->x;
  if (c->hybrid) like.dtype = DType::kU8;
  OCTET_ASSIGN_OR_RETURN(c->in, MakeGeometry(like, c->row, halo));
  OCTET_ASSIGN_OR_RETURN(c->source, NewBuffer(c->in));
  return c->hybrid ? AddDynamicQuantization(c) : AddCopyTo(c->source, c->in, x, -1);
}

Status Planner::AddDynamicQuantization(Conv* c) {
  const TensorId x = c->n.inputs[kInputX];
  const Geometry& from = geometry(x);
  const int64_t partial_bytes =
      int64_t{2} * options_.max_batch * options_.num_threads * static_cast<int64_t>(sizeof(float));
  OCTET_ASSIGN_OR_RETURN(const int partial, NewBuffer(partial_bytes));
  auto min_max = std::make_unique<MinMaxOp>();
  min_max->kernel = "min_max";
  min_max->fn = table_.min_max;
  min_max->max_parts = options_.num_threads;
  min_max->args.count = from.c;
  ReadView(min_max.get(), "input", x, from.c, &min_max->args.a);
  UseWhole(min_max.get(), "range", partial, partial_bytes, true, &min_max->partial);
  OCTET_RETURN_IF_ERROR(Push(std::move(min_max)));

  auto quantize = std::make_unique<DynamicQuantizeOp>();
  DynamicQuantizeOp* q = quantize.get();
  q->kernel = "quantize";
  q->fn = table_.quantize;
  q->max_parts = options_.num_threads;
  q->non_negative = non_negative_[x];
  // Stored channels where both have them: whole registers.
  const int stored = c->in.stored_channels();
  q->args.count = stored <= from.stored_channels() ? stored : from.c;
  q->channels = c->lanes;
  OCTET_ASSIGN_OR_RETURN(float* weight_scale, Constant<float>(c->lanes));
  const std::span<const float> scales = tensor(c->n.inputs[kInputScales]).values<float>();
  std::copy_n(scales.data(), c->w.shape[0], weight_scale);
  q->weight_scale = weight_scale;
  OCTET_ASSIGN_OR_RETURN(q->weight_sum, WeightSums(*c, q->non_negative));
  const int64_t bytes = c->ranges_bytes(options_.max_batch);
  OCTET_ASSIGN_OR_RETURN(c->multiplier_buffer, NewBuffer(bytes));
  OCTET_ASSIGN_OR_RETURN(c->bias_buffer, NewBuffer(bytes));
  UseWhole(q, "range", partial, partial_bytes, false, &q->partial);
  UseWhole(q, "multiplier", c->multiplier_buffer, bytes, true, &q->multiplier);
  UseWhole(q, "bias", c->bias_buffer, bytes, true, &q->bias);
  ReadView(q, "input", x, q->args.count, &q->args.a);
  WriteView(q, "output", c->source, c->in, q->args.count, &q->args.output);
  FillHalo(q, c->source, c->in, 0, &q->range_halo);
  return Push(std::move(quantize));
}

/// Sum of each output channel's weights, for the zero-point correction; zeros when none is needed.
Result<const int32_t*> Planner::WeightSums(const Conv& c, bool skip) {
  OCTET_ASSIGN_OR_RETURN(int32_t * sums, Constant<int32_t>(c.lanes));
  if (skip) return sums;
  const int8_t* data = reinterpret_cast<const int8_t*>(c.w.data.data());
  const int64_t panel_elements = c.panel.panel_elements();
  for (int64_t p = 0; p < c.panel.panels; ++p) {
    for (int64_t i = 0; i < panel_elements; ++i) {
      const int64_t lane = c.depthwise ? i % kPanelWidth : i / kGroup % kPanelWidth;
      sums[p * kPanelWidth + lane] += data[p * panel_elements + i];
    }
  }
  return sums;
}

Status Planner::FillGeometry(Conv* c) {
  ConvArgs& a = c->args;
  const Window window = c->window();
  a.in_plane = c->in.plane;
  a.in_image_stride = c->in.image_stride;
  a.in_row_step = window.stride_h * c->in.row_stride;
  a.in_pixel_step = window.stride_w * c->in.pixel_stride;
  a.taps = static_cast<int>(c->panel.taps);
  a.depth = static_cast<int>(c->panel.padded_depth);
  if (c->n.groups > 1 && !c->depthwise) {
    a.group_outputs = static_cast<int>(c->w.shape[0] / c->n.groups);
    a.group_bytes = a.depth * int64_t{c->in.element_size};
  }
  OCTET_ASSIGN_OR_RETURN(int32_t * offsets, Constant<int32_t>(a.taps));
  for (int t = 0; t < a.taps; ++t) {
    const int ty = c->row ? t : t / window.kernel_w, tx = c->row ? 0 : t % window.kernel_w;
    const int64_t offset = int64_t{ty} * window.dilation_h * c->in.row_stride +
                           int64_t{tx} * window.dilation_w * c->in.pixel_stride;
    offsets[t] = static_cast<int32_t>(offset);
    if (offsets[t] != offset) {
      return Unsupported(StrCat(NodeName(), ": tap ", t, " lies ", offset,
                                " bytes behind the first in the padded input, expected less than "
                                "2 GiB"));
    }
  }
  a.tap_offsets = offsets;
  a.weights = reinterpret_cast<const uint8_t*>(c->w.data.data());
  a.panel_bytes = c->panel.panel_elements() * c->element_bytes();
  const Geometry& out = geometry(c->n.output);
  a.out_h = out.h;
  a.out_w = out.w;
  a.out_c = static_cast<int>(c->w.shape[0]);
  a.out_plane = out.plane;
  a.out_image_stride = out.image_stride;
  a.out_row_stride = out.row_stride;
  a.out_pixel_stride = out.pixel_stride;
  return OkStatus();
}

Status Planner::FillEpilogue(Conv* c) {
  ConvArgs& a = c->args;
  ClampLimits(c->n.activation, c->y, &a.low, &a.high);
  a.out_zero = c->y.quantization.zero_point;
  if (IsFloat(c->y.dtype)) {
    OCTET_ASSIGN_OR_RETURN(float* float_bias, Constant<float>(c->lanes));
    const TensorId bias = c->n.input(kInputBias);
    if (bias != kNoTensor && tensor(bias).dtype == DType::kF32)
      std::copy_n(tensor(bias).values<float>().data(), a.out_c, float_bias);
    a.float_bias = float_bias;
  }
  const TensorId residual = c->n.input(kInputResidual);
  if (residual != kNoTensor) {
    const Geometry& r = geometry(residual);
    a.res_plane = r.plane;
    a.res_image_stride = r.image_stride;
    a.res_row_stride = r.row_stride;
    a.res_pixel_stride = r.pixel_stride;
  }
  // A hybrid layer's multipliers and biases are written by DynamicQuantizeOp, for each image.
  return c->integer && !c->hybrid ? FillIntegerEpilogue(c) : OkStatus();
}

Status Planner::FillIntegerEpilogue(Conv* c) {
  ConvArgs& a = c->args;
  const Tensor& y = c->y;
  const TensorId bias = c->n.input(kInputBias), residual = c->n.input(kInputResidual);
  OCTET_ASSIGN_OR_RETURN(int32_t * integer_bias, Constant<int32_t>(c->lanes));
  if (c->i16) {
    OCTET_RETURN_IF_ERROR(SplitBias(c, integer_bias));
  } else if (bias != kNoTensor) {
    std::copy_n(tensor(bias).values<int32_t>().data(), a.out_c, integer_bias);
  }
  a.bias = integer_bias;
  OCTET_ASSIGN_OR_RETURN(float* multiplier, Constant<float>(c->lanes));
  a.multiplier = multiplier;
  const double out_scale = IsCodes(y.dtype) ? y.quantization.scale : 1.0;
  const bool tflite = IsTflite() && y.dtype == DType::kU8 && residual == kNoTensor;
  float* nudge = nullptr;
  kernels::FixedMultiplier* fixed = nullptr;
  if (tflite) {
    OCTET_ASSIGN_OR_RETURN(nudge, Constant<float>(c->lanes));
    OCTET_ASSIGN_OR_RETURN(fixed, Constant<kernels::FixedMultiplier>(c->lanes));
  }
  const std::span<const float> scales = tensor(c->n.inputs[kInputScales]).values<float>();
  a.round_once = c->dense || c->n.tflite_kernel == TfliteKernel::kFullyConnected;
  const double in_scale = c->x.quantization.scale;
  const int channels = a.out_c;
  for (int i = 0; i < channels; ++i)
    multiplier[i] = static_cast<float>(in_scale * scales[i] / out_scale);
  for (int i = 0; tflite && i < channels; ++i) {
    fixed[i] = ToFixedMultiplier(in_scale * scales[i] / out_scale);
    nudge[i] = a.round_once ? 0.0f : TwiceRoundedNudge(fixed[i]);
    multiplier[i] = static_cast<float>(FixedValue(fixed[i]));
  }
  a.fixed = fixed;
  a.nudge = nudge;
  // Of few products the epilogue is a large part; of 144 lines 3 %.
  constexpr int64_t kEpilogueLines = 144;
  if (tflite && table_.takes_multiplier_rest && int64_t{a.taps} * a.depth / 4 <= kEpilogueLines) {
    bool proven = true;
    for (int i = 0; proven && i < channels; ++i)
      proven = kernels::ProveFixed(fixed[i], nudge[i], a.low, a.high);
    if (proven) {
      OCTET_ASSIGN_OR_RETURN(float* rest, Constant<float>(c->lanes));
      for (int i = 0; i < channels; ++i) rest[i] = kernels::MultiplierRest(fixed[i]);
      a.multiplier_rest = rest;
    }
  }
  if (IsTflite() && y.dtype == DType::kI16 && residual == kNoTensor)
    OCTET_RETURN_IF_ERROR(FillReal(c));
  if (residual != kNoTensor && IsCodes(y.dtype)) {
    const Quantization& r = tensor(residual).quantization;
    a.residual_multiplier = static_cast<float>(static_cast<double>(r.scale) / y.quantization.scale);
    a.residual_zero = r.zero_point;
  }
  return OkStatus();
}

/// TFLite's multipliers of sums over 16-bit activations.
Status Planner::FillReal(Conv* c) {
  ConvArgs& a = c->args;
  const std::span<const float> scales = tensor(c->n.inputs[kInputScales]).values<float>();
  OCTET_ASSIGN_OR_RETURN(double* real, Constant<double>(c->lanes));
  for (int i = 0; i < a.out_c; ++i) {
    const double m =
        static_cast<double>(c->x.quantization.scale) * scales[i] / c->y.quantization.scale;
    real[i] = a.round_once ? m : ReducedMultiplier(m);
  }
  a.real = real;
  return OkStatus();
}

/// A bias of int16 layers is one of the sums over each plane, and its high bytes' has the
/// correction for their offset of 128.
Status Planner::SplitBias(Conv* c, int32_t* high) {
  OCTET_ASSIGN_OR_RETURN(const int32_t* sums, WeightSums(*c, false));
  OCTET_ASSIGN_OR_RETURN(int32_t * low, Constant<int32_t>(c->lanes));
  int32_t* plain = nullptr;
  if (table_.wide_i16_i16 != nullptr) {
    OCTET_ASSIGN_OR_RETURN(plain, Constant<int32_t>(c->lanes));
    c->args.plain_bias = plain;
  }
  const TensorId id = c->n.input(kInputBias);
  for (int i = 0; i < c->lanes; ++i) {
    const int64_t bias = id != kNoTensor && i < c->args.out_c ? tensor(id).values<int64_t>()[i] : 0;
    high[i] = static_cast<int32_t>((bias >> 8) - int64_t{128} * sums[i]);
    low[i] = static_cast<int32_t>(bias & 255);
    if (plain != nullptr) plain[i] = static_cast<int32_t>(bias >> 8);
  }
  c->args.low_bias = low;
  return OkStatus();
}

void Planner::ChooseBlocking(Conv* c) const {
  // Weights that fit the level-2 cache are passed over once per block of pixels, so that the pixels
  // stay in level 1. Not of groups, which have inputs of their own: blocks make them 3 to 6 %
  // slower. Nor where tiles write whole lines of the cache: without blocks ResNet-50 takes 0.99 of
  // the time in int8 and bf16, 0.985 in batches of 8, 1.00 in fp32 (Zen 5, AVX-512).
  ConvArgs& a = c->args;
  const bool half = c->w.dtype == DType::kF16;  // Kept as floats.
  if (!table_.blocks_pixels || c->panels <= 4 || c->n.groups > 1 ||
      c->panels * a.panel_bytes > (half ? kernels::kConvScratchBytes / 2 : kCachedWeightBytes))
    return;
  const int64_t pixel_bytes = std::max<int64_t>(1, c->planes() * a.in_pixel_step);
  a.pixel_block = static_cast<int>(std::max<int64_t>(24, kBlockBytes / pixel_bytes));
}

/// Whether the split kernel is likely to be the faster one. Activations around a zero point near
/// 128 are too often above; a single pixel waits for memory whatever the kernel; looking for the
/// large activations of every tap pays when three panels share it (3x3 of 16 channels: 38 us,
/// plain 27 us).
bool Planner::UseSplit(const Conv& c) const {
  constexpr int64_t kFewestPixels = 4;
  constexpr int32_t kLargestZero = 64;
  constexpr int kFewestChannels = 33;
  const ConvArgs& a = c.args;
  const int32_t zero_point = c.hybrid ? 0 : c.x.quantization.zero_point;
  return c.integer && !c.i16 && table_.split_u8_u8 != nullptr && c.n.groups == 1 &&
         a.depth % 16 == 0 && a.panel_bytes / 64 <= kernels::kSplitLines &&
         int64_t{a.out_h} * a.out_w >= kFewestPixels && zero_point <= kLargestZero &&
         (a.taps == 1 || a.out_c >= kFewestChannels);
}

/// Whether the spread kernel is likely to be faster than the plain one: two whole tiles and more
/// share the copies of their input.
bool Planner::UseSpread(const Conv& c) const {
  constexpr int64_t kFewestPixels = 12;
  const ConvArgs& a = c.args;
  int64_t steps = a.in_pixel_step | a.in_row_step | a.in_image_stride;
  for (int tap = 0; tap < a.taps; ++tap) steps |= a.tap_offsets[tap];
  return c.integer && !c.i16 && !c.depthwise && c.y.dtype == DType::kU8 &&
         table_.spread_u8_u8 != nullptr && a.group_outputs % kPanelWidth == 0 && steps % 2 == 0 &&
         int64_t{a.out_h} * a.out_w >= kFewestPixels;
}

kernels::ConvFn Planner::ConvFunction(const Conv& c) const {
  const bool u8 = c.y.dtype == DType::kU8;
  if (c.i16) {
    if (c.wide) return c.y.dtype == DType::kI16 ? table_.wide_i16_i16 : table_.wide_i16_f32;
    if (c.y.dtype == DType::kI16)
      return c.depthwise ? table_.depthwise_i16_i16 : table_.conv_i16_i16;
    return c.depthwise ? table_.depthwise_i16_f32 : table_.conv_i16_f32;
  }
  if (c.bf16) {
    if (c.y.dtype == DType::kBF16)
      return c.depthwise ? table_.depthwise_bf16_bf16 : table_.conv_bf16_bf16;
    return c.depthwise ? table_.depthwise_bf16_f32 : table_.conv_bf16_f32;
  }
  if (c.split) return u8 ? table_.split_u8_u8 : table_.split_u8_f32;
  if (c.spread) return table_.spread_u8_u8;
  if (c.integer) {
    if (u8) return c.depthwise ? table_.depthwise_u8_u8 : table_.conv_u8_u8;
    return c.depthwise ? table_.depthwise_u8_f32 : table_.conv_u8_f32;
  }
  if (c.w.dtype == DType::kF16) return c.depthwise ? table_.depthwise_f16 : table_.conv_f16;
  return c.depthwise ? table_.depthwise_f32 : table_.conv_f32;
}

Status Planner::AddDirect(Conv* c) {
  c->split = UseSplit(*c);
  c->spread = !c->split && UseSpread(*c);
  c->wide = c->i16 && c->n.groups == 1 && table_.wide_i16_i16 != nullptr;
  std::unique_ptr<ConvOp> op =
      c->hybrid ? std::make_unique<HybridConvOp>() : std::make_unique<ConvOp>();
  op->fn = ConvFunction(*c);
  op->kernel = (c->depthwise ? "depthwise_"
                : c->split   ? "split_"
                : c->spread  ? "spread_"
                : c->wide    ? "wide_"
                             : "conv_") +
               c->types;
  op->panels = c->panels;
  const int64_t weight_bytes = c->panels * c->args.panel_bytes;
  const int64_t pixels = options_.max_batch * int64_t{c->args.out_h} * c->args.out_w;
  op->split_panels = !c->depthwise && c->panels >= 2 * options_.num_threads &&
                     pixels < kManyPixels * options_.num_threads &&
                     weight_bytes > c->in.image_stride * options_.max_batch;
  if (c->split) OCTET_RETURN_IF_ERROR(AddChains(*c, &c->args));
  const bool widens = c->w.dtype == DType::kF16 && !c->depthwise && !c->dense;
  if (c->split || c->spread || c->wide || widens) {
    op->scratch_bytes = c->split ? kernels::SplitScratchBytes(c->args.panel_bytes / 64)
                                 : kernels::kConvScratchBytes;
    const int64_t bytes = op->scratch_bytes * options_.num_threads;
    OCTET_ASSIGN_OR_RETURN(const int scratch, NewBuffer(bytes));
    UseWhole(op.get(), "scratch", scratch, bytes, true, &op->scratch);
  }
  op->args = c->args;
  OCTET_RETURN_IF_ERROR(BindConv(*c, op.get(), &op->args));
  return Push(std::move(op));
}

Status Planner::AddChains(const Conv& c, ConvArgs* args) {
  const int64_t lines = args->panel_bytes / 64;
  const int64_t bytes = c.panels * kernels::ChainEntries(lines) * 2;
  OCTET_RETURN_IF_ERROR(Charge(bytes));
  plan_->prepared.push_back(
      options_.prepared->Get(node_, static_cast<size_t>(bytes), [&](std::byte* out) {
        table_.find_chains(args->weights, c.panels, lines, reinterpret_cast<uint16_t*>(out));
      }));
  plan_->prepared_bytes += bytes;
  args->chains = static_cast<const uint16_t*>(plan_->prepared.back().get());
  return OkStatus();
}

Status Planner::AddWinograd(Conv* c) {
  std::unique_ptr<WinogradOp> op =
      c->hybrid ? std::make_unique<HybridWinogradOp>() : std::make_unique<WinogradOp>();
  const ConvArgs& a = c->args;
  const int edge = op->edge = winograd_[node_].edge;
  const int channels = a.depth, value_bytes = c->integer || edge == 2 ? 2 : 4;
  op->fn = winograd_[node_].function;
  op->kernel = (edge == 2 ? "winograd_2x2_" : "winograd_") + c->types;
  op->panels = c->panels;
  const int64_t tiles = options_.max_batch * CeilDiv(a.out_h, edge) * CeilDiv(a.out_w, edge);
  const int planes = c->planes();
  const auto scratch_bytes = [&](int tiles_of_block) {
    return kernels::WinogradScratchBytes(edge, planes * tiles_of_block, channels, value_bytes);
  };
  const int64_t tile_bytes = scratch_bytes(2) - scratch_bytes(1);
  op->args.tile_block = static_cast<int>(
      std::clamp<int64_t>(kWinogradBlockBytes / tile_bytes, 12, std::max<int64_t>(12, tiles)));
  op->scratch_bytes = RoundUp(scratch_bytes(op->args.tile_block), kArenaAlignment);
  const int64_t bytes = op->scratch_bytes * options_.num_threads;
  OCTET_ASSIGN_OR_RETURN(const int scratch, NewBuffer(bytes));
  UseWhole(op.get(), "scratch", scratch, bytes, true, &op->scratch);
  op->args.conv = a;
  OCTET_RETURN_IF_ERROR(BindConv(*c, op.get(), &op->args.conv));
  return Push(std::move(op));
}

Status Planner::BindConv(const Conv& c, Op* op, ConvArgs* args) {
  const Winograd& winograd = winograd_[node_];
  const Window window = c.window();
  const int batch = options_.max_batch;
  const int64_t in_bytes = (c.depthwise ? c.lanes : args->depth) * int64_t{c.in.element_size} +
                           (c.n.groups - 1) * args->group_bytes;
  op->slots.push_back(
      {"input", &args->input, c.source,
       c.in.first_pixel() - window.pad_top * c.in.row_stride - window.pad_left * c.in.pixel_stride,
       winograd.function != nullptr ? ReachOfTiles(*args, winograd.edge, batch, in_bytes)
                                    : ReachOfTaps(*args, batch, in_bytes),
       false});
  const int64_t out_bytes = c.lanes * int64_t{geometry(c.n.output).element_size};
  WriteTensor(op, "output", c.n.output, out_bytes, &args->output);
  const TensorId residual = c.n.input(kInputResidual);
  if (residual != kNoTensor) ReadTensor(op, "residual", residual, out_bytes, &args->residual);
  if (c.hybrid) {
    const int64_t bytes = c.ranges_bytes(batch);
    UseWhole(op, "multiplier", c.multiplier_buffer, bytes, false, &args->multiplier);
    UseWhole(op, "bias", c.bias_buffer, bytes, false, &args->bias);
  }
  FillHalo(op, c.n.output);
  return CheckReach(*op, "weights", Reach(args->panel_bytes).Steps(c.panels, args->panel_bytes), 0,
                    static_cast<int64_t>(c.w.data.size()));
}

}  // namespace octet
