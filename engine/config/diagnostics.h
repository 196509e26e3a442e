// Messages about config files as compilers give them: place, message, source line, caret, nearest
// legal name; all mistakes at once.
#pragma once

#include <string>
#include <vector>

namespace encke {

// Where a field of a config was given.
struct ConfigSource {
  std::string file;          // or "--set a.b=value", then line is 0
  int line = 0, column = 0;  // from 1
  std::string text;          // the line, tabs expanded

  bool known() const { return !file.empty(); }
  std::string Place() const;  // "file:line:col", the --set, or ""
  // The line with its number, and a caret below the column; "" where there is no line.
  std::string Excerpt() const;
};

// A text by lines, tabs expanded to 8 columns as protobuf counts them.
class SourceLines {
 public:
  SourceLines(const std::string& file, const std::string& text);
  ConfigSource At(int line, int column) const;  // from 1

 private:
  std::string file_;
  std::vector<std::string> lines_;
};

// The candidate with the smallest edit distance to `word`, ignoring case; "" when none is near
// enough to be meant.
std::string NearestName(const std::string& word, const std::vector<std::string>& candidates);
// "; did you mean 'x'?" or "".
std::string DidYouMean(const std::string& word, const std::vector<std::string>& candidates);

// Collects mistakes and throws them as one Error(CONFIG).
class Diagnostics {
 public:
  void Add(const ConfigSource& source, const std::string& message, const std::string& hint = "");
  bool empty() const { return entries_.empty(); }
  // Throws if anything was added. At most 20 mistakes are shown, the rest is counted.
  void Throw() const;

 private:
  struct Entry {
    ConfigSource source;
    std::string message;
    std::string hint;
  };
  std::vector<Entry> entries_;
};

}  // namespace encke
