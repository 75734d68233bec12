// A small network that every instruction set has kernels for, as a graph and as a file, for tests
// of what surrounds the numbers.
#ifndef OCTET_TESTS_SMALL_NETWORK_H_
#define OCTET_TESTS_SMALL_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/src/model_impl.h"
#include "formats/base/file.h"
#include "formats/model/octet_file.h"
#include "tests/sample_graphs.h"

namespace octet::testing {

/// A residual block with a dense head on images of 20x20x3, 5 classes. Int8 networks have uint8
/// input and output, and with `float_ends` a quantization in front and a float result.
inline Graph SmallNetwork(Precision precision, bool float_ends = false) {
  SampleGraphBuilder b(precision);
  Graph& g = b.graph();
  g.metadata.name = "small";
  g.metadata.labels = {"roses", "sunflowers", "daisy", "dandelion", "tulips"};
  g.metadata.preprocessing.resize = ResizeRule::kStretch;
  g.metadata.preprocessing.scale = 1.0f / 64.0f;
  g.metadata.preprocessing.mean = {2.0f, 2.0f, 2.0f, 0.0f};
  const bool converts = b.quantized() && float_ends;
  TensorId x;
  if (converts) {
    const TensorId image = g.AddActivation("image", DType::kF32, {1, 20, 20, 3});
    g.inputs = {image};
    x = b.Activation("quantized", {1, 20, 20, 3}, 114, 0.02f);
    b.Add(OpType::kQuantize, "quantize", {image}, x);
  } else {
    x = b.Input({1, 20, 20, 3});
  }
  const auto same = [](Node* n) {
    n->window.pad_top = n->window.pad_left = n->window.pad_bottom = n->window.pad_right = 1;
    n->activation = Activation::kRelu;
  };
  const auto none = [](Node*) {};
  const TensorId stem = b.Conv(OpType::kConv2d, "stem", x, {16, 3, 3, 3}, kNoTensor,
                               b.Activation("stem", {1, 1, 1, 1}, 0, 0.03f), same);
  x = b.Conv(OpType::kConv2d, "a", stem, {48, 3, 3, 16}, kNoTensor,
             b.Activation("a", {1, 1, 1, 1}, 0, 0.04f), same);
  x = b.Conv(OpType::kConv2d, "b", x, {16, 1, 1, 48}, stem,
             b.Activation("b", {1, 1, 1, 1}, 100, 0.06f), none);
  x = b.Add(OpType::kGlobalAveragePool, "pool", {x},
            b.Activation("pool", {1, 1, 1, 1}, 110, 0.03f));
  const TensorId flat = g.AddActivation("flat", g.tensor(x).dtype, {1, 16});
  g.tensor(flat).quantization = g.tensor(x).quantization;
  x = b.Add(OpType::kReshape, "flatten", {x}, flat);
  const TensorId logits = converts || b.bf16() ? g.AddActivation("logits", DType::kF32, {1, 5})
                                               : b.Activation("logits", {1, 5}, 128, 0.05f);
  g.outputs = {b.Conv(OpType::kDense, "fc", x, {5, 16}, kNoTensor, logits, none)};
  // Int8 weights of the size of the float ones.
  for (Node& n : g.nodes) {
    if (n.input(kInputScales) == kNoTensor) continue;
    std::vector<float> scales;
    for (int64_t c = 0; c < g.tensor(n.inputs[kInputWeights]).shape[0]; ++c)
      scales.push_back(static_cast<float>(9 + c % 3) / 2560.0f);
    n.set_input(kInputScales, b.Constant("scales of " + n.name, DType::kF32, scales));
  }
  return std::move(g);
}

/// As octet_convert writes it, its golden output from the reference kernels; empty on failure.
inline std::vector<std::byte> FileOf(const Graph& graph) {
  const auto model = ModelFromGraph(graph);
  if (!model.ok()) return {};
  SessionOptions options;
  options.isa = "reference";
  const auto session = Session::Create(*model, options);
  if (!session.ok()) return {};
  Golden golden;
  golden.seed = 5;
  auto output = RunGolden(session->get(), golden.seed);
  if (!output.ok()) return {};
  golden.output = std::move(output).value();
  auto bytes = SerializeOctet(graph, golden);
  return bytes.ok() ? std::move(bytes).value() : std::vector<std::byte>();
}

/// Writes its file.
inline Status WriteModel(const std::string& path, const Graph& graph) {
  const std::vector<std::byte> bytes = FileOf(graph);
  if (bytes.empty()) return InternalError(path + ": the network does not run");
  return WriteFileAtomically(path, bytes);
}

/// Of images of 4x2 pixels; says which channel is the brightest.
inline Graph MeansNetwork(int64_t channels, bool channels_first, std::vector<std::string> labels) {
  Graph g;
  g.metadata.name = "means";
  g.metadata.labels = std::move(labels);
  const TensorId input = g.AddActivation("input", DType::kF32, {1, 2, 4, channels}),
                 pooled = g.AddActivation("pooled", DType::kF32, {1, 1, 1, channels}),
                 means = g.AddActivation("means", DType::kF32, {1, channels});
  g.AddNode(OpType::kGlobalAveragePool, "pool", {input}, pooled);
  g.AddNode(OpType::kReshape, "flatten", {pooled}, means);
  g.inputs = {input};
  g.outputs = {means};
  g.inputs_channels_first = {channels_first};
  g.outputs_channels_first = {false};
  return g;
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_SMALL_NETWORK_H_
