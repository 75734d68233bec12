#include "converter/tune/tune.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "converter/passes/passes.h"
#include "converter/tune/branches.h"
#include "converter/tune/equalize.h"
#include "converter/tune/pixels.h"
#include "converter/tune/second_order.h"
#include "formats/base/macros.h"

namespace octet {
namespace {

/// Only a layer of uint8 has padding codes.
bool AllowsPixels(const QuantizeOptions& quantize, const PixelGraph& pixels) {
  return std::ranges::count(quantize.keep, pixels.convolution) == 0 &&
         std::ranges::count(quantize.widen, pixels.convolution) == 0;
}

class Tuner {
 public:
  Tuner(const QuantizeOptions& quantize, const CalibrationTable& table, SampleSet* samples,
        const OutputMeter& meter, const TuneOptions& options)
      : quantize_(quantize), samples_(*samples), meter_(meter), options_(options) {
    tuned_.table = table;
  }

  Result<Tuned> Run(const Graph& graph) {
    tuned_.original = graph;
    OCTET_ASSIGN_OR_RETURN(tuned_.graph, QuantizeGraph(graph, quantize_, &tuned_.table));
    OCTET_ASSIGN_OR_RETURN(const OutputScore untuned, meter_.Score(tuned_.graph));
    tuned_.sqnr_db = untuned.sqnr_db;
    for (TuneStep step : options_.steps) {
      switch (step) {
        case TuneStep::kBranches:
          // Without rounded activations there is nothing to choose.
          if (quantize_.precision != Precision::kHybrid) OCTET_RETURN_IF_ERROR(TryBranches());
          break;
        case TuneStep::kEqualize:
          OCTET_RETURN_IF_ERROR(TryEqualize());
          break;
        case TuneStep::kPixels:
          if (quantize_.precision == Precision::kInt8 && quantize_.input_type != DType::kI16)
            OCTET_RETURN_IF_ERROR(TryPixels());
          break;
        case TuneStep::kRounding:
          OCTET_RETURN_IF_ERROR(TrySecondOrder());
          break;
      }
    }
    return std::move(tuned_);
  }

 private:
  Result<CalibrationTable> Measure(const Graph& graph) {
    OCTET_ASSIGN_OR_RETURN(const DatasetSamples samples, samples_.Open());
    return Calibrate(graph, samples.next, options_.calibration, {});
  }

  /// Keeps `graph`, made from `original`, where it is better.
  Status Judge(TuneStep step, Graph graph, const Graph& original, CalibrationTable table) {
    OCTET_ASSIGN_OR_RETURN(const OutputScore score, meter_.Score(graph));
    const double db = score.sqnr_db;
    const bool better = db >= tuned_.sqnr_db + kWorthwhileDb;
    tuned_.steps.push_back({step, tuned_.sqnr_db, db, better});
    if (!better) return OkStatus();
    tuned_.graph = std::move(graph);
    tuned_.original = original;
    tuned_.sqnr_db = db;
    tuned_.table = std::move(table);
    return OkStatus();
  }

  Status TryBranches() {
    const std::vector<std::string> blocks = ProjectionBlocks(tuned_.original);
    if (blocks.empty()) return OkStatus();
    Graph graph = tuned_.original;
    OCTET_RETURN_IF_ERROR(SwapBranches(blocks, &graph));
    OCTET_ASSIGN_OR_RETURN(CalibrationTable table, Measure(graph));
    // Of each block, the branch that is rounded now, and the one that would be then.
    std::vector<std::string> chosen;
    for (const std::string& block : blocks) {
      const auto span = [&](const CalibrationTable& t, const Graph& g) {
        const auto range = t.ranges.find(RoundedBranch(g, block));
        return range == t.ranges.end() ? 0.0
                                       : static_cast<double>(range->second.max) -
                                             static_cast<double>(range->second.min);
      };
      if (span(table, graph) < span(tuned_.table, tuned_.original)) chosen.push_back(block);
    }
    if (chosen.empty()) return OkStatus();
    if (chosen.size() < blocks.size()) {
      graph = tuned_.original;
      OCTET_RETURN_IF_ERROR(SwapBranches(chosen, &graph));
      OCTET_ASSIGN_OR_RETURN(table, Measure(graph));
    }
    OCTET_ASSIGN_OR_RETURN(Graph quantized, QuantizeGraph(graph, quantize_, &table));
    return Judge(TuneStep::kBranches, std::move(quantized), graph, std::move(table));
  }

  Status TryEqualize() {
    OCTET_ASSIGN_OR_RETURN(const ChannelMagnitudes magnitudes,
                           MeasureChannels(tuned_.original, samples_.held()));
    int64_t channels = 0;
    OCTET_ASSIGN_OR_RETURN(const Graph graph, Equalize(tuned_.original, magnitudes, &channels));
    if (channels == 0) return OkStatus();
    OCTET_ASSIGN_OR_RETURN(CalibrationTable table, Measure(graph));
    OCTET_ASSIGN_OR_RETURN(Graph quantized, QuantizeGraph(graph, quantize_, &table));
    return Judge(TuneStep::kEqualize, std::move(quantized), graph, std::move(table));
  }

  Status TryPixels() {
    std::optional<PixelGraph> pixels = TakePixels(tuned_.original, tuned_.table);
    if (!pixels || !AllowsPixels(quantize_, *pixels)) return OkStatus();
    OCTET_ASSIGN_OR_RETURN(Graph quantized, QuantizePixels(*pixels, quantize_));
    OCTET_RETURN_IF_ERROR(
        Judge(TuneStep::kPixels, std::move(quantized), tuned_.original, tuned_.table));
    if (tuned_.steps.back().kept) tuned_.pixels = std::move(pixels);
    return OkStatus();
  }

  Status TrySecondOrder() {
    QuantizeOptions to_int8 = quantize_;
    to_int8.precision = Precision::kInt8;
    to_int8.require_int8 = false;
    Graph rounded = tuned_.graph;
    const Graph& original = tuned_.pixels ? tuned_.pixels->graph : tuned_.original;
    OCTET_ASSIGN_OR_RETURN(const Graph int8, quantize_.precision == Precision::kInt8
                                                 ? Result<Graph>(tuned_.graph)
                                                 : QuantizeGraph(original, to_int8, &tuned_.table));
    OCTET_RETURN_IF_ERROR(
        RoundSecondOrder(original, int8, samples_.held(), &rounded, options_.progress));
    return Judge(TuneStep::kRounding, std::move(rounded), tuned_.original, tuned_.table);
  }

  const QuantizeOptions& quantize_;
  SampleSet& samples_;
  const OutputMeter& meter_;
  const TuneOptions& options_;
  Tuned tuned_;
};

/// Takes the weights of layers that read the same codes, or int16, at the same scales.
void TakeWeights(const Graph& from, Graph* to) {
  std::map<std::string, const Node*> known;
  for (const Node& n : from.nodes) known[n.name] = &n;
  const auto same = [](const Graph& a, TensorId i, const Graph& b, TensorId j) {
    const Tensor &x = a.tensor(i), &y = b.tensor(j);
    return x.dtype == y.dtype && x.quantization == y.quantization &&
           std::ranges::equal(x.data, y.data);
  };
  for (Node& n : to->nodes) {
    const auto found = known.find(n.name);
    if (n.input(kInputScales) == kNoTensor || found == known.end()) continue;
    const Node& old = *found->second;
    if (old.input(kInputScales) == kNoTensor ||
        !same(from, old.inputs[kInputScales], *to, n.inputs[kInputScales]))
      continue;
    // Of int16, whose zero point is 0, the bias has no sums of weights in it.
    const bool wide = to->tensor(n.inputs[kInputX]).dtype == DType::kI16;
    if (!wide && !same(from, old.inputs[kInputX], *to, n.inputs[kInputX])) continue;
    for (int slot : {kInputWeights, kInputBias}) {
      if (old.input(slot) == kNoTensor || (wide && slot == kInputBias)) continue;
      to->tensors.push_back(from.tensor(old.inputs[static_cast<size_t>(slot)]));
      n.set_input(slot, static_cast<TensorId>(to->tensors.size() - 1));
    }
  }
}

}  // namespace

Result<Graph> Requantize(const Tuned& tuned, const QuantizeOptions& quantize) {
  const bool pixels = tuned.pixels && AllowsPixels(quantize, *tuned.pixels);
  OCTET_ASSIGN_OR_RETURN(Graph graph, pixels
                                          ? QuantizePixels(*tuned.pixels, quantize)
                                          : QuantizeGraph(tuned.original, quantize, &tuned.table));
  TakeWeights(tuned.graph, &graph);
  OCTET_RETURN_IF_ERROR(RemoveUnused(&graph));
  return graph;
}

Result<Tuned> Tune(const Graph& graph, const QuantizeOptions& quantize,
                   const CalibrationTable& table, SampleSet* samples, const OutputMeter& meter,
                   const TuneOptions& options) {
  return Tuner(quantize, table, samples, meter, options).Run(graph);
}

}  // namespace octet
