// A choice is a part of the int8 network's error that would go: the rounding of a tensor, if all
// that read it are int16x8 (and what gives it, where that cannot give floats), or of a layer's
// weights, if it is float. Choices are ordered by error over cost; the shortest beginning of that
// order that holds the budget is found by doubling and halving, then thinned. Costs are counted,
// not measured, so that the same data gives the same file.
#include "converter/tune/budget.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "converter/report/layers.h"
#include "engine/src/model_impl.h"
#include "engine/src/runner.h"
#include "formats/base/macros.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

/// Of a layer's time in int8 what the others take more, by how many products there are, and by how
/// many bytes of activations: ResNet-50 takes 1.8 and 3.3 times as long.
constexpr double kInt16Cost = 1.0, kFloatCost = 2.5;
/// Products that int8 takes the time of one byte of activations for, roughly.
constexpr double kProductsPerByte = 8.0;
/// For the errors of layers by themselves, and their times. Each has a thousand answers, say.
constexpr size_t kComparedSamples = 8;
/// Of choices that may turn out not to be needed the dearest are tried, as many as so many products
/// allow: of ResNet-50 on 400 samples 15.
constexpr double kMostThinningMacs = 2.5e13;

struct Choice {
  std::vector<std::string> layers;
  Precision precision = Precision::kInt16x8;
  double share = 0.0, cost = 1.0;
};

/// Nodes that read tensor `name`, and what reads it behind operators that only move values.
void AddReaders(const Graph& g, const std::string& name, std::vector<std::string>* readers) {
  for (const Node& n : g.nodes) {
    for (TensorId id : n.inputs) {
      if (id == kNoTensor || g.tensor(id).name != name) continue;
      readers->push_back(n.name);
      if (TraitsOf(n.type).moves_values) AddReaders(g, g.tensor(n.output).name, readers);
      break;
    }
  }
}

std::vector<Choice> ChoicesOf(const Graph& g, const LayerReport& report) {
  std::map<std::string, double> costs;
  std::map<std::string, const Node*> nodes;
  for (const Node& n : g.nodes) {
    costs[n.name] = static_cast<double>(NodeMacs(g, n)) +
                    kProductsPerByte * static_cast<double>(ActivationBytes(g, n));
    nodes[n.name] = &n;
  }
  std::vector<Choice> choices;
  const auto add = [&](Choice c, double share) {
    if (!(share > 0.0) || c.layers.empty()) return;
    c.share = share;
    for (const std::string& name : c.layers)
      c.cost += costs[name] * (c.precision == Precision::kFp32 ? kFloatCost : kInt16Cost);
    choices.push_back(std::move(c));
  };
  for (const LayerDifference& d : report.layers) {
    const bool is_input = d.type == "input";
    if (!is_input) add({.layers = {d.name}, .precision = Precision::kFp32}, d.share * d.weights);
    Choice rounding;
    AddReaders(g, d.tensor, &rounding.layers);
    if (!is_input && !rounding.layers.empty() && !CanGiveFloats(*nodes.at(d.name)))
      rounding.layers.push_back(d.name);
    add(std::move(rounding), d.share * (1.0 - d.weights));
  }
  std::stable_sort(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) {
    return a.share / a.cost > b.share / b.cost;
  });
  return choices;
}

/// Mean time of each node of `original` in `graph`, of that network or one made of it, with the
/// conversions in front of it.
Result<std::map<std::string, double>> MsOfLayers(const Graph& original, const Graph& graph,
                                                 std::span<const NamedSample> samples) {
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, ModelFromGraph(graph));
  OCTET_ASSIGN_OR_RETURN(const std::vector<double> of_nodes, MsOfNodes(model, samples));
  const Graph& g = GraphOf(*model);
  std::set<std::string> names;
  for (const Node& n : original.nodes) names.insert(n.name);
  std::map<TensorId, std::string> reader;  // First one.
  for (const Node& n : g.nodes)
    for (TensorId id : n.inputs)
      if (names.contains(n.name)) reader.try_emplace(id, n.name);
  std::map<std::string, double> ms;
  for (size_t i = 0; i < of_nodes.size(); ++i) {
    const Node& n = g.nodes[i];
    ms[names.contains(n.name) ? n.name : reader[n.output]] += of_nodes[i];
  }
  return ms;
}

class Search {
 public:
  Search(const Tuned& tuned, const QuantizeOptions& quantize, const Budget& budget,
         const OutputMeter& meter,
         const std::function<void(const char*, int64_t, int64_t)>& progress)
      : tuned_(tuned), quantize_(quantize), budget_(budget), meter_(meter), progress_(progress) {}

  Result<BudgetResult> Run(std::span<const NamedSample> samples) {
    result_.budget = budget_;
    OCTET_ASSIGN_OR_RETURN(result_.int8, meter_.Score(tuned_.graph));
    result_.graph = tuned_.graph;
    result_.mixed = result_.int8;
    if (budget_.Holds(result_.int8)) return std::move(result_);
    std::vector<NamedSample> some;
    for (size_t i = 0; i < std::min(samples.size(), kComparedSamples); ++i)
      some.push_back(samples[i * samples.size() / std::min(samples.size(), kComparedSamples)]);
    CompareLayersOptions compare;
    compare.threads = OnAllCores().num_threads;
    compare.progress = progress_;
    OCTET_ASSIGN_OR_RETURN(const LayerReport report,
                           CompareLayers(tuned_.original, tuned_.graph, some, compare));
    choices_ = ChoicesOf(tuned_.original, report);
    size_t fails = 0, holds = choices_.size();  // Choices from the first one on.
    for (size_t n = 1; n < choices_.size(); n *= 2) {
      OCTET_ASSIGN_OR_RETURN(const bool does, Try(FirstOf(n)));
      if (does) {
        holds = n;
        break;
      }
      fails = n;
    }
    while (fails + 1 < holds) {
      const size_t middle = (fails + holds) / 2;
      OCTET_ASSIGN_OR_RETURN(const bool does, Try(FirstOf(middle)));
      (does ? holds : fails) = middle;
    }
    std::set<size_t> taken = FirstOf(holds);
    bool good = holds < choices_.size();  // The last one that was good, then, is this one.
    if (!good) {
      OCTET_ASSIGN_OR_RETURN(good, Try(taken));
    }
    std::vector<size_t> dearest(taken.begin(), taken.end());
    std::stable_sort(dearest.begin(), dearest.end(),
                     [&](size_t a, size_t b) { return choices_[a].cost > choices_[b].cost; });
    double macs = 1.0;
    for (const Node& n : tuned_.original.nodes)
      macs += static_cast<double>(NodeMacs(tuned_.original, n));
    const double tries = kMostThinningMacs / (macs * static_cast<double>(result_.int8.samples));
    if (static_cast<double>(dearest.size()) > tries) dearest.resize(static_cast<size_t>(tries));
    for (size_t i : dearest) {
      if (taken.size() == 1 || !good) break;
      std::set<size_t> fewer = taken;
      fewer.erase(i);
      OCTET_ASSIGN_OR_RETURN(const bool still, Try(fewer));
      if (still) taken = std::move(fewer);
    }
    if (!good) {  // Choices do not add up: nothing is left in int8.
      all_float_ = true;
      OCTET_RETURN_IF_ERROR(Try(taken).status());
    }
    OCTET_RETURN_IF_ERROR(Describe(taken, some));
    return std::move(result_);
  }

 private:
  static std::set<size_t> FirstOf(size_t n) {
    std::set<size_t> first;
    for (size_t i = 0; i < n; ++i) first.insert(i);
    return first;
  }

  /// Of raised layers.
  std::map<std::string, Precision> PrecisionsOf(const std::set<size_t>& taken) const {
    std::map<std::string, Precision> raised;
    if (all_float_) {
      for (const Node& n : tuned_.original.nodes) raised[n.name] = Precision::kFp32;
      return raised;
    }
    for (size_t i : taken) {
      for (const std::string& name : choices_[i].layers) {
        Precision& p = raised.try_emplace(name, choices_[i].precision).first->second;
        if (choices_[i].precision == Precision::kFp32) p = Precision::kFp32;
      }
    }
    for (const std::string& name : quantize_.keep) raised.erase(name);  // Whatever the budget.
    return raised;
  }

  /// Whether the budget holds; the result is the last one of which it does.
  Result<bool> Try(const std::set<size_t>& taken) {
    QuantizeOptions options = quantize_;
    for (const auto& [name, precision] : PrecisionsOf(taken))
      (precision == Precision::kFp32 ? options.keep : options.widen).push_back(name);
    OCTET_ASSIGN_OR_RETURN(Graph graph, Requantize(tuned_, options));
    const auto may_hold = [&](const OutputScore& at_best) { return budget_.Holds(at_best); };
    OCTET_ASSIGN_OR_RETURN(
        const OutputScore score,
        meter_.Score(graph, all_float_ ? OutputMeter::GoOn() : OutputMeter::GoOn(may_hold)));
    if (progress_) progress_("choosing layers", ++tries_, 0);
    const bool good = budget_.Holds(score);
    if (good || all_float_) {
      result_.graph = std::move(graph);
      result_.mixed = score;
    }
    return good;
  }

  /// Fills in what was raised, in the order of the network.
  Status Describe(const std::set<size_t>& taken, std::span<const NamedSample> samples) {
    using Times = std::map<std::string, double>;
    OCTET_ASSIGN_OR_RETURN(Times before, MsOfLayers(tuned_.original, tuned_.graph, samples));
    OCTET_ASSIGN_OR_RETURN(Times after, MsOfLayers(tuned_.original, result_.graph, samples));
    const std::map<std::string, Precision> raised = PrecisionsOf(taken);
    for (const Node& n : tuned_.original.nodes) {
      const auto found = raised.find(n.name);
      if (found == raised.end()) continue;
      RaisedLayer layer{n.name, found->second};
      layer.ms = std::max(0.0, after[n.name] - before[n.name]);
      for (size_t i : taken) {
        if (choices_[i].layers[0] == n.name) layer.share += choices_[i].share;
      }
      result_.raised.push_back(std::move(layer));
    }
    return OkStatus();
  }

  const Tuned& tuned_;
  const QuantizeOptions& quantize_;
  const Budget& budget_;
  const OutputMeter& meter_;
  const std::function<void(const char*, int64_t, int64_t)>& progress_;
  std::vector<Choice> choices_;
  bool all_float_ = false;
  int64_t tries_ = 0;
  BudgetResult result_;
};

}  // namespace

bool Budget::Holds(const OutputScore& score) const {
  return (!max_drop || score.drop() <= *max_drop) &&
         (!min_sqnr_db || score.sqnr_db >= *min_sqnr_db);
}

Result<BudgetResult> HoldBudget(
    const Tuned& tuned, const QuantizeOptions& quantize, const Budget& budget,
    const OutputMeter& meter, std::span<const NamedSample> samples,
    const std::function<void(const char* what, int64_t done, int64_t total)>& progress) {
  return Search(tuned, quantize, budget, meter, progress).Run(samples);
}

}  // namespace octet
