// Runs a graph that is still in memory and shows every activation: for calibration, golden outputs
// and tests.
#ifndef OCTET_ENGINE_SRC_RUNNER_H_
#define OCTET_ENGINE_SRC_RUNNER_H_

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "engine/src/model_impl.h"
#include "formats/base/macros.h"

namespace octet {

/// All cores. Threads do not change what a network gives.
inline SessionOptions OnAllCores() {
  SessionOptions options;
  options.num_threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 64u));
  return options;
}

class GraphRunner {
 public:
  /// `graph` is packed here when it is not yet. One image at a time. Errors: those of ValidateGraph
  /// and of planning.
  static Result<std::unique_ptr<GraphRunner>> Create(Graph graph,
                                                     const SessionOptions& options = {}) {
    OCTET_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model, ModelFromGraph(std::move(graph)));
    return Create(std::move(model), options);
  }
  static Result<std::unique_ptr<GraphRunner>> Create(std::shared_ptr<const Model> model,
                                                     const SessionOptions& options = {}) {
    OCTET_ASSIGN_OR_RETURN(std::unique_ptr<Session> session,
                           Session::Create(std::move(model), options));
    auto runner = std::unique_ptr<GraphRunner>(new GraphRunner(std::move(session)));
    for (const TensorDescription& t : runner->session_->GetModel().Describe().outputs) {
      runner->buffers_.emplace_back(t.num_bytes());
    }
    for (std::vector<uint8_t>& b : runner->buffers_) runner->outputs_.push_back(b.data());
    return runner;
  }

  /// Runs one image of the first input. `observer` (may be empty) sees each node's output right
  /// after it was computed; the caller's input itself is not shown, nor are reshapes that move
  /// nothing.
  Status Run(const void* input, const TensorObserver& observer) {
    Internals::Of(*session_).observer = observer;
    return session_->Run(&input, outputs_.data(), 1);
  }

  /// Bytes of output `i` after Run.
  const std::vector<uint8_t>& output(int i) const { return buffers_[i]; }
  const Graph& graph() const { return GraphOf(session_->GetModel()); }
  Session* session() { return session_.get(); }

 private:
  explicit GraphRunner(std::unique_ptr<Session> session) : session_(std::move(session)) {}
  std::unique_ptr<Session> session_;
  std::vector<std::vector<uint8_t>> buffers_;
  std::vector<void*> outputs_;
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_RUNNER_H_
