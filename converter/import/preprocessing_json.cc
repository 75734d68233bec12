// The framework comes first, as it decides the defaults that the other fields replace. What does
// not go together is ProblemOf's to say (formats/model/preprocessing.h).
#include "converter/import/preprocessing_json.h"

#include <array>
#include <cmath>

#include "converter/import/file_bytes.h"
#include "converter/import/json_reader.h"
#include "converter/import/transforms_json.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/preprocessing.h"

namespace octet {
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

namespace {

constexpr std::array<std::string_view, 2> kResultNames{"uint8", "float"};

/// A filter, also by the names that OpenCV, torchvision and TensorFlow use for the same.
void ReadFilter(JsonReader* reader, ResizeFilter* filter) {
  const nlohmann::json* v = reader->Find("filter");
  constexpr std::pair<std::string_view, ResizeFilter> kOtherNames[] = {
      {"linear", ResizeFilter::kBilinear},
      {"cubic", ResizeFilter::kBicubic},
      {"lanczos3", ResizeFilter::kLanczos}};
  for (const auto& [name, value] : kOtherNames) {
    if (v != nullptr && v->is_string() && v->get_ref<const std::string&>() == name) {
      *filter = value;
      return;
    }
  }
  reader->Choice("filter", kResizeFilterNames, filter);
}

/// "decode": {...}, each part of which replaces the framework's.
Status ReadDecoding(const nlohmann::json& json, const std::string& origin, Framework framework,
                    Decoding* out) {
  *out = DecodingOf(framework);
  if (!json.is_object() || !json.contains("decode")) return OkStatus();
  JsonReader reader(json["decode"], StrCat(origin, ": decode"),
                    {"framework", "dct", "upsampling", "orientation"});
  constexpr std::array<std::string_view, 2> kOrientations{"stored", "exif"};
  reader.Choice("framework", kFrameworkNames, &framework);
  *out = DecodingOf(framework);
  reader.Choice("dct", kDctNames, &out->dct);
  reader.Choice("upsampling", kUpsamplingNames, &out->upsampling);
  reader.Choice("orientation", kOrientations, &out->exif_orientation);
  return reader.status();
}

void ReadPadColor(JsonReader* reader, ResizeRule rule, std::array<uint8_t, 3>* color) {
  const nlohmann::json* v = reader->Find("pad_color");
  if (v == nullptr) return;
  if (rule != ResizeRule::kLetterbox) return reader->Fail("pad_color", "is letterbox's alone");
  const auto is_level = [](const nlohmann::json& j) {
    return j.is_number_unsigned() && j.get<uint64_t>() <= 255;
  };
  const bool list = v->is_array() && v->size() == 3;
  for (size_t i = 0; i < 3; ++i) {
    const nlohmann::json& level = list ? (*v)[i] : *v;
    if (!is_level(level))
      return reader->Fail("pad_color", "is not an integer or three, red, green, blue, of 0 to 255");
    (*color)[i] = level.get<uint8_t>();
  }
}

}  // namespace

Result<Preprocessing> ParsePreprocessing(std::string_view text, const std::string& origin,
                                         const PhotoInput& input) {
  OCTET_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, origin));
  if (IsTransforms(json)) return ParseTransforms(json, origin, input);
  JsonReader reader(json, origin,
                    {"framework", "decode", "resize", "resize_shorter", "pad_color", "resampling",
                     "filter", "antialias", "coordinates", "passes", "reducing_gap", "result",
                     "order", "scale", "mean", "std"});
  Preprocessing p;
  Framework framework = Framework::kPillow;
  reader.Choice("framework", kFrameworkNames, &framework);
  OCTET_RETURN_IF_ERROR(ReadDecoding(json, origin, framework, &p.decoding));
  reader.Choice("resize", kResizeRuleNames, &p.resize);
  reader.Choice("resampling", kFrameworkNames, &framework);
  p.resampling = ResamplingOf(framework);
  ReadFilter(&reader, &p.resampling.filter);
  reader.Bool("antialias", &p.resampling.antialias);
  reader.Choice("coordinates", kCoordinatesNames, &p.resampling.coordinates);
  reader.Choice("passes", kPassesNames, &p.resampling.passes);
  reader.Number("reducing_gap", &p.resampling.reducing_gap);
  reader.Choice("result", kResultNames, &p.resampling.to_float);
  reader.Choice("order", kChannelOrderNames, &p.order);
  reader.Integer("resize_shorter", 1, 1 << 16, &p.resize_shorter);
  reader.Number("scale", &p.scale);
  ReadPadColor(&reader, p.resize, &p.pad_color);
  if (p.resize == ResizeRule::kNone) {
    for (const char* key :
         {"resampling", "filter", "antialias", "coordinates", "passes", "reducing_gap", "result"}) {
      if (reader.Find(key) != nullptr) reader.Fail(key, "goes with another resize than none");
    }
  }
  if (p.resize != ResizeRule::kCenterCrop && reader.Find("resize_shorter") != nullptr)
    reader.Fail("resize_shorter", "is center-crop's alone");
  if (reader.ok()) {
    if (const std::string problem = ProblemOf(p.resampling); !problem.empty())
      reader.Fail("", StrCat(": ", problem));
  }
  if (reader.ok() && (!std::isfinite(p.scale) || p.scale == 0))
    reader.Fail("scale", "is zero or not finite");
  if (reader.ok() && p.resize == ResizeRule::kCenterCrop && p.resize_shorter == 0) {
    reader.Fail("resize_shorter", "is missing; center-crop needs it");
  }
  ReadChannels(&reader, "mean", false, input.channels, &p.mean);
  ReadChannels(&reader, "std", true, input.channels, &p.stddev);
  if (!reader.ok()) return reader.status();
  return p;
}

Result<Preprocessing> ReadPreprocessing(const std::string& path, const PhotoInput& input) {
  OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile(path));
  return ParsePreprocessing(file.text(), path, input);
}

}  // namespace octet
