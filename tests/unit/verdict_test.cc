// What quantization cost, against numbers worked out by hand.
#include "converter/report/verdict.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "converter/report/report.h"
#include "engine/src/model_impl.h"

namespace octet {
namespace {

/// Two numbers in, three out.
Graph Network(const std::array<float, 6>& weights) {
  Graph g;
  const TensorId x = g.AddActivation("x", DType::kF32, {1, 1, 1, 2});
  g.inputs = {x};
  const TensorId w = g.AddConstant("w", DType::kF32, {3, 1, 1, 2}, weights.data(), sizeof(weights));
  const TensorId y = g.AddActivation("y", DType::kF32, {1, 1, 1, 3});
  g.AddNode(OpType::kConv2d, "conv", {x, w}, y);
  g.outputs = {y};
  return g;
}

constexpr std::array<float, 6> kWeights{4, 0, 0, 4, 1, 1};

Result<Verdict> JudgeOn(const std::array<float, 6>& changed,
                        std::vector<std::array<float, 2>> samples, std::vector<int> labels = {}) {
  const Result<std::shared_ptr<const Model>> model = ModelFromGraph(Network(changed));
  if (!model.ok()) return model.status();
  size_t at = 0;
  const SampleSource next = [&](float* to) -> Result<bool> {
    if (at == samples.size()) return false;
    std::copy(samples[at].begin(), samples[at].end(), to);
    ++at;
    return true;
  };
  const Result<FloatOutputs> floats =
      RunFloat(Network(kWeights), next, [&] { return labels.empty() ? -1 : labels[at - 1]; }, {});
  if (!floats.ok()) return floats.status();
  at = 0;
  return Judge(Network(kWeights), *floats, *model, next, {});
}

TEST(VerdictTest, CountsLabelsAndNoise) {
  // The first sample's answers stay (4, 0, 1), the second one's (0, 4, 1) become (0, 0, 1).
  const Result<Verdict> v = JudgeOn({4, 0, 0, 0, 1, 1}, {{1, 0}, {0, 1}});
  ASSERT_TRUE(v.ok()) << v.status().message();
  EXPECT_EQ(v->samples, 2);
  EXPECT_EQ(v->labels_kept, 1);
  // Less their means: twice (49 + 25 + 4) / 9, and (16 + 64 + 16) / 9 of difference.
  EXPECT_NEAR(v->sqnr_db, 10.0 * std::log10(156.0 / 96.0), 1e-6);
  EXPECT_GT(v->ms, 0.0);
  EXPECT_GT(v->float_ms, 0.0);
}

TEST(VerdictTest, CountsWhatIsRight) {
  // What was 1 becomes 2; the class of the fourth is no output's, and the last one's is unknown.
  const Result<Verdict> v =
      JudgeOn({4, 0, 0, 0, 1, 1}, {{1, 0}, {0, 1}, {0, 1}, {1, 0}, {1, 0}}, {0, 1, 2, 3, -1});
  ASSERT_TRUE(v.ok()) << v.status().message();
  EXPECT_EQ(v->samples, 5);
  EXPECT_EQ(v->labels_kept, 3);
  EXPECT_EQ(v->labelled, 3);
  EXPECT_EQ(v->float_correct, 2);
  EXPECT_EQ(v->correct, 2);
  EXPECT_EQ(v->lost, 1);
  EXPECT_EQ(v->won, 1);
}

TEST(VerdictTest, DoubtsLabelsThatAreMetByGuessing) {
  EXPECT_EQ(AccuracyDoubt(9, 100, 10),
            "right on 9 of 100 samples, as by guessing among 10 classes: labels may be in another "
            "order than the network's outputs, or photos be prepared otherwise than in training "
            "(--labels, --preprocessing)");
  EXPECT_NE(AccuracyDoubt(1, 500, 1000), "");
  EXPECT_NE(AccuracyDoubt(2, 50, 2), "");  // Labels swapped.
  EXPECT_EQ(AccuracyDoubt(30, 100, 10), "");
  EXPECT_EQ(AccuracyDoubt(0, 8, 10), "");  // Too few to tell.
  EXPECT_EQ(AccuracyDoubt(300, 1000, 1000), "");
  EXPECT_EQ(AccuracyDoubt(45, 100, 2), "");
  EXPECT_EQ(AccuracyDoubt(0, 0, 10), "");
  const Result<Verdict> v = JudgeOn(kWeights, {{1, 0}, {0, 1}, {1, 0}}, {0, 3, 4});
  ASSERT_TRUE(v.ok()) << v.status().message();
  EXPECT_EQ(v->beyond, 2);
  EXPECT_EQ(LabelDoubts(*v, 3),
            std::vector<std::string>{
                "2 of 3 samples have labels beyond the network's 3 outputs, which count from 0"});
}

TEST(VerdictTest, IntervalsAndChances) {
  // R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
  const auto expect = [](int64_t count, int64_t n, double low, double high) {
    const ConfidenceInterval i = WilsonInterval(count, n);
    EXPECT_NEAR(i.low, low, 5e-5) << count << " of " << n;
    EXPECT_NEAR(i.high, high, 5e-5) << count << " of " << n;
  };
  expect(81, 263, 0.2553, 0.3662);
  expect(15, 148, 0.0624, 0.1605);
  expect(0, 20, 0.0, 0.1611);
  expect(1, 29, 0.0061, 0.1718);
  // Binomial coefficients of 10: 1 + 10 of 1024, twice.
  EXPECT_NEAR(McNemar(1, 9), 22.0 / 1024.0, 1e-12);
  EXPECT_NEAR(McNemar(9, 1), 22.0 / 1024.0, 1e-12);
  EXPECT_EQ(McNemar(5, 5), 1.0);
  EXPECT_EQ(McNemar(0, 0), 1.0);
  EXPECT_NEAR(McNemar(0, 1000), 0.0, 1e-100);
}

TEST(VerdictTest, TheSameNetworkIsExact) {
  const Result<Verdict> v = JudgeOn(kWeights, {{1, 0}, {0, 1}, {-2, 3}});
  ASSERT_TRUE(v.ok()) << v.status().message();
  EXPECT_EQ(v->labels_kept, 3);
  EXPECT_EQ(v->sqnr_db, std::numeric_limits<double>::infinity());
  EXPECT_EQ(DecibelText(v->sqnr_db), "exact");
  EXPECT_EQ(DecibelText(33.06), "33.1 dB");
  EXPECT_EQ(DecibelText(-std::numeric_limits<double>::infinity()), "-inf dB");
}

/// More samples than cores, and another network's.
TEST(VerdictTest, SamplesAreJudgedInTheirOrder) {
  std::vector<std::array<float, 2>> samples;
  std::vector<int> labels;
  for (int i = 0; i < 101; ++i) {
    samples.push_back({i % 3 == 0 ? 1.0f : 0.0f, i % 3 == 0 ? 0.0f : 1.0f});
    labels.push_back(i % 3 == 0 ? 0 : 1);
  }
  const Result<Verdict> v = JudgeOn({4, 0, 0, 0, 1, 1}, samples, labels);
  ASSERT_TRUE(v.ok()) << v.status().message();
  EXPECT_EQ(v->samples, 101);
  EXPECT_EQ(v->float_correct, 101);
  EXPECT_EQ(v->correct, 34);
  EXPECT_EQ(v->lost, 67);
  const Result<std::shared_ptr<const Model>> model = ModelFromGraph(Network(kWeights));
  const Result<Verdict> none =
      Judge(Network(kWeights), {{{1, 0, 0}}, {-1}}, *model, [](float*) { return false; }, {});
  EXPECT_EQ(none.status().code(), StatusCode::kInternal);
}

TEST(VerdictTest, NothingIsSaidOfNothing) {
  EXPECT_EQ(JudgeOn(kWeights, {}).status().message(), "the data holds no sample");
  const Result<Verdict> v = JudgeOn(kWeights, {{3e38f, 0}});
  ASSERT_FALSE(v.ok());
  EXPECT_EQ(v.status().message(), "output y: element 0: found inf, expected a finite number");
}

}  // namespace
}  // namespace octet
