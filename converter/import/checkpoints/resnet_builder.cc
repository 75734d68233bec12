#include "converter/import/checkpoints/resnet_builder.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "converter/passes/passes.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// Position of a pattern's placeholders, counted from 0.
struct Place {
  int stage = 0, block = 0, conv = 0;
};

std::string Expand(const std::string& pattern, const Place& place) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '{' && i + 2 < pattern.size() && pattern[i + 2] == '}') {
      int value = -1;
      switch (pattern[i + 1]) {
        case 's':
          value = place.stage;
          break;
        case 'S':
          value = place.stage + 1;
          break;
        case 'b':
          value = place.block;
          break;
        case 'B':
          value = place.block + 1;
          break;
        case 'k':
          value = place.conv;
          break;
        case 'K':
          value = place.conv + 1;
          break;
        default:
          break;
      }
      if (value >= 0) {
        out += std::to_string(value);
        i += 2;
        continue;
      }
    }
    out += pattern[i];
  }
  return out;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + std::to_string(shape[i]);
  return s + "]";
}

/// An activation while the network is being built.
struct Value {
  TensorId id = kNoTensor;
  int h = 0, w = 0, c = 0;
};

/// Walks the network. Without a source it only lists the tensors that the network needs, with one
/// it builds the graph; the same walk does both, so the two cannot disagree.
class Builder {
 public:
  Builder(const GraphDescription& description, const NameScheme& scheme, std::string prefix,
          TensorSource* source)
      : d_(description), scheme_(scheme), prefix_(std::move(prefix)), source_(source) {}

  Status Walk();

  Graph TakeGraph() { return std::move(graph_); }
  const std::vector<TensorRequest>& requests() const { return requests_; }

 private:
  std::string TensorName(const std::string& role, const Place& place) const {
    const auto it = scheme_.patterns.find(role);
    // The description's parser has checked that the scheme has every role that the network needs.
    return prefix_ + Expand(it == scheme_.patterns.end() ? role : it->second, place);
  }

  Result<std::vector<float>> Fetch(TensorRequest request) {
    if (source_ == nullptr) {
      requests_.push_back(std::move(request));
      return std::vector<float>();
    }
    OCTET_ASSIGN_OR_RETURN(std::vector<float> values, source_->Read(request));
    // Here, because later they go by other names than the file's.
    OCTET_RETURN_IF_ERROR(
        CheckFinite(values).WithContext(StrCat("tensor '", request.name, "'")));
    return values;
  }

  TensorId Constant(const std::string& name, const Shape& shape, const std::vector<float>& values) {
    return graph_.AddConstant(name, DType::kF32, shape, values.data(),
                              values.size() * sizeof(float));
  }

  /// Adds a node whose output has the node's name.
  Node& AddNode(OpType type, const std::string& name, std::vector<TensorId> inputs, Value* out) {
    out->id = graph_.AddActivation(name, DType::kF32, Shape{1, out->h, out->w, out->c});
    return graph_.AddNode(type, name, std::move(inputs), out->id);
  }

  static int Window1D(int in, int kernel, int stride, int pad) {
    return static_cast<int>(WindowOutput(in, kernel, stride, 1, pad, pad));
  }

  Status Conv(const std::string& node, const std::string& tensor, int out_channels, int kernel,
              int stride, bool closes_branch, Value* x);
  Status Norm(const std::string& node, const std::string& tensor, bool closes_branch, Value* x);
  void Relu(const std::string& node, Value* x) {
    Value y = *x;
    AddNode(OpType::kRelu, node, {x->id}, &y);
    *x = y;
  }
  void Add(const std::string& node, const Value& a, Value* x) {
    Value y = *x;
    AddNode(OpType::kAdd, node, {x->id, a.id}, &y);
    *x = y;
  }
  Status MaxPool(Value* x);
  void PadShortcut(const std::string& node, int stride, int out_channels, Value* x);
  Status Block(const Place& place, int width, int stride, Value* x);
  Status Head(Value* x);

  const GraphDescription& d_;
  const NameScheme& scheme_;
  std::string prefix_;
  TensorSource* source_;
  Graph graph_;
  std::vector<TensorRequest> requests_;
};

Status Builder::Conv(const std::string& node, const std::string& tensor, int out_channels,
                     int kernel, int stride, bool closes_branch, Value* x) {
  const int64_t in = x->c, out = out_channels, k = kernel;
  OCTET_ASSIGN_OR_RETURN(
      const std::vector<float> oihw,
      Fetch({tensor + ".weight", {out, in, k, k}, TensorRole::kWeights, closes_branch}));
  Value y{kNoTensor, Window1D(x->h, kernel, stride, kernel / 2),
          Window1D(x->w, kernel, stride, kernel / 2), out_channels};
  if (y.h < 1 || y.w < 1) {
    return InvalidArgument(StrCat(d_.name, ": '", node, "' would have an empty output; the input ",
                                  d_.height, "x", d_.width, " is too small for this network"));
  }
  if (source_ != nullptr) {
    std::vector<float> ohwi(oihw.size());
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t i = 0; i < in; ++i) {
        for (int64_t t = 0; t < k * k; ++t)
          ohwi[(o * k * k + t) * in + i] = oihw[(o * in + i) * k * k + t];
      }
    }
    const TensorId weights = Constant(node + ".weight", Shape{out, k, k, in}, ohwi);
    Node& n = AddNode(OpType::kConv2d, node, {x->id, weights}, &y);
    const int pad = kernel / 2;
    n.window = Window{kernel, kernel, stride, stride, 1, 1, pad, pad, pad, pad};
  }
  *x = y;
  return OkStatus();
}

Status Builder::Norm(const std::string& node, const std::string& tensor, bool closes_branch,
                     Value* x) {
  const std::vector<int64_t> shape{x->c};
  OCTET_ASSIGN_OR_RETURN(const auto gamma,
                         Fetch({tensor + ".weight", shape, TensorRole::kNormScale, closes_branch}));
  OCTET_ASSIGN_OR_RETURN(const auto beta,
                         Fetch({tensor + ".bias", shape, TensorRole::kNormShift, false}));
  OCTET_ASSIGN_OR_RETURN(const auto mean,
                         Fetch({tensor + ".running_mean", shape, TensorRole::kNormMean, false}));
  OCTET_ASSIGN_OR_RETURN(const auto variance,
                         Fetch({tensor + ".running_var", shape, TensorRole::kNormVariance, false}));
  if (source_ == nullptr) return OkStatus();
  std::vector<float> scale(gamma.size()), shift(gamma.size());
  for (size_t c = 0; c < gamma.size(); ++c) {
    const double spread = static_cast<double>(variance[c]) + d_.epsilon;
    if (!(spread > 0)) {
      return InvalidArgument(StrCat("tensor '", tensor, ".running_var' has the value ", variance[c],
                                    " at channel ", c, "; a variance is not negative"));
    }
    const double s = gamma[c] / std::sqrt(spread);
    scale[c] = static_cast<float>(s);
    shift[c] = static_cast<float>(beta[c] - mean[c] * s);
  }
  const TensorId scale_id = Constant(node + ".scale", Shape{x->c}, scale);
  const TensorId shift_id = Constant(node + ".shift", Shape{x->c}, shift);
  Value y = *x;
  AddNode(OpType::kScaleShift, node, {x->id, scale_id, shift_id}, &y);
  *x = y;
  return OkStatus();
}

Status Builder::MaxPool(Value* x) {
  Value y{kNoTensor, Window1D(x->h, 3, 2, 1), Window1D(x->w, 3, 2, 1), x->c};
  AddNode(OpType::kMaxPool, "maxpool", {x->id}, &y).window = Window{3, 3, 2, 2, 1, 1, 1, 1, 1, 1};
  *x = y;
  return OkStatus();
}

void Builder::PadShortcut(const std::string& node, int stride, int out_channels, Value* x) {
  if (stride != 1) {
    Value y{kNoTensor, (x->h + stride - 1) / stride, (x->w + stride - 1) / stride, x->c};
    Node& slice = AddNode(OpType::kSlice, node + ".slice", {x->id}, &y);
    slice.begin = {0, 0, 0, 0};
    slice.end = {1, x->h, x->w, x->c};
    slice.step = {1, stride, stride, 1};
    *x = y;
  }
  if (out_channels != x->c) {
    const int front = (out_channels - x->c) / 2;
    const int behind = out_channels - x->c - front;
    Value y{kNoTensor, x->h, x->w, out_channels};
    Node& pad = AddNode(OpType::kPad, node + ".pad", {x->id}, &y);
    pad.begin = {0, 0, 0, front};
    pad.end = {0, 0, 0, behind};
    *x = y;
  }
}

Status Builder::Block(const Place& place, int width, int stride, Value* x) {
  const bool bottleneck = d_.block == GraphDescription::Block::kBottleneck;
  const int out_channels = bottleneck ? 4 * width : width;
  const std::string name = StrCat("layer", place.stage + 1, ".", place.block);
  const int convs = bottleneck ? 3 : 2;
  const int strided = bottleneck ? 1 : 0;
  const bool preactivation = d_.version == 2;

  Value shortcut = *x;
  Value y = *x;
  for (int k = 0; k < convs; ++k) {
    const Place at{place.stage, place.block, k};
    const int channels = k == convs - 1 ? out_channels : width;
    const int kernel = bottleneck && k != 1 ? 1 : 3;
    const bool last = k == convs - 1;
    const std::string number = std::to_string(k + 1);
    if (preactivation) {
      OCTET_RETURN_IF_ERROR(Norm(name + ".bn" + number, TensorName("block.norm", at), false, &y));
      Relu(name + ".relu" + number, &y);
    }
    if (k == 0 && (stride != 1 || x->c != out_channels)) {
      if (d_.shortcut == GraphDescription::Shortcut::kPad) {
        PadShortcut(name + ".shortcut", stride, out_channels, &shortcut);
      } else {
        if (preactivation) shortcut = y;
        OCTET_RETURN_IF_ERROR(Conv(name + ".shortcut.conv", TensorName("shortcut.conv", place),
                                   out_channels, 1, stride, false, &shortcut));
        if (!preactivation) {
          OCTET_RETURN_IF_ERROR(
              Norm(name + ".shortcut.bn", TensorName("shortcut.norm", place), false, &shortcut));
        }
      }
    }
    OCTET_RETURN_IF_ERROR(Conv(name + ".conv" + number, TensorName("block.conv", at), channels,
                               kernel, k == strided ? stride : 1, last && preactivation, &y));
    if (!preactivation) {
      OCTET_RETURN_IF_ERROR(Norm(name + ".bn" + number, TensorName("block.norm", at), last, &y));
      if (!last) Relu(name + ".relu" + number, &y);
    }
  }
  Add(name + ".add", shortcut, &y);
  if (!preactivation) Relu(name + ".relu" + std::to_string(convs), &y);
  *x = y;
  return OkStatus();
}

Status Builder::Head(Value* x) {
  Value pooled{kNoTensor, 1, 1, x->c};
  AddNode(OpType::kGlobalAveragePool, "avgpool", {x->id}, &pooled);
  TensorId id = graph_.AddActivation("flatten", DType::kF32, Shape{1, x->c});
  graph_.AddNode(OpType::kReshape, "flatten", {pooled.id}, id);
  int64_t features = x->c;

  size_t last_dense = d_.head.size();
  int num_dense = 0;
  for (size_t i = 0; i < d_.head.size(); ++i) {
    if (d_.head[i].type == GraphDescription::Layer::Type::kDense) {
      last_dense = i;
      ++num_dense;
    }
  }
  int dense_index = 0;
  for (size_t i = 0; i < d_.head.size(); ++i) {
    const GraphDescription::Layer& layer = d_.head[i];
    if (layer.type == GraphDescription::Layer::Type::kSoftmax) {
      const TensorId y = graph_.AddActivation("softmax", DType::kF32, Shape{1, features});
      graph_.AddNode(OpType::kSoftmax, "softmax", {id}, y);
      id = y;
      continue;
    }
    ++dense_index;
    const std::string node = num_dense == 1 ? "fc" : "fc" + std::to_string(dense_index);
    const std::string tensor =
        layer.tensor.empty() ? TensorName("dense", {}) : prefix_ + layer.tensor;
    TensorRequest weights{tensor + ".weight", {layer.units, features}, TensorRole::kWeights, false};
    if (i == last_dense && source_ != nullptr) {
      const auto shape = source_->FindShape(weights);
      if (shape && !shape->empty()) weights.shape[0] = (*shape)[0];
    }
    const int64_t units = weights.shape[0];
    OCTET_ASSIGN_OR_RETURN(const auto w, Fetch(weights));
    OCTET_ASSIGN_OR_RETURN(const auto b,
                           Fetch({tensor + ".bias", {units}, TensorRole::kBias, false}));
    TensorId y = graph_.AddActivation(node, DType::kF32, Shape{1, units});
    if (source_ != nullptr) {
      const TensorId w_id = Constant(node + ".weight", Shape{units, features}, w);
      const TensorId b_id = Constant(node + ".bias", Shape{units}, b);
      graph_.AddNode(OpType::kDense, node, {id, w_id, b_id}, y);
    }
    id = y;
    if (layer.relu) {
      y = graph_.AddActivation(node + ".relu", DType::kF32, Shape{1, units});
      graph_.AddNode(OpType::kRelu, node + ".relu", {id}, y);
      id = y;
    }
    features = units;
  }
  graph_.tensor(id).name = d_.output_name;
  graph_.outputs = {id};
  return OkStatus();
}

Status Builder::Walk() {
  Value x{kNoTensor, d_.height, d_.width, d_.channels};
  x.id = graph_.AddActivation(d_.input_name, DType::kF32, Shape{1, x.h, x.w, x.c});
  graph_.inputs = {x.id};
  OCTET_RETURN_IF_ERROR(Conv("conv1", TensorName("stem.conv", {}), d_.stem.channels, d_.stem.kernel,
                             d_.stem.stride, false, &x));
  if (d_.version == 1) {
    OCTET_RETURN_IF_ERROR(Norm("bn1", TensorName("stem.norm", {}), false, &x));
    Relu("relu1", &x);
  }
  if (d_.stem.max_pool) OCTET_RETURN_IF_ERROR(MaxPool(&x));
  for (size_t s = 0; s < d_.stages.size(); ++s) {
    const GraphDescription::Stage& stage = d_.stages[s];
    for (int b = 0; b < stage.blocks; ++b) {
      OCTET_RETURN_IF_ERROR(
          Block({static_cast<int>(s), b, 0}, stage.channels, b == 0 ? stage.stride : 1, &x));
    }
  }
  if (d_.version == 2) {
    OCTET_RETURN_IF_ERROR(Norm("bn", TensorName("final.norm", {}), false, &x));
    Relu("relu", &x);
  }
  return Head(&x);
}

/// A dense layer may be stored as a 1x1 convolution (timm), so trailing ones do not count.
std::vector<int64_t> WithoutTrailingOnes(std::vector<int64_t> shape, size_t keep) {
  while (shape.size() > keep && shape.back() == 1) shape.pop_back();
  return shape;
}

std::string ListNames(const std::vector<std::string>& names) {
  constexpr size_t kShown = 20;
  std::string text;
  for (size_t i = 0; i < names.size() && i < kShown; ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > kShown) text += StrCat(" and ", names.size() - kShown, " more");
  return text;
}

/// The scheme and prefix under which `names` has the most of the tensors that the network needs.
struct Choice {
  const NameScheme* scheme = nullptr;
  std::string prefix;
  std::vector<TensorRequest> requests;
  size_t found = 0;
};

Result<Choice> ChooseScheme(const GraphDescription& d, const std::set<std::string>& names) {
  Choice best;
  for (const NameScheme& scheme : d.schemes) {
    Builder lister(d, scheme, "", nullptr);
    OCTET_RETURN_IF_ERROR(lister.Walk());
    Choice choice{&scheme, "", lister.requests(), 0};
    // The stem is the first request. Block convolutions may end like it; the stem's prefix is the
    // shortest.
    const std::string& stem = choice.requests.front().name;
    bool have_stem = false;
    for (const std::string& name : names) {
      if (!name.ends_with(stem)) continue;
      const std::string prefix = name.substr(0, name.size() - stem.size());
      if (!prefix.empty() && prefix.back() != '.') continue;
      if (!have_stem || prefix.size() < choice.prefix.size()) choice.prefix = prefix;
      have_stem = true;
    }
    for (TensorRequest& request : choice.requests) {
      request.name = choice.prefix + request.name;
      choice.found += names.count(request.name);
    }
    if (best.scheme == nullptr || choice.found > best.found) best = std::move(choice);
  }
  if (best.scheme == nullptr)
    return InvalidArgument(StrCat(d.name, ": the description has no naming scheme"));
  return best;
}

Status CheckTensors(const GraphDescription& d, const TensorSource& source,
                    const std::set<std::string>& names, const Choice& choice) {
  std::vector<std::string> missing, wrong, unused;
  std::set<std::string> needed;
  // The last dense layer may have any number of units: models are fine-tuned for other classes.
  const std::string last_bias = choice.requests.back().name;
  const std::string last_weight = choice.requests[choice.requests.size() - 2].name;
  int64_t classes = choice.requests.back().shape[0];
  for (const TensorRequest& request : choice.requests) {
    needed.insert(request.name);
    const auto found = source.FindShape(request);
    if (!found) {
      missing.push_back(request.name);
      continue;
    }
    std::vector<int64_t> expected = request.shape;
    const std::vector<int64_t> shape = WithoutTrailingOnes(*found, expected.size());
    if (request.name == last_weight && shape.size() == 2 && shape[0] >= 1 &&
        shape[0] <= 1'000'000) {
      classes = shape[0];
    }
    if (request.name == last_weight || request.name == last_bias) expected[0] = classes;
    if (shape != expected) {
      wrong.push_back(
          StrCat(request.name, " is ", ShapeText(*found), " instead of ", ShapeText(expected)));
    }
  }
  for (const std::string& name : names) {
    // A counter that PyTorch's batch norm keeps for training.
    if (!needed.count(name) && !name.ends_with(".num_batches_tracked")) unused.push_back(name);
  }
  if (missing.empty() && wrong.empty() && unused.empty()) return OkStatus();
  std::string text =
      StrCat("the tensors do not fit ", d.name, " (names of ", choice.scheme->name, ")");
  if (!missing.empty()) text += StrCat("; ", missing.size(), " missing: ", ListNames(missing));
  if (!wrong.empty()) text += StrCat("; ", wrong.size(), " of wrong shape: ", ListNames(wrong));
  if (!unused.empty()) text += StrCat("; ", unused.size(), " not used: ", ListNames(unused));
  return InvalidArgument(text);
}

}  // namespace

Result<Graph> BuildResnet(const GraphDescription& description, TensorSource& source) {
  const std::vector<std::string> list = source.Names();
  const std::set<std::string> names(list.begin(), list.end());
  OCTET_ASSIGN_OR_RETURN(const Choice choice, ChooseScheme(description, names));
  OCTET_RETURN_IF_ERROR(CheckTensors(description, source, names, choice));

  Builder builder(description, *choice.scheme, choice.prefix, &source);
  OCTET_RETURN_IF_ERROR(builder.Walk());
  Graph graph = builder.TakeGraph();
  graph.metadata.name = description.name;
  graph.metadata.preprocessing = description.preprocessing;
  // Labels of the described classes say nothing about a model that was fine-tuned for others.
  if (static_cast<int64_t>(description.labels.size()) ==
      graph.tensor(graph.outputs[0]).shape.back()) {
    graph.metadata.labels = description.labels;
  }
  OCTET_RETURN_IF_ERROR(InferShapes(&graph));
  OCTET_RETURN_IF_ERROR(CheckGraph(graph));
  return graph;
}

}  // namespace octet
