// Preprocessing as torchvision and timm name it.
#ifndef OCTET_CONVERTER_IMPORT_TRANSFORMS_JSON_H_
#define OCTET_CONVERTER_IMPORT_TRANSFORMS_JSON_H_

#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "converter/import/json_reader.h"
#include "converter/import/preprocessing_json.h"

namespace octet {

/// Whether it is one of these, instead of octet's own fields:
/// - a list of torchvision's transforms, or {"transforms": [...]}: each a name, {"type": name, its
///   arguments}, or {name: {its arguments}}. Resize, CenterCrop, ToTensor (or PILToTensor or
///   ToImage, and ConvertImageDtype or ToDtype), Normalize, in this order;
/// - the fields of torchvision.transforms._presets.ImageClassification, which a model's weights
///   name: crop_size, resize_size, mean, std, interpolation;
/// - timm's data configuration: input_size, interpolation, crop_pct, crop_mode, mean, std, alone or
///   as the "pretrained_cfg" of a model's config.json.
bool IsTransforms(const nlohmann::json& json);

/// All of them work on Pillow's images. Errors: kInvalidArgument for what cannot be expressed, and
/// for a size that is not the network's input's.
Result<Preprocessing> ParseTransforms(const nlohmann::json& json, const std::string& origin,
                                      const PhotoInput& input);

/// A number for all channels, or an array of `channels` (0: 1 to 4) numbers.
void ReadChannels(JsonReader* reader, const char* key, bool positive, int64_t channels,
                  std::array<float, 4>* out);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_TRANSFORMS_JSON_H_
