// The planner: turns a graph into operators with fixed kernels, strides and addresses. Everything
// is decided here, before the first run.
#ifndef OCTET_ENGINE_SRC_PLAN_H_
#define OCTET_ENGINE_SRC_PLAN_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/src/ops.h"
#include "engine/src/prepared.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"
#include "kernels/kernel_table.h"

namespace octet {

struct PlanOptions {
  const kernels::KernelTable* table = nullptr;
  int num_threads = 1;
  int max_batch = 1;
  bool winograd = true;                 ///< As SessionOptions.
  PreparedWeights* prepared = nullptr;  ///< Where they are kept, and what else is found out about weights.
};

/// Where a tensor lives while the session runs.
struct Placement {
  kernels::ActivationView view;  ///< `data` is valid once the arena exists.
  int element_size = 0;
  int halo_top = 0, halo_left = 0, halo_bottom = 0, halo_right = 0;
  bool tight = false;  ///< Pixels without channel padding: the input of a kPanelRow convolution.
  TensorId alias = kNoTensor;  ///< Shares the memory of this tensor (a reshape without movement).
  int64_t image_bytes = 0;
  bool shared_by_batch = false;  ///< Working memory: `image_bytes` whatever the batch.
  int64_t arena_bytes = 0;       ///< For the whole batch.
  int64_t offset = -1;  ///< In the arena, of the first byte including the halo; -1 = not in memory.
  int first_op = -1, last_op = -1;

  /// Channels that kernels process: all that are stored.
  int stored_channels() const { return static_cast<int>(view.pixel_stride / element_size); }
};

struct Plan {
  std::vector<std::unique_ptr<Op>> ops;
  std::vector<Placement> placements;  ///< By tensor.
  std::vector<std::unique_ptr<uint8_t[]>> constants;
  std::unique_ptr<uint8_t, void (*)(void*)> arena{nullptr, nullptr};
  int64_t arena_bytes = 0;
  int64_t constant_bytes = 0;
  std::vector<std::shared_ptr<const void>> prepared;  ///< Keeps them alive.
  int64_t prepared_bytes = 0;
};

/// Errors: kUnsupported when an operator has no kernel for its types (a validated graph has none,
/// save for what its message says).
Result<std::unique_ptr<Plan>> BuildPlan(const Graph& graph, const PlanOptions& options);

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PLAN_H_
