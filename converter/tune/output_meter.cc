#include "converter/tune/output_meter.h"

#include <algorithm>
#include <future>
#include <memory>
#include <thread>

#include "converter/report/verdict.h"
#include "engine/src/runner.h"
#include "formats/base/macros.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

constexpr unsigned kMostThreads = 16;
/// In memory at once.
constexpr size_t kSamplesPerThread = 4;

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

/// A network that runs beside others of it.
struct Runner {
  std::unique_ptr<GraphRunner> network;
  TensorDescription input, output;
  TensorId wanted = kNoTensor;
  std::vector<uint8_t> bytes;

  static Result<Runner> Create(const std::shared_ptr<const Model>& model) {
    Runner r;
    OCTET_ASSIGN_OR_RETURN(r.network, GraphRunner::Create(model));
    r.input = model->Describe().inputs[0];
    r.output = model->Describe().outputs[0];
    r.wanted = AnswerOf(r.network->graph());
    r.bytes.resize(r.input.num_bytes());
    return r;
  }

  Result<std::vector<float>> Run(const std::vector<float>& sample) {
    input.FromFloats(sample.data(), bytes.data());
    std::vector<float> values;
    OCTET_RETURN_IF_ERROR(
        network->Run(bytes.data(), [&](TensorId id, const kernels::ActivationView& view) {
          if (id == wanted) AppendNumbers(network->graph().tensor(id), view, &values);
        }));
    if (values.empty()) {  // Of a network that is no more than its last function.
      values.resize(output.num_elements());
      output.ToFloats(network->output(0).data(), values.data());
    }
    return values;
  }
};

}  // namespace

Result<OutputMeter> OutputMeter::Create(const Graph& original, OpenFn open) {
  OutputMeter meter(std::move(open));
  Energies energies;
  OCTET_RETURN_IF_ERROR(
      meter.Run(original, [&](std::vector<float> values, int label) -> Result<bool> {
        if (label >= static_cast<int>(values.size())) label = -1;
        energies.Add(values, values);
        ++meter.float_score_.samples;
        if (label >= 0) {
          ++meter.float_score_.labelled;
          meter.float_score_.float_correct += static_cast<int>(Largest(values)) == label;
        }
        meter.answers_.push_back({std::move(values), label});
        return true;
      }));
  if (meter.answers_.empty()) return InvalidArgument("the data holds no sample");
  meter.float_score_.correct = meter.float_score_.float_correct;
  meter.signal_ = energies.signal;
  return meter;
}

Status OutputMeter::Run(
    const Graph& graph,
    const std::function<Result<bool>(std::vector<float> answer, int label)>& use) const {
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, ModelFromGraph(graph));
  const auto threads =
      static_cast<size_t>(std::clamp(std::thread::hardware_concurrency(), 1u, kMostThreads));
  std::vector<Runner> runners;
  for (size_t i = 0; i < threads; ++i) {
    OCTET_ASSIGN_OR_RETURN(Runner runner, Runner::Create(model));
    runners.push_back(std::move(runner));
  }
  OCTET_ASSIGN_OR_RETURN(const DatasetSamples samples, open_());
  const size_t elements = runners[0].input.num_elements();
  std::vector<std::vector<float>> inputs(threads * kSamplesPerThread, std::vector<float>(elements));
  std::vector<Result<std::vector<float>>> got(inputs.size(), std::vector<float>());
  for (bool more = true; more;) {
    std::vector<int> labels;
    while (labels.size() < inputs.size()) {
      OCTET_ASSIGN_OR_RETURN(more, samples.next(inputs[labels.size()].data()));
      if (!more) break;
      labels.push_back(samples.label ? samples.label() : -1);
    }
    const auto work = [&](size_t first) {
      for (size_t i = first; i < labels.size(); i += threads)
        got[i] = runners[first].Run(inputs[i]);
    };
    std::vector<std::future<void>> others;
    for (size_t i = 1; i < std::min(threads, labels.size()); ++i)
      others.push_back(std::async(std::launch::async, work, i));
    work(0);
    for (std::future<void>& other : others) other.get();
    for (size_t i = 0; i < labels.size(); ++i) {
      OCTET_RETURN_IF_ERROR(got[i].status());
      OCTET_ASSIGN_OR_RETURN(const bool go_on, use(*std::move(got[i]), labels[i]));
      if (!go_on) return OkStatus();
    }
  }
  return OkStatus();
}

Result<OutputScore> OutputMeter::Score(const Graph& quantized, const GoOn& go_on) const {
  size_t at = 0;
  Energies energies;
  energies.signal = signal_;
  OutputScore score = float_score_;
  // A sample that the float network has wrong may be right.
  int64_t possible = score.labelled - score.float_correct;
  OCTET_RETURN_IF_ERROR(Run(quantized, [&](const std::vector<float>& got, int) -> Result<bool> {
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
