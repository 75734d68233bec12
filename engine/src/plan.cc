#include "engine/src/plan.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>

#include "engine/src/tflite_rounding.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/panel.h"
#include "kernels/winograd.h"

namespace octet {
namespace {

using kernels::ActivationView;
using kernels::ConvArgs;
using kernels::KernelTable;

constexpr int64_t kAlignment = 64;
// Kernels may read up to 3 bytes past a row's last group (kPanelRow); one line more keeps that
// inside the arena.
constexpr int64_t kArenaSlack = 64;
// Inputs of a pixel block that still leave room for weights in a 32 KiB level-1 cache.
constexpr int64_t kBlockBytes = 24 * 1024;
// V and M of a block of Winograd tiles. They are read in order and may go a little beyond a level-2
// cache of 1 MiB, as every block transforms the weights again: ResNet-50 in fp32 takes 24.54 ms
// with 700 KiB, 24.27 with 1300, 24.37 with 2600; int8, batch 8, 7.41, 7.30 and 7.23 ms an image.
constexpr int64_t kWinogradBlockBytes = 1300 * 1024;
// Weights that stay in the level-2 cache while pixel blocks pass by; larger ones are streamed once.
constexpr int64_t kCachedWeightBytes = 384 * 1024;

class Planner {
 public:
  Planner(const Graph& graph, const PlanOptions& options)
      : graph_(graph), options_(options), table_(*options.table), plan_(std::make_unique<Plan>()) {}

  Result<std::unique_ptr<Plan>> Build() {
    plan_->placements.resize(graph_.tensors.size());
    ChooseWinograd();
    DecideLayouts();
    for (size_t i = 0; i < graph_.inputs.size(); ++i)
      OCTET_RETURN_IF_ERROR(AddInput(static_cast<int>(i)));
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      node_ = static_cast<int>(i);
      OCTET_RETURN_IF_ERROR(AddNode(graph_.nodes[i]));
    }
    node_ = -1;
    for (size_t i = 0; i < graph_.outputs.size(); ++i) AddOutput(static_cast<int>(i));
    OCTET_RETURN_IF_ERROR(AllocateArena());
    // Pointers were recorded as places to fill in; now the addresses are known.
    for (const auto& fixup : fixups_) fixup(this);
    return std::move(plan_);
  }

 private:
  using Fixup = std::function<void(Planner*)>;

  const Tensor& tensor(TensorId id) const { return graph_.tensors[id]; }
  Placement& placement(TensorId id) { return plan_->placements[id]; }
  TensorId Root(TensorId id) const {
    while (plan_->placements[id].alias != kNoTensor) id = plan_->placements[id].alias;
    return id;
  }

  /// A convolution that reads its input tensor as it lies (false: hybrid ones read a quantized
  /// copy).
  static bool ReadsInPlace(const Graph& g, const Node& n) {
    return !(g.tensors[n.inputs[kInputWeights]].dtype == DType::kI8 &&
             g.tensors[n.inputs[kInputX]].dtype == DType::kF32);
  }

  kernels::WinogradFn WinogradFunction(const Node& n) const {
    const Tensor& w = tensor(n.inputs[kInputWeights]);
    if (w.dtype != DType::kI8)
      return w.dtype == DType::kF16 ? table_.winograd_f16 : table_.winograd_f32;
    return tensor(n.output).dtype == DType::kU8 ? table_.winograd_u8_u8 : table_.winograd_u8_f32;
  }

  bool CanUseWinograd(const Node& n) const {
    if (n.type != OpType::kConv2d || n.groups != 1) return false;
    const Window& w = n.window;
    if (w.kernel_h != 3 || w.kernel_w != 3 || w.stride_h != 1 || w.stride_w != 1 ||
        w.dilation_h != 1 || w.dilation_w != 1)
      return false;
    const Tensor& weights = tensor(n.inputs[kInputWeights]);
    const Shape& y = tensor(n.output).shape;
    // Below 7 pixels most of a 4x4 tile is outside the image.
    if (weights.layout != Layout::kPanel || weights.shape.back() % kPanelWidth != 0 || y[1] < 7 ||
        y[2] < 7)
      return false;
    if (weights.dtype == DType::kI8 &&
        (CeilDiv(y[1], 4) * CeilDiv(y[2], 4) < table_.winograd_u8.tiles ||
         weights.shape.back() < table_.winograd_u8.channels))
      return false;
    return WinogradFunction(n) != nullptr;
  }

  /// Reads all weights of the layer, so it is asked last.
  bool IsExactWithWinograd(const Node& n) const {
    const Tensor& w = tensor(n.inputs[kInputWeights]);
    return w.dtype != DType::kI8 ||
           kernels::WinogradIsExact(reinterpret_cast<const int8_t*>(w.data.data()),
                                    static_cast<int>(CeilDiv(w.shape[0], kPanelWidth)),
                                    static_cast<int>(w.shape.back()));
  }

  void ChooseWinograd() {
    winograd_.assign(graph_.nodes.size(), false);
    if (!options_.winograd) return;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& n = graph_.nodes[i];
      winograd_[i] = CanUseWinograd(n) && IsExactWithWinograd(n);
    }
  }

  /// The window as the halo must cover it: Winograd reads up to the last whole tile.
  Window HaloWindow(int node) const {
    Window w = graph_.nodes[node].window;
    if (!winograd_[node]) return w;
    const Shape& y = tensor(graph_.nodes[node].output).shape;
    w.pad_bottom += static_cast<int>(RoundUp(y[1], 4) - y[1]);
    w.pad_right += static_cast<int>(RoundUp(y[2], 4) - y[2]);
    return w;
  }

  /// Shape, halo and tightness of every activation, from all its consumers.
  void DecideLayouts() {
    std::vector<int> consumers(graph_.tensors.size(), 0), row_consumers(graph_.tensors.size(), 0);
    for (const Node& n : graph_.nodes) {
      for (TensorId id : n.inputs) {
        if (id != kNoTensor && !tensor(id).is_constant()) ++consumers[id];
      }
      if (n.type == OpType::kConv2d &&
          tensor(n.inputs[kInputWeights]).layout == Layout::kPanelRow) {
        ++row_consumers[n.inputs[kInputX]];
      }
    }
    for (TensorId id : graph_.outputs) ++consumers[id];
    for (size_t i = 0; i < graph_.tensors.size(); ++i) {
      const Tensor& t = graph_.tensors[i];
      if (t.is_constant()) continue;
      // A tensor that others read too gets a private tight copy for the row convolution (AddConv).
      const bool tight = row_consumers[i] > 0 && row_consumers[i] == consumers[i];
      SetGeometry(t, tight, &plan_->placements[i]);
    }
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& n = graph_.nodes[i];
      if (n.type != OpType::kConv2d || !ReadsInPlace(graph_, n)) continue;
      const bool row = tensor(n.inputs[kInputWeights]).layout == Layout::kPanelRow;
      Placement& p = placement(n.inputs[kInputX]);
      if (row && !p.tight) continue;
      GrowHalo(HaloWindow(static_cast<int>(i)), &p);
    }
    for (Placement& p : plan_->placements) FinishStrides(&p);
  }

  static void SetGeometry(const Tensor& t, bool tight, Placement* p) {
    p->element_size = static_cast<int>(DTypeSize(t.dtype));
    p->tight = tight;
    p->view.c = static_cast<int>(t.shape.back());
    if (t.shape.rank() == 4) {
      p->view.h = static_cast<int>(t.shape[1]);
      p->view.w = static_cast<int>(t.shape[2]);
    }
    p->view.pixel_stride = (tight ? p->view.c : RoundUp(p->view.c, kPanelWidth)) * p->element_size;
  }

  static void GrowHalo(const Window& w, Placement* p) {
    p->halo_top = std::max(p->halo_top, w.pad_top);
    p->halo_left = std::max(p->halo_left, w.pad_left);
    p->halo_bottom = std::max(p->halo_bottom, w.pad_bottom);
    p->halo_right = std::max(p->halo_right, w.pad_right);
  }

  static void FinishStrides(Placement* p) {
    p->view.row_stride = (p->halo_left + p->view.w + p->halo_right) * p->view.pixel_stride;
    // Rows of floats must stay aligned to an element, images to a line.
    p->view.image_stride =
        RoundUp((p->halo_top + p->view.h + p->halo_bottom) * p->view.row_stride, kAlignment);
    p->image_bytes = p->view.image_stride;
  }

  int NextOp() const { return static_cast<int>(plan_->ops.size()); }

  void Use(Placement* p) {
    if (p->first_op < 0) p->first_op = NextOp();
    p->last_op = std::max(p->last_op, NextOp());
  }
  void UseTensor(TensorId id) { Use(&placement(Root(id))); }

  /// `*slot` becomes the view of `p` when addresses are known.
  template <typename F>
  void WithView(Placement* p, F f) {
    Use(p);
    fixups_.push_back([p, f](Planner*) { f(p->view); });
  }

  Placement* NewTemp(const Placement& like) {
    temps_.push_back(std::make_unique<Placement>(like));
    return temps_.back().get();
  }

  void Push(std::unique_ptr<Op> op) {
    op->node = node_;
    plan_->ops.push_back(std::move(op));
  }

  /// Zeroed memory that lives as long as the plan.
  template <typename T>
  T* Constant(int64_t count) {
    const int64_t bytes = RoundUp(count * static_cast<int64_t>(sizeof(T)), kAlignment) + kAlignment;
    plan_->constants.push_back(std::make_unique<uint8_t[]>(bytes));
    plan_->constant_bytes += bytes;
    const uintptr_t at = reinterpret_cast<uintptr_t>(plan_->constants.back().get());
    return reinterpret_cast<T*>(RoundUp(static_cast<int64_t>(at), kAlignment));
  }

  void FillHaloAfter(Placement* p, uint8_t value, Op* op) {
    if (p->halo_top + p->halo_left + p->halo_bottom + p->halo_right == 0) return;
    op->halos.push_back({{}, p->halo_top, p->halo_left, p->halo_bottom, p->halo_right, value});
    const size_t index = op->halos.size() - 1;
    fixups_.push_back([p, op, index](Planner*) { op->halos[index].view = p->view; });
  }

  /// The padding of `id` around its images, written by the operator that produces it.
  void FillHalo(TensorId id, Op* op) {
    const Tensor& t = tensor(id);
    FillHaloAfter(&placement(id),
                  t.dtype == DType::kU8 ? static_cast<uint8_t>(t.quantization.zero_point) : 0, op);
  }

  ActivationView ExternalView(const Tensor& t) const {
    Placement p;
    SetGeometry(t, true, &p);
    p.view.row_stride = p.view.w * p.view.pixel_stride;
    p.view.image_stride = p.view.h * p.view.row_stride;
    return p.view;
  }

  Status AddInput(int index) {
    const TensorId id = graph_.inputs[index];
    const Tensor& t = tensor(id);
    // An input that is only quantized is read where the caller has it.
    bool only_quantized = true;
    for (const Node& n : graph_.nodes) {
      for (TensorId input : n.inputs) only_quantized &= input != id || n.type == OpType::kQuantize;
    }
    for (TensorId output : graph_.outputs) only_quantized &= output != id;
    if (only_quantized) {
      external_inputs_.push_back({id, index});
      return OkStatus();
    }
    auto op = std::make_unique<CopyOp>();
    Placement& p = placement(id);
    op->kernel = "copy";
    op->input = ExternalView(t);
    op->external_input = index;
    op->element_size = p.element_size;
    op->h = p.view.h, op->w = p.view.w, op->c = p.view.c;
    if (p.stored_channels() != p.view.c) op->clear_channels = p.stored_channels();
    CopyOp* raw = op.get();
    WithView(&p, [raw](const ActivationView& v) { raw->output = v; });
    FillHalo(id, raw);
    Push(std::move(op));
    return OkStatus();
  }

  void AddOutput(int index) {
    const TensorId id = graph_.outputs[index];
    auto op = std::make_unique<CopyOp>();
    op->kernel = "copy";
    op->output = ExternalView(tensor(id));
    op->external_output = index;
    op->element_size = placement(id).element_size;
    op->h = op->output.h, op->w = op->output.w, op->c = op->output.c;
    BindInput(id, op.get(), &CopyOp::input);
    Push(std::move(op));
  }

  /// `op->*member` becomes the view of tensor `id`. Aliases keep their own h, w, c.
  template <typename T>
  void BindInput(TensorId id, T* op, ActivationView T::*member) {
    const TensorId root = Root(id);
    UseTensor(root);
    fixups_.push_back(
        [op, member, id](Planner* planner) { op->*member = planner->placement(id).view; });
  }

  Status AddNode(const Node& n) {
    switch (n.type) {
      case OpType::kConv2d:
      case OpType::kDense:
        return AddConv(n);
      case OpType::kMaxPool:
      case OpType::kAveragePool:
        return AddPool(n);
      case OpType::kGlobalAveragePool:
        return AddGlobalPool(n);
      case OpType::kAdd:
      case OpType::kMul:
        return AddBinary(n);
      case OpType::kScaleShift:
      case OpType::kRelu:
      case OpType::kRelu6:
        return AddScaleShift(n);
      case OpType::kPad:
      case OpType::kSlice:
      case OpType::kConcat:
        return AddCopies(n);
      case OpType::kReshape:
        return AddReshape(n);
      case OpType::kSoftmax:
        return AddSoftmax(n);
      case OpType::kQuantize:
      case OpType::kDequantize:
        return AddConversion(n);
    }
    return InternalError(StrCat("node ", n.name, ": operator without a kernel"));
  }

  /// Clamp limits relative to the output's zero point, in steps of its scale (u8) or real (float).
  static void ClampLimits(Activation activation, const Tensor& out, float* low, float* high) {
    if (out.dtype == DType::kU8) {
      const float z = static_cast<float>(out.quantization.zero_point);
      *low = activation == Activation::kNone ? -z : 0.0f;
      *high = 255.0f - z;
      if (activation == Activation::kRelu6)
        *high = std::min(*high, std::nearbyint(6.0f / out.quantization.scale));
      return;
    }
    *low = activation == Activation::kNone ? -std::numeric_limits<float>::infinity() : 0.0f;
    *high = activation == Activation::kRelu6 ? 6.0f : std::numeric_limits<float>::infinity();
  }

  /// Whether a tensor cannot be negative, known without running.
  bool NonNegative(TensorId id) const {
    for (const Node& n : graph_.nodes) {
      if (n.output != id) continue;
      if (n.activation != Activation::kNone || n.type == OpType::kRelu ||
          n.type == OpType::kRelu6 || n.type == OpType::kSoftmax) {
        return true;
      }
      switch (n.type) {
        case OpType::kMaxPool:
        case OpType::kAveragePool:
        case OpType::kGlobalAveragePool:
        case OpType::kReshape:
        case OpType::kSlice:
          return NonNegative(n.inputs[0]);
        default:
          return false;
      }
    }
    return false;
  }

  Status AddConv(const Node& n) {
    const Tensor& x = tensor(n.inputs[kInputX]);
    const Tensor& w = tensor(n.inputs[kInputWeights]);
    const Tensor& y = tensor(n.output);
    const bool dense = n.type == OpType::kDense;
    const bool depthwise = w.layout == Layout::kDepthwise;
    const bool integer = w.dtype == DType::kI8;
    const bool hybrid = integer && x.dtype == DType::kF32;
    if (w.layout == Layout::kPlain) {
      return Unsupported(StrCat("node ", n.name, ": grouped convolution with ", n.groups,
                                " groups of ", w.shape.back(),
                                " channels; only depthwise (one channel a group) has a kernel"));
    }
    const PanelShape panel = MakePanelShape(w.shape, w.dtype, w.layout);
    const int panels = static_cast<int>(panel.panels);
    const int padded = panels * kPanelWidth;
    const int out_c = static_cast<int>(w.shape[0]);

    // The input as the kernel reads it: the tensor itself, a tight copy, or an image quantized on
    // the fly.
    Placement* source = &placement(n.inputs[kInputX]);
    DynamicQuantizeOp* quantize = nullptr;
    if (hybrid) {
      Placement q;
      Tensor like = x;
      like.dtype = DType::kU8;
      SetGeometry(like, w.layout == Layout::kPanelRow, &q);
      if (!dense) GrowHalo(HaloWindow(node_), &q);
      FinishStrides(&q);
      source = NewTemp(q);
      quantize = AddDynamicQuantization(n, source);
    } else if (w.layout == Layout::kPanelRow && !source->tight) {
      Placement q;
      SetGeometry(x, true, &q);
      GrowHalo(n.window, &q);
      FinishStrides(&q);
      source = NewTemp(q);
      auto copy = std::make_unique<CopyOp>();
      copy->kernel = "copy";
      copy->element_size = q.element_size;
      copy->h = q.view.h, copy->w = q.view.w, copy->c = q.view.c;
      CopyOp* raw = copy.get();
      BindInput(n.inputs[kInputX], raw, &CopyOp::input);
      WithView(source, [raw](const ActivationView& v) { raw->output = v; });
      FillHaloAfter(
          source, x.dtype == DType::kU8 ? static_cast<uint8_t>(x.quantization.zero_point) : 0, raw);
      Push(std::move(copy));
    }

    ConvArgs a;
    const Window window = dense ? Window{} : n.window;
    const ActivationView in = source->view;  // Strides only; the address comes later.
    a.in_image_stride = in.image_stride;
    a.in_row_step = window.stride_h * in.row_stride;
    a.in_pixel_step = window.stride_w * in.pixel_stride;
    a.taps = static_cast<int>(panel.taps);
    a.depth = static_cast<int>(panel.padded_depth);
    int32_t* offsets = Constant<int32_t>(a.taps);
    for (int t = 0; t < a.taps; ++t) {
      const bool row = w.layout == Layout::kPanelRow;
      const int ty = row ? t : t / window.kernel_w, tx = row ? 0 : t % window.kernel_w;
      offsets[t] = static_cast<int32_t>(ty * window.dilation_h * in.row_stride +
                                        tx * window.dilation_w * in.pixel_stride);
    }
    a.tap_offsets = offsets;
    a.weights = reinterpret_cast<const uint8_t*>(w.data.data());
    a.panel_bytes = panel.panel_elements() * static_cast<int64_t>(DTypeSize(w.dtype));
    const Placement& out = placement(n.output);
    a.out_h = out.view.h;
    a.out_w = out.view.w;
    a.out_c = out_c;
    a.out_image_stride = out.view.image_stride;
    a.out_row_stride = out.view.row_stride;
    a.out_pixel_stride = out.view.pixel_stride;
    ClampLimits(n.activation, y, &a.low, &a.high);
    a.out_zero = y.quantization.zero_point;

    float* float_bias = Constant<float>(padded);
    a.float_bias = float_bias;
    const TensorId bias = n.input(kInputBias);
    if (bias != kNoTensor && tensor(bias).dtype == DType::kF32) {
      std::copy_n(tensor(bias).values<float>().data(), out_c, float_bias);
    }
    const TensorId residual = n.input(kInputResidual);
    if (integer) {
      const std::span<const float> scales = tensor(n.inputs[kInputScales]).values<float>();
      if (hybrid) {
        float* weight_scale = Constant<float>(padded);
        std::copy_n(scales.data(), out_c, weight_scale);
        quantize->weight_scale = weight_scale;
        quantize->weight_sum = WeightSums(w, panel, padded, quantize->non_negative);
        quantize->channels = padded;
        quantize->multiplier = Constant<float>(static_cast<int64_t>(padded) * options_.max_batch);
        quantize->bias = Constant<int32_t>(static_cast<int64_t>(padded) * options_.max_batch);
        a.multiplier = quantize->multiplier;
        a.bias = quantize->bias;
      } else {
        int32_t* integer_bias = Constant<int32_t>(padded);
        if (bias != kNoTensor)
          std::copy_n(tensor(bias).values<int32_t>().data(), out_c, integer_bias);
        float* multiplier = Constant<float>(padded);
        const double out_scale = y.dtype == DType::kU8 ? y.quantization.scale : 1.0;
        const bool tflite = graph_.metadata.rounding == Rounding::kTflite &&
                            y.dtype == DType::kU8 && residual == kNoTensor;
        float* nudge = tflite ? Constant<float>(padded) : nullptr;
        kernels::FixedMultiplier* fixed =
            tflite ? Constant<kernels::FixedMultiplier>(padded) : nullptr;
        for (int c = 0; c < out_c; ++c) {
          double real = static_cast<double>(x.quantization.scale) * scales[c] / out_scale;
          if (tflite) {
            fixed[c] = ToFixedMultiplier(real);
            nudge[c] = n.type == OpType::kDense ? 0.0f : TwiceRoundedNudge(fixed[c]);
            real = FixedValue(fixed[c]);
          }
          multiplier[c] = static_cast<float>(real);
        }
        a.fixed = fixed;
        a.nudge = nudge;
        a.round_once = n.type == OpType::kDense;
        a.bias = integer_bias;
        a.multiplier = multiplier;
        if (residual != kNoTensor && y.dtype == DType::kU8) {
          const Quantization& r = tensor(residual).quantization;
          a.residual_multiplier =
              static_cast<float>(static_cast<double>(r.scale) / y.quantization.scale);
          a.residual_zero = r.zero_point;
        }
      }
    }
    // Weights that fit the level-2 cache are passed over once per block of pixels, so that the
    // pixels stay in level 1.
    if (panels > 4 && panels * a.panel_bytes <= kCachedWeightBytes) {
      const int64_t pixel_bytes = std::max<int64_t>(1, a.in_pixel_step);
      a.pixel_block = static_cast<int>(std::max<int64_t>(24, kBlockBytes / pixel_bytes));
    }
    const int64_t input_bytes = source->image_bytes * options_.max_batch;
    const bool split_panels =
        panels >= 2 * options_.num_threads && panels * a.panel_bytes > input_bytes;

    const bool split = UseSplit(n, a, depthwise, hybrid ? 0 : x.quantization.zero_point);
    const kernels::ConvFn fn = ConvFunction(w, y, depthwise, split);
    const std::string suffix =
        StrCat(x.dtype == DType::kF32 && !hybrid ? "" : "u8_", w.dtype == DType::kF16  ? "f16"
                                                               : y.dtype == DType::kU8 ? "u8"
                                                                                       : "f32");
    const auto bind = [&](auto op) {
      op->args = a;
      op->fn = fn;
      op->panels = panels;
      op->split_panels = split_panels && !depthwise;
      op->kernel = (depthwise ? "depthwise_" : split ? "split_" : "conv_") + suffix;
      if (split) {
        op->args.chains = Chains(w, panels, a.panel_bytes / 64);
        auto* raw = op.get();
        BindScratch(kernels::kSplitScratchBytes, [raw](uint8_t* p) { raw->scratch = p; });
      }
      BindConvAddresses(n, source, &op->args);
      FillHalo(n.output, op.get());
      Push(std::move(op));
    };
    if (winograd_[node_]) {
      AddWinograd(n, w, a, panels, source, suffix,
                  hybrid ? std::make_unique<HybridWinogradOp>() : std::make_unique<WinogradOp>());
    } else if (hybrid) {
      bind(std::make_unique<HybridConvOp>());
    } else {
      bind(std::make_unique<ConvOp>());
    }
    return OkStatus();
  }

  /// Whether the split kernel is likely to be the faster one. Activations around a zero point near
  /// 128 are too often above; a single pixel waits for memory whatever the kernel; looking for the
  /// large activations of every tap pays when three panels share it (3x3 of 16 channels: 38 us,
  /// plain 27 us).
  bool UseSplit(const Node& n, const ConvArgs& a, bool depthwise, int32_t zero_point) const {
    constexpr int64_t kFewestPixels = 4;
    constexpr int32_t kLargestZero = 64;
    constexpr int kFewestChannels = 33;
    if (tensor(n.inputs[kInputWeights]).dtype != DType::kI8 || table_.split_u8_u8 == nullptr)
      return false;
    return !depthwise && !winograd_[node_] && a.depth % 16 == 0 &&
           a.panel_bytes / 64 <= kernels::kSplitLines &&
           int64_t{a.out_h} * a.out_w >= kFewestPixels && zero_point <= kLargestZero &&
           (a.taps == 1 || a.out_c >= kFewestChannels);
  }

  const uint16_t* Chains(const Tensor& w, int panels, int64_t lines) {
    const int64_t bytes = panels * kernels::ChainEntries(lines) * 2;
    plan_->prepared.push_back(
        options_.prepared->Get(node_, static_cast<size_t>(bytes), [&](std::byte* out) {
          table_.find_chains(reinterpret_cast<const uint8_t*>(w.data.data()), panels, lines,
                             reinterpret_cast<uint16_t*>(out));
        }));
    plan_->prepared_bytes += bytes;
    return static_cast<const uint16_t*>(plan_->prepared.back().get());
  }

  /// `bytes` of working memory for each thread: part of the arena, other operators' tensors may lie
  /// there before and after.
  template <typename F>
  void BindScratch(int64_t bytes, F set) {
    Placement scratch;
    scratch.element_size = 1;
    scratch.shared_by_batch = true;
    scratch.image_bytes = bytes * options_.num_threads;
    WithView(NewTemp(scratch), [set](const ActivationView& v) { set(v.data); });
  }

  /// Input, output and residual of a convolution, once addresses are known.
  void BindConvAddresses(const Node& n, Placement* source, ConvArgs* args) {
    const int64_t origin_y = n.type == OpType::kDense ? 0 : n.window.pad_top;
    const int64_t origin_x = n.type == OpType::kDense ? 0 : n.window.pad_left;
    WithView(source, [args, origin_y, origin_x](const ActivationView& v) {
      args->input = v.data - origin_y * v.row_stride - origin_x * v.pixel_stride;
    });
    const TensorId output = n.output, residual = n.input(kInputResidual);
    UseTensor(output);
    fixups_.push_back(
        [args, output](Planner* p) { args->output = p->placement(output).view.data; });
    if (residual == kNoTensor) return;
    UseTensor(residual);
    fixups_.push_back([args, residual](Planner* p) {
      const ActivationView& r = p->placement(residual).view;
      args->residual = r.data;
      args->res_image_stride = r.image_stride;
      args->res_row_stride = r.row_stride;
      args->res_pixel_stride = r.pixel_stride;
    });
  }

  void AddWinograd(const Node& n, const Tensor& w, const ConvArgs& a, int panels, Placement* source,
                   const std::string& suffix, std::unique_ptr<WinogradOp> op) {
    const int channels = a.depth;
    const int value_bytes = w.dtype == DType::kI8 ? 2 : 4;
    op->fn = WinogradFunction(n);
    op->kernel = "winograd_" + suffix;
    op->args.conv = a;
    op->panels = panels;
    const int64_t tiles = options_.max_batch * CeilDiv(a.out_h, 4) * CeilDiv(a.out_w, 4);
    const int64_t tile_bytes = kernels::WinogradScratchBytes(2, channels, value_bytes) -
                               kernels::WinogradScratchBytes(1, channels, value_bytes);
    op->args.tile_block = static_cast<int>(
        std::clamp<int64_t>(kWinogradBlockBytes / tile_bytes, 12, std::max<int64_t>(12, tiles)));
    op->scratch_bytes = RoundUp(
        kernels::WinogradScratchBytes(op->args.tile_block, channels, value_bytes), kAlignment);
    WinogradOp* raw = op.get();
    BindScratch(op->scratch_bytes, [raw](uint8_t* p) { raw->scratch = p; });
    BindConvAddresses(n, source, &op->args.conv);
    FillHalo(n.output, op.get());
    Push(std::move(op));
  }

  kernels::ConvFn ConvFunction(const Tensor& w, const Tensor& y, bool depthwise, bool split) const {
    if (split) return y.dtype == DType::kU8 ? table_.split_u8_u8 : table_.split_u8_f32;
    if (w.dtype == DType::kI8) {
      if (y.dtype == DType::kU8) return depthwise ? table_.depthwise_u8_u8 : table_.conv_u8_u8;
      return depthwise ? table_.depthwise_u8_f32 : table_.conv_u8_f32;
    }
    if (w.dtype == DType::kF16) return depthwise ? table_.depthwise_f16 : table_.conv_f16;
    return depthwise ? table_.depthwise_f32 : table_.conv_f32;
  }

  /// Sum of each output channel's weights, for the zero-point correction; zeros when none is
  /// needed.
  const int32_t* WeightSums(const Tensor& w, const PanelShape& panel, int padded, bool skip) {
    int32_t* sums = Constant<int32_t>(padded);
    if (skip) return sums;
    const int8_t* data = reinterpret_cast<const int8_t*>(w.data.data());
    for (int64_t p = 0; p < panel.panels; ++p) {
      for (int64_t i = 0; i < panel.panel_elements(); ++i) {
        const int64_t lane =
            w.layout == Layout::kDepthwise ? i % kPanelWidth : i / kGroup % kPanelWidth;
        sums[p * kPanelWidth + lane] += data[p * panel.panel_elements() + i];
      }
    }
    return sums;
  }

  DynamicQuantizeOp* AddDynamicQuantization(const Node& n, Placement* quantized) {
    const TensorId x = n.inputs[kInputX];
    float* partial =
        Constant<float>(static_cast<int64_t>(2) * options_.max_batch * options_.num_threads);
    auto min_max = std::make_unique<MinMaxOp>();
    min_max->kernel = "min_max";
    min_max->fn = table_.min_max;
    min_max->partial = partial;
    min_max->max_threads = options_.num_threads;
    min_max->args.count = placement(x).view.c;
    MinMaxOp* min_max_raw = min_max.get();
    BindEltwiseInput(x, &min_max_raw->args);
    Push(std::move(min_max));

    auto quantize = std::make_unique<DynamicQuantizeOp>();
    quantize->kernel = "quantize";
    quantize->fn = table_.quantize;
    quantize->partial = partial;
    quantize->max_threads = options_.num_threads;
    quantize->non_negative = NonNegative(x);
    quantize->args.count = quantized->tight ? placement(x).view.c : quantized->stored_channels();
    if (quantize->args.count > placement(x).stored_channels())
      quantize->args.count = placement(x).view.c;
    DynamicQuantizeOp* raw = quantize.get();
    BindEltwiseInput(x, &raw->args);
    WithView(quantized, [raw, quantized](const ActivationView& v) {
      raw->args.output = v;
      raw->halo = {v,
                   quantized->halo_top,
                   quantized->halo_left,
                   quantized->halo_bottom,
                   quantized->halo_right,
                   0};
    });
    Push(std::move(quantize));
    return raw;
  }

  void BindEltwiseInput(TensorId id, kernels::EltwiseArgs* args, bool second = false) {
    UseTensor(id);
    fixups_.push_back(
        [args, id, second](Planner* p) { (second ? args->b : args->a) = p->placement(id).view; });
  }

  Status AddPool(const Node& n) {
    const Tensor& x = tensor(n.inputs[0]);
    const Tensor& y = tensor(n.output);
    auto op = std::make_unique<PoolOp>();
    kernels::PoolArgs& a = op->args;
    a.kernel_h = n.window.kernel_h, a.kernel_w = n.window.kernel_w;
    a.stride_h = n.window.stride_h, a.stride_w = n.window.stride_w;
    a.pad_top = n.window.pad_top, a.pad_left = n.window.pad_left;
    a.count_include_pad = n.count_include_pad;
    const bool u8 = x.dtype == DType::kU8;
    if (u8) {
      a.multiplier =
          static_cast<float>(static_cast<double>(x.quantization.scale) / y.quantization.scale);
      a.in_zero = x.quantization.zero_point;
      a.out_zero = y.quantization.zero_point;
      if (graph_.metadata.rounding == Rounding::kTflite) SetTfliteHalves(&a);
    }
    const bool max = n.type == OpType::kMaxPool;
    op->fn = max ? (u8 ? table_.max_pool_u8 : table_.max_pool_f32)
                 : (u8 ? table_.average_pool_u8 : table_.average_pool_f32);
    op->kernel = StrCat(max ? "max_pool_" : "average_pool_", u8 ? "u8" : "f32");
    BindPoolViews(n, op.get());
    Push(std::move(op));
    return OkStatus();
  }

  template <typename T>
  void BindPoolViews(const Node& n, T* op) {
    const TensorId in = n.inputs[0], out = n.output;
    UseTensor(in);
    UseTensor(out);
    fixups_.push_back([op, in, out](Planner* p) {
      op->args.input = p->placement(in).view;
      op->args.output = p->placement(out).view;
    });
    FillHalo(out, op);
  }

  /// TFLite's average of int8 values rounds halves away from its 0, which is 128 here.
  static void SetTfliteHalves(kernels::PoolArgs* a) {
    a->nudge =
        0x1p-13f;  // Above a float's error at 255, below the distance of anything but a half.
    a->pivot = static_cast<float>(128 - a->out_zero);
  }

  Status AddGlobalPool(const Node& n) {
    const Tensor& x = tensor(n.inputs[0]);
    const Tensor& y = tensor(n.output);
    auto op = std::make_unique<GlobalPoolOp>();
    const bool u8 = x.dtype == DType::kU8, u8_out = y.dtype == DType::kU8;
    if (u8) {
      const double pixels = static_cast<double>(x.shape[1] * x.shape[2]);
      const double out_scale = u8_out ? y.quantization.scale : 1.0;
      op->args.multiplier = static_cast<float>(x.quantization.scale / (pixels * out_scale));
      op->args.in_zero = x.quantization.zero_point;
      op->args.out_zero = y.quantization.zero_point;
      if (u8_out && graph_.metadata.rounding == Rounding::kTflite) {
        if (x.quantization == y.quantization) {  // AVERAGE_POOL_2D; MEAN has scales of its own.
          SetTfliteHalves(&op->args);
        } else {
          const kernels::FixedMultiplier mean = ToFixedMean(
              static_cast<double>(x.quantization.scale) / out_scale, x.shape[1] * x.shape[2]);
          op->args.multiplier = static_cast<float>(FixedValue(mean));
          op->args.nudge = TwiceRoundedNudge(mean);
        }
      }
    }
    op->fn = !u8      ? table_.global_pool_f32
             : u8_out ? table_.global_pool_u8_u8
                      : table_.global_pool_u8_f32;
    op->kernel = StrCat("global_pool_", u8 ? "u8_" : "", u8_out ? "u8" : "f32");
    BindPoolViews(n, op.get());
    Push(std::move(op));
    return OkStatus();
  }

  /// Views and channel count of an elementwise operator, then pushes it.
  void FinishEltwise(const Node& n, std::unique_ptr<EltwiseOp> op, bool binary) {
    EltwiseOp* raw = op.get();
    BindEltwiseInput(n.inputs[0], &raw->args);
    if (binary) BindEltwiseInput(n.inputs[1], &raw->args, true);
    const TensorId out = n.output;
    UseTensor(out);
    fixups_.push_back([raw, out](Planner* p) { raw->args.output = p->placement(out).view; });
    int count = placement(out).stored_channels();
    for (int i = 0; i < (binary ? 2 : 1); ++i) {
      if (placement(n.inputs[i]).stored_channels() < count) count = placement(out).view.c;
    }
    raw->args.count = count;
    FillHalo(out, raw);
    Push(std::move(op));
  }

  void SetTfliteSum(const Tensor& a, const Tensor& b, const Tensor& y, kernels::EltwiseArgs* args) {
    const TfliteSum sum =
        ToTfliteSum(a.quantization.scale, b.quantization.scale, y.quantization.scale);
    int32_t* fixed_a = Constant<int32_t>(256);
    int32_t* fixed_b = Constant<int32_t>(256);
    for (int q = 0; q < 256; ++q) {
      fixed_a[q] = TfliteTerm(q - a.quantization.zero_point, sum.a);
      fixed_b[q] = TfliteTerm(q - b.quantization.zero_point, sum.b);
    }
    args->fixed_a = fixed_a;
    args->fixed_b = fixed_b;
    args->fixed_sum = sum.sum;
    // Three roundings of floats up to 255 times the multipliers, and those of the terms.
    args->fixed_margin = std::min(0.5f, (args->a_multiplier + args->b_multiplier) * 0x1p-14f);
  }

  Status AddBinary(const Node& n) {
    const Tensor& a = tensor(n.inputs[0]);
    const Tensor& b = tensor(n.inputs[1]);
    const Tensor& y = tensor(n.output);
    auto op = std::make_unique<EltwiseOp>();
    const bool u8 = y.dtype == DType::kU8;
    if (u8 && n.type == OpType::kMul) {
      return Unsupported(
          StrCat("node ", n.name, ": Mul has no uint8 kernel; it must stay in float"));
    }
    ClampLimits(n.activation, y, &op->args.low, &op->args.high);
    if (u8) {
      op->args.a_multiplier =
          static_cast<float>(static_cast<double>(a.quantization.scale) / y.quantization.scale);
      op->args.b_multiplier =
          static_cast<float>(static_cast<double>(b.quantization.scale) / y.quantization.scale);
      op->args.a_zero = a.quantization.zero_point;
      op->args.b_zero = b.quantization.zero_point;
      op->args.out_zero = y.quantization.zero_point;
      if (graph_.metadata.rounding == Rounding::kTflite) SetTfliteSum(a, b, y, &op->args);
    }
    op->fn = n.type == OpType::kMul ? table_.mul_f32 : u8 ? table_.add_u8 : table_.add_f32;
    op->kernel = n.type == OpType::kMul ? "mul_f32" : u8 ? "add_u8" : "add_f32";
    FinishEltwise(n, std::move(op), true);
    return OkStatus();
  }

  /// Fills `args` for operators that TFLite computes in fixed point; false for all others.
  bool SetTfliteAffine(const Node& n, kernels::EltwiseArgs* args) {
    const Tensor& x = tensor(n.inputs[0]);
    const Tensor& y = tensor(n.output);
    const bool scale_shift = n.type == OpType::kScaleShift;
    if (graph_.metadata.rounding != Rounding::kTflite || !(scale_shift || n.type == OpType::kQuantize))
      return false;
    const int c = static_cast<int>(x.shape.back());
    std::span<const float> constant;
    float unit = 1.0f;
    TfliteAffine affine = TfliteAffine::Requantize(x.quantization.scale, y.quantization.scale);
    if (scale_shift) {
      const auto all = [&](int slot, float value) {
        const std::span<const float> values = tensor(n.inputs[slot]).values<float>();
        return std::all_of(values.begin(), values.end(), [value](float v) { return v == value; });
      };
      const bool no_scale = all(kInputScale, 1.0f), no_shift = all(kInputShift, 0.0f);
      const TensorId unit_id = n.input(kInputUnit);
      if (unit_id != kNoTensor) {
        if (!no_scale && !no_shift) return false;
        unit = tensor(unit_id).values<float>()[0];
        constant = tensor(n.inputs[no_shift ? kInputScale : kInputShift]).values<float>();
        // What is no multiple of the unit was not made by the importer.
        const auto multiple = [unit](float v) {
          const float k = v / unit;
          return std::fabs(k) <= 512.0f && std::fabs(k - std::nearbyint(k)) < 0.01f;
        };
        if (!std::all_of(constant.begin(), constant.end(), multiple)) return false;
        affine = no_shift ? TfliteAffine::Mul(x.quantization.scale, unit, y.quantization.scale)
                          : TfliteAffine::Add(x.quantization.scale, unit, y.quantization.scale);
      } else if (!no_scale || !no_shift) {
        return false;
      }
    }
    float* scale = Constant<float>(RoundUp(c, kPanelWidth));
    float* shift = Constant<float>(RoundUp(c, kPanelWidth));
    for (int i = 0; i < c; ++i) {
      if (i > 0 && constant.empty()) {
        scale[i] = scale[0];
        shift[i] = shift[0];
        continue;
      }
      const int32_t k =
          constant.empty() ? 1 : static_cast<int32_t>(std::nearbyint(constant[i] / unit));
      affine.Fit(k, x.quantization.zero_point, args->low, args->high, &scale[i], &shift[i]);
    }
    args->scale = scale;
    args->shift = shift;
    args->nudge = affine.nudge();
    return true;
  }

  Status AddScaleShift(const Node& n) {
    const Tensor& x = tensor(n.inputs[0]);
    const Tensor& y = tensor(n.output);
    auto op = std::make_unique<EltwiseOp>();
    const bool u8 = x.dtype == DType::kU8;
    const Activation activation = n.type == OpType::kRelu    ? Activation::kRelu
                                  : n.type == OpType::kRelu6 ? Activation::kRelu6
                                                             : n.activation;
    ClampLimits(activation, y, &op->args.low, &op->args.high);
    const double in_scale = u8 ? x.quantization.scale : 1.0,
                 out_scale = u8 ? y.quantization.scale : 1.0;
    op->args.a_zero = x.quantization.zero_point;
    op->args.out_zero = y.quantization.zero_point;
    op->args.a_multiplier = static_cast<float>(in_scale / out_scale);
    if (u8 && SetTfliteAffine(n, &op->args)) {
      // Done, in whole numbers.
    } else if (n.type == OpType::kScaleShift) {
      const int c = static_cast<int>(x.shape.back());
      float* scale = Constant<float>(RoundUp(c, kPanelWidth));
      float* shift = Constant<float>(RoundUp(c, kPanelWidth));
      const std::span<const float> from_scale = tensor(n.inputs[1]).values<float>();
      const std::span<const float> from_shift = tensor(n.inputs[2]).values<float>();
      for (int i = 0; i < c; ++i) {
        scale[i] = static_cast<float>(in_scale * from_scale[i] / out_scale);
        shift[i] = static_cast<float>(from_shift[i] / out_scale);
      }
      op->args.scale = scale;
      op->args.shift = shift;
    }
    op->fn = u8 ? table_.scale_shift_u8 : table_.scale_shift_f32;
    op->kernel = u8 ? "scale_shift_u8" : "scale_shift_f32";
    FinishEltwise(n, std::move(op), false);
    return OkStatus();
  }

  Status AddConversion(const Node& n) {
    const Tensor& x = tensor(n.inputs[0]);
    const Tensor& y = tensor(n.output);
    if (x.dtype == y.dtype)
      return AddScaleShift(n);  // Requantization: another scale or zero point.
    auto op = std::make_unique<EltwiseOp>();
    const bool quantize = n.type == OpType::kQuantize;
    const Quantization& q = quantize ? y.quantization : x.quantization;
    if (quantize) {
      op->args.a_multiplier = 1.0f / q.scale;
      op->args.out_zero = q.zero_point;
      ClampLimits(Activation::kNone, y, &op->args.low, &op->args.high);
    } else {
      op->args.a_multiplier = q.scale;
      op->args.a_zero = q.zero_point;
      ClampLimits(Activation::kNone, y, &op->args.low, &op->args.high);
    }
    op->fn = quantize ? table_.quantize : table_.dequantize;
    op->kernel = quantize ? "quantize" : "dequantize";
    for (const auto& [id, index] : external_inputs_) {
      if (id != n.inputs[0]) continue;
      op->args.a = ExternalView(x);
      op->external_input = index;
      op->args.count = placement(n.output).view.c;
      EltwiseOp* raw = op.get();
      WithView(&placement(n.output), [raw](const ActivationView& v) { raw->args.output = v; });
      FillHalo(n.output, raw);
      Push(std::move(op));
      return OkStatus();
    }
    FinishEltwise(n, std::move(op), false);
    return OkStatus();
  }

  Status AddSoftmax(const Node& n) {
    auto op = std::make_unique<SoftmaxOp>();
    op->fn = table_.softmax;
    op->kernel = "softmax";
    BindInput(n.inputs[0], op.get(), &SoftmaxOp::input);
    BindInput(n.output, op.get(), &SoftmaxOp::output);
    FillHalo(n.output, op.get());
    Push(std::move(op));
    return OkStatus();
  }

  /// Axis of a rank-2 or rank-4 tensor as position in (n, y, x, c).
  static int Position(int axis, int rank) { return rank == 4 ? axis : axis == 0 ? 0 : 3; }

  Status AddCopies(const Node& n) {
    const Tensor& y = tensor(n.output);
    const Placement& out = placement(n.output);
    const int rank = y.shape.rank();
    int concat_at = 0;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const Tensor& x = tensor(n.inputs[i]);
      const Placement& in = placement(n.inputs[i]);
      auto op = std::make_unique<CopyOp>();
      op->kernel = "copy";
      op->element_size = out.element_size;
      op->h = in.view.h, op->w = in.view.w, op->c = in.view.c;
      int first[4] = {0, 0, 0, 0}, step[4] = {1, 1, 1, 1}, at[4] = {0, 0, 0, 0};
      const bool zero_rest = out.stored_channels() != out.view.c && i == 0;
      if (zero_rest) op->clear_channels = out.stored_channels();
      if (n.type == OpType::kPad) {
        for (int d = 0; d < rank; ++d) at[Position(d, rank)] = n.begin[d];
        op->clear_channels = out.stored_channels();
        op->clear_value = PadBits(n.pad_value, y);
      } else if (n.type == OpType::kSlice) {
        for (int d = 0; d < rank; ++d) {
          first[Position(d, rank)] = n.begin[d];
          step[Position(d, rank)] = n.step[d];
        }
        op->h = out.view.h, op->w = out.view.w, op->c = out.view.c;
      } else {
        if (x.quantization != y.quantization) {
          return Unsupported(StrCat(
              "node ", n.name, ": Concat of uint8 tensors needs equal scales and zero points"));
        }
        const int d = Position(n.axis, rank);
        at[d] = concat_at;
        concat_at += static_cast<int>(x.shape[n.axis]);
      }
      op->in_y = first[1], op->in_x = first[2], op->in_c = first[3];
      op->step_y = step[1], op->step_x = step[2], op->step_c = step[3];
      op->out_y = at[1], op->out_x = at[2], op->out_c = at[3];
      BindInput(n.inputs[i], op.get(), &CopyOp::input);
      BindInput(n.output, op.get(), &CopyOp::output);
      if (i == 0) FillHalo(n.output, op.get());
      Push(std::move(op));
    }
    return OkStatus();
  }

  static uint32_t PadBits(float value, const Tensor& t) {
    if (t.dtype == DType::kU8) {
      const float q = std::nearbyint(value / t.quantization.scale) +
                      static_cast<float>(t.quantization.zero_point);
      return static_cast<uint32_t>(std::min(255.0f, std::max(0.0f, q)));
    }
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
  }

  Status AddReshape(const Node& n) {
    const Placement& in = placement(n.inputs[0]);
    Placement& out = placement(n.output);
    const bool compact_in = in.stored_channels() == in.view.c &&
                            in.halo_top + in.halo_left + in.halo_bottom + in.halo_right == 0;
    const bool compact_out = out.stored_channels() == out.view.c &&
                             out.halo_top + out.halo_left + out.halo_bottom + out.halo_right == 0;
    const bool same_pixel = in.view.h * in.view.w == 1 && out.view.h * out.view.w == 1 &&
                            in.view.pixel_stride == out.view.pixel_stride;
    const bool no_halo = in.image_bytes == out.image_bytes;
    if (no_halo && ((compact_in && compact_out) || same_pixel)) {
      out.alias = n.inputs[0];
      UseTensor(n.inputs[0]);
      return OkStatus();
    }
    auto op = std::make_unique<ReshapeOp>();
    op->kernel = "reshape";
    op->element_size = out.element_size;
    op->out_padded_c = out.stored_channels();
    BindInput(n.inputs[0], op.get(), &ReshapeOp::input);
    BindInput(n.output, op.get(), &ReshapeOp::output);
    FillHalo(n.output, op.get());
    Push(std::move(op));
    return OkStatus();
  }

  /// Places every tensor in one arena: largest first, each at the lowest offset that is free for
  /// its whole lifetime
  /// ("greedy by size", Pisarchyk and Lee, 2020).
  Status AllocateArena() {
    std::vector<Placement*> all;
    for (Placement& p : plan_->placements) {
      if (p.first_op >= 0 && p.alias == kNoTensor) all.push_back(&p);
    }
    for (auto& p : temps_) all.push_back(p.get());
    std::stable_sort(all.begin(), all.end(), [](const Placement* a, const Placement* b) {
      return a->image_bytes > b->image_bytes;
    });
    std::vector<const Placement*> placed;
    int64_t total = 0;
    for (Placement* p : all) {
      int64_t bytes;
      if (!CheckedMul(p->image_bytes, p->shared_by_batch ? 1 : options_.max_batch, &bytes) ||
          bytes > (int64_t{1} << 40)) {
        return InvalidArgument(
            StrCat("max_batch ", options_.max_batch, " needs more than 1 TiB for one tensor"));
      }
      bytes = RoundUp(bytes + kArenaSlack, kAlignment);
      p->arena_bytes = bytes;
      int64_t offset = 0;
      for (const Placement* q : placed) {  // Sorted by offset.
        if (q->last_op < p->first_op || p->last_op < q->first_op) continue;
        if (q->offset - offset >= bytes) break;
        offset = std::max(offset, q->offset + q->arena_bytes);
      }
      p->offset = offset;
      placed.insert(std::upper_bound(placed.begin(), placed.end(), p,
                                     [](const Placement* a, const Placement* b) {
                                       return a->offset < b->offset;
                                     }),
                    p);
      total = std::max(total, offset + bytes);
    }
    plan_->arena_bytes = total;
    // Zeroed: no kernel ever reads a bit pattern that is not a finite number.
    plan_->arena = {static_cast<uint8_t*>(std::calloc(static_cast<size_t>(total + kAlignment), 1)),
                    std::free};
    if (plan_->arena == nullptr)
      return InvalidArgument(StrCat("cannot allocate ", total, " bytes for activations"));
    const int64_t address = static_cast<int64_t>(reinterpret_cast<uintptr_t>(plan_->arena.get()));
    uint8_t* const memory = plan_->arena.get() + (RoundUp(address, kAlignment) - address);
    for (Placement* p : all) {
      p->view.data = memory + p->offset + p->halo_top * p->view.row_stride +
                     p->halo_left * p->view.pixel_stride;
    }
    for (size_t i = 0; i < plan_->placements.size(); ++i) {
      Placement& p = plan_->placements[i];
      if (p.alias != kNoTensor)
        p.view.data = plan_->placements[Root(static_cast<TensorId>(i))].view.data;
    }
    return OkStatus();
  }

  const Graph& graph_;
  const PlanOptions& options_;
  const KernelTable& table_;
  std::unique_ptr<Plan> plan_;
  int node_ = -1;
  std::vector<bool> winograd_;  ///< By node.
  std::vector<std::unique_ptr<Placement>> temps_;
  std::vector<Fixup> fixups_;
  std::vector<std::pair<TensorId, int>> external_inputs_;
};

}  // namespace

Result<std::unique_ptr<Plan>> BuildPlan(const Graph& graph, const PlanOptions& options) {
  return Planner(graph, options).Build();
}

}  // namespace octet
