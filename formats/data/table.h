// Columns of text for people.
#ifndef OCTET_FORMATS_DATA_TABLE_H_
#define OCTET_FORMATS_DATA_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace octet {

/// 1234567 as "1,234,567".
std::string Thousands(int64_t value);

/// With so many decimals.
std::string Fixed(double value, int decimals);

/// "97.1 %", or "-" for what has no share.
std::string Percent(double part, double whole);

/// As a field of a CSV file, in quotes where it has to be.
std::string CsvField(const std::string& s);

/// Rows of text under titles, each column as wide as it needs to be. Where they are wider than the
/// terminal (elsewhere $COLUMNS, or 80) optional columns are left out, the last one first, and then
/// texts of columns that may shrink lose their beginnings, the last column's first.
class Table {
 public:
  struct Column {
    std::string title;
    bool left = false;      ///< Aligned to the left: names.
    bool optional = false;  ///< May be left out.
    size_t shrink_to = 0;   ///< May shrink to so many letters; 0 = never.
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  /// With a line break behind each row.
  std::string Text() const { return Text(Limit()); }
  std::string Text(size_t limit) const;

  /// How wide tables should be.
  static size_t Limit();

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Cuts off what all names begin with up to the last '/' there, and returns it.
std::string CutCommonFolder(std::vector<std::string>* names);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_TABLE_H_
