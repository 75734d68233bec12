// From ONNX to Graph: the graph as a whole. The operators are in the files beside this one.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>
#include <queue>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "converter/import/builder/unary.h"
#include "converter/import/importer.h"
#include "converter/import/onnx/importer.h"
#include "converter/import/onnx/quantized_operators.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"
#include "formats/model/analysis.h"
#include "formats/model/preprocessing.h"

namespace octet {
namespace {

/// There is no upper limit: operators seldom change their meaning, and new ones are listed as
/// unsupported.
constexpr int64_t kMinOpset = 7;
/// Stands for a batch of any size: a number that no other dimension is likely to have.
constexpr int64_t kAnyBatch = 1009;
/// What the constants of a small file may take in bytes, one and all of them.
constexpr int64_t kConstant = 48 << 20, kConstants = 512 << 20;

std::string OperatorLabel(const OnnxNode& node) {
  return (node.domain.empty() ? "" : node.domain + ".") + node.op_type;
}

/// What to do about an operator that octet does not have; empty when there is nothing to say.
std::string Advice(const OnnxNode& node) {
  static const std::map<std::string, std::string> kAdvice = {
      {"LayerNormalization", "only batch normalization is supported"},
      {"GroupNormalization", "only batch normalization is supported"},
      {"InstanceNormalization", "only batch normalization is supported"},
      {"LpNormalization", "only batch normalization is supported"},
      {"ConvTranspose", "octet runs image classifiers"},
      {"LSTM", "octet runs image classifiers"},
      {"GRU", "octet runs image classifiers"},
      {"RNN", "octet runs image classifiers"},
      {"If", "export it without control flow, with a fixed image size"},
      {"Loop", "export it without control flow, with a fixed image size"},
      {"Scan", "export it without control flow, with a fixed image size"},
      {"ArgMax", "export the network up to the scores"},
      {"TopK", "export the network up to the scores"},
      {"Einsum", "attention is not supported"},
  };
  if (node.domain == "com.microsoft")
    return "ONNX Runtime wrote it; convert the file from before its optimization";
  if (!node.domain.empty()) return "";
  const auto it = kAdvice.find(node.op_type);
  return it != kAdvice.end() ? it->second : UnaryAdvice(node.op_type);
}

}  // namespace

OnnxImporter::OnnxImporter(const OnnxModel& model, std::string path, int64_t file_bytes)
    : model_(model),
      path_(std::move(path)),
      stored_(file_bytes),
      builder_("#", 2, 0),
      folder_(&builder_, 0, false) {}

// ---- What handlers read ----

std::string OnnxImporter::NodeName(const OnnxNode& node) {
  return node.name.empty() && !node.outputs.empty() ? node.outputs[0] : node.name;
}

Result<const OnnxValue*> OnnxImporter::Activation(const OnnxNode& node, size_t i) const {
  if (!HasInput(node, i)) return Corrupt(StrCat("input ", i, " is missing"));
  const OnnxValue& v = Input(node, i);
  if (!v.is_activation()) return Unsupported(StrCat("its input ", i, " is a constant"));
  return &v;
}

Result<TensorId> OnnxImporter::Image(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  if (x->batch != 0)
    OCTET_RETURN_IF_ERROR(NotBatch(*x, static_cast<size_t>(x->batch), "takes for an image"));
  return builder_.AsImage(At(node), x->view, /*channels_last=*/false);
}

Result<const Constant*> OnnxImporter::Floats(const OnnxNode& node, size_t i,
                                             const char* what) const {
  if (!HasInput(node, i)) return Corrupt(StrCat("input ", i, " (", what, ") is missing"));
  const OnnxValue& v = Input(node, i);
  if (!v.is_constant()) return Unsupported(StrCat("its ", what, " is not constant"));
  if (!v.constant->is_float()) return Unsupported(StrCat("its ", what, " is not floating-point"));
  return v.constant.get();
}

Result<std::vector<int64_t>> OnnxImporter::Integers(const OnnxNode& node, size_t i,
                                                    const char* what) const {
  if (!HasInput(node, i)) return Corrupt(StrCat("input ", i, " (", what, ") is missing"));
  const OnnxValue& v = Input(node, i);
  if (!v.is_constant()) return Unsupported(StrCat("its ", what, " is computed at run time"));
  if (v.constant->is_float() || v.constant->dims.size() > 1)
    return Corrupt(StrCat("its ", what, " is not a list of integers"));
  return v.constant->ints;
}

Result<OnnxImporter::Axes> OnnxImporter::ReadAxes(const OnnxNode& node, size_t i,
                                                  int64_t since) const {
  if (OpsetOf(node) >= since) {
    if (!HasInput(node, i)) return Axes();
    OCTET_ASSIGN_OR_RETURN(std::vector<int64_t> axes, Integers(node, i, "axes"));
    return Axes(std::move(axes));
  }
  OnnxAttributes attributes(node);
  if (!attributes.Has("axes")) return Axes();
  std::vector<int64_t> axes = attributes.Ints("axes");
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  return Axes(std::move(axes));
}

Dims OnnxImporter::SourceDims(const OnnxValue& x) const {
  Dims dims = x.view.dims;
  if (!dims.empty()) dims[static_cast<size_t>(x.batch)] *= batch_;
  return dims;
}

Status OnnxImporter::NotBatch(const OnnxValue& x, size_t d, const char* what) const {
  if (batch_ == 1 || static_cast<size_t>(x.batch) != d) return OkStatus();
  return Unsupported(
      StrCat("it ", what, " the batch, which is ",
             batch_ == kAnyBatch ? std::string("dynamic") : StrCat("fixed to ", batch_)));
}

// ---- The graph as a whole ----

Status OnnxImporter::CheckModel() {
  const auto opset = model_.opsets.find("");
  const bool own = std::any_of(model_.nodes.begin(), model_.nodes.end(),
                               [](const OnnxNode& n) { return n.domain.empty(); });
  if (opset == model_.opsets.end() && own)
    return Corrupt("no opset of ONNX's own operators is imported");
  opset_ = own ? opset->second : kMinOpset;
  if (opset_ < kMinOpset) {
    return Unsupported(
        StrCat("opset ", opset_, ", expected ", kMinOpset, " or newer; export the model again"));
  }
  if (model_.nodes.empty()) return Corrupt("the graph has no nodes");
  if (model_.outputs.empty()) return Corrupt("the graph has no outputs");
  return OkStatus();
}

/// Fills the maps by name, and marks what the outputs depend on: exporters leave unused nodes
/// behind, and those may be anything.
Status OnnxImporter::IndexNodes() {
  for (const OnnxTensor& t : model_.initializers) {
    if (!initializers_.emplace(t.name, &t).second)
      return Corrupt(StrCat("two initializers are called '", t.name, "'"));
    if (!t.external) continue;
    if (const auto bytes = ExternalBytes(t); bytes.ok())
      stored_ += static_cast<int64_t>(bytes->size());
  }
  for (const OnnxSparseTensor& t : model_.sparse_initializers) {
    if (initializers_.count(t.values.name) > 0 || !sparse_.emplace(t.values.name, &t).second)
      return Corrupt(StrCat("two initializers are called '", t.values.name, "'"));
  }
  builder_ = GraphBuilder("#", 2, kConstants + 8 * stored_);
  folder_ = Folder(&builder_, kConstant + 4 * stored_, false);
  for (size_t i = 0; i < model_.nodes.size(); ++i) {
    const OnnxNode& node = model_.nodes[i];
    if (node.outputs.empty() || node.outputs[0].empty())
      return Corrupt(StrCat("node ", OperatorLabel(node), " '", node.name, "' has no output"));
    for (const std::string& name : node.outputs) {
      if (name.empty()) continue;
      if (!producers_.emplace(name, i).second || initializers_.count(name) > 0) {
        return Corrupt(StrCat("'", name, "' is computed by ", OperatorLabel(node), " '",
                              NodeName(node), "' and also given elsewhere"));
      }
    }
    for (const std::string& name : node.inputs) consumers_[name].push_back(i);
  }
  node_needed_.assign(model_.nodes.size(), false);
  std::vector<std::string> open;
  for (const OnnxValueInfo& output : model_.outputs) open.push_back(output.name);
  while (!open.empty()) {
    const std::string name = std::move(open.back());
    open.pop_back();
    if (name.empty() || !needed_.insert(name).second) continue;
    const auto producer = producers_.find(name);
    if (producer == producers_.end() || node_needed_[producer->second]) continue;
    node_needed_[producer->second] = true;
    for (const std::string& input : model_.nodes[producer->second].inputs) open.push_back(input);
  }
  return OkStatus();
}

/// The file's order where it is one of execution; else each node as soon as it can run.
Status OnnxImporter::SortNodes() {
  std::vector<size_t> waits(model_.nodes.size(), 0);  // Inputs that are not computed yet.
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  size_t needed = 0;
  for (size_t i = 0; i < model_.nodes.size(); ++i) {
    if (!node_needed_[i]) continue;
    ++needed;
    for (const std::string& name : model_.nodes[i].inputs) waits[i] += producers_.count(name);
    if (waits[i] == 0) ready.push(i);
  }
  while (!ready.empty()) {
    const size_t i = ready.top();
    ready.pop();
    order_.push_back(i);
    for (const std::string& name : model_.nodes[i].outputs) {
      const auto users = name.empty() ? consumers_.end() : consumers_.find(name);
      if (users == consumers_.end()) continue;
      for (size_t user : users->second) {
        if (node_needed_[user] && --waits[user] == 0) ready.push(user);
      }
    }
  }
  if (order_.size() == needed) return OkStatus();
  // Against the arrows from any node that waits, one comes around.
  size_t at = 0;
  while (!node_needed_[at] || waits[at] == 0) ++at;
  std::unordered_set<size_t> seen;
  while (seen.insert(at).second) {
    for (const std::string& name : model_.nodes[at].inputs) {
      const auto producer = producers_.find(name);
      if (producer == producers_.end() || waits[producer->second] == 0) continue;
      at = producer->second;
      break;
    }
  }
  const OnnxNode& node = model_.nodes[at];
  return Corrupt(StrCat("node ", OperatorLabel(node), " '", NodeName(node),
                        "' depends on its own output; the nodes form a cycle"));
}

const OnnxNode* OnnxImporter::FirstReader(
    const std::string& name, const std::set<std::string>& through,
    const std::function<bool(const OnnxNode&, const std::string&)>& wanted) const {
  std::unordered_set<std::string> seen;
  std::vector<std::string> open{name};
  while (!open.empty()) {
    const std::string at = std::move(open.back());
    open.pop_back();
    const auto users = consumers_.find(at);
    if (users == consumers_.end() || !seen.insert(at).second) continue;
    for (size_t i : users->second) {
      if (!node_needed_[i]) continue;
      const OnnxNode& node = model_.nodes[i];
      if (wanted(node, at)) return &node;
      if (through.count(node.op_type) > 0) open.push_back(node.outputs[0]);
    }
  }
  return nullptr;
}

/// Whether an image is NHWC: the first operator on its way that cares is a transpose to NCHW. One
/// that does not care leaves it to the sizes: one or three channels last, and more rows than a
/// channel dimension of four.
bool OnnxImporter::InputIsChannelsLast(const OnnxValueInfo& input) const {
  static const std::set<std::string> kNeutral = {
      "Add",      "Cast", "Clip", "DequantizeLinear", "Div",  "Dropout",
      "Identity", "Mul",  "Pad",  "QuantizeLinear",   "Relu", "Slice",
      "Sub"};
  static const std::set<std::string> kCares = {"AveragePool",       "BatchNormalization", "Conv",
                                               "GlobalAveragePool", "GlobalMaxPool",      "MaxPool",
                                               "Transpose"};
  const auto cares = [](const OnnxNode& node, const std::string&) {
    return kCares.count(node.op_type) > 0;
  };
  if (const OnnxNode* node = FirstReader(input.name, kNeutral, cares)) {
    return node->op_type == "Transpose" &&
           OnnxAttributes(*node).Ints("perm") == std::vector<int64_t>{0, 3, 1, 2};
  }
  const auto color = [&](size_t d) { return input.dims[d] == 1 || input.dims[d] == 3; };
  return color(3) && !color(1) && input.dims[1] > 4;
}

/// The numbers of a constant, or the last ones of a concatenation that ends in one: sizes are often
/// the batch and channels of their input and two numbers. Empty where it is neither.
std::vector<int64_t> OnnxImporter::LastNumbers(const std::string& name) const {
  const auto outside = [](const OnnxTensor&) -> Result<std::string_view> {
    return Unsupported("sizes in another file");
  };
  const OnnxNode* node = nullptr;
  std::string at = name;
  for (size_t step = 0; step <= model_.nodes.size(); ++step) {  // Of a cycle, an end.
    const auto producer = producers_.find(at);
    node = producer == producers_.end() ? nullptr : &model_.nodes[producer->second];
    if (node == nullptr || node->op_type != "Concat" || node->inputs.empty()) break;
    at = node->inputs.back();
  }
  Result<Constant> numbers = NotFound("no numbers");
  if (node != nullptr && node->op_type == "Constant") {
    numbers = ConstantNodeValue(*node, folder_, outside);
  } else if (const auto tensor = initializers_.find(at); tensor != initializers_.end()) {
    numbers = DecodeOnnxTensor(*tensor->second, std::nullopt);
  }
  return numbers.ok() ? numbers->ints : std::vector<int64_t>();
}

/// A Resize at the head of a model that takes images of any size is how its photos are prepared:
/// the network begins behind it. Its linear interpolation is TensorFlow's.
Status OnnxImporter::ReadHeadResize(const std::string& input, Dims* dims) {
  if (dims->size() != 4 || std::count(dims->begin() + 1, dims->end(), -1) != 2) return OkStatus();
  const OnnxNode* resize = nullptr;
  for (const OnnxNode& node : model_.nodes) {
    // Its shape is asked for to make the sizes of.
    if (node.op_type == "Shape") continue;
    if (std::count(node.inputs.begin(), node.inputs.end(), input) == 0) continue;
    if (resize != nullptr || node.op_type != "Resize" || node.inputs[0] != input) return OkStatus();
    resize = &node;
  }
  if (resize == nullptr || resize->inputs.size() < 4) return OkStatus();
  std::vector<int64_t> sizes = LastNumbers(resize->inputs[3]);
  if (sizes.size() < 2) return OkStatus();
  OnnxAttributes attributes(*resize);
  const std::string mode = attributes.String("mode", "nearest"),
                    coordinates = attributes.String("coordinate_transformation_mode", "half_pixel");
  const int64_t antialias = attributes.Int("antialias", 0);
  const std::vector<int64_t> axes = attributes.Ints("axes");
  const std::string policy = attributes.String("keep_aspect_ratio_policy", "stretch");
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  constexpr std::pair<std::string_view, Coordinates> kCoordinates[] = {
      {"half_pixel", Coordinates::kHalfPixel},
      {"pytorch_half_pixel", Coordinates::kHalfPixel},  // But for results of one pixel.
      {"asymmetric", Coordinates::kAsymmetric},
      {"align_corners", Coordinates::kAlignCorners}};
  const auto known = std::find_if(std::begin(kCoordinates), std::end(kCoordinates),
                                  [&](const auto& c) { return c.first == coordinates; });
  const bool spatial = (axes.empty() && sizes.size() != 3) || axes == std::vector<int64_t>{2, 3} ||
                       axes == std::vector<int64_t>{1, 2};
  const int64_t height = sizes[sizes.size() - 2], width = sizes[sizes.size() - 1];
  if (mode != "linear" || antialias != 0 || policy != "stretch" ||
      known == std::end(kCoordinates) || !spatial || height < 2 || width < 2 || height > 1 << 15 ||
      width > 1 << 15 || (*dims)[2] != -1) {
    return Unsupported(
        StrCat("is resized to ", DimsText(sizes), " with mode '", mode, "', coordinates '",
               coordinates, "', antialias ", antialias,
               ", expected the height and width of images with mode 'linear' and no antialias"));
  }
  // Channels come first, unless only the last dimension is known.
  const bool channels_first = (*dims)[1] != -1;
  (*dims)[channels_first ? 2 : 1] = height;
  (*dims)[channels_first ? 3 : 2] = width;
  Preprocessing& p = builder_.graph().metadata.preprocessing;
  p.resize = ResizeRule::kStretch;
  p.resampling = ResamplingOf(Framework::kTensorflow);
  p.resampling.coordinates = known->second;
  return OkStatus();
}

Status OnnxImporter::AddInputs() {
  for (const OnnxValueInfo& input : model_.inputs) {
    if (initializers_.count(input.name) + sparse_.count(input.name) > 0 ||
        needed_.count(input.name) == 0)
      continue;
    const std::string where = StrCat("input '", input.name, "'");
    if (producers_.count(input.name) > 0 || values_.count(input.name) > 0)
      return Corrupt(StrCat(where, " is given twice"));
    if (!builder_.graph().inputs.empty())
      return Unsupported(StrCat(where, " is the second input; an image classifier has one"));
    const bool is_signed = input.type == ElementType::kInt8;
    if (!IsFloat(input.type) && input.type != ElementType::kUint8 && !is_signed) {
      return Unsupported(StrCat(where, " has element type ", TypeName(input.type),
                                ", expected floating-point, uint8 or int8"));
    }
    ValueType type;
    if (!IsFloat(input.type)) {
      Result<std::optional<Quantization>> q = InputQuantization(input.name, is_signed);
      if (!q.ok()) return Status(q.status()).WithContext(where);
      if (*q) {
        type = {DType::kU8, **q};
      } else if (is_signed) {
        return Unsupported(StrCat(where, " is of int8, and nothing dequantizes it"));
      }
    }
    Dims dims = input.dims;
    if (!input.has_shape || dims.size() < 2 || dims.size() > 4) {
      return Unsupported(StrCat(where, " has shape ", DimsText(dims),
                                ", expected [batch,channels,height,width], [batch,height,width] or "
                                "[batch,features]"));
    }
    batch_ = dims[0] == -1 ? kAnyBatch : dims[0];
    if (batch_ > 1) dims[0] = 1;
    if (Status status = ReadHeadResize(input.name, &dims); !status.ok())
      return std::move(status).WithContext(where);
    for (int64_t d : dims) {
      if (d < 1)
        return Unsupported(
            StrCat(where, " has shape ", DimsText(dims), "; export it with a fixed image size"));
    }
    const int64_t elements = NumElements(dims);
    if (elements < 1 || elements > kMaxElements || batch_ > kMaxElements)
      return Corrupt(StrCat(where, " has shape ", DimsText(dims)));
    View view{kNoTensor, dims, {0, 1, 2, 3}};
    Shape shape;
    if (dims.size() == 2 || (dims.size() == 3 && (dims[1] == 1 || dims[2] == 1))) {
      shape = Shape{1, elements};  // A vector, also with a dimension of 1.
      view.perm = {0, 1};
    } else if (dims.size() == 3) {
      shape = Shape{1, dims[1], dims[2], 1};  // A gray image.
    } else if (InputIsChannelsLast(input)) {
      shape = Shape{1, dims[1], dims[2], dims[3]};
    } else {
      shape = Shape{1, dims[2], dims[3], dims[1]};
      view.perm = {0, 3, 1, 2};
      builder_.graph().inputs_channels_first = {true};
    }
    view.id = builder_.AddInput(input.name, type, shape);
    Set(input.name,
        {nullptr, std::move(view), 0, IsFloat(input.type) ? ElementType::kFloat32 : input.type});
  }
  return OkStatus();
}

/// The bytes of a tensor that lies in another file of the model's folder.
Result<std::string_view> OnnxImporter::ExternalBytes(const OnnxTensor& tensor) {
  const auto bad = [&](const std::string& problem) {
    return Corrupt(StrCat("tensor '", tensor.name, "': external data: ", problem));
  };
  const auto number = [&](const char* key, uint64_t otherwise) -> Result<uint64_t> {
    const auto it = tensor.external_data.find(key);
    if (it == tensor.external_data.end()) return otherwise;
    uint64_t value = 0;
    const char* end = it->second.data() + it->second.size();
    const auto [stop, error] = std::from_chars(it->second.data(), end, value);
    if (error != std::errc() || stop != end)
      return bad(StrCat("'", key, "' is '", it->second, "', not a number"));
    return value;
  };
  const auto location = tensor.external_data.find("location");
  if (location == tensor.external_data.end()) return bad("no 'location'");
  auto file = external_files_.find(location->second);
  if (file == external_files_.end()) {
    OCTET_ASSIGN_OR_RETURN(FileBytes bytes, MapCompanionFile(path_, location->second));
    file = external_files_.emplace(location->second, std::move(bytes)).first;
  }
  const std::string_view text = file->second.text();
  OCTET_ASSIGN_OR_RETURN(const uint64_t offset, number("offset", 0));
  if (offset > text.size())
    return bad(StrCat("offset ", offset, " is behind the end of '", location->second, "' (",
                      text.size(), " bytes)"));
  OCTET_ASSIGN_OR_RETURN(const uint64_t length, number("length", text.size() - offset));
  if (length > text.size() - offset) {
    return bad(StrCat(length, " bytes from ", offset, " on are not in '", location->second, "' (",
                      text.size(), " bytes)"));
  }
  return text.substr(offset, length);
}

Status OnnxImporter::LoadInitializer(const OnnxTensor& tensor) {
  std::optional<std::string_view> external;
  if (tensor.external) {
    OCTET_ASSIGN_OR_RETURN(external, ExternalBytes(tensor));
  }
  OCTET_ASSIGN_OR_RETURN(Constant constant, DecodeOnnxTensor(tensor, external));
  Set(tensor.name, std::move(constant));
  return OkStatus();
}

/// Computes a node whose inputs are known now. False when it has to become an operator.
Result<bool> OnnxImporter::TryFold(const OnnxNode& node) {
  if (node.op_type == "Constant") {
    OCTET_ASSIGN_OR_RETURN(
        Constant c,
        ConstantNodeValue(node, folder_, [this](const OnnxTensor& t) { return ExternalBytes(t); }));
    Set(node.outputs[0], std::move(c));
    return true;
  }
  if (node.op_type == "Shape") {
    if (!HasInput(node, 0)) return Corrupt("input 0 is missing");
    const OnnxValue& x = Input(node, 0);
    const Dims dims = x.is_constant() ? x.constant->dims : SourceDims(x);
    OnnxAttributes attributes(node);
    const int64_t rank = static_cast<int64_t>(dims.size());
    int64_t start = attributes.Int("start", 0), end = attributes.Int("end", rank);
    OCTET_RETURN_IF_ERROR(Status(attributes.status()));
    start = std::clamp<int64_t>(start < 0 ? std::max(start, -rank) + rank : start, 0, rank);
    end = std::clamp<int64_t>(end < 0 ? std::max(end, -rank) + rank : end, start, rank);
    Set(node.outputs[0],
        Constant{
            ElementType::kInt64, {end - start}, {}, {dims.begin() + start, dims.begin() + end}});
    return true;
  }
  std::vector<const Constant*> inputs;
  for (const std::string& name : node.inputs) {
    if (!name.empty() && !values_.at(name).is_constant()) return false;
    inputs.push_back(name.empty() ? nullptr : values_.at(name).constant.get());
  }
  OCTET_ASSIGN_OR_RETURN(std::optional<Constant> folded,
                         FoldOnnxNode(node, inputs, OpsetOf(node), folder_));
  if (folded) Set(node.outputs[0], std::move(*folded));
  return folded.has_value();
}

Status OnnxImporter::ImportNode(const OnnxNode& node) {
  for (const std::string& name : node.outputs) {
    if (!name.empty()) values_[name] = {};
  }
  bool ready = true;
  for (const std::string& name : node.inputs) {
    if (name.empty()) continue;
    auto it = values_.find(name);
    if (it == values_.end()) {
      const auto initializer = initializers_.find(name);
      if (const auto sparse = sparse_.find(name); sparse != sparse_.end()) {
        OCTET_ASSIGN_OR_RETURN(Constant c, DecodeSparseTensor(*sparse->second, folder_));
        Set(name, std::move(c));
      } else if (initializer != initializers_.end()) {
        OCTET_RETURN_IF_ERROR(LoadInitializer(*initializer->second));
      } else {
        return Corrupt(StrCat("input '", name,
                              "' is no initializer, no input of the graph and no node's output"));
      }
      it = values_.find(name);
    }
    ready = ready && (it->second.is_constant() || it->second.is_activation());
  }
  const Row* row = FindRow(node);
  if (row == nullptr) return Unsupported(Advice(node));
  OCTET_RETURN_IF_ERROR(CheckNode(node, *row));
  if (!ready) return OkStatus();
  OCTET_ASSIGN_OR_RETURN(const bool folded, TryFold(node));
  if (folded) return OkStatus();
  if (row->handler == nullptr) return Unsupported("of an activation");
  static const std::set<std::string> kMoves = {
      "Cast",     "CastLike",  "Concat",    "DequantizeLinear", "Dropout", "Flatten",
      "Identity", "MaxPool",   "Reshape",   "Resize",           "Slice",   "Split",
      "Squeeze",  "Transpose", "Unsqueeze", "Upsample"};
  // Of codes, limits and what is filled in are codes as well.
  static const std::set<std::string> kLimits = {"Clip", "Pad", "Relu"};
  for (const std::string& name : node.inputs) {
    if (name.empty() || kMoves.count(node.op_type) > 0) continue;
    const OnnxValue& v = values_.at(name);
    if (!v.is_activation() || v.type == ElementType::kFloat32) continue;
    if (IsCodes(v) && kLimits.count(node.op_type) > 0) continue;
    return Unsupported(
        StrCat("on ", TypeName(v.type), ", which wraps; octet computes on floating-point numbers"));
  }
  OCTET_RETURN_IF_ERROR((this->*row->handler)(node));
  // Codes stay of their type.
  if (!HasInput(node, 0) || node.op_type == "QuantizeLinear") return OkStatus();
  const ElementType type = Input(node, 0).type;
  for (const std::string& name : node.outputs) {
    if (const auto it = values_.find(name); it != values_.end() && IsCodes(it->second))
      it->second.type = type;
  }
  return OkStatus();
}

Status OnnxImporter::ImportNodes() {
  Problems problems;
  for (size_t i : order_) {
    const OnnxNode& node = model_.nodes[i];
    Status status = ImportNode(node);
    if (status.code() == StatusCode::kUnsupported) {
      problems.Add(OperatorLabel(node), NodeName(node), status.message());
    } else if (!status.ok()) {
      return std::move(status).WithContext(
          StrCat("node ", OperatorLabel(node), " '", NodeName(node), "'"));
    }
  }
  return problems.ToStatus();
}

/// An output as the graph gives it: [1,features], or [1,height,width,channels] in either order.
Result<TensorId> OnnxImporter::OutputTensor(const Label& label, const OnnxValue& x,
                                            bool* channels_first) {
  const View& v = x.view;
  const Dims& d = v.dims;
  if (x.batch != 0) OCTET_RETURN_IF_ERROR(NotBatch(x, static_cast<size_t>(x.batch), "has moved"));
  if ((d.size() != 2 && d.size() != 4) || d[0] != 1) {
    return Unsupported(StrCat("it has the shape ", DimsText(d),
                              ", expected [batch,features] or [batch,channels,height,width]"));
  }
  const Shape same = d.size() == 2 ? Shape{1, d[1]} : Shape{1, d[1], d[2], d[3]};
  const std::vector<int> linear =
      d.size() == 2 ? std::vector<int>{0, 1} : std::vector<int>{0, 1, 2, 3};
  if (d.size() == 4 && !(builder_.ShapeOf(v) == same && IsLinear(v, same))) {
    Result<TensorId> image = builder_.AsImage(label, v, /*channels_last=*/false);
    *channels_first = image.ok();
    if (image.ok()) return image;
  }
  Result<TensorId> y = builder_.AsOrdered(label, v, same, linear);
  if (y.ok() || y.status().code() != StatusCode::kUnsupported) return y;
  return Unsupported(StrCat("its elements ", DimsText(d), " are those of the tensor ",
                            builder_.ShapeOf(v).ToString(),
                            " in another order; octet keeps images with the channels last, and "
                            "moves nothing when they are flattened or transposed"));
}

Status OnnxImporter::AddOutputs() {
  Graph& graph = builder_.graph();
  std::unordered_set<TensorId> taken;
  std::unordered_map<std::string, TensorId> by_name;
  size_t listed = 0;  // Tensors in it; making a view may add some.
  for (const OnnxValueInfo& output : model_.outputs) {
    const std::string where = StrCat("output '", output.name, "'");
    const auto it = values_.find(output.name);
    if (it == values_.end() || !it->second.is_activation())
      return Corrupt(StrCat(where, " is not computed from the input"));
    bool channels_first = false;
    const Result<TensorId> tensor = OutputTensor(output.name, it->second, &channels_first);
    if (!tensor.ok()) return Status(tensor.status()).WithContext(where);
    TensorId id = *tensor;
    if (id == graph.inputs[0] || !taken.insert(id).second) {  // Each has a name of its own.
      const Shape shape = builder_.ShapeOf(id);
      OCTET_ASSIGN_OR_RETURN(id, builder_.Emit(OpType::kReshape, Label(output.name), {id},
                                               builder_.TypeOf(id), {}, shape));
    }
    // Identities and reshapes leave a tensor with the name of an earlier value; the output's own
    // name goes to the output.
    for (; listed < graph.tensors.size(); ++listed)
      by_name[graph.tensors[listed].name] = static_cast<TensorId>(listed);
    if (graph.tensor(id).name != output.name) {
      if (const auto other = by_name.find(output.name); other != by_name.end()) {
        const std::string name = builder_.UniqueName(output.name + "/view");
        graph.tensor(other->second).name = name;
        by_name[name] = other->second;
      }
      by_name.erase(graph.tensor(id).name);
      graph.tensor(id).name = output.name;
      by_name[output.name] = id;
    }
    graph.outputs.push_back(id);
    graph.outputs_channels_first.push_back(channels_first);
  }
  return OkStatus();
}

Result<Graph> OnnxImporter::Import() {
  OCTET_RETURN_IF_ERROR(CheckModel());
  OCTET_RETURN_IF_ERROR(IndexNodes());
  OCTET_RETURN_IF_ERROR(SortNodes());
  OCTET_RETURN_IF_ERROR(AddInputs());
  OCTET_RETURN_IF_ERROR(ImportNodes());  // Names control flow, whose inputs are not seen.
  if (builder_.graph().inputs.empty()) return Corrupt("no input of the graph leads to its outputs");
  OCTET_RETURN_IF_ERROR(AddOutputs());
  Graph& graph = builder_.graph();
  graph.metadata.name = std::filesystem::path(path_).stem().string();
  graph.metadata.source = StrCat("onnx opset ", opset_);
  if (!model_.producer.empty())
    graph.metadata.source +=
        StrCat(" (", model_.producer, model_.producer_version.empty() ? "" : " ",
               model_.producer_version, ")");
  if (std::any_of(graph.nodes.begin(), graph.nodes.end(),
                  [](const Node& n) { return n.type == OpType::kQuantize; })) {
    graph.metadata.source += ", quantized";
  }
  OCTET_RETURN_IF_ERROR(InferShapes(&graph));
  OCTET_RETURN_IF_ERROR(CheckGraph(graph));
  return std::move(graph);
}

Result<Graph> ImportOnnxBytes(std::string_view bytes, const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(OnnxModel model, ParseOnnx(bytes, path));
  bool dynamic = false;
  Status expanded = ExpandQuantizedOperators(&model, &dynamic);
  if (!expanded.ok()) return std::move(expanded).WithContext(path);
  Result<Graph> graph = OnnxImporter(model, path, static_cast<int64_t>(bytes.size())).Import();
  if (graph.ok() && dynamic) graph->metadata.precision = Precision::kHybrid;
  if (!graph.ok()) return Status(graph.status()).WithContext(path);
  return graph;
}

Result<Graph> ImportOnnx(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile(path));
  return ImportOnnxBytes(file.text(), path);
}

}  // namespace octet
