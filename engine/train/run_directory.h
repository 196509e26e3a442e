// The folder of a run and the files that grow in it line by line.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <string>

namespace encke {

// `base` and `end`, with "-2", "-3", ... between them where that exists already.
std::string UnusedPath(const std::string& base, const std::string& end = "");
// "OUTPUT/20260131-142501-NAME", with a number behind where that exists already.
std::string NewRunPath(const std::string& output, const std::string& name);
// Whether a folder of this name was made for a run of that one.
bool IsRunOf(const std::string& folder, const std::string& name);

// Files of lines: JSON objects with an "iteration", or CSV with the iteration in the first column.
class RunDirectory {
 public:
  // Creates the folder, and keeps other processes from training in it. Error(USAGE) when there is
  // one already with a run in it, Error(DATA) when it cannot be created.
  static RunDirectory Create(const std::string& path);
  // Goes on in a folder. Error(USAGE) when another process trains in it.
  static RunDirectory Resume(const std::string& path);

  // Removes lines of later iterations, and a last line that was cut off, from the files of lines.
  // Other files stay as they are.
  void CutAfter(int64_t iteration) const;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

  // Writes a whole file, atomically.
  void Write(const std::string& name, const std::string& text) const;
  // Adds a line, which others can see at once. `header` comes first in a new file.
  void Append(const std::string& name, const std::string& line, const std::string& header = "");

 private:
  explicit RunDirectory(const std::string& path);

  std::string path_;
  std::shared_ptr<const int> lock_;  // a file descriptor
  std::map<std::string, std::ofstream> open_;
};

}  // namespace encke
