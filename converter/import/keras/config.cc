// Checked access to the configurations of Keras.
#include "converter/import/keras/config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

using nlohmann::json;

/// Keys of every layer that say nothing about inference. `dtype` is looked at for itself.
constexpr const char* kHarmless =
    "name trainable dtype activity_regularizer batch_input_shape batch_shape batch_size "
    "input_dtype dynamic";

constexpr std::string_view kModules[] = {"keras", "tf_keras", "tensorflow.keras",
                                         "tensorflow.python.keras"};

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() > end.size() && text.substr(text.size() - end.size()) == end;
}

/// Weights are read as float32 whatever the policy, and computed so.
Status CheckPolicy(const json& dtype) {
  if (dtype.is_null()) return OkStatus();
  std::string name;
  if (dtype.is_string()) {
    name = dtype.get<std::string>();
  } else {
    OCTET_RETURN_IF_ERROR(CheckKerasOrigin(dtype));
    name = KerasText(KerasMember(dtype, "config"), "name");
    const std::string type = KerasText(dtype, "class_name");
    if (type != "DTypePolicy" && type != "FloatDTypePolicy" && type != "Policy")
      name = type + " " + name;
  }
  for (const char* known : {"float32", "float16", "float64", "bfloat16", "mixed_float16",
                            "mixed_bfloat16", "mixed_float32"}) {
    if (name == known) return OkStatus();
  }
  return Unsupported(StrCat("'dtype' is ", KerasShow(json(name)),
                            ", expected a floating-point policy; octet quantizes by itself, save "
                            "the model before model.quantize()"));
}

Status Flatten(const json& v, const char* key, size_t depth, KerasNumbers* out) {
  if (v.is_number()) {
    if (depth != out->dims.size())
      return Corrupt(StrCat("'", key, "' has lists of different depth"));
    out->values.push_back(static_cast<float>(v.get<double>()));
    return OkStatus();
  }
  if (!v.is_array() || depth > 8)
    return Unsupported(StrCat("'", key, "' is ", KerasShow(v), ", expected numbers"));
  const int64_t size = static_cast<int64_t>(v.size());
  if (out->values.empty() && depth == out->dims.size()) out->dims.push_back(size);
  if (depth >= out->dims.size() || out->dims[depth] != size)
    return Corrupt(StrCat("'", key, "' has lists of different lengths"));
  for (const json& item : v) OCTET_RETURN_IF_ERROR(Flatten(item, key, depth + 1, out));
  return OkStatus();
}

}  // namespace

std::string KerasText(const json& object, const char* key) {
  const json& v = KerasMember(object, key);
  return v.is_string() ? v.get<std::string>() : "";
}

const json& KerasMember(const json& object, const char* key) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

std::string KerasShow(const json& value) {
  std::string text = value.is_string() ? "'" + value.get<std::string>() + "'"
                                       : value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

Result<int64_t> KerasInteger(const json& value, const char* key, int64_t low, int64_t high) {
  if (value.is_number()) {
    const double v = value.get<double>();
    if (v >= static_cast<double>(low) && v <= static_cast<double>(high) && v == std::floor(v))
      return static_cast<int64_t>(v);
  }
  return Corrupt(StrCat("'", key, "' is ", KerasShow(value), ", expected an integer from ", low,
                        " to ", high));
}

Result<KerasNumbers> ReadKerasNumbers(const json& value, const char* key) {
  const std::string type = KerasText(value, "class_name");
  const json& inner = KerasMember(KerasMember(value, "config"), "value");
  const bool wrapped = type == "__numpy__" || type == "__tensor__";
  // Older files have numbers of NumPy as {"type": ..., "value": 6.0}.
  const json& numbers = wrapped && !inner.is_null()              ? inner
                        : !KerasMember(value, "value").is_null() ? KerasMember(value, "value")
                                                                 : value;
  KerasNumbers out;
  OCTET_RETURN_IF_ERROR(Flatten(numbers, key, 0, &out));
  return out;
}

Status CheckKerasOrigin(const json& object) {
  if (!object.is_object()) return OkStatus();
  const std::string type = KerasText(object, "class_name");
  const auto module = object.find("module");
  const json& registered = KerasMember(object, "registered_name");
  if (module == object.end() && registered.is_null()) return OkStatus();  // Older files do not say.
  const std::string from = KerasText(object, "module");
  const bool own = std::none_of(std::begin(kModules), std::end(kModules), [&](std::string_view m) {
    return from == m ||
           (from.size() > m.size() && from.substr(0, m.size()) == m && from[m.size()] == '.');
  });
  const bool renamed = !registered.is_null() && KerasText(object, "registered_name") != type;
  if (!own && !renamed) return OkStatus();
  return Unsupported(StrCat("'", type, "' is a class of its author's (module ",
                            module == object.end() ? "null" : KerasShow(*module),
                            ", registered_name ", KerasShow(registered),
                            "), whose code is not in the file"));
}

Status KerasConfig::Check() const {
  if (config_.is_null()) return OkStatus();
  if (!config_.is_object()) return Corrupt("its config is not an object");
  OCTET_RETURN_IF_ERROR(CheckPolicy(KerasMember(config_, "dtype")));
  for (const auto& item : config_.items()) {
    const std::string& key = item.key();
    // None is how Keras writes what is not used, also in keys that this version does not know.
    if (item.value().is_null() || HasWord(kHarmless, key) || EndsWith(key, "_initializer") ||
        EndsWith(key, "_regularizer") || EndsWith(key, "_constraint")) {
      continue;
    }
    OCTET_RETURN_IF_ERROR(
        CheckUnderstood(keys_, key,
                        item.value().is_string()
                            ? item.value().get<std::string>()
                            : item.value().dump(-1, ' ', false, json::error_handler_t::replace)));
  }
  return OkStatus();
}

Status KerasConfig::CheckAllRead() const {
  if (!config_.is_object()) return OkStatus();
  for (const auto& item : config_.items()) {
    if (!item.value().is_null() && HasWord(keys_.read, item.key()) && seen_.count(item.key()) == 0)
      return InternalError(StrCat("'", item.key(), "' was not looked at"));
  }
  return OkStatus();
}

const json& KerasConfig::Raw(const char* key) const {
  static const json kNull;
  if (!HasWord(keys_.read, key)) return kNull;
  seen_.insert(key);
  return KerasMember(config_, key);
}

std::string KerasConfig::String(const char* key, const char* otherwise) const {
  const json& v = Raw(key);
  return v.is_null() ? otherwise : v.is_string() ? v.get<std::string>() : KerasShow(v);
}

Result<bool> KerasConfig::Bool(const char* key, bool otherwise) const {
  const json& v = Raw(key);
  if (v.is_null()) return otherwise;
  if (v.is_boolean()) return v.get<bool>();
  return Corrupt(StrCat("'", key, "' is ", KerasShow(v), ", expected true or false"));
}

Result<int64_t> KerasConfig::Integer(const char* key, int64_t otherwise, int64_t low,
                                     int64_t high) const {
  const json& v = Raw(key);
  return v.is_null() ? Result<int64_t>(otherwise) : KerasInteger(v, key, low, high);
}

Result<double> KerasConfig::Number(const char* key, double otherwise) const {
  const json& v = Raw(key);
  if (v.is_null()) return otherwise;
  if (v.is_number()) return v.get<double>();
  OCTET_ASSIGN_OR_RETURN(const KerasNumbers numbers, ReadKerasNumbers(v, key));
  if (numbers.values.size() != 1)
    return Corrupt(StrCat("'", key, "' is ", KerasShow(v), ", expected one number"));
  return static_cast<double>(numbers.values[0]);
}

Result<std::array<int64_t, 2>> KerasConfig::Pair(const char* key, int64_t otherwise) const {
  const json& v = Raw(key);
  if (v.is_null()) return std::array<int64_t, 2>{otherwise, otherwise};
  if (v.is_array() && v.size() != 2)
    return Corrupt(StrCat("'", key, "' is ", KerasShow(v), ", expected 2 numbers"));
  std::array<int64_t, 2> pair{};
  for (size_t i = 0; i < 2; ++i) {
    OCTET_ASSIGN_OR_RETURN(pair[i], KerasInteger(v.is_array() ? v[i] : v, key, 0, 4096));
  }
  return pair;
}

Result<std::vector<int64_t>> KerasConfig::Axes(const char* key, int64_t rank) const {
  const json& v = Raw(key);
  std::vector<int64_t> axes;
  for (const json& item : v.is_array() || v.is_null() ? v : json::array({v})) {
    OCTET_ASSIGN_OR_RETURN(const int64_t axis, KerasInteger(item, key, -rank, rank - 1));
    axes.push_back(axis < 0 ? axis + rank : axis);
  }
  std::sort(axes.begin(), axes.end());
  return axes;
}

}  // namespace octet
