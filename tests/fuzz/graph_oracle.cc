#include "tests/fuzz/graph_oracle.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <span>
#include <utility>

#include "bench/graph_generator.h"
#include "engine/include/octet/octet.h"
#include "engine/src/model_impl.h"
#include "formats/base/str_cat.h"
#include "formats/model/octet_file.h"
#include "formats/model/panel.h"
#include "kernels/dispatch.h"
#include "tests/unit/naive_interpreter.h"

namespace octet::testing {
namespace {

using Buffer = std::vector<uint8_t>;
using Buffers = std::vector<Buffer>;

/// An image of all inputs.
struct Image {
  Buffers bytes;                ///< By input.
  std::vector<Values> numbers;  ///< The same for the interpreter.
};

/// Mostly as networks are fed, over the whole range; some hold little, as dark images do.
Image MakeImage(const Graph& g, uint64_t seed) {
  SeededChoices random(seed);
  Image image;
  for (TensorId id : g.inputs) {
    const Tensor& t = g.tensor(id);
    const auto count = static_cast<size_t>(t.shape.num_elements());
    const int range = random.Percent(80) ? 255 : 20;
    Buffer bytes(count * DTypeSize(t.dtype));
    Values numbers;
    for (size_t i = 0; i < count; ++i) {
      const int v = random.Int(0, range);
      if (t.dtype == DType::kU8) {
        bytes[i] = static_cast<uint8_t>(v);
        numbers.push_back(v);
      } else if (t.dtype == DType::kI16) {
        const auto wide = static_cast<int16_t>(257 * v - 32768);
        std::memcpy(&bytes[i * 2], &wide, 2);
        numbers.push_back(wide);
      } else {
        const float f = static_cast<float>(v - 128) / 64.0f;
        std::memcpy(&bytes[i * 4], &f, 4);
        numbers.push_back(f);
      }
    }
    image.bytes.push_back(std::move(bytes));
    image.numbers.push_back(std::move(numbers));
  }
  return image;
}

/// What one image must give: values and bounds of each output.
struct Expected {
  std::vector<Values> values, errors;
};

bool HasFloatWeights(const Graph& g) {
  return std::any_of(g.nodes.begin(), g.nodes.end(), [&](const Node& n) {
    return n.type == OpType::kConv2d && g.tensor(n.inputs[kInputWeights]).dtype != DType::kI8;
  });
}

bool HasGroups(const Graph& g) {
  return std::any_of(g.nodes.begin(), g.nodes.end(), [&](const Node& n) {
    return n.type == OpType::kConv2d &&
           ChooseLayout(n, g.tensor(n.inputs[kInputWeights]).shape) == Layout::kPlain;
  });
}

double ValueAt(const uint8_t* bytes, size_t i, DType dtype) {
  if (IsCodes(dtype)) return CodeAt(dtype, bytes, i);
  float v;
  std::memcpy(&v, bytes + i * 4, 4);
  return v;
}

class Checker {
 public:
  Checker(const Graph& graph, const Graph& expected, uint64_t seed, Coverage* coverage)
      : g_(graph), coverage_(coverage), interpreter_(expected, Arithmetic::kEngine) {
    for (int i = 0; i < kMaxImages; ++i)
      images_.push_back(MakeImage(g_, seed * kMaxImages + static_cast<uint64_t>(i)));
  }

  std::string Run(const std::vector<RunMode>& modes) {
    const Status valid = ValidateGraph(g_);
    if (!valid.ok()) return StrCat("not valid: ", valid.message());
    const Result<std::vector<std::byte>> bytes = SerializeOctet(g_, {});
    if (!bytes.ok()) return StrCat("cannot be written: ", bytes.status().message());
    auto model = Model::FromMemory(bytes->data(), bytes->size());
    if (!model.ok()) return StrCat("cannot be read: ", model.status().message());
    model_ = *model;
    ++coverage_->graphs;
    for (const RunMode& mode : modes) {
      const std::string wrong = RunIn(mode);
      if (!wrong.empty()) return StrCat(mode.ToString(), ": ", wrong);
    }
    return "";
  }

 private:
  std::string RunIn(const RunMode& mode) {
    SessionOptions options;
    options.isa = mode.isa;
    options.num_threads = mode.threads;
    options.max_batch = mode.max_batch;
    options.winograd = mode.winograd;
    auto session = Session::Create(model_, options);
    if (!session.ok()) {
      if (session.status().code() == StatusCode::kUnsupported && HasGroups(g_)) {
        ++coverage_->unsupported;
        return "";
      }
      return StrCat("no session: ", session.status().message());
    }
    CountKernels(mode, **session);
    // The images in order, then others, then the first again: what is left in memory must not show.
    const int batch = mode.batch;
    Buffers first, other, again;
    std::string wrong = RunImages(session->get(), batch, 0, &first);
    if (wrong.empty()) wrong = RunImages(session->get(), batch, 1, &other);
    if (wrong.empty()) wrong = RunImages(session->get(), batch, 0, &again);
    if (!wrong.empty()) return wrong;
    if (first != again)
      return StrCat("the same images give other bits the second time, ",
                    Where(first, again, batch));
    wrong = Compare(mode, 0, first);
    if (wrong.empty()) wrong = Compare(mode, 1, other);
    return wrong;
  }

  /// Image `i` of a batch is number (first + i) % kMaxImages.
  std::string RunImages(Session* session, int batch, int first, Buffers* outputs) {
    std::vector<Buffer> inputs(g_.inputs.size());
    std::vector<const void*> in;
    std::vector<void*> out;
    for (size_t j = 0; j < inputs.size(); ++j) {
      for (int i = 0; i < batch; ++i) {
        const Buffer& image = images_[static_cast<size_t>((first + i) % kMaxImages)].bytes[j];
        inputs[j].insert(inputs[j].end(), image.begin(), image.end());
      }
      in.push_back(inputs[j].data());
    }
    for (const TensorDescription& t : model_->Describe().outputs) {
      outputs->emplace_back(t.num_bytes() * static_cast<size_t>(batch), uint8_t{0xa5});
      out.push_back(outputs->back().data());
    }
    ++coverage_->runs;
    const Status status = session->Run(in.data(), out.data(), batch);
    return status.ok() ? "" : StrCat("Run: ", status.message());
  }

  std::string Where(const Buffers& a, const Buffers& b, int batch) const {
    for (size_t j = 0; j < a.size(); ++j) {
      for (size_t i = 0; i < a[j].size(); ++i) {
        if (a[j][i] == b[j][i]) continue;
        const DType dtype = g_.tensor(g_.outputs[j]).dtype;
        const size_t element = i / DTypeSize(dtype),
                     count = a[j].size() / DTypeSize(dtype) / static_cast<size_t>(batch);
        return StrCat("output ", j, " image ", element / count, " element ", element % count,
                      ": found ", ValueAt(b[j].data(), element, dtype), ", expected ",
                      ValueAt(a[j].data(), element, dtype));
      }
    }
    return "";
  }

  std::string Compare(const RunMode& mode, int first, const Buffers& outputs) {
    for (size_t j = 0; j < outputs.size(); ++j) {
      const size_t bytes = outputs[j].size() / static_cast<size_t>(mode.batch);
      for (int i = 0; i < mode.batch; ++i) {
        const int image = (first + i) % kMaxImages;
        const uint8_t* found = outputs[j].data() + static_cast<size_t>(i) * bytes;
        std::string wrong = CompareImage(mode, image, j, found);
        if (wrong.empty()) wrong = CompareWithOthers(mode, image, j, {found, found + bytes});
        if (!wrong.empty())
          return StrCat("output ", j, " image ", i, " of ", mode.batch, " ", wrong);
      }
    }
    return "";
  }

  std::string CompareImage(const RunMode& mode, int image, size_t output, const uint8_t* found) {
    const Expected& expected = ExpectedOf(image, mode.winograd && HasFloatWeights(g_));
    const DType dtype = g_.tensor(g_.outputs[output]).dtype;
    const Values &values = expected.values[output], &errors = expected.errors[output];
    double largest = 0.0, widest = 0.0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double v = ValueAt(found, i, dtype), error = errors.empty() ? 0.0 : errors[i];
      const double distance = std::fabs(v - values[i]);
      if (!(distance <= error)) {  // A NaN is wrong.
        return StrCat("element ", i, " of ", values.size(), ": found ", v, ", expected ", values[i],
                      error > 0.0 ? StrCat(" within ", error) : std::string());
      }
      ++(error == 0.0 ? coverage_->exact : coverage_->bounded);
      if (IsCodes(dtype)) coverage_->moved += distance > 0.0;
      largest = std::max(largest, std::fabs(values[i]));
      widest = std::max(widest, error);
    }
    if (widest > 0.0)
      ++(widest <= 1e-3 * largest || IsCodes(dtype) ? coverage_->tight : coverage_->loose);
    return "";
  }

  std::string CompareWithOthers(const RunMode& mode, int image, size_t output, Buffer found) {
    const auto key = std::make_pair(StrCat(mode.isa, mode.winograd ? " winograd" : ""),
                                    std::make_pair(image, output));
    const auto [known, is_new] = known_.try_emplace(key, std::make_pair(found, mode));
    if (is_new || known->second.first == found) return "";
    const DType dtype = g_.tensor(g_.outputs[output]).dtype;
    size_t i = 0;
    while (known->second.first[i] == found[i]) ++i;
    i /= DTypeSize(dtype);
    return StrCat("element ", i, ": found ", ValueAt(found.data(), i, dtype), ", expected ",
                  ValueAt(known->second.first.data(), i, dtype), " as with ",
                  known->second.second.ToString());
  }

  const Expected& ExpectedOf(int image, bool winograd) {
    Expected& e = expected_[{image, winograd}];
    if (!e.values.empty()) return e;
    interpreter_.set_winograd(winograd);
    interpreter_.Evaluate(images_[static_cast<size_t>(image)].numbers);
    for (TensorId id : g_.outputs) {
      e.values.push_back(interpreter_.values(id));
      e.errors.push_back(interpreter_.errors(id));
    }
    return e;
  }

  void CountKernels(const RunMode& mode, const Session& session) {
    ++coverage_->sessions;
    const auto layers = session.Profile();
    for (const LayerProfile& layer : *layers)
      ++coverage_->kernels[StrCat(mode.isa, " ", layer.kernel)];
    const std::string names[] = {
        mode.isa, StrCat(mode.threads, mode.threads == 1 ? " thread" : " threads"),
        StrCat("batch ", mode.batch, mode.max_batch > mode.batch ? " of more" : ""),
        mode.winograd ? "winograd on" : "winograd off"};
    for (size_t i = 0; i < std::size(names); ++i) {
      ++coverage_->modes[names[i]];
      for (size_t j = 0; j < i; ++j) ++coverage_->pairs[StrCat(names[j], " + ", names[i])];
    }
  }

  const Graph& g_;
  Coverage* coverage_;
  std::vector<Image> images_;
  std::shared_ptr<const Model> model_;
  NaiveInterpreter interpreter_;
  std::map<std::pair<int, bool>, Expected> expected_;
  std::map<std::pair<std::string, std::pair<int, size_t>>, std::pair<Buffer, RunMode>> known_;
};

const char* LayoutName(Layout layout) {
  constexpr const char* kNames[] = {"plain", "panel", "panel row", "depthwise"};
  return kNames[static_cast<int>(layout)];
}

void CountNode(const Graph& g, const Node& n, std::map<std::string, int64_t>* features) {
  const auto count = [&](bool is, const char* what) {
    if (is) ++(*features)[what];
  };
  const bool conv = n.type == OpType::kConv2d || n.type == OpType::kDense;
  if (conv) {
    const Tensor& w = g.tensor(n.inputs[kInputWeights]);
    ++(*features)[StrCat("layout ", LayoutName(ChooseLayout(n, w.shape)))];
    count(n.input(kInputResidual) != kNoTensor, "residual");
    count(n.input(kInputResidual) == n.inputs[kInputX], "residual of the layer's own input");
    count(n.input(kInputBias) == kNoTensor, "no bias");
    count(n.type == OpType::kConv2d && n.input(kInputPadding) != kNoTensor, "padding codes");
    count(n.groups > 1 && ChooseLayout(n, w.shape) == Layout::kPanel, "groups");
    count(n.window.dilation_h > 1 || n.window.dilation_w > 1, "dilation");
    count(n.window.stride_h > 1 || n.window.stride_w > 1, "stride");
  }
  const Window& w = n.window;
  count(w.pad_top != w.pad_bottom || w.pad_left != w.pad_right, "asymmetric padding");
  const bool fixed = g.metadata.rounding == Rounding::kTflite && IsCodes(g.tensor(n.output).dtype);
  count(fixed && n.tflite_kernel == TfliteKernel::kFullyConnected, "fully connected pixels");
  count(fixed && n.tflite_kernel == TfliteKernel::kMean, "mean");
  count(fixed && n.tflite_kernel == TfliteKernel::kUint8Average, "average of uint8");
  count(n.activation == Activation::kRelu, "relu");
  count(n.activation == Activation::kRelu6, "relu6");
}

void CountTensors(const Graph& g, std::map<std::string, int64_t>* features) {
  std::vector<int> readers(g.tensors.size(), 0), row_readers(g.tensors.size(), 0),
      users(g.tensors.size(), 0);
  std::vector<bool> is_output(g.tensors.size(), false);
  std::vector<std::set<std::vector<int>>> paddings(g.tensors.size());
  std::vector<const Node*> producer(g.tensors.size(), nullptr);
  for (TensorId id : g.outputs) is_output[static_cast<size_t>(id)] = true;
  for (const Node& n : g.nodes) {
    for (TensorId id : n.inputs) {
      if (id != kNoTensor)
        ++(g.tensor(id).is_constant() ? users : readers)[static_cast<size_t>(id)];
    }
    producer[static_cast<size_t>(n.output)] = &n;
    if (n.type != OpType::kConv2d) continue;
    const size_t x = static_cast<size_t>(n.inputs[kInputX]);
    const Window& w = n.window;
    paddings[x].insert({w.pad_top, w.pad_left, w.pad_bottom, w.pad_right});
    row_readers[x] += ChooseLayout(n, g.tensor(n.inputs[kInputWeights]).shape) == Layout::kPanelRow;
  }
  const auto count = [&](bool is, const char* what) {
    if (is) ++(*features)[what];
  };
  for (size_t i = 0; i < g.tensors.size(); ++i) {
    const Tensor& t = g.tensors[i];
    if (t.is_constant()) {
      count(users[i] > 1, "shared constant");
      continue;
    }
    const Node* from = producer[i];
    const bool from_conv =
        from != nullptr && (from->type == OpType::kConv2d || from->type == OpType::kDense);
    count(readers[i] > 1, "shared tensor");
    count(is_output[i] && readers[i] > 0, "output that is read on");
    count(readers[i] == 0 && !is_output[i], "result or input that nobody reads");
    count(paddings[i].size() > 1, "readers with other paddings");
    count(row_readers[i] > 0 && from_conv, "panel row behind a convolution");
    count(row_readers[i] > 0 && row_readers[i] < readers[i], "panel row and other readers");
    count(from != nullptr && from->type == OpType::kReshape && readers[i] > 1, "shared reshape");
    count(t.shape.rank() == 2, "rank 2");
  }
  count(g.inputs.size() > 1, "several inputs");
  count(g.outputs.size() > 1, "several outputs");
  for (TensorId id : g.inputs) {
    bool only_quantized = readers[static_cast<size_t>(id)] > 0;
    for (const Node& n : g.nodes) {
      if (std::find(n.inputs.begin(), n.inputs.end(), id) != n.inputs.end())
        only_quantized &= n.type == OpType::kQuantize;
    }
    count(only_quantized && g.tensor(id).dtype == DType::kU8,
          "uint8 input that is only requantized");
    count(only_quantized && g.tensor(id).dtype == DType::kF32,
          "float input that is only quantized");
  }
}

}  // namespace

std::string RunMode::ToString() const {
  return StrCat(isa, ", ", threads, threads == 1 ? " thread" : " threads", ", batch ", batch,
                " of ", max_batch, winograd ? "" : ", no winograd");
}

std::vector<RunMode> ChooseModes(Choices* choices, const Graph& graph,
                                 const std::vector<std::string>& isas) {
  constexpr int64_t kSlowCost = 300'000;  // Emulated, a graph of that much takes 10 ms.
  std::vector<std::string> fast, slow;
  for (const std::string& isa : isas) {
    (isa == "reference" || isa.starts_with("emulated") ? slow : fast).push_back(isa);
  }
  const auto several = [&](const std::string& isa, bool winograd) {
    RunMode mode{isa, choices->Int(1, 3), choices->Int(1, kMaxImages), 1, winograd};
    mode.max_batch = mode.batch + (choices->Percent(25) ? choices->Int(1, 3) : 0);
    return mode;
  };
  std::vector<RunMode> modes;
  for (size_t i = fast.size(); i > 1; --i)
    std::swap(fast[i - 1], fast[choices->Below(static_cast<uint32_t>(i))]);
  for (size_t i = 0; i < fast.size() && i < 2; ++i) {
    const bool winograd = choices->Percent(65);
    modes.push_back({fast[i], 1, 1, 1, winograd});
    modes.push_back(several(fast[i], winograd));
  }
  if (!slow.empty() && (fast.empty() || choices->Percent(GraphCost(graph) < kSlowCost ? 20 : 10))) {
    modes.push_back(
        several(slow[choices->Below(static_cast<uint32_t>(slow.size()))], choices->Percent(65)));
  }
  return modes;
}

void Coverage::Add(const Coverage& other) {
  graphs += other.graphs;
  unsupported += other.unsupported;
  sessions += other.sessions;
  runs += other.runs;
  exact += other.exact;
  bounded += other.bounded;
  moved += other.moved;
  tight += other.tight;
  loose += other.loose;
  const auto add = [](std::map<std::string, int64_t>* to,
                      const std::map<std::string, int64_t>& from) {
    for (const auto& [name, count] : from) (*to)[name] += count;
  };
  add(&nodes, other.nodes);
  add(&kernels, other.kernels);
  add(&modes, other.modes);
  add(&pairs, other.pairs);
  add(&features, other.features);
}

std::string NodePrecision(const Graph& g, const Node& n) {
  const Tensor &x = g.tensor(n.inputs[0]), &y = g.tensor(n.output);
  const bool u8 = x.dtype == DType::kU8;
  const char* rounding =
      IsCodes(y.dtype) && g.metadata.rounding == Rounding::kTflite ? " tflite" : "";
  if (x.dtype == DType::kI16 || y.dtype == DType::kI16) {
    const auto type = [](DType t) {
      return t == DType::kI16 ? "i16" : t == DType::kU8 ? "u8" : "f32";
    };
    return StrCat(x.dtype == y.dtype ? "i16" : StrCat(type(x.dtype), " to ", type(y.dtype)),
                  rounding);
  }
  if (x.dtype == DType::kBF16 || y.dtype == DType::kBF16) {
    return x.dtype == y.dtype ? "bf16" : x.dtype == DType::kBF16 ? "bf16 to f32" : "f32 to bf16";
  }
  if (n.type == OpType::kConv2d || n.type == OpType::kDense) {
    const DType w = g.tensor(n.inputs[kInputWeights]).dtype;
    if (w != DType::kI8) return w == DType::kF16 ? "fp16" : "fp32";
    if (!u8) return "hybrid";
    return y.dtype == DType::kU8 ? StrCat("int8", rounding) : "u8 to f32";
  }
  if (u8 && y.dtype == DType::kF32) return "u8 to f32";
  if (!u8 && y.dtype == DType::kU8) return StrCat("f32 to u8", rounding);
  return u8 ? StrCat("u8", rounding) : "f32";
}

std::vector<std::string> OracleIsas() {
  const char* only = std::getenv("OCTET_TEST_TABLE");
  std::vector<std::string> isas;
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    if (info.availability == kernels::Availability::kUnavailable) continue;
    if (only == nullptr || info.name == std::string(only) || info.name == std::string("reference"))
      isas.push_back(info.name);
  }
  return isas;
}

std::string CheckGraph(const Graph& graph, const Graph& expected, uint64_t seed,
                       const std::vector<RunMode>& modes, Coverage* coverage) {
  Coverage own;
  const std::string wrong = Checker(graph, expected, seed, &own).Run(modes);
  if (wrong.empty()) {
    for (const Node& n : graph.nodes) {
      ++own.nodes[StrCat(OpTypeName(n.type), " ", NodePrecision(graph, n))];
      CountNode(graph, n, &own.features);
    }
    CountTensors(graph, &own.features);
  }
  if (coverage != nullptr) coverage->Add(own);
  return wrong;
}

std::string CheckGraph(const Graph& graph, uint64_t seed, const std::vector<RunMode>& modes,
                       Coverage* coverage) {
  return CheckGraph(graph, graph, seed, modes, coverage);
}

}  // namespace octet::testing
