// What every importer builds its graph with: names, constants, nodes, and the lowerings of a
// source's operators to the graph's.
#ifndef OCTET_CONVERTER_IMPORT_BUILDER_GRAPH_BUILDER_H_
#define OCTET_CONVERTER_IMPORT_BUILDER_GRAPH_BUILDER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "converter/import/builder/unique_names.h"
#include "converter/import/builder/view.h"
#include "formats/base/macros.h"
#include "formats/base/status.h"
#include "formats/base/str_cat.h"
#include "formats/model/graph.h"

namespace octet {

/// Most channels of one tensor and most elements of one activation: what the engine counts in 32
/// bits.
inline constexpr int64_t kMaxChannels = 1 << 20;
inline constexpr int64_t kMaxElements = std::numeric_limits<int32_t>::max();
/// Largest kernel, stride, dilation and padding of a window.
inline constexpr int64_t kMaxWindow = 4096;

/// Names of a node and of its result. Most formats have one for both.
struct Label {
  std::string node, output;
  Label(std::string name) : node(name), output(std::move(name)) {}  // NOLINT: a name is a label.
  Label(const char* name) : Label(std::string(name)) {}             // NOLINT
  Label(std::string node_name, std::string output_name)
      : node(std::move(node_name)), output(std::move(output_name)) {}
  Label operator+(const std::string& suffix) const { return {node + suffix, output + suffix}; }
};

/// Element type of an activation, and how it is quantized where it is kU8.
struct ValueType {
  DType dtype = DType::kF32;
  Quantization quantization;
  bool operator==(const ValueType&) const = default;
};

/// A window's padding in front and behind along one dimension; negative where the source leaves
/// pixels out.
struct Padding {
  int64_t front = 0, behind = 0;
};
/// As many outputs as ceil(in / stride). The odd pixel goes behind, or in front with
/// `odd_in_front`. A stride that is larger than the window leaves pixels out: TensorFlow those
/// behind, ONNX on both sides (`may_crop`).
Padding SamePadding(int64_t in, int64_t kernel, int64_t stride, int64_t dilation,
                    bool odd_in_front = false, bool may_crop = false);

/// Window of a convolution or pool with padding of any size and sign, in pixels.
struct WideWindow {
  int64_t kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1};  ///< Height, width.
  Padding padding[2];
};

/// Weights of a convolution or dense layer, output channel first: OHWI or OI.
struct LayerWeights {
  Shape shape;
  std::vector<float> values;
  std::vector<float> bias;          ///< One for each output, or empty.
  std::string name{}, bias_name{};  ///< The source's; from the layer's without.
  /// What the values are multiples of in a quantized source, one for all or one for each output:
  /// they then become int8 codes, the source's bit for bit. Empty for floats.
  std::vector<float> steps{};
  /// In place of `bias` where the input is uint8 or int16, with the correction for its zero point;
  /// of uint8 it fits 32 bits.
  std::vector<int64_t> code_bias{};
  ValueType out{};                            ///< Of the result.
  Activation activation = Activation::kNone;  ///< Inside an integer layer.
};

/// What a batch norm has for each channel; gamma and beta may be left out.
struct BatchNormValues {
  std::optional<std::span<const float>> gamma, beta;
  std::span<const float> mean, variance;
};

/// From `in` with `dims` to the order `perm`: result[i0, i1, ...] has dimension dims[perm[0]]
/// first. For weights.
template <typename T>
std::vector<T> Permuted(std::span<const T> in, const Dims& dims, const std::vector<int>& perm) {
  std::vector<T> out(in.size());
  const size_t rank = dims.size();
  std::vector<size_t> stride(rank, 1), at(rank, 0);
  for (size_t i = rank; i-- > 1;) stride[i - 1] = stride[i] * static_cast<size_t>(dims[i]);
  size_t from = 0;
  for (T& v : out) {
    v = in[from];
    for (size_t i = rank; i-- > 0;) {
      const size_t axis = static_cast<size_t>(perm[i]);
      from += stride[axis];
      if (++at[i] < static_cast<size_t>(dims[axis])) break;
      from -= stride[axis] * at[i];
      at[i] = 0;
    }
  }
  return out;
}

/// What cannot be converted, collected so that a user learns all of it at once.
class Problems {
 public:
  void Add(const std::string& op, const std::string& node, const std::string& reason);
  bool empty() const { return list_.empty(); }
  /// kUnsupported: "3 unsupported operators: Gelu 'a', 'b' (reason); Loop 'c' (reason)".
  Status ToStatus() const;

 private:
  struct Entry {
    std::string op, reason;
    std::vector<std::string> nodes;
  };
  std::vector<Entry> list_;  ///< One for each operator and reason.
  size_t count_ = 0;
};

/// Not thread-safe. Errors: kUnsupported for what the graph has no operator for, kCorrupt for what
/// contradicts itself; neither names the node, which the importer adds.
class GraphBuilder {
 public:
  /// `separator` and `first` make equal names unique. `budget` bounds the bytes of constants, which
  /// a crafted file of a few bytes could ask for any number of.
  GraphBuilder(std::string separator, int64_t first, int64_t budget)
      : nodes_(separator, first), tensors_(std::move(separator), first), budget_(budget) {}

  Graph& graph() { return graph_; }
  const Graph& graph() const { return graph_; }
  const Shape& ShapeOf(TensorId id) const { return graph_.tensor(id).shape; }
  const Shape& ShapeOf(const View& v) const { return ShapeOf(v.id); }
  ValueType TypeOf(TensorId id) const {
    return {graph_.tensor(id).dtype, graph_.tensor(id).quantization};
  }

  // ---- Names, constants, nodes ----

  std::string UniqueName(const std::string& wanted);
  /// Takes `name` for a tensor that has another one so far; false when it is taken.
  bool Rename(TensorId id, const std::string& name);
  /// kCorrupt when the constants are many times larger than the file.
  Status Charge(int64_t bytes);

  /// A pixel of 8 bits is the code of an input that takes codes, unless a preprocessing says else.
  TensorId AddInput(const std::string& name, const ValueType& type, const Shape& shape);
  /// An output under `name`, unless it is empty or taken. A tensor becomes one once. kUnsupported
  /// for an input.
  Status AddOutput(TensorId id, const std::string& name);
  template <typename T>
  Result<TensorId> AddConstant(const std::string& name, DType dtype, const Shape& shape,
                               std::span<const T> values);
  Result<TensorId> AddFloats(const std::string& name, const Shape& shape,
                             std::span<const float> values) {
    return AddConstant<float>(name, DType::kF32, shape, values);
  }
  /// Adds a node; the result's shape is inferred, for kReshape it is `reshape`.
  Result<TensorId> Emit(OpType type, const Label& label, std::vector<TensorId> inputs,
                        const ValueType& out = {}, const std::function<void(Node*)>& configure = {},
                        const Shape& reshape = {});

  // ---- Views ----

  /// The tensor read as it lies.
  View Plain(TensorId id) const;
  /// A result [1,h,w,c] read as [1,c,h,w].
  View ChannelsFirst(TensorId id) const;
  /// A tensor of `shape` whose axes in the order `perm` are the view's elements in the source's
  /// order. This moves nothing at run time (behind a dense layer its rows are moved), or is
  /// refused.
  Result<TensorId> AsOrdered(const Label& label, const View& v, const Shape& shape,
                             const std::vector<int>& perm);
  /// A tensor [1,h,w,c] for a view whose dimensions are [1,c,h,w], or [1,h,w,c] with
  /// `channels_last`.
  Result<TensorId> AsImage(const Label& label, const View& v, bool channels_last);
  /// A tensor whose axes stand for the view's dimensions one by one, AxisOf() saying which.
  Result<View> AsAligned(const Label& label, const View& v);
  /// The same for several views of one rank, whose axes are all in one order then.
  Result<std::vector<View>> AsAlike(const Label& label, std::vector<View> views);
  /// The view's elements in the source's order as a tensor of `shape`, which is refused when they
  /// lie in another order.
  Result<TensorId> AsLinear(const Label& label, const View& v, const Shape& shape);

  /// The view over a tensor in its own order: of its dimensions where they are 2 or 4, else rows of
  /// the last one.
  Result<View> AsPlain(const Label& label, const View& v);
  /// The view over a tensor whose last axis is the view's last dimension.
  Result<View> AsRows(const Label& label, const View& v);
  /// The views over tensors of one order, whose axes stand for the dimensions one by one, or are
  /// rows.
  Status Align(const Label& label, std::vector<View>* views);
  /// An input of 2 to 4 dimensions, which are the source's: without channels it is an image of one
  /// channel, or a vector where a dimension is 1.
  Result<View> AddInputView(const std::string& name, const Dims& dims);

  // ---- Lowerings ----

  /// `x` is [1,h,w,c] and the weights OHWI. Padding beyond the window becomes a Pad, negative
  /// padding a Slice.
  Result<TensorId> Conv(const Label& label, TensorId x, const LayerWeights& weights,
                        const WideWindow& window, int64_t groups);
  /// Padding of a maximum is the lowest value, that of a mean is left out or counted as 0.
  Result<TensorId> Pool(const Label& label, TensorId x, OpType type, const WideWindow& window,
                        bool count_include_pad = false);
  /// Over all pixels: mean, or maximum. [1,h,w,c] to [1,1,1,c].
  Result<TensorId> GlobalPool(const Label& label, TensorId x, bool mean);
  /// A dense layer on all elements of the view, whose order the rows of the weights [out, in]
  /// follow. Gives [1, out].
  Result<TensorId> Dense(const Label& label, const View& x, LayerWeights weights);
  /// A dense layer on the view's last dimension, weights [out, in], whatever the others are.
  Result<View> LastDense(const Label& label, const View& x, LayerWeights weights);
  /// A dense layer on the channels of every pixel of [1,h,w,c], weights [out, in].
  Result<TensorId> PixelDense(const Label& label, TensorId x, LayerWeights weights);
  /// x * scale + shift; each has one value, one for each channel, or one for each element in the
  /// order of the memory. What changes nothing is left out. `activation` is for integers; `unit` as
  /// in the graph's kInputUnit, 0 for none.
  Result<TensorId> ScaleShift(const Label& label, TensorId x, std::vector<float> scale,
                              std::vector<float> shift, const ValueType& out = {},
                              Activation activation = Activation::kNone, float unit = 0.0f);
  /// Values of `dims` that broadcast to the view's, as ScaleShift takes them. kUnsupported when
  /// they do not broadcast.
  Result<std::vector<float>> Spread(const View& x, const Dims& dims,
                                    std::span<const float> values) const;
  /// Softmax, or another `type` that normalizes, over the dimensions [first, last) of the view.
  Result<View> Softmax(const Label& label, const View& x, OpType type, size_t first, size_t last,
                       const ValueType& out = {});
  /// (x - mean) / sqrt(variance + epsilon) * gamma + beta as scale and shift of `channels` values.
  static Result<std::pair<std::vector<double>, std::vector<double>>> FoldBatchNorm(
      int64_t channels, const BatchNormValues& values, double epsilon);
  /// The same along a dimension of the view.
  Result<TensorId> BatchNorm(const Label& label, const View& x, size_t axis,
                             const BatchNormValues& values, double epsilon);
  /// min(max(x, low), high); an infinite limit, or one that no float32 is beyond, is none.
  Result<TensorId> Clip(const Label& label, TensorId x, float low, float high);
  /// a - b of two activations of one shape.
  Result<TensorId> Subtract(const Label& label, TensorId a, TensorId b);
  /// Amounts and value for each axis of the tensor. -inf is for a maximum behind it.
  Result<TensorId> Pad(const Label& label, TensorId x, const std::array<int64_t, 4>& begin,
                       const std::array<int64_t, 4>& end, float value);
  struct Range {
    int64_t begin = 0, step = 1, count = 1;
  };
  /// One range for each axis of the tensor. Backwards over all channels, and over nothing else, is
  /// a reversal.
  Result<TensorId> Slice(const Label& label, TensorId x, const std::vector<Range>& ranges);
  /// RGB to BGR and back: a convolution of one pixel with ones.
  Result<TensorId> ReverseChannels(const Label& label, TensorId x);

 private:
  /// A vector with its elements in another order, result[i] = x[order[i]], where they come from a
  /// dense layer whose rows can be moved instead; else nothing.
  Result<std::optional<TensorId>> Reordered(const Label& label, TensorId x,
                                            const std::vector<int32_t>& order, int depth = 0);
  /// Weights, their scales and bias as inputs of a layer whose first input is there. Nine bits read
  /// it twice: of several `groups` its rows, over which `window` then goes.
  Status AddWeights(const Label& label, const LayerWeights& weights, int64_t groups, Window* window,
                    std::vector<TensorId>* inputs);
  /// The weights as int8 codes; false where they are none.
  Result<bool> AddCodes(const Label& label, const LayerWeights& weights, int64_t groups,
                        Window* window, std::vector<TensorId>* inputs);
  /// Brings a window into the graph's form; emits what does not fit it.
  Result<TensorId> Fit(const Label& label, TensorId x, const WideWindow& wide, float fill,
                       bool pads_are_values, Window* window);

  Graph graph_;
  UniqueNames nodes_, tensors_;
  int64_t budget_;
  std::unordered_set<TensorId> dequantized_;  ///< Codes as numbers.
};

template <typename T>
Result<TensorId> GraphBuilder::AddConstant(const std::string& name, DType dtype, const Shape& shape,
                                           std::span<const T> values) {
  if (shape.num_elements() != static_cast<int64_t>(values.size())) {
    return Corrupt(StrCat("constant '", name, "' has ", values.size(), " elements, expected ",
                          shape.ToString()));
  }
  OCTET_RETURN_IF_ERROR(Charge(static_cast<int64_t>(values.size_bytes())));
  return graph_.AddConstant(tensors_.Make(name), dtype, shape, values.data(), values.size_bytes());
}

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_BUILDER_GRAPH_BUILDER_H_
