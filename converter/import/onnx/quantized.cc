// QuantizeLinear and DequantizeLinear, and the operators that hold both inside.
#include "converter/import/onnx/quantized.h"

#include <utility>
#include <vector>

#include "converter/import/onnx/constant.h"
#include "converter/import/onnx/importer.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {

/// Of an activation, QuantizeLinear and DequantizeLinear alike: neither changes the value, both say
/// how it is quantized. Constants never come here, FoldOnnxNode computes them.
Status OnnxImporter::NoteQuantization(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const OnnxConstant* scale, Floats(node, 1, "scale"));
  const OnnxConstant* zero = nullptr;
  if (HasInput(node, 2)) {
    const OnnxValue& z = Input(node, 2);
    if (!z.is_constant()) return Unsupported("its zero point is not constant");
    zero = z.constant.get();
    if (zero->type != OnnxType::kUint8 && zero->type != OnnxType::kInt8) {
      return Unsupported(StrCat("it quantizes an activation to element type ",
                                static_cast<int>(zero->type), ", expected uint8 or int8"));
    }
  }
  OCTET_ASSIGN_OR_RETURN(const LinearParameters p, ReadLinearParameters(scale, zero));
  if (p.scales.size() != 1) return Unsupported("it quantizes an activation per channel");
  const int64_t low = p.is_signed ? -128 : 0;
  if (p.zero_points[0] < low || p.zero_points[0] > low + 255) {
    return Unsupported(
        StrCat("its zero point is ", p.zero_points[0], ", expected that of int8 or uint8"));
  }
  quantizations_[x->view.id] = {p.scales[0], static_cast<int32_t>(p.zero_points[0] - low)};
  Set(node, x->view, x->batch);
  return OkStatus();
}

void ExpandQuantizedOperators(OnnxModel* model) {
  struct Rule {
    const char* op;  ///< Float operator.
    int operands;    ///< Of three inputs each: value, scale, zero point.
    int bias;        ///< Input of an int32 bias at the product of both scales, -1 for none.
    int result;      ///< Input of the result's scale; its zero point follows.
  };
  static const std::map<std::string, Rule> kRules = {
      {"QLinearConv", {"Conv", 2, 8, 6}},
      {"QLinearMatMul", {"MatMul", 2, -1, 6}},
      {"QLinearAdd", {"Add", 2, -1, 6}},
      {"QLinearMul", {"Mul", 2, -1, 6}},
      {"QGemm", {"Gemm", 2, 6, 7}},
      {"QLinearSoftmax", {"Softmax", 1, -1, 3}},
      {"QLinearGlobalAveragePool", {"GlobalAveragePool", 1, -1, 3}},
      {"QLinearAveragePool", {"AveragePool", 1, -1, 3}},
  };
  std::vector<OnnxNode> nodes;
  for (OnnxNode& n : model->nodes) {
    const auto it = kRules.find(n.op_type);
    const bool domain = n.domain.empty() || n.domain == "com.microsoft";
    if (it == kRules.end() || !domain || n.outputs.size() != 1 ||
        static_cast<int>(n.inputs.size()) <= it->second.result) {
      nodes.push_back(std::move(n));
      continue;
    }
    const Rule& rule = it->second;
    const std::string base = n.name.empty() ? n.outputs[0] : n.name;
    const auto input = [&](int i) {
      return i < static_cast<int>(n.inputs.size()) ? n.inputs[static_cast<size_t>(i)]
                                                   : std::string();
    };
    const auto attribute = [&](const char* name, int64_t value) {
      OnnxAttribute a;
      a.name = name;
      a.kind = OnnxAttribute::Kind::kInt;
      a.i = value;
      return a;
    };
    OnnxNode inner;
    inner.name = base;
    inner.op_type = rule.op;
    inner.outputs = {n.outputs[0] + "/real"};
    for (const OnnxAttribute& a : n.attributes) {
      if (a.name != "opset" && a.name != "channels_last") inner.attributes.push_back(a);
    }
    const bool transposed = OnnxAttributes(n).Int("transB", 0) != 0;
    for (int i = 0; i < rule.operands; ++i) {
      OnnxNode dq{StrCat(base, "/dequantize", i),
                  "DequantizeLinear",
                  "",
                  {},
                  {StrCat(n.outputs[0], "/input", i)},
                  {}};
      dq.inputs = {input(3 * i), input(3 * i + 1), input(3 * i + 2)};
      dq.attributes = {attribute("axis", n.op_type == "QLinearConv" || transposed ? 0 : 1)};
      inner.inputs.push_back(dq.outputs[0]);
      nodes.push_back(std::move(dq));
    }
    if (rule.bias >= 0 && !input(rule.bias).empty()) {
      OnnxNode scale{base + "/bias_scale",           "Mul", "", {input(1), input(4)},
                     {n.outputs[0] + "/bias_scale"}, {}};
      OnnxNode dq{base + "/dequantize_bias",
                  "DequantizeLinear",
                  "",
                  {input(rule.bias), scale.outputs[0]},
                  {n.outputs[0] + "/bias"},
                  {}};
      dq.attributes = {attribute("axis", 0)};
      inner.inputs.push_back(dq.outputs[0]);
      nodes.push_back(std::move(scale));
      nodes.push_back(std::move(dq));
    }
    OnnxNode q{base + "/quantize",
               "QuantizeLinear",
               "",
               {inner.outputs[0], input(rule.result), input(rule.result + 1)},
               n.outputs,
               {}};
    nodes.push_back(std::move(inner));
    nodes.push_back(std::move(q));
  }
  model->nodes = std::move(nodes);
}

Result<Graph> QuantizeLikeSource(const Graph& source,
                                 const std::map<std::string, Quantization>& quantizations) {
  Graph graph = source;
  OCTET_RETURN_IF_ERROR(Legalize(&graph));
  CalibrationTable table;
  table.method = "source";
  for (const auto& [name, q] : quantizations) {
    table.ranges[name] = Range{q.scale * static_cast<float>(-q.zero_point),
                               q.scale * static_cast<float>(255 - q.zero_point)};
  }
  const auto copy = [&](TensorId from, TensorId to) {
    const auto it = table.ranges.find(graph.tensor(from).name);
    if (it != table.ranges.end()) table.ranges.emplace(graph.tensor(to).name, it->second);
  };
  // Files differ in where they write a quantization. What a ReLU leaves of quantized values is
  // quantized as they are, so are values that are only moved, and a mean lies in their range.
  for (const Node& n : graph.nodes) {
    if (n.type == OpType::kRelu || n.type == OpType::kRelu6) copy(n.inputs[0], n.output);
  }
  OCTET_RETURN_IF_ERROR(FoldScaleShift(&graph));
  OCTET_RETURN_IF_ERROR(FuseActivation(&graph));
  OCTET_RETURN_IF_ERROR(Legalize(&graph));
  OCTET_RETURN_IF_ERROR(InferShapes(&graph));
  for (int pass = 0; pass < 2; ++pass) {
    for (const Node& n : graph.nodes) {
      const bool moves = n.type == OpType::kReshape || n.type == OpType::kMaxPool ||
                         n.type == OpType::kSlice || n.type == OpType::kPad;
      const bool mean = n.type == OpType::kAveragePool || n.type == OpType::kGlobalAveragePool;
      if (moves || mean) copy(n.inputs[0], n.output);
      if (moves) copy(n.output, n.inputs[0]);
    }
  }
  QuantizeOptions options;
  options.precision = Precision::kInt8;
  Result<Graph> quantized = QuantizeGraph(graph, options, &table);
  if (quantized.ok()) quantized->metadata.source += ", quantized";
  // The one thing that can be wrong is that some activation has no range.
  if (quantized.ok() || quantized.status().code() != StatusCode::kInvalidArgument) return quantized;
  graph = source;
  graph.metadata.source += ", activations quantized in part and read as float";
  return graph;
}

}  // namespace octet
