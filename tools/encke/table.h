// Aligned columns of text.
#pragma once

#include <string>
#include <vector>

namespace encke::cli {

class Table {
 public:
  enum class Align { LEFT, RIGHT };

  // The first column is the one that is shortened when the table is wider than allowed.
  void AddColumn(const std::string& header, Align align = Align::RIGHT);
  // Missing cells at the end are empty. REQUIRES: not more cells than columns.
  void AddRow(std::vector<std::string> cells);
  // A line across the table at this place.
  void AddRule();

  // One line a row, without blanks at the ends. `max_width` 0 = as wide as it is.
  std::string ToString(int max_width = 0) const;

 private:
  struct Column {
    std::string header;
    Align align;
  };

  std::vector<int64_t> Widths(int max_width) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;  // no cells: a rule
};

}  // namespace encke::cli
