// Random valid graphs of every operator, precision and layout, for tests, fuzzers and the
// signature, small enough that one is computed in well under a millisecond. Everything is drawn
// from a source of choices: a seeded generator for tests, a fuzzer's bytes for coverage-guided
// search.
#ifndef OCTET_BENCH_GRAPH_GENERATOR_H_
#define OCTET_BENCH_GRAPH_GENERATOR_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/base/random.h"
#include "formats/model/graph.h"

namespace octet::testing {

/// A source of choices.
class Choices {
 public:
  virtual ~Choices() = default;
  /// 0 to n - 1; n is at least 1.
  virtual uint32_t Below(uint32_t n) = 0;

  int Int(int low, int high) {
    return low + static_cast<int>(Below(static_cast<uint32_t>(high - low + 1)));
  }
  bool Percent(uint32_t percent) { return Below(100) < percent; }
  template <typename T, size_t kCount>
  T Of(const T (&values)[kCount]) {
    return values[Below(kCount)];
  }
};

/// The same seed, the same choices, on every machine.
class SeededChoices : public Choices, public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;
  uint32_t Below(uint32_t n) override { return static_cast<uint32_t>((Next() >> 32) * n >> 32); }
};

/// One byte a choice of up to 256, four otherwise; 0 when they are used up.
class ByteChoices : public Choices {
 public:
  explicit ByteChoices(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint32_t Below(uint32_t n) override {
    uint32_t value = 0;
    for (int i = 0; i < (n <= 256 ? 1 : 4); ++i) {
      value = value << 8 | (bytes_.empty() ? 0u : bytes_.front());
      if (!bytes_.empty()) bytes_ = bytes_.subspan(1);
    }
    return value % n;
  }

 private:
  std::span<const uint8_t> bytes_;
};

/// A graph that ValidateGraph accepts (the oracle checks that). Weights of floating-point layers
/// are scaled so that the sum of an output's magnitudes is about 1: worst-case bounds of errors
/// then stay as small behind many layers as behind one. The one kind without kernels, grouped
/// convolutions that are not depthwise, comes in 1 of 200.
Graph GenerateGraph(Choices* choices);

/// Turns its uint8 activations into int16 ones of about the same numbers, but for inputs and
/// outputs that are only converted. False: it has none.
bool ToInt16(Graph* graph);

/// Turns its float32 activations and all weights into bfloat16, but for inputs and outputs. False,
/// and nothing is done: it has codes.
bool ToBf16(Graph* graph);

/// Multiply-accumulates and moved elements of one image, roughly.
int64_t GraphCost(const Graph& graph);

}  // namespace octet::testing

#endif  // OCTET_BENCH_GRAPH_GENERATOR_H_
