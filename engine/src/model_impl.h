// Insides of Model and Session, for the engine and octet's own tools.
#ifndef OCTET_ENGINE_SRC_MODEL_IMPL_H_
#define OCTET_ENGINE_SRC_MODEL_IMPL_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/parallel.h"
#include "engine/src/plan.h"
#include "engine/src/prepared.h"
#include "engine/src/preprocess.h"
#include "engine/src/thread_pool.h"
#include "formats/model/octet_file.h"

namespace octet {

struct Model::Impl {
  OctetFile file;
  int64_t max_memory = ModelOptions().max_memory;
  ModelDescription description;
  mutable PreparedWeights prepared;
};

/// A model from a graph in memory (weights packed here if they are plain). Errors: those of
/// ValidateGraph.
Result<std::shared_ptr<const Model>> ModelFromGraph(Graph graph);

/// Multiply-accumulates of one node for one image; 0 for everything but convolutions and dense
/// layers.
int64_t NodeMacs(const Graph& graph, const Node& node);

/// Bytes of the activations of one image that a node reads and writes.
int64_t ActivationBytes(const Graph& graph, const Node& node);

/// kOutOfMemory when `what` needs more than `max_memory` bytes.
Status CheckMemory(const std::string& what, int64_t bytes, int64_t max_memory);

/// Whether the first output has the same bits on every machine: it and all that it is computed from
/// are integers, save for floats that the caller gives and that are quantized at once.
bool IsExact(const Graph& graph);

/// Whether the values of the first output are probabilities already.
bool EndsInProbabilities(const Graph& graph);

/// What TensorDescription's ToFloats and FromFloats do with uint8.
void Dequantize(const Quantization& q, DType type, const uint8_t* codes, size_t count,
                float* values);
void Quantize(const Quantization& q, DType type, const float* values, size_t count, uint8_t* codes);
/// The same for uint8 codes of `channels` scales and zero points.
void DequantizeChannels(const float* scales, const float* zero_points, size_t channels,
                        const uint8_t* codes, size_t count, float* values);
void QuantizeChannels(const float* scales, const float* zero_points, size_t channels,
                      const float* values, size_t count, uint8_t* codes);
/// Code `i` of those in memory.
int32_t CodeAt(DType type, const uint8_t* codes, size_t i);
/// The bytes of a pixel's channels as the caller of a session has them; image 0's.
void ReadPixel(const Tensor& tensor, const kernels::ActivationView& view, int y, int x,
               uint8_t* bytes);

/// Runs the golden input of `seed` (GenerateGoldenInput) through `session`; the first output as
/// numbers. Errors: kOutOfMemory when inputs and outputs take more than the model's max_memory.
Result<std::vector<float>> RunGolden(Session* session, uint64_t seed);

/// Appends the numbers that an activation of one image holds, channels last.
void AppendNumbers(const Tensor& t, const kernels::ActivationView& view, std::vector<float>* to);

/// Called after each operator that finishes a node, with the tensor it produced.
using TensorObserver = std::function<void(TensorId id, const kernels::ActivationView& view)>;

struct Session::Impl final : StepWork {
  std::shared_ptr<const Model> model;
  SessionOptions options;  ///< num_threads is what there is.
  const kernels::KernelTable* table = nullptr;
  std::unique_ptr<Plan> plan;
  std::vector<double> seconds;  ///< Per operator, summed over `runs`.
  double op_begin = 0.0;        ///< When the present operator began, with `profile`.
  int64_t runs = 0;
  int group = 1;  ///< Images computed at once.

  /// The present run: what the caller gave, and how far it is.
  struct {
    const void* const* inputs = nullptr;
    void* const* outputs = nullptr;
    int images = 0, groups = 0, next_group = 0;
    std::chrono::steady_clock::time_point deadline;
  } present;
  std::vector<const void*> group_inputs;
  std::vector<void*> group_outputs;
  std::vector<const void*> view_inputs;  ///< Pointers of the views that Run was given.
  std::vector<void*> view_outputs;
  std::atomic<bool> cancel{false};   ///< Asked for.
  std::atomic<bool> skipped{false};  ///< Something was left out.
  TensorObserver observer;           ///< Only with one thread.

  // Classify's working memory, made by the first call.
  std::vector<uint8_t> classify_input;
  std::vector<std::vector<uint8_t>> classify_outputs;
  mutable std::unique_ptr<Preprocessor> preprocessor;  ///< Made by the first image.

  // Last, so that its helpers are gone before what they work on.
  std::shared_ptr<StepSharing> sharing;  ///< Of the operators; null with one thread.
  std::unique_ptr<Workforce> workforce;

  // What the functions of Session do inside Guarded.
  Status Run(const void* const* inputs, void* const* outputs, const RunOptions& run);
  Status Run(Span<const ConstTensorView> inputs, Span<const TensorView> outputs,
             const RunOptions& run);
  Status Preprocess(const Image& image, void* input) const;
  Result<std::vector<float>> ClassifyBatch(const Image* images, int count);
  Result<std::vector<Prediction>> Classify(const Image& image, int top_k);
  std::vector<LayerProfile> Profile() const;

  Status CheckBatch(int batch) const;
  Status CheckFinite(const void* const* inputs, int images) const;
  Status MakeClassifyBuffers();
  void BindNextGroup();
  bool IsCancelled();
  void RunAlone();
  void DoPart(size_t step, const StepPart& part) override;
  void EndStep(size_t step) override;
};

inline namespace OCTET_ABI_NAMESPACE {

/// What Model and Session are made of.
struct Internals {
  using ModelImpl = Model::Impl;
  using SessionImpl = Session::Impl;
  using ThreadPoolImpl = ThreadPool::Impl;
  using ArenaImpl = Arena::Impl;

  static const ModelImpl& Of(const Model& model) { return *model.impl_; }
  static SessionImpl& Of(Session& session) { return *session.impl_; }
  static ArenaImpl& Of(Arena& arena) { return *arena.impl_; }
  static ThreadPoolImpl& Of(ThreadPool& pool) { return *pool.impl_; }
  static std::shared_ptr<const Model> Make(std::unique_ptr<ModelImpl> impl) {
    return std::shared_ptr<const Model>(new Model(std::move(impl)));
  }
  static std::unique_ptr<Session> Make(std::unique_ptr<SessionImpl> impl) {
    return std::unique_ptr<Session>(new Session(std::move(impl)));
  }
};

}  // namespace OCTET_ABI_NAMESPACE

inline const Graph& GraphOf(const Model& model) { return Internals::Of(model).file.graph; }

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_MODEL_IMPL_H_
