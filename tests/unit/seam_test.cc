// What the parts of an operator may not touch, on every kernel: tests/seams.h.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "formats/model/panel.h"
#include "kernels/dispatch.h"
#include "tests/kernels/tested_tables.h"
#include "tests/sample_graphs.h"
#include "tests/seams.h"

namespace octet {
namespace {

using testing::SampleGraphBuilder;
using testing::SeamChecker;

/// Few channels in front of a convolution; channels for the kernels of wide layers; images whose
/// rows do not divide by the number of threads.
Graph WideGraph(Precision precision) {
  SampleGraphBuilder b(precision);
  TensorId x = b.Input({1, 9, 11, 3});
  x = b.SameConv("color", x, 3, 1);
  x = b.SameConv("stem", x, 48, 3);
  const TensorId skip = x;
  x = b.SameConv("winograd", x, 48, 3);
  x = b.SameConv("winograd in groups", x, 48, 3, kNoTensor, 1, 3);
  if (precision == Precision::kBf16) {
    x = b.SameConv("wide", x, 128, 1);
    x = b.SameConv("winograd 2x2", x, 48, 3);
  }
  x = b.SameConv("expand", x, 48, 1, skip);
  x = b.SameConv("one", x, 1, 3);
  x = b.SameConv("two", x, 2, 3);
  x = b.SameConv("down", x, 33, 3, kNoTensor, 2);
  b.Output(x);
  return std::move(b.graph());
}

class SeamTest : public ::testing::TestWithParam<std::tuple<Precision, int>> {};

TEST_P(SeamTest, PartsWriteWhatIsTheirs) {
  const Precision precision = std::get<0>(GetParam());
  const kernels::TableInfo info = kernels::AllTables()[std::get<1>(GetParam())];
  if (!testing::IsTested(info)) GTEST_SKIP() << info.name << " does not run here";
  std::set<std::string> kernels;
  bool groups = false;  // By Winograd's algorithm.
  for (Graph graph : {testing::RunnableGraph(precision), WideGraph(precision)}) {
    PackGraph(&graph);
    ASSERT_TRUE(ValidateGraph(graph).ok()) << ValidateGraph(graph).message();
    for (const int threads : {2, 3}) {
      for (const bool winograd : {true, false}) {
        const int batch = threads - 1;
        PreparedWeights prepared;
        const PlanOptions options{.table = info.table,
                                  .num_threads = threads,
                                  .max_batch = batch,
                                  .winograd = winograd,
                                  .prepared = &prepared};
        auto plan = BuildPlan(graph, options);
        ASSERT_TRUE(plan.ok()) << plan.status().message();
        SeamChecker checker(graph, threads, batch, plan->get());
        EXPECT_EQ(checker.Check(), "") << threads << " threads, batch " << batch;
        EXPECT_GT(checker.bytes_written(), 1000);
        for (const auto& op : (*plan)->ops) {
          kernels.insert(op->kernel);
          const auto* const of_winograd = dynamic_cast<const WinogradOp*>(op.get());
          groups = groups || (of_winograd && of_winograd->args.conv.group_outputs == 16);
        }
      }
    }
  }
  EXPECT_GE(kernels.size(), 10u);
  EXPECT_EQ(kernels.contains("winograd_2x2_bf16_bf16"),
            precision == Precision::kBf16 && info.table->winograd_2x2_bf16_bf16 != nullptr);
  const kernels::WinogradLimit limit =
      precision == Precision::kBf16 ? info.table->winograd_bf16 : info.table->winograd_u8;
  const bool floats = precision == Precision::kFp32 || precision == Precision::kFp16;
  const bool any = info.table->winograd_f32 != nullptr && (floats || limit.tiles <= 9);
  EXPECT_EQ(std::any_of(kernels.begin(), kernels.end(),
                        [](const std::string& k) {
                          return k.starts_with("winograd") && k != "winograd_2x2_bf16_bf16";
                        }),
            any);
  EXPECT_EQ(groups, any && (floats || limit.group_channels <= 16));
}

INSTANTIATE_TEST_SUITE_P(
    All, SeamTest,
    ::testing::Combine(::testing::ValuesIn(testing::kAllPrecisions),
                       ::testing::Range(0, static_cast<int>(kernels::AllTables().size()))),
    [](const auto& p) {
      return std::string(PrecisionName(std::get<0>(p.param))) + "_" +
             kernels::AllTables()[std::get<1>(p.param)].name;
    });

/// A plan whose first convolution was tampered with.
template <typename Tamper>
std::string CheckTampered(Tamper tamper) {
  Graph graph = WideGraph(Precision::kInt8);
  PackGraph(&graph);
  PreparedWeights prepared;
  const PlanOptions options{
      .table = kernels::SelectTable("reference").value(), .num_threads = 2, .prepared = &prepared};
  auto plan = BuildPlan(graph, options);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  SeamChecker checker(graph, 2, 1, plan->get());
  for (const auto& op : (*plan)->ops) {
    if (auto* conv = dynamic_cast<ConvOp*>(op.get()); conv != nullptr) {
      tamper(conv);
      break;
    }
  }
  return checker.Check();
}

TEST(SeamChecker, FindsWhatPartsDoToEachOther) {
  EXPECT_EQ(CheckTampered([](ConvOp*) {}), "");
  // 16 lanes into pixels of 3 bytes, as a tight tensor would have them.
  EXPECT_NE(CheckTampered([](ConvOp* op) {
              op->args.out_pixel_stride = 3;
              op->args.out_row_stride = 33;
            }).find("was written by an earlier part"),
            std::string::npos);
}

TEST(SeamChecker, FindsWhatLiesOutside) {
  EXPECT_NE(CheckTampered([](ConvOp* op) {
              op->args.output += op->args.out_row_stride * 9;
            }).find("is nothing of this operator's and was written"),
            std::string::npos);
  EXPECT_NE(CheckTampered([](ConvOp* op) {
              op->args.input = op->args.output;
            }).find("depends on what the operator does not name as an input"),
            std::string::npos);
}

}  // namespace
}  // namespace octet
