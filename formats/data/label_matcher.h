// Which class of a model a data set means.
#ifndef OCTET_FORMATS_DATA_LABEL_MATCHER_H_
#define OCTET_FORMATS_DATA_LABEL_MATCHER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// What samples told of how they name their classes.
struct LabelEvidence {
  std::optional<int> first;              ///< What numbers beside labels count from, if known.
  std::map<int64_t, std::string> texts;  ///< Of numbers, for a model without labels.
  std::set<std::string> sources;

  /// Adds that of another part of the same data. Errors: kInvalidArgument when the two contradict
  /// each other.
  Status Merge(const LabelEvidence& other);
  /// E.g. "labels from 1, by image/class/text", "folders by number", "none".
  std::string Source() const;
};

/// Compares what a data set calls its classes with the model's labels. One object sees the whole
/// data set, so that its parts cannot contradict each other. What has more than one reading, or
/// none, is an error (kInvalidArgument) that names both sides.
class LabelMatcher {
 public:
  /// `labels` is empty for a model that has none.
  explicit LabelMatcher(std::vector<std::string> labels);

  /// Of class folders, in their order. Folders that are all named by numbers are those classes,
  /// unless every one is, to the letter, a label; others are the labels of their names, compared
  /// exactly, then without case and with '_' and ' ' alike.
  Result<std::vector<int>> OfFolders(const std::vector<std::string>& names);

  /// Of one record. Number and text must mean the same label; numbers may count from 1 (0 is
  /// background then) if they do so throughout. -1 when there is neither.
  Result<int> OfRecord(std::optional<int64_t> number, std::optional<std::string_view> text);

  /// Of a number that stands for itself; -1 is none.
  Result<int> OfNumber(int64_t number);

  const LabelEvidence& evidence() const { return evidence_; }

 private:
  Status CheckRange(int64_t number) const;
  std::string Listed() const;
  /// All labels that are this name exactly; when there is none, those that are alike.
  std::vector<int> Find(std::string_view name) const;
  Result<int> FolderByName(const std::string& name) const;
  Result<int> ByText(std::optional<int64_t> number, std::string_view text);
  Result<int> WithoutLabels(std::optional<int64_t> number, std::optional<std::string_view> text);

  std::vector<std::string> labels_;
  std::map<std::string, std::vector<int>, std::less<>> exact_, alike_;
  LabelEvidence evidence_;
};

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_LABEL_MATCHER_H_
