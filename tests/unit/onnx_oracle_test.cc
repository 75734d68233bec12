// Random ONNX networks against an evaluator that shares nothing with the importer but the parser.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "converter/import/importer.h"
#include "tests/unit/import_oracle.h"
#include "tests/unit/onnx_generator.h"
#include "tests/unit/onnx_reference.h"

namespace octet::testing {
namespace {

/// Values of an image in the order of channels first as channels last.
Values ChannelsLast(const Values& v, const Dims& nchw) {
  Values out;
  for (int64_t p = 0; p < nchw[2] * nchw[3]; ++p) {
    for (int64_t c = 0; c < nchw[1]; ++c)
      out.push_back(v[static_cast<size_t>(c * nchw[2] * nchw[3] + p)]);
  }
  return out;
}

bool IsChannelsLast(const Shape& shape, const Dims& nchw) {
  return nchw.size() == 4 && shape == Shape{1, nchw[2], nchw[3], nchw[1]};
}

void RunNetworks(bool quantized, double limit) {
  ImportOracle oracle(quantized ? "ONNX, quantized" : "ONNX, float", limit);
  for (int64_t seed = oracle.begin(); seed < oracle.end(); ++seed) {
    OnnxGenerator generator(static_cast<uint64_t>(seed), quantized);
    const std::string bytes = generator.Make();
    Result<Graph> graph = ImportOnnxBytes(bytes, "network.onnx");
    if (!oracle.Takes(seed, &graph)) continue;
    Result<OnnxModel> model = ParseOnnx(bytes, "network.onnx");
    ASSERT_TRUE(model.ok());
    RefTensor x{generator.input(), {}};
    for (int64_t i = 0; i < RefCount(x.dims); ++i)
      x.values.push_back((generator.Below(33) - 16) / 8.0);
    const RefTensor y = OnnxReference(*model).Run(x);
    const Shape in = graph->tensor(graph->inputs[0]).shape,
                out = graph->tensor(graph->outputs[0]).shape;
    // Where both orders have one shape the graph does not say which it is.
    std::vector<Values> right;
    if (!IsChannelsLast(out, y.dims) || out == Shape{1, y.dims[1], y.dims[2], y.dims[3]})
      right.push_back(y.values);
    if (IsChannelsLast(out, y.dims)) right.push_back(ChannelsLast(y.values, y.dims));
    ASSERT_TRUE(oracle.IsRight(
        seed, *graph, IsChannelsLast(in, x.dims) ? ChannelsLast(x.values, x.dims) : x.values,
        right));
  }
  oracle.Report();
}

TEST(OnnxOracle, FloatNetworks) { RunNetworks(false, 1e-4); }
TEST(OnnxOracle, QuantizedNetworks) { RunNetworks(true, 1e-5); }

}  // namespace
}  // namespace octet::testing
