// bench_kernels: every distinct convolution of ResNet-50 v1.5, and convolutions in groups, on every
// instruction set of this machine, as the engine runs it, with warm and with cold weights. Names
// are layer/kernel/instruction set/warm|cold; peaks stand in the context. Then photos of 1280x720
// (see pixel_benchmarks.h); --benchmark_filter=pixels for them alone.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/peak.h"
#include "bench/pixel_benchmarks.h"
#include "bench/synthetic_network.h"
#include "engine/src/model_impl.h"
#include "engine/src/ops.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/program.h"
#include "formats/data/system.h"
#include "kernels/dispatch.h"

namespace octet::bench {
namespace {

enum class Kernel { kU8U8, kU8F32, kI16I16, kF32, kF16, kBf16 };
constexpr Kernel kKernels[] = {Kernel::kU8U8, Kernel::kU8F32, Kernel::kI16I16,
                               Kernel::kF32,  Kernel::kF16,   Kernel::kBf16};

const char* KernelName(Kernel k) {
  switch (k) {
    case Kernel::kU8U8:
      return "u8_u8";
    case Kernel::kU8F32:
      return "u8_f32";
    case Kernel::kI16I16:
      return "i16_i16";
    case Kernel::kF32:
      return "f32";
    case Kernel::kF16:
      return "f16";
    case Kernel::kBf16:
      return "bf16_bf16";
  }
  return "";
}

Arithmetic ArithmeticOf(Kernel k) {
  if (k == Kernel::kBf16) return Arithmetic::kBf16;
  return k == Kernel::kF32 || k == Kernel::kF16 ? Arithmetic::kFloat : Arithmetic::kInt8;
}

/// A convolution with its surroundings: what makes two layers of a network different work.
struct Layer {
  Shape input, output, weights;
  Window window;
  Activation activation = Activation::kNone;
  bool residual = false;
  int groups = 1;

  std::string Name() const {
    return StrCat(input[1], "x", input[2], "x", input[3], "-", output[3], ",", window.kernel_h, "x",
                  window.kernel_w, "s", window.stride_h, residual ? "+res" : "",
                  groups > 1 ? StrCat(",groups", groups) : "");
  }
};

/// Distinct convolutions in the order of the network.
Result<std::vector<Layer>> LayersOf(const std::string& network_name) {
  OCTET_ASSIGN_OR_RETURN(const SyntheticNetwork network, SyntheticNetwork::Build(network_name));
  const Graph& g = network.graph();
  std::vector<Layer> layers;
  std::set<std::string> seen;
  for (const Node& n : g.nodes) {
    if (n.type != OpType::kConv2d) continue;
    Layer layer{g.tensor(n.inputs[kInputX]).shape,
                g.tensor(n.output).shape,
                g.tensor(n.inputs[kInputWeights]).shape,
                n.window,
                n.activation,
                n.input(kInputResidual) != kNoTensor,
                n.groups};
    if (seen.insert(layer.Name()).second) layers.push_back(layer);
  }
  return layers;
}

/// 3x3 in groups of 4 to 64 channels: ResNeXt-50's (two of stride 2 among them), RegNet-X's of 16
/// and 24, and wider ones.
std::vector<Layer> GroupedLayers() {
  struct Size {
    int map, channels, groups, stride = 1;
  };
  std::vector<Layer> layers;
  for (const Size& s :
       {Size{56, 128, 32}, Size{28, 256, 32}, Size{14, 512, 32}, Size{7, 1024, 32},
        Size{14, 160, 10}, Size{7, 400, 25}, Size{28, 168, 7}, Size{28, 256, 8}, Size{14, 240, 5},
        Size{14, 512, 8}, Size{56, 256, 32, 2}, Size{28, 512, 32, 2}}) {
    Layer layer;
    layer.input = {1, s.map, s.map, s.channels};
    layer.output = {1, s.map / s.stride, s.map / s.stride, s.channels};
    layer.weights = {s.channels, 3, 3, s.channels / s.groups};
    Window& w = layer.window;
    w.kernel_h = w.kernel_w = 3;
    w.stride_h = w.stride_w = s.stride;
    w.pad_top = w.pad_left = w.pad_bottom = w.pad_right = 1;
    layer.activation = Activation::kRelu;
    layer.groups = s.groups;
    layers.push_back(layer);
  }
  return layers;
}

class Random {
 public:
  /// Normal with mean 0 and standard deviation 1, near enough: the sum of twelve uniform numbers.
  float Normal() {
    float sum = -6.0f;
    for (int i = 0; i < 12; ++i) sum += static_cast<float>(Next() >> 8) * 0x1p-24f;
    return sum;
  }

 private:
  uint32_t Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 32);
  }
  uint64_t state_ = 1;
};

/// A graph of this one layer.
Graph MakeGraph(const Layer& layer, Kernel kernel) {
  const bool integer = ArithmeticOf(kernel) == Arithmetic::kInt8;
  const bool wide = kernel == Kernel::kI16I16, bf16 = kernel == Kernel::kBf16;
  const DType in = wide ? DType::kI16 : integer ? DType::kU8 : bf16 ? DType::kBF16 : DType::kF32;
  const DType out = kernel == Kernel::kU8F32 ? DType::kF32 : in;
  Random random;
  Graph g;
  const TensorId x = g.AddActivation("x", in, layer.input);
  const TensorId y = g.AddActivation("y", out, layer.output);
  const float scale = wide ? 0.02f / 128.0f : 0.02f;
  if (integer) g.tensor(x).quantization = {scale, 0};
  if (IsCodes(out)) g.tensor(y).quantization = {scale, 0};
  // Networks' own inputs and outputs are not of bfloat16.
  const auto add_input = [&](TensorId id) {
    g.inputs.push_back(id);
    if (!bf16) return;
    const TensorId real =
        g.AddActivation(g.tensor(id).name + ".float32", DType::kF32, g.tensor(id).shape);
    g.AddNode(OpType::kQuantize, g.tensor(real).name, {real}, id);
    g.inputs.back() = real;
  };
  add_input(x);

  const size_t count = static_cast<size_t>(layer.weights.num_elements()),
               channels = static_cast<size_t>(layer.output[3]);
  std::vector<float> values(count);
  for (float& v : values) v = random.Normal();
  TensorId weights;
  if (integer) {
    std::vector<int8_t> quantized(count);
    for (size_t i = 0; i < count; ++i)
      quantized[i] = static_cast<int8_t>(std::clamp(values[i] * 40.0f, -127.0f, 127.0f));
    weights = g.AddConstant("w", DType::kI8, layer.weights, quantized.data(), count);
  } else if (bf16 || kernel == Kernel::kF16) {
    std::vector<uint16_t> halves(count);
    std::transform(values.begin(), values.end(), halves.begin(), bf16 ? FloatToBf16 : FloatToHalf);
    weights = g.AddConstant("w", bf16 ? DType::kBF16 : DType::kF16, layer.weights, halves.data(),
                            count * 2);
  } else {
    weights = g.AddConstant("w", DType::kF32, layer.weights, values.data(), count * 4);
  }
  const Shape per_channel{layer.output[3]};
  std::vector<TensorId> inputs{x, weights, kNoTensor};
  if (kernel == Kernel::kU8U8) {
    const std::vector<int32_t> bias(channels, 100);
    inputs[kInputBias] = g.AddConstant("b", DType::kI32, per_channel, bias.data(), channels * 4);
  } else if (wide) {
    const std::vector<int64_t> bias(channels, 12800);
    inputs[kInputBias] = g.AddConstant("b", DType::kI64, per_channel, bias.data(), channels * 8);
  } else if (!integer) {
    const std::vector<float> bias(channels, 0.1f);
    inputs[kInputBias] = g.AddConstant("b", DType::kF32, per_channel, bias.data(), channels * 4);
  }
  if (layer.residual || integer) inputs.push_back(kNoTensor);
  if (layer.residual) {
    const TensorId r = g.AddActivation("r", out, layer.output);
    g.tensor(r).quantization = g.tensor(y).quantization;
    add_input(r);
    inputs[kInputResidual] = r;
  }
  if (integer) {
    // Such that outputs have about the standard deviation of inputs.
    const size_t products = count / channels;
    const std::vector<float> scales(channels,
                                    1.0f / (40.0f * std::sqrt(static_cast<float>(products))));
    inputs.push_back(g.AddConstant("s", DType::kF32, per_channel, scales.data(), channels * 4));
  }
  Node& n = g.AddNode(OpType::kConv2d, "conv", inputs, y);
  n.window = layer.window;
  n.activation = layer.activation;
  n.groups = layer.groups;
  g.outputs = {y};
  if (bf16) {
    g.outputs = {g.AddActivation("y.float32", DType::kF32, layer.output)};
    g.AddNode(OpType::kDequantize, "y.float32", {y}, g.outputs[0]);
  }
  return g;
}

/// The half-normal distribution that activations have after ReLU; about 1 % of the bytes are 128 or
/// more.
std::vector<uint8_t> MakeInput(const Tensor& t) {
  Random random;
  const size_t count = static_cast<size_t>(t.shape.num_elements());
  std::vector<uint8_t> bytes(count * DTypeSize(t.dtype));
  for (size_t i = 0; i < count; ++i) {
    const float v = std::fabs(random.Normal());
    if (t.dtype == DType::kU8) {
      bytes[i] = static_cast<uint8_t>(std::min(v * 50.0f, 255.0f));
    } else if (t.dtype == DType::kI16) {
      const auto code = static_cast<int16_t>(std::min(v * 6400.0f, 32767.0f));
      std::memcpy(bytes.data() + i * 2, &code, 2);
    } else {
      std::memcpy(bytes.data() + i * 4, &v, 4);
    }
  }
  return bytes;
}

/// The layer as a session runs it, its weights replaceable.
class PreparedLayer {
 public:
  static Result<std::unique_ptr<PreparedLayer>> Create(const Layer& layer, Kernel kernel,
                                                       const std::string& isa) {
    auto p = std::unique_ptr<PreparedLayer>(new PreparedLayer);
    Graph graph = MakeGraph(layer, kernel);
    std::vector<std::vector<uint8_t>> inputs;
    for (TensorId id : graph.inputs) inputs.push_back(MakeInput(graph.tensor(id)));
    const Tensor& y = graph.tensor(graph.outputs[0]);
    p->output_.resize(static_cast<size_t>(y.shape.num_elements()) * DTypeSize(y.dtype));
    OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           ModelFromGraph(std::move(graph)));
    SessionOptions options;
    options.isa = isa;
    OCTET_ASSIGN_OR_RETURN(p->session_, Session::Create(model, options));
    // One run puts the input where the operator reads it.
    std::vector<const void*> pointers;
    for (const std::vector<uint8_t>& i : inputs) pointers.push_back(i.data());
    void* output = p->output_.data();
    OCTET_RETURN_IF_ERROR(p->session_->Run(pointers.data(), &output, 1));
    p->macs_ = model->Describe().macs;
    for (const std::unique_ptr<Op>& op : Internals::Of(*p->session_).plan->ops) {
      if (auto* conv = dynamic_cast<ConvOp*>(op.get())) {
        p->op_ = conv;
        p->weights_ = &conv->args.weights;
        p->weight_bytes_ = conv->args.panel_bytes * conv->panels;
      } else if (auto* winograd = dynamic_cast<WinogradOp*>(op.get())) {
        p->op_ = winograd;
        p->weights_ = &winograd->args.conv.weights;
        p->weight_bytes_ = winograd->args.conv.panel_bytes * winograd->panels;
      }
    }
    if (p->op_ == nullptr)
      return InternalError(StrCat(layer.Name(), ": the plan has no convolution"));
    return p;
  }

  void Run() const { op_->Run({}); }
  int64_t macs() const { return macs_; }
  const std::string& kernel() const { return op_->kernel; }
  const uint8_t** weights() { return weights_; }
  int64_t weight_bytes() const { return weight_bytes_; }

 private:
  PreparedLayer() = default;
  std::unique_ptr<Session> session_;
  std::vector<uint8_t> output_;
  Op* op_ = nullptr;
  const uint8_t** weights_ = nullptr;
  int64_t weight_bytes_ = 0, macs_ = 0;
};

/// The layer that ran last: the library calls a benchmark several times, and warm and cold follow
/// each other.
Result<PreparedLayer*> GetPrepared(const Layer& layer, Kernel kernel, const std::string& isa) {
  static std::string key;
  static std::unique_ptr<PreparedLayer> last;
  const std::string wanted = StrCat(layer.Name(), "/", KernelName(kernel), "/", isa);
  if (key == wanted) return last.get();
  key.clear();
  OCTET_ASSIGN_OR_RETURN(last, PreparedLayer::Create(layer, kernel, isa));
  key = wanted;
  return last.get();
}

/// Memory that holds more copies of a layer's weights than the caches do; allocated once.
std::span<std::byte> ColdMemory() {
  static const std::span<std::byte> memory = [] {
    static std::shared_ptr<void> owner;
    const int64_t cache = CacheBytes();
    const int64_t bytes = std::clamp<int64_t>(2 * cache, int64_t{32} << 20, int64_t{256} << 20);
    std::byte* data = nullptr;
    owner = MakeAlignedBuffer(static_cast<size_t>(bytes), &data);
    return std::span<std::byte>(data, static_cast<size_t>(bytes));
  }();
  return memory;
}

/// Gives a layer other copies of its weights, in an order that no prefetcher guesses.
class ColdWeights {
 public:
  explicit ColdWeights(PreparedLayer* layer) : target_(layer->weights()), original_(*target_) {
    stride_ = RoundUp(layer->weight_bytes(), 64);
    copies_ = static_cast<int64_t>(ColdMemory().size()) / stride_;
    data_ = ColdMemory().data();
    for (int64_t i = 0; i < copies_; ++i) {
      std::memcpy(data_ + i * stride_, original_, static_cast<size_t>(layer->weight_bytes()));
    }
    // Far apart, and through all copies.
    step_ = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(copies_) * 0.618));
    while (std::gcd(step_, copies_) != 1) ++step_;
  }
  ~ColdWeights() { *target_ = original_; }
  ColdWeights(const ColdWeights&) = delete;
  ColdWeights& operator=(const ColdWeights&) = delete;

  void Next() {
    at_ = (at_ + step_) % copies_;
    *target_ = reinterpret_cast<const uint8_t*>(data_ + at_ * stride_);
  }

 private:
  const uint8_t** target_;
  const uint8_t* original_;
  std::byte* data_ = nullptr;
  int64_t stride_ = 0, copies_ = 0, step_ = 1, at_ = 0;
};

void RunLayer(benchmark::State& state, const Layer& layer, Kernel kernel, const std::string& isa,
              bool cold) {
  const Result<PreparedLayer*> prepared = GetPrepared(layer, kernel, isa);
  if (!prepared.ok()) {
    state.SkipWithError(prepared.status().message().c_str());
    return;
  }
  PreparedLayer* p = *prepared;
  std::optional<ColdWeights> weights;
  if (cold) weights.emplace(p);
  const double start = ThreadSeconds();  // Other programs on the machine do not count.
  for (auto _ : state) {
    if (cold) weights->Next();
    p->Run();
    benchmark::ClobberMemory();
  }
  const double seconds = ThreadSeconds() - start;
  const double gmacs =
      1e-9 * static_cast<double>(p->macs()) * static_cast<double>(state.iterations()) / seconds;
  state.counters["GOP/s"] = 2.0 * gmacs;  // One multiply-accumulate is two operations.
  const Peak peak = MeasurePeak(isa, ArithmeticOf(kernel));
  if (peak.gmacs > 0.0) state.counters["peak%"] = 100.0 * gmacs / peak.gmacs;
  state.SetLabel(p->kernel());
}

int Main(int argc, char** argv) {
  // The library would end the program itself.
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--help") == 0) {
      benchmark::PrintDefaultHelp();
      return 0;
    }
  }
  // Ahead of the caller's arguments, so that they win.
  std::string min_time = "--benchmark_min_time=0.05";
  std::vector<char*> arguments(argv, argv + argc);
  arguments.insert(arguments.begin() + 1, min_time.data());
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  Result<std::vector<Layer>> layers = LayersOf("resnet50");
  if (!layers.ok()) {
    std::fprintf(stderr, "bench_kernels: %s\n", layers.status().message().c_str());
    return 1;
  }
  for (Layer& layer : GroupedLayers()) layers->push_back(std::move(layer));
  std::vector<std::string> sets;
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    // The plain loops are the oracle, not a contender, and would take minutes.
    if (info.availability == kernels::Availability::kNative &&
        std::strcmp(info.name, "reference") != 0) {
      sets.push_back(info.name);
    }
  }
  for (const std::string& isa : sets) {
    for (Arithmetic arithmetic : {Arithmetic::kInt8, Arithmetic::kBf16, Arithmetic::kFloat}) {
      const Peak peak = MeasurePeak(isa, arithmetic);
      benchmark::AddCustomContext(StrCat("peak ", isa, " ", ArithmeticName(arithmetic)),
                                  StrCat(2.0 * peak.gmacs, " GOP/s, ", peak.instruction));
    }
  }
  for (const Layer& layer : *layers) {
    for (Kernel kernel : kKernels) {
      for (const std::string& isa : sets) {
        for (bool cold : {false, true}) {
          benchmark::RegisterBenchmark(
              StrCat(layer.Name(), "/", KernelName(kernel), "/", isa, cold ? "/cold" : "/warm")
                  .c_str(),
              [layer, kernel, isa, cold](benchmark::State& state) {
                RunLayer(state, layer, kernel, isa, cold);
              })
              ->Unit(benchmark::kMicrosecond);
        }
      }
    }
  }
  RegisterPixelBenchmarks(sets);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace octet::bench

int main(int argc, char** argv) {
  return octet::RunProgram("bench_kernels", [&] { return octet::bench::Main(argc, argv); });
}
