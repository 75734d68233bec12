#include "converter/tune/output_meter.h"

#include <utility>

#include "converter/calibrate/sample_team.h"
#include "converter/report/verdict.h"
#include "formats/base/macros.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

/// The tensor whose values the first output is a function of, one by one.
TensorId AnswerOf(const Graph& g) {
  TensorId id = g.outputs[0];
  for (auto n = g.nodes.rbegin(); n != g.nodes.rend(); ++n) {
    const OpTraits& traits = TraitsOf(n->type);
    if (n->output == id && (traits.only_float || traits.converts || n->type == OpType::kReshape) &&
        traits.max_inputs == 1)
      id = n->inputs[0];
  }
  return id;
}

}  // namespace

Result<OutputMeter> OutputMeter::Create(const Graph& original, OpenFn open) {
  OutputMeter meter(std::move(open));
  Energies energies;
  OCTET_RETURN_IF_ERROR(meter.Run(original, [&](Said said) -> Result<bool> {
    meter.float_outputs_.labels.push_back(said.label);
    meter.float_outputs_.outputs.push_back(std::move(said.output));
    const int label = said.label < static_cast<int>(said.answer.size()) ? said.label : -1;
    energies.Add(said.answer, said.answer);
    ++meter.float_score_.samples;
    if (label >= 0) {
      ++meter.float_score_.labelled;
      meter.float_score_.float_correct += static_cast<int>(Largest(said.answer)) == label;
    }
    meter.answers_.push_back({std::move(said.answer), label});
    return true;
  }));
  if (meter.answers_.empty()) return InvalidArgument("the data holds no sample");
  meter.float_score_.correct = meter.float_score_.float_correct;
  meter.signal_ = energies.signal;
  return meter;
}

Status OutputMeter::Run(const Graph& graph,
                        const std::function<Result<bool>(Said said)>& use) const {
  OCTET_ASSIGN_OR_RETURN(SampleTeam team, SampleTeam::Create(graph));
  OCTET_ASSIGN_OR_RETURN(const DatasetSamples samples, open_());
  const TensorId wanted = AnswerOf(team.graph());
  std::vector<int> labels(team.size());
  for (;;) {
    std::vector<std::vector<float>> answers(team.size());
    OCTET_ASSIGN_OR_RETURN(
        const size_t count,
        team.Run(
            samples.next,
            [&](size_t member) { labels[member] = samples.label ? samples.label() : -1; },
            [&](size_t member, TensorId id, const kernels::ActivationView& view) {
              if (id == wanted) AppendNumbers(team.graph().tensor(id), view, &answers[member]);
            }));
    for (size_t member = 0; member < count; ++member) {
      Said said{std::move(answers[member]), team.output(member), labels[member]};
      // Of a network that is no more than its last function nothing was shown.
      if (said.answer.empty()) said.answer = said.output;
      OCTET_ASSIGN_OR_RETURN(const bool go_on, use(std::move(said)));
      if (!go_on) return OkStatus();
    }
    if (count == 0) return OkStatus();
  }
}

Result<OutputScore> OutputMeter::Score(const Graph& quantized, const GoOn& go_on) const {
  size_t at = 0;
  Energies energies;
  energies.signal = signal_;
  OutputScore score = float_score_;
  // A sample that the float network has wrong may be right.
  int64_t possible = score.labelled - score.float_correct;
  OCTET_RETURN_IF_ERROR(Run(quantized, [&](const Said& said) -> Result<bool> {
    const std::vector<float>& got = said.answer;
    if (at >= answers_.size() || got.size() != answers_[at].values.size())
      return InternalError("the quantized network has other answers than the float one");
    const auto& [want, label] = answers_[at++];
    Energies one;
    one.Add(want, got);
    energies.noise += one.noise;
    const auto before = static_cast<int>(Largest(want)), after = static_cast<int>(Largest(got));
    score.changed += before != after;
    if (label >= 0) {
      score.correct += (after == label) - (before == label);
      possible -= before != label;
    }
    score.sqnr_db = energies.Decibels();
    if (!go_on) return true;
    OutputScore at_best = score;
    at_best.correct += possible;
    return go_on(at_best);
  }));
  return score;
}

}  // namespace octet
