// The model runs on one input after the other, and differences are tallied as they come. Where the
// answers have two readings, channels last or first, both are tallied, and the source's order
// counts unless the other agrees a hundred times better.
#include "converter/report/compare.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "converter/import/builder/graph_builder.h"
#include "converter/import/builder/view.h"
#include "engine/src/preprocess.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/npy.h"

namespace octet {
namespace {

/// One sample after the other from the file, as the model's first input.
class InputReader {
 public:
  InputReader(SourceArray array, const TensorDescription& input)
      : array_(std::move(array)), input_(input), values_(input.num_elements()) {}

  int64_t images() const { return array_.size(); }

  /// Fills `to`, one image in the model's type.
  Status Read(int64_t n, const Session& session, uint8_t* to) {
    if (array_.has_pixels()) {
      OCTET_RETURN_IF_ERROR(array_.ReadPixels(n, &pixels_));
      return session.Preprocess(
          {pixels_.data(), array_.width(), array_.height(), FormatOfChannels(array_.channels())},
          to);
    }
    OCTET_RETURN_IF_ERROR(array_.Read(n, values_.data()));
    input_.FromFloats(values_.data(), to);
    return OkStatus();
  }

 private:
  SourceArray array_;
  TensorDescription input_;
  std::vector<uint8_t> pixels_;
  std::vector<float> values_;
};

/// How the answers of an output of codes are written: as codes, when they are whole numbers that a
/// code may be and beyond what codes stand for; else as numbers.
struct AnswerForm {
  bool codes = false;
  double offset = 0.0;  ///< Of int8 codes, which are 128 lower.
};

Result<AnswerForm> FormOf(const NpyReader& reference, const TensorDescription& out) {
  AnswerForm form;
  const NpyType type = reference.header().type;
  form.codes = out.dtype == DType::kI16 && type == NpyType::kI16;
  if (out.dtype != DType::kU8) return form;
  if (type == NpyType::kU8 || type == NpyType::kI8)
    return AnswerForm{true, type == NpyType::kI8 ? 128.0 : 0.0};
  double low = 0.0, high = 0.0;
  std::vector<float> values;
  constexpr int64_t kAtOnce = 1 << 16;
  for (int64_t at = 0; at < reference.header().elements; at += kAtOnce) {
    values.resize(static_cast<size_t>(std::min(kAtOnce, reference.header().elements - at)));
    OCTET_RETURN_IF_ERROR(
        reference.ReadFloats(at, static_cast<int64_t>(values.size()), values.data()));
    for (float v : values) {
      if (!(v == std::nearbyint(v))) return form;
      low = std::min(low, static_cast<double>(v)), high = std::max(high, static_cast<double>(v));
    }
  }
  const double lowest = -static_cast<double>(out.scale) * out.zero_point,
               highest = static_cast<double>(out.scale) * (255 - out.zero_point);
  const bool fits = low >= 0.0 ? high <= 255.0 : low >= -128.0 && high <= 127.0;
  form.codes = fits && (low < lowest - 0.5 * out.scale || high > highest + 0.5 * out.scale);
  form.offset = low < 0.0 ? 128.0 : 0.0;
  return form;
}

/// `a` unless `b` is larger or not a number.
double LargerOrNan(double a, double b) { return b <= a || std::isnan(a) ? a : b; }

/// Differences so far.
struct Tally {
  double absolute_error = 0.0, largest = 0.0;
  int64_t equal_top1 = 0;

  void Add(const std::vector<float>& got, const std::vector<float>& want) {
    for (size_t at = 0; at < got.size(); ++at) {
      const double difference = std::fabs(static_cast<double>(got[at]) - want[at]);
      absolute_error = LargerOrNan(absolute_error, difference);
      largest = LargerOrNan(largest, std::fabs(static_cast<double>(want[at])));
    }
    const auto top1 = [](const std::vector<float>& v) {
      return std::max_element(v.begin(), v.end()) - v.begin();
    };
    equal_top1 += top1(got) == top1(want);
  }
};

}  // namespace

Result<Comparison> CompareWithReference(const std::shared_ptr<const Model>& model,
                                        const SourceInput& source, const std::string& input_path,
                                        const std::string& reference_path, Warnings* warnings) {
  const ModelDescription& description = model->Describe();
  if (description.inputs.size() != 1) {
    return Unsupported(
        StrCat("the network has ", description.inputs.size(), " inputs, a comparison takes 1"));
  }
  OCTET_ASSIGN_OR_RETURN(SourceArray array, SourceArray::Open(input_path, source));
  InputReader inputs(std::move(array), description.inputs[0]);
  OCTET_ASSIGN_OR_RETURN(const NpyReader reference, NpyReader::Open(reference_path));
  const TensorDescription& out = description.outputs[0];
  const int64_t size = static_cast<int64_t>(out.num_elements());
  const NpyHeader& header = reference.header();
  if (header.shape.empty() || header.shape[0] != inputs.images() ||
      header.elements != inputs.images() * size) {
    std::vector<int64_t> want = out.shape;
    want[0] = inputs.images();
    return InvalidArgument(StrCat(reference_path, ": shape ", DimsText(header.shape), ", expected ",
                                  DimsText(want), " for the ", inputs.images(), " inputs of ",
                                  input_path));
  }

  // Feature maps are written as the source has them, or as octet does. A shape may fit both.
  const std::vector<int64_t>& shape = out.shape;
  bool last = true, first = false;
  if (shape.size() == 4 && header.shape.size() == 4) {
    const std::vector<int64_t> found(header.shape.begin() + 1, header.shape.end());
    last = found == std::vector<int64_t>(shape.begin() + 1, shape.end());
    first = found == std::vector<int64_t>{shape[3], shape[1], shape[2]};
    if (!last && !first) {
      return InvalidArgument(StrCat(reference_path, ": shape ", DimsText(header.shape),
                                    ", expected ", DimsText(shape),
                                    " behind the batch, channels last or first"));
    }
  }
  OCTET_ASSIGN_OR_RETURN(const AnswerForm form, FormOf(reference, out));
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model));
  std::vector<uint8_t> input(description.inputs[0].num_bytes());
  std::vector<std::vector<uint8_t>> outputs;
  for (const TensorDescription& t : description.outputs) outputs.emplace_back(t.num_bytes());
  std::vector<void*> output_pointers;
  for (std::vector<uint8_t>& o : outputs) output_pointers.push_back(o.data());
  std::vector<float> got(static_cast<size_t>(size)), want(static_cast<size_t>(size));

  Comparison result;
  result.images = inputs.images();
  Tally as_octet, as_first;
  for (int64_t n = 0; n < result.images; ++n) {
    OCTET_RETURN_IF_ERROR(inputs.Read(n, *session, input.data()));
    OCTET_RETURN_IF_ERROR(reference.ReadFloats(n * size, size, want.data()));
    OCTET_RETURN_IF_ERROR(CheckFinite(want).WithContext(StrCat(reference_path, ": image ", n)));
    const void* x = input.data();
    OCTET_RETURN_IF_ERROR(session->Run(&x, output_pointers.data()));
    out.ToFloats(outputs[0].data(), got.data());
    if (form.codes) {  // As the numbers that they stand for.
      for (float& v : want) v = static_cast<float>((v + form.offset - out.zero_point) * out.scale);
    }
    if (last) as_octet.Add(got, want);
    if (first) as_first.Add(got, Permuted<float>(want, {shape[3], shape[1], shape[2]}, {1, 2, 0}));
  }
  bool use_first = first && (!last || out.channels_first);
  // Where the shape fits both and the numbers agree in one only, that one was written.
  const double error = (use_first ? as_first : as_octet).absolute_error,
               other = (use_first ? as_octet : as_first).absolute_error;
  if (first && last && other < 0.01 * error) {
    use_first = !use_first;
    warnings->Add(StrCat(reference_path, ": shape ", DimsText(header.shape),
                         " may have its channels first or last; it is read with channels ",
                         use_first ? "first" : "last",
                         ", which agrees, although the source's are the other way"));
  }
  const Tally& tally = use_first ? as_first : as_octet;
  result.absolute_error = tally.absolute_error;
  result.relative_error = tally.absolute_error == 0.0 ? 0.0 : tally.absolute_error / tally.largest;
  result.equal_top1 = tally.equal_top1;
  return result;
}

}  // namespace octet
