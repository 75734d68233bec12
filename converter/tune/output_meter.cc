#include "converter/tune/output_meter.h"

#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "engine/src/runner.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
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

Result<OutputMeter> OutputMeter::Create(const Graph& original,
                                        const std::vector<NamedSample>& samples) {
  OutputMeter meter(samples);
  OCTET_ASSIGN_OR_RETURN(meter.answers_, meter.Answers(original));
  return meter;
}

Result<std::vector<std::vector<float>>> OutputMeter::Answers(const Graph& graph) const {
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, ModelFromGraph(graph));
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<GraphRunner> runner, GraphRunner::Create(model));
  const Graph& g = runner->graph();
  const TensorDescription input = model->Describe().inputs[0];
  const TensorId wanted = AnswerOf(g);
  std::vector<uint8_t> bytes(input.num_bytes());
  std::vector<std::vector<float>> answers;
  for (const NamedSample& sample : *samples_) {
    input.FromFloats(sample.input.data(), bytes.data());
    std::vector<float> values;
    OCTET_RETURN_IF_ERROR(
        runner->Run(bytes.data(), [&](TensorId id, const kernels::ActivationView& view) {
          if (id == wanted) AppendNumbers(g.tensor(id), view, &values);
        }));
    if (values.empty())
      return InternalError(StrCat("tensor '", g.tensor(wanted).name, "' was not computed"));
    const auto mean = static_cast<float>(std::accumulate(values.begin(), values.end(), 0.0) /
                                         static_cast<double>(values.size()));
    if (values.size() > 1)
      for (float& v : values) v -= mean;
    answers.push_back(std::move(values));
  }
  return answers;
}

Result<double> OutputMeter::Sqnr(const Graph& quantized) const {
  OCTET_ASSIGN_OR_RETURN(const std::vector<std::vector<float>> answers, Answers(quantized));
  double signal = 0.0, noise = 0.0;
  for (size_t s = 0; s < answers.size(); ++s) {
    if (answers[s].size() != answers_[s].size())
      return InternalError("the quantized network has another number of answers");
    for (size_t i = 0; i < answers[s].size(); ++i) {
      const double want = answers_[s][i], difference = answers[s][i] - want;
      signal += want * want;
      noise += difference * difference;
    }
  }
  return noise > 0.0 ? 10.0 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
}

}  // namespace octet
