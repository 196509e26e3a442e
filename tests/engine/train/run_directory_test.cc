#include "engine/train/run_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "engine/core/error.h"

namespace encke {
namespace {

namespace fs = std::filesystem;

std::string Folder(const std::string& name) {
  const std::string path = testing::TempDir() + "/run_directory_test_" + name;
  fs::remove_all(path);
  return path;
}

std::string Slurp(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(RunDirectoryTest, LinesCanBeReadAtOnce) {
  RunDirectory run = RunDirectory::Create(Folder("lines") + "/deep");
  run.Append("memory.csv", "1,2", "iteration,bytes");
  run.Append("memory.csv", "2,3", "iteration,bytes");
  EXPECT_EQ(Slurp(run.File("memory.csv")), "iteration,bytes\n1,2\n2,3\n");
}

TEST(RunDirectoryTest, ResumingCutsWhatWillBeWrittenAgain) {
  const std::string path = Folder("resume");
  {
    RunDirectory run = RunDirectory::Create(path);
    for (int i = 10; i <= 40; i += 10) {
      run.Append("metrics.jsonl", "{\"iteration\":" + std::to_string(i) + "}");
      run.Append("memory.csv", std::to_string(i) + ",7", "iteration,bytes");
    }
  }
  std::ofstream(path + "/metrics.jsonl", std::ios::app) << "{\"iteration\":1";  // torn by a kill
  std::ofstream(path + "/log.txt") << "kept as it is\n";
  std::ofstream(path + "/exported.csv") << "layer,ratio\nconv1,12\n";
  RunDirectory run = RunDirectory::Resume(path);
  run.CutAfter(20);
  run.Append("metrics.jsonl", "{\"iteration\":30}");
  run.Append("memory.csv", "30,8", "iteration,bytes");
  EXPECT_EQ(Slurp(path + "/metrics.jsonl"),
            "{\"iteration\":10}\n{\"iteration\":20}\n{\"iteration\":30}\n");
  EXPECT_EQ(Slurp(path + "/memory.csv"), "iteration,bytes\n10,7\n20,7\n30,8\n");
  EXPECT_EQ(Slurp(path + "/log.txt"), "kept as it is\n");
  EXPECT_EQ(Slurp(path + "/exported.csv"), "layer,ratio\nconv1,12\n") << "the user's own";
}

// A second open file is to the lock what a second process is.
TEST(RunDirectoryTest, OneProcessTrainsInIt) {
  const std::string path = Folder("locked");
  {
    const RunDirectory run = RunDirectory::Create(path);
    EXPECT_THROW(RunDirectory::Resume(path), Error);
  }
  RunDirectory::Resume(path);
}

TEST(RunDirectoryTest, KnowsWhoseRunAFolderIs) {
  EXPECT_TRUE(IsRunOf("20260131-142501-tiny", "tiny"));
  EXPECT_TRUE(IsRunOf("20260131-142501-tiny-2", "tiny"));
  EXPECT_TRUE(IsRunOf("20260131-142501-two-words", "two words"));
  EXPECT_FALSE(IsRunOf("20260131-142501-tiny-bn", "tiny"));
  EXPECT_FALSE(IsRunOf("20260131-142501-my-tiny", "tiny"));
  EXPECT_FALSE(IsRunOf("tiny", "tiny"));
}

TEST(RunDirectoryTest, DoesNotOverwriteARun) {
  const std::string path = Folder("overwrite");
  RunDirectory::Create(path).Write("config.textproto", "name: \"first\"\n");
  EXPECT_THROW(RunDirectory::Create(path), Error);
  EXPECT_EQ(Slurp(path + "/config.textproto"), "name: \"first\"\n");
}

TEST(RunDirectoryTest, NewPathsAreFreeAndTame) {
  const std::string output = Folder("new");
  const std::string first = NewRunPath(output, "a b/c");
  EXPECT_EQ(fs::path(first).parent_path().string(), output);
  EXPECT_NE(first.find("a-b-c"), std::string::npos);
  fs::create_directories(first);
  EXPECT_NE(NewRunPath(output, "a b/c"), first);
}

}  // namespace
}  // namespace encke
