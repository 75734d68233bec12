#include "converter/import/tensorflow/saved_model.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include <protozero/exception.hpp>

#include "converter/import/file_bytes.h"
#include "converter/import/importer.h"
#include "converter/import/tensorflow/fold.h"
#include "converter/import/tensorflow/inline.h"
#include "converter/import/tensorflow/proto.h"
#include "converter/import/tensorflow/tensor_bundle.h"
#include "converter/import/builder/unique_names.h"
#include "converter/passes/passes.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

using tf::FlatNode;
using tf::HostTensor;
using tf::kDynamic;
using tf::NodeDef;
using tf::ValueRef;

/// Elements of all constants together, decoded or computed: bounds what a crafted file can make us allocate.
constexpr int64_t kMaxConstantElements = int64_t{1} << 30;
/// Of these, what does not lie in the file: filled and broadcast constants, arithmetic per channel.
constexpr int64_t kMaxMadeElements = int64_t{1} << 24;
constexpr size_t kMaxName = 512;  // Inlining can repeat a name any number of times.
constexpr int64_t kMaxChannels = 1 << 20;
constexpr int64_t kMaxAttribute = 4096;  // Kernel sizes, strides, dilations: as ValidateGraph has it.
constexpr size_t kMaxListed = 50;        // Problems in one message.

/// What a node computes. Per-channel arithmetic and reshapes are kept pending until something else uses the value, so that chains of
/// them become one node, a bias, or preprocessing.
constexpr char kOnlyConvolution[] =
    "between SpaceToBatchND and BatchToSpaceND only one convolution is supported, which they make a dilated one";

/// What lies between SpaceToBatchND and BatchToSpaceND: TensorFlow's way of a dilated convolution.
struct Batched {
  std::vector<int64_t> block, pads;
  size_t convolution = 0;  ///< Its node, once there is one.
  bool convolved = false, returned = false;
};

struct Value {
  std::shared_ptr<const HostTensor> constant;
  const NodeDef* variable = nullptr;  ///< A handle.

  TensorId base = kNoTensor;
  std::vector<int64_t> dims;  ///< As TensorFlow sees it, dims[0] being the batch.
  std::vector<double> scale, shift;  ///< Per channel of the base; empty when there are none.
  bool integer = false;       ///< Pixels that were not cast yet.
  bool reversed = false;      ///< Channels of the network's input, before scale and shift.
  bool capped = false;        ///< At 6: one half of a ReLU6, of no use alone.
  /// Nothing else uses the base or what lies between it and this value.
  bool exclusive = true;
  std::string name;
  TensorId materialized = kNoTensor;
  std::shared_ptr<Batched> batched;  ///< The base is then the image as a whole.

  bool is_activation() const { return base != kNoTensor; }
  bool pending_affine() const { return !scale.empty(); }
};
using ValuePtr = std::shared_ptr<Value>;

const char* AdviceFor(std::string_view op) {
  static constexpr std::pair<std::string_view, const char*> kAdvice[] = {
      {"LeakyRelu", "octet has ReLU and ReLU6; train with one of them"},
      {"Elu", "octet has ReLU and ReLU6; train with one of them"},
      {"Selu", "octet has ReLU and ReLU6; train with one of them"},
      {"Tanh", "octet has ReLU and ReLU6; train with one of them"},
      {"Sigmoid", "octet has ReLU and ReLU6 inside and softmax at the end; cut a sigmoid off before saving"},
      {"Erf", "octet has ReLU and ReLU6; train with one of them"},
      {"While", "control flow cannot be converted; save with static shapes"},
      {"StatelessWhile", "control flow cannot be converted; save with static shapes"},
      {"If", "control flow cannot be converted; save with training=False"},
      {"StatelessIf", "control flow cannot be converted; save with training=False"},
      {"Switch", "control flow cannot be converted; freeze the graph for inference"},
      {"Merge", "control flow cannot be converted; freeze the graph for inference"},
      {"DecodeJpeg", "save a signature that takes pixels"},
      {"DecodePng", "save a signature that takes pixels"},
      {"DecodeImage", "save a signature that takes pixels"},
      {"ParseExampleV2", "save a signature that takes pixels"},
      {"ResizeBilinear", "octet resizes before the network; save a signature that takes images of the final size"},
      {"ResizeBicubic", "octet resizes before the network; save a signature that takes images of the final size"},
      {"ResizeNearestNeighbor", "octet resizes before the network; save a signature that takes images of the final size"},
      {"FakeQuantWithMinMaxVars", "export quantization-aware models as int8 TFLite or QDQ ONNX"},
      {"FakeQuantWithMinMaxVarsPerChannel", "export quantization-aware models as int8 TFLite or QDQ ONNX"},
      {"HashTableV2", "save a signature that gives scores instead of names"},
      {"LookupTableFindV2", "save a signature that gives scores instead of names"},
      {"ArgMax", "save a signature that gives scores instead of class numbers"},
      {"TopKV2", "save a signature that gives scores instead of class numbers"},
  };
  for (const auto& [name, advice] : kAdvice) {
    if (op == name) return advice;
  }
  return "octet has no such operator; replace it or end the network before it";
}

class Converter {
 public:
  Converter(const tf::MetaGraph& meta, const tf::FlatGraph& flat, const TensorBundle* bundle)
      : meta_(meta), flat_(flat), bundle_(bundle) {}

  Result<Graph> Run(const tf::SignatureDef& signature) {
    OCTET_RETURN_IF_ERROR(FindVariables());
    const auto& [input_name, input] = *signature.inputs.begin();
    input_name_ = input_name;
    input_ = &input;
    CountUses();
    values_.resize(flat_.nodes.size());
    for (size_t i = 0; i < flat_.nodes.size(); ++i) {
      const FlatNode& node = flat_.nodes[i];
      Result<ValuePtr> value = Convert(node);
      if (value.ok()) {
        values_[i] = std::move(value).value();
      } else if (value.status().code() == StatusCode::kUnsupported) {
        Problem(*node.def, value.status().message());
      } else {
        return Status(value.status()).WithContext(StrCat("node '", node.def->name, "'"));
      }
    }
    size_t i = 0;
    for (const auto& [name, info] : signature.outputs) {
      const ValueRef ref = flat_.outputs[i++];
      const ValuePtr value = ref.output == 0 ? values_[ref.node] : nullptr;
      if (value == nullptr) {
        if (problems_.empty()) return Unsupported(StrCat("output '", name, "' is a secondary output of its node"));
        continue;
      }
      if (!value->is_activation()) return Unsupported(StrCat("output '", name, "' does not depend on the input"));
      if (value->batched != nullptr) return Unsupported(StrCat("output '", name, "': ", kOnlyConvolution));
      Result<TensorId> id = Materialize(*flat_.nodes[ref.node].def, value.get());
      if (!id.ok()) {
        Problem(*flat_.nodes[ref.node].def, id.status().message());
        continue;
      }
      if (std::find(graph_.inputs.begin(), graph_.inputs.end(), *id) != graph_.inputs.end()) {
        return Unsupported(StrCat("output '", name, "' is the input"));
      }
      if (std::find(graph_.outputs.begin(), graph_.outputs.end(), *id) == graph_.outputs.end()) {
        graph_.outputs.push_back(*id);
        if (names_.Take(name)) graph_.tensor(*id).name = name;
      }
    }
    if (!problems_.empty()) return ListProblems();
    if (graph_.inputs.empty()) return Unsupported(StrCat("no output depends on input '", input_name_, "'"));
    return std::move(graph_);
  }

 private:
  // -- Bookkeeping ------------------------------------------------------------------------------------------------------------------

  void Problem(const NodeDef& node, const std::string& what) {
    ++problem_count_;
    if (problems_.size() < kMaxListed) {
      problems_.push_back(StrCat("node '", node.name.substr(0, kMaxName), "' (", node.op.substr(0, kMaxName), "): ", what));
    }
  }

  Status ListProblems() const {
    std::string message = StrCat(problem_count_, problem_count_ == 1 ? " node cannot" : " nodes cannot", " be converted: ");
    for (size_t i = 0; i < problems_.size(); ++i) message += (i > 0 ? "; " : "") + problems_[i];
    if (problem_count_ > problems_.size()) message += StrCat("; and ", problem_count_ - problems_.size(), " more");
    return Unsupported(std::move(message));
  }

  void CountUses() {
    uses_.assign(flat_.nodes.size(), 0);
    for (const FlatNode& node : flat_.nodes) {
      // The shape of a value is not a use of it.
      if (node.def->op == "Shape") continue;
      for (const ValueRef& ref : node.inputs) ++uses_[ref.node];
    }
    for (const ValueRef& ref : flat_.outputs) ++uses_[ref.node];
  }

  Status Spend(int64_t elements) {
    elements_left_ -= elements;
    if (elements_left_ >= 0) return OkStatus();
    return Corrupt(StrCat("constants have more than ", kMaxConstantElements, " elements together"));
  }

  Status SpendMade(size_t elements) {
    made_left_ -= static_cast<int64_t>(elements);
    if (made_left_ >= 0) return OkStatus();
    made_left_ = 0;
    return Unsupported("the graph computes with more constants than the importer allows");
  }

  std::string UniqueName(std::string_view wanted) {
    return names_.Make(std::string(wanted.substr(0, kMaxName)));
  }

  static Result<ValuePtr> Constant(HostTensor tensor) {
    // Everything that reads a constant relies on this.
    const size_t values = tensor.dtype == tf::kString ? tensor.strings.size() : tensor.is_float() ? tensor.floats.size() : tensor.ints.size();
    if (tensor.num_elements() < 0 || values != static_cast<uint64_t>(tensor.num_elements())) {
      return Corrupt(StrCat("constant has ", values, " values, expected ", tensor.num_elements()));
    }
    ValuePtr value = std::make_shared<Value>();
    value->constant = std::make_shared<const HostTensor>(std::move(tensor));
    return value;
  }

  /// A fresh activation, the output of the node just added.
  ValuePtr Activation(TensorId id, std::vector<int64_t> dims) const {
    ValuePtr value = std::make_shared<Value>();
    value->base = id;
    value->dims = std::move(dims);
    return value;
  }

  static Result<Shape> ToShape(const std::vector<int64_t>& dims) {
    if (dims.size() != 2 && dims.size() != 4) {
      return Unsupported(StrCat("an activation of rank ", dims.size(), " is used; octet has rank 4 (images) and 2 (vectors)"));
    }
    Shape shape{1};
    for (size_t i = 1; i < dims.size(); ++i) shape.push_back(dims[i]);
    return shape;
  }

  /// Dimensions with the graph's batch of 1.
  static std::vector<int64_t> PerImage(std::vector<int64_t> dims) {
    if (!dims.empty()) dims[0] = 1;
    return dims;
  }

  /// Adds a node whose shape the graph infers.
  Result<TensorId> AddNode(OpType type, std::string_view name, std::vector<TensorId> inputs, const std::function<void(Node*)>& set = {}) {
    std::string unique = UniqueName(name);
    const TensorId output = graph_.AddActivation(unique, DType::kF32, Shape());
    Node& node = graph_.AddNode(type, std::move(unique), std::move(inputs), output);
    if (set) set(&node);
    const Result<Shape> shape = InferShape(graph_, node);
    if (!shape.ok()) return Unsupported(shape.status().message());
    graph_.tensor(output).shape = *shape;
    return output;
  }

  Result<TensorId> AddReshape(std::string_view name, TensorId input, const std::vector<int64_t>& dims) {
    OCTET_ASSIGN_OR_RETURN(const Shape shape, ToShape(dims));
    std::string unique = UniqueName(name);
    const TensorId output = graph_.AddActivation(unique, DType::kF32, shape);
    graph_.AddNode(OpType::kReshape, std::move(unique), {input}, output);
    return output;
  }

  Result<TensorId> AddFloats(std::string_view name, const Shape& shape, const std::vector<float>& values) {
    OCTET_RETURN_IF_ERROR(Spend(static_cast<int64_t>(values.size())));
    return graph_.AddConstant(UniqueName(name), DType::kF32, shape, values.data(), values.size() * sizeof(float));
  }

  std::vector<int64_t> DimsOf(TensorId id) const {
    const Shape& shape = graph_.tensor(id).shape;
    std::vector<int64_t> dims;
    for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
    if (!dims.empty()) dims[0] = batch_;
    return dims;
  }

  /// The activation with everything pending done: a tensor of the graph.
  Result<TensorId> Materialize(const NodeDef& user, Value* value) {
    if (value->materialized != kNoTensor) return value->materialized;
    if (value->capped) return Unsupported("takes the minimum with 6 of something that is no ReLU; train with ReLU or ReLU6");
    const std::string_view name = value->name.empty() ? user.name : std::string_view(value->name);
    TensorId id = value->base;
    const bool input = !graph_.inputs.empty() && id == graph_.inputs[0];
    if (value->pending_affine() || value->reversed) {
      if (input && value->exclusive && MoveToPreprocessing(*value)) {
        // Done before the network.
      } else if (value->reversed) {
        return Unsupported("reverses channels in a way that cannot be moved into the preprocessing; reverse them outside of the model");
      } else if (value->exclusive && AddBias(*value, id)) {
        // Done by the convolution.
      } else {
        const Shape channels{static_cast<int64_t>(value->scale.size())};
        const std::vector<float> scale(value->scale.begin(), value->scale.end()), shift(value->shift.begin(), value->shift.end());
        OCTET_ASSIGN_OR_RETURN(const TensorId scale_id, AddFloats(StrCat(name, "/scale"), channels, scale));
        OCTET_ASSIGN_OR_RETURN(const TensorId shift_id, AddFloats(StrCat(name, "/shift"), channels, shift));
        OCTET_ASSIGN_OR_RETURN(id, AddNode(OpType::kScaleShift, name, {id, scale_id, shift_id}));
      }
    }
    if (PerImage(DimsOf(id)) != PerImage(value->dims)) {
      OCTET_ASSIGN_OR_RETURN(id, AddReshape(name, id, value->dims));
    }
    value->materialized = id;
    return id;
  }

  /// Per-channel arithmetic right behind the input, as (pixel * scale - mean) / stddev.
  bool MoveToPreprocessing(const Value& value) {
    Preprocessing& pre = graph_.metadata.preprocessing;
    const size_t channels = value.scale.size();
    if (channels > pre.mean.size()) return false;
    for (size_t c = 0; c < channels; ++c) {
      if (!(value.scale[c] > 0.0) || !std::isfinite(value.scale[c]) || !std::isfinite(value.shift[c])) return false;
    }
    const bool uniform = std::equal(value.scale.begin(), value.scale.end() - (channels > 0), value.scale.begin() + (channels > 0));
    for (size_t c = 0; c < channels; ++c) {
      const double scale = value.scale[c], shift = value.shift[c];
      pre.mean[c] = static_cast<float>(uniform ? -shift : -shift / scale) + 0.0f;
      pre.stddev[c] = uniform ? 1.0f : static_cast<float>(1.0 / scale);
    }
    if (uniform && channels > 0) pre.scale = static_cast<float>(value.scale[0]);
    if (value.reversed) pre.order = ChannelOrder::kBgr;
    return true;
  }

  /// A mere shift right behind a convolution or dense layer that has no bias yet.
  bool AddBias(const Value& value, TensorId id) {
    const auto it = without_bias_.find(id);
    if (it == without_bias_.end()) return false;
    for (const double s : value.scale) {
      if (s != 1.0) return false;
    }
    const std::vector<float> bias(value.shift.begin(), value.shift.end());
    const Result<TensorId> constant = AddFloats(StrCat(graph_.nodes[it->second].name, "/bias"), Shape{static_cast<int64_t>(bias.size())}, bias);
    if (!constant.ok()) return false;
    graph_.nodes[it->second].set_input(kInputBias, *constant);
    without_bias_.erase(it);
    return true;
  }

  /// A copy of `in` for the only node between it and its user; materialized first when others use it too.
  Result<ValuePtr> Derive(const FlatNode& node, int slot) {
    const ValuePtr& in = values_[node.inputs[slot].node];
    if (!in->is_activation()) return Unsupported(StrCat("input ", slot, " is a constant, expected what the network computes"));
    const bool only = uses_[node.inputs[slot].node] == 1;
    if (in->capped) return Unsupported("uses a minimum with 6 that is no ReLU6; train with ReLU or ReLU6");
    if (!only && (in->pending_affine() || in->reversed)) {
      OCTET_ASSIGN_OR_RETURN(const TensorId id, Materialize(*flat_.nodes[node.inputs[slot].node].def, in.get()));
      ValuePtr value = Activation(id, in->dims);
      value->exclusive = false;
      value->integer = in->integer;
      return value;
    }
    OCTET_RETURN_IF_ERROR(SpendMade(in->scale.size()));
    ValuePtr value = std::make_shared<Value>(*in);
    value->materialized = kNoTensor;
    value->exclusive = in->exclusive && only;
    value->name = std::string(node.def->name.substr(0, kMaxName));
    return value;
  }

  /// y = x * scale + shift, per channel.
  Result<ValuePtr> Affine(const FlatNode& node, int slot, const std::vector<double>& scale, const std::vector<double>& shift) {
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, Derive(node, slot));
    if (value->integer) return Unsupported("computes on integers; cast the input to float32 first");
    // The channels of the base must be those that TensorFlow sees.
    if (PerImage(DimsOf(value->base)) != PerImage(value->dims)) {
      OCTET_ASSIGN_OR_RETURN(const TensorId id, Materialize(*node.def, values_[node.inputs[slot].node].get()));
      std::vector<int64_t> dims = value->dims;
      value = Activation(id, std::move(dims));
      value->exclusive = false;
      value->name = std::string(node.def->name.substr(0, kMaxName));
    }
    OCTET_RETURN_IF_ERROR(SpendMade(scale.size()));
    if (!value->pending_affine()) {
      value->scale = scale;
      value->shift = shift;
    } else {
      for (size_t c = 0; c < scale.size(); ++c) {
        value->scale[c] *= scale[c];
        value->shift[c] = value->shift[c] * scale[c] + shift[c];
      }
    }
    return value;
  }

  // -- Inputs -----------------------------------------------------------------------------------------------------------------------

  const Value& In(const FlatNode& node, size_t slot) const { return *values_[node.inputs[slot].node]; }

  Result<TensorId> InTensor(const FlatNode& node, size_t slot) {
    if (!In(node, slot).is_activation()) {
      return Unsupported(StrCat("input ", slot, " is a constant, expected what the network computes"));
    }
    if (In(node, slot).integer) return Unsupported("computes on integers; cast the input to float32 first");
    return Materialize(*flat_.nodes[node.inputs[slot].node].def, values_[node.inputs[slot].node].get());
  }

  Result<const HostTensor*> InConstant(const FlatNode& node, size_t slot) const {
    const HostTensor* constant = In(node, slot).constant.get();
    if (constant == nullptr) return Unsupported(StrCat("input ", slot, " is computed from the network's input, expected a constant"));
    return constant;
  }

  Result<const HostTensor*> InFloats(const FlatNode& node, size_t slot) const {
    OCTET_ASSIGN_OR_RETURN(const HostTensor* constant, InConstant(node, slot));
    if (!constant->is_float()) return Corrupt(StrCat("input ", slot, " is of ", tf::TypeName(constant->dtype), ", expected float32"));
    return constant;
  }

  Result<std::vector<int64_t>> InInts(const FlatNode& node, size_t slot) const {
    OCTET_ASSIGN_OR_RETURN(const HostTensor* constant, InConstant(node, slot));
    if (constant->is_float()) return Corrupt(StrCat("input ", slot, " is of ", tf::TypeName(constant->dtype), ", expected integers"));
    return constant->ints;
  }

  /// One value per channel of an activation of shape `dims`, when the constant has that form.
  static Result<std::vector<double>> PerChannel(const HostTensor& constant, const std::vector<int64_t>& dims) {
    const int64_t channels = dims.size() < 2 ? 0 : dims.back();
    const int64_t n = constant.num_elements();
    const bool fits = constant.dims.size() <= dims.size() &&
                      (n == 1 || (n == channels && !constant.dims.empty() && constant.dims.back() == channels));
    if (!constant.is_float() || !fits || channels < 1 || channels > kMaxChannels) {
      return Unsupported("a constant is neither one value nor one value per channel");
    }
    if (n == 1) return std::vector<double>(static_cast<size_t>(channels), constant.floats[0]);
    return std::vector<double>(constant.floats.begin(), constant.floats.end());
  }

  static Status CheckFormat(const NodeDef& node) {
    const std::string_view format = node.String("data_format", "NHWC");
    if (format == "NHWC") return OkStatus();
    return Unsupported(StrCat("data_format is ", format, ", octet reads NHWC; save the model with channels_last"));
  }

  // -- Variables --------------------------------------------------------------------------------------------------------------------

  Status FindVariables() {
    OCTET_ASSIGN_OR_RETURN(restored_, tf::RestoredKeys(meta_));
    if (bundle_ == nullptr) return OkStatus();
    constexpr std::string_view kObjectGraph = "_CHECKPOINTABLE_OBJECT_GRAPH";
    if (bundle_->entries().count(kObjectGraph) == 0) return OkStatus();
    OCTET_ASSIGN_OR_RETURN(const std::string bytes, bundle_->ReadString(kObjectGraph));
    OCTET_ASSIGN_OR_RETURN(object_keys_, tf::ParseObjectGraph(bytes));
    return OkStatus();
  }

  /// The bundle's key: by what the graph restores, by the checkpoint's object graph, or the name itself as TensorFlow 1 has it.
  Result<std::string> KeyOf(const NodeDef& variable) const {
    const auto restored = restored_.find(variable.name);
    if (restored != restored_.end()) return restored->second;
    const std::string name(variable.String("shared_name", variable.name));
    const auto object = object_keys_.find(name);
    if (object != object_keys_.end()) return object->second;
    for (const std::string& key : {name, std::string(variable.name)}) {
      if (bundle_ != nullptr && bundle_->entries().count(key) > 0) return key;
    }
    return NotFound(StrCat("variable '", name, "' is not restored by the graph and not in the variables' index"));
  }

  Result<ValuePtr> ReadVariable(const NodeDef& variable) {
    if (bundle_ == nullptr) return NotFound(StrCat("variable '", variable.name, "': the folder variables/ is missing"));
    OCTET_ASSIGN_OR_RETURN(const std::string key, KeyOf(variable));
    if (const auto it = variables_.find(key); it != variables_.end()) return it->second;
    OCTET_ASSIGN_OR_RETURN(const std::string_view bytes, bundle_->Read(key));
    const BundleEntry& entry = bundle_->entries().find(key)->second;
    OCTET_RETURN_IF_ERROR(Spend(entry.num_elements));
    HostTensor tensor;
    tensor.dtype = entry.dtype;
    tensor.dims = entry.shape;
    OCTET_RETURN_IF_ERROR(tf::DecodeElements(bytes, &tensor).WithContext(StrCat("variable '", key, "'")));
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, Constant(std::move(tensor)));
    return variables_.emplace(key, std::move(value)).first->second;
  }

  // -- Operators --------------------------------------------------------------------------------------------------------------------

  /// The node's value; null when it depends on something that was already reported.
  Result<ValuePtr> Convert(const FlatNode& node) {
    const NodeDef& def = *node.def;
    for (const ValueRef& ref : node.inputs) {
      if (ref.output == 0 && values_[ref.node] == nullptr) return ValuePtr();
    }
    const auto it = Operators().find(def.op);
    if (it == Operators().end() && !tf::CanFold(def.op)) return Unsupported(AdviceFor(def.op));
    for (const ValueRef& ref : node.inputs) {
      if (ref.output != 0) {
        return Unsupported(StrCat("uses output ", ref.output, " of node '", flat_.nodes[ref.node].def->name, "'"));
      }
    }
    bool constant = !node.inputs.empty() && tf::CanFold(def.op);
    for (size_t i = 0; i < node.inputs.size(); ++i) constant &= In(node, i).constant != nullptr;
    if (constant) return Fold(node);
    if (it == Operators().end()) return Unsupported(AdviceFor(def.op));
    const Operator& op = it->second;
    if (node.inputs.size() < op.min_inputs || node.inputs.size() > op.max_inputs) {
      return Corrupt(StrCat(def.op, " has ", node.inputs.size(), " inputs, expected ", op.min_inputs, op.max_inputs > op.min_inputs ? " or more" : ""));
    }
    const bool dilating = def.op == "Conv2D" || def.op == "DepthwiseConv2dNative" || def.op == "BatchToSpaceND";
    for (size_t i = dilating ? 1 : 0; i < node.inputs.size(); ++i) {
      if (In(node, i).batched != nullptr) return Unsupported(kOnlyConvolution);
    }
    return (this->*op.convert)(node);
  }

  Result<ValuePtr> Fold(const FlatNode& node) {
    std::vector<const HostTensor*> inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) inputs.push_back(In(node, i).constant.get());
    int64_t total = 0;
    for (const HostTensor* in : inputs) total += in->num_elements();
    // What is no larger than its inputs only costs time; mixed precision casts every weight.
    OCTET_RETURN_IF_ERROR(Spend(total));
    OCTET_ASSIGN_OR_RETURN(HostTensor tensor, tf::FoldConstant(*node.def, inputs, total + made_left_));
    OCTET_RETURN_IF_ERROR(Spend(tensor.num_elements()));
    OCTET_RETURN_IF_ERROR(SpendMade(static_cast<size_t>(std::max<int64_t>(tensor.num_elements() - total, 0))));
    return Constant(std::move(tensor));
  }

  Result<ValuePtr> Const(const FlatNode& node) {
    ValuePtr& known = constants_[node.def];
    if (known != nullptr) return known;
    const auto bytes = node.def->Bytes("value", 8);
    if (!bytes) return Corrupt("has no value");
    OCTET_ASSIGN_OR_RETURN(HostTensor tensor, tf::ParseTensor(*bytes, &made_left_));
    OCTET_RETURN_IF_ERROR(Spend(1 + tensor.num_elements()));
    OCTET_ASSIGN_OR_RETURN(known, Constant(std::move(tensor)));
    return known;
  }

  Result<ValuePtr> Placeholder(const FlatNode& node) {
    const std::string_view wanted = input_->name.substr(0, input_->name.find(':'));
    if (node.def->name != wanted) {
      if (!node.inputs.empty()) return values_[node.inputs[0].node];  // PlaceholderWithDefault.
      return Unsupported(StrCat("is not an input of the signature; expected only '", input_name_, "'"));
    }
    auto dims = input_->shape;
    if (!dims) {
      if (const auto shape = node.def->Bytes("shape", 7)) dims = tf::ParseShape(*shape);
    }
    const int type = input_->dtype != 0 ? input_->dtype : node.def->Type("dtype", 0);
    if (type == tf::kString) return Unsupported("input is a string; save a signature that takes pixels");
    if (tf::TypeSize(type) == 0) return Unsupported(StrCat("input is of ", tf::TypeName(type), ", expected float32 or uint8"));
    const bool ranked = dims && (dims->size() == 4 || dims->size() == 2);
    if (!ranked || std::any_of(dims->begin() + 1, dims->end(), [](int64_t d) { return d < 1; })) {
      return Unsupported("input has no fixed size; save a signature with [None, height, width, channels]");
    }
    batch_ = (*dims)[0] < 1 ? kDynamic : (*dims)[0];
    (*dims)[0] = batch_;
    OCTET_ASSIGN_OR_RETURN(const Shape shape, ToShape(*dims));
    const TensorId id = graph_.AddActivation(UniqueName(input_name_), DType::kF32, shape);
    graph_.inputs.push_back(id);
    ValuePtr value = Activation(id, *std::move(dims));
    value->integer = type != tf::kFloat && type != tf::kHalf && type != tf::kDouble && type != tf::kBfloat16;
    return value;
  }

  Result<ValuePtr> Handle(const FlatNode& node) {
    ValuePtr value = std::make_shared<Value>();
    value->variable = node.def;
    return value;
  }

  Result<ValuePtr> ReadVariableOp(const FlatNode& node) {
    if (In(node, 0).variable == nullptr) return Corrupt("does not read a variable");
    return ReadVariable(*In(node, 0).variable);
  }

  Result<ValuePtr> VariableV2(const FlatNode& node) { return ReadVariable(*node.def); }

  Result<ValuePtr> ShapeOf(const FlatNode& node) {
    if (!In(node, 0).is_activation()) return Corrupt("has no input");
    OCTET_ASSIGN_OR_RETURN(HostTensor tensor, tf::ShapeTensor(*node.def, In(node, 0).dims));
    return Constant(std::move(tensor));
  }

  Result<ValuePtr> Cast(const FlatNode& node) {
    if (!In(node, 0).is_activation()) return Corrupt("has no input");
    const int type = node.def->Type("DstT", 0);
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, Derive(node, 0));
    const bool to_float = type == tf::kFloat || type == tf::kHalf || type == tf::kBfloat16 || type == tf::kDouble;
    // Half precision inside a mixed-precision model is computed in float32.
    if (!to_float && !value->integer) return Unsupported(StrCat("casts to ", tf::TypeName(type), ", which drops fractions"));
    value->integer = !to_float;
    return value;
  }

  /// Padding of one dimension as TensorFlow defines it: the odd pixel goes behind.
  static void SamePadding(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int* begin, int* end) {
    const int64_t out = CeilDiv(in, stride);
    const int64_t total = std::max<int64_t>((out - 1) * stride + (kernel - 1) * dilation + 1 - in, 0);
    *begin = static_cast<int>(total / 2);
    *end = static_cast<int>(total - total / 2);
  }

  static Result<int> Attribute(const std::vector<int64_t>& list, size_t i, const char* name, int64_t otherwise) {
    const int64_t v = list.empty() ? otherwise : i < list.size() ? list[i] : 0;
    if (v < 1 || v > kMaxAttribute) return Unsupported(StrCat(name, " is ", v, ", expected 1 to ", kMaxAttribute));
    return static_cast<int>(v);
  }

  /// The window of a convolution or pool over an input of shape `x`; kernel sizes are set already.
  Status FillWindow(const NodeDef& def, const Shape& x, Window* w) const {
    const std::vector<int64_t> strides = def.Ints("strides"), dilations = def.Ints("dilations");
    if (x.rank() != 4) return Unsupported(StrCat("input has rank ", x.rank(), ", expected 4"));
    if (strides.size() != 4 || strides[0] != 1 || strides[3] != 1) return Unsupported("strides over the batch or the channels");
    OCTET_ASSIGN_OR_RETURN(w->stride_h, Attribute(strides, 1, "stride", 1));
    OCTET_ASSIGN_OR_RETURN(w->stride_w, Attribute(strides, 2, "stride", 1));
    OCTET_ASSIGN_OR_RETURN(w->dilation_h, Attribute(dilations, 1, "dilation", 1));
    OCTET_ASSIGN_OR_RETURN(w->dilation_w, Attribute(dilations, 2, "dilation", 1));
    const std::string_view padding = def.String("padding", "");
    if (padding == "SAME") {
      SamePadding(x[1], w->kernel_h, w->stride_h, w->dilation_h, &w->pad_top, &w->pad_bottom);
      SamePadding(x[2], w->kernel_w, w->stride_w, w->dilation_w, &w->pad_left, &w->pad_right);
    } else if (padding == "EXPLICIT") {
      const std::vector<int64_t> pads = def.Ints("explicit_paddings");
      if (pads.size() != 8 || pads[0] != 0 || pads[1] != 0 || pads[6] != 0 || pads[7] != 0) {
        return Unsupported("explicit padding of the batch or the channels");
      }
      int* const sides[] = {&w->pad_top, &w->pad_bottom, &w->pad_left, &w->pad_right};
      for (int i = 0; i < 4; ++i) {
        if (pads[i + 2] < 0 || pads[i + 2] > kMaxAttribute) return Unsupported(StrCat("explicit padding of ", pads[i + 2]));
        *sides[i] = static_cast<int>(pads[i + 2]);
      }
    } else if (padding != "VALID") {
      return Unsupported(StrCat("padding is '", padding, "', expected SAME, VALID or EXPLICIT"));
    }
    return OkStatus();
  }

  /// Block size and amounts, inputs 1 and 2.
  Result<std::shared_ptr<Batched>> ReadBlock(const FlatNode& node) const {
    auto b = std::make_shared<Batched>();
    OCTET_ASSIGN_OR_RETURN(b->block, InInts(node, 1));
    OCTET_ASSIGN_OR_RETURN(b->pads, InInts(node, 2));
    if (b->block.size() != 2 || b->pads.size() != 4) {
      return Unsupported(StrCat("blocks of ", b->block.size(), " dimensions, expected 2: height and width"));
    }
    for (const std::vector<int64_t>* list : {&b->block, &b->pads}) {
      for (int64_t v : *list) {
        if (v < (list == &b->block ? 1 : 0) || v > kMaxAttribute) return Corrupt(StrCat("block or amount of ", v));
      }
    }
    return b;
  }

  Result<ValuePtr> SpaceToBatch(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InTensor(node, 0));
    if (graph_.tensor(x).shape.rank() != 4) return Unsupported(StrCat("input has rank ", graph_.tensor(x).shape.rank(), ", expected 4"));
    ValuePtr value = Activation(x, DimsOf(x));
    OCTET_ASSIGN_OR_RETURN(value->batched, ReadBlock(node));
    return value;
  }

  Result<ValuePtr> BatchToSpace(const FlatNode& node) {
    const Value& in = In(node, 0);
    if (in.batched == nullptr || !in.batched->convolved) return Unsupported("what it reads is not a convolution behind SpaceToBatchND");
    OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<Batched> back, ReadBlock(node));
    if (back->block != in.batched->block) return Unsupported("its block differs from that of SpaceToBatchND");
    if (std::exchange(in.batched->returned, true)) return Unsupported("the convolution has several readers");
    Node& conv = graph_.nodes[in.batched->convolution];
    int* const sides[] = {&conv.window.pad_top, &conv.window.pad_bottom, &conv.window.pad_left, &conv.window.pad_right};
    for (size_t i = 0; i < 4; ++i) {
      if (back->pads[i] > *sides[i]) return Unsupported(StrCat("removes ", back->pads[i], " pixels where ", *sides[i], " were added"));
      *sides[i] -= static_cast<int>(back->pads[i]);
    }
    OCTET_ASSIGN_OR_RETURN(graph_.tensor(conv.output).shape, InferShape(graph_, conv));
    return Activation(conv.output, DimsOf(conv.output));
  }

  /// Makes the window of a convolution in blocks that of the dilated convolution.
  static Status Dilate(const Batched& from, std::string_view padding, Window* w) {
    if (from.convolved) return Unsupported(kOnlyConvolution);
    const bool pads = padding != "VALID" && (w->kernel_h > 1 || w->kernel_w > 1);
    if (pads || w->stride_h != 1 || w->stride_w != 1 || w->dilation_h != 1 || w->dilation_w != 1) {
      return Unsupported("behind SpaceToBatchND a convolution must have padding VALID and stride and dilation 1");
    }
    w->dilation_h = static_cast<int>(from.block[0]);
    w->dilation_w = static_cast<int>(from.block[1]);
    w->pad_top = static_cast<int>(from.pads[0]);
    w->pad_bottom = static_cast<int>(from.pads[1]);
    w->pad_left = static_cast<int>(from.pads[2]);
    w->pad_right = static_cast<int>(from.pads[3]);
    return OkStatus();
  }

  Result<ValuePtr> Conv2D(const FlatNode& node) { return Convolution(node, false); }
  Result<ValuePtr> DepthwiseConv2D(const FlatNode& node) { return Convolution(node, true); }

  Result<ValuePtr> Convolution(const FlatNode& node, bool depthwise) {
    const NodeDef& def = *node.def;
    OCTET_RETURN_IF_ERROR(CheckFormat(def));
    OCTET_ASSIGN_OR_RETURN(const HostTensor* w, InFloats(node, 1));
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InTensor(node, 0));
    const Shape x_shape = graph_.tensor(x).shape;
    if (w->dims.size() != 4 || w->num_elements() < 1) return Corrupt("weights are not of rank 4");
    Window window;
    OCTET_ASSIGN_OR_RETURN(window.kernel_h, Attribute(w->dims, 0, "kernel height", 1));
    OCTET_ASSIGN_OR_RETURN(window.kernel_w, Attribute(w->dims, 1, "kernel width", 1));
    OCTET_RETURN_IF_ERROR(FillWindow(def, x_shape, &window));
    const std::shared_ptr<Batched> from = In(node, 0).batched;
    if (from != nullptr) OCTET_RETURN_IF_ERROR(Dilate(*from, def.String("padding", ""), &window));
    // TensorFlow: [height, width, in / groups, out], depthwise [height, width, in, multiplier] with out = in * multiplier.
    const int64_t taps = w->dims[0] * w->dims[1];
    const int64_t in = depthwise ? 1 : w->dims[2], out = depthwise ? w->dims[2] * w->dims[3] : w->dims[3];
    const int64_t groups = depthwise ? w->dims[2] : x_shape[3] / in;
    if (groups < 1 || groups > std::numeric_limits<int>::max() || (!depthwise && x_shape[3] % in != 0)) {
      return Corrupt(StrCat("weights take ", in, " channels, the input has ", x_shape[3]));
    }
    std::vector<float> weights(w->floats.size());
    for (int64_t t = 0; t < taps; ++t) {
      for (int64_t i = 0; i < in; ++i) {
        for (int64_t o = 0; o < out; ++o) weights[(o * taps + t) * in + i] = w->floats[(t * in + i) * out + o];
      }
    }
    const Shape shape{out, w->dims[0], w->dims[1], in};
    OCTET_ASSIGN_OR_RETURN(const TensorId weights_id, AddFloats(StrCat(def.name, "/weights"), shape, weights));
    OCTET_ASSIGN_OR_RETURN(const TensorId id, AddNode(OpType::kConv2d, def.name, {x, weights_id}, [&](Node* conv) {
                             conv->window = window;
                             conv->groups = static_cast<int>(groups);
                           }));
    without_bias_.emplace(id, graph_.nodes.size() - 1);
    ValuePtr value = Activation(id, DimsOf(id));
    if (from != nullptr) {
      value->batched = std::make_shared<Batched>(*from);
      value->batched->convolution = graph_.nodes.size() - 1;
      value->batched->convolved = true;
    }
    return value;
  }

  Result<ValuePtr> MatMul(const FlatNode& node) {
    const NodeDef& def = *node.def;
    OCTET_ASSIGN_OR_RETURN(const HostTensor* w, InFloats(node, 1));
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InTensor(node, 0));
    if (def.Bool("transpose_a", false) || def.Bool("adj_x", false)) return Unsupported("multiplies the transposed activation");
    if (w->dims.size() != 2 || w->num_elements() < 1) return Unsupported("weights are not of rank 2");
    const bool transposed = def.Bool("transpose_b", false) || def.Bool("adj_y", false);
    const int64_t in = w->dims[transposed ? 1 : 0], out = w->dims[transposed ? 0 : 1];
    std::vector<float> weights;
    if (transposed) {
      weights = w->floats;
    } else {
      weights.resize(w->floats.size());
      for (int64_t i = 0; i < in; ++i) {
        for (int64_t o = 0; o < out; ++o) weights[o * in + i] = w->floats[i * out + o];
      }
    }
    OCTET_ASSIGN_OR_RETURN(const TensorId weights_id, AddFloats(StrCat(def.name, "/weights"), Shape{out, in}, weights));
    OCTET_ASSIGN_OR_RETURN(const TensorId id, AddNode(OpType::kDense, def.name, {x, weights_id}));
    without_bias_.emplace(id, graph_.nodes.size() - 1);
    return Activation(id, DimsOf(id));
  }

  Result<ValuePtr> FusedBatchNorm(const FlatNode& node) {
    const NodeDef& def = *node.def;
    OCTET_RETURN_IF_ERROR(CheckFormat(def));
    if (def.Bool("is_training", true)) return Unsupported("normalizes by the batch's own statistics; save the model with training=False");
    if (!In(node, 0).is_activation()) return Corrupt("normalizes no activation");
    std::vector<double> p[4];  // gamma, beta, mean, variance
    for (size_t i = 0; i < 4; ++i) {
      OCTET_ASSIGN_OR_RETURN(const HostTensor* constant, InFloats(node, i + 1));
      OCTET_ASSIGN_OR_RETURN(p[i], PerChannel(*constant, In(node, 0).dims));
    }
    const double epsilon = def.Float("epsilon", 1e-4f);
    for (size_t c = 0; c < p[0].size(); ++c) {
      p[0][c] /= std::sqrt(p[3][c] + epsilon);
      p[1][c] -= p[2][c] * p[0][c];
    }
    return Affine(node, 0, p[0], p[1]);
  }

  Result<ValuePtr> BiasAdd(const FlatNode& node) {
    OCTET_RETURN_IF_ERROR(CheckFormat(*node.def));
    return Binary(node);
  }

  /// Add, Sub, Mul and RealDiv of which at least one side is an activation.
  Result<ValuePtr> Binary(const FlatNode& node) {
    const std::string_view op = node.def->op;
    const bool add = op == "Add" || op == "AddV2" || op == "BiasAdd", mul = op == "Mul", sub = op == "Sub";
    if (In(node, 0).is_activation() && In(node, 1).is_activation()) {
      if (!add && !mul) return Unsupported("has two computed operands; octet adds and multiplies them only");
      OCTET_ASSIGN_OR_RETURN(const TensorId a, InTensor(node, 0));
      OCTET_ASSIGN_OR_RETURN(const TensorId b, InTensor(node, 1));
      OCTET_ASSIGN_OR_RETURN(const TensorId id, AddNode(add ? OpType::kAdd : OpType::kMul, node.def->name, {a, b}));
      return Activation(id, DimsOf(id));
    }
    const int slot = In(node, 0).is_activation() ? 0 : 1;
    if (!In(node, slot).is_activation()) return Corrupt("expected an activation");
    OCTET_ASSIGN_OR_RETURN(const HostTensor* constant, InFloats(node, 1 - slot));
    OCTET_ASSIGN_OR_RETURN(std::vector<double> c, PerChannel(*constant, In(node, slot).dims));
    const std::vector<double> ones(c.size(), 1.0), zeros(c.size(), 0.0);
    if (add) return Affine(node, slot, ones, c);
    if (mul) return Affine(node, slot, c, zeros);
    if (sub && slot == 1) return Affine(node, slot, std::vector<double>(c.size(), -1.0), c);
    if (sub) {
      for (double& v : c) v = -v;
      return Affine(node, slot, ones, c);
    }
    if (slot == 1) return Unsupported("divides by what the network computes");
    for (double& v : c) v = 1.0 / v;
    return Affine(node, slot, c, zeros);
  }

  Result<ValuePtr> Neg(const FlatNode& node) {
    const std::vector<int64_t>& dims = In(node, 0).dims;
    const int64_t channels = dims.empty() ? 0 : dims.back();
    if (channels < 1 || channels > kMaxChannels) return Unsupported("input has no channels");
    const size_t n = static_cast<size_t>(channels);
    return Affine(node, 0, std::vector<double>(n, -1.0), std::vector<double>(n, 0.0));
  }

  /// A node with one input and nothing to say.
  Result<ValuePtr> Simple(const FlatNode& node, OpType type) {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InTensor(node, 0));
    OCTET_ASSIGN_OR_RETURN(const TensorId id, AddNode(type, node.def->name, {x}));
    return Activation(id, DimsOf(id));
  }

  Result<ValuePtr> Relu(const FlatNode& node) { return Simple(node, OpType::kRelu); }
  Result<ValuePtr> Relu6(const FlatNode& node) { return Simple(node, OpType::kRelu6); }
  Result<ValuePtr> Softmax(const FlatNode& node) { return Simple(node, OpType::kSoftmax); }

  /// Minimum and Maximum with a constant: a ReLU, or the two halves of a ReLU6 in either order.
  Result<ValuePtr> Clamp(const FlatNode& node) {
    const bool min = node.def->op == "Minimum";
    const int slot = In(node, 0).is_activation() ? 0 : 1;
    OCTET_ASSIGN_OR_RETURN(const HostTensor* bound, InFloats(node, 1 - slot));
    if (bound->num_elements() != 1 || bound->floats[0] != (min ? 6.0f : 0.0f)) {
      return Unsupported("clamps to another range than 0 to 6 or 0 and above; train with ReLU or ReLU6");
    }
    if (!min && In(node, slot).capped) {
      OCTET_ASSIGN_OR_RETURN(const TensorId id, AddNode(OpType::kRelu6, node.def->name, {In(node, slot).base}));
      return Activation(id, DimsOf(id));
    }
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InTensor(node, slot));
    if (!min) {
      OCTET_ASSIGN_OR_RETURN(const TensorId id, AddNode(OpType::kRelu, node.def->name, {x}));
      return Activation(id, DimsOf(id));
    }
    // min(relu(x), 6) is a ReLU6 of x; the ReLU goes away when nothing else needs it.
    const Node* last = graph_.nodes.empty() ? nullptr : &graph_.nodes.back();
    if (last != nullptr && last->output == x && last->type == OpType::kRelu) {
      OCTET_ASSIGN_OR_RETURN(const TensorId id, AddNode(OpType::kRelu6, node.def->name, {last->inputs[0]}));
      return Activation(id, DimsOf(id));
    }
    ValuePtr value = Activation(x, In(node, slot).dims);
    value->capped = true;
    return value;
  }

  Result<ValuePtr> Pool(const FlatNode& node) {
    const NodeDef& def = *node.def;
    OCTET_RETURN_IF_ERROR(CheckFormat(def));
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InTensor(node, 0));
    const std::vector<int64_t> kernel = def.Ints("ksize");
    if (kernel.size() != 4 || kernel[0] != 1 || kernel[3] != 1) return Unsupported("pools over the batch or the channels");
    Window window;
    OCTET_ASSIGN_OR_RETURN(window.kernel_h, Attribute(kernel, 1, "ksize", 1));
    OCTET_ASSIGN_OR_RETURN(window.kernel_w, Attribute(kernel, 2, "ksize", 1));
    OCTET_RETURN_IF_ERROR(FillWindow(def, graph_.tensor(x).shape, &window));
    const OpType type = def.op == "MaxPool" ? OpType::kMaxPool : OpType::kAveragePool;
    OCTET_ASSIGN_OR_RETURN(const TensorId id, AddNode(type, def.name, {x}, [&](Node* pool) { pool->window = window; }));
    return Activation(id, DimsOf(id));
  }

  /// Mean and Max over height and width.
  Result<ValuePtr> Reduce(const FlatNode& node) {
    const NodeDef& def = *node.def;
    OCTET_ASSIGN_OR_RETURN(std::vector<int64_t> axes, InInts(node, 1));
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InTensor(node, 0));
    const Shape shape = graph_.tensor(x).shape;
    for (int64_t& axis : axes) {
      OCTET_ASSIGN_OR_RETURN(axis, tf::NormalizeAxis(axis, shape.rank()));
    }
    std::sort(axes.begin(), axes.end());
    if (shape.rank() != 4 || axes != std::vector<int64_t>{1, 2}) return Unsupported("reduces over other dimensions than height and width");
    Window window;
    if (def.op == "Max") {
      OCTET_ASSIGN_OR_RETURN(window.kernel_h, Attribute({shape[1]}, 0, "height", 1));
      OCTET_ASSIGN_OR_RETURN(window.kernel_w, Attribute({shape[2]}, 0, "width", 1));
    }
    OCTET_ASSIGN_OR_RETURN(const TensorId id, AddNode(def.op == "Max" ? OpType::kMaxPool : OpType::kGlobalAveragePool, def.name, {x},
                                                      [&](Node* pool) { pool->window = window; }));
    std::vector<int64_t> dims = DimsOf(id);
    if (!def.Bool("keep_dims", false)) dims = {dims[0], dims[3]};
    return Activation(id, std::move(dims));
  }

  /// The activation with other dimensions, pending.
  Result<ValuePtr> WithDims(const FlatNode& node, std::vector<int64_t> dims) {
    if (dims == In(node, 0).dims) return Derive(node, 0);
    if (In(node, 0).pending_affine() || In(node, 0).reversed) {
      // Channels are about to move: do what is pending on them first.
      OCTET_ASSIGN_OR_RETURN(const TensorId id, InTensor(node, 0));
      ValuePtr value = Activation(id, std::move(dims));
      value->exclusive = false;
      value->name = std::string(node.def->name.substr(0, kMaxName));
      return value;
    }
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, Derive(node, 0));
    value->dims = std::move(dims);
    return value;
  }

  Result<ValuePtr> Reshape(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(std::vector<int64_t> target, InInts(node, 1));
    if (!In(node, 0).is_activation()) return Unsupported("reshapes a constant to a computed shape");
    const std::vector<int64_t>& dims = In(node, 0).dims;
    const bool keeps_batch = !target.empty() && (target[0] == batch_ || target[0] == -1);
    if (!keeps_batch) return Unsupported("reshapes the batch; keep the first dimension as it is");
    const int64_t elements = tf::Product(PerImage(dims));
    // A -1 in front stands for the batch when the rest holds one image.
    Result<std::vector<int64_t>> resolved = tf::ResolveReshape(PerImage(std::move(target)), elements);
    if (!resolved.ok()) return Unsupported(resolved.status().message());
    (*resolved)[0] = batch_;
    return WithDims(node, std::move(*resolved));
  }

  Result<ValuePtr> Squeeze(const FlatNode& node) {
    std::vector<int64_t> dims = In(node, 0).dims;
    if (dims.empty()) return Corrupt("has no input");
    const bool batch_of_one = dims[0] == 1 && node.def->Ints("squeeze_dims").empty();
    OCTET_ASSIGN_OR_RETURN(std::vector<int64_t> squeezed, tf::SqueezedDims(*node.def, dims));
    if (batch_of_one || squeezed.empty() || squeezed[0] != dims[0]) return Unsupported("squeezes the batch; name the dimensions to squeeze");
    return WithDims(node, std::move(squeezed));
  }

  Result<ValuePtr> ExpandDims(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, InInts(node, 1));
    std::vector<int64_t> dims = In(node, 0).dims;
    if (axes.size() != 1) return Corrupt("expected one axis");
    OCTET_ASSIGN_OR_RETURN(const int64_t axis, tf::NormalizeAxis(axes[0], static_cast<int64_t>(dims.size()) + 1));
    if (axis == 0) return Unsupported("puts a dimension in front of the batch");
    dims.insert(dims.begin() + axis, 1);
    return WithDims(node, std::move(dims));
  }

  Result<ValuePtr> Transpose(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> perm, InInts(node, 1));
    const std::vector<int64_t>& dims = In(node, 0).dims;
    if (perm.size() != dims.size() || perm.empty() || perm[0] != 0) return Unsupported("moves the batch");
    // Dimensions of size 1 can go anywhere without moving data.
    std::vector<int64_t> moved, kept;
    std::vector<bool> seen(dims.size(), false);
    for (const int64_t p : perm) {
      OCTET_ASSIGN_OR_RETURN(const int64_t axis, tf::NormalizeAxis(p, static_cast<int64_t>(dims.size())));
      if (seen[axis]) return Corrupt("permutation with a repeated dimension");
      seen[axis] = true;
      moved.push_back(dims[axis]);
      if (dims[axis] != 1 || axis == 0) kept.push_back(axis);
    }
    if (!std::is_sorted(kept.begin(), kept.end())) {
      return Unsupported("moves data between dimensions; octet reads NHWC: save the model with channels_last");
    }
    return WithDims(node, std::move(moved));
  }

  Result<ValuePtr> Pad(const FlatNode& node) {
    const NodeDef& def = *node.def;
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> pads, InInts(node, 1));
    float fill = 0.0f;
    if (def.op == "PadV2") {
      OCTET_ASSIGN_OR_RETURN(const HostTensor* constant, InFloats(node, 2));
      if (constant->num_elements() != 1) return Corrupt("pad value is not one number");
      fill = constant->floats[0];
    }
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InTensor(node, 0));
    const int rank = graph_.tensor(x).shape.rank();
    if (pads.size() != static_cast<size_t>(rank) * 2) return Corrupt(StrCat("has ", pads.size(), " paddings, expected ", rank * 2));
    for (const int64_t p : pads) {
      if (p < 0 || p > std::numeric_limits<int32_t>::max()) return Unsupported(StrCat("pads by ", p));
    }
    OCTET_ASSIGN_OR_RETURN(const TensorId id, AddNode(OpType::kPad, def.name, {x}, [&](Node* pad) {
                             pad->pad_value = fill;
                             for (int i = 0; i < rank; ++i) {
                               pad->begin[i] = static_cast<int32_t>(pads[2 * i]);
                               pad->end[i] = static_cast<int32_t>(pads[2 * i + 1]);
                             }
                           }));
    return Activation(id, DimsOf(id));
  }

  /// Takes begin, begin + step, ... of every dimension but the batch.
  Result<TensorId> AddSlice(const FlatNode& node, const std::vector<tf::SliceDim>& dims) {
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InTensor(node, 0));
    const Shape shape = graph_.tensor(x).shape;
    if (dims.size() != static_cast<size_t>(shape.rank())) return Corrupt("rank does not fit");
    for (size_t i = 1; i < dims.size(); ++i) {
      if (dims[i].count < 1 || dims[i].step < 1) return Unsupported("takes nothing, or goes backwards");
    }
    return AddNode(OpType::kSlice, node.def->name, {x}, [&](Node* slice) {
      slice->begin[0] = 0;
      slice->end[0] = 1;
      for (size_t i = 1; i < dims.size(); ++i) {
        slice->begin[i] = static_cast<int32_t>(dims[i].begin);
        slice->end[i] = static_cast<int32_t>(dims[i].begin + (dims[i].count - 1) * dims[i].step + 1);
        slice->step[i] = static_cast<int32_t>(dims[i].step);
      }
    });
  }

  Result<ValuePtr> StridedSlice(const FlatNode& node) {
    if (!In(node, 0).is_activation()) return Corrupt("slices no activation");
    std::vector<int64_t> bounds[3];
    for (size_t i = 0; i < 3; ++i) {
      OCTET_ASSIGN_OR_RETURN(bounds[i], InInts(node, i + 1));
    }
    const std::vector<int64_t>& dims = In(node, 0).dims;
    OCTET_ASSIGN_OR_RETURN(const tf::SlicePlan plan, tf::PlanStridedSlice(*node.def, dims, bounds[0], bounds[1], bounds[2]));
    if (plan.dims.empty() || plan.output_dims.empty() || plan.dims[0].drop || plan.dims[0].begin != 0 || plan.dims[0].step != 1 ||
        plan.dims[0].count != dims[0] || plan.output_dims[0] != dims[0]) {
      return Unsupported("slices the batch");
    }
    bool whole = true, reverse = true;  // All of every dimension, the last one backwards.
    for (size_t i = 1; i < dims.size(); ++i) {
      const tf::SliceDim& d = plan.dims[i];
      const bool last = i + 1 == dims.size();
      whole &= d.begin == 0 && d.step == 1 && d.count == dims[i];
      reverse &= d.count == dims[i] && (last ? d.step == -1 : d.step == 1);
    }
    if (reverse && dims.size() == 4) return ReverseChannels(node);
    if (whole) return WithDims(node, plan.output_dims);
    OCTET_ASSIGN_OR_RETURN(const TensorId id, AddSlice(node, plan.dims));
    return Activation(id, plan.output_dims);
  }

  Result<ValuePtr> ReverseV2(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, InInts(node, 1));
    if (axes.size() != 1 || In(node, 0).dims.size() != 4 || (axes[0] != 3 && axes[0] != -1)) {
      return Unsupported("reverses another dimension than the channels");
    }
    return ReverseChannels(node);
  }

  Result<ValuePtr> ReverseChannels(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, Derive(node, 0));
    if (graph_.inputs.empty() || value->base != graph_.inputs[0] || !value->exclusive || value->dims != DimsOf(value->base)) {
      return Unsupported("reverses channels inside the network; octet does so only at its input");
    }
    value->reversed = !value->reversed;
    std::reverse(value->scale.begin(), value->scale.end());
    std::reverse(value->shift.begin(), value->shift.end());
    return value;
  }

  Result<ValuePtr> Slice(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> begin, InInts(node, 1));
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> size, InInts(node, 2));
    const std::vector<int64_t>& dims = In(node, 0).dims;
    if (begin.size() != dims.size() || size.size() != dims.size() || dims.empty()) return Corrupt("rank does not fit");
    if (begin[0] != 0 || (size[0] != -1 && size[0] != dims[0])) return Unsupported("slices the batch");
    std::vector<tf::SliceDim> plan(dims.size());
    std::vector<int64_t> output = dims;
    for (size_t i = 1; i < dims.size(); ++i) {
      if (begin[i] < 0 || begin[i] > dims[i] || size[i] < -1 || size[i] > dims[i] - begin[i]) return Corrupt("slice outside of its input");
      output[i] = size[i] == -1 ? dims[i] - begin[i] : size[i];
      plan[i] = {begin[i], 1, output[i], false};
    }
    if (output == dims) return Derive(node, 0);
    OCTET_ASSIGN_OR_RETURN(const TensorId id, AddSlice(node, plan));
    return Activation(id, std::move(output));
  }

  Result<ValuePtr> Concat(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axis, InInts(node, node.inputs.size() - 1));
    std::vector<TensorId> inputs;
    for (size_t i = 0; i + 1 < node.inputs.size(); ++i) {
      OCTET_ASSIGN_OR_RETURN(const TensorId id, InTensor(node, i));
      inputs.push_back(id);
    }
    if (axis.size() != 1) return Corrupt("expected one axis");
    OCTET_ASSIGN_OR_RETURN(const int64_t normalized, tf::NormalizeAxis(axis[0], graph_.tensor(inputs[0]).shape.rank()));
    if (inputs.size() == 1) return Derive(node, 0);
    OCTET_ASSIGN_OR_RETURN(const TensorId id, AddNode(OpType::kConcat, node.def->name, std::move(inputs),
                                                      [&](Node* concat) { concat->axis = static_cast<int>(normalized); }));
    return Activation(id, DimsOf(id));
  }

  struct Operator {
    Result<ValuePtr> (Converter::*convert)(const FlatNode&);
    size_t min_inputs, max_inputs;
  };
  static constexpr size_t kAnyNumber = std::numeric_limits<size_t>::max();
  static const std::unordered_map<std::string_view, Operator>& Operators() {
    static const auto* const kOperators = new std::unordered_map<std::string_view, Operator>{
        {"Const", {&Converter::Const, 0, 0}},
        {"Placeholder", {&Converter::Placeholder, 0, 0}},
        {"PlaceholderWithDefault", {&Converter::Placeholder, 0, 1}},
        {"VarHandleOp", {&Converter::Handle, 0, 0}},
        {"ReadVariableOp", {&Converter::ReadVariableOp, 1, 1}},
        {"VariableV2", {&Converter::VariableV2, 0, 0}},
        {"Variable", {&Converter::VariableV2, 0, 0}},
        {"Shape", {&Converter::ShapeOf, 1, 1}},
        {"Cast", {&Converter::Cast, 1, 1}},
        {"Conv2D", {&Converter::Conv2D, 2, 2}},
        {"DepthwiseConv2dNative", {&Converter::DepthwiseConv2D, 2, 2}},
        {"SpaceToBatchND", {&Converter::SpaceToBatch, 3, 3}},
        {"BatchToSpaceND", {&Converter::BatchToSpace, 3, 3}},
        {"MatMul", {&Converter::MatMul, 2, 2}},
        {"BatchMatMulV2", {&Converter::MatMul, 2, 2}},
        {"FusedBatchNorm", {&Converter::FusedBatchNorm, 5, 5}},
        {"FusedBatchNormV2", {&Converter::FusedBatchNorm, 5, 5}},
        {"FusedBatchNormV3", {&Converter::FusedBatchNorm, 5, 5}},
        {"BiasAdd", {&Converter::BiasAdd, 2, 2}},
        {"Add", {&Converter::Binary, 2, 2}},
        {"AddV2", {&Converter::Binary, 2, 2}},
        {"Sub", {&Converter::Binary, 2, 2}},
        {"Mul", {&Converter::Binary, 2, 2}},
        {"RealDiv", {&Converter::Binary, 2, 2}},
        {"Div", {&Converter::Binary, 2, 2}},
        {"Neg", {&Converter::Neg, 1, 1}},
        {"Relu", {&Converter::Relu, 1, 1}},
        {"Relu6", {&Converter::Relu6, 1, 1}},
        {"Minimum", {&Converter::Clamp, 2, 2}},
        {"Maximum", {&Converter::Clamp, 2, 2}},
        {"Softmax", {&Converter::Softmax, 1, 1}},
        {"MaxPool", {&Converter::Pool, 1, 1}},
        {"AvgPool", {&Converter::Pool, 1, 1}},
        {"Mean", {&Converter::Reduce, 2, 2}},
        {"Max", {&Converter::Reduce, 2, 2}},
        {"Reshape", {&Converter::Reshape, 2, 2}},
        {"Squeeze", {&Converter::Squeeze, 1, 1}},
        {"ExpandDims", {&Converter::ExpandDims, 2, 2}},
        {"Transpose", {&Converter::Transpose, 2, 2}},
        {"Pad", {&Converter::Pad, 2, 2}},
        {"PadV2", {&Converter::Pad, 3, 3}},
        {"StridedSlice", {&Converter::StridedSlice, 4, 4}},
        {"ReverseV2", {&Converter::ReverseV2, 2, 2}},
        {"Slice", {&Converter::Slice, 3, 3}},
        {"ConcatV2", {&Converter::Concat, 2, kAnyNumber}},
    };
    return *kOperators;
  }

  const tf::MetaGraph& meta_;
  const tf::FlatGraph& flat_;
  const TensorBundle* bundle_;
  std::string input_name_;
  const tf::TensorInfo* input_ = nullptr;
  int64_t batch_ = kDynamic;
  int64_t elements_left_ = kMaxConstantElements, made_left_ = kMaxMadeElements;
  std::map<std::string, std::string, std::less<>> restored_;
  std::map<std::string, std::string> object_keys_;
  std::map<std::string, ValuePtr> variables_;  ///< By key.
  std::unordered_map<const NodeDef*, ValuePtr> constants_;
  std::vector<int> uses_;
  std::vector<ValuePtr> values_;
  std::unordered_map<TensorId, size_t> without_bias_;  ///< Outputs of convolutions and dense layers, to their nodes.
  UniqueNames names_{"_", 1};
  std::vector<std::string> problems_;  ///< The first of them.
  size_t problem_count_ = 0;
  Graph graph_;
};

Result<const tf::MetaGraph*> ChooseMetaGraph(const std::vector<tf::MetaGraph>& metas) {
  if (metas.empty()) return Corrupt("has no meta graph");
  for (const tf::MetaGraph& meta : metas) {
    if (std::find(meta.tags.begin(), meta.tags.end(), "serve") != meta.tags.end()) return &meta;
  }
  if (metas.size() == 1) return &metas[0];
  return Unsupported(StrCat("has ", metas.size(), " meta graphs, none of them tagged 'serve'"));
}

Result<const tf::SignatureDef*> ChooseSignature(const tf::MetaGraph& meta) {
  const auto it = meta.signatures.find("serving_default");
  if (it != meta.signatures.end()) return &it->second;
  const tf::SignatureDef* only = nullptr;
  std::string names;
  int count = 0;
  for (const auto& [name, signature] : meta.signatures) {
    if (name == "__saved_model_init_op" || signature.outputs.empty()) continue;
    only = &signature;
    names += (count++ > 0 ? ", " : "") + name;
  }
  if (count == 1) return only;
  if (count == 0) {
    return Unsupported("has no signature; save it with model.export(folder), or tf.saved_model.save(model, folder, signatures=...)");
  }
  return Unsupported(StrCat("has no signature 'serving_default' but several others (", names, "); save it with one"));
}

Result<Graph> Import(std::string_view saved_model, const TensorBundle* bundle) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<tf::MetaGraph> metas, tf::ParseSavedModel(saved_model));
  OCTET_ASSIGN_OR_RETURN(const tf::MetaGraph* meta, ChooseMetaGraph(metas));
  OCTET_ASSIGN_OR_RETURN(const tf::SignatureDef* signature, ChooseSignature(*meta));
  if (signature->inputs.size() != 1 || signature->outputs.empty()) {
    return Unsupported(StrCat("signature has ", signature->inputs.size(), " inputs and ", signature->outputs.size(),
                              " outputs, expected one input and at least one output"));
  }
  std::vector<std::string_view> outputs;
  for (const auto& [name, info] : signature->outputs) outputs.push_back(info.name);
  OCTET_ASSIGN_OR_RETURN(const tf::FlatGraph flat, tf::Inline(*meta, outputs));
  OCTET_ASSIGN_OR_RETURN(Graph graph, Converter(*meta, flat, bundle).Run(*signature));
  graph.metadata.source = StrCat("savedmodel tensorflow ", meta->tensorflow_version.empty() ? "?" : meta->tensorflow_version);
  OCTET_RETURN_IF_ERROR(CheckGraph(graph));
  return graph;
}

}  // namespace

Result<Graph> ImportSavedModelBytes(std::string_view saved_model, const TensorBundle* bundle) {
  try {
    return Import(saved_model, bundle);
  } catch (const protozero::exception& e) {
    return Corrupt(StrCat("malformed attribute: ", e.what()));
  }
}

Result<Graph> ImportSavedModel(const std::string& path) {
  const std::filesystem::path folder(path);
  OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile((folder / "saved_model.pb").string()));
  std::optional<TensorBundle> bundle;
  Result<TensorBundle> opened = TensorBundle::Open((folder / "variables" / "variables").string());
  if (opened.ok()) {
    bundle = std::move(opened).value();
  } else if (opened.status().code() != StatusCode::kNotFound || std::filesystem::exists(folder / "variables" / "variables.index")) {
    return opened.status();
  }
  Result<Graph> graph = ImportSavedModelBytes(file.text(), bundle ? &*bundle : nullptr);
  if (!graph.ok()) return Status(graph.status()).WithContext(path);
  return graph;
}

}  // namespace octet
