#include "converter/import/preprocessing_json.h"

#include <array>
#include <cmath>

#include "converter/import/file_bytes.h"
#include "converter/import/json_reader.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// A number for all channels, or an array of `channels` (0: 1 to 4) numbers.
void ReadChannels(JsonReader* reader, const char* key, bool positive, int64_t channels,
                  std::array<float, 4>* out) {
  const nlohmann::json* v = reader->Find(key);
  if (v == nullptr) return;
  const bool valid_array = v->is_array() && !v->empty() && v->size() <= out->size();
  if (!v->is_number() && !valid_array)
    return reader->Fail(key, "is not a number or an array of 1 to 4 numbers");
  if (valid_array && channels > 0 && static_cast<int64_t>(v->size()) != channels) {
    return reader->Fail(key, StrCat("has ", v->size(), " of ", channels,
                                    " numbers, one for each of the input's channels"));
  }
  for (size_t i = 0; i < out->size(); ++i) {
    const nlohmann::json* item = v;
    if (valid_array) {
      if (i >= v->size()) break;
      item = &(*v)[i];
    }
    if (!item->is_number()) return reader->Fail(key, "holds something that is not a number");
    const float value = static_cast<float>(item->get<double>());
    if (!std::isfinite(value) || (positive && !(value > 0))) {
      return reader->Fail(key, positive ? "holds a value that is not positive"
                                        : "holds a value that is not finite");
    }
    (*out)[i] = value;
  }
}

}  // namespace

Result<Preprocessing> ParsePreprocessing(std::string_view text, const std::string& origin,
                                         int64_t channels) {
  OCTET_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, origin));
  JsonReader reader(json, origin,
                    {"resize", "resize_shorter", "filter", "order", "scale", "mean", "std"});
  Preprocessing p;
  int resize = static_cast<int>(p.resize), filter = static_cast<int>(p.filter),
      order = static_cast<int>(p.order);
  reader.Choice("resize", {"none", "stretch", "center-crop"}, &resize);
  reader.Choice("filter", {"bilinear", "bicubic"}, &filter);
  reader.Choice("order", {"rgb", "bgr"}, &order);
  reader.Integer("resize_shorter", 1, 1 << 16, &p.resize_shorter);
  reader.Number("scale", &p.scale);
  p.resize = static_cast<ResizeRule>(resize);
  p.filter = static_cast<ResizeFilter>(filter);
  p.order = static_cast<ChannelOrder>(order);
  if (reader.ok() && (!std::isfinite(p.scale) || p.scale == 0))
    reader.Fail("scale", "is zero or not finite");
  if (reader.ok() && p.resize == ResizeRule::kCenterCrop && p.resize_shorter == 0) {
    reader.Fail("resize_shorter", "is missing; center-crop needs it");
  }
  ReadChannels(&reader, "mean", false, channels, &p.mean);
  ReadChannels(&reader, "std", true, channels, &p.stddev);
  if (!reader.ok()) return reader.status();
  return p;
}

Result<Preprocessing> ReadPreprocessing(const std::string& path, int64_t channels) {
  OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile(path));
  return ParsePreprocessing(file.text(), path, channels);
}

}  // namespace octet
