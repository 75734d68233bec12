// The operators that octet takes from ONNX files: one row each, with everything that its handler
// understands. What a node has beside that is refused by name.
#include <algorithm>
#include <cstddef>
#include <limits>

#include "converter/import/builder/unary.h"
#include "converter/import/importer.h"
#include "converter/import/onnx/importer.h"
#include "converter/import/onnx/quantized_operators.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

using Attribute = OnnxImporter::Attribute;
using Rule = Attribute::Rule;

constexpr size_t kAny = 1 << 20;
constexpr int64_t kNewest = std::numeric_limits<int64_t>::max();

Attribute Only(const char* name, int64_t value, int64_t since = 1, int64_t until = kNewest) {
  return {name, Rule::kOnly, value, since, until};
}
Attribute Harmless(const char* name, int64_t since = 1, int64_t until = kNewest) {
  return {name, Rule::kHarmless, 0, since, until};
}

std::string ValueText(const OnnxAttribute& a) {
  using Kind = OnnxAttribute::Kind;
  if (a.kind == Kind::kInt) return StrCat(a.i);
  if (a.kind == Kind::kFloat) return StrCat(a.f);
  if (a.kind == Kind::kString) return StrCat("'", a.s, "'");
  if (a.kind == Kind::kInts) return DimsText(a.ints);
  return a.kind == Kind::kTensor ? "a tensor" : a.kind == Kind::kFloats ? "numbers" : "set";
}

}  // namespace

std::vector<OnnxImporter::Row> OnnxImporter::MakeRows() {
  using I = OnnxImporter;
  // "axes" was an attribute before it became an input.
  const auto axes = [](int64_t until) { return Attribute("axes", 1, until); };
  std::vector<Row> rows = {
      {"Add",
       &I::Arithmetic,
       1,
       2,
       2,
       1,
       {},
       "of two activations of one shape, or with a constant"},
      {"AveragePool",
       &I::Pool,
       1,
       1,
       1,
       1,
       {"auto_pad",
        {"ceil_mode", 10},
        "count_include_pad",
        {"dilations", 19},
        "kernel_shape",
        "pads",
        "strides"},
       "of images; not dilated; no partial windows with count_include_pad"},
      {"BatchNormalization",
       &I::BatchNormalization,
       1,
       5,
       5,
       3,
       {"epsilon", Harmless("momentum"), Only("spatial", 1, 1, 8), {"training_mode", 14}},
       "in evaluation mode, but for constants"},
      {"Cast",
       &I::Cast,
       6,
       1,
       1,
       1,
       {"to", Harmless("saturate", 19), Harmless("round_mode", 24)},
       "of activations to floating-point types, which are all float32 here"},
      {"CastLike",
       &I::CastLike,
       15,
       2,
       2,
       1,
       {Harmless("saturate", 19), Harmless("round_mode", 24)},
       "as Cast"},
      {"Ceil", nullptr, 1, 1, 1, 1, {}, "of constants"},
      {"Clip", &I::Clip, 6, 1, 3, 1, {{"min", 1, 10}, {"max", 1, 10}}, "constant limits"},
      {"Concat", &I::Concat, 4, 1, kAny, 1, {"axis"}, "not along the batch"},
      {"Constant",
       nullptr,
       1,
       0,
       0,
       1,
       {"value",
        {"sparse_value", 11},
        {"value_float", 12},
        {"value_floats", 12},
        {"value_int", 12},
        {"value_ints", 12}},
       "numbers"},
      {"ConstantOfShape", nullptr, 9, 1, 1, 1, {"value"}, "of a constant shape"},
      {"Conv",
       &I::Conv,
       1,
       2,
       3,
       1,
       {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"},
       "of images; constant weights"},
      {"DequantizeLinear",
       &I::DequantizeLinear,
       1,
       2,
       3,
       1,
       {"axis", Only("block_size", 0, 21), {"output_dtype", 23}},
       "int8 and uint8; activations per tensor"},
      {"Div", &I::Arithmetic, 1, 2, 2, 1, {}, "by a constant"},
      {"Dropout",
       &I::PassThrough,
       7,
       1,
       3,
       2,
       {Harmless("ratio", 1, 11), Harmless("seed", 12)},
       "in evaluation mode"},
      {"Equal", nullptr, 1, 2, 2, 1, {}, "of constants"},
      {"Expand", nullptr, 8, 2, 2, 1, {}, "of constants"},
      {"Flatten", &I::Reshape, 1, 1, 1, 1, {"axis"}, ""},
      {"Floor", nullptr, 1, 1, 1, 1, {}, "of constants"},
      {"Gather", nullptr, 1, 2, 2, 1, {"axis"}, "of constants"},
      {"Gemm",
       &I::Gemm,
       7,
       2,
       3,
       1,
       {"alpha", "beta", Only("transA", 0), "transB"},
       "constant weights and bias"},
      {"GlobalAveragePool", &I::GlobalPool, 1, 1, 1, 1, {}, "of images"},
      {"GlobalMaxPool", &I::GlobalPool, 1, 1, 1, 1, {}, "of images"},
      {"Identity", &I::PassThrough, 1, 1, 1, 1, {}, ""},
      {"Log", &I::Log, 6, 1, 1, 1, {}, "of Softmax"},
      {"LogSoftmax", &I::Softmax, 1, 1, 1, 1, {"axis"}, "over the channels, or all elements"},
      {"MatMul", &I::MatMul, 1, 2, 2, 1, {}, "constant second operand [in,out]"},
      {"Max", &I::Variadic, 6, 1, kAny, 1, {}, "of one activation and single constants"},
      {"MaxPool",
       &I::Pool,
       1,
       1,
       1,
       2,
       {"auto_pad",
        {"ceil_mode", 10},
        {"dilations", 10},
        "kernel_shape",
        "pads",
        Harmless("storage_order", 8),
        "strides"},
       "of images; not dilated; without indices"},
      {"Min", &I::Variadic, 6, 1, kAny, 1, {}, "of one activation and single constants"},
      {"Mod", nullptr, 10, 2, 2, 1, {"fmod"}, "of constants"},
      {"Mul",
       &I::Arithmetic,
       1,
       2,
       2,
       1,
       {},
       "of two activations of one shape, or with a constant"},
      {"Neg", &I::Negate, 6, 1, 1, 1, {}, ""},
      {"Pad",
       &I::Pad,
       2,
       1,
       4,
       1,
       {"mode", {"pads", 1, 10}, {"value", 1, 10}},
       "mode constant; not negative; not the batch"},
      {"QuantizeLinear",
       &I::QuantizeLinear,
       1,
       2,
       3,
       1,
       {"axis",
        Only("block_size", 0, 21),
        {"output_dtype", 21},
        Only("precision", 0, 23),
        Harmless("saturate", 19)},
       "int8 and uint8; activations per tensor"},
      {"Reciprocal", nullptr, 6, 1, 1, 1, {}, "of constants"},
      {"ReduceMax",
       &I::Reduce,
       1,
       1,
       2,
       1,
       {axes(17), "keepdims", {"noop_with_empty_axes", 18}},
       "over height, width or both"},
      {"ReduceMean",
       &I::Reduce,
       1,
       1,
       2,
       1,
       {axes(17), "keepdims", {"noop_with_empty_axes", 18}},
       "over height, width or both"},
      {"ReduceProd",
       nullptr,
       1,
       1,
       2,
       1,
       {axes(17), "keepdims", {"noop_with_empty_axes", 18}},
       "of constants"},
      {"Reshape", &I::Reshape, 5, 2, 2, 1, {{"allowzero", 14}}, "to a constant shape"},
      {"Resize",
       &I::Resize,
       10,
       1,
       4,
       1,
       {Only("antialias", 0, 18),
        {"axes", 18},
        {"coordinate_transformation_mode", 11},
        Harmless("cubic_coeff_a", 11),
        Harmless("exclude_outside", 11),
        Harmless("extrapolation_value", 11),
        Harmless("keep_aspect_ratio_policy", 18),
        Harmless("mode"),
        {"nearest_mode", 11}},
       "to the size that is there"},
      {"Shape", nullptr, 1, 1, 1, 1, {{"end", 15}, {"start", 15}}, ""},
      {"Slice",
       &I::Slice,
       1,
       1,
       5,
       1,
       {axes(9), {"ends", 1, 9}, {"starts", 1, 9}},
       "backwards only all channels; not the batch"},
      {"Softmax", &I::Softmax, 1, 1, 1, 1, {"axis"}, "over the channels, or all elements"},
      {"Split",
       &I::Split,
       2,
       1,
       2,
       kAny,
       {"axis", {"num_outputs", 18}, {"split", 1, 12}},
       "not the batch"},
      {"Sqrt", nullptr, 6, 1, 1, 1, {}, "of constants"},
      {"Squeeze", &I::Reshape, 1, 1, 2, 1, {axes(12)}, ""},
      {"Sub",
       &I::Arithmetic,
       1,
       2,
       2,
       1,
       {},
       "of two activations of one shape, or with a constant"},
      {"Sum", &I::Variadic, 6, 1, kAny, 1, {}, "as Add"},
      {"Transpose", &I::Transpose, 1, 1, 1, 1, {"perm"}, "where nothing has to move in memory"},
      {"Unsqueeze", &I::Reshape, 1, 1, 2, 1, {axes(12)}, ""},
      {"Upsample",
       &I::Resize,
       7,
       1,
       2,
       1,
       {Harmless("mode"), {"scales", 1, 8}},
       "to the size that is there"},
      {"Where", nullptr, 9, 3, 3, 1, {}, "of constants"},
  };
  for (const UnaryFunction& f : UnaryFunctions()) {
    const auto [name, attribute, otherwise] = f.onnx;
    if (*name == '\0') continue;
    rows.push_back({name, &I::Unary, 6, 1, 1, 1, {}, ""});
    if (*attribute != '\0') rows.back().attributes.push_back(attribute);
  }
  std::sort(rows.begin(), rows.end(),
            [](const Row& a, const Row& b) { return std::string_view(a.op) < b.op; });
  return rows;
}

const std::vector<OnnxImporter::Row>& OnnxImporter::Rows() {
  static const std::vector<Row> kRows = MakeRows();
  return kRows;
}

const OnnxImporter::Row* OnnxImporter::FindRow(const OnnxNode& node) {
  if (!node.domain.empty()) return nullptr;
  const auto& rows = Rows();
  const auto it =
      std::lower_bound(rows.begin(), rows.end(), node.op_type,
                       [](const Row& row, const std::string& op) { return row.op < op; });
  return it != rows.end() && it->op == node.op_type ? &*it : nullptr;
}

Status OnnxImporter::CheckNode(const OnnxNode& node, const Row& row) const {
  const int64_t opset = OpsetOf(node);
  if (opset < row.since)
    return Unsupported(StrCat("it is of opset ", row.since, ", the file of ", opset));
  for (const OnnxAttribute& a : node.attributes) {
    const auto known = [&](const Attribute& rule) {
      return a.name == rule.name && opset >= rule.since && opset <= rule.until;
    };
    const auto rule = std::find_if(row.attributes.begin(), row.attributes.end(), known);
    if (rule == row.attributes.end()) {
      std::string names;
      for (const Attribute& r : row.attributes) {
        if (opset >= r.since && opset <= r.until)
          names += StrCat(names.empty() ? "" : ", ", r.name);
      }
      return Unsupported(StrCat("its attribute '", a.name, "' is ", ValueText(a), "; in opset ",
                                opset, " octet knows ", names.empty() ? "none" : names));
    }
    if (rule->rule == Rule::kOnly && (a.kind != OnnxAttribute::Kind::kInt || a.i != rule->value)) {
      return Unsupported(
          StrCat("its attribute '", a.name, "' is ", ValueText(a), ", honoured is ", rule->value));
    }
  }
  size_t inputs = node.inputs.size();
  while (inputs > 0 && node.inputs[inputs - 1].empty()) --inputs;
  if (inputs < row.min_inputs || inputs > row.max_inputs) {
    const std::string most = row.max_inputs == kAny ? " or more" : StrCat(" to ", row.max_inputs);
    return Corrupt(StrCat("it has ", inputs, " inputs, expected ", row.min_inputs,
                          row.min_inputs == row.max_inputs ? "" : most));
  }
  for (size_t i = 0; i < row.min_inputs; ++i) {
    if (node.inputs[i].empty()) return Corrupt(StrCat("input ", i, " is missing"));
  }
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    if (node.outputs[i].empty() || row.outputs == kAny) continue;
    if (node.op_type == "BatchNormalization" && opset < 14)
      return Unsupported(StrCat("it has ", node.outputs.size(), " outputs, as in training mode; ",
                                "export the network in evaluation mode"));
    // Indices and masks may be there for nobody.
    if (i >= row.outputs) return Unsupported(StrCat("it has ", node.outputs.size(), " outputs"));
    if (needed_.count(node.outputs[i]) > 0)
      return Unsupported(StrCat("its output ", i, " is used"));
  }
  return OkStatus();
}

std::vector<OperatorRow> OnnxOperators() {
  std::vector<OperatorRow> operators;
  for (const OnnxImporter::Row& row : OnnxImporter::Rows())
    operators.push_back({"onnx", row.op, row.limits});
  for (const auto& [name, op] : QuantizedOperators()) operators.push_back({"onnx", name, op});
  std::sort(operators.begin(), operators.end(),
            [](const OperatorRow& a, const OperatorRow& b) { return a.name < b.name; });
  return operators;
}

}  // namespace octet
