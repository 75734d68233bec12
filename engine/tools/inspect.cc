// `octet inspect`: a file as text, as JSON or as a graph for dot.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "formats/base/str_cat.h"
#include "formats/data/preprocessing_json.h"
#include "formats/data/table.h"
#include "formats/data/tensor_json.h"
#include "formats/data/warnings.h"
#include "formats/model/input_meaning.h"
#include "formats/model/octet_file.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

using Json = nlohmann::ordered_json;

std::string WindowText(const Node& n) {
  if (!TraitsOf(n.type).has_window) return "";
  const Window& w = n.window;
  std::string s = StrCat(w.kernel_h, "x", w.kernel_w, "/", w.stride_h);
  if (w.dilation_h != 1 || w.dilation_w != 1)
    s += StrCat(" dilation ", w.dilation_h, "x", w.dilation_w);
  if (w.pad_top + w.pad_left + w.pad_bottom + w.pad_right > 0) {
    s += w.pad_top == w.pad_left && w.pad_top == w.pad_bottom && w.pad_top == w.pad_right
             ? StrCat(" pad ", w.pad_top)
             : StrCat(" pad ", w.pad_top, ",", w.pad_left, ",", w.pad_bottom, ",", w.pad_right);
  }
  if (n.groups != 1) s += StrCat(" groups ", n.groups);
  return s;
}

std::string QuantizationText(const Tensor& t) {
  if (!IsCodes(t.dtype)) return "";
  return StrCat(t.quantization.scale, "*(q-", t.quantization.zero_point, ")");
}

std::string TensorText(const Tensor& t) {
  const std::string q = QuantizationText(t);
  return StrCat(DTypeName(t.dtype), t.shape.ToString(), q.empty() ? "" : " ", q);
}

std::string InputText(const Graph& g, TensorId id) {
  const ChannelQuantization q = ChannelsOfInput(g);
  if (q.empty()) return TensorText(g.tensor(id));
  return StrCat(DTypeName(g.tensor(id).dtype), g.tensor(id).shape.ToString(), " pixels, ",
                Describe(q));
}

int64_t NodeBytes(const Graph& g, const Node& n) {
  int64_t bytes = 0;
  for (TensorId id : n.inputs) {
    if (id != kNoTensor) bytes += static_cast<int64_t>(g.tensor(id).data.size());
  }
  return bytes;
}

bool HasResidual(const Node& n) {
  return TraitsOf(n.type).has_weights && n.input(kInputResidual) != kNoTensor;
}

const char* ActivationName(Activation a) {
  return a == Activation::kNone ? "" : a == Activation::kRelu ? "relu" : "relu6";
}

/// "56x56x64" for [1,56,56,64].
std::string PerImage(const Shape& shape) {
  std::string s;
  for (int i = 1; i < shape.rank(); ++i) s += StrCat(i == 1 ? "" : "x", shape[i]);
  return s;
}

/// What follows in the same node.
std::string ThenText(const Node& n) {
  return StrCat(HasResidual(n) ? "+" : "", ActivationName(n.activation));
}

void PrintText(const OctetFile& file, const std::string& path, const ModelDescription& d,
               const InputMeaning& meaning) {
  const Graph& g = file.graph;
  std::printf(
      "%s\n  name           %s\n  precision      %s\n  source         %s\n  options        %s\n",
      path.c_str(), d.name.c_str(), PrecisionName(d.precision), d.source.c_str(),
      d.options.c_str());
  std::printf("  size           %s bytes, of them %s constants\n", Thousands(d.file_size).c_str(),
              Thousands(d.weight_bytes).c_str());
  std::printf("  parameters     %s\n  MACs           %s per image\n",
              Thousands(d.parameters).c_str(), Thousands(d.macs).c_str());
  for (TensorId id : g.inputs)
    std::printf("  input          %s %s\n", g.tensor(id).name.c_str(), InputText(g, id).c_str());
  for (TensorId id : g.outputs)
    std::printf("  output         %s %s\n", g.tensor(id).name.c_str(),
                TensorText(g.tensor(id)).c_str());
  std::printf("  input means    %s\n", meaning.text.c_str());
  if (!meaning.preprocessing.empty())
    std::printf("  preprocessing  %s\n", meaning.preprocessing.c_str());
  std::printf("  labels         %zu", d.labels.size());
  if (!d.labels.empty())
    std::printf(", '%s' to '%s'", d.labels.front().c_str(), d.labels.back().c_str());
  std::printf("\n  golden output  %s\n\n", file.golden.output.empty() ? "no" : "yes");
  std::vector<std::string> names;
  for (const Node& n : g.nodes) names.push_back(n.name);
  if (const std::string common = CutCommonFolder(&names); !common.empty())
    std::printf("names begin with %s\n\n", common.c_str());
  Table table({{.title = "#"},
               {.title = "operator", .left = true, .shrink_to = 13},
               {.title = "name", .left = true, .shrink_to = 12},
               {.title = "window", .left = true},
               {.title = "then", .left = true},
               {.title = "MACs"},
               {.title = "bytes", .optional = true},
               {.title = "output", .left = true},
               {.title = "quantization", .left = true, .optional = true}});
  for (size_t i = 0; i < g.nodes.size(); ++i) {
    const Node& n = g.nodes[i];
    const Tensor& out = g.tensor(n.output);
    table.Add({StrCat(i), OpTypeName(n.type), names[i], WindowText(n), ThenText(n),
               Thousands(NodeMacs(g, n)), Thousands(NodeBytes(g, n)),
               StrCat(PerImage(out.shape), " ", DTypeName(out.dtype)), QuantizationText(out)});
  }
  std::fputs(table.Text().c_str(), stdout);
}

/// A visitor of VisitAttributes.
struct AttributesJson {
  Json* json;
  void Count(const char* name, int v) const { (*json)[name] = v; }
  void Flag(const char* name, bool v) const { (*json)[name] = v; }
  void Dimension(const char* name, int v) const { (*json)[name] = v; }
  void Real(const char* name, float v) const {  // JSON has no infinity: a clip without a limit.
    if (std::isfinite(v)) (*json)[name] = v;
  }
  void Amounts(const char* name, const std::array<int32_t, Shape::kMaxRank>& v) const {
    (*json)[name] = v;
  }
};

void PrintJson(const OctetFile& file, const ModelDescription& d, const InputMeaning& meaning) {
  const Graph& g = file.graph;
  Json root{{"name", d.name},
            {"precision", PrecisionName(d.precision)},
            {"source", d.source},
            {"options", d.options},
            {"size_bytes", d.file_size},
            {"parameters", d.parameters},
            {"macs", d.macs},
            {"labels", d.labels},
            {"golden", !file.golden.output.empty()}};
  const Shape& input = g.tensor(g.inputs[0]).shape;
  const int64_t channels = input.rank() > 0 ? input[input.rank() - 1] : 0;
  const int described = static_cast<int>(std::min<int64_t>(channels, d.preprocessing.mean.size()));
  root["preprocessing"] = Json::parse(PreprocessingToJson(d.preprocessing, described));
  root["input_meaning"] = meaning.text;
  root["warnings"] = Json::array();
  if (!meaning.doubt.empty()) root["warnings"].push_back(meaning.doubt);
  for (TensorId id : g.inputs)
    root["inputs"].push_back(TensorJson(g.tensor(id), ChannelsOfInput(g)));
  for (TensorId id : g.outputs) root["outputs"].push_back(TensorJson(g.tensor(id)));
  for (const Node& n : g.nodes) {
    Json inputs = Json::array();
    for (TensorId id : n.inputs) {
      if (id != kNoTensor && !g.tensor(id).is_constant()) inputs.push_back(g.tensor(id).name);
    }
    Json node{{"operator", OpTypeName(n.type)}, {"name", n.name},
              {"inputs", std::move(inputs)},    {"output", TensorJson(g.tensor(n.output))},
              {"macs", NodeMacs(g, n)},         {"constant_bytes", NodeBytes(g, n)}};
    if (const std::string window = WindowText(n); !window.empty()) node["window"] = window;
    Json attributes = Json::object();
    VisitAttributes(n, AttributesJson{&attributes});
    if (!attributes.empty()) node["attributes"] = std::move(attributes);
    if (n.activation != Activation::kNone) node["activation"] = ActivationName(n.activation);
    if (HasResidual(n)) node["residual"] = g.tensor(n.input(kInputResidual)).name;
    root["operators"].push_back(std::move(node));
  }
  std::printf("%s\n",
              root.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

std::string Escape(const std::string& s) {
  std::string out;
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

void PrintDot(const OctetFile& file) {
  const Graph& g = file.graph;
  std::printf("digraph \"%s\" {\n  node [shape=box, fontname=\"sans-serif\"];\n",
              Escape(g.metadata.name).c_str());
  for (TensorId id : g.inputs) {
    std::printf("  t%d [shape=oval, label=\"%s\\n%s\"];\n", id, Escape(g.tensor(id).name).c_str(),
                Escape(InputText(g, id)).c_str());
  }
  for (const Node& n : g.nodes) {
    const std::string then = ThenText(n);
    std::printf("  t%d [label=\"%s\\n%s %s%s%s\\n%s\"];\n", n.output, Escape(n.name).c_str(),
                OpTypeName(n.type), WindowText(n).c_str(), then.empty() ? "" : " then ",
                then.c_str(), Escape(TensorText(g.tensor(n.output))).c_str());
    for (size_t slot = 0; slot < n.inputs.size(); ++slot) {
      const TensorId id = n.inputs[slot];
      if (id == kNoTensor || g.tensor(id).is_constant()) continue;
      const bool residual = HasResidual(n) && slot == kInputResidual;
      std::printf("  t%d -> t%d%s;\n", id, n.output,
                  residual ? " [style=dashed, label=\"+\"]" : "");
    }
  }
  for (TensorId id : g.outputs) {
    std::printf("  out%d [shape=oval, label=\"%s\"];\n  t%d -> out%d;\n", id,
                Escape(g.tensor(id).name).c_str(), id, id);
  }
  std::printf("}\n");
}

}  // namespace

int Inspect(const InspectOptions& options) {
  Result<std::shared_ptr<const Model>> model = LoadModel(options.model);
  if (!model.ok()) return Fail(model.status());
  const OctetFile& file = Internals::Of(**model).file;
  const InputMeaning meaning = MeaningOfInput(file.graph);
  if (options.json) {
    PrintJson(file, (*model)->Describe(), meaning);
  } else if (options.dot) {
    PrintDot(file);
  } else {
    PrintText(file, options.model, (*model)->Describe(), meaning);
  }
  Warnings warnings;
  if (!meaning.doubt.empty()) warnings.Add(StrCat(options.model, ": ", meaning.doubt));
  const Status status = warnings.Report("octet", false);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace octet
