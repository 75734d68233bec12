// What printed graphs (ToCode) are written in.
#ifndef OCTET_TESTS_FUZZ_GRAPH_CODE_H_
#define OCTET_TESTS_FUZZ_GRAPH_CODE_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/base/dtype.h"
#include "formats/model/graph.h"

namespace octet::testing {

inline TensorId FloatTensor(Graph* g, const Shape& shape) {
  return g->AddActivation("t" + std::to_string(g->tensors.size()), DType::kF32, shape);
}

inline TensorId Bf16Tensor(Graph* g, const Shape& shape) {
  return g->AddActivation("t" + std::to_string(g->tensors.size()), DType::kBF16, shape);
}

inline TensorId ByteTensor(Graph* g, const Shape& shape, float scale, int zero_point) {
  const TensorId id = g->AddActivation("t" + std::to_string(g->tensors.size()), DType::kU8, shape);
  g->tensor(id).quantization = {scale, zero_point};
  return id;
}

inline TensorId Int16Tensor(Graph* g, const Shape& shape, float scale) {
  const TensorId id = g->AddActivation("t" + std::to_string(g->tensors.size()), DType::kI16, shape);
  g->tensor(id).quantization = {scale, 0};
  return id;
}

/// A constant of `shape`. One value stands for all elements. Half floats are given as their bits.
template <typename T>
TensorId Constant(Graph* g, DType dtype, const Shape& shape, std::vector<T> values) {
  if (values.size() == 1) values.assign(static_cast<size_t>(shape.num_elements()), values[0]);
  return g->AddConstant("c" + std::to_string(g->tensors.size()), dtype, shape, values.data(),
                        values.size() * sizeof(T));
}

/// The node is named after its place.
inline Node* AddNode(Graph* g, OpType type, std::vector<TensorId> inputs, TensorId output) {
  return &g->AddNode(type, "n" + std::to_string(g->nodes.size()), std::move(inputs), output);
}

/// Kernel height and width, stride, dilation, padding at top, left, bottom and right.
inline Window MakeWindow(int kernel_h, int kernel_w, int stride_h, int stride_w, int dilation_h,
                         int dilation_w, int top, int left, int bottom, int right) {
  return {kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left, bottom, right};
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_FUZZ_GRAPH_CODE_H_
