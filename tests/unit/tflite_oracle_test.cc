// Random TFLite networks against answers computed while they are made.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "converter/import/importer.h"
#include "tests/unit/import_oracle.h"
#include "tests/unit/tflite_generator.h"

namespace octet::testing {
namespace {

void RunNetworks(bool quantized) {
  ImportOracle oracle(quantized ? "TFLite, quantized" : "TFLite, float", 1e-4);
  for (int64_t seed = oracle.begin(); seed < oracle.end(); ++seed) {
    TfliteGenerator generator(static_cast<uint64_t>(seed), quantized);
    Result<Graph> graph = ImportTfliteBytes(generator.Make());
    if (!oracle.Takes(seed, &graph)) continue;
    const Values input = AsInput(*graph, {generator.input_dims(), generator.input()});
    // The limit is below one code, of 255.
    ASSERT_TRUE(oracle.IsRight(seed, *graph, input, {generator.output()}));
  }
  oracle.Report();
}

TEST(TfliteOracle, FloatNetworks) { RunNetworks(false); }
TEST(TfliteOracle, QuantizedNetworks) { RunNetworks(true); }

}  // namespace
}  // namespace octet::testing
