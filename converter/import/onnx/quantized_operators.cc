// QOperator graphs and dynamically quantized ones as graphs of DequantizeLinear, float operators
// and QuantizeLinear.
#include "converter/import/onnx/quantized_operators.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// Where an operator has its quantizations. Operands are three inputs each: codes, scale, zero
/// point.
struct Form {
  const char* op;         ///< The float operator.
  int first = 0;          ///< First input of the first operand.
  int operands = 1;       ///< 0 for all inputs from `first` on.
  int bias = -1;          ///< An int32 bias at the product of both scales.
  int result = 0;         ///< Scale of the result, its zero point behind it.
  bool microsoft = true;  ///< Of com.microsoft, else of ONNX itself.
  int64_t opset = 0;      ///< Whose rules its attributes follow, 0 for the model's.
  std::vector<std::string_view> attributes;  ///< That the float operator has as well.
};

const std::map<std::string_view, Form>& Forms() {
  static const auto* const kForms = new std::map<std::string_view, Form>{
      {"QLinearConv",
       {"Conv",
        0,
        2,
        8,
        6,
        false,
        0,
        {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"}}},
      {"QLinearMatMul", {"MatMul", 0, 2, -1, 6, false, 0, {}}},
      {"QLinearAdd", {"Add", 0, 2, -1, 6, true, 0, {}}},
      {"QLinearMul", {"Mul", 0, 2, -1, 6, true, 0, {}}},
      {"QGemm", {"Gemm", 0, 2, 6, 7, true, 0, {"alpha", "transA", "transB"}}},
      {"QLinearSoftmax", {"Softmax", 0, 1, -1, 3, true, 0, {"axis"}}},
      {"QLinearSigmoid", {"Sigmoid", 0, 1, -1, 3, true, 0, {}}},
      {"QLinearLeakyRelu", {"LeakyRelu", 0, 1, -1, 3, true, 0, {"alpha"}}},
      {"QLinearGlobalAveragePool", {"GlobalAveragePool", 0, 1, -1, 3, true, 0, {}}},
      {"QLinearAveragePool",
       {"AveragePool",
        0,
        1,
        -1,
        3,
        true,
        0,
        {"auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"}}},
      {"QLinearReduceMean", {"ReduceMean", 0, 1, -1, 3, true, 13, {"axes", "keepdims"}}},
      {"QLinearConcat", {"Concat", 2, 0, -1, 0, true, 0, {"axis"}}},
  };
  return *kForms;
}

std::string Described(const OnnxNode& n) {
  return StrCat(n.op_type, " '", n.name.empty() ? n.outputs[0] : n.name, "'");
}

OnnxAttribute IntAttribute(std::string name, int64_t value) {
  OnnxAttribute a;
  a.name = std::move(name);
  a.kind = OnnxAttribute::Kind::kInt;
  a.i = value;
  return a;
}

const OnnxAttribute* Find(const OnnxNode& n, std::string_view name) {
  const auto it = std::find_if(n.attributes.begin(), n.attributes.end(),
                               [&](const OnnxAttribute& a) { return a.name == name; });
  return it == n.attributes.end() ? nullptr : &*it;
}

/// An integer attribute, or `otherwise` when it is left out.
Result<int64_t> Integer(const OnnxNode& n, std::string_view name, int64_t otherwise) {
  const OnnxAttribute* a = Find(n, name);
  if (a == nullptr) return otherwise;
  if (a->kind == OnnxAttribute::Kind::kInt) return a->i;
  return Corrupt(StrCat("node ", Described(n), ": attribute '", name, "' is not an integer"));
}

class Expander {
 public:
  Expander(OnnxModel* model, bool* dynamic) : model_(*model), dynamic_(*dynamic) {}

  Status Run() {
    for (size_t i = 0; i < model_.nodes.size(); ++i) {
      for (const std::string& name : model_.nodes[i].outputs) producer_[name] = i;
      for (const std::string& name : model_.nodes[i].inputs) consumers_[name].push_back(i);
    }
    gone_.assign(model_.nodes.size(), false);
    for (size_t i = 0; i < model_.nodes.size(); ++i) {
      const std::string& op = model_.nodes[i].op_type;
      if (op == "ConvInteger" || op == "MatMulInteger") Dynamic(i);
    }
    for (size_t i = 0; i < model_.nodes.size(); ++i) {
      if (gone_[i]) continue;
      if (const auto it = instead_.find(i); it != instead_.end()) {
        std::move(it->second.begin(), it->second.end(), std::back_inserter(nodes_));
        continue;
      }
      OnnxNode& n = model_.nodes[i];
      // ONNX Runtime's own two have more types and the same meaning.
      if (n.domain == "com.microsoft" &&
          (n.op_type == "QuantizeLinear" || n.op_type == "DequantizeLinear"))
        n.domain.clear();
      const auto form = Forms().find(n.op_type);
      const bool domain =
          form != Forms().end() &&
          (n.domain == "com.microsoft" ? form->second.microsoft || n.op_type == "QLinearConv"
                                       : n.domain.empty());
      if (!domain || n.outputs.size() != 1) {
        nodes_.push_back(std::move(n));
        continue;
      }
      OCTET_RETURN_IF_ERROR(Expand(n, form->second));
    }
    model_.nodes = std::move(nodes_);
    return OkStatus();
  }

 private:
  static std::string InputOf(const OnnxNode& n, int i) {
    return i < static_cast<int>(n.inputs.size()) ? n.inputs[static_cast<size_t>(i)] : std::string();
  }

  /// Adds a node of one output.
  std::string Add(const std::string& base, const std::string& suffix, std::string op,
                  std::vector<std::string> inputs, std::vector<OnnxAttribute> attributes = {}) {
    OnnxNode n;
    n.name = base + suffix;
    n.op_type = std::move(op);
    n.inputs = std::move(inputs);
    n.outputs = {base + suffix};
    n.attributes = std::move(attributes);
    nodes_.push_back(std::move(n));
    return nodes_.back().outputs[0];
  }

  std::string Permuted(const std::string& base, const std::string& suffix, const std::string& x,
                       std::vector<int64_t> perm) {
    OnnxAttribute a;
    a.name = "perm";
    a.kind = OnnxAttribute::Kind::kInts;
    a.ints = std::move(perm);
    return Add(base, suffix, "Transpose", {x}, {a});
  }

  Status Expand(const OnnxNode& n, const Form& form) {
    const std::string base = n.outputs[0];
    OCTET_ASSIGN_OR_RETURN(const int64_t channels_last, Integer(n, "channels_last", 0));
    OCTET_ASSIGN_OR_RETURN(const int64_t transposed, Integer(n, "transB", 0));
    OCTET_ASSIGN_OR_RETURN(const int64_t opset, Integer(n, "opset", form.opset));
    const bool window = n.op_type == "QLinearConv" || n.op_type == "QLinearAveragePool" ||
                        n.op_type == "QLinearGlobalAveragePool";
    OnnxNode inner;
    inner.name = n.name.empty() ? base : n.name;
    inner.op_type = form.op;
    inner.opset = opset;
    for (const OnnxAttribute& a : n.attributes) {
      if (std::find(form.attributes.begin(), form.attributes.end(), a.name) !=
          form.attributes.end()) {
        inner.attributes.push_back(a);
        continue;
      }
      if ((a.name == "channels_last" && window) ||
          (a.name == "opset" && n.op_type == "QLinearSoftmax"))
        continue;
      return Unsupported(StrCat("node ", Described(n), ": attribute '", a.name, "' is not known"));
    }
    const int operands =
        form.operands > 0 ? form.operands : (static_cast<int>(n.inputs.size()) - form.first) / 3;
    for (int i = 0; i < operands; ++i) {
      const int at = form.first + 3 * i;
      const bool rows = n.op_type == "QLinearConv" || transposed != 0;
      std::string x = Add(base, StrCat("/dequantize", i), "DequantizeLinear",
                          {InputOf(n, at), InputOf(n, at + 1), InputOf(n, at + 2)},
                          {IntAttribute("axis", rows ? 0 : 1)});
      if (i == 0 && channels_last != 0) x = Permuted(base, "/channels_first", x, {0, 3, 1, 2});
      inner.inputs.push_back(std::move(x));
    }
    if (form.bias >= 0 && !InputOf(n, form.bias).empty()) {
      std::string scale = Add(base, "/bias_scale", "Mul", {InputOf(n, 1), InputOf(n, 4)});
      if (const OnnxAttribute* alpha = Find(n, "alpha"); alpha != nullptr) {
        OnnxAttribute value;
        value.name = "value";
        value.kind = OnnxAttribute::Kind::kTensor;
        value.t.type = ElementType::kFloat32;
        value.t.floats = {alpha->f};
        scale = Add(base, "/bias_scale_alpha", "Mul",
                    {scale, Add(base, "/alpha", "Constant", {}, {value})});
      }
      inner.inputs.push_back(Add(base, "/bias", "DequantizeLinear", {InputOf(n, form.bias), scale},
                                 {IntAttribute("axis", 0)}));
    }
    const bool to_codes = !InputOf(n, form.result).empty();  // QGemm may give floats.
    inner.outputs = {to_codes || channels_last != 0 ? base + "/real" : base};
    std::string real = inner.outputs[0];
    nodes_.push_back(std::move(inner));
    if (channels_last != 0) {
      real = Permuted(base, to_codes ? "/channels_last" : "", real, {0, 2, 3, 1});
    }
    if (to_codes)
      Add(base, "", "QuantizeLinear", {real, InputOf(n, form.result), InputOf(n, form.result + 1)});
    return OkStatus();
  }

  // ---- Dynamic quantization ----

  /// The only reader of a value that is no output of the graph, if it is an `op`.
  std::optional<size_t> OnlyReader(const std::string& name, std::string_view op) const {
    const auto it = consumers_.find(name);
    if (it == consumers_.end() || it->second.size() != 1 ||
        model_.nodes[it->second[0]].op_type != op)
      return std::nullopt;
    const bool output = std::any_of(model_.outputs.begin(), model_.outputs.end(),
                                    [&](const OnnxValueInfo& o) { return o.name == name; });
    return output ? std::nullopt : std::optional<size_t>(it->second[0]);
  }

  const OnnxNode* Producer(const std::string& name) const {
    const auto it = producer_.find(name);
    return it == producer_.end() ? nullptr : &model_.nodes[it->second];
  }

  /// The operand of a product that is not `name`.
  static std::string Other(const OnnxNode& product, const std::string& name) {
    if (product.inputs.size() != 2) return "";
    if (product.inputs[0] == name) return product.inputs[1];
    return product.inputs[1] == name ? product.inputs[0] : "";
  }

  /// DynamicQuantizeLinear(x) -> codes, scale, zero; Integer(codes, w, zero, w_zero) -> Cast -> Mul
  /// by Mul(scale, w_scale).
  void Dynamic(size_t at) {
    const OnnxNode& integer = model_.nodes[at];
    if (integer.inputs.size() < 3 || integer.outputs.size() != 1 || !integer.domain.empty()) return;
    const OnnxNode* quantize = Producer(integer.inputs[0]);
    if (quantize == nullptr || quantize->op_type != "DynamicQuantizeLinear" ||
        quantize->outputs.size() != 3 || quantize->inputs.size() != 1 ||
        quantize->outputs[0] != integer.inputs[0] || quantize->outputs[2] != integer.inputs[2]) {
      return;
    }
    const std::optional<size_t> cast = OnlyReader(integer.outputs[0], "Cast");
    if (!cast || model_.nodes[*cast].outputs.size() != 1) return;
    const OnnxAttribute* to = Find(model_.nodes[*cast], "to");
    if (to == nullptr || to->i != static_cast<int64_t>(ElementType::kFloat32)) return;
    const std::string& sum = model_.nodes[*cast].outputs[0];
    const std::optional<size_t> rescale = OnlyReader(sum, "Mul");
    if (!rescale) return;
    const OnnxNode* scales = Producer(Other(model_.nodes[*rescale], sum));
    if (scales == nullptr || scales->op_type != "Mul") return;
    const std::string w_scale = Other(*scales, quantize->outputs[1]);
    if (w_scale.empty() || producer_.count(w_scale) > 0) return;
    const bool matrix = integer.op_type == "MatMulInteger";
    OnnxNode dequantize, layer = integer;
    const std::string result = model_.nodes[*rescale].outputs[0];
    dequantize.name = dequantize.op_type = "DequantizeLinear";
    dequantize.name = result + "/dequantize";
    dequantize.inputs = {integer.inputs[1], w_scale};
    if (integer.inputs.size() > 3) dequantize.inputs.push_back(integer.inputs[3]);
    dequantize.outputs = {dequantize.name};
    // One scale for each column; a convolution has one for all, or it would not multiply its pixels
    // alike.
    dequantize.attributes = {IntAttribute("axis", 1)};
    layer.op_type = matrix ? "MatMul" : "Conv";
    layer.inputs = {quantize->inputs[0], dequantize.outputs[0]};
    layer.outputs = {result};
    gone_[*cast] = gone_[*rescale] = true;
    instead_[at] = {std::move(dequantize), std::move(layer)};
    dynamic_ = true;
  }

  OnnxModel& model_;
  bool& dynamic_;
  std::map<std::string, size_t> producer_;
  std::map<std::string, std::vector<size_t>> consumers_;
  std::vector<bool> gone_;
  std::map<size_t, std::vector<OnnxNode>> instead_;  ///< By node.
  std::vector<OnnxNode> nodes_;
};

}  // namespace

Status ExpandQuantizedOperators(OnnxModel* model, bool* dynamic) {
  *dynamic = false;
  return Expander(model, dynamic).Run();
}

std::vector<std::pair<std::string, std::string>> QuantizedOperators() {
  std::vector<std::pair<std::string, std::string>> list;
  for (const auto& [name, form] : Forms())
    list.emplace_back(name, StrCat("as ", form.op, " on codes"));
  for (const char* name : {"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger"}) {
    list.emplace_back(name, "in the form of quantize_dynamic");
  }
  return list;
}

}  // namespace octet
