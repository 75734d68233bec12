#include "tests/fuzz/graph_shrinker.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <set>
#include <utility>

#include "formats/base/dtype.h"
#include "formats/base/str_cat.h"
#include "formats/model/panel.h"

namespace octet::testing {
namespace {

bool IsConv(const Node& n) { return n.type == OpType::kConv2d || n.type == OpType::kDense; }

/// The first elements of every dimension.
TensorId SliceConstant(Graph* g, TensorId id, const Shape& shape) {
  const Tensor from = g->tensor(id);
  if (from.shape == shape) return id;
  const size_t size = DTypeSize(from.dtype);
  std::vector<std::byte> bytes(static_cast<size_t>(shape.num_elements()) * size);
  for (int64_t i = 0; i < shape.num_elements(); ++i) {
    int64_t rest = i, at = 0;
    std::array<int64_t, Shape::kMaxRank> index{};
    for (int d = shape.rank() - 1; d >= 0; --d) index[d] = rest % shape[d], rest /= shape[d];
    for (int d = 0; d < shape.rank(); ++d) at = at * from.shape[d] + index[d];
    std::memcpy(&bytes[static_cast<size_t>(i) * size], &from.data[static_cast<size_t>(at) * size],
                size);
  }
  return g->AddConstant(from.name, from.dtype, shape, bytes.data(), bytes.size());
}

/// Cuts weights and vectors of a convolution or dense layer to what its input has. False when they
/// are too small.
bool FitWeights(Graph* g, Node* n) {
  const Shape x = g->tensor(n->inputs[kInputX]).shape;
  Shape w = g->tensor(n->inputs[kInputWeights]).shape;
  if (x.rank() != w.rank()) return false;
  const Shape old = w;
  const bool depthwise = n->groups > 1 && w.rank() == 4 && w[3] == 1 && w[0] == n->groups;
  if (depthwise) {
    n->groups = static_cast<int>(x[3]);
    w[0] = x[3];
  } else if (n->groups == 1) {
    w[w.rank() - 1] = x.back();
  }
  if (w.rank() == 4) w[1] = n->window.kernel_h, w[2] = n->window.kernel_w;
  for (int d = 0; d < w.rank(); ++d) {
    if (w[d] > old[d]) return false;
  }
  n->inputs[kInputWeights] = SliceConstant(g, n->inputs[kInputWeights], w);
  for (int slot : {kInputBias, kInputScales}) {
    const TensorId id = n->input(slot);
    if (id == kNoTensor) continue;
    if (g->tensor(id).shape[0] < w[0]) return false;
    n->inputs[slot] = SliceConstant(g, id, Shape{w[0]});
  }
  if (n->input(kInputPadding) != kNoTensor)
    n->inputs[kInputPadding] = SliceConstant(g, n->inputs[kInputPadding], Shape{x.back()});
  return true;
}

/// A shape as like `shape` as one of `elements` can be.
Shape Reshaped(const Shape& shape, int64_t elements) {
  if (shape.num_elements() == elements) return shape;
  if (shape.rank() == 2) return {1, elements};
  int64_t c = std::min(shape[3], elements), h = std::min(shape[1], elements);
  while (elements % c != 0) --c;
  h = std::min(h, elements / c);
  while (elements / c % h != 0) --h;
  return {1, h, elements / c / h, c};
}

/// Makes everything behind a change fit again: weights, ranges, shapes. False when that cannot be.
bool Adapt(Graph* g) {
  for (Node& n : g->nodes) {
    const Shape x = g->tensor(n.inputs[0]).shape;
    if (IsConv(n) && !FitWeights(g, &n)) return false;
    if (n.type == OpType::kScaleShift) {
      for (int slot : {kInputScale, kInputShift}) {
        if (g->tensor(n.inputs[slot]).shape[0] < x.back()) return false;
        n.inputs[slot] = SliceConstant(g, n.inputs[slot], Shape{x.back()});
      }
    }
    for (int d = 1; n.type == OpType::kSlice && d < x.rank(); ++d) {
      n.end[d] = static_cast<int32_t>(std::min<int64_t>(n.end[d], x[d]));
      n.begin[d] = std::min(n.begin[d], n.end[d] - 1);
    }
    if (n.type == OpType::kReshape) {
      Shape& shape = g->tensor(n.output).shape;
      shape = Reshaped(shape, x.num_elements());
    }
    const Result<Shape> shape = InferShape(*g, n);
    if (!shape.ok()) return false;
    g->tensor(n.output).shape = *shape;
    const TensorId residual = IsConv(n) ? n.input(kInputResidual) : kNoTensor;
    if (residual != kNoTensor && !(g->tensor(residual).shape == *shape)) {
      n.inputs[kInputResidual] = kNoTensor;
    }
  }
  return true;
}

/// Removes nodes that no output needs, then tensors that nothing needs; the rest is numbered anew.
void RemoveUnused(Graph* g, bool nodes_too) {
  std::vector<bool> needed(g->tensors.size(), false);
  for (TensorId id : g->outputs) needed[static_cast<size_t>(id)] = true;
  std::vector<Node> kept;
  for (size_t i = g->nodes.size(); i-- > 0;) {
    Node& n = g->nodes[i];
    if (nodes_too && !needed[static_cast<size_t>(n.output)]) continue;
    needed[static_cast<size_t>(n.output)] = true;
    for (TensorId id : n.inputs) {
      if (id != kNoTensor) needed[static_cast<size_t>(id)] = true;
    }
    kept.insert(kept.begin(), std::move(n));
  }
  g->nodes = std::move(kept);
  if (nodes_too) {
    std::vector<TensorId> inputs;
    for (TensorId id : g->inputs) {
      if (needed[static_cast<size_t>(id)]) inputs.push_back(id);
    }
    if (!inputs.empty()) g->inputs = inputs;
  }
  for (TensorId id : g->inputs) needed[static_cast<size_t>(id)] = true;
  std::vector<TensorId> moved(g->tensors.size(), kNoTensor);
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < g->tensors.size(); ++i) {
    if (!needed[i]) continue;
    moved[i] = static_cast<TensorId>(tensors.size());
    tensors.push_back(g->tensors[i]);
    tensors.back().name = (tensors.back().is_constant() ? "c" : "t") + std::to_string(moved[i]);
  }
  g->tensors = std::move(tensors);
  const auto move = [&](std::vector<TensorId>* ids) {
    for (TensorId& id : *ids) {
      if (id != kNoTensor) id = moved[static_cast<size_t>(id)];
    }
  };
  move(&g->inputs);
  move(&g->outputs);
  for (size_t i = 0; i < g->nodes.size(); ++i) {
    Node& n = g->nodes[i];
    n.name = "n" + std::to_string(i);
    move(&n.inputs);
    n.output = moved[static_cast<size_t>(n.output)];
    while (!n.inputs.empty() && n.inputs.back() == kNoTensor) n.inputs.pop_back();
  }
}

/// Weights as their shape says, so that they can be cut.
void Unpack(Graph* g) {
  for (Tensor& t : g->tensors) {
    if (!t.is_constant() || t.layout == Layout::kPlain) continue;
    const Tensor packed = t;
    std::byte* data = nullptr;
    const auto bytes =
        static_cast<size_t>(ConstantBytes(packed.shape, packed.dtype, Layout::kPlain));
    t.owner = MakeAlignedBuffer(bytes, &data);
    t.data = {data, bytes};
    t.layout = Layout::kPlain;
    UnpackWeights(packed.data.data(), packed.shape, packed.dtype, packed.layout, data);
  }
}

/// What may be tried instead of a number above `least`: that, half of it, one less.
std::vector<int64_t> Smaller(int64_t value, int64_t least) {
  std::set<int64_t> values;
  if (value > least) values = {least, std::max(least, value / 2), value - 1};
  return {values.begin(), values.end()};
}

class Shrinker {
 public:
  Shrinker(GraphCase failing, const Fails& fails, int most_calls)
      : now_(std::move(failing)), fails_(fails), calls_left_(most_calls) {
    Unpack(&now_.graph);
  }

  GraphCase Run() {
    for (bool progress = true; progress && calls_left_ > 0;) {
      progress = false;
      for (bool (Shrinker::*pass)() : {&Shrinker::Modes, &Shrinker::Structure, &Shrinker::Operators,
                                       &Shrinker::Sizes, &Shrinker::Constants}) {
        progress |= (this->*pass)();
      }
    }
    return std::move(now_);
  }

 private:
  bool Try(GraphCase candidate, bool remove_nodes = true) {
    if (calls_left_ <= 0) return false;
    if (!Adapt(&candidate.graph)) return false;
    RemoveUnused(&candidate.graph, remove_nodes);
    if (candidate.graph.nodes.empty() || !ValidateGraph(candidate.graph).ok()) return false;
    --calls_left_;
    if (!fails_(candidate)) return false;
    now_ = std::move(candidate);
    return true;
  }

  /// Applies `edit` to a copy; it returns false where there is nothing to change.
  template <typename F>
  bool TryEdit(F edit, bool remove_nodes = true) {
    GraphCase candidate = now_;
    return edit(&candidate) && Try(std::move(candidate), remove_nodes);
  }
  /// The same for each number below `count()`, from the last to the first.
  template <typename Count, typename F>
  bool TryEach(Count count, F edit) {
    bool progress = false;
    for (size_t i = count(); i-- > 0;) {
      if (i >= count()) continue;  // Something was removed.
      progress |= TryEdit([&](GraphCase* c) { return edit(c, i); });
    }
    return progress;
  }
  size_t NumNodes() const { return now_.graph.nodes.size(); }

  bool Modes() {
    bool progress = false;
    for (size_t i = 0; now_.modes.size() > 1 && i < now_.modes.size(); ++i) {
      if (TryEdit([&](GraphCase* c) { return c->modes = {c->modes[i]}, true; })) progress = true;
    }
    const auto set = [&](auto member, auto value) {
      progress |= TryEdit([&](GraphCase* c) {
        bool changed = false;
        for (RunMode& m : c->modes) {
          changed |= m.*member > value;
          m.*member = std::min(m.*member, value);
          m.max_batch = std::max(m.max_batch, m.batch);
        }
        return changed;
      });
    };
    set(&RunMode::batch, 1);
    set(&RunMode::batch, 2);
    set(&RunMode::max_batch, 1);
    set(&RunMode::threads, 1);
    set(&RunMode::threads, 2);
    set(&RunMode::winograd, false);
    return progress;
  }

  bool Structure() {
    const size_t before = NumNodes();
    TryEdit([](GraphCase*) { return true; });  // Without what no output needs.
    bool progress = NumNodes() < before;
    // Only what an early tensor needs.
    for (size_t i = 0; i + 1 < NumNodes(); ++i) {
      if (TryEdit(
              [&](GraphCase* c) { return c->graph.outputs = {c->graph.nodes[i].output}, true; })) {
        progress = true;
      }
    }
    progress |= TryEach([&] { return now_.graph.outputs.size(); },
                        [](GraphCase* c, size_t i) {
                          std::vector<TensorId>& outputs = c->graph.outputs;
                          if (outputs.size() < 2) return false;
                          outputs.erase(outputs.begin() + static_cast<std::ptrdiff_t>(i));
                          return true;
                        });
    // A node's output becomes an input of the network.
    progress |= TryEach([&] { return NumNodes(); },
                        [](GraphCase* c, size_t i) {
                          Graph& g = c->graph;
                          const TensorId y = g.nodes[i].output;
                          const auto output = std::find(g.outputs.begin(), g.outputs.end(), y);
                          if (output != g.outputs.end()) g.outputs.erase(output);
                          if (g.outputs.empty()) return false;
                          g.nodes.erase(g.nodes.begin() + static_cast<std::ptrdiff_t>(i));
                          g.inputs.push_back(y);
                          return true;
                        });
    // A node that changes neither shape nor type is left out; a reader takes what the node read.
    progress |= TryEach([&] { return NumNodes(); },
                        [](GraphCase* c, size_t i) {
                          Graph& g = c->graph;
                          const TensorId y = g.nodes[i].output, x = g.nodes[i].inputs[0];
                          if (g.tensor(x).dtype != g.tensor(y).dtype) return false;
                          if (g.tensor(x).shape.rank() != g.tensor(y).shape.rank()) return false;
                          if (std::find(g.outputs.begin(), g.outputs.end(), y) != g.outputs.end())
                            return false;
                          for (Node& n : g.nodes)
                            std::replace(n.inputs.begin(), n.inputs.end(), y, x);
                          return true;
                        });
    return progress;
  }

  bool Operators() {
    bool progress = TryEdit([](GraphCase* c) {
      if (c->graph.metadata.rounding == Rounding::kNearestEven) return false;
      c->graph.metadata.rounding = Rounding::kNearestEven;
      return true;
    });
    const auto each_node = [&](auto edit) {
      progress |=
          TryEach([&] { return NumNodes(); },
                  [&](GraphCase* c, size_t i) { return edit(&c->graph, &c->graph.nodes[i]); });
    };
    for (int slot : {kInputResidual, kInputBias, kInputPadding}) {
      each_node([slot](Graph*, Node* n) {
        if (!IsConv(*n) || n->input(slot) == kNoTensor) return false;
        n->inputs[static_cast<size_t>(slot)] = kNoTensor;
        return true;
      });
    }
    each_node([](Graph*, Node* n) {
      if (n->type != OpType::kScaleShift || n->input(kInputUnit) == kNoTensor) return false;
      n->inputs[kInputUnit] = kNoTensor;
      return true;
    });
    each_node([](Graph*, Node* n) {
      if (n->activation == Activation::kNone) return false;
      n->activation = Activation::kNone;
      return true;
    });
    each_node([](Graph*, Node* n) {
      if (n->type != OpType::kConcat || n->inputs.size() < 3) return false;
      n->inputs.pop_back();
      return true;
    });
    for (int i = 0; i < 10; ++i) {
      int Window::*const members[] = {&Window::kernel_h, &Window::kernel_w,   &Window::stride_h,
                                      &Window::stride_w, &Window::dilation_h, &Window::dilation_w,
                                      &Window::pad_top,  &Window::pad_left,   &Window::pad_bottom,
                                      &Window::pad_right};
      int Window::*const member = members[i];
      const int least = i < 6 ? 1 : 0;
      for (size_t node = 0; node < NumNodes(); ++node) {
        for (int64_t value : Smaller(now_.graph.nodes[node].window.*member, least)) {
          if (TryEdit([&](GraphCase* c) {
                c->graph.nodes[node].window.*member = static_cast<int>(value);
                return true;
              })) {
            progress = true;
            break;
          }
        }
        if (node >= NumNodes()) break;
      }
    }
    for (int d = 1; d < Shape::kMaxRank; ++d) {
      each_node([d](Graph* g, Node* n) {
        if (n->type != OpType::kPad && n->type != OpType::kSlice) return false;
        const auto old = std::make_tuple(n->begin[d], n->end[d], n->step[d]);
        const Shape& x = g->tensor(n->inputs[0]).shape;
        n->begin[d] = 0;
        n->step[d] = 1;
        n->end[d] = n->type == OpType::kPad || d >= x.rank() ? 0 : static_cast<int32_t>(x[d]);
        return old != std::make_tuple(n->begin[d], n->end[d], n->step[d]);
      });
    }
    return progress;
  }

  bool Sizes() {
    bool progress = false;
    for (size_t i = 0; i < now_.graph.inputs.size(); ++i) {
      for (int d = 1; d < now_.graph.tensor(now_.graph.inputs[i]).shape.rank(); ++d) {
        const int64_t value = now_.graph.tensor(now_.graph.inputs[i]).shape[d];
        for (int64_t smaller : Smaller(value, 1)) {
          if (TryEdit([&](GraphCase* c) {
                c->graph.tensor(c->graph.inputs[i]).shape[d] = smaller;
                return true;
              })) {
            progress = true;
            break;
          }
        }
        if (i >= now_.graph.inputs.size()) return progress;
      }
    }
    for (size_t i = 0; i < NumNodes(); ++i) {
      const Node& n = now_.graph.nodes[i];
      if (!IsConv(n) || n.groups != 1) continue;
      const Shape shape = now_.graph.tensor(n.inputs[kInputWeights]).shape;
      for (int64_t smaller : Smaller(shape[0], 1)) {
        if (TryEdit([&](GraphCase* c) {
              Node& node = c->graph.nodes[i];
              Shape cut = shape;
              cut[0] = smaller;
              node.inputs[kInputWeights] =
                  SliceConstant(&c->graph, node.inputs[kInputWeights], cut);
              return true;
            })) {
          progress = true;
          break;
        }
      }
    }
    return progress;
  }

  bool Constants() {
    bool progress = false;
    for (size_t i = 0; i < now_.graph.tensors.size(); ++i) {
      const Tensor& t = now_.graph.tensors[i];
      if (t.is_constant()) {
        // All zero, all one, all as the first.
        for (int kind = 0; kind < 3; ++kind) {
          if (TryEdit(
                  [&](GraphCase* c) { return Fill(&c->graph, static_cast<TensorId>(i), kind); })) {
            progress = true;
            break;
          }
        }
      } else if (t.dtype == DType::kU8) {
        progress |= TryEdit([&](GraphCase* c) {
          return SetQuantization(&c->graph, t.quantization, {t.quantization.scale, 0});
        });
        if (i >= now_.graph.tensors.size()) break;
        const Quantization q = now_.graph.tensors[i].quantization;
        progress |= TryEdit([&](GraphCase* c) {
          return SetQuantization(&c->graph, q, {1.0f, q.zero_point});
        });
      }
      if (i >= now_.graph.tensors.size()) break;
    }
    return progress;
  }

  static bool Fill(Graph* g, TensorId id, int kind) {
    const Tensor old = g->tensor(id);
    const size_t size = DTypeSize(old.dtype);
    std::vector<std::byte> value(old.data.begin(),
                                 old.data.begin() + static_cast<std::ptrdiff_t>(size));
    if (kind < 2) {
      const float f = static_cast<float>(kind);
      const uint16_t half = old.dtype == DType::kBF16 ? FloatToBf16(f) : FloatToHalf(f);
      const bool halves = old.dtype == DType::kF16 || old.dtype == DType::kBF16;
      const int64_t whole = kind;  // Little-endian, so that its first bytes are the shorter ones'.
      std::memcpy(value.data(),
                  old.dtype == DType::kF32 ? static_cast<const void*>(&f)
                  : halves                 ? static_cast<const void*>(&half)
                                           : static_cast<const void*>(&whole),
                  size);
    }
    std::byte* data = nullptr;
    Tensor& t = g->tensor(id);
    t.owner = MakeAlignedBuffer(old.data.size(), &data);
    t.data = {data, old.data.size()};
    for (size_t i = 0; i < old.data.size(); i += size) std::memcpy(data + i, value.data(), size);
    // Only towards what is simpler: not from zeros back to ones.
    const bool uniform = std::equal(t.data.begin() + static_cast<std::ptrdiff_t>(size),
                                    t.data.end(), t.data.begin()) &&
                         std::equal(old.data.begin() + static_cast<std::ptrdiff_t>(size),
                                    old.data.end(), old.data.begin());
    const bool zeros = std::all_of(old.data.begin(), old.data.end(),
                                   [](std::byte b) { return b == std::byte{0}; });
    if (zeros || (uniform && kind == 2)) return false;
    return !std::equal(old.data.begin(), old.data.end(), t.data.begin());
  }

  /// Of all tensors that have the old one: moving operators keep it.
  static bool SetQuantization(Graph* g, const Quantization& from, const Quantization& to) {
    if (from == to) return false;
    const Quantization old = from;
    for (Tensor& t : g->tensors) {
      if (t.quantization == old) t.quantization = to;
    }
    return true;
  }

  GraphCase now_;
  const Fails& fails_;
  int calls_left_;
};

// ---- Code ----

/// Shortest decimal that reads back as the same float.
std::string FloatText(float v) {
  char text[40];
  for (int digits = 1; digits <= 9; ++digits) {
    std::snprintf(text, sizeof(text), "%.*g", digits, static_cast<double>(v));
    if (std::strtof(text, nullptr) == v) break;
  }
  std::string s = text;
  if (s.find_first_of(".en") == std::string::npos) s += ".0";
  return s + "f";
}

std::string ShapeText(const Shape& shape) {
  std::string s = "{";
  for (int d = 0; d < shape.rank(); ++d) s += StrCat(d > 0 ? ", " : "", shape[d]);
  return s + "}";
}

const char* DTypeText(DType t) {
  constexpr const char* kNames[] = {"kF32", "kF16", "kU8", "kI8", "kI32", "kI16", "kI64", "kBF16"};
  static_assert(std::size(kNames) == kNumDTypes);
  return kNames[static_cast<int>(t)];
}

/// Elements as a list; one for all when they are equal.
std::string ValuesText(const Tensor& t) {
  const auto list = [](const char* type, auto values, auto text) {
    const bool uniform = std::all_of(values.begin(), values.end(), [&](auto v) {
      return std::memcmp(&v, &values[0], sizeof(v)) == 0;
    });
    std::string s = StrCat("std::vector<", type, ">{");
    for (size_t i = 0; i < (uniform ? 1 : values.size()); ++i)
      s += (i > 0 ? ", " : "") + text(values[i]);
    return s + "}";
  };
  switch (t.dtype) {
    case DType::kF32:
      return list("float", t.values<float>(), FloatText);
    case DType::kF16:
    case DType::kBF16:
      return list("uint16_t", t.values<uint16_t>(), [](int v) { return std::to_string(v); });
    case DType::kI64:
      return list("int64_t", t.values<int64_t>(), [](int64_t v) { return std::to_string(v); });
    case DType::kI32:
      return list("int32_t", t.values<int32_t>(), [](int v) { return std::to_string(v); });
    default:
      return list("int8_t", t.values<int8_t>(), [](int v) { return std::to_string(v); });
  }
}

const char* OpTypeText(OpType type) {
  constexpr const char* kNames[] = {
      "kConv2d",    "kDense",      "kMaxPool",    "kAveragePool", "kGlobalAveragePool",
      "kAdd",       "kMul",        "kScaleShift", "kRelu",        "kRelu6",
      "kPad",       "kSlice",      "kConcat",     "kReshape",     "kSoftmax",
      "kQuantize",  "kDequantize", "kClip",       "kSigmoid",     "kTanh",
      "kLogSoftmax"};
  static_assert(std::size(kNames) == kNumOpTypes);
  return kNames[static_cast<int>(type)];
}

std::string TensorText(TensorId id) { return id == kNoTensor ? "kNoTensor" : StrCat("t", id); }

template <typename Ids>
std::string IdsText(const Ids& ids) {
  std::string s = "{";
  for (size_t i = 0; i < ids.size(); ++i) s += (i > 0 ? ", " : "") + TensorText(ids[i]);
  return s + "}";
}

std::string AttributesText(const Node& n) {
  std::string s;
  const Window& w = n.window;
  if (!(w == Window{})) {
    s += StrCat("  n->window = MakeWindow(", w.kernel_h, ", ", w.kernel_w, ", ", w.stride_h, ", ",
                w.stride_w, ", ", w.dilation_h, ", ", w.dilation_w, ", ", w.pad_top, ", ",
                w.pad_left, ", ", w.pad_bottom, ", ", w.pad_right, ");\n");
  }
  if (n.groups != 1) s += StrCat("  n->groups = ", n.groups, ";\n");
  if (n.activation != Activation::kNone) {
    s += StrCat("  n->activation = Activation::",
                n.activation == Activation::kRelu ? "kRelu" : "kRelu6", ";\n");
  }
  if (n.count_include_pad) s += "  n->count_include_pad = true;\n";
  if (n.tflite_kernel != TfliteKernel::kUsual) {
    s += StrCat("  n->tflite_kernel = TfliteKernel::",
                n.tflite_kernel == TfliteKernel::kMean           ? "kMean"
                : n.tflite_kernel == TfliteKernel::kUint8Average ? "kUint8Average"
                                                                 : "kFullyConnected",
                ";\n");
  }
  if (n.axis != 0) s += StrCat("  n->axis = ", n.axis, ";\n");
  if (n.pad_value != 0.0f) s += "  n->pad_value = " + FloatText(n.pad_value) + ";\n";
  if (std::isfinite(n.clip_low)) s += "  n->clip_low = " + FloatText(n.clip_low) + ";\n";
  if (std::isfinite(n.clip_high)) s += "  n->clip_high = " + FloatText(n.clip_high) + ";\n";
  if (n.type == OpType::kPad || n.type == OpType::kSlice) {
    const auto array = [](const char* name, const std::array<int32_t, 4>& a) {
      return StrCat("  n->", name, " = {", a[0], ", ", a[1], ", ", a[2], ", ", a[3], "};\n");
    };
    s += array("begin", n.begin) + array("end", n.end);
    if (n.type == OpType::kSlice) s += array("step", n.step);
  }
  return s;
}

std::string TensorDefinition(const Graph& g, TensorId id) {
  const Tensor& t = g.tensor(id);
  std::string s = StrCat("  const TensorId t", id, " = ");
  if (t.is_constant()) {
    return s + StrCat("Constant(&g, DType::", DTypeText(t.dtype), ", ", ShapeText(t.shape), ", ",
                      ValuesText(t), ");\n");
  }
  if (t.dtype == DType::kF32) return s + StrCat("FloatTensor(&g, ", ShapeText(t.shape), ");\n");
  if (t.dtype == DType::kBF16) return s + StrCat("Bf16Tensor(&g, ", ShapeText(t.shape), ");\n");
  if (t.dtype == DType::kI16) {
    return s + StrCat("Int16Tensor(&g, ", ShapeText(t.shape), ", ", FloatText(t.quantization.scale),
                      ");\n");
  }
  return s + StrCat("ByteTensor(&g, ", ShapeText(t.shape), ", ", FloatText(t.quantization.scale),
                    ", ", t.quantization.zero_point, ");\n");
}

}  // namespace

GraphCase Shrink(GraphCase failing, const Fails& fails, int most_calls) {
  return Shrinker(std::move(failing), fails, most_calls).Run();
}

std::string ToCode(const GraphCase& c, const std::string& comment) {
  Graph g = c.graph;
  Unpack(&g);
  std::string s = StrCat("  // ", comment, "\n  Graph g;\n  Node* n = nullptr;\n");
  if (g.metadata.precision != Precision::kFp32) {
    constexpr const char* kNames[] = {"kFp32", "kFp16", "kHybrid", "kInt8", "kInt16x8", "kBf16"};
    static_assert(std::size(kNames) == kNumPrecisions);
    s += StrCat("  g.metadata.precision = Precision::",
                kNames[static_cast<int>(g.metadata.precision)], ";\n");
  }
  if (g.metadata.rounding == Rounding::kTflite) s += "  g.metadata.rounding = Rounding::kTflite;\n";
  for (size_t i = 0; i < g.tensors.size(); ++i) s += TensorDefinition(g, static_cast<TensorId>(i));
  for (const Node& n : g.nodes) {
    s += StrCat("  n = AddNode(&g, OpType::", OpTypeText(n.type), ", ", IdsText(n.inputs), ", t",
                n.output, ");\n");
    s += AttributesText(n);
  }
  s += StrCat("  g.inputs = ", IdsText(g.inputs), ";\n  g.outputs = ", IdsText(g.outputs), ";\n");
  for (const RunMode& m : c.modes) {
    s += StrCat("  EXPECT_EQ(CheckGraph(g, ", c.seed, ", {{\"", m.isa, "\", ", m.threads, ", ",
                m.batch, ", ", m.max_batch, ", ", m.winograd ? "true" : "false",
                "}}, nullptr), \"\");\n");
  }
  return s;
}

}  // namespace octet::testing
