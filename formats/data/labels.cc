// Three readers: StructuredReader for a dict or list of Python or JSON, ReadLines for a name, or
// index and name, a line, ReadRecords for TFRecord files. The first two collect Entries, which
// ByIndex puts where their indices say.
#include "formats/data/labels.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/tfrecord.h"

namespace octet {
namespace {

constexpr size_t kMaxLabels = size_t{1} << 20;
constexpr size_t kMaxLabelBytes = 1024;
constexpr int64_t kMaxFileBytes = int64_t{64} << 20;

constexpr std::string_view kBlanks = " \t\r";

std::string_view Trim(std::string_view s, std::string_view blanks = kBlanks) {
  const size_t begin = s.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return s.substr(begin, s.find_last_not_of(blanks) - begin + 1);
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// A number of at most 9 digits at the beginning, which is taken off.
std::optional<int64_t> TakeNumber(std::string_view* s) {
  int64_t value = 0;
  size_t n = 0;
  for (; n < s->size() && IsDigit((*s)[n]); ++n) {
    if (n == 9) return std::nullopt;
    value = value * 10 + ((*s)[n] - '0');
  }
  if (n == 0) return std::nullopt;
  s->remove_prefix(n);
  return value;
}

Status At(size_t line, const std::string& problem) {
  return InvalidArgument(StrCat("line ", line, " ", problem));
}

/// A name, where it stands, and its class if that is written beside it.
struct Entry {
  std::string name;
  size_t line = 0;
  std::optional<int64_t> index;
};

Status CheckName(const Entry& entry) {
  if (entry.name.empty()) return At(entry.line, "is empty, expected a label");
  if (entry.name.size() > kMaxLabelBytes) {
    return At(entry.line,
              StrCat("has ", entry.name.size(), " bytes, expected at most ", kMaxLabelBytes));
  }
  for (const char c : entry.name) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f)
      return At(entry.line, "holds a control character");
  }
  return OkStatus();
}

/// Puts the names where their indices say; each from `first` on must be there once.
Result<std::vector<std::string>> ByIndex(std::vector<Entry> entries, int64_t first) {
  const int64_t n = static_cast<int64_t>(entries.size());
  std::vector<std::string> names(entries.size());
  for (Entry& entry : entries) {
    const int64_t i = *entry.index - first;
    if (i < 0 || i >= n) {
      return At(entry.line, StrCat("has the index ", *entry.index, ", expected ", n,
                                   " indices from ", first, " to ", first + n - 1));
    }
    if (!names[static_cast<size_t>(i)].empty())
      return At(entry.line, StrCat("has the index ", *entry.index, " once more"));
    names[static_cast<size_t>(i)] = std::move(entry.name);
  }
  return names;
}

/// A dict or list of Python or JSON.
class StructuredReader {
 public:
  explicit StructuredReader(std::string_view text) : rest_(text) {}

  Result<std::vector<std::string>> Read() {
    const bool dict = rest_.front() == '{';
    rest_.remove_prefix(1);
    std::vector<Entry> entries;
    while (!Take(dict ? '}' : ']')) {
      Entry entry;
      OCTET_RETURN_IF_ERROR(dict ? ReadPair(&entry) : ReadString(&entry.name));
      entry.line = line_;
      if (!dict) entry.index = static_cast<int64_t>(entries.size());
      OCTET_RETURN_IF_ERROR(CheckName(entry));
      entries.push_back(std::move(entry));
      if (entries.size() > kMaxLabels)
        return InvalidArgument(StrCat("more than ", kMaxLabels, " labels"));
      if (!Take(',') && !Next(dict ? '}' : ']')) return Expected("',' or the end of the list");
    }
    if (SkipBlanks(); !rest_.empty()) return Expected("nothing after the list");
    if (entries.empty()) return InvalidArgument("no labels");
    return ByIndex(std::move(entries), 0);
  }

 private:
  void SkipBlanks() {
    while (!rest_.empty() && (kBlanks.find(rest_[0]) != std::string_view::npos || rest_[0] == '\n'))
      Drop();
  }
  void Drop() {
    line_ += rest_[0] == '\n';
    rest_.remove_prefix(1);
  }
  bool Next(char c) {
    SkipBlanks();
    return !rest_.empty() && rest_[0] == c;
  }
  bool Take(char c) {
    if (!Next(c)) return false;
    Drop();
    return true;
  }
  Status Expected(const char* what) {
    return At(line_, rest_.empty() ? StrCat("is the end, expected ", what)
                                   : StrCat("has '", rest_[0], "', expected ", what));
  }

  /// INDEX: 'NAME', "INDEX": "NAME" or "NAME": INDEX.
  Status ReadPair(Entry* entry) {
    std::string key;
    SkipBlanks();
    entry->index = TakeNumber(&rest_);
    const bool number = entry->index.has_value();
    if (!number) OCTET_RETURN_IF_ERROR(ReadString(&key));
    if (!Take(':')) return Expected("':'");
    SkipBlanks();
    if (!number) entry->index = TakeNumber(&rest_);
    if (!number && entry->index) {
      entry->name = std::move(key);
      return OkStatus();
    }
    OCTET_RETURN_IF_ERROR(ReadName(&entry->name));
    if (number) return OkStatus();
    std::string_view digits = key;
    entry->index = TakeNumber(&digits);
    return entry->index && digits.empty()
               ? OkStatus()
               : At(line_, StrCat("has the key '", key, "', expected a class index"));
  }

  /// 'NAME', or as Keras' imagenet_class_index.json has it: ["n01440764", "NAME"].
  Status ReadName(std::string* out) {
    if (!Take('[')) return ReadString(out);
    std::string id;
    SkipBlanks();
    OCTET_RETURN_IF_ERROR(ReadString(&id));
    const bool is_id = id.size() == 9 && id[0] == 'n' &&
                       id.find_first_not_of("0123456789", 1) == std::string::npos;
    if (!is_id)
      return At(line_, StrCat("has a list that begins with '", id,
                              "', expected one name, or a WordNet id and a name"));
    if (!Take(',')) return Expected("','");
    SkipBlanks();
    OCTET_RETURN_IF_ERROR(ReadString(out));
    return Take(']') ? OkStatus() : Expected("']'");
  }

  Status ReadString(std::string* out) {
    if (Next('u')) Drop();  // Python 2's u'...'.
    if (!Next('"') && !Next('\'')) return Expected("a name in quotes");
    const char quote = rest_[0];
    Drop();
    while (!rest_.empty() && rest_[0] != quote && rest_[0] != '\n') {
      if (rest_[0] == '\\') {
        Drop();
        const std::string_view plain = "\\'\"/";
        if (!rest_.empty() && rest_[0] == 'u') {
          OCTET_RETURN_IF_ERROR(ReadUnicode(out));
          continue;
        }
        if (rest_.empty() || plain.find(rest_[0]) == std::string_view::npos)
          return At(line_, "has an escape that is not known here");
      }
      out->push_back(rest_[0]);
      Drop();
    }
    if (rest_.empty() || rest_[0] != quote) return At(line_, "has a string without an end");
    Drop();
    *out = std::string(Trim(*out));
    return OkStatus();
  }

  /// uXXXX, of the characters that need no second one.
  Status ReadUnicode(std::string* out) {
    uint32_t code = 0;
    for (size_t i = 1; i <= 4; ++i) {
      const char c = i < rest_.size() ? rest_[i] : 'x';
      const size_t digit = std::string_view("0123456789abcdefABCDEF").find(c);
      if (digit == std::string_view::npos) return At(line_, "has an escape that is not known here");
      code = code * 16 + static_cast<uint32_t>(digit < 16 ? digit : digit - 6);
    }
    if (code >= 0xd800 && code < 0xe000) return At(line_, "has an escape that is not known here");
    rest_.remove_prefix(5);
    const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
      put(code);
    } else if (code < 0x800) {
      put(0xc0 | code >> 6);
      put(0x80 | (code & 0x3f));
    } else {
      put(0xe0 | code >> 12);
      put(0x80 | (code >> 6 & 0x3f));
      put(0x80 | (code & 0x3f));
    }
    return OkStatus();
  }

  std::string_view rest_;
  size_t line_ = 1;
};

/// INDEX NAME; no index when the line is not written so.
Entry SplitLine(std::string_view text, size_t line) {
  std::string_view rest = text;
  const std::optional<int64_t> index = TakeNumber(&rest);
  if (!index || rest.empty() || std::string_view(" \t:,").find(rest[0]) == std::string_view::npos)
    return {std::string(text), line, std::nullopt};
  const bool mark = Trim(rest).starts_with(":") || Trim(rest).starts_with(",");
  rest = Trim(Trim(rest).substr(mark ? 1 : 0));
  if (rest.empty()) return {std::string(text), line, std::nullopt};
  return {std::string(rest), line, index};
}

/// Of a dict without braces, a list without brackets, a program or a label map of protobuf.
bool LooksStructured(std::string_view name) {
  const char first = name.front();
  if ((first == '\'' || first == '"') && name.size() > 1)
    return name.back() == first || (name.back() == ',' && name[name.size() - 2] == first);
  return name.find("= {") != std::string_view::npos || name.find("= [") != std::string_view::npos ||
         first == '}' || name.back() == '{' || (name.size() == 1 && (first == ']' || first == '['));
}

Result<std::vector<std::string>> ReadLines(std::string_view text) {
  std::vector<Entry> entries;
  std::vector<std::string> lines;
  size_t line = 0, first_empty = 0, indexed = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view whole = Trim(text.substr(0, end));
    Entry entry = SplitLine(whole, ++line);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (entry.name.empty()) {
      if (first_empty == 0) first_empty = line;
      continue;
    }
    if (first_empty != 0) return At(first_empty, "is empty, expected a label");
    OCTET_RETURN_IF_ERROR(CheckName(entry));
    if (LooksStructured(entry.name))
      return At(line, "is neither a plain name nor part of one list or dict in brackets");
    if (entries.size() == kMaxLabels)
      return InvalidArgument(StrCat("more than ", kMaxLabels, " labels"));
    indexed += entry.index.has_value();
    lines.emplace_back(whole);
    entries.push_back(std::move(entry));
  }
  if (entries.empty()) return InvalidArgument("no labels");
  int64_t lowest = std::numeric_limits<int64_t>::max(), highest = 0;
  for (const Entry& entry : entries) {
    lowest = std::min(lowest, entry.index.value_or(lowest));
    highest = std::max(highest, entry.index.value_or(0));
  }
  if (indexed == entries.size()) return ByIndex(std::move(entries), lowest == 1 ? 1 : 0);
  // A list of indices with holes, but not names of which some happen to begin with a number.
  const bool counted = indexed > static_cast<size_t>(lowest) && lowest <= 1 &&
                       highest - lowest + 1 == static_cast<int64_t>(indexed);
  for (const Entry& entry : entries) {
    if (!entry.index && counted) return At(entry.line, "has no index and name, others have");
  }
  return lines;
}

/// From a TFRecord file's numbers and texts.
Result<std::vector<std::string>> ReadRecords(const std::string& path,
                                             std::vector<std::string>* notes) {
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<TfRecordReader> reader, TfRecordReader::Open(path));
  std::map<int64_t, std::string> texts;
  for (std::vector<uint8_t> record;;) {
    const std::string where = StrCat(path, ": record ", reader->records());
    OCTET_ASSIGN_OR_RETURN(const bool more, reader->Next(&record));
    if (!more) break;
    const Result<Example> example = ParseExample(record);
    if (!example.ok()) return Status(example.status()).WithContext(where);
    const Result<ImageExample> image = ReadImageExample(*example, /*with_class=*/true);
    if (!image.ok()) return Status(image.status()).WithContext(where);
    if (!image->label || !image->text) {
      return InvalidArgument(StrCat(where, ": has no feature ",
                                    image->label ? "image/class/text" : "image/class/label"));
    }
    const auto [before, is_new] = texts.emplace(*image->label, *image->text);
    if (!is_new && before->second != *image->text) {
      return InvalidArgument(StrCat(where, ": has label ", *image->label, " and the text '",
                                    *image->text, "', records before have the text '",
                                    before->second, "' for it"));
    }
  }
  if (texts.empty()) return InvalidArgument(StrCat(path, ": no labels"));
  const int64_t first = texts.begin()->first;
  std::vector<std::string> names;
  for (const auto& [label, text] : texts) {
    const int64_t expected = static_cast<int64_t>(names.size()) + (first == 1 ? 1 : 0);
    if (label != expected) {
      return InvalidArgument(
          StrCat(path, ": no record has label ", expected, ", some have ", label));
    }
    Status status = CheckName({text, 0, label});
    if (!status.ok() || names.size() == kMaxLabels)
      return InvalidArgument(StrCat(path, ": the text of label ", label, " cannot be a label"));
    names.push_back(text);
  }
  if (first == 1 && notes != nullptr) {
    notes->push_back(StrCat(path, ": its labels count from 1; '", names[0],
                            "' was taken for class 0, '", names.back(), "' for class ",
                            names.size() - 1));
  }
  return names;
}

}  // namespace

Result<std::vector<std::string>> ParseLabels(std::string_view text, const std::string& origin) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  // A plain name may begin with a bracket, as [UNK]; a list of quoted names cannot be one.
  const std::string_view inner = Trim(text, " \t\r\n");
  const std::string_view item = inner.empty() ? inner : Trim(inner.substr(1), " \t\r\n");
  const bool structured =
      inner.starts_with('{') ||
      (inner.starts_with('[') &&
       (inner.ends_with(']') || item.starts_with('"') || item.starts_with('\'')));
  Result<std::vector<std::string>> labels =
      structured ? StructuredReader(inner).Read() : ReadLines(text);
  if (!labels.ok()) return Status(labels.status()).WithContext(origin);
  return labels;
}

Result<std::vector<std::string>> ReadLabels(const std::string& path,
                                            std::vector<std::string>* notes) {
  if (IsTfRecordFile(path)) return ReadRecords(path, notes);
  OCTET_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFileBytes(path, kMaxFileBytes));
  return ParseLabels({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace octet
