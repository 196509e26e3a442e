// A file that appears under its name whole or not at all, whatever kills the process.
#pragma once

#include <cstdint>
#include <string>

namespace encke {

// Writes to PATH.tmp, in the same folder; Commit() brings the bytes to disk, renames the file and
// brings the folder's entry to disk. Without Commit() PATH stays as it was. What a killed process
// left as PATH.tmp is overwritten next time. One writer for a path. Error(DATA) names the path and
// the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Write(const void* data, int64_t bytes);
  void Write(const std::string& text) { Write(text.data(), static_cast<int64_t>(text.size())); }
  void Commit();

 private:
  [[noreturn]] void Fail(const char* action) const;

  std::string path_, temporary_;
  int descriptor_ = -1;
};

// Gives the file `from` the second name `to`, in place of what bore it, as atomically; both are in
// the same folder. Copies where the file system knows no links.
void LinkAtomically(const std::string& from, const std::string& to);

}  // namespace encke
