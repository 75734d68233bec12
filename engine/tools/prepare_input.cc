// Pixels go through the model's preprocessing, one Preprocessor a worker; arrays are only put into
// the model's order and type.
#include "engine/tools/prepare_input.h"

#include <algorithm>
#include <vector>

#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/read_ahead.h"

namespace octet {
namespace {

/// Without dimensions of 1 in front.
std::string Dims(const std::vector<int64_t>& dims) {
  std::string s;
  for (const int64_t d : dims)
    if (!s.empty() || d != 1) s += StrCat(s.empty() ? "" : ",", d);
  return StrCat("[", s, "]");
}

}  // namespace

Wanted WantedBy(const ModelDescription& model, bool fast_decode) {
  const std::vector<int64_t>& shape = model.inputs[0].shape;
  if (shape.size() != 4) return {};
  const auto side = [&](size_t i) { return static_cast<int>(shape[i]); };
  return WantedBy(model.preprocessing, side(1), side(2), side(3), fast_decode);
}

InputMaker::InputMaker(Session* session, bool fast_decode)
    : model_(session->GetModel()),
      table_(*Internals::Of(*session).table),
      wanted_(WantedBy(model_.Describe(), fast_decode)),
      preprocessors_(static_cast<size_t>(ReadAheadWorkers())) {}

Status InputMaker::Make(const Sample& sample, bool raw, int worker, uint8_t* input) {
  if (!sample.is_float()) {
    return PreprocessInput(ViewOf(sample.image), model_.Describe(), table_,
                           Internals::Of(model_).max_memory, nullptr,
                           &preprocessors_[static_cast<size_t>(worker)], input);
  }
  const TensorDescription& in = model_.Describe().inputs[0];
  std::vector<int64_t> wanted{1, 1, 1};  // Height, width, channels.
  for (size_t i = 1; i < in.shape.size() && in.shape.size() <= 4; ++i)
    wanted[i + 3 - in.shape.size()] = in.shape[i];
  const std::vector<int64_t> found{sample.float_height, sample.float_width, sample.float_channels};
  const std::vector<int64_t> first{wanted[2], wanted[0], wanted[1]};
  const bool image = in.shape.size() == 4, last_fits = found == wanted;
  const bool first_fits = image && found == first;
  if (!last_fits && !first_fits) {
    return InvalidArgument(StrCat("sample has the shape ", Dims(found), ", expected ", Dims(wanted),
                                  image ? StrCat(" or ", Dims(first)) : "",
                                  " as the model's input"));
  }
  const bool quantized = in.dtype == DType::kU8;
  if (raw && quantized && !sample.codes)
    return InvalidArgument("raw samples are floats, the model's input is uint8 codes");
  const bool transposed = first_fits && (in.channels_first || !last_fits);
  const size_t channels = transposed ? static_cast<size_t>(wanted[2]) : 1;
  const size_t pixels = sample.float_data.size() / channels;
  std::vector<float> values(sample.float_data.size());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = sample.float_data[i % channels * pixels + i / channels];
  if (quantized && sample.codes) {
    std::transform(values.begin(), values.end(), input,
                   [](float v) { return static_cast<uint8_t>(v); });
  } else {
    in.FromFloats(values.data(), input);
  }
  return OkStatus();
}

}  // namespace octet
