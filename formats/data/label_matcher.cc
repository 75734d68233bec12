// Labels are indexed twice, exactly and alike; a name that is there exactly is not looked for
// otherwise. Of a model with labels, the first record with a number decides whether numbers count
// from 0 or 1 (evidence_.first); all others must agree.
#include "formats/data/label_matcher.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "formats/base/lower_case.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// Small ASCII letters, and blanks for underscores.
std::string Alike(std::string_view name) {
  std::string s = LowerCase(name);
  std::replace(s.begin(), s.end(), '_', ' ');
  return s;
}

std::optional<int64_t> Number(std::string_view name) {
  if (name.empty() || name.size() > 9) return std::nullopt;
  int64_t value = 0;
  for (const char c : name) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

constexpr char kGiveLabels[] = "the model has no labels; give them by octet_convert --labels";

}  // namespace

LabelMatcher::LabelMatcher(std::vector<std::string> labels) : labels_(std::move(labels)) {
  for (size_t i = 0; i < labels_.size(); ++i) {
    exact_[labels_[i]].push_back(static_cast<int>(i));
    alike_[Alike(labels_[i])].push_back(static_cast<int>(i));
  }
}

std::vector<int> LabelMatcher::Find(std::string_view name) const {
  const auto exact = exact_.find(name);
  if (exact != exact_.end()) return exact->second;
  const auto alike = alike_.find(Alike(name));
  return alike != alike_.end() ? alike->second : std::vector<int>();
}

std::string LabelMatcher::Listed() const {
  std::string s;
  for (size_t i = 0; i < std::min<size_t>(labels_.size(), 5); ++i)
    s += StrCat(i ? ", '" : "'", labels_[i], "'");
  return StrCat(labels_.size(), " labels (", s, labels_.size() > 5 ? ", ...)" : ")");
}

Status LabelMatcher::CheckRange(int64_t number) const {
  const int64_t limit =
      labels_.empty() ? std::numeric_limits<int>::max() : static_cast<int64_t>(labels_.size());
  if (number >= -1 && number < limit) return OkStatus();
  return InvalidArgument(
      labels_.empty()
          ? StrCat("label is ", number, ", expected a class index, or -1 for none")
          : StrCat("label is ", number, ", the model has ", limit, " classes, counted from 0"));
}

Result<int> LabelMatcher::OfNumber(int64_t number) {
  OCTET_RETURN_IF_ERROR(CheckRange(number));
  if (number >= 0) evidence_.sources.insert("number");
  return static_cast<int>(number);
}

Result<int> LabelMatcher::FolderByName(const std::string& name) const {
  if (labels_.empty()) {
    return InvalidArgument(StrCat("folder '", name, "' is not a number, and ", kGiveLabels,
                                  ", or name the folders by class index"));
  }
  const std::vector<int> found = Find(name);
  if (found.empty())
    return InvalidArgument(
        StrCat("folder '", name, "' is named as none of the model's ", Listed()));
  if (found.size() > 1) {
    return InvalidArgument(StrCat("folder '", name, "' may be class ", found[0], " ('",
                                  labels_[static_cast<size_t>(found[0])], "') or class ", found[1],
                                  " ('", labels_[static_cast<size_t>(found[1])],
                                  "'); name the folders by class index"));
  }
  return found[0];
}

Result<std::vector<int>> LabelMatcher::OfFolders(const std::vector<std::string>& names) {
  const auto is_number = [](const std::string& n) { return Number(n).has_value(); };
  const auto is_label = [&](const std::string& n) { return exact_.contains(n); };
  const bool by_number = std::all_of(names.begin(), names.end(), is_number) &&
                         !std::all_of(names.begin(), names.end(), is_label);
  std::vector<int> classes;
  std::map<int, std::string> folder_of;
  for (const std::string& name : names) {
    if (by_number) {
      Status status = CheckRange(*Number(name));
      if (!status.ok()) return std::move(status).WithContext(StrCat("folder '", name, "'"));
      classes.push_back(static_cast<int>(*Number(name)));
    } else {
      OCTET_ASSIGN_OR_RETURN(const int found, FolderByName(name));
      classes.push_back(found);
    }
    const auto [other, is_new] = folder_of.emplace(classes.back(), name);
    if (!is_new) {
      return InvalidArgument(
          StrCat("folders '", other->second, "' and '", name, "' are both class ", classes.back()));
    }
  }
  evidence_.sources.insert(by_number ? "folders by number" : "folders by name");
  return classes;
}

Result<int> LabelMatcher::ByText(std::optional<int64_t> number, std::string_view text) {
  const std::vector<int> found = Find(text);
  const auto name = [&](int64_t i) {
    return i >= 0 && i < static_cast<int64_t>(labels_.size())
               ? StrCat("the model's label ", i, " is '", labels_[static_cast<size_t>(i)], "'")
               : StrCat("the model has ", labels_.size(), " classes, counted from 0");
  };
  const std::string record = number ? StrCat("has label ", *number, " and the text '", text, "', ")
                                    : StrCat("has the text '", text, "', ");
  if (found.empty()) {
    return InvalidArgument(
        number ? StrCat(record, "which is none of the model's labels; ", name(*number))
               : StrCat(record, "which is none of the model's ", Listed()));
  }
  if (!number) {
    if (found.size() > 1) {
      return InvalidArgument(
          StrCat(record, "the model's labels ", found[0], " and ", found[1], ", and no number"));
    }
    evidence_.sources.insert("image/class/text");
    return found[0];
  }
  for (const int first : {0, 1}) {
    const int64_t index = *number - first;
    if (std::find(found.begin(), found.end(), index) == found.end()) continue;
    if (evidence_.first.value_or(first) != first) continue;
    evidence_.first = first;
    evidence_.sources.insert(first == 0 ? "image/class/label and image/class/text"
                                        : "labels from 1, by image/class/text");
    return static_cast<int>(index);
  }
  return InvalidArgument(StrCat(record, "which is the model's label ", found[0], "; ",
                                name(*number - evidence_.first.value_or(0)),
                                evidence_.first == 1 ? " (labels before count from 1)" : ""));
}

Result<int> LabelMatcher::WithoutLabels(std::optional<int64_t> number,
                                        std::optional<std::string_view> text) {
  if (!number) {
    return InvalidArgument(StrCat("has the text '", *text, "' and no number, and ", kGiveLabels));
  }
  OCTET_RETURN_IF_ERROR(CheckRange(*number));
  if (text) {
    const auto [before, is_new] = evidence_.texts.emplace(*number, *text);
    if (!is_new && before->second != *text) {
      return InvalidArgument(StrCat("has label ", *number, " and the text '", *text,
                                    "', records before have the text '", before->second,
                                    "' for it"));
    }
  }
  evidence_.sources.insert("image/class/label");
  return static_cast<int>(*number);
}

Result<int> LabelMatcher::OfRecord(std::optional<int64_t> number,
                                   std::optional<std::string_view> text) {
  if (number == -1) number.reset();
  if (!number && !text) return -1;
  if (labels_.empty()) return WithoutLabels(number, text);
  if (text) return ByText(number, *text);
  OCTET_RETURN_IF_ERROR(CheckRange(*number));
  if (evidence_.first.value_or(0) != 0) {
    return InvalidArgument(
        StrCat("has label ", *number, " and no text; labels before count from 1, by their texts"));
  }
  evidence_.first = 0;
  evidence_.sources.insert("image/class/label");
  return static_cast<int>(*number);
}

std::string LabelEvidence::Source() const {
  std::string s;
  for (const std::string& source : sources) s += (s.empty() ? "" : "; ") + source;
  return s.empty() ? "none" : s;
}

Status LabelEvidence::Merge(const LabelEvidence& other) {
  if (first && other.first && *first != *other.first)
    return InvalidArgument(
        StrCat("its labels count from ", *other.first, ", those before from ", *first));
  for (const auto& [number, text] : other.texts) {
    const auto [before, is_new] = texts.emplace(number, text);
    if (!is_new && before->second != text) {
      return InvalidArgument(StrCat("its label ", number, " has the text '", text,
                                    "', that of those before '", before->second, "'"));
    }
  }
  if (other.first) first = other.first;
  sources.insert(other.sources.begin(), other.sources.end());
  return OkStatus();
}

}  // namespace octet
