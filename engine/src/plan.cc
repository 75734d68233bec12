// The planner's two phases in order (planner.h). Layouts come first, for the whole graph: what
// padding surrounds a tensor and whether it is tight depends on all that read it. Then each node
// adds its operators, a graph input is copied in before the first node that needs it in memory, and
// outputs are copied out at the end. Push refuses an operator that would touch a byte outside of
// its buffers, and notes who uses a buffer; from these lifetimes PlaceBuffers and Plan::Place make
// memory and pointers.
#include "engine/src/plan.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "engine/src/planner.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/analysis.h"
#include "formats/model/operators.h"

namespace octet {
namespace {

/// The byte that stands for 0, of int16 the high one; floats have no quantization and so 0 as their
/// zero point.
uint8_t PaddingOf(const Tensor& t) {
  return t.dtype == DType::kI16 ? 128 : static_cast<uint8_t>(t.quantization.zero_point);
}

/// Arguments are pointers of many types, which memcpy may set without breaking the aliasing rules.
void SetPointer(void* pointer, const void* value) { std::memcpy(pointer, &value, sizeof(value)); }

}  // namespace

void Plan::Place(uint8_t* arena_memory) {
  if (memory == arena_memory) return;
  memory = arena_memory;
  for (const std::unique_ptr<Op>& op : ops) {
    for (const Slot& slot : op->slots)
      SetPointer(slot.pointer, memory + buffers[slot.buffer].offset + slot.at);
  }
  for (Placement& p : placements) {
    if (p.buffer < 0 || buffers[p.buffer].first_op < 0) continue;
    p.view.data = memory + buffers[p.buffer].offset + p.geometry.first_pixel();
  }
}

void Plan::Bind(const RunIo& io) {
  for (const std::unique_ptr<Op>& op : ops) {
    op->SetBatch(io.batch);
    for (const ExternalSlot& slot : op->external_slots) {
      SetPointer(slot.pointer, slot.output ? io.outputs[slot.index] : io.inputs[slot.index]);
    }
  }
}

Result<std::unique_ptr<Plan>> Planner::Build() {
  plan_->placements.resize(graph_.tensors.size());
  input_index_.assign(graph_.tensors.size(), -1);
  for (size_t i = 0; i < graph_.inputs.size(); ++i)
    input_index_[graph_.inputs[i]] = static_cast<int>(i);
  uses_.resize(graph_.tensors.size());
  padding_.assign(graph_.tensors.size(), nullptr);
  for (const Node& n : graph_.nodes) {
    if (n.type == OpType::kConv2d && n.input(kInputPadding) != kNoTensor)
      padding_[n.inputs[kInputX]] = tensor(n.inputs[kInputPadding]).values<uint8_t>().data();
    for (const TensorId id : n.inputs) {
      if (id == kNoTensor) continue;
      ++uses_[id].all;
      uses_[id].quantized += n.type == OpType::kQuantize;
    }
  }
  for (const TensorId id : graph_.outputs) ++uses_[id].all;
  non_negative_ = FindNonNegative(graph_);
  ChooseWinograd();
  OCTET_RETURN_IF_ERROR(DecideLayouts());
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    node_ = static_cast<int>(i);
    OCTET_RETURN_IF_ERROR(AddNode(graph_.nodes[i]));
  }
  node_ = Op::kCopyOut;
  for (size_t i = 0; i < graph_.outputs.size(); ++i)
    OCTET_RETURN_IF_ERROR(AddOutput(static_cast<int>(i)));
  OCTET_RETURN_IF_ERROR(PlaceBuffers());
  return std::move(plan_);
}

// ---- Layouts ----

Status Planner::DecideLayouts() {
  struct Use {
    int readers = 0, row_readers = 0;
    bool whole_panels = false;  ///< Its producer writes behind a tight pixel.
    Halo halo;
  };
  std::vector<Use> uses(graph_.tensors.size());
  const auto is_row = [&](const Node& n) {
    return n.type == OpType::kConv2d && tensor(n.inputs[kInputWeights]).layout == Layout::kPanelRow;
  };
  for (const Node& n : graph_.nodes) {
    for (const TensorId id : n.inputs) {
      if (id != kNoTensor) ++uses[id].readers;
    }
    if (is_row(n)) ++uses[n.inputs[kInputX]].row_readers;
    uses[n.output].whole_panels = TraitsOf(n.type).has_weights;
  }
  for (const TensorId id : graph_.outputs) ++uses[id].readers;
  // A tensor that others read too gets a private tight copy for the row convolution (ChooseSource).
  const auto tight = [&](TensorId id) {
    const Use& use = uses[id];
    return use.row_readers > 0 && use.row_readers == use.readers && !use.whole_panels;
  };
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const Node& n = graph_.nodes[i];
    if (n.type != OpType::kConv2d || !ReadsInPlace(n)) continue;
    const TensorId x = n.inputs[kInputX];
    if (!is_row(n) || tight(x)) uses[x].halo.Cover(HaloWindow(static_cast<int>(i)));
  }
  for (size_t i = 0; i < graph_.tensors.size(); ++i) {
    const TensorId id = static_cast<TensorId>(i);
    if (tensor(id).is_constant()) continue;
    Placement& p = plan_->placements[i];
    OCTET_ASSIGN_OR_RETURN(p.geometry, MakeGeometry(tensor(id), tight(id), uses[i].halo));
    OCTET_ASSIGN_OR_RETURN(p.buffer, NewBuffer(p.geometry));
  }
  return OkStatus();
}

// ---- Memory ----

Result<int> Planner::NewBuffer(int64_t bytes) {
  if (bytes > kMaxBufferBytes) {
    return InvalidArgument(
        StrCat("max_batch ", options_.max_batch, " needs more than 1 TiB for one tensor"));
  }
  plan_->buffers.push_back({.bytes = bytes + kArenaSlack});
  return static_cast<int>(plan_->buffers.size()) - 1;
}

Result<int> Planner::NewBuffer(const Geometry& g) {
  int64_t bytes = 0;
  if (!CheckedMul(g.image_stride, options_.max_batch, &bytes)) bytes = kMaxBufferBytes + 1;
  return NewBuffer(bytes);
}

Status Planner::Charge(int64_t bytes) {
  if (bytes <= options_.max_memory - memory_) {
    memory_ += bytes;
    return OkStatus();
  }
  return OutOfMemory(StrCat("a session needs ", memory_ + bytes,
                            " bytes or more for activations and constants, max_memory is ",
                            options_.max_memory));
}

Result<void*> Planner::ConstantBytes(int64_t count, size_t element_size) {
  const int64_t bytes =
      RoundUp(count * static_cast<int64_t>(element_size), kArenaAlignment) + kArenaAlignment;
  OCTET_RETURN_IF_ERROR(Charge(bytes));
  plan_->constants.push_back(std::make_unique<uint8_t[]>(static_cast<size_t>(bytes)));
  plan_->constant_bytes += bytes;
  const auto at = static_cast<int64_t>(reinterpret_cast<uintptr_t>(plan_->constants.back().get()));
  return static_cast<void*>(plan_->constants.back().get() + (RoundUp(at, kArenaAlignment) - at));
}

Status Planner::PlaceBuffers() {
  std::vector<Interval> intervals;
  std::vector<Buffer*> used;
  for (Buffer& b : plan_->buffers) {
    if (b.first_op < 0) continue;
    used.push_back(&b);
    intervals.push_back({b.first_op, b.last_op, b.bytes});
  }
  const ArenaLayout layout = PlaceInArena(intervals);
  for (size_t i = 0; i < used.size(); ++i) used[i]->offset = layout.offsets[i];
  OCTET_RETURN_IF_ERROR(Charge(layout.bytes));
  plan_->arena_bytes = layout.bytes;
  for (Placement& p : plan_->placements) {
    if (p.buffer >= 0) p.view = p.geometry.view();
  }
  if (options_.without_arena) return OkStatus();
  OCTET_ASSIGN_OR_RETURN(plan_->arena, ArenaMemory::Allocate(layout.bytes));
  plan_->Place(plan_->arena->data());
  return OkStatus();
}

// ---- What operators touch ----

std::string Planner::NodeName() const {
  if (node_ < 0) return node_ == Op::kCopyIn ? "copy of an input" : "copy of an output";
  const std::string& name = graph_.nodes[node_].name;
  return name.empty() ? StrCat("node number ", node_) : StrCat("node ", name);
}

void Planner::ReadTensor(Op* op, const char* name, TensorId id, int64_t pixel_bytes,
                         void* argument) {
  const Placement& p = plan_->placements[id];
  op->slots.push_back({name, argument, p.buffer, p.geometry.first_pixel(),
                       ReachOfView(p.geometry.view(), options_.max_batch, pixel_bytes), false});
}

void Planner::WriteTensor(Op* op, const char* name, TensorId id, int64_t pixel_bytes,
                          void* argument) {
  ReadTensor(op, name, id, pixel_bytes, argument);
  op->slots.back().written = true;
}

void Planner::ReadView(Op* op, const char* name, TensorId id, int64_t channels,
                       kernels::ActivationView* view) {
  *view = geometry(id).view();
  ReadTensor(op, name, id, channels * geometry(id).element_size, &view->data);
}

void Planner::WriteView(Op* op, const char* name, TensorId id, int64_t channels,
                        kernels::ActivationView* view) {
  WriteView(op, name, plan_->placements[id].buffer, geometry(id), channels, view);
}

void Planner::WriteView(Op* op, const char* name, int buffer, const Geometry& g, int64_t channels,
                        kernels::ActivationView* view) {
  *view = g.view();
  op->slots.push_back({name, &view->data, buffer, g.first_pixel(),
                       ReachOfView(*view, options_.max_batch, channels * g.element_size), true});
}

void Planner::UseWhole(Op* op, const char* name, int buffer, int64_t bytes, bool written,
                       void* argument) {
  op->slots.push_back({name, argument, buffer, 0, Reach(bytes), written});
}

void Planner::FillHalo(Op* op, TensorId output) {
  FillHalo(op, plan_->placements[output].buffer, geometry(output), output);
}

void Planner::FillHalo(Op* op, int buffer, const Geometry& g, TensorId id) {
  FillHalo(op, buffer, g, PaddingOf(tensor(id)), &op->halo);
  op->halo.codes = padding_[id];
}

void Planner::FillHalo(Op* op, int buffer, const Geometry& g, uint8_t value, HaloFill* halo) {
  if (g.halo.empty()) return;
  *halo = {g.view(), g.halo, value};
  op->slots.push_back({"padding", &halo->view.data, buffer, g.first_pixel(),
                       ReachOfHalo(g, options_.max_batch), true});
}

Status Planner::CheckReach(const Op& op, const char* argument, const Reach& reach, int64_t at,
                           int64_t bytes) const {
  if (reach.Inside(at, bytes)) return OkStatus();
  return InternalError(StrCat(NodeName(), ": ", op.kernel, ": ", argument, " reaches from ",
                              reach.begin(), " to ", reach.end(), " around byte ", at, " of ",
                              bytes));
}

Status Planner::Push(std::unique_ptr<Op> op) {
  const int index = static_cast<int>(plan_->ops.size());
  op->node = node_;
  for (const Slot& slot : op->slots) {
    Buffer& buffer = plan_->buffers[slot.buffer];
    OCTET_RETURN_IF_ERROR(CheckReach(*op, slot.argument, slot.reach, slot.at, buffer.bytes));
    if (buffer.first_op < 0) buffer.first_op = index;
    buffer.last_op = index;
  }
  plan_->ops.push_back(std::move(op));
  return OkStatus();
}

// ---- Inputs and outputs ----

kernels::ActivationView Planner::ExternalView(const Tensor& t) const {
  kernels::ActivationView v;
  v.c = static_cast<int>(t.shape.back());
  if (t.shape.rank() == 4) v.h = static_cast<int>(t.shape[1]), v.w = static_cast<int>(t.shape[2]);
  v.pixel_stride = v.c * static_cast<int64_t>(DTypeSize(t.dtype));
  v.row_stride = v.w * v.pixel_stride;
  v.image_stride = v.h * v.row_stride;
  return v;
}

Status Planner::UseExternal(Op* op, const Tensor& t, int index, bool output,
                            const kernels::ActivationView& view, void* argument) {
  op->external_slots.push_back({argument, index, output});
  const auto bytes = static_cast<int64_t>(DTypeSize(t.dtype)) * t.shape.num_elements();
  return CheckReach(*op, output ? "the caller's output" : "the caller's input",
                    ReachOfView(view, options_.max_batch, view.pixel_stride), 0,
                    bytes * options_.max_batch);
}

Status Planner::AddCopyTo(int buffer, const Geometry& to, TensorId id, int external) {
  const Tensor& t = tensor(id);
  if (external >= 0 && t.dtype == DType::kI16) {
    auto op = std::make_unique<Int16CopyOp>();
    op->kernel = "copy";
    op->input = ExternalView(t);
    OCTET_RETURN_IF_ERROR(UseExternal(op.get(), t, external, false, op->input, &op->input.data));
    WriteView(op.get(), "output", buffer, to, to.stored_channels(), &op->output);
    FillHalo(op.get(), buffer, to, PaddingOf(t), &op->halo);
    return Push(std::move(op));
  }
  auto op = std::make_unique<CopyOp>();
  op->kernel = "copy";
  op->element_size = to.element_size;
  op->h = to.h, op->w = to.w, op->c = to.c;
  if (external >= 0) {
    op->input = ExternalView(t);
    OCTET_RETURN_IF_ERROR(UseExternal(op.get(), t, external, false, op->input, &op->input.data));
  } else {
    ReadView(op.get(), "input", id, to.c, &op->input);
  }
  if (to.stored_channels() != to.c) op->clear_channels = to.stored_channels();
  WriteView(op.get(), "output", buffer, to, to.stored_channels(), &op->output);
  FillHalo(op.get(), buffer, to, id);
  return Push(std::move(op));
}

Status Planner::NeedsInMemory(TensorId id) {
  const int index = std::exchange(input_index_[id], -1);
  if (index < 0) return OkStatus();
  const int node = std::exchange(node_, Op::kCopyIn);
  OCTET_RETURN_IF_ERROR(AddCopyTo(plan_->placements[id].buffer, geometry(id), id, index));
  node_ = node;
  return OkStatus();
}

Status Planner::AddOutput(int index) {
  const TensorId id = graph_.outputs[index];
  if (tensor(id).dtype == DType::kI16) {
    auto op = std::make_unique<Int16CopyOp>();
    op->kernel = "copy";
    op->output = ExternalView(tensor(id));
    OCTET_RETURN_IF_ERROR(
        UseExternal(op.get(), tensor(id), index, true, op->output, &op->output.data));
    ReadView(op.get(), "input", id, op->output.c, &op->input);
    return Push(std::move(op));
  }
  auto op = std::make_unique<CopyOp>();
  op->kernel = "copy";
  op->output = ExternalView(tensor(id));
  op->element_size = geometry(id).element_size;
  op->h = op->output.h, op->w = op->output.w, op->c = op->output.c;
  OCTET_RETURN_IF_ERROR(
      UseExternal(op.get(), tensor(id), index, true, op->output, &op->output.data));
  ReadView(op.get(), "input", id, op->c, &op->input);
  return Push(std::move(op));
}

// ---- Operators ----

Status Planner::AddNode(const Node& n) {
  for (const TensorId id : n.inputs) {
    if (id != kNoTensor && !TraitsOf(n.type).reads_anywhere)
      OCTET_RETURN_IF_ERROR(NeedsInMemory(id));
  }
  switch (n.type) {
    case OpType::kConv2d:
    case OpType::kDense:
      return AddConv(n);
    case OpType::kMaxPool:
    case OpType::kAveragePool:
      return AddPool(n);
    case OpType::kGlobalAveragePool:
      return AddGlobalPool(n);
    case OpType::kAdd:
    case OpType::kMul:
      return AddBinary(n);
    case OpType::kScaleShift:
    case OpType::kRelu:
    case OpType::kRelu6:
    case OpType::kClip:
      return AddScaleShift(n);
    case OpType::kPad:
      return AddPad(n);
    case OpType::kSlice:
      return AddSlice(n);
    case OpType::kConcat:
      return AddConcat(n);
    case OpType::kReshape:
      return AddReshape(n);
    case OpType::kSoftmax:
      return IsCodes(tensor(n.output).dtype) ? AddTfliteSoftmax(n) : AddRow(n, table_.softmax);
    case OpType::kLogSoftmax:
      return AddRow(n, table_.log_softmax);
    case OpType::kSigmoid:
      return AddRow(n, table_.sigmoid);
    case OpType::kTanh:
      return AddRow(n, table_.tanh);
    case OpType::kQuantize:
    case OpType::kDequantize:
      return AddConversion(n);
  }
  return InternalError(StrCat(NodeName(), ": operator without a kernel"));
}

void Planner::ClampLimits(Activation activation, const Tensor& out, float* low, float* high) const {
  if (IsCodes(out.dtype)) {
    const float z = static_cast<float>(out.quantization.zero_point);
    *low = activation != Activation::kNone ? 0.0f
           : out.dtype == DType::kU8       ? -z
           : IsTflite()                    ? -32768.0f
                                           : -32767.0f;
    *high = static_cast<float>(CodesOf(out.dtype).high) - z;
    if (activation == Activation::kRelu6)
      *high = std::min(*high, std::nearbyint(6.0f / out.quantization.scale));
    return;
  }
  *low = activation == Activation::kNone ? -std::numeric_limits<float>::infinity() : 0.0f;
  *high = activation == Activation::kRelu6 ? 6.0f : std::numeric_limits<float>::infinity();
}

Result<std::unique_ptr<Plan>> BuildPlan(const Graph& graph, const PlanOptions& options) {
  return Planner(graph, options).Build();
}

}  // namespace octet
