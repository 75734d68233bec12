// TensorFlow SavedModels: the graph of a signature, its functions inlined, its variables read.
#include "converter/import/tensorflow/saved_model.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <protozero/exception.hpp>
#include <set>
#include <unordered_map>
#include <utility>

#include "converter/import/builder/graph_builder.h"
#include "converter/import/builder/unary.h"
#include "converter/import/builder/understood.h"
#include "converter/import/file_bytes.h"
#include "converter/import/importer.h"
#include "converter/import/tensorflow/fold.h"
#include "converter/import/tensorflow/inline.h"
#include "converter/import/tensorflow/proto.h"
#include "converter/import/tensorflow/tensor_bundle.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/analysis.h"

namespace octet {
namespace {

using tf::FlatNode;
using tf::NodeDef;
using tf::ValueRef;

/// Bytes of all constants together, decoded or computed: bounds what a crafted file can make us
/// allocate.
constexpr int64_t kMaxConstantBytes = int64_t{1} << 32;
/// Elements of what does not lie in the file: filled and broadcast constants, arithmetic per
/// channel.
constexpr int64_t kMaxMadeElements = int64_t{1} << 24;
constexpr int64_t kAnyBatch = 0;
constexpr size_t kMaxName = 512;  // Inlining can repeat a name any number of times.

constexpr char kOnlyConvolution[] =
    "between SpaceToBatchND and BatchToSpaceND only one convolution is supported, which they make "
    "a dilated one";

/// What lies between SpaceToBatchND and BatchToSpaceND: TensorFlow's way of a dilated convolution.
struct Batched {
  std::vector<int64_t> block, pads;
  size_t convolution = 0;  ///< Its node, once there is one.
  bool convolved = false, returned = false;
};

/// What a node computes: a constant, a variable's handle, or an activation. Arithmetic per channel
/// is kept pending until something else uses the value, so that chains of it become one node or a
/// bias.
struct Value {
  std::shared_ptr<const Constant> constant;
  const NodeDef* variable = nullptr;  ///< A handle.

  /// As TensorFlow sees it, but for the first dimension: how many rows of it one image has, 1
  /// unless the batch was merged with others.
  View view;
  std::vector<double> scale, shift;  ///< Per channel of the tensor; empty when there are none.
  bool integer = false;              ///< Pixels that were not cast yet.
  /// Nothing else uses the tensor or what lies between it and this value.
  bool exclusive = true;
  std::string name;
  std::optional<View> materialized;
  std::shared_ptr<Batched> batched;  ///< The tensor is then the image as a whole.

  bool is_activation() const { return view.id != kNoTensor; }
};
using ValuePtr = std::shared_ptr<Value>;

std::string AdviceFor(std::string_view op) {
  static constexpr std::pair<std::string_view, const char*> kAdvice[] = {
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
      {"FakeQuantWithMinMaxVars", "export quantization-aware models as int8 TFLite or QDQ ONNX"},
      {"FakeQuantWithMinMaxVarsPerChannel",
       "export quantization-aware models as int8 TFLite or QDQ ONNX"},
      {"HashTableV2", "save a signature that gives scores instead of names"},
      {"LookupTableFindV2", "save a signature that gives scores instead of names"},
      {"ArgMax", "save a signature that gives scores instead of class numbers"},
      {"TopKV2", "save a signature that gives scores instead of class numbers"},
  };
  for (const auto& [name, advice] : kAdvice) {
    if (op == name) return advice;
  }
  const std::string function = UnaryAdvice(op);
  return !function.empty() ? function
                           : "octet has no such operator; replace it or end the network before it";
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
      Result<std::vector<ValuePtr>> values = Convert(node);
      if (values.ok()) {
        values_[i] = *std::move(values);
      } else if (values.status().code() == StatusCode::kUnsupported) {
        Problem(node, values.status());
      } else {
        return Status(values.status()).WithContext(StrCat("node '", node.def->name, "'"));
      }
    }
    Graph& g = b_.graph();
    size_t i = 0;
    for (const auto& [name, info] : signature.outputs) {
      const ValueRef ref = flat_.outputs[i++];
      const ValuePtr value = At(ref);
      if (value == nullptr) {
        if (problems_.empty())
          return Unsupported(StrCat("output '", name, "' is a secondary output of its node"));
        continue;
      }
      if (!value->is_activation())
        return Unsupported(StrCat("output '", name, "' does not depend on the input"));
      if (value->batched != nullptr)
        return Unsupported(StrCat("output '", name, "': ", kOnlyConvolution));
      Result<TensorId> id = Output(flat_.nodes[static_cast<size_t>(ref.node)], value.get());
      if (!id.ok()) {
        Problem(flat_.nodes[static_cast<size_t>(ref.node)], id.status());
        continue;
      }
      OCTET_RETURN_IF_ERROR(
          b_.AddOutput(*id, std::string(name)).WithContext(StrCat("output '", name, "'")));
    }
    OCTET_RETURN_IF_ERROR(problems_.ToStatus());
    if (g.inputs.empty())
      return Unsupported(StrCat("no output depends on input '", input_name_, "'"));
    return std::move(g);
  }

  struct Operator {
    std::string_view op;
    Result<ValuePtr> (Converter::*convert)(const FlatNode&);  ///< Null for what only folds.
    size_t min_inputs, max_inputs;
    Understood attributes;
    const char* limits = "";
  };
  static std::span<const Operator> Operators();

 private:
  static std::vector<Operator> WithUnary(std::vector<Operator> rows);

  // -- Bookkeeping --------------------------------------------------------------------------------

  void Problem(const FlatNode& node, const Status& status) {
    problems_.Add(std::string(node.def->op.substr(0, kMaxName)), Name(node), status.message());
  }

  static std::string Name(const FlatNode& node) {
    return std::string(node.def->name.substr(0, kMaxName));
  }

  void CountUses() {
    uses_.assign(flat_.nodes.size(), 0);
    for (const FlatNode& node : flat_.nodes) {
      // The shape of a value is not a use of it.
      if (node.def->op == "Shape") continue;
      for (const ValueRef& ref : node.inputs) ++uses_[static_cast<size_t>(ref.node)];
    }
    for (const ValueRef& ref : flat_.outputs) ++uses_[static_cast<size_t>(ref.node)];
  }

  Status SpendMade(size_t elements) {
    made_left_ -= static_cast<int64_t>(elements);
    if (made_left_ >= 0) return OkStatus();
    made_left_ = 0;
    return Unsupported("the graph computes with more constants than the importer allows");
  }

  ValuePtr At(const ValueRef& ref) const {
    const std::vector<ValuePtr>& values = values_[static_cast<size_t>(ref.node)];
    return static_cast<size_t>(ref.output) < values.size() ? values[static_cast<size_t>(ref.output)]
                                                           : nullptr;
  }

  static Result<ValuePtr> Known(Constant tensor) {
    // Everything that reads a constant relies on this.
    if (tensor.size() != NumElements(tensor.dims))
      return Corrupt(
          StrCat("constant has ", tensor.size(), " values, expected ", NumElements(tensor.dims)));
    ValuePtr value = std::make_shared<Value>();
    value->constant = std::make_shared<const Constant>(std::move(tensor));
    return value;
  }

  /// A fresh activation, the output of the node just added; or another one of a tensor that is
  /// known, which then nothing may be folded into.
  ValuePtr Activation(View view) {
    without_bias_.erase(view.id);
    ValuePtr value = std::make_shared<Value>();
    value->view = std::move(view);
    return value;
  }
  Result<ValuePtr> Activation(Result<TensorId> id) {
    if (!id.ok()) return id.status();
    return Activation(b_.Plain(*id));
  }
  /// Element by element: another tensor, the same view.
  Result<ValuePtr> Activation(const View& like, Result<TensorId> id) {
    if (!id.ok()) return id.status();
    return Activation(View{*id, like.dims, like.perm});
  }

  /// Dimensions as TensorFlow sees them.
  std::vector<int64_t> DimsOf(const Value& value) const {
    std::vector<int64_t> dims = value.view.dims;
    if (!dims.empty()) dims[0] = batch_ == kAnyBatch ? Batches(dims[0]) : batch_ * dims[0];
    return dims;
  }

  /// The activation with everything pending done.
  Result<View> Materialize(const FlatNode& user, Value* value) {
    if (value->materialized) return *value->materialized;
    View view = value->view;
    if (!value->scale.empty() && !(value->exclusive && AddBias(*value))) {
      const std::vector<float> scale(value->scale.begin(), value->scale.end());
      const std::vector<float> shift(value->shift.begin(), value->shift.end());
      OCTET_ASSIGN_OR_RETURN(view.id, b_.ScaleShift(value->name.empty() ? Name(user) : value->name,
                                                    view.id, scale, shift));
    }
    value->materialized = view;
    return view;
  }

  /// One of the graph's outputs: a tensor of the value's own dimensions.
  Result<TensorId> Output(const FlatNode& node, Value* value) {
    OCTET_ASSIGN_OR_RETURN(const View view, Materialize(node, value));
    if (view.dims.empty() || view.dims[0] != 1 || view.dims.size() > 4 || view.dims.size() == 3)
      return Unsupported(StrCat("its shape is ", DimsText(DimsOf(*value)),
                                ", expected [n,features] or [n,height,width,channels]"));
    OCTET_ASSIGN_OR_RETURN(const View plain, b_.AsPlain(Name(node), view));
    return plain.id;
  }

  /// A mere shift right behind a convolution or dense layer that has no bias yet.
  bool AddBias(const Value& value) {
    const auto it = without_bias_.find(value.view.id);
    if (it == without_bias_.end()) return false;
    if (std::any_of(value.scale.begin(), value.scale.end(), [](double s) { return s != 1.0; }))
      return false;
    Node& node = b_.graph().nodes[it->second];
    const std::vector<float> bias(value.shift.begin(), value.shift.end());
    const Result<TensorId> constant =
        b_.AddFloats(node.name + ".bias", Shape{static_cast<int64_t>(bias.size())}, bias);
    if (!constant.ok()) return false;
    node.set_input(kInputBias, *constant);
    without_bias_.erase(it);
    return true;
  }

  /// A copy of `in` for the only node between it and its user; materialized first when others use
  /// it too.
  Result<ValuePtr> Derive(const FlatNode& node, size_t slot) {
    const ValueRef ref = node.inputs[slot];
    const ValuePtr in = At(ref);
    if (!in->is_activation())
      return Unsupported(
          StrCat("input ", slot, " is a constant, expected what the network computes"));
    const bool only = uses_[static_cast<size_t>(ref.node)] == 1;
    if (in->materialized || (!only && !in->scale.empty())) {
      OCTET_ASSIGN_OR_RETURN(View view,
                             Materialize(flat_.nodes[static_cast<size_t>(ref.node)], in.get()));
      ValuePtr value = Activation(std::move(view));
      value->exclusive = false;
      value->integer = in->integer;
      return value;
    }
    OCTET_RETURN_IF_ERROR(SpendMade(in->scale.size()));
    ValuePtr value = std::make_shared<Value>(*in);
    value->materialized.reset();
    value->exclusive = in->exclusive && only;
    value->name = Name(node);
    return value;
  }

  /// y = x * scale + shift, for each channel of the value's tensor.
  Result<ValuePtr> Affine(const FlatNode& node, ValuePtr value, const std::vector<double>& scale,
                          const std::vector<double>& shift) {
    if (value->integer) return Unsupported("computes on integers; cast the input to float32 first");
    OCTET_RETURN_IF_ERROR(SpendMade(scale.size()));
    value->name = Name(node);
    if (value->scale.empty()) {
      value->scale = scale;
      value->shift = shift;
      return value;
    }
    for (size_t c = 0; c < scale.size(); ++c) {
      value->scale[c] *= scale[c];
      value->shift[c] = value->shift[c] * scale[c] + shift[c];
    }
    return value;
  }

  // -- Inputs -------------------------------------------------------------------------------------

  const Value& In(const FlatNode& node, size_t slot) const { return *At(node.inputs[slot]); }

  Result<View> InView(const FlatNode& node, size_t slot) {
    const ValueRef ref = node.inputs[slot];
    if (!In(node, slot).is_activation())
      return Unsupported(
          StrCat("input ", slot, " is a constant, expected what the network computes"));
    if (In(node, slot).integer)
      return Unsupported("computes on integers; cast the input to float32 first");
    return Materialize(flat_.nodes[static_cast<size_t>(ref.node)], At(ref).get());
  }

  Result<TensorId> InImage(const FlatNode& node, size_t slot, bool channels_last) {
    OCTET_ASSIGN_OR_RETURN(const View view, InView(node, slot));
    return b_.AsImage(Name(node), view, channels_last);
  }
  Result<ValuePtr> FromImage(Result<TensorId> id, bool channels_last) {
    if (!id.ok()) return id.status();
    return Activation(channels_last ? b_.Plain(*id) : b_.ChannelsFirst(*id));
  }

  Result<const Constant*> InConstant(const FlatNode& node, size_t slot) const {
    const Constant* constant = In(node, slot).constant.get();
    if (constant == nullptr)
      return Unsupported(
          StrCat("input ", slot, " is computed from the network's input, expected a constant"));
    return constant;
  }

  Result<const Constant*> InFloats(const FlatNode& node, size_t slot) const {
    OCTET_ASSIGN_OR_RETURN(const Constant* constant, InConstant(node, slot));
    if (!constant->is_float())
      return Corrupt(
          StrCat("input ", slot, " is of ", TypeName(constant->type), ", expected float32"));
    return constant;
  }

  Result<float> InNumber(const FlatNode& node, size_t slot) const {
    OCTET_ASSIGN_OR_RETURN(const Constant* constant, InFloats(node, slot));
    if (constant->floats.size() != 1)
      return Unsupported(
          StrCat("input ", slot, " has ", constant->floats.size(), " values, expected one"));
    return constant->floats[0];
  }

  /// `dynamic`: some may stand for multiples of the batch size.
  Result<std::vector<int64_t>> InInts(const FlatNode& node, size_t slot,
                                      bool dynamic = false) const {
    OCTET_ASSIGN_OR_RETURN(const Constant* constant, InConstant(node, slot));
    if (constant->is_float())
      return Corrupt(
          StrCat("input ", slot, " is of ", TypeName(constant->type), ", expected integers"));
    if (!dynamic && std::any_of(constant->ints.begin(), constant->ints.end(), IsDynamic))
      return Unsupported(
          StrCat("input ", slot, " depends on the batch size or is too large, expected numbers"));
    return constant->ints;
  }

  /// One axis of an activation, which must not be the batch.
  Result<size_t> InAxis(const FlatNode& node, size_t slot, size_t rank) const {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axis, InInts(node, slot));
    if (axis.size() != 1) return Corrupt("expected one axis");
    OCTET_ASSIGN_OR_RETURN(const size_t normalized, NormalizeAxis(axis[0], rank));
    if (normalized == 0) return Unsupported("works along the batch");
    return normalized;
  }

  static bool ChannelsLast(const NodeDef& node) {
    return node.String("data_format", "NHWC") != "NCHW";
  }

  // -- Variables ----------------------------------------------------------------------------------

  Status FindVariables() {
    OCTET_ASSIGN_OR_RETURN(restored_, tf::RestoredKeys(meta_));
    if (bundle_ == nullptr) return OkStatus();
    constexpr std::string_view kObjectGraph = "_CHECKPOINTABLE_OBJECT_GRAPH";
    if (bundle_->entries().count(kObjectGraph) == 0) return OkStatus();
    OCTET_ASSIGN_OR_RETURN(const std::string bytes, bundle_->ReadString(kObjectGraph));
    OCTET_ASSIGN_OR_RETURN(object_keys_, tf::ParseObjectGraph(bytes));
    return OkStatus();
  }

  /// The bundle's key: by what the graph restores, by the checkpoint's object graph, or the name
  /// itself as TensorFlow 1 has it.
  Result<std::string> KeyOf(const NodeDef& variable) const {
    const auto restored = restored_.find(variable.name);
    if (restored != restored_.end()) return restored->second;
    const std::string name(variable.String("shared_name", variable.name));
    const auto object = object_keys_.find(name);
    if (object != object_keys_.end()) return object->second;
    for (const std::string& key : {name, std::string(variable.name)}) {
      if (bundle_ != nullptr && bundle_->entries().count(key) > 0) return key;
    }
    return NotFound(StrCat("variable '", name,
                           "' is not restored by the graph and not in the variables' index"));
  }

  Result<ValuePtr> ReadVariable(const NodeDef& variable) {
    if (flat_.assigned.count(variable.name) > 0)
      return Unsupported(StrCat("variable '", variable.name,
                                "' is assigned by the network itself, whose order of reading and "
                                "writing octet does not keep; export the model for inference"));
    if (bundle_ == nullptr)
      return NotFound(StrCat("variable '", variable.name, "': the folder variables/ is missing"));
    OCTET_ASSIGN_OR_RETURN(const std::string key, KeyOf(variable));
    if (const auto it = variables_.find(key); it != variables_.end()) return it->second;
    OCTET_ASSIGN_OR_RETURN(const std::string_view bytes, bundle_->Read(key));
    const BundleEntry& entry = bundle_->entries().find(key)->second;
    OCTET_RETURN_IF_ERROR(b_.Charge(entry.num_elements * 4));
    Constant tensor;
    tensor.type = entry.type;
    tensor.dims = entry.shape;
    OCTET_RETURN_IF_ERROR(
        DecodeElements(bytes, &tensor).WithContext(StrCat("variable '", key, "'")));
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, Known(std::move(tensor)));
    return variables_.emplace(key, std::move(value)).first->second;
  }

  // -- Operators ----------------------------------------------------------------------------------

  /// The node's outputs; none when it depends on something that was already reported.
  Result<std::vector<ValuePtr>> Convert(const FlatNode& node) {
    const NodeDef& def = *node.def;
    const std::span<const Operator> operators = Operators();
    const auto row = std::find_if(operators.begin(), operators.end(),
                                  [&](const Operator& o) { return o.op == def.op; });
    if (row == operators.end()) return Unsupported(AdviceFor(def.op));
    for (const auto& [name, value] : def.attributes) {
      if (name.starts_with('_')) continue;  // TensorFlow's notes to itself.
      OCTET_RETURN_IF_ERROR(CheckUnderstood(row->attributes, name, def.Text(name)));
    }
    for (const ValueRef& ref : node.inputs) {
      if (values_[static_cast<size_t>(ref.node)].empty()) return std::vector<ValuePtr>();
      if (At(ref) == nullptr)
        return Unsupported(StrCat("uses output ", ref.output, " of node '",
                                  flat_.nodes[static_cast<size_t>(ref.node)].def->name, "'"));
    }
    if (node.inputs.size() < row->min_inputs || node.inputs.size() > row->max_inputs) {
      return Corrupt(StrCat(def.op, " has ", node.inputs.size(), " inputs, expected ",
                            row->min_inputs, row->max_inputs > row->min_inputs ? " or more" : ""));
    }
    OCTET_ASSIGN_OR_RETURN(ValuePtr folded, Fold(node));
    if (folded != nullptr) return std::vector<ValuePtr>{std::move(folded)};
    if (def.op == "Split" || def.op == "SplitV") return Split(node);
    bool constant = !node.inputs.empty() && def.op != "PlaceholderWithDefault";
    for (size_t i = 0; i < node.inputs.size(); ++i)
      constant = constant && In(node, i).constant != nullptr;
    if (constant)
      return Unsupported("computes on constants alone, expected what the network computes");
    if (row->convert == nullptr)
      return Unsupported("computes on the network's values, expected constants");
    const bool dilating =
        def.op == "Conv2D" || def.op == "DepthwiseConv2dNative" || def.op == "BatchToSpaceND";
    for (size_t i = dilating ? 1 : 0; i < node.inputs.size(); ++i) {
      if (In(node, i).batched != nullptr) return Unsupported(kOnlyConvolution);
    }
    return One((this->*row->convert)(node));
  }

  static Result<std::vector<ValuePtr>> One(Result<ValuePtr> value) {
    if (!value.ok()) return value.status();
    return std::vector<ValuePtr>{*std::move(value)};
  }

  /// Null where the node is not computed from constants.
  Result<ValuePtr> Fold(const FlatNode& node) {
    std::vector<const Constant*> inputs;
    int64_t total = 0;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      inputs.push_back(In(node, i).constant.get());
      if (inputs.back() == nullptr) return ValuePtr();
      total += inputs.back()->size();
    }
    // What is no larger than its inputs only costs time; mixed precision casts every weight.
    OCTET_RETURN_IF_ERROR(b_.Charge(total * 4));
    const Folder folder(&b_, 8 * (total + made_left_), true);
    OCTET_ASSIGN_OR_RETURN(auto folded, tf::FoldConstant(*node.def, inputs, folder));
    if (!folded) return ValuePtr();
    OCTET_RETURN_IF_ERROR(
        SpendMade(static_cast<size_t>(std::max<int64_t>(folded->size() - total, 0))));
    return Known(*std::move(folded));
  }

  Result<ValuePtr> Const(const FlatNode& node) {
    ValuePtr& known = constants_[node.def];
    if (known != nullptr) return known;
    const auto bytes = node.def->Bytes("value", 8);
    if (!bytes) return Corrupt("has no value");
    OCTET_ASSIGN_OR_RETURN(Constant tensor, tf::ParseTensor(*bytes, &made_left_));
    OCTET_RETURN_IF_ERROR(b_.Charge(4 + tensor.size() * 4));
    OCTET_ASSIGN_OR_RETURN(known, Known(std::move(tensor)));
    return known;
  }

  Result<ValuePtr> Placeholder(const FlatNode& node) {
    const std::string_view wanted = input_->name.substr(0, input_->name.find(':'));
    if (node.def->name != wanted) {
      if (!node.inputs.empty())  // PlaceholderWithDefault.
        return In(node, 0).is_activation() ? Derive(node, 0) : At(node.inputs[0]);
      return Unsupported(
          StrCat("is not an input of the signature; expected only '", input_name_, "'"));
    }
    auto dims = input_->shape;
    if (!dims) {
      if (const auto shape = node.def->Bytes("shape", 7)) dims = tf::ParseShape(*shape);
    }
    const ElementType type = input_->type != ElementType::kUndefined
                                 ? input_->type
                                 : node.def->Type("dtype", ElementType::kUndefined);
    if (type == ElementType::kString)
      return Unsupported("input is a string; save a signature that takes pixels");
    if (TypeSize(type) == 0)
      return Unsupported(StrCat("input is of ", TypeName(type), ", expected float32 or uint8"));
    if (!dims ||
        std::any_of(dims->begin() + !dims->empty(), dims->end(), [](int64_t d) { return d < 1; })) {
      return Unsupported(StrCat("input has the shape ", dims ? DimsText(*dims) : "?",
                                " and so no fixed size; save a signature with [None, height, "
                                "width, channels]"));
    }
    if (dims->empty()) return Unsupported("input is a single number");
    if ((*dims)[0] > kMaxElements) return Corrupt(StrCat("input has a batch of ", (*dims)[0]));
    batch_ = std::max((*dims)[0], kAnyBatch);
    (*dims)[0] = 1;
    ValuePtr value = std::make_shared<Value>();
    // Where a transpose says so, the image is read as channels first: its tensor is always NHWC.
    if (dims->size() == 4 && IsChannelsFirst(node)) {
      const Dims nhwc{1, (*dims)[2], (*dims)[3], (*dims)[1]};
      OCTET_ASSIGN_OR_RETURN(value->view, b_.AddInputView(input_name_.substr(0, kMaxName), nhwc));
      value->view = b_.ChannelsFirst(value->view.id);
      b_.graph().inputs_channels_first = {true};
    } else {
      OCTET_ASSIGN_OR_RETURN(value->view, b_.AddInputView(input_name_.substr(0, kMaxName), *dims));
    }
    value->integer = !IsFloat(type);
    return value;
  }

  /// Whether what reads the input, perhaps behind arithmetic element by element, moves its channels
  /// behind or wants them in front.
  bool IsChannelsFirst(const FlatNode& input) const {
    static const std::set<std::string_view> kPassing{"Cast", "Add",     "AddV2", "Sub",
                                                     "Mul",  "RealDiv", "Div",   "BiasAdd",
                                                     "Pad",  "PadV2",   "Split", "SplitV"};
    std::set<const FlatNode*> seen{&input};
    for (const FlatNode& node : flat_.nodes) {  // In order of computation.
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        if (seen.count(&flat_.nodes[static_cast<size_t>(node.inputs[i].node)]) == 0) continue;
        if (kPassing.count(node.def->op) > 0) seen.insert(&node);
        if (!ChannelsLast(*node.def)) return true;
        if (node.def->op != "Transpose" || i != 0 || node.inputs.size() != 2) continue;
        const FlatNode& perm = flat_.nodes[static_cast<size_t>(node.inputs[1].node)];
        const auto bytes = perm.def->Bytes("value", 8);
        int64_t none = 8;
        if (!bytes) continue;
        const Result<Constant> order = tf::ParseTensor(*bytes, &none);
        if (order.ok() && order->ints == std::vector<int64_t>{0, 2, 3, 1}) return true;
      }
    }
    return false;
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
    OCTET_ASSIGN_OR_RETURN(Constant tensor, tf::ShapeTensor(*node.def, DimsOf(In(node, 0))));
    return Known(std::move(tensor));
  }

  Result<ValuePtr> Cast(const FlatNode& node) {
    if (!In(node, 0).is_activation()) return Corrupt("has no input");
    const ElementType type = node.def->Type("DstT", ElementType::kUndefined),
                      from = node.def->Type("SrcT", ElementType::kUndefined);
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, Derive(node, 0));
    const bool to_float = IsFloat(type);
    // Half precision inside a mixed-precision model is computed in float32.
    if (!to_float && !value->integer)
      return Unsupported(StrCat("casts to ", TypeName(type), ", which drops fractions"));
    if (!to_float && TypeSize(type) < TypeSize(from))
      return Unsupported(
          StrCat("casts ", TypeName(from), " to ", TypeName(type), ", which wraps around"));
    value->integer = !to_float;
    return value;
  }

  // -- Windows ------------------------------------------------------------------------------------

  /// The window of a convolution or pool over an image of `shape` (NHWC); kernel sizes are set.
  static Status FillWindow(const NodeDef& def, const Shape& shape, WideWindow* w) {
    const std::vector<int64_t> strides = def.Ints("strides"), dilations = def.Ints("dilations");
    const std::vector<int64_t> pads = def.Ints("explicit_paddings");
    const size_t h = ChannelsLast(def) ? 1 : 2, c = ChannelsLast(def) ? 3 : 1;
    for (const auto* list : {&strides, &dilations}) {
      if (list->empty() && list == &dilations) continue;
      if (list->size() != 4 || (*list)[0] != 1 || (*list)[c] != 1)
        return Unsupported("strides or dilations over the batch or the channels");
    }
    const std::string_view padding = def.String("padding", "");
    for (size_t d = 0; d < 2; ++d) {
      w->stride[d] = strides[h + d];
      w->dilation[d] = dilations.empty() ? 1 : dilations[h + d];
      for (int64_t v : {w->kernel[d], w->stride[d], w->dilation[d]}) {
        if (v < 1 || v > kMaxWindow)
          return Unsupported(
              StrCat("its kernel, stride or dilation is ", v, ", expected 1 to ", kMaxWindow));
      }
      if (padding == "SAME") {
        w->padding[d] =
            SamePadding(shape[static_cast<int>(d) + 1], w->kernel[d], w->stride[d], w->dilation[d]);
      } else if (padding == "EXPLICIT") {
        if (pads.size() != 8 || pads[0] != 0 || pads[1] != 0 || pads[2 * c] != 0 ||
            pads[2 * c + 1] != 0)
          return Unsupported("explicit padding of the batch or the channels");
        w->padding[d] = {pads[2 * (h + d)], pads[2 * (h + d) + 1]};
        if (w->padding[d].front < 0 || w->padding[d].behind < 0)
          return Corrupt("a negative padding");
      } else if (padding != "VALID") {
        return Unsupported(StrCat("padding is '", padding, "', expected SAME, VALID or EXPLICIT"));
      }
    }
    return OkStatus();
  }

  /// Block size and amounts, inputs 1 and 2.
  Result<std::shared_ptr<Batched>> ReadBlock(const FlatNode& node) const {
    auto b = std::make_shared<Batched>();
    OCTET_ASSIGN_OR_RETURN(b->block, InInts(node, 1));
    OCTET_ASSIGN_OR_RETURN(b->pads, InInts(node, 2));
    if (b->block.size() != 2 || b->pads.size() != 4)
      return Unsupported(
          StrCat("blocks of ", b->block.size(), " dimensions, expected 2: height and width"));
    for (const std::vector<int64_t>* list : {&b->block, &b->pads}) {
      for (int64_t v : *list) {
        if (v < (list == &b->block ? 1 : 0) || v > kMaxWindow)
          return Corrupt(StrCat("block or amount of ", v));
      }
    }
    return b;
  }

  Result<ValuePtr> SpaceToBatch(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, FromImage(InImage(node, 0, true), true));
    OCTET_ASSIGN_OR_RETURN(value->batched, ReadBlock(node));
    return value;
  }

  Result<ValuePtr> BatchToSpace(const FlatNode& node) {
    const Value& in = In(node, 0);
    if (in.batched == nullptr || !in.batched->convolved)
      return Unsupported("what it reads is not a convolution behind SpaceToBatchND");
    OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<Batched> back, ReadBlock(node));
    if (back->block != in.batched->block)
      return Unsupported("its block differs from that of SpaceToBatchND");
    if (std::exchange(in.batched->returned, true))
      return Unsupported("the convolution has several readers");
    Graph& g = b_.graph();
    Node& conv = g.nodes[in.batched->convolution];
    Window& w = conv.window;
    int* const sides[] = {&w.pad_top, &w.pad_bottom, &w.pad_left, &w.pad_right};
    for (size_t i = 0; i < 4; ++i) {
      if (back->pads[i] > *sides[i])
        return Unsupported(
            StrCat("removes ", back->pads[i], " pixels where ", *sides[i], " were added"));
      *sides[i] -= static_cast<int>(back->pads[i]);
    }
    OCTET_ASSIGN_OR_RETURN(g.tensor(conv.output).shape, InferShape(g, conv));
    return Activation(Result<TensorId>(conv.output));
  }

  /// Makes the window of a convolution in blocks that of the dilated convolution.
  static Status Dilate(const Batched& from, std::string_view padding, WideWindow* w) {
    if (from.convolved) return Unsupported(kOnlyConvolution);
    const bool pads = padding != "VALID" && (w->kernel[0] > 1 || w->kernel[1] > 1);
    for (size_t d = 0; d < 2; ++d) {
      if (pads || w->stride[d] != 1 || w->dilation[d] != 1)
        return Unsupported(
            "behind SpaceToBatchND a convolution must have padding VALID and stride and dilation "
            "1");
      w->dilation[d] = from.block[d];
      w->padding[d] = {from.pads[2 * d], from.pads[2 * d + 1]};
    }
    return OkStatus();
  }

  Result<ValuePtr> Conv2D(const FlatNode& node) { return Convolution(node, false); }
  Result<ValuePtr> DepthwiseConv2D(const FlatNode& node) { return Convolution(node, true); }

  Result<ValuePtr> Convolution(const FlatNode& node, bool depthwise) {
    const NodeDef& def = *node.def;
    const bool last = ChannelsLast(def);
    OCTET_ASSIGN_OR_RETURN(const Constant* w, InFloats(node, 1));
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InImage(node, 0, last));
    const Shape shape = b_.ShapeOf(x);
    if (w->dims.size() != 4 || w->size() < 1) return Corrupt("weights are not of rank 4");
    WideWindow window;
    window.kernel[0] = w->dims[0];
    window.kernel[1] = w->dims[1];
    OCTET_RETURN_IF_ERROR(FillWindow(def, shape, &window));
    const std::shared_ptr<Batched> from = In(node, 0).batched;
    if (from != nullptr) OCTET_RETURN_IF_ERROR(Dilate(*from, def.String("padding", ""), &window));
    // TensorFlow: [height, width, in / groups, out], depthwise [height, width, in, multiplier] with
    // out = in * multiplier.
    const int64_t in = depthwise ? 1 : w->dims[2];
    const int64_t groups = depthwise ? w->dims[2] : shape[3] / in;
    if (groups < 1 || (!depthwise && shape[3] % in != 0))
      return Corrupt(StrCat("weights take ", in, " channels, the input has ", shape[3]));
    const LayerWeights weights{
        Shape{depthwise ? w->dims[2] * w->dims[3] : w->dims[3], w->dims[0], w->dims[1], in},
        Permuted<float>(w->floats, w->dims,
                        depthwise ? std::vector<int>{2, 3, 0, 1} : std::vector<int>{3, 0, 1, 2}),
        {}};
    OCTET_ASSIGN_OR_RETURN(const TensorId id, b_.Conv(Name(node), x, weights, window, groups));
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, FromImage(id, last));
    if (from != nullptr) {
      value->batched = std::make_shared<Batched>(*from);
      value->batched->convolution = b_.graph().nodes.size() - 1;
      value->batched->convolved = true;
      const Window& fitted = b_.graph().nodes.back().window;
      if (fitted.pad_top != from->pads[0] || fitted.pad_bottom != from->pads[1] ||
          fitted.pad_left != from->pads[2] || fitted.pad_right != from->pads[3])
        return Unsupported("it pads by more than the window");
    } else {
      without_bias_.emplace(id, b_.graph().nodes.size() - 1);
    }
    return value;
  }

  Result<ValuePtr> Pool(const FlatNode& node) {
    const NodeDef& def = *node.def;
    const bool last = ChannelsLast(def);
    OCTET_ASSIGN_OR_RETURN(const TensorId x, InImage(node, 0, last));
    const std::vector<int64_t> kernel = def.Ints("ksize");
    const size_t h = last ? 1 : 2;
    if (kernel.size() != 4 || kernel[0] != 1 || kernel[last ? 3 : 1] != 1)
      return Unsupported("pools over the batch or the channels");
    WideWindow window;
    window.kernel[0] = kernel[h];
    window.kernel[1] = kernel[h + 1];
    OCTET_RETURN_IF_ERROR(FillWindow(def, b_.ShapeOf(x), &window));
    const OpType type = def.op == "MaxPool" ? OpType::kMaxPool : OpType::kAveragePool;
    return FromImage(b_.Pool(Name(node), x, type, window), last);
  }

  Result<ValuePtr> MatMul(const FlatNode& node) {
    const NodeDef& def = *node.def;
    OCTET_ASSIGN_OR_RETURN(const Constant* w, InFloats(node, 1));
    OCTET_ASSIGN_OR_RETURN(const View x, InView(node, 0));
    if (w->dims.size() != 2 || w->size() < 1) return Unsupported("weights are not of rank 2");
    const bool transposed = def.Bool("transpose_b", false) || def.Bool("adj_y", false);
    const int64_t in = w->dims[transposed ? 1 : 0], out = w->dims[transposed ? 0 : 1];
    LayerWeights weights{
        Shape{out, in},
        transposed ? w->floats : Permuted<float>(w->floats, w->dims, std::vector<int>{1, 0}),
        {}};
    if (x.dims.size() < 2) return Corrupt("multiplies a vector");
    OCTET_ASSIGN_OR_RETURN(View y, b_.LastDense(Name(node), x, std::move(weights)));
    const ValuePtr value = Activation(std::move(y));
    without_bias_.emplace(value->view.id, b_.graph().nodes.size() - 1);
    return value;
  }

  // -- Arithmetic ---------------------------------------------------------------------------------

  Result<ValuePtr> FusedBatchNorm(const FlatNode& node) {
    const NodeDef& def = *node.def;
    if (def.Bool("is_training", true))
      return Unsupported(
          "'is_training' is true: it normalizes by the batch's own statistics; save the model with "
          "training=False");
    OCTET_ASSIGN_OR_RETURN(ValuePtr x, Derive(node, 0));
    const size_t axis = ChannelsLast(def) ? 3 : 1;
    if (x->view.dims.size() != 4) return Corrupt(StrCat("normalizes ", DimsText(x->view.dims)));
    if (ChannelAxis(x->view, b_.ShapeOf(x->view)) != axis) {
      OCTET_ASSIGN_OR_RETURN(x, FromImage(InImage(node, 0, ChannelsLast(def)), axis == 3));
      x->exclusive = false;
    }
    std::span<const float> p[4];
    for (size_t i = 0; i < 4; ++i) {
      OCTET_ASSIGN_OR_RETURN(const Constant* constant, InFloats(node, i + 1));
      p[i] = constant->floats;
    }
    OCTET_ASSIGN_OR_RETURN(
        const auto folded,
        GraphBuilder::FoldBatchNorm(b_.ShapeOf(x->view).back(), {p[0], p[1], p[2], p[3]},
                                    static_cast<double>(def.Float("epsilon", 1e-4f))));
    return Affine(node, std::move(x), folded.first, folded.second);
  }

  /// Add, Sub, Mul and RealDiv of which at least one side is an activation.
  Result<ValuePtr> Binary(const FlatNode& node) {
    const std::string_view op = node.def->op;
    const bool add = op == "Add" || op == "AddV2" || op == "BiasAdd", mul = op == "Mul",
               sub = op == "Sub";
    if (In(node, 0).is_activation() && In(node, 1).is_activation()) {
      if (!add && !mul && !sub) return Unsupported("divides by what the network computes");
      std::vector<View> v(2);
      for (size_t i = 0; i < 2; ++i) {
        OCTET_ASSIGN_OR_RETURN(v[i], InView(node, i));
      }
      return Pair(node, sub ? OpType::kReshape : add ? OpType::kAdd : OpType::kMul, std::move(v));
    }
    const size_t slot = In(node, 0).is_activation() ? 0 : 1;
    if (!In(node, slot).is_activation()) return Corrupt("expected an activation");
    OCTET_ASSIGN_OR_RETURN(const Constant* constant, InFloats(node, 1 - slot));
    OCTET_ASSIGN_OR_RETURN(ValuePtr x, Derive(node, slot));
    std::vector<int64_t> dims = constant->dims;
    if (op == "BiasAdd" && !ChannelsLast(*node.def) && x->view.dims.size() > 2)
      dims.resize(x->view.dims.size() - 1, 1);
    // One value, or one for each channel.
    const auto fit = [&](const View& view) -> Result<std::vector<float>> {
      OCTET_ASSIGN_OR_RETURN(std::vector<float> c, b_.Spread(view, dims, constant->floats));
      if (c.size() == 1 || static_cast<int64_t>(c.size()) == b_.ShapeOf(view).back()) return c;
      return Unsupported(StrCat("its constant of shape ", DimsText(dims),
                                " is neither one value nor one for each channel of ",
                                DimsText(view.dims)));
    };
    Result<std::vector<float>> fitted = fit(x->view);
    if (!fitted.ok()) {
      // Reshaped and flattened ones must become a tensor of their own channels first.
      OCTET_ASSIGN_OR_RETURN(const View view, InView(node, slot));
      OCTET_ASSIGN_OR_RETURN(View rows, b_.AsRows(Name(node), view));
      fitted = fit(rows);
      if (!fitted.ok()) return fitted.status();
      x = Activation(std::move(rows));
      x->exclusive = false;
    }
    const int64_t channels = b_.ShapeOf(x->view).back();
    if (channels > kMaxChannels) return Unsupported(StrCat("has ", channels, " channels"));
    std::vector<double> c(fitted->begin(), fitted->end());
    c.resize(static_cast<size_t>(channels), c[0]);
    std::vector<double> ones(c.size(), 1.0), zeros(c.size(), 0.0);
    if (add) return Affine(node, std::move(x), ones, c);
    if (mul) return Affine(node, std::move(x), c, zeros);
    if (sub && slot == 1) return Affine(node, std::move(x), std::vector<double>(c.size(), -1.0), c);
    if (!sub && slot == 1) return Unsupported("divides by what the network computes");
    for (double& v : c) v = sub ? -v : 1.0 / v;
    return sub ? Affine(node, std::move(x), ones, c) : Affine(node, std::move(x), c, zeros);
  }

  /// Two activations of one shape; kReshape stands for their difference.
  Result<ValuePtr> Pair(const FlatNode& node, OpType type, std::vector<View> v) {
    if (v[0].dims != v[1].dims)
      return Unsupported(StrCat("its operands have the shapes ", DimsText(v[0].dims), " and ",
                                DimsText(v[1].dims), ", expected equal ones"));
    if (v[0].perm != v[1].perm || !(b_.ShapeOf(v[0]) == b_.ShapeOf(v[1])))
      OCTET_RETURN_IF_ERROR(b_.Align(Name(node), &v));
    return Activation(v[0], type == OpType::kReshape
                                ? b_.Subtract(Name(node), v[0].id, v[1].id)
                                : b_.Emit(type, Name(node), {v[0].id, v[1].id}));
  }

  Result<ValuePtr> AddN(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(View sum, InView(node, 0));
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      OCTET_ASSIGN_OR_RETURN(View next, InView(node, i));
      OCTET_ASSIGN_OR_RETURN(const ValuePtr value,
                             Pair(node, OpType::kAdd, {std::move(sum), std::move(next)}));
      sum = value->view;
    }
    return Activation(std::move(sum));
  }

  Result<ValuePtr> Neg(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(ValuePtr x, Derive(node, 0));
    const int64_t channels = b_.ShapeOf(x->view).back();
    if (channels > kMaxChannels) return Unsupported(StrCat("has ", channels, " channels"));
    const size_t n = static_cast<size_t>(channels);
    return Affine(node, std::move(x), std::vector<double>(n, -1.0), std::vector<double>(n, 0.0));
  }

  Result<ValuePtr> Unary(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const View x, InView(node, 0));
    const UnaryFunction& function = *FindUnary(&UnaryFunction::tensorflow, node.def->op);
    const auto [name, attribute, otherwise] = function.tensorflow;
    return Activation(x,
                      function.Emit(&b_, Name(node), x.id, node.def->Float(attribute, otherwise)));
  }

  Result<ValuePtr> LastOnly(const FlatNode& node, OpType type) {
    OCTET_ASSIGN_OR_RETURN(const View v, InView(node, 0));
    if (v.dims.size() < 2) return Unsupported("works along the batch");
    OCTET_ASSIGN_OR_RETURN(const View x, b_.AsRows(Name(node), v));
    return Activation(x, b_.Emit(type, Name(node), {x.id}));
  }
  Result<ValuePtr> Softmax(const FlatNode& node) { return LastOnly(node, OpType::kSoftmax); }
  Result<ValuePtr> LogSoftmax(const FlatNode& node) { return LastOnly(node, OpType::kLogSoftmax); }

  Result<ValuePtr> Log(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const View x, InView(node, 0));
    const Node* from = Producer(x.id);
    if (from == nullptr || from->type != OpType::kSoftmax)
      return Unsupported("takes the logarithm of something that is no softmax");
    return Activation(x, b_.Emit(OpType::kLogSoftmax, Name(node), {from->inputs[0]}));
  }

  const Node* Producer(TensorId id) const {
    const std::vector<Node>& nodes = b_.graph().nodes;
    const auto it =
        std::find_if(nodes.rbegin(), nodes.rend(), [id](const Node& n) { return n.output == id; });
    return it == nodes.rend() ? nullptr : &*it;
  }

  /// One or both limits; limits on limits become one operator.
  Result<ValuePtr> Limit(const FlatNode& node, size_t slot, float low, float high) {
    OCTET_ASSIGN_OR_RETURN(const View v, InView(node, slot));
    View x = v;
    const Node* from = Producer(x.id);
    float from_low = -std::numeric_limits<float>::infinity(), from_high = -from_low;
    if (from != nullptr && from->type == OpType::kClip) {
      from_low = from->clip_low;
      from_high = from->clip_high;
    } else if (from != nullptr && from->type == OpType::kRelu) {
      from_low = 0.0f;
    }
    if (from_low > low || from_high < high) {
      // min(max(min(max(x, a), b), c), d) with c..d inside or across a..b.
      const float l = std::min(std::max(from_low, low), high);
      const float h = std::min(std::max(from_high, low), high);
      if (l <= h && (low <= from_high && high >= from_low)) {
        x.id = from->inputs[0];
        low = l;
        high = h;
      }
    }
    return Activation(x, b_.Clip(Name(node), x.id, low, high));
  }

  Result<ValuePtr> Clamp(const FlatNode& node) {
    const bool min = node.def->op == "Minimum";
    if (In(node, 0).is_activation() && In(node, 1).is_activation())
      return Unsupported(
          "compares two values that the network computes, expected one and a number");
    const size_t slot = In(node, 0).is_activation() ? 0 : 1;
    OCTET_ASSIGN_OR_RETURN(const float limit, InNumber(node, 1 - slot));
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    return Limit(node, slot, min ? -kInfinity : limit, min ? limit : kInfinity);
  }

  Result<ValuePtr> ClipByValue(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const float low, InNumber(node, 1));
    OCTET_ASSIGN_OR_RETURN(const float high, InNumber(node, 2));
    return Limit(node, 0, low, high);
  }

  /// Mean and Max over height, width, or both.
  Result<ValuePtr> Reduce(const FlatNode& node) {
    const NodeDef& def = *node.def;
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, InInts(node, 1));
    OCTET_ASSIGN_OR_RETURN(const View x, InView(node, 0));
    const Shape shape = b_.ShapeOf(x);
    const auto groups = AxesOf(x, shape);
    std::vector<bool> gone(x.dims.size(), false);
    bool reduced[4] = {};
    for (const int64_t a : axes) {
      OCTET_ASSIGN_OR_RETURN(const size_t axis, NormalizeAxis(a, x.dims.size()));
      gone[axis] = true;
      if (axis == 0) return Unsupported("reduces over the batch");
      if (!groups || shape.rank() != 4) return Unsupported("reduces over what is no image");
      for (int d : (*groups)[axis]) reduced[d] = shape[d] > 1;
    }
    if (reduced[3]) return Unsupported("reduces over other dimensions than height and width");
    const bool mean = def.op == "Mean";
    const bool h = reduced[1] || shape[1] == 1, w = reduced[2] || shape[2] == 1;
    Dims dims;
    for (size_t d = 0; d < x.dims.size(); ++d) {
      if (!gone[d]) dims.push_back(x.dims[d]);
      if (gone[d] && def.Bool("keep_dims", false)) dims.push_back(1);
    }
    TensorId id = x.id;
    // A mean of one pixel too: as the framework's graph has it.
    if (h && w && (mean || shape[1] * shape[2] > 1)) {
      OCTET_ASSIGN_OR_RETURN(id, b_.GlobalPool(Name(node), x.id, mean));
    } else if (reduced[1] || reduced[2]) {
      WideWindow window;
      window.kernel[0] = reduced[1] ? shape[1] : 1;
      window.kernel[1] = reduced[2] ? shape[2] : 1;
      OCTET_ASSIGN_OR_RETURN(
          id, b_.Pool(Name(node), x.id, mean ? OpType::kAveragePool : OpType::kMaxPool, window));
    }
    return Activation(View{id, std::move(dims), x.perm});
  }

  // -- Shapes -------------------------------------------------------------------------------------

  /// The activation with other dimensions.
  Result<ValuePtr> WithDims(const FlatNode& node, Dims dims) {
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, Derive(node, 0));
    value->view.dims = std::move(dims);
    return value;
  }

  Result<ValuePtr> Reshape(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(std::vector<int64_t> target, InInts(node, 1, true));
    if (!In(node, 0).is_activation()) return Unsupported("reshapes a constant to a computed shape");
    const Dims& dims = In(node, 0).view.dims;
    const int64_t elements = Product(dims, 0, dims.size());
    if (target.empty() || elements < 1) return Unsupported("reshapes the batch");
    // In front stands the batch, perhaps merged with other dimensions.
    int64_t rows = target[0] == -1                                  ? -1
                   : IsDynamic(target[0])                           ? target[0] - kUnknown
                   : batch_ != kAnyBatch && target[0] % batch_ == 0 ? target[0] / batch_
                                                                    : 0;
    // One dimension may be as large as the others leave.
    int64_t known = std::max<int64_t>(rows, 1);
    int64_t* open = rows == -1 ? &rows : nullptr;
    for (size_t d = 1; d < target.size(); ++d) {
      if (target[d] == -1 && open == nullptr) {
        open = &target[d];
      } else if (target[d] < 1 || !CheckedMul(known, target[d], &known)) {
        rows = 0;
      }
    }
    if (rows < -1 || rows == 0)
      return Unsupported("reshapes the batch; keep the first dimension as it is");
    if (open == nullptr ? known != elements : elements % known != 0)
      return Unsupported(StrCat("reshapes ", DimsText(dims), " to what it does not fit"));
    if (open != nullptr) *open = elements / known;
    target[0] = rows;
    return WithDims(node, std::move(target));
  }

  Result<ValuePtr> Squeeze(const FlatNode& node) {
    std::vector<int64_t> dims = DimsOf(In(node, 0));
    if (dims.empty()) return Corrupt("has no input");
    const bool batch_of_one = dims[0] == 1 && node.def->Ints("squeeze_dims").empty();
    OCTET_ASSIGN_OR_RETURN(Dims squeezed, tf::SqueezedDims(*node.def, dims));
    if (batch_of_one || squeezed.empty() || squeezed[0] != dims[0])
      return Unsupported("squeezes the batch; name the dimensions to squeeze");
    squeezed[0] = In(node, 0).view.dims[0];
    return WithDims(node, std::move(squeezed));
  }

  Result<ValuePtr> ExpandDims(const FlatNode& node) {
    Dims dims = In(node, 0).view.dims;
    OCTET_ASSIGN_OR_RETURN(const size_t axis, InAxis(node, 1, dims.size() + 1));
    dims.insert(dims.begin() + static_cast<int64_t>(axis), 1);
    return WithDims(node, std::move(dims));
  }

  Result<ValuePtr> Transpose(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> order, InInts(node, 1));
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, Derive(node, 0));
    if (order.size() != value->view.dims.size() || order.empty() || order[0] != 0)
      return Unsupported("moves the batch");
    OCTET_ASSIGN_OR_RETURN(const std::vector<int> perm, Permutation(order, order.size()));
    auto moved = Transposed(value->view, b_.ShapeOf(value->view), perm);
    if (!moved) return Unsupported("moves parts of dimensions that were reshaped");
    value->view = *std::move(moved);
    return value;
  }

  Result<ValuePtr> Pad(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> pads, InInts(node, 1));
    float fill = 0.0f;
    if (node.def->op == "PadV2") {
      OCTET_ASSIGN_OR_RETURN(fill, InNumber(node, 2));
    }
    std::vector<View> views(1);
    OCTET_ASSIGN_OR_RETURN(views[0], InView(node, 0));
    OCTET_RETURN_IF_ERROR(b_.Align(Name(node), &views));
    const View& x = views[0];
    const size_t rank = x.dims.size(), extra = x.perm.size() - rank;
    if (pads.size() != rank * 2)
      return Corrupt(StrCat("has ", pads.size(), " paddings, expected ", rank * 2));
    if (x.dims[0] != 1 || rank > 4) return Unsupported(StrCat("pads ", DimsText(x.dims)));
    for (const int64_t p : pads) {
      if (p < 0 || p > kMaxElements) return Unsupported(StrCat("pads by ", p));
    }
    std::array<int64_t, 4> begin{}, end{};
    View padded = x;
    for (size_t d = 0; d < rank; ++d) {
      const size_t axis = static_cast<size_t>(x.perm[d == 0 ? 0 : d + extra]);
      begin[axis] = pads[2 * d];
      end[axis] = pads[2 * d + 1];
      padded.dims[d] += pads[2 * d] + pads[2 * d + 1];
    }
    return Activation(padded, b_.Pad(Name(node), x.id, begin, end, fill));
  }

  /// The parts of every dimension; `dims` is what TensorFlow makes of the result.
  Result<ValuePtr> Take(const FlatNode& node, size_t slot,
                        const std::vector<GraphBuilder::Range>& parts, Dims dims) {
    const Dims from = In(node, slot).view.dims;
    const auto is_whole = [&](size_t d) {
      return parts[d].begin == 0 && parts[d].step == 1 && parts[d].count == from[d];
    };
    bool whole = true;
    for (size_t d = 0; d < from.size(); ++d) whole = whole && is_whole(d);
    if (whole) {
      OCTET_ASSIGN_OR_RETURN(ValuePtr value, Derive(node, slot));
      value->view.dims = std::move(dims);
      return value;
    }
    OCTET_ASSIGN_OR_RETURN(View x, InView(node, slot));
    for (int attempt = 0; attempt < 2; ++attempt) {
      const Shape& shape = b_.ShapeOf(x);
      std::vector<GraphBuilder::Range> ranges;
      for (int i = 0; i < shape.rank(); ++i) ranges.push_back({0, 1, shape[i]});
      bool fits = true;
      for (size_t d = 0; d < from.size(); ++d) {
        if (is_whole(d)) continue;
        const auto axis = AxisOf(x, shape, d);
        fits = fits && axis.has_value();
        if (axis) ranges[static_cast<size_t>(*axis)] = parts[d];
      }
      if (fits)
        return Activation({x.id, std::move(dims), x.perm}, b_.Slice(Name(node), x.id, ranges));
      OCTET_ASSIGN_OR_RETURN(x, b_.AsPlain(Name(node), x));
    }
    return Unsupported("takes a part of dimensions that were reshaped");
  }

  Result<ValuePtr> StridedSlice(const FlatNode& node) {
    std::vector<int64_t> bounds[3];
    for (size_t i = 0; i < 3; ++i) {
      OCTET_ASSIGN_OR_RETURN(bounds[i], InInts(node, i + 1, true));
    }
    if (!In(node, 0).is_activation()) return Corrupt("slices no activation");
    OCTET_ASSIGN_OR_RETURN(
        tf::SlicePlan plan,
        tf::PlanStridedSlice(*node.def, DimsOf(In(node, 0)), bounds[0], bounds[1], bounds[2]));
    return TakePlan(node, std::move(plan));
  }

  Result<ValuePtr> Slice(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> begin, InInts(node, 1, true));
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> size, InInts(node, 2, true));
    OCTET_ASSIGN_OR_RETURN(tf::SlicePlan plan, tf::PlanSlice(DimsOf(In(node, 0)), begin, size));
    return TakePlan(node, std::move(plan));
  }

  /// Of the batch everything.
  Result<ValuePtr> TakePlan(const FlatNode& node, tf::SlicePlan plan) {
    const int64_t batch = DimsOf(In(node, 0))[0];
    if (plan.output_dims.empty() || plan.drops_first || plan.ranges[0].begin != 0 ||
        plan.ranges[0].step != 1 || plan.ranges[0].count != batch || plan.output_dims[0] != batch)
      return Unsupported("slices the batch");
    plan.ranges[0].count = plan.output_dims[0] = In(node, 0).view.dims[0];
    return Take(node, 0, plan.ranges, std::move(plan.output_dims));
  }

  /// To the size that is there, which changes nothing whatever the method.
  Result<ValuePtr> Resize(const FlatNode& node) {
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> size, InInts(node, 1));
    OCTET_ASSIGN_OR_RETURN(ValuePtr value, Derive(node, 0));
    const Dims& dims = value->view.dims;
    if (dims.size() != 4 || size != std::vector<int64_t>{dims[1], dims[2]})
      return Unsupported(
          StrCat("resizes ", DimsText(dims), " to ", DimsText(size),
                 "; octet resizes before the network: save a signature that takes images of the "
                 "final size"));
    if (node.def->op != "ResizeNearestNeighbor") value->integer = false;
    return value;
  }

  Result<ValuePtr> ReverseV2(const FlatNode& node) {
    const Dims dims = In(node, 0).view.dims;
    OCTET_ASSIGN_OR_RETURN(const size_t axis, InAxis(node, 1, dims.size()));
    std::vector<GraphBuilder::Range> plan;
    for (const int64_t d : dims) plan.push_back({0, 1, d});
    plan[axis] = {dims[axis] - 1, -1, dims[axis]};
    return Take(node, 0, plan, dims);
  }

  /// Split(axis, x) and SplitV(x, sizes, axis), of constants too: grouped convolutions are written
  /// so.
  Result<std::vector<ValuePtr>> Split(const FlatNode& node) {
    const bool sized = node.def->op == "SplitV";
    const size_t slot = sized ? 0 : 1;
    const Value& x = In(node, slot);
    const std::vector<int64_t> dims = x.constant ? x.constant->dims : DimsOf(x);
    const int64_t count = node.def->Int("num_split", 0);
    OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> where, InInts(node, sized ? 2 : 0));
    if (where.size() != 1) return Corrupt("expected one axis");
    OCTET_ASSIGN_OR_RETURN(const size_t axis, NormalizeAxis(where[0], dims.size()));
    if (axis == 0 && !x.constant) return Unsupported("splits the batch");
    if (count < 1 || count > 4096 || (!sized && dims[axis] % count != 0))
      return Corrupt(StrCat("splits ", dims[axis], " into ", count));
    std::vector<int64_t> sizes(static_cast<size_t>(count), dims[axis] / count);
    if (sized) {
      OCTET_ASSIGN_OR_RETURN(sizes, InInts(node, 1));
      if (const auto open = std::find(sizes.begin(), sizes.end(), -1); open != sizes.end())
        *open = dims[axis] - std::accumulate(sizes.begin(), sizes.end(), int64_t{1});
    }
    std::vector<ValuePtr> parts;
    int64_t begin = 0;
    for (const int64_t size : sizes) {
      if (size < 1 || size > dims[axis] - begin)
        return Unsupported(StrCat("splits off ", size, " of ", dims[axis]));
      Dims out = x.constant ? dims : x.view.dims;
      std::vector<GraphBuilder::Range> plan;
      for (const int64_t d : out) plan.push_back({0, 1, d});
      plan[axis] = {begin, 1, size};
      if (x.constant) {
        const Folder folder(&b_, 8 * x.constant->size(), true);
        OCTET_ASSIGN_OR_RETURN(Constant taken, folder.Slice(*x.constant, plan));
        OCTET_ASSIGN_OR_RETURN(ValuePtr part, Known(std::move(taken)));
        parts.push_back(std::move(part));
      } else {
        out[axis] = size;
        OCTET_ASSIGN_OR_RETURN(ValuePtr part, Take(node, slot, plan, std::move(out)));
        part->exclusive = false;
        parts.push_back(std::move(part));
      }
      begin += size;
    }
    return parts;
  }

  Result<ValuePtr> Concat(const FlatNode& node) {
    std::vector<View> views;
    for (size_t i = 0; i + 1 < node.inputs.size(); ++i) {
      OCTET_ASSIGN_OR_RETURN(View view, InView(node, i));
      if (view.dims.size() != (i == 0 ? view : views[0]).dims.size() || view.dims[0] != 1)
        return Unsupported("concatenates values of different ranks, or of a merged batch");
      views.push_back(std::move(view));
    }
    OCTET_ASSIGN_OR_RETURN(const size_t axis,
                           InAxis(node, node.inputs.size() - 1, views[0].dims.size()));
    if (views.size() == 1) return Derive(node, 0);
    OCTET_RETURN_IF_ERROR(b_.Align(Name(node), &views));
    View joined = views[0];
    std::vector<TensorId> inputs;
    joined.dims[axis] = 0;
    for (const View& v : views) {
      joined.dims[axis] += v.dims[axis];
      inputs.push_back(v.id);
    }
    // As many dimensions as axes, or rows, which stand at the end.
    if (joined.dims.size() > 4) return Unsupported(StrCat("concatenates ", DimsText(joined.dims)));
    const int at = joined.perm[axis + joined.perm.size() - joined.dims.size()];
    return Activation(joined, b_.Emit(OpType::kConcat, Name(node), std::move(inputs), {},
                                      [&](Node* concat) { concat->axis = at; }));
  }

  /// Pack of activations: a new dimension that they are concatenated along.
  Result<ValuePtr> Pack(const FlatNode& node) {
    if (node.inputs.size() == 1) {
      Dims dims = In(node, 0).view.dims;
      OCTET_ASSIGN_OR_RETURN(const size_t axis,
                             NormalizeAxis(node.def->Int("axis", 0), dims.size() + 1));
      if (axis == 0) return Unsupported("packs the batch");
      dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(axis), 1);
      return WithDims(node, std::move(dims));
    }
    std::vector<View> views;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      OCTET_ASSIGN_OR_RETURN(View view, InView(node, i));
      OCTET_ASSIGN_OR_RETURN(const size_t axis,
                             NormalizeAxis(node.def->Int("axis", 0), view.dims.size() + 1));
      if (axis == 0 || axis != view.dims.size() || view.dims.size() > 3)
        return Unsupported("packs along another dimension than a new last one");
      view.dims.push_back(1);
      views.push_back(std::move(view));
    }
    OCTET_RETURN_IF_ERROR(b_.Align(Name(node), &views));
    View joined = views[0];
    joined.dims.back() = static_cast<int64_t>(views.size());
    std::vector<TensorId> inputs;
    for (const View& v : views) inputs.push_back(v.id);
    return Activation(joined, b_.Emit(OpType::kConcat, Name(node), std::move(inputs), {},
                                      [&](Node* concat) { concat->axis = joined.perm.back(); }));
  }

  const tf::MetaGraph& meta_;
  const tf::FlatGraph& flat_;
  const TensorBundle* bundle_;
  std::string input_name_;
  const tf::TensorInfo* input_ = nullptr;
  int64_t batch_ = kAnyBatch;
  int64_t made_left_ = kMaxMadeElements;
  std::map<std::string, std::string, std::less<>> restored_;
  std::map<std::string, std::string> object_keys_;
  std::map<std::string, ValuePtr> variables_;  ///< By key.
  std::unordered_map<const NodeDef*, ValuePtr> constants_;
  std::vector<int> uses_;
  std::vector<std::vector<ValuePtr>> values_;  ///< By node and output.
  /// Outputs of convolutions and dense layers, to their nodes.
  std::unordered_map<TensorId, size_t> without_bias_;
  GraphBuilder b_{"_", 1, kMaxConstantBytes};
  Problems problems_;
};

std::vector<Converter::Operator> Converter::WithUnary(std::vector<Operator> rows) {
  for (const UnaryFunction& f : UnaryFunctions()) {
    const auto [name, attribute, otherwise] = f.tensorflow;
    if (*name != '\0')
      rows.push_back({name, &Converter::Unary, 1, 1, {attribute, "", "T"}, "floats of any shape"});
  }
  return rows;
}

std::span<const Converter::Operator> Converter::Operators() {
  using C = Converter;
  constexpr size_t kAny = std::numeric_limits<size_t>::max();
  constexpr const char* kType = "T";
  constexpr const char* kVariable = "container debug_name dtype shape allowed_devices";
  constexpr const char* kWindow = "strides padding explicit_paddings data_format dilations";
  constexpr const char* kNorm = "T U exponential_avg_factor";
  constexpr const char* kFloats = "floats of any shape";
  constexpr const char* kBoth = "two activations of one shape, or one and a constant per channel";
  // clang-format off
  static const std::vector<Operator> kRows = WithUnary({
      {"Const", &C::Const, 0, 0, {"value", "", "dtype"}, ""},
      {"Placeholder", &C::Placeholder, 0, 0, {"dtype shape"}, "images and vectors"},
      {"PlaceholderWithDefault", &C::Placeholder, 0, 1, {"dtype shape"}, ""},
      {"VarHandleOp", &C::Handle, 0, 0, {"shared_name", "", kVariable}, ""},
      {"ReadVariableOp", &C::ReadVariableOp, 1, 1, {"", "", "dtype"}, "not assigned"},
      {"VariableV2", &C::VariableV2, 0, 0, {"shared_name", "", kVariable}, "not assigned"},
      {"Variable", &C::VariableV2, 0, 0, {"shared_name", "", kVariable}, "not assigned"},
      {"Shape", &C::ShapeOf, 1, 1, {"out_type", "", kType}, ""},
      {"Cast", &C::Cast, 1, 1, {"SrcT DstT", "Truncate=false"}, "to floating-point types"},
      {"Conv2D", &C::Conv2D, 2, 2, {kWindow, "", "T use_cudnn_on_gpu"}, "constant weights"},
      {"DepthwiseConv2dNative", &C::DepthwiseConv2D, 2, 2, {kWindow, "", kType},
       "constant weights"},
      {"SpaceToBatchND", &C::SpaceToBatch, 3, 3, {"", "", "T Tblock_shape Tpaddings"},
       "in front of one convolution"},
      {"BatchToSpaceND", &C::BatchToSpace, 3, 3, {"", "", "T Tblock_shape Tcrops"},
       "behind one convolution"},
      {"MatMul", &C::MatMul, 2, 2, {"transpose_b", "transpose_a=false", "T grad_a grad_b"},
       "constant weights"},
      {"BatchMatMul", &C::MatMul, 2, 2, {"adj_y", "adj_x=false", "T grad_x grad_y"},
       "constant weights of rank 2"},
      {"BatchMatMulV2", &C::MatMul, 2, 2, {"adj_y", "adj_x=false", "T grad_x grad_y"},
       "constant weights of rank 2"},
      {"BatchMatMulV3", &C::MatMul, 2, 2, {"adj_y", "adj_x=false", "Ta Tb Tout grad_x grad_y"},
       "constant weights of rank 2"},
      {"FusedBatchNorm", &C::FusedBatchNorm, 5, 5, {"epsilon is_training data_format", "",
       kNorm}, "for inference"},
      {"FusedBatchNormV2", &C::FusedBatchNorm, 5, 5, {"epsilon is_training data_format", "",
       kNorm}, "for inference"},
      {"FusedBatchNormV3", &C::FusedBatchNorm, 5, 5, {"epsilon is_training data_format", "",
       kNorm}, "for inference"},
      {"BiasAdd", &C::Binary, 2, 2, {"data_format", "", kType}, "a constant"},
      {"Add", &C::Binary, 2, 2, {"", "", kType}, kBoth},
      {"AddV2", &C::Binary, 2, 2, {"", "", kType}, kBoth},
      {"AddN", &C::AddN, 1, kAny, {"", "", "N T"}, "activations of one shape"},
      {"Sub", &C::Binary, 2, 2, {"", "", kType}, kBoth},
      {"Mul", &C::Binary, 2, 2, {"", "", kType}, kBoth},
      {"RealDiv", &C::Binary, 2, 2, {"", "", kType}, "by a constant"},
      {"Div", &C::Binary, 2, 2, {"", "", kType}, "by a constant"},
      {"Neg", &C::Neg, 1, 1, {"", "", kType}, kFloats},
      {"Softmax", &C::Softmax, 1, 1, {"", "", kType}, kFloats},
      {"LogSoftmax", &C::LogSoftmax, 1, 1, {"", "", kType}, kFloats},
      {"Log", &C::Log, 1, 1, {"", "", kType}, "of a softmax"},
      {"Minimum", &C::Clamp, 2, 2, {"", "", kType}, "with a number"},
      {"Maximum", &C::Clamp, 2, 2, {"", "", kType}, "with a number"},
      {"ClipByValue", &C::ClipByValue, 3, 3, {"", "", kType}, "with numbers"},
      {"MaxPool", &C::Pool, 1, 1, {"ksize strides padding explicit_paddings data_format", "",
       kType}, "over height and width"},
      {"AvgPool", &C::Pool, 1, 1, {"ksize strides padding data_format", "", kType},
       "over height and width"},
      {"Mean", &C::Reduce, 2, 2, {"keep_dims", "", "T Tidx"}, "over height, width or both"},
      {"Max", &C::Reduce, 2, 2, {"keep_dims", "", "T Tidx"}, "over height, width or both"},
      {"Reshape", &C::Reshape, 2, 2, {"", "", "T Tshape"}, "not of the batch alone"},
      {"Squeeze", &C::Squeeze, 1, 1, {"squeeze_dims axis", "", kType}, "not of the batch"},
      {"ExpandDims", &C::ExpandDims, 2, 2, {"", "", "T Tdim"}, "not of the batch"},
      {"Transpose", &C::Transpose, 2, 2, {"", "", "T Tperm"},
       "where the next layer wants the order"},
      {"Pad", &C::Pad, 2, 2, {"", "", "T Tpaddings"}, "not of the batch"},
      {"PadV2", &C::Pad, 3, 3, {"", "", "T Tpaddings"}, "not of the batch"},
      {"StridedSlice", &C::StridedSlice, 4, 4, {
       "begin_mask end_mask ellipsis_mask new_axis_mask shrink_axis_mask", "", "T Index"},
       "forwards, or all channels backwards"},
      {"ReverseV2", &C::ReverseV2, 2, 2, {"", "", "T Tidx"}, "of all channels"},
      {"Slice", &C::Slice, 3, 3, {"", "", "T Index"}, "not of the batch"},
      {"ResizeBilinear", &C::Resize, 2, 2, {"", "", "T align_corners half_pixel_centers"},
       "to the size that is there"},
      {"ResizeBicubic", &C::Resize, 2, 2, {"", "", "T align_corners half_pixel_centers"},
       "to the size that is there"},
      {"ResizeNearestNeighbor", &C::Resize, 2, 2, {"", "", "T align_corners half_pixel_centers"},
       "to the size that is there"},
      {"Split", nullptr, 2, 2, {"num_split", "", kType}, "not of the batch"},
      {"SplitV", nullptr, 3, 3, {"num_split", "", "T Tlen"}, "not of the batch"},
      {"ConcatV2", &C::Concat, 2, kAny, {"", "", "N T Tidx"}, "not along the batch"},
      {"Pack", &C::Pack, 1, kAny, {"axis", "", "N T"}, "of constants, or along a new last axis"},
      {"Fill", nullptr, 2, 2, {"", "", "T index_type"}, "of constants"},
      {"Prod", nullptr, 2, 2, {"keep_dims", "", "T Tidx"}, "of constants"},
      {"GatherV2", nullptr, 3, 3, {"", "batch_dims=0", "Tparams Tindices Taxis"}, "of constants"},
      {"Gather", nullptr, 2, 2, {"", "", "Tparams Tindices validate_indices"}, "of constants"},
      {"Rsqrt", nullptr, 1, 1, {"", "", kType}, "of constants"},
      {"Sqrt", nullptr, 1, 1, {"", "", kType}, "of constants"},
      {"Square", nullptr, 1, 1, {"", "", kType}, "of constants"},
      {"Reciprocal", nullptr, 1, 1, {"", "", kType}, "of constants"},
      {"Inv", nullptr, 1, 1, {"", "", kType}, "of constants"},
  });
  // clang-format on
  return kRows;
}

Result<const tf::MetaGraph*> ChooseMetaGraph(const std::vector<tf::MetaGraph>& metas) {
  if (metas.empty()) return Corrupt("has no meta graph");
  for (const tf::MetaGraph& meta : metas) {
    if (std::find(meta.tags.begin(), meta.tags.end(), "serve") != meta.tags.end()) return &meta;
  }
  if (metas.size() == 1) return &metas[0];
  return Unsupported(StrCat("has ", metas.size(), " meta graphs, none of them tagged 'serve'"));
}

Result<const tf::SignatureDef*> ChooseSignature(const tf::MetaGraph& meta,
                                                const std::string& wanted) {
  std::string names;
  const tf::SignatureDef* only = nullptr;
  int count = 0;
  for (const auto& [name, signature] : meta.signatures) {
    if (name == "__saved_model_init_op" || signature.outputs.empty()) continue;
    only = &signature;
    names += (count++ > 0 ? ", " : "") + name;
    if (name == (wanted.empty() ? "serving_default" : wanted)) return only;
  }
  if (count == 0)
    return Unsupported(
        "has no signature; save it with model.export(folder), or tf.saved_model.save(model, "
        "folder, signatures=...)");
  if (!wanted.empty())
    return InvalidArgument(
        StrCat("has no signature '", wanted, "'; those that are there: ", names));
  if (count == 1) return only;
  return Unsupported(StrCat("has no signature 'serving_default' but several others (", names,
                            "); choose one with --signature=NAME"));
}

Result<Graph> Import(std::string_view saved_model, const TensorBundle* bundle,
                     const std::string& wanted) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<tf::MetaGraph> metas, tf::ParseSavedModel(saved_model));
  OCTET_ASSIGN_OR_RETURN(const tf::MetaGraph* meta, ChooseMetaGraph(metas));
  OCTET_ASSIGN_OR_RETURN(const tf::SignatureDef* signature, ChooseSignature(*meta, wanted));
  if (signature->inputs.size() != 1 || signature->outputs.empty()) {
    return Unsupported(StrCat("signature has ", signature->inputs.size(), " inputs and ",
                              signature->outputs.size(),
                              " outputs, expected one input and at least one output"));
  }
  std::vector<std::string_view> outputs;
  for (const auto& [name, info] : signature->outputs) outputs.push_back(info.name);
  OCTET_ASSIGN_OR_RETURN(const tf::FlatGraph flat, tf::Inline(*meta, outputs));
  OCTET_ASSIGN_OR_RETURN(Graph graph, Converter(*meta, flat, bundle).Run(*signature));
  graph.metadata.source = StrCat("savedmodel tensorflow ",
                                 meta->tensorflow_version.empty() ? "?" : meta->tensorflow_version);
  OCTET_RETURN_IF_ERROR(CheckGraph(graph));
  return graph;
}

}  // namespace

std::vector<OperatorRow> SavedModelOperators() {
  std::vector<OperatorRow> rows;
  for (const Converter::Operator& o : Converter::Operators())
    rows.push_back({"savedmodel", std::string(o.op), o.limits});
  return rows;
}

Result<Graph> ImportSavedModelBytes(std::string_view saved_model, const TensorBundle* bundle,
                                    const std::string& signature) {
  try {
    return Import(saved_model, bundle, signature);
  } catch (const protozero::exception& e) {
    return Corrupt(StrCat("malformed attribute: ", e.what()));
  }
}

Result<Graph> ImportSavedModel(const std::string& path, const ImportOptions& options) {
  const std::filesystem::path folder(path);
  OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile((folder / "saved_model.pb").string()));
  std::optional<TensorBundle> bundle;
  Result<TensorBundle> opened = TensorBundle::Open((folder / "variables" / "variables").string());
  if (opened.ok()) {
    bundle = std::move(opened).value();
  } else if (opened.status().code() != StatusCode::kNotFound ||
             std::filesystem::exists(folder / "variables" / "variables.index")) {
    return opened.status();
  }
  Result<Graph> graph =
      ImportSavedModelBytes(file.text(), bundle ? &*bundle : nullptr, options.signature);
  if (!graph.ok()) return Status(graph.status()).WithContext(path);
  return graph;
}

}  // namespace octet
