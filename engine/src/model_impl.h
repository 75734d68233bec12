// Insides of Model and Session, for the engine and octet's own tools.
#ifndef OCTET_ENGINE_SRC_MODEL_IMPL_H_
#define OCTET_ENGINE_SRC_MODEL_IMPL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/parallel.h"
#include "engine/src/plan.h"
#include "engine/src/prepared.h"
#include "engine/src/preprocess.h"
#include "formats/model/octet_file.h"

namespace octet {

struct Model::Impl {
  OctetFile file;
  ModelDescription description;
  mutable PreparedWeights prepared;
};

/// A model from a graph in memory (weights packed here if they are plain). Errors: those of
/// ValidateGraph.
Result<std::shared_ptr<const Model>> ModelFromGraph(Graph graph);

/// Multiply-accumulates of one node for one image; 0 for everything but convolutions and dense
/// layers.
int64_t NodeMacs(const Graph& graph, const Node& node);

/// Runs the golden input of `seed` (GenerateGoldenInput) through `session`; the first output as
/// numbers.
Result<std::vector<float>> RunGolden(Session* session, uint64_t seed);

/// Called after each operator that finishes a node, with the tensor it produced.
using TensorObserver = std::function<void(TensorId id, const kernels::ActivationView& view)>;

struct Session::Impl {
  std::shared_ptr<const Model> model;
  SessionOptions options;
  const kernels::KernelTable* table = nullptr;
  std::unique_ptr<Plan> plan;
  StepSharing sharing;
  std::vector<double> seconds;  ///< Per operator, summed over `runs`.
  int64_t runs = 0;
  int group = 1;  ///< Images computed at once.
  std::vector<const void*> group_inputs;
  std::vector<void*> group_outputs;
  TensorObserver observer;  ///< Only with one thread.

  // Classify's working memory, made by the first call.
  std::vector<uint8_t> classify_input;
  std::vector<std::vector<uint8_t>> classify_outputs;
  mutable ResizeWorkspace workspace;

  void Execute(const RunIo& io);
  void RunOps(int thread, int num_threads);
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_MODEL_IMPL_H_
