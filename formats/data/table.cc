// Widths are counted in bytes that begin a UTF-8 character.
#include "formats/data/table.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "formats/data/system.h"

namespace octet {
namespace {

constexpr size_t kGap = 2;

bool BeginsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

size_t Width(const std::string& s) {
  return static_cast<size_t>(std::count_if(s.begin(), s.end(), BeginsCharacter));
}

/// The end of `s`, where names differ, behind two dots.
std::string Shortened(const std::string& s, size_t width) {
  size_t begin = 0;
  for (size_t left = Width(s); left + 2 > width && begin < s.size(); --left) {
    do ++begin;
    while (begin < s.size() && !BeginsCharacter(s[begin]));
  }
  return ".." + s.substr(begin);
}

}  // namespace

std::string Thousands(int64_t value) {
  std::string s = std::to_string(value);
  for (int64_t at = static_cast<int64_t>(s.size()) - 3; at > 0; at -= 3)
    s.insert(static_cast<size_t>(at), ",");
  return s;
}

std::string Fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

std::string CsvField(const std::string& s) {
  if (s.find_first_of(",\"\n\r") == std::string::npos) return s;
  std::string quoted = "\"";
  for (char ch : s) quoted += ch == '"' ? std::string("\"\"") : std::string(1, ch);
  return quoted + "\"";
}

std::string Percent(double part, double whole) {
  return part > 0 && whole > 0 ? Fixed(100.0 * part / whole, 1) + " %" : "-";
}

size_t Table::Limit() {
  if (const int width = TerminalColumns(); width > 0) return static_cast<size_t>(width);
  const char* columns = std::getenv("COLUMNS");
  const int given = columns != nullptr ? std::atoi(columns) : 0;
  return given > 0 ? static_cast<size_t>(given) : 80;
}

std::string Table::Text(size_t limit) const {
  std::vector<size_t> widths, shown;
  for (size_t i = 0; i < columns_.size(); ++i) {
    widths.push_back(Width(columns_[i].title));
    for (const auto& row : rows_) widths[i] = std::max(widths[i], Width(row[i]));
    shown.push_back(i);
  }
  const auto total = [&] {
    size_t sum = 0;
    for (size_t i : shown) sum += widths[i] + kGap;
    return sum - kGap;
  };
  for (size_t i = columns_.size(); i-- > 0;) {
    if (columns_[i].optional && total() > limit) std::erase(shown, i);
  }
  for (size_t i = columns_.size(); i-- > 0;) {
    if (std::find(shown.begin(), shown.end(), i) == shown.end()) continue;
    const size_t least = std::max(columns_[i].shrink_to, Width(columns_[i].title));
    if (columns_[i].shrink_to == 0 || total() <= limit) continue;
    widths[i] -= std::min(total() - limit, widths[i] - std::min(widths[i], least));
  }
  std::string text;
  const auto add = [&](const auto& cell) {
    std::string line;
    for (size_t i : shown) {
      std::string s = cell(i);
      if (Width(s) > widths[i]) s = Shortened(s, widths[i]);
      const std::string space(widths[i] - Width(s), ' ');
      line += (line.empty() && i == shown[0] ? "" : std::string(kGap, ' ')) +
              (columns_[i].left ? s + space : space + s);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add([&](size_t i) { return columns_[i].title; });
  for (const auto& row : rows_) add([&](size_t i) { return row[i]; });
  return text;
}

std::string CutCommonFolder(std::vector<std::string>* names) {
  if (names->size() < 2) return "";
  std::string common = names->front();
  for (const std::string& name : *names)
    common.resize(static_cast<size_t>(
        std::mismatch(common.begin(), common.end(), name.begin(), name.end()).first -
        common.begin()));
  common.resize(common.rfind('/') + 1);
  for (std::string& name : *names) name.erase(0, common.size());
  return common;
}

}  // namespace octet
