// Runs a network on several samples at once.
#ifndef OCTET_CONVERTER_CALIBRATE_SAMPLE_TEAM_H_
#define OCTET_CONVERTER_CALIBRATE_SAMPLE_TEAM_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "engine/src/runner.h"
#include "formats/base/macros.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// One sample for each core. Threads do not wait for each other within a network, as they would in
/// a session of several: beside other work that takes many times as long.
class SampleTeam {
 public:
  /// Of at most `most` members, and one at least. Errors: those of GraphRunner::Create.
  static Result<SampleTeam> Create(Graph graph, size_t most = 16) {
    OCTET_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model, ModelFromGraph(std::move(graph)));
    return Create(model, most);
  }
  static Result<SampleTeam> Create(const std::shared_ptr<const Model>& model, size_t most = 16);

  size_t size() const { return members_.size(); }
  const Graph& graph() const { return members_[0].runner->graph(); }

  /// What GraphRunner::Run shows, of one member's sample. Called on as many threads as there are
  /// members, each for its own.
  using Observer =
      std::function<void(size_t member, TensorId id, const kernels::ActivationView& view)>;

  /// Takes the next sample of `next` for each member, in their order, tells `took(member)` of it
  /// (may be empty) and runs them. How many there were; 0 at the end. Errors: those of `next` and
  /// Run.
  Result<size_t> Run(const SampleSource& next, const std::function<void(size_t member)>& took,
                     const Observer& observer);

  /// Of the last Run: the input as numbers, and the first output likewise.
  const std::vector<float>& sample(size_t member) const { return members_[member].sample; }
  std::vector<float> output(size_t member) const;
  /// The input's bytes, as the network reads them.
  const std::vector<uint8_t>& input(size_t member) const { return members_[member].input; }

 private:
  struct Member {
    std::unique_ptr<GraphRunner> runner;
    std::vector<float> sample;
    std::vector<uint8_t> input;
    Status status;
  };
  TensorDescription input_, output_;
  std::vector<Member> members_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_CALIBRATE_SAMPLE_TEAM_H_
