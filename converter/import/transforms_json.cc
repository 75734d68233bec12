// Three dialects, each into Preprocessing. Fields and transforms that are not known are refused,
// and so are steps in another order than octet's: what is read means the same here as there.
#include "converter/import/transforms_json.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "formats/base/lower_case.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

using nlohmann::json;

/// One number is the shorter side, or both; two are height and width.
struct SizeArgument {
  int64_t height = 0, width = 0;
  bool one_number = false;
};

SizeArgument ReadSize(JsonReader* reader, const char* key) {
  SizeArgument size;
  const json* v = reader->Need(key);
  if (v == nullptr) return size;
  const auto side = [&](const json& j) {
    if (j.is_number_unsigned() && j.get<uint64_t>() >= 1 && j.get<uint64_t>() <= 1 << 15)
      return j.get<int64_t>();
    reader->Fail(key, "is not a size of 1 to 32768 pixels, or a list of one or two");
    return int64_t{1};
  };
  const bool list = v->is_array() && (v->size() == 1 || v->size() == 2);
  size.one_number = !list || v->size() == 1;
  size.height = side(list ? (*v)[0] : *v);
  size.width = size.one_number ? size.height : side((*v)[1]);
  return size;
}

/// "bilinear", "InterpolationMode.BILINEAR", "BILINEAR".
void ReadInterpolation(JsonReader* reader, Resampling* resampling) {
  const json* v = reader->Find("interpolation");
  if (v == nullptr || v->is_null()) return;
  std::string name = v->is_string() ? LowerCase(v->get<std::string>()) : "";
  if (const size_t dot = name.rfind('.'); dot != std::string::npos) name = name.substr(dot + 1);
  constexpr std::pair<std::string_view, ResizeFilter> kNames[] = {
      {"nearest", ResizeFilter::kNearest},       {"nearest-exact", ResizeFilter::kNearest},
      {"nearest_exact", ResizeFilter::kNearest}, {"box", ResizeFilter::kBox},
      {"bilinear", ResizeFilter::kBilinear},     {"hamming", ResizeFilter::kHamming},
      {"bicubic", ResizeFilter::kBicubic},       {"lanczos", ResizeFilter::kLanczos}};
  for (const auto& [known, filter] : kNames) {
    if (name == known) {
      resampling->filter = filter;
      return;
    }
  }
  reader->Fail("interpolation",
               StrCat("is ", v->dump(-1, ' ', false, json::error_handler_t::replace),
                      ", expected one of: nearest, box, bilinear, hamming, bicubic, lanczos"));
}

/// Pillow's images are always antialiased, whatever torchvision is told.
void ReadAntialias(JsonReader* reader) {
  const json* v = reader->Find("antialias");
  if (v != nullptr && v->is_boolean() && !v->get<bool>())
    reader->Fail("antialias", "is false, which it cannot be for Pillow's images");
}

void CheckInput(JsonReader* reader, const char* key, const SizeArgument& size,
                const PhotoInput& input) {
  if (input.height != 0 && (size.height != input.height || size.width != input.width)) {
    reader->Fail(key, StrCat("is ", size.height, "x", size.width, ", expected ", input.height, "x",
                             input.width, ", the height and width of the network's input"));
  }
}

void ReadMeanAndStd(JsonReader* reader, const PhotoInput& input, Preprocessing* p) {
  ReadChannels(reader, "mean", false, input.channels, &p->mean);
  ReadChannels(reader, "std", true, input.channels, &p->stddev);
}

void CenterCropOf(JsonReader* reader, const char* key, int64_t shorter, const SizeArgument& crop,
                  Preprocessing* p) {
  p->resize = ResizeRule::kCenterCrop;
  p->resize_shorter = static_cast<int>(shorter);
  if (shorter < std::max(crop.height, crop.width)) {
    reader->Fail(key, StrCat("makes the shorter side ", shorter, ", less than the ", crop.height,
                             "x", crop.width, " that are cut out: octet does not pad"));
  }
}

/// A transform's name and its arguments.
Result<std::pair<std::string, json>> NameAndArguments(const json& step, const std::string& where) {
  if (step.is_string()) return std::pair(step.get<std::string>(), json(json::object()));
  if (step.is_object() && step.contains("type") && step["type"].is_string()) {
    json arguments = step;
    arguments.erase("type");
    return std::pair(step["type"].get<std::string>(), std::move(arguments));
  }
  if (step.is_object() && step.size() == 1 && step.begin()->is_object())
    return std::pair(step.begin().key(), json(*step.begin()));
  return InvalidArgument(
      StrCat(where, " is not a transform's name, {\"type\": name, ...} or {name: {...}}"));
}

class TransformList {
 public:
  TransformList(std::string origin, const PhotoInput& input)
      : origin_(std::move(origin)), input_(input) {}

  Result<Preprocessing> Parse(const json& steps) {
    if (!steps.is_array()) return InvalidArgument(StrCat(origin_, ": 'transforms' is not a list"));
    for (size_t i = 0; i < steps.size(); ++i) {
      const std::string where = StrCat(origin_, ": transform ", i);
      OCTET_ASSIGN_OR_RETURN(const auto step, NameAndArguments(steps[i], where));
      OCTET_RETURN_IF_ERROR(Add(step.first, step.second, StrCat(where, " (", step.first, ")")));
    }
    return Finish();
  }

 private:
  /// Each step stands behind those with lower numbers.
  enum Place { kResize = 1, kCrop = 2, kTensor = 3, kType = 4, kNormalize = 5 };

  Status Add(const std::string& name, const json& arguments, const std::string& where) {
    if (name == "Resize") return Resize(arguments, where);
    if (name == "CenterCrop") return CenterCrop(arguments, where);
    if (name == "ToTensor") {
      scaled_ = true;
      OCTET_RETURN_IF_ERROR(Enter(kType, where));
      return JsonReader(arguments, where, {}).status();
    }
    if (name == "PILToTensor" || name == "ToImage") {
      OCTET_RETURN_IF_ERROR(Enter(kTensor, where));
      return JsonReader(arguments, where, {}).status();
    }
    if (name == "ConvertImageDtype" || name == "ToDtype") return ToFloat(name, arguments, where);
    if (name == "Normalize") {
      OCTET_RETURN_IF_ERROR(Enter(kNormalize, where));
      JsonReader reader(arguments, where, {"mean", "std", "inplace"});
      reader.Need("mean");
      reader.Need("std");
      ReadMeanAndStd(&reader, input_, &p_);
      return reader.status();
    }
    return InvalidArgument(StrCat(where,
                                  " is not known, expected Resize, CenterCrop, ToTensor, "
                                  "PILToTensor, ToImage, ConvertImageDtype, ToDtype or Normalize"));
  }

  Status Enter(Place place, const std::string& where) {
    if (place <= last_)
      return InvalidArgument(StrCat(where, " stands behind a step that octet does after it"));
    last_ = place;
    return OkStatus();
  }

  Status Resize(const json& arguments, const std::string& where) {
    OCTET_RETURN_IF_ERROR(Enter(kResize, where));
    JsonReader reader(arguments, where, {"size", "interpolation", "max_size", "antialias"});
    resize_ = ReadSize(&reader, "size");
    ReadInterpolation(&reader, &p_.resampling);
    ReadAntialias(&reader);
    if (const json* v = reader.Find("max_size"); v != nullptr && !v->is_null())
      reader.Fail("max_size", "is set; octet has no such limit");
    return reader.status();
  }

  Status CenterCrop(const json& arguments, const std::string& where) {
    OCTET_RETURN_IF_ERROR(Enter(kCrop, where));
    JsonReader reader(arguments, where, {"size"});
    crop_ = ReadSize(&reader, "size");
    CheckInput(&reader, "size", crop_, input_);
    return reader.status();
  }

  Status ToFloat(const std::string& name, const json& arguments, const std::string& where) {
    OCTET_RETURN_IF_ERROR(Enter(kType, where));
    JsonReader reader(arguments, where, {"dtype", "scale"});
    std::string type = "float32";
    reader.String("dtype", &type);
    if (type != "float32" && type != "torch.float32" && type != "float" && type != "torch.float")
      reader.Fail("dtype", StrCat("is ", type, ", expected float32"));
    scaled_ = name == "ConvertImageDtype";  // ToDtype keeps 0 to 255 unless it is told.
    reader.Bool("scale", &scaled_);
    return reader.status();
  }

  Result<Preprocessing> Finish() {
    const bool has_resize = resize_.height != 0, has_crop = crop_.height != 0;
    const json nothing = json::object();
    JsonReader reader(nothing, origin_, {});
    if (!has_resize) {
      p_.resize = ResizeRule::kNone;
      if (has_crop) reader.Fail("transforms", "has a CenterCrop without a Resize in front");
    } else if (!resize_.one_number) {
      p_.resize = ResizeRule::kStretch;
      CheckInput(&reader, "Resize", resize_, input_);
      if (has_crop && (crop_.height != resize_.height || crop_.width != resize_.width))
        reader.Fail("transforms", "stretches photos to one size and cuts out another");
    } else if (has_crop) {
      CenterCropOf(&reader, "Resize", resize_.height, crop_, &p_);
    } else {
      reader.Fail("transforms",
                  "has a Resize of one number, the shorter side, and no CenterCrop: the size would "
                  "depend on the photo");
    }
    if (!reader.ok()) return reader.status();
    if (scaled_) p_.scale = 1.0f / 255.0f;
    return p_;
  }

  const std::string origin_;
  const PhotoInput input_;
  Preprocessing p_;
  int last_ = 0;
  bool scaled_ = false;
  SizeArgument resize_, crop_;
};

Result<Preprocessing> ParsePreset(const json& preset, const std::string& origin,
                                  const PhotoInput& input) {
  JsonReader reader(
      preset, origin,
      {"type", "crop_size", "resize_size", "mean", "std", "interpolation", "antialias"});
  Preprocessing p;
  p.scale = 1.0f / 255.0f;
  const SizeArgument crop = ReadSize(&reader, "crop_size"),
                     resize = ReadSize(&reader, "resize_size");
  CheckInput(&reader, "crop_size", crop, input);
  if (!resize.one_number) reader.Fail("resize_size", "has two numbers, expected the shorter side");
  CenterCropOf(&reader, "resize_size", resize.height, crop, &p);
  ReadInterpolation(&reader, &p.resampling);
  ReadAntialias(&reader);
  ReadMeanAndStd(&reader, input, &p);
  if (!reader.ok()) return reader.status();
  return p;
}

/// timm.data.create_transform(**resolve_data_config(...)).
Result<Preprocessing> ParseTimm(const json& config, const std::string& origin,
                                const PhotoInput& input) {
  // Beside what is read, the rest of timm.models.PretrainedCfg, which says nothing about photos
  // unless one asks for its test sizes.
  JsonReader reader(config, origin,
                    {"input_size",
                     "interpolation",
                     "crop_pct",
                     "crop_mode",
                     "mean",
                     "std",
                     "url",
                     "file",
                     "state_dict",
                     "hf_hub_id",
                     "hf_hub_filename",
                     "source",
                     "architecture",
                     "tag",
                     "custom_load",
                     "test_input_size",
                     "fixed_input_size",
                     "min_input_size",
                     "test_crop_pct",
                     "test_crop_mode",
                     "num_classes",
                     "label_offset",
                     "label_names",
                     "label_descriptions",
                     "pool_size",
                     "test_pool_size",
                     "first_conv",
                     "classifier",
                     "license",
                     "description",
                     "origin_url",
                     "paper_name",
                     "paper_ids",
                     "notes"});
  Preprocessing p;
  p.scale = 1.0f / 255.0f;
  p.resampling.filter = ResizeFilter::kBicubic;
  ReadInterpolation(&reader, &p.resampling);
  SizeArgument to;
  if (const json* size = reader.Need("input_size"); size != nullptr) {
    const bool three =
        size->is_array() && size->size() == 3 &&
        std::all_of(size->begin(), size->end(), [](const json& j) {
          return j.is_number_unsigned() && j.get<uint64_t>() >= 1 && j.get<uint64_t>() <= 1 << 15;
        });
    if (three) {
      to = {(*size)[1].get<int64_t>(), (*size)[2].get<int64_t>()};
      CheckInput(&reader, "input_size", to, input);
    } else {
      reader.Fail("input_size", "is not a list of channels, height and width");
    }
  }
  double crop_pct = 0.875;
  if (const json* v = reader.Find("crop_pct"); v != nullptr && !v->is_null()) {
    if (v->is_number()) crop_pct = v->get<double>();
    if (!v->is_number() || !(crop_pct > 0.0 && crop_pct <= 1.0))
      reader.Fail("crop_pct", "is not a number above 0 and at most 1");
  }
  std::string mode = "center";
  if (const json* v = reader.Find("crop_mode"); v != nullptr && !v->is_null())
    reader.String("crop_mode", &mode);
  ReadMeanAndStd(&reader, input, &p);
  if (!reader.ok()) return reader.status();
  if (mode == "squash" && crop_pct == 1.0) {
    p.resize = ResizeRule::kStretch;
  } else if (mode != "center") {
    reader.Fail("crop_mode", StrCat("is ", mode, " with a crop_pct of ", crop_pct,
                                    ", expected center, or squash with 1"));
  } else if (to.height != to.width) {
    reader.Fail("input_size", "is not square, for which timm rounds sizes in a way of its own");
  } else {
    const double shorter = std::floor(static_cast<double>(to.height) / crop_pct);
    if (shorter > 1 << 15) reader.Fail("crop_pct", "is too small");
    if (reader.ok()) CenterCropOf(&reader, "crop_pct", static_cast<int64_t>(shorter), to, &p);
  }
  if (!reader.ok()) return reader.status();
  return p;
}

}  // namespace

bool IsTransforms(const json& j) {
  if (j.is_array()) return true;
  for (const char* key : {"transforms", "crop_size", "input_size", "pretrained_cfg"})
    if (j.is_object() && j.contains(key)) return true;
  return false;
}

Result<Preprocessing> ParseTransforms(const json& j, const std::string& origin,
                                      const PhotoInput& input) {
  if (j.is_array()) return TransformList(origin, input).Parse(j);
  if (j.contains("transforms")) {
    const JsonReader reader(j, origin, {"transforms"});
    if (!reader.ok()) return reader.status();
    return TransformList(origin, input).Parse(j["transforms"]);
  }
  if (j.contains("crop_size")) return ParsePreset(j, origin, input);
  // Of a model's config.json only this part is about photos.
  if (j.contains("pretrained_cfg"))
    return ParseTimm(j["pretrained_cfg"], origin + ": pretrained_cfg", input);
  return ParseTimm(j, origin, input);
}

}  // namespace octet
