#include "engine/tools/parts.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <span>
#include <system_error>

#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/data_paths.h"
#include "formats/data/sha256.h"

namespace octet {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int64_t kMaxPartBytes = int64_t{1} << 30;
constexpr int kPartVersion = 1;
const ordered_json kNothing = nullptr;

std::string Dump(const ordered_json& j, int indent = -1) {
  return j.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

ordered_json JsonOf(const PartIdentity& id) {
  ordered_json settings = ordered_json::object();
  for (const auto& [name, value] : id.settings) settings[name] = value;
  return {{"octet_part", kPartVersion}, {"kind", id.kind}, {"shard", id.shard.Text()},
          {"models", id.models},        {"data", id.data}, {"settings", settings}};
}

/// What differs in two identities, for people; empty when they belong together.
std::string Difference(const PartIdentity& a, const PartIdentity& b) {
  if (a.kind != b.kind) return StrCat("is of octet ", b.kind, ", ");
  if (a.models != b.models) return "is of another model, ";
  if (a.data != b.data) return "is of other data, ";
  for (size_t i = 0; i < std::max(a.settings.size(), b.settings.size()); ++i) {
    if (i >= a.settings.size() || i >= b.settings.size()) return "has other settings, ";
    const auto& [name, value] = b.settings[i];
    if (a.settings[i] != b.settings[i])
      return StrCat("has ", name, " ", value, " where ", a.settings[i].second, " was expected, ");
  }
  return "";
}

}  // namespace

std::string PartIdentity::Name() const {
  Sha256 rest;
  PartIdentity same = *this;
  same.shard = {};
  rest.Add(Dump(JsonOf(same)));
  char numbers[64];
  std::snprintf(numbers, sizeof(numbers), "-%05lld-of-%05lld", static_cast<long long>(shard.index),
                static_cast<long long>(shard.count));
  return StrCat(kind, "-", models[0].substr(0, 12), "-", rest.Hex().substr(0, 12), numbers);
}

std::string PartPath(const std::string& folder, const PartIdentity& identity) {
  return (fs::path(folder) / (identity.Name() + ".json")).string();
}

Status WritePart(const std::string& folder, const PartIdentity& identity,
                 const ordered_json& content) {
  ordered_json j = JsonOf(identity);
  for (const auto& [key, value] : content.items()) j[key] = value;
  const std::string text = Dump(j) + "\n";
  return WriteFileAtomically(PartPath(folder, identity), std::as_bytes(std::span(text)));
}

Status MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (fs::is_directory(path)) return OkStatus();
  return IoError(StrCat(path, ": cannot make this folder",
                        error ? ": " + error.message() : ": a file is there"));
}

Result<ResultPart> ReadPart(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFileBytes(path, kMaxPartBytes));
  ResultPart part{path, {}, ordered_json::parse(bytes.begin(), bytes.end(), nullptr, false)};
  PartFields fields(path, part.content);
  if (!part.content.is_object() || !part.content.contains("octet_part"))
    return Corrupt(StrCat(path, ": is not a part of octet score or octet evaluate"));
  if (fields.Count("octet_part") != kPartVersion)
    fields.Fail("octet_part", "1, as this version writes it");
  PartIdentity& id = part.identity;
  id.kind = fields.Text("kind");
  id.data = fields.Text("data");
  for (const ordered_json& model : fields.Array("models")) {
    if (!model.is_string() || model.get<std::string>().size() != 64)
      fields.Fail("models", "SHA-256 of files");
    if (!fields.status().ok()) break;
    id.models.push_back(model.get<std::string>());
  }
  if (id.models.empty()) fields.Fail("models", "one model at least");
  const auto settings = part.content.find("settings");
  if (settings == part.content.end() || !settings->is_object()) {
    fields.Fail("settings", "an object");
  } else {
    for (const auto& [name, value] : settings->items()) {
      if (!value.is_string()) fields.Fail("settings", "strings");
      if (value.is_string()) id.settings.emplace_back(name, value.get<std::string>());
    }
  }
  const std::string shard = fields.Text("shard");
  OCTET_RETURN_IF_ERROR(fields.status());
  Result<Shard> parsed = ParseShard(shard);
  if (!parsed.ok()) return Status(parsed.status()).WithContext(path);
  id.shard = *parsed;
  return part;
}

Result<ResultPart> ReadPartOf(const std::string& folder, const PartIdentity& identity) {
  OCTET_ASSIGN_OR_RETURN(ResultPart part, ReadPart(PartPath(folder, identity)));
  if (part.identity.Name() == identity.Name()) return part;
  return Corrupt(StrCat(part.path, ": is of something else than its name says"));
}

Result<std::vector<ResultPart>> ReadAllParts(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    const bool folder = fs::is_directory(path, error);
    OCTET_ASSIGN_OR_RETURN(const std::vector<std::string> found,
                           ExpandDataPaths({folder ? path + "/*.json" : path}, false));
    files.insert(files.end(), found.begin(), found.end());
  }
  std::vector<ResultPart> parts;
  for (const std::string& file : files) {
    OCTET_ASSIGN_OR_RETURN(ResultPart part, ReadPart(file));
    if (!parts.empty()) {
      const std::string difference = Difference(parts[0].identity, part.identity);
      if (!difference.empty()) {
        return InvalidArgument(
            StrCat(file, ": ", difference, "not a part of what ", parts[0].path, " is of"));
      }
    }
    parts.push_back(std::move(part));
  }
  std::vector<ShardFile> shards;
  for (const ResultPart& part : parts) shards.push_back({part.identity.shard, part.path});
  OCTET_RETURN_IF_ERROR(CheckShards("parts", &shards));
  std::sort(parts.begin(), parts.end(), [](const ResultPart& a, const ResultPart& b) {
    return BeginsBefore(a.identity.shard, b.identity.shard);
  });
  return parts;
}

const ordered_json* PartFields::Find(const char* name) {
  const auto it = object_.find(name);
  return it != object_.end() ? &*it : nullptr;
}

void PartFields::Fail(const char* name, const char* expected) {
  if (status_.ok()) status_ = Corrupt(StrCat(where_, ": field '", name, "', expected ", expected));
}

int64_t PartFields::CountOf(const ordered_json& value, const char* name) {
  constexpr int64_t kMost = int64_t{1} << 53;
  if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > kMost) {
    Fail(name, "a count");
    return 0;
  }
  return value.get<int64_t>();
}

int64_t PartFields::Count(const char* name) {
  const ordered_json* value = Find(name);
  return CountOf(value != nullptr ? *value : kNothing, name);
}

std::string PartFields::Text(const char* name) {
  const ordered_json* value = Find(name);
  if (value != nullptr && value->is_string()) return value->get<std::string>();
  Fail(name, "a string");
  return "";
}

bool PartFields::Flag(const char* name) {
  const ordered_json* value = Find(name);
  if (value != nullptr && value->is_boolean()) return value->get<bool>();
  Fail(name, "true or false");
  return false;
}

const ordered_json& PartFields::Array(const char* name) {
  static const ordered_json kEmpty = ordered_json::array();
  const ordered_json* value = Find(name);
  if (value != nullptr && value->is_array()) return *value;
  Fail(name, "an array");
  return kEmpty;
}

MarginHistogram PartFields::Margins(const char* name) {
  MarginHistogram margins;
  const ordered_json& array = Array(name);
  if (array.size() != margins.counts.size()) Fail(name, "100 counts");
  for (size_t i = 0; status_.ok() && i < array.size(); ++i)
    margins.counts[i] = CountOf(array[i], name);
  return margins;
}

LatencyHistogram PartFields::Latency(const char* name) {
  LatencyHistogram latency;
  for (const ordered_json& pair : Array(name)) {
    if (!pair.is_array() || pair.size() != 2) Fail(name, "pairs of a bucket and a count");
    if (!status_.ok()) break;
    const int64_t bucket = CountOf(pair[0], name);
    if (bucket >= LatencyHistogram::kMaxBucket) Fail(name, "buckets of times");
    if (!status_.ok()) break;
    latency.AddBucket(static_cast<int>(bucket), CountOf(pair[1], name));
  }
  return latency;
}

ordered_json JsonOf(const MarginHistogram& margins) { return margins.counts; }

ordered_json JsonOf(const LatencyHistogram& latency) {
  ordered_json pairs = ordered_json::array();
  for (const auto& [bucket, count] : latency.counts()) pairs.push_back({bucket, count});
  return pairs;
}

}  // namespace octet
