#include "converter/tune/output_meter.h"

#include <memory>

#include "converter/report/verdict.h"
#include "engine/src/runner.h"
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
  std::vector<std::vector<float>>& answers = meter.answers_;
  OCTET_RETURN_IF_ERROR(meter.Run(original, [&](std::vector<float> answer, int) {
    answers.push_back(std::move(answer));
    return OkStatus();
  }));
  if (answers.empty()) return InvalidArgument("the data holds no sample");
  return meter;
}

Status OutputMeter::Run(
    const Graph& graph,
    const std::function<Status(std::vector<float> answer, int label)>& use) const {
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, ModelFromGraph(graph));
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<GraphRunner> runner, GraphRunner::Create(model));
  OCTET_ASSIGN_OR_RETURN(const DatasetSamples samples, open_());
  const Graph& g = runner->graph();
  const TensorDescription input = model->Describe().inputs[0],
                          output = model->Describe().outputs[0];
  const TensorId wanted = AnswerOf(g);
  std::vector<float> sample(input.num_elements());
  std::vector<uint8_t> bytes(input.num_bytes());
  for (;;) {
    OCTET_ASSIGN_OR_RETURN(const bool more, samples.next(sample.data()));
    if (!more) return OkStatus();
    input.FromFloats(sample.data(), bytes.data());
    std::vector<float> values;
    OCTET_RETURN_IF_ERROR(
        runner->Run(bytes.data(), [&](TensorId id, const kernels::ActivationView& view) {
          if (id == wanted) AppendNumbers(g.tensor(id), view, &values);
        }));
    if (values.empty()) {  // Of a network that is no more than its last function.
      values.resize(output.num_elements());
      output.ToFloats(runner->output(0).data(), values.data());
    }
    OCTET_RETURN_IF_ERROR(use(std::move(values), samples.label ? samples.label() : -1));
  }
}

Result<OutputScore> OutputMeter::Score(const Graph& quantized) const {
  OutputScore score;
  Energies energies;
  OCTET_RETURN_IF_ERROR(Run(quantized, [&](const std::vector<float>& got, int label) -> Status {
    const auto at = static_cast<size_t>(score.samples++);
    if (at >= answers_.size() || got.size() != answers_[at].size())
      return InternalError("the quantized network has other answers than the float one");
    const std::vector<float>& want = answers_[at];
    energies.Add(want, got);
    const auto before = static_cast<int>(Largest(want)), after = static_cast<int>(Largest(got));
    score.changed += before != after;
    if (label < 0 || label >= static_cast<int>(want.size())) return OkStatus();
    ++score.labelled;
    score.float_correct += before == label;
    score.correct += after == label;
    return OkStatus();
  }));
  score.sqnr_db = energies.Decibels();
  return score;
}

}  // namespace octet
