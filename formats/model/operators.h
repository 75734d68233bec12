// What there is to know of each operator whatever its inputs are: a row each, and one list of a
// node's attributes. Whoever asks "which operators ..." asks here.
#ifndef OCTET_FORMATS_MODEL_OPERATORS_H_
#define OCTET_FORMATS_MODEL_OPERATORS_H_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>

#include "formats/model/graph.h"

namespace octet {

/// Whether results may be below 0.
enum class Sign : uint8_t {
  kAny,
  kNonNegative,
  kAsInputs,  ///< Not where no input is, apart from what Clip and Pad bring in (analysis.cc).
};

struct OpTraits {
  OpType type;
  const char* name;  ///< In messages, and what SPEC.md calls it.
  /// Number of inputs: at most `max_inputs` slots, of which the first `required` must be filled.
  int required = 1, max_inputs = 1;
  /// Bit i: slot i holds a computed value. The others hold constants.
  uint8_t activation_slots = 0xff;
  bool has_weights = false;       ///< A layer: multiplies with kInputWeights.
  bool has_window = false;        ///< Node::window.
  bool takes_activation = false;  ///< Node::activation.
  bool keeps_shape = false;       ///< The output's shape is the first input's.
  bool reads_anywhere = false;    ///< Its kernels need no panels: an input may stay the caller's.
  bool moves_values = false;      ///< Computes nothing: the output has the input's quantization.
  bool converts = false;          ///< Only to another type or scale.
  /// Without an integer kernel. Networks end in them, and their results are used as they are: int8
  /// networks compute them in float32 without missing anything.
  bool only_float = false;
  Sign sign = Sign::kAny;
};

inline constexpr int kAnyNumber = std::numeric_limits<int>::max();

/// By OpType.
inline constexpr OpTraits kOperators[] = {
    {.type = OpType::kConv2d,
     .name = "conv2d",
     .required = 2,
     .max_inputs = 6,
     .activation_slots = 1 << kInputX | 1 << kInputResidual,
     .has_weights = true,
     .has_window = true,
     .takes_activation = true},
    {.type = OpType::kDense,
     .name = "dense",
     .required = 2,
     .max_inputs = 5,
     .activation_slots = 1 << kInputX | 1 << kInputResidual,
     .has_weights = true,
     .takes_activation = true},
    {.type = OpType::kMaxPool,
     .name = "max_pool",
     .has_window = true,
     .moves_values = true,
     .sign = Sign::kAsInputs},
    {.type = OpType::kAveragePool,
     .name = "average_pool",
     .has_window = true,
     .sign = Sign::kAsInputs},
    {.type = OpType::kGlobalAveragePool, .name = "global_average_pool", .sign = Sign::kAsInputs},
    {.type = OpType::kAdd, .name = "add", .required = 2, .max_inputs = 2, .takes_activation = true},
    {.type = OpType::kMul, .name = "mul", .required = 2, .max_inputs = 2},
    {.type = OpType::kScaleShift,
     .name = "scale_shift",
     .required = 3,
     .max_inputs = 4,
     .activation_slots = 1 << kInputX,
     .takes_activation = true,
     .reads_anywhere = true},
    {.type = OpType::kRelu,
     .name = "relu",
     .keeps_shape = true,
     .reads_anywhere = true,
     .moves_values = true,
     .sign = Sign::kNonNegative},
    {.type = OpType::kRelu6,
     .name = "relu6",
     .keeps_shape = true,
     .reads_anywhere = true,
     .moves_values = true,
     .sign = Sign::kNonNegative},
    {.type = OpType::kPad, .name = "pad", .moves_values = true, .sign = Sign::kAsInputs},
    {.type = OpType::kSlice, .name = "slice", .moves_values = true, .sign = Sign::kAsInputs},
    {.type = OpType::kConcat,
     .name = "concat",
     .required = 2,
     .max_inputs = kAnyNumber,
     .moves_values = true,
     .sign = Sign::kAsInputs},
    {.type = OpType::kReshape, .name = "reshape", .moves_values = true, .sign = Sign::kAsInputs},
    {.type = OpType::kSoftmax,
     .name = "softmax",
     .keeps_shape = true,
     .only_float = true,
     .sign = Sign::kNonNegative},
    {.type = OpType::kQuantize,
     .name = "quantize",
     .keeps_shape = true,
     .reads_anywhere = true,
     .converts = true},
    {.type = OpType::kDequantize,
     .name = "dequantize",
     .keeps_shape = true,
     .reads_anywhere = true,
     .converts = true,
     .sign = Sign::kAsInputs},
    {.type = OpType::kClip,
     .name = "clip",
     .keeps_shape = true,
     .reads_anywhere = true,
     .moves_values = true,
     .sign = Sign::kAsInputs},
    {.type = OpType::kSigmoid,
     .name = "sigmoid",
     .keeps_shape = true,
     .only_float = true,
     .sign = Sign::kNonNegative},
    {.type = OpType::kTanh,
     .name = "tanh",
     .keeps_shape = true,
     .only_float = true,
     .sign = Sign::kAsInputs},
    {.type = OpType::kLogSoftmax, .name = "log_softmax", .keeps_shape = true, .only_float = true},
};
static_assert(std::size(kOperators) == kNumOpTypes, "every OpType has a row");
static_assert(
    [] {
      for (int i = 0; i < kNumOpTypes; ++i)
        if (kOperators[i].type != static_cast<OpType>(i)) return false;
      return true;
    }(),
    "rows stand in the order of OpType");

/// The row of `type`; of a number that is none, one of the name "invalid".
inline const OpTraits& TraitsOf(OpType type) {
  static constexpr OpTraits kNone{.type = {}, .name = "invalid"};
  return static_cast<int>(type) < kNumOpTypes ? kOperators[static_cast<int>(type)] : kNone;
}

/// Every attribute of a node that its operator has, under the name that SPEC.md gives it and in the
/// order of the file. `N` is Node or const Node; a visitor has
///   Count(name, int&)             a number from 0 on,
///   Flag(name, bool&),
///   Dimension(name, int&)         0 to Shape::kMaxRank - 1,
///   Real(name, float&),
///   Amounts(name, array of int32) one number for each dimension.
template <typename N, typename Visitor>
void VisitAttributes(N& n, Visitor&& visit) {
  if (TraitsOf(n.type).has_window) {
    auto& w = n.window;
    visit.Count("kernel_h", w.kernel_h);
    visit.Count("kernel_w", w.kernel_w);
    visit.Count("stride_h", w.stride_h);
    visit.Count("stride_w", w.stride_w);
    visit.Count("dilation_h", w.dilation_h);
    visit.Count("dilation_w", w.dilation_w);
    visit.Count("pad_top", w.pad_top);
    visit.Count("pad_left", w.pad_left);
    visit.Count("pad_bottom", w.pad_bottom);
    visit.Count("pad_right", w.pad_right);
  }
  switch (n.type) {
    case OpType::kConv2d:
      visit.Count("groups", n.groups);
      break;
    case OpType::kAveragePool:
      visit.Flag("count_include_pad", n.count_include_pad);
      break;
    case OpType::kConcat:
      visit.Dimension("axis", n.axis);
      break;
    case OpType::kPad:
      visit.Real("pad_value", n.pad_value);
      visit.Amounts("begin", n.begin);
      visit.Amounts("end", n.end);
      break;
    case OpType::kSlice:
      visit.Amounts("begin", n.begin);
      visit.Amounts("end", n.end);
      visit.Amounts("step", n.step);
      break;
    case OpType::kClip:
      visit.Real("clip_low", n.clip_low);
      visit.Real("clip_high", n.clip_high);
      break;
    case OpType::kDense:
    case OpType::kMaxPool:
    case OpType::kGlobalAveragePool:
    case OpType::kAdd:
    case OpType::kMul:
    case OpType::kScaleShift:
    case OpType::kRelu:
    case OpType::kRelu6:
    case OpType::kReshape:
    case OpType::kSoftmax:
    case OpType::kQuantize:
    case OpType::kDequantize:
    case OpType::kSigmoid:
    case OpType::kTanh:
    case OpType::kLogSoftmax:
      break;
  }
}

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_OPERATORS_H_
