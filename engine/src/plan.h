// The planner: turns a graph into operators with fixed kernels, strides and addresses. Everything
// is decided here, before the first run.
#ifndef OCTET_ENGINE_SRC_PLAN_H_
#define OCTET_ENGINE_SRC_PLAN_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/src/arena.h"
#include "engine/src/ops.h"
#include "engine/src/placement.h"
#include "engine/src/prepared.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"
#include "kernels/kernel_table.h"

namespace octet {

struct PlanOptions {
  const kernels::KernelTable* table = nullptr;
  int num_threads = 1;
  int max_batch = 1;
  bool winograd = true;                   ///< As SessionOptions.
  int64_t max_memory = int64_t{4} << 30;  ///< As ModelOptions: of arena, constants and prepared.
  /// Where they are kept, and what else is found out about weights.
  PreparedWeights* prepared = nullptr;
  /// The plan has no memory for activations: Place gives it some before it runs.
  bool without_arena = false;
};

/// What changes from run to run.
struct RunIo {
  const void* const* inputs = nullptr;
  void* const* outputs = nullptr;
  int batch = 1;
};

/// Memory of a tensor or of an operator's work, for the whole batch.
struct Buffer {
  int64_t bytes = 0;                ///< kArenaSlack included.
  int first_op = -1, last_op = -1;  ///< That have a slot in it; -1: none, so it has no memory.
  int64_t offset = -1;              ///< In the arena.
};

/// Where a tensor lives while the session runs. Reshapes that move nothing share a buffer.
struct Placement {
  Geometry geometry;
  int buffer = -1;               ///< Index into Plan::buffers; -1: a constant.
  kernels::ActivationView view;  ///< `data` is null when the tensor has no memory.
};

/// Borrows the graph's constants, so it lives no longer than its model.
struct Plan {
  std::vector<std::unique_ptr<Op>> ops;
  std::vector<Placement> placements;  ///< By tensor.
  std::vector<Buffer> buffers;
  std::vector<std::unique_ptr<uint8_t[]>> constants;
  std::shared_ptr<const ArenaMemory> arena;  ///< Null with `without_arena`.
  uint8_t* memory = nullptr;                 ///< Of the arena, where operators work now.
  int64_t arena_bytes = 0;
  int64_t constant_bytes = 0;
  std::vector<std::shared_ptr<const void>> prepared;  ///< Keeps them alive.
  int64_t prepared_bytes = 0;

  /// Points the operators at their buffers in `arena_bytes` bytes that begin at a multiple of
  /// kArenaAlignment. What they hold does not matter. Allocates nothing, and costs nothing where
  /// the operators are there already.
  void Place(uint8_t* arena_memory);
  /// Points the operators at the caller's tensors.
  void Bind(const RunIo& io);
};

/// Errors: kUnsupported when an operator has no kernel for its types (a validated graph has none,
/// save for what its message says) or an image is too large for its kernel, kOutOfMemory when
/// max_memory would not do.
Result<std::unique_ptr<Plan>> BuildPlan(const Graph& graph, const PlanOptions& options);

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PLAN_H_
