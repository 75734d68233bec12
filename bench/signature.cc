// Seeds are tried in order; graphs that compute with anything but codes, or do not validate, are
// passed over until kNetworks have counted.
#include "bench/signature.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "bench/graph_generator.h"
#include "engine/include/octet/octet.h"
#include "engine/src/model_impl.h"
#include "formats/base/macros.h"
#include "formats/model/octet_file.h"
#include "formats/model/operators.h"
#include "formats/model/panel.h"

namespace octet::bench {
namespace {

constexpr int kNetworks = 400, kBatch = 2;

/// Whether every node computes with codes, as functions of floats differ in last digits, and has a
/// kernel.
bool IsPartOfIt(const Graph& g) {
  return std::all_of(g.nodes.begin(), g.nodes.end(), [&](const Node& n) {
    if (TraitsOf(n.type).has_weights &&
        ChooseLayout(n, g.tensor(n.inputs[kInputWeights]).shape) == Layout::kPlain)
      return false;
    return std::all_of(n.inputs.begin(), n.inputs.end(), [&](TensorId id) {
      return id == kNoTensor || g.tensor(id).is_constant() || g.tensor(id).dtype == DType::kU8;
    });
  });
}

Status AddOutputs(Graph graph, const SessionOptions& options, uint64_t seed, Signature* s) {
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                         ModelFromGraph(std::move(graph)));
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model, options));
  const ModelDescription& d = model->Describe();
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  for (const TensorDescription& t : d.inputs) {
    std::vector<uint8_t>& codes = buffers.emplace_back(t.num_bytes() * kBatch);
    GenerateGoldenInput(seed + inputs.size(), std::span<uint8_t>(codes));
    inputs.push_back(codes.data());
  }
  for (const TensorDescription& t : d.outputs)
    outputs.push_back(buffers.emplace_back(t.num_bytes() * kBatch).data());
  OCTET_RETURN_IF_ERROR(session->Run(inputs.data(), outputs.data(), kBatch));
  for (size_t i = 0; i < outputs.size(); ++i) {
    for (const uint8_t byte : buffers[inputs.size() + i]) s->hash = Fnv1a(s->hash, byte);
    s->values += static_cast<int64_t>(d.outputs[i].num_elements()) * kBatch;
  }
  return OkStatus();
}

}  // namespace

Result<Signature> ComputeSignature(const std::string& isa, int num_threads) {
  SessionOptions options;
  options.isa = isa;
  options.num_threads = num_threads;
  options.max_batch = kBatch;
  Signature s;
  for (uint64_t seed = 1; s.networks < kNetworks; ++seed) {
    testing::SeededChoices choices(seed);
    Graph graph = testing::GenerateGraph(&choices);
    if (!IsPartOfIt(graph) || !ValidateGraph(graph).ok()) continue;
    OCTET_RETURN_IF_ERROR(AddOutputs(graph, options, seed, &s));
    graph.outputs.clear();
    std::set<TensorId>
        padded;  // With codes of their one reader, which the caller would be another.
    for (const Node& n : graph.nodes) {
      if (n.type == OpType::kConv2d && n.input(kInputPadding) != kNoTensor)
        padded.insert(n.inputs[kInputX]);
    }
    for (const Node& n : graph.nodes) {
      if (!padded.contains(n.output)) graph.outputs.push_back(n.output);
      s.operators.insert(n.type);
    }
    graph.metadata.labels.clear();
    graph.outputs_channels_first.clear();
    OCTET_RETURN_IF_ERROR(AddOutputs(std::move(graph), options, seed, &s));
    ++s.networks;
  }
  return s;
}

}  // namespace octet::bench
