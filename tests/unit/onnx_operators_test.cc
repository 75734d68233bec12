// Every operator that the ONNX importer lists, with every attribute moved off its default and with
// one that nobody knows: what is taken must be what the operator's definition gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "converter/import/importer.h"
#include "converter/import/onnx/importer.h"
#include "tests/unit/naive_interpreter.h"
#include "tests/unit/onnx_builder.h"
#include "tests/unit/onnx_reference.h"

namespace octet {
namespace {

using ::testing::AnyOf;
using testing::Dims;
using testing::FloatTensor;
using ::testing::HasSubstr;
using testing::IntTensor;
using testing::OnnxAttr;
using testing::OnnxBuilder;
using testing::RefTensor;
using testing::TestNumbers;

const Dims kImage{1, 4, 6, 4};
const Dims kVector{1, 6};

bool IsConstantOnly(const std::string& op) {
  for (const OnnxImporter::Row& row : OnnxImporter::Rows()) {
    if (row.op == op) return row.handler == nullptr;
  }
  return false;
}

Dims InputOf(const std::string& op) {
  return op == "Gemm" || op == "MatMul" || op == "Log" || op == "Flatten" || op == "Unsqueeze"
             ? kVector
             : kImage;
}

/// A file with one node of `op` as it is mostly written, and `more` attributes in place of its own.
OnnxBuilder Example(const std::string& op, int64_t opset, const std::vector<OnnxAttr>& more) {
  OnnxBuilder b(opset);
  TestNumbers random(3);
  b.Input("x", InputOf(op)).Output("y");
  const auto floats = [&](const char* name, const Dims& dims) {
    std::vector<float> values = random.Floats(NumElements(dims));
    for (float& v : values) v = std::fabs(v) + 0.25f;
    b.Initializer(FloatTensor(name, dims, values));
  };
  const auto ints = [&](const char* name, const Dims& values) {
    b.Initializer(IntTensor(name, {static_cast<int64_t>(values.size())}, values));
  };
  std::vector<OnnxAttr> attributes;
  std::vector<std::string> inputs{"x"}, outputs{"z"};
  const bool old_axes = opset < 13;
  if (op == "Add" || op == "Sub" || op == "Mul" || op == "Div" || op == "Max" || op == "Min" ||
      op == "Sum" || op == "CastLike") {
    inputs.push_back("c");
    floats("c", {});
  } else if (op == "AveragePool" || op == "MaxPool") {
    attributes = {{"kernel_shape", Dims{2, 3}}};
  } else if (op == "BatchNormalization") {
    inputs = {"x", "g", "b", "m", "v"};
    for (const char* p : {"g", "b", "m", "v"}) floats(p, {4});
  } else if (op == "Cast") {
    attributes = {{"to", int64_t{1}}};
  } else if (op == "Ceil" || op == "Floor" || op == "Reciprocal" || op == "Sqrt") {
    inputs = {"c"};
    floats("c", {4, 1, 1});
  } else if (op == "Clip") {
    if (opset >= 11) inputs = {"x", "c"};
    floats("c", {});
  } else if (op == "Concat") {
    inputs = {"x", "x"};
    attributes = {{"axis", int64_t{1}}};
  } else if (op == "Constant") {
    inputs = {};
    attributes = {{"value", FloatTensor("", {4, 1, 1}, random.Floats(4))}};
  } else if (op == "ConstantOfShape") {
    inputs = {"n"};
    ints("n", {4, 1, 1});
    attributes = {{"value", FloatTensor("", {1}, {0.5f})}};
  } else if (op == "Conv") {
    inputs = {"x", "w", "b"};
    floats("w", {4, 4, 3, 2});
    floats("b", {4});
  } else if (op == "Equal" || op == "Mod") {
    inputs = {"i", "j"};
    ints("i", {5, -7, 3, 4});
    ints("j", {5, 3, -2, 4});
  } else if (op == "Expand") {
    inputs = {"c", "n"};
    floats("c", {4, 1, 1});
    ints("n", {1, 4, 6, 4});
  } else if (op == "Gather") {
    inputs = {"c", "n"};
    floats("c", {5});
    ints("n", {4, 0, 1, -1});
  } else if (op == "Gemm" || op == "MatMul") {
    inputs = {"x", "w"};
    floats("w", {6, 6});
  } else if (op == "Log") {
    b.Node("Softmax", {"x"}, {"s"});
    inputs = {"s"};
  } else if (op == "Pad") {
    if (opset >= 11) inputs = {"x", "n"};
    ints("n", {0, 1, 0, 2, 0, 0, 1, 0});
    if (opset < 11) attributes = {{"pads", Dims{0, 1, 0, 2, 0, 0, 1, 0}}};
  } else if (op == "QuantizeLinear" || op == "DequantizeLinear") {
    inputs = {"x", "s"};
    b.Initializer(FloatTensor("s", {}, {0.5f}));
  } else if (op == "ReduceMean" || op == "ReduceMax") {
    if (opset >= 18) inputs = {"x", "n"};
    ints("n", {2, 3});
    if (opset < 18) attributes = {{"axes", Dims{2, 3}}};
  } else if (op == "ReduceProd") {
    inputs = {"i"};
    ints("i", {2, 3});
  } else if (op == "Reshape") {
    inputs = {"x", "n"};
    ints("n", {1, 4, -1, 1});
  } else if (op == "Resize" || op == "Upsample") {
    inputs = op == "Resize" && opset >= 11 ? std::vector<std::string>{"x", "", "s"}
                                           : std::vector<std::string>{"x", "s"};
    b.Initializer(FloatTensor("s", {4}, {1, 1, 1, 1}));
  } else if (op == "Slice") {
    if (opset >= 10) inputs = {"x", "n", "m", "a"};
    ints("n", {1});
    ints("m", {3});
    ints("a", {1});
    if (opset < 10) attributes = {{"starts", Dims{1}}, {"ends", Dims{3}}, {"axes", Dims{1}}};
  } else if (op == "Split") {
    attributes = {{"axis", int64_t{1}}};
    outputs = {"z", "rest"};
    if (opset >= 18) attributes.push_back({"num_outputs", int64_t{2}});
  } else if (op == "Squeeze" || op == "Unsqueeze") {
    if (op == "Squeeze") b.Node("GlobalMaxPool", {"x"}, {"g"});
    if (op == "Squeeze") inputs = {"g"};
    if (!old_axes) inputs.push_back("n");
    ints("n", {2, 3});
    if (old_axes) attributes = {{"axes", Dims{2, 3}}};
  } else if (op == "Softmax" || op == "LogSoftmax") {
    attributes = {{"axis", int64_t{1}}};
  } else if (op == "Transpose") {
    attributes = {{"perm", Dims{0, 2, 3, 1}}};
  } else if (op == "Where") {
    inputs = {"i", "c", "d"};
    ints("i", {1});
    floats("c", {4, 1, 1});
    floats("d", {4, 1, 1});
  }
  for (const OnnxAttr& a : more) {
    std::erase_if(attributes, [&](const OnnxAttr& own) { return own.name == a.name; });
    attributes.push_back(a);
  }
  b.Node(op, inputs, outputs, attributes, "the_node");
  if (IsConstantOnly(op)) {  // Its value is then added to the input.
    b.Node("Cast", {"z"}, {"f"}, {{"to", int64_t{1}}}).Node("Add", {"x", "f"}, {"y"});
  } else {
    b.Node("Identity", {"z"}, {"y"});
  }
  return b;
}

/// Whether the file is taken; then the answer must be right, otherwise the reason must hold.
bool Taken(const OnnxBuilder& builder, const Dims& input, std::string* reason = nullptr) {
  const std::string bytes = builder.Build();
  const auto graph = ImportOnnxBytes(bytes, "test");
  if (!graph.ok()) {
    EXPECT_NE(graph.status().code(), StatusCode::kInternal);
    EXPECT_THAT(graph.status().message(), AnyOf(HasSubstr("'the_node'"), HasSubstr("'y'")));
    if (reason != nullptr) *reason = graph.status().message();
    return false;
  }
  const auto model = ParseOnnx(bytes, "test");
  RefTensor x{input, {}};
  TestNumbers random(5);
  for (float v : random.Floats(NumElements(input))) x.values.push_back(v);
  const RefTensor want = testing::OnnxReference(*model).Run(x);
  const auto last = [](const RefTensor& t) {
    if (t.dims.size() != 4) return t.values;
    std::vector<double> out;
    const int64_t pixels = t.dims[2] * t.dims[3];
    for (int64_t p = 0; p < pixels; ++p) {
      for (int64_t c = 0; c < t.dims[1]; ++c)
        out.push_back(t.values[static_cast<size_t>(c * pixels + p)]);
    }
    return out;
  };
  const Shape shape = graph->tensor(graph->outputs[0]).shape;
  const bool channels_last =
      want.dims.size() == 4 && shape == Shape{1, want.dims[2], want.dims[3], want.dims[1]};
  const Shape in = graph->tensor(graph->inputs[0]).shape;
  const bool as_it_is = input.size() == 4 && in == Shape{1, input[1], input[2], input[3]};
  const std::vector<double> found =
      testing::NaiveInterpreter(*graph).RunOutput({as_it_is ? x.values : last(x)});
  const std::vector<double> expected = channels_last ? last(want) : want.values;
  EXPECT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
    EXPECT_NEAR(found[i], expected[i], 1e-4 * std::max(1.0, std::fabs(expected[i])));
    if (std::fabs(found[i] - expected[i]) > 1e-3) break;
  }
  return true;
}

/// Values off the default, by attribute.
std::vector<OnnxAttr> Moved(const std::string& name) {
  const std::string s(name);
  const auto all = [&](std::vector<decltype(OnnxAttr::value)> values) {
    std::vector<OnnxAttr> attributes;
    for (auto& v : values) attributes.push_back({s, std::move(v)});
    return attributes;
  };
  const auto n = [](int64_t v) { return v; };
  const auto t = [](const char* v) { return std::string(v); };
  if (s == "auto_pad") return all({t("VALID"), t("SAME_UPPER"), t("SAME_LOWER"), t("OTHER")});
  if (s == "dilations") return all({Dims{2, 1}, Dims{2, 2}});
  if (s == "kernel_shape") return all({Dims{3, 3}, Dims{1, 2}, Dims{3}});
  if (s == "strides") return all({Dims{2, 1}, Dims{3, 3}, Dims{0, 1}});
  if (s == "pads") return all({Dims{1, 1, 0, 1}, Dims{-1, 0, 0, 0}, Dims{0, 0, 1, 1, 0, 0, 1, 0}});
  if (s == "perm") return all({Dims{0, 3, 1, 2}, Dims{0, 1, 3, 2}, Dims{1, 0, 2, 3}, Dims{0}});
  if (s == "axes") return all({Dims{0}, Dims{1}, Dims{2}, Dims{-1}, Dims{1, 3}, Dims{7}});
  if (s == "starts") return all({Dims{0}, Dims{2}, Dims{-3}});
  if (s == "ends") return all({Dims{2}, Dims{1000}, Dims{0}});
  if (s == "split") return all({Dims{1, 3}, Dims{1, 2}});
  if (s == "axis") return all({n(0), n(1), n(2), n(3), n(-1), n(-2), n(9)});
  if (s == "to") return all({n(10), n(11), n(7), n(9), n(2), n(22)});
  if (s == "epsilon" || s == "alpha" || s == "beta" || s == "momentum" || s == "ratio" ||
      s == "min" || s == "max" || s == "value" || s == "cubic_coeff_a" ||
      s == "extrapolation_value" || s == "value_float")
    return all({0.3f, -0.4f, n(1)});
  if (s == "mode") return all({t("reflect"), t("edge"), t("linear"), t("wrap")});
  if (s == "coordinate_transformation_mode")
    return all({t("asymmetric"), t("tf_half_pixel_for_nn"), t("tf_crop_and_resize")});
  if (s == "nearest_mode") return all({t("ceil")});
  if (s == "keep_aspect_ratio_policy") return all({t("not_larger")});
  if (s == "round_mode") return all({t("down")});
  if (s == "scales") return all({std::vector<float>{1, 1, 2, 2}, std::vector<float>{1, 1, 1, 1}});
  if (s == "value_floats") return all({std::vector<float>{1, 2, 3, 4}});
  if (s == "value_ints") return all({Dims{4, 3, 2, 1}});
  return all({n(0), n(1), n(2), n(-1), t("text")});
}

TEST(OnnxOperators, EveryAttributeIsHonouredOrRefused) {
  int taken = 0, refused = 0;
  for (const OnnxImporter::Row& row : OnnxImporter::Rows()) {
    const std::string op = row.op;
    const bool codes = op == "QuantizeLinear" || op == "DequantizeLinear";
    for (int64_t opset : {7, 9, 10, 11, 13, 15, 18, 21, 24}) {
      if (opset < row.since || (op == "Upsample" && opset > 9)) continue;
      SCOPED_TRACE(op + " of opset " + std::to_string(opset));
      if (!codes) {
        std::string reason;
        EXPECT_TRUE(Taken(Example(op, opset, {}), InputOf(op), &reason)) << reason;
      }
      std::string reason;
      EXPECT_FALSE(Taken(Example(op, opset, {{"nobody_knows", int64_t{3}}}), InputOf(op), &reason));
      EXPECT_THAT(reason, HasSubstr("its attribute 'nobody_knows' is 3"));
      for (const OnnxImporter::Attribute& rule : row.attributes) {
        const bool known = opset >= rule.since && opset <= rule.until;
        // Constants have one value or another.
        if (op == "Constant" || codes) continue;
        int number = 0;
        for (const OnnxAttr& a : Moved(rule.name)) {
          SCOPED_TRACE(a.name + ", value " + std::to_string(number++));
          const bool ok = Taken(Example(op, opset, {a}), InputOf(op), &reason);
          EXPECT_TRUE(known || !ok);
          if (!known) {
            EXPECT_THAT(reason, HasSubstr("its attribute '" + a.name));
          }
          ++(ok ? taken : refused);
        }
      }
    }
  }
  EXPECT_GT(taken, 300);
  EXPECT_GT(refused, 300);
}

TEST(OnnxOperators, InputsAndOutputsAreCounted) {
  for (const OnnxImporter::Row& row : OnnxImporter::Rows()) {
    SCOPED_TRACE(row.op);
    if (row.max_inputs > 100) continue;
    OnnxBuilder b(std::max<int64_t>(row.since, 13));
    b.Input("x", kImage)
        .Output("y")
        .Node(row.op, std::vector<std::string>(row.max_inputs + 1, "x"), {"y"}, {}, "the_node");
    std::string reason;
    EXPECT_FALSE(Taken(b, kImage, &reason));
    EXPECT_THAT(reason, HasSubstr(std::to_string(row.max_inputs + 1) + " inputs"));
  }
}

TEST(OnnxOperators, AreListedByName) {
  const std::vector<OperatorRow> rows = OnnxOperators();
  EXPECT_GT(rows.size(), 50u);
  EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));
  for (const OperatorRow& row : rows) EXPECT_EQ(row.format, "onnx");
}

}  // namespace
}  // namespace octet
