// Where quantized networks differ, against networks whose difference is known.
#include "converter/report/layers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "engine/src/model_impl.h"
#include "tests/small_network.h"

namespace octet::testing {
namespace {

constexpr double kExact = std::numeric_limits<double>::infinity();

std::vector<NamedSample> Samples(int count) {
  std::vector<NamedSample> samples;
  uint64_t state = 3;
  for (int i = 0; i < count; ++i) {
    std::vector<float> input(20 * 20 * 3);
    for (float& v : input) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      v = static_cast<float>((state >> 33) % 4096) / 1024.0f - 2.0f;  // Not what 8 bits can hold.
    }
    samples.push_back({"photo " + std::to_string(i), i % 5, std::move(input)});
  }
  return samples;
}

CalibrationTable TableOf(const Graph& g, const std::vector<NamedSample>& samples) {
  auto table = Calibrate(g, SamplesOf(samples).next, {}, {});
  EXPECT_TRUE(table.ok()) << table.status().message();
  return table.ok() ? *table : CalibrationTable();
}

Graph Quantized(const Graph& g, const CalibrationTable& table,
                Precision precision = Precision::kInt8, DType ends = DType::kF32) {
  QuantizeOptions options;
  options.precision = precision;
  options.input_type = options.output_type = ends;
  auto quantized = QuantizeGraph(g, options, &table);
  EXPECT_TRUE(quantized.ok()) << quantized.status().message();
  return quantized.ok() ? std::move(quantized).value() : Graph();
}

LayerReport Compare(const Graph& before, const Graph& after,
                    const std::vector<NamedSample>& samples, int64_t isolated = 32) {
  auto report = CompareLayers(before, after, samples,
                              {.isolated_samples = isolated, .threads = 1, .progress = {}});
  EXPECT_TRUE(report.ok()) << report.status().message();
  return report.ok() ? std::move(report).value() : LayerReport();
}

const LayerDifference& LayerOf(const LayerReport& report, const std::string& name) {
  const auto found = std::find_if(report.layers.begin(), report.layers.end(),
                                  [&](const LayerDifference& d) { return d.name == name; });
  static const LayerDifference kNone;
  EXPECT_NE(found, report.layers.end()) << name;
  return found != report.layers.end() ? *found : kNone;
}

Node& NodeOf(Graph* g, const std::string& name) {
  return *std::find_if(g->nodes.begin(), g->nodes.end(),
                       [&](const Node& n) { return n.name == name; });
}

/// In place of the float constant in a slot.
template <typename Change>
void Edit(Graph* g, const std::string& node, int slot, const Change& change) {
  Node& n = NodeOf(g, node);
  const Tensor t = g->tensor(n.inputs[static_cast<size_t>(slot)]);
  std::vector<float> values(t.values<float>().begin(), t.values<float>().end());
  change(&values);
  n.set_input(slot, g->AddConstant(t.name, DType::kF32, t.shape, values.data(),
                                   values.size() * sizeof(float)));
}

/// With tensors of other names.
Graph Renamed(Graph g) {
  for (Tensor& t : g.tensors) t.name += "'";
  return g;
}

TEST(LayersTest, TheSameNetworkIsExact) {
  const Graph g = SmallNetwork(Precision::kFp32);
  const LayerReport r = Compare(g, g, Samples(6));
  std::vector<std::string> names, types;
  for (const LayerDifference& d : r.layers) {
    names.push_back(d.name), types.push_back(d.type);
    EXPECT_EQ(d.sqnr_db, kExact) << d.name;
    EXPECT_EQ(d.isolated_sqnr_db, kExact) << d.name;
    EXPECT_EQ(d.largest_error, 0.0);
    EXPECT_EQ(d.share + d.weights + d.ranges + d.rounding + d.clipped + d.saturated, 0.0);
    EXPECT_EQ(d.precision, "fp32");
    EXPECT_FALSE(d.quantized.has_value());
    EXPECT_EQ(d.before_bytes, d.after_bytes);
    if (d.type == "input") continue;
    EXPECT_GT(d.before_ms, 0.0) << d.name;
    EXPECT_GT(d.after_ms, 0.0) << d.name;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"image", "stem", "a", "b", "pool", "fc"}));
  EXPECT_EQ(types, (std::vector<std::string>{"input", "conv2d", "conv2d", "conv2d",
                                             "global_average_pool", "dense"}));
  EXPECT_EQ(r.verdict.labels_kept, 6);
  EXPECT_EQ(r.verdict.labelled, 6);
  EXPECT_TRUE(r.changed.empty());
  EXPECT_EQ(r.isolated_samples, 6);
  EXPECT_EQ(r.isolated_sum, 0.0);
  EXPECT_EQ(LayerOf(r, "a").channels, 48);
  EXPECT_GT(LayerOf(Compare(g, g, Samples(1)), "a").after_ms, 0.0);
  EXPECT_EQ(LayerOf(r, "image").range.min, -2.0f);
}

TEST(LayersTest, IsolatedErrorsAddUp) {
  const Graph g = SmallNetwork(Precision::kFp32);
  const std::vector<NamedSample> samples = Samples(16);
  for (const auto& [precision, ends] : {std::pair{Precision::kInt8, DType::kF32},
                                        {Precision::kInt8, DType::kU8},
                                        {Precision::kInt16x8, DType::kF32},
                                        {Precision::kInt16x8, DType::kI16}}) {
    const LayerReport r = Compare(g, Quantized(g, TableOf(g, samples), precision, ends), samples);
    double shares = 0.0;
    for (const LayerDifference& d : r.layers) {
      shares += d.share;
      EXPECT_EQ(d.precision, PrecisionName(precision)) << d.name;
      EXPECT_NEAR(d.weights + d.ranges + d.rounding, 1.0, 1e-12) << d.name;
      EXPECT_GT(d.sqnr_db, 20.0) << d.name;
      EXPECT_GE(d.isolated_sqnr_db, LayerOf(r, "fc").sqnr_db - 6.0) << d.name;
      if (d.type == "conv2d") {
        EXPECT_LT(d.after_bytes, d.before_bytes / 2);
      }
    }
    EXPECT_NEAR(shares, 1.0, 1e-12);
    EXPECT_GT(r.isolated_sum, 0.6);
    // Errors of weights alone go together more than those of rounded activations.
    EXPECT_LT(r.isolated_sum, precision == Precision::kInt8 ? 1.6 : 1.8);
    EXPECT_EQ(r.isolated_samples, 16);
    EXPECT_EQ(LayerOf(r, "image").rounding, 1.0);
    EXPECT_EQ(r.verdict.samples, 16);
  }
}

/// The float network with the weights that one layer's codes stand for, and the rounding of what it
/// gives.
TEST(LayersTest, IsolatedIsTheNetworkWithThatLayerAlone) {
  const Graph g = SmallNetwork(Precision::kFp32);
  const std::vector<NamedSample> samples = Samples(8);
  const Graph int8 = Quantized(g, TableOf(g, samples));
  const LayerReport r = Compare(g, int8, samples);
  for (const std::string name : {"stem", "a", "b", "fc"}) {
    Graph alone = g, copy = int8;
    const Node& q = NodeOf(&copy, name);
    const auto codes = copy.tensor(q.inputs[kInputWeights]).values<int8_t>();
    const auto scales = copy.tensor(q.inputs[kInputScales]).values<float>();
    Edit(&alone, name, kInputWeights, [&](std::vector<float>* w) {
      for (size_t i = 0; i < w->size(); ++i)
        (*w)[i] = static_cast<float>(codes[i]) * scales[i / (w->size() / scales.size())];
    });
    const Tensor out = copy.tensor(q.output);
    if (out.dtype == DType::kU8) {
      const TensorId from = NodeOf(&alone, name).output;
      const TensorId u8 = alone.AddActivation("codes", DType::kU8, out.shape, out.quantization),
                     back = alone.AddActivation("back", DType::kF32, out.shape);
      for (Node& n : alone.nodes) std::replace(n.inputs.begin(), n.inputs.end(), from, back);
      const auto at = std::find_if(alone.nodes.begin(), alone.nodes.end(),
                                   [&](const Node& n) { return n.output == from; }) +
                      1;
      alone.nodes.insert(at, {UnaryNode(OpType::kQuantize, "q", from, u8),
                              UnaryNode(OpType::kDequantize, "d", u8, back)});
    }
    const auto model = ModelFromGraph(alone);
    ASSERT_TRUE(model.ok()) << model.status().message();
    const auto floats = RunFloat(g, SamplesOf(samples).next, {}, {});
    ASSERT_TRUE(floats.ok());
    const auto verdict = Judge(g, *floats, *model, SamplesOf(samples).next, {});
    ASSERT_TRUE(verdict.ok()) << verdict.status().message();
    EXPECT_NEAR(LayerOf(r, name).isolated_sqnr_db, verdict->sqnr_db, 0.05) << name;
  }
}

TEST(LayersTest, SaysWhatAnErrorIsFrom) {
  const Graph g = SmallNetwork(Precision::kFp32);
  const std::vector<NamedSample> samples = Samples(8);
  CalibrationTable table = TableOf(g, samples);
  const LayerReport hybrid = Compare(g, Quantized(g, table, Precision::kHybrid), samples),
                    half = Compare(g, Quantized(g, table, Precision::kFp16), samples),
                    bf16 = Compare(g, Quantized(g, table, Precision::kBf16), samples);
  EXPECT_EQ(LayerOf(hybrid, "a").precision, "hybrid");
  EXPECT_GT(LayerOf(hybrid, "a").weights, 0.2);
  EXPECT_EQ(LayerOf(hybrid, "stem").precision, "fp32");  // Too small to be worth it.
  // Of few weights, which stay; what it gives is rounded by the layer that reads it.
  EXPECT_EQ(LayerOf(hybrid, "stem").rounding, 1.0);
  EXPECT_GT(hybrid.isolated_sum, 0.6);
  EXPECT_LT(hybrid.isolated_sum, 1.6);
  EXPECT_EQ(LayerOf(hybrid, "image").isolated_sqnr_db, kExact);  // The stem reads floats.
  EXPECT_LT(LayerOf(hybrid, "a").isolated_sqnr_db, 70.0);
  EXPECT_EQ(LayerOf(half, "a").precision, "fp16");
  EXPECT_EQ(LayerOf(bf16, "a").precision, "bf16");
  EXPECT_EQ(LayerOf(bf16, "stem").precision, "bf16");

  // Half of the range of one layer alone.
  const std::string tensor = LayerOf(hybrid, "a").tensor;
  const LayerReport whole = Compare(g, Quantized(g, table), samples);
  table.ranges[tensor].max /= 2.0f;
  const LayerReport narrow = Compare(g, Quantized(g, table), samples);
  EXPECT_EQ(LayerOf(whole, "a").clipped, 0.0);
  EXPECT_LT(LayerOf(whole, "a").ranges, 0.1);
  EXPECT_GT(LayerOf(narrow, "a").clipped, 0.0);
  EXPECT_GE(LayerOf(narrow, "a").saturated, LayerOf(narrow, "a").clipped);
  EXPECT_GT(LayerOf(narrow, "a").ranges, 0.5);
  EXPECT_GT(LayerOf(narrow, "a").share, LayerOf(whole, "a").share);
  EXPECT_NEAR(LayerOf(narrow, "a").quantized->max, LayerOf(narrow, "a").range.max / 2, 1e-3);
  EXPECT_EQ(LayerOf(narrow, "stem").isolated_sqnr_db, LayerOf(whole, "stem").isolated_sqnr_db);
}

TEST(LayersTest, CountsValuesWithinTheCodesAndBeyond) {
  const Graph g = SmallNetwork(Precision::kFp32);
  const std::vector<NamedSample> samples = Samples(8);
  CalibrationTable table = TableOf(g, samples);
  const LayerReport whole = Compare(g, Quantized(g, table), samples, 0);
  table.ranges[LayerOf(whole, "a").tensor].max /= 2.0f;
  const LayerReport narrow = Compare(g, Quantized(g, table), samples, 0);
  constexpr double kValues = 8 * 20 * 20 * 48;
  for (const LayerReport* r : {&whole, &narrow}) {
    const LayerDifference& d = LayerOf(*r, "a");
    const auto begin = d.histogram.begin(), end = d.histogram.end();
    EXPECT_EQ(std::accumulate(begin, end, int64_t{0}), kValues);
    EXPECT_EQ(std::accumulate(begin, begin + kHistogramBeyond, int64_t{0}), 0);  // Behind a ReLU.
    EXPECT_EQ(static_cast<double>(std::accumulate(end - kHistogramBeyond, end, int64_t{0})),
              std::round(d.clipped * kValues));
    EXPECT_GT(d.histogram[kHistogramBeyond], 0);
  }
  EXPECT_GT(LayerOf(narrow, "a").histogram[kHistogramBins - 1], 0);
  const LayerReport half = Compare(g, Quantized(g, table, Precision::kFp16), samples, 0);
  EXPECT_EQ(std::ranges::max(LayerOf(half, "a").histogram), 0);  // No codes.
}

TEST(LayersTest, SaturationIsNoScaling) {
  const Graph g = SmallNetwork(Precision::kFp32);
  const std::vector<NamedSample> samples = Samples(8);
  CalibrationTable table = TableOf(g, samples);
  for (auto& [name, range] : table.ranges) range.min *= 0.3f, range.max *= 0.3f;
  const LayerReport r = Compare(g, Quantized(g, table), samples);
  for (const std::string name : {"image", "stem", "a"}) {
    EXPECT_LT(LayerOf(r, name).sqnr_db, 15.0) << name;
    EXPECT_GT(LayerOf(r, name).ranges, 0.8) << name;
    EXPECT_GT(LayerOf(r, name).clipped, 0.02) << name;
    EXPECT_GT(LayerOf(r, name).saturated, 0.02) << name;
  }
}

/// Channels of what `a` gives, times powers of two that `b` takes back.
Graph Equalized(Graph g) {
  const auto factor = [](size_t c) { return std::ldexp(1.0f, static_cast<int>(c % 7) - 3); };
  Edit(&g, "a", kInputWeights, [&](std::vector<float>* w) {
    for (size_t i = 0; i < w->size(); ++i) (*w)[i] *= factor(i / (w->size() / 48));
  });
  Edit(&g, "a", kInputBias, [&](std::vector<float>* b) {
    for (size_t i = 0; i < b->size(); ++i) (*b)[i] *= factor(i);
  });
  Edit(&g, "b", kInputWeights, [&](std::vector<float>* w) {
    for (size_t i = 0; i < w->size(); ++i) (*w)[i] /= factor(i % 48);
  });
  return g;
}

TEST(LayersTest, TakesScaledChannelsBack) {
  const Graph g = SmallNetwork(Precision::kFp32), equalized = Equalized(g);
  const std::vector<NamedSample> samples = Samples(8);
  for (const LayerDifference& d : Compare(g, equalized, samples).layers) {
    EXPECT_EQ(d.sqnr_db, kExact) << d.name;
    EXPECT_EQ(d.isolated_sqnr_db, kExact) << d.name;
  }
  const Graph int8 = Quantized(equalized, TableOf(equalized, samples));
  const LayerReport own = Compare(equalized, int8, samples), r = Compare(g, int8, samples);
  for (const LayerDifference& d : r.layers) {
    EXPECT_NEAR(d.isolated_sqnr_db, LayerOf(own, d.name).isolated_sqnr_db, 0.01) << d.name;
    EXPECT_EQ(d.clipped, LayerOf(own, d.name).clipped) << d.name;
    if (d.name != "a") {
      EXPECT_NEAR(d.sqnr_db, LayerOf(own, d.name).sqnr_db, 0.01) << d.name;
    }
  }
  EXPECT_GT(LayerOf(r, "a").sqnr_db, 15.0);
}

TEST(LayersTest, WhatMovesChannelsMovesTheirFactors) {
  SampleGraphBuilder b(Precision::kFp32);
  Graph& g = b.graph();
  const TensorId first = b.Conv(OpType::kConv2d, "a", b.Input({1, 20, 20, 3}), {48, 1, 1, 3},
                                kNoTensor, b.Activation("a", {1, 1, 1, 1}), [](Node*) {});
  const TensorId cut =
      b.Add(OpType::kSlice, "slice", {first}, b.Activation("slice", {1, 1, 1, 1}), [](Node* n) {
        n->begin = {0, 0, 0, 8};
        n->end = {1, 20, 20, 48};
        n->step = {1, 2, 2, 4};
      });  // Channels 8, 12, ...
  const TensorId padded = b.Add(OpType::kPad, "pad", {cut}, b.Activation("pad", {1, 1, 1, 1}),
                                [](Node* n) { n->begin[3] = 2, n->end[3] = 4; });
  const TensorId all = b.Add(OpType::kConcat, "concat", {padded, cut},
                             b.Activation("concat", {1, 1, 1, 1}), [](Node* n) { n->axis = 3; });
  const TensorId twice = b.Add(OpType::kMul, "mul", {all, all}, b.Activation("mul", {1, 1, 1, 1}));
  const TensorId flat = g.AddActivation("flat", DType::kF32, {1, 26});
  const TensorId pooled =
      b.Add(OpType::kGlobalAveragePool, "pool", {twice}, b.Activation("pool", {1, 1, 1, 1}));
  b.Add(OpType::kReshape, "flatten", {pooled}, flat);
  g.outputs = {b.Conv(OpType::kDense, "fc", flat, {5, 26}, kNoTensor,
                      b.Activation("logits", {1, 5}), [](Node*) {})};
  const auto factor = [](size_t c) { return std::ldexp(1.0f, static_cast<int>(c % 5) - 2); };
  Graph scaled = g;
  for (const int slot : {kInputWeights, kInputBias}) {
    Edit(&scaled, "a", slot, [&](std::vector<float>* w) {
      for (size_t i = 0; i < w->size(); ++i) (*w)[i] *= factor(i / (w->size() / 48));
    });
  }
  Edit(&scaled, "fc", kInputWeights, [&](std::vector<float>* w) {
    for (size_t i = 0; i < w->size(); ++i) {
      const size_t c = i % 26, of_slice = c < 16 ? c - 2 : c - 16;
      if (c >= 2 && of_slice < 10) (*w)[i] /= factor(8 + 4 * of_slice) * factor(8 + 4 * of_slice);
    }
  });
  const LayerReport r = Compare(g, scaled, Samples(3));
  EXPECT_EQ(r.layers.size(), 8u);
  for (const LayerDifference& d : r.layers) {
    EXPECT_EQ(d.sqnr_db, kExact) << d.name;
    EXPECT_EQ(d.isolated_sqnr_db, kExact) << d.name;
  }
}

TEST(LayersTest, NamesDeadAndLoudChannels) {
  Graph g = SmallNetwork(Precision::kFp32);
  for (const int slot : {kInputWeights, kInputBias}) {
    Edit(&g, "a", slot, [&](std::vector<float>* w) {
      const size_t row = w->size() / 48;
      for (size_t i = 0; i < w->size(); ++i) {
        if (i / row == 5) (*w)[i] = 0.0f;
        if (i / row == 11) (*w)[i] = std::fabs((*w)[i]) * 40.0f;
      }
    });
  }
  Edit(&g, "a", kInputBias, [](std::vector<float>* b) { (*b)[11] = 100.0f; });
  const std::vector<NamedSample> samples = Samples(4);
  const LayerReport r = Compare(g, Quantized(g, TableOf(g, samples)), samples, 0);
  EXPECT_EQ(LayerOf(r, "a").dead, std::vector<int>{5});
  EXPECT_EQ(LayerOf(r, "a").outliers, std::vector<int>{11});
  EXPECT_TRUE(LayerOf(r, "pool").dead.empty());
  EXPECT_EQ(r.isolated_samples, 0);
  EXPECT_EQ(LayerOf(r, "a").isolated_sqnr_db, kExact);
}

TEST(LayersTest, ListsWhatChanged) {
  const Graph g = SmallNetwork(Precision::kFp32);
  const std::vector<NamedSample> samples = Samples(6);
  Graph other = g;
  // The same classes in another order: every answer is another.
  for (const int slot : {kInputWeights, kInputBias}) {
    Edit(&other, "fc", slot, [](std::vector<float>* w) {
      std::rotate(w->begin(), w->begin() + std::ssize(*w) / 5, w->end());
    });
  }
  const LayerReport r = Compare(g, other, samples);
  ASSERT_EQ(r.changed.size(), 6u);
  EXPECT_EQ(r.verdict.labels_kept, 0);
  for (size_t i = 0; i < 6; ++i) {
    const ChangedSample& c = r.changed[i];
    EXPECT_EQ(c.name, "photo " + std::to_string(i));
    EXPECT_EQ(c.label, static_cast<int>(i % 5));
    ASSERT_EQ(c.before.size(), 5u);
    ASSERT_EQ(c.after.size(), 5u);
    double sum = 0.0;
    for (size_t k = 0; k < 5; ++k) {
      EXPECT_EQ((c.before[k].index + 4) % 5, c.after[k].index);
      EXPECT_EQ(c.before[k].probability, c.after[k].probability);
      EXPECT_EQ(c.before[k].label, g.metadata.labels[static_cast<size_t>(c.before[k].index)]);
      sum += c.before[k].probability;
    }
    EXPECT_NEAR(sum, 1.0, 1e-6);
  }
}

TEST(LayersTest, EveryOperatorIsCompared) {
  for (const Precision p : {Precision::kFp32, Precision::kInt8, Precision::kInt16x8}) {
    Graph g = SampleGraph(Precision::kFp32);
    ASSERT_TRUE(Optimize(&g).ok());  // Groups of 2 channels have no kernel.
    std::vector<NamedSample> samples;
    for (const NamedSample& s : Samples(3)) {
      std::vector<float> input = s.input.Floats();
      input.resize(11 * 9 * 3);
      samples.push_back({s.name, -1, std::move(input)});
    }
    const LayerReport r = Compare(g, Quantized(g, TableOf(g, samples), p), samples);
    EXPECT_GE(r.layers.size(), 15u);
    double shares = 0.0;
    for (const LayerDifference& d : r.layers) {
      EXPECT_FALSE(d.precision.empty()) << d.name;
      EXPECT_GT(d.sqnr_db, 10.0) << d.name;
      shares += d.share;
    }
    EXPECT_NEAR(shares, p == Precision::kFp32 ? 0.0 : 1.0, 1e-12);
    // Multiplications compute in float between conversions, whose roundings count, too.
    if (p == Precision::kInt8) {
      EXPECT_GT(r.isolated_sum, 0.5);
      EXPECT_LT(r.isolated_sum, 2.0);
      EXPECT_EQ(LayerOf(r, "mul").rounding, 1.0);
      EXPECT_TRUE(LayerOf(r, "mul").quantized.has_value());
      EXPECT_EQ(LayerOf(r, "max_pool").isolated_sqnr_db, kExact);
      // A limit that no code stands for.
      EXPECT_LT(LayerOf(r, "clip").isolated_sqnr_db, 60.0);
      EXPECT_EQ(LayerOf(r, "clip").rounding, 1.0);
    }
    EXPECT_EQ(r.verdict.labelled, 0);
  }
}

TEST(LayersTest, WhatCannotBeComparedIsSaid) {
  const Graph g = SmallNetwork(Precision::kFp32), other = SampleGraph(Precision::kFp32);
  const std::vector<NamedSample> samples = Samples(2);
  const auto message = [&](const Graph& a, const Graph& b, std::vector<NamedSample> of) {
    const auto r = CompareLayers(a, b, of);
    EXPECT_EQ(r.status().code(), StatusCode::kInvalidArgument);
    return r.status().message();
  };
  EXPECT_EQ(message(g, g, {}), "the data holds no sample");
  EXPECT_EQ(message(g, other, samples),
            "different networks: their inputs are [1,20,20,3] and [1,11,9,3]");
  EXPECT_EQ(message(Quantized(g, TableOf(g, samples)), g, samples),
            "tensor 'stem' is uint8, expected a network of float32 to compare with");
  Graph renamed = Renamed(g);
  NodeOf(&renamed, "pool").type = OpType::kMaxPool;
  NodeOf(&renamed, "pool").window = {.kernel_h = 20, .kernel_w = 20};
  EXPECT_EQ(message(g, renamed, samples), "different networks: they have no layer in common");
}

TEST(LayersTest, LayersOfOtherNamesPairByTheirOrder) {
  const Graph g = SmallNetwork(Precision::kFp32);
  const std::vector<NamedSample> samples = Samples(6);
  const Graph quantized = Quantized(g, TableOf(g, samples));
  const LayerReport named = Compare(g, quantized, samples),
                    renamed = Compare(g, Renamed(quantized), samples);
  ASSERT_EQ(named.layers.size(), renamed.layers.size());
  for (size_t i = 0; i < named.layers.size(); ++i) {
    SCOPED_TRACE(named.layers[i].name);
    EXPECT_EQ(named.layers[i].sqnr_db, renamed.layers[i].sqnr_db);
    EXPECT_EQ(named.layers[i].precision, renamed.layers[i].precision);
    EXPECT_EQ(named.layers[i].isolated_sqnr_db, renamed.layers[i].isolated_sqnr_db);
  }
}

/// The sum that the float network has in a layer is a node of its own in the other, whose layer's
/// own value is none of the float network's; a layer that is nowhere has no channels to speak of.
TEST(LayersTest, ASumBehindALayerIsItsValue) {
  const Graph g = SmallNetwork(Precision::kFp32);
  Graph other = Renamed(g);
  Node& b = NodeOf(&other, "b");
  const TensorId sum = b.output, stem = b.inputs[kInputResidual];
  const TensorId product = other.AddActivation("product", DType::kF32, other.tensor(sum).shape);
  b.inputs[kInputResidual] = kNoTensor;
  b.output = product;
  Node add;
  add.type = OpType::kAdd;
  add.name = "sum";
  add.inputs = {product, stem};
  add.output = sum;
  other.nodes.insert(other.nodes.begin() + (&b - other.nodes.data()) + 1, add);
  for (const LayerDifference& d : Compare(g, other, Samples(3)).layers) {
    EXPECT_EQ(d.precision, "fp32") << d.name;
    EXPECT_GT(d.sqnr_db, 100.0) << d.name;
  }
  NodeOf(&other, "sum").type = OpType::kScaleShift;  // A batch norm, say, and no sum.
  const std::vector<float> ones(16, 1.0f), zeros(16, 0.0f);
  Node& scale = NodeOf(&other, "sum");
  scale.inputs = {product, other.AddConstant("ones", DType::kF32, {16}, ones.data(), 64),
                  other.AddConstant("zeros", DType::kF32, {16}, zeros.data(), 64)};
  EXPECT_EQ(LayerOf(Compare(g, other, Samples(3)), "b").precision, "");
  other.tensors[static_cast<size_t>(NodeOf(&other, "stem").output)].name = "stem";  // One is named.
  const LayerReport report = Compare(g, other, Samples(3));
  EXPECT_EQ(LayerOf(report, "stem").precision, "fp32");
  EXPECT_EQ(LayerOf(report, "a").precision, "");
  EXPECT_TRUE(LayerOf(report, "a").dead.empty());
}

}  // namespace
}  // namespace octet::testing
