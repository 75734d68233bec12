// Typed access to parsed JSON with errors that name the field. Internal to the importers.
#ifndef OCTET_CONVERTER_IMPORT_JSON_READER_H_
#define OCTET_CONVERTER_IMPORT_JSON_READER_H_

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "formats/base/status.h"
#include "formats/base/str_cat.h"

namespace octet {

/// "line 3, column 5": where `text`, which is not valid, stops being so; columns are bytes.
inline std::string PlaceOfJsonError(std::string_view text) {
  struct : nlohmann::detail::json_sax_acceptor<nlohmann::json> {
    size_t read = 0;
    bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) {
      read = position;
      return false;
    }
  } sax;
  nlohmann::json::sax_parse(text.begin(), text.end(), &sax);
  // Of what was read, the last character is the wrong one, or the end.
  text = text.substr(0, sax.read > 0 ? sax.read - 1 : 0);
  const size_t line_begin = text.rfind('\n') + 1;  // 0 without one.
  return StrCat("line ", 1 + std::count(text.begin(), text.end(), '\n'), ", column ",
                text.size() - line_begin + 1);
}

/// Parses without exceptions. Refuses deep nesting, which costs far more memory than text.
inline Result<nlohmann::json> ParseJson(std::string_view text, const std::string& origin,
                                        int max_depth = 16) {
  bool too_deep = false;
  const auto limit_depth = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > max_depth;
    return !too_deep;
  };
  nlohmann::json json =
      nlohmann::json::parse(text.begin(), text.end(), limit_depth, /*allow_exceptions=*/false);
  if (too_deep) return Corrupt(StrCat(origin, ": JSON nested deeper than ", max_depth, " levels"));
  if (json.is_discarded())
    return Corrupt(StrCat(origin, ": not valid JSON, ", PlaceOfJsonError(text)));
  return json;
}

/// Reads the fields of one JSON object. The first error sticks; `status()` gives it.
class JsonReader {
 public:
  /// `where` names the object in errors. `known` lists every field; another one is an error, since
  /// it is most often a misspelling.
  JsonReader(const nlohmann::json& json, std::string where,
             std::initializer_list<std::string_view> known)
      : json_(json), where_(std::move(where)) {
    if (!json_.is_object()) {
      Fail("", "is not an object");
      return;
    }
    for (const auto& item : json_.items()) {
      bool found = false;
      for (std::string_view k : known) found = found || item.key() == k;
      if (!found) Fail(item.key(), "is not a known field");
    }
  }

  const Status& status() const { return status_; }
  bool ok() const { return status_.ok(); }

  /// The field, or null when it is absent.
  const nlohmann::json* Find(const char* key) const {
    if (!json_.is_object()) return nullptr;
    const auto it = json_.find(key);
    return it == json_.end() ? nullptr : &*it;
  }

  /// The field; an error when it is absent.
  const nlohmann::json* Need(const char* key) {
    const nlohmann::json* value = Find(key);
    if (value == nullptr) Fail(key, "is missing");
    return value;
  }

  /// Each of these leaves `*out` alone when the field is absent.
  void Integer(const char* key, int low, int high, int* out) {
    const nlohmann::json* v = Find(key);
    if (v == nullptr) return;
    if (!v->is_number_integer()) return Fail(key, StrCat("is not an integer"));
    // Large unsigned values do not fit int64_t and must not wrap.
    const bool fits =
        !v->is_number_unsigned() || v->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
    const int64_t value = fits ? v->get<int64_t>() : INT64_MAX;
    if (value < low || value > high)
      return Fail(key, StrCat("is ", value, ", expected ", low, " to ", high));
    *out = static_cast<int>(value);
  }
  void Number(const char* key, float* out) {
    const nlohmann::json* v = Find(key);
    if (v == nullptr) return;
    if (!v->is_number()) return Fail(key, "is not a number");
    *out = static_cast<float>(v->get<double>());
  }
  void Bool(const char* key, bool* out) {
    const nlohmann::json* v = Find(key);
    if (v == nullptr) return;
    if (!v->is_boolean()) return Fail(key, "is not true or false");
    *out = v->get<bool>();
  }
  void String(const char* key, std::string* out) {
    const nlohmann::json* v = Find(key);
    if (v == nullptr) return;
    if (!v->is_string()) return Fail(key, "is not a string");
    *out = v->get<std::string>();
  }
  /// One of a list of words; `*out` becomes its index.
  void Choice(const char* key, std::span<const std::string_view> words, int* out) {
    const nlohmann::json* v = Find(key);
    if (v == nullptr) return;
    std::string expected;
    int index = 0;
    for (std::string_view word : words) {
      if (v->is_string() && v->get_ref<const std::string&>() == word) {
        *out = index;
        return;
      }
      expected += StrCat(index ? ", " : "", word);
      ++index;
    }
    Fail(key, StrCat("is ", v->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                     ", expected one of: ", expected));
  }

  void Choice(const char* key, std::initializer_list<std::string_view> words, int* out) {
    Choice(key, std::span(words.begin(), words.size()), out);
  }
  template <typename Enum>
  void Choice(const char* key, std::span<const std::string_view> words, Enum* out) {
    int index = static_cast<int>(*out);
    Choice(key, words, &index);
    *out = static_cast<Enum>(index);
  }

  void Fail(std::string_view key, const std::string& problem) {
    if (!status_.ok()) return;
    status_ = InvalidArgument(key.empty() ? StrCat(where_, " ", problem)
                                          : StrCat(where_, ": '", key, "' ", problem));
  }

 private:
  const nlohmann::json& json_;
  std::string where_;
  Status status_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_JSON_READER_H_
