// Files by number: those of a folder, the members of a tar, or those that a list names.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace encke {

// Read and Place are thread-safe.
class FileSet {
 public:
  virtual ~FileSet() = default;

  // Relative to the folder or the archive, '/' between the parts, sorted; no leading "./".
  const std::vector<std::string>& files() const { return files_; }
  // Folders at any depth, in the same form.
  const std::vector<std::string>& folders() const { return folders_; }

  // Error(DATA) at Place(file) when it is missing or cut off.
  virtual std::vector<uint8_t> Read(size_t file) const = 0;
  // What an error about the file calls it.
  virtual std::string Place(size_t file) const = 0;

 protected:
  std::vector<std::string> files_;
  std::vector<std::string> folders_;
};

// `path` is a folder, or a tar file, which may be compressed with gzip. Hidden files are left out.
std::unique_ptr<FileSet> OpenFileSet(const std::string& path);

}  // namespace encke
