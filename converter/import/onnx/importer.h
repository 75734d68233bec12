// The ONNX importer's state and its handlers, one for each kind of operator.
//
// ONNX graphs are NCHW (or, from TensorFlow, NCHW inside with transposes at the ends); Graph is
// NHWC. No data is ever transposed at run time: each ONNX value is a View of a tensor. Reshapes and
// transposes change only the view. An operator then asks for the view that it needs, and weights
// are permuted to match.
#ifndef OCTET_CONVERTER_IMPORT_ONNX_IMPORTER_H_
#define OCTET_CONVERTER_IMPORT_ONNX_IMPORTER_H_

#include <cstdint>
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
  std::shared_ptr<const OnnxConstant> constant;
  View view;
  int batch = 0;           ///< Dimension whose outermost part is the batch.
  bool is_signed = false;  ///< Codes of int8, which the tensor has 128 higher.

  bool is_constant() const { return constant != nullptr; }
  bool is_activation() const { return view.id != kNoTensor; }
};

class OnnxImporter {
 public:
  OnnxImporter(const OnnxModel& model, std::string path, int64_t file_bytes);

  Result<Graph> Import();

 private:
  using Handler = Status (OnnxImporter::*)(const OnnxNode&);
  using Axes = std::optional<std::vector<int64_t>>;

  // The graph as a whole: import.cc.
  static Handler FindHandler(const std::string& op_type);
  Status CheckModel();
  Status IndexNodes();
  Status SortNodes();
  Status AddInputs();
  Status ImportNodes();
  Status AddOutputs();
  Result<TensorId> OutputTensor(const Label& label, const OnnxValue& x);
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
  Result<WideWindow> ReadWindow(const OnnxNode& node, const Shape& image, const OnnxDims* kernel,
                                bool* partial) const;

  // elementwise.cc
  Status BatchNormalization(const OnnxNode& node);
  Status Relu(const OnnxNode& node);
  Status Clip(const OnnxNode& node);
  Status Arithmetic(const OnnxNode& node);
  Status Sum(const OnnxNode& node);
  Status PassThrough(const OnnxNode& node);
  Status Cast(const OnnxNode& node);
  Status CastLike(const OnnxNode& node);
  Status Softmax(const OnnxNode& node);
  Result<OnnxValue> Combine(const Label& label, const std::string& op, const OnnxValue& a,
                            const OnnxValue& b);

  // shape.cc
  Status Reshape(const OnnxNode& node);
  Status Transpose(const OnnxNode& node);
  Status Pad(const OnnxNode& node);
  Status Slice(const OnnxNode& node);
  Status Split(const OnnxNode& node);
  Status Concat(const OnnxNode& node);
  Result<OnnxValue> Part(const Label& label, const OnnxValue& x,
                         const std::vector<OnnxSliceRange>& ranges);
  Result<OnnxValue> Regrouped(const OnnxValue& x, OnnxDims dims) const;

  // dense.cc
  Status Gemm(const OnnxNode& node);
  Status MatMul(const OnnxNode& node);
  static LayerWeights OutputFirst(const OnnxNode& node, const OnnxConstant& weights,
                                  bool transposed);

  // quantized.cc
  Status QuantizeLinear(const OnnxNode& node);
  Status DequantizeLinear(const OnnxNode& node);
  Result<LinearParameters> Linear(const OnnxNode& node, OnnxType codes) const;
  Result<std::optional<Quantization>> InputQuantization(const std::string& name, bool is_signed);
  static bool TakesCodes(const std::string& op_type);
  bool IsCodes(const OnnxValue& x) const {
    return x.is_activation() && builder_.TypeOf(x.view.id).dtype == DType::kU8;
  }
  float Meaning(const OnnxValue& codes, int64_t code) const;
  /// A limit or fill value, input `i`, for `x`: a number, or the code of one.
  Result<float> Number(const OnnxNode& node, size_t i, const OnnxValue& x, const char* what) const;

  // What handlers read.
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
  Result<const OnnxConstant*> Floats(const OnnxNode& node, size_t i, const char* what) const;
  Result<std::vector<int64_t>> Integers(const OnnxNode& node, size_t i, const char* what) const;
  /// From the input `i` if the opset is at least `since`, else from the attribute; nothing when
  /// left out.
  Result<Axes> ReadAxes(const OnnxNode& node, size_t i, int64_t since) const;

  // The batch. The source's is 1, or a fixed number, or any; the graph's is 1. Views have it as 1.
  /// The dimensions with the source's batch.
  OnnxDims SourceDims(const OnnxValue& x) const;
  /// kUnsupported when an operator works along dimension `d` (`what` it does), and the batch lies
  /// there.
  Status NotBatch(const OnnxValue& x, size_t d, const char* what) const;

  // What handlers give.
  void Set(const std::string& name, OnnxValue value) { values_[name] = std::move(value); }
  void Set(const OnnxNode& node, View view, int batch) {
    Set(node.outputs[0], {nullptr, std::move(view), batch});
  }
  void Set(const OnnxNode& node, OnnxConstant constant) {
    Set(node.outputs[0], {std::make_shared<const OnnxConstant>(std::move(constant)), {}, 0});
  }

  const OnnxModel& model_;
  std::string path_;
  int64_t opset_ = 0;
  int64_t batch_ = 1;  ///< The source's; kAnyBatch for a dynamic one.
  int64_t stored_;     ///< Bytes of the file and of its external data.
  GraphBuilder builder_;
  OnnxBudget budget_;
  std::map<std::string, const OnnxTensor*> initializers_;
  std::map<std::string, size_t> producers_;  ///< Node that computes a name.
  std::map<std::string, std::vector<size_t>> consumers_;
  std::set<std::string> needed_;  ///< Names on the way to an output.
  std::vector<bool> node_needed_;
  std::vector<size_t> order_;  ///< Needed nodes, each behind what it reads.
  std::map<std::string, OnnxValue> values_;
  std::map<std::string, FileBytes> external_files_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_ONNX_IMPORTER_H_
