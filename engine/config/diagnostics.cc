#include "engine/config/diagnostics.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "engine/core/error.h"

namespace encke {
namespace {

constexpr size_t kMostShown = 20;

std::string Lower(std::string s) {
  for (char& c : s) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return s;
}

// Levenshtein distance where swapping two neighbours counts as one step.
int EditDistance(const std::string& a, const std::string& b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = static_cast<int>(i);
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replaced = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string ExpandTabs(const std::string& line) {
  std::string expanded;
  for (char c : line) {
    if (c == '\t') {
      expanded.append(8 - expanded.size() % 8, ' ');
    } else if (c != '\r') {
      expanded += c;
    }
  }
  return expanded;
}

// The message with everything that follows it on the lines below.
std::string Body(const ConfigSource& source, const std::string& message, const std::string& hint) {
  std::string text = message + source.Excerpt();
  if (!hint.empty()) text += "\n  hint: " + hint;
  return text;
}

}  // namespace

std::string ConfigSource::Place() const {
  return line == 0 ? file : StrCat(file, ":", line, ":", column);
}

std::string ConfigSource::Excerpt() const {
  if (line == 0) return "";
  const std::string number = StrCat("  ", line, " | ");
  const std::string margin(number.size() - 2, ' ');
  return "\n" + number + text + "\n" + margin + "| " + std::string(std::max(0, column - 1), ' ') +
         "^";
}

SourceLines::SourceLines(const std::string& file, const std::string& text) : file_(file) {
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines_.push_back(ExpandTabs(line));
}

ConfigSource SourceLines::At(int line, int column) const {
  const size_t index = static_cast<size_t>(line - 1);
  return {file_, line, column, index < lines_.size() ? lines_[index] : ""};
}

std::string NearestName(const std::string& word, const std::vector<std::string>& candidates) {
  const int limit = 1 + static_cast<int>(word.size()) / 4;
  int best = limit + 1;
  std::string nearest;
  for (const std::string& candidate : candidates) {
    const int distance = EditDistance(Lower(word), Lower(candidate));
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string DidYouMean(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string nearest = NearestName(word, candidates);
  return nearest.empty() ? "" : "; did you mean '" + nearest + "'?";
}

void Diagnostics::Add(const ConfigSource& source, const std::string& message,
                      const std::string& hint) {
  entries_.push_back({source, message, hint});
}

void Diagnostics::Throw() const {
  if (entries_.empty()) return;
  const Entry& first = entries_.front();
  std::string text = Body(first.source, first.message, first.hint);
  for (size_t i = 1; i < std::min(entries_.size(), kMostShown); ++i) {
    const Entry& entry = entries_[i];
    const std::string place = entry.source.Place();
    text +=
        "\n" + (place.empty() ? "" : place + ": ") + Body(entry.source, entry.message, entry.hint);
  }
  if (entries_.size() > kMostShown) {
    text += StrCat("\n... and ", entries_.size() - kMostShown, " more mistakes");
  }
  throw Error(ErrorKind::CONFIG, text, first.source.Place());
}

}  // namespace encke
