#include <cmath>
#include <cstring>
#include <utility>

#include "engine/include/octet/octet.h"
#include "engine/src/model_impl.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/panel.h"

namespace octet {
namespace {

TensorDescription DescribeTensor(const Tensor& t) {
  TensorDescription d;
  d.name = t.name;
  d.dtype = t.dtype;
  for (int i = 0; i < t.shape.rank(); ++i) d.shape.push_back(t.shape[i]);
  if (t.dtype == DType::kU8) {
    d.scale = t.quantization.scale;
    d.zero_point = t.quantization.zero_point;
  }
  return d;
}

ModelDescription DescribeGraph(const Graph& graph, int64_t file_size) {
  ModelDescription d;
  d.name = graph.metadata.name;
  d.source = graph.metadata.source;
  d.options = graph.metadata.options;
  d.precision = graph.metadata.precision;
  d.labels = graph.metadata.labels;
  d.preprocessing = graph.metadata.preprocessing;
  d.file_size = file_size;
  d.operators = static_cast<int>(graph.nodes.size());
  for (TensorId id : graph.inputs) d.inputs.push_back(DescribeTensor(graph.tensor(id)));
  for (TensorId id : graph.outputs) d.outputs.push_back(DescribeTensor(graph.tensor(id)));
  for (const Tensor& t : graph.tensors) {
    if (!t.is_constant()) continue;
    d.weight_bytes += static_cast<int64_t>(t.data.size());
    d.parameters += t.shape.num_elements();
  }
  for (const Node& n : graph.nodes) d.macs += NodeMacs(graph, n);
  return d;
}

std::shared_ptr<const Model> MakeModel(OctetFile file) {
  auto impl = std::make_unique<Model::Impl>();
  impl->description = DescribeGraph(file.graph, file.file_size);
  impl->file = std::move(file);
  return std::make_shared<const Model>(std::move(impl));
}

}  // namespace

int64_t NodeMacs(const Graph& graph, const Node& node) {
  if (node.type != OpType::kConv2d && node.type != OpType::kDense) return 0;
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
  return MakeModel(std::move(file));
}

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::~Model() = default;

Result<std::shared_ptr<const Model>> Model::Load(const std::string& path,
                                                 const ModelOptions& options) {
  OCTET_ASSIGN_OR_RETURN(OctetFile file, ReadOctetFile(path, {options.verify_checksum}));
  return MakeModel(std::move(file));
}

Result<std::shared_ptr<const Model>> Model::FromMemory(const void* data, size_t size,
                                                       const ModelOptions& options) {
  std::span<const std::byte> bytes(static_cast<const std::byte*>(data), size);
  std::shared_ptr<const void> owner;
  if (reinterpret_cast<uintptr_t>(data) % 64 != 0) {
    std::byte* copy = nullptr;
    owner = MakeAlignedBuffer(size, &copy);
    std::memcpy(copy, data, size);
    bytes = {copy, size};
  }
  OCTET_ASSIGN_OR_RETURN(OctetFile file,
                         ReadOctetBytes(bytes, std::move(owner), {options.verify_checksum}));
  return MakeModel(std::move(file));
}

const ModelDescription& Model::Describe() const { return impl_->description; }

Status Model::Verify() const {
  const Golden& golden = impl_->file.golden;
  if (golden.output.empty()) return NotFound("the file carries no golden output");
  // A shared_ptr that does not own: the session does not outlive this call.
  const std::shared_ptr<const Model> self(std::shared_ptr<const Model>(), this);
  OCTET_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Create(self));
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> output, RunGolden(session.get(), golden.seed));
  for (size_t i = 0; i < output.size(); ++i) {
    // Integer layers give the same bits everywhere; float ones differ by rounding between
    // instruction sets.
    const float tolerance = impl_->description.outputs[0].dtype == DType::kU8
                                ? 1.0f
                                : 1e-4f + 2e-3f * std::fabs(golden.output[i]);
    if (!(std::fabs(output[i] - golden.output[i]) <= tolerance)) {
      return Corrupt(StrCat("golden output ", i, " is ", output[i], ", expected ", golden.output[i],
                            " within ", tolerance));
    }
  }
  return OkStatus();
}

void TensorDescription::ToFloats(const uint8_t* bytes, float* values) const {
  if (dtype != DType::kU8) {
    std::memcpy(values, bytes, num_bytes());
    return;
  }
  const size_t count = num_elements();
  for (size_t i = 0; i < count; ++i) values[i] = scale * static_cast<float>(bytes[i] - zero_point);
}

Result<std::vector<float>> RunGolden(Session* session, uint64_t seed) {
  const ModelDescription& d = session->impl().model->Describe();
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  buffers.reserve(d.inputs.size() + d.outputs.size());
  for (const TensorDescription& t : d.inputs) {
    buffers.emplace_back(t.num_bytes());
    if (t.dtype == DType::kU8) {
      GenerateGoldenInput(seed, std::span<uint8_t>(buffers.back()));
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
  if (d.outputs[0].dtype == DType::kU8) {
    result.assign(first.begin(), first.end());
  } else {
    result.resize(first.size() / 4);
    std::memcpy(result.data(), first.data(), first.size());
  }
  return result;
}

}  // namespace octet
