// A choice is a tensor whose error would go: of its readers in float, and of the layer that makes
// it where its weights are to blame. Choices are ordered by error over cost; the shortest beginning
// of that order that holds the budget is found by doubling and halving, then thinned. Costs are
// counted, not measured, so that the same data gives the same file.
#include "converter/tune/budget.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "converter/report/layers.h"
#include "engine/src/model_impl.h"
#include "formats/base/macros.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

/// Of a layer's own error, above which the rounding of what it gives is not all that counts.
constexpr double kBlamedWeights = 0.1;
/// Products that float takes the time of one byte of activations for, roughly.
constexpr double kProductsPerByte = 8.0;

struct Choice {
  std::vector<std::string> layers;
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
  for (const Node& n : g.nodes) {
    costs[n.name] = static_cast<double>(NodeMacs(g, n)) +
                    kProductsPerByte * static_cast<double>(ActivationBytes(g, n));
  }
  std::vector<Choice> choices;
  for (const LayerDifference& d : report.layers) {
    if (!(d.share > 0.0)) continue;
    Choice c;
    c.share = d.share;
    AddReaders(g, d.tensor, &c.layers);
    if (d.weights > kBlamedWeights && d.type != "input") c.layers.push_back(d.name);
    for (const std::string& name : c.layers) c.cost += costs[name];
    choices.push_back(std::move(c));
  }
  std::stable_sort(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) {
    return a.share / a.cost > b.share / b.cost;
  });
  return choices;
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
    CompareLayersOptions compare;
    compare.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 64u));
    compare.progress = progress_;
    OCTET_ASSIGN_OR_RETURN(const LayerReport report,
                           CompareLayers(tuned_.original, tuned_.graph, samples, compare));
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
    for (size_t i : dearest) {
      if (taken.size() == 1 || !good) break;
      std::set<size_t> fewer = taken;
      fewer.erase(i);
      OCTET_ASSIGN_OR_RETURN(const bool still, Try(fewer));
      if (still) taken = std::move(fewer);
    }
    if (!good) {  // Choices do not add up: nothing is left in int8.
      for (const Node& n : tuned_.original.nodes) everything_.insert(n.name);
      OCTET_RETURN_IF_ERROR(Try(taken).status());
    }
    // In the order of the network.
    const std::set<std::string> kept = LayersOf(taken);
    for (const Node& n : tuned_.original.nodes) {
      if (!kept.contains(n.name)) continue;
      KeptLayer layer{n.name, 0.0, 0.0};
      for (const LayerDifference& d : report.layers) {
        if (d.name != n.name) continue;
        layer.ms = std::max(0.0, d.before_ms - d.after_ms);
      }
      for (size_t i : taken) {
        if (choices_[i].layers[0] == n.name) layer.share += choices_[i].share;
      }
      result_.kept.push_back(std::move(layer));
    }
    return std::move(result_);
  }

 private:
  static std::set<size_t> FirstOf(size_t n) {
    std::set<size_t> first;
    for (size_t i = 0; i < n; ++i) first.insert(i);
    return first;
  }

  std::set<std::string> LayersOf(const std::set<size_t>& taken) const {
    std::set<std::string> layers = everything_;
    for (size_t i : taken) layers.insert(choices_[i].layers.begin(), choices_[i].layers.end());
    return layers;
  }

  /// Whether the budget holds; the result is the last one of which it does.
  Result<bool> Try(const std::set<size_t>& taken) {
    QuantizeOptions options = quantize_;
    const std::set<std::string> layers = LayersOf(taken);
    options.keep.insert(options.keep.end(), layers.begin(), layers.end());
    OCTET_ASSIGN_OR_RETURN(Graph graph, Requantize(tuned_, options));
    OCTET_ASSIGN_OR_RETURN(const OutputScore score, meter_.Score(graph));
    if (progress_) progress_("choosing layers", ++tries_, 0);
    const bool good = budget_.Holds(score);
    if (good || !everything_.empty()) {
      result_.graph = std::move(graph);
      result_.mixed = score;
    }
    return good;
  }

  const Tuned& tuned_;
  const QuantizeOptions& quantize_;
  const Budget& budget_;
  const OutputMeter& meter_;
  const std::function<void(const char*, int64_t, int64_t)>& progress_;
  std::vector<Choice> choices_;
  std::set<std::string> everything_;
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
