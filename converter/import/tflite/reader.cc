// FlatBuffers' verifier makes sure that whatever is reached lies inside the file. The rest is
// checked here: every index, sizes of data, quantization, and fields of a newer schema, which are
// refused because their meaning is not known. Constants stay spans of the file.
#include "converter/import/tflite/reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <utility>

#include "converter/import/file_bytes.h"
#include "converter/import/tflite/tflite_schema_generated.h"
#include "formats/base/dtype.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

// FlatBuffers' own limit: offsets are signed 32-bit numbers.
constexpr size_t kMaxBytes = (size_t{1} << 31) - 1;
constexpr unsigned kMaxDepth = 64;
constexpr unsigned kMaxTables = 100000;
constexpr uint32_t kSchemaVersion = 3;

// BuiltinOperator of the public schema, by number.
constexpr const char* kOperatorNames[] = {"ADD",
                                          "AVERAGE_POOL_2D",
                                          "CONCATENATION",
                                          "CONV_2D",
                                          "DEPTHWISE_CONV_2D",
                                          "DEPTH_TO_SPACE",
                                          "DEQUANTIZE",
                                          "EMBEDDING_LOOKUP",
                                          "FLOOR",
                                          "FULLY_CONNECTED",
                                          "HASHTABLE_LOOKUP",
                                          "L2_NORMALIZATION",
                                          "L2_POOL_2D",
                                          "LOCAL_RESPONSE_NORMALIZATION",
                                          "LOGISTIC",
                                          "LSH_PROJECTION",
                                          "LSTM",
                                          "MAX_POOL_2D",
                                          "MUL",
                                          "RELU",
                                          "RELU_N1_TO_1",
                                          "RELU6",
                                          "RESHAPE",
                                          "RESIZE_BILINEAR",
                                          "RNN",
                                          "SOFTMAX",
                                          "SPACE_TO_DEPTH",
                                          "SVDF",
                                          "TANH",
                                          "CONCAT_EMBEDDINGS",
                                          "SKIP_GRAM",
                                          "CALL",
                                          "CUSTOM",
                                          "EMBEDDING_LOOKUP_SPARSE",
                                          "PAD",
                                          "UNIDIRECTIONAL_SEQUENCE_RNN",
                                          "GATHER",
                                          "BATCH_TO_SPACE_ND",
                                          "SPACE_TO_BATCH_ND",
                                          "TRANSPOSE",
                                          "MEAN",
                                          "SUB",
                                          "DIV",
                                          "SQUEEZE",
                                          "UNIDIRECTIONAL_SEQUENCE_LSTM",
                                          "STRIDED_SLICE",
                                          "BIDIRECTIONAL_SEQUENCE_RNN",
                                          "EXP",
                                          "TOPK_V2",
                                          "SPLIT",
                                          "LOG_SOFTMAX",
                                          "DELEGATE",
                                          "BIDIRECTIONAL_SEQUENCE_LSTM",
                                          "CAST",
                                          "PRELU",
                                          "MAXIMUM",
                                          "ARG_MAX",
                                          "MINIMUM",
                                          "LESS",
                                          "NEG",
                                          "PADV2",
                                          "GREATER",
                                          "GREATER_EQUAL",
                                          "LESS_EQUAL",
                                          "SELECT",
                                          "SLICE",
                                          "SIN",
                                          "TRANSPOSE_CONV",
                                          "SPARSE_TO_DENSE",
                                          "TILE",
                                          "EXPAND_DIMS",
                                          "EQUAL",
                                          "NOT_EQUAL",
                                          "LOG",
                                          "SUM",
                                          "SQRT",
                                          "RSQRT",
                                          "SHAPE",
                                          "POW",
                                          "ARG_MIN",
                                          "FAKE_QUANT",
                                          "REDUCE_PROD",
                                          "REDUCE_MAX",
                                          "PACK",
                                          "LOGICAL_OR",
                                          "ONE_HOT",
                                          "LOGICAL_AND",
                                          "LOGICAL_NOT",
                                          "UNPACK",
                                          "REDUCE_MIN",
                                          "FLOOR_DIV",
                                          "REDUCE_ANY",
                                          "SQUARE",
                                          "ZEROS_LIKE",
                                          "FILL",
                                          "FLOOR_MOD",
                                          "RANGE",
                                          "RESIZE_NEAREST_NEIGHBOR",
                                          "LEAKY_RELU",
                                          "SQUARED_DIFFERENCE",
                                          "MIRROR_PAD",
                                          "ABS",
                                          "SPLIT_V",
                                          "UNIQUE",
                                          "CEIL",
                                          "REVERSE_V2",
                                          "ADD_N",
                                          "GATHER_ND",
                                          "COS",
                                          "WHERE",
                                          "RANK",
                                          "ELU",
                                          "REVERSE_SEQUENCE",
                                          "MATRIX_DIAG",
                                          "QUANTIZE",
                                          "MATRIX_SET_DIAG",
                                          "ROUND",
                                          "HARD_SWISH",
                                          "IF",
                                          "WHILE",
                                          "NON_MAX_SUPPRESSION_V4",
                                          "NON_MAX_SUPPRESSION_V5",
                                          "SCATTER_ND",
                                          "SELECT_V2",
                                          "DENSIFY",
                                          "SEGMENT_SUM",
                                          "BATCH_MATMUL",
                                          "PLACEHOLDER_FOR_GREATER_OP_CODES",
                                          "CUMSUM",
                                          "CALL_ONCE",
                                          "BROADCAST_TO",
                                          "RFFT2D",
                                          "CONV_3D",
                                          "IMAG",
                                          "REAL",
                                          "COMPLEX_ABS",
                                          "HASHTABLE",
                                          "HASHTABLE_FIND",
                                          "HASHTABLE_IMPORT",
                                          "HASHTABLE_SIZE",
                                          "REDUCE_ALL",
                                          "CONV_3D_TRANSPOSE",
                                          "VAR_HANDLE",
                                          "READ_VARIABLE",
                                          "ASSIGN_VARIABLE",
                                          "BROADCAST_ARGS",
                                          "RANDOM_STANDARD_NORMAL",
                                          "BUCKETIZE",
                                          "RANDOM_UNIFORM",
                                          "MULTINOMIAL",
                                          "GELU",
                                          "DYNAMIC_UPDATE_SLICE",
                                          "RELU_0_TO_1"};
constexpr int kCustom = 32;

/// An error when the file sets a field of the table that the schema does not declare.
template <typename T>
Status CheckKnown(const T& table, const std::string& where) {
  const int field = UnknownTfliteField(&table, T::MiniReflectTypeTable()->num_elems);
  if (field < 0) return OkStatus();
  return Unsupported(StrCat(where, " has a field ", field, " of a newer schema"));
}

/// Copies vectors, but in total no more elements than an honest file can hold: in a forged one,
/// thousands of tensors may point at the same long vector.
class Copier {
 public:
  explicit Copier(size_t file_bytes) : left_(file_bytes + (size_t{1} << 20)) {}

  template <typename T, typename Vector>
  std::vector<T> Vec(const Vector* from) {
    std::vector<T> to;
    if (from == nullptr || !Take(from->size())) return to;
    to.reserve(from->size());
    // The verifier looks at the alignment of a vector's length, not at that of its elements.
    using V = typename Vector::value_type;
    for (size_t i = 0; i < from->size(); ++i) {
      V v;
      std::memcpy(&v, from->Data() + i * sizeof(V), sizeof(V));
      to.push_back(static_cast<T>(v));
    }
    return to;
  }
  std::string Text(const flatbuffers::String* from) {
    return from == nullptr || !Take(from->size()) ? std::string() : from->str();
  }
  Status status() const {
    return exhausted_ ? Corrupt("vectors are shared beyond measure") : OkStatus();
  }

 private:
  bool Take(size_t n) {
    exhausted_ = exhausted_ || n > left_;
    if (!exhausted_) left_ -= n;
    return !exhausted_;
  }
  size_t left_;
  bool exhausted_ = false;
};

Status ReadQuantization(const tflite::QuantizationParameters& q, const std::string& where,
                        Copier* copy, TfliteTensor* t) {
  OCTET_RETURN_IF_ERROR(CheckKnown(q, where + ": its quantization"));
  if (q.details_type() != 0)
    return Unsupported(StrCat(where, ": quantization scheme ", static_cast<int>(q.details_type())));
  t->scale = copy->Vec<float>(q.scale());
  t->zero_point = copy->Vec<int64_t>(q.zero_point());
  t->quantized_dimension = q.quantized_dimension();
  OCTET_RETURN_IF_ERROR(copy->status());
  if (t->scale.empty()) {
    t->zero_point.clear();
    return OkStatus();
  }
  if (t->zero_point.empty()) t->zero_point.assign(t->scale.size(), 0);
  if (t->zero_point.size() != t->scale.size()) {
    return Corrupt(
        StrCat(where, ": ", t->zero_point.size(), " zero points for ", t->scale.size(), " scales"));
  }
  for (float s : t->scale) {
    if (!std::isfinite(s) || s <= 0.0f)
      return Corrupt(StrCat(where, ": scale ", s, ", expected finite and above 0"));
  }
  if (t->scale.size() == 1) return OkStatus();
  if (t->shape.size() == 1) t->quantized_dimension = 0;  // Some write a bias with its weights' one.
  const int d = t->quantized_dimension;
  if (d < 0 || static_cast<size_t>(d) >= t->shape.size() ||
      static_cast<size_t>(t->shape[d]) != t->scale.size()) {
    return Corrupt(
        StrCat(where, ": ", t->scale.size(), " scales for dimension ", d, " of its shape"));
  }
  return OkStatus();
}

Result<TfliteTensor> ReadTensor(const tflite::Model& model, const tflite::Tensor& from, int index,
                                Copier* copy) {
  TfliteTensor t;
  t.name = copy->Text(from.name());
  const std::string where = StrCat("tensor ", index, " '", t.name, "'");
  OCTET_RETURN_IF_ERROR(CheckKnown(from, where));
  t.type = TfliteType(static_cast<int>(from.type()));
  t.shape = copy->Vec<int32_t>(from.shape());
  t.signature = copy->Vec<int32_t>(from.shape_signature());
  OCTET_RETURN_IF_ERROR(copy->status());
  int64_t elements = 1;
  for (int32_t d : t.shape) {
    if (d < 0 || !CheckedMul(elements, d, &elements))
      return Corrupt(StrCat(where, ": dimension ", d));
  }
  if (!t.signature.empty() && t.signature.size() != t.shape.size()) {
    return Corrupt(StrCat(where, ": shape signature of rank ", t.signature.size(), ", expected ",
                          t.shape.size()));
  }
  if (from.sparsity() != nullptr) return Unsupported(StrCat(where, " is stored sparsely"));
  if (from.variant_tensors() != nullptr && from.variant_tensors()->size() > 0)
    return Unsupported(StrCat(where, " has variant tensors"));
  if (from.external_buffer() != 0)
    return Unsupported(StrCat(where, ": its data is in another file"));
  if (from.is_variable()) return Unsupported(StrCat(where, " is a variable"));
  if (from.quantization() != nullptr)
    OCTET_RETURN_IF_ERROR(ReadQuantization(*from.quantization(), where, copy, &t));

  const auto* buffers = model.buffers();
  if (from.buffer() == 0) return t;
  if (buffers == nullptr || from.buffer() >= buffers->size()) {
    return Corrupt(StrCat(where, ": buffer ", from.buffer(), ", expected less than ",
                          buffers == nullptr ? 0 : buffers->size()));
  }
  const tflite::Buffer* buffer = buffers->Get(from.buffer());
  OCTET_RETURN_IF_ERROR(CheckKnown(*buffer, where + ": its buffer"));
  // 1 is written as a placeholder into models whose data is inside after all.
  if (buffer->offset() > 1 || buffer->size() > 1) {
    return Unsupported(StrCat(where, ": data behind the FlatBuffer (models of more than 2 GiB)"));
  }
  if (buffer->data() == nullptr || buffer->data()->size() == 0) return t;
  int64_t bytes = 0;
  // Another type is only an error for an operator that reads it.
  if (TypeSize(t.type) > 0 && (!CheckedMul(elements, TypeSize(t.type), &bytes) ||
                               static_cast<uint64_t>(bytes) != buffer->data()->size())) {
    return Corrupt(StrCat(where, ": ", buffer->data()->size(), " bytes of data, expected ",
                          elements, " elements of ", TypeName(t.type)));
  }
  t.data = {reinterpret_cast<const std::byte*>(buffer->data()->data()), buffer->data()->size()};
  return t;
}

Result<TfliteOperator> ReadOperator(const tflite::Model& model, const tflite::Operator& from,
                                    int index, int tensors, Copier* copy) {
  TfliteOperator op;
  op.table = &from;
  const auto* codes = model.operator_codes();
  if (codes == nullptr || from.opcode_index() >= codes->size()) {
    return Corrupt(StrCat("operator ", index, ": code ", from.opcode_index(),
                          ", expected less than ", codes == nullptr ? 0 : codes->size()));
  }
  const tflite::OperatorCode* code = codes->Get(from.opcode_index());
  // Numbers above 127 do not fit the old field, which then holds 127; old files have only that
  // field.
  op.code = std::max<int>(code->deprecated_builtin_code(), code->builtin_code());
  if (op.code == kCustom) {
    op.name = StrCat("custom operator ", copy->Text(code->custom_code()));
  } else {
    op.name = TfliteOperatorName(op.code);
  }
  const std::string where = StrCat("operator ", index, " (", op.name, ")");
  OCTET_RETURN_IF_ERROR(CheckKnown(*code, where + ": its code"));
  OCTET_RETURN_IF_ERROR(CheckKnown(from, where));
  const std::pair<const char*, bool> refused[] = {
      {"mutating_variable_inputs",
       from.mutating_variable_inputs() != nullptr && from.mutating_variable_inputs()->size() > 0},
      {"intermediates", from.intermediates() != nullptr && from.intermediates()->size() > 0},
      {"custom_options",
       op.code != kCustom && from.custom_options() != nullptr && from.custom_options()->size() > 0},
      {"large_custom_options",
       from.large_custom_options_offset() > 1 || from.large_custom_options_size() > 1},
      {"builtin_options_2", from.builtin_options_2_type() != 0}};
  for (const auto& [name, set] : refused) {
    if (set && op.refused.empty()) op.refused = name;
  }
  op.inputs = copy->Vec<int>(from.inputs());
  op.outputs = copy->Vec<int>(from.outputs());
  for (int i : op.inputs) {
    if (i < -1 || i >= tensors)
      return Corrupt(
          StrCat("operator ", index, " (", op.name, "): input tensor ", i, " of ", tensors));
  }
  for (int i : op.outputs) {
    if (i < 0 || i >= tensors)
      return Corrupt(
          StrCat("operator ", index, " (", op.name, "): output tensor ", i, " of ", tensors));
  }
  return op;
}

Status ReadEnds(const std::vector<int>& ids, const char* what, int tensors) {
  if (ids.empty()) return Corrupt(StrCat("the model has no ", what));
  for (int i : ids) {
    if (i < 0 || i >= tensors)
      return Corrupt(StrCat("model ", what, ": tensor ", i, " of ", tensors));
  }
  return OkStatus();
}

}  // namespace

std::string TfliteOperatorName(int code) {
  if (code >= 0 && code < static_cast<int>(std::size(kOperatorNames))) return kOperatorNames[code];
  return StrCat("builtin operator ", code);
}

int UnknownTfliteField(const void* table, size_t known) {
  using Slot = flatbuffers::voffset_t;
  const auto* t = static_cast<const flatbuffers::Table*>(table);
  // The first two are no fields.
  const size_t slots = flatbuffers::ReadScalar<Slot>(t->GetVTable()) / sizeof(Slot);
  for (size_t n = known; n + 2 < slots; ++n) {
    // Nothing honest is this long.
    if (n > known + 64 || t->GetOptionalFieldOffset(static_cast<Slot>((n + 2) * sizeof(Slot))) != 0)
      return static_cast<int>(n);
  }
  return -1;
}

ElementType TfliteType(int64_t number) {
  using enum ElementType;
  static constexpr ElementType kTypes[] = {kFloat32, kFloat16,   kInt32,  kUint8,     kInt64,
                                           kString,  kBool,      kInt16,  kUndefined, kInt8,
                                           kFloat64, kUndefined, kUint64, kUndefined, kUndefined,
                                           kUint32,  kUint16,    kInt4,   kBfloat16};
  return TypeOf(kTypes, number);
}

Result<TfliteFile> ReadTfliteBytes(std::span<const std::byte> bytes,
                                   std::shared_ptr<const void> owner) {
  if (bytes.size() > kMaxBytes)
    return Unsupported(StrCat(bytes.size(), " bytes, expected at most ", kMaxBytes));
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  if (bytes.size() < 8 || !tflite::ModelBufferHasIdentifier(data))
    return Corrupt("not a TFLite file: no TFL3 at byte 4");
  flatbuffers::Verifier verifier(data, bytes.size(), kMaxDepth, kMaxTables);
  if (!tflite::VerifyModelBuffer(verifier))
    return Corrupt("damaged or truncated: the FlatBuffer does not verify");
  const tflite::Model* model = tflite::GetModel(data);
  if (model->version() != kSchemaVersion) {
    return Unsupported(
        StrCat("TFLite schema version ", model->version(), ", expected ", kSchemaVersion));
  }
  if (model->subgraphs() == nullptr || model->subgraphs()->size() == 0)
    return Corrupt("no subgraph");
  if (model->subgraphs()->size() > 1) {
    return Unsupported(StrCat("the model has ", model->subgraphs()->size(),
                              " subgraphs (control flow, or several signatures), expected 1: "
                              "convert one signature alone"));
  }
  OCTET_RETURN_IF_ERROR(CheckKnown(*model, "the model"));
  const tflite::SubGraph* graph = model->subgraphs()->Get(0);
  OCTET_RETURN_IF_ERROR(CheckKnown(*graph, "the subgraph"));
  TfliteFile file;
  file.owner = std::move(owner);
  file.bytes = bytes.size();
  Copier copy(bytes.size());
  if (graph->tensors() != nullptr) {
    for (uint32_t i = 0; i < graph->tensors()->size(); ++i) {
      OCTET_ASSIGN_OR_RETURN(TfliteTensor t, ReadTensor(*model, *graph->tensors()->Get(i),
                                                        static_cast<int>(i), &copy));
      file.tensors.push_back(std::move(t));
    }
  }
  const int tensors = static_cast<int>(file.tensors.size());
  if (graph->operators() != nullptr) {
    for (uint32_t i = 0; i < graph->operators()->size(); ++i) {
      OCTET_ASSIGN_OR_RETURN(TfliteOperator op, ReadOperator(*model, *graph->operators()->Get(i),
                                                             static_cast<int>(i), tensors, &copy));
      file.operators.push_back(std::move(op));
    }
  }
  file.inputs = copy.Vec<int>(graph->inputs());
  file.outputs = copy.Vec<int>(graph->outputs());
  OCTET_RETURN_IF_ERROR(copy.status());
  OCTET_RETURN_IF_ERROR(ReadEnds(file.inputs, "inputs", tensors));
  OCTET_RETURN_IF_ERROR(ReadEnds(file.outputs, "outputs", tensors));
  return file;
}

Result<TfliteFile> ReadTflite(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(FileBytes file, MapFile(path));
  Result<TfliteFile> read = ReadTfliteBytes(file.bytes, file.owner);
  if (!read.ok()) return Status(read.status()).WithContext(path);
  return read;
}

size_t TfliteTensor::run() const {
  size_t inner = 1;
  for (size_t d = static_cast<size_t>(quantized_dimension) + 1;
       scale.size() > 1 && d < shape.size(); ++d) {
    inner *= static_cast<size_t>(shape[d]);
  }
  return inner;
}

Result<std::vector<float>> ReadTfliteFloats(const TfliteTensor& t) {
  const size_t size = static_cast<size_t>(std::max<int64_t>(TypeSize(t.type), 1));
  const size_t n = t.data.size() / size;
  if (t.type == ElementType::kFloat32 || t.type == ElementType::kFloat16)
    return LoadFloats(t.data.data(), n, t.type);
  if (t.type != ElementType::kInt8 && t.type != ElementType::kUint8 &&
      t.type != ElementType::kInt16 && t.type != ElementType::kInt32)
    return Unsupported(StrCat("constant '", t.name, "' of ", TypeName(t.type),
                              ", expected numbers of 8 to 32 bits"));
  if (t.scale.empty())
    return Unsupported(StrCat("constant '", t.name, "' of ", TypeName(t.type), " without a scale"));
  const size_t run = t.run();
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) {
    const size_t c = t.scale.size() == 1 ? 0 : i / run % t.scale.size();
    const int64_t q = LoadInteger(t.data.data() + i * size, t.type);
    // In double, since a zero point is any 64-bit number.
    values[i] = static_cast<float>((static_cast<double>(q) - static_cast<double>(t.zero_point[c])) *
                                   t.scale[c]);
  }
  return values;
}

Result<Constant> ReadTfliteIntegers(const TfliteTensor& t) {
  if (t.type != ElementType::kInt32 && t.type != ElementType::kInt64) {
    return Unsupported(StrCat("'", t.name, "' of ", TypeName(t.type), ", expected int32 or int64"));
  }
  Constant c{t.type, {t.shape.begin(), t.shape.end()}, {}, {}};
  OCTET_RETURN_IF_ERROR(
      DecodeElements({reinterpret_cast<const char*>(t.data.data()), t.data.size()}, &c));
  return c;
}

}  // namespace octet
