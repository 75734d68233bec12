#include "converter/quantize/half_weights.h"

#include <cstdint>
#include <span>
#include <vector>

#include "formats/base/dtype.h"
#include "formats/base/str_cat.h"

namespace octet {

Status HalfWeights::Replace(Node* node) {
  const TensorId id = node->inputs[kInputWeights];
  TensorId& known = known_.try_emplace(id, kNoTensor).first->second;
  if (known == kNoTensor) {
    const Tensor& w = graph_.tensor(id);
    const bool bf16 = type_ == DType::kBF16;
    const uint16_t infinity = bf16 ? 0x7f80 : 0x7c00;
    const std::span<const float> values = w.values<float>();
    std::vector<uint16_t> halves(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      halves[i] = bf16 ? FloatToBf16(values[i]) : FloatToHalf(values[i]);
      if ((halves[i] & infinity) == infinity) {
        return InvalidArgument(StrCat("node '", node->name, "': tensor '", w.name, "': element ", i,
                                      ": found ", values[i], ", expected at most ",
                                      bf16 ? "3.3895e38" : "65504", " to fit ", DTypeName(type_)));
      }
    }
    const Shape shape = w.shape;
    known =
        graph_.AddConstant(w.name, type_, shape, halves.data(), halves.size() * sizeof(uint16_t));
  }
  node->inputs[kInputWeights] = known;
  return OkStatus();
}

}  // namespace octet
