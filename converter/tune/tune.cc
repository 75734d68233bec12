#include "converter/tune/tune.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "converter/tune/branches.h"
#include "converter/tune/equalize.h"
#include "converter/tune/pixels.h"
#include "converter/tune/second_order.h"
#include "formats/base/macros.h"

namespace octet {
namespace {

class Tuner {
 public:
  Tuner(const QuantizeOptions& quantize, const CalibrationTable& table, SampleSet* samples,
        const OutputMeter& meter, const TuneOptions& options)
      : quantize_(quantize), table_(table), samples_(*samples), meter_(meter), options_(options) {}

  Result<Tuned> Run(const Graph& graph) {
    tuned_.original = graph;
    OCTET_ASSIGN_OR_RETURN(tuned_.graph, QuantizeGraph(graph, quantize_, &table_));
    OCTET_ASSIGN_OR_RETURN(tuned_.sqnr_db, meter_.Sqnr(tuned_.graph));
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
          if (quantize_.precision == Precision::kInt8 && quantize_.input_type == DType::kF32)
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
    OCTET_ASSIGN_OR_RETURN(const double db, meter_.Sqnr(graph));
    const bool better = db >= tuned_.sqnr_db + kWorthwhileDb;
    tuned_.steps.push_back({step, tuned_.sqnr_db, db, better});
    if (!better) return OkStatus();
    tuned_.graph = std::move(graph);
    tuned_.original = original;
    tuned_.sqnr_db = db;
    table_ = std::move(table);
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
      if (span(table, graph) < span(table_, tuned_.original)) chosen.push_back(block);
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
    std::optional<PixelGraph> pixels = TakePixels(tuned_.original, table_);
    if (!pixels) return OkStatus();
    OCTET_ASSIGN_OR_RETURN(Graph quantized,
                           QuantizeGraph(pixels->graph, quantize_, &pixels->table));
    SetPadding(*pixels, &quantized);
    OCTET_RETURN_IF_ERROR(Judge(TuneStep::kPixels, std::move(quantized), tuned_.original, table_));
    if (tuned_.steps.back().kept) pixels_ = std::move(pixels);
    return OkStatus();
  }

  Status TrySecondOrder() {
    QuantizeOptions to_int8 = quantize_;
    to_int8.precision = Precision::kInt8;
    to_int8.require_int8 = false;
    Graph rounded = tuned_.graph;
    const Graph& original = pixels_ ? pixels_->graph : tuned_.original;
    OCTET_ASSIGN_OR_RETURN(const Graph int8, quantize_.precision == Precision::kInt8
                                                 ? Result<Graph>(tuned_.graph)
                                                 : QuantizeGraph(original, to_int8, &table_));
    OCTET_RETURN_IF_ERROR(
        RoundSecondOrder(original, int8, samples_.held(), &rounded, options_.progress));
    return Judge(TuneStep::kRounding, std::move(rounded), tuned_.original, table_);
  }

  const QuantizeOptions& quantize_;
  CalibrationTable table_;  ///< Of tuned_.original.
  SampleSet& samples_;
  const OutputMeter& meter_;
  const TuneOptions& options_;
  Tuned tuned_;
  std::optional<PixelGraph> pixels_;  ///< What tuned_.graph was made from in truth.
};

}  // namespace

Result<Tuned> Tune(const Graph& graph, const QuantizeOptions& quantize,
                   const CalibrationTable& table, SampleSet* samples, const OutputMeter& meter,
                   const TuneOptions& options) {
  return Tuner(quantize, table, samples, meter, options).Run(graph);
}

}  // namespace octet
