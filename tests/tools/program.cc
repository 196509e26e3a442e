#include "tests/tools/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace encke::test {
namespace {

namespace fs = std::filesystem;

void Redirect(const std::string& path, int descriptor) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  dup2(file, descriptor);
  close(file);
}

}  // namespace

Sandbox::Sandbox() : program_(fs::absolute("tools/encke").string()) {
  std::string name = testing::TempDir() + "/encke-XXXXXX";
  path_ = mkdtemp(name.data());
  fs::create_directory_symlink(fs::absolute("models"), path_ + "/models");
}

Sandbox::~Sandbox() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string Sandbox::Write(const std::string& name, const std::string& text) const {
  std::ofstream(path_ + "/" + name) << text;
  return name;
}

std::string Sandbox::Read(const std::string& name) const {
  std::ostringstream text;
  text << std::ifstream(path_ + "/" + name).rdbuf();
  return text.str();
}

std::string Sandbox::OnlyFolderIn(const std::string& name) const {
  std::vector<std::string> folders;
  for (const auto& entry : fs::directory_iterator(path_ + "/" + name)) {
    if (entry.is_directory()) folders.push_back(name + "/" + entry.path().filename().string());
  }
  EXPECT_EQ(folders.size(), 1u);
  return folders.empty() ? "" : folders[0];
}

pid_t Sandbox::Start(const std::vector<std::string>& arguments) const {
  std::vector<std::string> texts = {program_};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  const pid_t process = fork();
  if (process == 0) {
    if (chdir(path_.c_str()) != 0) _exit(126);
    Redirect("stdout.txt", STDOUT_FILENO);
    Redirect("stderr.txt", STDERR_FILENO);
    if (file_limit_ > 0) {
      const rlimit limit{static_cast<rlim_t>(file_limit_), RLIM_INFINITY};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    for (const int request : {SIGINT, SIGTERM, SIGHUP}) signal(request, SIG_DFL);  // under nohup
    execv(program_.c_str(), pointers.data());
    _exit(127);
  }
  return process;
}

Outcome Sandbox::Finish(pid_t process) const {
  int status = 0;
  waitpid(process, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, Read("stdout.txt"), Read("stderr.txt")};
}

Outcome Sandbox::Run(const std::vector<std::string>& arguments) const {
  return Finish(Start(arguments));
}

std::string TinyRecipe() {
  return R"(name: "tiny"
network {
  input { channels: 3 height: 16 width: 16 }
  classes: 4
  step { name: "conv1" conv { out: 16 kernel: 3 bn: true relu: true } }
  step { name: "conv2" conv { out: 16 kernel: 3 bn: true relu: true } }
  step { name: "pool" pool { kind: GLOBAL_AVERAGE } }
  step { name: "fc" fc {} }
}
data { kind: SYNTHETIC train_size: 512 test_size: 64 }
training { batch: 32 epochs: 2 threads: 1 }
activations { log_every: 2 }
)";
}

}  // namespace encke::test
