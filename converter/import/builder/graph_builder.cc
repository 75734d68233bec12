// The one place where operators of all formats become those of the graph.
#include "converter/import/builder/graph_builder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "formats/base/macros.h"

namespace octet {
namespace {

/// Problems listed by name in one message.
constexpr size_t kMaxListed = 50;
/// Nodes named for one problem.
constexpr size_t kMaxNodes = 3;

bool AllEqual(std::span<const float> values, float v) {
  return std::all_of(values.begin(), values.end(), [v](float x) { return x == v; });
}

Status OtherOrder(const View& v, const Shape& shape) {
  return Unsupported(StrCat("its input ", DimsText(v.dims), " is the tensor ", shape.ToString(),
                            " in another order of elements"));
}

}  // namespace

Padding SamePadding(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, bool odd_in_front,
                    bool may_crop) {
  int64_t total = (CeilDiv(in, stride) - 1) * stride + (kernel - 1) * dilation + 1 - in;
  if (!may_crop) total = std::max<int64_t>(total, 0);
  // Division truncates, as ONNX Runtime's does where the total is negative.
  const int64_t front = (odd_in_front ? total + 1 : total) / 2;
  return {front, total - front};
}

void Problems::Add(const std::string& op, const std::string& node, const std::string& reason) {
  ++count_;
  auto same = std::find_if(list_.begin(), list_.end(),
                           [&](const Entry& e) { return e.op == op && e.reason == reason; });
  if (same == list_.end()) {
    if (list_.size() >= kMaxListed) return;
    same = list_.insert(same, {op, reason, {}});
  }
  same->nodes.push_back(node);
}

Status Problems::ToStatus() const {
  if (count_ == 0) return OkStatus();
  std::string text;
  size_t shown = 0;
  for (const Entry& e : list_) {
    text += StrCat(text.empty() ? "" : "; ", e.op);
    for (size_t i = 0; i < std::min(e.nodes.size(), kMaxNodes); ++i)
      text += StrCat(i > 0 ? ", '" : " '", e.nodes[i], "'");
    if (e.nodes.size() > kMaxNodes) text += StrCat(" and ", e.nodes.size() - kMaxNodes, " more");
    if (!e.reason.empty()) text += StrCat(" (", e.reason, ")");
    shown += e.nodes.size();
  }
  if (shown < count_) text += StrCat("; and ", count_ - shown, " more");
  return Unsupported(
      StrCat(count_, count_ == 1 ? " unsupported operator: " : " unsupported operators: ", text));
}

// ---- Names, constants, nodes ----

std::string GraphBuilder::UniqueName(const std::string& wanted) {
  return tensors_.Make(wanted.empty() ? "tensor" : wanted);
}

bool GraphBuilder::Rename(TensorId id, const std::string& name) {
  if (name.empty()) return false;
  if (graph_.tensor(id).name == name) return true;
  if (!tensors_.Take(name)) return false;
  graph_.tensor(id).name = name;
  return true;
}

Status GraphBuilder::AddOutput(TensorId id, const std::string& name) {
  const auto has = [id](const std::vector<TensorId>& ids) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  if (has(graph_.inputs)) return Unsupported("it is the input");
  if (has(graph_.outputs)) return OkStatus();
  graph_.outputs.push_back(id);
  Rename(id, name);
  return OkStatus();
}

Status GraphBuilder::Charge(int64_t bytes) {
  budget_ -= bytes;
  if (bytes >= 0 && budget_ >= 0) return OkStatus();
  budget_ = -1;  // For good: what comes now must not fit by chance.
  return Corrupt("the constants are many times larger than the file");
}

TensorId GraphBuilder::AddInput(const std::string& name, const ValueType& type,
                                const Shape& shape) {
  const TensorId id = graph_.AddActivation(UniqueName(name), type.dtype, shape);
  graph_.tensor(id).quantization = type.quantization;
  graph_.inputs.push_back(id);
  if (type.dtype == DType::kU8 && graph_.inputs.size() == 1) {
    Preprocessing& pre = graph_.metadata.preprocessing;
    pre.scale = type.quantization.scale;
    pre.mean.fill(pre.scale * static_cast<float>(type.quantization.zero_point));
  }
  return id;
}

Result<TensorId> GraphBuilder::Emit(OpType type, const Label& label, std::vector<TensorId> inputs,
                                    const ValueType& out,
                                    const std::function<void(Node*)>& configure,
                                    const Shape& reshape) {
  Node node;
  node.type = type;
  node.inputs = std::move(inputs);
  if (configure) configure(&node);
  const TensorId id = graph_.AddActivation(UniqueName(label.output), out.dtype, reshape);
  graph_.tensor(id).quantization = out.quantization;
  node.name = nodes_.Make(label.node.empty() ? graph_.tensor(id).name : label.node);
  node.output = id;
  OCTET_ASSIGN_OR_RETURN(const Shape shape, InferShape(graph_, node));
  const int64_t elements = shape.num_elements();
  if (elements < 1 || elements > kMaxElements)
    return Corrupt(StrCat("its result would have the shape ", shape.ToString()));
  graph_.tensor(id).shape = shape;
  if (type == OpType::kDequantize ||
      (type == OpType::kReshape && dequantized_.count(node.inputs[0]) > 0)) {
    dequantized_.insert(id);
  }
  graph_.nodes.push_back(std::move(node));
  return id;
}

// ---- Views ----

View GraphBuilder::Plain(TensorId id) const {
  const Shape& shape = ShapeOf(id);
  View v{id, {}, {}};
  for (int i = 0; i < shape.rank(); ++i) {
    v.dims.push_back(shape[i]);
    v.perm.push_back(i);
  }
  return v;
}

View GraphBuilder::ChannelsFirst(TensorId id) const {
  const Shape& s = ShapeOf(id);
  return {id, {s[0], s[3], s[1], s[2]}, {0, 3, 1, 2}};
}

Result<TensorId> GraphBuilder::AsOrdered(const Label& label, const View& v, const Shape& shape,
                                         const std::vector<int>& perm) {
  if (!SameOrder(v, ShapeOf(v), {v.id, {}, perm}, shape)) {
    std::optional<TensorId> moved;
    if (ShapeOf(v).rank() == 2 && shape.num_elements() <= kMaxChannels) {
      OCTET_ASSIGN_OR_RETURN(
          moved, Reordered(label + "/reordered", v.id, SourceOrder({v.id, {}, perm}, shape)));
    }
    if (!moved) return OtherOrder(v, ShapeOf(v));
    return Emit(OpType::kReshape, label + "/reshape", {*moved}, TypeOf(*moved), {}, shape);
  }
  if (ShapeOf(v) == shape) return v.id;
  return Emit(OpType::kReshape, label + "/reshape", {v.id}, TypeOf(v.id), {}, shape);
}

Result<std::optional<TensorId>> GraphBuilder::Reordered(const Label& label, TensorId x,
                                                        const std::vector<int32_t>& order,
                                                        int depth) {
  // Nodes are in the order of what they give.
  const auto found = std::lower_bound(graph_.nodes.begin(), graph_.nodes.end(), x,
                                      [](const Node& n, TensorId id) { return n.output < id; });
  if (found == graph_.nodes.end() || found->output != x || depth > 8)
    return std::optional<TensorId>();
  const Node node = *found;
  const auto moved = [&](TensorId id) -> Result<TensorId> {
    const Tensor constant = graph_.tensor(id);
    const std::span<const float> from = constant.values<float>();
    const size_t row = from.size() / order.size();
    std::vector<float> to;
    for (int32_t i : order) {
      const auto begin = from.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(i) * row);
      to.insert(to.end(), begin, begin + static_cast<std::ptrdiff_t>(row));
    }
    return AddFloats(constant.name, constant.shape, to);
  };
  std::vector<TensorId> inputs = node.inputs;
  switch (node.type) {
    case OpType::kDense:
      break;
    case OpType::kRelu:
    case OpType::kRelu6:
    case OpType::kClip:
    case OpType::kSigmoid:
    case OpType::kTanh:
    case OpType::kScaleShift: {
      OCTET_ASSIGN_OR_RETURN(const auto before, Reordered(label, inputs[0], order, depth + 1));
      if (!before) return std::optional<TensorId>();
      inputs[0] = *before;
      break;
    }
    default:
      return std::optional<TensorId>();
  }
  for (size_t i = 1; i < inputs.size(); ++i) {
    if (inputs[i] == kNoTensor) continue;
    if (graph_.tensor(inputs[i]).dtype != DType::kF32) return std::optional<TensorId>();
    OCTET_ASSIGN_OR_RETURN(inputs[i], moved(inputs[i]));
  }
  OCTET_ASSIGN_OR_RETURN(const TensorId y,
                         Emit(node.type, label, std::move(inputs), TypeOf(x), [&](Node* n) {
                           n->activation = node.activation;
                           n->clip_low = node.clip_low;
                           n->clip_high = node.clip_high;
                         }));
  return std::optional(y);
}

Result<TensorId> GraphBuilder::AsLinear(const Label& label, const View& v, const Shape& shape) {
  std::vector<int> perm(static_cast<size_t>(shape.rank()));
  std::iota(perm.begin(), perm.end(), 0);
  return AsOrdered(label, v, shape, perm);
}

Result<TensorId> GraphBuilder::AsImage(const Label& label, const View& v, bool channels_last) {
  if (v.dims.size() != 4 || v.dims[0] != 1) {
    return Unsupported(
        StrCat("its input has shape ", DimsText(v.dims), ", expected ",
               channels_last ? "[1,height,width,channels]" : "[1,channels,height,width]"));
  }
  if (channels_last) return AsLinear(label, v, Shape{1, v.dims[1], v.dims[2], v.dims[3]});
  return AsOrdered(label, v, Shape{1, v.dims[2], v.dims[3], v.dims[1]}, {0, 3, 1, 2});
}

Result<View> GraphBuilder::AsAligned(const Label& label, const View& v) {
  OCTET_ASSIGN_OR_RETURN(std::vector<View> one, AsAlike(label, {v}));
  return std::move(one[0]);
}

Result<std::vector<View>> GraphBuilder::AsAlike(const Label& label, std::vector<View> views) {
  const size_t rank = views.at(0).dims.size();
  const auto axes = [&](const View& v) {
    std::vector<int> found;
    for (size_t d = 0; d < rank; ++d) found.push_back(AxisOf(v, ShapeOf(v), d).value_or(-1));
    return found;
  };
  const std::vector<int> first = axes(views[0]);
  bool alike = std::count(first.begin(), first.end(), -1) == 0;
  for (const View& v : views) {  // [1, c] and [1, c, 1, 1] have the same axes too.
    alike = alike && axes(v) == first && ShapeOf(v).rank() == ShapeOf(views[0]).rank();
  }
  if (alike) return views;
  std::vector<std::vector<int>> orders;
  if (rank == 2) orders = {{0, 1}};
  if (rank == 4) orders = {{0, 3, 1, 2}, {0, 1, 2, 3}};
  for (const std::vector<int>& perm : orders) {
    std::vector<Shape> shapes;
    for (const View& v : views) {
      Shape shape = rank == 2 ? Shape{0, 0} : Shape{0, 0, 0, 0};
      for (size_t d = 0; d < rank; ++d) shape[perm[d]] = v.dims[d];
      if (shape[0] != 1 || !SameOrder(v, ShapeOf(v), {v.id, {}, perm}, shape)) break;
      shapes.push_back(shape);
    }
    if (shapes.size() != views.size()) continue;
    for (size_t i = 0; i < views.size(); ++i) {
      OCTET_ASSIGN_OR_RETURN(views[i].id, AsOrdered(label, views[i], shapes[i], perm));
      views[i].perm = perm;
    }
    return views;
  }
  if (!orders.empty() && views[0].dims[0] == 1) {
    if (views.size() == 1) return OtherOrder(views[0], ShapeOf(views[0]));
    return Unsupported("of activations in different orders of elements");
  }
  return Unsupported(
      StrCat("its input has shape ", DimsText(views[0].dims),
             ", expected [1,channels,height,width], [1,height,width,channels] or [1,features]"));
}

Result<View> GraphBuilder::AsPlain(const Label& label, const View& v) {
  const int64_t elements = Product(v.dims, 0, v.dims.size());
  if (v.dims.empty() || elements < 1 || elements > kMaxElements)
    return Corrupt(StrCat("a value of shape ", DimsText(v.dims)));
  const size_t rank = v.dims[0] == 1 ? v.dims.size() : 0;
  Shape shape{1, 1, elements / v.dims.back(), v.dims.back()};
  if (rank == 1 || rank == 2) shape = Shape{1, v.dims.back()};
  if (rank == 4) shape = Shape{1, v.dims[1], v.dims[2], v.dims[3]};
  OCTET_ASSIGN_OR_RETURN(const TensorId id, AsLinear(label, v, shape));
  View plain = Plain(id);
  plain.dims = v.dims;
  return plain;
}

Result<View> GraphBuilder::AsRows(const Label& label, const View& v) {
  const Shape& shape = ShapeOf(v);
  if (!v.dims.empty() && v.dims.back() == shape.back() && v.perm.back() == shape.rank() - 1 &&
      IsLinear(v, shape))
    return v;
  return AsPlain(label, v);
}

Status GraphBuilder::Align(const Label& label, std::vector<View>* views) {
  const auto fits = [&](const View& v) {
    bool aligned = v.perm == views->front().perm && v.dims.size() == v.perm.size();
    for (size_t d = 0; aligned && d < v.dims.size(); ++d)
      aligned = v.dims[d] == ShapeOf(v)[v.perm[d]];
    return aligned;
  };
  if (std::all_of(views->begin(), views->end(), fits)) return OkStatus();
  for (View& v : *views) {
    OCTET_ASSIGN_OR_RETURN(v, AsPlain(label, v));
  }
  return OkStatus();
}

Result<View> GraphBuilder::AddInputView(const std::string& name, const Dims& dims) {
  if (dims.size() < 2 || dims.size() > 4)
    return Unsupported(StrCat("its shape is ", DimsText(dims),
                              ", expected [n,height,width,channels], [n,height,width] or "
                              "[n,features]"));
  Shape shape{1};
  if (dims.size() == 3 && (dims[1] == 1 || dims[2] == 1)) {
    shape.push_back(dims[1] * dims[2]);
  } else {
    for (size_t d = 1; d < dims.size(); ++d) shape.push_back(dims[d]);
    if (dims.size() == 3) shape.push_back(1);
  }
  if (shape.num_elements() < 1 || shape.num_elements() > kMaxElements)
    return Corrupt(StrCat("its shape is ", DimsText(dims)));
  View v = Plain(AddInput(name, {}, shape));
  v.dims = dims;
  return v;
}

// ---- Lowerings ----

Result<TensorId> GraphBuilder::Fit(const Label& label, TensorId x, const WideWindow& wide,
                                   float fill, bool pads_are_values, Window* window) {
  std::array<int64_t, 4> pad_front{}, pad_behind{};
  std::vector<Range> crop;
  const Shape shape = ShapeOf(x);
  if (shape.rank() != 4)
    return Unsupported(StrCat("its input has shape ", shape.ToString(), ", expected an image"));
  for (int i = 0; i < 4; ++i) crop.push_back({0, 1, shape[i]});
  int fitted[2][5];
  bool pads = false, crops = false;
  for (int d = 0; d < 2; ++d) {
    const int64_t kernel = wide.kernel[d], stride = wide.stride[d], dilation = wide.dilation[d];
    for (int64_t v : {kernel, stride, dilation}) {
      if (v < 1 || v > kMaxWindow)
        return Unsupported(
            StrCat("its kernel, stride or dilation is ", v, ", expected 1 to ", kMaxWindow));
    }
    Padding p = wide.padding[d];
    if (p.front > (1 << 20) || p.behind > (1 << 20))
      return Unsupported(StrCat("its padding is ", std::max(p.front, p.behind)));
    Range& range = crop[static_cast<size_t>(d) + 1];
    if (p.front < 0 || p.behind < 0) {
      range.begin = std::max<int64_t>(-p.front, 0);
      range.count -= range.begin + std::max<int64_t>(-p.behind, 0);
      if (range.count < 1) return Corrupt("its negative padding leaves nothing");
      p = {std::max<int64_t>(p.front, 0), std::max<int64_t>(p.behind, 0)};
      crops = true;
    }
    // What lies beyond the window, or would be counted otherwise, is an operator of its own.
    const int64_t most = kernel * dilation - 1;
    if (p.front > most || p.behind > most) pads = true;
    pad_front[static_cast<size_t>(d) + 1] = p.front;
    pad_behind[static_cast<size_t>(d) + 1] = p.behind;
    fitted[d][0] = static_cast<int>(kernel);
    fitted[d][1] = static_cast<int>(stride);
    fitted[d][2] = static_cast<int>(dilation);
    fitted[d][3] = static_cast<int>(p.front);
    fitted[d][4] = static_cast<int>(p.behind);
  }
  if (crops) {
    OCTET_ASSIGN_OR_RETURN(x, Slice(label + "/crop", x, crop));
  }
  if (pads) {
    if (!pads_are_values) return Unsupported("its padding is larger than its window");
    OCTET_ASSIGN_OR_RETURN(x, Pad(label + "/pad", x, pad_front, pad_behind, fill));
    for (auto& f : fitted) f[3] = f[4] = 0;
  }
  *window = Window{fitted[0][0], fitted[1][0], fitted[0][1], fitted[1][1], fitted[0][2],
                   fitted[1][2], fitted[0][3], fitted[1][3], fitted[0][4], fitted[1][4]};
  return x;
}

Result<bool> GraphBuilder::AddCodes(const Label& label, const LayerWeights& w, int64_t groups,
                                    Window* window, std::vector<TensorId>* inputs) {
  if (w.steps.empty() || w.values.empty()) return false;
  const size_t outputs = static_cast<size_t>(w.shape[0]), row = w.values.size() / outputs;
  std::vector<float> steps = w.steps;
  if (steps.size() == 1) steps.assign(outputs, steps[0]);
  if (steps.size() != outputs) return false;
  std::vector<int16_t> wide(w.values.size());
  int low = 0, high = 0;
  for (size_t i = 0; i < wide.size(); ++i) {
    const double step = steps[i / row], code = std::nearbyint(w.values[i] / step);
    // The product of code and step was rounded once or twice.
    if (!(std::fabs(code) <= 255.0) ||
        !(std::fabs(w.values[i] - code * step) <= 0x1p-20 * std::fabs(w.values[i])))
      return false;
    wide[i] = static_cast<int16_t>(code);
    low = std::min<int>(low, wide[i]), high = std::max<int>(high, wide[i]);
  }
  Shape shape = w.shape;
  std::vector<int8_t> codes(wide.begin(), wide.end());
  if (low < -128 || high > 127) {
    // Of uint8 with a zero point: nine bits, as the sum of two times eight over the input twice.
    const TensorId x = (*inputs)[kInputX];
    const bool codes_in = TypeOf(x).dtype == DType::kU8;
    if (low < -254 || high > 254 || (!codes_in && (groups > 1 || dequantized_.count(x) == 0)) ||
        (groups > 1 && window->kernel_h > 1 && window->dilation_h > 1))
      return false;
    // Groups keep their channels: they get every row twice, one behind the other.
    const int axis = groups > 1 ? 1 : shape.rank() - 1;
    const size_t block = static_cast<size_t>(groups > 1 ? shape[2] * shape[3] : shape[axis]);
    shape[axis] *= 2;
    codes.assign(2 * wide.size(), 0);
    for (size_t i = 0; i < wide.size(); ++i) {
      const size_t at = i / block * 2 * block + i % block;
      codes[at] = static_cast<int8_t>(wide[i] / 2);
      codes[at + block] = static_cast<int8_t>(wide[i] - wide[i] / 2);
    }
    const Shape in = ShapeOf(x);
    OCTET_ASSIGN_OR_RETURN(TensorId doubled,
                           Emit(OpType::kConcat, label + "/twice", {x, x}, TypeOf(x),
                                [&](Node* n) { n->axis = groups > 1 ? 2 : in.rank() - 1; }));
    if (groups > 1) {
      OCTET_ASSIGN_OR_RETURN(doubled, Emit(OpType::kReshape, label + "/rows", {doubled}, TypeOf(x),
                                           {}, Shape{1, 2 * in[1], in[2], in[3]}));
      window->dilation_h = 1;
      for (int* v : {&window->kernel_h, &window->stride_h, &window->pad_top, &window->pad_bottom})
        *v *= 2;
    }
    (*inputs)[kInputX] = doubled;
  }
  const std::string name = w.name.empty() ? label.output + ".weight" : w.name;
  OCTET_ASSIGN_OR_RETURN((*inputs)[kInputWeights],
                         AddConstant<int8_t>(name, DType::kI8, shape, codes));
  OCTET_ASSIGN_OR_RETURN((*inputs)[kInputScales],
                         AddFloats(name + ".scale", Shape{w.shape[0]}, steps));
  return true;
}

Status GraphBuilder::AddWeights(const Label& label, const LayerWeights& w, int64_t groups,
                                Window* window, std::vector<TensorId>* inputs) {
  const std::string name = w.name.empty() ? label.output + ".weight" : w.name,
                    bias_name = w.bias_name.empty() ? label.output + ".bias" : w.bias_name;
  const Shape channels{w.shape[0]};
  inputs->resize(kInputScales + 1, kNoTensor);
  OCTET_ASSIGN_OR_RETURN(const bool codes, AddCodes(label, w, groups, window, inputs));
  if (!codes) {
    if (IsCodes(TypeOf((*inputs)[kInputX]).dtype))
      return Unsupported("its weights do not fit 8 bits, and its input is quantized");
    OCTET_ASSIGN_OR_RETURN((*inputs)[kInputWeights], AddFloats(name, w.shape, w.values));
  }
  if (!w.bias.empty()) {
    OCTET_ASSIGN_OR_RETURN((*inputs)[kInputBias], AddFloats(bias_name, channels, w.bias));
  } else if (!w.code_bias.empty() && TypeOf((*inputs)[kInputX]).dtype == DType::kI16) {
    OCTET_ASSIGN_OR_RETURN((*inputs)[kInputBias],
                           AddConstant<int64_t>(bias_name, DType::kI64, channels, w.code_bias));
  } else if (!w.code_bias.empty()) {
    const std::vector<int32_t> bias(w.code_bias.begin(), w.code_bias.end());
    OCTET_ASSIGN_OR_RETURN((*inputs)[kInputBias],
                           AddConstant<int32_t>(bias_name, DType::kI32, channels, bias));
  }
  while (inputs->back() == kNoTensor) inputs->pop_back();
  return OkStatus();
}

Result<TensorId> GraphBuilder::Conv(const Label& label, TensorId x, const LayerWeights& weights,
                                    const WideWindow& wide, int64_t groups) {
  if (groups < 1 || groups > kMaxChannels) return Corrupt(StrCat("it has ", groups, " groups"));
  Window window;
  OCTET_ASSIGN_OR_RETURN(x, Fit(label, x, wide, 0.0f, true, &window));
  std::vector<TensorId> inputs{x, kNoTensor};
  OCTET_RETURN_IF_ERROR(AddWeights(label, weights, groups, &window, &inputs));
  return Emit(OpType::kConv2d, label, std::move(inputs), weights.out, [&](Node* n) {
    n->activation = weights.activation;
    n->window = window;
    n->groups = static_cast<int>(groups);
  });
}

Result<TensorId> GraphBuilder::Pool(const Label& label, TensorId x, OpType type,
                                    const WideWindow& wide, bool count_include_pad) {
  const bool maximum = type == OpType::kMaxPool;
  Window window;
  OCTET_ASSIGN_OR_RETURN(
      x, Fit(label, x, wide, maximum ? -std::numeric_limits<float>::infinity() : 0.0f,
             maximum || count_include_pad, &window));
  if (window.dilation_h != 1 || window.dilation_w != 1) return Unsupported("its window is dilated");
  return Emit(type, label, {x}, TypeOf(x), [&](Node* n) {
    n->window = window;
    n->count_include_pad = !maximum && count_include_pad;
  });
}

Result<TensorId> GraphBuilder::GlobalPool(const Label& label, TensorId x, bool mean) {
  if (mean) return Emit(OpType::kGlobalAveragePool, label, {x}, TypeOf(x));
  WideWindow window;
  window.kernel[0] = ShapeOf(x)[1];
  window.kernel[1] = ShapeOf(x)[2];
  return Pool(label, x, OpType::kMaxPool, window);
}

Result<TensorId> GraphBuilder::Dense(const Label& label, const View& x, LayerWeights weights) {
  const Shape shape = ShapeOf(x);
  const int64_t in = weights.shape[1], out = weights.shape[0];
  if (in < 1 || out < 1 || shape.num_elements() != in) {
    return Corrupt(
        StrCat("its weights take ", in, " features, its input has ", shape.num_elements()));
  }
  TensorId input = x.id;
  if (!IsLinear(x, shape)) {
    // The source counts the features in its own order; the rows of the weights follow the memory.
    const std::vector<int32_t> order = SourceOrder(x, shape);
    std::vector<float> row(static_cast<size_t>(in));
    for (int64_t o = 0; o < out; ++o) {
      float* const values = weights.values.data() + o * in;
      for (int64_t i = 0; i < in; ++i)
        row[static_cast<size_t>(i)] = values[order[static_cast<size_t>(i)]];
      std::copy(row.begin(), row.end(), values);
    }
  }
  if (!(shape == Shape{1, in})) {
    OCTET_ASSIGN_OR_RETURN(
        input, Emit(OpType::kReshape, label + "/flatten", {x.id}, TypeOf(x.id), {}, Shape{1, in}));
  }
  std::vector<TensorId> inputs{input, kNoTensor};
  OCTET_RETURN_IF_ERROR(AddWeights(label, weights, 1, nullptr, &inputs));
  return Emit(OpType::kDense, label, std::move(inputs), weights.out,
              [&](Node* n) { n->activation = weights.activation; });
}

Result<TensorId> GraphBuilder::PixelDense(const Label& label, TensorId x, LayerWeights weights) {
  weights.shape = Shape{weights.shape[0], 1, 1, weights.shape[1]};
  if (weights.shape[3] != ShapeOf(x).back()) {
    return Corrupt(StrCat("its weights take ", weights.shape[3], " features, its input has ",
                          ShapeOf(x).back()));
  }
  return Conv(label, x, weights, {}, 1);
}

Result<View> GraphBuilder::LastDense(const Label& label, const View& x, LayerWeights weights) {
  const Shape shape = ShapeOf(x);
  const size_t rank = x.dims.size();
  const int64_t in = weights.shape[1];
  if (rank == 0 || x.dims[rank - 1] != in) {
    return Corrupt(StrCat("its weights take ", in, " features, its input is ", DimsText(x.dims)));
  }
  View y = x;
  y.dims.back() = weights.shape[0];
  const int64_t rows = Product(x.dims, 0, rank - 1);
  if (rows == 1) {
    y.perm = {0, 1};
    OCTET_ASSIGN_OR_RETURN(y.id, Dense(label, x, std::move(weights)));
    return y;
  }
  if (shape.rank() != 4 || AxisOf(x, shape, rank - 1) != 3) {
    if (!IsLinear(x, shape)) {
      return Unsupported(StrCat("its input ", DimsText(x.dims), " is the tensor ", shape.ToString(),
                                ", whose channels are not the input's last dimension"));
    }
    OCTET_ASSIGN_OR_RETURN(y.id, AsLinear(label, x, Shape{1, 1, rows, in}));
    y.perm = {0, 1, 2, 3};
  }
  OCTET_ASSIGN_OR_RETURN(y.id, PixelDense(label, y.id, std::move(weights)));
  return y;
}

Result<std::vector<float>> GraphBuilder::Spread(const View& x, const Dims& dims,
                                                std::span<const float> values) const {
  const Shape& shape = ShapeOf(x);
  const size_t rank = x.dims.size(), missing = rank - std::min(rank, dims.size());
  bool fits = dims.size() <= rank;
  std::optional<size_t> varies;  // The one dimension along which the values differ.
  std::vector<int64_t> stride(rank, 0);
  int64_t step = 1;
  for (size_t i = rank; fits && i-- > missing;) {
    const int64_t d = dims[i - missing];
    if (d == 1) continue;
    fits = d == x.dims[i];
    varies = step == 1 ? i : rank;
    stride[i] = step;
    step *= d;
  }
  if (!fits || step != static_cast<int64_t>(values.size())) {
    return Unsupported(
        StrCat("its constant operand ", DimsText(dims), " does not fit ", DimsText(x.dims)));
  }
  if (!varies ||
      (*varies < rank && AxisOf(x, shape, *varies) == shape.rank() - 1 && step == shape.back())) {
    return std::vector<float>(values.begin(), values.end());
  }
  if (shape.num_elements() > kMaxChannels)
    return Unsupported(StrCat("its constant operand ", DimsText(dims), " differs from pixel to ",
                              "pixel, and its input has more than ", kMaxChannels, " elements"));
  std::vector<float> spread;
  for (int64_t index : SourceOrder(x, shape)) {
    int64_t from = 0;
    for (size_t i = rank; i-- > 0;) {
      from += index % x.dims[i] * stride[i];
      index /= x.dims[i];
    }
    spread.push_back(values[static_cast<size_t>(from)]);
  }
  return spread;
}

Result<TensorId> GraphBuilder::ScaleShift(const Label& label, TensorId x, std::vector<float> scale,
                                          std::vector<float> shift, const ValueType& out,
                                          Activation activation, float unit) {
  const Shape shape = ShapeOf(x);
  const int64_t channels = shape.back();
  const size_t n = std::max({static_cast<size_t>(channels), scale.size(), shift.size()});
  if (static_cast<int64_t>(n) > kMaxChannels)
    return Unsupported(StrCat("its input has ", n, " channels"));
  for (std::vector<float>* v : {&scale, &shift}) {
    const size_t period = v->size();
    if (period != 1 && period != n && period != static_cast<size_t>(channels))
      return Corrupt(StrCat("it has ", period, " values for ", shape.ToString()));
    v->resize(n);
    for (size_t i = period; i < n; ++i) (*v)[i] = (*v)[i - period];
  }
  if (out == TypeOf(x) && activation == Activation::kNone && AllEqual(scale, 1.0f) &&
      AllEqual(shift, 0.0f)) {
    return x;
  }
  // A value for each element is one for each channel of a vector.
  const bool elements = n != static_cast<size_t>(channels);
  const Shape vector{1, static_cast<int64_t>(n)};
  const Label inner = elements ? label + "/elements" : label;
  if (elements) {
    OCTET_ASSIGN_OR_RETURN(x,
                           Emit(OpType::kReshape, label + "/vector", {x}, TypeOf(x), {}, vector));
  }
  std::vector<TensorId> inputs{x, kNoTensor, kNoTensor};
  OCTET_ASSIGN_OR_RETURN(inputs[kInputScale],
                         AddFloats(label.output + ".scale", Shape{vector[1]}, scale));
  OCTET_ASSIGN_OR_RETURN(inputs[kInputShift],
                         AddFloats(label.output + ".shift", Shape{vector[1]}, shift));
  if (unit > 0.0f) {
    inputs.push_back(kNoTensor);
    OCTET_ASSIGN_OR_RETURN(inputs[kInputUnit],
                           AddFloats(label.output + ".unit", Shape{1}, std::array{unit}));
  }
  OCTET_ASSIGN_OR_RETURN(x, Emit(OpType::kScaleShift, inner, std::move(inputs), out,
                                 [&](Node* node) { node->activation = activation; }));
  if (!elements) return x;
  return Emit(OpType::kReshape, label, {x}, out, {}, shape);
}

Result<View> GraphBuilder::Softmax(const Label& label, const View& x, OpType type, size_t first,
                                   size_t last, const ValueType& out) {
  const Shape shape = ShapeOf(x);
  const auto groups = AxesOf(x, shape);
  std::vector<bool> over(static_cast<size_t>(shape.rank()), false);
  for (size_t d = first; groups && d < last; ++d) {
    for (int axis : (*groups)[d]) over[static_cast<size_t>(axis)] = true;
  }
  // The axes must be the last ones of the memory.
  int64_t size = 1;
  bool fits = groups.has_value(), inside = true;
  for (int axis = shape.rank(); axis-- > 0;) {
    if (shape[axis] == 1) continue;
    inside = inside && over[static_cast<size_t>(axis)];
    fits = fits && inside == over[static_cast<size_t>(axis)];
    if (inside) size *= shape[axis];
  }
  if (!fits) {
    return Unsupported(StrCat("over dimension ", first, " of ", DimsText(x.dims),
                              "; only over all elements or over the channels"));
  }
  View y = x;
  if (shape.back() == size) {
    OCTET_ASSIGN_OR_RETURN(y.id, Emit(type, label, {x.id}, out));
    return y;
  }
  const int64_t rows = shape.num_elements() / size;
  const bool final = rows == 1 && IsLinear(x, shape);  // Needs no way back.
  OCTET_ASSIGN_OR_RETURN(y.id, Emit(OpType::kReshape, label + "/reshape", {x.id}, TypeOf(x.id), {},
                                    rows == 1 ? Shape{1, size} : Shape{1, 1, rows, size}));
  OCTET_ASSIGN_OR_RETURN(y.id, Emit(type, final ? label : label + "/rows", {y.id}, out));
  if (final) {
    y.perm = {0, 1};
  } else {
    OCTET_ASSIGN_OR_RETURN(y.id, Emit(OpType::kReshape, label, {y.id}, out, {}, shape));
  }
  return y;
}

Result<std::pair<std::vector<double>, std::vector<double>>> GraphBuilder::FoldBatchNorm(
    int64_t channels, const BatchNormValues& v, double epsilon) {
  const size_t n = static_cast<size_t>(channels);
  const auto check = [&](const char* name, std::span<const float> values) {
    if (values.size() == n) return OkStatus();
    return Corrupt(
        StrCat("its ", name, " has ", values.size(), " values for ", channels, " channels"));
  };
  if (v.gamma) OCTET_RETURN_IF_ERROR(check("scale", *v.gamma));
  if (v.beta) OCTET_RETURN_IF_ERROR(check("offset", *v.beta));
  OCTET_RETURN_IF_ERROR(check("mean", v.mean));
  OCTET_RETURN_IF_ERROR(check("variance", v.variance));
  std::vector<double> scale(n), shift(n);
  for (size_t c = 0; c < n; ++c) {
    const double spread = static_cast<double>(v.variance[c]) + epsilon;
    if (!(spread > 0.0))
      return InvalidArgument(StrCat("its variance is ", v.variance[c], " at channel ", c));
    scale[c] = (v.gamma ? static_cast<double>((*v.gamma)[c]) : 1.0) / std::sqrt(spread);
    shift[c] = (v.beta ? static_cast<double>((*v.beta)[c]) : 0.0) - v.mean[c] * scale[c];
  }
  return std::pair(std::move(scale), std::move(shift));
}

Result<TensorId> GraphBuilder::BatchNorm(const Label& label, const View& x, size_t axis,
                                         const BatchNormValues& values, double epsilon) {
  OCTET_ASSIGN_OR_RETURN(const auto folded, FoldBatchNorm(x.dims[axis], values, epsilon));
  Dims dims(x.dims.size() - axis, 1);
  dims[0] = x.dims[axis];
  std::vector<float> scale(folded.first.begin(), folded.first.end()),
      shift(folded.second.begin(), folded.second.end());
  OCTET_ASSIGN_OR_RETURN(scale, Spread(x, dims, scale));
  OCTET_ASSIGN_OR_RETURN(shift, Spread(x, dims, shift));
  return ScaleShift(label, x.id, std::move(scale), std::move(shift));
}

Result<TensorId> GraphBuilder::Clip(const Label& label, TensorId x, float low, float high) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (!(low <= high) || low == kInfinity || high == -kInfinity) {
    return Unsupported(StrCat("it clips to ", low, "..", high));
  }
  // No float32 is beyond the largest ones.
  if (low <= std::numeric_limits<float>::lowest()) low = -kInfinity;
  if (high >= std::numeric_limits<float>::max()) high = kInfinity;
  const ValueType type = TypeOf(x);
  if (std::isinf(low) && std::isinf(high) && low < high) return x;
  if (low == 0.0f && std::isinf(high)) return Emit(OpType::kRelu, label, {x}, type);
  if (low == 0.0f && high == 6.0f) return Emit(OpType::kRelu6, label, {x}, type);
  return Emit(OpType::kClip, label, {x}, type, [&](Node* n) {
    n->clip_low = low;
    n->clip_high = high;
  });
}

Result<TensorId> GraphBuilder::Subtract(const Label& label, TensorId a, TensorId b) {
  OCTET_ASSIGN_OR_RETURN(const TensorId negative,
                         ScaleShift(label + ".negative", b, {-1.0f}, {0.0f}));
  return Emit(OpType::kAdd, label, {a, negative});
}

Result<TensorId> GraphBuilder::Pad(const Label& label, TensorId x,
                                   const std::array<int64_t, 4>& begin,
                                   const std::array<int64_t, 4>& end, float value) {
  if (std::isnan(value) || value > std::numeric_limits<float>::max())
    return Unsupported(StrCat("it pads with ", value));
  bool any = false;
  for (size_t i = 0; i < 4; ++i) {
    if (begin[i] < 0 || end[i] < 0)
      return Unsupported(StrCat("it pads by ", std::min(begin[i], end[i])));
    if (begin[i] > kMaxElements || end[i] > kMaxElements)
      return Corrupt(StrCat("it pads by ", std::max(begin[i], end[i])));
    any = any || begin[i] > 0 || end[i] > 0;
  }
  if (!any) return x;
  if (begin[0] != 0 || end[0] != 0) return Unsupported("it pads the batch");
  return Emit(OpType::kPad, label, {x}, TypeOf(x), [&](Node* n) {
    n->pad_value = std::max(value, kLowestPad);
    for (size_t i = 0; i < 4; ++i) {
      n->begin[i] = static_cast<int32_t>(begin[i]);
      n->end[i] = static_cast<int32_t>(end[i]);
    }
  });
}

Result<TensorId> GraphBuilder::Slice(const Label& label, TensorId x,
                                     const std::vector<Range>& ranges) {
  const Shape shape = ShapeOf(x);
  if (ranges.size() != static_cast<size_t>(shape.rank()))
    return Corrupt(StrCat("ranges of ", ranges.size(), " dimensions for ", shape.ToString()));
  bool whole = true, channels_backwards = false;
  for (int i = 0; i < shape.rank(); ++i) {
    const Range& r = ranges[static_cast<size_t>(i)];
    const int64_t last = r.begin + (r.count - 1) * r.step;
    if (r.count < 1) return Unsupported("its result is empty");
    if (r.begin < 0 || r.begin >= shape[i] || last < 0 || last >= shape[i])
      return Corrupt(StrCat("a range outside of ", shape.ToString()));
    if (r.step < 0 && r.count > 1) {
      channels_backwards = i == shape.rank() - 1 && r.step == -1 && r.count == shape[i];
      if (!channels_backwards)
        return Unsupported("its step is negative; only channels can be reversed");
    }
    whole = whole && r.count == shape[i];
  }
  if (channels_backwards) {
    if (!whole) return Unsupported("it reverses the channels of a part");
    return ReverseChannels(label, x);
  }
  if (whole) return x;
  return Emit(OpType::kSlice, label, {x}, TypeOf(x), [&](Node* n) {
    for (size_t i = 0; i < ranges.size(); ++i) {
      n->begin[i] = static_cast<int32_t>(ranges[i].begin);
      n->step[i] = static_cast<int32_t>(ranges[i].count > 1 ? ranges[i].step : 1);
      n->end[i] = static_cast<int32_t>(ranges[i].begin + (ranges[i].count - 1) * n->step[i] + 1);
    }
  });
}

Result<TensorId> GraphBuilder::ReverseChannels(const Label& label, TensorId x) {
  const Shape shape = ShapeOf(x);
  const int64_t n = shape.back();
  if (n > 64 || shape.rank() != 4)
    return Unsupported(StrCat("it reverses ", n, " channels of ", shape.ToString(),
                              "; up to 64 of an image are supported"));
  LayerWeights weights{Shape{n, n}, std::vector<float>(static_cast<size_t>(n * n), 0.0f), {}};
  for (int64_t c = 0; c < n; ++c) weights.values[static_cast<size_t>(c * n + n - 1 - c)] = 1.0f;
  weights.out = TypeOf(x);
  if (IsCodes(weights.out.dtype)) {
    weights.steps = {1.0f};
    weights.code_bias.assign(static_cast<size_t>(n), -weights.out.quantization.zero_point);
  }
  return PixelDense(label, x, std::move(weights));
}

}  // namespace octet
