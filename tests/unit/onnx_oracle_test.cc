// Random ONNX networks through the importer and the passes, against an evaluator that shares
// nothing with them but the parser: what is taken must be right. OCTET_NETWORKS changes how many
// (20,000 of each kind), OCTET_NETWORK_SEED the first.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "converter/import/importer.h"
#include "converter/passes/passes.h"
#include "formats/base/str_cat.h"
#include "tests/unit/naive_interpreter.h"
#include "tests/unit/onnx_generator.h"
#include "tests/unit/onnx_reference.h"

namespace octet::testing {
namespace {

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

/// Values of an image in the order of channels first as channels last.
std::vector<double> ChannelsLast(const std::vector<double>& v, const Dims& nchw) {
  std::vector<double> out;
  for (int64_t p = 0; p < nchw[2] * nchw[3]; ++p) {
    for (int64_t c = 0; c < nchw[1]; ++c)
      out.push_back(v[static_cast<size_t>(c * nchw[2] * nchw[3] + p)]);
  }
  return out;
}

bool IsChannelsLast(const Shape& shape, const Dims& nchw) {
  return nchw.size() == 4 && shape == Shape{1, nchw[2], nchw[3], nchw[1]};
}

/// The reason without what is particular to one network.
std::string Reason(std::string message) {
  std::string reason;
  bool quoted = false;
  for (char c : message) {
    if (c == '\'') quoted = !quoted;
    if (quoted || c == '\'') continue;
    reason += c >= '0' && c <= '9' ? '#' : c;
  }
  return reason.substr(0, 110);
}

double Difference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = 0, largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::fabs(a[i] - b[i]));
    largest = std::max(largest, std::fabs(b[i]));
  }
  return worst == 0 ? 0 : worst / std::max(largest, 1e-3);
}

void RunNetworks(bool quantized, double limit) {
  const int64_t count = FromEnvironment("OCTET_NETWORKS", 20000),
                first = FromEnvironment("OCTET_NETWORK_SEED", 0);
  std::map<std::string, int> refused;
  int64_t taken = 0, skipped = 0;
  double worst = 0;
  for (int64_t seed = first; seed < first + count; ++seed) {
    OnnxGenerator generator(static_cast<uint64_t>(seed), quantized);
    const std::string bytes = generator.Make();
    Result<Graph> graph = ImportOnnxBytes(bytes, "network.onnx");
    if (graph.ok()) {
      const Status status = Optimize(&*graph);
      if (!status.ok()) graph = status;
    }
    if (!graph.ok()) {
      ASSERT_EQ(graph.status().code(), StatusCode::kUnsupported)
          << "seed " << seed << ": " << graph.status().message();
      ++refused[Reason(graph.status().message())];
      continue;
    }
    Result<OnnxModel> model = ParseOnnx(bytes, "network.onnx");
    ASSERT_TRUE(model.ok());
    RefTensor x{generator.input(), {}};
    for (int64_t i = 0; i < RefCount(x.dims); ++i)
      x.values.push_back((generator.Below(33) - 16) / 8.0);
    const RefTensor y = OnnxReference(*model).Run(x);
    if (!std::all_of(y.values.begin(), y.values.end(),
                     [](double v) { return std::isfinite(v) && std::fabs(v) < 1e6; })) {
      ++skipped;
      continue;
    }
    ++taken;
    const Shape in = graph->tensor(graph->inputs[0]).shape,
                out = graph->tensor(graph->outputs[0]).shape;
    Values values = IsChannelsLast(in, x.dims) ? ChannelsLast(x.values, x.dims) : x.values;
    Values got = NaiveInterpreter(*graph).RunOutput({values});
    ASSERT_EQ(got.size(), y.values.size()) << "seed " << seed;
    // Where both orders have one shape the graph does not say which it is.
    double error = Difference(got, y.values);
    if (IsChannelsLast(out, y.dims)) {
      const double last = Difference(got, ChannelsLast(y.values, y.dims));
      const bool either = out == Shape{1, y.dims[1], y.dims[2], y.dims[3]};
      error = either ? std::min(error, last) : last;
    }
    ASSERT_LE(error, limit) << "seed " << seed;
    worst = std::max(worst, error);
  }
  int64_t refusals = 0;
  std::vector<std::pair<int, std::string>> reasons;
  for (const auto& [reason, n] : refused) {
    refusals += n;
    reasons.emplace_back(n, reason);
  }
  std::sort(reasons.rbegin(), reasons.rend());
  std::printf(
      "%lld %s networks: %lld right (worst relative error %.2g), %lld refused, %lld with huge "
      "values left out\n",
      static_cast<long long>(count), quantized ? "quantized" : "float",
      static_cast<long long>(taken), worst, static_cast<long long>(refusals),
      static_cast<long long>(skipped));
  for (size_t i = 0; i < std::min<size_t>(reasons.size(), 12); ++i)
    std::printf("  %6d %s\n", reasons[i].first, reasons[i].second.c_str());
  EXPECT_GT(taken, count / 3);
}

TEST(OnnxOracle, FloatNetworks) { RunNetworks(false, 1e-4); }
TEST(OnnxOracle, QuantizedNetworks) { RunNetworks(true, 1e-5); }

}  // namespace
}  // namespace octet::testing
