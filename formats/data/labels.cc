#include "formats/data/labels.h"

#include <cstdint>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/file.h"

namespace octet {
namespace {

constexpr size_t kMaxLabels = size_t{1} << 20;
constexpr size_t kMaxLabelBytes = 1024;
constexpr int64_t kMaxFileBytes = int64_t{64} << 20;

std::string_view Trim(std::string_view s) {
  const size_t begin = s.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return s.substr(begin, s.find_last_not_of(" \t\r") - begin + 1);
}

}  // namespace

Result<std::vector<std::string>> ParseLabels(std::string_view text, const std::string& origin) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::vector<std::string> labels;
  size_t line = 0, first_empty = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view name = Trim(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    ++line;
    if (name.empty()) {
      if (first_empty == 0) first_empty = line;
      continue;
    }
    if (first_empty != 0) {
      return InvalidArgument(StrCat(origin, ": line ", first_empty, " is empty, expected a label"));
    }
    if (name.size() > kMaxLabelBytes) {
      return InvalidArgument(StrCat(origin, ": line ", line, " has ", name.size(),
                                    " bytes, expected at most ", kMaxLabelBytes));
    }
    for (const char c : name) {
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) {
        return InvalidArgument(StrCat(origin, ": line ", line, " holds a control character"));
      }
    }
    if (labels.size() == kMaxLabels) {
      return InvalidArgument(StrCat(origin, ": more than ", kMaxLabels, " labels"));
    }
    labels.emplace_back(name);
  }
  if (labels.empty()) return InvalidArgument(StrCat(origin, ": no labels"));
  return labels;
}

Result<std::vector<std::string>> ReadLabels(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFileBytes(path, kMaxFileBytes));
  return ParseLabels({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace octet
