// The layers and bare operations of Keras that octet has, one table row each.
#ifndef OCTET_CONVERTER_IMPORT_KERAS_LAYERS_H_
#define OCTET_CONVERTER_IMPORT_KERAS_LAYERS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/builder/graph_builder.h"
#include "converter/import/builder/unary.h"
#include "converter/import/builder/view.h"
#include "converter/import/keras/config.h"
#include "converter/import/keras/weights.h"
#include "formats/base/status.h"

namespace octet {

/// What a layer gives: dimensions as Keras sees them, over a tensor of the graph.
struct KerasValue {
  View view;
  bool integer = false;  ///< Pixels that nothing made floating-point yet.
};

/// One argument of a call: tensors, or a constant.
struct KerasOperand {
  std::vector<KerasValue> values;
  const nlohmann::json* constant = nullptr;
};

struct KerasCall {
  std::string name;  ///< Of its nodes and their results.
  const std::vector<KerasStep>& path;
  const KerasConfig& config;
  std::vector<KerasOperand> operands;
  int64_t batch = 0;  ///< Of the model's input, 0 when it is not fixed.

  const KerasValue& x() const { return operands[0].values[0]; }
};

class KerasLayers;

struct KerasRow {
  std::string_view type;  ///< Class, or function of a TFOpLambda.
  Result<KerasValue> (KerasLayers::*convert)(const KerasCall&);
  Understood keys;
  /// Names of the arguments that may be tensors, in order; "*" behind a list of them.
  const char* operands = "inputs";
  bool integers = false;    ///< Takes values that are not floating-point.
  const char* limits = "";  ///< For people.
  /// In place of `convert`, with its parameter where no key gives one.
  const UnaryFunction* function = nullptr;
  float otherwise = 0.0f;
};

/// Converts one call after the other. Errors do not name the layer.
class KerasLayers {
 public:
  KerasLayers(GraphBuilder* builder, KerasWeights* weights) : b_(*builder), weights_(*weights) {}

  static std::span<const KerasRow> Layers();
  static std::span<const KerasRow> Operations();  ///< Classes of Keras 3.
  static std::span<const KerasRow> Functions();   ///< Of TensorFlow, in Keras 2.
  static const KerasRow* Find(std::span<const KerasRow> rows, std::string_view type);

  /// Checks the configuration, the operands and their types, and converts.
  Result<KerasValue> Convert(const KerasRow& row, const KerasCall& call);

  /// The value as one of the graph's outputs: a tensor of its own dimensions.
  Result<TensorId> Output(const std::string& name, const KerasValue& value);

 private:
  using json = nlohmann::json;
  enum class Binary { kAdd, kSubtract, kMultiply, kDivide };

  /// Element by element: another tensor, the same view.
  static KerasValue Keep(const KerasValue& x, TensorId id) {
    return {{id, x.view.dims, x.view.perm}, false};
  }
  /// The value over a tensor whose last axis is its last dimension.
  Result<KerasValue> ByChannels(const std::string& name, const KerasValue& x);
  Result<KerasValue> WithDims(const std::string& name, const KerasValue& x, const Dims& dims);
  Result<KerasValue> FromImage(const KerasValue& x, Result<TensorId> id);
  Result<TensorId> Image(const KerasCall& call) {
    return b_.AsImage(call.name, call.x().view, /*channels_last=*/true);
  }
  Result<std::vector<float>> Weight(const KerasCall& call, const char* name, int index,
                                    const Dims& shape, Dims* found = nullptr);
  Result<std::vector<float>> Kernel(const KerasCall& call, const char* name, Dims* shape);
  /// One value, or one for each channel of `dims`.
  Result<std::vector<float>> PerChannel(const KerasNumbers& numbers, const Dims& dims,
                                        const char* key) const;
  Result<KerasValue> Affine(const std::string& name, const KerasValue& x, std::vector<float> scale,
                            std::vector<float> shift);
  Status SetWindow(const KerasConfig& config, const Dims& dims, WideWindow* w) const;
  Result<std::string> ActivationName(const json& activation) const;
  Result<KerasValue> Activate(const KerasCall& call, const KerasValue& x);
  Result<KerasValue> ApplyActivation(const json& activation, const std::string& name,
                                     const KerasValue& x);
  Result<KerasValue> ByName(const std::string& function, const std::string& name,
                            const KerasValue& x);
  std::string LinearName(const KerasCall& call) const;
  Result<KerasValue> Unary(const KerasRow& row, const KerasCall& call);
  Result<KerasValue> Clamp(const std::string& name, const KerasValue& x, double low, double high);
  Result<KerasValue> LastOnly(const KerasCall& call, OpType type);
  Result<KerasValue> Arithmetic(const KerasCall& call, Binary op);
  Result<KerasValue> Pair(const std::string& name, Binary op, const KerasOperand& a,
                          const KerasOperand& b);
  Result<KerasValue> Limit(const KerasCall& call, bool maximum);
  Result<KerasValue> Taps(const KerasCall& call, bool depthwise);
  Result<KerasValue> Window2D(const KerasCall& call, OpType type);
  Result<KerasValue> Global(const KerasCall& call, bool mean);
  Result<KerasValue> Reduce(const KerasCall& call, bool mean);
  Result<std::array<int64_t, 4>> Sides(const KerasCall& call, const char* key) const;

  Result<KerasValue> Identity(const KerasCall& call) { return call.x(); }
  Result<KerasValue> Conv2D(const KerasCall& call) { return Taps(call, false); }
  Result<KerasValue> DepthwiseConv2D(const KerasCall& call) { return Taps(call, true); }
  Result<KerasValue> SeparableConv2D(const KerasCall& call);
  Result<KerasValue> Dense(const KerasCall& call);
  Result<KerasValue> BatchNormalization(const KerasCall& call);
  Result<KerasValue> Activation(const KerasCall& call);
  Result<KerasValue> ReLU(const KerasCall& call);
  Result<KerasValue> Softmax(const KerasCall& call) { return LastOnly(call, OpType::kSoftmax); }
  Result<KerasValue> LogSoftmax(const KerasCall& call) {
    return LastOnly(call, OpType::kLogSoftmax);
  }
  Result<KerasValue> Add(const KerasCall& call) { return Arithmetic(call, Binary::kAdd); }
  Result<KerasValue> Subtract(const KerasCall& call) { return Arithmetic(call, Binary::kSubtract); }
  Result<KerasValue> Multiply(const KerasCall& call) { return Arithmetic(call, Binary::kMultiply); }
  Result<KerasValue> Divide(const KerasCall& call) { return Arithmetic(call, Binary::kDivide); }
  Result<KerasValue> Negative(const KerasCall& call) {
    return Affine(call.name, call.x(), {-1.0f}, {0.0f});
  }
  Result<KerasValue> Average(const KerasCall& call);
  Result<KerasValue> Concatenate(const KerasCall& call);
  Result<KerasValue> ZeroPadding2D(const KerasCall& call);
  Result<KerasValue> Cropping2D(const KerasCall& call);
  Result<KerasValue> MaxPooling2D(const KerasCall& c) { return Window2D(c, OpType::kMaxPool); }
  Result<KerasValue> AveragePooling2D(const KerasCall& c) {
    return Window2D(c, OpType::kAveragePool);
  }
  Result<KerasValue> GlobalAverage(const KerasCall& call) { return Global(call, true); }
  Result<KerasValue> GlobalMax(const KerasCall& call) { return Global(call, false); }
  Result<KerasValue> Flatten(const KerasCall& call);
  Result<KerasValue> Reshape(const KerasCall& call);
  Result<KerasValue> Permute(const KerasCall& call);
  Result<KerasValue> Rescaling(const KerasCall& call);
  Result<KerasValue> Normalization(const KerasCall& call);
  Result<KerasValue> Resizing(const KerasCall& call);
  Result<KerasValue> Clip(const KerasCall& call);
  Result<KerasValue> Maximum(const KerasCall& call) { return Limit(call, false); }
  Result<KerasValue> Minimum(const KerasCall& call) { return Limit(call, true); }
  Result<KerasValue> Mean(const KerasCall& call) { return Reduce(call, true); }
  Result<KerasValue> Max(const KerasCall& call) { return Reduce(call, false); }
  Result<KerasValue> NewShape(const KerasCall& call);
  Result<KerasValue> ExpandDims(const KerasCall& call);
  Result<KerasValue> Squeeze(const KerasCall& call);
  Result<KerasValue> Transpose(const KerasCall& call);
  Result<KerasValue> GetItem(const KerasCall& call);
  Result<KerasValue> Stack(const KerasCall& call);
  Result<KerasValue> Cast(const KerasCall& call);

  GraphBuilder& b_;
  KerasWeights& weights_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_KERAS_LAYERS_H_
