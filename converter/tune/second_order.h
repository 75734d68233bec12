// Rounds int8 weights so that the layers' answers, not the weights, are as near as can be.
#ifndef OCTET_CONVERTER_TUNE_SECOND_ORDER_H_
#define OCTET_CONVERTER_TUNE_SECOND_ORDER_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "converter/calibrate/sample_source.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Gives every int8 layer of `quantized` new codes at the scales that it has, and with them new
/// integer biases. What a weight's rounding does is made up for by the weights that are rounded
/// after it, as far as the layer's inputs go together in the samples: GPTQ (E. Frantar et al.
/// 2022), which is Babai's nearest plane in the lattice of the codes (J. Chen et al. 2025). Those
/// inputs are the codes that `int8` gives on `samples`, so that the sums are of integers and the
/// result is, for one `int8`, the same on every machine and for any number of threads.
///
/// `original` has the float weights; nodes have one name in all three graphs. Layers that are not
/// int8 in one of them, grouped ones and those of more than kMostInputs inputs keep their codes.
/// `samples` are inputs of `original` in float32. Takes about 200 MB. `progress` (may be empty)
/// gets the share that is done.
Status RoundSecondOrder(const Graph& original, const Graph& int8,
                        const std::vector<NamedSample>& samples, Graph* quantized,
                        const std::function<void(double share)>& progress);

inline constexpr int64_t kMostInputs = 4608;

/// The sums of products of a layer's inputs, over samples: [inputs][inputs], only j <= i.
struct InputProducts {
  size_t inputs = 0;
  std::vector<float> sums;
};

/// Codes from -127 to 127 for `weights` [channels][inputs] at `scales` [channels]. Empty where the
/// products are those of nothing. Uses `products` up.
std::vector<int8_t> RoundLayer(std::span<const float> weights, std::span<const float> scales,
                               InputProducts products);

}  // namespace octet

#endif  // OCTET_CONVERTER_TUNE_SECOND_ORDER_H_
