// By which factors channels were scaled, their weights tell. Then two passes. Both networks run on
// all samples, and every layer's values are compared. Isolated: the float network
// is cut behind one layer after the other. What is alive at the cut is kept for each sample, so
// that only the part behind it runs again, on the layer's values as quantization makes them; these
// are computed with the numbers that the weights stand for, and rounded to the codes afterwards.
#include "converter/report/layers.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "converter/tune/branches.h"
#include "engine/src/runner.h"
#include "formats/base/dtype.h"
#include "formats/base/macros.h"
#include "formats/base/median.h"
#include "formats/base/str_cat.h"
#include "formats/model/input_meaning.h"
#include "formats/model/operators.h"
#include "formats/model/panel.h"

namespace octet {
namespace {

using Values = std::vector<float>;
/// What a rounding gives.
struct Codes : Quantization {
  DType type = DType::kU8;
  bool operator==(const Codes&) const = default;
};
/// Roundings in their order.
using Chain = std::vector<Codes>;

/// What a hybrid layer does with each image that it reads.
constexpr Codes kByOwnRange{{-1.0f, 0}};

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kOutlier = 8.0f;  ///< Times the median of the channels.
constexpr int64_t kTimedRuns = 10;
/// Values alive at a cut, of all isolated samples.
constexpr int64_t kMostAlive = int64_t{512} << 20;

double Decibels(double signal, double noise) { return Energies{signal, noise}.Decibels(); }

/// `count` of `n` places, spread evenly.
std::vector<size_t> Spread(int64_t n, int64_t count) {
  count = std::min(n, count);
  std::vector<size_t> places;
  for (int64_t i = 0; i < count; ++i) places.push_back(static_cast<size_t>(i * n / count));
  return places;
}

/// Node that gives each tensor, -1 for none.
std::vector<int> Producers(const Graph& g) {
  std::vector<int> producer(g.tensors.size(), -1);
  for (size_t i = 0; i < g.nodes.size(); ++i) producer[g.nodes[i].output] = static_cast<int>(i);
  return producer;
}

bool IsActivation(const Graph& g, TensorId id) {
  return id != kNoTensor && !g.tensor(id).is_constant();
}

/// A value of the float network and what became of it.
struct Layer {
  int node = -1;  ///< Of the float network; -1: its input.
  TensorId tensor = kNoTensor;
  int after_node = -1;
  TensorId after_tensor = kNoTensor;  ///< The same value; kNoTensor where there is none.
  std::vector<Chain> variants;        ///< What readers get; the first is the usual one.
  std::map<std::pair<int, int>, size_t> variant_of;  ///< By reader and slot.
  std::optional<Codes> codes;                        ///< The first rounding, whoever does it.

  std::array<int64_t, kHistogramBins> histogram{};
  std::vector<float> largest;  ///< By channel, magnitude of the float values.
  double signal = 0.0, noise = 0.0, largest_error = 0.0;
  int64_t values = 0, clipped = 0, saturated = 0;
  float min = kInfinity, max = -kInfinity;

  double isolated_signal = 0.0, isolated_noise = 0.0;
  double total_error = 0.0, weight_error = 0.0, range_error = 0.0;
};

/// What quantization makes of values whose channels are scaled so.
void Round(const Chain& chain, const std::vector<int>& exponents, Values* values) {
  const auto scale = [&](int sign) {
    for (size_t i = 0; i < values->size(); ++i)
      (*values)[i] = std::ldexp((*values)[i], sign * exponents[i % exponents.size()]);
  };
  if (chain.empty()) return;
  const bool scaled = std::any_of(exponents.begin(), exponents.end(), [](int e) { return e != 0; });
  std::vector<uint8_t> codes(2 * values->size());
  if (scaled) scale(1);
  for (Codes q : chain) {
    if (q == kByOwnRange) {
      const auto [low, high] = std::minmax_element(values->begin(), values->end());
      q = {ChooseQuantization({*low, *high})};
    }
    Quantize(q, q.type, values->data(), values->size(), codes.data());
    Dequantize(q, q.type, codes.data(), values->size(), values->data());
  }
  if (scaled) scale(-1);
}

/// Codes that results have; int16 is symmetric.
CodeRange ResultsOf(const Codes& q) {
  const CodeRange range = CodesOf(q.type);
  return q.type == DType::kI16 ? CodeRange{-range.high, range.high} : range;
}

float NumberOf(const Codes& q, int32_t code) {
  return q.scale * static_cast<float>(code - q.zero_point);
}

ValueRange Expressible(const Codes& q) {
  const CodeRange range = ResultsOf(q);
  return {NumberOf(q, range.low), NumberOf(q, range.high)};
}

/// What a node with constants multiplies with, row-major, and what it adds by output channel.
struct ConstantsOfNode {
  Values factors, terms;
  size_t depth = 1;  ///< Of weights, input channels of a group.
};

/// The numbers that they stand for. Of a convolution, a dense layer or a kScaleShift.
ConstantsOfNode ConstantsOf(const Graph& g, const Node& n) {
  const Tensor &w = g.tensor(n.inputs[kInputWeights]), &x = g.tensor(n.inputs[kInputX]);
  const auto channels = static_cast<size_t>(w.shape[0]);
  const auto size = static_cast<size_t>(w.shape.num_elements());
  ConstantsOfNode c{Values(size), Values(channels), static_cast<size_t>(w.shape.back())};
  std::vector<std::byte> bytes(
      static_cast<size_t>(ConstantBytes(w.shape, w.dtype, Layout::kPlain)));
  UnpackWeights(w.data.data(), w.shape, w.dtype, w.layout, bytes.data());
  const TensorId scales_id = n.input(kInputScales), terms_id = n.input(kInputBias);
  std::span<const float> scales;
  if (scales_id != kNoTensor) scales = g.tensor(scales_id).values<float>();
  std::vector<int32_t> sums(channels, 0);
  for (size_t i = 0; i < size; ++i) {
    const size_t o = i / (size / channels);
    if (w.dtype == DType::kI8) {
      const int code = static_cast<int8_t>(bytes[i]);
      sums[o] += code;
      c.factors[i] = static_cast<float>(code) * scales[o];
    } else if (w.dtype == DType::kF16) {
      c.factors[i] = HalfToFloat(reinterpret_cast<const uint16_t*>(bytes.data())[i]);
    } else if (w.dtype == DType::kBF16) {
      c.factors[i] = Bf16ToFloat(reinterpret_cast<const uint16_t*>(bytes.data())[i]);
    } else {
      c.factors[i] = reinterpret_cast<const float*>(bytes.data())[i];
    }
  }
  const Tensor* terms = terms_id == kNoTensor ? nullptr : &g.tensor(terms_id);
  for (size_t o = 0; o < channels; ++o) {
    if (w.dtype == DType::kI8 && IsCodes(x.dtype)) {
      // The integer bias has the correction of the input's zero point in it.
      const double code = terms == nullptr ? 0.0
                          : terms->dtype == DType::kI64
                              ? static_cast<double>(terms->values<int64_t>()[o])
                              : terms->values<int32_t>()[o];
      c.terms[o] =
          static_cast<float>((code + static_cast<double>(x.quantization.zero_point) * sums[o]) *
                             x.quantization.scale * scales[o]);
    } else if (terms != nullptr && terms->dtype == DType::kF32) {
      c.terms[o] = terms->values<float>()[o];
    }
  }
  return c;
}

/// That factor `i` of a node's is for.
size_t InputChannel(const Node& n, const ConstantsOfNode& c, size_t i) {
  const size_t outputs = c.terms.size(), o = i / (c.factors.size() / outputs);
  if (!TraitsOf(n.type).has_weights) return o;
  return o / (outputs / static_cast<size_t>(n.groups)) * c.depth + i % c.depth;
}

/// What stands between a network's input and the tensor, by channel: tensor = scale * input +
/// shift.
struct Head {
  std::vector<double> scale, shift;
};

/// Nothing where it is more than conversions and a rescaling.
std::optional<Head> HeadOf(const Graph& g, const std::vector<int>& producer, TensorId id) {
  // Numbers that the input stands for are not its tensor's where it is of pixels.
  const ChannelQuantization pixels = ChannelsOfInput(g);
  const auto channels = static_cast<size_t>(g.tensor(id).shape.back());
  Head head{std::vector<double>(channels, 1.0), std::vector<double>(channels, 0.0)};
  bool rescaled = false;
  for (int p = producer[id]; p >= 0; p = producer[id]) {
    const Node& n = g.nodes[p];
    const bool rescales = n.type == OpType::kScaleShift && n.activation == Activation::kNone &&
                          n.input(kInputUnit) == kNoTensor && !rescaled;
    if (!TraitsOf(n.type).converts && !rescales) return std::nullopt;
    for (size_t c = 0; rescales && c < channels; ++c) {
      head.scale[c] = g.tensor(n.inputs[kInputScale]).values<float>()[c];
      head.shift[c] = g.tensor(n.inputs[kInputShift]).values<float>()[c];
    }
    rescaled |= rescales;
    id = n.inputs[0];
  }
  for (size_t c = 0; !pixels.empty() && c < channels; ++c) {
    head.shift[c] += head.scale[c] * pixels.zero_points[c];
    head.scale[c] /= pixels.scales[c];
  }
  return head;
}

/// A part of a network that runs by itself.
class Piece {
 public:
  /// Those of nodes `first` to `end` that `output` needs.
  static Result<Piece> Cut(const Graph& g, size_t first, size_t end, TensorId output, int threads) {
    Graph part;
    part.tensors = g.tensors;
    std::set<TensorId> wanted{output};
    for (size_t i = end; i-- > first;) {
      const Node& n = g.nodes[i];
      if (wanted.erase(n.output) == 0) continue;
      part.nodes.insert(part.nodes.begin(), n);
      for (TensorId id : n.inputs)
        if (IsActivation(g, id)) wanted.insert(id);
    }
    Piece piece;
    piece.inputs_.assign(wanted.begin(), wanted.end());
    part.inputs = piece.inputs_;
    part.outputs = {output};
    OCTET_RETURN_IF_ERROR(RemoveUnused(&part));
    OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           ModelFromGraph(std::move(part)));
    for (int i = 0; i < threads; ++i) {
      OCTET_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Create(model));
      piece.sessions_.push_back(std::move(session));
    }
    piece.elements_ = static_cast<size_t>(g.tensor(output).shape.num_elements());
    return piece;
  }

  /// What it gives for each of `count` samples; `find(sample, tensor)` is what it reads.
  template <typename Find>
  Result<std::vector<Values>> Run(size_t count, const Find& find) {
    std::vector<Values> out(count);
    const auto work = [&](size_t first) -> Status {
      for (size_t i = first; i < count; i += sessions_.size()) {
        std::vector<const void*> in;
        for (TensorId id : inputs_) in.push_back(find(i, id).data());
        out[i].resize(elements_);
        void* to = out[i].data();
        OCTET_RETURN_IF_ERROR(sessions_[first]->Run(in.data(), &to));
      }
      return OkStatus();
    };
    std::vector<std::future<Status>> others;
    for (size_t i = 1; i < sessions_.size(); ++i)
      others.push_back(std::async(std::launch::async, work, i));
    Status status = work(0);
    for (std::future<Status>& other : others) {
      if (Status of_other = other.get(); status.ok()) status = std::move(of_other);
    }
    if (!status.ok()) return status;
    return out;
  }

 private:
  std::vector<std::unique_ptr<Session>> sessions_;  ///< One for each thread.
  std::vector<TensorId> inputs_;
  size_t elements_ = 0;
};

class LayerComparison {
 public:
  LayerComparison(std::span<const NamedSample> samples, const CompareLayersOptions& options)
      : samples_(samples), options_(options) {}

  Result<LayerReport> Run(const Graph& before, const Graph& after) {
    OCTET_RETURN_IF_ERROR(Open(before, after));
    OCTET_RETURN_IF_ERROR(Pair());
    OCTET_RETURN_IF_ERROR(JudgeAll());
    // Sessions that show activations do nothing else: looking takes time.
    OCTET_RETURN_IF_ERROR(TimeLayers());
    FindExponents();
    isolated_ = Spread(std::ssize(samples_), std::min(options_.isolated_samples, MostIsolated()));
    OCTET_RETURN_IF_ERROR(CompareAll());
    if (!isolated_.empty()) OCTET_RETURN_IF_ERROR(Isolate());
    return Finish();
  }

 private:
  const Graph& before() const { return before_runner_->graph(); }
  const Graph& after() const { return after_runner_->graph(); }

  Status Open(const Graph& before, const Graph& after) {
    if (samples_.empty()) return InvalidArgument("the data holds no sample");
    for (const Tensor& t : before.tensors) {
      if (t.dtype == DType::kF32) continue;
      return InvalidArgument(StrCat("tensor '", t.name, "' is ", DTypeName(t.dtype),
                                    ", expected a network of float32 to compare with"));
    }
    const auto same = [](const char* what, const Graph& a, TensorId a_id, const Graph& b,
                         TensorId b_id) -> Status {
      const Shape &x = a.tensor(a_id).shape, &y = b.tensor(b_id).shape;
      if (x == y) return OkStatus();
      return InvalidArgument(StrCat("different networks: their ", what, "s are ", x.ToString(),
                                    " and ", y.ToString()));
    };
    for (const Graph* g : {&before, &after}) {
      if (g->inputs.size() != 1)
        return Unsupported(StrCat("a network has ", g->inputs.size(), " inputs, expected 1"));
    }
    OCTET_RETURN_IF_ERROR(same("input", before, before.inputs[0], after, after.inputs[0]));
    OCTET_RETURN_IF_ERROR(same("output", before, before.outputs[0], after, after.outputs[0]));
    OCTET_ASSIGN_OR_RETURN(before_model_, ModelFromGraph(before));
    OCTET_ASSIGN_OR_RETURN(after_model_, ModelFromGraph(after));
    OCTET_ASSIGN_OR_RETURN(before_runner_, GraphRunner::Create(before_model_));
    OCTET_ASSIGN_OR_RETURN(after_runner_, GraphRunner::Create(after_model_));
    return OkStatus();
  }

  /// The tensor that conversions before `id` begin with, and their roundings.
  std::pair<TensorId, Chain> Trace(TensorId id) const {
    Chain chain;
    for (;;) {
      const Tensor& t = after().tensor(id);
      const int p = after_producer_[id];
      const OpTraits* traits = p < 0 ? nullptr : &TraitsOf(after().nodes[p].type);
      // What only moves codes rounds nothing, and pixels need not be rounded.
      const bool pixels = p < 0 && after().metadata.pixel_codes;
      if (IsCodes(t.dtype) && !pixels && !(traits != nullptr && traits->moves_values))
        chain.push_back({t.quantization, t.dtype});
      if (traits == nullptr || !traits->converts) break;
      id = after().nodes[p].inputs[0];
    }
    std::reverse(chain.begin(), chain.end());
    chain.erase(std::unique(chain.begin(), chain.end()), chain.end());
    return {id, chain};
  }

  bool IsHybrid(const Node& n) const {
    return TraitsOf(n.type).has_weights &&
           after().tensor(n.inputs[kInputWeights]).dtype == DType::kI8 &&
           after().tensor(n.inputs[kInputX]).dtype == DType::kF32;
  }

  /// Where no layer has a name in both, as after quantization-aware training or by another
  /// exporter: layers by their order, if all are alike, each with what becomes of its value
  /// before another layer reads it, and the node that is the layer.
  using Pairs = std::map<TensorId, std::pair<TensorId, int>>;
  Pairs ByOrder(const std::map<std::string, TensorId>& by_name) const {
    static const auto is_layer = [](const Node& n) {
      return TraitsOf(n.type).has_weights || n.type == OpType::kMaxPool ||
             n.type == OpType::kAveragePool || n.type == OpType::kGlobalAveragePool;
    };
    const auto weights = [](const Graph& g, const Node& n) {
      return TraitsOf(n.type).has_weights ? g.tensor(n.inputs[kInputWeights]).shape : Shape();
    };
    constexpr int kNobody = -1, kMany = -2;
    std::vector<int> reader(after().tensors.size(), kNobody);
    std::vector<const Node*> others;
    for (const Node& n : after().nodes) {
      if (is_layer(n)) others.push_back(&n);
      for (TensorId id : n.inputs) {
        if (id == kNoTensor) continue;
        reader[id] = reader[id] == kNobody ? static_cast<int>(&n - after().nodes.data()) : kMany;
      }
    }
    Pairs pairs;
    for (const Node& n : before().nodes) {
      if (!is_layer(n)) continue;
      // What the caller knows an output by says nothing.
      const bool named = TraitsOf(n.type).has_weights && n.output != before().outputs[0] &&
                         by_name.contains(before().tensor(n.output).name);
      // Of two branches either may be first.
      const auto other = std::find_if(others.begin(), others.end(), [&](const Node* o) {
        return o->type == n.type && weights(before(), n) == weights(after(), *o);
      });
      if (named || other == others.end()) return {};
      const auto adds_in = [](const Node& node) {
        return TraitsOf(node.type).has_weights && node.input(kInputResidual) != kNoTensor;
      };
      bool adds = adds_in(n) && !adds_in(**other);
      const bool adds_too_early = adds_in(**other) && !adds_in(n);
      TensorId id = (*other)->output;
      int node = static_cast<int>(*other - after().nodes.data());
      others.erase(other);
      for (int r = reader[id]; r >= 0; r = reader[id]) {
        const Node& next = after().nodes[static_cast<size_t>(r)];
        const bool keeps = TraitsOf(next.type).converts || next.type == OpType::kScaleShift ||
                           next.type == OpType::kRelu || next.type == OpType::kRelu6 ||
                           next.type == OpType::kClip;
        // A node of its own, or in the layer of the other branch.
        const bool sum =
            next.type == OpType::kAdd || (adds_in(next) && next.inputs[kInputResidual] == id);
        if (!keeps && !(adds && sum)) break;
        adds = adds && !sum;
        if (next.type == OpType::kScaleShift) node = -1;  // Its weights are other numbers.
        id = next.output;
      }
      if (!adds && !adds_too_early) pairs[n.output] = {id, node};
    }
    return others.empty() ? pairs : Pairs();
  }

  /// Finds each value of the float network in the other.
  Status Pair() {
    before_producer_ = Producers(before());
    after_producer_ = Producers(after());
    std::map<std::string, TensorId> by_name;
    for (size_t id = 0; id < after().tensors.size(); ++id) {
      if (!after().tensors[id].is_constant())
        by_name.emplace(after().tensors[id].name, static_cast<TensorId>(id));
    }
    const Pairs by_order = ByOrder(by_name);
    std::vector<int> counterpart(before().nodes.size(), -1);
    layer_of_.assign(before().tensors.size(), -1);
    exponents_.resize(before().tensors.size());
    std::map<TensorId, size_t> by_base;  // Layers, by what gives their value in the second network.
    const auto add = [&](int node, TensorId tensor) {
      layer_of_[tensor] = static_cast<int>(layers_.size());
      layers_.emplace_back();
      layers_.back().node = node;
      layers_.back().tensor = tensor;
      const auto channels = static_cast<size_t>(before().tensor(tensor).shape.back());
      layers_.back().largest.resize(channels);
      exponents_[tensor].assign(channels, 0);
      return &layers_.back();
    };
    add(-1, before().inputs[0])->after_tensor = after().inputs[0];
    by_base[after().inputs[0]] = 0;
    bool any = false;
    for (size_t i = 0; i < before().nodes.size(); ++i) {
      const Node& n = before().nodes[i];
      const auto in_order = by_order.find(n.output);
      const auto found = by_name.find(before().tensor(n.output).name);
      const TensorId value = in_order != by_order.end() ? in_order->second.first
                             : found != by_name.end()   ? found->second
                                                        : kNoTensor;
      const TensorId base = value == kNoTensor ? kNoTensor : Trace(value).first;
      const int p = base == kNoTensor ? -1 : after_producer_[base];
      const bool is_same = p >= 0 && after().nodes[p].type == n.type &&
                           (in_order == by_order.end() || in_order->second.second == p) &&
                           after().tensor(base).shape == before().tensor(n.output).shape &&
                           std::all_of(n.inputs.begin(), n.inputs.end(), [&](const TensorId& id) {
                             const TensorId other =
                                 after().nodes[p].input(static_cast<int>(&id - n.inputs.data()));
                             return !IsActivation(before(), id) || IsActivation(after(), other);
                           });
      if (is_same) counterpart[i] = p;
      exponents_[n.output].assign(static_cast<size_t>(before().tensor(n.output).shape.back()), 0);
      if (n.type == OpType::kReshape) continue;  // No work, and not shown.
      Layer* layer = add(static_cast<int>(i), n.output);
      // By their order values are found that other nodes give: a sum of its own, a scale.
      if (!is_same && (in_order == by_order.end() ||
                       !(after().tensor(base).shape == before().tensor(n.output).shape)))
        continue;
      any = true;
      if (is_same) {
        layer->after_node = p;
      } else if (TraitsOf(n.type).has_weights) {
        layer->after_node = in_order->second.second;
      }
      layer->after_tensor = value;
      by_base[base] = layers_.size() - 1;
    }
    if (!any) return InvalidArgument("different networks: they have no layer in common");
    for (size_t i = 0; i < before().nodes.size(); ++i) {
      const Node& n = before().nodes[i];
      for (size_t slot = 0; slot < n.inputs.size(); ++slot) {
        if (counterpart[i] < 0 || !IsActivation(before(), n.inputs[slot])) continue;
        const int at = layer_of_[n.inputs[slot]];
        auto [base, chain] = Trace(after().nodes[counterpart[i]].inputs[slot]);
        if (slot == kInputX && IsHybrid(after().nodes[counterpart[i]])) chain = {kByOwnRange};
        const auto from = by_base.find(base);
        if (at < 0 || from == by_base.end() || from->second != static_cast<size_t>(at)) continue;
        Layer& layer = layers_[static_cast<size_t>(at)];
        const auto known = std::find(layer.variants.begin(), layer.variants.end(), chain);
        layer.variant_of[{static_cast<int>(i), static_cast<int>(slot)}] =
            static_cast<size_t>(known - layer.variants.begin());
        if (known == layer.variants.end()) layer.variants.push_back(chain);
      }
    }
    for (Layer& layer : layers_) {
      if (layer.after_tensor == kNoTensor) continue;
      const auto [base, chain] = Trace(layer.after_tensor);
      if (layer.variants.empty()) layer.variants.push_back(chain);
      const Tensor& t = after().tensor(base);
      if (IsCodes(t.dtype) && !(layer.node < 0 && after().metadata.pixel_codes)) {
        layer.codes = Codes{t.quantization, t.dtype};
      } else if (!layer.variants[0].empty() && layer.variants[0][0] != kByOwnRange) {
        layer.codes = layer.variants[0][0];
      }
    }
    layer_of_after_node_.assign(after().nodes.size(), -1);
    for (size_t i = 0; i < after().nodes.size(); ++i) {
      const auto at = by_base.find(Trace(after().nodes[i].output).first);
      if (at != by_base.end()) layer_of_after_node_[i] = static_cast<int>(at->second);
    }
    FindScores();
    return OkStatus();
  }

  void FindScores() {
    scores_ = before().outputs[0];
    for (int p = before_producer_[scores_]; p >= 0; p = before_producer_[scores_]) {
      const Node& n = before().nodes[p];
      if (n.type != OpType::kSoftmax && n.type != OpType::kLogSoftmax && n.type != OpType::kReshape)
        return;
      scores_ = n.inputs[0];
    }
  }

  void Progress(const char* what, size_t done, size_t total) const {
    if (options_.progress)
      options_.progress(what, static_cast<int64_t>(done), static_cast<int64_t>(total));
  }

  std::vector<Prediction> Best(const Graph& g, const Values& values) const {
    return BestFive(values, EndsInProbabilities(g), before().metadata.labels);
  }

  Status JudgeAll() {
    const DatasetSamples samples = SamplesOf(samples_);
    OCTET_ASSIGN_OR_RETURN(const FloatOutputs floats,
                           RunFloat(before(), samples.next, samples.label, {}));
    OCTET_ASSIGN_OR_RETURN(
        report_.verdict,
        Judge(before(), floats, after_model_, SamplesOf(samples_).next,
              [&](int64_t done, const Values& want, const Values& got) {
                const NamedSample& sample = samples_[static_cast<size_t>(done - 1)];
                if (Largest(want) != Largest(got)) {
                  report_.changed.push_back(
                      {sample.name, sample.label, Best(before(), want), Best(after(), got)});
                }
                Progress("measuring", static_cast<size_t>(done), samples_.size());
              }));
    return OkStatus();
  }

  Status TimeLayers() {
    for (const bool is_after : {false, true}) {
      const GraphRunner& runner = is_after ? *after_runner_ : *before_runner_;
      std::vector<double>& ms = is_after ? after_ms_ : before_ms_;
      ms.resize(layers_.size());
      OCTET_ASSIGN_OR_RETURN(const std::vector<double> of_nodes,
                             MsOfNodes(is_after ? after_model_ : before_model_, samples_));
      for (size_t node = 0; node < of_nodes.size(); ++node) {
        const int at =
            is_after ? layer_of_after_node_[node] : layer_of_[runner.graph().nodes[node].output];
        if (at >= 0) ms[static_cast<size_t>(at)] += of_nodes[node];
      }
    }
    return OkStatus();
  }

  /// Runs both networks, and `see(layer, float values, the other's)` for each layer of both.
  template <typename See>
  Status RunBoth(size_t sample, const See& see) {
    std::vector<Values> want(layers_.size()), got(layers_.size());
    want[0] = samples_[sample].input.Floats();
    OCTET_RETURN_IF_ERROR(
        before_runner_->Run(want[0].data(), [&](TensorId id, const kernels::ActivationView& view) {
          if (layer_of_[id] >= 0)
            AppendNumbers(before().tensor(id), view, &want[static_cast<size_t>(layer_of_[id])]);
        }));
    std::map<TensorId, size_t> at;
    for (size_t i = 1; i < layers_.size(); ++i) at[layers_[i].after_tensor] = i;
    const TensorDescription& input = after_model_->Describe().inputs[0];
    std::vector<uint8_t> bytes(input.num_bytes());
    input.FromFloats(want[0].data(), bytes.data());
    OCTET_RETURN_IF_ERROR(
        after_runner_->Run(bytes.data(), [&](TensorId id, const kernels::ActivationView& view) {
          if (const auto i = at.find(id); i != at.end())
            AppendNumbers(after().tensor(id), view, &got[i->second]);
        }));
    got[0] = want[0];
    Round(layers_[0].variants[0], exponents_[layers_[0].tensor], &got[0]);
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (want[i].size() == got[i].size()) see(&layers_[i], want[i], got[i]);
    }
    return OkStatus();
  }

  /// By the constants alone: values may differ for other reasons. What has weights says how its
  /// channels were scaled, everything else passes that on.
  void FindExponents() {
    for (size_t i = 0; i < before().nodes.size(); ++i) {
      const Node& n = before().nodes[i];
      std::vector<int>& out = exponents_[n.output];
      const int at = layer_of_[n.output];
      const Layer* layer = at < 0 ? nullptr : &layers_[static_cast<size_t>(at)];
      if (layer != nullptr && layer->after_node >= 0 && n.input(1) != kNoTensor &&
          before().tensor(n.inputs[1]).is_constant()) {
        const ConstantsOfNode was = ConstantsOf(before(), n), is = ConstantsAfter(*layer);
        if (was.factors.size() != is.factors.size()) continue;
        const std::vector<int>& in = exponents_[n.inputs[kInputX]];
        for (size_t c = 0; c < out.size(); ++c) {
          const size_t row = was.factors.size() / out.size();
          double both = static_cast<double>(was.terms[c]) * is.terms[c],
                 own = static_cast<double>(was.terms[c]) * was.terms[c];
          for (size_t j = c * row; j < (c + 1) * row; ++j) {
            both += std::ldexp(static_cast<double>(was.factors[j]) * is.factors[j],
                               in[InputChannel(n, was, j) % in.size()]);
            own += static_cast<double>(was.factors[j]) * was.factors[j];
          }
          if (both > 0.0) out[c] = static_cast<int>(std::lround(std::log2(both / own)));
        }
        continue;
      }
      std::vector<int> in;  // Of the channels before a slice.
      for (TensorId id : n.inputs) {
        const std::vector<int>& from = exponents_[id];
        if (in.empty() || (n.type == OpType::kConcat && from.size() < out.size())) {
          in.insert(in.end(), from.begin(), from.end());
        } else if (n.type == OpType::kMul) {
          for (size_t c = 0; c < in.size(); ++c) in[c] += from[c];
        }
      }
      const auto channel = static_cast<size_t>(before().tensor(n.output).shape.rank() - 1);
      for (size_t c = 0; c < out.size(); ++c) {
        const auto at_input =
            n.type == OpType::kSlice
                ? n.begin[channel] + static_cast<std::ptrdiff_t>(c) * n.step[channel]
            : n.type == OpType::kPad ? static_cast<std::ptrdiff_t>(c) - n.begin[channel]
                                     : static_cast<std::ptrdiff_t>(c % in.size());
        if (at_input >= 0 && at_input < std::ssize(in)) out[c] = in[static_cast<size_t>(at_input)];
      }
    }
  }

  /// Those of the second network, where its first layer reads other numbers than the float one's
  /// (pixels, say) for the latter's.
  ConstantsOfNode ConstantsAfter(const Layer& layer) const {
    const Node &was = before().nodes[layer.node], &is = after().nodes[layer.after_node];
    ConstantsOfNode c = ConstantsOf(after(), is);
    const std::optional<Head> from = HeadOf(before(), before_producer_, was.inputs[kInputX]),
                              to = HeadOf(after(), after_producer_, is.inputs[kInputX]);
    if (!TraitsOf(is.type).has_weights || !from || !to) return c;
    for (size_t i = 0; i < c.factors.size(); ++i) {
      const size_t channel = InputChannel(is, c, i);
      const double step = to->scale[channel] / from->scale[channel];
      c.terms[i / (c.factors.size() / c.terms.size())] +=
          static_cast<float>(c.factors[i] * (to->shift[channel] - step * from->shift[channel]));
      c.factors[i] = static_cast<float>(c.factors[i] * step);
    }
    return c;
  }

  std::vector<double> FactorsOf(const Layer& layer) const {
    std::vector<double> factors;
    for (int e : exponents_[layer.tensor]) factors.push_back(std::ldexp(1.0, e));
    return factors;
  }

  Status CompareAll() {
    const std::set<size_t> isolated(isolated_.begin(), isolated_.end());
    for (size_t i = 0; i < samples_.size(); ++i) {
      OCTET_RETURN_IF_ERROR(RunBoth(i, [&](Layer* layer, const Values& want, Values got) {
        const std::vector<double> factor = FactorsOf(*layer);
        const size_t channels = factor.size();
        const Codes q = layer->codes.value_or(Codes());
        const CodeRange codes = ResultsOf(q);
        const ValueRange ends = Expressible(q);
        const double low = ends.min - 0.5 * q.scale, high = ends.max + 0.5 * q.scale,
                     bins_per_unit = (kHistogramBins - 2 * kHistogramBeyond) / (high - low);
        for (size_t j = 0; j < want.size(); ++j) {
          const size_t c = j % channels;
          const double w = want[j], g = got[j] / factor[c], scaled = w * factor[c];
          layer->signal += w * w;
          layer->noise += (g - w) * (g - w);
          layer->largest_error = std::max(layer->largest_error, std::fabs(g - w));
          layer->min = std::min(layer->min, want[j]);
          layer->max = std::max(layer->max, want[j]);
          layer->largest[c] = std::max(layer->largest[c], std::fabs(want[j]));
          if (layer->codes) {
            const double bin = kHistogramBeyond + std::floor((scaled - low) * bins_per_unit);
            ++layer->histogram[static_cast<size_t>(std::clamp(bin, 0.0, kHistogramBins - 1.0))];
          }
          layer->clipped += q.scale != 0.0f && (scaled < low || scaled > high);
          layer->saturated +=
              q.scale != 0.0f && ((got[j] <= ends.min && q.zero_point != codes.low) ||
                                  (got[j] >= ends.max && q.zero_point != codes.high));
          got[j] = static_cast<float>(g);
        }
        layer->values += std::ssize(want);
        if (layer->tensor == scores_ && isolated.contains(i)) whole_.Add(want, got);
      }));
      Progress("comparing", i + 1, samples_.size());
    }
    return OkStatus();
  }

  /// Last node that reads each tensor, as far as the scores need it.
  std::vector<int> LastReaders() const {
    std::vector<int> last(before().tensors.size(), -1);
    std::vector<bool> needed(before().tensors.size(), false);
    needed[scores_] = true;
    for (int i = static_cast<int>(before().nodes.size()) - 1; i >= 0; --i) {
      const Node& n = before().nodes[i];
      if (!needed[n.output]) continue;
      for (TensorId id : n.inputs) {
        if (!IsActivation(before(), id)) continue;
        needed[id] = true;
        last[id] = std::max(last[id], i);
      }
    }
    last[scores_] = static_cast<int>(before().nodes.size());
    return last;
  }

  int64_t MostIsolated() const {
    const std::vector<int> last = LastReaders();
    int64_t most = 1;
    for (int i = 0; i < std::ssize(before().nodes); ++i) {
      int64_t alive = 0;
      for (int j = 0; j <= i; ++j) {
        const TensorId id = before().nodes[j].output;
        if (last[id] >= i) alive += before().tensor(id).shape.num_elements() * 4;
      }
      most = std::max(most, alive);
    }
    return std::max<int64_t>(1, kMostAlive / most);
  }

  /// The float network whose node has the constants of the second one's as numbers, in the scale of
  /// the first; nothing where they are the same.
  std::optional<Graph> WithConstantsOf(const Layer& layer) const {
    const Node& n = before().nodes[layer.node];
    return TraitsOf(n.type).has_weights ? WithWeightsOf(layer) : WithLimitsOf(layer);
  }

  /// What moves codes ends at codes.
  std::optional<Graph> WithLimitsOf(const Layer& layer) const {
    Graph g = before();
    Node& n = g.nodes[layer.node];
    const Tensor& t = after().tensor(after().nodes[layer.after_node].output);
    if (!IsCodes(t.dtype)) return std::nullopt;
    const auto round = [&](float* limit) {
      if (std::fabs(*limit) >= -kLowestPad) return;
      *limit = NumberOf({t.quantization, t.dtype}, ClipCode(*limit, t.quantization, t.dtype));
    };
    if (n.type == OpType::kRelu6) {
      n.type = OpType::kClip;
      n.clip_low = 0.0f, n.clip_high = 6.0f;
    }
    const Node was = n;
    if (n.type == OpType::kPad) round(&n.pad_value);
    if (n.type == OpType::kClip) round(&n.clip_low), round(&n.clip_high);
    const bool same =
        n.pad_value == was.pad_value && n.clip_low == was.clip_low && n.clip_high == was.clip_high;
    return same ? std::nullopt : std::optional<Graph>(std::move(g));
  }

  std::optional<Graph> WithWeightsOf(const Layer& layer) const {
    const Node& n = before().nodes[layer.node];
    const ConstantsOfNode was = ConstantsOf(before(), n);
    ConstantsOfNode is = ConstantsAfter(layer);
    if (was.factors.size() != is.factors.size()) return std::nullopt;
    const std::vector<int>&in = exponents_[n.inputs[kInputX]], &out = exponents_[n.output];
    const size_t row = was.factors.size() / out.size();
    for (size_t i = 0; i < is.factors.size(); ++i) {
      is.factors[i] =
          std::ldexp(is.factors[i], in[InputChannel(n, was, i) % in.size()] - out[i / row]);
    }
    for (size_t c = 0; c < out.size(); ++c) is.terms[c] = std::ldexp(is.terms[c], -out[c]);
    if (was.factors == is.factors) return std::nullopt;  // Its bias is rounded with its weights.
    Graph g = before();
    const auto set = [&](int slot, const char* name, const Shape& shape, const Values& values) {
      g.nodes[layer.node].set_input(
          slot, g.AddConstant(StrCat(n.name, name), DType::kF32, shape, values.data(),
                              values.size() * sizeof(float)));
    };
    set(kInputWeights, ".weights", before().tensor(n.inputs[kInputWeights]).shape, is.factors);
    set(kInputBias, ".bias", {std::ssize(out)}, is.terms);
    return g;
  }

  /// False for a layer whose weights the second network has in another form, or not at all.
  bool KnowsWeights(const Layer& layer) const {
    return layer.after_node >= 0 || layer.node < 0 ||
           !TraitsOf(before().nodes[layer.node].type).has_weights;
  }

  Result<Piece> Cut(const Graph& g, size_t first, size_t end, TensorId output) const {
    return Piece::Cut(g, first, end, output, options_.threads);
  }

  /// Values alive at the cut, by tensor.
  using Alive = std::map<TensorId, Values>;

  Status Isolate() {
    const size_t count = isolated_.size(), nodes = before().nodes.size();
    std::vector<Alive> alive(count);
    std::vector<Values> exact;
    for (size_t i : isolated_) exact.push_back(samples_[i].input.Floats());
    OCTET_ASSIGN_OR_RETURN(Piece whole, Cut(before(), 0, nodes, scores_));
    OCTET_ASSIGN_OR_RETURN(
        const std::vector<Values> scores,
        whole.Run(count, [&](size_t i, TensorId) -> const Values& { return exact[i]; }));
    OCTET_RETURN_IF_ERROR(IsolateOne(&layers_[0], exact, alive, scores));
    for (size_t i = 0; i < count; ++i) alive[i][before().inputs[0]] = std::move(exact[i]);
    const std::vector<int> last = LastReaders();
    for (size_t n = 0; n < nodes; ++n) {
      const TensorId id = before().nodes[n].output;
      Progress("isolating", n + 1, nodes);
      if (last[id] < 0) continue;  // No score depends on it.
      OCTET_ASSIGN_OR_RETURN(Piece one, Cut(before(), n, n + 1, id));
      OCTET_ASSIGN_OR_RETURN(exact, one.Run(count, [&](size_t i, TensorId from) -> const Values& {
        return alive[i].at(from);
      }));
      if (layer_of_[id] >= 0) {
        OCTET_RETURN_IF_ERROR(
            IsolateOne(&layers_[static_cast<size_t>(layer_of_[id])], exact, alive, scores));
      }
      for (size_t i = 0; i < count; ++i) {
        alive[i][id] = std::move(exact[i]);
        std::erase_if(alive[i],
                      [&](const auto& v) { return last[v.first] <= static_cast<int>(n); });
      }
    }
    return OkStatus();
  }

  /// `exact` is what the layer gives in the float network.
  Status IsolateOne(Layer* layer, const std::vector<Values>& exact, const std::vector<Alive>& alive,
                    const std::vector<Values>& scores) {
    const bool rounds = std::any_of(layer->variants.begin(), layer->variants.end(),
                                    [](const Chain& c) { return !c.empty(); });
    std::optional<Graph> changed;
    if (layer->after_node >= 0) changed = WithConstantsOf(*layer);
    if (layer->variants.empty() || !KnowsWeights(*layer) || (!rounds && !changed))
      return OkStatus();
    const auto cut = static_cast<size_t>(layer->node + 1);
    std::vector<Values> quantized = exact;
    if (changed) {
      OCTET_ASSIGN_OR_RETURN(Piece itself, Cut(*changed, cut - 1, cut, layer->tensor));
      OCTET_ASSIGN_OR_RETURN(quantized,
                             itself.Run(alive.size(), [&](size_t i, TensorId id) -> const Values& {
                               return alive[i].at(id);
                             }));
    }
    // Readers that get other roundings read another tensor.
    Graph behind = before();
    std::vector<TensorId> ids{layer->tensor};
    std::map<TensorId, std::vector<Values>> rounded;
    for (size_t v = 0; v < layer->variants.size(); ++v) {
      const Tensor& t = before().tensor(layer->tensor);
      if (v > 0) ids.push_back(behind.AddActivation(StrCat(t.name, ".", v), t.dtype, t.shape));
      std::vector<Values>& all = rounded[ids[v]] = quantized;
      for (Values& values : all) Round(layer->variants[v], exponents_[layer->tensor], &values);
    }
    for (const auto& [edge, v] : layer->variant_of)
      behind.nodes[edge.first].inputs[static_cast<size_t>(edge.second)] = ids[v];
    const std::vector<Values>& usual = rounded.at(layer->tensor);
    for (size_t i = 0; i < exact.size(); ++i) Blame(exact[i], quantized[i], usual[i], layer);
    if (layer->node < 0 || !TraitsOf(before().nodes[layer->node].type).has_weights)
      layer->weight_error = 0.0;
    std::vector<Values> got;
    if (layer->tensor != scores_) {
      OCTET_ASSIGN_OR_RETURN(Piece rest, Cut(behind, cut, behind.nodes.size(), scores_));
      OCTET_ASSIGN_OR_RETURN(got,
                             rest.Run(alive.size(), [&](size_t i, TensorId id) -> const Values& {
                               const auto r = rounded.find(id);
                               return r != rounded.end() ? r->second[i] : alive[i].at(id);
                             }));
    }
    Energies energies;
    for (size_t i = 0; i < scores.size(); ++i)
      energies.Add(scores[i], got.empty() ? usual[i] : got[i]);
    layer->isolated_signal = energies.signal;
    layer->isolated_noise = energies.noise;
    return OkStatus();
  }

  /// Adds to what the error at the layer's own output is from.
  void Blame(const Values& exact, const Values& by_weights, const Values& rounded,
             Layer* layer) const {
    const std::vector<double> factors = FactorsOf(*layer);
    const ValueRange ends = Expressible(layer->codes.value_or(Codes()));
    const double half = layer->codes ? 0.5 * layer->codes->scale : kInfinity;
    const auto square = [](double d) { return d * d; };
    for (size_t i = 0; i < exact.size(); ++i) {
      const double factor = factors[i % factors.size()], y = by_weights[i],
                   beyond = std::max(ends.min - y * factor, y * factor - ends.max);
      layer->total_error += square(rounded[i] - static_cast<double>(exact[i]));
      layer->weight_error += square(y - exact[i]);
      if (beyond > half) layer->range_error += square(beyond / factor);
    }
  }

  std::string PrecisionOf(const Layer& layer) const {
    if (layer.after_tensor == kNoTensor) return "";
    const auto of_codes = [](DType t) {
      return t == DType::kI16 ? Precision::kInt16x8 : Precision::kInt8;
    };
    const bool pixels = layer.node < 0 && after().metadata.pixel_codes;
    Precision p = layer.codes ? of_codes(layer.codes->type)
                  : pixels    ? Precision::kInt8
                  : after().tensor(layer.after_tensor).dtype == DType::kBF16 ? Precision::kBf16
                                                                             : Precision::kFp32;
    if (layer.after_node >= 0 && TraitsOf(after().nodes[layer.after_node].type).has_weights) {
      const Node& n = after().nodes[layer.after_node];
      const DType weights = after().tensor(n.inputs[kInputWeights]).dtype;
      p = weights == DType::kF16    ? Precision::kFp16
          : weights == DType::kBF16 ? Precision::kBf16
          : weights != DType::kI8   ? Precision::kFp32
          : IsHybrid(n)             ? Precision::kHybrid
                                    : of_codes(after().tensor(n.inputs[kInputX]).dtype);
    }
    return PrecisionName(p);
  }

  static int64_t ConstantBytesOf(const Graph& g, int node) {
    int64_t bytes = 0;
    if (node < 0) return bytes;
    for (TensorId id : g.nodes[node].inputs)
      if (id != kNoTensor) bytes += static_cast<int64_t>(g.tensor(id).data.size());
    return bytes;
  }

  /// Channels that never speak, and those that speak much louder than others.
  static void FindOdd(const Layer& layer, const OpTraits& traits, LayerDifference* d) {
    std::vector<double> magnitudes;
    for (size_t c = 0; c < layer.largest.size(); ++c) {
      const float largest = layer.largest[c];
      if (largest > 0.0f) magnitudes.push_back(largest);
      if (largest == 0.0f && traits.takes_activation) d->dead.push_back(static_cast<int>(c));
    }
    if (magnitudes.size() < 4) return;  // Of so few none is usual.
    const double limit = kOutlier * Median(magnitudes);
    for (size_t c = 0; c < layer.largest.size(); ++c)
      if (layer.largest[c] > limit) d->outliers.push_back(static_cast<int>(c));
  }

  Result<LayerReport> Finish() {
    double sum = 0.0;
    for (const Layer& layer : layers_) sum += layer.isolated_noise;
    report_.isolated_samples = std::ssize(isolated_);
    report_.isolated_sum = whole_.noise > 0.0 ? sum / whole_.noise : 0.0;
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      const Tensor& t = before().tensor(layer.tensor);
      LayerDifference d;
      d.name = layer.node < 0 ? t.name : before().nodes[layer.node].name;
      d.tensor = t.name;
      d.type = layer.node < 0 ? "input" : OpTypeName(before().nodes[layer.node].type);
      d.precision = PrecisionOf(layer);
      d.channels = std::ssize(layer.largest);
      d.sqnr_db = Decibels(layer.signal, layer.noise);
      d.largest_error = layer.largest_error;
      if (layer.values > 0) {
        d.range = {layer.min, layer.max};
        const auto count = static_cast<double>(layer.values);
        d.clipped = static_cast<double>(layer.clipped) / count;
        d.saturated = static_cast<double>(layer.saturated) / count;
      }
      if (layer.codes) d.quantized = Expressible(*layer.codes);
      d.histogram = layer.histogram;
      if (layer.node >= 0 && layer.values > 0)
        FindOdd(layer, TraitsOf(before().nodes[layer.node].type), &d);
      d.isolated_sqnr_db = Decibels(layer.isolated_signal, layer.isolated_noise);
      if (!KnowsWeights(layer)) d.isolated_sqnr_db = std::numeric_limits<double>::quiet_NaN();
      if (sum > 0.0) d.share = layer.isolated_noise / sum;
      if (layer.total_error > 0.0) {
        const double weights = std::min(1.0, layer.weight_error / layer.total_error);
        const double ranges = std::min(1.0 - weights, layer.range_error / layer.total_error);
        d.weights = weights, d.ranges = ranges, d.rounding = 1.0 - weights - ranges;
      }
      d.before_ms = before_ms_[i];
      d.after_ms = after_ms_[i];
      d.before_bytes = ConstantBytesOf(before(), layer.node);
      d.after_bytes = ConstantBytesOf(after(), layer.after_node);
      report_.layers.push_back(std::move(d));
    }
    return std::move(report_);
  }

  const std::span<const NamedSample> samples_;
  const CompareLayersOptions& options_;
  std::shared_ptr<const Model> before_model_, after_model_;
  std::unique_ptr<GraphRunner> before_runner_, after_runner_;
  std::vector<int> before_producer_, after_producer_;
  std::vector<Layer> layers_;
  std::vector<int> layer_of_, layer_of_after_node_;  ///< By tensor of the first network; by node.
  /// By tensor of the first network and channel: the second one's is 2^exponent times as large.
  std::vector<std::vector<int>> exponents_;
  std::vector<double> before_ms_, after_ms_;
  TensorId scores_ = kNoTensor;
  std::vector<size_t> isolated_;
  Energies whole_;  ///< Of the scores of isolated samples.
  LayerReport report_;
};

/// `before` with the sum in the branch of each block that has it in `after` (tune/branches.h).
Result<Graph> WithBranchesOf(const Graph& after, Graph before) {
  const auto adder = [](const Graph& g, const std::string& block) {
    for (const Node& n : g.nodes) {
      if (g.tensor(n.output).name == block && TraitsOf(n.type).has_weights) return n.name;
    }
    return std::string();
  };
  std::vector<std::string> swapped;
  for (const std::string& block : ProjectionBlocks(before)) {
    const std::string name = adder(after, block);
    if (!name.empty() && name == GivingLayer(before, block)) swapped.push_back(block);
  }
  OCTET_RETURN_IF_ERROR(SwapBranches(swapped, &before));
  return before;
}

}  // namespace

Result<std::vector<double>> MsOfNodes(const std::shared_ptr<const Model>& model,
                                      std::span<const NamedSample> samples) {
  SessionOptions options;
  options.profile = true;
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<GraphRunner> runner,
                         GraphRunner::Create(model, options));
  const TensorDescription& input = model->Describe().inputs[0];
  std::vector<uint8_t> bytes(input.num_bytes());
  const auto run = [&](const NamedSample& sample) {
    input.FromFloats(sample.input.Floats().data(), bytes.data());
    return runner->Run(bytes.data(), {});
  };
  OCTET_RETURN_IF_ERROR(run(samples[0]));
  runner->session()->ResetProfile();  // The first run is slower.
  for (size_t i : Spread(std::ssize(samples), kTimedRuns)) OCTET_RETURN_IF_ERROR(run(samples[i]));
  std::vector<double> ms(runner->graph().nodes.size(), 0.0);
  const Internals::SessionImpl& impl = Internals::Of(*runner->session());
  for (size_t i = 0; i < impl.seconds.size(); ++i) {
    const int node = impl.plan->ops[i]->node;
    if (node >= 0)
      ms[static_cast<size_t>(node)] += impl.seconds[i] * 1e3 / static_cast<double>(impl.runs);
  }
  return ms;
}

std::vector<Prediction> BestFive(std::vector<float> scores, bool probabilities,
                                 const std::vector<std::string>& labels) {
  if (!probabilities) {
    const float largest = scores[Largest(scores)];
    double sum = 0.0;
    for (float& v : scores) sum += v = std::exp(v - largest);
    for (float& v : scores) v = static_cast<float>(v / sum);
  }
  std::vector<int> order(scores.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  const auto end = order.begin() + std::min<std::ptrdiff_t>(5, std::ssize(order));
  std::partial_sort(order.begin(), end, order.end(), [&](int a, int b) {
    const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  std::vector<Prediction> best;
  for (auto i = order.begin(); i != end; ++i) {
    const auto at = static_cast<size_t>(*i);
    best.push_back({*i, at < labels.size() ? labels[at] : "", scores[at]});
  }
  return best;
}

Result<LayerReport> CompareLayers(const Graph& before, const Graph& after,
                                  std::span<const NamedSample> samples,
                                  const CompareLayersOptions& options) {
  OCTET_ASSIGN_OR_RETURN(const Graph aligned, WithBranchesOf(after, before));
  return LayerComparison(samples, options).Run(aligned, after);
}

}  // namespace octet
