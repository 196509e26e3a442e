// Reading runs for a report: what is damaged is named and left out, what is missing stays empty.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "engine/core/error.h"
#include "tests/tools/run_files.h"
#include "tools/encke/report/config_text.h"
#include "tools/encke/report/csv.h"
#include "tools/encke/report/run_data.h"

namespace encke::cli::report {
namespace {

using test::NewFolder;
using test::WriteFile;
using test::WriteRun;

TEST(ReadRun, TakesWhatTheFilesSay) {
  const RunData run = ReadRun(WriteRun("whole", "a, \"quoted\" layer"));
  EXPECT_TRUE(run.warnings.empty()) << run.warnings.front();
  ASSERT_EQ(run.metrics.size(), 2u);
  EXPECT_EQ(run.metrics[1].iteration, 20);
  EXPECT_EQ(run.metrics[1].ratio, 8);
  EXPECT_EQ(run.metrics[1].peak_bytes, 10000);
  ASSERT_EQ(run.evaluations.size(), 1u);
  EXPECT_EQ(run.evaluations[0].top1, 61.25);
  ASSERT_EQ(run.memory.size(), 4u);
  EXPECT_EQ(run.memory[2].layer, "a, \"quoted\" layer");
  EXPECT_EQ(run.memory[2].bytes[static_cast<int>(MemoryCategory::SAVED)], 4096);
  EXPECT_EQ(run.memory_iteration, 20);
  ASSERT_EQ(run.activations.size(), 1u);
  EXPECT_EQ(run.activations[0].audits.size(), 1u);
  EXPECT_TRUE(run.compresses());
  EXPECT_EQ(run.environment[1].second, "encke train tiny");
}

TEST(ReadRun, NamesDamagedLinesAndLeavesThemOut) {
  const std::string path = WriteRun("damaged", "conv1");
  std::ofstream(path + "/metrics.jsonl", std::ios::app) << "{\"iteration\":30,\"lo";
  std::ofstream(path + "/memory.csv", std::ios::app) << "20,4,backward\n20,5,backward,x,many\n";
  std::ofstream(path + "/activations.jsonl", std::ios::app) << "not JSON\n";
  std::ofstream(path + "/environment.jsonl", std::ios::app) << "{\n";
  const RunData run = ReadRun(path);
  EXPECT_EQ(run.metrics.size(), 2u);
  EXPECT_EQ(run.memory.size(), 4u);
  EXPECT_EQ(run.environment.size(), 3u);
  ASSERT_EQ(run.warnings.size(), 5u);
  EXPECT_NE(run.warnings[0].find("metrics.jsonl:4: damaged"), std::string::npos) << run.warnings[0];
  EXPECT_NE(run.warnings[1].find("memory.csv:6: damaged"), std::string::npos) << run.warnings[1];
}

TEST(ReadRun, MissingFilesLeaveTheirPartsEmpty) {
  const std::string path = NewFolder("bare");
  WriteFile(path + "/config.textproto", "name: \"bare\"\n");
  const RunData run = ReadRun(path);
  EXPECT_TRUE(run.metrics.empty() && run.memory.empty() && run.activations.empty());
  EXPECT_TRUE(run.warnings.empty());
  EXPECT_FALSE(run.compresses());
}

TEST(ReadRun, AFolderWithoutARunIsAnError) {
  try {
    ReadRun(NewFolder("no_run"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::DATA);
    EXPECT_NE(std::string(error.what()).find("no_run"), std::string::npos);
  }
}

TEST(LabelRuns, SaysWhatDiffers) {
  std::vector<RunData> runs(4);
  runs[0].config = "activations {\n  mode: RAW\n}\n";
  runs[1].config = "activations {\n  tolerance: 0.05\n  log_every: 5\n}\n";
  runs[2].config = "activations {\n  tolerance: 0.5\n  codec: \"dense\"\n}\n";
  runs[3].config = runs[2].config;
  LabelRuns(&runs);
  EXPECT_EQ(runs[0].label, "raw");
  EXPECT_EQ(runs[1].label, "encke tolerance 0.05");
  EXPECT_EQ(runs[2].label, "encke dense tolerance 0.5 #1");
  EXPECT_EQ(runs[3].label, "encke dense tolerance 0.5 #2");
}

TEST(Flatten, NamesFieldsByTheirPath) {
  const FlatConfig flat = Flatten(
      "name: \"a\"\nnetwork {\n  step {\n    name: \"x\"\n  }\n  step {\n    name: \"y\"\n  }\n"
      "}\ndata {\n  mean: 1\n  mean: 2\n}\n");
  EXPECT_EQ(flat, (FlatConfig{{"name", "a"},
                              {"network.step.name", "x"},
                              {"network.step[2].name", "y"},
                              {"data.mean", "1"},
                              {"data.mean[2]", "2"}}));
}

TEST(SplitCsv, KnowsQuotes) {
  EXPECT_EQ(SplitCsv("1,,\"a,b\",\"say \"\"x\"\"\",z"),
            (std::vector<std::string>{"1", "", "a,b", "say \"x\"", "z"}));
}

}  // namespace
}  // namespace encke::cli::report
