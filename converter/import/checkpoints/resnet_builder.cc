// ChooseNaming lists what the network would ask for under every scheme and counts which names are
// there, which gives the scheme, the alternative for each role and the prefix. CheckTensors tells
// what is then missing, of another shape or left over. Only when nothing is does Builder build.
#include "converter/import/checkpoints/resnet_builder.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "converter/import/builder/graph_builder.h"
#include "converter/import/checkpoints/checkpoint.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"
#include "formats/model/analysis.h"

namespace octet {
namespace {

/// Position of a pattern's placeholders, counted from 0.
struct Place {
  int stage = 0, block = 0, conv = 0;
};

/// What a placeholder's text stands for, as "S" or "3k+1"; nothing where it is none.
std::optional<std::string> Placeholder(std::string_view text, const Place& place) {
  int factor = 0, value = 0, addend = 0;
  size_t i = 0;
  const auto number = [&](int* out) {
    const size_t begin = i;
    for (*out = 0; i < text.size() && text[i] >= '0' && text[i] <= '9' && i < begin + 4; ++i)
      *out = *out * 10 + (text[i] - '0');
    return i > begin;
  };
  if (!number(&factor)) factor = 1;
  if (i == text.size()) return std::nullopt;
  switch (text[i++]) {
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
    case 'a':
      if (text.size() > 1) return std::nullopt;
      return std::string(1, static_cast<char>('a' + place.conv));
    default:
      return std::nullopt;
  }
  if (i < text.size() && (text[i++] != '+' || !number(&addend))) return std::nullopt;
  if (i != text.size()) return std::nullopt;
  return std::to_string(factor * value + addend);
}

std::string Expand(const std::string& pattern, const Place& place) {
  std::string out;
  for (size_t i = 0; i < pattern.size();) {
    const size_t end = pattern[i] == '{' ? pattern.find('}', i) : std::string::npos;
    std::optional<std::string> value;
    if (end != std::string::npos)
      value = Placeholder(std::string_view(pattern).substr(i + 1, end - i - 1), place);
    out += value ? *value : std::string(1, pattern[i]);
    i = value ? end + 1 : i + 1;
  }
  return out;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + std::to_string(shape[i]);
  return s + "]";
}

/// An activation while the network is being built; only its channels are known while it is listed.
struct Value {
  TensorId id = kNoTensor;
  int c = 0;
};

/// Weights are bounded by what the description asks for.
constexpr int64_t kBudget = std::numeric_limits<int64_t>::max();

/// How one checkpoint calls its tensors.
struct Naming {
  const NameScheme* scheme = nullptr;
  std::map<std::string, std::string> patterns;  ///< By role.
  std::string prefix;                           ///< Of all tensors but the head's.
  std::string head_prefix;
  const std::set<std::string>* names = nullptr;  ///< All that there are.
};

/// Walks the network. Without a source it only lists the tensors that the network needs, with one
/// it builds the graph; the same walk does both, so the two cannot disagree.
class Builder {
 public:
  Builder(const GraphDescription& description, const Naming& naming, TensorSource* source)
      : d_(description), naming_(naming), source_(source), b_("_", 2, kBudget) {}

  Status Walk();

  Graph TakeGraph() { return std::move(b_.graph()); }
  const std::vector<TensorRequest>& requests() const { return requests_; }
  /// The role of each request's name.
  const std::vector<std::string>& roles() const { return roles_; }

 private:
  std::string TensorName(const std::string& role, const Place& place) {
    role_ = role;
    const auto it = naming_.patterns.find(role);
    // The description's parser has checked that the scheme has every role that the network needs.
    return (role == "dense" ? naming_.head_prefix : naming_.prefix) +
           Expand(it == naming_.patterns.end() ? role : it->second, place);
  }

  Result<std::vector<float>> Fetch(TensorRequest request) {
    if (source_ == nullptr) {
      requests_.push_back(std::move(request));
      roles_.push_back(role_);
      return std::vector<float>();
    }
    OCTET_ASSIGN_OR_RETURN(std::vector<float> values, source_->Read(request));
    // Here, because later they go by other names than the file's.
    OCTET_RETURN_IF_ERROR(CheckFinite(values).WithContext(StrCat("tensor '", request.name, "'")));
    return values;
  }

  /// Whether the walk builds; otherwise there are no activations.
  bool builds() const { return source_ != nullptr; }

  static Status Set(Result<TensorId> result, Value* x) {
    if (!result.ok()) return result.status();
    x->id = *result;
    return OkStatus();
  }

  Status Conv(const std::string& node, const std::string& tensor, int out_channels, int kernel,
              int stride, bool closes_branch, Value* x);
  Status Norm(const std::string& node, const std::string& tensor, bool closes_branch, Value* x);
  Status Relu(const std::string& node, Value* x) {
    return builds() ? Set(b_.Emit(OpType::kRelu, node, {x->id}), x) : OkStatus();
  }
  Status PadShortcut(const std::string& node, int stride, int out_channels, Value* x);
  Status Block(const Place& place, int width, int stride, Value* x);
  Status Head(Value* x);

  const GraphDescription& d_;
  const Naming& naming_;
  TensorSource* source_;
  GraphBuilder b_;
  std::vector<TensorRequest> requests_;
  std::vector<std::string> roles_;
  std::string role_;
};

Status Builder::Conv(const std::string& node, const std::string& tensor, int out_channels,
                     int kernel, int stride, bool closes_branch, Value* x) {
  const int64_t in = x->c, out = out_channels, k = kernel;
  OCTET_ASSIGN_OR_RETURN(
      const std::vector<float> oihw,
      Fetch({tensor + ".weight", {out, in, k, k}, TensorRole::kWeights, closes_branch}));
  std::vector<float> bias;
  const bool has_bias = naming_.names != nullptr && naming_.names->count(tensor + ".bias") > 0;
  if (has_bias) {
    OCTET_ASSIGN_OR_RETURN(bias, Fetch({tensor + ".bias", {out}, TensorRole::kBias, false}));
  }
  x->c = out_channels;
  if (!builds()) return OkStatus();
  WideWindow window;
  for (int d = 0; d < 2; ++d) {
    window.kernel[d] = kernel;
    window.stride[d] = stride;
    window.padding[d] = {kernel / 2, kernel / 2};
  }
  const LayerWeights weights{Shape{out, k, k, in},
                             Permuted<float>(oihw, {out, in, k, k}, {0, 2, 3, 1}), bias};
  return Set(b_.Conv(node, x->id, weights, window, 1), x);
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
  if (!builds()) return OkStatus();
  const View view = b_.Plain(x->id);
  return Set(b_.BatchNorm(node, view, view.dims.size() - 1, {gamma, beta, mean, variance},
                          d_.epsilon),
             x)
      .WithContext(StrCat("tensor '", tensor, ".running_var'"));
}

Status Builder::PadShortcut(const std::string& node, int stride, int out_channels, Value* x) {
  const int new_channels = out_channels - x->c;
  x->c = out_channels;
  if (!builds()) return OkStatus();
  if (stride != 1) {
    const Shape shape = b_.ShapeOf(x->id);
    std::vector<GraphBuilder::Range> ranges;
    for (int i = 0; i < 4; ++i) ranges.push_back({0, 1, shape[i]});
    for (const int i : {1, 2}) ranges[i] = {0, stride, CeilDiv(shape[i], stride)};
    OCTET_RETURN_IF_ERROR(Set(b_.Slice(node + ".slice", x->id, ranges), x));
  }
  if (new_channels == 0) return OkStatus();
  const bool behind_only = d_.shortcut == GraphDescription::Shortcut::kPadBehind;
  const int front = behind_only ? 0 : new_channels / 2;
  return Set(b_.Pad(node + ".pad", x->id, {0, 0, 0, front}, {0, 0, 0, new_channels - front}, 0.0f),
             x);
}

Status Builder::Block(const Place& place, int width, int stride, Value* x) {
  const bool bottleneck = d_.block == GraphDescription::Block::kBottleneck;
  const int out_channels = d_.expansion * width;
  const std::string name = StrCat("layer", place.stage + 1, ".", place.block);
  const int convs = bottleneck ? 3 : 2;
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
      OCTET_RETURN_IF_ERROR(Relu(name + ".relu" + number, &y));
    }
    if (k == 0 && (stride != 1 || x->c != out_channels)) {
      if (d_.shortcut != GraphDescription::Shortcut::kProjection) {
        OCTET_RETURN_IF_ERROR(PadShortcut(name + ".shortcut", stride, out_channels, &shortcut));
      } else {
        if (preactivation && d_.activated_shortcut) shortcut = y;
        OCTET_RETURN_IF_ERROR(Conv(name + ".shortcut.conv", TensorName("shortcut.conv", place),
                                   out_channels, 1, stride, false, &shortcut));
        if (!preactivation) {
          OCTET_RETURN_IF_ERROR(
              Norm(name + ".shortcut.bn", TensorName("shortcut.norm", place), false, &shortcut));
        }
      }
    }
    OCTET_RETURN_IF_ERROR(Conv(name + ".conv" + number, TensorName("block.conv", at), channels,
                               kernel, k + 1 == d_.strided_conv ? stride : 1, last && preactivation,
                               &y));
    if (!preactivation) {
      OCTET_RETURN_IF_ERROR(Norm(name + ".bn" + number, TensorName("block.norm", at), last, &y));
      if (!last) OCTET_RETURN_IF_ERROR(Relu(name + ".relu" + number, &y));
    }
  }
  *x = y;
  if (!builds()) return OkStatus();
  OCTET_RETURN_IF_ERROR(Set(b_.Emit(OpType::kAdd, name + ".add", {y.id, shortcut.id}), x));
  return preactivation ? OkStatus() : Relu(name + ".relu" + std::to_string(convs), x);
}

Status Builder::Head(Value* x) {
  int64_t features = x->c;
  if (builds()) {
    OCTET_RETURN_IF_ERROR(Set(b_.GlobalPool("avgpool", x->id, true), x));
    OCTET_RETURN_IF_ERROR(
        Set(b_.Emit(OpType::kReshape, "flatten", {x->id}, {}, {}, Shape{1, features}), x));
  }

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
      if (builds()) OCTET_RETURN_IF_ERROR(Set(b_.Emit(OpType::kSoftmax, "softmax", {x->id}), x));
      continue;
    }
    ++dense_index;
    const std::string node = num_dense == 1 ? "fc" : "fc" + std::to_string(dense_index);
    const std::string tensor =
        layer.tensor.empty() ? TensorName("dense", {}) : naming_.head_prefix + layer.tensor;
    // A name that the description gives is none of the scheme's.
    if (!layer.tensor.empty()) role_.clear();
    TensorRequest weights{tensor + ".weight", {layer.units, features}, TensorRole::kWeights, false};
    if (i == last_dense && source_ != nullptr) {
      const auto shape = source_->FindShape(weights);
      if (shape && !shape->empty()) weights.shape[0] = (*shape)[0];
    }
    const int64_t units = weights.shape[0];
    LayerWeights layer_weights{Shape{units, features}, {}, {}};
    OCTET_ASSIGN_OR_RETURN(layer_weights.values, Fetch(weights));
    OCTET_ASSIGN_OR_RETURN(layer_weights.bias,
                           Fetch({tensor + ".bias", {units}, TensorRole::kBias, false}));
    if (builds()) {
      OCTET_RETURN_IF_ERROR(Set(b_.Dense(node, b_.Plain(x->id), std::move(layer_weights)), x));
    }
    if (layer.relu) OCTET_RETURN_IF_ERROR(Relu(node + ".relu", x));
    features = units;
  }
  if (!builds()) return OkStatus();
  if (!b_.Rename(x->id, d_.output_name)) {
    return InvalidArgument(
        StrCat(d_.name, ": 'output' is '", d_.output_name, "', the name of another tensor"));
  }
  b_.graph().outputs = {x->id};
  return OkStatus();
}

Status Builder::Walk() {
  Value x{kNoTensor, d_.channels};
  x.id = b_.AddInput(d_.input_name, {}, Shape{1, d_.height, d_.width, d_.channels});
  OCTET_RETURN_IF_ERROR(Conv("conv1", TensorName("stem.conv", {}), d_.stem.channels, d_.stem.kernel,
                             d_.stem.stride, false, &x));
  if (d_.stem_norm) {
    OCTET_RETURN_IF_ERROR(Norm("bn1", TensorName("stem.norm", {}), false, &x));
    OCTET_RETURN_IF_ERROR(Relu("relu1", &x));
  }
  if (d_.stem.max_pool && builds()) {
    const WideWindow window{{3, 3}, {2, 2}, {1, 1}, {{1, 1}, {1, 1}}};
    OCTET_RETURN_IF_ERROR(Set(b_.Pool("maxpool", x.id, OpType::kMaxPool, window), &x));
  }
  for (size_t s = 0; s < d_.stages.size(); ++s) {
    const GraphDescription::Stage& stage = d_.stages[s];
    for (int b = 0; b < stage.blocks; ++b) {
      OCTET_RETURN_IF_ERROR(
          Block({static_cast<int>(s), b, 0}, stage.channels, b == 0 ? stage.stride : 1, &x));
    }
  }
  if (d_.version == 2 && d_.final_norm) {
    OCTET_RETURN_IF_ERROR(Norm("bn", TensorName("final.norm", {}), false, &x));
    OCTET_RETURN_IF_ERROR(Relu("relu", &x));
  }
  return Head(&x);
}

/// A dense layer may be stored as a 1x1 convolution (timm), so trailing ones do not count.
std::vector<int64_t> WithoutTrailingOnes(std::vector<int64_t> shape, size_t keep) {
  while (shape.size() > keep && shape.back() == 1) shape.pop_back();
  return shape;
}

std::string ListNames(const std::vector<std::string>& names) {
  constexpr size_t kShown = 6;
  std::string text;
  for (size_t i = 0; i < names.size() && i < kShown; ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > kShown) text += StrCat(" and ", names.size() - kShown, " more");
  return text;
}

/// The naming under which the source has the most of the tensors that the network needs.
struct Choice {
  Naming naming;
  std::vector<TensorRequest> requests;
  size_t found = 0;
};

/// The last component of `prefix` taken off: "a.b." becomes "a.".
std::string ParentPrefix(const std::string& prefix) {
  const size_t dot = prefix.size() < 2 ? std::string::npos : prefix.rfind('.', prefix.size() - 2);
  return dot == std::string::npos ? "" : prefix.substr(0, dot + 1);
}

/// The prefix under which the most of the names that end like `wanted` lie; the shortest of equals.
std::string FindPrefix(const std::set<std::string>& names,
                       const std::unordered_set<std::string>& wanted) {
  constexpr int kMaxComponents = 8;
  std::map<std::string, size_t> votes;
  for (const std::string& name : names) {
    size_t begin = 0;
    for (int i = 0; i < kMaxComponents; ++i) {
      if (wanted.count(name.substr(begin))) ++votes[name.substr(0, begin)];
      const size_t dot = name.find('.', begin);
      if (dot == std::string::npos) break;
      begin = dot + 1;
    }
  }
  std::string best;
  size_t most = votes.count("") ? votes[""] : 0;
  for (const auto& [prefix, n] : votes) {
    if (n > most || (n == most && prefix.size() < best.size())) {
      best = prefix;
      most = n;
    }
  }
  return best;
}

/// How this scheme would name the tensors.
Result<Choice> TryScheme(const GraphDescription& d, const NameScheme& scheme,
                         const std::set<std::string>& names) {
  size_t alternatives = 1;
  for (const auto& [role, patterns] : scheme.patterns)
    alternatives = std::max(alternatives, patterns.size());
  // The i-th names of all roles at once.
  std::vector<std::vector<TensorRequest>> lists;
  std::vector<std::string> roles;
  std::unordered_set<std::string> wanted;
  Choice choice;
  choice.naming.scheme = &scheme;
  for (const auto& [role, patterns] : scheme.patterns) choice.naming.patterns[role] = patterns[0];
  for (size_t i = 0; i < alternatives && !names.empty(); ++i) {
    Naming naming = choice.naming;
    for (const auto& [role, patterns] : scheme.patterns)
      naming.patterns[role] = patterns[std::min(i, patterns.size() - 1)];
    Builder lister(d, naming, nullptr);
    OCTET_RETURN_IF_ERROR(lister.Walk());
    for (const TensorRequest& request : lister.requests()) wanted.insert(request.name);
    lists.push_back(lister.requests());
    roles = lister.roles();
  }
  if (!names.empty()) {
    const std::string prefix = FindPrefix(names, wanted);
    choice.naming.prefix = choice.naming.head_prefix = prefix;
    std::map<std::string, size_t> most;
    for (size_t i = 0; i < lists.size(); ++i) {
      std::map<std::string, size_t> found;
      std::map<std::string, std::string> head;
      for (size_t j = 0; j < lists[i].size(); ++j) {
        const std::string& name = lists[i][j].name;
        bool there = names.count(prefix + name) > 0;
        // A classifier may stand outside of what it classifies for: "backbone.conv1", "fc".
        for (std::string p = prefix; !there && roles[j] == "dense" && !p.empty();) {
          p = ParentPrefix(p);
          there = names.count(p + name) > 0;
          if (there) head["dense"] = p;
        }
        found[roles[j]] += there;
      }
      for (const auto& [role, n] : found) {
        if (role.empty() || n <= most[role]) continue;
        most[role] = n;
        const std::vector<std::string>& patterns = scheme.patterns.at(role);
        choice.naming.patterns[role] = patterns[std::min(i, patterns.size() - 1)];
        if (role == "dense") choice.naming.head_prefix = head.empty() ? prefix : head["dense"];
      }
    }
    choice.naming.names = &names;
  }
  Builder lister(d, choice.naming, nullptr);
  OCTET_RETURN_IF_ERROR(lister.Walk());
  choice.requests = lister.requests();
  for (const TensorRequest& request : choice.requests) choice.found += names.count(request.name);
  return choice;
}

Result<Choice> ChooseNaming(const GraphDescription& d, const std::set<std::string>& names) {
  std::optional<Choice> best;
  for (const NameScheme& scheme : d.schemes) {
    OCTET_ASSIGN_OR_RETURN(Choice choice, TryScheme(d, scheme, names));
    if (!best || choice.found > best->found) best = std::move(choice);
    if (names.empty()) break;
  }
  if (!best) return InvalidArgument(StrCat(d.name, ": the description has no naming scheme"));
  return *std::move(best);
}

/// Counters of training: of batch norms, of averages, of what profilers found.
bool IsCounter(std::string_view name) {
  for (const std::string_view counter :
       {"num_batches_tracked", "n_averaged", "total_ops", "total_params"}) {
    const std::string_view behind = name.substr(name.rfind('.') + 1);
    if (behind == counter) return true;
  }
  return false;
}

Status CheckTensors(const GraphDescription& d, const TensorSource& source,
                    const std::set<std::string>& names, const Choice& choice,
                    const ImportOptions& options) {
  std::vector<std::string> missing, wrong, unused, never_run;
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
  const std::vector<std::string>& skipped = choice.naming.scheme->unused;
  for (const std::string& name : names) {
    if (needed.count(name) || IsCounter(name)) continue;
    const bool skip = std::any_of(skipped.begin(), skipped.end(), [&](const std::string& s) {
      return name.starts_with(choice.naming.prefix + s);
    });
    (skip ? never_run : unused).push_back(name);
  }
  if (missing.empty() && wrong.empty() && unused.empty()) {
    if (!never_run.empty()) {
      AddNote(options,
              StrCat(never_run.size(), " tensors are of a module that such networks never run: ",
                     ListNames(never_run)));
    }
    return OkStatus();
  }
  std::string text =
      StrCat("the tensors do not fit ", d.name, " (names of ", choice.naming.scheme->name, ", ",
             choice.found, " of ", choice.requests.size(), " found)");
  if (!missing.empty()) text += StrCat("; ", missing.size(), " missing: ", ListNames(missing));
  if (!wrong.empty()) text += StrCat("; ", wrong.size(), " of wrong shape: ", ListNames(wrong));
  if (!unused.empty()) text += StrCat("; ", unused.size(), " not used: ", ListNames(unused));
  return InvalidArgument(text);
}

}  // namespace

Result<Graph> BuildResnet(const GraphDescription& description, TensorSource& source,
                          const ImportOptions& options) {
  OCTET_ASSIGN_OR_RETURN(NetworkTensors tensors, NetworkTensors::Make(source, options));
  const std::vector<std::string> list = tensors.Names();
  const std::set<std::string> names(list.begin(), list.end());
  OCTET_ASSIGN_OR_RETURN(const Choice choice, ChooseNaming(description, names));
  OCTET_RETURN_IF_ERROR(CheckTensors(description, tensors, names, choice, options));

  Builder builder(description, choice.naming, &tensors);
  OCTET_RETURN_IF_ERROR(builder.Walk());
  Graph graph = builder.TakeGraph();
  graph.metadata.name = description.name;
  graph.metadata.preprocessing = description.preprocessing;
  // Labels of the described classes say nothing about a model that was fine-tuned for others.
  if (static_cast<int64_t>(description.labels.size()) ==
      graph.tensor(graph.outputs[0]).shape.back()) {
    graph.metadata.labels = description.labels;
  }
  OCTET_RETURN_IF_ERROR(CheckGraph(graph));
  return graph;
}

bool Fits(const GraphDescription& description, TensorSource& source, WeightsChoice weights) {
  ImportOptions options;
  options.weights = weights;
  const Result<NetworkTensors> tensors = NetworkTensors::Make(source, options);
  if (!tensors.ok()) return false;
  const std::vector<std::string> list = tensors->Names();
  const std::set<std::string> names(list.begin(), list.end());
  const Result<Choice> choice = ChooseNaming(description, names);
  return choice.ok() && CheckTensors(description, *tensors, names, *choice, options).ok();
}

}  // namespace octet
