#include "converter/calibrate/sample_team.h"

#include <algorithm>
#include <future>
#include <thread>

namespace octet {

Result<SampleTeam> SampleTeam::Create(const std::shared_ptr<const Model>& model, size_t most) {
  SampleTeam team;
  team.input_ = model->Describe().inputs[0];
  team.output_ = model->Describe().outputs[0];
  const size_t cores = std::max(1u, std::thread::hardware_concurrency());
  for (size_t i = 0; i < std::clamp(cores, size_t{1}, most); ++i) {
    Member& member = team.members_.emplace_back();
    OCTET_ASSIGN_OR_RETURN(member.runner, GraphRunner::Create(model));
    member.sample.resize(team.input_.num_elements());
    member.input.resize(team.input_.num_bytes());
  }
  return team;
}

Result<size_t> SampleTeam::Run(const SampleSource& next,
                               const std::function<void(size_t member)>& took,
                               const Observer& observer) {
  size_t count = 0;
  for (; count < size(); ++count) {
    OCTET_ASSIGN_OR_RETURN(const bool more, next(members_[count].sample.data()));
    if (!more) break;
    if (took) took(count);
  }
  const auto work = [&](size_t i) {
    Member& m = members_[i];
    input_.FromFloats(m.sample.data(), m.input.data());
    TensorObserver observe;
    if (observer)
      observe = [&](TensorId id, const kernels::ActivationView& view) { observer(i, id, view); };
    m.status = m.runner->Run(m.input.data(), observe);
  };
  std::vector<std::future<void>> others;
  for (size_t i = 1; i < count; ++i) others.push_back(std::async(std::launch::async, work, i));
  if (count > 0) work(0);
  for (std::future<void>& other : others) other.get();
  for (size_t i = 0; i < count; ++i) OCTET_RETURN_IF_ERROR(members_[i].status);
  return count;
}

std::vector<float> SampleTeam::output(size_t member) const {
  std::vector<float> values(output_.num_elements());
  output_.ToFloats(members_[member].runner->output(0).data(), values.data());
  return values;
}

}  // namespace octet
