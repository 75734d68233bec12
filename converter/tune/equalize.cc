// Channels that must be scaled alike are found by a union-find over all channels of all tensors
// (Ties); every set of them gets one exponent (ChooseExponents), which the weights then take up.
#include "converter/tune/equalize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <utility>

#include "converter/calibrate/sample_team.h"
#include "formats/base/macros.h"
#include "formats/base/median.h"
#include "formats/model/analysis.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

/// Beyond it a channel is as good as dead.
constexpr int kMaxExponent = 12;

bool HasFloatWeights(const Graph& g, const Node& n) {
  const Tensor& w = g.tensor(n.inputs[kInputWeights]);
  return w.dtype == DType::kF32 && w.layout == Layout::kPlain;
}

/// Which input channel column `column` of output channel `o` multiplies.
size_t InputChannel(const Graph& g, const Node& n, size_t o, size_t column) {
  const Shape& w = g.tensor(n.inputs[kInputWeights]).shape;
  const auto groups = static_cast<size_t>(n.groups), outputs = static_cast<size_t>(w[0]),
             width = static_cast<size_t>(w.back());
  return o / (outputs / groups) * width + column;
}

/// Sets of channels that have one factor, and sets of tensors that hold channels of one set.
class Ties {
 public:
  explicit Ties(const Graph& g) : g_(g) {
    for (const Tensor& t : g.tensors) {
      first_.push_back(parent_.size());
      const size_t count = t.is_constant() ? 0 : static_cast<size_t>(t.shape.back());
      for (size_t i = 0; i < count; ++i) parent_.push_back(parent_.size());
    }
    fixed_ = parent_.size();
    parent_.push_back(fixed_);
    for (TensorId id : g.inputs) Fix(id);
    for (TensorId id : g.outputs) Fix(id);
    for (const Node& n : g.nodes) Visit(n);
  }

  size_t size() const { return parent_.size(); }
  size_t SetOf(TensorId id, size_t channel) { return Find(first_[id] + channel); }
  bool IsFixed(size_t set) { return set == Find(fixed_); }
  size_t ChannelsOf(TensorId id) const { return static_cast<size_t>(g_.tensor(id).shape.back()); }

 private:
  size_t Find(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void Tie(TensorId a, size_t i, TensorId b, size_t j) {
    parent_[Find(first_[a] + i)] = Find(first_[b] + j);
  }
  void Fix(TensorId id) {
    for (size_t c = 0; c < ChannelsOf(id); ++c) parent_[Find(first_[id] + c)] = Find(fixed_);
  }
  /// Channel c of `a` is channel c + offset of `b`.
  void TieAll(TensorId a, TensorId b, size_t offset = 0) {
    for (size_t c = 0; c < ChannelsOf(a); ++c) Tie(a, c, b, c + offset);
  }
  void FixAll(const Node& n) {
    Fix(n.output);
    for (TensorId id : n.inputs)
      if (id != kNoTensor && !g_.tensor(id).is_constant()) Fix(id);
  }

  void Visit(const Node& n) {
    const TensorId x = n.inputs[0], y = n.output;
    if (g_.tensor(x).dtype != DType::kF32 || g_.tensor(y).dtype != DType::kF32) return FixAll(n);
    const int last = g_.tensor(y).shape.rank() - 1;
    switch (n.type) {
      case OpType::kConv2d:
      case OpType::kDense:
        if (!HasFloatWeights(g_, n)) return FixAll(n);
        if (n.input(kInputResidual) != kNoTensor) TieAll(n.inputs[kInputResidual], y);
        break;
      case OpType::kScaleShift:
        if (n.input(kInputUnit) != kNoTensor) return FixAll(n);
        break;
      case OpType::kMaxPool:
      case OpType::kAveragePool:
      case OpType::kGlobalAveragePool:
      case OpType::kRelu:
        TieAll(x, y);
        break;
      case OpType::kAdd:
        TieAll(x, y);
        TieAll(n.inputs[1], y);
        break;
      case OpType::kPad:
        if (n.pad_value != 0.0f && n.pad_value != kLowestPad) return FixAll(n);
        TieAll(x, y, static_cast<size_t>(n.begin[static_cast<size_t>(last)]));
        break;
      case OpType::kSlice: {
        const auto at = static_cast<size_t>(last);
        for (size_t c = 0; c < ChannelsOf(y); ++c) {
          const int64_t from = n.begin[at] + static_cast<int64_t>(c) * n.step[at];
          Tie(y, c, x, static_cast<size_t>(from));
        }
        break;
      }
      case OpType::kConcat: {
        size_t offset = 0;
        for (TensorId id : n.inputs) {
          TieAll(id, y, offset);
          if (n.axis == last) offset += ChannelsOf(id);
        }
        break;
      }
      case OpType::kReshape: {
        const auto count = static_cast<size_t>(g_.tensor(x).shape.num_elements());
        const size_t from = ChannelsOf(x), to = ChannelsOf(y);
        // From here on both repeat what they were.
        for (size_t i = 0; i < std::min(count, std::lcm(from, to)); ++i)
          Tie(x, i % from, y, i % to);
        break;
      }
      default:
        return FixAll(n);
    }
    if (n.activation == Activation::kRelu6) Fix(y);
  }

  const Graph& g_;
  std::vector<size_t> parent_;
  std::vector<size_t> first_;  ///< Of a tensor's channels.
  size_t fixed_ = 0;           ///< Tied to whatever keeps its size.
};

/// Sums logarithms of sizes, each against the largest of its kind.
struct MeanLog {
  double sum = 0.0;
  int count = 0;
  double value() const { return sum / count; }
};

void AddSizes(const std::vector<float>& sizes, const std::vector<size_t>& sets,
              std::vector<MeanLog>* to) {
  const float largest = *std::max_element(sizes.begin(), sizes.end());
  for (size_t c = 0; c < sizes.size(); ++c) {
    if (!(sizes[c] > largest * 1e-6f)) continue;  // A dead one has no size.
    (*to)[sets[c]].sum += std::log2(static_cast<double>(sizes[c]) / largest);
    ++(*to)[sets[c]].count;
  }
}

/// By input channel of `n`: the largest weight that reads it.
std::vector<float> WeightSizes(const Graph& g, const Node& n, size_t channels) {
  const std::span<const float> w = g.tensor(n.inputs[kInputWeights]).values<float>();
  const Shape& shape = g.tensor(n.inputs[kInputWeights]).shape;
  const auto width = static_cast<size_t>(shape.back());
  const size_t row = w.size() / static_cast<size_t>(shape[0]);
  std::vector<float> sizes(channels, 0.0f);
  for (size_t i = 0; i < w.size(); ++i) {
    float& size = sizes[InputChannel(g, n, i / row, i % width)];
    size = std::max(size, std::fabs(w[i]));
  }
  return sizes;
}

/// By set: what its channels' exponent is; 0 for most.
std::vector<int> ChooseExponents(const Graph& g, const ChannelMagnitudes& magnitudes, Ties* ties) {
  std::vector<MeanLog> activations(ties->size()), weights(ties->size());
  const auto sets_of = [&](TensorId id) {
    std::vector<size_t> sets(ties->ChannelsOf(id));
    for (size_t c = 0; c < sets.size(); ++c) sets[c] = ties->SetOf(id, c);
    return sets;
  };
  std::vector<std::vector<size_t>> tensors;
  for (size_t t = 0; t < g.tensors.size(); ++t) {
    if (magnitudes[t].empty()) continue;
    tensors.push_back(sets_of(static_cast<TensorId>(t)));
    AddSizes(magnitudes[t], tensors.back(), &activations);
  }
  for (const Node& n : g.nodes) {
    const TensorId x = n.inputs[kInputX];
    if (!TraitsOf(n.type).has_weights || !HasFloatWeights(g, n)) continue;
    AddSizes(WeightSizes(g, n, ties->ChannelsOf(x)), sets_of(x), &weights);
  }
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> wanted(ties->size(), kNone);
  for (size_t s = 0; s < wanted.size(); ++s) {
    if (activations[s].count > 0 && weights[s].count > 0 && !ties->IsFixed(s))
      wanted[s] = (weights[s].value() - activations[s].value()) / 2.0;
  }
  // Tensors whose channels are tied have one usual factor, which would change nothing.
  std::vector<size_t> kin(ties->size());
  std::iota(kin.begin(), kin.end(), size_t{0});
  const auto find = [&](size_t i) {
    while (kin[i] != i) i = kin[i] = kin[kin[i]];
    return i;
  };
  for (const std::vector<size_t>& sets : tensors) {
    size_t first = kin.size();
    for (size_t s : sets) {
      if (std::isnan(wanted[s])) continue;
      if (first == kin.size()) first = s;
      kin[find(s)] = find(first);
    }
  }
  std::vector<std::vector<double>> of_kin(ties->size());
  for (size_t s = 0; s < wanted.size(); ++s)
    if (!std::isnan(wanted[s])) of_kin[find(s)].push_back(wanted[s]);
  std::vector<int> exponents(ties->size(), 0);
  for (size_t s = 0; s < wanted.size(); ++s) {
    if (std::isnan(wanted[s])) continue;
    const double factor = wanted[s] - Median(of_kin[find(s)]);
    if (std::fabs(factor) < 1.0) continue;
    exponents[s] =
        std::clamp(static_cast<int>(std::nearbyint(factor)), -kMaxExponent, kMaxExponent);
  }
  return exponents;
}

}  // namespace

Result<ChannelMagnitudes> MeasureChannels(const Graph& graph,
                                          const std::vector<NamedSample>& samples) {
  OCTET_ASSIGN_OR_RETURN(SampleTeam team, SampleTeam::Create(graph));
  std::vector<ChannelMagnitudes> of_members(team.size(), ChannelMagnitudes(graph.tensors.size()));
  const SampleSource next = SamplesOf(samples).next;
  for (;;) {
    OCTET_ASSIGN_OR_RETURN(
        const size_t count,
        team.Run(next, {}, [&](size_t member, TensorId id, const kernels::ActivationView& view) {
          std::vector<float>& m = of_members[member][id];
          m.resize(static_cast<size_t>(view.c), 0.0f);
          for (int y = 0; y < view.h; ++y) {
            for (int x = 0; x < view.w; ++x) {
              const auto* values = reinterpret_cast<const float*>(view.pixel(0, y, x));
              for (size_t c = 0; c < m.size(); ++c) m[c] = std::max(m[c], std::fabs(values[c]));
            }
          }
        }));
    if (count == 0) break;
  }
  ChannelMagnitudes& all = of_members[0];
  for (size_t member = 1; member < of_members.size(); ++member) {
    for (size_t id = 0; id < all.size(); ++id) {
      const std::vector<float>& m = of_members[member][id];
      all[id].resize(std::max(all[id].size(), m.size()), 0.0f);
      for (size_t c = 0; c < m.size(); ++c) all[id][c] = std::max(all[id][c], m[c]);
    }
  }
  return std::move(all);
}

Result<Graph> Equalize(const Graph& graph, const ChannelMagnitudes& magnitudes, int64_t* channels) {
  Ties ties(graph);
  const std::vector<int> exponents = ChooseExponents(graph, magnitudes, &ties);
  if (channels != nullptr) *channels = 0;
  if (std::all_of(exponents.begin(), exponents.end(), [](int e) { return e == 0; })) return graph;
  Graph g = graph;
  const auto exponent = [&](TensorId id, size_t c) { return exponents[ties.SetOf(id, c)]; };
  const auto replace = [&](Node* n, int slot, auto power) {
    if (n->input(slot) == kNoTensor) return;
    const Tensor t = g.tensor(n->inputs[static_cast<size_t>(slot)]);
    std::vector<float> values(t.values<float>().begin(), t.values<float>().end());
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::ldexp(values[i], power(i));
    n->set_input(slot, g.AddConstant(t.name, DType::kF32, t.shape, values.data(),
                                     values.size() * sizeof(float)));
  };
  for (Node& n : g.nodes) {
    const TensorId x = n.inputs[0], y = n.output;
    const auto out = [&](size_t c) { return exponent(y, c); };
    if (TraitsOf(n.type).has_weights && HasFloatWeights(g, n)) {
      const Shape& shape = g.tensor(n.inputs[kInputWeights]).shape;
      const auto width = static_cast<size_t>(shape.back()),
                 row = static_cast<size_t>(shape.num_elements() / shape[0]);
      replace(&n, kInputWeights, [&](size_t i) {
        return out(i / row) - exponent(x, InputChannel(graph, n, i / row, i % width));
      });
      replace(&n, kInputBias, out);
    } else if (n.type == OpType::kScaleShift) {
      replace(&n, kInputScale, [&](size_t c) { return out(c) - exponent(x, c); });
      replace(&n, kInputShift, out);
    }
  }
  if (channels != nullptr) {
    for (const Node& n : g.nodes) {
      if (!TraitsOf(n.type).has_weights) continue;
      for (size_t c = 0; c < ties.ChannelsOf(n.output); ++c)
        *channels += exponent(n.output, c) != 0;
    }
  }
  OCTET_RETURN_IF_ERROR(CheckGraph(g).WithContext("equalized"));
  return g;
}

}  // namespace octet
