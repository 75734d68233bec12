// The header is checked entry by entry, then all extents together in the order of the file. Values
// are spans of the mapping until they are read.
#include "converter/import/checkpoints/safetensors.h"

#include <algorithm>
#include <utility>

#include "converter/import/builder/constant.h"
#include "converter/import/checkpoints/checkpoint.h"
#include "converter/import/importer.h"
#include "converter/import/json_reader.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

constexpr size_t kLengthBytes = 8;
/// A tensor takes about 100 bytes of header; a ResNet-152 has a thousand tensors.
constexpr uint64_t kMaxHeaderBytes = 8u << 20;

struct Dtype {
  const char* name;
  int64_t size;
};
constexpr Dtype kDtypes[] = {
    {"BOOL", 1},        {"U8", 1},          {"I8", 1},      {"F8_E5M2", 1}, {"F8_E4M3", 1},
    {"F8_E5M2FNUZ", 1}, {"F8_E4M3FNUZ", 1}, {"F8_E8M0", 1}, {"I16", 2},     {"U16", 2},
    {"F16", 2},         {"BF16", 2},        {"I32", 4},     {"U32", 4},     {"F32", 4},
    {"F64", 8},         {"I64", 8},         {"U64", 8},     {"C64", 8},
};

/// A non-negative integer that fits int64.
bool ReadSize(const nlohmann::json& json, int64_t* out) {
  if (!json.is_number_unsigned()) return false;
  const uint64_t value = json.get<uint64_t>();
  if (value > static_cast<uint64_t>(INT64_MAX)) return false;
  *out = static_cast<int64_t>(value);
  return true;
}

}  // namespace

Result<SafetensorsSource> SafetensorsSource::Open(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(FileBytes file, MapFile(path));
  return Parse(std::move(file), path);
}

Result<SafetensorsSource> SafetensorsSource::Parse(FileBytes file, const std::string& origin) {
  const size_t size = file.bytes.size();
  if (size < kLengthBytes)
    return Corrupt(StrCat(origin, ": ", size, " bytes are too few for a safetensors file"));
  const auto header_bytes =
      static_cast<uint64_t>(LoadInteger(file.bytes.data(), ElementType::kUint64));
  if (header_bytes > kMaxHeaderBytes || header_bytes > size - kLengthBytes) {
    return Corrupt(StrCat(origin, ": header length: found ", header_bytes, ", expected at most ",
                          std::min<uint64_t>(kMaxHeaderBytes, size - kLengthBytes)));
  }
  const std::string_view header = file.text().substr(kLengthBytes, header_bytes);
  OCTET_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(header, origin + ": header"));
  if (!json.is_object()) return Corrupt(StrCat(origin, ": header: not a JSON object"));
  const std::span<const std::byte> payload = file.bytes.subspan(kLengthBytes + header_bytes);

  SafetensorsSource source;
  source.origin_ = origin;
  struct Extent {
    int64_t begin, end;
    const std::string* name;
  };
  std::vector<Extent> extents;
  for (const auto& item : json.items()) {
    if (item.key() == "__metadata__") continue;
    const auto bad = [&](const std::string& problem) {
      return Corrupt(StrCat(origin, ": tensor '", item.key(), "': ", problem));
    };
    const nlohmann::json& fields = item.value();
    if (!fields.is_object()) return bad("its entry is not a JSON object");
    for (const auto& field : fields.items()) {
      if (field.key() != "dtype" && field.key() != "shape" && field.key() != "data_offsets")
        return bad(StrCat("'", field.key(), "' is not a known field"));
    }
    const auto dtype = fields.find("dtype"), shape = fields.find("shape"),
               offsets = fields.find("data_offsets");
    if (dtype == fields.end() || !dtype->is_string()) return bad("'dtype' is not a string");
    if (shape == fields.end() || !shape->is_array() || shape->size() > kMaxRank) {
      return bad(StrCat("'shape' is not a list of at most ", kMaxRank, " numbers"));
    }
    if (offsets == fields.end() || !offsets->is_array() || offsets->size() != 2) {
      return bad("'data_offsets' is not a pair of numbers");
    }
    Entry entry;
    entry.dtype = dtype->get<std::string>();
    const auto type = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                   [&](const Dtype& t) { return entry.dtype == t.name; });
    if (type == std::end(kDtypes)) return bad(StrCat("unknown dtype '", entry.dtype, "'"));
    int64_t bytes = type->size;
    for (const nlohmann::json& dim : *shape) {
      int64_t d = 0;
      if (!ReadSize(dim, &d)) return bad("'shape' holds something that is not a size");
      if (!CheckedMul(bytes, d, &bytes)) return bad("its size overflows");
      entry.shape.push_back(d);
    }
    int64_t begin = 0, end = 0;
    if (!ReadSize((*offsets)[0], &begin) || !ReadSize((*offsets)[1], &end) || begin > end ||
        static_cast<uint64_t>(end) > payload.size()) {
      return bad(StrCat("'data_offsets' ", offsets->dump(), " are not inside the ", payload.size(),
                        " bytes of data"));
    }
    if (end - begin != bytes) {
      return bad(StrCat("'data_offsets' span ", end - begin, " bytes, expected ", bytes, " for ",
                        entry.dtype, " ", shape->dump()));
    }
    entry.data = payload.subspan(static_cast<size_t>(begin), static_cast<size_t>(bytes));
    const auto [it, inserted] = source.entries_.emplace(item.key(), std::move(entry));
    extents.push_back({begin, end, &it->first});
  }

  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  int64_t covered = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != covered) {
      return Corrupt(StrCat(origin, ": tensor '", *extent.name, "' begins at byte ", extent.begin,
                            " of the data, expected ", covered,
                            extent.begin < covered ? " (overlap)" : " (gap)"));
    }
    covered = extent.end;
  }
  if (static_cast<uint64_t>(covered) != payload.size()) {
    return Corrupt(StrCat(origin, ": data: found ", payload.size(), " bytes, expected ", covered));
  }
  source.file_ = std::move(file);
  return source;
}

std::vector<std::string> SafetensorsSource::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

std::optional<std::vector<int64_t>> SafetensorsSource::FindShape(
    const TensorRequest& request) const {
  const auto it = entries_.find(request.name);
  if (it == entries_.end()) return std::nullopt;
  return it->second.shape;
}

Result<std::vector<float>> SafetensorsSource::Read(const TensorRequest& request) {
  const auto it = entries_.find(request.name);
  if (it == entries_.end()) return NotFound(StrCat(origin_, ": no tensor '", request.name, "'"));
  const Entry& entry = it->second;
  static constexpr std::pair<std::string_view, ElementType> kFloats[] = {
      {"F16", ElementType::kFloat16},
      {"BF16", ElementType::kBfloat16},
      {"F32", ElementType::kFloat32},
      {"F64", ElementType::kFloat64}};
  for (const auto& [dtype, type] : kFloats) {
    const size_t size = static_cast<size_t>(TypeSize(type));
    if (entry.dtype == dtype) return LoadFloats(entry.data.data(), entry.data.size() / size, type);
  }
  return Unsupported(StrCat(origin_, ": tensor '", request.name, "' has dtype ", entry.dtype,
                            ", expected one of F16, BF16, F32, F64"));
}

std::string SafetensorsSource::DescribeTypes() const {
  std::map<std::string, int> counts;
  for (const auto& [name, entry] : entries_) ++counts[entry.dtype];
  std::string text;
  for (const auto& [dtype, count] : counts)
    text += StrCat(text.empty() ? "" : ", ", dtype, " (", count, ")");
  return text;
}

Result<Graph> ImportSafetensors(const std::string& path, const ImportOptions& options) {
  OCTET_ASSIGN_OR_RETURN(SafetensorsSource source, SafetensorsSource::Open(path));
  return ImportCheckpoint(path, source, StrCat("safetensors ", source.DescribeTypes()), options);
}

}  // namespace octet
