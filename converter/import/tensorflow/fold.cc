// A table from TensorFlow's operators to Folder's (builder/constant.h). StridedSlice and Slice
// become ranges here, of constants and of activations. Inputs that say how (shapes, axes, bounds)
// must not depend on the batch; those that are data may.
#include "converter/import/tensorflow/fold.h"

#include <algorithm>
#include <map>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet::tf {
namespace {

Result<int64_t> OneAxis(const Constant& c) {
  if (c.ints.size() != 1) return Corrupt("expected one axis");
  return c.ints[0];
}

}  // namespace

Result<Dims> SqueezedDims(const NodeDef& node, const Dims& dims) {
  std::vector<int64_t> axes = node.Ints("squeeze_dims");
  if (axes.empty()) axes = node.Ints("axis");
  return ResolveSqueeze(dims, axes.empty() ? std::nullopt : std::optional(std::move(axes)));
}

Result<SlicePlan> PlanStridedSlice(const NodeDef& node, const Dims& dims,
                                   const std::vector<int64_t>& begin,
                                   const std::vector<int64_t>& end,
                                   const std::vector<int64_t>& strides) {
  const size_t specs = begin.size();
  const auto mask = [&](std::string_view name) { return static_cast<uint64_t>(node.Int(name, 0)); };
  const uint64_t begin_mask = mask("begin_mask"), end_mask = mask("end_mask"),
                 ellipsis = mask("ellipsis_mask"), new_axis = mask("new_axis_mask"),
                 shrink = mask("shrink_axis_mask");
  if (end.size() != specs || strides.size() != specs || specs > 2 * kMaxRank)
    return Corrupt("StridedSlice with bounds of different lengths");
  size_t consumed = 0;
  for (size_t i = 0; i < specs; ++i)
    consumed += (ellipsis >> i & 1) == 0 && (new_axis >> i & 1) == 0;
  if (consumed > dims.size()) return Corrupt("StridedSlice with more bounds than dimensions");
  SlicePlan plan;
  const auto whole = [&] {
    const int64_t size = dims[plan.ranges.size()];
    plan.ranges.push_back({0, 1, size});
    plan.output_dims.push_back(size);
  };
  bool ellipsis_seen = false;
  for (size_t i = 0; i < specs; ++i) {
    if (ellipsis >> i & 1) {
      if (ellipsis_seen) return Corrupt("StridedSlice with two ellipses");
      ellipsis_seen = true;
      for (size_t n = dims.size() - consumed; n > 0; --n) whole();
      continue;
    }
    if (new_axis >> i & 1) {
      plan.output_dims.push_back(1);
      continue;
    }
    const int64_t size = dims[plan.ranges.size()], step = strides[i];
    if (step == 0) return Corrupt("StridedSlice with a step of 0");
    if (IsDynamic(step)) return Unsupported("StridedSlice with a step that depends on the batch");
    const bool from_edge = begin_mask >> i & 1, to_edge = end_mask >> i & 1;
    if (IsDynamic(size)) {
      if (step == 1 && (from_edge || begin[i] == 0) && (to_edge || end[i] == size) &&
          !(shrink >> i & 1)) {
        whole();
        continue;
      }
      return Unsupported("StridedSlice of the batch");
    }
    if (IsDynamic(begin[i]) || IsDynamic(end[i]))
      return Unsupported("StridedSlice with bounds that depend on the batch");
    if (shrink >> i & 1) {
      const Result<size_t> at = NormalizeAxis(begin[i], static_cast<size_t>(size));
      if (!at.ok()) return Corrupt(StrCat("StridedSlice takes element ", begin[i], " of ", size));
      plan.drops_first |= plan.ranges.empty();
      plan.ranges.push_back({static_cast<int64_t>(*at), 1, 1});
      continue;
    }
    const auto bound = [](bool edge, int64_t v) { return edge ? std::nullopt : std::optional(v); };
    plan.ranges.push_back(
        SliceRange(size, bound(from_edge, begin[i]), bound(to_edge, end[i]), step));
    plan.output_dims.push_back(plan.ranges.back().count);
  }
  while (plan.ranges.size() < dims.size()) whole();
  return plan;
}

Result<SlicePlan> PlanSlice(const Dims& dims, const std::vector<int64_t>& begin,
                            const std::vector<int64_t>& size) {
  if (begin.size() != dims.size() || size.size() != dims.size())
    return Corrupt("Slice with bounds of another rank than its input's");
  SlicePlan plan{{}, dims};
  for (size_t i = 0; i < dims.size(); ++i) {
    if (IsDynamic(dims[i])) {
      if (begin[i] != 0 || (size[i] != -1 && size[i] != dims[i]))
        return Unsupported("Slice of the batch");
    } else if (IsDynamic(begin[i]) || IsDynamic(size[i])) {
      return Unsupported("Slice with bounds that depend on the batch");
    } else if (begin[i] < 0 || begin[i] > dims[i] || size[i] < -1 || size[i] > dims[i] - begin[i]) {
      return Corrupt("Slice outside of its input");
    } else {
      plan.output_dims[i] = size[i] == -1 ? dims[i] - begin[i] : size[i];
    }
    plan.ranges.push_back({begin[i], 1, plan.output_dims[i]});
  }
  return plan;
}

Result<Constant> ShapeTensor(const NodeDef& node, const Dims& dims) {
  const ElementType type = node.Type("out_type", ElementType::kInt32);
  if (type != ElementType::kInt32 && type != ElementType::kInt64)
    return Corrupt(StrCat("Shape of ", TypeName(type)));
  return Constant{type, {static_cast<int64_t>(dims.size())}, {}, dims};
}

namespace {

using Inputs = std::vector<const Constant*>;
using Fold = Result<Constant> (*)(const NodeDef& node, const Inputs& in, const Folder& folder);

/// What is neither one function of each element nor of two.
const std::map<std::string_view, Fold>& OtherFolds() {
  static const std::map<std::string_view, Fold> kFolds = {
      {"Cast",
       [](const NodeDef& n, const Inputs& in, const Folder& f) {
         return f.Cast(*in[0], n.Type("DstT", ElementType::kUndefined));
       }},
      {"Reshape",
       [](const NodeDef&, const Inputs& in, const Folder& f) -> Result<Constant> {
         OCTET_ASSIGN_OR_RETURN(Dims dims, ResolveReshape(in[0]->dims, in[1]->ints, false));
         return f.WithDims(*in[0], std::move(dims));
       }},
      {"Squeeze",
       [](const NodeDef& n, const Inputs& in, const Folder& f) -> Result<Constant> {
         OCTET_ASSIGN_OR_RETURN(Dims dims, SqueezedDims(n, in[0]->dims));
         return f.WithDims(*in[0], std::move(dims));
       }},
      {"ExpandDims",
       [](const NodeDef&, const Inputs& in, const Folder& f) -> Result<Constant> {
         OCTET_ASSIGN_OR_RETURN(const int64_t axis, OneAxis(*in[1]));
         OCTET_ASSIGN_OR_RETURN(Dims dims, ResolveUnsqueeze(in[0]->dims, {axis}));
         return f.WithDims(*in[0], std::move(dims));
       }},
      {"Pack", [](const NodeDef& n, const Inputs& in,
                  const Folder& f) { return f.Stack(in, n.Int("axis", 0)); }},
      {"ConcatV2",
       [](const NodeDef&, const Inputs& in, const Folder& f) -> Result<Constant> {
         OCTET_ASSIGN_OR_RETURN(const int64_t axis, OneAxis(*in.back()));
         return f.Concat({in.begin(), in.end() - 1}, axis);
       }},
      {"StridedSlice",
       [](const NodeDef& n, const Inputs& in, const Folder& f) -> Result<Constant> {
         OCTET_ASSIGN_OR_RETURN(SlicePlan plan, PlanStridedSlice(n, in[0]->dims, in[1]->ints,
                                                                 in[2]->ints, in[3]->ints));
         OCTET_ASSIGN_OR_RETURN(Constant part, f.Slice(*in[0], plan.ranges));
         part.dims = std::move(plan.output_dims);
         return part;
       }},
      {"Slice",
       [](const NodeDef&, const Inputs& in, const Folder& f) -> Result<Constant> {
         OCTET_ASSIGN_OR_RETURN(const SlicePlan plan,
                                PlanSlice(in[0]->dims, in[1]->ints, in[2]->ints));
         return f.Slice(*in[0], plan.ranges);
       }},
      {"Fill",
       [](const NodeDef&, const Inputs& in, const Folder& f) { return f.Fill(*in[0], *in[1]); }},
      {"Prod",
       [](const NodeDef& n, const Inputs& in, const Folder& f) -> Result<Constant> {
         if (in[0]->dims.size() != 1 || in[1]->ints.size() != 1)
           return Unsupported("Prod of something other than all of a list");
         return f.ReduceProd(*in[0], n.Bool("keep_dims", false));
       }},
      {"Transpose",
       [](const NodeDef&, const Inputs& in, const Folder& f) -> Result<Constant> {
         OCTET_ASSIGN_OR_RETURN(const auto perm, Permutation(in[1]->ints, in[0]->dims.size()));
         return f.Transpose(*in[0], perm);
       }},
      {"GatherV2",
       [](const NodeDef&, const Inputs& in, const Folder& f) -> Result<Constant> {
         OCTET_ASSIGN_OR_RETURN(const int64_t axis, OneAxis(*in[2]));
         return f.Gather(*in[0], *in[1], axis, false);
       }},
      {"Gather", [](const NodeDef&, const Inputs& in,
                    const Folder& f) { return f.Gather(*in[0], *in[1], 0, false); }},
      {"Shape", [](const NodeDef& n, const Inputs& in,
                   const Folder&) { return ShapeTensor(n, in[0]->dims); }},
  };
  return kFolds;
}

}  // namespace

Result<std::optional<Constant>> FoldConstant(const NodeDef& node,
                                             const std::vector<const Constant*>& inputs,
                                             const Folder& folder) {
  using Folded = std::optional<Constant>;
  static const std::map<std::string_view, BinaryOp> kBinary = {
      {"Add", BinaryOp::kAdd}, {"AddV2", BinaryOp::kAdd},   {"BiasAdd", BinaryOp::kAdd},
      {"Sub", BinaryOp::kSub}, {"Mul", BinaryOp::kMul},     {"RealDiv", BinaryOp::kDiv},
      {"Div", BinaryOp::kDiv}, {"Maximum", BinaryOp::kMax}, {"Minimum", BinaryOp::kMin}};
  static const std::map<std::string_view, UnaryOp> kUnary = {{"Rsqrt", UnaryOp::kRsqrt},
                                                             {"Sqrt", UnaryOp::kSqrt},
                                                             {"Square", UnaryOp::kSquare},
                                                             {"Neg", UnaryOp::kNeg},
                                                             {"Reciprocal", UnaryOp::kReciprocal},
                                                             {"Inv", UnaryOp::kReciprocal},
                                                             {"Relu", UnaryOp::kRelu}};
  const auto binary = kBinary.find(node.op);
  const auto unary = kUnary.find(node.op);
  const auto other = OtherFolds().find(node.op);
  const bool known =
      binary != kBinary.end() || unary != kUnary.end() || other != OtherFolds().end();
  if (!known || inputs.empty()) return Folded();
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i]->type == ElementType::kString) return Unsupported(StrCat(node.op, " on strings"));
    const bool is_data =
        binary != kBinary.end() || node.op == "Pack" ||
        (node.op == "ConcatV2" ? i + 1 < inputs.size() : i == (node.op == "Fill" ? 1u : 0u));
    const std::vector<int64_t>& ints = inputs[i]->ints;
    if (!is_data && std::any_of(ints.begin(), ints.end(), IsDynamic))
      return Unsupported(
          StrCat("input ", i, " depends on the batch size or is too large, expected numbers"));
  }
  OCTET_ASSIGN_OR_RETURN(Constant folded,
                         binary != kBinary.end()
                             ? folder.Binary(binary->second, *inputs[0], *inputs[1])
                         : unary != kUnary.end() ? folder.Unary(unary->second, *inputs[0])
                                                 : other->second(node, inputs, folder));
  return Folded(std::move(folded));
}

}  // namespace octet::tf
