// Every convolution kernel of every instruction set against the reference: integers bit for bit,
// floats within 2*k*eps*sum|a*b|; a result of bfloat16 is such a float's, rounded. All buffers end
// at a guard page, with no slack: what the layout stores is all that may be touched. Whole output
// buffers are compared, so a byte written outside the range of a call is found as well.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "formats/base/dtype.h"
#include "formats/base/random.h"
#include "formats/model/panel.h"
#include "kernels/dispatch.h"
#include "kernels/proven_fixed.h"
#include "kernels/tables.h"
#include "kernels/winograd.h"
#include "tests/kernels/guarded_buffer.h"
#include "tests/kernels/tested_tables.h"

namespace octet::kernels {
namespace {

using octet::testing::GuardedBuffer;

enum class Kind { kU8U8, kU8F32, kF32, kF16, kI16I16, kI16F32, kBf16, kBf16F32 };
constexpr Kind kKinds[] = {Kind::kU8U8,   Kind::kU8F32,  Kind::kF32,  Kind::kF16,
                           Kind::kI16I16, Kind::kI16F32, Kind::kBf16, Kind::kBf16F32};
const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kU8U8:
      return "u8_u8";
    case Kind::kU8F32:
      return "u8_f32";
    case Kind::kF32:
      return "f32";
    case Kind::kF16:
      return "f16";
    case Kind::kI16I16:
      return "i16_i16";
    case Kind::kI16F32:
      return "i16_f32";
    case Kind::kBf16:
      return "bf16_bf16";
    case Kind::kBf16F32:
      return "bf16_f32";
  }
  return "?";
}
bool IsBf16(Kind kind) { return kind == Kind::kBf16 || kind == Kind::kBf16F32; }
bool IsInteger(Kind kind) { return kind != Kind::kF32 && kind != Kind::kF16 && !IsBf16(kind); }
DType WeightType(Kind kind) {
  if (IsInteger(kind)) return DType::kI8;
  return kind == Kind::kF16 ? DType::kF16 : IsBf16(kind) ? DType::kBF16 : DType::kF32;
}
int InputPlanes(Kind kind) { return kind == Kind::kI16I16 || kind == Kind::kI16F32 ? 2 : 1; }
int OutputPlanes(Kind kind) { return kind == Kind::kI16I16 ? 2 : 1; }
int InputBytes(Kind kind) { return IsInteger(kind) ? 1 : IsBf16(kind) ? 2 : 4; }
int WeightBytes(Kind kind) { return static_cast<int>(DTypeSize(WeightType(kind))); }
int OutputBytes(Kind kind) {
  return kind == Kind::kU8U8 || kind == Kind::kI16I16 ? 1 : kind == Kind::kBf16 ? 2 : 4;
}

// Floats of a buffer, or bfloat16 of one of 2 bytes an element.
float FloatAt(const GuardedBuffer& buffer, size_t i, int bytes) {
  if (bytes == 2) return Bf16ToFloat(reinterpret_cast<const uint16_t*>(buffer.data())[i]);
  return reinterpret_cast<const float*>(buffer.data())[i];
}
void SetFloat(GuardedBuffer* buffer, size_t i, int bytes, float value) {
  if (bytes == 2) {
    buffer->as<uint16_t>()[i] = FloatToBf16(value);
  } else {
    buffer->as<float>()[i] = value;
  }
}
// The absolute values of the elements.
void MakePositive(const GuardedBuffer& from, int bytes, GuardedBuffer* to) {
  for (size_t i = 0; i < from.size() / static_cast<size_t>(bytes); ++i)
    SetFloat(to, i, bytes, std::fabs(FloatAt(from, i, bytes)));
}

// Which kernel of several for one layer. kOther: split, wide or, of f16, with memory for floats.
enum class How { kPlain, kOther, kSpread };

// What the activations and weights are filled with.
// kRelu: few activations are 128 or more, few weights large, and a pixel here and there is an
// exception.
enum class Fill { kRandom, kExtreme, kTies, kRelu };

struct Case {
  int batch = 1, h = 1, w = 1, ic = 1, oc = 1;
  int groups = 1;  // Multiples of 4 channels each.
  int kernel = 1, stride = 1, dilation = 1;
  int pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  Layout layout = Layout::kPanel;
  bool residual = false;
  // Input pixels are rounded up to this many channels; the RGB stem's are not.
  int channel_align = 16;
  int out_halo = 0;  // Pixels around each output image, which must stay untouched.
  int out_zero = 0;
  int pixel_block = 1 << 30;
  Fill fill = Fill::kRandom;
  // Also by Winograd's algorithm: the input is then readable up to the last whole tile.
  bool winograd = false;
  // Fixed-point results that floats are proven to give.
  bool proven = false;
  int64_t mac_budget = 2'000'000;  // Larger layers are checked on ranges of pixels and panels.

  int out_h() const {
    return (h + pad_top + pad_bottom - dilation * (kernel - 1) - 1) / stride + 1;
  }
  int out_w() const {
    return (w + pad_left + pad_right - dilation * (kernel - 1) - 1) / stride + 1;
  }
  int64_t read_h() const { return winograd ? CeilDiv(out_h(), 4) * 4 : out_h(); }
  int64_t read_w() const { return winograd ? CeilDiv(out_w(), 4) * 4 : out_w(); }
};

std::ostream& operator<<(std::ostream& os, const Case& c) {
  os << c.batch << "x" << c.h << "x" << c.w << "x" << c.ic << "_to_" << c.oc << "_k" << c.kernel
     << "s" << c.stride << "d" << c.dilation << "_pad" << c.pad_top << c.pad_left << c.pad_bottom
     << c.pad_right;
  if (c.groups != 1) os << "_groups" << c.groups;
  if (c.layout == Layout::kPanelRow) os << "_row";
  if (c.layout == Layout::kDepthwise) os << "_depthwise";
  if (c.residual) os << "_residual";
  if (c.out_halo) os << "_halo" << c.out_halo;
  if (c.out_zero) os << "_zero" << c.out_zero;
  if (c.proven) os << "_proven";
  if (c.pixel_block != 1 << 30) os << "_block" << c.pixel_block;
  if (c.fill == Fill::kExtreme) os << "_extreme";
  if (c.fill == Fill::kTies) os << "_ties";
  if (c.fill == Fill::kRelu) os << "_relu";
  if (c.winograd) os << "_winograd";
  return os;
}

class Random : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;
  int Int(int low, int high) { return low + static_cast<int>(Next() % (high - low + 1)); }
  float Float() { return static_cast<float>(Next() >> 40) / (1 << 23) - 1.0f; }  // [-1, 1)
};

struct Range {
  int64_t pixel_begin, pixel_end;
  int panel_begin, panel_end;
};

// One convolution with its buffers.
class Problem {
 public:
  Problem(const Case& c, Kind kind) : case_(c), kind_(kind) {
    Random random(c.h * 131 + c.ic * 31 + c.oc * 7 + c.kernel + c.stride + static_cast<int>(kind));
    const bool row = c.layout == Layout::kPanelRow;
    shape_.panels = (c.oc + 15) / 16;
    shape_.taps = row ? c.kernel : c.kernel * c.kernel;
    shape_.depth = c.layout == Layout::kDepthwise ? 1 : row ? c.kernel * c.ic : c.ic / c.groups;
    shape_.padded_depth = RoundUp(shape_.depth, GroupOf(WeightType(kind), c.layout));
    MakeInput(&random);
    MakeWeights(&random);
    MakeEpilogue(&random);
    MakeResidual(&random);
    args_.pixel_block = c.pixel_block;
    PlanRanges(&random);
  }

  /// Null if there is none or not for this layer.
  ConvFn Function(const KernelTable& table, How how = How::kPlain) const {
    const bool depthwise = case_.layout == Layout::kDepthwise;
    if (how == How::kSpread) {
      int64_t steps = args_.in_pixel_step | args_.in_row_step | args_.in_image_stride;
      for (const int32_t tap : taps_) steps |= tap;
      const bool whole_panels = case_.groups == 1 || case_.oc / case_.groups % 16 == 0;
      return kind_ == Kind::kU8U8 && !depthwise && whole_panels && steps % 2 == 0
                 ? table.spread_u8_u8
                 : nullptr;
    }
    if (how == How::kOther) {
      if (depthwise) return nullptr;
      if (kind_ == Kind::kF16) return table.conv_f16;
      if (case_.groups != 1) return nullptr;
      if (InputPlanes(kind_) == 2)
        return kind_ == Kind::kI16I16 ? table.wide_i16_i16 : table.wide_i16_f32;
      if (case_.layout != Layout::kPanel || args_.depth % 16 != 0) return nullptr;
      return kind_ == Kind::kU8U8    ? table.split_u8_u8
             : kind_ == Kind::kU8F32 ? table.split_u8_f32
                                     : nullptr;
    }
    switch (kind_) {
      case Kind::kU8U8:
        return depthwise ? table.depthwise_u8_u8 : table.conv_u8_u8;
      case Kind::kU8F32:
        return depthwise ? table.depthwise_u8_f32 : table.conv_u8_f32;
      case Kind::kF32:
        return depthwise ? table.depthwise_f32 : table.conv_f32;
      case Kind::kF16:
        return depthwise ? table.depthwise_f16 : table.conv_f16;
      case Kind::kI16I16:
        return depthwise ? table.depthwise_i16_i16 : table.conv_i16_i16;
      case Kind::kI16F32:
        return depthwise ? table.depthwise_i16_f32 : table.conv_i16_f32;
      case Kind::kBf16:
        return depthwise ? table.depthwise_bf16_bf16 : table.conv_bf16_bf16;
      case Kind::kBf16F32:
        return depthwise ? table.depthwise_bf16_f32 : table.conv_bf16_f32;
    }
    return nullptr;
  }

  /// All pixels in two calls, of panels before and from `panel` on.
  void SplitAt(int panel) { ranges_ = {{0, pixels(), 0, panel}, {0, pixels(), panel, panels()}}; }
  int64_t pixels() const {
    return static_cast<int64_t>(case_.batch) * case_.out_h() * case_.out_w();
  }
  int panels() const { return static_cast<int>(shape_.panels); }

  // Output buffer after running all ranges, untouched bytes 0x5a.
  std::unique_ptr<GuardedBuffer> Run(const KernelTable& table, How how = How::kPlain) const {
    auto output = std::make_unique<GuardedBuffer>(out_size_);
    std::memset(output->data(), 0x5a, out_size_);
    ConvArgs args = args_;
    args.output = output->data() + first_;
    std::vector<uint16_t> chains;
    std::unique_ptr<GuardedBuffer> scratch;
    if (how != How::kPlain) {
      const int panels = this->panels();
      const int64_t lines = args.panel_bytes / 64;
      if (how == How::kOther && IsInteger(kind_) && InputPlanes(kind_) == 1) {
        chains.resize(panels * ChainEntries(lines));
        table.find_chains(weights_->data(), panels, lines, chains.data());
        args.chains = chains.data();
      }
      scratch = std::make_unique<GuardedBuffer>(args.chains != nullptr ? SplitScratchBytes(lines)
                                                                       : kConvScratchBytes);
      args.scratch = scratch->data();
    }
    for (const Range& r : ranges_) {
      Function(table, how)(args, r.pixel_begin, r.pixel_end, r.panel_begin, r.panel_end);
    }
    return output;
  }

  /// Null if the instruction set has none, or none that is exact with these weights.
  WinogradFn WinogradFunction(const KernelTable& table) const {
    if (IsInteger(kind_) && table.winograd_is_exact != nullptr &&
        !table.winograd_is_exact(weights_->as<int8_t>(), panels(),
                                 static_cast<int>(shape_.depth))) {
      return nullptr;
    }
    switch (kind_) {
      case Kind::kU8U8:
        return table.winograd_u8_u8;
      case Kind::kU8F32:
        return table.winograd_u8_f32;
      case Kind::kF32:
        return table.winograd_f32;
      case Kind::kF16:
        return table.winograd_f16;
      case Kind::kI16I16:
        return table.winograd_i16_i16;
      case Kind::kI16F32:
        return nullptr;
      case Kind::kBf16:
        return table.winograd_bf16_bf16;
      case Kind::kBf16F32:
        return table.winograd_bf16_f32;
    }
    return nullptr;
  }

  /// Of kBf16: the same layer with outputs of float, and the same residual.
  Problem WithFloats() const {
    Problem floats(case_, Kind::kBf16F32);
    std::memcpy(floats.input_->data(), input_->data(), input_->size());
    std::memcpy(floats.weights_->data(), weights_->data(), weights_->size());
    std::memcpy(floats.float_bias_->data(), float_bias_->data(), float_bias_->size());
    for (size_t i = 0; i < residual_->size() / 2; ++i)
      floats.residual_->as<float>()[i] = FloatAt(*residual_, i, 2);
    floats.ranges_ = ranges_;
    return floats;
  }

  // As Run, by Winograd's algorithm, in three calls, or in one of large blocks.
  std::unique_ptr<GuardedBuffer> RunWinograd(const KernelTable& table, bool at_once = false) const {
    return RunWinograd(WinogradFunction(table), 4, IsInteger(kind_) ? 2 : 4, at_once);
  }
  // Of kBf16, tiles of 2x2 outputs.
  std::unique_ptr<GuardedBuffer> RunWinograd2x2(const KernelTable& table,
                                                bool at_once = false) const {
    return RunWinograd(table.winograd_2x2_bf16_bf16, 2, 2, at_once);
  }
  std::unique_ptr<GuardedBuffer> RunWinograd(WinogradFn fn, int edge, int value_bytes,
                                             bool at_once) const {
    auto output = std::make_unique<GuardedBuffer>(out_size_);
    std::memset(output->data(), 0x5a, out_size_);
    WinogradArgs args;
    args.conv = args_;
    args.conv.output = output->data() + first_;
    const int64_t tiles = case_.batch * CeilDiv(case_.out_h(), edge) * CeilDiv(case_.out_w(), edge);
    const int panels = this->panels();
    args.tile_block = at_once ? 100 : case_.oc % 5 + (case_.batch == 1 ? 14 : 3);
    GuardedBuffer scratch(RoundUp(WinogradScratchBytes(edge, InputPlanes(kind_) * args.tile_block,
                                                       args.conv.depth, value_bytes),
                                  64));
    const int64_t cut = at_once ? tiles : tiles / 3;
    const int panel_cut = panels / 2;
    fn(args, 0, cut, 0, panels, scratch.data());
    fn(args, cut, tiles, 0, panel_cut, scratch.data());
    fn(args, cut, tiles, panel_cut, panels, scratch.data());
    return output;
  }

  // Of kBf16F32: each output by F(2x2,3x3) with both transforms' results rounded to bfloat16, all
  // else in double and without an activation; and what its sums are of, without signs.
  struct Rounded {
    double value, magnitude;
  };
  Rounded Winograd2x2(int n, int y, int x, int channel) const {
    const auto input = [&](int c, int row, int column) {
      const int64_t at = n * args_.in_image_stride + (y / 2 * 2 + row) * args_.in_row_step +
                         (x / 2 * 2 + column) * args_.in_pixel_step +
                         channel / args_.group_outputs * args_.group_bytes;
      return Bf16ToFloat(reinterpret_cast<const uint16_t*>(args_.input + at)[c]);
    };
    const auto weight = [&](int c, int row, int column) {
      const int64_t at = channel / 16 * args_.panel_bytes +
                         (row * 3 + column) * (args_.panel_bytes / 9) + c / 2 * 64 +
                         channel % 16 * 4;
      return Bf16ToFloat(reinterpret_cast<const uint16_t*>(args_.weights + at)[c % 2]);
    };
    const auto transform = [](const float(&d)[4], float* v) {
      v[0] = d[0] - d[2], v[1] = d[1] + d[2], v[2] = d[2] - d[1], v[3] = d[1] - d[3];
    };
    const auto widen = [](float g0, float g1, float g2, float* u) {
      u[0] = g0, u[1] = g0 + g2 + g1, u[2] = g0 + g2 - g1, u[3] = g2;
    };
    constexpr double kOutput[2][4] = {{1, 0.5, 0.5, 0}, {0, 0.5, -0.5, -1}};
    Rounded sum{args_.float_bias[channel], std::fabs(args_.float_bias[channel])};
    for (int c = 0; c < args_.depth; ++c) {
      float columns[4][4], rows[3][4];
      for (int i = 0; i < 4; ++i)
        transform({input(c, 0, i), input(c, 1, i), input(c, 2, i), input(c, 3, i)}, columns[i]);
      for (int i = 0; i < 3; ++i) widen(weight(c, 0, i), weight(c, 1, i), weight(c, 2, i), rows[i]);
      for (int i = 0; i < 4; ++i) {
        float v[4], u[4];
        transform({columns[0][i], columns[1][i], columns[2][i], columns[3][i]}, v);
        widen(rows[0][i], rows[1][i], rows[2][i], u);
        for (int j = 0; j < 4; ++j) {
          const double product = static_cast<double>(Bf16ToFloat(FloatToBf16(v[j]))) *
                                 Bf16ToFloat(FloatToBf16(u[j])) * kOutput[y % 2][i] *
                                 kOutput[x % 2][j];
          sum.value += product;
          sum.magnitude += std::fabs(product);
        }
      }
    }
    return sum;
  }
  // Calls f(image, y, x, channel, index of the element in the output) for each.
  template <typename F>
  void ForOutputs(const F& f) const {
    for (int n = 0; n < args_.batch; ++n) {
      for (int y = 0; y < args_.out_h; ++y) {
        for (int x = 0; x < args_.out_w; ++x) {
          const int64_t at = first_ + n * args_.out_image_stride + y * args_.out_row_stride +
                             x * args_.out_pixel_stride;
          for (int c = 0; c < shape_.panels * 16; ++c) f(n, y, x, c, at / OutputBytes(kind_) + c);
        }
      }
    }
  }
  // A result with the residual and the activation.
  double Finished(double v, int64_t element) const {
    if (args_.residual != nullptr)
      v += FloatAt(*residual_, static_cast<size_t>(element), OutputBytes(kind_));
    return std::clamp<double>(v, args_.low, args_.high);
  }

  // sum|a*b| + |bias| + |residual| of every output, 0x5a-bytes elsewhere.
  std::unique_ptr<GuardedBuffer> Magnitudes() const {
    GuardedBuffer input(input_->size()), weights(weights_->size()), bias(float_bias_->size());
    GuardedBuffer residual(residual_->size());
    MakePositive(*input_, InputBytes(kind_), &input);
    MakePositive(*float_bias_, 4, &bias);
    MakePositive(*residual_, OutputBytes(kind_), &residual);
    if (kind_ == Kind::kF16) {
      for (size_t i = 0; i < weights.size() / 2; ++i)
        weights.as<uint16_t>()[i] = weights_->as<uint16_t>()[i] & 0x7fff;
    } else {
      MakePositive(*weights_, WeightBytes(kind_), &weights);
    }
    auto output = std::make_unique<GuardedBuffer>(out_size_);
    std::memset(output->data(), 0x5a, out_size_);
    ConvArgs args = args_;
    args.input = input.data();
    args.weights = weights.data();
    args.float_bias = bias.as<float>();
    args.output = output->data() + first_;
    if (args.residual != nullptr) args.residual = residual.data() + first_;
    args.low = 0.0f;
    args.high = std::numeric_limits<float>::infinity();
    for (const Range& r : ranges_) {
      Function(kReferenceTable)(args, r.pixel_begin, r.pixel_end, r.panel_begin, r.panel_end);
    }
    return output;
  }

  int64_t reduction() const { return shape_.taps * shape_.depth; }
  int64_t depth() const { return shape_.depth; }

 private:
  int group() const { return GroupOf(WeightType(kind_), case_.layout); }

  /// With its halo. It ends with the last byte that the layout says is read.
  void MakeInput(Random* random) {
    const Case& c = case_;
    const int bytes = InputBytes(kind_);
    const int channels = (c.ic + c.channel_align - 1) / c.channel_align * c.channel_align;
    const int64_t pixel = static_cast<int64_t>(channels) * bytes;
    const int64_t row = pixel * (c.w + c.pad_left + c.pad_right + c.read_w() - c.out_w());
    const int64_t image = row * (c.h + c.pad_top + c.pad_bottom + c.read_h() - c.out_h());
    const int span = c.dilation * (c.kernel - 1);
    const int64_t read =
        (c.layout == Layout::kDepthwise ? shape_.panels * 16 : c.groups * shape_.padded_depth) *
        bytes;
    const int64_t last_tap =
        span * row + (c.layout == Layout::kPanelRow ? 0 : static_cast<int64_t>(span) * pixel);
    const int64_t last_pixel = (c.batch - 1) * image + (c.read_h() - 1) * c.stride * row +
                               (c.read_w() - 1) * c.stride * pixel;
    args_.in_plane = last_pixel + last_tap + read;
    input_ = std::make_unique<GuardedBuffer>(InputPlanes(kind_) * args_.in_plane);
    for (int ky = 0; ky < c.kernel; ++ky) {
      for (int kx = 0; kx < (c.layout == Layout::kPanelRow ? 1 : c.kernel); ++kx) {
        taps_.push_back(static_cast<int32_t>(c.dilation * (ky * row + kx * pixel)));
      }
    }
    for (int64_t i = 0; i < static_cast<int64_t>(input_->size()) / bytes; ++i) {
      if (!IsInteger(kind_)) {
        SetFloat(input_.get(), static_cast<size_t>(i), bytes, random->Float());
      } else if (c.fill == Fill::kExtreme) {
        input_->data()[i] =
            static_cast<uint8_t>(random->Int(0, 15) == 0 ? random->Int(0, 255) : 255);
      } else if (c.fill == Fill::kRelu && i / pixel % 23 != 7) {
        input_->data()[i] =
            static_cast<uint8_t>(random->Int(0, random->Int(0, 49) == 0 ? 255 : 127));
      } else {
        input_->data()[i] = static_cast<uint8_t>(random->Int(0, 255));
      }
    }
    args_.input = input_->data();
    args_.in_image_stride = image;
    args_.in_row_step = row * c.stride;
    args_.in_pixel_step = pixel * c.stride;
    args_.tap_offsets = taps_.data();
    args_.taps = static_cast<int>(taps_.size());
    args_.depth = static_cast<int>(shape_.padded_depth);
    if (c.groups != 1) {
      args_.group_outputs = c.oc / c.groups;
      args_.group_bytes = shape_.padded_depth * bytes;
    }
  }

  void MakeWeights(Random* random) {
    const Case& c = case_;
    weights_ = std::make_unique<GuardedBuffer>(shape_.elements() * WeightBytes(kind_));
    for (int oc = 0; oc < c.oc; ++oc) {
      for (int64_t tap = 0; tap < shape_.taps; ++tap) {
        for (int64_t d = 0; d < shape_.depth; ++d) {
          const int64_t at = shape_.Index(oc, tap, d, group());
          if (IsInteger(kind_)) {
            const int sign = oc % 3 == 0 ? 1 : oc % 3 == 1 ? -1 : random->Int(0, 1) * 2 - 1;
            const int value = c.fill == Fill::kExtreme ? sign * 127
                              : c.fill == Fill::kTies  ? random->Int(-1, 1)
                              : c.fill == Fill::kRelu && random->Int(0, 49) != 0
                                  ? random->Int(-40, 40)
                                  : random->Int(-127, 127);
            weights_->as<int8_t>()[at] = static_cast<int8_t>(value);
          } else if (kind_ == Kind::kF16) {
            weights_->as<uint16_t>()[at] = FloatToHalf(random->Float());
          } else {
            SetFloat(weights_.get(), static_cast<size_t>(at), WeightBytes(kind_), random->Float());
          }
        }
      }
    }
    args_.weights = weights_->data();
    args_.panel_bytes = shape_.panel_elements() * WeightBytes(kind_);
  }

  void MakeProven(Random* random) {
    args_.low = static_cast<float>(-case_.out_zero);
    args_.high = static_cast<float>(255 - case_.out_zero);
    rest_ = std::make_unique<GuardedBuffer>(shape_.panels * 64);
    for (int i = 0; i < shape_.panels * 16; ++i) {
      FixedMultiplier& f = fixed_->as<FixedMultiplier>()[i];
      f.shift = random->Int(-12, -4);
      f.q = random->Int(1 << 30, std::numeric_limits<int32_t>::max());
      nudge_->as<float>()[i] = args_.round_once ? 0.0f : std::ldexp(1.0f, f.shift - 1);
      ASSERT_TRUE(ProveFixed(f, nudge_->as<float>()[i], args_.low, args_.high)) << f.q;
      multiplier_->as<float>()[i] = static_cast<float>(std::ldexp(f.q, f.shift - 31));
      rest_->as<float>()[i] = MultiplierRest(f);
    }
    args_.multiplier_rest = rest_->as<float>();
  }

  void MakeEpilogue(Random* random) {
    const Case& c = case_;
    const int64_t panels = shape_.panels;
    bias_ = std::make_unique<GuardedBuffer>(panels * 64);
    low_bias_ = std::make_unique<GuardedBuffer>(panels * 64);
    float_bias_ = std::make_unique<GuardedBuffer>(panels * 64);
    multiplier_ = std::make_unique<GuardedBuffer>(panels * 64);
    nudge_ = std::make_unique<GuardedBuffer>(panels * 64);
    fixed_ = std::make_unique<GuardedBuffer>(panels * 128);
    real_ = std::make_unique<GuardedBuffer>(panels * 128);
    // Variants of the epilogue.
    const int mix = c.h + 2 * c.w + 3 * c.ic + 5 * c.oc + 7 * c.kernel + 11 * c.stride;
    // Of i16 the sums are 256 times as large, and the results.
    const float spread = std::sqrt(static_cast<float>(shape_.taps * shape_.depth)) * 147.0f * 74.0f;
    for (int i = 0; i < panels * 16; ++i) {
      bias_->as<int32_t>()[i] = random->Int(-50000, 50000);
      low_bias_->as<int32_t>()[i] = random->Int(0, 255);
      float_bias_->as<float>()[i] = random->Float();
      multiplier_->as<float>()[i] = (1.1f + random->Float()) * 100.0f / spread;
      // Far outside int32 after scaling. Without such channels kernels may clamp by saturation.
      if (mix % 3 == 0 && i % 16 == 5) multiplier_->as<float>()[i] = 3.0e12f;
      if (mix % 4 == 2 && i % 16 == 9) multiplier_->as<float>()[i] = 0.2f;  // Often outside int16.
      if (c.fill == Fill::kTies) {
        bias_->as<int32_t>()[i] = random->Int(-300, 300);
        multiplier_->as<float>()[i] = i % 2 ? 0.5f : 0.25f;
      }
    }
    // Results in fixed point, of which the float multiplier is only an approximation.
    const bool fixed = kind_ == Kind::kU8U8 && (mix % 7 < 2 || c.proven) && !c.residual;
    args_.round_once = mix % 7 == 1;
    for (int i = 0; fixed && i < panels * 16; ++i) {
      FixedMultiplier& f = fixed_->as<FixedMultiplier>()[i];
      const double q = std::frexp(std::min(multiplier_->as<float>()[i], 0x1p30f), &f.shift);
      f.q = static_cast<int32_t>(q * 2147483648.0);
      // Powers of two, as above, hit halves exactly; others get bits that a float has not.
      if (c.fill != Fill::kTies) f.q += random->Int(-100, 100);
      if (f.q < 1 << 30) f.q = 1 << 30;
      multiplier_->as<float>()[i] = static_cast<float>(std::ldexp(f.q, f.shift - 31));
      nudge_->as<float>()[i] =
          f.shift < 0 && !args_.round_once ? std::ldexp(1.0f, f.shift - 1) : 0.0f;
    }
    const bool whole = kind_ == Kind::kI16I16 && mix % 7 < 2 && !c.residual;
    for (int i = 0; whole && i < panels * 16; ++i) {
      real_->as<double>()[i] = static_cast<double>(multiplier_->as<float>()[i]) * (1.0 + 1e-9 * i);
      if (c.fill == Fill::kTies) real_->as<double>()[i] = multiplier_->as<float>()[i];
    }
    args_.bias = bias_->as<int32_t>();
    args_.low_bias = low_bias_->as<int32_t>();
    plain_bias_ = std::make_unique<GuardedBuffer>(panels * 64);
    for (int64_t i = 0; i < panels * 16; ++i) {
      int32_t sum = 0;
      for (int64_t j = 0; j < shape_.panel_elements(); ++j) {
        const int64_t lane = j / group() % 16;
        if (lane == i % 16 && IsInteger(kind_))
          sum += weights_->as<int8_t>()[i / 16 * shape_.panel_elements() + j];
      }
      plain_bias_->as<int32_t>()[i] = bias_->as<int32_t>()[i] + 128 * sum;
    }
    args_.plain_bias = plain_bias_->as<int32_t>();
    args_.multiplier = multiplier_->as<float>();
    args_.float_bias = float_bias_->as<float>();
    args_.residual_multiplier = 0.37f;
    args_.residual_zero = 3;
    args_.out_zero = c.out_zero;
    if (kind_ == Kind::kU8U8) {
      args_.low = static_cast<float>(mix % 2 == 0 ? -c.out_zero : 0);
      args_.high = static_cast<float>(mix % 5 == 0 ? 100 : 255 - c.out_zero);
      if (fixed) {
        args_.fixed = fixed_->as<FixedMultiplier>();
        args_.nudge = nudge_->as<float>();
        if (c.proven) MakeProven(random);
      }
    } else if (kind_ == Kind::kI16I16) {
      args_.low = mix % 2 == 0 ? whole ? -32768.0f : -32767.0f : 0.0f;
      args_.high = mix % 5 == 0 ? 12000.0f : 32767.0f;
      if (whole) args_.real = real_->as<double>();
    } else {
      args_.low = c.oc % 2 ? -std::numeric_limits<float>::infinity() : 0.0f;
      args_.high = c.oc % 3 ? std::numeric_limits<float>::infinity() : 6.0f;
    }
  }

  /// And what is known of the output.
  void MakeResidual(Random* random) {
    const Case& c = case_;
    const int bytes = OutputBytes(kind_);
    const int64_t out_pixel = shape_.panels * 16 * bytes;
    const int64_t out_row = out_pixel * (c.out_w() + 2 * c.out_halo);
    const int64_t out_image = out_row * (c.out_h() + 2 * c.out_halo);
    first_ = c.out_halo * (out_row + out_pixel);
    out_size_ =
        first_ + (c.batch - 1) * out_image + (c.out_h() - 1) * out_row + c.out_w() * out_pixel;
    args_.out_plane = args_.res_plane = out_size_;
    out_size_ *= OutputPlanes(kind_);
    residual_ = std::make_unique<GuardedBuffer>(out_size_);
    for (int64_t i = 0; i < out_size_ / bytes; ++i) {
      if (bytes == 1) {
        residual_->data()[i] = static_cast<uint8_t>(random->Int(0, 255));
      } else {
        SetFloat(residual_.get(), static_cast<size_t>(i), bytes, random->Float());
      }
    }
    args_.out_image_stride = out_image;
    args_.out_row_stride = out_row;
    args_.out_pixel_stride = out_pixel;
    if (c.residual) {
      args_.residual = residual_->data() + first_;
      args_.res_image_stride = out_image;
      args_.res_row_stride = out_row;
      args_.res_pixel_stride = out_pixel;
    }
    args_.batch = c.batch;
    args_.out_h = c.out_h();
    args_.out_w = c.out_w();
    args_.out_c = c.oc;
  }

  // Everything in two or three calls if that is affordable, else pieces from the beginning, the end
  // and between.
  void PlanRanges(Random* random) {
    const int64_t pixels = this->pixels();
    const int panels = this->panels();
    const int64_t pixel_panel_macs = shape_.taps * shape_.padded_depth * 16;
    const int64_t affordable = std::max<int64_t>(1, case_.mac_budget / pixel_panel_macs);
    if (pixels * panels <= affordable) {
      const int64_t split = random->Int(0, static_cast<int>(pixels));
      const int panel_split = random->Int(0, panels);
      ranges_.push_back({0, split, 0, panels});
      ranges_.push_back({split, pixels, 0, panel_split});
      ranges_.push_back({split, pixels, panel_split, panels});
      return;
    }
    const int width = std::min(panels, random->Int(4, 7));
    const int64_t count = std::clamp<int64_t>(affordable / 3 / width, 1, pixels / 3);
    const int64_t middle =
        random->Int(static_cast<int>(count), static_cast<int>(pixels - 2 * count));
    ranges_.push_back({0, count, 0, width});
    ranges_.push_back({middle, middle + count, (panels - width) / 2, (panels - width) / 2 + width});
    ranges_.push_back({pixels - count, pixels, panels - width, panels});
  }

  Case case_;
  Kind kind_;
  PanelShape shape_;
  std::unique_ptr<GuardedBuffer> input_, weights_, bias_, low_bias_, plain_bias_, float_bias_,
      multiplier_, nudge_, fixed_, rest_, real_, residual_;
  std::vector<int32_t> taps_;
  int64_t out_size_ = 0, first_ = 0;
  ConvArgs args_;
  std::vector<Range> ranges_;
};

void CheckInteger(const GuardedBuffer& expected, const GuardedBuffer& actual, int element_bytes) {
  if (std::memcmp(expected.data(), actual.data(), expected.size()) == 0) return;
  size_t at = 0;
  while (expected.data()[at] == actual.data()[at]) ++at;
  ADD_FAILURE() << "first difference in element " << at / element_bytes << " of "
                << expected.size() / element_bytes;
}

// A sum of k products of bfloat16, which are exact in float, has k roundings at most, each of half
// an eps of what is added up by then, or of one where bfdot rounds to odd; that it and vdpbf16ps
// make 0 of what is below 2^-126 changes nothing of that here, as inputs are above. So k + 2 eps,
// with bias and residual, bound both precisions, of which factor allows twice as many.
void CheckFloat(GuardedBuffer* expected, GuardedBuffer* actual, GuardedBuffer* magnitude,
                double factor) {
  for (size_t i = 0; i < expected->size() / 4; ++i) {
    const float want = expected->as<float>()[i], got = actual->as<float>()[i];
    const double tolerance = factor * magnitude->as<float>()[i];
    uint32_t untouched;
    std::memcpy(&untouched, &magnitude->as<float>()[i], 4);
    const bool good = untouched == 0x5a5a5a5au
                          ? std::memcmp(&want, &got, 4) == 0
                          : std::fabs(static_cast<double>(got) - want) <= tolerance;
    if (!good) {
      ADD_FAILURE() << "element " << i << ": " << got << ", expected " << want << " within "
                    << tolerance;
      return;
    }
  }
}

// Winograd's error spreads over a tile, so the whole is measured: 2e-5 of the norm. Bytes around
// the results are compared exactly.
void CheckNorm(GuardedBuffer* expected, GuardedBuffer* actual, GuardedBuffer* magnitude) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < expected->size() / 4; ++i) {
    const double want = expected->as<float>()[i], got = actual->as<float>()[i];
    uint32_t untouched;
    std::memcpy(&untouched, &magnitude->as<float>()[i], 4);
    if (untouched == 0x5a5a5a5au) {
      ASSERT_EQ(std::memcmp(&expected->as<float>()[i], &actual->as<float>()[i], 4), 0) << i;
      continue;
    }
    error += (got - want) * (got - want);
    norm += want * want;
  }
  EXPECT_LE(std::sqrt(error), 2e-5 * std::sqrt(norm));
}

// What a kernel stores as bfloat16 is what it would store as floats, rounded once.
void CheckRounding(const Problem& problem, bool winograd) {
  const Problem floats = problem.WithFloats();
  for (const TableInfo& info : AllTables()) {
    if (!octet::testing::IsTested(info)) continue;
    const KernelTable* const base = info.table->base;
    if (base != nullptr && problem.Function(*info.table) == problem.Function(*base)) continue;
    for (const bool tiles : {false, true}) {
      if (tiles && (!winograd || problem.WinogradFunction(*info.table) == nullptr)) continue;
      SCOPED_TRACE(std::string(info.name) + " bf16_bf16" + (tiles ? " Winograd" : ""));
      const auto rounded = tiles ? problem.RunWinograd(*info.table) : problem.Run(*info.table);
      const auto exact = tiles ? floats.RunWinograd(*info.table) : floats.Run(*info.table);
      for (size_t i = 0; i < rounded->size() / 2; ++i) {
        uint32_t untouched;
        std::memcpy(&untouched, exact->as<float>() + i, 4);
        const uint16_t want =
            untouched == 0x5a5a5a5au ? 0x5a5a : FloatToBf16(exact->as<float>()[i]);
        ASSERT_EQ(rounded->as<uint16_t>()[i], want) << "element " << i;
      }
    }
  }
}

// Tiles of 2x2 whose values are rounded: against the same in double, within the error of float
// sums; and against the convolution itself, within that of the two roundings of each product.
void CheckWinograd2x2(const Problem& problem) {
  const Problem floats = problem.WithFloats();
  std::unique_ptr<GuardedBuffer> expected;
  for (const TableInfo& info : AllTables()) {
    if (!octet::testing::IsTested(info) || info.table->winograd_2x2_bf16_bf16 == nullptr) continue;
    SCOPED_TRACE(std::string(info.name) + " Winograd 2x2");
    if (expected == nullptr) expected = floats.Run(kReferenceTable);
    const auto actual = problem.RunWinograd2x2(*info.table);
    std::vector<bool> written(actual->size() / 2);
    std::vector<double> got;
    problem.ForOutputs([&](int, int, int, int, int64_t element) {
      written[static_cast<size_t>(element)] = true;
      got.push_back(Bf16ToFloat(actual->as<uint16_t>()[element]));
    });
    for (size_t i = 0; i < written.size(); ++i) {
      ASSERT_TRUE(written[i] || actual->as<uint16_t>()[i] == 0x5a5a) << i;
    }
    size_t i = 0;
    floats.ForOutputs([&](int n, int y, int x, int channel, int64_t element) {
      const Problem::Rounded sum = floats.Winograd2x2(n, y, x, channel);
      const double model = floats.Finished(sum.value, element), actually = got[i++];
      const double sums = 2.0 * (floats.depth() + 16) * std::numeric_limits<float>::epsilon() *
                          (sum.magnitude + std::fabs(model));
      const double stored = 0x1p-8 * std::fabs(model) + sums;
      ASSERT_NEAR(actually, model, stored) << element;
      const double exact = expected->as<float>()[element];
      ASSERT_NEAR(actually, exact, stored + (0x1p-7 + 0x1p-16) * sum.magnitude) << element;
    });
  }
}

void CheckOne(const Case& c) {
  for (const Kind kind : kKinds) {
    if (c.fill == Fill::kRelu && !IsInteger(kind)) continue;
    const Problem problem(c, kind);
    if (kind == Kind::kBf16) {
      CheckRounding(problem, c.winograd);
      if (c.winograd) CheckWinograd2x2(problem);
      continue;
    }
    const auto expected = problem.Run(kReferenceTable);
    const auto magnitudes = IsInteger(kind) ? nullptr : problem.Magnitudes();
    for (const TableInfo& info : AllTables()) {
      if (!octet::testing::IsTested(info) || info.table == &kReferenceTable) continue;
      const KernelTable* const base = info.table->base;
      if (base != nullptr && problem.Function(*info.table) == problem.Function(*base)) continue;
      SCOPED_TRACE(std::string(info.name) + " " + KindName(kind));
      const auto actual = problem.Run(*info.table);
      if (c.winograd && problem.WinogradFunction(*info.table) != nullptr) {
        SCOPED_TRACE("Winograd");
        const auto winograd = problem.RunWinograd(*info.table);
        if (IsInteger(kind)) {
          CheckInteger(*expected, *winograd, OutputBytes(kind));
        } else {
          CheckNorm(expected.get(), winograd.get(), magnitudes.get());
        }
      }
      if (IsInteger(kind)) {
        CheckInteger(*expected, *actual, OutputBytes(kind));
        for (const How how : {How::kOther, How::kSpread}) {
          if (problem.Function(*info.table, how) == nullptr) continue;
          SCOPED_TRACE(how == How::kSpread ? "spread" : "split or wide");
          CheckInteger(*expected, *problem.Run(*info.table, how), OutputBytes(kind));
        }
      } else {
        const double tolerance =
            2.0 * (problem.reduction() + 2) * std::numeric_limits<float>::epsilon();
        CheckFloat(expected.get(), actual.get(), magnitudes.get(), tolerance);
        if (problem.Function(*info.table, How::kOther) == nullptr) continue;
        SCOPED_TRACE("widened");
        CheckFloat(expected.get(), problem.Run(*info.table, How::kOther).get(), magnitudes.get(),
                   tolerance);
      }
    }
  }
}

void Check(Case c) {
  CheckOne(c);
  if (c.fill != Fill::kRandom || c.groups != 1 || c.layout != Layout::kPanel || c.ic % 16 != 0)
    return;
  c.fill = Fill::kRelu;  // For the split kernels.
  CheckOne(c);
}

// ---- The reference itself, against sums written out by hand: everything else leans on it. ----

TEST(ReferenceConv, ThreeByThreeByHand) {
  // 2x2 pixels of one channel (groups of 4, rest zero) with a halo of one pixel, all weights 1,
  // channel 1 twice that.
  uint8_t input[4 * 4 * 4] = {};
  const int values[2][2] = {{10, 20}, {30, 44}};
  for (int y = 0; y < 2; ++y) {
    for (int x = 0; x < 2; ++x)
      input[((y + 1) * 4 + x + 1) * 4] = static_cast<uint8_t>(values[y][x]);
  }
  std::vector<int8_t> weights(9 * 64);
  for (int tap = 0; tap < 9; ++tap) {
    weights[tap * 64 + 0] = 1;
    weights[tap * 64 + 4] = 2;
    weights[tap * 64 + 8] = static_cast<int8_t>(tap == 4 ? -3 : 0);
  }
  int32_t taps[9];
  for (int i = 0; i < 9; ++i) taps[i] = (i / 3 * 4 + i % 3) * 4;
  std::vector<int32_t> bias(16);
  std::vector<float> multiplier(16, 0.5f);
  bias[2] = 101;
  uint8_t output[4 * 16];
  ConvArgs args;
  args.input = input;
  args.in_row_step = 16;
  args.in_pixel_step = 4;
  args.tap_offsets = taps;
  args.taps = 9;
  args.depth = 4;
  args.weights = reinterpret_cast<const uint8_t*>(weights.data());
  args.panel_bytes = 9 * 64;
  args.output = output;
  args.out_row_stride = 32;
  args.out_pixel_stride = 16;
  args.out_h = args.out_w = 2;
  args.out_c = 3;
  args.bias = bias.data();
  args.multiplier = multiplier.data();
  args.out_zero = 7;
  args.low = -7.0f;
  args.high = 248.0f;
  kReferenceTable.conv_u8_u8(args, 0, 4, 0, 1);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(output[i * 16 + 0], 7 + 52);
    EXPECT_EQ(output[i * 16 + 1], 7 + 104);
  }
  EXPECT_EQ(output[2], 7 + 36);          // (101 - 30) / 2 = 35.5, to even.
  EXPECT_EQ(output[16 + 2], 7 + 20);     // (101 - 60) / 2 = 20.5, to even.
  EXPECT_EQ(output[2 * 16 + 2], 7 + 6);  // (101 - 90) / 2 = 5.5, to even.
  EXPECT_EQ(output[3 * 16 + 2], 0);      // (101 - 132) / 2 = -15.5, clamped to -7.
}

TEST(ConvKernels, InstructionSets) { octet::testing::ExpectTestedTables(); }

class ConvKernelsTest : public ::testing::TestWithParam<Case> {};
TEST_P(ConvKernelsTest, MatchesReference) { Check(GetParam()); }

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  std::string name = ::testing::PrintToString(info.param) + "_n" + std::to_string(info.index);
  std::replace(name.begin(), name.end(), '-', 'm');
  return name;
}

std::vector<Case> ResNet50() {
  struct Layer {
    int size, ic, oc, kernel, stride;
    bool residual;
  };
  const Layer layers[] = {
      {56, 64, 64, 1, 1, false},    {56, 64, 64, 3, 1, false},   {56, 64, 256, 1, 1, false},
      {56, 64, 256, 1, 1, true},    {56, 256, 64, 1, 1, false},  {56, 256, 128, 1, 1, false},
      {56, 128, 128, 3, 2, false},  {28, 128, 512, 1, 1, true},  {56, 256, 512, 1, 2, false},
      {28, 512, 128, 1, 1, false},  {28, 128, 128, 3, 1, false}, {28, 512, 256, 1, 1, false},
      {28, 256, 256, 3, 2, false},  {14, 256, 1024, 1, 1, true}, {28, 512, 1024, 1, 2, false},
      {14, 1024, 256, 1, 1, false}, {14, 256, 256, 3, 1, false}, {14, 1024, 512, 1, 1, false},
      {14, 512, 512, 3, 2, false},  {7, 512, 2048, 1, 1, true},  {14, 1024, 2048, 1, 2, false},
      {7, 2048, 512, 1, 1, false},  {7, 512, 512, 3, 1, false},  {1, 2048, 1000, 1, 1, false},
  };
  std::vector<Case> cases;
  Case stem;
  stem.h = stem.w = 224;
  stem.ic = 3;
  stem.oc = 64;
  stem.kernel = 7;
  stem.stride = 2;
  stem.pad_top = stem.pad_left = stem.pad_bottom = stem.pad_right = 3;
  stem.layout = Layout::kPanelRow;
  stem.channel_align = 1;
  cases.push_back(stem);
  for (const Layer& layer : layers) {
    Case c;
    c.h = c.w = layer.size;
    c.ic = layer.ic;
    c.oc = layer.oc;
    c.kernel = layer.kernel;
    c.stride = layer.stride;
    c.pad_top = c.pad_left = c.pad_bottom = c.pad_right = layer.kernel / 2;
    c.residual = layer.residual;
    c.out_halo = layer.kernel == 1 && layer.residual == false ? 1 : 0;
    c.mac_budget = 5'000'000;
    cases.push_back(c);
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(ResNet50, ConvKernelsTest, ::testing::ValuesIn(ResNet50()), CaseName);

// All combinations of channels, kernel, stride and size; everything else takes turns.
std::vector<Case> Sweep() {
  std::vector<Case> cases;
  const int channels[] = {1, 3, 4, 16, 17, 64};
  int turn = 0;
  for (const int ic : channels) {
    for (const int kernel : {1, 3, 5, 7}) {
      for (const int stride : {1, 2}) {
        for (const int size : {1, 5, 7, 11, 14, 53}) {
          Case c;
          ++turn;
          c.batch = 1 + turn % 3;
          c.h = size;
          c.w = turn % 4 == 0 ? size : std::max(1, size - turn % 5);
          c.ic = ic;
          c.oc = channels[turn * 5 % 6] + (turn % 7 == 0 ? 64 : turn % 7 == 1 ? 33 : 0);
          c.kernel = kernel;
          c.stride = stride;
          c.dilation = turn % 6 == 1 && kernel == 3 ? 2 : 1;
          const int span = c.dilation * (kernel - 1);
          c.pad_top = span / 2;
          c.pad_left = (span + turn % 2) / 2;
          c.pad_bottom = span - c.pad_top;
          c.pad_right = span - c.pad_left;
          c.layout = ic < 4 && c.dilation == 1 && turn % 2 ? Layout::kPanelRow : Layout::kPanel;
          c.channel_align = c.layout == Layout::kPanelRow ? 1 : turn % 3 ? 16 : 4;
          c.residual = turn % 2 == 0;
          c.out_halo = turn % 5 == 0 ? 2 : turn % 5 == 1 ? 1 : 0;
          c.out_zero = turn % 3 == 0 ? 0 : turn % 3 == 1 ? 128 : 37;
          c.pixel_block = turn % 4 == 0 ? 10 : turn % 4 == 1 ? 29 : 1 << 30;
          c.fill = turn % 4 == 3 ? Fill::kExtreme : Fill::kRandom;
          cases.push_back(c);
        }
      }
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Sweep, ConvKernelsTest, ::testing::ValuesIn(Sweep()), CaseName);

// Every tile: all numbers of pixels up to beyond two of the largest tiles, all numbers of panels.
std::vector<Case> Tiles() {
  std::vector<Case> cases;
  for (int pixels = 1; pixels <= 30; ++pixels) {
    for (int panels = 1; panels <= 6; ++panels) {
      if (pixels > 14 && (pixels + panels) % 3 != 0) continue;
      Case c;
      c.w = pixels;
      c.ic = 8;
      c.oc = panels * 16 - (pixels + panels) % 2;
      c.residual = pixels % 2 == 0;
      c.channel_align = 4;
      c.fill = pixels % 3 ? Fill::kExtreme : Fill::kTies;
      c.out_zero = pixels % 4 * 20;
      cases.push_back(c);
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Tiles, ConvKernelsTest, ::testing::ValuesIn(Tiles()), CaseName);

// One and two panels, and as many as tiles have, by windows of few steps: what is ahead of other
// pixels is in several rows of them, and what four pixels share in one row of pixels.
std::vector<Case> FewPanels() {
  struct Window {
    int ic, kernel;
    Layout layout;
  };
  std::vector<Case> cases;
  int turn = 0;
  for (const Window& window : {Window{3, 3, Layout::kPanelRow}, Window{3, 7, Layout::kPanelRow},
                               Window{4, 3, Layout::kPanel}, Window{12, 3, Layout::kPanel},
                               Window{16, 3, Layout::kPanel}, Window{16, 1, Layout::kPanel},
                               Window{24, 1, Layout::kPanel}, Window{32, 1, Layout::kPanel}}) {
    for (const int w : {4, 7, 8, 14, 16, 29, 32}) {
      for (const int panels : {1, 2, 4}) {
        ++turn;
        Case c;
        c.batch = 1 + turn % 2;
        c.stride = window.kernel > 1 ? 1 + turn / 2 % 2 : 1;
        c.h = (w > 16 ? 2 : 5) * c.stride;
        c.w = w * c.stride;
        c.ic = window.ic;
        c.oc = 16 * panels - turn % 2;
        c.kernel = window.kernel;
        c.pad_top = c.pad_left = c.pad_bottom = c.pad_right = window.kernel / 2;
        c.layout = window.layout;
        c.channel_align = window.layout == Layout::kPanelRow ? 1 : 4;
        c.residual = turn % 4 == 0;
        c.out_halo = turn / 3 % 2;
        c.out_zero = turn % 3 * 60;
        c.fill = turn % 5 == 3 ? Fill::kExtreme : Fill::kRandom;
        cases.push_back(c);
      }
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(FewPanels, ConvKernelsTest, ::testing::ValuesIn(FewPanels()), CaseName);

// The largest sums that int8 layers can have: 255 * 127 at every one of 4608 places.
std::vector<Case> Extremes() {
  std::vector<Case> cases;
  for (const int ic : {16, 64, 512}) {
    for (const int kernel : {1, 3}) {
      Case c;
      c.h = c.w = 7;
      c.ic = ic;
      c.oc = 80;
      c.kernel = kernel;
      c.pad_top = c.pad_left = c.pad_bottom = c.pad_right = kernel / 2;
      c.fill = Fill::kExtreme;
      cases.push_back(c);
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Extremes, ConvKernelsTest, ::testing::ValuesIn(Extremes()), CaseName);

// As Tiles; and layers by Winograd's algorithm.
std::vector<Case> Proven() {
  std::vector<Case> cases;
  for (int pixels = 1; pixels <= 24; ++pixels) {
    for (int panels = 1; panels <= 5; ++panels) {
      if (pixels > 11 && (pixels + panels) % 3 != 0) continue;
      Case c;
      c.w = pixels;
      c.ic = 16;
      c.oc = panels * 16 - (pixels + panels) % 2;
      c.out_zero = pixels % 3 * 50;
      c.proven = true;
      cases.push_back(c);
    }
  }
  for (const int size : {7, 16}) {
    Case c;
    c.h = c.w = size;
    c.ic = 32;
    c.oc = 48;
    c.kernel = 3;
    c.pad_top = c.pad_left = c.pad_bottom = c.pad_right = 1;
    c.winograd = true;
    c.proven = true;
    c.mac_budget = int64_t{1} << 40;
    cases.push_back(c);
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Proven, ConvKernelsTest, ::testing::ValuesIn(Proven()), CaseName);

// The sums on both sides of each limit between two results, by layers whose only input is the bias.
TEST(ProvenFixed, NextToEveryLimit) {
  constexpr int kPixels = 10;
  alignas(64) int32_t bias[16] = {};
  alignas(64) float multiplier[16], rest[16], nudge[16];
  alignas(64) FixedMultiplier fixed[16];
  alignas(64) uint8_t weights[64] = {}, input[kPixels * 16] = {};
  alignas(64) uint8_t expected[kPixels * 16], actual[kPixels * 16];
  const int32_t tap = 0;
  Random random(5);
  int unproven = 0;
  for (int round = 0; round < 24; ++round) {
    ConvArgs a;
    a.input = input;
    a.in_pixel_step = a.out_pixel_stride = 16;
    a.in_row_step = a.in_image_stride = a.out_row_stride = a.out_image_stride = sizeof(input);
    a.tap_offsets = &tap;
    a.depth = 4;
    a.weights = weights;
    a.panel_bytes = sizeof(weights);
    a.out_w = kPixels;
    a.out_c = 16;
    a.bias = bias;
    a.multiplier = multiplier;
    a.fixed = fixed;
    a.nudge = nudge;
    a.multiplier_rest = rest;
    a.round_once = round % 3 == 2;
    a.out_zero = round % 4 * 64;
    a.low = static_cast<float>(-a.out_zero);
    a.high = static_cast<float>(255 - a.out_zero);
    for (int i = 0; i < 16; ++i) {
      do {
        fixed[i] = {random.Int(1 << 30, std::numeric_limits<int32_t>::max()), random.Int(-14, -2)};
        // Few bits: many sums are next to a limit, or on one.
        if (i % 2 == 0) fixed[i].q &= ~0u << random.Int(8, 29);
        nudge[i] = a.round_once ? 0.0f : std::ldexp(1.0f, fixed[i].shift - 1);
        ++unproven;
      } while (!ProveFixed(fixed[i], nudge[i], a.low, a.high));
      --unproven;
      multiplier[i] = static_cast<float>(std::ldexp(fixed[i].q, fixed[i].shift - 31));
      rest[i] = MultiplierRest(fixed[i]);
    }
    for (int limit = -a.out_zero - 2; limit <= 257 - a.out_zero; ++limit) {
      for (int step = -1; step <= 1; ++step) {
        for (int i = 0; i < 16; ++i) {
          const double at = limit + 0.5 + (limit < 0 ? nudge[i] : -nudge[i]);
          bias[i] =
              static_cast<int32_t>(std::lround(at / std::ldexp(fixed[i].q, fixed[i].shift - 31))) +
              step;
        }
        a.output = expected;
        kReferenceTable.conv_u8_u8(a, 0, kPixels, 0, 1);
        a.output = actual;
        for (const TableInfo& info : AllTables()) {
          if (!octet::testing::IsTested(info)) continue;
          info.table->conv_u8_u8(a, 0, kPixels, 0, 1);
          ASSERT_EQ(std::memcmp(expected, actual, sizeof(expected)), 0)
              << info.name << ' ' << limit;
        }
      }
    }
  }
  EXPECT_GT(unproven, 10);
}

TEST(Winograd, IsExactUpToSumsOf25Bits) {
  // 255 * 131586 is the last multiple of 255 below 2^25. Lines of 16 output channels by 4 inputs.
  constexpr int kChannels = 128, kLines = 9 * kChannels / 4, kOutput = 11;
  std::vector<WinogradIsExactFn> all;
  for (const TableInfo& info : AllTables()) {
    if (testing::IsTested(info) && info.table->winograd_is_exact != nullptr)
      all.push_back(info.table->winograd_is_exact);
  }
  if (all.empty()) GTEST_SKIP() << "no tested instruction set has Winograd kernels";
  for (const int sign : {1, -1}) {
    std::vector<int8_t> weights(2 * kLines * 64);
    int left = 131586;
    for (int line = 0; line < kLines; ++line) {
      for (int k = 0; k < 4; ++k) {
        const int w = std::min(left, 127);
        left -= w;
        weights[(kLines + line) * 64 + kOutput * 4 + k] = static_cast<int8_t>(sign * w);
        weights[(kLines + line) * 64 + (kOutput + 1) * 4 + k] =
            static_cast<int8_t>(k % 2 == 0 ? 127 : -127);  // Half of each sign.
      }
    }
    ASSERT_EQ(left, 0);
    for (const WinogradIsExactFn is_exact : all)
      EXPECT_TRUE(is_exact(weights.data(), 2, kChannels));
    int8_t& last = weights[(2 * kLines - 1) * 64 + kOutput * 4 + 3];
    ASSERT_EQ(last, 0);
    last = static_cast<int8_t>(sign);
    for (const WinogradIsExactFn is_exact : all)
      EXPECT_FALSE(is_exact(weights.data(), 2, kChannels));
  }
}

// Tiles inside and at the edges of images, all numbers of panels that are computed together, odd
// numbers of tiles; up to the largest sums for which integers are exact.
std::vector<Case> Winograd() {
  std::vector<Case> cases;
  int turn = 0;
  for (const int size : {1, 3, 4, 7, 8, 13, 14, 18, 29}) {
    for (const int ic : {16, 48, 64, 128}) {
      ++turn;
      if (size * ic > 14 * 64) continue;
      Case c;
      c.winograd = true;
      c.batch = size > 14 ? 1 : 1 + turn % 3;
      c.h = size;
      c.w = size + turn % 4;
      c.ic = ic;
      c.oc = 10 + turn % 5 * 16 + turn % 3;
      c.kernel = 3;
      c.pad_top = turn % 3 == 0 ? 0 : 1;
      c.pad_left = 1;
      c.pad_bottom = c.h + c.pad_top < 3 || turn % 5 ? 1 : 0;
      c.pad_right = turn % 4 == 1 ? 2 : 1;
      if (c.h + c.pad_top + c.pad_bottom < 3) c.pad_bottom = 3 - c.h - c.pad_top;
      c.residual = turn % 2 == 0;
      c.out_halo = turn % 3;
      c.out_zero = turn % 3 * 60;
      c.fill = turn % 4 == 3 && ic < 128 ? Fill::kExtreme
               : turn % 4 == 2           ? Fill::kTies
                                         : Fill::kRandom;
      c.mac_budget = int64_t{1} << 40;
      cases.push_back(c);
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Winograd, ConvKernelsTest, ::testing::ValuesIn(Winograd()), CaseName);

// The same in groups of whole panels, which calls also share.
std::vector<Case> GroupedWinograd() {
  struct Size {
    int groups, in, out;
  };
  std::vector<Case> cases;
  int turn = 0;
  for (const Size& s : {Size{2, 16, 16}, Size{7, 16, 16}, Size{3, 16, 32}, Size{2, 32, 48},
                        Size{5, 32, 16}, Size{2, 64, 80}}) {
    for (const int size : {1, 4, 7, 14, 17}) {
      ++turn;
      Case c;
      c.winograd = true;
      c.groups = s.groups;
      c.batch = size > 14 ? 1 : 1 + turn % 3;
      c.h = size;
      c.w = size + turn % 4;
      c.ic = s.groups * s.in;
      c.oc = s.groups * s.out;
      c.kernel = 3;
      c.pad_top = c.pad_bottom = c.pad_left = 1;
      c.pad_right = turn % 4 == 1 ? 2 : 1;
      c.residual = turn % 2 == 0;
      c.out_halo = turn % 3;
      c.out_zero = turn % 3 * 60;
      c.fill = turn % 4 == 3 ? Fill::kExtreme : turn % 4 == 2 ? Fill::kTies : Fill::kRandom;
      c.mac_budget = int64_t{1} << 40;
      cases.push_back(c);
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(GroupedWinograd, ConvKernelsTest, ::testing::ValuesIn(GroupedWinograd()),
                         CaseName);

// Nor may floats depend on which tiles are in a call: those at edges that are half outside, and
// those of images so small that weights are transformed in registers.
TEST(WinogradConv, FloatsAreTheSameForAnySharesOfTiles) {
  for (const int size : {7, 10, 14, 17}) {
    for (const auto& [batch, groups] : {std::pair{1, 1}, std::pair{3, 1}, std::pair{3, 3}}) {
      Case c;
      c.winograd = true;
      c.batch = batch;
      c.groups = groups;
      c.h = size;
      c.w = size + size % 3;
      c.ic = 32 * c.groups;
      c.oc = c.groups == 1 ? 72 : 48 * c.groups;
      c.kernel = 3;
      c.pad_top = c.pad_left = c.pad_bottom = c.pad_right = 1;
      for (const Kind kind : {Kind::kF32, Kind::kF16, Kind::kBf16, Kind::kBf16F32}) {
        const Problem problem(c, kind);
        for (const TableInfo& info : AllTables()) {
          if (!octet::testing::IsTested(info)) continue;
          SCOPED_TRACE(std::string(info.name) + " " + KindName(kind) + " " + std::to_string(size));
          if (problem.WinogradFunction(*info.table) != nullptr) {
            CheckInteger(*problem.RunWinograd(*info.table, true), *problem.RunWinograd(*info.table),
                         OutputBytes(kind));
          }
          if (kind == Kind::kBf16 && info.table->winograd_2x2_bf16_bf16 != nullptr) {
            CheckInteger(*problem.RunWinograd2x2(*info.table, true),
                         *problem.RunWinograd2x2(*info.table), OutputBytes(kind));
          }
        }
      }
    }
  }
}

// Groups within a panel, across the limits of panels, and of whole panels.
std::vector<Case> Grouped() {
  struct Size {
    int groups, in, out;
  };
  const Size sizes[] = {{3, 4, 4},   {8, 4, 4},   {5, 8, 8},   {32, 8, 8},  {2, 16, 16},
                        {7, 16, 16}, {4, 24, 24}, {3, 32, 32}, {5, 48, 48}, {2, 64, 64},
                        {6, 4, 8},   {7, 8, 4},   {3, 12, 20}, {4, 16, 32}, {3, 40, 24},
                        {9, 20, 4},  {2, 16, 80}, {2, 4, 208}, {41, 4, 4},  {19, 8, 8}};
  std::vector<Case> cases;
  int turn = 0;
  for (const Size& s : sizes) {
    for (const int kernel : {1, 3, 5}) {
      for (const int size : {1, 5, 7, 9}) {
        Case c;
        ++turn;
        c.groups = s.groups;
        c.ic = s.groups * s.in;
        c.oc = s.groups * s.out;
        c.batch = 1 + turn / 3 % 2;
        c.h = size;
        c.w = size + turn % 4;
        c.kernel = kernel;
        c.stride = 1 + turn % 2;
        c.dilation = turn % 5 == 0 ? 2 : 1;
        const int span = c.dilation * (kernel - 1);
        c.pad_top = span / 2;
        c.pad_left = (span + turn % 2) / 2;
        c.pad_bottom = span - c.pad_top;
        c.pad_right = span - c.pad_left;
        c.channel_align = turn % 3 ? 16 : 4;
        c.residual = turn % 2 == 0;
        c.out_halo = turn % 3;
        c.out_zero = turn % 3 * 60;
        c.pixel_block = turn % 4 == 0 ? 10 : 1 << 30;
        c.fill = turn % 4 == 3 ? Fill::kExtreme : turn % 4 == 2 ? Fill::kTies : Fill::kRandom;
        cases.push_back(c);
      }
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Grouped, ConvKernelsTest, ::testing::ValuesIn(Grouped()), CaseName);

// Threads that share panels must not change a sum of floats, wherever they are cut.
TEST(GroupedConv, SumsAreTheSameForAnySharesOfThePanels) {
  for (const int width : {4, 8, 24}) {
    for (const int panels : {1, 2, 5}) {
      for (const int kernel : {1, 3}) {
        Case c;
        c.groups = (16 * panels + 8) / width;  // The last panel is not whole.
        c.ic = c.oc = c.groups * width;
        c.h = 3;
        c.w = 7;
        c.kernel = kernel;
        c.pad_top = c.pad_left = c.pad_bottom = c.pad_right = kernel / 2;
        for (const Kind kind : {Kind::kF32, Kind::kF16, Kind::kBf16, Kind::kBf16F32}) {
          Problem problem(c, kind);
          for (const TableInfo& info : AllTables()) {
            if (!octet::testing::IsTested(info)) continue;
            SCOPED_TRACE(std::string(info.name) + " " + KindName(kind) + ", groups of " +
                         std::to_string(width) + ", panels " + std::to_string(problem.panels()));
            problem.SplitAt(0);
            const auto whole = problem.Run(*info.table);
            for (int at = 1; at < problem.panels(); ++at) {
              problem.SplitAt(at);
              CheckInteger(*whole, *problem.Run(*info.table), OutputBytes(kind));
            }
          }
        }
      }
    }
  }
}

std::vector<Case> Depthwise() {
  std::vector<Case> cases;
  int turn = 0;
  for (const int channels : {1, 16, 17, 150}) {  // Of 150 floats are computed in parts.
    for (const int kernel : {1, 3, 5, 7}) {
      for (const int stride : {1, 2}) {
        for (const int size : {1, 5, 14}) {
          Case c;
          ++turn;
          c.batch = 1 + turn % 3;
          c.h = size;
          c.w = size + turn % 3;
          c.ic = c.oc = channels;
          c.kernel = kernel;
          c.stride = stride;
          c.dilation = turn % 5 == 0 ? 2 : 1;
          c.pad_top = c.dilation * (kernel - 1) / 2;
          c.pad_left = c.pad_top + turn % 2;
          c.pad_bottom = c.pad_right = c.dilation * (kernel - 1) - c.pad_top;
          c.layout = Layout::kDepthwise;
          c.residual = turn % 2 == 0;
          c.out_halo = turn % 3;
          c.out_zero = turn % 3 * 50;
          c.fill = turn % 4 == 3 ? Fill::kExtreme : turn % 4 == 2 ? Fill::kTies : Fill::kRandom;
          cases.push_back(c);
        }
      }
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Depthwise, ConvKernelsTest, ::testing::ValuesIn(Depthwise()), CaseName);

}  // namespace
}  // namespace octet::kernels
