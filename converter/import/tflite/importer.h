// The TFLite importer's state and its handlers, one for each kind of operator.
//
// Each activation of the file is a View of a tensor of the graph, which is NHWC: reshapes and
// transposes change only the view. A quantized tensor of any 8-bit type becomes kU8: int8 with its
// zero point moved by 128, which changes no real value; one of int16 stays so. A quantized layer
// keeps its int8 weights, their scales and its bias, into which the input's zero point is folded.
#ifndef OCTET_CONVERTER_IMPORT_TFLITE_IMPORTER_H_
#define OCTET_CONVERTER_IMPORT_TFLITE_IMPORTER_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "converter/import/builder/graph_builder.h"
#include "converter/import/builder/operator_row.h"
#include "converter/import/builder/space_to_batch.h"
#include "converter/import/tflite/reader.h"
#include "converter/import/tflite/tflite_schema_generated.h"

namespace octet {

class TfliteImporter {
 public:
  /// `file` must outlive the importer.
  explicit TfliteImporter(const TfliteFile& file);

  Result<Graph> Run();

  /// What is taken.
  static std::vector<OperatorRow> Operators();

 private:
  using Handler = Status (TfliteImporter::*)();
  struct Row {
    int code;  ///< BuiltinOperator of the public schema.
    Handler handler;
    tflite::BuiltinOptions options;             ///< Type of its options, or NONE.
    const flatbuffers::TypeTable* (*fields)();  ///< Of the options, or null.
    const char* limits;                         ///< For people.
  };
  using Range = GraphBuilder::Range;

  /// What an activation function leaves of a value.
  struct Limits {
    float low = -std::numeric_limits<float>::infinity();
    float high = std::numeric_limits<float>::infinity();
    bool any() const {
      return low > -std::numeric_limits<float>::infinity() ||
             high < std::numeric_limits<float>::infinity();
    }
    /// The same as part of an operator that gives `type`, or kNone if that has none for it.
    Activation inside(const ValueType& type) const;
  };

  // ---- The graph as a whole: import.cc ----

  static const std::vector<Row>& Rows();
  static const Row* Find(int code);
  /// Refuses options of another operator and fields that are not known, then converts.
  Status Convert(const Row& row);
  std::vector<bool> Needed() const;
  /// Whether all that is done with an input is to transpose it from NCHW.
  bool IsChannelsFirst(int index) const;
  Status AddInput(int index);
  Status AddOutput(int index);
  std::string Where(const TfliteOperator& op) const;

  // ---- layers.cc ----

  Status Conv();
  Status DepthwiseConv();
  Status FullyConnected();
  Status SpaceToBatch();
  Status BatchToSpace();
  Status Pool();
  Status Reduce();
  template <typename Table>
  Status Convolution(const Table& options, bool depthwise);
  Result<Dims> WeightDims(size_t rank) const;
  Result<LayerWeights> ReadLayer(int out, const ValueType& in, const Shape& shape, bool depthwise,
                                 const Limits& limits);
  Status CheckInt16(int index, const Quantization& in, const LayerWeights& layer) const;
  Status ReadIntegers(int index, const Quantization& in, bool depthwise, LayerWeights* layer);
  Result<BatchBlocks> ReadBlocks(const TfliteOperator& op) const;
  static Status SetPadding(tflite::Padding padding, const Shape& x, WideWindow* window);
  Status CheckBiasType(tflite::TensorType type) const;

  // ---- elementwise.cc ----

  Status Binary();
  Status AddN();
  Status Relu();
  Status MinMax();
  Status Softmax();
  Status SoftmaxOfInt16(View x, float beta);
  Status Function();
  Status Negate();
  Status Quantize();
  /// Of a constant: `out` becomes one as well, its codes from `low` to `high`.
  Status QuantizeConstant(int in, int out, int low, int high);
  Status FakeQuantize();
  Status Dequantize();
  Status Cast();
  Status WithConstant(int x, int constant, const Limits& limits);
  Status CheckInt16Sum(float a, float b, float y) const;
  Status CheckInt16Product(float a, float b, float y) const;
  Result<TensorId> Negative(const std::string& name, TensorId x);

  // ---- shapes.cc ----

  Status Pad();
  Status Reshape();
  Status Squeeze();
  Status ExpandDims();
  Status Transpose();
  Status TransposeCodes(int in, const std::vector<int64_t>& order);
  Status Concat();
  Status Slice();
  Status StridedSlice();
  Status Split();
  Status Unpack();
  Status Gather();
  Status Reverse();
  Status ShapeOf();
  Status Pack();
  Status ReduceProd();
  /// One range for each dimension; those of `dropped` go.
  Result<View> Part(const Label& label, const View& x, const std::vector<Range>& ranges,
                    const std::vector<bool>& dropped = {});
  std::vector<Range> Whole(const View& x) const;
  bool AllFolded() const;
  Status Fold(Result<Constant> value);
  /// All inputs, along an axis that is there or a new one.
  Status FoldJoined(int64_t axis, bool is_new);

  // ---- What handlers read ----

  const TfliteTensor& tensor(int index) const { return file_.tensors[static_cast<size_t>(index)]; }
  bool HasInput(size_t n) const { return n < op_->inputs.size() && op_->inputs[n] >= 0; }
  Result<int> Input(size_t n) const;
  Result<int> Output() const;
  bool IsConstant(int index) const { return constant_[static_cast<size_t>(index)] >= 0; }
  const TfliteTensor& ConstantOf(int index) const {
    return tensor(constant_[static_cast<size_t>(index)]);
  }
  /// The graph's view of an activation of the file, or of the operator's n-th input.
  Result<View> ViewOf(int index) const;
  Result<View> InputView(size_t n) const;
  /// As [1,h,w,c].
  Result<TensorId> InputImage(const Label& label);
  /// Integers known without running: a constant, or what Shape, StridedSlice and Pack made of
  /// shapes.
  Result<Constant> Known(int index) const;
  Result<std::vector<int64_t>> Integers(int index) const;
  Result<std::vector<int64_t>> InputIntegers(size_t n) const;
  Result<int64_t> InputInteger(size_t n) const;
  Result<std::vector<float>> Floats(int index);
  /// Element type and quantization of an activation.
  Result<ValueType> TypeOf(int index) const;
  ValueType TypeOf(const View& v) const { return builder_.TypeOf(v.id); }
  /// A dimension of `x`, counted from behind where `axis` is negative, that is not the batch.
  static Result<size_t> Axis(int64_t axis, size_t rank);
  /// The first of the joined names of everything that was fused into an operator.
  std::string NameOf(int index) const {
    return tensor(index).name.substr(0, tensor(index).name.find(';'));
  }
  template <typename T>
  static Result<const T*> Options(const T* options) {
    if (options != nullptr) return options;
    return Corrupt("its options are missing");
  }
  static Result<Limits> Fused(tflite::ActivationFunctionType type);

  // ---- What handlers give ----

  /// The same real values with another scale and zero point.
  Result<View> Requantize(const Label& label, View x, const ValueType& to);
  /// Clips, in integers at the codes that TFLite clips at.
  Result<View> Clip(const Label& label, View x, const Limits& limits);
  /// Views of one rank with their axes in one order.
  Result<std::vector<View>> Alike(const Label& label, std::vector<View> views);
  /// Runs `emit` in the input's quantization and gives the result the output's: operators that only
  /// move values cannot rescale.
  Status Move(const std::function<Result<View>(const Label& label, const View& x)>& emit);
  /// Runs `emit` on real numbers, as TFLite does nearly: its tables are made of floats.
  Status InFloat(std::vector<View> inputs,
                 const std::function<Result<View>(const Label& label, std::vector<View> x)>& emit);
  /// Records what an output tensor of the file is, and compares its shape with what the file says.
  Status Finish(int out, View view);

  TfliteFile file_;
  GraphBuilder builder_;
  Folder folder_;
  int64_t batch_ = 1;          ///< As the file writes it; the graph's is 1.
  bool open_batch_ = false;    ///< The file says that it may be any.
  std::vector<View> views_;    ///< Of each activation.
  std::vector<int> constant_;  ///< File tensor with each constant's data, -1 for activations.
  /// Codes of constants that the file quantizes, by tensor: weights of quantization-aware training.
  std::map<int, std::vector<std::byte>> codes_;
  std::vector<std::optional<Constant>> folded_;  ///< Integers known in advance.
  std::vector<bool> failed_;                     ///< Outputs of refused operators.
  std::vector<bool> needed_;                     ///< On the way to an output.
  /// Between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, by tensor.
  struct Batched {
    BatchBlocks blocks;
    TensorId x = kNoTensor;  ///< What went in; behind the convolution what comes out in the end.
    bool convolved = false;
  };
  std::map<int, Batched> batched_;
  std::map<int, const TfliteOperator*> back_to_space_;  ///< BATCH_TO_SPACE_ND by what it reads.
  const TfliteOperator* op_ = nullptr;
  int hybrid_layers_ = 0, half_constants_ = 0;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_TFLITE_IMPORTER_H_
