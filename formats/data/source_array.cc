// Decide compares the array's shape with the input's once, when the file is opened: whether samples
// are pixels of any size or the input's own numbers, and where their channels are. Reading then
// gives the channels last whatever the file has.
#include "formats/data/source_array.h"

#include <algorithm>
#include <span>
#include <utility>

#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

using Dims = std::vector<int64_t>;

constexpr int64_t kMaxSide = 32768;  // Of what resizes images.

std::string Text(const Dims& dims, const char* batch = nullptr) {
  std::string s = batch == nullptr ? "" : batch;
  for (int64_t d : dims) s += StrCat(s.empty() ? "" : ",", d);
  return "[" + s + "]";
}

/// Without dimensions of 1.
Dims Sizes(const Dims& dims) {
  Dims sizes;
  for (int64_t d : dims) {
    if (d != 1) sizes.push_back(d);
  }
  return sizes;
}

bool IsColor(int64_t channels) { return channels == 1 || channels == 3; }

/// [channels][pixels] as [pixels][channels].
template <typename T>
void Interleave(const std::vector<T>& planes, int64_t channels, T* out) {
  const int64_t pixels = static_cast<int64_t>(planes.size()) / channels;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t p = 0; p < pixels; ++p)
      out[p * channels + c] = planes[static_cast<size_t>(c * pixels + p)];
  }
}

}  // namespace

Result<SourceArray> SourceArray::Open(const std::string& path, const SourceInput& input) {
  OCTET_ASSIGN_OR_RETURN(NpyReader file, NpyReader::Open(path));
  SourceArray array(path, std::move(file), input);
  Status status = array.Decide();
  if (!status.ok()) return std::move(status).WithContext(path);
  return array;
}

/// Whether a sample's shape is this input's, and how it is read then.
bool SourceArray::Fits(const Dims& found) {
  const Dims want(input_.shape.begin() + 1, input_.shape.end());
  const bool map = want.size() == 3;
  pixels_ = input_.photos && !input_.codes && type() == NpyType::kU8;
  if (pixels_) {
    // What ends in 1 or 3 is one image without a batch.
    const bool gray = found.size() == 2 && want[2] == 1 && !IsColor(found[1]);
    if (!gray && found.size() != 3) return false;
    const bool last = gray || IsColor(found[2]), first = !gray && IsColor(found[0]);
    if (!last && !first) return false;
    channels_first_ = first && (!last || input_.channels_first);
    const size_t at = channels_first_ ? 1 : 0;
    height_ = static_cast<int>(std::min(found[at], kMaxSide + 1));
    width_ = static_cast<int>(std::min(found[at + 1], kMaxSide + 1));
    channels_ = gray ? 1 : static_cast<int>(found[channels_first_ ? 0 : 2]);
    return true;
  }
  const bool fits_last = found == want,
             fits_first = map && found == Dims{want[2], want[0], want[1]};
  channels_first_ = fits_first && (!fits_last || input_.channels_first);
  // Gray images and vectors as some sources have them: dimensions of 1 more or less.
  return fits_last || fits_first || (found.size() != want.size() && Sizes(found) == Sizes(want));
}

Status SourceArray::Decide() {
  const Dims& shape = file_.header().shape;
  const std::string found = StrCat("found shape ", Text(shape), " of ", NpyTypeName(type()));
  if (shape.empty() || !Fits({shape.begin() + 1, shape.end()})) {
    const Dims last(input_.shape.begin() + 1, input_.shape.end());
    const bool map = last.size() == 3;
    const Dims first = map ? Dims{last[2], last[0], last[1]} : last;
    std::string expected = Text(input_.channels_first ? first : last, "n");
    if (map) expected += " or " + Text(input_.channels_first ? last : first, "n");
    if (input_.photos && !input_.codes)
      expected += StrCat(", or uint8 pixels [n,height,width,", last[2], "],");
    return InvalidArgument(StrCat(found, Fits(shape) ? " without the batch in front" : "",
                                  ", expected ", expected, " for input '", input_.name, "'"));
  }
  if (shape[0] < 1) return InvalidArgument(found + ", expected at least one sample");
  if (pixels_ && (height_ < 1 || width_ < 1 || height_ > kMaxSide || width_ > kMaxSide)) {
    return InvalidArgument(StrCat(found, ", expected sides of 1 to ", kMaxSide, " pixels"));
  }
  return OkStatus();
}

std::string SourceArray::Name(int64_t n) const { return StrCat(path_, "[", n, "]"); }

Status SourceArray::ReadPixels(int64_t n, std::vector<uint8_t>* pixels) {
  const int64_t count = file_.header().elements / size();
  pixels->resize(static_cast<size_t>(count));
  planes_.resize(channels_first_ ? pixels->size() : 0);
  OCTET_RETURN_IF_ERROR(
      file_.Read(n * count, count, channels_first_ ? planes_.data() : pixels->data())
          .WithContext(Name(n)));
  if (channels_first_) Interleave(planes_, channels_, pixels->data());
  return OkStatus();
}

Status SourceArray::Read(int64_t n, float* nhwc) {
  const int64_t count = file_.header().elements / size();
  values_.resize(static_cast<size_t>(count));
  OCTET_RETURN_IF_ERROR(file_.ReadFloats(n * count, count, values_.data()));
  OCTET_RETURN_IF_ERROR(CheckFinite(values_).WithContext(Name(n)));
  if (channels_first_) {
    Interleave(values_, input_.shape.back(), nhwc);
  } else {
    std::copy(values_.begin(), values_.end(), nhwc);
  }
  const std::span<float> all(nhwc, values_.size());
  if (input_.int16 && type() == NpyType::kI16) {
    for (float& v : all) v *= input_.scale;
  } else if (input_.codes && (type() == NpyType::kU8 || type() == NpyType::kI8)) {
    const float lower = type() == NpyType::kI8 ? 128.0f : 0.0f;
    const ChannelQuantization one{{input_.scale}, {static_cast<float>(input_.zero_point)}};
    const ChannelQuantization& q = input_.by_channel.empty() ? one : input_.by_channel;
    for (size_t i = 0; i < all.size(); ++i) {
      const size_t c = i % q.scales.size();
      all[i] = (all[i] + lower - q.zero_points[c]) * q.scales[c];
    }
  }
  return OkStatus();
}

}  // namespace octet
