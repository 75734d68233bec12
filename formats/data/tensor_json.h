// A tensor in the JSON that tools print.
#ifndef OCTET_FORMATS_DATA_TENSOR_JSON_H_
#define OCTET_FORMATS_DATA_TENSOR_JSON_H_

#include <nlohmann/json.hpp>

#include "formats/model/graph.h"

namespace octet {

/// `channels`: of a network's input, ChannelsOfInput.
inline nlohmann::ordered_json TensorJson(const Tensor& t,
                                         const ChannelQuantization& channels = {}) {
  nlohmann::ordered_json j{
      {"name", t.name}, {"dtype", DTypeName(t.dtype)}, {"shape", nlohmann::ordered_json::array()}};
  for (int i = 0; i < t.shape.rank(); ++i) j["shape"].push_back(t.shape[i]);
  if (!channels.empty()) {
    j["pixel_codes"] = true;
    j["channel_scales"] = channels.scales;
    j["channel_zero_points"] = channels.zero_points;
  } else if (IsCodes(t.dtype)) {
    j["scale"] = t.quantization.scale;
    j["zero_point"] = t.quantization.zero_point;
  }
  return j;
}

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_TENSOR_JSON_H_
