// Dense layers of ONNX: Gemm and MatMul.
#include <cmath>
#include <utility>

#include "converter/import/onnx/importer.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {

Status OnnxImporter::Gemm(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const Constant* weights, Floats(node, 1, "weights"));
  OnnxAttributes attributes(node);
  const float alpha = attributes.Float("alpha", 1.0f), beta = attributes.Float("beta", 1.0f);
  const bool transpose_a = attributes.Int("transA", 0) != 0;
  const bool transpose_b = attributes.Int("transB", 0) != 0;
  OCTET_RETURN_IF_ERROR(Status(attributes.status()));
  if (transpose_a) return Unsupported("transA is set");
  if (weights->dims.size() != 2)
    return Corrupt(StrCat("its weights have shape ", DimsText(weights->dims)));
  if (x->view.dims.size() != 2) {
    return Unsupported(
        StrCat("its input has shape ", DimsText(x->view.dims), ", expected [rows,features]"));
  }
  OCTET_RETURN_IF_ERROR(NotBatch(*x, 1, "sums"));
  LayerWeights layer = OutputFirst(node, *weights, transpose_b);
  for (float& v : layer.values) v *= alpha;
  for (float& v : layer.steps) v *= std::fabs(alpha);
  if (HasInput(node, 2)) {
    OCTET_ASSIGN_OR_RETURN(const Constant* c, Floats(node, 2, "bias"));
    const int64_t out = layer.shape[0];
    const bool row =
        c->size() == out && (c->dims.size() == 1 || (c->dims.size() == 2 && c->dims[0] == 1));
    if (!row && (c->size() != 1 || c->dims.size() > 2))
      return Unsupported(
          StrCat("its bias has shape ", DimsText(c->dims), ", expected [", out, "]"));
    if (out > kMaxChannels) return Unsupported(StrCat("it has ", out, " outputs"));
    layer.bias.assign(static_cast<size_t>(out), c->floats[0]);
    if (row) layer.bias = c->floats;
    for (float& v : layer.bias) v *= beta;
    layer.bias_name = node.inputs[2];
  }
  OCTET_ASSIGN_OR_RETURN(View y, builder_.LastDense(At(node), x->view, std::move(layer)));
  Set(node, std::move(y), x->batch);
  return OkStatus();
}

Status OnnxImporter::MatMul(const OnnxNode& node) {
  OCTET_ASSIGN_OR_RETURN(const OnnxValue* x, Activation(node, 0));
  OCTET_ASSIGN_OR_RETURN(const Constant* weights, Floats(node, 1, "second operand"));
  if (weights->dims.size() != 2)
    return Unsupported(
        StrCat("its second operand has shape ", DimsText(weights->dims), ", expected [in,out]"));
  const size_t rank = x->view.dims.size();
  if (rank < 2) return Unsupported(StrCat("its input has shape ", DimsText(x->view.dims)));
  OCTET_RETURN_IF_ERROR(NotBatch(*x, rank - 1, "sums"));
  OCTET_ASSIGN_OR_RETURN(View y,
                         builder_.LastDense(At(node), x->view, OutputFirst(node, *weights, false)));
  Set(node, std::move(y), x->batch);
  return OkStatus();
}

/// Weights [in, out], or [out, in] where they are `transposed` already.
LayerWeights OnnxImporter::OutputFirst(const OnnxNode& node, const Constant& weights,
                                       bool transposed) {
  const Dims& d = weights.dims;
  if (transposed)
    return {Shape{d[0], d[1]}, weights.floats, {}, node.inputs[1], {}, StepsOf(weights, 0)};
  return {Shape{d[1], d[0]},  Permuted<float>(weights.floats, d, {1, 0}), {}, node.inputs[1], {},
          StepsOf(weights, 1)};
}

}  // namespace octet
