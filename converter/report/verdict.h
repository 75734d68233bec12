// What quantization cost, on samples that the float network and the quantized one both see.
#ifndef OCTET_CONVERTER_REPORT_VERDICT_H_
#define OCTET_CONVERTER_REPORT_VERDICT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "engine/include/octet/octet.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Of the first output, over all samples; uint8 counts as the numbers that it stands for.
struct Verdict {
  int64_t samples = 0;
  int64_t labels_kept = 0;  ///< Samples whose largest value is at the same place, first of equals.
  /// 10 log10 of the float network's sum of squares over that of the differences; infinite where
  /// there are none. Each sample's mean is taken off first, as labels do not depend on it.
  double sqnr_db = 0.0;
  double ms = 0.0, float_ms = 0.0;  ///< Medians, one thread.

  // Of samples whose class the data tells:
  int64_t labelled = 0, float_correct = 0, correct = 0;
  int64_t lost = 0, won = 0;  ///< Right in one network alone: the float one, the quantized one.
  int64_t beyond = 0;         ///< Of a class that no output stands for; not among `labelled`.
};

struct ConfidenceInterval {
  double low = 0.0, high = 0.0;
};
/// Of a share of which `count` of `n` > 0 were seen, with a confidence of 95 % (E. B. Wilson 1927).
ConfidenceInterval WilsonInterval(int64_t count, int64_t n);
/// How probable so unequal a pair is when losing and winning are equally likely: McNemar's test,
/// exact and two-sided.
double McNemar(int64_t lost, int64_t won);

/// What speaks against labels of which a float network met `correct`: it does no better than one
/// that guesses. Empty where it does, or too few tell.
std::string AccuracyDoubt(int64_t correct, int64_t labelled, int64_t classes);
/// The same of a verdict, and of labels that are no outputs; a sentence each.
std::vector<std::string> LabelDoubts(const Verdict& verdict, int64_t classes);

/// Energies of the float network's outputs and of what others differ from them, as in
/// Verdict::sqnr_db.
struct Energies {
  double signal = 0.0, noise = 0.0;
  void Add(const std::vector<float>& want, const std::vector<float>& got);
  double Decibels() const;
};

/// Place of the largest, the first of equals.
size_t Largest(const std::vector<float>& values);

/// What a float network says of samples: once for all networks that are made of it.
struct FloatOutputs {
  std::vector<std::vector<float>> outputs;  ///< The first output of each.
  std::vector<int> labels;                  ///< Their classes; -1 unknown.
};

/// Runs `graph` on each sample of `next`, several at once. `label` gives the last sample's class,
/// or -1; it may be empty, as `progress`. Errors: those of `next` and Run; kInvalidArgument without
/// a sample, or for an output that is not finite.
Result<FloatOutputs> RunFloat(const Graph& graph, const SampleSource& next,
                              const std::function<int()>& label,
                              const std::function<void(int64_t done)>& progress);

/// Told the number of samples so far, and what both networks said of the last one.
using JudgeObserver = std::function<void(int64_t done, const std::vector<float>& want,
                                         const std::vector<float>& got)>;

/// Runs `quantized` on each sample of `next`, several at once; `floats` has what `float_graph` said
/// of the same. `float_graph` has the input of `next` in float32, and `quantized` the same in
/// float32 or codes; both are timed on some samples, in turn and by themselves. `observer` may be
/// empty. Errors: those of `next` and Run; kInvalidArgument for an output that is not finite;
/// kInternal for other samples than those of `floats`.
Result<Verdict> Judge(const Graph& float_graph, const FloatOutputs& floats,
                      const std::shared_ptr<const Model>& quantized, const SampleSource& next,
                      const JudgeObserver& observer);

}  // namespace octet

#endif  // OCTET_CONVERTER_REPORT_VERDICT_H_
