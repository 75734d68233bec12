// The engine against the naive interpreter on a graph with every operator, in every precision and
// instruction set.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/src/runner.h"
#include "formats/model/octet_file.h"
#include "kernels/dispatch.h"
#include "tests/sample_graphs.h"
#include "tests/unit/naive_interpreter.h"

namespace octet {
namespace {

using testing::Arithmetic;
using testing::NaiveInterpreter;
using testing::Values;

class InterpreterTest : public ::testing::TestWithParam<std::tuple<Precision, int>> {};

TEST_P(InterpreterTest, EngineAgrees) {
  const Precision precision = std::get<0>(GetParam());
  const kernels::TableInfo info = kernels::AllTables()[std::get<1>(GetParam())];
  if (info.availability == kernels::Availability::kUnavailable)
    GTEST_SKIP() << info.name << " does not run here";
  const Graph graph = testing::RunnableGraph(precision);
  ASSERT_TRUE(ValidateGraph(graph).ok()) << ValidateGraph(graph).message();
  const Tensor& input = graph.tensor(graph.inputs[0]);
  const size_t count = static_cast<size_t>(input.shape.num_elements());
  const bool u8 = input.dtype == DType::kU8;
  std::vector<uint8_t> bytes(count);
  std::vector<float> floats(count);
  GenerateGoldenInput(7, std::span<uint8_t>(bytes));
  GenerateGoldenInput(7, std::span<float>(floats));
  const Values real =
      u8 ? Values(bytes.begin(), bytes.end()) : Values(floats.begin(), floats.end());
  NaiveInterpreter interpreter(graph, Arithmetic::kEngine);
  interpreter.set_winograd(true);
  interpreter.Evaluate({real});

  auto runner = GraphRunner::Create(graph, {.isa = info.name});
  ASSERT_TRUE(runner.ok()) << runner.status().message();
  int compared = 0;
  const Status status = (*runner)->Run(
      u8 ? static_cast<const void*>(bytes.data()) : floats.data(),
      [&](TensorId id, const kernels::ActivationView& view) {
        const Tensor& t = graph.tensor(id);
        const Values &expected = interpreter.values(id), &errors = interpreter.errors(id);
        size_t i = 0;
        for (int y = 0; y < view.h; ++y) {
          for (int x = 0; x < view.w; ++x) {
            for (int c = 0; c < view.c; ++c, ++i) {
              double found = view.pixel(0, y, x)[c];
              if (t.dtype == DType::kF32) {
                float v;
                std::memcpy(&v, view.pixel(0, y, x) + c * 4, 4);
                found = v;
              } else if (t.dtype == DType::kBF16) {
                uint16_t v;
                std::memcpy(&v, view.pixel(0, y, x) + c * 2, 2);
                found = Bf16ToFloat(v);
              }
              ASSERT_LE(std::fabs(found - expected[i]), errors.empty() ? 0.0 : errors[i])
                  << t.name << " (" << y << "," << x << "," << c << "): found " << found
                  << ", expected " << expected[i];
            }
          }
        }
        ASSERT_EQ(i, expected.size());
        ++compared;
      });
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_GE(compared,
            static_cast<int>(graph.nodes.size()) - 1);  // The flattening may be no operator at all.
}

INSTANTIATE_TEST_SUITE_P(
    All, InterpreterTest,
    ::testing::Combine(::testing::ValuesIn(testing::kAllPrecisions),
                       ::testing::Range(0, static_cast<int>(kernels::AllTables().size()))),
    [](const auto& p) {
      return std::string(PrecisionName(std::get<0>(p.param))) + "_" +
             kernels::AllTables()[std::get<1>(p.param)].name;
    });

}  // namespace
}  // namespace octet
