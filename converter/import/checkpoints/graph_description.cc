// A description with "like" is merged into the one that it names (a JSON merge patch) before
// anything is read. Fields that are not known are refused, and a scheme that is named must have
// every role that the network asks for.
#include "converter/import/checkpoints/graph_description.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "converter/import/checkpoints/embedded_models.h"
#include "converter/import/file_bytes.h"
#include "converter/import/json_reader.h"
#include "converter/import/preprocessing_json.h"
#include "formats/base/closest.h"
#include "formats/base/macros.h"

namespace octet {
namespace {

constexpr size_t kMaxDescriptionBytes = 1 << 20;
constexpr const char* kNamesFile = "names";

const EmbeddedModel* FindEmbedded(std::string_view name) {
  for (const EmbeddedModel& model : EmbeddedModels()) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

/// Roles that a network of this description asks its scheme for.
std::vector<std::string> NeededRoles(const GraphDescription& d) {
  std::vector<std::string> roles{"stem.conv", "block.conv", "block.norm", "dense"};
  if (d.stem_norm) roles.push_back("stem.norm");
  if (d.version == 2 && d.final_norm) roles.push_back("final.norm");
  if (d.shortcut == GraphDescription::Shortcut::kProjection) {
    roles.push_back("shortcut.conv");
    if (d.version == 1) roles.push_back("shortcut.norm");
  }
  return roles;
}

/// A string or a list of strings, none of them empty.
Status ReadPatterns(const nlohmann::json& json, const std::string& where,
                    std::vector<std::string>* patterns) {
  const nlohmann::json list = json.is_array() ? json : nlohmann::json::array({json});
  for (const nlohmann::json& item : list) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty())
      return InvalidArgument(StrCat(where, " is not a name or a list of names"));
    patterns->push_back(item.get<std::string>());
  }
  if (list.empty() || list.size() > 16)
    return InvalidArgument(StrCat(where, " is not a list of 1 to 16 names"));
  return OkStatus();
}

Status ReadScheme(const nlohmann::json& json, const std::string& where, NameScheme* scheme) {
  JsonReader reader(json, where,
                    {"stem.conv", "stem.norm", "block.conv", "block.norm", "shortcut.conv",
                     "shortcut.norm", "final.norm", "dense", "unused"});
  OCTET_RETURN_IF_ERROR(reader.status());
  for (const auto& item : json.items()) {
    OCTET_RETURN_IF_ERROR(
        ReadPatterns(item.value(), StrCat(where, ": '", item.key(), "'"),
                     item.key() == "unused" ? &scheme->unused : &scheme->patterns[item.key()]));
  }
  return OkStatus();
}

/// "names": names of schemes in models/names.json, "*" for all of them that have what the network
/// needs, or schemes themselves.
Status ReadSchemes(const nlohmann::json& json, const std::string& origin, GraphDescription* d) {
  if (!json.is_array() || json.empty())
    return InvalidArgument(StrCat(origin, ": 'names' is not a list of naming schemes"));
  const EmbeddedModel* names = FindEmbedded(kNamesFile);
  if (names == nullptr) return InternalError("models/names.json is not embedded");
  OCTET_ASSIGN_OR_RETURN(const nlohmann::json known, ParseJson(names->json, "models/names.json"));
  const std::vector<std::string> roles = NeededRoles(*d);
  const auto missing = [&](const NameScheme& scheme) {
    for (const std::string& role : roles) {
      if (!scheme.patterns.count(role)) return role;
    }
    return std::string();
  };
  for (const nlohmann::json& item : json) {
    NameScheme scheme;
    if (item == "*") {
      for (const auto& k : known.items()) {
        const bool listed = std::any_of(d->schemes.begin(), d->schemes.end(),
                                        [&](const NameScheme& s) { return s.name == k.key(); });
        if (listed) continue;
        NameScheme other{k.key(), {}, {}};
        OCTET_RETURN_IF_ERROR(ReadScheme(k.value(), "models/names.json: " + k.key(), &other));
        if (missing(other).empty()) d->schemes.push_back(std::move(other));
      }
      continue;
    }
    if (item.is_string()) {
      scheme.name = item.get<std::string>();
      const auto it = known.find(scheme.name);
      if (it == known.end()) {
        std::string list;
        for (const auto& k : known.items()) list += (list.empty() ? "" : ", ") + k.key();
        return InvalidArgument(
            StrCat(origin, ": naming scheme '", scheme.name, "' is not one of: ", list));
      }
      OCTET_RETURN_IF_ERROR(ReadScheme(*it, "models/names.json: " + scheme.name, &scheme));
    } else {
      scheme.name = d->name;
      OCTET_RETURN_IF_ERROR(ReadScheme(item, origin + ": 'names'", &scheme));
    }
    if (const std::string role = missing(scheme); !role.empty()) {
      return InvalidArgument(
          StrCat(origin, ": naming scheme '", scheme.name, "' has no '", role, "'"));
    }
    d->schemes.push_back(std::move(scheme));
  }
  return OkStatus();
}

Status ReadHead(const nlohmann::json& json, const std::string& where, GraphDescription* d) {
  if (!json.is_array() || json.empty() || json.size() > 16) {
    return InvalidArgument(StrCat(where, " is not a list of 1 to 16 layers"));
  }
  int num_dense = 0;
  for (const nlohmann::json& item : json) {
    GraphDescription::Layer layer;
    if (item.is_string() && item.get_ref<const std::string&>() == "softmax") {
      layer.type = GraphDescription::Layer::Type::kSoftmax;
      if (&item != &json.back())
        return InvalidArgument(StrCat(where, ": softmax is not the last layer"));
    } else {
      JsonReader reader(item, where, {"dense", "activation", "tensor"});
      reader.Need("dense");
      reader.Integer("dense", 1, 1'000'000, &layer.units);
      int activation = 0;
      reader.Choice("activation", {"none", "relu"}, &activation);
      layer.relu = activation == 1;
      reader.String("tensor", &layer.tensor);
      OCTET_RETURN_IF_ERROR(reader.status());
      ++num_dense;
    }
    d->head.push_back(std::move(layer));
  }
  if (num_dense == 0) return InvalidArgument(StrCat(where, " has no dense layer"));
  return OkStatus();
}

Status ReadArchitecture(const nlohmann::json& json, const std::string& where, GraphDescription* d) {
  JsonReader reader(
      json, where,
      {"family", "version", "block", "expansion", "strided_conv", "shortcut", "shortcut_from",
       "stem_norm", "final_norm", "epsilon", "stem", "stages", "head"});
  int family = 0, block = 0, shortcut = 0, shortcut_from = 1;
  reader.Need("family");
  reader.Choice("family", {"resnet"}, &family);
  reader.Integer("version", 1, 2, &d->version);
  reader.Need("block");
  reader.Choice("block", {"basic", "bottleneck"}, &block);
  reader.Choice("shortcut", {"projection", "pad", "pad-behind"}, &shortcut);
  const bool bottleneck = block == static_cast<int>(GraphDescription::Block::kBottleneck);
  d->expansion = bottleneck ? 4 : 1;
  d->strided_conv = bottleneck ? 2 : 1;
  d->stem_norm = d->version == 1;
  reader.Integer("expansion", 1, 16, &d->expansion);
  reader.Integer("strided_conv", 1, bottleneck ? 3 : 2, &d->strided_conv);
  reader.Choice("shortcut_from", {"input", "activated"}, &shortcut_from);
  reader.Bool("stem_norm", &d->stem_norm);
  reader.Bool("final_norm", &d->final_norm);
  reader.Number("epsilon", &d->epsilon);
  const nlohmann::json* stem = reader.Need("stem");
  const nlohmann::json* stages = reader.Need("stages");
  const nlohmann::json* head = reader.Need("head");
  OCTET_RETURN_IF_ERROR(reader.status());
  d->block = static_cast<GraphDescription::Block>(block);
  d->shortcut = static_cast<GraphDescription::Shortcut>(shortcut);
  d->activated_shortcut = shortcut_from == 1;
  if (!(d->epsilon >= 0) || !std::isfinite(d->epsilon))
    return InvalidArgument(StrCat(where, ": 'epsilon' is negative"));
  const bool pads = d->shortcut != GraphDescription::Shortcut::kProjection;
  if (d->version == 2 && pads)
    return InvalidArgument(StrCat(where, ": 'shortcut' pad goes with version 1 only"));
  if (d->version == 1) {
    for (const char* key : {"shortcut_from", "final_norm"}) {
      if (reader.Find(key) != nullptr)
        return InvalidArgument(StrCat(where, ": '", key, "' goes with version 2 only"));
    }
    if (!d->stem_norm)
      return InvalidArgument(StrCat(where, ": 'stem_norm' false goes with version 2 only"));
  }

  JsonReader stem_reader(*stem, where + ".stem", {"channels", "kernel", "stride", "max_pool"});
  stem_reader.Integer("channels", 1, 1 << 14, &d->stem.channels);
  stem_reader.Integer("kernel", 1, 15, &d->stem.kernel);
  stem_reader.Integer("stride", 1, 8, &d->stem.stride);
  stem_reader.Bool("max_pool", &d->stem.max_pool);
  OCTET_RETURN_IF_ERROR(stem_reader.status());

  if (!stages->is_array() || stages->empty() || stages->size() > 16) {
    return InvalidArgument(StrCat(where, ": 'stages' is not a list of 1 to 16 stages"));
  }
  for (size_t i = 0; i < stages->size(); ++i) {
    GraphDescription::Stage stage;
    JsonReader r((*stages)[i], StrCat(where, ".stages[", i, "]"), {"blocks", "channels", "stride"});
    r.Need("blocks");
    r.Need("channels");
    r.Integer("blocks", 1, 1000, &stage.blocks);
    r.Integer("channels", 1, 1 << 14, &stage.channels);
    r.Integer("stride", 1, 8, &stage.stride);
    OCTET_RETURN_IF_ERROR(r.status());
    d->stages.push_back(stage);
  }
  if (pads) {
    int channels = d->stem.channels;
    for (size_t i = 0; i < d->stages.size(); ++i) {
      const int out = d->stages[i].channels * d->expansion;
      if (out < channels) {
        return InvalidArgument(StrCat(where, ".stages[", i, "]: ", out, " channels after ",
                                      channels, "; shortcut pad can only add channels"));
      }
      channels = out;
    }
  }
  return ReadHead(*head, where + ".head", d);
}

Status ReadInput(const nlohmann::json& json, const std::string& where, GraphDescription* d) {
  JsonReader reader(json, where, {"name", "shape"});
  reader.String("name", &d->input_name);
  const nlohmann::json* shape = reader.Need("shape");
  OCTET_RETURN_IF_ERROR(reader.status());
  const bool valid = shape->is_array() && shape->size() == 3 &&
                     std::all_of(shape->begin(), shape->end(), [](const auto& v) {
                       return v.is_number_unsigned() && v.template get<uint64_t>() >= 1 &&
                              v.template get<uint64_t>() <= 8192;
                     });
  if (!valid) return InvalidArgument(StrCat(where, ": 'shape' is not [height, width, channels]"));
  d->height = (*shape)[0].get<int>();
  d->width = (*shape)[1].get<int>();
  d->channels = (*shape)[2].get<int>();
  return OkStatus();
}

}  // namespace

Result<GraphDescription> ParseGraphDescription(std::string_view text, const std::string& origin) {
  if (text.size() > kMaxDescriptionBytes) {
    return InvalidArgument(
        StrCat(origin, ": ", text.size(), " bytes are too many for a graph description"));
  }
  OCTET_ASSIGN_OR_RETURN(nlohmann::json json, ParseJson(text, origin));
  // A description may be like a shipped one, which may be like another one.
  constexpr int kMaxBases = 4;
  for (int i = 0; json.is_object() && json.contains("like"); ++i) {
    const nlohmann::json& like = json["like"];
    const EmbeddedModel* base =
        like.is_string() && like != kNamesFile ? FindEmbedded(like.get<std::string>()) : nullptr;
    if (base == nullptr || i == kMaxBases)
      return InvalidArgument(
          StrCat(origin, ": 'like' is not the name of a description that ships"));
    OCTET_ASSIGN_OR_RETURN(nlohmann::json merged,
                           ParseJson(base->json, StrCat("models/", base->name, ".json")));
    json.erase("like");
    merged.merge_patch(json);
    json = std::move(merged);
  }
  JsonReader reader(
      json, origin,
      {"name", "title", "input", "output", "preprocessing", "labels", "architecture", "names"});
  GraphDescription d;
  reader.Need("name");
  reader.String("name", &d.name);
  d.title = d.name;
  reader.String("title", &d.title);
  reader.String("output", &d.output_name);
  const nlohmann::json* input = reader.Need("input");
  const nlohmann::json* architecture = reader.Need("architecture");
  const nlohmann::json* names = reader.Need("names");
  OCTET_RETURN_IF_ERROR(reader.status());
  OCTET_RETURN_IF_ERROR(ReadInput(*input, origin + ": input", &d));
  OCTET_RETURN_IF_ERROR(ReadArchitecture(*architecture, origin + ": architecture", &d));
  OCTET_RETURN_IF_ERROR(ReadSchemes(*names, origin, &d));
  if (const nlohmann::json* p = reader.Find("preprocessing")) {
    OCTET_ASSIGN_OR_RETURN(
        d.preprocessing,
        ParsePreprocessing(p->dump(), origin + ": preprocessing", {d.height, d.width, d.channels}));
  }
  if (const nlohmann::json* labels = reader.Find("labels")) {
    const bool valid =
        labels->is_array() &&
        std::all_of(labels->begin(), labels->end(), [](const auto& v) { return v.is_string(); });
    if (!valid) return InvalidArgument(StrCat(origin, ": 'labels' is not a list of strings"));
    for (const nlohmann::json& label : *labels) d.labels.push_back(label.get<std::string>());
  }
  return d;
}

Result<GraphDescription> LoadGraphDescription(const std::string& name_or_path) {
  if (const EmbeddedModel* model = FindEmbedded(name_or_path);
      model != nullptr && name_or_path != kNamesFile) {
    return ParseGraphDescription(model->json, StrCat("models/", model->name, ".json"));
  }
  const Result<FileBytes> file = MapFile(name_or_path);
  if (!file.ok() && file.status().code() == StatusCode::kNotFound) {
    const std::vector<std::string> names = GraphDescriptionNames();
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    return NotFound(StrCat("graph description '", name_or_path, "': no such file, and not one of: ",
                           list, DidYouMean(name_or_path, names)));
  }
  OCTET_RETURN_IF_ERROR(Status(file.status()));
  return ParseGraphDescription(file.value().text(), name_or_path);
}

std::vector<std::string> GraphDescriptionNames() {
  std::vector<std::string> names;
  for (const EmbeddedModel& model : EmbeddedModels()) {
    if (model.name != kNamesFile) names.emplace_back(model.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace octet
