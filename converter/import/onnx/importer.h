// The ONNX importer's state and its handlers, one for each kind of operator.
//
// ONNX graphs are NCHW (or, from TensorFlow, NCHW inside with transposes at the ends); Graph is
// NHWC. No data is ever transposed at run time: each ONNX value is a View of a tensor. Reshapes and
// transposes change only the view. An operator then asks for the view that it needs, and weights
// are permuted to match.
#ifndef OCTET_CONVERTER_IMPORT_ONNX_IMPORTER_H_
#define OCTET_CONVERTER_IMPORT_ONNX_IMPORTER_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/builder/graph_builder.h"
#include "converter/import/file_bytes.h"
#include "converter/import/onnx/constant.h"
#include "converter/import/onnx/reader.h"

namespace octet {

/// What an ONNX name stands for: a constant, a view of an activation, or neither (the result of an
/// operator that is not supported).
struct OnnxValue {
  std::shared_ptr<const Constant> constant;
  View view;
  int batch = 0;  ///< Dimension whose outermost part is the batch.
  /// Of an activation; kFloat for all floating-point types.
  ElementType type = ElementType::kFloat32;

  bool is_constant() const { return constant != nullptr; }
  bool is_activation() const { return view.id != kNoTensor; }
};

class OnnxImporter {
 public:
  OnnxImporter(const OnnxModel& model, std::string path, int64_t file_bytes);

  Result<Graph> Import();

  /// What an operator's attribute may be, in the opsets that have it.
  struct Attribute {
    enum class Rule {
      kRead,      ///< The handler reads it, and refuses what it cannot do.
      kOnly,      ///< An integer that must be `value`.
      kHarmless,  ///< Changes nothing that octet computes.
    };
    Attribute(const char* its_name, int64_t since_opset = 1,  // NOLINT: a name is an attribute.
              int64_t until_opset = std::numeric_limits<int64_t>::max())
        : Attribute(its_name, Rule::kRead, 0, since_opset, until_opset) {}
    Attribute(const char* its_name, Rule its_rule, int64_t only, int64_t since_opset,
              int64_t until_opset)
        : name(its_name), rule(its_rule), value(only), since(since_opset), until(until_opset) {}
    const char* name;
    Rule rule;
    int64_t value, since, until;
  };
  using Handler = Status (OnnxImporter::*)(const OnnxNode&);
  /// An operator. Without a handler it is computed from constants only.
  struct Row {
    const char* op;
    Handler handler;
    int64_t since;  ///< Opset.
    size_t min_inputs, max_inputs;
    size_t outputs;  ///< That may be there. Only a Split's may be read behind the first.
    std::vector<Attribute> attributes;
    const char* limits;
  };
  /// By name.
  static const std::vector<Row>& Rows();

 private:
  using Axes = std::optional<std::vector<int64_t>>;

  // operators.cc
  static std::vector<Row> MakeRows();
  static const Row* FindRow(const OnnxNode& node);
  /// Whether all that the node has is in its row.
  Status CheckNode(const OnnxNode& node, const Row& row) const;

  // The graph as a whole: import.cc.
  Status CheckModel();
  Status IndexNodes();
  Status SortNodes();
  std::vector<int64_t> LastNumbers(const std::string& name) const;
  Status ReadHeadResize(const std::string& input, Dims* dims);
  Status AddInputs();
  Status ImportNodes();
  Status AddOutputs();
  Result<TensorId> OutputTensor(const Label& label, const OnnxValue& x, bool* channels_first);
  /// The first needed operator that is `wanted`, asked with the value it reads, of those reached
  /// from the value `name` through operators of the types in `through`; nullptr when none is.
  const OnnxNode* FirstReader(
      const std::string& name, const std::set<std::string>& through,
      const std::function<bool(const OnnxNode&, const std::string&)>& wanted) const;
  bool InputIsChannelsLast(const OnnxValueInfo& input) const;
  Result<std::string_view> ExternalBytes(const OnnxTensor& tensor);
  Status LoadInitializer(const OnnxTensor& tensor);
  Status ImportNode(const OnnxNode& node);
  Result<bool> TryFold(const OnnxNode& node);

  // window.cc
  Status Conv(const OnnxNode& node);
  Status Pool(const OnnxNode& node);
  Status GlobalPool(const OnnxNode& node);
  Status Reduce(const OnnxNode& node);
  Result<WideWindow> ReadWindow(const OnnxNode& node, const Shape& image, const Dims* kernel,
                                bool* partial) const;

  // elementwise.cc
  Status BatchNormalization(const OnnxNode& node);
  Status Unary(const OnnxNode& node);
  Status Negate(const OnnxNode& node);
  Status Clip(const OnnxNode& node);
  Status Arithmetic(const OnnxNode& node);
  Status Variadic(const OnnxNode& node);
  Status PassThrough(const OnnxNode& node);
  Status Cast(const OnnxNode& node);
  Status CastTo(const OnnxNode& node, ElementType to);
  Status CastLike(const OnnxNode& node);
  Status Softmax(const OnnxNode& node);
  Status Log(const OnnxNode& node);
  Result<OnnxValue> Normalized(const Label& label, const OnnxNode& softmax, OpType type);
  Result<OnnxValue> Combine(const Label& label, const std::string& op, const OnnxValue& a,
                            const OnnxValue& b);

  // shape.cc
  Status Reshape(const OnnxNode& node);
  Status Transpose(const OnnxNode& node);
  Status Pad(const OnnxNode& node);
  Status Slice(const OnnxNode& node);
  Status Split(const OnnxNode& node);
  Status Concat(const OnnxNode& node);
  Status Resize(const OnnxNode& node);
  Result<OnnxValue> Part(const Label& label, const OnnxValue& x,
                         const std::vector<GraphBuilder::Range>& ranges);
  Result<OnnxValue> Regrouped(const OnnxValue& x, Dims dims) const;

  // dense.cc
  Status Gemm(const OnnxNode& node);
  Status MatMul(const OnnxNode& node);
  static LayerWeights OutputFirst(const OnnxNode& node, const Constant& weights, bool transposed);

  // quantized.cc
  Status QuantizeLinear(const OnnxNode& node);
  Status DequantizeLinear(const OnnxNode& node);
  Result<LinearParameters> Linear(const OnnxNode& node, ElementType codes) const;
  Result<std::optional<Quantization>> InputQuantization(const std::string& name, bool is_signed);
  bool IsCodes(const OnnxValue& x) const {
    return x.is_activation() && builder_.TypeOf(x.view.id).dtype == DType::kU8;
  }
  float Meaning(const OnnxValue& codes, int64_t code) const;
  /// A limit or fill value, input `i`, for `x`: a number, or the code of one.
  Result<float> Number(const OnnxNode& node, size_t i, const OnnxValue& x, const char* what) const;

  // What handlers read.
  /// The opset whose rules the node follows.
  int64_t OpsetOf(const OnnxNode& node) const { return node.opset > 0 ? node.opset : opset_; }
  static std::string NodeName(const OnnxNode& node);
  static Label At(const OnnxNode& node) { return {NodeName(node), node.outputs[0]}; }
  bool HasInput(const OnnxNode& node, size_t i) const {
    return i < node.inputs.size() && !node.inputs[i].empty();
  }
  const OnnxValue& Input(const OnnxNode& node, size_t i) const {
    return values_.at(node.inputs[i]);
  }
  Result<const OnnxValue*> Activation(const OnnxNode& node, size_t i) const;
  /// The first input as [1,h,w,c].
  Result<TensorId> Image(const OnnxNode& node);
  Result<const Constant*> Floats(const OnnxNode& node, size_t i, const char* what) const;
  Result<std::vector<int64_t>> Integers(const OnnxNode& node, size_t i, const char* what) const;
  /// From the input `i` if the opset is at least `since`, else from the attribute; nothing when
  /// left out.
  Result<Axes> ReadAxes(const OnnxNode& node, size_t i, int64_t since) const;

  // The batch. The source's is 1, or a fixed number, or any; the graph's is 1. Views have it as 1.
  /// The dimensions with the source's batch.
  Dims SourceDims(const OnnxValue& x) const;
  /// kUnsupported when an operator works along dimension `d` (`what` it does), and the batch lies
  /// there.
  Status NotBatch(const OnnxValue& x, size_t d, const char* what) const;

  // What handlers give.
  void Set(const std::string& name, OnnxValue value) { values_[name] = std::move(value); }
  void Set(const OnnxNode& node, View view, int batch, ElementType type = ElementType::kFloat32) {
    Set(node.outputs[0], {nullptr, std::move(view), batch, type});
  }
  void Set(const std::string& name, Constant constant) {
    Set(name, {std::make_shared<const Constant>(std::move(constant)), {}, 0, {}});
  }

  const OnnxModel& model_;
  std::string path_;
  int64_t opset_ = 0;
  int64_t batch_ = 1;  ///< The source's; kAnyBatch for a dynamic one.
  int64_t stored_;     ///< Bytes of the file and of its external data.
  GraphBuilder builder_;
  Folder folder_;
  std::map<std::string, const OnnxTensor*> initializers_;
  std::map<std::string, const OnnxSparseTensor*> sparse_;  ///< Initializers, too.
  std::map<std::string, size_t> producers_;                ///< Node that computes a name.
  std::map<std::string, std::vector<size_t>> consumers_;
  std::set<std::string> needed_;  ///< Names on the way to an output.
  std::vector<bool> node_needed_;
  std::vector<size_t> order_;  ///< Needed nodes, each behind what it reads.
  std::map<std::string, OnnxValue> values_;
  std::map<std::string, FileBytes> external_files_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_ONNX_IMPORTER_H_
