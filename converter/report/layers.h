// Where a quantized network differs from the float one that it was made of: layer by layer, and by
// photo.
#ifndef OCTET_CONVERTER_REPORT_LAYERS_H_
#define OCTET_CONVERTER_REPORT_LAYERS_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "converter/calibrate/sample_source.h"
#include "converter/report/verdict.h"
#include "engine/include/octet/octet.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"
#include "formats/model/input_meaning.h"

namespace octet {

/// Bins of a histogram, and those of them at either end that are beyond what the codes express.
inline constexpr int kHistogramBins = 48, kHistogramBeyond = 4;

/// Of a part of the network, and what it costs.
struct LayerDifference {
  std::string name;    ///< The node's; of the network's input, the tensor's.
  std::string tensor;  ///< What it gives, in both networks.
  std::string type;    ///< OpTypeName, or "input": its own rounding, no layer.
  /// Of its weights and what it gives in the second network: "fp32", "fp16", "hybrid" or "int8";
  /// empty where that one has no such layer, and then it has no differences either.
  std::string precision;
  int64_t channels = 0;

  // All samples, both networks run as they are; uint8 counts as the numbers that it stands for.
  double sqnr_db = 0.0;  ///< 10 log10 of sums of squares; infinite where nothing differs.
  double largest_error = 0.0;
  /// Of the float values, those that lie outside of what the codes can express by more than half a
  /// step; of the codes, those at the end of what they can, if 0 is not there.
  double clipped = 0.0, saturated = 0.0;
  ValueRange range;                     ///< Of the float values.
  std::optional<ValueRange> quantized;  ///< What the codes can express.
  /// Of the float values, where there are codes: equal bins between the ends of the codes, as wide
  /// ones beyond, the first and the last with all that is further away.
  std::array<int64_t, kHistogramBins> histogram{};
  std::vector<int> dead;      ///< Channels of layers with weights that gave nothing but 0.
  std::vector<int> outliers;  ///< Channels whose largest magnitude is 8 times the median one.

  // Some samples, nothing else quantized.
  /// Of the scores, with this layer's weights and the rounding of what it gives (at its readers,
  /// too, where they convert it) as the second network has them; infinite where that does nothing,
  /// not a number where it cannot be said.
  double isolated_sqnr_db = 0.0;
  /// Its part of the sum of all isolated errors' energies, 0 to 1.
  double share = 0.0;
  /// Where the error at its own output is from, of 1: quantized weights, values beyond the ends of
  /// the codes, and the rest; all 0 where there is none.
  double weights = 0.0, ranges = 0.0, rounding = 0.0;

  double before_ms = 0.0, after_ms = 0.0;     ///< Mean, one thread, with conversions behind it.
  int64_t before_bytes = 0, after_bytes = 0;  ///< Of constants.
};

/// A sample whose largest output is at another place than the float network's.
struct ChangedSample {
  std::string name;
  int label = -1;                         ///< The true class; -1 unknown.
  std::vector<Prediction> before, after;  ///< The five best, best first.
};

/// The five largest of a network's scores, best first; `probabilities` where they are that, else
/// their softmax is. Classes without a label have an empty one.
std::vector<Prediction> BestFive(std::vector<float> scores, bool probabilities,
                                 const std::vector<std::string>& labels);

struct LayerReport {
  Verdict verdict;
  std::vector<LayerDifference> layers;  ///< In the order of the float network, its input in front.
  std::vector<ChangedSample> changed;   ///< In the order of the samples.
  /// Of the isolated errors: how many samples they are of, and the sum of their energies as a
  /// multiple of that of the error of the whole network on the same ones: near 1 where they add up.
  int64_t isolated_samples = 0;
  double isolated_sum = 0.0;
};

/// Mean milliseconds of each node of the model's graph, on one thread and some of `samples`.
/// Errors: those of GraphRunner.
Result<std::vector<double>> MsOfNodes(const std::shared_ptr<const Model>& model,
                                      std::span<const NamedSample> samples);

struct CompareLayersOptions {
  /// For the isolated errors, spread evenly: each is half a run of the float network for every
  /// layer. 0 = none are wanted.
  int64_t isolated_samples = 32;
  int threads = 1;  ///< Of the isolated runs; results do not depend on it.
  /// "comparing layers", 7, 54.
  std::function<void(const char* what, int64_t done, int64_t total)> progress = {};
};

/// Compares `after`, of any precision, with `before`, a network of float32 with tensors of the same
/// names; both have one input and may be packed. The scores are the first output, or what a softmax
/// at its end is computed of.
///
/// A channel of a tensor of `after` may be a power of two times that of `before` (equalization):
/// the weights tell the factor, which is taken out. A rounding counts once, for the layer that
/// gives the value; the isolated runs compute in float with the numbers that weights and codes
/// stand for.
///
/// Errors: those of Judge; kInvalidArgument for a `before` that is not of float32, networks of
/// different inputs or outputs or without a layer in common, and no samples.
Result<LayerReport> CompareLayers(const Graph& before, const Graph& after,
                                  std::span<const NamedSample> samples,
                                  const CompareLayersOptions& options = {});

}  // namespace octet

#endif  // OCTET_CONVERTER_REPORT_LAYERS_H_
