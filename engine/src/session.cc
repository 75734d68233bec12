#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "engine/include/octet/octet.h"
#include "engine/src/model_impl.h"
#include "engine/src/plan.h"
#include "engine/src/preprocess.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "kernels/dispatch.h"

namespace octet {
namespace {

constexpr int kMaxThreads = 1024;

int64_t Elements(const TensorDescription& t) {
  int64_t n = 1;
  for (int64_t d : t.shape) n *= d;
  return n;
}

int64_t Bytes(const TensorDescription& t) {
  return Elements(t) * static_cast<int64_t>(DTypeSize(t.dtype));
}

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Whether the model's first output is already a distribution.
bool EndsInSoftmax(const Graph& graph) {
  TensorId id = graph.outputs[0];
  for (auto it = graph.nodes.rbegin(); it != graph.nodes.rend(); ++it) {
    if (it->output != id) continue;
    if (it->type == OpType::kSoftmax) return true;
    if (it->type != OpType::kQuantize && it->type != OpType::kDequantize &&
        it->type != OpType::kReshape)
      return false;
    id = it->inputs[0];
  }
  return false;
}

}  // namespace

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::Create(std::shared_ptr<const Model> model,
                                                 const SessionOptions& options) {
  if (model == nullptr) return InvalidArgument("Session::Create: model is null");
  if (options.num_threads < 1 || options.num_threads > kMaxThreads) {
    return InvalidArgument(
        StrCat("num_threads is ", options.num_threads, ", expected 1 to ", kMaxThreads));
  }
  if (options.max_batch < 1 || options.max_batch > 65536) {
    return InvalidArgument(StrCat("max_batch is ", options.max_batch, ", expected 1 to 65536"));
  }
  auto impl = std::make_unique<Impl>();
  OCTET_ASSIGN_OR_RETURN(impl->table, kernels::SelectTable(options.isa));
  impl->options = options;
  PlanOptions plan_options;
  plan_options.table = impl->table;
  plan_options.num_threads = options.num_threads;
  plan_options.max_batch = options.max_batch;
  plan_options.winograd_bytes = options.winograd_bytes;
  plan_options.prepared = &model->impl().prepared;
  OCTET_ASSIGN_OR_RETURN(impl->plan, BuildPlan(model->impl().file.graph, plan_options));
  impl->seconds.assign(impl->plan->ops.size(), 0.0);
  const ModelDescription& d = model->Describe();
  impl->classify_input.resize(static_cast<size_t>(Bytes(d.inputs[0]) * options.max_batch));
  for (const TensorDescription& t : d.outputs) {
    impl->classify_outputs.emplace_back(static_cast<size_t>(Bytes(t) * options.max_batch));
  }
  impl->model = std::move(model);
  return std::make_unique<Session>(std::move(impl));
}

void Session::Impl::RunOps(int thread, int num_threads) {
  const bool profile = options.profile && thread == 0;
  double start = profile ? Seconds() : 0.0;
  const std::vector<std::unique_ptr<Op>>& ops = plan->ops;
  for (size_t i = 0; i < ops.size(); ++i) {
    const Op& op = *ops[i];
    if (thread == num_threads - 1) {
      for (const HaloFill& halo : op.halos) halo.Run(batch);
    }
    op.Run(thread, num_threads);
    if (num_threads > 1) barrier.Wait();
    if (profile) {
      const double now = Seconds();
      seconds[i] += now - start;
      start = now;
    }
    if (observer && op.node >= 0 && (i + 1 == ops.size() || ops[i + 1]->node != op.node)) {
      const TensorId id = model->impl().file.graph.nodes[op.node].output;
      observer(id, plan->placements[id].view);
    }
  }
}

void Session::Impl::Execute(const RunIo& io) {
  batch = io.batch;
  for (const std::unique_ptr<Op>& op : plan->ops) op->Bind(io);
  if (options.num_threads == 1) {
    RunOps(0, 1);
  } else {
    // The team may be smaller than asked for (a thread limit, a nested region): the barrier is set
    // to what it is.
    std::atomic<bool> ready{false};
#pragma omp parallel num_threads(options.num_threads)
    {
      const int thread = omp_get_thread_num(), team = omp_get_num_threads();
      if (thread == 0) {
        barrier.Reset(team);
        ready.store(true, std::memory_order_release);
      } else {
        while (!ready.load(std::memory_order_acquire)) sched_yield();
      }
      RunOps(thread, team);
    }
  }
  ++runs;
}

Status Session::Run(const void* const* inputs, void* const* outputs, int batch) {
  if (batch < 1 || batch > impl_->options.max_batch) {
    return InvalidArgument(
        StrCat("batch is ", batch, ", expected 1 to max_batch = ", impl_->options.max_batch));
  }
  if (inputs == nullptr || outputs == nullptr)
    return InvalidArgument("Session::Run: inputs or outputs is null");
  const ModelDescription& d = impl_->model->Describe();
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
  impl_->Execute({inputs, outputs, batch});
  return OkStatus();
}

Status Session::Preprocess(const Image& image, void* input) const {
  const TensorDescription& t = impl_->model->Describe().inputs[0];
  const Preprocessing& p = impl_->model->Describe().preprocessing;
  if (t.shape.size() != 4) {
    return InvalidArgument(
        StrCat("input ", t.name, " has ", t.shape.size(), " dimensions, images need 4 (NHWC)"));
  }
  const int h = static_cast<int>(t.shape[1]), w = static_cast<int>(t.shape[2]),
            c = static_cast<int>(t.shape[3]);
  std::span<const uint8_t> pixels;
  OCTET_RETURN_IF_ERROR(ResizeAndCrop(image, p, h, w, c, &impl_->workspace, &pixels));
  if (t.dtype == DType::kU8) {
    NormalizeToU8(p, {t.scale, t.zero_point}, pixels, c, static_cast<uint8_t*>(input));
  } else {
    NormalizeToFloat(p, pixels, c, static_cast<float*>(input));
  }
  return OkStatus();
}

Result<std::vector<float>> Session::ClassifyBatch(const Image* images, int count) {
  if (count < 0 || (count > 0 && images == nullptr))
    return InvalidArgument("ClassifyBatch: no images");
  const ModelDescription& d = impl_->model->Describe();
  if (d.inputs.size() != 1)
    return InvalidArgument(
        StrCat("the model has ", d.inputs.size(), " inputs; Classify needs one"));
  const TensorDescription& out = d.outputs[0];
  const int64_t classes = out.shape.back();
  if (Elements(out) != classes)
    return InvalidArgument(StrCat("output ", out.name, " is not one row of classes"));
  const int64_t input_bytes = Bytes(d.inputs[0]);
  std::vector<void*> outputs;
  for (std::vector<uint8_t>& buffer : impl_->classify_outputs) outputs.push_back(buffer.data());
  const bool softmax = !EndsInSoftmax(impl_->model->impl().file.graph);

  std::vector<float> result(static_cast<size_t>(count) * classes);
  for (int first = 0; first < count; first += impl_->options.max_batch) {
    const int batch = std::min(impl_->options.max_batch, count - first);
    for (int i = 0; i < batch; ++i) {
      OCTET_RETURN_IF_ERROR(
          Preprocess(images[first + i], impl_->classify_input.data() + i * input_bytes));
    }
    const void* input = impl_->classify_input.data();
    OCTET_RETURN_IF_ERROR(Run(&input, outputs.data(), batch));
    for (int i = 0; i < batch; ++i) {
      float* row = result.data() + static_cast<int64_t>(first + i) * classes;
      if (out.dtype == DType::kU8) {
        const uint8_t* q = impl_->classify_outputs[0].data() + i * classes;
        for (int64_t c = 0; c < classes; ++c)
          row[c] = out.scale * static_cast<float>(q[c] - out.zero_point);
      } else {
        std::memcpy(row, impl_->classify_outputs[0].data() + i * classes * sizeof(float),
                    classes * sizeof(float));
      }
      if (softmax) impl_->table->softmax(row, row, static_cast<int>(classes));
    }
  }
  return result;
}

Result<std::vector<Prediction>> Session::Classify(const Image& image, int top_k) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> probabilities, ClassifyBatch(&image, 1));
  const std::vector<std::string>& labels = impl_->model->Describe().labels;
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

std::vector<LayerProfile> Session::Profile() const {
  const Graph& graph = impl_->model->impl().file.graph;
  std::vector<LayerProfile> layers;
  for (size_t i = 0; i < impl_->plan->ops.size(); ++i) {
    const Op& op = *impl_->plan->ops[i];
    LayerProfile layer;
    layer.kernel = op.kernel;
    layer.milliseconds =
        impl_->runs > 0 ? impl_->seconds[i] * 1e3 / static_cast<double>(impl_->runs) : 0.0;
    if (op.node < 0) {
      layer.type = i == 0 ? "input" : "output";
    } else {
      const Node& n = graph.nodes[op.node];
      layer.name = n.name;
      layer.type = OpTypeName(n.type);
      const bool last =
          i + 1 == impl_->plan->ops.size() || impl_->plan->ops[i + 1]->node != op.node;
      layer.macs = last ? NodeMacs(graph, n) : 0;
      layer.shape = graph.tensor(n.inputs[0]).shape.ToString() + " -> " +
                    graph.tensor(n.output).shape.ToString();
      if (n.type == OpType::kConv2d || n.type == OpType::kMaxPool ||
          n.type == OpType::kAveragePool) {
        layer.shape +=
            StrCat(" ", n.window.kernel_h, "x", n.window.kernel_w, "/", n.window.stride_h);
      }
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

void Session::ResetProfile() {
  std::fill(impl_->seconds.begin(), impl_->seconds.end(), 0.0);
  impl_->runs = 0;
}

MemoryReport Session::Memory() const {
  return {impl_->model->impl().file.file_size, impl_->plan->arena_bytes,
          impl_->plan->constant_bytes + impl_->plan->transformed_bytes};
}

const Model& Session::GetModel() const { return *impl_->model; }

const char* Session::Isa() const { return impl_->table->name; }

}  // namespace octet
