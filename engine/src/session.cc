// A session is planned for as many images as stay in the cache; a larger batch is run in groups.
// All threads go through the operators in order and share each one (parallel.h), group after group.
// Memory is taken and threads are started when the session is made; what Classify and Preprocess
// need in addition is kept from their first call on.
#include <algorithm>
#include <bit>
#include <chrono>
#include <numeric>
#include <utility>

#include "engine/include/octet/octet.h"
#include "engine/src/float_environment.h"
#include "engine/src/guarded.h"
#include "engine/src/model_impl.h"
#include "engine/src/plan.h"
#include "engine/src/preprocess.h"
#include "engine/src/thread_pool.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/operators.h"
#include "kernels/dispatch.h"

namespace octet {
namespace {

// Activations that an operator reads and writes for the images that are computed at once. Beyond,
// they leave the level-3 cache between operators: on an AMD EPYC Zen 5 with 32 MiB of it, a
// ResNet-50 in float takes 28.5 ms an image by itself, 31.7 ms in a batch of 8 and 35.4 ms in one
// of 32; in int8 (a quarter of the bytes) 7.7, 7.6 and 8.0 ms.
constexpr int64_t kGroupBytes = int64_t{8} << 20;

int ImagesAtOnce(const Graph& graph, int max_batch) {
  int64_t most = 1;
  for (const Node& n : graph.nodes) most = std::max(most, ActivationBytes(graph, n));
  return static_cast<int>(std::clamp<int64_t>(kGroupBytes / most, 1, max_batch));
}

// Operators that take so much on average, some 10 us, are worth reading a clock twice a part.
constexpr int64_t kBalancedMacs = 1'000'000;

int64_t PlanBytes(const Plan& plan) {
  return plan.arena_bytes + plan.constant_bytes + plan.prepared_bytes;
}

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Index of the first value that is NaN or infinite; `count` when there is none.
int64_t FindNotFinite(const float* values, int64_t count) {
  constexpr uint32_t kMagnitude = 0x7fffffff, kLowestExponentBit = 0x00800000;
  // Bit 31 is set when all bits of the exponent are. Enough sums that compilers make vectors of
  // them and need not wait for additions: 5.6 us for the 76,800 values of a 160x160 image on a Xeon
  // of 2.8 GHz, one sum 12 us.
  constexpr int64_t kSums = 32;
  uint32_t sums[kSums] = {};
  const auto check = [values](int64_t i) {
    return (std::bit_cast<uint32_t>(values[i]) & kMagnitude) + kLowestExponentBit;
  };
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int64_t j = 0; j < kSums; ++j) sums[j] |= check(i + j);
  }
  for (; i < count; ++i) sums[0] |= check(i);
  uint32_t all = 0;
  for (uint32_t sum : sums) all |= sum;
  if (all >> 31 == 0) return count;
  i = 0;
  while (check(i) >> 31 == 0) ++i;
  return i;
}

/// Whether `views` hold `batch` images of the tensors; their pointers.
template <typename View, typename Pointer>
Status TakeViews(const char* kind, Span<const View> views,
                 const std::vector<TensorDescription>& tensors, int batch,
                 std::vector<Pointer>* pointers) {
  if (views.size() != tensors.size() || views.data() == nullptr) {
    return InvalidArgument(StrCat("Session::Run: found ",
                                  views.data() == nullptr ? 0 : views.size(), " ", kind,
                                  "s, expected ", tensors.size()));
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t bytes = tensors[i].num_bytes();
    if (views[i].data != nullptr && views[i].bytes / static_cast<size_t>(batch) < bytes) {
      return InvalidArgument(StrCat("Session::Run: ", kind, " ", i, " (", tensors[i].name,
                                    "): found ", views[i].bytes, " bytes, expected ",
                                    batch == 1 ? "" : StrCat(batch, " times "), bytes));
    }
    (*pointers)[i] = views[i].data;
  }
  return OkStatus();
}

Result<std::unique_ptr<Session>> CreateSession(std::shared_ptr<const Model> model,
                                               const SessionOptions& options) {
  if (model == nullptr) return InvalidArgument("Session::Create: model is null");
  if (options.num_threads < 1 || options.num_threads > kMaxThreads) {
    return InvalidArgument(
        StrCat("num_threads is ", options.num_threads, ", expected 1 to ", kMaxThreads));
  }
  if (options.max_batch < 1 || options.max_batch > 65536) {
    return InvalidArgument(StrCat("max_batch is ", options.max_batch, ", expected 1 to 65536"));
  }
  if (options.pool != nullptr && options.executor.run != nullptr)
    return InvalidArgument("SessionOptions: found a pool and an executor, expected one of them");
  auto impl = std::make_unique<Internals::SessionImpl>();
  OCTET_ASSIGN_OR_RETURN(impl->table, kernels::SelectTable(options.isa));
  impl->options = options;
  std::shared_ptr<ThreadPool>& pool = impl->options.pool;
  int& num_threads = impl->options.num_threads;
  if (num_threads > 1 && options.executor.run == nullptr) {
    if (pool == nullptr) {
      OCTET_ASSIGN_OR_RETURN(pool, ThreadPool::Create(num_threads));
    }
    num_threads = std::min(num_threads, pool->num_threads());
  }
  PlanOptions plan_options;
  plan_options.table = impl->table;
  plan_options.num_threads = num_threads;
  const Graph& graph = GraphOf(*model);
  impl->group = ImagesAtOnce(graph, options.max_batch);
  plan_options.max_batch = impl->group;
  plan_options.winograd = options.winograd;
  plan_options.max_memory = Internals::Of(*model).max_memory;
  plan_options.prepared = &Internals::Of(*model).prepared;
  plan_options.without_arena = options.arena != nullptr;
  OCTET_ASSIGN_OR_RETURN(impl->plan, BuildPlan(graph, plan_options));
  const size_t steps = impl->plan->ops.size();
  OCTET_RETURN_IF_ERROR(CheckMemory(StrCat("Session::Create with ", num_threads, " threads"),
                                    PlanBytes(*impl->plan) + StepSharing::Bytes(steps, num_threads),
                                    Internals::Of(*model).max_memory));
  if (options.arena != nullptr)
    OCTET_RETURN_IF_ERROR(Internals::Of(*options.arena).Grow(impl->plan->arena_bytes));
  impl->seconds.assign(steps, 0.0);
  if (num_threads > 1) {
    impl->workforce = std::make_unique<Workforce>(pool, options.executor, num_threads);
    StepSharing::Options sharing;
    sharing.end_all = options.profile;
    sharing.balance = model->Describe().macs > kBalancedMacs * static_cast<int64_t>(steps);
    impl->sharing = std::make_shared<StepSharing>(impl.get(), steps, num_threads, sharing);
    impl->workforce->Add(impl->sharing);
  }
  const ModelDescription& d = model->Describe();
  impl->group_inputs.resize(d.inputs.size());
  impl->group_outputs.resize(d.outputs.size());
  impl->view_inputs.resize(d.inputs.size());
  impl->view_outputs.resize(d.outputs.size());
  impl->model = std::move(model);
  return Internals::Make(std::move(impl));
}

}  // namespace

bool EndsInProbabilities(const Graph& graph) {
  TensorId id = graph.outputs[0];
  for (auto it = graph.nodes.rbegin(); it != graph.nodes.rend(); ++it) {
    if (it->output != id) continue;
    if (it->type == OpType::kSoftmax || it->type == OpType::kSigmoid) return true;
    if (!TraitsOf(it->type).converts && it->type != OpType::kReshape) return false;
    id = it->inputs[0];
  }
  return false;
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::Create(std::shared_ptr<const Model> model,
                                                 const SessionOptions& options) {
  return Guarded([&] { return CreateSession(std::move(model), options); });
}

// Groups of equal size up to one.
void Session::Impl::BindNextGroup() {
  const ModelDescription& d = model->Describe();
  const int first = static_cast<int>(int64_t{present.images} * present.next_group / present.groups);
  ++present.next_group;
  const int end = static_cast<int>(int64_t{present.images} * present.next_group / present.groups);
  const auto offset = [&](const TensorDescription& t) {
    return static_cast<size_t>(first) * t.num_bytes();
  };
  for (size_t j = 0; j < d.inputs.size(); ++j)
    group_inputs[j] = static_cast<const std::byte*>(present.inputs[j]) + offset(d.inputs[j]);
  for (size_t j = 0; j < d.outputs.size(); ++j)
    group_outputs[j] = static_cast<std::byte*>(present.outputs[j]) + offset(d.outputs[j]);
  plan->Bind({group_inputs.data(), group_outputs.data(), end - first});
}

bool Session::Impl::IsCancelled() {
  constexpr auto kNever = std::chrono::steady_clock::time_point::max();
  if (present.deadline != kNever && std::chrono::steady_clock::now() >= present.deadline)
    cancel.store(true, std::memory_order_relaxed);
  if (!cancel.load(std::memory_order_relaxed)) return false;
  skipped.store(true, std::memory_order_relaxed);
  return true;
}

void Session::Impl::DoPart(size_t step, const StepPart& part) {
  if (!IsCancelled()) plan->ops[step]->RunWithHalo(part);
}

void Session::Impl::EndStep(size_t step) {
  if (options.profile) {
    const double now = Seconds();
    seconds[step] += now - op_begin;
    op_begin = now;
  }
  if (step + 1 == plan->ops.size() && present.next_group < present.groups) BindNextGroup();
}

void Session::Impl::RunAlone() {
  const std::vector<std::unique_ptr<Op>>& ops = plan->ops;
  for (int round = 0; round < present.groups; ++round) {
    for (size_t i = 0; i < ops.size(); ++i) {
      if (IsCancelled()) return;
      const Op& op = *ops[i];
      op.RunWithHalo({});
      if (observer && op.node >= 0 && (i + 1 == ops.size() || ops[i + 1]->node != op.node)) {
        const TensorId id = GraphOf(*model).nodes[op.node].output;
        observer(id, plan->placements[id].view);
      }
      EndStep(i);
    }
  }
}

Status Session::Impl::CheckBatch(int batch) const {
  if (batch >= 1 && batch <= options.max_batch) return OkStatus();
  return InvalidArgument(
      StrCat("batch is ", batch, ", expected 1 to max_batch = ", options.max_batch));
}

Status Session::Impl::CheckFinite(const void* const* inputs, int images) const {
  const std::vector<TensorDescription>& all = model->Describe().inputs;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].dtype != DType::kF32) continue;
    const auto elements = static_cast<int64_t>(all[i].num_elements());
    const auto* values = static_cast<const float*>(inputs[i]);
    const int64_t at = FindNotFinite(values, elements * images);
    if (at == elements * images) continue;
    return InvalidArgument(StrCat("input ", i, " (", all[i].name, "): element ", at % elements,
                                  " of image ", at / elements, ": found ", values[at],
                                  ", expected a finite number"));
  }
  return OkStatus();
}

Status Session::Impl::Run(const void* const* inputs, void* const* outputs, const RunOptions& run) {
  OCTET_RETURN_IF_ERROR(CheckBatch(run.batch));
  if (inputs == nullptr || outputs == nullptr)
    return InvalidArgument("Session::Run: inputs or outputs is null");
  const ModelDescription& d = model->Describe();
  for (size_t i = 0; i < d.inputs.size(); ++i) {
    if (inputs[i] == nullptr)
      return InvalidArgument(
          StrCat("Session::Run: input ", i, " (", d.inputs[i].name, ") is null"));
  }
  for (size_t i = 0; i < d.outputs.size(); ++i) {
    if (outputs[i] == nullptr)
      return InvalidArgument(
          StrCat("Session::Run: output ", i, " (", d.outputs[i].name, ") is null"));
  }
  if (options.check_finite) OCTET_RETURN_IF_ERROR(CheckFinite(inputs, run.batch));
  ArenaTurn turn;
  if (options.arena != nullptr) {
    OCTET_RETURN_IF_ERROR(turn.Begin(&Internals::Of(*options.arena)));
    plan->Place(turn.memory());
  }
  present = {.inputs = inputs,
             .outputs = outputs,
             .images = run.batch,
             .groups = static_cast<int>(CeilDiv(run.batch, group)),
             .next_group = 0,
             .deadline = run.deadline};
  skipped.store(false, std::memory_order_relaxed);
  BindNextGroup();
  if (options.profile) op_begin = Seconds();
  if (workforce != nullptr && !workforce->is_alone()) {
    workforce->Do(sharing.get(), present.groups);
  } else {
    RunAlone();
  }
  if (skipped.load(std::memory_order_relaxed)) {
    return Cancelled(std::chrono::steady_clock::now() >= present.deadline
                         ? "Session::Run: the deadline has passed"
                         : "Session::Run: cancelled");
  }
  ++runs;
  return OkStatus();
}

Status Session::Impl::Run(Span<const ConstTensorView> inputs, Span<const TensorView> outputs,
                          const RunOptions& run) {
  OCTET_RETURN_IF_ERROR(CheckBatch(run.batch));
  const ModelDescription& d = model->Describe();
  OCTET_RETURN_IF_ERROR(TakeViews("input", inputs, d.inputs, run.batch, &view_inputs));
  OCTET_RETURN_IF_ERROR(TakeViews("output", outputs, d.outputs, run.batch, &view_outputs));
  return Run(view_inputs.data(), view_outputs.data(), run);
}

Status Session::Run(Span<const ConstTensorView> inputs, Span<const TensorView> outputs,
                    const RunOptions& options) {
  impl_->cancel.store(false, std::memory_order_relaxed);
  return Guarded([&] { return impl_->Run(inputs, outputs, options); });
}

Status Session::Run(const void* const* inputs, void* const* outputs, int batch) {
  RunOptions options;
  options.batch = batch;
  return Run(inputs, outputs, options);
}

Status Session::Run(const void* const* inputs, void* const* outputs, const RunOptions& options) {
  impl_->cancel.store(false, std::memory_order_relaxed);
  return Guarded([&] { return impl_->Run(inputs, outputs, options); });
}

void Session::Cancel() { impl_->cancel.store(true, std::memory_order_relaxed); }

int Session::num_threads() const { return impl_->options.num_threads; }

Status Session::Impl::Preprocess(const Image& image, void* input) const {
  if (input == nullptr) return InvalidArgument("Session::Preprocess: input is null");
  return PreprocessInput(image, model->Describe(), *table, Internals::Of(*model).max_memory,
                         workforce.get(), &preprocessor, input);
}

Status Session::Preprocess(const Image& image, void* input) const {
  return Guarded([&] { return impl_->Preprocess(image, input); });
}

Status Session::Impl::MakeClassifyBuffers() {
  if (!classify_outputs.empty()) return OkStatus();
  const ModelDescription& d = model->Describe();
  size_t image_bytes = d.inputs[0].num_bytes();
  for (const TensorDescription& t : d.outputs) image_bytes += t.num_bytes();
  OCTET_RETURN_IF_ERROR(CheckMemory(StrCat("Classify of ", group, " images at once"),
                                    PlanBytes(*plan) + static_cast<int64_t>(image_bytes) * group,
                                    Internals::Of(*model).max_memory));
  std::vector<uint8_t> input(d.inputs[0].num_bytes() * static_cast<size_t>(group));
  std::vector<std::vector<uint8_t>> outputs;
  for (const TensorDescription& t : d.outputs)
    outputs.emplace_back(t.num_bytes() * static_cast<size_t>(group));
  classify_input = std::move(input);
  classify_outputs = std::move(outputs);
  return OkStatus();
}

Result<std::vector<float>> Session::Impl::ClassifyBatch(const Image* images, int count) {
  if (count < 0 || (count > 0 && images == nullptr))
    return InvalidArgument("ClassifyBatch: no images");
  const ModelDescription& d = model->Describe();
  if (d.inputs.size() != 1)
    return InvalidArgument(
        StrCat("the model has ", d.inputs.size(), " inputs; Classify needs one"));
  const TensorDescription& out = d.outputs[0];
  const int64_t classes = out.shape.back();
  if (static_cast<int64_t>(out.num_elements()) != classes)
    return InvalidArgument(StrCat("output ", out.name, " is not one row of classes"));
  OCTET_RETURN_IF_ERROR(MakeClassifyBuffers());
  std::vector<void*> outputs;
  for (std::vector<uint8_t>& buffer : classify_outputs) outputs.push_back(buffer.data());
  const bool softmax = !EndsInProbabilities(GraphOf(*model));

  const size_t input_bytes = d.inputs[0].num_bytes();
  std::vector<float> result(static_cast<size_t>(count) * static_cast<size_t>(classes));
  for (int first = 0; first < count; first += group) {
    const int images_now = std::min(group, count - first);
    for (int i = 0; i < images_now; ++i) {
      OCTET_RETURN_IF_ERROR(Preprocess(images[first + i], classify_input.data() + i * input_bytes));
    }
    const void* input = classify_input.data();
    RunOptions run;
    run.batch = images_now;
    OCTET_RETURN_IF_ERROR(Run(&input, outputs.data(), run));
    for (int i = 0; i < images_now; ++i) {
      float* row = result.data() + static_cast<int64_t>(first + i) * classes;
      out.ToFloats(classify_outputs[0].data() + static_cast<size_t>(i) * out.num_bytes(), row);
      if (softmax) table->softmax(row, row, static_cast<int>(classes));
    }
  }
  return result;
}

Result<std::vector<float>> Session::ClassifyBatch(const Image* images, int count) {
  impl_->cancel.store(false, std::memory_order_relaxed);
  return Guarded([&] { return impl_->ClassifyBatch(images, count); });
}

Result<std::vector<Prediction>> Session::Impl::Classify(const Image& image, int top_k) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> probabilities, ClassifyBatch(&image, 1));
  const std::vector<std::string>& labels = model->Describe().labels;
  std::vector<int> order(probabilities.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t k = std::min<size_t>(order.size(), std::max(0, top_k));
  // Equal probabilities: the lower index first, so that results are the same everywhere.
  std::partial_sort(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(),
      [&](int a, int b) {
        return probabilities[a] != probabilities[b] ? probabilities[a] > probabilities[b] : a < b;
      });
  std::vector<Prediction> top;
  for (size_t i = 0; i < k; ++i) {
    const int c = order[i];
    top.push_back(
        {c, c < static_cast<int>(labels.size()) ? labels[c] : std::string(), probabilities[c]});
  }
  return top;
}

Result<std::vector<Prediction>> Session::Classify(const Image& image, int top_k) {
  impl_->cancel.store(false, std::memory_order_relaxed);
  return Guarded([&] { return impl_->Classify(image, top_k); });
}

std::vector<LayerProfile> Session::Impl::Profile() const {
  const Graph& graph = GraphOf(*model);
  const std::vector<std::unique_ptr<Op>>& ops = plan->ops;
  std::vector<LayerProfile> layers;
  for (size_t i = 0; i < ops.size(); ++i) {
    const Op& op = *ops[i];
    LayerProfile layer;
    layer.kernel = op.kernel;
    layer.milliseconds = runs > 0 ? seconds[i] * 1e3 / static_cast<double>(runs) : 0.0;
    if (op.node < 0) {
      layer.type = op.node == Op::kCopyIn ? "input" : "output";
    } else {
      const Node& n = graph.nodes[op.node];
      layer.name = n.name;
      layer.type = OpTypeName(n.type);
      const bool last = i + 1 == ops.size() || ops[i + 1]->node != op.node;
      layer.macs = last ? NodeMacs(graph, n) : 0;
      layer.shape = graph.tensor(n.inputs[0]).shape.ToString() + " -> " +
                    graph.tensor(n.output).shape.ToString();
      if (TraitsOf(n.type).has_window) {
        layer.shape +=
            StrCat(" ", n.window.kernel_h, "x", n.window.kernel_w, "/", n.window.stride_h);
      }
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

Result<std::vector<LayerProfile>> Session::Profile() const {
  return Guarded([&]() -> Result<std::vector<LayerProfile>> { return impl_->Profile(); });
}

void Session::ResetProfile() {
  std::fill(impl_->seconds.begin(), impl_->seconds.end(), 0.0);
  impl_->runs = 0;
}

MemoryReport Session::Memory() const {
  return {Internals::Of(*impl_->model).file.file_size, impl_->plan->arena_bytes,
          impl_->plan->constant_bytes + impl_->plan->prepared_bytes};
}

const Model& Session::GetModel() const { return *impl_->model; }

const char* Session::Isa() const { return impl_->table->name; }

}  // namespace octet
