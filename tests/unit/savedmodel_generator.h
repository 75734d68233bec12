// Random SavedModels of every operator and attribute that the importer lists, each with what it
// must give, computed while it is made.
#ifndef OCTET_TESTS_UNIT_SAVEDMODEL_GENERATOR_H_
#define OCTET_TESTS_UNIT_SAVEDMODEL_GENERATOR_H_

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/ref_tensor.h"
#include "tests/unit/saved_model_builder.h"

namespace octet::testing {

/// One network a seed. The graph is drawn as one flat list of operators, runs of which become
/// functions that call each other.
class SavedModelGenerator {
 public:
  explicit SavedModelGenerator(uint64_t seed) : random_(seed) { Make(); }

  const TfSavedModel& model() const { return model_; }
  BundleBuilder& bundle() { return bundle_; }
  bool has_variables() const { return !variables_.empty(); }
  /// The operators in order of computation, with the shapes of what was made of them.
  std::string Text() const {
    std::string text;
    for (size_t i = 0; i < drafts_.size(); ++i) {
      text += "%" + std::to_string(i) + " " + drafts_[i].op;
      for (const Out& in : drafts_[i].inputs)
        text += " %" + std::to_string(in.node) + (in.slot > 0 ? ":" + std::to_string(in.slot) : "");
      for (const Val& v : vals_) {
        if (v.out.node != static_cast<int>(i)) continue;
        for (const int64_t& d : v.t.dims)
          text += (&d == v.t.dims.data() ? " [" : ",") + std::to_string(d);
        text += "]";
      }
      text += "\n";
    }
    return text;
  }
  /// One image, in the source's order, and what the network makes of it.
  const RefTensor& input() const { return input_; }
  const std::map<std::string, RefTensor>& outputs() const { return outputs_; }

 private:
  using Dims = std::vector<int64_t>;
  /// An output of an operator.
  struct Out {
    int node = -1, slot = 0;
    auto operator<=>(const Out&) const = default;
  };
  struct Draft {
    std::string op;
    std::vector<Out> inputs;
    Attributes attributes;
    bool outside = false;  ///< Of functions.
    std::vector<int> after{};
  };
  /// The first dimension of `t` counts the rows of one image.
  struct Val {
    Out out;
    RefTensor t;
    bool first = false;  ///< An image with its channels in front.
  };

  int Below(int64_t n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  bool OneIn(int n) { return Below(n) == 0; }
  template <typename T>
  T Pick(const std::vector<T>& list) {
    return list[static_cast<size_t>(Below(static_cast<int64_t>(list.size())))];
  }

  // -- Operators and constants --

  Out Op(std::string op, std::vector<Out> inputs, Attributes attributes = {}) {
    if (OneIn(3) && !attributes.empty() && attributes[0].first == "T")
      attributes.erase(attributes.begin());
    drafts_.push_back({std::move(op), std::move(inputs), std::move(attributes)});
    return {static_cast<int>(drafts_.size()) - 1, 0};
  }
  /// With the attribute T, sometimes.
  Out FloatOp(std::string op, std::vector<Out> inputs, Attributes attributes = {}) {
    attributes.insert(attributes.begin(), {"T", AttrType(kTfFloat)});
    return Op(std::move(op), std::move(inputs), std::move(attributes));
  }
  Val Keep(Out out, RefTensor t, bool first = false) {
    Val v{out, std::move(t), first};
    if (OneIn(7)) v.out = Passed(v.out);
    vals_.push_back(v);
    return v;
  }

  /// Behind something that changes nothing.
  Out Passed(Out x) {
    switch (Below(9)) {
      case 0:
        return {Op("IdentityN", {Any().out, x}).node, 1};
      case 1: {
        const Out none = Op("NoOp", {});
        drafts_.back().after = {x.node, Below(none.node)};
        const Out y = Op("Identity", {x});
        drafts_.back().after = {none.node};
        return y;
      }
      case 2:
        return Op("CheckNumerics", {x}, {{"message", AttrString("?")}});
      default:
        return Op(Pick<std::string>({"Identity", "StopGradient", "PreventGradient", "Snapshot",
                                     "EnsureShape", "PlaceholderWithDefault"}),
                  {x});
    }
  }

  static std::string AttrTensor(int type, const Dims& dims, const std::string& content) {
    return Message([&](auto& w) {
      w.add_message(8, Message([&](auto& t) {
                      t.add_enum(1, type);
                      t.add_message(2, ShapeProto(dims));
                      t.add_bytes(4, content);
                    }));
    });
  }
  template <typename T, typename Values>
  static std::string Bytes(const Values& values) {
    std::string bytes;
    for (auto v : values) {
      const T element = static_cast<T>(v);
      bytes.append(reinterpret_cast<const char*>(&element), sizeof(T));
    }
    return bytes;
  }
  Out Const(int type, std::string tensor) {
    return Op("Const", {}, {{"dtype", AttrType(type)}, {"value", std::move(tensor)}});
  }

  Out IntsOf(int type, const Dims& values, const Dims& dims) {
    return Const(type, type == kTfInt64 ? AttrTensor(type, dims, Bytes<int64_t>(values))
                                        : AttrTensor(type, dims, Bytes<int32_t>(values)));
  }
  Out Int(int64_t v) { return IntsOf(kTfInt32, {v}, {}); }
  /// A list of integers, spelled in one way or another.
  Out Ints(const Dims& values) { return Ints(values, {static_cast<int64_t>(values.size())}); }
  Out Ints(const Dims& values, const Dims& dims) {
    if (dims.size() == 1 && values.size() > 1 && OneIn(8)) {
      std::vector<Out> parts;
      for (int64_t v : values) parts.push_back(Int(v));
      return Op("Pack", parts,
                {{"N", AttrInt(static_cast<int64_t>(parts.size()))}, {"axis", AttrInt(0)}});
    }
    if (OneIn(12)) {
      Dims halves;
      for (int64_t v : values) halves.push_back(v - 1);
      return Op("AddV2", {IntsOf(kTfInt32, halves, dims), Int(1)});
    }
    if (OneIn(12)) {
      return Op("Cast", {IntsOf(kTfInt64, values, dims)},
                {{"SrcT", AttrType(kTfInt64)}, {"DstT", AttrType(kTfInt32)}});
    }
    return IntsOf(OneIn(3) ? kTfInt64 : kTfInt32, values, dims);
  }

  /// As single precision has them. Weights are small, so that values stay near 1.
  RefTensor Numbers(const Dims& dims, double size = 0.5) {
    RefTensor t{dims, {}};
    std::normal_distribution<double> normal(0, size);
    for (int64_t i = 0; i < RefCount(dims); ++i)
      t.values.push_back(static_cast<double>(static_cast<float>(normal(random_))));
    return t;
  }

  /// A Const or a variable.
  Val Stored(const RefTensor& t) {
    const std::vector<float> values(t.values.begin(), t.values.end());
    if (variables_wanted_ && !OneIn(3)) {
      const std::string name = "layer/weight_" + std::to_string(variables_.size());
      const int type = OneIn(10) ? kTfDouble : kTfFloat;
      const Out handle = OneIn(8) && restored_ == 0
                             ? Op("VariableV2", {}, {{"shared_name", AttrString("")}})
                             : Op("VarHandleOp", {},
                                  {{"shared_name", AttrString(restored_ ? "other" : name)},
                                   {"shape", AttrShape(t.dims)}});
      drafts_.back().outside = true;
      variables_.emplace_back(handle.node, name);
      drafts_.back().attributes.emplace_back("dtype", AttrType(type));
      const std::string key =
          restored_ ? "_operations/" + name + "/.ATTRIBUTES/VARIABLE_VALUE" : name;
      if (type == kTfDouble)
        bundle_.Add(key, type, t.dims, Bytes<double>(values));
      else
        bundle_.AddFloats(key, t.dims, values);
      Out read = handle;
      if (drafts_.back().op == "VarHandleOp") {
        if (OneIn(10)) read = Op("Identity", {read});
        read = Op("ReadVariableOp", {read}, {{"dtype", AttrType(type)}});
      } else {
        drafts_.back().attributes[0] = {"shared_name", AttrString(name)};
      }
      if (type == kTfDouble)
        read = Op("Cast", {read}, {{"SrcT", AttrType(type)}, {"DstT", AttrType(kTfFloat)}});
      else if (OneIn(6))
        read = Op("Identity", {read});
      return {read, t};
    }
    const bool equal =
        std::count(values.begin(), values.end(), values[0]) == static_cast<int64_t>(values.size());
    if (equal && OneIn(2)) {  // One value that is repeated.
      return {Const(kTfFloat, Message([&](auto& w) {
                      w.add_message(8, Message([&](auto& m) {
                                      m.add_enum(1, kTfFloat);
                                      m.add_message(2, ShapeProto(t.dims));
                                      m.add_packed_float(5, values.begin(), values.begin() + 1);
                                    }));
                    })),
              t};
    }
    return {Const(kTfFloat, AttrFloats(t.dims, values)), t};
  }

  /// Weights, sometimes computed from others.
  Val Weight(const Dims& dims, double size = 0.5) {
    const int64_t n = RefCount(dims);
    const size_t rank = dims.size();
    for (const Val& w : weights_) {
      if (w.t.dims == dims && OneIn(8)) return w;
    }
    if (!OneIn(4)) {
      weights_.push_back(Stored(Numbers(dims, size)));
      return weights_.back();
    }
    switch (Below(13)) {
      case 0: {
        if (rank < 2) break;
        Dims perm(rank), from(rank);
        for (size_t d = 0; d < rank; ++d) perm[d] = static_cast<int64_t>(d);
        std::shuffle(perm.begin(), perm.end(), random_);
        for (size_t d = 0; d < rank; ++d) from[static_cast<size_t>(perm[d])] = dims[d];
        Val w = Stored(Numbers(from, size));
        return {Op("Transpose", {w.out, Ints(perm)}), RefTransposed(w.t, perm)};
      }
      case 1: {
        Val w = Stored(Numbers({n}, size));
        w.t.dims = dims;
        Dims target = dims;
        if (rank > 0 && OneIn(2))
          target[static_cast<size_t>(Below(static_cast<int64_t>(rank)))] = -1;
        return {Op("Reshape", {w.out, Ints(target)}), w.t};
      }
      case 2: {
        Val w = Stored(Numbers(dims, size)),
            s = Stored(Numbers(OneIn(2) || rank == 0 ? Dims{} : Dims{dims.back()}, 1));
        const auto [op, f] = Pick(Arithmetic());
        if (op == "RealDiv" || op == "Div") break;
        return {Op(op, {w.out, s.out}), RefBinary(w.t, s.t, f)};
      }
      case 3: {
        Val w = Stored(RefUnary(Numbers(dims, size), [](double v) { return std::fabs(v) + 0.25; }));
        const auto [op, f] = Pick<std::pair<std::string, double (*)(double)>>(
            {{"Neg", [](double v) { return -v; }},
             {"Square", [](double v) { return v * v; }},
             {"Sqrt", [](double v) { return std::sqrt(v); }},
             {"Rsqrt", [](double v) { return 1 / std::sqrt(v); }},
             {"Reciprocal", [](double v) { return 1 / v; }},
             {"Inv", [](double v) { return 1 / v; }},
             {"Relu", [](double v) { return v; }}});
        return {Op(op, {w.out}), RefUnary(w.t, f)};
      }
      case 4:
      case 5: {
        if (rank == 0) break;
        const size_t axis = static_cast<size_t>(Below(static_cast<int64_t>(rank)));
        if (dims[axis] < 2) break;
        Dims a = dims, b = dims;
        a[axis] = 1 + Below(dims[axis] - 1);
        b[axis] -= a[axis];
        std::vector<RefTensor> parts;
        const Val u = Stored(Numbers(a, size)), v = Stored(Numbers(b, size));
        parts = {u.t, v.t};
        return {Op("ConcatV2",
                   {u.out, v.out,
                    Int(static_cast<int64_t>(axis) - (OneIn(2) ? static_cast<int64_t>(rank) : 0))}),
                RefConcat(parts, axis)};
      }
      case 6: {
        if (rank == 0) break;
        const size_t axis = static_cast<size_t>(Below(static_cast<int64_t>(rank)));
        Dims whole = dims;
        const int64_t parts = 2 + Below(2), at = Below(parts);
        whole[axis] *= parts;
        Val w = Stored(Numbers(whole, size));
        const Out split =
            Op("Split", {Int(static_cast<int64_t>(axis)), w.out}, {{"num_split", AttrInt(parts)}});
        return {{split.node, static_cast<int>(at)},
                RefTake(w.t, axis, at * dims[axis], 1, dims[axis])};
      }
      case 7: {
        RefTensor t = Numbers(dims, size);
        std::fill(t.values.begin(), t.values.end(), t.values[0]);
        const Val v = Stored({{}, {t.values[0]}});
        return {Op("Fill", {IntsOf(kTfInt32, dims, {static_cast<int64_t>(rank)}), v.out}), t};
      }
      case 8: {
        if (rank == 0) break;
        std::vector<Out> parts;
        RefTensor t{dims, {}};
        for (int64_t i = 0; i < dims[0]; ++i) {
          const Val v = Stored(Numbers(Dims(dims.begin() + 1, dims.end()), size));
          parts.push_back(v.out);
          t.values.insert(t.values.end(), v.t.values.begin(), v.t.values.end());
        }
        return {Op("Pack", parts, {{"N", AttrInt(dims[0])}}), t};
      }
      case 9: {
        if (rank != 1) break;
        Val w = Stored(Numbers({n + 2}, size));
        Dims order;
        RefTensor t{dims, {}};
        for (int64_t i = 0; i < n; ++i) {
          order.push_back(Below(n + 2));
          t.values.push_back(w.t.values[static_cast<size_t>(order.back())]);
        }
        const Out indices = IntsOf(kTfInt32, order, {n});
        return {
            OneIn(2) ? Op("Gather", {w.out, indices}) : Op("GatherV2", {w.out, indices, Int(0)}),
            t};
      }
      case 10: {
        Val w = Stored(Numbers(dims, size));
        const int64_t axis = Below(static_cast<int64_t>(rank) + 1);
        const Out wide = Op("ExpandDims", {w.out, Int(axis)});
        return {Op("Squeeze", {wide}, {{"squeeze_dims", AttrInts({axis})}}), w.t};
      }
      case 11: {
        if (rank == 0) break;
        Dims larger = dims;
        for (int64_t& d : larger) d += Below(3);
        Val w = Stored(Numbers(larger, size));
        return Part(w, dims);
      }
      default:
        break;
    }
    return Stored(Numbers(dims, size));
  }

  /// A constant's last or first elements along each axis, backwards or forwards.
  Val Part(Val w, const Dims& dims) {
    const size_t rank = dims.size();
    Dims begin(rank), end(rank), step(rank);
    RefTensor t = w.t;
    int64_t begin_mask = 0, end_mask = 0;
    const bool plain = OneIn(3);  // Slice.
    for (size_t d = 0; d < rank; ++d) {
      const int64_t from = w.t.dims[d], n = dims[d];
      const bool back = !plain && OneIn(3);
      begin[d] = back ? from - 1 : from - n;
      step[d] = back ? -1 : 1;
      t = RefTake(t, d, begin[d], step[d], n);
      end[d] = plain ? n : back ? from - 1 - n - from : from;  // Negative ones count from the end.
      if (back && from == n) end_mask |= 1 << d;
      if (!plain && !back && OneIn(2)) end_mask |= 1 << d;
      if (!plain && begin[d] == (back ? from - 1 : 0) && OneIn(2))
        begin_mask |= 1 << d, begin[d] = Below(4);
    }
    if (plain) return {Op("Slice", {w.out, Ints(begin), Ints(end)}), t};
    return {Op("StridedSlice", {w.out, Ints(begin), Ints(end), Ints(step)},
               {{"begin_mask", AttrInt(begin_mask)}, {"end_mask", AttrInt(end_mask)}}),
            t};
  }

  using Function = double (*)(double, double);
  static const std::vector<std::pair<std::string, Function>>& Arithmetic() {
    static const std::vector<std::pair<std::string, Function>> kList = {
        {"Add", [](double a, double b) { return a + b; }},
        {"AddV2", [](double a, double b) { return a + b; }},
        {"Sub", [](double a, double b) { return a - b; }},
        {"Mul", [](double a, double b) { return a * b; }},
        {"RealDiv", [](double a, double b) { return a / b; }},
        {"Div", [](double a, double b) { return a / b; }},
        {"Maximum", [](double a, double b) { return std::max(a, b); }},
        {"Minimum", [](double a, double b) { return std::min(a, b); }}};
    return kList;
  }

  // -- Values --

  const Val& Any() {
    return vals_[vals_.size() - 1 -
                 static_cast<size_t>(
                     Below(std::min<int64_t>(3, static_cast<int64_t>(vals_.size()))))];
  }
  static bool IsImage(const Val& v) { return v.t.dims.size() == 4 && v.t.dims[0] == 1; }
  static RefTensor Last(const Val& v, bool first) {
    RefTensor t = v.t;
    return first ? RefTransposed(t, {0, 2, 3, 1}) : t;
  }
  static RefTensor Back(RefTensor t, bool first) {
    return first ? RefTransposed(t, {0, 3, 1, 2}) : t;
  }
  static size_t ChannelAxis(const Val& v) {
    return v.t.dims.size() == 4 && v.first ? 1 : v.t.dims.size() - 1;
  }

  Val Transposed(const Val& v, const Dims& perm) {
    RefTensor t = v.t;
    Dims written = perm;
    for (int64_t& p : written) p -= p > 0 && OneIn(8) ? static_cast<int64_t>(perm.size()) : 0;
    return Keep(Op("Transpose", {v.out, Ints(written)}), RefTransposed(t, perm),
                perm == Dims{0, 3, 1, 2}   ? true
                : perm == Dims{0, 2, 3, 1} ? false
                                           : v.first);
  }

  // -- Computed shapes --

  Out ShapeOf(const Val& v) {
    return Op("Shape", {v.out},
              OneIn(2) ? Attributes{} : Attributes{{"out_type", AttrType(kTfInt32)}});
  }
  /// One dimension as a scalar.
  Out Dim(const Val& v, int64_t d) {
    const Out shape = ShapeOf(v);
    const int64_t rank = static_cast<int64_t>(v.t.dims.size());
    switch (Below(5)) {
      case 0:
        return Op("GatherV2", {shape, Int(d), Int(0)});
      case 1:
        return Op("Squeeze", {Op("Slice", {shape, Ints({d}), Ints({1})})});
      case 2:
        return Op("Prod",
                  {Op("StridedSlice", {shape, Ints({d}), Ints({d + 1}), Ints({1})}), Ints({0})});
      default:
        return Op("StridedSlice",
                  {shape, Ints({OneIn(3) ? d - rank : d}), Ints({d + 1}), Ints({1})},
                  {{"shrink_axis_mask", AttrInt(1)}});
    }
  }
  /// `rows` times the batch, from the shape of some value.
  std::optional<Out> Rows(int64_t rows) {
    for (int attempt = 0; attempt < 4; ++attempt) {
      const Val v = Any();
      const int64_t have = v.t.dims[0];
      if (have == rows) return Dim(v, 0);
      if (rows % have == 0)
        return Op("Mul", OneIn(2) ? std::vector<Out>{Dim(v, 0), Int(rows / have)}
                                  : std::vector<Out>{Int(rows / have), Dim(v, 0)});
      for (size_t d = 1; d < v.t.dims.size(); ++d) {
        if (have * v.t.dims[d] == rows)
          return Op("Mul", {Dim(v, 0), Dim(v, static_cast<int64_t>(d))});
      }
      int64_t product = have;
      for (size_t d = 1; d < v.t.dims.size(); ++d) {
        product *= v.t.dims[d];
        if (product == rows)
          return Op("Prod", {Op("StridedSlice", {ShapeOf(v), Ints({0}),
                                                 Ints({static_cast<int64_t>(d) + 1}), Ints({1})}),
                             Ints({0})});
      }
    }
    return std::nullopt;
  }
  /// The shape `dims` for a Reshape of x.
  Out Target(const Val& x, const Dims& dims) {
    int open = OneIn(2) ? Below(static_cast<int64_t>(dims.size())) : -1;
    std::vector<Out> parts;
    Dims literal;
    bool computed = false;
    const bool all_literal = OneIn(2);
    for (size_t d = 0; d < dims.size(); ++d) {
      std::optional<Out> part;
      int64_t value = dims[d];
      if (static_cast<int>(d) == open) {
        value = -1;
      } else if (d == 0) {
        if (batch_ > 0) value = batch_ * dims[0];
        if (!all_literal || batch_ < 0) part = Rows(dims[0]);
        if (!part && batch_ < 0) {
          value = -1;
          open = 0;
        }
      } else if (!all_literal && OneIn(4)) {
        for (size_t i = 1; i < x.t.dims.size(); ++i) {
          if (x.t.dims[i] == dims[d]) part = Dim(x, static_cast<int64_t>(i));
        }
      }
      computed = computed || part.has_value();
      literal.push_back(value);
      parts.push_back(part ? *part : Int(value));
    }
    if (!computed) return Ints(literal);
    if (OneIn(3)) {  // Of lists.
      std::vector<Out> lists;
      for (const Out& part : parts) lists.push_back(Op("ExpandDims", {part, Int(0)}));
      lists.push_back(Int(0));
      return Op("ConcatV2", lists, {{"N", AttrInt(static_cast<int64_t>(parts.size()))}});
    }
    return Op("Pack", parts, {{"N", AttrInt(static_cast<int64_t>(parts.size()))}});
  }
  Val Reshaped(const Val& x, const Dims& dims) {
    RefTensor t = x.t;
    t.dims = dims;
    return Keep(Op("Reshape", {x.out, Target(x, dims)}), t, x.first);
  }

  // -- Layers --

  struct Windows {
    Attributes attributes;
    RefAxis axis[2];
  };
  /// A window on an image of the size [height, width]; nothing when it does not fit.
  std::optional<Windows> Window(const int64_t* size, bool first, bool pool, bool may_pad,
                                bool equal) {
    Windows w;
    const size_t h = first ? 2 : 1;
    Dims kernel(4, 1), stride(4, 1), dilation(4, 1), pads(8, 0);
    const int padding = Below(may_pad ? 3 : 2);  // SAME, VALID, EXPLICIT.
    for (size_t d = 0; d < 2; ++d) {
      const int64_t k = 1 + Below(3), s = equal && d == 1 ? stride[h] : 1 + Below(3) * Below(2);
      const int64_t dil = pool || s > 1 || OneIn(2) ? 1 : 1 + Below(2), span = (k - 1) * dil + 1;
      int64_t front = 0, behind = 0;
      if (padding == 2) front = Below(pool ? k : span), behind = Below(pool ? k : span + 1);
      if (pool && padding == 2 && behind >= k) behind = k - 1;
      if (padding > 0 && span > size[d] + front + behind) return std::nullopt;
      kernel[h + d] = k, stride[h + d] = s, dilation[h + d] = dil;
      pads[2 * (h + d)] = front, pads[2 * (h + d) + 1] = behind;
      w.axis[d] = padding == 2
                      ? RefAxis{k, s, dil, front, (size[d] + front + behind - span) / s + 1}
                      : RefAxis::Of(size[d], k, s, dil, padding == 0);
    }
    w.attributes = {{"T", AttrType(kTfFloat)},
                    {"strides", AttrInts(stride)},
                    {"padding", AttrString(padding == 0   ? "SAME"
                                           : padding == 1 ? "VALID"
                                                          : "EXPLICIT")}};
    if (pool) w.attributes.emplace_back("ksize", AttrInts(kernel));
    if (first || OneIn(2))
      w.attributes.emplace_back("data_format", AttrString(first ? "NCHW" : "NHWC"));
    if (!pool && (dilation != Dims(4, 1) || OneIn(2)))
      w.attributes.emplace_back("dilations", AttrInts(dilation));
    if (padding == 2) w.attributes.emplace_back("explicit_paddings", AttrInts(pads));
    return w;
  }

  bool Format(const Val& x) { return x.first != OneIn(25); }

  void Convolve(const Val& x, bool depthwise) {
    if (!IsImage(x)) return;
    const bool first = Format(x);
    RefTensor in = Last(x, first);
    const auto w = Window(&in.dims[1], first, false, true, depthwise);
    if (!w) return;
    const int64_t c = in.dims[3];
    int64_t groups = 1;
    if (!depthwise && OneIn(3)) {
      do groups = 1 + Below(c);
      while (c % groups != 0);
    }
    const int64_t kh = w->axis[0].kernel, kw = w->axis[1].kernel;
    Val k = Weight(depthwise ? Dims{kh, kw, c, 1 + Below(3)}
                             : Dims{kh, kw, c / groups,
                                    groups * (1 + Below(std::max<int64_t>(9 / groups, 1)))},
                   0.6 / std::sqrt(static_cast<double>(kh * kw)));
    RefTensor y = depthwise ? RefDepthwiseConv(in, k.t, w->axis[0], w->axis[1])
                            : RefConv(in, k.t, w->axis[0], w->axis[1]);
    const Val conv =
        Keep(Op(depthwise ? "DepthwiseConv2dNative" : "Conv2D", {x.out, k.out}, w->attributes),
             Back(y, first), first);
    if (OneIn(2)) Bias(conv);
  }

  /// TensorFlow's way of a dilated convolution.
  void ConvolveInBlocks(const Val& x) {
    if (!IsImage(x) || (x.first && !OneIn(10))) return;
    Dims block, pads, crops;
    RefAxis axis[2];
    for (size_t d = 0; d < 2; ++d) {
      const int64_t in = x.t.dims[1 + d], b = 1 + Below(3), k = OneIn(8) ? 1 : 2 + Below(2),
                    span = (k - 1) * b + 1;
      const int64_t front = Below(span), behind = (b - (in + front) % b) % b + (OneIn(8) ? b : 0);
      if (in + front + behind < span) return;
      block.push_back(b);
      pads.insert(pads.end(), {front, behind});
      const int64_t room = in + front + behind - span + 1;
      const int64_t c0 = Below(std::min<int64_t>({front + 1, room, 2})),
                    c1 = Below(std::min<int64_t>({behind + 1, room - c0, 3}));
      crops.insert(crops.end(), {c0, c1});
      axis[d] = {k, 1, b, front - c0, room - c0 - c1};
    }
    const bool depthwise = OneIn(3);
    const int64_t c = x.t.dims[3];
    Val k = Weight(depthwise ? Dims{axis[0].kernel, axis[1].kernel, c, 1 + Below(2)}
                             : Dims{axis[0].kernel, axis[1].kernel, c, 1 + Below(5)},
                   0.4);
    RefTensor in = x.t;
    RefTensor y = depthwise ? RefDepthwiseConv(in, k.t, axis[0], axis[1])
                            : RefConv(in, k.t, axis[0], axis[1]);
    const Out split = Op("SpaceToBatchND", {x.out, Ints(block), Ints(pads, {2, 2})});
    const Out conv =
        FloatOp(depthwise ? "DepthwiseConv2dNative" : "Conv2D", {split, k.out},
                {{"strides", AttrInts({1, 1, 1, 1})}, {"padding", AttrString("VALID")}});
    Keep(Op("BatchToSpaceND", {conv, Ints(block), Ints(crops, {2, 2})}), y);
  }

  void Bias(const Val& x) {
    if (x.t.dims.size() < 2) return;
    const bool image = x.t.dims.size() == 4, first = image && x.first;
    const int64_t c = x.t.dims[ChannelAxis(x)];
    Val b = Weight({c});
    RefTensor shaped = b.t, in = x.t;
    if (first) shaped.dims = {c, 1, 1};
    Attributes a;
    if (first || OneIn(3)) a.emplace_back("data_format", AttrString(first ? "NCHW" : "NHWC"));
    Keep(FloatOp("BiasAdd", {x.out, b.out}, a), RefBinary(in, shaped, std::plus<>()), x.first);
  }

  void BatchNorm(const Val& x) {
    const int64_t c = x.t.dims[ChannelAxis(x)];
    const bool fused = IsImage(x) && OneIn(2);
    const bool first = x.t.dims.size() == 4 && x.first;
    // Computed ones may be of any sign, which a variance must not.
    Val p[4] = {Weight({c}), Weight({c}), Weight({c}), Stored(RefUnary(Numbers({c}), [](double v) {
                  return static_cast<double>(static_cast<float>(v * v + 0.25));
                }))};
    const bool has_epsilon = !fused || OneIn(2);
    const double epsilon = static_cast<double>(has_epsilon ? 1e-3f : 1e-4f);
    RefTensor scale = RefUnary(p[3].t, [&](double v) { return 1 / std::sqrt(v + epsilon); });
    scale = RefBinary(scale, p[0].t, std::multiplies<>());
    RefTensor shift = RefBinary(p[2].t, scale, std::multiplies<>());
    shift = RefBinary(p[1].t, shift, std::minus<>());
    if (first) scale.dims = shift.dims = {c, 1, 1};
    RefTensor y = x.t;
    y = RefBinary(y, scale, std::multiplies<>());
    y = RefBinary(y, shift, std::plus<>());
    if (fused) {
      Attributes a{{"is_training", AttrBool(false)}};
      if (has_epsilon) a.emplace_back("epsilon", AttrFloat(1e-3f));
      if (first || OneIn(2)) a.emplace_back("data_format", AttrString(first ? "NCHW" : "NHWC"));
      const std::string op =
          Pick<std::string>({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"});
      Keep(FloatOp(op, {x.out, p[0].out, p[1].out, p[2].out, p[3].out}, a), y, x.first);
      return;
    }
    Out q[4];
    for (int i = 0; i < 4; ++i) {
      q[i] = p[i].out;
      if (first)
        q[i] = Op("Reshape", {q[i], Ints(OneIn(2) ? Dims{1, c, 1, 1} : Dims{-1, 1, 1})});
      else if (OneIn(6))
        q[i] = Op("Reshape", {q[i], Ints(Dims{1, c})});
    }
    const Out eps = Const(kTfFloat, AttrFloats({}, {1e-3f}));
    const Out sum = Op("AddV2", {q[3], eps});
    Out out = x.out;
    switch (Below(4)) {
      case 0: {  // Keras 2.
        const Out inv = Op("Mul", {Op("Rsqrt", {sum}), q[0]});
        out = Op("Mul", OneIn(2) ? std::vector<Out>{out, inv} : std::vector<Out>{inv, out});
        out = Op("AddV2", {out, Op("Sub", {q[1], Op("Mul", {q[2], inv})})});
        break;
      }
      case 1: {  // Keras 3.
        out = Op("Sub", {out, q[2]});
        const Out inv = Op("Mul", {Op("Rsqrt", {sum}), q[0]});
        out = Op("AddV2", {Op("Mul", {out, inv}), q[1]});
        break;
      }
      case 2: {  // As the paper has it.
        out = Op("RealDiv", {Op("Sub", {out, q[2]}), Op("Sqrt", {sum})});
        out = Op("AddV2", {Op("Mul", {q[0], out}), q[1]});
        break;
      }
      default:
        out = Op("Mul",
                 {Op("AddV2", {out, Op("Neg", {q[2]})}), Op("Reciprocal", {Op("Sqrt", {sum})})});
        out = Op("Add", {q[1], Op("Mul", {out, q[0]})});
    }
    Keep(out, y, x.first);
  }

  void Pool(const Val& x) {
    if (!IsImage(x)) return;
    const bool first = Format(x), max = OneIn(2);
    RefTensor in = Last(x, first);
    const auto w = Window(&in.dims[1], first, true, max, false);
    if (!w) return;
    Keep(Op(max ? "MaxPool" : "AvgPool", {x.out}, w->attributes),
         Back(RefPool(in, w->axis[0], w->axis[1], !max), first), first);
  }

  void Reduce(const Val& x) {
    const int64_t rank = static_cast<int64_t>(x.t.dims.size());
    if (rank < 2) return;
    Dims axes;
    if (IsImage(x) && !OneIn(8)) {
      const int64_t h = x.first ? 2 : 1;
      axes = OneIn(4) ? Dims{h + Below(2)} : OneIn(4) ? Dims{h + 1, h} : Dims{h, h + 1};
    } else {
      axes = {1 + Below(rank - 1)};
    }
    const bool keep = OneIn(2), mean = OneIn(2);
    RefTensor t = x.t;
    double n = 1;
    for (int64_t a : axes) n *= static_cast<double>(t.dims[static_cast<size_t>(a)]);
    RefTensor y = mean ? RefReduce(t, axes, keep, 0, std::plus<>())
                       : RefReduce(t, axes, keep, -HUGE_VAL,
                                   [](double a, double b) { return std::max(a, b); });
    if (mean) y = RefUnary(y, [&](double v) { return v / n; });
    for (int64_t& a : axes) a -= OneIn(3) ? rank : 0;
    Attributes a;
    if (keep || OneIn(2)) a.emplace_back("keep_dims", AttrBool(keep));
    const Out list = axes.size() == 1 && OneIn(2) ? Int(axes[0]) : Ints(axes);
    Keep(FloatOp(mean ? "Mean" : "Max", {x.out, list}, a), y, x.first);
  }

  void Dense(const Val& x) {
    const size_t rank = x.t.dims.size();
    if (rank < 2) return;
    const int64_t in = x.t.dims.back(), out = 1 + Below(6);
    const bool turned = OneIn(3);
    Val w = Weight(turned ? Dims{out, in} : Dims{in, out}, 1 / std::sqrt(static_cast<double>(in)));
    RefTensor k = turned ? RefTransposed(w.t, {1, 0}) : w.t, t = x.t;
    RefTensor y = RefMatMul(t, k);
    if (rank == 2 && !OneIn(4)) {
      Attributes a;
      if (turned || OneIn(2)) a.emplace_back("transpose_b", AttrBool(turned));
      if (OneIn(2)) a.emplace_back("transpose_a", AttrBool(false));
      Keep(FloatOp("MatMul", {x.out, w.out}, a), y, x.first);
    } else if (OneIn(2)) {
      Attributes a;
      if (turned || OneIn(2)) a.emplace_back("adj_y", AttrBool(turned));
      if (OneIn(2)) a.emplace_back("adj_x", AttrBool(false));
      Keep(Op(Pick<std::string>({"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}), {x.out, w.out},
              a),
           y, x.first);
    } else {  // Keras' tensordot.
      const Out shape = ShapeOf(x);
      Dims free(rank - 1);
      for (size_t d = 0; d < free.size(); ++d) free[d] = static_cast<int64_t>(d);
      const Out rows = Op("GatherV2", {shape, Ints(free), Int(0)});
      const Out last = Op("GatherV2", {shape, Ints({static_cast<int64_t>(rank) - 1}), Int(0)});
      const Out flat = Op("Pack", {Op("Prod", {rows, Ints({0})}), Op("Prod", {last, Ints({0})})});
      const Out product =
          Op("MatMul", {Op("Reshape", {x.out, flat}), w.out}, {{"transpose_b", AttrBool(turned)}});
      Keep(Op("Reshape", {product, Op("ConcatV2", {rows, IntsOf(kTfInt32, {out}, {1}), Int(0)})}),
           y, x.first);
    }
    if (OneIn(2)) Bias(vals_.back());
  }

  // -- Arithmetic --

  void WithConstant(const Val& x) {
    const size_t rank = x.t.dims.size(), axis = ChannelAxis(x);
    const auto [op, f] = Pick(Arithmetic());
    const bool limit = op == "Maximum" || op == "Minimum", by = op == "RealDiv" || op == "Div";
    Dims dims;
    if (OneIn(limit ? 10 : 2)) {
      dims = Dims(rank - axis, 1);
      dims[0] = x.t.dims[axis];
      if (OneIn(3))
        dims.insert(dims.begin(), static_cast<size_t>(Below(static_cast<int64_t>(axis) + 1)), 1);
    } else {
      dims = Dims(static_cast<size_t>(OneIn(2) ? 0 : Below(static_cast<int64_t>(rank) + 1)), 1);
    }
    if (OneIn(40)) dims = x.t.dims;
    Val c = by ? Stored(RefUnary(Numbers(dims),
                                 [](double v) {
                                   return static_cast<double>(
                                       static_cast<float>(v < 0 ? v - 0.5 : v + 0.5));
                                 }))
               : Weight(dims);
    const bool turned = !by && OneIn(3);
    RefTensor t = x.t;
    Keep(FloatOp(op, turned ? std::vector<Out>{c.out, x.out} : std::vector<Out>{x.out, c.out}),
         turned ? RefBinary(c.t, t, f) : RefBinary(t, c.t, f), x.first);
  }

  void Together(const Val& x) {
    std::vector<Val> alike;
    for (const Val& v : vals_) {
      if (v.t.dims == x.t.dims) alike.push_back(v);
    }
    RefTensor t = x.t;
    if (OneIn(12)) {  // Operands of several shapes.
      Val y = Pick(vals_);
      const size_t rank = t.dims.size(), less = y.t.dims.size();
      for (size_t d = 0; d < less; ++d) {
        if (less > rank || (y.t.dims[d] != t.dims[rank - less + d] && y.t.dims[d] != 1)) return;
      }
      const auto& [op, f] = Pick(Arithmetic());
      if (op != "RealDiv" && op != "Div")
        Keep(FloatOp(op, {x.out, y.out}), RefBinary(t, y.t, f), x.first);
      return;
    }
    if (OneIn(4)) {
      std::vector<Out> inputs{x.out};
      for (int i = Below(3); i > 0; --i) {
        Val y = Pick(alike);
        inputs.push_back(y.out);
        t = RefBinary(t, y.t, std::plus<>());
      }
      Keep(Op("AddN", inputs, {{"N", AttrInt(static_cast<int64_t>(inputs.size()))}}), t, x.first);
      return;
    }
    Val y = Pick(alike);
    const auto& [op, f] = Arithmetic()[static_cast<size_t>(Below(4))];
    Keep(FloatOp(op, {y.out, x.out}), RefBinary(y.t, t, f), x.first);
  }

  /// A residual block, or x times a function of x.
  void Residual(const Val& x) {
    const size_t before = vals_.size();
    if (IsImage(x) && OneIn(2)) {
      const bool first = x.first;
      RefTensor in = Last(x, first);
      const int64_t c = in.dims[3];
      Val k = Weight({3, 3, c, c}, 0.2);
      RefTensor y = RefConv(in, k.t, RefAxis::Of(in.dims[1], 3, 1, 1, true),
                            RefAxis::Of(in.dims[2], 3, 1, 1, true));
      Keep(FloatOp("Conv2D", {x.out, k.out},
                   {{"strides", AttrInts({1, 1, 1, 1})},
                    {"padding", AttrString("SAME")},
                    {"data_format", AttrString(first ? "NCHW" : "NHWC")}}),
           Back(y, first), first);
      if (OneIn(2)) BatchNorm(vals_.back());
    } else {
      Activate(x);
    }
    if (vals_.size() == before || vals_.back().t.dims != x.t.dims) return;
    Val y = vals_.back();
    RefTensor t = x.t;
    const bool mul = OneIn(4);
    Keep(FloatOp(mul ? "Mul" : "AddV2",
                 OneIn(2) ? std::vector<Out>{x.out, y.out} : std::vector<Out>{y.out, x.out}),
         mul ? RefBinary(t, y.t, std::multiplies<>()) : RefBinary(t, y.t, std::plus<>()), x.first);
    if (OneIn(2)) Activate(vals_.back());
  }

  Out Number(double v) { return Stored({{}, {static_cast<double>(static_cast<float>(v))}}).out; }

  void Activate(const Val& x) {
    const auto keep = [&](Out out, const std::function<double(double)>& f) {
      Keep(out, RefUnary(x.t, f), x.first);
    };
    RefTensor t = x.t;
    switch (Below(12)) {
      case 0:
      case 1:
        if (Below(4) == 0) {
          const float slope = static_cast<float>(Below(9)) / 4 - 0.5f;
          return keep(FloatOp("LeakyRelu", {x.out}, {{"alpha", AttrFloat(slope)}}),
                      [slope](double v) { return v < 0 ? slope * v : v; });
        }
        return keep(FloatOp("Relu", {x.out}), [](double v) { return std::max(v, 0.0); });
      case 2:
        return keep(FloatOp("Relu6", {x.out}), [](double v) { return std::clamp(v, 0.0, 6.0); });
      case 3:
        return keep(FloatOp("Sigmoid", {x.out}), [](double v) { return 1 / (1 + std::exp(-v)); });
      case 4:
        return keep(FloatOp("Tanh", {x.out}), [](double v) { return std::tanh(v); });
      case 5: {
        if (x.t.dims.size() < 2) return;
        RefTensor y = RefSoftmax(t);
        const bool log = OneIn(2);
        if (!log) {
          Keep(FloatOp("Softmax", {x.out}), y, x.first);
          return;
        }
        y = RefUnary(y, [](double v) { return std::log(v); });
        Keep(OneIn(2) ? FloatOp("LogSoftmax", {x.out})
                      : FloatOp("Log", {FloatOp("Softmax", {x.out})}),
             y, x.first);
        return;
      }
      case 6:
      case 7: {  // Limits in one of several spellings, perhaps crossed.
        const double low = OneIn(9) ? -HUGE_VAL : Below(9) / 4.0 - 1,
                     high = OneIn(9)   ? HUGE_VAL
                            : OneIn(8) ? std::max(low, -1.0) - 0.5
                                       : std::max(low, -1.0) + 0.5 + Below(8) / 4.0;
        switch (Below(4)) {
          case 0:
            if (high < low) return;
            return keep(Op("ClipByValue", {x.out, Number(low), Number(high)}),
                        [&](double v) { return std::clamp(v, low, high); });
          case 1:
            return keep(Op("Maximum", {Op("Minimum", {x.out, Number(high)}), Number(low)}),
                        [&](double v) { return std::max(std::min(v, high), low); });
          case 2:
            return keep(Op("Minimum", {Number(high), Op("Maximum", {x.out, Number(low)})}),
                        [&](double v) { return std::min(std::max(v, low), high); });
          default:
            return keep(Op("Minimum", {Op("Relu", {x.out}), Number(high)}),
                        [&](double v) { return std::min(std::max(v, 0.0), high); });
        }
      }
      case 8:  // Hard sigmoid and swish.
      {
        const Out six = Op("Relu6", {Op("AddV2", {x.out, Number(3)})});
        const Out sixth = Op("Mul", {six, Number(1 / 6.0)});
        if (OneIn(2)) return keep(sixth, [](double v) { return std::clamp(v + 3, 0.0, 6.0) / 6; });
        return keep(Op("Mul", {x.out, sixth}),
                    [](double v) { return v * std::clamp(v + 3, 0.0, 6.0) / 6; });
      }
      case 9:
        return keep(FloatOp("Neg", {x.out}), [](double v) { return -v; });
      default:
        return Shared(x);
    }
  }

  /// A function that is called from several places: relu(x * a + b) + x.
  void Shared(const Val& x) {
    if (model_.functions.empty() || OneIn(4)) {
      TfFunction f{
          "shared_" + std::to_string(model_.functions.size()), {"x"}, {{"y", "Add:z:0"}}, {}};
      const RefTensor ab = Numbers({2});
      for (size_t i = 0; i < 2; ++i)
        f.nodes.push_back({i == 0 ? "a" : "b",
                           "Const",
                           {},
                           {{"value", AttrFloats({}, {static_cast<float>(ab.values[i])})}}});
      f.nodes.push_back({"Mul", "Mul", {"x", "a:output:0"}, {}});
      f.nodes.push_back({"Sub", "AddV2", {"Mul:z:0", "b:output:0"}, {}});
      f.nodes.push_back({"Relu", "Relu", {"Sub:z:0"}, {}});
      f.nodes.push_back({"Add", "AddV2", {"x", "Relu:activations:0"}, {}});
      model_.functions.push_back(std::move(f));
      shared_.push_back(ab.values);
    }
    const size_t i = static_cast<size_t>(Below(static_cast<int64_t>(shared_.size())));
    const double a = shared_[i][0], b = shared_[i][1];
    Keep(Op("PartitionedCall", {x.out}, {{"f", AttrFunction(model_.functions[i].name)}}),
         RefUnary(x.t, [&](double v) { return std::max(v * a + b, 0.0) + v; }), x.first);
  }

  // -- Shapes and parts --

  void Pad(const Val& x) {
    const size_t rank = x.t.dims.size();
    Dims front(rank, 0), behind(rank, 0), written;
    for (size_t d = 0; d < rank; ++d) {
      const bool spatial = rank == 4 && (x.first ? d > 1 : d == 1 || d == 2);
      if (d > 0 && (spatial || OneIn(5))) front[d] = Below(3), behind[d] = Below(2);
      written.insert(written.end(), {front[d], behind[d]});
    }
    const bool v2 = OneIn(2);
    const double fill = v2 ? Numbers({}).values[0] : 0;
    std::vector<Out> in{x.out, Ints(written, {static_cast<int64_t>(rank), 2})};
    if (v2) in.push_back(Number(fill));
    RefTensor t = x.t;
    Keep(Op(v2 ? "PadV2" : "Pad", in), RefPad(t, front, behind, fill), x.first);
  }

  void Slice(const Val& x) {
    const size_t rank = x.t.dims.size();
    if (rank < 2) return;
    RefTensor t = x.t;
    if (OneIn(6)) {  // All of one axis backwards.
      const size_t axis = OneIn(5) ? 1 : ChannelAxis(x);
      const int64_t n = t.dims[axis];
      Keep(Op("ReverseV2", {x.out, Ints({static_cast<int64_t>(axis) -
                                         (OneIn(2) ? static_cast<int64_t>(rank) : 0)})}),
           RefTake(t, axis, n - 1, -1, n), x.first);
      return;
    }
    if (OneIn(4)) {
      Dims begin(rank, 0), size = t.dims;
      size[0] = OneIn(2) || batch_ < 0 ? -1 : batch_ * t.dims[0];
      for (size_t d = 1; d < rank; ++d) {
        if (OneIn(2)) continue;
        begin[d] = Below(t.dims[d]);
        const int64_t n = 1 + Below(t.dims[d] - begin[d]);
        size[d] = begin[d] + n == t.dims[d] && OneIn(2) ? -1 : n;
        t = RefTake(t, d, begin[d], 1, n);
      }
      Keep(Op("Slice", {x.out, Ints(begin), Ints(size)}), t, x.first);
      return;
    }
    // The specification of each dimension, new ones and an ellipsis between.
    Dims begin, end, step, dims;
    int64_t masks[5] = {};  // begin, end, ellipsis, new_axis, shrink_axis.
    // Dimensions the ellipsis stands for.
    const size_t skip = OneIn(4) ? 1 + static_cast<size_t>(Below(static_cast<int64_t>(rank))) : 0;
    const size_t skip_at = OneIn(3) ? 0 : 1;
    const auto spec = [&](int64_t b, int64_t e, int64_t s, std::initializer_list<int> set) {
      for (int m : set) masks[m] |= int64_t{1} << begin.size();
      begin.push_back(b), end.push_back(e), step.push_back(s);
    };
    const size_t stop =
        OneIn(4) ? 1 + static_cast<size_t>(Below(static_cast<int64_t>(rank))) : rank;
    for (size_t d = 0; d < rank; ++d) {
      if (skip > 0 && d == std::min(skip_at, rank - 1)) {
        spec(Below(5), Below(5), 1, {2});
        for (size_t i = 0; i < skip && d < rank; ++i, ++d) dims.push_back(t.dims[d]);
        if (d == rank) break;
      } else if (skip == 0 && d >= stop && d > 0) {
        dims.push_back(t.dims[d]);
        continue;
      }
      const int64_t n = t.dims[d];
      if (d == 0) {
        if (OneIn(2) || batch_ < 0)
          spec(OneIn(2) ? 0 : Below(3), 0, 1, {0, 1});
        else
          spec(0, batch_ * n, 1, {});
        dims.push_back(n);
        continue;
      }
      if (OneIn(12) && dims.size() + (rank - d) < 4) {
        spec(Below(5), Below(5), 1, {3});
        dims.push_back(1);
      }
      if (OneIn(8)) {  // Gone.
        const int64_t at = Below(n);
        spec(OneIn(2) ? at : at - n, at + 1, 1, {4});
        t = RefTake(t, d, at, 1, 1);
        continue;
      }
      const bool back = OneIn(8) && (d == ChannelAxis(x) || OneIn(6));
      int64_t from = OneIn(2) ? 0 : Below(n), s = OneIn(4) ? 2 : 1;
      if (back) from = n - 1, s = -1;
      int64_t to = back || OneIn(2) ? n : from + 1 + Below(n - from);
      const int64_t count = back ? n : (to - from + s - 1) / s;
      int64_t b = from, e = back ? -n - 1 : to;
      std::vector<int> set;
      if (from == (back ? n - 1 : 0) && OneIn(2))
        b = Below(5), masks[0] |= int64_t{1} << begin.size();
      else if (OneIn(4))
        b = from - n;
      else if (!back && from == 0 && OneIn(6))
        b = -n - 3;
      if ((back || to == n) && OneIn(2))
        e = Below(5), masks[1] |= int64_t{1} << begin.size();
      else if (!back && to < n && OneIn(4))
        e = to - n;
      else if (!back && to == n && OneIn(4))
        e = OneIn(2) ? INT32_MAX : n + 2;
      spec(b, e, s, {});
      t = RefTake(t, d, from, back ? -1 : s, count);
      dims.push_back(count);
    }
    static const char* const kMasks[] = {"begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask",
                                         "shrink_axis_mask"};
    Attributes a;
    for (size_t i = 0; i < 5; ++i) {
      if (masks[i] != 0 || OneIn(2)) a.emplace_back(kMasks[i], AttrInt(masks[i]));
    }
    t.dims = dims;
    Keep(Op("StridedSlice", {x.out, Ints(begin), Ints(end), Ints(step)}, a), t, x.first);
  }

  void Split(const Val& x) {
    const size_t rank = x.t.dims.size();
    if (rank < 2) return;
    const size_t axis =
        OneIn(3) ? 1 + static_cast<size_t>(Below(static_cast<int64_t>(rank) - 1)) : ChannelAxis(x);
    const int64_t n = x.t.dims[axis];
    if (n < 2 && !OneIn(4)) return;
    const Out where = Int(static_cast<int64_t>(axis) - (OneIn(2) ? static_cast<int64_t>(rank) : 0));
    Dims sizes;
    Out split;
    if (OneIn(2)) {
      int64_t parts;
      do parts = 1 + Below(std::min<int64_t>(n, 8));
      while (n % parts != 0);
      sizes.assign(static_cast<size_t>(parts), n / parts);
      split = Op("Split", {where, x.out}, {{"num_split", AttrInt(parts)}});
    } else {
      for (int64_t left = n; left > 0; left -= sizes.back())
        sizes.push_back(sizes.size() == 7 ? left : 1 + Below(left));
      Dims written = sizes;
      if (OneIn(3)) written[static_cast<size_t>(Below(static_cast<int64_t>(sizes.size())))] = -1;
      split = Op("SplitV", {x.out, Ints(written), where},
                 {{"num_split", AttrInt(static_cast<int64_t>(sizes.size()))}});
    }
    // Each part, sometimes with a layer of its own; then perhaps all together again.
    RefTensor t = x.t;
    int64_t begin = 0;
    std::vector<Val> parts;
    for (size_t i = 0; i < sizes.size(); ++i) {
      Val part =
          Keep({split.node, static_cast<int>(i)}, RefTake(t, axis, begin, 1, sizes[i]), x.first);
      begin += sizes[i];
      if (OneIn(3)) Activate(part), part = vals_.back();
      parts.push_back(part);
    }
    if (!OneIn(3)) Concat(parts, axis);
  }

  void Concat(std::vector<Val> vals, size_t axis) {
    std::vector<Out> in;
    std::vector<RefTensor> parts;
    for (const Val& v : vals) in.push_back(v.out), parts.push_back(v.t);
    const int64_t rank = static_cast<int64_t>(parts[0].dims.size()),
                  n = static_cast<int64_t>(in.size());
    in.push_back(Int(static_cast<int64_t>(axis) - (OneIn(2) ? rank : 0)));
    Keep(Op("ConcatV2", in, {{"N", AttrInt(n)}}), RefConcat(parts, axis), vals[0].first);
  }

  void Join(const Val& x) {
    const size_t rank = x.t.dims.size();
    if (rank < 2) return;
    if (rank < 4 && OneIn(4)) {
      std::vector<Val> alike;
      for (const Val& v : vals_) {
        if (v.t.dims == x.t.dims) alike.push_back(v);
      }
      std::vector<Out> in;
      std::vector<RefTensor> parts;
      for (int i = 1 + Below(3); i > 0; --i) {
        const Val v = Pick(alike);
        in.push_back(v.out), parts.push_back(v.t);
        parts.back().dims.push_back(1);
      }
      const int64_t n = static_cast<int64_t>(in.size());
      Keep(Op("Pack", in,
              {{"N", AttrInt(n)}, {"axis", AttrInt(OneIn(2) ? -1 : static_cast<int64_t>(rank))}}),
           RefConcat(parts, rank), false);
      return;
    }
    const size_t axis =
        OneIn(4) ? 1 + static_cast<size_t>(Below(static_cast<int64_t>(rank) - 1)) : ChannelAxis(x);
    std::vector<Val> parts{x};
    for (const Val& v : vals_) {
      bool fits = v.t.dims.size() == rank && parts.size() < 4;
      for (size_t d = 0; fits && d < rank; ++d) fits = d == axis || v.t.dims[d] == x.t.dims[d];
      if (fits && OneIn(2)) parts.push_back(v);
    }
    std::shuffle(parts.begin(), parts.end(), random_);
    Concat(parts, axis);
  }

  void Move(const Val& x) {
    const size_t rank = x.t.dims.size();
    if (rank == 4 && !OneIn(5)) {
      Transposed(x, x.first ? Dims{0, 2, 3, 1} : Dims{0, 3, 1, 2});
      return;
    }
    if (rank < 3) return;
    Dims perm(rank);
    for (size_t d = 0; d < rank; ++d) perm[d] = static_cast<int64_t>(d);
    std::shuffle(perm.begin() + 1, perm.end(), random_);
    Transposed(x, perm);
  }

  void Reshape(const Val& x) {
    const Dims& dims = x.t.dims;
    const size_t rank = dims.size();
    const int64_t n = RefCount(dims);
    switch (Below(7)) {
      case 0:
        if (rank > 2) Reshaped(x, {1, n});
        return;
      case 1: {  // Two neighbours become one dimension.
        if (rank < 3) return;
        const size_t at = static_cast<size_t>(Below(static_cast<int64_t>(rank) - 1));
        Dims to = dims;
        to[at] *= to[at + 1];
        to.erase(to.begin() + static_cast<int64_t>(at) + 1);
        Reshaped(x, to);
        return;
      }
      case 2: {  // As some other value is.
        for (const Val& v : vals_) {
          if (v.t.dims != dims && RefCount(v.t.dims) == n && OneIn(2)) {
            Reshaped(x, v.t.dims);
            vals_.back().first = v.first;
            return;
          }
        }
        return;
      }
      case 3: {  // A dimension becomes two.
        if (rank > 3) return;
        const size_t at = static_cast<size_t>(Below(static_cast<int64_t>(rank)));
        Dims to = dims;
        int64_t f;
        do f = 1 + Below(to[at]);
        while (to[at] % f != 0);
        to[at] /= f;
        to.insert(to.begin() + static_cast<int64_t>(at) + 1, f);
        Reshaped(x, to);
        vals_.back().first = false;
        return;
      }
      case 4: {
        if (rank > 3) return;
        const int64_t axis = 1 + Below(static_cast<int64_t>(rank));
        RefTensor t = x.t;
        t.dims.insert(t.dims.begin() + axis, 1);
        Keep(Op("ExpandDims",
                {x.out, OneIn(2) ? Ints({axis})
                                 : Int(OneIn(2) ? axis : axis - static_cast<int64_t>(rank) - 1)}),
             t);
        return;
      }
      default: {
        Dims ones;
        for (size_t d = 1; d < rank; ++d) {
          if (dims[d] == 1) ones.push_back(static_cast<int64_t>(d));
        }
        if (ones.empty()) {
          if (rank == 2 && OneIn(2)) Reshaped(x, {1, 1, 1, n});
          return;
        }
        if (ones.size() > 1 && OneIn(2))
          ones.erase(ones.begin() + Below(static_cast<int64_t>(ones.size())));
        RefTensor t = x.t;
        for (size_t i = ones.size(); i-- > 0;) t.dims.erase(t.dims.begin() + ones[i]);
        for (int64_t& a : ones) a -= OneIn(3) ? static_cast<int64_t>(rank) : 0;
        Keep(Op("Squeeze", {x.out}, {{"squeeze_dims", AttrInts(ones)}}), t);
        return;
      }
    }
  }

  void Resize(const Val& x) {
    if (!IsImage(x)) return;
    Keep(Op(Pick<std::string>({"ResizeBilinear", "ResizeBicubic", "ResizeNearestNeighbor"}),
            {x.out, IntsOf(kTfInt32, {x.t.dims[1], x.t.dims[2]}, {2})},
            {{"half_pixel_centers", AttrBool(OneIn(2))}, {"align_corners", AttrBool(false)}}),
         x.t, x.first);
  }

  void Step() {
    const Val x = Any();
    switch (Below(32)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return Convolve(x, false);
      case 4:
        return Convolve(x, true);
      case 5:
        return ConvolveInBlocks(x);
      case 6:
      case 7:
        return BatchNorm(x);
      case 8:
      case 9:
      case 10:
        return Activate(x);
      case 11:
      case 12:
        return Pool(x);
      case 13:
        return Reduce(x);
      case 14:
        return Dense(x);
      case 15:
      case 16:
      case 17:
        return WithConstant(x);
      case 18:
        return Together(x);
      case 19:
      case 20:
        return Residual(x);
      case 21:
        return Pad(x);
      case 22:
      case 23:
        return Slice(x);
      case 24:
        return Split(x);
      case 25:
        return Join(x);
      case 26:
        return Move(x);
      case 27:
      case 28:
        return Reshape(x);
      case 29:
        return Resize(x);
      case 30: {
        const int type = OneIn(2) ? kTfFloat : kTfDouble;
        Keep(Op("Cast", {x.out}, {{"SrcT", AttrType(kTfFloat)}, {"DstT", AttrType(type)}}), x.t,
             x.first);
        return;
      }
      default:
        return Bias(x);
    }
  }

  // -- The whole --

  void Make() {
    batch_ = OneIn(4) ? 1 + Below(2) * 3 : -1;
    variables_wanted_ = OneIn(2);
    restored_ = variables_wanted_ && OneIn(2);
    const int64_t h = 5 + Below(4), w = 9 + Below(3),
                  c = OneIn(2) ? OneIn(3) ? 1 : 3 : 1 + Below(9);
    bool first = false;
    switch (Below(9)) {
      case 0:
        input_.dims = {1, h, w};
        break;
      case 1:
        input_.dims = {1, 11 + Below(10)};
        break;
      case 2:
        first = true;
        input_.dims = {1, c, h, w};
        break;
      default:
        input_.dims = {1, h, w, c};
    }
    const bool bytes = OneIn(3);
    for (int64_t i = 0; i < RefCount(input_.dims); ++i)
      input_.values.push_back(bytes ? Below(256) : (Below(33) - 16) / 8.0);
    Dims declared = input_.dims;
    declared[0] = batch_;
    model_.input_type = bytes ? kTfUint8 : kTfFloat;
    model_.input_shape = declared;
    const Out image = Op("Placeholder", {},
                         {{"dtype", AttrType(model_.input_type)}, {"shape", AttrShape(declared)}});
    drafts_.back().outside = true;
    Val x{image, input_, first};
    if (bytes) {
      int type = kTfUint8;
      if (OneIn(8)) {
        type = kTfInt32;
        x.out = Op("Cast", {x.out}, {{"SrcT", AttrType(kTfUint8)}, {"DstT", AttrType(type)}});
      }
      if (first && OneIn(3)) {
        x.out = Op("Transpose", {x.out, Ints({0, 2, 3, 1})});
        x.t = RefTransposed(x.t, {0, 2, 3, 1});
        x.first = first = false;
      }
      x.out = Op("Cast", {x.out}, {{"SrcT", AttrType(type)}, {"DstT", AttrType(kTfFloat)}});
      const RefTensor s{{}, {1 / 128.0}}, o{{}, {128}};
      if (OneIn(2)) {
        const Val scale = Stored(s);
        x.out = Op("Mul", {scale.out, x.out});
        x.t = RefUnary(x.t, [](double v) { return v / 128; });
      } else {
        const Val offset = Stored(o);
        x.out = Op("RealDiv", {Op("Sub", {x.out, offset.out}), offset.out});
        x.t = RefUnary(x.t, [](double v) { return (v - 128) / 128; });
      }
    }
    vals_.push_back(x);
    if (input_.dims.size() == 3) {
      RefTensor t = x.t;
      t.dims.push_back(1);
      Keep(Op("ExpandDims", {x.out, Int(-1)}), t);
    }
    if (first && OneIn(2)) Move(x);
    for (int i = 1 + Below(8); i > 0; --i) Step();
    Finish();
    Write();
  }

  /// Ends in a vector or an image, and in an operator that is not the input.
  void Finish() {
    Val x = vals_.back();
    const size_t rank = x.t.dims.size();
    if (rank != 2 && rank != 4) x = Reshaped(x, {1, RefCount(x.t.dims)});
    if (x.t.dims[0] != 1) x = Reshaped(x, {1, RefCount(x.t.dims)});
    if (x.t.dims.size() == 4 && !OneIn(3)) x = Reshaped(x, {1, RefCount(x.t.dims)});
    if (x.t.dims.size() == 2 && !OneIn(4)) Dense(x), x = vals_.back();
    RefTensor t = x.t;
    switch (Below(x.t.dims.size() == 2 ? 4 : 2)) {
      case 0:
        vals_.push_back(
            {FloatOp("Relu", {x.out}), RefUnary(t, [](double v) { return std::max(v, 0.0); })});
        break;
      case 1:
        vals_.push_back({FloatOp("Sigmoid", {x.out}),
                         RefUnary(t, [](double v) { return 1 / (1 + std::exp(-v)); })});
        break;
      default:
        vals_.push_back({FloatOp("Softmax", {x.out}), RefSoftmax(t)});
    }
    End("scores", vals_.back());
    for (const Val& v : vals_) {
      if ((v.t.dims.size() == 2 || IsImage(v)) && v.t.dims[0] == 1 && v.out.node > 1 && OneIn(40))
        End("end_" + std::to_string(ends_.size()), v);
    }
  }
  void End(const std::string& name, const Val& v) {
    ends_[name] = v.out;
    outputs_[name] = v.t;
  }

  // -- Functions --

  using Names = std::map<Out, std::string>;

  static std::string Result(const Draft& d, const std::string& name, int slot, bool main) {
    const std::string k = std::to_string(slot);
    if (main) return slot == 0 ? name : name + ":" + k;
    const std::string result = d.op.starts_with("FusedBatchNorm")      ? "y"
                               : d.op == "ReadVariableOp"              ? "value"
                               : d.op.find("Mul") != std::string::npos ? "product"
                                                                       : "output";
    return name + ":" + result + ":" + k;
  }

  /// Writes the drafts [begin, end) into a graph, some of them as calls of functions. `names` has
  /// what they may read and gets what they give.
  void Emit(int begin, int end, bool main, int depth, std::vector<TfNode>* nodes, Names* names) {
    std::map<std::string, int> count;
    std::map<int, std::string> here;  // Names of this graph's nodes, for control edges.
    const auto name_of = [&](const std::string& op) {
      const int k = count[op]++;
      return k == 0 ? op : op + "_" + std::to_string(k);
    };
    for (int i = begin; i < end;) {
      int n = 0;
      while (i + n < end && !drafts_[static_cast<size_t>(i + n)].outside) ++n;
      if (depth < 4 && n > 0 && OneIn(main ? 3 : 8)) {
        n = OneIn(3) ? n : 1 + Below(n);
        if (Call(i, i + n, main, depth, name_of("StatefulPartitionedCall"), nodes, names)) {
          i += n;
          continue;
        }
      }
      const Draft& d = drafts_[static_cast<size_t>(i)];
      TfNode node{d.op == "Placeholder" ? "image" : name_of(d.op), d.op, {}, d.attributes};
      for (const Out& in : d.inputs) node.inputs.push_back(names->at(in));
      for (int a : d.after) {
        if (here.count(a) > 0) node.inputs.push_back("^" + here[a]);
      }
      for (int slot = 0; slot < (d.op.starts_with("Split") ? 8 : 2); ++slot)
        (*names)[{i, slot}] = Result(d, node.name, slot, main);
      here[i++] = node.name;
      nodes->push_back(std::move(node));
    }
  }

  bool Call(int begin, int end, bool main, int depth, const std::string& name,
            std::vector<TfNode>* nodes, Names* names) {
    const auto inside = [&](const Out& out) { return out.node >= begin && out.node < end; };
    std::vector<Out> reads, gives;
    const auto add = [](std::vector<Out>* list, const Out& out) {
      if (std::count(list->begin(), list->end(), out) == 0) list->push_back(out);
    };
    for (size_t i = 0; i < drafts_.size(); ++i) {
      const bool in = inside({static_cast<int>(i), 0});
      for (const Out& out : drafts_[i].inputs) {
        if (in && !inside(out)) add(&reads, out);
        if (!in && inside(out)) add(&gives, out);
      }
    }
    for (const auto& [end_name, out] : ends_) {
      if (inside(out)) add(&gives, out);
    }
    if (gives.empty()) return false;
    const std::string function = "__inference_" + std::to_string(model_.functions.size()) + "_" +
                                 std::to_string(begin) + "_" + std::to_string(depth);
    TfFunction f{function, {}, {}, {}};
    TfNode call{name,
                OneIn(2) ? "StatefulPartitionedCall" : "PartitionedCall",
                {},
                {{"f", AttrFunction(function)}}};
    Names inner;
    for (size_t i = 0; i < reads.size(); ++i) {
      f.inputs.push_back("arg_" + std::to_string(i));
      inner[reads[i]] = f.inputs.back();
      call.inputs.push_back(names->at(reads[i]));
    }
    Emit(begin, end, false, depth + 1, &f.nodes, &inner);
    for (size_t i = 0; i < gives.size(); ++i) {
      f.outputs.emplace_back("out_" + std::to_string(i), inner.at(gives[i]));
      const std::string k = std::to_string(i);
      (*names)[gives[i]] = main ? (i == 0 ? name : name + ":" + k) : name + ":output:" + k;
    }
    model_.functions.push_back(std::move(f));
    nodes->push_back(std::move(call));
    return true;
  }

  void Write() {
    Names names;
    Emit(0, static_cast<int>(drafts_.size()), true, 0, &model_.nodes, &names);
    for (const auto& [name, out] : ends_) {
      const std::string& from = names.at(out);
      model_.more_outputs[name] = from.find(':') == std::string::npos ? from + ":0" : from;
    }
    model_.output = model_.more_outputs["scores"];
    if (!restored_ || variables_.empty()) return;
    TfFunction f{"restore_function", {"prefix"}, {{"identity", "file:output:0"}}, {}};
    TfNode call{"restore", "StatefulPartitionedCall", {"filename"}, {{"f", AttrFunction(f.name)}}};
    std::vector<std::string> keys;
    for (const auto& [node, name] : variables_) {
      const std::string k = std::to_string(keys.size());
      call.inputs.push_back(names.at({node, 0}));
      f.inputs.push_back("r_" + k);
      f.nodes.push_back({"Identity_" + k, "Identity", {"RestoreV2:tensors:" + k}, {}});
      f.nodes.push_back(
          {"Assign_" + k, "AssignVariableOp", {"r_" + k, "Identity_" + k + ":output:0"}, {}});
      keys.push_back("_operations/" + name + "/.ATTRIBUTES/VARIABLE_VALUE");
    }
    f.nodes.push_back(
        {"names", "Const", {}, {{"dtype", AttrType(kTfString)}, {"value", AttrStrings(keys)}}});
    f.nodes.push_back(
        {"RestoreV2", "RestoreV2", {"prefix", "names:output:0", "names:output:0"}, {}});
    f.nodes.push_back({"file", "Identity", {"prefix"}, {}});
    model_.Add("filename", "Placeholder", {}, {{"dtype", AttrType(kTfString)}});
    model_.nodes.push_back(std::move(call));
    model_.functions.push_back(std::move(f));
    model_.restore_op = "restore";
  }

  std::mt19937_64 random_;
  TfSavedModel model_;
  BundleBuilder bundle_;
  int64_t batch_ = -1;  ///< As the signature has it, -1 for any.
  bool variables_wanted_ = false, restored_ = false;
  std::vector<Draft> drafts_;
  std::vector<Val> vals_, weights_;
  std::vector<std::pair<int, std::string>> variables_;  ///< Their nodes and names.
  std::vector<std::vector<double>> shared_;             ///< Numbers of the first functions.
  RefTensor input_;
  std::map<std::string, RefTensor> outputs_;
  std::map<std::string, Out> ends_;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_SAVEDMODEL_GENERATOR_H_
