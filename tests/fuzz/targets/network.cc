#include "tests/fuzz/targets/network.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "formats/model/octet_file.h"
#include "formats/model/panel.h"
#include "tests/fuzz/graph_oracle.h"
#include "tests/fuzz/targets/fuzz_target.h"

namespace octet::testing {
namespace {

/// As stored, channels rounded up and padding included, of each tensor and of all.
constexpr double kMaxElements = 1 << 19;
constexpr double kMaxMacs = 2e6;

double PaddedElements(const Shape& shape, const Window& w) {
  const double channels = static_cast<double>(RoundUp(shape.back(), kPanelWidth));
  if (shape.rank() != 4) return channels;
  return channels * (static_cast<double>(shape[1]) + w.pad_top + w.pad_bottom) *
         (static_cast<double>(shape[2]) + w.pad_left + w.pad_right);
}

}  // namespace

bool IsSmall(const Graph& g) {
  double elements = 0.0, macs = 0.0;
  // All readers' paddings together are what a tensor is stored with.
  Window widest;
  for (const Node& n : g.nodes) {
    widest.pad_top = std::max(widest.pad_top, n.window.pad_top);
    widest.pad_left = std::max(widest.pad_left, n.window.pad_left);
    widest.pad_bottom = std::max(widest.pad_bottom, n.window.pad_bottom);
    widest.pad_right = std::max(widest.pad_right, n.window.pad_right);
  }
  for (const Tensor& t : g.tensors) {
    if (t.is_constant()) continue;
    elements += PaddedElements(t.shape, widest);
    if (elements > kMaxElements) return false;
  }
  for (const Node& n : g.nodes) {
    double per_element = static_cast<double>(n.window.kernel_h) * n.window.kernel_w;
    if (n.type == OpType::kConv2d || n.type == OpType::kDense) {
      const Shape& w = g.tensor(n.inputs[kInputWeights]).shape;
      per_element = static_cast<double>(w.num_elements()) / static_cast<double>(w[0]);
    }
    macs += PaddedElements(g.tensor(n.output).shape, {}) * per_element;
    if (macs > kMaxMacs) return false;
  }
  return true;
}

bool RunModel(const std::shared_ptr<const Model>& model, uint32_t choice) {
  static const std::vector<std::string> isas = OracleIsas();
  SessionOptions options;
  options.isa = isas[choice % isas.size()];
  options.max_batch = 1 + static_cast<int>(choice >> 8) % 3;
  options.winograd = (choice >> 12) % 2 == 0;
  const auto session = Session::Create(model, options);
  if (!session.ok()) return false;
  const ModelDescription& d = model->Describe();
  const auto batch = static_cast<size_t>(options.max_batch);
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  buffers.reserve(d.inputs.size() + d.outputs.size());
  for (const TensorDescription& t : d.inputs) {
    std::vector<uint8_t>& bytes = buffers.emplace_back(t.num_bytes() * batch);
    if (t.dtype == DType::kU8) {
      GenerateGoldenInput(choice, std::span<uint8_t>(bytes));
    } else if (t.dtype == DType::kI16) {
      GenerateGoldenInput(choice, std::span<int16_t>(reinterpret_cast<int16_t*>(bytes.data()),
                                                     t.num_elements() * batch));
    } else {
      GenerateGoldenInput(choice, std::span<float>(reinterpret_cast<float*>(bytes.data()),
                                                   t.num_elements() * batch));
    }
    inputs.push_back(bytes.data());
  }
  for (const TensorDescription& t : d.outputs) {
    outputs.push_back(buffers.emplace_back(t.num_bytes() * batch).data());
  }
  const Status status = (*session)->Run(inputs.data(), outputs.data(), options.max_batch);
  FUZZ_CHECK(status.ok(), status.message());
  return true;
}

bool ConvertAndRun(Graph graph, uint32_t choice) {
  Status valid = ValidateGraph(graph);
  FUZZ_CHECK(valid.ok(), "imported: " + valid.message());
  if (!IsSmall(graph) || !Optimize(&graph).ok()) return false;
  valid = ValidateGraph(graph);
  FUZZ_CHECK(valid.ok(), "optimized: " + valid.message());

  QuantizeOptions options;
  options.input_type = graph.tensor(graph.inputs[0]).dtype;
  options.output_type = graph.tensor(graph.outputs[0]).dtype;
  CalibrationTable table{"minmax", 1, {}};
  if (IsQuantized(graph)) {
    options.precision = Precision::kInt8;
  } else {
    options.precision = static_cast<Precision>((choice >> 16) % 4);
    const DType codes = (choice >> 22) % 2 == 0 ? DType::kU8 : DType::kI16;
    if ((choice >> 20) % 2 == 0) options.input_type = codes;
    if ((choice >> 21) % 2 == 0) options.output_type = codes;
    if (options.precision != Precision::kInt8) {
      options.input_type = graph.tensor(graph.inputs[0]).dtype;
      options.output_type = graph.tensor(graph.outputs[0]).dtype;
    } else if ((choice >> 23) % 2 == 0) {
      options.precision = Precision::kInt16x8;
    }
    uint32_t range = choice;
    for (const Tensor& t : graph.tensors) {
      if (t.is_constant()) continue;
      range = range * 1664525u + 1013904223u;
      table.ranges[t.name] = {-static_cast<float>(range >> 28),
                              1.0f + static_cast<float>(range >> 24 & 15)};
    }
  }
  const Result<Graph> quantized = QuantizeGraph(graph, options, &table);
  if (!quantized.ok()) return false;
  valid = ValidateGraph(*quantized);
  FUZZ_CHECK(valid.ok(), "quantized: " + valid.message());
  const auto bytes = SerializeOctet(*quantized, {});
  if (!bytes.ok()) return false;  // Names that a file may not have.
  const auto model = Model::FromMemory(bytes->data(), bytes->size());
  FUZZ_CHECK(model.ok(), "written: " + model.status().message());
  return IsSmall(*quantized) && RunModel(*model, choice);
}

}  // namespace octet::testing
