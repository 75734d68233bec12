// TFLite models as graphs: the table of operators, and the graph as a whole.
#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "converter/import/importer.h"
#include "converter/import/tflite/importer.h"
#include "formats/model/analysis.h"

namespace octet {
namespace {

// A forged file of a few bytes may ask for per-channel constants of any length; an honest one never
// exceeds this.
constexpr int64_t kExtraConstantBytes = int64_t{64} << 20;
/// Most integers computed from a shape.
constexpr int64_t kMaxFolded = 64;
constexpr int kTransposeCode = 39, kBatchToSpaceCode = 37;

constexpr char kWindows[] = "constant weights; fused NONE, RELU, RELU6, RELU_N1_TO_1";
constexpr char kArithmetic[] = "two activations of one shape, or a constant that broadcasts to one";
constexpr char kSub[] =
    "two activations of one shape, not of int16; or an activation and a constant that broadcasts "
    "to "
    "its shape, of int16 only subtracted";
constexpr char kEnd[] = "in float32; of 8 bits between dequantization and quantization";
constexpr char kSoftmax[] =
    "in float32; of 8 bits between dequantization and quantization; of int16 exactly";
constexpr char kLimits[] = "of an activation and one constant";
constexpr char kNotBatch[] = "not along the batch";
constexpr char kShapes[] = "of shapes only";

}  // namespace

const std::vector<TfliteImporter::Row>& TfliteImporter::Rows() {
  using I = TfliteImporter;
  using B = tflite::BuiltinOptions;
  static const std::vector<Row> rows = {
      {0, &I::Binary, B::AddOptions, tflite::AddOptionsTypeTable, kArithmetic},
      {1, &I::Pool, B::Pool2DOptions, tflite::Pool2DOptionsTypeTable, ""},
      {2, &I::Concat, B::ConcatenationOptions, tflite::ConcatenationOptionsTypeTable, kNotBatch},
      {3, &I::Conv, B::Conv2DOptions, tflite::Conv2DOptionsTypeTable, kWindows},
      {4, &I::DepthwiseConv, B::DepthwiseConv2DOptions, tflite::DepthwiseConv2DOptionsTypeTable,
       kWindows},
      {6, &I::Dequantize, B::DequantizeOptions, tflite::DequantizeOptionsTypeTable, ""},
      {9, &I::FullyConnected, B::FullyConnectedOptions, tflite::FullyConnectedOptionsTypeTable,
       "constant weights, not shuffled; on all features, or at every pixel"},
      {14, &I::Function, B::NONE, nullptr, kEnd},
      {17, &I::Pool, B::Pool2DOptions, tflite::Pool2DOptionsTypeTable, ""},
      {18, &I::Binary, B::MulOptions, tflite::MulOptionsTypeTable, kArithmetic},
      {19, &I::Relu, B::NONE, nullptr, ""},
      {20, &I::Relu, B::NONE, nullptr, ""},
      {21, &I::Relu, B::NONE, nullptr, ""},
      {22, &I::Reshape, B::ReshapeOptions, tflite::ReshapeOptionsTypeTable,
       "keeps the batch first"},
      {25, &I::Softmax, B::SoftmaxOptions, tflite::SoftmaxOptionsTypeTable, kSoftmax},
      {28, &I::Function, B::NONE, nullptr, kEnd},
      {34, &I::Pad, B::PadOptions, tflite::PadOptionsTypeTable, kNotBatch},
      {36, &I::Gather, B::GatherOptions, tflite::GatherOptionsTypeTable,
       "constant indices in even steps; or of shapes"},
      {kBatchToSpaceCode, &I::BatchToSpace, B::BatchToSpaceNDOptions,
       tflite::BatchToSpaceNDOptionsTypeTable, "around one convolution"},
      {38, &I::SpaceToBatch, B::SpaceToBatchNDOptions, tflite::SpaceToBatchNDOptionsTypeTable,
       "around one convolution"},
      {kTransposeCode, &I::Transpose, B::TransposeOptions, tflite::TransposeOptionsTypeTable,
       "between NCHW and NHWC"},
      {40, &I::Reduce, B::ReducerOptions, tflite::ReducerOptionsTypeTable,
       "over height, width or both; of integers over both"},
      {41, &I::Binary, B::SubOptions, tflite::SubOptionsTypeTable, kSub},
      {42, &I::Binary, B::DivOptions, tflite::DivOptionsTypeTable,
       "of an activation by a constant"},
      {43, &I::Squeeze, B::SqueezeOptions, tflite::SqueezeOptionsTypeTable, kNotBatch},
      {45, &I::StridedSlice, B::StridedSliceOptions, tflite::StridedSliceOptionsTypeTable,
       "not of the batch; backwards over all channels only; no ellipsis, new axis or offset"},
      {49, &I::Split, B::SplitOptions, tflite::SplitOptionsTypeTable, kNotBatch},
      {50, &I::Softmax, B::LogSoftmaxOptions, tflite::LogSoftmaxOptionsTypeTable, kEnd},
      {53, &I::Cast, B::CastOptions, tflite::CastOptionsTypeTable,
       "of uint8 pixels to float32, and of shapes"},
      {55, &I::MinMax, B::MaximumMinimumOptions, tflite::MaximumMinimumOptionsTypeTable, kLimits},
      {57, &I::MinMax, B::MaximumMinimumOptions, tflite::MaximumMinimumOptionsTypeTable, kLimits},
      {59, &I::Negate, B::NegOptions, tflite::NegOptionsTypeTable, "in float32"},
      {60, &I::Pad, B::PadV2Options, tflite::PadV2OptionsTypeTable, kNotBatch},
      {65, &I::Slice, B::SliceOptions, tflite::SliceOptionsTypeTable, kNotBatch},
      {70, &I::ExpandDims, B::ExpandDimsOptions, tflite::ExpandDimsOptionsTypeTable, kNotBatch},
      {74, &I::Reduce, B::ReducerOptions, tflite::ReducerOptionsTypeTable,
       "over height, width or both, in float32"},
      {77, &I::ShapeOf, B::ShapeOptions, tflite::ShapeOptionsTypeTable, ""},
      {80, &I::FakeQuantize, B::FakeQuantOptions, tflite::FakeQuantOptionsTypeTable,
       "to 2 to 8 bits"},
      {81, &I::ReduceProd, B::ReducerOptions, tflite::ReducerOptionsTypeTable, kShapes},
      {82, &I::Reduce, B::ReducerOptions, tflite::ReducerOptionsTypeTable,
       "over height, width or both"},
      {83, &I::Pack, B::PackOptions, tflite::PackOptionsTypeTable, kShapes},
      {88, &I::Unpack, B::UnpackOptions, tflite::UnpackOptionsTypeTable, kNotBatch},
      {98, &I::Function, B::LeakyReluOptions, tflite::LeakyReluOptionsTypeTable, "in float32"},
      {102, &I::Split, B::SplitVOptions, tflite::SplitVOptionsTypeTable, kNotBatch},
      {105, &I::Reverse, B::ReverseV2Options, tflite::ReverseV2OptionsTypeTable, "of all channels"},
      {106, &I::AddN, B::AddNOptions, tflite::AddNOptionsTypeTable, "of activations of one shape"},
      {114, &I::Quantize, B::QuantizeOptions, tflite::QuantizeOptionsTypeTable,
       "to 8 or 16 bits with one scale"},
      {152, &I::Relu, B::NONE, nullptr, ""},
  };
  return rows;
}

const TfliteImporter::Row* TfliteImporter::Find(int code) {
  for (const Row& row : Rows()) {
    if (row.code == code) return &row;
  }
  return nullptr;
}

std::vector<OperatorRow> TfliteImporter::Operators() {
  std::vector<OperatorRow> operators;
  for (const Row& row : Rows())
    operators.push_back({"tflite", TfliteOperatorName(row.code), row.limits});
  return operators;
}

TfliteImporter::TfliteImporter(const TfliteFile& file)
    : file_(file),
      builder_("_", 1, static_cast<int64_t>(file.bytes) * 8 + kExtraConstantBytes),
      folder_(&builder_, kMaxFolded * 8, false),
      views_(file.tensors.size()),
      constant_(file.tensors.size(), -1),
      folded_(file.tensors.size()),
      failed_(file.tensors.size(), false),
      needed_(Needed()) {
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    if (file.tensors[i].is_constant()) constant_[i] = static_cast<int>(i);
  }
  for (const TfliteOperator& op : file_.operators) {
    if (op.code == kBatchToSpaceCode && !op.inputs.empty()) back_to_space_[op.inputs[0]] = &op;
  }
}

std::vector<bool> TfliteImporter::Needed() const {
  std::vector<bool> needed(file_.tensors.size(), false);
  for (int i : file_.outputs) needed[static_cast<size_t>(i)] = true;
  for (auto op = file_.operators.rbegin(); op != file_.operators.rend(); ++op) {
    if (std::none_of(op->outputs.begin(), op->outputs.end(),
                     [&](int t) { return needed[static_cast<size_t>(t)]; }))
      continue;
    for (int t : op->inputs) {
      if (t >= 0) needed[static_cast<size_t>(t)] = true;
    }
  }
  return needed;
}

Result<Graph> TfliteImporter::Run() {
  for (int i : file_.inputs) OCTET_RETURN_IF_ERROR(AddInput(i));
  Problems problems;
  for (const TfliteOperator& op : file_.operators) {
    op_ = &op;
    const auto any = [&](const std::vector<int>& tensors, const std::vector<bool>& of) {
      return std::any_of(tensors.begin(), tensors.end(),
                         [&](int t) { return t >= 0 && of[static_cast<size_t>(t)]; });
    };
    const Row* row = Find(op.code);
    if (row != nullptr && !any(op.outputs, needed_)) continue;
    // What only depends on an operator that has been refused is not worth a message of its own.
    const bool broken = any(op.inputs, failed_);
    Status status = row == nullptr || broken ? Unsupported("") : Convert(*row);
    if (status.ok()) continue;
    if (status.code() != StatusCode::kUnsupported) return std::move(status).WithContext(Where(op));
    for (int t : op.outputs) failed_[static_cast<size_t>(t)] = true;
    if (row == nullptr || !broken)
      problems.Add(op.name, op.outputs.empty() ? "" : NameOf(op.outputs[0]), status.message());
  }
  OCTET_RETURN_IF_ERROR(problems.ToStatus());
  for (int i : file_.outputs) OCTET_RETURN_IF_ERROR(AddOutput(i));
  Graph& graph = builder_.graph();
  const auto gives_codes = [&](const Node& n) { return IsCodes(graph.tensor(n.output).dtype); };
  const bool integers = std::any_of(graph.nodes.begin(), graph.nodes.end(), gives_codes);
  // Quantization-aware training, not converted to integers: float operators between roundings to
  // codes, weights too. As in ONNX files, integers may compute them, as near as floats do.
  const bool fake =
      !codes_.empty() && std::none_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& n) {
        return gives_codes(n) && n.type != OpType::kQuantize && n.type != OpType::kClip;
      });
  if (integers && !fake) graph.metadata.rounding = Rounding::kTflite;
  const bool int16 = std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& n) {
    return graph.tensor(n.output).dtype == DType::kI16;
  });
  graph.metadata.precision = int16                 ? Precision::kInt16x8
                             : integers            ? Precision::kInt8
                             : hybrid_layers_ > 0  ? Precision::kHybrid
                             : half_constants_ > 0 ? Precision::kFp16
                                                   : Precision::kFp32;
  graph.metadata.source = StrCat("tflite ", PrecisionName(graph.metadata.precision));
  OCTET_RETURN_IF_ERROR(CheckGraph(graph));
  return std::move(graph);
}

std::string TfliteImporter::Where(const TfliteOperator& op) const {
  return StrCat("operator ", &op - file_.operators.data(), " (", op.name,
                op.outputs.empty() ? "" : StrCat(" -> '", tensor(op.outputs[0]).name, "'"), ")");
}

Status TfliteImporter::Convert(const Row& row) {
  if (!op_->refused.empty()) return Unsupported(StrCat("its field ", op_->refused, " is set"));
  const tflite::BuiltinOptions type = op_->table->builtin_options_type();
  if (type != tflite::BuiltinOptions::NONE && op_->table->builtin_options() != nullptr) {
    if (type != row.options) {
      return Unsupported(StrCat("its options are number ", static_cast<int>(type),
                                " of BuiltinOptions, expected ", static_cast<int>(row.options)));
    }
    const int field = UnknownTfliteField(op_->table->builtin_options(), row.fields()->num_elems);
    if (field >= 0)
      return Unsupported(StrCat("its options have a field ", field, " of a newer schema"));
  }
  return (this->*row.handler)();
}

// ---- Inputs and outputs ----

bool TfliteImporter::IsChannelsFirst(int index) const {
  std::set<int> same{index};  // The input, and what has its dimensions.
  bool moved = false;
  for (const TfliteOperator& op : file_.operators) {
    if (op.inputs.empty() || op.outputs.empty() || same.count(op.inputs[0]) == 0) continue;
    if (op.code == kTransposeCode) {
      const Result<std::vector<int64_t>> order =
          op.inputs.size() < 2 || op.inputs[1] < 0
              ? Result<std::vector<int64_t>>(Corrupt("no order"))
              : Integers(op.inputs[1]);
      if (!order.ok() || *order != std::vector<int64_t>{0, 2, 3, 1}) return false;
      moved = true;
      continue;
    }
    const Row* row = Find(op.code);
    if (row == nullptr) return false;
    // What does the same to both orders.
    const Handler neutral[] = {&TfliteImporter::Quantize, &TfliteImporter::Dequantize,
                               &TfliteImporter::Cast, &TfliteImporter::Binary};
    if (std::find(std::begin(neutral), std::end(neutral), row->handler) == std::end(neutral))
      return false;
    same.insert(op.outputs[0]);
  }
  return moved;
}

Status TfliteImporter::AddInput(int index) {
  const TfliteTensor& t = tensor(index);
  const auto text = [](const std::vector<int32_t>& shape) {
    return DimsText({shape.begin(), shape.end()});
  };
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(index));
  const size_t rank = t.shape.size();
  if (rank < 2 || rank > 4)
    return Unsupported(
        StrCat("input '", t.name, "' has shape ", text(t.shape), ", expected rank 2 to 4"));
  Dims dims{1};
  for (size_t d = 1; d < rank; ++d) {
    if (t.shape[d] < 1 || (!t.signature.empty() && t.signature[d] < 1)) {
      return Unsupported(StrCat("input '", t.name, "' has no fixed size: ",
                                text(t.signature.empty() ? t.shape : t.signature)));
    }
    dims.push_back(t.shape[d]);
  }
  if (t.shape[0] < 1) return Corrupt(StrCat("input '", t.name, "' has shape ", text(t.shape)));
  if (!builder_.graph().inputs.empty() && batch_ != t.shape[0])
    return Unsupported("inputs of different batch sizes");
  if (views_[static_cast<size_t>(index)].id != kNoTensor)
    return Corrupt(StrCat("input '", t.name, "' is listed twice"));
  batch_ = t.shape[0];
  open_batch_ = open_batch_ || (!t.signature.empty() && t.signature[0] < 0);
  const bool channels_first = rank == 4 && IsChannelsFirst(index);
  // An image without channels has one.
  const Shape shape = rank == 2        ? Shape{1, dims[1]}
                      : rank == 3      ? Shape{1, dims[1], dims[2], 1}
                      : channels_first ? Shape{1, dims[2], dims[3], dims[1]}
                                       : Shape{1, dims[1], dims[2], dims[3]};
  const TensorId id = builder_.AddInput(NameOf(index), type, shape);
  builder_.graph().inputs_channels_first.push_back(channels_first);
  View view = channels_first ? builder_.ChannelsFirst(id) : builder_.Plain(id);
  view.dims = dims;
  views_[static_cast<size_t>(index)] = std::move(view);
  return OkStatus();
}

Status TfliteImporter::AddOutput(int index) {
  const std::string name = NameOf(index);
  const auto where = [&](const Status& status) {
    return Status(status).WithContext(StrCat("output '", name, "'"));
  };
  const Result<View> found = ViewOf(index);
  if (!found.ok()) return where(found.status());
  // Other ranks than the graph's, and rows of several pixels, are the same elements as the tensor.
  const View& view = *found;
  const size_t rank = view.dims.size();
  Shape shape = builder_.ShapeOf(view);
  if (view.dims[0] == 1 && (rank == 2 || rank == 4)) {
    shape = {};
    for (int64_t d : view.dims) shape.push_back(d);
  }
  Result<TensorId> id = builder_.AsLinear(name, view, shape);
  if (!id.ok()) return where(id.status());
  const std::vector<TensorId>& inputs = builder_.graph().inputs;
  std::vector<TensorId>& outputs = builder_.graph().outputs;
  if (std::find(outputs.begin(), outputs.end(), *id) != outputs.end() ||
      std::find(inputs.begin(), inputs.end(), *id) != inputs.end()) {
    OCTET_ASSIGN_OR_RETURN(
        id, builder_.Emit(OpType::kReshape, name, {*id}, builder_.TypeOf(*id), {}, shape));
  }
  // An output that only renames another tensor still goes by its own name.
  builder_.Rename(*id, name);
  outputs.push_back(*id);
  return OkStatus();
}

// ---- What handlers read ----

Result<int> TfliteImporter::Input(size_t n) const {
  if (HasInput(n)) return op_->inputs[n];
  return Corrupt(StrCat("no input ", n));
}

Result<int> TfliteImporter::Output() const {
  if (op_->outputs.size() == 1) return op_->outputs[0];
  return Corrupt(StrCat(op_->outputs.size(), " outputs, expected 1"));
}

Result<View> TfliteImporter::ViewOf(int index) const {
  const View& view = views_[static_cast<size_t>(index)];
  if (view.id != kNoTensor) return view;
  if (IsConstant(index))
    return Unsupported(
        StrCat("'", tensor(index).name, "' is a constant where an activation is expected"));
  if (folded_[static_cast<size_t>(index)])
    return Unsupported(StrCat("'", tensor(index).name, "' is computed from a shape"));
  if (batched_.count(index) > 0) return Unsupported(kOnlyConvolution);
  return Corrupt(StrCat("'", tensor(index).name, "' is read before anything computes it"));
}

Result<View> TfliteImporter::InputView(size_t n) const {
  OCTET_ASSIGN_OR_RETURN(const int index, Input(n));
  return ViewOf(index);
}

Result<TensorId> TfliteImporter::InputImage(const Label& label) {
  OCTET_ASSIGN_OR_RETURN(const View x, InputView(0));
  return builder_.AsImage(label, x, true);
}

Result<Constant> TfliteImporter::Known(int index) const {
  if (folded_[static_cast<size_t>(index)]) return *folded_[static_cast<size_t>(index)];
  if (IsConstant(index)) return ReadTfliteIntegers(ConstantOf(index));
  return Unsupported(StrCat("'", tensor(index).name,
                            "' depends on the input; only values known in advance are supported"));
}

Result<std::vector<int64_t>> TfliteImporter::Integers(int index) const {
  OCTET_ASSIGN_OR_RETURN(Constant c, Known(index));
  return std::move(c.ints);
}

Result<std::vector<int64_t>> TfliteImporter::InputIntegers(size_t n) const {
  OCTET_ASSIGN_OR_RETURN(const int index, Input(n));
  return Integers(index);
}

Result<int64_t> TfliteImporter::InputInteger(size_t n) const {
  OCTET_ASSIGN_OR_RETURN(const std::vector<int64_t> values, InputIntegers(n));
  if (values.size() != 1)
    return Corrupt(StrCat("input ", n, " has ", values.size(), " numbers, expected 1"));
  return values[0];
}

Result<std::vector<float>> TfliteImporter::Floats(int index) {
  if (!IsConstant(index))
    return Unsupported(StrCat("'", tensor(index).name, "' is not a constant"));
  const TfliteTensor& t = ConstantOf(index);
  OCTET_RETURN_IF_ERROR(builder_.Charge(static_cast<int64_t>(t.data.size()) * 4));
  if (t.type == ElementType::kFloat16) ++half_constants_;
  return ReadTfliteFloats(t);
}

Result<ValueType> TfliteImporter::TypeOf(int index) const {
  const TfliteTensor& t = tensor(index);
  if (t.type == ElementType::kFloat32) return ValueType{};
  if (t.type == ElementType::kInt16) {
    if (t.scale.size() == 1 && t.zero_point[0] == 0) return ValueType{DType::kI16, {t.scale[0], 0}};
    return Unsupported(StrCat("activation '", t.name, "' of int16 has ", t.scale.size(),
                              " scales and zero point ", t.scale.empty() ? 0 : t.zero_point[0],
                              ", expected 1 and 0"));
  }
  if (t.type != ElementType::kInt8 && t.type != ElementType::kUint8) {
    return Unsupported(StrCat("activation '", t.name, "' of ", TypeName(t.type),
                              ", expected float32, int8, uint8 or int16"));
  }
  // Pixels that a model casts to float itself carry no scale.
  if (t.scale.empty() && t.type == ElementType::kUint8) return ValueType{DType::kU8, {1.0f, 0}};
  if (t.scale.size() != 1)
    return Unsupported(
        StrCat("activation '", t.name, "' has ", t.scale.size(), " scales, expected 1"));
  const int64_t low = t.type == ElementType::kInt8 ? -128 : 0;
  if (t.zero_point[0] < low || t.zero_point[0] > low + 255) {
    return Corrupt(StrCat("'", t.name, "' has zero point ", t.zero_point[0], ", expected ", low,
                          " to ", low + 255));
  }
  return ValueType{DType::kU8, {t.scale[0], static_cast<int32_t>(t.zero_point[0] - low)}};
}

Result<size_t> TfliteImporter::Axis(int64_t axis, size_t rank) {
  OCTET_ASSIGN_OR_RETURN(const size_t d, NormalizeAxis(axis, rank));
  if (d == 0) return Unsupported("it works along the batch");
  return d;
}

Result<TfliteImporter::Limits> TfliteImporter::Fused(tflite::ActivationFunctionType type) {
  switch (type) {
    case tflite::ActivationFunctionType::NONE:
      return Limits{};
    case tflite::ActivationFunctionType::RELU:
      return Limits{0.0f, Limits{}.high};
    case tflite::ActivationFunctionType::RELU_N1_TO_1:
      return Limits{-1.0f, 1.0f};
    case tflite::ActivationFunctionType::RELU6:
      return Limits{0.0f, 6.0f};
    case tflite::ActivationFunctionType::TANH:  // Which LiteRT's kernels leave out.
    case tflite::ActivationFunctionType::SIGN_BIT:
      break;
  }
  return Unsupported(StrCat("fused activation function ", static_cast<int>(type),
                            ", expected NONE, RELU, RELU6 or RELU_N1_TO_1"));
}

// ---- What handlers give ----

Status TfliteImporter::Finish(int out, View view) {
  const TfliteTensor& t = tensor(out);
  if (views_[static_cast<size_t>(out)].id != kNoTensor || IsConstant(out))
    return Corrupt(StrCat("'", t.name, "' is computed twice"));
  bool known = t.shape.size() == view.dims.size();
  for (size_t d = 1; known && d < t.shape.size(); ++d)
    known = t.signature.empty() || t.signature[d] >= 0;
  for (size_t d = 1; known && d < t.shape.size(); ++d) {
    if (t.shape[d] != view.dims[d]) {
      return Corrupt(StrCat("'", t.name, "' has shape ", DimsText({t.shape.begin(), t.shape.end()}),
                            ", expected ", DimsText(view.dims)));
    }
  }
  views_[static_cast<size_t>(out)] = std::move(view);
  return OkStatus();
}

Result<std::vector<View>> TfliteImporter::Alike(const Label& label, std::vector<View> views) {
  bool same = true;
  for (const View& v : views) {
    if (v.dims.size() != views[0].dims.size()) return Corrupt("inputs of different ranks");
    same = same && v.dims == views[0].dims && v.perm == views[0].perm &&
           builder_.ShapeOf(v) == builder_.ShapeOf(views[0]);
  }
  if (same) return views;
  return builder_.AsAlike(label, std::move(views));
}

Status TfliteImporter::Move(
    const std::function<Result<View>(const Label& label, const View& x)>& emit) {
  OCTET_ASSIGN_OR_RETURN(const View x, InputView(0));
  OCTET_ASSIGN_OR_RETURN(const int out, Output());
  OCTET_ASSIGN_OR_RETURN(const ValueType type, TypeOf(out));
  const std::string name = NameOf(out);
  if (type.dtype == DType::kI16 && !(TypeOf(x) == type)) {
    return Unsupported(StrCat("its input has scale ", TypeOf(x).quantization.scale,
                              ", its int16 output ", type.quantization.scale,
                              ", expected equal ones"));
  }
  OCTET_ASSIGN_OR_RETURN(View y, emit(TypeOf(x) == type ? name : name + ".moved", x));
  OCTET_ASSIGN_OR_RETURN(y, Requantize(name, std::move(y), type));
  return Finish(out, std::move(y));
}

std::vector<OperatorRow> TfliteOperators() { return TfliteImporter::Operators(); }

Result<Graph> ImportTfliteBytes(std::string_view bytes) {
  OCTET_ASSIGN_OR_RETURN(
      const TfliteFile file,
      ReadTfliteBytes({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, nullptr));
  return TfliteImporter(file).Run();
}

Result<Graph> ImportTflite(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const TfliteFile file, ReadTflite(path));
  Result<Graph> graph = TfliteImporter(file).Run();
  if (!graph.ok()) return Status(graph.status()).WithContext(path);
  graph->metadata.name = std::filesystem::path(path).stem().string();
  return graph;
}

}  // namespace octet
