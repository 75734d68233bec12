// Loading, describing and verifying. Reading is formats/model/octet_file.h's business; what is
// counted in a graph is counted once, at load. Verify runs the golden input through a session of
// its own.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "engine/include/octet/octet.h"
#include "engine/src/float_environment.h"
#include "engine/src/guarded.h"
#include "engine/src/model_impl.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/analysis.h"
#include "formats/model/input_meaning.h"
#include "formats/model/operators.h"
#include "formats/model/panel.h"
#include "kernels/dispatch.h"

namespace octet {
namespace {

TensorDescription DescribeTensor(const Tensor& t, const std::vector<bool>& channels_first,
                                 size_t index) {
  TensorDescription d;
  d.name = t.name;
  d.dtype = t.dtype;
  for (int i = 0; i < t.shape.rank(); ++i) d.shape.push_back(t.shape[i]);
  if (IsCodes(t.dtype)) {
    d.scale = t.quantization.scale;
    d.zero_point = t.quantization.zero_point;
  }
  d.channels_first = index < channels_first.size() && channels_first[index];
  return d;
}

ModelDescription DescribeGraph(const OctetFile& file) {
  const Graph& graph = file.graph;
  ModelDescription d;
  d.name = graph.metadata.name;
  d.source = graph.metadata.source;
  d.options = graph.metadata.options;
  d.precision = graph.metadata.precision;
  d.labels = graph.metadata.labels;
  d.preprocessing = graph.metadata.preprocessing;
  d.file_size = file.file_size;
  d.copied_bytes = file.copied_bytes;
  d.operators = static_cast<int>(graph.nodes.size());
  for (size_t i = 0; i < graph.inputs.size(); ++i)
    d.inputs.push_back(
        DescribeTensor(graph.tensor(graph.inputs[i]), graph.inputs_channels_first, i));
  if (graph.metadata.pixel_codes) {
    d.inputs[0].by_channel = ChannelsOfInput(graph);
    d.inputs[0].scale = 0.0f;
  }
  for (size_t i = 0; i < graph.outputs.size(); ++i)
    d.outputs.push_back(
        DescribeTensor(graph.tensor(graph.outputs[i]), graph.outputs_channels_first, i));
  for (const Tensor& t : graph.tensors) {
    if (!t.is_constant()) continue;
    d.weight_bytes += static_cast<int64_t>(t.data.size());
  }
  d.parameters = CountParameters(graph);
  for (const Node& n : graph.nodes) d.macs += NodeMacs(graph, n);
  return d;
}

ReadOptions ToReadOptions(const ModelOptions& o) {
  // Where OCTET_ISA is wrong, sessions say so.
  const Result<const kernels::KernelTable*> table = kernels::SelectTable("");
  return {.verify_checksum = o.verify_checksum,
          .checksum = table.ok() ? (*table)->checksum : &ChecksumAround,
          .copy = o.residency != Residency::kMap,
          .lock = o.residency == Residency::kCopyAndLock,
          .max_memory = o.max_memory,
          .max_nodes = o.max_nodes};
}

Result<std::shared_ptr<const Model>> MakeModel(OctetFile file, int64_t max_memory) {
  // No session can do with less; to know it now is cheap.
  for (const Node& n : file.graph.nodes) {
    const int64_t bytes = ActivationBytes(file.graph, n);
    if (bytes <= max_memory) continue;
    return CheckMemory(StrCat("node '", n.name, "': what it reads and writes"), bytes, max_memory);
  }
  auto impl = std::make_unique<Internals::ModelImpl>();
  impl->max_memory = max_memory;
  impl->description = DescribeGraph(file);
  impl->file = std::move(file);
  return Internals::Make(std::move(impl));
}

Status VerifyGolden(const Model& model) {
  const Golden& golden = Internals::Of(model).file.golden;
  if (golden.output.empty()) return NotFound("the file carries no golden output");
  // A shared_ptr that does not own: the session does not outlive this call.
  const std::shared_ptr<const Model> self(std::shared_ptr<const Model>(), &model);
  OCTET_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Create(self));
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> output, RunGolden(session.get(), golden.seed));
  const bool exact = IsExact(GraphOf(model));
  const bool codes = IsCodes(model.Describe().outputs[0].dtype);
  const std::vector<Tensor>& tensors = GraphOf(model).tensors;
  const bool bf16 = std::any_of(tensors.begin(), tensors.end(),
                                [](const Tensor& t) { return t.dtype == DType::kBF16; });
  float largest = 0.0f;
  for (float v : golden.output) largest = std::max(largest, std::fabs(v));
  for (size_t i = 0; i < output.size(); ++i) {
    // Float layers differ by rounding between instruction sets, and what is quantized from them by
    // a step. A sum that differs rounds some activations of bfloat16 the other way, 2^-8 of them,
    // and those behind.
    const float tolerance = exact   ? 0.0f
                            : codes ? 1.0f
                            : bf16  ? 1e-4f + 0x1p-5f * largest
                                    : 1e-4f + 2e-3f * std::fabs(golden.output[i]);
    if (!(std::fabs(output[i] - golden.output[i]) <= tolerance)) {
      return Corrupt(StrCat("golden output ", i, " is ", output[i], ", expected ", golden.output[i],
                            " within ", tolerance));
    }
  }
  return OkStatus();
}

}  // namespace

int64_t ActivationBytes(const Graph& graph, const Node& node) {
  int64_t bytes = 0;
  const auto add = [&](TensorId id) {
    if (id == kNoTensor || graph.tensor(id).is_constant()) return;
    bytes += graph.tensor(id).shape.num_elements() *
             static_cast<int64_t>(DTypeSize(graph.tensor(id).dtype));
  };
  for (TensorId id : node.inputs) add(id);
  add(node.output);
  return bytes;
}

Status CheckMemory(const std::string& what, int64_t bytes, int64_t max_memory) {
  if (bytes <= max_memory) return OkStatus();
  return OutOfMemory(StrCat(what, ": needs ", bytes, " bytes, max_memory is ", max_memory));
}

bool IsExact(const Graph& graph) {
  std::vector<bool> wanted(graph.tensors.size(), false);
  wanted[graph.outputs[0]] = true;
  for (auto n = graph.nodes.rbegin(); n != graph.nodes.rend(); ++n) {
    if (!wanted[n->output]) continue;
    if (!IsCodes(graph.tensor(n->output).dtype)) return false;
    for (TensorId id : n->inputs) {
      if (id != kNoTensor) wanted[id] = true;
    }
  }
  return true;
}

int64_t NodeMacs(const Graph& graph, const Node& node) {
  if (!TraitsOf(node.type).has_weights) return 0;
  const Shape& w = graph.tensor(node.inputs[kInputWeights]).shape;
  const Shape& y = graph.tensor(node.output).shape;
  const int64_t pixels = y.rank() == 4 ? y[1] * y[2] : 1;
  return pixels * w.num_elements();
}

Result<std::shared_ptr<const Model>> ModelFromGraph(Graph graph) {
  PackGraph(&graph);
  OCTET_RETURN_IF_ERROR(ValidateGraph(graph));
  OctetFile file;
  file.graph = std::move(graph);
  return MakeModel(std::move(file), ModelOptions().max_memory);
}

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::~Model() = default;

Result<std::shared_ptr<const Model>> Model::Load(const std::string& path,
                                                 const ModelOptions& options) {
  return Guarded([&]() -> Result<std::shared_ptr<const Model>> {
    OCTET_ASSIGN_OR_RETURN(OctetFile file, ReadOctetFile(path, ToReadOptions(options)));
    return MakeModel(std::move(file), options.max_memory);
  });
}

Result<std::shared_ptr<const Model>> Model::FromMemory(const void* data, size_t size,
                                                       const ModelOptions& options) {
  return Guarded([&]() -> Result<std::shared_ptr<const Model>> {
    if (data == nullptr) return InvalidArgument("Model::FromMemory: data is null");
    const std::span<const std::byte> bytes(static_cast<const std::byte*>(data), size);
    ReadOptions read = ToReadOptions(options);
    read.copy = read.copy || reinterpret_cast<uintptr_t>(data) % kFileAlignment != 0;
    OCTET_ASSIGN_OR_RETURN(OctetFile file, ReadOctetBytes(bytes, nullptr, read));
    return MakeModel(std::move(file), options.max_memory);
  });
}

Result<std::shared_ptr<const Model>> Model::FromDescriptor(int descriptor, int64_t offset,
                                                           int64_t length,
                                                           const ModelOptions& options) {
  return Guarded([&]() -> Result<std::shared_ptr<const Model>> {
    OCTET_ASSIGN_OR_RETURN(OctetFile file,
                           ReadOctetDescriptor(descriptor, offset, length, ToReadOptions(options)));
    return MakeModel(std::move(file), options.max_memory);
  });
}

Result<std::shared_ptr<const Model>> Model::FromReader(const ModelReader& reader,
                                                       const ModelOptions& options) {
  return Guarded([&]() -> Result<std::shared_ptr<const Model>> {
    if (reader.read == nullptr) return InvalidArgument("Model::FromReader: read is null");
    const auto read = [&](int64_t offset, std::span<std::byte> out) {
      return reader.read(reader.context, offset, out.data(), out.size());
    };
    OCTET_ASSIGN_OR_RETURN(OctetFile file,
                           ReadOctetPieces(reader.size, read, ToReadOptions(options)));
    return MakeModel(std::move(file), options.max_memory);
  });
}

const ModelDescription& Model::Describe() const { return impl_->description; }

Status Model::Verify() const {
  return Guarded([&] { return VerifyGolden(*this); });
}

void TensorDescription::ToFloats(const uint8_t* bytes, float* values) const {
  if (!by_channel.empty()) {
    DequantizeChannels(by_channel.scales.data(), by_channel.zero_points.data(),
                       by_channel.scales.size(), bytes, num_elements(), values);
  } else if (IsCodes(dtype)) {
    Dequantize({scale, zero_point}, dtype, bytes, num_elements(), values);
  } else {
    std::memcpy(values, bytes, num_bytes());
  }
}

void TensorDescription::FromFloats(const float* values, uint8_t* bytes) const {
  if (!by_channel.empty()) {
    QuantizeChannels(by_channel.scales.data(), by_channel.zero_points.data(),
                     by_channel.scales.size(), values, num_elements(), bytes);
  } else if (IsCodes(dtype)) {
    Quantize({scale, zero_point}, dtype, values, num_elements(), bytes);
  } else {
    std::memcpy(bytes, values, num_bytes());
  }
}

int32_t CodeAt(DType type, const uint8_t* bytes, size_t i) {
  if (type == DType::kU8) return bytes[i];
  int16_t v;
  std::memcpy(&v, bytes + 2 * i, sizeof(v));
  return v;
}

void ReadPixel(const Tensor& tensor, const kernels::ActivationView& view, int y, int x,
               uint8_t* bytes) {
  const uint8_t* pixel = view.pixel(0, y, x);
  if (tensor.dtype != DType::kI16) {
    std::memcpy(bytes, pixel, static_cast<size_t>(view.c) * DTypeSize(tensor.dtype));
    return;
  }
  for (int c = 0; c < view.c; ++c) {
    const auto v = static_cast<int16_t>(256 * pixel[c] + pixel[c + view.plane] - 32768);
    std::memcpy(bytes + 2 * c, &v, sizeof(v));
  }
}

void AppendNumbers(const Tensor& t, const kernels::ActivationView& view, std::vector<float>* to) {
  const auto count = static_cast<size_t>(view.c);
  std::vector<uint8_t> pixel(count * DTypeSize(t.dtype));
  for (int y = 0; y < view.h; ++y) {
    for (int x = 0; x < view.w; ++x) {
      ReadPixel(t, view, y, x, pixel.data());
      to->resize(to->size() + count);
      float* numbers = to->data() + to->size() - count;
      if (IsCodes(t.dtype)) {
        Dequantize(t.quantization, t.dtype, pixel.data(), count, numbers);
      } else if (t.dtype == DType::kBF16) {
        const auto* halves = reinterpret_cast<const uint16_t*>(pixel.data());
        std::transform(halves, halves + count, numbers, Bf16ToFloat);
      } else {
        std::memcpy(numbers, pixel.data(), pixel.size());
      }
    }
  }
}

void Dequantize(const Quantization& q, DType type, const uint8_t* codes, size_t count,
                float* values) {
  const FloatEnvironment environment;
  for (size_t i = 0; i < count; ++i)
    values[i] = q.scale * static_cast<float>(CodeAt(type, codes, i) - q.zero_point);
}

void Quantize(const Quantization& q, DType type, const float* values, size_t count,
              uint8_t* codes) {
  const FloatEnvironment environment;
  const float low = static_cast<float>(CodesOf(type).low),
              high = static_cast<float>(CodesOf(type).high);
  for (size_t i = 0; i < count; ++i) {
    const float v = std::nearbyint(values[i] / q.scale) + static_cast<float>(q.zero_point);
    // In this order of arguments max drops a NaN.
    const float code = std::min(std::max(low, v), high);
    if (type == DType::kU8) {
      codes[i] = static_cast<uint8_t>(code);
    } else {
      const auto wide = static_cast<int16_t>(code);
      std::memcpy(codes + 2 * i, &wide, sizeof(wide));
    }
  }
}

void DequantizeChannels(const float* scales, const float* zero_points, size_t channels,
                        const uint8_t* codes, size_t count, float* values) {
  const FloatEnvironment environment;
  for (size_t i = 0; i < count; ++i) {
    const size_t c = i % channels;
    values[i] = scales[c] * (static_cast<float>(codes[i]) - zero_points[c]);
  }
}

void QuantizeChannels(const float* scales, const float* zero_points, size_t channels,
                      const float* values, size_t count, uint8_t* codes) {
  const FloatEnvironment environment;
  for (size_t i = 0; i < count; ++i) {
    const size_t c = i % channels;
    const float v = std::nearbyint(values[i] / scales[c] + zero_points[c]);
    // In this order of arguments max drops a NaN.
    codes[i] = static_cast<uint8_t>(std::min(std::max(0.0f, v), 255.0f));
  }
}

Result<std::vector<float>> RunGolden(Session* session, uint64_t seed) {
  const ModelDescription& d = session->GetModel().Describe();
  const MemoryReport memory = session->Memory();
  int64_t bytes = memory.arena_bytes + memory.prepared_bytes;
  for (const TensorDescription& t : d.inputs) bytes += static_cast<int64_t>(t.num_bytes());
  for (const TensorDescription& t : d.outputs) bytes += static_cast<int64_t>(t.num_bytes());
  OCTET_RETURN_IF_ERROR(CheckMemory("inputs and outputs of the golden run", bytes,
                                    Internals::Of(session->GetModel()).max_memory));
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  buffers.reserve(d.inputs.size() + d.outputs.size());
  for (const TensorDescription& t : d.inputs) {
    buffers.emplace_back(t.num_bytes());
    if (t.dtype == DType::kU8) {
      GenerateGoldenInput(seed, std::span<uint8_t>(buffers.back()));
    } else if (t.dtype == DType::kI16) {
      GenerateGoldenInput(seed,
                          std::span<int16_t>(reinterpret_cast<int16_t*>(buffers.back().data()),
                                             buffers.back().size() / 2));
    } else {
      GenerateGoldenInput(seed, std::span<float>(reinterpret_cast<float*>(buffers.back().data()),
                                                 buffers.back().size() / 4));
    }
    inputs.push_back(buffers.back().data());
  }
  for (const TensorDescription& t : d.outputs) {
    buffers.emplace_back(t.num_bytes());
    outputs.push_back(buffers.back().data());
  }
  OCTET_RETURN_IF_ERROR(session->Run(inputs.data(), outputs.data(), 1));
  const std::vector<uint8_t>& first = buffers[d.inputs.size()];
  std::vector<float> result;
  if (IsCodes(d.outputs[0].dtype)) {
    result.resize(d.outputs[0].num_elements());
    for (size_t i = 0; i < result.size(); ++i)
      result[i] = static_cast<float>(CodeAt(d.outputs[0].dtype, first.data(), i));
  } else {
    result.resize(first.size() / 4);
    std::memcpy(result.data(), first.data(), first.size());
  }
  return result;
}

}  // namespace octet
