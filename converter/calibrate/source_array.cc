#include "converter/calibrate/source_array.h"

#include <limits>
#include <utility>

#include "converter/import/builder/view.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// Without dimensions of 1.
Dims Sizes(const Dims& dims) {
  Dims sizes;
  for (int64_t d : dims) {
    if (d != 1) sizes.push_back(d);
  }
  return sizes;
}

std::string WithBatch(const Dims& dims) { return "[n," + DimsText(dims).substr(1); }

}  // namespace

SourceInput SourceInput::Of(const Graph& imported) {
  const Tensor& t = imported.tensor(imported.inputs[0]);
  return {t.shape, !imported.inputs_channels_first.empty() && imported.inputs_channels_first[0],
          t.dtype == DType::kU8, t.quantization};
}

Result<SourceArray> SourceArray::Open(const std::string& path, const SourceInput& input) {
  OCTET_ASSIGN_OR_RETURN(NpyReader file, NpyReader::Open(path));
  SourceArray array(path, std::move(file), input);
  Status status = array.Decide();
  if (!status.ok()) return std::move(status).WithContext(path);
  return array;
}

Status SourceArray::Decide() {
  const NpyHeader& header = file_.header();
  Dims want, first;  // Behind the batch, channels last and first.
  for (int i = 1; i < input_.shape.rank(); ++i) want.push_back(input_.shape[i]);
  const bool map = want.size() == 3, image = map && (want[2] == 1 || want[2] == 3);
  if (map) first = {want[2], want[0], want[1]};
  if (header.shape.empty()) return InvalidArgument("a single number, expected an array");
  const Dims found(header.shape.begin() + 1, header.shape.end());
  const bool is_u8 = header.type == NpyType::kU8, is_code = is_u8 || header.type == NpyType::kI8;
  if (header.shape[0] < 1)
    return InvalidArgument(StrCat("shape ", DimsText(header.shape), " has no images"));
  if (input_.codes && is_code)
    code_offset_ = (is_u8 ? 0.0 : 128.0) - input_.quantization.zero_point;
  const bool channels = found.size() == 3 ? found[2] == (map ? want[2] : 0)
                                          : found.size() == 2 && map && want[2] == 1;
  if (image && is_u8 && !input_.codes && channels) {
    if (found[0] > std::numeric_limits<int>::max() || found[1] > std::numeric_limits<int>::max())
      return InvalidArgument(StrCat("images of shape ", DimsText(found)));
    pixels_ = true;
    return OkStatus();
  }
  const bool fits_first = map && found == first, fits_last = found == want;
  if (fits_first || fits_last) {
    channels_first_ = fits_first && (!fits_last || input_.channels_first);
    return OkStatus();
  }
  // Gray images and vectors as some sources have them: dimensions of 1 more or less.
  if (Sizes(found) == Sizes(want)) return OkStatus();
  return InvalidArgument(
      StrCat("shape ", DimsText(header.shape), " of ", NpyTypeName(header.type), ", expected ",
             WithBatch(input_.channels_first ? first : want), " as the source's input",
             map ? StrCat(", or ", WithBatch(input_.channels_first ? want : first)) : "",
             image && !input_.codes ? ", or uint8 images of any size" : ""));
}

Status SourceArray::ReadPixels(int64_t n, std::vector<uint8_t>* pixels) const {
  const int64_t size = file_.header().elements / this->size();
  pixels->resize(static_cast<size_t>(size));
  return file_.Read(n * size, size, pixels->data()).WithContext(StrCat(path_, "[", n, "]"));
}

Status SourceArray::Read(int64_t n, float* nhwc) {
  const int64_t size = file_.header().elements / this->size();
  values_.resize(static_cast<size_t>(size));
  OCTET_RETURN_IF_ERROR(file_.ReadFloats(n * size, size, values_.data()));
  OCTET_RETURN_IF_ERROR(CheckFinite(values_).WithContext(StrCat(path_, "[", n, "]")));
  const NpyType type = file_.header().type;
  if (input_.codes && (type == NpyType::kU8 || type == NpyType::kI8)) {
    for (float& v : values_) v = static_cast<float>((v + code_offset_) * input_.quantization.scale);
  }
  const int64_t channels = input_.shape.back(), pixels = size / channels;
  for (int64_t i = 0; i < size; ++i) {
    nhwc[i] =
        values_[static_cast<size_t>(channels_first_ ? i % channels * pixels + i / channels : i)];
  }
  return OkStatus();
}

}  // namespace octet
