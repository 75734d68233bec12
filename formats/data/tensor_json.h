// A tensor in the JSON that tools print.
#ifndef OCTET_FORMATS_DATA_TENSOR_JSON_H_
#define OCTET_FORMATS_DATA_TENSOR_JSON_H_

#include <nlohmann/json.hpp>

#include "formats/model/graph.h"

namespace octet {

inline nlohmann::ordered_json TensorJson(const Tensor& t) {
  nlohmann::ordered_json j{
      {"name", t.name}, {"dtype", DTypeName(t.dtype)}, {"shape", nlohmann::ordered_json::array()}};
  for (int i = 0; i < t.shape.rank(); ++i) j["shape"].push_back(t.shape[i]);
  if (IsCodes(t.dtype)) {
    j["scale"] = t.quantization.scale;
    j["zero_point"] = t.quantization.zero_point;
  }
  return j;
}

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_TENSOR_JSON_H_
