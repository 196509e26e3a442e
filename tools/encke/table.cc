#include "tools/encke/table.h"

#include <algorithm>
#include <numeric>

#include "engine/core/error.h"
#include "tools/encke/format.h"

namespace encke::cli {
namespace {

constexpr int64_t kGap = 2;        // blanks between columns
constexpr int64_t kNarrowest = 8;  // the first column is never made shorter

std::string Padded(const std::string& text, int64_t width, Table::Align align) {
  const std::string blanks(static_cast<size_t>(std::max<int64_t>(0, width - DisplayWidth(text))),
                           ' ');
  return align == Table::Align::LEFT ? text + blanks : blanks + text;
}

void EndLine(std::string* line) {
  line->erase(line->find_last_not_of(' ') + 1);
  *line += '\n';
}

}  // namespace

void Table::AddColumn(const std::string& header, Align align) {
  columns_.push_back({header, align});
}

void Table::AddRow(std::vector<std::string> cells) {
  ENCKE_CHECK(!cells.empty() && cells.size() <= columns_.size(), cells.size());
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

void Table::AddRule() { rows_.emplace_back(); }

std::vector<int64_t> Table::Widths(int max_width) const {
  std::vector<int64_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    widths.push_back(DisplayWidth(columns_[i].header));
    for (const auto& row : rows_) {
      if (!row.empty()) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
    }
  }
  const int64_t total = std::accumulate(widths.begin(), widths.end(), int64_t{0}) +
                        kGap * (static_cast<int64_t>(widths.size()) - 1);
  if (max_width > 0 && total > max_width && !widths.empty()) {
    widths[0] = std::max(std::min(kNarrowest, widths[0]), widths[0] - (total - max_width));
  }
  return widths;
}

std::string Table::ToString(int max_width) const {
  const std::vector<int64_t> widths = Widths(max_width);
  const int64_t total = std::accumulate(widths.begin(), widths.end(), int64_t{0}) +
                        kGap * (static_cast<int64_t>(widths.size()) - 1);
  const auto line_of = [&](const auto& cell) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) line += std::string(kGap, ' ');
      const std::string text = i == 0 ? Shorten(cell(i), widths[i]) : cell(i);
      line += Padded(text, widths[i], columns_[i].align);
    }
    EndLine(&line);
    return line;
  };
  const std::string rule =
      std::string(static_cast<size_t>(std::max<int64_t>(total, 0)), '-') + "\n";
  std::string text = line_of([&](size_t i) { return columns_[i].header; }) + rule;
  for (const auto& row : rows_) {
    text += row.empty() ? rule : line_of([&](size_t i) { return row[i]; });
  }
  return text;
}

}  // namespace encke::cli
