// Weights of 16 bits in place of float32 ones.
#ifndef OCTET_CONVERTER_QUANTIZE_HALF_WEIGHTS_H_
#define OCTET_CONVERTER_QUANTIZE_HALF_WEIGHTS_H_

#include <map>

#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

class HalfWeights {
 public:
  /// `type` is kF16 or kBF16. Borrows the graph.
  HalfWeights(Graph* graph, DType type) : graph_(*graph), type_(type) {}

  /// Gives `node` its float32 weights as constants of the type, rounded to nearest even. Nodes that
  /// share weights still do. Errors: kInvalidArgument (a weight that rounds to infinity).
  Status Replace(Node* node);

 private:
  Graph& graph_;
  DType type_;
  std::map<TensorId, TensorId> known_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_QUANTIZE_HALF_WEIGHTS_H_
