// Runs the encke program as a user would.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace encke::test {

struct Outcome {
  int exit_code = -1;  // -1: ended by a signal
  std::string out, err;
};

// A folder of its own, removed at the end, in which the program runs; it holds the model zoo as
// `models`, as the repository's root does.
class Sandbox {
 public:
  Sandbox();
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  const std::string& path() const { return path_; }
  std::string Write(const std::string& name, const std::string& text) const;  // returns `name`
  std::string Read(const std::string& name) const;
  // The path of the only folder in `name`.
  std::string OnlyFolderIn(const std::string& name) const;

  // Runs `encke ARGUMENTS...` to its end.
  Outcome Run(const std::vector<std::string>& arguments) const;
  // Starts it; Finish waits for it.
  pid_t Start(const std::vector<std::string>& arguments) const;
  // What is run from now on can make no file larger than this, as on a disk that is full.
  void LimitFiles(int64_t bytes) { file_limit_ = bytes; }
  Outcome Finish(pid_t process) const;

 private:
  std::string path_;
  std::string program_;
  int64_t file_limit_ = 0;  // 0: none
};

// A recipe that trains in a second on made-up images.
std::string TinyRecipe();

}  // namespace encke::test
